/* io/tap and io/netif against the kernel: what is configured is there, what goes in comes out, what cannot be is said.
 * Needs no privilege, but namespaces. */
#include "io/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
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

#include "io/netif.h"
#include "netns.h"

#define QUEUE 123

static const struct vs_mac mac = { { 0x02, 0x11, 0x22, 0x33, 0x44, 0x55 } };
static struct vs_fault fault;

static void init_config(struct vs_tap_config *config, const char *device)
{
	memset(config, 0, sizeof(*config));
	strcpy(config->device, device);
	config->mac = mac;
	config->mtu = 1400;
	config->offload = VS_TAP_OFFLOAD_OFF;
}

static void add_address(struct vs_tap_config *config, const char *text)
{
	struct vs_why why;

	assert_int_equal(vs_parse_cidr(text, &config->address.item[config->address.n++], &why), 0);
}

static void add_route(struct vs_tap_config *config, const char *text)
{
	struct vs_why why;

	assert_int_equal(vs_parse_route(text, &config->route.item[config->route.n++], &why), 0);
}

static int create(const struct vs_tap_config *config)
{
	memset(&fault, 0, sizeof(fault));
	int fd = vs_tap_create(config, QUEUE, &fault);
	if (fd >= 0)
		return fd;
	assert_true(fault.text[0]);
	assert_int_equal(if_nametoindex(config->device), 0); /* nothing half-configured */
	return fd;
}

static int must_create(const struct vs_tap_config *config)
{
	int fd = create(config);

	if (fd < 0)
		fail_msg("%s", fault.text);
	return fd;
}

static struct ifreq query(unsigned long request, const char *device)
{
	struct ifreq ifr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	memset(&ifr, 0, sizeof(ifr));
	strcpy(ifr.ifr_name, device);
	assert_int_equal(ioctl(fd, request, &ifr), 0);
	close(fd);
	return ifr;
}

static int bridge_call(unsigned long request, const char *bridge, const char *device)
{
	struct ifreq ifr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	memset(&ifr, 0, sizeof(ifr));
	strcpy(ifr.ifr_name, bridge);
	ifr.ifr_ifindex = device ? (int)if_nametoindex(device) : 0;
	int err = ioctl(fd, request, device ? (void *)&ifr : (void *)bridge) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* Whether the device has the address. */
static bool has_address(const char *device, const char *text)
{
	struct ifaddrs *list;
	struct vs_cidr wanted;
	struct vs_why why;
	bool found = false;

	assert_int_equal(vs_parse_cidr(text, &wanted, &why), 0);
	assert_int_equal(getifaddrs(&list), 0);
	for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
		if (strcmp(i->ifa_name, device) != 0 || !i->ifa_addr)
			continue;
		struct vs_addr addr = vs_addr_from_sockaddr(i->ifa_addr, sizeof(struct sockaddr_in6));
		addr.in6.sin6_scope_id = addr.sa.sa_family == AF_INET6 ? 0 : addr.in6.sin6_scope_id;
		found |= vs_addr_is_set(&addr) && vs_addr_equal(&addr, &wanted.addr);
	}
	freeifaddrs(list);
	return found;
}

/* The interface that leads to the address; "": none. */
static struct vs_netif_path path_to(const char *text, const char *bind_interface)
{
	struct vs_netif_path path = { 0 };
	struct vs_netif *netif;
	struct vs_addr addr;

	assert_int_equal(vs_addr_parse(text, 0, &addr), 0);
	assert_int_equal(vs_netif_open(&netif, &fault), 0);
	if (vs_netif_path_to(netif, &addr, 0, bind_interface, &path, &fault) < 0)
		memset(&path, 0, sizeof(path));
	vs_netif_close(netif);
	return path;
}

/* --- Setting up --------------------------------------------------------------------------------------------------- */

