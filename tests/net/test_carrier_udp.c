/* io/carrier_udp on loopback: what is sent arrives, whole, in order, from and to the right addresses, with and without
 * segmentation offload. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "carrier_ends.h"
#include "link/wire.h"

static const struct vs_udp_options variants[] = {
	{0},
	{.no_gso = true},
	{.no_gro = true},
	{.no_gso = true, .no_gro = true},
};

static void test_batches(void **state)
{
	(void)state;
	for (size_t v = 0; v < VS_ARRAY_SIZE(variants); v++) {
		open_ends(&variants[v]);
		struct vs_addr to4 = address("127.0.0.1", vs_addr_port(&b.v4));
		struct vs_addr to6 = address("::1", vs_addr_port(&b.v6));
		exchange(&to4, 100);
		assert_int_equal(vs_addr_port(&b.received[0].from), vs_addr_port(&a.v4));
		exchange(&to6, 100);
		assert_int_equal(vs_addr_port(&b.received[0].from), vs_addr_port(&a.v6));
		exchange(&to4, 300); /* more than one batch holds */

		const struct vs_carrier_stats *tx = &a.carrier->stats, *rx = &b.carrier->stats;
		assert_int_equal(tx->tx_datagrams, 500);
		assert_int_equal(rx->rx_datagrams, 500);
		assert_int_equal(tx->tx_bytes, rx->rx_bytes);
		assert_int_equal(tx->tx_failed, 0);
		if (variants[v].no_gso)
			assert_int_equal(tx->tx_coalesced, 0);
		if (variants[v].no_gro)
			assert_int_equal(rx->rx_coalesced, 0);
		/* This kernel can do both, or the tests of runs below test nothing. */
		if (!variants[v].no_gso) {
			assert_true(vs_carrier_udp_gso(a.carrier));
			assert_true(tx->tx_coalesced > 200);
			if (!variants[v].no_gro)
				assert_true(rx->rx_coalesced > 200);
		}
		close_ends();
	}
}

/* A run longer than a message takes, in number and in bytes. */
static void test_long_runs(void **state)
{
	(void)state;
	open_ends(&variants[0]);
	struct vs_addr to = address("127.0.0.1", vs_addr_port(&b.v4));
	static const size_t sizes[] = {10, 2048};
	for (size_t s = 0; s < VS_ARRAY_SIZE(sizes); s++) {
		b.count = 0;
		for (uint32_t i = 0; i < 120; i++)
			put(a.carrier, i, sizes[s], &to, NULL, 0);
		vs_carrier_flush(a.carrier);
		wait_for(&b.count, 120);
		for (uint32_t i = 0; i < 120; i++) {
			assert_int_equal(b.received[i].number, i);
			assert_int_equal(b.received[i].len, sizes[s]);
		}
	}
	assert_int_equal(b.largest_batch, VS_RX_DATAGRAMS);
	assert_true(a.carrier->stats.tx_calls <= 6);
	assert_int_equal(a.carrier->stats.tx_coalesced, 240);
	close_ends();
}

static void test_alone_means_alone(void **state)
{
	(void)state;
	open_ends(&variants[0]);
	struct vs_addr to = address("127.0.0.1", vs_addr_port(&b.v4));
	for (uint32_t i = 0; i < 10; i++)
		put(a.carrier, i, 1000, &to, NULL, i == 4 ? VS_TX_ALONE : 0);
	vs_carrier_flush(a.carrier);
	wait_for(&b.count, 10);
	assert_int_equal(a.carrier->stats.tx_coalesced, 9);
	close_ends();
}

/* Datagrams to both IP versions and several destinations in one batch. */
static void test_mixed_destinations(void **state)
{
	(void)state;
	open_ends(&variants[0]);
	struct vs_addr to[] = {
		address("127.0.0.1", vs_addr_port(&b.v4)),
		address("::1", vs_addr_port(&b.v6)),
		address("127.0.0.9", vs_addr_port(&b.v4)),
		address("127.0.0.1", vs_addr_port(&a.v4)),
	};
	for (uint32_t i = 0; i < 80; i++)
		put(a.carrier, i, 1000, &to[i / 2 % VS_ARRAY_SIZE(to)], NULL, 0);
	vs_carrier_flush(a.carrier);
	wait_for(&b.count, 60);
	wait_for(&a.count, 20);
	close_ends();
}

/* --- Addresses --------------------------------------------------------------------------------------------------- */

static void check_answer_from(const char *text, const struct vs_addr *port4, const struct vs_addr *port6)
{
	char want[VS_ADDR_TEXT_MAX], got[VS_ADDR_TEXT_MAX];
	struct vs_addr to = address(text, 0);
	bool v6 = to.sa.sa_family == AF_INET6;
	to = address(text, vs_addr_port(v6 ? port6 : port4));
	vs_addr_format(&to, want);
	a.count = b.count = 0;
	put(a.carrier, 1, 100, &to, NULL, 0);
	vs_carrier_flush(a.carrier);
	wait_for(&b.count, 1);
	assert_string_equal(vs_addr_format(&b.received[0].local, got), want);
	put(b.carrier, 2, 100, &b.received[0].from, &b.received[0].local, 0);
	vs_carrier_flush(b.carrier);
	wait_for(&a.count, 1);
	assert_string_equal(vs_addr_format(&a.received[0].from, got), want);
}

