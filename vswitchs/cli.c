#include "vswitchs/cli.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "io/cli_verbs.h"
#include "vswitchs/invite.h"
#include "vswitchs/schema.h"
#include "vswitchs/server.h"

static const struct vs_column status_fields[] = {
	{ "version", "version", VS_CELL_TEXT },      { "running for", "uptime_sec", VS_CELL_AGE },
	{ "listening on", "listen", VS_CELL_TEXT },  { "fake TCP port", "faketcp_port", VS_CELL_TEXT },
	{ "TCP port", "tcp_port", VS_CELL_TEXT },    { "public key", "public_key", VS_CELL_TEXT },
	{ "ports up", "ports_up", VS_CELL_COUNT },   { "ports", "ports_total", VS_CELL_COUNT },
	{ "MACs", "macs", VS_CELL_COUNT },           { "MACs at most", "macs_max", VS_CELL_COUNT },
	{ "buffers", "pool_bytes", VS_CELL_BYTES },  { "dropped", "drops", VS_CELL_TALLY },
};

static const struct vs_column port_columns[] = {
	{ "PORT", "name", VS_CELL_TEXT },       { "STATE", "state", VS_CELL_TEXT },
	{ "KIND", "kind", VS_CELL_TEXT },       { "SINCE", "since_sec", VS_CELL_AGE },
	{ "ADDRESS", "address", VS_CELL_TEXT }, { "RTT", "rtt_usec", VS_CELL_USEC },
	{ "LOSS", "loss", VS_CELL_SHARE },      { "RECEIVED", "rx_bytes", VS_CELL_BYTES },
	{ "SENT", "tx_bytes", VS_CELL_BYTES },  { "DROPS", "drops", VS_CELL_SUM },
	{ "MACS", "macs", VS_CELL_COUNT },      { "DATAGRAM", "datagram", VS_CELL_COUNT },
	{ "VLAN", "vlan", VS_CELL_TEXT },       { "CIPHER", "cipher", VS_CELL_TEXT },
	{ "MODE", "mode", VS_CELL_TEXT },       { "FEC", "fec", VS_CELL_TEXT },
	{ "CARRIER", "carrier", VS_CELL_TEXT },
};

static const struct vs_column mac_columns[] = {
	{ "MAC", "mac", VS_CELL_TEXT },
	{ "VLAN", "vlan", VS_CELL_TEXT },
	{ "PORT", "port", VS_CELL_TEXT },
	{ "AGE", "age_sec", VS_CELL_AGE },
};

static const char *ini_of(const struct vs_cli_args *args)
{
	return args->value['c'] ? args->value['c'] : VS_SERVER_INI;
}

/* Where the running server listens, as far as its file can be read: one that is broken by now, or that only root may
 * read, must not keep anybody from asking for the status. */
static const char *socket_of(const struct vs_cli_args *args, struct vs_server_config *config)
{
	struct vs_complaints complaints;
	const char *socket = args->value['s'];

	vs_complaints_init(&complaints, ini_of(args));
	int err = vs_server_config_load(config, ini_of(args), &vs_opener_direct, &complaints);
	(void)err;
	if (socket)
		snprintf(config->control, sizeof(config->control), "%s", socket);
	else if (!config->control[0])
		strcpy(config->control, VS_SERVER_SOCKET);
	return config->control;
}

static int show(const struct vs_cli_args *args, const char *verb, const struct vs_cli_view *view)
{
	struct vs_server_config config;

	int code = vs_cli_show(args->program, socket_of(args, &config), verb, view, args->value['j']);
	vs_server_config_fini(&config);
	return code;
}

/* Sends a request, which it takes over, to the server. NULL after saying why not. */
static json_t *ask(const struct vs_cli_args *args, json_t *request)
{
	struct vs_server_config config;

	json_t *reply = vs_cli_ask(args->program, socket_of(args, &config), request);
	vs_server_config_fini(&config);
	return reply;
}

int vs_verb_run(const struct vs_cli_args *args)
{
	struct vs_server_options options = { .config_path = ini_of(args) };

	return vs_server_run(&options);
}

int vs_verb_check(const struct vs_cli_args *args)
{
	struct vs_server_config config;
	struct vs_complaints complaints;

	vs_complaints_init(&complaints, ini_of(args));
	int err = vs_server_config_load(&config, ini_of(args), &vs_opener_direct, &complaints);
	vs_complaints_print(&complaints, stderr);
	if (err == 0) {
		printf("%s: ok: %zu port%s, %zu TAP device%s", ini_of(args), config.n_ports,
		       config.n_ports == 1 ? "" : "s", config.n_taps, config.n_taps == 1 ? "" : "s");
		if (config.n_listens)
			printf(", %zu listener%s", config.n_listens, config.n_listens == 1 ? "" : "s");
		printf("\n");
	}
	vs_server_config_fini(&config);
	return err == 0 ? 0 : VS_EXIT_FAILURE;
}

