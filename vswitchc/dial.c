/* Keeping the link to the server: names and addresses, handshakes, and what to do when the link goes.
 *
 * The link watches the server (keepalive) and asks for a handshake when its keys are old or nothing comes back; the
 * initiator makes attempts until one is answered; each attempt goes to the next address. An attempt to renew keys of a
 * link that works goes where the link goes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/random.h"
#include "link/control.h"
#include "vswitchc/client_state.h"

/* After all names have failed to resolve. */
#define RESOLVE_AGAIN VS_SEC
/* A server whose terms we refuse is asked again after this: somebody may change them. */
#define TERMS_AGAIN (5 * VS_SEC)
/* Handshakes that ICMP errors may trigger. */
#define REFUSED_INTERVAL VS_SEC
/* The way to the server is looked at this often. */
#define ROUTE_INTERVAL (5 * VS_SEC)

struct task {
	struct vs_offload_job job; /* first */
	struct vs_handshake_job handshake;
	struct client *client;
	struct vs_path path;
};

static void set_timer(struct client *client)
{
	uint64_t deadline = vs_initiator_deadline(client->initiator);
	if (deadline != VS_NEVER)
		deadline = VS_MAX(deadline, client->not_before_usec);
	/* Without an address that has worked before, nothing can be tried until a name has been resolved. */
	bool knows_none = !vs_addr_is_set(&client->last_good);
	if (client->lookup && knows_none)
		deadline = VS_NEVER;
	else if (deadline != VS_NEVER && knows_none)
		deadline = VS_MAX(deadline, client->resolve_from_usec);
	vs_timer_set(&client->dial_timer, deadline);
}

/* The preferred server's turn again. What is being looked up is another's. */
static void restart_targets(struct client *client)
{
	vs_lookup_cancel(client->lookup);
	client->lookup = NULL;
	vs_targets_restart(&client->targets);
}

void client_dial(struct client *client)
{
	vs_initiator_start(client->initiator, vs_loop_now(client->loop));
	set_timer(client);
}

/* --- The way to the server --- */

static void check_route(struct client *client, const struct vs_addr *to, uint64_t now)
{
	struct vs_netif_path path;
	struct vs_fault fault;
	char text[VS_ADDR_TEXT_MAX];
	if (now < client->route_checked_usec + ROUTE_INTERVAL)
		return;
	client->route_checked_usec = now;
	if (vs_netif_path_to(client->netif, to, client->config.fwmark, client->config.bind_interface, &path,
			     &fault) < 0)
		return;
	bool through = strcmp(path.interface, client->config.tap.device) == 0;
	if (through && !client->through_tap) {
		vs_addr_format(to, text);
		client_complain(client,
				"the route to the server %s leads through %s, the device that the server feeds: set "
				"bind_interface or fwmark, or add a route to the server by your real gateway",
				text, path.interface);
	}
	client->through_tap = through;
}

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

static void attempt(struct client *client, const struct vs_addr *to, uint64_t now)
{
	uint8_t random[VS_INITIATOR_RANDOM];
	char text[VS_ADDR_TEXT_MAX];
	struct task *task = new_task(client);
	check_route(client, to, now);
	if (!task || !renew_index(client)) {
		free(task);
		vs_timer_set(&client->dial_timer, now + VS_SEC);
		return;
	}
	task->path.peer = client->target = *to;
	vs_random(random, sizeof(random));
	if (vs_initiator_output(client->initiator, now, vs_unix_usec(), client->pending_index, random,
				&task->handshake)) {
		vs_debug("dialling %s", vs_addr_format(to, text));
		submit(task);
	} else {
		free_task(task);
	}
	vs_wipe(random, sizeof(random));
	set_timer(client);
}

