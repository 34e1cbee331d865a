/* Any bytes as the output of a posture script. What is taken are at most so many facts, each a name
 * once and a line of text, and it means the same when it is written down again. */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "zt/buf.h"
#include "zt/txt.h"
#include "ztnode/posture/custom_parse.h"

static void check_facts(const struct custom_fact *facts, size_t n)
{
	fuzz_check(n <= CUSTOM_FACTS_MAX);
	for (size_t i = 0; i < n; i++) {
		fuzz_check(txt_is_name(facts[i].name));
		fuzz_check(txt_is_line(facts[i].value, ZT_FACT_VALUE_MAX));
		for (size_t k = 0; k < i; k++)
			fuzz_check(!txt_equal(facts[i].name, facts[k].name));
	}
}

static void check_again(const struct custom_fact *facts, size_t n)
{
	static struct custom_fact again[CUSTOM_FACTS_MAX];
	size_t n_again = 0;
	struct buf b;

	buf_init_grow(&b, CUSTOM_OUTPUT_MAX);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s=%s\n", facts[i].name, facts[i].value);
	fuzz_check(!b.err && custom_parse(buf_text(&b), b.len, again, &n_again, NULL) == 0);
	fuzz_check(n_again == n);
	for (size_t i = 0; i < n; i++)
		fuzz_check(txt_equal(facts[i].name, again[i].name) &&
			   txt_equal(facts[i].value, again[i].value));
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct custom_fact facts[CUSTOM_FACTS_MAX];
	struct diag d = {0};
	size_t n_facts = SIZE_MAX;
	int err = custom_parse((const char *)p, n, facts, &n_facts, &d);

	if (err) {
		fuzz_check((err == -ZT_EFORM || err == -ZT_ELIMIT) && d.message[0]);
		fuzz_check(n_facts == SIZE_MAX);
		return 0;
	}
	check_facts(facts, n_facts);
	check_again(facts, n_facts);
	return 0;
}
