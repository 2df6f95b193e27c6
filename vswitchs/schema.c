#include "vswitchs/schema.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "io/key.h"
#include "link/congestion.h"
#include "link/params.h"
#include "switch/mactable.h"
#include "switch/porttable.h"
#include "vswitchs/schema_listen.h"

#define MIB (UINT64_C(1) << 20)

static const struct vs_schema_choice ciphers[] = {
	{ "auto", VS_CIPHER_CHOICE_AUTO },
	{ "aes-256-gcm", VS_CIPHER_CHOICE_AES_256_GCM },
	{ "chacha20-poly1305", VS_CIPHER_CHOICE_CHACHA20_POLY1305 },
	{ "auth", VS_CIPHER_CHOICE_AUTH },
	{ "none", VS_CIPHER_CHOICE_NONE },
	{ NULL, 0 },
};

static const struct vs_schema_choice congestions[] = {
	{ "bbr", VS_CONGESTION_BBR }, { "cubic", VS_CONGESTION_CUBIC }, { "none", VS_CONGESTION_NONE }, { NULL, 0 },
};

/* --- [common] ----------------------------------------------------------------------------------------------------- */

#define AT(member) VS_SCHEMA_AT(struct vs_server_config, member)

static const struct vs_schema_key common_keys[] = {
	{ .name = "bind_addr", .type = VS_VALUE_ADDRS,
	  .help = "Numeric addresses to listen on: one IPv4 and one IPv6 address at most. If not set: all of both.",
	  AT(bind_addr) },
	{ .name = "bind_port", .type = VS_VALUE_INT, .min = 1, .max = 65535, .noun = "a port", .fallback = "7000",
	  .help = "UDP port to listen on.",
	  AT(bind_port) },
	{ .name = "faketcp_port", .type = VS_VALUE_INT, .min = 1, .max = 65535, .flags = VS_SCHEMA_OR_ZERO,
	  .noun = "a port",
	  .help = "TCP port to listen on for clients that come by fake TCP; 0: none. If not set: that of `bind_port`, "
		  "where it is free and there are the capabilities that fake TCP takes.",
	  AT(faketcp_port.wanted) },
	{ .name = "tcp_port", .type = VS_VALUE_INT, .min = 1, .max = 65535, .flags = VS_SCHEMA_OR_ZERO,
	  .noun = "a port",
	  .help = "TCP port to listen on for clients that come by TCP; 0: none. If not set: the one after `bind_port`, "
		  "where it is free.",
	  AT(tcp_port.wanted) },
	{ .name = "public_addr", .type = VS_VALUE_ENDPOINT,
	  .help = "The address by which clients reach this host, as `invite` writes it into their files.",
	  AT(public_addr) },
	{ .name = "control", .type = VS_VALUE_PATH, .fallback = VS_SERVER_SOCKET,
	  .help = "Unix socket for `status`, `ports`, `macs`, `kick` and `reload`.",
	  AT(control) },
	{ .name = "user", .type = VS_VALUE_TEXT, .fallback = "nobody",
	  .help = "Account of the process that handles the network's bytes.",
	  AT(user) },
	{ .name = "mac_entries", .type = VS_VALUE_INT, .min = VS_MAC_ENTRIES_MIN, .max = VS_MAC_ENTRIES_MAX,
	  .fallback = "8192",
	  .help = "Size of the MAC table.",
	  AT(mac_entries) },
	{ .name = "mac_aging", .type = VS_VALUE_DURATION, .min = VS_MAC_AGING_MIN, .max = 10 * 86400 * VS_SEC,
	  .fallback = "300s",
	  .help = "A station that is not heard for so long is forgotten.",
	  AT(mac_aging_usec) },
	{ .name = "workers", .type = VS_VALUE_INT, .min = 0, .max = VS_WORKERS_MAX, .fallback = "0",
	  .help = "Threads that move frames; each link is served by one of them. 0: as many as there are cores.",
	  AT(workers) },
	{ .name = "buffer_max", .type = VS_VALUE_SIZE, .min = 16 * MIB, .max = 64 * 1024 * MIB, .fallback = "256 MiB",
	  .help = "Memory for frames that wait, divided among the workers (8 MiB each at least); beyond it frames are "
		  "dropped.",
	  AT(buffer_max) },
	{ .name = "weakest_cipher", .type = VS_VALUE_ENUM, .choices = vs_protection_choices, .fallback = "none",
	  .help = "No port may have a weaker `cipher`: `encrypted` forbids `auth` and `none`, `auth` forbids `none`.",
	  AT(weakest_cipher) },
};

