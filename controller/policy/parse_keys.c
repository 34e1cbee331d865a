/* Sections and their keys: one table row each, with the reader of its value and what is allowed
 * there. Resources, rules and invariants have files of their own. */
#include "controller/policy/parse_section.h"

#include <errno.h>
#include <string.h>

#include "controller/policy/engine.h"
#include "zt/txt.h"

enum {
	GRACE_MAX_S = 30 * 86400,
	FACT_AGE_MIN_S = 1,
	FACT_AGE_MAX_S = 30 * 86400,
};

/* --- readers of list items --- */

static bool item_member(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_selector(c, s, ALLOW_USER | ALLOW_TAG | ALLOW_GROUP, help, ret);
}

static bool item_condition(struct parse *c, const struct span *s, const char *help, void *ret)
{
	(void)help; /* each part of a condition says its own */
	return value_condition(c, s, ret);
}

static bool item_source(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct place_item *i = ret;

	i->kind = PLACE_SOURCE;
	return value_prefix(c, s, help, &i->prefix);
}

static bool item_overlay(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct place_item *i = ret;

	i->kind = PLACE_OVERLAY;
	return value_prefix(c, s, help, &i->prefix);
}

static bool item_country(struct parse *c, const struct span *s, const char *help, void *ret)
{
	static const char prefix[] = "country:";
	struct place_item *i = ret;
	struct span bare;
	char country[3];
	struct diag *d;

	i->kind = PLACE_COUNTRY;
	if (!span_starts(s, prefix))
		return value_country(c, s, s, i->country);
	bare = span_skip(*s, strlen(prefix));
	d = problem_with(c, s, "needs no prefix here");
	if (country_meant(&bare, country))
		diag_hint(d, "write %s", country);
	else
		diag_hint(d, "write %s", help);
	return false;
}

/* A network is kept out by both of a device's addresses. */
static bool item_place_except(struct parse *c, const struct span *s, const char *help, void *ret)
{
	if (s->n == 2 || span_starts(s, "country:"))
		return item_country(c, s, help, ret);
	return item_source(c, s, help, ret);
}

static bool item_window(struct parse *c, const struct span *s, const char *help, void *ret)
{
	if (!span_starts(s, "schedule:"))
		return value_window(c, s, ret);
	diag_hint(problem_with(c, s, "is not allowed here: a schedule cannot name another"),
		  "write %s; a rule can name both schedules", help);
	return false;
}

/* --- readers of keys --- */

static void set_lease(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_network *p = object;
	struct span s;

	if (value_line(c, v, help, &s))
		value_duration(c, &s, ZT_LEASE_MIN_S, ZT_LEASE_MAX_S, &p->lease_s);
}

static void set_timezone(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_network *p = object;
	struct span s;

	if (value_line(c, v, help, &s))
		value_zone(c, &s, &p->zone);
}

static void set_members(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct selectors *l = &((struct policy_group *)object)->members;

	l->in = value_list(c, v, help, sizeof(*l->in), item_member, &l->n_in);
}

