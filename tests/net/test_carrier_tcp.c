/* io/carrier_tcp on loopback: datagrams arrive whole and in order however the stream is cut; a connection that does not
 * keep up holds back or loses its own datagrams only; connections end for their own reasons, and can change hands. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "io/carrier_tcp.h"
#include "io/tcp_conn.h"
#include "io/udp_socket.h"

#define RECEIVED_MAX 4096

static struct vs_loop *loop;
static int listener = -1;
static struct vs_addr listening;

struct end {
	struct vs_carrier *carrier;
	struct vs_drops drops;
	unsigned count, bad, resumed, closed;
	struct {
		uint32_t number, len;
	} received[RECEIVED_MAX];
	int error;
	bool close_on_receive;
};

static struct end a, b;

/* --- Ends --- */

static void on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch)
{
	struct end *end = arg;
	assert_in_range(batch->count, 1, VS_RX_DATAGRAMS);
	for (uint32_t i = 0; i < batch->count; i++) {
		const struct vs_rx_datagram *d = &batch->datagrams[i];
		uint32_t number = d->len >= 4 ? vs_get_be32(d->data) : 0;
		for (uint32_t j = 4; j < d->len; j++)
			end->bad += d->data[j] != (uint8_t)(number + j);
		end->received[end->count % RECEIVED_MAX].number = number;
		end->received[end->count++ % RECEIVED_MAX].len = d->len;
	}
	if (end->close_on_receive) {
		struct vs_addr from = *batch->datagrams[0].from, local = *batch->datagrams[0].local;
		carrier->ops->close(carrier, &from, &local);
	}
}

static void on_resumed(void *arg, struct vs_carrier *carrier)
{
	(void)carrier;
	((struct end *)arg)->resumed++;
}

static void on_closed(void *arg, struct vs_carrier *carrier, struct vs_conn *conn, int error)
{
	struct end *end = arg;
	/* It is not the carrier's any more, and still there. */
	assert_null(carrier->ops->release(carrier, &conn->peer, &conn->local));
	end->error = error;
	end->closed++;
}

static void open_end(struct end *end)
{
	const struct vs_carrier_handler handler = {
		.receive = on_receive, .resumed = on_resumed, .conn_closed = on_closed, .arg = end
	};
	memset(end, 0, sizeof(*end));
	assert_int_equal(vs_carrier_tcp_new(loop, &handler, &end->drops, &end->carrier), 0);
}

static int setup(void **state)
{
	(void)state;
	loop = vs_loop_new();
	assert_non_null(loop);
	open_end(&a);
	open_end(&b);
	assert_int_equal(vs_addr_parse("127.0.0.1", 0, &listening), 0);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, &listening.sa, vs_addr_len(&listening)), 0);
	assert_int_equal(listen(listener, 16), 0);
	listening = vs_udp_local(listener);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vs_carrier_free(a.carrier);
	vs_carrier_free(b.carrier);
	vs_loop_free(loop);
	close(listener);
	return 0;
}

/* --- Connections --- */

/* Both ends of a connection, as sockets. */
static void connect_sockets(int fds[2])
{
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], &listening.sa, vs_addr_len(&listening)), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fds[1] >= 0);
}

static struct vs_conn *give(struct end *end, int fd)
{
	struct vs_conn *conn = vs_tcp_conn_new(fd);
	assert_non_null(conn);
	assert_int_equal(end->carrier->ops->adopt(end->carrier, conn), 0);
	return conn;
}

/* A connection of a whose other end is a plain socket. */
static struct vs_conn *connect_to_socket(struct end *end, int *fd)
{
	int fds[2];
	connect_sockets(fds);
	*fd = fds[1];
	return give(end, fds[0]);
}

static void put(struct end *end, const struct vs_conn *conn, uint32_t number, size_t len)
{
	uint8_t *room = vs_carrier_reserve(end->carrier, len);
	assert_non_null(room);
	for (size_t i = 0; i < len; i++)
		room[i] = (uint8_t)(number + i);
	if (len >= 4)
		vs_put_be32(room, number);
	vs_carrier_commit(end->carrier, len, &conn->peer, &conn->local, 1000 + number, 0);
}

static void on_deadline(void *arg, uint64_t now)
{
	(void)now;
	*(bool *)arg = true;
}

/* Turns until *counter is n; fails after some seconds. */
static void wait_for(const unsigned *counter, unsigned n)
{
	struct vs_timer timer;
	bool late = false;
	assert_int_equal(vs_timer_init(&timer, loop, on_deadline, &late), 0);
	vs_timer_set(&timer, vs_loop_refresh(loop) + 5 * VS_SEC);
	while (*counter < n && !late)
		assert_int_equal(vs_loop_turn(loop), 0);
	vs_timer_fini(&timer);
	assert_int_equal(*counter, n);
}

