/* A program as two processes. The parent is the one that was started: it keeps its privileges, becomes the broker
 * (io/broker.h), passes signals on, and ends with its child's exit code after it has run the down scripts and removed
 * the control socket. The child is the network process: unprivileged, without a capability, it runs everything else.
 * Neither outlives the other: the kernel kills the child when the parent dies (PR_SET_PDEATHSIG), and a broker without
 * its network process has nothing left to do but to clean up. Whatever is killed, and how, nothing stays behind that
 * would prevent the next start.
 *
 * How a program uses it (the server; the client has one TAP and no list of ports):
 *
 *	static int grant(const struct vs_server_config *config, struct vs_grants *grants);  // add_tap, add_bind, ...
 *
 *	static int on_grant(void *arg, const char *text, size_t len, struct vs_grants *grants)  // in the parent
 *	{
 *		... vs_server_config_parse(&config, path, text, len, &vs_opener_direct, &complaints);
 *		... vs_grants_add_file(grants, config.identity.private_key_file);  // also where the rest is refused
 *		return err ? err : grant(&config, grants);
 *	}
 *
 *	static int network(struct vs_daemon *daemon, void *arg)  // in the child; returns the exit code
 *	{
 *		log_opener = vs_broker_log_opener(daemon->broker);
 *		vs_logsink_open(&config->log, "vswitchs", &log_opener);  // so that it can change files at midnight
 *		loop = vs_loop_new();
 *		vs_loop_take_signals(loop, (int[]){ SIGTERM, SIGINT, SIGHUP }, 3, on_signal, server);
 *		for each tap:
 *			fd = vs_broker_open_tap(daemon->broker, name, &fault);
 *		fd4 = vs_broker_bind_udp(daemon->broker, &bind, &fault);
 *		vs_control_server_new(loop, daemon->control_fd, on_request, server);
 *		for each tap:
 *			vs_broker_tap_up(daemon->broker, name, &fault);  // runs beside us from here on
 *		vs_notify_ready(&daemon->notify, "listening on ...");
 *		vs_loop_run(loop);  // a timer calls vs_notify_alive() every daemon->notify.watchdog_usec
 *		vs_notify_stopping(&daemon->notify);
 *		return 0;
 *	}
 *
 *	int vs_server_run(const char *path)
 *	{
 *		vs_server_config_load(&config, path, &vs_opener_direct, &complaints);  // errors: print them, return 1
 *		vs_logsink_open(&config.log, "vswitchs", &vs_log_opener_direct);
 *		grants = calloc(1, sizeof(*grants)); grant(&config, grants);
 *		spec = { .program = "vswitchs", .config_path = path, .user = config.user,
 *			 .control_path = config.control, .grants = grants, .grant = on_grant };
 *		return vs_daemon_run(&spec, network, &context);
 *	}
 *
 * Reload, in the child: vs_notify_reloading(); vs_server_config_load() with vs_broker_opener(daemon->broker); open
 * what is new, vs_broker_close_tap() what is gone; vs_notify_ready(). */
#ifndef VS_IO_DAEMON_H
#define VS_IO_DAEMON_H

#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "io/broker_client.h"
#include "io/grants.h"
#include "io/notify.h"

struct vs_daemon_spec {
	const char *program; /* "vswitchs": for messages and for the name of the process */
	const char *config_path;
	const char *user;         /* whom the child becomes, if started by root */
	const char *control_path; /* "": no control socket */
	mode_t control_mode;      /* 0: 0600 */
	const struct vs_grants *grants; /* of the configuration as it stands; copied */
	/* Of a configuration that has changed; as in struct vs_broker_spec. Runs in the parent. */
	int (*grant)(void *arg, const char *text, size_t len, struct vs_grants *grants);
	void *grant_arg;
};

/* What the child is given. The control socket is its own; the rest belongs to the daemon. */
struct vs_daemon {
	struct vs_broker_client *broker;
	int control_fd; /* listening; -1: none */
	struct vs_notify notify;
};

/* The work of the child, in its own process; returns its exit code. SIGTERM, SIGINT and SIGHUP are blocked and wait for
 * vs_loop_take_signals(); SIGPIPE is ignored. No thread may run before. */
typedef int vs_daemon_fn(struct vs_daemon *daemon, void *arg);

/* Opens the control socket, forks, and runs both sides to their end. Returns, in the parent only, the exit code of the
 * program: the child's; 128 plus the number of the signal that killed it; or 1 where it could not be started, which has
 * then been logged as one error. */
int vs_daemon_run(const struct vs_daemon_spec *spec, vs_daemon_fn *fn, void *arg) VS_MUST_CHECK;

#endif
