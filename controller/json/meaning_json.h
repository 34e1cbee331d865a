/* The difference in meaning of two policies as JSON: of a preview, and of a version's record. */
#pragma once

#include <jansson.h>

#include "controller/policy/meaning.h"

/* How much of it is listed at most. */
struct meaning_limits {
	size_t changes;
	size_t items; /* of each list of a field */
	size_t bytes; /* of the items' texts together */
};

/* {key: number,"added","removed","changed","list":[{"kind","change","name","fields":[{"field",
 * "removed":[],"n_removed","added":[],"n_added"}]}]}; the numbers count all. NULL: out of memory.
 */
json_t *meaning_json(const char *key, size_t number, const struct meaning_diff *d,
		     const struct meaning_limits *most);
