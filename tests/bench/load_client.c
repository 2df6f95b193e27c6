#include "bench/load_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "io/carrier_udp.h"
#include "io/random.h"
#include "link/control.h"

/* As for the worker of the real programs. */
#define ARRIVED_MAX 65536
#define ARRIVED_CONTROL_MAX 64
#define TURN_DATAGRAMS 48

/* Thousands of sockets of a few frames each: the usual buffers would be more than the kernel has for UDP. */
#define SOCKET_BUFFER (1u << 20)

void load_client_touch(struct load_client *client)
{
	if (!vs_list_empty(&client->dirty))
		return;
	vs_list_append(&client->lan->dirty, &client->dirty);
	vs_deferred_schedule(&client->lan->turn_end);
}

/* --- Handshakes --------------------------------------------------------------------------------------------------- */

struct task {
	struct vs_offload_job job; /* first */
	struct vs_handshake_job handshake;
	struct load_client *client;
};

static void set_dial_timer(struct load_client *client)
{
	vs_timer_set(&client->dial_timer, client->ending ? VS_NEVER : vs_initiator_deadline(client->initiator));
}

static void free_task(struct task *task)
{
	vs_handshake_job_wipe(&task->handshake);
	free(task);
}

static void run_task(struct vs_offload_job *job)
{
	vs_handshake_job_run(&((struct task *)job)->handshake);
}

static void send_handshake(struct load_client *client, const uint8_t *datagram, size_t len)
{
	uint8_t *room = vs_carrier_reserve(client->carrier, len);
	if (!room) {
		vs_drop(&client->lan->drops, VS_DROP_SEND_FAILED);
		return;
	}
	memcpy(room, datagram, len);
	vs_carrier_commit(client->carrier, len, &client->lan->server, NULL, UINT64_MAX, VS_TX_ALONE);
	load_client_touch(client);
}

static void install_session(struct load_client *client, struct vs_initiator_result *result, uint64_t now)
{
	if (vs_link_install(client->link, &result->keys, &result->params, now) < 0)
		vs_initiator_start(client->initiator, now);
	load_client_touch(client);
}

static void task_done(struct vs_offload_job *job, int status)
{
	struct task *task = (struct task *)job;
	struct load_client *client = task->client;
	uint64_t now = vs_loop_now(client->lan->loop);
	struct vs_initiator_result result;
	if (status < 0) {
		free_task(task);
		return;
	}
	switch (vs_initiator_done(client->initiator, &task->handshake, now, &result)) {
	case VS_INITIATOR_SEND:
		send_handshake(client, task->handshake.datagram, task->handshake.len);
		break;
	case VS_INITIATOR_SESSION:
		install_session(client, &result, now);
		break;
	default:
		vs_drop(&client->lan->drops, result.reason);
	}
	vs_wipe(&result, sizeof(result));
	free_task(task);
	set_dial_timer(client);
}

static struct task *new_task(struct load_client *client)
{
	struct task *task = calloc(1, sizeof(*task));
	if (!task) {
		vs_drop(&client->lan->drops, VS_DROP_NO_BUFFER);
		return NULL;
	}
	task->job.run = run_task;
	task->job.done = task_done;
	task->client = client;
	return task;
}

static void submit(struct task *task)
{
	/* A client has one job at a time outstanding, and the queue has room for all clients'. */
	if (vs_offload_submit(task->client->lan->offload, &task->job) < 0)
		task_done(&task->job, -ECANCELED);
}

static void on_dial_timer(void *arg, uint64_t now)
{
	struct load_client *client = arg;
	uint8_t random[VS_INITIATOR_RANDOM];
	struct task *task = new_task(client);
	if (!task)
		return;
	vs_random(random, sizeof(random));
	client->last_index = (client->last_index + 1) & VS_INDEX_MAX;
	if (vs_initiator_output(client->initiator, now, vs_unix_usec(), client->last_index, random, &task->handshake))
		submit(task);
	else
		free_task(task);
	vs_wipe(random, sizeof(random));
	set_dial_timer(client);
}

static void input_handshake(struct load_client *client, const struct vs_rx_datagram *datagram, uint64_t now)
{
	enum vs_drop reason;
	struct task *task = new_task(client);
	if (!task)
		return;
	switch (vs_initiator_input(client->initiator, datagram->data, datagram->len, now, &task->handshake, &reason)) {
	case VS_INITIATOR_JOB:
		submit(task);
		break;
	case VS_INITIATOR_COOKIE:
		free_task(task);
		break;
	default:
		vs_drop(&client->lan->drops, reason);
		free_task(task);
	}
	set_dial_timer(client);
}

void load_client_dial(struct load_client *client)
{
	client->dialled_usec = vs_loop_now(client->lan->loop);
	vs_initiator_start(client->initiator, client->dialled_usec);
	set_dial_timer(client);
}

