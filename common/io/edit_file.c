#include "io/edit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/config.h"

static int read_file(struct vs_edit *edit)
{
	int fd = open(edit->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	int err = vs_config_slurp(fd, &edit->text, &edit->len);
	close(fd);
	return err;
}

int vs_edit_begin(struct vs_edit *edit, const char *path)
{
	char dir[PATH_MAX];

	edit->text = NULL;
	if (!realpath(path, edit->path))
		return -errno;
	strcpy(dir, edit->path);
	strrchr(dir, '/')[1] = '\0';
	edit->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (edit->dir_fd < 0)
		return -errno;
	int err = flock(edit->dir_fd, LOCK_EX) < 0 ? -errno : read_file(edit);
	if (err < 0)
		close(edit->dir_fd);
	return err;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno != EINTR)
			return -errno;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Makes the new file what the old one is, and brings it to the disk. */
static int fill(int fd, const struct stat *like, const char *text, size_t len)
{
	if (fchown(fd, like->st_uid, like->st_gid) < 0 || fchmod(fd, like->st_mode & 07777) < 0)
		return -errno;
	int err = write_all(fd, text, len);
	if (err == 0 && fsync(fd) < 0)
		err = -errno;
	return err;
}

int vs_edit_replace(struct vs_edit *edit, const char *text, size_t len)
{
	char temp[PATH_MAX + 8];
	struct stat st;

	snprintf(temp, sizeof(temp), "%s.XXXXXX", edit->path);
	if (stat(edit->path, &st) < 0)
		return -errno;
	int fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int err = fill(fd, &st, text, len);
	close(fd);
	if (err == 0 && rename(temp, edit->path) < 0)
		err = -errno;
	if (err < 0) {
		unlink(temp);
		return err;
	}
	/* The rename itself; if this fails, a power failure may bring back the old file, but never half of one. */
	(void)fsync(edit->dir_fd);
	return 0;
}

void vs_edit_end(struct vs_edit *edit)
{
	if (edit->text)
		vs_wipe(edit->text, edit->len);
	free(edit->text);
	close(edit->dir_fd);
}
