/* State of a worker, shared by the files that implement it: worker.c (life, ports), worker_in.c (from TAPs and the
 * carrier through the bridge), worker_tap.c (out of the TAPs) and worker_out.c (from the links to the carrier). Nobody
 * else includes this. */
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

	struct vs_link *link; /* NULL: a TAP */
	struct vs_timer timer;
	struct vs_list dirty; /* of worker->dirty */
};

struct vs_worker {
	struct vs_loop *loop;
	struct vs_worker_handler handler;
	struct vs_pool *pool;
	struct vs_bridge *bridge; /* shared */
	unsigned number;
	struct vs_carrier *carrier;
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
