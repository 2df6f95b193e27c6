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

int vs_grants_add_bind(struct vs_grants *grants, const struct vs_addr *addr, uint32_t fwmark, const char *interface,
		       unsigned sockets)
{
	if (grants->n_binds == VS_GRANT_BINDS_MAX)
		return -ENOSPC;
	struct vs_grant_bind *slot = &grants->binds[grants->n_binds++];
	slot->addr = *addr;
	slot->sockets = (uint8_t)sockets;
	slot->fwmark = fwmark;
	snprintf(slot->interface, sizeof(slot->interface), "%s", interface);
	return 0;
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

const struct vs_grant_bind *vs_grants_bind(const struct vs_grants *grants, const struct vs_grant_bind *wanted)
{
	for (size_t i = 0; i < grants->n_binds; i++) {
		const struct vs_grant_bind *bind = &grants->binds[i];
		if (vs_addr_equal(&bind->addr, &wanted->addr) && bind->fwmark == wanted->fwmark &&
		    wanted->nth < bind->sockets && strcmp(bind->interface, wanted->interface) == 0)
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
