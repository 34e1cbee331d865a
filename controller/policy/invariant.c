/* Invariants, each as the question can asks: every way that there is must be one that it allows. */
#include "controller/policy/invariant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/buf.h"
#include "zt/txt.h"
#include "controller/policy/can_impl.h"
#include "controller/policy/services.h"
#include "controller/policy/words.h"

enum {
	CHECK_MEMORY_MAX = 1 << 30,
	CONDITIONS_TEXT_MAX = 200,
	STEP_WORK = 1 << 14, /* some tens of milliseconds */
};

struct invariants_run {
	struct can_run x;
	size_t n;	   /* looked at, and through */
	struct arena a;	   /* of the one that is looked at */
	bool begun;	   /* with it */
	size_t target;	   /* the next of its to, */
	uint32_t resource; /* and for that the next resource */
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

/* --- what an invariant is about --- */

static bool names(const struct policy *p, const struct policy_target *t, uint32_t resource)
{
	if (t->all)
		return true;
	return t->data ? strcmp(p->resources[resource].data, t->data) == 0
		       : t->resource == resource;
}

bool invariant_means(const struct policy *p, const struct policy_invariant *i,
		     const struct policy_target *t, uint32_t resource)
{
	if (!names(p, t, resource))
		return false;
	for (size_t k = 0; k < i->n_to_except; k++)
		if (names(p, &i->to_except[k], resource))
			return false;
	return true;
}

bool target_port(const struct policy_target *t, const struct service *port, struct service *ret)
{
	if (t->some_ports && !service_overlaps(port, &t->svc))
		return false;
	*ret = t->some_ports ? service_both(port, &t->svc) : *port;
	return true;
}

/* --- words --- */

static struct diag *problem_add(struct invariants_run *r)
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

	if (s->proto == PORTSET_OTHER)
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
static void say_place(const struct invariants_run *r, const struct breach *b, struct buf *out)
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
static void say_moment(const struct invariants_run *r, const struct breach *b, struct buf *out)
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

static void say_breach(struct invariants_run *r, const struct breach *b)
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
static void say_undecided(struct invariants_run *r)
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
static const char *spots_text(const struct invariants_run *r, uint64_t spots)
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
static bool lacks_something(struct invariants_run *r, struct breach *b, size_t time,
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
static int find_moment(struct invariants_run *r, struct breach *b, bool any)
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

static int check_option(struct invariants_run *r, struct breach *b)
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

static int check_pair(struct invariants_run *r, const struct can_class *from,
		      const struct can_class *to, const char *resource, const struct service *asked,
		      size_t n_asked)
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

/* Ports of the resource that the target is about. */
static int ports_of(struct invariants_run *r, const struct policy_resource *y,
		    const struct policy_target *t, const struct service **ret, size_t *ret_n)
{
	struct service *v = arena_array(r->x.a, y->n_ports, sizeof(*v));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < y->n_ports; i++)
		n += target_port(t, &y->ports[i], &v[n]);
	*ret = v;
	*ret_n = n;
	return 0;
}

static int check_resource(struct invariants_run *r, uint32_t resource,
			  const struct policy_target *t)
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

/* --- step by step --- */

static int begin_one(struct invariants_run *r)
{
	int err = 0;

	r->i = &r->x.p->invariants[r->n];
	arena_init(&r->a, CHECK_MEMORY_MAX);
	r->begun = true;
	r->broken = false;
	r->target = 0;
	r->resource = 0;
	r->x.a = &r->a;
	r->x.work = 0;
	r->x.extra_when = r->i->when;
	r->x.extra_spots = r->i->spots;
	can_run_forget(&r->x);
	can_party_init(&r->from, &r->x, false, NULL);
	if (r->i->from.n_except) /* then from is one atom, and who is kept out has it not */
		r->from.member = r->x.index.from[r->n].v[0];
	for (size_t k = 0; k < r->i->from.n_in && !err; k++) {
		bool some = false;

		err = can_party_add(&r->from, &r->i->from.in[k], &some);
	}
	return err;
}

static void end_one(struct invariants_run *r)
{
	if (r->begun)
		arena_done(&r->a);
	r->begun = false;
	r->n++;
}

/* Resources of the one that is looked at, until so much work is done. 1: there is more of it. */
static int go_on(struct invariants_run *r)
{
	const struct policy *p = r->x.p;
	size_t enough = r->x.work + STEP_WORK;
	int err = 0;

	for (; r->target < r->i->n_to; r->target++, r->resource = 0)
		while (r->resource < p->n_resources) {
			const struct policy_target *t = &r->i->to[r->target];

			if (r->x.work > enough)
				return 1;
			if (invariant_means(p, r->i, t, r->resource))
				err = check_resource(r, r->resource, t);
			if (err || r->broken)
				return err;
			r->resource++;
			r->x.work++;
		}
	return 0;
}

int invariants_begin(const struct policy *p, const struct subject *v, size_t n, int64_t now_s,
		     struct diag_list *problems, struct invariants_run **ret)
{
	struct invariants_run *r = calloc(1, sizeof(*r));
	int err = r ? can_run_init(&r->x, p, v, n, now_s, NULL) : -ENOMEM;

	if (err) {
		free(r);
		return err;
	}
	r->problems = problems;
	*ret = r;
	return 0;
}

int invariants_step(struct invariants_run *r)
{
	int more = 0;

	if (r->n == r->x.p->n_invariants)
		return r->some ? -ZT_EFORM : 0;
	if (!r->begun)
		more = begin_one(r);
	if (!more)
		more = go_on(r);
	if (more == 1)
		return 1;
	if (more == -ZT_ELIMIT)
		say_undecided(r);
	else if (more)
		return more;
	end_one(r);
	return 1;
}

void invariants_end(struct invariants_run *r)
{
	if (!r)
		return;
	if (r->begun)
		arena_done(&r->a);
	can_run_done(&r->x);
	free(r);
}

int invariants_check(const struct policy *p, const struct subject *v, size_t n, int64_t now_s,
		     struct diag_list *problems)
{
	struct invariants_run *r;
	int more;

	if (p->n_invariants == 0)
		return 0;
	more = invariants_begin(p, v, n, now_s, problems, &r);
	if (more)
		return more;
	do
		more = invariants_step(r);
	while (more == 1);
	invariants_end(r);
	return more;
}
