#include "io/logsink.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DATE_SIZE sizeof("2026-11-21")

static bool is_date(const char *text)
{
	static const char shape[] = "0000-00-00";

	for (size_t i = 0; i < DATE_SIZE - 1; i++)
		if (shape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
			return false;
	return text[DATE_SIZE - 1] == '\0';
}

static void format_date(time_t when, char out[DATE_SIZE])
{
	struct tm tm;

	localtime_r(&when, &tm);
	strftime(out, DATE_SIZE, "%Y-%m-%d", &tm);
}

/* Deletes BASE.DATE where DATE is before `oldest`; dates of this form compare as text. */
static void delete_old(int dir_fd, const char *base, const char *oldest)
{
	size_t len = strlen(base);
	struct dirent *entry;

	DIR *dir = fdopendir(dup(dir_fd));
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, base, len) == 0 && entry->d_name[len] == '.' &&
		    is_date(entry->d_name + len + 1) && strcmp(entry->d_name + len + 1, oldest) < 0)
			unlinkat(dir_fd, entry->d_name, 0);
	closedir(dir);
}

static void rotate(int dir_fd, const char *base, unsigned max_days)
{
	char today[DATE_SIZE], written[DATE_SIZE], oldest[DATE_SIZE], retired[NAME_MAX + 1];
	time_t now = time(NULL);
	struct stat st;

	format_date(now, today);
	format_date(now - (time_t)max_days * 86400, oldest);
	if (fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		format_date(st.st_mtime, written);
		int n = snprintf(retired, sizeof(retired), "%s.%s", base, written);
		/* One of that name is left alone: the clock was set back, or somebody else rotates as well. */
		if (strcmp(written, today) < 0 && n < (int)sizeof(retired) && faccessat(dir_fd, retired, F_OK, 0) < 0)
			renameat(dir_fd, base, dir_fd, retired);
	}
	delete_old(dir_fd, base, oldest);
}

int vs_log_file_open(const char *path, unsigned max_days)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	char dir[PATH_MAX] = ".";

	if (slash && snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path + 1), path) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	rotate(dir_fd, base, max_days);
	/* O_NONBLOCK: a FIFO that nobody reads is refused, not waited for. */
	int fd = openat(dir_fd, base, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
			0640);
	int err = fd < 0 ? -errno : 0;
	close(dir_fd);
	return err < 0 ? err : fd;
}

static int open_direct(void *arg, const char *path, unsigned max_days)
{
	(void)arg;
	return vs_log_file_open(path, max_days);
}

const struct vs_log_opener vs_log_opener_direct = { .open = open_direct };
