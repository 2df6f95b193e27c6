/* io/datapath: frames between ports of one and of several workers, in order and once each; ports that come, go and change
 * meanwhile; what does not fit is counted; start and end. */
#include "io/datapath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "datapath_lan.h"
#include "io/thread.h"
#include "io/udp_socket.h"
#include "link/wire.h"

static const unsigned workers_of[] = { 1, 2, 4 };

#define SOON 5000 /* ms */

/* --- Everybody to everybody --------------------------------------------------------------------------------------- */

static void check_counters(struct lan *lan, unsigned pcs, uint64_t sent, uint64_t heard)
{
	static const struct vs_drops none;
	for (unsigned i = 0; i < pcs; i++) {
		struct vs_dport_view view;
		vs_dport_view(lan->pcs[i].port, &view);
		assert_int_equal(view.counters.frames_in, sent);
		assert_int_equal(view.counters.frames_out, heard);
		assert_memory_equal(&view.counters.drops, &none, sizeof(none));
	}
}

static void test_everybody_to_everybody(void **state)
{
	enum { PCS = 6, ROUNDS = 60 };
	static const struct vs_drops none;
	struct lan lan;
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(workers_of); i++) {
		lan_open(&lan, workers_of[i], PCS);
		for (unsigned pc = 0; pc < PCS; pc++)
			assert_int_equal(vs_dport_worker(lan.pcs[pc].port), pc % workers_of[i]);
		lan_talk(&lan, PCS, true, ROUNDS);
		check_counters(&lan, PCS, ROUNDS * BURST, ROUNDS * BURST * (PCS - 1));
		lan_talk(&lan, PCS, false, ROUNDS);
		check_counters(&lan, PCS, ROUNDS * BURST * PCS, ROUNDS * BURST * (PCS - 1) * 2);
		struct vs_worker_stats stats = lan_stats(&lan);
		assert_int_equal(stats.bridge.flooded, ROUNDS * BURST * PCS);
		assert_int_equal(stats.bridge.unicast, ROUNDS * BURST * PCS * (PCS - 1));
		assert_memory_equal(&stats.bridge.drops, &none, sizeof(none));
		assert_memory_equal(&stats.drops, &none, sizeof(none));
		lan_close(&lan);
	}
}

/* --- Changes under way -------------------------------------------------------------------------------------------- */

/* Changes the last two PCs' ports for as long as the others talk. */
struct churn {
	struct lan *lan;
	struct vs_timer timer;
	unsigned changes;
	uint32_t number;
};

#define STEADY 4u /* PCs that nobody touches */

static void churn(void *arg, uint64_t now)
{
	struct churn *c = arg;
	unsigned number = STEADY + c->changes % 2;
	struct vs_port_config config = lan_port_config(number);
	struct vs_dport_view view;
	config.mac_limit = c->changes % 3;
	config.isolated = c->changes % 5 == 0;
	/* To somebody unknown: a flood that meets ports that are going. */
	lan_send(&c->lan->pcs[number], PCS_MAX - 1, c->number++, 0);
	if (c->changes++ % 4 < 2) {
		assert_int_equal(vs_dport_configure(c->lan->pcs[number].port, &config), 0);
		vs_dport_view(c->lan->pcs[number].port, &view);
	} else {
		lan_remove_pc(c->lan, number);
		lan_add_pc(c->lan, number, &config);
	}
	lan_send(&c->lan->pcs[number], PCS_MAX - 1, c->number++, 0);
	vs_timer_set(&c->timer, now);
}

static void talk_under_churn(unsigned workers, bool broadcast)
{
	struct lan lan;
	struct churn c = { .lan = &lan };
	lan_open(&lan, workers, STEADY + 2);
	/* The others' floods are not for the talkers' ears. */
	for (unsigned i = 0; i < STEADY; i++) {
		struct vs_port_config config = lan_port_config(i);
		config.vlan = (struct vs_vlan_rule){ .mode = VS_VLAN_ACCESS, .vid = 2 };
		assert_int_equal(vs_dport_configure(lan.pcs[i].port, &config), 0);
	}
	lan_talk(&lan, STEADY, true, 1);
	assert_int_equal(vs_timer_init(&c.timer, lan.loop, churn, &c), 0);
	vs_timer_set(&c.timer, vs_loop_now(lan.loop));
	lan_talk(&lan, STEADY, broadcast, 200);
	assert_true(c.changes > 10);
	vs_timer_fini(&c.timer);
	lan_close(&lan);
}

