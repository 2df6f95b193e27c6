#include "vswitchc/carrier_choice.h"

#include "base/compiler.h"

#define BIT(kind) (1u << (kind))
#define ALL (BIT(VS_CARRIER_KINDS) - 1)

/* The order of passes, the best first. A datagram that gets lost must not cost the best carrier its chance. */
static const enum vs_carrier_kind order[] = { VS_CARRIER_UDP, VS_CARRIER_UDP, VS_CARRIER_FAKETCP, VS_CARRIER_TCP };

static unsigned usable(const struct vs_carrier_choice *choice)
{
	return choice->wanted & choice->allowed;
}

/* The first step from `step` on that is usable; VS_ARRAY_SIZE(order): none. */
static unsigned usable_from(const struct vs_carrier_choice *choice, unsigned step)
{
	while (step < VS_ARRAY_SIZE(order) && !(usable(choice) & BIT(order[step])))
		step++;
	return step;
}

static void settle(struct vs_carrier_choice *choice)
{
	choice->step = usable_from(choice, choice->step);
	if (choice->step == VS_ARRAY_SIZE(order))
		choice->step = usable_from(choice, 0);
	if (!(usable(choice) & BIT(choice->current)))
		choice->again = false;
}

static bool has_better(const struct vs_carrier_choice *choice)
{
	return usable(choice) & (BIT(choice->current) - 1);
}

void vs_carrier_choice_init(struct vs_carrier_choice *choice, unsigned wanted)
{
	*choice = (struct vs_carrier_choice){
		.wanted = wanted & ALL,
		.allowed = ALL,
		.interval_usec = VS_CHOICE_BETTER_MIN,
		.search_usec = VS_NEVER,
	};
	settle(choice);
}

bool vs_carrier_choice_allow(struct vs_carrier_choice *choice, unsigned allowed)
{
	bool any = choice->wanted & allowed;
	choice->allowed = any ? allowed & ALL : ALL;
	settle(choice);
	return any;
}

bool vs_carrier_choice_has(const struct vs_carrier_choice *choice, enum vs_carrier_kind kind)
{
	return usable(choice) & BIT(kind);
}

bool vs_carrier_choice_give_up(struct vs_carrier_choice *choice, enum vs_carrier_kind kind)
{
	if (!(choice->wanted & ~BIT(kind)))
		return false;
	choice->wanted &= ~BIT(kind);
	if (!usable(choice)) {
		choice->allowed = ALL;
		choice->step = 0;
	}
	settle(choice);
	return true;
}

static void double_interval(struct vs_carrier_choice *choice)
{
	choice->interval_usec = VS_MIN(2 * choice->interval_usec, (uint64_t)VS_CHOICE_BETTER_MAX);
}

/* --- Without a link that works --- */

enum vs_carrier_kind vs_carrier_choice_kind(const struct vs_carrier_choice *choice)
{
	return choice->again ? choice->current : order[choice->step];
}

void vs_carrier_choice_next(struct vs_carrier_choice *choice)
{
	if (choice->again)
		choice->again = false;
	else
		choice->step++;
	settle(choice);
}

/* The first step beyond all of a carrier. */
static unsigned step_after(enum vs_carrier_kind kind)
{
	unsigned step = VS_ARRAY_SIZE(order);
	while (step > 0 && order[step - 1] != kind)
		step--;
	return step;
}

void vs_carrier_choice_lost(struct vs_carrier_choice *choice, enum vs_carrier_loss loss, uint64_t now)
{
	bool proven = vs_time_since(now, choice->since_usec) >= VS_CHOICE_PROVEN;
	/* One to which the link had returned, and that has not lasted, is not believed so soon again. */
	if (choice->connected && choice->returned && !proven)
		double_interval(choice);
	else if (choice->connected && proven)
		choice->interval_usec = VS_CHOICE_BETTER_MIN;
	choice->again = choice->connected && loss == VS_LOSS_BROKEN;
	choice->step = choice->connected && loss == VS_LOSS_MIRAGE ? step_after(choice->current) : 0;
	choice->connected = choice->returned = choice->searching = false;
	choice->search_usec = VS_NEVER;
	settle(choice);
	if (choice->current == order[choice->step])
		choice->again = false;
}

void vs_carrier_choice_connected(struct vs_carrier_choice *choice, enum vs_carrier_kind kind, uint64_t now)
{
	bool same = choice->connected && choice->current == kind;
	if (!same) {
		choice->returned = choice->connected && kind < choice->current;
		choice->since_usec = now;
		choice->searching = false;
		choice->search_usec = VS_NEVER;
	}
	choice->connected = true;
	choice->current = kind;
	choice->again = false;
	if (!has_better(choice))
		choice->search_usec = VS_NEVER;
	else if (choice->search_usec == VS_NEVER)
		choice->search_usec = now + choice->interval_usec;
}

/* --- With one --- */

uint64_t vs_carrier_choice_deadline(const struct vs_carrier_choice *choice)
{
	return choice->search_usec;
}

bool vs_carrier_choice_better(struct vs_carrier_choice *choice, uint64_t now, enum vs_carrier_kind *kind)
{
	unsigned step = usable_from(choice, choice->searching ? choice->search_step : 0);
	if (step < VS_ARRAY_SIZE(order) && order[step] < choice->current) {
		*kind = order[step];
		choice->searching = true;
		choice->search_step = step + 1;
		return true;
	}
	vs_carrier_choice_refuted(choice, now);
	return false;
}

void vs_carrier_choice_refuted(struct vs_carrier_choice *choice, uint64_t now)
{
	choice->searching = false;
	double_interval(choice);
	choice->search_usec = has_better(choice) ? now + choice->interval_usec : VS_NEVER;
}
