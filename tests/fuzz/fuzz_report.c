/* Reports, in two ways. Foreign bytes: what decodes is consistent and encodes to the same bytes, and a series of such
 * reports never makes the sender see a share above one. A simulated path: datagrams are lost, reordered and excluded as
 * the input says, and the receiver's totals and the sender's differences must add up to what happened. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "link/report.h"

#define CHECK(condition)                 \
	do {                             \
		if (!(condition))        \
			abort();         \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_news(const struct vs_report_news *news)
{
	CHECK(news->lost <= news->judged);
	CHECK(news->loss_q16 <= 65536);
	CHECK(news->judged > 0 || news->loss_q16 == 0);
}

static void decode_foreign(struct vs_view *in)
{
	uint8_t again[VS_REPORT_SIZE];
	struct vs_report_news news;
	struct vs_report report;
	struct vs_report_tx t;

	vs_report_tx_init(&t);
	vs_report_tx_sent(&t, vs_view_be64(in) % VS_REJECT_AFTER_DATAGRAMS, 0);
	for (uint64_t now = 0; in->len > 0; now += VS_MSEC) {
		const uint8_t *wire = in->data;
		vs_report_tx_exclude(&t, now % 7 * now);
		if (!vs_report_decode(in, &report))
			continue;
		CHECK(report.judged <= report.highest + 1 && report.lost <= report.judged);
		vs_report_encode(&report, again);
		CHECK(memcmp(wire + 1, again + 1, sizeof(again) - 1) == 0);
		if (vs_report_tx_input(&t, &report, now, &news) == VS_REPORT_NEW)
			check_news(&news);
		vs_report_tx_include(&t, report.highest);
	}
}

struct path {
	struct vs_report_tx tx;
	struct vs_report_rx rx;
	uint64_t now, counter, held; /* held: a datagram under way by a longer road; VS_NEVER: none */
	uint64_t lost, arrived, seen_lost;
};

static void exchange_report(struct path *p)
{
	struct vs_report_news news;
	struct vs_report report;

	if (!vs_report_rx_output(&p->rx, 1, p->now, &report))
		return;
	CHECK(report.received == p->arrived);
	CHECK(report.highest < p->counter && report.lost <= report.judged);
	CHECK(vs_report_tx_input(&p->tx, &report, p->now, &news) == VS_REPORT_NEW);
	check_news(&news);
	p->seen_lost += news.lost;
}

static void arrive(struct path *p, uint64_t counter, bool eliciting)
{
	vs_report_rx_datagram(&p->rx, counter, p->now, eliciting ? 1200 : 0);
	p->arrived++;
}

/* One datagram: arrives, is lost, is held back, or is a lost probe; two bits of the input. */
static void send_one(struct path *p, unsigned fate)
{
	uint64_t counter = p->counter++;

	vs_report_tx_sent(&p->tx, counter, p->now);
	if (fate == 1)
		p->lost++;
	else if (fate == 2 && p->held == VS_NEVER)
		p->held = counter;
	else if (fate == 3)
		vs_report_tx_exclude(&p->tx, counter);
	else
		arrive(p, counter, true);
	p->now += 300;
	exchange_report(p);
	/* Within the time that a gap is given. */
	if (p->held != VS_NEVER && p->counter - p->held > 20) {
		arrive(p, p->held, true);
		p->held = VS_NEVER;
	}
}

static void simulate(struct vs_view *in)
{
	struct path p = { .held = VS_NEVER };

	vs_report_tx_init(&p.tx);
	vs_report_rx_init(&p.rx);
	while (in->len > 0) {
		uint8_t fates = vs_view_u8(in);
		for (int i = 0; i < 8; i += 2)
			send_one(&p, fates >> i & 3);
	}
	if (p.held != VS_NEVER)
		arrive(&p, p.held, true);
	arrive(&p, p.counter++, true);
	vs_report_tx_sent(&p.tx, p.counter - 1, p.now);
	while (vs_report_rx_deadline(&p.rx) != VS_NEVER) {
		p.now = VS_MAX(p.now, vs_report_rx_deadline(&p.rx));
		exchange_report(&p);
	}
	/* The reports of a path that has gone quiet go on until no gap is open. */
	CHECK(p.rx.next == p.counter && p.rx.lost == p.counter - p.arrived);
	/* What was excluded is left out, but for the runs that the sender had no room to remember. */
	CHECK(p.seen_lost >= p.lost && p.seen_lost <= p.rx.lost);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vs_view in = vs_view_of(data, size);

	if (vs_view_u8(&in) & 1)
		decode_foreign(&in);
	else
		simulate(&in);
	return 0;
}
