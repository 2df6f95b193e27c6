/* Each backend against published vectors, and against the others. */
#include "link/crypto.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static const struct vs_crypto *const backends[] = {
	&vs_crypto_mbedtls,
#ifdef VS_HAVE_OPENSSL
	&vs_crypto_openssl,
#endif
#ifdef VS_HAVE_IPSECMB
	&vs_crypto_ipsecmb, /* last: left out where it is not usable */
#endif
};

static const enum vs_cipher ciphers[] = {VS_CIPHER_AES_256_GCM, VS_CIPHER_CHACHA20_POLY1305};

#define FOR_EACH(item, table) for (size_t item = 0; item < VS_ARRAY_SIZE(table); item++)
#define FOR_EACH_BACKEND(item) for (size_t item = 0; item < backends_n(); item++)

/* Without the last one where this processor does not suit it. */
static size_t backends_n(void)
{
#ifdef VS_HAVE_IPSECMB
	if (!vs_crypto_ipsecmb_usable())
		return VS_ARRAY_SIZE(backends) - 1;
#endif
	return VS_ARRAY_SIZE(backends);
}

static size_t from_hex(uint8_t *out, size_t room, const char *hex)
{
	size_t n = strlen(hex) / 2;

	assert_true(n <= room);
	for (size_t i = 0; i < n; i++) {
		char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
		char *end;
		out[i] = (uint8_t)strtoul(digits, &end, 16);
		assert_ptr_equal(end, digits + 2);
	}
	return n;
}

static void assert_hex(const uint8_t *got, const char *hex)
{
	uint8_t want[512];
	size_t n = from_hex(want, sizeof(want), hex);

	assert_memory_equal(got, want, n);
}

