/* The event loop, one a worker: file descriptors (libevent's core, epoll), timers with microsecond precision,
 * and wake-ups from other threads. It owns the only clock that the sans-I/O rooms ever see.
 *
 * One turn: wait; call the watchers of what is ready; call the timers that are due; call what was deferred to the end
 * of the batch (flushing a transmit batch, say, once all packets of the turn have been handled). The time is read once
 * a turn, when the wait ends. libevent's own timers are in milliseconds, too coarse for pacing, so the loop keeps its
 * timers in a heap behind one timerfd, which is set only when it must fire earlier than it would: a deadline that moves
 * back, as a link's does with each packet, costs no system call.
 *
 * A loop and everything registered with it belong to the thread that runs it; vs_loop_stop() and vs_wakeup_signal() may
 * be called from any. Objects may be freed inside any callback, their own included. */
#ifndef VS_IO_LOOP_H
#define VS_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/time.h"

struct vs_loop;

/* CLOCK_BOOTTIME in microseconds: goes on while the machine sleeps, so that sessions end when they should. */
uint64_t vs_clock_usec(void);

/* The wall clock in microseconds since 1970, for the timestamps of handshakes: it may jump, and may be wrong. */
uint64_t vs_unix_usec(void);

/* NULL: out of memory or of file descriptors (errno says which). */
struct vs_loop *vs_loop_new(void);

/* Everything registered must have been freed before. NULL is accepted. */
void vs_loop_free(struct vs_loop *loop);

/* Turns until vs_loop_stop(). 0, or -EIO if waiting failed. */
int vs_loop_run(struct vs_loop *loop) VS_MUST_CHECK;

/* One turn: waits for something to do and does it. 0 or -EIO. */
int vs_loop_turn(struct vs_loop *loop) VS_MUST_CHECK;

/* Ends vs_loop_run() after the current turn; a run that has not begun ends at once. From any thread. */
void vs_loop_stop(struct vs_loop *loop);

/* The time of this turn. */
uint64_t vs_loop_now(const struct vs_loop *loop);

/* Reads the clock again, for a callback that has taken long. Returns the new vs_loop_now(). */
uint64_t vs_loop_refresh(struct vs_loop *loop);

/* --- Watchers of file descriptors (level-triggered) -------------------------------------------------------------- */

enum {
	VS_READ = 1,
	VS_WRITE = 2,
};

struct vs_watch;

/* `events` is VS_READ or VS_WRITE; an error or hang-up of the descriptor is reported as each that is watched for. */
typedef void vs_watch_fn(void *arg, int fd, unsigned events);

/* Watches for `events`. The descriptor stays the caller's, who frees the watch before closing it.
 * NULL: out of memory, or epoll refused the descriptor (errno). */
struct vs_watch *vs_watch_new(struct vs_loop *loop, int fd, unsigned events, vs_watch_fn *fn, void *arg);
void vs_watch_free(struct vs_watch *watch);

/* Changes what is watched for; free of charge where nothing changes. */
void vs_watch_set(struct vs_watch *watch, unsigned events);

/* --- Timers ------------------------------------------------------------------------------------------------------ */

typedef void vs_timer_fn(void *arg, uint64_t now);

/* In the caller's storage; its fields are the loop's. */
struct vs_timer {
	struct vs_heap_node node;
	struct vs_loop *loop;
	vs_timer_fn *fn;
	void *arg;
};

/* 0, or -ENOMEM or -ENOSPC (VS_HEAP_MAX timers): then vs_timer_fini() is not to be called. */
int vs_timer_init(struct vs_timer *timer, struct vs_loop *loop, vs_timer_fn *fn, void *arg) VS_MUST_CHECK;
void vs_timer_fini(struct vs_timer *timer);

/* Calls fn once, when `deadline` (absolute) has come, never earlier. Replaces an earlier deadline; VS_NEVER cancels. */
void vs_timer_set(struct vs_timer *timer, uint64_t deadline);

static inline void vs_timer_cancel(struct vs_timer *timer)
{
	vs_timer_set(timer, VS_NEVER);
}

/* --- End of the batch -------------------------------------------------------------------------------------------- */

struct vs_deferred {
	struct vs_list node;
	struct vs_loop *loop;
	void (*fn)(void *arg);
	void *arg;
};

void vs_deferred_init(struct vs_deferred *deferred, struct vs_loop *loop, void (*fn)(void *arg), void *arg);

/* Calls fn once at the end of this turn (of the next, if called by a deferred function). Again: no effect. */
void vs_deferred_schedule(struct vs_deferred *deferred);
void vs_deferred_cancel(struct vs_deferred *deferred);

/* --- Wake-ups from other threads --------------------------------------------------------------------------------- */

struct vs_wakeup;

/* NULL: out of memory or of file descriptors (errno). */
struct vs_wakeup *vs_wakeup_new(struct vs_loop *loop, void (*fn)(void *arg), void *arg);
void vs_wakeup_free(struct vs_wakeup *wakeup);

/* Makes the loop call fn. Signals that come before it runs are one; fn sees all that was written before the signal. */
void vs_wakeup_signal(struct vs_wakeup *wakeup);

#endif
