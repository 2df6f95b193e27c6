/* What a handshake negotiates: the client's offer, the server's policy for the port, and the parameters that follow
 * from the two and that both ends apply; with their encodings as TLVs (link/wire.h). Pure functions over values.
 *
 * Everything is decided at the server, so that one line in its INI file is enough: the client offers what it can do. */
#ifndef VS_LINK_PARAMS_H
#define VS_LINK_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "link/congestion.h"
#include "link/crypto.h"
#include "link/fec_config.h"
#include "link/kcp_config.h"
#include "link/wire.h"

/* Values travel in the handshake. */
enum vs_mode {
	VS_MODE_RELIABLE = 1, /* ARQ */
	VS_MODE_DATAGRAM = 2, /* no retransmission */
};

/* What a session does to the datagrams of frames; each is weaker than the one before. Values travel in the handshake.
 * Handshakes are the same for all, and so is everything of an ENCRYPTED or AUTH session. */
enum vs_protection {
	VS_PROTECTION_ENCRYPTED = 0, /* nobody else can read or change them */
	VS_PROTECTION_AUTH = 1,      /* nobody else can change them */
	VS_PROTECTION_NONE = 2,      /* frames and segments travel in the clear, all else is encrypted */
};

/* The values of the configuration's `cipher`: an AEAD, or a weaker protection under the one that `auto` would take. */
enum vs_cipher_choice {
	VS_CIPHER_CHOICE_AUTO = 0,
	VS_CIPHER_CHOICE_AES_256_GCM = VS_CIPHER_AES_256_GCM,
	VS_CIPHER_CHOICE_CHACHA20_POLY1305 = VS_CIPHER_CHACHA20_POLY1305,
	VS_CIPHER_CHOICE_AUTH,
	VS_CIPHER_CHOICE_NONE,
};

/* A bit of vs_offer.ciphers, vs_offer.protections or vs_offer.modes. */
#define VS_OFFER_BIT(value) (1u << (value))

/* A set of enum vs_carrier_kind. */
#define VS_CARRIER_BIT(kind) (1u << (kind))
#define VS_CARRIERS_ALL (VS_CARRIER_BIT(VS_CARRIER_KINDS) - 1)

struct vs_offer {
	uint16_t version; /* highest protocol version spoken */
	uint8_t link_id[VS_LINK_ID_SIZE];
	uint64_t timestamp_usec; /* of this attempt; grows from one to the next */
	uint64_t incarnation;    /* of the link's state that the client holds; 0: none */
	uint16_t ciphers;        /* set of enum vs_cipher */
	bool has_aes;            /* vs_cpu_has_aes() */
	uint8_t protections;     /* set of enum vs_protection; ENCRYPTED is always offered */
	uint8_t modes;           /* set of enum vs_mode */
	uint8_t lanes_max;       /* 1 ... VS_LANES_MAX */
	uint16_t datagram_max;   /* largest the client takes, VS_DATAGRAM_BASE ... VS_DATAGRAM_MAX */
	uint16_t mtu;            /* of the client's TAP; informative */
	uint32_t features;       /* set of enum vs_feature */
	enum vs_carrier_kind carrier; /* that brings it: each side sees that for itself, the message does not say */
	char program[VS_PROGRAM_MAX + 1];
};

/* What the port is configured for. */
struct vs_policy {
	enum vs_cipher cipher; /* 0: AES-256-GCM if both CPUs have instructions for it, else ChaCha20-Poly1305 */
	bool has_aes;          /* vs_cpu_has_aes() of the server */
	enum vs_protection protection;
	enum vs_mode mode;
	enum vs_congestion_kind congestion;
	unsigned lanes; /* 1 ... VS_LANES_MAX */
	uint16_t datagram_max;
	uint16_t mtu;
	uint32_t features; /* that may be used; set of enum vs_feature */
	uint64_t keepalive_usec;
	uint64_t max_age_usec; /* 0: frames are never given up */
	struct vs_fec_config fec_up, fec_down; /* where the client takes FEC; else off */
	struct vs_kcp_config kcp;
	uint8_t carriers; /* set of enum vs_carrier_kind by which the client may come */
};

struct vs_params {
	uint16_t version;
	enum vs_cipher cipher;
	enum vs_protection protection;
	enum vs_mode mode;
	enum vs_congestion_kind congestion;
	unsigned lanes;
	uint16_t datagram_max;
	uint16_t mtu; /* the LAN's inner MTU; informative */
	uint32_t features; /* that both ends have; set of enum vs_feature */
	uint64_t keepalive_usec;
	uint64_t max_age_usec;
	struct vs_fec_config fec_up, fec_down; /* of what the client sends, and the server */
	struct vs_kcp_config kcp;              /* of both */
	uint8_t carriers;                      /* that the client may use; set of enum vs_carrier_kind */
	/* Of the link's state at the server, never 0. Not resumed: both sides reset all lanes, the initiator with the
	 * response, the responder with the initiator's first valid data datagram, and only then does the responder
	 * take this incarnation for the link's. */
	uint64_t incarnation;
	bool resumed;
};

