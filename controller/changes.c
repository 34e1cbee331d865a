/* The difference of two policies as a record keeps it: the beginning of each list, and no more text
 * than a record should hold. */
#include "controller/changes.h"

#include <jansson.h>

#include "controller/json/meaning_json.h"

enum { MEMORY_MAX = 1 << 30 };
static const struct meaning_limits most = {.changes = 100, .items = 10, .bytes = 64 << 10};

char *changes_text(const struct policy *before, uint32_t version, const struct policy *after,
		   int64_t now_s)
{
	struct meaning_diff d;
	struct arena a;
	char *text = NULL;
	json_t *j;

	arena_init(&a, MEMORY_MAX);
	if (meaning_compare(before, after, now_s, &a, &d) == 0) {
		j = meaning_json("against", version, &d, &most);
		text = j ? json_dumps(j, JSON_COMPACT) : NULL;
		json_decref(j);
	}
	arena_done(&a);
	return text;
}
