#include "io/cli_verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/cli.h"
#include "io/control.h"
#include "io/key.h"
#include "link/crypto.h"

static int print_public(const char *program)
{
	uint8_t private_key[VS_KEY_SIZE], public_key[VS_KEY_SIZE];
	char text[VS_KEY_TEXT_SIZE];

	int err = vs_key_read(STDIN_FILENO, private_key);
	if (err == 0)
		err = vs_key_public(public_key, private_key);
	vs_wipe(private_key, sizeof(private_key));
	if (err < 0) {
		fprintf(stderr, "%s: standard input: expected a private key, 44 characters of base64\n", program);
		return VS_EXIT_FAILURE;
	}
	printf("%s\n", vs_key_format(public_key, text));
	return 0;
}

static int print_pair(const char *program)
{
	uint8_t private_key[VS_KEY_SIZE], public_key[VS_KEY_SIZE];
	char text[VS_KEY_TEXT_SIZE];

	int err = vs_key_generate(private_key);
	if (err == 0)
		err = vs_key_public(public_key, private_key);
	if (err < 0) {
		fprintf(stderr, "%s: cannot make a key: %s\n", program, strerror(-err));
		return VS_EXIT_FAILURE;
	}
	printf("private_key = %s\n", vs_key_format(private_key, text));
	vs_wipe(private_key, sizeof(private_key));
	vs_wipe(text, sizeof(text));
	printf("; public_key = %s\n", vs_key_format(public_key, text));
	return 0;
}

int vs_cli_keygen(const char *program, bool public_only)
{
	return public_only ? print_public(program) : print_pair(program);
}

int vs_cli_config_help(const struct vs_schema *schema)
{
	vs_schema_document(schema, stdout);
	return 0;
}

json_t *vs_cli_ask(const char *program, const char *socket, json_t *request)
{
	char error[VS_CONTROL_ERROR_SIZE];
	json_t *reply = NULL;

	if (!request) {
		fprintf(stderr, "%s: out of memory\n", program);
		return NULL;
	}
	int err = vs_control_call(socket, request, &reply, error);
	json_decref(request);
	if (err == 0)
		return reply;
	fprintf(stderr, "%s: %s\n", program, error);
	return NULL;
}

static void show(const struct vs_cli_view *view, const json_t *reply)
{
	if (!view->rows)
		vs_fields_print(stdout, view->columns, view->n, reply);
	else if (json_array_size(json_object_get(reply, view->rows)) == 0)
		printf("%s\n", view->none);
	else
		vs_table_print(stdout, view->columns, view->n, json_object_get(reply, view->rows));
}

int vs_cli_show(const char *program, const char *socket, const char *verb, const struct vs_cli_view *view, bool as_json)
{
	json_t *reply = vs_cli_ask(program, socket, json_pack("{s:s}", "verb", verb));

	if (!reply)
		return VS_EXIT_FAILURE;
	if (as_json) {
		json_dumpf(reply, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		show(view, reply);
	}
	json_decref(reply);
	return 0;
}
