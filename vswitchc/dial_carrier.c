/* By which carrier the server is dialled: making connections where the carrier needs one, trying better carriers beside
 * a link that works, and going back where a better one turns out to be none. What to try when is carrier_choice.h's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/tcp_conn.h"
#include "vswitchc/client_state.h"

/* A connection that does not come about in so long will not. */
#define CONNECT_TIMEOUT (2500 * VS_MSEC)
/* From one that has failed to the next, doubled with each in a row. */
#define CONNECT_AGAIN_MIN (100 * VS_MSEC)
#define CONNECT_AGAIN_MAX (2 * VS_SEC)
/* A better carrier is on trial for so long: a probe or two of an idle link. */
#define TRIAL (3 * VS_SEC)
/* A search for a better carrier that comes at a bad time is put off. */
#define SEARCH_AGAIN VS_SEC

const char *client_carrier_text(enum vs_carrier_kind kind)
{
	static const char *const texts[VS_CARRIER_KINDS] = { "UDP", "fake TCP", "TCP" };
	return texts[kind];
}

/* --- Addresses ---------------------------------------------------------------------------------------------------- */

static bool has_connections(enum vs_carrier_kind kind)
{
	return kind != VS_CARRIER_UDP;
}

/* The server's port for a carrier. 0: it cannot have one. */
static uint16_t port_of(const struct client *client, enum vs_carrier_kind kind, uint16_t udp_port)
{
	switch (kind) {
	case VS_CARRIER_FAKETCP:
		return client->config.faketcp_port ? (uint16_t)client->config.faketcp_port : udp_port;
	case VS_CARRIER_TCP:
		return client->config.tcp_port ? (uint16_t)client->config.tcp_port : (uint16_t)(udp_port + 1);
	default:
		return udp_port;
	}
}

static struct vs_addr address_of(const struct client *client, const struct client_target *target)
{
	struct vs_addr addr = target->server;
	uint16_t port = htons(port_of(client, target->carrier, vs_addr_port(&target->server)));
	if (addr.sa.sa_family == AF_INET6)
		addr.in6.sin6_port = port;
	else
		addr.in.sin_port = port;
	return addr;
}

/* --- Connecting --------------------------------------------------------------------------------------------------- */

static struct vs_addr any_address(const struct vs_addr *like)
{
	struct vs_addr any = { 0 };
	any.sa.sa_family = like->sa.sa_family;
	return any;
}

static void connect_failed(struct client *client, int err)
{
	char text[VS_ADDR_TEXT_MAX];
	struct vs_addr to = address_of(client, &client->target);
	uint64_t pause = CONNECT_AGAIN_MIN << VS_MIN(client->connect_failures, 5u);
	client_abandon_faketcp(client);
	client->connect_failures++;
	client->connect_from_usec = vs_loop_now(client->loop) + VS_MIN(pause, (uint64_t)CONNECT_AGAIN_MAX);
	vs_debug("%s connection to %s: %s", client_carrier_text(client->target.carrier), vs_addr_format(&to, text),
		 strerror(-err));
}

/* With nothing else to try, people want to know. */
static void complain_of_connection(struct client *client, int err)
{
	char text[VS_ADDR_TEXT_MAX];
	struct vs_addr to = address_of(client, &client->target);
	if (client->config.carrier == (int)client->target.carrier)
		client_complain(client, "%s connection to %s: %s", client_carrier_text(client->target.carrier),
				vs_addr_format(&to, text), strerror(-err));
}

static struct vs_grant_bind bind_of(const struct client *client, const struct vs_addr *to)
{
	struct vs_grant_bind bind = {
		.addr = any_address(to),
		.tcp = true,
		.fake = client->target.carrier == VS_CARRIER_FAKETCP,
		.fwmark = client->config.fwmark,
	};
	memcpy(bind.interface, client->config.bind_interface, sizeof(bind.interface));
	return bind;
}

/* A carrier that takes privileges which this host does not give. Where there are others, they do without it. */
void client_complain_of(struct client *client, int err, const struct vs_fault *fault)
{
	bool refused = err == -EPERM || err == -EACCES;
	if (refused && vs_carrier_choice_give_up(&client->choice, client->target.carrier))
		vs_warn("%s; going on without", fault->text);
	else
		client_complain(client, "%s", fault->text);
}

/* Makes of a connected socket, which passes to it, what the carrier has the worker adopt. */
static struct vs_conn *make_conn(struct client *client, int fd)
{
	if (client->target.carrier != VS_CARRIER_FAKETCP)
		return vs_tcp_conn_new(fd);
	struct vs_addr to = address_of(client, &client->target);
	struct vs_grant_bind bind = bind_of(client, &to);
	return client_make_faketcp(client, fd, &bind);
}

