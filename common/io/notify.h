/* The service manager's notification protocol (sd_notify(3)), without its library: readiness, status, watchdog. Where
 * no service manager listens, all of it does nothing. The unit needs NotifyAccess=all, since it is not the main process
 * that knows when it is ready, but the network process, its child. */
#ifndef VS_IO_NOTIFY_H
#define VS_IO_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/compiler.h"

struct vs_notify {
	int fd; /* -1: nobody listens */
	struct sockaddr_un to;
	socklen_t to_len;
	uint64_t watchdog_usec; /* 0: no watchdog; else vs_notify_alive() is due at least this often */
};

/* Takes NOTIFY_SOCKET (a path, or '@' and an abstract name) and WATCHDOG_USEC out of the environment, so that no child
 * believes that it is meant. To be called by the main process, which WATCHDOG_PID names; the result is valid in its
 * children. The interval is half of what the service manager waits for. */
void vs_notify_init(struct vs_notify *notify);
void vs_notify_fini(struct vs_notify *notify);

/* Started, or done with reloading. `status` is one line for people ("3 ports up"); NULL: none. */
void vs_notify_ready(const struct vs_notify *notify, const char *status);
void vs_notify_status(const struct vs_notify *notify, const char *fmt, ...) VS_PRINTF(2, 3);
/* A reload begins; vs_notify_ready() ends it (Type=notify-reload). */
void vs_notify_reloading(const struct vs_notify *notify);
void vs_notify_stopping(const struct vs_notify *notify);
/* To be called every watchdog_usec by the loop, if that is not 0. */
void vs_notify_alive(const struct vs_notify *notify);

#endif
