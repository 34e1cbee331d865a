/* What can only be checked with the whole policy at hand: conditions that exclude each other, more
 * facts than a report holds, and the policy's own tests. The tests ask who, what and port; posture
 * is taken to hold: what is denied must be denied to the best of devices, and what is allowed must
 * be allowed to it. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/condition.h"
#include "controller/policy/engine.h"
#include "controller/policy/index.h"
#include "controller/policy/words.h"

/* --- contradictions --- */

static struct place place_of(unsigned line, unsigned column)
{
	return (struct place){.line = line, .column = column};
}

/* The conditions of both lists on this fact, into all (room for both lists). */
static size_t conditions_on(const char *fact, const struct policy_posture *p,
			    const struct policy_posture *q, const struct condition **all)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_require; i++)
		if (strcmp(p->require[i].fact, fact) == 0)
			all[n++] = &p->require[i];
	for (size_t i = 0; q && i < q->n_require; i++)
		if (strcmp(q->require[i].fact, fact) == 0)
			all[n++] = &q->require[i];
	return n;
}

/* Is this the first condition of p on its fact? */
static bool first_on_fact(const struct policy_posture *p, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(p->require[j].fact, p->require[i].fact) == 0)
			return false;
	return true;
}

/* Conditions of p, with q when given, that exclude each other. */
static bool postures_conflict(const struct policy_posture *p, const struct policy_posture *q,
			      const struct condition **ret_a, const struct condition **ret_b)
{
	const struct condition *all[2 * POLICY_CONDITIONS_MAX];

	for (size_t i = 0; i < p->n_require; i++) {
		size_t n;

		if (!first_on_fact(p, i))
			continue;
		n = conditions_on(p->require[i].fact, p, q, all);
		if (condition_conflict(all, n, ret_a, ret_b))
			return true;
	}
	return false;
}

static void check_posture(struct parse *c, const struct policy_posture *p)
{
	const struct condition *a, *b;
	struct place at;

	if (!postures_conflict(p, NULL, &a, &b))
		return;
	at = place_of(b->line, b->column);
	if (a == b)
		diag_hint(problem_at(c, at, "\"%s\" can never hold", b->text), "take it out");
	else
		diag_hint(problem_at(c, at, "\"%s\" and \"%s\" (line %u) can never both hold",
				     b->text, a->text, a->line),
			  "no device could comply with posture \"%s\"; take one of them out",
			  p->name);
}

/* Pairs of postures, each looked at once however many rules ask for both. */
struct clashes {
	uint64_t known[ENGINE_POSTURES_MAX], fine[ENGINE_POSTURES_MAX];
};

static bool is_of(const struct condition *k, const struct policy_posture *p)
{
	return k >= p->require && k < p->require + p->n_require;
}

static void check_pair(struct parse *c, const struct policy_rule *r, uint32_t i, uint32_t j,
		       struct clashes *seen)
{
	const struct policy_posture *p = &c->policy->postures[i], *q = &c->policy->postures[j];
	const struct condition *a, *b;
	uint64_t bit = UINT64_C(1) << j;

	if (seen->known[i] & seen->fine[i] & bit)
		return;
	seen->known[i] |= bit;
	if (!postures_conflict(p, q, &a, &b) || !is_of(a, p) || !is_of(b, q)) {
		seen->fine[i] |= bit;
		return;
	}
	diag_hint(problem_at(c, place_of(r->line, r->column),
			     "rule \"%s\" can never match: \"%s\" (line %u) and \"%s\" (line %u) "
			     "exclude each other",
			     r->name, a->text, a->line, b->text, b->line),
		  "ask for posture:%s or for posture:%s", p->name, q->name);
}

/* A rule that asks for postures which exclude each other would never match. */
static void check_rule(struct parse *c, const struct policy_rule *r, struct clashes *seen)
{
	uint64_t asked = 0;

	for (size_t i = 0; i < r->n_how; i++)
		asked |= UINT64_C(1) << r->how[i];
	for (uint32_t i = 0; i < ENGINE_POSTURES_MAX; i++)
		for (uint32_t j = i + 1; j < ENGINE_POSTURES_MAX; j++)
			if (asked & UINT64_C(1) << i && asked & UINT64_C(1) << j)
				check_pair(c, r, i, j, seen);
}

/* --- facts --- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint64_t postures_asked(const struct policy *p)
{
	uint64_t asked = 0;

	for (size_t i = 0; i < p->n_rules; i++)
		for (size_t j = 0; j < p->rules[i].n_how; j++)
			asked |= UINT64_C(1) << p->rules[i].how[j];
	return asked;
}

/* policy->facts: what the controller asks of devices. */
static void collect_facts(struct parse *c)
{
	struct policy *p = c->policy;
	uint64_t asked = postures_asked(p);
	const char **all =
		arena_array(c->arena, p->n_postures * POLICY_CONDITIONS_MAX, sizeof(*all));
	size_t n = 0, kept = 0;

	if (!all)
		return parse_fail(c, -ENOMEM);
	for (size_t i = 0; i < p->n_postures; i++)
		for (size_t k = 0; asked >> i & 1 && k < p->postures[i].n_require; k++)
			all[n++] = p->postures[i].require[k].fact;
	if (n > 1)
		qsort(all, n, sizeof(*all), compare_texts);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(all[i], all[kept - 1]) != 0)
			all[kept++] = all[i];
	p->facts = all;
	p->n_facts = kept;
	if (kept > ZT_FACTS_MAX)
		diag_hint(problem_at(c, place_of(p->postures[0].line, p->postures[0].column),
				     "the postures ask for %zu facts, at most %d are possible",
				     kept, ZT_FACTS_MAX),
			  "a device reports all of them together; ask for fewer");
}

/* --- the file's own tests --- */

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
	char what[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return problem_at(t->c, place_of(test->line, test->column), "test \"%s\" fails: %s",
			  test->name, what);
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

static void run_tests(struct parse *c)
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

void check_policy(struct parse *c)
{
	const struct policy *p = c->policy;
	struct clashes seen = {0};

	for (size_t i = 0; i < p->n_postures; i++)
		check_posture(c, &p->postures[i]);
	for (size_t i = 0; i < p->n_rules; i++)
		check_rule(c, &p->rules[i], &seen);
	collect_facts(c);
	if (c->err == 0 && p->n_tests > 0)
		run_tests(c);
}
