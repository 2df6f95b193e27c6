/* The client's handshake against a real responder, in virtual time. */
#include "link/initiator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "handshake_util.h"

struct fixture {
	struct pair p;
	struct vs_handshake_job job;        /* the initiation */
	struct vs_handshake_job server_job; /* the response */
	struct vs_initiator_result result;
	struct vs_responder_result server_result;
	struct vs_policy policy;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->policy = vs_policy_default();
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

static void send_initiation(struct fixture *f)
{
	assert_true(client_output(&f->p, &f->job));
	assert_int_equal(f->job.len, VS_INITIATION_SIZE);
}

/* The server answers the last initiation; its response is in server_job. */
static void answer(struct fixture *f, uint64_t incarnation)
{
	assert_int_equal(server_read(&f->p, f->job.datagram, f->job.len, 0, &f->server_job, &f->server_result),
			 VS_RESPONDER_ACCEPT);
	assert_int_equal(server_answer(&f->p, &f->server_job, &f->policy, incarnation, &f->server_result),
			 VS_RESPONDER_SESSION);
}

static enum vs_initiator_event deliver(struct fixture *f)
{
	return client_read(&f->p, f->server_job.datagram, f->server_job.len, &f->result);
}

static void test_handshake(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(vs_initiator_deadline(f->p.client), VS_NEVER);
	assert_false(client_output(&f->p, &f->job));
	vs_initiator_start(f->p.client, f->p.now);
	assert_true(vs_initiator_busy(f->p.client));
	assert_int_equal(vs_initiator_deadline(f->p.client), f->p.now);
	send_initiation(f);
	answer(f, 99);
	assert_true(f->server_job.len <= VS_INITIATION_SIZE);
	assert_int_equal(deliver(f), VS_INITIATOR_SESSION);

	const struct vs_session_keys *ours = &f->result.keys, *theirs = &f->server_result.keys;
	assert_memory_equal(ours->send, theirs->recv, VS_KEY_SIZE);
	assert_memory_equal(ours->recv, theirs->send, VS_KEY_SIZE);
	assert_memory_not_equal(ours->send, ours->recv, VS_KEY_SIZE);
	assert_int_equal(ours->local_index, theirs->remote_index);
	assert_int_equal(ours->remote_index, theirs->local_index);
	assert_int_equal(ours->remote_index, 0x020301);
	assert_true(ours->initiator && !theirs->initiator);
	assert_int_equal(ours->cipher, theirs->cipher);
	assert_int_equal(f->result.params.lanes, f->policy.lanes);
	assert_int_equal(f->result.params.incarnation, 99);
	assert_false(f->result.params.resumed);

	assert_false(vs_initiator_busy(f->p.client));
	assert_int_equal(vs_initiator_deadline(f->p.client), VS_NEVER);
	/* The same response again is for nobody. */
	assert_int_equal(deliver(f), VS_INITIATOR_DROPPED);
	assert_int_equal(f->result.reason, VS_DROP_NO_SESSION);
}

/* Starting again while busy changes nothing. */
static void test_start_is_idempotent(void **state)
{
	struct fixture *f = *state;

	vs_initiator_start(f->p.client, f->p.now);
	send_initiation(f);
	uint64_t deadline = vs_initiator_deadline(f->p.client);
	vs_initiator_start(f->p.client, f->p.now + 1);
	assert_int_equal(vs_initiator_deadline(f->p.client), deadline);
	answer(f, 1);
	assert_int_equal(deliver(f), VS_INITIATOR_SESSION);
}

/* Unanswered attempts come at 0.35, 0.7, 1.4, 1.4, ... seconds and up to a fifth more, for ever, none like another. */
static void test_backoff(void **state)
{
	static const uint64_t base[] = {350, 700, 1400, 1400, 1400, 1400, 1400, 1400};
	struct fixture *f = *state;
	uint8_t last[VS_INITIATION_SIZE] = { 0 };
	uint64_t last_timestamp = 0;
	bool jittered = false;

	vs_initiator_start(f->p.client, f->p.now);
	for (int i = 0; i < 50; i++) {
		uint64_t least = base[VS_MIN(i, 7)] * VS_MSEC;

		send_initiation(f);
		assert_memory_not_equal(f->job.datagram + 4, last + 4, VS_KEY_SIZE);
		assert_true(f->job.offer.timestamp_usec > last_timestamp);
		last_timestamp = f->job.offer.timestamp_usec;
		memcpy(last, f->job.datagram, sizeof(last));

		uint64_t delay = vs_initiator_deadline(f->p.client) - f->p.now;
		assert_in_range(delay, least, least + least / 5);
		jittered |= delay != least;
		f->p.now += delay - 1;
		assert_false(client_output(&f->p, &f->job));
		f->p.now++;
	}
	assert_true(jittered);
}

/* A wall clock that stands still or runs backwards still gives growing timestamps. */
static void test_timestamp_grows(void **state)
{
	struct fixture *f = *state;
	static const uint64_t wall[] = {5000, 5000, 3000, 0, 6000};
	static const uint64_t want[] = {5000, 5001, 5002, 5003, 6000};
	uint8_t random[VS_INITIATOR_RANDOM] = {1};

	vs_initiator_start(f->p.client, f->p.now);
	for (size_t i = 0; i < VS_ARRAY_SIZE(wall); i++) {
		assert_true(vs_initiator_output(f->p.client, f->p.now, wall[i], 1, random, &f->job));
		assert_int_equal(f->job.offer.timestamp_usec, want[i]);
		vs_handshake_job_run(&f->job);
		assert_int_equal(vs_initiator_done(f->p.client, &f->job, f->p.now, &f->result), VS_INITIATOR_SEND);
		f->p.now = vs_initiator_deadline(f->p.client);
	}
}

/* Only the newest attempt's response counts, whose index differs. */
static void test_old_response(void **state)
{
	struct fixture *f = *state;

	vs_initiator_start(f->p.client, f->p.now);
	send_initiation(f);
	answer(f, 1);
	struct vs_handshake_job late = f->server_job;
	f->p.now = vs_initiator_deadline(f->p.client);
	send_initiation(f);
	assert_int_equal(client_read(&f->p, late.datagram, late.len, &f->result), VS_INITIATOR_DROPPED);
	assert_int_equal(f->result.reason, VS_DROP_NO_SESSION);
	answer(f, 1);
	assert_int_equal(deliver(f), VS_INITIATOR_SESSION);
}

/* Damaged responses are dropped, and the true one is still taken after them. */
static void test_damaged_response(void **state)
{
	struct fixture *f = *state;

	vs_initiator_start(f->p.client, f->p.now);
	send_initiation(f);
	answer(f, 1);
	uint64_t deadline = vs_initiator_deadline(f->p.client);
	size_t without_mac2 = f->server_job.len - VS_MAC_SIZE;
	for (size_t i = 0; i < without_mac2; i++) {
		f->server_job.datagram[i] ^= 0x80;
		assert_int_equal(deliver(f), VS_INITIATOR_DROPPED);
		f->server_job.datagram[i] ^= 0x80;
	}
	for (size_t len = 0; len < f->server_job.len; len++)
		assert_int_equal(client_read(&f->p, f->server_job.datagram, len, &f->result), VS_INITIATOR_DROPPED);
	assert_int_equal(vs_initiator_deadline(f->p.client), deadline);
	assert_int_equal(deliver(f), VS_INITIATOR_SESSION);
}

/* A forged response with a good mac1 costs a job and nothing else. */
static void test_forged_response(void **state)
{
	struct fixture *f = *state;
	uint8_t key[VS_HASH_SIZE];

	vs_initiator_start(f->p.client, f->p.now);
	send_initiation(f);
	answer(f, 1);
	struct vs_handshake_job forged = f->server_job;
	forged.datagram[50] ^= 1;
	vs_mac1_key(f->p.crypto, f->p.client_key, key);
	vs_macs_append(f->p.crypto, key, NULL, forged.datagram, forged.len - 2 * VS_MAC_SIZE);

	struct vs_handshake_job reading;
	enum vs_drop reason;
	assert_int_equal(vs_initiator_input(f->p.client, forged.datagram, forged.len, f->p.now, &reading, &reason),
			 VS_INITIATOR_JOB);
	/* While it is read there is no second job. */
	assert_int_equal(vs_initiator_deadline(f->p.client), VS_NEVER);
	assert_int_equal(vs_initiator_input(f->p.client, f->server_job.datagram, f->server_job.len, f->p.now, &f->job,
					    &reason), VS_INITIATOR_DROPPED);
	assert_int_equal(reason, VS_DROP_HANDSHAKE_LIMIT);
	vs_handshake_job_run(&reading);
	assert_int_equal(vs_initiator_done(f->p.client, &reading, f->p.now, &f->result), VS_INITIATOR_DROPPED);
	assert_int_equal(f->result.reason, VS_DROP_BAD_HANDSHAKE);
	assert_int_equal(deliver(f), VS_INITIATOR_SESSION);
}

/* The server knows the link's incarnation: resumed. It does not: fresh, and the client knows the new one next time. */
static void test_resume(void **state)
{
	static const struct {
		uint64_t server;
		bool resumed;
	} steps[] = {{7, false}, {7, true}, {8, false}, {8, true}};
	struct fixture *f = *state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(steps); i++) {
		f->p.now += VS_SEC;
		vs_initiator_start(f->p.client, f->p.now);
		send_initiation(f);
		answer(f, steps[i].server);
		assert_int_equal(deliver(f), VS_INITIATOR_SESSION);
		assert_int_equal(f->result.params.resumed, steps[i].resumed);
		assert_int_equal(f->result.params.incarnation, steps[i].server);
	}
	vs_initiator_forget(f->p.client);
	f->p.now += VS_SEC;
	vs_initiator_start(f->p.client, f->p.now);
	send_initiation(f);
	answer(f, 8);
	assert_int_equal(deliver(f), VS_INITIATOR_SESSION);
	assert_false(f->result.params.resumed);
}

