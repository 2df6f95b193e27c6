#include "sim/server.h"

#include <stdlib.h>
#include <string.h>

#include "sim/world.h"

/* --- Links and their indices --- */

static struct sim_slot_link *other_link(struct sim_slot_link *link)
{
	struct sim_slot *slot = link->slot;
	return link == &slot->links[0] ? &slot->links[1] : &slot->links[0];
}

static struct sim_slot_link *link_of_index(struct sim_server *s, unsigned slot_no, uint32_t index)
{
	for (unsigned i = 0; i < 2; i++) {
		struct sim_slot_link *link = &s->slots[slot_no].links[i];
		for (unsigned k = 0; k < link->indices_n; k++)
			if (link->indices[k] == index)
				return link;
	}
	return NULL;
}

static struct sim_slot_link *link_of_id(struct sim_slot *slot, const uint8_t link_id[VS_LINK_ID_SIZE])
{
	for (unsigned i = 0; i < 2; i++)
		if (slot->links[i].end.link && memcmp(slot->links[i].link_id, link_id, VS_LINK_ID_SIZE) == 0)
			return &slot->links[i];
	return NULL;
}

static void close_link(struct sim_slot_link *link)
{
	sim_end_close(&link->end);
	link->indices_n = 0;
	link->incarnation = link->pending_incarnation = 0;
}

static void open_link(struct sim_slot_link *link, const uint8_t link_id[VS_LINK_ID_SIZE], const struct vs_addr *from)
{
	struct sim_server *s = link->slot->server;
	struct vs_link_config config = {
		.crypto = vs_crypto_default(),
		.pool = s->pool,
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.flow_key = 99,
		.datagram_max = s->world->config.datagram_max,
	};
	struct vs_path path = { .peer = *from };
	sim_end_open(&link->end, &config);
	memcpy(link->link_id, link_id, VS_LINK_ID_SIZE);
	vs_link_set_path(link->end.link, &path, s->world->clock.now);
}

static void forget_index(struct sim_slot_link *link, uint32_t index)
{
	for (unsigned i = 0; i < link->indices_n; i++)
		if (link->indices[i] == index)
			link->indices[i--] = link->indices[--link->indices_n];
}

/* The link's session has been confirmed: it is the client's link from now on. */
static void confirm(struct sim_slot_link *link)
{
	struct sim_slot *slot = link->slot;
	link->incarnation = link->pending_incarnation;
	if (slot->current != link && slot->current)
		close_link(slot->current);
	slot->current = link;
	vs_bridge_port_set_up(slot->server->bridge, slot->port, true);
}

static void serve(struct sim_end *end, uint64_t now)
{
	struct sim_slot_link *link = end->owner;
	struct sim_server *s = link->slot->server;
	unsigned events = vs_link_take_events(end->link);
	uint32_t index;
	(void)now;
	while (vs_link_take_retired(end->link, &index))
		forget_index(link, index);
	if (events)
		sim_trace(s->world, "server: link %u: events%s%s%s%s%s", link->slot->no,
			  events & VS_LINK_UP ? " up" : "", events & VS_LINK_FRESH ? " fresh" : "",
			  events & VS_LINK_MOVED ? " moved" : "", events & VS_LINK_TIMED_OUT ? " timed_out" : "",
			  events & VS_LINK_ERROR ? " error" : "");
	s->ups += (events & VS_LINK_UP) != 0;
	s->freshes += (events & VS_LINK_FRESH) != 0;
	s->errors += (events & VS_LINK_ERROR) != 0;
	if (events & (VS_LINK_UP | VS_LINK_FRESH))
		confirm(link);
	if (events & (VS_LINK_TIMED_OUT | VS_LINK_ERROR | VS_LINK_CLOSED)) {
		s->timeouts += (events & VS_LINK_TIMED_OUT) != 0;
		close_link(link);
		if (link->slot->current == link) {
			link->slot->current = NULL;
			vs_bridge_port_set_up(s->bridge, link->slot->port, false);
		}
	}
}

void sim_server_renew(struct sim_server *s)
{
	uint64_t now = s->world->clock.now;
	for (unsigned i = 0; i < s->world->config.clients; i++) {
		struct sim_slot_link *link = s->slots[i].current;
		if (!link)
			continue;
		vs_link_renew(link->end.link, now);
		sim_end_run(&link->end, now);
	}
}

/* --- Handshakes --- */

static uint64_t random_incarnation(struct sim_server *s)
{
	return sim_random_next(&s->world->random) | 1;
}

