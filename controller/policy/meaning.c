/* The difference in meaning of two policies, told: what differs between the sides (meaning_sides.h)
 * by the rules it came from; invariants, groups and the network's lease each as a whole. */
#include "controller/policy/meaning.h"

#include <errno.h>
#include <string.h>

#include "controller/policy/meaning_sides.h"
#include "zt/buf.h"
#include "zt/num.h"

const char *meaning_kind_name(enum meaning_kind k)
{
	static const char *const names[] = {[MEANING_NETWORK] = "network",
					    [MEANING_GROUP] = "group",
					    [MEANING_RULE] = "rule",
					    [MEANING_INVARIANT] = "invariant"};

	return names[k];
}

const char *meaning_how_name(enum meaning_how h)
{
	static const char *const names[] = {[MEANING_ADDED] = "added",
					    [MEANING_REMOVED] = "removed",
					    [MEANING_CHANGED] = "changed"};

	return names[h];
}

static bool sets_equal(const struct ids *x, const struct ids *y)
{
	return x->n == y->n && (x->n == 0 || memcmp(x->v, y->v, x->n * sizeof(*x->v)) == 0);
}

static bool taken_equal(const struct taken *x, const struct taken *y)
{
	return x->rule->deny == y->rule->deny && x->opens == y->opens &&
	       sets_equal(&x->who, &y->who) && sets_equal(&x->when, &y->when) &&
	       sets_equal(&x->where, &y->where) && sets_equal(&x->how, &y->how);
}

/* --- telling it --- */

static void list_add(const struct comparison *c, struct meaning_list *l, uint32_t unit)
{
	if (l->n < MEANING_ITEMS_SHOWN)
		l->items[l->n] = c->units.texts[unit];
	l->n++;
}

/* A field of x and y, unless they are the same. */
static void tell_field(const struct comparison *c, struct meaning_change *m, const char *name,
		       const struct ids *x, const struct ids *y)
{
	struct meaning_field *f = &m->fields[m->n_fields];
	uint32_t i = 0, j = 0;

	if (sets_equal(x, y))
		return;
	*f = (struct meaning_field){.name = name};
	m->n_fields++;
	while (i < x->n || j < y->n) {
		if (j == y->n || (i < x->n && x->v[i] < y->v[j]))
			list_add(c, &f->removed, x->v[i++]);
		else if (i == x->n || y->v[j] < x->v[i])
			list_add(c, &f->added, y->v[j++]);
		else
			i++, j++;
	}
}

/* NULL: it counts, but is one too many to be shown. */
static struct meaning_change *new_change(struct comparison *c, enum meaning_kind kind,
					 enum meaning_how how, const char *name)
{
	struct meaning_change *m = NULL;

	c->result.n++;
	if (kind == MEANING_RULE)
		c->result.n_how[how]++;
	if (c->result.n_shown < MEANING_CHANGES_SHOWN) {
		m = &c->changes[c->result.n_shown++];
		*m = (struct meaning_change){.kind = kind, .how = how, .name = name};
	}
	return m;
}

/* What is told of a rule and of an invariant. */
static const struct words {
	const char *who, *what, *action, *deny, *allow;
} words[] = {
	[MEANING_RULE] = {"who", "what", "action", "deny", "allow"},
	[MEANING_INVARIANT] = {"from", "to", "expect", "never", "at least"},
};

static struct ids action_of(struct comparison *c, const struct words *w, const struct taken *t,
			    uint32_t *room)
{
	*room = t->rule ? unit_of_text(&c->units, t->rule->deny ? w->deny : w->allow) : 0;
	return (struct ids){.v = room, .n = t->rule != NULL};
}

static void tell_taken(struct comparison *c, enum meaning_kind kind, const struct taken *x,
		       const struct taken *y)
{
	static const struct taken nothing;
	const struct words *w = &words[kind];
	enum meaning_how how = !x ? MEANING_ADDED : !y ? MEANING_REMOVED : MEANING_CHANGED;
	struct meaning_change *m = new_change(c, kind, how, y ? y->rule->name : x->rule->name);
	struct ids none = {0}, what_x, what_y, action_x, action_y;
	uint32_t room[2];

	if (!m)
		return;
	what_x = x ? units_of_openings(&c->units, x->opens) : none;
	what_y = y ? units_of_openings(&c->units, y->opens) : none;
	x = x ? x : &nothing;
	y = y ? y : &nothing;
	action_x = action_of(c, w, x, &room[0]);
	action_y = action_of(c, w, y, &room[1]);
	if (c->units.err)
		return;
	tell_field(c, m, w->action, &action_x, &action_y);
	tell_field(c, m, w->who, &x->who, &y->who);
	tell_field(c, m, w->what, &what_x, &what_y);
	tell_field(c, m, "when", &x->when, &y->when);
	tell_field(c, m, "where", &x->where, &y->where);
	tell_field(c, m, "how", &x->how, &y->how);
}

