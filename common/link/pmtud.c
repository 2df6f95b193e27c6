#include "link/pmtud.h"

#include <stddef.h>

#include "base/compiler.h"

#define RTT_UNKNOWN (250 * VS_MSEC)
#define TIMEOUT_MIN (50 * VS_MSEC)
#define TIMEOUT_HURRY_MIN (20 * VS_MSEC)
#define TIMEOUT_BASE_MAX (1 * VS_SEC)
#define RAISE_FIRST (10 * VS_SEC)
#define RAISE_MAX (600 * VS_SEC) /* RFC 8899, section 5.1.1: PMTU_RAISE_TIMER */

/* UDP payloads of the MTUs that links on real paths have, over IPv6 (48 bytes of headers) and IPv4 (28). */
static const uint16_t common_sizes[] = {
	1232, 1252, /* 1280: IPv6's least */
	1352,       /* 1400, v6 */
	1372,       /* 1400, v4; 1420, v6: WireGuard */
	1392,       /* 1420, v4; 1440, v6 */
	1412,       /* 1440, v4; 1460, v6 */
	1422,       /* 1450, v4: VXLAN */
	1432,       /* 1480, v6: an IP-in-IP tunnel */
	1444,       /* 1492, v6: PPPoE */
	1452,       /* 1500, v6; 1480, v4 */
	1464,       /* 1492, v4 */
	1472,       /* 1500, v4 */
	8952, 8972, /* 9000: jumbo frames */
};

/* A probe's id is its sequence number and its size, so that an acknowledgement can be checked however late it comes. */
#define SEQUENCE_MASK 0x7fff

static uint32_t make_id(uint16_t sequence, uint16_t size)
{
	return (uint32_t)(sequence & SEQUENCE_MASK) << 16 | size;
}

/* Whether the id is that of one of the latest valid_n probes. */
static bool is_valid_id(const struct vs_pmtud *p, uint32_t id)
{
	return ((p->sequence - (id >> 16)) & SEQUENCE_MASK) < p->valid_n && !(id >> 31);
}

static uint64_t rtt(const struct vs_pmtud *p)
{
	return p->srtt_usec ? p->srtt_usec : RTT_UNKNOWN;
}

/* After which a probe sent now counts as lost. */
static uint64_t probe_timeout(const struct vs_pmtud *p)
{
	uint64_t relaxed = VS_MAX(2 * rtt(p), TIMEOUT_MIN);

	if (p->state == VS_PMTUD_CONFIRM && p->hurry)
		return VS_MAX(rtt(p) + rtt(p) / 2, TIMEOUT_HURRY_MIN);
	if (p->state == VS_PMTUD_BASE) {
		unsigned doublings = VS_MIN(p->tries / VS_PMTUD_TRIES, 5);
		return VS_MAX(VS_MIN(relaxed << doublings, TIMEOUT_BASE_MAX), relaxed);
	}
	return relaxed;
}

/* Makes all probes sent so far worthless. */
static void disown_probes(struct vs_pmtud *p)
{
	p->valid_n = 0;
	p->outstanding = false;
}

/* The middle one of the common sizes between the bounds, exclusive; 0: there is none. */
static uint16_t middle_common_size(uint16_t low, uint16_t high)
{
	size_t from = 0, to = VS_ARRAY_SIZE(common_sizes);

	while (from < to && common_sizes[from] <= low)
		from++;
	while (to > from && common_sizes[to - 1] >= high)
		to--;
	return from < to ? common_sizes[from + (to - from) / 2] : 0;
}

/* The size to try next; 0: the search is over. */
static uint16_t next_size(const struct vs_pmtud *p)
{
	if (p->too_big > p->max) {
		if (p->last_good > p->size)
			return p->last_good;
		return p->max > p->size ? p->max : 0;
	}
	if (p->too_big - p->size <= VS_PMTUD_GRANULARITY)
		return 0;
	uint16_t common = middle_common_size(p->size, p->too_big);
	return common ? common : (uint16_t)(p->size + (p->too_big - p->size) / 2);
}

static void try_size(struct vs_pmtud *p, uint16_t size, uint64_t now)
{
	p->probe_size = size;
	p->tries = 0;
	p->outstanding = false;
	p->timer_usec = now;
}

static void enter_done(struct vs_pmtud *p, uint64_t now)
{
	bool at_max = p->size >= p->max;

	p->state = VS_PMTUD_DONE;
	p->outstanding = false;
	p->last_good = 0;
	p->raise_at_usec = vs_time_add(now, at_max ? RAISE_MAX : p->raise_usec);
	p->raise_usec = VS_MIN(2 * p->raise_usec, RAISE_MAX);
	p->timer_usec = p->raise_at_usec;
}

static void continue_search(struct vs_pmtud *p, uint64_t now)
{
	uint16_t size = next_size(p);

	if (size)
		try_size(p, size, now);
	else
		enter_done(p, now);
}

static void enter_search(struct vs_pmtud *p, uint64_t now)
{
	p->state = VS_PMTUD_SEARCH;
	p->too_big = (uint16_t)(p->max + 1);
	p->raise_at_usec = 0;
	continue_search(p, now);
}

static void enter_confirm(struct vs_pmtud *p, bool hurry, uint64_t now)
{
	p->state = VS_PMTUD_CONFIRM;
	p->hurry = hurry;
	p->since_usec = now;
	disown_probes(p);
	try_size(p, p->size, now);
}

/* The current size is not carried any more. The probes that should have proved it stay valid: one that returns late
 * (the round-trip time has grown) brings the size back. */
