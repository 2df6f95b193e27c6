/* The published Noise vectors (the cacophony and snow collections) with each backend: both handshake messages, the
 * handshake hash, and the transport messages under the keys of Split(). */
#include "link/noise.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

#define MESSAGES_MAX 6
#define ROOM 256

static const struct vector {
	const char *source;
	enum vs_noise_pattern pattern;
	const char *prologue, *psk, *hash;
	const char *initiator_static, *initiator_ephemeral;
	const char *responder_static, *responder_public, *responder_ephemeral;
	struct {
		const char *payload, *ciphertext;
	} messages[MESSAGES_MAX];
} vectors[] = {
	{
		.source = "snow",
		.pattern = VS_NOISE_IK,
		.prologue =
			"5468657265206973206e6f20726967687420616e642077726f6e672e2054686572652773206f6e6c79206675"
			"6e20616e6420626f72696e672e",
		.initiator_static =
			"f49f93c5112c0787acc808d61716d7e090e076a58f15a3f78d92773f8dcb473b",
		.initiator_ephemeral =
			"dae68498c41315cff7e4a34dded8d973199d8f0cf3fcb8b6651c169de77de8be",
		.responder_public =
			"2ea5942829bac414e25aa4cbb1bcc43394816ebb1bd12550d7d0eb4415e42951",
		.responder_static =
			"b790546f98b1e933c48cd01f17e7b281469d46fcacc9a3b584ae65b1d6272e8e",
		.responder_ephemeral =
			"c0875a5b59c8492bd2135e5432d7d484f938e0a1f5009428c4bcb70b2f69f69f",
		.messages = {
			{"95a8f51c435a9530ff1f30868ed7b23ec952eb513c26a0774fed82d2978a8c81",
			 "6d21fec9141f3f37cc464e936a48b2d9521b5a44e0f3d960895d3c3fba30282f731f445c25e898e2534ac053"
			 "6715b24308c108fc46bd260c887b36c3f68e3a05654fc8295c068ed53fb2022560961224e0b10b0835e1efc8"
			 "2fc587cd50f7178fe3d9eb06e0351c6e7334162c10bed670bfa2a105f7b2768a140b3fd597782601"},
			{"b866b807a6d8b83182b884dbfedc861843c5082bd6e480cb54e4245a72083041",
			 "e64e1fb8701c4f4bc3850b255fea657d4d835338b059c89acc99628fbe52473b41a4e79e3c1e6abc46bf80f0"
			 "78a005e15d8a3e04f989af3e6cb99b52031165006163ac3e17b928af8c116009d7bf4fb2"},
			{"e3a4937faef391028f759758b428b57652e0069a8dee64dfed01b60846938740",
			 "2bebe19102169cdfe79cf41e38930bfd20a5b2fc78ccf33e853ddd939c0983174656eb27b61464a607762848"
			 "892ca1c0"},
			{"693972f27b0cb98aeac1fb54d782125431e7540e0cb2fa882cf51a8184d724fd",
			 "c7c56da33b45d12f4754e17978bd49999c9c8f51d00db460f902aba2e6e245d0c46662f507915de8596f43b1"
			 "d175f1db"},
		},
	},
	{
		.source = "cacophony",
		.pattern = VS_NOISE_IK,
		.prologue =
			"4a6f686e2047616c74",
		.initiator_static =
			"e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
		.initiator_ephemeral =
			"893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
		.responder_public =
			"31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
		.responder_static =
			"4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
		.responder_ephemeral =
			"bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
		.hash =
			"0b0f68fb0c27e03ce9b97565995ed4838cc0581b762ef72b062f6a546419fad7",
		.messages = {
			{"4c756477696720766f6e204d69736573",
			 "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944718da798efbcd91528520204"
			 "f904b9bd6c7413dccdc214d951e15253e39987f18146e8cd0873654207148333479d4d16c289f0294b29960a"
			 "72f48e0b7bba2e89083169825e59642148d492020664ccf7"},
			{"4d757272617920526f746862617264",
			 "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088435361e70b2ed446e6c9ec387d"
			 "1d6b3b840f194e373979d241b203c4acafccf5"},
			{"462e20412e20486179656b",
			 "050e9f3c8fac16b68dbce8f8c4bfbf6617c897f9ada4aa29aa19c8"},
			{"4361726c204d656e676572",
			 "344233a6cabb7141d80f3da2fedc311d9646bbb0f505afe403a667"},
			{"4a65616e2d426170746973746520536179",
			 "62cdeeb172ad7ade7aa7d9e069da5790f12331bfa00177787a1d0810c67dc3b2b4"},
			{"457567656e2042f6686d20766f6e2042617765726b",
			 "029bead1b40992327044d409d9a1f3ad8f36c3c452775d557e18bbeb2e8dfcead32d514024"},
		},
	},
	{
		.source = "cacophony",
		.pattern = VS_NOISE_IKPSK2,
		.prologue =
			"4a6f686e2047616c74",
		.initiator_static =
			"e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
		.initiator_ephemeral =
			"893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
		.responder_public =
			"31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
		.responder_static =
			"4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
		.responder_ephemeral =
			"bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
		.hash =
			"8310f86394dc0dabb40beb8210031556db4403ab1202db7034c526232147a700",
		.psk = "54686973206973206d7920417573747269616e20706572737065637469766521",
		.messages = {
			{"4c756477696720766f6e204d69736573",
			 "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79442ec9b09893d0f510791784c1"
			 "0cbc959f25b1766e0def6e301d14fbca1c7790ac829b8b3674f5f649a5f0e98479662cbfbf2b2c47cd4b09fc"
			 "d266cd29d7cb675f1808849707847840f6d178ec4d3733aa"},
			{"4d757272617920526f746862617264",
			 "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088439a1b3cebf680b2c74217fcb5"
			 "eba4ff58a9468cd90c4aca6194f57479b379a7"},
			{"462e20412e20486179656b",
			 "a8fde7a0accec190cd306c5950d4fd8e04a205ec288aa747d8b347"},
			{"4361726c204d656e676572",
			 "59caddd9984a3bbe24c4fb31a2bd455b7eba3fa0980674b1a3a5f9"},
			{"4a65616e2d426170746973746520536179",
			 "3b9bfebd210c22ba0cff9de79b4007d7a552fffbf92616881faa8a883e25b80258"},
			{"457567656e2042f6686d20766f6e2042617765726b",
			 "f37512df1043d564d7c46ac85c53d3b6a9a05724bc297e7142808f217561651217fe85b782"},
		},
	},
};

