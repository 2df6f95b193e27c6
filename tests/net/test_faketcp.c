/* io/carrier_faketcp between two hosts: datagrams arrive, whole and in order, by the worker that they are for; what
 * is on the line is a TCP connection with nothing wrong in it, to which neither kernel adds anything; and the end
 * of a process, however sudden, is a reset for the other, who survives it. */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "faketcp_ends.h"

static const int families[] = { AF_INET, AF_INET6 };

/* --- Ends --------------------------------------------------------------------------------------------------------- */

struct end {
	struct vs_carrier *carrier;
	struct vs_drops drops;
	unsigned received, in_order, resumed, errors, missing;
	uint32_t next;
	size_t bytes;
	struct vs_carrier_error error;
	struct vs_addr from, local;
};

static struct vs_loop *loop;
static struct end client, workers[FT_WORKERS], lobby;
static int listener;

static void on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch)
{
	struct end *end = arg;

	assert_ptr_equal(carrier, end->carrier);
	for (uint32_t i = 0; i < batch->count; i++) {
		const struct vs_rx_datagram *d = &batch->datagrams[i];
		assert_true(d->len >= 8);
		uint32_t number = vs_get_be32(d->data + 4);
		for (uint32_t j = 8; j < d->len; j++)
			assert_int_equal(d->data[j], (uint8_t)(number + j));
		end->in_order += number == end->next;
		end->next = number + 1;
		end->received++;
		end->bytes += d->len;
		end->from = *d->from;
		end->local = *d->local;
	}
}

static void on_resumed(void *arg, struct vs_carrier *carrier)
{
	struct end *end = arg;

	assert_ptr_equal(carrier, end->carrier);
	end->resumed++;
}

static void on_error(void *arg, struct vs_carrier *carrier, const struct vs_carrier_error *error)
{
	struct end *end = arg;

	assert_ptr_equal(carrier, end->carrier);
	end->errors++;
	end->error = *error;
}

static void on_missing(void *arg, struct vs_carrier *carrier, const struct vs_addr *peer, const struct vs_addr *local)
{
	struct end *end = arg;

	assert_ptr_equal(carrier, end->carrier);
	assert_true(vs_addr_is_set(peer) && vs_addr_is_set(local));
	end->missing++;
}

static void open_end(struct end *end, int fd4, int fd6, bool is_lobby)
{
	const struct vs_carrier_handler handler = {
		.receive = on_receive, .resumed = on_resumed, .error = on_error, .arg = end
	};
	const struct vs_carrier_faketcp_config config = {
		.fd4 = fd4, .fd6 = fd6, .missing = is_lobby ? on_missing : NULL
	};

	memset(end, 0, sizeof(*end));
	assert_int_equal(vs_carrier_faketcp_new(loop, &config, &handler, &end->drops, &end->carrier), 0);
}

static void open_server(int family)
{
	int fds[2] = { -1, -1 };
	int *fd = &fds[family == AF_INET6];

	listener = ft_listen(family);
	*fd = ft_raw(family, VS_FAKETCP_LOBBY, 0);
	open_end(&lobby, fds[0], fds[1], true);
	for (unsigned i = 0; i < FT_WORKERS; i++) {
		*fd = ft_raw(family, VS_FAKETCP_WORKER, i);
		open_end(&workers[i], fds[0], fds[1], false);
	}
}

static void open_all(int family)
{
	loop = vs_loop_new();
	assert_non_null(loop);
	open_server(family);
	open_end(&client, -1, -1, false);
}

static void close_server(void)
{
	for (unsigned i = 0; i < FT_WORKERS; i++)
		vs_carrier_free(workers[i].carrier);
	vs_carrier_free(lobby.carrier);
	close(listener);
}

static void close_all(void)
{
	vs_carrier_free(client.carrier);
	close_server();
	vs_loop_free(loop);
}

/* A datagram: type, receiver index, number, a pattern. */
static void put(struct end *from, uint8_t type, uint32_t index, uint32_t number, size_t len, const struct vs_conn *conn,
		unsigned flags)
{
	uint8_t *room = vs_carrier_reserve(from->carrier, len);

	assert_non_null(room);
	room[0] = type;
	vs_put_be24(room + 1, index);
	vs_put_be32(room + 4, number);
	for (size_t i = 8; i < len; i++)
		room[i] = (uint8_t)(number + i);
	vs_carrier_commit(from->carrier, len, &conn->peer, &conn->local, number, flags);
}