static void *open_common(void *target, const char *name, unsigned line)
{
	(void)name, (void)line;
	return target;
}

/* --- [port NAME] -------------------------------------------------------------------------------------------------- */

#undef AT
#define AT(member) VS_SCHEMA_AT(struct vs_server_port_config, member)

static const struct vs_schema_key port_keys[VS_PORT_KEYS] = {
	[VS_PORT_PUBLIC_KEY] = {
	  .name = "public_key", .type = VS_VALUE_KEY, .flags = VS_SCHEMA_REQUIRED | VS_SCHEMA_OWN,
	  .help = "The client's public key, by which it is known.",
	  AT(public_key) },
	[VS_PORT_PRESHARED_KEY] = {
	  .name = "preshared_key", .type = VS_VALUE_KEY, .flags = VS_SCHEMA_SECRET,
	  .help = "A secret that both sides hold besides their keys, against a future break of X25519.",
	  AT(preshared_key) },
	[VS_PORT_MAX_CLIENTS] = {
	  .name = "max_clients", .type = VS_VALUE_INT, .min = 1, .max = 256, .fallback = "1",
	  .help = "Clients that may use this key at the same time. Past it, the newest takes the place of the oldest.",
	  AT(max_clients) },
	[VS_PORT_MAC_LIMIT] = {
	  .name = "mac_limit", .type = VS_VALUE_INT, .min = 1, .max = VS_MAC_ENTRIES_MAX, .flags = VS_SCHEMA_OR_ZERO,
	  .fallback = "0",
	  .help = "MAC addresses that may be known behind the port; 0: no limit of its own.",
	  AT(mac_limit) },
	[VS_PORT_CIPHER] = {
	  .name = "cipher", .type = VS_VALUE_ENUM, .choices = ciphers, .fallback = "auto",
	  .help = "Encryption of the link; `auto` takes AES where both CPUs have instructions for it. Two are weak, "
		  "and the client has to allow them (`weakest_cipher`): `auth` lets others on the way read all frames "
		  "but not change any, `none` lets them read, change and invent frames, after a handshake that they "
		  "cannot forge. `none` is for trusted networks only.",
	  AT(cipher) },
	[VS_PORT_CONGESTION] = {
	  .name = "congestion", .type = VS_VALUE_ENUM, .choices = congestions, .fallback = "bbr",
	  .help = "Congestion control of what is sent to the client; `none` sends as fast as the window allows.",
	  AT(congestion) },
	[VS_PORT_LANES] = {
	  .name = "lanes", .type = VS_VALUE_INT, .min = 1, .max = VS_LANES_MAX, .fallback = "64",
	  .help = "Flows that do not wait for each other's lost datagrams.",
	  AT(lanes) },
	[VS_PORT_KEEPALIVE] = {
	  .name = "keepalive", .type = VS_VALUE_DURATION, .min = 100 * VS_MSEC, .max = 25 * VS_SEC, .fallback = "1s",
	  .help = "An idle link sends so often, so that NATs keep it and a dead peer is noticed.",
	  AT(keepalive_usec) },
	[VS_PORT_MAX_AGE] = {
	  .name = "max_age", .type = VS_VALUE_DURATION, .min = 10 * VS_MSEC, .max = 60 * VS_SEC,
	  .flags = VS_SCHEMA_OR_ZERO, .fallback = "1s",
	  .help = "A frame older than this is given up instead of sent again; 0: never.",
	  AT(max_age_usec) },
	[VS_PORT_MTU] = {
	  .name = "mtu", .type = VS_VALUE_INT, .min = VS_MTU_MIN, .max = VS_MTU_MAX, .noun = "an MTU",
	  .fallback = "1500",
	  .help = "MTU of the virtual LAN, which clients are told (they warn if their TAP has another), and which the "
		  "default in `[port]` writes into invitations.",
	  AT(mtu) },
};

