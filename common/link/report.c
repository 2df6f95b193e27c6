#include "link/report.h"

#include <assert.h>
#include <string.h>

#include "base/compiler.h"

#define LEAST_PERIOD (30 * VS_SEC) /* two of these make the minute over which the least delay is taken */
#define RESOLUTION_MIN UINT64_C(400) /* VS_REPORT_HISTORY of these outlast a LAN's round trip and the least interval */

static_assert(VS_REPORT_REORDER % 64 == 0, "the bitmap is made of whole words");

/* --- The message --- */

void vs_report_encode(const struct vs_report *report, uint8_t out[VS_REPORT_SIZE])
{
	uint8_t *p = out;

	vs_put_be32(p, report->session & VS_INDEX_MAX);
	vs_put_be64(p + 4, report->highest);
	vs_put_be64(p + 12, report->judged);
	vs_put_be64(p + 20, report->received);
	vs_put_be64(p + 28, report->lost);
	p += 36;
	for (int i = 0; i < VS_REPORT_BURSTS; i++, p += 4)
		vs_put_be32(p, report->bursts[i]);
	vs_put_be32(p, report->queue_usec);
	vs_put_be32(p + 4, report->jitter_usec);
	vs_put_be32(p + 8, report->age_usec);
}

bool vs_report_decode(struct vs_view *view, struct vs_report *out)
{
	out->session = vs_view_be32(view) & VS_INDEX_MAX;
	out->highest = vs_view_be64(view);
	out->judged = vs_view_be64(view);
	out->received = vs_view_be64(view);
	out->lost = vs_view_be64(view);
	for (int i = 0; i < VS_REPORT_BURSTS; i++)
		out->bursts[i] = vs_view_be32(view);
	out->queue_usec = vs_view_be32(view);
	out->jitter_usec = vs_view_be32(view);
	out->age_usec = vs_view_be32(view);
	return vs_view_ok(view) && out->highest < VS_REJECT_AFTER_DATAGRAMS && out->judged <= out->highest + 1 &&
	       out->lost <= out->judged && out->received <= out->highest + 1;
}

/* --- Receiving datagrams: loss --- */

static unsigned burst_bin(uint64_t length)
{
	static const uint8_t longest[VS_REPORT_BURSTS - 1] = { 1, 2, 4, 8, 16 };
	unsigned bin = 0;

	while (bin < VS_REPORT_BURSTS - 1 && length > longest[bin])
		bin++;
	return bin;
}

static uint64_t *word_of(struct vs_report_rx *r, uint64_t counter)
{
	return &r->seen[counter / 64 % VS_ARRAY_SIZE(r->seen)];
}

static uint64_t bit_of(uint64_t counter)
{
	return UINT64_C(1) << counter % 64;
}

/* Judges the first counter that is not, and frees its bit for the counter VS_REPORT_REORDER later. */
static void judge_one(struct vs_report_rx *r)
{
	uint64_t counter = r->judged++;
	uint64_t *word = word_of(r, counter);

	if (!(*word & bit_of(counter))) {
		r->lost++;
		r->run++;
		return;
	}
	*word &= ~bit_of(counter);
	if (r->run > 0)
		r->bursts[burst_bin(r->run)]++;
	r->run = 0;
}

/* Judges all counters below `end`. Those from `next` on were never received, however many they are. */
static void judge(struct vs_report_rx *r, uint64_t end)
{
	while (r->judged < end && r->judged < r->next)
		judge_one(r);
	if (r->judged < end) {
		r->lost += end - r->judged;
		r->run += end - r->judged;
		r->judged = end;
	}
}

/* Whether counters that are not yet judged have gaps among them. */
static bool gaps_open(const struct vs_report_rx *r)
{
	unsigned held = 0;

	for (size_t i = 0; i < VS_ARRAY_SIZE(r->seen); i++)
		held += (unsigned)__builtin_popcountll(r->seen[i]);
	return held < r->next - r->judged;
}