static void enter_base(struct vs_pmtud *p, uint64_t now)
{
	p->state = VS_PMTUD_BASE;
	if (p->size > VS_DATAGRAM_BASE)
		p->last_good = p->size;
	p->size = VS_DATAGRAM_BASE;
	p->raise_usec = RAISE_FIRST;
	p->raise_at_usec = 0;
	p->since_usec = now;
	try_size(p, VS_DATAGRAM_BASE, now);
}

/* The current size is carried: back to what was interrupted, or on to the search that was due. */
static void leave_confirm(struct vs_pmtud *p, uint64_t now)
{
	p->outstanding = false;
	/* Long enough for a search to get on between two suspicions on a path that loses much. */
	if (p->hurry)
		p->suspect_after_usec = vs_time_add(now, VS_PMTUD_REFUTED_RTTS * VS_MAX(rtt(p), TIMEOUT_MIN / 2));
	if (p->raise_at_usec == 0) {
		p->state = VS_PMTUD_SEARCH;
		continue_search(p, now);
	} else if (now < p->raise_at_usec) {
		p->state = VS_PMTUD_DONE;
		p->timer_usec = p->raise_at_usec;
	} else {
		enter_search(p, now);
	}
}

/* Larger than the current size, and it works. */
static void grow(struct vs_pmtud *p, uint16_t size, uint64_t now)
{
	p->size = size;
	p->raise_usec = RAISE_FIRST;
	if (p->state != VS_PMTUD_SEARCH || p->too_big <= size)
		enter_search(p, now);
	else if (p->probe_size <= size)
		continue_search(p, now);
}

/* A datagram of this size has come through. */
static void proven(struct vs_pmtud *p, uint16_t size, uint64_t now)
{
	if (size > p->size)
		grow(p, size, now);
	else if (p->state == VS_PMTUD_BASE)
		enter_search(p, now);
	else if (p->state == VS_PMTUD_CONFIRM && size == p->size)
		leave_confirm(p, now);
}

/* The probe in flight was not acknowledged in time. */
static void lose_probe(struct vs_pmtud *p, uint64_t now)
{
	p->outstanding = false;
	if (p->tries < VS_PMTUD_TRIES)
		return;
	if (p->state == VS_PMTUD_SEARCH) {
		p->too_big = p->probe_size;
		continue_search(p, now);
	} else if (p->state == VS_PMTUD_CONFIRM) {
		enter_base(p, now);
	}
}

void vs_pmtud_init(struct vs_pmtud *p, uint16_t max)
{
	*p = (struct vs_pmtud){ .sequence = 0 };
	vs_pmtud_reset(p, max);
}

void vs_pmtud_reset(struct vs_pmtud *p, uint16_t max)
{
	disown_probes(p);
	p->max = VS_MIN(VS_MAX(max, VS_DATAGRAM_BASE), VS_DATAGRAM_MAX);
	p->size = VS_DATAGRAM_BASE;
	p->last_good = 0;
	p->raise_usec = RAISE_FIRST;
	p->suspect_after_usec = 0;
	enter_search(p, 0);
}

void vs_pmtud_set_rtt(struct vs_pmtud *p, uint64_t srtt_usec)
{
	p->srtt_usec = srtt_usec;
}

bool vs_pmtud_output(struct vs_pmtud *p, uint64_t now, uint32_t *id, uint16_t *size)
{
	if (now < p->timer_usec)
		return false;
	if (p->state == VS_PMTUD_DONE)
		enter_confirm(p, false, now);
	if (p->outstanding)
		lose_probe(p, now);
	if (p->state == VS_PMTUD_DONE)
		return false;
	p->timer_usec = vs_time_add(now, probe_timeout(p));
	p->outstanding = true;
	if (p->tries < UINT8_MAX)
		p->tries++;
	p->sequence++;
	if (p->valid_n < VS_PMTUD_VALID_MAX)
		p->valid_n++;
	*id = make_id(p->sequence, p->probe_size);
	*size = p->probe_size;
	return true;
}

bool vs_pmtud_ack(struct vs_pmtud *p, uint32_t id, uint16_t size, uint64_t now)
{
	if (!is_valid_id(p, id) || (uint16_t)id != size || size < VS_DATAGRAM_BASE || size > p->max)
		return false;
	proven(p, size, now);
	return true;
}

void vs_pmtud_delivered(struct vs_pmtud *p, uint16_t size, uint64_t sent_usec, uint64_t now)
{
	if (vs_pmtud_wants_evidence(p) && sent_usec >= p->since_usec && size >= VS_DATAGRAM_BASE && size <= p->max)
		proven(p, size, now);
}

void vs_pmtud_suspect(struct vs_pmtud *p, uint64_t now)
{
	if (p->size == VS_DATAGRAM_BASE || (p->state == VS_PMTUD_CONFIRM && p->hurry) || now < p->suspect_after_usec)
		return;
	enter_confirm(p, true, now);
}

void vs_pmtud_too_big(struct vs_pmtud *p, uint16_t size, uint64_t now)
{
	if (size <= VS_DATAGRAM_BASE)
		return;
	if (size <= p->size) {
		disown_probes(p);
		p->size = VS_DATAGRAM_BASE;
		p->last_good = 0;
		p->raise_usec = RAISE_FIRST;
		enter_search(p, now);
	}
	if (p->state == VS_PMTUD_SEARCH && size <= p->probe_size) {
		p->too_big = VS_MIN(p->too_big, size);
		continue_search(p, now);
	}
}

const char *vs_pmtud_state_name(const struct vs_pmtud *p)
{
	static const char *const names[] = {
		[VS_PMTUD_SEARCH] = "search",
		[VS_PMTUD_DONE] = "done",
		[VS_PMTUD_CONFIRM] = "confirm",
		[VS_PMTUD_BASE] = "base",
	};

	return names[p->state];
}
