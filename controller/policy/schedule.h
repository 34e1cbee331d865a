/* When a rule holds: windows of local time, and the next instant at which that changes. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/policy/tz.h"

enum { WINDOW_EVERY_DAY = 0x7f, WINDOW_DAY_MIN = 1440 };

/* All instants whose local time lies in it. The local time of an instant is what the zone's clocks
 * show then: in an hour that is repeated a window holds twice, in one that is skipped not at all.
 */
struct window {
	/* Local dates, days since 1970-01-01, both inclusive; INT32_MIN, INT32_MAX: open. They and
	 * the days are those on which the window's hours begin. */
	int32_t first_day, last_day;
	uint8_t days; /* bit 0 Monday .. bit 6 Sunday */
	/* Minutes of the local day, start inclusive, end exclusive; 0, 1440: the whole day;
	 * end <= start: past midnight into the next day. */
	uint16_t start_min, end_min;
	const struct tz *zone; /* NULL: UTC */
	const char *text;      /* normal form: "Mon-Fri 07:00-20:00 Europe/Berlin" */
	uint8_t says;	       /* bits WINDOW_SAYS_: which parts were written */
};
enum { WINDOW_SAYS_DATES = 1, WINDOW_SAYS_DAYS = 2, WINDOW_SAYS_HOURS = 4, WINDOW_SAYS_ZONE = 8 };

/* Holds in some of in (always when there is none), in none of except, and before until_s. */
struct schedule {
	const struct window *in;
	size_t n_in;
	const struct window *except;
	size_t n_except;
	int64_t until_s; /* Unix seconds; INT64_MAX: no end */
};

bool window_holds(const struct window *w, int64_t now_s);
bool schedule_holds(const struct schedule *s, int64_t now_s);
/* The first instant > now_s at which schedule_holds is not what it is now; INT64_MAX: never. Exact.
 * Quick when it is near; for a never that follows from the clock changes of many years, some
 * thousand steps with a look at each window. */
int64_t schedule_next(const struct schedule *s, int64_t now_s);
/* The same when that is before limit_s (> now_s), else limit_s unless it is known that it never
 * changes: to ask again then, instead of searching many years now. */
int64_t schedule_next_before(const struct schedule *s, int64_t now_s, int64_t limit_s);

/* --- parts, for who walks several windows at once --- */

/* What a window says of an instant follows from the local date, the day of the week and the minute.
 * Asleep it says no. Steady its dates have no say: as long as its zone's offset stays, all weeks
 * are alike. Unsteady they have; that lasts a few days. */
enum window_phase { WINDOW_ASLEEP, WINDOW_UNSTEADY, WINDOW_STEADY };
enum { SCHEDULE_WEEK_S = 7 * 86400 };
enum window_phase window_phase(const struct window *w, int64_t t_s);
/* The first instant > t_s from which its phase or its zone's offset may be another. */
int64_t window_break(const struct window *w, int64_t t_s);
/* The first local midnight, start or end > t_s, should the offset stay. INT64_MAX: asleep. */
int64_t window_edge(const struct window *w, int64_t t_s);
/* The first instant >= t_s from which on only yearly rules are left. */
int64_t window_settled(const struct window *w, int64_t t_s);
/* Windows that are all settled at settled_s have by this instant said together whatever they will
 * ever say together. */
int64_t schedule_horizon(int64_t settled_s);

/* --- text --- */

struct window_env {
	const struct tz *zone; /* where none is written; NULL: UTC */
	/* The zone of this name, which outlives the windows. NULL: there is none, or, with
	 * *ret_reason set, it is there and that is why it cannot be used ("cannot be read"). */
	const struct tz *(*find)(void *arg, const char *name, const char **ret_reason);
	void *arg;
	bool zone_alone; /* is read, as always: older versions let it in */
};

enum window_problem_kind {
	WINDOW_PROBLEM_FORM,
	WINDOW_PROBLEM_ZONE /* no such zone: the nearest name may help more than the hint */
};

/* What is wrong with a text: message follows the offending part ("\"Fry\" is not a day"). */
struct window_problem {
	enum window_problem_kind kind;
	size_t at, n; /* that part, in bytes; n = 0: the whole text is empty */
	char message[120];
	char hint[160];
};

/* [DATE | DATE..DATE | DATE.. | ..DATE] [DAYS] [HH:MM-HH:MM] [ZONE], at least one before the zone:
 * "2026-12-24..2027-01-02 Mon-Fri+Sun 22:00-06:00 Europe/Berlin". DAYS: days and ranges of days
 * (Sat-Mon too) with spaces or '+' between them. -ZT_EFORM with *ret_problem set; -ENOMEM. */
int window_parse(const char *s, size_t n, const struct window_env *env, struct arena *a,
		 struct window *ret, struct window_problem *ret_problem) ZT_MUST_USE;
/* The end of a rule: "2027-01-31" holds through that local day, "2027-01-31 18:00" to that local
 * time, "2027-01-31T18:00:00Z" (or "+01:00") is RFC 3339. A local time that is shown twice is the
 * first; one that is skipped, the first instant after. -ZT_EFORM: of another form; -ERANGE: no such
 * day or time, or not in 1970..2199. */
int until_parse(const char *s, size_t n, const struct tz *zone, int64_t *ret_s) ZT_MUST_USE;