static void resolved(void *arg, const char *error, const struct vs_addr *addrs, size_t n)
{
	struct client *client = arg;
	const struct vs_endpoint *server = vs_targets_wanted(&client->targets);
	client->lookup = NULL;
	if (n == 0) {
		client_complain(client, "server '%s': %s", server->host, error);
		client->resolve_from_usec = vs_loop_now(client->loop) + RESOLVE_AGAIN;
	}
	vs_targets_resolved(&client->targets, addrs, n);
	set_timer(client);
}

static void resolve(struct client *client, uint64_t now)
{
	const struct vs_endpoint *server = vs_targets_wanted(&client->targets);
	int err = vs_lookup_start(client->loop, server->host, server->port, resolved, client, &client->lookup);
	if (err < 0) {
		client->lookup = NULL;
		client_complain(client, "server '%s': %s", server->host, strerror(-err));
		client->resolve_from_usec = now + RESOLVE_AGAIN;
		vs_targets_resolved(&client->targets, NULL, 0);
	}
	set_timer(client);
}

/* Whether the server was heard so recently that the handshake is only about new keys. */
static bool link_works(const struct client *client, uint64_t now)
{
	struct vs_link_stats stats;
	if (!client->up)
		return false;
	vs_link_stats(vs_wport_link(client->server), now, &stats);
	return stats.heard_usec_ago < 2 * vs_link_params(vs_wport_link(client->server))->keepalive_usec;
}

/* Where the next attempt goes. False: nowhere yet; a name is being looked up. */
static bool next_address(struct client *client, uint64_t now, struct vs_addr *to)
{
	if (client->same_again) {
		client->same_again = false;
		*to = client->target;
		return true;
	}
	if (link_works(client, now)) {
		*to = vs_link_path(vs_wport_link(client->server))->peer;
		return true;
	}
	if (!client->lookup && vs_targets_next(&client->targets, to))
		return true;
	if (!client->lookup && now >= client->resolve_from_usec)
		resolve(client, now);
	/* While a name is looked up, or cannot be: where it worked last. */
	*to = client->last_good;
	return vs_addr_is_set(to);
}

static void on_dial_timer(void *arg, uint64_t now)
{
	struct client *client = arg;
	struct vs_addr to;
	if (vs_initiator_deadline(client->initiator) <= now && client->not_before_usec <= now &&
	    next_address(client, now, &to))
		attempt(client, &to, now);
	else
		set_timer(client);
}

/* --- Answers --- */

static void install_session(struct client *client, struct vs_initiator_result *result)
{
	struct vs_path path = { .peer = client->target };
	uint32_t index = client->pending_index;
	client->pending_index = CLIENT_NO_INDEX;
	client->last_good = client->target;
	vs_link_set_path(vs_wport_link(client->server), &path, vs_loop_now(client->loop));
	int err = vs_wport_install(client->server, &result->keys, &result->params);
	if (err < 0) {
		vs_worker_drop_index(client->worker, index);
		client_complain(client, "new session: %s", strerror(-err));
		client_dial(client);
	}
	restart_targets(client);
}

/* The server has answered, but its terms are not ours. */
static void terms_refused(struct client *client, const struct vs_params *terms)
{
	enum vs_protection weakest = (enum vs_protection)client->config.weakest_cipher;
	struct vs_offer offer = vs_offer_default();
	client->not_before_usec = vs_loop_now(client->loop) + TERMS_AGAIN;
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
	set_timer(client);
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
	set_timer(client);
}

/* --- Events --- */

/* How long a server wants to be left alone after it has ended the link. */
static uint64_t patience(uint8_t reason)
{
	switch (reason) {
	case VS_CLOSE_SHUTDOWN:
	case VS_CLOSE_ERROR:
		return 500 * VS_MSEC;
	case VS_CLOSE_KICKED:
		return 5 * VS_SEC;
	default:
		/* REVOKED, REPLACED: somebody has decided so, or another machine has this key. */
		return 30 * VS_SEC;
	}
}

