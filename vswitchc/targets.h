/* Which address to dial next: the servers of the configuration in order of preference, each name resolved anew when its
 * turn comes, all its addresses in the order that the resolver gives (RFC 6724). Sans-I/O: the caller resolves.
 *
 *   for each attempt: vs_targets_next(); where it has none, resolve vs_targets_wanted() and say vs_targets_resolved().
 *   Whenever a link is lost, vs_targets_restart(): the preferred server comes first again. */
#ifndef VSWITCHC_TARGETS_H
#define VSWITCHC_TARGETS_H

#include <stdbool.h>

#include "base/addr.h"
#include "io/resolver.h"
#include "io/value.h"

struct vs_targets {
	struct vs_endpoint_list servers;
	unsigned server; /* whose addresses these are, or are to be */
	bool resolved;
	struct vs_addr addrs[VS_LOOKUP_ADDRS_MAX];
	size_t n, next;
	unsigned passes; /* times that all servers have had their turn */
};

void vs_targets_init(struct vs_targets *targets, const struct vs_endpoint_list *servers);

/* Starts over with the preferred server, which is to be resolved again. */
void vs_targets_restart(struct vs_targets *targets);

/* Takes the next address. False: vs_targets_wanted() is to be resolved first. */
bool vs_targets_next(struct vs_targets *targets, struct vs_addr *out);

/* The server whose turn it is. */
const struct vs_endpoint *vs_targets_wanted(const struct vs_targets *targets);

/* What vs_targets_wanted() resolved to; none: it is the next server's turn. */
void vs_targets_resolved(struct vs_targets *targets, const struct vs_addr *addrs, size_t n);

#endif
