/* The difference of two policies as a record keeps it: names and fields, not what stands in them.
 */
#include "controller/changes.h"

#include <jansson.h>

#include "controller/policy/meaning.h"

enum { MEMORY_MAX = 1 << 30, LISTED_MAX = 100 };

static json_t *change_json(const struct meaning_change *c)
{
	json_t *fields = json_array();

	for (size_t i = 0; i < c->n_fields; i++)
		json_array_append_new(fields, json_string(c->fields[i].name));
	return json_pack("{s:s,s:s,s:s,s:o}", "kind", meaning_kind_name(c->kind), "change",
			 meaning_how_name(c->how), "name", c->name, "fields", fields);
}

static json_t *diff_json(const struct meaning_diff *d, uint32_t version)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->n_shown && i < LISTED_MAX; i++)
		json_array_append_new(list, change_json(&d->changes[i]));
	return json_pack("{s:I,s:I,s:I,s:I,s:o}", "against", (json_int_t)version, "added",
			 (json_int_t)d->n_how[MEANING_ADDED], "removed",
			 (json_int_t)d->n_how[MEANING_REMOVED], "changed",
			 (json_int_t)d->n_how[MEANING_CHANGED], "list", list);
}

char *changes_text(const struct policy *before, uint32_t version, const struct policy *after,
		   int64_t now_s)
{
	struct meaning_diff d;
	struct arena a;
	char *text = NULL;
	json_t *j;

	arena_init(&a, MEMORY_MAX);
	if (meaning_compare(before, after, now_s, &a, &d) == 0) {
		j = diff_json(&d, version);
		text = j ? json_dumps(j, JSON_COMPACT) : NULL;
		json_decref(j);
	}
	arena_done(&a);
	return text;
}
