/* ztctl device: the machines. */
#include <string.h>

#include "controller/ctl/ctl.h"
#include "zt/num.h"

static const struct ctl_option why_options[] = {CTL_WHY, {NULL, NULL, NULL, false}};

static const struct ctl_column columns[] = {
	{"ID", "id", CTL_NUMBER},
	{"NAME", "name", CTL_TEXT},
	{"OWNER", "owner", CTL_TEXT},
	{"TAGS", "tags", CTL_LIST},
	{"ADDRESSES", "addresses", CTL_LIST},
	{"STATE", "state", CTL_STATE},
	{"ONLINE", "online", CTL_YES_NO},
	{"POSTURE", "posture_ok", CTL_YES_NO},
	{"OS", "os", CTL_TEXT},
	{"LAST SEEN", "last_seen", CTL_TEXT},
};

static const struct ctl_column fields[] = {
	{"id", "id", CTL_NUMBER},
	{"name", "name", CTL_TEXT},
	{"owner", "owner", CTL_TEXT},
	{"tags", "tags", CTL_LIST},
	{"addresses", "addresses", CTL_LIST},
	{"state", "state", CTL_STATE},
	{"online", "online", CTL_STATE},
	{"last seen", "last_seen", CTL_TEXT},
	{"os", "os", CTL_TEXT},
	{"version", "version", CTL_TEXT},
	{"endpoints", "endpoints", CTL_LIST},
	{"created", "created", CTL_TEXT},
	{"certificate until", "cert_expires", CTL_TEXT},
	{"identity key", "identity_key", CTL_TEXT},
	{"WireGuard key", "wg_key", CTL_TEXT},
};

static int list(struct ctl *c, const struct ctl_args *a)
{
	(void)a;
	return ctl_show_table(c, "/v1/admin/devices", columns,
			      sizeof(columns) / sizeof(columns[0]));
}

/* --- show --- */

static void print_posture(struct ctl *c, const json_t *device)
{
	const json_t *profile, *failed;
	size_t i, k;

	json_array_foreach(json_object_get(device, "posture"), i, profile)
	{
		const char *ok = json_is_true(json_object_get(profile, "ok")) ? "ok" : "no";

		fprintf(c->out, "posture %s: %s%s%s\n", ctl_member(c, profile, "profile"),
			ctl_colour(c, ok), ok, ctl_plain(c));
		json_array_foreach(json_object_get(profile, "failed"), k, failed)
		{
			fprintf(c->out, "  fails: %s\n",
				json_is_string(failed) ? ctl_safe(c, json_string_value(failed))
						       : ctl_member(c, failed, "condition"));
		}
	}
}

static void print_facts(struct ctl *c, const json_t *device)
{
	const json_t *fact;
	size_t i;

	json_array_foreach(json_object_get(device, "facts"), i, fact)
	{
		bool known = json_is_true(json_object_get(fact, "known"));
		json_int_t age_s = json_integer_value(json_object_get(fact, "age_s"));
		char age[32];

		num_print_duration(age_s > 0 ? (uint64_t)age_s : 0, age, sizeof(age));
		fprintf(c->out, "fact %s = %s%s%s (%s old)\n", ctl_member(c, fact, "name"),
			known ? "" : "unknown: ", ctl_member(c, fact, "value"), "", age);
	}
}

static void print_peers(struct ctl *c, const json_t *device)
{
	const json_t *peer;
	size_t i;

	json_array_foreach(json_object_get(device, "peers"), i, peer)
	{
		fprintf(c->out, "peer %s by %s\n", ctl_member(c, peer, "name"),
			ctl_member(c, peer, "rules"));
	}
}

static void print_device(struct ctl *c, const json_t *device)
{
	ctl_print_fields(c, fields, sizeof(fields) / sizeof(fields[0]), device);
	print_posture(c, device);
	print_facts(c, device);
	print_peers(c, device);
}

static int show(struct ctl *c, const struct ctl_args *a)
{
	struct ctl_request q = {.method = "GET",
				.path = ctl_path(c, "/v1/admin/devices/%", a->words[0])};

	return ctl_change(c, &q, print_device);
}

/* --- changes --- */

static void print_state(struct ctl *c, const json_t *device)
{
	const char *state = ctl_member(c, device, "state"), *tags = ctl_member(c, device, "tags");

	fprintf(c->out, "%s: %s%s%s%s%s\n", ctl_member(c, device, "name"), ctl_colour(c, state),
		state, ctl_plain(c), *tags ? ", tags " : "", tags);
}

static int change(struct ctl *c, const char *path, json_t *body)
{
	struct ctl_request q = {.method = "POST", .path = path, .json = body};

	return ctl_change(c, &q, print_state);
}

static int approve(struct ctl *c, const struct ctl_args *a)
{
	return change(c, ctl_path(c, "/v1/admin/devices/%/approve", a->words[0]), ctl_why(a));
}

static int revoke(struct ctl *c, const struct ctl_args *a)
{
	if (!ctl_args_has(a, "why"))
		return ctl_failf(c, ZT_EXIT_USAGE, "it stands in the audit log",
				 "revoking takes a reason: --why TEXT");
	return change(c, ctl_path(c, "/v1/admin/devices/%/revoke", a->words[0]), ctl_why(a));
}

static int expire(struct ctl *c, const struct ctl_args *a)
{
	return change(c, ctl_path(c, "/v1/admin/devices/%/expire", a->words[0]), ctl_why(a));
}

static int tag(struct ctl *c, const struct ctl_args *a)
{
	json_t *add = json_array(), *remove = json_array(), *body = ctl_why(a);

	json_object_set_new(body, "add", add);
	json_object_set_new(body, "remove", remove);
	for (size_t i = 1; i < a->n_words; i++) {
		const char *word = a->words[i];

		if ((word[0] != '+' && word[0] != '-') || !word[1]) {
			json_decref(body);
			return ctl_failf(c, ZT_EXIT_USAGE, "+NAME adds a tag, -NAME takes it away",
					 "'%s' is no change of a tag", word);
		}
		json_array_append_new(word[0] == '+' ? add : remove,
				      json_string(ctl_bare(word + 1, "tag:")));
	}
	return change(c, ctl_path(c, "/v1/admin/devices/%/tags", a->words[0]), body);
}

const struct ctl_command ctl_device_commands[] = {
	{"device", "list", "", "all devices", list, NULL, 0, 0, false},
	{"device", "show", "DEV", "one device with posture, facts and peers", show, NULL, 1, 1,
	 false},
	{"device", "approve", "DEV", "let a waiting device in", approve, why_options, 1, 1, false},
	{"device", "revoke", "DEV --why TEXT",
	 "end a device: sessions, certificate and grants, at once", revoke, why_options, 1, 1,
	 false},
	{"device", "tag", "DEV +NAME -NAME", "give and take tags", tag, why_options, 2,
	 CTL_WORDS_MAX, true},
	{"device", "expire", "DEV", "ask for a new login", expire, why_options, 1, 1, false},
	{NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, false},
};
