/* Numbers, durations and times as text. Written out here because strtoull takes signs and white
 * space, and strftime a locale. */
#include "zt/num.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { DAY_S = 86400 };

static const uint64_t duration_max_s = 100ULL * 365 * DAY_S;

/* From the greatest on, so that printing takes the shortest form. */
static const struct {
	char letter;
	uint64_t s;
} units[] = {{'d', DAY_S}, {'h', 3600}, {'m', 60}, {'s', 1}};

/* n digits; -ERANGE over max, also when the number itself would overflow. */
static int parse_digits(const char *s, size_t n, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	int err = 0;

	if (n == 0)
		return -ZT_EFORM;
	for (size_t i = 0; i < n; i++) {
		uint64_t digit = (uint64_t)(s[i] - '0');

		if (s[i] < '0' || s[i] > '9')
			return -ZT_EFORM;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			err = -ERANGE;
	}
	if (err || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int num_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	int err = parse_digits(s, strlen(s), max, &v);

	if (err)
		return err;
	if (v < min)
		return -ERANGE;
	*ret = v;
	return 0;
}

int num_parse_duration(const char *s, uint64_t *ret_s)
{
	size_t len = strlen(s);
	uint64_t v;
	int err;

	if (len == 0)
		return -ZT_EFORM;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (s[len - 1] != units[i].letter)
			continue;
		err = parse_digits(s, len - 1, duration_max_s / units[i].s, &v);
		if (!err)
			*ret_s = v * units[i].s;
		return err;
	}
	return -ZT_EFORM;
}

void num_print_duration(uint64_t s, char *out, size_t size)
{
	size_t i = 0;

	while (units[i].s > 1 && (s == 0 || s % units[i].s != 0))
		i++;
	snprintf(out, size, "%llu%c", (unsigned long long)(s / units[i].s), units[i].letter);
}

struct date {
	int64_t year;
	unsigned month, day;
};

/* Days since 1970-01-01 to the Gregorian date, in eras of 400 years that begin on 1 March, so that
 * the leap day is the last of its year (H. Hinnant, "chrono-compatible low-level date algorithms").
 */
static struct date date_of_days(int64_t days)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;
	unsigned month = mp < 10 ? mp + 3 : mp - 9;

	return (struct date){
		.year = yoe + era * 400 + (month <= 2),
		.month = month,
		.day = doy - (153 * mp + 2) / 5 + 1,
	};
}

void num_print_time(int64_t s, char *out, size_t size)
{
	const int64_t first = -62167219200, last = 253402300799; /* years 0000 to 9999 */
	struct date date;
	int64_t days;
	unsigned sod;

	/* RFC 3339 knows four digits of year; no true time is outside. */
	if (s < first)
		s = first;
	if (s > last)
		s = last;
	days = (s >= 0 ? s : s - (DAY_S - 1)) / DAY_S;
	sod = (unsigned)(s - days * DAY_S);
	date = date_of_days(days);
	snprintf(out, size, "%04d-%02u-%02uT%02u:%02u:%02uZ", (int)date.year, date.month, date.day,
		 sod / 3600, sod / 60 % 60, sod % 60);
}
