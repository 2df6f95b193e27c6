#include "io/logsink.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1400
#define SYSLOG_SOCKET "/dev/log"
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* There is one log a process, so its sink is one object; base/log.h keeps its own state likewise. */
static struct sink {
	pthread_mutex_t lock;
	struct vs_log_config config;
	struct vs_log_opener opener;
	const char *ident;
	int fd;
	bool color;    /* console: colour by level */
	bool to_journal; /* console: standard error is a stream to the journal, which has its own time and level */
	int day;       /* file: day of the year on which it was opened */
	bool cut;      /* the last line was written in part */
	unsigned lost;
	int lost_errno;
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static const int syslog_priorities[] = { LOG_DEBUG, LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR };

/* --- Formats ------------------------------------------------------------------------------------------------------ */

static size_t clamp_length(int n)
{
	return n < 0 ? 0 : n < LINE_MAX_BYTES ? (size_t)n : LINE_MAX_BYTES - 1;
}

static size_t format_plain(char *out, const struct timespec *ts, const struct tm *tm, enum vs_log_level level,
			   const char *line)
{
	static const char *const colors[] = { "\033[2m", "\033[36m", "\033[32m", "\033[33m", "\033[31m" };
	bool color = sink.config.way == VS_LOG_CONSOLE && sink.color;
	char date[32];

	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", tm);
	int n = snprintf(out, LINE_MAX_BYTES, "%s%s.%03ld %s%-5s%s %s\n", sink.cut ? "\n" : "", date,
			 ts->tv_nsec / 1000000, color ? colors[level] : "", vs_log_level_name(level),
			 color ? "\033[0m" : "", line);
	return clamp_length(n);
}

/* sd-daemon(3): a level in angle brackets at the start of a line. */
static size_t format_stream(char *out, enum vs_log_level level, const char *line)
{
	return clamp_length(snprintf(out, LINE_MAX_BYTES, "<%d>%s\n", syslog_priorities[level], line));
}

/* The local form of RFC 3164 that syslog(3) writes. */
static size_t format_syslog(char *out, const struct tm *tm, enum vs_log_level level, const char *line)
{
	char date[32];

	strftime(date, sizeof(date), "%h %e %T", tm);
	return clamp_length(snprintf(out, LINE_MAX_BYTES, "<%d>%s %s[%d]: %s", LOG_DAEMON | syslog_priorities[level],
				     date, sink.ident, (int)getpid(), line));
}

/* systemd's native protocol: fields, one a line. base/log.h has cleaned the line of newlines. */
static size_t format_journal(char *out, enum vs_log_level level, const char *line)
{
	return clamp_length(snprintf(out, LINE_MAX_BYTES,
				     "PRIORITY=%d\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=%s\nMESSAGE=%s\n",
				     syslog_priorities[level], sink.ident, line));
}

/* --- Descriptors -------------------------------------------------------------------------------------------------- */

static int open_socket(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int open_target(const struct vs_log_config *config, const struct vs_log_opener *opener)
{
	switch (config->way) {
	case VS_LOG_FILE:
		return opener->open(opener->arg, config->file, config->max_days);
	case VS_LOG_SYSLOG:
		return open_socket(SYSLOG_SOCKET);
	case VS_LOG_JOURNAL:
		return open_socket(JOURNAL_SOCKET);
	default:
		return STDERR_FILENO;
	}
}

const char *vs_logsink_target(const struct vs_log_config *config)
{
	switch (config->way) {
	case VS_LOG_FILE:
		return config->file;
	case VS_LOG_SYSLOG:
		return SYSLOG_SOCKET;
	case VS_LOG_JOURNAL:
		return JOURNAL_SOCKET;
	default:
		return "standard error";
	}
}

static void close_target(void)
{
	if (sink.fd > STDERR_FILENO)
		close(sink.fd);
	sink.fd = -1;
}

static void count_lost(int err)
{
	sink.lost++;
	sink.lost_errno = err;
}

/* A terminal that is stopped or a pipe that nobody reads would block us, and making it non-blocking would change it
 * for every process that shares it. Writable means that a pipe takes a line whole (PIPE_BUF). */
static bool takes_data(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && p.revents & POLLOUT;
}

static bool write_stream(const char *text, size_t len)
{
	if (!takes_data(sink.fd)) {
		count_lost(EAGAIN);
		return false;
	}
	ssize_t n = write(sink.fd, text, len);
	if (n < 0) {
		count_lost(errno);
		return false;
	}
	sink.cut = (size_t)n < len;
	if (sink.cut)
		count_lost(ENOSPC);
	return !sink.cut;
}

/* A daemon that was restarted has a new socket behind the same name. */
static bool send_datagram(const char *text, size_t len)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		if (sink.fd < 0)
			sink.fd = open_target(&sink.config, &sink.opener);
		if (sink.fd < 0) {
			count_lost(-sink.fd);
			return false;
		}
		if (send(sink.fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return true;
		if (errno != ECONNREFUSED && errno != ENOTCONN && errno != ECONNRESET)
			break;
		close_target();
	}
	count_lost(errno);
	return false;
}

static void follow_day(const struct tm *tm)
{
	if (sink.config.way != VS_LOG_FILE || tm->tm_yday == sink.day)
		return;
	int fd = sink.opener.open(sink.opener.arg, sink.config.file, sink.config.max_days);
	/* If it failed, the old file still takes lines, and once a day is often enough to try. */
	sink.day = tm->tm_yday;
	if (fd < 0)
		return;
	close_target();
	sink.fd = fd;
}

static bool emit(enum vs_log_level level, const char *line)
{
	char text[LINE_MAX_BYTES];
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	follow_day(&tm);
	if (sink.config.way == VS_LOG_SYSLOG)
		return send_datagram(text, format_syslog(text, &tm, level, line));
	if (sink.config.way == VS_LOG_JOURNAL)
		return send_datagram(text, format_journal(text, level, line));
	if (sink.to_journal)
		return write_stream(text, format_stream(text, level, line));
	return write_stream(text, format_plain(text, &ts, &tm, level, line));
}

static void write_line(enum vs_log_level level, const char *line, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&sink.lock);
	if (emit(level, line) && sink.lost) {
		char note[128];
		unsigned lost = sink.lost;
		snprintf(note, sizeof(note), "%u log lines were lost: %s", lost, strerror(sink.lost_errno));
		sink.lost = 0;
		if (!emit(VS_LOG_WARN, note))
			sink.lost = lost;
	}
	pthread_mutex_unlock(&sink.lock);
}

/* --- Opening ------------------------------------------------------------------------------------------------------ */

/* systemd.exec(5): JOURNAL_STREAM holds the device and inode of the stream that it has put there. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

/* https://no-color.org: set and not empty. */
static bool wants_color(const struct vs_log_config *config)
{
	const char *no_color = getenv("NO_COLOR");

	return !config->disable_color && !(no_color && *no_color) && isatty(STDERR_FILENO);
}

int vs_logsink_open(const struct vs_log_config *config, const char *ident, const struct vs_log_opener *opener)
{
	time_t now = time(NULL);
	struct tm tm;

	int fd = open_target(config, opener);
	if (fd < 0)
		return fd;
	localtime_r(&now, &tm);
	pthread_mutex_lock(&sink.lock);
	close_target();
	sink.config = *config;
	sink.opener = *opener;
	sink.ident = ident;
	sink.fd = fd;
	sink.color = wants_color(config);
	sink.to_journal = config->way == VS_LOG_CONSOLE && stderr_is_journal();
	sink.day = tm.tm_yday;
	sink.cut = false;
	pthread_mutex_unlock(&sink.lock);
	vs_log_setup((enum vs_log_level)config->level, write_line, NULL);
	return 0;
}

void vs_logsink_close(void)
{
	vs_log_setup((enum vs_log_level)sink.config.level, NULL, NULL);
	pthread_mutex_lock(&sink.lock);
	close_target();
	pthread_mutex_unlock(&sink.lock);
}
