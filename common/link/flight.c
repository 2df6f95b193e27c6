#include "link/flight.h"

#include <stdlib.h>

#include "base/compiler.h"

/* A piece is of the datagrams of so long, or of a part of the round trip, so that the ring holds two of these. */
#define PIECE_USEC_MIN UINT64_C(400)
#define PIECES_A_TRIP (VS_FLIGHT_PIECES / 2)
/* Counters that the share lost reaches back over, and a part of what the mean size does. */
#define LOSS_REACH 128
#define MEAN_WEIGHT 4
/* Less than this, without delay, is the path's own: what bbr grants as well. */
#define LOSS_ALONE_Q16 9830u /* 15 % */

/* --- Pieces --- */

static struct vs_flight_piece *piece_at(struct vs_flight *f, unsigned no)
{
	return &f->pieces[(f->first + no) % VS_FLIGHT_PIECES];
}

void vs_flight_release(struct vs_flight *f)
{
	free(f->pieces);
	*f = (struct vs_flight){ .mean_bytes = f->mean_bytes, .loss_q16 = f->loss_q16 };
}

void vs_flight_forget(struct vs_flight *f)
{
	f->count = 0;
	f->bytes = 0;
	f->told_usec = f->judged_usec = 0;
}

static bool take_memory(struct vs_flight *f)
{
	if (!f->pieces)
		f->pieces = malloc(VS_FLIGHT_PIECES * sizeof(*f->pieces));
	return f->pieces;
}

static bool joins_last(struct vs_flight *f, const struct vs_rtt *rtt, uint64_t now)
{
	if (!f->count || f->count == VS_FLIGHT_PIECES)
		return f->count;
	uint64_t length = VS_MAX(rtt->srtt_usec / PIECES_A_TRIP, PIECE_USEC_MIN);
	return vs_time_since(now, piece_at(f, f->count - 1)->sent_usec) < length;
}

void vs_flight_sent(struct vs_flight *f, struct vs_congestion *cc, const struct vs_rtt *rtt, uint64_t counter,
		    uint32_t bytes, uint64_t now)
{
	struct vs_congestion_tx tx;
	if (!take_memory(f))
		return;
	vs_congestion_sent(cc, now, bytes, f->bytes, &tx);
	if (!f->bytes)
		f->progress_usec = now;
	if (!joins_last(f, rtt, now))
		*piece_at(f, f->count++) = (struct vs_flight_piece){ .sent_usec = now, .tx = tx };
	struct vs_flight_piece *piece = piece_at(f, f->count - 1);
	piece->last = counter;
	piece->bytes += bytes;
	f->bytes += bytes;
}

/* --- Reports --- */

static uint32_t arrived_q16(const struct vs_report_news *news)
{
	if (!news->passed || news->received >= news->passed)
		return 65536;
	return (uint32_t)(news->received * 65536 / news->passed);
}

/* Ends the flight of what the report tells of. Returns the bytes of that, arrived or not. */
static uint64_t land(struct vs_flight *f, struct vs_congestion *cc, const struct vs_report *report,
		     const struct vs_report_news *news, uint64_t now)
{
	uint64_t landed = 0;
	uint32_t share = arrived_q16(news);
	for (; f->count && piece_at(f, 0)->last <= report->highest; f->count--) {
		const struct vs_flight_piece *piece = piece_at(f, 0);
		uint32_t arrived = (uint32_t)(piece->bytes * share / 65536);
		if (arrived)
			vs_congestion_delivered(cc, now, arrived, piece->sent_usec, &piece->tx);
		f->told_usec = piece->sent_usec;
		landed += piece->bytes;
		f->first = (f->first + 1) % VS_FLIGHT_PIECES;
	}
	f->bytes -= landed;
	return landed;
}

static void learn_mean(struct vs_flight *f, uint64_t landed, uint64_t passed)
{
	if (!landed || !passed)
		return;
	uint32_t mean = (uint32_t)VS_MIN(landed / passed, (uint64_t)VS_DATAGRAM_MAX);
	f->mean_bytes = f->mean_bytes ? (f->mean_bytes * (MEAN_WEIGHT - 1) + mean) / MEAN_WEIGHT : mean;
}

static void learn_loss(struct vs_flight *f, const struct vs_report_news *news)
{
	int64_t judged = (int64_t)VS_MIN(news->judged, UINT64_C(1) << 32);
	int64_t step = ((int64_t)news->loss_q16 - f->loss_q16) * judged / (LOSS_REACH + judged);
	f->loss_q16 = (uint32_t)(f->loss_q16 + step);
}

static void tell_losses(struct vs_flight *f, struct vs_congestion *cc, const struct vs_report_news *news,
			uint64_t judged_usec, bool delayed, uint64_t now)
{
	uint64_t bytes = VS_MIN(news->lost * f->mean_bytes, (uint64_t)UINT32_MAX);
	bool noise = !delayed && f->loss_q16 <= LOSS_ALONE_Q16;
	if (bytes)
		vs_congestion_lost_unasked(cc, now, (uint32_t)bytes, judged_usec, noise);
}

static uint64_t no_shorter(uint64_t usec)
{
	return usec ? VS_MAX(usec, VS_REPORT_INTERVAL_MIN) : 0;
}

void vs_flight_report(struct vs_flight *f, struct vs_congestion *cc, const struct vs_rtt *rtt,
		      const struct vs_report *report, const struct vs_report_news *news, bool delayed, uint64_t now)
{
	uint64_t judged_usec = f->judged_usec;
	f->judged_usec = f->told_usec;
	learn_loss(f, news);
	uint64_t landed = land(f, cc, report, news, now);
	learn_mean(f, landed, news->passed);
	if (news->passed)
		f->progress_usec = now;
	tell_losses(f, cc, news, judged_usec, delayed, now);
	if (!landed)
		return;
	struct vs_congestion_ack ack = {
		.rtt_usec = no_shorter(news->rtt_usec),
		.inflight = f->bytes,
		.min_rtt_usec = no_shorter(vs_rtt_min(rtt)),
		.srtt_usec = no_shorter(rtt->srtt_usec),
	};
	vs_congestion_ack(cc, now, &ack);
}

/* --- Paths that are gone --- */

uint64_t vs_flight_deadline(const struct vs_flight *f, const struct vs_rtt *rtt)
{
	if (!f->bytes)
		return VS_NEVER;
	return f->progress_usec + vs_rtt_rto(rtt) + VS_MAX(rtt->srtt_usec, VS_REPORT_SPARSE_MIN);
}

void vs_flight_timeout(struct vs_flight *f, struct vs_congestion *cc, const struct vs_rtt *rtt, uint64_t now)
{
	if (now < vs_flight_deadline(f, rtt))
		return;
	/* The end of a stream that is lost is no sign of anything. */
	if (f->bytes >= VS_REPORT_DENSE)
		vs_congestion_timeout(cc, now);
	vs_flight_forget(f);
}
