/* Command lines: long options in any place, words that may begin with + or - where a command says
 * so. Pure. */
#include <errno.h>
#include <string.h>

#include "controller/ctl/ctl.h"
#include "zt/txt.h"

static const struct ctl_option *find_in(const struct ctl_option *table, const char *name, size_t n)
{
	for (; table && table->name; table++)
		if (strlen(table->name) == n && memcmp(table->name, name, n) == 0)
			return table;
	return NULL;
}

static size_t collect(const struct ctl_option *table, const char *names[], size_t n, size_t max)
{
	for (; table && table->name && n < max; table++)
		names[n++] = table->name;
	return n;
}

static int unknown(const char *word, const struct ctl_option *own, const struct ctl_option *global,
		   struct diag *d)
{
	const char *names[CTL_GIVEN_MAX], *near;
	size_t n = collect(own, names, 0, CTL_GIVEN_MAX);

	n = collect(global, names, n, CTL_GIVEN_MAX);
	near = txt_nearest(word + strspn(word, "-"), names, n);
	diag_set(d, -EINVAL, "unknown option '%s'", word);
	if (near)
		diag_hint(d, "did you mean --%s?", near);
	return -EINVAL;
}

static int take_option(char *const **argv, const struct ctl_option *own,
		       const struct ctl_option *global, struct ctl_args *a, struct diag *d)
{
	const char *word = **argv, *name = txt_equal(word, "-h") ? "help" : word + 2;
	size_t n = strcspn(name, "=");
	const char *value = name[n] == '=' ? name + n + 1 : NULL;
	const struct ctl_option *o = find_in(own, name, n);

	if (!o)
		o = find_in(global, name, n);
	if (!o)
		return unknown(word, own, global, d);
	if (!o->value && value)
		return diag_set(d, -EINVAL, "--%s takes no value", o->name);
	if (o->value && !value)
		value = *++*argv;
	if (o->value && !value)
		return diag_set(d, -EINVAL, "--%s needs %s", o->name, o->value);
	if (!o->repeats && ctl_args_has(a, o->name))
		return diag_set(d, -EINVAL, "--%s stands twice", o->name);
	if (a->n_given == CTL_GIVEN_MAX)
		return diag_set(d, -EINVAL, "too many options");
	a->given[a->n_given].option = o;
	a->given[a->n_given++].value = value;
	return 0;
}

static int take_word(const char *word, struct ctl_args *a, struct diag *d)
{
	if (a->n_words == CTL_WORDS_MAX)
		return diag_set(d, -EINVAL, "too many arguments");
	a->words[a->n_words++] = word;
	return 0;
}

static bool is_word(const char *s, bool signed_words)
{
	return s[0] != '-' || !s[1] || (signed_words && s[1] != '-');
}

int ctl_args_parse(char *const argv[], const struct ctl_option *own,
		   const struct ctl_option *global, bool signed_words, struct ctl_args *ret,
		   struct diag *d)
{
	struct ctl_args a = {0};
	bool only_words = false;
	int err = 0;

	for (; err == 0 && *argv; argv++) {
		if (only_words || is_word(*argv, signed_words))
			err = take_word(*argv, &a, d);
		else if (txt_equal(*argv, "--"))
			only_words = true;
		else if (txt_starts(*argv, "--") || txt_equal(*argv, "-h"))
			err = take_option(&argv, own, global, &a, d);
		else
			err = unknown(*argv, own, global, d);
	}
	if (err == 0)
		*ret = a;
	return err;
}

const char *ctl_args_next(const struct ctl_args *a, const char *name, size_t *at)
{
	while (*at < a->n_given) {
		size_t i = (*at)++;

		if (txt_equal(a->given[i].option->name, name))
			return a->given[i].value ? a->given[i].value : "";
	}
	return NULL;
}

const char *ctl_args_value(const struct ctl_args *a, const char *name)
{
	size_t at = 0;

	return ctl_args_next(a, name, &at);
}

bool ctl_args_has(const struct ctl_args *a, const char *name)
{
	return ctl_args_value(a, name) != NULL;
}
