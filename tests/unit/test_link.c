/* Two links joined by a pipe with delay, loss and a size limit, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link/link.h"
#include "link/session.h"
#include "superframe.h"

#define PIPE_MAX 8192
#define SEEN_MAX 400

struct datagram {
	uint64_t due;
	size_t len;
	uint8_t *data;
};

struct pipe {
	struct datagram queue[PIPE_MAX];
	unsigned head, count;
	unsigned sent, lost;
};

struct end {
	struct vs_link *link;
	struct pipe out;
	struct vs_deframed arrived;
	uint32_t next_expected;
	unsigned received;
	uint64_t worst_delay;
	bool seen[SEEN_MAX];
	unsigned distinct; /* frames that were not seen before */
};

struct world {
	struct vs_pool *pool;
	struct end a, b; /* a is the initiator */
	uint64_t now, delay;
	unsigned loss_percent;
	size_t mtu;
	bool cut;
	bool unordered; /* frames may come late, and twice */
	uint32_t seed;
};

static uint32_t next_random(struct world *w)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return w->seed >> 8;
}

static struct vs_params default_params(void)
{
	return (struct vs_params){
		.version = 1,
		.kcp = vs_kcp_config_default(),
		.cipher = VS_CIPHER_CHACHA20_POLY1305,
		.mode = VS_MODE_RELIABLE,
		.congestion = VS_CONGESTION_BBR,
		.lanes = VS_LANES_MAX,
		.datagram_max = 1452,
		.mtu = 1500,
		.keepalive_usec = VS_SEC,
		.max_age_usec = VS_SEC,
		.incarnation = 1,
	};
}

static void install(struct world *w, const struct vs_params *params)
{
	struct vs_session_keys a = { .cipher = params->cipher, .initiator = true }, b = a;
	static uint32_t index = 1;
	a.local_index = index++;
	b.local_index = index++;
	a.remote_index = b.local_index;
	b.remote_index = a.local_index;
	memset(a.send, 1, VS_KEY_SIZE);
	memset(a.recv, 2, VS_KEY_SIZE);
	memcpy(b.send, a.recv, VS_KEY_SIZE);
	memcpy(b.recv, a.send, VS_KEY_SIZE);
	b.initiator = false;
	assert_int_equal(vs_link_install(w->b.link, &b, params, w->now), 0);
	assert_int_equal(vs_link_install(w->a.link, &a, params, w->now), 0);
}

static void open_end(struct world *w, struct end *e, bool initiator)
{
	struct vs_link_config config = {
		.crypto = vs_crypto_default(),
		.pool = w->pool,
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.flow_key = 42,
		.datagram_max = 1452,
		.initiator = initiator,
	};
	e->link = vs_link_new(&config, w->now);
	assert_non_null(e->link);
	vs_frame_list_init(&e->arrived.frames, 4096);
	vs_frame_list_init(&e->arrived.control, 16);
}

static struct world *open_world(void)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	assert_int_equal(vs_crypto_init(), 0);
	w->pool = vs_pool_new(64 << 20);
	w->now = VS_SEC;
	w->delay = 10 * VS_MSEC;
	w->mtu = 1452;
	w->seed = 7;
	open_end(w, &w->a, true);
	open_end(w, &w->b, false);
	return w;
}

static void close_end(struct end *e)
{
	vs_link_free(e->link);
	vs_frame_list_fini(&e->arrived.frames);
	vs_frame_list_fini(&e->arrived.control);
	while (e->out.count--) {
		free(e->out.queue[e->out.head].data);
		e->out.head = (e->out.head + 1) % PIPE_MAX;
	}
}

static void close_world(struct world *w)
{
	close_end(&w->a);
	close_end(&w->b);
	vs_pool_free(w->pool);
	free(w);
}

