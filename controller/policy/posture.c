/* Posture: each condition is looked up among the facts and tried. Whatever is not known to hold
 * fails. */
#include "controller/policy/posture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/condition.h"
#include "zt/num.h"

static int compare_fact(const void *name, const void *fact)
{
	return strcmp(name, ((const struct fact_view *)fact)->name);
}

static const struct fact_view *find_fact(const struct fact_view *facts, size_t n, const char *name)
{
	return n ? bsearch(name, facts, n, sizeof(*facts), compare_fact) : NULL;
}

static int64_t add_seconds(int64_t ms, uint64_t s)
{
	int64_t sum;

	if (s > INT64_MAX / 1000 || __builtin_add_overflow(ms, (int64_t)s * 1000, &sum))
		return INT64_MAX;
	return sum;
}

/* An age as people say it: in the largest unit that leaves two digits or more. */
static void print_age(int64_t ms, char *out, size_t size)
{
	uint64_t s = ms > 0 ? (uint64_t)ms / 1000 : 0;
	uint64_t unit = s >= 2 * 86400 ? 86400 : s >= 2 * 3600 ? 3600 : s >= 120 ? 60 : 1;

	num_print_duration(s / unit * unit, out, size);
}

static const char *old_text(const struct policy_posture *p, const struct fact_view *f,
			    int64_t now_ms, struct arena *a)
{
	char age[32], most[32];

	print_age(now_ms - f->read_ms, age, sizeof(age));
	num_print_duration(p->max_age_s, most, sizeof(most));
	return arena_printf(a, "%s old, at most %s", age, most);
}

/* Does the condition hold now? If not, *ret says why. 1 holds, 0 fails, -ENOMEM. */
static int test_one(const struct policy_posture *p, const struct condition *c,
		    const struct fact_view *f, int64_t now_ms, struct arena *a, struct failed *ret)
{
	static const char see[] = "See what the device reports with: ztnode posture.";
	static const char silent[] =
		"Check that ztnode runs on the device and reaches the controller.";

	*ret = (struct failed){.condition = c->text, .hint = c->kind->mend};
	if (!f) {
		ret->is = "unknown (not reported)";
		ret->hint = see;
	} else if (f->state != FACT_KNOWN) {
		ret->is = arena_printf(a, "unknown (%s)", f->value);
		ret->hint = see;
	} else if (now_ms >= add_seconds(f->read_ms, p->max_age_s)) {
		ret->is = old_text(p, f, now_ms, a);
		ret->since_ms = add_seconds(f->read_ms, p->max_age_s);
		ret->hint = silent;
	} else {
		switch (condition_test(c, f->value)) {
		case CONDITION_HOLDS:
			return 1;
		case CONDITION_FAILS:
			ret->is = arena_text(a, f->value, strlen(f->value));
			break;
		case CONDITION_UNREADABLE:
			ret->is = arena_printf(a, "unknown (\"%s\" cannot be compared)", f->value);
			break;
		}
	}
	return ret->is ? 0 : -ENOMEM;
}

/* ok and next_ms from how the conditions went. fresh_until_ms: when the first fact gets too old. */
static void conclude(const struct policy_posture *p, int64_t now_ms, int64_t failing_since_ms,
		     int64_t fresh_until_ms, struct verdict *v)
{
	int64_t grace_ends = add_seconds(failing_since_ms ? failing_since_ms : now_ms, p->grace_s);

	v->complies = v->n_failed == 0;
	v->ok = v->complies || now_ms < grace_ends;
	if (v->complies)
		v->next_ms = fresh_until_ms;
	else
		v->next_ms = v->ok ? grace_ends : INT64_MAX;
}

int posture_evaluate(const struct policy_posture *p, const struct fact_view *facts, size_t n,
		     int64_t now_ms, int64_t failing_since_ms, struct arena *a, struct verdict *ret)
{
	struct failed *failed = arena_array(a, p->n_require, sizeof(*failed));
	struct verdict v = {.failed = failed};
	int64_t fresh_until_ms = INT64_MAX;

	if (!failed)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_require; i++) {
		const struct condition *c = &p->require[i];
		const struct fact_view *f = find_fact(facts, n, c->fact);
		int held = test_one(p, c, f, now_ms, a, &failed[v.n_failed]);
		int64_t until;

		if (held < 0)
			return held;
		if (!held) {
			v.n_failed++;
			continue;
		}
		until = add_seconds(f->read_ms, p->max_age_s);
		fresh_until_ms = until < fresh_until_ms ? until : fresh_until_ms;
	}
	conclude(p, now_ms, failing_since_ms, fresh_until_ms, &v);
	*ret = v;
	return 0;
}
