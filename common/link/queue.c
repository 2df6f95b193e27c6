/* How it works. The table holds VS_QUEUE_FLOWS flows; each is on at most one list: of new flows, of old flows, or of
 * those parked for a lane. A queued frame is a node of one array, chained by index into its flow's FIFO, because a
 * flooded frame waits in many queues at once and cannot carry the chain itself. The array starts small and doubles up
 * to the limit on frames. Flows, too, come into being as they are used, a page of neighbours at a time: most links of a
 * large LAN hear a broadcast now and then and no more, and the whole table would be 80 KiB for each of them.
 *
 * A super-frame that is too long for the line's rate is divided when its flow's turn comes, and not before: what leaves
 * next becomes a frame of its own, in front of the rest, and is judged, taken and charged as any other. So the rate is
 * the one of the moment, and the rest is neither copied nor many nodes.
 *
 * Invariants.
 * - A flow with frames is on a list. A flow without frames may still be: it leaves when its turn comes (RFC 8290, 4.2).
 * - `ready` counts the flows that have frames and are not parked.
 * - `current` is the flow that was shown by peek and neither taken from nor parked since; it has frames. CoDel has
 *   judged it and does so no second time, however often it is shown.
 * - CoDel never takes the last of what a flow has, so a ready queue always has something to show. */
#include "link/queue.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/gso.h"
#include "link/ecn.h"
#include "link/framing.h"

#define NONE UINT32_MAX
#define FIRST_NODES 16
#define PAGE_FLOWS 8
#define SUPER_USEC (1 * VS_MSEC) /* the time that a super-frame may hold the line, as Linux' TCP sizes what it sends */
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
	uint16_t number;     /* in the table */
	bool parked;
};

struct page {
	uint32_t backlog[PAGE_FLOWS]; /* bytes; apart from the flows, so that searching it stays in cache */
	struct flow flows[PAGE_FLOWS];
};

struct table {
	struct vs_list new_flows, old_flows;
	struct vs_list parked[VS_LANES_MAX];
	struct page *pages[VS_QUEUE_FLOWS / PAGE_FLOWS]; /* NULL: no flow of the page has had a frame */
};

struct vs_queue {
	struct vs_queue_config config;
	struct vs_codel_config codel; /* for the path */
	struct vs_pool *pool;
	struct vs_drops *drops;
	struct vs_queue_stats stats;
	struct table *table; /* NULL: no frame has come since the start or the last release */
	struct flow *current;
	struct node *nodes;
	uint32_t node_count, free_node;
	uint32_t ready;
	uint64_t rate;       /* bytes a second; 0: unknown */
	uint32_t whole_max;  /* bytes of a super-frame that leaves undivided */
	bool frames_only;    /* none does */
};

/* --- Memory ------------------------------------------------------------------------------------------------------- */

struct vs_queue *vs_queue_new(const struct vs_queue_config *config, struct vs_pool *pool, struct vs_drops *drops)
{
	assert(config->limit_frames > 0 && config->limit_frames < NONE / 2);
	assert(config->quantum > 0 && config->quantum <= VS_FRAME_MAX);
	struct vs_queue *queue = calloc(1, sizeof(*queue));
	if (!queue)
		return NULL;
	queue->config = *config;
	queue->codel = config->codel;
	queue->pool = pool;
	queue->drops = drops;
	queue->free_node = NONE;
	queue->whole_max = VS_FRAME_MAX;
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
	return table;
}

static void free_table(struct table *table)
{
	for (unsigned i = 0; table && i < VS_ARRAY_SIZE(table->pages); i++)
		free(table->pages[i]);
	free(table);
}

static struct page *new_page(unsigned first_number)
{
	struct page *page = calloc(1, sizeof(*page));
	if (!page)
		return NULL;
	for (unsigned i = 0; i < PAGE_FLOWS; i++) {
		struct flow *flow = &page->flows[i];
		vs_list_init(&flow->link);
		flow->number = (uint16_t)(first_number + i);
		flow->shared.lane = -1;
		flow->head = flow->tail = NONE;
	}
	return page;
}

/* Doubles the nodes. There can be more than the limit on frames: one is enqueued before another is dropped for it, and
 * in front of each flow a piece may stand of what counted as one frame. */
static bool grow_nodes(struct vs_queue *queue)
{
	uint32_t count = queue->node_count ? 2 * queue->node_count : FIRST_NODES;
	count = VS_MIN(count, queue->config.limit_frames + 1 + VS_QUEUE_FLOWS);
	if (count == queue->node_count)
		return false;
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
	free_table(queue->table);
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
	return &queue->table->pages[flow->number / PAGE_FLOWS]->backlog[flow->number % PAGE_FLOWS];
}

static bool has_frames(const struct flow *flow)
{
	return flow->head != NONE;
}

static struct node *first_node(struct vs_queue *queue, const struct flow *flow)
{
	return &queue->nodes[flow->head];
}

