/* Negotiation, and the TLVs that carry it. */
#include "link/params.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

#define AES VS_CIPHER_AES_256_GCM
#define CHACHA VS_CIPHER_CHACHA20_POLY1305
#define ROOM 512

static struct vs_offer some_offer(void)
{
	struct vs_offer offer = vs_offer_default();

	memset(offer.link_id, 0xab, sizeof(offer.link_id));
	offer.timestamp_usec = UINT64_C(0x0005060708090a0b);
	offer.incarnation = UINT64_C(0xfedcba9876543210);
	offer.has_aes = true;
	strcpy(offer.program, "vswitchc 1.2.3");
	return offer;
}

static struct vs_params some_params(void)
{
	struct vs_policy policy = vs_policy_default();
	struct vs_offer offer = some_offer();
	struct vs_params params;

	assert_int_equal(vs_params_choose(&policy, &offer, 77, &params), 0);
	return params;
}

static void test_choose_cipher(void **state)
{
	static const struct {
		enum vs_cipher policy;
		bool server_aes, client_aes;
		uint16_t offered;
		int err;
		enum vs_cipher chosen;
	} cases[] = {
		{0, true, true, VS_OFFER_BIT(AES) | VS_OFFER_BIT(CHACHA), 0, AES},
		{0, true, false, VS_OFFER_BIT(AES) | VS_OFFER_BIT(CHACHA), 0, CHACHA},
		{0, false, true, VS_OFFER_BIT(AES) | VS_OFFER_BIT(CHACHA), 0, CHACHA},
		{0, true, true, VS_OFFER_BIT(CHACHA), 0, CHACHA},
		{0, false, false, VS_OFFER_BIT(AES), 0, AES},
		{0, true, true, 0, -ENOTSUP, 0},
		{AES, false, false, VS_OFFER_BIT(AES) | VS_OFFER_BIT(CHACHA), 0, AES},
		{CHACHA, true, true, VS_OFFER_BIT(AES) | VS_OFFER_BIT(CHACHA), 0, CHACHA},
		{AES, true, true, VS_OFFER_BIT(CHACHA), -ENOTSUP, 0},
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_policy policy = vs_policy_default();
		struct vs_offer offer = some_offer();
		struct vs_params params;

		policy.cipher = cases[i].policy;
		policy.has_aes = cases[i].server_aes;
		offer.has_aes = cases[i].client_aes;
		offer.ciphers = cases[i].offered;
		assert_int_equal(vs_params_choose(&policy, &offer, 1, &params), cases[i].err);
		if (!cases[i].err)
			assert_int_equal(params.cipher, cases[i].chosen);
	}
}

/* The server's choice, and the client's say: what it has not offered it does not get, nor is it taken for offered. */
static void test_choose_protection(void **state)
{
	static const struct {
		enum vs_cipher_choice choice;
		enum vs_protection weakest;
		int err;
		enum vs_cipher cipher;
		enum vs_protection protection;
		const char *text;
	} cases[] = {
		{VS_CIPHER_CHOICE_AUTO, VS_PROTECTION_ENCRYPTED, 0, AES, VS_PROTECTION_ENCRYPTED, "aes-256-gcm"},
		{VS_CIPHER_CHOICE_AES_256_GCM, VS_PROTECTION_NONE, 0, AES, VS_PROTECTION_ENCRYPTED, "aes-256-gcm"},
		{VS_CIPHER_CHOICE_CHACHA20_POLY1305, VS_PROTECTION_NONE, 0, CHACHA, VS_PROTECTION_ENCRYPTED,
		 "chacha20-poly1305"},
		{VS_CIPHER_CHOICE_AUTH, VS_PROTECTION_ENCRYPTED, -ENOTSUP, AES, VS_PROTECTION_AUTH, "auth"},
		{VS_CIPHER_CHOICE_AUTH, VS_PROTECTION_AUTH, 0, AES, VS_PROTECTION_AUTH, "auth"},
		{VS_CIPHER_CHOICE_AUTH, VS_PROTECTION_NONE, 0, AES, VS_PROTECTION_AUTH, "auth"},
		{VS_CIPHER_CHOICE_NONE, VS_PROTECTION_ENCRYPTED, -ENOTSUP, AES, VS_PROTECTION_NONE, "none"},
		{VS_CIPHER_CHOICE_NONE, VS_PROTECTION_AUTH, -ENOTSUP, AES, VS_PROTECTION_NONE, "none"},
		{VS_CIPHER_CHOICE_NONE, VS_PROTECTION_NONE, 0, AES, VS_PROTECTION_NONE, "none"},
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_policy policy = vs_policy_default();
		struct vs_offer offer = some_offer();
		struct vs_params params;

		policy.has_aes = true;
		vs_policy_set_cipher(&policy, cases[i].choice);
		offer.protections = vs_protections_from(cases[i].weakest);
		assert_int_equal(vs_params_choose(&policy, &offer, 1, &params), cases[i].err);
		/* Also where they do not meet, so that the client can say what is demanded. */
		assert_int_equal(params.cipher, cases[i].cipher);
		assert_int_equal(params.protection, cases[i].protection);
		assert_string_equal(vs_cipher_text(params.cipher, params.protection), cases[i].text);
	}
}

