/* Census: strings and facts are copied into an arena; what takes time (users looked up, posture
 * judged) is left to the other thread. */
#include "controller/model/census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/grace.h"
#include "controller/policy/names.h"

enum { MEMORY_MAX = 1 << 30, VERDICT_MEMORY_MAX = 1 << 20 };

struct entry { /* beside the preview_device with the same index */
	struct place_view view;
	const struct fact_view *facts; /* those that some policy asks for */
	size_t n_facts;
	const int64_t *since_ms; /* failing since: profiles of its policy, then of after */
	uint64_t held;		 /* bit i: profile i of its policy counts as failing */
};

struct resident { /* a user with groups that an admin gave */
	const char *email;
	const char *const *groups;
	size_t n_groups;
};

struct census {
	struct policy *policy[2]; /* in force (held), after (borrowed) */
	struct policy *canary;	  /* that some devices are under (held); or NULL */
	int64_t now_ms;
	struct arena arena;
	const char **facts; /* names, sorted */
	size_t n_facts;
	struct grace grace[2]; /* [in_canary]: from there to after */
	struct preview_device *devices;
	struct entry *entries;
	size_t n_devices, cap_devices;
	struct resident *users;
	size_t n_users, cap_users;
	size_t next_device, next_user; /* in the model */
};

/* --- what the policies ask for --- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int collect_facts(struct census *c)
{
	const struct policy *all[] = {c->policy[0], c->policy[1], c->canary};
	size_t n = 0;

	for (size_t i = 0; i < 3; i++)
		n += all[i] ? all[i]->n_facts : 0;
	c->facts = arena_array(&c->arena, n, sizeof(*c->facts));
	c->n_facts = n = 0;
	if (!c->facts)
		return -ENOMEM;
	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; all[i] && j < all[i]->n_facts; j++)
			c->facts[n++] = all[i]->facts[j];
	qsort(c->facts, n, sizeof(*c->facts), compare_names);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(c->facts[i], c->facts[i - 1]) != 0)
			c->facts[c->n_facts++] = c->facts[i];
	return 0;
}

static void let_go(struct census *c)
{
	policy_free(c->policy[0]);
	policy_free(c->canary);
	arena_done(&c->arena);
	c->policy[0] = c->canary = NULL;
}

static int begin(struct census *c, const struct model *m)
{
	let_go(c);
	c->policy[0] = policy_hold(m->force.policy);
	c->canary = m->canary.policy ? policy_hold(m->canary.policy) : NULL;
	arena_init(&c->arena, MEMORY_MAX);
	c->n_devices = c->n_users = c->next_device = c->next_user = 0;
	grace_match(c->policy[0], c->policy[1], &c->grace[0]);
	grace_match(c->canary, c->policy[1], &c->grace[1]);
	return collect_facts(c);
}

int census_new(const struct model *m, const struct policy *after, int64_t now_ms,
	       struct census **ret)
{
	struct census *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	/* Nothing of it is changed: both are only read. */
	c->policy[1] = (struct policy *)(uintptr_t)after;
	c->now_ms = now_ms;
	err = begin(c, m);
	if (err < 0) {
		census_free(c);
		return err;
	}
	*ret = c;
	return 0;
}

void census_free(struct census *c)
{
	if (!c)
		return;
	let_go(c);
	free(c->devices);
	free(c->entries);
	free(c->users);
	free(c);
}

/* --- copies --- */

static const char *copy_text(struct census *c, const char *s)
{
	return arena_text(&c->arena, s, strlen(s));
}

static int copy_texts(struct census *c, const char *const *texts, size_t n, const char *const **ret)
{
	const char **v = arena_array(&c->arena, n, sizeof(*v));
	int err = v ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !err; i++) {
		v[i] = copy_text(c, texts[i]);
		err = v[i] ? 0 : -ENOMEM;
	}
	*ret = v;
	return err;
}

static int copy_facts(struct census *c, const struct device *d, struct entry *e)
{
	struct fact_view *v = arena_array(&c->arena, c->n_facts, sizeof(*v));
	size_t i = 0, j = 0;

	if (!v)
		return -ENOMEM;
	while (i < c->n_facts && j < d->n_facts) {
		int order = strcmp(c->facts[i], d->facts[j].name);

		if (order == 0) {
			struct fact_view *f = &v[e->n_facts++];

			*f = d->facts[j];
			f->name = c->facts[i];
			f->value = copy_text(c, f->value);
			if (!f->value)
				return -ENOMEM;
		}
		i += order <= 0;
		j += order >= 0;
	}
	e->facts = v;
	return 0;
}

/* The policy that a device is under. */
static const struct policy *own_policy(const struct census *c, bool in_canary)
{
	return in_canary ? c->canary : c->policy[0];
}

/* Under its own policy as it is; under after as when that is put (grace.h). */
static int copy_since(struct census *c, const struct device *d, struct entry *e)
{
	size_t n = own_policy(c, d->in_canary)->n_postures, n_after = c->policy[1]->n_postures;
	int64_t *v = arena_array(&c->arena, n + n_after, sizeof(*v));

	if (!v)
		return -ENOMEM;
	e->since_ms = v;
	e->held = d->held;
	for (size_t i = 0; i < n; i++)
		*v++ = i < d->n_failing ? d->failing_since_ms[i] : POSTURE_NEVER_COMPLIED;
	for (size_t i = 0; i < n_after; i++)
		*v++ = grace_since(&c->grace[d->in_canary], i, d->failing_since_ms, d->n_failing);
	return 0;
}

