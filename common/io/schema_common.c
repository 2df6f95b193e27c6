#include "io/schema_common.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/key.h"
#include "link/params.h"

static const struct vs_schema_choice log_ways[] = {
	{ "console", VS_LOG_CONSOLE }, { "file", VS_LOG_FILE }, { "syslog", VS_LOG_SYSLOG },
	{ "journal", VS_LOG_JOURNAL }, { NULL, 0 },
};

const struct vs_schema_choice vs_protection_choices[] = {
	{ "encrypted", VS_PROTECTION_ENCRYPTED },
	{ "auth", VS_PROTECTION_AUTH },
	{ "none", VS_PROTECTION_NONE },
	{ NULL, 0 },
};

static const struct vs_schema_choice log_levels[] = {
	{ "trace", VS_LOG_TRACE }, { "debug", VS_LOG_DEBUG }, { "info", VS_LOG_INFO },
	{ "warn", VS_LOG_WARN },   { "error", VS_LOG_ERROR }, { NULL, 0 },
};

const struct vs_schema_key vs_log_keys[] = {
	{ .name = "log_way", .type = VS_VALUE_ENUM, .choices = log_ways, .fallback = "console",
	  .help = "Where log lines go; the console is standard error.",
	  VS_SCHEMA_AT(struct vs_log_config, way) },
	{ .name = "log_file", .type = VS_VALUE_PATH,
	  .help = "The file of `log_way = file`. At midnight it is renamed to FILE.YYYY-MM-DD and begun anew.",
	  VS_SCHEMA_AT(struct vs_log_config, file) },
	{ .name = "log_level", .type = VS_VALUE_ENUM, .choices = log_levels, .fallback = "info",
	  .help = "The least level that is written.",
	  VS_SCHEMA_AT(struct vs_log_config, level) },
	{ .name = "log_max_days", .type = VS_VALUE_INT, .min = 1, .max = 3650, .noun = "a number of days",
	  .fallback = "3",
	  .help = "Renamed log files older than this many days are deleted.",
	  VS_SCHEMA_AT(struct vs_log_config, max_days) },
	{ .name = "disable_log_color", .type = VS_VALUE_BOOL, .fallback = "no",
	  .help = "No colours on the console. There are none either where it is no terminal or NO_COLOR is set.",
	  VS_SCHEMA_AT(struct vs_log_config, disable_color) },
};

const struct vs_schema_key vs_identity_keys[] = {
	{ .name = "private_key", .type = VS_VALUE_KEY, .flags = VS_SCHEMA_SECRET, .excludes = "private_key_file",
	  .help = "The private key of this host, as `keygen` prints it.",
	  VS_SCHEMA_AT(struct vs_identity_config, private_key) },
	{ .name = "private_key_file", .type = VS_VALUE_PATH,
	  .help = "A file that holds the private key and nothing else.",
	  VS_SCHEMA_AT(struct vs_identity_config, private_key_file) },
};

static const struct vs_schema_choice offloads[] = {
	{ "auto", VS_TAP_OFFLOAD_AUTO },
	{ "off", VS_TAP_OFFLOAD_OFF },
	{ NULL, 0 },
};

