/* The packets on their way through one direction of the emulated line, by time of arrival; those of the same moment
 * leave in the order in which they entered. Bounded: what exceeds VS_DELAYLINE_BYTES_MAX is refused. */
#ifndef VS_TEST_DELAYLINE_H
#define VS_TEST_DELAYLINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define VS_DELAYLINE_BYTES_MAX (UINT64_C(512) << 20) /* two seconds at 2 Gbit/s */

struct vs_delayline_packet {
	uint64_t at, order;
	size_t len;
	uint8_t data[];
};

struct vs_delayline {
	struct vs_delayline_packet **heap;
	size_t count, capacity;
	uint64_t bytes, order;
};

void vs_delayline_init(struct vs_delayline *line);
void vs_delayline_fini(struct vs_delayline *line);

/* Copies a packet in. 0, -ENOMEM, or -ENOBUFS at the limit. */
int vs_delayline_insert(struct vs_delayline *line, uint64_t at, const void *data, size_t len) VS_MUST_CHECK;

/* When the first arrives; VS_NEVER: empty. */
uint64_t vs_delayline_deadline(const struct vs_delayline *line);

/* Takes the first packet out if it has arrived at `now`; the caller frees it. NULL: none has. */
struct vs_delayline_packet *vs_delayline_remove(struct vs_delayline *line, uint64_t now);

#endif
