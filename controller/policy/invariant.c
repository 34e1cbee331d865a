/* Invariants, each as the question can asks: every way that there is must be one that it allows. */
#include "controller/policy/invariant.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "zt/buf.h"
#include "zt/txt.h"
#include "controller/policy/can_impl.h"
#include "controller/policy/services.h"
#include "controller/policy/words.h"

enum { CHECK_MEMORY_MAX = 1 << 30, CONDITIONS_TEXT_MAX = 200 };

struct run {
	struct can_run x;
	const struct policy_invariant *i;
	struct can_party from;
	struct diag_list *problems;
	bool broken; /* this one: one counterexample is enough */
	bool some;   /* any */
};

/* A way that is not allowed, at one moment of it. */
struct breach {
	const struct can_class *from, *to;
	const struct can_stretch *at;
	const struct can_option *option;
	const char *resource;
	const char *lacks; /* what the invariant asks for; NULL: never */
	const char *how;   /* "without", "outside": how it lacks it */
	size_t time;
	const struct can_place *place;
};

/* --- words --- */

static struct diag *problem_add(struct run *r)
{
	struct diag_list *l = r->problems;
	const char *file = r->x.p->file;
	size_t n = strlen(file);
	struct diag *d;

	r->broken = r->some = true;
	if (l->n >= l->max) {
		l->dropped++;
		return NULL;
	}
	d = &l->items[l->n++];
	*d = (struct diag){.line = r->i->line, .column = r->i->column};
	if (n >= sizeof(d->file))
		file += n - sizeof(d->file) + 1;
	txt_safe(file, d->file, sizeof(d->file));
	return d;
}

static const char *service_words(const struct service *s, char text[static SERVICE_TEXT_MAX])
{
	struct service one = *s;

	if (s->proto == CAN_OTHER_PROTOCOLS)
		return "other protocols";
	one.hi = one.lo; /* a counterexample has one port */
	service_print(&one, text);
	return text;
}

static bool some_not_is_placed(const struct can_option *o)
{
	for (size_t i = 0; i < o->n_nots; i++)
		if (o->nots[i]->where || o->nots[i]->where_except)
			return true;
	return false;
}

static bool some_not_is_timed(const struct can_option *o)
{
	for (size_t i = 0; i < o->n_nots; i++)
		if (o->nots[i]->when != POLICY_ALWAYS)
			return true;
	return false;
}

/* Where it may be anywhere nothing is said. */
static void say_place(const struct run *r, const struct breach *b, struct buf *out)
{
	const struct place_view *v = &b->place->view;
	char text[ADDR_TEXT_MAX];

	if (!b->option->placed && !some_not_is_placed(b->option) && !r->i->spots)
		return;
	if (v->source.family == ADDR_NONE) {
		buf_put_text(out, ", from a place that is not known");
		return;
	}
	addr_print(&v->source, text);
	buf_printf(out, ", from %s", text);
	if (v->country[0])
		buf_printf(out, " in %s", v->country);
}

/* Under which conditions: ", with posture:managed, at 2027-01-16 10:00 UTC, from 10.0.0.1 in DE" */
static void say_moment(const struct run *r, const struct breach *b, struct buf *out)
{
	char at[DATE_TIME_TEXT_MAX];
	const char *before = ", with ";

	for (uint64_t left = b->option->postures; left; left &= left - 1) {
		buf_printf(out, "%sposture:%s", before,
			   r->x.p->postures[__builtin_ctzll(left)].name);
		before = " and ";
	}
	if (b->option->timed || some_not_is_timed(b->option) || r->i->when) {
		time_print(b->at->solution->times->at_s[b->time], at);
		buf_printf(out, ", at %s", at);
	}
	say_place(r, b, out);
}

