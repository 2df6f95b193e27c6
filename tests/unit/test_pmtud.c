#include "link/pmtud.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"

/* A path in virtual time: what fits comes back after a round trip, unless it is lost. */
struct path {
	struct vs_pmtud p;
	uint64_t now;
	uint64_t rtt_usec;
	uint16_t mtu;          /* largest datagram carried; 0: an outage */
	unsigned loss_percent; /* of round trips */
	unsigned probes;       /* sent */
	uint16_t last_probe;
	uint16_t least_size; /* seen by anybody who asks */
	unsigned flying_n;
	struct {
		uint64_t at;
		uint32_t id;
		uint16_t size;
	} flying[64];
};

static void start(struct path *path, uint16_t max, uint16_t mtu, uint64_t rtt_usec)
{
	*path = (struct path){ .mtu = mtu, .rtt_usec = rtt_usec, .now = 7 * VS_SEC, .least_size = UINT16_MAX };
	vs_pmtud_init(&path->p, max);
	vs_pmtud_set_rtt(&path->p, rtt_usec);
}

static void send_probe(struct path *path, uint32_t id, uint16_t size)
{
	path->probes++;
	path->last_probe = size;
	if (size > path->mtu || (unsigned)(random() % 100) < path->loss_percent)
		return;
	assert_true(path->flying_n < VS_ARRAY_SIZE(path->flying));
	path->flying[path->flying_n].at = path->now + path->rtt_usec;
	path->flying[path->flying_n].id = id;
	path->flying[path->flying_n++].size = size;
}

static uint64_t next_event(const struct path *path)
{
	uint64_t at = vs_pmtud_deadline(&path->p);

	if (path->flying_n > 0)
		at = vs_time_min(at, path->flying[0].at);
	return VS_MAX(at, path->now);
}

static void step(struct path *path)
{
	uint32_t id;
	uint16_t size;

	while (path->flying_n > 0 && path->flying[0].at <= path->now) {
		vs_pmtud_ack(&path->p, path->flying[0].id, path->flying[0].size, path->now);
		path->flying_n--;
		memmove(&path->flying[0], &path->flying[1], path->flying_n * sizeof(path->flying[0]));
	}
	if (vs_pmtud_output(&path->p, path->now, &id, &size)) {
		assert_int_equal(id >> 31, 0);
		send_probe(path, id, size);
	}
	assert_true(vs_pmtud_deadline(&path->p) > path->now);
	path->least_size = VS_MIN(path->least_size, vs_pmtud_size(&path->p));
}

static void run_until(struct path *path, uint64_t end)
{
	for (unsigned i = 0; next_event(path) <= end; i++) {
		assert_true(i < 100000);
		path->now = next_event(path);
		step(path);
	}
	path->now = end;
}

static void run_for(struct path *path, uint64_t usec)
{
	run_until(path, path->now + usec);
}

static void settle(struct path *path)
{
	for (unsigned i = 0; path->p.state != VS_PMTUD_DONE; i++) {
		assert_true(i < 1000);
		path->now = next_event(path);
		step(path);
	}
}

static void test_first_probe_is_the_maximum(void **state)
{
	struct path path;
	uint32_t id;
	uint16_t size;

	(void)state;
	start(&path, 1472, 1472, 20 * VS_MSEC);
	assert_int_equal(vs_pmtud_size(&path.p), VS_DATAGRAM_BASE);
	assert_true(vs_pmtud_output(&path.p, path.now, &id, &size));
	assert_int_equal(size, 1472);
	assert_false(vs_pmtud_output(&path.p, path.now, &id, &size)); /* one at a time */
	assert_true(vs_pmtud_ack(&path.p, id, size, path.now + 20000));
	assert_int_equal(vs_pmtud_size(&path.p), 1472);
	assert_string_equal(vs_pmtud_state_name(&path.p), "done");
}

static void test_maximum_is_clamped(void **state)
{
	struct path path;

	(void)state;
	start(&path, 100, 9000, 1000);
	settle(&path);
	assert_int_equal(vs_pmtud_size(&path.p), VS_DATAGRAM_BASE);
	start(&path, 65535, 65535, 1000);
	settle(&path);
	assert_int_equal(vs_pmtud_size(&path.p), VS_DATAGRAM_MAX);
}

/* Every path MTU is found to within the granularity, and quickly. */
static void test_search_finds_every_size(void **state)
{
	static const uint16_t maxima[] = { 1452, 1472, 8972, VS_DATAGRAM_MAX };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(maxima); i++) {
		for (uint16_t mtu = VS_DATAGRAM_BASE; mtu <= maxima[i]; mtu++) {
			struct path path;
			start(&path, maxima[i], mtu, 10 * VS_MSEC);
			settle(&path);
			uint16_t size = vs_pmtud_size(&path.p);
			if (size > mtu || size + VS_PMTUD_GRANULARITY <= mtu || path.probes > 40)
				fail_msg("max %u mtu %u: size %u after %u probes", maxima[i], mtu, size, path.probes);
		}
	}
}

