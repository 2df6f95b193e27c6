/* A configuration file as sections with keys and values, each with its line: what inih reads, made strict. What the
 * sections and keys mean is the schema's business (io/schema.h).
 *
 * The file may come from a path, from a descriptor that another process has opened, or from memory. Lines are fed to
 * inih one by one, so that every complaint knows its line and that inih's silent limits (length of a line, of a name)
 * are refusals here. Blanks before a line mean nothing: there are no continuation lines, a key with a list may be
 * given again instead. What stands before a '=' is a secret where somebody has forgotten the one behind the key, since
 * base64 ends with that character: what cannot be a key is refused without being shown. A comment starts with '#' or
 * ';' at the start of a line, or with " ;" after a value. */
#ifndef VS_IO_CONFIG_H
#define VS_IO_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "io/complaints.h"

#define VS_CONFIG_FILE_MAX (4u << 20)    /* bytes */
#define VS_CONFIG_SECTIONS_MAX 8192
#define VS_CONFIG_ENTRIES_MAX 131072
#define VS_CONFIG_PATH_MAX 512
#define VS_CONFIG_NAME_MAX 32 /* of [kind NAME] */
#define VS_CONFIG_KEY_MAX 24  /* longer than any key that there is, shorter than a secret */

struct vs_config_entry {
	const char *key, *value;
	unsigned line;
};

struct vs_config_section {
	const char *kind; /* "port" of [port alice]; "": malformed and complained about */
	const char *name; /* "alice"; NULL: none */
	unsigned line;
	size_t first, n; /* its entries */
};

struct vs_config {
	char dir[VS_CONFIG_PATH_MAX]; /* of the file, absolute: what relative paths in it start from */
	struct vs_config_section *sections;
	size_t n_sections;
	struct vs_config_entry *entries;
	size_t n_entries;
	char *strings;
	size_t strings_size;
};

/* How files are opened for reading, for a process that may not do so itself. */
struct vs_opener {
	int (*open)(void *arg, const char *path); /* a descriptor, or -errno */
	void *arg;
};

/* The opener that calls open(2). */
extern const struct vs_opener vs_opener_direct;

/* 1 to VS_CONFIG_NAME_MAX of A-Z a-z 0-9 . _ - */
bool vs_config_name_valid(const char *name);

/* Reads a file of at most VS_CONFIG_FILE_MAX bytes into memory; *text (NUL-terminated) is the caller's to free.
 * 0, -EFBIG, -ENOMEM or -errno of read(). */
int vs_config_slurp(int fd, char **text, size_t *len) VS_MUST_CHECK;

/* Parses a file's text; `path` is where it stands. What is wrong goes to `complaints`; `config` holds what was
 * understood and is to be freed either way. 0, -ENOMEM, or -EINVAL if there were errors. */
int vs_config_parse(struct vs_config *config, const char *path, const char *text, size_t len,
		    struct vs_complaints *complaints) VS_MUST_CHECK;

/* Opens, reads and parses a file. A file that cannot be read is complained about, too. Returns as the above, or the
 * error of opening or reading. *open_to_others (may be NULL): whether group or others may read the file. */
int vs_config_load(struct vs_config *config, const char *path, const struct vs_opener *opener, bool *open_to_others,
		   struct vs_complaints *complaints) VS_MUST_CHECK;

/* Wipes (there may be keys in it) and frees. */
void vs_config_fini(struct vs_config *config);

/* Joins a path of the file to its directory, unless it is absolute. 0 or -ENAMETOOLONG. */
int vs_config_resolve(const struct vs_config *config, const char *path, char *out, size_t size) VS_MUST_CHECK;

/* Whether group or others may read an open file. */
bool vs_config_open_to_others(int fd);

#endif
