/* GET policy/can: may this ever open that? Who is meant, and the devices that there are, are read
 * in the loop; the policy is read again and asked in the worker, because it may take long. */
#include <errno.h>
#include <string.h>

#include "zt/txt.h"
#include "controller/api/api.h"
#include "controller/policy/can.h"
#include "controller/policy/demand.h"
#include "controller/policy/place.h"
#include "controller/policy/words.h"

enum {
	CAN_MEMORY_MAX = 768 << 20,
	WAYS_SHOWN = 500,
	IDENTITIES_SHOWN = 50,
};

struct asking {
	struct app *app;
	struct http_request *request;
	struct arena arena;
	struct roll *roll;
	struct can_question q;
	struct service svc;
	struct policy *policy;
	struct can_answer answer;
	int err;
	struct diag diag;
};

/* --- who and what is meant --- */

static const struct {
	const char *prefix;
	enum selector_kind kind;
} forms[] = {
	{"user:", SELECTOR_USER},
	{"group:", SELECTOR_GROUP},
	{"tag:", SELECTOR_TAG},
	{"device:", SELECTOR_DEVICE},
};

static const char *keep(struct asking *x, const char *text)
{
	const char *own = arena_text(&x->arena, text, strlen(text));

	if (!own)
		x->err = -ENOMEM;
	return own ? own : "";
}

static void read_from(struct asking *x, const char *text)
{
	const struct device *d =
		strchr(text, '@') ? NULL : model_find_device(app_model(x->app), text);
	struct selector *s = &x->q.from;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (txt_starts(text, forms[i].prefix)) {
			s->kind = forms[i].kind;
			s->name = keep(x, text + strlen(forms[i].prefix));
			return;
		}
	if (txt_equal(text, "anyone")) {
		s->kind = SELECTOR_ANYONE;
		return;
	}
	s->kind = strchr(text, '@') ? SELECTOR_USER : SELECTOR_DEVICE;
	s->name = keep(x, d ? d->row.name : text);
}

static const struct device *find_device(const struct model *m, const char *text)
{
	struct addr want;

	if (addr_parse(text, &want))
		return model_find_device(m, text);
	for (size_t i = 0; i < m->n_devices; i++) {
		const struct device *d = m->devices[i];

		if (d && d->row.state != DEVICE_REVOKED &&
		    (addr_equal(&d->row.addr4, &want) || addr_equal(&d->row.addr6, &want)))
			return d;
	}
	return NULL;
}

/* In the order of explain: a device, an address, else a resource. */
static void read_to(struct asking *x, const char *text)
{
	const struct device *d;
	struct can_target *t = &x->q.to;

	if (txt_starts(text, "resource:")) {
		*t = (struct can_target){.kind = CAN_TO_RESOURCE,
					 .name = keep(x, text + strlen("resource:"))};
		return;
	}
	if (txt_starts(text, "user:") || strchr(text, '@')) {
		text += txt_starts(text, "user:") ? strlen("user:") : 0;
		*t = (struct can_target){.kind = CAN_TO_USER, .name = keep(x, text)};
		return;
	}
	if (txt_starts(text, "device:")) {
		*t = (struct can_target){.kind = CAN_TO_DEVICE,
					 .name = keep(x, text + strlen("device:"))};
		return;
	}
	d = find_device(app_model(x->app), text);
	if (d)
		*t = (struct can_target){.kind = CAN_TO_DEVICE, .name = keep(x, d->row.name)};
	else if (addr_parse(text, &t->addr) == 0)
		t->kind = CAN_TO_ADDRESS;
	else
		*t = (struct can_target){.kind = CAN_TO_RESOURCE, .name = keep(x, text)};
}

/* --- the answer --- */

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *identities_json(const struct can_identity *v, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n && i < IDENTITIES_SHOWN; i++)
		json_array_append_new(
			list, json_pack("{s:s,s:b}", "name", v[i].name, "exists", v[i].exists));
	return list;
}

static json_t *ports_json(const struct service *v, size_t n)
{
	json_t *list = json_array();
	char text[SERVICE_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		service_print(&v[i], text);
		json_array_append_new(
			list, json_string(v[i].proto == PORTSET_OTHER ? "other protocols" : text));
	}
	return list;
}

static const char *when_text(const struct policy *p, const struct policy_rule *r)
{
	return r->when == POLICY_ALWAYS ? NULL : p->whens[r->when].text;
}

static const char *where_text(struct asking *x, const struct policy_rule *r)
{
	return r->where || r->where_except ? where_print(x->policy, r, &x->arena) : NULL;
}

/* Beside the postures. */
static const char *how_text(struct asking *x, const struct policy_rule *r)
{
	return demands_kinds(&r->demands) ? demands_print(&r->demands, &x->arena) : NULL;
}

static json_t *nots_json(struct asking *x, const struct can_way *w)
{
	json_t *list = json_array();

	for (size_t i = 0; i < w->n_nots; i++)
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:o,s:o}", "rule", w->nots[i]->name,
						"why", w->nots[i]->why, "when",
						text_or_null(when_text(x->policy, w->nots[i])),
						"where", text_or_null(where_text(x, w->nots[i]))));
	return list;
}

