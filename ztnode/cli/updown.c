/* ztnode up and down. Down must work without the daemon: whoever wants the network gone gets it
 * gone. */
#include <stdio.h>

#include "zt/log.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/ask.h"
#include "ztnode/kern/enforce.h"
#include "ztnode/kern/state.h"

int cmd_up(const struct node_config *c, int argc, char **argv)
{
	json_t *result;
	struct diag d = {0};
	int status = args_none(argc, argv, NULL), err;

	/* Without an enrolment there is no mark, and no daemon, which is what is said then. */
	err = status ? 0 : state_mark(c->state_dir, STATE_DOWN, false, &d);
	if (err && err != -ZT_EABSENT) {
		log_diag(&d);
		return ZT_EXIT_FAILED;
	}
	if (!status)
		status = ask_daemon(c->run_dir, "up", NULL, &result);
	if (status)
		return status;
	json_decref(result);
	printf("%s is up: the policy in force is enforced\n", c->interface);
	return ZT_EXIT_OK;
}

static int clean_up(const struct node_config *c, struct diag *d)
{
	struct node_state s = {.dir = -1};
	int err = state_open(c->state_dir, false, &s, d);

	if (!err)
		err = enforce_clean(c->interface, &s, d);
	state_close(&s);
	return err;
}

static int down_without_daemon(const struct node_config *c)
{
	struct diag d = {0};

	if (clean_up(c, &d) == 0)
		return ZT_EXIT_OK;
	log_diag(&d);
	return ZT_EXIT_FAILED;
}

int cmd_down(const struct node_config *c, int argc, char **argv)
{
	json_t *result = NULL;
	struct diag d = {0};
	int status = args_none(argc, argv, NULL);

	if (status)
		return status;
	/* The mark first: the daemon, or one that starts meanwhile, must find it. */
	if (state_mark(c->state_dir, STATE_DOWN, true, &d)) {
		log_diag(&d);
		return ZT_EXIT_FAILED;
	}
	status = ask_call(c->run_dir, "down", NULL, ASK_LIMIT_MS, &result, &d);
	json_decref(result);
	if (status == ZT_EXIT_UNREACHABLE)
		status = down_without_daemon(c);
	else if (status)
		log_diag(&d);
	if (status == ZT_EXIT_OK)
		printf("%s is down: nothing of it is left in the kernel; the enrolment stays\n",
		       c->interface);
	return status;
}
