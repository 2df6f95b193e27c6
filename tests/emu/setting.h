/* Settings of the emulated line as people write them, on the command line and at run time: `loss=2%`, `up-rate=20mbit`.
 * "Up" is the way from end a to end b; a setting without a direction is for both. */
#ifndef VS_TEST_SETTING_H
#define VS_TEST_SETTING_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "emu/impair.h"

enum vs_setting_way {
	VS_SETTING_UP = 1,
	VS_SETTING_DOWN = 2,
	VS_SETTING_BOTH = VS_SETTING_UP | VS_SETTING_DOWN,
};

struct vs_setting {
	enum vs_setting_way way;
	enum vs_impair_field field;
	double value; /* in the unit of the field */
};

#define VS_SETTING_ERROR_SIZE 160

/* Reads `name` (which may start with "up-" or "down-") and `value`. 0, or -EINVAL with a text for people in `error`. */
int vs_setting_parse(struct vs_setting *setting, const char *name, const char *value,
		     char error[VS_SETTING_ERROR_SIZE]) VS_MUST_CHECK;

/* The same for "name=value". */
int vs_setting_parse_pair(struct vs_setting *setting, const char *text,
			  char error[VS_SETTING_ERROR_SIZE]) VS_MUST_CHECK;

/* Reads a duration, such as "25ms" or "1.5s"; a bare number counts milliseconds. 0 or -EINVAL. */
int vs_setting_duration(const char *text, uint64_t *usec) VS_MUST_CHECK;

/* One line of help for each setting, ended by newlines. Borrowed, static. */
const char *vs_setting_help(void);

#endif