/* Keys of a session and how it is named on the wire. */
struct vs_session_keys {
	uint8_t send[VS_KEY_SIZE];
	uint8_t recv[VS_KEY_SIZE];
	enum vs_cipher cipher;
	uint32_t local_index;  /* datagrams to us carry it */
	uint32_t remote_index; /* datagrams to the peer carry it */
	bool initiator;
};

#define VS_KEEPALIVE_DEFAULT VS_SEC
#define VS_MAX_AGE_DEFAULT VS_SEC

/* An offer of all this program can do, but encrypted only; the caller fills in link_id, mtu, has_aes and program. */
struct vs_offer vs_offer_default(void);

/* Encrypted by the automatic cipher, RELIABLE, bbr, all lanes, MTU 1500, no FEC, any carrier, the defaults above; the
 * caller fills in has_aes. */
struct vs_policy vs_policy_default(void);

/* Chooses from the offer as the policy says. `incarnation` is that of the link's state, or if there is none (or it is
 * to be given up) a new random one, not 0; the link is resumed if the client knows it.
 * 0, or -ENOTSUP: the offer lacks the cipher, the protection or the mode that the policy wants, or has come by a carrier
 * that it does not. *out then says what the policy wants all the same, for the client to tell people; no session must
 * come of it. */
int vs_params_choose(const struct vs_policy *policy, const struct vs_offer *offer, uint64_t incarnation,
		     struct vs_params *out) VS_MUST_CHECK;

/* Whether the client agrees to this protection. */
bool vs_offer_allows(const struct vs_offer *offer, enum vs_protection protection);

/* Whether the client can do this cipher and this mode. */
bool vs_offer_supports(const struct vs_offer *offer, enum vs_cipher cipher, enum vs_mode mode);

/* Whether a link's lanes must not go on from a session with these params to one of that protection: others may have put
 * into them what it forbids. They start afresh then. */
static inline bool vs_params_taint(const struct vs_params *params, enum vs_protection protection)
{
	return params->protection == VS_PROTECTION_NONE && protection != VS_PROTECTION_NONE;
}

/* Whether a response keeps within the offer that it answers. */
bool vs_params_fit(const struct vs_params *params, const struct vs_offer *offer);

/* Most bytes that the encoders write; both leave room for a PAD TLV in the longest message. */
#define VS_OFFER_ENCODED_MAX 160
#define VS_PARAMS_ENCODED_MAX 160

/* Encode as TLVs; return the number of bytes. */
size_t vs_offer_encode(const struct vs_offer *offer, uint8_t out[VS_OFFER_ENCODED_MAX]);
size_t vs_params_encode(const struct vs_params *params, uint8_t out[VS_PARAMS_ENCODED_MAX]);

/* Appends a PAD TLV so that `len` bytes at `out` become `size`; they differ by at least VS_TLV_HEADER. */
void vs_tlv_pad(uint8_t *out, size_t len, size_t size);

/* 0, or -EBADMSG: a TLV is malformed, comes twice, is missing, or has a value outside its range. What people will read
 * (program) is made printable. */
int vs_offer_decode(const uint8_t *data, size_t len, struct vs_offer *out) VS_MUST_CHECK;
int vs_params_decode(const uint8_t *data, size_t len, struct vs_params *out) VS_MUST_CHECK;

const char *vs_mode_name(enum vs_mode mode); /* "reliable", "datagram" */
const char *vs_carrier_name(enum vs_carrier_kind kind); /* "udp", "faketcp", "tcp" */

/* --- Ciphers as people name them ---------------------------------------------------------------------------------- */

/* Sets the policy's cipher and protection. */
void vs_policy_set_cipher(struct vs_policy *policy, enum vs_cipher_choice choice);

/* The protections that are no weaker than this one, as vs_offer.protections has them. */
static inline uint8_t vs_protections_from(enum vs_protection weakest)
{
	return (uint8_t)(VS_OFFER_BIT(weakest + 1) - 1);
}

const char *vs_protection_name(enum vs_protection protection); /* "encrypted", "auth", "none" */

/* The value of `cipher` that describes a link best: the name of its AEAD, "auth" or "none". */
const char *vs_cipher_text(enum vs_cipher cipher, enum vs_protection protection);

#endif