static void test_common_sizes_are_found_exactly(void **state)
{
	static const uint16_t sizes[] = { 1252, 1372, 1392, 1412, 1432, 1452, 1472 };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(sizes); i++) {
		struct path path;
		start(&path, 1472, sizes[i], 10 * VS_MSEC);
		settle(&path);
		assert_in_range(vs_pmtud_size(&path.p), sizes[i] - 8, sizes[i]);
	}
}

static void test_a_size_is_given_up_after_its_tries(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1300, 10 * VS_MSEC);
	run_for(&path, 149 * VS_MSEC);
	assert_int_equal(path.probes, VS_PMTUD_TRIES);
	assert_int_equal(path.last_probe, 1472);
	run_for(&path, VS_MSEC); /* three times 50 ms */
	assert_int_equal(path.probes, VS_PMTUD_TRIES + 1);
	assert_true(path.last_probe < 1472);
}

static void test_timeout_follows_rtt(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1300, 300 * VS_MSEC);
	run_for(&path, 599 * VS_MSEC);
	assert_int_equal(path.probes, 1);
	run_for(&path, VS_MSEC);
	assert_int_equal(path.probes, 2);
}

/* The round-trip time is unknown and longer than was guessed: an answer that comes late counts. */
static void test_late_acknowledgement_counts(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1472, 2 * VS_SEC);
	vs_pmtud_set_rtt(&path.p, 0);
	run_for(&path, 1900 * VS_MSEC);
	assert_int_equal(vs_pmtud_size(&path.p), VS_DATAGRAM_BASE);
	run_for(&path, 200 * VS_MSEC);
	assert_int_equal(vs_pmtud_size(&path.p), 1472);
}

static void test_forged_acknowledgements(void **state)
{
	struct path path;
	uint32_t id;
	uint16_t size;

	(void)state;
	start(&path, 1452, 1452, 1000);
	assert_true(vs_pmtud_output(&path.p, path.now, &id, &size));
	assert_false(vs_pmtud_ack(&path.p, id, (uint16_t)(size - 1), path.now));
	assert_false(vs_pmtud_ack(&path.p, id + 0x10000, size, path.now));            /* not sent yet */
	assert_false(vs_pmtud_ack(&path.p, id - 0x10000, size, path.now));            /* before the first */
	assert_false(vs_pmtud_ack(&path.p, id | UINT32_C(1) << 31, size, path.now));
	assert_false(vs_pmtud_ack(&path.p, (id & 0xffff0000) | 1472, 1472, path.now)); /* above the maximum */
	assert_false(vs_pmtud_ack(&path.p, (id & 0xffff0000) | 100, 100, path.now));
	assert_int_equal(vs_pmtud_size(&path.p), VS_DATAGRAM_BASE);
	assert_true(vs_pmtud_ack(&path.p, id, size, path.now));
	assert_true(vs_pmtud_ack(&path.p, id, size, path.now)); /* repeated: harmless */
	assert_int_equal(vs_pmtud_size(&path.p), 1452);
}

static void test_shrink_is_found_after_suspicion(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1472, 10 * VS_MSEC);
	settle(&path);
	run_for(&path, VS_SEC);
	path.mtu = 1300;
	vs_pmtud_suspect(&path.p, path.now);
	run_for(&path, 59 * VS_MSEC);
	assert_int_equal(vs_pmtud_size(&path.p), 1472);
	run_for(&path, 2 * VS_MSEC); /* three quick tries of 20 ms */
	assert_int_equal(vs_pmtud_size(&path.p), VS_DATAGRAM_BASE);
	settle(&path);
	assert_in_range(vs_pmtud_size(&path.p), 1300 - VS_PMTUD_GRANULARITY + 1, 1300);
}

static void test_unfounded_suspicion(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1472, 10 * VS_MSEC);
	settle(&path);
	uint64_t raise_at = vs_pmtud_deadline(&path.p);
	unsigned probes = path.probes;
	path.least_size = UINT16_MAX;
	run_for(&path, VS_SEC);
	for (int i = 0; i < 10; i++) {
		vs_pmtud_suspect(&path.p, path.now); /* some of them while it is being checked, or just was */
		run_for(&path, 4 * VS_MSEC);
	}
	assert_int_equal(path.probes, probes + 1);
	assert_int_equal(path.least_size, 1472);
	assert_int_equal(vs_pmtud_deadline(&path.p), raise_at);
	run_for(&path, 200 * VS_MSEC);
	vs_pmtud_suspect(&path.p, path.now);
	run_for(&path, 4 * VS_MSEC);
	assert_int_equal(path.probes, probes + 2);
}

