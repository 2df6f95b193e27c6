#include "carrier_ends.h"

#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"

struct vs_loop *loop;
struct end a, b;

int enter_namespace(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_mtu = LO_MTU};
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

void on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch)
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

void on_resumed(void *arg, struct vs_carrier *carrier)
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

struct vs_addr address(const char *text, uint16_t port)
{
	struct vs_addr addr;
	assert_int_equal(vs_addr_parse(text, port, &addr), 0);
	return addr;
}

int bind_to(const char *text, struct vs_addr *bound)
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
		.receive = on_receive,
		.resumed = on_resumed,
		.error = on_error,
		.arg = end,
	};
	memset(end, 0, sizeof(*end));
	int fd4 = bind_to("0.0.0.0", &end->v4), fd6 = bind_to("::", &end->v6);
	assert_int_equal(vs_carrier_udp_new(loop, fd4, fd6, options, &handler, &end->drops, &end->carrier), 0);
}

void open_ends(const struct vs_udp_options *options)
{
	loop = vs_loop_new();
	assert_non_null(loop);
	open_end(&a, options);
	open_end(&b, options);
}

void close_ends(void)
{
	vs_carrier_free(a.carrier);
	vs_carrier_free(b.carrier);
	vs_loop_free(loop);
}

void put(struct vs_carrier *carrier, uint32_t number, size_t len, const struct vs_addr *dst, const struct vs_addr *src,
	 unsigned flags)
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

void wait_for(const unsigned *counter, unsigned n)
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

/* Sizes as links make them: runs of full datagrams with a short one at the end, small ones, odd ones. */
static size_t size_of(uint32_t number)
{
	static const size_t sizes[] = {1400, 1400, 1400, 1400, 700,  60,   60,  1200,
				       1400, 5,    2000, 2000, 2000, 1999, 2000};
	return sizes[number % VS_ARRAY_SIZE(sizes)];
}

void exchange(const struct vs_addr *dst, uint32_t n)
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
