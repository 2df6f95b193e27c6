#include "link/codel.h"

#include "base/compiler.h"
#include "base/time.h"

/* Congestion that comes back within this many intervals is the old one: the rate of signals resumes where it was. */
#define REENTRY_INTERVALS 16

/* The longest target: what a person in a call notices. */
#define TARGET_MAX (100 * VS_MSEC)

struct vs_codel_config vs_codel_for_path(const struct vs_codel_config *least, uint64_t rtt_usec)
{
	uint64_t target = VS_MIN(rtt_usec * 2 / 5, (uint64_t)TARGET_MAX);
	struct vs_codel_config config = { .target_usec = VS_MAX(least->target_usec, target) };

	config.interval_usec = VS_MAX(least->interval_usec, 2 * rtt_usec + config.target_usec);
	return config;
}

/* Floor of the square root, by Newton's iteration from above: it falls until it is there. */
static uint64_t square_root(uint64_t v)
{
	if (v < 2)
		return v;
	/* The least power of two that is not below the root. */
	uint64_t root = UINT64_C(1) << ((65 - __builtin_clzll(v)) / 2);
	for (;;) {
		uint64_t next = (root + v / root) / 2;
		if (next >= root)
			return root;
		root = next;
	}
}

uint64_t vs_codel_spacing(uint64_t interval_usec, uint32_t count)
{
	/* Both sides scaled by 2^16, that a small count's root keeps its fraction. */
	return (interval_usec << 16) / square_root((uint64_t)count << 32);
}

/* dodequeue() of RFC 8289, section 5.6: whether the delay has been above target for a whole interval. */
static bool stayed_above(struct vs_codel *codel, const struct vs_codel_config *config, uint64_t now,
			 uint64_t sojourn_usec, bool short_backlog)
{
	if (sojourn_usec < config->target_usec || short_backlog) {
		codel->first_above_usec = 0;
		return false;
	}
	if (codel->first_above_usec == 0) {
		codel->first_above_usec = now + config->interval_usec;
		return false;
	}
	return now >= codel->first_above_usec;
}

static void enter_dropping(struct vs_codel *codel, const struct vs_codel_config *config, uint64_t now)
{
	uint32_t delta = codel->count - codel->last_count;
	bool recent = vs_time_since(now, codel->drop_next_usec) < REENTRY_INTERVALS * config->interval_usec;
	codel->dropping = true;
	codel->count = delta > 1 && recent ? delta : 1;
	codel->last_count = codel->count;
	codel->drop_next_usec = now + vs_codel_spacing(config->interval_usec, codel->count);
}

bool vs_codel_judge(struct vs_codel *codel, const struct vs_codel_config *config, uint64_t now, uint64_t sojourn_usec,
		    bool short_backlog)
{
	if (vs_likely(!stayed_above(codel, config, now, sojourn_usec, short_backlog))) {
		codel->dropping = false;
		return false;
	}
	if (!codel->dropping) {
		enter_dropping(codel, config, now);
		return true;
	}
	if (now < codel->drop_next_usec)
		return false;
	if (codel->count < UINT32_MAX)
		codel->count++;
	codel->drop_next_usec += vs_codel_spacing(config->interval_usec, codel->count);
	return true;
}

void vs_codel_empty(struct vs_codel *codel)
{
	codel->first_above_usec = 0;
	codel->dropping = false;
}
