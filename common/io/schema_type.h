/* The types of io/schema.h: how each is parsed into its storage and what is said of it. */
#ifndef VS_IO_SCHEMA_TYPE_H
#define VS_IO_SCHEMA_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "io/schema.h"
#include "io/value.h"

struct vs_schema_type_ops {
	const char *doc; /* how the reference calls a value of this type */
	size_t size;     /* of the storage; 0: as the row says */
	bool list;       /* elements between commas, parsed one by one */
	/* Parses one value, or adds one element. 0, or -EINVAL and why. */
	int (*parse)(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		     struct vs_why *why);
};

const struct vs_schema_type_ops *vs_schema_type_ops(enum vs_schema_type type);

/* Parses a whole value, a list's included, onto what is stored. The storage is in an undefined state afterwards if
 * it fails. 0 or -EINVAL. */
int vs_schema_parse(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		    struct vs_why *why) VS_MUST_CHECK;

/* "1 to 65535", "100ms to 25s", "auto, aes-256-gcm, chacha20-poly1305"; "" where the type says all. */
const char *vs_schema_range(const struct vs_schema_key *key, char *buf, size_t size);

#endif
