#include "io/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"

struct call {
	struct vs_list node;
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

struct vs_mailbox {
	pthread_mutex_t lock; /* over what follows */
	pthread_cond_t done;
	struct vs_list calls;
	struct vs_wakeup *wakeup;
};

static struct call *next_call(struct vs_mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	struct call *call = VS_LIST_FIRST(&mailbox->calls, struct call, node);
	if (call)
		vs_list_remove(&call->node);
	pthread_mutex_unlock(&mailbox->lock);
	return call;
}

static void on_wakeup(void *arg)
{
	struct vs_mailbox *mailbox = arg;
	struct call *call;

	while ((call = next_call(mailbox))) {
		call->fn(call->arg);
		pthread_mutex_lock(&mailbox->lock);
		call->done = true; /* and from here on it is gone */
		pthread_cond_broadcast(&mailbox->done);
		pthread_mutex_unlock(&mailbox->lock);
	}
}

struct vs_mailbox *vs_mailbox_new(struct vs_loop *loop)
{
	struct vs_mailbox *mailbox = calloc(1, sizeof(*mailbox));
	if (!mailbox)
		return NULL;
	vs_list_init(&mailbox->calls);
	mailbox->wakeup = vs_wakeup_new(loop, on_wakeup, mailbox);
	if (!mailbox->wakeup) {
		free(mailbox);
		return NULL;
	}
	pthread_mutex_init(&mailbox->lock, NULL);
	pthread_cond_init(&mailbox->done, NULL);
	return mailbox;
}

void vs_mailbox_free(struct vs_mailbox *mailbox)
{
	if (!mailbox)
		return;
	vs_wakeup_free(mailbox->wakeup);
	pthread_cond_destroy(&mailbox->done);
	pthread_mutex_destroy(&mailbox->lock);
	free(mailbox);
}

void vs_mailbox_call(struct vs_mailbox *mailbox, void (*fn)(void *arg), void *arg)
{
	struct call call = { .fn = fn, .arg = arg };

	pthread_mutex_lock(&mailbox->lock);
	vs_list_append(&mailbox->calls, &call.node);
	vs_wakeup_signal(mailbox->wakeup);
	while (!call.done)
		pthread_cond_wait(&mailbox->done, &mailbox->lock);
	pthread_mutex_unlock(&mailbox->lock);
}
