/* The engine against an oracle that reads the policy like a person does: for every two devices,
 * every rule, every resource. Random policies, random changes; after each change every answer of
 * every device is compared. */
#include "tests/unit/policy_fixture.h"

#include <errno.h>

#include "controller/policy/engine.h"
#include "controller/zones.h"
#include "tests/unit/chance.h"
#include "zt/buf.h"

enum {
	DEVICES = 12,
	NAMES = 5, /* of users, tags, groups */
	WORLDS = 60,
	CHANGES = 60, /* of each world */
	GRANTS_MAX = 20000,
};

/* --- a random policy --- */

#define PUT_LIST(b, key, forms, max) put_forms(b, key, forms, N_OF(forms), max, NAMES)

static const char *const member_kinds[] = {"user:u#@x.org", "tag:t#"};
static const char *const host_kinds[] = {"tag:t#", "tag:t#", "device:d#"};
static const char *const who_kinds[] = {"user:u#@x.org", "group:g#",  "group:g#",
					"tag:t#",	 "device:d#", "anyone"};
static const char *const what_kinds[] = {"resource:r#", "resource:r#", "resource:*"};
static const char *const except_kinds[] = {"user:u#@x.org", "group:g#", "tag:t#", "device:d#",
					   "resource:r#"};
static const char *const how_kinds[] = {"posture:p#"};
static const char *const port_kinds[] = {"tcp/#1", "udp/53#", "tcp/1#-200", "icmp", "any"};

/* NULL: one that is refused, because an except leaves nothing. */
static struct policy *throw_policy(void)
{
	static struct diag items[4];
	struct diag_list problems = {.items = items, .max = N_OF(items)};
	struct policy *p = NULL;
	struct buf b;

	buf_init_grow(&b, 1 << 20);
	for (unsigned i = 0; i < NAMES; i++) {
		char lower[16];
		const char *groups[] = {lower, "user:u#@x.org", "tag:t#"};

		snprintf(lower, sizeof(lower), "group:g%u", i ? roll(i) : 0);
		buf_printf(&b, "[group g%u]\n", i);
		if (i && roll(2))
			PUT_LIST(&b, "members", groups, 3);
		else if (roll(4))
			PUT_LIST(&b, "members", member_kinds, 3);
		if (i && !roll(4))
			PUT_LIST(&b, "except", groups, 2);
		buf_printf(&b, "[posture p%u]\nrequire = custom.c%u == 1\n[resource r%u]\n", i, i,
			   i);
		PUT_LIST(&b, "on", host_kinds, 3);
		PUT_LIST(&b, "ports", port_kinds, 3);
		if (!roll(4))
			PUT_LIST(&b, "except", host_kinds, 1);
	}
	for (unsigned i = 0, n = roll(12); i < n; i++) {
		buf_printf(&b, "[rule n%u]\nwhy = x\n", i);
		PUT_LIST(&b, "who", who_kinds, 3);
		PUT_LIST(&b, "what", what_kinds, 3);
		if (roll(2))
			PUT_LIST(&b, "how", how_kinds, 2);
		if (!roll(3))
			PUT_LIST(&b, "except", except_kinds, 3);
	}
	if (policy_parse("random", (const char *)b.data, b.len, NULL, &p, &problems) < 0) {
		if (!strstr(items[0].message, "except takes out all"))
			fail_msg("%s\n%s", items[0].message, buf_text(&b));
		p = NULL;
	}
	buf_free(&b);
	return p;
}

static struct policy *random_policy(void)
{
	struct policy *p;

	while (!(p = throw_policy()))
		;
	return p;
}

/* --- random devices; each with memory of its own, as the engine borrows from it --- */

struct device {
	bool in;
	char name[8], owner[16];
	char tags[3][8], groups[2][8];
	const char *tag_list[3], *group_list[2];
	struct subject s;
};

