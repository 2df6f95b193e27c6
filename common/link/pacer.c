#include "link/pacer.h"

#include "base/compiler.h"

#define UNIT INT64_C(1000000) /* of credit, in one byte */
#define RATE_MAX UINT64_C(1000000000000)
/* Debt is bounded, so that one huge batch under a rate that then falls cannot silence a link for long. */
#define DEBT_MAX_USEC (1 * VS_SEC)

static int64_t idle_credit(const struct vs_pacer *p)
{
	return (int64_t)(p->rate * VS_PACER_IDLE_USEC) + VS_PACER_IDLE_DATAGRAMS * (int64_t)p->datagram * UNIT;
}

static int64_t credit_limit(const struct vs_pacer *p)
{
	if (!p->waiting)
		return idle_credit(p);
	return VS_MAX((int64_t)(p->rate * VS_PACER_LATE_USEC), idle_credit(p));
}

static void refill(struct vs_pacer *p, uint64_t now)
{
	uint64_t elapsed = vs_time_since(now, p->updated_usec);

	if (elapsed == 0)
		return;
	p->updated_usec = now;
	/* Credit that a late sender is still spending is not taken from it between two of its batches. */
	int64_t limit = credit_limit(p);
	if (elapsed < VS_PACER_IDLE_USEC)
		limit = VS_MAX(limit, p->credit);
	/* More than a debt's worth of time fills any bucket; the bound keeps the product in range. */
	p->credit += (int64_t)(p->rate * VS_MIN(elapsed, 2 * DEBT_MAX_USEC));
	p->credit = VS_MIN(p->credit, limit);
}

void vs_pacer_init(struct vs_pacer *p, uint32_t datagram, uint64_t now)
{
	*p = (struct vs_pacer){ .datagram = datagram, .updated_usec = now };
	p->credit = idle_credit(p);
}

void vs_pacer_set_rate(struct vs_pacer *p, uint64_t now, uint64_t rate)
{
	if (rate == p->rate)
		return;
	refill(p, now);
	p->rate = VS_MIN(rate, RATE_MAX);
	/* A debt that was a millisecond at the old rate must not become a second at the new one. */
	p->credit = VS_MAX(p->credit, -(int64_t)(p->rate * DEBT_MAX_USEC));
}

void vs_pacer_set_datagram(struct vs_pacer *p, uint32_t datagram)
{
	p->datagram = datagram;
}

bool vs_pacer_ready(struct vs_pacer *p, uint64_t now)
{
	if (p->rate == 0)
		return true;
	refill(p, now);
	if (p->credit > 0)
		return true;
	p->waiting = true;
	return false;
}

void vs_pacer_sent(struct vs_pacer *p, uint64_t now, uint64_t bytes)
{
	if (p->rate == 0)
		return;
	refill(p, now);
	p->credit -= (int64_t)bytes * UNIT;
	p->credit = VS_MAX(p->credit, -(int64_t)(p->rate * DEBT_MAX_USEC));
	p->waiting = false;
}

uint64_t vs_pacer_deadline(const struct vs_pacer *p)
{
	if (p->rate == 0 || p->credit > 0)
		return p->updated_usec;

	uint64_t missing = (uint64_t)-p->credit + 1;
	uint64_t wait = (missing + p->rate - 1) / p->rate;
	return vs_time_add(p->updated_usec, wait + VS_PACER_BATCH_USEC);
}
