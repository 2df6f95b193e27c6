/* io/offload and io/resolver: work on other threads comes back to the loop, in order, bounded, and can be given up. */
#include "io/offload.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/resolver.h"

#define LIMIT 8

static struct vs_loop *loop;
static pthread_t loop_thread;

struct job {
	struct vs_offload_job job;
	pthread_mutex_t *gate; /* NULL: runs at once */
	unsigned number;
	bool ran;
	int status;
};

static struct job jobs[LIMIT + 1];
static unsigned order[2 * LIMIT], done_count, stop_after;

static int setup(void **state)
{
	(void)state;
	loop_thread = pthread_self();
	loop = vs_loop_new();
	memset(jobs, 0, sizeof(jobs));
	done_count = 0;
	stop_after = 0;
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	vs_loop_free(loop);
	return 0;
}

static void run_job(struct vs_offload_job *j)
{
	struct job *job = VS_CONTAINER_OF(j, struct job, job);
	assert_false(pthread_equal(pthread_self(), loop_thread));
	if (job->gate) {
		pthread_mutex_lock(job->gate);
		pthread_mutex_unlock(job->gate);
	}
	job->ran = true;
}

static void job_done(struct vs_offload_job *j, int status)
{
	struct job *job = VS_CONTAINER_OF(j, struct job, job);
	assert_true(pthread_equal(pthread_self(), loop_thread));
	job->status = status;
	order[done_count++] = job->number;
	if (done_count == stop_after)
		vs_loop_stop(loop);
}

static int submit(struct vs_offload *offload, unsigned i, pthread_mutex_t *gate)
{
	jobs[i] = (struct job){.job = {.run = run_job, .done = job_done}, .gate = gate, .number = i, .status = 1};
	return vs_offload_submit(offload, &jobs[i].job);
}

static void test_jobs_come_back_in_order(void **state)
{
	(void)state;
	struct vs_offload *offload = vs_offload_new(loop, "test", LIMIT);
	assert_non_null(offload);
	for (unsigned i = 0; i < LIMIT; i++)
		assert_int_equal(submit(offload, i, NULL), 0);
	stop_after = LIMIT;
	assert_int_equal(vs_loop_run(loop), 0);
	for (unsigned i = 0; i < LIMIT; i++) {
		assert_int_equal(order[i], i);
		assert_true(jobs[i].ran);
		assert_int_equal(jobs[i].status, 0);
	}
	vs_offload_free(offload);
}

static void test_queue_is_bounded(void **state)
{
	(void)state;
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct vs_offload *offload = vs_offload_new(loop, "test", LIMIT);
	pthread_mutex_lock(&gate);
	for (unsigned i = 0; i < LIMIT; i++)
		assert_int_equal(submit(offload, i, &gate), 0);
	assert_int_equal(submit(offload, LIMIT, NULL), -EBUSY);
	pthread_mutex_unlock(&gate);
	stop_after = LIMIT;
	assert_int_equal(vs_loop_run(loop), 0);
	assert_int_equal(submit(offload, LIMIT, NULL), 0);
	stop_after = LIMIT + 1;
	assert_int_equal(vs_loop_run(loop), 0);
	vs_offload_free(offload);
}

/* Whatever was submitted is handed back: the one that runs as done, the others as done or cancelled. */
static void test_free_hands_everything_back(void **state)
{
	(void)state;
	struct vs_offload *offload = vs_offload_new(loop, "test", LIMIT);
	for (unsigned i = 0; i < LIMIT; i++)
		assert_int_equal(submit(offload, i, NULL), 0);
	vs_offload_free(offload);
	assert_int_equal(done_count, LIMIT);
	for (unsigned i = 0; i < LIMIT; i++) {
		assert_int_equal(order[i], i);
		assert_int_equal(jobs[i].status, jobs[i].ran ? 0 : -ECANCELED);
	}
	vs_offload_free(NULL);
}

/* --- Lookups ----------------------------------------------------------------------------------------------------- */

static struct vs_addr found[VS_LOOKUP_ADDRS_MAX];
static size_t found_count;
static char found_error[128];
static unsigned answers;

static void on_found(void *arg, const char *error, const struct vs_addr *addrs, size_t n)
{
	(void)arg;
	answers++;
	found_count = n;
	memcpy(found, addrs, n * sizeof(*addrs));
	strncpy(found_error, error ? error : "", sizeof(found_error) - 1);
	vs_loop_stop(loop);
}

static void look_up(const char *name)
{
	struct vs_lookup *lookup;
	unsigned before = answers;
	assert_int_equal(vs_lookup_start(loop, name, 7000, on_found, NULL, &lookup), 0);
	assert_int_equal(answers, before); /* never from within the call */
	assert_int_equal(vs_loop_run(loop), 0);
	assert_int_equal(answers, before + 1);
}

static void test_numeric_addresses(void **state)
{
	(void)state;
	static const struct {
		const char *name, *text;
	} cases[] = {
		{"192.0.2.7", "192.0.2.7:7000"},
		{"2001:db8::7", "[2001:db8::7]:7000"},
		{"::ffff:192.0.2.8", "192.0.2.8:7000"},
	};
	char text[VS_ADDR_TEXT_MAX];
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		look_up(cases[i].name);
		assert_int_equal(found_count, 1);
		assert_string_equal(found_error, "");
		assert_string_equal(vs_addr_format(&found[0], text), cases[i].text);
	}
}

static void test_local_name(void **state)
{
	struct addrinfo *known;
	(void)state;
	/* The name is in /etc/hosts, if there is such a file. */
	if (getaddrinfo("localhost", NULL, NULL, &known) != 0)
		skip();
	freeaddrinfo(known);
	look_up("localhost");
	assert_string_equal(found_error, "");
	assert_true(found_count >= 1);
	for (size_t i = 0; i < found_count; i++) {
		assert_int_equal(vs_addr_port(&found[i]), 7000);
		for (size_t j = 0; j < i; j++)
			assert_false(vs_addr_equal(&found[i], &found[j]));
	}
}

static void test_bad_names(void **state)
{
	(void)state;
	char long_name[VS_LOOKUP_NAME_MAX + 2];
	struct vs_lookup *lookup;
	memset(long_name, 'a', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(vs_lookup_start(loop, long_name, 1, on_found, NULL, &lookup), -ENAMETOOLONG);
	look_up("no such name.invalid");
	assert_int_equal(found_count, 0);
	assert_string_not_equal(found_error, "");
}

static void test_cancelled_lookups_say_nothing(void **state)
{
	(void)state;
	struct vs_lookup *lookup;
	unsigned before = answers;
	assert_int_equal(vs_lookup_start(loop, "localhost", 1, on_found, NULL, &lookup), 0);
	vs_lookup_cancel(lookup);
	assert_int_equal(vs_lookup_start(loop, "127.0.0.1", 1, on_found, NULL, &lookup), 0);
	vs_lookup_cancel(lookup);
	vs_lookup_cancel(NULL);
	look_up("127.0.0.2");
	assert_int_equal(answers, before + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_jobs_come_back_in_order),
		TEST(test_queue_is_bounded),
		TEST(test_free_hands_everything_back),
		TEST(test_numeric_addresses),
		TEST(test_local_name),
		TEST(test_bad_names),
		TEST(test_cancelled_lookups_say_nothing),
	};
	alarm(20); /* a hang is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
