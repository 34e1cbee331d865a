/* ztctl policy: check, put in force, look at, take an old one back. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/policy_can.h"
#include "controller/ctl/preview.h"
#include "zt/buf.h"
#include "zt/limits.h"
#include "zt/num.h"
#include "zt/txt.h"

#define FORCE                                                                                      \
	{                                                                                          \
		"force", NULL, "also when it cuts your own way to the controller", false           \
	}
static const struct ctl_option trial_options[] = {
	CTL_WHY,
	{"version", "N", "only when it is this one; without, when it is the one of ztctl status",
	 false},
	{NULL, NULL, NULL, false},
};
static const struct ctl_option put_options[] = {
	CTL_WHY,
	FORCE,
	{"confirm", "DURATION", "goes back by itself unless policy confirm comes in time: 10m",
	 false},
	{"canary", "PERCENT", "for this part of the devices first, until promote or abort: 5%",
	 false},
	{NULL, NULL, NULL, false},
};
static const struct ctl_option get_options[] = {
	{"version", "N", "an older one", false},
	{NULL, NULL, NULL, false},
};

static const struct ctl_option log_options[] = {
	{"version", "N", "what this one changed, rule by rule", false},
	{NULL, NULL, NULL, false},
};

static const struct ctl_column log_columns[] = {
	{"VERSION", "version", CTL_NUMBER}, {"AT", "at", CTL_TEXT},
	{"AUTHOR", "author", CTL_TEXT},	    {"BYTES", "bytes", CTL_NUMBER},
	{"STATE", "state", CTL_TEXT},	    {"WHY", "why", CTL_TEXT},
};

/* --- the file --- */

static int read_all(int fd, struct buf *out)
{
	char part[65536];
	ssize_t n = 0;

	/* over the limit no more is read: a pipe may have no end */
	while (!out->err && (n = read(fd, part, sizeof(part))) > 0)
		buf_put(out, part, (size_t)n);
	return n < 0 ? -errno : out->err;
}

static const char file_hint[] = "FILE is a policy file; - is stdin";

/* "-" is stdin. Says what is wrong. */
static int read_file(struct ctl *c, const char *path, struct buf *out)
{
	int fd = txt_equal(path, "-") ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return ctl_failf(c, ZT_EXIT_FAILED, file_hint, "cannot read %s: %s", path,
				 zt_strerror(errno));
	err = read_all(fd, out);
	if (fd != STDIN_FILENO)
		close(fd);
	if (err == -ZT_ELIMIT)
		return ctl_failf(c, ZT_EXIT_FAILED, file_hint,
				 "%s is larger than a policy may be (50 MiB)", path);
	if (err < 0)
		return ctl_failf(c, ZT_EXIT_FAILED, file_hint, "cannot read %s: %s", path,
				 zt_strerror(err));
	return ZT_EXIT_OK;
}

/* --- problems --- */

/* kind: "" or "warning: " */
static void print_problem(struct ctl *c, const char *kind, const char *file, const json_t *problem)
{
	json_int_t line = json_integer_value(json_object_get(problem, "line"));
	json_int_t column = json_integer_value(json_object_get(problem, "column"));
	const char *hint = ctl_member(c, problem, "hint");

	fprintf(c->err, "%s%s:", kind, ctl_safe(c, file));
	if (line > 0)
		fprintf(c->err, "%lld:", (long long)line);
	if (line > 0 && column > 0)
		fprintf(c->err, "%lld:", (long long)column);
	fprintf(c->err, " %s\n", ctl_member(c, problem, "message"));
	if (*hint)
		fprintf(c->err, "hint: %s\n", hint);
}

static const char *file_name(const char *file)
{
	return txt_equal(file, "-") ? "<stdin>" : file;
}

/* The controller saw bytes, not a file: its name is ours. */
static void print_list(struct ctl *c, const char *kind, const char *file, const json_t *list)
{
	const json_t *problem;
	size_t i;

	json_array_foreach((json_t *)list, i, problem)
	{
		print_problem(c, kind, file_name(file), problem);
	}
}

static void name_file(const char *file, json_t *list)
{
	json_t *problem;
	size_t i;

	json_array_foreach(list, i, problem)
	{
		/* a name that is no UTF-8 is no JSON: then the controller's word stays */
		(void)json_object_set_new(problem, "file", json_string(file_name(file)));
	}
}

static int print_problems(struct ctl *c, const char *file, const json_t *answer)
{
	json_int_t more = json_integer_value(json_object_get(answer, "more"));

	print_list(c, "", file, json_object_get(answer, "problems"));
	if (more > 0)
		fprintf(c->err, "and %s%lld more\n", more < ZT_MISTAKES_MORE_MAX ? "" : "at least ",
			(long long)more);
	return ZT_EXIT_FAILED;
}

