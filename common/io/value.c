#include "io/value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/time.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: vs_duration_format() goes through them in this order. */
static const struct unit duration_units[] = {
	{ "d", 86400 * VS_SEC }, { "h", 3600 * VS_SEC }, { "m", 60 * VS_SEC }, { "s", VS_SEC },
	{ "ms", VS_MSEC },       { "us", 1 },            { "min", 60 * VS_SEC },
};
#define DURATION_UNITS_SHOWN 6

static const struct unit size_units[] = {
	{ "", 1 },         { "B", 1 },         { "K", 1 << 10 },   { "KiB", 1 << 10 },
	{ "M", 1 << 20 },  { "MiB", 1 << 20 }, { "G", 1 << 30 },   { "GiB", 1 << 30 },
};

int vs_why(struct vs_why *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int vs_parse_bool(const char *text, bool *out)
{
	static const char *const words[][2] = { { "no", "yes" }, { "false", "true" }, { "off", "on" }, { "0", "1" } };

	for (size_t i = 0; i < VS_ARRAY_SIZE(words); i++) {
		for (int truth = 0; truth < 2; truth++) {
			if (strcasecmp(text, words[i][truth]) == 0) {
				*out = truth;
				return 0;
			}
		}
	}
	return -EINVAL;
}

/* Reads digits and moves *text behind them. strtoull() would take signs, spaces and wrapped numbers. */
static int take_digits(const char **text, uint64_t *out)
{
	const char *p = *text;
	uint64_t n = 0;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		uint64_t digit = (uint64_t)(*p - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		n = n * 10 + digit;
	}
	*text = p;
	*out = n;
	return 0;
}

int vs_parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t n;

	if (take_digits(&text, &n) < 0 || *text || n < min || n > max)
		return -EINVAL;
	*out = n;
	return 0;
}

