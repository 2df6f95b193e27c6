#include "io/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "io/broker_wire.h"
#include "io/loop.h"
#include "io/snapshot.h"

/* A device that the network process was given. The configuration is a copy: a reload may have changed the grants. */
struct open_tap {
	bool used;
	bool announced; /* TAP_UP was asked for, so its down script is owed */
	bool closing;   /* the down script is next, or is running; then it goes */
	int fd;         /* ours, beside the network process's */
	struct vs_grant_tap grant;
	struct vs_script script;
};

struct vs_broker {
	struct vs_broker_spec spec;
	int fd;
	struct vs_grants grants;
	struct open_tap taps[VS_GRANT_TAPS_MAX];
};

struct vs_broker *vs_broker_new(const struct vs_broker_spec *spec, int fd, const struct vs_grants *grants)
{
	struct vs_broker *broker = calloc(1, sizeof(*broker));

	if (!broker)
		return NULL;
	broker->spec = *spec;
	broker->fd = fd;
	broker->grants = *grants;
	return broker;
}

/* --- Devices ------------------------------------------------------------------------------------------------------ */

static struct open_tap *find_tap(struct vs_broker *broker, const char *name)
{
	for (size_t i = 0; i < VS_GRANT_TAPS_MAX; i++)
		if (broker->taps[i].used && strcmp(broker->taps[i].grant.name, name) == 0)
			return &broker->taps[i];
	return NULL;
}

static struct open_tap *free_slot(struct vs_broker *broker)
{
	for (size_t i = 0; i < VS_GRANT_TAPS_MAX; i++)
		if (!broker->taps[i].used)
			return &broker->taps[i];
	return NULL;
}

static void let_go(struct open_tap *tap)
{
	vs_script_stop(&tap->script);
	close(tap->fd);
	memset(tap, 0, sizeof(*tap));
}

void vs_broker_free(struct vs_broker *broker)
{
	if (!broker)
		return;
	for (size_t i = 0; i < VS_GRANT_TAPS_MAX; i++)
		if (broker->taps[i].used)
			let_go(&broker->taps[i]);
	free(broker);
}

/* The next step of a device that is to go, as soon as no script of it runs: its down script, or the end. */
static void advance_closing(struct vs_broker *broker, struct open_tap *tap, uint64_t now)
{
	struct vs_fault fault;

	if (!tap->closing || vs_script_running(&tap->script))
		return;
	bool owed = tap->announced && tap->grant.tap.down[0];
	tap->announced = false;
	if (owed) {
		if (broker->spec.ops->start_script(&tap->script, tap->grant.name, &tap->grant.tap, VS_SCRIPT_DOWN, now,
						   &fault) == 0)
			return;
		vs_warn("%s", fault.text);
	}
	let_go(tap);
}

static void finish_closing(struct vs_broker *broker, struct open_tap *tap)
{
	while (tap->used) {
		vs_script_wait(&tap->script);
		advance_closing(broker, tap, vs_clock_usec());
	}
}

/* Whether a device that is going away still stands in the way of this one: by its own name or by its section's. */
static struct open_tap *find_closing(struct vs_broker *broker, const struct vs_grant_tap *grant)
{
	for (size_t i = 0; i < VS_GRANT_TAPS_MAX; i++) {
		struct open_tap *tap = &broker->taps[i];
		if (tap->used && tap->closing &&
		    (strcmp(tap->grant.tap.device, grant->tap.device) == 0 || strcmp(tap->grant.name, grant->name) == 0))
			return tap;
	}
	return NULL;
}

void vs_broker_tick(struct vs_broker *broker, uint64_t now)
{
	for (size_t i = 0; i < VS_GRANT_TAPS_MAX; i++) {
		struct open_tap *tap = &broker->taps[i];
		if (!tap->used)
			continue;
		vs_script_poll(&tap->script, now);
		advance_closing(broker, tap, now);
	}
}

uint64_t vs_broker_deadline(const struct vs_broker *broker)
{
	uint64_t deadline = VS_NEVER;

	for (size_t i = 0; i < VS_GRANT_TAPS_MAX; i++)
		if (broker->taps[i].used && vs_script_running(&broker->taps[i].script))
			deadline = vs_time_min(deadline, broker->taps[i].script.deadline);
	return deadline;
}

void vs_broker_shutdown(struct vs_broker *broker)
{
	for (size_t i = 0; i < VS_GRANT_TAPS_MAX; i++)
		broker->taps[i].closing = broker->taps[i].used;
	vs_broker_tick(broker, vs_clock_usec());
	for (size_t i = 0; i < VS_GRANT_TAPS_MAX; i++)
		finish_closing(broker, &broker->taps[i]);
}

/* --- Requests; each returns a descriptor for the reply, NO_FD or -errno ------------------------------------------- */

#define NO_FD INT32_MAX

/* What no network process of ours in its right mind asks for. */
VS_PRINTF(3, 4) static int refuse(struct vs_fault *fault, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
	va_end(ap);
	VS_LOG_LIMITED(VS_LOG_WARN, "refused to the network process: %s", fault->text);
	return error;
}

