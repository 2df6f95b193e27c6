/* What a link costs in memory: a server holds a thousand of them, most of which do nothing. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link/link.h"

#define LINKS 64 /* on each side */

/* Bytes, with both sides' ciphers: connected and idle; shortly after a frame has passed in each direction. */
#define IDLE_MAX (14 << 10)
#define ACTIVE_MAX (20 << 10)

struct pair {
	struct vs_link *end[2]; /* end[0] is the initiator */
};

struct world {
	struct vs_pool *pool;
	struct vs_deframed arrived;
	struct pair pairs[LINKS];
	uint64_t now;
	size_t before;
	unsigned frames;
};

static size_t in_use(struct world *w)
{
	vs_pool_trim(w->pool);
	return mallinfo2().uordblks;
}

static size_t bytes_per_link(struct world *w)
{
	size_t now = in_use(w);
	return now > w->before ? (now - w->before) / (2 * LINKS) : 0;
}

/* Delivers what one end has to say. Whether it had anything. */
static bool deliver(struct world *w, struct pair *pair, int from)
{
	static const struct vs_path path;
	uint8_t datagram[VS_DATAGRAM_MAX];
	struct vs_link_sent sent;
	struct vs_frame *frame;
	bool any = false;
	size_t len;
	while ((len = vs_link_output(pair->end[from], w->now, datagram, sizeof(datagram), &sent))) {
		vs_link_input(pair->end[!from], datagram, len, &path, w->now, &w->arrived);
		any = true;
	}
	while ((frame = vs_frame_list_pop(&w->arrived.frames))) {
		w->frames++;
		vs_frame_unref(frame);
	}
	return any;
}

/* Time passes, and everything that becomes due in it happens. */
static void run(struct world *w, uint64_t usec)
{
	for (uint64_t end = w->now + usec; w->now < end; w->now += 5 * VS_MSEC)
		for (int i = 0; i < LINKS; i++)
			for (bool more = true; more;) {
				bool there = deliver(w, &w->pairs[i], 0), back = deliver(w, &w->pairs[i], 1);
				more = there || back;
			}
}

static struct vs_link *new_link(struct world *w, bool initiator)
{
	const struct vs_link_config config = {
		.crypto = vs_crypto_default(),
		.pool = w->pool,
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.flow_key = 42,
		.datagram_max = 1452,
		.initiator = initiator,
	};
	struct vs_link *link = vs_link_new(&config, w->now);
	assert_non_null(link);
	return link;
}

static void install(struct world *w, struct pair *pair, int side)
{
	const struct vs_params params = {
		.version = 1,
		.kcp = vs_kcp_config_default(),
		.cipher = VS_CIPHER_CHACHA20_POLY1305,
		.mode = VS_MODE_RELIABLE,
		.congestion = VS_CONGESTION_BBR,
		.lanes = VS_LANES_MAX,
		.datagram_max = 1452,
		.mtu = 1500,
		.keepalive_usec = VS_SEC,
		.max_age_usec = VS_SEC,
		.incarnation = 1,
	};
	struct vs_session_keys keys = {
		.cipher = params.cipher,
		.initiator = side == 0,
		.local_index = 1 + (uint32_t)side,
		.remote_index = 2 - (uint32_t)side,
	};
	memset(keys.send, 1 + side, VS_KEY_SIZE);
	memset(keys.recv, 2 - side, VS_KEY_SIZE);
	assert_int_equal(vs_link_install(pair->end[side], &keys, &params, w->now), 0);
}

static void connect_all(struct world *w)
{
	for (int i = 0; i < LINKS; i++) {
		w->pairs[i].end[0] = new_link(w, true);
		w->pairs[i].end[1] = new_link(w, false);
		install(w, &w->pairs[i], 1);
		install(w, &w->pairs[i], 0);
	}
	run(w, 3 * VS_SEC);
	for (int i = 0; i < LINKS; i++)
		assert_true(vs_link_is_up(w->pairs[i].end[0]) && vs_link_is_up(w->pairs[i].end[1]));
}

static void send_one_each(struct world *w)
{
	for (int i = 0; i < 2 * LINKS; i++) {
		struct vs_frame *frame = vs_frame_new(w->pool, 300);
		assert_non_null(frame);
		memset(vs_frame_bytes(frame), 0xff, 300);
		vs_link_send(w->pairs[i / 2].end[i % 2], frame, w->now);
	}
	run(w, 100 * VS_MSEC);
	assert_int_equal(w->frames, 2 * LINKS);
}

static void test_memory_of_links(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	(void)state;
	assert_non_null(w);
	assert_int_equal(vs_crypto_init(), 0);
	w->now = VS_SEC;
	w->pool = vs_pool_new(16 << 20);
	vs_frame_list_init(&w->arrived.frames, 1024);
	vs_frame_list_init(&w->arrived.control, 16);
	w->before = in_use(w);
	connect_all(w);

	size_t idle = bytes_per_link(w);
	send_one_each(w);
	size_t active = bytes_per_link(w);
	run(w, 30 * VS_SEC);
	size_t idle_again = bytes_per_link(w);
	print_message("a link: %zu bytes idle, %zu active, %zu idle again\n", idle, active, idle_again);

	for (int i = 0; i < 2 * LINKS; i++)
		vs_link_free(w->pairs[i / 2].end[i % 2]);
	vs_frame_list_fini(&w->arrived.frames);
	vs_frame_list_fini(&w->arrived.control);
	vs_pool_free(w->pool);
	free(w);
	/* The allocators of sanitizers tell nothing. */
	if (!idle)
		skip();
	assert_in_range(idle, 1, IDLE_MAX);
	assert_in_range(active, idle, ACTIVE_MAX);
	assert_in_range(idle_again, 1, idle + 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_of_links),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
