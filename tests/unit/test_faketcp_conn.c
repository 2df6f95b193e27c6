/* io/faketcp_conn: numbers, windows and timestamps of a connection as those on the way expect them, and what
 * segments of strangers can do to it: nothing. */
#include "io/faketcp_conn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

#define NOW (1000 * VS_SEC)
#define MSS 1460

static uint8_t datagram[MSS];

/* Both ends of a connection, shortly before their numbers wrap. */
static struct vs_faketcp_start start_of(bool client)
{
	struct vs_faketcp_start start = {
		.snd_nxt = client ? 0xfffff000 : 0x7ffff000,
		.rcv_nxt = client ? 0x7ffff000 : 0xfffff000,
		.snd_wnd = 60000,
		.ts_val = client ? 0xfffffff0 : 500,
		.mss = MSS,
		.snd_wscale = 3,
		.rcv_wscale = 3,
		.has_ts = true,
	};

	assert_int_equal(vs_addr_parse("192.0.2.1", 40000, client ? &start.local : &start.peer), 0);
	assert_int_equal(vs_addr_parse("192.0.2.2", 443, client ? &start.peer : &start.local), 0);
	return start;
}

static struct vs_faketcp_conn *new_conn(bool client)
{
	struct vs_faketcp_start start = start_of(client);
	struct vs_faketcp_conn *conn = vs_faketcp_conn_new(&start, -1, -1, NOW);

	assert_non_null(conn);
	return conn;
}

static int send_one(struct vs_faketcp_conn *conn, size_t len, uint64_t now, struct vs_tcp_segment *out)
{
	uint8_t header[VS_FAKETCP_HEADER_MAX], *payload;
	size_t size, payload_len;

	int err = vs_faketcp_conn_send(conn, datagram, len, true, now, header, &size);
	if (err < 0)
		return err;
	*out = (struct vs_tcp_segment){ .src = conn->conn.local, .dst = conn->conn.peer };
	assert_true(vs_faketcp_read_tcp(header, size, out, &payload, &payload_len));
	return 0;
}

/* From one to the other. */
static enum vs_faketcp_sign pass(struct vs_faketcp_conn *from, struct vs_faketcp_conn *to, size_t len, uint64_t now)
{
	struct vs_tcp_segment segment;

	assert_int_equal(send_one(from, len, now, &segment), 0);
	return vs_faketcp_conn_input(to, &segment, VS_FAKETCP_LENGTH + len, now);
}

static void test_numbers_agree(void **state)
{
	struct vs_faketcp_conn *a = new_conn(true), *b = new_conn(false);
	struct vs_tcp_segment s;

	(void)state;
	for (uint64_t i = 0; i < 2000; i++) {
		uint64_t now = NOW + i * VS_MSEC;
		assert_int_equal(pass(a, b, 1 + i % 1446, now), VS_FAKETCP_NOTHING);
		assert_int_equal(b->rcv_nxt, a->snd_nxt);
		if (i % 3 == 0) {
			assert_int_equal(pass(b, a, 100, now), VS_FAKETCP_NOTHING);
			assert_int_equal(a->snd_una, a->snd_nxt);
			assert_int_equal(a->rcv_nxt, b->snd_nxt);
			assert_int_equal(a->snd_wnd, 65535 << 3);
		}
	}
	/* Timestamps go on from the kernel's, a tick a millisecond, and are echoed. */
	assert_int_equal(send_one(b, 1, NOW + 5000 * VS_MSEC, &s), 0);
	assert_int_equal(s.ts_val, 500 + 5000);
	assert_int_equal(s.ts_ecr, (uint32_t)(0xfffffff0 + 1999));
	assert_int_equal(s.flags, VS_TCP_PSH | VS_TCP_ACK);
	assert_int_equal(s.window, 65535);
	vs_conn_free(&a->conn);
	vs_conn_free(&b->conn);
}