static void test_answers_leave_from_the_address_asked(void **state)
{
	(void)state;
	open_ends(&variants[0]);
	check_answer_from("127.0.0.1", &b.v4, &b.v6);
	check_answer_from("127.0.0.77", &b.v4, &b.v6);
	check_answer_from("::1", &b.v4, &b.v6);
	close_ends();
}

static void test_source_that_is_gone(void **state)
{
	(void)state;
	open_ends(&variants[0]);
	const struct {
		struct vs_addr to, src;
	} cases[] = {
		{address("127.0.0.1", vs_addr_port(&b.v4)), address("192.0.2.1", 0)},
		{address("::1", vs_addr_port(&b.v6)), address("2001:db8::1", 0)},
	};
	for (size_t round = 0; round < 10; round++) {
		size_t c = round % VS_ARRAY_SIZE(cases);
		b.count = 0;
		for (uint32_t i = 0; i < 3; i++)
			put(a.carrier, i, 100, &cases[c].to, &cases[c].src, 0);
		vs_carrier_flush(a.carrier);
		wait_for(&b.count, 3); /* they left all the same */
		assert_int_equal(a.carrier->tx->results_count, 3);
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(a.carrier->tx->results[i].error, EADDRNOTAVAIL);
			assert_int_equal(a.carrier->tx->results[i].cookie, 1000 + i);
		}
		vs_carrier_results_done(a.carrier);
		assert_int_equal(a.drops.count[VS_DROP_SEND_FAILED], 0);
	}
	assert_true(vs_carrier_udp_gso(a.carrier)); /* that was not its fault */
	/* A source of the other version is not meant. */
	b.count = 0;
	put(a.carrier, 1, 100, &cases[0].to, &cases[1].src, 0);
	vs_carrier_flush(a.carrier);
	wait_for(&b.count, 1);
	assert_int_equal(a.carrier->tx->results_count, 0);
	close_ends();
}

static void test_only_one_version(void **state)
{
	(void)state;
	const struct vs_carrier_handler handler = {.receive = on_receive, .resumed = on_resumed, .arg = &a};
	const struct vs_udp_options options = {0};
	loop = vs_loop_new();
	memset(&a, 0, sizeof(a));
	assert_int_equal(vs_carrier_udp_new(loop, -1, -1, &options, &handler, &a.drops, &a.carrier), -EINVAL);
	int wrong = bind_to("127.0.0.1", &a.v4);
	assert_int_equal(vs_carrier_udp_new(loop, -1, wrong, &options, &handler, &a.drops, &a.carrier), -EINVAL);
	int fd4 = bind_to("127.0.0.1", &a.v4);
	assert_int_equal(vs_carrier_udp_new(loop, fd4, -1, &options, &handler, &a.drops, &a.carrier), 0);
	struct vs_addr to6 = address("::1", 7000);
	put(a.carrier, 0, 10, &to6, NULL, 0);
	put(a.carrier, 1, 10, &a.v4, NULL, 0);
	vs_carrier_flush(a.carrier);
	wait_for(&a.count, 1);
	assert_int_equal(a.carrier->tx->results_count, 1);
	assert_int_equal(a.carrier->tx->results[0].error, EAFNOSUPPORT);
	assert_int_equal(vs_carrier_overhead(a.carrier, &a.v4), 28);
	assert_int_equal(vs_carrier_overhead(a.carrier, &to6), 48);
	vs_carrier_free(a.carrier);
	vs_loop_free(loop);
}

/* --- The batch --------------------------------------------------------------------------------------------------- */

static void test_batch_has_limits(void **state)
{
	(void)state;
	struct vs_tx_batch *batch = calloc(1, sizeof(*batch));
	struct vs_addr to = address("192.0.2.1", 1);
	uint32_t n = 0;
	while (vs_tx_batch_reserve(batch, VS_DATAGRAM_MAX)) {
		vs_tx_batch_commit(batch, VS_DATAGRAM_MAX, &to, NULL, n, 0);
		n++;
	}
	assert_int_equal(n, VS_TX_ARENA / VS_DATAGRAM_MAX);
	while (batch->count)
		vs_tx_batch_sent(batch);
	for (n = 0; vs_tx_batch_reserve(batch, 100); n++)
		vs_tx_batch_commit(batch, 10, &to, NULL, n, 0);
	assert_int_equal(n, VS_TX_DATAGRAMS);
	for (uint32_t i = 0; i < 2 * VS_TX_DATAGRAMS; i++)
		vs_tx_batch_result(batch, &batch->datagrams[0], EPERM);
	assert_int_equal(batch->results_count, VS_TX_DATAGRAMS);
	free(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_long_runs),
		cmocka_unit_test(test_alone_means_alone),
		cmocka_unit_test(test_mixed_destinations),
		cmocka_unit_test(test_answers_leave_from_the_address_asked),
		cmocka_unit_test(test_source_that_is_gone),
		cmocka_unit_test(test_only_one_version),
		cmocka_unit_test(test_batch_has_limits),
	};
	if (enter_namespace()) {
		printf("1..0 # SKIP no network namespace may be made here: %s\n", strerror(errno));
		return EXIT_SKIP;
	}
	alarm(30); /* a hang is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
