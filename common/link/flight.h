/* What a link in datagram mode has in flight: datagrams that nobody acknowledges one by one. The peer's reports
 * (link/report.h) say how far they have come and what share has arrived, which is enough to feed the link's congestion
 * controller as acknowledgements feed it in reliable mode: a window, a rate, and samples of both. One a link, embedded.
 *
 * How it works. What was sent is kept in pieces, each of the datagrams of a short time: the last counter, the bytes, and
 * the state of the rate estimator (struct vs_congestion_tx). A report ends the flight of all pieces that its highest
 * counter has reached; of their bytes the share that the peer's count of datagrams has grown by is delivered. Losses
 * come with the judgement of the counters, one report later at least.
 *
 * Reports come every VS_REPORT_INTERVAL_MIN at best. To the controller no path is shorter than that, or it would take
 * the lumps in which they tell for all that the path carries in a round trip.
 *
 * Where the path is gone no report comes; what is in flight then holds up the link for a timeout, and is forgotten. */
#ifndef VS_LINK_FLIGHT_H
#define VS_LINK_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "link/congestion.h"
#include "link/report.h"
#include "link/rtt.h"

#define VS_FLIGHT_PIECES 64

struct vs_flight_piece {
	uint64_t last;      /* highest counter */
	uint64_t sent_usec; /* of its first datagram, as is `tx` */
	uint64_t bytes;
	struct vs_congestion_tx tx;
};

struct vs_flight {
	struct vs_flight_piece *pieces; /* ring of VS_FLIGHT_PIECES; NULL: nothing has been sent yet */
	unsigned first, count;
	uint64_t bytes;       /* in flight */
	uint64_t progress_usec; /* when a report last told of something new, or the flight began */
	uint64_t told_usec;   /* when the newest datagram was sent that a report has told of */
	uint64_t judged_usec; /* the same for the report before: losses are judged up to there */
	uint32_t mean_bytes;  /* data for each counter, of late */
	uint32_t loss_q16;    /* share lost, over the last hundred datagrams or so */
};

/* All zero: nothing in flight. Gives the memory back. */
void vs_flight_release(struct vs_flight *f);

/* The counters begin anew, or the path is another: what is in flight will not be told of. */
void vs_flight_forget(struct vs_flight *f);

/* A datagram of data leaves. Where there is no memory it is not reckoned. */
void vs_flight_sent(struct vs_flight *f, struct vs_congestion *cc, const struct vs_rtt *rtt, uint64_t counter,
		    uint32_t bytes, uint64_t now);

/* A new report about the current session has come; `delayed`: queues delay the path. */
void vs_flight_report(struct vs_flight *f, struct vs_congestion *cc, const struct vs_rtt *rtt,
		      const struct vs_report *report, const struct vs_report_news *news, bool delayed, uint64_t now);

/* When what is in flight is given up unless a report comes before; VS_NEVER: nothing is. */
uint64_t vs_flight_deadline(const struct vs_flight *f, const struct vs_rtt *rtt);

/* Gives it up if it is time. */
void vs_flight_timeout(struct vs_flight *f, struct vs_congestion *cc, const struct vs_rtt *rtt, uint64_t now);

#endif
