#include "io/plain_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "io/udp_socket.h"

#define BACKLOG 64

/* An idle TCP peer is asked after so many seconds, and taken for gone when it has not answered for so long. */
#define TCP_IDLE_SEC 30
#define TCP_INTERVAL_SEC 10
#define TCP_PROBES 3
/* A peer that does not acknowledge what it was sent is gone after so many milliseconds. */
#define TCP_TIMEOUT_MSEC 20000

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

/* --- KCP over UDP --- */

int vs_plain_listen_udp(int fd)
{
	struct vs_addr local = vs_udp_local(fd);
	if (local.sa.sa_family == AF_INET6)
		return set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	return set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

/* The address that the datagram was sent to takes the place of that of the socket, which may be all of them. */
static void read_destination(struct msghdr *message, struct vs_addr *local)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			local->in.sin_addr = info.ipi_addr;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			local->in6.sin6_addr = info.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				local->in6.sin6_scope_id = info.ipi6_ifindex;
		}
	}
}

int vs_plain_receive(int fd, struct vs_plain_hello *hello)
{
	struct sockaddr_storage from;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct iovec iov = { .iov_base = hello->datagram, .iov_len = sizeof(hello->datagram) };
	struct msghdr message = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	hello->len = (size_t)n;
	hello->peer = vs_addr_from_sockaddr((const struct sockaddr *)&from, message.msg_namelen);
	hello->local = vs_udp_local(fd);
	read_destination(&message, &hello->local);
	return 0;
}

int vs_plain_connect_udp(int fd, const struct vs_addr *peer)
{
	/* A plain KCP knows nothing of the path's MTU: what is too large goes in IP fragments. */
	int err = peer->sa.sa_family == AF_INET6
			  ? set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT)
			  : set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	if (err == 0 && connect(fd, &peer->sa, vs_addr_len(peer)))
		err = -errno;
	return err;
}

/* --- Frames over TCP --- */

int vs_plain_listen_tcp(int fd)
{
	return listen(fd, BACKLOG) ? -errno : 0;
}

static int set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, VS_PLAIN_UNSENT_MAX },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_TIMEOUT_MSEC },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, TCP_IDLE_SEC },
		{ IPPROTO_TCP, TCP_KEEPINTVL, TCP_INTERVAL_SEC },
		{ IPPROTO_TCP, TCP_KEEPCNT, TCP_PROBES },
	};
	int err = 0;
	for (size_t i = 0; i < VS_ARRAY_SIZE(options) && err == 0; i++)
		err = set_option(fd, options[i].level, options[i].name, options[i].value);
	return err;
}

int vs_plain_accept(int fd, struct vs_addr *peer)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int conn = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (conn < 0)
		return -errno;
	*peer = vs_addr_from_sockaddr((const struct sockaddr *)&from, len);
	int err = set_options(conn);
	if (err == 0)
		return conn;
	close(conn);
	return err;
}
