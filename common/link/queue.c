/* How it works. The table holds VS_QUEUE_FLOWS flows; each is on at most one list: of new flows, of old flows, or of
 * those parked for a lane. A queued frame is a node of one array, chained by index into its flow's FIFO, because a
 * flooded frame waits in many queues at once and cannot carry the chain itself. The array starts small and doubles up
 * to the limit on frames.
 *
 * Invariants.
 * - A flow with frames is on a list. A flow without frames may still be: it leaves when its turn comes (RFC 8290, 4.2).
 * - `ready` counts the flows that have frames and are not parked.
 * - `current` is the flow that was shown by peek and neither taken from nor parked since; it has frames. CoDel has
 *   judged it and does so no second time, however often it is shown.
 * - CoDel never takes the last frame of a flow, so a ready queue always has something to show. */
#include "link/queue.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "link/codel.h"
#include "link/ecn.h"

#define NONE UINT32_MAX
#define FIRST_NODES 64
#define DROP_BATCH 64 /* RFC 8290, 4.1.3: frames dropped at once, so that the search for the fattest flow is rare */

struct node {
	struct vs_frame *frame;
	uint64_t sent_usec;
	uint32_t next;
};

enum place {
	PLACE_NOWHERE,
	PLACE_NEW,
	PLACE_OLD,
};

struct flow {
	struct vs_flow shared; /* with the caller */
	struct vs_list link;
	struct vs_codel codel;
	uint32_t head, tail; /* nodes; NONE: empty */
	int32_t deficit;     /* bytes that may be sent in this round */
	enum place place;    /* its list, or where it returns to when it is woken */
	bool parked;
};

struct table {
	struct vs_list new_flows, old_flows;
	struct vs_list parked[VS_LANES_MAX];
	uint32_t backlog[VS_QUEUE_FLOWS]; /* bytes; apart from the flows, so that searching it stays in cache */
	struct flow flows[VS_QUEUE_FLOWS];
};

struct vs_queue {
	struct vs_queue_config config;
	struct vs_drops *drops;
	struct vs_queue_stats stats;
	struct table *table; /* NULL: no frame has come since the start or the last release */
	struct flow *current;
	struct node *nodes;
	uint32_t node_count, free_node;
	uint32_t ready;
};

/* --- Memory ------------------------------------------------------------------------------------------------------- */

struct vs_queue *vs_queue_new(const struct vs_queue_config *config, struct vs_drops *drops)
{
	assert(config->limit_frames > 0 && config->limit_frames < NONE / 2);
	assert(config->quantum > 0 && config->quantum <= VS_FRAME_MAX);
	struct vs_queue *queue = calloc(1, sizeof(*queue));
	if (!queue)
		return NULL;
	queue->config = *config;
	queue->drops = drops;
	queue->free_node = NONE;
	return queue;
}

void vs_queue_free(struct vs_queue *queue)
{
	if (!queue)
		return;
	vs_queue_purge(queue);
	vs_queue_release(queue);
	free(queue);
}

static struct table *new_table(void)
{
	struct table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	vs_list_init(&table->new_flows);
	vs_list_init(&table->old_flows);
	for (unsigned i = 0; i < VS_LANES_MAX; i++)
		vs_list_init(&table->parked[i]);
	for (unsigned i = 0; i < VS_QUEUE_FLOWS; i++) {
		struct flow *flow = &table->flows[i];
		vs_list_init(&flow->link);
		flow->shared.lane = -1;
		flow->head = flow->tail = NONE;
	}
	return table;
}

/* Doubles the nodes. One more than the limit on frames: a frame is enqueued before another is dropped for it. */
static bool grow_nodes(struct vs_queue *queue)
{
	uint32_t count = queue->node_count ? 2 * queue->node_count : FIRST_NODES;
	count = VS_MIN(count, queue->config.limit_frames + 1);
	struct node *nodes = realloc(queue->nodes, count * sizeof(*nodes));
	if (!nodes)
		return false;
	for (uint32_t i = queue->node_count; i < count; i++)
		nodes[i].next = i + 1 < count ? i + 1 : queue->free_node;
	queue->free_node = queue->node_count;
	queue->nodes = nodes;
	queue->node_count = count;
	return true;
}

