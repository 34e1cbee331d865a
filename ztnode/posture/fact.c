/* Setting a fact: the forms that values take in a report, in one place. */
#include "ztnode/posture/fact.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "zt/txt.h"

static void set(struct fact *f, enum fact_state state, const char *value)
{
	f->state = (uint8_t)state;
	(void)snprintf(f->value, sizeof(f->value), "%s", value);
}

void fact_set_bool(struct fact *f, bool v)
{
	set(f, FACT_KNOWN, v ? "true" : "false");
}

void fact_set_u64(struct fact *f, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, v);
	set(f, FACT_KNOWN, text);
}

void fact_set_text(struct fact *f, const char *s)
{
	if (!*s)
		set(f, FACT_UNKNOWN, "empty");
	else if (strlen(s) > ZT_FACT_VALUE_MAX)
		set(f, FACT_UNKNOWN, "too long");
	else if (!txt_is_line(s, ZT_FACT_VALUE_MAX))
		set(f, FACT_UNKNOWN, "not printable text");
	else
		set(f, FACT_KNOWN, s);
}

void fact_set_unknown(struct fact *f, const char *why)
{
	set(f, FACT_UNKNOWN, why);
}

void fact_set_error(struct fact *f, const char *what, int err)
{
	char text[ZT_FACT_VALUE_MAX + 1];

	if (err == -ENOENT || err == -ENOTDIR)
		(void)snprintf(text, sizeof(text), "no %.200s", what);
	else
		(void)snprintf(text, sizeof(text), "%.100s: %.100s", what,
			       err == -ELOOP ? "links without end" : zt_strerror(err));
	set(f, FACT_UNKNOWN, text);
}

void fact_set_answer(struct fact *f, const char *what, int answer)
{
	if (answer < 0)
		fact_set_error(f, what, answer);
	else
		fact_set_bool(f, answer > 0);
}
