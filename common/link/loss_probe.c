#include "link/loss_probe.h"

#include "base/compiler.h"

#define ROUND_DATAGRAMS_MIN 100
#define LOW_DATAGRAMS_MIN 40
#define PATH_DATAGRAMS 400 /* older low phases fade once this many have been seen */
#define PATH_LOSS_MIN 655  /* 1 %: less is noise */

static uint32_t share_q16(const struct vs_loss_count *c)
{
	uint64_t sent = c->delivered + c->lost;
	return sent ? (uint32_t)(c->lost * 65536 / sent) : 0;
}

static bool is_low(const struct vs_loss_probe *p, uint64_t sent_usec)
{
	return p->open && sent_usec >= p->low_begin_usec && sent_usec < p->low_end_usec;
}

void vs_loss_probe_delivered(struct vs_loss_probe *p, uint32_t bytes, uint64_t sent_usec)
{
	p->round.delivered += bytes;
	if (is_low(p, sent_usec))
		p->low.delivered += bytes;
}

void vs_loss_probe_lost(struct vs_loss_probe *p, uint32_t bytes, uint64_t sent_usec)
{
	p->round.lost += bytes;
	if (is_low(p, sent_usec))
		p->low.lost += bytes;
}

void vs_loss_probe_unlost(struct vs_loss_probe *p, uint32_t bytes)
{
	/* Which phase it was sent in is no longer known; the round decides about cuts, so it is the one to be right. */
	p->round.lost -= VS_MIN(p->round.lost, bytes);
}

void vs_loss_probe_low_begin(struct vs_loss_probe *p, uint64_t now)
{
	p->low = (struct vs_loss_count){ 0 };
	p->low_begin_usec = now;
	p->low_end_usec = UINT64_MAX;
	p->open = true;
}

void vs_loss_probe_low_end(struct vs_loss_probe *p, uint64_t now)
{
	if (p->low_end_usec == UINT64_MAX)
		p->low_end_usec = now;
}

static void fold(struct vs_loss_probe *p, uint32_t datagram)
{
	uint64_t sent;

	p->path.delivered += p->low.delivered;
	p->path.lost += p->low.lost;
	sent = p->path.delivered + p->path.lost;
	if (sent < LOW_DATAGRAMS_MIN * (uint64_t)datagram)
		return;
	uint32_t share = share_q16(&p->path);
	p->path_loss_q16 = share < PATH_LOSS_MIN ? 0 : VS_MIN(share, VS_LOSS_PATH_MAX);
	p->known = true;
	while (sent > PATH_DATAGRAMS * (uint64_t)datagram) {
		p->path.delivered /= 2;
		p->path.lost /= 2;
		sent /= 2;
	}
}

void vs_loss_probe_settle(struct vs_loss_probe *p, uint64_t now, uint64_t settle_usec, uint32_t datagram, bool delayed)
{
	if (!p->open || p->low_end_usec > now || now - p->low_end_usec < settle_usec)
		return;
	p->open = false;
	if (delayed) {
		p->path.lost /= 2;
		p->path_loss_q16 /= 2;
		p->known = true;
	} else {
		fold(p, datagram);
	}
}

uint32_t vs_loss_probe_round_end(struct vs_loss_probe *p, uint32_t datagram)
{
	if (p->round.delivered + p->round.lost < ROUND_DATAGRAMS_MIN * (uint64_t)datagram)
		return 0;
	uint32_t share = share_q16(&p->round);

	p->round = (struct vs_loss_count){ 0 };
	if (share <= p->path_loss_q16)
		return 0;
	return (uint32_t)((uint64_t)(share - p->path_loss_q16) * 65536 / (65536 - p->path_loss_q16));
}

void vs_loss_probe_forget(struct vs_loss_probe *p)
{
	*p = (struct vs_loss_probe){ 0 };
}

uint64_t vs_loss_probe_compensate(const struct vs_loss_probe *p, uint64_t x)
{
	return x * 65536 / (65536 - p->path_loss_q16);
}
