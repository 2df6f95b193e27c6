/* State of a datapath, shared by the files that implement it: datapath.c (life, threads), datapath_port.c (ports, by
 * calls to their workers) and datapath_lane.c (what runs on the workers' threads). Nobody else includes this. */
#ifndef VS_IO_DATAPATH_STATE_H
#define VS_IO_DATAPATH_STATE_H

#include <pthread.h>

#include "io/datapath.h"
#include "io/mailbox.h"
#include "io/ring.h"
#include "link/wire.h"

struct vs_dport {
	struct vs_list node; /* of datapath.ports */
	struct vs_lane *lane;
	struct vs_wport *port; /* its worker's */
	uint16_t id;
	bool is_link, is_plain;
	void *user;
	/* Under lane->events_lock. */
	struct vs_list told; /* of lane->events */
	unsigned events;
	int tap_error; /* 0: the device is there */
};

/* A handshake datagram on its way to or from a worker. */
struct vs_handshake_slot {
	struct vs_path path;
	uint16_t len;
	uint8_t datagram[VS_HANDSHAKE_MAX];
};

/* A worker, its thread, and what connects it with the deciding thread and the other workers. What different threads
 * write is on different cache lines. */
struct vs_lane {
	/* Written before the thread starts. */
	struct vs_datapath *datapath;
	unsigned number;
	struct vs_loop *loop;
	struct vs_worker *worker;
	pthread_t thread;
	bool started;
	struct vs_mailbox *calls;
	struct vs_ring *questions, *answers; /* of handshakes: to the deciding thread, and back */
	struct vs_wakeup *told;              /* on the deciding thread's loop: questions or events */
	struct vs_wakeup *arrived;           /* on this loop: answers or crossings */
	struct vs_ring *crossings[VS_WORKERS_MAX]; /* from each other worker */

	/* The worker's. */
	_Alignas(VS_CACHE_LINE) uint64_t crossed_to; /* workers that have got frames in this turn */
	struct vs_deferred turn_end;
	struct vs_drops drops;

	/* The deciding thread's. */
	_Alignas(VS_CACHE_LINE) unsigned ports;
	struct vs_drops unsent;

	/* Both threads', rarely. */
	_Alignas(VS_CACHE_LINE) pthread_mutex_t events_lock;
	struct vs_list events;
};

struct vs_datapath {
	struct vs_loop *loop;
	struct vs_datapath_handler handler;
	struct vs_bridge *bridge;
	struct vs_list ports;
	struct vs_timer reclaim;
	bool reclaiming; /* the timer is set */
	unsigned workers;
	struct vs_lane *lanes;
};

/* datapath_lane.c: all but the thread. False: out of memory or of descriptors (errno). */
bool vs_lane_init(struct vs_lane *lane, struct vs_datapath *datapath, unsigned number,
		  const struct vs_worker_config *worker);
/* Starts the thread. 0 or -errno. */
int vs_lane_start(struct vs_lane *lane) VS_MUST_CHECK;
/* Ends the thread, if it was started. */
void vs_lane_stop(struct vs_lane *lane);
/* After every lane has stopped: the worker is the calling thread's, and what is still in the rings to it is given
 * back. */
void vs_lane_drain(struct vs_lane *lane);
void vs_lane_fini(struct vs_lane *lane);

/* datapath.c: has what was taken out of the bridge freed, soon. */
void vs_datapath_reclaim_later(struct vs_datapath *path);

#endif
