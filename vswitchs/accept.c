/* Handshakes: from the initiation that comes in to the session that is installed. The responder decides what is worth
 * an answer; this file gives it random bytes, takes its jobs to the handshake thread and back, and finds the member's
 * link to which a session belongs. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/random.h"
#include "vswitchs/server_state.h"

/* A handshake under way; it goes to the thread twice, to read the initiation and to build the response. */
struct task {
	struct vs_offload_job job; /* first */
	struct vs_handshake_job handshake;
	struct server *server;
	struct vs_path path;
	unsigned worker; /* to which it came, and through which it is answered; or SERVER_LOBBY */
	bool refused; /* the response only says what the port demands */
};

static void free_task(struct task *task)
{
	task->server->handshakes--;
	vs_handshake_job_wipe(&task->handshake);
	free(task);
}

static void run_task(struct vs_offload_job *job)
{
	vs_handshake_job_run(&((struct task *)job)->handshake);
}

static void send_answer(struct server *server, unsigned worker, const uint8_t *datagram, size_t len,
			const struct vs_path *path)
{
	if (worker == SERVER_LOBBY)
		vs_lobby_send(server->lobby, datagram, len, path);
	else
		vs_datapath_send(server->datapath, worker, datagram, len, path);
}

static void send_to(const struct task *task, const uint8_t *datagram, size_t len)
{
	send_answer(task->server, task->worker, datagram, len, &task->path);
}

static void task_done(struct vs_offload_job *job, int status);

static void submit(struct task *task)
{
	task->job.run = run_task;
	task->job.done = task_done;
	if (vs_offload_submit(task->server->offload, &task->job) < 0) {
		vs_drop(&task->server->handshake_drops, VS_DROP_HANDSHAKE_LIMIT);
		free_task(task);
	}
}

/* --- Accepted: decide --- */

static struct vs_policy policy_of(const struct member *member)
{
	const struct vs_server_port_config *config = &member->config;
	struct vs_policy policy = vs_policy_default();
	vs_policy_set_cipher(&policy, (enum vs_cipher_choice)config->cipher);
	policy.has_aes = vs_cpu_has_aes();
	policy.congestion = (enum vs_congestion_kind)config->congestion;
	vs_transport_set_policy(&config->transport, &policy);
	policy.lanes = config->lanes;
	policy.mtu = (uint16_t)config->mtu;
	policy.keepalive_usec = config->keepalive_usec;
	policy.max_age_usec = config->max_age_usec;
	return policy;
}

/* Lanes that others may have fed in the clear do not go on under a protection. */
static bool is_tainted(const struct client *client, const struct vs_params *current, enum vs_protection protection)
{
	return vs_params_taint(current, protection) ||
	       (client->answered_clear && protection != VS_PROTECTION_NONE);
}

/* Of the link's state here, if the client knows it; else a new one. It must never be one that the client could hold
 * without having reset its lanes when we do. */
static uint64_t incarnation_for(const struct client *client, const struct vs_offer *offer,
				enum vs_protection protection)
{
	struct vs_dport_view view;
	uint64_t incarnation;
	if (client->up) {
		vs_dport_view(client->port, &view);
		if (view.up && view.params.incarnation == offer->incarnation &&
		    !is_tainted(client, &view.params, protection))
			return offer->incarnation;
	}
	do
		incarnation = vs_random_u64();
	while (!incarnation);
	return incarnation;
}

static bool take_index(struct client *client)
{
	if (client->pending_index != SERVER_NO_INDEX)
		vs_dport_drop_index(client->port, client->pending_index);
	client->pending_index = SERVER_NO_INDEX;
	return vs_dport_take_index(client->port, &client->pending_index) == 0;
}

/* The offer does not do for the port. */
static void note_refusal(const struct task *task, const struct member *member, const struct vs_params *demanded)
{
	vs_drop(&task->server->handshake_drops, VS_DROP_HANDSHAKE_TERMS);
	/* Whoever takes any carrier begins with one that may not be allowed: nothing to worry about. */
	if (!(demanded->carriers & VS_CARRIER_BIT(task->path.carrier)))
		VS_LOG_LIMITED(VS_LOG_INFO, "%s: the client dials over %s, which the port's carrier does not allow",
			       member->config.name, vs_carrier_name(task->path.carrier));
	else if (!vs_offer_allows(&task->handshake.offer, demanded->protection))
		VS_LOG_LIMITED(VS_LOG_WARN, "%s: the port has cipher = %s, which the client's weakest_cipher forbids",
			       member->config.name, vs_cipher_text(demanded->cipher, demanded->protection));
	else
		VS_LOG_LIMITED(VS_LOG_WARN, "%s: the client does not offer the cipher or mode that its port demands",
			       member->config.name);
}

