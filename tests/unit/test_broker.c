/* io/broker: does what is granted, refuses the rest, survives whatever a network process may send. The system is played
 * by an ops table that hands out /dev/null. */
#include "io/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "io/broker_wire.h"

#define NOW (1000 * VS_SEC)

/* --- The fake system ---------------------------------------------------------------------------------------------- */

static struct {
	char opened[VS_IFNAME_MAX + 1];
	unsigned taps, binds, tcps, logs;
	char scripts[256]; /* "up:lan down:lan " */
	int script_error;
	int tap_error;
	bool slow;   /* scripts run until end_script() */
	pid_t child; /* the one that runs */
} fake;

static int open_null(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int fake_open_tap(const struct vs_tap_config *config, struct vs_fault *fault)
{
	if (fake.tap_error)
		return vs_fault(fault, fake.tap_error, "no TAP today");
	fake.taps++;
	strcpy(fake.opened, config->device);
	return open_null();
}

static int fake_bind_udp(const struct vs_grant_bind *bind, struct vs_fault *fault)
{
	(void)bind;
	(void)fault;
	fake.binds++;
	return open_null();
}

static int fake_open_tcp(const struct vs_grant_bind *bind, struct vs_fault *fault)
{
	(void)fault;
	assert_true(bind->tcp);
	fake.tcps++;
	return open_null();
}

static int fake_open_log(const char *path, uint32_t max_days, struct vs_fault *fault)
{
	(void)fault;
	assert_string_equal(path, "/var/log/test.log");
	assert_int_equal(max_days, 7);
	fake.logs++;
	return open_null();
}

static int fake_start_script(struct vs_script *script, const char *tap_name, const struct vs_tap_config *tap,
			     enum vs_script_event event, uint64_t now, struct vs_fault *fault)
{
	size_t used = strlen(fake.scripts);

	(void)tap;
	if (fake.script_error)
		return vs_fault(fault, fake.script_error, "no scripts today");
	snprintf(fake.scripts + used, sizeof(fake.scripts) - used, "%s:%s ", event == VS_SCRIPT_UP ? "up" : "down",
		 tap_name);
	if (!fake.slow)
		return 0;
	fake.child = fork();
	assert_true(fake.child >= 0);
	while (fake.child == 0)
		pause();
	script->pid = fake.child;
	script->deadline = vs_time_add(now, VS_SCRIPT_TIMEOUT);
	strcpy(script->path, "/etc/slow");
	return 0;
}

/* Ends the script that runs; it is there for the broker to reap when this returns. */
static void end_script(void)
{
	siginfo_t info;

	assert_int_equal(kill(fake.child, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)fake.child, &info, WEXITED | WNOWAIT), 0);
}

static const struct vs_broker_ops fake_ops = {
	.open_tap = fake_open_tap,
	.bind_udp = fake_bind_udp,
	.open_tcp = fake_open_tcp,
	.open_log = fake_open_log,
	.start_script = fake_start_script,
};

/* --- A broker with some grants ------------------------------------------------------------------------------------ */

static struct vs_broker *broker;
static int ours, theirs; /* ends of the socket pair */
static char config_path[64], key_path[64];

static struct vs_grant_bind bind_of(const char *text, uint16_t port, uint32_t mark, const char *interface)
{
	struct vs_grant_bind bind;

	memset(&bind, 0, sizeof(bind));
	assert_int_equal(vs_addr_parse(text, port, &bind.addr), 0);
	bind.fwmark = mark;
	strcpy(bind.interface, interface);
	return bind;
}

static void add_tap(struct vs_grants *grants, const char *name, const char *device, bool scripts)
{
	struct vs_tap_config tap;

	memset(&tap, 0, sizeof(tap));
	strcpy(tap.device, device);
	if (scripts) {
		strcpy(tap.up, "/etc/up");
		strcpy(tap.down, "/etc/down");
	}
	assert_int_equal(vs_grants_add_tap(grants, name, &tap), 0);
}

