/* The server's handshake: what it answers, what it does not, and what it keeps. */
#include "link/responder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "handshake_util.h"

struct fixture {
	struct pair p;
	struct vs_handshake_job job;        /* the client's */
	struct vs_handshake_job server_job; /* the server's */
	struct vs_responder_result result;
	struct vs_initiator_result client_result;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return pair_init(&f->p, vs_crypto_default(), vs_crypto_default()) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	pair_fini(&f->p);
	free(f);
	return 0;
}

/* A new initiation, in f->job. */
static void initiate(struct fixture *f)
{
	if (vs_initiator_busy(f->p.client))
		f->p.now = VS_MAX(f->p.now, vs_initiator_deadline(f->p.client));
	vs_initiator_start(f->p.client, f->p.now);
	assert_true(client_output(&f->p, &f->job));
}

static enum vs_responder_event read_with(struct fixture *f, unsigned pending)
{
	return server_read(&f->p, f->job.datagram, f->job.len, pending, &f->server_job, &f->result);
}

#define assert_dropped(f, pending, why)                                          \
	do {                                                                     \
		assert_int_equal(read_with(f, pending), VS_RESPONDER_DROPPED);   \
		assert_int_equal((f)->result.reason, why);                       \
	} while (0)

static void test_accept(void **state)
{
	struct fixture *f = *state;

	initiate(f);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_ACCEPT);
	assert_int_equal(f->result.user, PEER_USER);
	assert_memory_equal(f->result.peer_key, f->p.client_key, VS_KEY_SIZE);
	assert_string_equal(f->server_job.offer.program, "vswitchc test");
	assert_memory_equal(f->server_job.offer.link_id, f->p.client_config.offer.link_id, VS_LINK_ID_SIZE);

	struct vs_policy policy = vs_policy_default();
	assert_int_equal(server_answer(&f->p, &f->server_job, &policy, 5, &f->result), VS_RESPONDER_SESSION);
	assert_true(vs_addr_equal(&f->result.to, &f->p.addr));
	assert_int_equal(f->result.user, PEER_USER);
	assert_int_equal(client_read(&f->p, f->server_job.datagram, f->server_job.len, &f->client_result),
			 VS_INITIATOR_SESSION);
	assert_memory_equal(f->client_result.keys.send, f->result.keys.recv, VS_KEY_SIZE);
}

/* Sizes and types that cannot be an initiation. */
static void test_malformed(void **state)
{
	struct fixture *f = *state;
	uint8_t large[VS_HANDSHAKE_MAX + 1] = {VS_TYPE_INITIATION};

	initiate(f);
	for (size_t len = 0; len < VS_INITIATION_SIZE; len++)
		assert_int_equal(server_read(&f->p, f->job.datagram, len, 0, &f->server_job, &f->result),
				 VS_RESPONDER_DROPPED);
	assert_int_equal(server_read(&f->p, large, sizeof(large), 0, &f->server_job, &f->result), VS_RESPONDER_DROPPED);
	assert_int_equal(f->result.reason, VS_DROP_BAD_HANDSHAKE);
	f->job.datagram[0] = VS_TYPE_RESPONSE;
	assert_dropped(f, 0, VS_DROP_DATAGRAM_TYPE);
}

/* Whoever does not know the public key gets nothing, loaded or not; nor does a damaged message. */
static void test_stranger(void **state)
{
	struct fixture *f = *state;

	initiate(f);
	for (size_t i = 1; i < f->job.len - VS_MAC_SIZE; i++) {
		f->job.datagram[i] ^= 1;
		assert_dropped(f, 0, VS_DROP_BAD_MAC1);
		assert_dropped(f, f->p.server_config.jobs_load, VS_DROP_BAD_MAC1);
		f->job.datagram[i] ^= 1;
	}
	assert_int_equal(read_with(f, 0), VS_RESPONDER_ACCEPT);
}

/* mac1 is right, but what it covers is not: no answer. */
static void test_forged(void **state)
{
	struct fixture *f = *state;
	uint8_t key[VS_HASH_SIZE];

	vs_mac1_key(f->p.crypto, vs_responder_public_key(f->p.server), key);
	initiate(f);
	for (size_t i = 4; i < f->job.len - 2 * VS_MAC_SIZE; i += 37) {
		f->job.datagram[i] ^= 1;
		vs_macs_append(f->p.crypto, key, NULL, f->job.datagram, f->job.len - 2 * VS_MAC_SIZE);
		assert_dropped(f, 0, VS_DROP_BAD_HANDSHAKE);
		f->job.datagram[i] ^= 1;
	}
}

static void test_unknown_key(void **state)
{
	struct fixture *f = *state;

	assert_true(vs_responder_remove_peer(f->p.server, f->p.client_key));
	assert_false(vs_responder_remove_peer(f->p.server, f->p.client_key));
	initiate(f);
	assert_dropped(f, 0, VS_DROP_UNKNOWN_KEY);
}

