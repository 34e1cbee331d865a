/* The answer to "posture" for people. */
#pragma once

#include "ztnode/cli/term.h"

void posture_print(const json_t *posture, struct term *t);
