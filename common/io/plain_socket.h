/* Sockets of plain peers (link/plain.h): those that listen, bound by the broker, and one for each peer. Everything here
 * needs no privilege. Used by the server's deciding thread; a peer's socket then goes to a worker (io/worker.h). */
#ifndef VS_IO_PLAIN_SOCKET_H
#define VS_IO_PLAIN_SOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"

/* Bytes of a stream that may wait in the kernel unsent, so that frames wait where fq_codel sees them. */
#define VS_PLAIN_UNSENT_MAX 32768

/* --- KCP over UDP ------------------------------------------------------------------------------------------------- */

/* The first datagram of somebody for whom there is no socket yet. */
struct vs_plain_hello {
	struct vs_addr peer, local; /* local: the address that it was sent to, with the port of the socket */
	size_t len;
	uint8_t datagram[65536];
};

/* Makes a bound UDP socket say to which of the host's addresses a datagram was sent. 0 or -errno. */
int vs_plain_listen_udp(int fd) VS_MUST_CHECK;

/* 0, -EAGAIN if none has come, or another -errno, to be taken for the loss of a datagram. */
int vs_plain_receive(int fd, struct vs_plain_hello *hello) VS_MUST_CHECK;

/* Connects a UDP socket that is bound to hello->local: from then on the kernel gives it what comes from the peer, and
 * nothing else. 0 or -errno. */
int vs_plain_connect_udp(int fd, const struct vs_addr *peer) VS_MUST_CHECK;

/* --- Frames over TCP ---------------------------------------------------------------------------------------------- */

/* 0 or -errno. */
int vs_plain_listen_tcp(int fd) VS_MUST_CHECK;

/* The next connection: a descriptor, non-blocking, without Nagle's delay, that notices a peer which is gone; or -EAGAIN
 * if there is none, or another -errno: this one is lost. */
int vs_plain_accept(int fd, struct vs_addr *peer) VS_MUST_CHECK;

#endif
