/* Admin endpoints for status and audit, and what the others share. */
#include "controller/api/admin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "zt/num.h"
#include "zt/txt.h"
#include "controller/model/tags.h"
#include "controller/policy/review.h"

struct admin_waiting *admin_wait(struct app *a, struct http_request *r)
{
	struct admin_waiting *w = http_request_alloc(r, sizeof(*w));

	if (!w) {
		http_reply_error(r, 500, "internal", zt_strerror(-ENOMEM), "");
		return NULL;
	}
	*w = (struct admin_waiting){.app = a, .request = r};
	return w;
}

void admin_answer_read(void *arg)
{
	struct admin_waiting *w = arg;
	struct diag d;

	if (w->err || !w->result) {
		diag_set(&d, w->err ? w->err : -ENOMEM, "%s",
			 zt_strerror(w->err ? w->err : -ENOMEM));
		json_decref(w->result);
		http_reply_diag(w->request, w->err ? w->err : -ENOMEM, &d);
		return;
	}
	http_reply_json(w->request, 200, w->result);
}

bool admin_refuse(struct http_request *r, const char *message, const char *hint)
{
	http_reply_error(r, 400, "form", message, hint);
	return false;
}

bool admin_bool(struct http_request *r, json_t *body, const char *name, bool fallback, bool *ret)
{
	json_t *j = json_object_get(body, name);
	char message[128];

	*ret = j ? json_is_true(j) : fallback;
	if (!j || json_is_boolean(j))
		return true;
	snprintf(message, sizeof(message), "\"%s\" must be true or false", name);
	return admin_refuse(r, message, "");
}

bool admin_decode_tags(struct http_request *r, json_t *list, struct tags *tags)
{
	size_t i;
	json_t *j;

	if (list && !json_is_array(list))
		return admin_refuse(r, "\"tags\" must be a list of names", "");
	json_array_foreach(list, i, j)
	{
		const char *s = json_string_value(j);

		if (s && txt_starts(s, "tag:"))
			s += strlen("tag:");
		if (!s || !txt_is_name(s))
			return admin_refuse(
				r, "a tag is not a name",
				"tags are lower case letters, digits, '.', '_' and '-'");
		if (tags_add(tags, s))
			return admin_refuse(r, "too many tags", "a device has at most 32");
	}
	return true;
}

bool admin_begin(struct app *a, struct http_request *r, enum change_kind kind, bool required,
		 struct change *c)
{
	json_t *body = api_body(r);
	const char *why;
	bool ok;

	if (!body)
		return false;
	why = api_text(r, body, "why", ZT_WHY_MAX);
	if (why && required && !why[0])
		http_reply_error(r, 400, "form", "a reason is needed",
				 "--why TEXT says it; it stands in the audit log");
	ok = why && (!required || why[0]) && api_begin_change(a, r, kind, why, c);
	json_decref(body);
	return ok;
}

/* --- status --- */

static int64_t memory_kib(void)
{
	long pages = 0;
	char line[128];
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fgets(line, sizeof(line), f)) {
		char *space = strchr(line, ' ');

		pages = space ? strtol(space, NULL, 10) : 0;
	}
	if (f)
		fclose(f);
	return (int64_t)pages * sysconf(_SC_PAGESIZE) / 1024;
}

static json_t *canary_json(const struct model *m)
{
	const struct policy_row *row = &m->canary.row;
	json_int_t devices = 0;

	if (!m->canary.engine)
		return json_null();
	for (size_t i = 0; i < m->n_devices; i++)
		devices += m->devices[i] && m->devices[i]->standing == STANDING_ACTIVE &&
			   m->devices[i]->in_canary;
	return json_pack("{s:I,s:o,s:s,s:i,s:I}", "version", (json_int_t)row->version, "at",
			 api_time(row->at_s), "author", row->author, "percent",
			 (int)row->trial.percent, "devices", devices);
}

static json_t *policy_json(const struct model *m, int64_t now_s)
{
	const struct force *f = &m->force;
	const struct trial *t = &f->row.trial;
	struct review due = review_count(f->policy, f->engine, now_s);

	return json_pack("{s:i,s:o,s:s,s:I,s:I,s:o,s:o}", "version", (int)f->row.version, "at",
			 api_time(f->row.at_s), "author", f->row.author, "past_review",
			 (json_int_t)due.past_review, "over", (json_int_t)due.over, "confirm_until",
			 api_time(t->state == TRIAL_OPEN ? t->until_ms / 1000 : 0), "canary",
			 canary_json(m));
}

void api_status(void *app, struct http_request *r)
{
	struct model *m = app_model(app);
	size_t online = 0, total = 0;

	for (size_t i = 0; i < m->n_devices; i++) {
		total += m->devices[i] != NULL;
		online += m->devices[i] && m->devices[i]->online;
	}
	http_reply_json(
		r, 200,
		json_pack("{s:s,s:s,s:s,s:I,s:o,s:{s:i,s:i,s:i,s:i,s:i},s:i,s:{s:I},s:I,s:I}",
			  "version", app_version(app), "name", m->network.name, "url", app_url(app),
			  "uptime_s", (json_int_t)app_uptime_s(app), "policy",
			  policy_json(m, app_now(app).wall_ms / 1000), "devices", "total",
			  (int)total, "active", (int)model_count(m, DEVICE_ACTIVE), "pending",
			  (int)model_count(m, DEVICE_PENDING), "online", (int)online, "left_out",
			  (int)m->n_left_out, "streams", (int)publish_streams(app_publisher(app)),
			  "store", "records", (json_int_t)app_records(app), "lease_s",
			  (json_int_t)m->force.policy->lease_s, "memory_kib",
			  (json_int_t)memory_kib()));
}

/* --- audit --- */

static void read_audit(void *arg, struct store *s)
{
	struct admin_waiting *w = arg;

	w->err = store_audit_list(s, w->number, &w->result);
}

void api_audit_list(void *app, struct http_request *r)
{
	const char *text = http_query(r, "since_s");
	uint64_t since = 0;
	struct admin_waiting *w;

	if (text && num_parse_u64(text, 0, (uint64_t)100 * 366 * 86400, &since)) {
		admin_refuse(r, "since_s must be a number of seconds", "");
		return;
	}
	if (!(w = admin_wait(app, r)))
		return;
	w->number = text ? app_now(app).wall_ms - (int64_t)since * 1000 : 0;
	app_read(app, read_audit, admin_answer_read, w);
}

static void read_verdict(void *arg, struct store *s)
{
	struct admin_waiting *w = arg;

	w->err = store_audit_verify(s, &w->verdict);
	if (!w->err)
		w->result = json_pack("{s:b,s:I,s:s,s:I,s:s}", "ok",
				      !w->verdict.first_bad && !w->verdict.problem[0], "records",
				      (json_int_t)w->verdict.records, "head", w->verdict.head,
				      "first_bad", (json_int_t)w->verdict.first_bad, "problem",
				      w->verdict.problem);
}

void api_audit_verify(void *app, struct http_request *r)
{
	struct admin_waiting *w = admin_wait(app, r);

	if (w)
		app_read(app, read_verdict, admin_answer_read, w);
}
