/* Name resolution that never blocks a loop. getaddrinfo() can take half a minute where a DNS server does not answer,
 * and nothing can interrupt it, so each lookup has a thread of its own that is left to itself when the lookup is
 * cancelled. The number of such threads is bounded for the whole process. */
#ifndef VS_IO_RESOLVER_H
#define VS_IO_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "io/loop.h"

#define VS_LOOKUP_ADDRS_MAX 16
#define VS_LOOKUPS_MAX 8 /* threads at a time, those of cancelled lookups included */
#define VS_LOOKUP_NAME_MAX 255

struct vs_lookup;

/* The addresses of a name, IPv4 and IPv6, in the order in which to try them (RFC 6724), without duplicates; or none,
 * and `error` says why ("Name or service not known"). Both are gone when it returns; so is the lookup. */
typedef void vs_lookup_fn(void *arg, const char *error, const struct vs_addr *addrs, size_t n);

/* Looks a name or a numeric address up; each address gets `port`. fn is called from the loop, never from within this
 * call. 0 with *out set, or -ENAMETOOLONG, -EBUSY (VS_LOOKUPS_MAX), -ENOMEM, -EMFILE, -EAGAIN (threads). */
int vs_lookup_start(struct vs_loop *loop, const char *name, uint16_t port, vs_lookup_fn *fn, void *arg,
		    struct vs_lookup **out) VS_MUST_CHECK;

/* fn will not be called. To be called only before fn was. NULL is accepted. */
void vs_lookup_cancel(struct vs_lookup *lookup);

#endif
