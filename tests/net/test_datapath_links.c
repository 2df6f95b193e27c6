/* io/datapath with links: members that reach it over UDP as a client does, each by a worker of its own, beside TAPs.
 * Frames cross from link to link in order and once each whatever workers serve them; links that come up while they are
 * removed. The sessions' keys are given to both ends: handshakes are tested elsewhere. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "datapath_lan.h"
#include "io/thread.h"
#include "io/udp_socket.h"

static const unsigned workers_of[] = { 1, 2, 4 };

#define TAPS 2u
#define MEMBERS 4u
#define POOL_BYTES (32u << 20)

/* --- The server's side -------------------------------------------------------------------------------------------- */

static struct vs_addr open_sockets(struct lan *lan)
{
	struct vs_addr server;
	unsigned workers = vs_datapath_workers(lan->path);
	assert_int_equal(vs_addr_parse("127.0.0.1", 0, &server), 0);
	for (unsigned i = 0; i < workers; i++) {
		int fd = vs_udp_open(&server, true);
		assert_true(fd >= 0);
		server = vs_udp_local(fd);
		assert_int_equal(vs_udp_steer(fd), 0);
		assert_int_equal(vs_datapath_open_udp(lan->path, i, fd, -1), 0);
	}
	return server;
}

static struct vs_link_config link_config(bool initiator)
{
	struct vs_link_config config = {
		.crypto = vs_crypto_default(),
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.datagram_max = 1400,
		.initiator = initiator,
	};
	/* However slow this machine is, nothing is to be dropped for being late. */
	config.queue.codel.target_usec = config.queue.codel.interval_usec = 60 * VS_SEC;
	return config;
}

static struct vs_dport *add_link(struct lan *lan, unsigned number, uint32_t *index)
{
	struct vs_port_config config = lan_port_config(number);
	struct vs_link_config link = link_config(false);
	struct vs_dport *port;
	assert_int_equal(vs_datapath_add_link(lan->path, &link, &config, NULL, &port), 0);
	assert_int_equal(vs_dport_take_index(port, index), 0);
	assert_int_equal(*index & ((1u << VS_INDEX_WORKER_BITS) - 1), vs_dport_worker(port));
	return port;
}

static struct vs_params session_params(void)
{
	return (struct vs_params){
		.version = VS_PROTOCOL_VERSION,
		.kcp = vs_kcp_config_default(),
		.cipher = VS_CIPHER_CHACHA20_POLY1305,
		.mode = VS_MODE_RELIABLE,
		.congestion = VS_CONGESTION_BBR,
		.lanes = 16,
		.datagram_max = 1400,
		.mtu = PC_MTU,
		.keepalive_usec = VS_KEEPALIVE_DEFAULT,
		.max_age_usec = 60 * VS_SEC,
		.incarnation = 1,
	};
}

static struct vs_session_keys session_keys(bool initiator, uint32_t local, uint32_t remote)
{
	struct vs_session_keys keys = {
		.cipher = VS_CIPHER_CHACHA20_POLY1305,
		.local_index = local,
		.remote_index = remote,
		.initiator = initiator,
	};
	memset(keys.send, initiator ? 1 : 2, sizeof(keys.send));
	memset(keys.recv, initiator ? 2 : 1, sizeof(keys.recv));
	return keys;
}

/* --- A member ----------------------------------------------------------------------------------------------------- */

/* What vswitchc is: a worker with a TAP and a link. */
struct member {
	struct vs_loop *loop;
	struct vs_bridge *bridge;
	struct vs_worker *worker;
	pthread_t thread;
};

static void ignore_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path)
{
	(void)arg, (void)datagram, (void)len, (void)path;
}

static void ignore_events(void *arg, struct vs_wport *port, unsigned events)
{
	(void)arg, (void)port, (void)events;
}

static void ignore_gone(void *arg, struct vs_wport *port, int error)
{
	(void)arg, (void)port, (void)error;
}

static uint16_t add_member_port(struct member *m, unsigned number)
{
	struct vs_port_config config = lan_port_config(number);
	uint16_t id;
	assert_int_equal(vs_bridge_port_add(m->bridge, &config, 0, &id), 0);
	vs_bridge_port_set_up(m->bridge, id, true);
	return id;
}

