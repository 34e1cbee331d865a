/* Openings: what a rule opens, or an invariant is about, as ports of hosts. Sets of them have
 * numbers, the same for two policies: they are joined and sorted, so that it makes no difference
 * how they were written. */
#include "controller/policy/meaning_units_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/invariant.h"
#include "controller/policy/portset.h"
#include "zt/buf.h"
#include "zt/num.h"

/* --- of a resource --- */

static int compare_openings(const void *a, const void *b)
{
	const struct opening *x = a, *y = b;

	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	if (x->lease_s != y->lease_s)
		return x->lease_s < y->lease_s ? -1 : 1;
	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Sorts and joins what overlaps or touches; how many are left. */
static size_t join_openings(struct opening *v, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), compare_openings);
	for (size_t i = 0; i < n; i++) {
		struct opening *last = kept ? &v[kept - 1] : NULL;

		if (!last || last->host != v[i].host || last->lease_s != v[i].lease_s ||
		    last->proto != v[i].proto || v[i].lo > last->hi + 1)
			v[kept++] = v[i];
		else if (v[i].hi > last->hi)
			last->hi = v[i].hi;
	}
	return kept;
}

static uint32_t unit_behind(struct units *u, uint32_t gateway, const struct prefix *address)
{
	char text[UNIT_TEXT_MAX], prefix[PREFIX_TEXT_MAX];
	uint32_t key[2], id;

	prefix_print(address, prefix);
	key[0] = unit_of_text(u, prefix);
	key[1] = gateway;
	id = units_find(u, KEY_VIA, key, sizeof(key));
	if (id != NAMES_ABSENT || u->err)
		return id;
	snprintf(text, sizeof(text), "%s via %.900s", prefix, u->texts[gateway]);
	return units_add(u, KEY_VIA, key, sizeof(key), text);
}

/* Hosts of a resource, on devices or behind gateways. */
static struct ids host_units(struct units *u, const struct policy_resource *r)
{
	struct ids via = units_of_selectors(u, &r->via);
	uint32_t *v;

	if (!r->via.n_in)
		return units_of_selectors(u, &r->on);
	v = units_array(u, via.n * r->n_address, sizeof(*v));
	for (size_t i = 0; v && i < via.n; i++)
		for (size_t j = 0; j < r->n_address; j++)
			v[i * r->n_address + j] = unit_behind(u, via.v[i], &r->address[j]);
	return units_sorted(v, (uint32_t)(via.n * r->n_address));
}

static uint32_t lease_of(const struct units *u, const struct policy_resource *r)
{
	return u->leases_as_given || r->lease_s != u->policy->lease_s ? (uint32_t)r->lease_s : 0;
}

static struct openings openings_of_resource(struct units *u, uint32_t resource)
{
	const struct policy_resource *r = &u->policy->resources[resource];
	struct openings *known = &u->hosts[resource];
	struct ids hosts;
	struct portset ports;
	struct opening *v;
	size_t n = 0;

	if (known->v || u->err)
		return *known;
	hosts = host_units(u, r);
	units_fail(u, portset_of(r->ports, r->n_ports, u->arena, &ports));
	v = u->err ? NULL : units_array(u, hosts.n * ports.n, sizeof(*v));
	for (uint32_t i = 0; v && i < hosts.n; i++)
		for (size_t j = 0; j < ports.n; j++)
			v[n++] = (struct opening){.host = hosts.v[i],
						  .lease_s = lease_of(u, r),
						  .proto = ports.v[j].proto,
						  .lo = ports.v[j].lo,
						  .hi = ports.v[j].hi};
	*known = (struct openings){.v = v, .n = n};
	return *known;
}

/* --- sets, by number --- */

/* The number of a set. */
static uint32_t number_of(struct units *u, struct opening *v, size_t n)
{
	void *sets = u->sets;
	uint32_t id;

	n = v ? join_openings(v, n) : 0;
	id = units_find(u, KEY_SET, v, n * sizeof(*v));
	if (id != NAMES_ABSENT)
		return id;
	if (!units_reserve(u, &sets, u->n_sets, &u->sets_cap, sizeof(*u->sets)))
		return 0;
	u->sets = sets;
	u->sets[u->n_sets] = (struct openings){.v = v, .n = n};
	units_remember(u, KEY_SET, v, n * sizeof(*v), u->n_sets);
	return u->n_sets++;
}

static uint32_t collect_rule(struct units *u, const struct policy_rule *r)
{
	size_t n = 0, used = 0;
	struct opening *v;

	for (size_t i = 0; i < r->n_what; i++)
		n += openings_of_resource(u, r->what[i]).n;
	v = units_array(u, n, sizeof(*v));
	for (size_t i = 0; v && i < r->n_what; i++) {
		struct openings one = openings_of_resource(u, r->what[i]);

		if (one.n)
			memcpy(v + used, one.v, one.n * sizeof(*v));
		used += one.n;
	}
	for (size_t i = 0; v && i < used && r->deny; i++)
		v[i].lease_s = 0;
	return number_of(u, v, used);
}

