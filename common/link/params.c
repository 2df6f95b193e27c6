#include "link/params.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define MTU_MIN 68 /* RFC 791 */
#define MTU_MAX 9000

#define BIT(tlv) (UINT32_C(1) << (tlv))

static const uint32_t offer_mandatory = BIT(VS_TLV_VERSION) | BIT(VS_TLV_INCARNATION) | BIT(VS_TLV_LANES) |
					BIT(VS_TLV_DATAGRAM_MAX) | BIT(VS_TLV_MTU) | BIT(VS_TLV_LINK_ID) |
					BIT(VS_TLV_TIMESTAMP) | BIT(VS_TLV_CIPHERS) | BIT(VS_TLV_MODES);

static const uint32_t params_mandatory = BIT(VS_TLV_VERSION) | BIT(VS_TLV_INCARNATION) | BIT(VS_TLV_LANES) |
					 BIT(VS_TLV_DATAGRAM_MAX) | BIT(VS_TLV_MTU) | BIT(VS_TLV_CIPHER) |
					 BIT(VS_TLV_MODE) | BIT(VS_TLV_CONGESTION) | BIT(VS_TLV_KEEPALIVE) |
					 BIT(VS_TLV_MAX_AGE) | BIT(VS_TLV_RESUMED);

const char *vs_mode_name(enum vs_mode mode)
{
	switch (mode) {
	case VS_MODE_RELIABLE:
		return "reliable";
	case VS_MODE_DATAGRAM:
		return "datagram";
	}
	return "unknown";
}

const char *vs_carrier_name(enum vs_carrier_kind kind)
{
	static const char *const names[VS_CARRIER_KINDS] = { "udp", "faketcp", "tcp" };
	return kind < VS_CARRIER_KINDS ? names[kind] : "unknown";
}

const char *vs_protection_name(enum vs_protection protection)
{
	switch (protection) {
	case VS_PROTECTION_ENCRYPTED:
		return "encrypted";
	case VS_PROTECTION_AUTH:
		return "auth";
	case VS_PROTECTION_NONE:
		return "none";
	}
	return "unknown";
}

const char *vs_cipher_text(enum vs_cipher cipher, enum vs_protection protection)
{
	return protection == VS_PROTECTION_ENCRYPTED ? vs_cipher_name(cipher) : vs_protection_name(protection);
}

struct vs_offer vs_offer_default(void)
{
	return (struct vs_offer){
		.version = VS_PROTOCOL_VERSION,
		.ciphers = VS_OFFER_BIT(VS_CIPHER_AES_256_GCM) | VS_OFFER_BIT(VS_CIPHER_CHACHA20_POLY1305),
		.protections = vs_protections_from(VS_PROTECTION_ENCRYPTED),
		.modes = VS_OFFER_BIT(VS_MODE_RELIABLE) | VS_OFFER_BIT(VS_MODE_DATAGRAM),
		.lanes_max = VS_LANES_MAX,
		.datagram_max = VS_DATAGRAM_MAX,
		.mtu = 1500,
		.features = VS_FEATURE_SUPER | VS_FEATURE_FEC,
	};
}

struct vs_policy vs_policy_default(void)
{
	return (struct vs_policy){
		.protection = VS_PROTECTION_ENCRYPTED,
		.mode = VS_MODE_RELIABLE,
		.congestion = VS_CONGESTION_BBR,
		.lanes = VS_LANES_MAX,
		.datagram_max = VS_DATAGRAM_MAX,
		.mtu = 1500,
		.features = VS_FEATURE_SUPER | VS_FEATURE_FEC,
		.keepalive_usec = VS_KEEPALIVE_DEFAULT,
		.max_age_usec = VS_MAX_AGE_DEFAULT,
		.kcp = vs_kcp_config_default(),
		.carriers = VS_CARRIERS_ALL,
	};
}

void vs_policy_set_cipher(struct vs_policy *policy, enum vs_cipher_choice choice)
{
	bool weak = choice == VS_CIPHER_CHOICE_AUTH || choice == VS_CIPHER_CHOICE_NONE;
	policy->cipher = weak ? 0 : (enum vs_cipher)choice;
	policy->protection = VS_PROTECTION_ENCRYPTED;
	if (weak)
		policy->protection = choice == VS_CIPHER_CHOICE_AUTH ? VS_PROTECTION_AUTH : VS_PROTECTION_NONE;
}

