#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "io/table.h"

static json_t *load(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(value);
	return value;
}

static void test_cells(void **state)
{
	static const struct {
		enum vs_cell cell;
		const char *json, *text;
	} rows[] = {
		{ VS_CELL_TEXT, "\"alice\"", "alice" },
		{ VS_CELL_TEXT, "\"\"", "-" },
		{ VS_CELL_TEXT, "null", "-" },
		{ VS_CELL_TEXT, "12345678", "12345678" },
		{ VS_CELL_TEXT, "true", "yes" },
		{ VS_CELL_TEXT, "{}", "-" },
		{ VS_CELL_TEXT, "[\"a\", 2, [3]]", "a, 2, " },
		{ VS_CELL_TEXT, "\"\\u001b[31m\\n\"", "?[31m?" },
		{ VS_CELL_COUNT, "0", "0" },
		{ VS_CELL_COUNT, "9999", "9999" },
		{ VS_CELL_COUNT, "12345", "12.3k" },
		{ VS_CELL_COUNT, "1234567", "1.2M" },
		{ VS_CELL_COUNT, "250000000", "250M" },
		{ VS_CELL_COUNT, "-1", "-" },
		{ VS_CELL_COUNT, "\"7\"", "-" },
		{ VS_CELL_BYTES, "0", "0 B" },
		{ VS_CELL_BYTES, "1023", "1023 B" },
		{ VS_CELL_BYTES, "1536", "1.5 KiB" },
		{ VS_CELL_BYTES, "268435456", "256 MiB" },
		{ VS_CELL_AGE, "59", "59s" },
		{ VS_CELL_AGE, "200", "3m 20s" },
		{ VS_CELL_AGE, "7500", "2h 5m" },
		{ VS_CELL_AGE, "356400", "4d 3h" },
		{ VS_CELL_USEC, "850", "850 us" },
		{ VS_CELL_USEC, "12345", "12.3 ms" },
		{ VS_CELL_USEC, "1200000", "1.2 s" },
		{ VS_CELL_SHARE, "0.003", "0.3 %" },
		{ VS_CELL_SUM, "{\"a\": 3, \"b\": 4, \"c\": \"x\"}", "7" },
		{ VS_CELL_SUM, "3", "-" },
		{ VS_CELL_TALLY, "{\"replay\": 3, \"runt\": 0, \"giant\": 12345}", "replay 3, giant 12.3k" },
		{ VS_CELL_TALLY, "{}", "none" },
	};
	char buf[VS_CELL_TEXT_MAX];
	(void)state;

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		json_t *value = load(rows[i].json);
		assert_string_equal(vs_cell_format(rows[i].cell, value, buf), rows[i].text);
		json_decref(value);
	}
	assert_string_equal(vs_cell_format(VS_CELL_BYTES, NULL, buf), "-");
}

/* A text that is longer than any cell is cut, not overrun. */
static void test_long_text(void **state)
{
	char longest[2000], buf[VS_CELL_TEXT_MAX];
	(void)state;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	json_t *list = json_pack("[s, s]", longest, longest);
	assert_int_equal(strlen(vs_cell_format(VS_CELL_TEXT, list, buf)), VS_CELL_TEXT_MAX - 1);
	json_decref(list);
}

static void test_table(void **state)
{
	static const struct vs_column columns[] = {
		{ "PORT", "name", VS_CELL_TEXT },
		{ "RECEIVED", "rx_bytes", VS_CELL_BYTES },
		{ "STATE", "state", VS_CELL_TEXT },
	};
	char *out = NULL;
	size_t size;
	(void)state;

	json_t *rows =
		load("[{\"name\":\"al\\u00efce\",\"rx_bytes\":2048,\"state\":\"up\"}, {\"name\":\"a-long-name\"}, 7]");
	FILE *f = open_memstream(&out, &size);
	vs_table_print(f, columns, VS_ARRAY_SIZE(columns), rows);
	fclose(f);
	assert_string_equal(out, "PORT         RECEIVED  STATE\n"
				 "al\xc3\xaf"
				 "ce         2.0 KiB  up\n"
				 "a-long-name         -  -\n"
				 "-                   -  -\n");
	free(out);
	json_decref(rows);
}

static void test_fields(void **state)
{
	static const struct vs_column fields[] = {
		{ "version", "version", VS_CELL_TEXT }, { "running for", "uptime_sec", VS_CELL_AGE },
	};
	char *out = NULL;
	size_t size;
	(void)state;

	json_t *reply = load("{\"uptime_sec\": 61}");
	FILE *f = open_memstream(&out, &size);
	vs_fields_print(f, fields, VS_ARRAY_SIZE(fields), reply);
	fclose(f);
	assert_string_equal(out, "version      -\nrunning for  1m 1s\n");
	free(out);
	json_decref(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
