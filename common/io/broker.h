/* The privileged side. The broker is the process that keeps the privileges a program was started with, so that the
 * process that parses what the network sends has none. It does a fixed set of things (io/broker_wire.h), only with what
 * the configuration grants, which it reads itself. It runs the scripts, and it holds every TAP device open as long as
 * its down script may want it, even after a sudden death of the network process.
 *
 * The broker is a single thread without a loop of its own; io/daemon.h polls for it. What it does to the system goes
 * through an ops table, so that its judgement is tested without privileges. */
#ifndef VS_IO_BROKER_H
#define VS_IO_BROKER_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/time.h"
#include "io/faketcp_socket.h"
#include "io/grants.h"
#include "io/script.h"

/* How long a bind waits for an address whose last owner may just be dying. */
#define VS_BROKER_BIND_PATIENCE (500 * VS_MSEC)

struct vs_broker;

struct vs_broker_ops {
	/* Descriptors, or -errno with a fault. */
	int (*open_tap)(const struct vs_tap_config *config, struct vs_fault *fault);
	int (*bind_udp)(const struct vs_grant_bind *bind, struct vs_fault *fault);
	int (*open_tcp)(const struct vs_grant_bind *bind, struct vs_fault *fault);
	int (*open_raw)(const struct vs_grant_bind *bind, const struct vs_faketcp_scope *scope, struct vs_fault *fault);
	/* As vs_faketcp_mute(). */
	int (*mute_tcp)(int fd, struct vs_faketcp_start *start, struct vs_fault *fault);
	int (*open_log)(const char *path, uint32_t max_days, struct vs_fault *fault);
	/* As vs_script_start(). */
	int (*start_script)(struct vs_script *script, const char *tap_name, const struct vs_tap_config *tap,
			    enum vs_script_event event, uint64_t now, struct vs_fault *fault);
};

/* The real ones. */
extern const struct vs_broker_ops vs_broker_ops_system;

struct vs_broker_spec {
	const struct vs_broker_ops *ops;
	const char *config_path; /* must outlive the broker, as `ops` must */
	/* Makes the grants of a configuration text into zeroed storage. 0; -EINVAL: it is refused, and the network
	 * process, which gets the text too, will say why; then only the granted files are used, for it to read them.
	 * Another -errno is reported to the network process. */
	int (*grant)(void *arg, const char *text, size_t len, struct vs_grants *grants);
	void *arg;
};

/* A broker that answers on `fd`, its end of the socket pair, which stays the caller's; `grants` are copied.
 * NULL: out of memory. */
struct vs_broker *vs_broker_new(const struct vs_broker_spec *spec, int fd, const struct vs_grants *grants);

/* Kills the scripts that run and lets go of all devices. NULL is accepted. */
void vs_broker_free(struct vs_broker *broker);

/* Reads one request and answers it, when the socket is readable. 0; -EPIPE: the network process has closed its end;
 * -errno. */
int vs_broker_serve(struct vs_broker *broker, uint64_t now) VS_MUST_CHECK;

/* Looks after the scripts: after SIGCHLD and at the deadline. */
void vs_broker_tick(struct vs_broker *broker, uint64_t now);
uint64_t vs_broker_deadline(const struct vs_broker *broker);

/* After the end of the network process: runs the down scripts of all devices, all at once, waits for them
 * (2 x VS_SCRIPT_TIMEOUT at most, if up scripts are running still), and lets go of the devices. */
void vs_broker_shutdown(struct vs_broker *broker);

#endif
