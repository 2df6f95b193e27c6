/* io/daemon with real processes: who has which privilege, what a kill leaves behind, signals, exit codes, scripts, the
 * control socket, the service manager. Each case runs a program of its own ("subject") in a child of the test. */
#include "io/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "io/control_socket.h"
#include "io/script.h"
#include "netns.h"

#define PATIENCE_MSEC 5000

static char dir[64];
static char control_path[128], config_path[128], script_path[128], script_out[128];
static int said[2]; /* a pipe by which the network process reports to the test, and whose end tells of its death */

/* --- The subject -------------------------------------------------------------------------------------------------- */

static void say(char what)
{
	assert_int_equal(write(said[1], &what, 1), 1);
}

static void await(char what)
{
	struct pollfd p = { .fd = said[0], .events = POLLIN };
	char got = 0;

	assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
	assert_int_equal(read(said[0], &got, 1), what ? 1 : 0);
	assert_int_equal(got, what);
}

/* All processes that could write to the pipe are gone. */
static void await_death(void)
{
	await('\0');
}

static int grant_none(void *arg, const char *text, size_t len, struct vs_grants *grants)
{
	(void)arg;
	(void)text;
	(void)len;
	(void)grants;
	return 0;
}

/* Starts a daemon; returns the pid of its parent process. */
static pid_t start(vs_daemon_fn *fn, const struct vs_grants *grants)
{
	struct vs_daemon_spec spec = {
		.program = "vstest", .config_path = config_path, .user = "nobody", .control_path = control_path,
		.grants = grants, .grant = grant_none,
	};

	assert_int_equal(pipe(said), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(said[0]);
		_exit(vs_daemon_run(&spec, fn, NULL));
	}
	close(said[1]);
	return pid;
}

