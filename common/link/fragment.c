#include "link/fragment.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* One slice that has arrived. */
struct piece {
	uint16_t offset, len;
};

enum slot_state {
	SLOT_FREE,
	SLOT_PARTIAL,
	SLOT_COMPLETE,  /* its plaintext is on loan to the caller of the last input */
	SLOT_CONDEMNED, /* kept without bytes, so that the rest of its fragments is refused too (RFC 5722) */
};

struct vs_reassembly_slot {
	enum slot_state state;
	uint32_t id;
	uint16_t total;
	uint16_t received; /* bytes */
	uint16_t pieces_n;
	uint64_t started_usec;
	uint8_t *bytes; /* `total` of them, in SLOT_PARTIAL and SLOT_COMPLETE */
	struct piece pieces[VS_FRAGMENTS_MAX];
};

struct fragment {
	uint32_t id;
	uint16_t offset, total, len;
	const uint8_t *data;
};

/* --- Sending --- */

bool vs_fragment_plan(size_t total, size_t datagram, struct vs_fragment_plan *plan)
{
	const size_t overhead = VS_SEAL_OVERHEAD + VS_FRAGMENT_PREFIX;

	if (total == 0 || total > VS_FRAGMENT_TOTAL_MAX || datagram <= overhead)
		return false;
	size_t room = datagram - overhead;
	size_t count = (total + room - 1) / room;
	if (count > VS_FRAGMENTS_MAX)
		return false;
	plan->total = (uint16_t)total;
	plan->count = (uint16_t)count;
	plan->slice = (uint16_t)((total + count - 1) / count);
	return true;
}

size_t vs_fragment_encode(const struct vs_fragment_plan *plan, uint32_t id, unsigned i, size_t *offset,
			  uint8_t prefix[VS_FRAGMENT_PREFIX])
{
	*offset = (size_t)i * plan->slice;
	prefix[0] = VS_KIND_FRAGMENT;
	vs_put_be32(prefix + 1, id);
	vs_put_be16(prefix + 5, (uint16_t)*offset);
	vs_put_be16(prefix + 7, plan->total);
	return VS_MIN((size_t)plan->slice, plan->total - *offset);
}

/* --- Receiving --- */

static void clear_slot(struct vs_reassembly_slot *slot)
{
	free(slot->bytes);
	slot->bytes = NULL;
	slot->state = SLOT_FREE;
}

static void condemn(struct vs_reassembly *ra, struct vs_reassembly_slot *slot)
{
	vs_drop(ra->drops, VS_DROP_BAD_FRAGMENT);
	clear_slot(slot);
	slot->state = SLOT_CONDEMNED;
}

/* The time for the slot's other fragments is over, or its place is needed. */
static void give_up(struct vs_reassembly *ra, struct vs_reassembly_slot *slot)
{
	if (slot->state == SLOT_PARTIAL)
		vs_drop(ra->drops, VS_DROP_FRAGMENT_TIMEOUT);
	clear_slot(slot);
}

/* Takes back the plaintext that the last input lent, and gives up what has timed out. Returns the slots in use. */
static unsigned sweep(struct vs_reassembly *ra, uint64_t now)
{
	unsigned used = 0;

	for (unsigned i = 0; ra->slots && i < VS_REASSEMBLY_SLOTS; i++) {
		struct vs_reassembly_slot *slot = &ra->slots[i];
		bool over = vs_time_since(now, slot->started_usec) >= VS_REASSEMBLY_TIMEOUT;
		if (slot->state == SLOT_COMPLETE || (slot->state != SLOT_FREE && over))
			give_up(ra, slot);
		used += slot->state != SLOT_FREE;
	}
	return used;
}

static struct vs_reassembly_slot *lookup(struct vs_reassembly *ra, uint32_t id)
{
	for (unsigned i = 0; i < VS_REASSEMBLY_SLOTS; i++)
		if (ra->slots[i].state != SLOT_FREE && ra->slots[i].id == id)
			return &ra->slots[i];
	return NULL;
}

static struct vs_reassembly_slot *find_free(struct vs_reassembly *ra)
{
	for (unsigned i = 0; i < VS_REASSEMBLY_SLOTS; i++)
		if (ra->slots[i].state == SLOT_FREE)
			return &ra->slots[i];
	return NULL;
}

static struct vs_reassembly_slot *find_oldest(struct vs_reassembly *ra)
{
	struct vs_reassembly_slot *oldest = NULL;

	for (unsigned i = 0; i < VS_REASSEMBLY_SLOTS; i++) {
		struct vs_reassembly_slot *slot = &ra->slots[i];
		if (slot->state != SLOT_FREE && (!oldest || slot->started_usec < oldest->started_usec))
			oldest = slot;
	}
	return oldest;
}

static size_t bytes_held(const struct vs_reassembly *ra)
{
	size_t sum = 0;

	for (unsigned i = 0; i < VS_REASSEMBLY_SLOTS; i++)
		if (ra->slots[i].bytes)
			sum += ra->slots[i].total;
	return sum;
}

