#include "link/cookie.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "handshake_util.h"

static const uint8_t seed[VS_COOKIE_SEED_SIZE] = {1, 2, 3};
static const uint8_t server_key[VS_KEY_SIZE] = {4, 5, 6};
static const uint8_t mac1_key[VS_HASH_SIZE] = {7};

static bool proves(const struct vs_addr *addr, uint64_t made, uint64_t used)
{
	const struct vs_crypto *crypto = vs_crypto_default();
	struct vs_addr owner = address_of("2001:db8::1", 7000);
	uint8_t cookie[VS_COOKIE_SIZE], message[100] = "message";

	vs_cookie_make(crypto, seed, &owner, made, cookie);
	size_t len = vs_macs_append(crypto, mac1_key, cookie, message, 60);
	return vs_cookie_proves(crypto, seed, addr, used, message, len);
}

static void test_life(void **state)
{
	struct vs_addr addr = address_of("2001:db8::1", 7000);
	static const uint64_t life = VS_COOKIE_LIFE;

	(void)state;
	assert_true(proves(&addr, 0, 0));
	assert_true(proves(&addr, 0, 2 * life - 1));
	assert_false(proves(&addr, 0, 2 * life));
	/* Made at the very end of a period, it still lives for as long as is promised. */
	assert_true(proves(&addr, life - 1, 2 * life - 1));
	assert_false(proves(&addr, life, life - 1));
}

static void test_address(void **state)
{
	struct vs_addr other_port = address_of("2001:db8::1", 7001), other_host = address_of("2001:db8::2", 7000);

	(void)state;
	assert_false(proves(&other_port, 0, 0));
	assert_false(proves(&other_host, 0, 0));
}

/* What one backend seals the other opens; every byte counts, and so does mac1. */
static void check_reply(const struct vs_crypto *from, const struct vs_crypto *to)
{
	const uint8_t cookie[VS_COOKIE_SIZE] = "cookie", salt[VS_COOKIE_SALT] = "salt";
	uint8_t mac1[VS_MAC_SIZE] = "mac1", reply[VS_COOKIE_REPLY_SIZE], out[VS_COOKIE_SIZE];

	assert_int_equal(vs_cookie_reply(from, server_key, cookie, 0xabcdef, mac1, salt, reply), 0);
	assert_int_equal(vs_get_be32(reply), VS_TYPE_COOKIE << 24 | 0xabcdef);
	assert_int_equal(vs_cookie_open(to, server_key, reply, mac1, out), 0);
	assert_memory_equal(out, cookie, VS_COOKIE_SIZE);
	for (size_t i = 4; i < sizeof(reply); i++) {
		reply[i] ^= 1;
		assert_int_equal(vs_cookie_open(to, server_key, reply, mac1, out), -EBADMSG);
		reply[i] ^= 1;
	}
	mac1[3] ^= 1;
	assert_int_equal(vs_cookie_open(to, server_key, reply, mac1, out), -EBADMSG);
}

static void test_reply(void **state)
{
	(void)state;
	check_reply(&vs_crypto_mbedtls, vs_crypto_default());
	check_reply(vs_crypto_default(), &vs_crypto_mbedtls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_reply),
	};

	if (vs_crypto_init())
		return 1;
	return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
