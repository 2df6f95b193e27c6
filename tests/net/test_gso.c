/* base/gso against the kernel: a super-frame that enters a bridge by a TAP device with a virtio-net header leaves it
 * by one without offloads, cut by the kernel. What vs_gso_segment() makes of it must be the same, byte for byte. And
 * switch/gro: the kernel cuts frames that were joined into the same ones, and hands them to a socket one by one. Needs
 * no privilege, but namespaces. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
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
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/gso.h"
#include "io/tap_super.h"
#include "netns.h"
#include "superframe.h"
#include "switch/gro.h"

#define BRIDGE "vgbr"
#define SUPER "vgsuper" /* takes super-frames */
#define PLAIN "vgplain" /* hands out complete frames only */
#define LOCAL "vglocal" /* no port of the bridge: this host is behind it */

#define FIN 0x01
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define CWR 0x80

static const struct superframe table[] = {
	{ "tcp4", false, false, 0, 0, 12, ACK | PSH, 0, 64000, 1448 },
	{ "tcp4, all flags", false, false, 0, 0, 0, ACK | PSH | FIN | CWR | URG, VS_GSO_ECN, 5000, 1460 },
	{ "tcp4, CWR without ECN", false, false, 0, 0, 0, ACK | CWR, 0, 5000, 1460 },
	{ "tcp4, odd sizes", false, false, 0, 0, 12, ACK, 0, 4345, 1447 },
	{ "tcp4, options", false, false, 0, 40, 40, ACK, 0, 3000, 1001 },
	{ "tcp4, exact multiple", false, false, 0, 0, 12, ACK | PSH, 0, 2896, 1448 },
	{ "tcp4, one segment", false, false, 0, 0, 12, ACK | PSH | FIN | CWR, 0, 700, 1448 },
	{ "tcp4, one byte over", false, false, 0, 0, 0, ACK | PSH, 0, 1461, 1460 },
	{ "tcp4, 255 segments", false, false, 0, 0, 0, ACK, 0, 2550, 10 },
	{ "tcp4, tagged", false, false, 1, 0, 12, ACK | PSH, 0, 9001, 1448 },
	{ "tcp4, tagged twice", false, false, 2, 0, 12, ACK | PSH, 0, 9001, 1448 },
	{ "tcp6", true, false, 0, 0, 12, ACK | PSH, 0, 65535 - 32, 1428 },
	{ "tcp6, ECN", true, false, 0, 0, 0, ACK | CWR, VS_GSO_ECN, 4001, 1428 },
	{ "tcp6, extension header", true, false, 0, 16, 0, ACK | FIN, 0, 4001, 1405 },
	{ "tcp6, tagged", true, false, 1, 0, 12, ACK | PSH, 0, 4001, 1428 },
	{ "udp4", false, true, 0, 0, 0, 0, 0, 60000, 1472 },
	{ "udp4, odd sizes", false, true, 0, 4, 0, 0, 0, 5555, 1111 },
	{ "udp4, one segment", false, true, 0, 0, 0, 0, 0, 777, 1111 },
	{ "udp4, 64 segments", false, true, 0, 0, 0, 0, 0, 640, 10 },
	{ "udp4, tagged", false, true, 1, 0, 0, 0, 0, 3001, 1000 },
	{ "udp6", true, true, 0, 0, 0, 0, 0, 60000, 1452 },
	{ "udp6, tagged twice", true, true, 2, 0, 0, 0, 0, 3001, 1000 },
};

static int super_fd, plain_fd;
static bool have_uso;
static struct vs_pool *pool;

/* --- The bridge --------------------------------------------------------------------------------------------------- */

static int open_tap(const char *device, short flags)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags) };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	strcpy(request.ifr_name, device);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	return fd;
}

/* USO came to TAP devices with Linux 6.2. */
static void set_offloads(int fd)
{
	const unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN, uso = 0x20 | 0x40;
	int size = VS_VNET_SIZE, little_endian = 1;

	assert_int_equal(ioctl(fd, TUNSETVNETHDRSZ, &size), 0);
	assert_int_equal(ioctl(fd, TUNSETVNETLE, &little_endian), 0);
	have_uso = ioctl(fd, TUNSETOFFLOAD, (unsigned long)(tso | uso)) == 0;
	if (!have_uso)
		assert_int_equal(ioctl(fd, TUNSETOFFLOAD, (unsigned long)tso), 0);
}

static int setup(void **state)
{
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	vs_netns_add_bridge(control, BRIDGE);
	super_fd = open_tap(SUPER, IFF_VNET_HDR);
	set_offloads(super_fd);
	plain_fd = open_tap(PLAIN, 0);
	vs_netns_join_bridge(control, BRIDGE, SUPER);
	vs_netns_join_bridge(control, BRIDGE, PLAIN);
	close(control);
	pool = vs_pool_new(4 << 20);
	return pool ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	vs_pool_free(pool);
	close(super_fd);
	close(plain_fd);
	return 0;
}

