#include "io/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

/* Pause of accepting after the process has run out of file descriptors. */
#define ACCEPT_PAUSE (1 * VS_SEC)

/* A connection is either reading a request or writing a reply: a client that asks without listening waits. */
struct client {
	struct vs_list node;
	struct vs_control_server *server;
	int fd;
	struct vs_watch *watch;
	struct vs_timer idle;
	char *in; /* VS_CONTROL_REQUEST_MAX */
	size_t in_len;
	char *out; /* NULL: reading */
	size_t out_len, out_sent;
	bool closing; /* once the reply is written */
};

struct vs_control_server {
	struct vs_loop *loop;
	int fd;
	struct vs_watch *watch;
	struct vs_timer accept_again;
	struct vs_list clients;
	unsigned clients_count;
	vs_control_handler *handler;
	void *arg;
};

json_t *vs_control_drops(const struct vs_drops *drops)
{
	json_t *object = json_object();
	for (int i = 0; i < VS_DROP_COUNT; i++)
		if (drops->count[i])
			json_object_set_new(object, vs_drop_name((enum vs_drop)i),
					    json_integer((json_int_t)drops->count[i]));
	return object;
}

json_t *vs_control_refuse(const char *fmt, ...)
{
	char text[VS_CONTROL_ERROR_SIZE];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return json_pack("{s:s}", "error", text);
}

static void client_free(struct client *c)
{
	vs_list_remove(&c->node);
	c->server->clients_count--;
	vs_timer_fini(&c->idle);
	vs_watch_free(c->watch);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

static void on_idle(void *arg, uint64_t now)
{
	(void)now;
	client_free(arg);
}

static void made_progress(struct client *c)
{
	vs_timer_set(&c->idle, vs_time_add(vs_loop_now(c->server->loop), VS_CONTROL_IDLE));
}

/* --- Replies ----------------------------------------------------------------------------------------------------- */

/* The reply as a line, or NULL: too long or out of memory. */
static char *to_line(const json_t *reply, size_t *len)
{
	size_t size = json_dumpb(reply, NULL, 0, JSON_COMPACT);
	if (size == 0 || size >= VS_CONTROL_REPLY_MAX)
		return NULL;
	char *line = malloc(size + 1);
	if (!line)
		return NULL;
	json_dumpb(reply, line, size, JSON_COMPACT);
	line[size] = '\n';
	*len = size + 1;
	return line;
}

/* Takes over the reference. 0, or -1: nothing can be said, not even that. */
static int start_reply(struct client *c, json_t *reply)
{
	c->out_sent = 0;
	c->out = to_line(reply, &c->out_len);
	json_decref(reply);
	if (c->out)
		return 0;
	reply = vs_control_refuse("the reply is larger than %u bytes, or memory is out", VS_CONTROL_REPLY_MAX);
	c->out = to_line(reply, &c->out_len);
	json_decref(reply);
	return c->out ? 0 : -1;
}

static json_t *answer_line(struct client *c, const char *line, size_t len)
{
	json_error_t error;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!request)
		return vs_control_refuse("malformed request: %s", error.text);
	json_t *reply = json_is_object(request) ? c->server->handler(request, c->server->arg)
						: vs_control_refuse("malformed request: not a JSON object");
	json_decref(request);
	return reply;
}

