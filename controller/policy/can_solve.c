/* The rules about one stretch of ports between two, over every moment. A moment is a set of whens
 * that hold and what is known of the place; a rule is open in some of these cells, a deny closes
 * some. Postures need no cells: only rules that allow ask for them, more of them never close
 * anything, and none at all is always possible. What else a rule's how asks for neither. */
#include "controller/policy/can_cells.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/demand.h"

enum { KEY_TIMES, KEY_PLACES, KEY_SOLUTION };

/* --- kinds --- */

static int compare_masks(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_conditions(const struct kind *a, const struct kind *b)
{
	int c = compare_masks(a->rule->when, b->rule->when);

	if (!c)
		c = compare_masks(a->rule->where, b->rule->where);
	if (!c)
		c = compare_masks(a->rule->where_except, b->rule->where_except);
	if (!c)
		c = compare_masks(a->needs, b->needs);
	return c ? c : demands_compare(&a->rule->demands, &b->rule->demands);
}

static int compare_kinds(const void *a, const void *b)
{
	const struct kind *x = a, *y = b;
	int c = compare_conditions(x, y);

	return c ? c : compare_masks(x->rule->id, y->rule->id);
}

static int make_kinds(struct solve *s, const uint32_t *rules, size_t n, struct kinds *ret)
{
	struct kind *v = arena_array(s->x->a, n, sizeof(*v));
	size_t kept = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		v[i].rule = &s->x->p->rules[rules[i]];
		v[i].needs = s->x->index.needs[rules[i]];
	}
	if (n > 1)
		qsort(v, n, sizeof(*v), compare_kinds);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || compare_conditions(&v[i], &v[kept - 1]) != 0)
			v[kept++] = v[i];
	*ret = (struct kinds){v, kept};
	return 0;
}

/* Rules whose postures exclude each other never hold. */
static void drop_impossible(struct solve *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->allow.n; i++)
		if (postures_hold_together(s->x->p, s->allow.v[i].needs))
			s->allow.v[kept++] = s->allow.v[i];
	s->allow.n = kept;
}

/* --- moments --- */

static int gather_whens(struct solve *s)
{
	size_t most = s->allow.n + s->deny.n + s->n_holds, n = 0;
	const struct kinds *both[] = {&s->allow, &s->deny};

	s->when_ids = arena_array(s->x->a, most + 1, sizeof(*s->when_ids));
	s->whens = arena_array(s->x->a, most + 1, sizeof(const struct policy_when *));
	if (!s->when_ids || !s->whens)
		return -ENOMEM;
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < both[k]->n; i++)
			if (both[k]->v[i].rule->when != POLICY_ALWAYS)
				s->when_ids[n++] = both[k]->v[i].rule->when;
	for (size_t i = 0; i < s->n_holds; i++)
		if (s->holds[i].i->when)
			s->when_ids[n++] = cells_when_of(s, s->holds[i].i);
	n = ids_sort(s->when_ids, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		s->whens[i] = &s->x->p->whens[s->when_ids[i]];
	s->n_whens = n;
	if (s->x->extra_when)
		s->whens[n] = s->x->extra_when;
	return 0;
}

static uint64_t spots_of(const struct solve *s)
{
	uint64_t spots = s->x->extra_spots;

	for (size_t i = 0; i < s->allow.n; i++)
		spots |= s->allow.v[i].rule->where | s->allow.v[i].rule->where_except;
	for (size_t i = 0; i < s->deny.n; i++)
		spots |= s->deny.v[i].rule->where | s->deny.v[i].rule->where_except;
	for (size_t i = 0; i < s->n_holds; i++)
		spots |= s->holds[i].i->spots;
	return spots;
}

/* What the run has found for this key already, or zeroed room for it, with *ret_fresh. */
static void *keep(struct can_run *x, uint32_t kind, const void *key, size_t n, size_t size,
		  bool *ret_fresh)
{
	uint32_t i = names_find(&x->known, kind, key, n);
	size_t cap = x->cap_kept ? x->cap_kept * 2 : 64;
	void *own, **more;

	*ret_fresh = i == NAMES_ABSENT;
	if (!*ret_fresh)
		return x->kept[i];
	if (x->n_kept == x->cap_kept) {
		more = arena_array(x->a, cap, sizeof(void *));
		if (!more)
			return NULL;
		if (x->n_kept)
			memcpy(more, x->kept, x->n_kept * sizeof(void *));
		x->kept = more;
		x->cap_kept = cap;
	}
	own = arena_dup(x->a, key, n);
	x->kept[x->n_kept] = arena_alloc(x->a, size);
	if (!own || !x->kept[x->n_kept] ||
	    names_add(&x->known, kind, own, n, (uint32_t)x->n_kept) < 0)
		return NULL;
	return x->kept[x->n_kept++];
}

static int find_times(struct solve *s)
{
	bool fresh;
	struct can_times *t = keep(s->x, KEY_TIMES, s->when_ids, s->n_whens * sizeof(uint32_t),
				   sizeof(*t), &fresh);

	s->times = t;
	if (!t)
		return -ENOMEM;
	return fresh ? can_times_find(s->whens, s->n_whens + (s->x->extra_when != NULL),
				      s->x->now_s, s->x->a, t)
		     : 0;
}

