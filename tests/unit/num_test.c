/* Numbers, durations, times. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "zt/num.h"

static void numbers_have_a_form_and_a_range(void **state)
{
	static const struct {
		const char *says, *text;
		uint64_t min, max;
		int err;
		uint64_t want;
	} rows[] = {
		{"zero", "0", 0, 10, 0, 0},
		{"the greatest", "10", 0, 10, 0, 10},
		{"one too many", "11", 0, 10, -ERANGE, 0},
		{"below the least", "4", 5, 10, -ERANGE, 0},
		{"leading zeros are digits", "007", 0, 10, 0, 7},
		{"64 bits", "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
		{"one over 64 bits", "18446744073709551616", 0, UINT64_MAX, -ERANGE, 0},
		{"far over 64 bits", "99999999999999999999999999", 0, UINT64_MAX, -ERANGE, 0},
		{"far over 64 bits, then no digit", "99999999999999999999999999x", 0, UINT64_MAX,
		 -ZT_EFORM, 0},
		{"nothing", "", 0, 10, -ZT_EFORM, 0},
		{"a sign", "+1", 0, 10, -ZT_EFORM, 0},
		{"a minus", "-1", 0, 10, -ZT_EFORM, 0},
		{"white space before", " 1", 0, 10, -ZT_EFORM, 0},
		{"white space after", "1 ", 0, 10, -ZT_EFORM, 0},
		{"hexadecimal", "0x1", 0, 10, -ZT_EFORM, 0},
		{"a point", "1.0", 0, 10, -ZT_EFORM, 0},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint64_t v = 77;
		int err = num_parse_u64(rows[i].text, rows[i].min, rows[i].max, &v);

		row_check(rows[i].says, err == rows[i].err);
		row_check(rows[i].says, v == (err ? 77 : rows[i].want));
	}
}

static void durations_are_a_number_and_a_unit(void **state)
{
	static const struct {
		const char *says, *text;
		int err;
		uint64_t want;
	} rows[] = {
		{"seconds", "30s", 0, 30},
		{"minutes", "10m", 0, 600},
		{"hours", "12h", 0, 43200},
		{"days", "14d", 0, 14 * 86400},
		{"none", "0s", 0, 0},
		{"100 years", "36500d", 0, 3153600000},
		{"longer than 100 years", "36501d", -ERANGE, 0},
		{"a second more than 100 years", "3153600001s", -ERANGE, 0},
		{"so many days that seconds overflow", "18446744073709551615d", -ERANGE, 0},
		{"a bare number", "30", -ZT_EFORM, 0},
		{"a bare unit", "s", -ZT_EFORM, 0},
		{"nothing", "", -ZT_EFORM, 0},
		{"an unknown unit", "3w", -ZT_EFORM, 0},
		{"two units", "1h30m", -ZT_EFORM, 0},
		{"a sign", "-1s", -ZT_EFORM, 0},
		{"a space", "1 s", -ZT_EFORM, 0},
		{"capitals", "1H", -ZT_EFORM, 0},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint64_t v = 77;
		int err = num_parse_duration(rows[i].text, &v);

		row_check(rows[i].says, err == rows[i].err);
		row_check(rows[i].says, v == (err ? 77 : rows[i].want));
	}
}

static void durations_print_shortest_and_read_back(void **state)
{
	static const struct {
		uint64_t s;
		const char *want;
	} rows[] = {
		{0, "0s"},     {1, "1s"},      {59, "59s"},	 {60, "1m"},
		{90, "90s"},   {600, "10m"},   {3600, "1h"},	 {5400, "90m"},
		{86400, "1d"}, {90000, "25h"}, {1209600, "14d"},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint64_t back;

		num_print_duration(rows[i].s, text, sizeof(text));
		assert_string_equal(text, rows[i].want);
		assert_int_equal(num_parse_duration(text, &back), 0);
		assert_int_equal(back, rows[i].s);
	}
}

static void times_print_as_rfc_3339(void **state)
{
	static const struct {
		const char *says;
		int64_t s;
		const char *want;
	} rows[] = {
		{"the epoch", 0, "1970-01-01T00:00:00Z"},
		{"a second before", -1, "1969-12-31T23:59:59Z"},
		{"an ordinary day", 1795435200, "2026-11-23T12:00:00Z"},
		{"a leap day", 1709208000, "2024-02-29T12:00:00Z"},
		{"the day after", 1709294400, "2024-03-01T12:00:00Z"},
		{"a century that is a leap year", 951782400, "2000-02-29T00:00:00Z"},
		{"a century that is none", 4107542400, "2100-03-01T00:00:00Z"},
		{"past 32 bits", 2147483648, "2038-01-19T03:14:08Z"},
		{"the last second of a year", 1735689599, "2024-12-31T23:59:59Z"},
		{"the greatest that has four digits", 253402300799, "9999-12-31T23:59:59Z"},
		{"later is the same", INT64_MAX, "9999-12-31T23:59:59Z"},
		{"before the year 0", INT64_MIN, "0000-01-01T00:00:00Z"},
	};
	char text[21];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		num_print_time(rows[i].s, text, sizeof(text));
		row_check(rows[i].says, strcmp(text, rows[i].want) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_a_form_and_a_range),
		cmocka_unit_test(durations_are_a_number_and_a_unit),
		cmocka_unit_test(durations_print_shortest_and_read_back),
		cmocka_unit_test(times_print_as_rfc_3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
