/* io/control: requests and replies, and clients that do not behave. */
#include "io/control.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/thread.h"

static char directory[] = "/tmp/vs-test-control.XXXXXX";
static char path[128];
static struct vs_loop *loop;
static struct vs_control_server *server;
static pthread_t server_thread;

static json_t *big_reply(size_t size)
{
	char *text = malloc(size);
	memset(text, 'x', size);
	json_t *reply = json_pack("{s:s#}", "text", text, (int)size);
	free(text);
	return reply;
}

static json_t *handle(json_t *request, void *arg)
{
	assert_string_equal(arg, "arg");
	const char *verb = json_string_value(json_object_get(request, "verb"));
	if (!verb)
		return vs_control_refuse("no verb\nin %s", "it");
	if (strcmp(verb, "big") == 0)
		return big_reply((size_t)json_integer_value(json_object_get(request, "size")));
	if (strcmp(verb, "null") == 0)
		return NULL;
	return json_pack("{s:s}", "echo", verb);
}

static void *serve(void *arg)
{
	assert_int_equal(vs_loop_run(arg), 0);
	return NULL;
}

static struct sockaddr_un address_of(const char *where)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	assert_true(strlen(where) < sizeof(to.sun_path));
	memcpy(to.sun_path, where, strlen(where) + 1);
	return to;
}

static int listen_at(const char *where)
{
	struct sockaddr_un to = address_of(where);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(fd, 32), 0);
	return fd;
}

static int setup(void **state)
{
	(void)state;
	loop = vs_loop_new();
	server = vs_control_server_new(loop, listen_at(path), handle, "arg");
	assert_non_null(server);
	return vs_thread_start(&server_thread, "server", serve, loop);
}

static int teardown(void **state)
{
	(void)state;
	vs_loop_stop(loop);
	pthread_join(server_thread, NULL);
	vs_control_server_free(server);
	vs_loop_free(loop);
	unlink(path);
	return 0;
}

static int call(const char *verb, json_int_t size, json_t **reply, char error[VS_CONTROL_ERROR_SIZE])
{
	json_t *request = json_pack("{s:s, s:I}", "verb", verb, "size", size);
	int rc = vs_control_call(path, request, reply, error);
	json_decref(request);
	return rc;
}

static void test_call(void **state)
{
	(void)state;
	char error[VS_CONTROL_ERROR_SIZE];
	json_t *reply;
	assert_int_equal(call("status", 0, &reply, error), 0);
	assert_string_equal(json_string_value(json_object_get(reply, "echo")), "status");
	assert_string_equal(error, "");
	json_decref(reply);
}

static void test_refusals(void **state)
{
	(void)state;
	char error[VS_CONTROL_ERROR_SIZE];
	json_t *reply, *empty = json_object();
	assert_int_equal(vs_control_call(path, empty, &reply, error), -EREMOTEIO);
	assert_null(reply);
	assert_string_equal(error, "no verb\nin it");
	json_decref(empty);
	assert_int_equal(call("null", 0, &reply, error), -EREMOTEIO);
	assert_string_not_equal(error, "");
}

static void test_big_replies(void **state)
{
	(void)state;
	char error[VS_CONTROL_ERROR_SIZE];
	json_t *reply;
	size_t size = 5u << 20;
	assert_int_equal(call("big", (json_int_t)size, &reply, error), 0);
	assert_int_equal(json_string_length(json_object_get(reply, "text")), size);
	json_decref(reply);
	assert_int_equal(call("big", VS_CONTROL_REPLY_MAX, &reply, error), -EREMOTEIO);
	assert_non_null(strstr(error, "larger"));
}

static void test_nobody_listens(void **state)
{
	(void)state;
	char error[VS_CONTROL_ERROR_SIZE], long_path[200], stale[140];
	json_t *reply, *request = json_object();
	assert_int_equal(vs_control_call("/nonexistent/socket", request, &reply, error), -ENOENT);
	assert_string_equal(error, "no test_control is running (control socket /nonexistent/socket: "
				   "No such file or directory)");
	snprintf(stale, sizeof(stale), "%s.stale", path);
	close(listen_at(stale));
	assert_int_equal(vs_control_call(stale, request, &reply, error), -ECONNREFUSED);
	assert_non_null(strstr(error, "Connection refused"));
	unlink(stale);
	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(vs_control_call(long_path, request, &reply, error), -ENAMETOOLONG);
	json_decref(request);
}

/* --- A client by hand -------------------------------------------------------------------------------------------- */

