/* The server's side of the handshake.
 *
 * An initiation is turned away as cheaply as it can be, in this order: size; mac1 (a stranger who does not know our
 * public key stops here, unanswered); room for another job; under load, mac2 (answered with a cookie, which is smaller
 * than the question) and the rate of its sender; and only then Diffie-Hellman, on another thread, which shows the
 * client's key. An unknown key is not answered. A timestamp that is not newer than those known of the link gets a
 * cookie, and passes with a valid mac2, because there are clients without a clock.
 *
 * How it works: vs_responder_input() fills in a job; it is run elsewhere (link/handshake.h) and comes back through
 * vs_responder_done(), which says ACCEPT; the caller looks at who asks, decides (policy, max_clients, whether the link
 * is resumed), and turns the job into the one that builds the response with vs_responder_answer(); done() then says
 * SESSION. Between these calls the responder keeps nothing about the handshake: it is all in the job.
 *
 * An initiation that passes proves little about the present: it may be a replay from before our start, or come from
 * somebody who proved its address only. So a session takes effect only with the initiator's first valid data datagram.
 * Until then the caller sends nothing under it, keeps the link's other sessions, lanes, address and incarnation as they
 * are, replaces no other link of max_clients, and holds one unconfirmed session a link at most. */
#ifndef VS_LINK_RESPONDER_H
#define VS_LINK_RESPONDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/drop.h"
#include "link/cookie.h"
#include "link/handshake.h"

struct vs_responder;

struct vs_responder_config {
	const struct vs_crypto *crypto;
	uint8_t private_key[VS_KEY_SIZE];
	uint8_t cookie_seed[VS_COOKIE_SEED_SIZE]; /* random, new at each start */
	/* Wall clock at the start, in microseconds since 1970: an initiation from before it may be a replay from an
	 * earlier life of the server, of which nothing is remembered, and takes the way of the cookie. 0: none is. */
	uint64_t floor_usec;
	size_t peers_max;
	unsigned jobs_max;  /* outstanding jobs at which every initiation is dropped */
	unsigned jobs_load; /* outstanding jobs from which on mac2 is required */
	unsigned cookies_per_sec; /* cookie replies, to all together */
};

#define VS_RESPONDER_CONFIG_DEFAULT \
	{ .peers_max = 4096, .jobs_max = 256, .jobs_load = 32, .cookies_per_sec = 1000 }

/* Handshakes a source address (IPv4, or IPv6 /64) may have under load: a burst, and a rate. */
#define VS_RESPONDER_SOURCE_BURST 5
#define VS_RESPONDER_SOURCE_INTERVAL (50 * VS_MSEC)

/* Copies the config, whose secrets the caller may wipe. Computes the public key, so this takes as long as one
 * Diffie-Hellman. NULL: out of memory, or a private key that is none. */
struct vs_responder *vs_responder_new(const struct vs_responder_config *config);
void vs_responder_free(struct vs_responder *responder);

const uint8_t *vs_responder_public_key(const struct vs_responder *responder);

/* Adds a client's key, or changes its psk (zeros: none) and user value. links_max is how many links it may have at a
 * time. 0, -ENOSPC (peers_max) or -ENOMEM. */
int vs_responder_set_peer(struct vs_responder *responder, const uint8_t public_key[VS_KEY_SIZE],
			  const uint8_t psk[VS_KEY_SIZE], uintptr_t user, unsigned links_max) VS_MUST_CHECK;

/* Whether there was such a key. Jobs under way for it come to nothing. */
bool vs_responder_remove_peer(struct vs_responder *responder, const uint8_t public_key[VS_KEY_SIZE]);

enum vs_responder_event {
	VS_RESPONDER_DROPPED, /* for the reason given */
	VS_RESPONDER_COOKIE,  /* send result->cookie_reply to result->to */
	VS_RESPONDER_JOB,     /* input: `job` is to be run */
	VS_RESPONDER_ACCEPT,  /* done: answer or wipe the job */
	VS_RESPONDER_SESSION, /* done: send job->datagram to result->to; the keys are the new session's */
};

struct vs_responder_result {
	enum vs_drop reason; /* DROPPED */
	struct vs_addr to;   /* COOKIE, SESSION */
	uint8_t cookie_reply[VS_COOKIE_REPLY_SIZE];
	uintptr_t user;              /* ACCEPT, SESSION: of the peer whose key is job->noise.remote_static */
	struct vs_session_keys keys; /* SESSION; the caller's to wipe */
	uint8_t peer_key[VS_KEY_SIZE]; /* ACCEPT, SESSION */
};

/* Takes an INITIATION datagram, which must not lie in `job`. `pending` is the number of jobs outstanding. DROPPED,
 * COOKIE or JOB. */
enum vs_responder_event vs_responder_input(struct vs_responder *responder, const uint8_t *datagram, size_t len,
					   const struct vs_addr *from, uint64_t now,
					   const uint8_t random[VS_COOKIE_SALT], unsigned pending,
					   struct vs_handshake_job *job, struct vs_responder_result *result);

/* Takes back a job that was run. After READ_INITIATION: DROPPED, COOKIE or ACCEPT (the offer is in job->offer).
 * After BUILD_RESPONSE: DROPPED or SESSION. The job is wiped, except with ACCEPT. */
enum vs_responder_event vs_responder_done(struct vs_responder *responder, struct vs_handshake_job *job, uint64_t now,
					  struct vs_responder_result *result);

/* Turns an accepted job into the one that builds the response. `local_index` names the session to be, and must not be
 * in use; `ephemeral` is random. 0, or -ENOENT: the key was removed meanwhile, and the job is wiped. */
int vs_responder_answer(struct vs_responder *responder, struct vs_handshake_job *job, const struct vs_params *params,
			uint32_t local_index, const uint8_t ephemeral[VS_KEY_SIZE]) VS_MUST_CHECK;

#endif
