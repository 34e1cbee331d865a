/* What a new policy means against another, for the record of a put. */
#pragma once

#include "controller/policy/policy.h"

/* JSON object, to be freed: {"against","added","removed","changed","list":[{"kind","change","name",
 * "fields":[]}]} (meaning_json.h); the numbers count rules, the list holds the first hundred
 * changes. version: of before. NULL: out of memory. */
char *changes_text(const struct policy *before, uint32_t version, const struct policy *after,
		   int64_t now_s);
