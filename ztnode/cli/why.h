/* The answer to "why" for people. */
#pragma once

#include "ztnode/cli/view.h"

void why_print(const json_t *why, struct view *v);