static void pump_out(struct world *w, struct end *e)
{
	uint8_t buffer[VS_DATAGRAM_MAX];
	struct vs_link_sent sent;
	size_t len;
	while ((len = vs_link_output(e->link, w->now, buffer, sizeof(buffer), &sent))) {
		e->out.sent++;
		if (w->cut || len > w->mtu || next_random(w) % 100 < w->loss_percent) {
			e->out.lost++;
			continue;
		}
		assert_true(e->out.count < PIPE_MAX);
		struct datagram *d = &e->out.queue[(e->out.head + e->out.count++) % PIPE_MAX];
		d->due = w->now + w->delay;
		d->len = len;
		d->data = malloc(len);
		memcpy(d->data, buffer, len);
	}
}

/* The frames' bodies carry a number and the time they were sent; per flow they must come in order. */
static void check_frames(struct world *w, struct end *e)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(&e->arrived.frames))) {
		const uint8_t *p = vs_frame_cbytes(frame);
		uint32_t number = vs_get_be32(p + 14);
		uint64_t sent = vs_get_be64(p + 18);
		assert_true(number >= e->next_expected || w->unordered);
		e->next_expected = number + 1;
		e->received++;
		if (number < SEEN_MAX && !e->seen[number]) {
			e->seen[number] = true;
			e->distinct++;
		}
		if (w->now - sent > e->worst_delay)
			e->worst_delay = w->now - sent;
		for (size_t i = 26; i < frame->len; i++)
			assert_int_equal(p[i], (uint8_t)(number + i));
		vs_frame_unref(frame);
	}
}

static void pump_in(struct world *w, struct end *from, struct end *to)
{
	struct vs_path path = { 0 };
	assert_int_equal(vs_addr_parse("192.0.2.1", 7000, &path.peer), 0);
	while (from->out.count && from->out.queue[from->out.head].due <= w->now) {
		struct datagram *d = &from->out.queue[from->out.head];
		vs_link_input(to->link, d->data, d->len, &path, w->now, &to->arrived);
		free(d->data);
		from->out.head = (from->out.head + 1) % PIPE_MAX;
		from->out.count--;
		check_frames(w, to);
	}
}

static uint64_t next_due(const struct end *e)
{
	return e->out.count ? e->out.queue[e->out.head].due : VS_NEVER;
}

static void run_until(struct world *w, uint64_t end)
{
	while (w->now < end) {
		pump_in(w, &w->a, &w->b);
		pump_in(w, &w->b, &w->a);
		pump_out(w, &w->a);
		pump_out(w, &w->b);
		uint64_t next = vs_time_min(next_due(&w->a), next_due(&w->b));
		next = vs_time_min(next, vs_link_deadline(w->a.link));
		next = vs_time_min(next, vs_link_deadline(w->b.link));
		w->now = VS_MAX(w->now + 1, VS_MIN(next, end));
	}
}

static void send_frame(struct world *w, struct end *e, uint32_t number, size_t len)
{
	struct vs_frame *frame = vs_frame_new(w->pool, len);
	assert_non_null(frame);
	uint8_t *p = vs_frame_bytes(frame);
	memset(p, 0x02, 12);
	p[12] = 0x88;
	p[13] = 0xb5;
	vs_put_be32(p + 14, number);
	vs_put_be64(p + 18, w->now);
	for (size_t i = 26; i < len; i++)
		p[i] = (uint8_t)(number + i);
	vs_link_send(e->link, frame, w->now);
}

static void bring_up(struct world *w)
{
	struct vs_params params = default_params();
	install(w, &params);
	run_until(w, w->now + VS_SEC);
	assert_true(vs_link_is_up(w->a.link));
	assert_true(vs_link_is_up(w->b.link));
	assert_true(vs_link_take_events(w->a.link) & VS_LINK_UP);
	assert_true(vs_link_take_events(w->b.link) & VS_LINK_UP);
}

/* `count` frames of `len` bytes, one each `every` microseconds, then two seconds to finish. */
static void stream(struct world *w, struct end *from, unsigned count, size_t len, uint64_t every)
{
	for (unsigned i = 0; i < count; i++) {
		send_frame(w, from, i, len);
		run_until(w, w->now + every);
	}
	run_until(w, w->now + 2 * VS_SEC);
}

