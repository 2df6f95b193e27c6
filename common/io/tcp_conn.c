#include "io/tcp_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"

/* Bytes that the kernel may hold unsent. */
#define NOTSENT_MAX (32 << 10)

_Static_assert(VS_TCP_READ_MAX >= 2 * (VS_TCP_FRAMING + VS_DATAGRAM_MAX), "a read makes a whole datagram of any part");

/* --- Life --- */

static void free_conn(struct vs_conn *conn)
{
	struct vs_tcp_conn *tcp = vs_tcp_conn_of(conn);
	close(tcp->fd);
	free(tcp->kept);
	free(tcp->pending);
	free(tcp);
}

static struct vs_addr peer_of(int fd)
{
	struct vs_addr peer = { .in6 = { .sin6_family = AF_UNSPEC } };
	socklen_t len = sizeof(peer);
	if (getpeername(fd, &peer.sa, &len) < 0)
		peer.sa.sa_family = AF_UNSPEC;
	return vs_addr_from_sockaddr(&peer.sa, len);
}

static struct vs_addr local_of(int fd)
{
	struct vs_addr local = { .in6 = { .sin6_family = AF_UNSPEC } };
	socklen_t len = sizeof(local);
	if (getsockname(fd, &local.sa, &len) < 0)
		local.sa.sa_family = AF_UNSPEC;
	return vs_addr_from_sockaddr(&local.sa, len);
}

static int configure(int fd)
{
	int one = 1, lowat = NOTSENT_MAX, flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)) < 0)
		return -errno;
	return 0;
}

struct vs_conn *vs_tcp_conn_new(int fd)
{
	struct vs_tcp_conn *tcp = calloc(1, sizeof(*tcp));
	struct vs_addr peer = peer_of(fd), local = local_of(fd);
	int err = tcp ? configure(fd) : -ENOMEM;
	/* Reset before we could look. */
	if (err == 0 && (!vs_addr_is_set(&peer) || !vs_addr_is_set(&local)))
		err = -ENOTCONN;
	if (err < 0) {
		free(tcp);
		close(fd);
		errno = -err;
		return NULL;
	}
	vs_conn_init(&tcp->conn, VS_CARRIER_TCP, &peer, &local, free_conn);
	tcp->fd = fd;
	vs_list_init(&tcp->blocked);
	return &tcp->conn;
}

/* --- Out --- */

/* Appends a datagram, less its first `from` bytes, header included. False: there is no room. */
static bool append(struct vs_tcp_conn *tcp, const struct vs_tx_datagram *datagram, size_t from)
{
	uint8_t header[VS_TCP_FRAMING];
	size_t len = VS_TCP_FRAMING + datagram->len - from;
	if (len > VS_TCP_PENDING_MAX - tcp->pending_len)
		return false;
	if (!tcp->pending)
		tcp->pending = malloc(VS_TCP_PENDING_MAX);
	if (!tcp->pending)
		return false;
	if (tcp->pending_from + tcp->pending_len + len > VS_TCP_PENDING_MAX) {
		memmove(tcp->pending, tcp->pending + tcp->pending_from, tcp->pending_len);
		tcp->pending_from = 0;
	}
	uint8_t *to = tcp->pending + tcp->pending_from + tcp->pending_len;
	vs_put_be16(header, datagram->len);
	size_t of_header = from < VS_TCP_FRAMING ? VS_TCP_FRAMING - from : 0;
	memcpy(to, header + VS_TCP_FRAMING - of_header, of_header);
	memcpy(to + of_header, datagram->data + datagram->len - (len - of_header), len - of_header);
	tcp->pending_len += (uint32_t)len;
	return true;
}

static ssize_t send_bytes(int fd, struct iovec *iov, size_t n)
{
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = n };
	ssize_t sent;
	do {
		sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
	return sent;
}

static ssize_t send_run(int fd, const struct vs_tx_datagram *datagrams, uint32_t n)
{
	uint8_t headers[VS_TCP_RUN][VS_TCP_FRAMING];
	struct iovec iov[2 * VS_TCP_RUN];
	for (uint32_t i = 0; i < n; i++) {
		vs_put_be16(headers[i], datagrams[i].len);
		iov[2 * i] = (struct iovec){ headers[i], VS_TCP_FRAMING };
		iov[2 * i + 1] = (struct iovec){ datagrams[i].data, datagrams[i].len };
	}
	return send_bytes(fd, iov, 2 * (size_t)n);
}

int vs_tcp_conn_write(struct vs_tcp_conn *tcp, const struct vs_tx_datagram *datagrams, uint32_t n)
{
	size_t sent = 0, at = 0;
	if (!tcp->pending_len) {
		ssize_t rc = send_run(tcp->fd, datagrams, n);
		if (rc < 0)
			return (int)rc;
		sent = (size_t)rc;
	}
	for (uint32_t i = 0; i < n; i++) {
		size_t size = VS_TCP_FRAMING + (size_t)datagrams[i].len;
		if (at + size > sent && !append(tcp, &datagrams[i], sent > at ? sent - at : 0)) {
			/* Cut off in the middle, for want of memory: the stream cannot go on. */
			return sent > at ? -ENOMEM : (int)i;
		}
		at += size;
	}
	return (int)n;
}

int vs_tcp_conn_resume(struct vs_tcp_conn *tcp)
{
	struct iovec iov = { tcp->pending + tcp->pending_from, tcp->pending_len };
	ssize_t sent = tcp->pending_len ? send_bytes(tcp->fd, &iov, 1) : 0;
	if (sent < 0)
		return (int)sent;
	tcp->pending_from += (uint32_t)sent;
	tcp->pending_len -= (uint32_t)sent;
	if (!tcp->pending_len) {
		free(tcp->pending);
		tcp->pending = NULL;
		tcp->pending_from = 0;
	}
	return (int)sent;
}

/* --- In --- */

int vs_tcp_conn_read(struct vs_tcp_conn *tcp, uint8_t *buffer)
{
	ssize_t n;
	if (tcp->kept)
		memcpy(buffer, tcp->kept, tcp->kept_len);
	do {
		n = recv(tcp->fd, buffer + tcp->kept_len, VS_TCP_READ_MAX - tcp->kept_len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	n += tcp->kept_len;
	free(tcp->kept);
	tcp->kept = NULL;
	tcp->kept_len = 0;
	return (int)n;
}

int vs_tcp_parse(const uint8_t *buffer, size_t len, size_t *datagram_len)
{
	if (len < VS_TCP_FRAMING)
		return -EAGAIN;
	*datagram_len = vs_get_be16(buffer);
	if (*datagram_len == 0 || *datagram_len > VS_DATAGRAM_MAX)
		return -EPROTO;
	return len - VS_TCP_FRAMING < *datagram_len ? -EAGAIN : 0;
}

int vs_tcp_conn_keep(struct vs_tcp_conn *tcp, const uint8_t *bytes, size_t len)
{
	if (!len)
		return 0;
	tcp->kept = malloc(len);
	if (!tcp->kept)
		return -ENOMEM;
	memcpy(tcp->kept, bytes, len);
	tcp->kept_len = (uint32_t)len;
	return 0;
}
