#include "io/grants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int vs_grants_add_tap(struct vs_grants *grants, const char *name, const struct vs_tap_config *tap)
{
	if (vs_grants_tap(grants, name))
		return -EEXIST;
	if (grants->n_taps == VS_GRANT_TAPS_MAX)
		return -ENOSPC;
	struct vs_grant_tap *slot = &grants->taps[grants->n_taps++];
	snprintf(slot->name, sizeof(slot->name), "%s", name);
	slot->tap = *tap;
	return 0;
}

static int add_bind(struct vs_grants *grants, const struct vs_grant_bind *bind, const char *interface)
{
	if (grants->n_binds == VS_GRANT_BINDS_MAX)
		return -ENOSPC;
	struct vs_grant_bind *slot = &grants->binds[grants->n_binds++];
	*slot = *bind;
	snprintf(slot->interface, sizeof(slot->interface), "%s", interface);
	return 0;
}

int vs_grants_add_bind(struct vs_grants *grants, const struct vs_addr *addr, uint32_t fwmark, const char *interface,
		       unsigned sockets)
{
	struct vs_grant_bind bind = { .addr = *addr, .sockets = (uint8_t)sockets, .fwmark = fwmark };
	return add_bind(grants, &bind, interface);
}

int vs_grants_add_tcp(struct vs_grants *grants, const struct vs_addr *addr, uint32_t fwmark, const char *interface)
{
	struct vs_grant_bind bind = { .addr = *addr, .tcp = true, .sockets = 1, .fwmark = fwmark };
	return add_bind(grants, &bind, interface);
}

int vs_grants_add_faketcp(struct vs_grants *grants, const struct vs_addr *addr, uint32_t fwmark, const char *interface)
{
	struct vs_grant_bind bind = { .addr = *addr, .tcp = true, .fake = true, .sockets = 1, .fwmark = fwmark };
	return add_bind(grants, &bind, interface);
}

int vs_grants_add_file(struct vs_grants *grants, const char *path)
{
	if (grants->n_files == VS_GRANT_FILES_MAX)
		return -ENOSPC;
	snprintf(grants->files[grants->n_files++], VS_CONFIG_PATH_MAX, "%s", path);
	return 0;
}

void vs_grants_set_log(struct vs_grants *grants, const struct vs_log_config *log)
{
	if (log->way != VS_LOG_FILE)
		return;
	memcpy(grants->log_file, log->file, sizeof(grants->log_file));
	grants->log_max_days = log->max_days;
}

const struct vs_grant_tap *vs_grants_tap(const struct vs_grants *grants, const char *name)
{
	for (size_t i = 0; i < grants->n_taps; i++)
		if (strcmp(grants->taps[i].name, name) == 0)
			return &grants->taps[i];
	return NULL;
}

/* A further UDP socket of a group that has all addresses may be bound to one of them. */
static bool covers(const struct vs_grant_bind *bind, const struct vs_grant_bind *wanted)
{
	struct vs_addr addr = wanted->addr;
	if (wanted->nth > 0 && !wanted->tcp && addr.sa.sa_family == AF_INET)
		addr.in.sin_addr.s_addr = INADDR_ANY;
	if (wanted->nth > 0 && !wanted->tcp && addr.sa.sa_family == AF_INET6) {
		addr.in6.sin6_addr = in6addr_any;
		addr.in6.sin6_scope_id = 0;
	}
	return vs_addr_equal(&bind->addr, &wanted->addr) || vs_addr_equal(&bind->addr, &addr);
}

const struct vs_grant_bind *vs_grants_bind(const struct vs_grants *grants, const struct vs_grant_bind *wanted)
{
	for (size_t i = 0; i < grants->n_binds; i++) {
		const struct vs_grant_bind *bind = &grants->binds[i];
		if (bind->tcp == wanted->tcp && bind->fake == wanted->fake && covers(bind, wanted) &&
		    bind->fwmark == wanted->fwmark && wanted->nth < bind->sockets &&
		    strcmp(bind->interface, wanted->interface) == 0)
			return bind;
	}
	return NULL;
}

const char *vs_grants_file(const struct vs_grants *grants, const char *path)
{
	for (size_t i = 0; i < grants->n_files; i++)
		if (strcmp(grants->files[i], path) == 0)
			return grants->files[i];
	return NULL;
}