#undef AT
#define AT(member) VS_SCHEMA_AT(struct vs_vlan_config, member)

static const struct vs_schema_key vlan_keys[VS_PORT_TRANSPORT - VS_PORT_KEYS] = {
	{ .name = "vlan", .type = VS_VALUE_INT, .min = VS_VID_MIN, .max = VS_VID_MAX, .noun = "a VLAN",
	  .excludes = "trunk",
	  .help = "An access port of this VLAN. With neither `vlan` nor `trunk`, tags pass unchanged.",
	  AT(vlan) },
	{ .name = "trunk", .type = VS_VALUE_VLANS,
	  .help = "A trunk port of these VLANs, tagged: `10, 20, 100-199`.",
	  AT(trunk) },
	{ .name = "isolate", .type = VS_VALUE_BOOL, .fallback = "no",
	  .help = "The port exchanges frames only with ports that are not isolated.",
	  AT(isolate) },
};

#define PORT_GROUPS                                                                                                \
	{                                                                                                          \
		{ port_keys, VS_ARRAY_SIZE(port_keys), 0 },                                                        \
		{ vlan_keys, VS_ARRAY_SIZE(vlan_keys), offsetof(struct vs_server_port_config, vlans) },            \
		{ vs_transport_keys, VS_TRANSPORT_KEYS, offsetof(struct vs_server_port_config, transport) },       \
	}

/* Grows an array whose capacity is the next power of two. */
static void *grow(void *array, size_t n, size_t size)
{
	return n & (n - 1) ? array : reallocarray(array, n ? 2 * n : 1, size);
}

static void *open_port(void *target, const char *name, unsigned line)
{
	struct vs_server_config *config = target;

	if (!name)
		return &config->port_defaults;
	if (config->n_ports == VS_SERVER_PORTS_MAX)
		return NULL;
	struct vs_server_port_config *larger = grow(config->ports, config->n_ports, sizeof(*larger));
	if (!larger)
		return NULL;
	config->ports = larger;
	struct vs_server_port_config *port = &config->ports[config->n_ports++];
	*port = config->port_defaults;
	strcpy(port->name, name);
	port->line = line;
	return port;
}

/* --- [tap NAME] --------------------------------------------------------------------------------------------------- */

static void *open_tap(void *target, const char *name, unsigned line)
{
	struct vs_server_config *config = target;

	if (config->n_taps == VS_SERVER_TAPS_MAX)
		return NULL;
	struct vs_server_tap_config *larger = grow(config->taps, config->n_taps, sizeof(*larger));
	if (!larger)
		return NULL;
	config->taps = larger;
	struct vs_server_tap_config *tap = &config->taps[config->n_taps++];
	memset(tap, 0, sizeof(*tap));
	strcpy(tap->name, name);
	tap->line = line;
	return tap;
}

static const struct vs_schema_section sections[] = {
	{ .kind = "common", .naming = VS_SECTION_PLAIN, .open = open_common, .max = 1,
	  .help = "The server as a whole.",
	  .groups = {
		{ common_keys, VS_ARRAY_SIZE(common_keys), 0 },
		{ vs_identity_keys, VS_IDENTITY_KEYS, offsetof(struct vs_server_config, identity) },
		{ vs_log_keys, VS_LOG_KEYS, offsetof(struct vs_server_config, log) },
	  } },
	{ .kind = "port", .naming = VS_SECTION_DEFAULTS, .open = open_port, .max = VS_SERVER_PORTS_MAX,
	  .help = "One section for each member; `vswitchs invite NAME` writes it. `[port]` sets defaults for all.",
	  .groups = PORT_GROUPS },
	{ .kind = "tap", .naming = VS_SECTION_NAMED, .open = open_tap, .max = VS_SERVER_TAPS_MAX,
	  .help = "A network device by which this host itself is on the virtual LAN.",
	  .groups = {
		{ vs_tap_keys, VS_TAP_KEYS, offsetof(struct vs_server_tap_config, tap) },
		{ vlan_keys, VS_ARRAY_SIZE(vlan_keys), offsetof(struct vs_server_tap_config, vlans) },
	  } },
	{ .kind = "listen", .naming = VS_SECTION_NAMED, .open = vs_listen_open, .max = VS_SERVER_LISTENS_MAX,
	  .help = "Takes clients that speak plain frames (PROTOCOL.md, \"Plain peers\"): no handshake, no cipher, for "
		  "networks that are trusted. There is none unless a section says so.",
	  .groups = {
		{ vs_listen_keys, VS_LISTEN_KEYS, 0 },
		{ vlan_keys, VS_ARRAY_SIZE(vlan_keys), offsetof(struct vs_server_listen_config, vlans) },
	  } },
};

