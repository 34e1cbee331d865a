#include "controller/policy/reading.h"

int policy_read_begin(struct policy_reading *r, const char *text, size_t n,
		      const struct policy_env *env, const struct subject *devices, size_t n_devices)
{
	struct policy_env later = *env;
	int err;

	later.invariants_later = true;
	err = policy_parse("policy", text, n, &later, &r->policy, &r->problems);
	if (!err && !env->was_accepted)
		err = invariants_begin(r->policy, devices, n_devices, env->now_s, &r->problems,
				       &r->proof);
	return !err && r->proof ? 1 : err;
}

int policy_read_step(struct policy_reading *r)
{
	int more = invariants_step(r->proof);

	if (more == 1)
		return 1;
	invariants_end(r->proof);
	r->proof = NULL;
	return more;
}

void policy_read_end(struct policy_reading *r)
{
	invariants_end(r->proof);
	policy_free(r->policy);
	*r = (struct policy_reading){0};
}
