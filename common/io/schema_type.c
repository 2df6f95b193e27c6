#include "io/schema_type.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "io/key.h"
#include "switch/eth.h"
#include "switch/vlan.h"

static int parse_bool(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		      struct vs_why *why)
{
	(void)key, (void)config;
	return vs_parse_bool(text, storage) < 0 ? vs_why(why, "expected yes or no") : 0;
}

static int out_of_range(const struct vs_schema_key *key, const char *noun, struct vs_why *why)
{
	char range[100];

	return vs_why(why, "expected %s, %s", noun, vs_schema_range(key, range, sizeof(range)));
}

static bool in_range(const struct vs_schema_key *key, uint64_t n)
{
	return (n >= key->min && n <= key->max) || (n == 0 && key->flags & VS_SCHEMA_OR_ZERO);
}

static int parse_int(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		     struct vs_why *why)
{
	uint64_t n;

	(void)config;
	if (vs_parse_uint(text, 0, UINT32_MAX, &n) < 0 || !in_range(key, n))
		return out_of_range(key, key->noun ? key->noun : "a number", why);
	*(uint32_t *)storage = (uint32_t)n;
	return 0;
}

static int parse_duration(const struct vs_schema_key *key, const struct vs_config *config, const char *text,
			  void *storage, struct vs_why *why)
{
	uint64_t usec, unitless;

	(void)config;
	if (vs_parse_duration(text, &usec) < 0 || !in_range(key, usec)) {
		bool bare = vs_parse_uint(text, 1, UINT64_MAX, &unitless) == 0;
		return out_of_range(key, bare ? "a duration with its unit" : "a duration", why);
	}
	*(uint64_t *)storage = usec;
	return 0;
}

static int parse_size(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		      struct vs_why *why)
{
	uint64_t n;

	(void)config;
	if (vs_parse_size(text, &n) < 0 || !in_range(key, n))
		return out_of_range(key, "a size", why);
	*(uint64_t *)storage = n;
	return 0;
}

static int parse_text(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		      struct vs_why *why)
{
	(void)config;
	if (!*text || strlen(text) >= key->size)
		return vs_why(why, "expected 1 to %zu characters", key->size - 1);
	strcpy(storage, text);
	return 0;
}

static int parse_path(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		      struct vs_why *why)
{
	if (!*text)
		return vs_why(why, "expected a path");
	if (vs_config_resolve(config, text, storage, key->size) < 0)
		return vs_why(why, "expected a path of at most %zu characters", key->size - 1);
	return 0;
}

static int parse_ifname(const struct vs_schema_key *key, const struct vs_config *config, const char *text,
			void *storage, struct vs_why *why)
{
	(void)key, (void)config;
	if (!vs_ifname_valid(text))
		return vs_why(why, "expected the name of an interface, 1 to %d characters without '/', ':', '%%' and "
			      "blanks", VS_IFNAME_MAX);
	strcpy(storage, text);
	return 0;
}

static int parse_enum(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		      struct vs_why *why)
{
	char range[100];

	(void)config;
	for (const struct vs_schema_choice *c = key->choices; c->name; c++) {
		if (strcmp(c->name, text) == 0) {
			memcpy(storage, &c->value, sizeof(c->value));
			return 0;
		}
	}
	return vs_why(why, "expected one of %s", vs_schema_range(key, range, sizeof(range)));
}

static int parse_set(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		     struct vs_why *why)
{
	int value;
	if (parse_enum(key, config, text, &value, why) < 0)
		return -EINVAL;
	*(uint32_t *)storage |= (uint32_t)value;
	return 0;
}