/* A peer that knows nothing of protections encrypts, and is understood so. */
static void test_protection_absent(void **state)
{
	struct vs_offer offer = { .protections = 0 };

	(void)state;
	assert_true(vs_offer_allows(&offer, VS_PROTECTION_ENCRYPTED));
	assert_false(vs_offer_allows(&offer, VS_PROTECTION_AUTH));
	assert_false(vs_offer_allows(&offer, VS_PROTECTION_NONE));
	offer = vs_offer_default();
	assert_false(vs_offer_allows(&offer, VS_PROTECTION_AUTH));
	assert_false(vs_offer_allows(&offer, VS_PROTECTION_NONE));
}

static void test_choose_limits(void **state)
{
	struct vs_policy policy = vs_policy_default();
	struct vs_offer offer = some_offer();
	struct vs_params params;

	(void)state;
	policy.lanes = 16;
	offer.datagram_max = 1400;
	offer.version = 9;
	assert_int_equal(vs_params_choose(&policy, &offer, 1, &params), 0);
	assert_int_equal(params.lanes, 16);
	assert_int_equal(params.datagram_max, 1400);
	assert_int_equal(params.version, VS_PROTOCOL_VERSION);
	assert_false(params.resumed);
	offer.lanes_max = 4;
	policy.datagram_max = 1300;
	assert_int_equal(vs_params_choose(&policy, &offer, offer.incarnation, &params), 0);
	assert_int_equal(params.lanes, 4);
	assert_int_equal(params.datagram_max, 1300);
	assert_true(params.resumed);
	offer.modes = VS_OFFER_BIT(VS_MODE_DATAGRAM);
	assert_int_equal(vs_params_choose(&policy, &offer, 1, &params), -ENOTSUP);
}

static void test_fit(void **state)
{
	struct vs_offer offer = some_offer();
	const struct vs_params good = some_params();
	struct vs_params bad[9];

	(void)state;
	assert_true(vs_params_fit(&good, &offer));
	offer.datagram_max = good.datagram_max;
	offer.lanes_max = (uint8_t)(good.lanes - 1);
	assert_false(vs_params_fit(&good, &offer));
	offer = some_offer();
	for (size_t i = 0; i < VS_ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].version = (uint16_t)(offer.version + 1);
	bad[1].cipher = 3;
	bad[2].mode = 3;
	bad[3].datagram_max = (uint16_t)(offer.datagram_max + 1);
	bad[4].resumed = true;
	bad[5].incarnation = offer.incarnation;
	bad[6].protection = VS_PROTECTION_AUTH;
	bad[7].carriers = VS_CARRIER_BIT(VS_CARRIER_TCP); /* the offer has come by UDP */
	bad[8].fec_down = (struct vs_fec_config){ VS_FEC_FIXED, 10, 3, 0 };
	bad[8].features = 0;
	for (size_t i = 0; i < VS_ARRAY_SIZE(bad); i++)
		assert_false(vs_params_fit(&bad[i], &offer));
}