static int send_file(struct ctl *c, const char *file, const char *method, const char *path,
		     void (*done)(struct ctl *c, const json_t *answer))
{
	struct ctl_request q = {.method = method, .path = path};
	struct ctl_answer a = {0};
	struct buf text;
	int rc;

	buf_init_grow(&text, ZT_POLICY_MAX);
	rc = read_file(c, file, &text);
	if (rc == ZT_EXIT_OK) {
		q.text = buf_text(&text);
		q.n_text = text.len;
		rc = ctl_ask(c, &q, &a);
	}
	if (a.json && c->json) {
		name_file(file, json_object_get(a.json, "problems"));
		name_file(file, json_object_get(a.json, "warnings"));
		ctl_print_json(c, a.json);
	} else if (rc == ZT_EXIT_OK) {
		print_list(c, "warning: ", file, json_object_get(a.json, "warnings"));
		done(c, a.json);
	} else if (json_object_get(a.json, "problems")) {
		print_problems(c, file, a.json);
	}
	ctl_answer_done(&a);
	buf_free(&text);
	return rc;
}

/* --- commands --- */

static void print_ok(struct ctl *c, const json_t *answer)
{
	(void)answer;
	fprintf(c->out, "policy ok\n");
}

static void print_version(struct ctl *c, const json_t *answer)
{
	const char *version = ctl_member(c, answer, "version"),
		   *until = ctl_member(c, answer, "confirm_until");

	if (json_integer_value(json_object_get(answer, "canary")) > 0)
		fprintf(c->out,
			"policy version %s is the canary of %s%% of the devices; end it with: "
			"ztctl policy promote --version %s, or abort\n",
			version, ctl_member(c, answer, "canary"), version);
	else if (*until)
		fprintf(c->out,
			"policy version %s is in force until %s; keep it with: ztctl policy "
			"confirm --version %s\n",
			version, until, version);
	else
		fprintf(c->out, "policy version %s is in force\n", version);
}

static void print_warned(struct ctl *c, const json_t *answer)
{
	print_list(c, "warning: ", "policy", json_object_get(answer, "warnings"));
	print_version(c, answer);
}

static int check(struct ctl *c, const struct ctl_args *a)
{
	return send_file(c, a->words[0], "POST", "/v1/admin/policy/check", print_ok);
}

static int need_why(struct ctl *c)
{
	return ctl_failf(c, ZT_EXIT_USAGE, "it stands in the policy's log",
			 "a new policy takes a reason: --why TEXT");
}

/* "5%" or "5"; 0: nothing was said. */
static int read_percent(struct ctl *c, const char *text, uint64_t *ret)
{
	size_t n = text ? strlen(text) : 0;
	char number[8] = "";

	*ret = 0;
	if (!text)
		return ZT_EXIT_OK;
	n -= n && text[n - 1] == '%';
	if (n < sizeof(number))
		memcpy(number, text, n);
	if (num_parse_u64(number, 1, 99, ret) < 0)
		return ctl_failf(c, ZT_EXIT_USAGE, "from 1% to 99%",
				 "--canary %s is no part of the devices", text);
	return ZT_EXIT_OK;
}

static int read_confirm(struct ctl *c, const char *text, uint64_t *ret_s)
{
	*ret_s = 0;
	if (text && (num_parse_duration(text, ret_s) < 0 || *ret_s == 0))
		return ctl_failf(c, ZT_EXIT_USAGE, "as in 30s, 10m, 12h",
				 "--confirm %s is no duration", text);
	return ZT_EXIT_OK;
}

/* How it is put, as a part of the query: "&confirm_s=600&force=1", or "". NULL: what is wrong was
 * said, *ret_rc is the end. */
static const char *put_query(struct ctl *c, const struct ctl_args *a, int *ret_rc)
{
	const char *force = ctl_args_has(a, "force") ? "&force=1" : "";
	uint64_t confirm_s, percent = 0;

	*ret_rc = read_confirm(c, ctl_args_value(a, "confirm"), &confirm_s);
	if (*ret_rc == ZT_EXIT_OK)
		*ret_rc = read_percent(c, ctl_args_value(a, "canary"), &percent);
	if (*ret_rc == ZT_EXIT_OK && confirm_s && percent)
		*ret_rc = ctl_failf(c, ZT_EXIT_USAGE,
				    "a canary is ended by ztctl policy promote or abort",
				    "take one of --confirm and --canary");
	if (*ret_rc != ZT_EXIT_OK)
		return NULL;
	if (!confirm_s && !percent)
		return force;
	return arena_printf(&c->arena, "&%s=%llu%s", confirm_s ? "confirm_s" : "canary",
			    (unsigned long long)(confirm_s ? confirm_s : percent), force);
}

