/* The advice frame's text. */
#include "controller/advice.h"

#include <jansson.h>

#include "controller/json/posture_json.h"

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
		      verdicts_json(m, d, now_ms, failed_object), "interval_s",
		      report_interval_s(m, d), "device", "state", device_state_name(d->row.state),
		      "name", d->row.name, "owner", d->row.owner, "tags", tags);
	text = j ? json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	json_decref(j);
	return text;
}