static void fill_grants(struct vs_grants *grants)
{
	struct vs_grant_bind bind = bind_of("192.0.2.1", 7000, 5, "eth0");

	add_tap(grants, "lan", "tap0", true);
	add_tap(grants, "guest", "tap1", false);
	assert_int_equal(vs_grants_add_bind(grants, &bind.addr, bind.fwmark, bind.interface, 1), 0);
	assert_int_equal(vs_grants_add_file(grants, key_path), 0);
	strcpy(grants->log_file, "/var/log/test.log");
	grants->log_max_days = 7;
}

/* The configuration's language: "bad" is refused, "full" is out of memory, anything else names one TAP, of
 * the device that follows a "=", else tap9. */
static int fake_grant(void *arg, const char *text, size_t len, struct vs_grants *grants)
{
	assert_ptr_equal(arg, &fake);
	assert_int_equal(strlen(text), len);
	assert_int_equal(vs_grants_add_file(grants, key_path), 0);
	if (strcmp(text, "bad") == 0)
		return -EINVAL;
	if (strcmp(text, "full") == 0)
		return -ENOMEM;
	add_tap(grants, text, text[0] == '=' ? text + 1 : "tap9", false);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	struct vs_grants *grants = calloc(1, sizeof(*grants));
	int pair[2];

	(void)state;
	memset(&fake, 0, sizeof(fake));
	snprintf(config_path, sizeof(config_path), "/tmp/test_broker.%d.ini", (int)getpid());
	snprintf(key_path, sizeof(key_path), "/tmp/test_broker.%d.key", (int)getpid());
	write_file(config_path, "new");
	write_file(key_path, "secret");
	chmod(key_path, 0640);
	assert_non_null(grants);
	fill_grants(grants);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ours = pair[0];
	theirs = pair[1];
	struct vs_broker_spec spec = {
		.ops = &fake_ops, .config_path = config_path, .grant = fake_grant, .arg = &fake
	};
	broker = vs_broker_new(&spec, theirs, grants);
	free(grants);
	vs_log_setup(VS_LOG_ERROR, NULL, NULL);
	return broker ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	vs_broker_free(broker);
	if (ours >= 0)
		close(ours);
	close(theirs);
	unlink(config_path);
	unlink(key_path);
	return 0;
}

/* --- Talking to it ------------------------------------------------------------------------------------------------ */

static struct vs_broker_reply reply;

/* Sends bytes, has them served; the reply's error, and *fd. */
static int tell(const void *bytes, size_t size, int *fd)
{
	assert_int_equal(send(ours, bytes, size, MSG_DONTWAIT), size);
	assert_int_equal(vs_broker_serve(broker, NOW), 0);
	assert_int_equal(vs_broker_receive_reply(ours, &reply, fd), 0);
	return reply.error;
}

static int ask(struct vs_broker_request *request, int *fd)
{
	static uint32_t sequence;

	request->sequence = ++sequence;
	int err = tell(request, sizeof(*request), fd);
	assert_int_equal(reply.sequence, sequence);
	assert_int_equal(err < 0, reply.fault.text[0] != '\0');
	return err;
}

/* For verbs whose reply brings a descriptor: that there is one exactly if there is no error. */
static int ask_for_fd(struct vs_broker_request *request)
{
	int fd;
	int err = ask(request, &fd);

	assert_int_equal(err == 0, fd >= 0);
	if (fd >= 0)
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	return err < 0 ? err : fd;
}

