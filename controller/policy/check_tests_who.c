/* Whom a test of the policy means, as sets of the rules about them. */
#include "controller/policy/check_tests.h"

#include <errno.h>

static size_t rule_words(const struct test_run *t)
{
	return t->c->policy->n_rules / 64 + 1;
}

bool has_rule(const uint64_t *rules, uint32_t i)
{
	return rules[i / 64] >> (i % 64) & 1;
}

/* --- who: sets of rules --- */

/* Rules about whoever is this one selector and nothing else; NULL when that is no member of the
 * group (an except keeps it out). group NAMES_ABSENT: not asked. -ENOMEM. */
static int rules_about(struct test_run *t, const struct selector *s, uint32_t group,
		       const uint64_t **ret)
{
	const struct policy_index *x = &t->x.index;
	uint64_t *bits = arena_array(&t->c->scratch, rule_words(t), sizeof(*bits));
	bool member = group == NAMES_ABSENT;
	struct atoms atoms = {0};
	struct arena a;
	int err = bits ? 0 : -ENOMEM;

	arena_init(&a, POLICY_MEMORY_MAX);
	atoms.arena = &a;
	if (!err)
		err = atoms_add(&atoms, index_atom(x, SELECTOR_ANYONE, NULL));
	if (!err)
		err = atoms_add(&atoms, index_atom(x, s->kind, s->name));
	if (!err)
		err = atoms_close(&atoms, x);
	for (uint32_t i = 0; i < atoms.n && !err; i++) {
		member = member || atoms.v[i] == group; /* the atom of a group is its index */
		for (uint32_t j = 0; j < x->rules[atoms.v[i]].n; j++) {
			uint32_t rule = x->rules[atoms.v[i]].v[j];

			bits[rule / 64] |= UINT64_C(1) << (rule % 64);
		}
	}
	arena_done(&a);
	*ret = member ? bits : NULL;
	return err;
}

/* key: what the sets belong to, so that each is kept once. */
static int kinds_add(struct test_run *t, struct kinds *k, uint32_t key, const uint64_t *bits)
{
	size_t size = rule_words(t) * sizeof(*bits);
	const uint64_t **v;

	if (names_find(&t->seen, key, (const char *)bits, size) != NAMES_ABSENT)
		return 0;
	v = arena_room(&t->c->scratch, k->rules, k->n, &k->cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	k->rules = v;
	k->rules[k->n++] = bits;
	return names_add(&t->seen, key, (const char *)bits, size, 0);
}

static int add_one(struct test_run *t, struct kinds *k, uint32_t key, const struct selector *s,
		   uint32_t group)
{
	const uint64_t *bits;
	int err = rules_about(t, s, group, &bits);

	return err || !bits ? err : kinds_add(t, k, key, bits);
}

/* Everybody that the group lists, also through groups in it. */
static int add_members(struct test_run *t, struct kinds *k, uint32_t key, uint32_t group)
{
	const struct policy_group *groups = t->c->policy->groups;
	uint32_t *todo = arena_array(&t->c->scratch, t->c->policy->n_groups, sizeof(*todo)), n = 0;
	bool *found = arena_array(&t->c->scratch, t->c->policy->n_groups, sizeof(*found));
	int err = todo && found ? 0 : -ENOMEM;

	if (!err) {
		todo[n++] = group;
		found[group] = true;
	}
	while (n > 0 && !err) {
		const struct selectors *l = &groups[todo[--n]].members;

		for (size_t i = 0; i < l->n_in && !err; i++) {
			const struct selector *s = &l->in[i];

			err = add_one(t, k, key, s, group);
			if (s->kind == SELECTOR_GROUP && !found[s->group] && !err) {
				found[s->group] = true;
				todo[n++] = s->group;
			}
		}
	}
	return err;
}

/* --- nobody at all --- */

static bool is_named_by(const struct selector *s, const struct selectors *l)
{
	for (size_t i = 0; i < l->n_in; i++)
		if (same_selector(s, &l->in[i]))
			return true;
	return false;
}

/* Is whoever the rule is about sure to be denied by the other, whatever else they are? */
static bool denies_all_of(const struct policy_rule *deny, const struct policy_rule *r)
{
	static const struct selector anyone = {.kind = SELECTOR_ANYONE};

	if (!deny->deny || !policy_rule_is_plain(deny) || deny->who.n_except)
		return false;
	if (is_named_by(&anyone, &deny->who))
		return true;
	for (size_t i = 0; i < r->who.n_in; i++)
		if (!is_named_by(&r->who.in[i], &deny->who))
			return false;
	return true;
}

/* The set of the rule and of the denies that nobody of it can escape by what they are beside: that
 * a rule is about nobody is not relied on. */
static int add_rule(struct test_run *t, struct kinds *k, uint32_t key, uint32_t rule)
{
	const struct policy *p = t->c->policy;
	uint64_t *bits = arena_array(&t->c->scratch, rule_words(t), sizeof(*bits));

	if (!bits)
		return -ENOMEM;
	bits[rule / 64] |= UINT64_C(1) << (rule % 64);
	for (uint32_t j = 0; j < p->n_rules && t->x.index.n_denies; j++)
		if (denies_all_of(&p->rules[j], &p->rules[rule]))
			bits[j / 64] |= UINT64_C(1) << (j % 64);
	return kinds_add(t, k, key, bits);
}

/* Each rule that opens something of the hosts. */
static int add_rules(struct test_run *t, const struct policy_test *test, struct kinds *k,
		     uint32_t key)
{
	uint64_t *seen = arena_array(&t->c->scratch, rule_words(t), sizeof(*seen));
	const struct hosts *hosts;
	int err = seen ? hosts_of(t, test->to, &hosts) : -ENOMEM;

	for (size_t i = 0; !err && i < hosts->n; i++)
		for (uint32_t j = 0; j < hosts->v[i].n && !err; j++) {
			const struct ids *about = &t->x.index.opened[hosts->v[i].v[j]];

			for (uint32_t r = 0; r < about->n && !err; r++) {
				if (has_rule(seen, about->v[r]) || !rule_opens(t, about->v[r]))
					continue;
				seen[about->v[r] / 64] |= UINT64_C(1) << (about->v[r] % 64);
				err = add_rule(t, k, key, about->v[r]);
			}
		}
	return err;
}

/* --- who is meant --- */

/* To deny a group, each of its members must be denied with all that they are. To allow it, the
 * group itself must be allowed, because an admin can give it further members. Anyone is denied when
 * nobody is allowed, whatever they are, and allowed when somebody is who is nothing else. */
static int make_kinds(struct test_run *t, const struct policy_test *test, struct kinds *k,
		      uint32_t key)
{
	bool nobody = test->from.kind == SELECTOR_ANYONE && !test->expect_allow;
	int err =
		nobody ? add_rules(t, test, k, key) : add_one(t, k, key, &test->from, NAMES_ABSENT);

	if (!err && test->from.kind == SELECTOR_GROUP && !test->expect_allow)
		err = add_members(t, k, key, test->from.group);
	k->made = true;
	return err;
}

int kinds_of(struct test_run *t, const struct policy_test *test, struct kinds *room,
	     const struct kinds **ret)
{
	uint32_t i = test->from.kind == SELECTOR_GROUP ? 2 * test->from.group + test->expect_allow
						       : 2 * (uint32_t)t->c->policy->n_groups;
	struct kinds *k = test->from.kind == SELECTOR_GROUP ? &t->by_group[i] : room;

	*ret = k;
	if (k->made)
		return 0;
	if (k == room)
		i += (uint32_t)(test - t->c->policy->tests);
	return make_kinds(t, test, k, i);
}