/* --- Choosing ----------------------------------------------------------------------------------------------------- */

static bool offers_cipher(const struct vs_offer *offer, enum vs_cipher cipher)
{
	return offer->ciphers & VS_OFFER_BIT(cipher);
}

bool vs_offer_allows(const struct vs_offer *offer, enum vs_protection protection)
{
	return protection == VS_PROTECTION_ENCRYPTED || (offer->protections & VS_OFFER_BIT(protection));
}

static enum vs_cipher choose_cipher(const struct vs_policy *policy, const struct vs_offer *offer)
{
	if (policy->cipher)
		return policy->cipher;
	if (policy->has_aes && offer->has_aes && offers_cipher(offer, VS_CIPHER_AES_256_GCM))
		return VS_CIPHER_AES_256_GCM;
	if (offers_cipher(offer, VS_CIPHER_CHACHA20_POLY1305))
		return VS_CIPHER_CHACHA20_POLY1305;
	return VS_CIPHER_AES_256_GCM;
}

int vs_params_choose(const struct vs_policy *policy, const struct vs_offer *offer, uint64_t incarnation,
		     struct vs_params *out)
{
	static const struct vs_fec_config off = { .kind = VS_FEC_OFF };
	uint32_t features = policy->features & offer->features;
	assert(incarnation);
	*out = (struct vs_params){
		.version = VS_MIN(offer->version, VS_PROTOCOL_VERSION),
		.cipher = choose_cipher(policy, offer),
		.protection = policy->protection,
		.mode = policy->mode,
		.congestion = policy->congestion,
		.lanes = VS_MIN(policy->lanes, (unsigned)offer->lanes_max),
		.datagram_max = VS_MIN(policy->datagram_max, offer->datagram_max),
		.mtu = policy->mtu,
		.features = features,
		.keepalive_usec = policy->keepalive_usec,
		.max_age_usec = policy->max_age_usec,
		.fec_up = features & VS_FEATURE_FEC ? policy->fec_up : off,
		.fec_down = features & VS_FEATURE_FEC ? policy->fec_down : off,
		.kcp = policy->kcp,
		.carriers = policy->carriers,
		.incarnation = incarnation,
		.resumed = offer->incarnation == incarnation,
	};
	return vs_params_fit(out, offer) ? 0 : -ENOTSUP;
}

bool vs_offer_supports(const struct vs_offer *offer, enum vs_cipher cipher, enum vs_mode mode)
{
	return offers_cipher(offer, cipher) && offer->modes & VS_OFFER_BIT(mode);
}

static bool has_fec(const struct vs_params *params)
{
	return params->fec_up.kind != VS_FEC_OFF || params->fec_down.kind != VS_FEC_OFF;
}

bool vs_params_fit(const struct vs_params *params, const struct vs_offer *offer)
{
	if (has_fec(params) && !(params->features & VS_FEATURE_FEC))
		return false;
	return params->carriers & VS_CARRIER_BIT(offer->carrier) && params->version <= offer->version &&
	       vs_offer_supports(offer, params->cipher, params->mode) &&
	       vs_offer_allows(offer, params->protection) && params->lanes <= offer->lanes_max &&
	       params->datagram_max <= offer->datagram_max && !(params->features & ~offer->features) &&
	       params->resumed == (params->incarnation == offer->incarnation);
}

/* --- TLVs --------------------------------------------------------------------------------------------------------- */

/* Value sizes; 0: any size, or not a TLV of ours. */
static const uint8_t tlv_size[32] = {
	[VS_TLV_VERSION] = 2,
	[VS_TLV_INCARNATION] = 8,
	[VS_TLV_LANES] = 1,
	[VS_TLV_DATAGRAM_MAX] = 2,
	[VS_TLV_MTU] = 2,
	[VS_TLV_FEATURES] = 4,
	[VS_TLV_LINK_ID] = VS_LINK_ID_SIZE,
	[VS_TLV_TIMESTAMP] = 8,
	[VS_TLV_CIPHERS] = 3,
	[VS_TLV_MODES] = 1,
	[VS_TLV_PROTECTIONS] = 1,
	[VS_TLV_CIPHER] = 1,
	[VS_TLV_MODE] = 1,
	[VS_TLV_CONGESTION] = 1,
	[VS_TLV_KEEPALIVE] = 8,
	[VS_TLV_MAX_AGE] = 8,
	[VS_TLV_RESUMED] = 1,
	[VS_TLV_PROTECTION] = 1,
	[VS_TLV_FEC] = 8,
	[VS_TLV_KCP] = 8,
	[VS_TLV_CARRIERS] = 1,
};

