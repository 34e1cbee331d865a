/* Access lists, page by page: what somebody can reach now, or who can reach something. A page is
 * looked for device by device, so that a long list never holds up the loop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/num.h"
#include "zt/txt.h"
#include "controller/api/api.h"
#include "controller/policy/access.h"

enum {
	PAGE_MAX = 1000,   /* rows of an answer */
	DEVICES_MAX = 200, /* looked at for one answer */
	RULES_SHOWN = 1000,
	MEMORY_MAX = 256 << 20,
};

/* Where a page begins: behind this row. The device that the list is about, the other, the rule. */
struct cursor {
	uint32_t device, other, rule;
};

struct page {
	struct app *app;
	struct http_request *request;
	struct arena arena;
	bool to;	      /* rows are of those who reach the devices */
	const char *resource; /* and this on them; NULL: anything */
	const uint32_t *devices;
	size_t n_devices;
	struct cursor after;
	json_t *rows;
	bool more;
	struct cursor last;
};

/* --- cursors: "7.12.3" --- */

static bool read_cursor(const char *text, struct cursor *ret)
{
	uint32_t *parts[] = {&ret->device, &ret->other, &ret->rule};
	char number[12];
	uint64_t v;

	for (size_t i = 0; i < 3; i++) {
		size_t n = strcspn(text, ".");

		if (n >= sizeof(number) || (text[n] == '.') != (i < 2))
			return false;
		memcpy(number, text, n);
		number[n] = '\0';
		if (num_parse_u64(number, 0, UINT32_MAX, &v))
			return false;
		*parts[i] = (uint32_t)v;
		text += n + (text[n] == '.');
	}
	return true;
}

static json_t *cursor_json(const struct page *p)
{
	return p->more ? json_sprintf("%u.%u.%u", p->last.device, p->last.other, p->last.rule)
		       : json_null();
}

/* Has this row been on a page before? */
static bool is_passed(const struct page *p, const struct cursor *c)
{
	const struct cursor *a = &p->after;

	if (c->device != a->device)
		return c->device < a->device;
	if (c->other != a->other)
		return c->other < a->other;
	return c->rule <= a->rule;
}

/* --- rows --- */