static void test_choose_carrier(void **state)
{
	struct vs_policy policy = vs_policy_default();
	struct vs_offer offer = some_offer();
	struct vs_params params;

	(void)state;
	assert_int_equal(policy.carriers, VS_CARRIERS_ALL);
	for (unsigned kind = 0; kind < VS_CARRIER_KINDS; kind++) {
		offer.carrier = (enum vs_carrier_kind)kind;
		policy.carriers = VS_CARRIERS_ALL;
		assert_int_equal(vs_params_choose(&policy, &offer, 1, &params), 0);
		policy.carriers = (uint8_t)VS_CARRIER_BIT(kind);
		assert_int_equal(vs_params_choose(&policy, &offer, 1, &params), 0);
		policy.carriers = (uint8_t)(VS_CARRIERS_ALL & ~VS_CARRIER_BIT(kind));
		assert_int_equal(vs_params_choose(&policy, &offer, 1, &params), -ENOTSUP);
		/* The client is told which it may take. */
		assert_int_equal(params.carriers, policy.carriers);
	}
}

/* FEC only where the client takes it; without, the port works and has none. */
static void test_choose_fec(void **state)
{
	struct vs_policy policy = vs_policy_default();
	struct vs_offer offer = some_offer();
	struct vs_params params;

	(void)state;
	policy.fec_up = (struct vs_fec_config){ VS_FEC_FIXED, 10, 3, 0 };
	policy.fec_down = (struct vs_fec_config){ VS_FEC_AUTO, 0, 0, 40 };
	assert_int_equal(vs_params_choose(&policy, &offer, 1, &params), 0);
	assert_true(vs_fec_config_equal(&params.fec_up, &policy.fec_up));
	assert_true(vs_fec_config_equal(&params.fec_down, &policy.fec_down));
	offer.features &= ~(uint32_t)VS_FEATURE_FEC;
	assert_int_equal(vs_params_choose(&policy, &offer, 1, &params), 0);
	assert_int_equal(params.fec_up.kind, VS_FEC_OFF);
	assert_int_equal(params.fec_down.kind, VS_FEC_OFF);
}

static void test_offer_round_trip(void **state)
{
	struct vs_offer offer = some_offer(), out;
	uint8_t data[VS_OFFER_ENCODED_MAX + 50];

	(void)state;
	memset(offer.program, 'x', VS_PROGRAM_MAX);
	offer.protections = vs_protections_from(VS_PROTECTION_NONE);
	size_t len = vs_offer_encode(&offer, data);
	assert_true(len <= VS_OFFER_ENCODED_MAX);
	vs_tlv_pad(data, len, sizeof(data));
	assert_int_equal(vs_offer_decode(data, sizeof(data), &out), 0);
	assert_memory_equal(out.link_id, offer.link_id, VS_LINK_ID_SIZE);
	assert_int_equal(out.version, offer.version);
	assert_int_equal(out.timestamp_usec, offer.timestamp_usec);
	assert_int_equal(out.incarnation, offer.incarnation);
	assert_int_equal(out.ciphers, offer.ciphers);
	assert_int_equal(out.has_aes, offer.has_aes);
	assert_int_equal(out.protections, offer.protections);
	assert_int_equal(out.modes, offer.modes);
	assert_int_equal(out.lanes_max, offer.lanes_max);
	assert_int_equal(out.datagram_max, offer.datagram_max);
	assert_int_equal(out.mtu, offer.mtu);
	assert_string_equal(out.program, offer.program);
}

