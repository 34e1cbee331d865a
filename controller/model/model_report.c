/* The model, what devices say of themselves: the facts and endpoints of a report, which are soft
 * state. Nothing is judged here. */
#include "controller/model/model_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zt/txt.h"

enum { FACTS_ARENA_MAX = 1 << 20 };

/* The new facts: those of a partial report over those that stand. Texts are borrowed from both. */
static int merge_facts(const struct device *d, const struct report *r, int64_t received_ms,
		       struct arena *a, struct fact_view **ret, size_t *ret_n)
{
	size_t keep = r->full ? 0 : d->n_facts, n = 0, i = 0, j = 0;
	struct fact_view *out = arena_array(a, keep + r->n_facts, sizeof(*out));

	if (!out)
		return -ENOMEM;
	while (i < keep || j < r->n_facts) {
		int order = i == keep	      ? 1
			    : j == r->n_facts ? -1
					      : strcmp(d->facts[i].name, r->facts[j].name);
		struct fact_view *f = &out[n++];

		if (order < 0) {
			*f = d->facts[i++];
		} else {
			const struct fact *from = &r->facts[j++];

			*f = (struct fact_view){from->name, from->state, from->value,
						received_ms - (int64_t)from->age_s * 1000};
			i += order == 0;
		}
	}
	*ret = out;
	*ret_n = n;
	return n > ZT_FACTS_MAX ? -ZT_ELIMIT : 0;
}

/* Facts and their texts in one piece of memory of just that size: there are many devices, and most
 * of them are not connected. NULL: out of memory. */
static struct fact_view *pack_facts(const struct fact_view *v, size_t n)
{
	size_t size = n * sizeof(*v) + 1;
	struct fact_view *out;
	char *end;

	for (size_t i = 0; i < n; i++)
		size += strlen(v[i].name) + strlen(v[i].value) + 2;
	out = malloc(size);
	if (!out)
		return NULL;
	end = (char *)(out + n);
	for (size_t i = 0; i < n; i++) {
		out[i] = v[i];
		out[i].name = model_append_text(&end, v[i].name);
		out[i].value = model_append_text(&end, v[i].value);
	}
	return out;
}

static bool is_offerable(const struct model *m, const struct endpoint *e)
{
	return endpoint_is_usable(e) && !prefix_contains(&m->network.net4, &e->addr) &&
	       !prefix_contains(&m->network.net6, &e->addr);
}

/* Without memory it has none: its peers find it by its own handshakes. */
static void set_endpoints(struct device *d, const struct endpoint *v, size_t n)
{
	struct endpoint *copy = n ? malloc(n * sizeof(*copy)) : NULL;

	if (copy)
		memcpy(copy, v, n * sizeof(*copy));
	free(d->endpoints);
	d->endpoints = copy;
	d->n_endpoints = copy ? n : 0;
}

static bool take_endpoints(const struct model *m, struct device *d, const struct report *r)
{
	struct endpoint out[ZT_ENDPOINTS_PEER_MAX];
	size_t n = 0;
	bool changed;

	for (size_t i = 0; i < r->n_endpoints && n < ZT_ENDPOINTS_PEER_MAX - 1; i++)
		if (is_offerable(m, &r->endpoints[i]))
			out[n++] = r->endpoints[i];
	/* Where the controller sees it, with the WireGuard port: right when there is no NAT, or one
	 * that keeps ports. */
	if (r->wg_port && d->source.family != ADDR_NONE) {
		struct endpoint seen = {d->source, r->wg_port};
		bool known = !is_offerable(m, &seen);

		for (size_t i = 0; i < n; i++)
			known = known || endpoint_equal(&out[i], &seen);
		if (!known)
			out[n++] = seen;
	}
	changed = n != d->n_endpoints;
	for (size_t i = 0; i < n && !changed; i++)
		changed = !endpoint_equal(&out[i], &d->endpoints[i]);
	d->wg_port = r->wg_port;
	if (changed)
		set_endpoints(d, out, n);
	return changed;
}

static const char *fact_text(const struct fact_view *facts, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(facts[i].name, name) == 0 && facts[i].state == FACT_KNOWN)
			return facts[i].value;
	return "";
}

int model_take_report(struct model *m, struct device *d, const struct report *r,
		      int64_t received_ms, bool *ret_endpoints_changed)
{
	struct fact_view *merged, *facts = NULL;
	struct arena a;
	size_t n;
	int err;

	arena_init(&a, FACTS_ARENA_MAX);
	err = merge_facts(d, r, received_ms, &a, &merged, &n);
	if (!err && !(facts = pack_facts(merged, n)))
		err = -ENOMEM;
	arena_done(&a);
	if (err)
		return err;
	free(d->facts);
	d->facts = facts;
	d->n_facts = n;
	/* One that is too long is none. */
	(void)!txt_copy(d->version, sizeof(d->version), fact_text(facts, n, "node.version"));
	(void)!txt_copy(d->os, sizeof(d->os), fact_text(facts, n, "os.id"));
	*ret_endpoints_changed = take_endpoints(m, d, r);
	return 0;
}
