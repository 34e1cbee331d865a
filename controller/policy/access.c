/* Access lists: grants of a device, put together by the other end and the rule. */
#include "controller/policy/access.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/demand.h"
#include "controller/policy/engine_impl.h"
#include "controller/policy/services.h"
#include "controller/policy/when.h"
#include "controller/policy/words.h"
#include "zt/buf.h"

/* Grants are by (src, dst, svc, rule); here the services of a rule are to stand together. */
static int compare_grants(const void *a, const void *b)
{
	const struct grant *x = a, *y = b;

	if (x->src != y->src)
		return x->src < y->src ? -1 : 1;
	if (x->dst != y->dst)
		return x->dst < y->dst ? -1 : 1;
	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	return service_compare(&x->svc, &y->svc);
}

static bool is_same_row(const struct grant *x, const struct grant *y)
{
	return x->src == y->src && x->dst == y->dst && x->rule == y->rule;
}

/* When grants end. Of each different time that is looked up once; a grant that ends before it is
 * ended by a rule that denies. */
struct ends {
	const struct engine *e;
	int64_t *of_when; /* 0: not looked up yet */
};

static int64_t rule_end(struct ends *x, const struct policy_rule *r)
{
	int64_t *end;

	if (r->when == POLICY_ALWAYS)
		return INT64_MAX;
	end = &x->of_when[r->when];
	if (!*end)
		*end = when_end(&x->e->policy->whens[r->when], x->e->now_s);
	return *end;
}

static int64_t grant_end(struct ends *x, const struct grant *g)
{
	const struct policy_rule *r = &x->e->policy->rules[g->rule - 1];
	int64_t own = rule_end(x, r);
	int64_t edge = r->when == POLICY_ALWAYS ? INT64_MAX : x->e->edges[r->when];

	return g->until_s < edge && !when_asks_again(g->until_s) && g->until_s < own ? g->until_s
										     : own;
}

/* v is sorted here. */
static int rows_of(const struct engine *e, struct grant *v, size_t n, struct arena *a,
		   const struct access **ret, size_t *ret_n)
{
	struct service *svc = arena_array(a, n, sizeof(*svc));
	struct access *rows = arena_array(a, n, sizeof(*rows)), *last;
	struct ends ends = {.e = e,
			    .of_when = arena_array(a, e->policy->n_whens, sizeof(*ends.of_when))};
	size_t n_rows = 0;

	if (!svc || !rows || !ends.of_when)
		return -ENOMEM;
	if (n > 1)
		qsort(v, n, sizeof(*v), compare_grants);
	for (size_t i = 0; i < n; i++) {
		const struct policy_rule *r = &e->policy->rules[v[i].rule - 1];
		int64_t end = grant_end(&ends, &v[i]);

		svc[i] = v[i].svc;
		if (i == 0 || !is_same_row(&v[i], &v[i - 1]))
			rows[n_rows++] = (struct access){.src = v[i].src,
							 .dst = v[i].dst,
							 .rule = r,
							 .svc = &svc[i],
							 .until_s = INT64_MAX,
							 .lease_s = v[i].lease_s};
		last = &rows[n_rows - 1];
		last->n_svc++;
		last->until_s = end < last->until_s ? end : last->until_s;
		last->lease_s = v[i].lease_s < last->lease_s ? v[i].lease_s : last->lease_s;
	}
	*ret = rows;
	*ret_n = n_rows;
	return 0;
}

int access_from(const struct engine *e, uint32_t src, struct arena *a, const struct access **ret,
		size_t *ret_n)
{
	const struct grant *v;
	struct grant *own;
	size_t n;
	int err = engine_grants_from(e, src, a, &v, &n);

	own = err ? NULL : arena_array(a, n, sizeof(*own));
	if (!own)
		return -ENOMEM;
	if (n)
		memcpy(own, v, n * sizeof(*own));
	return rows_of(e, own, n, a, ret, ret_n);
}

static bool is_about(const struct policy *p, const struct grant *g, uint32_t resource)
{
	const struct policy_rule *r = &p->rules[g->rule - 1];
	const struct policy_resource *x = &p->resources[resource];
	bool named = false, meets = false;

	for (size_t i = 0; i < r->n_what; i++)
		named = named || r->what[i] == resource;
	for (size_t i = 0; i < x->n_ports; i++)
		meets = meets || service_overlaps(&x->ports[i], &g->svc);
	return named && meets;
}

int access_to(const struct engine *e, uint32_t dst, uint32_t resource, struct arena *a,
	      const struct access **ret, size_t *ret_n)
{
	const struct grant *v;
	struct grant *own;
	size_t n, kept = 0;
	int err = engine_grants(e, dst, a, &v, &n);

	own = err ? NULL : arena_array(a, n, sizeof(*own));
	if (!own)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (v[i].dst == dst &&
		    (resource == POLICY_NO_RESOURCE || is_about(e->policy, &v[i], resource)))
			own[kept++] = v[i];
	return rows_of(e, own, kept, a, ret, ret_n);
}

/* --- rules --- */

uint32_t access_resource(const struct engine *e, const char *name)
{
	for (uint32_t i = 0; i < e->policy->n_resources; i++)
		if (strcmp(e->policy->resources[i].name, name) == 0)
			return i;
	return POLICY_NO_RESOURCE;
}

int access_rules(const struct engine *e, uint32_t dst, uint32_t resource, struct arena *a,
		 const uint32_t **ret, size_t *ret_n)
{
	const struct node *n = engine_find(e, dst);
	struct bits atoms, resources, rules;
	uint32_t *v;
	size_t found = 0;

	if (bits_init(&atoms, e->index.n_atoms, a) < 0 ||
	    bits_init(&resources, e->policy->n_resources, a) < 0 ||
	    bits_init(&rules, e->policy->n_rules, a) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; resource == POLICY_NO_RESOURCE && n && i < n->n_seats; i++)
		bits_add(&atoms, n->seats[i].atom);
	bits_spread(e->index.hosted, &atoms, &resources);
	if (resource != POLICY_NO_RESOURCE)
		bits_add(&resources, resource);
	bits_spread(e->index.opened, &resources, &rules);
	v = arena_array(a, e->policy->n_rules, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->policy->n_rules; i++)
		if (bits_has(&rules, i))
			v[found++] = i;
	*ret = v;
	*ret_n = found;
	return 0;
}

/* "posture:a, posture:b, login < 12h" */
static const char *how_print(const struct policy *p, const struct policy_rule *r, struct arena *a)
{
	const char *text, *demands = demands_print(&r->demands, a);
	struct buf b;

	if (!demands)
		return NULL;
	buf_init_grow(&b, 1 << 20);
	for (size_t i = 0; i < r->n_how; i++)
		buf_printf(&b, "%sposture:%s", i ? ", " : "", p->postures[r->how[i]].name);
	buf_printf(&b, "%s%s", r->n_how && *demands ? ", " : "", demands);
	text = b.err ? NULL : arena_text(a, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}

int access_words(const struct engine *e, uint32_t rule, struct arena *a, struct access_words *ret)
{
	const struct policy *p = e->policy;
	const struct policy_rule *r = &p->rules[rule];
	struct access_words w = {.who = list_print(&r->who, a),
				 .when = r->when == POLICY_ALWAYS ? "" : p->whens[r->when].text,
				 .where = r->where || r->where_except ? where_print(p, r, a) : "",
				 .how = how_print(p, r, a)};

	if (!w.who || !w.where || !w.how)
		return -ENOMEM;
	*ret = w;
	return 0;
}
