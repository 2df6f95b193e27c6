#include "link/fec_tx.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"

#define RING VS_FEC_WINDOW_MAX
/* Credit is kept for no more parities than this: after a pause of the sender nobody wants a volley of them. */
#define CREDIT_MAX (8 * VS_FEC_SHARE_ONE)
/* After a pause the gaps to come are not known; a quick parity, for what may be alone, is the better mistake. */
#define PAUSE_GAP_SHARE 8
/* The window of small K: a longer one costs arithmetic only, and gets more out of the same parities. */
#define WINDOW_MIN 24
/* Data that the overhead of late reaches back over. */
#define OVERHEAD_REACH 128
/* A datum that is so many times longer than all after it is covered by so many parities and no more. */
#define LONG_FACTOR 2
#define LONG_PARITIES 4
/* Of IPv4 and UDP. */
#define CARRIER_HEADERS 28

struct datum {
	uint64_t sent_usec;
	uint16_t len; /* of the symbol */
};

struct vs_fec_ring {
	struct vs_fec_code code;
	struct datum data[RING];
	uint16_t symbol_max;
	uint8_t bytes[]; /* RING symbols, and the one of the parity */
};

static uint8_t *symbol_at(struct vs_fec_ring *ring, uint32_t place)
{
	return ring->bytes + (size_t)place * ring->symbol_max;
}

/* --- Memory --- */

void vs_fec_tx_init(struct vs_fec_tx *tx)
{
	*tx = (struct vs_fec_tx){ .flush_deadline = VS_NEVER };
}

void vs_fec_tx_release(struct vs_fec_tx *tx)
{
	free(tx->ring);
	tx->ring = NULL;
	tx->stored = tx->uncovered = 0;
	tx->credit_q16 = 0;
	tx->flush_deadline = VS_NEVER;
}

void vs_fec_tx_set_datagram_max(struct vs_fec_tx *tx, uint16_t datagram_max)
{
	uint16_t most = (uint16_t)(datagram_max - VS_SEAL_OVERHEAD - VS_FEC_PARITY_HEADER);
	if (most != tx->symbol_max)
		vs_fec_tx_release(tx);
	tx->symbol_max = most;
}

static bool take_memory(struct vs_fec_tx *tx)
{
	if (tx->ring)
		return true;
	tx->ring = malloc(sizeof(*tx->ring) + (size_t)(RING + 1) * tx->symbol_max);
	if (!tx->ring)
		return false;
	vs_fec_code_init(&tx->ring->code);
	tx->ring->symbol_max = tx->symbol_max;
	return true;
}

/* --- How much and when --- */

uint32_t vs_fec_share(unsigned k, unsigned m)
{
	return m * VS_FEC_SHARE_ONE / k;
}

unsigned vs_fec_window(unsigned k)
{
	return VS_MIN(VS_MAX(2 * k, (unsigned)WINDOW_MIN), (unsigned)VS_FEC_WINDOW_MAX);
}

void vs_fec_tx_set_share(struct vs_fec_tx *tx, uint32_t share_q16, unsigned window)
{
	tx->share_q16 = share_q16;
	tx->window = VS_MIN(window, (unsigned)VS_FEC_WINDOW_MAX);
	if (share_q16)
		return;
	tx->credit_q16 = 0;
	tx->flush_deadline = VS_NEVER;
}

void vs_fec_tx_set_rtt(struct vs_fec_tx *tx, uint64_t srtt_usec)
{
	tx->srtt_usec = srtt_usec;
}

static uint64_t flush_cap(const struct vs_fec_tx *tx)
{
	return VS_MAX(tx->srtt_usec, (uint64_t)VS_FEC_FLUSH_CAP);
}

static uint64_t flush_usec(const struct vs_fec_tx *tx)
{
	return VS_MIN(VS_MAX(2 * tx->gap_usec, (uint64_t)VS_FEC_FLUSH_MIN), flush_cap(tx));
}

