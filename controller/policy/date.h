/* Dates of the Gregorian calendar as days since 1970-01-01. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zt/err.h"

enum { DATE_DAY_S = 86400, DATE_TEXT_LEN = 10, DATE_YEAR_MIN = 1970, DATE_YEAR_MAX = 2199 };

struct date {
	int64_t year;
	int month; /* 1..12 */
	int day;   /* 1..31 */
};

/* Days since 1970-01-01 of a date that exists; years before 1 too. */
int64_t date_to_days(int64_t year, int month, int day);
struct date date_of_days(int64_t days);
bool date_year_is_leap(int64_t year);
int date_month_len(int64_t year, int month);
int date_weekday(int64_t days);	   /* 0 Monday .. 6 Sunday */
int64_t date_of_time(int64_t t_s); /* the day that seconds since 1970-01-01 00:00 fall on */
int32_t date_second(int64_t t_s);  /* and the second of that day */
/* All n bytes are "2026-12-24", a day that exists, in 1970..2199. -ZT_EFORM: of another form;
 * -ERANGE: no such day. */
int date_parse(const char *s, size_t n, int32_t *ret_days) ZT_MUST_USE;
/* The same form with a NUL behind it. days: of the years 0..9999. */
void date_print(int32_t days, char out[static DATE_TEXT_LEN + 1]);