/* The grants of the new text hold from now on, if it is accepted. */
static int renew_grants(struct vs_broker *broker, const char *text, size_t len)
{
	struct vs_grants *fresh = calloc(1, sizeof(*fresh));

	if (!fresh)
		return -ENOMEM;
	int err = broker->spec.grant(broker->spec.arg, text, len, fresh);
	if (err == 0) {
		broker->grants = *fresh;
	} else if (err == -EINVAL) {
		broker->grants.n_files = fresh->n_files;
		memcpy(broker->grants.files, fresh->files, sizeof(fresh->files));
		err = 0;
	}
	free(fresh);
	return err;
}

static int read_file(struct vs_broker *broker, const struct vs_broker_request *request, struct vs_fault *fault)
{
	bool is_config = strcmp(request->path, broker->spec.config_path) == 0;
	struct vs_snapshot snapshot;

	if (!is_config && !vs_grants_file(&broker->grants, request->path))
		return refuse(fault, -EACCES, "%s: the configuration names no such file", request->path);
	int err = vs_snapshot_take(&snapshot, request->path);
	if (err == 0 && is_config)
		err = renew_grants(broker, snapshot.text, snapshot.len);
	int fd = err < 0 ? err : vs_snapshot_export(&snapshot);
	vs_snapshot_fini(&snapshot);
	return fd < 0 ? vs_fault(fault, fd, "%s: %s", request->path, strerror(-fd)) : fd;
}

static int not_open(const char *name, struct vs_fault *fault)
{
	return vs_fault(fault, -ENOENT, "TAP '%s' is not open", name);
}

/* Nobody waits here for a script: the network process would stand still meanwhile. */
static int open_tap(struct vs_broker *broker, const struct vs_broker_request *request, uint64_t now,
		    struct vs_fault *fault)
{
	const struct vs_grant_tap *grant = vs_grants_tap(&broker->grants, request->tap);

	if (!grant)
		return refuse(fault, -EACCES, "TAP '%s': the configuration has none of that name", request->tap);
	vs_broker_tick(broker, now);
	struct open_tap *tap = find_closing(broker, grant);
	if (tap)
		return vs_fault(fault, -EAGAIN, "TAP '%s': script %s of device '%s' is still running", grant->name,
				tap->script.path, tap->grant.tap.device);
	if (find_tap(broker, grant->name))
		return vs_fault(fault, -EEXIST, "TAP '%s' is open already", grant->name);
	tap = free_slot(broker);
	if (!tap)
		return vs_fault(fault, -ENOSPC, "TAP '%s': %d are open already", grant->name, VS_GRANT_TAPS_MAX);
	int fd = broker->spec.ops->open_tap(&grant->tap, fault);
	if (fd < 0)
		return fd;
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (kept < 0) {
		int err = -errno;
		close(fd);
		return vs_fault(fault, err, "TAP '%s': %s", grant->name, strerror(-err));
	}
	*tap = (struct open_tap){ .used = true, .fd = kept, .grant = *grant };
	return fd;
}

static int tap_up(struct vs_broker *broker, const struct vs_broker_request *request, uint64_t now,
		  struct vs_fault *fault)
{
	struct open_tap *tap = find_tap(broker, request->tap);

	if (!tap || tap->closing)
		return not_open(request->tap, fault);
	if (tap->announced)
		return vs_fault(fault, -EALREADY, "TAP '%s' is up already", request->tap);
	tap->announced = true;
	if (!tap->grant.tap.up[0])
		return NO_FD;
	int err = broker->spec.ops->start_script(&tap->script, tap->grant.name, &tap->grant.tap, VS_SCRIPT_UP, now,
						 fault);
	return err < 0 ? err : NO_FD;
}

static int close_tap(struct vs_broker *broker, const struct vs_broker_request *request, uint64_t now,
		     struct vs_fault *fault)
{
	struct open_tap *tap = find_tap(broker, request->tap);

	if (!tap || tap->closing)
		return not_open(request->tap, fault);
	tap->closing = true;
	advance_closing(broker, tap, now);
	return NO_FD;
}

static int open_socket(struct vs_broker *broker, const struct vs_broker_request *request, struct vs_fault *fault)
{
	const struct vs_broker_ops *ops = broker->spec.ops;
	bool tcp = request->verb == VS_BROKER_OPEN_TCP;
	struct vs_grant_bind wanted = request->bind;
	char text[VS_ADDR_TEXT_MAX];

	wanted.tcp = tcp;
	wanted.fake = tcp && wanted.fake;
	const struct vs_grant_bind *bind = vs_grants_bind(&broker->grants, &wanted);
	if (!bind)
		return refuse(fault, -EACCES, "%s %s: the configuration names no such address, mark and interface",
			      tcp ? "TCP" : "UDP", vs_addr_format(&wanted.addr, text));
	wanted.sockets = bind->sockets;
	return tcp ? ops->open_tcp(&wanted, fault) : ops->bind_udp(&wanted, fault);
}

