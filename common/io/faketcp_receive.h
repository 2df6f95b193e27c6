/* Receives the segments of fake TCP from raw sockets in batches, and takes them apart: recvmmsg(), then each
 * segment to its connection, and the datagrams in it to whoever asked. */
#ifndef VS_IO_FAKETCP_RECEIVE_H
#define VS_IO_FAKETCP_RECEIVE_H

#include "base/drop.h"
#include "io/carrier.h"
#include "io/faketcp_conn.h"

#define VS_FAKETCP_MESSAGES 32 /* that one recvmmsg() takes at most */

struct vs_faketcp_receiver;

/* What to do with what comes. Connections may be added to the table and removed from it in each; one that is
 * removed must not be freed before vs_faketcp_receive() has returned. */
struct vs_faketcp_sink {
	void (*receive)(void *arg, const struct vs_rx_batch *batch);
	/* A segment says something beyond its data; conn is NULL if it is not in the table. */
	void (*sign)(void *arg, struct vs_faketcp_conn *conn, const struct vs_tcp_segment *segment,
		     enum vs_faketcp_sign sign);
	/* A segment of a connection that is not in the table: it may be put there now. If it is not, datagrams are
	 * received all the same, one to a segment, with the addresses as they stand there. NULL: they are dropped. */
	void (*missing)(void *arg, const struct vs_tcp_segment *segment);
	void *arg;
};

/* Room for one recvmmsg() (2 MiB, touched as needed), used by one thread for any number of sockets; adds to *stats and
 * *drops. NULL: out of memory. */
struct vs_faketcp_receiver *vs_faketcp_receiver_new(const struct vs_conntable *table,
						    const struct vs_faketcp_sink *sink, struct vs_carrier_stats *stats,
						    struct vs_drops *drops);
void vs_faketcp_receiver_free(struct vs_faketcp_receiver *receiver);

/* Reads what one recvmmsg() gives of a raw socket of this family. The number of packets (fewer than
 * VS_FAKETCP_MESSAGES: those were all), or -errno. -EAGAIN: nothing waits. */
int vs_faketcp_receive(struct vs_faketcp_receiver *receiver, int fd, int family, uint64_t now) VS_MUST_CHECK;

#endif