static void test_old_probe_does_not_refute(void **state)
{
	struct path path;
	uint32_t id;
	uint16_t size;

	(void)state;
	start(&path, 1472, 1472, 10 * VS_MSEC);
	assert_true(vs_pmtud_output(&path.p, path.now, &id, &size));
	assert_true(vs_pmtud_ack(&path.p, id, size, path.now));
	vs_pmtud_suspect(&path.p, path.now);
	assert_false(vs_pmtud_ack(&path.p, id, size, path.now));
	vs_pmtud_delivered(&path.p, 1472, path.now - 1, path.now);
	assert_string_equal(vs_pmtud_state_name(&path.p), "confirm");
	vs_pmtud_delivered(&path.p, 1400, path.now, path.now); /* proves nothing about 1472 */
	assert_string_equal(vs_pmtud_state_name(&path.p), "confirm");
	vs_pmtud_delivered(&path.p, 1472, path.now, path.now);
	assert_string_equal(vs_pmtud_state_name(&path.p), "done");
}

/* Suspicion at the base size can change nothing. */
static void test_suspicion_at_base(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1200, 10 * VS_MSEC);
	settle(&path);
	uint64_t deadline = vs_pmtud_deadline(&path.p);
	vs_pmtud_suspect(&path.p, path.now);
	assert_int_equal(vs_pmtud_deadline(&path.p), deadline);
}

static void test_outage(void **state)
{
	static const uint64_t outages[] = { 200 * VS_MSEC, 1 * VS_SEC, 5 * VS_SEC, 58 * VS_SEC };

	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(outages); i++) {
		struct path path;
		start(&path, 1472, 1452, 10 * VS_MSEC);
		settle(&path);
		assert_int_equal(vs_pmtud_size(&path.p), 1452);
		path.mtu = 0;
		vs_pmtud_suspect(&path.p, path.now);
		unsigned probes = path.probes;
		run_for(&path, outages[i]);
		assert_string_equal(vs_pmtud_state_name(&path.p), "base");
		assert_true(path.probes - probes < 20 + 2 * outages[i] / VS_SEC); /* backs off */
		path.mtu = 1452;
		run_for(&path, VS_SEC + 2 * path.rtt_usec);
		assert_int_equal(vs_pmtud_size(&path.p), 1452);
	}
}

static void test_traffic_ends_the_wait_at_base(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1472, 10 * VS_MSEC);
	settle(&path);
	path.mtu = 0;
	vs_pmtud_suspect(&path.p, path.now);
	run_for(&path, 10 * VS_SEC);
	path.mtu = 1472;
	vs_pmtud_delivered(&path.p, VS_DATAGRAM_BASE, path.now - 20000, path.now);
	run_for(&path, path.rtt_usec);
	assert_int_equal(vs_pmtud_size(&path.p), 1472);
}

/* Three full-size probes in a row are lost at times; what is delivered besides them refutes the suspicion. */
static void test_heavy_loss_with_traffic(void **state)
{
	struct path path;

	(void)state;
	srandom(3);
	start(&path, 1472, 1472, 10 * VS_MSEC);
	settle(&path);
	path.loss_percent = 50;
	path.least_size = UINT16_MAX;
	for (int i = 0; i < 5000; i++) {
		vs_pmtud_suspect(&path.p, path.now);
		run_for(&path, path.rtt_usec);
		vs_pmtud_delivered(&path.p, vs_pmtud_size(&path.p), path.now - path.rtt_usec, path.now);
	}
	assert_int_equal(path.least_size, 1472);
}

/* A search goes on between suspicions, and a size missed by bad luck is found again soon. */
static void test_search_under_loss(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 50; seed++) {
		struct path path;
		srandom(seed);
		start(&path, 1472, 1472, 10 * VS_MSEC);
		path.loss_percent = 50;
		for (int i = 0; i < 12000; i++) {
			vs_pmtud_suspect(&path.p, path.now);
			run_for(&path, path.rtt_usec);
			vs_pmtud_delivered(&path.p, vs_pmtud_size(&path.p), path.now - path.rtt_usec, path.now);
		}
		assert_int_equal(vs_pmtud_size(&path.p), 1472);
	}
}

static void test_raise(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1300, 10 * VS_MSEC);
	settle(&path);
	uint16_t size = vs_pmtud_size(&path.p);
	/* Again after 10 s, 20 s, ... 600 s. */
	for (uint64_t wait = 10; wait <= 2000; wait = VS_MIN(wait * 2, 600 + (wait >= 600) * 10000)) {
		assert_int_equal(vs_pmtud_deadline(&path.p), path.now + VS_MIN(wait, 600) * VS_SEC);
		run_until(&path, vs_pmtud_deadline(&path.p));
		settle(&path);
		assert_int_equal(vs_pmtud_size(&path.p), size);
	}
	path.mtu = 1472;
	run_until(&path, vs_pmtud_deadline(&path.p) + VS_SEC);
	assert_int_equal(vs_pmtud_size(&path.p), 1472);
}