static int parse_fec(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		     struct vs_why *why)
{
	struct vs_fec_value *value = storage;
	struct vs_fec_config fec = { 0 };
	(void)key, (void)config;
	if (vs_fec_parse(text, &fec) < 0)
		return vs_why(why, "expected off, auto, or K:M with K of 1 to %d and M of 1 to %d, at most %d times K",
			      VS_FEC_K_MAX, VS_FEC_M_MAX, VS_FEC_RATIO_MAX);
	/* Member by member: two values are compared with their padding. */
	value->set = true;
	value->config.kind = fec.kind;
	value->config.k = fec.k;
	value->config.m = fec.m;
	return 0;
}

static int parse_key(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		     struct vs_why *why)
{
	(void)key, (void)config;
	if (vs_key_parse(text, storage) < 0)
		return vs_why(why, "expected a key, 44 characters of base64");
	if (vs_key_is_zero(storage))
		return vs_why(why, "a key of zeroes is no key");
	return 0;
}

static int parse_mac(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		     struct vs_why *why)
{
	struct vs_mac mac;

	(void)key, (void)config;
	if (vs_mac_parse(text, &mac) < 0 || vs_mac_is_group(&mac) || vs_mac_is_zero(&mac))
		return vs_why(why, "expected the MAC address of one station, such as 02:00:5e:10:00:01");
	memcpy(storage, &mac, sizeof(mac));
	return 0;
}

static int parse_vlans(const struct vs_schema_key *key, const struct vs_config *config, const char *text,
		       void *storage, struct vs_why *why)
{
	struct vs_vlan_set *set = storage, more;

	(void)key, (void)config;
	if (vs_vlan_set_parse(text, &more) < 0)
		return vs_why(why, "expected VLANs from 1 to 4094, such as 10, 20, 100-199");
	for (size_t i = 0; i < VS_ARRAY_SIZE(set->bits); i++)
		set->bits[i] |= more.bits[i];
	return 0;
}

static int parse_endpoint(const struct vs_schema_key *key, const struct vs_config *config, const char *text,
			  void *storage, struct vs_why *why)
{
	(void)key, (void)config;
	return vs_parse_endpoint(text, storage, why);
}

static int list_full(struct vs_why *why)
{
	return vs_why(why, "expected at most %d of them", VS_LIST_MAX);
}

/* The parser of a list's element: parses into the next free item. */
#define PARSE_ELEMENT(name, list_type, parse)                                                                  \
	static int name(const struct vs_schema_key *key, const struct vs_config *config, const char *text,     \
			void *storage, struct vs_why *why)                                                     \
	{                                                                                                      \
		struct list_type *list = storage;                                                              \
		(void)key, (void)config;                                                                       \
		if (list->n == VS_LIST_MAX)                                                                    \
			return list_full(why);                                                                 \
		int err = parse(text, &list->item[list->n], why);                                              \
		if (err == 0)                                                                                  \
			list->n++;                                                                             \
		return err;                                                                                    \
	}

PARSE_ELEMENT(parse_addr_element, vs_addr_list, vs_parse_address)
PARSE_ELEMENT(parse_cidr_element, vs_cidr_list, vs_parse_cidr)
PARSE_ELEMENT(parse_route_element, vs_route_list, vs_parse_route)
PARSE_ELEMENT(parse_endpoint_element, vs_endpoint_list, vs_parse_endpoint)

