/* Sections and their keys: one table row each, with the reader of its value and what is allowed
 * there. What the full grammar has and this version does not enforce stands here too, so that it is
 * refused by name: a key that is accepted and ignored would give more than the policy says. */
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

static bool item_who(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_selector(c, s,
			      ALLOW_USER | ALLOW_GROUP | ALLOW_TAG | ALLOW_DEVICE | ALLOW_ANYONE,
			      help, ret);
}

static bool item_member(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_selector(c, s, ALLOW_USER | ALLOW_TAG | ALLOW_GROUP, help, ret);
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

enum { RESOURCE_ALL = UINT32_MAX }; /* "resource:*", until the list is spread out */

static bool item_resource(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct span name;

	if (span_is(s, "resource:*")) {
		*(uint32_t *)ret = RESOURCE_ALL;
		return true;
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
	static const char *const words[] = {"login", "mfa", "approval", "app:", "user:"};

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
		diag_hint(problem_with(c, s, "cannot be enforced by the running system yet"),
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

/* A network that may lie behind a gateway: not this machine itself, and nothing that a cloud
 * answers its own machines with. */
static bool item_address(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct endpoint first = {.port = 1};
	struct prefix *p = ret;

	if (!value_prefix(c, s, help, p))
		return false;
	first.addr = p->addr;
	if (p->bits == 0 || endpoint_is_usable(&first))
		return true;
	diag_hint(problem_with(c, s, "is never routed"),
		  "loopback, link-local, multicast and cloud metadata addresses are not behind a "
		  "gateway");
	return false;
}

static bool item_country(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct place_item *i = ret;

	(void)help;
	i->kind = PLACE_COUNTRY;
	return value_country(c, s, s, i->country);
}

/* A network is kept out by both of a device's addresses. */
static bool item_place_except(struct parse *c, const struct span *s, const char *help, void *ret)
{
	if (s->n == 2)
		return item_country(c, s, help, ret);
	return item_source(c, s, help, ret);
}

static bool item_window(struct parse *c, const struct span *s, const char *help, void *ret)
{
	(void)help; /* each part of a window says its own */
	return value_window(c, s, ret);
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

/* Lists whose items are held against each other are short. */
enum { PORTS_MAX = 8192, WINDOWS_MAX = 64, NETWORKS_MAX = 256 };
static const char windows_hint[] =
	"put days together (Mon-Fri), and dates (2026-12-24..2026-12-26)";

/* Where a value begins, behind the equals sign and white space. */
static struct place value_place(struct lex v)
{
	struct span s = {.at = v.at};

	lex_value_line(&v, &s);
	return s.at;
}

static size_t check_count(struct parse *c, const struct lex *v, size_t n, size_t max,
			  const char *what, const char *hint)
{
	if (n <= max)
		return n;
	diag_hint(problem_at(c, value_place(*v), "there are %zu %s here, at most %zu are possible",
			     n, what, max),
		  "%s", hint);
	return max;
}

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

static void set_on(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct selectors *l = &((struct parse_resource *)object)->r.on;

	l->in = value_list(c, v, help, sizeof(*l->in), item_host, &l->n_in);
}

static void set_via(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct selectors *l = &((struct parse_resource *)object)->r.via;

	l->in = value_list(c, v, help, sizeof(*l->in), item_host, &l->n_in);
}

static void set_address(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = &((struct parse_resource *)object)->r;

	r->address = value_list(c, v, help, sizeof(*r->address), item_address, &r->n_address);
	r->n_address = check_count(c, v, r->n_address, NETWORKS_MAX, "networks",
				   "write wider networks, or make two resources");
}

static void set_ports(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = &((struct parse_resource *)object)->r;

	r->ports = value_list(c, v, help, sizeof(*r->ports), item_service, &r->n_ports);
	r->n_ports =
		check_count(c, v, r->n_ports, PORTS_MAX, "ports", "write ranges: tcp/8000-8100");
}

static void set_data(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = &((struct parse_resource *)object)->r;
	struct span s;

	if (value_line(c, v, help, &s))
		value_name(c, &s, &r->data);
}

/* "user:ada@example.com" or "group:finance", as written; NULL when it is neither. */
static const char *read_owner(struct parse *c, const struct lex *v, const char *help)
{
	struct selector owner;
	struct span s;

	if (!value_line(c, v, help, &s) ||
	    !value_selector(c, &s, ALLOW_USER | ALLOW_GROUP, help, &owner))
		return NULL;
	return parse_text(c, &s);
}

static void set_resource_owner(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_resource *)object)->r.owner = read_owner(c, v, help);
}

static void set_rule_owner(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_rule *)object)->r.owner = read_owner(c, v, help);
}

/* except of a resource: devices, addresses or ports, each taken from the list of its kind. */
struct resource_except {
	enum { EXCEPT_HOST, EXCEPT_ADDRESS, EXCEPT_PORT } kind;
	struct selector host;
	struct prefix address;
	struct service port;
};

static bool item_resource_except(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct resource_except *e = ret;

	if (span_starts(s, "tag:") || span_starts(s, "device:")) {
		e->kind = EXCEPT_HOST;
		return item_host(c, s, help, &e->host);
	}
	/* Ports begin with a letter and have no colon; addresses have one, or begin with a digit.
	 */
	if (memchr(s->p, ':', s->n) || (s->p[0] >= '0' && s->p[0] <= '9')) {
		e->kind = EXCEPT_ADDRESS;
		return value_prefix(c, s, help, &e->address);
	}
	e->kind = EXCEPT_PORT;
	return value_service(c, s, help, &e->port);
}

static void set_resource_except(struct parse *c, void *object, const struct lex *v,
				const char *help)
{
	struct parse_resource *r = object;
	struct resource_except *list;
	struct selector *hosts;
	struct prefix *addresses;
	struct service *ports;
	size_t n;

	list = value_list(c, v, help, sizeof(*list), item_resource_except, &n);
	hosts = arena_array(c->arena, n, sizeof(*hosts));
	addresses = arena_array(c->arena, n, sizeof(*addresses));
	ports = arena_array(c->arena, n, sizeof(*ports));
	if (!list || !hosts || !addresses || !ports)
		return parse_fail(c, -ENOMEM);
	r->host_except = hosts;
	r->address_except = addresses;
	r->ports_except = ports;
	for (size_t i = 0; i < n; i++)
		switch (list[i].kind) {
		case EXCEPT_HOST:
			hosts[r->n_host_except++] = list[i].host;
			break;
		case EXCEPT_ADDRESS:
			addresses[r->n_address_except++] = list[i].address;
			break;
		case EXCEPT_PORT:
			ports[r->n_ports_except++] = list[i].port;
			break;
		}
	r->n_ports_except = check_count(c, v, r->n_ports_except, PORTS_MAX, "ports",
					"write ranges: tcp/8000-8100");
	r->n_address_except = check_count(c, v, r->n_address_except, NETWORKS_MAX, "networks",
					  "write wider networks");
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

static void set_windows(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct schedule *w = &((struct policy_schedule *)object)->s;

	w->in = value_list(c, v, help, sizeof(*w->in), item_window, &w->n_in);
	w->n_in = check_count(c, v, w->n_in, WINDOWS_MAX, "times", windows_hint);
}

static void set_window_except(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct schedule *w = &((struct policy_schedule *)object)->s;

	w->except = value_list(c, v, help, sizeof(*w->except), item_window, &w->n_except);
	w->n_except = check_count(c, v, w->n_except, WINDOWS_MAX, "times", windows_hint);
}

static void set_when(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct when_list *l = &((struct parse_rule *)object)->when;

	l->v = value_list(c, v, help, sizeof(*l->v), item_when, &l->n);
	l->n = check_count(c, v, l->n, WINDOWS_MAX, "times", windows_hint);
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

	if (value_line(c, v, help, &s))
		value_until(c, &s, &r->review_s);
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

	l->in = value_list(c, v, help, sizeof(*l->in), item_who, &l->n_in);
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

	if (span_starts(s, "resource:") && !span_is(s, "resource:*")) {
		e->kind = EXCEPT_WHAT;
		return item_resource(c, s, help, &e->what);
	}
	if (span_starts(s, "place:") || span_starts(s, "country:")) {
		e->kind = EXCEPT_WHERE;
		return value_spot(c, s, help, &e->spot);
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
	r->when_except.n = check_count(c, v, r->when_except.n, WINDOWS_MAX, "times", windows_hint);
}

static void set_how(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_rule *r = &((struct parse_rule *)object)->r;

	r->how = value_list(c, v, help, sizeof(*r->how), item_posture, &r->n_how);
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

/* Text of at most ZT_WHY_MAX bytes, its lines joined; NULL out of memory. */
static const char *read_words(struct parse *c, const struct lex *v, const char *noun,
			      const char *help)
{
	const char *text = value_text(c, *v);

	if (text && strlen(text) > ZT_WHY_MAX)
		diag_hint(problem_at(c, value_place(*v), "the %s is %zu bytes long", noun,
				     strlen(text)),
			  "write %s", help);
	return text;
}

static void set_why(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_rule *)object)->r.why = read_words(c, v, "reason", help);
}

static void set_ticket(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_rule *)object)->r.ticket = read_words(c, v, "ticket", help);
}

