/* Runs a fuzz target over files: what libFuzzer's own main() does with a corpus, without libFuzzer, so that corpora and
 * old crash inputs are replayed in every ordinary run, with any compiler.
 *
 *   fuzz_NAME FILE|DIRECTORY...
 *
 * Files of a directory are taken in the order of their names; directories in it are not entered. The input is an exact
 * copy on the heap, so that AddressSanitizer sees a read beyond its end. A target that finds something aborts; the
 * input's name is then the last line. An empty corpus is an error: it would be a test that tests nothing. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

#define PATH_SIZE 4096
#define INPUT_MAX (16l << 20)

static unsigned inputs;

static void die(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(2);
}

static uint8_t *read_file(const char *path, size_t *size)
{
	struct stat st;
	FILE *file = fopen(path, "rb");
	if (!file || fstat(fileno(file), &st) < 0)
		die(path);
	if (st.st_size > INPUT_MAX) {
		errno = EFBIG;
		die(path);
	}
	*size = (size_t)st.st_size;
	/* malloc(0) may be NULL, which a target need not expect. */
	uint8_t *data = malloc(*size ? *size : 1);
	if (!data || fread(data, 1, *size, file) != *size)
		die(path);
	fclose(file);
	return data;
}

static void replay_file(const char *path)
{
	size_t size;
	uint8_t *data = read_file(path, &size);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	inputs++;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void replay_directory(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, is_visible, alphasort);
	if (n < 0)
		die(path);
	for (int i = 0; i < n; i++) {
		char name[PATH_SIZE];
		struct stat st;
		int len = snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		free(entries[i]);
		if (len < 0 || (size_t)len >= sizeof(name)) {
			errno = ENAMETOOLONG;
			die(path);
		}
		if (stat(name, &st) < 0)
			die(name);
		if (!S_ISDIR(st.st_mode))
			replay_file(name);
	}
	free(entries);
}

static void replay(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		die(path);
	if (S_ISDIR(st.st_mode))
		replay_directory(path);
	else
		replay_file(path);
}

int main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (!inputs) {
		fprintf(stderr, "usage: %s FILE|DIRECTORY...\n", argv[0]);
		return 2;
	}
	printf("%u inputs\n", inputs);
	return 0;
}
