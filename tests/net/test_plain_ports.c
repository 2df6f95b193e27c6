/* Plain peers as ports of a datapath: frames between streams and KCP conversations of one and of several workers, in
 * order and once each; what ends one peer and nobody else; a peer that does not read. Listening is not part of it: each
 * peer is a socket that is connected already. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "io/datapath.h"
#include "io/plain_socket.h"

#define PEERS 4
#define PATIENCE_MSEC 10000
#define CONV 77
#define FRAME_MAX 1514

static const unsigned workers_of[] = { 1, 2, 4 };

struct peer {
	unsigned number;
	int fd; /* our end */
	struct vs_dport *port;
	struct vs_plain *kcp; /* what speaks on our end; NULL: a stream */
	struct vs_deframer deframer;
	struct vs_deframed heard;
	unsigned events;
};

struct world {
	struct vs_loop *loop;
	struct vs_datapath *path;
	struct vs_pool *pool; /* of our ends */
	struct vs_drops drops;
	struct peer peers[PEERS];
};

/* --- The world ---------------------------------------------------------------------------------------------------- */

static void on_plain_events(void *arg, struct vs_dport *port, unsigned events)
{
	struct peer *peer = vs_dport_user(port);
	struct world *w = arg;
	peer->events |= events;
	vs_loop_stop(w->loop);
}

static void ignore_link(void *arg, struct vs_dport *port, unsigned events)
{
	(void)arg, (void)port, (void)events;
}

static void ignore_gone(void *arg, struct vs_dport *port, int error)
{
	(void)arg, (void)port, (void)error;
}

static void ignore_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path,
			     unsigned worker)
{
	(void)arg, (void)datagram, (void)len, (void)path, (void)worker;
}

static void open_world(struct world *w, unsigned workers)
{
	struct vs_datapath_config config = { .bridge = VS_BRIDGE_CONFIG_DEFAULT, .pool_bytes = 64u << 20 };
	struct vs_datapath_handler handler = {
		.handshake = ignore_handshake,
		.link_events = ignore_link,
		.tap_gone = ignore_gone,
		.plain_events = on_plain_events,
		.arg = w,
	};
	memset(w, 0, sizeof(*w));
	config.bridge.workers = (uint8_t)workers;
	w->loop = vs_loop_new();
	w->path = vs_datapath_new(w->loop, &config, &handler);
	w->pool = vs_pool_new(64u << 20);
	assert_true(w->loop && w->path && w->pool);
}

static void close_world(struct world *w)
{
	for (unsigned i = 0; i < PEERS; i++) {
		struct peer *peer = &w->peers[i];
		vs_dport_remove(peer->port, 0);
		vs_plain_free(peer->kcp);
		vs_deframer_reset(&peer->deframer);
		vs_frame_list_fini(&peer->heard.frames);
		vs_frame_list_fini(&peer->heard.control);
		if (peer->fd > 0)
			close(peer->fd);
	}
	vs_datapath_free(w->path);
	vs_pool_free(w->pool);
	vs_loop_free(w->loop);
}

/* Turns the deciding loop until the peer has had the event. */
static void await(struct world *w, const struct peer *peer, unsigned event)
{
	uint64_t give_up = vs_clock_usec() + PATIENCE_MSEC * VS_MSEC;
	while (!(peer->events & event)) {
		assert_true(vs_clock_usec() < give_up);
		assert_int_equal(vs_loop_turn(w->loop), 0);
	}
}

/* --- Frames ------------------------------------------------------------------------------------------------------- */

static void address(uint8_t mac[6], unsigned number)
{
	const uint8_t bytes[6] = { 2, 0, 0, 0, 0, (uint8_t)number };
	memcpy(mac, bytes, sizeof(bytes));
}

/* Frame `number` between two peers; PEERS: to all. Its length and bytes depend on its number. */
static size_t make_frame(uint8_t frame[FRAME_MAX], unsigned from, unsigned to, uint32_t number)
{
	size_t len = 60 + number * 97 % (FRAME_MAX - 60);
	memset(frame, 0xff, 6);
	if (to < PEERS)
		address(frame, to);
	address(frame + 6, from);
	vs_put_be16(frame + 12, 0x88b5);
	vs_put_be32(frame + 14, number);
	for (size_t i = 18; i < len; i++)
		frame[i] = (uint8_t)(number + i);
	return len;
}

