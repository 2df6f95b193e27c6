#include "io/faketcp_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A segment on its way to the kernel. */
struct outgoing {
	struct vs_faketcp_conn *conn;
	uint32_t seq; /* of the connection before it */
	struct vs_addr to;
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	uint8_t header[VS_FAKETCP_HEADER_MAX];
	struct iovec parts[2];
};

struct vs_faketcp_sender {
	const struct vs_conntable *table;
	int fd4, fd6;
	struct vs_carrier_stats *stats;
	struct vs_drops *drops;
	struct mmsghdr messages[VS_TX_DATAGRAMS];
	struct outgoing out[VS_TX_DATAGRAMS];
};

struct vs_faketcp_sender *vs_faketcp_sender_new(const struct vs_conntable *table, int fd4, int fd6,
						struct vs_carrier_stats *stats, struct vs_drops *drops)
{
	struct vs_faketcp_sender *sender = calloc(1, sizeof(*sender));

	if (!sender)
		return NULL;
	sender->table = table;
	sender->fd4 = fd4;
	sender->fd6 = fd6;
	sender->stats = stats;
	sender->drops = drops;
	return sender;
}

void vs_faketcp_sender_free(struct vs_faketcp_sender *sender)
{
	free(sender);
}

static int socket_for(const struct vs_faketcp_sender *sender, const struct vs_faketcp_conn *conn)
{
	if (conn->raw_fd >= 0)
		return conn->raw_fd;
	return conn->conn.peer.sa.sa_family == AF_INET6 ? sender->fd6 : sender->fd4;
}

/* --- Building messages -------------------------------------------------------------------------------------------- */

