/* io/tap_super on a real device: what is written to one TAP with offloads comes out of another one, behind a bridge, as
 * it went in, whatever its size. Needs no privilege, but namespaces. */
#include "io/tap_super.h"

#include <errno.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/tap.h"
#include "netns.h"
#include "superframe.h"

#define BRIDGE "vtbr"
#define IN "vtin"
#define OUT "vtout"
#define MSS 1448

static int in_fd, out_fd;
static struct vs_pool *pool;
static struct vs_frame *landing;
static struct vs_drops drops;

/* --- The bridge --------------------------------------------------------------------------------------------------- */

static int open_port(int control, const char *device)
{
	struct vs_fault fault;
	int fd = vs_tap_open(device, true, &fault);

	assert_true(fd >= 0);
	assert_true(vs_tap_has_super(fd));
	vs_netns_join_bridge(control, BRIDGE, device);
	return fd;
}

static int set_up(void **state)
{
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	vs_netns_add_bridge(control, BRIDGE);
	in_fd = open_port(control, IN);
	out_fd = open_port(control, OUT);
	close(control);
	pool = vs_pool_new(4 << 20);
	return pool ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	vs_frame_unref(landing);
	vs_pool_free(pool);
	close(in_fd);
	close(out_fd);
	return 0;
}

/* --- Frames ------------------------------------------------------------------------------------------------------- */

static bool is_ours(const struct vs_frame *frame)
{
	return frame->len >= 14 && vs_frame_cbytes(frame)[11] == 0xa;
}

/* The next frame of a test; the host sends some of its own, for neighbour discovery. */
static struct vs_frame *next_frame(struct vs_pool *from, struct vs_frame **land, int *error)
{
	for (;;) {
		struct pollfd wait = { .fd = out_fd, .events = POLLIN };
		assert_int_equal(poll(&wait, 1, 5000), 1);
		struct vs_frame *frame = vs_tap_super_read(out_fd, from, land, &drops, error);
		if (!frame || is_ours(frame))
			return frame;
		vs_frame_unref(frame);
	}
}

static struct vs_frame *make(uint32_t payload)
{
	const struct superframe shape = { .l4_options = 12, .tcp_flags = 0x10, .payload = payload, .gso_size = MSS };
	struct vs_frame *frame = superframe_new(pool, &shape);

	assert_non_null(frame);
	if (payload <= MSS) {
		struct vs_vnet vnet;
		vs_vnet_decode(frame->vnet, &vnet);
		assert_true(vs_csum_complete(vs_frame_bytes(frame), frame->len, &vnet));
		frame->super = false;
	}
	return frame;
}

static void assert_same(const struct vs_frame *got, const struct vs_frame *sent)
{
	assert_int_equal(got->len, sent->len);
	assert_memory_equal(vs_frame_cbytes(got), vs_frame_cbytes(sent), sent->len);
	assert_int_equal(got->super, sent->super);
	if (sent->super)
		assert_memory_equal(got->vnet, sent->vnet, VS_VNET_SIZE);
}

/* --- Tests -------------------------------------------------------------------------------------------------------- */

/* 66 bytes of headers are in front. */
static const uint32_t payloads[] = {
	6, 500, MSS, MSS + 1, 5000, 9000, 32000, (32 << 10) - 66, (32 << 10) - 65, 40000, 65000,
};

static void check_round_trip(uint32_t payload, bool shared)
{
	struct vs_frame *sent = make(payload), *other = shared ? vs_frame_ref(sent) : NULL;
	uint8_t headroom[VS_VNET_SIZE];
	int error;

	memcpy(headroom, vs_frame_bytes(sent) - sizeof(headroom), sizeof(headroom));
	assert_int_equal(vs_tap_super_write(in_fd, sent, &drops), 0);
	/* Whoever else holds the frame may have a framing header there. */
	if (shared)
		assert_memory_equal(headroom, vs_frame_bytes(sent) - sizeof(headroom), sizeof(headroom));
	struct vs_frame *got = next_frame(pool, &landing, &error);
	assert_non_null(got);
	assert_same(got, sent);
	/* A small frame does not keep the large buffer. */
	assert_true(got->len > (32 << 10) || (got->capacity < (66 << 10) && landing));
	assert_true(got->len <= (32 << 10) || !landing);
	vs_frame_unref(got);
	vs_frame_unref(other);
	vs_frame_unref(sent);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(payloads); i++) {
		check_round_trip(payloads[i], false);
		check_round_trip(payloads[i], true);
	}
	for (unsigned i = 0; i < VS_DROP_COUNT; i++)
		assert_int_equal(drops.count[i], 0);
}

static void test_nothing_waits(void **state)
{
	struct vs_frame *frame;
	int error = 0;

	(void)state;
	while ((frame = vs_tap_super_read(out_fd, pool, &landing, &drops, &error)))
		vs_frame_unref(frame);
	assert_int_equal(error, -EAGAIN);
}

/* Without a buffer the frame is taken from the device all the same, and counted. */
static void test_no_buffer(void **state)
{
	struct vs_pool *empty = vs_pool_new(1024);
	struct vs_frame *sent = make(500), *nowhere = NULL;
	uint64_t before = drops.count[VS_DROP_NO_BUFFER];
	int error;

	(void)state;
	assert_non_null(empty);
	test_nothing_waits(state);
	assert_int_equal(vs_tap_super_write(in_fd, sent, &drops), 0);
	assert_null(next_frame(empty, &nowhere, &error));
	assert_int_equal(error, -ENOBUFS);
	assert_null(nowhere);
	assert_int_equal(drops.count[VS_DROP_NO_BUFFER], before + 1);
	assert_null(vs_tap_super_read(out_fd, empty, &nowhere, &drops, &error));
	assert_int_equal(error, -EAGAIN);
	vs_frame_unref(sent);
	vs_pool_free(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_nothing_waits),
		cmocka_unit_test(test_no_buffer),
	};

	vs_netns_enter();
	return cmocka_run_group_tests_name("tap_super", tests, set_up, tear_down);
}
