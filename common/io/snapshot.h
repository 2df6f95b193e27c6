/* A file's text at one moment, which one process judges and another then reads: both see the same bytes, whatever
 * happens to the file in between. */
#ifndef VS_IO_SNAPSHOT_H
#define VS_IO_SNAPSHOT_H

#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"

struct vs_snapshot {
	char *text; /* NUL-terminated */
	size_t len;
	mode_t mode; /* of the file */
};

/* Reads a regular file of at most VS_CONFIG_FILE_MAX bytes. 0, -EINVAL: it is something else (a FIFO would make the
 * reader wait); -EFBIG, -ENOMEM or -errno. The snapshot is to be given to vs_snapshot_fini() in any case. */
int vs_snapshot_take(struct vs_snapshot *snapshot, const char *path) VS_MUST_CHECK;

/* The same bytes as a file in memory that nobody can change, with the mode of the original, at which readers look, and
 * at its beginning. A descriptor or -errno. */
int vs_snapshot_export(const struct vs_snapshot *snapshot) VS_MUST_CHECK;

/* Wipes (there may be keys in it) and frees. */
void vs_snapshot_fini(struct vs_snapshot *snapshot);

#endif
