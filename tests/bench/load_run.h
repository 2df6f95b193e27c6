/* A run of the load generator: clients join, the switch learns where they are, frames flow, and what became of it all
 * is reported.
 *
 *   JOINING    until all clients have joined, or too long
 *   LEARNING   senders and receivers announce their MAC addresses to each other, until the switch has learned them
 *   IDLE       nothing but what links do by themselves
 *   WARMING    frames flow, not counted: congestion control finds its rate
 *   MEASURING  frames flow
 *   DRAINING   what is on its way arrives
 *   CLOSING    the clients say goodbye
 *
 * Each phase is bounded in time. SIGTERM or SIGINT ends the measurement at once, but not without a report; SIGUSR1
 * makes it begin anew. The processor time of a watched process is taken over IDLE and over MEASURING. */
#ifndef VS_TEST_BENCH_LOAD_RUN_H
#define VS_TEST_BENCH_LOAD_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/load_client.h"
#include "bench/load_keys.h"
#include "bench/load_stream.h"
#include "bench/load_watch.h"
#include "io/signals.h"

struct load_options {
	struct vs_addr server;
	unsigned clients;
	unsigned join_rate; /* clients a second; 0: all at once */
	uint64_t join_timeout_usec, idle_usec, warm_usec, seconds_usec;
	unsigned pairs;     /* client 2i sends to 2i + 1 */
	bool broadcast;     /* client 0 sends to all, instead of pairs */
	bool echo;
	unsigned flows;     /* of each sender */
	unsigned macs;      /* of each receiver */
	unsigned drawn;     /* of these, frames go to the first so many; each draws one */
	unsigned rate;      /* frames a second of each sender; 0: as fast as the link takes them */
	unsigned size;      /* of a frame */
	pid_t watch;        /* 0: none */
};

enum load_phase {
	LOAD_JOINING,
	LOAD_LEARNING,
	LOAD_IDLE,
	LOAD_WARMING,
	LOAD_MEASURING,
	LOAD_DRAINING,
	LOAD_CLOSING,
};

/* A client that sends: its streams take turns. */
struct load_sender {
	struct load_client *client;
	struct load_stream *streams;
	unsigned next;
	uint64_t sent; /* since the rate began */
	uint32_t announced, to_announce; /* MAC addresses, to `peer` */
	uint32_t peer;
};

/* What was measured between two moments. */
struct load_span {
	uint64_t usec, frames, bytes, sent;
	struct load_watch before, after;
};

struct load_run {
	struct load_options options;
	struct load_lan lan;
	struct vs_signals *signals;
	struct vs_timer phase_timer, join_timer, send_timer;
	enum load_phase phase;
	int error;

	struct load_client **clients;
	unsigned dialled, joined, lost;
	uint64_t started_usec, all_joined_usec;
	struct histogram join_times;

	struct load_stream *streams;
	unsigned n_streams;
	struct load_sender *senders; /* first those that send, then those that only announce themselves */
	unsigned n_senders, n_announcers;
	unsigned next_announcer;           /* that is not done; they announce themselves one after the other */
	uint64_t announcements, announced; /* in all; so far */
	struct load_totals totals;
	uint64_t rate_from_usec, phase_usec;
	struct load_span idle, measured;
	struct vs_link_stats sender; /* of the first one, at the end of the measurement */
};

/* Runs from beginning to end and prints the report, one JSON object, to standard output. 0, or -errno after saying what
 * has failed; -ETIMEDOUT: not all clients could join, which the report says as well. */
int load_run(const struct load_options *options, const struct load_keys *keys) VS_MUST_CHECK;

/* load_traffic.c: the streams and who sends them; 0 or -ENOMEM. */
int load_traffic_open(struct load_run *run) VS_MUST_CHECK;
void load_traffic_close(struct load_run *run);
/* Has each sender and receiver send a frame to itself, which the switch learns from but has nowhere to forward to: what
 * is announced to them afterwards is not flooded. */
void load_traffic_introduce(struct load_run *run);
/* Has the next MAC addresses announced; again whenever some have been learned. */
void load_traffic_announce(struct load_run *run);
void load_traffic_start(struct load_run *run);
void load_traffic_stop(struct load_run *run);
/* Callbacks (arg: the run): of the LAN, and of the timer by which senders with a rate send. */
void load_traffic_refill(void *arg, struct load_client *client);
void load_traffic_arrived(void *arg, struct load_client *client, const struct vs_frame *frame);
void load_traffic_due(void *arg, uint64_t now);
/* Frames that all streams have sent, and whether all have arrived. */
uint64_t load_traffic_sent(const struct load_run *run);
bool load_traffic_has_arrived(const struct load_run *run);

/* load_report.c */
void load_report(const struct load_run *run);

#endif