static void random_device(struct device *d, uint32_t id)
{
	*d = (struct device){.in = true};
	snprintf(d->name, sizeof(d->name), "d%u", roll(2) ? id % NAMES : id);
	d->s = (struct subject){.id = id * 1000 + 7,
				.name = d->name,
				.owner = d->owner,
				.tags = d->tag_list,
				.groups = d->group_list};
	if (roll(3)) {
		snprintf(d->owner, sizeof(d->owner), "u%u@x.org", roll(NAMES + 1));
		d->s.n_groups = roll(3);
	}
	d->s.n_tags = roll(4);
	for (size_t i = 0; i < 3; i++) {
		snprintf(d->tags[i], sizeof(d->tags[i]), "t%u", roll(NAMES + 1));
		d->tag_list[i] = d->tags[i];
	}
	for (size_t i = 0; i < 2; i++) {
		snprintf(d->groups[i], sizeof(d->groups[i]), "g%u", roll(NAMES + 1));
		d->group_list[i] = d->groups[i];
	}
	d->s.verdicts = roll(1 << NAMES) | roll(1 << NAMES);
}

/* --- the oracle --- */

static bool is_any(const struct policy *p, const struct subject *s, const struct selector *list,
		   size_t n);
static bool is_in(const struct policy *p, const struct subject *s, const struct selectors *l)
{
	return is_any(p, s, l->in, l->n_in) && !is_any(p, s, l->except, l->n_except);
}

static bool in_group(const struct policy *p, const struct subject *s, const struct policy_group *g)
{
	bool given = false;

	for (size_t i = 0; i < s->n_groups; i++)
		given = given || strcmp(s->groups[i], g->name) == 0;
	return (given || is_any(p, s, g->members.in, g->members.n_in)) &&
	       !is_any(p, s, g->members.except, g->members.n_except);
}

static bool is_member(const struct policy *p, const struct subject *s, const struct selector *sel)
{
	switch (sel->kind) {
	case SELECTOR_USER:
		return strcmp(sel->name, s->owner) == 0;
	case SELECTOR_DEVICE:
		return strcmp(sel->name, s->name) == 0;
	case SELECTOR_ANYONE:
		return true;
	case SELECTOR_GROUP:
		return in_group(p, s, &p->groups[sel->group]);
	case SELECTOR_TAG:
		for (size_t i = 0; i < s->n_tags; i++)
			if (strcmp(sel->name, s->tags[i]) == 0)
				return true;
		return false;
	}
	return false;
}

static bool is_any(const struct policy *p, const struct subject *s, const struct selector *list,
		   size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_member(p, s, &list[i]))
			return true;
	return false;
}

static bool complies(const struct policy_rule *r, const struct subject *s)
{
	for (size_t i = 0; i < r->n_how; i++)
		if (!(s->verdicts >> r->how[i] & 1))
			return false;
	return true;
}

static bool grant_equal(const struct grant *a, const struct grant *b)
{
	return a->src == b->src && a->dst == b->dst && a->rule == b->rule &&
	       service_compare(&a->svc, &b->svc) == 0;
}

struct answer {
	struct grant grants[GRANTS_MAX];
	size_t n;
	bool neighbour[DEVICES][DEVICES];
	uint64_t profiles[DEVICES];
};

static void add_grant(struct answer *a, const struct grant *g)
{
	for (size_t i = 0; i < a->n; i++)
		if (grant_equal(&a->grants[i], g))
			return;
	assert_true(a->n < GRANTS_MAX);
	a->grants[a->n++] = *g;
}

/* One rule, one source, one destination. */
static void ask_oracle(const struct policy *p, const struct policy_rule *r,
		       const struct device *devices, size_t src, size_t dst, struct answer *a)
{
	const struct subject *s = &devices[src].s, *d = &devices[dst].s;

	for (size_t i = 0; i < r->n_what; i++) {
		const struct policy_resource *res = &p->resources[r->what[i]];

		if (!is_in(p, d, &res->on))
			continue;
		a->neighbour[src][dst] = a->neighbour[dst][src] = true;
		for (size_t k = 0; complies(r, s) && k < res->n_ports; k++)
			add_grant(a, &(struct grant){.src = s->id,
						     .dst = d->id,
						     .rule = r->id,
						     .svc = res->ports[k]});
	}
}

