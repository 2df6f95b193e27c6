#include "io/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "io/value.h"

#define MESSAGE_MAX 512

static bool parse_socket(struct vs_notify *notify, const char *name)
{
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(notify->to.sun_path))
		return false;
	notify->to.sun_family = AF_UNIX;
	memcpy(notify->to.sun_path, name, len);
	notify->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (name[0] == '@')
		notify->to.sun_path[0] = '\0';
	else
		notify->to_len++;
	return true;
}

static uint64_t parse_watchdog(const char *usec, const char *pid)
{
	uint64_t interval, owner;

	if (!usec || vs_parse_uint(usec, 1, UINT64_MAX, &interval) < 0)
		return 0;
	if (pid && (vs_parse_uint(pid, 1, INT32_MAX, &owner) < 0 || owner != (uint64_t)getpid()))
		return 0;
	return VS_MAX(interval / 2, 1);
}

void vs_notify_init(struct vs_notify *notify)
{
	const char *name = getenv("NOTIFY_SOCKET");

	memset(notify, 0, sizeof(*notify));
	notify->fd = -1;
	if (name && parse_socket(notify, name)) {
		notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		notify->watchdog_usec = parse_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void vs_notify_fini(struct vs_notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

/* Does not wait: a service manager that is too busy to listen must not stop the network. */
static void tell(const struct vs_notify *notify, const char *text)
{
	if (notify->fd < 0)
		return;
	if (sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&notify->to,
		   notify->to_len) < 0)
		VS_LOG_LIMITED(VS_LOG_WARN, "service manager not notified: %s", strerror(errno));
}

void vs_notify_ready(const struct vs_notify *notify, const char *status)
{
	char text[MESSAGE_MAX];

	snprintf(text, sizeof(text), "READY=1%s%s", status ? "\nSTATUS=" : "", status ? status : "");
	tell(notify, text);
}

void vs_notify_status(const struct vs_notify *notify, const char *fmt, ...)
{
	char text[MESSAGE_MAX] = "STATUS=";
	size_t used = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + used, sizeof(text) - used, fmt, ap);
	va_end(ap);
	tell(notify, text);
}

void vs_notify_reloading(const struct vs_notify *notify)
{
	char text[MESSAGE_MAX];
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	uint64_t usec = (uint64_t)ts.tv_sec * VS_SEC + (uint64_t)ts.tv_nsec / 1000;
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)usec);
	tell(notify, text);
}

void vs_notify_stopping(const struct vs_notify *notify)
{
	tell(notify, "STOPPING=1");
}

void vs_notify_alive(const struct vs_notify *notify)
{
	tell(notify, "WATCHDOG=1");
}