static void test_params_round_trip(void **state)
{
	struct vs_params params = some_params(), out;
	uint8_t data[VS_PARAMS_ENCODED_MAX];

	(void)state;
	params.mode = VS_MODE_DATAGRAM;
	params.congestion = VS_CONGESTION_NONE;
	params.protection = VS_PROTECTION_NONE;
	params.max_age_usec = 0;
	params.resumed = true;
	params.mtu = 9000;
	params.fec_up = (struct vs_fec_config){ VS_FEC_FIXED, 20, 7, 0 };
	params.fec_down = (struct vs_fec_config){ VS_FEC_AUTO, 0, 0, 35 };
	params.kcp = (struct vs_kcp_config){ true, 30, 2, 300, 4000 };
	params.carriers = VS_CARRIER_BIT(VS_CARRIER_FAKETCP);
	assert_int_equal(vs_params_decode(data, vs_params_encode(&params, data), &out), 0);
	assert_int_equal(out.version, params.version);
	assert_int_equal(out.cipher, params.cipher);
	assert_int_equal(out.protection, VS_PROTECTION_NONE);
	assert_int_equal(out.mode, params.mode);
	assert_int_equal(out.congestion, params.congestion);
	assert_int_equal(out.lanes, params.lanes);
	assert_int_equal(out.datagram_max, params.datagram_max);
	assert_int_equal(out.mtu, params.mtu);
	assert_int_equal(out.keepalive_usec, params.keepalive_usec);
	assert_int_equal(out.max_age_usec, 0);
	assert_int_equal(out.incarnation, 77);
	assert_true(out.resumed);
	assert_true(vs_fec_config_equal(&out.fec_up, &params.fec_up));
	assert_true(vs_fec_config_equal(&out.fec_down, &params.fec_down));
	assert_true(out.kcp.nodelay);
	assert_int_equal(out.kcp.interval_msec, 30);
	assert_int_equal(out.kcp.resend, 2);
	assert_int_equal(out.kcp.sndwnd, 300);
	assert_int_equal(out.kcp.rcvwnd, 4000);
	assert_int_equal(out.carriers, VS_CARRIER_BIT(VS_CARRIER_FAKETCP));
}

/* Where the value of a TLV is in an encoding. */
static uint8_t *find_tlv(uint8_t *data, size_t len, unsigned type)
{
	for (size_t at = 0; at + VS_TLV_HEADER <= len; at += VS_TLV_HEADER + vs_get_be16(data + at + 2)) {
		if (vs_get_be16(data + at) == type)
			return data + at;
	}
	return NULL;
}

/* A server that knows nothing of FEC, of knobs and of carriers means what there was before them. */
static void test_params_absent(void **state)
{
	struct vs_params params = some_params(), out;
	uint8_t data[VS_PARAMS_ENCODED_MAX];
	size_t len = vs_params_encode(&params, data);
	size_t old = (size_t)(find_tlv(data, len, VS_TLV_FEC) - data);

	(void)state;
	assert_int_equal(vs_params_decode(data, old, &out), 0);
	assert_int_equal(out.fec_up.kind, VS_FEC_OFF);
	assert_int_equal(out.fec_down.kind, VS_FEC_OFF);
	assert_false(out.kcp.nodelay);
	assert_int_equal(out.kcp.interval_msec, VS_KCP_INTERVAL_DEFAULT);
	assert_int_equal(out.kcp.resend, 0);
	assert_int_equal(out.kcp.sndwnd, VS_WINDOW_MAX);
	assert_int_equal(out.kcp.rcvwnd, VS_WINDOW_MAX);
	assert_int_equal(out.carriers, VS_CARRIERS_ALL);
}

