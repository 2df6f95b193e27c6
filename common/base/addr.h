/* Socket addresses of either IP version, as values that can be compared, hashed and printed. An IPv4-mapped IPv6
 * address is never stored: vs_addr_from_sockaddr() turns it into the IPv4 address that it is. */
#ifndef VS_BASE_ADDR_H
#define VS_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/compiler.h"

struct vs_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

/* Room for "[ffff:...%4294967295]:65535" and its NUL. */
#define VS_ADDR_TEXT_MAX 72

/* Copies a sockaddr of AF_INET or AF_INET6; any other family gives the unset address (AF_UNSPEC). */
struct vs_addr vs_addr_from_sockaddr(const struct sockaddr *sa, socklen_t len);

/* Parses a numeric address ("192.0.2.1", "2001:db8::1"). 0 or -EINVAL. */
int vs_addr_parse(const char *text, uint16_t port, struct vs_addr *out) VS_MUST_CHECK;

static inline bool vs_addr_is_set(const struct vs_addr *a)
{
	return a->sa.sa_family != AF_UNSPEC;
}

bool vs_addr_equal(const struct vs_addr *a, const struct vs_addr *b);
uint16_t vs_addr_port(const struct vs_addr *a);
socklen_t vs_addr_len(const struct vs_addr *a);

/* The address and port as bytes that identify them (for cookies and hashing): 18 bytes, IPv4 as IPv4-mapped. */
#define VS_ADDR_KEY_SIZE 18
void vs_addr_key(const struct vs_addr *a, uint8_t out[VS_ADDR_KEY_SIZE]);

/* "192.0.2.1:7000" or "[2001:db8::1]:7000"; "(none)" for the unset address. Returns buf. */
const char *vs_addr_format(const struct vs_addr *a, char buf[VS_ADDR_TEXT_MAX]);

#endif
