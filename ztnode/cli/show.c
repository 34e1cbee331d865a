/* Ask, then print. */
#include "ztnode/cli/show.h"

#include "ztnode/cli/args.h"
#include "ztnode/cli/ask.h"

int show_result(const json_t *result, bool json, show_fn print)
{
	struct term t;

	if (json)
		return term_json(result);
	term_open(&t);
	print(result, &t);
	return term_close(&t);
}

int show_answer(const struct node_config *c, int argc, char **argv, const char *verb, show_fn print)
{
	bool json = false;
	json_t *result;
	int status = args_none(argc, argv, &json);

	if (!status)
		status = ask_daemon(c->run_dir, verb, NULL, &result);
	if (status)
		return status;
	status = show_result(result, json, print);
	json_decref(result);
	return status;
}
