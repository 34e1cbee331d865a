/* Admin endpoints for devices. */
#include "controller/api/admin.h"

#include <string.h>

#include "zt/netmap.h"
#include "controller/json/posture_json.h"
#include "controller/model/tags.h"

void api_device_list(void *app, struct http_request *r)
{
	struct model *m = app_model(app);
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_devices; i++)
		if (m->devices[i])
			json_array_append_new(list, api_device_json(app, m->devices[i]));
	http_reply_json(r, 200, list);
}

static json_t *facts_json(const struct device *d, int64_t now_ms)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->n_facts; i++)
		json_array_append_new(
			list,
			json_pack("{s:s,s:s,s:b,s:I}", "name", d->facts[i].name, "value",
				  d->facts[i].value, "known", d->facts[i].state == FACT_KNOWN,
				  "age_s", (json_int_t)((now_ms - d->facts[i].read_ms) / 1000)));
	return list;
}

static json_t *endpoints_json(const struct device *d)
{
	json_t *list = json_array();
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < d->n_endpoints; i++) {
		endpoint_print(&d->endpoints[i], text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *peer_rules(const struct netmap *n, uint32_t peer)
{
	json_t *list = json_array();
	uint32_t last = 0;

	for (size_t i = 0; i < n->n_grants; i++)
		if (n->grants[i].peer == peer && n->grants[i].rule != last) {
			last = n->grants[i].rule;
			json_array_append_new(list, json_string(netmap_rule_name(n, last)));
		}
	return list;
}

static json_t *peers_json(const struct device *d)
{
	const struct netmap *n = publish_map(d);
	json_t *list = json_array();

	for (size_t i = 0; n && i < n->n_peers; i++)
		json_array_append_new(list, json_pack("{s:i,s:s,s:o}", "id", (int)n->peers[i].id,
						      "name", n->peers[i].name, "rules",
						      peer_rules(n, n->peers[i].id)));
	return list;
}

void api_device_show(void *app, struct http_request *r)
{
	struct device *d = api_find_device(app, r);
	char identity[KEY_TEXT_MAX], wg[KEY_TEXT_MAX];
	int64_t now_ms = app_now(app).wall_ms;
	json_t *j;

	if (!d)
		return;
	key_print(&d->row.identity, identity);
	key_print(&d->row.wg_key, wg);
	j = api_device_json(app, d);
	json_object_set_new(j, "posture", verdicts_json(app_model(app), d, now_ms, failed_line));
	json_object_set_new(j, "facts", facts_json(d, now_ms));
	json_object_set_new(j, "endpoints", endpoints_json(d));
	json_object_set_new(j, "peers", peers_json(d));
	json_object_set_new(j, "identity_key", json_string(identity));
	json_object_set_new(j, "wg_key", json_string(wg));
	json_object_set_new(j, "created", api_time(d->row.created_s));
	json_object_set_new(j, "cert_expires", api_time(d->row.cert_not_after_s));
	http_reply_json(r, 200, j);
}

static void answer_device(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct admin_waiting *w = arg;
	struct device *dev = err ? NULL : model_device(app_model(w->app), c->device.id);

	if (err || !dev)
		http_reply_diag(w->request, err ? err : -ZT_EABSENT, d);
	else
		http_reply_json(w->request, 200, api_device_json(w->app, dev));
}

static void change_state(struct app *a, struct http_request *r, enum device_state state,
			 bool why_required)
{
	struct device *d = api_find_device(a, r);
	struct admin_waiting *w;
	struct change c;

	if (!d || !admin_begin(a, r, CHANGE_DEVICE_STATE, why_required, &c) ||
	    !(w = admin_wait(a, r)))
		return;
	c.device.id = d->row.id;
	c.device.state = state;
	app_change(a, &c, answer_device, w);
}

void api_device_approve(void *app, struct http_request *r)
{
	change_state(app, r, DEVICE_ACTIVE, false);
}

void api_device_revoke(void *app, struct http_request *r)
{
	change_state(app, r, DEVICE_REVOKED, true);
}

void api_device_expire(void *app, struct http_request *r)
{
	change_state(app, r, DEVICE_EXPIRED, false);
}

static bool decode_tag_change(struct http_request *r, json_t *body, struct tags *tags)
{
	struct tags add = {0}, del = {0};

	if (!admin_decode_tags(r, json_object_get(body, "add"), &add) ||
	    !admin_decode_tags(r, json_object_get(body, "remove"), &del))
		return false;
	for (size_t i = 0; i < del.n; i++)
		tags_remove(tags, del.name[i]);
	for (size_t i = 0; i < add.n; i++)
		if (tags_add(tags, add.name[i]))
			return admin_refuse(r, "too many tags", "a device has at most 32");
	return true;
}

void api_device_tags(void *app, struct http_request *r)
{
	struct device *d = api_find_device(app, r);
	json_t *body = d ? api_body(r) : NULL;
	struct admin_waiting *w;
	struct change c;
	const char *why;
	bool ok;

	if (!body)
		return;
	why = api_text(r, body, "why", ZT_WHY_MAX);
	ok = why && api_begin_change(app, r, CHANGE_DEVICE_TAGS, why, &c);
	if (ok) {
		model_row(d, &c.device);
		ok = decode_tag_change(r, body, &c.device.tags);
	}
	json_decref(body);
	if (ok && (w = admin_wait(app, r)))
		app_change(app, &c, answer_device, w);
}
