/* Network interfaces and routes, by rtnetlink (rtnetlink(7), through libmnl): what `ip link`, `ip address` and `ip
 * route` would do to a TAP device, without running them; and the question which way the kernel would send a datagram.
 *
 * Changing needs CAP_NET_ADMIN and is the broker's work; asking needs nothing. Calls block for one exchange with the
 * kernel. Every error comes with a text that names the object. */
#ifndef VS_IO_NETIF_H
#define VS_IO_NETIF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "io/fault.h"
#include "io/value.h"
#include "switch/eth.h"

struct vs_netif;

/* A connection to rtnetlink. 0 with *out set, or -errno. */
int vs_netif_open(struct vs_netif **out, struct vs_fault *fault) VS_MUST_CHECK;

/* NULL is accepted. */
void vs_netif_close(struct vs_netif *netif);

/* What is to be changed of an interface; members that are zero (NULL, false) stay as they are. */
struct vs_netif_change {
	const struct vs_mac *mac;
	uint32_t mtu;
	uint32_t queue_len; /* frames */
	const char *bridge; /* to become a port of it */
	bool up;
};

/* Changes the interface `name`. 0; -ENODEV: no such interface, or no such bridge; -EMEDIUMTYPE: what is named as a
 * bridge is none; -EPERM; -errno. */
int vs_netif_change(struct vs_netif *netif, const char *name, const struct vs_netif_change *change,
		    struct vs_fault *fault) VS_MUST_CHECK;

/* Gives the interface an address; one that it has already is fine. IPv6 duplicate address detection (RFC 4862) takes
 * its course. 0 or -errno. */
int vs_netif_add_address(struct vs_netif *netif, const char *name, const struct vs_cidr *address,
			 struct vs_fault *fault) VS_MUST_CHECK;

/* Adds a route through the interface. 0; -EEXIST: the host has one to that destination of that metric, which is left
 * alone, since nobody would put it back when the interface goes; -ENETUNREACH: no way to the gateway; -errno. */
int vs_netif_add_route(struct vs_netif *netif, const char *name, const struct vs_route *route,
		       struct vs_fault *fault) VS_MUST_CHECK;

/* The way that the kernel would take to an address. */
struct vs_netif_path {
	char interface[VS_IFNAME_MAX + 1];
	struct vs_addr gateway; /* unset: the address is on the link */
	struct vs_addr source;  /* that would be used; unset: unknown */
};

/* Asks for the way to `dst`, for datagrams with `fwmark` (0: none) and, unless it is "", out of `bind_interface`.
 * By this a client sees that its way to the server leads through its own TAP device.
 * 0; -ENETUNREACH, -EHOSTUNREACH, -EACCES: there is none; -ENODEV: no such interface; -errno. */
int vs_netif_path_to(struct vs_netif *netif, const struct vs_addr *dst, uint32_t fwmark, const char *bind_interface,
		     struct vs_netif_path *path, struct vs_fault *fault) VS_MUST_CHECK;

#endif