/* Removing, truncating, or doubling any mandatory TLV of an offer or of params is noticed. */
static void check_structure(const uint8_t *data, size_t len, unsigned optional, int (*decode)(const uint8_t *, size_t))
{
	uint8_t copy[ROOM];

	assert_int_equal(decode(data, len), 0);
	for (size_t at = 0, next; at < len; at = next) {
		next = at + VS_TLV_HEADER + vs_get_be16(data + at + 2);

		memcpy(copy, data, len);
		memmove(copy + at, copy + next, len - next);
		unsigned type = vs_get_be16(data + at);
		bool may_go = type == optional || type == VS_TLV_FEATURES || type == VS_TLV_PROTECTIONS ||
			      type == VS_TLV_PROTECTION || type == VS_TLV_FEC || type == VS_TLV_KCP ||
			      type == VS_TLV_CARRIERS;
		assert_int_equal(decode(copy, len - (next - at)), may_go ? 0 : -EBADMSG);

		memcpy(copy, data, len);
		memcpy(copy + len, data + at, next - at);
		assert_int_equal(decode(copy, len + next - at), -EBADMSG);

		memcpy(copy, data, len);
		copy[at] = 0x7f; /* an unknown type */
		assert_int_equal(decode(copy, len), may_go ? 0 : -EBADMSG);

		for (size_t cut = at + 1; cut < next; cut++)
			assert_int_equal(decode(data, cut), -EBADMSG);
	}
	memcpy(copy, data, len);
	memcpy(copy + len, "\x7f\xff\x00\x02??\x00\x00\x00\x01?", 11); /* an unknown one, a PAD */
	assert_int_equal(decode(copy, len + 11), 0);
	copy[len + 3] = 200;
	assert_int_equal(decode(copy, len + 11), -EBADMSG);
}

static int decode_offer(const uint8_t *data, size_t len)
{
	struct vs_offer out;

	return vs_offer_decode(data, len, &out);
}

static int decode_params(const uint8_t *data, size_t len)
{
	struct vs_params out;

	return vs_params_decode(data, len, &out);
}

static void test_structure(void **state)
{
	struct vs_offer offer = some_offer();
	struct vs_params params = some_params();
	uint8_t data[VS_OFFER_ENCODED_MAX];

	(void)state;
	check_structure(data, vs_offer_encode(&offer, data), VS_TLV_PROGRAM, decode_offer);
	check_structure(data, vs_params_encode(&params, data), UINT16_MAX, decode_params);
	assert_int_equal(decode_offer(NULL, 0), -EBADMSG);
	assert_int_equal(decode_params(NULL, 0), -EBADMSG);
}

/* A known TLV whose length is not its own is refused. */
static void test_wrong_length(void **state)
{
	struct vs_offer offer = some_offer();
	uint8_t data[ROOM] = { 0 };
	size_t len = vs_offer_encode(&offer, data);
	uint8_t *tlv = find_tlv(data, len, VS_TLV_TIMESTAMP);

	(void)state;
	assert_non_null(tlv);
	memmove(tlv + 5, tlv + 4, (size_t)(data + len - tlv - 4));
	vs_put_be16(tlv + 2, 9);
	assert_int_equal(decode_offer(data, len + 1), -EBADMSG);
}

/* value: big-endian, of the TLV's size */
struct bad_value {
	unsigned type;
	uint64_t value;
};

static void check_values(const uint8_t *data, size_t len, const struct bad_value *cases, size_t n,
			 int (*decode)(const uint8_t *, size_t))
{
	for (size_t i = 0; i < n; i++) {
		uint8_t copy[ROOM];

		memcpy(copy, data, len);
		uint8_t *tlv = find_tlv(copy, len, cases[i].type);
		assert_non_null(tlv);
		size_t size = vs_get_be16(tlv + 2);
		for (size_t b = 0; b < size; b++)
			tlv[VS_TLV_HEADER + b] = (uint8_t)(cases[i].value >> 8 * (size - 1 - b));
		assert_int_equal(decode(copy, len), -EBADMSG);
	}
}

