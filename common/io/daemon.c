#include "io/daemon.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "io/broker.h"
#include "io/control_socket.h"
#include "io/loop.h"
#include "io/privileges.h"

#define EXIT_START 1
#define EXIT_SIGNAL 128

static const int forwarded[] = { SIGTERM, SIGINT, SIGHUP };

/* What both processes have at the fork. */
struct start {
	const struct vs_daemon_spec *spec;
	struct vs_user user;
	struct vs_control_socket control;
	struct vs_notify notify;
	struct vs_broker *broker;
	int pair[2]; /* the parent's end, the child's end */
	int signal_fd;
	pid_t parent, child;
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* --- The child ---------------------------------------------------------------------------------------------------- */

/* Last, since a change of user takes the wish back; and the parent may have died before it. */
static int die_with_parent(const struct start *start, struct vs_fault *fault)
{
	if (prctl(PR_SET_PDEATHSIG, (long)SIGKILL, 0L, 0L, 0L) < 0)
		return vs_fault(fault, -errno, "PR_SET_PDEATHSIG: %s", strerror(errno));
	return getppid() == start->parent ? 0 : vs_fault(fault, -EPIPE, "the parent process has died");
}

static int become_child(struct start *start, struct vs_daemon *daemon, struct vs_fault *fault)
{
	sigset_t chld;

	vs_broker_free(start->broker);
	close_fd(&start->pair[0]);
	close_fd(&start->signal_fd);
	close_fd(&start->control.lock_fd);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &chld, NULL);
	int err = vs_privileges_drop(&start->user, fault);
	if (err == 0)
		err = die_with_parent(start, fault);
	if (err < 0)
		return err;
	daemon->control_fd = start->control.listen_fd;
	daemon->notify = start->notify;
	daemon->broker = vs_broker_client_new(start->pair[1]);
	return daemon->broker ? 0 : vs_fault(fault, -ENOMEM, "out of memory");
}

_Noreturn static void run_child(struct start *start, vs_daemon_fn *fn, void *arg)
{
	struct vs_daemon daemon = { .control_fd = -1 };
	struct vs_fault fault;

	if (become_child(start, &daemon, &fault) < 0) {
		vs_error("%s", fault.text);
		exit(EXIT_START);
	}
	int code = fn(&daemon, arg);
	vs_broker_client_free(daemon.broker);
	exit(code);
}

/* --- The parent --------------------------------------------------------------------------------------------------- */

/* A key of the terminal signals the whole foreground process group, so the child has it already. A terminal that is
 * closed signals only the leader of its session, which we may be. */
static void forward(const struct start *start, const struct signalfd_siginfo *info)
{
	if (info->ssi_code == SI_KERNEL && info->ssi_signo != SIGHUP)
		return;
	if (kill(start->child, (int)info->ssi_signo) < 0)
		vs_error("signal %u not passed on to the network process: %s", info->ssi_signo, strerror(errno));
}

