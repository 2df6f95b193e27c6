/* io/datapath: frames between ports of one and of several workers, in order and once each; ports that come, go and
 * change meanwhile, and the end of it all; what does not fit is counted. */
#include "io/datapath.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "datapath_lan.h"
#include "io/thread.h"

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
	while (lan_stats(lan).bridge.flooded < 100)
		sched_yield();
}

/* Under full load, with all rings in use: a port more or less, and the end with all ports in place. */
static void test_end_under_load(void **state)
{
	enum { PCS = 4 };
	struct lan lan;
	pthread_t threads[PCS_MAX];
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(workers_of); i++) {
		for (int round = 0; round < 3; round++) {
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
	enum { FRAMES = 20000 };
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
	assert_in_range(dropped, 1, FRAMES - 8192);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everybody_to_everybody),
		cmocka_unit_test(test_ports_come_and_go),
		cmocka_unit_test(test_end_under_load),
		cmocka_unit_test(test_full_ring),
		cmocka_unit_test(test_forms_across_workers),
		cmocka_unit_test(test_device_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
