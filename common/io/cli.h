/* Command lines of the form "PROGRAM [VERB] [OPTIONS] [OPERANDS]", from two tables: the program's options and its
 * verbs. Parsing, --help of the program and of each verb, --version and the exit codes come from here. */
#ifndef VS_IO_CLI_H
#define VS_IO_CLI_H

#include <stdbool.h>
#include <stddef.h>

/* Exit codes; 0 is success. */
enum {
	VS_EXIT_FAILURE = 1,
	VS_EXIT_USAGE = 2,
};

struct vs_cli_option {
	char letter; /* the short form, unless long_only */
	bool long_only;
	const char *name;
	const char *argument; /* "FILE"; NULL: none */
	const char *help;
};

/* What was given: by the option's letter its argument, "" for one that takes none, NULL where absent. */
struct vs_cli_args {
	const char *program;
	const char *value[128];
	char **operands;
	int n_operands;
};

struct vs_cli_verb {
	const char *name;
	const char *operands; /* "NAME"; NULL: none are taken. Exactly one is taken else. */
	const char *options;  /* letters of the options that it takes */
	const char *help;     /* begins with one line of summary; more lines are shown by VERB --help */
	int (*run)(const struct vs_cli_args *args);
};

struct vs_cli {
	const char *program;
	const char *summary;
	const struct vs_cli_option *options;
	size_t n_options;
	const struct vs_cli_verb *verbs; /* the first is the default */
	size_t n_verbs;
};

/* Opens those of the standard descriptors that are closed, so that no file or socket of ours becomes one of them and is
 * written to as if it were the log. Output to a closed standard output still fails. To be called first in main(). */
void vs_cli_open_standard(void);

/* Runs the verb that argv names; returns the exit code: the verb's, or VS_EXIT_USAGE after saying what is wrong. A
 * verb whose output could not be written fails. */
int vs_cli_run(const struct vs_cli *cli, int argc, char **argv);

/* A program's whole main(): vs_cli_open_standard(), the cryptographic library, and then vs_cli_run(). */
int vs_cli_main(const struct vs_cli *cli, int argc, char **argv);

#endif