static void say_breach(struct run *r, const struct breach *b)
{
	const struct policy_rule *rule = b->option->rule;
	char svc[SERVICE_TEXT_MAX], moment[CONDITIONS_TEXT_MAX];
	struct diag *d = problem_add(r);
	struct buf out;
	size_t n;

	if (!d)
		return;
	buf_init(&out, moment, sizeof(moment));
	say_moment(r, b, &out);
	snprintf(d->message, sizeof(d->message),
		 "invariant \"%s\" is broken: rule \"%s\" (line %u) lets %s reach %s on %s, %s",
		 r->i->name, rule->name, rule->line, b->from->ids->name, b->resource,
		 b->to->ids->name, service_words(&b->at->svc, svc));
	n = strlen(d->message);
	snprintf(d->message + n, sizeof(d->message) - n, "%s%s%s%s", b->lacks ? b->how : "",
		 b->lacks ? " " : "", b->lacks ? b->lacks : "", out.err ? "" : buf_text(&out));
	if (b->lacks)
		diag_hint(d, "ask for %s in the rule, or change the invariant (%s)", b->lacks,
			  r->i->why);
	else
		diag_hint(d, "change the rule or deny it, or change the invariant (%s)", r->i->why);
}

/* Where it cannot be decided nothing is promised. */
static void say_undecided(struct run *r)
{
	struct diag *d = problem_add(r);

	if (!d)
		return;
	snprintf(d->message, sizeof(d->message),
		 "invariant \"%s\" has too many cases to be decided", r->i->name);
	diag_hint(d, "name fewer people or resources in one invariant");
}

/* --- one way --- */