const struct vs_schema_key vs_tap_keys[] = {
	{ .name = "device", .type = VS_VALUE_IFNAME,
	  .help = "Name of the network device. If not set: the section's name; `vswitch0` on a client.",
	  VS_SCHEMA_AT(struct vs_tap_config, device) },
	{ .name = "mac", .type = VS_VALUE_MAC,
	  .help = "MAC address of the device. If not set, one is made from the private key, and so stays the same.",
	  VS_SCHEMA_AT(struct vs_tap_config, mac) },
	{ .name = "mtu", .type = VS_VALUE_INT, .min = VS_MTU_MIN, .max = VS_MTU_MAX, .noun = "an MTU",
	  .fallback = "1500",
	  .help = "MTU of the device, in bytes; whatever the path to the server carries, frames of this size pass.",
	  VS_SCHEMA_AT(struct vs_tap_config, mtu) },
	{ .name = "offload", .type = VS_VALUE_ENUM, .choices = offloads, .fallback = "auto",
	  .help = "Segmentation offload: TCP data cross the switch in pieces of up to 64 KiB, which is several times "
		  "faster. `off` if a program on the device cannot take it.",
	  VS_SCHEMA_AT(struct vs_tap_config, offload) },
	{ .name = "address", .type = VS_VALUE_CIDRS, .excludes = "bridge",
	  .help = "IPv4 and IPv6 addresses of the device, such as `10.9.0.2/24, fd09::2/64`.",
	  VS_SCHEMA_AT(struct vs_tap_config, address) },
	{ .name = "route", .type = VS_VALUE_ROUTES, .excludes = "bridge",
	  .help = "Routes through the device: `PREFIX [via GATEWAY] [metric N]`.",
	  VS_SCHEMA_AT(struct vs_tap_config, route) },
	{ .name = "bridge", .type = VS_VALUE_IFNAME,
	  .help = "An existing Linux bridge that the device becomes a port of; addresses then belong to the bridge.",
	  VS_SCHEMA_AT(struct vs_tap_config, bridge) },
	{ .name = "up", .type = VS_VALUE_PATH,
	  .help = "A program to run once the device is up.",
	  VS_SCHEMA_AT(struct vs_tap_config, up) },
	{ .name = "down", .type = VS_VALUE_PATH,
	  .help = "A program to run before the device goes away.",
	  VS_SCHEMA_AT(struct vs_tap_config, down) },
};

static void warn_of_mode(struct vs_complaints *complaints, const char *path, const char *what)
{
	vs_complain_warn(complaints, 0, "others can read %s; mend it with: chmod 600 %s", what, path);
}

int vs_schema_load(const struct vs_schema *schema, const char *path, const struct vs_opener *opener, void *target,
		   struct vs_complaints *complaints)
{
	struct vs_config config;
	bool open_to_others = false;

	int err = vs_config_load(&config, path, opener, &open_to_others, complaints);
	if (err == 0 || err == -EINVAL)
		err = vs_schema_apply(schema, &config, target, complaints);
	if (open_to_others && vs_schema_has_secret(schema, &config))
		warn_of_mode(complaints, path, "the keys in this file");
	vs_config_fini(&config);
	return err;
}

int vs_schema_load_text(const struct vs_schema *schema, const char *path, const char *text, size_t len, void *target,
			struct vs_complaints *complaints)
{
	struct vs_config config;

	int err = vs_config_parse(&config, path, text, len, complaints);
	if (err == 0 || err == -EINVAL)
		err = vs_schema_apply(schema, &config, target, complaints);
	vs_config_fini(&config);
	return err;
}

static void load_key_file(struct vs_identity_config *identity, const struct vs_opener *opener,
			  struct vs_complaints *complaints)
{
	const char *path = identity->private_key_file;

	int fd = opener->open(opener->arg, path);
	int err = fd < 0 ? fd : vs_key_read(fd, identity->private_key);
	if (err == -EINVAL)
		vs_complain(complaints, 0, "private_key_file %s: expected a key, 44 characters of base64", path);
	else if (err < 0)
		vs_complain(complaints, 0, "private_key_file %s: %s", path, strerror(-err));
	if (fd < 0)
		return;
	if (vs_config_open_to_others(fd))
		warn_of_mode(complaints, path, "the private key");
	close(fd);
}

void vs_identity_load(struct vs_identity_config *identity, const char *program, const struct vs_opener *opener,
		      struct vs_complaints *complaints)
{
	if (identity->private_key_file[0])
		load_key_file(identity, opener, complaints);
	else if (vs_key_is_zero(identity->private_key) && complaints->errors == 0)
		vs_complain(complaints, 0, "[common] has no private_key; make one with: %s keygen", program);
}

void vs_log_config_check(const struct vs_log_config *log, struct vs_complaints *complaints)
{
	if (log->way == VS_LOG_FILE && !log->file[0])
		vs_complain(complaints, 0, "log_way = file needs log_file");
}
