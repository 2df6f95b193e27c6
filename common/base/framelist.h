/* A FIFO of frame references, in which a room hands a batch of frames to the next one. It grows in steps up to the
 * maximum stated at its start and keeps its memory from one batch to the next, so that a steady flow allocates nothing.
 * A list belongs to one thread, like the frames in it. */
#ifndef VS_BASE_FRAMELIST_H
#define VS_BASE_FRAMELIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/frame.h"

struct vs_frame_list {
	struct vs_frame **ring;
	uint32_t capacity; /* slots of ring: 0 or a power of two */
	uint32_t head;     /* slot of the oldest frame */
	uint32_t count;
	uint32_t max;
};

/* An empty list of at most `max` frames, in the caller's storage. Allocates nothing yet. */
void vs_frame_list_init(struct vs_frame_list *list, uint32_t max);

/* Gives back the frames that are left, and the list's memory. */
void vs_frame_list_fini(struct vs_frame_list *list);

/* Gives back the frames that are left; keeps the list's memory for the next batch. */
void vs_frame_list_clear(struct vs_frame_list *list);

/* Makes room for one more frame. 0, -ENOBUFS if the list is at its maximum, or -ENOMEM. */
int vs_frame_list_grow(struct vs_frame_list *list) VS_MUST_CHECK;

/* Appends a frame and takes over the caller's reference. False: the list is at its maximum, or memory is out; the
 * reference stays with the caller. */
static inline bool VS_MUST_CHECK vs_frame_list_push(struct vs_frame_list *list, struct vs_frame *frame)
{
	if ((list->count == list->capacity || list->count == list->max) && vs_frame_list_grow(list) != 0)
		return false;
	list->ring[(list->head + list->count++) & (list->capacity - 1)] = frame;
	return true;
}

/* Removes the oldest frame; its reference passes to the caller. NULL: the list is empty. */
static inline struct vs_frame *vs_frame_list_pop(struct vs_frame_list *list)
{
	if (list->count == 0)
		return NULL;
	struct vs_frame *frame = list->ring[list->head];
	list->head = (list->head + 1) & (list->capacity - 1);
	list->count--;
	return frame;
}

#endif