static struct vs_wport *open_member(struct member *m, const struct vs_addr *server, int tap)
{
	struct vs_bridge_config bridge = VS_BRIDGE_CONFIG_DEFAULT;
	const struct vs_worker_handler handler = {
		.handshake = ignore_handshake, .link_events = ignore_events, .tap_gone = ignore_gone
	};
	struct vs_link_config link = link_config(true);
	const struct vs_path path = { .peer = *server };
	struct vs_addr local;
	struct vs_wport *port;
	m->loop = vs_loop_new();
	m->bridge = vs_bridge_new(&bridge);
	const struct vs_worker_config config = { .bridge = m->bridge, .pool_bytes = POOL_BYTES, .flow_key = 1 };
	m->worker = vs_worker_new(m->loop, &config, &handler);
	assert_non_null(m->worker);
	assert_int_equal(vs_addr_parse("127.0.0.1", 0, &local), 0);
	assert_int_equal(vs_worker_open_udp(m->worker, vs_udp_open(&local, false), -1, false), 0);
	assert_int_equal(vs_worker_add_tap(m->worker, tap, PC_MTU, add_member_port(m, 0), NULL, &port), 0);
	assert_int_equal(vs_worker_add_link(m->worker, &link, add_member_port(m, 1), NULL, &port), 0);
	vs_link_set_path(vs_wport_link(port), &path, vs_loop_now(m->loop));
	return port;
}

static void *run_member(void *arg)
{
	struct member *m = arg;
	vs_worker_adopt(m->worker);
	return vs_loop_run(m->loop) == 0 ? arg : NULL;
}

/* Connects PC `number`, whose TAP is the member's. */
static void connect_member(struct lan *lan, struct member *m, unsigned number, const struct vs_addr *server)
{
	struct pc *pc = &lan->pcs[number];
	struct vs_params params = session_params();
	uint32_t ours, theirs;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	struct vs_wport *port = open_member(m, server, fds[0]);
	*pc = (struct pc){ .number = number, .fd = fds[1], .port = add_link(lan, number, &theirs) };
	assert_int_equal(vs_worker_take_index(m->worker, port, &ours), 0);
	struct vs_session_keys at_server = session_keys(false, theirs, ours);
	struct vs_session_keys here = session_keys(true, ours, theirs);
	assert_int_equal(vs_dport_install(pc->port, &at_server, &params), 0);
	assert_int_equal(vs_wport_install(port, &here, &params), 0);
	assert_int_equal(vs_thread_start(&m->thread, "member", run_member, m), 0);
}

static void close_member(struct member *m)
{
	void *result;
	vs_loop_stop(m->loop);
	assert_int_equal(pthread_join(m->thread, &result), 0);
	assert_ptr_equal(result, m);
	vs_worker_adopt(m->worker);
	vs_worker_free(m->worker);
	vs_bridge_free(m->bridge);
	vs_loop_free(m->loop);
}

static void test_members_talk(void **state)
{
	enum { PCS = TAPS + MEMBERS };
	struct lan lan;
	struct member members[MEMBERS];
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(workers_of); i++) {
		lan_open(&lan, workers_of[i], TAPS);
		struct vs_addr server = open_sockets(&lan);
		for (unsigned m = 0; m < MEMBERS; m++)
			connect_member(&lan, &members[m], TAPS + m, &server);
		while (lan.links_up < MEMBERS)
			assert_int_equal(vs_loop_run(lan.loop), 0);
		lan_talk(&lan, PCS, true, 10);
		lan_talk(&lan, PCS, false, 20);
		for (unsigned m = 0; m < MEMBERS; m++) {
			struct vs_dport_view view;
			vs_dport_view(lan.pcs[TAPS + m].port, &view);
			assert_true(view.up);
			assert_int_equal(view.stats.rx_frames, 10 * BURST + 20 * BURST * (PCS - 1));
			assert_int_equal(view.stats.tx_frames, 30 * BURST * (PCS - 1));
			assert_int_equal(view.stats.rx_frames, view.counters.frames_in);
		}
		struct vs_worker_stats stats = lan_stats(&lan);
		assert_int_equal(stats.sessions, MEMBERS);
		for (unsigned w = 0; w < workers_of[i]; w++) {
			vs_datapath_stats(lan.path, w, &stats);
			assert_int_equal(stats.sessions, MEMBERS / workers_of[i]);
			assert_int_equal(stats.drops.count[VS_DROP_NO_SESSION], 0);
		}
		lan_close(&lan);
		for (unsigned m = 0; m < MEMBERS; m++)
			close_member(&members[m]);
	}
}

