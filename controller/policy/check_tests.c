/* The policy's own tests. They ask who, what and port; conditions are taken to hold in rules that
 * allow and to fail in rules that deny: what is denied must be denied to the best of devices in the
 * best of moments, and what is allowed must be allowed to it. Groups that an admin gives to users
 * are not in the file and not known here. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "controller/policy/index.h"
#include "controller/policy/services.h"
#include "controller/policy/words.h"

/* Rules about somebody, as bits. A group has one set for each kind of member. */
struct kinds {
	const uint64_t **rules;
	size_t n, cap;
	bool made;
};

struct test_run {
	struct parse *c;
	struct policy_index index;
	struct ids *covering;	/* by resource (covering_of) */
	struct kinds *by_group; /* by 2 * group + (expect allow): made when a test first asks */
	struct names seen;	/* (kind, bytes of bits): to have each set once */
};

static size_t rule_words(const struct test_run *t)
{
	return t->c->policy->n_rules / 64 + 1;
}

static bool has_rule(const uint64_t *rules, uint32_t i)
{
	return rules[i / 64] >> (i % 64) & 1;
}

/* --- who: sets of rules --- */

/* Rules about whoever is this one selector and nothing else; NULL when that is no member of the
 * group (an except keeps it out). group NAMES_ABSENT: not asked. -ENOMEM. */
static int rules_about(struct test_run *t, const struct selector *s, uint32_t group,
		       const uint64_t **ret)
{
	const struct policy_index *x = &t->index;
	uint64_t *bits = arena_array(&t->c->scratch, rule_words(t), sizeof(*bits));
	bool member = group == NAMES_ABSENT;
	struct atoms atoms = {0};
	struct arena a;
	int err = bits ? 0 : -ENOMEM;

	arena_init(&a, POLICY_MEMORY_MAX);
	atoms.arena = &a;
	if (!err)
		err = atoms_add(&atoms, index_atom(x, SELECTOR_ANYONE, NULL));
	if (!err)
		err = atoms_add(&atoms, index_atom(x, s->kind, s->name));
	if (!err)
		err = atoms_close(&atoms, x);
	for (uint32_t i = 0; i < atoms.n && !err; i++) {
		member = member || atoms.v[i] == group; /* the atom of a group is its index */
		for (uint32_t j = 0; j < x->rules[atoms.v[i]].n; j++) {
			uint32_t rule = x->rules[atoms.v[i]].v[j];

			bits[rule / 64] |= UINT64_C(1) << (rule % 64);
		}
	}
	arena_done(&a);
	*ret = member ? bits : NULL;
	return err;
}

