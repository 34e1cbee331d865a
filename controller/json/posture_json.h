/* What a device's facts come to, as JSON: for its own advice, for an admin, and for the record. */
#pragma once

#include <jansson.h>

#include "controller/model/model.h"

/* How one condition that fails is written. */
typedef json_t *failed_json(const struct failed *f);
failed_json failed_line;   /* "disk.encrypted == true (is false)" */
failed_json failed_object; /* {"condition","is","hint"} */

json_t *verdict_failed_json(const struct verdict *v, failed_json *one);
/* [{"profile","ok","failed":[]}], of the profiles that it is asked for. Without memory for a
 * verdict that one is said to fail. */
json_t *verdicts_json(const struct model *m, const struct device *d, int64_t now_ms,
		      failed_json *one);
