/* loadgen: many clients of one server in one process, without TAP devices, and frames between them. See load_run.h for
 * what a run consists of, and load_client.h for what a client is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bench/load_run.h"
#include "io/cli.h"
#include "io/value.h"

static const struct vs_cli_option options[] = {
	{ 'n', false, "clients", "N", "clients (default: run: as many as there are keys)" },
	{ 'P', false, "port", "N", "UDP port of the server (default: 7000)" },
	{ 'S', false, "shared", NULL, "keys that as many clients share as a port may have, instead of one each" },
	{ 'k', false, "keys", "FILE", "the keys, as init has made them" },
	{ 's', false, "server", "ADDRESS", "the server's numeric address (default: 127.0.0.1)" },
	{ 'j', false, "join-rate", "N", "clients that dial in a second (default: all at once)" },
	{ 'J', false, "join-seconds", "TIME", "give up if not all have joined by then (default: 20s)" },
	{ 'i', false, "idle", "TIME", "with nothing to send, before frames flow (default: 0)" },
	{ 'w', false, "warm", "TIME", "frames flow before they are counted (default: 500ms)" },
	{ 't', false, "seconds", "TIME", "frames flow and are counted (default: 3s)" },
	{ 'p', false, "pairs", "N", "clients 0, 2, ... send to clients 1, 3, ... (default: 1; 0: nobody sends)" },
	{ 'b', false, "broadcast", NULL, "client 0 sends to all, instead" },
	{ 'e', false, "echo", NULL, "each frame is sent back, and what arrives is counted at its sender" },
	{ 'f', false, "flows", "N", "flows of each sender (default: 1)" },
	{ 'm', false, "macs", "N", "MAC addresses of each receiver (default: 1)" },
	{ 'd', false, "drawn", "N", "of these, draw each frame's destination from the first so many (default: from all)" },
	{ 'r', false, "rate", "N", "frames a second of each sender (default: as fast as they go)" },
	{ 'l', false, "size", "BYTES", "of a frame, 60 ... 1514; up to 65549 as super-frames (default: 1514)" },
	{ 'W', false, "watch", "PID", "tell what this process has cost, idle and while frames were counted" },
};

/* --- Values ------------------------------------------------------------------------------------------------------- */

static bool read_number(const struct vs_cli_args *args, char letter, uint64_t min, uint64_t max, unsigned *out)
{
	const char *text = args->value[(unsigned char)letter];
	uint64_t value;
	if (!text)
		return true;
	if (vs_parse_uint(text, min, max, &value) < 0) {
		fprintf(stderr, "loadgen: -%c %s: expected a number from %llu to %llu\n", letter, text,
			(unsigned long long)min, (unsigned long long)max);
		return false;
	}
	*out = (unsigned)value;
	return true;
}

static bool read_time(const struct vs_cli_args *args, char letter, uint64_t *out)
{
	const char *text = args->value[(unsigned char)letter];
	if (!text || (vs_parse_duration(text, out) == 0 && *out <= 3600 * VS_SEC))
		return true;
	fprintf(stderr, "loadgen: -%c %s: expected a time up to 1h, such as 3s or 500ms\n", letter, text);
	return false;
}

static bool read_server(const struct vs_cli_args *args, struct vs_addr *out)
{
	unsigned port = 7000;
	const char *text = args->value['s'] ? args->value['s'] : "127.0.0.1";
	if (!read_number(args, 'P', 1, 65535, &port))
		return false;
	if (vs_addr_parse(text, (uint16_t)port, out) == 0)
		return true;
	fprintf(stderr, "loadgen: '%s' is no numeric address\n", text);
	return false;
}

/* --- Verbs -------------------------------------------------------------------------------------------------------- */