/* key: what the sets belong to, so that each is kept once. */
static int kinds_add(struct test_run *t, struct kinds *k, uint32_t key, const uint64_t *bits)
{
	size_t size = rule_words(t) * sizeof(*bits);
	const uint64_t **v;

	if (names_find(&t->seen, key, (const char *)bits, size) != NAMES_ABSENT)
		return 0;
	v = arena_room(&t->c->scratch, k->rules, k->n, &k->cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	k->rules = v;
	k->rules[k->n++] = bits;
	return names_add(&t->seen, key, (const char *)bits, size, 0);
}

static int add_one(struct test_run *t, struct kinds *k, uint32_t key, const struct selector *s,
		   uint32_t group)
{
	const uint64_t *bits;
	int err = rules_about(t, s, group, &bits);

	return err || !bits ? err : kinds_add(t, k, key, bits);
}

/* Everybody that the group lists, also through groups in it. */
static int add_members(struct test_run *t, struct kinds *k, uint32_t key, uint32_t group)
{
	const struct policy_group *groups = t->c->policy->groups;
	uint32_t *todo = arena_array(&t->c->scratch, t->c->policy->n_groups, sizeof(*todo)), n = 0;
	bool *found = arena_array(&t->c->scratch, t->c->policy->n_groups, sizeof(*found));
	int err = todo && found ? 0 : -ENOMEM;

	if (!err) {
		todo[n++] = group;
		found[group] = true;
	}
	while (n > 0 && !err) {
		const struct selectors *l = &groups[todo[--n]].members;

		for (size_t i = 0; i < l->n_in && !err; i++) {
			const struct selector *s = &l->in[i];

			err = add_one(t, k, key, s, group);
			if (s->kind == SELECTOR_GROUP && !found[s->group] && !err) {
				found[s->group] = true;
				todo[n++] = s->group;
			}
		}
	}
	return err;
}

/* --- what: a rule that opens it, and rules that close it again --- */

static bool is_named_by(const struct selector *s, const struct selectors *l)
{
	for (size_t i = 0; i < l->n_in; i++)
		if (l->in[i].kind == s->kind &&
		    (s->kind == SELECTOR_ANYONE || strcmp(l->in[i].name, s->name) == 0))
			return true;
	return false;
}

/* Is every device that hosts r sure to host of, too? Then what is denied there is denied here. */
static bool is_hosted_by(const struct policy_resource *r, const struct policy_resource *of)
{
	if (r == of)
		return true;
	if (of->on.n_except)
		return false;
	for (size_t i = 0; i < r->on.n_in; i++)
		if (!is_named_by(&r->on.in[i], &of->on))
			return false;
	return r->on.n_in > 0;
}

/* Resources whose hosts are sure to be those of this one; made when a test first asks. */
static int covering_of(struct test_run *t, uint32_t resource, const struct ids **ret)
{
	const struct policy *p = t->c->policy;
	struct ids *c = &t->covering[resource];
	uint32_t *v;

	*ret = c;
	if (c->v || t->index.n_denies == 0)
		return 0;
	v = arena_array(&t->c->scratch, p->n_resources, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_resources; i++)
		if (is_hosted_by(&p->resources[resource], &p->resources[i]))
			v[c->n++] = i;
	c->v = v;
	return 0;
}

/* Does the rule deny, without a condition, to those with these rules? */
static bool denies(const struct test_run *t, const uint64_t *rules, uint32_t rule)
{
	const struct policy_rule *r = &t->c->policy->rules[rule];

	return r->deny && has_rule(rules, rule) && policy_rule_is_plain(r);
}

/* Ports that are denied on the hosts of the test's resource. */
static int denied_ports(struct test_run *t, const struct policy_test *test, const uint64_t *rules,
			const struct service **ret, size_t *ret_n)
{
	const struct policy_resource *resources = t->c->policy->resources;
	const struct ids *covering;
	struct service *v;
	size_t n = 0, used = 0;
	int err = covering_of(t, test->to, &covering);

	for (uint32_t i = 0; i < covering->n && !err; i++)
		for (uint32_t k = 0; k < t->index.opened[covering->v[i]].n; k++)
			if (denies(t, rules, t->index.opened[covering->v[i]].v[k])) {
				n += resources[covering->v[i]].n_ports;
				break;
			}
	v = arena_array(&t->c->scratch, n, sizeof(*v));
	if (!v || err)
		return err ? err : -ENOMEM;
	for (uint32_t i = 0; i < covering->n; i++)
		for (uint32_t k = 0; k < t->index.opened[covering->v[i]].n; k++)
			if (denies(t, rules, t->index.opened[covering->v[i]].v[k])) {
				const struct policy_resource *r = &resources[covering->v[i]];

				memcpy(v + used, r->ports, r->n_ports * sizeof(*v));
				used += r->n_ports;
				break;
			}
	*ret = v;
	*ret_n = used;
	return 0;
}

/* The first rule that opens the test's resource to somebody with these rules. */
static const struct policy_rule *rule_that_opens(const struct test_run *t, const uint64_t *rules,
						 const struct policy_test *test)
{
	const struct ids *about = &t->index.opened[test->to];

	for (uint32_t i = 0; i < about->n; i++)
		if (!t->c->policy->rules[about->v[i]].deny && has_rule(rules, about->v[i]))
			return &t->c->policy->rules[about->v[i]];
	return NULL;
}

/* How much of the test's service is open on the resource to those with these rules. */
enum opening { OPEN_NOT, OPEN_PARTLY, OPEN_WHOLLY };

static bool covers_all(const struct service *open, size_t n, const struct service *want,
		       struct arena *a)
{
	const struct service *left;
	size_t n_left;

	for (size_t i = 0; i < n; i++)
		if (service_covers(&open[i], want))
			return true;
	if (want->proto == SERVICE_ANY)
		return false;
	return services_cut(want, 1, open, n, a, &left, &n_left) == 0 && n_left == 0;
}

static int how_open(struct test_run *t, const struct policy_test *test, const uint64_t *rules,
		    enum opening *ret)
{
	const struct policy_resource *r = &t->c->policy->resources[test->to];
	const struct service *cuts, *open;
	size_t n_cuts, n;
	int err = denied_ports(t, test, rules, &cuts, &n_cuts);

	if (!err)
		err = services_cut(r->ports, r->n_ports, cuts, n_cuts, &t->c->scratch, &open, &n);
	if (err < 0)
		return err;
	*ret = OPEN_NOT;
	for (size_t i = 0; i < n; i++)
		if (service_overlaps(&open[i], &test->svc))
			*ret = OPEN_PARTLY;
	if (covers_all(open, n, &test->svc, &t->c->scratch))
		*ret = OPEN_WHOLLY;
	return 0;
}

/* --- nobody at all --- */

/* Is whoever the rule is about sure to be denied by the other, whatever else they are? */
static bool denies_all_of(const struct policy_rule *deny, const struct policy_rule *r)
{
	static const struct selector anyone = {.kind = SELECTOR_ANYONE};

	if (!deny->deny || !policy_rule_is_plain(deny) || deny->who.n_except)
		return false;
	if (is_named_by(&anyone, &deny->who))
		return true;
	for (size_t i = 0; i < r->who.n_in; i++)
		if (!is_named_by(&r->who.in[i], &deny->who))
			return false;
	return true;
}

/* Each rule that opens the resource, with the denies that nobody of it can escape by what they are
 * beside: that a rule is about nobody is not relied on. */
static int add_rules(struct test_run *t, const struct policy_test *test, struct kinds *k,
		     uint32_t key)
{
	const struct policy *p = t->c->policy;
	const struct ids *about = &t->index.opened[test->to];
	int err = 0;

	for (uint32_t i = 0; i < about->n && !err; i++) {
		const struct policy_rule *r = &p->rules[about->v[i]];
		uint64_t *bits;

		if (r->deny)
			continue;
		bits = arena_array(&t->c->scratch, rule_words(t), sizeof(*bits));
		if (!bits)
			return -ENOMEM;
		bits[about->v[i] / 64] |= UINT64_C(1) << (about->v[i] % 64);
		for (uint32_t j = 0; j < p->n_rules && t->index.n_denies; j++)
			if (denies_all_of(&p->rules[j], r))
				bits[j / 64] |= UINT64_C(1) << (j % 64);
		err = kinds_add(t, k, key, bits);
	}
	return err;
}

/* --- who is meant --- */

/* To deny a group, each of its members must be denied with all that they are. To allow it, the
 * group itself must be allowed, because an admin can give it further members. Anyone is denied when
 * nobody is allowed, whatever they are, and allowed when somebody is who is nothing else. */
static int make_kinds(struct test_run *t, const struct policy_test *test, struct kinds *k,
		      uint32_t key)
{
	bool nobody = test->from.kind == SELECTOR_ANYONE && !test->expect_allow;
	int err =
		nobody ? add_rules(t, test, k, key) : add_one(t, k, key, &test->from, NAMES_ABSENT);

	if (!err && test->from.kind == SELECTOR_GROUP && !test->expect_allow)
		err = add_members(t, k, key, test->from.group);
	k->made = true;
	return err;
}

static int kinds_of(struct test_run *t, const struct policy_test *test, struct kinds *room,
		    const struct kinds **ret)
{
	uint32_t i = test->from.kind == SELECTOR_GROUP ? 2 * test->from.group + test->expect_allow
						       : 2 * (uint32_t)t->c->policy->n_groups;
	struct kinds *k = test->from.kind == SELECTOR_GROUP ? &t->by_group[i] : room;

	*ret = k;
	if (k->made)
		return 0;
	if (k == room)
		i += (uint32_t)(test - t->c->policy->tests);
	return make_kinds(t, test, k, i);
}

/* --- what is said --- */

static struct diag *test_failed(const struct test_run *t, const struct policy_test *test,
				const char *fmt, ...) ZT_PRINTF(3, 4);
static struct diag *test_failed(const struct test_run *t, const struct policy_test *test,
				const char *fmt, ...)
{
	const struct place at = {.line = test->line, .column = test->column};
	char what[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return problem_at(t->c, at, "test \"%s\" fails: %s", test->name, what);
}

static void denied_but_allowed(const struct test_run *t, const struct policy_test *test,
			       const struct policy_rule *rule)
{
	const struct policy_resource *r = &t->c->policy->resources[test->to];
	const char *all =
		test->from.kind == SELECTOR_ANYONE ? list_print(&rule->who, &t->c->scratch) : NULL;
	char from[SELECTOR_TEXT_MAX], svc[SERVICE_TEXT_MAX];

	selector_print(&test->from, from);
	service_print(&test->svc, svc);
	diag_hint(test_failed(t, test, "rule \"%s\" (line %u) lets %s%s reach %s %s", rule->name,
			      rule->line, test->from.kind == SELECTOR_GROUP ? "a member of " : "",
			      all ? all : from, r->name, svc),
		  "change the who of the rule, or expect = allow");
}

/* A rule that denies these on the test's resource or its hosts; NULL when there is none. */
static const struct policy_rule *rule_that_denies(struct test_run *t, const uint64_t *rules,
						  const struct policy_test *test)
{
	const struct ids *covering;

	if (covering_of(t, test->to, &covering) < 0)
		return NULL;
	for (uint32_t i = 0; i < covering->n; i++)
		for (uint32_t k = 0; k < t->index.opened[covering->v[i]].n; k++)
			if (denies(t, rules, t->index.opened[covering->v[i]].v[k]))
				return &t->c->policy->rules[t->index.opened[covering->v[i]].v[k]];
	return NULL;
}

static void closed_by_deny(const struct test_run *t, const struct policy_test *test,
			   const struct policy_rule *deny)
{
	char from[SELECTOR_TEXT_MAX], svc[SERVICE_TEXT_MAX];

	selector_print(&test->from, from);
	service_print(&test->svc, svc);
	diag_hint(test_failed(t, test, "rule \"%s\" (line %u) denies %s %s %s", deny->name,
			      deny->line, from, t->c->policy->resources[test->to].name, svc),
		  "a deny wins over every rule that allows: change its who or what, or expect = "
		  "deny");
}

static void allowed_but_denied(const struct test_run *t, const struct policy_test *test)
{
	const struct policy *p = t->c->policy;
	const struct policy_resource *r = &p->resources[test->to];
	const struct ids *about = &t->index.opened[test->to];
	const struct policy_rule *rule = NULL;
	char from[SELECTOR_TEXT_MAX], svc[SERVICE_TEXT_MAX];
	struct diag *d;

	for (uint32_t i = 0; i < about->n && !rule; i++)
		if (!p->rules[about->v[i]].deny)
			rule = &p->rules[about->v[i]];
	selector_print(&test->from, from);
	service_print(&test->svc, svc);
	d = test_failed(t, test, "no rule lets %s reach %s %s", from, r->name, svc);
	if (rule)
		diag_hint(d, "rule \"%s\" (line %u) opens %s: add %s to its who, or expect = deny",
			  rule->name, rule->line, r->name, from);
	else
		diag_hint(d, "no rule opens %s at all: write one, or expect = deny", r->name);
}

static void port_not_offered(const struct test_run *t, const struct policy_test *test)
{
	const struct policy_resource *r = &t->c->policy->resources[test->to];
	const char *ports = services_print(r->ports, r->n_ports, &t->c->scratch);
	char svc[SERVICE_TEXT_MAX];

	service_print(&test->svc, svc);
	diag_hint(test_failed(t, test, "%s does not offer all of %s", r->name, svc),
		  "its ports are %s", ports ? ports : "others");
}

/* --- the tests --- */

/* One kind of somebody; true when the test fails on it, which is said. */
static int run_kind(struct test_run *t, const struct policy_test *test, const uint64_t *rules,
		    bool *ret_failed)
{
	const struct policy_resource *r = &t->c->policy->resources[test->to];
	const struct policy_rule *rule = rule_that_opens(t, rules, test), *deny;
	enum opening open;
	int err = how_open(t, test, rules, &open);

	if (err < 0)
		return err;
	*ret_failed = test->expect_allow ? !rule || open != OPEN_WHOLLY : rule && open != OPEN_NOT;
	if (!*ret_failed)
		return 0;
	deny = rule_that_denies(t, rules, test);
	if (!test->expect_allow)
		denied_but_allowed(t, test, rule);
	else if (!covers_all(r->ports, r->n_ports, &test->svc, &t->c->scratch))
		port_not_offered(t, test);
	else if (rule && deny)
		closed_by_deny(t, test, deny);
	else
		allowed_but_denied(t, test);
	return 0;
}

static int run_test(struct test_run *t, const struct policy_test *test)
{
	const struct kinds *kinds;
	struct kinds room = {0};
	bool failed = false;
	int err = kinds_of(t, test, &room, &kinds);

	for (size_t i = 0; i < kinds->n && !failed && !err; i++)
		err = run_kind(t, test, kinds->rules[i], &failed);
	return err;
}

void check_tests(struct parse *c)
{
	const struct policy *p = c->policy;
	struct test_run t = {.c = c};
	int err = index_init(&t.index, p);

	if (err < 0)
		return parse_fail(c, err);
	names_init(&t.seen, &c->scratch);
	t.by_group = arena_array(&c->scratch, 2 * p->n_groups, sizeof(*t.by_group));
	t.covering = arena_array(&c->scratch, p->n_resources, sizeof(*t.covering));
	if (!t.by_group || !t.covering)
		err = -ENOMEM;
	for (size_t i = 0; i < p->n_tests && !c->stop && !err; i++)
		err = run_test(&t, &p->tests[i]);
	if (err < 0)
		parse_fail(c, err);
	index_done(&t.index);
}