/* --- Both ways ---------------------------------------------------------------------------------------------------- */

static void hand_to_kernel(const struct vs_frame *frame, const char *name)
{
	struct iovec iov[] = {
		{ (void *)frame->vnet, VS_VNET_SIZE },
		{ (void *)vs_frame_cbytes(frame), frame->len },
	};

	if (writev(super_fd, iov, 2) != (ssize_t)(VS_VNET_SIZE + frame->len))
		fail_msg("%s: the kernel refused the frame: %s", name, strerror(errno));
}

/* The next frame of the test's; the kernel's own (neighbour discovery) come between. */
static size_t read_ours(uint8_t *bytes, size_t size, const char *name)
{
	static const uint8_t ours[12] = { 2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa };

	for (;;) {
		struct pollfd p = { .fd = plain_fd, .events = POLLIN };

		if (poll(&p, 1, 5000) != 1)
			fail_msg("%s: the kernel kept the frame", name);
		ssize_t n = read(plain_fd, bytes, size);
		if (n >= (ssize_t)sizeof(ours) && memcmp(bytes, ours, sizeof(ours)) == 0)
			return (size_t)n;
	}
}

static void compare(const struct vs_frame *frame, unsigned index, const char *name)
{
	const uint8_t *mine = vs_frame_cbytes(frame);
	uint8_t theirs[2048];
	size_t len = read_ours(theirs, sizeof(theirs), name);

	if (len != frame->len)
		fail_msg("%s: frame %u: the kernel's has %zu bytes, not %u", name, index, len, frame->len);
	for (size_t i = 0; i < len; i++)
		if (mine[i] != theirs[i])
			fail_msg("%s: frame %u: byte %zu: the kernel's is %02x, not %02x", name, index, i, theirs[i],
				 mine[i]);
}

/* Consumes the reference. */
static void compare_segments(struct vs_frame *super, const char *name)
{
	struct vs_frame_list segments;
	struct vs_frame *segment;

	vs_frame_list_init(&segments, VS_GSO_SEGMENTS_MAX);
	assert_int_equal(vs_gso_segment(pool, super, 1522, &segments), 0);
	hand_to_kernel(super, name);
	for (unsigned index = 0; (segment = vs_frame_list_pop(&segments)); index++) {
		compare(segment, index, name);
		vs_frame_unref(segment);
	}
	vs_frame_list_fini(&segments);
	vs_frame_unref(super);
}

static void test_segments_are_the_kernels(void **state)
{
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(table); i++) {
		if (table[i].udp && !have_uso)
			print_message("%s: left out, this kernel has no USO\n", table[i].name);
		else
			compare_segments(superframe_new(pool, &table[i]), table[i].name);
	}
}

/* Checksums of segments that come out as zero are among these: the payload's first word takes every value. */
static void test_all_checksums_of_segments(void **state)
{
	static const struct superframe both[] = {
		{ "tcp6", true, false, 0, 0, 12, ACK, 0, 4, 2 },
		{ "udp4", false, true, 0, 0, 0, 0, 0, 4, 2 },
	};

	(void)state;
	for (unsigned i = 0; i < 2 * 65536; i++) {
		const struct superframe *s = &both[i & 1];

		if (s->udp && !have_uso)
			continue;
		struct vs_frame *super = superframe_new(pool, s);
		vs_put_be16(vs_frame_bytes(super) + superframe_parts(s).payload, (uint16_t)(i >> 1));
		compare_segments(super, s->name);
	}
}

/* Frames of ordinary length with the checksum left to the device; every checksum, as above. */
static void test_checksums_are_the_kernels(void **state)
{
	static const struct superframe plain[] = {
		{ "tcp4", false, false, 0, 0, 12, ACK, 0, 3, 1 },
		{ "udp6", true, true, 1, 0, 0, 0, 0, 2, 1 },
	};

	(void)state;
	for (unsigned i = 0; i < 2 * 65536; i++) {
		const struct superframe *s = &plain[i & 1];
		struct vs_frame *frame = superframe_new(pool, s);
		struct vs_vnet vnet;

		vs_put_be16(vs_frame_bytes(frame) + superframe_parts(s).payload, (uint16_t)(i >> 1));
		vs_vnet_decode(frame->vnet, &vnet);
		vnet.gso_type = VS_GSO_NONE;
		vnet.gso_size = 0;
		vs_vnet_encode(&vnet, frame->vnet);
		hand_to_kernel(frame, s->name);
		assert_true(vs_csum_complete(vs_frame_bytes(frame), frame->len, &vnet));
		compare(frame, i >> 1, s->name);
		vs_frame_unref(frame);
	}
}

/* --- Joined again ------------------------------------------------------------------------------------------------- */

struct joined {
	struct vs_frame_list frames; /* what the super-frame stands for */
	struct vs_gro run;           /* the same, joined */
};

