/* io/mailbox: a call runs on the loop's thread, once, between two of its callbacks, and whoever makes it sees what it
 * did. The state that calls change has no lock: that two of them do not meet, the thread sanitizer shows. */
#include "io/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "io/thread.h"

#define CALLERS 3
#define CALLS 3000u

struct fixture {
	struct vs_loop *loop;
	struct vs_mailbox *mailbox;
	struct vs_deferred busy; /* a loop that always has something else to do */
	pthread_t thread;
	/* The loop's thread's. */
	uint64_t calls, turns;
	uint32_t last[CALLERS];
};

static void on_busy(void *arg)
{
	struct fixture *f = arg;

	f->turns++;
	vs_deferred_schedule(&f->busy);
}

static void *run_loop(void *arg)
{
	struct fixture *f = arg;

	return vs_loop_run(f->loop) == 0 ? arg : NULL;
}

static void start(struct fixture *f, bool busy)
{
	*f = (struct fixture){ .loop = vs_loop_new() };
	assert_non_null(f->loop);
	f->mailbox = vs_mailbox_new(f->loop);
	assert_non_null(f->mailbox);
	vs_deferred_init(&f->busy, f->loop, on_busy, f);
	if (busy)
		vs_deferred_schedule(&f->busy);
	assert_int_equal(vs_thread_start(&f->thread, "loop", run_loop, f), 0);
}

static void stop(struct fixture *f)
{
	void *result;

	vs_loop_stop(f->loop);
	assert_int_equal(pthread_join(f->thread, &result), 0);
	assert_ptr_equal(result, f);
	vs_deferred_cancel(&f->busy);
	vs_mailbox_free(f->mailbox);
	vs_loop_free(f->loop);
}

/* One call of caller `who`, the n-th. */
struct call {
	struct fixture *fixture;
	unsigned who;
	uint32_t n;
	uint64_t number; /* the answer: which of all calls it was */
	bool on_loop, in_order;
};

static void serve(void *arg)
{
	struct call *call = arg;
	struct fixture *f = call->fixture;

	call->on_loop = pthread_equal(pthread_self(), f->thread);
	call->in_order = call->n == f->last[call->who] + 1;
	f->last[call->who] = call->n;
	call->number = ++f->calls;
}

struct caller {
	struct fixture *fixture;
	unsigned who;
	pthread_t thread;
	uint32_t wrong;
};

static void *make_calls(void *arg)
{
	struct caller *caller = arg;
	uint64_t before = 0;

	for (uint32_t n = 1; n <= CALLS; n++) {
		struct call call = { .fixture = caller->fixture, .who = caller->who, .n = n };
		vs_mailbox_call(caller->fixture->mailbox, serve, &call);
		caller->wrong += !call.on_loop || !call.in_order || call.number <= before;
		before = call.number;
	}
	return NULL;
}

static void call_from_threads(bool busy)
{
	struct fixture f;
	struct caller callers[CALLERS];
	start(&f, busy);
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){ .fixture = &f, .who = i };
		assert_int_equal(vs_thread_start(&callers[i].thread, "caller", make_calls, &callers[i]), 0);
	}
	for (unsigned i = 0; i < CALLERS; i++) {
		assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
		assert_int_equal(callers[i].wrong, 0);
	}
	stop(&f);
	assert_int_equal(f.calls, CALLERS * CALLS);
	assert_int_equal(f.turns > 0, busy);
}

static void test_calls(void **state)
{
	(void)state;
	call_from_threads(false);
}

static void test_calls_into_a_busy_loop(void **state)
{
	(void)state;
	call_from_threads(true);
}

static void stop_loop(void *arg)
{
	vs_loop_stop(arg);
}

/* The call that ends the loop returns like any other. */
static void test_last_call(void **state)
{
	struct fixture f;
	(void)state;
	start(&f, false);
	vs_mailbox_call(f.mailbox, stop_loop, f.loop);
	stop(&f);
}

/* A mailbox that cannot be made leaves nothing behind. */
static void test_no_descriptors(void **state)
{
	struct vs_loop *loop = vs_loop_new();
	struct rlimit before, none;
	(void)state;
	assert_non_null(loop);
	int next = dup(STDERR_FILENO);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_null(vs_mailbox_new(loop));
	assert_int_equal(errno, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	int again = dup(STDERR_FILENO);
	assert_int_equal(again, next);
	close(again);
	vs_mailbox_free(NULL);
	vs_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_calls_into_a_busy_loop),
		cmocka_unit_test(test_last_call),
		cmocka_unit_test(test_no_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