/* A raw socket's ports are not those of TCP; with IPv6, one in the address would be taken for a protocol. */
static void address_message(struct outgoing *out, struct msghdr *h)
{
	const struct vs_addr *local = &out->conn->conn.local;
	struct cmsghdr *c = (void *)out->control;

	out->to = out->conn->conn.peer;
	*h = (struct msghdr){
		.msg_name = &out->to.sa,
		.msg_namelen = vs_addr_len(&out->to),
		.msg_iov = out->parts,
		.msg_iovlen = VS_ARRAY_SIZE(out->parts),
		.msg_control = out->control,
	};
	if (local->sa.sa_family == AF_INET6) {
		struct in6_pktinfo info = { .ipi6_addr = local->in6.sin6_addr,
					    .ipi6_ifindex = local->in6.sin6_scope_id };
		out->to.in6.sin6_port = 0;
		*c = (struct cmsghdr){ CMSG_LEN(sizeof(info)), IPPROTO_IPV6, IPV6_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		h->msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		struct in_pktinfo info = { .ipi_spec_dst = local->in.sin_addr };
		out->to.in.sin_port = 0;
		*c = (struct cmsghdr){ CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO };
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		h->msg_controllen = CMSG_SPACE(sizeof(info));
	}
}

static bool same_way(const struct vs_tx_datagram *a, const struct vs_tx_datagram *b)
{
	return vs_addr_equal(&a->dst, &b->dst) && vs_addr_equal(&a->src, &b->src);
}

/* Datagrams from one link come in runs, so that the connection of the last one is most likely this one's as well. */
static struct vs_faketcp_conn *conn_for(const struct vs_faketcp_sender *sender, const struct vs_tx_batch *batch,
					uint32_t i, struct vs_faketcp_conn *last)
{
	const struct vs_tx_datagram *d = &batch->datagrams[i];

	if (last && i > batch->head && same_way(d, d - 1))
		return last;
	return vs_faketcp_conn_find(sender->table, &d->dst, &d->src);
}

static bool is_last_of_run(const struct vs_tx_batch *batch, uint32_t i)
{
	const struct vs_tx_datagram *d = &batch->datagrams[i];

	return i + 1 == batch->count || d->flags & VS_TX_ALONE || d[1].flags & VS_TX_ALONE || !same_way(d, d + 1);
}

/* The datagram as the next segment of its connection. 0 or an errno. */
static int build(struct outgoing *out, struct msghdr *h, const struct vs_tx_datagram *d, bool push, uint64_t now)
{
	size_t header_len = 0;

	out->seq = out->conn->snd_nxt;
	int err = vs_faketcp_conn_send(out->conn, d->data, d->len, push, now, out->header, &header_len);
	if (err < 0)
		return -err;
	out->parts[0] = (struct iovec){ .iov_base = out->header, .iov_len = header_len };
	out->parts[1] = (struct iovec){ .iov_base = d->data, .iov_len = d->len };
	address_message(out, h);
	return 0;
}

/* Messages from the batch's head on, all for one socket, *fd. Returns their number; if that is none, *error says
 * what is wrong with the datagram at the head. */
static uint32_t build_messages(struct vs_faketcp_sender *s, const struct vs_tx_batch *batch, uint64_t now, int *fd,
			       int *error)
{
	struct vs_faketcp_conn *conn = NULL;
	uint32_t n = 0;

	*fd = -1;
	*error = 0;
	for (uint32_t i = batch->head; i < batch->count; i++, n++) {
		conn = conn_for(s, batch, i, conn);
		*error = conn ? 0 : ENOTCONN;
		if (!conn || (n > 0 && socket_for(s, conn) != *fd))
			break;
		*fd = socket_for(s, conn);
		s->out[n].conn = conn;
		*error = build(&s->out[n], &s->messages[n].msg_hdr, &batch->datagrams[i], is_last_of_run(batch, i),
			       now);
		if (*error)
			break;
	}
	return n;
}

/* --- What became of them ------------------------------------------------------------------------------------------ */

static void account_sent(struct vs_faketcp_sender *s, struct vs_tx_batch *batch, uint32_t n)
{
	s->stats->tx_datagrams += n;
	for (; n > 0; n--) {
		s->stats->tx_bytes += batch->datagrams[batch->head].len;
		vs_tx_batch_sent(batch);
	}
}

static void account_failed(struct vs_faketcp_sender *s, struct vs_tx_batch *batch, int error)
{
	const struct vs_tx_datagram *d = &batch->datagrams[batch->head];

	s->stats->tx_failed++;
	/* A probe that is too large has got its answer: that is no loss. */
	if (error != EMSGSIZE || !(d->flags & VS_TX_ALONE))
		vs_drop(s->drops, VS_DROP_SEND_FAILED);
	vs_tx_batch_result(batch, d, error);
	vs_tx_batch_sent(batch);
}

/* Messages from `first` on did not leave: their sequence numbers are those of the next ones. */
static void take_back(struct vs_faketcp_sender *s, uint32_t first, uint32_t n)
{
	while (n-- > first)
		vs_faketcp_conn_unsend(s->out[n].conn, s->out[n].seq);
}

static bool would_block(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK;
}

/* Sends n messages that stand for the datagrams at the head. 0, or EAGAIN. */
static int send_some(struct vs_faketcp_sender *s, struct vs_tx_batch *batch, int fd, uint32_t n)
{
	s->stats->tx_calls++;
	int sent = sendmmsg(fd, s->messages, n, MSG_DONTWAIT);
	int error = sent < 0 ? errno : 0;
	uint32_t left = sent > 0 ? (uint32_t)sent : 0;

	take_back(s, left, n);
	account_sent(s, batch, left);
	if (sent > 0 || error == EINTR)
		return 0;
	if (would_block(error))
		return EAGAIN;
	account_failed(s, batch, error);
	return 0;
}

int vs_faketcp_sender_flush(struct vs_faketcp_sender *sender, struct vs_tx_batch *batch, uint64_t now)
{
	int fd, error;

	while (batch->head < batch->count) {
		uint32_t n = build_messages(sender, batch, now, &fd, &error);
		if (n == 0) {
			account_failed(sender, batch, error);
		} else if (send_some(sender, batch, fd, n) == EAGAIN) {
			sender->stats->tx_blocked++;
			return fd;
		}
	}
	return -1;
}

void vs_faketcp_sender_control(struct vs_faketcp_sender *sender, const struct vs_faketcp_conn *conn, uint8_t flags,
			       uint64_t now)
{
	struct outgoing out = { .conn = (struct vs_faketcp_conn *)conn };
	struct msghdr h;

	out.parts[0] = (struct iovec){ out.header, vs_faketcp_conn_control(conn, flags, now, out.header) };
	address_message(&out, &h);
	h.msg_iovlen = 1;
	sender->stats->tx_calls++;
	if (sendmsg(socket_for(sender, conn), &h, MSG_DONTWAIT) < 0)
		vs_drop(sender->drops, VS_DROP_SEND_FAILED);
}
