/* From what was read to the policy: lists less their excepts, groups in the order that their
 * members ask for, numbers for rules. What is left empty by an except, and groups in circles, are
 * problems. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zt/buf.h"
#include "controller/policy/demand.h"
#include "controller/policy/index.h"
#include "controller/policy/networks.h"
#include "controller/policy/services.h"

/* --- groups in groups --- */

enum { CYCLE_SHOWN = 8, CIRCLES_SAID_MAX = 20 };

struct group_graph {
	const struct policy_group *groups;
	uint32_t n;
	uint32_t *waits;  /* by group: named groups that are not in order yet */
	uint32_t *back;	  /* by group: where those that name it begin in namers */
	uint32_t *namers; /* groups that name it */
	uint32_t *order;  /* groups in order so far */
	uint32_t n_order;
	uint32_t n_told; /* of them those whose namers wait for them no more */
	struct {
		uint32_t from, to;
	} cut[CIRCLES_SAID_MAX]; /* one link of each circle that was said: it counts no more */
	size_t n_cut;
};

/* The i-th selector of a group, its excepts after its members. */
static const struct selector *named_by(const struct policy_group *g, size_t i)
{
	return i < g->members.n_in ? &g->members.in[i] : &g->members.except[i - g->members.n_in];
}

static size_t count_named(const struct policy_group *g)
{
	return g->members.n_in + g->members.n_except;
}

/* waits and back count, then namers are filled. */
static int graph_init(struct group_graph *g, struct arena *a)
{
	size_t total = 0;

	g->waits = arena_array(a, g->n, sizeof(*g->waits));
	g->back = arena_array(a, (size_t)g->n + 2, sizeof(*g->back));
	if (!g->waits || !g->back)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->n; i++)
		for (size_t k = 0; k < count_named(&g->groups[i]); k++) {
			const struct selector *s = named_by(&g->groups[i], k);

			if (s->kind != SELECTOR_GROUP)
				continue;
			g->waits[i]++;
			g->back[s->group + 2]++;
			total++;
		}
	for (uint32_t i = 2; i < g->n + 2; i++)
		g->back[i] += g->back[i - 1];
	g->namers = arena_array(a, total, sizeof(*g->namers));
	if (!g->namers)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->n; i++)
		for (size_t k = 0; k < count_named(&g->groups[i]); k++) {
			const struct selector *s = named_by(&g->groups[i], k);

			if (s->kind == SELECTOR_GROUP)
				g->namers[g->back[s->group + 1]++] = i;
		}
	return 0;
}

static bool is_cut(const struct group_graph *g, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < g->n_cut; i++)
		if (g->cut[i].from == from && g->cut[i].to == to)
			return true;
	return false;
}

/* Kahn: a group is in order when all groups that it names are. */
static void graph_sort(struct group_graph *g)
{
	for (; g->n_told < g->n_order; g->n_told++) {
		uint32_t group = g->order[g->n_told];

		for (uint32_t k = g->back[group]; k < g->back[group + 1]; k++)
			if (!is_cut(g, g->namers[k], group) && --g->waits[g->namers[k]] == 0)
				g->order[g->n_order++] = g->namers[k];
	}
}

/* Without the link between the two other circles show, which need not be those of its groups. */
static void graph_cut(struct group_graph *g, uint32_t from, uint32_t to)
{
	for (size_t k = 0; k < count_named(&g->groups[from]); k++) {
		const struct selector *s = named_by(&g->groups[from], k);

		if (s->kind == SELECTOR_GROUP && s->group == to)
			g->waits[from]--;
	}
	g->cut[g->n_cut].from = from;
	g->cut[g->n_cut++].to = to;
	if (g->waits[from] == 0)
		g->order[g->n_order++] = from;
	graph_sort(g);
}

/* A group named by this one that is not in order either. There is one, or it would be. */
static uint32_t next_in_circle(const struct group_graph *g, uint32_t group)
{
	for (size_t k = 0; k < count_named(&g->groups[group]); k++) {
		const struct selector *s = named_by(&g->groups[group], k);

		if (s->kind == SELECTOR_GROUP && g->waits[s->group] > 0 &&
		    !is_cut(g, group, s->group))
			return s->group;
	}
	return group;
}