/* Turns for a moment, in which nothing is to happen that can be waited for. */
static void linger(uint64_t usec)
{
	struct vs_timer timer;
	bool over = false;
	assert_int_equal(vs_timer_init(&timer, loop, on_deadline, &over), 0);
	vs_timer_set(&timer, vs_loop_refresh(loop) + usec);
	while (!over)
		assert_int_equal(vs_loop_turn(loop), 0);
	vs_timer_fini(&timer);
}

static size_t size_of(uint32_t number)
{
	static const size_t sizes[] = { 1400, 1400, 1400, 700, 60, 5, 1, VS_DATAGRAM_MAX, 2000, 1999 };
	return sizes[number % VS_ARRAY_SIZE(sizes)];
}

static size_t write_datagram(uint8_t *to, uint32_t number, size_t len)
{
	vs_put_be16(to, (uint16_t)len);
	for (size_t i = 0; i < len; i++)
		to[VS_TCP_FRAMING + i] = (uint8_t)(number + i);
	if (len >= 4)
		vs_put_be32(to + VS_TCP_FRAMING, number);
	return VS_TCP_FRAMING + len;
}

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* --- Tests --- */

static void test_both_ways_in_order(void **state)
{
	int fds[2];
	(void)state;
	connect_sockets(fds);
	const struct vs_conn *of_a = give(&a, fds[0]), *of_b = give(&b, fds[1]);
	/* As links do: no more in a turn than the connection takes. */
	for (uint32_t i = 0; i < 300; i += 20) {
		while (!vs_carrier_ready(a.carrier, &of_a->peer, &of_a->local))
			assert_int_equal(vs_loop_turn(loop), 0);
		for (uint32_t j = i; j < i + 20; j++)
			put(&a, of_a, j, size_of(j));
		vs_carrier_flush(a.carrier);
	}
	for (uint32_t i = 0; i < 50; i++)
		put(&b, of_b, i, size_of(i));
	vs_carrier_flush(b.carrier);
	wait_for(&b.count, 300);
	wait_for(&a.count, 50);
	for (uint32_t i = 0; i < 300; i++) {
		assert_int_equal(b.received[i].len, size_of(i));
		if (size_of(i) >= 4)
			assert_int_equal(b.received[i].number, i);
	}
	assert_int_equal(a.bad + b.bad, 0);
	assert_int_equal(a.carrier->stats.tx_datagrams, 300);
	assert_int_equal(b.carrier->stats.rx_datagrams, 300);
	assert_int_equal(a.carrier->stats.tx_bytes, b.carrier->stats.rx_bytes);
	assert_true(a.carrier->stats.tx_calls < 30);
	assert_int_equal(a.carrier->tx->results_count, 0);
}

static void test_stream_cut_anywhere(void **state)
{
	static const size_t lens[] = { 1, 40, 3 };
	uint8_t stream[64];
	size_t len = 0;
	int fd;
	(void)state;
	for (uint32_t i = 0; i < VS_ARRAY_SIZE(lens); i++)
		len += write_datagram(stream + len, i, lens[i]);
	connect_to_socket(&a, &fd);
	for (size_t cut = 1; cut < len; cut++) {
		unsigned before = a.count;
		send_all(fd, stream, cut);
		linger(VS_MSEC);
		send_all(fd, stream + cut, len - cut);
		wait_for(&a.count, before + 3);
		for (size_t i = 0; i < VS_ARRAY_SIZE(lens); i++)
			assert_int_equal(a.received[before + i].len, lens[i]);
	}
	/* And everywhere at once. */
	unsigned before = a.count;
	for (size_t i = 0; i < len; i++) {
		send_all(fd, stream + i, 1);
		assert_int_equal(vs_loop_turn(loop), 0);
	}
	wait_for(&a.count, before + 3);
	assert_int_equal(a.bad, 0);
	close(fd);
}

static void test_large_datagrams_across_reads(void **state)
{
	static uint8_t stream[2 * VS_TCP_READ_MAX + VS_DATAGRAM_MAX + 16];
	size_t len = 0;
	uint32_t n = 0;
	int fd;
	(void)state;
	connect_to_socket(&a, &fd);
	while (len < 2 * VS_TCP_READ_MAX)
		len += write_datagram(stream + len, n++, VS_DATAGRAM_MAX);
	for (size_t at = 0, part; at < len; at += part) {
		part = VS_MIN(len - at, (size_t)30011);
		send_all(fd, stream + at, part);
		linger(VS_MSEC);
	}
	wait_for(&a.count, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(a.received[i].number, i);
		assert_int_equal(a.received[i].len, VS_DATAGRAM_MAX);
	}
	assert_int_equal(a.bad, 0);
	close(fd);
}

