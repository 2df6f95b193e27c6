#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/key.h"
#include "link/crypto.h"

/* RFC 7748 section 6.1: Alice's keys, and their base64. */
static const uint8_t alice_private[VS_KEY_SIZE] = {
	0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
	0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
};
#define ALICE_PRIVATE "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
#define ALICE_PUBLIC "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="

static void test_parse_and_format(void **state)
{
	uint8_t key[VS_KEY_SIZE];
	char text[VS_KEY_TEXT_SIZE];
	(void)state;

	assert_int_equal(vs_key_parse(ALICE_PRIVATE, key), 0);
	assert_memory_equal(key, alice_private, VS_KEY_SIZE);
	assert_string_equal(vs_key_format(alice_private, text), ALICE_PRIVATE);
}

static void test_parse_refuses(void **state)
{
	static const char *const texts[] = {
		"",
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LC",
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo",
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo= ",
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCoA",  /* 33 bytes */
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LC==",  /* 31 bytes */
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCp=",  /* stray bits at the end */
		"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25L-o=",  /* another alphabet */
		"dwdtCnMYpX08FsFy\nbJmRd9ML4frwJkqsXf7pR25LCo=",
	};
	uint8_t key[VS_KEY_SIZE], before[VS_KEY_SIZE];
	(void)state;

	memset(key, 0x5a, sizeof(key));
	memcpy(before, key, sizeof(key));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(vs_key_parse(texts[i], key), -EINVAL);
		assert_memory_equal(key, before, VS_KEY_SIZE);
	}
}

static void test_public(void **state)
{
	uint8_t public_key[VS_KEY_SIZE];
	char text[VS_KEY_TEXT_SIZE];
	(void)state;

	assert_int_equal(vs_key_public(public_key, alice_private), 0);
	assert_string_equal(vs_key_format(public_key, text), ALICE_PUBLIC);
}

static void test_generate(void **state)
{
	uint8_t a[VS_KEY_SIZE], b[VS_KEY_SIZE];
	(void)state;

	for (int i = 0; i < 50; i++) {
		assert_int_equal(vs_key_generate(a), 0);
		assert_int_equal(a[0] & 7, 0);
		assert_int_equal(a[31] & 0xc0, 0x40);
		assert_int_equal(vs_key_generate(b), 0);
		assert_memory_not_equal(a, b, VS_KEY_SIZE);
	}
}

static void test_zero(void **state)
{
	uint8_t key[VS_KEY_SIZE] = { 0 };
	(void)state;

	assert_true(vs_key_is_zero(key));
	key[31] = 0x80;
	assert_false(vs_key_is_zero(key));
}

static int read_text(const char *text, size_t len, uint8_t key[VS_KEY_SIZE])
{
	int fd = memfd_create("key", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	int err = vs_key_read(fd, key);
	close(fd);
	return err;
}

static void test_read(void **state)
{
	static const struct {
		const char *text;
		int err;
	} cases[] = {
		{ ALICE_PRIVATE, 0 },
		{ ALICE_PRIVATE "\n", 0 },
		{ ALICE_PRIVATE " \r\n\n", 0 },
		{ "", -EINVAL },
		{ "\n" ALICE_PRIVATE, -EINVAL },
		{ ALICE_PRIVATE "\n" ALICE_PRIVATE "\n", -EINVAL },
		{ ALICE_PRIVATE ALICE_PRIVATE ALICE_PRIVATE ALICE_PRIVATE, -EINVAL },
	};
	uint8_t key[VS_KEY_SIZE];
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(key, 0, sizeof(key));
		assert_int_equal(read_text(cases[i].text, strlen(cases[i].text), key), cases[i].err);
		if (cases[i].err == 0)
			assert_memory_equal(key, alice_private, VS_KEY_SIZE);
	}
	assert_int_equal(read_text(ALICE_PRIVATE "\0x", 46, key), -EINVAL);
	assert_int_equal(vs_key_read(-1, key), -EBADF);
}

static int setup(void **state)
{
	(void)state;
	return vs_crypto_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format), cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_public),           cmocka_unit_test(test_generate),
		cmocka_unit_test(test_zero),             cmocka_unit_test(test_read),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
