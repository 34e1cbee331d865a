#include "controller/json/meaning_json.h"

#include <string.h>

static json_t *items_json(const struct meaning_list *l, size_t max, size_t *budget)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n && i < MEANING_ITEMS_SHOWN && i < max; i++) {
		size_t n = strlen(l->items[i]);

		if (n > *budget)
			break;
		*budget -= n;
		json_array_append_new(list, json_string(l->items[i]));
	}
	return list;
}

static json_t *change_json(const struct meaning_change *c, size_t items_max, size_t *budget)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_fields; i++) {
		const struct meaning_field *f = &c->fields[i];
		json_t *removed = items_json(&f->removed, items_max, budget);
		json_t *added = items_json(&f->added, items_max, budget);

		json_array_append_new(list, json_pack("{s:s,s:o,s:I,s:o,s:I}", "field", f->name,
						      "removed", removed, "n_removed",
						      (json_int_t)f->removed.n, "added", added,
						      "n_added", (json_int_t)f->added.n));
	}
	return json_pack("{s:s,s:s,s:s,s:o}", "kind", meaning_kind_name(c->kind), "change",
			 meaning_how_name(c->how), "name", c->name, "fields", list);
}

json_t *meaning_json(const char *key, size_t number, const struct meaning_diff *d,
		     const struct meaning_limits *most)
{
	size_t budget = most->bytes;
	json_t *list = json_array();

	for (size_t i = 0; i < d->n_shown && i < most->changes; i++)
		json_array_append_new(list, change_json(&d->changes[i], most->items, &budget));
	return json_pack("{s:I,s:I,s:I,s:I,s:o}", key, (json_int_t)number, "added",
			 (json_int_t)d->n_how[MEANING_ADDED], "removed",
			 (json_int_t)d->n_how[MEANING_REMOVED], "changed",
			 (json_int_t)d->n_how[MEANING_CHANGED], "list", list);
}
