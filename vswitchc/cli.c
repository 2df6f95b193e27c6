#include "vswitchc/cli.h"

#include <stdio.h>

#include "io/cli_verbs.h"
#include "vswitchc/client.h"
#include "vswitchc/schema.h"

static const struct vs_column status_fields[] = {
	{ "version", "version", VS_CELL_TEXT },     { "running for", "uptime_sec", VS_CELL_AGE },
	{ "state", "state", VS_CELL_TEXT },         { "since", "since_sec", VS_CELL_AGE },
	{ "server", "server", VS_CELL_TEXT },       { "address", "address", VS_CELL_TEXT },
	{ "carrier", "carrier", VS_CELL_TEXT },
	{ "device", "device", VS_CELL_TEXT },       { "MAC", "mac", VS_CELL_TEXT },
	{ "public key", "public_key", VS_CELL_TEXT }, { "round trip", "rtt_usec", VS_CELL_USEC },
	{ "loss", "loss", VS_CELL_SHARE },          { "received", "rx_bytes", VS_CELL_BYTES },
	{ "sent", "tx_bytes", VS_CELL_BYTES },      { "cipher", "cipher", VS_CELL_TEXT },
	{ "mode", "mode", VS_CELL_TEXT },           { "FEC", "fec", VS_CELL_TEXT },
	{ "regained by FEC", "fec_recovered", VS_CELL_COUNT },
	{ "datagram", "datagram", VS_CELL_COUNT },  { "last error", "last_error", VS_CELL_TEXT },
	{ "dropped", "drops", VS_CELL_TALLY },
};

static const char *ini_of(const struct vs_cli_args *args)
{
	return args->value['c'] ? args->value['c'] : VS_CLIENT_INI;
}

int vs_verb_run(const struct vs_cli_args *args)
{
	struct vs_client_options options = { .config_path = ini_of(args) };

	return vs_client_run(&options);
}

int vs_verb_check(const struct vs_cli_args *args)
{
	struct vs_client_config config;
	struct vs_complaints complaints;
	char server[VS_ENDPOINT_TEXT_MAX];

	vs_complaints_init(&complaints, ini_of(args));
	int err = vs_client_config_load(&config, ini_of(args), &vs_opener_direct, &complaints);
	vs_complaints_print(&complaints, stderr);
	if (err == 0)
		printf("%s: ok: device %s, server %s%s\n", ini_of(args), config.tap.device,
		       vs_endpoint_format(&config.server_addr.item[0], 0, server),
		       config.server_addr.n > 1 ? " and others" : "");
	vs_client_config_fini(&config);
	return err == 0 ? 0 : VS_EXIT_FAILURE;
}

int vs_verb_keygen(const struct vs_cli_args *args)
{
	return vs_cli_keygen(args->program, args->value['P']);
}

/* The socket is named after the file, so that it is found even if the file has an error by now or may not be read. */
int vs_verb_status(const struct vs_cli_args *args)
{
	static const struct vs_cli_view view = { NULL, status_fields, VS_ARRAY_SIZE(status_fields), NULL };
	struct vs_client_config config;
	struct vs_complaints complaints;

	vs_complaints_init(&complaints, ini_of(args));
	int err = vs_client_config_load(&config, ini_of(args), &vs_opener_direct, &complaints);
	(void)err;
	const char *socket = args->value['s'] ? args->value['s'] : config.control;
	int code = vs_cli_show(args->program, socket, "status", &view, args->value['j']);
	vs_client_config_fini(&config);
	return code;
}

int vs_verb_config_help(const struct vs_cli_args *args)
{
	(void)args;
	return vs_cli_config_help(&vs_client_schema);
}