/* --- Up and down at once ------------------------------------------------------------------------------------------ */

/* The first datagram of a session, which makes the link come up; it holds a frame to all. */
static size_t first_datagram(struct vs_pool *pool, uint32_t theirs, const struct vs_addr *server,
			     uint8_t out[VS_DATAGRAM_MAX])
{
	struct vs_link_config config = link_config(true);
	struct vs_params params = session_params();
	struct vs_session_keys keys = session_keys(true, 1, theirs);
	const struct vs_path path = { .peer = *server };
	struct vs_link_sent sent;
	uint8_t bytes[FRAME_ROOM];
	struct vs_frame *frame = vs_frame_new(pool, lan_frame(bytes, PCS_MAX - 1, TO_ALL, 0, 0));
	assert_non_null(frame);
	memcpy(vs_frame_bytes(frame), bytes, frame->len);
	config.pool = pool;
	struct vs_link *link = vs_link_new(&config, VS_SEC);
	assert_non_null(link);
	vs_link_set_path(link, &path, VS_SEC);
	assert_int_equal(vs_link_install(link, &keys, &params, VS_SEC), 0);
	vs_link_send(link, frame, VS_SEC);
	size_t len = vs_link_output(link, VS_SEC, out, VS_DATAGRAM_MAX, &sent);
	vs_link_free(link);
	return len;
}

struct shouter {
	const struct pc *pc;
	atomic_bool stop;
	pthread_t thread;
};

static void *shout(void *arg)
{
	struct shouter *s = arg;
	struct heard heard;
	for (uint32_t number = 0; !atomic_load(&s->stop); number++) {
		lan_send(s->pc, TO_ALL, number, 0);
		while (lan_hear(s->pc, 0, &heard))
			;
	}
	return NULL;
}

/* A link whose peer is heard for the first time in the moment in which it is removed, among floods: no frame goes to a
 * port that is not there any more. */
static void test_up_and_removed(void **state)
{
	enum { ROUNDS = 400, SHOUTERS = 2 };
	struct shouter shouters[SHOUTERS];
	struct lan lan;
	uint8_t datagram[VS_DATAGRAM_MAX];
	uint32_t index;
	(void)state;
	lan_open(&lan, 2, SHOUTERS);
	struct vs_addr server = open_sockets(&lan);
	struct vs_pool *pool = vs_pool_new(1 << 20);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (unsigned i = 0; i < SHOUTERS; i++) {
		shouters[i].pc = &lan.pcs[i];
		atomic_init(&shouters[i].stop, false);
		assert_int_equal(vs_thread_start(&shouters[i].thread, "shout", shout, &shouters[i]), 0);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct timespec pause = { .tv_nsec = round % 40 * 5000 };
		struct vs_params params = session_params();
		struct vs_dport *port = add_link(&lan, SHOUTERS, &index);
		struct vs_session_keys keys = session_keys(false, index, 1);
		size_t len = first_datagram(pool, index, &server, datagram);
		assert_true(len > 0);
		assert_int_equal(vs_dport_install(port, &keys, &params), 0);
		assert_int_equal(sendto(fd, datagram, len, 0, &server.sa, vs_addr_len(&server)), len);
		nanosleep(&pause, NULL);
		vs_dport_remove(port, round % 2 ? VS_CLOSE_KICKED : 0);
	}
	for (unsigned i = 0; i < SHOUTERS; i++) {
		atomic_store(&shouters[i].stop, true);
		assert_int_equal(pthread_join(shouters[i].thread, NULL), 0);
	}
	assert_int_equal(lan_stats(&lan).sessions, 0);
	close(fd);
	vs_pool_free(pool);
	lan_close(&lan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members_talk),
		cmocka_unit_test(test_up_and_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
