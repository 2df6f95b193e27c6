#include "io/udp_receive.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define MESSAGE_SIZE 65536 /* the largest UDP payload, which UDP_GRO does fill */
#define ERRORS_MAX 64

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

struct vs_udp_receiver {
	struct vs_carrier_stats *stats;
	uint8_t *buffers; /* VS_UDP_MESSAGES of MESSAGE_SIZE */
	struct mmsghdr messages[VS_UDP_MESSAGES];
	struct iovec parts[VS_UDP_MESSAGES];
	union control controls[VS_UDP_MESSAGES];
	struct vs_addr from[VS_UDP_MESSAGES], local[VS_UDP_MESSAGES];
	size_t used; /* messages that the last call has filled in */
	struct vs_rx_batch batch;
};

/* The first n messages, whose lengths the kernel shortens as it fills them in. */
static void prepare(struct vs_udp_receiver *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		r->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &r->from[i].sa,
			.msg_namelen = sizeof(r->from[i]),
			.msg_iov = &r->parts[i],
			.msg_iovlen = 1,
			.msg_control = r->controls[i].bytes,
			.msg_controllen = sizeof(r->controls[i].bytes),
		};
	}
}

struct vs_udp_receiver *vs_udp_receiver_new(struct vs_carrier_stats *stats)
{
	struct vs_udp_receiver *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->stats = stats;
	r->buffers = mmap(NULL, VS_UDP_MESSAGES * MESSAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	if (r->buffers == MAP_FAILED) {
		free(r);
		return NULL;
	}
	for (size_t i = 0; i < VS_UDP_MESSAGES; i++)
		r->parts[i] = (struct iovec){.iov_base = r->buffers + i * MESSAGE_SIZE, .iov_len = MESSAGE_SIZE};
	prepare(r, VS_UDP_MESSAGES);
	return r;
}

void vs_udp_receiver_free(struct vs_udp_receiver *receiver)
{
	if (!receiver)
		return;
	munmap(receiver->buffers, VS_UDP_MESSAGES * MESSAGE_SIZE);
	free(receiver);
}

static void read_v4_local(const struct cmsghdr *c, uint16_t port, struct vs_addr *local)
{
	struct in_pktinfo info;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	/* Of the two addresses in it, the one that answers may leave from: it differs for a broadcast. */
	local->in = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = info.ipi_spec_dst,
	};
}

static void read_v6_local(const struct cmsghdr *c, uint16_t port, struct vs_addr *local)
{
	struct in6_pktinfo info;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	local->in6 = (struct sockaddr_in6){
		.sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = info.ipi6_addr,
	};
	/* Other addresses are not bound to an interface: the answer may leave by another. */
	if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
		local->in6.sin6_scope_id = info.ipi6_ifindex;
}

/* Fills in the local address; returns the size of the datagrams that the message was merged from, or 0. */
static size_t read_controls(struct msghdr *h, uint16_t port, struct vs_addr *local)
{
	int size = 0;
	memset(local, 0, sizeof(*local));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			read_v4_local(c, port, local);
		else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			read_v6_local(c, port, local);
		else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
			memcpy(&size, CMSG_DATA(c), sizeof(size));
	}
	return size > 0 ? (size_t)size : 0;
}

static void deliver(struct vs_udp_receiver *r, vs_udp_receive_fn *fn, void *arg)
{
	if (r->batch.count)
		fn(arg, &r->batch);
	r->batch.count = 0;
}

/* Takes the i-th message apart, handing full batches on. An empty datagram is one, too. */
static void split_message(struct vs_udp_receiver *r, size_t i, size_t size, vs_udp_receive_fn *fn, void *arg)
{
	uint8_t *data = r->parts[i].iov_base;
	size_t left = r->messages[i].msg_len;
	if (size == 0 || size > left)
		size = left;
	if (left > size)
		r->stats->rx_coalesced += (left + size - 1) / size;
	do {
		size_t len = VS_MIN(size, left);
		r->batch.datagrams[r->batch.count++] = (struct vs_rx_datagram){
			.data = data,
			.len = (uint32_t)len,
			.from = &r->from[i],
			.local = &r->local[i],
		};
		r->stats->rx_datagrams++;
		data += len;
		left -= len;
		if (r->batch.count == VS_RX_DATAGRAMS)
			deliver(r, fn, arg);
	} while (left > 0);
}

int vs_udp_receive(struct vs_udp_receiver *r, int fd, uint16_t local_port, vs_udp_receive_fn *fn, void *arg)
{
	prepare(r, r->used);
	r->used = 0;
	r->stats->rx_calls++;
	int n = recvmmsg(fd, r->messages, VS_UDP_MESSAGES, MSG_DONTWAIT, NULL);
	if (n < 0)
		return -errno;
	r->used = (size_t)n;
	for (size_t i = 0; i < (size_t)n; i++) {
		struct msghdr *h = &r->messages[i].msg_hdr;
		if (h->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
			r->stats->rx_truncated++;
			continue;
		}
		r->stats->rx_bytes += r->messages[i].msg_len;
		r->from[i] = vs_addr_from_sockaddr(&r->from[i].sa, h->msg_namelen);
		split_message(r, i, read_controls(h, local_port, &r->local[i]), fn, arg);
	}
	deliver(r, fn, arg);
	return n;
}

/* --- Errors ------------------------------------------------------------------------------------------------------ */

static bool is_error_report(const struct cmsghdr *c)
{
	return (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
	       (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
}

static bool decode_error(struct msghdr *h, struct vs_carrier_error *out)
{
	struct sock_extended_err report;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (!is_error_report(c))
			continue;
		memcpy(&report, CMSG_DATA(c), sizeof(report));
		out->to = vs_addr_from_sockaddr(h->msg_name, h->msg_namelen);
		out->from.sa.sa_family = AF_UNSPEC;
		out->error = (int)report.ee_errno;
		out->mtu = report.ee_errno == EMSGSIZE ? report.ee_info : 0;
		out->local = report.ee_origin == SO_EE_ORIGIN_LOCAL;
		return true;
	}
	return false;
}

int vs_udp_read_errors(int fd, vs_udp_error_fn *fn, void *arg)
{
	int n = 0;
	while (n < ERRORS_MAX) {
		struct vs_addr to = {.in6 = {.sin6_family = AF_UNSPEC}};
		/* The report is followed by the address of whoever sent it; the socket's other control messages come
		 * first. */
		_Alignas(struct cmsghdr) uint8_t control[512];
		struct msghdr h = {
			.msg_name = &to.sa,
			.msg_namelen = sizeof(to),
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		struct vs_carrier_error error;
		if (recvmsg(fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
		n++;
		if (decode_error(&h, &error))
			fn(arg, &error);
	}
	return n;
}
