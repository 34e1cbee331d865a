/* Sections and their keys: one table row each, with the reader of its value and what is allowed
 * there. What the full grammar has and this version does not enforce stands here too, so that it is
 * refused by name: a key that is accepted and ignored would give more than the policy says. */
#include "controller/policy/parse_section.h"

#include <string.h>

#include "controller/policy/engine.h"
#include "zt/txt.h"

enum {
	GRACE_MAX_S = 30 * 86400,
	FACT_AGE_MIN_S = 1,
	FACT_AGE_MAX_S = 30 * 86400,
};

/* --- readers of list items --- */

static bool item_who(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_selector(c, s,
			      ALLOW_USER | ALLOW_GROUP | ALLOW_TAG | ALLOW_DEVICE | ALLOW_ANYONE,
			      help, ret);
}

static bool item_member(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_selector(c, s, ALLOW_USER | ALLOW_TAG, help, ret);
}

static bool item_host(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_selector(c, s, ALLOW_TAG | ALLOW_DEVICE, help, ret);
}

static bool item_service(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_service(c, s, help, ret);
}

static bool item_condition(struct parse *c, const struct span *s, const char *help, void *ret)
{
	(void)help; /* each part of a condition says its own */
	return value_condition(c, s, ret);
}

static bool item_resource(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct span name;

	if (span_is(s, "resource:*")) {
		diag_hint(problem_with(c, s, "is not supported by this version"),
			  "name each resource");
		return false;
	}
	if (span_starts(s, "resource:")) {
		name = span_skip(*s, strlen("resource:"));
		return value_reference(c, &name, s, THING_RESOURCE, ret);
	}
	if (names_find(&c->names, THING_RESOURCE, s->p, s->n) != NAMES_ABSENT)
		diag_hint(problem_with(c, s, "is not allowed here"), "did you mean resource:%.*s?",
			  (int)s->n, s->p);
	else
		diag_hint(problem_with(c, s, "is not allowed here"), "write %s", help);
	return false;
}

/* Conditions of the full grammar that nothing enforces yet. */
static bool is_later_condition(const struct span *s)
{
	static const char *const words[] = {
		"login", "mfa", "approval", "app:", "user:", "place:", "country:"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_starts(s, words[i]))
			return true;
	return false;
}

static bool item_posture(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct span name;

	if (span_starts(s, "posture:")) {
		name = span_skip(*s, strlen("posture:"));
		return value_reference(c, &name, s, THING_POSTURE, ret);
	}
	if (is_later_condition(s))
		diag_hint(problem_with(c, s, "is not supported by this version"),
			  "a rule asks for %s only; without this condition it would allow more "
			  "than it says",
			  help);
	else if (names_find(&c->names, THING_POSTURE, s->p, s->n) != NAMES_ABSENT)
		diag_hint(problem_with(c, s, "is not allowed here"), "did you mean posture:%.*s?",
			  (int)s->n, s->p);
	else
		diag_hint(problem_with(c, s, "is not allowed here"), "write %s", help);
	return false;
}

/* --- readers of keys --- */

/* Where a value begins, behind the equals sign and white space. */
static struct place value_place(struct lex v)
{
	struct span s = {.at = v.at};

	lex_value_line(&v, &s);
	return s.at;
}

static void set_lease(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_network *p = object;
	struct span s;

	if (value_line(c, v, help, &s))
		value_duration(c, &s, ZT_LEASE_MIN_S, ZT_LEASE_MAX_S, &p->lease_s);
}

static void set_members(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_group *g = object;

	g->members = value_list(c, v, help, sizeof(*g->members), item_member, &g->n_members);
}

static void set_on(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = object;

	r->on = value_list(c, v, help, sizeof(*r->on), item_host, &r->n_on);
}

static void set_ports(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = object;

	r->ports = value_list(c, v, help, sizeof(*r->ports), item_service, &r->n_ports);
}

static void set_data(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = object;
	struct span s;

	if (value_line(c, v, help, &s))
		value_name(c, &s, &r->data);
}

