/* What the broker does to the system, once it has judged that it may. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "io/broker.h"
#include "io/logsink.h"
#include "io/loop.h"
#include "io/tap.h"
#include "io/udp_socket.h"

static int open_tap(const struct vs_tap_config *config, struct vs_fault *fault)
{
	return vs_tap_create(config, VS_TAP_QUEUE_LEN, fault);
}

static int open_log(const char *path, uint32_t max_days, struct vs_fault *fault)
{
	int fd = vs_log_file_open(path, max_days);

	return fd < 0 ? vs_fault(fault, fd, "log_file %s: %s", path, strerror(-fd)) : fd;
}

/* --- Sockets ------------------------------------------------------------------------------------------------------ */

/* Interface and mark are set before the bind: two sockets may share a port on different interfaces. */
static int restrict_socket(int fd, const struct vs_grant_bind *bind, struct vs_fault *fault)
{
	const char *interface = bind->interface;

	if (interface[0] && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) < 0) {
		if (errno == ENODEV)
			return vs_fault(fault, -ENODEV, "bind_interface '%s': no such network device", interface);
		return vs_fault(fault, -errno, "bind_interface '%s': %s (this needs CAP_NET_RAW)", interface,
				strerror(errno));
	}
	if (bind->fwmark && setsockopt(fd, SOL_SOCKET, SO_MARK, &bind->fwmark, sizeof(bind->fwmark)) < 0)
		return vs_fault(fault, -errno, "fwmark %u: %s (this needs CAP_NET_ADMIN)", bind->fwmark,
				strerror(errno));
	return 0;
}

/* Beyond net.core.rmem_max, which only a privileged process may; without the privilege the network process gets what it
 * can later on. */
static void enlarge_buffers(int fd)
{
	int bytes = (int)VS_UDP_BUFFER_DEFAULT;

	(void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	(void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
}

/* Lets the other sockets of the group bind to the address, or this one join them. */
static int share_address(int fd)
{
	int one = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ? -errno : 0;
}

/* A program that was killed a moment ago may still be closing its sockets. */
static int bind_patiently(int fd, const struct vs_addr *addr)
{
	static const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	uint64_t give_up = vs_time_add(vs_clock_usec(), VS_BROKER_BIND_PATIENCE);

	while (bind(fd, &addr->sa, vs_addr_len(addr)) < 0) {
		int err = -errno;
		if (err != -EADDRINUSE || vs_clock_usec() >= give_up)
			return err;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* The first socket of a group binds alone, and fails where another program has the address, even one that would share
 * it: two servers must not divide the datagrams between them. */
static int bind_in_group(int fd, const struct vs_grant_bind *request)
{
	int err = request->nth > 0 ? share_address(fd) : 0;

	if (err == 0)
		err = bind_patiently(fd, &request->addr);
	if (err == 0 && request->nth == 0 && request->sockets > 1)
		err = share_address(fd);
	return err;
}

static int explain_bind(const struct vs_grant_bind *request, int err, struct vs_fault *fault)
{
	const char *protocol = request->tcp ? "TCP" : "UDP";
	char text[VS_ADDR_TEXT_MAX];

	vs_addr_format(&request->addr, text);
	switch (err) {
	case -EADDRINUSE:
		return vs_fault(fault, err, "%s %s is in use by another program", protocol, text);
	case -EADDRNOTAVAIL:
		return vs_fault(fault, err, "%s %s: this host has no such address", protocol, text);
	case -EACCES:
		return vs_fault(fault, err, "%s %s: a port below 1024 needs CAP_NET_BIND_SERVICE (run as root)",
				protocol, text);
	case -EAFNOSUPPORT:
		return vs_fault(fault, err, "%s %s: this host has no IPv%d", protocol, text,
				request->addr.sa.sa_family == AF_INET6 ? 6 : 4);
	default:
		return vs_fault(fault, err, "%s %s: %s", protocol, text, strerror(-err));
	}
}

/* A socket of the version, mark and interface that are asked for; IPv6 sockets are for IPv6 only. */
static int new_socket(const struct vs_grant_bind *request, struct vs_fault *fault)
{
	int family = request->addr.sa.sa_family, one = 1;
	int fd = socket(family, (request->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return explain_bind(request, -errno, fault);
	int err = restrict_socket(fd, request, fault);
	if (err == 0 && family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		err = explain_bind(request, -errno, fault);
	if (err < 0)
		close(fd);
	return err < 0 ? err : fd;
}

static int bind_udp(const struct vs_grant_bind *request, struct vs_fault *fault)
{
	int fd = new_socket(request, fault);
	if (fd < 0)
		return fd;
	enlarge_buffers(fd);
	int err = bind_in_group(fd, request);
	if (err == 0)
		return fd;
	close(fd);
	return explain_bind(request, err, fault);
}

/* The connections of the program that had the address before may still be in TIME_WAIT. */
static int bind_again(int fd, const struct vs_addr *addr)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return -errno;
	return bind_patiently(fd, addr);
}

static int open_tcp(const struct vs_grant_bind *request, struct vs_fault *fault)
{
	int fd = new_socket(request, fault);
	if (fd < 0)
		return fd;
	int err = request->fake ? vs_faketcp_check(fd, fault) : 0;
	if (err == 0 && vs_addr_port(&request->addr) == 0)
		return fd;
	if (err == 0 && request->fake)
		err = vs_faketcp_guard(fd, fault);
	if (err == 0) {
		err = bind_again(fd, &request->addr);
		if (err == 0)
			return fd;
		explain_bind(request, err, fault);
	}
	close(fd);
	return err;
}

static int open_raw(const struct vs_grant_bind *bind, const struct vs_faketcp_scope *scope, struct vs_fault *fault)
{
	int fd = vs_faketcp_open_raw(scope, fault);
	if (fd < 0)
		return fd;
	enlarge_buffers(fd);
	int err = restrict_socket(fd, bind, fault);
	if (err == 0)
		return fd;
	close(fd);
	return err;
}

const struct vs_broker_ops vs_broker_ops_system = {
	.open_tap = open_tap,
	.bind_udp = bind_udp,
	.open_tcp = open_tcp,
	.open_raw = open_raw,
	.mute_tcp = vs_faketcp_mute,
	.open_log = open_log,
	.start_script = vs_script_start,
};