static void link_ended(struct client *client, uint8_t reason)
{
	uint64_t delay = patience(reason);
	client_complain(client, "the link has ended: %s; next attempt in %.1f s", vs_close_reason_text(reason),
			(double)delay / (double)VS_SEC);
	if (reason == VS_CLOSE_ERROR) {
		vs_link_close(vs_wport_link(client->server), reason);
		vs_wport_flush(client->server);
	}
	vs_link_end(vs_wport_link(client->server));
	vs_wport_touch(client->server);
	client_set_up(client, false);
	vs_initiator_forget(client->initiator);
	restart_targets(client);
	client->not_before_usec = vs_loop_now(client->loop) + delay;
	client_dial(client);
}

void client_link_events(void *arg, struct vs_wport *port, unsigned events)
{
	struct client *client = arg;
	(void)port;
	if (events & VS_LINK_CLOSED) {
		link_ended(client, vs_link_close_reason(vs_wport_link(client->server)));
		return;
	}
	if (events & VS_LINK_ERROR) {
		link_ended(client, VS_CLOSE_ERROR);
		return;
	}
	if (events & VS_LINK_UP)
		client_set_up(client, true);
	if (events & VS_LINK_TIMED_OUT && client->up) {
		client_complain(client, "nothing heard from the server for a minute");
		vs_link_end(vs_wport_link(client->server));
		vs_wport_touch(client->server);
		client_set_up(client, false);
	}
	if (events & VS_LINK_WANT_HANDSHAKE) {
		if (!vs_initiator_busy(client->initiator) && !link_works(client, vs_loop_now(client->loop))) {
			restart_targets(client);
			client_complain(client, "no answer from the server: dialling again");
		}
		client_dial(client);
	}
	if (client->up)
		check_route(client, &vs_link_path(vs_wport_link(client->server))->peer, vs_loop_now(client->loop));
}

void client_carrier_error(void *arg, const struct vs_carrier_error *error)
{
	struct client *client = arg;
	uint64_t now = vs_loop_now(client->loop);
	/* Anybody can forge it, so it is only a hint, and a handshake every second is all that it can cause. */
	if (error->error != ECONNREFUSED || now < client->refused_usec + REFUSED_INTERVAL)
		return;
	client->refused_usec = now;
	client_dial(client);
}

/* --- Life --- */

static struct vs_initiator *new_initiator(const struct client *client)
{
	struct vs_initiator_config config = { .crypto = vs_crypto_default(), .offer = vs_offer_default() };
	memcpy(config.private_key, client->config.identity.private_key, VS_KEY_SIZE);
	memcpy(config.server_key, client->config.server_public_key, VS_KEY_SIZE);
	memcpy(config.psk, client->config.preshared_key, VS_KEY_SIZE);
	vs_random(config.offer.link_id, sizeof(config.offer.link_id));
	config.offer.mtu = (uint16_t)client->config.tap.mtu;
	config.offer.has_aes = vs_cpu_has_aes();
	config.offer.protections = vs_protections_from((enum vs_protection)client->config.weakest_cipher);
	strncpy(config.offer.program, "vswitchc " VS_VERSION, VS_PROGRAM_MAX);
	struct vs_initiator *initiator = vs_initiator_new(&config);
	vs_wipe(&config, sizeof(config));
	return initiator;
}

int client_dial_init(struct client *client)
{
	client->pending_index = CLIENT_NO_INDEX;
	vs_targets_init(&client->targets, &client->config.server_addr);
	client->initiator = new_initiator(client);
	if (!client->initiator) {
		vs_error("the keys are not usable, or memory is out");
		return -EINVAL;
	}
	int err = vs_timer_init(&client->dial_timer, client->loop, on_dial_timer, client);
	if (err < 0) {
		vs_error("timer: %s", strerror(-err));
		vs_initiator_free(client->initiator);
		client->initiator = NULL;
	}
	return err;
}

void client_dial_fini(struct client *client)
{
	if (!client->initiator)
		return;
	vs_lookup_cancel(client->lookup);
	vs_timer_fini(&client->dial_timer);
	vs_initiator_free(client->initiator);
}