static void test_confirmation_of_the_maximum(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1472, 10 * VS_MSEC);
	settle(&path);
	unsigned probes = path.probes;
	run_for(&path, 599 * VS_SEC);
	assert_int_equal(path.probes, probes);
	run_for(&path, 2 * VS_SEC);
	assert_int_equal(path.probes, probes + 1);
	/* Shrunk unnoticed: the next confirmation finds out. */
	path.mtu = 1300;
	run_for(&path, 602 * VS_SEC);
	assert_in_range(vs_pmtud_size(&path.p), 1285, 1300);
}

static void test_too_big(void **state)
{
	struct path path;
	uint32_t id;
	uint16_t size;

	(void)state;
	start(&path, 1472, 1500, 10 * VS_MSEC);
	assert_true(vs_pmtud_output(&path.p, path.now, &id, &size));
	vs_pmtud_too_big(&path.p, size, path.now); /* the next is tried at once */
	assert_true(vs_pmtud_output(&path.p, path.now, &id, &size));
	assert_in_range(size, VS_DATAGRAM_BASE + 1, 1471);
	assert_true(vs_pmtud_ack(&path.p, id, size, path.now));
	settle(&path);
	assert_in_range(vs_pmtud_size(&path.p), 1472 - VS_PMTUD_GRANULARITY, 1471);

	/* The current size is refused: never used again until the next search. */
	size = vs_pmtud_size(&path.p);
	vs_pmtud_too_big(&path.p, size, path.now);
	assert_int_equal(vs_pmtud_size(&path.p), VS_DATAGRAM_BASE);
	settle(&path);
	assert_in_range(vs_pmtud_size(&path.p), size - VS_PMTUD_GRANULARITY, size - 1);

	size = vs_pmtud_size(&path.p);
	vs_pmtud_too_big(&path.p, VS_DATAGRAM_BASE, path.now); /* nothing smaller to go to */
	assert_int_equal(vs_pmtud_size(&path.p), size);
}

static void test_reset(void **state)
{
	struct path path;
	uint32_t id;
	uint16_t size;

	(void)state;
	start(&path, 1472, 1472, 10 * VS_MSEC);
	settle(&path);
	vs_pmtud_suspect(&path.p, path.now);
	assert_true(vs_pmtud_output(&path.p, path.now, &id, &size));
	vs_pmtud_reset(&path.p, 1452);
	assert_int_equal(vs_pmtud_size(&path.p), VS_DATAGRAM_BASE);
	assert_false(vs_pmtud_ack(&path.p, id, size, path.now)); /* of the old path */
	settle(&path);
	assert_int_equal(vs_pmtud_size(&path.p), 1452);
}

/* Sequence numbers wrap without harm: each lap is a suspicion and its probe. */
static void test_sequence_wraps(void **state)
{
	struct path path;

	(void)state;
	start(&path, 1472, 1472, 100);
	settle(&path);
	path.least_size = UINT16_MAX;
	for (int i = 0; i < 70000; i++) {
		vs_pmtud_suspect(&path.p, path.now);
		run_for(&path, 250 * VS_MSEC);
	}
	assert_true(path.probes > 65536);
	assert_int_equal(path.least_size, 1472);
	assert_int_equal(vs_pmtud_size(&path.p), 1472);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_probe_is_the_maximum),
		cmocka_unit_test(test_maximum_is_clamped),
		cmocka_unit_test(test_search_finds_every_size),
		cmocka_unit_test(test_common_sizes_are_found_exactly),
		cmocka_unit_test(test_a_size_is_given_up_after_its_tries),
		cmocka_unit_test(test_timeout_follows_rtt),
		cmocka_unit_test(test_late_acknowledgement_counts),
		cmocka_unit_test(test_forged_acknowledgements),
		cmocka_unit_test(test_shrink_is_found_after_suspicion),
		cmocka_unit_test(test_unfounded_suspicion),
		cmocka_unit_test(test_old_probe_does_not_refute),
		cmocka_unit_test(test_suspicion_at_base),
		cmocka_unit_test(test_outage),
		cmocka_unit_test(test_traffic_ends_the_wait_at_base),
		cmocka_unit_test(test_heavy_loss_with_traffic),
		cmocka_unit_test(test_search_under_loss),
		cmocka_unit_test(test_raise),
		cmocka_unit_test(test_confirmation_of_the_maximum),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_sequence_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