static void set_member_except(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct selectors *l = &((struct policy_group *)object)->members;

	l->except = value_list(c, v, help, sizeof(*l->except), item_member, &l->n_except);
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

static void set_source(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_place *p = object;

	p->source = value_list(c, v, help, sizeof(*p->source), item_source, &p->n_source);
}

static void set_overlay(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_place *p = object;

	p->overlay = value_list(c, v, help, sizeof(*p->overlay), item_overlay, &p->n_overlay);
}

static void set_country(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_place *p = object;

	p->country = value_list(c, v, help, sizeof(*p->country), item_country, &p->n_country);
}

static void set_place_except(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_place *p = object;

	p->except = value_list(c, v, help, sizeof(*p->except), item_place_except, &p->n_except);
}

/* At most WINDOWS_MAX of them. */
static size_t check_list(struct parse *c, const struct lex *v, const struct window *w, size_t n)
{
	const struct window *all[WINDOWS_MAX];

	n = value_count(c, v, n, WINDOWS_MAX, "times", windows_hint);
	for (size_t i = 0; i < n; i++)
		all[i] = &w[i];
	check_windows(c, value_place(*v), all, n);
	return n;
}

static void set_windows(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct schedule *w = &((struct policy_schedule *)object)->s;

	w->in = value_list(c, v, help, sizeof(*w->in), item_window, &w->n_in);
	w->n_in = check_list(c, v, w->in, w->n_in);
}

static void set_window_except(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct schedule *w = &((struct policy_schedule *)object)->s;

	w->except = value_list(c, v, help, sizeof(*w->except), item_window, &w->n_except);
	w->n_except = check_list(c, v, w->except, w->n_except);
}

static void set_from(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_test *t = object;
	struct span s;

	if (value_line(c, v, help, &s))
		value_selector(c, &s,
			       ALLOW_USER | ALLOW_GROUP | ALLOW_TAG | ALLOW_DEVICE | ALLOW_ANYONE,
			       help, &t->from);
}

/* "payroll-db tcp/5432", "resource:payroll-db tcp/5432" */
static void set_to(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_test *t = object;
	struct span s, name, bare, svc, meant;
	char port[SERVICE_TEXT_MAX];
	size_t n = 0;
	bool known;

	if (!value_line(c, v, help, &s))
		return;
	while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
		n++;
	name = s;
	name.n = n;
	svc = span_trim(span_skip(s, n));
	bare = span_starts(&name, "resource:") ? span_skip(name, strlen("resource:")) : name;
	if (svc.n > 0 && memchr(svc.p, ',', svc.n)) {
		diag_hint(problem_with(c, &s, "has more than one port"),
			  "a test is about one port, or one range: make a test for each");
		return;
	}
	known = names_find(&c->names, THING_RESOURCE, bare.p, bare.n) != NAMES_ABSENT;
	if ((svc.n == 0 || !known) && target_meant(c, &s, &meant, port)) {
		diag_hint(problem_with(c, &s,
				       svc.n == 0 ? "has no port" : "is not a resource and a port"),
			  "did you mean %.*s %s?", (int)meant.n, meant.p, port);
		return;
	}
	if (svc.n == 0) {
		diag_hint(problem_with(c, &s, "has no port"), "write %s", help);
		return;
	}
	value_reference(c, &bare, &name, THING_RESOURCE, NULL, &t->to);
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
	{"timezone", set_timezone, false, "the zone of times that name none: Europe/Berlin"},
};
static const struct key schedule_keys[] = {
	{"when", set_windows, true,
	 "a list of days and hours: Mon-Fri 07:00-20:00 Europe/Berlin, 2026-12-24"},
	{"except", set_window_except, false, "a list of days and hours that are taken out"},
};
static const struct key group_keys[] = {
	{"members", set_members, false, "a list of user:EMAIL, tag:NAME and group:NAME"},
	{"except", set_member_except, false,
	 "a list of user:EMAIL, tag:NAME and group:NAME: who is not a member after all"},
};
static const struct key posture_keys[] = {
	{"require", set_require, true,
	 "a list of conditions: os.version >= 12, disk.encrypted == true"},
	{"grace", set_grace, false, "how long a device that stops complying keeps its access: 10m"},
	{"max_age", set_max_age, false, "how old a fact may be: 15m"},
};
static const struct key place_keys[] = {
	{"source", set_source, false,
	 "a list of networks that connections come from: 192.0.2.0/24, 2001:db8::/32"},
	{"overlay", set_overlay, false, "a list of networks of the overlay: 100.64.8.0/24"},
	{"country", set_country, false, "a list of countries in two letters: DE, AT"},
	{"except", set_place_except, false, "a list of networks and countries: what is not there"},
};
static const struct key test_keys[] = {
	{"from", set_from, true, "user:EMAIL, group:NAME, tag:NAME, device:NAME or anyone"},
	{"to", set_to, true, "a resource and a port: payroll-db tcp/5432"},
	{"expect", set_expect, true, "allow or deny"},
};

static const struct section section_network = {
	"network", THING_NETWORK, "[network]", 1, OBJECT(parse_network), KEYS(network_keys)};
static const struct section section_group = {
	"group",	 THING_GROUP, "[group NAME]", POLICY_SECTIONS_MAX, OBJECT(policy_group),
	KEYS(group_keys)};
static const struct section section_posture = {
	"posture",	     THING_POSTURE,	     "[posture NAME]",
	ENGINE_POSTURES_MAX, OBJECT(policy_posture), KEYS(posture_keys)};
static const struct section section_place = {"place",
					     THING_PLACE,
					     "[place NAME]",
					     POLICY_SECTIONS_MAX,
					     OBJECT_IN(parse_place, p.),
					     KEYS(place_keys)};
static const struct section section_schedule = {
	"schedule",	     THING_SCHEDULE,	      "[schedule NAME]",
	POLICY_SECTIONS_MAX, OBJECT(policy_schedule), KEYS(schedule_keys)};
static const struct section section_test = {
	"test",		THING_TEST, "[test NAME]", POLICY_SECTIONS_MAX, OBJECT(policy_test),
	KEYS(test_keys)};

static const struct section *const sections[] = {
	[THING_NETWORK] = &section_network,	[THING_GROUP] = &section_group,
	[THING_RESOURCE] = &section_resource,	[THING_POSTURE] = &section_posture,
	[THING_PLACE] = &section_place,		[THING_SCHEDULE] = &section_schedule,
	[THING_RULE] = &section_rule,		[THING_TEST] = &section_test,
	[THING_INVARIANT] = &section_invariant,
};
enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };

const struct section *section_at(size_t i)
{
	return i < SECTIONS ? sections[i] : NULL;
}
