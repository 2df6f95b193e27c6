#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

struct vs_addr vs_addr_from_sockaddr(const struct sockaddr *sa, socklen_t len)
{
	struct vs_addr a;
	memset(&a, 0, sizeof(a));
	if (len >= sizeof(a.in) && sa->sa_family == AF_INET) {
		memcpy(&a.in, sa, sizeof(a.in));
	} else if (len >= sizeof(a.in6) && sa->sa_family == AF_INET6) {
		memcpy(&a.in6, sa, sizeof(a.in6));
		a.in6.sin6_flowinfo = 0;
		if (IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr)) {
			struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = a.in6.sin6_port };
			memcpy(&in.sin_addr, a.in6.sin6_addr.s6_addr + 12, 4);
			memset(&a, 0, sizeof(a));
			a.in = in;
		}
	}
	return a;
}

int vs_addr_parse(const char *text, uint16_t port, struct vs_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &out->in.sin_addr) == 1) {
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons(port);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &out->in6.sin6_addr) == 1) {
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = htons(port);
		return 0;
	}
	return -EINVAL;
}

bool vs_addr_equal(const struct vs_addr *a, const struct vs_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	if (a->sa.sa_family == AF_INET6)
		return a->in6.sin6_port == b->in6.sin6_port &&
		       a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
		       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
	return true;
}

uint16_t vs_addr_port(const struct vs_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return ntohs(a->in.sin_port);
	if (a->sa.sa_family == AF_INET6)
		return ntohs(a->in6.sin6_port);
	return 0;
}

socklen_t vs_addr_len(const struct vs_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

void vs_addr_key(const struct vs_addr *a, uint8_t out[VS_ADDR_KEY_SIZE])
{
	static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };
	memset(out, 0, VS_ADDR_KEY_SIZE);
	if (a->sa.sa_family == AF_INET) {
		memcpy(out, v4_prefix, sizeof(v4_prefix));
		memcpy(out + 12, &a->in.sin_addr, 4);
	} else if (a->sa.sa_family == AF_INET6) {
		memcpy(out, &a->in6.sin6_addr, 16);
	}
	vs_put_be16(out + 16, vs_addr_port(a));
}

const char *vs_addr_format(const struct vs_addr *a, char buf[VS_ADDR_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "";
	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
		snprintf(buf, VS_ADDR_TEXT_MAX, "%s:%u", host, vs_addr_port(a));
	} else if (a->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
		if (a->in6.sin6_scope_id)
			snprintf(buf, VS_ADDR_TEXT_MAX, "[%s%%%u]:%u", host, a->in6.sin6_scope_id, vs_addr_port(a));
		else
			snprintf(buf, VS_ADDR_TEXT_MAX, "[%s]:%u", host, vs_addr_port(a));
	} else {
		snprintf(buf, VS_ADDR_TEXT_MAX, "(none)");
	}
	return buf;
}
