/* Noise_IKpsk2_25519_ChaChaPoly_SHA256 and its plain form Noise_IK_25519_ChaChaPoly_SHA256 (The Noise Protocol
 * Framework, revision 34), the two messages of it and nothing else. No wire layout beyond Noise's own, no policy:
 * link/handshake.c puts headers, payloads and MACs around it. Ephemeral keys are parameters.
 *
 * The order of calls is write_initiation, read_response, split at the initiator, and read_initiation, write_response,
 * split at the responder. After a failure the state is of no further use; whoever wants to try again keeps a copy.
 * The struct holds secrets and is the caller's to wipe. */
#ifndef VS_LINK_NOISE_H
#define VS_LINK_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "link/crypto.h"

/* What the messages add to their payloads. */
#define VS_NOISE_INITIATION_OVERHEAD (VS_KEY_SIZE + VS_KEY_SIZE + VS_SEAL_TAG + VS_SEAL_TAG)
#define VS_NOISE_RESPONSE_OVERHEAD (VS_KEY_SIZE + VS_SEAL_TAG)

enum vs_noise_pattern {
	VS_NOISE_IK,
	VS_NOISE_IKPSK2,
};

struct vs_noise {
	const struct vs_crypto *crypto;
	enum vs_noise_pattern pattern;
	uint8_t chaining_key[VS_HASH_SIZE];
	uint8_t hash[VS_HASH_SIZE]; /* after both messages: the handshake hash, for channel binding */
	uint8_t key[VS_KEY_SIZE];
	uint64_t counter; /* nonce under `key` */
	uint8_t static_private[VS_KEY_SIZE];
	uint8_t static_public[VS_KEY_SIZE];
	uint8_t ephemeral_private[VS_KEY_SIZE];
	uint8_t remote_static[VS_KEY_SIZE];
	uint8_t remote_ephemeral[VS_KEY_SIZE];
};

/* Sets up the symmetric state with the responder's static key as the pre-message. No Diffie-Hellman yet.
 * `remote_static` is the responder's key at the initiator, and NULL at the responder. */
void vs_noise_init(struct vs_noise *noise, const struct vs_crypto *crypto, enum vs_noise_pattern pattern,
		   const void *prologue, size_t prologue_len, const uint8_t static_private[VS_KEY_SIZE],
		   const uint8_t static_public[VS_KEY_SIZE], const uint8_t *remote_static);

/* Message 1. `out` has room for len + VS_NOISE_INITIATION_OVERHEAD bytes.
 * 0, -EINVAL (a key is a low-order point), -ENOMEM or -EIO. */
int vs_noise_write_initiation(struct vs_noise *noise, const uint8_t ephemeral[VS_KEY_SIZE], const uint8_t *payload,
			      size_t len, uint8_t *out) VS_MUST_CHECK;

/* Reads message 1; `payload` has room for len - VS_NOISE_INITIATION_OVERHEAD bytes. noise->remote_static is then the
 * initiator's proven key. 0, -EBADMSG (too short, or does not authenticate), -EINVAL, -ENOMEM. */
int vs_noise_read_initiation(struct vs_noise *noise, const uint8_t *message, size_t len,
			     uint8_t *payload) VS_MUST_CHECK;

/* Message 2. `psk` is read with IKpsk2 only. `out` has room for len + VS_NOISE_RESPONSE_OVERHEAD bytes. Errors as
 * above. */
int vs_noise_write_response(struct vs_noise *noise, const uint8_t ephemeral[VS_KEY_SIZE], const uint8_t *psk,
			    const uint8_t *payload, size_t len, uint8_t *out) VS_MUST_CHECK;
int vs_noise_read_response(struct vs_noise *noise, const uint8_t *psk, const uint8_t *message, size_t len,
			   uint8_t *payload) VS_MUST_CHECK;

/* The transport keys: the first is the initiator's to send with, the second the responder's. */
void vs_noise_split(const struct vs_noise *noise, uint8_t initiator_key[VS_KEY_SIZE],
		    uint8_t responder_key[VS_KEY_SIZE]);

#endif
