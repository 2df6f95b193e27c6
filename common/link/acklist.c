#include "link/acklist.h"

#include <string.h>

/* A full list is searched again when una has come so far: a peer that fills it with what una does not say must not
 * make each of its segments cost a walk through it. */
#define SEARCH_AFTER (VS_ACKLIST_MAX / 8)

/* Drops what `una` says, but the last. */
static void compact(struct vs_acklist *list, uint32_t una)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < list->n; i++)
		if (i + 1 == list->n || vs_sn_diff(list->item[i].sn, una) >= 0)
			list->item[kept++] = list->item[i];
	list->n = kept;
	list->una = una;
}

void vs_acklist_add(struct vs_acklist *list, uint32_t una, uint32_t sn, uint32_t ts)
{
	if (list->n == VS_ACKLIST_MAX && una - list->una >= SEARCH_AFTER)
		compact(list, una);
	if (list->n == VS_ACKLIST_MAX)
		return;
	list->item[list->n].sn = sn;
	list->item[list->n].ts = ts;
	list->n++;
}

size_t vs_acklist_write(struct vs_acklist *list, const struct vs_segment *ack, uint8_t *out, size_t room)
{
	struct vs_segment each = *ack;
	uint32_t done = 0;
	size_t written = 0;
	compact(list, ack->una);
	while (done < list->n && room - written >= VS_SEGMENT_HEADER) {
		each.sn = list->item[done].sn;
		each.ts = list->item[done].ts;
		vs_segment_encode(&each, out + written);
		written += VS_SEGMENT_HEADER;
		done++;
	}
	list->n -= done;
	memmove(list->item, list->item + done, list->n * sizeof(list->item[0]));
	return written;
}
