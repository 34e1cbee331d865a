/* ztctl policy preview: what a policy would change, for people. Lines that begin with + come, with
 * - go. */
#include <string.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/preview.h"

static json_int_t number(const json_t *j, const char *key)
{
	return json_integer_value(json_object_get(j, key));
}

/* "laptop (ada@x.org)" */
static void print_end(struct ctl *c, const json_t *end)
{
	const char *owner = ctl_member(c, end, "owner");

	fprintf(c->out, "%s", json_is_object(end) ? ctl_member(c, end, "name") : "?");
	if (*owner)
		fprintf(c->out, " (%s)", owner);
}

static void print_ports(struct ctl *c, const json_t *pair, char sign, const char *key)
{
	if (!json_array_size(json_object_get(pair, key)))
		return;
	fprintf(c->out, "%c ", sign);
	print_end(c, json_object_get(pair, "from"));
	fprintf(c->out, " -> ");
	print_end(c, json_object_get(pair, "to"));
	fprintf(c->out, "  %s\n", ctl_member(c, pair, key));
}

static void print_pairs(struct ctl *c, const json_t *pairs, const json_t *devices)
{
	const json_t *list = json_object_get(pairs, "list"), *pair;
	json_int_t total = number(pairs, "total"), cut = number(pairs, "cut");
	json_int_t touched = number(devices, "total");
	size_t i;

	if (!total) {
		fprintf(c->out, "No access changes at this moment.\n");
		return;
	}
	json_array_foreach((json_t *)list, i, pair)
	{
		print_ports(c, pair, '-', "lost");
		print_ports(c, pair, '+', "gained");
	}
	if (total > (json_int_t)json_array_size(list))
		fprintf(c->out, "and %lld more\n",
			(long long)(total - (json_int_t)json_array_size(list)));
	fprintf(c->out,
		"From device to device: access is gained in %lld pairs and lost in %lld, of which "
		"%lld are connected now; %lld device%s touched.\n",
		(long long)number(pairs, "gaining"), (long long)number(pairs, "losing"),
		(long long)cut, (long long)touched, touched == 1 ? " is" : "s are");
}

static void print_items(struct ctl *c, const json_t *field, char sign, const char *key,
			const char *count)
{
	const json_t *list = json_object_get(field, key);
	json_int_t more = number(field, count) - (json_int_t)json_array_size(list);
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item)
	{
		fprintf(c->out, "    %c %-8s %s\n", sign, ctl_member(c, field, "field"),
			ctl_safe(c, json_is_string(item) ? json_string_value(item) : "?"));
	}
	if (more > 0)
		fprintf(c->out, "    %c %-8s and %lld more\n", sign, ctl_member(c, field, "field"),
			(long long)more);
}

void ctl_print_meaning_change(struct ctl *c, const json_t *change)
{
	const json_t *field;
	size_t i;

	fprintf(c->out, "%s %s %s\n", ctl_member(c, change, "kind"), ctl_member(c, change, "name"),
		ctl_member(c, change, "change"));
	json_array_foreach(json_object_get(change, "fields"), i, field)
	{
		if (json_is_string(field)) /* of a record that an older version wrote */
			fprintf(c->out, "      %s\n", ctl_safe(c, json_string_value(field)));
		print_items(c, field, '-', "removed", "n_removed");
		print_items(c, field, '+', "added", "n_added");
	}
}

static void print_meaning(struct ctl *c, const json_t *meaning)
{
	const json_t *list = json_object_get(meaning, "list"), *change;
	json_int_t total = number(meaning, "total");
	size_t i;

	if (!total) {
		fprintf(c->out, "The rules mean what they meant.\n");
		return;
	}
	json_array_foreach((json_t *)list, i, change)
	{
		ctl_print_meaning_change(c, change);
	}
	if (total > (json_int_t)json_array_size(list))
		fprintf(c->out, "and %lld more\n",
			(long long)(total - (json_int_t)json_array_size(list)));
}

void ctl_print_preview(struct ctl *c, const json_t *answer)
{
	const char *cut = ctl_member(c, answer, "cuts_own_way");

	if (json_is_true(json_object_get(answer, "nothing"))) {
		fprintf(c->out, "nothing changes\n");
		return;
	}
	print_pairs(c, json_object_get(answer, "pairs"), json_object_get(answer, "devices"));
	print_meaning(c, json_object_get(answer, "meaning"));
	if (*cut)
		fprintf(c->err,
			"warning: it would cut your own way to the controller: %s\n"
			"hint: add a rule that keeps it; policy put refuses it without --force\n",
			cut);
}
