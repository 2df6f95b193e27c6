#include "sim/client.h"

#include <stdlib.h>
#include <string.h>

#include "sim/world.h"

#define UNIX_USEC UINT64_C(1700000000000000)

static void arm(struct sim_client *c)
{
	sim_event_set(&c->world->clock, &c->handshake, vs_initiator_deadline(c->initiator));
}

/* --- Handshake --- */

static void install(struct sim_client *c, struct vs_initiator_result *result, uint64_t now)
{
	if (vs_link_install(c->end.link, &result->keys, &result->params, now) < 0)
		abort();
	vs_wipe(&result->keys, sizeof(result->keys));
}

static void run_job(struct sim_client *c, struct vs_handshake_job *job, uint64_t now)
{
	struct vs_initiator_result result;
	vs_handshake_job_run(job);
	switch (vs_initiator_done(c->initiator, job, now, &result)) {
	case VS_INITIATOR_SEND:
		c->handshakes_sent++;
		sim_line_send(&c->up, job->datagram, job->len, &c->address, &c->server, NULL);
		break;
	case VS_INITIATOR_SESSION:
		install(c, &result, now);
		break;
	default:
		vs_drop(&c->drops, result.reason);
	}
}

static void attempt(struct sim_event *event, uint64_t now)
{
	struct sim_client *c = VS_CONTAINER_OF(event, struct sim_client, handshake);
	uint8_t random[VS_INITIATOR_RANDOM];
	struct vs_handshake_job job;
	sim_random_fill(&c->world->random, random, sizeof(random));
	c->last_index = (c->last_index + 1) & VS_INDEX_MAX;
	if (vs_initiator_output(c->initiator, now, UNIX_USEC + now, c->last_index, random, &job))
		run_job(c, &job, now);
	arm(c);
}

static void input_handshake(struct sim_client *c, const struct sim_datagram *d, uint64_t now)
{
	struct vs_handshake_job job;
	enum vs_drop reason = 0;
	enum vs_initiator_event event = vs_initiator_input(c->initiator, d->data, d->len, now, &job, &reason);
	if (event == VS_INITIATOR_JOB)
		run_job(c, &job, now);
	else if (event == VS_INITIATOR_DROPPED)
		vs_drop(&c->drops, reason);
	arm(c);
}

/* --- Link --- */

static void open_link(struct sim_client *c)
{
	struct vs_link_config config = {
		.crypto = vs_crypto_default(),
		.pool = c->pool,
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.flow_key = 1 + c->no,
		.datagram_max = c->world->config.datagram_max,
		.initiator = true,
	};
	struct vs_path path = { .peer = c->server };
	sim_end_open(&c->end, &config);
	vs_link_set_path(c->end.link, &path, c->world->clock.now);
}

static void serve(struct sim_end *end, uint64_t now)
{
	struct sim_client *c = end->owner;
	unsigned events = vs_link_take_events(end->link);
	uint32_t index;
	while (vs_link_take_retired(end->link, &index))
		;
	if (events)
		sim_trace(c->world, "client %u: events%s%s%s%s%s%s%s", c->no, events & VS_LINK_UP ? " up" : "",
			  events & VS_LINK_FRESH ? " fresh" : "",
			  events & VS_LINK_WANT_HANDSHAKE ? " want_handshake" : "",
			  events & VS_LINK_MOVED ? " moved" : "", events & VS_LINK_CLOSED ? " closed" : "",
			  events & VS_LINK_TIMED_OUT ? " timed_out" : "", events & VS_LINK_ERROR ? " error" : "");
	c->ups += (events & VS_LINK_UP) != 0;
	c->freshes += (events & VS_LINK_FRESH) != 0;
	c->errors += (events & VS_LINK_ERROR) != 0;
	if (events & (VS_LINK_UP | VS_LINK_FRESH))
		c->up_usec = now;
	if (events & VS_LINK_WANT_HANDSHAKE)
		vs_initiator_start(c->initiator, now);
	if (events & (VS_LINK_TIMED_OUT | VS_LINK_ERROR | VS_LINK_CLOSED)) {
		c->timeouts += (events & VS_LINK_TIMED_OUT) != 0;
		sim_end_close(end);
		open_link(c);
		vs_initiator_forget(c->initiator);
		vs_initiator_start(c->initiator, now);
	}
	arm(c);
}

static void deliver_frames(struct sim_client *c, const struct sim_datagram *d, uint64_t now)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(&c->arrived.frames))) {
		if (c->world->arrived)
			c->world->arrived(c->world, SIM_AT_PC(c->no), frame, d->sent_usec, now);
		vs_frame_unref(frame);
	}
}