static void write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len) {
		struct pollfd poll_for = { .fd = fd, .events = POLLOUT };
		assert_int_equal(poll(&poll_for, 1, PATIENCE_MSEC), 1);
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		assert_true(n > 0);
		bytes += n;
		len -= (size_t)n;
	}
}

static void pump_kcp(struct peer *peer)
{
	const uint8_t *bytes;
	size_t size;
	while ((size = vs_plain_output(peer->kcp, vs_clock_usec(), &bytes))) {
		/* A full socket is a lossy line. */
		(void)!send(peer->fd, bytes, size, MSG_DONTWAIT);
		vs_plain_sent(peer->kcp, size);
	}
}

static void send_frame(struct world *w, struct peer *peer, unsigned to, uint32_t number)
{
	uint8_t framed[VS_FRAMING_HEADER + FRAME_MAX];
	size_t len = make_frame(framed + VS_FRAMING_HEADER, peer->number, to, number);
	if (!peer->kcp) {
		vs_framing_encode(framed, VS_FLAG_FRAME, (uint32_t)len);
		write_all(peer->fd, framed, VS_FRAMING_HEADER + len);
		return;
	}
	struct vs_frame *frame = vs_frame_new(w->pool, len);
	assert_non_null(frame);
	memcpy(vs_frame_bytes(frame), framed + VS_FRAMING_HEADER, len);
	vs_plain_send(peer->kcp, frame, vs_clock_usec());
	pump_kcp(peer);
}