void vs_report_rx_init(struct vs_report_rx *r)
{
	*r = (struct vs_report_rx){
		.due_usec = VS_NEVER,
		.interval_usec = VS_REPORT_INTERVAL_MIN,
		.sparse_usec = VS_REPORT_SPARSE_MIN,
	};
}

void vs_report_rx_set_rtt(struct vs_report_rx *r, uint64_t srtt_usec)
{
	r->interval_usec = VS_MAX(srtt_usec / 4, VS_REPORT_INTERVAL_MIN);
	r->sparse_usec = VS_MAX(srtt_usec, VS_REPORT_SPARSE_MIN);
}

/* False: it has been counted before. */
static bool count(struct vs_report_rx *r, uint64_t counter)
{
	if (counter < r->judged) {
		/* Late. Its burst stays in the histogram as it was judged. If none is missing, this one is not. */
		bool missing = r->lost > 0;
		r->lost -= missing;
		return missing;
	}
	if (counter - r->judged >= VS_REPORT_REORDER)
		judge(r, counter - VS_REPORT_REORDER + 1);
	bool is_new = !(*word_of(r, counter) & bit_of(counter));
	*word_of(r, counter) |= bit_of(counter);
	return is_new;
}

static void ask(struct vs_report_rx *r, size_t bytes, uint64_t now)
{
	if (r->due_usec == VS_NEVER) {
		r->asked_usec = now;
		r->due_usec = vs_time_add(now, r->sparse_usec);
	}
	r->unreported += bytes;
}

static void hurry(struct vs_report_rx *r)
{
	if (r->due_usec != VS_NEVER)
		r->due_usec = VS_MIN(r->due_usec, vs_time_add(r->asked_usec, r->interval_usec));
}

void vs_report_rx_datagram(struct vs_report_rx *r, uint64_t counter, uint64_t now, size_t bytes)
{
	if (!count(r, counter))
		return;
	r->hurried |= counter > r->next || r->mark == 0;
	r->received++;
	if (counter >= r->next) {
		r->next = counter + 1;
		r->highest_usec = now;
	}
	if (bytes)
		ask(r, bytes, now);
	if (r->hurried || r->unreported >= VS_REPORT_DENSE)
		hurry(r);
}

/* --- Receiving datagrams: delay --- */

/* Starts a new half minute of the least transit, or two if the last is that long ago. */
static void roll_least(struct vs_report_rx *r, int32_t transit, uint64_t now)
{
	uint64_t elapsed = vs_time_since(now, r->least_since_usec);

	if (elapsed < LEAST_PERIOD)
		return;
	r->least[1] = elapsed < 2 * LEAST_PERIOD ? r->least[0] : transit;
	r->least[0] = transit;
	r->least_since_usec = now;
}

static void first_stamp(struct vs_report_rx *r, uint32_t transit, uint64_t now)
{
	r->stamped = true;
	r->transit = r->transit_base = transit;
	r->least[0] = r->least[1] = 0;
	r->least_since_usec = now;
}

void vs_report_rx_stamp(struct vs_report_rx *r, uint32_t sent_ts, uint64_t now)
{
	uint32_t transit = (uint32_t)now - sent_ts;

	if (!r->stamped) {
		first_stamp(r, transit, now);
		return;
	}
	/* RFC 3550, appendix A.8; the same filter smooths the queueing delay. */
	int32_t change = (int32_t)(transit - r->transit);
	uint32_t step = change < 0 ? -(uint32_t)change : (uint32_t)change;
	step = VS_MIN(step, UINT32_MAX / 32);
	r->jitter_q4 += step - ((r->jitter_q4 + 8) >> 4);
	r->transit = transit;

	int32_t relative = (int32_t)(transit - r->transit_base);
	roll_least(r, relative, now);
	r->least[0] = VS_MIN(r->least[0], relative);
	uint32_t queue = (uint32_t)relative - (uint32_t)VS_MIN(r->least[0], r->least[1]);
	queue = VS_MIN(queue, UINT32_MAX / 32);
	r->queue_q4 += queue - ((r->queue_q4 + 8) >> 4);
}