static bool has_room(struct vs_queue *queue)
{
	if (!queue->table)
		queue->table = new_table();
	return queue->table && (queue->free_node != NONE || grow_nodes(queue));
}

void vs_queue_release(struct vs_queue *queue)
{
	if (queue->stats.frames > 0)
		return;
	free(queue->table);
	free(queue->nodes);
	queue->table = NULL;
	queue->nodes = NULL;
	queue->node_count = 0;
	queue->free_node = NONE;
	queue->current = NULL;
}

/* --- One flow's FIFO ---------------------------------------------------------------------------------------------- */

static struct flow *flow_of(struct vs_flow *shared)
{
	return VS_CONTAINER_OF(shared, struct flow, shared);
}

static uint32_t *backlog_of(struct vs_queue *queue, const struct flow *flow)
{
	return &queue->table->backlog[flow - queue->table->flows];
}

static bool has_frames(const struct flow *flow)
{
	return flow->head != NONE;
}

static struct node *first_node(struct vs_queue *queue, const struct flow *flow)
{
	return &queue->nodes[flow->head];
}

static void push(struct vs_queue *queue, struct flow *flow, struct vs_frame *frame, uint64_t now)
{
	uint32_t index = queue->free_node;
	struct node *node = &queue->nodes[index];
	queue->free_node = node->next;
	*node = (struct node){ .frame = frame, .sent_usec = now, .next = NONE };
	if (has_frames(flow)) {
		queue->nodes[flow->tail].next = index;
	} else {
		flow->head = index;
		queue->stats.flows++;
		queue->ready += !flow->parked;
	}
	flow->tail = index;
	*backlog_of(queue, flow) += frame->len;
	queue->stats.bytes += frame->len;
	queue->stats.frames++;
}

/* Removes the flow's first frame; its reference passes to the caller. */
static struct vs_frame *pop(struct vs_queue *queue, struct flow *flow)
{
	uint32_t index = flow->head;
	struct node *node = &queue->nodes[index];
	struct vs_frame *frame = node->frame;
	flow->head = node->next;
	node->next = queue->free_node;
	queue->free_node = index;
	*backlog_of(queue, flow) -= frame->len;
	queue->stats.bytes -= frame->len;
	queue->stats.frames--;
	if (!has_frames(flow)) {
		flow->tail = NONE;
		queue->stats.flows--;
		queue->ready -= !flow->parked;
		if (queue->current == flow)
			queue->current = NULL;
	}
	return frame;
}

static void drop_first(struct vs_queue *queue, struct flow *flow, enum vs_drop reason)
{
	vs_frame_unref(pop(queue, flow));
	vs_drop(queue->drops, reason);
}

/* --- Lists of flows ----------------------------------------------------------------------------------------------- */

static struct vs_list *list_at(struct table *table, enum place place)
{
	return place == PLACE_NEW ? &table->new_flows : &table->old_flows;
}

static void move_to_end(struct table *table, struct flow *flow, enum place place)
{
	vs_list_remove(&flow->link);
	vs_list_append(list_at(table, place), &flow->link);
	flow->place = place;
}

static void take_off(struct flow *flow)
{
	vs_list_remove(&flow->link);
	flow->place = PLACE_NOWHERE;
	flow->parked = false;
}

/* An empty flow's turn has come. One that was new passes through the old ones first, or it could stay ahead of them
 * for ever by sending one frame at a time (RFC 8290, 4.2). */
static void retire(struct table *table, struct flow *flow)
{
	vs_codel_empty(&flow->codel);
	if (flow->place == PLACE_NEW && !vs_list_empty(&table->old_flows))
		move_to_end(table, flow, PLACE_OLD);
	else
		take_off(flow);
}

/* --- Enqueueing --------------------------------------------------------------------------------------------------- */

