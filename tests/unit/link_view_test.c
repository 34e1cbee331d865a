/* What the command line is told: status as JSON, and of a link that does not reach its controller.
 */
#include "tests/unit/node_fixture.h"

#include "ztnode/net/link.h"
#include "ztnode/net/view.h"

static const struct now now = {1800000000000, 5000000};
static const struct hello hello = {.device = FIXTURE_DEVICE,
				   .url = "https://127.0.0.1:1",
				   .serial = 7,
				   .wg_port = 51820,
				   .name = "laptop"};
static const struct link_view connected = {true, 1799999990000, "active", "", ""};

/* --- status --- */

static const struct role_peer kernel_peers[] = {
	{2, {{ADDR_V4, {192, 0, 2, 2}}, 51820}, 1800000000 - 179, 100, 200},
	{3, {{0}, 0}, 0, 0, 0},
};

static void encode(struct netmap map, struct buf *b)
{
	struct netmap_msg m;
	struct arena a;

	arena_init(&a, FIXTURE_ARENA_MAX);
	buf_init_grow(b, 1 << 20);
	m = fixture_diff(NULL, &map, fixture_head(NETMAP_FULL, 7), &a);
	assert_int_equal(netmap_encode(&m, b), 0);
	arena_done(&a);
}

static void encode_map(struct buf *b)
{
	encode(fixture_map(), b);
}

static struct role_status status_of(const struct buf *map)
{
	return (struct role_status){.enforced = true,
				    .lease_left_ms = 60500,
				    .serial = 7,
				    .wg_port = 51820,
				    .interface = "zt0",
				    .peers = kernel_peers,
				    .n_peers = 2,
				    .map = map->data,
				    .n_map = map->len};
}

/* The value at a path like "peers.0.name", printed. */
static void check_at(const json_t *j, const char *path, const char *want)
{
	char copy[100], *save = NULL, *text;

	assert_true(strlen(path) < sizeof(copy));
	strcpy(copy, path);
	for (char *p = strtok_r(copy, ".", &save); p; p = strtok_r(NULL, ".", &save))
		j = json_is_array(j) ? json_array_get(j, (size_t)strtoul(p, NULL, 10))
				     : json_object_get(j, p);
	text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	if (!text || strcmp(text, want) != 0)
		fail_msg("%s is %s, not %s", path, text ? text : "not there", want);
	free(text);
}

static const struct {
	const char *path, *want;
} fields[] = {
	{"device.name", "\"laptop\""},
	{"device.addresses", "[\"100.64.0.1\",\"fd12::1\"]"},
	{"device.state", "\"active\""},
	{"device.owner", "\"ada@example.com\""},
	{"device.tags", "[\"tag:a\"]"},
	{"controller.url", "\"https://127.0.0.1:1\""},
	{"controller.connected", "true"},
	{"controller.serial", "7"},
	{"lease.remaining_s", "60"},
	{"lease.expires", "\"2027-01-15T08:01:00Z\""},
	{"interface", "\"zt0\""},
	{"enforced", "true"},
	{"port", "51820"},
	{"policy", "1"},
	{"peers.0.name", "\"db-1\""},
	{"peers.0.path", "\"direct\""},
	{"peers.0.endpoint", "\"192.0.2.2:51820\""},
	{"peers.0.allowed_ips", "[\"100.64.0.2/32\",\"fd12::2/128\"]"},
	{"peers.0.rules", "[\"finance-to-payroll\"]"},
	{"peers.0.rx_bytes", "100"},
	{"peers.1.path", "\"none\""},
	{"peers.1.last_handshake", "null"},
	{"peers.1.endpoint", "\"\""},
	{"grants.0.rule", "\"finance-to-payroll\""},
	{"grants.0.direction", "\"out\""},
	{"grants.0.peer", "\"db-1\""},
	{"grants.0.proto", "\"tcp\""},
	{"grants.0.ports", "\"5432\""},
	{"grants.0.expires", "\"2027-01-15T08:01:00Z\""},
	{"grants.0.problem", "\"\""},
	{"grants.1.direction", "\"in\""},
	{"posture.0.ok", "false"},
	{"posture.0.failed", "[\"disk.encrypted == true (is false)\"]"},
};

