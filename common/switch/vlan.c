#include "switch/vlan.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* Reads one VID and the blanks behind it; NULL: there is none. */
static const char *parse_vid(const char *p, uint16_t *vid)
{
	if (!isdigit((unsigned char)*p)) /* strtoul would take a sign */
		return NULL;
	char *end;
	unsigned long value = strtoul(p, &end, 10);
	if (value < VS_VID_MIN || value > VS_VID_MAX)
		return NULL;
	*vid = (uint16_t)value;
	return skip_blanks(end);
}

/* Reads "N" or "N-M" into the set; NULL: malformed. */
static const char *parse_range(const char *p, struct vs_vlan_set *set)
{
	uint16_t first, last;

	p = parse_vid(skip_blanks(p), &first);
	if (!p)
		return NULL;
	last = first;
	if (*p == '-')
		p = parse_vid(skip_blanks(p + 1), &last);
	if (!p || last < first)
		return NULL;
	for (unsigned vid = first; vid <= last; vid++)
		vs_vlan_set_add(set, (uint16_t)vid);
	return p;
}

int vs_vlan_set_parse(const char *text, struct vs_vlan_set *out)
{
	struct vs_vlan_set set = { 0 };
	const char *p = parse_range(text, &set);

	while (p && *p == ',')
		p = parse_range(p + 1, &set);
	if (!p || *p)
		return -EINVAL;
	*out = set;
	return 0;
}

/* The last VID of the run of members that starts at `first`. */
static unsigned run_end(const struct vs_vlan_set *set, unsigned first)
{
	while (first < VS_VID_MAX && vs_vlan_set_has(set, (uint16_t)(first + 1)))
		first++;
	return first;
}

const char *vs_vlan_set_format(const struct vs_vlan_set *set, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (unsigned vid = VS_VID_MIN; vid <= VS_VID_MAX && used < size; vid++) {
		if (!vs_vlan_set_has(set, (uint16_t)vid))
			continue;
		unsigned last = run_end(set, vid);
		const char *comma = used ? "," : "";
		int n = last > vid ? snprintf(buf + used, size - used, "%s%u-%u", comma, vid, last)
				   : snprintf(buf + used, size - used, "%s%u", comma, vid);
		used += (size_t)n;
		vid = last;
	}
	return buf;
}

static bool set_is_empty(const struct vs_vlan_set *set)
{
	static const struct vs_vlan_set empty;

	return memcmp(set, &empty, sizeof(empty)) == 0;
}

int vs_vlan_rule_check(const struct vs_vlan_rule *rule)
{
	switch (rule->mode) {
	case VS_VLAN_TRANSPARENT:
		return rule->vid == VS_VID_NONE ? 0 : -EINVAL;
	case VS_VLAN_ACCESS:
		return rule->vid >= VS_VID_MIN && rule->vid <= VS_VID_MAX ? 0 : -EINVAL;
	case VS_VLAN_TRUNK:
		/* VID 0 and 4095 have bits in the set, but are no VLANs. */
		if (vs_vlan_set_has(&rule->members, VS_VID_NONE) || vs_vlan_set_has(&rule->members, VS_VID_MAX + 1))
			return -EINVAL;
		return rule->vid <= VS_VID_MAX && !set_is_empty(&rule->members) ? 0 : -EINVAL;
	}
	return -EINVAL;
}

bool vs_vlan_rule_equal(const struct vs_vlan_rule *a, const struct vs_vlan_rule *b)
{
	if (a->mode != b->mode || a->vid != b->vid)
		return false;
	return a->mode != VS_VLAN_TRUNK || memcmp(&a->members, &b->members, sizeof(a->members)) == 0;
}

/* What a frame that names no VLAN belongs to. False: the port has no place for it. */
static bool classify_untagged(const struct vs_vlan_rule *rule, uint16_t *vlan)
{
	*vlan = rule->vid;
	return rule->mode == VS_VLAN_TRANSPARENT || rule->vid != VS_VID_NONE;
}

bool vs_vlan_ingress(const struct vs_vlan_rule *rule, const struct vs_eth *eth, uint16_t *vlan)
{
	uint16_t vid = eth->tci & VS_TCI_VID;

	if (!eth->tagged || vid == VS_VID_NONE)
		return classify_untagged(rule, vlan);
	if (vid > VS_VID_MAX)
		return false;
	*vlan = vid;
	return vs_vlan_egress(rule, vid) != VS_VLAN_REFUSED;
}

enum vs_vlan_form vs_vlan_egress(const struct vs_vlan_rule *rule, uint16_t vlan)
{
	if (rule->mode == VS_VLAN_TRANSPARENT)
		return vlan == VS_VID_NONE ? VS_VLAN_UNCHANGED : VS_VLAN_TAGGED;
	if (vlan == VS_VID_NONE)
		return VS_VLAN_REFUSED;
	if (vlan == rule->vid) /* the VLAN of an access port, or the native one of a trunk */
		return VS_VLAN_UNTAGGED;
	if (rule->mode == VS_VLAN_TRUNK && vs_vlan_set_has(&rule->members, vlan))
		return VS_VLAN_TAGGED;
	return VS_VLAN_REFUSED;
}
