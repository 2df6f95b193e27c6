#include "link/initiator.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "link/cookie.h"

#define RETRY_JITTER_DIVISOR 5
#define RETRY_SHIFT_MAX 2 /* 0.5 s << 2 is the maximum */

_Static_assert(VS_INITIATOR_RETRY_MIN << RETRY_SHIFT_MAX == VS_INITIATOR_RETRY_MAX, "where the backoff ends");

/*   IDLE -start-> WAITING -output-> BUILDING -done-> WAITING -response-> READING -done-> IDLE
 *                    ^                 on failure                          |
 *                    +----------------------<------------------------------+            */
enum state {
	IDLE,
	WAITING,  /* for the deadline of the next attempt, or for an answer to the last */
	BUILDING, /* job outstanding */
	READING,  /* job outstanding */
};

struct vs_initiator {
	const struct vs_crypto *crypto;
	struct vs_noise template; /* as it is before the first message */
	uint8_t psk[VS_KEY_SIZE];
	struct vs_offer offer;
	enum vs_protection protection; /* of the last session */
	uint8_t mac1_key[VS_HASH_SIZE]; /* of messages to us */

	enum state state;
	uint64_t deadline; /* of the next attempt */
	unsigned attempts; /* since start */
	uint64_t attempt;  /* number of the newest, ever */

	/* The newest attempt, once it is sent. */
	bool sent;
	bool sent_cookie;
	uint32_t local_index;
	uint64_t retry_usec;
	struct vs_noise noise;
	uint8_t mac1[VS_MAC_SIZE];

	uint8_t cookie[VS_COOKIE_SIZE];
	uint64_t cookie_until; /* 0: there is none */
};

struct vs_initiator *vs_initiator_new(const struct vs_initiator_config *config)
{
	struct vs_initiator *in = calloc(1, sizeof(*in));
	uint8_t public[VS_KEY_SIZE];

	if (!in)
		return NULL;
	if (config->crypto->x25519_public(public, config->private_key)) {
		free(in);
		return NULL;
	}
	in->crypto = config->crypto;
	in->offer = config->offer;
	memcpy(in->psk, config->psk, VS_KEY_SIZE);
	vs_noise_init(&in->template, in->crypto, VS_NOISE_IKPSK2, VS_PROLOGUE, strlen(VS_PROLOGUE),
		      config->private_key, public, config->server_key);
	vs_mac1_key(in->crypto, public, in->mac1_key);
	return in;
}

void vs_initiator_free(struct vs_initiator *in)
{
	if (!in)
		return;
	vs_wipe(in, sizeof(*in));
	free(in);
}

void vs_initiator_start(struct vs_initiator *in, uint64_t now)
{
	if (in->state != IDLE)
		return;
	in->state = WAITING;
	in->deadline = now;
	in->attempts = 0;
}

bool vs_initiator_busy(const struct vs_initiator *in)
{
	return in->state != IDLE;
}

void vs_initiator_forget(struct vs_initiator *in)
{
	in->offer.incarnation = 0;
}

void vs_initiator_set_carrier(struct vs_initiator *in, enum vs_carrier_kind carrier)
{
	in->offer.carrier = carrier;
}

uint64_t vs_initiator_deadline(const struct vs_initiator *in)
{
	return in->state == WAITING ? in->deadline : VS_NEVER;
}

/* --- Attempts ----------------------------------------------------------------------------------------------------- */

static uint64_t retry_delay(unsigned attempts, uint32_t random)
{
	uint64_t base = VS_INITIATOR_RETRY_MIN << VS_MIN(attempts, RETRY_SHIFT_MAX);

	return base + (base / RETRY_JITTER_DIVISOR * random >> 32);
}

/* Forgets the newest attempt, so that no answer to it is taken any more. */
static void abandon(struct vs_initiator *in)
{
	in->sent = false;
	vs_wipe(&in->noise, sizeof(in->noise));
}

bool vs_initiator_output(struct vs_initiator *in, uint64_t now, uint64_t unix_usec, uint32_t local_index,
			 const uint8_t random[VS_INITIATOR_RANDOM], struct vs_handshake_job *job)
{
	if (now < vs_initiator_deadline(in))
		return false;

	abandon(in);
	in->state = BUILDING;
	in->attempt++;
	in->local_index = local_index & VS_INDEX_MAX;
	in->retry_usec = retry_delay(in->attempts++, vs_get_be32(random + VS_KEY_SIZE));
	in->offer.timestamp_usec = VS_MAX(unix_usec, in->offer.timestamp_usec + 1);
	in->sent_cookie = now < in->cookie_until;

	*job = (struct vs_handshake_job){
		.kind = VS_JOB_BUILD_INITIATION,
		.noise = in->template,
		.local_index = in->local_index,
		.has_cookie = in->sent_cookie,
		.offer = in->offer,
		.attempt = in->attempt,
	};
	memcpy(job->ephemeral, random, VS_KEY_SIZE);
	memcpy(job->cookie, in->cookie, VS_COOKIE_SIZE);
	return true;
}

static enum vs_initiator_event initiation_built(struct vs_initiator *in, const struct vs_handshake_job *job,
						uint64_t now, enum vs_drop *reason)
{
	in->state = WAITING;
	in->deadline = vs_time_add(now, in->retry_usec);
	if (job->result) {
		*reason = VS_DROP_BAD_HANDSHAKE;
		return VS_INITIATOR_DROPPED;
	}
	in->noise = job->noise;
	memcpy(in->mac1, vs_mac1_of(job->datagram, job->len), VS_MAC_SIZE);
	in->sent = true;
	return VS_INITIATOR_SEND;
}