static void test_link(void **state)
{
	struct vs_tap_config config;

	(void)state;
	init_config(&config, "vt0");
	int fd = must_create(&config);
	assert_int_equal(query(SIOCGIFMTU, "vt0").ifr_mtu, 1400);
	assert_int_equal(query(SIOCGIFTXQLEN, "vt0").ifr_qlen, QUEUE);
	assert_memory_equal(query(SIOCGIFHWADDR, "vt0").ifr_hwaddr.sa_data, mac.octet, 6);
	assert_true(query(SIOCGIFFLAGS, "vt0").ifr_flags & IFF_UP);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_int_equal(if_nametoindex("vt0"), 0);
}

static void test_jumbo_and_mac_of_the_kernel(void **state)
{
	struct vs_tap_config config;

	(void)state;
	init_config(&config, "fifteen-letters");
	memset(&config.mac, 0, sizeof(config.mac));
	config.mtu = 9000;
	int fd = must_create(&config);
	assert_int_equal(query(SIOCGIFMTU, "fifteen-letters").ifr_mtu, 9000);
	close(fd);
}

static void test_addresses_and_routes(void **state)
{
	struct vs_tap_config config;

	(void)state;
	init_config(&config, "vt0");
	add_address(&config, "10.9.0.2/24");
	add_address(&config, "10.9.1.2/32");
	add_address(&config, "fd09::2/64");
	add_route(&config, "10.20.0.0/16 via 10.9.0.1");
	add_route(&config, "10.30.0.0/16 metric 7");
	add_route(&config, "fd20::/48 via fd09::1");
	add_route(&config, "default via 10.9.0.1 metric 50");
	int fd = must_create(&config);
	assert_true(has_address("vt0", "10.9.0.2/24"));
	assert_true(has_address("vt0", "10.9.1.2/32"));
	assert_true(has_address("vt0", "fd09::2/64"));
	struct sockaddr_in broadcast;
	struct ifreq ifr = query(SIOCGIFBRDADDR, "vt0");
	memcpy(&broadcast, &ifr.ifr_broadaddr, sizeof(broadcast));
	assert_int_equal(ntohl(broadcast.sin_addr.s_addr), 0x0a0900ff);

	struct vs_netif_path path = path_to("10.20.1.1", "");
	char text[VS_ADDR_TEXT_MAX];
	assert_string_equal(path.interface, "vt0");
	assert_string_equal(vs_addr_format(&path.gateway, text), "10.9.0.1:0");
	assert_string_equal(vs_addr_format(&path.source, text), "10.9.0.2:0");
	path = path_to("10.30.1.1", "");
	assert_string_equal(path.interface, "vt0");
	assert_false(vs_addr_is_set(&path.gateway));
	path = path_to("fd20::1", "");
	assert_string_equal(vs_addr_format(&path.gateway, text), "[fd09::1]:0");
	/* What a client asks to see whether the LAN swallows the path to its server. */
	assert_string_equal(path_to("192.0.2.1", "").interface, "vt0");
	assert_string_equal(path_to("127.0.0.1", "").interface, "lo");
	assert_string_equal(path_to("192.0.2.1", "nosuch").interface, "");
	close(fd);
	assert_string_equal(path_to("192.0.2.1", "").interface, "");
}

static void test_bridge(void **state)
{
	struct vs_tap_config config;

	(void)state;
	int err = bridge_call(SIOCBRADDBR, "vbr0", NULL);
	if (err == -ENOPKG || err == -ENOTTY || err == -EINVAL) {
		print_message("SKIP: this kernel has no bridges: %s\n", strerror(-err));
		skip();
	}
	assert_int_equal(err, 0);
	init_config(&config, "vt0");
	strcpy(config.bridge, "vbr0");
	int fd = must_create(&config);
	assert_int_equal(bridge_call(SIOCBRDELIF, "vbr0", "vt0"), 0); /* it was a port of it */
	close(fd);
	bridge_call(SIOCBRDELBR, "vbr0", NULL);
}

/* --- What cannot be ----------------------------------------------------------------------------------------------- */