/* Parities of one datum are spread over at most half of the time until the next. */
static uint64_t stagger_usec(const struct vs_fec_tx *tx)
{
	uint64_t each = tx->gap_usec * (VS_FEC_SHARE_ONE / 2) / VS_MAX(tx->share_q16, 1u);
	return VS_MIN(VS_MIN(each, tx->srtt_usec / 16), (uint64_t)VS_FEC_STAGGER_MAX);
}

uint64_t vs_fec_tx_cover_usec(const struct vs_fec_tx *tx)
{
	uint64_t data = VS_FEC_SHARE_ONE / VS_MAX(tx->share_q16, 1u);
	uint64_t next = VS_MIN(VS_MAX(data * tx->gap_usec, flush_usec(tx)), flush_cap(tx));
	/* The next may be lost as well. */
	return 2 * next + stagger_usec(tx);
}

static void measure_gap(struct vs_fec_tx *tx, uint64_t now)
{
	uint64_t gap = vs_time_since(now, tx->data_usec), pause = flush_cap(tx);
	if (!tx->data_usec || gap > pause)
		tx->gap_usec = pause / PAUSE_GAP_SHARE;
	else
		tx->gap_usec = (7 * tx->gap_usec + gap) / 8;
	tx->data_usec = now;
}

/* Kept in 1/16, which is also the weight of a new one. */
static void smooth(uint32_t *mean_q4, size_t value)
{
	*mean_q4 = *mean_q4 ? (uint32_t)(*mean_q4 - *mean_q4 / 16 + value) : (uint32_t)(value * 16);
}

/* Bytes on the wire of a symbol. */
static uint64_t wire_bytes(uint64_t symbol)
{
	return symbol + VS_FEC_DATA_HEADER + VS_SEAL_OVERHEAD + CARRIER_HEADERS;
}

uint32_t vs_fec_tx_parity_cost(const struct vs_fec_tx *tx)
{
	if (!tx->parity_len_q4 || !tx->datum_len_q4)
		return VS_FEC_SHARE_ONE;
	return (uint32_t)(wire_bytes(tx->parity_len_q4 / 16) * VS_FEC_SHARE_ONE / wire_bytes(tx->datum_len_q4 / 16));
}

uint32_t vs_fec_tx_overhead(const struct vs_fec_tx *tx)
{
	if (!tx->data_bytes)
		return 0;
	return (uint32_t)VS_MIN(tx->parity_bytes * VS_FEC_SHARE_ONE / tx->data_bytes, (uint64_t)UINT32_MAX);
}

static void account_datum(struct vs_fec_tx *tx, size_t symbol)
{
	smooth(&tx->datum_len_q4, symbol);
	tx->data_bytes += wire_bytes(symbol) - tx->data_bytes / OVERHEAD_REACH;
	tx->parity_bytes -= tx->parity_bytes / OVERHEAD_REACH;
}

static void account_parity(struct vs_fec_tx *tx, size_t symbol)
{
	smooth(&tx->parity_len_q4, symbol);
	tx->parity_bytes += wire_bytes(symbol);
	tx->parities++;
}

/* --- Data --- */

static void copy_symbol(uint8_t *symbol, const struct vs_parts *parts)
{
	vs_put_be16(symbol, (uint16_t)parts->len);
	vs_parts_gather(symbol + VS_FEC_LENGTH, parts->iov, parts->n);
}

