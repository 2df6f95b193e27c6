#include "link/peertable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

int vs_peertable_init(struct vs_peertable *table, size_t max)
{
	*table = (struct vs_peertable){ .max = max };
	table->peers = calloc(max ? max : 1, sizeof(struct vs_peer *));
	return table->peers ? 0 : -ENOMEM;
}

static void free_peer(struct vs_peer *peer)
{
	free(peer->stamps);
	vs_wipe(peer, sizeof(*peer));
	free(peer);
}

void vs_peertable_fini(struct vs_peertable *table)
{
	for (size_t i = 0; i < table->len; i++)
		free_peer(table->peers[i]);
	free(table->peers);
	*table = (struct vs_peertable){ 0 };
}

/* Index of the first peer whose key is not less. */
static size_t lower_bound(const struct vs_peertable *table, const uint8_t public_key[VS_KEY_SIZE])
{
	size_t low = 0, high = table->len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (memcmp(table->peers[middle]->public_key, public_key, VS_KEY_SIZE) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct vs_peertable *table, size_t at, const uint8_t public_key[VS_KEY_SIZE])
{
	return at < table->len && !memcmp(table->peers[at]->public_key, public_key, VS_KEY_SIZE);
}

struct vs_peer *vs_peertable_lookup(const struct vs_peertable *table, const uint8_t public_key[VS_KEY_SIZE])
{
	size_t at = lower_bound(table, public_key);

	return is_at(table, at, public_key) ? table->peers[at] : NULL;
}

/* Makes room for the timestamps of `links_max` links; never gives any up. */
static int grow_stamps(struct vs_peer *peer, unsigned links_max)
{
	uint32_t want = VS_MIN(links_max, (unsigned)VS_PEER_STAMPS_MAX / 2) * 2;

	want = VS_MAX(want, (uint32_t)VS_PEER_STAMPS_MIN);
	if (want <= peer->stamps_max)
		return 0;
	struct vs_peer_stamp *stamps = reallocarray(peer->stamps, want, sizeof(*stamps));
	if (!stamps)
		return -ENOMEM;
	peer->stamps = stamps;
	peer->stamps_max = want;
	return 0;
}

static struct vs_peer *insert(struct vs_peertable *table, size_t at, const uint8_t public_key[VS_KEY_SIZE],
			      unsigned links_max)
{
	struct vs_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	if (grow_stamps(peer, links_max)) {
		free(peer);
		return NULL;
	}
	memcpy(peer->public_key, public_key, VS_KEY_SIZE);
	peer->floor_usec = table->floor_usec;
	memmove(&table->peers[at + 1], &table->peers[at], (table->len - at) * sizeof(struct vs_peer *));
	table->peers[at] = peer;
	table->len++;
	return peer;
}

int vs_peertable_set(struct vs_peertable *table, const uint8_t public_key[VS_KEY_SIZE],
		     const uint8_t psk[VS_KEY_SIZE], uintptr_t user, unsigned links_max)
{
	size_t at = lower_bound(table, public_key);
	struct vs_peer *peer;

	if (is_at(table, at, public_key)) {
		peer = table->peers[at];
		if (grow_stamps(peer, links_max))
			return -ENOMEM;
	} else {
		if (table->len == table->max)
			return -ENOSPC;
		peer = insert(table, at, public_key, links_max);
		if (!peer)
			return -ENOMEM;
	}
	memcpy(peer->psk, psk, VS_KEY_SIZE);
	peer->user = user;
	return 0;
}

static uint64_t newest_stamp(const struct vs_peer *peer)
{
	uint64_t newest = peer->floor_usec;

	for (uint32_t i = 0; i < peer->stamps_len; i++)
		newest = VS_MAX(newest, peer->stamps[i].timestamp_usec);
	return newest;
}

bool vs_peertable_remove(struct vs_peertable *table, const uint8_t public_key[VS_KEY_SIZE])
{
	size_t at = lower_bound(table, public_key);

	if (!is_at(table, at, public_key))
		return false;
	table->floor_usec = VS_MAX(table->floor_usec, newest_stamp(table->peers[at]));
	free_peer(table->peers[at]);
	table->len--;
	memmove(&table->peers[at], &table->peers[at + 1], (table->len - at) * sizeof(struct vs_peer *));
	return true;
}

/* --- Timestamps --------------------------------------------------------------------------------------------------- */

static struct vs_peer_stamp *find_stamp(const struct vs_peer *peer, const uint8_t link_id[VS_LINK_ID_SIZE])
{
	for (uint32_t i = 0; i < peer->stamps_len; i++) {
		if (!memcmp(peer->stamps[i].link_id, link_id, VS_LINK_ID_SIZE))
			return &peer->stamps[i];
	}
	return NULL;
}

bool vs_peer_stamp_is_new(const struct vs_peer *peer, const uint8_t link_id[VS_LINK_ID_SIZE], uint64_t timestamp_usec)
{
	const struct vs_peer_stamp *stamp = find_stamp(peer, link_id);

	return timestamp_usec > (stamp ? stamp->timestamp_usec : peer->floor_usec);
}

/* A place for one more link: an unused one, or that of the link unused longest. */
static struct vs_peer_stamp *take_stamp(struct vs_peer *peer)
{
	if (peer->stamps_len < peer->stamps_max)
		return &peer->stamps[peer->stamps_len++];

	struct vs_peer_stamp *oldest = &peer->stamps[0];
	for (uint32_t i = 1; i < peer->stamps_len; i++) {
		if (peer->stamps[i].used < oldest->used)
			oldest = &peer->stamps[i];
	}
	peer->floor_usec = VS_MAX(peer->floor_usec, oldest->timestamp_usec);
	return oldest;
}

void vs_peer_stamp_record(struct vs_peer *peer, const uint8_t link_id[VS_LINK_ID_SIZE], uint64_t timestamp_usec)
{
	struct vs_peer_stamp *stamp = find_stamp(peer, link_id);

	if (!stamp) {
		stamp = take_stamp(peer);
		memcpy(stamp->link_id, link_id, VS_LINK_ID_SIZE);
		stamp->timestamp_usec = 0;
	}
	stamp->timestamp_usec = VS_MAX(stamp->timestamp_usec, timestamp_usec);
	stamp->used = ++peer->uses;
}
