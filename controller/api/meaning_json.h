/* The difference in meaning of two policies as JSON: of a preview, and of a version's record. */
#pragma once

#include <jansson.h>

#include "controller/policy/meaning.h"

/* {"kind","change","name","fields":[{"field","removed":[],"n_removed","added":[],"n_added"}]}; at
 * most items_max of each list, and their texts no longer than *budget bytes together, which is
 * what is left of it then. */
json_t *meaning_change_json(const struct meaning_change *c, size_t items_max, size_t *budget);