const struct vs_schema vs_server_schema = {
	.program = "vswitchs",
	.sections = sections,
	.n = VS_ARRAY_SIZE(sections),
};

/* --- What a single key does not say ------------------------------------------------------------------------------- */

static void check_port_keys(const struct vs_server_config *config, struct vs_complaints *complaints)
{
	for (size_t i = 0; i < config->n_ports; i++) {
		const struct vs_server_port_config *port = &config->ports[i];
		const struct vs_server_port_config *first = vs_server_config_port_by_key(config, port->public_key);
		if (first && first < port)
			vs_complain(complaints, port->line, "[port %s] has the public_key of [port %s] (line %u)",
				    port->name, first->name, first->line);
	}
}

static void check_ciphers(const struct vs_server_config *config, struct vs_complaints *complaints)
{
	for (size_t i = 0; i < config->n_ports; i++) {
		const struct vs_server_port_config *port = &config->ports[i];
		struct vs_policy policy;
		vs_policy_set_cipher(&policy, (enum vs_cipher_choice)port->cipher);
		if (policy.protection > (enum vs_protection)config->weakest_cipher)
			vs_complain(complaints, port->line,
				    "[port %s] has cipher = %s, and [common] weakest_cipher = %s", port->name,
				    vs_cipher_text(0, policy.protection),
				    vs_protection_name((enum vs_protection)config->weakest_cipher));
	}
}

static void check_tap(const struct vs_server_config *config, struct vs_server_tap_config *tap,
		      struct vs_complaints *complaints)
{
	if (vs_server_config_port(config, tap->name))
		vs_complain(complaints, tap->line, "[tap %s] has the name of a [port %s]", tap->name, tap->name);
	if (!tap->tap.device[0] && vs_ifname_valid(tap->name))
		strcpy(tap->tap.device, tap->name);
	if (!tap->tap.device[0])
		vs_complain(complaints, tap->line,
			    "[tap %s] needs a device: its name is too long for one (%d characters)", tap->name,
			    VS_IFNAME_MAX);
	for (const struct vs_server_tap_config *other = config->taps; other < tap; other++)
		if (tap->tap.device[0] && strcmp(other->tap.device, tap->tap.device) == 0)
			vs_complain(complaints, tap->line, "[tap %s] has the device of [tap %s], %s", tap->name,
				    other->name, tap->tap.device);
}

/* A server whose own key names a port would be its own client. */
static void check_identity(const struct vs_server_config *config, struct vs_complaints *complaints)
{
	uint8_t public_key[VS_KEY_SIZE];

	if (config->n_ports == 0 || vs_key_is_zero(config->identity.private_key) ||
	    vs_key_public(public_key, config->identity.private_key) < 0)
		return;
	const struct vs_server_port_config *port = vs_server_config_port_by_key(config, public_key);
	if (port)
		vs_complain(complaints, port->line, "[port %s] has the server's own public key", port->name);
}

/* There is one socket for each IP version. */
static void check_bind_addr(const struct vs_server_config *config, struct vs_complaints *complaints)
{
	unsigned v6 = 0;

	for (unsigned i = 0; i < config->bind_addr.n; i++)
		v6 += config->bind_addr.item[i].sa.sa_family == AF_INET6;
	if (v6 > 1 || config->bind_addr.n - v6 > 1)
		vs_complain(complaints, 0, "bind_addr: expected one IPv4 and one IPv6 address at most");
}