static void test_comes_up_and_finds_mtu(void **state)
{
	(void)state;
	struct world *w = open_world();
	bring_up(w);
	struct vs_link_stats stats;
	vs_link_stats(w->a.link, w->now, &stats);
	assert_int_equal(stats.datagram, 1452);
	assert_int_equal(stats.srtt_usec / VS_MSEC, 20);
	close_world(w);
}

static void test_carries_frames(void **state)
{
	(void)state;
	static const struct {
		size_t len;
		unsigned loss, count;
		uint64_t every;
	} cases[] = {
		{ 60, 0, 500, 1000 },    { 1514, 0, 500, 1000 },   { 9014, 0, 100, 5000 },    { 60, 10, 500, 1000 },
		{ 1514, 10, 1000, 1000 }, { 9014, 10, 100, 10000 }, { 1514, 30, 1000, 2000 },
	};
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct world *w = open_world();
		bring_up(w);
		w->loss_percent = cases[i].loss;
		stream(w, &w->a, cases[i].count, cases[i].len, cases[i].every);
		assert_int_equal(w->b.received, cases[i].count);
		/* A lost segment costs about a round trip, a few times over at the worst. */
		assert_true(w->b.worst_delay <= (cases[i].loss ? 300 : 15) * VS_MSEC);
		struct vs_link_stats stats;
		vs_link_stats(w->a.link, w->now, &stats);
		assert_true(stats.arq_tx.retransmitted <= stats.arq_tx.lost + stats.arq_tx.segments / 100);
		close_world(w);
	}
}

static void test_gives_up_old_frames_after_an_outage(void **state)
{
	(void)state;
	struct world *w = open_world();
	bring_up(w);
	stream(w, &w->a, 10, 500, 1000);
	w->cut = true;
	for (uint32_t i = 10; i < 20; i++)
		send_frame(w, &w->a, i, 500);
	run_until(w, w->now + 3 * VS_SEC);
	w->cut = false;
	uint64_t works = w->now;
	run_until(w, works + VS_SEC);
	send_frame(w, &w->a, 20, 500);
	run_until(w, w->now + VS_SEC);
	assert_int_equal(w->b.next_expected, 21);
	assert_int_equal(w->b.received, 11);
	/* Counted by message, of which several frames may share one. */
	assert_in_range(vs_link_drops(w->a.link)->count[VS_DROP_MAX_AGE], 1, 10);
	close_world(w);
}

static void test_survives_a_shrinking_path(void **state)
{
	(void)state;
	struct world *w = open_world();
	bring_up(w);
	for (uint32_t i = 0; i < 500; i++) {
		if (i == 100)
			w->mtu = 1280;
		send_frame(w, &w->a, i, 1514);
		run_until(w, w->now + 2 * VS_MSEC);
	}
	run_until(w, w->now + 2 * VS_SEC);
	struct vs_link_stats stats;
	vs_link_stats(w->a.link, w->now, &stats);
	assert_in_range(stats.datagram, 1200, 1280);
	assert_true(stats.fragments_sent > 0);
	assert_int_equal(w->b.received + stats.queue.dropped_codel, 500);
	close_world(w);
}

/* Acknowledgements go unpaced and are not charged to the pacer: a link that receives much and sends little, and
 * therefore knows little of the rate that it could send at, must not wait with its few frames. */
static void test_acks_do_not_starve_data(void **state)
{
	(void)state;
	struct world *w = open_world();
	bring_up(w);
	for (uint32_t i = 0; i < 6000; i++) {
		send_frame(w, &w->b, i, 1514);
		if (i % 100 == 0)
			send_frame(w, &w->a, i / 100, 100);
		run_until(w, w->now + 500);
	}
	run_until(w, w->now + VS_SEC);
	assert_int_equal(w->a.received, 6000);
	assert_int_equal(w->b.received, 60);
	assert_true(w->b.worst_delay < 15 * VS_MSEC);
	close_world(w);
}

