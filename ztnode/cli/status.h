/* The answer to "status" for people. */
#pragma once

#include "ztnode/cli/term.h"

void status_print(const json_t *status, struct term *t);
