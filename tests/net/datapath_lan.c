#include "datapath_lan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "io/thread.h"

#define ETHERTYPE 0x88b5 /* IEEE 802, for local experiments */
#define HEADER (14 + 4 + 1 + 1 + 4)
#define POOL_BYTES (64u << 20)
#define PATIENCE_MSEC 20000

/* --- The LAN ------------------------------------------------------------------------------------------------------ */

static void on_link_events(void *arg, struct vs_dport *port, unsigned events)
{
	struct lan *lan = arg;

	(void)port;
	if (!(events & VS_LINK_UP))
		return;
	lan->links_up++;
	vs_loop_stop(lan->loop);
}

static void on_tap_gone(void *arg, struct vs_dport *port, int error)
{
	struct lan *lan = arg;

	lan->gone = port;
	lan->gone_error = error;
	vs_loop_stop(lan->loop);
}

static void on_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path, unsigned worker)
{
	struct lan *lan = arg;

	vs_datapath_send(lan->path, worker, datagram, len, path);
}

static void on_finished(void *arg)
{
	struct lan *lan = arg;

	if (atomic_load(&lan->talking) == 0)
		vs_loop_stop(lan->loop);
}

struct vs_port_config lan_port_config(unsigned number)
{
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;

	snprintf(config.name, sizeof(config.name), "pc%u", number);
	return config;
}

void lan_open(struct lan *lan, unsigned workers, unsigned pcs)
{
	struct vs_datapath_config config = { .bridge = VS_BRIDGE_CONFIG_DEFAULT, .pool_bytes = POOL_BYTES };
	const struct vs_datapath_handler handler = {
		.handshake = on_handshake, .link_events = on_link_events, .tap_gone = on_tap_gone, .arg = lan
	};
	*lan = (struct lan){ .loop = vs_loop_new() };
	assert_non_null(lan->loop);
	lan->finished = vs_wakeup_new(lan->loop, on_finished, lan);
	assert_non_null(lan->finished);
	config.bridge.workers = (uint8_t)workers;
	lan->path = vs_datapath_new(lan->loop, &config, &handler);
	assert_non_null(lan->path);
	for (unsigned i = 0; i < pcs; i++) {
		struct vs_port_config port = lan_port_config(i);
		lan_add_pc(lan, i, &port);
	}
}

void lan_close(struct lan *lan)
{
	struct timespec pause = { .tv_nsec = 1000 * 1000 };

	/* Frames that nobody waited for may be under way still. */
	for (int i = 0; i < PATIENCE_MSEC && lan_stats(lan).pool.bytes_used; i++)
		nanosleep(&pause, NULL);
	assert_int_equal(lan_stats(lan).pool.bytes_used, 0);
	for (unsigned i = 0; i < PCS_MAX; i++)
		if (lan->pcs[i].port)
			lan_remove_pc(lan, i);
	vs_datapath_free(lan->path);
	vs_wakeup_free(lan->finished);
	vs_loop_free(lan->loop);
}

