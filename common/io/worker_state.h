/* State of a worker, shared by the files that implement it: worker.c (life, ports), worker_in.c (from TAPs and the
 * carriers through the bridge), worker_tap.c (out of the TAPs), worker_out.c (from the links to the carriers),
 * worker_conn.c (the links' connections) and worker_plain.c (plain peers). Nobody else includes this. */
#ifndef VS_IO_WORKER_STATE_H
#define VS_IO_WORKER_STATE_H

#include "io/indextable.h"
#include "io/worker.h"
#include "switch/gro.h"

struct vs_wport {
	struct vs_worker *worker;
	struct vs_list node; /* of worker->ports */
	uint16_t id;
	void *user;

	int fd; /* -1: a link */
	bool super; /* the TAP speaks of super-frames */
	uint32_t frame_max;
	struct vs_watch *watch;
	struct vs_gro *run;     /* frames that wait for the end of the turn; NULL: no TAP that takes super-frames */
	struct vs_list waiting; /* of worker->waiting, while there is a run */

	struct vs_wplain *plain; /* worker_plain.c's; NULL: no plain peer */

	struct vs_link *link; /* NULL: none */
	struct vs_timer timer;
	struct vs_list dirty; /* of worker->dirty, or of worker->held[] */
	bool held;
	enum vs_carrier_kind held_by; /* the carrier that takes no more */
	struct vs_list conns;         /* newest last */
	unsigned conns_n;
};

struct vs_worker {
	struct vs_loop *loop;
	struct vs_worker_handler handler;
	struct vs_pool *pool;
	struct vs_bridge *bridge; /* shared */
	unsigned number;
	struct vs_carrier *carriers[VS_CARRIER_KINDS]; /* NULL: not open */
	struct vs_list held[VS_CARRIER_KINDS]; /* links that wait until the carrier takes more */
	struct vs_timer sweep_timer;           /* set while links have connections */
	bool has_sweep_timer, sweeping;
	struct vs_indextable *indices;
	struct vs_list ports, dirty, waiting;
	struct vs_deferred turn_end;
	uint64_t flow_key;
	struct vs_deframed arrived;
	struct vs_drops drops;
	struct vs_egress egress;
	struct vs_wport *by_id[VS_PORTS_MAX]; /* by the bridge's port id */
	struct vs_frame_list segments;        /* of one super-frame; empty between frames */
	struct vs_frame *landing; /* for io/tap_super.h */
};

/* worker.c: a port with nothing behind it; NULL: out of memory. vs_worker_remove() frees it. */
struct vs_wport *vs_wport_new(struct vs_worker *worker, uint16_t id, void *user);

/* worker_in.c: brings worker->arrived.frames, which have come by this port, where they belong. */
void vs_wport_forward_arrived(struct vs_wport *from, uint64_t now);

/* worker_plain.c: sends a frame, no super-frame, whose reference it takes over. */
void vs_wport_send_plain(struct vs_wport *port, struct vs_frame *frame, uint64_t now);
void vs_wport_close_plain(struct vs_wport *port);

/* worker.c: what a carrier of this worker calls. */
struct vs_carrier_handler vs_worker_carrier_handler(struct vs_worker *worker);

/* worker_conn.c: a connection has ended by itself; all of a port that goes away are closed; at intervals (arg: the
 * worker), those that no link uses any more. */
void vs_worker_on_conn_closed(void *arg, struct vs_carrier *carrier, struct vs_conn *conn, int error);
void vs_wport_close_conns(struct vs_wport *port);
void vs_worker_sweep(void *arg, uint64_t now);

/* worker_in.c: datagrams have come; a TAP is readable (arg: its struct vs_wport). */
void vs_worker_on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch);
void vs_worker_on_tap(void *arg, int fd, unsigned events);

/* worker_tap.c: writes a frame to a TAP, or keeps it until the end of the turn for others of its flow; takes over the
 * reference where it returns 0. -EINVAL: a super-frame that this device does not take. */
int vs_wport_write_tap(struct vs_wport *port, struct vs_frame *frame) VS_MUST_CHECK;
/* worker_tap.c: writes what is kept for this TAP; for all. */
void vs_wport_write_run(struct vs_wport *port);
void vs_worker_write_runs(struct vs_worker *worker);

/* worker_out.c: the end of a turn (arg: the worker); a link's deadline (arg: its struct vs_wport). */
void vs_worker_end_turn(void *arg);
void vs_worker_on_timer(void *arg, uint64_t now);
/* worker_out.c: gives the indices back that the link does not answer to any more. */
void vs_wport_return_retired(struct vs_wport *port);

#endif
