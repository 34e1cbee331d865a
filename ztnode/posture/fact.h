/* Filling in the one fact that a collector was asked for. A fact that was not set is unknown. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zt/report.h"

void fact_set_bool(struct fact *f, bool v);
void fact_set_u64(struct fact *f, uint64_t v);
/* Text that is empty, too long, or not one printable line makes the fact unknown. */
void fact_set_text(struct fact *f, const char *s);
/* why: a few words, "no TPM directory". */
void fact_set_unknown(struct fact *f, const char *why);
/* what could not be read, and the error: "mount table: permission denied". */
void fact_set_error(struct fact *f, const char *what, int err);
/* A question answered by 1, 0 or a negative error about what. */
void fact_set_answer(struct fact *f, const char *what, int answer);
