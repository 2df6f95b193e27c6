/* What the handshake's tests and fuzzer share: keys, a stream of bytes that stands for randomness, and one client and
 * one server that know each other. */
#ifndef VS_TESTS_HANDSHAKE_UTIL_H
#define VS_TESTS_HANDSHAKE_UTIL_H

#include <string.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "link/initiator.h"
#include "link/responder.h"

struct random_stream {
	uint64_t state;
};

static inline void random_bytes(struct random_stream *s, void *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s->state = s->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		((uint8_t *)out)[i] = (uint8_t)(s->state >> 56);
	}
}

static inline struct vs_addr address_of(const char *text, uint16_t port)
{
	struct vs_addr addr = { 0 };

	return vs_addr_parse(text, port, &addr) ? (struct vs_addr){ 0 } : addr;
}

#define PEER_USER 42
#define START_USEC (1000 * VS_SEC)
#define UNIX_USEC UINT64_C(1700000000000000)

struct pair {
	struct random_stream random;
	const struct vs_crypto *crypto;
	struct vs_initiator_config client_config;
	struct vs_responder_config server_config;
	struct vs_initiator *client;
	struct vs_responder *server;
	uint8_t client_key[VS_KEY_SIZE]; /* public */
	struct vs_addr addr;             /* the client's */
	uint64_t now;
};

static inline struct vs_initiator *new_client(struct pair *p)
{
	return vs_initiator_new(&p->client_config);
}

static inline bool pair_init(struct pair *p, const struct vs_crypto *client_crypto,
			     const struct vs_crypto *server_crypto)
{
	*p = (struct pair){ .random = {1}, .crypto = client_crypto, .now = START_USEC };
	p->addr = address_of("192.0.2.7", 40000);
	p->server_config = (struct vs_responder_config)VS_RESPONDER_CONFIG_DEFAULT;
	p->server_config.crypto = server_crypto;
	random_bytes(&p->random, p->server_config.private_key, VS_KEY_SIZE);
	random_bytes(&p->random, p->server_config.cookie_seed, VS_COOKIE_SEED_SIZE);

	p->client_config.crypto = client_crypto;
	random_bytes(&p->random, p->client_config.private_key, VS_KEY_SIZE);
	random_bytes(&p->random, p->client_config.psk, VS_KEY_SIZE);
	p->client_config.offer = vs_offer_default();
	random_bytes(&p->random, p->client_config.offer.link_id, VS_LINK_ID_SIZE);
	strcpy(p->client_config.offer.program, "vswitchc test");
	if (client_crypto->x25519_public(p->client_key, p->client_config.private_key))
		return false;

	p->server = vs_responder_new(&p->server_config);
	if (!p->server)
		return false;
	memcpy(p->client_config.server_key, vs_responder_public_key(p->server), VS_KEY_SIZE);
	p->client = new_client(p);
	return p->client &&
	       !vs_responder_set_peer(p->server, p->client_key, p->client_config.psk, PEER_USER, 1);
}

static inline void pair_fini(struct pair *p)
{
	vs_initiator_free(p->client);
	vs_responder_free(p->server);
}

/* The client's next attempt, if one is due: true, and the initiation is in job->datagram. */
static inline bool client_output(struct pair *p, struct vs_handshake_job *job)
{
	uint8_t random[VS_INITIATOR_RANDOM];
	struct vs_initiator_result result;
	uint32_t index;

	random_bytes(&p->random, random, sizeof(random));
	random_bytes(&p->random, &index, sizeof(index));
	if (!vs_initiator_output(p->client, p->now, UNIX_USEC + p->now, index & VS_INDEX_MAX, random, job))
		return false;
	vs_handshake_job_run(job);
	return vs_initiator_done(p->client, job, p->now, &result) == VS_INITIATOR_SEND;
}

/* The server's verdict on an initiation: input, job, done. The datagram may be in the job that is written to. */
static inline enum vs_responder_event server_read(struct pair *p, const uint8_t *datagram, size_t len, unsigned pending,
						  struct vs_handshake_job *job, struct vs_responder_result *result)
{
	uint8_t random[VS_COOKIE_SALT], copy[VS_HANDSHAKE_MAX + 1];

	random_bytes(&p->random, random, sizeof(random));
	memcpy(copy, datagram, VS_MIN(len, sizeof(copy)));
	enum vs_responder_event event =
		vs_responder_input(p->server, copy, len, &p->addr, p->now, random, pending, job, result);
	if (event != VS_RESPONDER_JOB)
		return event;
	vs_handshake_job_run(job);
	return vs_responder_done(p->server, job, p->now, result);
}

/* Answers an accepted job: the response is then in job->datagram. */
static inline enum vs_responder_event server_answer(struct pair *p, struct vs_handshake_job *job,
						    const struct vs_policy *policy, uint64_t incarnation,
						    struct vs_responder_result *result)
{
	uint8_t ephemeral[VS_KEY_SIZE];
	struct vs_params params;

	random_bytes(&p->random, ephemeral, sizeof(ephemeral));
	if (vs_params_choose(policy, &job->offer, incarnation, &params) ||
	    vs_responder_answer(p->server, job, &params, 0x020301, ephemeral))
		return VS_RESPONDER_DROPPED;
	vs_handshake_job_run(job);
	return vs_responder_done(p->server, job, p->now, result);
}

/* The client's verdict on a response or a cookie reply. */
static inline enum vs_initiator_event client_read(struct pair *p, const uint8_t *datagram, size_t len,
						  struct vs_initiator_result *result)
{
	struct vs_handshake_job job;
	enum vs_drop reason = 0;
	enum vs_initiator_event event = vs_initiator_input(p->client, datagram, len, p->now, &job, &reason);

	*result = (struct vs_initiator_result){ .reason = reason };
	if (event != VS_INITIATOR_JOB)
		return event;
	vs_handshake_job_run(&job);
	return vs_initiator_done(p->client, &job, p->now, result);
}

#endif
