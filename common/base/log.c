#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define LIMIT_BURST 5

static _Atomic(enum vs_log_level) least_level = VS_LOG_INFO;
static _Atomic(vs_log_sink *) current_sink;
static _Atomic(void *) sink_arg;
static pthread_mutex_t limits = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = { "trace", "debug", "info", "warn", "error" };

void vs_log_setup(enum vs_log_level least, vs_log_sink *sink, void *arg)
{
	least_level = least;
	current_sink = sink;
	sink_arg = arg;
}

bool vs_log_enabled(enum vs_log_level level)
{
	return level >= least_level;
}

const char *vs_log_level_name(enum vs_log_level level)
{
	return level_names[level];
}

void vs_log(enum vs_log_level level, const char *fmt, ...)
{
	if (!vs_log_enabled(level))
		return;
	char line[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* A peer's name or an INI value may hold control characters: a log line must stay one line. */
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	vs_log_sink *sink = current_sink;
	if (sink)
		sink(level, line, sink_arg);
	else
		fprintf(stderr, "%s: %s\n", level_names[level], line);
}

static bool take(struct vs_log_limit *limit, unsigned *withheld)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	uint64_t now = (uint64_t)ts.tv_sec + 1;
	uint64_t gained = now - limit->refilled_sec;
	if (gained) {
		limit->used = gained >= limit->used ? 0 : limit->used - (unsigned)gained;
		limit->refilled_sec = now;
	}
	if (limit->used >= LIMIT_BURST) {
		limit->withheld++;
		*withheld = 0;
		return false;
	}
	limit->used++;
	*withheld = limit->withheld;
	limit->withheld = 0;
	return true;
}

bool vs_log_limit_take(struct vs_log_limit *limit, unsigned *withheld)
{
	pthread_mutex_lock(&limits);
	bool taken = take(limit, withheld);
	pthread_mutex_unlock(&limits);
	return taken;
}
