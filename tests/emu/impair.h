/* One direction of an imperfect line: given a packet's size and the time, says whether, when and how often it comes out
 * at the other end. Sans-I/O and deterministic: the same seed, configuration and inputs give the same verdicts. The
 * link emulator uses it on real packets, the simulator in virtual time; both keep the packets themselves.
 *
 * A packet meets, in this order:
 *   outage -> MTU -> loss rule -> random loss -> bottleneck (rate, bounded queue) -> delay, jitter, reordering -> copy
 * Lost packets take no room in the bottleneck. Loss is independent, or, with burst > 1, follows the two states of
 * Gilbert and Elliott (E. O. Elliott, "Estimates of Error Rates for Codes on Burst-Noise Channels", 1963) with all lost
 * in the bad state: `loss` is then the long-term rate and `burst` the mean number of packets lost in a row. */
#ifndef VS_TEST_IMPAIR_H
#define VS_TEST_IMPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/time.h"

/* Scheduled changes that one direction holds. */
#define VS_IMPAIR_CHANGES_MAX 256
/* Copies of a packet that may come out: itself and a duplicate. */
#define VS_IMPAIR_COPIES_MAX 2
/* The bottleneck's queue where none is given: this much time at its rate, and at least ten packets of 1500 bytes. */
#define VS_IMPAIR_QUEUE_DEFAULT (100 * VS_MSEC)
#define VS_IMPAIR_QUEUE_MIN 15000u

/* A rule by which packets are lost: true loses the packet. `index` counts the packets given in, from 0. */
typedef bool vs_impair_rule(void *arg, uint64_t index, uint64_t now, size_t size);

/* All zero: a perfect line. */
struct vs_impair_config {
	uint64_t delay_usec;
	uint64_t jitter_usec;   /* uniform: delay +- jitter; normal: its standard deviation. Delays never go below 0 */
	bool jitter_normal;
	bool jitter_reorders;   /* each packet takes its own delay; else none overtakes the one before it */
	double loss;            /* 0 ... 1 */
	double burst;           /* mean number of packets lost in a row; up to 1: losses are independent */
	double duplicate;       /* probability of a second copy */
	double reorder;         /* probability that a packet is held back, so that later ones overtake it ... */
	uint64_t reorder_usec;  /* ... for so long, besides its delay */
	uint64_t rate_bps;      /* bits a second; 0: unlimited */
	uint64_t queue_bytes;   /* of the bottleneck, the packet being sent included; 0: VS_IMPAIR_QUEUE_DEFAULT */
	uint32_t mtu;           /* larger packets vanish; 0: unlimited */
	bool down;              /* everything given in is lost; what is on its way arrives */
	vs_impair_rule *rule;   /* NULL: none */
	void *rule_arg;
};

/* The numbers of a configuration, by name, so that one of them can be changed at a time. */
enum vs_impair_field {
	VS_IMPAIR_DELAY,           /* microseconds, as all times here */
	VS_IMPAIR_JITTER,
	VS_IMPAIR_JITTER_NORMAL,   /* 0 or 1 */
	VS_IMPAIR_JITTER_REORDERS, /* 0 or 1 */
	VS_IMPAIR_LOSS,
	VS_IMPAIR_BURST,
	VS_IMPAIR_DUPLICATE,
	VS_IMPAIR_REORDER,
	VS_IMPAIR_REORDER_DELAY,
	VS_IMPAIR_RATE,            /* bits a second */
	VS_IMPAIR_QUEUE,           /* bytes */
	VS_IMPAIR_MTU,             /* bytes */
	VS_IMPAIR_DOWN,            /* 0 or 1 */
	VS_IMPAIR_FIELDS,
};

/* Sets one number of a configuration. 0, or -ERANGE: the value cannot be (negative, a probability above 1, ...). */
int vs_impair_config_set(struct vs_impair_config *config, enum vs_impair_field field, double value) VS_MUST_CHECK;

enum vs_impair_fate {
	VS_IMPAIR_DELIVERED,
	VS_IMPAIR_LOST,       /* by chance or by the rule */
	VS_IMPAIR_QUEUE_FULL, /* tail drop at the bottleneck */
	VS_IMPAIR_TOO_BIG,    /* larger than the MTU: a router would say "fragmentation needed" */
	VS_IMPAIR_OUTAGE,
	VS_IMPAIR_FATES,
};

struct vs_impair_verdict {
	enum vs_impair_fate fate;
	unsigned copies;                    /* 0 unless delivered */
	uint64_t at[VS_IMPAIR_COPIES_MAX];  /* when each comes out; never before `now` */
};

struct vs_impair_stats {
	uint64_t packets, bytes;            /* given in */
	uint64_t fates[VS_IMPAIR_FATES];    /* packets by what became of them; their sum is `packets` */
	uint64_t bytes_delivered;           /* duplicates not counted */
	uint64_t duplicated;                /* delivered packets that came out twice */
	uint64_t held_back;                 /* delivered packets that `reorder` held back */
	uint64_t queue_bytes_max;           /* most that was ever in the bottleneck's queue */
};

struct vs_impair;

/* NULL: out of memory. The configuration is copied; values out of range are taken as the nearest that can be. */
struct vs_impair *vs_impair_new(const struct vs_impair_config *config, uint64_t seed);

/* NULL is accepted. */
void vs_impair_free(struct vs_impair *imp);

/* One packet of `size` bytes enters at `now`, which never goes back from call to call. All of what is scheduled up to
 * `now` takes effect first. */
void vs_impair_input(struct vs_impair *imp, uint64_t now, size_t size, struct vs_impair_verdict *verdict);

/* The configuration in force at `now`. Valid until the next call. */
const struct vs_impair_config *vs_impair_config(struct vs_impair *imp, uint64_t now);

/* Replaces the configuration at once. Packets on their way keep their time of arrival; so does what waits in the
 * bottleneck, whatever its new rate. */
void vs_impair_configure(struct vs_impair *imp, const struct vs_impair_config *config);

/* Sets one number at time `at`; changes of the same moment take effect in the order in which they were scheduled.
 * 0; -ERANGE: as vs_impair_config_set(); -ENOSPC: VS_IMPAIR_CHANGES_MAX are pending. */
int vs_impair_schedule(struct vs_impair *imp, uint64_t at, enum vs_impair_field field, double value) VS_MUST_CHECK;

/* Loses everything from `from` until (not including) `until`. 0 or -ENOSPC. Outages may not overlap. */
int vs_impair_outage(struct vs_impair *imp, uint64_t from, uint64_t until) VS_MUST_CHECK;

/* Bytes that wait at the bottleneck at `now`, and the time they take to pass it. 0 without a rate. */
uint64_t vs_impair_queue_bytes(const struct vs_impair *imp, uint64_t now);
uint64_t vs_impair_queue_usec(const struct vs_impair *imp, uint64_t now);

const struct vs_impair_stats *vs_impair_stats(const struct vs_impair *imp);

/* "delivered", "lost", "queue_full", "too_big", "outage". */
const char *vs_impair_fate_name(enum vs_impair_fate fate);

#endif