/* Answers the first whole line that has come. 1: there was one; 0: not yet; -1: the connection is at its end. */
static int answer_next(struct client *c)
{
	char *end = memchr(c->in, '\n', c->in_len);
	if (!end && c->in_len < VS_CONTROL_REQUEST_MAX)
		return 0;
	if (!end) {
		c->closing = true;
		return start_reply(c, vs_control_refuse("the request is longer than %u bytes", VS_CONTROL_REQUEST_MAX))
			       ? -1
			       : 1;
	}
	size_t len = (size_t)(end - c->in);
	int rc = start_reply(c, answer_line(c, c->in, len));
	c->in_len -= len + 1;
	memmove(c->in, end + 1, c->in_len);
	return rc ? -1 : 1;
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* 1: the reply is written; 0: not yet; -1: the connection is at its end. */
static int write_reply(struct client *c)
{
	while (c->out_sent < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return would_block() ? 0 : -1;
		c->out_sent += (size_t)n;
		made_progress(c);
	}
	free(c->out);
	c->out = NULL;
	return c->closing ? -1 : 1;
}

/* --- Requests ---------------------------------------------------------------------------------------------------- */

/* Answers a request that has come, or goes on with the reply, as far as that goes without waiting. What is left is done
 * in the next turns, so that a client with many requests at once is no burden to others. 0, or -1: the connection is at
 * its end. */
static int serve(struct client *c)
{
	int rc = c->out ? 1 : answer_next(c);
	if (rc == 1)
		rc = write_reply(c);
	if (rc < 0)
		return -1;
	bool more = c->out || (rc == 1 && c->in_len > 0);
	vs_watch_set(c->watch, more ? VS_WRITE : VS_READ);
	return 0;
}

static int read_request(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, VS_CONTROL_REQUEST_MAX - c->in_len, MSG_DONTWAIT);
	if (n < 0)
		return would_block() ? 0 : -1;
	if (n == 0)
		return -1;
	c->in_len += (size_t)n;
	made_progress(c);
	return serve(c);
}

static void on_client(void *arg, int fd, unsigned events)
{
	(void)fd;
	struct client *c = arg;
	int rc = events & VS_READ ? read_request(c) : serve(c);
	if (rc < 0)
		client_free(c);
}

/* --- Connections ------------------------------------------------------------------------------------------------- */

static struct client *client_new(struct vs_control_server *server, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->server = server;
	c->fd = fd;
	c->in = malloc(VS_CONTROL_REQUEST_MAX);
	if (!c->in || vs_timer_init(&c->idle, server->loop, on_idle, c))
		goto err_free;
	c->watch = vs_watch_new(server->loop, fd, VS_READ, on_client, c);
	if (!c->watch)
		goto err_timer;
	vs_list_append(&server->clients, &c->node);
	server->clients_count++;
	made_progress(c);
	return c;

err_timer:
	vs_timer_fini(&c->idle);
err_free:
	free(c->in);
	free(c);
	return NULL;
}

/* A client over the limit is told so, as far as one write does that. */
static void turn_away(int fd)
{
	static const char line[] = "{\"error\":\"too many connections to the control socket\"}\n";
	(void)!send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void on_accept_again(void *arg, uint64_t now)
{
	(void)now;
	struct vs_control_server *server = arg;
	vs_watch_set(server->watch, VS_READ);
}

static void on_connection(void *arg, int listen_fd, unsigned events)
{
	(void)events;
	struct vs_control_server *server = arg;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (would_block() || errno == ECONNABORTED)
			return;
		/* The connection stays in the backlog, and would be reported again and again. */
		VS_LOG_LIMITED(VS_LOG_WARN, "cannot accept on the control socket: %s", strerror(errno));
		vs_watch_set(server->watch, 0);
		vs_timer_set(&server->accept_again, vs_time_add(vs_loop_now(server->loop), ACCEPT_PAUSE));
		return;
	}
	if (server->clients_count == VS_CONTROL_CLIENTS_MAX || !client_new(server, fd))
		turn_away(fd);
}

struct vs_control_server *vs_control_server_new(struct vs_loop *loop, int listen_fd, vs_control_handler *handler,
						void *arg)
{
	struct vs_control_server *server = calloc(1, sizeof(*server));
	if (!server)
		return NULL;
	server->loop = loop;
	server->fd = listen_fd;
	server->handler = handler;
	server->arg = arg;
	vs_list_init(&server->clients);
	int flags = fcntl(listen_fd, F_GETFL);
	if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK))
		goto err_free;
	if (vs_timer_init(&server->accept_again, loop, on_accept_again, server))
		goto err_free;
	server->watch = vs_watch_new(loop, listen_fd, VS_READ, on_connection, server);
	if (!server->watch)
		goto err_timer;
	return server;

err_timer:
	vs_timer_fini(&server->accept_again);
err_free:
	free(server);
	return NULL;
}

void vs_control_server_free(struct vs_control_server *server)
{
	struct client *c;
	if (!server)
		return;
	while ((c = VS_LIST_FIRST(&server->clients, struct client, node)))
		client_free(c);
	vs_watch_free(server->watch);
	vs_timer_fini(&server->accept_again);
	close(server->fd);
	free(server);
}
