#include "perf/pair.h"

#include <string.h>

#include "perf/null_crypto.h"
#include "perf/meter.h"
#include "perf/workload.h"

#define DELAY_USEC 200 /* one way */
#define FLOW_KEY 42
#define POOL_BYTES (64 << 20)
#define ARRIVED_MAX 1024

/* --- Making --- */

static void open_end(struct pair *pair, struct pair_end *end, unsigned bit, const char *address)
{
	struct vs_link_config config = {
		.crypto = &null_crypto,
		.pool = pair->pool,
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.flow_key = FLOW_KEY,
		.datagram_max = PAIR_DATAGRAM_MAX,
		.initiator = bit == PAIR_CLIENT,
	};
	end->bit = bit;
	end->peer = bit == PAIR_CLIENT ? &pair->server : &pair->client;
	end->line = calloc(PAIR_LINE_MAX, sizeof(*end->line));
	end->link = vs_link_new(&config, pair->now);
	MUST(end->line && end->link);
	MUST(vs_addr_parse(address, 7000, &end->path.peer) == 0);
	vs_frame_list_init(&end->arrived.frames, ARRIVED_MAX);
	vs_frame_list_init(&end->arrived.control, 16);
}

static void close_end(struct pair_end *end)
{
	vs_link_free(end->link);
	vs_frame_list_fini(&end->arrived.frames);
	vs_frame_list_fini(&end->arrived.control);
	free(end->line);
}

static void install_keys(struct pair *pair)
{
	struct vs_params params = {
		.version = VS_PROTOCOL_VERSION,
		.kcp = vs_kcp_config_default(),
		.cipher = VS_CIPHER_CHACHA20_POLY1305,
		.protection = pair->config.protection,
		.mode = pair->config.mode,
		.congestion = VS_CONGESTION_BBR,
		.lanes = VS_LANES_MAX,
		.datagram_max = PAIR_DATAGRAM_MAX,
		.mtu = 1500,
		.features = pair->config.features,
		.keepalive_usec = VS_KEEPALIVE_DEFAULT,
		.max_age_usec = VS_MAX_AGE_DEFAULT,
		.incarnation = 1,
	};
	struct vs_session_keys client = {
		.cipher = params.cipher, .local_index = 1, .remote_index = 2, .initiator = true,
	};
	struct vs_session_keys server = { .cipher = params.cipher, .local_index = 2, .remote_index = 1 };
	memset(client.send, 1, VS_KEY_SIZE);
	memset(client.recv, 2, VS_KEY_SIZE);
	memcpy(server.send, client.recv, VS_KEY_SIZE);
	memcpy(server.recv, client.send, VS_KEY_SIZE);
	MUST(vs_link_install(pair->server.link, &server, &params, pair->now) == 0);
	MUST(vs_link_install(pair->client.link, &client, &params, pair->now) == 0);
}

struct pair *pair_new(const struct pair_config *config)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	MUST(pair);
	pair->config = *config;
	pair->pool = vs_pool_new(POOL_BYTES);
	pair->now = VS_SEC;
	pair->seed = 7;
	MUST(pair->pool);
	open_end(pair, &pair->client, PAIR_CLIENT, "192.0.2.1");
	open_end(pair, &pair->server, PAIR_SERVER, "192.0.2.2");
	install_keys(pair);
	/* Time for the path's MTU to be found. */
	pair_run(pair, 2 * VS_SEC);
	MUST(vs_link_is_up(pair->client.link) && vs_link_is_up(pair->server.link));
	MUST(pair_stats(pair, &pair->client).datagram == PAIR_DATAGRAM_MAX);
	return pair;
}

void pair_free(struct pair *pair)
{
	close_end(&pair->client);
	close_end(&pair->server);
	vs_pool_free(pair->pool);
	free(pair);
}

/* --- Running --- */

static void meter(const struct pair *pair, const struct pair_end *end)
{
	meter_set(pair->metered & end->bit);
}

static struct pair_datagram *oldest(const struct pair_end *end)
{
	return end->count ? &end->line[end->head] : NULL;
}

static void take_frames(struct pair_end *end)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(&end->arrived.frames))) {
		end->frames++;
		vs_frame_unref(frame);
	}
}

static void input_due(struct pair *pair, struct pair_end *end)
{
	struct pair_end *from = end->peer;
	struct pair_datagram *datagram;
	while ((datagram = oldest(from)) && datagram->due <= pair->now) {
		meter(pair, end);
		vs_link_input(end->link, datagram->data, datagram->len, &from->path, pair->now, &end->arrived);
		meter_off();
		from->head = (from->head + 1) % PAIR_LINE_MAX;
		from->count--;
		take_frames(end);
	}
}

static void output_all(struct pair *pair, struct pair_end *end)
{
	for (;;) {
		MUST(end->count < PAIR_LINE_MAX);
		struct pair_datagram *datagram = &end->line[(end->head + end->count) % PAIR_LINE_MAX];
		struct vs_link_sent sent;
		meter(pair, end);
		datagram->len = vs_link_output(end->link, pair->now, datagram->data, sizeof(datagram->data), &sent);
		meter_off();
		if (datagram->len == 0)
			return;
		datagram->due = pair->now + DELAY_USEC;
		if (next_random(&pair->seed) % 100 < pair->config.loss_percent)
			pair->lost++;
		else
			end->count++;
	}
}

/* When the link, or what is on its way to it, wants to be looked at. */
static uint64_t end_turn(struct pair *pair, struct pair_end *end)
{
	meter(pair, end);
	unsigned events = vs_link_take_events(end->link);
	uint64_t deadline = vs_link_deadline(end->link);
	meter_off();
	MUST(!(events & (VS_LINK_CLOSED | VS_LINK_TIMED_OUT | VS_LINK_ERROR)));
	struct pair_datagram *datagram = oldest(end);
	return datagram ? vs_time_min(datagram->due, deadline) : deadline;
}

void pair_run(struct pair *pair, uint64_t usec)
{
	uint64_t until = pair->now + usec;
	while (pair->now < until) {
		input_due(pair, &pair->client);
		input_due(pair, &pair->server);
		output_all(pair, &pair->client);
		output_all(pair, &pair->server);
		uint64_t client = end_turn(pair, &pair->client), server = end_turn(pair, &pair->server);
		uint64_t next = vs_time_min(vs_time_min(client, server), until);
		pair->now = VS_MAX(pair->now + 1, next);
	}
}

void pair_send(struct pair *pair, struct pair_end *end, struct vs_frame *frame)
{
	meter(pair, end);
	vs_link_send(end->link, frame, pair->now);
	meter_off();
}

void pair_meter(struct pair *pair, unsigned ends)
{
	meter_ready();
	pair->metered = ends;
}

struct vs_link_stats pair_stats(const struct pair *pair, const struct pair_end *end)
{
	struct vs_link_stats stats;
	vs_link_stats(end->link, pair->now, &stats);
	return stats;
}