static void test_rekey_keeps_the_lanes(void **state)
{
	(void)state;
	struct world *w = open_world();
	bring_up(w);
	struct vs_params params = default_params();
	params.resumed = true;
	for (uint32_t i = 0; i < 200; i++) {
		if (i == 100)
			install(w, &params);
		send_frame(w, &w->a, i, 1000);
		run_until(w, w->now + 500);
	}
	run_until(w, w->now + VS_SEC);
	assert_int_equal(w->b.received, 200);
	assert_int_equal(vs_link_drops(w->b.link)->count[VS_DROP_NO_SESSION], 0);
	close_world(w);
}

static struct vs_params terms(enum vs_mode mode, enum vs_protection protection, unsigned lanes, const char *fec)
{
	struct vs_params params = default_params();
	params.mode = mode;
	params.protection = protection;
	params.lanes = lanes;
	params.features = VS_FEATURE_FEC;
	params.fec_up.overhead_max = params.fec_down.overhead_max = 50;
	assert_int_equal(vs_fec_parse(fec, &params.fec_up), 0);
	params.fec_down = params.fec_up;
	return params;
}

/* Frames on their way, in lanes and in datagrams, in both directions, when the terms change to any others: each arrives,
 * and none twice, but where lanes in the clear have to start afresh. */
static void test_new_terms_lose_nothing(void **state)
{
	const struct vs_params all[] = {
		terms(VS_MODE_RELIABLE, VS_PROTECTION_ENCRYPTED, VS_LANES_MAX, "off"),
		terms(VS_MODE_DATAGRAM, VS_PROTECTION_ENCRYPTED, 2, "4:2"),
		terms(VS_MODE_RELIABLE, VS_PROTECTION_AUTH, 1, "auto"),
		terms(VS_MODE_RELIABLE, VS_PROTECTION_NONE, 3, "10:3"),
		terms(VS_MODE_DATAGRAM, VS_PROTECTION_NONE, VS_LANES_MAX, "off"),
	};
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(all) * VS_ARRAY_SIZE(all); i++) {
		struct vs_params before = all[i / VS_ARRAY_SIZE(all)], after = all[i % VS_ARRAY_SIZE(all)];
		bool fresh = vs_params_taint(&before, after.protection);
		struct world *w = open_world();
		w->unordered = true;
		after.resumed = !fresh;
		after.incarnation += fresh;
		after.congestion = VS_CONGESTION_CUBIC;
		install(w, &before);
		run_until(w, w->now + VS_SEC);
		for (uint32_t n = 0; n < 400; n++) {
			if (n == 200)
				install(w, &after);
			send_frame(w, &w->a, n, n % 7 ? 200 : 1400);
			send_frame(w, &w->b, n, 500);
			run_until(w, w->now + 500);
		}
		run_until(w, w->now + VS_SEC);
		assert_int_equal(w->a.distinct, 400);
		assert_int_equal(w->b.distinct, 400);
		if (!fresh)
			assert_int_equal(w->a.received + w->b.received, 800);
		assert_int_equal(vs_link_take_events(w->a.link) & VS_LINK_ERROR, 0);
		assert_int_equal(vs_link_take_events(w->b.link) & VS_LINK_ERROR, 0);
		close_world(w);
	}
}