void lan_add_pc(struct lan *lan, unsigned number, const struct vs_port_config *config)
{
	struct pc *pc = &lan->pcs[number];
	int fds[2], room = 1 << 20;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	(void)!setsockopt(fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	(void)!setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	*pc = (struct pc){ .number = number, .fd = fds[1] };
	assert_int_equal(vs_datapath_add_tap(lan->path, fds[0], PC_MTU, config, pc, &pc->port), 0);
	assert_ptr_equal(vs_dport_user(pc->port), pc);
}

void lan_remove_pc(struct lan *lan, unsigned number)
{
	struct pc *pc = &lan->pcs[number];

	vs_dport_remove(pc->port, 0);
	close(pc->fd);
	*pc = (struct pc){ .number = number };
}

struct vs_worker_stats lan_stats(struct lan *lan)
{
	struct vs_worker_stats sum = { 0 };

	for (unsigned i = 0; i < vs_datapath_workers(lan->path); i++) {
		struct vs_worker_stats one;
		vs_datapath_stats(lan->path, i, &one);
		vs_worker_stats_add(&sum, &one);
	}
	return sum;
}

/* --- Frames ------------------------------------------------------------------------------------------------------- */

static void put_mac(uint8_t *out, unsigned pc)
{
	memset(out, pc == TO_ALL ? 0xff : 0, 6);
	if (pc == TO_ALL)
		return;
	out[0] = 0x02;
	out[5] = (uint8_t)pc;
}

size_t lan_frame(uint8_t frame[FRAME_ROOM], unsigned from, unsigned to, uint32_t number, uint16_t tci)
{
	size_t len = 60 + (number * 131 + from) % 1400, at = 12;

	put_mac(frame, to);
	put_mac(frame + 6, from);
	if (tci) {
		vs_put_be16(frame + at, 0x8100);
		vs_put_be16(frame + at + 2, tci);
		at += 4;
		len += 4;
	}
	vs_put_be16(frame + at, ETHERTYPE);
	frame[at + 2] = (uint8_t)from;
	frame[at + 3] = (uint8_t)to;
	vs_put_be32(frame + at + 4, number);
	for (size_t i = at + 8; i < len; i++)
		frame[i] = (uint8_t)(number + i - at);
	return len;
}

/* Reads back what lan_frame() has written, byte for byte. */
static struct heard parse(const uint8_t *frame, size_t len)
{
	static const struct heard none = { .from = PCS_MAX };
	uint8_t expected[FRAME_ROOM];
	size_t at = 12;
	struct heard heard = { 0 };

	if (len < HEADER)
		return none;
	if (vs_get_be16(frame + at) == 0x8100) {
		heard.tci = vs_get_be16(frame + at + 2);
		at += 4;
	}
	heard.from = frame[at + 2];
	heard.to = frame[at + 3];
	heard.number = vs_get_be32(frame + at + 4);
	if (heard.from >= PCS_MAX || heard.to > PCS_MAX)
		return none;
	size_t expected_len = lan_frame(expected, heard.from, heard.to, heard.number, heard.tci);
	return len == expected_len && memcmp(frame, expected, len) == 0 ? heard : none;
}

bool lan_send(const struct pc *pc, unsigned to, uint32_t number, uint16_t tci)
{
	uint8_t frame[FRAME_ROOM];
	size_t len = lan_frame(frame, pc->number, to, number, tci);

	return send(pc->fd, frame, len, MSG_NOSIGNAL) == (ssize_t)len;
}

bool lan_hear(const struct pc *pc, int msec, struct heard *out)
{
	struct pollfd p = { .fd = pc->fd, .events = POLLIN };
	uint8_t frame[FRAME_ROOM];
	ssize_t n = recv(pc->fd, frame, sizeof(frame), 0);

	if (n < 0 && errno == EAGAIN && poll(&p, 1, msec) == 1)
		n = recv(pc->fd, frame, sizeof(frame), 0);
	if (n < 0)
		return false;
	*out = parse(frame, (size_t)n);
	return true;
}

/* --- Talkers ------------------------------------------------------------------------------------------------------ */

static void send_burst(struct talker *t)
{
	for (unsigned i = 0; i < BURST; i++) {
		if (t->broadcast)
			lan_send(t->pc, TO_ALL, t->sent, 0);
		for (unsigned to = 0; to < PCS_MAX && !t->broadcast; to++)
			if (t->mates >> to & 1)
				lan_send(t->pc, to, t->sent, 0);
		t->sent++;
	}
}

static bool has_heard_all(const struct talker *t)
{
	for (unsigned from = 0; from < PCS_MAX; from++)
		if (t->mates >> from & 1 && t->heard[from] < t->sent)
			return false;
	return true;
}

static void note(struct talker *t, const struct heard *heard)
{
	if (heard->from == PCS_MAX || heard->to != (t->broadcast ? TO_ALL : t->pc->number) ||
	    !(t->mates >> heard->from & 1)) {
		t->foreign++;
		return;
	}
	t->misordered += heard->number != t->heard[heard->from];
	t->heard[heard->from]++;
}

static void *talk(void *arg)
{
	struct talker *t = arg;
	struct heard heard;

	for (unsigned round = 0; round < t->rounds && !t->silent; round++) {
		send_burst(t);
		while (!has_heard_all(t) && !t->silent) {
			if (lan_hear(t->pc, PATIENCE_MSEC, &heard))
				note(t, &heard);
			else
				t->silent = 1;
		}
	}
	atomic_fetch_sub(&t->lan->talking, 1);
	vs_wakeup_signal(t->lan->finished);
	return NULL;
}

static void print_drops(const char *of, unsigned number, const struct vs_drops *drops)
{
	for (unsigned i = 0; i < VS_DROP_COUNT; i++)
		if (drops->count[i])
			print_message("%s %u: %llu %s\n", of, number, (unsigned long long)drops->count[i],
				      vs_drop_name((enum vs_drop)i));
}

/* For whoever has to find out why somebody has waited in vain. */
static void print_all_drops(struct lan *lan, unsigned pcs)
{
	struct vs_worker_stats stats;
	struct vs_dport_view view;
	for (unsigned i = 0; i < vs_datapath_workers(lan->path); i++) {
		vs_datapath_stats(lan->path, i, &stats);
		print_drops("worker", i, &stats.drops);
		print_drops("bridge of worker", i, &stats.bridge.drops);
	}
	for (unsigned i = 0; i < pcs; i++) {
		vs_dport_view(lan->pcs[i].port, &view);
		print_drops("port of pc", i, &view.counters.drops);
		print_drops("link of pc", i, &view.drops);
	}
}

void lan_talk(struct lan *lan, unsigned pcs, bool broadcast, unsigned rounds)
{
	struct talker talkers[PCS_MAX] = { 0 };
	struct heard extra;
	atomic_store(&lan->talking, pcs);
	for (unsigned i = 0; i < pcs; i++) {
		talkers[i] = (struct talker){
			.lan = lan,
			.pc = &lan->pcs[i],
			.mates = (uint16_t)(((1u << pcs) - 1) & ~(1u << i)),
			.broadcast = broadcast,
			.rounds = rounds,
		};
		assert_int_equal(vs_thread_start(&talkers[i].thread, "talker", talk, &talkers[i]), 0);
	}
	assert_int_equal(vs_loop_run(lan->loop), 0);
	for (unsigned i = 0; i < pcs; i++)
		assert_int_equal(pthread_join(talkers[i].thread, NULL), 0);
	vs_datapath_quiesce(lan->path);
	for (unsigned i = 0; i < pcs; i++) {
		if (talkers[i].silent)
			print_all_drops(lan, pcs);
		assert_int_equal(talkers[i].silent, 0);
		assert_int_equal(talkers[i].misordered, 0);
		assert_int_equal(talkers[i].foreign, 0);
		assert_int_equal(talkers[i].sent, rounds * BURST);
		assert_false(lan_hear(talkers[i].pc, 0, &extra));
	}
}
