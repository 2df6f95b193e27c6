#include "base/drop.h"

#include <ctype.h>
#include <pthread.h>

static const char *const upper_names[VS_DROP_COUNT] = {
#define VS_DROP_NAME(name, text) #name,
	VS_DROP_REASONS(VS_DROP_NAME)
#undef VS_DROP_NAME
};

static const char *const texts[VS_DROP_COUNT] = {
#define VS_DROP_TEXT(name, text) text,
	VS_DROP_REASONS(VS_DROP_TEXT)
#undef VS_DROP_TEXT
};

static char lower_names[VS_DROP_COUNT][32];
static pthread_once_t lower_once = PTHREAD_ONCE_INIT;

static void make_lower_names(void)
{
	for (int i = 0; i < VS_DROP_COUNT; i++)
		for (int j = 0; upper_names[i][j]; j++)
			lower_names[i][j] = (char)tolower((unsigned char)upper_names[i][j]);
}

const char *vs_drop_name(enum vs_drop reason)
{
	pthread_once(&lower_once, make_lower_names);
	return lower_names[reason];
}

const char *vs_drop_text(enum vs_drop reason)
{
	return texts[reason];
}
