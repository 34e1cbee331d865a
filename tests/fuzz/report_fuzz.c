/* A report that is taken is within the limits, and encodes to the same bytes. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "zt/report.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static void check_same(const struct report *r, const uint8_t *p, size_t n)
{
	struct buf b;

	buf_init_grow(&b, ZT_REPORT_MAX);
	fuzz_check(report_encode(r, &b) == 0);
	fuzz_check(b.len == n && memcmp(b.data, p, n) == 0);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct report r;
	struct arena a;

	arena_init(&a, 1 << 20);
	if (report_decode(p, n, &a, &r) == 0) {
		check_same(&r, p, n);
		for (size_t i = 0; i < r.n_facts; i++)
			fact_kind_find(r.facts[i].name);
	}
	arena_done(&a);
	return 0;
}
