#include "io/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

/* The state of one pass over a file. inih pulls lines through read_line() and hands each entry to take_entry() before
 * it asks for the next line, so `line` is always the one that is being spoken of. */
struct reader {
	struct vs_config *config;
	struct vs_complaints *complaints;
	const char *at, *end;
	unsigned line;
	bool awaiting_entry; /* inih was given a line that is to come back as an entry */
	size_t strings_used;
	bool out_of_memory;
};

static int open_direct(void *arg, const char *path)
{
	(void)arg;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

const struct vs_opener vs_opener_direct = { .open = open_direct };

bool vs_config_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > VS_CONFIG_NAME_MAX)
		return false;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return false;
	return true;
}

/* A copy in the file's string store, which is as large as its text: strings never take more than their line. */
static const char *keep(struct reader *r, const char *text, size_t len)
{
	char *copy = r->config->strings + r->strings_used;

	if (r->strings_used + len + 1 > r->config->strings_size) {
		r->out_of_memory = true;
		return "";
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	r->strings_used += len + 1;
	return copy;
}

/* Makes room for one more element of an array that grows by doubling. */
static void *grow(struct reader *r, void *array, size_t n, size_t size)
{
	if (n & (n - 1) || (n > 0 && n < 16))
		return array;
	void *larger = reallocarray(array, n ? 2 * n : 16, size);
	if (!larger)
		r->out_of_memory = true;
	return larger;
}

static void add_section(struct reader *r, const char *kind, const char *name)
{
	struct vs_config *config = r->config;

	if (config->n_sections == VS_CONFIG_SECTIONS_MAX) {
		vs_complain(r->complaints, r->line, "too many sections: at most %d", VS_CONFIG_SECTIONS_MAX);
		r->at = r->end;
		return;
	}
	void *larger = grow(r, config->sections, config->n_sections, sizeof(*config->sections));
	if (!larger)
		return;
	config->sections = larger;
	config->sections[config->n_sections++] = (struct vs_config_section){
		.kind = kind, .name = name, .line = r->line, .first = config->n_entries,
	};
}

static bool is_comment(const char *p)
{
	return *p == ';' || *p == '#';
}

/* Cuts the blanks off both ends of a NUL-terminated text, in place. */
static char *trim(char *text)
{
	size_t len = strlen(text);

	while (len && isblank((unsigned char)text[len - 1]))
		text[--len] = '\0';
	while (isblank((unsigned char)*text))
		text++;
	return text;
}

/* Copies what stands between the brackets; false: that is not all there is on the line. */
static bool copy_header(const char *line, size_t len, char *out, size_t size)
{
	const char *close = memchr(line, ']', len);

	if (!close || (size_t)(close - line) > size)
		return false;
	const char *rest = close + 1;
	while (rest < line + len && isblank((unsigned char)*rest))
		rest++;
	memcpy(out, line + 1, (size_t)(close - line - 1));
	out[close - line - 1] = '\0';
	return rest == line + len || is_comment(rest);
}

/* inih tells of a section only with its first key, but one without keys counts here: [tap lan] is a whole TAP. */
static void take_section(struct reader *r, const char *line, size_t len)
{
	char text[256], *name = NULL;

	char *kind = copy_header(line, len, text, sizeof(text)) ? trim(text) : NULL;
	if (!kind || !*kind) {
		vs_complain(r->complaints, r->line, "expected [section] or [section NAME]");
		add_section(r, "", NULL);
		return;
	}
	char *blank = strpbrk(kind, " \t");
	if (blank) {
		*blank = '\0';
		name = trim(blank + 1);
	}
	add_section(r, keep(r, kind, strlen(kind)), name ? keep(r, name, strlen(name)) : NULL);
}

/* What no key looks like: two words, or a secret that ends with '='. It must not be shown. */
static bool is_no_key(const char *key)
{
	return strlen(key) > VS_CONFIG_KEY_MAX || strpbrk(key, " \t");
}

static int take_entry(void *arg, const char *section, const char *key, const char *value)
{
	struct reader *r = arg;
	struct vs_config *config = r->config;

	(void)section;
	r->awaiting_entry = false;
	if (!*key) {
		vs_complain(r->complaints, r->line, "expected a key before '=' or ':'");
		return 1;
	}
	if (is_no_key(key)) {
		vs_complain(r->complaints, r->line, "expected 'key = value' or '[section]'");
		return 1;
	}
	if (config->n_sections == 0) {
		vs_complain(r->complaints, r->line, "key '%s' stands before the first section", key);
		return 1;
	}
	if (config->n_entries == VS_CONFIG_ENTRIES_MAX) {
		vs_complain(r->complaints, r->line, "too many keys: at most %d", VS_CONFIG_ENTRIES_MAX);
		r->at = r->end;
		return 1;
	}
	void *larger = grow(r, config->entries, config->n_entries, sizeof(*config->entries));
	if (!larger)
		return 1;
	config->entries = larger;
	config->entries[config->n_entries++] = (struct vs_config_entry){
		.key = keep(r, key, strlen(key)), .value = keep(r, value, strlen(value)), .line = r->line,
	};
	config->sections[config->n_sections - 1].n++;
	return 1;
}

static bool has_control_character(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (iscntrl((unsigned char)line[i]) && line[i] != '\t')
			return true;
	return false;
}

/* Complains of a line that inih did not take for an entry. */
static void settle(struct reader *r)
{
	if (r->awaiting_entry)
		vs_complain(r->complaints, r->line, "expected 'key = value' or '[section]'");
	r->awaiting_entry = false;
}

/* The next line without the blanks around it; false at the end. */
static bool next_line(struct reader *r, const char **line, size_t *len)
{
	if (r->at == r->end || r->out_of_memory)
		return false;
	const char *start = r->at, *newline = memchr(start, '\n', (size_t)(r->end - start));
	const char *end = newline ? newline : r->end;
	r->at = newline ? newline + 1 : r->end;
	r->line++;
	while (end > start && (isblank((unsigned char)end[-1]) || end[-1] == '\r'))
		end--;
	while (start < end && isblank((unsigned char)*start))
		start++;
	*line = start;
	*len = (size_t)(end - start);
	return true;
}

/* inih's reader, with the contract of fgets(). Lines that are not entries reach inih as blank ones. */
static char *read_line(char *buf, int size, void *arg)
{
	struct reader *r = arg;
	const char *line;
	size_t len;

	settle(r);
	if (!next_line(r, &line, &len))
		return NULL;
	strcpy(buf, "\n");
	if (len == 0 || is_comment(line))
		return buf;
	if (has_control_character(line, len)) {
		vs_complain(r->complaints, r->line, "a control character or NUL byte; is this a text file?");
	} else if (len + 2 > (size_t)size) {
		vs_complain(r->complaints, r->line,
			    "line of %zu characters; at most %d (a list may go on several lines, "
			    "each with its key)",
			    len, size - 2);
	} else if (*line == '[') {
		take_section(r, line, len);
	} else {
		memcpy(buf, line, len);
		strcpy(buf + len, "\n");
		r->awaiting_entry = true;
	}
	return buf;
}

static int set_dir(struct vs_config *config, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (path[0] == '/')
		return (size_t)snprintf(config->dir, sizeof(config->dir), "%.*s", (int)len, path) < sizeof(config->dir)
		       ? 0 : -ENAMETOOLONG;
	if (!getcwd(config->dir, sizeof(config->dir)))
		return -errno;
	size_t used = strlen(config->dir), room = sizeof(config->dir) - used;
	if (!slash)
		return 0;
	return (size_t)snprintf(config->dir + used, room, "/%.*s", (int)len, path) < room ? 0 : -ENAMETOOLONG;
}

static int parse_lines(struct reader *r)
{
	static const char bom[] = "\xef\xbb\xbf";

	if (r->end - r->at >= 3 && memcmp(r->at, bom, 3) == 0)
		r->at += 3;
	int err = ini_parse_stream(read_line, r, take_entry, r);
	settle(r);
	return r->out_of_memory || err == -2 ? -ENOMEM : 0;
}

int vs_config_parse(struct vs_config *config, const char *path, const char *text, size_t len,
		    struct vs_complaints *complaints)
{
	struct reader r = { .config = config, .complaints = complaints, .at = text, .end = text + len };

	memset(config, 0, sizeof(*config));
	int err = set_dir(config, path);
	if (err < 0) {
		vs_complain(complaints, 0, "cannot tell the file's directory: %s", strerror(-err));
		return err;
	}
	/* Two bytes more for a last line without its newline. */
	config->strings_size = len + 2;
	config->strings = malloc(config->strings_size);
	err = config->strings ? parse_lines(&r) : -ENOMEM;
	if (err < 0)
		vs_complain(complaints, 0, "%s", strerror(-err));
	return err < 0 ? err : complaints->errors ? -EINVAL : 0;
}

int vs_config_slurp(int fd, char **text, size_t *len)
{
	size_t size = 0, used = 0;
	char *buf = NULL;
	ssize_t n;

	do {
		if (size - used < 2) {
			size_t larger = size ? 2 * size : 8192;
			char *copy = malloc(larger);
			if (copy && used)
				memcpy(copy, buf, used);
			if (buf)
				vs_wipe(buf, used);
			free(buf);
			if (!copy)
				return -ENOMEM;
			buf = copy;
			size = larger;
		}
		n = read(fd, buf + used, size - used - 1);
		used += n > 0 ? (size_t)n : 0;
	} while ((n > 0 || (n < 0 && errno == EINTR)) && used <= VS_CONFIG_FILE_MAX);
	if (n < 0 || used > VS_CONFIG_FILE_MAX) {
		int err = n < 0 ? -errno : -EFBIG;
		vs_wipe(buf, used);
		free(buf);
		return err;
	}
	buf[used] = '\0';
	*text = buf;
	*len = used;
	return 0;
}

bool vs_config_open_to_others(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_mode & (S_IRGRP | S_IROTH);
}

int vs_config_load(struct vs_config *config, const char *path, const struct vs_opener *opener, bool *open_to_others,
		   struct vs_complaints *complaints)
{
	char *text = NULL;
	size_t len = 0;

	memset(config, 0, sizeof(*config));
	int fd = opener->open(opener->arg, path);
	int err = fd < 0 ? fd : vs_config_slurp(fd, &text, &len);
	if (fd >= 0) {
		if (open_to_others)
			*open_to_others = vs_config_open_to_others(fd);
		close(fd);
	}
	if (err < 0) {
		vs_complain(complaints, 0, "%s", strerror(-err));
		return err;
	}
	err = vs_config_parse(config, path, text, len, complaints);
	vs_wipe(text, len);
	free(text);
	return err;
}

void vs_config_fini(struct vs_config *config)
{
	if (config->strings)
		vs_wipe(config->strings, config->strings_size);
	free(config->strings);
	free(config->sections);
	free(config->entries);
	memset(config, 0, sizeof(*config));
}

int vs_config_resolve(const struct vs_config *config, const char *path, char *out, size_t size)
{
	int n = path[0] == '/' ? snprintf(out, size, "%s", path) : snprintf(out, size, "%s/%s", config->dir, path);

	return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}
