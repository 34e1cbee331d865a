/* Rules that are due, resources that nobody offers, tags and names that nobody has. */
#include "controller/policy/review.h"

#include <stdio.h>

#include "zt/txt.h"
#include "controller/policy/engine_impl.h"

enum {
	NEAR_MAX = 200, /* names looked through for a hint, */
	HINTS_MAX = 10, /* and so many hints: the loop waits meanwhile */
	NOBODY_MEMORY_MAX = 1 << 20,
};

bool review_is_past(const struct policy_rule *r, int64_t now_s)
{
	return r->review_s <= now_s;
}

struct review review_count(const struct policy *p, const struct engine *e, int64_t now_s)
{
	struct review n = {0};

	for (uint32_t i = 0; i < p->n_rules; i++) {
		n.past_review += review_is_past(&p->rules[i], now_s);
		n.over += engine_is_over(e, i);
	}
	return n;
}

/* Warnings being collected. */
struct list {
	const struct policy *p;
	const struct engine *e;
	struct diag *v;
	size_t n, max;
};

static struct diag *add(struct list *l, unsigned line, unsigned column)
{
	struct diag *d;

	if (l->n == l->max)
		return NULL;
	d = &l->v[l->n++];
	*d = (struct diag){.line = line, .column = column};
	(void)!txt_copy(d->file, sizeof(d->file), "policy");
	return d;
}

static void find_unoffered(struct list *l)
{
	for (uint32_t i = 0; i < l->p->n_resources; i++) {
		const struct policy_resource *r = &l->p->resources[i];
		struct diag *d;

		if (!r->on.n_in || engine_is_offered(l->e, i) || !(d = add(l, r->line, r->column)))
			continue;
		snprintf(d->message, sizeof(d->message), "no device offers resource \"%s\" now",
			 r->name);
		diag_hint(d, "its on has no active device yet; ztctl device list shows their tags");
	}
}

/* --- tags and names that no device has: mistyped in an except or a deny, they open something ---
 */

struct nobody {
	struct list *l;
	struct arena a;
	struct bits said;	     /* by atom */
	const char *there[NEAR_MAX]; /* names of one kind that some device has */
	size_t n_there, n_hints;
	enum selector_kind kind; /* that */
};

/* Of the kind, those that the policy names somewhere: it knows no others. */
static void find_there(struct nobody *x, enum selector_kind kind)
{
	const struct names *names = &x->l->e->index.names;

	if (x->n_there && x->kind == kind)
		return;
	x->kind = kind;
	x->n_there = 0;
	for (size_t i = 0; i < names->cap && x->n_there < NEAR_MAX; i++)
		if (names->slots[i].p && names->slots[i].kind == (uint32_t)kind &&
		    x->l->e->crowds[names->slots[i].value].n)
			x->there[x->n_there++] = names->slots[i].p;
}

static void say_nobody(struct nobody *x, const struct selector *s)
{
	struct diag *d = add(x->l, s->line, s->column);
	const char *near = NULL, *prefix = s->kind == SELECTOR_TAG ? "tag:" : "device:";

	if (!d)
		return;
	if (x->n_hints++ < HINTS_MAX) {
		find_there(x, s->kind);
		near = txt_nearest(s->name, x->there, x->n_there);
	}
	snprintf(d->message, sizeof(d->message), "no device %s %s%s now",
		 s->kind == SELECTOR_TAG ? "has" : "is", prefix, s->name);
	if (near)
		diag_hint(d, "did you mean %s%s?", prefix, near);
	else
		diag_hint(d, "ztctl device list shows names and tags");
}

static void look_at(struct nobody *x, const struct selector *list, size_t n)
{
	for (size_t i = 0; i < n && x->l->n < x->l->max; i++) {
		const struct selector *s = &list[i];
		uint32_t atom = NAMES_ABSENT;

		if (s->kind == SELECTOR_TAG || s->kind == SELECTOR_DEVICE)
			atom = index_atom(&x->l->e->index, s->kind, s->name);
		if (atom != NAMES_ABSENT && !x->l->e->crowds[atom].n && bits_add(&x->said, atom))
			say_nobody(x, s);
	}
}

static void look_at_both(struct nobody *x, const struct selectors *l)
{
	look_at(x, l->in, l->n_in);
	look_at(x, l->except, l->n_except);
}

static void find_nobody(struct list *l)
{
	const struct policy *p = l->p;
	struct nobody x = {.l = l};

	arena_init(&x.a, NOBODY_MEMORY_MAX);
	if (bits_init(&x.said, l->e->index.n_atoms, &x.a) == 0) {
		for (size_t i = 0; i < p->n_groups; i++)
			look_at_both(&x, &p->groups[i].members);
		for (size_t i = 0; i < p->n_resources; i++)
			look_at(&x, p->resources[i].on.except, p->resources[i].on.n_except);
		for (size_t i = 0; i < p->n_rules; i++)
			look_at_both(&x, &p->rules[i].who);
		for (size_t i = 0; i < p->n_tests; i++)
			look_at(&x, &p->tests[i].from, 1);
		for (size_t i = 0; i < p->n_invariants; i++)
			look_at_both(&x, &p->invariants[i].from);
	}
	arena_done(&x.a);
}

size_t review_devices(const struct policy *p, const struct engine *e, struct diag *warnings,
		      size_t n, size_t max)
{
	struct list l = {.p = p, .e = e, .v = warnings, .n = n, .max = max};

	find_unoffered(&l);
	find_nobody(&l);
	return l.n;
}
