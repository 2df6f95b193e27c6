#include "io/script.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "io/loop.h"

#define VARIABLES 7
#define VARIABLE_SIZE 96

struct environment {
	char text[VARIABLES][VARIABLE_SIZE];
	char *pointers[VARIABLES + 1];
};

VS_PRINTF(3, 4) static void put(struct environment *env, size_t *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(env->text[*n], VARIABLE_SIZE, fmt, ap);
	va_end(ap);
	env->pointers[*n] = env->text[*n];
	++*n;
}

static void fill(struct environment *env, const char *tap_name, const struct vs_tap_config *tap, bool up)
{
	char mac[VS_MAC_TEXT_SIZE];
	size_t n = 0;

	memset(env, 0, sizeof(*env));
	put(env, &n, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	put(env, &n, "VSWITCH_EVENT=%s", up ? "up" : "down");
	put(env, &n, "VSWITCH_NAME=%s", tap_name);
	put(env, &n, "VSWITCH_DEVICE=%s", tap->device);
	put(env, &n, "VSWITCH_MAC=%s", vs_mac_format(&tap->mac, mac));
	put(env, &n, "VSWITCH_MTU=%u", tap->mtu);
	put(env, &n, "VSWITCH_BRIDGE=%s", tap->bridge);
}

/* In the new process, up to the exec. The errno of a failure goes back through the pipe, which exec closes. */
_Noreturn static void become(const char *path, struct environment *env, int report_fd)
{
	char *arguments[] = { (char *)path, NULL };
	sigset_t none;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	int null = open("/dev/null", O_RDWR);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	execve(path, arguments, env->pointers);
	int err = errno;
	if (write(report_fd, &err, sizeof(err)) != sizeof(err))
		_exit(126);
	_exit(127);
}

/* Waits for the exec. 0, or the -errno with which it failed. */
static int read_report(int fd)
{
	int err = 0;
	ssize_t n;

	do {
		n = read(fd, &err, sizeof(err));
	} while (n < 0 && errno == EINTR);
	return n == sizeof(err) ? -err : 0;
}

/* The process that executes the program, or -errno. */
static pid_t spawn(const char *path, struct environment *env)
{
	int report[2];

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0)
		become(path, env, report[1]);
	int err = pid < 0 ? -errno : 0;
	close(report[1]);
	if (pid > 0)
		err = read_report(report[0]);
	close(report[0]);
	if (pid > 0 && err < 0)
		waitpid(pid, NULL, 0);
	return err < 0 ? err : pid;
}

int vs_script_start(struct vs_script *script, const char *tap_name, const struct vs_tap_config *tap,
		    enum vs_script_event event, uint64_t now, struct vs_fault *fault)
{
	const char *path = event == VS_SCRIPT_UP ? tap->up : tap->down;
	struct environment env;

	if (vs_script_running(script))
		return vs_fault(fault, -EBUSY, "script %s: %s is still running", path, script->path);
	fill(&env, tap_name, tap, event == VS_SCRIPT_UP);
	pid_t pid = spawn(path, &env);
	if (pid < 0)
		return vs_fault(fault, pid, "script %s: %s", path, strerror(-pid));
	script->pid = pid;
	script->deadline = vs_time_add(now, VS_SCRIPT_TIMEOUT);
	snprintf(script->path, sizeof(script->path), "%s", path);
	vs_debug("script %s started (pid %d)", path, (int)pid);
	return 0;
}

static void judge(const struct vs_script *script, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		vs_debug("script %s is done", script->path);
	else if (WIFEXITED(status))
		vs_warn("script %s ended with exit code %d", script->path, WEXITSTATUS(status));
	else
		vs_warn("script %s was killed by signal %d (%s)", script->path, WTERMSIG(status),
			strsignal(WTERMSIG(status)));
}

/* False: it is still running. */
static bool reap(struct vs_script *script, int options)
{
	int status;
	pid_t pid;

	do {
		pid = waitpid(script->pid, &status, options);
	} while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	if (pid > 0)
		judge(script, status);
	script->pid = 0;
	return true;
}

void vs_script_stop(struct vs_script *script)
{
	if (!vs_script_running(script))
		return;
	kill(-script->pid, SIGKILL);
	reap(script, 0);
}

void vs_script_poll(struct vs_script *script, uint64_t now)
{
	if (!vs_script_running(script) || reap(script, WNOHANG) || now < script->deadline)
		return;
	vs_warn("script %s took longer than %u s and is killed", script->path, (unsigned)(VS_SCRIPT_TIMEOUT / VS_SEC));
	vs_script_stop(script);
}

void vs_script_wait(struct vs_script *script)
{
	if (!vs_script_running(script))
		return;
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, script->pid, 0), .events = POLLIN };
	uint64_t now;
	while ((now = vs_clock_usec()) < script->deadline && !reap(script, WNOHANG)) {
		uint64_t left = (script->deadline - now) / VS_MSEC + 1;
		/* Kernels before 5.3 have no pidfd_open(): then it is looked every few milliseconds. */
		poll(&p, p.fd >= 0 ? 1 : 0, p.fd >= 0 ? (int)left : 5);
	}
	if (p.fd >= 0)
		close(p.fd);
	vs_script_poll(script, now);
}
