/* Signals as events of a loop: blocked, and read from a file descriptor, so that what they trigger runs as any other
 * callback and interrupts nothing. */
#ifndef VS_IO_SIGNALS_H
#define VS_IO_SIGNALS_H

#include <stddef.h>

#include "base/compiler.h"
#include "io/loop.h"

struct vs_signals;

typedef void vs_signals_fn(void *arg, int number);

/* Blocks the signals in the calling thread, and so in those that it starts later: call it before. Programs that are
 * executed inherit the mask, too, and must be given an empty one. NULL with errno set: out of memory or descriptors. */
struct vs_signals *vs_signals_new(struct vs_loop *loop, const int *numbers, size_t n, vs_signals_fn *fn, void *arg);

/* The signals stay blocked: one that comes during shutdown does no harm. NULL is accepted. */
void vs_signals_free(struct vs_signals *signals);

#endif
