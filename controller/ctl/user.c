/* ztctl user: people and their groups. */
#include <string.h>

#include "controller/ctl/ctl.h"
#include "zt/txt.h"

static const struct ctl_option group_options[] = {
	{"none", NULL, "take the user out of all groups", false},
	{NULL, NULL, NULL, false},
};

static const struct ctl_column columns[] = {
	{"EMAIL", "email", CTL_TEXT},
	{"GROUPS", "groups", CTL_LIST},
	{"DISABLED", "disabled", CTL_TEXT},
	{"DEVICES", "devices", CTL_NUMBER},
};

static int list(struct ctl *c, const struct ctl_args *a)
{
	(void)a;
	return ctl_show_table(c, "/v1/admin/users", columns, sizeof(columns) / sizeof(columns[0]));
}

static void print_user(struct ctl *c, const json_t *user)
{
	const char *groups = ctl_member(c, user, "groups");
	bool disabled = json_is_true(json_object_get(user, "disabled"));

	fprintf(c->out, "%s: groups %s%s\n", ctl_member(c, user, "email"),
		*groups ? groups : "none", disabled ? ", disabled" : "");
}

static int put(struct ctl *c, const char *email, json_t *body)
{
	struct ctl_request q = {.method = "PUT", .json = body};

	q.path = ctl_path(c, "/v1/admin/users/%", ctl_bare(email, "user:"));
	return ctl_change(c, &q, print_user);
}

static int add(struct ctl *c, const struct ctl_args *a)
{
	return put(c, a->words[0], json_object());
}

static int disable(struct ctl *c, const struct ctl_args *a)
{
	return put(c, a->words[0], json_pack("{s:b}", "disabled", 1));
}

static int enable(struct ctl *c, const struct ctl_args *a)
{
	return put(c, a->words[0], json_pack("{s:b}", "disabled", 0));
}

static int groups(struct ctl *c, const struct ctl_args *a)
{
	json_t *names;

	if (ctl_args_has(a, "none") == (a->n_words > 1))
		return ctl_failf(c, ZT_EXIT_USAGE,
				 "name all groups that the user shall be in, or --none",
				 "which groups?");
	names = json_array();
	for (size_t i = 1; i < a->n_words; i++)
		json_array_append_new(names, json_string(ctl_bare(a->words[i], "group:")));
	return put(c, a->words[0], json_pack("{s:o}", "groups", names));
}

const struct ctl_command ctl_user_commands[] = {
	{"user", "list", "", "all users", list, NULL, 0, 0, false},
	{"user", "add", "EMAIL", "make a user known", add, NULL, 1, 1, false},
	{"user", "groups", "EMAIL GROUP...", "set the groups of a user", groups, group_options, 1,
	 CTL_WORDS_MAX, false},
	{"user", "disable", "EMAIL", "take everything from a user's devices", disable, NULL, 1, 1,
	 false},
	{"user", "enable", "EMAIL", "give it back", enable, NULL, 1, 1, false},
	{NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, false},
};
