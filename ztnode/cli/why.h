/* The answer to "why" for people. */
#pragma once

#include "ztnode/cli/term.h"

void why_print(const json_t *why, struct term *t);