static const struct vs_grant_bind *find_fake(const struct vs_broker *broker, const struct vs_grant_bind *wanted,
					     struct vs_fault *fault)
{
	char text[VS_ADDR_TEXT_MAX];
	struct vs_grant_bind fake = *wanted;

	fake.tcp = fake.fake = true;
	const struct vs_grant_bind *bind = vs_grants_bind(&broker->grants, &fake);
	if (!bind)
		refuse(fault, -EACCES, "fake TCP %s: the configuration names no such address, mark and interface",
		       vs_addr_format(&fake.addr, text));
	return bind;
}

/* A socket is somebody's own connection: who has none cannot have others' silenced. */
static int mute_tcp(struct vs_broker *broker, const struct vs_broker_request *request, int fd,
		    struct vs_faketcp_start *start, struct vs_fault *fault)
{
	const struct vs_grant_bind *bind = find_fake(broker, &request->bind, fault);

	if (!bind)
		return -EACCES;
	if (!vs_faketcp_is_local(fd, &bind->addr))
		return refuse(fault, -EACCES, "fake TCP: not a socket of that address");
	int err = broker->spec.ops->mute_tcp(fd, start, fault);
	return err < 0 ? err : NO_FD;
}

/* A listener sees what comes to its port; who connects, what comes from the one peer to the address and port that a
 * socket of theirs is bound to: on another of the host's addresses, the port may be somebody else's. */
static int open_raw(struct vs_broker *broker, const struct vs_broker_request *request, int fd, struct vs_fault *fault)
{
	const struct vs_grant_bind *bind = find_fake(broker, &request->raw.of, fault);
	struct vs_faketcp_scope scope = request->raw.scope;

	if (!bind)
		return -EACCES;
	bool dials = vs_addr_port(&bind->addr) == 0;
	if (dials != (scope.share == VS_FAKETCP_PEER) ||
	    (dials && (vs_addr_port(&scope.local) == 0 || vs_addr_port(&scope.peer) == 0 ||
		       scope.peer.sa.sa_family != scope.local.sa.sa_family || !vs_faketcp_is_bound(fd, &scope.local))))
		return refuse(fault, -EACCES, "fake TCP: no raw socket for what is not ours");
	if (!dials)
		scope.local = bind->addr;
	return broker->spec.ops->open_raw(bind, &scope, fault);
}

static int open_log(struct vs_broker *broker, struct vs_fault *fault)
{
	if (!broker->grants.log_file[0])
		return refuse(fault, -EACCES, "the configuration names no log file");
	return broker->spec.ops->open_log(broker->grants.log_file, broker->grants.log_max_days, fault);
}

static int carry_out(struct vs_broker *broker, const struct vs_broker_request *request, int fd, uint64_t now,
		     struct vs_broker_reply *reply)
{
	struct vs_fault *fault = &reply->fault;

	switch (request->verb) {
	case VS_BROKER_READ_FILE:
		return read_file(broker, request, fault);
	case VS_BROKER_OPEN_TAP:
		return open_tap(broker, request, now, fault);
	case VS_BROKER_TAP_UP:
		return tap_up(broker, request, now, fault);
	case VS_BROKER_CLOSE_TAP:
		return close_tap(broker, request, now, fault);
	case VS_BROKER_BIND_UDP:
	case VS_BROKER_OPEN_TCP:
		return open_socket(broker, request, fault);
	case VS_BROKER_MUTE_TCP:
		return mute_tcp(broker, request, fd, &reply->start, fault);
	case VS_BROKER_OPEN_RAW:
		return open_raw(broker, request, fd, fault);
	case VS_BROKER_OPEN_LOG:
		return open_log(broker, fault);
	default:
		return refuse(fault, -EBADMSG, "unknown request %u", request->verb);
	}
}

/* --- Messages ----------------------------------------------------------------------------------------------------- */

static int answer(struct vs_broker *broker, const struct vs_broker_request *request, size_t size, int fd, uint64_t now)
{
	struct vs_broker_reply reply;
	int result;

	memset(&reply, 0, sizeof(reply));
	if (size >= offsetof(struct vs_broker_request, path))
		reply.sequence = request->sequence;
	if (vs_broker_request_valid(request, size))
		result = carry_out(broker, request, fd, now, &reply);
	else
		result = refuse(&reply.fault, -EBADMSG, "malformed request");
	bool has_fd = result >= 0 && result != NO_FD;
	reply.error = result < 0 ? result : 0;
	int err = vs_broker_send_reply(broker->fd, &reply, has_fd ? result : -1);
	if (has_fd)
		close(result);
	return err;
}

int vs_broker_serve(struct vs_broker *broker, uint64_t now)
{
	struct vs_broker_request request;
	int fd;

	ssize_t n = vs_broker_receive_request(broker->fd, &request, &fd);
	if (n <= 0)
		return n == -EAGAIN ? 0 : n == 0 || n == -ECONNRESET ? -EPIPE : (int)n;
	int err = answer(broker, &request, (size_t)n, fd, now);
	if (fd >= 0)
		close(fd);
	return err;
}