static int adopt(struct client *client, int fd, struct vs_path *path)
{
	struct vs_conn *conn = make_conn(client, fd);
	if (!conn)
		return errno ? -errno : -ENOMEM;
	*path = (struct vs_path){ .peer = conn->peer, .local = conn->local, .carrier = conn->kind };
	int err = vs_worker_adopt_conn(client->worker, client->server, conn);
	if (err < 0)
		vs_conn_free(conn);
	return err;
}

static void connected(void *arg, int fd)
{
	struct client *client = arg;
	struct vs_path path;
	client->connecting = NULL;
	if (fd < 0)
		complain_of_connection(client, fd);
	int err = fd < 0 ? fd : adopt(client, fd, &path);
	if (err == 0) {
		client->connect_failures = 0;
		client_attempt(client, &path);
	} else {
		connect_failed(client, err);
		client_set_dial_timer(client);
	}
}

/* -errno, of which has been complained. */
static int start_connecting(struct client *client)
{
	struct vs_addr to = address_of(client, &client->target);
	struct vs_grant_bind bind = bind_of(client, &to);
	struct vs_fault fault;
	int fd = vs_broker_open_tcp(client->broker, &bind, &fault);
	if (fd < 0) {
		client_complain_of(client, fd, &fault);
		return fd;
	}
	int err = bind.fake ? client_prepare_faketcp(client, fd, &bind, &to, &fault) : 0;
	if (err < 0) {
		close(fd);
		client_complain_of(client, err, &fault);
		return err;
	}
	err = vs_connect_start(client->loop, fd, &to, CONNECT_TIMEOUT, connected, client, &client->connecting);
	if (err < 0)
		complain_of_connection(client, err);
	return err;
}

/* The connection of an attempt that has come to nothing. */
static void abandon_attempt(struct client *client)
{
	const struct vs_path *link = vs_link_path(vs_wport_link(client->server)), *path = &client->attempt;
	bool in_use = link->carrier == path->carrier && vs_addr_equal(&link->peer, &path->peer) &&
		      vs_addr_equal(&link->local, &path->local);
	if (has_connections(path->carrier) && !in_use)
		vs_wport_close_conn(client->server, path);
}

void client_approach(struct client *client, const struct client_target *target)
{
	abandon_attempt(client);
	client->target = *target;
	client_check_route(client, &target->server);
	if (!has_connections(target->carrier)) {
		struct vs_path path = { .peer = target->server };
		client_attempt(client, &path);
		return;
	}
	int err = start_connecting(client);
	if (err < 0)
		connect_failed(client, err);
	client_set_dial_timer(client);
}

/* --- The carrier of the link -------------------------------------------------------------------------------------- */

static void set_better_timer(struct client *client)
{
	vs_timer_set(&client->better_timer,
		     client->on_trial ? client->trial_until_usec : vs_carrier_choice_deadline(&client->choice));
}

/* The trial is over: nothing has been amiss. */
static void end_trial(struct client *client, uint64_t now)
{
	const struct vs_path *path = vs_link_path(vs_wport_link(client->server));
	client->on_trial = false;
	/* The peer, too, decides by which carrier datagrams come. */
	vs_carrier_choice_connected(&client->choice, path->carrier, now);
	if (path->carrier == client->trial)
		vs_info("the link is back on %s", client_carrier_text(path->carrier));
}

void client_on_better_timer(void *arg, uint64_t now)
{
	struct client *client = arg;
	if (client->on_trial) {
		end_trial(client, now);
		set_better_timer(client);
		return;
	}
	if (client->connecting || vs_initiator_busy(client->initiator) || !client_link_works(client, now)) {
		vs_timer_set(&client->better_timer, now + SEARCH_AGAIN);
		return;
	}
	client->searching = true;
	client_dial(client);
}

bool client_next_better(struct client *client, uint64_t now, struct client_target *target)
{
	if (!client->searching)
		return false;
	client->searching = vs_carrier_choice_better(&client->choice, now, &target->carrier);
	target->server = client->last_good;
	set_better_timer(client);
	return client->searching;
}

void client_link_moves(struct client *client, const struct vs_path *path)
{
	struct vs_link *link = vs_wport_link(client->server);
	uint64_t now = vs_loop_now(client->loop);
	const struct vs_path before = *vs_link_path(link);
	bool other = client->up && before.carrier != path->carrier;
	client->moved_usec = now;
	client->on_trial = other && client->searching && !client->path_gone;
	client->searching = client->path_gone = false;
	if (client->on_trial) {
		client->before_trial = before;
		client->trial = path->carrier;
		client->trial_until_usec = now + TRIAL;
	} else {
		vs_carrier_choice_connected(&client->choice, path->carrier, now);
		if (other)
			vs_warn("the link now goes over %s", client_carrier_text(path->carrier));
	}
	vs_link_set_path(link, path, now);
	set_better_timer(client);
}

