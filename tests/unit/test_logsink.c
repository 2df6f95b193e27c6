#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/logsink.h"

struct fixture {
	char dir[32];
	struct vs_log_config config;
};

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	strcpy(fx->dir, "/tmp/test_logsink.XXXXXX");
	if (!mkdtemp(fx->dir))
		return -1;
	fx->config = (struct vs_log_config){ .way = VS_LOG_FILE, .level = VS_LOG_INFO, .max_days = 3 };
	snprintf(fx->config.file, sizeof(fx->config.file), "%s/log", fx->dir);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;
	char command[64];

	vs_logsink_close();
	snprintf(command, sizeof(command), "rm -r %s", fx->dir);
	int err = system(command);
	free(fx);
	return err;
}

/* The name of a file that was retired `days` ago. */
static void retired_name(const struct fixture *fx, int days, char *out, size_t size)
{
	time_t when = time(NULL) - days * 86400;
	struct tm tm;
	char date[16];

	localtime_r(&when, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	snprintf(out, size, "%s/log.%s", fx->dir, date);
}

static void make_file(const char *path, int days_old)
{
	struct timespec times[2] = { { .tv_sec = time(NULL) - days_old * 86400 }, { 0 } };

	times[1] = times[0];
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "old\n", 4), 4);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void read_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	ssize_t n = read(fd, out, size - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	close(fd);
}

static void test_lines(void **state)
{
	struct fixture *fx = *state;
	char text[1000];

	assert_int_equal(vs_logsink_open(&fx->config, "test", &vs_log_opener_direct), 0);
	vs_info("one %d", 1);
	vs_debug("below the level");
	vs_error("two\nlines");
	read_file(fx->config.file, text, sizeof(text));
	assert_non_null(strstr(text, " info  one 1\n"));
	assert_non_null(strstr(text, " error two?lines\n"));
	assert_null(strstr(text, "below"));
	/* "2026-11-21 14:33:38.123 ", and no colours in a file. */
	assert_int_equal(text[4], '-');
	assert_int_equal(text[10], ' ');
	assert_int_equal(text[19], '.');
	assert_null(strchr(text, '\033'));
}

static void test_rotation(void **state)
{
	struct fixture *fx = *state;
	char yesterday[100], recent[100], old[100], other[100];

	retired_name(fx, 1, yesterday, sizeof(yesterday));
	retired_name(fx, 2, recent, sizeof(recent));
	retired_name(fx, 5, old, sizeof(old));
	snprintf(other, sizeof(other), "%s/log.2001-01-01x", fx->dir);
	make_file(fx->config.file, 1);
	make_file(recent, 2);
	make_file(old, 5);
	make_file(other, 9);
	int fd = vs_log_file_open(fx->config.file, 3);
	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	close(fd);
	assert_int_equal(access(yesterday, F_OK), 0);
	assert_int_equal(access(recent, F_OK), 0);
	assert_int_equal(access(other, F_OK), 0);
	assert_int_equal(access(old, F_OK), -1);
}

static void test_todays_file_goes_on(void **state)
{
	struct fixture *fx = *state;
	char text[1000];

	make_file(fx->config.file, 0);
	assert_int_equal(vs_logsink_open(&fx->config, "test", &vs_log_opener_direct), 0);
	vs_info("more");
	read_file(fx->config.file, text, sizeof(text));
	assert_memory_equal(text, "old\n", 4);
	assert_non_null(strstr(text, "more\n"));
}

static void test_refusals(void **state)
{
	struct fixture *fx = *state;
	char link[64];

	snprintf(link, sizeof(link), "%s/link", fx->dir);
	assert_int_equal(symlink("log", link), 0);
	assert_int_equal(vs_log_file_open(link, 3), -ELOOP);
	assert_int_equal(vs_log_file_open("/nonexistent/log", 3), -ENOENT);
	strcpy(fx->config.file, "/nonexistent/log");
	assert_string_equal(vs_logsink_target(&fx->config), "/nonexistent/log");
	assert_int_equal(vs_logsink_open(&fx->config, "test", &vs_log_opener_direct), -ENOENT);
}

static void test_target(void **state)
{
	static const char *const targets[] = {
		[VS_LOG_CONSOLE] = "standard error",
		[VS_LOG_SYSLOG] = "/dev/log",
		[VS_LOG_JOURNAL] = "/run/systemd/journal/socket",
	};
	struct fixture *fx = *state;

	for (int way = VS_LOG_CONSOLE; way <= VS_LOG_JOURNAL; way++) {
		fx->config.way = way;
		assert_string_equal(vs_logsink_target(&fx->config), targets[way] ? targets[way] : fx->config.file);
	}
}

static int open_given(void *arg, const char *path, unsigned max_days)
{
	(void)path, (void)max_days;
	return dup(*(int *)arg);
}

/* A disk that is full: nothing stops, and how much was lost is told once there is room. */
static void test_full_disk(void **state)
{
	struct fixture *fx = *state;
	int full = open("/dev/full", O_WRONLY), room;
	struct vs_log_opener opener = { open_given, &full };
	char text[1000];

	assert_true(full >= 0);
	assert_int_equal(vs_logsink_open(&fx->config, "test", &opener), 0);
	for (int i = 0; i < 5; i++)
		vs_info("lost");
	close(full);
	room = vs_log_file_open(fx->config.file, 3);
	opener.arg = &room;
	assert_int_equal(vs_logsink_open(&fx->config, "test", &opener), 0);
	vs_info("kept");
	close(room);
	read_file(fx->config.file, text, sizeof(text));
	assert_non_null(strstr(text, "kept\n"));
	assert_non_null(strstr(text, "5 log lines were lost: No space left on device\n"));
	assert_null(strstr(text, "info  lost"));
}

/* A pipe that nobody reads: lines are lost rather than waited for. */
static void test_stuck_reader(void **state)
{
	struct fixture *fx = *state;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	struct vs_log_opener opener = { open_given, &fds[1] };
	assert_int_equal(vs_logsink_open(&fx->config, "test", &opener), 0);
	for (int i = 0; i < 3000; i++)
		vs_info("a line of some length, so that the pipe is full before the loop ends");
	vs_logsink_close();
	close(fds[0]);
	close(fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lines),    TEST(test_rotation),  TEST(test_todays_file_goes_on),
		TEST(test_refusals), TEST(test_full_disk), TEST(test_stuck_reader),
		TEST(test_target),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