static int put(struct ctl *c, const struct ctl_args *a)
{
	const char *why = ctl_args_value(a, "why"), *how;
	int rc;

	if (!why)
		return need_why(c);
	how = put_query(c, a, &rc);
	return how ? send_file(c, a->words[0], "PUT",
			       arena_printf(&c->arena, "%s%s",
					    ctl_path(c, "/v1/admin/policy?why=%", why), how),
			       print_version)
		   : rc;
}

static int version_of(struct ctl *c, const char *text, uint64_t *ret)
{
	if (num_parse_u64(text, 1, UINT32_MAX, ret) < 0)
		return ctl_failf(c, ZT_EXIT_USAGE, "ztctl policy log lists them",
				 "'%s' is no version", text);
	return ZT_EXIT_OK;
}

/* What is on trial now, as the controller says; without a trial what is in force, which it will
 * refuse. What is put between now and the change is never what is meant. */
static int ask_trial(struct ctl *c, bool canary, uint64_t *ret)
{
	struct ctl_request q = {.method = "GET", .path = "/v1/admin/status"};
	struct ctl_answer a;
	int rc = ctl_ask(c, &q, &a);

	if (rc == ZT_EXIT_OK) {
		const json_t *policy = json_object_get(a.json, "policy"),
			     *trial = json_object_get(policy, "canary");
		json_int_t version = json_integer_value(json_object_get(
			canary && json_is_object(trial) ? trial : policy, "version"));

		*ret = (uint64_t)version;
		if (version < 1)
			rc = ctl_failf(c, ZT_EXIT_FAILED, "say it: --version N",
				       "the controller does not say which version is in force");
	}
	ctl_answer_done(&a);
	return rc;
}

static int end_trial(struct ctl *c, const struct ctl_args *a, const char *path, bool canary)
{
	const char *text = ctl_args_value(a, "version");
	struct ctl_request q = {.method = "POST", .path = path};
	uint64_t version = 0;
	int rc = text ? version_of(c, text, &version) : ask_trial(c, canary, &version);

	if (rc != ZT_EXIT_OK)
		return rc;
	q.json = ctl_why(a);
	json_object_set_new(q.json, "version", json_integer((json_int_t)version));
	return ctl_change(c, &q, print_warned);
}

static int confirm(struct ctl *c, const struct ctl_args *a)
{
	return end_trial(c, a, "/v1/admin/policy/confirm", false);
}

static int promote(struct ctl *c, const struct ctl_args *a)
{
	return end_trial(c, a, "/v1/admin/policy/promote", true);
}

static int abort_canary(struct ctl *c, const struct ctl_args *a)
{
	return end_trial(c, a, "/v1/admin/policy/abort", true);
}

/* Byte for byte into a file or pipe; on a terminal line by line without controls. */
static void print_policy(struct ctl *c, const struct ctl_answer *a)
{
	const char *p = a->text, *end = a->text + a->n_text;

	if (!c->terminal) {
		fwrite(a->text, 1, a->n_text, c->out);
		return;
	}
	while (p < end) {
		size_t n = strcspn(p, "\n\t");
		const char *part = arena_text(&c->arena, p, n);

		fprintf(c->out, "%s", part ? ctl_safe(c, part) : "?");
		p += n;
		if (p < end)
			fputc(*p ? *p : '?', c->out);
		p++;
	}
}

static int get(struct ctl *c, const struct ctl_args *a)
{
	const char *text = ctl_args_value(a, "version");
	struct ctl_request q = {.method = "GET", .path = "/v1/admin/policy", .expect = CTL_PLAIN};
	struct ctl_answer answer;
	uint64_t version;
	int rc = text ? version_of(c, text, &version) : ZT_EXIT_OK;

	if (rc != ZT_EXIT_OK)
		return rc;
	if (text)
		q.path = ctl_path(c, "/v1/admin/policy?version=%", text);
	rc = ctl_ask(c, &q, &answer);
	if (rc == ZT_EXIT_OK && c->json) {
		bool known = num_parse_u64(answer.version, 1, UINT32_MAX, &version) == 0;
		json_t *j = json_pack("{s:o, s:s%}", "version",
				      known ? json_integer((json_int_t)version) : json_null(),
				      "policy", answer.text, answer.n_text);

		ctl_print_json(c, j);
		json_decref(j);
	} else if (rc == ZT_EXIT_OK) {
		print_policy(c, &answer);
	}
	ctl_answer_done(&answer);
	return rc;
}

