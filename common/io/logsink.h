/* Where log lines go: console, file, syslog or the systemd journal; the sink behind base/log.h.
 *
 * No write may stop the program: descriptors are written only while they take data, sockets do not block, and a line
 * that a full disk or a stopped reader refuses is lost and counted. The count is written as a line of its own once
 * writing works again. May be called from several threads at once.
 *
 * Files. A line that is the first of a new day closes the file and opens it again; vs_log_file_open() then renames
 * yesterday's to FILE.YYYY-MM-DD and deletes those that are older than the days to keep. A process without the right
 * to do so passes an opener that asks another one to. */
#ifndef VS_IO_LOGSINK_H
#define VS_IO_LOGSINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/log.h"
#include "io/config.h"

enum vs_log_way {
	VS_LOG_CONSOLE, /* standard error */
	VS_LOG_FILE,
	VS_LOG_SYSLOG,
	VS_LOG_JOURNAL,
};

struct vs_log_config {
	int way;                       /* enum vs_log_way */
	int level;                     /* enum vs_log_level: the least that is written */
	char file[VS_CONFIG_PATH_MAX]; /* for VS_LOG_FILE */
	uint32_t max_days;
	bool disable_color;
};

/* Opens a log file for appending: a descriptor, or -errno. */
struct vs_log_opener {
	int (*open)(void *arg, const char *path, unsigned max_days);
	void *arg;
};

/* The opener that works on the file itself. */
extern const struct vs_log_opener vs_log_opener_direct;

/* Opens (0640, created if absent, no symbolic link followed) `path`; before that, if it was last written on an earlier
 * day, renames it to path.YYYY-MM-DD of that day and deletes such files of more than max_days ago.
 * A descriptor, or -errno. */
int vs_log_file_open(const char *path, unsigned max_days);

/* Installs the sink as base/log's. `ident` names the program ("vswitchs") and must outlive the sink; `opener` is
 * copied. 0, or -errno: the file, or the socket of syslog or journal, cannot be opened; logging is then unchanged. */
int vs_logsink_open(const struct vs_log_config *config, const char *ident,
		    const struct vs_log_opener *opener) VS_MUST_CHECK;

/* Where such a configuration writes to, for messages: the path of a file or socket, or "standard error". */
const char *vs_logsink_target(const struct vs_log_config *config);

/* Back to standard error; closes what was open. */
void vs_logsink_close(void);

#endif