uint32_t openings_of_rule(struct units *u, const struct policy_rule *r)
{
	enum unit_key kind = (enum unit_key)(KEY_WHAT + 2 * u->round + r->deny);
	size_t size = r->n_what * sizeof(*r->what);
	uint32_t id = units_find(u, kind, r->what, size);

	if (id != NAMES_ABSENT || u->err)
		return id;
	id = collect_rule(u, r);
	units_remember(u, kind, r->what, size, id);
	return id;
}

/* Of this opening the part that the target is about. */
static bool narrow(struct opening *o, const struct policy_target *t)
{
	const struct service *s = &t->svc;

	if (!t->some_ports || s->proto == SERVICE_ANY)
		return true;
	if (o->proto != s->proto || o->hi < s->lo || o->lo > s->hi)
		return false;
	o->lo = o->lo > s->lo ? o->lo : s->lo;
	o->hi = o->hi < s->hi ? o->hi : s->hi;
	return true;
}

/* Leases are nothing to an invariant. */
static size_t add_target(struct units *u, const struct policy_invariant *p,
			 const struct policy_target *t, struct opening *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < u->policy->n_resources; i++) {
		struct openings one = invariant_means(u->policy, p, t, i)
					      ? openings_of_resource(u, i)
					      : (struct openings){0};

		for (size_t k = 0; k < one.n; k++) {
			struct opening o = one.v[k];

			o.lease_s = 0;
			if (!narrow(&o, t))
				continue;
			if (out)
				out[n] = o;
			n++;
		}
	}
	return n;
}

uint32_t openings_of_invariant(struct units *u, const struct policy_invariant *p)
{
	size_t n = 0, used = 0;
	struct opening *v;

	for (size_t i = 0; i < p->n_to && !u->err; i++)
		n += add_target(u, p, &p->to[i], NULL);
	v = units_array(u, n, sizeof(*v));
	for (size_t i = 0; v && i < p->n_to; i++)
		used += add_target(u, p, &p->to[i], v + used);
	return number_of(u, v, used);
}

uint32_t openings_union(struct units *u, const uint32_t *v, uint32_t n)
{
	uint32_t id = n == 1 ? v[0] : units_find(u, KEY_UNION, v, n * sizeof(*v));
	size_t total = 0, used = 0;
	struct opening *all;

	if (id != NAMES_ABSENT || u->err)
		return id;
	for (uint32_t i = 0; i < n; i++)
		total += u->sets[v[i]].n;
	all = units_array(u, total, sizeof(*all));
	for (uint32_t i = 0; all && i < n; i++) {
		if (u->sets[v[i]].n)
			memcpy(all + used, u->sets[v[i]].v, u->sets[v[i]].n * sizeof(*all));
		used += u->sets[v[i]].n;
	}
	id = number_of(u, all, used);
	units_remember(u, KEY_UNION, v, n * sizeof(*v), id);
	return id;
}

/* --- in words --- */

/* "tag:db tcp/80, tcp/443, lease 5m" of n openings, which are of one host and lease. */
static uint32_t unit_of_opening(struct units *u, const struct opening *v, size_t n)
{
	struct service *boxes = units_array(u, n, sizeof(*boxes));
	char word[SERVICE_TEXT_MAX], lease[32];
	struct portset ports = {.v = boxes, .n = n};
	uint32_t id = 0;
	struct buf b;

	for (size_t i = 0; boxes && i < n; i++)
		boxes[i] =
			(struct service){(uint8_t)v[i].proto, (uint16_t)v[i].lo, (uint16_t)v[i].hi};
	if (u->err)
		return 0;
	buf_init_grow(&b, 1 << 20);
	buf_put_text(&b, u->texts[v[0].host]);
	for (size_t i = 0; i < portset_n_words(&ports); i++) {
		portset_word(&ports, i, word);
		buf_printf(&b, "%s%s", i ? ", " : " ", word);
	}
	if (v[0].lease_s) {
		num_print_duration(v[0].lease_s, lease, sizeof(lease));
		buf_printf(&b, ", lease %s", lease);
	}
	if (b.err)
		units_fail(u, -ENOMEM);
	else
		id = unit_of_text(u, buf_text(&b));
	buf_free(&b);
	return id;
}

struct ids units_of_openings(struct units *u, uint32_t set)
{
	struct openings s = u->err ? (struct openings){0} : u->sets[set];
	uint32_t *v = units_array(u, s.n, sizeof(*v)), n = 0;

	for (size_t i = 0, j; v && i < s.n; i = j) {
		for (j = i + 1;
		     j < s.n && s.v[j].host == s.v[i].host && s.v[j].lease_s == s.v[i].lease_s;)
			j++;
		v[n++] = unit_of_opening(u, s.v + i, j - i);
	}
	return units_sorted(v, n);
}
