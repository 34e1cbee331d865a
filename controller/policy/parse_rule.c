/* Keys of rules. What the full grammar has and this version does not enforce is read too, so that
 * it is refused by name: a condition that is accepted and ignored would give more than the policy
 * says. */
#include "controller/policy/parse_section.h"

#include <errno.h>
#include <string.h>

/* --- readers of list items --- */

enum { RESOURCE_ALL = UINT32_MAX }; /* "resource:*", until the list is spread out */

/* "web tcp/22", "web:22", "web/22": a resource, and ports that it has already. */
static bool with_ports(const struct parse *c, const struct span *name)
{
	size_t n = 0;

	while (n < name->n && !strchr(" \t:/", name->p[n]))
		n++;
	return n < name->n && name->p[name->n - 1] >= '0' && name->p[name->n - 1] <= '9' &&
	       names_find(&c->names, THING_RESOURCE, name->p, n) != NAMES_ABSENT;
}

static bool hint_ports(struct parse *c, const struct span *s, const struct span *name)
{
	size_t n = 0;

	while (!strchr(" \t:/", name->p[n]))
		n++;
	diag_hint(problem_with(c, s, "has a port"),
		  "a rule is about all ports of its resources: write resource:%.*s, or make a "
		  "resource of the ports that are meant",
		  (int)n, name->p);
	return false;
}

static bool is_all_resources(const struct span *s)
{
	static const char *const words[] = {"*",	  "all",	  "any",
					    "everything", "resource:all", "resource:any"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is(s, words[i]))
			return true;
	return false;
}

static bool item_resource(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct span name;
	struct diag *d;

	if (span_is(s, "resource:*")) {
		*(uint32_t *)ret = RESOURCE_ALL;
		return true;
	}
	name = span_skip(*s, span_starts(s, "resource:") ? strlen("resource:") : 0);
	if (with_ports(c, &name))
		return hint_ports(c, s, &name);
	if (name.n < s->n)
		return value_reference(c, &name, s, THING_RESOURCE, help, ret);
	d = problem_with(c, s, "is not allowed here");
	if (is_all_resources(s))
		diag_hint(d, "did you mean resource:*?");
	else if (!hint_meant(c, d, s, help))
		diag_hint(d, "write %s", help);
	return false;
}

static bool item_when(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_when(c, s, help, ret);
}

static bool item_where(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_spot(c, s, help, ret);
}

/* --- readers of keys --- */

/* At most WINDOWS_MAX of them. */
static size_t check_times(struct parse *c, const struct lex *v, const struct when_list *l)
{
	const struct window *all[WINDOWS_MAX];
	size_t n = value_count(c, v, l->n, WINDOWS_MAX, "times", windows_hint), n_all = 0;

	for (size_t i = 0; i < n; i++)
		if (!l->v[i].named)
			all[n_all++] = &l->v[i].window;
	check_windows(c, value_place(*v), all, n_all);
	return n;
}

static void set_when(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct when_list *l = &((struct parse_rule *)object)->when;

	l->v = value_list(c, v, help, sizeof(*l->v), item_when, &l->n);
	l->n = check_times(c, v, l);
}

static void set_until(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_rule *r = object;
	struct span s;

	if (value_line(c, v, help, &s) && value_until(c, &s, &r->until_s))
		r->until = parse_text(c, &s);
}

static void set_review(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_rule *r = &((struct parse_rule *)object)->r;
	struct span s;

	if (value_line(c, v, help, &s) && value_until(c, &s, &r->review_s))
		r->review = parse_text(c, &s);
}

static void set_where(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_rule *r = &((struct parse_rule *)object)->r;
	uint32_t *spots;
	size_t n;

	spots = value_list(c, v, help, sizeof(*spots), item_where, &n);
	for (size_t i = 0; spots && i < n; i++)
		r->where |= UINT64_C(1) << spots[i];
}

static void set_who(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct selectors *l = &((struct parse_rule *)object)->r.who;

	l->in = value_list(c, v, help, sizeof(*l->in), value_who, &l->n_in);
}

static void set_what(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_rule *r = &((struct parse_rule *)object)->r;

	r->what = value_list(c, v, help, sizeof(*r->what), item_resource, &r->n_what);
	for (size_t i = 0; i < r->n_what; i++)
		r->what_all = r->what_all || r->what[i] == RESOURCE_ALL;
}

/* except of a rule: each item is taken from the list of its kind. */
struct rule_except {
	enum { EXCEPT_WHO, EXCEPT_WHAT, EXCEPT_WHERE, EXCEPT_WHEN } kind;
	struct selector who;
	uint32_t what, spot;
	struct when_item when;
};

/* Windows begin with a date or a day; everything else in the list has a prefix. */
static bool is_when(const struct span *s)
{
	return span_starts(s, "schedule:") || s->p[0] == '.' ||
	       (s->p[0] >= '0' && s->p[0] <= '9') || (s->p[0] >= 'A' && s->p[0] <= 'Z');
}

