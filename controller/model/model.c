/* The model: devices and users, as the store has them. What policies make of them is in
 * model_force.c. */
#include "controller/model/model_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zt/num.h"
#include "zt/txt.h"

enum { DEVICES_MAX = 1000000 };

void model_init(struct model *m)
{
	*m = (struct model){0};
}

static void device_free(struct device *d)
{
	if (!d)
		return;
	free(d->facts);
	free(d->endpoints);
	free(d->failing_since_ms);
	free(d->texts);
	free(d);
}

void model_done(struct model *m)
{
	force_free(&m->force);
	force_free(&m->canary);
	for (size_t i = 0; i < m->n_devices; i++)
		device_free(m->devices[i]);
	free(m->devices);
	free(m->users);
	free(m->user_slots);
	*m = (struct model){0};
}

/* --- look-up --- */

struct device *model_device(const struct model *m, uint32_t id)
{
	return id < m->n_devices ? m->devices[id] : NULL;
}

struct device *model_find_device(const struct model *m, const char *id_or_name)
{
	struct device *found = NULL;
	uint64_t id;

	if (num_parse_u64(id_or_name, 1, UINT32_MAX, &id) == 0)
		return model_device(m, (uint32_t)id);
	for (size_t i = 0; i < m->n_devices; i++) {
		struct device *d = m->devices[i];

		if (!d || strcmp(d->row.name, id_or_name) != 0)
			continue;
		if (d->row.state != DEVICE_REVOKED)
			return d;
		found = d;
	}
	return found;
}

/* FNV-1a. E-mails come from admins: nobody gains by making them collide. */
static size_t hash_email(const char *email)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *email; email++)
		h = (h ^ (unsigned char)*email) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

/* The slot that holds the user, or the free one where it belongs. There are slots. */
static uint32_t *user_slot(const struct model *m, const char *email)
{
	size_t i = hash_email(email) & (m->n_user_slots - 1);

	while (m->user_slots[i] && strcmp(m->users[m->user_slots[i] - 1].email, email) != 0)
		i = (i + 1) & (m->n_user_slots - 1);
	return &m->user_slots[i];
}

static int grow_user_slots(struct model *m, size_t users)
{
	size_t n = m->n_user_slots ? m->n_user_slots : 64;
	uint32_t *slots, *old = m->user_slots;

	while (n < 2 * users)
		n *= 2;
	if (n == m->n_user_slots)
		return 0;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	m->user_slots = slots;
	m->n_user_slots = n;
	for (size_t i = 0; i < m->n_users; i++)
		*user_slot(m, m->users[i].email) = (uint32_t)i + 1;
	free(old);
	return 0;
}

int model_reserve_users(struct model *m, size_t more)
{
	size_t n = m->n_users + more, cap = m->cap_users ? m->cap_users : 16;
	struct user_row *p;

	while (cap < n)
		cap *= 2;
	if (cap > m->cap_users) {
		p = reallocarray(m->users, cap, sizeof(*p));
		if (!p)
			return -ENOMEM;
		m->users = p;
		m->cap_users = cap;
	}
	return grow_user_slots(m, n);
}

const struct user_row *model_user(const struct model *m, const char *email)
{
	uint32_t at = m->n_user_slots ? *user_slot(m, email) : 0;

	return at ? &m->users[at - 1] : NULL;
}

enum standing model_standing(const struct device *d, int64_t now_ms)
{
	switch (d->row.state) {
	case DEVICE_REVOKED:
		return STANDING_REVOKED;
	case DEVICE_EXPIRED:
		return STANDING_EXPIRED;
	case DEVICE_PENDING:
		return d->owner_disabled ? STANDING_DISABLED : STANDING_PENDING;
	case DEVICE_ACTIVE:
		if (d->owner_disabled)
			return STANDING_DISABLED;
		return d->row.cert_not_after_s > now_ms / 1000 ? STANDING_ACTIVE : STANDING_LAPSED;
	}
	return STANDING_REVOKED;
}