static struct flow *fattest_flow(struct table *table)
{
	unsigned fattest = 0;
	for (unsigned i = 1; i < VS_QUEUE_FLOWS; i++)
		if (table->backlog[i] > table->backlog[fattest])
			fattest = i;
	return &table->flows[fattest];
}

static bool over_limit(const struct vs_queue *queue)
{
	return queue->stats.frames > queue->config.limit_frames || queue->stats.bytes > queue->config.limit_bytes;
}

/* Drops from the head of the fattest flow up to half of its backlog, but DROP_BATCH frames at most and one at least. */
static void drop_from_fattest(struct vs_queue *queue)
{
	struct flow *flow = fattest_flow(queue->table);
	uint32_t keep = *backlog_of(queue, flow) / 2;
	for (int i = 0; i < DROP_BATCH; i++) {
		drop_first(queue, flow, VS_DROP_QUEUE_FULL);
		queue->stats.dropped_full++;
		if (!has_frames(flow) || *backlog_of(queue, flow) - first_node(queue, flow)->frame->len < keep)
			break;
	}
}

static void refuse(struct vs_queue *queue, struct vs_frame *frame, enum vs_drop reason)
{
	vs_drop(queue->drops, reason);
	vs_frame_unref(frame);
}

void vs_queue_send(struct vs_queue *queue, struct vs_frame *frame, uint64_t now)
{
	if (frame->len > queue->config.limit_bytes) {
		queue->stats.dropped_full++;
		refuse(queue, frame, VS_DROP_QUEUE_FULL);
		return;
	}
	if (!has_room(queue)) {
		refuse(queue, frame, VS_DROP_NO_BUFFER);
		return;
	}
	struct flow *flow = &queue->table->flows[frame->flow_hash % VS_QUEUE_FLOWS];
	push(queue, flow, frame, now);
	if (flow->place == PLACE_NOWHERE) {
		flow->deficit = (int32_t)queue->config.quantum;
		move_to_end(queue->table, flow, PLACE_NEW);
	}
	while (over_limit(queue))
		drop_from_fattest(queue);
}

/* --- Dequeueing --------------------------------------------------------------------------------------------------- */

/* Marks the frame of a node, as a private copy where others hold it too. False: it cannot be marked. */
static bool mark(struct node *node)
{
	if (vs_ecn_get(node->frame) == VS_ECN_NOT_ECT)
		return false;
	if (vs_ecn_get(node->frame) != VS_ECN_CE && node->frame->refs > 1) {
		struct vs_frame *copy = vs_frame_copy(node->frame);
		if (!copy)
			return false;
		vs_frame_unref(node->frame);
		node->frame = copy;
	}
	return vs_ecn_mark(node->frame);
}

/* CoDel's verdict on a frame about to leave. A full-sized frame is a quantum, or as long as this frame is. */
static bool to_be_told(const struct vs_queue *queue, struct flow *flow, const struct node *node, uint32_t backlog,
		       uint64_t now)
{
	const struct vs_codel_config config = { queue->config.target_usec, queue->config.interval_usec };
	uint32_t len = node->frame->len;
	bool short_backlog = backlog - len <= VS_MAX(queue->config.quantum, len);
	return vs_codel_judge(&flow->codel, &config, now, vs_time_since(now, node->sent_usec), short_backlog);
}

/* Drops or marks at the head of the flow as CoDel says, until a frame may leave. */
static void judge(struct vs_queue *queue, struct flow *flow, uint64_t now)
{
	while (has_frames(flow)) {
		struct node *node = first_node(queue, flow);
		if (!to_be_told(queue, flow, node, *backlog_of(queue, flow), now))
			return;
		if (mark(node)) {
			queue->stats.ecn_marked++;
			return;
		}
		drop_first(queue, flow, VS_DROP_QUEUE_CODEL);
		queue->stats.dropped_codel++;
	}
}

