/* What handlers share: bodies in, devices and explanations out. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "zt/num.h"
#include "zt/txt.h"
#include "controller/api/api.h"
#include "controller/policy/demand.h"

json_t *api_body(struct http_request *r)
{
	size_t n;
	const void *p = http_body(r, &n);
	json_error_t e;
	json_t *j = json_loadb(n ? p : "{}", n ? n : 2, JSON_REJECT_DUPLICATES, &e);

	if (!json_is_object(j)) {
		json_decref(j);
		http_reply_error(r, 400, "form", "the body is not a JSON object",
				 "see docs/api.md");
		return NULL;
	}
	return j;
}

const char *api_text(struct http_request *r, json_t *body, const char *name, size_t max)
{
	json_t *j = json_object_get(body, name);
	const char *s;
	char message[128];

	if (!j || json_is_null(j))
		return "";
	s = json_string_value(j);
	if (s && strlen(s) <= max && strlen(s) == json_string_length(j))
		return s;
	snprintf(message, sizeof(message), "\"%s\" must be a text of at most %zu bytes", name, max);
	http_reply_error(r, 400, "form", message, "");
	return NULL;
}

bool api_begin_change(struct app *a, struct http_request *r, enum change_kind kind, const char *why,
		      struct change *ret)
{
	struct endpoint peer;

	*ret = (struct change){.kind = kind, .at_ms = app_now(a).wall_ms};
	if (why[0] &&
	    (!txt_is_line(why, ZT_WHY_MAX) || txt_copy(ret->why, sizeof(ret->why), why))) {
		http_reply_error(r, 400, "form", "the reason must be one line of at most 500 bytes",
				 "");
		return false;
	}
	if (txt_copy(ret->actor, sizeof(ret->actor), http_caller(r)->name))
		ret->actor[0] = 0;
	http_peer(r, &peer);
	endpoint_print(&peer, ret->source);
	return true;
}

struct device *api_find_device(struct app *a, struct http_request *r)
{
	const char *name = http_param(r, "dev");
	struct device *d = name ? model_find_device(app_model(a), name) : NULL;

	if (!d)
		http_reply_error(r, 404, "absent", "there is no such device",
				 "ztctl device list shows all of them");
	return d;
}

json_t *api_time(int64_t s)
{
	char text[32];

	if (!s)
		return json_null();
	num_print_time(s, text, sizeof(text));
	return json_string(text);
}

static json_t *addresses(const struct device *d)
{
	const struct addr *all[] = {&d->row.addr4, &d->row.addr6};
	json_t *list = json_array();
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < 2; i++)
		if (all[i]->family != ADDR_NONE) {
			addr_print(all[i], text);
			json_array_append_new(list, json_string(text));
		}
	return list;
}

json_t *api_device_json(struct app *a, const struct device *d)
{
	uint64_t asked = engine_profiles(model_force(app_model(a), d)->engine, d->row.id);
	json_t *tags = json_array();

	for (size_t i = 0; i < d->row.tags.n; i++)
		json_array_append_new(tags, json_string(d->row.tags.name[i]));
	return json_pack(
		"{s:i,s:s,s:s,s:o,s:o,s:s,s:b,s:o,s:s,s:b,s:s}", "id", (int)d->row.id, "name",
		d->row.name, "owner", d->row.owner, "tags", tags, "addresses", addresses(d),
		"state", device_state_name(d->row.state), "online", d->online, "last_seen",
		api_time(d->online ? app_now(a).wall_ms / 1000 : d->row.last_seen_s), "os", d->os,
		"posture_ok", (d->verdicts & asked) == asked, "version", d->version);
}

json_t *api_end_json(const struct device *d)
{
	return d ? json_pack("{s:i,s:s,s:s}", "id", (int)d->row.id, "name", d->row.name, "owner",
			     d->row.owner)
		 : json_null();
}

/* --- explain --- */

static json_t *failed_json(const struct explain_failed *f)
{
	json_t *j =
		json_pack("{s:s,s:s,s:s}", "condition", f->condition, "is", f->is, "hint", f->hint);

	if (f->since_ms)
		json_object_set_new(j, "since", api_time(f->since_ms / 1000));
	return j;
}

/* What the rule leaves to the device to look at: "app:/usr/bin/psql or app:psql", "user:postgres".
 */
static json_t *asks_json(const struct policy_demands *d)
{
	unsigned asked = demands_kinds(d) & ~demands_unknown(d);
	json_t *list = json_array();
	const char *text;
	struct arena a;

	arena_init(&a, 1 << 16);
	for (unsigned left = asked; left; left &= left - 1) {
		text = demand_print(d, (enum demand_kind)__builtin_ctz(left), &a);
		json_array_append_new(list, json_string(text ? text : "?"));
	}
	arena_done(&a);
	return list;
}