static void a_status_says_what_is_in_force(void **state)
{
	json_t *advice =
		json_pack("{s:{s:s,s:[s]},s:[{s:s,s:b,s:[{s:s,s:s}]}]}", "device", "owner",
			  "ada@example.com", "tags", "tag:a", "posture", "profile", "managed", "ok",
			  0, "failed", "condition", "disk.encrypted == true", "is", "false");
	struct role_status s;
	struct buf map;
	json_t *j;

	(void)state;
	assert_non_null(advice);
	encode_map(&map);
	s = status_of(&map);
	j = view_status(&hello, &s, &connected, advice, now);
	assert_non_null(j);
	for (size_t i = 0; i < N_OF(fields); i++)
		check_at(j, fields[i].path, fields[i].want);
	json_decref(j);
	json_decref(advice);
	buf_free(&map);
}

static void check_why(const struct role_status *s, const char *to, const char *path,
		      const char *want)
{
	static const struct link_view away = {false, 0, "active", "no route",
					      "look at the network"};
	json_t *j = view_why(s, &away, to, "tcp/5432", now);

	assert_non_null(j);
	check_at(j, path, want);
	json_decref(j);
}

/* A rule that asks for what this version cannot look at grants nothing, and both say so; another
 * rule for the same does. */
static void what_cannot_be_enforced_is_said(void **state)
{
	static const struct netmap_condition conditions[] = {
		{.rule = 1, .kind = NETMAP_APP, .name = "/usr/bin/psql"}};
	static const struct netmap_rule rules[] = {{.id = 1, .name = "asks"},
						   {.id = 2, .name = "plain"}};
	struct netmap_grant grants[] = {
		{.peer = 2, .dir = NETMAP_OUT, .svc = {SERVICE_TCP, 5432, 5432}, .rule = 1},
		{.peer = 2, .dir = NETMAP_OUT, .svc = {SERVICE_TCP, 5432, 5432}, .rule = 2}};
	struct netmap m = fixture_map();
	struct role_status s;
	struct buf map;
	json_t *j;

	(void)state;
	m.grants = grants;
	m.n_grants = 1;
	m.rules = rules;
	m.n_rules = 1;
	m.conditions = conditions;
	m.n_conditions = 1;
	encode(m, &map);
	s = status_of(&map);
	j = view_status(&hello, &s, &connected, NULL, now);
	assert_non_null(j);
	check_at(j, "grants.0.problem",
		 "\"this version of ztnode cannot enforce app:/usr/bin/psql\"");
	json_decref(j);
	check_why(&s, "db-1", "allowed", "false");
	check_why(&s, "db-1", "nearest.rule", "\"asks\"");
	check_why(&s, "db-1", "nearest.failed.0.condition", "\"app:/usr/bin/psql\"");
	check_why(&s, "db-1", "nearest.failed.0.is",
		  "\"this version of ztnode cannot enforce it\"");
	check_why(&s, "db-2", "nearest.rule", "\"\"");
	buf_free(&map);
	m.n_grants = m.n_rules = 2;
	encode(m, &map);
	s = status_of(&map);
	check_why(&s, "db-1", "rule", "\"plain\"");
	buf_free(&map);
}

/* The controller says what the rule leaves to the device. */
static void what_is_left_to_the_device_denies(void **state)
{
	json_t *asks = json_pack("{s:b,s:s,s:s,s:n,s:[s,s]}", "allowed", 1, "rule", "a", "why", "w",
				 "nearest", "asks", "app:psql or app:x", "user:root");
	json_t *plain = json_pack("{s:b,s:s,s:s,s:n,s:[]}", "allowed", 1, "rule", "a", "why", "w",
				  "nearest", "asks");
	json_t *old =
		json_pack("{s:b,s:s,s:s,s:n}", "allowed", 1, "rule", "a", "why", "w", "nearest");
	json_t *j = view_why_asked(asks);

	(void)state;
	check_at(j, "allowed", "false");
	check_at(j, "nearest.rule", "\"a\"");
	check_at(j, "nearest.failed.0.condition", "\"app:psql or app:x\"");
	json_decref(j);
	j = view_why_asked(plain);
	assert_ptr_equal(j, plain);
	json_decref(j);
	j = view_why_asked(old);
	assert_ptr_equal(j, old);
	json_decref(j);
	json_decref(asks);
	json_decref(plain);
	json_decref(old);
}