static int names_of_rules(struct comparison *c, const struct side *s, struct names *ret)
{
	int err = 0;

	names_init(ret, c->arena);
	for (uint32_t i = 0; i < s->policy->n_rules && !err; i++)
		if (!s->rules[i].over)
			err = names_add(ret, 0, s->policy->rules[i].name,
					strlen(s->policy->rules[i].name), i);
	return err;
}

/* The rule of this name on the other side; NULL: none. */
static const struct taken *namesake(const struct names *names, const struct side *s,
				    const struct taken *t)
{
	uint32_t i = names_find(names, 0, t->rule->name, strlen(t->rule->name));

	return i == NAMES_ABSENT ? NULL : &s->rules[i];
}

static int tell_rules(struct comparison *c)
{
	struct names before, after;
	int err = names_of_rules(c, &c->before, &before);

	if (!err)
		err = names_of_rules(c, &c->after, &after);
	for (size_t i = 0; i < c->after.policy->n_rules && !err; i++) {
		const struct taken *y = &c->after.rules[i], *x;

		if (y->over)
			continue;
		x = namesake(&before, &c->before, y);
		if (x ? !taken_equal(x, y) && (meaning_is_touched(c, x) || meaning_is_touched(c, y))
		      : meaning_is_touched(c, y))
			tell_taken(c, MEANING_RULE, x, y);
	}
	for (size_t i = 0; i < c->before.policy->n_rules && !err; i++) {
		const struct taken *x = &c->before.rules[i];

		if (!x->over && !namesake(&after, &c->after, x) && meaning_is_touched(c, x))
			tell_taken(c, MEANING_RULE, x, NULL);
	}
	return err ? err : c->units.err;
}

/* --- invariants --- */

static void put_ids(struct buf *b, const struct ids *v)
{
	buf_put_u32(b, v->n);
	for (uint32_t i = 0; i < v->n; i++)
		buf_put_u32(b, v->v[i]);
}

/* What it says, whatever its name. */
static int promise_key(struct comparison *c, const struct taken *t, const char **ret, size_t *ret_n)
{
	struct buf b;

	buf_init_grow(&b, 64 << 20);
	buf_put_u32(&b, t->rule->deny);
	buf_put_u32(&b, t->opens);
	put_ids(&b, &t->who);
	put_ids(&b, &t->when);
	put_ids(&b, &t->where);
	put_ids(&b, &t->how);
	*ret = b.err ? NULL : arena_dup(c->arena, b.data, b.len);
	*ret_n = b.len;
	buf_free(&b);
	return *ret ? 0 : -ENOMEM;
}

enum { PROMISE_KEY, PROMISE_NAME };

/* One side's invariants, by what they say and by name. */
static int list_promises(struct comparison *c, const struct side *s, struct names *ret)
{
	int err = 0;

	names_init(ret, c->arena);
	for (uint32_t i = 0; i < s->policy->n_invariants && !err; i++) {
		const struct taken *t = &s->promises[i];
		const char *key;
		size_t n;

		err = promise_key(c, t, &key, &n);
		if (!err && names_find(ret, PROMISE_KEY, key, n) == NAMES_ABSENT)
			err = names_add(ret, PROMISE_KEY, key, n, i);
		if (!err)
			err = names_add(ret, PROMISE_NAME, t->rule->name, strlen(t->rule->name), i);
	}
	return err;
}

static int is_missing(struct comparison *c, const struct taken *t, const struct names *theirs,
		      bool *ret)
{
	const char *key;
	size_t n;
	int err = promise_key(c, t, &key, &n);

	if (!err)
		*ret = names_find(theirs, PROMISE_KEY, key, n) == NAMES_ABSENT;
	return err;
}

/* The invariant of this name on the other side, when that is not on this one; NULL: none. */
static int find_changed(struct comparison *c, const struct taken *t, const struct side *other,
			const struct names *ours, const struct names *theirs,
			const struct taken **ret)
{
	uint32_t i = names_find(theirs, PROMISE_NAME, t->rule->name, strlen(t->rule->name));
	bool missing = false;
	int err = i == NAMES_ABSENT ? 0 : is_missing(c, &other->promises[i], ours, &missing);

	*ret = missing ? &other->promises[i] : NULL;
	return err;
}

/* Tells those of one side that the other does not have; with such a namesake there, as one change,
 * which is told once. */
static int tell_missing(struct comparison *c, const struct side *s, const struct side *other,
			const struct names *ours, const struct names *theirs)
{
	int err = 0;

	for (uint32_t i = 0; i < s->policy->n_invariants && !err; i++) {
		const struct taken *t = &s->promises[i], *same;
		bool missing = false;

		err = is_missing(c, t, theirs, &missing);
		if (err || !missing)
			continue;
		err = find_changed(c, t, other, ours, theirs, &same);
		if (!err && s == &c->after)
			tell_taken(c, MEANING_INVARIANT, same, t);
		else if (!err && !same)
			tell_taken(c, MEANING_INVARIANT, t, NULL);
	}
	return err ? err : c->units.err;
}

