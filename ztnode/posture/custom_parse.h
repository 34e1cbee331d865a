/* What a posture script prints: one name=value a line. Pure. */
#pragma once

#include <stddef.h>

#include "zt/err.h"

enum {
	CUSTOM_OUTPUT_MAX = 64 << 10, /* bytes that a script may print */
	CUSTOM_FACTS_MAX = 64,	      /* facts of one script */
};

struct custom_fact {
	char name[ZT_NAME_MAX + 1]; /* the NAME of custom.NAME */
	char value[ZT_FACT_VALUE_MAX + 1];
};

/* All or nothing: a line that is wrong makes the whole output worthless, because nobody knows what
 * else is. Empty lines are skipped. ret has room for CUSTOM_FACTS_MAX. -ZT_EFORM, -ZT_ELIMIT; d
 * says where (may be NULL). */
int custom_parse(const char *text, size_t n, struct custom_fact *ret, size_t *ret_n,
		 struct diag *d) ZT_MUST_USE;