const struct standing_refusal *standing_refusal(enum standing s)
{
	static const struct standing_refusal refusals[] = {
		[STANDING_REVOKED] = {"revoked", "this device was revoked",
				      "ask an admin; a new enrolment needs a new token"},
		[STANDING_EXPIRED] = {"expired", "this device's enrolment has expired",
				      "ask an admin to approve it again"},
		[STANDING_DISABLED] = {"disabled", "this device's owner may not use the network",
				       "ask an admin"},
	};

	return (size_t)s < sizeof(refusals) / sizeof(refusals[0]) && refusals[s].code ? &refusals[s]
										      : NULL;
}

size_t model_count(const struct model *m, enum device_state s)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_devices; i++)
		n += m->devices[i] && m->devices[i]->row.state == s;
	return n;
}

static bool is_disabled(const struct model *m, const char *owner)
{
	const struct user_row *u = owner[0] ? model_user(m, owner) : NULL;

	return u && u->disabled;
}

/* --- loading --- */

static int grow_devices(struct model *m, uint32_t id)
{
	size_t n = m->n_devices ? m->n_devices : 64;
	struct device **p;

	if (id < m->n_devices)
		return 0;
	if (id >= DEVICES_MAX)
		return -ZT_ELIMIT;
	while (n <= id)
		n *= 2;
	p = reallocarray(m->devices, n, sizeof(struct device *));
	if (!p)
		return -ENOMEM;
	memset(p + m->n_devices, 0, (n - m->n_devices) * sizeof(struct device *));
	m->devices = p;
	m->n_devices = n;
	return 0;
}

const char *model_append_text(char **end, const char *s)
{
	size_t n = strlen(s) + 1;
	char *at = *end;

	memcpy(at, s, n);
	*end += n;
	return at;
}

/* The row's texts into one piece of memory: pointers to the tags, then all of them. */
static int set_texts(struct device *d, const struct device_row *row)
{
	size_t size = row->tags.n * sizeof(char *) + strlen(row->name) + strlen(row->owner) + 2;
	const char **tags;
	char *end;

	for (size_t i = 0; i < row->tags.n; i++)
		size += strlen(row->tags.name[i]) + 1;
	tags = malloc(size);
	if (!tags)
		return -ENOMEM;
	end = (char *)(tags + row->tags.n);
	d->row.name = model_append_text(&end, row->name);
	d->row.owner = model_append_text(&end, row->owner);
	for (size_t i = 0; i < row->tags.n; i++)
		tags[i] = model_append_text(&end, row->tags.name[i]);
	d->row.tags.name = tags;
	d->row.tags.n = row->tags.n;
	free(d->texts);
	d->texts = tags;
	return 0;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* What is written behind may be ahead of the database. */
static int set_row(struct device *d, const struct device_row *row)
{
	struct device_core *c = &d->row;
	int err = set_texts(d, row);

	if (err)
		return err;
	c->id = row->id;
	c->state = row->state;
	c->identity = row->identity;
	c->wg_key = row->wg_key;
	c->addr4 = row->addr4;
	c->addr6 = row->addr6;
	c->created_s = row->created_s;
	c->token_id = row->token_id;
	c->cert_not_after_s = later(row->cert_not_after_s, c->cert_not_after_s);
	c->last_seen_s = later(row->last_seen_s, c->last_seen_s);
	c->serial = row->serial > c->serial ? row->serial : c->serial;
	return 0;
}

void model_row(const struct device *d, struct device_row *ret)
{
	const struct device_core *c = &d->row;

	*ret = (struct device_row){.id = c->id,
				   .identity = c->identity,
				   .wg_key = c->wg_key,
				   .addr4 = c->addr4,
				   .addr6 = c->addr6,
				   .state = c->state,
				   .created_s = c->created_s,
				   .cert_not_after_s = c->cert_not_after_s,
				   .last_seen_s = c->last_seen_s,
				   .token_id = c->token_id,
				   .serial = c->serial};
	/* They came out of fields of that size. */
	(void)!txt_copy(ret->name, sizeof(ret->name), c->name);
	(void)!txt_copy(ret->owner, sizeof(ret->owner), c->owner);
	for (; ret->tags.n < c->tags.n && ret->tags.n < ZT_TAGS_MAX; ret->tags.n++)
		(void)!txt_copy(ret->tags.name[ret->tags.n], sizeof(ret->tags.name[0]),
				c->tags.name[ret->tags.n]);
}

int model_load_device(struct model *m, const struct device_row *row, struct device **ret)
{
	struct device *d;
	int err = grow_devices(m, row->id);

	if (err)
		return err;
	d = m->devices[row->id];
	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return -ENOMEM;
		d->next_ms = INT64_MAX;
		d->in_canary = model_in_canary(m, row->id);
		err = set_row(d, row);
		if (err) {
			device_free(d);
			return err;
		}
		if (model_force(m, d)->policy) {
			d->n_failing = model_force(m, d)->policy->n_postures;
			d->failing_since_ms = model_never_complied(d->n_failing);
			d->n_failing = d->failing_since_ms ? d->n_failing : 0;
		}
		m->devices[row->id] = d;
	} else {
		err = set_row(d, row);
		if (err) { /* what it is now cannot be kept: it takes no part */
			d->row.state = row->state == DEVICE_ACTIVE ? DEVICE_PENDING : row->state;
			d->standing = model_standing(d, 0);
			model_forget(m, d->row.id);
		}
	}
	if (err)
		return err;
	d->owner_disabled = is_disabled(m, row->owner);
	*ret = d;
	return 0;
}

