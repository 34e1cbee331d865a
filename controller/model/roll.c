/* Roll: subjects in an array that grows, their texts in an arena. */
#include "controller/model/roll.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS_MAX = 256 << 20 };

struct roll {
	struct arena arena;
	struct subject *v;
	size_t n, cap;
	size_t next_device, next_user; /* in the model */
};

struct roll *roll_new(void)
{
	struct roll *r = calloc(1, sizeof(*r));

	if (r)
		arena_init(&r->arena, TEXTS_MAX);
	return r;
}

void roll_free(struct roll *r)
{
	if (!r)
		return;
	arena_done(&r->arena);
	free(r->v);
	free(r);
}

static const char *copy(struct arena *a, const char *s)
{
	return arena_text(a, s, strlen(s));
}

static int copy_groups(const struct user_row *u, struct arena *a, struct subject *s)
{
	const char **groups = arena_array(a, u->n_groups, sizeof(char *));

	if (!groups)
		return -ENOMEM;
	for (s->n_groups = 0; s->n_groups < u->n_groups; s->n_groups++) {
		groups[s->n_groups] = copy(a, u->groups[s->n_groups]);
		if (!groups[s->n_groups])
			return -ENOMEM;
	}
	s->groups = groups;
	return 0;
}

static int copy_device(const struct model *m, const struct device *d, struct arena *a,
		       struct subject *ret)
{
	const struct user_row *u = d->row.owner[0] ? model_user(m, d->row.owner) : NULL;
	const char **tags = arena_array(a, d->row.tags.n, sizeof(char *));

	*ret = (struct subject){.id = d->row.id,
				.name = copy(a, d->row.name),
				.owner = copy(a, d->row.owner),
				.tags = tags,
				.n_tags = d->row.tags.n};
	if (!ret->name || !ret->owner || !tags)
		return -ENOMEM;
	for (size_t i = 0; i < ret->n_tags; i++) {
		tags[i] = copy(a, d->row.tags.name[i]);
		if (!tags[i])
			return -ENOMEM;
	}
	return u ? copy_groups(u, a, ret) : 0;
}

static int copy_user(const struct user_row *u, struct arena *a, struct subject *ret)
{
	*ret = (struct subject){.name = "", .owner = copy(a, u->email)};
	return ret->owner ? copy_groups(u, a, ret) : -ENOMEM;
}

/* Room for one more. */
static int reserve(struct roll *r)
{
	size_t cap = r->cap ? r->cap * 2 : 256;
	void *p;

	if (r->n < r->cap)
		return 0;
	p = reallocarray(r->v, cap, sizeof(*r->v));
	if (!p)
		return -ENOMEM;
	r->v = p;
	r->cap = cap;
	return 0;
}

static int take_device(struct roll *r, const struct model *m, const struct device *d)
{
	int err;

	if (!d || d->row.state == DEVICE_REVOKED)
		return 0;
	err = reserve(r);
	return err ? err : copy_device(m, d, &r->arena, &r->v[r->n++]);
}

static int take_user(struct roll *r, const struct user_row *u)
{
	int err;

	if (!u->n_groups)
		return 0;
	err = reserve(r);
	return err ? err : copy_user(u, &r->arena, &r->v[r->n++]);
}

int roll_step(struct roll *r, const struct model *m, size_t max)
{
	int err = 0;

	for (; max && !err && r->next_device < m->n_devices; r->next_device++, max--)
		err = take_device(r, m, m->devices[r->next_device]);
	for (; max && !err && r->next_user < m->n_users; r->next_user++, max--)
		err = take_user(r, &m->users[r->next_user]);
	if (err)
		return err;
	return r->next_device < m->n_devices || r->next_user < m->n_users;
}

const struct subject *roll_subjects(const struct roll *r, size_t *ret_n)
{
	*ret_n = r->n;
	return r->v;
}
