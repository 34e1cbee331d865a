/* ztctl status: the controller at a glance. */
#include <string.h>

#include "controller/ctl/ctl.h"
#include "zt/num.h"

static const struct ctl_column fields[] = {
	{"network", "name", CTL_TEXT},
	{"controller", "url", CTL_TEXT},
	{"version", "version", CTL_TEXT},
};

static const char *duration(json_t *s, char *out, size_t size)
{
	json_int_t n = json_integer_value(s);

	num_print_duration(n > 0 ? (uint64_t)n : 0, out, size);
	return out;
}

/* What of the policy wants somebody's eye; nothing where there is nothing. */
static void print_policy_more(struct ctl *c, const json_t *policy)
{
	const json_t *canary = json_object_get(policy, "canary");
	const char *until = ctl_member(c, policy, "confirm_until");

	if (*until)
		fprintf(c->out,
			"unconfirmed goes back at %s, unless: ztctl policy confirm --version %s\n",
			until, ctl_member(c, policy, "version"));
	if (json_is_object(canary))
		fprintf(c->out, "canary      version %s by %s, %s%% (%s devices)\n",
			ctl_member(c, canary, "version"), ctl_member(c, canary, "author"),
			ctl_member(c, canary, "percent"), ctl_member(c, canary, "devices"));
	if (json_integer_value(json_object_get(policy, "past_review")) ||
	    json_integer_value(json_object_get(policy, "over")))
		fprintf(c->out, "rules due   %s past their review, %s over\n",
			ctl_member(c, policy, "past_review"), ctl_member(c, policy, "over"));
}

static void print_status(struct ctl *c, const json_t *s)
{
	const json_t *policy = json_object_get(s, "policy"),
		     *devices = json_object_get(s, "devices");
	char text[32];

	ctl_print_fields(c, fields, sizeof(fields) / sizeof(fields[0]), s);
	fprintf(c->out, "up          %s\n",
		duration(json_object_get(s, "uptime_s"), text, sizeof(text)));
	fprintf(c->out, "policy      version %s by %s, %s\n", ctl_member(c, policy, "version"),
		ctl_member(c, policy, "author"), ctl_member(c, policy, "at"));
	print_policy_more(c, policy);
	fprintf(c->out, "devices     %s (%s active, %s pending, %s online)\n",
		ctl_member(c, devices, "total"), ctl_member(c, devices, "active"),
		ctl_member(c, devices, "pending"), ctl_member(c, devices, "online"));
	if (json_integer_value(json_object_get(devices, "left_out")))
		fprintf(c->out, "no access   %s devices, for want of memory in the controller\n",
			ctl_member(c, devices, "left_out"));
	fprintf(c->out, "streams     %s\n", ctl_member(c, s, "streams"));
	fprintf(c->out, "audit log   %s records\n",
		ctl_member(c, json_object_get(s, "store"), "records"));
	fprintf(c->out, "lease       %s\n",
		duration(json_object_get(s, "lease_s"), text, sizeof(text)));
	fprintf(c->out, "memory      %s KiB\n", ctl_member(c, s, "memory_kib"));
}

static int status(struct ctl *c, const struct ctl_args *a)
{
	struct ctl_request q = {.method = "GET", .path = "/v1/admin/status"};

	(void)a;
	return ctl_change(c, &q, print_status);
}

const struct ctl_command ctl_status_commands[] = {
	{"status", NULL, "", "the controller at a glance", status, NULL, 0, 0, false},
	{NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, false},
};
