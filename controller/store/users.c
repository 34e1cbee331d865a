/* Users: what an admin says of a person beside the policy file. */
#include "controller/store/db.h"

#include <errno.h>
#include <string.h>

static void user_read(struct query *q, struct user_row *ret)
{
	memset(ret, 0, sizeof(*ret));
	q->table = "user";
	column_text(q, ret->email, sizeof(ret->email));
	if (!q->err && !txt_is_email(ret->email))
		column_bad(q);
	ret->n_groups = column_names(q, ret->groups, USER_GROUPS_MAX);
	ret->disabled = column_bool(q);
}

/* -ZT_EABSENT without a text: not every caller minds. */
static int user_get(struct store *s, const char *email, struct user_row *ret)
{
	struct query q;
	int step;

	query_begin(&q, s, "SELECT email, groups, disabled FROM user WHERE email = ?");
	query_text(&q, email);
	step = query_step(&q);
	if (step == 1)
		user_read(&q, ret);
	else if (step == 0)
		q.err = -ZT_EABSENT;
	return query_end(&q);
}

int user_is_disabled(struct store *s, const char *email, bool *ret)
{
	struct user_row u;
	int err = *email ? user_get(s, email, &u) : -ZT_EABSENT;

	if (err && err != -ZT_EABSENT)
		return err;
	*ret = !err && u.disabled;
	return 0;
}

static int user_check(struct store *s, const struct user_row *u)
{
	if (!txt_is_email(u->email))
		return store_refuse(s, -EINVAL, "the user's e-mail address is not valid");
	if (u->n_groups > USER_GROUPS_MAX)
		return store_refuse(s, -ZT_ELIMIT, "a user has at most %d groups", USER_GROUPS_MAX);
	for (size_t i = 0; i < u->n_groups; i++) {
		if (!txt_is_name(u->groups[i]) ||
		    (i > 0 && strcmp(u->groups[i - 1], u->groups[i]) >= 0))
			return store_refuse(s, -EINVAL, "the user's groups are not names in order");
	}
	return 0;
}

static int user_write(struct store *s, const struct user_row *u)
{
	char groups[STORE_NAMES_TEXT_MAX];
	struct query q;

	names_print(u->groups, u->n_groups, groups);
	query_begin(&q, s,
		    "INSERT INTO user (email, groups, disabled) VALUES (?, ?, ?)"
		    " ON CONFLICT (email) DO UPDATE SET groups = excluded.groups, disabled = "
		    "excluded.disabled");
	query_text(&q, u->email);
	query_text(&q, groups);
	query_i64(&q, u->disabled);
	return query_run(&q);
}

int user_put(struct store *s, struct change *c, struct effect *e)
{
	struct user_row before;
	int err = user_check(s, &c->user);

	if (err)
		return err;
	err = user_get(s, c->user.email, &before);
	if (err && err != -ZT_EABSENT)
		return err;
	if (!err)
		e->before = json_of_user(&before);
	err = user_write(s, &c->user);
	e->after = json_of_user(&c->user);
	snprintf(e->object, sizeof(e->object), "user:%s", c->user.email);
	return err;
}

int store_each_user(struct store *s, int (*fn)(void *arg, const struct user_row *u), void *arg)
{
	struct user_row u;
	struct query q;

	query_begin(&q, s, "SELECT email, groups, disabled FROM user ORDER BY email");
	while (query_step(&q) > 0) {
		user_read(&q, &u);
		if (!q.err)
			q.err = fn(arg, &u);
	}
	return query_end(&q);
}

int user_row_json(struct store *s, const char *id, json_t **ret)
{
	struct user_row u;
	int err = user_get(s, id, &u);

	if (!err)
		*ret = json_of_user(&u);
	return err;
}
