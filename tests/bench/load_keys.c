#include "bench/load_keys.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "bench/load_client.h"
#include "io/key.h"

/* The most that a port's max_clients may be. */
#define SHARED_MAX 256

/* --- Writing ------------------------------------------------------------------------------------------------------ */

struct files {
	FILE *ini, *keys;
};

static FILE *create(const char *directory, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	mode_t before = umask(077);
	FILE *file = fopen(path, "we");
	umask(before);
	if (!file)
		vs_error("%s: %s", path, strerror(errno));
	return file;
}

/* A key pair, as text. */
static int make_pair(char private_text[VS_KEY_TEXT_SIZE], char public_text[VS_KEY_TEXT_SIZE])
{
	uint8_t private_key[VS_KEY_SIZE], public_key[VS_KEY_SIZE];
	int err = vs_key_generate(private_key);
	if (err == 0)
		err = vs_key_public(public_key, private_key);
	if (err < 0) {
		vs_error("new key: %s", strerror(-err));
		return err;
	}
	vs_key_format(private_key, private_text);
	vs_key_format(public_key, public_text);
	return 0;
}

static int write_server(const struct files *files, const char *directory, unsigned port)
{
	char private_text[VS_KEY_TEXT_SIZE], public_text[VS_KEY_TEXT_SIZE];
	int err = make_pair(private_text, public_text);
	if (err < 0)
		return err;
	fprintf(files->ini, "[common]\nprivate_key = %s\nbind_addr = 127.0.0.1\nbind_port = %u\n", private_text, port);
	fprintf(files->ini, "control = %s/server.sock\nlog_level = warn\n", directory);
	fprintf(files->keys, "server %s\n", public_text);
	return 0;
}

/* A port whose key so many clients share. */
static int write_port(const struct files *files, unsigned no, unsigned clients)
{
	char private_text[VS_KEY_TEXT_SIZE], public_text[VS_KEY_TEXT_SIZE];
	int err = make_pair(private_text, public_text);
	if (err < 0)
		return err;
	fprintf(files->ini, "[port load%u]\npublic_key = %s\nmax_clients = %u\n", no, public_text, clients);
	for (unsigned i = 0; i < clients; i++)
		fprintf(files->keys, "client %s\n", private_text);
	return 0;
}

static int write_all(const struct files *files, const char *directory, unsigned clients, unsigned port, bool shared)
{
	unsigned each = shared ? SHARED_MAX : 1;
	int err = write_server(files, directory, port);
	for (unsigned i = 0; i < clients && err == 0; i += each)
		err = write_port(files, i, VS_MIN(each, clients - i));
	return err;
}

static int finish(FILE *file, const char *name)
{
	bool failed = file && ferror(file);
	if (file && fclose(file) != 0)
		failed = true;
	if (failed)
		vs_error("%s: cannot be written", name);
	return failed ? -EIO : 0;
}

int load_keys_make(const char *directory, unsigned clients, unsigned port, bool shared)
{
	struct files files = { .ini = create(directory, "vswitchs.ini") };
	int err = -EIO;
	if (files.ini && (files.keys = create(directory, "loadgen.keys")))
		err = write_all(&files, directory, clients, port, shared);
	int ini_err = finish(files.ini, "vswitchs.ini"), keys_err = finish(files.keys, "loadgen.keys");
	return err < 0 ? err : ini_err < 0 ? ini_err : keys_err;
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

static bool read_line(struct load_keys *keys, char *line)
{
	char *save, *word = strtok_r(line, " \n", &save), *text = strtok_r(NULL, " \n", &save);
	if (!word || !text)
		return false;
	if (strcmp(word, "server") == 0)
		return vs_key_parse(text, keys->server) == 0;
	if (strcmp(word, "client") != 0 || keys->n == LOAD_CLIENTS_MAX)
		return false;
	return vs_key_parse(text, keys->clients[keys->n++]) == 0;
}

int load_keys_read(struct load_keys *keys, const char *path)
{
	char line[128];
	unsigned number = 0;
	bool good = true;
	*keys = (struct load_keys){ .clients = calloc(LOAD_CLIENTS_MAX, VS_KEY_SIZE) };
	FILE *file = keys->clients ? fopen(path, "re") : NULL;
	if (!file) {
		int err = keys->clients ? -errno : -ENOMEM;
		vs_error("%s: %s", path, strerror(-err));
		load_keys_fini(keys);
		return err;
	}
	while (good && fgets(line, sizeof(line), file)) {
		number++;
		good = read_line(keys, line);
	}
	fclose(file);
	if (good && keys->n)
		return 0;
	vs_error("%s:%u: expected 'server KEY' and then 'client KEY' for each of at most %u clients", path, number,
		 LOAD_CLIENTS_MAX);
	load_keys_fini(keys);
	return -EINVAL;
}

void load_keys_fini(struct load_keys *keys)
{
	if (keys->clients)
		vs_wipe(keys->clients, (size_t)LOAD_CLIENTS_MAX * VS_KEY_SIZE);
	free(keys->clients);
	keys->clients = NULL;
}
