/* What a configuration file may say: tables of sections and keys, from which the parser, its complaints and the
 * reference documentation come. A program writes its tables once (vswitchs/schema.c, vswitchc/schema.c); the parts
 * that both have in common are in io/schema_common.h.
 *
 * A key is stored into a plain structure, at an offset, in the form that its type says (below). Structures hold no
 * pointers, so they are copied by assignment and two of them are compared key by key (vs_schema_diff). All-zero
 * storage means "not set" for every type.
 *
 * A section is [kind] or [kind NAME]. Where a kind has both forms, [kind] sets the defaults of all [kind NAME],
 * wherever it stands in the file. */
#ifndef VS_IO_SCHEMA_H
#define VS_IO_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"
#include "io/complaints.h"
#include "io/config.h"

enum vs_schema_type {
	VS_VALUE_BOOL,      /* bool */
	VS_VALUE_INT,       /* uint32_t, min to max */
	VS_VALUE_DURATION,  /* uint64_t of microseconds, min to max, or 0 with VS_SCHEMA_OR_ZERO */
	VS_VALUE_SIZE,      /* uint64_t of bytes, min to max */
	VS_VALUE_TEXT,      /* char[], NUL-terminated */
	VS_VALUE_PATH,      /* char[]; made absolute from the file's directory */
	VS_VALUE_IFNAME,    /* char[VS_IFNAME_MAX + 1] */
	VS_VALUE_ENUM,      /* int, one of the choices */
	VS_VALUE_SET,       /* uint32_t, the choices' values or-ed */
	VS_VALUE_FEC,       /* struct vs_fec_value */
	VS_VALUE_KEY,       /* uint8_t[VS_KEY_SIZE] */
	VS_VALUE_MAC,       /* struct vs_mac, of one station */
	VS_VALUE_ENDPOINT,  /* struct vs_endpoint */
	VS_VALUE_VLANS,     /* struct vs_vlan_set */
	VS_VALUE_ADDRS,     /* struct vs_addr_list */
	VS_VALUE_CIDRS,     /* struct vs_cidr_list */
	VS_VALUE_ROUTES,    /* struct vs_route_list */
	VS_VALUE_ENDPOINTS, /* struct vs_endpoint_list */
};

enum {
	VS_SCHEMA_REQUIRED = 1,
	VS_SCHEMA_SECRET = 2,  /* its value is never shown */
	VS_SCHEMA_OR_ZERO = 4, /* 0 is taken besides min to max */
	VS_SCHEMA_OWN = 8,     /* of [kind NAME] only: cannot have a default for all */
};

/* The last has a NULL name. */
struct vs_schema_choice {
	const char *name;
	int value;
};

/* What a choice stands for: values of other keys of the section, which count where the section does not set those keys
 * itself, wherever it does. The last setting has a NULL key, and the last bundle a NULL choice. */
struct vs_schema_setting {
	const char *key, *value;
};

#define VS_SCHEMA_SETTINGS_MAX 12

struct vs_schema_bundle {
	const char *choice;
	struct vs_schema_setting settings[VS_SCHEMA_SETTINGS_MAX]; /* the same keys in all bundles of a key */
};

struct vs_schema_key {
	const char *name;
	enum vs_schema_type type;
	unsigned flags;
	uint64_t min, max;
	const char *noun;     /* what an integer is, for "expected a port, 1 to 65535"; NULL: "a number" */
	const char *fallback; /* the default, as it would stand in the file; NULL: not set */
	const char *help;     /* one or two sentences of Markdown */
	const struct vs_schema_choice *choices;
	const struct vs_schema_bundle *bundles; /* of an enum; NULL: none */
	const char *excludes; /* a key that cannot stand in the same section */
	size_t offset, size;  /* of the storage in the group's structure */
};

/* The last two members of a row. */
#define VS_SCHEMA_AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)

/* Keys whose storage lies in one structure, `offset` bytes into the section's. */
struct vs_schema_group {
	const struct vs_schema_key *keys;
	size_t n;
	size_t offset;
};

#define VS_SCHEMA_GROUPS_MAX 4
#define VS_SCHEMA_KEYS_MAX 48 /* of all groups of a section */

enum vs_schema_naming {
	VS_SECTION_PLAIN,    /* [kind] */
	VS_SECTION_NAMED,    /* [kind NAME] */
	VS_SECTION_DEFAULTS, /* both: [kind] sets the defaults of [kind NAME] */
};

struct vs_schema_section {
	const char *kind;
	enum vs_schema_naming naming;
	const char *help;
	struct vs_schema_group groups[VS_SCHEMA_GROUPS_MAX]; /* unused ones have n = 0 */
	/* The storage of [kind] (name NULL) or of a new [kind NAME], zeroed, or (VS_SECTION_DEFAULTS) a copy of the
	 * defaults. NULL: no room; the maximum is `max`. */
	void *(*open)(void *config, const char *name, unsigned line);
	unsigned max;
};

struct vs_schema {
	const char *program; /* "vswitchs" */
	const struct vs_schema_section *sections;
	size_t n;
};

/* Fills the program's structure `target` (zeroed) from a parsed file; defaults first. 0, or -EINVAL if there were
 * complaints that are errors, also earlier ones. */
int vs_schema_apply(const struct vs_schema *schema, const struct vs_config *config, void *target,
		    struct vs_complaints *complaints) VS_MUST_CHECK;

/* Whether the file itself holds a secret (a private or pre-shared key). */
bool vs_schema_has_secret(const struct vs_schema *schema, const struct vs_config *config);

/* Which keys of a group are stored differently in a and b: bit i for the i-th key. The group has at most 64 keys. */
uint64_t vs_schema_diff(const struct vs_schema_group *group, const void *a, const void *b);

/* Writes the reference of all sections and keys as Markdown (io/schema_doc.c). */
void vs_schema_document(const struct vs_schema *schema, FILE *out);

#endif
