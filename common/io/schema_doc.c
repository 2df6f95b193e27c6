#include "io/schema.h"
#include "io/schema_type.h"

#include <string.h>

/* Where the type alone does not say it. */
static const char legend[] =
	"A *duration* is written with its units: `30s`, `1s 500ms`, `5m`, `1d`. A *size* takes `K`, `M`, `G` or `KiB`, "
	"`MiB`, `GiB`,\nall of 1024. A *list* has commas between its elements, and its key may be given several times. "
	"A *key* is 44 characters of\nbase64. A *path* that is not absolute starts from the directory of the file. "
	"A comment starts with `#` or `;` at the start\nof a line, or with ` ;` behind a value.\n";

static void document_value(const struct vs_schema_key *key, FILE *out)
{
	const struct vs_schema_type_ops *ops = vs_schema_type_ops(key->type);
	char range[100];

	vs_schema_range(key, range, sizeof(range));
	if (key->type == VS_VALUE_ENUM)
		fprintf(out, "`%s`", range);
	else if (key->type == VS_VALUE_SET)
		fprintf(out, "%s `%s`", ops->doc, range);
	else
		fprintf(out, "%s%s%s", ops->doc, *range ? ", " : "", range);
}

static void document_key(const struct vs_schema_key *key, FILE *out)
{
	fprintf(out, "| `%s` | ", key->name);
	document_value(key, out);
	if (key->flags & VS_SCHEMA_REQUIRED)
		fprintf(out, " | required | ");
	else if (key->fallback)
		fprintf(out, " | `%s` | ", key->fallback);
	else
		fprintf(out, " | | ");
	fprintf(out, "%s%s", key->help, key->flags & VS_SCHEMA_OWN ? " Not a default for all." : "");
	if (key->excludes)
		fprintf(out, " Not together with `%s`.", key->excludes);
	fprintf(out, " |\n");
}

/* One row for each choice, one column for each key that it sets. */
static void document_bundles(const struct vs_schema_key *key, FILE *out)
{
	fprintf(out, "\n`%s` stands for these, where the section does not say otherwise:\n\n| `%s` |", key->name, key->name);
	for (const struct vs_schema_setting *s = key->bundles->settings; s->key; s++)
		fprintf(out, " `%s` |", s->key);
	fprintf(out, "\n| --- |");
	for (const struct vs_schema_setting *s = key->bundles->settings; s->key; s++)
		fprintf(out, " --- |");
	for (const struct vs_schema_bundle *bundle = key->bundles; bundle->choice; bundle++) {
		fprintf(out, "\n| `%s` |", bundle->choice);
		for (const struct vs_schema_setting *s = bundle->settings; s->key; s++)
			fprintf(out, " %s |", s->value);
	}
	fprintf(out, "\n");
}

static void document_section(const struct vs_schema_section *spec, FILE *out)
{
	if (spec->naming == VS_SECTION_PLAIN)
		fprintf(out, "## `[%s]`", spec->kind);
	else if (spec->naming == VS_SECTION_NAMED)
		fprintf(out, "## `[%s NAME]`", spec->kind);
	else
		fprintf(out, "## `[%s NAME]` and `[%s]`", spec->kind, spec->kind);
	fprintf(out, "\n\n%s\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n", spec->help);
	for (size_t g = 0; g < VS_SCHEMA_GROUPS_MAX; g++)
		for (size_t i = 0; i < spec->groups[g].n; i++)
			document_key(&spec->groups[g].keys[i], out);
	for (size_t g = 0; g < VS_SCHEMA_GROUPS_MAX; g++)
		for (size_t i = 0; i < spec->groups[g].n; i++)
			if (spec->groups[g].keys[i].bundles)
				document_bundles(&spec->groups[g].keys[i], out);
	fprintf(out, "\n");
}

void vs_schema_document(const struct vs_schema *schema, FILE *out)
{
	fprintf(out, "# Configuration of %s\n\n%s\n", schema->program, legend);
	for (size_t i = 0; i < schema->n; i++)
		document_section(&schema->sections[i], out);
}
