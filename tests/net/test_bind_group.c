/* The sockets of one address, one a worker, as the broker binds them: the first has the address for itself before the
 * others join, so that a second server is refused, and each gets the datagrams whose receiver index names it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "io/broker.h"
#include "io/udp_socket.h"
#include "link/wire.h"

#define SOCKETS 4

static const char *const hosts[] = { "127.0.0.1", "::1" };

/* An address that is free now. */
static struct vs_addr free_address(const char *host)
{
	struct vs_addr addr;
	assert_int_equal(vs_addr_parse(host, 0, &addr), 0);
	int fd = vs_udp_open(&addr, false);
	assert_true(fd >= 0);
	addr = vs_udp_local(fd);
	close(fd);
	return addr;
}

static int bind_nth(const struct vs_addr *addr, unsigned sockets, unsigned nth)
{
	const struct vs_grant_bind bind = { .addr = *addr, .sockets = (uint8_t)sockets, .nth = (uint8_t)nth };
	struct vs_fault fault = { "" };
	int fd = vs_broker_ops_system.bind_udp(&bind, &fault);
	if (fd == -EADDRINUSE)
		assert_non_null(strstr(fault.text, "in use by another program"));
	return fd;
}

static void open_group(int fds[SOCKETS], const struct vs_addr *addr)
{
	for (unsigned i = 0; i < SOCKETS; i++) {
		fds[i] = bind_nth(addr, SOCKETS, i);
		assert_true(fds[i] >= 0);
	}
}

static void close_group(const int fds[SOCKETS])
{
	for (unsigned i = 0; i < SOCKETS; i++)
		close(fds[i]);
}

static void test_second_server_is_refused(void **state)
{
	int fds[SOCKETS];
	(void)state;
	for (size_t h = 0; h < VS_ARRAY_SIZE(hosts); h++) {
		struct vs_addr addr = free_address(hosts[h]);
		open_group(fds, &addr);
		assert_int_equal(bind_nth(&addr, SOCKETS, 0), -EADDRINUSE);
		assert_int_equal(bind_nth(&addr, 1, 0), -EADDRINUSE);
		assert_int_equal(vs_udp_open(&addr, false), -EADDRINUSE);
		close_group(fds);
		/* A restart finds all of it free. */
		open_group(fds, &addr);
		close_group(fds);
	}
}

/* One socket alone does not let anybody in, not even who would share. */
static void test_single_socket_is_not_shared(void **state)
{
	(void)state;
	struct vs_addr addr = free_address(hosts[0]);
	int fd = bind_nth(&addr, 1, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind_nth(&addr, SOCKETS, 1), -EADDRINUSE);
	assert_int_equal(vs_udp_open(&addr, true), -EADDRINUSE);
	close(fd);
}

/* We are not the ones to join another program's group. */
static void test_address_of_another_program(void **state)
{
	(void)state;
	struct vs_addr addr = free_address(hosts[0]);
	int other = vs_udp_open(&addr, true);
	assert_true(other >= 0);
	assert_int_equal(bind_nth(&addr, SOCKETS, 0), -EADDRINUSE);
	assert_int_equal(bind_nth(&addr, 1, 0), -EADDRINUSE);
	close(other);
}

/* Another user's program does not get into the group. */
static void test_another_user_is_refused(void **state)
{
	int fds[SOCKETS], status;
	(void)state;
	if (getuid() != 0)
		skip();
	struct vs_addr addr = free_address(hosts[0]);
	open_group(fds, &addr);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(setuid(65534) == 0 && vs_udp_open(&addr, true) == -EADDRINUSE ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close_group(fds);
}

/* Number of datagrams that wait in a socket, all of which name this receiver. */
static unsigned drain(int fd, unsigned worker)
{
	uint8_t datagram[VS_SEAL_HEADER];
	unsigned n = 0;
	while (recv(fd, datagram, sizeof(datagram), MSG_DONTWAIT) >= 0) {
		assert_int_equal(vs_get_be24(datagram + 1) & ((1u << VS_INDEX_WORKER_BITS) - 1), worker);
		n++;
	}
	return n;
}

static void test_each_gets_its_own(void **state)
{
	enum { PEERS = 20 };
	int fds[SOCKETS];
	(void)state;
	for (size_t h = 0; h < VS_ARRAY_SIZE(hosts); h++) {
		struct vs_addr addr = free_address(hosts[h]);
		open_group(fds, &addr);
		/* As the server does, with each socket that joins. */
		for (unsigned i = 1; i < SOCKETS; i++)
			assert_int_equal(vs_udp_steer(fds[i]), 0);
		for (unsigned peer = 0; peer < PEERS; peer++) {
			int fd = socket(addr.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			for (unsigned worker = 0; worker < SOCKETS; worker++) {
				uint8_t datagram[VS_SEAL_HEADER] = { peer % 2 ? VS_TYPE_DATA : VS_TYPE_CLEAR };
				vs_put_be24(datagram + 1, peer << VS_INDEX_WORKER_BITS | worker);
				assert_int_equal(sendto(fd, datagram, sizeof(datagram), 0, &addr.sa, vs_addr_len(&addr)),
						 sizeof(datagram));
			}
			close(fd);
		}
		for (unsigned worker = 0; worker < SOCKETS; worker++)
			assert_int_equal(drain(fds[worker], worker), PEERS);
		close_group(fds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_second_server_is_refused),
		cmocka_unit_test(test_single_socket_is_not_shared),
		cmocka_unit_test(test_address_of_another_program),
		cmocka_unit_test(test_another_user_is_refused),
		cmocka_unit_test(test_each_gets_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
