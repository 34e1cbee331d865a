#include "controller/json/posture_json.h"

enum { VERDICT_ARENA_MAX = 1 << 20 };

json_t *failed_line(const struct failed *f)
{
	return json_sprintf("%s (is %s)", f->condition, f->is);
}

json_t *failed_object(const struct failed *f)
{
	return json_pack("{s:s,s:s,s:s}", "condition", f->condition, "is", f->is, "hint", f->hint);
}

json_t *verdict_failed_json(const struct verdict *v, failed_json *one)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->n_failed; i++)
		json_array_append_new(list, one(&v->failed[i]));
	return list;
}

static json_t *verdict_json(const struct model *m, const struct device *d, size_t posture,
			    int64_t now_ms, failed_json *one)
{
	struct verdict v = {0};
	struct arena a;
	json_t *j;

	arena_init(&a, VERDICT_ARENA_MAX);
	if (model_verdict(m, d, posture, now_ms, &a, &v))
		v = (struct verdict){0};
	j = json_pack("{s:s,s:b,s:o}", "profile", model_force(m, d)->policy->postures[posture].name,
		      "ok", v.ok, "failed", verdict_failed_json(&v, one));
	arena_done(&a);
	return j;
}

json_t *verdicts_json(const struct model *m, const struct device *d, int64_t now_ms,
		      failed_json *one)
{
	const struct force *f = model_force(m, d);
	uint64_t asked = engine_profiles(f->engine, d->row.id);
	json_t *list = json_array();

	for (size_t i = 0; i < f->policy->n_postures; i++)
		if (asked >> i & 1)
			json_array_append_new(list, verdict_json(m, d, i, now_ms, one));
	return list;
}
