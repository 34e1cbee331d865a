/* The model: devices, users, policy and engine held together. */
#include "controller/model/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zt/num.h"
#include "zt/txt.h"
#include "controller/model/canary.h"
#include "controller/model/grace.h"

enum {
	DEVICES_MAX = 1000000,
	FACTS_ARENA_MAX = 1 << 20,
	VERDICT_ARENA_MAX = 1 << 20,
	JUDGE_AGAIN_MS = 10000,
};

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

static void force_free(struct force *f)
{
	engine_free(f->engine);
	policy_free(f->policy);
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

/* --- subjects: what the engine sees of a device --- */

static bool is_disabled(const struct model *m, const char *owner)
{
	const struct user_row *u = owner[0] ? model_user(m, owner) : NULL;

	return u && u->disabled;
}

/* judged: as the policy that the device is under sees it; to another it is a destination alone, and
 * those have no conditions. */
static int put_in(const struct model *m, struct engine *e, const struct device *d, bool judged)
{
	const char *tags[ZT_TAGS_MAX], *groups[USER_GROUPS_MAX];
	const struct user_row *u = d->row.owner[0] ? model_user(m, d->row.owner) : NULL;
	struct subject s = {.id = d->row.id,
			    .name = d->row.name,
			    .owner = d->row.owner,
			    .tags = tags,
			    .n_tags = d->row.tags.n,
			    .groups = groups,
			    .n_groups = u ? u->n_groups : 0};

	if (judged) {
		s.verdicts = d->verdicts;
		s.places = d->places;
	}
	for (size_t i = 0; i < s.n_tags; i++)
		tags[i] = d->row.tags.name[i];
	for (size_t i = 0; i < s.n_groups; i++)
		groups[i] = u->groups[i];
	return engine_put(e, &s);
}

void model_forget(struct model *m, uint32_t id)
{
	if (m->force.engine)
		engine_remove(m->force.engine, id);
	if (m->canary.engine)
		engine_remove(m->canary.engine, id);
}

/* d->standing has been decided. */
static int put_subject(struct model *m, const struct device *d)
{
	int err = 0;

	if (d->standing != STANDING_ACTIVE) {
		model_forget(m, d->row.id);
		return 0;
	}
	if (m->force.engine)
		err = put_in(m, m->force.engine, d, !d->in_canary);
	if (!err && m->canary.engine)
		err = put_in(m, m->canary.engine, d, d->in_canary);
	return err;
}

static void set_left_out(struct model *m, struct device *d, bool left_out)
{
	if (left_out && !d->left_out)
		m->n_left_out++;
	else if (!left_out && d->left_out)
		m->n_left_out--;
	d->left_out = left_out;
}

/* A subject that cannot be put is none: nothing granted. */
static int put_or_remove(struct model *m, struct device *d)
{
	int err = put_subject(m, d);

	if (err)
		model_forget(m, d->row.id);
	set_left_out(m, d, err != 0);
	return err;
}

size_t model_put_left_out(struct model *m)
{
	size_t n = 0;

	for (size_t i = 0; m->n_left_out && i < m->n_devices; i++)
		if (m->devices[i] && m->devices[i]->left_out)
			n += put_or_remove(m, m->devices[i]) == 0;
	return n;
}

int model_try(const struct model *m, struct engine *e)
{
	int err = 0;

	for (size_t i = 0; i < m->n_devices && !err; i++)
		if (m->devices[i] && m->devices[i]->standing == STANDING_ACTIVE)
			err = put_in(m, e, m->devices[i], false);
	return err;
}

/* --- posture --- */

const struct force *model_force(const struct model *m, const struct device *d)
{
	return d->in_canary ? &m->canary : &m->force;
}

static int64_t failing_since(const struct device *d, size_t posture)
{
	return posture < d->n_failing ? d->failing_since_ms[posture] : POSTURE_NEVER_COMPLIED;
}

static void set_failing_since(struct device *d, size_t posture, int64_t since_ms)
{
	if (posture < d->n_failing)
		d->failing_since_ms[posture] = since_ms;
}

int model_verdict(const struct model *m, const struct device *d, size_t posture, int64_t now_ms,
		  struct arena *a, struct verdict *ret)
{
	return posture_evaluate(&model_force(m, d)->policy->postures[posture], d->facts, d->n_facts,
				now_ms, failing_since(d, posture), a, ret);
}

static struct places find_places(const struct model *m, const struct device *d)
{
	struct place_view v = {.source = d->source, .addr4 = d->row.addr4, .addr6 = d->row.addr6};
	const struct policy *p = model_force(m, d)->policy;

	memcpy(v.country, d->country, sizeof(v.country));
	return p ? place_evaluate(p, &v) : (struct places){0};
}

/* The device's standing, places and verdicts now; which verdicts changed. */
static size_t judge(const struct model *m, struct device *d, int64_t now_ms,
		    struct verdict_change changes[ENGINE_POSTURES_MAX])
{
	const struct policy *p = model_force(m, d)->policy;
	size_t n_changes = 0, n = p ? p->n_postures : 0;
	uint64_t before = d->verdicts;
	struct arena a;

	d->standing = model_standing(d, now_ms);
	d->next_ms = d->standing == STANDING_ACTIVE ? d->row.cert_not_after_s * 1000 : INT64_MAX;
	d->verdicts = 0;
	d->places = find_places(m, d);
	arena_init(&a, VERDICT_ARENA_MAX);
	for (size_t i = 0; i < n; i++) {
		struct verdict v = {.next_ms = INT64_MAX};
		uint64_t bit = (uint64_t)1 << i;

		if (model_verdict(m, d, i, now_ms, &a, &v)) /* no memory: it fails for now */
			v = (struct verdict){.next_ms = now_ms + JUDGE_AGAIN_MS};
		if (v.complies)
			set_failing_since(d, i, 0);
		else if (!failing_since(d, i))
			set_failing_since(d, i, now_ms);
		v.ok = v.ok && !(d->held & bit);
		d->verdicts |= v.ok ? bit : 0;
		if (v.next_ms < d->next_ms)
			d->next_ms = v.next_ms;
		if ((before ^ d->verdicts) & bit)
			changes[n_changes++] = (struct verdict_change){(uint32_t)i, v.ok};
	}
	arena_done(&a);
	return n_changes;
}

size_t model_evaluate(struct model *m, struct device *d, int64_t now_ms,
		      struct verdict_change changes[ENGINE_POSTURES_MAX])
{
	enum standing stood = d->standing;
	struct places was = d->places;
	uint64_t before = d->verdicts;
	size_t n = judge(m, d, now_ms, changes);

	if (before != d->verdicts || stood != d->standing || !places_equal(&was, &d->places))
		(void)!put_or_remove(m, d);
	return n;
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

static bool in_canary(const struct model *m, uint32_t id)
{
	return m->canary.engine &&
	       canary_has(id, m->canary.row.version, m->canary.row.trial.percent);
}

/* Grace is for those who stop complying: a device whose facts were never good has none, and one for
 * which there is no memory, too. */
static int64_t *never_complied(size_t n)
{
	int64_t *v = n ? malloc(n * sizeof(*v)) : NULL;

	for (size_t i = 0; v && i < n; i++)
		v[i] = POSTURE_NEVER_COMPLIED;
	return v;
}

static const char *append(char **end, const char *s)
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
	d->row.name = append(&end, row->name);
	d->row.owner = append(&end, row->owner);
	for (size_t i = 0; i < row->tags.n; i++)
		tags[i] = append(&end, row->tags.name[i]);
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
		d->in_canary = in_canary(m, row->id);
		err = set_row(d, row);
		if (err) {
			device_free(d);
			return err;
		}
		if (model_force(m, d)->policy) {
			d->n_failing = model_force(m, d)->policy->n_postures;
			d->failing_since_ms = never_complied(d->n_failing);
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
		e = put_or_remove(m, d);
		err = err ? err : e;
	}
	return err;
}

/* --- policy --- */

/* Without memory nothing is known, and there is no grace. */
static void carry_grace(struct device *d, const struct grace *g, size_t n_postures)
{
	int64_t *v = never_complied(n_postures);

	for (size_t i = 0; v && i < n_postures; i++)
		v[i] = grace_since(g, i, d->failing_since_ms, d->n_failing);
	free(d->failing_since_ms);
	d->failing_since_ms = v;
	d->n_failing = v ? n_postures : 0;
}

/* Every device becomes a subject of what holds now. Before: what its grace was counted under. */
static void put_all(struct model *m, const struct force *before, const struct force *canary_before,
		    int64_t now_ms)
{
	const struct force *was[] = {before, canary_before}, *is[] = {&m->force, &m->canary};
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct grace grace[2][2] = {0}; /* from one of those before to one of these */

	for (size_t i = 0; i < 4; i++)
		if (is[i % 2]->policy)
			grace_match(was[i / 2]->policy, is[i % 2]->policy, &grace[i / 2][i % 2]);
	for (size_t i = 0; i < m->n_devices; i++) {
		struct device *d = m->devices[i];
		bool was_in;

		if (!d)
			continue;
		was_in = d->in_canary;
		d->in_canary = in_canary(m, d->row.id);
		d->held = 0; /* bits of the policy before */
		carry_grace(d, &grace[was_in][d->in_canary], model_force(m, d)->policy->n_postures);
		judge(m, d, now_ms, changes);
		(void)!put_or_remove(m, d);
	}
}

/* These two hold from now on; nothing is freed. The store has them: to go on with what held before
 * for want of memory would be to enforce what is no longer the policy. */
static void install(struct model *m, struct force force, struct force canary, int64_t now_ms)
{
	struct force old = m->force, old_canary = m->canary;

	m->force = force;
	m->canary = canary;
	put_all(m, &old, &old_canary, now_ms);
}

void model_put_force(struct model *m, const struct force *f, bool canary, int64_t now_ms)
{
	struct force old = m->force, old_canary = m->canary, new = *f;

	new.row.text = new.row.changes = NULL;
	if (canary) {
		install(m, m->force, new, now_ms);
	} else {
		install(m, new, (struct force){0}, now_ms);
		force_free(&old);
	}
	force_free(&old_canary);
}

static int put_policy(struct model *m, struct policy *p, const struct policy_row *row, bool canary,
		      int64_t now_ms)
{
	struct force f = {.policy = p, .engine = engine_new(p, now_ms / 1000), .row = *row};

	if (!f.engine)
		return -ENOMEM;
	model_put_force(m, &f, canary, now_ms);
	return 0;
}

int model_set_policy(struct model *m, struct policy *p, const struct policy_row *row,
		     int64_t now_ms)
{
	return put_policy(m, p, row, false, now_ms);
}

int model_set_canary(struct model *m, struct policy *p, const struct policy_row *row,
		     int64_t now_ms)
{
	return put_policy(m, p, row, true, now_ms);
}

/* The canary is the policy in force. Never another one than the store's. */
static int promote(struct model *m, const struct policy_row *row, int64_t now_ms)
{
	struct force old = m->force;

	if (!m->canary.engine || m->canary.row.version != row->version)
		return -ZT_ESTATE;
	install(m, m->canary, (struct force){0}, now_ms);
	force_free(&old);
	m->force.row = *row;
	return 0;
}

static void end_canary(struct model *m, int64_t now_ms)
{
	struct force old = m->canary;

	install(m, m->force, (struct force){0}, now_ms);
	force_free(&old);
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
			judge(m, d, now_ms, changes);
			err = put_or_remove(m, d);
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
		err = promote(m, &c->policy, now_ms);
		break;
	case CHANGE_POLICY_ABORT:
		end_canary(m, now_ms);
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

/* --- reports --- */

/* The new facts: those of a partial report over those that stand. Texts are borrowed from both. */
static int merge_facts(const struct device *d, const struct report *r, int64_t received_ms,
		       struct arena *a, struct fact_view **ret, size_t *ret_n)
{
	size_t keep = r->full ? 0 : d->n_facts, n = 0, i = 0, j = 0;
	struct fact_view *out = arena_array(a, keep + r->n_facts, sizeof(*out));

	if (!out)
		return -ENOMEM;
	while (i < keep || j < r->n_facts) {
		int order = i == keep	      ? 1
			    : j == r->n_facts ? -1
					      : strcmp(d->facts[i].name, r->facts[j].name);
		struct fact_view *f = &out[n++];

		if (order < 0) {
			*f = d->facts[i++];
		} else {
			const struct fact *from = &r->facts[j++];

			*f = (struct fact_view){from->name, from->state, from->value,
						received_ms - (int64_t)from->age_s * 1000};
			i += order == 0;
		}
	}
	*ret = out;
	*ret_n = n;
	return n > ZT_FACTS_MAX ? -ZT_ELIMIT : 0;
}

/* Facts and their texts in one piece of memory of just that size: there are many devices, and most
 * of them are not connected. NULL: out of memory. */
static struct fact_view *pack_facts(const struct fact_view *v, size_t n)
{
	size_t size = n * sizeof(*v) + 1;
	struct fact_view *out;
	char *end;

	for (size_t i = 0; i < n; i++)
		size += strlen(v[i].name) + strlen(v[i].value) + 2;
	out = malloc(size);
	if (!out)
		return NULL;
	end = (char *)(out + n);
	for (size_t i = 0; i < n; i++) {
		out[i] = v[i];
		out[i].name = append(&end, v[i].name);
		out[i].value = append(&end, v[i].value);
	}
	return out;
}

static bool is_offerable(const struct model *m, const struct endpoint *e)
{
	return endpoint_is_usable(e) && !prefix_contains(&m->network.net4, &e->addr) &&
	       !prefix_contains(&m->network.net6, &e->addr);
}

/* Without memory it has none: its peers find it by its own handshakes. */
static void set_endpoints(struct device *d, const struct endpoint *v, size_t n)
{
	struct endpoint *copy = n ? malloc(n * sizeof(*copy)) : NULL;

	if (copy)
		memcpy(copy, v, n * sizeof(*copy));
	free(d->endpoints);
	d->endpoints = copy;
	d->n_endpoints = copy ? n : 0;
}

static bool take_endpoints(const struct model *m, struct device *d, const struct report *r)
{
	struct endpoint out[ZT_ENDPOINTS_PEER_MAX];
	size_t n = 0;
	bool changed;

	for (size_t i = 0; i < r->n_endpoints && n < ZT_ENDPOINTS_PEER_MAX - 1; i++)
		if (is_offerable(m, &r->endpoints[i]))
			out[n++] = r->endpoints[i];
	/* Where the controller sees it, with the WireGuard port: right when there is no NAT, or one
	 * that keeps ports. */
	if (r->wg_port && d->source.family != ADDR_NONE) {
		struct endpoint seen = {d->source, r->wg_port};
		bool known = !is_offerable(m, &seen);

		for (size_t i = 0; i < n; i++)
			known = known || endpoint_equal(&out[i], &seen);
		if (!known)
			out[n++] = seen;
	}
	changed = n != d->n_endpoints;
	for (size_t i = 0; i < n && !changed; i++)
		changed = !endpoint_equal(&out[i], &d->endpoints[i]);
	d->wg_port = r->wg_port;
	if (changed)
		set_endpoints(d, out, n);
	return changed;
}

static const char *fact_text(const struct fact_view *facts, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(facts[i].name, name) == 0 && facts[i].state == FACT_KNOWN)
			return facts[i].value;
	return "";
}

int model_take_report(struct model *m, struct device *d, const struct report *r,
		      int64_t received_ms, bool *ret_endpoints_changed)
{
	struct fact_view *merged, *facts = NULL;
	struct arena a;
	size_t n;
	int err;

	arena_init(&a, FACTS_ARENA_MAX);
	err = merge_facts(d, r, received_ms, &a, &merged, &n);
	if (!err && !(facts = pack_facts(merged, n)))
		err = -ENOMEM;
	arena_done(&a);
	if (err)
		return err;
	free(d->facts);
	d->facts = facts;
	d->n_facts = n;
	/* One that is too long is none. */
	(void)!txt_copy(d->version, sizeof(d->version), fact_text(facts, n, "node.version"));
	(void)!txt_copy(d->os, sizeof(d->os), fact_text(facts, n, "os.id"));
	*ret_endpoints_changed = take_endpoints(m, d, r);
	return 0;
}
