#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/cli.h"

static const char *called;
static char given[100];

static int record(const char *verb, const struct vs_cli_args *args)
{
	called = verb;
	snprintf(given, sizeof(given), "c=%s j=%s P=%s %s", args->value['c'] ? args->value['c'] : "-",
		 args->value['j'] ? "yes" : "-", args->value['P'] ? args->value['P'] : "-",
		 args->n_operands ? args->operands[0] : "-");
	return 0;
}

static int run(const struct vs_cli_args *args)
{
	return record("run", args);
}

static int kick(const struct vs_cli_args *args)
{
	return record("kick", args);
}

static int give_up(const struct vs_cli_args *args)
{
	(void)args;
	return VS_EXIT_FAILURE;
}

static const struct vs_cli_option options[] = {
	{ 'c', false, "config", "FILE", "the file" },
	{ 'j', false, "json", NULL, "as JSON" },
	{ 'P', true, "pick", "WHAT", "what" },
};

static const struct vs_cli_verb verbs[] = {
	{ "run", NULL, "c", "run", run },
	{ "kick", "NAME", "cjP", "kick\n\nHard.", kick },
	{ "fail", NULL, "", "fail", give_up },
};

static const struct vs_cli cli = { "prog", "a program", options, 3, verbs, 3 };

struct row {
	const char *line;
	int code;
	const char *called, *given;
};

static const struct row rows[] = {
	{ "prog", 0, "run", "c=- j=- P=- -" },
	{ "prog -c f", 0, "run", "c=f j=- P=- -" },
	{ "prog run --config=f", 0, "run", "c=f j=- P=- -" },
	{ "prog kick alice", 0, "kick", "c=- j=- P=- alice" },
	{ "prog kick -jc f alice", 0, "kick", "c=f j=yes P=- alice" },
	{ "prog kick alice --pick x", 0, "kick", "c=- j=- P=x alice" },
	{ "prog kick -- -x", 0, "kick", "c=- j=- P=- -x" },
	{ "prog fail", VS_EXIT_FAILURE, NULL, NULL },
	{ "prog --help", 0, NULL, NULL },
	{ "prog --version", 0, NULL, NULL },
	{ "prog kick --help", 0, NULL, NULL },
	{ "prog frob", VS_EXIT_USAGE, NULL, NULL },
	{ "prog kcik alice", VS_EXIT_USAGE, NULL, NULL },
	{ "prog kick", VS_EXIT_USAGE, NULL, NULL },
	{ "prog kick a b", VS_EXIT_USAGE, NULL, NULL },
	{ "prog run a", VS_EXIT_USAGE, NULL, NULL },
	{ "prog run -j", VS_EXIT_USAGE, NULL, NULL },
	{ "prog kick -P x a", VS_EXIT_USAGE, NULL, NULL },
	{ "prog -c", VS_EXIT_USAGE, NULL, NULL },
	{ "prog --frob", VS_EXIT_USAGE, NULL, NULL },
};

static int run_line(const char *line)
{
	char copy[100], *argv[10], *save = NULL;
	int argc = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	return vs_cli_run(&cli, argc, argv);
}

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		called = NULL;
		assert_int_equal(run_line(rows[i].line), rows[i].code);
		if (!rows[i].called) {
			assert_null(called);
			continue;
		}
		assert_string_equal(called, rows[i].called);
		assert_string_equal(given, rows[i].given);
	}
}

/* In a process that lacks some of the standard descriptors: bits of what is wrong after they were opened. */
static int open_missing(unsigned missing)
{
	int wrong = 0;

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (missing & 1u << fd)
			close(fd);
	vs_cli_open_standard();
	int next = open("/dev/null", O_RDONLY);
	if (next <= STDERR_FILENO)
		wrong |= 1;
	/* What is written to a standard output that was closed is an error still. */
	if ((fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY && !(missing & 1u << STDOUT_FILENO))
		wrong |= 2;
	if (missing & 1u << STDOUT_FILENO && write(STDOUT_FILENO, "x", 1) >= 0)
		wrong |= 4;
	if (missing & 1u << STDERR_FILENO && write(STDERR_FILENO, "x", 1) != 1)
		wrong |= 8;
	return wrong;
}

static void test_standard_descriptors(void **state)
{
	int status;
	(void)state;

	for (unsigned missing = 0; missing < 8; missing++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(open_missing(missing));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_standard_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