int model_load_user(struct model *m, const struct user_row *u)
{
	const struct user_row *known = model_user(m, u->email);

	if (known) {
		m->users[known - m->users] = *u;
		return 0;
	}
	if (model_reserve_users(m, 1))
		return -ENOMEM;
	m->users[m->n_users] = *u;
	*user_slot(m, u->email) = (uint32_t)++m->n_users;
	return 0;
}

/* The subjects of a user's devices carry the user's groups. */
static int put_devices_of(struct model *m, const struct user_row *u, int64_t now_ms)
{
	int err = 0;

	for (size_t i = 0; i < m->n_devices; i++) {
		struct device *d = m->devices[i];
		int e;

		if (!d || strcmp(d->row.owner, u->email) != 0)
			continue;
		d->owner_disabled = u->disabled;
		d->standing = model_standing(d, now_ms);
		e = model_put_or_remove(m, d);
		err = err ? err : e;
	}
	return err;
}

/* --- changes --- */

int model_apply(struct model *m, const struct change *c, int64_t now_ms, struct device **ret)
{
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct device *d = NULL;
	int err = 0;

	switch (c->kind) {
	case CHANGE_DEVICE_ENROLL:
	case CHANGE_DEVICE_STATE:
	case CHANGE_DEVICE_TAGS:
	case CHANGE_DEVICE_KEY:
		err = model_load_device(m, &c->device, &d);
		if (!err) {
			model_judge(m, d, now_ms, changes);
			err = model_put_or_remove(m, d);
		}
		break;
	case CHANGE_USER_PUT:
		err = model_load_user(m, &c->user);
		/* Also when a new user did not fit: disabled is disabled. */
		err = put_devices_of(m, &c->user, now_ms) || err ? -ENOMEM : 0;
		break;
	case CHANGE_POLICY_CONFIRM:
		if (m->force.row.version == c->policy.version)
			m->force.row = c->policy;
		break;
	case CHANGE_POLICY_PROMOTE:
		err = model_promote(m, &c->policy, now_ms);
		break;
	case CHANGE_POLICY_ABORT:
		model_end_canary(m, now_ms);
		break;
	case CHANGE_TOKEN_CREATE:
	case CHANGE_TOKEN_REVOKE:
	case CHANGE_POLICY_PUT:
	case CHANGE_POLICY_REVIEW:
	case CHANGE_POSTURE:
	case CHANGE_REFUSED:
		break;
	}
	*ret = d;
	return err;
}
