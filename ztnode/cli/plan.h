/* The answer to "plan" for people. */
#pragma once

#include "ztnode/cli/view.h"

void plan_print(const json_t *plan, struct view *v);
