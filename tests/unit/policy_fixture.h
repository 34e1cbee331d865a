/* A policy in a test: the text as the parser takes it, or the test fails with what is wrong. */
#pragma once

#include "tests/unit/unit.h"
#include "controller/policy/policy.h"

static inline struct policy *parsed_in(const char *text, const struct policy_env *env)
{
	struct diag items[4] = {0};
	struct diag_list problems = {.items = items, .max = N_OF(items)};
	struct policy *p = NULL;

	if (policy_parse("p", text, strlen(text), env, &p, &problems))
		fail_msg("%u:%u: %s\nin:\n%s", items[0].line, items[0].column, items[0].message,
			 text);
	return p;
}

static inline struct policy *parsed(const char *text)
{
	return parsed_in(text, NULL);
}
