/* Addresses, prefixes, endpoints, services. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "zt/addr.h"

static struct addr addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static struct service service(const char *text)
{
	struct service s;

	assert_int_equal(service_parse(text, &s), 0);
	return s;
}

static void addresses_are_strict_and_print_short(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} rows[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"0.0.0.0", "0.0.0.0"},
		{"2001:DB8:0:0::1", "2001:db8::1"},
		{"::", "::"},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
		{"192.0.2", NULL},
		{"192.0.2.256", NULL},
		{"192.0.2.01", NULL},
		{"0x7f.0.0.1", NULL},
		{"192.0.2.1 ", NULL},
		{"fe80::1%eth0", NULL},
		{"2001:db8:::1", NULL},
		{"localhost", NULL},
		{"", NULL},
	};
	char out[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct addr a;
		int err = addr_parse(rows[i].text, &a);

		row_check(rows[i].text, err == (rows[i].want ? 0 : -ZT_EFORM));
		if (err)
			continue;
		addr_print(&a, out);
		row_check(rows[i].text, strcmp(out, rows[i].want) == 0);
	}
}

static void an_unset_address_prints_as_nothing(void **state)
{
	struct addr a = {0};
	struct prefix p = {0};
	struct endpoint e = {0};
	char out[ENDPOINT_TEXT_MAX] = "x";

	(void)state;
	addr_print(&a, out);
	assert_string_equal(out, "");
	prefix_print(&p, out);
	assert_string_equal(out, "");
	endpoint_print(&e, out);
	assert_string_equal(out, "");
	assert_int_equal(addr_bits(&a), 0);
	assert_false(prefix_is_valid(&p));
}

static void addresses_of_different_families_are_never_equal(void **state)
{
	static const uint8_t bytes[16] = {192, 0, 2, 1};
	struct addr a4 = addr_v4(bytes), a6 = addr_v6(bytes);

	(void)state;
	assert_false(addr_equal(&a4, &a6));
	assert_int_equal(addr_compare(&a4, &a6), -1);
	assert_int_equal(addr_compare(&a6, &a4), 1);
	assert_int_equal(addr_bits(&a4), 32);
	assert_int_equal(addr_bits(&a6), 128);
	a6 = addr("192.0.2.2");
	assert_int_equal(addr_compare(&a4, &a6), -1);
	a6 = addr("192.0.2.1");
	assert_int_equal(addr_compare(&a4, &a6), 0);
}

static void prefixes_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *want;
	} rows[] = {
		{"10.0.0.0/8", 0, "10.0.0.0/8"},
		{"0.0.0.0/0", 0, "0.0.0.0/0"},
		{"::/0", 0, "::/0"},
		{"192.0.2.1", 0, "192.0.2.1/32"},
		{"2001:db8::1", 0, "2001:db8::1/128"},
		{"2001:db8::/32", 0, "2001:db8::/32"},
		{"172.16.0.0/12", 0, "172.16.0.0/12"},
		{"10.0.0.1/8", -EINVAL, NULL},
		{"172.24.0.0/12", -EINVAL, NULL},
		{"2001:db8::1/127", -EINVAL, NULL},
		{"10.0.0.0/33", -ZT_EFORM, NULL},
		{"::/129", -ZT_EFORM, NULL},
		{"10.0.0.0/", -ZT_EFORM, NULL},
		{"10.0.0.0/-1", -ZT_EFORM, NULL},
		{"10.0.0.0/255.0.0.0", -ZT_EFORM, NULL},
		{"/8", -ZT_EFORM, NULL},
		{"10.0.0.0/8/8", -ZT_EFORM, NULL},
		{"0000:0000:0000:0000:0000:0000:0000:0000:000000/8", -ZT_EFORM, NULL},
		{"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/8", -ZT_EFORM, NULL},
		{"", -ZT_EFORM, NULL},
	};
	char out[PREFIX_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct prefix p;
		int err = prefix_parse(rows[i].text, &p);

		row_check(rows[i].text, err == rows[i].err);
		if (err)
			continue;
		prefix_print(&p, out);
		row_check(rows[i].text, strcmp(out, rows[i].want) == 0);
		row_check(rows[i].text, prefix_is_valid(&p));
	}
}

static void prefixes_contain_and_overlap(void **state)
{
	static const struct {
		const char *a, *b;
		bool contains, overlaps; /* a contains b's address */
	} rows[] = {
		{"10.0.0.0/8", "10.255.0.0/16", true, true},
		{"10.255.0.0/16", "10.0.0.0/8", false, true},
		{"10.0.0.0/8", "11.0.0.0/8", false, false},
		{"100.64.0.0/10", "100.127.255.255", true, true},
		{"100.64.0.0/10", "100.128.0.0", false, false},
		{"0.0.0.0/0", "203.0.113.9", true, true},
		{"0.0.0.0/0", "::", false, false},
		{"::/0", "2001:db8::/32", true, true},
		{"192.0.2.1", "192.0.2.1", true, true},
		{"192.0.2.0/31", "192.0.2.1", true, true},
		{"192.0.2.0/31", "192.0.2.2", false, false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct prefix a = prefix(rows[i].a), b = prefix(rows[i].b);

		row_check(rows[i].b, prefix_contains(&a, &b.addr) == rows[i].contains);
		row_check(rows[i].b, prefix_overlaps(&a, &b) == rows[i].overlaps);
		row_check(rows[i].b, prefix_overlaps(&b, &a) == rows[i].overlaps);
		row_check(rows[i].b,
			  prefix_equal(&a, &a) &&
				  !prefix_equal(&a, &b) == (strcmp(rows[i].a, rows[i].b) != 0));
	}
}

