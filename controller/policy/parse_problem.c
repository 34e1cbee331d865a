/* How the parser says what is wrong: problems with their place, and hints with what was probably
 * meant. */
#include "controller/policy/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "zt/txt.h"

enum { NEAREST_CANDIDATES_MAX = 20000 };

static void diag_place(const struct parse *c, struct diag *d, struct place at)
{
	const char *file = c->file;
	size_t n = strlen(file);

	*d = (struct diag){.line = at.line, .column = at.column};
	if (n >= sizeof(d->file)) /* its end says more than its beginning */
		file += n - sizeof(d->file) + 1;
	txt_safe(file, d->file, sizeof(d->file));
}

static struct diag *problem_new(struct parse *c, struct place at)
{
	struct diag_list *l = c->problems;
	struct diag *d;

	if (!c->err)
		c->err = -ZT_EFORM;
	if (l->n >= l->max) {
		/* more of them help nobody, and a big file of nothing else ends here */
		c->stop = ++l->dropped >= ZT_MISTAKES_MORE_MAX;
		return NULL;
	}
	d = &l->items[l->n++];
	diag_place(c, d, at);
	return d;
}

struct place place_at(unsigned line, unsigned column)
{
	return (struct place){.line = line, .column = column};
}

struct diag *warn_at(struct parse *c, struct place at, const char *fmt, ...)
{
	struct diag *d;
	va_list ap;

	if (!c->warnings)
		c->warnings = arena_array(c->arena, POLICY_WARNINGS_MAX, sizeof(*c->warnings));
	if (!c->warnings || c->n_warnings == POLICY_WARNINGS_MAX)
		return NULL;
	d = &c->warnings[c->n_warnings++];
	diag_place(c, d, at);
	va_start(ap, fmt);
	vsnprintf(d->message, sizeof(d->message), fmt, ap);
	va_end(ap);
	return d;
}

struct diag *problem_at(struct parse *c, struct place at, const char *fmt, ...)
{
	struct diag *d = problem_new(c, at);
	va_list ap;

	if (!d)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(d->message, sizeof(d->message), fmt, ap);
	va_end(ap);
	return d;
}

/* The text as a message shows it: its beginning when it is long. */
static void show(const struct span *s, char out[static POLICY_TEXT_SHOWN + 4])
{
	char cut[POLICY_TEXT_SHOWN + 4];
	size_t n = s->n;

	if (n > POLICY_TEXT_SHOWN) {
		n = POLICY_TEXT_SHOWN;
		while (n > 0 && ((unsigned char)s->p[n] & 0xc0) == 0x80)
			n--;
	}
	snprintf(cut, sizeof(cut), "%.*s%s", (int)n, s->p, n < s->n ? "..." : "");
	txt_safe(cut, out, POLICY_TEXT_SHOWN + 4);
}

struct diag *problem_with(struct parse *c, const struct span *s, const char *fmt, ...)
{
	struct diag *d = problem_new(c, s->at);
	char text[POLICY_TEXT_SHOWN + 4];
	va_list ap;
	int n;

	if (!d)
		return NULL;
	c->refused[d - c->problems->items] = *s;
	show(s, text);
	n = snprintf(d->message, sizeof(d->message), "\"%s\" ", text);
	va_start(ap, fmt);
	vsnprintf(d->message + n, sizeof(d->message) - (size_t)n, fmt, ap);
	va_end(ap);
	return d;
}

void parse_fail(struct parse *c, int err)
{
	c->err = err;
	c->stop = true;
}

void text_to_lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
}

const char *nearest_to(const struct span *s, const char *const *candidates, size_t n)
{
	char word[PARSE_WORD_MAX];

	if (n > NEAREST_CANDIDATES_MAX) /* looking through more takes longer than it helps */
		n = NEAREST_CANDIDATES_MAX;
	if (s->n == 0 || !span_text(s, word, sizeof(word)))
		return NULL;
	text_to_lower(word);
	return txt_nearest(word, candidates, n);
}

void hint_nearest(struct diag *d, const struct span *s, const char *prefix,
		  const char *const *candidates, size_t n, const char *otherwise)
{
	const char *near = d ? nearest_to(s, candidates, n) : NULL;

	if (near)
		diag_hint(d, "did you mean %s%s?", prefix, near);
	else
		diag_hint(d, "%s", otherwise);
}

int policy_refused(int err, const struct diag_list *l, struct diag *ret)
{
	size_t n = l->n + l->dropped;

	if (n == 0) /* there was no room to find any */
		return diag_set(ret, err, "the policy could not be checked: %s", zt_strerror(err));
	return diag_set(ret, err, "the policy is refused: %s%zu mistake%s",
			l->dropped < ZT_MISTAKES_MORE_MAX ? "" : "at least ", n, n == 1 ? "" : "s");
}
