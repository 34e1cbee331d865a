/* Sets of tag names. */
#include "controller/model/tags.h"

#include <string.h>

#include "zt/txt.h"

/* Index of name, or of the first one after it. */
static size_t tags_place(const struct tags *t, const char *name)
{
	size_t i = 0;

	while (i < t->n && strcmp(t->name[i], name) < 0)
		i++;
	return i;
}

bool tags_has(const struct tags *t, const char *name)
{
	size_t i = tags_place(t, name);

	return i < t->n && txt_equal(t->name[i], name);
}

int tags_add(struct tags *t, const char *name)
{
	size_t i;

	if (!txt_is_name(name))
		return -ZT_EFORM;
	if (tags_has(t, name))
		return 0;
	if (t->n == ZT_TAGS_MAX)
		return -ZT_ELIMIT;
	i = tags_place(t, name);
	memmove(t->name[i + 1], t->name[i], (t->n - i) * sizeof(t->name[0]));
	memset(t->name[i], 0, sizeof(t->name[i]));
	t->n++;
	return txt_copy(t->name[i], sizeof(t->name[i]), name);
}

bool tags_remove(struct tags *t, const char *name)
{
	size_t i = tags_place(t, name);

	if (!tags_has(t, name))
		return false;
	t->n--;
	memmove(t->name[i], t->name[i + 1], (t->n - i) * sizeof(t->name[0]));
	memset(t->name[t->n], 0, sizeof(t->name[0]));
	return true;
}

bool tags_equal(const struct tags *a, const struct tags *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (!txt_equal(a->name[i], b->name[i]))
			return false;
	}
	return true;
}

bool tags_are_valid(const struct tags *t)
{
	if (t->n > ZT_TAGS_MAX)
		return false;
	for (size_t i = 0; i < t->n; i++) {
		if (!memchr(t->name[i], 0, sizeof(t->name[i])) || !txt_is_name(t->name[i]))
			return false;
		if (i > 0 && strcmp(t->name[i - 1], t->name[i]) >= 0)
			return false;
	}
	return true;
}
