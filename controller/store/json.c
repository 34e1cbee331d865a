/* Rows as JSON, as they stand in records: no secret, no hash of one, nothing that changes without a
 * record. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>

json_t *json_names(const char (*name)[ZT_NAME_MAX + 1], size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < n; i++) {
		if (json_array_append_new(array, json_string(name[i])) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

json_t *json_time(int64_t s)
{
	char text[32];

	num_print_time(s, text, sizeof(text));
	return json_string(text);
}

static json_t *json_key(const struct key *k)
{
	char text[KEY_TEXT_MAX];

	key_print(k, text);
	return json_string(text);
}

static json_t *json_prefix(const struct prefix *p)
{
	char text[PREFIX_TEXT_MAX] = "";

	if (p->addr.family != ADDR_NONE)
		prefix_print(p, text);
	return json_string(text);
}

static json_t *json_addresses(const struct addr *a4, const struct addr *a6)
{
	const struct addr *both[] = {a4, a6};
	json_t *array = json_array();
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; array && i < 2; i++) {
		if (both[i]->family == ADDR_NONE)
			continue;
		addr_print(both[i], text);
		if (json_array_append_new(array, json_string(text)) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

json_t *json_of_network(const struct store_network *n)
{
	return json_pack("{ss ss so so}", "name", n->name, "url", n->url, "network4",
			 json_prefix(&n->net4), "network6", json_prefix(&n->net6));
}

json_t *json_of_admin(const struct admin_row *a)
{
	return json_pack("{sI ss so}", "id", (json_int_t)a->id, "name", a->name, "created",
			 json_time(a->created_s));
}

/* uses_left is not here: it changes by enrolments, and each of those has a record and a device that
 * names the token. */
json_t *json_of_token(const struct token_row *t)
{
	return json_pack("{sI ss ss so sI sb sb so so}", "id", (json_int_t)t->id, "name", t->name,
			 "user", t->user, "tags", json_names(t->tags.name, t->tags.n), "uses",
			 (json_int_t)t->uses, "approve", t->approve, "revoked", t->revoked,
			 "created", json_time(t->created_s), "expires", json_time(t->expires_s));
}

json_t *json_of_device(const struct device_row *d, const struct device_more *m)
{
	json_t *released = m->released_s ? json_time(m->released_s) : json_null();

	return json_pack("{sI ss ss so so so so ss so so sI}", "id", (json_int_t)d->id, "name",
			 d->name, "owner", d->owner, "tags", json_names(d->tags.name, d->tags.n),
			 "addresses", json_addresses(&d->addr4, &d->addr6), "identity_key",
			 json_key(&d->identity), "wg_key", json_key(&d->wg_key), "state",
			 device_state_name(d->state), "created", json_time(d->created_s),
			 "released", released, "token", (json_int_t)d->token_id);
}

json_t *json_of_user(const struct user_row *u)
{
	return json_pack("{ss so sb}", "email", u->email, "groups",
			 json_names(u->groups, u->n_groups), "disabled", u->disabled);
}

static json_t *json_of_trial(const struct trial *t)
{
	if (t->state == TRIAL_NONE)
		return json_null();
	return json_pack("{ss sI so sI}", "state", trial_state_name(t->state), "base",
			 (json_int_t)t->base, "until",
			 t->until_ms ? json_time(t->until_ms / 1000) : json_null(), "percent",
			 (json_int_t)t->percent);
}

/* Also null when the text is none: verify says so. */
static json_t *json_of_changes(const char *text)
{
	json_t *j = text && *text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

	return j ? j : json_null();
}

json_t *json_of_policy(const struct policy_row *p, const struct key *hash)
{
	char hex[2 * ZT_HASH_LEN + 1];

	txt_hex(hash->b, sizeof(hash->b), hex);
	return json_pack("{sI ss ss so sI ss so so}", "version", (json_int_t)p->version, "author",
			 p->author, "why", p->why, "at", json_time(p->at_s), "bytes",
			 (json_int_t)p->len, "hash", hex, "trial", json_of_trial(&p->trial),
			 "changes", json_of_changes(p->changes));
}

void list_add(struct query *q, json_t *list, json_t *row)
{
	if (q->err)
		json_decref(row);
	else if (json_array_append_new(list, row) != 0)
		q->err = diag_set(&q->s->problem, -ENOMEM, "%s", zt_strerror(ENOMEM));
}

int list_end(struct query *q, json_t *list, json_t **ret)
{
	int err = query_end(q);

	if (err)
		json_decref(list);
	else
		*ret = list;
	return err;
}