static void set_invariant_from(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_invariant *i = &((struct parse_invariant *)object)->i;

	i->from = value_list(c, v, help, sizeof(*i->from), item_who, &i->n_from);
}

static void set_invariant_why(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_invariant *)object)->i.why = read_words(c, v, "reason", help);
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
static const struct key resource_keys[] = {
	{"on", set_on, false, "a list of tag:NAME and device:NAME: the devices that offer it"},
	{"via", set_via, false, "a list of tag:NAME and device:NAME: the gateways to its address"},
	{"address", set_address, false,
	 "a list of networks behind the gateways: 10.20.0.0/16, 2001:db8::/48"},
	{"ports", set_ports, true, "a list of tcp/5432, tcp/8000-8100, udp/53, icmp or any"},
	{"except", set_resource_except, false,
	 "a list of tag:NAME, device:NAME, networks and ports: what does not belong to it after "
	 "all"},
	{"data", set_data, false, "a name for the class of data: confidential"},
	{"owner", set_resource_owner, false, "user:EMAIL or group:NAME"},
	{"lease", NULL, false, "the lease of [network] holds for all resources"},
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
static const struct key rule_keys[] = {
	{"who", set_who, true,
	 "a list of user:EMAIL, group:NAME, tag:NAME and device:NAME, or anyone"},
	{"what", set_what, true, "a list of resource:NAME, or resource:*"},
	{"how", set_how, false, "posture:NAME"},
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
	{"deny", NULL, false, "write action = deny"},
};
static const struct key test_keys[] = {
	{"from", set_from, true, "user:EMAIL, group:NAME, tag:NAME or device:NAME"},
	{"to", set_to, true, "a resource and a port: payroll-db tcp/5432"},
	{"expect", set_expect, true, "allow or deny"},
};

static const struct key invariant_keys[] = {
	{"from", set_invariant_from, true,
	 "a list of user:EMAIL, group:NAME, tag:NAME and device:NAME, or anyone"},
	{"to", set_invariant_to, true,
	 "a list of resource:NAME, resource:* and data:CLASS, each with a port or without: "
	 "resource:db tcp/5432"},
	{"expect", set_invariant_expect, true,
	 "never, or what an access must ask for: a list of posture:NAME, place:NAME, country:DE "
	 "and schedule:NAME"},
	{"why", set_invariant_why, true, "the reason, in words, at most 500 bytes"},
};

#define OBJECT(type) OBJECT_IN(type, )
#define OBJECT_IN(type, at)                                                                        \
	sizeof(struct type), offsetof(struct type, at name), offsetof(struct type, at line),       \
		offsetof(struct type, at column)
#define KEYS(k) k, sizeof(k) / sizeof((k)[0])
static const struct section sections[] = {
	[THING_NETWORK] = {"network", THING_NETWORK, "[network]", 1, OBJECT(parse_network),
			   KEYS(network_keys)},
	[THING_GROUP] = {"group", THING_GROUP, "[group NAME]", POLICY_SECTIONS_MAX,
			 OBJECT(policy_group), KEYS(group_keys)},
	[THING_RESOURCE] = {"resource", THING_RESOURCE, "[resource NAME]", POLICY_SECTIONS_MAX,
			    OBJECT_IN(parse_resource, r.), KEYS(resource_keys)},
	[THING_POSTURE] = {"posture", THING_POSTURE, "[posture NAME]", ENGINE_POSTURES_MAX,
			   OBJECT(policy_posture), KEYS(posture_keys)},
	[THING_PLACE] = {"place", THING_PLACE, "[place NAME]", POLICY_SECTIONS_MAX,
			 OBJECT_IN(parse_place, p.), KEYS(place_keys)},
	[THING_SCHEDULE] = {"schedule", THING_SCHEDULE, "[schedule NAME]", POLICY_SECTIONS_MAX,
			    OBJECT(policy_schedule), KEYS(schedule_keys)},
	[THING_RULE] = {"rule", THING_RULE, "[rule NAME]", ZT_RULES_MAX, OBJECT_IN(parse_rule, r.),
			KEYS(rule_keys)},
	[THING_TEST] = {"test", THING_TEST, "[test NAME]", POLICY_SECTIONS_MAX, OBJECT(policy_test),
			KEYS(test_keys)},
	[THING_INVARIANT] = {"invariant", THING_INVARIANT, "[invariant NAME]", POLICY_SECTIONS_MAX,
			     OBJECT_IN(parse_invariant, i.), KEYS(invariant_keys)},
};
enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };
_Static_assert(sizeof(rule_keys) / sizeof(rule_keys[0]) <= SECTION_KEYS_MAX,
	       "rules have the most keys");

const struct section *section_at(size_t i)
{
	return i < SECTIONS ? &sections[i] : NULL;
}
