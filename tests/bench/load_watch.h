/* What another process has cost so far: its processor time, to the nanosecond and over all its threads, dead ones
 * included, and its memory. */
#ifndef VS_TEST_BENCH_LOAD_WATCH_H
#define VS_TEST_BENCH_LOAD_WATCH_H

#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

struct load_watch {
	uint64_t cpu_nsec;
	uint64_t rss_kib;  /* resident now */
	uint64_t anon_kib; /* of that, its own: no file is behind it */
	uint64_t peak_kib; /* the most that was resident */
};

/* 0 or -errno: -ESRCH, there is no such process. */
int load_watch_take(pid_t pid, struct load_watch *out) VS_MUST_CHECK;

#endif