/* The flow whose turn it is (RFC 8290, 4.2), with CoDel's judgement passed on it; NULL: none. */
static struct flow *choose(struct vs_queue *queue, uint64_t now)
{
	struct table *table = queue->table;
	for (;;) {
		struct vs_list *list = vs_list_empty(&table->new_flows) ? &table->old_flows : &table->new_flows;
		struct flow *flow = VS_LIST_FIRST(list, struct flow, link);
		if (!flow)
			return NULL;
		if (flow->deficit <= 0) {
			flow->deficit += (int32_t)queue->config.quantum;
			move_to_end(table, flow, PLACE_OLD);
			continue;
		}
		judge(queue, flow, now);
		if (has_frames(flow))
			return flow;
		retire(table, flow);
	}
}

struct vs_flow *vs_queue_peek(struct vs_queue *queue, uint64_t now, struct vs_frame **frame)
{
	if (!queue->current && queue->table)
		queue->current = choose(queue, now);
	struct flow *flow = queue->current;
	*frame = flow ? first_node(queue, flow)->frame : NULL;
	return flow ? &flow->shared : NULL;
}

struct vs_frame *vs_queue_peek_more(struct vs_queue *queue, struct vs_flow *shared)
{
	const struct flow *flow = flow_of(shared);
	uint32_t index = flow->head;
	if (index != NONE && flow == queue->current)
		index = queue->nodes[index].next;
	return index != NONE ? queue->nodes[index].frame : NULL;
}

struct vs_frame *vs_queue_take(struct vs_queue *queue, struct vs_flow *shared, uint64_t now)
{
	struct flow *flow = flow_of(shared);
	assert(has_frames(flow) && !flow->parked);
	queue->stats.delay_usec = vs_time_since(now, first_node(queue, flow)->sent_usec);
	queue->stats.sent++;
	struct vs_frame *frame = pop(queue, flow);
	flow->deficit -= (int32_t)frame->len;
	queue->current = NULL;
	return frame;
}

/* --- Parking ------------------------------------------------------------------------------------------------------ */

void vs_queue_park(struct vs_queue *queue, struct vs_flow *shared, unsigned lane)
{
	struct flow *flow = flow_of(shared);
	assert(lane < VS_LANES_MAX && !flow->parked && flow->place != PLACE_NOWHERE);
	vs_list_remove(&flow->link);
	vs_list_append(&queue->table->parked[lane], &flow->link);
	flow->parked = true;
	queue->ready -= has_frames(flow);
	if (queue->current == flow)
		queue->current = NULL;
}

/* A flow had got its turn when it was parked and could not use it: woken, it is first in its list again, and several
 * stand as they were parked. What it may send stays bounded by the deficit it had. */
void vs_queue_wake(struct vs_queue *queue, unsigned lane)
{
	assert(lane < VS_LANES_MAX);
	if (!queue->table)
		return;
	struct vs_list *parked = &queue->table->parked[lane];
	while (!vs_list_empty(parked)) {
		struct flow *flow = VS_CONTAINER_OF(parked->prev, struct flow, link);
		vs_list_remove(&flow->link);
		vs_list_prepend(list_at(queue->table, flow->place), &flow->link);
		flow->parked = false;
		queue->ready += has_frames(flow);
	}
}

bool vs_queue_ready(const struct vs_queue *queue)
{
	return queue->ready > 0;
}

void vs_queue_forget_lanes(struct vs_queue *queue)
{
	if (!queue->table)
		return;
	for (unsigned i = 0; i < VS_LANES_MAX; i++)
		vs_queue_wake(queue, i);
	for (unsigned i = 0; i < VS_QUEUE_FLOWS; i++)
		queue->table->flows[i].shared = (struct vs_flow){ .lane = -1 };
}

void vs_queue_purge(struct vs_queue *queue)
{
	if (!queue->table)
		return;
	for (unsigned i = 0; i < VS_QUEUE_FLOWS; i++) {
		struct flow *flow = &queue->table->flows[i];
		while (has_frames(flow))
			drop_first(queue, flow, VS_DROP_PORT_DOWN);
		vs_codel_empty(&flow->codel);
		take_off(flow);
	}
}

void vs_queue_stats(const struct vs_queue *queue, struct vs_queue_stats *out)
{
	*out = queue->stats;
}