static void oracle(const struct policy *p, const struct device *devices, struct answer *a)
{
	*a = (struct answer){0};
	for (size_t k = 0; k < p->n_rules; k++) {
		const struct policy_rule *r = &p->rules[k];

		for (size_t src = 0; src < DEVICES; src++) {
			if (!devices[src].in || !is_in(p, &devices[src].s, &r->who))
				continue;
			for (size_t i = 0; i < r->n_how; i++)
				a->profiles[src] |= UINT64_C(1) << r->how[i];
			for (size_t dst = 0; dst < DEVICES; dst++)
				if (dst != src && devices[dst].in)
					ask_oracle(p, r, devices, src, dst, a);
		}
	}
}

/* --- comparison --- */

static int compare(const struct grant *a, const struct grant *b)
{
	if (a->src != b->src)
		return a->src < b->src ? -1 : 1;
	if (a->dst != b->dst)
		return a->dst < b->dst ? -1 : 1;
	if (service_compare(&a->svc, &b->svc))
		return service_compare(&a->svc, &b->svc);
	return (a->rule > b->rule) - (a->rule < b->rule);
}

static void check_grants(const struct engine *e, const struct answer *want, uint32_t id)
{
	const struct grant *got;
	size_t n, expected = 0, found = 0;
	struct arena a;

	arena_init(&a, (size_t)16 << 20);
	assert_int_equal(engine_grants(e, id, &a, &got, &n), 0);
	for (size_t i = 0; i < want->n; i++) {
		if (want->grants[i].src != id && want->grants[i].dst != id)
			continue;
		expected++;
		for (size_t k = 0; k < n; k++)
			found += grant_equal(&got[k], &want->grants[i]);
	}
	assert_int_equal(n, expected);
	assert_int_equal(found, expected);
	for (size_t i = 1; i < n; i++)
		assert_true(compare(&got[i - 1], &got[i]) < 0);
	arena_done(&a);
}

static void check_neighbours(const struct engine *e, const struct device *devices,
			     const struct answer *want, size_t i)
{
	const uint32_t *got;
	size_t n, k = 0;
	struct arena a;

	arena_init(&a, 1 << 20);
	assert_int_equal(engine_neighbours(e, devices[i].s.id, &a, &got, &n), 0);
	for (size_t j = 0; j < DEVICES; j++)
		if (devices[i].in && want->neighbour[i][j]) {
			assert_true(k < n);
			assert_int_equal(got[k++], devices[j].s.id);
		}
	assert_int_equal(k, n);
	arena_done(&a);
}

static void check_hosts(const struct engine *e, const struct policy *p,
			const struct device *devices)
{
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t r = 0; r < p->n_resources; r++) {
		const struct policy_resource *res = &p->resources[r];
		const uint32_t *got;
		size_t n, k = 0;

		assert_int_equal(engine_hosts(e, res->name, &a, &got, &n), 0);
		for (size_t j = 0; j < DEVICES; j++)
			if (devices[j].in && is_in(p, &devices[j].s, &res->on)) {
				assert_true(k < n);
				assert_int_equal(got[k++], devices[j].s.id);
			}
		assert_int_equal(k, n);
	}
	arena_done(&a);
}

/* explain says "allowed" exactly where a grant covers the service, and otherwise always why not. */
static void check_explain(const struct engine *e, const struct device *devices,
			  const struct answer *want)
{
	static const struct service services[] = {{SERVICE_TCP, 11, 11},
						  {SERVICE_TCP, 150, 150},
						  {SERVICE_UDP, 531, 531},
						  {SERVICE_ICMP, 0, 0}};
	const struct device *s = &devices[roll(DEVICES)], *d = &devices[roll(DEVICES)];
	const struct service *svc = &services[roll(N_OF(services))];
	struct explain_context c = {.own_only = roll(2)};
	struct explanation x;
	bool allowed = false;
	struct arena a;
	int err;

	arena_init(&a, 1 << 20);
	err = engine_explain(e, s->s.id, d->s.id, svc, &c, &a, &x);
	for (size_t i = 0; i < want->n; i++)
		allowed |= want->grants[i].src == s->s.id && want->grants[i].dst == d->s.id &&
			   service_covers(&want->grants[i].svc, svc);
	assert_int_equal(err, s->in && d->in ? 0 : -ZT_EABSENT);
	if (!err) {
		assert_int_equal(x.allowed, allowed);
		assert_int_equal(x.rule != NULL, allowed);
		assert_true(!allowed || (!x.nearest && x.n_failed == 0));
		assert_int_equal(x.nearest != NULL, x.n_failed > 0);
	}
	arena_done(&a);
}