/* --- Answers ------------------------------------------------------------------------------------------------------ */

/* A cookie that answers an attempt without one is used at once. Where one was sent and was not good enough (the
 * server's secret or our address has changed), the next attempt waits for its time, so that two peers that disagree do
 * not play ping-pong. */
static enum vs_initiator_event take_cookie(struct vs_initiator *in, const uint8_t *reply, uint64_t now,
					   enum vs_drop *reason)
{
	uint8_t cookie[VS_COOKIE_SIZE];

	if (vs_cookie_open(in->crypto, in->template.remote_static, reply, in->mac1, cookie)) {
		*reason = VS_DROP_BAD_SEAL;
		return VS_INITIATOR_DROPPED;
	}
	memcpy(in->cookie, cookie, VS_COOKIE_SIZE);
	in->cookie_until = vs_time_add(now, VS_COOKIE_LIFE);
	if (!in->sent_cookie) {
		in->sent_cookie = true;
		in->deadline = vs_time_min(in->deadline, now);
	}
	return VS_INITIATOR_COOKIE;
}

static enum vs_initiator_event take_response(struct vs_initiator *in, const uint8_t *datagram, size_t len,
					     struct vs_handshake_job *job)
{
	in->state = READING;
	*job = (struct vs_handshake_job){
		.kind = VS_JOB_READ_RESPONSE,
		.noise = in->noise,
		.local_index = in->local_index,
		.attempt = in->attempt,
		.len = len,
	};
	memcpy(job->psk, in->psk, VS_KEY_SIZE);
	memcpy(job->datagram, datagram, len);
	return VS_INITIATOR_JOB;
}

enum vs_initiator_event vs_initiator_input(struct vs_initiator *in, const uint8_t *datagram, size_t len, uint64_t now,
					   struct vs_handshake_job *job, enum vs_drop *reason)
{
	uint8_t type = len ? datagram[0] : 0;
	size_t least = type == VS_TYPE_COOKIE ? VS_COOKIE_REPLY_SIZE
					      : VS_RESPONSE_HEADER + VS_NOISE_RESPONSE_OVERHEAD + 2 * VS_MAC_SIZE;
	size_t most = type == VS_TYPE_COOKIE ? VS_COOKIE_REPLY_SIZE : VS_RESPONSE_MAX;

	if (type != VS_TYPE_COOKIE && type != VS_TYPE_RESPONSE)
		*reason = VS_DROP_DATAGRAM_TYPE;
	else if (len < least)
		*reason = VS_DROP_DATAGRAM_SHORT;
	else if (len > most)
		*reason = VS_DROP_BAD_HANDSHAKE;
	else if (!in->sent || vs_get_be24(datagram + 1) != in->local_index)
		*reason = VS_DROP_NO_SESSION;
	else if (in->state != WAITING)
		*reason = VS_DROP_HANDSHAKE_LIMIT;
	else if (type == VS_TYPE_COOKIE)
		return take_cookie(in, datagram, now, reason);
	else if (!vs_mac1_valid(in->crypto, in->mac1_key, datagram, len))
		*reason = VS_DROP_BAD_MAC1;
	else
		return take_response(in, datagram, len, job);
	return VS_INITIATOR_DROPPED;
}

/* What somebody else may have put into lanes must not come up under a protection that forbids it: from frames in the
 * clear to a protection there is only a fresh start. A server that does not know that we have come so far learns it by
 * the next attempt, which holds nothing to resume. */
static bool is_acceptable(struct vs_initiator *in, const struct vs_params *params)
{
	bool tainted = in->protection == VS_PROTECTION_NONE && params->protection != VS_PROTECTION_NONE;
	if (!vs_params_fit(params, &in->offer))
		return false;
	if (params->resumed && tainted)
		vs_initiator_forget(in);
	return !params->resumed || !tainted;
}

/* A response that fails was not the server's: the attempt and its deadline stand. One that the offer does not allow is
 * the attempt's answer, but the server's mind may be changed by the next. */
static enum vs_initiator_event response_read(struct vs_initiator *in, const struct vs_handshake_job *job,
					     struct vs_initiator_result *result)
{
	in->state = WAITING;
	if (job->result) {
		result->reason = VS_DROP_BAD_HANDSHAKE;
		return VS_INITIATOR_DROPPED;
	}
	abandon(in);
	result->params = job->params;
	if (!is_acceptable(in, &job->params)) {
		result->reason = VS_DROP_HANDSHAKE_TERMS;
		return VS_INITIATOR_REFUSED;
	}
	in->state = IDLE;
	in->offer.incarnation = job->params.incarnation;
	in->protection = job->params.protection;
	result->keys = job->keys;
	return VS_INITIATOR_SESSION;
}

enum vs_initiator_event vs_initiator_done(struct vs_initiator *in, struct vs_handshake_job *job, uint64_t now,
					  struct vs_initiator_result *result)
{
	enum vs_initiator_event event;

	assert(job->attempt == in->attempt && (in->state == BUILDING || in->state == READING));
	*result = (struct vs_initiator_result){ 0 };
	if (in->state == BUILDING)
		event = initiation_built(in, job, now, &result->reason);
	else
		event = response_read(in, job, result);
	vs_handshake_job_wipe(job);
	return event;
}
