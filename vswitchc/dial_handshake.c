/* Handshakes: an attempt goes to a thread of its own to be built, out by the path that was chosen for it (dial.c,
 * dial_carrier.c), and what comes back is a session, or the server's word why not. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/random.h"
#include "vswitchc/client_state.h"

/* A server whose terms we refuse is asked again after this: somebody may change them. */
#define TERMS_AGAIN (5 * VS_SEC)

struct task {
	struct vs_offload_job job; /* first */
	struct vs_handshake_job handshake;
	struct client *client;
	struct vs_path path;
};

/* --- Attempts --- */

static void run_task(struct vs_offload_job *job)
{
	vs_handshake_job_run(&((struct task *)job)->handshake);
}

static void task_done(struct vs_offload_job *job, int status);

static struct task *new_task(struct client *client)
{
	struct task *task = calloc(1, sizeof(*task));
	if (!task)
		return NULL;
	task->job.run = run_task;
	task->job.done = task_done;
	task->client = client;
	return task;
}

static void free_task(struct task *task)
{
	vs_handshake_job_wipe(&task->handshake);
	free(task);
}

static void submit(struct task *task)
{
	/* One job at a time is outstanding, so there is always room. */
	if (vs_offload_submit(task->client->offload, &task->job) < 0)
		task_done(&task->job, -ECANCELED);
}

/* The index of an attempt that was not answered is given back when the next one starts. */
static bool renew_index(struct client *client)
{
	if (client->pending_index != CLIENT_NO_INDEX)
		vs_worker_drop_index(client->worker, client->pending_index);
	client->pending_index = CLIENT_NO_INDEX;
	return vs_worker_take_index(client->worker, client->server, &client->pending_index) == 0;
}

void client_attempt(struct client *client, const struct vs_path *path)
{
	uint64_t now = vs_loop_now(client->loop);
	uint8_t random[VS_INITIATOR_RANDOM];
	char text[VS_ADDR_TEXT_MAX];
	struct task *task = new_task(client);
	if (!task || !renew_index(client)) {
		free(task);
		vs_timer_set(&client->dial_timer, now + VS_SEC);
		return;
	}
	task->path = client->attempt = *path;
	vs_random(random, sizeof(random));
	vs_initiator_set_carrier(client->initiator, path->carrier);
	if (vs_initiator_output(client->initiator, now, vs_unix_usec(), client->pending_index, random,
				&task->handshake)) {
		vs_debug("dialling %s over %s", vs_addr_format(&path->peer, text), client_carrier_text(path->carrier));
		submit(task);
	} else {
		free_task(task);
	}
	vs_wipe(random, sizeof(random));
	client_set_dial_timer(client);
}

/* --- Answers --- */

static void install_session(struct client *client, struct vs_initiator_result *result)
{
	uint32_t index = client->pending_index;
	client->pending_index = CLIENT_NO_INDEX;
	client->last_good = client->target.server;
	client->lost_usec = 0;
	(void)vs_carrier_choice_allow(&client->choice, result->params.carriers);
	client_link_moves(client, &client->attempt);
	int err = vs_wport_install(client->server, &result->keys, &result->params);
	if (err < 0) {
		vs_worker_drop_index(client->worker, index);
		client_complain(client, "new session: %s", strerror(-err));
		client_dial(client);
	}
	client_restart_targets(client);
}

/* The server has answered, but its terms are not ours. */
static void terms_refused(struct client *client, const struct vs_params *terms)
{
	enum vs_protection weakest = (enum vs_protection)client->config.weakest_cipher;
	struct vs_offer offer = vs_offer_default();
	if (!(terms->carriers & VS_CARRIER_BIT(client->attempt.carrier)) &&
	    client_carriers_refused(client, terms->carriers))
		return;
	client->not_before_usec = vs_loop_now(client->loop) + TERMS_AGAIN;
	if (!(terms->carriers & VS_CARRIER_BIT(client->attempt.carrier)))
		return;
	if (terms->protection > weakest)
		client_complain(client,
				"not connected: the server has cipher = %s for us, which weakest_cipher = %s here "
				"forbids",
				vs_cipher_text(terms->cipher, terms->protection), vs_protection_name(weakest));
	else if (!vs_offer_supports(&offer, terms->cipher, terms->mode))
		client_complain(client,
				"not connected: the server demands cipher %s and mode %s, which we do not offer",
				vs_cipher_text(terms->cipher, terms->protection), vs_mode_name(terms->mode));
	else
		client_complain(client, "not connected: the server demands terms that we have not offered");
}

static void task_done(struct vs_offload_job *job, int status)
{
	struct task *task = (struct task *)job;
	struct client *client = task->client;
	struct vs_initiator_result result;
	if (status < 0) {
		free_task(task);
		return;
	}
	switch (vs_initiator_done(client->initiator, &task->handshake, vs_loop_now(client->loop), &result)) {
	case VS_INITIATOR_SEND:
		vs_worker_send_raw(client->worker, task->handshake.datagram, task->handshake.len, &task->path);
		break;
	case VS_INITIATOR_SESSION:
		install_session(client, &result);
		break;
	case VS_INITIATOR_REFUSED:
		vs_drop(&client->handshake_drops, result.reason);
		terms_refused(client, &result.params);
		break;
	default:
		vs_drop(&client->handshake_drops, result.reason);
	}
	vs_wipe(&result, sizeof(result));
	free_task(task);
	client_set_dial_timer(client);
}

void client_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path)
{
	struct client *client = arg;
	enum vs_drop reason;
	(void)path;
	struct task *task = new_task(client);
	if (!task) {
		vs_drop(&client->handshake_drops, VS_DROP_NO_BUFFER);
		return;
	}
	switch (vs_initiator_input(client->initiator, datagram, len, vs_loop_now(client->loop), &task->handshake,
				   &reason)) {
	case VS_INITIATOR_JOB:
		submit(task);
		break;
	case VS_INITIATOR_COOKIE:
		/* It holds for the address that it came from: the next attempt goes there again. */
		client->same_again = true;
		free_task(task);
		break;
	default:
		vs_drop(&client->handshake_drops, reason);
		free_task(task);
	}
	client_set_dial_timer(client);
}