/* Gaps are never seen in acknowledgements, and what comes late takes nothing back. */
static void test_loss_and_disorder(void **state)
{
	struct vs_faketcp_conn *a = new_conn(true), *b = new_conn(false);
	struct vs_tcp_segment first, second, third;

	(void)state;
	assert_int_equal(send_one(a, 100, NOW + VS_MSEC, &first), 0);
	assert_int_equal(send_one(a, 100, NOW + 2 * VS_MSEC, &second), 0);
	assert_int_equal(send_one(a, 100, NOW + 3 * VS_MSEC, &third), 0);
	vs_faketcp_conn_input(b, &third, 102, NOW);
	assert_int_equal(b->rcv_nxt, a->snd_nxt);
	vs_faketcp_conn_input(b, &first, 102, NOW);
	vs_faketcp_conn_input(b, &second, 102, NOW);
	assert_int_equal(b->rcv_nxt, a->snd_nxt);
	assert_int_equal(b->ts_recent, third.ts_val);
	vs_conn_free(&a->conn);
	vs_conn_free(&b->conn);
}

static void test_size_limits(void **state)
{
	struct vs_faketcp_start start = start_of(true);
	struct vs_tcp_segment s;

	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		start.has_ts = ts;
		struct vs_faketcp_conn *conn = vs_faketcp_conn_new(&start, -1, -1, NOW);
		size_t most = MSS - VS_FAKETCP_LENGTH - (ts ? VS_TCP_TIMESTAMPS : 0);
		assert_int_equal(send_one(conn, most + 1, NOW, &s), -EMSGSIZE);
		assert_int_equal(conn->snd_nxt, start.snd_nxt);
		assert_int_equal(send_one(conn, most, NOW, &s), 0);
		assert_int_equal(conn->snd_nxt, (uint32_t)(start.snd_nxt + most + VS_FAKETCP_LENGTH));
		assert_int_equal(s.has_ts, ts);
		vs_conn_free(&conn->conn);
	}
}

static unsigned fill(struct vs_faketcp_conn *conn, uint64_t now)
{
	struct vs_tcp_segment s;
	unsigned n = 0;

	while (send_one(conn, 998, now, &s) == 0)
		n++;
	return n;
}

static void test_window(void **state)
{
	struct vs_faketcp_conn *a = new_conn(true), *b = new_conn(false);
	struct vs_tcp_segment s;

	(void)state;
	assert_true(vs_faketcp_conn_has_room(a, 70000, NOW)); /* more than it can ever have */
	assert_int_equal(fill(a, NOW), 60);
	assert_false(vs_faketcp_conn_has_room(a, 1, NOW));
	assert_int_equal(send_one(a, 998, NOW + VS_FAKETCP_STALL - 1, &s), -ENOBUFS);
	assert_int_equal(a->snd_nxt - a->snd_una, 60000);
	assert_true(vs_faketcp_conn_has_room(a, 1, NOW + VS_FAKETCP_STALL));
	/* What is unacknowledged is given up, and sent over. */
	assert_int_equal(send_one(a, 998, NOW + VS_FAKETCP_STALL, &s), 0);
	assert_int_equal(s.seq, a->snd_una);
	assert_int_equal(a->stalls, 1);
	/* The peer had it all the same, and says so: nothing of it is sent twice. */
	b->rcv_nxt = a->snd_max;
	assert_int_equal(pass(b, a, 10, NOW + VS_FAKETCP_STALL), VS_FAKETCP_NOTHING);
	assert_int_equal(a->snd_nxt, a->snd_max);
	assert_int_equal(a->snd_una, a->snd_max);
	assert_int_equal(fill(a, NOW + VS_FAKETCP_STALL), (65535 << 3) / 1000);
	vs_conn_free(&a->conn);
	vs_conn_free(&b->conn);
}

static void test_unsent(void **state)
{
	struct vs_faketcp_conn *a = new_conn(true);
	struct vs_tcp_segment first, again;

	(void)state;
	uint32_t seq = a->snd_nxt;
	assert_int_equal(send_one(a, 100, NOW, &first), 0);
	vs_faketcp_conn_unsend(a, seq);
	assert_int_equal(send_one(a, 200, NOW, &again), 0);
	assert_int_equal(again.seq, first.seq);
	vs_conn_free(&a->conn);
}

