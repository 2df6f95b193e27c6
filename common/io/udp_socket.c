#include "io/udp_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "link/wire.h"

/* Where the low byte of the receiver index stands: type:8 | receiver index:24. */
#define INDEX_LOW_BYTE 3

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

int vs_udp_open(const struct vs_addr *local, bool share)
{
	int fd = socket(local->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int rc = 0;
	if (local->sa.sa_family == AF_INET6)
		rc = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (rc == 0 && share)
		rc = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (rc == 0 && bind(fd, &local->sa, vs_addr_len(local)))
		rc = -errno;
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

struct vs_addr vs_udp_local(int fd)
{
	struct vs_addr bound = {.in6 = {.sin6_family = AF_UNSPEC}};
	socklen_t len = sizeof(bound);
	if (getsockname(fd, &bound.sa, &len))
		bound.sa.sa_family = AF_UNSPEC;
	return vs_addr_from_sockaddr(&bound.sa, len);
}

static void set_buffer(int fd, int forced, int plain, uint32_t bytes)
{
	int value = (int)(bytes ? bytes : VS_UDP_BUFFER_DEFAULT), have = 0;
	socklen_t len = sizeof(have);
	/* Whoever opened the socket may have had the privilege to force it already (the kernel reports double). */
	if (getsockopt(fd, SOL_SOCKET, plain, &have, &len) == 0 && have / 2 >= value)
		return;
	/* Without CAP_NET_ADMIN the kernel silently gives what the sysctl allows: slower, but not wrong. */
	if (set_option(fd, SOL_SOCKET, forced, value) && set_option(fd, SOL_SOCKET, plain, value))
		vs_debug("socket buffer of %d bytes refused: %s", value, strerror(errno));
}

static int configure_v4(int fd, bool errors)
{
	int rc = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (rc == 0)
		rc = set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	if (rc == 0 && errors)
		rc = set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
	return rc;
}

static int configure_v6(int fd, bool errors)
{
	int rc = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (rc == 0)
		rc = set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	if (rc == 0 && errors)
		rc = set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
	return rc;
}

int vs_udp_configure(int fd, const struct vs_udp_options *options)
{
	struct vs_addr local = vs_udp_local(fd);
	int rc;
	if (local.sa.sa_family == AF_INET)
		rc = configure_v4(fd, options->errors);
	else if (local.sa.sa_family == AF_INET6)
		rc = configure_v6(fd, options->errors);
	else
		rc = -EAFNOSUPPORT;
	if (rc)
		return rc;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options->receive_buffer);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options->send_buffer);
	if (!options->no_gro && set_option(fd, IPPROTO_UDP, UDP_GRO, 1))
		vs_debug("this kernel has no UDP_GRO: receiving datagrams one by one");
	return 0;
}

int vs_udp_steer(int fd)
{
	/* Offsets count from the UDP payload. A datagram that is too short for a load goes to the first socket. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VS_TYPE_INITIATION, 2, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, INDEX_LOW_BYTE),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {.len = VS_ARRAY_SIZE(code), .filter = code};
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)))
		return -errno;
	return 0;
}
