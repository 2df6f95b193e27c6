/* The keys of a load generator: its own file, and the server's configuration that goes with it. */
#ifndef VS_TEST_BENCH_LOAD_KEYS_H
#define VS_TEST_BENCH_LOAD_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "link/wire.h"

struct load_keys {
	uint8_t server[VS_KEY_SIZE]; /* public */
	uint8_t (*clients)[VS_KEY_SIZE]; /* private */
	unsigned n;
};

/* Writes DIRECTORY/vswitchs.ini, for a server on 127.0.0.1 and `port` with its control socket in the directory, and
 * DIRECTORY/loadgen.keys, with fresh keys: one a client or, if `shared`, one for as many as a port may have. 0, or
 * -errno after saying what has failed. */
int load_keys_make(const char *directory, unsigned clients, unsigned port, bool shared) VS_MUST_CHECK;

/* Reads loadgen.keys. 0, or -errno after saying what is wrong. */
int load_keys_read(struct load_keys *keys, const char *path) VS_MUST_CHECK;
void load_keys_fini(struct load_keys *keys);

#endif
