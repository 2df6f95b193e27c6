#include "io/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct vs_connect {
	int fd;
	struct vs_watch *watch;
	struct vs_timer timer;
	bool has_timer;
	vs_connected_fn *fn;
	void *arg;
};

/* All but the socket. */
static void free_connect(struct vs_connect *connect)
{
	vs_watch_free(connect->watch);
	if (connect->has_timer)
		vs_timer_fini(&connect->timer);
	free(connect);
}

static void finish(struct vs_connect *connect, int error)
{
	vs_connected_fn *fn = connect->fn;
	void *arg = connect->arg;
	int fd = connect->fd;
	free_connect(connect);
	if (error)
		close(fd);
	fn(arg, error ? -error : fd);
}

static void on_writable(void *arg, int fd, unsigned events)
{
	int error = 0;
	socklen_t len = sizeof(error);
	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	finish(arg, error);
}

static void on_timeout(void *arg, uint64_t now)
{
	(void)now;
	finish(arg, ETIMEDOUT);
}

static int start(struct vs_connect *c, struct vs_loop *loop, const struct vs_addr *peer, uint64_t timeout_usec)
{
	if (connect(c->fd, &peer->sa, vs_addr_len(peer)) < 0 && errno != EINPROGRESS)
		return -errno;
	c->watch = vs_watch_new(loop, c->fd, VS_WRITE, on_writable, c);
	if (!c->watch)
		return errno ? -errno : -ENOMEM;
	int err = vs_timer_init(&c->timer, loop, on_timeout, c);
	c->has_timer = err == 0;
	if (c->has_timer)
		vs_timer_set(&c->timer, vs_loop_now(loop) + timeout_usec);
	return err;
}

int vs_connect_start(struct vs_loop *loop, int fd, const struct vs_addr *peer, uint64_t timeout_usec,
		     vs_connected_fn *fn, void *arg, struct vs_connect **out)
{
	struct vs_connect *connect = calloc(1, sizeof(*connect));
	int err = -ENOMEM;
	if (connect) {
		connect->fd = fd;
		connect->fn = fn;
		connect->arg = arg;
		err = start(connect, loop, peer, timeout_usec);
	}
	if (err < 0) {
		if (connect)
			free_connect(connect);
		close(fd);
		return err;
	}
	*out = connect;
	return 0;
}

void vs_connect_cancel(struct vs_connect *connect)
{
	if (!connect)
		return;
	int fd = connect->fd;
	free_connect(connect);
	close(fd);
}