/* Lanes are not carried over to another protection: what he on the path has put into them would come up as
 * the peer's. */
static void test_no_resume_under_another_protection(void **state)
{
	static const struct {
		enum vs_cipher_choice cipher;
		uint64_t incarnation;
		enum vs_initiator_event event;
	} steps[] = {
		{VS_CIPHER_CHOICE_NONE, 7, VS_INITIATOR_SESSION},
		{VS_CIPHER_CHOICE_NONE, 7, VS_INITIATOR_SESSION},
		{VS_CIPHER_CHOICE_AUTO, 7, VS_INITIATOR_REFUSED},
		{VS_CIPHER_CHOICE_AUTO, 8, VS_INITIATOR_SESSION},
	};
	struct fixture *f = *state;

	f->p.client_config.offer.protections = vs_protections_from(VS_PROTECTION_NONE);
	vs_initiator_free(f->p.client);
	f->p.client = new_client(&f->p);
	for (size_t i = 0; i < VS_ARRAY_SIZE(steps); i++) {
		f->p.now += 10 * VS_SEC;
		vs_initiator_start(f->p.client, f->p.now);
		send_initiation(f);
		vs_policy_set_cipher(&f->policy, steps[i].cipher);
		answer(f, steps[i].incarnation);
		assert_int_equal(deliver(f), steps[i].event);
	}
}

