/* ztctl explain: may it, and why (not); and, with one word, everything that may. */
#include <string.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/explain.h"

enum { PAGES_MAX = 10000 }; /* of an access list: then the controller does not know its end */

static void print_failed(struct ctl *c, const json_t *failed)
{
	const char *is = ctl_member(c, failed, "is"), *hint = ctl_member(c, failed, "hint"),
		   *since = ctl_member(c, failed, "since");

	fprintf(c->out, "  %s", ctl_member(c, failed, "condition"));
	if (*is)
		fprintf(c->out, " (is %s%s%s)", is, *since ? ", since " : "", since);
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
	const char *why = ctl_member(c, answer, "why"), *asks = ctl_member(c, answer, "asks");

	if (!json_is_true(json_object_get(answer, "allowed"))) {
		print_denied(c, json_object_get(answer, "nearest"));
		return;
	}
	fprintf(c->out, "%sALLOWED%s by rule %s%s%s\n", ctl_colour(c, "ALLOWED"), ctl_plain(c),
		ctl_member(c, answer, "rule"), *why ? ": " : "", why);
	if (*asks)
		fprintf(c->out, "the device itself looks at: %s\n", asks);
}

static int explain_one(struct ctl *c, const struct ctl_args *a)
{
	struct ctl_request q = {.method = "GET"};
	struct ctl_answer answer;
	int rc = ctl_need_service(c, a->words[2]);

	if (rc != ZT_EXIT_OK)
		return rc;
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

/* --- access lists --- */

static const struct ctl_column row_columns[] = {
	{"FROM", "from", CTL_TEXT},    {"OWNER", "owner", CTL_TEXT},  {"TO", "to", CTL_TEXT},
	{"MAY", "services", CTL_LIST}, {"BY RULE", "rule", CTL_TEXT}, {"UNTIL", "until", CTL_TEXT},
};
static const struct ctl_column rule_columns[] = {
	{"RULE", "rule", CTL_TEXT}, {"ACTION", "action", CTL_TEXT}, {"WHO", "who", CTL_TEXT},
	{"WHEN", "when", CTL_TEXT}, {"WHERE", "where", CTL_TEXT},   {"HOW", "how", CTL_TEXT},
};

/* One page into all, which has the rows and rules so far. *next: where to go on; NULL: the end. */
static int ask_page(struct ctl *c, const char *key, const char *value, const char **next,
		    json_t *all)
{
	struct ctl_request q = {.method = "GET"};
	struct ctl_answer a;
	json_t *more;
	int rc;

	q.path = *next ? ctl_path(c, "/v1/admin/access?%=%&after=%", key, value, *next)
		       : ctl_path(c, "/v1/admin/access?%=%", key, value);
	rc = ctl_ask(c, &q, &a);
	*next = NULL;
	if (rc == ZT_EXIT_OK) {
		json_array_extend(json_object_get(all, "rows"), json_object_get(a.json, "rows"));
		json_array_extend(json_object_get(all, "rules"), json_object_get(a.json, "rules"));
		more = json_object_get(a.json, "next");
		if (json_is_string(more))
			*next = ctl_safe(c, json_string_value(more));
	}
	ctl_answer_done(&a);
	return rc;
}

static void print_access(struct ctl *c, json_t *all, bool to)
{
	json_t *rows = json_object_get(all, "rows"), *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		json_object_set(row, "owner",
				json_object_get(json_object_get(row, "from"), "owner"));
	}
	(void)ctl_print_table(c, row_columns, sizeof(row_columns) / sizeof(row_columns[0]), rows);
	if (!to)
		return;
	fprintf(c->out, "\nRules that let in, or keep out:\n");
	(void)ctl_print_table(c, rule_columns, sizeof(rule_columns) / sizeof(rule_columns[0]),
			      json_object_get(all, "rules"));
}

static int list_access(struct ctl *c, const char *key, const char *value)
{
	json_t *all = json_pack("{s:[],s:[]}", "rows", "rules");
	const char *next = NULL;
	int rc, pages = 0;

	do
		rc = ask_page(c, key, value, &next, all);
	while (rc == ZT_EXIT_OK && next && ++pages < PAGES_MAX);
	if (rc == ZT_EXIT_OK && c->json)
		ctl_print_json(c, all);
	else if (rc == ZT_EXIT_OK)
		print_access(c, all, strcmp(key, "to") == 0);
	json_decref(all);
	return rc;
}

static int explain(struct ctl *c, const struct ctl_args *a)
{
	const char *to = ctl_args_value(a, "to");

	if (to && a->n_words == 0)
		return list_access(c, "to", to);
	if (!to && a->n_words == 1)
		return list_access(c, "from", a->words[0]);
	if (!to && a->n_words == 3)
		return explain_one(c, a);
	return ctl_failf(c, ZT_EXIT_USAGE,
			 "ztctl explain FROM TO PROTO/PORT, ztctl explain FROM, or "
			 "ztctl explain --to RESOURCE",
			 "explain takes all three words, FROM alone, or --to alone");
}

static const struct ctl_option explain_options[] = {
	{"to", "WHAT", "who can reach this device or resource now, and by which rules", false},
	{NULL, NULL, NULL, false},
};

const struct ctl_command ctl_explain_commands[] = {
	{"explain", NULL, "FROM [TO PROTO/PORT]",
	 "may FROM (device, user) reach TO (device, address, resource); 4 = denied. FROM alone: "
	 "all it can reach now",
	 explain, explain_options, 0, 3, false},
	{NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, false},
};