static int ask_and_close(struct vs_broker_request *request)
{
	int fd = ask_for_fd(request);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static struct vs_broker_request about(enum vs_broker_verb verb, const char *text)
{
	struct vs_broker_request request;

	memset(&request, 0, sizeof(request));
	request.verb = verb;
	strcpy(request.path, text); /* path and tap share their place */
	return request;
}

static int tap_call(enum vs_broker_verb verb, const char *name)
{
	struct vs_broker_request request = about(verb, name);
	int fd;

	if (verb == VS_BROKER_OPEN_TAP)
		return ask_and_close(&request);
	int err = ask(&request, &fd);
	assert_int_equal(fd, -1);
	return err;
}

/* --- Tests -------------------------------------------------------------------------------------------------------- */

static void test_tap_by_name_only(void **state)
{
	(void)state;
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
	assert_string_equal(fake.opened, "tap0");
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), -EEXIST);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "tap0"), -EACCES); /* a device is no name */
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, ""), -EACCES);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "guest"), 0);
	assert_string_equal(fake.opened, "tap1");
	assert_int_equal(fake.taps, 2);
}

static void test_tap_that_fails_is_not_open(void **state)
{
	(void)state;
	fake.tap_error = -EBUSY;
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), -EBUSY);
	assert_string_equal(reply.fault.text, "no TAP today");
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), -ENOENT);
	fake.tap_error = 0;
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
}

static void test_scripts_come_in_pairs(void **state)
{
	(void)state;
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), -ENOENT);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
	assert_int_equal(tap_call(VS_BROKER_CLOSE_TAP, "lan"), 0);
	assert_string_equal(fake.scripts, ""); /* it never was up */
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), 0);
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), -EALREADY);
	assert_int_equal(tap_call(VS_BROKER_CLOSE_TAP, "lan"), 0);
	assert_string_equal(fake.scripts, "up:lan down:lan ");
	vs_broker_tick(broker, NOW + 1);
	assert_int_equal(tap_call(VS_BROKER_CLOSE_TAP, "lan"), -ENOENT);
}

/* Nobody waits for a slow script: the request is refused at once, for as long as the name or the device is in use. */
static void test_open_while_a_script_runs(void **state)
{
	struct vs_broker_request request = about(VS_BROKER_READ_FILE, config_path);

	(void)state;
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), 0);
	fake.slow = true;
	assert_int_equal(tap_call(VS_BROKER_CLOSE_TAP, "lan"), 0);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), -EAGAIN);
	assert_string_equal(reply.fault.text, "TAP 'lan': script /etc/slow of device 'tap0' is still running");
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), -ENOENT);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "guest"), 0); /* others do not mind */
	write_file(config_path, "lan"); /* now on another device */
	assert_int_equal(ask_and_close(&request), 0);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), -EAGAIN);
	write_file(config_path, "=tap0"); /* another section on the same device */
	assert_int_equal(ask_and_close(&request), 0);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "=tap0"), -EAGAIN);
	end_script();
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "=tap0"), 0);
	assert_string_equal(fake.opened, "tap0");
	assert_string_equal(fake.scripts, "up:lan down:lan ");
	assert_int_equal(fake.taps, 3);
}

static void test_no_script_no_error(void **state)
{
	(void)state;
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "guest"), 0);
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "guest"), 0);
	assert_int_equal(tap_call(VS_BROKER_CLOSE_TAP, "guest"), 0);
	assert_string_equal(fake.scripts, "");
}

static void test_script_that_fails(void **state)
{
	(void)state;
	fake.script_error = -ENOENT;
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), -ENOENT);
	assert_string_equal(reply.fault.text, "no scripts today");
	vs_broker_shutdown(broker); /* says so, and goes on */
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), -ENOENT);
}

static void test_shutdown_runs_what_is_owed(void **state)
{
	(void)state;
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "guest"), 0);
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), 0);
	close(ours); /* the network process dies */
	ours = -1;
	assert_int_equal(vs_broker_serve(broker, NOW), -EPIPE);
	vs_broker_shutdown(broker);
	assert_string_equal(fake.scripts, "up:lan down:lan ");
	vs_broker_shutdown(broker);
	assert_string_equal(fake.scripts, "up:lan down:lan ");
}

