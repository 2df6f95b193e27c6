/* What a link costs: client and server in one process, in virtual time, without the cipher. */
#include "perf/frames.h"
#include "perf/pair.h"
#include "perf/workload.h"

/* A steady stream: bursts of equal frames at equal intervals. */
struct stream {
	struct pair_config pair;
	unsigned metered;
	bool both_ways;
	bool super;           /* 64 KiB super-frames; else frames of frame_len bytes */
	bool counts_segments; /* the unit is a segment; else a frame */
	size_t frame_len;
	unsigned burst;
	uint64_t every_usec;
	unsigned warm_bursts, bursts; /* before the meter runs, and while it does */
};

static void send_bursts(struct pair *pair, const struct stream *s, unsigned bursts)
{
	for (unsigned i = 0; i < bursts; i++) {
		for (unsigned k = 0; k < s->burst; k++) {
			pair_send(pair, &pair->client,
				  s->super ? make_super(pair->pool) : make_frame(pair->pool, 1, 2, 1, s->frame_len));
			if (s->both_ways)
				pair_send(pair, &pair->server, make_frame(pair->pool, 2, 1, 1, s->frame_len));
		}
		pair_run(pair, s->every_usec);
	}
}

static uint64_t segments_sent(const struct pair *pair)
{
	return pair_stats(pair, &pair->client).arq_tx.segments;
}

/* All that was sent has arrived; without loss on the line, nothing was sent twice. */
static void check_arrivals(const struct pair *pair, const struct stream *s)
{
	uint64_t sent = (uint64_t)s->burst * (s->warm_bursts + s->bursts);
	struct vs_link_stats stats = pair_stats(pair, &pair->client);
	MUST(pair->server.frames == sent);
	MUST(pair->client.frames == (s->both_ways ? sent : 0));
	MUST(s->pair.loss_percent == 0 || pair->lost * 100 > sent);
	MUST((stats.arq_tx.retransmitted == 0) == (s->pair.loss_percent == 0));
	MUST((stats.tx_clear > 0) == (s->pair.protection == VS_PROTECTION_NONE));
	MUST((stats.fragments_sent > 0) == (s->pair.mode == VS_MODE_DATAGRAM));
}

static uint64_t run_stream(const struct stream *s)
{
	struct pair *pair = pair_new(&s->pair);
	send_bursts(pair, s, s->warm_bursts);
	uint64_t before = segments_sent(pair);
	pair_meter(pair, s->metered);
	send_bursts(pair, s, s->bursts);
	pair->metered = 0;
	uint64_t segments = segments_sent(pair) - before;
	pair_run(pair, VS_SEC);
	check_arrivals(pair, s);
	pair_free(pair);
	return s->counts_segments ? segments : (uint64_t)s->burst * s->bursts * (s->both_ways ? 2 : 1);
}

static uint64_t run_super(unsigned metered)
{
	/* A gigabit a second. */
	return run_stream(&(struct stream){
		.pair = { .mode = VS_MODE_RELIABLE, .features = VS_FEATURE_SUPER }, .metered = metered, .super = true,
		.counts_segments = true, .burst = 1, .every_usec = 500, .warm_bursts = 400, .bursts = 200,
	});
}

static uint64_t super_send(void)
{
	return run_super(PAIR_CLIENT);
}

static uint64_t super_receive(void)
{
	return run_super(PAIR_SERVER);
}

static uint64_t run_plain(enum vs_protection protection, unsigned metered)
{
	return run_stream(&(struct stream){
		.pair = { .mode = VS_MODE_RELIABLE, .protection = protection }, .metered = metered,
		.frame_len = 1514, .burst = 8, .every_usec = 100, .warm_bursts = 1000, .bursts = 1000,
	});
}

static uint64_t plain_send(void)
{
	return run_plain(VS_PROTECTION_ENCRYPTED, PAIR_CLIENT);
}

static uint64_t plain_receive(void)
{
	return run_plain(VS_PROTECTION_ENCRYPTED, PAIR_SERVER);
}

static uint64_t clear_send(void)
{
	return run_plain(VS_PROTECTION_NONE, PAIR_CLIENT);
}

static uint64_t clear_receive(void)
{
	return run_plain(VS_PROTECTION_NONE, PAIR_SERVER);
}

static uint64_t small_both_ways(void)
{
	return run_stream(&(struct stream){
		.pair = { .mode = VS_MODE_RELIABLE }, .metered = PAIR_CLIENT | PAIR_SERVER, .both_ways = true,
		.frame_len = 64, .burst = 8, .every_usec = 50, .warm_bursts = 1000, .bursts = 500,
	});
}

static uint64_t loss(void)
{
	return run_stream(&(struct stream){
		.pair = { .mode = VS_MODE_RELIABLE, .loss_percent = 2 }, .metered = PAIR_CLIENT | PAIR_SERVER,
		.frame_len = 1514, .burst = 4, .every_usec = 400, .warm_bursts = 1000, .bursts = 2000,
	});
}

static uint64_t datagram_mode(void)
{
	return run_stream(&(struct stream){
		.pair = { .mode = VS_MODE_DATAGRAM }, .metered = PAIR_CLIENT | PAIR_SERVER, .frame_len = 1514,
		.burst = 4, .every_usec = 400, .warm_bursts = 1000, .bursts = 1000,
	});
}

static uint64_t idle(void)
{
	const unsigned seconds = 100;
	struct pair *pair = pair_new(&(struct pair_config){ .mode = VS_MODE_RELIABLE });
	pair_run(pair, 10 * VS_SEC);
	uint64_t before = pair_stats(pair, &pair->client).tx_datagrams;
	pair_meter(pair, PAIR_CLIENT | PAIR_SERVER);
	pair_run(pair, seconds * VS_SEC);
	pair->metered = 0;
	uint64_t sent = pair_stats(pair, &pair->client).tx_datagrams - before;
	MUST(sent >= seconds - 1 && sent <= 2 * seconds);
	pair_free(pair);
	return seconds;
}

const struct workload link_workloads[] = {
	{ "link_super_send", "segment", "64 KiB super-frames, the sending end", super_send },
	{ "link_super_receive", "segment", "64 KiB super-frames, the receiving end", super_receive },
	{ "link_plain_send", "frame", "frames of 1500 bytes, the sending end", plain_send },
	{ "link_plain_receive", "frame", "frames of 1500 bytes, the receiving end", plain_receive },
	{ "link_clear_send", "frame", "frames of 1500 bytes in the clear, the sending end", clear_send },
	{ "link_clear_receive", "frame", "frames of 1500 bytes in the clear, the receiving end", clear_receive },
	{ "link_small", "frame", "frames of 64 bytes in both directions, both ends", small_both_ways },
	{ "link_loss", "frame", "frames of 1500 bytes, 2 % of all datagrams lost, both ends", loss },
	{ "link_datagram", "frame", "frames of 1500 bytes in datagram mode, in fragments, both ends", datagram_mode },
	{ "link_idle", "second", "a keepalive a second and nothing else, both ends", idle },
	{ 0 },
};