static void test_wrong_length_ends_that_connection(void **state)
{
	static const uint16_t wrong[] = { 0, VS_DATAGRAM_MAX + 1, UINT16_MAX };
	uint8_t stream[64];
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(wrong); i++) {
		int bad, good;
		unsigned before = a.count, closed = a.closed;
		connect_to_socket(&a, &bad);
		connect_to_socket(&a, &good);
		/* What comes before it counts. */
		size_t len = write_datagram(stream, 7, 20);
		vs_put_be16(stream + len, wrong[i]);
		send_all(bad, stream, len + 2);
		wait_for(&a.closed, closed + 1);
		assert_int_equal(a.error, EPROTO);
		assert_int_equal(a.count, before + 1);
		send_all(good, stream, len);
		wait_for(&a.count, before + 2);
		assert_int_equal(a.closed, closed + 1);
		assert_int_equal(recv(bad, stream, sizeof(stream), 0), 0);
		close(bad);
		close(good);
		wait_for(&a.closed, closed + 2);
	}
}

/* Fills a connection whose other end does not read, as links do: while it is ready. Returns how many datagrams went. */
static uint32_t fill(const struct vs_conn *conn, size_t len)
{
	uint32_t n = 0;
	while (vs_carrier_ready(a.carrier, &conn->peer, &conn->local)) {
		for (int i = 0; i < 20; i++)
			put(&a, conn, n++, len);
		vs_carrier_flush(a.carrier);
		assert_true(n < 1000000);
	}
	assert_int_equal(a.carrier->tx->results_count, 0);
	return n;
}

/* Reads datagrams `from` to `to` from the stream, which holds nothing else. */
static void read_stream(int fd, uint32_t from, uint32_t to, size_t len)
{
	uint8_t wanted[2 + 2000], got[2 + 2000];
	assert_true(len <= 2000);
	for (uint32_t i = from; i < to; i++) {
		size_t size = write_datagram(wanted, i, len);
		for (size_t at = 0; at < size;) {
			ssize_t n = recv(fd, got + at, size - at, MSG_DONTWAIT);
			if (n > 0)
				at += (size_t)n;
			else
				assert_int_equal(vs_loop_turn(loop), 0);
		}
		assert_memory_equal(got, wanted, size);
	}
}

static void test_full_connection(void **state)
{
	int slow, other;
	(void)state;
	const struct vs_conn *conn = connect_to_socket(&a, &slow);
	const struct vs_conn *beside = connect_to_socket(&a, &other);
	uint32_t n = fill(conn, 1400);
	/* One connection's trouble is not another's. */
	assert_true(vs_carrier_ready(a.carrier, &beside->peer, &beside->local));
	put(&a, beside, 0, 1400);
	vs_carrier_flush(a.carrier);
	read_stream(other, 0, 1, 1400);

	/* Who goes on all the same finds some room, and then loses what he sends, with a result for each. */
	uint32_t more = 0;
	while (a.carrier->tx->results_count == 0) {
		put(&a, conn, n + more++, 1400);
		vs_carrier_flush(a.carrier);
		assert_true(more < 1000);
	}
	assert_int_equal(a.carrier->tx->results[0].error, ENOBUFS);
	assert_int_equal(a.carrier->tx->results[0].cookie, 1000 + n + more - 1);
	assert_int_equal(a.drops.count[VS_DROP_SEND_FAILED], 1);
	vs_carrier_results_done(a.carrier);

	/* All that was taken comes, whole, and then there is room. */
	unsigned resumed = a.resumed;
	read_stream(slow, 0, n + more - 1, 1400);
	assert_int_equal(a.resumed, resumed + 1);
	assert_true(vs_carrier_ready(a.carrier, &conn->peer, &conn->local));
	put(&a, conn, 77, 1400);
	vs_carrier_flush(a.carrier);
	read_stream(slow, 77, 78, 1400);
	close(slow);
	close(other);
}

static void test_stalled_connection_is_ready_to_lose(void **state)
{
	int fd;
	(void)state;
	const struct vs_conn *conn = connect_to_socket(&a, &fd);
	fill(conn, 1400);
	unsigned resumed = a.resumed;
	wait_for(&a.resumed, resumed + 1);
	assert_true(vs_carrier_ready(a.carrier, &conn->peer, &conn->local));
	close(fd);
}

