/* The control socket, by which a running program is asked and told things: `vswitchs status`, `kick`, `reload`.
 *
 * The protocol, for other programs too: connect to the Unix stream socket, write one JSON object on one line, read one
 * JSON object on one line; any number of times. A reply with an "error" member (a text) says that the request was not
 * carried out. Who may connect is a matter of the socket's file mode, which whoever creates it sets.
 *
 * The server never blocks its loop, and every client costs a bounded amount of memory: a request that is too long, a
 * reply that is not fetched, a client that falls silent end the connection. */
#ifndef VS_IO_CONTROL_H
#define VS_IO_CONTROL_H

#include <jansson.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "base/time.h"
#include "io/loop.h"

#define VS_CONTROL_REQUEST_MAX (64u << 10) /* bytes of a line, its end included */
#define VS_CONTROL_REPLY_MAX (16u << 20)
#define VS_CONTROL_CLIENTS_MAX 16
#define VS_CONTROL_IDLE (10 * VS_SEC) /* without progress, in either direction */
#define VS_CONTROL_CALL_TIMEOUT (10 * VS_SEC)
#define VS_CONTROL_ERROR_SIZE 256

struct vs_control_server;

/* Answers a request, which is borrowed and an object. Returns a reply, whose reference passes to the server: an object,
 * vs_control_refuse(), or NULL if memory is out. */
typedef json_t *vs_control_handler(json_t *request, void *arg);

/* The counts that are not zero, by name. NULL: out of memory. */
json_t *vs_control_drops(const struct vs_drops *drops);

/* {"error": text}. NULL: out of memory. */
json_t *vs_control_refuse(const char *fmt, ...) VS_PRINTF(1, 2);

/* Serves a listening Unix stream socket, which it owns from then on, and which it makes non-blocking.
 * NULL (then the socket stays the caller's): out of memory or of descriptors (errno). */
struct vs_control_server *vs_control_server_new(struct vs_loop *loop, int listen_fd, vs_control_handler *handler,
						void *arg);

/* Closes all connections; not to be called from the handler. NULL is accepted. The socket's file stays. */
void vs_control_server_free(struct vs_control_server *server);

/* Asks the program that listens at `path`; blocks for VS_CONTROL_CALL_TIMEOUT at most. 0 with *reply set (the caller's
 * reference), or a negative errno with `error` set to a text for people, without "error:" in front and without a
 * newline: -ECONNREFUSED or -ENOENT (no such program is running; it is called by this program's own name), -EACCES,
 * -ENAMETOOLONG, -ETIMEDOUT, -EPROTO (no valid reply), -EREMOTEIO (the reply says that the request was not carried out,
 * and `error` is its text), -ENOMEM, -errno. */
int vs_control_call(const char *path, json_t *request, json_t **reply, char error[VS_CONTROL_ERROR_SIZE]) VS_MUST_CHECK;

#endif
