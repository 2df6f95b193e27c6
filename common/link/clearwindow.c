#include "link/clearwindow.h"

#include <assert.h>
#include <string.h>

#include "base/compiler.h"

/* Bit `counter % 64` of word `counter / 64 % WORDS`. Words up to that of the highest counter that may come are valid;
 * those that the window enters when it moves are cleared. Words below the window keep stale bits, which nobody reads
 * before the window has gone round and cleared them. */

#define WORDS (VS_CLEARWINDOW_BITS / 64)

static_assert((VS_CLEARWINDOW_BITS & (VS_CLEARWINDOW_BITS - 1)) == 0, "word numbers wrap");
static_assert(VS_REPLAY_WINDOW + VS_CLEAR_AHEAD + 64 <= VS_CLEARWINDOW_BITS, "the window and a word fit");

void vs_clearwindow_init(struct vs_clearwindow *w)
{
	memset(w, 0, sizeof(*w));
}

enum vs_clear_verdict vs_clearwindow_note(struct vs_clearwindow *w, uint64_t counter)
{
	if (!w->next || (counter >= w->next && counter - w->next >= VS_CLEAR_AHEAD))
		return VS_CLEAR_TOO_FAR;
	if (counter < w->next && w->next - counter > VS_REPLAY_WINDOW)
		return VS_CLEAR_SEEN;
	uint64_t *word = &w->seen[counter / 64 % WORDS], bit = UINT64_C(1) << counter % 64;
	if (*word & bit)
		return VS_CLEAR_SEEN;
	*word |= bit;
	return VS_CLEAR_NEW;
}

void vs_clearwindow_sealed(struct vs_clearwindow *w, uint64_t counter)
{
	if (counter < w->next)
		return;
	/* The highest words that may hold something, before and after. */
	uint64_t from = (w->next + VS_CLEAR_AHEAD - 1) / 64, to = (counter + VS_CLEAR_AHEAD) / 64;
	if (to - from >= WORDS)
		memset(w->seen, 0, sizeof(w->seen));
	else
		for (uint64_t i = from + 1; i <= to; i++)
			w->seen[i % WORDS] = 0;
	w->next = counter + 1;
}

uint64_t vs_clearwindow_next(const struct vs_clearwindow *w, uint64_t from, uint64_t end)
{
	while (from < end) {
		uint64_t word = w->seen[from / 64 % WORDS] >> from % 64;
		if (word)
			return VS_MIN(from + (uint64_t)__builtin_ctzll(word), end);
		from = (from / 64 + 1) * 64;
	}
	return end;
}
