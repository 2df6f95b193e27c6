#include <jansson.h>
#include <stdio.h>

#include "bench/load_run.h"

static void set_integer(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *times_json(const struct histogram *times)
{
	static const struct {
		const char *key;
		unsigned permille;
	} points[] = { { "p50", 500 }, { "p90", 900 }, { "p99", 990 }, { "p999", 999 } };
	json_t *object = json_object();
	set_integer(object, "count", times->count);
	for (size_t i = 0; i < VS_ARRAY_SIZE(points); i++)
		set_integer(object, points[i].key, histogram_percentile(times, points[i].permille));
	set_integer(object, "max", times->max);
	return object;
}

static json_t *span_json(const struct load_run *run, const struct load_span *span)
{
	json_t *object = json_object();
	json_object_set_new(object, "seconds", json_real((double)span->usec / (double)VS_SEC));
	set_integer(object, "sent", span->sent);
	set_integer(object, "frames", span->frames);
	set_integer(object, "bytes", span->bytes);
	if (!run->options.watch)
		return object;
	set_integer(object, "cpu_nsec", span->after.cpu_nsec - span->before.cpu_nsec);
	set_integer(object, "rss_kib", span->after.rss_kib);
	set_integer(object, "anon_kib", span->after.anon_kib);
	set_integer(object, "peak_kib", span->after.peak_kib);
	return object;
}

static json_t *account_json(const struct load_run *run)
{
	uint64_t expected = 0, unique = 0, reordered = 0, duplicates = 0;
	json_t *object = json_object();
	for (unsigned i = 0; i < run->n_streams; i++) {
		const struct load_stream *stream = &run->streams[i];
		uint64_t to_arrive, arrived;
		load_stream_balance(stream, &to_arrive, &arrived);
		expected += to_arrive;
		unique += arrived;
		for (uint32_t k = 0; k < stream->receptions_n; k++) {
			reordered += stream->receptions[k].reordered;
			duplicates += stream->receptions[k].duplicates;
		}
	}
	set_integer(object, "expected", expected);
	set_integer(object, "arrived", unique);
	set_integer(object, "lost", expected - unique);
	set_integer(object, "reordered", reordered);
	set_integer(object, "duplicates", duplicates);
	set_integer(object, "strays", run->totals.strays);
	set_integer(object, "malformed", run->totals.malformed);
	return object;
}

static json_t *join_json(const struct load_run *run)
{
	json_t *object = json_object();
	uint64_t all = vs_time_since(run->all_joined_usec, run->started_usec);
	set_integer(object, "clients", run->options.clients);
	set_integer(object, "joined", run->join_times.count);
	json_object_set_new(object, "seconds", all ? json_real((double)all / (double)VS_SEC) : json_null());
	json_object_set_new(object, "usec", times_json(&run->join_times));
	set_integer(object, "links_lost", run->lost);
	return object;
}

/* The first sender's link, by which it can be told what has held it up. Of the moment when frames ceased to flow. */
static json_t *sender_json(const struct vs_link_stats *stats)
{
	json_t *object = json_object();
	json_object_set_new(object, "state", json_string(stats->congestion_state));
	set_integer(object, "rtt_usec", stats->srtt_usec);
	set_integer(object, "min_rtt_usec", stats->min_rtt_usec);
	set_integer(object, "bandwidth_bps", stats->bandwidth_bps);
	set_integer(object, "rate_bps", stats->rate_bps);
	set_integer(object, "window_bytes", stats->window_bytes);
	set_integer(object, "segments", stats->arq_tx.segments);
	set_integer(object, "retransmitted", stats->arq_tx.retransmitted);
	set_integer(object, "queue_dropped", stats->queue.dropped_codel + stats->queue.dropped_full);
	return object;
}

void load_report(const struct load_run *run)
{
	json_t *report = json_object();
	json_object_set_new(report, "join", join_json(run));
	json_object_set_new(report, "idle", span_json(run, &run->idle));
	json_object_set_new(report, "measured", span_json(run, &run->measured));
	json_object_set_new(report, "account", account_json(run));
	if (run->n_senders)
		json_object_set_new(report, "sender", sender_json(&run->sender));
	json_object_set_new(report, "latency_usec", times_json(&run->totals.latency));
	json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(report);
}
