/* io/carrier_udp, where something goes wrong: what cannot be sent is reported and harms nothing else, a full socket
 * loses nothing, and offload that does not work is given up. */
#include <errno.h>
#include <limits.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "carrier_ends.h"

/* --- A kernel that can be told to refuse ------------------------------------------------------------------------- */

static unsigned kernel_room = UINT_MAX; /* messages that the socket takes before it is full */
static int gso_refusal;                 /* error for messages with UDP_SEGMENT; 0: none */

static bool wants_gso(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT)
			return true;
	return false;
}

/* Stands in front of libc's: loopback never fills a send buffer, and this kernel can do GSO. */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
	unsigned taken = 0;
	while (taken < n && taken < kernel_room && !(gso_refusal && wants_gso(&messages[taken].msg_hdr)))
		taken++;
	if (taken == 0) {
		errno = kernel_room == 0 ? EAGAIN : gso_refusal;
		return -1;
	}
	long sent = syscall(SYS_sendmmsg, fd, messages, taken, flags);
	if (sent > 0 && kernel_room != UINT_MAX)
		kernel_room -= (unsigned)sent;
	return (int)sent;
}

static const struct vs_udp_options with_gso = {0}, without_gso = {.no_gso = true};

/* --- What cannot be sent ----------------------------------------------------------------------------------------- */

static void test_too_long_is_reported(void **state)
{
	(void)state;
	open_ends(&with_gso);
	struct vs_addr to[] = {address("127.0.0.1", vs_addr_port(&b.v4)), address("::1", vs_addr_port(&b.v6))};
	const size_t fits[] = {LO_MTU - 28, LO_MTU - 48};
	for (size_t v = 0; v < VS_ARRAY_SIZE(to); v++) {
		b.count = 0;
		put(a.carrier, 0, 1400, &to[v], NULL, 0);
		put(a.carrier, 1, fits[v] + 1, &to[v], NULL, VS_TX_ALONE);
		put(a.carrier, 2, fits[v], &to[v], NULL, VS_TX_ALONE);
		put(a.carrier, 3, 4000, &to[v], NULL, 0); /* a run that is too long as a whole */
		put(a.carrier, 4, 4000, &to[v], NULL, 0);
		put(a.carrier, 5, 1400, &to[v], NULL, 0);
		vs_carrier_flush(a.carrier);
		wait_for(&b.count, 3);
		assert_int_equal(b.received[0].number, 0);
		assert_int_equal(b.received[1].number, 2);
		assert_int_equal(b.received[1].len, fits[v]);
		assert_int_equal(b.received[2].number, 5);
		static const uint64_t failed[] = {1001, 1003, 1004};
		assert_int_equal(a.carrier->tx->results_count, 3);
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(a.carrier->tx->results[i].cookie, failed[i]);
			assert_int_equal(a.carrier->tx->results[i].error, EMSGSIZE);
		}
		assert_int_equal(a.carrier->tx->results[0].size, fits[v] + 1);
		vs_carrier_results_done(a.carrier);
	}
	/* A probe (VS_TX_ALONE) that is too long has got its answer and is no drop. */
	assert_int_equal(a.drops.count[VS_DROP_SEND_FAILED], 4);
	assert_int_equal(a.carrier->stats.tx_failed, 6);
	assert_true(vs_carrier_udp_gso(a.carrier)); /* that was not its fault */
	close_ends();
}

static void test_unreachable_is_not_fatal(void **state)
{
	(void)state;
	open_ends(&with_gso);
	struct vs_addr nowhere = address("192.0.2.1", 7000); /* no route in this namespace */
	struct vs_addr to = address("127.0.0.1", vs_addr_port(&b.v4));
	put(a.carrier, 0, 100, &nowhere, NULL, 0);
	put(a.carrier, 1, 100, &to, NULL, 0);
	vs_carrier_flush(a.carrier);
	wait_for(&b.count, 1);
	assert_int_equal(a.carrier->tx->results_count, 1);
	assert_int_equal(a.carrier->tx->results[0].error, ENETUNREACH);
	close_ends();
}

