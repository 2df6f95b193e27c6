#include "vswitchc/schema.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "io/key.h"

#define AT(member) VS_SCHEMA_AT(struct vs_client_config, member)

static const struct vs_schema_choice carriers[] = {
	{ "auto", VS_CLIENT_CARRIER_AUTO },
	{ "udp", VS_CARRIER_UDP },
	{ "faketcp", VS_CARRIER_FAKETCP },
	{ "tcp", VS_CARRIER_TCP },
	{ NULL, 0 },
};

static const struct vs_schema_key common_keys[] = {
	{ .name = "server_addr", .type = VS_VALUE_ENDPOINTS, .flags = VS_SCHEMA_REQUIRED,
	  .help = "The server's name or address, with or without a port. Of several, the first that answers is taken.",
	  AT(server_addr) },
	{ .name = "server_port", .type = VS_VALUE_INT, .min = 1, .max = 65535, .noun = "a port", .fallback = "7000",
	  .help = "The server's UDP port, where `server_addr` does not say it.",
	  AT(server_port) },
	{ .name = "carrier", .type = VS_VALUE_ENUM, .choices = carriers, .fallback = "auto",
	  .help = "What the link travels in. `auto` takes UDP where it works, else fake TCP, else TCP, and goes back to the "
		  "better one when that works again; the others are that one and no other.",
	  AT(carrier) },
	{ .name = "faketcp_port", .type = VS_VALUE_INT, .min = 1, .max = 65535, .noun = "a port",
	  .help = "The server's port for fake TCP. If not set: the same as its UDP port.",
	  AT(faketcp_port) },
	{ .name = "tcp_port", .type = VS_VALUE_INT, .min = 1, .max = 65535, .noun = "a port",
	  .help = "The server's port for TCP. If not set: the one after its UDP port.",
	  AT(tcp_port) },
	{ .name = "server_public_key", .type = VS_VALUE_KEY, .flags = VS_SCHEMA_REQUIRED,
	  .help = "The server's public key.",
	  AT(server_public_key) },
	{ .name = "preshared_key", .type = VS_VALUE_KEY, .flags = VS_SCHEMA_SECRET,
	  .help = "A secret that both sides hold besides their keys, against a future break of X25519.",
	  AT(preshared_key) },
	{ .name = "bind_interface", .type = VS_VALUE_IFNAME,
	  .help = "Reach the server through this network device only.",
	  AT(bind_interface) },
	{ .name = "fwmark", .type = VS_VALUE_INT, .min = 1, .max = UINT32_MAX, .flags = VS_SCHEMA_OR_ZERO,
	  .fallback = "0",
	  .help = "Mark of our own packets to the server, for policy routing; 0: none.",
	  AT(fwmark) },
	{ .name = "local_port", .type = VS_VALUE_INT, .min = 1, .max = 65535, .flags = VS_SCHEMA_OR_ZERO,
	  .noun = "a port", .fallback = "0",
	  .help = "UDP port to send from; 0: any.",
	  AT(local_port) },
	{ .name = "control", .type = VS_VALUE_PATH,
	  .help = "Unix socket for `status`. If not set: `/run/vswitch/NAME.sock` for `NAME.ini`.",
	  AT(control) },
	{ .name = "user", .type = VS_VALUE_TEXT, .fallback = "nobody",
	  .help = "Account of the process that handles the network's bytes.",
	  AT(user) },
	{ .name = "weakest_cipher", .type = VS_VALUE_ENUM, .choices = vs_protection_choices, .fallback = "encrypted",
	  .help = "The weakest cipher that the server may choose: `auth` also allows frames that others on the way can "
		  "read, `none` also frames that they can change and invent, for trusted networks only.",
	  AT(weakest_cipher) },
};

static void *open_section(void *target, const char *name, unsigned line)
{
	(void)name, (void)line;
	return target;
}

static const struct vs_schema_section sections[] = {
	{ .kind = "common", .naming = VS_SECTION_PLAIN, .open = open_section, .max = 1,
	  .help = "The server to dial, and the client as a whole.",
	  .groups = {
		{ common_keys, VS_ARRAY_SIZE(common_keys), 0 },
		{ vs_identity_keys, VS_IDENTITY_KEYS, offsetof(struct vs_client_config, identity) },
		{ vs_log_keys, VS_LOG_KEYS, offsetof(struct vs_client_config, log) },
	  } },
	{ .kind = "tap", .naming = VS_SECTION_PLAIN, .open = open_section, .max = 1,
	  .help = "The network device by which this host is on the virtual LAN.",
	  .groups = {
		{ vs_tap_keys, VS_TAP_KEYS, offsetof(struct vs_client_config, tap) },
	  } },
};

const struct vs_schema vs_client_schema = {
	.program = "vswitchc",
	.sections = sections,
	.n = VS_ARRAY_SIZE(sections),
};

/* /run/vswitch/home.sock for .../home.ini: several clients on one host have one each. */
static void name_control(struct vs_client_config *config, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	const char *dot = strrchr(base, '.');
	size_t len = dot && dot != base ? (size_t)(dot - base) : strlen(base);

	snprintf(config->control, sizeof(config->control), "/run/vswitch/%.*s.sock",
		 (int)VS_MIN(len, (size_t)64), base);
}

static void check_keys(const struct vs_client_config *config, struct vs_complaints *complaints)
{
	uint8_t public_key[VS_KEY_SIZE];

	if (vs_key_is_zero(config->identity.private_key) || vs_key_public(public_key, config->identity.private_key) < 0)
		return;
	if (memcmp(public_key, config->server_public_key, VS_KEY_SIZE) == 0)
		vs_complain(complaints, 0, "server_public_key is the public key of this client's own private_key");
}

static int finish(struct vs_client_config *config, const struct vs_opener *opener, struct vs_complaints *complaints)
{
	for (unsigned i = 0; i < config->server_addr.n; i++)
		if (!config->server_addr.item[i].port)
			config->server_addr.item[i].port = (uint16_t)config->server_port;
	if (!config->tap.device[0])
		strcpy(config->tap.device, VS_CLIENT_DEVICE);
	vs_log_config_check(&config->log, complaints);
	vs_identity_load(&config->identity, "vswitchc", opener, complaints);
	check_keys(config, complaints);
	return complaints->errors ? -EINVAL : 0;
}

int vs_client_config_load(struct vs_client_config *config, const char *path, const struct vs_opener *opener,
			  struct vs_complaints *complaints)
{
	memset(config, 0, sizeof(*config));
	int err = vs_schema_load(&vs_client_schema, path, opener, config, complaints);
	if (!config->control[0])
		name_control(config, path);
	return err == 0 || err == -EINVAL ? finish(config, opener, complaints) : err;
}

int vs_client_config_parse(struct vs_client_config *config, const char *path, const char *text, size_t len,
			   const struct vs_opener *opener, struct vs_complaints *complaints)
{
	memset(config, 0, sizeof(*config));
	int err = vs_schema_load_text(&vs_client_schema, path, text, len, config, complaints);
	if (!config->control[0])
		name_control(config, path);
	return err == 0 || err == -EINVAL ? finish(config, opener, complaints) : err;
}

void vs_client_config_fini(struct vs_client_config *config)
{
	vs_wipe(config, sizeof(*config));
}