/* The responder asks each second, until there is a session that was made after the question, and not for ever. */
static void test_renew(void **state)
{
	(void)state;
	struct world *w = open_world();
	struct vs_params params = default_params();
	params.resumed = true;
	bring_up(w);
	assert_int_equal(vs_link_take_events(w->a.link) & VS_LINK_WANT_HANDSHAKE, 0);
	vs_link_renew(w->b.link, w->now);
	w->cut = true;
	run_until(w, w->now + 50 * VS_MSEC);
	assert_int_equal(vs_link_take_events(w->a.link) & VS_LINK_WANT_HANDSHAKE, 0);
	w->cut = false;
	run_until(w, w->now + VS_SEC);
	assert_true(vs_link_take_events(w->a.link) & VS_LINK_WANT_HANDSHAKE);
	run_until(w, w->now + 2 * VS_SEC);
	assert_int_equal(vs_link_take_events(w->a.link) & VS_LINK_WANT_HANDSHAKE, 0);
	install(w, &params);
	run_until(w, w->now + 5 * VS_SEC);
	assert_int_equal(vs_link_take_events(w->a.link) & VS_LINK_WANT_HANDSHAKE, 0);
	close_world(w);
}

/* Nor without saying so in the end; a session that comes before that is in time. */
static void test_renew_in_vain(void **state)
{
	(void)state;
	struct world *w = open_world();
	struct vs_params params = default_params();
	params.resumed = true;
	bring_up(w);
	vs_link_renew(w->b.link, w->now);
	run_until(w, w->now + 9500 * VS_MSEC);
	assert_int_equal(vs_link_take_events(w->b.link) & VS_LINK_UNRENEWED, 0);
	run_until(w, w->now + VS_SEC);
	assert_true(vs_link_take_events(w->b.link) & VS_LINK_UNRENEWED);
	run_until(w, w->now + 20 * VS_SEC);
	assert_int_equal(vs_link_take_events(w->b.link) & VS_LINK_UNRENEWED, 0);
	vs_link_renew(w->b.link, w->now);
	run_until(w, w->now + 9500 * VS_MSEC);
	install(w, &params);
	run_until(w, w->now + 20 * VS_SEC);
	assert_int_equal(vs_link_take_events(w->b.link) & VS_LINK_UNRENEWED, 0);
	close_world(w);
}

/* A responder that asks all the time gets no more than a handshake a second. */
static void test_renew_without_end(void **state)
{
	(void)state;
	struct world *w = open_world();
	struct vs_params params = default_params();
	unsigned asked = 0;
	params.resumed = true;
	bring_up(w);
	for (uint64_t end = w->now + 10 * VS_SEC; w->now < end;) {
		vs_link_renew(w->b.link, w->now);
		run_until(w, w->now + 50 * VS_MSEC);
		if (!(vs_link_take_events(w->a.link) & VS_LINK_WANT_HANDSHAKE))
			continue;
		asked++;
		install(w, &params);
	}
	assert_in_range(asked, 8, 11);
	close_world(w);
}

static void test_silence_asks_for_a_handshake_then_times_out(void **state)
{
	(void)state;
	struct world *w = open_world();
	bring_up(w);
	w->cut = true;
	run_until(w, w->now + 3 * VS_SEC);
	assert_true(vs_link_take_events(w->a.link) & VS_LINK_WANT_HANDSHAKE);
	run_until(w, w->now + 60 * VS_SEC);
	assert_true(vs_link_take_events(w->a.link) & VS_LINK_TIMED_OUT);
	assert_true(vs_link_take_events(w->b.link) & VS_LINK_TIMED_OUT);
	close_world(w);
}

/* After an outage there may be a SKIP to send and no session to send it in: that is no reason to be called all the time. */
static void test_without_a_session_nothing_is_due(void **state)
{
	(void)state;
	struct world *w = open_world();
	struct vs_link_sent sent;
	uint8_t buffer[VS_DATAGRAM_MAX];
	bring_up(w);
	w->cut = true;
	for (uint32_t i = 0; i < 10; i++)
		send_frame(w, &w->a, i, 500);
	run_until(w, w->now + 5 * VS_SEC);
	vs_link_end(w->a.link);
	w->now += 500 * VS_MSEC;
	assert_int_equal(vs_link_output(w->a.link, w->now, buffer, sizeof(buffer), &sent), 0);
	assert_true(vs_link_deadline(w->a.link) > w->now);
	close_world(w);
}