static void test_errors_name_the_object(void **state)
{
	struct vs_tap_config config;

	(void)state;
	init_config(&config, "vt0");
	strcpy(config.bridge, "br9");
	assert_int_equal(create(&config), -ENODEV);
	assert_string_equal(fault.text, "bridge 'br9' does not exist");
	strcpy(config.bridge, "lo");
	assert_int_equal(create(&config), -EMEDIUMTYPE);
	assert_string_equal(fault.text, "network device 'lo' is not a bridge");

	init_config(&config, "vt0");
	add_route(&config, "10.20.0.0/16 via 10.9.0.1");
	assert_int_equal(create(&config), -ENETUNREACH);
	assert_string_equal(fault.text, "route to 10.20.0.0/16: gateway 10.9.0.1 is not on a network of 'vt0'");

	init_config(&config, "vt0");
	add_route(&config, "10.30.0.0/16 metric 7");
	add_route(&config, "10.30.0.0/16 metric 7");
	assert_int_equal(create(&config), -EEXIST);
	assert_non_null(strstr(fault.text, "10.30.0.0/16"));
}

static void test_names_in_use(void **state)
{
	struct vs_tap_config config;

	(void)state;
	init_config(&config, "vt0");
	int fd = must_create(&config);
	assert_int_equal(vs_tap_create(&config, QUEUE, &fault), -EBUSY);
	assert_string_equal(fault.text, "TAP device 'vt0' is in use by another program");
	close(fd);
	assert_int_equal(vs_tap_open("lo", false, &fault), -EEXIST);
	assert_non_null(strstr(fault.text, "'lo'"));
	static const char *const bad[] = { "", "sixteen-letters-", "a b", "a/b", "." };
	for (size_t i = 0; i < VS_ARRAY_SIZE(bad); i++)
		assert_int_equal(vs_tap_open(bad[i], false, &fault), -EINVAL);
}

static void test_mac_from_key(void **state)
{
	uint8_t digest[32];
	struct vs_mac out;

	(void)state;
	for (int i = 0; i < 256; i++) {
		memset(digest, i, sizeof(digest));
		vs_tap_mac_from_key(digest, &out);
		assert_int_equal(out.octet[0] & 3, 2);
		assert_int_equal(out.octet[5], i);
	}
}

/* --- Frames ------------------------------------------------------------------------------------------------------- */

static int open_packet(const char *device)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(0x88b5));

	address.sll_ifindex = (int)if_nametoindex(device);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* A broadcast frame of the local experimental EtherType. */
static void make_frame(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7);
	memset(bytes, 0xff, 6);
	memcpy(bytes + 6, "\x02\x00\x00\x00\x00\x01\x88\xb5", 8);
}

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 5000), 1);
}

/* Other traffic of the kernel (IPv6 neighbour discovery) may come first. */
static void read_ours(int tap, struct vs_frame *frame, struct vs_drops *drops)
{
	do {
		wait_readable(tap);
		assert_int_equal(vs_tap_read(tap, frame, drops), 0);
	} while (memcmp(vs_frame_bytes(frame) + 12, "\x88\xb5", 2) != 0);
}

static void test_frames_both_ways(void **state)
{
	static const size_t sizes[] = { 14, 60, 1414 };
	struct vs_tap_config config;
	uint8_t bytes[2048];

	(void)state;
	init_config(&config, "vt0");
	int tap = must_create(&config), packet = open_packet("vt0");
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_frame *frame = vs_frame_new(pool, 1500);
	struct vs_drops drops = { 0 };
	for (size_t i = 0; i < VS_ARRAY_SIZE(sizes); i++) {
		make_frame(bytes, sizes[i]);
		assert_int_equal(send(packet, bytes, sizes[i], 0), sizes[i]);
		read_ours(tap, frame, &drops);
		assert_int_equal(frame->len, sizes[i]);
		assert_memory_equal(vs_frame_bytes(frame), bytes, sizes[i]);

		vs_frame_bytes(frame)[11] = 9;
		assert_int_equal(vs_tap_write(tap, frame, &drops), 0);
		wait_readable(packet);
		assert_int_equal(recv(packet, bytes, sizeof(bytes), 0), sizes[i]);
		assert_int_equal(bytes[11], 9);
	}
	assert_int_equal(drops.count[VS_DROP_TAP_WRITE], 0);
	while (vs_tap_read(tap, frame, &drops) == 0)
		;
	assert_int_equal(vs_tap_read(tap, frame, &drops), -EAGAIN);
	vs_frame_unref(frame);
	vs_pool_free(pool);
	close(packet);
	close(tap);
}

