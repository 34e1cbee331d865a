/* Dates. The calendar repeats every 400 years, and a year that begins in March has its leap day at
 * its end; with these two, days and dates become each other without a loop. */
#include "controller/policy/date.h"

#include <errno.h>
#include <stdio.h>

enum {
	ERA_YEARS = 400,
	ERA_DAYS = 146097,
	EPOCH_DAYS = 719468, /* from 0000-03-01 to 1970-01-01 */
	CENTURY_DAYS = 36524,
	FOUR_YEARS_DAYS = 1461,
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

int64_t date_to_days(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year, era = floor_div(y, ERA_YEARS);
	int64_t of_era = y - era * ERA_YEARS;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS;
}

struct date date_of_days(int64_t days)
{
	int64_t z = days + EPOCH_DAYS, era = floor_div(z, ERA_DAYS), of_era = z - era * ERA_DAYS;
	int64_t year = (of_era - of_era / (FOUR_YEARS_DAYS - 1) + of_era / CENTURY_DAYS -
			of_era / (ERA_DAYS - 1)) /
		       365;
	int of_year = (int)(of_era - (365 * year + year / 4 - year / 100));
	int month = (5 * of_year + 2) / 153;
	struct date d = {
		.month = month < 10 ? month + 3 : month - 9,
		.day = of_year - (153 * month + 2) / 5 + 1,
	};

	d.year = year + era * ERA_YEARS + (d.month <= 2);
	return d;
}

bool date_year_is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int date_month_len(int64_t year, int month)
{
	static const int lens[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return lens[month - 1] + (month == 2 && date_year_is_leap(year));
}

int date_weekday(int64_t days)
{
	int64_t r = (days % 7 + 3) % 7; /* 1970-01-01 was a Thursday */

	return (int)(r < 0 ? r + 7 : r);
}

int64_t date_of_time(int64_t t_s)
{
	return floor_div(t_s, DATE_DAY_S);
}

int32_t date_second(int64_t t_s)
{
	return (int32_t)(t_s - date_of_time(t_s) * DATE_DAY_S);
}

/* n digits, or -1. */
static int digits(const char *s, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v;
}

int date_parse(const char *s, size_t n, int32_t *ret_days)
{
	int year, month, day;

	if (n != DATE_TEXT_LEN || s[4] != '-' || s[7] != '-')
		return -ZT_EFORM;
	year = digits(s, 4);
	month = digits(s + 5, 2);
	day = digits(s + 8, 2);
	if (year < 0 || month < 0 || day < 0)
		return -ZT_EFORM;
	if (year < DATE_YEAR_MIN || year > DATE_YEAR_MAX || month < 1 || month > 12 || day < 1 ||
	    day > date_month_len(year, month))
		return -ERANGE;
	*ret_days = (int32_t)date_to_days(year, month, day);
	return 0;
}

void date_print(int32_t days, char out[static DATE_TEXT_LEN + 1])
{
	struct date d = date_of_days(days);

	snprintf(out, DATE_TEXT_LEN + 1, "%04u-%02u-%02u", (unsigned)d.year % 10000,
		 (unsigned)d.month % 100, (unsigned)d.day % 100);
}