bool vs_fec_tx_data(struct vs_fec_tx *tx, const struct vs_parts *parts, uint64_t now, uint32_t *seq)
{
	if (!tx->share_q16 || parts->len + VS_FEC_LENGTH > tx->symbol_max || !take_memory(tx))
		return false;
	copy_symbol(symbol_at(tx->ring, tx->next % RING), parts);
	tx->ring->data[tx->next % RING] = (struct datum){ now, (uint16_t)(VS_FEC_LENGTH + parts->len) };
	*seq = tx->next++;
	tx->stored = VS_MIN(tx->stored + 1, (unsigned)RING);
	tx->uncovered++;
	measure_gap(tx, now);
	/* Those that are still owed go before, and as fast as the data come now. */
	bool owed = tx->credit_q16 >= VS_FEC_SHARE_ONE;
	tx->parity_usec = owed ? VS_MIN(tx->parity_usec, now + stagger_usec(tx)) : now;
	tx->credit_q16 = VS_MIN(tx->credit_q16 + tx->share_q16, CREDIT_MAX);
	tx->flush_deadline = now + flush_usec(tx);
	account_datum(tx, VS_FEC_LENGTH + parts->len);
	return true;
}

/* --- Parities --- */

/* Whether so many data have earned what a long one before them is granted. Else all parities of a window would be as
 * long as it is: one full frame in a stream of small packets, or some that a busy machine has sent as one. */
static bool is_granted(const struct vs_fec_tx *tx, unsigned data)
{
	return (uint64_t)data * tx->share_q16 >= LONG_PARITIES * VS_FEC_SHARE_ONE;
}

/* Data that a parity covers now: the last ones, as long as they are young and none is out of proportion. */
static unsigned covered(const struct vs_fec_tx *tx, uint64_t now)
{
	unsigned n = 0, longest = 0, most = VS_MIN(tx->window, tx->stored);
	for (; n < most; n++) {
		const struct datum *datum = &tx->ring->data[(tx->next - n - 1) % RING];
		bool too_long = datum->len > LONG_FACTOR * longest && is_granted(tx, n);
		if (too_long || vs_time_since(now, datum->sent_usec) > VS_FEC_AGE_MAX)
			break;
		longest = VS_MAX(longest, (unsigned)datum->len);
	}
	return n;
}

/* The combination of the last `count` data. Returns its length. */
static size_t combine(struct vs_fec_ring *ring, uint32_t first, unsigned count, uint8_t row, uint8_t *sum)
{
	size_t len = 0;
	for (uint32_t seq = first; seq != first + count; seq++)
		len = VS_MAX(len, (size_t)ring->data[seq % RING].len);
	memset(sum, 0, len);
	for (uint32_t seq = first; seq != first + count; seq++)
		vs_fec_code_add(&ring->code, row, seq, symbol_at(ring, seq % RING), ring->data[seq % RING].len, sum);
	return len;
}

static void write_parity(struct vs_fec_tx *tx, unsigned count, struct vs_parts *parts)
{
	uint8_t *sum = symbol_at(tx->ring, RING), *header = vs_parts_reserve(parts);
	uint32_t first = tx->next - count;
	size_t len = combine(tx->ring, first, count, tx->row, sum);
	header[0] = VS_KIND_FEC_PARITY;
	vs_put_be32(header + 1, first);
	header[5] = (uint8_t)count;
	header[6] = tx->row;
	vs_parts_commit(parts, VS_FEC_PARITY_HEADER);
	vs_parts_view(parts, sum, len);
	tx->row = (uint8_t)((tx->row + 1) % VS_FEC_POINTS);
	account_parity(tx, len);
}

/* A parity leaves, or would if there were anything to cover. */
static void spend(struct vs_fec_tx *tx, uint64_t now)
{
	bool flush = tx->credit_q16 < VS_FEC_SHARE_ONE;
	tx->credit_q16 = flush ? 0 : tx->credit_q16 - VS_FEC_SHARE_ONE;
	tx->uncovered = 0;
	tx->parity_usec = now + stagger_usec(tx);
	tx->flush_deadline = VS_NEVER;
}

bool vs_fec_tx_output(struct vs_fec_tx *tx, uint64_t now, struct vs_parts *parts)
{
	if (now < vs_fec_tx_deadline(tx))
		return false;
	unsigned count = covered(tx, now);
	spend(tx, now);
	if (!count)
		return false;
	write_parity(tx, count, parts);
	return true;
}
