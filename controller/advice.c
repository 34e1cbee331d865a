/* The advice frame's text. */
#include "controller/advice.h"

#include <jansson.h>

enum { VERDICT_ARENA_MAX = 1 << 20 };

static void add_facts(json_t *facts, const struct force *f, uint32_t id)
{
	uint64_t mask = f->engine ? engine_profiles_known(f->engine, id) : 0;

	for (size_t i = 0; mask && i < f->policy->n_postures; i++) {
		const struct policy_posture *p = &f->policy->postures[i];

		for (size_t j = 0; (mask >> i & 1) && j < p->n_require; j++)
			json_object_set_new(facts, p->require[j].fact, json_true());
	}
}

/* Of a canary too: when it is promoted, they are known already. */
static json_t *advice_facts(const struct model *m, const struct device *d)
{
	json_t *facts = json_object(), *list = json_array();
	const char *name;
	json_t *unused;

	add_facts(facts, &m->force, d->row.id);
	add_facts(facts, &m->canary, d->row.id);
	json_object_foreach(facts, name, unused) json_array_append_new(list, json_string(name));
	json_decref(facts);
	return list;
}

static json_t *advice_posture(const struct model *m, const struct device *d, int64_t now_ms)
{
	const struct force *f = model_force(m, d);
	uint64_t mask = engine_profiles(f->engine, d->row.id);
	json_t *list = json_array();

	for (size_t i = 0; i < f->policy->n_postures; i++) {
		json_t *failed = json_array();
		struct verdict v = {0};
		struct arena arena;

		arena_init(&arena, VERDICT_ARENA_MAX);
		if (model_verdict(m, d, i, now_ms, &arena, &v))
			v = (struct verdict){0};
		for (size_t j = 0; j < v.n_failed; j++)
			json_array_append_new(failed,
					      json_pack("{s:s,s:s,s:s}", "condition",
							v.failed[j].condition, "is", v.failed[j].is,
							"hint", v.failed[j].hint));
		if (mask >> i & 1)
			json_array_append_new(list, json_pack("{s:s,s:b,s:O}", "profile",
							      f->policy->postures[i].name, "ok",
							      v.ok, "failed", failed));
		json_decref(failed);
		arena_done(&arena);
	}
	return list;
}

static uint64_t interval_of(const struct force *f, uint32_t id)
{
	uint64_t mask = f->engine ? engine_profiles(f->engine, id) : 0,
		 interval = ZT_REPORT_INTERVAL_S;

	for (size_t i = 0; mask && i < f->policy->n_postures; i++)
		if ((mask >> i & 1) && f->policy->postures[i].max_age_s / 3 < interval)
			interval = f->policy->postures[i].max_age_s / 3;
	return interval ? interval : 1;
}

/* Often enough that no fact grows too old between two reports. */
static int report_interval_s(const struct model *m, const struct device *d)
{
	uint64_t a = interval_of(&m->force, d->row.id), b = interval_of(&m->canary, d->row.id);

	return (int)(a < b ? a : b);
}

char *advice_text(const struct model *m, const struct device *d, int64_t now_ms)
{
	json_t *tags = json_array(), *j;
	char *text;

	for (size_t i = 0; i < d->row.tags.n; i++)
		json_array_append_new(tags, json_string(d->row.tags.name[i]));
	j = json_pack("{s:o,s:o,s:i,s:{s:s,s:s,s:s,s:o}}", "facts", advice_facts(m, d), "posture",
		      advice_posture(m, d, now_ms), "interval_s", report_interval_s(m, d), "device",
		      "state", device_state_name(d->row.state), "name", d->row.name, "owner",
		      d->row.owner, "tags", tags);
	text = j ? json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	json_decref(j);
	return text;
}
