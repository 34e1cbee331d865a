/* What every unit test needs: cmocka, and a check that names the row it fails in. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* In a table test: fails with the row's sentence and the condition. */
#define row_check(says, condition)                                                                 \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("%s: not true: %s", (says), #condition);                          \
	} while (0)
