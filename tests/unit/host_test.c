/* Host names that a request may have: ours, and what only looks like ours. */
#include "tests/unit/unit.h"

#include "controller/http/host.h"

static const char *const names[] = {"ctl.example.com", "zt.internal", "[2001:db8::9]", NULL};

static const struct {
	const char *host;
	bool ours;
	const char *local, *says;
} rows[] = {
	{NULL, false, "192.0.2.1", "no Host"},
	{"", false, "192.0.2.1", "an empty one"},
	{"evil.test", false, "192.0.2.1", "another's name that was given our address"},
	{"evil.test:8443", false, "192.0.2.1", "with our port"},
	{"localhost:8443", false, "127.0.0.1", "a name of the address that nobody gave us"},
	{"ctl.example.com.evil.test", false, "192.0.2.1", "ours as its beginning"},
	{"evil.ctl.example.com", false, "192.0.2.1", "ours as its end"},
	{"ctl.example.co", false, "192.0.2.1", "ours cut"},
	{"ctl.example.com:", false, "192.0.2.1", "no port after the colon"},
	{"ctl.example.com:0", false, "192.0.2.1", "port 0"},
	{"ctl.example.com:65536", false, "192.0.2.1", "a port over the last"},
	{"ctl.example.com:8443:8443", false, "192.0.2.1", "two ports"},
	{"ctl.example.com@evil.test", false, "192.0.2.1", "a user"},
	{"ctl.example.com, evil.test", false, "192.0.2.1", "two"},
	{"192.0.2.2", false, "192.0.2.1", "another address"},
	{"192.0.2.1.evil.test", false, "192.0.2.1", "a name that begins as our address"},
	{"[2001:db8::1", false, "2001:db8::1", "a bracket that does not close"},
	{"[2001:db8::1]x", false, "2001:db8::1", "more behind the bracket"},
	{"2001:db8::1", false, "2001:db8::1", "an address of IPv6 without brackets"},
	{"[]", false, "2001:db8::1", "nothing in the brackets"},
	{"[", false, "2001:db8::1", "half a pair of brackets"},
	{":8443", false, "192.0.2.1", "a port alone"},
	{"ctl.example.com", true, "192.0.2.1", "ours"},
	{"CTL.Example.com:8443", true, "192.0.2.1", "ours, written otherwise"},
	{"ctl.example.com:443", true, "192.0.2.1", "ours, on a forwarded port"},
	{"zt.internal:8443", true, "192.0.2.1", "another one of ours"},
	{"192.0.2.1:8443", true, "192.0.2.1", "the address that was called"},
	{"[2001:db8::1]:8443", true, "2001:db8::1", "of IPv6"},
	{"[2001:DB8:0::1]", true, "2001:db8::1", "of IPv6, written otherwise"},
	{"[2001:db8::9]:8443", true, "192.0.2.1", "an address as a name"},
};

static void only_ours_are(void **state)
{
	char longest[400];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct addr local;

		assert_int_equal(addr_parse(rows[i].local, &local), 0);
		row_check(rows[i].says,
			  http_host_is_ours(rows[i].host, names, &local) == rows[i].ours);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_false(http_host_is_ours(longest, (const char *const[]){longest, NULL},
				       &(struct addr){0}));
}

/* Nobody's name: only the address itself is left. */
static void without_names_only_the_address_is(void **state)
{
	struct addr local;

	(void)state;
	assert_int_equal(addr_parse("192.0.2.1", &local), 0);
	assert_false(http_host_is_ours("ctl.example.com", NULL, &local));
	assert_true(http_host_is_ours("192.0.2.1:8443", NULL, &local));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_ours_are),
		cmocka_unit_test(without_names_only_the_address_is),
	};

	return cmocka_run_group_tests_name("http/host", tests, NULL, NULL);
}
