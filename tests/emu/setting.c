#include "emu/setting.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A suffix or a word, and what it stands for. */
struct unit {
	const char *name;
	double factor;
};

static const struct unit durations[] = {
	{ "", 1e3 }, { "us", 1 }, { "usec", 1 }, { "ms", 1e3 }, { "msec", 1e3 }, { "s", 1e6 }, { "sec", 1e6 }, { NULL, 0 },
};
static const struct unit rates[] = {
	{ "bit", 1 }, { "kbit", 1e3 }, { "mbit", 1e6 }, { "gbit", 1e9 }, { NULL, 0 },
};
static const struct unit sizes[] = {
	{ "", 1 }, { "b", 1 }, { "k", 1024 }, { "kb", 1024 }, { "kib", 1024 }, { "m", 1048576 }, { "mb", 1048576 },
	{ "mib", 1048576 }, { NULL, 0 },
};
static const struct unit shares[] = { { "", 1 }, { "%", 0.01 }, { NULL, 0 } };
static const struct unit counts[] = { { "", 1 }, { NULL, 0 } };

/* Words, of which the first means 0 and the second 1. */
static const char *const shapes[] = { "uniform", "normal" };
static const char *const orders[] = { "keep", "free" };
static const char *const switches[] = { "no", "yes" };

static const struct kind {
	const char *name;
	enum vs_impair_field field;
	const struct unit *units;  /* one of the two is set */
	const char *const *words;
	const char *example;
} kinds[] = {
	{ "delay", VS_IMPAIR_DELAY, durations, NULL, "25ms" },
	{ "jitter", VS_IMPAIR_JITTER, durations, NULL, "5ms" },
	{ "jitter-shape", VS_IMPAIR_JITTER_NORMAL, NULL, shapes, "uniform or normal" },
	{ "jitter-order", VS_IMPAIR_JITTER_REORDERS, NULL, orders, "keep or free" },
	{ "loss", VS_IMPAIR_LOSS, shares, NULL, "1%" },
	{ "burst", VS_IMPAIR_BURST, counts, NULL, "4" },
	{ "dup", VS_IMPAIR_DUPLICATE, shares, NULL, "0.1%" },
	{ "reorder", VS_IMPAIR_REORDER, shares, NULL, "2%" },
	{ "reorder-delay", VS_IMPAIR_REORDER_DELAY, durations, NULL, "3ms" },
	{ "rate", VS_IMPAIR_RATE, rates, NULL, "100mbit" },
	{ "queue", VS_IMPAIR_QUEUE, sizes, NULL, "512k" },
	{ "mtu", VS_IMPAIR_MTU, counts, NULL, "1280" },
	{ "off", VS_IMPAIR_DOWN, NULL, switches, "yes or no" },
};

static int parse_number(const char *text, const struct unit *units, double *value)
{
	char *end;

	if (!isdigit((unsigned char)text[0]) && text[0] != '.')
		return -EINVAL;
	double number = strtod(text, &end);
	for (; units->name; units++) {
		if (strcasecmp(end, units->name) == 0 && isfinite(number)) {
			*value = number * units->factor;
			return 0;
		}
	}
	/* No line has a rate of 0 bit a second; it is how one says "unlimited". */
	if (number == 0 && *end == '\0') {
		*value = 0;
		return 0;
	}
	return -EINVAL;
}

static int parse_word(const char *text, const char *const *words, double *value)
{
	for (int i = 0; i < 2; i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*value = i;
			return 0;
		}
	}
	return -EINVAL;
}

int vs_setting_duration(const char *text, uint64_t *usec)
{
	double value;

	if (parse_number(text, durations, &value) || value > 1e15)
		return -EINVAL;
	*usec = (uint64_t)value;
	return 0;
}

static const char *take_way(const char *name, enum vs_setting_way *way)
{
	*way = VS_SETTING_BOTH;
	if (strncmp(name, "up-", 3) == 0) {
		*way = VS_SETTING_UP;
		return name + 3;
	}
	if (strncmp(name, "down-", 5) == 0) {
		*way = VS_SETTING_DOWN;
		return name + 5;
	}
	return name;
}

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < VS_ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

int vs_setting_parse(struct vs_setting *setting, const char *name, const char *value, char error[VS_SETTING_ERROR_SIZE])
{
	struct vs_impair_config scratch = { 0 };
	const struct kind *kind = find_kind(take_way(name, &setting->way));

	if (!kind) {
		snprintf(error, VS_SETTING_ERROR_SIZE, "unknown setting '%.40s'", name);
		return -EINVAL;
	}
	setting->field = kind->field;
	int err = kind->words ? parse_word(value, kind->words, &setting->value)
			      : parse_number(value, kind->units, &setting->value);
	if (err || vs_impair_config_set(&scratch, setting->field, setting->value)) {
		snprintf(error, VS_SETTING_ERROR_SIZE, "%.40s = '%.40s': expected something like %s", name, value,
			 kind->example);
		return -EINVAL;
	}
	return 0;
}

int vs_setting_parse_pair(struct vs_setting *setting, const char *text, char error[VS_SETTING_ERROR_SIZE])
{
	char name[32];
	const char *equals = strchr(text, '=');

	if (!equals || (size_t)(equals - text) >= sizeof(name)) {
		snprintf(error, VS_SETTING_ERROR_SIZE, "'%.40s': expected NAME=VALUE", text);
		return -EINVAL;
	}
	memcpy(name, text, (size_t)(equals - text));
	name[equals - text] = '\0';
	return vs_setting_parse(setting, name, equals + 1, error);
}

const char *vs_setting_help(void)
{
	return "  delay TIME           one way (25ms, 1.5s)\n"
	       "  jitter TIME          delay varies by so much\n"
	       "  jitter-shape SHAPE   uniform: within +- jitter; normal: jitter is the standard deviation\n"
	       "  jitter-order ORDER   keep: no packet overtakes another; free: they may\n"
	       "  loss SHARE           packets lost (1%, 0.01)\n"
	       "  burst COUNT          mean number of packets lost in a row; 1: independent losses\n"
	       "  dup SHARE            packets that come twice\n"
	       "  reorder SHARE        packets that are held back ...\n"
	       "  reorder-delay TIME   ... by so much, so that later ones overtake them\n"
	       "  rate RATE            bottleneck (512kbit, 100mbit, 1gbit); 0: none\n"
	       "  queue SIZE           in front of the bottleneck (64k, 1m); 0: 100 ms at its rate\n"
	       "  mtu BYTES            larger packets vanish; 0: none\n"
	       "  off yes|no           yes: everything is lost\n";
}
