/* Which carrier to dial by: a state machine without clock or socket (the caller passes the time).
 *
 * While there is no link that works, passes over all addresses of all servers go by UDP, by UDP again, by fake TCP, by
 * TCP, and round again, of which only those count that the configuration and the server's port allow; a link whose
 * connection has broken starts with another of the same carrier. While a link works over one that
 * is not the best, better ones are tried beside it: first after VS_CHOICE_BETTER_MIN, and if that leads to nothing, or
 * not for long, after twice as much, up to VS_CHOICE_BETTER_MAX. */
#ifndef VSWITCHC_CARRIER_CHOICE_H
#define VSWITCHC_CARRIER_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "link/wire.h"

#define VS_CHOICE_BETTER_MIN (10 * VS_SEC)
#define VS_CHOICE_BETTER_MAX (300 * VS_SEC)
/* A better carrier that has carried the link for so long was no mirage. */
#define VS_CHOICE_PROVEN (60 * VS_SEC)

struct vs_carrier_choice {
	unsigned wanted;  /* by the configuration: set of 1 << enum vs_carrier_kind */
	unsigned allowed; /* by the server's port */
	unsigned step;    /* in the order of passes */
	bool again;       /* before that, the carrier that the link had */
	bool connected;
	bool returned; /* to a better carrier than the one before */
	enum vs_carrier_kind current; /* of the link, or of the last one */
	uint64_t since_usec;          /* on that */
	uint64_t interval_usec;       /* from one search for a better one to the next */
	uint64_t search_usec;         /* when the next one begins; VS_NEVER: there is none to be found */
	bool searching;
	unsigned search_step;
};

/* `wanted` is not empty. */
void vs_carrier_choice_init(struct vs_carrier_choice *choice, unsigned wanted);

/* The server's port allows these only (until another call). False: none of them is wanted here; the choice goes on as
 * if all were allowed. */
bool vs_carrier_choice_allow(struct vs_carrier_choice *choice, unsigned allowed);

/* Whether it is wanted and allowed. */
bool vs_carrier_choice_has(const struct vs_carrier_choice *choice, enum vs_carrier_kind kind);

/* This host cannot use it after all. False: it was the last one, and stays. */
bool vs_carrier_choice_give_up(struct vs_carrier_choice *choice, enum vs_carrier_kind kind);

/* --- Without a link that works ------------------------------------------------------------------------------------ */

/* The carrier of this pass. */
enum vs_carrier_kind vs_carrier_choice_kind(const struct vs_carrier_choice *choice);

/* All addresses have been tried by it. */
void vs_carrier_choice_next(struct vs_carrier_choice *choice);

enum vs_carrier_loss {
	VS_LOSS_SILENT, /* nothing comes back any more */
	VS_LOSS_BROKEN, /* just its connection has ended */
	VS_LOSS_MIRAGE, /* nothing has ever come back but a handshake: something on the way lets only those through */
};

/* The link does not work any more: the passes start anew, once for each loss; after BROKEN with the carrier that it had,
 * after MIRAGE with the next worse one. */
void vs_carrier_choice_lost(struct vs_carrier_choice *choice, enum vs_carrier_loss loss, uint64_t now);

/* A link works by this carrier. */
void vs_carrier_choice_connected(struct vs_carrier_choice *choice, enum vs_carrier_kind kind, uint64_t now);

/* --- With one ----------------------------------------------------------------------------------------------------- */

/* When to call vs_carrier_choice_better() next; VS_NEVER: there is no better one. */
uint64_t vs_carrier_choice_deadline(const struct vs_carrier_choice *choice);

/* The next better carrier to try. False: that was all, and the next search has its time. */
bool vs_carrier_choice_better(struct vs_carrier_choice *choice, uint64_t now, enum vs_carrier_kind *kind);

/* A better one was found, but does not work after all: the link goes on as it was. */
void vs_carrier_choice_refuted(struct vs_carrier_choice *choice, uint64_t now);

#endif