/* The peer may roam while much is in flight: what comes back then must not look like an endless rate. */
static void test_a_move_does_not_inflate_the_rate(void **state)
{
	(void)state;
	struct world *w = open_world();
	struct vs_path path = { 0 };
	struct vs_link_stats stats;
	bring_up(w);
	for (uint32_t i = 0; i < 600; i++) {
		if (i == 300) {
			assert_int_equal(vs_addr_parse("198.51.100.1", 7000, &path.peer), 0);
			vs_link_set_path(w->a.link, &path, w->now);
		}
		send_frame(w, &w->a, i, 1514);
		run_until(w, w->now + 500);
		vs_link_stats(w->a.link, w->now, &stats);
		assert_true(stats.bandwidth_bps < UINT64_C(1000000000));
	}
	/* What the queue judged too old while the rate was found again is the queue's business. */
	run_until(w, w->now + VS_SEC);
	assert_int_equal(w->b.received + stats.queue.dropped_codel, 600);
	close_world(w);
}

static void test_close_is_told(void **state)
{
	(void)state;
	struct world *w = open_world();
	bring_up(w);
	vs_link_close(w->b.link, VS_CLOSE_KICKED);
	run_until(w, w->now + 100 * VS_MSEC);
	assert_true(vs_link_take_events(w->a.link) & VS_LINK_CLOSED);
	assert_int_equal(vs_link_close_reason(w->a.link), VS_CLOSE_KICKED);
	close_world(w);
}

static void test_idle_link_is_quiet(void **state)
{
	(void)state;
	struct world *w = open_world();
	bring_up(w);
	unsigned before = w->a.out.sent + w->b.out.sent;
	run_until(w, w->now + 20 * VS_SEC);
	/* One probe a second and its answer, a report now and then, and path-MTU confirmation. */
	assert_in_range(w->a.out.sent + w->b.out.sent - before, 30, 60);
	close_world(w);
}

/* A super-frame is one message: it comes whole and with its virtio-net header, through loss, or not at all. */
static void test_super_frames(void **state)
{
	(void)state;
	struct world *w = open_world();
	struct vs_params params = default_params();
	params.features = VS_FEATURE_SUPER;
	install(w, &params);
	run_until(w, w->now + VS_SEC);
	assert_true(vs_link_takes_supers(w->a.link) && vs_link_takes_supers(w->b.link));
	w->loss_percent = 10;
	unsigned received = 0;
	for (uint32_t i = 0; i < 60; i++) {
		struct vs_frame *frame = vs_frame_new(w->pool, 65549), *got;
		assert_non_null(frame);
		memset(vs_frame_bytes(frame), (int)(0x10 + i), frame->len);
		frame->super = true;
		memset(frame->vnet, (int)i, VS_VNET_SIZE);
		vs_link_send(w->a.link, frame, w->now);
		for (uint64_t end = w->now + 100 * VS_MSEC; w->now < end;) {
			pump_in(w, &w->b, &w->a);
			while (w->a.out.count && w->a.out.queue[w->a.out.head].due <= w->now) {
				struct datagram *d = &w->a.out.queue[w->a.out.head];
				struct vs_path path = { 0 };
				vs_link_input(w->b.link, d->data, d->len, &path, w->now, &w->b.arrived);
				free(d->data);
				w->a.out.head = (w->a.out.head + 1) % PIPE_MAX;
				w->a.out.count--;
			}
			while ((got = vs_frame_list_pop(&w->b.arrived.frames))) {
				uint8_t number = got->vnet[0];
				assert_true(got->super);
				assert_int_equal(got->len, 65549);
				assert_int_equal(vs_frame_bytes(got)[0], 0x10 + number);
				assert_int_equal(vs_frame_bytes(got)[65548], 0x10 + number);
				vs_frame_unref(got);
				received++;
			}
			pump_out(w, &w->a);
			pump_out(w, &w->b);
			w->now += 200;
		}
	}
	assert_true(received >= 58); /* the last may be under way */
	assert_false(vs_link_take_events(w->b.link) & VS_LINK_ERROR);
	close_world(w);
}