/* A key that is revoked while its handshake is under way gets no session. */
static void test_revoked_meanwhile(void **state)
{
	struct fixture *f = *state;
	uint8_t ephemeral[VS_KEY_SIZE] = {9};
	struct vs_policy policy = vs_policy_default();
	struct vs_params params;

	initiate(f);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_ACCEPT);
	assert_int_equal(vs_params_choose(&policy, &f->server_job.offer, 1, &params), 0);
	struct vs_handshake_job other = f->server_job;
	assert_int_equal(vs_responder_answer(f->p.server, &f->server_job, &params, 3, ephemeral), 0);
	vs_responder_remove_peer(f->p.server, f->p.client_key);
	vs_handshake_job_run(&f->server_job);
	assert_int_equal(vs_responder_done(f->p.server, &f->server_job, f->p.now, &f->result), VS_RESPONDER_DROPPED);
	assert_int_equal(f->result.reason, VS_DROP_UNKNOWN_KEY);
	assert_int_equal(vs_responder_answer(f->p.server, &other, &params, 3, ephemeral), -ENOENT);
}

/* With the wrong pre-shared key the client is known but can make nothing of the response. */
static void test_wrong_psk(void **state)
{
	struct fixture *f = *state;
	const uint8_t other[VS_KEY_SIZE] = {1, 2, 3};
	struct vs_policy policy = vs_policy_default();

	assert_int_equal(vs_responder_set_peer(f->p.server, f->p.client_key, other, 43, 1), 0);
	initiate(f);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_ACCEPT);
	assert_int_equal(f->result.user, 43);
	assert_int_equal(server_answer(&f->p, &f->server_job, &policy, 1, &f->result), VS_RESPONDER_SESSION);
	assert_int_equal(client_read(&f->p, f->server_job.datagram, f->server_job.len, &f->client_result),
			 VS_INITIATOR_DROPPED);
	assert_int_equal(f->client_result.reason, VS_DROP_BAD_HANDSHAKE);
}

/* A replayed initiation gets at most a cookie, smaller than the question; a newer one passes. */
static void test_replay(void **state)
{
	struct fixture *f = *state;

	initiate(f);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_ACCEPT);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_COOKIE);
	assert_true(VS_COOKIE_REPLY_SIZE < f->job.len);
	assert_true(vs_addr_equal(&f->result.to, &f->p.addr));
	initiate(f);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_ACCEPT);
}

/* Nor does a recording pass from before the server's start, of which it remembers nothing, nor from before its key was
 * removed and added again. */
static void test_replay_of_a_forgotten_time(void **state)
{
	struct fixture *f = *state;
	static const uint8_t no_psk[VS_KEY_SIZE];

	initiate(f);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_ACCEPT);
	struct vs_handshake_job recorded = f->job;

	assert_true(vs_responder_remove_peer(f->p.server, f->p.client_key));
	assert_int_equal(vs_responder_set_peer(f->p.server, f->p.client_key, no_psk, PEER_USER, 1), 0);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_COOKIE);

	vs_responder_free(f->p.server);
	f->p.server_config.floor_usec = recorded.offer.timestamp_usec + 1;
	f->p.server = vs_responder_new(&f->p.server_config);
	assert_int_equal(vs_responder_set_peer(f->p.server, f->p.client_key, no_psk, PEER_USER, 1), 0);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_COOKIE);
	f->p.now += VS_SEC;
	initiate(f);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_ACCEPT);
}

/* A client whose clock restarts at zero gets in by way of a cookie, and does not lower what is known. */
static void test_client_without_clock(void **state)
{
	struct fixture *f = *state;
	uint8_t random[VS_INITIATOR_RANDOM] = {1};

	initiate(f);
	assert_int_equal(read_with(f, 0), VS_RESPONDER_ACCEPT);
	struct vs_handshake_job recorded = f->job;

	vs_initiator_free(f->p.client);
	f->p.client = new_client(&f->p);
	vs_initiator_start(f->p.client, f->p.now);
	for (int i = 0; i < 2; i++) {
		random[0]++;
		assert_true(vs_initiator_output(f->p.client, f->p.now, 1, 7, random, &f->job));
		vs_handshake_job_run(&f->job);
		assert_int_equal(vs_initiator_done(f->p.client, &f->job, f->p.now, &f->client_result),
				 VS_INITIATOR_SEND);
		assert_int_equal(read_with(f, 0), i ? VS_RESPONDER_ACCEPT : VS_RESPONDER_COOKIE);
		if (i)
			break;
		assert_int_equal(client_read(&f->p, f->result.cookie_reply, VS_COOKIE_REPLY_SIZE, &f->client_result),
				 VS_INITIATOR_COOKIE);
	}
	f->job = recorded;
	assert_int_equal(read_with(f, 0), VS_RESPONDER_COOKIE);
}