static void test_ports_come_and_go(void **state)
{
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(workers_of); i++) {
		talk_under_churn(workers_of[i], true);
		talk_under_churn(workers_of[i], false);
	}
}

/* Sends to all as fast as it can, until there is nobody at the other end. */
static void *shout(void *arg)
{
	const struct pc *pc = arg;
	uint32_t number = 0;
	struct heard heard;
	do {
		while (lan_hear(pc, 0, &heard) && heard.from != PCS_MAX)
			;
		errno = 0;
	} while (lan_send(pc, TO_ALL, number++, 0) || errno == EAGAIN);
	return NULL;
}

static void start_shouting(struct lan *lan, pthread_t threads[PCS_MAX], unsigned pcs)
{
	for (unsigned i = 0; i < pcs; i++)
		assert_int_equal(vs_thread_start(&threads[i], "shout", shout, &lan->pcs[i]), 0);
	/* Until frames are everywhere. */
	while (lan_stats(lan).bridge.flooded < 300)
		;
}

/* Under full load, with all rings in use: a port more or less, and the end with all ports in place. */
static void test_end_under_load(void **state)
{
	enum { PCS = 6 };
	struct lan lan;
	pthread_t threads[PCS_MAX];
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(workers_of); i++) {
		for (int round = 0; round < 4; round++) {
			lan_open(&lan, workers_of[i], PCS);
			start_shouting(&lan, threads, PCS);
			vs_dport_remove(lan.pcs[0].port, 0);
			vs_datapath_free(lan.path);
			for (unsigned pc = 0; pc < PCS; pc++) {
				assert_int_equal(pthread_join(threads[pc], NULL), 0);
				close(lan.pcs[pc].fd);
			}
			vs_wakeup_free(lan.finished);
			vs_loop_free(lan.loop);
		}
	}
}

/* --- What does not fit -------------------------------------------------------------------------------------------- */

/* A port of worker 1 whose device blocks it for as long as nobody reads the other end. */
static struct vs_dport *add_blocking(struct lan *lan, int *end)
{
	struct vs_port_config config = lan_port_config(PCS_MAX - 1);
	struct vs_dport *port;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(vs_datapath_add_tap(lan->path, fds[0], PC_MTU, &config, NULL, &port), 0);
	assert_int_equal(vs_dport_worker(port), 1);
	*end = fds[1];
	return port;
}

/* Frames are dropped and counted by the worker that has no room for them, and the rest comes in order. */
static void test_full_ring(void **state)
{
	enum { FRAMES = 6000 };
	struct lan lan;
	struct pc blocked = { .number = PCS_MAX - 1 };
	struct vs_worker_stats stats;
	struct heard heard;
	(void)state;
	lan_open(&lan, 2, 1);
	struct vs_dport *port = add_blocking(&lan, &blocked.fd);
	for (uint32_t i = 0; i < FRAMES; i++)
		while (!lan_send(&lan.pcs[0], TO_ALL, i, 0))
			;
	do
		vs_datapath_stats(lan.path, 0, &stats);
	while (stats.bridge.flooded < FRAMES);
	uint64_t dropped = stats.drops.count[VS_DROP_RING_FULL];
	assert_in_range(dropped, 1, FRAMES - 1024);
	uint32_t n = 0, next = 0;
	for (; n < FRAMES - dropped; n++) {
		assert_true(lan_hear(&blocked, SOON, &heard));
		assert_int_equal(heard.from, 0);
		assert_true(heard.number >= next);
		next = heard.number + 1;
	}
	assert_false(lan_hear(&blocked, 50, &heard));
	vs_dport_remove(port, 0);
	close(blocked.fd);
	lan_close(&lan);
}

/* --- VLANs across workers ----------------------------------------------------------------------------------------- */

#define VID 5

static void set_vlan(struct lan *lan, unsigned number, struct vs_vlan_rule rule)
{
	struct vs_port_config config = lan_port_config(number);
	config.vlan = rule;
	assert_int_equal(vs_dport_configure(lan->pcs[number].port, &config), 0);
}

static void expect(const struct lan *lan, unsigned pc, unsigned from, uint32_t number, uint16_t tci)
{
	struct heard heard;
	assert_true(lan_hear(&lan->pcs[pc], SOON, &heard));
	assert_int_equal(heard.from, from);
	assert_int_equal(heard.number, number);
	assert_int_equal(heard.tci, tci);
}

