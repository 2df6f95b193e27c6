#include "io/control.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_FIRST (64u << 10)

/* One call in progress. */
struct call {
	const char *path;
	char *error;
	int fd;
	uint64_t deadline;
};

/* Says what went wrong; returns -number. */
VS_PRINTF(3, 4) static int fail(const struct call *call, int number, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(call->error, VS_CONTROL_ERROR_SIZE, fmt, ap);
	va_end(ap);
	return -number;
}

static int fail_errno(const struct call *call, int number)
{
	return fail(call, number, "control socket %s: %s", call->path, strerror(number));
}

static int fail_connect(const struct call *call, int number)
{
	switch (number) {
	case ENOENT:
	case ECONNREFUSED:
		return fail(call, number, "no %s is running (control socket %s: %s)", program_invocation_short_name,
			    call->path, strerror(number));
	case EACCES:
		return fail(call, number, "control socket %s: %s (try as root)", call->path, strerror(number));
	case EAGAIN:
		return fail(call, ETIMEDOUT, "control socket %s: too many others are waiting", call->path);
	default:
		return fail_errno(call, number);
	}
}

static int connect_to(struct call *call)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = strlen(call->path);
	if (len >= sizeof(to.sun_path))
		return fail(call, ENAMETOOLONG, "control socket %s: the path is longer than %zu characters", call->path,
			    sizeof(to.sun_path) - 1);
	memcpy(to.sun_path, call->path, len + 1);
	call->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (call->fd < 0)
		return fail_errno(call, errno);
	if (connect(call->fd, (struct sockaddr *)&to, sizeof(to)))
		return fail_connect(call, errno);
	return 0;
}

/* Waits for POLLIN or POLLOUT. */
static int wait_for(struct call *call, short events)
{
	struct pollfd p = {.fd = call->fd, .events = events};
	for (;;) {
		uint64_t now = vs_clock_usec();
		uint64_t left = call->deadline > now ? (call->deadline - now + VS_MSEC - 1) / VS_MSEC : 0;
		int n = poll(&p, 1, (int)left);
		if (n > 0)
			return 0;
		if (n == 0)
			return fail(call, ETIMEDOUT, "control socket %s: no answer within %u seconds", call->path,
				    (unsigned)(VS_CONTROL_CALL_TIMEOUT / VS_SEC));
		if (errno != EINTR)
			return fail_errno(call, errno);
	}
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static int write_all(struct call *call, const char *data, size_t len)
{
	while (len > 0) {
		int rc = wait_for(call, POLLOUT);
		if (rc)
			return rc;
		ssize_t n = send(call->fd, data, len, MSG_NOSIGNAL);
		/* Who hangs up while we write may have said why. */
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n < 0 && !would_block())
			return fail_errno(call, errno);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int write_request(struct call *call, const json_t *request)
{
	char *line = json_dumps(request, JSON_COMPACT);
	if (!line)
		return fail_errno(call, ENOMEM);
	int rc = write_all(call, line, strlen(line));
	if (rc == 0)
		rc = write_all(call, "\n", 1);
	free(line);
	return rc;
}

/* Reads more bytes behind the *len that are there: their number is added. *size is the room. */
static int read_more(struct call *call, char **line, size_t *size, size_t *len)
{
	if (*len == *size) {
		if (*size >= VS_CONTROL_REPLY_MAX)
			return fail(call, EPROTO, "control socket %s: the reply is too long", call->path);
		size_t bigger = *size ? *size * 2 : READ_FIRST;
		char *grown = realloc(*line, bigger);
		if (!grown)
			return fail_errno(call, ENOMEM);
		*line = grown;
		*size = bigger;
	}
	int rc = wait_for(call, POLLIN);
	if (rc)
		return rc;
	ssize_t n = recv(call->fd, *line + *len, *size - *len, 0);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return fail(call, EPROTO, "control socket %s: closed without an answer", call->path);
	if (n < 0)
		return would_block() ? 0 : fail_errno(call, errno);
	*len += (size_t)n;
	return 0;
}

/* Reads a line. *line is the caller's to free, also on failure; *len counts it without its end. */
static int read_line(struct call *call, char **line, size_t *len)
{
	size_t size = 0, searched = 0, have = 0;
	for (;;) {
		int rc = read_more(call, line, &size, &have);
		if (rc)
			return rc;
		char *end = memchr(*line + searched, '\n', have - searched);
		if (end) {
			*len = (size_t)(end - *line);
			return 0;
		}
		searched = have;
	}
}

static int read_reply(struct call *call, json_t **reply)
{
	char *line = NULL;
	size_t len;
	int rc = read_line(call, &line, &len);
	*reply = rc ? NULL : json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	free(line);
	if (rc)
		return rc;
	if (!json_is_object(*reply))
		return fail(call, EPROTO, "control socket %s: the reply is not a JSON object", call->path);
	const json_t *refusal = json_object_get(*reply, "error");
	if (refusal)
		return fail(call, EREMOTEIO, "%s", json_is_string(refusal) ? json_string_value(refusal) : "refused");
	return 0;
}

static int do_call(struct call *call, const json_t *request, json_t **reply)
{
	int rc = connect_to(call);
	if (rc)
		return rc;
	rc = write_request(call, request);
	return rc ? rc : read_reply(call, reply);
}

int vs_control_call(const char *path, json_t *request, json_t **reply, char error[VS_CONTROL_ERROR_SIZE])
{
	struct call call = {
		.path = path,
		.error = error,
		.fd = -1,
		.deadline = vs_time_add(vs_clock_usec(), VS_CONTROL_CALL_TIMEOUT),
	};
	json_t *answer = NULL;
	error[0] = '\0';
	int rc = do_call(&call, request, &answer);
	if (call.fd >= 0)
		close(call.fd);
	if (rc) {
		json_decref(answer);
		answer = NULL;
	}
	*reply = answer;
	return rc;
}
