#include "link/fec_rx.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define SHARDS VS_FEC_SHARDS
#define EQUATIONS VS_FEC_EQUATIONS_MAX

struct equation {
	uint8_t *symbol;
	uint16_t len;   /* of the symbol; 0: unused */
	uint32_t pivot; /* sequence number */
	uint8_t coef[SHARDS]; /* by sequence number modulo SHARDS; of missing data only */
};

struct vs_fec_store {
	struct vs_fec_code code;
	uint16_t len[SHARDS]; /* of the symbol; 0: missing, or its bytes were never kept */
	uint64_t fresh[SHARDS / 64]; /* regained, and not yet taken */
	unsigned fresh_n;
	unsigned equations_n;
	struct equation equations[EQUATIONS];
	uint16_t symbol_max;
	uint8_t bytes[]; /* SHARDS + EQUATIONS symbols */
};

static uint8_t *symbol_at(struct vs_fec_store *store, unsigned place)
{
	return store->bytes + (size_t)place * store->symbol_max;
}

static uint8_t *symbol_of(struct vs_fec_store *store, uint32_t seq)
{
	return symbol_at(store, seq % SHARDS);
}

/* --- Sequence numbers --- */

static int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static bool is_seen(const struct vs_fec_rx *rx, uint32_t seq)
{
	return rx->seen[seq % VS_FEC_SEEN / 64] >> (seq % 64) & 1;
}

static void set_seen(struct vs_fec_rx *rx, uint32_t seq)
{
	rx->seen[seq % VS_FEC_SEEN / 64] |= UINT64_C(1) << (seq % 64);
}

static void clear_seen(struct vs_fec_rx *rx, uint32_t seq)
{
	rx->seen[seq % VS_FEC_SEEN / 64] &= ~(UINT64_C(1) << (seq % 64));
}

/* Whether the ring has a place for this sequence number, of which `next` is later. */
static bool has_place(const struct vs_fec_rx *rx, uint32_t seq)
{
	return rx->store && rx->next - seq <= SHARDS;
}

/* --- Memory --- */

void vs_fec_rx_init(struct vs_fec_rx *rx, struct vs_drops *drops)
{
	*rx = (struct vs_fec_rx){ .drops = drops };
}

void vs_fec_rx_set_datagram_max(struct vs_fec_rx *rx, uint16_t datagram_max)
{
	uint16_t most = (uint16_t)(datagram_max - VS_SEAL_OVERHEAD - VS_FEC_PARITY_HEADER);
	if (most != rx->symbol_max)
		vs_fec_rx_release(rx);
	rx->symbol_max = most;
}

void vs_fec_rx_release(struct vs_fec_rx *rx)
{
	free(rx->store);
	rx->store = NULL;
}

void vs_fec_rx_reset(struct vs_fec_rx *rx)
{
	vs_fec_rx_release(rx);
	rx->started = false;
}

/* Of what was seen before a store was there, it has no bytes: len is 0. */
static void take_memory(struct vs_fec_rx *rx)
{
	if (rx->store)
		return;
	size_t bytes = (size_t)(SHARDS + EQUATIONS) * rx->symbol_max;
	rx->store = malloc(sizeof(*rx->store) + bytes);
	if (!rx->store)
		return;
	memset(rx->store, 0, sizeof(*rx->store));
	vs_fec_code_init(&rx->store->code);
	rx->store->symbol_max = rx->symbol_max;
	for (unsigned i = 0; i < EQUATIONS; i++)
		rx->store->equations[i].symbol = symbol_at(rx->store, SHARDS + i);
}

static void start(struct vs_fec_rx *rx, uint32_t seq)
{
	if (rx->started)
		return;
	rx->started = true;
	rx->next = seq;
	rx->unborn = SHARDS;
	memset(rx->seen, 0, sizeof(rx->seen));
}

/* --- Equations --- */

/* The last one takes the place of one that is done with. */
static void drop_equation(struct vs_fec_store *store, unsigned i)
{
	struct equation *last = &store->equations[--store->equations_n];
	struct equation *gone = &store->equations[i];
	if (gone == last)
		return;
	uint8_t *symbol = gone->symbol;
	*gone = *last;
	last->symbol = symbol;
}

/* eq += c * symbol, where the symbol may be longer than what eq has of its own so far. */
static void add_to(struct equation *eq, uint8_t c, const uint8_t *symbol, uint16_t len)
{
	if (len > eq->len) {
		memset(eq->symbol + eq->len, 0, len - eq->len);
		eq->len = len;
	}
	vs_fec_add_multiple(c, symbol, len, eq->symbol);
}

/* Frees `eq` of the pivot of `by`. */
static void eliminate(struct equation *eq, const struct equation *by)
{
	uint8_t mine = eq->coef[by->pivot % SHARDS];
	if (!mine)
		return;
	uint8_t c = vs_fec_divide(mine, by->coef[by->pivot % SHARDS]);
	add_to(eq, c, by->symbol, by->len);
	vs_fec_add_multiple(c, by->coef, SHARDS, eq->coef);
}

