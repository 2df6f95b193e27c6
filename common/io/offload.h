/* A thread for work that would hold up a loop (handshakes: a millisecond of X25519 each). Jobs run one after the other
 * in the order of submission; each comes back to the loop when it is done. The queue is bounded: what does not fit is
 * refused, so that a flood of handshakes costs one core at most and no memory. The thread runs at a lower priority than
 * the others. */
#ifndef VS_IO_OFFLOAD_H
#define VS_IO_OFFLOAD_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/list.h"
#include "io/loop.h"

struct vs_offload;

/* Embedded in the owner's job, which is the other thread's from vs_offload_submit() until done(). */
struct vs_offload_job {
	struct vs_list node;
	/* On the offload's thread. */
	void (*run)(struct vs_offload_job *job);
	/* On the loop. `status` is 0, or -ECANCELED: the offload is being freed and run() was not called. The job may
	 * be freed or submitted again. */
	void (*done)(struct vs_offload_job *job, int status);
};

/* Takes up to `limit` jobs that are not done. `name` is the thread's. NULL: out of memory, threads or descriptors. */
struct vs_offload *vs_offload_new(struct vs_loop *loop, const char *name, size_t limit);

/* Waits for the job that runs now, then calls done() for every job that is left. NULL is accepted. Not to be called
 * from done(). */
void vs_offload_free(struct vs_offload *offload);

/* From the loop's thread. 0, or -EBUSY: the queue is full or the offload is being freed, and the job stays the
 * caller's. */
int vs_offload_submit(struct vs_offload *offload, struct vs_offload_job *job) VS_MUST_CHECK;

#endif