static void set_owner(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = object;
	struct selector owner;
	struct span s;
	char *text;

	if (!value_line(c, v, help, &s) ||
	    !value_selector(c, &s, ALLOW_USER | ALLOW_GROUP, help, &owner))
		return;
	text = parse_text(c, &s);
	if (text)
		r->owner = text;
}

static void set_require(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_posture *p = object;

	p->require = value_list(c, v, help, sizeof(*p->require), item_condition, &p->n_require);
	if (p->n_require <= POLICY_CONDITIONS_MAX)
		return;
	diag_hint(problem_at(c, value_place(*v),
			     "there are %zu conditions here, at most %d are possible", p->n_require,
			     POLICY_CONDITIONS_MAX),
		  "split the posture: a rule can ask for several");
	p->n_require = POLICY_CONDITIONS_MAX;
}

static void set_grace(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_posture *p = object;
	struct span s;

	if (value_line(c, v, help, &s))
		value_duration(c, &s, 0, GRACE_MAX_S, &p->grace_s);
}

static void set_max_age(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_posture *p = object;
	struct span s;

	if (value_line(c, v, help, &s))
		value_duration(c, &s, FACT_AGE_MIN_S, FACT_AGE_MAX_S, &p->max_age_s);
}

static void set_who(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_rule *r = object;

	r->who = value_list(c, v, help, sizeof(*r->who), item_who, &r->n_who);
}

static void set_what(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_rule *r = object;

	r->what = value_list(c, v, help, sizeof(*r->what), item_resource, &r->n_what);
}

static void set_how(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_rule *r = object;

	r->how = value_list(c, v, help, sizeof(*r->how), item_posture, &r->n_how);
}

static void set_why(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_rule *r = object;
	const char *text = value_text(c, *v);

	if (!text)
		return;
	if (strlen(text) > ZT_WHY_MAX)
		diag_hint(problem_at(c, value_place(*v), "the reason is %zu bytes long",
				     strlen(text)),
			  "write %s", help);
	r->why = text;
}

static void set_from(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_test *t = object;
	struct span s;

	if (value_line(c, v, help, &s))
		value_selector(c, &s, ALLOW_USER | ALLOW_GROUP | ALLOW_TAG | ALLOW_DEVICE, help,
			       &t->from);
}

/* "payroll-db tcp/5432" */
static void set_to(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_test *t = object;
	struct span s, name, svc;
	size_t n = 0;

	if (!value_line(c, v, help, &s))
		return;
	while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
		n++;
	name = s;
	name.n = n;
	svc = span_trim(span_skip(s, n));
	if (svc.n == 0) {
		diag_hint(problem_with(c, &s, "has no port"), "write %s", help);
		return;
	}
	if (span_starts(&name, "resource:"))
		diag_hint(problem_with(c, &name, "needs no prefix here"), "write %.*s",
			  (int)(n - strlen("resource:")), name.p + strlen("resource:"));
	else
		value_reference(c, &name, &name, THING_RESOURCE, &t->to);
	value_service(c, &svc, "tcp/5432, tcp/8000-8100, udp/53, icmp or any", &t->svc);
}

static void set_expect(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_test *t = object;
	struct span s;

	if (!value_line(c, v, help, &s))
		return;
	t->expect_allow = span_is(&s, "allow");
	if (!t->expect_allow && !span_is(&s, "deny"))
		diag_hint(problem_with(c, &s, "is neither allow nor deny"), "write %s", help);
}

/* --- tables --- */

