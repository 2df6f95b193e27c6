/* Forward error correction. One sender and one receiver on a line that loses, delays and repeats as the input says:
 * what is delivered is what was sent, and each datum once. And a receiver that gets foreign bytes for shards. */
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "fuzz/check.h"
#include "link/fec_rx.h"
#include "link/fec_tx.h"

#define DATAGRAM_MAX 1472
#define NUMBERS 4096u
#define FLYING_MAX 64u

struct shard {
	uint8_t text[DATAGRAM_MAX];
	size_t len;
};

struct line {
	struct vs_fec_tx tx;
	struct vs_fec_rx rx;
	struct vs_drops drops;
	uint64_t now;
	struct shard flying[FLYING_MAX];
	unsigned flying_n;
	uint16_t lens[NUMBERS];
	bool delivered[NUMBERS];
	uint32_t sent;
};

static struct line line;

/* --- Data: their number, and bytes that follow from it --- */

static uint8_t byte_of(uint32_t number, size_t i)
{
	return (uint8_t)(number * 167 + i * 13 + (i >> 3));
}

static void deliver(struct line *l, const uint8_t *text, size_t len)
{
	CHECK(len >= 4);
	uint32_t number = vs_get_be32(text);
	CHECK(number < l->sent && len == l->lens[number]);
	for (size_t i = 4; i < len; i++)
		CHECK(text[i] == byte_of(number, i));
	CHECK(!l->delivered[number]);
	l->delivered[number] = true;
}

static struct shard *new_shard(struct line *l)
{
	if (l->flying_n == FLYING_MAX)
		memmove(l->flying, l->flying + 1, --l->flying_n * sizeof(l->flying[0]));
	return &l->flying[l->flying_n++];
}

static void send_datum(struct line *l, size_t len)
{
	uint8_t text[4 + 6 * UINT8_MAX]; /* some are too large */
	struct vs_parts parts;
	uint32_t seq;
	if (l->sent == NUMBERS)
		return;
	vs_put_be32(text, l->sent);
	for (size_t i = 4; i < len; i++)
		text[i] = byte_of(l->sent, i);
	vs_parts_init(&parts, DATAGRAM_MAX);
	vs_parts_view(&parts, text, len);
	if (!vs_fec_tx_data(&l->tx, &parts, l->now, &seq)) {
		CHECK(!l->tx.share_q16 || len + VS_SEAL_OVERHEAD + VS_FEC_RESERVE > DATAGRAM_MAX);
		return;
	}
	struct shard *s = new_shard(l);
	s->text[0] = VS_KIND_FEC_DATA;
	vs_put_be32(s->text + 1, seq);
	memcpy(s->text + VS_FEC_DATA_HEADER, text, len);
	s->len = VS_FEC_DATA_HEADER + len;
	l->lens[l->sent++] = (uint16_t)len;
}

static void send_parities(struct line *l)
{
	for (unsigned i = 0; vs_fec_tx_deadline(&l->tx) <= l->now; i++) {
		struct vs_parts parts;
		CHECK(i < 16);
		vs_parts_init(&parts, DATAGRAM_MAX);
		if (!vs_fec_tx_output(&l->tx, l->now, &parts))
			continue;
		CHECK(parts.len + VS_SEAL_OVERHEAD <= DATAGRAM_MAX);
		struct shard *s = new_shard(l);
		s->len = vs_parts_gather(s->text, parts.iov, parts.n);
	}
}

static void arrive(struct line *l, unsigned i, bool again)
{
	const struct shard *s = &l->flying[i];
	const uint8_t *text;
	size_t len;
	if (s->text[0] == VS_KIND_FEC_DATA) {
		text = vs_fec_rx_data(&l->rx, s->text + 1, s->len - 1, &len);
		if (text)
			deliver(l, text, len);
	} else {
		vs_fec_rx_parity(&l->rx, s->text + 1, s->len - 1);
	}
	while ((text = vs_fec_rx_take(&l->rx, &len)))
		deliver(l, text, len);
	if (!again)
		l->flying[i] = l->flying[--l->flying_n];
}

/* --- Foreign bytes --- */

static void input_foreign(struct vs_fec_rx *rx, struct vs_view *in)
{
	uint8_t kind = vs_view_u8(in);
	size_t len = VS_MIN((size_t)vs_view_u8(in), in->len), out_len = 0;
	const uint8_t *body = vs_view_pull(in, len), *text = NULL;
	uint64_t recovered = rx->recovered;
	unsigned taken = 0;
	if (!body)
		return;
	if (kind & 1)
		text = vs_fec_rx_data(rx, body, len, &out_len);
	else
		vs_fec_rx_parity(rx, body, len);
	CHECK(!text || (out_len > 0 && out_len < len));
	while ((text = vs_fec_rx_take(rx, &out_len))) {
		CHECK(out_len > 0 && out_len <= DATAGRAM_MAX);
		taken++;
	}
	CHECK(taken == rx->recovered - recovered && taken <= VS_FEC_EQUATIONS_MAX + 1);
}

/* --- Operations --- */

static void operate(struct line *l, struct vs_fec_rx *foreign, struct vs_view *in)
{
	uint8_t operation = vs_view_u8(in), value = vs_view_u8(in);
	switch (operation % 8) {
	case 0:
	case 1:
		send_datum(l, 4 + value % 64);
		break;
	case 2:
		send_datum(l, 4 + value * 6);
		break;
	case 3:
	case 4:
		if (l->flying_n)
			arrive(l, value % l->flying_n, operation & 8);
		break;
	case 5: /* the oldest, or its loss */
		if (l->flying_n && value & 1)
			arrive(l, 0, false);
		else if (l->flying_n)
			l->flying[0] = l->flying[--l->flying_n];
		break;
	case 6:
		l->now += (uint64_t)value * value;
		break;
	default:
		if (value < 16)
			vs_fec_rx_release(&l->rx);
		else if (value < 32)
			vs_fec_tx_release(&l->tx);
		else if (value < 128)
			vs_fec_tx_set_share(&l->tx, vs_fec_share(1 + value % 8, value / 16 % 4), vs_fec_window(value % 65));
		else
			input_foreign(foreign, in);
	}
	send_parities(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vs_view in = vs_view_of(data, size);
	struct vs_drops drops = { .count = { 0 } };
	struct vs_fec_rx foreign;
	memset(&line, 0, offsetof(struct line, flying));
	memset(line.delivered, 0, sizeof(line.delivered));
	line.flying_n = line.sent = 0;
	line.now = VS_SEC;
	vs_fec_tx_init(&line.tx);
	vs_fec_tx_set_datagram_max(&line.tx, DATAGRAM_MAX);
	vs_fec_tx_set_rtt(&line.tx, 20 * VS_MSEC);
	line.tx.next = vs_view_be32(&in);
	vs_fec_tx_set_share(&line.tx, vs_fec_share(2, 1), vs_fec_window(2));
	vs_fec_rx_init(&line.rx, &line.drops);
	vs_fec_rx_set_datagram_max(&line.rx, DATAGRAM_MAX);
	vs_fec_rx_init(&foreign, &drops);
	vs_fec_rx_set_datagram_max(&foreign, DATAGRAM_MAX);
	while (in.len > 0)
		operate(&line, &foreign, &in);
	CHECK(line.drops.count[VS_DROP_BAD_FEC] == 0);
	vs_fec_tx_release(&line.tx);
	vs_fec_rx_release(&line.rx);
	vs_fec_rx_release(&foreign);
	return 0;
}