/* Frames that do not fit were cut off by the kernel, and must not be passed on so. */
static void test_longer_than_the_room(void **state)
{
	static const struct {
		size_t size;
		int result;
	} rows[] = { { 99, 0 }, { 100, -EMSGSIZE }, { 101, -EMSGSIZE }, { 1414, -EMSGSIZE }, { 60, 0 } };
	struct vs_tap_config config;
	uint8_t bytes[2048];

	(void)state;
	init_config(&config, "vt0");
	int tap = must_create(&config), packet = open_packet("vt0");
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_frame *frame = vs_frame_new(pool, 1500);
	struct vs_drops drops = { 0 };
	while (vs_tap_read(tap, frame, &drops) == 0)
		;
	frame->offset = frame->capacity - 100;
	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		uint64_t dropped = drops.count[VS_DROP_GIANT];
		make_frame(bytes, rows[i].size);
		assert_int_equal(send(packet, bytes, rows[i].size, 0), rows[i].size);
		do {
			wait_readable(tap);
			assert_int_equal(vs_tap_read(tap, frame, &drops), rows[i].result);
		} while (memcmp(vs_frame_bytes(frame) + 12, "\x88\xb5", 2) != 0);
		assert_int_equal(drops.count[VS_DROP_GIANT] - dropped, rows[i].result < 0);
		if (rows[i].result == 0)
			assert_int_equal(frame->len, rows[i].size);
	}
	vs_frame_unref(frame);
	vs_pool_free(pool);
	close(packet);
	close(tap);
}

static void set_flags(const char *device, short flags)
{
	struct ifreq ifr = query(SIOCGIFFLAGS, device);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ifr.ifr_flags = flags;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static void test_interface_down_is_a_drop(void **state)
{
	struct vs_tap_config config;

	(void)state;
	init_config(&config, "vt0");
	int tap = must_create(&config);
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_frame *frame = vs_frame_new(pool, 60);
	struct vs_drops drops = { 0 };
	make_frame(vs_frame_bytes(frame), 60);
	set_flags("vt0", 0);
	assert_int_equal(vs_tap_write(tap, frame, &drops), 0);
	assert_int_equal(drops.count[VS_DROP_TAP_WRITE], 1);
	set_flags("vt0", IFF_UP);
	assert_int_equal(vs_tap_write(tap, frame, &drops), 0);
	assert_int_equal(drops.count[VS_DROP_TAP_WRITE], 1);
	vs_frame_unref(frame);
	vs_pool_free(pool);
	close(tap);
}

static void test_deleted_device(void **state)
{
	struct vs_tap_config config;

	(void)state;
	init_config(&config, "vt0");
	int tap = must_create(&config);
	if (system("ip link delete vt0 2>/dev/null") != 0) {
		close(tap);
		print_message("SKIP: no ip(8)\n");
		skip();
	}
	struct vs_pool *pool = vs_pool_new(1 << 20);
	struct vs_frame *frame = vs_frame_new(pool, 1500);
	struct vs_drops drops = { 0 };
	assert_int_equal(vs_tap_read(tap, frame, &drops), -ENODEV);
	assert_int_equal(vs_tap_write(tap, frame, &drops), -ENODEV);
	vs_frame_unref(frame);
	vs_pool_free(pool);
	close(tap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_jumbo_and_mac_of_the_kernel),
		cmocka_unit_test(test_addresses_and_routes),
		cmocka_unit_test(test_bridge),
		cmocka_unit_test(test_errors_name_the_object),
		cmocka_unit_test(test_names_in_use),
		cmocka_unit_test(test_mac_from_key),
		cmocka_unit_test(test_frames_both_ways),
		cmocka_unit_test(test_longer_than_the_room),
		cmocka_unit_test(test_interface_down_is_a_drop),
		cmocka_unit_test(test_deleted_device),
	};
	vs_netns_enter();
	alarm(20); /* a hang is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
