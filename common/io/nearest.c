#include "io/nearest.h"

#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"

#define NAME_MAX_COMPARED 48

/* Edit distance with transpositions; three rows of the usual table suffice. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][NAME_MAX_COMPARED + 1];

	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *before2 = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t replaced = before[j - 1] + (a[i - 1] != b[j - 1]);
			now[j] = VS_MIN(replaced, VS_MIN(before[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = VS_MIN(now[j], before2[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

void vs_nearest_offer(struct vs_nearest *nearest, const char *name)
{
	size_t wrong_len = strlen(nearest->wrong), len = strlen(name);

	if (wrong_len > NAME_MAX_COMPARED || len > NAME_MAX_COMPARED)
		return;
	size_t d = distance(nearest->wrong, wrong_len, name, len);
	if (d > VS_MAX(len / 3, 1) || (nearest->best && d >= nearest->distance))
		return;
	nearest->best = name;
	nearest->distance = d;
}