bool client_leave_trial(struct client *client)
{
	uint64_t now = vs_loop_now(client->loop);
	if (!client->on_trial)
		return false;
	client->on_trial = false;
	vs_warn("%s to the server does not work after all: back to %s", client_carrier_text(client->trial),
		client_carrier_text(client->before_trial.carrier));
	vs_carrier_choice_refuted(&client->choice, now);
	vs_link_set_path(vs_wport_link(client->server), &client->before_trial, now);
	vs_wport_touch(client->server);
	set_better_timer(client);
	return true;
}

/* "fake TCP, then TCP" */
static void list_others(const struct client *client, enum vs_carrier_kind kind, char *text, size_t size)
{
	size_t used = 0;
	text[0] = '\0';
	for (int other = 0; other < VS_CARRIER_KINDS; other++)
		if (other != (int)kind && vs_carrier_choice_has(&client->choice, (enum vs_carrier_kind)other))
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", then " : "",
						 client_carrier_text((enum vs_carrier_kind)other));
}

static enum vs_carrier_loss loss_of(const struct client *client)
{
	uint64_t now = vs_loop_now(client->loop);
	struct vs_link_stats stats;
	if (client->path_gone)
		return VS_LOSS_BROKEN;
	vs_link_stats(vs_wport_link(client->server), now, &stats);
	return now - stats.answered_usec_ago > client->moved_usec ? VS_LOSS_SILENT : VS_LOSS_MIRAGE;
}

void client_link_lost(struct client *client)
{
	enum vs_carrier_kind kind = vs_link_path(vs_wport_link(client->server))->carrier;
	char others[64];
	list_others(client, kind, others, sizeof(others));
	vs_carrier_choice_lost(&client->choice, loss_of(client), vs_loop_now(client->loop));
	client->searching = client->on_trial = false;
	set_better_timer(client);
	/* Of a connection that has ended, that has been said. */
	if (client->path_gone)
		return;
	if (others[0])
		client_complain(client, "%s to the server has stopped working: trying %s",
				client_carrier_text(kind), others);
	else
		client_complain(client, "no answer from the server: dialling again");
}

bool client_carriers_refused(struct client *client, unsigned allowed)
{
	char text[64] = "";
	size_t used = 0;
	for (int kind = 0; kind < VS_CARRIER_KINDS; kind++)
		if (allowed & VS_CARRIER_BIT(kind))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? ", " : "",
						 vs_carrier_name((enum vs_carrier_kind)kind));
	if (vs_carrier_choice_allow(&client->choice, allowed)) {
		vs_info("the server's port allows us carrier = %s only", text);
		return true;
	}
	client_complain(client, "not connected: the server's port allows carrier = %s, but here it is %s", text,
			vs_carrier_name((enum vs_carrier_kind)client->config.carrier));
	return false;
}

void client_conn_closed(void *arg, struct vs_wport *port, const struct vs_conn *conn, int error)
{
	struct client *client = arg;
	const struct vs_path *path = vs_link_path(vs_wport_link(port));
	bool link = path->carrier == conn->kind && vs_conn_is(conn, &path->peer, &path->local);
	if (client->on_trial && client->before_trial.carrier == conn->kind && !link) {
		/* There is no way back any more. */
		end_trial(client, vs_loop_now(client->loop));
		set_better_timer(client);
	}
	if (!link || client->path_gone)
		return;
	client->path_gone = true;
	if (!client->up)
		return;
	client_complain(client, "the %s connection to the server has ended: %s", client_carrier_text(conn->kind),
			error ? strerror(error) : "closed by the server");
	client_redial(client);
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

static unsigned wanted(const struct client *client)
{
	if (client->config.carrier == VS_CLIENT_CARRIER_AUTO)
		return VS_CARRIERS_ALL;
	return VS_CARRIER_BIT(client->config.carrier);
}

int client_carrier_init(struct client *client)
{
	vs_carrier_choice_init(&client->choice, wanted(client));
	int err = vs_timer_init(&client->better_timer, client->loop, client_on_better_timer, client);
	client->has_better_timer = err == 0;
	return err < 0 ? err : client_faketcp_init(client);
}

void client_carrier_fini(struct client *client)
{
	vs_connect_cancel(client->connecting);
	client->connecting = NULL;
	client_faketcp_fini(client);
	if (client->has_better_timer)
		vs_timer_fini(&client->better_timer);
	client->has_better_timer = false;
}
