#include "io/resolver.h"

#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/thread.h"

/* Shared by the loop and the lookup's thread. The thread writes the answer, then `answered` and the eventfd; whoever
 * lets go last frees it, so neither has to wait for the other. */
struct vs_lookup {
	atomic_int owners;
	atomic_bool answered;
	int fd;
	char name[VS_LOOKUP_NAME_MAX + 1];
	uint16_t port;
	char error[128]; /* empty: none */
	struct vs_addr addrs[VS_LOOKUP_ADDRS_MAX];
	size_t n;

	/* The loop's alone. */
	struct vs_watch *watch;
	vs_lookup_fn *fn;
	void *arg;
};

static atomic_int threads_running;

static void release(struct vs_lookup *lookup)
{
	if (atomic_fetch_sub(&lookup->owners, 1) > 1)
		return;
	close(lookup->fd);
	free(lookup);
}

static void add_addr(struct vs_lookup *lookup, const struct addrinfo *info)
{
	struct vs_addr addr = vs_addr_from_sockaddr(info->ai_addr, info->ai_addrlen);
	if (lookup->n == VS_LOOKUP_ADDRS_MAX || !vs_addr_is_set(&addr))
		return;
	for (size_t i = 0; i < lookup->n; i++)
		if (vs_addr_equal(&lookup->addrs[i], &addr))
			return;
	lookup->addrs[lookup->n++] = addr;
}

/* Asks getaddrinfo() and keeps the answer; false (EAI_NONAME) only if a numeric address was asked for and it is none.
 */
static bool ask(struct vs_lookup *lookup, int flags)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = flags};
	struct addrinfo *list = NULL;
	char service[8];
	snprintf(service, sizeof(service), "%u", lookup->port);
	/* No AI_ADDRCONFIG: an address that cannot be reached now costs nothing to try, and may be reachable later. */
	int rc = getaddrinfo(lookup->name, service, &hints, &list);
	if (rc == EAI_NONAME && flags & AI_NUMERICHOST)
		return false;
	if (rc)
		snprintf(lookup->error, sizeof(lookup->error), "%s",
			 rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	for (struct addrinfo *info = list; info; info = info->ai_next)
		add_addr(lookup, info);
	if (list)
		freeaddrinfo(list);
	if (!lookup->n && !lookup->error[0])
		snprintf(lookup->error, sizeof(lookup->error), "it has no address");
	return true;
}

static void answer(struct vs_lookup *lookup)
{
	atomic_store(&lookup->answered, true);
	eventfd_write(lookup->fd, 1);
}

static void *run_lookup(void *arg)
{
	struct vs_lookup *lookup = arg;
	(void)ask(lookup, AI_NUMERICSERV);
	answer(lookup);
	release(lookup);
	atomic_fetch_sub(&threads_running, 1);
	return NULL;
}

static void on_answer(void *arg, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	struct vs_lookup *lookup = arg;
	if (!atomic_load(&lookup->answered))
		return;
	vs_watch_free(lookup->watch);
	lookup->fn(lookup->arg, lookup->error[0] ? lookup->error : NULL, lookup->addrs, lookup->n);
	release(lookup);
}

void vs_lookup_cancel(struct vs_lookup *lookup)
{
	if (!lookup)
		return;
	vs_watch_free(lookup->watch);
	release(lookup);
}

static int start_thread(struct vs_lookup *lookup)
{
	pthread_t thread;
	if (atomic_fetch_add(&threads_running, 1) >= VS_LOOKUPS_MAX) {
		atomic_fetch_sub(&threads_running, 1);
		return -EBUSY;
	}
	atomic_fetch_add(&lookup->owners, 1);
	int rc = vs_thread_start(&thread, "vs-resolver", run_lookup, lookup);
	if (rc) {
		atomic_fetch_sub(&lookup->owners, 1);
		atomic_fetch_sub(&threads_running, 1);
		return rc;
	}
	pthread_detach(thread);
	return 0;
}

/* Answers at once if the name is a numeric address, else leaves it to a thread. */
static int begin(struct vs_lookup *lookup)
{
	if (!ask(lookup, AI_NUMERICHOST | AI_NUMERICSERV))
		return start_thread(lookup);
	answer(lookup);
	return 0;
}

int vs_lookup_start(struct vs_loop *loop, const char *name, uint16_t port, vs_lookup_fn *fn, void *arg,
		    struct vs_lookup **out)
{
	size_t len = strlen(name);
	if (len > VS_LOOKUP_NAME_MAX)
		return -ENAMETOOLONG;
	struct vs_lookup *lookup = calloc(1, sizeof(*lookup));
	if (!lookup)
		return -ENOMEM;
	atomic_init(&lookup->owners, 1);
	memcpy(lookup->name, name, len + 1);
	lookup->port = port;
	lookup->fn = fn;
	lookup->arg = arg;
	int rc = 0;
	lookup->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (lookup->fd < 0)
		rc = -errno;
	else if (!(lookup->watch = vs_watch_new(loop, lookup->fd, VS_READ, on_answer, lookup)))
		rc = -errno;
	else
		rc = begin(lookup);
	if (rc) {
		vs_lookup_cancel(lookup);
		return rc;
	}
	*out = lookup;
	return 0;
}