static const char *skip_blanks(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

/* A number and its unit, multiplied; moves *text behind them. */
static int take_quantity(const char **text, const struct unit *units, size_t n_units, uint64_t *out)
{
	uint64_t n;

	if (take_digits(text, &n) < 0)
		return -EINVAL;
	const char *word = skip_blanks(*text);
	size_t len = 0;
	while (isalpha((unsigned char)word[len]))
		len++;
	for (size_t i = 0; i < n_units; i++) {
		if (strlen(units[i].name) != len || strncasecmp(units[i].name, word, len) != 0)
			continue;
		*text = word + len;
		return __builtin_mul_overflow(n, units[i].factor, out) ? -EINVAL : 0;
	}
	return -EINVAL;
}

int vs_parse_duration(const char *text, uint64_t *out_usec)
{
	uint64_t total = 0;
	const char *p = skip_blanks(text);

	if (strcmp(p, "0") == 0) {
		*out_usec = 0;
		return 0;
	}
	do {
		uint64_t usec;
		if (take_quantity(&p, duration_units, VS_ARRAY_SIZE(duration_units), &usec) < 0 ||
		    __builtin_add_overflow(total, usec, &total))
			return -EINVAL;
		p = skip_blanks(p);
	} while (*p);
	*out_usec = total;
	return 0;
}

int vs_parse_size(const char *text, uint64_t *out)
{
	uint64_t n;

	if (take_quantity(&text, size_units, VS_ARRAY_SIZE(size_units), &n) < 0 || *text)
		return -EINVAL;
	*out = n;
	return 0;
}

bool vs_ifname_valid(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > VS_IFNAME_MAX || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return false;
	for (const char *p = text; *p; p++)
		if (!isgraph((unsigned char)*p) || strchr("/:%", *p))
			return false;
	return true;
}

int vs_parse_address(const char *text, struct vs_addr *out, struct vs_why *why)
{
	struct vs_addr addr;

	if (vs_addr_parse(text, 0, &addr) < 0)
		return vs_why(why, "expected a numeric address, such as 192.0.2.1 or 2001:db8::1");
	*out = addr;
	return 0;
}

static unsigned family_bits(const struct vs_addr *addr)
{
	return addr->sa.sa_family == AF_INET ? 32 : 128;
}

/* ADDRESS/PREFIX, host bits allowed. */
static int parse_prefixed(const char *text, struct vs_cidr *out)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	struct vs_cidr cidr;
	uint64_t prefix;

	if (!slash || (size_t)(slash - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	if (vs_addr_parse(host, 0, &cidr.addr) < 0 ||
	    vs_parse_uint(slash + 1, 0, family_bits(&cidr.addr), &prefix) < 0)
		return -EINVAL;
	cidr.prefix = (uint8_t)prefix;
	memset(out, 0, sizeof(*out));
	out->addr = cidr.addr;
	out->prefix = cidr.prefix;
	return 0;
}

int vs_parse_cidr(const char *text, struct vs_cidr *out, struct vs_why *why)
{
	struct vs_cidr cidr;

	if (parse_prefixed(text, &cidr) < 0)
		return vs_why(why, "expected ADDRESS/PREFIX, such as 10.9.0.2/24 or fd09::2/64");
	*out = cidr;
	return 0;
}

struct vs_cidr vs_cidr_network(const struct vs_cidr *cidr)
{
	struct vs_cidr net = *cidr;
	bool v4 = net.addr.sa.sa_family == AF_INET;
	uint8_t *bytes = v4 ? (uint8_t *)&net.addr.in.sin_addr : net.addr.in6.sin6_addr.s6_addr;

	for (unsigned bit = net.prefix; bit < family_bits(&net.addr); bit++)
		bytes[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	return net;
}

bool vs_cidr_contains(const struct vs_cidr *cidr, const struct vs_addr *addr)
{
	if (cidr->addr.sa.sa_family != addr->sa.sa_family)
		return false;
	struct vs_cidr wanted = vs_cidr_network(cidr), given = { .addr = *addr, .prefix = cidr->prefix };
	uint8_t a[VS_ADDR_KEY_SIZE], b[VS_ADDR_KEY_SIZE];

	given = vs_cidr_network(&given);
	vs_addr_key(&wanted.addr, a);
	vs_addr_key(&given.addr, b);
	return memcmp(a, b, 16) == 0;
}

static int parse_destination(const char *word, const struct vs_addr *gateway, struct vs_cidr *out, struct vs_why *why)
{
	if (strcmp(word, "default") == 0)
		word = gateway->sa.sa_family == AF_INET6 ? "::/0" : "0.0.0.0/0";
	if (parse_prefixed(word, out) < 0)
		return vs_why(why, "expected PREFIX [via GATEWAY] [metric N], such as 10.20.0.0/16 via 10.9.0.1");
	struct vs_cidr net = vs_cidr_network(out);
	if (!vs_addr_equal(&net.addr, &out->addr)) {
		char buf[VS_CIDR_TEXT_MAX];
		return vs_why(why, "has bits set beyond its prefix; did you mean %s?", vs_cidr_format(&net, buf));
	}
	return 0;
}

int vs_parse_route(const char *text, struct vs_route *out, struct vs_why *why)
{
	char copy[256], *save = NULL;
	struct vs_route route;

	memset(&route, 0, sizeof(route));
	if (strlen(text) >= sizeof(copy))
		return vs_why(why, "is too long for a route");
	strcpy(copy, text);
	char *dest = strtok_r(copy, " \t", &save), *option;
	while (dest && (option = strtok_r(NULL, " \t", &save))) {
		char *value = strtok_r(NULL, " \t", &save);
		uint64_t metric;
		if (value && strcmp(option, "via") == 0 && !vs_addr_is_set(&route.gateway)) {
			if (vs_parse_address(value, &route.gateway, why) < 0)
				return vs_why(why, "'%s' is not a gateway: expected a numeric address", value);
		} else if (value && strcmp(option, "metric") == 0 && !route.metric) {
			if (vs_parse_uint(value, 1, UINT32_MAX, &metric) < 0)
				return vs_why(why, "'%s' is not a metric: expected a number from 1", value);
			route.metric = (uint32_t)metric;
		} else {
			return vs_why(why, "expected PREFIX [via GATEWAY] [metric N]");
		}
	}
	if (parse_destination(dest ? dest : "", &route.gateway, &route.dest, why) < 0)
		return -EINVAL;
	if (vs_addr_is_set(&route.gateway) && route.gateway.sa.sa_family != route.dest.addr.sa.sa_family)
		return vs_why(why, "destination and gateway are of different IP versions");
	*out = route;
	return 0;
}

static bool host_name_valid(const char *host)
{
	size_t len = strlen(host);

	if (len == 0 || len > VS_HOST_MAX || host[0] == '-' || host[0] == '.')
		return false;
	for (const char *p = host; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
			return false;
	return true;
}

/* Splits "[v6]:port", "host:port" or a bare host; a bare IPv6 address has more than one colon. */
static int split_endpoint(char *text, char **host, char **port)
{
	char *colon = strrchr(text, ':');

	*host = text;
	*port = NULL;
	if (text[0] == '[') {
		char *end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		*port = end[1] ? end + 2 : NULL;
		*end = '\0';
		*host = text + 1;
	} else if (colon && strchr(text, ':') == colon) {
		*colon = '\0';
		*port = colon + 1;
	}
	return 0;
}

int vs_parse_endpoint(const char *text, struct vs_endpoint *out, struct vs_why *why)
{
	char copy[VS_ENDPOINT_TEXT_MAX], *host, *port;
	struct vs_endpoint endpoint;
	struct vs_addr addr;
	uint64_t number = 0;
	bool fits = strlen(text) < sizeof(copy);

	memset(&endpoint, 0, sizeof(endpoint));
	strcpy(copy, fits ? text : "");
	if (split_endpoint(copy, &host, &port) < 0 || (port && vs_parse_uint(port, 1, 65535, &number) < 0))
		return vs_why(why, "expected HOST, HOST:PORT or [IPV6]:PORT");
	bool numeric = vs_addr_parse(host, 0, &addr) == 0;
	bool bracketed = host != copy;
	if (bracketed ? !numeric || addr.sa.sa_family != AF_INET6 : !numeric && !host_name_valid(host))
		return vs_why(why, "expected HOST, HOST:PORT or [IPV6]:PORT");
	strcpy(endpoint.host, host);
	endpoint.port = (uint16_t)number;
	*out = endpoint;
	return 0;
}

const char *vs_cidr_format(const struct vs_cidr *cidr, char buf[VS_CIDR_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "";
	bool v4 = cidr->addr.sa.sa_family == AF_INET;

	inet_ntop(v4 ? AF_INET : AF_INET6,
		  v4 ? (const void *)&cidr->addr.in.sin_addr : (const void *)&cidr->addr.in6.sin6_addr, host,
		  sizeof(host));
	snprintf(buf, VS_CIDR_TEXT_MAX, "%s/%u", host, cidr->prefix);
	return buf;
}

const char *vs_endpoint_format(const struct vs_endpoint *endpoint, uint16_t fallback, char buf[VS_ENDPOINT_TEXT_MAX])
{
	bool v6 = strchr(endpoint->host, ':');

	snprintf(buf, VS_ENDPOINT_TEXT_MAX, "%s%s%s:%u", v6 ? "[" : "", endpoint->host, v6 ? "]" : "",
		 endpoint->port ? endpoint->port : fallback);
	return buf;
}

const char *vs_duration_format(uint64_t usec, char buf[VS_DURATION_TEXT_MAX])
{
	size_t used = 0;

	strcpy(buf, "0");
	for (size_t i = 0; i < DURATION_UNITS_SHOWN; i++) {
		uint64_t n = usec / duration_units[i].factor;
		usec %= duration_units[i].factor;
		if (n)
			used += (size_t)snprintf(buf + used, VS_DURATION_TEXT_MAX - used, "%s%llu%s", used ? " " : "",
						 (unsigned long long)n, duration_units[i].name);
	}
	return buf;
}

bool vs_list_next(const char **cursor, char *buf, size_t size)
{
	const char *start = *cursor;

	if (!start)
		return false;
	const char *end = strchrnul(start, ',');
	*cursor = *end ? end + 1 : NULL;
	start = skip_blanks(start);
	while (end > start && isspace((unsigned char)end[-1]))
		end--;
	size_t len = end > start ? (size_t)(end - start) : 0;
	if (len >= size)
		len = 0;
	memcpy(buf, start, len);
	buf[len] = '\0';
	return true;
}