static const struct key network_keys[] = {
	{"lease", set_lease, false,
	 "how long devices may act without word from the controller: 1h"},
};
static const struct key group_keys[] = {
	{"members", set_members, false, "a list of user:EMAIL and tag:NAME"},
	{"except", NULL, false, "list the members that remain"},
};
static const struct key resource_keys[] = {
	{"on", set_on, true, "a list of tag:NAME and device:NAME: the devices that offer it"},
	{"ports", set_ports, true, "a list of tcp/5432, tcp/8000-8100, udp/53, icmp or any"},
	{"data", set_data, false, "a name for the class of data: confidential"},
	{"owner", set_owner, false, "user:EMAIL or group:NAME"},
	{"via", NULL, false, "resources are on enrolled devices: on = tag:NAME"},
	{"address", NULL, false, "resources are on enrolled devices: on = tag:NAME"},
	{"lease", NULL, false, "the lease of [network] holds for all resources"},
	{"except", NULL, false, "list the devices that remain"},
};
static const struct key posture_keys[] = {
	{"require", set_require, true,
	 "a list of conditions: os.version >= 12, disk.encrypted == true"},
	{"grace", set_grace, false, "how long a device that stops complying keeps its access: 10m"},
	{"max_age", set_max_age, false, "how old a fact may be: 15m"},
};
static const struct key rule_keys[] = {
	{"who", set_who, true,
	 "a list of user:EMAIL, group:NAME, tag:NAME and device:NAME, or anyone"},
	{"what", set_what, true, "a list of resource:NAME"},
	{"how", set_how, false, "posture:NAME"},
	{"why", set_why, true, "the reason for this access, in words, at most 500 bytes"},
	{"when", NULL, false, "take it out, and the rule holds at all times"},
	{"where", NULL, false, "take it out, and the rule holds from anywhere"},
	{"except", NULL, false, "list those who remain"},
	{"deny", NULL, false, "what no rule allows is denied"},
	{"action", NULL, false, "what no rule allows is denied"},
	{"until", NULL, false, "take the rule out when its time is over"},
	{"owner", NULL, false, "say it in a comment"},
	{"ticket", NULL, false, "say it in why or in a comment"},
	{"review", NULL, false, "say it in a comment"},
};
static const struct key test_keys[] = {
	{"from", set_from, true, "user:EMAIL, group:NAME, tag:NAME or device:NAME"},
	{"to", set_to, true, "a resource and a port: payroll-db tcp/5432"},
	{"expect", set_expect, true, "allow or deny"},
};

#define OBJECT(type)                                                                               \
	sizeof(struct type), offsetof(struct type, name), offsetof(struct type, line),             \
		offsetof(struct type, column)
#define KEYS(k) k, sizeof(k) / sizeof((k)[0])
static const struct section sections[] = {
	[THING_NETWORK] = {"network", THING_NETWORK, "[network]", 1, OBJECT(parse_network),
			   KEYS(network_keys)},
	[THING_GROUP] = {"group", THING_GROUP, "[group NAME]", POLICY_SECTIONS_MAX,
			 OBJECT(policy_group), KEYS(group_keys)},
	[THING_RESOURCE] = {"resource", THING_RESOURCE, "[resource NAME]", POLICY_SECTIONS_MAX,
			    OBJECT(policy_resource), KEYS(resource_keys)},
	[THING_POSTURE] = {"posture", THING_POSTURE, "[posture NAME]", ENGINE_POSTURES_MAX,
			   OBJECT(policy_posture), KEYS(posture_keys)},
	[THING_RULE] = {"rule", THING_RULE, "[rule NAME]", ZT_RULES_MAX, OBJECT(policy_rule),
			KEYS(rule_keys)},
	[THING_TEST] = {"test", THING_TEST, "[test NAME]", POLICY_SECTIONS_MAX, OBJECT(policy_test),
			KEYS(test_keys)},
	{.name = "place", .thing = THING_COUNT, .form = "[place NAME]"},
	{.name = "schedule", .thing = THING_COUNT, .form = "[schedule NAME]"},
	{.name = "invariant", .thing = THING_COUNT, .form = "[invariant NAME]"},
};
enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };
_Static_assert(sizeof(rule_keys) / sizeof(rule_keys[0]) <= SECTION_KEYS_MAX,
	       "rules have the most keys");

const struct section *section_at(size_t i)
{
	return i < SECTIONS ? &sections[i] : NULL;
}