static void begin(struct vs_server_config *config)
{
	memset(config, 0, sizeof(*config));
	/* Unless the file says something: "not set" is not "off". */
	config->faketcp_port.wanted = config->tcp_port.wanted = VS_SERVER_PORT_NOT_SET;
}

static void default_port(struct vs_server_conn_port *port, uint32_t fallback)
{
	port->is_default = port->wanted == VS_SERVER_PORT_NOT_SET;
	port->port = port->is_default ? fallback : port->wanted;
	if (port->port > UINT16_MAX)
		port->port = 0;
}

/* What is not asked for gives way: to a listener, and below one of the two to the other. */
static void settle_with_listens(const struct vs_server_config *config, struct vs_server_conn_port *port,
				const char *key, struct vs_complaints *complaints)
{
	const struct vs_server_listen_config *listen = port->port ? vs_listen_on_tcp(config, port->port) : NULL;

	if (listen && port->is_default)
		port->port = 0;
	else if (listen)
		vs_complain(complaints, listen->line, "[listen %s] has the %s of [common], %u", listen->name, key,
			    port->port);
}

static void finish_conn_ports(struct vs_server_config *config, struct vs_complaints *complaints)
{
	default_port(&config->faketcp_port, config->bind_port);
	default_port(&config->tcp_port, config->bind_port + 1);
	settle_with_listens(config, &config->faketcp_port, "faketcp_port", complaints);
	settle_with_listens(config, &config->tcp_port, "tcp_port", complaints);
	if (!config->tcp_port.port || config->tcp_port.port != config->faketcp_port.port)
		return;
	if (config->tcp_port.is_default)
		config->tcp_port.port = 0;
	else if (config->faketcp_port.is_default)
		config->faketcp_port.port = 0;
	else
		vs_complain(complaints, 0, "faketcp_port and tcp_port cannot be the same port");
}

static int finish(struct vs_server_config *config, const struct vs_opener *opener, struct vs_complaints *complaints)
{
	finish_conn_ports(config, complaints);
	check_bind_addr(config, complaints);
	check_port_keys(config, complaints);
	check_ciphers(config, complaints);
	for (size_t i = 0; i < config->n_taps; i++)
		check_tap(config, &config->taps[i], complaints);
	vs_listen_check(config, complaints);
	vs_log_config_check(&config->log, complaints);
	vs_identity_load(&config->identity, "vswitchs", opener, complaints);
	check_identity(config, complaints);
	return complaints->errors ? -EINVAL : 0;
}

int vs_server_config_load(struct vs_server_config *config, const char *path, const struct vs_opener *opener,
			  struct vs_complaints *complaints)
{
	begin(config);
	int err = vs_schema_load(&vs_server_schema, path, opener, config, complaints);
	return err == 0 || err == -EINVAL ? finish(config, opener, complaints) : err;
}

int vs_server_config_parse(struct vs_server_config *config, const char *path, const char *text, size_t len,
			   const struct vs_opener *opener, struct vs_complaints *complaints)
{
	begin(config);
	int err = vs_schema_load_text(&vs_server_schema, path, text, len, config, complaints);
	return err == 0 || err == -EINVAL ? finish(config, opener, complaints) : err;
}

void vs_server_config_fini(struct vs_server_config *config)
{
	if (config->ports)
		vs_wipe(config->ports, config->n_ports * sizeof(*config->ports));
	free(config->ports);
	free(config->taps);
	free(config->listens);
	vs_wipe(config, sizeof(*config));
}

/* --- Questions ---------------------------------------------------------------------------------------------------- */

const struct vs_server_port_config *vs_server_config_port(const struct vs_server_config *config, const char *name)
{
	for (size_t i = 0; i < config->n_ports; i++)
		if (strcmp(config->ports[i].name, name) == 0)
			return &config->ports[i];
	return NULL;
}

const struct vs_server_port_config *vs_server_config_port_by_key(const struct vs_server_config *config,
								 const uint8_t public_key[VS_KEY_SIZE])
{
	for (size_t i = 0; i < config->n_ports; i++)
		if (memcmp(config->ports[i].public_key, public_key, VS_KEY_SIZE) == 0 && !vs_key_is_zero(public_key))
			return &config->ports[i];
	return NULL;
}

