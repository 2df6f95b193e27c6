/* A client of a load generator: it dials a server, keeps its link and exchanges frames over it as vswitchc does, but
 * with no TAP behind it, and many of them share one process, one loop and one pool. Each has a socket of its own, so
 * that to the server it is a peer of its own: what goes to two clients never leaves in one system call's segments.
 *
 * Relies on the link, its initiator, the UDP carrier and the loop; used by loadgen.c. Everything belongs to the loop's
 * thread; handshakes are computed on the offload's. */
#ifndef VS_TEST_BENCH_LOAD_CLIENT_H
#define VS_TEST_BENCH_LOAD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "base/drop.h"
#include "base/frame.h"
#include "io/carrier.h"
#include "io/loop.h"
#include "io/offload.h"
#include "link/initiator.h"
#include "link/link.h"

#define LOAD_CLIENTS_MAX 4000

struct load_client;

/* What all clients share; the owner fills in the first part before the first load_client_new(). */
struct load_lan {
	struct vs_loop *loop;
	struct vs_pool *pool;
	struct vs_offload *offload;
	struct vs_addr server;
	uint8_t server_key[VS_KEY_SIZE];
	/* A frame has come; the reference stays the LAN's. */
	void (*arrived)(void *arg, struct load_client *client, const struct vs_frame *frame);
	/* The client's link works: the server has answered under the session's keys. Not told again for new keys. */
	void (*joined)(void *arg, struct load_client *client);
	/* The link has ended against our will; it is being dialled again. */
	void (*lost)(void *arg, struct load_client *client);
	/* A client of which `sending` is set may have room for more frames. */
	void (*refill)(void *arg, struct load_client *client);
	void *arg;

	/* The LAN's own. */
	struct vs_list dirty; /* clients that have something to do at the end of this turn */
	struct vs_deferred turn_end;
	struct vs_deframed deframed;
	uint64_t flow_key;
	struct vs_drops drops; /* of sockets and handshakes */
};

struct load_client {
	struct load_lan *lan;
	unsigned no;
	void *user;   /* the owner's */
	bool sending; /* the owner's: it is to be asked for more frames */
	bool joined;
	uint64_t dialled_usec, joined_usec;

	struct vs_carrier *carrier;
	struct vs_link *link;
	struct vs_initiator *initiator;
	struct vs_timer link_timer, dial_timer;
	struct vs_list dirty;
	uint32_t last_index; /* of the newest attempt; an index names a session on this client's socket only */
	bool ending;
};

/* Prepares the shared part; the loop must exist. */
void load_lan_init(struct load_lan *lan);
/* The clients must have been freed. */
void load_lan_fini(struct load_lan *lan);

/* A client that does not dial yet, with a socket bound to `local` (port 0: any). 0 with *out set, or -errno of the
 * socket, the key (-EINVAL) or memory. */
int load_client_new(struct load_lan *lan, unsigned no, const uint8_t private_key[VS_KEY_SIZE],
		    const struct vs_addr *local, struct load_client **out) VS_MUST_CHECK;

/* After the offload has been freed. NULL is accepted. */
void load_client_free(struct load_client *client);

void load_client_dial(struct load_client *client);

/* Says goodbye to the server, in this turn; the client dials no more. */
void load_client_close(struct load_client *client);

/* Queues a frame; takes over the reference. It leaves at the end of this turn. */
void load_client_send(struct load_client *client, struct vs_frame *frame);

/* The client is to be served, and asked for frames, at the end of this turn. */
void load_client_touch(struct load_client *client);

#endif