static void fill(uint8_t *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

/* --- X25519 ------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *scalar, *point, *result;
} x25519_vectors[] = {
	/* RFC 7748, section 5.2; the second point has its unused top bit set. */
	{"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
	 "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
	 "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
	{"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
	 "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
	 "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
	/* Section 6.1, both ways. */
	{"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
	 "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
	 "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
	{"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
	 "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
	 "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
};

static void test_x25519_vectors(void **state)
{
	(void)state;
	FOR_EACH_BACKEND(b) {
		FOR_EACH(i, x25519_vectors) {
			uint8_t scalar[VS_KEY_SIZE], point[VS_KEY_SIZE], out[VS_KEY_SIZE];

			from_hex(scalar, sizeof(scalar), x25519_vectors[i].scalar);
			from_hex(point, sizeof(point), x25519_vectors[i].point);
			assert_int_equal(backends[b]->x25519(out, scalar, point), 0);
			assert_hex(out, x25519_vectors[i].result);
		}
	}
}

/* RFC 7748, section 5.2: the result of 1,000 rounds of feeding the output back. Fewer with the slow backend. */
static void test_x25519_iterated(void **state)
{
	(void)state;
	FOR_EACH_BACKEND(b) {
#ifdef VS_HAVE_OPENSSL
		bool slow = backends[b] == &vs_crypto_mbedtls;
#else
		bool slow = true;
#endif
		uint8_t k[VS_KEY_SIZE] = {9}, u[VS_KEY_SIZE] = {9}, r[VS_KEY_SIZE];

		for (int i = 0; i < (slow ? 1 : 1000); i++) {
			assert_int_equal(backends[b]->x25519(r, k, u), 0);
			memcpy(u, k, sizeof(u));
			memcpy(k, r, sizeof(k));
		}
		assert_hex(k, slow ? "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
				   : "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
	}
}

static void test_x25519_public(void **state)
{
	(void)state;
	FOR_EACH_BACKEND(b) {
		uint8_t scalar[VS_KEY_SIZE], out[VS_KEY_SIZE];

		from_hex(scalar, sizeof(scalar), x25519_vectors[2].scalar);
		assert_int_equal(backends[b]->x25519_public(out, scalar), 0);
		assert_hex(out, x25519_vectors[3].point);
	}
}

/* Points whose product with any (clamped) scalar is zero. */
static void test_x25519_low_order(void **state)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};

	(void)state;
	FOR_EACH_BACKEND(b) {
		FOR_EACH(i, points) {
			uint8_t scalar[VS_KEY_SIZE], point[VS_KEY_SIZE], out[VS_KEY_SIZE];

			fill(scalar, sizeof(scalar), 7);
			from_hex(point, sizeof(point), points[i]);
			assert_int_equal(backends[b]->x25519(out, scalar, point), -EINVAL);
		}
	}
}

/* --- SHA-256 and HMAC --------------------------------------------------------------------------------------------- */

static void test_sha256(void **state)
{
	struct iovec parts[] = {{(void *)"a", 1}, {NULL, 0}, {(void *)"bc", 2}};

	(void)state;
	FOR_EACH_BACKEND(b) {
		uint8_t out[VS_HASH_SIZE];

		backends[b]->sha256(out, parts, 3);
		assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
		backends[b]->sha256(out, NULL, 0);
		assert_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	}
}

/* RFC 4231, and the empty key with the empty message. */
static void test_hmac(void **state)
{
	static const struct {
		const char *key, *data, *mac;
	} vectors[] = {
		{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 "dddddddddddddddddddddddddddddddddddddddddddddddddd"
		 "dddddddddddddddddddddddddddddddddddddddddddddddddd",
		 "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{"0102030405060708090a0b0c0d0e0f10111213141516171819",
		 "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
		 "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
		 "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
		{"", "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
	};

	(void)state;
	FOR_EACH_BACKEND(b) {
		FOR_EACH(i, vectors) {
			uint8_t key[64], data[64], out[VS_HASH_SIZE];
			size_t key_len = from_hex(key, sizeof(key), vectors[i].key);
			size_t len = from_hex(data, sizeof(data), vectors[i].data);
			struct iovec parts[] = {{data, len / 2}, {data + len / 2, len - len / 2}};

			backends[b]->hmac(out, key, key_len, parts, 2);
			assert_hex(out, vectors[i].mac);
		}
	}
}

/* --- AEAD --------------------------------------------------------------------------------------------------------- */

/* Vectors whose nonce starts with 32 zero bits, as ours do. */
static const struct {
	enum vs_cipher cipher;
	uint64_t counter;
	const char *key, *ad, *plain, *sealed;
} aead_vectors[] = {
	/* The GCM specification (McGrew and Viega), test cases 13 and 14. */
	{VS_CIPHER_AES_256_GCM, 0, "0000000000000000000000000000000000000000000000000000000000000000", "", "",
	 "530f8afbc74536b9a963b4f1c4cb738b"},
	{VS_CIPHER_AES_256_GCM, 0, "0000000000000000000000000000000000000000000000000000000000000000", "",
	 "00000000000000000000000000000000",
	 "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
	/* RFC 8439, appendix A.5. */
	{VS_CIPHER_CHACHA20_POLY1305, 0x0807060504030201,
	 "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0", "f33388860000000000004e91",
	 "496e7465726e65742d4472616674732061726520647261667420646f63756d656e74732076616c696420666f722061206d6178696d"
	 "756d206f6620736978206d6f6e74687320616e64206d617920626520757064617465642c207265706c616365642c206f72206f6273"
	 "6f6c65746564206279206f7468657220646f63756d656e747320617420616e792074696d652e20497420697320696e617070726f70"
	 "726961746520746f2075736520496e7465726e65742d447261667473206173207265666572656e6365206d6174657269616c206f72"
	 "20746f2063697465207468656d206f74686572207468616e206173202fe2809c776f726b20696e2070726f67726573732e2fe2809d",
	 "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c32"
	 "1b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186"
	 "324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c52"
	 "3eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e46"
	 "6dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b"
	 "eead9d67890cbb22392336fea1851f38"},
};

static void test_aead_vectors(void **state)
{
	(void)state;
	FOR_EACH_BACKEND(b) {
		FOR_EACH(i, aead_vectors) {
			uint8_t key[VS_KEY_SIZE], ad[16], plain[512], sealed[512], out[512];
			size_t ad_len = from_hex(ad, sizeof(ad), aead_vectors[i].ad);
			size_t len = from_hex(plain, sizeof(plain), aead_vectors[i].plain);
			struct iovec part = {plain, len};

			from_hex(key, sizeof(key), aead_vectors[i].key);
			assert_int_equal(from_hex(sealed, sizeof(sealed), aead_vectors[i].sealed), len + VS_SEAL_TAG);

			struct vs_aead *aead = backends[b]->aead_new(aead_vectors[i].cipher, key);
			uint64_t counter = aead_vectors[i].counter;
			assert_non_null(aead);
			assert_int_equal(backends[b]->aead_seal(aead, counter, ad, ad_len, &part, 1, out), 0);
			assert_memory_equal(out, sealed, len + VS_SEAL_TAG);
			assert_int_equal(
				backends[b]->aead_open(aead, counter, ad, ad_len, out, len + VS_SEAL_TAG, out), 0);
			assert_memory_equal(out, plain, len);
			backends[b]->aead_free(aead);
		}
	}
}

#define LARGE 9200

/* Every pair of backends, many sizes and splits: what one seals the other opens. */
static void cross_check(const struct vs_crypto *from, const struct vs_crypto *to, enum vs_cipher cipher)
{
	static uint8_t ad[9136];
	static const size_t sizes[] = {0, 1, 15, 16, 17, 63, 64, 255, 256, 1400, LARGE};
	/* Nothing; a header; whole datagrams, as protection AUTH has them. */
	static const size_t ad_sizes[] = {0, VS_SEAL_HEADER, 1436, sizeof(ad)};
	static uint8_t plain[LARGE], sealed[LARGE + VS_SEAL_TAG], opened[LARGE];
	uint8_t key[VS_KEY_SIZE];

	fill(key, sizeof(key), 1);
	fill(ad, sizeof(ad), 2);
	fill(plain, sizeof(plain), 3);
	struct vs_aead *sealer = from->aead_new(cipher, key), *opener = to->aead_new(cipher, key);
	FOR_EACH(i, sizes) {
		size_t len = sizes[i];
		uint64_t counter = UINT64_C(0x0123456789abcdef) * (i + 1);
		struct iovec parts[] = {{plain, len / 5}, {NULL, 0}, {plain + len / 5, len - len / 5}};

		FOR_EACH(k, ad_sizes) {
			size_t n = ad_sizes[k];
			assert_int_equal(from->aead_seal(sealer, counter, ad, n, parts, len ? 3 : 0, sealed), 0);
			assert_int_equal(
				to->aead_open(opener, counter, ad, n, sealed, len + VS_SEAL_TAG, opened), 0);
			assert_memory_equal(opened, plain, len);
		}
	}
	from->aead_free(sealer);
	to->aead_free(opener);
}

static void test_aead_cross_check(void **state)
{
	(void)state;
	FOR_EACH_BACKEND(from)
		FOR_EACH_BACKEND(to)
			FOR_EACH(c, ciphers)
				cross_check(backends[from], backends[to], ciphers[c]);
}

static void assert_refused(const struct vs_crypto *crypto, enum vs_cipher cipher)
{
	uint8_t key[VS_KEY_SIZE] = {1}, ad[4] = {1, 2, 3, 4}, text[40] = "plain", sealed[56], out[56];
	struct iovec part = {text, sizeof(text)};
	struct vs_aead *aead = crypto->aead_new(cipher, key);

	assert_int_equal(crypto->aead_seal(aead, 5, ad, 4, &part, 1, sealed), 0);
	for (size_t i = 0; i < sizeof(sealed); i++) {
		sealed[i] ^= 0x10;
		assert_int_equal(crypto->aead_open(aead, 5, ad, 4, sealed, sizeof(sealed), out), -EBADMSG);
		sealed[i] ^= 0x10;
	}
	assert_int_equal(crypto->aead_open(aead, 6, ad, 4, sealed, sizeof(sealed), out), -EBADMSG);
	assert_int_equal(crypto->aead_open(aead, 5, ad, 3, sealed, sizeof(sealed), out), -EBADMSG);
	assert_int_equal(crypto->aead_open(aead, 5, ad, 4, sealed, sizeof(sealed) - 1, out), -EBADMSG);
	assert_int_equal(crypto->aead_open(aead, 5, ad, 4, sealed, VS_SEAL_TAG - 1, out), -EBADMSG);
	assert_int_equal(crypto->aead_open(aead, 5, ad, 4, sealed, 0, out), -EBADMSG);
	/* After all these failures the context still works. */
	assert_int_equal(crypto->aead_open(aead, 5, ad, 4, sealed, sizeof(sealed), out), 0);
	assert_memory_equal(out, text, sizeof(text));
	crypto->aead_free(aead);
}

static void test_aead_refuses(void **state)
{
	(void)state;
	FOR_EACH_BACKEND(b)
		FOR_EACH(c, ciphers)
			assert_refused(backends[b], ciphers[c]);
}

static void test_aead_in_place(void **state)
{
	(void)state;
	FOR_EACH_BACKEND(b) {
		FOR_EACH(c, ciphers) {
			uint8_t key[VS_KEY_SIZE] = {2}, text[100], buffer[100 + VS_SEAL_TAG];
			struct iovec part = {buffer, sizeof(text)};
			struct vs_aead *aead = backends[b]->aead_new(ciphers[c], key);

			fill(text, sizeof(text), 4);
			memcpy(buffer, text, sizeof(text));
			assert_int_equal(backends[b]->aead_seal(aead, 1, NULL, 0, &part, 1, buffer), 0);
			assert_memory_not_equal(buffer, text, sizeof(text));
			assert_int_equal(backends[b]->aead_open(aead, 1, NULL, 0, buffer, sizeof(buffer), buffer), 0);
			assert_memory_equal(buffer, text, sizeof(text));
			backends[b]->aead_free(aead);
		}
	}
}

/* A server has more links than mbedTLS 2.28 has key slots. */
static void test_aead_many(void **state)
{
	(void)state;
	FOR_EACH_BACKEND(b) {
		struct vs_aead *aeads[200];

		for (size_t i = 0; i < VS_ARRAY_SIZE(aeads); i++) {
			uint8_t key[VS_KEY_SIZE] = {(uint8_t)i};
			aeads[i] = backends[b]->aead_new(VS_CIPHER_AES_256_GCM, key);
			assert_non_null(aeads[i]);
		}
		for (size_t i = 0; i < VS_ARRAY_SIZE(aeads); i++) {
			uint8_t sealed[5 + VS_SEAL_TAG], out[5];
			struct iovec part = {(void *)"hello", 5};
			struct vs_aead *other = aeads[(i + 1) % VS_ARRAY_SIZE(aeads)];

			assert_int_equal(backends[b]->aead_seal(aeads[i], i, NULL, 0, &part, 1, sealed), 0);
			assert_int_equal(backends[b]->aead_open(other, i, NULL, 0, sealed, 21, out), -EBADMSG);
			assert_int_equal(backends[b]->aead_open(aeads[i], i, NULL, 0, sealed, 21, out), 0);
		}
		for (size_t i = 0; i < VS_ARRAY_SIZE(aeads); i++)
			backends[b]->aead_free(aeads[i]);
		backends[b]->aead_free(NULL);
	}
}

struct worker {
	pthread_t thread;
	const struct vs_crypto *crypto;
	uint8_t number;
	bool failed;
};

/* Seals and opens with a key of its own, and now and then agrees on one. No cmocka here: it is not for threads. */
static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t key[VS_KEY_SIZE] = {w->number}, base[VS_KEY_SIZE] = {9}, public[VS_KEY_SIZE], shared[VS_KEY_SIZE];
	uint8_t text[100] = {w->number}, sealed[100 + VS_SEAL_TAG], opened[100];
	struct iovec part = {text, sizeof(text)};
	struct vs_aead *aead = w->crypto->aead_new(ciphers[w->number % 2], key);

	for (uint64_t i = 0; i < 300; i++) {
		w->failed |= w->crypto->aead_seal(aead, i, NULL, 0, &part, 1, sealed) != 0;
		w->failed |= w->crypto->aead_open(aead, i, NULL, 0, sealed, sizeof(sealed), opened) != 0;
		w->failed |= memcmp(text, opened, sizeof(text)) != 0;
		if (i % 100)
			continue;
		w->failed |= w->crypto->x25519_public(public, key) || w->crypto->x25519(shared, key, base);
		w->failed |= memcmp(public, shared, VS_KEY_SIZE) != 0;
	}
	w->crypto->aead_free(aead);
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	FOR_EACH_BACKEND(b) {
		struct worker workers[4] = { 0 };

		FOR_EACH(i, workers) {
			workers[i].crypto = backends[b];
			workers[i].number = (uint8_t)i;
			assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
		}
		FOR_EACH(i, workers) {
			pthread_join(workers[i].thread, NULL);
			assert_false(workers[i].failed);
		}
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(vs_cipher_name(VS_CIPHER_AES_256_GCM), "aes-256-gcm");
	assert_string_equal(vs_cipher_name(VS_CIPHER_CHACHA20_POLY1305), "chacha20-poly1305");
	assert_string_equal(vs_cipher_name((enum vs_cipher)77), "unknown");
#ifdef VS_HAVE_IPSECMB
	if (vs_crypto_ipsecmb_usable()) {
		assert_ptr_equal(vs_crypto_default(), &vs_crypto_ipsecmb);
		assert_string_equal(vs_crypto_default()->name, "ipsec-mb");
		return;
	}
#endif
#ifdef VS_HAVE_OPENSSL
	assert_string_equal(vs_crypto_default()->name, "openssl");
#else
	assert_string_equal(vs_crypto_default()->name, "mbedtls");
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x25519_vectors),
		cmocka_unit_test(test_x25519_iterated),
		cmocka_unit_test(test_x25519_public),
		cmocka_unit_test(test_x25519_low_order),
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_aead_vectors),
		cmocka_unit_test(test_aead_cross_check),
		cmocka_unit_test(test_aead_refuses),
		cmocka_unit_test(test_aead_in_place),
		cmocka_unit_test(test_aead_many),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_names),
	};

	if (vs_crypto_init())
		return 1;
	return cmocka_run_group_tests_name("crypto", tests, NULL, NULL);
}