static bool input(struct sim_line *line, struct sim_datagram *d, uint64_t now)
{
	struct sim_client *c = line->owner;
	struct vs_path path = { .peer = d->from };
	if (!c->running || !vs_addr_equal(&d->to, &c->address))
		return false;
	if (d->data[0] != VS_TYPE_DATA && d->data[0] != VS_TYPE_CLEAR) {
		input_handshake(c, d, now);
	} else {
		vs_link_input(c->end.link, d->data, d->len, &path, now, &c->arrived);
		deliver_frames(c, d, now);
	}
	sim_end_run(&c->end, now);
	return true;
}

void sim_client_send(struct sim_client *c, struct vs_frame *frame)
{
	uint64_t now = c->world->clock.now;
	vs_link_send(c->end.link, frame, now);
	sim_end_run(&c->end, now);
}

/* --- Life --- */

static struct vs_initiator *new_initiator(struct sim_client *c)
{
	struct vs_initiator_config config = {
		.crypto = vs_crypto_default(),
		.offer = vs_offer_default(),
	};
	memcpy(config.private_key, c->private_key, VS_KEY_SIZE);
	memcpy(config.psk, c->psk, VS_KEY_SIZE);
	memcpy(config.server_key, c->world->server.public_key, VS_KEY_SIZE);
	sim_random_fill(&c->world->random, config.offer.link_id, VS_LINK_ID_SIZE);
	config.offer.has_aes = vs_cpu_has_aes();
	config.offer.protections = vs_protections_from(VS_PROTECTION_NONE);
	config.offer.datagram_max = c->world->config.datagram_max;
	strcpy(config.offer.program, "simulated");
	struct vs_initiator *initiator = vs_initiator_new(&config);
	if (!initiator)
		abort();
	return initiator;
}

void sim_client_start(struct sim_client *c)
{
	uint64_t now = c->world->clock.now;
	sim_trace(c->world, "client %u: starts", c->no);
	c->running = true;
	c->pool = vs_pool_new(SIM_POOL_BYTES);
	c->initiator = new_initiator(c);
	vs_frame_list_init(&c->arrived.frames, SIM_ARRIVED_MAX);
	vs_frame_list_init(&c->arrived.control, SIM_ARRIVED_MAX);
	open_link(c);
	vs_initiator_start(c->initiator, now);
	arm(c);
}

void sim_client_stop(struct sim_client *c)
{
	struct vs_pool_stats stats;
	if (!c->running)
		return;
	sim_trace(c->world, "client %u: stops", c->no);
	c->running = false;
	sim_event_set(&c->world->clock, &c->handshake, VS_NEVER);
	sim_end_close(&c->end);
	vs_initiator_free(c->initiator);
	c->initiator = NULL;
	vs_frame_list_fini(&c->arrived.frames);
	vs_frame_list_fini(&c->arrived.control);
	vs_pool_stats(c->pool, &stats);
	c->pool_failures += stats.failures;
	c->leaked += stats.bytes_used;
	if (!stats.bytes_used)
		vs_pool_free(c->pool);
	c->pool = NULL;
}

void sim_client_rebind(struct sim_client *c, bool other_host)
{
	uint32_t host = ntohl(c->address.in.sin_addr.s_addr);
	uint16_t port = (uint16_t)(ntohs(c->address.in.sin_port) + 1);
	c->address.in.sin_port = htons(port);
	if (other_host)
		c->address.in.sin_addr.s_addr = htonl(host + 256);
	c->end.local = c->address;
	c->moves++;
	sim_trace(c->world, "client %u: has another %s", c->no, other_host ? "host" : "port");
}

void sim_client_init(struct sim_client *c, struct sim_world *world, unsigned no)
{
	char text[32];
	*c = (struct sim_client){ .world = world, .no = no };
	sim_random_fill(&world->random, c->private_key, VS_KEY_SIZE);
	sim_random_fill(&world->random, c->psk, VS_KEY_SIZE);
	if (vs_crypto_default()->x25519_public(c->public_key, c->private_key) < 0)
		abort();
	snprintf(text, sizeof(text), "198.51.%u.7", no);
	if (vs_addr_parse(text, 40000, &c->address) < 0 || vs_addr_parse("192.0.2.1", 7000, &c->server) < 0)
		abort();
	sim_line_init(&c->up, &world->clock, &world->config.up[no], sim_random_next(&world->random), c);
	sim_line_init(&c->down, &world->clock, &world->config.down[no], sim_random_next(&world->random), c);
	c->up.deliver = sim_server_input;
	c->down.deliver = input;
	sim_event_init(&world->clock, &c->handshake, attempt);
	sim_end_init(&c->end, &world->clock, &c->up, serve, c);
	c->end.local = c->address;
	c->end.emsgsize = world->config.emsgsize;
}

void sim_client_fini(struct sim_client *c)
{
	sim_client_stop(c);
	sim_end_fini(&c->end);
	sim_event_fini(&c->world->clock, &c->handshake);
	sim_line_fini(&c->up);
	sim_line_fini(&c->down);
}
