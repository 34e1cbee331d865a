/* The answer to "posture" for people. */
#pragma once

#include "ztnode/cli/view.h"

void posture_print(const json_t *posture, struct view *v);
