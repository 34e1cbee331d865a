/* Keys of invariants: what they are about, and what they expect; then references settled. */
#include "controller/policy/parse_section.h"

#include <errno.h>
#include <string.h>

#include "zt/buf.h"

/* --- to --- */

/* "data = x", "x", "resource:x/22": what people write instead. */
static bool wrong_target(struct parse *c, const struct span *s, const struct span *name,
			 const char *help)
{
	struct diag *d = problem_with(c, s, "is not allowed here");
	const char *equals = memchr(s->p, '=', s->n);
	struct span class = *s;

	if (names_find(&c->names, THING_RESOURCE, name->p, name->n) != NAMES_ABSENT) {
		diag_hint(d, "did you mean resource:%.*s?", (int)name->n, name->p);
	} else if (equals && span_starts(s, "data")) {
		class = span_trim(span_skip(*s, (size_t)(equals - s->p) + 1));
		diag_hint(d, "write data:%.*s", (int)class.n, class.p);
	} else if (!hint_meant(c, d, s, help)) {
		diag_hint(d, "write %s", help);
	}
	return false;
}

/* "resource:db", "resource:*" or "data:confidential" */
static bool read_target(struct parse *c, const struct span *s, const struct span *name,
			const char *help, struct policy_target *t)
{
	struct span bare;

	t->line = s->at.line;
	t->column = s->at.column;
	t->all = span_is(name, "resource:*");
	if (t->all)
		return true;
	if (span_starts(name, "resource:")) {
		bare = span_skip(*name, strlen("resource:"));
		return value_reference(c, &bare, name, THING_RESOURCE, help, &t->resource);
	}
	if (span_starts(name, "data:")) {
		bare = span_skip(*name, strlen("data:"));
		return value_name(c, &bare, &t->data);
	}
	return wrong_target(c, s, name, help);
}

static bool item_target(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct policy_target *t = ret;
	struct span name = *s, svc;

	*t = (struct policy_target){0};
	name.n = 0;
	while (name.n < s->n && s->p[name.n] != ' ' && s->p[name.n] != '\t')
		name.n++;
	if (!read_target(c, s, &name, help, t))
		return false;
	svc = span_trim(span_skip(*s, name.n));
	t->some_ports = svc.n > 0;
	return !t->some_ports ||
	       value_service(c, &svc, "tcp/5432, tcp/8000-8100, udp/53, icmp or any", &t->svc);
}

static void set_to(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_invariant *i = &((struct parse_invariant *)object)->i;

	i->to = value_list(c, v, help, sizeof(*i->to), item_target, &i->n_to);
}

/* --- expect --- */

struct expectation {
	enum { EXPECT_NEVER, EXPECT_POSTURE, EXPECT_SPOT, EXPECT_SCHEDULE } kind;
	uint32_t i; /* index, or bit of a spot */
	struct span text;
};

static bool item_expect(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct expectation *e = ret;
	struct span name;

	e->text = *s;
	if (span_is(s, "never") || span_is(s, "deny")) {
		e->kind = EXPECT_NEVER;
		return true;
	}
	if (span_starts(s, "posture:")) {
		e->kind = EXPECT_POSTURE;
		name = span_skip(*s, strlen("posture:"));
		return value_reference(c, &name, s, THING_POSTURE, help, &e->i);
	}
	if (span_starts(s, "schedule:")) {
		e->kind = EXPECT_SCHEDULE;
		name = span_skip(*s, strlen("schedule:"));
		return value_reference(c, &name, s, THING_SCHEDULE, help, &e->i);
	}
	e->kind = EXPECT_SPOT;
	return value_spot(c, s, help, &e->i);
}

