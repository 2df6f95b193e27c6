#include "vswitchc/targets.h"

#include <string.h>

#include "base/compiler.h"

void vs_targets_init(struct vs_targets *targets, const struct vs_endpoint_list *servers)
{
	*targets = (struct vs_targets){ .servers = *servers };
}

void vs_targets_restart(struct vs_targets *targets)
{
	targets->server = 0;
	targets->resolved = false;
}

static void next_server(struct vs_targets *targets)
{
	targets->server = (targets->server + 1) % targets->servers.n;
	targets->passes += targets->server == 0;
	targets->resolved = false;
}

bool vs_targets_next(struct vs_targets *targets, struct vs_addr *out)
{
	if (!targets->resolved)
		return false;
	if (targets->next == targets->n) {
		next_server(targets);
		return false;
	}
	*out = targets->addrs[targets->next++];
	return true;
}

const struct vs_endpoint *vs_targets_wanted(const struct vs_targets *targets)
{
	return &targets->servers.item[targets->server];
}

void vs_targets_resolved(struct vs_targets *targets, const struct vs_addr *addrs, size_t n)
{
	if (n == 0) {
		next_server(targets);
		return;
	}
	targets->n = VS_MIN(n, (size_t)VS_LOOKUP_ADDRS_MAX);
	memcpy(targets->addrs, addrs, targets->n * sizeof(*addrs));
	targets->next = 0;
	targets->resolved = true;
}