static uint8_t *put_header(uint8_t *p, enum vs_handshake_tlv type, size_t len)
{
	vs_put_be16(p, (uint16_t)type);
	vs_put_be16(p + 2, (uint16_t)len);
	return p + VS_TLV_HEADER;
}

static uint8_t *put_bytes(uint8_t *p, enum vs_handshake_tlv type, const void *value, size_t len)
{
	p = put_header(p, type, len);
	memcpy(p, value, len);
	return p + len;
}

/* An integer of the type's size. */
static uint8_t *put_int(uint8_t *p, enum vs_handshake_tlv type, uint64_t value)
{
	size_t len = tlv_size[type];

	p = put_header(p, type, len);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(value >> 8 * (len - 1 - i));
	return p + len;
}

static uint64_t get_int(const struct vs_view *value)
{
	uint64_t n = 0;

	for (size_t i = 0; i < value->len; i++)
		n = n << 8 | value->data[i];
	return n;
}

static uint8_t *put_fec(uint8_t *p, const struct vs_params *params)
{
	const struct vs_fec_config *up = &params->fec_up, *down = &params->fec_down;
	const uint8_t value[] = { (uint8_t)up->kind, up->k, up->m, up->overhead_max,
				  (uint8_t)down->kind, down->k, down->m, down->overhead_max };
	return put_bytes(p, VS_TLV_FEC, value, sizeof(value));
}

static void get_fec(struct vs_params *params, const uint8_t value[8])
{
	params->fec_up = (struct vs_fec_config){ (enum vs_fec_kind)value[0], value[1], value[2], value[3] };
	params->fec_down = (struct vs_fec_config){ (enum vs_fec_kind)value[4], value[5], value[6], value[7] };
}

static uint8_t *put_kcp(uint8_t *p, const struct vs_kcp_config *kcp)
{
	p = put_header(p, VS_TLV_KCP, tlv_size[VS_TLV_KCP]);
	p[0] = kcp->nodelay;
	vs_put_be16(p + 1, kcp->interval_msec);
	p[3] = kcp->resend;
	vs_put_be16(p + 4, kcp->sndwnd);
	vs_put_be16(p + 6, kcp->rcvwnd);
	return p + tlv_size[VS_TLV_KCP];
}

static struct vs_kcp_config get_kcp(const uint8_t value[8])
{
	return (struct vs_kcp_config){
		.nodelay = value[0],
		.interval_msec = vs_get_be16(value + 1),
		.resend = value[3],
		.sndwnd = vs_get_be16(value + 4),
		.rcvwnd = vs_get_be16(value + 6),
	};
}

void vs_tlv_pad(uint8_t *out, size_t len, size_t size)
{
	assert(len + VS_TLV_HEADER <= size);
	size_t padding = size - len - VS_TLV_HEADER;
	memset(put_header(out + len, VS_TLV_PAD, padding), 0, padding);
}

/* Takes the next TLV off the view. 0, or -EBADMSG. `seen` collects the types that have come. */
static int next_tlv(struct vs_view *view, uint32_t *seen, unsigned *type, struct vs_view *value)
{
	*type = vs_view_be16(view);
	size_t len = vs_view_be16(view);
	*value = vs_view_of(vs_view_pull(view, len), len);

	if (!vs_view_ok(view))
		return -EBADMSG;
	if (*type == VS_TLV_PAD || *type >= VS_ARRAY_SIZE(tlv_size))
		return 0;
	if ((*seen & BIT(*type)) || (tlv_size[*type] && tlv_size[*type] != len))
		return -EBADMSG;
	*seen |= BIT(*type);
	return 0;
}

