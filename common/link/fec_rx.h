/* The receiving half of forward error correction: takes the shards of a peer and gives back the plaintexts that were
 * lost on the way. Embedded in a link, where the bodies of FEC_DATA and FEC_PARITY come from under the seal.
 *
 * How it works. Data symbols (the length and the plaintext) of the last VS_FEC_SHARDS sequence numbers are kept in a
 * ring. A parity is an equation over the symbols of its window: what is known of them is subtracted, so an equation
 * over those that are missing remains. Equations are kept in reduced row echelon form: each has a column (a missing
 * datum) of its own, its pivot, that no other has. So each step of the elimination is done once, when something
 * arrives, and an equation whose pivot is all that is left of it is a datum regained.
 *
 * Bounds. A parity costs at most VS_FEC_WINDOW_MAX + 2 * VS_FEC_EQUATIONS_MAX additions of symbols, a datum
 * 2 * VS_FEC_EQUATIONS_MAX, and either one multiplication for each datum that it brings back; a parity that tells nothing
 * new, none. Memory is taken by the first shard, all at once, and
 * given back by vs_fec_rx_release(). Where there is none, data pass and nothing is regained.
 *
 * Each sequence number is delivered once, as received or as recovered, whichever is first; what comes again, or is so
 * late that this is no longer known, is dropped. */
#ifndef VS_LINK_FEC_RX_H
#define VS_LINK_FEC_RX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "link/fec_code.h"

/* Sequence numbers below the highest of which is known whether they have been delivered: as the replay window. */
#define VS_FEC_SEEN 2048
/* Equations kept, hence data that can be missing at a time and still come back. */
#define VS_FEC_EQUATIONS_MAX 32

struct vs_fec_store;

struct vs_fec_rx {
	struct vs_fec_store *store; /* NULL: no memory taken */
	struct vs_drops *drops;
	uint32_t next;   /* one after the highest sequence number that is known of */
	uint32_t unborn; /* places before `next` that stand for nothing yet, as the first shard came after them */
	bool started;    /* `next` means something */
	uint16_t symbol_max; /* bytes */
	uint64_t seen[VS_FEC_SEEN / 64];
	uint64_t parities;   /* received */
	uint64_t recovered;
	uint64_t unrecovered; /* data that were missed and have not come within VS_FEC_SHARDS later ones */
};

/* `drops` must outlive it; datagrams of the peer are of at most `datagram_max` bytes. */
void vs_fec_rx_init(struct vs_fec_rx *rx, struct vs_drops *drops);
void vs_fec_rx_set_datagram_max(struct vs_fec_rx *rx, uint16_t datagram_max);

/* The peer starts anew: its sequence numbers begin somewhere. Gives all memory back; totals stay. */
void vs_fec_rx_reset(struct vs_fec_rx *rx);

/* The body of a FEC_DATA (after the kind). Returns the plaintext in it (a view of `body`, *out_len bytes, at least 1)
 * if it is to be delivered now; else NULL: dropped, BAD_FEC, FEC_DUPLICATE or FEC_LATE. */
const uint8_t *vs_fec_rx_data(struct vs_fec_rx *rx, const uint8_t *body, size_t len, size_t *out_len) VS_MUST_CHECK;

/* The body of a FEC_PARITY. Drops it under BAD_FEC if it cannot be one, under FEC_LATE where its window lies too far
 * back. */
void vs_fec_rx_parity(struct vs_fec_rx *rx, const uint8_t *body, size_t len);

/* After either: a plaintext that has been regained, the oldest first, valid until the next call; NULL: no more. */
const uint8_t *vs_fec_rx_take(struct vs_fec_rx *rx, size_t *out_len);

/* Whether there is memory to give back; gives it back. What was missing then is not regained. */
static inline bool vs_fec_rx_holds(const struct vs_fec_rx *rx)
{
	return rx->store != NULL;
}
void vs_fec_rx_release(struct vs_fec_rx *rx);

#endif