static bool has(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* "place:office or country:DE" */
static const char *spots_text(const struct run *r, uint64_t spots)
{
	char text[SPOT_TEXT_MAX];
	const char *all;
	struct buf b;

	buf_init_grow(&b, 1 << 16);
	for (uint64_t left = spots; left; left &= left - 1) {
		spot_print(r->x.p, (uint32_t)__builtin_ctzll(left), text);
		buf_printf(&b, "%s%s", b.len ? " or " : "", text);
	}
	all = b.err ? NULL : arena_text(r->x.a, buf_text(&b), b.len);
	buf_free(&b);
	return all;
}

/* Is the moment outside what is asked for? With b->lacks set, or NULL for want of memory. */
static bool lacks_something(struct run *r, struct breach *b, size_t time,
			    const struct can_place *place)
{
	const struct can_solution *s = b->at->solution;

	if (r->i->spots && !(place->at.in & r->i->spots)) {
		b->how = ", not from";
		b->lacks = spots_text(r, r->i->spots);
		return true;
	}
	if (r->i->when && !has(s->times->open[time], s->extra)) {
		b->how = ", outside";
		b->lacks = r->i->when->text;
		return true;
	}
	return false;
}

/* The first moment of the option at which it is not as asked for. any: every moment is one. */
static int find_moment(struct run *r, struct breach *b, bool any)
{
	const struct can_solution *s = b->at->solution;

	for (size_t t = 0; t < s->times->n; t++)
		for (size_t p = 0; p < s->places->n; p++) {
			if (!has(b->option->cells + t * s->row, p))
				continue;
			if (!any && !lacks_something(r, b, t, &s->places->v[p]))
				continue;
			if (!any && !b->lacks)
				return -ENOMEM;
			b->time = t;
			b->place = &s->places->v[p];
			say_breach(r, b);
			return 0;
		}
	return 0;
}

static int check_option(struct run *r, struct breach *b)
{
	uint64_t needs = r->x.index.needs[b->option->rule->id - 1];

	for (uint64_t left = r->i->postures; left; left &= left - 1) {
		uint32_t q = (uint32_t)__builtin_ctzll(left);

		if (postures_imply(r->x.p, needs, q))
			continue;
		b->how = ", without";
		b->lacks = arena_printf(r->x.a, "posture:%s", r->x.p->postures[q].name);
		return b->lacks ? find_moment(r, b, true) : -ENOMEM;
	}
	return find_moment(r, b, r->i->never);
}

/* --- all pairs --- */

static int check_pair(struct run *r, const struct can_class *from, const struct can_class *to,
		      const char *resource, const struct service *asked, size_t n_asked)
{
	const struct can_stretch *v;
	size_t n;
	int err;

	if (!can_be_two(from, to))
		return 0;
	err = can_stretches(&r->x, from, to, asked, n_asked, &v, &n);
	for (size_t i = 0; i < n && !err && !r->broken; i++)
		for (size_t k = 0; k < v[i].solution->n && !err && !r->broken; k++) {
			struct breach b = {.from = from,
					   .to = to,
					   .at = &v[i],
					   .option = &v[i].solution->options[k],
					   .resource = resource};

			err = check_option(r, &b);
		}
	return err;
}

/* What both mean: ports of the resource, and the one that is asked for. */
static int ports_of(struct run *r, const struct policy_resource *y, const struct policy_target *t,
		    const struct service **ret, size_t *ret_n)
{
	struct service *v;
	size_t n = 0;

	*ret = y->ports;
	*ret_n = y->n_ports;
	if (!t->some_ports)
		return 0;
	v = arena_array(r->x.a, y->n_ports, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < y->n_ports; i++) {
		const struct service *s = &y->ports[i];

		if (!service_overlaps(s, &t->svc))
			continue;
		v[n] = s->proto == SERVICE_ANY ? t->svc : *s;
		if (s->proto != SERVICE_ANY && t->svc.proto != SERVICE_ANY) {
			v[n].lo = s->lo > t->svc.lo ? s->lo : t->svc.lo;
			v[n].hi = s->hi < t->svc.hi ? s->hi : t->svc.hi;
		}
		n++;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

static int check_resource(struct run *r, uint32_t resource, const struct policy_target *t)
{
	const struct policy_resource *y = &r->x.p->resources[resource];
	const struct service *asked;
	struct can_party to;
	size_t n_asked;
	int err = ports_of(r, y, t, &asked, &n_asked);

	if (err || n_asked == 0)
		return err;
	can_party_init(&to, &r->x, true, NULL);
	err = can_party_add_hosts(&to, resource);
	for (size_t i = 0; i < to.n && !err; i++)
		for (size_t k = 0; k < r->from.n && !err && !r->broken; k++)
			err = check_pair(r, &r->from.classes[k], &to.classes[i], y->name, asked,
					 n_asked);
	return err;
}

static bool is_meant(const struct policy *p, const struct policy_target *t, uint32_t resource)
{
	if (t->all)
		return true;
	return t->data ? strcmp(p->resources[resource].data, t->data) == 0
		       : t->resource == resource;
}

static int check_all(struct run *r)
{
	const struct policy_invariant *i = r->i;
	int err = 0;

	can_run_forget(&r->x);
	can_party_init(&r->from, &r->x, false, NULL);
	for (size_t k = 0; k < i->n_from && !err; k++) {
		bool some = false;

		err = can_party_add(&r->from, &i->from[k], &some);
	}
	for (size_t k = 0; k < i->n_to && !err; k++)
		for (uint32_t y = 0; y < r->x.p->n_resources && !err && !r->broken; y++)
			if (is_meant(r->x.p, &i->to[k], y))
				err = check_resource(r, y, &i->to[k]);
	return err;
}

static int check_one(struct run *r)
{
	struct arena a;
	int err;

	arena_init(&a, CHECK_MEMORY_MAX);
	r->broken = false;
	r->x.a = &a;
	r->x.work = 0;
	r->x.extra_when = r->i->when;
	r->x.extra_spots = r->i->spots;
	err = check_all(r);
	arena_done(&a);
	if (err != -ZT_ELIMIT)
		return err;
	say_undecided(r);
	return 0;
}

int invariants_check(const struct policy *p, const struct subject *v, size_t n, int64_t now_s,
		     struct diag_list *problems)
{
	struct run r = {.problems = problems};
	int err;

	if (p->n_invariants == 0)
		return 0;
	err = can_run_init(&r.x, p, v, n, now_s, NULL);
	if (err)
		return err;
	for (size_t i = 0; i < p->n_invariants && !err; i++) {
		r.i = &p->invariants[i];
		err = check_one(&r);
	}
	can_run_done(&r.x);
	if (err)
		return err;
	return r.some ? -ZT_EFORM : 0;
}
