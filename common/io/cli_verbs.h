/* The verbs that both programs have, less what differs between them. Each returns an exit code (io/cli.h) and says on
 * standard error what went wrong. */
#ifndef VS_IO_CLI_VERBS_H
#define VS_IO_CLI_VERBS_H

#include <jansson.h>
#include <stdbool.h>

#include "io/schema.h"
#include "io/table.h"

/* Prints a fresh pair of keys as lines for a configuration file; or, with `public_only`, reads a private key from
 * standard input and prints its public key. */
int vs_cli_keygen(const char *program, bool public_only);

int vs_cli_config_help(const struct vs_schema *schema);

/* Sends a request, whose reference it takes over, to a running program's control socket. NULL after saying why not;
 * else the reply, the caller's reference. */
json_t *vs_cli_ask(const char *program, const char *socket, json_t *request);

/* How a reply is shown to people: as fields of the reply itself (rows NULL), or the array `rows` of it as a table. */
struct vs_cli_view {
	const char *rows;
	const struct vs_column *columns;
	size_t n;
	const char *none; /* said where there are no rows */
};

/* Asks for `verb` and shows the reply: by the view, or as JSON. */
int vs_cli_show(const char *program, const char *socket, const char *verb, const struct vs_cli_view *view,
		bool as_json);

#endif
