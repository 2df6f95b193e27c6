#include "link/responder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "link/peertable.h"

#define SOURCES 1024 /* slots; sources that share one share its rate */

struct vs_responder {
	const struct vs_crypto *crypto;
	struct vs_noise template; /* as it is before the first message */
	uint8_t mac1_key[VS_HASH_SIZE];
	uint8_t cookie_seed[VS_COOKIE_SEED_SIZE];
	unsigned jobs_max, jobs_load;
	uint64_t cookie_interval;
	uint64_t cookie_arrival;          /* see conforms() */
	uint64_t source_arrival[SOURCES]; /* likewise */
	struct vs_peertable peers;
};

struct vs_responder *vs_responder_new(const struct vs_responder_config *config)
{
	struct vs_responder *r = calloc(1, sizeof(*r));
	uint8_t public[VS_KEY_SIZE];

	if (!r)
		return NULL;
	if (config->crypto->x25519_public(public, config->private_key) ||
	    vs_peertable_init(&r->peers, config->peers_max)) {
		free(r);
		return NULL;
	}
	r->peers.floor_usec = config->floor_usec;
	r->crypto = config->crypto;
	r->jobs_max = config->jobs_max;
	r->jobs_load = config->jobs_load;
	r->cookie_interval = VS_SEC / VS_MIN(VS_MAX(config->cookies_per_sec, 1u), VS_SEC);
	memcpy(r->cookie_seed, config->cookie_seed, sizeof(r->cookie_seed));
	vs_noise_init(&r->template, r->crypto, VS_NOISE_IKPSK2, VS_PROLOGUE, strlen(VS_PROLOGUE), config->private_key,
		      public, NULL);
	vs_mac1_key(r->crypto, public, r->mac1_key);
	return r;
}

void vs_responder_free(struct vs_responder *r)
{
	if (!r)
		return;
	vs_peertable_fini(&r->peers);
	vs_wipe(r, sizeof(*r));
	free(r);
}

const uint8_t *vs_responder_public_key(const struct vs_responder *r)
{
	return r->template.static_public;
}

int vs_responder_set_peer(struct vs_responder *r, const uint8_t public_key[VS_KEY_SIZE],
			  const uint8_t psk[VS_KEY_SIZE], uintptr_t user, unsigned links_max)
{
	return vs_peertable_set(&r->peers, public_key, psk, user, links_max);
}

bool vs_responder_remove_peer(struct vs_responder *r, const uint8_t public_key[VS_KEY_SIZE])
{
	return vs_peertable_remove(&r->peers, public_key);
}

static enum vs_responder_event drop(struct vs_responder_result *result, enum vs_drop reason)
{
	result->reason = reason;
	return VS_RESPONDER_DROPPED;
}

/* --- Rates -------------------------------------------------------------------------------------------------------- */

/* The generic cell rate algorithm (ITU-T I.371): one an interval, and up to `burst` at a time. *arrival is when the
 * next one would be due at the steady rate. */
static bool conforms(uint64_t *arrival, uint64_t now, uint64_t interval, uint64_t burst)
{
	if (*arrival > vs_time_add(now, interval * (burst - 1)))
		return false;
	*arrival = vs_time_add(VS_MAX(*arrival, now), interval);
	return true;
}

/* The slot is a keyed hash of the address without its port (of the /64 for IPv6), so that nobody can aim at
 * another's. */
static bool source_conforms(struct vs_responder *r, const struct vs_addr *from, uint64_t now)
{
	uint8_t key[VS_ADDR_KEY_SIZE], hash[VS_HASH_SIZE];
	struct iovec part = {key, from->sa.sa_family == AF_INET6 ? 8 : 16};

	vs_addr_key(from, key);
	r->crypto->hmac(hash, r->cookie_seed, sizeof(r->cookie_seed), &part, 1);
	return conforms(&r->source_arrival[vs_get_be16(hash) % SOURCES], now, VS_RESPONDER_SOURCE_INTERVAL,
			VS_RESPONDER_SOURCE_BURST);
}

/* Answers the initiation with a cookie, unless too many were; then it is dropped for the reason given. */
static enum vs_responder_event send_cookie(struct vs_responder *r, const uint8_t *datagram, size_t len,
					   const struct vs_addr *from, uint64_t now, const uint8_t salt[VS_COOKIE_SALT],
					   enum vs_drop reason, struct vs_responder_result *result)
{
	uint64_t burst = VS_MAX(VS_SEC / 10 / r->cookie_interval, UINT64_C(1));
	uint8_t cookie[VS_COOKIE_SIZE];

	if (!conforms(&r->cookie_arrival, now, r->cookie_interval, burst))
		return drop(result, reason);
	vs_cookie_make(r->crypto, r->cookie_seed, from, now, cookie);
	if (vs_cookie_reply(r->crypto, r->template.static_public, cookie, vs_get_be24(datagram + 1),
			    vs_mac1_of(datagram, len), salt, result->cookie_reply))
		return drop(result, reason);
	result->to = *from;
	return VS_RESPONDER_COOKIE;
}

/* --- Stages ------------------------------------------------------------------------------------------------------- */

