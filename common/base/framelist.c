#include "base/framelist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 64

void vs_frame_list_init(struct vs_frame_list *list, uint32_t max)
{
	*list = (struct vs_frame_list){ .max = max };
}

void vs_frame_list_clear(struct vs_frame_list *list)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(list)))
		vs_frame_unref(frame);
}

void vs_frame_list_fini(struct vs_frame_list *list)
{
	vs_frame_list_clear(list);
	free(list->ring);
	vs_frame_list_init(list, list->max);
}

int vs_frame_list_grow(struct vs_frame_list *list)
{
	if (list->count >= list->max)
		return -ENOBUFS;
	uint32_t capacity = list->capacity ? 2 * list->capacity : FIRST_CAPACITY;
	struct vs_frame **ring = malloc(capacity * sizeof(struct vs_frame *));
	if (!ring)
		return -ENOMEM;
	/* The old ring may be wrapped: its end comes first. */
	uint32_t tail = VS_MIN(list->count, list->capacity - list->head);
	if (list->count) {
		memcpy(ring, list->ring + list->head, tail * sizeof(*ring));
		memcpy(ring + tail, list->ring, (list->count - tail) * sizeof(*ring));
	}
	free(list->ring);
	list->ring = ring;
	list->capacity = capacity;
	list->head = 0;
	return 0;
}