static void on_deadline(void *arg, uint64_t now)
{
	(void)now;
	*(bool *)arg = true;
}

/* Turns until *counter is n, or for as long as that takes; n UINT_MAX: for that time. */
static void turn(const unsigned *counter, unsigned n, uint64_t usec)
{
	struct vs_timer timer;
	bool late = false;

	assert_int_equal(vs_timer_init(&timer, loop, on_deadline, &late), 0);
	vs_timer_set(&timer, vs_loop_refresh(loop) + usec);
	while (*counter < n && !late)
		assert_int_equal(vs_loop_turn(loop), 0);
	vs_timer_fini(&timer);
}

static void wait_for(const unsigned *counter, unsigned n)
{
	turn(counter, n, 2 * VS_SEC);
	assert_int_equal(*counter, n);
}

/* A connection, its server's end with a worker. */
static void join(int family, unsigned worker, const struct vs_conn **c, const struct vs_conn **s)
{
	vs_loop_refresh(loop);
	struct vs_faketcp_conn *ours = ft_connect(family, loop);
	struct vs_faketcp_conn *theirs = ft_accept(listener, loop);

	assert_true(vs_addr_equal(&ours->conn.local, &theirs->conn.peer));
	assert_true(vs_addr_equal(&ours->conn.peer, &theirs->conn.local));
	assert_int_equal(client.carrier->ops->adopt(client.carrier, &ours->conn), 0);
	assert_int_equal(workers[worker].carrier->ops->adopt(workers[worker].carrier, &theirs->conn), 0);
	*c = &ours->conn;
	*s = &theirs->conn;
}

/* Sizes as links make them. */
static size_t size_of(uint32_t number)
{
	static const size_t sizes[] = { 1400, 1400, 1400, 1400, 700, 60, 60, 1200, 1400, 8, 1426, 1425, 1000 };

	return sizes[number % VS_ARRAY_SIZE(sizes)];
}

/* One end of a connection, and the receiver index that leads to it. */
struct side {
	struct end *end;
	const struct vs_conn *conn;
	uint32_t index;
};

static void read_capture(void);

#define BURST 60
#define REPORT 24

/* Sends n datagrams in bursts; each is answered by a report, as links do, which acknowledges it. */
static void exchange(const struct side *from, const struct side *to, unsigned n)
{
	struct end *a = from->end, *b = to->end;

	b->received = b->in_order = b->next = a->received = 0;
	for (uint32_t i = 0; i < n;) {
		for (unsigned burst = 0; burst < BURST && i < n; burst++, i++)
			put(a, VS_TYPE_DATA, to->index, i, size_of(i), from->conn, 0);
		vs_carrier_flush(a->carrier);
		wait_for(&b->received, i);
		put(b, VS_TYPE_DATA, from->index, 0, REPORT, to->conn, 0);
		vs_carrier_flush(b->carrier);
		wait_for(&a->received, (i + BURST - 1) / BURST);
		read_capture();
	}
	assert_int_equal(b->in_order, n);
	assert_int_equal(a->carrier->tx->results_count, 0);
}

/* --- The line ----------------------------------------------------------------------------------------------------- */

/* What was seen on the client's device. */
static struct {
	int fd;
	unsigned packets, data, resets, bare, bad_checksums, syns;
} capture = { .fd = -1 };

static void open_capture(void)
{
	ft_enter(FT_CLIENT);
	memset(&capture, 0, sizeof(capture));
	capture.fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
	assert_true(capture.fd >= 0);
}

/* Of the segment with its pseudo-header. */
static bool checksum_holds(const uint8_t *packet, const uint8_t *tcp, size_t len)
{
	bool v6 = packet[0] >> 4 == 6;
	uint8_t rest[4] = { 0, IPPROTO_TCP, (uint8_t)(len >> 8), (uint8_t)len };
	uint64_t sum = vs_checksum_sum(rest, 4) + vs_checksum_sum(tcp, len);

	sum += v6 ? vs_checksum_sum(packet + 8, 32) : vs_checksum_sum(packet + 12, 8);
	return vs_checksum_fold(sum) == 0xffff;
}