static void take_signals(const struct start *start)
{
	struct signalfd_siginfo info;

	while (read(start->signal_fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			forward(start, &info);
}

static bool child_ended(const struct start *start, int *status)
{
	pid_t pid;

	do {
		pid = waitpid(start->child, status, WNOHANG);
	} while (pid < 0 && errno == EINTR);
	return pid != 0;
}

static int poll_timeout(uint64_t deadline)
{
	uint64_t now = vs_clock_usec();

	if (deadline == VS_NEVER)
		return -1;
	return deadline > now ? (int)VS_MIN((deadline - now) / VS_MSEC + 1, 60000) : 0;
}

/* Serves the child until it ends; its status. */
static int serve(struct start *start)
{
	struct pollfd fds[] = {
		{ .fd = start->signal_fd, .events = POLLIN },
		{ .fd = start->pair[0], .events = POLLIN },
	};
	int status = 0;

	while (!child_ended(start, &status)) {
		int timeout = poll_timeout(vs_broker_deadline(start->broker));
		if (poll(fds, VS_ARRAY_SIZE(fds), timeout) < 0 && errno != EINTR)
			vs_error("waiting: %s", strerror(errno));
		take_signals(start);
		uint64_t now = vs_clock_usec();
		/* Once the child has hung up, which poll() would report for ever, only its end is waited for. */
		if (fds[1].fd >= 0 && fds[1].revents && vs_broker_serve(start->broker, now) < 0)
			fds[1].fd = -1;
		vs_broker_tick(start->broker, now);
	}
	return status;
}

static int exit_code(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	vs_error("the network process was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return EXIT_SIGNAL + WTERMSIG(status);
}

static void name_process(const char *program)
{
	char name[16];

	snprintf(name, sizeof(name), "%s-broker", program);
	prctl(PR_SET_NAME, name, 0L, 0L, 0L);
}

static int run_parent(struct start *start)
{
	close_fd(&start->pair[1]);
	/* The child alone listens: if it dies, clients see that at once. The lock stays here. */
	close_fd(&start->control.listen_fd);
	name_process(start->spec->program);
	int code = exit_code(serve(start));
	vs_broker_shutdown(start->broker);
	return code;
}

/* --- Starting ----------------------------------------------------------------------------------------------------- */

/* From here on no signal is lost, whoever will read it; and neither process ends because the reader of its log has,
 * which would leave devices without their down scripts. */
static int block_signals(struct start *start, struct vs_fault *fault)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < VS_ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return vs_fault(fault, -errno, "blocking signals: %s", strerror(errno));
	start->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return start->signal_fd < 0 ? vs_fault(fault, -errno, "signalfd: %s", strerror(errno)) : 0;
}

static int make_broker(struct start *start, struct vs_fault *fault)
{
	struct vs_broker_spec spec = {
		.ops = &vs_broker_ops_system,
		.config_path = start->spec->config_path,
		.grant = start->spec->grant,
		.arg = start->spec->grant_arg,
	};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, start->pair) < 0)
		return vs_fault(fault, -errno, "socketpair: %s", strerror(errno));
	start->broker = vs_broker_new(&spec, start->pair[0], start->spec->grants);
	return start->broker ? 0 : vs_fault(fault, -ENOMEM, "out of memory");
}

static int prepare(struct start *start, struct vs_fault *fault)
{
	const struct vs_daemon_spec *spec = start->spec;
	mode_t mode = spec->control_mode ? spec->control_mode : 0600;

	int err = vs_user_find(&start->user, spec->user, fault);
	if (err == 0)
		err = vs_control_socket_open(&start->control, spec->control_path, mode, spec->program, fault);
	if (err == 0)
		err = block_signals(start, fault);
	if (err == 0)
		err = make_broker(start, fault);
	if (err < 0)
		return err;
	vs_raise_file_limit();
	vs_notify_init(&start->notify);
	start->parent = getpid();
	fflush(NULL); /* or both processes would write what is buffered */
	start->child = fork();
	return start->child < 0 ? vs_fault(fault, -errno, "fork: %s", strerror(errno)) : 0;
}

static void clean_up(struct start *start)
{
	vs_broker_free(start->broker);
	vs_notify_fini(&start->notify);
	vs_control_socket_remove(&start->control);
	close_fd(&start->signal_fd);
	close_fd(&start->pair[0]);
	close_fd(&start->pair[1]);
}

int vs_daemon_run(const struct vs_daemon_spec *spec, vs_daemon_fn *fn, void *arg)
{
	struct start start = {
		.spec = spec,
		.control = { .lock_fd = -1, .listen_fd = -1 },
		.notify = { .fd = -1 },
		.pair = { -1, -1 },
		.signal_fd = -1,
	};
	struct vs_fault fault;
	int code = EXIT_START;

	if (prepare(&start, &fault) < 0)
		vs_error("%s", fault.text);
	else if (start.child == 0)
		run_child(&start, fn, arg);
	else
		code = run_parent(&start);
	clean_up(&start);
	return code;
}
