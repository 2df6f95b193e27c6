#include "faketcp_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "netns.h"

#define PATIENCE_MSEC 2000

static int namespaces[2];

static int this_namespace(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		abort();
	return fd;
}

void ft_enter(enum ft_side side)
{
	if (setns(namespaces[side], CLONE_NEWNET) < 0)
		abort();
}

void ft_run(enum ft_side side, const char *command)
{
	ft_enter(side);
	if (system(command) != 0) {
		fprintf(stderr, "failed: %s\n", command);
		exit(EXIT_FAILURE);
	}
}

/* Addresses are there at once: nobody else is on this line to ask for them. */
void ft_hosts(void)
{
	char command[128];

	vs_netns_enter();
	namespaces[FT_CLIENT] = this_namespace();
	if (unshare(CLONE_NEWNET) < 0)
		abort();
	namespaces[FT_SERVER] = this_namespace();
	snprintf(command, sizeof(command), "ip link add vs type veth peer name vc netns /proc/%d/fd/%d", (int)getpid(),
		 namespaces[FT_CLIENT]);
	ft_run(FT_SERVER, command);
	ft_run(FT_SERVER, "ip link set lo up && ip link set vs up && ip addr add 10.0.0.2/24 dev vs && "
			  "ip addr add fd00::2/64 dev vs nodad");
	ft_run(FT_CLIENT, "ip link set lo up && ip link set vc up && ip addr add 10.0.0.1/24 dev vc && "
			  "ip addr add fd00::1/64 dev vc nodad");
}

struct vs_addr ft_addr(enum ft_side side, int family, uint16_t port)
{
	static const char *const texts[2][2] = { { "10.0.0.1", "fd00::1" }, { "10.0.0.2", "fd00::2" } };
	struct vs_addr addr;

	assert_int_equal(vs_addr_parse(texts[side][family == AF_INET6], port, &addr), 0);
	return addr;
}

static struct vs_addr any(int family, uint16_t port)
{
	struct vs_addr addr;

	assert_int_equal(vs_addr_parse(family == AF_INET6 ? "::" : "0.0.0.0", port, &addr), 0);
	return addr;
}

static int tcp_socket(int family, uint16_t port)
{
	struct vs_addr addr = any(family, port);
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	assert_true(fd >= 0);
	if (family == AF_INET6)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)), 0);
	if (bind(fd, &addr.sa, vs_addr_len(&addr)) < 0)
		fail_msg("bind: %s", strerror(errno));
	return fd;
}

int ft_listen(int family)
{
	struct vs_fault fault;

	ft_enter(FT_SERVER);
	int fd = tcp_socket(family, FT_PORT);
	if (vs_faketcp_guard(fd, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static int open_raw(const struct vs_faketcp_scope *scope)
{
	struct vs_fault fault;
	int fd = vs_faketcp_open_raw(scope, &fault);

	if (fd < 0)
		fail_msg("%s", fault.text);
	return fd;
}

int ft_raw(int family, enum vs_faketcp_share share, unsigned worker)
{
	struct vs_faketcp_scope scope = {
		.local = any(family, FT_PORT), .share = (uint8_t)share, .worker = (uint8_t)worker
	};

	ft_enter(FT_SERVER);
	return open_raw(&scope);
}

static struct vs_faketcp_conn *silence(int fd, int raw_fd, struct vs_loop *loop)
{
	struct vs_faketcp_start start;
	struct vs_fault fault;

	if (vs_faketcp_mute(fd, &start, &fault) < 0)
		fail_msg("%s", fault.text);
	struct vs_faketcp_conn *conn = vs_faketcp_conn_new(&start, fd, raw_fd, vs_loop_now(loop));
	assert_non_null(conn);
	return conn;
}

static void wait_for_fd(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
}

struct vs_faketcp_conn *ft_connect(int family, struct vs_loop *loop)
{
	struct vs_faketcp_scope scope = { .share = VS_FAKETCP_PEER };
	socklen_t len = sizeof(scope.local.in6);
	int error = 0;
	socklen_t error_len = sizeof(error);

	ft_enter(FT_CLIENT);
	int fd = tcp_socket(family, 0);
	assert_int_equal(getsockname(fd, &scope.local.sa, &len), 0);
	scope.peer = ft_addr(FT_SERVER, family, FT_PORT);
	int raw_fd = open_raw(&scope);
	if (connect(fd, &scope.peer.sa, vs_addr_len(&scope.peer)) < 0)
		assert_int_equal(errno, EINPROGRESS);
	wait_for_fd(fd, POLLOUT);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len), 0);
	assert_int_equal(error, 0);
	return silence(fd, raw_fd, loop);
}

struct vs_faketcp_conn *ft_accept(int listener, struct vs_loop *loop)
{
	wait_for_fd(listener, POLLIN);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return silence(fd, -1, loop);
}