static void count_in(struct vs_queue *queue, struct flow *flow, uint32_t bytes)
{
	*backlog_of(queue, flow) += bytes;
	queue->stats.bytes += bytes;
}

static void count_out(struct vs_queue *queue, struct flow *flow, uint32_t bytes)
{
	*backlog_of(queue, flow) -= bytes;
	queue->stats.bytes -= bytes;
}

/* A node from the free ones, of which there must be one. */
static uint32_t new_node(struct vs_queue *queue, struct vs_frame *frame, uint64_t sent_usec, uint32_t next)
{
	uint32_t index = queue->free_node;
	struct node *node = &queue->nodes[index];
	queue->free_node = node->next;
	*node = (struct node){ .frame = frame, .sent_usec = sent_usec, .next = next };
	queue->stats.frames++;
	return index;
}

static void push(struct vs_queue *queue, struct flow *flow, struct vs_frame *frame, uint64_t now)
{
	uint32_t index = new_node(queue, frame, now, NONE);
	if (has_frames(flow)) {
		queue->nodes[flow->tail].next = index;
	} else {
		flow->head = index;
		queue->stats.flows++;
		queue->ready += !flow->parked;
	}
	flow->tail = index;
	count_in(queue, flow, frame->len);
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
	count_out(queue, flow, frame->len);
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

/* There is a frame in the queue. */
static struct flow *fattest_flow(struct table *table)
{
	struct flow *fattest = NULL;
	uint32_t most = 0;
	for (unsigned i = 0; i < VS_ARRAY_SIZE(table->pages); i++) {
		struct page *page = table->pages[i];
		for (unsigned k = 0; page && k < PAGE_FLOWS; k++)
			if (page->backlog[k] > most) {
				most = page->backlog[k];
				fattest = &page->flows[k];
			}
	}
	return fattest;
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

/* The flow of the frame, for which there is a table. NULL: out of memory. */
static struct flow *flow_for(struct table *table, const struct vs_frame *frame)
{
	unsigned number = frame->flow_hash % VS_QUEUE_FLOWS;
	struct page **page = &table->pages[number / PAGE_FLOWS];
	if (vs_unlikely(!*page))
		*page = new_page(number - number % PAGE_FLOWS);
	return *page ? &(*page)->flows[number % PAGE_FLOWS] : NULL;
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
	struct flow *flow = has_room(queue) ? flow_for(queue->table, frame) : NULL;
	if (!flow) {
		refuse(queue, frame, VS_DROP_NO_BUFFER);
		return;
	}
	push(queue, flow, frame, now);
	if (flow->place == PLACE_NOWHERE) {
		flow->deficit = (int32_t)queue->config.quantum;
		move_to_end(queue->table, flow, PLACE_NEW);
	}
	while (over_limit(queue))
		drop_from_fattest(queue);
}

/* --- Dequeueing --------------------------------------------------------------------------------------------------- */

/* Makes a node's frame one that nobody else holds, by a copy if need be. False: no buffer. */
static bool make_writable(struct vs_pool *pool, struct node *node)
{
	if (!vs_frame_is_shared(node->frame))
		return true;
	struct vs_frame *copy = vs_frame_copy(pool, node->frame);
	if (!copy)
		return false;
	vs_frame_unref(node->frame);
	node->frame = copy;
	return true;
}

/* False: it cannot be marked. A super-frame's mark is that of each of its segments, as with any other queue that knows
 * them: to a sender several marks in one round trip are one (RFC 3168, section 6.1.2). */
static bool mark(struct vs_pool *pool, struct node *node)
{
	enum vs_ecn ecn = vs_ecn_get(node->frame);
	if (ecn == VS_ECN_NOT_ECT || (ecn != VS_ECN_CE && !make_writable(pool, node)))
		return false;
	return vs_ecn_mark(node->frame);
}

/* Whether it is a super-frame that would hold the line for too long. */
static bool too_long(const struct vs_queue *queue, const struct vs_frame *frame)
{
	return vs_unlikely(frame->super && frame->len > queue->whole_max);
}

/* Makes the frame that it stands for of a super-frame with a single segment, if there is a buffer. */
static void flatten_first(struct vs_queue *queue, struct flow *flow)
{
	struct node *node = first_node(queue, flow);
	struct vs_frame_list segments;
	uint32_t whole = node->frame->len;
	vs_frame_list_init(&segments, 1);
	if (vs_gso_segment(queue->pool, node->frame, VS_ETH_FRAME_MAX, &segments) == 0) {
		vs_frame_unref(node->frame);
		node->frame = vs_frame_list_pop(&segments);
		vs_framing_prepend(node->frame);
		count_in(queue, flow, node->frame->len - whole);
	}
	vs_frame_list_fini(&segments);
}

/* Divides the super-frame at the head of the flow. One that cannot be divided, or for which there is no buffer, leaves
 * as it is. */
static void divide_first(struct vs_queue *queue, struct flow *flow)
{
	if ((queue->free_node == NONE && !grow_nodes(queue)) || !make_writable(queue->pool, first_node(queue, flow)))
		return;
	const struct node *rest = first_node(queue, flow);
	uint32_t whole = rest->frame->len;
	struct vs_frame *piece = vs_gso_take_front(queue->pool, rest->frame, queue->whole_max, VS_ETH_FRAME_MAX);
	if (!piece) {
		if (queue->frames_only)
			flatten_first(queue, flow);
		return;
	}
	vs_framing_prepend(piece);
	vs_framing_prepend(rest->frame);
	count_in(queue, flow, piece->len + rest->frame->len - whole); /* headers that are there twice now */
	flow->head = new_node(queue, piece, rest->sent_usec, flow->head);
}

/* Drops the flow's first segment: of a super-frame with several just that, otherwise the first frame. */
static void drop_first_segment(struct vs_queue *queue, struct flow *flow)
{
	struct node *node = first_node(queue, flow);
	uint32_t whole = node->frame->len;
	if (!node->frame->super || !make_writable(queue->pool, node) ||
	    !vs_gso_drop_front(node->frame, VS_ETH_FRAME_MAX)) {
		drop_first(queue, flow, VS_DROP_QUEUE_CODEL);
		return;
	}
	vs_framing_prepend(node->frame);
	count_out(queue, flow, whole - node->frame->len);
	vs_drop(queue->drops, VS_DROP_QUEUE_CODEL);
}

/* CoDel's verdict on a frame about to leave. A full-sized frame is a quantum, or as long as this frame is. */
static bool to_be_told(const struct vs_queue *queue, struct flow *flow, const struct node *node, uint32_t backlog,
		       uint64_t now)
{
	uint32_t len = node->frame->len;
	bool short_backlog = backlog - len <= VS_MAX(queue->config.quantum, len);
	return vs_codel_judge(&flow->codel, &queue->codel, now, vs_time_since(now, node->sent_usec), short_backlog);
}

/* Drops or marks at the head of the flow as CoDel says, until a frame may leave. */
static void judge(struct vs_queue *queue, struct flow *flow, uint64_t now)
{
	while (has_frames(flow)) {
		if (too_long(queue, first_node(queue, flow)->frame))
			divide_first(queue, flow);
		struct node *node = first_node(queue, flow);
		if (!to_be_told(queue, flow, node, *backlog_of(queue, flow), now))
			return;
		if (mark(queue->pool, node)) {
			queue->stats.ecn_marked++;
			return;
		}
		drop_first_segment(queue, flow);
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

bool vs_queue_has_new(const struct vs_queue *queue)
{
	return queue->ready > 0 && !vs_list_empty(&queue->table->new_flows);
}

void vs_queue_forget_lanes(struct vs_queue *queue)
{
	if (!queue->table)
		return;
	for (unsigned i = 0; i < VS_LANES_MAX; i++)
		vs_queue_wake(queue, i);
	for (unsigned i = 0; i < VS_ARRAY_SIZE(queue->table->pages); i++) {
		struct page *page = queue->table->pages[i];
		for (unsigned k = 0; page && k < PAGE_FLOWS; k++)
			page->flows[k].shared = (struct vs_flow){ .lane = -1 };
	}
}

static void purge_flow(struct vs_queue *queue, struct flow *flow)
{
	while (has_frames(flow))
		drop_first(queue, flow, VS_DROP_PORT_DOWN);
	vs_codel_empty(&flow->codel);
	take_off(flow);
}

void vs_queue_purge(struct vs_queue *queue)
{
	if (!queue->table)
		return;
	for (unsigned i = 0; i < VS_ARRAY_SIZE(queue->table->pages); i++) {
		struct page *page = queue->table->pages[i];
		for (unsigned k = 0; page && k < PAGE_FLOWS; k++)
			purge_flow(queue, &page->flows[k]);
	}
}

static void set_whole_max(struct vs_queue *queue)
{
	uint64_t whole_max = queue->rate / (VS_SEC / SUPER_USEC);
	queue->whole_max = queue->rate ? (uint32_t)VS_MIN(whole_max, (uint64_t)VS_FRAME_MAX) : VS_FRAME_MAX;
	if (queue->frames_only)
		queue->whole_max = 0;
}

void vs_queue_set_rate(struct vs_queue *queue, uint64_t rate)
{
	if (vs_likely(rate == queue->rate))
		return;
	queue->rate = rate;
	set_whole_max(queue);
}

void vs_queue_set_rtt(struct vs_queue *queue, uint64_t rtt_usec)
{
	queue->codel = vs_codel_for_path(&queue->config.codel, rtt_usec);
}

void vs_queue_set_supers(struct vs_queue *queue, bool supers)
{
	queue->frames_only = !supers;
	set_whole_max(queue);
}

void vs_queue_stats(const struct vs_queue *queue, struct vs_queue_stats *out)
{
	*out = queue->stats;
}
