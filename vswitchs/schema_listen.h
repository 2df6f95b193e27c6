/* The section [listen NAME] of the server's configuration: its keys and its rules. Included by schema.c and
 * schema_listen.c only. */
#ifndef VSWITCHS_SCHEMA_LISTEN_H
#define VSWITCHS_SCHEMA_LISTEN_H

#include "vswitchs/schema.h"

#define VS_LISTEN_KEYS 6

extern const struct vs_schema_key vs_listen_keys[VS_LISTEN_KEYS];

/* As vs_schema_section.open. */
void *vs_listen_open(void *target, const char *name, unsigned line);

/* What a single key does not say. */
void vs_listen_check(const struct vs_server_config *config, struct vs_complaints *complaints);

/* Whether a listener of protocol = tcp takes this port of [common]'s. NULL: none. */
const struct vs_server_listen_config *vs_listen_on_tcp(const struct vs_server_config *config, uint32_t port);

#endif
