/* The policy's own tests. They ask who, what and port, whatever resource a rule names it by;
 * conditions are taken to hold in rules that allow and to fail in rules that deny: what is denied
 * must be denied to the best of devices in the best of moments, and what is allowed must be allowed
 * to it. Groups that an admin gives to users are not in the file and not known here. */
#include "controller/policy/check_tests.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "controller/policy/services.h"
#include "controller/policy/words.h"

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

/* Another resource of the same hosts opens it: which. */
static void say_by_another(const struct test_run *t, const struct policy_test *test,
			   const struct opened *o, char out[static ZT_NAME_MAX + 32])
{
	out[0] = '\0';
	if (o->resource != test->to)
		snprintf(out, ZT_NAME_MAX + 32, ", by resource %s",
			 t->c->policy->resources[o->resource].name);
}

static void denied_but_allowed(const struct test_run *t, const struct policy_test *test,
			       const struct opened *o)
{
	const struct policy_resource *r = &t->c->policy->resources[test->to];
	const struct policy_rule *rule = &t->c->policy->rules[o->rule];
	const char *all =
		test->from.kind == SELECTOR_ANYONE ? list_print(&rule->who, &t->c->scratch) : NULL;
	char from[SELECTOR_TEXT_MAX], svc[SERVICE_TEXT_MAX], by[ZT_NAME_MAX + 32];

	selector_print(&test->from, from);
	service_print(&test->svc, svc);
	say_by_another(t, test, o, by);
	diag_hint(test_failed(t, test, "rule \"%s\" (line %u) lets %s%s reach %s %s%s", rule->name,
			      rule->line, test->from.kind == SELECTOR_GROUP ? "a member of " : "",
			      all ? all : from, r->name, svc, by),
		  by[0] ? "the same devices or addresses have both: change the rule, or expect = "
			  "allow"
			: "change the who of the rule, or expect = allow");
}

/* A rule that denies these on some host of the test's resource; NULL when there is none. */
static const struct policy_rule *rule_that_denies(struct test_run *t, const uint64_t *rules,
						  const struct policy_test *test)
{
	const struct hosts *hosts;

	if (hosts_of(t, test->to, &hosts))
		return NULL;
	for (size_t h = 0; h < hosts->n; h++)
		for (uint32_t i = 0; i < hosts->v[h].n; i++) {
			const struct ids *about = &t->x.index.opened[hosts->v[h].v[i]];

			for (uint32_t k = 0; k < about->n; k++)
				if (rule_denies(t, rules, about->v[k]))
					return &t->c->policy->rules[about->v[k]];
		}
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

static void allowed_but_denied(const struct test_run *t, const struct policy_test *test,
			       const uint64_t *rules)
{
	const struct policy *p = t->c->policy;
	const struct policy_resource *r = &p->resources[test->to];
	const struct ids *about = &t->x.index.opened[test->to];
	const struct policy_rule *rule = NULL, *over = NULL;
	char from[SELECTOR_TEXT_MAX], svc[SERVICE_TEXT_MAX];
	struct diag *d;

	for (uint32_t i = 0; i < about->n; i++) {
		const struct policy_rule *one = &p->rules[about->v[i]];

		if (!rule && rule_opens(t, about->v[i]))
			rule = one;
		else if (!over && !one->deny && has_rule(rules, about->v[i]))
			over = one;
	}
	selector_print(&test->from, from);
	service_print(&test->svc, svc);
	d = test_failed(t, test, "no rule lets %s reach %s %s", from, r->name, svc);
	if (over)
		diag_hint(d, "rule \"%s\" (line %u) is over: its when is %s", over->name,
			  over->line, p->whens[over->when].text);
	else if (rule)
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

static bool some_rule_opens(const struct test_run *t, const uint64_t *rules, uint32_t resource)
{
	const struct ids *about = &t->x.index.opened[resource];

	for (uint32_t i = 0; i < about->n; i++)
		if (has_rule(rules, about->v[i]) && rule_opens(t, about->v[i]))
			return true;
	return false;
}

/* One kind of somebody; true when the test fails on it, which is said. Denied is what is open on no
 * host, allowed what is open on each. */
static int run_kind(struct test_run *t, const struct policy_test *test, const uint64_t *rules,
		    bool *ret_failed)
{
	const struct policy_resource *r = &t->c->policy->resources[test->to];
	const struct policy_rule *deny;
	struct opened o;
	bool offered = services_have(r->ports, r->n_ports, &test->svc, &t->c->scratch);
	int err = how_open(t, test, rules, &o);

	if (err < 0)
		return err;
	*ret_failed = test->expect_allow ? !offered || o.least != OPEN_WHOLLY : o.most != OPEN_NOT;
	if (!*ret_failed)
		return 0;
	deny = rule_that_denies(t, rules, test);
	if (!test->expect_allow)
		denied_but_allowed(t, test, &o);
	else if (!offered)
		port_not_offered(t, test);
	else if (deny && some_rule_opens(t, rules, test->to))
		closed_by_deny(t, test, deny);
	else
		allowed_but_denied(t, test, rules);
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
	int err = can_run_init(&t.x, p, NULL, 0, c->env->now_s, &c->scratch);

	if (err < 0)
		return parse_fail(c, err);
	names_init(&t.seen, &c->scratch);
	t.by_group = arena_array(&c->scratch, 2 * p->n_groups, sizeof(*t.by_group));
	t.hosts = arena_array(&c->scratch, p->n_resources, sizeof(*t.hosts));
	if (!t.by_group || !t.hosts)
		err = -ENOMEM;
	for (size_t i = 0; i < p->n_tests && !c->stop && !err; i++)
		err = run_test(&t, &p->tests[i]);
	if (err < 0)
		parse_fail(c, err);
	can_run_done(&t.x);
}
