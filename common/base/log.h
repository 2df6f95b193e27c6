/* Leveled log lines. base formats and filters; where lines go (console, file, syslog, journal) is a sink that
 * common/io installs. The sans-I/O rooms do not log: they count. Never pass key material.
 *
 * Anything that a stranger or a peer can trigger goes through VS_LOG_LIMITED, which lets a burst of five through and
 * then one line a second from each place in the source, and says how many were withheld. */
#ifndef VS_BASE_LOG_H
#define VS_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum vs_log_level {
	VS_LOG_TRACE,
	VS_LOG_DEBUG,
	VS_LOG_INFO,
	VS_LOG_WARN,
	VS_LOG_ERROR,
};

typedef void vs_log_sink(enum vs_log_level level, const char *line, void *arg);

/* Installs the sink (NULL: standard error) and the least level that reaches it. Any thread may log meanwhile; the sink
 * before may still be called for a moment, so a new `arg` comes with the first sink only. */
void vs_log_setup(enum vs_log_level least, vs_log_sink *sink, void *arg);

bool vs_log_enabled(enum vs_log_level level);

/* "trace" ... "error". */
const char *vs_log_level_name(enum vs_log_level level);

void vs_log(enum vs_log_level level, const char *fmt, ...) VS_PRINTF(2, 3);

/* State of one rate-limited place; zero-initialised. */
struct vs_log_limit {
	uint64_t refilled_sec;
	unsigned used;
	unsigned withheld;
};

/* Whether the line may be written now; *withheld receives the number of lines suppressed since the last one. */
bool vs_log_limit_take(struct vs_log_limit *limit, unsigned *withheld);

#define vs_trace(...) vs_log(VS_LOG_TRACE, __VA_ARGS__)
#define vs_debug(...) vs_log(VS_LOG_DEBUG, __VA_ARGS__)
#define vs_info(...) vs_log(VS_LOG_INFO, __VA_ARGS__)
#define vs_warn(...) vs_log(VS_LOG_WARN, __VA_ARGS__)
#define vs_error(...) vs_log(VS_LOG_ERROR, __VA_ARGS__)

#define VS_LOG_LIMITED(level, ...)                                                                     \
	do {                                                                                           \
		static struct vs_log_limit vs_limit_;                                                  \
		unsigned vs_withheld_;                                                                 \
		if (vs_log_enabled(level) && vs_log_limit_take(&vs_limit_, &vs_withheld_)) {           \
			vs_log(level, __VA_ARGS__);                                                    \
			if (vs_withheld_)                                                              \
				vs_log(level, "(%u similar lines withheld)", vs_withheld_);            \
		}                                                                                      \
	} while (0)

#endif
