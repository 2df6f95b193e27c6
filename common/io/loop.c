#include "io/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

struct vs_wakeup {
	struct event event;
	struct vs_loop *loop;
	int fd;
	atomic_bool signalled;
	void (*fn)(void *arg);
	void *arg;
};

struct vs_loop {
	struct event_base *base;
	uint64_t now;
	bool now_is_stale; /* the wait may have ended since it was read */

	struct vs_heap timers;
	int timer_fd;
	uint64_t armed_usec; /* when timer_fd fires; VS_NEVER: it is not set */
	struct event timer_event;

	struct vs_list deferred;
	struct vs_wakeup *stopper;
	atomic_bool stopped;
};

struct vs_watch {
	struct event read, write;
	struct vs_loop *loop;
	unsigned events;
	vs_watch_fn *fn;
	void *arg;
};

/* --- Clock ------------------------------------------------------------------------------------------------------- */

static uint64_t read_clock(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * VS_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t vs_clock_usec(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

uint64_t vs_unix_usec(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t vs_loop_now(const struct vs_loop *loop)
{
	return loop->now;
}

uint64_t vs_loop_refresh(struct vs_loop *loop)
{
	loop->now = vs_clock_usec();
	loop->now_is_stale = false;
	return loop->now;
}

/* libevent has no hook for "the wait is over", so the first callback of a turn reads the clock. */
static void freshen(struct vs_loop *loop)
{
	if (loop->now_is_stale)
		vs_loop_refresh(loop);
}

/* --- Timers ------------------------------------------------------------------------------------------------------ */

static void on_timer_fd(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct vs_loop *loop = arg;
	freshen(loop);
	/* Edge-triggered: nothing needs to be read. The timers themselves run after all watchers. */
	loop->armed_usec = VS_NEVER;
}

static void arm_timer_fd(struct vs_loop *loop, uint64_t deadline)
{
	/* Firing too early costs one empty turn; setting it again for every change would cost a system call each. */
	if (deadline >= loop->armed_usec)
		return;
	struct itimerspec when = {
		.it_value = {.tv_sec = (time_t)(deadline / VS_SEC), .tv_nsec = (long)(deadline % VS_SEC * 1000)},
	};
	int rc = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	assert(rc == 0);
	(void)rc;
	loop->armed_usec = deadline;
}

static void run_timers(struct vs_loop *loop)
{
	uint64_t now = loop->now, deadline;
	/* A timer that sets itself to a time that has passed runs again, but the others come first, and the watchers.
	 */
	for (uint32_t budget = loop->timers.count; budget > 0; budget--) {
		struct vs_heap_node *node = vs_heap_first(&loop->timers, &deadline);
		if (!node || deadline > now)
			return;
		struct vs_timer *timer = VS_CONTAINER_OF(node, struct vs_timer, node);
		vs_heap_remove(&loop->timers, node);
		timer->fn(timer->arg, now);
	}
}

int vs_timer_init(struct vs_timer *timer, struct vs_loop *loop, vs_timer_fn *fn, void *arg)
{
	*timer = (struct vs_timer){.loop = loop, .fn = fn, .arg = arg};
	return vs_heap_reserve(&loop->timers);
}

void vs_timer_fini(struct vs_timer *timer)
{
	vs_heap_remove(&timer->loop->timers, &timer->node);
	vs_heap_unreserve(&timer->loop->timers);
}

void vs_timer_set(struct vs_timer *timer, uint64_t deadline)
{
	if (deadline == VS_NEVER)
		vs_heap_remove(&timer->loop->timers, &timer->node);
	else
		vs_heap_set(&timer->loop->timers, &timer->node, deadline);
}

/* --- Deferred functions ------------------------------------------------------------------------------------------ */

void vs_deferred_init(struct vs_deferred *deferred, struct vs_loop *loop, void (*fn)(void *arg), void *arg)
{
	*deferred = (struct vs_deferred){.loop = loop, .fn = fn, .arg = arg};
	vs_list_init(&deferred->node);
}

void vs_deferred_schedule(struct vs_deferred *deferred)
{
	if (vs_list_empty(&deferred->node))
		vs_list_append(&deferred->loop->deferred, &deferred->node);
}

void vs_deferred_cancel(struct vs_deferred *deferred)
{
	vs_list_remove(&deferred->node);
}

static void run_deferred(struct vs_loop *loop)
{
	struct vs_list batch;
	struct vs_deferred *deferred;
	vs_list_init(&batch);
	vs_list_splice(&batch, &loop->deferred);
	while ((deferred = VS_LIST_FIRST(&batch, struct vs_deferred, node))) {
		vs_list_remove(&deferred->node);
		deferred->fn(deferred->arg);
	}
}

/* --- Watchers ---------------------------------------------------------------------------------------------------- */

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct vs_watch *watch = arg;
	freshen(watch->loop);
	watch->fn(watch->arg, fd, what & EV_READ ? VS_READ : VS_WRITE);
}

/* Additions come first: the descriptor then never leaves epoll's set on the way from one event to the other. */
static int change_watch(struct vs_watch *watch, unsigned events)
{
	unsigned added = events & ~watch->events, removed = watch->events & ~events;
	watch->events = events;
	if (added & VS_READ && event_add(&watch->read, NULL))
		return -1;
	if (added & VS_WRITE && event_add(&watch->write, NULL))
		return -1;
	if (removed & VS_READ)
		event_del(&watch->read);
	if (removed & VS_WRITE)
		event_del(&watch->write);
	return 0;
}

struct vs_watch *vs_watch_new(struct vs_loop *loop, int fd, unsigned events, vs_watch_fn *fn, void *arg)
{
	struct vs_watch *watch = calloc(1, sizeof(*watch));
	if (!watch)
		return NULL;
	watch->loop = loop;
	watch->fn = fn;
	watch->arg = arg;
	event_assign(&watch->read, loop->base, fd, EV_READ | EV_PERSIST, on_watch, watch);
	event_assign(&watch->write, loop->base, fd, EV_WRITE | EV_PERSIST, on_watch, watch);
	if (change_watch(watch, events)) {
		int error = errno;
		vs_watch_free(watch);
		errno = error;
		return NULL;
	}
	return watch;
}

void vs_watch_free(struct vs_watch *watch)
{
	if (!watch)
		return;
	event_del(&watch->read);
	event_del(&watch->write);
	free(watch);
}

void vs_watch_set(struct vs_watch *watch, unsigned events)
{
	/* epoll has taken this descriptor once: only the kernel's memory could still run out. */
	if (change_watch(watch, events))
		VS_LOG_LIMITED(VS_LOG_ERROR, "cannot watch a file descriptor: %s", strerror(errno));
}

/* --- Wake-ups ---------------------------------------------------------------------------------------------------- */

static void on_wakeup(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct vs_wakeup *wakeup = arg;
	freshen(wakeup->loop);
	/* Cleared before fn looks: whatever is written later signals again. */
	atomic_exchange(&wakeup->signalled, false);
	wakeup->fn(wakeup->arg);
}

struct vs_wakeup *vs_wakeup_new(struct vs_loop *loop, void (*fn)(void *arg), void *arg)
{
	struct vs_wakeup *wakeup = calloc(1, sizeof(*wakeup));
	if (!wakeup)
		return NULL;
	wakeup->loop = loop;
	wakeup->fn = fn;
	wakeup->arg = arg;
	wakeup->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (wakeup->fd < 0)
		goto err_free;
	/* Edge-triggered: each write is an edge, so the counter need never be read. */
	event_assign(&wakeup->event, loop->base, wakeup->fd, EV_READ | EV_PERSIST | EV_ET, on_wakeup, wakeup);
	if (event_add(&wakeup->event, NULL))
		goto err_close;
	return wakeup;

err_close:
	close(wakeup->fd);
err_free:
	free(wakeup);
	return NULL;
}

void vs_wakeup_free(struct vs_wakeup *wakeup)
{
	if (!wakeup)
		return;
	event_del(&wakeup->event);
	close(wakeup->fd);
	free(wakeup);
}

void vs_wakeup_signal(struct vs_wakeup *wakeup)
{
	if (!atomic_exchange(&wakeup->signalled, true))
		eventfd_write(wakeup->fd, 1);
}

/* --- Life -------------------------------------------------------------------------------------------------------- */

/* Whoever called libevent says what failed, with errno; this is for who must know more. After an error, which is about
 * its own state, libevent ends the program. */
static void log_libevent(int severity, const char *text)
{
	vs_log(severity == EVENT_LOG_ERR ? VS_LOG_ERROR : VS_LOG_DEBUG, "libevent: %s", text);
}

/* Whether libevent will find the descriptors that a base needs: one for epoll, and two for signals, which we do not use
 * but without which it would end the program instead of failing. */
static bool has_descriptors(void)
{
	int fds[3];
	size_t n = 0;
	while (n < VS_ARRAY_SIZE(fds) && (fds[n] = eventfd(0, EFD_CLOEXEC)) >= 0)
		n++;
	bool enough = n == VS_ARRAY_SIZE(fds);
	while (n > 0)
		close(fds[--n]);
	return enough;
}

static struct event_base *new_base(void)
{
	if (!has_descriptors())
		return NULL;
	event_set_log_callback(log_libevent);
	struct event_config *config = event_config_new();
	if (!config)
		return NULL;
	/* epoll for its edge triggers; one thread a base needs no locks. */
	event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1);
	event_config_set_flag(config,
			      EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NO_CACHE_TIME);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static int open_timer(struct vs_loop *loop)
{
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->timer_fd < 0)
		return -1;
	event_assign(&loop->timer_event, loop->base, loop->timer_fd, EV_READ | EV_PERSIST | EV_ET, on_timer_fd, loop);
	return event_add(&loop->timer_event, NULL);
}

static void on_stop(void *arg)
{
	(void)arg; /* the wait has ended: vs_loop_run() sees `stopped` */
}

struct vs_loop *vs_loop_new(void)
{
	struct vs_loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		return NULL;
	loop->timer_fd = -1;
	loop->armed_usec = VS_NEVER;
	vs_heap_init(&loop->timers);
	vs_list_init(&loop->deferred);
	vs_loop_refresh(loop);
	loop->base = new_base();
	if (!loop->base || open_timer(loop))
		goto err;
	loop->stopper = vs_wakeup_new(loop, on_stop, NULL);
	if (!loop->stopper)
		goto err;
	return loop;

err:;
	int error = errno;
	vs_loop_free(loop);
	errno = error;
	return NULL;
}

void vs_loop_free(struct vs_loop *loop)
{
	if (!loop)
		return;
	vs_wakeup_free(loop->stopper);
	if (loop->timer_fd >= 0) {
		event_del(&loop->timer_event);
		close(loop->timer_fd);
	}
	if (loop->base)
		event_base_free(loop->base);
	vs_heap_fini(&loop->timers);
	free(loop);
}

/* Prepares for the next timer; false if there is something to do at once. */
static bool may_wait(struct vs_loop *loop)
{
	uint64_t deadline;
	if (!vs_list_empty(&loop->deferred) || atomic_load(&loop->stopped))
		return false;
	if (!vs_heap_first(&loop->timers, &deadline))
		return true;
	if (deadline <= loop->now)
		return false;
	arm_timer_fd(loop, deadline);
	return true;
}

int vs_loop_turn(struct vs_loop *loop)
{
	int flags = may_wait(loop) ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK;
	loop->now_is_stale = true;
	if (event_base_loop(loop->base, flags) < 0)
		return -EIO;
	freshen(loop);
	run_timers(loop);
	run_deferred(loop);
	return 0;
}

int vs_loop_run(struct vs_loop *loop)
{
	int rc = 0;
	while (rc == 0 && !atomic_load(&loop->stopped))
		rc = vs_loop_turn(loop);
	atomic_store(&loop->stopped, false);
	return rc;
}

void vs_loop_stop(struct vs_loop *loop)
{
	atomic_store(&loop->stopped, true);
	vs_wakeup_signal(loop->stopper);
}