static int find_places(struct solve *s)
{
	uint64_t spots = spots_of(s);
	bool fresh;
	struct can_places *t = keep(s->x, KEY_PLACES, &spots, sizeof(spots), sizeof(*t), &fresh);

	s->places = t;
	if (!t)
		return -ENOMEM;
	return fresh ? can_places_find(s->x->p, spots, s->x->a, t) : 0;
}

/* --- the weakest --- */

static bool implies(const struct solve *s, const struct kind *a, const struct kind *b)
{
	if (!demands_imply(&a->rule->demands, &b->rule->demands))
		return false;
	for (uint64_t left = b->needs; left; left &= left - 1)
		if (!postures_imply(s->x->p, a->needs, (uint32_t)__builtin_ctzll(left)))
			return false;
	return cells_within(a->cells, b->cells, s->n_words);
}

static unsigned asks(const struct kind *k)
{
	return (unsigned)__builtin_popcountll(k->needs) + demands_count(&k->rule->demands);
}

/* The most open first; of those alike the one that asks for less, then the first of the file. */
static int compare_weakness(const void *a, const void *b)
{
	const struct kind *x = a, *y = b;
	unsigned n = asks(x), m = asks(y);

	if (x->n_cells != y->n_cells)
		return x->n_cells > y->n_cells ? -1 : 1;
	if (n != m)
		return n < m ? -1 : 1;
	return compare_masks(x->rule->id, y->rule->id);
}

static int compare_file_order(const void *a, const void *b)
{
	return compare_masks(((const struct kind *)a)->rule->id,
			     ((const struct kind *)b)->rule->id);
}

static bool is_implied_by_others(const struct solve *s, size_t i, size_t n, bool *gone)
{
	for (size_t k = 0; k < n; k++)
		if (k != i && !gone[k] && implies(s, &s->allow.v[i], &s->allow.v[k]))
			return true;
	return false;
}

/* None that another implies. What is open in more cells never implies what is in less, so most are
 * found by a look at those before them. */
static int keep_weakest(struct solve *s)
{
	bool *gone = arena_array(s->x->a, s->allow.n, sizeof(*gone));
	struct kind *v = s->allow.v;
	size_t n = 0, left = 0;

	if (!gone)
		return -ENOMEM;
	for (size_t i = 0; i < s->allow.n; i++)
		if (v[i].n_cells)
			v[n++] = v[i];
	if (n > 1)
		qsort(v, n, sizeof(*v), compare_weakness);
	for (size_t i = 0; i < n; i++) {
		if (!is_implied_by_others(s, i, left, gone))
			v[left++] = v[i];
	}
	for (size_t i = left; i-- > 0;)
		gone[i] = is_implied_by_others(s, i, left, gone);
	for (n = 0, s->allow.n = 0; n < left; n++)
		if (!gone[n])
			v[s->allow.n++] = v[n];
	if (s->allow.n > 1)
		qsort(v, s->allow.n, sizeof(*v), compare_file_order);
	return 0;
}

/* --- what must be said of a way --- */

static uint64_t postures_said(const struct solve *s, uint64_t needs)
{
	uint64_t said = needs;

	for (uint64_t left = needs; left; left &= left - 1)
		if (postures_imply(s->x->p, said & ~(left & -left),
				   (uint32_t)__builtin_ctzll(left)))
			said &= ~(left & -left);
	return said;
}

/* An invariant is left out before a deny, and that before a condition: people know the rule by its
 * own conditions. */
static int say_way(struct solve *s, const struct kind *k, uint64_t *room, struct can_option *ret)
{
	const struct policy_rule **nots =
		arena_array(s->x->a, s->deny.n, sizeof(const struct policy_rule *));
	const struct policy_invariant **holds =
		arena_array(s->x->a, s->n_holds, sizeof(const struct policy_invariant *));
	size_t n = s->deny.n + s->n_holds;
	bool *said = arena_array(s->x->a, n, sizeof(*said));

	if (!nots || !holds || !said)
		return -ENOMEM;
	*ret = (struct can_option){.rule = k->rule,
				   .postures = postures_said(s, k->needs),
				   .timed = k->rule->when != POLICY_ALWAYS,
				   .placed = k->rule->where || k->rule->where_except,
				   .nots = nots,
				   .holds = holds,
				   .cells = k->cells};
	for (size_t i = 0; i < n; i++)
		said[i] = true;
	for (size_t i = n; i-- > 0;) {
		said[i] = false;
		said[i] = !cells_are_enough(s, k, true, true, said, room);
	}
	if (cells_are_enough(s, k, false, ret->placed, said, room))
		ret->timed = false;
	if (cells_are_enough(s, k, ret->timed, false, said, room))
		ret->placed = false;
	for (size_t i = 0; i < s->deny.n; i++)
		if (said[i])
			nots[ret->n_nots++] = s->deny.v[i].rule;
	for (size_t i = 0; i < s->n_holds; i++)
		if (said[s->deny.n + i])
			holds[ret->n_holds++] = s->holds[i].i;
	return 0;
}