/* Under load the server asks for a cookie, and the next attempt follows at once and passes. */
static void test_cookie(void **state)
{
	struct fixture *f = *state;
	unsigned load = f->p.server_config.jobs_load;

	vs_initiator_start(f->p.client, f->p.now);
	send_initiation(f);
	assert_int_equal(server_read(&f->p, f->job.datagram, f->job.len, load, &f->server_job, &f->server_result),
			 VS_RESPONDER_COOKIE);
	f->p.now += 10 * VS_MSEC;
	uint8_t *reply = f->server_result.cookie_reply;
	assert_int_equal(client_read(&f->p, reply, VS_COOKIE_REPLY_SIZE, &f->result), VS_INITIATOR_COOKIE);
	assert_int_equal(vs_initiator_deadline(f->p.client), f->p.now);

	send_initiation(f);
	assert_int_equal(server_read(&f->p, f->job.datagram, f->job.len, load, &f->server_job, &f->server_result),
			 VS_RESPONDER_ACCEPT);
}

/* A server that is not content with the cookie it gave is not asked again before the time. */
static void test_cookie_ping_pong(void **state)
{
	struct fixture *f = *state;
	unsigned load = f->p.server_config.jobs_load;

	vs_initiator_start(f->p.client, f->p.now);
	for (int i = 0; i < 3; i++) {
		send_initiation(f);
		uint64_t deadline = vs_initiator_deadline(f->p.client);
		f->p.addr = address_of("192.0.2.7", (uint16_t)(40001 + i)); /* a NAT that changes its mind */
		assert_int_equal(server_read(&f->p, f->job.datagram, f->job.len, load, &f->server_job,
					     &f->server_result), VS_RESPONDER_COOKIE);
		assert_int_equal(client_read(&f->p, f->server_result.cookie_reply, VS_COOKIE_REPLY_SIZE, &f->result),
				 VS_INITIATOR_COOKIE);
		assert_int_equal(vs_initiator_deadline(f->p.client), i ? deadline : f->p.now);
		f->p.now = vs_initiator_deadline(f->p.client);
	}
}

