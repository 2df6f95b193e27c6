/* The largest (or smallest) value of a moving window, kept in three samples: the best, the best after it, and the best
 * after that. Used for the path's least round-trip time and for the greatest delivery rate.
 *
 * The window is counted in any unit that does not run backwards: microseconds, or rounds. A new best replaces all
 * three; as the best ages, the others are refreshed from the younger parts of the window, so that a successor is at
 * hand when it expires. The answer is exact while values improve, and otherwise no worse than the best of the last
 * quarter of the window (K. Nichols, "BBR: windowed max/min", 2016, describes the idea). */
#ifndef VS_LINK_MINMAX_H
#define VS_LINK_MINMAX_H

#include <stdint.h>

/* All zero: no sample yet. */
struct vs_minmax {
	struct {
		uint64_t at, value;
	} best[3];
	uint64_t samples;
};

/* Adds a value at `at` to a maximum (minimum) over the last `window`, and returns that maximum (minimum). One struct
 * serves either, never both. */
uint64_t vs_minmax_max(struct vs_minmax *m, uint64_t window, uint64_t at, uint64_t value);
uint64_t vs_minmax_min(struct vs_minmax *m, uint64_t window, uint64_t at, uint64_t value);

/* Forgets everything but this value. */
void vs_minmax_reset(struct vs_minmax *m, uint64_t at, uint64_t value);

/* The current answer; 0 before the first sample. */
static inline uint64_t vs_minmax_get(const struct vs_minmax *m)
{
	return m->best[0].value;
}

#endif
