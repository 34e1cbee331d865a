/* ztnode plan: what the daemon would change in the kernel now. */
#include "ztnode/cli/plan.h"

#include "ztnode/cli/cli.h"
#include "ztnode/cli/show.h"

void plan_print(const json_t *plan, struct term *t)
{
	const json_t *ops = json_object_get(plan, "ops"), *op;
	size_t i;

	if (json_array_size(ops) == 0)
		buf_put_text(&t->out, "nothing to change\n");
	json_array_foreach(ops, i, op) buf_printf(&t->out, "%s\n", term_value(t, op));
}

int cmd_plan(const struct node_config *c, int argc, char **argv)
{
	return show_answer(c, argc, argv, "plan", plan_print);
}