/* Decides as vswitchs does: the link is resumed if we hold the very state that the client speaks of. */
static bool answer(struct sim_server *s, struct sim_slot *slot, struct vs_handshake_job *job)
{
	struct sim_slot_link *link = link_of_id(slot, job->offer.link_id);
	uint8_t ephemeral[VS_KEY_SIZE];
	struct vs_params params;
	if (!link) {
		link = slot->current ? other_link(slot->current) : &slot->links[0];
		close_link(link);
		open_link(link, job->offer.link_id, &job->from);
	}
	enum vs_protection protection = s->world->config.policy.protection;
	bool known = link->incarnation && link->incarnation == job->offer.incarnation &&
		     !vs_params_taint(&link->answered, protection) &&
		     !vs_params_taint(vs_link_params(link->end.link), protection);
	uint64_t incarnation = known ? link->incarnation : random_incarnation(s);
	if (vs_params_choose(&s->world->config.policy, &job->offer, incarnation, &params) < 0)
		abort();
	uint32_t index = (++s->last_index << VS_INDEX_WORKER_BITS | slot->no) & VS_INDEX_MAX;
	sim_random_fill(&s->world->random, ephemeral, sizeof(ephemeral));
	job->user = (uintptr_t)link;
	return vs_responder_answer(s->responder, job, &params, index, ephemeral) == 0;
}

static void install(struct sim_server *s, struct sim_slot_link *link, const struct vs_session_keys *keys,
		    const struct vs_params *params, uint64_t now)
{
	uint32_t index;
	if (vs_link_install(link->end.link, keys, params, now) < 0)
		abort();
	while (vs_link_take_retired(link->end.link, &index))
		forget_index(link, index);
	if (link->indices_n == SIM_INDICES_MAX)
		sim_fail(s->world, "server: link %u holds too many indices", link->slot->no);
	else
		link->indices[link->indices_n++] = keys->local_index;
	link->pending_incarnation = params->incarnation;
	link->answered = *params;
}

static void send_to(struct sim_server *s, struct sim_line *line, const void *data, size_t len, const struct vs_addr *to)
{
	struct sim_client *c = line->owner;
	sim_line_send(&c->down, data, len, &s->address, to, NULL);
}

static void input_handshake(struct sim_server *s, struct sim_line *line, const struct sim_datagram *d, uint64_t now)
{
	struct vs_responder_result result;
	struct vs_handshake_job job;
	uint8_t random[VS_COOKIE_SALT];
	sim_random_fill(&s->world->random, random, sizeof(random));
	enum vs_responder_event event =
		vs_responder_input(s->responder, d->data, d->len, &d->from, now, random, 0, &job, &result);
	if (event == VS_RESPONDER_JOB) {
		vs_handshake_job_run(&job);
		event = vs_responder_done(s->responder, &job, now, &result);
	}
	if (event == VS_RESPONDER_ACCEPT && answer(s, &s->slots[result.user], &job)) {
		struct sim_slot_link *link = (struct sim_slot_link *)job.user;
		struct vs_params params = job.params;
		vs_handshake_job_run(&job);
		event = vs_responder_done(s->responder, &job, now, &result);
		if (event == VS_RESPONDER_SESSION) {
			install(s, link, &result.keys, &params, now);
			send_to(s, line, job.datagram, job.len, &result.to);
			sim_end_run(&link->end, now);
		}
	}
	if (event == VS_RESPONDER_COOKIE)
		send_to(s, line, result.cookie_reply, sizeof(result.cookie_reply), &result.to);
	if (event == VS_RESPONDER_DROPPED)
		vs_drop(&s->drops, result.reason);
}

/* --- Data --- */

/* Sends a frame on its way; the links to be run afterwards are added to *touched. */
static void switch_frame(struct sim_server *s, uint16_t port, struct vs_frame *frame, uint64_t now, unsigned *touched)
{
	vs_bridge_input(s->bridge, 0, port, frame, now, &s->egress);
	for (uint32_t i = 0; i < s->egress.count; i++) {
		const struct vs_egress_port *out = &s->egress.ports[i];
		for (unsigned k = 0; k < s->world->config.clients; k++) {
			struct sim_slot *slot = &s->slots[k];
			if (slot->port != out->id)
				continue;
			vs_link_send(slot->current->end.link, out->frame, now);
			*touched |= 1u << k;
		}
	}
	s->egress.count = 0;
}

static void input_data(struct sim_server *s, struct sim_slot_link *link, struct sim_datagram *d, uint64_t now)
{
	struct vs_path path = { .peer = d->from, .local = s->address };
	struct vs_frame *frame;
	unsigned touched = 0;
	vs_link_input(link->end.link, d->data, d->len, &path, now, &s->arrived);
	/* First, because the events say whether the port is up for what has arrived. */
	sim_end_run(&link->end, now);
	while ((frame = vs_frame_list_pop(&s->arrived.frames))) {
		if (s->world->arrived)
			s->world->arrived(s->world, SIM_AT_SERVER, frame, d->sent_usec, now);
		switch_frame(s, link->slot->port, frame, now, &touched);
	}
	for (; touched; touched &= touched - 1)
		sim_end_run(&s->slots[__builtin_ctz(touched)].current->end, now);
}

bool sim_server_input(struct sim_line *line, struct sim_datagram *d, uint64_t now)
{
	struct sim_client *c = line->owner;
	struct sim_server *s = &c->world->server;
	if (!s->running)
		return false;
	if (d->data[0] != VS_TYPE_DATA && d->data[0] != VS_TYPE_CLEAR) {
		input_handshake(s, line, d, now);
		return true;
	}
	struct sim_slot_link *link = link_of_index(s, c->no, vs_get_be24(d->data + 1));
	if (!link) {
		vs_drop(&s->drops, VS_DROP_NO_SESSION);
		return false;
	}
	input_data(s, link, d, now);
	return true;
}

