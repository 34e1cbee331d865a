/* The difference of two policies as a record keeps it: the beginning of each list, and no more text
 * than a record should hold. */
#include "controller/changes.h"

#include <jansson.h>

#include "controller/api/meaning_json.h"

enum { MEMORY_MAX = 1 << 30, LISTED_MAX = 100, ITEMS_MAX = 10, TEXT_MAX = 64 << 10 };

static json_t *diff_json(const struct meaning_diff *d, uint32_t version)
{
	json_t *list = json_array();
	size_t budget = TEXT_MAX;

	for (size_t i = 0; i < d->n_shown && i < LISTED_MAX; i++)
		json_array_append_new(list,
				      meaning_change_json(&d->changes[i], ITEMS_MAX, &budget));
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
