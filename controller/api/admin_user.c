/* Admin endpoints for users. */
#include "controller/api/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zt/txt.h"

static bool owns(const struct device *d)
{
	return d && d->row.state != DEVICE_REVOKED && d->row.owner[0];
}

static json_t *user_json(const struct model *m, const char *email, json_int_t devices)
{
	const struct user_row *u = model_user(m, email);
	json_t *groups = json_array();

	for (size_t i = 0; u && i < u->n_groups; i++)
		json_array_append_new(groups, json_string(u->groups[i]));
	return json_pack("{s:s,s:o,s:b,s:I}", "email", email, "groups", groups, "disabled",
			 u ? (int)u->disabled : 0, "devices", devices);
}

static void add_user(json_t *counts, const char *email, json_int_t devices)
{
	json_int_t before = json_integer_value(json_object_get(counts, email));

	json_object_set_new(counts, email, json_integer(before + devices));
}

/* Users that an admin added, and owners of devices. */
void api_user_list(void *app, struct http_request *r)
{
	const struct model *m = app_model(app);
	json_t *counts = json_object(), *list = json_array(), *n;
	const char *email;

	for (size_t i = 0; i < m->n_users; i++)
		add_user(counts, m->users[i].email, 0);
	for (size_t i = 0; i < m->n_devices; i++)
		if (m->devices[i] && m->devices[i]->row.owner[0])
			add_user(counts, m->devices[i]->row.owner, owns(m->devices[i]));
	json_object_foreach(counts, email, n)
		json_array_append_new(list, user_json(m, email, json_integer_value(n)));
	json_decref(counts);
	http_reply_json(r, 200, list);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool decode_groups(struct http_request *r, json_t *list, struct user_row *u)
{
	size_t i, n = 0;
	json_t *j;

	if (!list)
		return true; /* as they were */
	if (!json_is_array(list) || json_array_size(list) > USER_GROUPS_MAX)
		return admin_refuse(r, "\"groups\" must be a list of at most 64 names", "");
	json_array_foreach(list, i, j)
	{
		const char *s = json_string_value(j);

		if (!s || !txt_is_name(s) || txt_copy(u->groups[n++], sizeof(u->groups[0]), s))
			return admin_refuse(
				r, "a group is not a name",
				"groups are lower case letters, digits, '.', '_' and '-'");
	}
	qsort(u->groups, n, sizeof(u->groups[0]), compare_names);
	u->n_groups = 0;
	for (i = 0; i < n; i++) /* named twice is named once */
		if (!i || strcmp(u->groups[i], u->groups[u->n_groups - 1]) != 0)
			memmove(u->groups[u->n_groups++], u->groups[i], sizeof(u->groups[0]));
	return true;
}

static json_int_t count_devices(const struct model *m, const char *email)
{
	json_int_t n = 0;

	for (size_t i = 0; i < m->n_devices; i++)
		n += owns(m->devices[i]) && strcmp(m->devices[i]->row.owner, email) == 0;
	return n;
}

static void answer_user(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct admin_waiting *w = arg;
	const struct model *m = app_model(w->app);

	if (err)
		http_reply_diag(w->request, err, d);
	else
		http_reply_json(w->request, 200,
				user_json(m, c->user.email, count_devices(m, c->user.email)));
}

void api_user_put(void *app, struct http_request *r)
{
	const char *email = http_param(r, "email");
	const struct user_row *old = email ? model_user(app_model(app), email) : NULL;
	json_t *body;
	struct admin_waiting *w;
	struct change c;
	bool ok;

	if (!email || !txt_is_email(email)) {
		admin_refuse(r, "not an e-mail address in lower case",
			     "for example ada@example.com");
		return;
	}
	if (!(body = api_body(r)))
		return;
	ok = api_begin_change(app, r, CHANGE_USER_PUT, "", &c);
	if (ok && old)
		c.user = *old;
	ok = ok && admin_bool(r, body, "disabled", c.user.disabled, &c.user.disabled) &&
	     decode_groups(r, json_object_get(body, "groups"), &c.user) &&
	     !txt_copy(c.user.email, sizeof(c.user.email), email);
	json_decref(body);
	if (ok && (w = admin_wait(app, r)))
		app_change(app, &c, answer_user, w);
}
