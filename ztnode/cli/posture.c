/* ztnode posture: what this device knows about itself, and which profiles that satisfies. */
#include "ztnode/cli/posture.h"

#include "ztnode/cli/cli.h"
#include "ztnode/cli/show.h"
#include "ztnode/cli/table.h"

enum { FACT_COLUMNS = 3 };

/* An unknown fact's value says why it is unknown. */
static const char *fact_value(struct term *t, const json_t *fact)
{
	const char *value = term_field(t, fact, "value"), *text;

	if (json_is_true(json_object_get(fact, "known")))
		return value;
	text = arena_printf(&t->arena, "unknown (%s)", value);
	return term_paint(t, TERM_YELLOW, text ? text : "unknown");
}

static void print_facts(const json_t *facts, struct term *t)
{
	static const char *const heads[FACT_COLUMNS] = {"FACT", ">AGE", "VALUE"};
	size_t n = json_array_size(facts);
	const char **cells = arena_array(&t->arena, n * FACT_COLUMNS, sizeof(*cells));
	const json_t *fact;
	size_t i;

	if (!cells) {
		t->out.err = -ZT_ELIMIT;
		return;
	}
	json_array_foreach(facts, i, fact)
	{
		const json_t *age = json_object_get(fact, "age_s");
		const char **row = cells + i * FACT_COLUMNS;

		row[0] = term_field(t, fact, "name");
		row[1] = json_is_integer(age) ? term_span(t, json_integer_value(age)) : "-";
		row[2] = fact_value(t, fact);
	}
	table_print(heads, FACT_COLUMNS, cells, n, &t->out);
}

static void print_profile(const json_t *profile, struct term *t)
{
	bool ok = json_is_true(json_object_get(profile, "ok"));
	const json_t *condition;
	size_t i;

	buf_printf(&t->out, "%s %s\n",
		   ok ? term_paint(t, TERM_GREEN, "✓") : term_paint(t, TERM_RED, "✗"),
		   term_field(t, profile, "profile"));
	json_array_foreach(json_object_get(profile, "failed"), i, condition)
		term_condition(t, condition, "    ");
}

void posture_print(const json_t *posture, struct term *t)
{
	const json_t *profiles = json_object_get(posture, "profiles"), *profile;
	size_t i;

	print_facts(json_object_get(posture, "facts"), t);
	buf_printf(&t->out, "\n%s (%zu)\n", term_paint(t, TERM_BOLD, "profiles that ask for them"),
		   json_array_size(profiles));
	json_array_foreach(profiles, i, profile) print_profile(profile, t);
}

int cmd_posture(const struct node_config *c, int argc, char **argv)
{
	return show_answer(c, argc, argv, "posture", posture_print);
}