/* Where they were not agreed on, their framing ends the link. */
static void test_super_frames_that_were_not_agreed_on(void **state)
{
	(void)state;
	struct world *w = open_world();
	bring_up(w);
	assert_false(vs_link_takes_supers(w->a.link));
	struct vs_frame *frame = vs_frame_new(w->pool, 5000);
	assert_non_null(frame);
	memset(vs_frame_bytes(frame), 0, frame->len);
	memset(frame->vnet, 0, VS_VNET_SIZE);
	frame->super = true;
	vs_link_send(w->a.link, frame, w->now);
	run_until(w, w->now + 100 * VS_MSEC);
	assert_true(vs_link_take_events(w->b.link) & VS_LINK_ERROR);
	assert_true(vs_link_drops(w->b.link)->count[VS_DROP_BAD_FRAMING] > 0);
	close_world(w);
}

/* A super-frame that waits when new terms forbid it goes as the frames that it stands for. */
static void test_super_frames_are_no_longer_agreed_on(void **state)
{
	(void)state;
	const struct superframe shape = { .name = "tcp4", .tcp_flags = 0x10, .payload = 5 * 1000, .gso_size = 1000 };
	struct world *w = open_world();
	struct vs_params params = default_params();
	params.features = VS_FEATURE_SUPER;
	install(w, &params);
	run_until(w, w->now + VS_SEC);
	struct vs_frame *frame = superframe_new(w->pool, &shape), *got;
	assert_non_null(frame);
	vs_link_send(w->a.link, frame, w->now);
	params.features = 0;
	params.incarnation++;
	install(w, &params);
	unsigned frames = 0;
	for (uint64_t end = w->now + VS_SEC; w->now < end; w->now += VS_MSEC) {
		uint8_t buffer[VS_DATAGRAM_MAX];
		struct vs_link_sent sent;
		struct vs_path path = { 0 };
		size_t len;
		while ((len = vs_link_output(w->a.link, w->now, buffer, sizeof(buffer), &sent)))
			vs_link_input(w->b.link, buffer, len, &path, w->now, &w->b.arrived);
		while ((len = vs_link_output(w->b.link, w->now, buffer, sizeof(buffer), &sent)))
			vs_link_input(w->a.link, buffer, len, &path, w->now, &w->a.arrived);
		for (; (got = vs_frame_list_pop(&w->b.arrived.frames)); frames++) {
			assert_false(got->super);
			assert_true(got->len <= 1100);
			vs_frame_unref(got);
		}
	}
	assert_int_equal(frames, 5);
	assert_false(vs_link_take_events(w->b.link) & VS_LINK_ERROR);
	close_world(w);
}

static void test_datagram_mode(void **state)
{
	(void)state;
	struct world *w = open_world();
	struct vs_params params = default_params();
	params.mode = VS_MODE_DATAGRAM;
	install(w, &params);
	run_until(w, w->now + VS_SEC);
	stream(w, &w->a, 100, 60, 1000);
	stream(w, &w->b, 100, 9014, 10000);
	assert_int_equal(w->b.received, 100);
	assert_int_equal(w->a.received, 100);
	close_world(w);
}

/* The next datagram of a link that always has data to send, in the middle of which others are due. */
static size_t output_in_burst(struct world *w)
{
	uint8_t buffer[VS_DATAGRAM_MAX];
	struct vs_link_sent sent;

	for (uint32_t i = 0; i < 10; i++)
		send_frame(w, &w->a, i, 200);
	size_t len = vs_link_output(w->a.link, w->now, buffer, sizeof(buffer), &sent);
	assert_true(len > 0);
	return len;
}

/* A link without a pacer, whose queue never empties and who hears nothing, has no occasion to look at the clock but
 * time itself: what is due goes all the same, within the turn of the caller in which it is due. */