size_t vs_offer_encode(const struct vs_offer *offer, uint8_t out[VS_OFFER_ENCODED_MAX])
{
	uint8_t *p = out;

	p = put_int(p, VS_TLV_VERSION, offer->version);
	p = put_int(p, VS_TLV_INCARNATION, offer->incarnation);
	p = put_int(p, VS_TLV_LANES, offer->lanes_max);
	p = put_int(p, VS_TLV_DATAGRAM_MAX, offer->datagram_max);
	p = put_int(p, VS_TLV_MTU, offer->mtu);
	p = put_int(p, VS_TLV_FEATURES, offer->features);
	p = put_bytes(p, VS_TLV_LINK_ID, offer->link_id, VS_LINK_ID_SIZE);
	p = put_int(p, VS_TLV_TIMESTAMP, offer->timestamp_usec);
	p = put_int(p, VS_TLV_CIPHERS, (uint64_t)offer->ciphers << 8 | offer->has_aes);
	p = put_int(p, VS_TLV_MODES, offer->modes);
	p = put_int(p, VS_TLV_PROTECTIONS, offer->protections);
	p = put_bytes(p, VS_TLV_PROGRAM, offer->program, strnlen(offer->program, VS_PROGRAM_MAX));
	assert(p <= out + VS_OFFER_ENCODED_MAX);
	return (size_t)(p - out);
}

size_t vs_params_encode(const struct vs_params *params, uint8_t out[VS_PARAMS_ENCODED_MAX])
{
	uint8_t *p = out;

	p = put_int(p, VS_TLV_VERSION, params->version);
	p = put_int(p, VS_TLV_INCARNATION, params->incarnation);
	p = put_int(p, VS_TLV_LANES, params->lanes);
	p = put_int(p, VS_TLV_DATAGRAM_MAX, params->datagram_max);
	p = put_int(p, VS_TLV_MTU, params->mtu);
	p = put_int(p, VS_TLV_FEATURES, params->features);
	p = put_int(p, VS_TLV_CIPHER, params->cipher);
	p = put_int(p, VS_TLV_MODE, params->mode);
	p = put_int(p, VS_TLV_CONGESTION, params->congestion);
	p = put_int(p, VS_TLV_KEEPALIVE, params->keepalive_usec);
	p = put_int(p, VS_TLV_MAX_AGE, params->max_age_usec);
	p = put_int(p, VS_TLV_RESUMED, params->resumed);
	p = put_int(p, VS_TLV_PROTECTION, params->protection);
	p = put_fec(p, params);
	p = put_kcp(p, &params->kcp);
	p = put_int(p, VS_TLV_CARRIERS, params->carriers);
	assert(p <= out + VS_PARAMS_ENCODED_MAX);
	return (size_t)(p - out);
}

/* Foreign text for people to read: anything but printable ASCII becomes '?'. */
static int get_program(char out[VS_PROGRAM_MAX + 1], const struct vs_view *value)
{
	if (value->len > VS_PROGRAM_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < value->len; i++)
		out[i] = value->data[i] >= 0x20 && value->data[i] < 0x7f ? (char)value->data[i] : '?';
	out[value->len] = 0;
	return 0;
}

static int get_offer_tlv(struct vs_offer *offer, unsigned type, const struct vs_view *value)
{
	switch (type) {
	case VS_TLV_VERSION:
		offer->version = (uint16_t)get_int(value);
		return 0;
	case VS_TLV_INCARNATION:
		offer->incarnation = get_int(value);
		return 0;
	case VS_TLV_LANES:
		offer->lanes_max = (uint8_t)get_int(value);
		return 0;
	case VS_TLV_DATAGRAM_MAX:
		offer->datagram_max = (uint16_t)get_int(value);
		return 0;
	case VS_TLV_MTU:
		offer->mtu = (uint16_t)get_int(value);
		return 0;
	case VS_TLV_FEATURES:
		offer->features = (uint32_t)get_int(value);
		return 0;
	case VS_TLV_LINK_ID:
		memcpy(offer->link_id, value->data, VS_LINK_ID_SIZE);
		return 0;
	case VS_TLV_TIMESTAMP:
		offer->timestamp_usec = get_int(value);
		return 0;
	case VS_TLV_CIPHERS:
		offer->ciphers = vs_get_be16(value->data);
		offer->has_aes = value->data[2] & 1;
		return 0;
	case VS_TLV_MODES:
		offer->modes = (uint8_t)get_int(value);
		return 0;
	case VS_TLV_PROTECTIONS:
		offer->protections = (uint8_t)get_int(value);
		return 0;
	case VS_TLV_PROGRAM:
		return get_program(offer->program, value);
	}
	return 0;
}

