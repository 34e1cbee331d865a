/* The words that windows are written with, each by itself: what it says, and what may have been
 * meant. For schedule_*.c only. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct word { /* of a text; no NUL behind it */
	const char *p;
	size_t n;
};

/* With a NUL. False: it does not fit, or has a NUL in it. */
bool word_copy(struct word word, char *out, size_t size);
/* The text up to one of the stops or its end; *rest goes on behind that. */
struct word word_cut(struct word *rest, const char *stops);

/* "Monday" of 0 .. "Sunday" of 6. */
const char *day_name(int day);
/* 0 Monday .. 6 Sunday, by its name or the first three letters of it, or -1. */
int word_day(struct word word);
/* Some piece of it is a day: "Mon-Fry" is meant as days. */
bool word_has_day(struct word word);
/* The name of the day that may have been meant, by a slip or a longer form ("Thurs"); NULL: no day.
 */
const char *word_day_meant(struct word word);
/* What to write for a word that other schedulers know ("weekdays"); NULL: it is none. */
const char *word_hint(struct word word);

/* The number that s begins with; -1: it does not begin with two digits. */
int two_digits(const char *s);
/* "HH:MM" at s, 00:00 to 24:00, in minutes; -ZT_EFORM, -ERANGE. */
int hhmm_minutes(const char *s);
/* "9am-5pm" -> "09:00-17:00": how hours are spoken. False: these are none. */
bool word_hours_meant(struct word word, char out[static 12]);
