/* Advice: what a device is asked for (facts, how often) and told of itself (state, posture verdicts
 * with what would mend them). JSON for its talking role; grants nothing. */
#pragma once

#include "controller/model/model.h"

/* {"facts":[],"interval_s","posture":[{"profile","ok","failed":[{"condition","is","hint"}]}],"device":{"state","name","owner",
 * "tags":[]}}, keys sorted, so that equal advice is equal text. malloc'ed; NULL: no memory. */
char *advice_text(const struct model *m, const struct device *d, int64_t now_ms);