static bool offer_valid(const struct vs_offer *offer)
{
	return offer->version && offer->lanes_max && offer->lanes_max <= VS_LANES_MAX &&
	       offer->datagram_max >= VS_DATAGRAM_BASE && offer->datagram_max <= VS_DATAGRAM_MAX &&
	       offer->mtu >= MTU_MIN && offer->mtu <= MTU_MAX;
}

int vs_offer_decode(const uint8_t *data, size_t len, struct vs_offer *out)
{
	struct vs_view view = vs_view_of(data, len), value;
	uint32_t seen = 0;
	unsigned type;

	*out = (struct vs_offer){ 0 };
	while (view.len) {
		if (next_tlv(&view, &seen, &type, &value) || get_offer_tlv(out, type, &value))
			return -EBADMSG;
	}
	return (seen & offer_mandatory) == offer_mandatory && offer_valid(out) ? 0 : -EBADMSG;
}

static void get_params_tlv(struct vs_params *params, unsigned type, const struct vs_view *value)
{
	switch (type) {
	case VS_TLV_VERSION:
		params->version = (uint16_t)get_int(value);
		break;
	case VS_TLV_INCARNATION:
		params->incarnation = get_int(value);
		break;
	case VS_TLV_LANES:
		params->lanes = (unsigned)get_int(value);
		break;
	case VS_TLV_DATAGRAM_MAX:
		params->datagram_max = (uint16_t)get_int(value);
		break;
	case VS_TLV_MTU:
		params->mtu = (uint16_t)get_int(value);
		break;
	case VS_TLV_FEATURES:
		params->features = (uint32_t)get_int(value);
		break;
	case VS_TLV_CIPHER:
		params->cipher = (enum vs_cipher)get_int(value);
		break;
	case VS_TLV_MODE:
		params->mode = (enum vs_mode)get_int(value);
		break;
	case VS_TLV_CONGESTION:
		params->congestion = (enum vs_congestion_kind)get_int(value);
		break;
	case VS_TLV_KEEPALIVE:
		params->keepalive_usec = get_int(value);
		break;
	case VS_TLV_MAX_AGE:
		params->max_age_usec = get_int(value);
		break;
	case VS_TLV_RESUMED:
		params->resumed = get_int(value);
		break;
	case VS_TLV_PROTECTION:
		params->protection = (enum vs_protection)get_int(value);
		break;
	case VS_TLV_FEC:
		get_fec(params, value->data);
		break;
	case VS_TLV_KCP:
		params->kcp = get_kcp(value->data);
		break;
	case VS_TLV_CARRIERS:
		params->carriers = (uint8_t)get_int(value);
		break;
	}
}

static bool params_valid(const struct vs_params *params)
{
	bool known = (params->cipher == VS_CIPHER_AES_256_GCM || params->cipher == VS_CIPHER_CHACHA20_POLY1305) &&
		     params->protection <= VS_PROTECTION_NONE &&
		     (params->mode == VS_MODE_RELIABLE || params->mode == VS_MODE_DATAGRAM) &&
		     params->congestion <= VS_CONGESTION_NONE;

	if (!vs_fec_config_valid(&params->fec_up) || !vs_fec_config_valid(&params->fec_down) ||
	    !vs_kcp_config_valid(&params->kcp) || !params->carriers)
		return false;
	return known && params->version && params->incarnation && params->keepalive_usec && params->lanes &&
	       params->lanes <= VS_LANES_MAX && params->datagram_max >= VS_DATAGRAM_BASE &&
	       params->datagram_max <= VS_DATAGRAM_MAX && params->mtu >= MTU_MIN && params->mtu <= MTU_MAX;
}

int vs_params_decode(const uint8_t *data, size_t len, struct vs_params *out)
{
	struct vs_view view = vs_view_of(data, len), value;
	uint32_t seen = 0;
	unsigned type;

	*out = (struct vs_params){ .kcp = vs_kcp_config_default(), .carriers = VS_CARRIERS_ALL };
	while (view.len) {
		if (next_tlv(&view, &seen, &type, &value))
			return -EBADMSG;
		get_params_tlv(out, type, &value);
	}
	return (seen & params_mandatory) == params_mandatory && params_valid(out) ? 0 : -EBADMSG;
}
