#include "impair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_SEC UINT64_C(1000000000)

struct change {
	uint64_t at;
	enum vs_impair_field field;
	double value;
};

struct vs_impair {
	struct vs_impair_config config;
	struct vs_impair_stats stats;
	uint64_t random;      /* state of the generator */
	bool bad;             /* Gilbert-Elliott: packets are being lost */
	uint64_t idle_nsec;   /* when the bottleneck will have sent all that it holds */
	uint64_t last_usec;   /* latest arrival of a packet that may not be overtaken */
	size_t n_changes;
	struct change changes[VS_IMPAIR_CHANGES_MAX]; /* by time */
};

/* --- Randomness: SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014) ----------- */

static uint64_t random_bits(struct vs_impair *imp)
{
	uint64_t z = imp->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* In [0, 1). */
static double random_uniform(struct vs_impair *imp)
{
	return (double)(random_bits(imp) >> 11) * 0x1p-53;
}

/* Mean 0, deviation 1: the sum of twelve uniform ones, which unlike exact methods is the same with every libm. */
static double random_normal(struct vs_impair *imp)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += random_uniform(imp);
	return sum;
}

/* Draws nothing where the answer is certain, so that a knob at 0 does not shift the others' sequence. */
static bool random_chance(struct vs_impair *imp, double probability)
{
	return probability > 0 && (probability >= 1 || random_uniform(imp) < probability);
}

/* --- Configuration ------------------------------------------------------------------------------------------------ */

static const double field_max[VS_IMPAIR_FIELDS] = {
	[VS_IMPAIR_DELAY] = 1e9,
	[VS_IMPAIR_JITTER] = 1e9,
	[VS_IMPAIR_JITTER_NORMAL] = 1,
	[VS_IMPAIR_JITTER_REORDERS] = 1,
	[VS_IMPAIR_LOSS] = 1,
	[VS_IMPAIR_BURST] = 1e6,
	[VS_IMPAIR_DUPLICATE] = 1,
	[VS_IMPAIR_REORDER] = 1,
	[VS_IMPAIR_REORDER_DELAY] = 1e9,
	[VS_IMPAIR_RATE] = 1e12,
	[VS_IMPAIR_QUEUE] = 1e10,
	[VS_IMPAIR_MTU] = 1e6,
	[VS_IMPAIR_DOWN] = 1,
};

static void assign(struct vs_impair_config *c, enum vs_impair_field field, double value)
{
	switch (field) {
	case VS_IMPAIR_DELAY:
		c->delay_usec = (uint64_t)value;
		break;
	case VS_IMPAIR_JITTER:
		c->jitter_usec = (uint64_t)value;
		break;
	case VS_IMPAIR_JITTER_NORMAL:
		c->jitter_normal = value > 0;
		break;
	case VS_IMPAIR_JITTER_REORDERS:
		c->jitter_reorders = value > 0;
		break;
	case VS_IMPAIR_LOSS:
		c->loss = value;
		break;
	case VS_IMPAIR_BURST:
		c->burst = value;
		break;
	case VS_IMPAIR_DUPLICATE:
		c->duplicate = value;
		break;
	case VS_IMPAIR_REORDER:
		c->reorder = value;
		break;
	case VS_IMPAIR_REORDER_DELAY:
		c->reorder_usec = (uint64_t)value;
		break;
	case VS_IMPAIR_RATE:
		c->rate_bps = (uint64_t)value;
		break;
	case VS_IMPAIR_QUEUE:
		c->queue_bytes = (uint64_t)value;
		break;
	case VS_IMPAIR_MTU:
		c->mtu = (uint32_t)value;
		break;
	case VS_IMPAIR_DOWN:
		c->down = value > 0;
		break;
	case VS_IMPAIR_FIELDS:
		break;
	}
}

static bool field_allows(enum vs_impair_field field, double value)
{
	return field < VS_IMPAIR_FIELDS && value >= 0 && value <= field_max[field];
}

int vs_impair_config_set(struct vs_impair_config *config, enum vs_impair_field field, double value)
{
	if (!field_allows(field, value))
		return -ERANGE;
	assign(config, field, value);
	return 0;
}

static double clamp(double value, enum vs_impair_field field)
{
	return value > 0 ? VS_MIN(value, field_max[field]) : 0;
}

static uint64_t clamp_count(uint64_t value, enum vs_impair_field field)
{
	return VS_MIN(value, (uint64_t)field_max[field]);
}

