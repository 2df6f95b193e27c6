/* The client's side of the handshake: a state machine that makes attempts until one is answered.
 *
 * It is asked for a handshake with vs_initiator_start() (first connection, rekeying, liveness lost), makes an attempt
 * at once and then after 0.35, 0.7, 1.4, 1.4, ... seconds, each up to a fifth longer at random, for ever. Each attempt
 * has a new ephemeral key and timestamp, and only the newest one's response is taken. When that has been read the
 * caller gets the session's keys, and the machine is idle again. Nothing here touches a session that is running.
 *
 * Diffie-Hellman is left to jobs (link/handshake.h). At most one is outstanding, and each that was handed out must
 * come back through vs_initiator_done(), unless the initiator is freed first. */
#ifndef VS_LINK_INITIATOR_H
#define VS_LINK_INITIATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "link/handshake.h"

#define VS_INITIATOR_RETRY_MIN (350 * VS_MSEC)
#define VS_INITIATOR_RETRY_MAX (1400 * VS_MSEC)

/* Random bytes that an attempt takes: an ephemeral key, and jitter. */
#define VS_INITIATOR_RANDOM (VS_KEY_SIZE + 4)

struct vs_initiator;

struct vs_initiator_config {
	const struct vs_crypto *crypto;
	uint8_t private_key[VS_KEY_SIZE];
	uint8_t server_key[VS_KEY_SIZE];
	uint8_t psk[VS_KEY_SIZE]; /* zeros: none */
	/* timestamp_usec is set for each attempt; incarnation afterwards follows the handshakes. */
	struct vs_offer offer;
};

/* Copies the config, whose secrets the caller may wipe. Computes the public key, so this takes as long as one
 * Diffie-Hellman. NULL: out of memory, or a key that is none. */
struct vs_initiator *vs_initiator_new(const struct vs_initiator_config *config);
void vs_initiator_free(struct vs_initiator *initiator);

/* Asks for a handshake. Does nothing where one is under way. */
void vs_initiator_start(struct vs_initiator *initiator, uint64_t now);

/* Whether a handshake has been asked for and not been completed. */
bool vs_initiator_busy(const struct vs_initiator *initiator);

/* What the attempts travel by from now on; params that forbid it are refused. VS_CARRIER_UDP at first. */
void vs_initiator_set_carrier(struct vs_initiator *initiator, enum vs_carrier_kind carrier);

/* The link's state here is gone: the next handshake asks for a fresh one. */
void vs_initiator_forget(struct vs_initiator *initiator);

/* When vs_initiator_output() is to be called; VS_NEVER while idle or while a job is outstanding. */
uint64_t vs_initiator_deadline(const struct vs_initiator *initiator);

/* Starts the next attempt if it is due. `unix_usec` is the wall clock; going backwards does no harm.
 * `local_index` names the session to be, and must not be in use. True: `job` is to be run. */
bool vs_initiator_output(struct vs_initiator *initiator, uint64_t now, uint64_t unix_usec, uint32_t local_index,
			 const uint8_t random[VS_INITIATOR_RANDOM], struct vs_handshake_job *job);

enum vs_initiator_event {
	VS_INITIATOR_DROPPED, /* for the reason given */
	VS_INITIATOR_COOKIE,  /* a cookie was stored; the deadline may have become now */
	VS_INITIATOR_JOB,     /* input: `job` is to be run */
	VS_INITIATOR_SEND,    /* done: send job->datagram to the server */
	VS_INITIATOR_SESSION, /* done: there is a new session, whose first datagram is ours to send */
	VS_INITIATOR_REFUSED, /* done: the server has answered, but demands what our offer does not allow */
};

/* Takes a RESPONSE or COOKIE datagram, which must not lie in `job`. DROPPED (fills *reason), COOKIE or JOB. */
enum vs_initiator_event vs_initiator_input(struct vs_initiator *initiator, const uint8_t *datagram, size_t len,
					   uint64_t now, struct vs_handshake_job *job, enum vs_drop *reason);

struct vs_initiator_result {
	enum vs_drop reason;         /* DROPPED, REFUSED */
	struct vs_session_keys keys; /* SESSION; the caller's to wipe */
	struct vs_params params;     /* SESSION; REFUSED: what the server demands */
};

/* Takes back a job that was run and wipes it. DROPPED, SEND, SESSION or REFUSED, after which attempts go on. */
enum vs_initiator_event vs_initiator_done(struct vs_initiator *initiator, struct vs_handshake_job *job, uint64_t now,
					  struct vs_initiator_result *result);

#endif
