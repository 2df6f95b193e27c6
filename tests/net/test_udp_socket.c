/* io/udp_socket: datagrams reach the worker that their receiver index names, whatever address they come from. */
#include "io/udp_socket.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "link/wire.h"

#define WORKERS 3

static struct vs_addr address(const char *text, uint16_t port)
{
	struct vs_addr addr;
	assert_int_equal(vs_addr_parse(text, port, &addr), 0);
	return addr;
}

static void open_group(int fds[WORKERS], const char *text)
{
	struct vs_addr local = address(text, 0);
	for (int i = 0; i < WORKERS; i++) {
		fds[i] = vs_udp_open(&local, true);
		assert_true(fds[i] >= 0);
		local = vs_udp_local(fds[i]);
	}
}

static void close_group(const int fds[WORKERS])
{
	for (int i = 0; i < WORKERS; i++)
		close(fds[i]);
}

/* Number of datagrams that wait in a socket, which are read. */
static int drain(int fd)
{
	uint8_t byte;
	int n = 0;
	while (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0)
		n++;
	return n;
}

static void send_from_new_port(const struct vs_addr *to, const uint8_t *data, size_t len)
{
	int fd = socket(to->sa.sa_family, SOCK_DGRAM, 0);
	assert_int_equal(sendto(fd, data, len, 0, &to->sa, vs_addr_len(to)), len);
	close(fd);
}

static void check_steering(const char *text)
{
	int fds[WORKERS];
	open_group(fds, text);
	assert_int_equal(vs_udp_steer(fds[1]), 0);
	struct vs_addr to = vs_udp_local(fds[0]);
	for (unsigned worker = 0; worker < WORKERS; worker++) {
		for (unsigned i = 0; i < 20; i++) {
			uint8_t datagram[VS_SEAL_HEADER] = {VS_TYPE_DATA};
			vs_put_be24(datagram + 1, ((i * 0x1357u << VS_INDEX_WORKER_BITS) & VS_INDEX_MAX) | worker);
			send_from_new_port(&to, datagram, sizeof(datagram));
		}
		for (unsigned i = 0; i < WORKERS; i++)
			assert_int_equal(drain(fds[i]), i == worker ? 20 : 0);
	}
	/* Of no worker: handshakes, which the hash spreads, and what no link sends. None is lost. */
	const struct {
		uint8_t data[4];
		size_t len;
	} others[] = {
		{{VS_TYPE_INITIATION, 0, 0, 1}, 4},
		{{VS_TYPE_DATA, 0, 0, 200}, 4},
		{{VS_TYPE_DATA}, 1},
		{{0}, 0},
	};
	for (size_t o = 0; o < VS_ARRAY_SIZE(others); o++) {
		int n = 0, used = 0;
		for (unsigned i = 0; i < 60; i++)
			send_from_new_port(&to, others[o].data, others[o].len);
		for (unsigned i = 0; i < WORKERS; i++) {
			int got = drain(fds[i]);
			n += got;
			used += got > 0;
		}
		assert_int_equal(n, 60);
		if (o < 2)
			assert_int_equal(used, WORKERS);
	}
	close_group(fds);
}

static void test_steering(void **state)
{
	(void)state;
	check_steering("127.0.0.1");
	check_steering("::1");
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);
	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void test_options(void **state)
{
	(void)state;
	const struct vs_udp_options options = {.receive_buffer = 300000, .send_buffer = 200000, .errors = true};
	struct vs_addr any4 = address("0.0.0.0", 0), any6 = address("::", 0);
	int fd4 = vs_udp_open(&any4, false);
	struct vs_addr bound = vs_udp_local(fd4);
	any6.in6.sin6_port = htons(vs_addr_port(&bound));
	int fd6 = vs_udp_open(&any6, false); /* the same port: the IPv6 socket is for IPv6 only */
	assert_true(fd4 >= 0 && fd6 >= 0);
	assert_int_equal(vs_udp_configure(fd4, &options), 0);
	assert_int_equal(vs_udp_configure(fd6, &options), 0);
	assert_int_equal(option(fd4, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_PROBE);
	assert_int_equal(option(fd6, IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_PROBE);
	assert_int_equal(option(fd4, IPPROTO_IP, IP_RECVERR), 1);
	assert_int_equal(option(fd4, SOL_SOCKET, SO_RCVBUF), 600000); /* the kernel doubles it */
	assert_int_equal(option(fd4, SOL_SOCKET, SO_SNDBUF), 400000);
	close(fd4);
	close(fd6);
}

static void test_refusals(void **state)
{
	(void)state;
	const struct vs_udp_options options = {0};
	struct vs_addr taken = address("127.0.0.1", 0), foreign = address("192.0.2.1", 0);
	int fd = vs_udp_open(&taken, false), fds[2];
	taken = vs_udp_local(fd);
	assert_int_equal(vs_udp_open(&taken, false), -EADDRINUSE);
	assert_int_equal(vs_udp_open(&taken, true), -EADDRINUSE);
	assert_int_equal(vs_udp_open(&foreign, false), -EADDRNOTAVAIL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	assert_int_equal(vs_udp_configure(fds[0], &options), -EAFNOSUPPORT);
	struct vs_addr none = vs_udp_local(-1);
	assert_false(vs_addr_is_set(&none));
	close(fds[0]);
	close(fds[1]);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steering),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