static void test_bind_must_match_the_grant(void **state)
{
	static const struct {
		const char *addr;
		uint16_t port;
		uint32_t mark;
		const char *interface;
		int error;
	} cases[] = {
		{ "192.0.2.1", 7000, 5, "eth0", 0 },
		{ "192.0.2.2", 7000, 5, "eth0", -EACCES },
		{ "192.0.2.1", 7001, 5, "eth0", -EACCES },
		{ "192.0.2.1", 7000, 0, "eth0", -EACCES },
		{ "192.0.2.1", 7000, 5, "", -EACCES },
		{ "192.0.2.1", 7000, 5, "eth0.1", -EACCES },
		{ "2001:db8::1", 7000, 5, "eth0", -EACCES },
	};
	unsigned granted = 0;

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_broker_request request = about(VS_BROKER_BIND_UDP, "");
		request.bind = bind_of(cases[i].addr, cases[i].port, cases[i].mark, cases[i].interface);
		assert_int_equal(ask_and_close(&request), cases[i].error);
		granted += cases[i].error == 0;
		assert_int_equal(fake.binds, granted);
	}
}

static void test_log(void **state)
{
	struct vs_broker_request request = about(VS_BROKER_OPEN_LOG, "");

	(void)state;
	assert_int_equal(ask_and_close(&request), 0);
	assert_int_equal(fake.logs, 1);
	request = about(VS_BROKER_READ_FILE, config_path); /* the new configuration has no log file */
	assert_int_equal(ask_and_close(&request), 0);
	request = about(VS_BROKER_OPEN_LOG, "");
	assert_int_equal(ask_and_close(&request), -EACCES);
}

/* What the descriptor holds, and that it cannot be written. */
static void assert_holds(int fd, const char *text, mode_t mode)
{
	char buf[64] = "";
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, sizeof(buf) - 1), strlen(text));
	assert_string_equal(buf, text);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, mode);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
}

static void test_files(void **state)
{
	static const char *const others[] = { "/etc/passwd", "", "/tmp/../etc/passwd", "/dev/zero" };
	struct vs_broker_request request = about(VS_BROKER_READ_FILE, key_path);

	(void)state;
	assert_holds(ask_for_fd(&request), "secret", 0640);
	for (size_t i = 0; i < VS_ARRAY_SIZE(others); i++) {
		request = about(VS_BROKER_READ_FILE, others[i]);
		assert_int_equal(ask_and_close(&request), -EACCES);
	}
	unlink(key_path);
	request = about(VS_BROKER_READ_FILE, key_path);
	assert_int_equal(ask_and_close(&request), -ENOENT);
	assert_int_equal(mkfifo(key_path, 0600), 0); /* must not be waited for */
	assert_int_equal(ask_and_close(&request), -EINVAL);
}

static void test_reload(void **state)
{
	struct vs_broker_request request = about(VS_BROKER_READ_FILE, config_path);

	(void)state;
	chmod(config_path, 0600);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
	assert_int_equal(tap_call(VS_BROKER_TAP_UP, "lan"), 0);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "new"), -EACCES);
	assert_holds(ask_for_fd(&request), "new", 0600);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "new"), 0);
	assert_string_equal(fake.opened, "tap9");
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "guest"), -EACCES);
	/* A device that is configured no more is still closed properly. */
	assert_int_equal(tap_call(VS_BROKER_CLOSE_TAP, "lan"), 0);
	assert_string_equal(fake.scripts, "up:lan down:lan ");
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), -EACCES);
}

static void test_reload_that_is_refused(void **state)
{
	struct vs_broker_request request = about(VS_BROKER_READ_FILE, config_path);

	(void)state;
	chmod(config_path, 0644);
	write_file(config_path, "bad");
	assert_holds(ask_for_fd(&request), "bad", 0644); /* the network process says what is wrong with it */
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
	write_file(config_path, "full");
	assert_int_equal(ask_and_close(&request), -ENOMEM);
	assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "guest"), 0);
	unlink(config_path);
	assert_int_equal(ask_and_close(&request), -ENOENT);
	request = about(VS_BROKER_READ_FILE, key_path);
	assert_holds(ask_for_fd(&request), "secret", 0640);
}