static json_t *holds_json(struct asking *x, const struct can_way *w)
{
	json_t *list = json_array();

	for (size_t i = 0; i < w->n_holds; i++)
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:o}", "invariant", w->holds[i]->name,
						"why", w->holds[i]->why, "asks",
						text_or_null(invariant_print(x->policy, w->holds[i],
									     &x->arena))));
	return list;
}

static json_t *way_json(struct asking *x, const struct can_way *w)
{
	json_t *postures = json_array();

	for (uint64_t left = w->postures; left; left &= left - 1)
		json_array_append_new(postures,
				      json_string(x->policy->postures[__builtin_ctzll(left)].name));
	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:i,s:o,s:i}", "rule",
			 w->rule->name, "why", w->rule->why, "postures", postures, "how",
			 text_or_null(how_text(x, w->rule)), "when",
			 text_or_null(w->timed ? when_text(x->policy, w->rule) : NULL), "where",
			 text_or_null(w->placed ? where_text(x, w->rule) : NULL), "nots",
			 nots_json(x, w), "holds", holds_json(x, w), "ports",
			 ports_json(w->ports, w->n_ports), "from",
			 identities_json(w->from, w->n_from), "n_from", (int)w->n_from, "to",
			 identities_json(w->to, w->n_to), "n_to", (int)w->n_to);
}

static json_t *answer_json(struct asking *x)
{
	static const char *const verdicts[] = {
		[CAN_NEVER] = "never", [CAN_ONLY_IF] = "only if", [CAN_ALWAYS] = "always"};
	const struct can_answer *y = &x->answer;
	json_t *ways = json_array();
	size_t shown = y->n_ways < WAYS_SHOWN ? y->n_ways : WAYS_SHOWN;

	for (size_t i = 0; i < shown; i++)
		json_array_append_new(ways, way_json(x, &y->ways[i]));
	return json_pack("{s:s,s:o,s:i,s:o,s:i,s:o,s:i,s:b}", "verdict", verdicts[y->verdict],
			 "ways", ways, "more", (int)(y->n_ways - shown), "from",
			 identities_json(y->from, y->n_from), "n_from", (int)y->n_from, "to",
			 identities_json(y->to, y->n_to), "n_to", (int)y->n_to, "behind_gateway",
			 y->behind_gateway);
}

/* --- the flow --- */

static void ask(void *arg, struct store *s)
{
	struct asking *x = arg;
	struct diag problem = {0};
	struct diag_list problems = {.items = &problem, .max = 1};
	struct policy_env env = app_policy_env(x->app, x->q.now_s * 1000);
	struct policy_row row;

	env.was_accepted = true;
	x->err = store_policy_get(s, 0, &x->arena, &row);
	if (!x->err && !row.text)
		x->err = -ENOMEM;
	if (!x->err)
		x->err = policy_parse("policy", row.text, row.len, &env, &x->policy, &problems);
	if (!x->err)
		x->err = can_ask(x->policy, &x->q, &x->arena, &x->answer, &x->diag);
}

static void finish(struct asking *x)
{
	policy_free(x->policy);
	roll_free(x->roll);
	arena_done(&x->arena);
}

static void answer(void *arg)
{
	struct asking *x = arg;

	if (x->err == -ZT_EABSENT)
		http_reply_error(x->request, 404, "absent", x->diag.message, x->diag.hint);
	else if (x->err == -ZT_ELIMIT || (x->err == -ENOMEM && x->policy))
		http_reply_error(x->request, 400, "limit", "the question has too many cases",
				 "ask about one device, one resource and one port");
	else if (x->err || !x->policy)
		http_reply_error(x->request, 500, "internal",
				 zt_strerror(x->err ? x->err : -ENOMEM), "");
	else
		http_reply_json(x->request, 200, answer_json(x));
	finish(x);
}

static void fail_internal(struct asking *x, int err)
{
	http_reply_error(x->request, 500, "internal", zt_strerror(err), "");
	finish(x);
}

static void mustered(void *arg, int err, struct roll *r)
{
	struct asking *x = arg;

	x->roll = r;
	if (err) {
		fail_internal(x, err);
		return;
	}
	x->q.devices = roll_subjects(r, &x->q.n_devices);
	app_read(x->app, ask, answer, x);
}

void api_policy_can(void *app, struct http_request *r)
{
	const char *from = http_query(r, "from"), *to = http_query(r, "to"),
		   *service = http_query(r, "service");
	struct asking *x = http_request_alloc(r, sizeof(*x));

	if (!x) {
		http_reply_error(r, 500, "internal", zt_strerror(-ENOMEM), "");
		return;
	}
	*x = (struct asking){.app = app, .request = r};
	if (!from || !to || (service && service_parse(service, &x->svc))) {
		http_reply_error(r, 400, "form", "from and to are needed, and a service if any",
				 "ztctl policy can FROM TO [PROTO/PORT], for example tcp/443, "
				 "udp/53, icmp, any");
		return;
	}
	arena_init(&x->arena, CAN_MEMORY_MAX);
	x->q.svc = service ? &x->svc : NULL;
	x->q.now_s = app_now(app).wall_ms / 1000;
	read_from(x, from);
	read_to(x, to);
	if (x->err)
		fail_internal(x, x->err);
	else
		app_muster(app, mustered, x);
}