/* PCs 0-3 on trunks, 4-6 on access ports, 7 in another VLAN: on four workers each has a neighbour of both kinds. */
static void test_forms_across_workers(void **state)
{
	static const uint16_t priority = 0x6000;
	struct vs_vlan_rule trunk = { .mode = VS_VLAN_TRUNK }, access = { .mode = VS_VLAN_ACCESS, .vid = VID };
	struct vs_vlan_rule other = { .mode = VS_VLAN_ACCESS, .vid = VID + 1 };
	struct heard heard;
	(void)state;
	vs_vlan_set_add(&trunk.members, VID);
	for (size_t i = 0; i < VS_ARRAY_SIZE(workers_of); i++) {
		struct lan lan;
		lan_open(&lan, workers_of[i], PCS_MAX);
		for (unsigned pc = 0; pc < PCS_MAX; pc++)
			set_vlan(&lan, pc, pc < 4 ? trunk : pc < 7 ? access : other);
		for (uint32_t number = 0; number < 200; number++) {
			unsigned from = number % 7, tci = from < 4 ? priority | VID : 0;
			assert_true(lan_send(&lan.pcs[from], TO_ALL, number, (uint16_t)tci));
			for (unsigned to = 0; to < 7; to++)
				if (to != from)
					expect(&lan, to, from, number, to < 4 ? (from < 4 ? (uint16_t)tci : VID) : 0);
		}
		assert_false(lan_hear(&lan.pcs[7], 0, &heard));
		lan_close(&lan);
	}
}

/* --- Devices that go ---------------------------------------------------------------------------------------------- */

static void test_device_goes(void **state)
{
	struct lan lan;
	(void)state;
	lan_open(&lan, 2, 3);
	struct vs_port_config config = lan_port_config(1);
	struct pc *pc = &lan.pcs[1];
	/* A socket that is closed with something unread gives the other end an error, as a deleted device does. */
	assert_true(lan_send(&lan.pcs[0], TO_ALL, 0, 0));
	expect(&lan, 2, 0, 0, 0);
	while (lan_stats(&lan).bridge.flooded < 1)
		;
	vs_datapath_quiesce(lan.path);
	close(pc->fd);
	assert_int_equal(vs_loop_run(lan.loop), 0);
	assert_ptr_equal(lan.gone, pc->port);
	assert_int_equal(lan.gone_error, ECONNRESET);
	vs_dport_remove(pc->port, 0);
	lan_add_pc(&lan, 1, &config);
	lan_talk(&lan, 3, true, 2);
	lan_close(&lan);
}

/* --- Handshakes --------------------------------------------------------------------------------------------------- */

/* A stranger, to whom the deciding thread answers with what he has sent. */
struct stranger {
	struct lan lan;
	struct vs_addr server;
	int fd;
	unsigned answers;
	struct vs_timer timer;
	unsigned wanted; /* answers and drops */
};

static uint64_t accounted_for(struct stranger *s)
{
	struct vs_worker_stats stats = lan_stats(&s->lan);
	return s->answers + stats.drops.count[VS_DROP_HANDSHAKE_LIMIT] + stats.drops.count[VS_DROP_SEND_FAILED] +
	       stats.drops.count[VS_DROP_BAD_HANDSHAKE];
}

static void on_tick(void *arg, uint64_t now)
{
	struct stranger *s = arg;
	if (accounted_for(s) >= s->wanted)
		vs_loop_stop(s->lan.loop);
	vs_timer_set(&s->timer, now + 5 * VS_MSEC);
}

static void on_answer(void *arg, int fd, unsigned events)
{
	struct stranger *s = arg;
	uint8_t datagram[VS_HANDSHAKE_MAX + 1];
	struct vs_addr from = { 0 };
	socklen_t len = sizeof(from);
	(void)events;
	while (recvfrom(fd, datagram, sizeof(datagram), MSG_DONTWAIT, &from.sa, &len) > 0) {
		assert_int_equal(datagram[0], VS_TYPE_INITIATION);
		assert_int_equal(vs_addr_port(&from), vs_addr_port(&s->server));
		s->answers++;
	}
}

