/* Replies of the control socket as people read them: tables with aligned columns, and lists of fields; numbers in
 * units, times as ages. What a reply does not have is shown as "-", so that the programs may be of different
 * versions. Control characters in texts are not passed on to the terminal. */
#ifndef VS_IO_TABLE_H
#define VS_IO_TABLE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum vs_cell {
	VS_CELL_TEXT,  /* a text, number or truth value, as it is; a list with commas */
	VS_CELL_COUNT, /* "812", "12.3k", "4.5M" (thousands) */
	VS_CELL_BYTES, /* "812 B", "12.3 KiB" */
	VS_CELL_AGE,   /* seconds: "5s", "3m 20s", "2h 5m", "4d 3h" */
	VS_CELL_USEC,  /* microseconds: "850 us", "12.3 ms", "1.2 s" */
	VS_CELL_SHARE, /* 0 to 1: "0.3 %" */
	VS_CELL_SUM,   /* the sum of an object's numbers, as a count */
	VS_CELL_TALLY, /* an object's numbers that are not zero: "replay 3, runt 1" */
};

struct vs_column {
	const char *title;
	const char *key; /* of the row's object */
	enum vs_cell cell;
};

#define VS_CELL_TEXT_MAX 256
#define VS_COLUMNS_MAX 24

/* The text of a value; "-" for NULL, null, and values of the wrong kind. Returns buf. */
const char *vs_cell_format(enum vs_cell cell, const json_t *value, char buf[VS_CELL_TEXT_MAX]);

/* One line of titles and one for each object of the array `rows`; numbers stand to the right. */
void vs_table_print(FILE *out, const struct vs_column *columns, size_t n, const json_t *rows);

/* One line for each field of one object: its title and its value. */
void vs_fields_print(FILE *out, const struct vs_column *fields, size_t n, const json_t *object);

#endif