static void test_refused_is_told(void **state)
{
	(void)state;
	const struct vs_udp_options options = {.errors = true};
	char want[VS_ADDR_TEXT_MAX], got[VS_ADDR_TEXT_MAX];
	for (int v6 = 0; v6 < 2; v6++) {
		open_ends(&options);
		struct vs_addr closed;
		close(bind_to(v6 ? "::1" : "127.0.0.1", &closed));
		struct vs_addr to =
			v6 ? address("::1", vs_addr_port(&b.v6)) : address("127.0.0.1", vs_addr_port(&b.v4));
		put(a.carrier, 0, 100, &closed, NULL, 0);
		vs_carrier_flush(a.carrier);
		/* The error waits in the socket now, and must not befall these. */
		for (uint32_t i = 1; i <= 10; i++)
			put(a.carrier, i, 100, &to, NULL, 0);
		vs_carrier_flush(a.carrier);
		wait_for(&b.count, 10);
		wait_for(&a.errors, 1);
		assert_int_equal(a.carrier->tx->results_count, 0);
		assert_int_equal(a.error.error, ECONNREFUSED);
		assert_false(a.error.local);
		assert_string_equal(vs_addr_format(&a.error.to, got), vs_addr_format(&closed, want));
		assert_true(vs_carrier_udp_gso(a.carrier));
		close_ends();
	}
}

/* --- A full socket ----------------------------------------------------------------------------------------------- */

/* A full socket keeps the rest, in order, until it is writable; meanwhile there is room for what the batch holds. */
static void test_full_socket_keeps_the_rest(void **state)
{
	(void)state;
	open_ends(&without_gso);
	struct vs_addr to = address("127.0.0.1", vs_addr_port(&b.v4));
	uint32_t n = 0;
	kernel_room = 3;
	for (; n < 10; n++)
		put(a.carrier, n, 100, &to, NULL, 0);
	vs_carrier_flush(a.carrier);
	assert_int_equal(a.carrier->tx->head, 3);
	assert_int_equal(a.carrier->stats.tx_blocked, 1);
	for (; n < VS_TX_DATAGRAMS; n++)
		put(a.carrier, n, 100, &to, NULL, 0);
	assert_null(vs_carrier_reserve(a.carrier, 100));
	wait_for(&b.count, 3);
	assert_int_equal(a.resumed, 0);
	kernel_room = 10; /* full again on the way */
	wait_for(&b.count, 13);
	assert_int_equal(a.resumed, 0);
	kernel_room = UINT_MAX;
	wait_for(&b.count, n);
	assert_int_equal(a.resumed, 1);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(b.received[i].number, i);
	assert_int_equal(a.carrier->stats.tx_datagrams, n);
	assert_int_equal(a.drops.count[VS_DROP_SEND_FAILED], 0);
	assert_non_null(vs_carrier_reserve(a.carrier, 100));
	close_ends();
}

/* --- Offload that does not work ---------------------------------------------------------------------------------- */

static void test_gso_is_given_up(void **state)
{
	(void)state;
	static const int refusals[] = {EIO, EINVAL};
	for (size_t r = 0; r < VS_ARRAY_SIZE(refusals); r++) {
		open_ends(&with_gso);
		struct vs_addr to = address("127.0.0.1", vs_addr_port(&b.v4));
		gso_refusal = refusals[r];
		exchange(&to, 128);
		assert_false(vs_carrier_udp_gso(a.carrier));
		assert_int_equal(a.carrier->stats.tx_coalesced, 0);
		uint64_t calls = a.carrier->stats.tx_calls;
		exchange(&to, 128);
		assert_int_equal(a.carrier->stats.tx_calls, calls + 1);
		gso_refusal = 0;
		close_ends();
	}
}

static void test_gso_survives_one_refusal(void **state)
{
	(void)state;
	open_ends(&with_gso);
	struct vs_addr to = address("127.0.0.1", vs_addr_port(&b.v4));
	for (int round = 0; round < 10; round++) {
		b.count = 0;
		gso_refusal = EIO;
		put(a.carrier, 0, 100, &to, NULL, 0);
		put(a.carrier, 1, 100, &to, NULL, 0);
		vs_carrier_flush(a.carrier);
		gso_refusal = 0;
		put(a.carrier, 2, 100, &to, NULL, 0);
		put(a.carrier, 3, 100, &to, NULL, 0);
		vs_carrier_flush(a.carrier);
		wait_for(&b.count, 4);
	}
	assert_true(vs_carrier_udp_gso(a.carrier));
	assert_int_equal(a.carrier->stats.tx_coalesced, 20);
	close_ends();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_long_is_reported), cmocka_unit_test(test_unreachable_is_not_fatal),
		cmocka_unit_test(test_refused_is_told),      cmocka_unit_test(test_full_socket_keeps_the_rest),
		cmocka_unit_test(test_gso_is_given_up),      cmocka_unit_test(test_gso_survives_one_refusal),
	};
	if (enter_namespace()) {
		printf("1..0 # SKIP no network namespace may be made here: %s\n", strerror(errno));
		return EXIT_SKIP;
	}
	alarm(30); /* a hang is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
