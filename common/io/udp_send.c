#include "io/udp_send.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

#define GSO_REFUSALS_MAX 3 /* in a row, before it is given up: one may be another datagram's ICMP error */

/* Largest set of control messages: UDP_SEGMENT and the source address. */
union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

struct vs_udp_sender {
	int fd4, fd6;
	bool gso;
	unsigned gso_refusals;
	struct vs_carrier_stats *stats;
	struct vs_drops *drops;
	struct mmsghdr messages[VS_TX_DATAGRAMS];
	struct iovec parts[VS_TX_DATAGRAMS];
	union control controls[VS_TX_DATAGRAMS];
	uint8_t datagrams[VS_TX_DATAGRAMS]; /* in each message */
};

_Static_assert(VS_TX_MESSAGE_DATAGRAMS <= UINT8_MAX, "a message's datagrams are counted in 8 bits");

struct vs_udp_sender *vs_udp_sender_new(int fd4, int fd6, bool gso, struct vs_carrier_stats *stats,
					struct vs_drops *drops)
{
	struct vs_udp_sender *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->fd4 = fd4;
	s->fd6 = fd6;
	s->gso = gso;
	s->stats = stats;
	s->drops = drops;
	return s;
}

void vs_udp_sender_free(struct vs_udp_sender *sender)
{
	free(sender);
}

bool vs_udp_sender_gso(const struct vs_udp_sender *sender)
{
	return sender->gso;
}

static int socket_for(const struct vs_udp_sender *s, const struct vs_tx_datagram *d)
{
	return d->dst.sa.sa_family == AF_INET6 ? s->fd6 : s->fd4;
}

/* --- Building messages ------------------------------------------------------------------------------------------- */

/* How many datagrams from `first` on can leave as one message: equal sizes, only the last may be shorter. They are
 * neighbours in the arena. */
static uint32_t run_length(const struct vs_udp_sender *s, const struct vs_tx_batch *batch, uint32_t first)
{
	const struct vs_tx_datagram *d = &batch->datagrams[first], *next = d + 1;
	uint32_t n = 1, bytes = d->len;
	uint32_t max = VS_MIN(batch->count - first, (uint32_t)VS_TX_MESSAGE_DATAGRAMS);
	if (!s->gso || d->flags & VS_TX_ALONE)
		return 1;
	for (; n < max && next[-1].len == d->len; n++, next++) {
		bytes += next->len;
		if (next->len > d->len || bytes > VS_TX_MESSAGE_BYTES || next->flags & VS_TX_ALONE ||
		    !vs_addr_equal(&next->dst, &d->dst) || !vs_addr_equal(&next->src, &d->src))
			break;
	}
	return n;
}

static void *append_control(struct msghdr *h, int level, int type, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)h->msg_control + h->msg_controllen);
	h->msg_controllen += CMSG_SPACE(len);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	return CMSG_DATA(c);
}

static void append_source(struct msghdr *h, const struct vs_addr *src)
{
	if (src->sa.sa_family == AF_INET) {
		struct in_pktinfo info = {.ipi_spec_dst = src->in.sin_addr};
		memcpy(append_control(h, IPPROTO_IP, IP_PKTINFO, sizeof(info)), &info, sizeof(info));
	} else if (src->sa.sa_family == AF_INET6) {
		struct in6_pktinfo info = {.ipi6_addr = src->in6.sin6_addr, .ipi6_ifindex = src->in6.sin6_scope_id};
		memcpy(append_control(h, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(info)), &info, sizeof(info));
	}
}

/* The i-th message: n datagrams from d on. */
static void build_message(struct vs_udp_sender *s, uint32_t i, struct vs_tx_datagram *d, uint32_t n)
{
	const struct vs_tx_datagram *last = d + n - 1;
	struct msghdr *h = &s->messages[i].msg_hdr;
	s->datagrams[i] = (uint8_t)n;
	s->parts[i] = (struct iovec){.iov_base = d->data, .iov_len = (size_t)(last->data - d->data) + last->len};
	*h = (struct msghdr){
		.msg_name = &d->dst.sa,
		.msg_namelen = vs_addr_len(&d->dst),
		.msg_iov = &s->parts[i],
		.msg_iovlen = 1,
		.msg_control = s->controls[i].bytes,
	};
	/* A source of the other IP version cannot be meant: the peer has roamed between them. */
	if (d->src.sa.sa_family == d->dst.sa.sa_family)
		append_source(h, &d->src);
	if (n > 1)
		memcpy(append_control(h, IPPROTO_UDP, UDP_SEGMENT, sizeof(d->len)), &d->len, sizeof(d->len));
	if (!h->msg_controllen)
		h->msg_control = NULL;
}

/* Messages from the batch's head on, all for one socket. Returns their number. */
static uint32_t build_messages(struct vs_udp_sender *s, struct vs_tx_batch *batch, int fd)
{
	uint32_t n = 0;
	for (uint32_t i = batch->head; i < batch->count && socket_for(s, &batch->datagrams[i]) == fd; n++) {
		uint32_t run = run_length(s, batch, i);
		build_message(s, n, &batch->datagrams[i], run);
		i += run;
	}
	return n;
}

