/* Places: a table of where a device is and what is known of it, against the rules' where. */
#include "tests/unit/policy_fixture.h"

#include "controller/policy/place.h"

static const char policy_text[] =
	"[place office]\nsource = 192.0.2.0/24, 2001:db8::/32\nexcept = 192.0.2.7, 100.64.0.66\n"
	"[place home]\ncountry = DE\nexcept = 198.51.100.0/24\n"
	"[place lab]\noverlay = 100.64.8.0/24, fd00:8::/64\n"
	"[place abroad]\nsource = 0.0.0.0/0, ::/0\nexcept = DE\n"
	"[resource r]\non = tag:r\nports = any\n"
	"[rule office]\nwho = anyone\nwhat = resource:r\nwhere = place:office\nwhy = w\n"
	"[rule home]\nwho = anyone\nwhat = resource:r\nwhere = place:home\nwhy = w\n"
	"[rule lab]\nwho = anyone\nwhat = resource:r\nwhere = place:lab\nwhy = w\n"
	"[rule abroad]\nwho = anyone\nwhat = resource:r\nwhere = place:abroad\nwhy = w\n"
	"[rule either]\nwho = anyone\nwhat = resource:r\nwhere = place:lab, country:DE\nwhy = w\n"
	"[rule but]\nwho = anyone\nwhat = resource:r\nexcept = country:DE\nwhy = w\n"
	"[rule anywhere]\nwho = anyone\nwhat = resource:r\nwhy = w\n";

static const struct policy_rule *rule(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (strcmp(p->rules[i].name, name) == 0)
			return &p->rules[i];
	fail_msg("no rule %s", name);
	return NULL;
}

static const struct {
	const char *sentence, *source, *overlay, *country, *rule;
	char holds; /* y, n, or ? where it cannot be known */
} rows[] = {
	{"inside the network", "192.0.2.9", "100.64.0.1", "", "office", 'y'},
	{"in its IPv6 network", "2001:db8:1::9", "100.64.0.1", "", "office", 'y'},
	{"beside it", "192.0.3.9", "100.64.0.1", "", "office", 'n'},
	{"inside, but kept out by its source", "192.0.2.7", "100.64.0.1", "", "office", 'n'},
	{"inside, but kept out by its overlay address", "192.0.2.9", "100.64.0.66", "", "office",
	 'n'},
	{"the source is not known", "", "100.64.0.1", "", "office", '?'},
	{"not known, but kept out either way", "", "100.64.0.66", "", "office", 'n'},
	{"the country fits", "203.0.113.1", "100.64.0.1", "DE", "home", 'y'},
	{"another country", "203.0.113.1", "100.64.0.1", "AT", "home", 'n'},
	{"no country is known", "203.0.113.1", "100.64.0.1", "", "home", '?'},
	{"no country is known, but the network is kept out", "198.51.100.1", "100.64.0.1", "",
	 "home", 'n'},
	{"the overlay address counts when the source is not known", "", "100.64.8.3", "", "lab",
	 'y'},
	{"the source does not count for the overlay", "100.64.8.3", "100.64.0.1", "", "lab", 'n'},
	{"kept out by a country that is not known", "203.0.113.1", "100.64.0.1", "", "abroad", '?'},
	{"not kept out by another country", "203.0.113.1", "100.64.0.1", "AT", "abroad", 'y'},
	{"kept out by its country", "203.0.113.1", "100.64.0.1", "DE", "abroad", 'n'},
	{"one of two is enough", "203.0.113.1", "100.64.8.1", "", "either", 'y'},
	{"neither, as far as is known", "203.0.113.1", "100.64.0.1", "", "either", '?'},
	{"neither", "203.0.113.1", "100.64.0.1", "FR", "either", 'n'},
	{"from anywhere but there", "203.0.113.1", "100.64.0.1", "FR", "but", 'y'},
	{"from there", "203.0.113.1", "100.64.0.1", "DE", "but", 'n'},
	{"perhaps from there", "203.0.113.1", "100.64.0.1", "", "but", '?'},
	{"a rule without a where", "", "100.64.0.1", "", "anywhere", 'y'},
};

static void where_is_held_against_places(void **state)
{
	struct policy *p = parsed(policy_text);

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct policy_rule *r = rule(p, rows[i].rule);
		struct place_view v = {0};
		struct places at;

		if (rows[i].source[0])
			assert_int_equal(addr_parse(rows[i].source, &v.source), 0);
		assert_int_equal(addr_parse(rows[i].overlay, &v.addr4), 0);
		snprintf(v.country, sizeof(v.country), "%s", rows[i].country);
		at = place_evaluate(p, &v);
		if (where_holds(r, &at) != (rows[i].holds == 'y') ||
		    where_fails(r, &at) != (rows[i].holds == 'n'))
			fail_msg("%s: holds %d, fails %d", rows[i].sentence, where_holds(r, &at),
				 where_fails(r, &at));
	}
	policy_free(p);
}

static void countries_are_those_of_the_standard(void **state)
{
	static const struct {
		const char *code;
		bool good;
	} codes[] = {{"DE", true},   {"AD", true},  {"ZW", true},  {"XK", true},
		     {"de", false},  {"UK", false}, {"XX", false}, {"D", false},
		     {"DEU", false}, {"", false},   {"E ", false}, {" A", false}};

	(void)state;
	for (size_t i = 0; i < N_OF(codes); i++)
		if (country_is_valid(codes[i].code) != codes[i].good)
			fail_msg("\"%s\"", codes[i].code);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_is_held_against_places),
		cmocka_unit_test(countries_are_those_of_the_standard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