static int preview(struct ctl *c, const struct ctl_args *a)
{
	return send_file(c, a->words[0], "POST", "/v1/admin/policy/preview", ctl_print_preview);
}

/* As the record has them: the first hundred. */
static void print_changes(struct ctl *c, const json_t *changes)
{
	static const char *const counts[] = {"added", "removed", "changed"};
	const json_t *list = json_object_get(changes, "list"), *one;
	json_int_t more = 0;
	size_t i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		more += json_integer_value(json_object_get(changes, counts[i]));
	if (!more && !json_array_size(list)) {
		fprintf(c->out, "The rules mean what they meant in version %s.\n",
			ctl_member(c, changes, "against"));
		return;
	}
	fprintf(c->out, "Against version %s: %s rules added, %s removed, %s changed.\n",
		ctl_member(c, changes, "against"), ctl_member(c, changes, "added"),
		ctl_member(c, changes, "removed"), ctl_member(c, changes, "changed"));
	json_array_foreach((json_t *)list, i, one)
	{
		ctl_print_meaning_change(c, one);
		more -= txt_equal(ctl_member(c, one, "kind"), "rule");
	}
	if (more > 0)
		fprintf(c->out, "and %lld more rules\n", (long long)more);
}

static void print_one_version(struct ctl *c, const json_t *answer)
{
	static const struct ctl_column fields[] = {
		{"version", "version", CTL_NUMBER}, {"at", "at", CTL_TEXT},
		{"author", "author", CTL_TEXT},	    {"why", "why", CTL_TEXT},
		{"state", "state", CTL_TEXT},	    {"bytes", "bytes", CTL_NUMBER},
	};
	const json_t *changes = json_object_get(answer, "changes");

	ctl_print_fields(c, fields, sizeof(fields) / sizeof(fields[0]), answer);
	if (json_is_object(changes))
		print_changes(c, changes);
	else
		fprintf(c->out, "What it changes was not recorded.\n");
}

static int show_one_version(struct ctl *c, const char *text)
{
	struct ctl_request q = {.method = "GET"};
	uint64_t version;
	int rc = version_of(c, text, &version);

	if (rc != ZT_EXIT_OK)
		return rc;
	q.path = ctl_path(c, "/v1/admin/policy/log?version=%", text);
	return ctl_change(c, &q, print_one_version);
}

static int show_log(struct ctl *c, const struct ctl_args *a)
{
	if (ctl_args_has(a, "version"))
		return show_one_version(c, ctl_args_value(a, "version"));
	return ctl_show_table(c, "/v1/admin/policy/log", log_columns,
			      sizeof(log_columns) / sizeof(log_columns[0]));
}

static int restore(struct ctl *c, const struct ctl_args *a)
{
	struct ctl_request q = {.method = "POST"};
	uint64_t version = 0;
	const char *how;
	int rc;

	if (!ctl_args_has(a, "why"))
		return need_why(c);
	rc = version_of(c, a->words[0], &version);
	if (rc != ZT_EXIT_OK)
		return rc;
	how = put_query(c, a, &rc);
	if (!how)
		return rc;
	q.path = arena_printf(&c->arena, "/v1/admin/policy/restore%s%s", *how ? "?" : "",
			      *how ? how + 1 : "");
	q.json = ctl_why(a);
	json_object_set_new(q.json, "version", json_integer((json_int_t)version));
	return ctl_change(c, &q, print_warned);
}

const struct ctl_command ctl_policy_commands[] = {
	{"policy", "check", "FILE", "every problem in a policy file (- is stdin)", check, NULL, 1,
	 1, false},
	{"policy", "put", "FILE --why TEXT", "put a policy in force", put, put_options, 1, 1,
	 false},
	{"policy", "confirm", "", "keep a policy that was put with --confirm", confirm,
	 trial_options, 0, 0, false},
	{"policy", "promote", "", "put the canary in force for all", promote, trial_options, 0, 0,
	 false},
	{"policy", "abort", "", "end the canary", abort_canary, trial_options, 0, 0, false},
	{"policy", "get", "", "the policy in force", get, get_options, 0, 0, false},
	{"policy", "preview", "FILE", "what a policy would change", preview, NULL, 1, 1, false},
	{"policy", "can", "FROM TO [PROTO/PORT]",
	 "may FROM ever open that to TO, and under which conditions; 4 = never", ctl_policy_can,
	 NULL, 2, 3, false},
	{"policy", "log", "", "all versions, with author and reason; or what one changed", show_log,
	 log_options, 0, 0, false},
	{"policy", "restore", "N --why TEXT", "put an old version in force again", restore,
	 put_options, 1, 1, false},
	{NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, false},
};
