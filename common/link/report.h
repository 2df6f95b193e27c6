/* Reports: what a receiver saw of its peer's datagrams, told to the peer, who draws loss, burst lengths, round-trip
 * time and queueing delay from it. They feed the congestion controller (a link in datagram mode has no
 * acknowledgements), the pacer and FEC. One struct vs_report_rx and one struct vs_report_tx a session, embedded.
 *
 * How it works. All numbers are totals since the session began, so a lost report costs nothing and the sender computes
 * differences. A gap in the counters is not loss at once: the receiver *judges* the counters below a mark, which it
 * moves with each report, so that each gap had at least one report interval (max(RTT/4, 10 ms)), or
 * VS_REPORT_REORDER datagrams, to be filled. A datagram that arrives even later is taken off the total of losses again.
 * The report names the end of what is judged; the sender therefore knows exactly which counters a loss figure is about
 * and leaves out those that say nothing about the path: path-MTU probes and datagrams that its own socket refused.
 *
 * When. The first datagram of a session asks for a report after one interval, so that both ends know the path soon;
 * from then on VS_REPORT_DENSE bytes do, or a gap. Fewer bytes wait for max(RTT, VS_REPORT_SPARSE_MIN): a stream of
 * small packets would else be answered by as many reports, each as large as its packets.
 *
 * A report elicits nothing: it is not receive activity at its receiver. */
#ifndef VS_LINK_REPORT_H
#define VS_LINK_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/time.h"
#include "link/wire.h"

/* The least interval between two reports. */
#define VS_REPORT_INTERVAL_MIN (10 * VS_MSEC)

/* Bytes that are worth a report as soon as the interval allows it: it then costs a thirtieth of them. */
#define VS_REPORT_DENSE 4096

/* Fewer are told of after this, or a round trip if that is longer. */
#define VS_REPORT_SPARSE_MIN (250 * VS_MSEC)

/* Bursts of lost datagrams by length: 1, 2, 3-4, 5-8, 9-16, more than 16. */
#define VS_REPORT_BURSTS 6

/* A delay that is not known. */
#define VS_REPORT_UNKNOWN UINT32_MAX

/* Layout after the kind byte; a receiver skips what a later version may append:
 * reserved:8 session:24 | highest:64 | judged:64 | received:64 | lost:64 | bursts:32 each | queue:32 | jitter:32 |
 * age:32 */
#define VS_REPORT_SIZE (4 + 4 * 8 + VS_REPORT_BURSTS * 4 + 3 * 4)

struct vs_report {
	uint32_t session;  /* index by which the peer addresses the session reported on */
	uint64_t highest;  /* highest counter received */
	uint64_t judged;   /* counters below this one have been judged received or lost */
	uint64_t received; /* datagrams */
	uint64_t lost;     /* datagrams, of those judged; falls when one turns up late */
	uint32_t bursts[VS_REPORT_BURSTS]; /* ended bursts of losses; wraps */
	uint32_t queue_usec;  /* one-way delay above the least of the last minute, smoothed; or VS_REPORT_UNKNOWN */
	uint32_t jitter_usec; /* RFC 3550, section 6.4.1; or VS_REPORT_UNKNOWN */
	uint32_t age_usec;    /* from the arrival of `highest` to this report */
};

/* Writes VS_REPORT_SIZE bytes, to follow the kind byte. */
void vs_report_encode(const struct vs_report *report, uint8_t out[VS_REPORT_SIZE]);

/* Reads a report's body (after the kind byte). False: too short, or contradicts itself (drop BAD_REPORT). */
bool vs_report_decode(struct vs_view *view, struct vs_report *out);

/* --- Receiving datagrams --- */

/* Datagrams by which another may be overtaken before it counts as lost. A multiple of 64. */
#define VS_REPORT_REORDER 512

struct vs_report_rx {
	uint64_t next;     /* highest counter received + 1; 0: none */
	uint64_t judged;   /* as in struct vs_report */
	uint64_t mark;     /* `next` at the last report: to be judged at the coming one */
	uint64_t received;
	uint64_t lost;
	uint64_t run;      /* length of the burst of losses that ends at `judged`; 0: none */
	uint64_t seen[VS_REPORT_REORDER / 64]; /* of those from `judged` on, by counter modulo VS_REPORT_REORDER */
	uint32_t bursts[VS_REPORT_BURSTS];
	uint64_t highest_usec;  /* arrival of `highest` */
	uint64_t due_usec;      /* of the next report; VS_NEVER: none */
	uint64_t asked_usec;    /* when the first datagram came that asks for it */
	uint64_t unreported;    /* bytes that have come since then */
	bool hurried;           /* there is something that the peer should know soon */
	uint64_t interval_usec; /* between reports, at least */
	uint64_t sparse_usec;   /* after which few bytes are told of */
	/* One-way delay in units of the peer's clock: only differences mean something. */
	bool stamped;
	uint32_t transit;          /* of the last stamped datagram */
	int32_t least[2];          /* least transit of this and the previous half minute, relative to `transit_base` */
	uint32_t transit_base;
	uint64_t least_since_usec; /* start of this half minute */
	uint32_t queue_q4;         /* smoothed, in 1/16 usec */
	uint32_t jitter_q4;        /* in 1/16 usec */
};

