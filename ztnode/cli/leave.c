/* ztnode leave: through the daemon, which tells the controller; without one, everything of the
 * enrolment is removed here, and an admin is asked to revoke the device. */
#include <stdio.h>

#include <jansson.h>

#include "zt/file.h"
#include "zt/log.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/ask.h"
#include "ztnode/kern/enforce.h"

static int say_left(void)
{
	printf("left the network: keys and enrolment are gone\n");
	return ZT_EXIT_OK;
}

/* Also for a state directory that is damaged: whatever is there goes. asked: the daemon was, and
 * may have ended before its answer came through. */
static int leave_alone(const struct node_config *c, bool asked)
{
	struct node_state s = {.dir = -1};
	struct diag d = {0}, unused;
	int err = state_open(c->state_dir, false, &s, &d);

	if (err == -ZT_EABSENT) {
		state_close(&s);
		if (asked)
			return say_left();
		log_diag(&d);
		return ZT_EXIT_FAILED;
	}
	err = s.dir < 0 ? file_open_dir(c->state_dir, false, &s.dir) : 0;
	if (!err)
		err = enforce_clean(c->interface, &s, &d);
	if (!err && (err = state_forget(&s)))
		diag_set(&d, err, "cannot remove the state: %s", zt_strerror(err));
	state_close(&s);
	if (err) {
		log_diag(&d);
		return ZT_EXIT_FAILED;
	}
	diag_set(&unused, 0, "left, but the daemon did not run, so the controller does not know");
	diag_hint(&unused, "ask an admin: ztctl device revoke NAME --why \"left\"");
	log_diag(&unused);
	return ZT_EXIT_OK;
}

int cmd_leave(const struct node_config *c, int argc, char **argv)
{
	json_t *result = NULL;
	struct diag d = {0}, unused;
	int status = args_none(argc, argv, NULL);

	if (status)
		return status;
	if (state_mark(c->state_dir, STATE_LEAVING, true, &d)) /* damaged, or not enrolled */
		return leave_alone(c, false);
	status = ask_call(c->run_dir, "leave", NULL, ASK_LIMIT_MS, &result, &d);
	json_decref(result);
	if (status == ZT_EXIT_UNREACHABLE)
		return leave_alone(c, true);
	if (status && state_mark(c->state_dir, STATE_LEAVING, false, &unused))
		log_diag(&unused);
	if (!status)
		return say_left();
	log_diag(&d);
	return status;
}