static int finish(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(said[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static struct vs_grants *no_grants(void)
{
	struct vs_grants *grants = calloc(1, sizeof(*grants));

	assert_non_null(grants);
	return grants;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* --- Exit codes and privileges ------------------------------------------------------------------------------------ */

static int return_7(struct vs_daemon *daemon, void *arg)
{
	(void)arg;
	return daemon->broker && daemon->control_fd >= 0 ? 7 : 1;
}

static void test_exit_code_passes_through(void **state)
{
	struct vs_grants *grants = no_grants();

	(void)state;
	assert_int_equal(finish(start(return_7, grants)), 7);
	assert_false(exists(control_path));
	free(grants);
}

/* A field of /proc/self/status as a hexadecimal number. */
static unsigned long long status_field(const char *name)
{
	unsigned long long value = ~0ull;
	char line[256];
	FILE *file = fopen("/proc/self/status", "r");

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			value = strtoull(line + strlen(name) + 1, NULL, 16);
	if (file)
		fclose(file);
	return value;
}

static int check_privileges(struct vs_daemon *daemon, void *arg)
{
	static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };

	(void)daemon;
	(void)arg;
	for (size_t i = 0; i < VS_ARRAY_SIZE(sets); i++)
		if (status_field(sets[i]) != 0)
			return 10 + (int)i;
	if (status_field("NoNewPrivs") != 1)
		return 20;
	if (setuid(0) == 0 && geteuid() == 0 && open("/dev/net/tun", O_RDWR) >= 0) {
		/* Opening the file may be allowed to all; making a device must not be. */
		struct vs_fault fault;
		if (vs_broker_open_tap(daemon->broker, "none", &fault) != -EACCES)
			return 21;
	}
	return 0;
}

static void test_network_process_has_no_privilege(void **state)
{
	struct vs_grants *grants = no_grants();

	(void)state;
	assert_int_equal(finish(start(check_privileges, grants)), 0);
	free(grants);
}

static int check_user(struct vs_daemon *daemon, void *arg)
{
	(void)daemon;
	(void)arg;
	return getuid() == 0 || geteuid() == 0 || getegid() == 0 || getgroups(0, NULL) != 0;
}

/* Before the namespaces: there, nobody has no number. */
static void test_real_root_becomes_nobody(void **state)
{
	struct vs_grants *grants = no_grants();

	(void)state;
	if (geteuid() != 0) {
		free(grants);
		print_message("SKIP: not root\n");
		skip();
	}
	assert_int_equal(finish(start(check_user, grants)), 0);
	free(grants);
}

/* --- Death -------------------------------------------------------------------------------------------------------- */

static int wait_for_ever(struct vs_daemon *daemon, void *arg)
{
	(void)daemon;
	(void)arg;
	pid_t pid = getpid();
	say('r');
	assert_int_equal(write(said[1], &pid, sizeof(pid)), sizeof(pid));
	while (pause() < 0)
		;
	return 0;
}

static pid_t network_pid(void)
{
	pid_t pid = 0;

	await('r');
	assert_int_equal(read(said[0], &pid, sizeof(pid)), sizeof(pid));
	return pid;
}

static void test_kill_of_the_parent(void **state)
{
	struct vs_grants *grants = no_grants();

	(void)state;
	for (int i = 0; i < 5; i++) {
		pid_t parent = start(wait_for_ever, grants);
		network_pid();
		kill(parent, SIGKILL);
		assert_int_equal(waitpid(parent, NULL, 0), parent);
		/* At once, while the other process may still be dying. */
		int old = said[0];
		assert_int_equal(finish(start(return_7, grants)), 7);
		said[0] = old;
		await_death();
		close(said[0]);
	}
	free(grants);
}

static void test_kill_of_the_network_process(void **state)
{
	struct vs_grants *grants = no_grants();

	(void)state;
	pid_t parent = start(wait_for_ever, grants);
	kill(network_pid(), SIGKILL);
	assert_int_equal(finish(parent), 128 + SIGKILL);
	assert_false(exists(control_path));
	free(grants);
}

/* --- Signals ------------------------------------------------------------------------------------------------------ */

static int await_signals(struct vs_daemon *daemon, void *arg)
{
	sigset_t set;
	int first, second;

	(void)daemon;
	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	say('r');
	sigwait(&set, &first);
	say('h');
	sigwait(&set, &second);
	return first == SIGHUP && second == SIGTERM ? 0 : 1;
}

static void test_signals_are_passed_on(void **state)
{
	struct vs_grants *grants = no_grants();

	(void)state;
	pid_t parent = start(await_signals, grants);
	await('r');
	kill(parent, SIGHUP);
	await('h');
	kill(parent, SIGTERM);
	assert_int_equal(finish(parent), 0);
	free(grants);
}

/* --- Control socket ----------------------------------------------------------------------------------------------- */

static void test_second_one_is_told(void **state)
{
	struct vs_grants *grants = no_grants();
	struct vs_control_socket control;
	struct vs_fault fault;
	char expected[256];
	struct stat st;

	(void)state;
	pid_t parent = start(wait_for_ever, grants);
	pid_t network = network_pid();
	assert_int_equal(stat(control_path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(vs_control_socket_open(&control, control_path, 0600, "vstest", &fault), -EADDRINUSE);
	snprintf(expected, sizeof(expected), "control socket %s is in use by another vstest (pid %d)", control_path,
		 (int)parent);
	assert_string_equal(fault.text, expected);
	kill(network, SIGKILL);
	finish(parent);
	free(grants);
}

static void test_only_leftovers_are_removed(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vs_control_socket control;
	struct vs_fault fault;

	(void)state;
	strcpy(address.sun_path, control_path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	/* Another program's, without our lock. */
	assert_int_equal(vs_control_socket_open(&control, control_path, 0600, "vstest", &fault), -EADDRINUSE);
	close(fd);
	assert_int_equal(vs_control_socket_open(&control, control_path, 0660, "vstest", &fault), 0);
	vs_control_socket_remove(&control);
	assert_false(exists(control_path));
	fd = open(control_path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(vs_control_socket_open(&control, control_path, 0600, "vstest", &fault), -ENOTSOCK);
	close(fd);
	unlink(control_path);
	assert_int_equal(vs_control_socket_open(&control, "", 0600, "vstest", &fault), 0);
	assert_int_equal(control.listen_fd, -1);
	vs_control_socket_remove(&control);
}

/* --- TAP and scripts ---------------------------------------------------------------------------------------------- */

static void write_script(void)
{
	FILE *file = fopen(script_path, "w");

	assert_non_null(file);
	/* Whether the device is there, is what the kernel says, not we. */
	fprintf(file, "#!/bin/sh\n"
		      "there=no; grep -q \"$VSWITCH_DEVICE:\" /proc/net/dev && there=yes\n"
		      "echo $VSWITCH_EVENT $VSWITCH_NAME $VSWITCH_DEVICE $VSWITCH_MTU $VSWITCH_MAC $there >>%s\n",
		script_out);
	fclose(file);
	assert_int_equal(chmod(script_path, 0755), 0);
}

static struct vs_grants *tap_grants(void)
{
	struct vs_grants *grants = no_grants();
	struct vs_tap_config tap;

	memset(&tap, 0, sizeof(tap));
	strcpy(tap.device, "vt0");
	tap.mtu = 1300;
	assert_int_equal(vs_mac_parse("02:00:00:00:00:07", &tap.mac), 0);
	strcpy(tap.up, script_path);
	strcpy(tap.down, script_path);
	assert_int_equal(vs_grants_add_tap(grants, "lan", &tap), 0);
	return grants;
}

static int use_tap(struct vs_daemon *daemon, void *arg)
{
	struct vs_fault fault;

	int fd = vs_broker_open_tap(daemon->broker, "lan", &fault);
	if (fd < 0 || vs_broker_tap_up(daemon->broker, "lan", &fault) < 0) {
		vs_error("%s", fault.text);
		return 1;
	}
	return wait_for_ever(daemon, arg);
}

static void assert_script_output(const char *expected)
{
	char text[512] = "";
	FILE *file = fopen(script_out, "r");

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	unlink(script_out);
	assert_string_equal(text, expected);
}

static void test_down_script_after_a_kill(void **state)
{
	struct vs_grants *grants = tap_grants();

	(void)state;
	write_script();
	pid_t parent = start(use_tap, grants);
	kill(network_pid(), SIGKILL);
	assert_int_equal(finish(parent), 128 + SIGKILL);
	assert_script_output("up lan vt0 1300 02:00:00:00:00:07 yes\n"
			     "down lan vt0 1300 02:00:00:00:00:07 yes\n");
	free(grants);
}

/* Opens the TAP as soon as no script of the one before runs: a descriptor or -errno. */
static int open_tap_again(struct vs_daemon *daemon, struct vs_fault *fault)
{
	int fd = -EAGAIN;

	for (int tries = 0; tries < 2000; tries++) {
		fd = vs_broker_open_tap(daemon->broker, "lan", fault);
		if (fd != -EAGAIN)
			return fd;
		poll(NULL, 0, 10);
	}
	return fd;
}

static int reopen_tap(struct vs_daemon *daemon, void *arg)
{
	struct vs_fault fault;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		int fd = open_tap_again(daemon, &fault);
		if (fd < 0 || vs_broker_tap_up(daemon->broker, "lan", &fault) < 0 ||
		    vs_broker_close_tap(daemon->broker, "lan", &fault) < 0) {
			vs_error("%s", fault.text);
			return 1;
		}
		close(fd);
	}
	return 0;
}

/* The second opening is refused until the down script of the first has ended. */
static void test_close_and_open_again(void **state)
{
	struct vs_grants *grants = tap_grants();

	(void)state;
	write_script();
	assert_int_equal(finish(start(reopen_tap, grants)), 0);
	assert_script_output("up lan vt0 1300 02:00:00:00:00:07 yes\n"
			     "down lan vt0 1300 02:00:00:00:00:07 yes\n"
			     "up lan vt0 1300 02:00:00:00:00:07 yes\n"
			     "down lan vt0 1300 02:00:00:00:00:07 yes\n");
	free(grants);
}

static int script_missing(struct vs_daemon *daemon, void *arg)
{
	struct vs_fault fault;

	(void)arg;
	int fd = vs_broker_open_tap(daemon->broker, "lan", &fault);
	if (fd < 0)
		return 1;
	return vs_broker_tap_up(daemon->broker, "lan", &fault) == -ENOENT && strstr(fault.text, script_path) ? 0 : 2;
}

static void test_script_that_is_not_there(void **state)
{
	struct vs_grants *grants = tap_grants();

	(void)state;
	unlink(script_path);
	assert_int_equal(finish(start(script_missing, grants)), 0);
	free(grants);
}

static bool process_exists(pid_t pid)
{
	return kill(pid, 0) == 0;
}

/* The clock that counts is the one that is passed in. */
static void test_script_that_hangs(void **state)
{
	struct vs_script script = { 0 };
	struct vs_tap_config tap;
	struct vs_fault fault;

	(void)state;
	FILE *file = fopen(script_path, "w");
	assert_non_null(file);
	fprintf(file, "#!/bin/sh\nsleep 300\n");
	fclose(file);
	assert_int_equal(chmod(script_path, 0755), 0);
	memset(&tap, 0, sizeof(tap));
	strcpy(tap.up, script_path);
	assert_int_equal(vs_script_start(&script, "lan", &tap, VS_SCRIPT_UP, 5, &fault), 0);
	pid_t pid = script.pid;
	assert_int_equal(vs_script_start(&script, "lan", &tap, VS_SCRIPT_UP, 6, &fault), -EBUSY);
	vs_script_poll(&script, 5 + VS_SCRIPT_TIMEOUT - 1);
	assert_true(vs_script_running(&script));
	assert_true(process_exists(-pid));
	vs_script_poll(&script, 5 + VS_SCRIPT_TIMEOUT);
	assert_false(vs_script_running(&script));
	assert_false(process_exists(pid));
}

/* --- UDP ---------------------------------------------------------------------------------------------------------- */

static int bind_twice(struct vs_daemon *daemon, void *arg)
{
	struct vs_grant_bind bind;
	struct vs_fault fault;

	(void)arg;
	memset(&bind, 0, sizeof(bind));
	if (vs_addr_parse("127.0.0.1", 900, &bind.addr) < 0)
		return 1;
	bind.fwmark = 3;
	strcpy(bind.interface, "lo");
	int fd = vs_broker_bind_udp(daemon->broker, &bind, &fault);
	if (fd < 0) {
		vs_error("%s", fault.text);
		return 2;
	}
	int mark = 0, busy = vs_broker_bind_udp(daemon->broker, &bind, &fault);
	socklen_t len = sizeof(mark);
	if (busy != -EADDRINUSE || strcmp(fault.text, "UDP 127.0.0.1:900 is in use by another program") != 0)
		return 3;
	return getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &len) == 0 && mark == 3 ? 0 : 4;
}

static void test_privileged_bind(void **state)
{
	struct vs_grants *grants = no_grants();
	struct vs_addr addr;

	(void)state;
	assert_int_equal(vs_addr_parse("127.0.0.1", 900, &addr), 0);
	assert_int_equal(vs_grants_add_bind(grants, &addr, 3, "lo", 1), 0);
	assert_int_equal(finish(start(bind_twice, grants)), 0);
	free(grants);
}

/* --- The service manager ------------------------------------------------------------------------------------------ */

static int tell_manager(struct vs_daemon *daemon, void *arg)
{
	(void)arg;
	vs_notify_ready(&daemon->notify, "3 ports");
	vs_notify_status(&daemon->notify, "%d ports", 4);
	vs_notify_reloading(&daemon->notify);
	vs_notify_alive(&daemon->notify);
	vs_notify_stopping(&daemon->notify);
	return daemon->notify.watchdog_usec == 1500000 && !getenv("NOTIFY_SOCKET") ? 0 : 1;
}

static void assert_told(int fd, const char *expected)
{
	char text[256];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_int_equal(strncmp(text, expected, strlen(expected)), 0);
}

static void play_manager(bool abstract)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vs_grants *grants = no_grants();
	char path[96];

	int len = snprintf(path, sizeof(path), "%s%s/notify", abstract ? "@" : "", dir);
	memcpy(address.sun_path, path, (size_t)len);
	address.sun_path[0] = abstract ? '\0' : path[0];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len + !abstract)), 0);
	if (!abstract)
		assert_int_equal(chmod(path, 0777), 0);
	setenv("NOTIFY_SOCKET", path, 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	assert_int_equal(finish(start(tell_manager, grants)), 0);
	assert_told(fd, "READY=1\nSTATUS=3 ports");
	assert_told(fd, "STATUS=4 ports");
	assert_told(fd, "RELOADING=1\nMONOTONIC_USEC=");
	assert_told(fd, "WATCHDOG=1");
	assert_told(fd, "STOPPING=1");
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	close(fd);
	unlink(path);
	free(grants);
}

static void test_service_manager(void **state)
{
	(void)state;
	play_manager(false);
	play_manager(true);
}

static int make_paths(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_daemon.XXXXXX");
	if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
		return -1;
	snprintf(control_path, sizeof(control_path), "%s/run/vstest.sock", dir);
	snprintf(config_path, sizeof(config_path), "%s/vstest.ini", dir);
	snprintf(script_path, sizeof(script_path), "%s/script", dir);
	snprintf(script_out, sizeof(script_out), "%s/script.out", dir);
	return 0;
}

static int remove_paths(void **state)
{
	char run[80];

	(void)state;
	unlink(script_path);
	unlink(script_out);
	snprintf(run, sizeof(run), "%s/run", dir);
	rmdir(run);
	return rmdir(dir); /* nothing was left behind */
}

int main(void)
{
	const struct CMUnitTest outside[] = {
		cmocka_unit_test(test_real_root_becomes_nobody),
	};
	const struct CMUnitTest inside[] = {
		cmocka_unit_test(test_exit_code_passes_through),
		cmocka_unit_test(test_network_process_has_no_privilege),
		cmocka_unit_test(test_kill_of_the_parent),
		cmocka_unit_test(test_kill_of_the_network_process),
		cmocka_unit_test(test_signals_are_passed_on),
		cmocka_unit_test(test_second_one_is_told),
		cmocka_unit_test(test_only_leftovers_are_removed),
		cmocka_unit_test(test_down_script_after_a_kill),
		cmocka_unit_test(test_close_and_open_again),
		cmocka_unit_test(test_script_that_is_not_there),
		cmocka_unit_test(test_script_that_hangs),
		cmocka_unit_test(test_privileged_bind),
		cmocka_unit_test(test_service_manager),
	};
	alarm(40); /* a hang is a failure */
	int failed = cmocka_run_group_tests(outside, make_paths, remove_paths);
	vs_netns_enter();
	return failed + cmocka_run_group_tests(inside, make_paths, remove_paths);
}