static void an_old_handshake_is_no_path(void **state)
{
	struct role_peer old[2] = {kernel_peers[0], kernel_peers[1]};
	struct role_status s;
	struct buf map;
	json_t *j;

	(void)state;
	encode_map(&map);
	s = status_of(&map);
	old[0].last_handshake_s--;
	s.peers = old;
	j = view_status(&hello, &s, &connected, NULL, now);
	check_at(j, "peers.0.path", "\"none\"");
	json_decref(j);
	buf_free(&map);
}

static void after_the_lease_nothing_is_granted(void **state)
{
	struct role_status s;
	struct buf map;
	json_t *j;

	(void)state;
	encode_map(&map);
	s = status_of(&map);
	s.lease_left_ms = -1000;
	j = view_status(&hello, &s, &connected, NULL, now);
	check_at(j, "grants", "[]");
	check_at(j, "lease.remaining_s", "0");
	check_at(j, "lease.expires", "\"2027-01-15T07:59:59Z\"");
	json_decref(j);
	buf_free(&map);
}

static void check_why_by(const struct role_status *s, const char *to, const char *service,
			 const char *path, const char *want)
{
	json_t *j = view_why(s, &connected, to, service, now);

	assert_non_null(j);
	check_at(j, path, want);
	json_decref(j);
}

/* Grants under 300 s, 7200 s and the map's hour, of which so much is left. */
static void what_has_a_longer_lease_is_granted_after_the_map_s(void **state)
{
	struct netmap leased = fixture_map();
	struct role_status s;
	struct buf map;
	json_t *j;

	(void)state;
	leased.grants = fixture_leased;
	leased.n_grants = N_OF(fixture_leased);
	encode(leased, &map);
	s = status_of(&map);
	s.lease_left_ms = 3500000;
	j = view_status(&hello, &s, &connected, NULL, now);
	check_at(j, "grants.0.expires", "\"2027-01-15T08:03:20Z\"");
	check_at(j, "grants.1.expires", "\"2027-01-15T09:58:20Z\"");
	check_at(j, "grants.2.expires", "\"2027-01-15T08:58:20Z\"");
	json_decref(j);
	check_why_by(&s, "db-1", "tcp/5432", "allowed", "true");
	s.lease_left_ms = 3300000; /* the short one is over */
	j = view_status(&hello, &s, &connected, NULL, now);
	check_at(j, "grants.0.peer", "\"db-2\"");
	json_decref(j);
	check_why_by(&s, "db-1", "tcp/5432", "allowed", "false");
	s.lease_left_ms = -1000; /* the map's is over */
	j = view_status(&hello, &s, &connected, NULL, now);
	check_at(j, "grants.0.expires", "\"2027-01-15T08:59:59Z\"");
	assert_int_equal(json_array_size(json_object_get(j, "grants")), 1);
	check_at(j, "lease.remaining_s", "0");
	json_decref(j);
	check_why_by(&s, "db-2", "tcp/22", "allowed", "true");
	check_why_by(&s, "db-1", "tcp/5432", "nearest.failed.0.condition", "\"the lease\"");
	s.enforced = false;
	check_why_by(&s, "db-2", "tcp/22", "nearest.failed.0.condition", "\"this device is up\"");
	s.lease_left_ms = -3600000; /* all are */
	j = view_status(&hello, &s, &connected, NULL, now);
	check_at(j, "grants", "[]");
	json_decref(j);
	check_why_by(&s, "db-2", "tcp/22", "nearest.failed.0.condition", "\"the lease\"");
	buf_free(&map);
}

/* --- grants that are over, of a map that does not change --- */

enum { LEASE_MS = FIXTURE_LEASE_S * 1000, WINDOW_S = 600 };
static const struct netmap_rule ending_rules[] = {
	{.id = 1, .name = "brief"},
	{.id = 2, .name = "window"},
	{.id = 3, .name = "long"},
	{.id = 4, .name = "plain"},
};
static const struct netmap_grant ending_grants[] = {
	{.peer = 2, .svc = {SERVICE_TCP, 22, 22}, .rule = 1, .lease_s = 300},
	{.peer = 2,
	 .svc = {SERVICE_TCP, 5432, 5432},
	 .rule = 2,
	 .expires_s = 1800000000 + WINDOW_S},
	{.peer = 3, .svc = {SERVICE_TCP, 22, 22}, .rule = 3, .lease_s = 7200},
	{.peer = 3, .dir = NETMAP_IN, .svc = {SERVICE_TCP, 22, 22}, .rule = 4},
};

