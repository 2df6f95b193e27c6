#include "io/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/config.h"

int vs_snapshot_take(struct vs_snapshot *snapshot, const char *path)
{
	struct stat st;

	memset(snapshot, 0, sizeof(*snapshot));
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	int err = fstat(fd, &st) < 0 ? -errno : 0;
	if (err == 0 && !S_ISREG(st.st_mode))
		err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (err == 0) {
		snapshot->mode = st.st_mode & 0777;
		err = vs_config_slurp(fd, &snapshot->text, &snapshot->len);
	}
	close(fd);
	return err;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno != EINTR)
			return -errno;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int vs_snapshot_export(const struct vs_snapshot *snapshot)
{
	static const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

	int fd = memfd_create("vswitch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	int err = write_all(fd, snapshot->text, snapshot->len);
	if (err == 0 && (fchmod(fd, snapshot->mode) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
			 fcntl(fd, F_ADD_SEALS, seals) < 0))
		err = -errno;
	if (err < 0)
		close(fd);
	return err < 0 ? err : fd;
}

void vs_snapshot_fini(struct vs_snapshot *snapshot)
{
	if (snapshot->text)
		vs_wipe(snapshot->text, snapshot->len);
	free(snapshot->text);
	memset(snapshot, 0, sizeof(*snapshot));
}
