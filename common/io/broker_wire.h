/* What network process and broker say to each other: one request, one reply, each a single message of fixed size on a
 * SOCK_SEQPACKET socket pair; either may carry one file descriptor. Both ends are the same program, so the messages
 * are plain structures. The broker trusts nothing in a request: another size, another verb, a text without its end, a
 * thing that is not granted (io/grants.h) is refused. */
#ifndef VS_IO_BROKER_WIRE_H
#define VS_IO_BROKER_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "io/config.h"
#include "io/faketcp_socket.h"
#include "io/fault.h"
#include "io/grants.h"

enum vs_broker_verb {
	VS_BROKER_READ_FILE = 1, /* path: the configuration file (whose grants then hold) or one that it names */
	VS_BROKER_OPEN_TAP,      /* tap */
	VS_BROKER_TAP_UP,        /* tap: run its up script */
	VS_BROKER_CLOSE_TAP,     /* tap: run its down script, then let go of the device */
	VS_BROKER_BIND_UDP,      /* bind */
	VS_BROKER_OPEN_LOG,
	VS_BROKER_OPEN_TCP,      /* bind */
	VS_BROKER_MUTE_TCP,      /* bind, and the socket of a connection: silence the kernel on it */
	VS_BROKER_OPEN_RAW,      /* raw, and, to see a connection that we make, the socket that is to make it */
	VS_BROKER_VERBS_END,
};

struct vs_broker_request {
	uint32_t verb;
	uint32_t sequence; /* comes back in the reply */
	union {
		char path[VS_CONFIG_PATH_MAX];
		char tap[VS_CONFIG_NAME_MAX + 1];
		struct vs_grant_bind bind;
		struct {
			struct vs_grant_bind of;
			struct vs_faketcp_scope scope;
		} raw;
	};
};

struct vs_broker_reply {
	uint32_t sequence;
	int32_t error; /* 0 or a negative errno, then with `fault` */
	struct vs_fault fault;
	struct vs_faketcp_start start; /* to MUTE_TCP */
};

/* Whether a message of `size` bytes is a request whose texts end within their fields. */
bool vs_broker_request_valid(const struct vs_broker_request *request, size_t size);

/* The network process's end: sends a request, with `fd` unless it is -1, which stays the caller's. 0 or -errno. */
int vs_broker_send_request(int socket_fd, const struct vs_broker_request *request, int fd) VS_MUST_CHECK;

/* The broker's end: reads one request if there is one, zeroed first. Returns its size, which may be any, with *fd, the
 * caller's, or -1; 0: the network process is gone; -EAGAIN; -errno. */
ssize_t vs_broker_receive_request(int socket_fd, struct vs_broker_request *request, int *fd) VS_MUST_CHECK;

/* The broker's end: sends a reply, with `fd` unless it is -1, which stays the caller's. Does not wait: a network
 * process that does not read its replies has none to wait for. 0 or -errno. */
int vs_broker_send_reply(int socket_fd, const struct vs_broker_reply *reply, int fd) VS_MUST_CHECK;

/* The network process's end: waits for a reply. *fd is the caller's, or -1, also on failure. 0, -EPIPE: the broker is
 * gone; -EAGAIN: the socket's timeout; -EBADMSG; -errno. */
int vs_broker_receive_reply(int socket_fd, struct vs_broker_reply *reply, int *fd) VS_MUST_CHECK;

#endif