/* So long after the map was issued, by the clock that its lease is counted with and by the wall
 * clock: by which rules is something granted with each peer? Each name with a blank behind it. */
static const struct {
	const char *says;
	int64_t age_ms, wall_ms;
	const char *db_1, *db_2;
} ends[] = {
	{"the longest lease is over", 7200000, 7200000, "", ""},
	{"the last of it", 7199999, 7199999, "", "long "},
	{"the map's lease is over", LEASE_MS, LEASE_MS, "", "long "},
	{"the last of the map's", LEASE_MS - 1, LEASE_MS - 1, "", "long plain "},
	{"the window is closed", 600000, 600000, "", "long plain "},
	{"the last of the window", 599999, 599999, "window ", "long plain "},
	{"the short lease is over", 300000, 300000, "window ", "long plain "},
	{"the last of it", 299999, 299999, "brief window ", "long plain "},
	{"the wall clock was set back: the window stays closed", 600000, -3600000, "",
	 "long plain "},
	{"it was set back: no lease is longer", LEASE_MS, 0, "", "long "},
	{"it was set forward: the window alone is closed", 1000, 600000, "brief ", "long plain "},
	{"all is granted", 0, 0, "brief window ", "long plain "},
};

/* The names in a list, or those by which its objects say what rule they are of. */
static void check_names(const char *says, const json_t *list, const char *want)
{
	char got[100] = "";
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const json_t *name = json_is_object(item) ? json_object_get(item, "rule") : item;
		size_t n = strlen(got);

		snprintf(got + n, sizeof(got) - n, "%s ", json_string_value(name));
	}
	if (strcmp(got, want) != 0)
		fail_msg("%s: by \"%s\", not by \"%s\"", says, got, want);
}

/* What is over is no line of the grants, no rule of its peer, and no reason why; a peer that has
 * nothing else may use no address. */
static void check_ends(const struct role_status *s, size_t row)
{
	static const char *const ways[][3] = {{"brief ", "db-1", "tcp/22"},
					      {"window ", "db-1", "tcp/5432"},
					      {"long ", "db-2", "tcp/22"}};
	const struct now then = {now.wall_ms + ends[row].wall_ms, now.boot_ms + ends[row].age_ms};
	const char *by[] = {ends[row].db_1, ends[row].db_2}, *says = ends[row].says;
	json_t *j = view_status(&hello, s, &connected, NULL, then);
	char all[100];

	assert_non_null(j);
	snprintf(all, sizeof(all), "%s%s", by[0], by[1]);
	check_names(says, json_object_get(j, "grants"), all);
	for (size_t i = 0; i < N_OF(by); i++) {
		const json_t *peer = json_array_get(json_object_get(j, "peers"), i);
		size_t allowed = json_array_size(json_object_get(peer, "allowed_ips"));

		check_names(says, json_object_get(peer, "rules"), by[i]);
		row_check(says, (allowed > 0) == (by[i][0] != 0));
	}
	json_decref(j);
	for (size_t i = 0; i < N_OF(ways); i++) {
		j = view_why(s, &connected, ways[i][1], ways[i][2], then);
		row_check(says, json_is_true(json_object_get(j, "allowed")) ==
					(strstr(all, ways[i][0]) != NULL));
		json_decref(j);
	}
}

static void what_is_over_is_not_told_as_granted(void **state)
{
	struct netmap m = fixture_map();
	struct role_status s;
	struct buf map;

	(void)state;
	m.rules = ending_rules;
	m.n_rules = N_OF(ending_rules);
	m.grants = ending_grants;
	m.n_grants = N_OF(ending_grants);
	encode(m, &map);
	s = status_of(&map);
	for (size_t i = 0; i < N_OF(ends); i++) {
		s.lease_left_ms = LEASE_MS - ends[i].age_ms;
		check_ends(&s, i);
	}
	buf_free(&map);
}

