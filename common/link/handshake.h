/* The handshake's messages, and the jobs that make and read them.
 *
 * An X25519 operation takes from 0.04 to 0.85 ms, so no worker ever does one: link/initiator.c and link/responder.c
 * fill in a job, which holds copies of everything that it needs, the caller runs it on another thread, and gives it
 * back. vs_handshake_job_run() is a pure function of the job and the only place with Diffie-Hellman.
 *
 * MACs are WireGuard's, with HMAC-SHA-256: mac1 is keyed by the receiver's public key, so whoever does not know that
 * key is turned away at the cost of a hash; mac2 by a cookie, which proves the sender's address. */
#ifndef VS_LINK_HANDSHAKE_H
#define VS_LINK_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "link/noise.h"
#include "link/params.h"
#include "link/wire.h"

/* --- MACs --------------------------------------------------------------------------------------------------------- */

/* SHA-256("vswitch mac1" || receiver's static public key). */
void vs_mac1_key(const struct vs_crypto *crypto, const uint8_t receiver[VS_KEY_SIZE], uint8_t out[VS_HASH_SIZE]);

/* Appends mac1, and mac2 under `cookie` (zeros if NULL), to a message of len bytes. Returns the new length. */
size_t vs_macs_append(const struct vs_crypto *crypto, const uint8_t mac1_key[VS_HASH_SIZE], const uint8_t *cookie,
		      uint8_t *message, size_t len);

/* Where mac1 is in a whole message, whose length is at least 2 * VS_MAC_SIZE. */
static inline const uint8_t *vs_mac1_of(const uint8_t *message, size_t len)
{
	return message + len - 2 * VS_MAC_SIZE;
}

/* Whether the MACs of a whole message are right; in constant time. */
bool vs_mac1_valid(const struct vs_crypto *crypto, const uint8_t mac1_key[VS_HASH_SIZE], const uint8_t *message,
		   size_t len);
bool vs_mac2_valid(const struct vs_crypto *crypto, const uint8_t cookie[VS_COOKIE_SIZE], const uint8_t *message,
		   size_t len);

/* --- Jobs --------------------------------------------------------------------------------------------------------- */

enum vs_handshake_job_kind {
	VS_JOB_BUILD_INITIATION,
	VS_JOB_READ_INITIATION,
	VS_JOB_BUILD_RESPONSE,
	VS_JOB_READ_RESPONSE,
};

/* in: the run reads it; out: the run sets it. All storage is inside, so a job can be copied and queued freely. */
struct vs_handshake_job {
	enum vs_handshake_job_kind kind;
	int result; /* out: 0, or -errno: the message was refused or the library failed */

	struct vs_noise noise;          /* in and out */
	uint8_t ephemeral[VS_KEY_SIZE]; /* in, BUILD_*: fresh random bytes */
	uint8_t psk[VS_KEY_SIZE];       /* in, *_RESPONSE; zeros: none */
	uint32_t local_index;           /* in; READ_INITIATION does not need it */
	uint32_t remote_index;          /* out, READ_*; in, BUILD_RESPONSE */
	bool has_cookie;                /* in, BUILD_INITIATION: mac2 is set */
	uint8_t cookie[VS_COOKIE_SIZE];
	struct vs_offer offer;          /* in, BUILD_INITIATION; out, READ_INITIATION */
	struct vs_params params;        /* in, BUILD_RESPONSE; out, READ_RESPONSE */
	struct vs_session_keys keys;    /* out, *_RESPONSE */
	size_t len;                     /* of datagram */
	uint8_t datagram[VS_HANDSHAKE_MAX]; /* in, READ_*; out, BUILD_* */

	/* The owner's notes, which the run does not touch. */
	uint64_t attempt;             /* initiator: which one this is of */
	struct vs_addr from;          /* responder: who asks, and who is to be answered */
	bool mac2_valid;              /* responder: the address is proven */
	uint8_t salt[VS_COOKIE_SALT]; /* responder: random bytes for a cookie reply */
	uintptr_t user;               /* the caller's */
};

void vs_handshake_job_run(struct vs_handshake_job *job);

/* Clears everything secret; the datagram stays to be sent. Initiator and responder do it to the jobs they are done
 * with; the caller does it to jobs that it gives up. */
void vs_handshake_job_wipe(struct vs_handshake_job *job);

#endif
