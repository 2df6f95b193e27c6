/* The parts of the schema that the server and the client have in common: log, private key, TAP device; and reading a
 * whole configuration file by a schema. */
#ifndef VS_IO_SCHEMA_COMMON_H
#define VS_IO_SCHEMA_COMMON_H

#include <stdint.h>

#include "io/logsink.h"
#include "io/schema.h"
#include "io/tap_config.h"
#include "link/wire.h"

#define VS_MTU_DEFAULT 1500
#define VS_MTU_MIN 576
#define VS_MTU_MAX 9000

struct vs_identity_config {
	uint8_t private_key[VS_KEY_SIZE];
	char private_key_file[VS_CONFIG_PATH_MAX];
};

/* Values of `weakest_cipher`, enum vs_protection. */
extern const struct vs_schema_choice vs_protection_choices[];

/* Keys of struct vs_log_config, struct vs_identity_config and struct vs_tap_config. */
enum { VS_LOG_KEYS = 5, VS_IDENTITY_KEYS = 2, VS_TAP_KEYS = 9 };
extern const struct vs_schema_key vs_log_keys[VS_LOG_KEYS];
extern const struct vs_schema_key vs_identity_keys[VS_IDENTITY_KEYS];
extern const struct vs_schema_key vs_tap_keys[VS_TAP_KEYS];

/* Reads the file at `path`, or a text that stands for it, into the zeroed `target`. Warns of a file with secrets that
 * others may read. 0, -EINVAL or another -errno; what is wrong is in `complaints` in any case. */
int vs_schema_load(const struct vs_schema *schema, const char *path, const struct vs_opener *opener, void *target,
		   struct vs_complaints *complaints) VS_MUST_CHECK;
int vs_schema_load_text(const struct vs_schema *schema, const char *path, const char *text, size_t len, void *target,
			struct vs_complaints *complaints) VS_MUST_CHECK;

/* Reads private_key_file, where it is set, into private_key. Complains where there is no key in the end, and says how
 * to make one with `program`; and of a file that others may read. */
void vs_identity_load(struct vs_identity_config *identity, const char *program, const struct vs_opener *opener,
		      struct vs_complaints *complaints);

/* Complains where log_way = file lacks log_file. */
void vs_log_config_check(const struct vs_log_config *log, struct vs_complaints *complaints);

#endif
