/* Values as people write them in a configuration file, and back: durations, sizes, addresses with a prefix, routes,
 * server addresses. Parsers are pure functions of their text; on failure the output is unchanged and, where the
 * parser takes one, `why` says what is expected ("expected ADDRESS/PREFIX, such as 10.9.0.2/24"). Used by the schema
 * engine (io/schema.h), the command lines and whoever applies these values. */
#ifndef VS_IO_VALUE_H
#define VS_IO_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "link/fec_config.h"

/* Longest name of a network interface (IFNAMSIZ less its NUL). */
#define VS_IFNAME_MAX 15
/* Longest name of a host (RFC 1035 section 2.3.4, as text). */
#define VS_HOST_MAX 253
/* Lists in a file hold at most this many elements. */
#define VS_LIST_MAX 32

struct vs_why {
	char text[160];
};

/* Sets the text; returns -EINVAL, so that a parser can end with it. */
int vs_why(struct vs_why *why, const char *fmt, ...) VS_PRINTF(2, 3);

/* An interface address or the destination of a route. `addr` has port 0. */
struct vs_cidr {
	struct vs_addr addr;
	uint8_t prefix;
};

struct vs_route {
	struct vs_cidr dest;
	struct vs_addr gateway; /* unset: on the link itself */
	uint32_t metric;        /* 0: the kernel's default */
};

/* A server to dial: a name or a numeric address, and a port. */
struct vs_endpoint {
	char host[VS_HOST_MAX + 1];
	uint16_t port; /* 0: not given */
};

/* Lists as a schema stores them (io/schema_type.c). */
struct vs_addr_list {
	unsigned n;
	struct vs_addr item[VS_LIST_MAX];
};

struct vs_cidr_list {
	unsigned n;
	struct vs_cidr item[VS_LIST_MAX];
};

struct vs_route_list {
	unsigned n;
	struct vs_route item[VS_LIST_MAX];
};

struct vs_endpoint_list {
	unsigned n;
	struct vs_endpoint item[VS_LIST_MAX];
};

/* "yes", "no", and their usual synonyms, in any case. 0 or -EINVAL. */
int vs_parse_bool(const char *text, bool *out) VS_MUST_CHECK;

/* A decimal number without sign, from min to max. 0 or -EINVAL. */
int vs_parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out) VS_MUST_CHECK;

/* "1s 500ms": numbers with the units us, ms, s, m (or min), h, d, added up; or "0". 0 or -EINVAL. */
int vs_parse_duration(const char *text, uint64_t *out_usec) VS_MUST_CHECK;

/* "64 MiB", "64M", "65536": units of 1024. 0 or -EINVAL. */
int vs_parse_size(const char *text, uint64_t *out) VS_MUST_CHECK;

/* Whether the kernel takes this as the name of an interface. */
bool vs_ifname_valid(const char *text);

/* A numeric address, without a port. 0 or -EINVAL. */
int vs_parse_address(const char *text, struct vs_addr *out, struct vs_why *why) VS_MUST_CHECK;

/* "10.9.0.2/24": an address of an interface. 0 or -EINVAL. */
int vs_parse_cidr(const char *text, struct vs_cidr *out, struct vs_why *why) VS_MUST_CHECK;

/* "PREFIX [via GATEWAY] [metric N]", where PREFIX has no host bits or is "default" (of the gateway's IP version, else
 * of IPv4). 0 or -EINVAL. */
int vs_parse_route(const char *text, struct vs_route *out, struct vs_why *why) VS_MUST_CHECK;

/* "host", "host:port", "192.0.2.1:port", "2001:db8::1", "[2001:db8::1]:port". 0 or -EINVAL. */
int vs_parse_endpoint(const char *text, struct vs_endpoint *out, struct vs_why *why) VS_MUST_CHECK;

/* The network address that `cidr` lies in: its host bits cleared. */
struct vs_cidr vs_cidr_network(const struct vs_cidr *cidr);

/* "off", "K:M" or "auto"; all zero: not set. */
struct vs_fec_value {
	bool set;
	struct vs_fec_config config; /* without overhead_max */
};

/* Whether the address lies in the network that `cidr` names; its port does not matter. */
bool vs_cidr_contains(const struct vs_cidr *cidr, const struct vs_addr *addr);

#define VS_CIDR_TEXT_MAX 64
/* "10.9.0.0/24"; returns buf. */
const char *vs_cidr_format(const struct vs_cidr *cidr, char buf[VS_CIDR_TEXT_MAX]);

/* Host and port as one word, an IPv6 address in brackets; `fallback` stands for a port that is not given. */
#define VS_ENDPOINT_TEXT_MAX (VS_HOST_MAX + 16)
const char *vs_endpoint_format(const struct vs_endpoint *endpoint, uint16_t fallback, char buf[VS_ENDPOINT_TEXT_MAX]);

/* The text of a duration in the units that vs_parse_duration() reads: "1s 500ms", "0"; returns buf. */
#define VS_DURATION_TEXT_MAX 64
const char *vs_duration_format(uint64_t usec, char buf[VS_DURATION_TEXT_MAX]);

/* Takes the next element of a comma-separated list, trimmed, into buf. False at the end. *cursor starts at the text;
 * an element that does not fit, or is empty between commas, is given as "" (which no parser takes). */
bool vs_list_next(const char **cursor, char *buf, size_t size);

#endif