/* --- Datagrams in ------------------------------------------------------------------------------------------------- */

/* A session that the server has not used yet may be one that it will never hear of. */
static void note_joined(struct load_client *client, uint64_t now)
{
	if (client->joined || !vs_link_is_up(client->link))
		return;
	client->joined = true;
	client->joined_usec = now;
	client->lan->joined(client->lan->arg, client);
}

static void input_data(struct load_client *client, const struct vs_rx_datagram *datagram, uint64_t now)
{
	struct load_lan *lan = client->lan;
	struct vs_path path = { .peer = *datagram->from, .local = *datagram->local };
	struct vs_frame *frame;
	vs_link_input(client->link, datagram->data, datagram->len, &path, now, &lan->deframed);
	note_joined(client, now);
	while ((frame = vs_frame_list_pop(&lan->deframed.frames))) {
		lan->arrived(lan->arg, client, frame);
		vs_frame_unref(frame);
	}
}

static void on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch)
{
	struct load_client *client = arg;
	uint64_t now = vs_loop_now(client->lan->loop);
	(void)carrier;
	for (uint32_t i = 0; i < batch->count; i++) {
		const struct vs_rx_datagram *datagram = &batch->datagrams[i];
		if (datagram->len < VS_SEAL_HEADER)
			vs_drop(&client->lan->drops, VS_DROP_DATAGRAM_SHORT);
		else if (datagram->data[0] == VS_TYPE_RESPONSE || datagram->data[0] == VS_TYPE_COOKIE)
			input_handshake(client, datagram, now);
		else if (datagram->data[0] == VS_TYPE_DATA || datagram->data[0] == VS_TYPE_CLEAR)
			input_data(client, datagram, now);
		else
			vs_drop(&client->lan->drops, VS_DROP_DATAGRAM_TYPE);
	}
	load_client_touch(client);
}

static void on_resumed(void *arg, struct vs_carrier *carrier)
{
	(void)carrier;
	load_client_touch(arg);
}

/* --- Datagrams out ------------------------------------------------------------------------------------------------ */

/* Whether the link has more to send, for the next turn. A socket that is full goes on when it is told to. */
static bool pump(struct load_client *client, uint64_t now)
{
	const struct vs_path *path = vs_link_path(client->link);
	for (int i = 0; i < TURN_DATAGRAMS; i++) {
		struct vs_link_sent sent;
		uint8_t *room = vs_carrier_reserve(client->carrier, VS_DATAGRAM_MAX);
		if (!room)
			return false;
		size_t size = vs_link_output(client->link, now, room, VS_DATAGRAM_MAX, &sent);
		if (!size) {
			vs_timer_set(&client->link_timer, vs_link_deadline(client->link));
			return false;
		}
		vs_carrier_commit(client->carrier, size, &path->peer, &path->local, sent.counter,
				  sent.probe ? VS_TX_ALONE : 0);
	}
	return true;
}

static void flush(struct load_client *client, uint64_t now)
{
	struct vs_tx_batch *tx = client->carrier->tx;
	vs_carrier_flush(client->carrier);
	for (uint32_t i = 0; i < tx->results_count; i++) {
		const struct vs_tx_result *result = &tx->results[i];
		if (result->error != EADDRNOTAVAIL && result->cookie != UINT64_MAX)
			vs_link_refused(client->link, result->cookie, result->size, result->error == EMSGSIZE, now);
	}
	vs_carrier_results_done(client->carrier);
}

static void link_lost(struct load_client *client, uint64_t now)
{
	vs_link_end(client->link);
	vs_initiator_forget(client->initiator);
	if (client->joined)
		client->lan->lost(client->lan->arg, client);
	client->joined = false;
	if (!client->ending)
		vs_initiator_start(client->initiator, now);
}

static void read_events(struct load_client *client, uint64_t now)
{
	uint32_t index;
	unsigned events = vs_link_take_events(client->link);
	while (vs_link_take_retired(client->link, &index))
		;
	if (events & (VS_LINK_CLOSED | VS_LINK_ERROR | VS_LINK_TIMED_OUT))
		link_lost(client, now);
	else if (events & VS_LINK_WANT_HANDSHAKE && !client->ending)
		vs_initiator_start(client->initiator, now);
	if (events)
		set_dial_timer(client);
}

static void end_turn(void *arg)
{
	struct load_lan *lan = arg;
	uint64_t now = vs_loop_now(lan->loop);
	struct load_client *client;
	struct vs_list unfinished;
	vs_list_init(&unfinished);
	while ((client = VS_LIST_FIRST(&lan->dirty, struct load_client, dirty))) {
		/* Still on the list, so that frames for the queue do not bring the client back in this turn. */
		if (client->sending && client->joined)
			lan->refill(lan->arg, client);
		bool more = pump(client, now);
		flush(client, now);
		vs_list_remove(&client->dirty);
		if (more)
			vs_list_append(&unfinished, &client->dirty);
		read_events(client, now);
	}
	if (!vs_list_empty(&unfinished))
		vs_deferred_schedule(&lan->turn_end);
	vs_list_splice(&lan->dirty, &unfinished);
}