static const struct vs_crypto *const backends[] = {
	&vs_crypto_mbedtls,
#ifdef VS_HAVE_OPENSSL
	&vs_crypto_openssl,
#endif
};

struct bytes {
	uint8_t data[ROOM];
	size_t len;
};

static struct bytes from_hex(const char *hex)
{
	struct bytes b = { .len = hex ? strlen(hex) / 2 : 0 };

	assert_true(b.len <= ROOM);
	for (size_t i = 0; i < b.len; i++) {
		char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
		b.data[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return b;
}

/* Both ends of one handshake, set up from a vector. */
struct ends {
	struct vs_noise initiator, responder;
	struct bytes initiator_ephemeral, responder_ephemeral, psk;
};

static void set_up(struct ends *ends, const struct vs_crypto *crypto, const struct vector *v)
{
	struct bytes prologue = from_hex(v->prologue);
	struct bytes initiator = from_hex(v->initiator_static), responder = from_hex(v->responder_static);
	struct bytes responder_public = from_hex(v->responder_public);
	uint8_t public[VS_KEY_SIZE];

	assert_int_equal(crypto->x25519_public(public, responder.data), 0);
	assert_memory_equal(public, responder_public.data, VS_KEY_SIZE);
	vs_noise_init(&ends->responder, crypto, v->pattern, prologue.data, prologue.len, responder.data, public, NULL);
	assert_int_equal(crypto->x25519_public(public, initiator.data), 0);
	vs_noise_init(&ends->initiator, crypto, v->pattern, prologue.data, prologue.len, initiator.data, public,
		      responder_public.data);
	ends->initiator_ephemeral = from_hex(v->initiator_ephemeral);
	ends->responder_ephemeral = from_hex(v->responder_ephemeral);
	ends->psk = from_hex(v->psk);
}

static void check_initiation(struct ends *ends, const struct vector *v)
{
	struct bytes payload = from_hex(v->messages[0].payload), want = from_hex(v->messages[0].ciphertext);
	uint8_t out[ROOM];

	assert_int_equal(vs_noise_write_initiation(&ends->initiator, ends->initiator_ephemeral.data, payload.data,
						   payload.len, out), 0);
	assert_int_equal(want.len, payload.len + VS_NOISE_INITIATION_OVERHEAD);
	assert_memory_equal(out, want.data, want.len);

	assert_int_equal(vs_noise_read_initiation(&ends->responder, want.data, want.len, out), 0);
	assert_memory_equal(out, payload.data, payload.len);
	assert_memory_equal(ends->responder.remote_static, ends->initiator.static_public, VS_KEY_SIZE);
}

static void check_response(struct ends *ends, const struct vector *v)
{
	struct bytes payload = from_hex(v->messages[1].payload), want = from_hex(v->messages[1].ciphertext);
	uint8_t out[ROOM];

	assert_int_equal(vs_noise_write_response(&ends->responder, ends->responder_ephemeral.data, ends->psk.data,
						 payload.data, payload.len, out), 0);
	assert_int_equal(want.len, payload.len + VS_NOISE_RESPONSE_OVERHEAD);
	assert_memory_equal(out, want.data, want.len);

	assert_int_equal(vs_noise_read_response(&ends->initiator, ends->psk.data, want.data, want.len, out), 0);
	assert_memory_equal(out, payload.data, payload.len);
	assert_memory_equal(ends->initiator.hash, ends->responder.hash, VS_HASH_SIZE);
	if (v->hash)
		assert_memory_equal(ends->initiator.hash, from_hex(v->hash).data, VS_HASH_SIZE);
}

/* Transport messages go to and fro, so each direction's nonce counts every other one. */
static void check_transport(const struct ends *ends, const struct vs_crypto *crypto, const struct vector *v)
{
	uint8_t keys[2][VS_KEY_SIZE], same[2][VS_KEY_SIZE], out[ROOM];

	vs_noise_split(&ends->initiator, keys[0], keys[1]);
	vs_noise_split(&ends->responder, same[0], same[1]);
	assert_memory_equal(keys, same, sizeof(keys));
	for (size_t i = 2; i < MESSAGES_MAX && v->messages[i].payload; i++) {
		struct bytes payload = from_hex(v->messages[i].payload), want = from_hex(v->messages[i].ciphertext);
		struct vs_aead *aead = crypto->aead_new(VS_CIPHER_CHACHA20_POLY1305, keys[i % 2]);
		struct iovec part = {payload.data, payload.len};

		assert_int_equal(crypto->aead_seal(aead, (i - 2) / 2, NULL, 0, &part, 1, out), 0);
		assert_int_equal(want.len, payload.len + VS_SEAL_TAG);
		assert_memory_equal(out, want.data, want.len);
		crypto->aead_free(aead);
	}
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t b = 0; b < VS_ARRAY_SIZE(backends); b++) {
		for (size_t i = 0; i < VS_ARRAY_SIZE(vectors); i++) {
			struct ends ends;

			set_up(&ends, backends[b], &vectors[i]);
			check_initiation(&ends, &vectors[i]);
			check_response(&ends, &vectors[i]);
			check_transport(&ends, backends[b], &vectors[i]);
		}
	}
}

/* Every byte of both messages is authenticated. */
static void test_tampering(void **state)
{
	const struct vector *v = &vectors[VS_ARRAY_SIZE(vectors) - 1];
	struct ends ends;
	uint8_t out[ROOM];

	(void)state;
	set_up(&ends, vs_crypto_default(), v);
	struct bytes first = from_hex(v->messages[0].ciphertext), second = from_hex(v->messages[1].ciphertext);
	for (size_t i = 0; i < first.len; i++) {
		struct vs_noise copy = ends.responder;
		first.data[i] ^= 1;
		assert_int_not_equal(vs_noise_read_initiation(&copy, first.data, first.len, out), 0);
		first.data[i] ^= 1;
	}
	check_initiation(&ends, v);
	for (size_t i = 0; i < second.len; i++) {
		struct vs_noise copy = ends.initiator;
		second.data[i] ^= 1;
		assert_int_not_equal(vs_noise_read_response(&copy, ends.psk.data, second.data, second.len, out), 0);
		second.data[i] ^= 1;
	}
	check_response(&ends, v);
}

static void test_short_and_wrong(void **state)
{
	const struct vector *v = &vectors[VS_ARRAY_SIZE(vectors) - 1];
	const uint8_t other_psk[VS_KEY_SIZE] = {1};
	struct ends ends;
	uint8_t out[ROOM];

	(void)state;
	set_up(&ends, vs_crypto_default(), v);
	assert_int_equal(vs_noise_read_initiation(&ends.responder, out, VS_NOISE_INITIATION_OVERHEAD - 1, out),
			 -EBADMSG);
	assert_int_equal(vs_noise_read_response(&ends.initiator, other_psk, out, VS_NOISE_RESPONSE_OVERHEAD - 1, out),
			 -EBADMSG);
	check_initiation(&ends, v);
	struct bytes second = from_hex(v->messages[1].ciphertext);
	assert_int_equal(vs_noise_read_response(&ends.initiator, other_psk, second.data, second.len, out), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_short_and_wrong),
	};

	if (vs_crypto_init())
		return 1;
	return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
