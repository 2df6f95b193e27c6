/* Calls into a loop from another thread: what the one that decides (configuration, handshakes, status) wants done by the
 * thread that owns the data. Calls run on the loop, between two of its callbacks, in the order in which they were made.
 * The caller waits, the loop never does: a call is put in under a lock that is held for a few instructions. */
#ifndef VS_IO_MAILBOX_H
#define VS_IO_MAILBOX_H

#include "io/loop.h"

struct vs_mailbox;

/* The mailbox of a loop, which must outlive it. NULL: out of memory or of descriptors (errno). */
struct vs_mailbox *vs_mailbox_new(struct vs_loop *loop);

/* No call may be waiting. NULL is accepted. */
void vs_mailbox_free(struct vs_mailbox *mailbox);

/* Has the loop call fn(arg) and waits until it has. Not from the loop's own thread, which must be running. */
void vs_mailbox_call(struct vs_mailbox *mailbox, void (*fn)(void *arg), void *arg);

#endif
