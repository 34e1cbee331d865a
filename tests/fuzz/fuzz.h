/* What a fuzz target gives: clang's libFuzzer calls it, and tests/fuzz/replay/main.c in the plain
 * test run.
 *
 *   clang -std=gnu17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude -I. \
 *         tests/fuzz/NAME_fuzz.c FILES LIBRARIES -o /tmp/NAME_fuzz
 *
 * with FILES and LIBRARIES
 *
 *   api      controller/{api,model,policy} common/{base,proto}: -lsodium -ljansson
 *   control  ztnode (no cli/main.c) and common: LIBS_NODE and LIBS_COMMON of the Makefile
 *   others   common/{base,proto} and the folder that the target includes from: -lsodium
 *
 *   /tmp/NAME_fuzz -max_total_time=60 /tmp/new tests/fuzz/corpus/NAME */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What must hold whatever the input was. */
#define fuzz_check(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)