/* Without any posture or demand, is it open in every cell? */
static bool covers_all(const struct solve *s, uint64_t *room)
{
	size_t open;

	memset(room, 0, s->n_words * sizeof(*room));
	for (size_t i = 0; i < s->allow.n; i++)
		for (size_t w = 0; asks(&s->allow.v[i]) == 0 && w < s->n_words; w++)
			room[w] |= s->allow.v[i].cells[w];
	open = cells_count(room, s->n_words);
	return open == s->times->n * s->places->n;
}

static int conclude(struct solve *s, struct can_solution *ret)
{
	struct can_option *v = arena_array(s->x->a, s->allow.n, sizeof(*v));
	uint64_t *room = cells_words(s, s->n_words);
	int err = v && room ? 0 : -ENOMEM;

	for (size_t i = 0; i < s->allow.n && !err; i++)
		err = say_way(s, &s->allow.v[i], room, &v[i]);
	if (err)
		return err;
	*ret = (struct can_solution){.verdict = s->allow.n ? CAN_ONLY_IF : CAN_NEVER,
				     .options = v,
				     .n = s->allow.n,
				     .times = s->times,
				     .places = s->places,
				     .row = s->row,
				     .extra = s->n_whens};
	if (s->allow.n && covers_all(s, room))
		ret->verdict = CAN_ALWAYS;
	return 0;
}

/* Invariants (numbers behind the rules): the postures they ask for become the rules' own.
 * *ret_never: one lets nothing through. */
static int make_holds(struct solve *s, const uint32_t *holds, size_t n, bool *ret_never)
{
	s->holds = arena_array(s->x->a, n, sizeof(*s->holds));
	if (!s->holds)
		return -ENOMEM;
	for (size_t k = 0; k < n; k++) {
		const struct policy_invariant *i =
			&s->x->p->invariants[holds[k] - s->x->p->n_rules];

		*ret_never = *ret_never || i->never;
		for (size_t j = 0; j < s->allow.n; j++)
			s->allow.v[j].needs |= i->postures;
		if (i->spots || i->when)
			s->holds[s->n_holds++].i = i;
	}
	return 0;
}

/* Where the invariants behind the rules that deny begin. */
static size_t first_hold(const struct can_run *x, const uint32_t *deny, size_t n)
{
	while (n > 0 && deny[n - 1] >= x->p->n_rules)
		n--;
	return n;
}

static int solve(struct can_run *x, const uint32_t *allow, size_t n_allow, const uint32_t *deny,
		 size_t n_all, struct can_solution *ret)
{
	size_t n_deny = first_hold(x, deny, n_all);
	struct solve s = {.x = x};
	bool never = false;
	int err = make_kinds(&s, allow, n_allow, &s.allow);

	if (!err)
		err = make_kinds(&s, deny, n_deny, &s.deny);
	if (!err)
		err = make_holds(&s, deny + n_deny, n_all - n_deny, &never);
	if (err)
		return err;
	drop_impossible(&s);
	if (!s.allow.n || never || (s.deny.n && policy_rule_is_plain(s.deny.v[0].rule))) {
		*ret = (struct can_solution){.verdict = CAN_NEVER};
		return 0;
	}
	err = gather_whens(&s);
	if (!err)
		err = find_times(&s);
	if (!err)
		err = find_places(&s);
	if (!err)
		err = cells_make(&s);
	if (!err)
		err = keep_weakest(&s);
	return err ? err : conclude(&s, ret);
}

/* Of several rules one without any condition is all that counts. */
static void leave_plain(const struct can_run *x, const uint32_t **rules, size_t *n)
{
	for (size_t i = 0; i < first_hold(x, *rules, *n); i++)
		if (policy_rule_is_plain(&x->p->rules[(*rules)[i]])) {
			*rules += i;
			*n = 1;
		}
}

int can_solve(struct can_run *x, const uint32_t *allow, size_t n_allow, const uint32_t *deny,
	      size_t n_deny, const struct can_solution **ret)
{
	struct can_solution *s;
	uint32_t *key;
	bool fresh;

	leave_plain(x, &allow, &n_allow);
	leave_plain(x, &deny, &n_deny);
	key = arena_array(x->a, n_allow + n_deny + 1, sizeof(*key));
	if (!key)
		return -ENOMEM;
	if (n_allow)
		memcpy(key, allow, n_allow * sizeof(*key));
	key[n_allow] = UINT32_MAX;
	if (n_deny)
		memcpy(key + n_allow + 1, deny, n_deny * sizeof(*key));
	s = keep(x, KEY_SOLUTION, key, (n_allow + n_deny + 1) * sizeof(*key), sizeof(*s), &fresh);
	*ret = s;
	if (!s)
		return -ENOMEM;
	return fresh ? solve(x, allow, n_allow, deny, n_deny, s) : 0;
}
