#include "link/fec_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool ratio_valid(unsigned k, unsigned m)
{
	return k >= 1 && k <= VS_FEC_K_MAX && m >= 1 && m <= VS_FEC_M_MAX && m <= VS_FEC_RATIO_MAX * k;
}

bool vs_fec_config_valid(const struct vs_fec_config *config)
{
	switch (config->kind) {
	case VS_FEC_OFF:
		return true;
	case VS_FEC_FIXED:
		return ratio_valid(config->k, config->m);
	case VS_FEC_AUTO:
		return config->overhead_max >= 1 && config->overhead_max <= VS_FEC_OVERHEAD_LIMIT;
	}
	return false;
}

bool vs_fec_config_equal(const struct vs_fec_config *a, const struct vs_fec_config *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case VS_FEC_FIXED:
		return a->k == b->k && a->m == b->m;
	case VS_FEC_AUTO:
		return a->overhead_max == b->overhead_max;
	case VS_FEC_OFF:
		break;
	}
	return true;
}

/* A decimal number of at most two digits, without sign or leading zero; 0: there is none. */
static unsigned read_number(const char **text)
{
	unsigned number = 0;
	if (**text == '0')
		return 0;
	for (unsigned digits = 0; digits < 2 && **text >= '0' && **text <= '9'; digits++)
		number = number * 10 + (unsigned)(*(*text)++ - '0');
	return number;
}

int vs_fec_parse(const char *text, struct vs_fec_config *out)
{
	struct vs_fec_config config = { .overhead_max = out->overhead_max };
	if (!config.overhead_max)
		config.overhead_max = VS_FEC_OVERHEAD_DEFAULT;
	if (strcmp(text, "off") == 0) {
		config.kind = VS_FEC_OFF;
	} else if (strcmp(text, "auto") == 0) {
		config.kind = VS_FEC_AUTO;
	} else {
		unsigned k = read_number(&text);
		bool colon = *text == ':';
		text += colon;
		unsigned m = read_number(&text);
		if (!colon || *text || !ratio_valid(k, m))
			return -EINVAL;
		config.kind = VS_FEC_FIXED;
		config.k = (uint8_t)k;
		config.m = (uint8_t)m;
	}
	*out = config;
	return 0;
}

const char *vs_fec_format(const struct vs_fec_config *config, char out[VS_FEC_TEXT_MAX])
{
	if (config->kind == VS_FEC_FIXED)
		snprintf(out, VS_FEC_TEXT_MAX, "%u:%u", (unsigned)(config->k % 100), (unsigned)(config->m % 100));
	else
		snprintf(out, VS_FEC_TEXT_MAX, "%s", config->kind == VS_FEC_AUTO ? "auto" : "off");
	return out;
}
