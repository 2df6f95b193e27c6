/* UDP sockets as the carrier wants them. Opening may need a privilege (a low port, a device, a mark), and is then done
 * by the broker, which hands over a bound socket; everything here needs none. */
#ifndef VS_IO_UDP_SOCKET_H
#define VS_IO_UDP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"

#define VS_UDP_BUFFER_DEFAULT (4u << 20)

struct vs_udp_options {
	uint32_t receive_buffer; /* bytes; 0: VS_UDP_BUFFER_DEFAULT. Cut to net.core.rmem_max without CAP_NET_ADMIN. */
	uint32_t send_buffer;
	bool no_gro;
	bool no_gso;
	bool errors; /* read ICMP errors (a client's sockets; for a server they are noise that strangers make) */
};

/* A non-blocking socket bound to `local` (port 0: any), an IPv6 one for IPv6 only. With `share`, several sockets may
 * bind to the address, one a worker. Returns the descriptor or -errno. */
int vs_udp_open(const struct vs_addr *local, bool share) VS_MUST_CHECK;

/* Sets up a bound socket: non-blocking, big buffers, the local address of each datagram told, no fragmentation by this
 * host and no trust in the kernel's idea of the path MTU (RFC 8899 does without), UDP_GRO. What the kernel lacks is
 * left out, except for what correctness needs. 0 or -errno. */
int vs_udp_configure(int fd, const struct vs_udp_options *options) VS_MUST_CHECK;

/* Makes the kernel hand each datagram to the worker that its receiver index names: to the n-th socket bound to the
 * shared address, n being the index's low byte. Handshake initiations, which have no index, and numbers that no socket
 * has go by the hash of the addresses. `fd` is any socket of the group; the last call counts. 0 or -errno. */
int vs_udp_steer(int fd) VS_MUST_CHECK;

/* The address that a socket is bound to; unset on failure. */
struct vs_addr vs_udp_local(int fd);

#endif