/* Room for one more of two arrays. */
static int reserve_device(struct census *c)
{
	size_t cap = c->cap_devices ? c->cap_devices * 2 : 256;
	void *p;

	if (c->n_devices < c->cap_devices)
		return 0;
	p = reallocarray(c->devices, cap, sizeof(*c->devices));
	if (!p)
		return -ENOMEM;
	c->devices = p;
	p = reallocarray(c->entries, cap, sizeof(*c->entries));
	if (!p)
		return -ENOMEM;
	c->entries = p;
	c->cap_devices = cap;
	return 0;
}

static int take_device(struct census *c, const struct device *d)
{
	struct entry e = {
		.view = {.source = d->source, .addr4 = d->row.addr4, .addr6 = d->row.addr6}};
	struct subject s = {.id = d->row.id, .n_tags = d->row.tags.n};
	int err;

	if (model_standing(d, c->now_ms) != STANDING_ACTIVE)
		return 0;
	memcpy(e.view.country, d->country, sizeof(e.view.country));
	s.name = copy_text(c, d->row.name);
	s.owner = copy_text(c, d->row.owner);
	err = s.name && s.owner ? reserve_device(c) : -ENOMEM;
	if (!err)
		err = copy_texts(c, d->row.tags.name, s.n_tags, &s.tags);
	if (!err)
		err = copy_facts(c, d, &e);
	if (!err)
		err = copy_since(c, d, &e);
	if (err < 0)
		return err;
	c->entries[c->n_devices] = e;
	c->devices[c->n_devices++] = (struct preview_device){
		.before = s, .after = s, .in_canary = d->in_canary, .online = d->online};
	return 0;
}

static int take_user(struct census *c, const struct user_row *u)
{
	size_t cap = c->cap_users ? c->cap_users * 2 : 64;
	struct resident r = {.n_groups = u->n_groups};
	const char *groups[USER_GROUPS_MAX];
	void *p;

	if (!u->n_groups)
		return 0;
	if (c->n_users == c->cap_users) {
		p = reallocarray(c->users, cap, sizeof(*c->users));
		if (!p)
			return -ENOMEM;
		c->users = p;
		c->cap_users = cap;
	}
	for (size_t i = 0; i < u->n_groups; i++)
		groups[i] = u->groups[i];
	r.email = copy_text(c, u->email);
	if (!r.email || copy_texts(c, groups, r.n_groups, &r.groups) < 0)
		return -ENOMEM;
	c->users[c->n_users++] = r;
	return 0;
}

int census_step(struct census *c, const struct model *m, size_t max)
{
	bool same = m->force.policy == c->policy[0] && m->canary.policy == c->canary;
	int err = same ? 0 : begin(c, m);

	for (; max && !err && c->next_device < m->n_devices; c->next_device++, max--)
		if (m->devices[c->next_device])
			err = take_device(c, m->devices[c->next_device]);
	for (; max && !err && c->next_user < m->n_users; c->next_user++, max--)
		err = take_user(c, &m->users[c->next_user]);
	if (err < 0)
		return err;
	return c->next_device < m->n_devices || c->next_user < m->n_users;
}

/* --- in the other thread --- */

/* The groups of each owner, to the owner's devices. */
static int give_groups(struct census *c)
{
	struct names users;
	int err = 0;

	names_init(&users, &c->arena);
	for (size_t i = 0; i < c->n_users && !err; i++)
		err = names_add(&users, 0, c->users[i].email, strlen(c->users[i].email),
				(uint32_t)i);
	for (size_t i = 0; i < c->n_devices && !err; i++) {
		struct preview_device *d = &c->devices[i];
		uint32_t u = names_find(&users, 0, d->before.owner, strlen(d->before.owner));

		if (u == NAMES_ABSENT)
			continue;
		d->before.groups = d->after.groups = c->users[u].groups;
		d->before.n_groups = d->after.n_groups = c->users[u].n_groups;
	}
	return err;
}

/* since_ms: by profile of p. What cannot be judged fails. */
static uint64_t judge(const struct census *c, const struct policy *p, const struct entry *e,
		      const int64_t *since_ms)
{
	uint64_t verdicts = 0;
	struct arena a;

	arena_init(&a, VERDICT_MEMORY_MAX);
	for (size_t i = 0; i < p->n_postures; i++) {
		struct verdict v;

		if (posture_evaluate(&p->postures[i], e->facts, e->n_facts, c->now_ms, since_ms[i],
				     &a, &v) == 0 &&
		    v.ok)
			verdicts |= UINT64_C(1) << i;
	}
	arena_done(&a);
	return verdicts;
}

int census_judge(struct census *c)
{
	for (size_t i = 0; i < c->n_devices; i++) {
		struct preview_device *d = &c->devices[i];
		const struct entry *e = &c->entries[i];
		const struct policy *own = own_policy(c, d->in_canary);

		d->before.verdicts = judge(c, own, e, e->since_ms) & ~e->held;
		d->before.places = place_evaluate(own, &e->view);
		d->after.verdicts = judge(c, c->policy[1], e, e->since_ms + own->n_postures);
		d->after.places = place_evaluate(c->policy[1], &e->view);
	}
	return give_groups(c);
}

const struct policy *census_before(const struct census *c)
{
	return c->policy[0];
}

const struct policy *census_canary(const struct census *c)
{
	return c->canary;
}

const struct preview_device *census_devices(const struct census *c, size_t *ret_n)
{
	*ret_n = c->n_devices;
	return c->devices;
}
