/* Changing a small text file that a person also edits: under a lock, and so that at every moment, also after a crash
 * or a power failure, there is the old file or the new one, whole. Mode and owner stay; a symbolic link is followed. */
#ifndef VS_IO_EDIT_FILE_H
#define VS_IO_EDIT_FILE_H

#include <limits.h>
#include <stddef.h>

#include "base/compiler.h"

struct vs_edit {
	char path[PATH_MAX]; /* with symbolic links resolved */
	int dir_fd;          /* of its directory, which the lock is on: the file itself is replaced */
	char *text;          /* NUL-terminated; the edit's, wiped at its end */
	size_t len;
};

/* Waits for the lock and reads the file. 0, or -errno: then there is nothing to end. */
int vs_edit_begin(struct vs_edit *edit, const char *path) VS_MUST_CHECK;

/* Replaces the file's text. 0, or -errno: the file is then as it was. */
int vs_edit_replace(struct vs_edit *edit, const char *text, size_t len) VS_MUST_CHECK;

void vs_edit_end(struct vs_edit *edit);

#endif