/* Finds a pivot among the columns and frees the others of it. False: nothing is left of the equation. */
static bool give_pivot(struct vs_fec_rx *rx, struct equation *eq)
{
	struct vs_fec_store *store = rx->store;
	for (uint32_t seq = rx->next - SHARDS; seq != rx->next; seq++) {
		if (!eq->coef[seq % SHARDS])
			continue;
		eq->pivot = seq;
		for (unsigned i = 0; i < store->equations_n; i++)
			if (&store->equations[i] != eq)
				eliminate(&store->equations[i], eq);
		return true;
	}
	return false;
}

static bool is_solved(const struct equation *eq)
{
	unsigned columns = 0;
	for (unsigned i = 0; i < SHARDS; i++)
		columns += eq->coef[i] != 0;
	return columns == 1;
}

/* What a symbol says of itself is to be believed no more than any other word of a peer. */
static bool is_symbol(const uint8_t *symbol, size_t len)
{
	return len > VS_FEC_LENGTH && vs_get_be16(symbol) > 0 && vs_get_be16(symbol) <= len - VS_FEC_LENGTH;
}

/* Turns a solved equation into the datum that it is about. */
static void regain(struct vs_fec_rx *rx, const struct equation *eq)
{
	struct vs_fec_store *store = rx->store;
	uint32_t seq = eq->pivot;
	uint8_t *symbol = symbol_of(store, seq);
	vs_fec_multiply(vs_fec_divide(1, eq->coef[seq % SHARDS]), eq->symbol, eq->len, symbol);
	if (!is_symbol(symbol, eq->len)) {
		vs_drop(rx->drops, VS_DROP_BAD_FEC);
		return;
	}
	store->len[seq % SHARDS] = (uint16_t)(VS_FEC_LENGTH + vs_get_be16(symbol));
	store->fresh[seq % SHARDS / 64] |= UINT64_C(1) << (seq % 64);
	store->fresh_n++;
	set_seen(rx, seq);
	rx->recovered++;
}

static void regain_solved(struct vs_fec_rx *rx)
{
	struct vs_fec_store *store = rx->store;
	for (unsigned i = store->equations_n; i-- > 0;) {
		if (!is_solved(&store->equations[i]))
			continue;
		regain(rx, &store->equations[i]);
		drop_equation(store, i);
	}
}

/* A datum that was missing has come: takes it out of the equations. */
static void substitute(struct vs_fec_rx *rx, uint32_t seq)
{
	struct vs_fec_store *store = rx->store;
	for (unsigned i = store->equations_n; i-- > 0;) {
		struct equation *eq = &store->equations[i];
		uint8_t c = eq->coef[seq % SHARDS];
		if (!c)
			continue;
		add_to(eq, c, symbol_of(store, seq), store->len[seq % SHARDS]);
		eq->coef[seq % SHARDS] = 0;
		if (eq->pivot == seq && !give_pivot(rx, eq))
			drop_equation(store, i);
	}
	regain_solved(rx);
}

/* --- The ring --- */

/* The place of `seq` is needed for a later one: equations over what was there have lost a column. */
static void vacate(struct vs_fec_rx *rx, uint32_t seq)
{
	struct vs_fec_store *store = rx->store;
	for (unsigned i = store->equations_n; i-- > 0;)
		if (store->equations[i].coef[seq % SHARDS])
			drop_equation(store, i);
	store->len[seq % SHARDS] = 0;
}

static void give_up(struct vs_fec_rx *rx, uint32_t seq)
{
	if (rx->unborn)
		rx->unborn--;
	else if (!is_seen(rx, seq))
		rx->unrecovered++;
	if (rx->store)
		vacate(rx, seq);
}

static void jump(struct vs_fec_rx *rx, uint32_t next)
{
	rx->started = false;
	start(rx, next);
	if (rx->store)
		memset(rx->store->len, 0, sizeof(rx->store->len));
}

/* Makes `next` the end of what is known of. */
static void advance(struct vs_fec_rx *rx, uint32_t next)
{
	if (rx->store && next - rx->next >= SHARDS)
		rx->store->equations_n = 0;
	if (next - rx->next >= VS_FEC_SEEN) {
		jump(rx, next);
		return;
	}
	while (rx->next != next) {
		give_up(rx, rx->next - SHARDS);
		clear_seen(rx, rx->next++);
	}
}

/* --- Shards --- */

/* Keeps the symbol of a datum that has come. */
static void keep(struct vs_fec_rx *rx, uint32_t seq, const uint8_t *text, size_t len)
{
	struct vs_fec_store *store = rx->store;
	uint8_t *symbol = symbol_of(store, seq);
	vs_put_be16(symbol, (uint16_t)len);
	memcpy(symbol + VS_FEC_LENGTH, text, len);
	store->len[seq % SHARDS] = (uint16_t)(VS_FEC_LENGTH + len);
	if (store->equations_n)
		substitute(rx, seq);
}