/* --- Strangers ---------------------------------------------------------------------------------------------------- */

static void test_implausible_segments(void **state)
{
	static const struct {
		uint8_t flags;
		int64_t seq, ack; /* beyond what would be right */
		enum vs_faketcp_sign sign;
		bool changes;
	} cases[] = {
		{ VS_TCP_ACK, 0, 0, VS_FAKETCP_NOTHING, true },
		{ VS_TCP_ACK, 65535 << 3, 0, VS_FAKETCP_NOTHING, true },
		{ VS_TCP_ACK, (65535 << 3) + 1, 0, VS_FAKETCP_NOTHING, false },
		{ VS_TCP_ACK, 1 << 30, 0, VS_FAKETCP_NOTHING, false },
		{ VS_TCP_ACK, INT64_C(1) << 31, 0, VS_FAKETCP_NOTHING, false },
		{ VS_TCP_ACK, 0, 1, VS_FAKETCP_NOTHING, false }, /* of what was never sent */
		{ VS_TCP_ACK, 0, -(1 << 20), VS_FAKETCP_NOTHING, false },
		{ 0, 0, 0, VS_FAKETCP_NOTHING, false },
		{ VS_TCP_FIN | VS_TCP_ACK, 0, 0, VS_FAKETCP_FINISHED, true },
		{ VS_TCP_FIN | VS_TCP_ACK, 0, 1, VS_FAKETCP_NOTHING, false },
		{ VS_TCP_FIN | VS_TCP_ACK, 1 << 30, 0, VS_FAKETCP_NOTHING, false },
		{ VS_TCP_RST, 0, 0, VS_FAKETCP_RESET, false },
		{ VS_TCP_RST | VS_TCP_ACK, 0, 5, VS_FAKETCP_RESET, false },
		{ VS_TCP_RST, 1 << 30, 0, VS_FAKETCP_NOTHING, false },
		{ VS_TCP_SYN, 0, 0, VS_FAKETCP_NOTHING, false },
		{ VS_TCP_SYN | VS_TCP_ACK, 5, 0, VS_FAKETCP_NOTHING, false },
	};

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_faketcp_conn *a = new_conn(true), before;
		struct vs_tcp_segment s;
		assert_int_equal(send_one(a, 100, NOW, &s), 0);
		before = *a;
		s = (struct vs_tcp_segment){
			.src = a->conn.peer,
			.dst = a->conn.local,
			.seq = (uint32_t)(a->rcv_nxt + cases[i].seq),
			.ack = (uint32_t)(a->snd_nxt + cases[i].ack),
			.flags = cases[i].flags,
			.has_ts = true,
			.window = 7,
			.ts_val = 12345,
		};
		assert_int_equal(vs_faketcp_conn_input(a, &s, 10, NOW + VS_SEC), cases[i].sign);
		assert_int_equal(memcmp(a, &before, sizeof(before)) != 0, cases[i].changes);
		vs_conn_free(&a->conn);
	}
}

/* The kernel has acknowledged the first SYN-ACK, which is only read for its timestamp; whoever repeats it has not got
 * that. */
static void test_synack(void **state)
{
	struct vs_faketcp_conn *a = new_conn(true);
	struct vs_tcp_segment s = {
		.seq = a->rcv_nxt - 1,
		.ack = a->snd_una,
		.flags = VS_TCP_SYN | VS_TCP_ACK,
		.has_ts = true,
		.ts_val = 0xf0000000,
		.window = 1,
	};

	(void)state;
	assert_int_equal(vs_faketcp_conn_input(a, &s, 0, NOW), VS_FAKETCP_NOTHING);
	assert_int_equal(a->ts_recent, 0xf0000000);
	assert_int_equal(a->snd_wnd, 60000);
	assert_int_equal(vs_faketcp_conn_input(a, &s, 0, NOW), VS_FAKETCP_SYNACK);
	vs_conn_free(&a->conn);
}

