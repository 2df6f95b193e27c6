/* State of the running client, shared by the files that implement it: client.c (life, signals, status), dial.c
 * (addresses, reconnecting), dial_handshake.c (attempts and answers), dial_carrier.c (carriers and their connections) and
 * dial_faketcp.c. Nobody else includes this. */
#ifndef VSWITCHC_CLIENT_STATE_H
#define VSWITCHC_CLIENT_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/broker_client.h"
#include "io/connect.h"
#include "io/control.h"
#include "io/daemon.h"
#include "io/loop.h"
#include "io/netif.h"
#include "io/offload.h"
#include "io/resolver.h"
#include "io/signals.h"
#include "io/worker.h"
#include "link/initiator.h"
#include "vswitchc/carrier_choice.h"
#include "vswitchc/schema.h"
#include "vswitchc/targets.h"

#define CLIENT_NO_INDEX UINT32_MAX

/* Whom to dial: a server, by the address and port of its UDP, and a carrier. */
struct client_target {
	struct vs_addr server;
	enum vs_carrier_kind carrier;
};

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
	struct client_target target; /* of the newest attempt */
	struct vs_path attempt;     /* by which that went */
	struct vs_addr last_good;   /* server of the last handshake that succeeded; unset: none has */
	struct vs_addr tried;       /* while its name was being looked up; unset: none */
	bool same_again;            /* the next attempt goes the same way */
	uint64_t refused_usec;      /* when an ICMP error last made us dial */
	uint64_t route_checked_usec;
	bool through_tap; /* the way to the server was last seen to lead through our own device */

	/* Carriers. */
	struct vs_carrier_choice choice;
	unsigned passes_seen;          /* of targets.passes */
	struct vs_connect *connecting; /* NULL: none under way */
	int raw_fd;                    /* for the fake TCP connection that is under way; -1: none */
	struct vs_timer reset_timer;   /* until when a reset connection is to show that it lives */
	bool has_reset_timer;
	uint64_t reset_usec;           /* 0: none */
	struct vs_path reset_path;
	unsigned connect_failures;     /* in a row */
	uint64_t connect_from_usec;    /* no attempt before, since the last connection failed */
	struct vs_timer better_timer;  /* a better carrier is to be tried, or its trial is over */
	bool has_better_timer;
	bool searching;                /* attempts go by better carriers than the link's, which works */
	bool path_gone;                /* the link's connection has ended */
	uint64_t moved_usec;           /* when the last handshake succeeded */
	uint64_t lost_usec;            /* when the link stopped working, until a handshake succeeds; 0: it works */
	bool on_trial;                 /* the link has moved to a better carrier, and could go back */
	enum vs_carrier_kind trial;
	uint64_t trial_until_usec;
	struct vs_path before_trial;

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

/* The link has lost its way: asks for a handshake by whatever works, preferred server first. */
void client_redial(struct client *client);

/* The preferred server's turn again. */
void client_restart_targets(struct client *client);

void client_set_dial_timer(struct client *client);
void client_check_route(struct client *client, const struct vs_addr *to);

/* Whether the server was heard so recently that a handshake is only about new keys. */
bool client_link_works(const struct client *client, uint64_t now);

void client_link_events(void *arg, struct vs_wport *port, unsigned events);
void client_carrier_error(void *arg, const struct vs_carrier_error *error);

/* --- dial_handshake.c --------------------------------------------------------------------------------------------- */

/* Sends the attempt that is due by a path. */
void client_attempt(struct client *client, const struct vs_path *path);

void client_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path);

/* --- dial_carrier.c ----------------------------------------------------------------------------------------------- */

/* 0 or -errno. */
int client_carrier_init(struct client *client) VS_MUST_CHECK;
void client_carrier_fini(struct client *client);

/* Makes the attempt that is due to this target, at once or when there is a connection to it. */
void client_approach(struct client *client, const struct client_target *target);

/* While a better carrier is looked for, the next one to try. False: there is none, or none is looked for. */
bool client_next_better(struct client *client, uint64_t now, struct client_target *target);

/* A handshake has succeeded by this path, which is the link's from now on. */
void client_link_moves(struct client *client, const struct vs_path *path);

/* Nothing comes back. True: by a carrier that was on trial, so the link goes back to the one before. */
bool client_leave_trial(struct client *client);

/* Nothing comes back at all: says so, and has all carriers tried. */
void client_link_lost(struct client *client);

/* The server's port allows these carriers only. False, with a complaint: they are none of ours. */
bool client_carriers_refused(struct client *client, unsigned allowed);

void client_on_better_timer(void *arg, uint64_t now);
void client_conn_closed(void *arg, struct vs_wport *port, const struct vs_conn *conn, int error);

const char *client_carrier_text(enum vs_carrier_kind kind); /* for people */

/* Complains of what the broker has refused; a carrier for which privileges are missing is given up, if there are others. */
void client_complain_of(struct client *client, int err, const struct vs_fault *fault);

/* --- dial_faketcp.c ----------------------------------------------------------------------------------------------- */

/* 0 or -errno. */
int client_faketcp_init(struct client *client) VS_MUST_CHECK;
void client_faketcp_fini(struct client *client);

/* Gives a socket that is about to connect a local port, and opens client->raw_fd for what comes to it, the server's first
 * words included. 0 or -errno with a fault. */
int client_prepare_faketcp(struct client *client, int fd, const struct vs_grant_bind *grant, const struct vs_addr *to,
			   struct vs_fault *fault) VS_MUST_CHECK;

/* The connection has not come about. */
void client_abandon_faketcp(struct client *client);

/* The connection of the socket, now that it is connected, which passes to it; the kernel is silent on it from here on.
 * NULL with errno. */
struct vs_conn *client_make_faketcp(struct client *client, int fd, const struct vs_grant_bind *grant);

/* Somebody says that the link's connection was reset or finished. */
void client_conn_reset(struct client *client, const struct vs_carrier_error *error);

/* --- client.c ----------------------------------------------------------------------------------------------------- */

/* Frames flow, or flow no more: tells systemd and the log. */
void client_set_up(struct client *client, bool up);

/* Logs, rate-limited, and keeps the text for `status`. */
void client_complain(struct client *client, const char *fmt, ...) VS_PRINTF(2, 3);

#endif
