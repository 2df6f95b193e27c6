/* The handshake's messages and jobs, below the two state machines. */
#include "link/handshake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "handshake_util.h"

static void test_macs(void **state)
{
	const struct vs_crypto *crypto = vs_crypto_default();
	const uint8_t cookie[VS_COOKIE_SIZE] = {1}, other[VS_COOKIE_SIZE] = {2}, none[VS_MAC_SIZE] = { 0 };
	const uint8_t receiver[VS_KEY_SIZE] = {3};
	uint8_t key[VS_HASH_SIZE], message[64 + 2 * VS_MAC_SIZE] = "message";

	(void)state;
	vs_mac1_key(crypto, receiver, key);
	assert_int_equal(vs_macs_append(crypto, key, NULL, message, 64), sizeof(message));
	assert_memory_equal(message + 80, none, VS_MAC_SIZE);
	assert_true(vs_mac1_valid(crypto, key, message, sizeof(message)));
	assert_false(vs_mac2_valid(crypto, cookie, message, sizeof(message)));

	vs_macs_append(crypto, key, cookie, message, 64);
	assert_true(vs_mac2_valid(crypto, cookie, message, sizeof(message)));
	assert_false(vs_mac2_valid(crypto, other, message, sizeof(message)));
	/* mac2 covers mac1, mac1 does not cover mac2. */
	message[79] ^= 1;
	assert_false(vs_mac1_valid(crypto, key, message, sizeof(message)));
	assert_false(vs_mac2_valid(crypto, cookie, message, sizeof(message)));
	message[79] ^= 1;
	message[80] ^= 1;
	assert_true(vs_mac1_valid(crypto, key, message, sizeof(message)));
	assert_false(vs_mac2_valid(crypto, cookie, message, sizeof(message)));
}

/* The layout on the wire, as PROTOCOL.md has it. */
static void test_layout(void **state)
{
	struct vs_handshake_job job;
	struct vs_responder_result result;
	struct vs_policy policy = vs_policy_default();
	struct pair p;
	uint8_t key[VS_HASH_SIZE];

	(void)state;
	assert_true(pair_init(&p, vs_crypto_default(), vs_crypto_default()));
	vs_initiator_start(p.client, p.now);
	assert_true(client_output(&p, &job));
	assert_int_equal(job.len, 384);
	assert_int_equal(job.datagram[0], 1);
	uint32_t index = vs_get_be24(job.datagram + 1);
	vs_mac1_key(p.crypto, p.client_config.server_key, key);
	assert_true(vs_mac1_valid(p.crypto, key, job.datagram, job.len));

	assert_int_equal(server_read(&p, job.datagram, job.len, 0, &job, &result), VS_RESPONDER_ACCEPT);
	assert_int_equal(server_answer(&p, &job, &policy, 1, &result), VS_RESPONDER_SESSION);
	assert_true(job.len <= 384);
	assert_int_equal(job.datagram[0], 2);
	assert_int_equal(vs_get_be24(job.datagram + 1), index);
	assert_int_equal(job.datagram[4], 0);
	assert_int_equal(vs_get_be24(job.datagram + 5), 0x020301);
	vs_mac1_key(p.crypto, p.client_key, key);
	assert_true(vs_mac1_valid(p.crypto, key, job.datagram, job.len));
	pair_fini(&p);
}

/* A client with one backend and a server with the other agree on keys, and the keys work. */
static void check_across(const struct vs_crypto *client, const struct vs_crypto *server)
{
	struct vs_handshake_job job;
	struct vs_responder_result result;
	struct vs_initiator_result client_result;
	struct vs_policy policy = vs_policy_default();
	struct pair p;

	assert_true(pair_init(&p, client, server));
	vs_initiator_start(p.client, p.now);
	assert_true(client_output(&p, &job));
	assert_int_equal(server_read(&p, job.datagram, job.len, 0, &job, &result), VS_RESPONDER_ACCEPT);
	assert_int_equal(server_answer(&p, &job, &policy, 1, &result), VS_RESPONDER_SESSION);
	assert_int_equal(client_read(&p, job.datagram, job.len, &client_result), VS_INITIATOR_SESSION);

	uint8_t sealed[5 + VS_SEAL_TAG], opened[5];
	struct iovec part = {(void *)"hello", 5};
	struct vs_aead *sealer = client->aead_new(client_result.keys.cipher, client_result.keys.send);
	struct vs_aead *opener = server->aead_new(result.keys.cipher, result.keys.recv);
	assert_int_equal(client->aead_seal(sealer, 0, NULL, 0, &part, 1, sealed), 0);
	assert_int_equal(server->aead_open(opener, 0, NULL, 0, sealed, sizeof(sealed), opened), 0);
	assert_memory_equal(opened, "hello", 5);
	client->aead_free(sealer);
	server->aead_free(opener);
	pair_fini(&p);
}

static void test_across_backends(void **state)
{
	(void)state;
	check_across(&vs_crypto_mbedtls, vs_crypto_default());
	check_across(vs_crypto_default(), &vs_crypto_mbedtls);
}

static bool all_zero(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (((const uint8_t *)p)[i])
			return false;
	}
	return true;
}

/* Jobs that are done with hold no secret any more, but still the datagram. */
static void test_wiped(void **state)
{
	struct vs_handshake_job job;
	struct vs_responder_result result;
	struct vs_policy policy = vs_policy_default();
	struct pair p;

	(void)state;
	assert_true(pair_init(&p, vs_crypto_default(), vs_crypto_default()));
	vs_initiator_start(p.client, p.now);
	for (int i = 0; i < 2; i++) {
		if (i) {
			assert_int_equal(server_read(&p, job.datagram, job.len, 0, &job, &result), VS_RESPONDER_ACCEPT);
			assert_int_equal(server_answer(&p, &job, &policy, 1, &result), VS_RESPONDER_SESSION);
		} else {
			assert_true(client_output(&p, &job));
		}
		assert_true(all_zero(&job.noise, sizeof(job.noise)));
		assert_true(all_zero(job.ephemeral, VS_KEY_SIZE));
		assert_true(all_zero(job.psk, VS_KEY_SIZE));
		assert_true(all_zero(&job.keys, sizeof(job.keys)));
		assert_false(all_zero(job.datagram, job.len));
	}
	pair_fini(&p);
}

/* Lengths that no message can have, given to the jobs themselves. */
static void test_job_lengths(void **state)
{
	static const struct {
		enum vs_handshake_job_kind kind;
		size_t len;
	} cases[] = {
		{VS_JOB_READ_INITIATION, 0},
		{VS_JOB_READ_INITIATION, VS_INITIATION_SIZE - 1},
		{VS_JOB_READ_INITIATION, VS_HANDSHAKE_MAX + 1},
		{VS_JOB_READ_RESPONSE, 0},
		{VS_JOB_READ_RESPONSE, VS_RESPONSE_HEADER + VS_NOISE_RESPONSE_OVERHEAD + 2 * VS_MAC_SIZE - 1},
		{VS_JOB_READ_RESPONSE, VS_RESPONSE_MAX + 1},
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_handshake_job job = { .kind = cases[i].kind, .len = cases[i].len };

		vs_handshake_job_run(&job);
		assert_int_equal(job.result, -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_macs),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_across_backends),
		cmocka_unit_test(test_wiped),
		cmocka_unit_test(test_job_lengths),
	};

	if (vs_crypto_init())
		return 1;
	return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
