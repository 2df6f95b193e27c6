#include "io/schema.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "io/nearest.h"
#include "io/schema_type.h"

/* One pass over a file. */
struct pass {
	const struct vs_schema *schema;
	const struct vs_config *config;
	void *target;
	struct vs_complaints *complaints;
};

/* One section being filled. */
struct filling {
	const struct vs_schema_section *spec;
	const char *name;
	char title[64]; /* "[port alice]" */
	unsigned line;
	uint8_t *storage;
	unsigned set_on[VS_SCHEMA_KEYS_MAX]; /* line on which the key was set; 0: not set */
};

/* The i-th key of all groups and where it is stored; NULL after the last. */
static const struct vs_schema_key *key_at(const struct vs_schema_section *spec, size_t i, size_t *offset)
{
	for (size_t g = 0; g < VS_SCHEMA_GROUPS_MAX; g++) {
		const struct vs_schema_group *group = &spec->groups[g];
		if (i < group->n) {
			*offset = group->offset + group->keys[i].offset;
			return &group->keys[i];
		}
		i -= group->n;
	}
	return NULL;
}

static const struct vs_schema_key *find_key(const struct vs_schema_section *spec, const char *name, size_t *index)
{
	const struct vs_schema_key *key;
	size_t offset;

	for (size_t i = 0; (key = key_at(spec, i, &offset)); i++) {
		if (strcmp(key->name, name) == 0) {
			*index = i;
			return key;
		}
	}
	return NULL;
}

static const struct vs_schema_section *find_section(const struct vs_schema *schema, const char *kind)
{
	for (size_t i = 0; i < schema->n; i++)
		if (strcmp(schema->sections[i].kind, kind) == 0)
			return &schema->sections[i];
	return NULL;
}

static void *storage_of(struct filling *f, size_t index)
{
	size_t offset = 0;
	const struct vs_schema_key *key = key_at(f->spec, index, &offset);

	assert(key && index < VS_SCHEMA_KEYS_MAX);
	return f->storage + offset;
}

/* --- Keys --------------------------------------------------------------------------------------------------------- */

/* "[common]", "[port NAME]": how a section of the kind is written. */
static void format_kind(const struct vs_schema_section *spec, char *buf, size_t size)
{
	snprintf(buf, size, "[%s%s]", spec->kind, spec->naming == VS_SECTION_PLAIN ? "" : " NAME");
}

static void complain_unknown_key(struct pass *pass, struct filling *f, const struct vs_config_entry *entry)
{
	struct vs_nearest nearest = vs_nearest_to(entry->key);
	const struct vs_schema_key *key;
	char elsewhere[64];
	size_t ignored;

	for (size_t i = 0; (key = key_at(f->spec, i, &ignored)); i++)
		vs_nearest_offer(&nearest, key->name);
	if (nearest.best) {
		vs_complain(pass->complaints, entry->line, "key '%s' in %s is not known; did you mean '%s'?",
			    entry->key, f->title, nearest.best);
		return;
	}
	for (size_t i = 0; i < pass->schema->n; i++) {
		if (!find_key(&pass->schema->sections[i], entry->key, &ignored))
			continue;
		format_kind(&pass->schema->sections[i], elsewhere, sizeof(elsewhere));
		vs_complain(pass->complaints, entry->line, "key '%s' in %s is not known; it belongs in %s", entry->key,
			    f->title, elsewhere);
		return;
	}
	vs_complain(pass->complaints, entry->line, "key '%s' in %s is not known; '%s config-help' lists all keys",
		    entry->key, f->title, pass->schema->program);
}

static bool excludes(const struct vs_schema_key *a, const struct vs_schema_key *b)
{
	return (a->excludes && strcmp(a->excludes, b->name) == 0) || (b->excludes && strcmp(b->excludes, a->name) == 0);
}

/* A key takes the place of those that it excludes where they were set by a default; where they were set in this
 * section, that is a contradiction. */
static bool clear_excluded(struct pass *pass, struct filling *f, const struct vs_schema_key *key, unsigned line)
{
	const struct vs_schema_key *other;
	size_t offset;

	for (size_t i = 0; (other = key_at(f->spec, i, &offset)); i++) {
		if (!excludes(key, other))
			continue;
		if (f->set_on[i]) {
			vs_complain(pass->complaints, line, "%s cannot be set together with %s (line %u)", key->name,
				    other->name, f->set_on[i]);
			return false;
		}
		memset(f->storage + offset, 0, other->size);
	}
	return true;
}

static void complain_value(struct pass *pass, const struct vs_schema_key *key, const struct vs_config_entry *entry,
			   const struct vs_why *why)
{
	const char *value = key->flags & VS_SCHEMA_SECRET ? "(not shown)" : entry->value;
	const char *hint = strstr(entry->value, " #") ? "; a comment behind a value starts with ' ;'" : "";

	vs_complain(pass->complaints, entry->line, "%s = %.100s: %s%s", key->name, value, why->text, hint);
}