static void on_link_timer(void *arg, uint64_t now)
{
	(void)now;
	load_client_touch(arg);
}

void load_client_send(struct load_client *client, struct vs_frame *frame)
{
	vs_link_send(client->link, frame, vs_loop_now(client->lan->loop));
	load_client_touch(client);
}

void load_client_close(struct load_client *client)
{
	client->ending = true;
	client->sending = false;
	vs_link_close(client->link, VS_CLOSE_SHUTDOWN);
	set_dial_timer(client);
	load_client_touch(client);
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

static int open_carrier(struct load_client *client, const struct vs_addr *local)
{
	const struct vs_udp_options options = { .receive_buffer = SOCKET_BUFFER, .send_buffer = SOCKET_BUFFER };
	const struct vs_carrier_handler handler = { .receive = on_receive, .resumed = on_resumed, .arg = client };
	int fd = vs_udp_open(local, false);
	if (fd < 0)
		return fd;
	bool v6 = local->sa.sa_family == AF_INET6;
	return vs_carrier_udp_new(client->lan->loop, v6 ? -1 : fd, v6 ? fd : -1, &options, &handler,
				  &client->lan->drops, &client->carrier);
}

static int open_initiator(struct load_client *client, const uint8_t private_key[VS_KEY_SIZE])
{
	struct vs_initiator_config config = { .crypto = vs_crypto_default(), .offer = vs_offer_default() };
	memcpy(config.private_key, private_key, VS_KEY_SIZE);
	memcpy(config.server_key, client->lan->server_key, VS_KEY_SIZE);
	vs_random(config.offer.link_id, sizeof(config.offer.link_id));
	config.offer.has_aes = vs_cpu_has_aes();
	strcpy(config.offer.program, "loadgen");
	client->initiator = vs_initiator_new(&config);
	vs_wipe(&config, sizeof(config));
	return client->initiator ? 0 : -EINVAL;
}

static int open_link(struct load_client *client)
{
	struct load_lan *lan = client->lan;
	const struct vs_link_config config = {
		.crypto = vs_crypto_default(),
		.pool = lan->pool,
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.flow_key = lan->flow_key,
		.datagram_max = VS_DATAGRAM_MAX,
		.initiator = true,
	};
	const struct vs_path path = { .peer = lan->server };
	uint64_t now = vs_loop_now(lan->loop);
	client->link = vs_link_new(&config, now);
	if (!client->link)
		return -ENOMEM;
	vs_link_set_path(client->link, &path, now);
	return 0;
}

static int open_timers(struct load_client *client)
{
	int err = vs_timer_init(&client->link_timer, client->lan->loop, on_link_timer, client);
	if (err < 0)
		return err;
	err = vs_timer_init(&client->dial_timer, client->lan->loop, on_dial_timer, client);
	if (err < 0)
		vs_timer_fini(&client->link_timer);
	return err;
}

int load_client_new(struct load_lan *lan, unsigned no, const uint8_t private_key[VS_KEY_SIZE],
		    const struct vs_addr *local, struct load_client **out)
{
	struct load_client *client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->lan = lan;
	client->no = no;
	vs_list_init(&client->dirty);
	int err = open_timers(client);
	if (err < 0) {
		free(client);
		return err;
	}
	if ((err = open_carrier(client, local)) < 0 || (err = open_initiator(client, private_key)) < 0 ||
	    (err = open_link(client)) < 0) {
		load_client_free(client);
		return err;
	}
	*out = client;
	return 0;
}

void load_client_free(struct load_client *client)
{
	if (!client)
		return;
	vs_list_remove(&client->dirty);
	vs_timer_fini(&client->link_timer);
	vs_timer_fini(&client->dial_timer);
	vs_carrier_free(client->carrier);
	vs_initiator_free(client->initiator);
	vs_link_free(client->link);
	free(client);
}

void load_lan_init(struct load_lan *lan)
{
	vs_list_init(&lan->dirty);
	vs_deferred_init(&lan->turn_end, lan->loop, end_turn, lan);
	vs_frame_list_init(&lan->deframed.frames, ARRIVED_MAX);
	vs_frame_list_init(&lan->deframed.control, ARRIVED_CONTROL_MAX);
	lan->flow_key = vs_random_u64();
}

void load_lan_fini(struct load_lan *lan)
{
	vs_deferred_cancel(&lan->turn_end);
	vs_frame_list_fini(&lan->deframed.frames);
	vs_frame_list_fini(&lan->deframed.control);
}