static bool item_rule_except(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct rule_except *e = ret;
	char country[3];

	if (span_starts(s, "resource:") && !span_is(s, "resource:*")) {
		e->kind = EXCEPT_WHAT;
		return item_resource(c, s, help, &e->what);
	}
	if (span_starts(s, "place:") || span_starts(s, "country:")) {
		e->kind = EXCEPT_WHERE;
		return value_spot(c, s, help, &e->spot);
	}
	if (is_how(s)) {
		diag_hint(
			problem_with(c, s, "is a condition of how"),
			"how has no except: make a rule of its own for those who need not meet it");
		return false;
	}
	if (country_meant(s, country) && !c->env->was_accepted) {
		diag_hint(problem_with(c, s, "is not allowed here"), "did you mean country:%s?",
			  country);
		return false;
	}
	if (is_when(s)) {
		e->kind = EXCEPT_WHEN;
		return value_when(c, s, help, &e->when);
	}
	e->kind = EXCEPT_WHO;
	return value_selector(c, s, ALLOW_USER | ALLOW_GROUP | ALLOW_TAG | ALLOW_DEVICE, help,
			      &e->who);
}

static void set_rule_except(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_rule *r = object;
	struct rule_except *list;
	struct selector *who;
	struct when_item *when;
	uint32_t *what;
	size_t n;

	list = value_list(c, v, help, sizeof(*list), item_rule_except, &n);
	who = arena_array(c->arena, n, sizeof(*who));
	what = arena_array(c->arena, n, sizeof(*what));
	when = arena_array(c->arena, n, sizeof(*when));
	if (!list || !who || !what || !when)
		return parse_fail(c, -ENOMEM);
	r->r.who.except = who;
	r->what_except = what;
	r->when_except.v = when;
	for (size_t i = 0; i < n; i++)
		switch (list[i].kind) {
		case EXCEPT_WHO:
			who[r->r.who.n_except++] = list[i].who;
			break;
		case EXCEPT_WHAT:
			what[r->n_what_except++] = list[i].what;
			break;
		case EXCEPT_WHERE:
			r->r.where_except |= UINT64_C(1) << list[i].spot;
			break;
		case EXCEPT_WHEN:
			when[r->when_except.n++] = list[i].when;
			break;
		}
	r->when_except.n = check_times(c, v, &r->when_except);
}

static void set_action(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_rule *r = &((struct parse_rule *)object)->r;
	struct span s;

	if (!value_line(c, v, help, &s))
		return;
	r->deny = span_is(&s, "deny");
	if (!r->deny && !span_is(&s, "allow"))
		diag_hint(problem_with(c, &s, "is neither allow nor deny"), "write %s", help);
}

static void set_rule_owner(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_rule *)object)->r.owner = value_owner(c, v, help);
}

static void set_why(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_rule *)object)->r.why = value_words(c, v, "reason", help);
}

static void set_ticket(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_rule *)object)->r.ticket = value_words(c, v, "ticket", help);
}

/* --- table --- */

static const struct key rule_keys[] = {
	{"who", set_who, true,
	 "a list of user:EMAIL, group:NAME, tag:NAME and device:NAME, or anyone"},
	{"what", set_what, true, "a list of resource:NAME, or resource:*"},
	{"how", set_rule_how, false, "posture:NAME"},
	{"except", set_rule_except, false,
	 "a list of user:EMAIL, group:NAME, tag:NAME, device:NAME, resource:NAME, place:NAME, "
	 "country:DE, schedule:NAME, days and hours: what the rule is not about after all"},
	{"when", set_when, false,
	 "a list of schedule:NAME and of days and hours: Mon-Fri 07:00-20:00 Europe/Berlin"},
	{"where", set_where, false, "a list of place:NAME and country:DE"},
	{"until", set_until, false, "the last day: 2027-01-31, or a time: 2027-01-31 18:00"},
	{"review", set_review, false, "the day by which somebody looks at the rule: 2027-06-01"},
	{"action", set_action, false, "allow (as without this key) or deny, which wins over allow"},
	{"why", set_why, true, "the reason for this access, in words, at most 500 bytes"},
	{"owner", set_rule_owner, false, "user:EMAIL or group:NAME: who answers for the rule"},
	{"ticket", set_ticket, false, "where it was asked for, in words, at most 500 bytes"},
};
_Static_assert(sizeof(rule_keys) / sizeof(rule_keys[0]) <= SECTION_KEYS_MAX,
	       "rules have the most keys");

const struct section section_rule = {
	"rule",		THING_RULE, "[rule NAME]", ZT_RULES_MAX, OBJECT_IN(parse_rule, r.),
	KEYS(rule_keys)};
