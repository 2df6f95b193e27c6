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
	policy.cipher = (enum vs_cipher)config->cipher;
	policy.has_aes = vs_cpu_has_aes();
	policy.congestion = (enum vs_congestion_kind)config->congestion;
	policy.lanes = config->lanes;
	policy.mtu = (uint16_t)config->mtu;
	policy.keepalive_usec = config->keepalive_usec;
	policy.max_age_usec = config->max_age_usec;
	return policy;
}

/* Of the link's state here, if the client knows it; else a new one. It must never be one that the client could hold
 * without having reset its lanes when we do. */
static uint64_t incarnation_for(const struct client *client, const struct vs_offer *offer)
{
	const struct vs_link *link = vs_wport_link(client->port);
	if (client->up && vs_link_is_up(link) && vs_link_params(link)->incarnation == offer->incarnation)
		return offer->incarnation;
	uint64_t incarnation;
	do
		incarnation = vs_random_u64();
	while (!incarnation);
	return incarnation;
}

static bool take_index(struct server *server, struct client *client)
{
	if (client->pending_index != SERVER_NO_INDEX)
		vs_worker_drop_index(server->worker, client->pending_index);
	client->pending_index = SERVER_NO_INDEX;
	return vs_worker_take_index(server->worker, client->port, &client->pending_index) == 0;
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
	if (vs_params_choose(&policy, &task->handshake.offer, incarnation_for(client, &task->handshake.offer),
			     &params) < 0) {
		VS_LOG_LIMITED(VS_LOG_WARN, "%s: the client does not offer the cipher that its port demands",
			       member->config.name);
		free_task(task);
		return;
	}
	vs_random(ephemeral, sizeof(ephemeral));
	bool answered = take_index(server, client) &&
			vs_responder_answer(server->responder, &task->handshake, &params, client->pending_index,
					    ephemeral) == 0;
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

static void install_session(struct task *task, struct vs_responder_result *result)
{
	struct server *server = task->server;
	struct client *client = client_of_index((struct member *)result->user, result->keys.local_index);
	/* Gone, or overtaken by another handshake of the same client. */
	if (client) {
		client->pending_index = SERVER_NO_INDEX;
		int err = vs_wport_install(client->port, &result->keys, &task->handshake.params);
		if (err < 0)
			vs_worker_drop_index(server->worker, result->keys.local_index);
		else
			vs_worker_send_raw(server->worker, task->handshake.datagram, task->handshake.len, &task->path);
		server->accepted++;
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
		vs_worker_send_raw(server->worker, result.cookie_reply, sizeof(result.cookie_reply), &task->path);
		break;
	case VS_RESPONDER_DROPPED:
	case VS_RESPONDER_JOB:
		vs_drop(&server->handshake_drops, result.reason);
		break;
	}
	free_task(task);
}

/* --- Input --- */

void server_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path)
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
		*task = (struct task){ .handshake = handshake, .server = server, .path = *path };
		server->handshakes++;
		submit(task);
		break;
	}
	case VS_RESPONDER_COOKIE:
		vs_worker_send_raw(server->worker, result.cookie_reply, sizeof(result.cookie_reply), path);
		break;
	default:
		vs_drop(&server->handshake_drops, result.reason);
	}
	vs_handshake_job_wipe(&handshake);
}