struct sim_end_books sim_server_books(const struct sim_server *s, unsigned client)
{
	struct sim_end_books a = sim_end_books(&s->slots[client].links[0].end);
	struct sim_end_books b = sim_end_books(&s->slots[client].links[1].end);
	a.segments += b.segments;
	a.retransmitted += b.retransmitted;
	a.probes += b.probes;
	a.declared_lost += b.declared_lost;
	a.spurious += b.spurious;
	a.skipped += b.skipped;
	a.handshakes += b.handshakes;
	a.spins += b.spins;
	a.spins_worst = VS_MAX(a.spins_worst, b.spins_worst);
	a.queue_frames_max = VS_MAX(a.queue_frames_max, b.queue_frames_max);
	a.queue_bytes_max = VS_MAX(a.queue_bytes_max, b.queue_bytes_max);
	a.held_max = VS_MAX(a.held_max, b.held_max);
	for (unsigned i = 0; i < VS_DROP_COUNT; i++)
		a.drops.count[i] += b.drops.count[i];
	return a;
}

/* --- Life --- */

static void make_responder(struct sim_server *s)
{
	struct vs_responder_config config = VS_RESPONDER_CONFIG_DEFAULT;
	config.crypto = vs_crypto_default();
	memcpy(config.private_key, s->private_key, VS_KEY_SIZE);
	sim_random_fill(&s->world->random, config.cookie_seed, sizeof(config.cookie_seed));
	s->responder = vs_responder_new(&config);
	if (!s->responder)
		abort();
	for (unsigned i = 0; i < s->world->config.clients; i++) {
		const struct sim_client *c = &s->world->clients[i];
		if (vs_responder_set_peer(s->responder, c->public_key, c->psk, i, 1) < 0)
			abort();
	}
}

static void make_bridge(struct sim_server *s)
{
	struct vs_bridge_config config = VS_BRIDGE_CONFIG_DEFAULT;
	config.hash_seed = sim_random_next(&s->world->random);
	s->bridge = vs_bridge_new(&config);
	if (!s->bridge)
		abort();
	for (unsigned i = 0; i < s->world->config.clients; i++) {
		struct vs_port_config port = VS_PORT_CONFIG_DEFAULT;
		snprintf(port.name, sizeof(port.name), "client%u", i);
		if (vs_bridge_port_add(s->bridge, &port, 0, &s->slots[i].port) < 0)
			abort();
	}
}

void sim_server_start(struct sim_server *s)
{
	sim_trace(s->world, "server: starts");
	s->running = true;
	s->pool = vs_pool_new(SIM_CLIENTS_MAX * SIM_POOL_BYTES);
	vs_frame_list_init(&s->arrived.frames, SIM_ARRIVED_MAX);
	vs_frame_list_init(&s->arrived.control, SIM_ARRIVED_MAX);
	make_responder(s);
	make_bridge(s);
}

void sim_server_stop(struct sim_server *s)
{
	struct vs_pool_stats stats;
	if (!s->running)
		return;
	sim_trace(s->world, "server: stops");
	s->running = false;
	for (unsigned i = 0; i < s->world->config.clients; i++) {
		close_link(&s->slots[i].links[0]);
		close_link(&s->slots[i].links[1]);
		s->slots[i].current = NULL;
	}
	vs_responder_free(s->responder);
	vs_bridge_free(s->bridge);
	vs_frame_list_fini(&s->arrived.frames);
	vs_frame_list_fini(&s->arrived.control);
	vs_pool_stats(s->pool, &stats);
	s->pool_failures += stats.failures;
	s->leaked += stats.bytes_used;
	if (!stats.bytes_used)
		vs_pool_free(s->pool);
	s->pool = NULL;
}

static void init_slot(struct sim_server *s, unsigned no)
{
	struct sim_slot *slot = &s->slots[no];
	*slot = (struct sim_slot){ .server = s, .no = no };
	for (unsigned i = 0; i < 2; i++) {
		struct sim_slot_link *link = &slot->links[i];
		link->slot = slot;
		sim_end_init(&link->end, &s->world->clock, &s->world->clients[no].down, serve, link);
		link->end.local = s->address;
		link->end.emsgsize = s->world->config.emsgsize;
	}
}

void sim_server_init(struct sim_server *s, struct sim_world *world)
{
	s->world = world;
	sim_random_fill(&world->random, s->private_key, VS_KEY_SIZE);
	if (vs_crypto_default()->x25519_public(s->public_key, s->private_key) < 0 ||
	    vs_addr_parse("192.0.2.1", 7000, &s->address) < 0)
		abort();
	for (unsigned i = 0; i < world->config.clients; i++)
		init_slot(s, i);
}

void sim_server_fini(struct sim_server *s)
{
	sim_server_stop(s);
	for (unsigned i = 0; i < s->world->config.clients; i++) {
		sim_end_fini(&s->slots[i].links[0].end);
		sim_end_fini(&s->slots[i].links[1].end);
	}
}
