#include "emu/delayline.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"

void vs_delayline_init(struct vs_delayline *line)
{
	memset(line, 0, sizeof(*line));
}

void vs_delayline_fini(struct vs_delayline *line)
{
	for (size_t i = 0; i < line->count; i++)
		free(line->heap[i]);
	free(line->heap);
	vs_delayline_init(line);
}

static bool earlier(const struct vs_delayline_packet *a, const struct vs_delayline_packet *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static int make_room(struct vs_delayline *line)
{
	if (line->count < line->capacity)
		return 0;
	size_t capacity = line->capacity ? 2 * line->capacity : 1024;
	struct vs_delayline_packet **heap = reallocarray(line->heap, capacity, sizeof(heap[0]));
	if (!heap)
		return -ENOMEM;
	line->heap = heap;
	line->capacity = capacity;
	return 0;
}

static void sift_up(struct vs_delayline *line, size_t i, struct vs_delayline_packet *packet)
{
	for (; i > 0 && earlier(packet, line->heap[(i - 1) / 2]); i = (i - 1) / 2)
		line->heap[i] = line->heap[(i - 1) / 2];
	line->heap[i] = packet;
}

static void sift_down(struct vs_delayline *line, struct vs_delayline_packet *packet)
{
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < line->count; i = child) {
		if (child + 1 < line->count && earlier(line->heap[child + 1], line->heap[child]))
			child++;
		if (!earlier(line->heap[child], packet))
			break;
		line->heap[i] = line->heap[child];
	}
	line->heap[i] = packet;
}

int vs_delayline_insert(struct vs_delayline *line, uint64_t at, const void *data, size_t len)
{
	if (line->bytes + len > VS_DELAYLINE_BYTES_MAX)
		return -ENOBUFS;
	if (make_room(line))
		return -ENOMEM;
	struct vs_delayline_packet *packet = malloc(sizeof(*packet) + len);
	if (!packet)
		return -ENOMEM;
	packet->at = at;
	packet->order = line->order++;
	packet->len = len;
	memcpy(packet->data, data, len);
	line->bytes += len;
	sift_up(line, line->count++, packet);
	return 0;
}

uint64_t vs_delayline_deadline(const struct vs_delayline *line)
{
	return line->count ? line->heap[0]->at : VS_NEVER;
}

struct vs_delayline_packet *vs_delayline_remove(struct vs_delayline *line, uint64_t now)
{
	if (vs_delayline_deadline(line) > now || !line->count)
		return NULL;
	struct vs_delayline_packet *first = line->heap[0], *last = line->heap[--line->count];
	if (line->count)
		sift_down(line, last);
	line->bytes -= first->len;
	return first;
}
