/* The model, the policies' side: which policy a device is under, what that makes of its facts, and
 * what the engines are told of it. The policy in force, or the canary, comes and goes here. */
#include "controller/model/model_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/canary.h"
#include "controller/model/grace.h"

enum { VERDICT_ARENA_MAX = 1 << 20, JUDGE_AGAIN_MS = 10000 };

/* --- subjects: what an engine sees of a device --- */

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

int model_put_or_remove(struct model *m, struct device *d)
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
			n += model_put_or_remove(m, m->devices[i]) == 0;
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

size_t model_judge(const struct model *m, struct device *d, int64_t now_ms,
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
	size_t n = model_judge(m, d, now_ms, changes);

	if (before != d->verdicts || stood != d->standing || !places_equal(&was, &d->places))
		(void)!model_put_or_remove(m, d);
	return n;
}

/* --- policy --- */

void force_free(struct force *f)
{
	engine_free(f->engine);
	policy_free(f->policy);
}

bool model_in_canary(const struct model *m, uint32_t id)
{
	return m->canary.engine &&
	       canary_has(id, m->canary.row.version, m->canary.row.trial.percent);
}

int64_t *model_never_complied(size_t n)
{
	int64_t *v = n ? malloc(n * sizeof(*v)) : NULL;

	for (size_t i = 0; v && i < n; i++)
		v[i] = POSTURE_NEVER_COMPLIED;
	return v;
}

/* Without memory nothing is known, and there is no grace. */
static void carry_grace(struct device *d, const struct grace *g, size_t n_postures)
{
	int64_t *v = model_never_complied(n_postures);

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
		d->in_canary = model_in_canary(m, d->row.id);
		d->held = 0; /* bits of the policy before */
		carry_grace(d, &grace[was_in][d->in_canary], model_force(m, d)->policy->n_postures);
		model_judge(m, d, now_ms, changes);
		(void)!model_put_or_remove(m, d);
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

int model_promote(struct model *m, const struct policy_row *row, int64_t now_ms)
{
	struct force old = m->force;

	if (!m->canary.engine || m->canary.row.version != row->version)
		return -ZT_ESTATE;
	install(m, m->canary, (struct force){0}, now_ms);
	force_free(&old);
	m->force.row = *row;
	return 0;
}

void model_end_canary(struct model *m, int64_t now_ms)
{
	struct force old = m->canary;

	install(m, m->force, (struct force){0}, now_ms);
	force_free(&old);
}