static size_t compared; /* grants, in all checks: that the worlds are not empty */

static void check_all(const struct engine *e, const struct policy *p, const struct device *devices)
{
	static struct answer want;

	oracle(p, devices, &want);
	compared += want.n;
	for (size_t i = 0; i < DEVICES; i++) {
		check_grants(e, &want, devices[i].s.id);
		check_neighbours(e, devices, &want, i);
		if (devices[i].in)
			assert_int_equal(engine_profiles(e, devices[i].s.id), want.profiles[i]);
		check_explain(e, devices, &want);
	}
	check_hosts(e, p, devices);
}

static void change_one(struct engine *e, struct device *devices)
{
	uint32_t i = roll(DEVICES);
	struct device *d = &devices[i];

	if (!d->in || roll(4) == 0) { /* joins, or is another in everything */
		random_device(d, i);
	} else if (roll(4) == 0) {
		d->in = false;
		engine_remove(e, d->s.id);
		return;
	} else if (roll(2)) {
		d->s.verdicts ^= UINT64_C(1) << roll(NAMES);
	} else {
		d->s.n_tags = roll(4);
	}
	assert_int_equal(engine_put(e, &d->s), 0);
}

static void grants_are_those_of_the_oracle_after_every_change(void **state)
{
	static struct device devices[DEVICES];

	(void)state;
	for (int w = 0; w < WORLDS; w++) {
		struct policy *p = random_policy();
		struct engine *e = engine_new(p, 0);

		assert_non_null(e);
		for (uint32_t i = 0; i < DEVICES; i++) {
			random_device(&devices[i], i);
			devices[i].in = false;
		}
		for (int c = 0; c < CHANGES; c++) {
			change_one(e, devices);
			check_all(e, p, devices);
		}
		engine_free(e);
		policy_free(p);
	}
	assert_true(compared > 100 * WORLDS * CHANGES / 10);
}

/* --- by hand --- */