/* A new session: no datagram received; the peer's first has counter 0. */
void vs_report_rx_init(struct vs_report_rx *r);

/* The link's smoothed round-trip time (0: unknown), which sets the interval. */
void vs_report_rx_set_rtt(struct vs_report_rx *r, uint64_t srtt_usec);

/* A datagram was authenticated and is new (the replay window said so). To be called for every kind, so that no gap
 * appears where none is; a counter that was counted, which somebody else can have used in the clear, is ignored;
 * `bytes` is its size where it asks for a report, and 0 for the kinds that do not: REPORT, PROBE, PROBE_ACK. */
void vs_report_rx_datagram(struct vs_report_rx *r, uint64_t counter, uint64_t now, size_t bytes);

/* The datagram carried a microsecond clock of the peer, read when it was sent (`ts` of a PUSH); once a datagram.
 * Optional: without stamps the report says that delay and jitter are unknown. */
void vs_report_rx_stamp(struct vs_report_rx *r, uint32_t sent_ts, uint64_t now);

/* When a report is due; VS_NEVER if none is owed. */
uint64_t vs_report_rx_deadline(const struct vs_report_rx *r);

/* If a report is due, fills *out, with `session` as given, and reckons it as sent. False: none is due. */
bool vs_report_rx_output(struct vs_report_rx *r, uint32_t session, uint64_t now, struct vs_report *out);

/* --- Sending datagrams --- */

#define VS_REPORT_HISTORY 32  /* send times kept */
#define VS_REPORT_EXCLUDED 16 /* runs of excluded counters kept; past it the oldest may count as loss */

struct vs_report_sent {
	uint64_t counter, sent_usec;
};

struct vs_report_run {
	uint64_t first, count;
};

struct vs_report_tx {
	struct vs_report_sent sent[VS_REPORT_HISTORY]; /* ring, in order of sending */
	unsigned sent_n;                               /* ever recorded */
	uint64_t resolution_usec;                      /* between two records */
	uint64_t next;                                 /* highest counter sent + 1 */
	struct vs_report_run excluded[VS_REPORT_EXCLUDED]; /* in order of counters, disjoint */
	unsigned excluded_n;
	struct vs_report last;
};

/* What a report adds to those before it. */
struct vs_report_news {
	uint64_t judged;   /* datagrams newly judged, excluded ones left out */
	uint64_t lost;     /* of these */
	uint64_t passed;   /* counters by which the highest received has grown */
	uint64_t received; /* datagrams that have come meanwhile */
	uint32_t loss_q16; /* lost / judged in 1/65536; 0 where judged is 0 */
	uint32_t bursts[VS_REPORT_BURSTS];
	uint64_t rtt_usec;    /* round trip of the highest datagram, too large by at most the resolution (400 us or
				 srtt/16); 0: unknown, or already told */
	uint32_t queue_usec;  /* as in struct vs_report */
	uint32_t jitter_usec;
};

enum vs_report_verdict {
	VS_REPORT_NEW, /* *news is filled */
	VS_REPORT_OLD, /* overtaken by a later one: ignore it */
	VS_REPORT_BAD, /* about datagrams that were never sent: drop BAD_REPORT */
};

void vs_report_tx_init(struct vs_report_tx *t);

/* The link's smoothed round-trip time (0: unknown), which sets how densely send times are kept. */
void vs_report_tx_set_rtt(struct vs_report_tx *t, uint64_t srtt_usec);

/* A datagram with this counter leaves now. To be called in the order of counters. */
void vs_report_tx_sent(struct vs_report_tx *t, uint64_t counter, uint64_t now);

/* The loss of this counter, sent or given out but refused by the socket, says nothing about the path. Called for each
 * path-MTU probe when it is sent, and for each failed send, in any order; a repetition is ignored. */
void vs_report_tx_exclude(struct vs_report_tx *t, uint64_t counter);

/* An excluded datagram has arrived after all (PROBE_ACK): it is not among the peer's losses. */
void vs_report_tx_include(struct vs_report_tx *t, uint64_t counter);

/* A decoded report about this session arrived. */
enum vs_report_verdict vs_report_tx_input(struct vs_report_tx *t, const struct vs_report *report, uint64_t now,
					  struct vs_report_news *news);

#endif
