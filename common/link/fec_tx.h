/* The sending half of forward error correction: keeps the plaintexts of the last data datagrams and makes parities over
 * them. A link owns one where it sends with FEC; what share of parity to send is told to it (fixed K:M, or by
 * link/fec_policy.h).
 *
 * How it works. A sliding window (as RFC 8681 has it) and not blocks: each datum goes out at once, and after every
 * K/M data a parity covers the last so many of them, so what is lost comes back with the next parity that arrives. In
 * blocks of K the first of a block would wait for its end, which at 50 packets a second is most of a human reaction.
 *
 * Each datum earns M/K of credit, and a whole unit of it buys a parity. Parities that are due together leave a little
 * apart, so that one short outage does not take them all with their data. When the data pause, a last parity follows
 * after the flush time, twice the gap between the data of late, so that their tail is covered, too; while they flow
 * evenly the flush time never passes.
 *
 * Costs: a copy of each plaintext, and for a parity one pass over its window. Memory is taken by the first datum, all
 * at once, and given back by vs_fec_tx_release(). */
#ifndef VS_LINK_FEC_TX_H
#define VS_LINK_FEC_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"
#include "link/fec_code.h"
#include "link/parts.h"

/* Data older than this are not covered any more: nobody waits for them. */
#define VS_FEC_AGE_MAX (500 * VS_MSEC)

/* Data that pause for less are not flushed, and parities of one datum are not further apart. */
#define VS_FEC_FLUSH_MIN (1 * VS_MSEC)
#define VS_FEC_STAGGER_MAX (3 * VS_MSEC)
/* They are flushed after this or a round-trip time at the latest. */
#define VS_FEC_FLUSH_CAP (50 * VS_MSEC)

/* A parity for each of this many data: the share of vs_fec_tx_set_share(). */
#define VS_FEC_SHARE_ONE 65536u

struct vs_fec_ring;

struct vs_fec_tx {
	struct vs_fec_ring *ring; /* NULL: no memory taken */
	uint16_t symbol_max;      /* bytes */
	uint32_t share_q16;       /* parities a datum */
	unsigned window;          /* data that a parity covers, at most VS_FEC_WINDOW_MAX */
	uint32_t next;            /* sequence number of the next datum */
	unsigned stored;          /* data before it that are in the ring */
	unsigned uncovered;       /* of these, that no parity has covered yet */
	uint8_t row;              /* of the next parity */
	uint32_t credit_q16;      /* of parities */
	uint64_t srtt_usec;
	uint64_t gap_usec;        /* between data, smoothed */
	uint64_t data_usec;       /* when the last datum left; 0: none */
	uint64_t parity_usec;     /* before this no parity of those that are due leaves */
	uint64_t flush_deadline;  /* VS_NEVER: nothing to flush */
	uint32_t datum_len_q4, parity_len_q4; /* smoothed lengths of symbols, in 1/16; 0: none yet */
	uint64_t data_bytes, parity_bytes; /* on the wire; those of the last data weigh most */
	uint64_t parities;        /* ever */
};

/* Sends nothing until a share is set. Datagrams are of at most `datagram_max` bytes; a change gives memory back. */
void vs_fec_tx_init(struct vs_fec_tx *tx);
void vs_fec_tx_set_datagram_max(struct vs_fec_tx *tx, uint16_t datagram_max);

/* Gives memory back: data sent so far will not be covered any more. */
void vs_fec_tx_release(struct vs_fec_tx *tx);

static inline bool vs_fec_tx_holds(const struct vs_fec_tx *tx)
{
	return tx->ring != NULL;
}

/* From now on so many parities a datum (in 1/65536; 0: none), each over the last `window` data. */
void vs_fec_tx_set_share(struct vs_fec_tx *tx, uint32_t share_q16, unsigned window);

/* The share and the window that the ratio K:M stands for: two blocks of K at least, so that each datum is covered by
 * twice as many parities as one of a block would be. */
uint32_t vs_fec_share(unsigned k, unsigned m);
unsigned vs_fec_window(unsigned k);

void vs_fec_tx_set_rtt(struct vs_fec_tx *tx, uint64_t srtt_usec);

/* A plaintext leaves now as a datum: copies it and returns its sequence number in *seq. False: the share is 0, it
 * is too large to be protected, or there is no memory; it then goes as it is. */
bool vs_fec_tx_data(struct vs_fec_tx *tx, const struct vs_parts *parts, uint64_t now, uint32_t *seq);

/* Within this time after a datum two parities that cover it leave, as a rule. */
uint64_t vs_fec_tx_cover_usec(const struct vs_fec_tx *tx);

/* When a parity is due; VS_NEVER: none is. */
static inline uint64_t vs_fec_tx_deadline(const struct vs_fec_tx *tx)
{
	return tx->credit_q16 >= VS_FEC_SHARE_ONE ? tx->parity_usec : tx->flush_deadline;
}

/* Bytes that go onto the wire for one parity, for each that goes for a datum, as far as the lengths of late tell; in
 * 1/65536. Both count their headers, those of the carrier too. */
uint32_t vs_fec_tx_parity_cost(const struct vs_fec_tx *tx);

/* Bytes that have gone onto the wire for parities of late, for each that has for data; in 1/65536. More than the share
 * says where data pause often. */
uint32_t vs_fec_tx_overhead(const struct vs_fec_tx *tx);

/* If a parity is due, writes its plaintext: the header into the parts (which are empty), the symbol as a view that is
 * good until the next call. */
bool vs_fec_tx_output(struct vs_fec_tx *tx, uint64_t now, struct vs_parts *parts);

#endif