/* Before the first map, and with bytes that are none: still a status. */
static void without_a_map_there_is_a_status_too(void **state)
{
	struct role_status s = {.interface = "zt0", .lease_left_ms = -1, .problem = "no rights"};
	json_t *j;

	(void)state;
	for (int i = 0; i < 2; i++) {
		j = view_status(&hello, &s, &connected, NULL, now);
		assert_non_null(j);
		check_at(j, "peers", "[]");
		check_at(j, "grants", "[]");
		check_at(j, "posture", "[]");
		check_at(j, "lease.expires", "null");
		check_at(j, "problem", "\"no rights\"");
		check_at(j, "device.tags", "[]");
		json_decref(j);
		s.map = (const uint8_t *)"no map";
		s.n_map = 6;
	}
}

static void posture_is_told_fact_by_fact(void **state)
{
	static const struct fact facts[] = {{"os.id", FACT_KNOWN, "debian", 3},
					    {"disk.encrypted", FACT_UNKNOWN, "no rights", 0}};
	json_t *j = view_posture(facts, 2, NULL);

	(void)state;
	assert_non_null(j);
	check_at(j, "facts.0",
		 "{\"age_s\":3,\"known\":true,\"name\":\"os.id\",\"value\":\"debian\"}");
	check_at(j, "facts.1.known", "false");
	check_at(j, "profiles", "[]");
	json_decref(j);
}

/* --- a link that reaches nobody --- */

struct caller {
	struct loop *loop;
	struct link *link;
	struct loop_timer *timer;
	int signs, turns;
	long status;
	bool answered;
	char problem[300];
};

static void sign(void *arg, const struct key *challenge)
{
	struct caller *c = arg;

	(void)challenge;
	c->signs++;
}

static void netmap(void *arg, const void *p, size_t n)
{
	(void)arg;
	(void)p;
	(void)n;
	fail();
}

static void advice_came(void *arg, json_t *advice)
{
	(void)arg;
	(void)advice;
	fail();
}

static uint64_t serial(void *arg)
{
	(void)arg;
	return 0;
}

static void up(void *arg)
{
	(void)arg;
	fail();
}

static void answered(void *arg, long status, json_t *answer, const char *problem)
{
	struct caller *c = arg;

	assert_null(answer);
	c->answered = true;
	c->status = status;
	snprintf(c->problem, sizeof(c->problem), "%s", problem);
}

/* Looks every few milliseconds until the link says what is wrong. */
static void look(void *arg)
{
	struct caller *c = arg;
	struct link_view v;

	link_view(c->link, &v);
	assert_false(v.connected);
	if (v.problem[0] || ++c->turns > 500)
		loop_stop(c->loop, 0);
	else
		loop_timer_set(c->timer, clock_now().boot_ms + 10);
}

static void a_link_says_why_it_is_not_connected(void **state)
{
	struct caller c = {.loop = loop_new()};
	struct link_config config = {c.loop, &hello, sign, netmap, advice_came, serial, up, &c};
	struct link_view v;
	struct sig sig = {{1}};

	(void)state;
	c.link = link_new(&config);
	assert_non_null(c.link);
	link_view(c.link, &v);
	assert_string_equal(v.device_state, "active");
	assert_false(v.connected);
	link_signed(c.link, &sig);	 /* nobody asked */
	link_result(c.link, -ZT_ESIG);	 /* of no stream */
	link_report(c.link, "first", 5); /* kept, the newest wins */
	link_report(c.link, "second", 6);
	link_ask(c.link, "GET", "/v1/why", answered, &c);
	assert_true(c.answered && c.status == 0 && c.problem[0]);
	c.timer = loop_timer_new(c.loop, look, &c);
	loop_timer_set(c.timer, 0);
	assert_int_equal(loop_run(c.loop), 0);
	link_view(c.link, &v);
	assert_true(v.problem[0] && v.hint[0]);
	assert_int_equal(c.signs, 0);
	link_free(c.link);
	link_free(NULL);
	loop_timer_free(c.timer);
	loop_free(c.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_status_says_what_is_in_force),
		cmocka_unit_test(what_cannot_be_enforced_is_said),
		cmocka_unit_test(what_is_left_to_the_device_denies),
		cmocka_unit_test(an_old_handshake_is_no_path),
		cmocka_unit_test(after_the_lease_nothing_is_granted),
		cmocka_unit_test(what_has_a_longer_lease_is_granted_after_the_map_s),
		cmocka_unit_test(what_is_over_is_not_told_as_granted),
		cmocka_unit_test(without_a_map_there_is_a_status_too),
		cmocka_unit_test(posture_is_told_fact_by_fact),
		cmocka_unit_test(a_link_says_why_it_is_not_connected),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
