/* What is wrong with a configuration file, collected so that a person sees all of it at once and not one error a try.
 * Each complaint names its line; they are shown in the order of lines, as compilers do: "FILE:LINE: text". */
#ifndef VS_IO_COMPLAINTS_H
#define VS_IO_COMPLAINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/compiler.h"

#define VS_COMPLAINTS_MAX 20 /* kept; more are only counted */

struct vs_complaint {
	unsigned line; /* 0: the file as a whole */
	bool warning;
	char text[400];
};

struct vs_complaints {
	const char *file; /* the caller's */
	size_t n;
	size_t errors, warnings, withheld;
	struct vs_complaint item[VS_COMPLAINTS_MAX];
};

void vs_complaints_init(struct vs_complaints *complaints, const char *file);

void vs_complain(struct vs_complaints *complaints, unsigned line, const char *fmt, ...) VS_PRINTF(3, 4);
void vs_complain_warn(struct vs_complaints *complaints, unsigned line, const char *fmt, ...) VS_PRINTF(3, 4);

/* The i-th complaint (in the order of lines after vs_complaints_sort()) as one line of text; returns buf. */
#define VS_COMPLAINT_TEXT_MAX 700
const char *vs_complaint_format(const struct vs_complaints *complaints, size_t i, char buf[VS_COMPLAINT_TEXT_MAX]);

void vs_complaints_sort(struct vs_complaints *complaints);

/* Sorts and writes all of them, one a line, and how many more there were. */
void vs_complaints_print(struct vs_complaints *complaints, FILE *out);

/* Sorts and logs all of them, as errors and warnings. */
void vs_complaints_log(struct vs_complaints *complaints);

#endif