static void test_load(void **state)
{
	struct fixture *f = *state;
	unsigned load = f->p.server_config.jobs_load, max = f->p.server_config.jobs_max;

	initiate(f);
	assert_dropped(f, max, VS_DROP_HANDSHAKE_LIMIT);
	assert_int_equal(read_with(f, load), VS_RESPONDER_COOKIE);
	assert_int_equal(read_with(f, load - 1), VS_RESPONDER_ACCEPT);
}

/* A cookie is good for its address alone, for its life and one more period at most. */
static void test_mac2(void **state)
{
	struct fixture *f = *state;
	unsigned load = f->p.server_config.jobs_load;
	struct vs_addr home = f->p.addr;

	f->p.now = START_USEC / VS_COOKIE_LIFE * VS_COOKIE_LIFE;
	initiate(f);
	assert_int_equal(read_with(f, load), VS_RESPONDER_COOKIE);
	assert_int_equal(client_read(&f->p, f->result.cookie_reply, VS_COOKIE_REPLY_SIZE, &f->client_result),
			 VS_INITIATOR_COOKIE);
	initiate(f);
	struct vs_handshake_job first = f->job;
	uint64_t then = f->p.now;

	f->p.addr = address_of("192.0.2.8", 40000);
	assert_int_equal(read_with(f, load), VS_RESPONDER_COOKIE);
	f->p.addr = address_of("192.0.2.7", 40001);
	assert_int_equal(read_with(f, load), VS_RESPONDER_COOKIE);
	f->p.addr = home;
	f->p.now = then + 2 * VS_COOKIE_LIFE;
	assert_int_equal(read_with(f, load), VS_RESPONDER_COOKIE);
	f->p.now = then + 2 * VS_COOKIE_LIFE - VS_SEC;
	f->job = first;
	assert_int_equal(read_with(f, load), VS_RESPONDER_ACCEPT);
}

/* Under load one address may not take all the places, proven or not; another still gets its own. */
static void test_source_rate(void **state)
{
	struct fixture *f = *state;
	unsigned load = f->p.server_config.jobs_load;

	for (int address = 0; address < 2; address++) {
		unsigned accepted = 0;

		f->p.addr = address_of(address ? "2001:db8::1" : "192.0.2.7", 1234);
		initiate(f);
		if (read_with(f, load) == VS_RESPONDER_COOKIE)
			client_read(&f->p, f->result.cookie_reply, VS_COOKIE_REPLY_SIZE, &f->client_result);
		initiate(f);
		for (int i = 0; i < 20; i++)
			accepted += read_with(f, load) == VS_RESPONDER_ACCEPT;
		assert_int_equal(accepted, VS_RESPONDER_SOURCE_BURST);
		f->p.now += VS_RESPONDER_SOURCE_INTERVAL;
		assert_int_equal(read_with(f, load), VS_RESPONDER_ACCEPT);
		assert_dropped(f, load, VS_DROP_HANDSHAKE_LIMIT);
	}
}

static void test_cookie_rate(void **state)
{
	struct fixture *f = *state;
	unsigned cookies = 0, load = f->p.server_config.jobs_load;

	initiate(f);
	for (int i = 0; i < 1000; i++)
		cookies += read_with(f, load) == VS_RESPONDER_COOKIE;
	assert_in_range(cookies, 1, f->p.server_config.cookies_per_sec / 10);
	f->p.now += VS_SEC / f->p.server_config.cookies_per_sec;
	assert_int_equal(read_with(f, load), VS_RESPONDER_COOKIE);
	assert_dropped(f, load, VS_DROP_HANDSHAKE_LIMIT);
}

static void test_peer_limit(void **state)
{
	struct fixture *f = *state;
	const uint8_t none[VS_KEY_SIZE] = { 0 };
	uint8_t key[VS_KEY_SIZE] = { 0 };

	for (unsigned i = 1; i < f->p.server_config.peers_max; i++) {
		vs_put_be32(key, i * 2654435761u);
		assert_int_equal(vs_responder_set_peer(f->p.server, key, none, i, 1), 0);
	}
	memset(key, 0xff, sizeof(key));
	assert_int_equal(vs_responder_set_peer(f->p.server, key, none, 1, 1), -ENOSPC);
	assert_int_equal(vs_responder_set_peer(f->p.server, f->p.client_key, none, 1, 1), 0);
	assert_true(vs_responder_remove_peer(f->p.server, f->p.client_key));
	assert_int_equal(vs_responder_set_peer(f->p.server, key, none, 1, 1), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_accept),
		TEST(test_malformed),
		TEST(test_stranger),
		TEST(test_forged),
		TEST(test_unknown_key),
		TEST(test_revoked_meanwhile),
		TEST(test_wrong_psk),
		TEST(test_replay),
		TEST(test_replay_of_a_forgotten_time),
		TEST(test_client_without_clock),
		TEST(test_load),
		TEST(test_mac2),
		TEST(test_source_rate),
		TEST(test_cookie_rate),
		TEST(test_peer_limit),
	};

	if (vs_crypto_init())
		return 1;
	return cmocka_run_group_tests_name("responder", tests, NULL, NULL);
}