static void set_key(struct pass *pass, struct filling *f, const struct vs_config_entry *entry)
{
	struct vs_why why;
	size_t index;

	const struct vs_schema_key *key = find_key(f->spec, entry->key, &index);
	if (!key) {
		complain_unknown_key(pass, f, entry);
		return;
	}
	if (key->flags & VS_SCHEMA_OWN && !f->name && f->spec->naming == VS_SECTION_DEFAULTS) {
		vs_complain(pass->complaints, entry->line, "%s cannot be a default for all: set it in [%s NAME]",
			    key->name, f->spec->kind);
		return;
	}
	if (f->set_on[index] && !vs_schema_type_ops(key->type)->list) {
		vs_complain(pass->complaints, entry->line, "%s is set again; it was set on line %u", key->name,
			    f->set_on[index]);
		return;
	}
	if (!clear_excluded(pass, f, key, entry->line))
		return;
	if (!f->set_on[index])
		memset(storage_of(f, index), 0, key->size);
	f->set_on[index] = entry->line;
	if (vs_schema_parse(key, pass->config, entry->value, storage_of(f, index), &why) < 0)
		complain_value(pass, key, entry, &why);
}

/* A value that is our own: a default, or of a bundle. */
static void set_own(struct pass *pass, const struct vs_schema_key *key, const char *value, void *storage)
{
	struct vs_why why;
	memset(storage, 0, key->size);
	int err = vs_schema_parse(key, pass->config, value, storage, &why);
	assert(err == 0);
	(void)err;
}

static void apply_bundle(struct pass *pass, struct filling *f, const struct vs_schema_key *key, const char *choice)
{
	const struct vs_schema_bundle *bundle = key->bundles;
	size_t index;

	while (bundle->choice && strcmp(bundle->choice, choice) != 0)
		bundle++;
	for (const struct vs_schema_setting *s = bundle->settings; bundle->choice && s->key; s++) {
		const struct vs_schema_key *other = find_key(f->spec, s->key, &index);
		assert(other && other->bundles != key->bundles);
		set_own(pass, other, s->value, storage_of(f, index));
		if (other->bundles)
			apply_bundle(pass, f, other, s->value);
	}
}

/* Before the section's own values, which then win wherever they stand; in the order of the table. */
static void apply_bundles(struct pass *pass, struct filling *f, const struct vs_config_section *section)
{
	const struct vs_schema_key *key;
	size_t offset;

	for (size_t i = 0; (key = key_at(f->spec, i, &offset)); i++) {
		for (size_t e = 0; key->bundles && e < section->n; e++) {
			const struct vs_config_entry *entry = &pass->config->entries[section->first + e];
			if (strcmp(entry->key, key->name) == 0)
				apply_bundle(pass, f, key, entry->value);
		}
	}
}

static void set_fallbacks(struct pass *pass, struct filling *f)
{
	const struct vs_schema_key *key;
	size_t offset;

	for (size_t i = 0; (key = key_at(f->spec, i, &offset)); i++) {
		size_t size = vs_schema_type_ops(key->type)->size;
		assert(size == 0 || size == key->size);
		if (key->fallback)
			set_own(pass, key, key->fallback, f->storage + offset);
	}
}

static void check_required(struct pass *pass, struct filling *f)
{
	bool defaults = !f->name && f->spec->naming == VS_SECTION_DEFAULTS;
	const struct vs_schema_key *key;
	size_t offset;

	for (size_t i = 0; (key = key_at(f->spec, i, &offset)); i++)
		if (key->flags & VS_SCHEMA_REQUIRED && !f->set_on[i] && !defaults)
			vs_complain(pass->complaints, f->line, "%s has no %s", f->title, key->name);
}

/* --- Sections ----------------------------------------------------------------------------------------------------- */

/* `section` is NULL for a plain one that the file does not have: then its defaults count. */
static void fill(struct pass *pass, const struct vs_schema_section *spec, const struct vs_config_section *section)
{
	struct filling f = { .spec = spec };

	if (section) {
		f.name = section->name;
		f.line = section->line;
	}
	snprintf(f.title, sizeof(f.title), "[%s%s%s]", spec->kind, f.name ? " " : "", f.name ? f.name : "");
	f.storage = spec->open(pass->target, f.name, f.line);
	if (!f.storage) {
		vs_complain(pass->complaints, f.line, "no room for %s: at most %u of its kind", f.title, spec->max);
		return;
	}
	if (!f.name || spec->naming != VS_SECTION_DEFAULTS)
		set_fallbacks(pass, &f);
	if (section)
		apply_bundles(pass, &f, section);
	for (size_t i = 0; section && i < section->n; i++)
		set_key(pass, &f, &pass->config->entries[section->first + i]);
	check_required(pass, &f);
}

