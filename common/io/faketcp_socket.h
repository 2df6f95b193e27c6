/* The privileged steps of fake TCP; the broker takes them for the network process.
 *
 * The kernel makes a real connection, so that everything about it is genuine, and is then silenced on it: by a
 * socket filter that takes nothing, so that arriving segments are never looked at, and by TCP_REPAIR, under which a
 * connection neither sends anything by itself nor says anything when it is closed. As long as the socket is open,
 * the kernel neither acknowledges nor resets; the data travel through raw sockets. When the process dies, however
 * it dies, everything is gone with it. This takes CAP_NET_ADMIN (TCP_REPAIR) and CAP_NET_RAW (raw sockets); the
 * faults name both. */
#ifndef VS_IO_FAKETCP_SOCKET_H
#define VS_IO_FAKETCP_SOCKET_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "io/fault.h"
#include "io/faketcp_conn.h"
#include "io/faketcp_filter.h"

/* Whether a TCP socket has this local address and port (a wildcard, or port 0: any), of the same IP version. */
bool vs_faketcp_is_local(int fd, const struct vs_addr *addr);

/* Whether a TCP socket has exactly this local address and port; the wildcard is only itself. */
bool vs_faketcp_is_bound(int fd, const struct vs_addr *addr);

/* Whether this process may do with a new TCP socket's connections what is to be done: so that it is known before there
 * are any. 0 or -errno with a fault. */
int vs_faketcp_check(int fd, struct vs_fault *fault) VS_MUST_CHECK;

/* Has a TCP socket that is not listening yet take no data on the connections that it will accept. 0 or -errno with a
 * fault. */
int vs_faketcp_guard(int fd, struct vs_fault *fault) VS_MUST_CHECK;

/* Silences the kernel on an established connection, and reads where it stands. 0; -ENOTCONN: it is not established (any
 * more); -errno with a fault. */
int vs_faketcp_mute(int fd, struct vs_faketcp_start *start, struct vs_fault *fault) VS_MUST_CHECK;

/* A non-blocking raw socket that takes what the scope says, which cannot be changed any more, and sends without
 * fragmenting. What it sends is not bounded: whoever has it can forge segments, but read nobody else's. A descriptor,
 * or -errno with a fault. */
int vs_faketcp_open_raw(const struct vs_faketcp_scope *scope, struct vs_fault *fault) VS_MUST_CHECK;

/* Binds a raw socket to an address of this host, if that is known: the kernel, which copies each TCP packet for each raw
 * socket before it asks its filter, then does so with those to that address only, and not with what goes through the
 * TAP. Needs no privilege; where it fails, nothing is lost but that. */
void vs_faketcp_narrow_raw(int fd, const struct vs_addr *local);

#endif
