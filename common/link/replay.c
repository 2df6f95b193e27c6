#include "link/replay.h"

#include <assert.h>
#include <string.h>

#include "link/wire.h"

/* How it works: bit `counter % 64` of word `counter / 64 % VS_REPLAY_WORDS` says that the counter was seen. When the
 * window moves, the words that it enters are cleared; the words of counters below the window keep stale bits, which
 * nobody reads. */

static_assert(VS_REPLAY_WINDOW % 64 == 0, "the window is made of whole words");

static uint64_t *word_of(struct vs_replay *r, uint64_t counter)
{
	return &r->seen[counter / 64 % VS_REPLAY_WORDS];
}

static uint64_t bit_of(uint64_t counter)
{
	return UINT64_C(1) << counter % 64;
}

/* Clears the words after that of the highest counter, up to that of the new one. */
static void advance(struct vs_replay *r, uint64_t counter)
{
	uint64_t from = r->next ? (r->next - 1) / 64 + 1 : 0;
	uint64_t to = counter / 64;

	if (to >= from + VS_REPLAY_WORDS)
		memset(r->seen, 0, sizeof(r->seen));
	else
		for (uint64_t word = from; word <= to; word++)
			r->seen[word % VS_REPLAY_WORDS] = 0;
	r->next = counter + 1;
}

void vs_replay_init(struct vs_replay *r)
{
	memset(r, 0, sizeof(*r));
}

bool vs_replay_check(const struct vs_replay *r, uint64_t counter)
{
	if (counter >= VS_REJECT_AFTER_DATAGRAMS)
		return false;
	if (counter >= r->next)
		return true;
	if (r->next - counter > VS_REPLAY_WINDOW)
		return false;
	return !(r->seen[counter / 64 % VS_REPLAY_WORDS] & bit_of(counter));
}

void vs_replay_commit(struct vs_replay *r, uint64_t counter)
{
	assert(vs_replay_check(r, counter));
	if (counter >= r->next)
		advance(r, counter);
	*word_of(r, counter) |= bit_of(counter);
}