int vs_verb_keygen(const struct vs_cli_args *args)
{
	return vs_cli_keygen(args->program, args->value['P']);
}

/* "alice, bob" of an array of names, after a title; nothing where there are none. */
static void print_names(FILE *out, const char *title, const json_t *names)
{
	char text[VS_CELL_TEXT_MAX];

	if (json_array_size(names) > 0)
		fprintf(out, "%s: %s\n", title, vs_cell_format(VS_CELL_TEXT, names, text));
}

static void print_reloaded(FILE *out, const json_t *reply)
{
	fprintf(out, "reloaded\n");
	print_names(out, "added", json_object_get(reply, "added"));
	print_names(out, "changed", json_object_get(reply, "changed"));
	print_names(out, "removed", json_object_get(reply, "removed"));
	print_names(out, "waiting for a script to end", json_object_get(reply, "pending"));
	print_names(out, "only at the next start", json_object_get(reply, "restart"));
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "?";
}

/* Says what a reload could not do; returns how much that is. */
static size_t print_failed(const char *program, const json_t *reply)
{
	const json_t *failed = json_object_get(reply, "failed"), *each;
	size_t i;

	json_array_foreach(failed, i, each)
		fprintf(stderr, "%s: %s could not be taken up: %s\n", program, text_of(each, "name"),
			text_of(each, "why"));
	return json_array_size(failed);
}

static bool has_failed(const json_t *reply, const char *name)
{
	const json_t *each;
	size_t i;

	json_array_foreach(json_object_get(reply, "failed"), i, each)
		if (strcmp(text_of(each, "name"), name) == 0)
			return true;
	return false;
}

int vs_verb_invite(const struct vs_cli_args *args)
{
	struct vs_invitation invitation = {
		.ini = ini_of(args),
		.name = args->operands[0],
		.address = args->value['a'],
		.preshared_key = args->value['p'],
	};

	if (vs_invite(&invitation, stdout, stderr) < 0)
		return VS_EXIT_FAILURE;
	json_t *reply = ask(args, json_pack("{s:s}", "verb", "reload"));
	print_failed(args->program, reply);
	if (reply && !has_failed(reply, invitation.name))
		fprintf(stderr, "%s: the running server has taken up [port %s]\n", args->program, invitation.name);
	else
		fprintf(stderr, "%s: [port %s] is in %s and counts from the server's next start or reload\n",
			args->program, invitation.name, invitation.ini);
	json_decref(reply);
	return 0;
}

int vs_verb_status(const struct vs_cli_args *args)
{
	static const struct vs_cli_view view = { NULL, status_fields, VS_ARRAY_SIZE(status_fields), NULL };

	return show(args, "status", &view);
}

int vs_verb_ports(const struct vs_cli_args *args)
{
	static const struct vs_cli_view view = {
		"ports", port_columns, VS_ARRAY_SIZE(port_columns), "no ports; 'vswitchs invite NAME' adds one",
	};

	return show(args, "ports", &view);
}

int vs_verb_macs(const struct vs_cli_args *args)
{
	static const struct vs_cli_view view = {"macs", mac_columns, VS_ARRAY_SIZE(mac_columns),
						"no MAC addresses yet"};

	return show(args, "macs", &view);
}

int vs_verb_kick(const struct vs_cli_args *args)
{
	json_t *reply = ask(args, json_pack("{s:s, s:s}", "verb", "kick", "name", args->operands[0]));

	if (!reply)
		return VS_EXIT_FAILURE;
	printf("the link of %s has been ended; it may dial in again (to keep it out, remove its section and reload)\n",
	       args->operands[0]);
	json_decref(reply);
	return 0;
}

int vs_verb_reload(const struct vs_cli_args *args)
{
	json_t *reply = ask(args, json_pack("{s:s}", "verb", "reload"));

	if (!reply)
		return VS_EXIT_FAILURE;
	print_reloaded(stdout, reply);
	size_t failed = print_failed(args->program, reply);
	json_decref(reply);
	return failed == 0 ? 0 : VS_EXIT_FAILURE;
}

int vs_verb_config_help(const struct vs_cli_args *args)
{
	(void)args;
	return vs_cli_config_help(&vs_server_schema);
}