static void two_rules_for_one_port_are_two_grants(void **state)
{
	struct policy *p =
		parsed("[resource r]\non = tag:r\nports = tcp/1, tcp/1\n"
		       "[rule a]\nwho = anyone, tag:s\nwhat = resource:r, resource:r\nwhy = a\n"
		       "[rule b]\nwho = tag:s\nwhat = resource:r\nwhy = b\n");
	static const char *const s[] = {"s", "s"}, *const r[] = {"r", "s"};
	struct engine *e = engine_new(p, 0);
	const struct grant *g;
	const uint32_t *ids;
	struct arena a;
	size_t n;

	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(
		engine_put(e, &(struct subject){.id = 2, .name = "s", .tags = s, .n_tags = 2}), 0);
	assert_int_equal(
		engine_put(e, &(struct subject){.id = 1, .name = "r", .tags = r, .n_tags = 2}), 0);
	assert_int_equal(engine_grants(e, 1, &a, &g, &n), 0);
	assert_int_equal(n, 2); /* the host, a source too, is not granted to itself */
	assert_int_equal(g[0].rule, 1);
	assert_int_equal(g[1].rule, 2);
	assert_int_equal(g[0].src, 2);
	assert_int_equal(engine_grants(e, 3, &a, &g, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(engine_neighbours(e, 3, &a, &ids, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(engine_hosts(e, "x", &a, &ids, &n), -ZT_EABSENT);
	engine_remove(e, 3);
	arena_done(&a);
	arena_init(&a, 64);
	assert_int_equal(engine_grants(e, 1, &a, &g, &n), -ENOMEM);
	arena_done(&a);
	engine_free(e);
	policy_free(p);
}

/* What its resources give a rule on one host, as words: "tcp/22 1800, tcp/80 600". */
static void check_leases(const char *says, const char *resources, const char *want)
{
	static const char *const tags[] = {"r"};
	struct engine *e;
	const struct grant *g;
	struct policy *p;
	char text[512], word[SERVICE_TEXT_MAX];
	struct arena a;
	struct buf b;
	size_t n;

	buf_init(&b, text, sizeof(text));
	buf_printf(&b,
		   "[network]\nlease = 30m\n%s[rule a]\nwho = tag:s\nwhat = resource:*\nwhy = a\n",
		   resources);
	p = parsed(buf_text(&b));
	e = engine_new(p, 0);
	arena_init(&a, 1 << 16);
	assert_int_equal(
		engine_put(e, &(struct subject){.id = 1, .name = "r", .tags = tags, .n_tags = 1}),
		0);
	assert_int_equal(engine_put(e, &(struct subject){.id = 2,
							 .name = "s",
							 .tags = (const char *const[]){"s"},
							 .n_tags = 1}),
			 0);
	assert_int_equal(engine_grants(e, 1, &a, &g, &n), 0);
	buf_init(&b, text, sizeof(text));
	for (size_t i = 0; i < n; i++) {
		service_print(&g[i].svc, word);
		buf_printf(&b, "%s%s %u", i ? ", " : "", word, g[i].lease_s);
	}
	if (strcmp(buf_text(&b), want) != 0)
		fail_msg("%s: %s, not %s", says, buf_text(&b), want);
	arena_done(&a);
	engine_free(e);
	policy_free(p);
}

static void grants_have_the_lease_of_their_resource(void **state)
{
	static const struct {
		const char *says, *resources, *want;
	} rows[] = {
		{"none given: the network's", "[resource x]\non = tag:r\nports = tcp/1\n",
		 "tcp/1 1800"},
		{"its own", "[resource x]\non = tag:r\nports = tcp/1\nlease = 5m\n", "tcp/1 300"},
		{"each its own",
		 "[resource x]\non = tag:r\nports = tcp/1\nlease = 5m\n"
		 "[resource y]\non = tag:r\nports = tcp/2\nlease = 1d\n"
		 "[resource z]\non = tag:r\nports = tcp/3\n",
		 "tcp/1 300, tcp/2 86400, tcp/3 1800"},
		{"one grant of two resources: the longer one",
		 "[resource x]\non = tag:r\nports = tcp/1\nlease = 5m\n"
		 "[resource y]\non = tag:r\nports = tcp/1\nlease = 10m\n",
		 "tcp/1 600"},
		{"none given counts as the network's: longer than 5 m",
		 "[resource x]\non = tag:r\nports = tcp/1\n"
		 "[resource y]\non = tag:r\nports = tcp/1\nlease = 5m\n",
		 "tcp/1 1800"},
		{"and shorter than a day",
		 "[resource x]\non = tag:r\nports = tcp/1\n"
		 "[resource y]\non = tag:r\nports = tcp/1\nlease = 1d\n",
		 "tcp/1 86400"},
		{"pieces that a deny leaves keep it",
		 "[resource x]\non = tag:r\nports = tcp/1-9\nlease = 5m\n"
		 "[resource y]\non = tag:r\nports = tcp/5\n"
		 "[rule d]\nwho = tag:s\nwhat = resource:y\naction = deny\nwhy = d\n",
		 "tcp/1-4 300, tcp/6-9 300"},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		check_leases(rows[i].says, rows[i].resources, rows[i].want);
}

static void owners_are_found(void **state)
{
	struct policy *p = parsed("");
	struct engine *e = engine_new(p, 0);
	const uint32_t *ids;
	struct arena a;
	size_t n;

	(void)state;
	arena_init(&a, 1 << 16);
	for (uint32_t i = 1; i <= 200; i++)
		assert_int_equal(engine_put(e, &(struct subject){.id = i,
								 .name = "d",
								 .owner = i % 2 ? "ada@x" : ""}),
				 0);
	for (uint32_t i = 1; i <= 190; i++)
		engine_remove(e, i);
	assert_int_equal(engine_owned(e, "ada@x", &a, &ids, &n), 0);
	assert_int_equal(n, 5);
	assert_int_equal(ids[0], 191);
	assert_int_equal(ids[4], 199);
	arena_done(&a);
	engine_free(e);
	policy_free(p);
}

static size_t count_grants(const struct engine *e, uint32_t id)
{
	const struct grant *g;
	struct arena a;
	size_t n;

	arena_init(&a, 1 << 16);
	assert_int_equal(engine_grants(e, id, &a, &g, &n), 0);
	arena_done(&a);
	return n;
}

/* A rule with this when and an end at 2025-12-31 14:00, an hour before it and then. */
static void check_end(const char *when)
{
	static const char *const tag[] = {"r"};
	const int64_t end_s = 1767189600;
	struct engine *e;
	struct policy *p;
	const uint32_t *ids;
	struct arena a;
	char text[512];
	size_t n;

	snprintf(text, sizeof(text),
		 "[resource r]\non = tag:r\nports = tcp/1\n"
		 "[schedule plain]\nwhen = ..2026-12-31\n"
		 "[schedule every-day]\nwhen = Mon-Sun\nexcept = 2025-06-01\n"
		 "[schedule by-day]\nwhen = 08:00-20:00\nexcept = Sun\n"
		 "[rule a]\nwho = anyone\nwhat = resource:r\nwhy = w\nwhen = %s\n"
		 "until = 2025-12-31 14:00\n",
		 when);
	p = parsed(text);
	e = engine_new(p, end_s - 3600);
	assert_non_null(e);
	assert_int_equal(engine_put(e, &(struct subject){.id = 1, .name = "a", .owner = ""}), 0);
	assert_int_equal(
		engine_put(e,
			   &(struct subject){
				   .id = 2, .name = "b", .owner = "", .tags = tag, .n_tags = 1}),
		0);
	row_check(when, count_grants(e, 1) == 1);
	row_check(when, engine_next(e) == end_s);
	arena_init(&a, 1 << 16);
	assert_int_equal(engine_advance(e, end_s, &a, &ids, &n), 0);
	row_check(when, n == 2 && count_grants(e, 1) == 0);
	row_check(when, engine_next(e) == INT64_MAX);
	arena_done(&a);
	engine_free(e);
	policy_free(p);
}

static void a_rule_ends_whatever_its_when(void **state)
{
	static const char *const whens[] = {"schedule:plain", "schedule:every-day",
					    "schedule:by-day", "schedule:by-day, 22:00-23:00"};

	(void)state;
	for (size_t i = 0; i < N_OF(whens); i++)
		check_end(whens[i]);
}

/* The next edge may be one to ask again at. */
static void what_opens_in_years_is_not_said_to_be_over(void **state)
{
	struct policy *p = parsed("[resource r]\non = device:b\nports = tcp/1\n"
				  "[schedule evening]\nwhen = 20:00-21:00\nexcept = 2026-01-01\n"
				  "[rule a]\nwho = anyone\nwhat = resource:r\nwhy = w\n"
				  "when = schedule:evening, 2045-06-01\nexcept = 19:00-22:00\n");
	static const struct service svc = {SERVICE_TCP, 1, 1};
	struct engine *e = engine_new(p, 1767189600);
	struct explain_context c = {0};
	struct explanation x;
	struct arena a;

	(void)state;
	assert_non_null(e);
	assert_int_equal(engine_put(e, &(struct subject){.id = 1, .name = "a", .owner = ""}), 0);
	assert_int_equal(engine_put(e, &(struct subject){.id = 2, .name = "b", .owner = ""}), 0);
	arena_init(&a, 1 << 16);
	assert_int_equal(engine_explain(e, 1, 2, &svc, &c, &a, &x), 0);
	assert_int_equal(x.n_failed, 1);
	assert_string_equal(x.failed[0].hint,
			    "It does not open soon; ask for a rule that holds now.");
	arena_done(&a);
	engine_free(e);
	policy_free(p);
}

/* Busy times that never change, beside others that change every day and make no difference. Each
 * edge of those must not cost a look at the whole future: then this would take hours. */
static void times_that_hide_each_other_cost_no_time(void **state)
{
	struct policy_env env = {.zone = zones_get, .zones = zones_new("/usr/share/zoneinfo")};
	struct policy *p;
	const uint32_t *ids;
	struct engine *e;
	struct arena a;
	struct buf b;
	size_t n;

	(void)state;
	buf_init_grow(&b, 1 << 20);
	buf_put_text(&b, "[network]\ntimezone = Europe/Berlin\n"
			 "[resource r]\non = tag:r\nports = tcp/1\n"
			 "[schedule hidden]\nwhen = Mon-Fri 08:00-12:00, Mon-Sun 11:00-17:00\n"
			 "except = 07:00-18:00\n"
			 "[schedule evening]\nwhen = 20:00-21:00\n");
	for (int i = 0; i < 40; i++)
		buf_printf(&b,
			   "[rule n%d]\nwho = anyone\nwhat = resource:r\nwhy = x\n"
			   "when = schedule:hidden, schedule:evening, 2026-06-%02d\n"
			   "except = 19:%02d-22:00\n",
			   i, 1 + i % 30, i);
	p = parsed_in(buf_text(&b), &env);
	e = engine_new(p, 1764000000); /* 2025-11-24 */
	assert_non_null(e);
	arena_init(&a, 1 << 20);
	/* It may ask again before, a few times. */
	for (int i = 0; i < 10 && engine_next(e) < 1780264800; i++)
		assert_int_equal(engine_advance(e, engine_next(e), &a, &ids, &n), 0);
	assert_int_equal(engine_next(e), 1780264800); /* 2026-06-01 00:00 */
	arena_done(&a);
	engine_free(e);
	policy_free(p);
	zones_free(env.zones);
	buf_free(&b);
}

/* A host that many reach, under many invariants that will end what is granted: the answer is as big
 * as the grants, not as all that the host offers times the invariants. */
static void many_invariants_about_a_hub_cost_little(void **state)
{
	struct policy_env env = {.was_accepted = true};
	const char *tags[] = {"hub"};
	struct subject s = {.id = 1, .name = "hub", .owner = "", .tags = tags, .n_tags = 1};
	struct policy *p;
	const struct grant *g;
	struct engine *e;
	struct arena a;
	struct buf b;
	size_t n;

	(void)state;
	buf_init_grow(&b, 1 << 20);
	buf_put_text(&b, "[rule r]\nwho = anyone\nwhat = resource:r0\nwhy = x\n");
	for (int i = 0; i < 20; i++)
		buf_printf(&b, "[resource r%d]\non = tag:hub\nports = tcp/%d, tcp/%d, tcp/%d\n", i,
			   10 * i + 1, 10 * i + 3, 10 * i + 5);
	for (int i = 0; i < 50; i++)
		buf_printf(&b,
			   "[schedule s%d]\nwhen = ..%d-01-01\n[invariant i%d]\nfrom = anyone\n"
			   "to = resource:*\nexpect = schedule:s%d\nwhy = x\n",
			   i, 2040 - i % 10, i, i);
	p = parsed_in(buf_text(&b), &env);
	e = engine_new(p, 1764000000); /* 2025-11-24 */
	assert_non_null(e);
	assert_int_equal(engine_put(e, &s), 0);
	s = (struct subject){.name = "x", .owner = "u@x.org"};
	for (s.id = 2; s.id <= 2000; s.id++)
		assert_int_equal(engine_put(e, &s), 0);
	arena_init(&a, 8 << 20);
	assert_int_equal(engine_grants(e, 1, &a, &g, &n), 0);
	assert_int_equal(n, 3 * 1999);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(g[i].until_s, engine_next(e)); /* the first to end */
	arena_done(&a);
	engine_free(e);
	policy_free(p);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_are_those_of_the_oracle_after_every_change),
		cmocka_unit_test(two_rules_for_one_port_are_two_grants),
		cmocka_unit_test(grants_have_the_lease_of_their_resource),
		cmocka_unit_test(owners_are_found),
		cmocka_unit_test(a_rule_ends_whatever_its_when),
		cmocka_unit_test(what_opens_in_years_is_not_said_to_be_over),
		cmocka_unit_test(times_that_hide_each_other_cost_no_time),
		cmocka_unit_test(many_invariants_about_a_hub_cost_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