static void test_values(void **state)
{
	static const struct bad_value offer_cases[] = {
		{VS_TLV_VERSION, 0}, {VS_TLV_LANES, 0}, {VS_TLV_LANES, VS_LANES_MAX + 1},
		{VS_TLV_DATAGRAM_MAX, VS_DATAGRAM_BASE - 1}, {VS_TLV_DATAGRAM_MAX, VS_DATAGRAM_MAX + 1},
		{VS_TLV_MTU, 67}, {VS_TLV_MTU, 9001},
	};
	static const struct bad_value params_cases[] = {
		{VS_TLV_VERSION, 0}, {VS_TLV_LANES, 0}, {VS_TLV_LANES, VS_LANES_MAX + 1},
		{VS_TLV_DATAGRAM_MAX, VS_DATAGRAM_BASE - 1}, {VS_TLV_DATAGRAM_MAX, VS_DATAGRAM_MAX + 1},
		{VS_TLV_MTU, 67}, {VS_TLV_MTU, 9001}, {VS_TLV_CIPHER, 0}, {VS_TLV_CIPHER, 3}, {VS_TLV_MODE, 0},
		{VS_TLV_MODE, 3}, {VS_TLV_PROTECTION, 3}, {VS_TLV_CONGESTION, 3}, {VS_TLV_KEEPALIVE, 0},
		{VS_TLV_INCARNATION, 0}, {VS_TLV_CARRIERS, 0},
		/* kind 3; 0 parities; k of 65; auto without a ceiling, and with one of 201 %: up, and down */
		{VS_TLV_FEC, UINT64_C(0x0300000000000000)}, {VS_TLV_FEC, UINT64_C(0x010a000000000000)},
		{VS_TLV_FEC, UINT64_C(0x0141010000000000)}, {VS_TLV_FEC, UINT64_C(0x0200000000000000)},
		{VS_TLV_FEC, UINT64_C(0x000000c9020000c9)}, {VS_TLV_FEC, UINT64_C(0x0000000003000000)},
		/* interval 0 and 101; windows of 255 and 4097 */
		{VS_TLV_KCP, UINT64_C(0x0000000010001000)}, {VS_TLV_KCP, UINT64_C(0x0000650010001000)},
		{VS_TLV_KCP, UINT64_C(0x0000050000ff1000)}, {VS_TLV_KCP, UINT64_C(0x0000050010011000)},
		{VS_TLV_KCP, UINT64_C(0x00000500100000ff)}, {VS_TLV_KCP, UINT64_C(0x0000050010001001)},
	};
	struct vs_offer offer = some_offer();
	struct vs_params params = some_params();
	uint8_t data[VS_OFFER_ENCODED_MAX];

	(void)state;
	check_values(data, vs_offer_encode(&offer, data), offer_cases, VS_ARRAY_SIZE(offer_cases), decode_offer);
	check_values(data, vs_params_encode(&params, data), params_cases, VS_ARRAY_SIZE(params_cases), decode_params);
}

/* What a peer calls itself reaches terminals and logs. */
static void test_program_is_printable(void **state)
{
	struct vs_offer offer = some_offer(), out;
	uint8_t data[ROOM];

	(void)state;
	strcpy(offer.program, "a\x1b[2J\n\xff" "b");
	size_t len = vs_offer_encode(&offer, data);
	assert_int_equal(vs_offer_decode(data, len, &out), 0);
	assert_string_equal(out.program, "a?[2J??b");

	strcpy(offer.program, "");
	len = vs_offer_encode(&offer, data);
	assert_int_equal(vs_offer_decode(data, len, &out), 0);
	assert_string_equal(out.program, "");
	vs_put_be16(find_tlv(data, len, VS_TLV_PROGRAM) + 2, VS_PROGRAM_MAX + 1);
	memset(data + len, 'x', VS_PROGRAM_MAX + 1);
	assert_int_equal(vs_offer_decode(data, len + VS_PROGRAM_MAX + 1, &out), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose_cipher),
		cmocka_unit_test(test_choose_protection),
		cmocka_unit_test(test_protection_absent),
		cmocka_unit_test(test_choose_limits),
		cmocka_unit_test(test_choose_carrier),
		cmocka_unit_test(test_choose_fec),
		cmocka_unit_test(test_params_absent),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_offer_round_trip),
		cmocka_unit_test(test_params_round_trip),
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_wrong_length),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_program_is_printable),
	};

	return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