json_t *api_explanation_json(const struct explanation *x, bool with_nearest)
{
	json_t *nearest = json_null(), *failed;

	if (!x->allowed && x->nearest && with_nearest) {
		failed = json_array();
		for (size_t i = 0; i < x->n_failed; i++)
			json_array_append_new(failed, failed_json(&x->failed[i]));
		nearest = json_pack("{s:s,s:o}", "rule", x->nearest->name, "failed", failed);
	}
	if (x->allowed)
		return json_pack("{s:b,s:s,s:s,s:o,s:o}", "allowed", 1, "rule", x->rule->name,
				 "why", x->rule->why, "nearest", nearest, "asks",
				 asks_json(&x->rule->demands));
	return json_pack("{s:b,s:n,s:o}", "allowed", 0, "rule", "nearest", nearest);
}

static const struct fact_view *facts_of(void *arg, uint32_t id, size_t *ret_n)
{
	const struct device *d = model_device(arg, id);

	*ret_n = d ? d->n_facts : 0;
	return d ? d->facts : NULL;
}

static int64_t failing_since_of(void *arg, uint32_t id, uint32_t posture)
{
	const struct device *d = model_device(arg, id);
	int64_t since_ms = d && posture < d->n_failing ? d->failing_since_ms[posture] : 0;

	return since_ms == POSTURE_NEVER_COMPLIED ? 0 : since_ms;
}

static const char *whereabouts_of(void *arg, uint32_t id, struct arena *a)
{
	const struct device *d = model_device(arg, id);
	char addr[ADDR_TEXT_MAX];

	if (!d || d->source.family == ADDR_NONE)
		return "";
	addr_print(&d->source, addr);
	if (d->country[0])
		return arena_printf(a, "%s (%s)", addr, d->country);
	return arena_text(a, addr, strlen(addr));
}

struct device *api_device_at(const struct model *m, const struct addr *want)
{
	for (size_t i = 0; want->family != ADDR_NONE && i < m->n_devices; i++) {
		struct device *d = m->devices[i];

		if (d && d->row.state != DEVICE_REVOKED &&
		    (addr_equal(&d->row.addr4, want) || addr_equal(&d->row.addr6, want)))
			return d;
	}
	return NULL;
}

struct device *api_find_address(const struct model *m, const char *text)
{
	struct addr want;

	return addr_parse(text, &want) ? NULL : api_device_at(m, &want);
}

bool api_explanation_is_better(const struct explanation *x, const struct explanation *best,
			       bool first)
{
	if (first || x->allowed != best->allowed)
		return first || x->allowed;
	if ((x->nearest != NULL) != (best->nearest != NULL))
		return x->nearest != NULL;
	return x->n_failed < best->n_failed;
}

/* What is behind gateways: by its address, or by its name (then the first of its addresses). */
static bool find_behind(const struct policy *p, const char *to, struct addr *ret)
{
	const char *name = txt_starts(to, "resource:") ? to + strlen("resource:") : to;

	if (addr_parse(to, ret) == 0)
		return true;
	for (size_t i = 0; i < p->n_resources; i++)
		if (p->resources[i].n_address && strcmp(p->resources[i].name, name) == 0) {
			*ret = p->resources[i].address[0].addr;
			return true;
		}
	return false;
}

int api_explain_to(struct app *a, const struct device *from, const char *to,
		   const struct service *svc, bool own_only, struct arena *arena,
		   struct explanation *ret, struct device **ret_dst)
{
	struct model *m = app_model(a);
	const struct engine *e = model_force(m, from)->engine; /* its source's policy decides */
	struct explain_context c = {.facts = facts_of,
				    .whereabouts = whereabouts_of,
				    .failing_since_ms = failing_since_of,
				    .arg = m,
				    .now_ms = app_now(a).wall_ms,
				    .own_only = own_only};
	struct device *d = api_find_address(m, to);
	const uint32_t *hosts;
	struct addr behind;
	uint32_t one;
	size_t n = 1;
	int err = 0;

	if (!d)
		d = model_find_device(m, to);
	if (!d && find_behind(model_force(m, from)->policy, to, &behind)) {
		*ret_dst = NULL;
		return engine_explain_address(e, from->row.id, &behind, svc, &c, arena, ret);
	}
	if (d) {
		one = d->row.id;
		hosts = &one;
	} else {
		if (txt_starts(to, "resource:"))
			to += strlen("resource:");
		err = engine_hosts(e, to, arena, &hosts, &n);
	}
	if (!err && !n)
		err = -ZT_EABSENT;
	for (size_t i = 0; i < n && !err; i++) {
		struct explanation x;

		err = engine_explain(e, from->row.id, hosts[i], svc, &c, arena, &x);
		if (!err && api_explanation_is_better(&x, ret, i == 0)) {
			*ret = x;
			*ret_dst = model_device(m, hosts[i]);
		}
	}
	return err;
}
