/* Sends a transmit batch through raw sockets: each datagram as a segment of its connection, as many as possible
 * with one sendmmsg(). The kernel adds the IP header. Segments of one connection that leave together carry the same
 * timestamp and acknowledgement, and only the last is pushed, so that the receiving kernel can merge them (GRO). */
#ifndef VS_IO_FAKETCP_SEND_H
#define VS_IO_FAKETCP_SEND_H

#include "base/drop.h"
#include "io/carrier.h"
#include "io/faketcp_conn.h"

struct vs_faketcp_sender;

/* For the connections in the table, through fd4 and fd6 (-1: none) unless they have sockets of their own; adds to
 * *stats and *drops. NULL: out of memory. */
struct vs_faketcp_sender *vs_faketcp_sender_new(const struct vs_conntable *table, int fd4, int fd6,
						struct vs_carrier_stats *stats, struct vs_drops *drops);
void vs_faketcp_sender_free(struct vs_faketcp_sender *sender);

/* Sends what is in the batch. Returns -1 if everything is gone, or the descriptor whose buffer is full: what is
 * left stays in the batch, to be tried again when that is writable. Results: EMSGSIZE also where the peer's MSS is
 * exceeded; ENOBUFS: the peer's window is full; ENOTCONN: there is no connection between the two addresses. */
int vs_faketcp_sender_flush(struct vs_faketcp_sender *sender, struct vs_tx_batch *batch, uint64_t now);

/* Sends a segment without data, as vs_faketcp_conn_control(); what the socket does not take now is lost. */
void vs_faketcp_sender_control(struct vs_faketcp_sender *sender, const struct vs_faketcp_conn *conn, uint8_t flags,
			       uint64_t now);

#endif
