/* The answer to "status" for people. */
#pragma once

#include "ztnode/cli/view.h"

void status_print(const json_t *status, struct view *v);