void vs_impair_configure(struct vs_impair *imp, const struct vs_impair_config *config)
{
	struct vs_impair_config *c = &imp->config;

	*c = *config;
	c->delay_usec = clamp_count(c->delay_usec, VS_IMPAIR_DELAY);
	c->jitter_usec = clamp_count(c->jitter_usec, VS_IMPAIR_JITTER);
	c->reorder_usec = clamp_count(c->reorder_usec, VS_IMPAIR_REORDER_DELAY);
	c->rate_bps = clamp_count(c->rate_bps, VS_IMPAIR_RATE);
	c->queue_bytes = clamp_count(c->queue_bytes, VS_IMPAIR_QUEUE);
	c->loss = clamp(c->loss, VS_IMPAIR_LOSS);
	c->burst = clamp(c->burst, VS_IMPAIR_BURST);
	c->duplicate = clamp(c->duplicate, VS_IMPAIR_DUPLICATE);
	c->reorder = clamp(c->reorder, VS_IMPAIR_REORDER);
}

struct vs_impair *vs_impair_new(const struct vs_impair_config *config, uint64_t seed)
{
	struct vs_impair *imp = calloc(1, sizeof(*imp));

	if (!imp)
		return NULL;
	imp->random = seed;
	vs_impair_configure(imp, config);
	return imp;
}

void vs_impair_free(struct vs_impair *imp)
{
	free(imp);
}

/* --- Scheduled changes -------------------------------------------------------------------------------------------- */

static void apply_changes(struct vs_impair *imp, uint64_t now)
{
	size_t due = 0;

	while (due < imp->n_changes && imp->changes[due].at <= now) {
		assign(&imp->config, imp->changes[due].field, imp->changes[due].value);
		due++;
	}
	if (due == 0)
		return;
	imp->n_changes -= due;
	memmove(imp->changes, imp->changes + due, imp->n_changes * sizeof(imp->changes[0]));
}

int vs_impair_schedule(struct vs_impair *imp, uint64_t at, enum vs_impair_field field, double value)
{
	size_t i = imp->n_changes;

	if (!field_allows(field, value))
		return -ERANGE;
	if (imp->n_changes == VS_IMPAIR_CHANGES_MAX)
		return -ENOSPC;
	for (; i > 0 && imp->changes[i - 1].at > at; i--)
		imp->changes[i] = imp->changes[i - 1];
	imp->changes[i] = (struct change){ .at = at, .field = field, .value = value };
	imp->n_changes++;
	return 0;
}

int vs_impair_outage(struct vs_impair *imp, uint64_t from, uint64_t until)
{
	if (imp->n_changes + 2 > VS_IMPAIR_CHANGES_MAX)
		return -ENOSPC;
	int err = vs_impair_schedule(imp, from, VS_IMPAIR_DOWN, 1);
	return err ? err : vs_impair_schedule(imp, until, VS_IMPAIR_DOWN, 0);
}

const struct vs_impair_config *vs_impair_config(struct vs_impair *imp, uint64_t now)
{
	apply_changes(imp, now);
	return &imp->config;
}

/* --- The bottleneck ----------------------------------------------------------------------------------------------- */

static uint64_t backlog_nsec(const struct vs_impair *imp, uint64_t now)
{
	return vs_time_since(imp->idle_nsec, now * NSEC_PER_USEC);
}

uint64_t vs_impair_queue_usec(const struct vs_impair *imp, uint64_t now)
{
	return imp->config.rate_bps ? backlog_nsec(imp, now) / NSEC_PER_USEC : 0;
}

uint64_t vs_impair_queue_bytes(const struct vs_impair *imp, uint64_t now)
{
	unsigned __int128 bits = (unsigned __int128)backlog_nsec(imp, now) * imp->config.rate_bps;

	/* Rounded up: a packet of which a byte is left to send still takes room. */
	return (uint64_t)((bits + 8 * NSEC_PER_SEC - 1) / (8 * NSEC_PER_SEC));
}

static uint64_t queue_limit(const struct vs_impair_config *c)
{
	if (c->queue_bytes)
		return c->queue_bytes;
	uint64_t bytes = c->rate_bps / 8 * VS_IMPAIR_QUEUE_DEFAULT / VS_SEC;
	return VS_MAX(bytes, (uint64_t)VS_IMPAIR_QUEUE_MIN);
}

/* Queues a packet; false: no room for it. An idle line takes a packet of any size. */
static bool pass_bottleneck(struct vs_impair *imp, uint64_t now, size_t size, uint64_t *out)
{
	const struct vs_impair_config *c = &imp->config;

	*out = now;
	if (!c->rate_bps)
		return true;
	uint64_t waiting = vs_impair_queue_bytes(imp, now);
	if (waiting && waiting + size > queue_limit(c))
		return false;
	imp->stats.queue_bytes_max = VS_MAX(imp->stats.queue_bytes_max, waiting + size);
	imp->idle_nsec = VS_MAX(imp->idle_nsec, now * NSEC_PER_USEC) + size * 8 * NSEC_PER_SEC / c->rate_bps;
	*out = (imp->idle_nsec + NSEC_PER_USEC - 1) / NSEC_PER_USEC;
	return true;
}

