#include "vswitchs/schema_transport.h"

#define TEXT_OF(number) #number
#define NUMBER_TEXT(number) TEXT_OF(number)

enum profile { PROFILE_LAN = 1, PROFILE_GAME, PROFILE_LOSSY, PROFILE_BULK, PROFILE_LOWMEM };
enum preset { PRESET_NORMAL = 1, PRESET_FAST, PRESET_TURBO };

static const struct vs_schema_choice profiles[] = {
	{ "lan", PROFILE_LAN },   { "game", PROFILE_GAME },     { "lossy", PROFILE_LOSSY },
	{ "bulk", PROFILE_BULK }, { "lowmem", PROFILE_LOWMEM }, { NULL, 0 },
};

#define PROFILE(name, mode, fec, preset, lanes, window)                                                            \
	{                                                                                                          \
		name, {                                                                                            \
			{ "mode", mode }, { "fec", fec }, { "congestion", "bbr" }, { "preset", preset },           \
				{ "lanes", lanes }, { "sndwnd", window }, { "rcvwnd", window },                    \
		}                                                                                                  \
	}

static const struct vs_schema_bundle profile_bundles[] = {
	PROFILE("lan", "reliable", "off", "normal", "64", "4096"),
	PROFILE("game", "datagram", "1:2", "normal", "64", "4096"),
	PROFILE("lossy", "reliable", "auto", "fast", "64", "4096"),
	PROFILE("bulk", "reliable", "off", "normal", "64", "4096"),
	PROFILE("lowmem", "reliable", "off", "normal", "8", "256"),
	{ NULL, { { NULL, NULL } } },
};

static const struct vs_schema_choice presets[] = {
	{ "normal", PRESET_NORMAL }, { "fast", PRESET_FAST }, { "turbo", PRESET_TURBO }, { NULL, 0 },
};

static const struct vs_schema_bundle preset_bundles[] = {
	{ "normal", { { "nodelay", "no" }, { "interval", "5ms" }, { "resend", "0" } } },
	{ "fast", { { "nodelay", "no" }, { "interval", "2ms" }, { "resend", "2" } } },
	{ "turbo", { { "nodelay", "yes" }, { "interval", "1ms" }, { "resend", "2" } } },
	{ NULL, { { NULL, NULL } } },
};

static const struct vs_schema_choice modes[] = {
	{ "reliable", VS_MODE_RELIABLE }, { "datagram", VS_MODE_DATAGRAM }, { NULL, 0 },
};

static const struct vs_schema_choice carriers[] = {
	{ "any", VS_CARRIERS_ALL },
	{ "udp", VS_CARRIER_BIT(VS_CARRIER_UDP) },
	{ "faketcp", VS_CARRIER_BIT(VS_CARRIER_FAKETCP) },
	{ "tcp", VS_CARRIER_BIT(VS_CARRIER_TCP) },
	{ NULL, 0 },
};

#define AT(member) VS_SCHEMA_AT(struct vs_transport_config, member)

