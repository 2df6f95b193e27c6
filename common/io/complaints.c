#include "io/complaints.h"

#include <stdarg.h>
#include <string.h>

#include "base/log.h"

void vs_complaints_init(struct vs_complaints *complaints, const char *file)
{
	memset(complaints, 0, sizeof(*complaints));
	complaints->file = file;
}

VS_PRINTF(4, 0)
static void add(struct vs_complaints *complaints, unsigned line, bool warning, const char *fmt, va_list ap)
{
	if (complaints->n == VS_COMPLAINTS_MAX) {
		complaints->withheld++;
		return;
	}
	struct vs_complaint *c = &complaints->item[complaints->n++];
	c->line = line;
	c->warning = warning;
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
}

void vs_complain(struct vs_complaints *complaints, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(complaints, line, false, fmt, ap);
	va_end(ap);
	complaints->errors++;
}

void vs_complain_warn(struct vs_complaints *complaints, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(complaints, line, true, fmt, ap);
	va_end(ap);
	complaints->warnings++;
}

const char *vs_complaint_format(const struct vs_complaints *complaints, size_t i, char buf[VS_COMPLAINT_TEXT_MAX])
{
	const struct vs_complaint *c = &complaints->item[i];
	const char *kind = c->warning ? "warning: " : "";

	if (c->line)
		snprintf(buf, VS_COMPLAINT_TEXT_MAX, "%s:%u: %s%s", complaints->file, c->line, kind, c->text);
	else
		snprintf(buf, VS_COMPLAINT_TEXT_MAX, "%s: %s%s", complaints->file, kind, c->text);
	return buf;
}

/* By insertion: there are few, and those of one line must keep their order. */
void vs_complaints_sort(struct vs_complaints *complaints)
{
	for (size_t i = 1; i < complaints->n; i++) {
		struct vs_complaint moved = complaints->item[i];
		size_t j = i;
		for (; j > 0 && complaints->item[j - 1].line > moved.line; j--)
			complaints->item[j] = complaints->item[j - 1];
		complaints->item[j] = moved;
	}
}

void vs_complaints_print(struct vs_complaints *complaints, FILE *out)
{
	char buf[VS_COMPLAINT_TEXT_MAX];

	vs_complaints_sort(complaints);
	for (size_t i = 0; i < complaints->n; i++)
		fprintf(out, "%s\n", vs_complaint_format(complaints, i, buf));
	if (complaints->withheld)
		fprintf(out, "%s: and %zu more\n", complaints->file, complaints->withheld);
}

void vs_complaints_log(struct vs_complaints *complaints)
{
	char buf[VS_COMPLAINT_TEXT_MAX];

	vs_complaints_sort(complaints);
	for (size_t i = 0; i < complaints->n; i++)
		vs_log(complaints->item[i].warning ? VS_LOG_WARN : VS_LOG_ERROR, "%s",
		       vs_complaint_format(complaints, i, buf));
	if (complaints->withheld)
		vs_error("%s: and %zu more", complaints->file, complaints->withheld);
}