const uint8_t *vs_fec_rx_data(struct vs_fec_rx *rx, const uint8_t *body, size_t len, size_t *out_len)
{
	struct vs_view view = vs_view_of(body, len);
	uint32_t seq = vs_view_be32(&view);
	if (!vs_view_ok(&view) || view.len == 0 || view.len + VS_FEC_LENGTH > rx->symbol_max) {
		vs_drop(rx->drops, VS_DROP_BAD_FEC);
		return NULL;
	}
	start(rx, seq);
	take_memory(rx);
	if (seq_diff(seq, rx->next) >= 0) {
		advance(rx, seq + 1);
	} else if (rx->next - seq > VS_FEC_SEEN) {
		vs_drop(rx->drops, VS_DROP_FEC_LATE);
		return NULL;
	} else if (is_seen(rx, seq)) {
		vs_drop(rx->drops, VS_DROP_FEC_DUPLICATE);
		return NULL;
	}
	set_seen(rx, seq);
	if (has_place(rx, seq))
		keep(rx, seq, view.data, view.len);
	*out_len = view.len;
	return view.data;
}

/* Whether a window tells anything new: something in it is missing, and all else is here. A symbol that is longer than
 * their sum cannot be of it. */
static bool is_useful(const struct vs_fec_rx *rx, uint32_t first, unsigned count, size_t len)
{
	bool missing = false;
	for (uint32_t seq = first; seq != first + count; seq++) {
		uint16_t known = rx->store->len[seq % SHARDS];
		if (is_seen(rx, seq) && (!known || known > len))
			return false;
		missing |= !is_seen(rx, seq);
	}
	return missing;
}

/* Writes the equation that a parity is, less what is known; solves what can be solved with it. */
static void add_equation(struct vs_fec_rx *rx, uint32_t first, unsigned count, uint8_t row, const uint8_t *symbol,
			 size_t len)
{
	struct vs_fec_store *store = rx->store;
	if (store->equations_n == EQUATIONS)
		drop_equation(store, 0);
	struct equation *eq = &store->equations[store->equations_n++];
	eq->len = (uint16_t)len;
	memcpy(eq->symbol, symbol, len);
	memset(eq->coef, 0, sizeof(eq->coef));
	for (uint32_t seq = first; seq != first + count; seq++) {
		if (is_seen(rx, seq))
			vs_fec_code_add(&store->code, row, seq, symbol_of(store, seq), store->len[seq % SHARDS],
					eq->symbol);
		else
			eq->coef[seq % SHARDS] = vs_fec_coefficient(row, seq);
	}
	for (unsigned i = 0; i + 1 < store->equations_n; i++)
		eliminate(eq, &store->equations[i]);
	if (!give_pivot(rx, eq))
		drop_equation(store, store->equations_n - 1);
	else
		regain_solved(rx);
}

void vs_fec_rx_parity(struct vs_fec_rx *rx, const uint8_t *body, size_t len)
{
	struct vs_view view = vs_view_of(body, len);
	uint32_t first = vs_view_be32(&view);
	unsigned count = vs_view_u8(&view);
	uint8_t row = vs_view_u8(&view);
	if (!vs_view_ok(&view) || count == 0 || count > VS_FEC_WINDOW_MAX || view.len <= VS_FEC_LENGTH ||
	    view.len > rx->symbol_max) {
		vs_drop(rx->drops, VS_DROP_BAD_FEC);
		return;
	}
	rx->parities++;
	start(rx, first);
	take_memory(rx);
	if (!rx->store)
		return;
	if (seq_diff(first + count, rx->next) > 0)
		advance(rx, first + count);
	if (!has_place(rx, first)) {
		vs_drop(rx->drops, VS_DROP_FEC_LATE);
		return;
	}
	if (is_useful(rx, first, count, view.len))
		add_equation(rx, first, count, row, view.data, view.len);
}

const uint8_t *vs_fec_rx_take(struct vs_fec_rx *rx, size_t *out_len)
{
	struct vs_fec_store *store = rx->store;
	if (!store || !store->fresh_n)
		return NULL;
	for (uint32_t seq = rx->next - SHARDS; seq != rx->next; seq++) {
		uint64_t bit = UINT64_C(1) << (seq % 64);
		if (!(store->fresh[seq % SHARDS / 64] & bit))
			continue;
		store->fresh[seq % SHARDS / 64] &= ~bit;
		store->fresh_n--;
		*out_len = store->len[seq % SHARDS] - VS_FEC_LENGTH;
		return symbol_of(store, seq) + VS_FEC_LENGTH;
	}
	return NULL;
}
