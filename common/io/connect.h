/* Connecting a TCP socket without waiting: for whoever makes connections of it afterwards (io/conn.h). */
#ifndef VS_IO_CONNECT_H
#define VS_IO_CONNECT_H

#include "base/addr.h"
#include "base/compiler.h"
#include "io/loop.h"

/* `fd` is connected, and the receiver's; or -errno: -ETIMEDOUT also where the time given was over. */
typedef void vs_connected_fn(void *arg, int fd);

struct vs_connect;

/* Connects a non-blocking TCP socket, which passes to the call, also where it fails. fn is called once, later, and the
 * object is gone then. 0, or -errno: fn will not be called. */
int vs_connect_start(struct vs_loop *loop, int fd, const struct vs_addr *peer, uint64_t timeout_usec,
		     vs_connected_fn *fn, void *arg, struct vs_connect **out) VS_MUST_CHECK;

/* Gives up; fn is not called. NULL is accepted. */
void vs_connect_cancel(struct vs_connect *connect);

#endif
