#include "io/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct vs_signals {
	int fd;
	struct vs_watch *watch;
	vs_signals_fn *fn;
	void *arg;
};

static void on_readable(void *arg, int fd, unsigned events)
{
	(void)events;
	struct vs_signals *signals = arg;
	struct signalfd_siginfo info;
	if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		signals->fn(signals->arg, (int)info.ssi_signo);
}

struct vs_signals *vs_signals_new(struct vs_loop *loop, const int *numbers, size_t n, vs_signals_fn *fn, void *arg)
{
	struct vs_signals *signals = calloc(1, sizeof(*signals));
	if (!signals)
		return NULL;
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		sigaddset(&set, numbers[i]);
	signals->fn = fn;
	signals->arg = arg;
	signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals->fd < 0)
		goto err_free;
	signals->watch = vs_watch_new(loop, signals->fd, VS_READ, on_readable, signals);
	if (!signals->watch)
		goto err_close;
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signals;

err_close:;
	int error = errno;
	close(signals->fd);
	errno = error;
err_free:
	free(signals);
	return NULL;
}

void vs_signals_free(struct vs_signals *signals)
{
	if (!signals)
		return;
	vs_watch_free(signals->watch);
	close(signals->fd);
	free(signals);
}