static void a_prefix_of_nothing_contains_nothing(void **state)
{
	struct prefix none = {0}, all = prefix("0.0.0.0/0");
	struct addr a = {0};

	(void)state;
	assert_false(prefix_contains(&none, &a));
	assert_false(prefix_contains(&all, &a));
	assert_false(prefix_overlaps(&none, &none));
	assert_int_equal(prefix_nth(&none, 0, &a), -ERANGE);
	none = (struct prefix){.addr = {ADDR_V4, {10}}, .bits = 33};
	assert_int_equal(prefix_nth(&none, 0, &a), -ERANGE);
	assert_false(prefix_is_valid(&none));
}

static void the_nth_address_stays_inside(void **state)
{
	static const struct {
		const char *net;
		uint32_t n;
		const char *want; /* NULL: outside */
	} rows[] = {
		{"100.64.0.0/10", 0, "100.64.0.0"},
		{"100.64.0.0/10", 258, "100.64.1.2"},
		{"100.64.0.0/10", 0x3fffff, "100.127.255.255"},
		{"100.64.0.0/10", 0x400000, NULL},
		{"192.0.2.1/32", 0, "192.0.2.1"},
		{"192.0.2.1/32", 1, NULL},
		{"0.0.0.0/0", 0xffffffff, "255.255.255.255"},
		{"fd00::/64", 0xffffffff, "fd00::ffff:ffff"},
		{"fd00::/97", 0x7fffffff, "fd00::7fff:ffff"},
		{"fd00::/97", 0x80000000, NULL},
		{"fd00::5/128", 1, NULL},
	};
	char out[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct prefix p = prefix(rows[i].net);
		struct addr a;
		int err = prefix_nth(&p, rows[i].n, &a);

		row_check(rows[i].net, err == (rows[i].want ? 0 : -ERANGE));
		if (err)
			continue;
		addr_print(&a, out);
		row_check(rows[i].net, strcmp(out, rows[i].want) == 0);
	}
}

static void endpoints_are_parsed(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{"192.0.2.1:51820", true},
		{"[2001:db8::1]:51820", true},
		{"0.0.0.0:0", true},
		{"192.0.2.1:65535", true},
		{"192.0.2.1:65536", false},
		{"192.0.2.1", false},
		{"192.0.2.1:", false},
		{":51820", false},
		{"2001:db8::1:51820", false},
		{"[192.0.2.1]:51820", false},
		{"[2001:db8::1]", false},
		{"[2001:db8::1:51820", false},
		{"[]:1", false},
		{"[:1", false},
		{"192.0.2.1:+1", false},
		{"", false},
		{"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]:1", false},
		{"[0000:0000:0000:0000:0000:0000:0000:0000:000000]:1", false},
	};
	char out[ENDPOINT_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct endpoint e, back;
		int err = endpoint_parse(rows[i].text, &e);

		row_check(rows[i].text, err == (rows[i].ok ? 0 : -ZT_EFORM));
		if (err)
			continue;
		endpoint_print(&e, out);
		row_check(rows[i].text, strcmp(out, rows[i].text) == 0);
		row_check(rows[i].text, endpoint_parse(out, &back) == 0);
		row_check(rows[i].text, endpoint_equal(&e, &back));
	}
}

static void endpoints_are_equal_in_address_and_port(void **state)
{
	struct endpoint a, b;

	(void)state;
	assert_int_equal(endpoint_parse("192.0.2.1:1", &a), 0);
	assert_int_equal(endpoint_parse("192.0.2.1:2", &b), 0);
	assert_false(endpoint_equal(&a, &b));
	assert_int_equal(endpoint_parse("192.0.2.2:1", &b), 0);
	assert_false(endpoint_equal(&a, &b));
}

