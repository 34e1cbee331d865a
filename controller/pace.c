/* Pace of gains; see pace.h. */
#include "controller/pace.h"

#include <stdbool.h>

static int64_t take(struct pace *p, int64_t now_ms)
{
	p->gained_ms[p->next] = now_ms;
	p->next = (p->next + 1) % PACE_FREE;
	p->until_ms = 0;
	return 0;
}

static bool is_recent(int64_t at_ms, int64_t now_ms)
{
	return at_ms && now_ms - at_ms < PACE_WINDOW_MS;
}

static int64_t wait_ms(unsigned waits)
{
	int64_t ms = PACE_FIRST_MS;

	for (; waits && ms < PACE_MOST_MS; waits--)
		ms *= 2;
	return ms < PACE_MOST_MS ? ms : PACE_MOST_MS;
}

int64_t pace_gain(struct pace *p, int64_t now_ms)
{
	int64_t newest_ms = p->gained_ms[(p->next + PACE_FREE - 1) % PACE_FREE];

	if (now_ms < p->until_ms)
		return p->until_ms;
	if (!is_recent(newest_ms, now_ms))
		p->waits = 0;
	if (p->until_ms || (!p->waits && !is_recent(p->gained_ms[p->next], now_ms)))
		return take(p, now_ms);
	p->until_ms = now_ms + wait_ms(p->waits++);
	return p->until_ms;
}
