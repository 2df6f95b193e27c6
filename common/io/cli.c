#include "io/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "io/nearest.h"
#include "link/crypto.h"

#define OPTIONS_MAX 32
#define HELP_LETTER 'h'

static void print_summary(const struct vs_cli_verb *verb, const char *default_mark)
{
	const char *end = strchrnul(verb->help, '\n');
	char left[40];

	snprintf(left, sizeof(left), "%s%s%s", verb->name, verb->operands ? " " : "",
		 verb->operands ? verb->operands : "");
	printf("  %-14s %.*s%s\n", left, (int)(end - verb->help), verb->help, default_mark);
}

static int print_program_help(const struct vs_cli *cli)
{
	printf("%s: %s\n\nusage: %s [VERB] [OPTIONS]\n\n", cli->program, cli->summary, cli->program);
	for (size_t i = 0; i < cli->n_verbs; i++)
		print_summary(&cli->verbs[i], i == 0 ? " (the default verb)" : "");
	printf("\n'%s VERB --help' says more of a verb; --version shows the version.\n", cli->program);
	return 0;
}

static void print_option(const struct vs_cli_option *option)
{
	char left[60];

	snprintf(left, sizeof(left), "--%s%s%s", option->name, option->argument ? " " : "",
		 option->argument ? option->argument : "");
	if (option->long_only)
		printf("      %-24s %s\n", left, option->help);
	else
		printf("  -%c, %-24s %s\n", option->letter, left, option->help);
}

static int print_verb_help(const struct vs_cli *cli, const struct vs_cli_verb *verb)
{
	printf("usage: %s %s%s%s%s\n\n%s\n", cli->program, verb->name, verb->operands ? " " : "",
	       verb->operands ? verb->operands : "", *verb->options ? " [OPTIONS]" : "", verb->help);
	if (*verb->options)
		printf("\n");
	for (size_t i = 0; i < cli->n_options; i++)
		if (strchr(verb->options, cli->options[i].letter))
			print_option(&cli->options[i]);
	return 0;
}

static int print_version(const struct vs_cli *cli)
{
	printf("%s %s\n", cli->program, VS_VERSION);
	return 0;
}

static int complain(const struct vs_cli *cli, const struct vs_cli_verb *verb, const char *text, const char *what)
{
	fprintf(stderr, "%s: %s%s%s%s\n", cli->program, text, what ? " '" : "", what ? what : "", what ? "'" : "");
	fprintf(stderr, "try: %s%s%s --help\n", cli->program, verb ? " " : "", verb ? verb->name : "");
	return VS_EXIT_USAGE;
}

static const struct vs_cli_verb *find_verb(const struct vs_cli *cli, const char *name)
{
	for (size_t i = 0; i < cli->n_verbs; i++)
		if (strcmp(cli->verbs[i].name, name) == 0)
			return &cli->verbs[i];
	return NULL;
}

static int complain_verb(const struct vs_cli *cli, const char *name)
{
	struct vs_nearest nearest = vs_nearest_to(name);

	for (size_t i = 0; i < cli->n_verbs; i++)
		vs_nearest_offer(&nearest, cli->verbs[i].name);
	if (!nearest.best)
		return complain(cli, NULL, "unknown verb", name);
	fprintf(stderr, "%s: unknown verb '%s'; did you mean '%s'?\n", cli->program, name, nearest.best);
	return VS_EXIT_USAGE;
}

/* getopt's two tables of the options that the verb takes. Each long option returns its letter. */
static void make_tables(const struct vs_cli *cli, const struct vs_cli_verb *verb, char *letters, struct option *longs)
{
	size_t n = 0;

	*letters++ = ':';
	*letters++ = HELP_LETTER;
	longs[n++] = (struct option){ "help", no_argument, NULL, HELP_LETTER };
	for (size_t i = 0; i < cli->n_options && n < OPTIONS_MAX - 1; i++) {
		const struct vs_cli_option *o = &cli->options[i];
		if (!strchr(verb->options, o->letter))
			continue;
		longs[n++] = (struct option){ o->name, o->argument ? required_argument : no_argument, NULL, o->letter };
		if (o->long_only)
			continue;
		*letters++ = o->letter;
		if (o->argument)
			*letters++ = ':';
	}
	*letters = '\0';
	memset(&longs[n], 0, sizeof(longs[n]));
}

static int complain_operands(const struct vs_cli *cli, const struct vs_cli_verb *verb, const struct vs_cli_args *args)
{
	int wanted = verb->operands ? 1 : 0;

	if (args->n_operands > wanted)
		return complain(cli, verb, "unexpected", args->operands[wanted]);
	return complain(cli, verb, "expected", verb->operands);
}

/* Standard output is only checked at the end: a verb whose text did not reach its reader has failed. */
static int finish(const struct vs_cli *cli, int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "%s: cannot write to standard output: %s\n", cli->program, strerror(errno));
	return VS_EXIT_FAILURE;
}

/* argv[0] stands for the verb. */
static int run_verb(const struct vs_cli *cli, const struct vs_cli_verb *verb, int argc, char **argv)
{
	struct vs_cli_args args = { .program = cli->program };
	struct option longs[OPTIONS_MAX];
	char letters[3 * OPTIONS_MAX];
	int c;

	make_tables(cli, verb, letters, longs);
	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == HELP_LETTER)
			return finish(cli, print_verb_help(cli, verb));
		if (c == ':')
			return complain(cli, verb, "an argument is missing behind", argv[optind - 1]);
		if (c == '?')
			return complain(cli, verb, "unknown option",
					optopt ? (char[]){'-', (char)optopt, 0} : argv[optind - 1]);
		args.value[c] = optarg ? optarg : "";
	}
	args.operands = argv + optind;
	args.n_operands = argc - optind;
	if (args.n_operands != (verb->operands ? 1 : 0))
		return complain_operands(cli, verb, &args);
	return finish(cli, verb->run(&args));
}

void vs_cli_open_standard(void)
{
	static const int modes[] = { O_RDWR, O_RDONLY, O_RDWR };
	int fd;

	/* The kernel gives the lowest number that is free. */
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		if (fcntl(i, F_GETFD) < 0 && (fd = open("/dev/null", modes[i])) != i && fd >= 0)
			close(fd);
}

int vs_cli_run(const struct vs_cli *cli, int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : NULL;

	if (first && (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || strcmp(first, "help") == 0))
		return finish(cli, print_program_help(cli));
	if (first && (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0))
		return finish(cli, print_version(cli));
	if (!first || first[0] == '-')
		return run_verb(cli, &cli->verbs[0], argc, argv);
	const struct vs_cli_verb *verb = find_verb(cli, first);
	return verb ? run_verb(cli, verb, argc - 1, argv + 1) : complain_verb(cli, first);
}

int vs_cli_main(const struct vs_cli *cli, int argc, char **argv)
{
	vs_cli_open_standard();
	if (vs_crypto_init() < 0) {
		fprintf(stderr, "%s: the cryptographic library does not start\n", cli->program);
		return VS_EXIT_FAILURE;
	}
	return vs_cli_run(cli, argc, argv);
}
