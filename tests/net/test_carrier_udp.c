/* io/carrier_udp on loopback, in a network namespace of its own: what is sent arrives, whole, in order, from and to the
 * right addresses, with and without segmentation offload; what cannot be sent is reported and harms nothing else. */
#include "io/carrier_udp.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "link/wire.h"

#define LO_MTU 3000 /* so that GSO has something to cut, and a jumbo datagram does not fit */
#define RECEIVED_MAX 4096
#define EXIT_SKIP 77 /* as Meson has it */

struct received {
	uint32_t number; /* first four bytes */
	uint32_t len;
	struct vs_addr from, local;
};

/* One carrier and what it has seen. */
struct end {
	struct vs_carrier *carrier;
	struct vs_addr v4, v6; /* bound to */
	struct vs_drops drops;
	struct received received[RECEIVED_MAX];
	unsigned count, largest_batch;
	unsigned resumed;
	struct vs_carrier_error error;
	unsigned errors;
};

static struct vs_loop *loop;
static struct end a, b;

/* --- A kernel that can be told to refuse ---------------------------------------------------------------------------- */

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

/* Loopback alone, up, and with an MTU that some datagrams exceed. */
static int enter_namespace(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_mtu = LO_MTU };
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return -1;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int rc = ioctl(fd, SIOCSIFMTU, &lo);
	lo.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
	if (rc == 0)
		rc = ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	return rc;
}

/* --- Two ends ------------------------------------------------------------------------------------------------------- */

static void on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch)
{
	struct end *end = arg;
	assert_ptr_equal(carrier, end->carrier);
	assert_in_range(batch->count, 1, VS_RX_DATAGRAMS);
	end->largest_batch = VS_MAX(end->largest_batch, batch->count);
	for (uint32_t i = 0; i < batch->count; i++) {
		const struct vs_rx_datagram *d = &batch->datagrams[i];
		assert_true(end->count < RECEIVED_MAX);
		for (uint32_t j = 4; j < d->len; j++)
			assert_int_equal(d->data[j], (uint8_t)(d->data[3] + j));
		end->received[end->count++] = (struct received){
			.number = d->len >= 4 ? vs_get_be32(d->data) : 0,
			.len = d->len,
			.from = *d->from,
			.local = *d->local,
		};
	}
}

static void on_resumed(void *arg, struct vs_carrier *carrier)
{
	struct end *end = arg;
	assert_ptr_equal(carrier, end->carrier);
	end->resumed++;
}

static void on_error(void *arg, struct vs_carrier *carrier, const struct vs_carrier_error *error)
{
	struct end *end = arg;
	assert_ptr_equal(carrier, end->carrier);
	end->error = *error;
	end->errors++;
}

static struct vs_addr address(const char *text, uint16_t port)
{
	struct vs_addr addr;
	assert_int_equal(vs_addr_parse(text, port, &addr), 0);
	return addr;
}

static int bind_to(const char *text, struct vs_addr *bound)
{
	struct vs_addr local = address(text, 0);
	int fd = vs_udp_open(&local, false);
	assert_true(fd >= 0);
	*bound = vs_udp_local(fd);
	return fd;
}

/* Bound to the wildcard addresses, as a server is. */
static void open_end(struct end *end, const struct vs_udp_options *options)
{
	const struct vs_carrier_handler handler = {
		.receive = on_receive, .resumed = on_resumed, .error = on_error, .arg = end,
	};
	memset(end, 0, sizeof(*end));
	int fd4 = bind_to("0.0.0.0", &end->v4), fd6 = bind_to("::", &end->v6);
	assert_int_equal(vs_carrier_udp_new(loop, fd4, fd6, options, &handler, &end->drops, &end->carrier), 0);
}

static void open_ends(const struct vs_udp_options *options)
{
	loop = vs_loop_new();
	assert_non_null(loop);
	open_end(&a, options);
	open_end(&b, options);
}

static void close_ends(void)
{
	vs_carrier_free(a.carrier);
	vs_carrier_free(b.carrier);
	vs_loop_free(loop);
}

static void put(struct vs_carrier *carrier, uint32_t number, size_t len, const struct vs_addr *dst,
		const struct vs_addr *src, unsigned flags)
{
	uint8_t *room = vs_carrier_reserve(carrier, len);
	assert_non_null(room);
	for (size_t i = 0; i < len; i++)
		room[i] = (uint8_t)(number + i);
	if (len >= 4)
		vs_put_be32(room, number);
	vs_carrier_commit(carrier, len, dst, src, 1000 + number, flags);
}

static void on_deadline(void *arg, uint64_t now)
{
	(void)now;
	*(bool *)arg = true;
}

/* Turns until *counter has reached n, or a second has passed. */
static void wait_for(const unsigned *counter, unsigned n)
{
	struct vs_timer timer;
	bool late = false;
	assert_int_equal(vs_timer_init(&timer, loop, on_deadline, &late), 0);
	vs_timer_set(&timer, vs_loop_refresh(loop) + VS_SEC);
	while (*counter < n && !late)
		assert_int_equal(vs_loop_turn(loop), 0);
	vs_timer_fini(&timer);
	assert_int_equal(*counter, n);
}

/* --- Batches -------------------------------------------------------------------------------------------------------- */

