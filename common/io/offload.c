#include "io/offload.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "io/thread.h"

struct vs_offload {
	pthread_t thread;
	pthread_mutex_t lock; /* over the three fields that follow */
	struct vs_list waiting, finished;
	bool stopping;
	pthread_cond_t changed; /* waiting or stopping */
	struct vs_wakeup *wakeup;
	size_t jobs, limit; /* the loop's: submitted and not done */
};

static struct vs_offload_job *take_job(struct vs_list *list)
{
	struct vs_offload_job *job = VS_LIST_FIRST(list, struct vs_offload_job, node);
	if (job)
		vs_list_remove(&job->node);
	return job;
}

/* Where cores are scarce, whoever waits for a frame goes before whoever waits for a handshake. */
#define NICE 5

static void *run_jobs(void *arg)
{
	struct vs_offload *o = arg;
	/* Of this thread alone, on Linux. */
	(void)!setpriority(PRIO_PROCESS, 0, NICE);
	pthread_mutex_lock(&o->lock);
	while (!o->stopping) {
		struct vs_offload_job *job = take_job(&o->waiting);
		if (!job) {
			pthread_cond_wait(&o->changed, &o->lock);
			continue;
		}
		pthread_mutex_unlock(&o->lock);
		job->run(job);
		pthread_mutex_lock(&o->lock);
		vs_list_append(&o->finished, &job->node);
		vs_wakeup_signal(o->wakeup);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

static void finish_jobs(struct vs_offload *o, struct vs_list *jobs, int status)
{
	struct vs_offload_job *job;
	while ((job = take_job(jobs))) {
		o->jobs--;
		job->done(job, status);
	}
}

static void on_wakeup(void *arg)
{
	struct vs_offload *o = arg;
	struct vs_list finished;
	vs_list_init(&finished);
	pthread_mutex_lock(&o->lock);
	vs_list_splice(&finished, &o->finished);
	pthread_mutex_unlock(&o->lock);
	finish_jobs(o, &finished, 0);
}

struct vs_offload *vs_offload_new(struct vs_loop *loop, const char *name, size_t limit)
{
	struct vs_offload *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	vs_list_init(&o->waiting);
	vs_list_init(&o->finished);
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->changed, NULL);
	o->limit = limit;
	o->wakeup = vs_wakeup_new(loop, on_wakeup, o);
	if (!o->wakeup)
		goto err_free;
	if (vs_thread_start(&o->thread, name, run_jobs, o))
		goto err_wakeup;
	return o;

err_wakeup:
	vs_wakeup_free(o->wakeup);
err_free:
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	free(o);
	return NULL;
}

void vs_offload_free(struct vs_offload *o)
{
	if (!o)
		return;
	pthread_mutex_lock(&o->lock);
	o->stopping = true;
	pthread_cond_signal(&o->changed);
	pthread_mutex_unlock(&o->lock);
	pthread_join(o->thread, NULL);
	finish_jobs(o, &o->finished, 0);
	finish_jobs(o, &o->waiting, -ECANCELED);
	vs_wakeup_free(o->wakeup);
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

int vs_offload_submit(struct vs_offload *o, struct vs_offload_job *job)
{
	/* `stopping` is written by this thread only. */
	if (o->jobs == o->limit || o->stopping)
		return -EBUSY;
	o->jobs++;
	vs_list_init(&job->node);
	pthread_mutex_lock(&o->lock);
	vs_list_append(&o->waiting, &job->node);
	pthread_cond_signal(&o->changed);
	pthread_mutex_unlock(&o->lock);
	return 0;
}
