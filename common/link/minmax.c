#include "link/minmax.h"

#include <stdbool.h>

static bool at_least_as_good(bool want_max, uint64_t a, uint64_t b)
{
	return want_max ? a >= b : a <= b;
}

static void set_from(struct vs_minmax *m, unsigned first, uint64_t at, uint64_t value)
{
	for (unsigned i = first; i < 3; i++) {
		m->best[i].at = at;
		m->best[i].value = value;
	}
}

void vs_minmax_reset(struct vs_minmax *m, uint64_t at, uint64_t value)
{
	set_from(m, 0, at, value);
	m->samples = 1;
}

/* Moves the second and third choice forward as the samples in front of them age or expire. */
static void age(struct vs_minmax *m, uint64_t window, uint64_t at, uint64_t value)
{
	for (unsigned expired = 0; expired < 2 && at - m->best[0].at > window; expired++) {
		m->best[0] = m->best[1];
		m->best[1] = m->best[2];
		set_from(m, 2, at, value);
	}
	if (m->best[1].at == m->best[0].at && at - m->best[1].at > window / 4)
		set_from(m, 1, at, value);
	else if (m->best[2].at == m->best[1].at && at - m->best[2].at > window / 2)
		set_from(m, 2, at, value);
}

static uint64_t update(struct vs_minmax *m, bool want_max, uint64_t window, uint64_t at, uint64_t value)
{
	bool fresh = m->samples++ == 0 || at - m->best[2].at > window;
	unsigned rank = 0;

	while (!fresh && rank < 3 && !at_least_as_good(want_max, value, m->best[rank].value))
		rank++;
	set_from(m, rank, at, value);
	if (rank > 0)
		age(m, window, at, value);
	return m->best[0].value;
}

uint64_t vs_minmax_max(struct vs_minmax *m, uint64_t window, uint64_t at, uint64_t value)
{
	return update(m, true, window, at, value);
}

uint64_t vs_minmax_min(struct vs_minmax *m, uint64_t window, uint64_t at, uint64_t value)
{
	return update(m, false, window, at, value);
}
