/* Pace: how soon a device whose posture comes and goes gains access again. What it loses never
 * waits; but each gain makes its neighbours' filters follow, so a device that flips all the time
 * would keep them busy. Pure: time is passed in. */
#pragma once

#include <stdint.h>

enum {
	PACE_FREE = 5, /* gains within PACE_WINDOW_MS that do not wait */
	PACE_WINDOW_MS = 60000,
	PACE_FIRST_MS = 2000, /* the next one's wait; twice as long each time, until nothing is
				 gained for a window */
	PACE_MOST_MS = 30000,
};

struct pace { /* all zero: nothing was gained yet */
	int64_t gained_ms[PACE_FREE];
	unsigned next;	  /* place of the oldest */
	unsigned waits;	  /* since the last quiet window */
	int64_t until_ms; /* 0: none waits */
};

/* The device would gain something now (now_ms: the boot clock, more than 0). 0: it may, and that is
 * counted. Else when to ask again; asking sooner changes nothing, a loss meanwhile neither. */
int64_t pace_gain(struct pace *p, int64_t now_ms);