/* --- Receiving datagrams: the report --- */

uint64_t vs_report_rx_deadline(const struct vs_report_rx *r)
{
	return r->due_usec;
}

static void fill(const struct vs_report_rx *r, uint64_t now, struct vs_report *out)
{
	*out = (struct vs_report){
		.highest = r->next - 1,
		.judged = r->judged,
		.received = r->received,
		.lost = r->lost,
		.queue_usec = r->stamped ? r->queue_q4 >> 4 : VS_REPORT_UNKNOWN,
		.jitter_usec = r->stamped ? r->jitter_q4 >> 4 : VS_REPORT_UNKNOWN,
		.age_usec = (uint32_t)VS_MIN(vs_time_since(now, r->highest_usec), (uint64_t)VS_REPORT_UNKNOWN),
	};
	memcpy(out->bursts, r->bursts, sizeof(out->bursts));
}

bool vs_report_rx_output(struct vs_report_rx *r, uint32_t session, uint64_t now, struct vs_report *out)
{
	if (now < r->due_usec)
		return false;
	judge(r, r->mark);
	r->mark = r->next;
	fill(r, now, out);
	out->session = session;
	r->unreported = 0;
	r->hurried = false;
	r->asked_usec = now;
	/* One more report is owed if this one had to leave gaps open: nothing else may come to elicit it. */
	r->due_usec = gaps_open(r) ? vs_time_add(now, r->interval_usec) : VS_NEVER;
	return true;
}

/* --- Sending datagrams --- */

void vs_report_tx_init(struct vs_report_tx *t)
{
	*t = (struct vs_report_tx){ .resolution_usec = RESOLUTION_MIN };
}

void vs_report_tx_set_rtt(struct vs_report_tx *t, uint64_t srtt_usec)
{
	/* The history then spans two round trips. */
	t->resolution_usec = VS_MAX(srtt_usec * 2 / VS_REPORT_HISTORY, RESOLUTION_MIN);
}

void vs_report_tx_sent(struct vs_report_tx *t, uint64_t counter, uint64_t now)
{
	const struct vs_report_sent *last = &t->sent[(t->sent_n - 1) % VS_REPORT_HISTORY];

	t->next = VS_MAX(t->next, counter + 1);
	if (t->sent_n > 0 && vs_time_since(now, last->sent_usec) < t->resolution_usec)
		return;
	t->sent[t->sent_n++ % VS_REPORT_HISTORY] = (struct vs_report_sent){ .counter = counter, .sent_usec = now };
}

/* When a counter was sent, or up to the resolution earlier; VS_NEVER if that is forgotten. */
static uint64_t sent_usec(const struct vs_report_tx *t, uint64_t counter)
{
	unsigned kept = VS_MIN(t->sent_n, (unsigned)VS_REPORT_HISTORY);

	for (unsigned age = 1; age <= kept; age++) {
		const struct vs_report_sent *s = &t->sent[(t->sent_n - age) % VS_REPORT_HISTORY];
		if (s->counter <= counter)
			return s->sent_usec;
	}
	return VS_NEVER;
}

static void remove_run(struct vs_report_tx *t, unsigned i)
{
	t->excluded_n--;
	memmove(&t->excluded[i], &t->excluded[i + 1], (t->excluded_n - i) * sizeof(t->excluded[0]));
}

