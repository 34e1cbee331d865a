/* Preview of a policy, and the guard that looks at one before it is put: an admin who comes through
 * the overlay does not saw off the branch. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/txt.h"
#include "controller/api/api.h"
#include "controller/json/meaning_json.h"

/* --- the admin's own way --- */

/* The address in "https://100.64.0.1:8443" or "https://[fd00::1]:8443"; ADDR_NONE: it is a name. */
static struct addr address_of_url(const char *url)
{
	const char *host = strstr(url, "://");
	char text[ADDR_TEXT_MAX];
	struct addr a;
	size_t n;

	host = host ? host + strlen("://") : url;
	host += *host == '[';
	n = strcspn(host, host > url && host[-1] == '[' ? "]" : ":/");
	if (n >= sizeof(text))
		return (struct addr){0};
	memcpy(text, host, n);
	text[n] = '\0';
	return addr_parse(text, &a) ? (struct addr){0} : a;
}

/* The way of this request, when both of its ends are devices of the network. */
static struct survey_path own_path(struct app *a, struct http_request *r)
{
	struct addr known = address_of_url(app_url(a));
	const struct device *src, *dst;
	struct endpoint from, to;

	http_peer(r, &from);
	http_local(r, &to);
	src = api_device_at(app_model(a), &from.addr);
	dst = api_device_at(app_model(a), &to.addr);
	if (!dst)
		dst = api_device_at(app_model(a), &known);
	if (!src || !dst)
		return (struct survey_path){0};
	return (struct survey_path){
		.src = src->row.id, .dst = dst->row.id, .svc = {SERVICE_TCP, to.port, to.port}};
}

/* "tcp/8443 from laptop to controller" */
static void print_path(struct app *a, const struct survey_path *p, char *out, size_t size)
{
	const struct device *src = model_device(app_model(a), p->src),
			    *dst = model_device(app_model(a), p->dst);
	char svc[SERVICE_TEXT_MAX];

	service_print(&p->svc, svc);
	snprintf(out, size, "%s from %s to %s", svc, src ? src->row.name : "?",
		 dst ? dst->row.name : "?");
}

struct guarded {
	struct app *app;
	struct http_request *request;
	struct change change;
	char *text;
	app_policy_then then;
};

static void refuse_cut(struct guarded *g, const struct survey *v)
{
	char path[ZT_NAME_MAX * 2 + SERVICE_TEXT_MAX + 16], message[sizeof(path) + 64];

	print_path(g->app, &v->path, path, sizeof(path));
	snprintf(message, sizeof(message), "this policy would cut your own way here: %s", path);
	http_reply_error(g->request, 409, "state", message,
			 "add a rule that keeps it; or, if you have another way, use --force");
}

static void guard_surveyed(void *arg, const struct survey *v)
{
	struct guarded *g = arg;

	if (v->err && v->n_problems)
		api_refuse_policy(g->request, &v->diag, v->problems, v->n_problems, v->dropped);
	else if (v->err)
		http_reply_diag(g->request, v->err, &v->diag);
	else if (v->cuts_path)
		refuse_cut(g, v);
	else
		app_put_policy(g->app, &g->change, false, g->then, g->request);
	free(g->text);
	free(g);
}

void api_put_guarded(struct app *a, struct http_request *r, const struct change *c,
		     app_policy_then then)
{
	const char *force = http_query(r, "force");
	struct survey_path path = own_path(a, r);
	struct guarded *g;

	if (!path.src || (force && txt_equal(force, "1"))) {
		app_put_policy(a, c, false, then, r);
		return;
	}
	g = calloc(1, sizeof(*g));
	if (g)
		g->text = malloc(c->policy.len + 1);
	if (!g || !g->text) {
		free(g);
		http_reply_error(r, 500, "internal", zt_strerror(-ENOMEM), "");
		return;
	}
	memcpy(g->text, c->policy.text, c->policy.len);
	g->text[c->policy.len] = '\0';
	g->app = a;
	g->request = r;
	g->change = *c;
	g->change.policy.text = g->text;
	g->then = then;
	app_survey(a, g->text, c->policy.len, &path, guard_surveyed, g);
}

/* --- preview --- */

static json_t *ports_json(const struct portset *s)
{
	json_t *list = json_array();
	char word[SERVICE_TEXT_MAX];

	for (size_t i = 0; s->n && i < portset_n_words(s); i++) {
		portset_word(s, i, word);
		json_array_append_new(list, json_string(word));
	}
	return list;
}

static json_t *pairs_json(struct app *a, const struct preview_result *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->n_pairs_shown; i++) {
		const struct preview_pair *one = &p->pairs[i];

		json_array_append_new(
			list,
			json_pack("{s:o,s:o,s:o,s:o}", "from",
				  api_end_json(model_device(app_model(a), one->src)), "to",
				  api_end_json(model_device(app_model(a), one->dst)), "gained",
				  ports_json(&one->gained), "lost", ports_json(&one->lost)));
	}
	return json_pack("{s:I,s:I,s:I,s:I,s:o}", "total", (json_int_t)p->n_pairs, "gaining",
			 (json_int_t)p->n_gains, "losing", (json_int_t)p->n_loses, "cut",
			 (json_int_t)p->n_cuts, "list", list);
}

static json_t *devices_json(struct app *a, const struct preview_result *p)
{
	json_t *list = json_array(), *one;

	for (size_t i = 0; i < p->n_devices_shown; i++) {
		one = json_pack("{s:I,s:I}", "gains", (json_int_t)p->devices[i].gains, "loses",
				(json_int_t)p->devices[i].loses);
		json_object_set_new(one, "device",
				    api_end_json(model_device(app_model(a), p->devices[i].id)));
		json_array_append_new(list, one);
	}
	return json_pack("{s:I,s:o}", "total", (json_int_t)p->n_devices, "list", list);
}

static json_t *path_json(struct app *a, const struct survey *v)
{
	char path[ZT_NAME_MAX * 2 + SERVICE_TEXT_MAX + 16];

	if (!v->cuts_path)
		return json_null();
	print_path(a, &v->path, path, sizeof(path));
	return json_string(path);
}

struct asked {
	struct app *app;
	struct http_request *request;
};

static void answer_preview(void *arg, const struct survey *v)
{
	struct asked *x = arg;
	/* its lists are bounded as they are */
	static const struct meaning_limits all = {SIZE_MAX, SIZE_MAX, SIZE_MAX};
	const struct preview_result *p = v->result;

	if (v->err && v->n_problems)
		api_refuse_policy(x->request, &v->diag, v->problems, v->n_problems, v->dropped);
	else if (v->err)
		http_reply_diag(x->request, v->err, &v->diag);
	else
		http_reply_json(x->request, 200,
				json_pack("{s:b,s:o,s:o,s:o,s:o}", "nothing", preview_is_nothing(p),
					  "cuts_own_way", path_json(x->app, v), "pairs",
					  pairs_json(x->app, p), "devices", devices_json(x->app, p),
					  "meaning",
					  meaning_json("total", p->meaning.n, &p->meaning, &all)));
}

void api_policy_preview(void *app, struct http_request *r)
{
	struct survey_path path = own_path(app, r);
	struct asked *x = http_request_alloc(r, sizeof(*x));
	size_t n;
	const void *text = http_body(r, &n);

	if (!x) {
		http_reply_error(r, 500, "internal", zt_strerror(-ENOMEM), "");
		return;
	}
	*x = (struct asked){.app = app, .request = r};
	app_survey(app, text, n, &path, answer_preview, x);
}