/* --- What became of them ----------------------------------------------------------------------------------------- */

static void account_sent(struct vs_udp_sender *s, struct vs_tx_batch *batch, uint32_t n)
{
	s->stats->tx_datagrams += n;
	if (n > 1) {
		s->stats->tx_coalesced += n;
		s->gso_refusals = 0;
	}
	for (; n > 0; n--) {
		s->stats->tx_bytes += batch->datagrams[batch->head].len;
		vs_tx_batch_sent(batch);
	}
}

static void account_failed(struct vs_udp_sender *s, struct vs_tx_batch *batch, uint32_t n, int error)
{
	s->stats->tx_failed += n;
	for (; n > 0; n--) {
		const struct vs_tx_datagram *d = &batch->datagrams[batch->head];
		/* A probe that is too large has got its answer: that is no loss. */
		if (error != EMSGSIZE || !(d->flags & VS_TX_ALONE))
			vs_drop(s->drops, VS_DROP_SEND_FAILED);
		vs_tx_batch_result(batch, d, error);
		vs_tx_batch_sent(batch);
	}
}

static int send_message(struct vs_udp_sender *s, int fd, const struct msghdr *h)
{
	ssize_t n;
	do {
		s->stats->tx_calls++;
		n = sendmsg(fd, h, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? errno : 0;
}

/* The kernel's words for a source address that this host does not have (any more): they differ by version. */
static bool may_mean_no_source(int error)
{
	return error == EINVAL || error == ENETUNREACH || error == EADDRNOTAVAIL;
}

/* Sends the datagram at the head by itself. 0 or an errno. *as_is: with everything that was asked for. */
static int send_alone(struct vs_udp_sender *s, struct vs_tx_batch *batch, int fd, bool *as_is)
{
	struct vs_tx_datagram *d = &batch->datagrams[batch->head];
	build_message(s, 0, d, 1);
	struct msghdr *h = &s->messages[0].msg_hdr;
	int error = send_message(s, fd, h);
	*as_is = !error;
	if (may_mean_no_source(error) && h->msg_control) {
		h->msg_control = NULL;
		h->msg_controllen = 0;
		error = send_message(s, fd, h);
		if (!error)
			vs_tx_batch_result(batch, d, EADDRNOTAVAIL);
	}
	return error;
}

static bool would_block(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK;
}

/* Errors that a second attempt, alone, meets as well, or makes worse. */
static bool is_final(int error)
{
	return error == EPERM || error == ENOBUFS || error == ENOMEM;
}

static bool may_mean_no_gso(int error)
{
	return error == EIO || error == EINVAL || error == ENOPROTOOPT || error == EOPNOTSUPP;
}

static void note_gso_refusal(struct vs_udp_sender *s, int error)
{
	if (!may_mean_no_gso(error) || ++s->gso_refusals < GSO_REFUSALS_MAX)
		return;
	s->gso = false;
	vs_info("UDP segmentation offload is not available here (%s): sending datagrams one by one", strerror(error));
}

/* The message at the head, of n datagrams, was refused: tries each by itself. Besides GSO that does not work, the cause
 * may be an error that ICMP reported about a datagram sent before, which the kernel hands to whoever sends next; or
 * only the longest of a path that has shrunk are too long. Returns 0, or EAGAIN if the socket's buffer is full. */
static int send_apart(struct vs_udp_sender *s, struct vs_tx_batch *batch, int fd, uint32_t n, int refusal)
{
	/* GSO is to blame only if the first, and so the longest, leaves without it, and nothing else is different. */
	bool plain_works = false;
	for (uint32_t i = 0; i < n; i++) {
		bool as_is;
		int error = send_alone(s, batch, fd, &as_is);
		if (would_block(error))
			return EAGAIN;
		if (error)
			account_failed(s, batch, 1, error);
		else
			account_sent(s, batch, 1);
		if (i == 0)
			plain_works = as_is;
	}
	if (n > 1 && plain_works)
		note_gso_refusal(s, refusal);
	return 0;
}

/* Sends messages of the socket at the head. 0, or EAGAIN. */
static int send_some(struct vs_udp_sender *s, struct vs_tx_batch *batch, int fd)
{
	uint32_t n = build_messages(s, batch, fd);
	s->stats->tx_calls++;
	int sent = sendmmsg(fd, s->messages, n, MSG_DONTWAIT);
	for (int i = 0; i < sent; i++)
		account_sent(s, batch, s->datagrams[i]);
	if (sent > 0 || errno == EINTR)
		return 0;
	if (would_block(errno))
		return EAGAIN;
	if (is_final(errno)) {
		account_failed(s, batch, s->datagrams[0], errno);
		return 0;
	}
	return send_apart(s, batch, fd, s->datagrams[0], errno);
}

int vs_udp_sender_flush(struct vs_udp_sender *sender, struct vs_tx_batch *batch)
{
	while (batch->head < batch->count) {
		int fd = socket_for(sender, &batch->datagrams[batch->head]);
		if (fd < 0) {
			account_failed(sender, batch, 1, EAFNOSUPPORT);
		} else if (send_some(sender, batch, fd) == EAGAIN) {
			sender->stats->tx_blocked++;
			return fd;
		}
	}
	return -1;
}