static void set_expect(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct parse_invariant *to = object;
	struct expectation *list;
	uint32_t *schedules;
	size_t n;

	list = value_list(c, v, help, sizeof(*list), item_expect, &n);
	schedules = arena_array(c->arena, n, sizeof(*schedules));
	if (!list || !schedules)
		return parse_fail(c, -ENOMEM);
	to->schedules = schedules;
	for (size_t k = 0; k < n; k++)
		switch (list[k].kind) {
		case EXPECT_NEVER:
			to->i.never = true;
			if (n > 1)
				diag_hint(problem_with(c, &list[k].text, "stands in a list"),
					  "write never alone, or what an access must ask for");
			break;
		case EXPECT_POSTURE:
			to->i.postures |= UINT64_C(1) << list[k].i;
			break;
		case EXPECT_SPOT:
			to->i.spots |= UINT64_C(1) << list[k].i;
			break;
		case EXPECT_SCHEDULE:
			schedules[to->n_schedules++] = list[k].i;
			break;
		}
}

/* --- the others, and the table --- */

static void set_from(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_invariant *i = &((struct parse_invariant *)object)->i;

	i->from.in = value_list(c, v, help, sizeof(*i->from.in), value_who, &i->from.n_in);
}

/* except: each item is taken from the list of its kind. */
struct invariant_except {
	bool is_target;
	struct policy_target to;
	struct selector from;
};

static bool refuse_expected(struct parse *c, const struct span *s)
{
	diag_hint(problem_with(c, s, "is a condition of expect"),
		  "expect has no except: name there what an access must ask for");
	return false;
}

static bool item_except(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct invariant_except *e = ret;

	e->is_target = (span_starts(s, "resource:") && !span_is(s, "resource:*")) ||
		       span_starts(s, "data:");
	if (span_starts(s, "posture:") || span_starts(s, "place:") || span_starts(s, "country:") ||
	    span_starts(s, "schedule:"))
		return refuse_expected(c, s);
	if (!e->is_target)
		return value_selector(c, s, ALLOW_USER | ALLOW_GROUP | ALLOW_TAG | ALLOW_DEVICE,
				      help, &e->from);
	if (!item_target(c, s, help, &e->to))
		return false;
	if (e->to.some_ports)
		diag_hint(problem_with(c, s, "has a port"),
			  "except takes out whole resources: name in to the ports that are meant");
	return !e->to.some_ports;
}

static void set_except(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_invariant *i = &((struct parse_invariant *)object)->i;
	struct invariant_except *list;
	struct policy_target *to;
	struct selector *from;
	size_t n;

	list = value_list(c, v, help, sizeof(*list), item_except, &n);
	from = arena_array(c->arena, n, sizeof(*from));
	to = arena_array(c->arena, n, sizeof(*to));
	if (!list || !from || !to)
		return parse_fail(c, -ENOMEM);
	i->from.except = from;
	i->to_except = to;
	for (size_t k = 0; k < n; k++)
		if (list[k].is_target)
			to[i->n_to_except++] = list[k].to;
		else
			from[i->from.n_except++] = list[k].from;
}

static void set_why(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_invariant *)object)->i.why = value_words(c, v, "reason", help);
}

static const struct key invariant_keys[] = {
	{"from", set_from, true,
	 "a list of user:EMAIL, group:NAME, tag:NAME and device:NAME, or anyone"},
	{"to", set_to, true,
	 "a list of resource:NAME, resource:* and data:CLASS, each with a port or without: "
	 "resource:db tcp/5432"},
	{"expect", set_expect, true,
	 "never, or what an access must ask for: a list of posture:NAME, place:NAME, country:DE "
	 "and schedule:NAME"},
	{"except", set_except, false,
	 "a list of user:EMAIL, group:NAME, tag:NAME, device:NAME, resource:NAME and data:CLASS: "
	 "what the invariant is not about after all"},
	{"why", set_why, true, "the reason, in words, at most 500 bytes"},
};

const struct section section_invariant = {"invariant",
					  THING_INVARIANT,
					  "[invariant NAME]",
					  POLICY_SECTIONS_MAX,
					  OBJECT_IN(parse_invariant, i.),
					  KEYS(invariant_keys)};

/* --- settling --- */