/* Cuts the super-frame, whose segments are to be all joined or not at all; false: they are not. */
static bool join(struct joined *joined, const struct superframe *s)
{
	struct vs_frame *super = superframe_new(pool, s);
	bool all = true;

	memset(&joined->run, 0, sizeof(joined->run));
	vs_frame_list_init(&joined->frames, VS_GSO_SEGMENTS_MAX);
	assert_int_equal(vs_gso_segment(pool, super, 1522, &joined->frames), 0);
	vs_frame_unref(super);
	for (uint32_t i = 0; all && i < joined->frames.count; i++) {
		struct vs_frame *frame = vs_frame_ref(joined->frames.ring[i]);

		all = vs_gro_add(&joined->run, frame);
		if (!all)
			vs_frame_unref(frame);
	}
	return all && joined->run.count > 1;
}

static void part(struct joined *joined)
{
	vs_gro_clear(&joined->run);
	vs_frame_list_fini(&joined->frames);
}

static void write_run(int fd, struct joined *joined)
{
	struct vs_drops drops = { 0 };

	assert_int_equal(vs_tap_super_write_run(fd, &joined->run, &drops), 0);
	assert_int_equal(drops.count[VS_DROP_TAP_WRITE], 0);
}

static void test_runs_are_cut_into_what_they_were(void **state)
{
	unsigned tried = 0;

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(table); i++) {
		struct joined joined;
		struct vs_frame *frame;

		if (!(table[i].udp && !have_uso) && join(&joined, &table[i])) {
			tried++;
			write_run(super_fd, &joined);
			for (unsigned index = 0; (frame = vs_frame_list_pop(&joined.frames)); index++) {
				compare(frame, index, table[i].name);
				vs_frame_unref(frame);
			}
		}
		part(&joined);
	}
	assert_true(tried >= (have_uso ? 10u : 6u));
}

/* The device behind which this host has the address that super-frames go to. */
static int open_local(void)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 0xb };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000002) };
	struct sockaddr_in mask = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xffffff00) };
	struct ifreq request = { .ifr_hwaddr.sa_family = 1 /* Ethernet */ };
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int fd = open_tap(LOCAL, IFF_VNET_HDR);

	set_offloads(fd);
	strcpy(request.ifr_name, LOCAL);
	memcpy(request.ifr_hwaddr.sa_data, mac, sizeof(mac));
	assert_int_equal(ioctl(control, SIOCSIFHWADDR, &request), 0);
	memcpy(&request.ifr_addr, &address, sizeof(address));
	assert_int_equal(ioctl(control, SIOCSIFADDR, &request), 0);
	memcpy(&request.ifr_addr, &mask, sizeof(mask));
	assert_int_equal(ioctl(control, SIOCSIFNETMASK, &request), 0);
	vs_netns_raise(control, LOCAL);
	close(control);
	return fd;
}

static void receive_each(int sock, struct vs_frame_list *frames, uint32_t headers)
{
	struct vs_frame *frame;

	while ((frame = vs_frame_list_pop(frames))) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		uint8_t got[2048];

		assert_int_equal(poll(&p, 1, 5000), 1);
		assert_int_equal(recv(sock, got, sizeof(got), 0), frame->len - headers);
		assert_memory_equal(got, vs_frame_cbytes(frame) + headers, frame->len - headers);
		vs_frame_unref(frame);
	}
}

/* A program that knows nothing of super-frames receives the datagrams that were sent. */
static void test_a_socket_receives_datagrams(void **state)
{
	static const struct superframe datagrams[] = {
		{ "64 of 22 bytes", false, true, 0, 0, 0, 0, 0, 64 * 22, 22 },
		{ "a shorter last one", false, true, 0, 0, 0, 0, 0, 10 * 1472 + 1, 1472 },
		{ "two", false, true, 0, 0, 0, 0, 0, 2, 1 },
	};
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(5201) };
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int fd = open_local();

	(void)state;
	assert_int_equal(bind(sock, (struct sockaddr *)&any, sizeof(any)), 0);
	for (size_t i = 0; have_uso && i < VS_ARRAY_SIZE(datagrams); i++) {
		struct joined joined;

		assert_true(join(&joined, &datagrams[i]));
		write_run(fd, &joined);
		receive_each(sock, &joined.frames, superframe_parts(&datagrams[i]).payload);
		part(&joined);
	}
	close(fd);
	close(sock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments_are_the_kernels),
		cmocka_unit_test(test_all_checksums_of_segments),
		cmocka_unit_test(test_checksums_are_the_kernels),
		cmocka_unit_test(test_runs_are_cut_into_what_they_were),
		cmocka_unit_test(test_a_socket_receives_datagrams),
	};

	vs_netns_enter();
	alarm(60); /* a hang is a failure */
	return cmocka_run_group_tests(tests, setup, teardown);
}