static void open_stranger(struct stranger *s, unsigned workers)
{
	int buffer = 4 << 20;
	lan_open(&s->lan, workers, 0);
	assert_int_equal(vs_addr_parse("127.0.0.1", 0, &s->server), 0);
	for (unsigned i = 0; i < workers; i++) {
		int fd = vs_udp_open(&s->server, true);
		assert_true(fd >= 0);
		s->server = vs_udp_local(fd);
		assert_int_equal(vs_udp_steer(fd), 0);
		assert_int_equal(vs_datapath_open_udp(s->lan.path, i, fd, -1), 0);
	}
	s->answers = 0;
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)!setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	assert_int_equal(vs_timer_init(&s->timer, s->lan.loop, on_tick, s), 0);
}

static void ask(const struct stranger *s, unsigned n, size_t len)
{
	uint8_t datagram[VS_HANDSHAKE_MAX + 1] = { VS_TYPE_INITIATION };
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(sendto(s->fd, datagram, len, 0, &s->server.sa, vs_addr_len(&s->server)), len);
}

/* Until so many have been answered, or dropped and counted. */
static void wait_for(struct stranger *s, unsigned wanted)
{
	struct vs_watch *watch = vs_watch_new(s->lan.loop, s->fd, VS_READ, on_answer, s);
	assert_non_null(watch);
	s->wanted = wanted;
	vs_timer_set(&s->timer, vs_loop_now(s->lan.loop));
	assert_int_equal(vs_loop_run(s->lan.loop), 0);
	assert_int_equal(accounted_for(s), wanted);
	vs_watch_free(watch);
}

static void close_stranger(struct stranger *s)
{
	vs_timer_fini(&s->timer);
	close(s->fd);
	lan_close(&s->lan);
}

static void test_handshakes(void **state)
{
	struct stranger s;
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(workers_of); i++) {
		open_stranger(&s, workers_of[i]);
		ask(&s, 40, VS_HANDSHAKE_MAX);
		wait_for(&s, 40);
		assert_int_equal(s.answers, 40);
		ask(&s, 1, VS_HANDSHAKE_MAX + 1);
		wait_for(&s, 41);
		assert_int_equal(lan_stats(&s.lan).drops.count[VS_DROP_BAD_HANDSHAKE], 1);
		close_stranger(&s);
	}
}

/* While the deciding thread is busy, questions beyond a bound are dropped, and each is accounted for. */
static void test_flood_of_handshakes(void **state)
{
	struct stranger s;
	(void)state;
	open_stranger(&s, 2);
	ask(&s, 1000, 100);
	while (lan_stats(&s.lan).carrier.rx_datagrams < 1000)
		;
	wait_for(&s, 1000);
	assert_in_range(s.answers, 1, 128);
	assert_in_range(lan_stats(&s.lan).drops.count[VS_DROP_HANDSHAKE_LIMIT], 1000 - 128, 1000);
	close_stranger(&s);
}

/* --- Start -------------------------------------------------------------------------------------------------------- */

static unsigned open_descriptors(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Whichever descriptor is the one too many: an error that says so, and nothing is left. */
static void test_start_without_descriptors(void **state)
{
	const struct vs_datapath_config config = {
		.bridge = { .ports_max = 16, .workers = 4, .mac_entries = VS_MAC_ENTRIES_MIN,
			    .aging_usec = VS_MAC_AGING_DEFAULT },
		.pool_bytes = 1 << 20,
	};
	const struct vs_datapath_handler handler = { 0 };
	struct vs_datapath *path = NULL;
	struct rlimit before, limit;
	unsigned failures = 0;
	(void)state;
	struct vs_loop *loop = vs_loop_new();
	unsigned open = open_descriptors();
	int next = dup(STDERR_FILENO);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	for (limit.rlim_cur = (rlim_t)next; !path; limit.rlim_cur++) {
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		path = vs_datapath_new(loop, &config, &handler);
		int error = errno;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (!path) {
			failures++;
			assert_int_equal(error, EMFILE);
			assert_int_equal(open_descriptors(), open);
		}
	}
	assert_true(failures >= 4 * 3);
	vs_datapath_free(path);
	assert_int_equal(open_descriptors(), open);
	vs_loop_free(loop);
	vs_datapath_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everybody_to_everybody),
		cmocka_unit_test(test_ports_come_and_go),
		cmocka_unit_test(test_end_under_load),
		cmocka_unit_test(test_full_ring),
		cmocka_unit_test(test_forms_across_workers),
		cmocka_unit_test(test_device_goes),
		cmocka_unit_test(test_handshakes),
		cmocka_unit_test(test_flood_of_handshakes),
		cmocka_unit_test(test_start_without_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
