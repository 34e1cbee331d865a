/* ztctl audit: who changed what, and is the log whole. */
#include <string.h>

#include "controller/ctl/ctl.h"
#include "zt/num.h"

static const struct ctl_option log_options[] = {
	{"since", "DURATION", "only what is younger: 30m, 12h, 7d", false},
	{NULL, NULL, NULL, false},
};

static const struct ctl_column columns[] = {
	{"SEQ", "seq", CTL_NUMBER},   {"AT", "at", CTL_TEXT},	      {"ACTOR", "actor", CTL_TEXT},
	{"KIND", "kind", CTL_TEXT},   {"OBJECT", "object", CTL_TEXT}, {"WHY", "why", CTL_TEXT},
	{"FROM", "source", CTL_TEXT},
};

static int show_log(struct ctl *c, const struct ctl_args *a)
{
	const char *since = ctl_args_value(a, "since"), *path = "/v1/admin/audit";
	uint64_t s = 0;
	char text[24];

	if (since && num_parse_duration(since, &s) < 0)
		return ctl_failf(c, ZT_EXIT_USAGE, "as in 30s, 10m, 12h, 14d",
				 "--since %s is no duration", since);
	if (since) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)s);
		path = ctl_path(c, "/v1/admin/audit?since_s=%", text);
	}
	return ctl_show_table(c, path, columns, sizeof(columns) / sizeof(columns[0]));
}

static int verify(struct ctl *c, const struct ctl_args *a)
{
	struct ctl_request q = {.method = "GET", .path = "/v1/admin/audit/verify"};
	struct ctl_answer answer;
	int rc = ctl_ask(c, &q, &answer);
	bool ok = rc == ZT_EXIT_OK && json_is_true(json_object_get(answer.json, "ok"));

	(void)a;
	if (rc == ZT_EXIT_OK && c->json)
		ctl_print_json(c, answer.json);
	else if (ok)
		fprintf(c->out, "audit log whole: %s records, head %s\n",
			ctl_member(c, answer.json, "records"), ctl_member(c, answer.json, "head"));
	if (rc == ZT_EXIT_OK && !ok)
		rc = ctl_failf(c, ZT_EXIT_FAILED, "keep the database as it is: it is evidence",
			       "the audit log is broken at record %s: %s",
			       ctl_member(c, answer.json, "first_bad"),
			       ctl_member(c, answer.json, "problem"));
	ctl_answer_done(&answer);
	return rc;
}

const struct ctl_command ctl_audit_commands[] = {
	{"audit", "log", "", "every change: who, what, why", show_log, log_options, 0, 0, false},
	{"audit", "verify", "", "prove that no record was changed or lost", verify, NULL, 0, 0,
	 false},
	{NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, false},
};