/* --- Loss --------------------------------------------------------------------------------------------------------- */

/* Steps the two-state chain, one step a packet. Of the bad state's share `loss` and its mean length `burst` follow both
 * probabilities of a change; where the good spells would have to be shorter than one packet, they are one packet. */
static bool lost_in_burst(struct vs_impair *imp)
{
	const struct vs_impair_config *c = &imp->config;

	if (c->loss <= 0 || c->loss >= 1)
		imp->bad = c->loss >= 1;
	else if (imp->bad)
		imp->bad = !random_chance(imp, 1 / c->burst);
	else
		imp->bad = random_chance(imp, c->loss / (c->burst * (1 - c->loss)));
	return imp->bad;
}

static bool lost(struct vs_impair *imp, uint64_t index, uint64_t now, size_t size)
{
	const struct vs_impair_config *c = &imp->config;

	if (c->rule && c->rule(c->rule_arg, index, now, size))
		return true;
	return c->burst > 1 ? lost_in_burst(imp) : random_chance(imp, c->loss);
}

/* --- Delay -------------------------------------------------------------------------------------------------------- */

static uint64_t draw_delay(struct vs_impair *imp)
{
	const struct vs_impair_config *c = &imp->config;

	if (!c->jitter_usec)
		return c->delay_usec;
	double unit = c->jitter_normal ? random_normal(imp) : 2 * random_uniform(imp) - 1;
	double delay = (double)c->delay_usec + unit * (double)c->jitter_usec;
	return delay > 0 ? (uint64_t)delay : 0;
}

/* When a packet that has left the bottleneck at `out` arrives. One that is held back is not waited for. */
static uint64_t arrival(struct vs_impair *imp, uint64_t out)
{
	const struct vs_impair_config *c = &imp->config;
	uint64_t at = out + draw_delay(imp);

	if (random_chance(imp, c->reorder)) {
		imp->stats.held_back++;
		return VS_MAX(at, imp->last_usec) + c->reorder_usec;
	}
	if (c->jitter_reorders)
		return at;
	/* A shorter delay that was set meanwhile does not let packets overtake either: a line is a pipe. */
	imp->last_usec = VS_MAX(at, imp->last_usec);
	return imp->last_usec;
}

/* --- A packet's way ----------------------------------------------------------------------------------------------- */

static enum vs_impair_fate decide(struct vs_impair *imp, uint64_t index, uint64_t now, size_t size, uint64_t *out)
{
	const struct vs_impair_config *c = &imp->config;

	if (c->down)
		return VS_IMPAIR_OUTAGE;
	if (c->mtu && size > c->mtu)
		return VS_IMPAIR_TOO_BIG;
	if (lost(imp, index, now, size))
		return VS_IMPAIR_LOST;
	return pass_bottleneck(imp, now, size, out) ? VS_IMPAIR_DELIVERED : VS_IMPAIR_QUEUE_FULL;
}

void vs_impair_input(struct vs_impair *imp, uint64_t now, size_t size, struct vs_impair_verdict *verdict)
{
	struct vs_impair_stats *stats = &imp->stats;
	uint64_t out = now;

	apply_changes(imp, now);
	*verdict = (struct vs_impair_verdict){ .fate = decide(imp, stats->packets, now, size, &out) };
	stats->packets++;
	stats->bytes += size;
	stats->fates[verdict->fate]++;
	if (verdict->fate != VS_IMPAIR_DELIVERED)
		return;
	stats->bytes_delivered += size;
	verdict->at[verdict->copies++] = arrival(imp, out);
	if (!random_chance(imp, imp->config.duplicate))
		return;
	stats->duplicated++;
	verdict->at[verdict->copies++] = VS_MAX(verdict->at[0], out + draw_delay(imp));
}

const struct vs_impair_stats *vs_impair_stats(const struct vs_impair *imp)
{
	return &imp->stats;
}

const char *vs_impair_fate_name(enum vs_impair_fate fate)
{
	static const char *const names[VS_IMPAIR_FATES] = {
		[VS_IMPAIR_DELIVERED] = "delivered",   [VS_IMPAIR_LOST] = "lost",
		[VS_IMPAIR_QUEUE_FULL] = "queue_full", [VS_IMPAIR_TOO_BIG] = "too_big",
		[VS_IMPAIR_OUTAGE] = "outage",
	};

	return fate < VS_IMPAIR_FATES ? names[fate] : "?";
}