/* A slot for a new plaintext, made room for by evicting the oldest; NULL: out of memory. */
static struct vs_reassembly_slot *open_slot(struct vs_reassembly *ra, const struct fragment *f, uint64_t now)
{
	struct vs_reassembly_slot *slot;

	while (!(slot = find_free(ra)) || bytes_held(ra) + f->total > VS_REASSEMBLY_BYTES_MAX)
		give_up(ra, find_oldest(ra));
	uint8_t *bytes = malloc(f->total);
	if (!bytes)
		return NULL;
	*slot = (struct vs_reassembly_slot){
		.state = SLOT_PARTIAL, .id = f->id, .total = f->total, .started_usec = now, .bytes = bytes,
	};
	return slot;
}

static bool parse(const uint8_t *body, size_t len, struct fragment *f)
{
	struct vs_view view = vs_view_of(body, len);

	f->id = vs_view_be32(&view);
	f->offset = vs_view_be16(&view);
	f->total = vs_view_be16(&view);
	if (!vs_view_ok(&view) || view.len == 0 || f->offset + view.len > f->total)
		return false;
	f->data = view.data;
	f->len = (uint16_t)view.len;
	return true;
}

enum fit {
	FIT_NEW,
	FIT_REPEATED,
	FIT_CONFLICT,
};

/* How a fragment relates to the pieces that are there. */
static enum fit compare(const struct vs_reassembly_slot *slot, const struct fragment *f)
{
	if (f->total != slot->total)
		return FIT_CONFLICT;
	for (unsigned i = 0; i < slot->pieces_n; i++) {
		const struct piece *p = &slot->pieces[i];
		if (f->offset + f->len <= p->offset || p->offset + p->len <= f->offset)
			continue;
		bool same = f->offset == p->offset && f->len == p->len &&
			    memcmp(slot->bytes + p->offset, f->data, f->len) == 0;
		return same ? FIT_REPEATED : FIT_CONFLICT;
	}
	return slot->pieces_n < VS_FRAGMENTS_MAX ? FIT_NEW : FIT_CONFLICT;
}

/* Adds a fragment to its slot. True: the plaintext is complete. */
static bool add_piece(struct vs_reassembly *ra, struct vs_reassembly_slot *slot, const struct fragment *f)
{
	enum fit fit = compare(slot, f);

	if (fit == FIT_CONFLICT)
		condemn(ra, slot);
	if (fit != FIT_NEW)
		return false;
	memcpy(slot->bytes + f->offset, f->data, f->len);
	slot->pieces[slot->pieces_n++] = (struct piece){ .offset = f->offset, .len = f->len };
	slot->received = (uint16_t)(slot->received + f->len);
	if (slot->received < slot->total)
		return false;
	if (slot->bytes[0] == VS_KIND_FRAGMENT) {
		condemn(ra, slot);
		return false;
	}
	slot->state = SLOT_COMPLETE;
	return true;
}

void vs_reassembly_init(struct vs_reassembly *ra, struct vs_drops *drops)
{
	*ra = (struct vs_reassembly){ .drops = drops };
}

void vs_reassembly_fini(struct vs_reassembly *ra)
{
	for (unsigned i = 0; ra->slots && i < VS_REASSEMBLY_SLOTS; i++)
		free(ra->slots[i].bytes);
	free(ra->slots);
	ra->slots = NULL;
}

const uint8_t *vs_reassembly_input(struct vs_reassembly *ra, const uint8_t *body, size_t len, uint64_t now,
				   size_t *out_len)
{
	struct fragment f;

	if (!parse(body, len, &f)) {
		vs_drop(ra->drops, VS_DROP_BAD_FRAGMENT);
		return NULL;
	}
	if (!ra->slots && !(ra->slots = calloc(VS_REASSEMBLY_SLOTS, sizeof(*ra->slots)))) {
		vs_drop(ra->drops, VS_DROP_NO_BUFFER);
		return NULL;
	}
	sweep(ra, now);
	struct vs_reassembly_slot *slot = lookup(ra, f.id);
	if (!slot && !(slot = open_slot(ra, &f, now))) {
		vs_drop(ra->drops, VS_DROP_NO_BUFFER);
		return NULL;
	}
	if (slot->state == SLOT_CONDEMNED) {
		vs_drop(ra->drops, VS_DROP_BAD_FRAGMENT);
		return NULL;
	}
	if (!add_piece(ra, slot, &f))
		return NULL;
	*out_len = slot->total;
	return slot->bytes;
}

uint64_t vs_reassembly_deadline(const struct vs_reassembly *ra)
{
	uint64_t deadline = VS_NEVER;

	for (unsigned i = 0; ra->slots && i < VS_REASSEMBLY_SLOTS; i++)
		if (ra->slots[i].state != SLOT_FREE)
			deadline = vs_time_min(deadline, vs_time_add(ra->slots[i].started_usec, VS_REASSEMBLY_TIMEOUT));
	return deadline;
}

void vs_reassembly_expire(struct vs_reassembly *ra, uint64_t now)
{
	if (sweep(ra, now) == 0)
		vs_reassembly_fini(ra);
}
