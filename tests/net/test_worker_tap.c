/* A worker that hands frames to a TAP device with offloads: those of one flow that come in one turn leave in one write,
 * and come out of the kernel, at another device behind a bridge, as they went in and in their order; also where the
 * kernel refuses super-frames. The worker's other port is a socket pair that it takes for a TAP without offloads. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/gso.h"
#include "io/tap.h"
#include "io/worker.h"
#include "netns.h"
#include "superframe.h"

#define BRIDGE "vwbr"
#define OUT "vwout"
#define PLAIN "vwplain"
#define ACK 0x10
#define PSH 0x08

#define USO (0x20ul | 0x40ul) /* TUN_F_USO4, TUN_F_USO6, of Linux 6.2 */

/* Of a 64-bit word. */
#define LOW_HALF (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0)

static const struct superframe udp = { "udp", false, true, 0, 0, 0, 0, 0, 40 * 22 - 3, 22 };
static const struct superframe tagged = { "tagged", true, true, 1, 0, 0, 0, 0, 20 * 100, 100 };
static const struct superframe tcp = { "tcp", false, false, 0, 0, 12, ACK | PSH, 0, 10 * 1448, 1448 };
static const struct superframe single = { "one frame", true, false, 0, 0, 12, ACK, 0, 7, 8 };

static int out_fd, plain_fd, in_fd;
static bool have_uso;
static struct vs_pool *pool;
static struct vs_loop *loop;
static struct vs_bridge *bridge;
static struct vs_worker *worker;

/* --- The worker and its devices ----------------------------------------------------------------------------------- */

static int open_port(int control, const char *device, bool offload)
{
	struct vs_fault fault;
	int fd = vs_tap_open(device, offload, &fault);

	assert_true(fd >= 0);
	vs_netns_join_bridge(control, BRIDGE, device);
	return fd;
}

static void open_devices(void)
{
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	vs_netns_add_bridge(control, BRIDGE);
	out_fd = open_port(control, OUT, true);
	plain_fd = open_port(control, PLAIN, false);
	/* What vs_tap_open() has found, asked again. */
	have_uso = ioctl(out_fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | USO) == 0;
	close(control);
}

static void add_port(int fd)
{
	struct vs_port_config config = VS_PORT_CONFIG_DEFAULT;
	struct vs_wport *port;
	uint16_t id;

	snprintf(config.name, sizeof(config.name), "port%d", fd);
	assert_int_equal(vs_bridge_port_add(bridge, &config, 0, &id), 0);
	assert_int_equal(vs_worker_add_tap(worker, fd, 1500, id, NULL, &port), 0);
	vs_bridge_port_set_up(bridge, id, true);
}

static void on_tap_gone(void *arg, struct vs_wport *port, int error)
{
	(void)arg, (void)port;
	fail_msg("a device is gone: %s", strerror(error));
}

static int set_up(void **state)
{
	const struct vs_bridge_config bridge_config = VS_BRIDGE_CONFIG_DEFAULT;
	const struct vs_worker_handler handler = { .tap_gone = on_tap_gone };
	int fds[2];

	(void)state;
	open_devices();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	in_fd = fds[0];
	pool = vs_pool_new(4 << 20);
	loop = vs_loop_new();
	bridge = vs_bridge_new(&bridge_config);
	const struct vs_worker_config config = { .bridge = bridge, .pool_bytes = 4 << 20 };
	worker = vs_worker_new(loop, &config, &handler);
	assert_non_null(worker);
	add_port(fds[1]);
	add_port(out_fd);
	return 0;
}

static int tear_down(void **state)
{
	struct vs_worker_stats stats;

	(void)state;
	vs_worker_stats(worker, &stats);
	assert_int_equal(stats.drops.count[VS_DROP_TAP_WRITE], 0);
	vs_worker_free(worker);
	vs_bridge_free(bridge);
	vs_loop_free(loop);
	vs_pool_free(pool);
	close(in_fd);
	close(plain_fd);
	return 0;
}

/* --- Frames ------------------------------------------------------------------------------------------------------- */

