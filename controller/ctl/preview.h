/* What the answer of POST /v1/admin/policy/preview says. */
#pragma once

#include "controller/ctl/ctl.h"

void ctl_print_preview(struct ctl *c, const json_t *answer);
/* One change in meaning, with what came and went. */
void ctl_print_meaning_change(struct ctl *c, const json_t *change);
