/* The answer to "plan" for people. */
#pragma once

#include "ztnode/cli/term.h"

void plan_print(const json_t *plan, struct term *t);
