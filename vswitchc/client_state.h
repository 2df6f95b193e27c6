/* State of the running client, shared by the files that implement it: client.c (life, signals, status) and dial.c
 * (addresses, handshakes, reconnecting). Nobody else includes this. */
#ifndef VSWITCHC_CLIENT_STATE_H
#define VSWITCHC_CLIENT_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/broker_client.h"
#include "io/control.h"
#include "io/daemon.h"
#include "io/loop.h"
#include "io/netif.h"
#include "io/offload.h"
#include "io/resolver.h"
#include "io/signals.h"
#include "io/worker.h"
#include "link/initiator.h"
#include "vswitchc/schema.h"
#include "vswitchc/targets.h"

#define CLIENT_NO_INDEX UINT32_MAX

struct client {
	struct vs_client_config config;
	const char *config_path;
	struct vs_daemon *daemon;
	int exit_code;
	bool ends_with_terminal; /* SIGHUP means that its terminal was closed */
	struct vs_loop *loop;
	struct vs_bridge *bridge;
	struct vs_worker *worker;
	struct vs_wport *tap, *server; /* the two ports */
	struct vs_offload *offload;
	struct vs_control_server *control;
	struct vs_signals *signals;
	struct vs_timer watchdog;
	bool has_watchdog;
	struct vs_broker_client *broker;
	struct vs_netif *netif;

	/* Dialling. */
	struct vs_initiator *initiator;
	struct vs_targets targets;
	struct vs_lookup *lookup; /* NULL: none under way */
	struct vs_timer dial_timer;
	uint64_t not_before_usec;   /* the server has asked to be left alone until then */
	uint64_t resolve_from_usec; /* no name is resolved before */
	uint32_t pending_index;     /* of the newest attempt; CLIENT_NO_INDEX: none */
	struct vs_addr target;      /* of the newest attempt */
	struct vs_addr last_good;   /* of the last handshake that succeeded; unset: none has */
	bool same_again;            /* the next attempt goes to `target`, too */
	uint64_t refused_usec;      /* when an ICMP error last made us dial */
	uint64_t route_checked_usec;
	bool through_tap; /* the way to the server was last seen to lead through our own device */

	bool up;
	uint64_t started_usec, since_usec;
	char last_error[256];
	uint8_t public_key[VS_KEY_SIZE];
	struct vs_mac mac;
	struct vs_drops handshake_drops;
};

/* --- dial.c ------------------------------------------------------------------------------------------------------- */

/* 0 or -errno, logged. */
int client_dial_init(struct client *client) VS_MUST_CHECK;
void client_dial_fini(struct client *client);

/* Asks for a handshake, at once or as soon as the server may be bothered again. */
void client_dial(struct client *client);

void client_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path);
void client_link_events(void *arg, struct vs_wport *port, unsigned events);
void client_carrier_error(void *arg, const struct vs_carrier_error *error);

/* --- client.c ----------------------------------------------------------------------------------------------------- */

/* Frames flow, or flow no more: tells systemd and the log. */
void client_set_up(struct client *client, bool up);

/* Logs, rate-limited, and keeps the text for `status`. */
void client_complain(struct client *client, const char *fmt, ...) VS_PRINTF(2, 3);

#endif