static int tell_promises(struct comparison *c)
{
	struct names before, after;
	int err = list_promises(c, &c->before, &before);

	if (!err)
		err = list_promises(c, &c->after, &after);
	if (!err)
		err = tell_missing(c, &c->after, &c->before, &after, &before);
	return err ? err : tell_missing(c, &c->before, &c->after, &before, &after);
}

/* --- groups --- */

static void use_groups(bool *used, const struct selectors *l)
{
	for (size_t i = 0; i < l->n_in; i++)
		if (l->in[i].kind == SELECTOR_GROUP)
			used[l->in[i].group] = true;
	for (size_t i = 0; i < l->n_except; i++)
		if (l->except[i].kind == SELECTOR_GROUP)
			used[l->except[i].group] = true;
}

/* Groups that rules and invariants ask for, and what these are made of: containers stand behind
 * their members. */
static int find_used(struct comparison *c, struct side *s)
{
	const struct policy *p = s->policy;

	s->used = arena_array(c->arena, p->n_groups, sizeof(*s->used));
	if (!s->used)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_rules; i++)
		if (!s->rules[i].over)
			use_groups(s->used, &p->rules[i].who);
	for (size_t i = 0; i < p->n_invariants; i++)
		use_groups(s->used, &p->invariants[i].from);
	for (size_t i = p->n_groups; i-- > 0;)
		if (s->used[p->group_order[i]])
			use_groups(s->used, &p->groups[p->group_order[i]].members);
	return 0;
}

static struct ids members_of(struct comparison *c, const struct selectors *l, bool excepts)
{
	const struct selectors list = {.in = excepts ? l->except : l->in,
				       .n_in = excepts ? l->n_except : l->n_in};

	return units_of_selectors(&c->units, &list);
}

static void tell_group(struct comparison *c, const struct policy_group *x,
		       const struct policy_group *y)
{
	struct ids in_x = members_of(c, &x->members, false),
		   in_y = members_of(c, &y->members, false),
		   out_x = members_of(c, &x->members, true),
		   out_y = members_of(c, &y->members, true);
	struct meaning_change *m;

	if (c->units.err || (sets_equal(&in_x, &in_y) && sets_equal(&out_x, &out_y)))
		return;
	m = new_change(c, MEANING_GROUP, MEANING_CHANGED, y->name);
	if (!m)
		return;
	tell_field(c, m, "members", &in_x, &in_y);
	tell_field(c, m, "except", &out_x, &out_y);
}

/* Where a group is asked for on one side alone, the rule or group that does differs. */
static int tell_groups(struct comparison *c)
{
	const struct policy *b = c->before.policy, *a = c->after.policy;
	struct names names;
	int err = find_used(c, &c->before);

	if (!err)
		err = find_used(c, &c->after);
	names_init(&names, c->arena);
	for (uint32_t i = 0; i < b->n_groups && !err; i++)
		if (c->before.used[i])
			err = names_add(&names, 0, b->groups[i].name, strlen(b->groups[i].name), i);
	for (size_t i = 0; i < a->n_groups && !err; i++) {
		uint32_t old = c->after.used[i] ? names_find(&names, 0, a->groups[i].name,
							     strlen(a->groups[i].name))
						: NAMES_ABSENT;

		if (old != NAMES_ABSENT)
			tell_group(c, &b->groups[old], &a->groups[i]);
	}
	return err ? err : c->units.err;
}

static int tell_network(struct comparison *c)
{
	const uint64_t lease[] = {c->before.policy->lease_s, c->after.policy->lease_s};
	struct meaning_change *m;
	uint32_t units[2];
	char text[32];

	if (lease[0] == lease[1])
		return 0;
	for (size_t i = 0; i < 2; i++) {
		num_print_duration(lease[i], text, sizeof(text));
		units[i] = unit_of_text(&c->units, text);
	}
	m = c->units.err ? NULL : new_change(c, MEANING_NETWORK, MEANING_CHANGED, "network");
	if (m)
		tell_field(c, m, "lease", &(struct ids){&units[0], 1}, &(struct ids){&units[1], 1});
	return c->units.err;
}

int meaning_compare(const struct policy *before, const struct policy *after, int64_t now_s,
		    struct arena *a, struct meaning_diff *ret)
{
	struct comparison c = {.arena = a,
			       .now_s = now_s,
			       .before.policy = before,
			       .after.policy = after,
			       .changes =
				       arena_array(a, MEANING_CHANGES_SHOWN, sizeof(*c.changes))};
	int err = c.changes ? 0 : -ENOMEM;

	units_init(&c.units, a);
	if (!err)
		err = meaning_take_apart(&c, &c.before);
	if (!err)
		err = meaning_take_apart(&c, &c.after);
	if (!err)
		err = meaning_find_differences(&c);
	if (!err)
		err = tell_network(&c);
	if (!err)
		err = tell_groups(&c);
	if (!err)
		err = tell_rules(&c);
	if (!err)
		err = tell_promises(&c);
	if (err < 0)
		return err;
	c.result.changes = c.changes;
	*ret = c.result;
	return 0;
}