static bool has_mac2(const uint8_t *datagram, size_t len)
{
	static const uint8_t none[VS_MAC_SIZE];

	return memcmp(datagram + len - VS_MAC_SIZE, none, VS_MAC_SIZE);
}

static enum vs_responder_event fill_job(struct vs_responder *r, const uint8_t *datagram, size_t len,
					const struct vs_addr *from, bool mac2_valid,
					const uint8_t salt[VS_COOKIE_SALT], struct vs_handshake_job *job)
{
	*job = (struct vs_handshake_job){
		.kind = VS_JOB_READ_INITIATION,
		.noise = r->template,
		.from = *from,
		.mac2_valid = mac2_valid,
		.len = len,
	};
	memcpy(job->salt, salt, VS_COOKIE_SALT);
	memcpy(job->datagram, datagram, len);
	return VS_RESPONDER_JOB;
}

enum vs_responder_event vs_responder_input(struct vs_responder *r, const uint8_t *datagram, size_t len,
					   const struct vs_addr *from, uint64_t now,
					   const uint8_t random[VS_COOKIE_SALT], unsigned pending,
					   struct vs_handshake_job *job, struct vs_responder_result *result)
{
	*result = (struct vs_responder_result){ 0 };
	if (!len || datagram[0] != VS_TYPE_INITIATION)
		return drop(result, VS_DROP_DATAGRAM_TYPE);
	if (len < VS_INITIATION_SIZE)
		return drop(result, VS_DROP_DATAGRAM_SHORT);
	if (len > VS_HANDSHAKE_MAX)
		return drop(result, VS_DROP_BAD_HANDSHAKE);
	if (!vs_mac1_valid(r->crypto, r->mac1_key, datagram, len))
		return drop(result, VS_DROP_BAD_MAC1);
	if (pending >= r->jobs_max)
		return drop(result, VS_DROP_HANDSHAKE_LIMIT);

	bool proven = has_mac2(datagram, len) && vs_cookie_proves(r->crypto, r->cookie_seed, from, now, datagram, len);
	if (pending >= r->jobs_load) {
		if (!proven)
			return send_cookie(r, datagram, len, from, now, random, VS_DROP_HANDSHAKE_LIMIT, result);
		if (!source_conforms(r, from, now))
			return drop(result, VS_DROP_HANDSHAKE_LIMIT);
	}
	return fill_job(r, datagram, len, from, proven, random, job);
}

static enum vs_responder_event initiation_read(struct vs_responder *r, const struct vs_handshake_job *job, uint64_t now,
					       struct vs_responder_result *result)
{
	const struct vs_offer *offer = &job->offer;

	if (job->result)
		return drop(result, VS_DROP_BAD_HANDSHAKE);
	struct vs_peer *peer = vs_peertable_lookup(&r->peers, job->noise.remote_static);
	if (!peer)
		return drop(result, VS_DROP_UNKNOWN_KEY);
	if (!job->mac2_valid && !vs_peer_stamp_is_new(peer, offer->link_id, offer->timestamp_usec))
		return send_cookie(r, job->datagram, job->len, &job->from, now, job->salt, VS_DROP_OLD_INITIATION,
				   result);
	vs_peer_stamp_record(peer, offer->link_id, offer->timestamp_usec);
	memcpy(result->peer_key, peer->public_key, VS_KEY_SIZE);
	result->user = peer->user;
	return VS_RESPONDER_ACCEPT;
}

int vs_responder_answer(struct vs_responder *r, struct vs_handshake_job *job, const struct vs_params *params,
			uint32_t local_index, const uint8_t ephemeral[VS_KEY_SIZE])
{
	const struct vs_peer *peer = vs_peertable_lookup(&r->peers, job->noise.remote_static);

	if (!peer) {
		vs_handshake_job_wipe(job);
		return -ENOENT;
	}
	job->kind = VS_JOB_BUILD_RESPONSE;
	job->params = *params;
	job->local_index = local_index & VS_INDEX_MAX;
	memcpy(job->psk, peer->psk, VS_KEY_SIZE);
	memcpy(job->ephemeral, ephemeral, VS_KEY_SIZE);
	return 0;
}

static enum vs_responder_event response_built(struct vs_responder *r, const struct vs_handshake_job *job,
					      struct vs_responder_result *result)
{
	const struct vs_peer *peer = vs_peertable_lookup(&r->peers, job->noise.remote_static);

	if (job->result)
		return drop(result, VS_DROP_BAD_HANDSHAKE);
	if (!peer)
		return drop(result, VS_DROP_UNKNOWN_KEY);
	memcpy(result->peer_key, peer->public_key, VS_KEY_SIZE);
	result->user = peer->user;
	result->to = job->from;
	result->keys = job->keys;
	return VS_RESPONDER_SESSION;
}

enum vs_responder_event vs_responder_done(struct vs_responder *r, struct vs_handshake_job *job, uint64_t now,
					  struct vs_responder_result *result)
{
	enum vs_responder_event event;

	*result = (struct vs_responder_result){ 0 };
	if (job->kind == VS_JOB_READ_INITIATION)
		event = initiation_read(r, job, now, result);
	else
		event = response_built(r, job, result);
	if (event != VS_RESPONDER_ACCEPT)
		vs_handshake_job_wipe(job);
	return event;
}