/* Packets that the kernel has taken from us. */
static unsigned long packets_written(void)
{
	FILE *file = fopen("/proc/net/dev", "re");
	char line[512];
	unsigned long packets = 0;
	bool found = false;

	assert_non_null(file);
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, " " OUT ": %*u %lu", &packets) == 1;
	fclose(file);
	assert_true(found);
	return packets;
}

/* Appends the frames that a super-frame stands for, and sends them to the worker. */
static void send_frames(const struct superframe *s, struct vs_frame_list *sent)
{
	struct vs_frame *super = superframe_new(pool, s);
	uint32_t before = sent->count;

	assert_int_equal(vs_gso_segment(pool, super, 1522, sent), 0);
	vs_frame_unref(super);
	for (uint32_t i = before; i < sent->count; i++) {
		const struct vs_frame *frame = sent->ring[i];

		assert_int_equal(send(in_fd, vs_frame_cbytes(frame), frame->len, 0), frame->len);
	}
}

/* The next frame of the test's; the kernel's own (neighbour discovery) come between. */
static size_t next_ours(uint8_t *bytes, size_t size)
{
	static const uint8_t ours[12] = { 2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa };

	for (;;) {
		struct pollfd p = { .fd = plain_fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 5000), 1);
		ssize_t n = read(plain_fd, bytes, size);
		if (n >= (ssize_t)sizeof(ours) && memcmp(bytes, ours, sizeof(ours)) == 0)
			return (size_t)n;
	}
}

static void expect_frames(struct vs_frame_list *sent)
{
	struct vs_frame *frame;
	uint8_t got[2048];

	while ((frame = vs_frame_list_pop(sent))) {
		assert_int_equal(next_ours(got, sizeof(got)), frame->len);
		assert_memory_equal(got, vs_frame_cbytes(frame), frame->len);
		vs_frame_unref(frame);
	}
}

/* Has the worker forward the frames of all in one turn. The number of packets that it wrote. */
static unsigned long forward(const struct superframe *const *supers, unsigned count)
{
	struct vs_frame_list sent;

	vs_frame_list_init(&sent, 128);
	for (unsigned i = 0; i < count; i++)
		send_frames(supers[i], &sent);
	unsigned long before = packets_written();
	assert_int_equal(vs_loop_turn(loop), 0);
	unsigned long written = packets_written() - before;
	expect_frames(&sent);
	vs_frame_list_fini(&sent);
	return written;
}

/* --- Tests -------------------------------------------------------------------------------------------------------- */

static void test_a_flow_leaves_in_one_write(void **state)
{
	const struct superframe *const flows[] = { &udp, &tagged, &tcp };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(flows); i++) {
		if (flows[i]->udp && !have_uso)
			continue;
		assert_int_equal(forward(&flows[i], 1), 1);
	}
}

static void test_frames_keep_their_order(void **state)
{
	const struct superframe *const flows[] = { &single, &tcp, &udp, &single, &udp, &single, &single };

	(void)state;
	assert_int_equal(forward(flows, VS_ARRAY_SIZE(flows)), have_uso ? 7 : 5 + 2 * 40);
}

/* A run that is alone at the end of a turn does not wait for the next. */
static void test_a_single_frame_leaves_at_once(void **state)
{
	const struct superframe *const flow = &single;

	(void)state;
	assert_int_equal(forward(&flow, 1), 1);
}

/* From here on the kernel answers to the writing of runs, and of nothing else, as one does that does not know them. */
static void refuse_runs(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_writev, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + LOW_HALF),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)out_fd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = VS_ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		print_message("left out, no filter for system calls: %s\n", strerror(errno));
		skip();
	}
}

/* Last, because a worker remembers that it was refused, and a filter stays. */
static void test_a_refused_run_leaves_frame_by_frame(void **state)
{
	const struct superframe *const flows[] = { &udp, &tcp };

	(void)state;
	refuse_runs();
	for (int i = 0; i < 2; i++)
		assert_int_equal(forward(flows, VS_ARRAY_SIZE(flows)), 40 + 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_flow_leaves_in_one_write),
		cmocka_unit_test(test_frames_keep_their_order),
		cmocka_unit_test(test_a_single_frame_leaves_at_once),
		cmocka_unit_test(test_a_refused_run_leaves_frame_by_frame),
	};

	vs_netns_enter();
	alarm(60); /* a hang is a failure */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