static void test_malformed(void **state)
{
	struct vs_broker_request request = about(VS_BROKER_OPEN_TAP, "lan");
	char large[2 * sizeof(request)];
	int fd;

	(void)state;
	memset(large, 0, sizeof(large));
	memcpy(large, &request, sizeof(request));
	for (size_t size = 1; size < sizeof(request); size += 7) {
		assert_int_equal(tell(&request, size, &fd), -EBADMSG);
		assert_int_equal(fd, -1);
	}
	assert_int_equal(tell(large, sizeof(large), &fd), -EBADMSG);
	assert_int_equal(fd, -1);
	static const uint32_t verbs[] = { 0, VS_BROKER_VERBS_END, 255, UINT32_MAX };
	for (size_t i = 0; i < VS_ARRAY_SIZE(verbs); i++) {
		request.verb = verbs[i];
		assert_int_equal(ask_and_close(&request), -EBADMSG);
	}
	assert_int_equal(fake.taps, 0);
}

static void test_texts_without_end(void **state)
{
	static const enum vs_broker_verb verbs[] = {
		VS_BROKER_READ_FILE, VS_BROKER_OPEN_TAP, VS_BROKER_TAP_UP, VS_BROKER_CLOSE_TAP, VS_BROKER_BIND_UDP,
	};
	struct vs_broker_request request;

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(verbs); i++) {
		memset(&request, 'x', sizeof(request));
		request.verb = verbs[i];
		assert_int_equal(ask_and_close(&request), -EBADMSG);
	}
}

static void send_with_fd(const struct vs_broker_request *request)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)request, .iov_len = sizeof(*request) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &ours, sizeof(ours));
	assert_int_equal(sendmsg(ours, &message, MSG_DONTWAIT), sizeof(*request));
}

/* Nobody can fill the broker's table of descriptors. */
static void test_descriptors_in_requests_are_not_taken(void **state)
{
	struct vs_broker_request request = about(VS_BROKER_TAP_UP, "lan");
	int before = dup(0), fd;

	(void)state;
	close(before);
	for (int i = 0; i < 50; i++) {
		send_with_fd(&request);
		assert_int_equal(vs_broker_serve(broker, NOW), 0);
		assert_int_equal(vs_broker_receive_reply(ours, &reply, &fd), 0);
	}
	int after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

static void test_descriptors_do_not_leak(void **state)
{
	int before = dup(0);

	(void)state;
	close(before);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(tap_call(VS_BROKER_OPEN_TAP, "lan"), 0);
		assert_int_equal(tap_call(VS_BROKER_CLOSE_TAP, "lan"), 0);
		vs_broker_tick(broker, NOW);
		struct vs_broker_request request = about(VS_BROKER_READ_FILE, key_path);
		assert_int_equal(ask_and_close(&request), 0);
	}
	int after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

/* A network process that asks and does not listen must not stop the broker. */
static void test_replies_that_nobody_reads(void **state)
{
	struct vs_broker_request request = about(VS_BROKER_TAP_UP, "lan");
	int err = 0;

	(void)state;
	for (int i = 0; i < 10000 && err == 0; i++) {
		if (send(ours, &request, sizeof(request), MSG_DONTWAIT) < 0)
			break;
		err = vs_broker_serve(broker, NOW);
	}
	assert_int_equal(err, -EAGAIN);
}

static void test_nothing_to_serve(void **state)
{
	(void)state;
	assert_int_equal(vs_broker_serve(broker, NOW), 0);
	assert_true(vs_broker_deadline(broker) == VS_NEVER);
}

/* Further UDP sockets of a group that listens at all addresses may be bound to one of them, as for a plain peer. */
static void test_grant_of_all_addresses(void **state)
{
	static const struct {
		const char *granted, *wanted;
		uint16_t port;
		bool tcp;
		uint8_t nth;
		bool found;
	} cases[] = {
		{ "0.0.0.0", "192.0.2.1", 7001, false, 1, true },  { "0.0.0.0", "192.0.2.1", 7001, false, 0, false },
		{ "0.0.0.0", "192.0.2.1", 7001, false, 2, false }, { "0.0.0.0", "192.0.2.1", 7002, false, 1, false },
		{ "0.0.0.0", "192.0.2.1", 7001, true, 1, false },  { "0.0.0.0", "2001:db8::1", 7001, false, 1, false },
		{ "::", "2001:db8::1", 7001, false, 1, true },     { "::", "192.0.2.1", 7001, false, 1, false },
		{ "192.0.2.1", "192.0.2.1", 7001, false, 1, true }, { "192.0.2.1", "192.0.2.2", 7001, false, 1, false },
		{ "192.0.2.1", "0.0.0.0", 7001, false, 1, false }, { "0.0.0.0", "0.0.0.0", 7001, false, 0, true },
	};
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		struct vs_grants *grants = calloc(1, sizeof(*grants));
		assert_non_null(grants);
		struct vs_grant_bind bind = bind_of(cases[i].granted, 7001, 0, "");
		assert_int_equal(vs_grants_add_bind(grants, &bind.addr, 0, "", 2), 0);
		struct vs_grant_bind wanted = bind_of(cases[i].wanted, cases[i].port, 0, "");
		wanted.tcp = cases[i].tcp;
		wanted.nth = cases[i].nth;
		if ((vs_grants_bind(grants, &wanted) != NULL) != cases[i].found)
			fail_msg("%s for %s", cases[i].granted, cases[i].wanted);
		free(grants);
	}
}

