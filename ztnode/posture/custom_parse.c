/* Reading the output of a posture script. */
#include "ztnode/posture/custom_parse.h"

#include <stdbool.h>
#include <string.h>

#include "zt/txt.h"

static bool is_taken(const struct custom_fact *facts, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (txt_equal(facts[i].name, name))
			return true;
	return false;
}

static int copy_part(char *out, size_t size, const char *p, size_t n)
{
	if (n >= size || memchr(p, '\0', n))
		return -ZT_EFORM;
	memcpy(out, p, n);
	out[n] = '\0';
	return 0;
}

static int parse_line(const char *line, size_t n, struct custom_fact *ret)
{
	const char *equal = memchr(line, '=', n);
	size_t name_len = equal ? (size_t)(equal - line) : 0;

	if (!equal || copy_part(ret->name, sizeof(ret->name), line, name_len) ||
	    copy_part(ret->value, sizeof(ret->value), equal + 1, n - name_len - 1))
		return -ZT_EFORM;
	if (!txt_is_name(ret->name) || !txt_is_line(ret->value, ZT_FACT_VALUE_MAX))
		return -ZT_EFORM;
	return 0;
}

static int fail(struct diag *d, int err, unsigned line, const char *what)
{
	(void)diag_set(d, err, "line %u: %s", line, what);
	return err;
}

int custom_parse(const char *text, size_t n, struct custom_fact *ret, size_t *ret_n, struct diag *d)
{
	const char *end = text + n;
	unsigned line = 1;
	size_t count = 0;

	if (n > CUSTOM_OUTPUT_MAX)
		return fail(d, -ZT_ELIMIT, 1, "too much output");
	for (const char *p = text; p < end; line++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);
		const char *start = p;

		p = nl ? nl + 1 : end;
		if (!len)
			continue;
		if (count == CUSTOM_FACTS_MAX)
			return fail(d, -ZT_ELIMIT, line, "too many facts");
		if (parse_line(start, len, &ret[count]))
			return fail(d, -ZT_EFORM, line, "not name=value");
		if (is_taken(ret, count, ret[count].name))
			return fail(d, -ZT_EFORM, line, "a name twice");
		count++;
	}
	*ret_n = count;
	return 0;
}
