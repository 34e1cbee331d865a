/* Postures as conditions on facts. A fact has any value of its type and any age, or is not known,
 * and no fact says anything of another; so each is looked at alone, and a posture holds at an
 * instant when each of its facts is right.
 *
 * A posture with a grace holds for a while after it ceased to, by what the facts were then. So for
 * postures to hold together those without a grace must agree about one instant, and each of the
 * others needs only an instant of its own. For them to imply q, an instant must do so which lies in
 * q's own grace: that of those without, or of one whose grace is no longer than q's. */
#include "controller/policy/can_impl.h"

#include <string.h>

#include "controller/policy/condition.h"
#include "controller/policy/parse.h"

enum { CONDITIONS_MAX = ENGINE_POSTURES_MAX * POLICY_CONDITIONS_MAX + 1 };

static uint64_t bit(uint32_t i)
{
	return UINT64_C(1) << i;
}

/* The conditions of these postures on the fact, into all; how many. *ret_age: the age that all of
 * them allow. */
static size_t conditions_on(const struct policy *p, uint64_t postures, const char *fact,
			    const struct condition **all, uint64_t *ret_age)
{
	size_t n = 0;

	*ret_age = UINT64_MAX;
	for (uint64_t left = postures; left; left &= left - 1) {
		const struct policy_posture *y = &p->postures[__builtin_ctzll(left)];

		for (size_t i = 0; i < y->n_require; i++) {
			if (strcmp(y->require[i].fact, fact) != 0)
				continue;
			all[n++] = &y->require[i];
			*ret_age = y->max_age_s < *ret_age ? y->max_age_s : *ret_age;
		}
	}
	return n;
}

/* Do all comply at one instant? */
static bool comply_together(const struct policy *p, uint64_t postures)
{
	const struct condition *all[CONDITIONS_MAX];
	uint64_t age;

	for (uint64_t left = postures; left; left &= left - 1) {
		const struct policy_posture *y = &p->postures[__builtin_ctzll(left)];

		for (size_t i = 0; i < y->n_require; i++) {
			size_t n = conditions_on(p, postures, y->require[i].fact, all, &age);

			if (!conditions_can_hold(all, n))
				return false;
		}
	}
	return true;
}

static enum condition_op opposite(enum condition_op op)
{
	static const enum condition_op of[] = {
		[CONDITION_EQ] = CONDITION_NE, [CONDITION_NE] = CONDITION_EQ,
		[CONDITION_LT] = CONDITION_GE, [CONDITION_LE] = CONDITION_GT,
		[CONDITION_GT] = CONDITION_LE, [CONDITION_GE] = CONDITION_LT,
	};

	return of[op];
}

/* At an instant at which all comply, is q's condition sure to be met, by a fact young enough? */
static bool condition_follows(const struct policy *p, uint64_t postures,
			      const struct policy_posture *q, const struct condition *k)
{
	const struct condition *all[CONDITIONS_MAX];
	struct condition not = *k;
	uint64_t age;
	size_t n = conditions_on(p, postures, k->fact, all, &age);

	if (n == 0 || age > q->max_age_s)
		return false;
	not .op = opposite(k->op);
	all[n++] = &not ;
	return !conditions_can_hold(all, n);
}

/* At every instant at which all comply, does q? */
static bool comply_implies(const struct policy *p, uint64_t postures,
			   const struct policy_posture *q)
{
	if (!comply_together(p, postures))
		return true;
	for (size_t i = 0; i < q->n_require; i++)
		if (!condition_follows(p, postures, q, &q->require[i]))
			return false;
	return true;
}

static uint64_t without_grace(const struct policy *p, uint64_t postures)
{
	uint64_t none = 0;

	for (uint64_t left = postures; left; left &= left - 1)
		if (p->postures[__builtin_ctzll(left)].grace_s == 0)
			none |= left & -left;
	return none;
}

bool postures_hold_together(const struct policy *p, uint64_t postures)
{
	uint64_t now = without_grace(p, postures);

	if (!comply_together(p, now))
		return false;
	for (uint64_t left = postures & ~now; left; left &= left - 1)
		if (!comply_together(p, left & -left))
			return false;
	return true;
}

bool postures_imply(const struct policy *p, uint64_t postures, uint32_t q)
{
	const struct policy_posture *y = &p->postures[q];
	uint64_t now = without_grace(p, postures);

	if (postures & bit(q) || !postures_hold_together(p, postures))
		return true;
	if (now && comply_implies(p, now, y))
		return true;
	for (uint64_t left = postures & ~now; left; left &= left - 1)
		if (p->postures[__builtin_ctzll(left)].grace_s <= y->grace_s &&
		    comply_implies(p, left & -left, y))
			return true;
	return false;
}
