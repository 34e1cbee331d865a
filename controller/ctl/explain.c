/* ztctl explain: may it, and why (not). */
#include <string.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/explain.h"

static void print_failed(struct ctl *c, const json_t *failed)
{
	const char *is = ctl_member(c, failed, "is"), *hint = ctl_member(c, failed, "hint");

	fprintf(c->out, "  %s", ctl_member(c, failed, "condition"));
	if (*is)
		fprintf(c->out, " (is %s)", is);
	fputc('\n', c->out);
	if (*hint)
		fprintf(c->out, "    hint: %s\n", hint);
}

static void print_denied(struct ctl *c, const json_t *nearest)
{
	const char *rule = ctl_member(c, nearest, "rule");
	const json_t *failed;
	size_t i;

	if (!json_is_object(nearest)) {
		fprintf(c->out, "%sDENIED%s: no rule comes near it\n", ctl_colour(c, "DENIED"),
			ctl_plain(c));
		return;
	}
	/* Without a rule the conditions stand before every rule: a device that is revoked. */
	fprintf(c->out, "%sDENIED%s%s%s%s\n", ctl_colour(c, "DENIED"), ctl_plain(c),
		*rule ? ": the nearest rule is " : ":", rule, *rule ? ", which fails by" : "");
	json_array_foreach(json_object_get(nearest, "failed"), i, failed)
	{
		print_failed(c, failed);
	}
}

void ctl_print_explanation(struct ctl *c, const json_t *answer)
{
	const char *why = ctl_member(c, answer, "why");

	if (!json_is_true(json_object_get(answer, "allowed"))) {
		print_denied(c, json_object_get(answer, "nearest"));
		return;
	}
	fprintf(c->out, "%sALLOWED%s by rule %s%s%s\n", ctl_colour(c, "ALLOWED"), ctl_plain(c),
		ctl_member(c, answer, "rule"), *why ? ": " : "", why);
}

static int explain(struct ctl *c, const struct ctl_args *a)
{
	struct ctl_request q = {.method = "GET"};
	struct ctl_answer answer;
	int rc;

	q.path = ctl_path(c, "/v1/admin/explain?from=%&to=%&service=%", a->words[0], a->words[1],
			  a->words[2]);
	rc = ctl_ask(c, &q, &answer);
	if (rc == ZT_EXIT_OK && c->json)
		ctl_print_json(c, answer.json);
	else if (rc == ZT_EXIT_OK)
		ctl_print_explanation(c, answer.json);
	/* Anything but a clear yes is a no. */
	if (rc == ZT_EXIT_OK && !json_is_true(json_object_get(answer.json, "allowed")))
		rc = ZT_EXIT_DENIED;
	ctl_answer_done(&answer);
	return rc;
}

const struct ctl_command ctl_explain_commands[] = {
	{"explain", NULL, "FROM TO PROTO/PORT",
	 "may FROM (device, user) reach TO (device, address, resource); 4 = denied", explain, NULL,
	 3, 3, false},
	{NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, false},
};
