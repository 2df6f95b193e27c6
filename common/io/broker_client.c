#include "io/broker_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/broker_wire.h"

/* Nothing here may log: the log's sink calls the opener below with its lock held. */

struct vs_broker_client {
	pthread_mutex_t lock;
	int fd;
	uint32_t sequence;
};

/* Longer than anything that the broker waits for. */
#define REPLY_TIMEOUT_SEC 30

struct vs_broker_client *vs_broker_client_new(int fd)
{
	struct timeval timeout = { .tv_sec = REPLY_TIMEOUT_SEC };
	struct vs_broker_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	pthread_mutex_init(&client->lock, NULL);
	client->fd = fd;
	/* Without the timeout a call could wait for ever, but only for a broker that is stopped. */
	(void)!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return client;
}

void vs_broker_client_free(struct vs_broker_client *client)
{
	if (!client)
		return;
	close(client->fd);
	pthread_mutex_destroy(&client->lock);
	free(client);
}

/* The reply to this request; one to an earlier request, whose caller did not wait long enough, is thrown away. */
static int await_reply(struct vs_broker_client *client, struct vs_broker_reply *reply, int *fd)
{
	for (;;) {
		int err = vs_broker_receive_reply(client->fd, reply, fd);
		if (err == 0 && reply->sequence == client->sequence)
			return 0;
		if (*fd >= 0)
			close(*fd);
		if (err < 0)
			return err == -EAGAIN ? -ETIMEDOUT : err;
	}
}

/* Sends a request, with the descriptor `with` unless it is -1. */
static int exchange(struct vs_broker_client *client, struct vs_broker_request *request, int with,
		    struct vs_broker_reply *reply, int *fd)
{
	request->sequence = ++client->sequence;
	int err = vs_broker_send_request(client->fd, request, with);
	return err < 0 ? err : await_reply(client, reply, fd);
}

/* 0, with *fd the descriptor that came with the reply, or -1; or -errno, with a descriptor all the same if one came. */
static int call(struct vs_broker_client *client, struct vs_broker_request *request, int with,
		struct vs_broker_reply *reply, int *fd, struct vs_fault *fault)
{
	pthread_mutex_lock(&client->lock);
	int err = exchange(client, request, with, reply, fd);
	pthread_mutex_unlock(&client->lock);
	if (err < 0)
		return vs_fault(fault, err, "no answer from the privileged process: %s", strerror(-err));
	if (reply->error < 0)
		*fault = reply->fault;
	return reply->error;
}

static int call_with_fd(struct vs_broker_client *client, struct vs_broker_request *request, int with,
			struct vs_fault *fault)
{
	struct vs_broker_reply reply;
	int fd = -1;

	int err = call(client, request, with, &reply, &fd, fault);
	if (err < 0)
		return err;
	return fd >= 0 ? fd : vs_fault(fault, -EMFILE, "too many open files");
}

static int call_for_fd(struct vs_broker_client *client, struct vs_broker_request *request, struct vs_fault *fault)
{
	return call_with_fd(client, request, -1, fault);
}

static int call_for_nothing(struct vs_broker_client *client, struct vs_broker_request *request, struct vs_fault *fault)
{
	struct vs_broker_reply reply;
	int fd = -1;

	int err = call(client, request, -1, &reply, &fd, fault);
	if (fd >= 0)
		close(fd);
	return err;
}

/* Requests are zeroed whole, since they are sent whole. */
static void begin(struct vs_broker_request *request, enum vs_broker_verb verb)
{
	memset(request, 0, sizeof(*request));
	request->verb = verb;
}

static int begin_tap(struct vs_broker_request *request, enum vs_broker_verb verb, const char *name,
		     struct vs_fault *fault)
{
	begin(request, verb);
	if (strlen(name) >= sizeof(request->tap))
		return vs_fault(fault, -ENAMETOOLONG, "TAP '%s': the name is too long", name);
	strcpy(request->tap, name);
	return 0;
}

int vs_broker_open_file(struct vs_broker_client *client, const char *path, struct vs_fault *fault)
{
	struct vs_broker_request request;

	begin(&request, VS_BROKER_READ_FILE);
	if (strlen(path) >= sizeof(request.path))
		return vs_fault(fault, -ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
	strcpy(request.path, path);
	return call_for_fd(client, &request, fault);
}

int vs_broker_open_tap(struct vs_broker_client *client, const char *name, struct vs_fault *fault)
{
	struct vs_broker_request request;

	int err = begin_tap(&request, VS_BROKER_OPEN_TAP, name, fault);
	return err < 0 ? err : call_for_fd(client, &request, fault);
}

int vs_broker_tap_up(struct vs_broker_client *client, const char *name, struct vs_fault *fault)
{
	struct vs_broker_request request;

	int err = begin_tap(&request, VS_BROKER_TAP_UP, name, fault);
	return err < 0 ? err : call_for_nothing(client, &request, fault);
}

int vs_broker_close_tap(struct vs_broker_client *client, const char *name, struct vs_fault *fault)
{
	struct vs_broker_request request;

	int err = begin_tap(&request, VS_BROKER_CLOSE_TAP, name, fault);
	return err < 0 ? err : call_for_nothing(client, &request, fault);
}

int vs_broker_bind_udp(struct vs_broker_client *client, const struct vs_grant_bind *bind, struct vs_fault *fault)
{
	struct vs_broker_request request;

	begin(&request, VS_BROKER_BIND_UDP);
	request.bind = *bind;
	return call_for_fd(client, &request, fault);
}

int vs_broker_open_tcp(struct vs_broker_client *client, const struct vs_grant_bind *bind, struct vs_fault *fault)
{
	struct vs_broker_request request;

	begin(&request, VS_BROKER_OPEN_TCP);
	request.bind = *bind;
	return call_for_fd(client, &request, fault);
}

int vs_broker_mute_tcp(struct vs_broker_client *client, const struct vs_grant_bind *bind, int fd,
		       struct vs_faketcp_start *start, struct vs_fault *fault)
{
	struct vs_broker_request request;
	struct vs_broker_reply reply;
	int unexpected = -1;

	begin(&request, VS_BROKER_MUTE_TCP);
	request.bind = *bind;
	int err = call(client, &request, fd, &reply, &unexpected, fault);
	if (unexpected >= 0)
		close(unexpected);
	if (err == 0)
		*start = reply.start;
	return err;
}

int vs_broker_open_raw(struct vs_broker_client *client, const struct vs_grant_bind *bind,
		       const struct vs_faketcp_scope *scope, int fd, struct vs_fault *fault)
{
	struct vs_broker_request request;

	begin(&request, VS_BROKER_OPEN_RAW);
	request.raw.of = *bind;
	request.raw.scope = *scope;
	return call_with_fd(client, &request, fd, fault);
}

static int open_for_config(void *arg, const char *path)
{
	struct vs_fault fault;

	return vs_broker_open_file(arg, path, &fault);
}

struct vs_opener vs_broker_opener(struct vs_broker_client *client)
{
	return (struct vs_opener){ .open = open_for_config, .arg = client };
}

static int open_for_log(void *arg, const char *path, unsigned max_days)
{
	struct vs_broker_request request;
	struct vs_fault fault;

	(void)path;
	(void)max_days;
	begin(&request, VS_BROKER_OPEN_LOG);
	return call_for_fd(arg, &request, &fault);
}

struct vs_log_opener vs_broker_log_opener(struct vs_broker_client *client)
{
	return (struct vs_log_opener){ .open = open_for_log, .arg = client };
}