void vs_report_tx_exclude(struct vs_report_tx *t, uint64_t counter)
{
	unsigned i = t->excluded_n;

	t->next = VS_MAX(t->next, counter + 1);
	while (i > 0 && t->excluded[i - 1].first > counter)
		i--;
	if (i > 0) {
		struct vs_report_run *before = &t->excluded[i - 1];
		uint64_t distance = counter - before->first;
		before->count += distance == before->count;
		if (distance < before->count)
			return;
	}
	if (t->excluded_n == VS_REPORT_EXCLUDED) {
		if (i == 0)
			return;
		remove_run(t, 0);
		i--;
	}
	memmove(&t->excluded[i + 1], &t->excluded[i], (t->excluded_n - i) * sizeof(t->excluded[0]));
	t->excluded[i] = (struct vs_report_run){ .first = counter, .count = 1 };
	t->excluded_n++;
}

void vs_report_tx_include(struct vs_report_tx *t, uint64_t counter)
{
	for (unsigned i = 0; i < t->excluded_n; i++) {
		struct vs_report_run *run = &t->excluded[i];
		if (counter < run->first || counter - run->first >= run->count)
			continue;
		/* A probe between failed sends would have to split the run: too rare to matter. */
		if (counter == run->first)
			run->first++;
		else if (counter != run->first + run->count - 1)
			return;
		if (--run->count == 0)
			remove_run(t, i);
		return;
	}
}

/* Takes the excluded counters below `judged` off the list; returns how many there were. */
static uint64_t take_excluded(struct vs_report_tx *t, uint64_t judged)
{
	uint64_t taken = 0;

	while (t->excluded_n > 0 && t->excluded[0].first < judged) {
		struct vs_report_run *run = &t->excluded[0];
		uint64_t n = VS_MIN(run->count, judged - run->first);
		taken += n;
		run->first += n;
		run->count -= n;
		if (run->count == 0)
			remove_run(t, 0);
	}
	return taken;
}

static uint32_t ratio_q16(uint64_t part, uint64_t whole)
{
	while (part >> 47) {
		part >>= 1;
		whole >>= 1;
	}
	return whole ? (uint32_t)((part << 16) / whole) : 0;
}

/* The loss among the counters that this report judges and the last one did not. */
static void evaluate_loss(struct vs_report_tx *t, const struct vs_report *report, struct vs_report_news *news)
{
	uint64_t judged = report->judged - t->last.judged;
	/* Datagrams found late may outweigh new losses: the surplus belongs to reports already evaluated. */
	uint64_t lost = report->lost > t->last.lost ? report->lost - t->last.lost : 0;
	uint64_t excluded = take_excluded(t, report->judged);

	excluded = VS_MIN(excluded, judged);
	news->judged = judged - excluded;
	news->lost = VS_MIN(lost > excluded ? lost - excluded : 0, news->judged);
	news->loss_q16 = ratio_q16(news->lost, news->judged);
	for (int i = 0; i < VS_REPORT_BURSTS; i++)
		news->bursts[i] = report->bursts[i] - t->last.bursts[i];
}

static uint64_t evaluate_rtt(const struct vs_report_tx *t, const struct vs_report *report, uint64_t now)
{
	/* A second report about the same datagram measures the same trip again, at best. */
	if (t->last.received > 0 && report->highest <= t->last.highest)
		return 0;
	uint64_t sent = sent_usec(t, report->highest);
	uint64_t elapsed = sent == VS_NEVER ? 0 : vs_time_since(now, sent);
	return elapsed > report->age_usec ? elapsed - report->age_usec : 0;
}

enum vs_report_verdict vs_report_tx_input(struct vs_report_tx *t, const struct vs_report *report, uint64_t now,
					  struct vs_report_news *news)
{
	if (report->highest >= t->next)
		return VS_REPORT_BAD;
	if (report->highest < t->last.highest || report->judged < t->last.judged ||
	    report->received < t->last.received)
		return VS_REPORT_OLD;
	*news = (struct vs_report_news){ .queue_usec = report->queue_usec, .jitter_usec = report->jitter_usec };
	news->passed = report->highest - t->last.highest + (t->last.received == 0);
	news->received = report->received - t->last.received;
	evaluate_loss(t, report, news);
	news->rtt_usec = evaluate_rtt(t, report, now);
	t->last = *report;
	return VS_REPORT_NEW;
}
