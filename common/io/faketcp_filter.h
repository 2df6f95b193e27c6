/* The socket filters of fake TCP, as classic BPF: what keeps the kernel's own TCP away from a connection's data, and
 * what lets a raw socket see its share of the host's segments and nothing else.
 *
 * On the server, each worker has a raw socket that takes the data datagrams (types 4 and 5) whose receiver index
 * names it, as the UDP sockets do (io/udp_socket.h); and one more, the lobby's, takes handshakes (types 1 to 3) and
 * the segments that reset or finish a connection. What is neither, a datagram's second half say, goes to worker 0:
 * with one worker it finds its first half there. A client's raw socket takes what comes from the peer of its one
 * connection. */
#ifndef VS_IO_FAKETCP_FILTER_H
#define VS_IO_FAKETCP_FILTER_H

#include <linux/filter.h>
#include <stdint.h>

#include "base/addr.h"

#define VS_FAKETCP_FILTER_MAX 48

struct vs_faketcp_filter {
	uint16_t len;
	struct sock_filter code[VS_FAKETCP_FILTER_MAX];
};

/* Which of a connection's, or of a port's, segments a raw socket takes. */
enum vs_faketcp_share {
	VS_FAKETCP_WORKER = 1, /* to a local port: data for one worker */
	VS_FAKETCP_LOBBY,      /* to a local port: handshakes, resets */
	VS_FAKETCP_PEER,       /* of one connection: everything */
};

/* What a raw socket is for. */
struct vs_faketcp_scope {
	struct vs_addr local; /* with its port; the address may be the wildcard's */
	struct vs_addr peer;  /* PEER: with its port */
	uint8_t share;        /* enum vs_faketcp_share */
	uint8_t worker;       /* WORKER */
};

/* For the kernel's socket of a connection: takes nothing. */
void vs_faketcp_filter_nothing(struct vs_faketcp_filter *filter);

/* For a listening socket, whose connections inherit it: takes segments without data, such as those that make a
 * connection, so that no data slip into the kernel's connection before it is silenced. */
void vs_faketcp_filter_no_data(struct vs_faketcp_filter *filter);

/* For a raw socket of the local address's IP version. */
void vs_faketcp_filter_raw(struct vs_faketcp_filter *filter, const struct vs_faketcp_scope *scope);

#endif