const struct vs_server_tap_config *vs_server_config_tap(const struct vs_server_config *config, const char *name)
{
	for (size_t i = 0; i < config->n_taps; i++)
		if (strcmp(config->taps[i].name, name) == 0)
			return &config->taps[i];
	return NULL;
}

uint64_t vs_server_port_diff(const struct vs_server_port_config *a, const struct vs_server_port_config *b)
{
	static const struct vs_schema_group groups[] = PORT_GROUPS;

	return vs_schema_diff(&groups[0], a, b) | vs_schema_diff(&groups[1], a, b) << VS_PORT_KEYS |
	       vs_schema_diff(&groups[2], a, b) << VS_PORT_TRANSPORT;
}

bool vs_vlan_config_equal(const struct vs_vlan_config *a, const struct vs_vlan_config *b)
{
	static const struct vs_schema_group group = { vlan_keys, VS_ARRAY_SIZE(vlan_keys), 0 };

	return vs_schema_diff(&group, a, b) == 0;
}

bool vs_server_tap_equal(const struct vs_server_tap_config *a, const struct vs_server_tap_config *b)
{
	static const struct vs_schema_group group = { vs_tap_keys, VS_TAP_KEYS, 0 };

	return vs_schema_diff(&group, &a->tap, &b->tap) == 0;
}

/* The keys of [common] that a reload can apply; so it can those of the log, which are in a group of their own. */
static bool is_changeable(const char *key)
{
	static const char *const changeable[] = { "public_addr", "mac_aging", "weakest_cipher" };

	for (size_t i = 0; i < VS_ARRAY_SIZE(changeable); i++)
		if (strcmp(key, changeable[i]) == 0)
			return true;
	return false;
}

size_t vs_server_config_fixed_changes(const struct vs_server_config *a, const struct vs_server_config *b,
				      const char *keys[VS_SERVER_FIXED_MAX])
{
	static const struct vs_schema_group group = { common_keys, VS_ARRAY_SIZE(common_keys), 0 };
	size_t n = 0;

	static_assert(VS_ARRAY_SIZE(common_keys) < VS_SERVER_FIXED_MAX, "and private_key");
	uint64_t diff = vs_schema_diff(&group, a, b);
	for (size_t i = 0; i < group.n; i++)
		if (diff >> i & 1 && !is_changeable(common_keys[i].name))
			keys[n++] = common_keys[i].name;
	if (memcmp(a->identity.private_key, b->identity.private_key, VS_KEY_SIZE) != 0)
		keys[n++] = "private_key";
	return n;
}

void vs_server_config_adopt(struct vs_server_config *config, struct vs_server_config *fresh)
{
	struct vs_server_config old = *config;

	config->log = fresh->log;
	config->public_addr = fresh->public_addr;
	config->mac_aging_usec = fresh->mac_aging_usec;
	config->weakest_cipher = fresh->weakest_cipher;
	config->port_defaults = fresh->port_defaults;
	config->ports = fresh->ports;
	config->n_ports = fresh->n_ports;
	config->taps = fresh->taps;
	config->n_taps = fresh->n_taps;
	config->listens = fresh->listens;
	config->n_listens = fresh->n_listens;
	fresh->ports = old.ports;
	fresh->n_ports = old.n_ports;
	fresh->taps = old.taps;
	fresh->n_taps = old.n_taps;
	fresh->listens = old.listens;
	fresh->n_listens = old.n_listens;
	vs_wipe(&old, sizeof(old));
}

struct vs_vlan_rule vs_vlan_config_rule(const struct vs_vlan_config *vlans)
{
	static const struct vs_vlan_set none;
	struct vs_vlan_rule rule = { .mode = VS_VLAN_TRANSPARENT };

	if (vlans->vlan) {
		rule.mode = VS_VLAN_ACCESS;
		rule.vid = (uint16_t)vlans->vlan;
	} else if (memcmp(&vlans->trunk, &none, sizeof(none)) != 0) {
		rule.mode = VS_VLAN_TRUNK;
		rule.members = vlans->trunk;
	}
	return rule;
}
