/* The nearest right name to a wrong one, for "did you mean ...?". */
#ifndef VS_IO_NEAREST_H
#define VS_IO_NEAREST_H

#include <stddef.h>

struct vs_nearest {
	const char *wrong;
	const char *best; /* NULL: nothing near enough so far */
	size_t distance;
};

static inline struct vs_nearest vs_nearest_to(const char *wrong)
{
	return (struct vs_nearest){ .wrong = wrong };
}

/* Offers a right name, which must outlive the search: `best` becomes it if it is nearer than all before. Near enough
 * is a third of its letters changed, added, left out or swapped with their neighbour (optimal string alignment). */
void vs_nearest_offer(struct vs_nearest *nearest, const char *name);

#endif