static const struct vs_schema_type_ops types[] = {
	[VS_VALUE_BOOL] = { "yes or no", sizeof(bool), false, parse_bool },
	[VS_VALUE_INT] = { "number", sizeof(uint32_t), false, parse_int },
	[VS_VALUE_DURATION] = { "duration", sizeof(uint64_t), false, parse_duration },
	[VS_VALUE_SIZE] = { "size", sizeof(uint64_t), false, parse_size },
	[VS_VALUE_TEXT] = { "text", 0, false, parse_text },
	[VS_VALUE_PATH] = { "path", 0, false, parse_path },
	[VS_VALUE_IFNAME] = { "interface", VS_IFNAME_MAX + 1, false, parse_ifname },
	[VS_VALUE_ENUM] = { "one of", sizeof(int), false, parse_enum },
	[VS_VALUE_SET] = { "list of", sizeof(uint32_t), true, parse_set },
	[VS_VALUE_FEC] = { "`off`, `K:M` or `auto`", sizeof(struct vs_fec_value), false, parse_fec },
	[VS_VALUE_KEY] = { "key", VS_KEY_SIZE, false, parse_key },
	[VS_VALUE_MAC] = { "MAC address", sizeof(struct vs_mac), false, parse_mac },
	[VS_VALUE_ENDPOINT] = { "host[:port]", sizeof(struct vs_endpoint), false, parse_endpoint },
	[VS_VALUE_VLANS] = { "list of VLANs", sizeof(struct vs_vlan_set), true, parse_vlans },
	[VS_VALUE_ADDRS] = { "list of addresses", sizeof(struct vs_addr_list), true, parse_addr_element },
	[VS_VALUE_CIDRS] = { "list of address/prefix", sizeof(struct vs_cidr_list), true, parse_cidr_element },
	[VS_VALUE_ROUTES] = { "list of routes", sizeof(struct vs_route_list), true, parse_route_element },
	[VS_VALUE_ENDPOINTS] = { "list of host[:port]", sizeof(struct vs_endpoint_list), true, parse_endpoint_element },
};

const struct vs_schema_type_ops *vs_schema_type_ops(enum vs_schema_type type)
{
	return &types[type];
}

static int parse_list(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		      struct vs_why *why)
{
	char element[VS_ENDPOINT_TEXT_MAX];
	const char *cursor = text;

	while (vs_list_next(&cursor, element, sizeof(element))) {
		struct vs_why inner;
		if (types[key->type].parse(key, config, element, storage, &inner) == 0)
			continue;
		/* A list of one element speaks for itself. */
		if (!strchr(text, ','))
			return vs_why(why, "%s", inner.text);
		return vs_why(why, "'%.60s': %.95s", element, inner.text);
	}
	return 0;
}

int vs_schema_parse(const struct vs_schema_key *key, const struct vs_config *config, const char *text, void *storage,
		    struct vs_why *why)
{
	const struct vs_schema_type_ops *ops = &types[key->type];

	return ops->list ? parse_list(key, config, text, storage, why) : ops->parse(key, config, text, storage, why);
}

static const char *format_choices(const struct vs_schema_key *key, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (const struct vs_schema_choice *c = key->choices; c->name && used < size; c++)
		used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "", c->name);
	return buf;
}

/* In the largest unit that leaves no remainder. */
static void format_size(uint64_t n, char *buf, size_t size)
{
	static const char *const units[] = { "", " KiB", " MiB", " GiB" };
	size_t unit = 0;

	for (; n && n % 1024 == 0 && unit + 1 < VS_ARRAY_SIZE(units); unit++)
		n /= 1024;
	snprintf(buf, size, "%" PRIu64 "%s", n, units[unit]);
}

const char *vs_schema_range(const struct vs_schema_key *key, char *buf, size_t size)
{
	const char *zero = key->flags & VS_SCHEMA_OR_ZERO ? ", or 0" : "";
	char min[VS_DURATION_TEXT_MAX], max[VS_DURATION_TEXT_MAX];

	switch (key->type) {
	case VS_VALUE_ENUM:
	case VS_VALUE_SET:
		return format_choices(key, buf, size);
	case VS_VALUE_INT:
		snprintf(buf, size, "%" PRIu64 " to %" PRIu64 "%s", key->min, key->max, zero);
		return buf;
	case VS_VALUE_DURATION:
		snprintf(buf, size, "%s to %s%s", vs_duration_format(key->min, min), vs_duration_format(key->max, max),
			 zero);
		return buf;
	case VS_VALUE_SIZE:
		format_size(key->min, min, sizeof(min));
		format_size(key->max, max, sizeof(max));
		snprintf(buf, size, "%s to %s%s", min, max, zero);
		return buf;
	default:
		buf[0] = '\0';
		return buf;
	}
}
