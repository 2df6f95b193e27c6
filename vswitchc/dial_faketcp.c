/* Fake TCP (io/faketcp_socket.h), the client's part: what its connections take beyond those of TCP, and what to
 * make of a reset. Anybody who sees our segments can forge one, so it only makes us ask: a handshake goes the same
 * way, and if nothing at all has come by the end of RESET_PATIENCE, the connection counts as ended. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "io/faketcp_conn.h"
#include "io/faketcp_socket.h"
#include "vswitchc/client_state.h"

/* As long as the first answer to a handshake may take. */
#define RESET_PATIENCE VS_SEC

void client_abandon_faketcp(struct client *client)
{
	if (client->raw_fd >= 0)
		close(client->raw_fd);
	client->raw_fd = -1;
}

/* --- Connecting --------------------------------------------------------------------------------------------------- */

int client_prepare_faketcp(struct client *client, int fd, const struct vs_grant_bind *grant, const struct vs_addr *to,
			   struct vs_fault *fault)
{
	struct vs_faketcp_scope scope = { .peer = *to, .share = VS_FAKETCP_PEER };
	socklen_t len = sizeof(scope.local);
	if (bind(fd, &grant->addr.sa, vs_addr_len(&grant->addr)) < 0 || getsockname(fd, &scope.local.sa, &len) < 0)
		return vs_fault(fault, -errno, "fake TCP: %s", strerror(errno));
	client_abandon_faketcp(client);
	client->raw_fd = vs_broker_open_raw(client->broker, grant, &scope, fd, fault);
	return VS_MIN(client->raw_fd, 0);
}

struct vs_conn *client_make_faketcp(struct client *client, int fd, const struct vs_grant_bind *grant)
{
	struct vs_faketcp_start start;
	struct vs_fault fault;
	struct vs_faketcp_conn *conn = NULL;
	int err = vs_broker_mute_tcp(client->broker, grant, fd, &start, &fault);
	if (err < 0)
		client_complain_of(client, err, &fault);
	else
		conn = vs_faketcp_conn_new(&start, fd, client->raw_fd, vs_loop_now(client->loop));
	if (conn) {
		vs_faketcp_narrow_raw(client->raw_fd, &start.local);
		client->raw_fd = -1;
		return &conn->conn;
	}
	close(fd);
	client_abandon_faketcp(client);
	errno = err < 0 ? -err : ENOMEM;
	return NULL;
}

/* --- Resets ------------------------------------------------------------------------------------------------------- */

static bool is_link(const struct client *client, const struct vs_carrier_error *error)
{
	const struct vs_path *path = vs_link_path(vs_wport_link(client->server));
	return path->carrier == VS_CARRIER_FAKETCP && vs_addr_equal(&path->peer, &error->to) &&
	       vs_addr_equal(&path->local, &error->from);
}

void client_conn_reset(struct client *client, const struct vs_carrier_error *error)
{
	uint64_t now = vs_loop_now(client->loop);
	if (!client->up || client->path_gone || client->reset_usec || !is_link(client, error))
		return;
	VS_LOG_LIMITED(VS_LOG_INFO, "the fake TCP connection to the server is said to be reset: asking the server");
	client->reset_usec = now;
	client->reset_path = *vs_link_path(vs_wport_link(client->server));
	vs_timer_set(&client->reset_timer, now + RESET_PATIENCE);
	client_dial(client);
}

static void on_reset_timer(void *arg, uint64_t now)
{
	struct client *client = arg;
	struct vs_carrier_error reset = { .to = client->reset_path.peer, .from = client->reset_path.local };
	uint64_t since = client->reset_usec;
	struct vs_link_stats stats;
	client->reset_usec = 0;
	if (!client->up || client->path_gone || !is_link(client, &reset))
		return;
	vs_link_stats(vs_wport_link(client->server), now, &stats);
	if (now - stats.heard_usec_ago > since)
		return;
	client->path_gone = true;
	client_complain(client, "the fake TCP connection to the server has been reset, and nothing comes through it");
	client_redial(client);
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

int client_faketcp_init(struct client *client)
{
	client->raw_fd = -1;
	int err = vs_timer_init(&client->reset_timer, client->loop, on_reset_timer, client);
	client->has_reset_timer = err == 0;
	return err;
}

void client_faketcp_fini(struct client *client)
{
	if (!client->has_reset_timer)
		return;
	client_abandon_faketcp(client);
	vs_timer_fini(&client->reset_timer);
	client->has_reset_timer = false;
}