/* A segment from b to a, as a stranger would forge it who has seen the last: of these numbers and this window. */
static void forge(struct vs_faketcp_conn *a, uint32_t beyond, uint16_t window, uint64_t now)
{
	struct vs_tcp_segment s = {
		.src = a->conn.peer,
		.dst = a->conn.local,
		.seq = a->rcv_nxt + beyond,
		.ack = a->snd_max,
		.flags = VS_TCP_ACK,
		.window = window,
	};

	assert_int_equal(vs_faketcp_conn_input(a, &s, 0, now), VS_FAKETCP_NOTHING);
}

static void test_a_forged_window_is_probed(void **state)
{
	struct vs_faketcp_conn *a = new_conn(true), *b = new_conn(false);
	struct vs_tcp_segment s;
	uint64_t now = NOW + VS_SEC;

	(void)state;
	pass(a, b, 100, now);
	forge(a, 0, 0, now);
	assert_int_equal(a->snd_wnd, 0);
	assert_int_equal(send_one(a, 100, now, &s), -ENOBUFS);
	now += VS_FAKETCP_STALL;
	assert_true(vs_faketcp_conn_has_room(a, 70000, now));
	assert_int_equal(pass(a, b, 1000, now), VS_FAKETCP_NOTHING);
	assert_int_equal(send_one(a, 1000, now, &s), -ENOBUFS); /* one at a time */
	/* The answer brings the true window. */
	pass(b, a, 10, now);
	assert_int_equal(a->snd_wnd, 65535 << 3);
	assert_int_equal(send_one(a, 1000, now, &s), 0);
	vs_conn_free(&a->conn);
	vs_conn_free(&b->conn);
}

static void test_forged_numbers_heal(void **state)
{
	struct vs_faketcp_conn *a = new_conn(true), *b = new_conn(false);
	uint64_t now = NOW;

	(void)state;
	forge(a, 65535 << 3, 65535, now);
	/* What we acknowledge now, the peer has not sent. */
	for (unsigned i = 0; i < 10; i++, now += VS_FAKETCP_RESYNC / 10) {
		pass(a, b, 100, now);
		assert_int_equal(b->snd_una, start_of(false).snd_nxt);
		pass(b, a, 100, now);
		assert_int_equal(a->rcv_nxt, b->snd_nxt + (65535 << 3) - 102 * (i + 1));
	}
	pass(b, a, 100, now);
	assert_int_equal(a->rcv_nxt, b->snd_nxt);
	pass(a, b, 100, now);
	assert_int_equal(b->snd_una, b->snd_nxt);
	vs_conn_free(&a->conn);
	vs_conn_free(&b->conn);
}

static void test_reset_of_the_right_number(void **state)
{
	struct vs_faketcp_conn *a = new_conn(true), *b = new_conn(false);
	struct vs_tcp_segment s = { .src = a->conn.local, .dst = a->conn.peer };
	uint8_t header[VS_FAKETCP_HEADER_MAX], *payload;
	size_t len;

	(void)state;
	pass(a, b, 100, NOW);
	size_t size = vs_faketcp_conn_control(a, VS_TCP_RST | VS_TCP_ACK, NOW, header);
	assert_true(vs_faketcp_read_tcp(header, size, &s, &payload, &len));
	assert_int_equal(len, 0);
	assert_int_equal(s.seq, b->rcv_nxt); /* as RFC 5961 wants it */
	assert_int_equal(vs_faketcp_conn_input(b, &s, 0, NOW), VS_FAKETCP_RESET);
	vs_conn_free(&a->conn);
	vs_conn_free(&b->conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_agree),
		cmocka_unit_test(test_loss_and_disorder),
		cmocka_unit_test(test_size_limits),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_unsent),
		cmocka_unit_test(test_implausible_segments),
		cmocka_unit_test(test_synack),
		cmocka_unit_test(test_a_forged_window_is_probed),
		cmocka_unit_test(test_forged_numbers_heal),
		cmocka_unit_test(test_reset_of_the_right_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