static void receive_kcp(struct peer *peer)
{
	uint8_t bytes[2048];
	ssize_t len;
	while ((len = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		vs_plain_input(peer->kcp, bytes, (size_t)len, vs_clock_usec(), &peer->heard);
	pump_kcp(peer);
}

/* Waits a moment for what comes to a peer, while the KCPs do theirs; false: the stream has ended. */
static bool receive(struct world *w, struct peer *peer)
{
	uint8_t bytes[65536];
	struct pollfd poll_for = { .fd = peer->fd, .events = POLLIN };
	int n = poll(&poll_for, 1, 2);
	for (unsigned i = 0; i < PEERS; i++)
		if (w->peers[i].kcp)
			receive_kcp(&w->peers[i]);
	if (n == 0 || peer->kcp)
		return true;
	ssize_t len = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (len > 0)
		assert_int_equal(vs_deframer_input(&peer->deframer, w->pool, &w->drops, bytes, (size_t)len, &peer->heard),
				 0);
	return len > 0;
}

/* The next frame that a peer hears is this one. */
static void expect(struct world *w, struct peer *peer, unsigned from, unsigned to, uint32_t number)
{
	uint8_t wanted[FRAME_MAX];
	size_t len = make_frame(wanted, from, to, number);
	uint64_t give_up = vs_clock_usec() + PATIENCE_MSEC * VS_MSEC;
	while (!peer->heard.frames.count) {
		assert_true(vs_clock_usec() < give_up);
		assert_true(receive(w, peer));
	}
	struct vs_frame *frame = vs_frame_list_pop(&peer->heard.frames);
	assert_int_equal(frame->len, len);
	assert_memory_equal(vs_frame_bytes(frame), wanted, len);
	vs_frame_unref(frame);
}

/* --- Peers -------------------------------------------------------------------------------------------------------- */

static struct vs_port_config port_config(unsigned number)
{
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;
	snprintf(config.name, sizeof(config.name), "peer%u", number);
	return config;
}

/* The default but for CoDel's target: a busy machine is no reason to drop what a test waits for. */
static struct vs_queue_config patient_queue(void)
{
	struct vs_queue_config config = VS_QUEUE_CONFIG_DEFAULT;
	config.codel.target_usec = 60 * VS_SEC;
	return config;
}

static struct peer *new_peer(struct world *w, unsigned number, int fd)
{
	struct peer *peer = &w->peers[number];
	peer->number = number;
	peer->fd = fd;
	vs_frame_list_init(&peer->heard.frames, 4096);
	vs_frame_list_init(&peer->heard.control, 4);
	return peer;
}

static void add_stream(struct world *w, unsigned number)
{
	struct vs_plain_config plain = { .kind = VS_PLAIN_STREAM, .queue = patient_queue() };
	struct vs_port_config config = port_config(number);
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	struct peer *peer = new_peer(w, number, fds[1]);
	assert_int_equal(vs_datapath_add_plain(w->path, fds[0], &plain, NULL, 0, &config, peer, &peer->port), 0);
}

static int udp_socket(struct vs_addr *local)
{
	socklen_t len = sizeof(*local);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(vs_addr_parse("127.0.0.1", 0, local), 0);
	assert_int_equal(bind(fd, &local->sa, vs_addr_len(local)), 0);
	assert_int_equal(getsockname(fd, &local->sa, &len), 0);
	return fd;
}

/* The first datagram goes with the socket, as from a listener. */
static void add_kcp(struct world *w, unsigned number)
{
	struct vs_plain_config plain = { .kind = VS_PLAIN_KCP, .conv = CONV, .queue = patient_queue() };
	struct vs_port_config config = port_config(number);
	struct vs_addr ours, theirs;
	uint8_t first[VS_PLAIN_KCP_MTU];
	int our_fd = udp_socket(&ours), their_fd = udp_socket(&theirs);
	assert_int_equal(vs_plain_connect_udp(our_fd, &theirs), 0);
	assert_int_equal(vs_plain_connect_udp(their_fd, &ours), 0);
	struct peer *peer = new_peer(w, number, our_fd);
	plain.pool = w->pool;
	peer->kcp = vs_plain_new(&plain, vs_clock_usec());
	assert_non_null(peer->kcp);
	send_frame(w, peer, PEERS, 0);
	ssize_t len = recv(their_fd, first, sizeof(first), 0);
	assert_true(len > 0);
	assert_int_equal(vs_datapath_add_plain(w->path, their_fd, &plain, first, (size_t)len, &config, peer,
					       &peer->port), 0);
}

/* The peer is up, and its first frame has gone to those who were there, and does not come to those who come later: the
 * worker answers when it is through with both. */
static void await_first_frame(struct world *w, const struct peer *peer)
{
	struct vs_dport_view view;
	await(w, peer, VS_WPLAIN_UP);
	vs_dport_view(peer->port, &view);
}

/* Streams 0 ... streams - 1, which have made themselves known, and KCP peers for the rest. */
static void add_peers(struct world *w, unsigned streams)
{
	for (unsigned i = 0; i < streams; i++) {
		add_stream(w, i);
		send_frame(w, &w->peers[i], PEERS, 0);
		await_first_frame(w, &w->peers[i]);
		for (unsigned k = 0; k < i; k++)
			expect(w, &w->peers[k], i, PEERS, 0);
	}
	for (unsigned i = streams; i < PEERS; i++) {
		add_kcp(w, i);
		await_first_frame(w, &w->peers[i]);
		for (unsigned k = 0; k < i; k++)
			expect(w, &w->peers[k], i, PEERS, 0);
	}
}

static void everybody_to_everybody(struct world *w, uint32_t from_number, uint32_t rounds)
{
	for (uint32_t n = from_number; n < from_number + rounds; n++)
		for (unsigned from = 0; from < PEERS; from++)
			for (unsigned to = 0; to < PEERS; to++) {
				if (from == to || !w->peers[from].port || !w->peers[to].port)
					continue;
				send_frame(w, &w->peers[from], to, n);
				expect(w, &w->peers[to], from, to, n);
			}
}

/* --- Tests -------------------------------------------------------------------------------------------------------- */

static void test_everybody_to_everybody(void **state)
{
	struct world w;
	struct vs_dport_view view;
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(workers_of); i++) {
		open_world(&w, workers_of[i]);
		add_peers(&w, 2);
		everybody_to_everybody(&w, 1, 30);
		for (unsigned k = 0; k < PEERS; k++) {
			vs_dport_view(w.peers[k].port, &view);
			assert_true(view.plain.up && !view.plain.over);
			assert_int_equal(view.plain.stats.rx_frames, 1 + 30 * (PEERS - 1));
			assert_int_equal(view.plain.stats.tx_frames, view.counters.frames_out);
		}
		close_world(&w);
	}
}

/* A row of frames, faster than they are read at the other end. */
static void test_row(void **state)
{
	enum { FRAMES = 300 };
	struct world w;
	(void)state;
	open_world(&w, 2);
	add_peers(&w, 2);
	for (unsigned to = 1; to < PEERS; to++) {
		for (uint32_t n = 1; n <= FRAMES; n++)
			send_frame(&w, &w.peers[0], to, n);
		for (uint32_t n = 1; n <= FRAMES; n++)
			expect(&w, &w.peers[to], 0, to, n);
	}
	close_world(&w);
}

static void test_ends(void **state)
{
	static const uint8_t noise[64] = { 0xbc, 0xbd };
	struct world w;
	struct vs_dport_view view;
	(void)state;
	open_world(&w, 2);
	add_peers(&w, 3);
	write_all(w.peers[0].fd, noise, sizeof(noise));
	await(&w, &w.peers[0], VS_WPLAIN_OVER);
	vs_dport_view(w.peers[0].port, &view);
	assert_int_equal(view.plain.end, VS_PLAIN_MALFORMED);
	assert_int_equal(view.plain.drops.count[VS_DROP_BAD_FRAMING], 1);
	assert_true(view.plain.over && !view.plain.up);
	vs_dport_remove(w.peers[0].port, 0);
	w.peers[0].port = NULL;
	while (receive(&w, &w.peers[0]))
		assert_int_equal(w.peers[0].heard.frames.count, 0);
	everybody_to_everybody(&w, 1, 5);

	close(w.peers[1].fd);
	w.peers[1].fd = -1;
	await(&w, &w.peers[1], VS_WPLAIN_OVER);
	vs_dport_view(w.peers[1].port, &view);
	assert_int_equal(view.plain.end, VS_PLAIN_RUNS);
	assert_int_equal(view.plain.error, ECONNRESET);
	vs_dport_remove(w.peers[1].port, 0);
	w.peers[1].port = NULL;
	everybody_to_everybody(&w, 10, 5);
	close_world(&w);
}

/* One that has not sent a frame gets none. */
static void test_stranger_hears_nothing(void **state)
{
	struct world w;
	struct vs_dport_view view;
	(void)state;
	open_world(&w, 2);
	add_stream(&w, 0);
	add_stream(&w, 1);
	for (uint32_t n = 0; n < 10; n++)
		send_frame(&w, &w.peers[0], PEERS, n);
	await(&w, &w.peers[0], VS_WPLAIN_UP);
	vs_datapath_quiesce(w.path);
	vs_dport_view(w.peers[1].port, &view);
	assert_int_equal(view.counters.frames_out, 0);
	assert_false(view.plain.up);
	send_frame(&w, &w.peers[1], PEERS, 1);
	expect(&w, &w.peers[0], 1, PEERS, 1);
	send_frame(&w, &w.peers[0], PEERS, 77);
	expect(&w, &w.peers[1], 0, PEERS, 77);
	close_world(&w);
}

/* A peer that does not read costs its queue, and hears whole frames in order when it does. */
static void test_peer_that_does_not_read(void **state)
{
	struct world w;
	struct vs_dport_view view;
	uint32_t last = 0, heard = 0;
	(void)state;
	open_world(&w, 2);
	add_peers(&w, 3);
	for (uint32_t n = 1; n <= 8000; n++) {
		send_frame(&w, &w.peers[0], 1, n);
		if (n % 1000 == 0) {
			send_frame(&w, &w.peers[0], 2, n);
			expect(&w, &w.peers[2], 0, 2, n);
		}
	}
	vs_dport_view(w.peers[1].port, &view);
	assert_true(view.plain.stats.queue.bytes <= 4u << 20);
	assert_true(view.plain.stats.queue.dropped_full > 0);
	/* A mark for the end. */
	send_frame(&w, &w.peers[2], 1, 9999);
	while (last != 9999) {
		if (!w.peers[1].heard.frames.count)
			assert_true(receive(&w, &w.peers[1]));
		struct vs_frame *frame = vs_frame_list_pop(&w.peers[1].heard.frames);
		if (!frame)
			continue;
		uint8_t wanted[FRAME_MAX];
		uint32_t number = vs_get_be32(vs_frame_bytes(frame) + 14);
		size_t len = make_frame(wanted, vs_frame_bytes(frame)[11], 1, number);
		assert_int_equal(frame->len, len);
		assert_memory_equal(vs_frame_bytes(frame), wanted, len);
		heard++;
		if (number == 9999)
			last = number;
		vs_frame_unref(frame);
	}
	assert_true(heard > 100 && heard < 8000);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everybody_to_everybody),
		cmocka_unit_test(test_row),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_stranger_hears_nothing),
		cmocka_unit_test(test_peer_that_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
