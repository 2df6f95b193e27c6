/* Path-MTU discovery by probing (DPLPMTUD, RFC 8899): finds the largest datagram that the path carries, from padded
 * probes that the peer acknowledges, without any help from ICMP. Sizes are bytes of UDP payload. Embedded in a link.
 *
 * How it works. The base size is taken for granted. From there the search tries the maximum first, since most paths
 * carry it, then halves the list of sizes that real paths have (PPPoE, tunnels, ...), then the remaining gap, down to
 * VS_PMTUD_GRANULARITY. One probe is in flight at a time; a size is given up after VS_PMTUD_TRIES of them.
 *
 *   SEARCH   looking for a larger size than the current one
 *   DONE     found; confirmed, and the search repeated, after a time that doubles from 10 s to 600 s
 *   CONFIRM  is the current size still carried? (periodic, or a black hole is suspected, and then in a hurry)
 *   BASE     it was not: the size is the base, whose probe is repeated until one comes back; then SEARCH
 *
 * During an outage nothing comes back, CONFIRM fails and BASE lasts until the path works: the size is back to what it
 * was two round trips later. On a path that loses much, full-size datagrams that arrive (vs_pmtud_delivered) refute a
 * suspicion sooner than probes do. An acknowledgement that comes after its probe was given up still counts. */
#ifndef VS_LINK_PMTUD_H
#define VS_LINK_PMTUD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "link/wire.h"

#define VS_PMTUD_GRANULARITY 16
#define VS_PMTUD_TRIES 3
#define VS_PMTUD_VALID_MAX 64  /* probes that may still be acknowledged */
#define VS_PMTUD_REFUTED_RTTS 8 /* round trips for which no new suspicion is heard after one was refuted */

enum vs_pmtud_state {
	VS_PMTUD_SEARCH,
	VS_PMTUD_DONE,
	VS_PMTUD_CONFIRM,
	VS_PMTUD_BASE,
};

struct vs_pmtud {
	enum vs_pmtud_state state;
	bool hurry;           /* CONFIRM: a black hole is suspected */
	bool outstanding;     /* a probe is in flight */
	uint8_t tries;        /* probes of probe_size sent */
	uint16_t max;         /* largest size to try */
	uint16_t size;        /* current datagram size */
	uint16_t last_good;   /* size before the fallback to the base, tried before any other; 0: none */
	uint16_t too_big;     /* smallest size that this search found not to work; max + 1: none */
	uint16_t probe_size;  /* being tried */
	uint16_t sequence;    /* of the last probe; 15 bits of it are in the probe's id */
	uint8_t valid_n;      /* latest probes whose acknowledgement counts: those sent over this path and, if one is
				 suspected, after the suspicion */
	uint64_t srtt_usec;   /* 0: unknown */
	uint64_t timer_usec;  /* DONE: time to confirm; else the probe in flight is lost, or the next one goes */
	uint64_t raise_usec;  /* from the end of the next search to another */
	uint64_t raise_at_usec;      /* time of the next search; 0: one was not finished */
	uint64_t since_usec;         /* start of CONFIRM or BASE: what was sent before it proves nothing */
	uint64_t suspect_after_usec; /* earlier suspicions are ignored */
};

/* Starts at VS_DATAGRAM_BASE with a search up to `max`, the largest datagram that the local interface and the carrier
 * would take; it is clamped to VS_DATAGRAM_BASE ... VS_DATAGRAM_MAX. */
void vs_pmtud_init(struct vs_pmtud *p, uint16_t max);

/* The path has changed (address, carrier): starts again, ignoring probes in flight. Keeps the round-trip time. */
void vs_pmtud_reset(struct vs_pmtud *p, uint16_t max);

/* The link's smoothed round-trip time, for the timers. To be told when it changes. */
void vs_pmtud_set_rtt(struct vs_pmtud *p, uint64_t srtt_usec);

/* Runs the timers and tells whether a probe must be sent now: a PROBE that carries *id (whose top bit is always clear,
 * for the caller's own probes to differ in), in a datagram of exactly *size bytes. To be called at the deadline
 * while a session is up; afterwards vs_pmtud_size() may have changed. */
bool vs_pmtud_output(struct vs_pmtud *p, uint64_t now, uint32_t *id, uint16_t *size);

/* A PROBE_ACK arrived: the peer received probe `id` as a datagram of `size` bytes. False: it answers none of our
 * probes, or one that no longer says anything. */
bool vs_pmtud_ack(struct vs_pmtud *p, uint32_t id, uint16_t size, uint64_t now);

/* Evidence from outside: a datagram of `size` bytes, sent at sent_usec, was acknowledged. Cheap; best called for each
 * acknowledged segment of a large datagram while vs_pmtud_wants_evidence(). Only a datagram of the whole current size
 * refutes a suspicion. */
void vs_pmtud_delivered(struct vs_pmtud *p, uint16_t size, uint64_t sent_usec, uint64_t now);

/* Whether vs_pmtud_delivered() could change anything. */
static inline bool vs_pmtud_wants_evidence(const struct vs_pmtud *p)
{
	return p->state == VS_PMTUD_CONFIRM || p->state == VS_PMTUD_BASE;
}

/* A black hole is suspected: a full-size segment was lost twice, a retransmission timeout, or a report of heavy loss.
 * Starts a hurried CONFIRM, unless the size is the base anyway, or the last suspicion was refuted less than
 * VS_PMTUD_REFUTED_RTTS ago. */
void vs_pmtud_suspect(struct vs_pmtud *p, uint64_t now);

/* The local socket refused a datagram of this size (EMSGSIZE). */
void vs_pmtud_too_big(struct vs_pmtud *p, uint16_t size, uint64_t now);

/* The largest datagram to send now. */
static inline uint16_t vs_pmtud_size(const struct vs_pmtud *p)
{
	return p->size;
}

/* When vs_pmtud_output() has something to do; never VS_NEVER. A time that has passed means now. */
static inline uint64_t vs_pmtud_deadline(const struct vs_pmtud *p)
{
	return p->timer_usec;
}

/* "search", "done", "confirm" or "base", for status. */
const char *vs_pmtud_state_name(const struct vs_pmtud *p);

#endif
