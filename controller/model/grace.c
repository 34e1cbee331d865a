/* Grace: which profiles tell of which, found once for two policies; then bits, because there are
 * many devices. */
#include "controller/model/grace.h"

#include <string.h>

static bool asks(const struct policy_posture *p, const struct condition *c)
{
	for (size_t i = 0; i < p->n_require; i++)
		if (strcmp(p->require[i].text, c->text) == 0)
			return true;
	return false;
}

/* Does who complies with old comply with new? */
static bool asks_no_more(const struct policy_posture *new, const struct policy_posture *old)
{
	if (new->max_age_s < old->max_age_s)
		return false;
	for (size_t i = 0; i < new->n_require; i++)
		if (!asks(old, &new->require[i]))
			return false;
	return true;
}

void grace_match(const struct policy *before, const struct policy *after, struct grace *ret)
{
	*ret = (struct grace){0};
	for (size_t i = 0; before && i < after->n_postures; i++)
		for (size_t j = 0; j < before->n_postures; j++)
			if (asks_no_more(&after->postures[i], &before->postures[j]))
				ret->from[i] |= UINT64_C(1) << j;
}

/* Each of them tells that it complied until then: the last one counts. */
int64_t grace_since(const struct grace *g, size_t posture, const int64_t *since_ms, size_t n)
{
	int64_t last = POSTURE_NEVER_COMPLIED;

	for (uint64_t left = g->from[posture]; left; left &= left - 1) {
		size_t i = (size_t)__builtin_ctzll(left);

		if (i < n && !since_ms[i])
			return 0;
		if (i < n && since_ms[i] > last)
			last = since_ms[i];
	}
	return last;
}
