/* What the answer of POST /v1/admin/policy/preview says. */
#pragma once

#include "controller/ctl/ctl.h"

void ctl_print_preview(struct ctl *c, const json_t *answer);