static void an_overlay_is_made_of_no_range_that_means_something_else(void **state)
{
	static const struct {
		const char *says, *text;
		bool want;
	} rows[] = {
		{"the shared address space", "100.64.0.0/10", true},
		{"a private range", "10.0.0.0/8", true},
		{"a unique local range", "fd12:3456:789a::/64", true},
		{"wider than eight bits", "100.0.0.0/7", false},
		{"loopback", "127.0.0.0/8", false},
		{"a part of loopback", "127.1.0.0/16", false},
		{"cloud metadata alone", "169.254.169.254/32", false},
		{"a range with cloud metadata in it", "169.254.0.0/16", false},
		{"link-local addresses without it", "169.254.4.0/24", true},
		{"this network", "0.0.0.0/8", false},
		{"multicast", "224.0.0.0/8", false},
		{"broadcast", "255.255.255.0/24", false},
		{"IPv6 loopback", "::/64", false},
		{"mapped addresses", "::ffff:0:0/96", false},
		{"IPv6 link-local", "fe80::/64", false},
		{"IPv6 multicast", "ff02::/16", false},
		{"IPv6 cloud metadata", "fd00:ec2::/32", false},
		{"a range with IPv6 cloud metadata in it", "fd00::/8", false},
	};
	struct prefix host_bits = {{ADDR_V4, {100, 64, 0, 1}}, 10}, none = {0};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct prefix p;

		row_check(rows[i].says, prefix_parse(rows[i].text, &p) == 0);
		row_check(rows[i].says, prefix_is_overlay(&p) == rows[i].want);
	}
	assert_false(prefix_is_overlay(&host_bits));
	assert_false(prefix_is_overlay(&none));
}

static void a_peer_is_not_sent_where_no_peer_is(void **state)
{
	static const struct {
		const char *says, *text;
		bool want;
	} rows[] = {
		{"a public address", "192.0.2.1:51820", true},
		{"a private address", "10.1.2.3:51820", true},
		{"an IPv4 link-local address: two machines on one cable", "169.254.3.4:51820",
		 true},
		{"a public IPv6 address", "[2001:db8::1]:51820", true},
		{"a unique local address", "[fd12::1]:51820", true},
		{"port 0", "192.0.2.1:0", false},
		{"unspecified", "0.0.0.0:51820", false},
		{"this network", "0.1.2.3:51820", false},
		{"loopback", "127.0.0.1:51820", false},
		{"the rest of loopback", "127.255.0.1:51820", false},
		{"multicast", "224.0.0.251:5353", false},
		{"broadcast", "255.255.255.255:51820", false},
		{"reserved", "240.0.0.1:51820", false},
		{"cloud metadata", "169.254.169.254:80", false},
		{"IPv6 unspecified", "[::]:51820", false},
		{"IPv6 loopback", "[::1]:51820", false},
		{"IPv6 link-local", "[fe80::1]:51820", false},
		{"the rest of IPv6 link-local", "[febf::1]:51820", false},
		{"IPv6 multicast", "[ff02::1]:51820", false},
		{"loopback as a mapped address", "[::ffff:127.0.0.1]:51820", false},
		{"any mapped address", "[::ffff:192.0.2.1]:51820", false},
		{"IPv6 cloud metadata", "[fd00:ec2::254]:80", false},
	};
	struct endpoint none = {.port = 1}, odd = {.addr = {.family = 5}, .port = 1};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct endpoint e;

		row_check(rows[i].says, endpoint_parse(rows[i].text, &e) == 0);
		row_check(rows[i].says, endpoint_is_usable(&e) == rows[i].want);
	}
	assert_false(endpoint_is_usable(&none));
	assert_false(endpoint_is_usable(&odd));
}

