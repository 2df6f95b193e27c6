#include "io/carrier.h"

#include <assert.h>

#include "link/wire.h"

_Static_assert(VS_TX_ARENA >= 2 * VS_DATAGRAM_MAX, "a batch holds datagrams of any size");

uint8_t *vs_tx_batch_reserve(struct vs_tx_batch *batch, size_t len)
{
	assert(len > 0 && len <= VS_DATAGRAM_MAX);
	if (batch->count == VS_TX_DATAGRAMS || len > VS_TX_ARENA - batch->used)
		return NULL;
	return batch->arena + batch->used;
}

void vs_tx_batch_commit(struct vs_tx_batch *batch, size_t len, const struct vs_addr *dst, const struct vs_addr *src,
			uint64_t cookie, unsigned flags)
{
	assert(batch->count < VS_TX_DATAGRAMS && len > 0 && len <= VS_TX_ARENA - batch->used);
	struct vs_tx_datagram *d = &batch->datagrams[batch->count++];
	d->data = batch->arena + batch->used;
	d->len = (uint16_t)len;
	d->flags = (uint8_t)flags;
	d->cookie = cookie;
	d->dst = *dst;
	if (src)
		d->src = *src;
	else
		d->src.sa.sa_family = AF_UNSPEC;
	batch->used += (uint32_t)len;
}

void vs_tx_batch_sent(struct vs_tx_batch *batch)
{
	if (++batch->head == batch->count)
		batch->head = batch->count = batch->used = 0;
}

void vs_tx_batch_result(struct vs_tx_batch *batch, const struct vs_tx_datagram *datagram, int error)
{
	if (batch->results_count < VS_TX_DATAGRAMS)
		batch->results[batch->results_count++] = (struct vs_tx_result){
			.cookie = datagram->cookie,
			.size = datagram->len,
			.error = error,
		};
}

uint8_t *vs_carrier_reserve(struct vs_carrier *carrier, size_t len)
{
	uint8_t *room = vs_tx_batch_reserve(carrier->tx, len);
	if (!room) {
		vs_carrier_flush(carrier);
		room = vs_tx_batch_reserve(carrier->tx, len);
	}
	return room;
}
