#include "link/report_rate.h"

#include <stdbool.h>

#include "base/compiler.h"

#define Q16(percent) ((percent) * 65536u / 100)
#define LOSS_ALONE Q16(15)
#define LOSS_WITH_DELAY Q16(2)
#define INTERVAL_MIN (10 * VS_MSEC) /* a shorter one tells no rate */
#define JUDGE_AFTER (500 * VS_MSEC)
#define RATE_MIN UINT64_C(16000)           /* a voice call still passes */
#define RATE_IRRELEVANT UINT64_C(10000000000) /* a limit that has grown to this is lifted */

static bool is_congested(const struct vs_report_rate *r, uint32_t loss, uint64_t delay_usec)
{
	uint32_t excess = loss > r->path_loss_q16 ? loss - r->path_loss_q16 : 0;
	bool delayed = delay_usec > r->min_delay_usec + r->min_delay_usec / 4 + 2 * VS_MSEC;

	return excess > LOSS_ALONE || (excess > LOSS_WITH_DELAY && delayed);
}

/* Whether the last cut has failed to reduce the loss; a cut is judged once. */
static bool cut_was_useless(struct vs_report_rate *r, uint32_t loss)
{
	if (r->hold_usec == 0)
		return false;
	r->hold_usec = 0;
	return loss >= r->cut_loss_q16 - r->cut_loss_q16 / 4;
}

static void cut(struct vs_report_rate *r, uint64_t now, uint64_t sent_rate, uint32_t loss)
{
	uint64_t passed = sent_rate - sent_rate * loss / 65536;

	if (r->rate == 0 || passed < r->rate)
		r->rate = VS_MAX(passed, RATE_MIN);
	r->cut_loss_q16 = loss;
	r->hold_usec = vs_time_add(now, JUDGE_AFTER);
}

static void raise_rate(struct vs_report_rate *r, uint64_t sent_rate)
{
	/* A limit that is not reached need not grow. */
	if (r->rate && sent_rate >= r->rate / 2)
		r->rate += r->rate / 16;
	if (r->rate > RATE_IRRELEVANT)
		r->rate = 0;
}

void vs_report_rate_input(struct vs_report_rate *r, uint64_t now, uint32_t loss_q16, uint64_t delay_usec)
{
	uint32_t loss = VS_MIN(loss_q16, UINT32_C(65535));
	uint64_t elapsed = vs_time_since(now, r->since_usec);

	if (delay_usec && (r->min_delay_usec == 0 || delay_usec < r->min_delay_usec))
		r->min_delay_usec = delay_usec;
	if (r->since_usec && elapsed < INTERVAL_MIN)
		return;
	if (r->hold_usec && now < r->hold_usec)
		return;

	uint64_t sent_rate = r->since_usec ? r->sent * VS_SEC / elapsed : 0;
	r->sent = 0;
	r->since_usec = VS_MAX(now, UINT64_C(1));
	r->path_loss_q16 = VS_MIN(r->path_loss_q16, loss);
	if (sent_rate == 0)
		return;
	if (cut_was_useless(r, loss)) {
		r->path_loss_q16 = loss;
		r->rate = 0;
	} else if (is_congested(r, loss, delay_usec)) {
		cut(r, now, sent_rate, loss);
	} else {
		raise_rate(r, sent_rate);
	}
}
