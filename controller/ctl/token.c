/* ztctl token: what lets a device in once. */
#include <string.h>

#include "controller/ctl/ctl.h"
#include "zt/num.h"

enum { USES_MAX = 100000 };

static const struct ctl_option create_options[] = {
	{"user", "EMAIL", "the devices belong to this user", false},
	{"tag", "NAME", "the devices have this tag (may be given again)", true},
	{"uses", "N", "how many devices may enrol with it (1)", false},
	{"expires", "DURATION", "how long it is good for: 30m, 12h, 7d (1h)", false},
	{"approve", NULL, "its devices wait for an admin's approval", false},
	{"name", "TEXT", "what it is for", false},
	{NULL, NULL, NULL, false},
};

static const struct ctl_option why_options[] = {CTL_WHY, {NULL, NULL, NULL, false}};

static const struct ctl_column columns[] = {
	{"ID", "id", CTL_NUMBER},	   {"NAME", "name", CTL_TEXT},
	{"USER", "user", CTL_TEXT},	   {"TAGS", "tags", CTL_LIST},
	{"LEFT", "uses_left", CTL_NUMBER}, {"USES", "uses", CTL_NUMBER},
	{"APPROVE", "approve", CTL_TEXT},  {"STATE", "state", CTL_STATE},
	{"EXPIRES", "expires", CTL_TEXT},
};

static void print_token(struct ctl *c, const json_t *answer)
{
	fprintf(c->out, "%s\n", ctl_member(c, answer, "token"));
}

static json_t *tags_of(const struct ctl_args *a)
{
	json_t *tags = json_array();
	size_t at = 0;
	const char *tag;

	while ((tag = ctl_args_next(a, "tag", &at)))
		json_array_append_new(tags, json_string(ctl_bare(tag, "tag:")));
	return tags;
}

static int read_numbers(struct ctl *c, const struct ctl_args *a, uint64_t *uses,
			uint64_t *expires_s)
{
	const char *n = ctl_args_value(a, "uses"), *t = ctl_args_value(a, "expires");

	if (n && num_parse_u64(n, 1, USES_MAX, uses) < 0)
		return ctl_failf(c, ZT_EXIT_USAGE, "1 to 100000", "--uses %s is no number of uses",
				 n);
	if (t && (num_parse_duration(t, expires_s) < 0 || *expires_s == 0))
		return ctl_failf(c, ZT_EXIT_USAGE, "as in 30s, 10m, 12h, 14d",
				 "--expires %s is no duration", t);
	return ZT_EXIT_OK;
}

static int create(struct ctl *c, const struct ctl_args *a)
{
	struct ctl_request q = {.method = "POST", .path = "/v1/admin/tokens"};
	const char *user = ctl_args_value(a, "user"), *name = ctl_args_value(a, "name");
	uint64_t uses = 1, expires_s = ZT_TOKEN_LIFE_S;
	int rc = read_numbers(c, a, &uses, &expires_s);

	if (rc != ZT_EXIT_OK)
		return rc;
	q.json = json_pack("{s:I, s:I, s:b, s:s}", "uses", (json_int_t)uses, "expires_s",
			   (json_int_t)expires_s, "approve", ctl_args_has(a, "approve"), "name",
			   name ? name : "");
	if (user)
		json_object_set_new(q.json, "user", json_string(ctl_bare(user, "user:")));
	if (ctl_args_has(a, "tag"))
		json_object_set_new(q.json, "tags", tags_of(a));
	if (!q.json)
		return ctl_failf(c, ZT_EXIT_USAGE, "", "--name is not valid text");
	return ctl_change(c, &q, print_token);
}

static int list(struct ctl *c, const struct ctl_args *a)
{
	(void)a;
	return ctl_show_table(c, "/v1/admin/tokens", columns, sizeof(columns) / sizeof(columns[0]));
}

static void print_revoked(struct ctl *c, const json_t *answer)
{
	fprintf(c->out, "token %s revoked\n", ctl_member(c, answer, "id"));
}

static int revoke(struct ctl *c, const struct ctl_args *a)
{
	struct ctl_request q = {.method = "POST", .json = ctl_why(a)};

	q.path = ctl_path(c, "/v1/admin/tokens/%/revoke", a->words[0]);
	return ctl_change(c, &q, print_revoked);
}

const struct ctl_command ctl_token_commands[] = {
	{"token", "create", "", "make an enrolment token and print it", create, create_options, 0,
	 0, false},
	{"token", "list", "", "tokens and what is left of them", list, NULL, 0, 0, false},
	{"token", "revoke", "ID", "end a token", revoke, why_options, 1, 1, false},
	{NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, false},
};