static int dial(void)
{
	struct sockaddr_un to = address_of(path);
	struct timeval patience = {.tv_sec = 5};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads a line without its end; "" at the end of the connection. */
static const char *hear(int fd)
{
	static char line[512];
	size_t n = 0;
	while (n < sizeof(line) - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return line;
}

static void test_malformed_requests(void **state)
{
	(void)state;
	static const char *const requests[] = {
		"\n",
		"nonsense\n",
		"[]\n",
		"{\"verb\":}\n",
		"{\"a\":1,\"a\":2}\n",
		"{} {}\n",
		"\xff\xfe\n",
		"{\"a\":\"\\ud800\"}\n",
	};
	int fd = dial();
	for (size_t i = 0; i < VS_ARRAY_SIZE(requests); i++) {
		say(fd, requests[i]);
		assert_non_null(strstr(hear(fd), "{\"error\":\"malformed request"));
	}
	say(fd, "{\"verb\":\"still here\"}\n");
	assert_string_equal(hear(fd), "{\"echo\":\"still here\"}");
	close(fd);
}

static void test_requests_in_pieces_and_heaps(void **state)
{
	(void)state;
	int fd = dial();
	say(fd, "{\"verb\"");
	say(fd, ":\"one\"}");
	say(fd, "\n{\"verb\":\"two\"}\n{\"verb\":\"three\"}\n{\"ve");
	say(fd, "rb\":\"four\"}\n");
	shutdown(fd, SHUT_WR);
	assert_string_equal(hear(fd), "{\"echo\":\"one\"}");
	assert_string_equal(hear(fd), "{\"echo\":\"two\"}");
	assert_string_equal(hear(fd), "{\"echo\":\"three\"}");
	assert_string_equal(hear(fd), "{\"echo\":\"four\"}");
	assert_string_equal(hear(fd), "");
	close(fd);
}

static void test_oversized_request(void **state)
{
	(void)state;
	static char junk[VS_CONTROL_REQUEST_MAX + 1];
	int fd = dial();
	memset(junk, ' ', sizeof(junk) - 1);
	say(fd, junk);
	assert_non_null(strstr(hear(fd), "longer than 65536 bytes"));
	assert_string_equal(hear(fd), "");
	close(fd);
}

/* Clients that ask for much and fetch nothing, and one that stops in the middle, do not hold up others. */
static void test_slow_clients(void **state)
{
	(void)state;
	char error[VS_CONTROL_ERROR_SIZE];
	json_t *reply;
	int slow[3];
	for (size_t i = 0; i < VS_ARRAY_SIZE(slow); i++) {
		slow[i] = dial();
		say(slow[i], i == 0 ? "{\"verb\":" : "{\"verb\":\"big\",\"size\":4000000}\n{\"verb\":\"after\"}\n");
	}
	assert_int_equal(call("status", 0, &reply, error), 0);
	json_decref(reply);
	for (size_t i = 0; i < VS_ARRAY_SIZE(slow); i++)
		close(slow[i]);
	assert_int_equal(call("status", 0, &reply, error), 0);
	json_decref(reply);
}

static void test_too_many_clients(void **state)
{
	(void)state;
	int fds[VS_CONTROL_CLIENTS_MAX];
	char error[VS_CONTROL_ERROR_SIZE];
	json_t *reply;
	for (size_t i = 0; i < VS_ARRAY_SIZE(fds); i++) {
		fds[i] = dial();
		say(fds[i], "{\"verb\":\"x\"}\n");
		assert_string_equal(hear(fds[i]), "{\"echo\":\"x\"}");
	}
	assert_int_equal(call("status", 0, &reply, error), -EREMOTEIO);
	assert_non_null(strstr(error, "too many"));
	close(fds[0]);
	while (call("status", 0, &reply, error)) /* until the server has seen that one is gone */
		;
	json_decref(reply);
	for (size_t i = 1; i < VS_ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_call),
		TEST(test_refusals),
		TEST(test_big_replies),
		TEST(test_nobody_listens),
		TEST(test_malformed_requests),
		TEST(test_requests_in_pieces_and_heaps),
		TEST(test_oversized_request),
		TEST(test_slow_clients),
		TEST(test_too_many_clients),
	};
	alarm(30); /* a hang is a failure */
	if (!mkdtemp(directory))
		return 1;
	snprintf(path, sizeof(path), "%s/socket", directory);
	program_invocation_short_name = "test_control";
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return failed;
}