/* Sizes as links make them: runs of full datagrams with a short one at the end, small ones, odd ones. */
static size_t size_of(uint32_t number)
{
	static const size_t sizes[] = { 1400, 1400, 1400, 1400, 700, 60, 60, 1200, 1400, 5, 2000, 2000, 2000, 1999, 2000 };
	return sizes[number % VS_ARRAY_SIZE(sizes)];
}

static void exchange(const struct vs_addr *dst, uint32_t n)
{
	b.count = 0;
	for (uint32_t i = 0; i < n; i++)
		put(a.carrier, i, size_of(i), dst, NULL, 0);
	vs_carrier_flush(a.carrier);
	wait_for(&b.count, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(b.received[i].number, i);
		assert_int_equal(b.received[i].len, size_of(i));
	}
	assert_int_equal(a.carrier->tx->results_count, 0);
}

static const struct vs_udp_options variants[] = {
	{ 0 },
	{ .no_gso = true },
	{ .no_gro = true },
	{ .no_gso = true, .no_gro = true },
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
	static const size_t sizes[] = { 10, 2048 };
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

/* --- Addresses ------------------------------------------------------------------------------------------------------ */

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
		{ address("127.0.0.1", vs_addr_port(&b.v4)), address("192.0.2.1", 0) },
		{ address("::1", vs_addr_port(&b.v6)), address("2001:db8::1", 0) },
	};
	for (size_t c = 0; c < VS_ARRAY_SIZE(cases); c++) {
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
	/* A source of the other version is not meant. */
	b.count = 0;
	put(a.carrier, 1, 100, &cases[0].to, &cases[1].src, 0);
	vs_carrier_flush(a.carrier);
	wait_for(&b.count, 1);
	assert_int_equal(a.carrier->tx->results_count, 0);
	close_ends();
}

/* --- What cannot be sent -------------------------------------------------------------------------------------------- */

static void test_too_long_is_reported(void **state)
{
	(void)state;
	open_ends(&variants[0]);
	struct vs_addr to[] = { address("127.0.0.1", vs_addr_port(&b.v4)), address("::1", vs_addr_port(&b.v6)) };
	const size_t fits[] = { LO_MTU - 28, LO_MTU - 48 };
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
		static const uint64_t failed[] = { 1001, 1003, 1004 };
		assert_int_equal(a.carrier->tx->results_count, 3);
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(a.carrier->tx->results[i].cookie, failed[i]);
			assert_int_equal(a.carrier->tx->results[i].error, EMSGSIZE);
		}
		assert_int_equal(a.carrier->tx->results[0].size, fits[v] + 1);
		vs_carrier_results_done(a.carrier);
	}
	assert_int_equal(a.drops.count[VS_DROP_SEND_FAILED], 6);
	assert_int_equal(a.carrier->stats.tx_failed, 6);
	assert_true(vs_carrier_udp_gso(a.carrier)); /* that was not its fault */
	close_ends();
}

static void test_unreachable_is_not_fatal(void **state)
{
	(void)state;
	open_ends(&variants[0]);
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
	const struct vs_udp_options options = { .errors = true };
	char want[VS_ADDR_TEXT_MAX], got[VS_ADDR_TEXT_MAX];
	for (int v6 = 0; v6 < 2; v6++) {
		open_ends(&options);
		struct vs_addr closed;
		close(bind_to(v6 ? "::1" : "127.0.0.1", &closed));
		struct vs_addr to = v6 ? address("::1", vs_addr_port(&b.v6)) : address("127.0.0.1", vs_addr_port(&b.v4));
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

static void test_only_one_version(void **state)
{
	(void)state;
	const struct vs_carrier_handler handler = { .receive = on_receive, .resumed = on_resumed, .arg = &a };
	const struct vs_udp_options options = { 0 };
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

/* --- The batch ------------------------------------------------------------------------------------------------------ */

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

/* A full socket keeps the rest, in order, until it is writable; meanwhile there is room for what the batch holds. */
static void test_full_socket_keeps_the_rest(void **state)
{
	(void)state;
	open_ends(&variants[1]);
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

/* --- Offload that does not work ------------------------------------------------------------------------------------- */

static void test_gso_is_given_up(void **state)
{
	(void)state;
	static const int refusals[] = { EIO, EINVAL };
	for (size_t r = 0; r < VS_ARRAY_SIZE(refusals); r++) {
		open_ends(&variants[0]);
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
	open_ends(&variants[0]);
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
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_long_runs),
		cmocka_unit_test(test_alone_means_alone),
		cmocka_unit_test(test_mixed_destinations),
		cmocka_unit_test(test_answers_leave_from_the_address_asked),
		cmocka_unit_test(test_source_that_is_gone),
		cmocka_unit_test(test_too_long_is_reported),
		cmocka_unit_test(test_unreachable_is_not_fatal),
		cmocka_unit_test(test_refused_is_told),
		cmocka_unit_test(test_only_one_version),
		cmocka_unit_test(test_batch_has_limits),
		cmocka_unit_test(test_full_socket_keeps_the_rest),
		cmocka_unit_test(test_gso_is_given_up),
		cmocka_unit_test(test_gso_survives_one_refusal),
	};
	if (enter_namespace()) {
		printf("1..0 # SKIP no network namespace may be made here: %s\n", strerror(errno));
		return EXIT_SKIP;
	}
	alarm(30); /* a hang is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