static void complain_unknown_section(struct pass *pass, const struct vs_config_section *section)
{
	struct vs_nearest nearest = vs_nearest_to(section->kind);
	char written[200], right[64];

	snprintf(written, sizeof(written), "[%.60s%s%.60s]", section->kind, section->name ? " " : "",
		 section->name ? section->name : "");
	for (size_t i = 0; i < pass->schema->n; i++)
		vs_nearest_offer(&nearest, pass->schema->sections[i].kind);
	if (nearest.best) {
		format_kind(find_section(pass->schema, nearest.best), right, sizeof(right));
		vs_complain(pass->complaints, section->line, "section %s is not known; did you mean %s?", written,
			    right);
		return;
	}
	char all[200] = "";
	for (size_t i = 0, used = 0; i < pass->schema->n; i++) {
		format_kind(&pass->schema->sections[i], right, sizeof(right));
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "", right);
		if (used >= sizeof(all))
			break;
	}
	vs_complain(pass->complaints, section->line, "section %s is not known; there are %s", written, all);
}

/* The section of the same title that came before, or NULL. */
static const struct vs_config_section *find_earlier(const struct pass *pass, const struct vs_config_section *section)
{
	for (const struct vs_config_section *s = pass->config->sections; s < section; s++)
		if (strcmp(s->kind, section->kind) == 0 && !s->name == !section->name &&
		    (!s->name || strcmp(s->name, section->name) == 0))
			return s;
	return NULL;
}

/* The section's specification, or NULL after a complaint about its header. */
static const struct vs_schema_section *check_header(struct pass *pass, const struct vs_config_section *section)
{
	const struct vs_schema_section *spec = find_section(pass->schema, section->kind);
	const struct vs_config_section *earlier = spec ? find_earlier(pass, section) : NULL;

	if (!spec) {
		if (*section->kind)
			complain_unknown_section(pass, section);
	} else if (section->name && spec->naming == VS_SECTION_PLAIN) {
		vs_complain(pass->complaints, section->line, "section [%s %.60s] takes no name", spec->kind,
			    section->name);
	} else if (!section->name && spec->naming == VS_SECTION_NAMED) {
		vs_complain(pass->complaints, section->line, "section [%s] needs a name: [%s NAME]", spec->kind,
			    spec->kind);
	} else if (section->name && !vs_config_name_valid(section->name)) {
		vs_complain(pass->complaints, section->line,
			    "section [%s %.60s]: a name is 1 to %d characters of A-Z a-z 0-9 . _ -", spec->kind,
			    section->name, VS_CONFIG_NAME_MAX);
	} else if (earlier) {
		vs_complain(pass->complaints, section->line, "section [%s%s%s] comes again; it began on line %u",
			    spec->kind, section->name ? " " : "", section->name ? section->name : "", earlier->line);
	} else {
		return spec;
	}
	return NULL;
}

static const struct vs_config_section *find_plain(const struct vs_config *config, const char *kind)
{
	for (size_t i = 0; i < config->n_sections; i++)
		if (!config->sections[i].name && strcmp(config->sections[i].kind, kind) == 0)
			return &config->sections[i];
	return NULL;
}

int vs_schema_apply(const struct vs_schema *schema, const struct vs_config *config, void *target,
		    struct vs_complaints *complaints)
{
	struct pass pass = { schema, config, target, complaints };

	/* Plain sections first, wherever they stand: named ones take their defaults from them. */
	for (size_t i = 0; i < schema->n; i++)
		if (schema->sections[i].naming != VS_SECTION_NAMED)
			fill(&pass, &schema->sections[i], find_plain(config, schema->sections[i].kind));
	for (size_t i = 0; i < config->n_sections; i++) {
		const struct vs_schema_section *spec = check_header(&pass, &config->sections[i]);
		if (spec && config->sections[i].name)
			fill(&pass, spec, &config->sections[i]);
	}
	return complaints->errors ? -EINVAL : 0;
}

bool vs_schema_has_secret(const struct vs_schema *schema, const struct vs_config *config)
{
	for (size_t i = 0; i < config->n_sections; i++) {
		const struct vs_config_section *section = &config->sections[i];
		const struct vs_schema_section *spec = find_section(schema, section->kind);
		for (size_t j = 0; spec && j < section->n; j++) {
			size_t index;
			const struct vs_schema_key *key =
				find_key(spec, config->entries[section->first + j].key, &index);
			if (key && key->flags & VS_SCHEMA_SECRET)
				return true;
		}
	}
	return false;
}

uint64_t vs_schema_diff(const struct vs_schema_group *group, const void *a, const void *b)
{
	uint64_t different = 0;

	assert(group->n <= 64);
	for (size_t i = 0; i < group->n; i++) {
		const struct vs_schema_key *key = &group->keys[i];
		size_t offset = group->offset + key->offset;
		if (memcmp((const uint8_t *)a + offset, (const uint8_t *)b + offset, key->size) != 0)
			different |= UINT64_C(1) << i;
	}
	return different;
}
