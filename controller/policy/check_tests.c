/* The policy's own tests. They ask who, what and port; posture is taken to hold: what is denied
 * must be denied to the best of devices, and what is allowed must be allowed to it. Groups that an
 * admin gives to users are not in the file and not known here. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "controller/policy/index.h"
#include "controller/policy/words.h"

struct test_run {
	struct parse *c;
	struct policy_index index;
	uint64_t *in_force;  /* bit per rule: its who includes the test's from */
	uint64_t **by_group; /* by group: in_force, made when a test first asks */
	struct atoms atoms;  /* room that is used again */
};

static size_t rule_words(const struct test_run *t)
{
	return t->c->policy->n_rules / 64 + 1;
}

static void mark_rules(const struct test_run *t, uint64_t *bits)
{
	for (uint32_t i = 0; i < t->atoms.n; i++) {
		const struct ids *rules = &t->index.rules[t->atoms.v[i]];

		for (uint32_t j = 0; j < rules->n; j++)
			bits[rules->v[j] / 64] |= UINT64_C(1) << (rules->v[j] % 64);
	}
}

static int add_selector(struct test_run *t, const struct selector *s)
{
	return atoms_add(&t->atoms, &t->index, index_atom(&t->index, s->kind, s->name));
}

/* Rules for a group. To deny it, each of its members must be denied with all that they are. To
 * allow it, the group itself must be allowed, because an admin can give it further members. */
static int mark_group(struct test_run *t, const struct policy_test *test)
{
	const struct policy_group *g = &t->c->policy->groups[test->from.group];
	int err = 0;

	for (size_t i = 0; i < g->n_members && !test->expect_allow && !err; i++)
		err = add_selector(t, &g->members[i]);
	return err ? err : add_selector(t, &test->from);
}

/* Rules whose who includes the test's from, as bits. NULL: out of memory. */
static const uint64_t *rules_for(struct test_run *t, const struct policy_test *test)
{
	bool group = test->from.kind == SELECTOR_GROUP;
	uint64_t **slot = group ? &t->by_group[2 * test->from.group + test->expect_allow] : NULL;
	uint64_t *bits = group ? *slot : t->in_force;
	int err;

	if (group && bits)
		return bits;
	if (group)
		bits = arena_array(&t->c->scratch, rule_words(t), sizeof(*bits));
	if (!bits)
		return NULL;
	memset(bits, 0, rule_words(t) * sizeof(*bits));
	t->atoms.n = 0;
	err = atoms_add(&t->atoms, &t->index, index_atom(&t->index, SELECTOR_ANYONE, NULL));
	if (!err)
		err = group ? mark_group(t, test) : add_selector(t, &test->from);
	if (err < 0)
		return NULL;
	mark_rules(t, bits);
	if (group)
		*slot = bits;
	return bits;
}

/* The first rule in force that opens the test's resource; NULL when there is none. */
static const struct policy_rule *rule_that_opens(const struct test_run *t, const uint64_t *in_force,
						 const struct policy_test *test)
{
	const struct ids *rules = &t->index.opened[test->to];

	for (uint32_t i = 0; i < rules->n; i++)
		if (in_force[rules->v[i] / 64] >> (rules->v[i] % 64) & 1)
			return &t->c->policy->rules[rules->v[i]];
	return NULL;
}

/* Does the resource offer the whole service (to allow it), or any of it (to deny it)? */
static bool offers(const struct policy_resource *r, const struct policy_test *test)
{
	for (size_t i = 0; i < r->n_ports; i++)
		if (test->expect_allow ? service_covers(&r->ports[i], &test->svc)
				       : service_overlaps(&r->ports[i], &test->svc))
			return true;
	return false;
}

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
	char from[SELECTOR_TEXT_MAX], svc[SERVICE_TEXT_MAX];

	selector_print(&test->from, from);
	service_print(&test->svc, svc);
	diag_hint(test_failed(t, test, "rule \"%s\" (line %u) lets %s%s reach %s %s", rule->name,
			      rule->line, test->from.kind == SELECTOR_GROUP ? "a member of " : "",
			      from, r->name, svc),
		  "change the who of the rule, or expect = allow");
}

static void allowed_but_denied(const struct test_run *t, const struct policy_test *test)
{
	const struct policy *p = t->c->policy;
	const struct policy_resource *r = &p->resources[test->to];
	const struct ids *rules = &t->index.opened[test->to];
	char from[SELECTOR_TEXT_MAX], svc[SERVICE_TEXT_MAX];
	struct diag *d;

	selector_print(&test->from, from);
	service_print(&test->svc, svc);
	d = test_failed(t, test, "no rule lets %s reach %s %s", from, r->name, svc);
	if (rules->n)
		diag_hint(d, "rule \"%s\" (line %u) opens %s: add %s to its who, or expect = deny",
			  p->rules[rules->v[0]].name, p->rules[rules->v[0]].line, r->name, from);
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

static void run_test(struct test_run *t, const struct policy_test *test)
{
	bool offered = offers(&t->c->policy->resources[test->to], test);
	const uint64_t *in_force = rules_for(t, test);
	const struct policy_rule *rule;

	if (!in_force)
		return parse_fail(t->c, -ENOMEM);
	rule = rule_that_opens(t, in_force, test);
	if (!test->expect_allow && offered && rule)
		denied_but_allowed(t, test, rule);
	else if (test->expect_allow && !offered)
		port_not_offered(t, test);
	else if (test->expect_allow && !rule)
		allowed_but_denied(t, test);
}

void check_tests(struct parse *c)
{
	const struct policy *p = c->policy;
	struct test_run t = {.c = c, .atoms = {.arena = &c->scratch}};

	if (index_init(&t.index, p) < 0)
		return parse_fail(c, -ENOMEM);
	t.in_force = arena_array(&c->scratch, rule_words(&t), sizeof(*t.in_force));
	t.by_group = arena_array(&c->scratch, 2 * p->n_groups, sizeof(*t.by_group));
	if (!t.in_force || !t.by_group)
		parse_fail(c, -ENOMEM);
	for (size_t i = 0; i < p->n_tests && !c->stop; i++)
		run_test(&t, &p->tests[i]);
	index_done(&t.index);
}