/* Says the circle that this group is in, or leads into, and cuts it. */
static void say_circle(struct parse *c, struct group_graph *g, uint32_t group)
{
	const struct policy_group *first;
	char text[(CYCLE_SHOWN + 2) * (ZT_NAME_MAX + 4)];
	struct buf b;
	bool *seen = arena_array(&c->scratch, g->n, sizeof(*seen));
	uint32_t steps = 0, last;

	if (!seen)
		return parse_fail(c, -ENOMEM);
	while (!seen[group]) { /* seen again, it is in the circle itself */
		seen[group] = true;
		group = next_in_circle(g, group);
	}
	first = &g->groups[group];
	last = group;
	buf_init(&b, text, sizeof(text));
	buf_put_text(&b, first->name);
	for (uint32_t at = next_in_circle(g, group); at != group; at = next_in_circle(g, at)) {
		if (++steps <= CYCLE_SHOWN)
			buf_printf(&b, " > %s", g->groups[at].name);
		last = at;
	}
	diag_hint(problem_at(c, (struct place){first->line, first->column},
			     "group \"%s\" contains itself: %.*s%s > %s", first->name, (int)b.len,
			     (const char *)b.data, steps > CYCLE_SHOWN ? " > ..." : "",
			     first->name),
		  "take one of these groups out of the other");
	graph_cut(g, last, group);
}

static void settle_groups(struct parse *c)
{
	struct policy *p = c->policy;
	struct group_graph g = {.groups = p->groups, .n = (uint32_t)p->n_groups};

	g.order = arena_array(c->arena, g.n, sizeof(*g.order));
	if (!g.order || graph_init(&g, &c->scratch) < 0)
		return parse_fail(c, -ENOMEM);
	for (uint32_t i = 0; i < g.n; i++)
		if (g.waits[i] == 0)
			g.order[g.n_order++] = i;
	graph_sort(&g);
	p->group_order = g.order;
	for (uint32_t i = 0; i < g.n && g.n_cut < CIRCLES_SAID_MAX && !c->stop;)
		if (g.waits[i] > 0)
			say_circle(c, &g, i);
		else
			i++;
}

/* --- lists less their excepts --- */

