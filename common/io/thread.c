#include "io/thread.h"

#include <signal.h>

int vs_thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	sigfillset(&all);
	/* The new thread inherits the mask; blocking in the thread itself would leave a gap. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return -error;
	pthread_setname_np(*thread, name);
	return 0;
}