static int verb_init(const struct vs_cli_args *args)
{
	unsigned clients = 100, port = 7000;
	if (!read_number(args, 'n', 1, LOAD_CLIENTS_MAX, &clients) || !read_number(args, 'P', 1, 65535, &port))
		return VS_EXIT_USAGE;
	return load_keys_make(args->operands[0], clients, port, args->value['S']) < 0 ? VS_EXIT_FAILURE : 0;
}

static bool read_options(const struct vs_cli_args *args, unsigned keys, struct load_options *o)
{
	*o = (struct load_options){
		.clients = keys, .join_timeout_usec = 20 * VS_SEC, .warm_usec = 500 * VS_MSEC,
		.seconds_usec = 3 * VS_SEC, .pairs = 1, .flows = 1, .macs = 1, .drawn = LOAD_MACS_MAX,
		.size = LOAD_FRAME_PLAIN_MAX,
		.broadcast = args->value['b'] != NULL, .echo = args->value['e'] != NULL,
	};
	unsigned watch = 0;
	bool good = read_server(args, &o->server) && read_number(args, 'n', 1, keys, &o->clients) &&
		    read_number(args, 'j', 1, 1000000, &o->join_rate) && read_time(args, 'J', &o->join_timeout_usec) &&
		    read_time(args, 'i', &o->idle_usec) && read_time(args, 'w', &o->warm_usec) &&
		    read_time(args, 't', &o->seconds_usec) && read_number(args, 'p', 0, keys / 2, &o->pairs) &&
		    read_number(args, 'f', 1, LOAD_STREAMS_MAX, &o->flows) &&
		    read_number(args, 'm', 1, LOAD_MACS_MAX, &o->macs) &&
		    read_number(args, 'd', 1, LOAD_MACS_MAX, &o->drawn) && read_number(args, 'r', 1, 10000000, &o->rate) &&
		    read_number(args, 'l', LOAD_FRAME_MIN, LOAD_FRAME_MAX, &o->size) &&
		    read_number(args, 'W', 1, INT32_MAX, &watch);
	o->watch = (pid_t)watch;
	return good;
}

static const char *contradiction(const struct load_options *o)
{
	if (!o->broadcast && o->pairs * 2 > o->clients)
		return "there are not enough clients for the pairs";
	if (o->broadcast && (o->echo || o->macs > 1))
		return "a broadcast has neither echo nor MAC addresses to draw from";
	if ((uint64_t)o->flows * VS_MAX(o->pairs, 1u) > LOAD_STREAMS_MAX)
		return "too many flows";
	return NULL;
}

static int verb_run(const struct vs_cli_args *args)
{
	struct load_keys keys;
	struct load_options run;
	if (!args->value['k']) {
		fprintf(stderr, "loadgen: --keys FILE is needed; 'loadgen init' makes it\n");
		return VS_EXIT_USAGE;
	}
	if (load_keys_read(&keys, args->value['k']) < 0)
		return VS_EXIT_FAILURE;
	int code = VS_EXIT_USAGE;
	if (read_options(args, keys.n, &run)) {
		const char *wrong = contradiction(&run);
		if (wrong)
			fprintf(stderr, "loadgen: %s\n", wrong);
		else
			code = load_run(&run, &keys) < 0 ? VS_EXIT_FAILURE : 0;
	}
	load_keys_fini(&keys);
	return code;
}

static const struct vs_cli_verb verbs[] = {
	{ "run", NULL, "nPksjJiwtpbefmdrlW", "let clients join and send, and print a report as JSON", verb_run },
	{ "init", "DIRECTORY", "nPS", "write vswitchs.ini and loadgen.keys with fresh keys to a directory", verb_init },
};

int main(int argc, char **argv)
{
	static const struct vs_cli cli = {
		.program = "loadgen",
		.summary = "load for a virtual layer-2 switch",
		.options = options,
		.n_options = VS_ARRAY_SIZE(options),
		.verbs = verbs,
		.n_verbs = VS_ARRAY_SIZE(verbs),
	};
	return vs_cli_main(&cli, argc, argv);
}