static void test_data_delay_nothing_else(void **state)
{
	enum { PROBE = VS_SEAL_OVERHEAD + VS_KIND_SIZE + 4, ANCHOR = VS_SEAL_OVERHEAD + VS_KIND_SIZE };
	static const struct {
		enum vs_protection protection;
		uint64_t keepalive_usec, due_usec;
		unsigned turn; /* datagrams a millisecond */
		size_t len;
	} cases[] = {
		{VS_PROTECTION_ENCRYPTED, 50 * VS_MSEC, 50 * VS_MSEC, 4, PROBE},
		/* The row of clear ones is not at its end by then. */
		{VS_PROTECTION_NONE, VS_SEC, VS_CLEAR_ANCHOR, 2, ANCHOR},
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct world *w = open_world();
		struct vs_params params = default_params();
		params.congestion = VS_CONGESTION_NONE;
		params.protection = cases[i].protection;
		params.keepalive_usec = cases[i].keepalive_usec;
		params.datagram_max = VS_DATAGRAM_BASE; /* nothing to be probed */
		install(w, &params);
		run_until(w, w->now + VS_SEC);
		stream(w, &w->a, 100, 200, VS_MSEC);
		send_frame(w, &w->a, 100, 200);
		run_until(w, w->now + VS_CLEAR_ANCHOR + 30 * VS_MSEC);
		struct vs_link_stats stats;
		vs_link_stats(w->a.link, w->now, &stats);
		uint64_t since = cases[i].protection == VS_PROTECTION_NONE ? 0 : stats.heard_usec_ago;
		uint64_t due = w->now - since + cases[i].due_usec, first = VS_NEVER;
		while (w->now <= due + VS_MSEC && first == VS_NEVER) {
			for (unsigned k = 0; k < cases[i].turn; k++)
				if (output_in_burst(w) == cases[i].len)
					first = vs_time_min(first, w->now);
			w->now += VS_MSEC;
		}
		assert_in_range(first, due, due + VS_MSEC);
		close_world(w);
	}
}

/* Nor do they delay a CLOSE that is asked for between two of them. */
static void test_data_do_not_delay_a_close(void **state)
{
	(void)state;
	struct world *w = open_world();
	struct vs_params params = default_params();
	params.congestion = VS_CONGESTION_NONE;
	install(w, &params);
	run_until(w, w->now + VS_SEC);
	assert_true(output_in_burst(w) > 100);
	assert_true(output_in_burst(w) > 100);
	vs_link_close(w->a.link, VS_CLOSE_KICKED);
	assert_true(output_in_burst(w) < 50);
	assert_true(output_in_burst(w) > 100);
	close_world(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_up_and_finds_mtu),
		cmocka_unit_test(test_carries_frames),
		cmocka_unit_test(test_gives_up_old_frames_after_an_outage),
		cmocka_unit_test(test_survives_a_shrinking_path),
		cmocka_unit_test(test_acks_do_not_starve_data),
		cmocka_unit_test(test_rekey_keeps_the_lanes),
		cmocka_unit_test(test_new_terms_lose_nothing),
		cmocka_unit_test(test_renew),
		cmocka_unit_test(test_renew_in_vain),
		cmocka_unit_test(test_renew_without_end),
		cmocka_unit_test(test_silence_asks_for_a_handshake_then_times_out),
		cmocka_unit_test(test_without_a_session_nothing_is_due),
		cmocka_unit_test(test_a_move_does_not_inflate_the_rate),
		cmocka_unit_test(test_close_is_told),
		cmocka_unit_test(test_idle_link_is_quiet),
		cmocka_unit_test(test_super_frames),
		cmocka_unit_test(test_super_frames_that_were_not_agreed_on),
		cmocka_unit_test(test_super_frames_are_no_longer_agreed_on),
		cmocka_unit_test(test_datagram_mode),
		cmocka_unit_test(test_data_delay_nothing_else),
		cmocka_unit_test(test_data_do_not_delay_a_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
