/* Fragments: a plaintext that is larger than the path now allows, cut into datagrams of kind FRAGMENT, and put
 * together again. A KCP segment cannot change once it has a sequence number, so without this a path MTU that shrinks
 * would stall a lane for ever.
 *
 * Body of a FRAGMENT after its kind byte: id:32 offset:16 total:16 | bytes. The bytes are a slice of the whole
 * plaintext, that plaintext's own kind byte included; it must not be a FRAGMENT itself.
 *
 * The receiver holds back nothing for long: a reassembly has a fixed number of datagrams and of bytes in progress,
 * evicts the oldest, and gives each VS_REASSEMBLY_TIMEOUT. As RFC 5722 has it, fragments that overlap or disagree about
 * the total condemn their whole datagram; an exact repetition is ignored. */
#ifndef VS_LINK_FRAGMENT_H
#define VS_LINK_FRAGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "base/time.h"
#include "link/wire.h"

/* --- Sending --- */

/* What precedes the slice in the plaintext of a fragment's datagram. */
#define VS_FRAGMENT_PREFIX (VS_KIND_SIZE + VS_FRAGMENT_HEADER)

/* How one plaintext is cut: `count` slices, all of `slice` bytes but the last, which may be shorter. */
struct vs_fragment_plan {
	uint16_t total;
	uint16_t slice;
	uint16_t count;
};

/* Plans `total` bytes of plaintext (kind included) for datagrams of at most `datagram` bytes on the wire (header and
 * tag included). Slices are of even size, so that no small last one is sent and the whole fits one GSO batch.
 * False: total is 0 or above VS_FRAGMENT_TOTAL_MAX, or more than VS_FRAGMENTS_MAX slices would be needed, which cannot
 * be for a datagram of VS_DATAGRAM_BASE or more. */
bool vs_fragment_plan(size_t total, size_t datagram, struct vs_fragment_plan *plan) VS_MUST_CHECK;

/* Writes the prefix (kind and header) of slice number i. Returns the slice's length; its place in the plaintext is
 * *offset. `id` tells this plaintext from others of the link in flight: the sender counts. */
size_t vs_fragment_encode(const struct vs_fragment_plan *plan, uint32_t id, unsigned i, size_t *offset,
			  uint8_t prefix[VS_FRAGMENT_PREFIX]);

/* --- Receiving --- */

#define VS_FRAGMENTS_MAX 64                 /* slices of one plaintext; 65535 bytes take 57 of the base size */
#define VS_REASSEMBLY_SLOTS 8               /* plaintexts in progress */
#define VS_REASSEMBLY_BYTES_MAX (256 << 10) /* of plaintexts in progress */
#define VS_REASSEMBLY_TIMEOUT (2 * VS_SEC)

struct vs_reassembly_slot;

/* Embedded in a link; memory is taken by the first fragment, and given back by vs_reassembly_expire() when nothing is
 * in progress. */
struct vs_reassembly {
	struct vs_reassembly_slot *slots; /* VS_REASSEMBLY_SLOTS of them, or NULL */
	struct vs_drops *drops;
};

/* `drops` must outlive the reassembly. */
void vs_reassembly_init(struct vs_reassembly *ra, struct vs_drops *drops);

/* Frees everything; the reassembly may be used again (as after init). */
void vs_reassembly_fini(struct vs_reassembly *ra);

/* The body of a FRAGMENT arrived (after its kind byte). Returns the plaintext that it completes (kind first, *out_len
 * bytes, at least 1), owned by the reassembly and valid until its next input, expire or fini; or NULL: more is needed,
 * or the fragment was dropped. Counts BAD_FRAGMENT, FRAGMENT_TIMEOUT (also for evictions) and NO_BUFFER. */
const uint8_t *vs_reassembly_input(struct vs_reassembly *ra, const uint8_t *body, size_t len, uint64_t now,
				   size_t *out_len) VS_MUST_CHECK;

/* When vs_reassembly_expire() has something to do; VS_NEVER if nothing is held. */
uint64_t vs_reassembly_deadline(const struct vs_reassembly *ra);

/* Ends the loan of the last plaintext, gives up what has timed out, and gives back all memory if nothing is in
 * progress. */
void vs_reassembly_expire(struct vs_reassembly *ra, uint64_t now);

#endif
