#include "io/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"

#define GAP 2 /* blanks between columns */

/* Appends to a cell; what does not fit is cut. */
VS_PRINTF(2, 3)
static void append(char *buf, const char *fmt, ...)
{
	size_t used = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + used, VS_CELL_TEXT_MAX - used, fmt, ap);
	va_end(ap);
}

static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

/* Three digits or so in the unit that fits: n divided by `step` as often as needed. */
static void append_scaled(char *buf, double n, double step, const char *const *units, size_t n_units)
{
	size_t unit = 0;

	for (; n >= step && unit + 1 < n_units; unit++)
		n /= step;
	append(buf, unit && n < 99.95 ? "%.1f%s" : "%.0f%s", n, units[unit]);
}

static void append_count(char *buf, double n)
{
	static const char *const units[] = { "", "k", "M", "G", "T" };

	if (n < 10000)
		append(buf, "%.0f", n);
	else
		append_scaled(buf, n, 1000, units, VS_ARRAY_SIZE(units));
}

static void append_bytes(char *buf, double n)
{
	static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB" };

	append_scaled(buf, n, 1024, units, VS_ARRAY_SIZE(units));
}

static void append_usec(char *buf, double usec)
{
	static const char *const units[] = { " us", " ms", " s" };

	append_scaled(buf, usec, 1000, units, VS_ARRAY_SIZE(units));
}

/* The two largest units. */
static void append_age(char *buf, double seconds)
{
	uint64_t s = seconds < 1e15 ? (uint64_t)seconds : 0;

	if (s < 60)
		append(buf, "%" PRIu64 "s", s);
	else if (s < 3600)
		append(buf, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		append(buf, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s % 3600 / 60);
	else
		append(buf, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s % 86400 / 3600);
}

static void append_value(char *buf, const json_t *value)
{
	size_t i;
	json_t *element;

	switch (json_typeof(value)) {
	case JSON_STRING:
		append(buf, "%s", json_string_value(value));
		break;
	case JSON_INTEGER:
		append(buf, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		append(buf, "%g", json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		append(buf, "%s", json_is_true(value) ? "yes" : "no");
		break;
	case JSON_ARRAY:
		json_array_foreach((json_t *)value, i, element) {
			append(buf, "%s", i ? ", " : "");
			if (!json_is_array(element))
				append_value(buf, element);
		}
		break;
	default:
		break;
	}
}

static double sum_of(const json_t *object)
{
	const char *key;
	json_t *value;
	double sum = 0;

	json_object_foreach((json_t *)object, key, value)
		sum += json_number_value(value);
	return sum;
}

static void append_tally(char *buf, const json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		if (!(json_number_value(value) > 0))
			continue;
		append(buf, "%s%s ", *buf ? ", " : "", key);
		append_count(buf, json_number_value(value));
	}
	if (!*buf)
		append(buf, "none");
}

static void append_number(char *buf, enum vs_cell cell, double n)
{
	if (!(n >= 0))
		return;
	if (cell == VS_CELL_COUNT)
		append_count(buf, n);
	else if (cell == VS_CELL_BYTES)
		append_bytes(buf, n);
	else if (cell == VS_CELL_AGE)
		append_age(buf, n);
	else if (cell == VS_CELL_USEC)
		append_usec(buf, n);
	else if (cell == VS_CELL_SHARE)
		append(buf, "%.1f %%", 100 * n);
}

const char *vs_cell_format(enum vs_cell cell, const json_t *value, char buf[VS_CELL_TEXT_MAX])
{
	buf[0] = '\0';
	if (!value)
		return strcpy(buf, "-");
	if (cell == VS_CELL_TEXT)
		append_value(buf, value);
	else if (cell == VS_CELL_SUM && json_is_object(value))
		append_count(buf, sum_of(value));
	else if (cell == VS_CELL_TALLY && json_is_object(value))
		append_tally(buf, value);
	else if (json_is_number(value))
		append_number(buf, cell, json_number_value(value));
	clean(buf);
	return *buf ? buf : strcpy(buf, "-");
}

/* Letters on the screen: bytes that begin a UTF-8 sequence. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void print_cell(FILE *out, const char *text, int width, bool right, bool last)
{
	int blanks = width - width_of(text);

	if (right)
		fprintf(out, "%*s%s", blanks, "", text);
	else
		fprintf(out, "%s%*s", text, last ? 0 : blanks, "");
	fprintf(out, "%*s", last ? 0 : GAP, "");
}

static bool stands_right(enum vs_cell cell)
{
	return cell != VS_CELL_TEXT && cell != VS_CELL_TALLY;
}

static void measure(const struct vs_column *columns, size_t n, const json_t *rows, int *widths)
{
	char buf[VS_CELL_TEXT_MAX];
	json_t *row;
	size_t i;

	for (size_t c = 0; c < n; c++)
		widths[c] = width_of(columns[c].title);
	json_array_foreach((json_t *)rows, i, row) {
		for (size_t c = 0; c < n; c++) {
			int width =
				width_of(vs_cell_format(columns[c].cell, json_object_get(row, columns[c].key), buf));
			widths[c] = VS_MAX(widths[c], width);
		}
	}
}

void vs_table_print(FILE *out, const struct vs_column *columns, size_t n, const json_t *rows)
{
	int widths[VS_COLUMNS_MAX];
	char buf[VS_CELL_TEXT_MAX];
	json_t *row;
	size_t i;

	assert(n <= VS_COLUMNS_MAX);
	measure(columns, n, rows, widths);
	for (size_t c = 0; c < n; c++)
		print_cell(out, columns[c].title, widths[c], stands_right(columns[c].cell), c + 1 == n);
	fputc('\n', out);
	json_array_foreach((json_t *)rows, i, row) {
		for (size_t c = 0; c < n; c++) {
			vs_cell_format(columns[c].cell, json_object_get(row, columns[c].key), buf);
			print_cell(out, buf, widths[c], stands_right(columns[c].cell), c + 1 == n);
		}
		fputc('\n', out);
	}
}

void vs_fields_print(FILE *out, const struct vs_column *fields, size_t n, const json_t *object)
{
	char buf[VS_CELL_TEXT_MAX];
	int width = 0;

	for (size_t i = 0; i < n; i++)
		width = VS_MAX(width, width_of(fields[i].title));
	for (size_t i = 0; i < n; i++) {
		print_cell(out, fields[i].title, width, false, false);
		fprintf(out, "%s\n", vs_cell_format(fields[i].cell, json_object_get(object, fields[i].key), buf));
	}
}
