/* Threads of the programs. Signals are read from a file descriptor by the main loop (io/signals.h), so every other
 * thread starts with all of them blocked. */
#ifndef VS_IO_THREAD_H
#define VS_IO_THREAD_H

#include <pthread.h>

#include "base/compiler.h"

/* Starts a joinable thread with all signals blocked. `name` (15 characters at most) is what ps and gdb show.
 * 0 or -errno (-EAGAIN: no more threads). */
int vs_thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg) VS_MUST_CHECK;

#endif