const struct vs_schema_key vs_transport_keys[VS_TRANSPORT_KEYS] = {
	[VS_TRANSPORT_PROFILE] = {
	  .name = "profile", .type = VS_VALUE_ENUM, .choices = profiles, .bundles = profile_bundles,
	  .help = "Settings of other keys for a purpose, in the table below: a LAN, games and calls, a line that loses "
		  "datagrams, bulk transfers, members in such numbers that memory counts. What the section sets itself "
		  "stands.",
	  AT(profile) },
	[VS_TRANSPORT_MODE] = {
	  .name = "mode", .type = VS_VALUE_ENUM, .choices = modes, .fallback = "reliable",
	  .help = "`reliable` sends again what was lost; `datagram` never does, for traffic that would rather lose a "
		  "frame than wait for it. Both can have `fec`.",
	  AT(mode) },
	[VS_TRANSPORT_CARRIER] = {
	  .name = "carrier", .type = VS_VALUE_SET, .choices = carriers, .fallback = "any",
	  .help = "What the client may come by. One that comes by something else is told so, and tries the others if its "
		  "own `carrier` is `auto`.",
	  AT(carriers) },
	[VS_TRANSPORT_FEC] = {
	  .name = "fec", .type = VS_VALUE_FEC, .fallback = "off",
	  .help = "Forward error correction: `M` parities for every `K` datagrams, always, or, with `auto`, as many as "
		  "the loss calls for that the receiver reports; none where nothing is lost.",
	  AT(fec) },
	[VS_TRANSPORT_FEC_UP] = {
	  .name = "fec_up", .type = VS_VALUE_FEC,
	  .help = "The same for what the client sends, where that is to be otherwise. If not set: as `fec`.",
	  AT(fec_up) },
	[VS_TRANSPORT_FEC_MAX] = {
	  .name = "fec_max", .type = VS_VALUE_INT, .min = 1, .max = VS_FEC_OVERHEAD_LIMIT,
	  .noun = "percent", .fallback = NUMBER_TEXT(VS_FEC_OVERHEAD_DEFAULT),
	  .help = "With `fec = auto`, parity is at most so many percent of the data.",
	  AT(fec_max) },
	[VS_TRANSPORT_PRESET] = {
	  .name = "preset", .type = VS_VALUE_ENUM, .choices = presets, .bundles = preset_bundles,
	  .help = "KCP's presets, in the table below, with its numbers adapted to an engine that has no tick and detects "
		  "losses by time. Congestion control is a key of its own (KCP's nc = 1 is `congestion = none`).",
	  AT(preset) },
	[VS_TRANSPORT_NODELAY] = {
	  .name = "nodelay", .type = VS_VALUE_BOOL, .fallback = "no",
	  .help = "As KCP's: when nothing is acknowledged any more, ask sooner (10 ms after a round trip instead of "
		  "30 ms) and back off by half instead of twofold.",
	  AT(nodelay) },
	[VS_TRANSPORT_INTERVAL] = {
	  .name = "interval", .type = VS_VALUE_DURATION, .min = VS_MSEC, .max = VS_KCP_INTERVAL_MAX * VS_MSEC,
	  .fallback = NUMBER_TEXT(VS_KCP_INTERVAL_DEFAULT) "ms",
	  .help = "As KCP's: an acknowledgement is held back at most so long (at most an eighth of the round trip in any "
		  "case). Data never wait.",
	  AT(interval_usec) },
	[VS_TRANSPORT_RESEND] = {
	  .name = "resend", .type = VS_VALUE_INT, .min = 0, .max = VS_KCP_RESEND_MAX, .fallback = "0",
	  .help = "As KCP's: send a segment again as soon as so many that were sent later have arrived, besides the "
		  "detection by time; 0: by time alone, which never mistakes reordering for loss.",
	  AT(resend) },
	[VS_TRANSPORT_SNDWND] = {
	  .name = "sndwnd", .type = VS_VALUE_INT, .min = VS_WINDOW_MIN, .max = VS_WINDOW_MAX,
	  .fallback = NUMBER_TEXT(VS_WINDOW_MAX),
	  .help = "As KCP's: segments that a lane may have in flight.",
	  AT(sndwnd) },
	[VS_TRANSPORT_RCVWND] = {
	  .name = "rcvwnd", .type = VS_VALUE_INT, .min = VS_WINDOW_MIN, .max = VS_WINDOW_MAX,
	  .fallback = NUMBER_TEXT(VS_WINDOW_MAX),
	  .help = "As KCP's: segments that the receiver says it has room for in a lane, at most.",
	  AT(rcvwnd) },
};

static struct vs_fec_config fec_of(const struct vs_transport_config *config, const struct vs_fec_value *value)
{
	struct vs_fec_config fec = value->config;
	fec.overhead_max = fec.kind == VS_FEC_AUTO ? (uint8_t)config->fec_max : 0;
	return fec;
}

void vs_transport_set_policy(const struct vs_transport_config *config, struct vs_policy *policy)
{
	policy->mode = (enum vs_mode)config->mode;
	policy->carriers = (uint8_t)config->carriers;
	policy->fec_down = fec_of(config, &config->fec);
	policy->fec_up = fec_of(config, config->fec_up.set ? &config->fec_up : &config->fec);
	policy->kcp = (struct vs_kcp_config){
		.nodelay = config->nodelay,
		.interval_msec = (uint16_t)((config->interval_usec + VS_MSEC - 1) / VS_MSEC),
		.resend = (uint8_t)config->resend,
		.sndwnd = (uint16_t)config->sndwnd,
		.rcvwnd = (uint16_t)config->rcvwnd,
	};
}