static void test_damaged_cookie(void **state)
{
	struct fixture *f = *state;

	vs_initiator_start(f->p.client, f->p.now);
	send_initiation(f);
	assert_int_equal(server_read(&f->p, f->job.datagram, f->job.len, 99, &f->server_job, &f->server_result),
			 VS_RESPONDER_COOKIE);
	uint8_t *reply = f->server_result.cookie_reply;
	uint64_t deadline = vs_initiator_deadline(f->p.client);
	for (size_t i = 0; i < VS_COOKIE_REPLY_SIZE; i++) {
		reply[i] ^= 4;
		assert_int_equal(client_read(&f->p, reply, VS_COOKIE_REPLY_SIZE, &f->result), VS_INITIATOR_DROPPED);
		reply[i] ^= 4;
	}
	assert_int_equal(client_read(&f->p, reply, VS_COOKIE_REPLY_SIZE - 1, &f->result), VS_INITIATOR_DROPPED);
	assert_int_equal(vs_initiator_deadline(f->p.client), deadline);
	assert_int_equal(client_read(&f->p, reply, VS_COOKIE_REPLY_SIZE, &f->result), VS_INITIATOR_COOKIE);
}

/* A server that chooses what was not offered is not obeyed, but people are told what it wants, and it is asked anew. */
static void test_unfit_params(void **state)
{
	struct fixture *f = *state;
	uint8_t ephemeral[VS_KEY_SIZE] = {3};
	struct vs_params params;

	f->p.client_config.offer.ciphers = VS_OFFER_BIT(VS_CIPHER_CHACHA20_POLY1305);
	vs_initiator_free(f->p.client);
	f->p.client = new_client(&f->p);
	vs_initiator_start(f->p.client, f->p.now);
	send_initiation(f);
	assert_int_equal(server_read(&f->p, f->job.datagram, f->job.len, 0, &f->server_job, &f->server_result),
			 VS_RESPONDER_ACCEPT);
	assert_int_equal(vs_params_choose(&f->policy, &f->server_job.offer, 1, &params), 0);
	assert_int_equal(params.cipher, VS_CIPHER_CHACHA20_POLY1305);
	params.cipher = VS_CIPHER_AES_256_GCM;
	params.protection = VS_PROTECTION_NONE;
	assert_int_equal(vs_responder_answer(f->p.server, &f->server_job, &params, 9, ephemeral), 0);
	vs_handshake_job_run(&f->server_job);
	assert_int_equal(vs_responder_done(f->p.server, &f->server_job, f->p.now, &f->server_result),
			 VS_RESPONDER_SESSION);
	assert_int_equal(deliver(f), VS_INITIATOR_REFUSED);
	assert_int_equal(f->result.reason, VS_DROP_HANDSHAKE_TERMS);
	assert_int_equal(f->result.params.protection, VS_PROTECTION_NONE);
	assert_true(vs_initiator_busy(f->p.client));
	assert_true(vs_initiator_deadline(f->p.client) < VS_NEVER);
	/* That attempt is over: the same answer again is nobody's. */
	assert_int_equal(deliver(f), VS_INITIATOR_DROPPED);
	assert_int_equal(f->result.reason, VS_DROP_NO_SESSION);
}

/* A server key that is no key: attempts fail one by one, and nothing breaks. */
static void test_bad_server_key(void **state)
{
	struct fixture *f = *state;
	uint8_t random[VS_INITIATOR_RANDOM] = {1};

	memset(f->p.client_config.server_key, 0, VS_KEY_SIZE);
	vs_initiator_free(f->p.client);
	f->p.client = new_client(&f->p);
	vs_initiator_start(f->p.client, f->p.now);
	for (int i = 0; i < 3; i++) {
		assert_true(vs_initiator_output(f->p.client, f->p.now, 1, 1, random, &f->job));
		vs_handshake_job_run(&f->job);
		assert_int_equal(vs_initiator_done(f->p.client, &f->job, f->p.now, &f->result), VS_INITIATOR_DROPPED);
		assert_true(vs_initiator_deadline(f->p.client) > f->p.now);
		f->p.now = vs_initiator_deadline(f->p.client);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_handshake),
		TEST(test_start_is_idempotent),
		TEST(test_backoff),
		TEST(test_timestamp_grows),
		TEST(test_old_response),
		TEST(test_damaged_response),
		TEST(test_forged_response),
		TEST(test_resume),
		TEST(test_no_resume_under_another_protection),
		TEST(test_cookie),
		TEST(test_cookie_ping_pong),
		TEST(test_damaged_cookie),
		TEST(test_unfit_params),
		TEST(test_bad_server_key),
	};

	if (vs_crypto_init())
		return 1;
	return cmocka_run_group_tests_name("initiator", tests, NULL, NULL);
}