static void look_at(uint8_t *packet, size_t size)
{
	struct vs_tcp_segment segment;
	uint8_t *tcp = packet + 40, *payload;
	size_t tcp_len = size - 40, len;
	bool v6 = packet[0] >> 4 == 6;

	if (v6 ? size < 60 || packet[6] != IPPROTO_TCP : !vs_faketcp_read_ipv4(packet, size, &segment, &tcp, &tcp_len))
		return;
	if (v6) {
		segment.src = ft_addr(FT_CLIENT, AF_INET6, 0);
		segment.dst = ft_addr(FT_SERVER, AF_INET6, 0);
	}
	assert_true(vs_faketcp_read_tcp(tcp, tcp_len, &segment, &payload, &len));
	capture.packets++;
	capture.syns += (segment.flags & VS_TCP_SYN) != 0;
	capture.resets += (segment.flags & VS_TCP_RST) != 0;
	capture.data += len > 0;
	capture.bare += len == 0 && !(segment.flags & (VS_TCP_SYN | VS_TCP_RST));
	/* The kernel leaves those of its own segments, which have no data, to the device. */
	capture.bad_checksums += len > 0 && !checksum_holds(packet, tcp, tcp_len);
}

/* Often, since its buffer is small. */
static void read_capture(void)
{
	static uint8_t packet[70000];
	ssize_t n;

	if (capture.fd < 0)
		return;
	while ((n = recv(capture.fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0)
		if (n >= 40)
			look_at(packet, (size_t)n);
	assert_int_equal(errno, EAGAIN);
}

static void close_capture(void)
{
	read_capture();
	close(capture.fd);
	capture.fd = -1;
}

/* --- Tests -------------------------------------------------------------------------------------------------------- */

#define MANY 5000

static void test_both_ways(void **state)
{
	const struct vs_conn *c, *s;

	(void)state;
	for (size_t f = 0; f < VS_ARRAY_SIZE(families); f++) {
		open_all(families[f]);
		open_capture();
		join(families[f], 1, &c, &s);
		const struct side near = { &client, c, 7 }, far = { &workers[1], s, 0x1201 };
		for (unsigned round = 0; round < 2; round++) {
			exchange(&near, &far, MANY);
			exchange(&far, &near, MANY);
		}
		assert_true(vs_addr_equal(&workers[1].from, &s->peer) && vs_addr_equal(&workers[1].local, &s->local));
		assert_true(vs_addr_equal(&client.from, &c->peer) && vs_addr_equal(&client.local, &c->local));
		assert_int_equal(workers[0].received + lobby.received + lobby.errors + client.errors, 0);
		close_capture();
		assert_int_equal(capture.syns, 2);
		assert_int_equal(capture.bare, 1); /* of the handshake */
		assert_int_equal(capture.resets, 0);
		assert_int_equal(capture.data, 4 * (MANY + (MANY + BURST - 1) / BURST));
		assert_int_equal(capture.bad_checksums, 0);
		for (int reason = 0; reason < VS_DROP_COUNT; reason++)
			assert_int_equal(client.drops.count[reason] + workers[1].drops.count[reason], 0);
		close_all();
	}
}

static void test_who_gets_what(void **state)
{
	const struct vs_conn *c, *s;

	(void)state;
	for (size_t f = 0; f < VS_ARRAY_SIZE(families); f++) {
		open_all(families[f]);
		join(families[f], 0, &c, &s);
		put(&client, VS_TYPE_INITIATION, 0, 1, 384, c, VS_TX_ALONE);
		vs_carrier_flush(client.carrier);
		wait_for(&lobby.received, 1);
		assert_int_equal(lobby.missing, 1); /* a worker has the connection */
		assert_true(vs_addr_equal(&lobby.from, &s->peer) && vs_addr_equal(&lobby.local, &s->local));
		put(&client, VS_TYPE_CLEAR, 0x5600, 2, 100, c, 0);
		vs_carrier_flush(client.carrier);
		wait_for(&workers[0].received, 1);
		/* For a worker that has not got the connection, and for one that is not there. */
		put(&client, VS_TYPE_DATA, 0x5601, 3, 100, c, VS_TX_ALONE);
		put(&client, VS_TYPE_DATA, 0x5602, 4, 100, c, VS_TX_ALONE);
		put(&client, VS_TYPE_DATA, 0x5600, 5, 100, c, VS_TX_ALONE);
		vs_carrier_flush(client.carrier);
		wait_for(&workers[0].received, 2);
		turn(&workers[1].received, 1, 20 * VS_MSEC);
		assert_int_equal(workers[1].received + lobby.received, 1);
		assert_int_equal(workers[1].drops.count[VS_DROP_NO_CONNECTION], 1);
		close_all();
	}
}

static void test_connection_moves(void **state)
{
	const struct vs_conn *c, *s;
	const struct vs_carrier_ops *ops;

	(void)state;
	open_all(AF_INET);
	join(AF_INET, 0, &c, &s);
	const struct side near = { &client, c, 0 }, before = { &workers[0], s, 0 }, after = { &workers[1], s, 1 };
	exchange(&near, &before, 100);
	ops = lobby.carrier->ops;
	struct vs_conn *conn = ops->release(workers[0].carrier, &s->peer, &s->local);
	assert_ptr_equal(conn, s);
	assert_null(ops->release(workers[0].carrier, &s->peer, &s->local));
	assert_int_equal(ops->adopt(workers[1].carrier, conn), 0);
	assert_int_equal(ops->adopt(workers[1].carrier, conn), -EEXIST);
	exchange(&near, &after, 100);
	exchange(&after, &near, 100);
	close_all();
}

static void test_too_large(void **state)
{
	const struct vs_conn *c, *s;

	(void)state;
	for (size_t f = 0; f < VS_ARRAY_SIZE(families); f++) {
		open_all(families[f]);
		join(families[f], 0, &c, &s);
		size_t most = FT_MTU - vs_carrier_overhead(client.carrier, &c->peer);
		put(&client, VS_TYPE_DATA, 0, 1, most + 1, c, VS_TX_ALONE);
		put(&client, VS_TYPE_DATA, 0, 2, most, c, 0);
		vs_carrier_flush(client.carrier);
		wait_for(&workers[0].received, 1);
		assert_int_equal(client.carrier->tx->results_count, 1);
		assert_int_equal(client.carrier->tx->results[0].error, EMSGSIZE);
		assert_int_equal(client.carrier->tx->results[0].cookie, 1);
		vs_carrier_results_done(client.carrier);
		/* The device takes less now than the MSS that was agreed on. */
		ft_run(FT_CLIENT, "ip link set vc mtu 1400");
		put(&client, VS_TYPE_DATA, 0, 3, most, c, VS_TX_ALONE);
		put(&client, VS_TYPE_DATA, 0, 4, 1300, c, 0);
		vs_carrier_flush(client.carrier);
		wait_for(&workers[0].received, 2);
		assert_int_equal(client.carrier->tx->results_count, 1);
		assert_int_equal(client.carrier->tx->results[0].error, EMSGSIZE);
		ft_run(FT_CLIENT, "ip link set vc mtu 1500");
		close_all();
	}
}

/* Nothing is acknowledged: the window fills, the carrier says so, and time makes room again. */
static void test_window(void **state)
{
	const struct vs_conn *c, *s;
	unsigned sent = 0;

	(void)state;
	open_all(AF_INET);
	join(AF_INET, 0, &c, &s);
	turn(&client.received, 1, 10 * VS_MSEC); /* for the SYN-ACK, whose coming would be a reason to try again */
	while (client.carrier->tx->results_count == 0) {
		put(&client, VS_TYPE_DATA, 0, sent++, 1400, c, 0);
		vs_carrier_flush(client.carrier);
		assert_true(sent < 100000);
	}
	assert_int_equal(client.carrier->tx->results[0].error, ENOBUFS);
	vs_carrier_results_done(client.carrier);
	assert_false(vs_carrier_ready(client.carrier, &c->peer, &c->local));
	wait_for(&client.resumed, 1);
	assert_true(vs_carrier_ready(client.carrier, &c->peer, &c->local));
	wait_for(&workers[0].received, sent - 1);
	/* What comes back opens it to its full size, and room is told of at once. */
	put(&client, VS_TYPE_DATA, 0, 0, 100, c, 0);
	vs_carrier_flush(client.carrier);
	wait_for(&workers[0].received, sent);
	unsigned before = client.received;
	put(&workers[0], VS_TYPE_DATA, 0, 0, 100, s, 0);
	vs_carrier_flush(workers[0].carrier);
	wait_for(&client.received, before + 1);
	assert_int_equal(client.carrier->stats.tx_failed, 1);
	assert_true(vs_faketcp_conn_has_room((const struct vs_faketcp_conn *)c, 4 << 20, 0));
	close_all();
}

static void test_close_resets(void **state)
{
	const struct vs_conn *c, *s;

	(void)state;
	open_all(AF_INET);
	join(AF_INET, 0, &c, &s);
	exchange(&(struct side){ &client, c, 0 }, &(struct side){ &workers[0], s, 0 }, 100);
	open_capture();
	struct vs_addr peer = c->peer, local = c->local;
	client.carrier->ops->close(client.carrier, &peer, &local);
	wait_for(&lobby.errors, 1);
	assert_int_equal(lobby.error.error, ECONNRESET);
	assert_true(vs_addr_equal(&lobby.error.to, &s->peer) && vs_addr_equal(&lobby.error.from, &s->local));
	put(&client, VS_TYPE_DATA, 0, 1, 100, &(struct vs_conn){ .peer = peer, .local = local }, 0);
	vs_carrier_flush(client.carrier);
	assert_int_equal(client.carrier->tx->results[0].error, ENOTCONN);
	close_capture();
	assert_int_equal(capture.resets, 1);
	assert_int_equal(capture.packets, 1);
	close_all();
}

/* The server as a process of its own, which sends one datagram and waits. */
_Noreturn static void run_server(int family, int ready)
{
	loop = vs_loop_new();
	open_server(family);
	if (write(ready, "r", 1) != 1)
		exit(1);
	struct vs_faketcp_conn *conn = ft_accept(listener, loop);
	vs_loop_refresh(loop);
	const struct vs_conn *s = &conn->conn;
	assert_int_equal(workers[0].carrier->ops->adopt(workers[0].carrier, &conn->conn), 0);
	wait_for(&workers[0].received, 1);
	put(&workers[0], VS_TYPE_DATA, 0, 0, 100, s, 0);
	vs_carrier_flush(workers[0].carrier);
	for (;;)
		pause();
}

static void test_sudden_death(void **state)
{
	(void)state;
	for (size_t f = 0; f < VS_ARRAY_SIZE(families); f++) {
		int ready[2];
		char byte;

		assert_int_equal(pipe(ready), 0);
		pid_t pid = fork();
		if (pid == 0)
			run_server(families[f], ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		loop = vs_loop_new();
		open_end(&client, -1, -1, false);
		vs_loop_refresh(loop);
		struct vs_faketcp_conn *conn = ft_connect(families[f], loop);
		assert_int_equal(client.carrier->ops->adopt(client.carrier, &conn->conn), 0);
		put(&client, VS_TYPE_DATA, 0, 0, 100, &conn->conn, 0);
		vs_carrier_flush(client.carrier);
		wait_for(&client.received, 1);
		open_capture();
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		turn(&client.errors, 1, 50 * VS_MSEC);
		assert_int_equal(client.errors, 0); /* it dies in silence, and leaves nothing behind: */
		put(&client, VS_TYPE_DATA, 0, 1, 100, &conn->conn, 0);
		vs_carrier_flush(client.carrier);
		wait_for(&client.errors, 1);
		assert_int_equal(client.error.error, ECONNRESET);
		assert_true(vs_addr_equal(&client.error.to, &conn->conn.peer));
		put(&client, VS_TYPE_DATA, 0, 2, 100, &conn->conn, 0);
		vs_carrier_flush(client.carrier);
		assert_int_equal(client.carrier->tx->results_count, 0);
		wait_for(&client.errors, 2);
		close_capture();
		assert_int_equal(capture.resets, 2);
		assert_int_equal(capture.packets, 4);
		vs_carrier_free(client.carrier);
		vs_loop_free(loop);
		/* The port is free again. */
		close(ft_listen(families[f]));
		close(ready[0]);
		close(ready[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_who_gets_what),
		cmocka_unit_test(test_connection_moves),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_close_resets),
		cmocka_unit_test(test_sudden_death),
	};

	ft_hosts();
	alarm(60); /* a hang is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
