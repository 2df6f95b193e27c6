#include "io/datapath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/datapath_state.h"
#include "io/random.h"

/* --- Freeing what the workers may still read --- */

static void nothing(void *arg)
{
	(void)arg;
}

void vs_datapath_quiesce(struct vs_datapath *path)
{
	for (unsigned i = 0; i < path->workers; i++)
		vs_mailbox_call(path->lanes[i].calls, nothing, NULL);
}

/* What was taken out in so long a time is freed together: waiting for all workers is not for every change. */
#define RECLAIM_AFTER VS_SEC

static void reclaim(void *arg, uint64_t now)
{
	struct vs_datapath *path = arg;
	(void)now;
	path->reclaiming = false;
	vs_datapath_quiesce(path);
	vs_bridge_reclaim(path->bridge);
}

void vs_datapath_reclaim_later(struct vs_datapath *path)
{
	if (path->reclaiming || !vs_porttable_has_retired(vs_bridge_ports(path->bridge)))
		return;
	path->reclaiming = true;
	vs_timer_set(&path->reclaim, vs_loop_now(path->loop) + RECLAIM_AFTER);
}

/* --- Life --- */

/* Of one worker: room for what one link may receive, and for what it sends. */
#define POOL_LEAST (8u << 20)

static bool init_lanes(struct vs_datapath *path, const struct vs_datapath_config *config)
{
	struct vs_worker_config worker = {
		.bridge = path->bridge,
		.pool_bytes = VS_MAX(config->pool_bytes / path->workers, (size_t)POOL_LEAST),
		.flow_key = vs_random_u64(),
	};
	for (unsigned i = 0; i < path->workers; i++) {
		worker.number = i;
		if (!vs_lane_init(&path->lanes[i], path, i, &worker))
			return false;
	}
	/* A worker may speak to any other from its first turn on. */
	for (unsigned i = 0; i < path->workers; i++) {
		int err = vs_lane_start(&path->lanes[i]);
		if (err < 0) {
			errno = -err;
			return false;
		}
	}
	return true;
}

static struct vs_lane *new_lanes(unsigned n)
{
	struct vs_lane *lanes = aligned_alloc(_Alignof(struct vs_lane), n * sizeof(*lanes));
	if (lanes)
		memset(lanes, 0, n * sizeof(*lanes));
	return lanes;
}

struct vs_datapath *vs_datapath_new(struct vs_loop *loop, const struct vs_datapath_config *config,
				    const struct vs_datapath_handler *handler)
{
	struct vs_datapath *path = calloc(1, sizeof(*path));
	if (!path)
		return NULL;
	path->loop = loop;
	path->handler = *handler;
	vs_list_init(&path->ports);
	int err = vs_timer_init(&path->reclaim, loop, reclaim, path);
	if (err < 0) {
		free(path);
		errno = -err;
		return NULL;
	}
	path->bridge = vs_bridge_new(&config->bridge);
	path->lanes = new_lanes(config->bridge.workers);
	if (path->lanes)
		path->workers = config->bridge.workers;
	if (!path->bridge || !path->lanes || !init_lanes(path, config)) {
		int error = errno;
		vs_datapath_free(path);
		errno = error;
		return NULL;
	}
	return path;
}

/* Each worker holds frames of the others, in its links' queues and in its rings: all is given back before any pool is
 * freed. */
void vs_datapath_free(struct vs_datapath *path)
{
	struct vs_dport *port;
	if (!path)
		return;
	while ((port = VS_LIST_FIRST(&path->ports, struct vs_dport, node)))
		vs_dport_remove(port, 0);
	for (unsigned i = 0; i < path->workers; i++)
		vs_lane_stop(&path->lanes[i]);
	for (unsigned i = 0; i < path->workers; i++)
		vs_lane_drain(&path->lanes[i]);
	for (unsigned i = 0; i < path->workers; i++)
		vs_lane_fini(&path->lanes[i]);
	vs_timer_fini(&path->reclaim);
	vs_bridge_free(path->bridge);
	free(path->lanes);
	free(path);
}

/* --- The carriers --- */

struct open_call {
	struct vs_worker *worker;
	int fd4, fd6;
	int err;
};

static void open_udp(void *arg)
{
	struct open_call *call = arg;
	call->err = vs_worker_open_udp(call->worker, call->fd4, call->fd6, false);
}

int vs_datapath_open_udp(struct vs_datapath *path, unsigned worker, int fd4, int fd6)
{
	struct vs_lane *lane = &path->lanes[worker];
	struct open_call call = { .worker = lane->worker, .fd4 = fd4, .fd6 = fd6 };
	vs_mailbox_call(lane->calls, open_udp, &call);
	return call.err;
}

static void open_faketcp(void *arg)
{
	struct open_call *call = arg;
	call->err = vs_worker_open_faketcp(call->worker, call->fd4, call->fd6);
}

int vs_datapath_open_faketcp(struct vs_datapath *path, unsigned worker, int fd4, int fd6)
{
	struct vs_lane *lane = &path->lanes[worker];
	struct open_call call = { .worker = lane->worker, .fd4 = fd4, .fd6 = fd6 };
	vs_mailbox_call(lane->calls, open_faketcp, &call);
	return call.err;
}

void vs_datapath_send(struct vs_datapath *path, unsigned worker, const uint8_t *datagram, size_t len,
		      const struct vs_path *to)
{
	struct vs_lane *lane = &path->lanes[worker];
	struct vs_handshake_slot *slot = vs_ring_reserve(lane->answers);
	if (!slot) {
		vs_drop(&lane->unsent, VS_DROP_HANDSHAKE_LIMIT);
		return;
	}
	slot->path = *to;
	slot->len = (uint16_t)len;
	memcpy(slot->datagram, datagram, len);
	vs_ring_commit(lane->answers);
	vs_wakeup_signal(lane->arrived);
}

/* --- Numbers --- */

struct stats_call {
	const struct vs_lane *lane;
	struct vs_worker_stats *out;
};

static void read_stats(void *arg)
{
	struct stats_call *call = arg;
	vs_worker_stats(call->lane->worker, call->out);
	vs_drops_add(&call->out->drops, &call->lane->drops);
}

void vs_datapath_stats(struct vs_datapath *path, unsigned worker, struct vs_worker_stats *out)
{
	struct vs_lane *lane = &path->lanes[worker];
	struct stats_call call = { .lane = lane, .out = out };
	vs_mailbox_call(lane->calls, read_stats, &call);
	vs_drops_add(&out->drops, &lane->unsent);
}

struct vs_bridge *vs_datapath_bridge(const struct vs_datapath *path)
{
	return path->bridge;
}

unsigned vs_datapath_workers(const struct vs_datapath *path)
{
	return path->workers;
}