static void test_ends(void **state)
{
	struct linger at_once = { .l_onoff = 1 };
	int fd;
	(void)state;
	connect_to_socket(&a, &fd);
	close(fd);
	wait_for(&a.closed, 1);
	assert_int_equal(a.error, 0);

	connect_to_socket(&a, &fd);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(fd);
	wait_for(&a.closed, 2);
	assert_int_equal(a.error, ECONNRESET);

	/* Closed here: nobody is told; what was committed has left. */
	const struct vs_conn *conn = connect_to_socket(&a, &fd);
	struct vs_addr peer = conn->peer, local = conn->local;
	put(&a, conn, 5, 100);
	a.carrier->ops->close(a.carrier, &peer, &local);
	read_stream(fd, 5, 6, 100);
	uint8_t byte;
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
	assert_int_equal(a.closed, 2);
	a.carrier->ops->close(a.carrier, &peer, &local);

	/* And what is sent through it from now on is lost, as on a broken path. */
	assert_true(vs_carrier_ready(a.carrier, &peer, &local));
	uint8_t *room = vs_carrier_reserve(a.carrier, 9);
	memset(room, 0, 9);
	vs_carrier_commit(a.carrier, 9, &peer, &local, 42, 0);
	vs_carrier_flush(a.carrier);
	assert_int_equal(a.carrier->tx->results_count, 1);
	assert_int_equal(a.carrier->tx->results[0].error, ENOTCONN);
	assert_int_equal(a.carrier->tx->results[0].cookie, 42);
}

/* Whoever has been told that a connection is not ready hears of its end, or would wait for it for ever. */
static void test_a_full_connection_ends(void **state)
{
	struct linger at_once = { .l_onoff = 1 };
	int fd;
	(void)state;
	const struct vs_conn *conn = connect_to_socket(&a, &fd);
	fill(conn, 1400);
	unsigned resumed = a.resumed;
	uint64_t since = vs_loop_refresh(loop);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(fd);
	wait_for(&a.resumed, resumed + 1);
	assert_int_equal(a.closed, 1);
	assert_true(vs_loop_refresh(loop) - since < VS_SEC / 2); /* not as one that only stalls */

	conn = connect_to_socket(&a, &fd);
	struct vs_addr peer = conn->peer, local = conn->local;
	fill(conn, 1400);
	resumed = a.resumed;
	a.carrier->ops->close(a.carrier, &peer, &local);
	wait_for(&a.resumed, resumed + 1);
	close(fd);
}

static void test_close_while_receiving(void **state)
{
	uint8_t stream[256 * 8];
	size_t len = 0;
	int fd;
	(void)state;
	connect_to_socket(&a, &fd);
	for (uint32_t i = 0; i < 200; i++)
		len += write_datagram(stream + len, i, 5);
	a.close_on_receive = true;
	send_all(fd, stream, len);
	wait_for(&a.count, VS_RX_DATAGRAMS);
	linger(5 * VS_MSEC);
	assert_int_equal(a.count, VS_RX_DATAGRAMS);
	assert_int_equal(a.closed, 0);
	close(fd);
}

static void test_change_of_hands(void **state)
{
	uint8_t stream[128];
	int fd;
	(void)state;
	struct vs_conn *conn = connect_to_socket(&a, &fd);
	/* In the middle of a datagram. */
	size_t len = write_datagram(stream, 1, 30);
	len += write_datagram(stream + len, 2, 30);
	send_all(fd, stream, 45);
	wait_for(&a.count, 1);
	assert_ptr_equal(a.carrier->ops->release(a.carrier, &conn->peer, &conn->local), conn);
	assert_null(a.carrier->ops->release(a.carrier, &conn->peer, &conn->local));
	send_all(fd, stream + 45, len - 45);
	linger(5 * VS_MSEC);
	assert_int_equal(a.count, 1);
	assert_int_equal(b.carrier->ops->adopt(b.carrier, conn), 0);
	wait_for(&b.count, 1);
	assert_int_equal(b.received[0].number, 2);
	put(&b, conn, 3, 30);
	vs_carrier_flush(b.carrier);
	read_stream(fd, 3, 4, 30);
	close(fd);
	wait_for(&b.closed, 1);
	assert_int_equal(a.closed, 0);
}

static void test_name_is_taken_once(void **state)
{
	int fd;
	(void)state;
	struct vs_conn *conn = connect_to_socket(&a, &fd);
	assert_int_equal(a.carrier->ops->adopt(a.carrier, conn), -EEXIST);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_ways_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_cut_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_datagrams_across_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_length_ends_that_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stalled_connection_is_ready_to_lose, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_connection_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_while_receiving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change_of_hands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_is_taken_once, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