static void accept_client(struct task *task, const struct vs_responder_result *result)
{
	struct server *server = task->server;
	struct member *member = (struct member *)result->user;
	struct vs_policy policy = policy_of(member);
	struct vs_params params;
	uint8_t ephemeral[VS_KEY_SIZE];
	struct client *client = server_client_for(member, &task->handshake.offer);
	if (!client) {
		free_task(task);
		return;
	}
	task->handshake.offer.carrier = task->path.carrier;
	/* Then the answer only tells the client why, and no session comes of it. */
	task->refused = vs_params_choose(&policy, &task->handshake.offer,
					 incarnation_for(client, &task->handshake.offer, policy.protection),
					 &params) < 0;
	client->refused = task->refused;
	if (task->refused)
		note_refusal(task, member, &params);
	vs_random(ephemeral, sizeof(ephemeral));
	bool answered = (task->refused || take_index(client)) &&
			vs_responder_answer(server->responder, &task->handshake, &params,
					    task->refused ? 0 : client->pending_index, ephemeral) == 0;
	vs_wipe(ephemeral, sizeof(ephemeral));
	if (answered)
		submit(task);
	else
		free_task(task);
}

/* --- Answered: install --- */

static struct client *client_of_index(const struct member *member, uint32_t index)
{
	struct client *client;
	VS_LIST_FOREACH(&member->clients, client, struct client, node)
		if (client->pending_index == index)
			return client;
	return NULL;
}

/* The worker that has the link answers; before that, it gets the connection that the answer goes through. */
static int install(struct task *task, struct client *client, const struct vs_session_keys *keys)
{
	if (task->worker == SERVER_LOBBY) {
		int err = server_admit_conn(task->server, client->port, &task->path);
		if (err < 0)
			return err;
		task->worker = vs_dport_worker(client->port);
	}
	return vs_dport_install(client->port, keys, &task->handshake.params);
}

static void install_session(struct task *task, struct vs_responder_result *result)
{
	struct server *server = task->server;
	struct client *client = NULL;
	if (task->refused)
		send_to(task, task->handshake.datagram, task->handshake.len);
	else
		client = client_of_index((struct member *)result->user, result->keys.local_index);
	/* Gone, or overtaken by another handshake of the same client. */
	if (client) {
		client->pending_index = SERVER_NO_INDEX;
		client->answered_clear = task->handshake.params.protection == VS_PROTECTION_NONE;
		int err = install(task, client, &result->keys);
		if (err < 0)
			vs_dport_drop_index(client->port, result->keys.local_index);
		else
			send_to(task, task->handshake.datagram, task->handshake.len);
		server->accepted += err == 0;
	}
	vs_wipe(&result->keys, sizeof(result->keys));
	free_task(task);
}

static void task_done(struct vs_offload_job *job, int status)
{
	struct task *task = (struct task *)job;
	struct server *server = task->server;
	struct vs_responder_result result;
	if (status < 0) {
		free_task(task);
		return;
	}
	switch (vs_responder_done(server->responder, &task->handshake, vs_loop_now(server->loop), &result)) {
	case VS_RESPONDER_ACCEPT:
		accept_client(task, &result);
		return;
	case VS_RESPONDER_SESSION:
		install_session(task, &result);
		return;
	case VS_RESPONDER_COOKIE:
		send_to(task, result.cookie_reply, sizeof(result.cookie_reply));
		break;
	case VS_RESPONDER_DROPPED:
	case VS_RESPONDER_JOB:
		vs_drop(&server->handshake_drops, result.reason);
		break;
	}
	free_task(task);
}

/* --- Input --- */

void server_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path, unsigned worker)
{
	struct server *server = arg;
	struct vs_responder_result result;
	uint8_t salt[VS_COOKIE_SALT];
	/* On the stack until it is worth an allocation: most of what strangers send is not. */
	struct vs_handshake_job handshake;
	vs_random(salt, sizeof(salt));
	switch (vs_responder_input(server->responder, datagram, len, &path->peer, vs_loop_now(server->loop), salt,
				   server->handshakes, &handshake, &result)) {
	case VS_RESPONDER_JOB: {
		struct task *task = malloc(sizeof(*task));
		if (!task) {
			vs_drop(&server->handshake_drops, VS_DROP_NO_BUFFER);
			break;
		}
		*task = (struct task){ .handshake = handshake, .server = server, .path = *path, .worker = worker };
		server->handshakes++;
		submit(task);
		break;
	}
	case VS_RESPONDER_COOKIE:
		send_answer(server, worker, result.cookie_reply, sizeof(result.cookie_reply), path);
		break;
	default:
		vs_drop(&server->handshake_drops, result.reason);
	}
	vs_handshake_job_wipe(&handshake);
}
