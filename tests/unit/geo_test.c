/* Countries from a database in MaxMind's form (tests/unit/fixtures/geo/make.pl made it). */
#include "tests/unit/unit.h"

#include "controller/geo.h"

static const char database[] = "tests/unit/fixtures/geo/country.mmdb";

static const struct {
	const char *sentence, *address, *country;
} rows[] = {
	{"where it is goes before where it is registered", "192.0.2.9", "DE"},
	{"another country", "198.51.100.9", "AT"},
	{"registered alone: where it is, is not known", "203.0.113.200", ""},
	{"IPv6", "2001:db8:1::9", "FR"},
	{"an IPv6 network that is not in it", "2001:db8:2::9", ""},
	{"not in it", "10.1.2.3", ""},
	{"what is no code is no country", "203.0.113.9", ""},
};

static void addresses_have_countries(void **state)
{
	struct diag d = {0};
	struct geo *g;

	(void)state;
	assert_int_equal(geo_open(database, &g, &d), 0);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct addr a;
		char country[3] = "??";

		assert_int_equal(addr_parse(rows[i].address, &a), 0);
		geo_country(g, &a, country);
		if (strcmp(country, rows[i].country) != 0)
			fail_msg("%s: \"%s\"", rows[i].sentence, country);
		geo_country(NULL, &a, country);
		assert_string_equal(country, "");
	}
	geo_close(g);
}

static void what_is_no_database_is_refused(void **state)
{
	static const char *const paths[] = {"/nonexistent.mmdb", "tests/unit/geo_test.c",
					    "tests/unit"};
	struct diag d = {0};
	struct geo *g = NULL;

	(void)state;
	for (size_t i = 0; i < N_OF(paths); i++) {
		assert_int_equal(geo_open(paths[i], &g, &d), -ZT_EFORM);
		assert_null(g);
		assert_non_null(strstr(d.message, paths[i]));
		assert_non_null(strstr(d.hint, ".mmdb"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_have_countries),
		cmocka_unit_test(what_is_no_database_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
