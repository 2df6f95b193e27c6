/* Receives UDP datagrams in batches: recvmmsg(), and what UDP_GRO has merged is taken apart again. Reads the ICMP
 * errors of a socket's error queue, too. */
#ifndef VS_IO_UDP_RECEIVE_H
#define VS_IO_UDP_RECEIVE_H

#include "base/compiler.h"
#include "io/carrier.h"

#define VS_UDP_MESSAGES 32 /* that one recvmmsg() takes at most */

struct vs_udp_receiver;

typedef void vs_udp_receive_fn(void *arg, const struct vs_rx_batch *batch);
typedef void vs_udp_error_fn(void *arg, const struct vs_carrier_error *error);

/* Room for one recvmmsg() (2 MiB, touched as needed), used by one thread for any number of sockets; adds to *stats.
 * NULL: out of memory. */
struct vs_udp_receiver *vs_udp_receiver_new(struct vs_carrier_stats *stats);
void vs_udp_receiver_free(struct vs_udp_receiver *receiver);

/* Reads what one recvmmsg() gives and hands it to fn in batches. `local_port` completes the local addresses.
 * The number of messages (fewer than VS_UDP_MESSAGES: those were all), or -errno. -EAGAIN: nothing waits; anything else
 * is most likely an ICMP error, of which vs_udp_read_errors() knows more. */
int vs_udp_receive(struct vs_udp_receiver *receiver, int fd, uint16_t local_port, vs_udp_receive_fn *fn,
		   void *arg) VS_MUST_CHECK;

/* Hands what is in the socket's error queue (up to 64 errors) to fn. Returns their number. */
int vs_udp_read_errors(int fd, vs_udp_error_fn *fn, void *arg);

#endif