static void test_grants_are_bounded(void **state)
{
	struct vs_grants *grants = calloc(1, sizeof(*grants));
	struct vs_tap_config tap;
	char name[16];

	(void)state;
	assert_non_null(grants);
	memset(&tap, 0, sizeof(tap));
	for (int i = 0; i <= VS_GRANT_TAPS_MAX; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		assert_int_equal(vs_grants_add_tap(grants, name, &tap), i < VS_GRANT_TAPS_MAX ? 0 : -ENOSPC);
	}
	assert_int_equal(vs_grants_add_tap(grants, "t3", &tap), -EEXIST);
	for (int i = 0; i <= VS_GRANT_FILES_MAX; i++)
		assert_int_equal(vs_grants_add_file(grants, "/f"), i < VS_GRANT_FILES_MAX ? 0 : -ENOSPC);
	struct vs_grant_bind bind = bind_of("::", 1, 0, "");
	for (int i = 0; i <= VS_GRANT_BINDS_MAX; i++)
		assert_int_equal(vs_grants_add_bind(grants, &bind.addr, 0, "", 1), i < VS_GRANT_BINDS_MAX ? 0 : -ENOSPC);
	free(grants);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_tap_by_name_only),
		TEST(test_tap_that_fails_is_not_open),
		TEST(test_scripts_come_in_pairs),
		TEST(test_open_while_a_script_runs),
		TEST(test_no_script_no_error),
		TEST(test_script_that_fails),
		TEST(test_shutdown_runs_what_is_owed),
		TEST(test_bind_must_match_the_grant),
		TEST(test_grant_of_all_addresses),
		TEST(test_log),
		TEST(test_files),
		TEST(test_reload),
		TEST(test_reload_that_is_refused),
		TEST(test_malformed),
		TEST(test_texts_without_end),
		TEST(test_descriptors_in_requests_are_not_taken),
		TEST(test_descriptors_do_not_leak),
		TEST(test_replies_that_nobody_reads),
		TEST(test_nothing_to_serve),
		cmocka_unit_test(test_grants_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