static bool forms_are_flawed(const struct parse *c, const struct policy_resource *r)
{
	static const char *const keys[] = {"on", "via", "address"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (key_is_flawed(c, "resource", r->line, keys[i]))
			return true;
	return false;
}

/* On devices, or behind gateways: one of the two, and the whole of it. */
static void check_form(struct parse *c, const struct policy_resource *r)
{
	const struct place at = {r->line, r->column};
	bool behind = r->via.in || r->address;

	if (r->on.in && behind)
		diag_hint(problem_at(c, at, "resource \"%s\" has on and %s", r->name,
				     r->via.in ? "via" : "address"),
			  "on names the devices that offer it themselves, via and address what is "
			  "behind gateways: make two resources");
	else if (forms_are_flawed(c, r)) /* what was meant is said there */
		return;
	else if (!r->on.in && !behind)
		diag_hint(problem_at(c, at, "resource \"%s\" has no on", r->name),
			  "add \"on = ...\": a list of tag:NAME and device:NAME: the devices that "
			  "offer it; or via and address, for what is behind gateways");
	else if (behind && (!r->via.in || !r->address))
		diag_hint(problem_at(c, at, "resource \"%s\" has no %s", r->name,
				     r->via.in ? "address" : "via"),
			  "via names the gateways, address the networks behind them");
	else if (behind)
		diag_hint(warn_at(c, at, "resource \"%s\" is behind gateways", r->name),
			  "no gateway forwards in this version: rules about it open nothing yet");
}

static void settle_hosts(const struct parse_resource *from, struct policy_resource *r)
{
	struct selectors *l = r->on.in ? &r->on : &r->via;

	l->except = from->host_except;
	l->n_except = from->n_host_except;
}

static void settle_address(struct parse *c, const struct parse_resource *from,
			   struct policy_resource *r)
{
	if (networks_cut(r->address, r->n_address, from->address_except, from->n_address_except,
			 c->arena, &r->address, &r->n_address) < 0)
		return parse_fail(c, -ENOMEM);
	if (r->n_address == 0 && from->n_address_except &&
	    !key_is_flawed(c, "resource", r->line, "address"))
		diag_hint(problem_at(c, (struct place){r->line, r->column},
				     "resource \"%s\" is empty: except takes out all of its "
				     "addresses",
				     r->name),
			  "take the networks out of one of the two lists");
}

static void settle_ports(struct parse *c, const struct parse_resource *from,
			 struct policy_resource *r)
{
	if (from->n_ports_except == 0 || r->n_ports == 0)
		return;
	if (services_cut(r->ports, r->n_ports, from->ports_except, from->n_ports_except, c->arena,
			 &r->ports, &r->n_ports) < 0)
		return parse_fail(c, -ENOMEM);
	if (r->n_ports == 0 && !key_is_flawed(c, "resource", r->line, "ports"))
		diag_hint(problem_at(c, (struct place){r->line, r->column},
				     "resource \"%s\" is empty: except takes out all of its ports",
				     r->name),
			  "take the ports out of one of the two lists");
}

static void settle_resource(struct parse *c, const struct parse_resource *from,
			    struct policy_resource *r)
{
	*r = from->r;
	r->data = r->data ? r->data : "";
	r->owner = r->owner ? r->owner : "";
	check_form(c, r);
	settle_hosts(from, r);
	if (r->address)
		settle_address(c, from, r);
	settle_ports(c, from, r);
}

static bool has_id(const uint32_t *v, size_t n, uint32_t id)
{
	return n > 0 && bsearch(&id, v, n, sizeof(*v), ids_compare) != NULL;
}

/* What except names and the list never had. */
static void warn_except(struct parse *c, const struct policy_rule *r, const uint32_t *what,
			size_t n_what, const uint32_t *except, size_t n_except)
{
	for (size_t i = 0; i < n_except; i++)
		if (!has_id(what, (uint32_t)n_what, except[i]))
			diag_hint(warn_at(c, (struct place){r->line, r->column},
					  "rule \"%s\": except takes out resource:%s, which is not "
					  "among its what",
					  r->name, thing_name(c, THING_RESOURCE, except[i])),
				  "take it out of except, or name it in what");
}

/* The rule's resources: sorted, without doubles and those of except. */
static void settle_what(struct parse *c, const struct parse_rule *from, struct policy_rule *r)
{
	size_t n = r->what_all ? c->count[THING_RESOURCE] : r->n_what, kept = 0;
	uint32_t *what = arena_array(c->arena, n, sizeof(*what));
	uint32_t *except =
		arena_dup(&c->scratch, from->what_except, from->n_what_except * sizeof(*except));
	uint32_t n_except;

	if (!what || !except)
		return parse_fail(c, -ENOMEM);
	for (size_t i = 0; i < n; i++)
		what[i] = r->what_all ? (uint32_t)i : r->what[i];
	n = ids_sort(what, (uint32_t)n);
	n_except = ids_sort(except, (uint32_t)from->n_what_except);
	warn_except(c, r, what, n, except, n_except);
	for (size_t i = 0; i < n; i++)
		if (!has_id(except, n_except, what[i]))
			what[kept++] = what[i];
	if (n > 0 && kept == 0 && !key_is_flawed(c, "rule", r->line, "what"))
		diag_hint(problem_at(c, (struct place){r->line, r->column},
				     "rule \"%s\" can never match: except takes out all of its "
				     "resources",
				     r->name),
			  "take the names out of one of the two lists");
	r->what = what;
	r->n_what = kept;
}

static void say_how_of_deny(struct parse *c, const struct policy_rule *r)
{
	const struct place at = {r->line, r->column};
	const char *text;

	if (r->n_how > 0) {
		diag_hint(problem_at(c, at, "rule \"%s\" denies, and asks for a posture", r->name),
			  "a deny holds whatever state a device is in; ask for posture:%s in the "
			  "rules that allow",
			  c->policy->postures[r->how[0]].name);
		return;
	}
	text = demands_print(&r->demands, &c->scratch);
	if (!text)
		return parse_fail(c, -ENOMEM);
	diag_hint(problem_at(c, at, "rule \"%s\" denies, and asks for %.80s", r->name, text),
		  "a deny holds whoever logged in and whatever program it is; ask for it in the "
		  "rules that allow");
}

static void settle_rule(struct parse *c, const struct parse_rule *from, struct policy_rule *r)
{
	*r = from->r;
	r->why = r->why ? r->why : "";
	r->owner = r->owner ? r->owner : "";
	r->ticket = r->ticket ? r->ticket : "";
	r->review_s = r->review_s ? r->review_s : INT64_MAX;
	settle_what(c, from, r);
	if (r->where && !(r->where & ~r->where_except) &&
	    !key_is_flawed(c, "rule", r->line, "where"))
		diag_hint(problem_at(c, (struct place){r->line, r->column},
				     "rule \"%s\" can never match: except takes out all of its "
				     "places",
				     r->name),
			  "take the names out of one of the two lists");
	if (r->deny && (r->n_how > 0 || demands_kinds(&r->demands)))
		say_how_of_deny(c, r);
}

static void settle_lists(struct parse *c)
{
	const struct parse_resource *resources = c->objects[THING_RESOURCE];
	const struct parse_rule *rules = c->objects[THING_RULE];
	struct policy *p = c->policy;
	struct policy_resource *out = arena_array(c->arena, p->n_resources, sizeof(*out));
	struct policy_rule *out_rules = arena_array(c->arena, p->n_rules, sizeof(*out_rules));

	if (!out || !out_rules)
		return parse_fail(c, -ENOMEM);
	for (size_t i = 0; i < p->n_resources && !c->stop; i++)
		settle_resource(c, &resources[i], &out[i]);
	for (size_t i = 0; i < p->n_rules && !c->stop; i++) {
		settle_rule(c, &rules[i], &out_rules[i]);
		out_rules[i].id = (uint32_t)i + 1;
	}
	if (!c->stop)
		settle_whens(c, rules, out_rules);
	p->resources = out;
	p->rules = out_rules;
}

/* All that make a place, one behind the other; networks that are kept out are so by both of a
 * device's addresses. */
static void settle_place(struct parse *c, const struct parse_place *from, struct policy_place *p)
{
	size_t n_in = from->n_source + from->n_overlay + from->n_country;
	struct place_item *in = arena_array(c->arena, n_in, sizeof(*in));
	struct place_item *except = arena_array(c->arena, 2 * from->n_except, sizeof(*except));

	*p = from->p;
	if (!in || !except)
		return parse_fail(c, -ENOMEM);
	p->in = in;
	p->except = except;
	for (size_t i = 0; i < from->n_source; i++)
		in[p->n_in++] = from->source[i];
	for (size_t i = 0; i < from->n_overlay; i++)
		in[p->n_in++] = from->overlay[i];
	for (size_t i = 0; i < from->n_country; i++)
		in[p->n_in++] = from->country[i];
	for (size_t i = 0; i < from->n_except; i++) {
		except[p->n_except++] = from->except[i];
		if (from->except[i].kind != PLACE_SOURCE)
			continue;
		except[p->n_except] = from->except[i];
		except[p->n_except++].kind = PLACE_OVERLAY;
	}
	if (!from->source && !from->overlay && !from->country &&
	    !key_is_flawed(c, "place", p->line, "source") &&
	    !key_is_flawed(c, "place", p->line, "overlay") &&
	    !key_is_flawed(c, "place", p->line, "country"))
		diag_hint(problem_at(c, (struct place){p->line, p->column},
				     "place \"%s\" is nowhere", p->name),
			  "add source, overlay or country");
}

static void settle_places(struct parse *c)
{
	const struct parse_place *places = c->objects[THING_PLACE];
	struct policy *p = c->policy;
	struct policy_place *out = arena_array(c->arena, c->count[THING_PLACE], sizeof(*out));

	p->spots = arena_dup(c->arena, c->spots, c->n_spots * sizeof(*c->spots));
	if (!out || !p->spots)
		return parse_fail(c, -ENOMEM);
	for (size_t i = 0; i < c->count[THING_PLACE] && !c->stop; i++)
		settle_place(c, &places[i], &out[i]);
	p->places = out;
	p->n_places = c->count[THING_PLACE];
	p->n_spots = c->n_spots;
}

void settle_policy(struct parse *c)
{
	struct parse_network *network = c->objects[THING_NETWORK];
	struct policy_posture *postures = c->objects[THING_POSTURE];
	struct policy_schedule *schedules = c->objects[THING_SCHEDULE];
	struct policy *p = c->policy;

	p->lease_s = network->lease_s ? network->lease_s : ZT_LEASE_DEFAULT_S;
	for (uint32_t i = 0; i < c->count[THING_POSTURE]; i++)
		if (!postures[i].max_age_s)
			postures[i].max_age_s = ZT_FACT_MAX_AGE_S;
	for (uint32_t i = 0; i < c->count[THING_SCHEDULE]; i++)
		schedules[i].s.until_s = INT64_MAX;
	p->schedules = schedules;
	p->n_schedules = c->count[THING_SCHEDULE];
	p->groups = c->objects[THING_GROUP];
	p->postures = postures;
	p->tests = c->objects[THING_TEST];
	p->n_groups = c->count[THING_GROUP];
	p->n_resources = c->count[THING_RESOURCE];
	p->n_postures = c->count[THING_POSTURE];
	p->n_rules = c->count[THING_RULE];
	p->n_tests = c->count[THING_TEST];
	settle_places(c);
	if (!c->stop)
		settle_lists(c);
	if (!c->stop)
		settle_groups(c);
	if (!c->stop)
		settle_invariants(c);
}
