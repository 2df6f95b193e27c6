/* io/datapath between its workers and the deciding thread: handshakes come there and are answered, in bounded numbers;
 * a start that fails leaves nothing. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "datapath_lan.h"
#include "io/udp_socket.h"
#include "link/wire.h"

static const unsigned workers_of[] = { 1, 2, 4 };

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
		ask(&s, 1, VS_INITIATION_SIZE - 1);
		wait_for(&s, 42);
		assert_int_equal(lan_stats(&s.lan).drops.count[VS_DROP_BAD_HANDSHAKE], 2);
		close_stranger(&s);
	}
}

/* While the deciding thread is busy, questions beyond a bound are dropped, and each is accounted for. */
static void test_flood_of_handshakes(void **state)
{
	struct stranger s;
	(void)state;
	open_stranger(&s, 2);
	ask(&s, 1000, VS_INITIATION_SIZE);
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
		cmocka_unit_test(test_handshakes),
		cmocka_unit_test(test_flood_of_handshakes),
		cmocka_unit_test(test_start_without_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
