#include "io/faketcp_socket.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STATE_ESTABLISHED 1 /* tcpi_state, as RFC 9293 calls it */

/* A fault of a step that takes a privilege, which is what it lacks most likely. */
static int privileged(const char *step, int err, struct vs_fault *fault)
{
	if (err != -EPERM && err != -EACCES)
		return vs_fault(fault, err, "fake TCP: %s: %s", step, strerror(-err));
	return vs_fault(fault, err,
			"fake TCP needs CAP_NET_RAW and CAP_NET_ADMIN (%s: %s): run as root or give the service both "
			"capabilities, or choose carrier = udp or tcp",
			step, strerror(-err));
}

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int get(int fd, int level, int name, void *out, socklen_t size)
{
	memset(out, 0, size);
	return getsockopt(fd, level, name, out, &size) < 0 ? -errno : 0;
}

static int attach(int fd, const struct vs_faketcp_filter *filter)
{
	struct sock_fprog program = { .len = filter->len, .filter = (struct sock_filter *)filter->code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static bool is_tcp(int fd)
{
	int type, protocol;

	return get(fd, SOL_SOCKET, SO_TYPE, &type, sizeof(type)) == 0 && type == SOCK_STREAM &&
	       get(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, sizeof(protocol)) == 0 && protocol == IPPROTO_TCP;
}

/* The address alone, without its port. */
static bool is_host(const struct vs_addr *a, const struct vs_addr *b)
{
	if (a->sa.sa_family == AF_INET6)
		return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
	return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
}

static struct vs_addr name_of(int fd, int (*name)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);

	memset(&storage, 0, sizeof(storage));
	if (name(fd, (struct sockaddr *)&storage, &len) < 0)
		storage.ss_family = AF_UNSPEC;
	return vs_addr_from_sockaddr((const struct sockaddr *)&storage, len);
}

static int get_sock_name(int fd, struct sockaddr *out, socklen_t *len)
{
	return getsockname(fd, out, len);
}

static int get_peer_name(int fd, struct sockaddr *out, socklen_t *len)
{
	return getpeername(fd, out, len);
}

static bool is_wildcard(const struct vs_addr *addr)
{
	if (addr->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
	return addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool vs_faketcp_is_local(int fd, const struct vs_addr *addr)
{
	if (!is_tcp(fd))
		return false;
	struct vs_addr local = name_of(fd, get_sock_name);
	if (local.sa.sa_family != addr->sa.sa_family)
		return false;
	return (vs_addr_port(addr) == 0 || vs_addr_port(&local) == vs_addr_port(addr)) &&
	       (is_wildcard(addr) || is_host(&local, addr));
}

bool vs_faketcp_is_bound(int fd, const struct vs_addr *addr)
{
	if (!is_tcp(fd))
		return false;
	struct vs_addr local = name_of(fd, get_sock_name);
	return vs_addr_equal(&local, addr);
}

int vs_faketcp_check(int fd, struct vs_fault *fault)
{
	int err = set_int(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);

	if (err == 0)
		err = set_int(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF);
	return err < 0 ? privileged("TCP_REPAIR", err, fault) : 0;
}

int vs_faketcp_guard(int fd, struct vs_fault *fault)
{
	struct vs_faketcp_filter filter;

	vs_faketcp_filter_no_data(&filter);
	int err = attach(fd, &filter);
	return err < 0 ? privileged("socket filter", err, fault) : 0;
}

/* --- Silence ------------------------------------------------------------------------------------------------------ */

static int read_queue_seq(int fd, int queue, uint32_t *seq)
{
	int err = set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue);

	return err < 0 ? err : get(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, seq, sizeof(*seq));
}

static int read_options(int fd, struct vs_faketcp_start *start)
{
	struct tcp_info info;
	int err = get(fd, IPPROTO_TCP, TCP_INFO, &info, sizeof(info));

	if (err < 0)
		return err;
	start->has_ts = info.tcpi_options & TCPI_OPT_TIMESTAMPS;
	if (info.tcpi_options & TCPI_OPT_WSCALE) {
		start->snd_wscale = info.tcpi_snd_wscale;
		start->rcv_wscale = info.tcpi_rcv_wscale;
	}
	return 0;
}

/* Under TCP_REPAIR, TCP_MAXSEG is the MSS as it was agreed on, timestamps not subtracted. */
static int read_state(int fd, struct vs_faketcp_start *start)
{
	struct tcp_repair_window window;
	int err = read_queue_seq(fd, TCP_SEND_QUEUE, &start->snd_nxt);

	if (err == 0)
		err = read_queue_seq(fd, TCP_RECV_QUEUE, &start->rcv_nxt);
	if (err == 0)
		err = get(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window));
	if (err == 0)
		err = get(fd, IPPROTO_TCP, TCP_MAXSEG, &start->mss, sizeof(start->mss));
	if (err == 0)
		err = get(fd, IPPROTO_TCP, TCP_TIMESTAMP, &start->ts_val, sizeof(start->ts_val));
	if (err == 0)
		err = read_options(fd, start);
	start->snd_wnd = window.snd_wnd;
	/* The kernel keeps the lowest bit for itself; never behind what it has sent. */
	start->ts_val++;
	return err;
}

static int silence(int fd, const char **step)
{
	struct vs_faketcp_filter filter;

	*step = "socket filter";
	vs_faketcp_filter_nothing(&filter);
	int err = attach(fd, &filter);
	if (err == 0)
		err = set_int(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
	if (err == 0) {
		*step = "TCP_REPAIR";
		err = set_int(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
	}
	return err;
}

static bool established(int fd)
{
	struct tcp_info info;

	return get(fd, IPPROTO_TCP, TCP_INFO, &info, sizeof(info)) == 0 && info.tcpi_state == STATE_ESTABLISHED;
}

int vs_faketcp_mute(int fd, struct vs_faketcp_start *start, struct vs_fault *fault)
{
	const char *step;
	int err = silence(fd, &step);

	if (err < 0)
		return privileged(step, err, fault);
	memset(start, 0, sizeof(*start));
	start->local = name_of(fd, get_sock_name);
	start->peer = name_of(fd, get_peer_name);
	if (!vs_addr_is_set(&start->peer) || !established(fd))
		return vs_fault(fault, -ENOTCONN, "fake TCP: the connection has ended before it began");
	err = read_state(fd, start);
	return err < 0 ? privileged("reading the connection", err, fault) : 0;
}

/* --- Raw sockets -------------------------------------------------------------------------------------------------- */

static int configure_raw(int fd, int family)
{
	if (family == AF_INET)
		return set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	int err = set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	return err < 0 ? err : set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

/* Nothing that came before the filter was there may be read. */
static int filter_raw(int fd, const struct vs_faketcp_scope *scope)
{
	struct vs_faketcp_filter filter;
	char byte;

	vs_faketcp_filter_nothing(&filter);
	int err = attach(fd, &filter);
	while (err == 0 && recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0)
		;
	vs_faketcp_filter_raw(&filter, scope);
	if (err == 0)
		err = attach(fd, &filter);
	return err < 0 ? err : set_int(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
}

int vs_faketcp_open_raw(const struct vs_faketcp_scope *scope, struct vs_fault *fault)
{
	int family = scope->local.sa.sa_family;
	int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return privileged("raw socket", -errno, fault);
	int err = filter_raw(fd, scope);
	if (err == 0)
		err = configure_raw(fd, family);
	if (err < 0) {
		close(fd);
		return privileged("raw socket", err, fault);
	}
	vs_faketcp_narrow_raw(fd, &scope->local);
	return fd;
}

void vs_faketcp_narrow_raw(int fd, const struct vs_addr *local)
{
	struct vs_addr host = *local;

	if (is_wildcard(&host))
		return;
	/* A raw socket's port would be a protocol. */
	if (host.sa.sa_family == AF_INET6)
		host.in6.sin6_port = 0;
	else
		host.in.sin_port = 0;
	(void)!bind(fd, &host.sa, vs_addr_len(&host));
}