static json_t *services_json(const struct service *v, size_t n)
{
	json_t *list = json_array();
	char text[SERVICE_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		service_print(&v[i], text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *row_json(struct app *a, const struct access *x)
{
	return json_pack("{s:o,s:o,s:o,s:s,s:o,s:i}", "from",
			 api_end_json(model_device(app_model(a), x->src)), "to",
			 api_end_json(model_device(app_model(a), x->dst)), "services",
			 services_json(x->svc, x->n_svc), "rule", x->rule->name, "until",
			 x->until_s == INT64_MAX ? json_null() : api_time(x->until_s), "lease_s",
			 (int)x->lease_s);
}

static void add_rows(struct page *p, uint32_t device, const struct access *v, size_t n)
{
	for (size_t i = 0; i < n && !p->more; i++) {
		struct cursor c = {device, p->to ? v[i].src : v[i].dst, v[i].rule->id};

		if (is_passed(p, &c))
			continue;
		p->more = json_array_size(p->rows) == PAGE_MAX;
		if (p->more)
			return;
		json_array_append_new(p->rows, row_json(p->app, &v[i]));
		p->last = c;
	}
}

/* Of a policy that says nothing of the resource: NULL, and none. */
static int rows_to(const struct page *p, const struct engine *e, uint32_t id, struct arena *a,
		   const struct access **ret, size_t *ret_n)
{
	uint32_t resource = p->resource ? access_resource(e, p->resource) : POLICY_NO_RESOURCE;

	*ret_n = 0;
	if (p->resource && resource == POLICY_NO_RESOURCE)
		return 0;
	return access_to(e, id, resource, a, ret, ret_n);
}

static int compare_rows(const void *a, const void *b)
{
	const struct access *x = a, *y = b;

	if (x->src != y->src)
		return x->src < y->src ? -1 : 1;
	return (x->rule->id > y->rule->id) - (x->rule->id < y->rule->id);
}

/* What a source has it has by the policy that it is under: that in force, or the canary. */
static int all_rows_to(const struct page *p, uint32_t id, struct arena *a,
		       const struct access **ret, size_t *ret_n)
{
	const struct model *m = app_model(p->app);
	const struct force *forces[] = {&m->force, &m->canary};
	const struct access *v[2];
	struct access *all;
	size_t n[2] = {0}, kept = 0;
	int err = 0;

	for (size_t k = 0; k < 2 && !err; k++)
		if (forces[k]->engine)
			err = rows_to(p, forces[k]->engine, id, a, &v[k], &n[k]);
	all = err ? NULL : arena_array(a, n[0] + n[1], sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < n[k]; i++) {
			const struct device *src = model_device(m, v[k][i].src);

			if (src && model_force(m, src) == forces[k])
				all[kept++] = v[k][i];
		}
	if (kept > 1)
		qsort(all, kept, sizeof(*all), compare_rows);
	*ret = all;
	*ret_n = kept;
	return 0;
}

static int add_device(struct page *p, uint32_t id)
{
	const struct model *m = app_model(p->app);
	const struct device *d = model_device(m, id);
	const struct access *v = NULL;
	struct arena a;
	size_t n = 0;
	int err;

	arena_init(&a, MEMORY_MAX);
	if (p->to)
		err = all_rows_to(p, id, &a, &v, &n);
	else
		err = access_from(model_force(m, d)->engine, id, &a, &v, &n);
	if (!err)
		add_rows(p, id, v, n);
	arena_done(&a);
	return err;
}

static int add_devices(struct page *p)
{
	size_t looked = 0;
	int err = 0;

	for (size_t i = 0; i < p->n_devices && !p->more && !err; i++) {
		if (p->devices[i] < p->after.device)
			continue;
		if (looked++ == DEVICES_MAX) { /* the next page goes on behind the one before */
			p->more = true;
			p->last = (struct cursor){p->devices[i] - 1, UINT32_MAX, UINT32_MAX};
			break;
		}
		err = add_device(p, p->devices[i]);
	}
	return err;
}

/* --- the rules that let in --- */

static json_t *rule_json(const struct engine *e, const struct policy_rule *r, bool canary)
{
	struct access_words w;
	struct arena a;
	json_t *j = NULL;

	arena_init(&a, 4 << 20);
	if (access_words(e, r->id - 1, &a, &w) == 0)
		j = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "rule", r->name, "action",
			      r->deny ? "deny" : "allow", "who", w.who, "when", w.when, "where",
			      w.where, "how", w.how, "why", r->why, "canary", canary);
	arena_done(&a);
	return j;
}

static int add_rules(struct page *p, const struct force *f, bool canary, json_t *list)
{
	uint32_t resource =
		p->resource ? access_resource(f->engine, p->resource) : POLICY_NO_RESOURCE;
	const uint32_t *rules;
	size_t n;
	int err;

	if (p->resource && resource == POLICY_NO_RESOURCE)
		return 0;
	err = access_rules(f->engine, p->n_devices ? p->devices[0] : 0, resource, &p->arena, &rules,
			   &n);
	for (size_t i = 0; !err && i < n && i < RULES_SHOWN; i++) {
		json_t *j = rule_json(f->engine, &f->policy->rules[rules[i]], canary);

		err = j ? 0 : -ENOMEM;
		json_array_append_new(list, j);
	}
	return err;
}

static int add_all_rules(struct page *p, json_t *list)
{
	const struct model *m = app_model(p->app);
	int err = add_rules(p, &m->force, false, list);

	return err || !m->canary.engine ? err : add_rules(p, &m->canary, true, list);
}

/* --- whom it is about --- */

static int one_device(struct page *p, const struct device *d)
{
	p->devices = arena_dup(&p->arena, &d->row.id, sizeof(d->row.id));
	p->n_devices = p->devices != NULL;
	return p->devices ? 0 : -ENOMEM;
}

/* A device, or all of a user's. -ZT_EABSENT. */
static int find_sources(struct page *p, const char *from)
{
	struct model *m = app_model(p->app);
	const char *email = txt_starts(from, "user:") ? from + strlen("user:") : from;
	const char *name = txt_starts(from, "device:") ? from + strlen("device:") : from;
	const struct device *d = strchr(from, '@') ? NULL : model_find_device(m, name);
	int err;

	if (d)
		return one_device(p, d);
	err = engine_owned(m->force.engine, email, &p->arena, &p->devices, &p->n_devices);
	if (!err && !p->n_devices && !model_user(m, email))
		err = -ZT_EABSENT;
	return err;
}

/* A device by name, id or address, or all that host a resource. -ZT_EABSENT. */
static int find_destinations(struct page *p, const char *to)
{
	struct model *m = app_model(p->app);
	const char *name = txt_starts(to, "resource:") ? to + strlen("resource:") : to;
	const struct device *d = NULL;
	struct addr address;

	if (txt_starts(to, "device:"))
		d = model_find_device(m, to + strlen("device:"));
	else if (addr_parse(to, &address) == 0)
		d = api_device_at(app_model(p->app), &address);
	else if (name == to)
		d = model_find_device(m, to);
	if (d)
		return one_device(p, d);
	p->resource = name;
	return engine_hosts(m->force.engine, name, &p->arena, &p->devices, &p->n_devices);
}

static void answer(struct page *p, bool first)
{
	json_t *rules = json_array();
	int err = add_devices(p);

	if (!err && p->to && first)
		err = add_all_rules(p, rules);
	if (err)
		http_reply_error(p->request, 500, "internal", zt_strerror(err), "");
	else
		http_reply_json(p->request, 200,
				json_pack("{s:O,s:o,s:O}", "rows", p->rows, "next", cursor_json(p),
					  "rules", rules));
	json_decref(rules);
}

void api_access(void *app, struct http_request *r)
{
	const char *from = http_query(r, "from"), *to = http_query(r, "to"),
		   *after = http_query(r, "after");
	struct page p = {.app = app, .request = r, .to = to != NULL, .rows = json_array()};
	int err;

	arena_init(&p.arena, MEMORY_MAX);
	if (!from == !to || (after && !read_cursor(after, &p.after))) {
		http_reply_error(r, 400, "form", "one of from and to is needed",
				 "ztctl explain FROM, or ztctl explain --to RESOURCE");
		goto out;
	}
	if (api_refuse_many(r, to ? to : from))
		goto out;
	err = to ? find_destinations(&p, to) : find_sources(&p, from);
	if (err == -ZT_EABSENT)
		api_reply_absent(app, r, to != NULL, to ? to : from);
	else if (err)
		http_reply_error(r, 500, "internal", zt_strerror(err), "");
	else
		answer(&p, !after);
out:
	json_decref(p.rows);
	arena_done(&p.arena);
}