/* "schedule:a or schedule:b" */
static const char *schedules_text(struct parse *c, const struct parse_invariant *from)
{
	const char *text;
	struct buf b;

	buf_init_grow(&b, 1 << 24);
	for (size_t k = 0; k < from->n_schedules; k++)
		buf_printf(&b, "%sschedule:%s", k ? " or " : "",
			   thing_name(c, THING_SCHEDULE, from->schedules[k]));
	text = b.err ? NULL : arena_text(c->arena, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}

/* One of the schedules must hold: they are a when. */
static const struct policy_when *make_when(struct parse *c, const struct parse_invariant *from)
{
	const struct policy_schedule *all = c->objects[THING_SCHEDULE];
	const struct schedule **in =
		arena_array(c->arena, from->n_schedules, sizeof(const struct schedule *));
	const char *text = schedules_text(c, from);

	struct policy_when w = {
		.in = in, .n_in = from->n_schedules, .until_s = INT64_MAX, .text = text};

	if (!in || !text)
		return NULL;
	for (size_t k = 0; k < from->n_schedules; k++)
		in[k] = &all[from->schedules[k]].s;
	return settle_invariant_when(c, &w);
}

static void check_data(struct parse *c, const struct policy_target *t)
{
	const struct parse_resource *all = c->objects[THING_RESOURCE];
	const char **classes = arena_array(&c->scratch, c->count[THING_RESOURCE], sizeof(char *));
	struct span s = {.p = t->data, .n = strlen(t->data), .at = {t->line, t->column}};
	size_t n = 0;

	if (!classes)
		return parse_fail(c, -ENOMEM);
	for (uint32_t i = 0; i < c->count[THING_RESOURCE]; i++) {
		if (!all[i].r.data && key_is_flawed(c, "resource", all[i].r.line, "data"))
			return; /* it may be the class of this one */
		if (!all[i].r.data)
			continue;
		if (strcmp(all[i].r.data, t->data) == 0)
			return;
		classes[n++] = all[i].r.data;
	}
	if (c->resources_refused)
		return;
	hint_nearest(problem_at(c, s.at, "no resource has data = %s", t->data), &s,
		     "data:", classes, n, "write data = ... in the resources that are meant");
}

static bool same_target(const struct policy_target *a, const struct policy_target *b)
{
	if (a->all || b->all || !a->data != !b->data)
		return a->all && b->all;
	return a->data ? strcmp(a->data, b->data) == 0 : a->resource == b->resource;
}

/* Is every item of to taken out by name? An invariant about nothing would always hold. Only looked
 * at where both are short, as with selectors. */
static bool is_about_nothing(const struct policy_invariant *i)
{
	enum { SHORT = 64 };

	if (i->n_to == 0 || i->n_to_except == 0 || i->n_to > SHORT || i->n_to_except > SHORT)
		return false;
	for (size_t k = 0; k < i->n_to; k++) {
		size_t e = 0;

		while (e < i->n_to_except && !same_target(&i->to[k], &i->to_except[e]))
			e++;
		if (e == i->n_to_except)
			return false;
	}
	return true;
}

static void check_invariant(struct parse *c, const struct policy_invariant *i)
{
	for (size_t k = 0; k < i->n_to && !c->stop; k++)
		if (i->to[k].data)
			check_data(c, &i->to[k]);
	for (size_t k = 0; k < i->n_to_except && !c->stop; k++)
		if (i->to_except[k].data)
			check_data(c, &i->to_except[k]);
	if (is_about_nothing(i) && !key_is_flawed(c, "invariant", i->line, "to"))
		diag_hint(problem_at(c, (struct place){i->line, i->column},
				     "invariant \"%s\" is empty: except takes out all of its to",
				     i->name),
			  "take the names out of one of the two lists");
}

void settle_invariants(struct parse *c)
{
	const struct parse_invariant *from = c->objects[THING_INVARIANT];
	size_t n = c->count[THING_INVARIANT];
	struct policy_invariant *out = arena_array(c->arena, n, sizeof(*out));

	if (!out)
		return parse_fail(c, -ENOMEM);
	for (size_t i = 0; i < n && !c->stop; i++) {
		out[i] = from[i].i;
		out[i].why = out[i].why ? out[i].why : "";
		if (from[i].n_schedules) {
			out[i].when = make_when(c, &from[i]);
			if (!out[i].when)
				return parse_fail(c, -ENOMEM);
		}
		check_invariant(c, &out[i]);
	}
	c->policy->invariants = out;
	c->policy->n_invariants = n;
}