static void services_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int err;
		struct service want;
		const char *print;
	} rows[] = {
		{"tcp/5432", 0, {SERVICE_TCP, 5432, 5432}, "tcp/5432"},
		{"udp/1000-2000", 0, {SERVICE_UDP, 1000, 2000}, "udp/1000-2000"},
		{"udp/1-1000", 0, {SERVICE_UDP, 1, 1000}, "udp/1-1000"},
		{"udp/1000-65535", 0, {SERVICE_UDP, 1000, 65535}, "udp/1000-65535"},
		{"udp/53-53", 0, {SERVICE_UDP, 53, 53}, "udp/53"},
		{"tcp/any", 0, {SERVICE_TCP, 1, 65535}, "tcp/any"},
		{"tcp/1-65535", 0, {SERVICE_TCP, 1, 65535}, "tcp/any"},
		{"icmp", 0, {SERVICE_ICMP, 0, 0}, "icmp"},
		{"any", 0, {SERVICE_ANY, 0, 0}, "any"},
		{"tcp/0", -ERANGE, {0}, NULL},
		{"tcp/0-5", -ERANGE, {0}, NULL},
		{"tcp/65536", -ERANGE, {0}, NULL},
		{"tcp/2000-1000", -ERANGE, {0}, NULL},
		{"tcp/1-65536", -ERANGE, {0}, NULL},
		{"tcp/", -ZT_EFORM, {0}, NULL},
		{"tcp", -ZT_EFORM, {0}, NULL},
		{"tcp/x", -ZT_EFORM, {0}, NULL},
		{"tcp/1-", -ZT_EFORM, {0}, NULL},
		{"tcp/-1", -ZT_EFORM, {0}, NULL},
		{"tcp/1-2-3", -ZT_EFORM, {0}, NULL},
		{"tcp/123456-2", -ZT_EFORM, {0}, NULL},
		{"tcp/123456789-2", -ZT_EFORM, {0}, NULL},
		{"tcp/x-2", -ZT_EFORM, {0}, NULL},
		{"TCP/1", -ZT_EFORM, {0}, NULL},
		{"icmp/8", -ZT_EFORM, {0}, NULL},
		{"any/1", -ZT_EFORM, {0}, NULL},
		{"sctp/1", -ZT_EFORM, {0}, NULL},
		{" tcp/1", -ZT_EFORM, {0}, NULL},
		{"", -ZT_EFORM, {0}, NULL},
	};
	char out[SERVICE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct service s = {.lo = 77};
		int err = service_parse(rows[i].text, &s);

		row_check(rows[i].text, err == rows[i].err);
		row_check(rows[i].text, err == 0 || s.lo == 77);
		if (err)
			continue;
		row_check(rows[i].text, service_compare(&s, &rows[i].want) == 0);
		service_print(&s, out);
		row_check(rows[i].text, strcmp(out, rows[i].print) == 0);
	}
}

static void a_service_covers_what_is_inside_it(void **state)
{
	static const struct {
		const char *outer, *inner;
		bool want;
	} rows[] = {
		{"any", "tcp/80", true},
		{"any", "icmp", true},
		{"any", "any", true},
		{"tcp/any", "tcp/80", true},
		{"tcp/any", "tcp/1-65535", true},
		{"tcp/any", "udp/80", false},
		{"tcp/any", "any", false},
		{"tcp/any", "icmp", false},
		{"tcp/10-20", "tcp/10-20", true},
		{"tcp/10-20", "tcp/15", true},
		{"tcp/10-20", "tcp/9-20", false},
		{"tcp/10-20", "tcp/10-21", false},
		{"tcp/10-20", "tcp/any", false},
		{"icmp", "icmp", true},
		{"icmp", "any", false},
		{"icmp", "tcp/80", false},
		{"tcp/80", "tcp/443", false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct service outer = service(rows[i].outer), inner = service(rows[i].inner);

		row_check(rows[i].inner, service_covers(&outer, &inner) == rows[i].want);
	}
}

static void services_sort_by_protocol_then_ports(void **state)
{
	static const char *const sorted[] = {"any",	"icmp",	 "tcp/1",	"tcp/1-2",
					     "tcp/any", "tcp/2", "udp/1-65534", "udp/any"};

	(void)state;
	for (size_t i = 0; i < N_OF(sorted); i++)
		for (size_t j = 0; j < N_OF(sorted); j++) {
			struct service a = service(sorted[i]), b = service(sorted[j]);

			assert_int_equal(service_compare(&a, &b), (i > j) - (i < j));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_strict_and_print_short),
		cmocka_unit_test(an_unset_address_prints_as_nothing),
		cmocka_unit_test(addresses_of_different_families_are_never_equal),
		cmocka_unit_test(prefixes_are_parsed),
		cmocka_unit_test(prefixes_contain_and_overlap),
		cmocka_unit_test(a_prefix_of_nothing_contains_nothing),
		cmocka_unit_test(the_nth_address_stays_inside),
		cmocka_unit_test(endpoints_are_parsed),
		cmocka_unit_test(endpoints_are_equal_in_address_and_port),
		cmocka_unit_test(an_overlay_is_made_of_no_range_that_means_something_else),
		cmocka_unit_test(a_peer_is_not_sent_where_no_peer_is),
		cmocka_unit_test(services_are_parsed),
		cmocka_unit_test(a_service_covers_what_is_inside_it),
		cmocka_unit_test(services_sort_by_protocol_then_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
