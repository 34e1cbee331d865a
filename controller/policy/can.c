/* Can: the question put to each pair of who may ask and who may be asked, and the answers put
 * together. */
#include "controller/policy/can_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zt/buf.h"
#include "zt/txt.h"
#include "controller/policy/words.h"

/* --- the run --- */

void can_run_forget(struct can_run *x)
{
	names_init(&x->known, x->a);
	x->kept = NULL;
	x->n_kept = x->cap_kept = 0;
}

int can_run_init(struct can_run *x, const struct policy *p, const struct subject *devices,
		 size_t n_devices, int64_t now_s, struct arena *a)
{
	*x = (struct can_run){
		.p = p, .devices = devices, .n_devices = n_devices, .now_s = now_s, .a = a};
	can_run_forget(x);
	names_init(&x->users, a);
	return index_init(&x->index, p);
}

void can_run_done(struct can_run *x)
{
	index_done(&x->index);
}

/* --- ways of all pairs --- */

/* A way between two classes, with the ports it is about. */
struct found {
	const struct can_option *option;
	uint32_t from, to; /* classes */
	const struct service *ports;
	size_t n_ports;
	bool all; /* that were asked about */
};

struct ask {
	struct can_run x;
	const struct can_question *q;
	struct can_party from, to;
	const struct service *asked; /* n 0: what each offers */
	size_t n_asked;
	struct found *v;
	size_t n, cap;
	bool some_open, some_closed;
};

static bool same_option(const struct can_option *a, const struct can_option *b)
{
	return a->rule == b->rule && a->postures == b->postures && a->timed == b->timed &&
	       a->placed == b->placed && a->n_nots == b->n_nots &&
	       (a->n_nots == 0 ||
		memcmp(a->nots, b->nots, a->n_nots * sizeof(const struct policy_rule *)) == 0) &&
	       a->n_holds == b->n_holds &&
	       (a->n_holds == 0 ||
		memcmp(a->holds, b->holds, a->n_holds * sizeof(const struct policy_invariant *)) ==
			0);
}

static int add_found(struct ask *k, const struct found *one)
{
	struct found *v = arena_room(k->x.a, k->v, k->n, &k->cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	k->v = v;
	k->v[k->n++] = *one;
	return 0;
}

static void add_port(struct service *ports, size_t *n, const struct service *svc)
{
	struct service *last = *n ? &ports[*n - 1] : NULL;

	if (last && last->proto == svc->proto && last->hi + 1 == svc->lo)
		last->hi = svc->hi;
	else
		ports[(*n)++] = *svc;
}

/* An option of one stretch, with all stretches that have the same one. */
static int find_way(struct ask *k, const struct can_stretch *v, size_t n,
		    const struct can_option *o, uint32_t from, uint32_t to)
{
	struct service *ports = arena_array(k->x.a, n, sizeof(*ports));
	struct found one = {.option = o, .from = from, .to = to, .ports = ports, .all = true};

	if (!ports)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		bool has = false;

		for (size_t j = 0; j < v[i].solution->n && !has; j++)
			has = same_option(&v[i].solution->options[j], o);
		if (has)
			add_port(ports, &one.n_ports, &v[i].svc);
		one.all = one.all && has;
	}
	return add_found(k, &one);
}

static bool is_known(const struct can_stretch *v, size_t n, const struct can_option *o)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < v[i].solution->n; j++)
			if (same_option(&v[i].solution->options[j], o))
				return true;
	return false;
}

static int ask_pair(struct ask *k, uint32_t from, uint32_t to)
{
	const struct can_stretch *v;
	size_t n;
	int err = can_stretches(&k->x, &k->from.classes[from], &k->to.classes[to], k->asked,
				k->n_asked, &v, &n);

	for (size_t i = 0; i < n && !err; i++) {
		const struct can_solution *s = v[i].solution;

		k->some_open = k->some_open || s->verdict != CAN_NEVER;
		k->some_closed = k->some_closed || s->verdict != CAN_ALWAYS;
		for (size_t j = 0; j < s->n && !err; j++)
			if (!is_known(v, i, &s->options[j]))
				err = find_way(k, v, n, &s->options[j], from, to);
	}
	return err;
}

/* --- the same way of many pairs is one --- */

static int compare_ports(const struct found *x, const struct found *y)
{
	if (x->all != y->all)
		return x->all ? -1 : 1;
	if (x->all) /* of each all that was asked */
		return 0;
	if (x->n_ports != y->n_ports)
		return x->n_ports < y->n_ports ? -1 : 1;
	for (size_t i = 0; i < x->n_ports; i++) {
		int c = service_compare(&x->ports[i], &y->ports[i]);

		if (c)
			return c;
	}
	return 0;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_options(const struct can_option *a, const struct can_option *b)
{
	int c = compare_numbers(a->rule->id, b->rule->id);

	if (!c)
		c = compare_numbers(a->postures, b->postures);
	if (!c)
		c = a->timed != b->timed ? (a->timed ? 1 : -1) : 0;
	if (!c)
		c = a->placed != b->placed ? (a->placed ? 1 : -1) : 0;
	if (!c)
		c = compare_numbers(a->n_nots, b->n_nots);
	for (size_t i = 0; !c && i < a->n_nots; i++)
		c = compare_numbers(a->nots[i]->id, b->nots[i]->id);
	if (!c)
		c = compare_numbers(a->n_holds, b->n_holds);
	for (size_t i = 0; !c && i < a->n_holds; i++) /* of one array */
		c = compare_numbers((uintptr_t)a->holds[i], (uintptr_t)b->holds[i]);
	return c;
}

static int compare_found(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	int c = compare_options(x->option, y->option);

	if (!c)
		c = compare_ports(x, y);
	if (!c)
		c = compare_numbers(x->to, y->to);
	return c ? c : compare_numbers(x->from, y->from);
}

static bool same_but_parties(const struct found *x, const struct found *y)
{
	return compare_options(x->option, y->option) == 0 && compare_ports(x, y) == 0;
}

/* The same way for the same askers: those asked next to each other in a sorted list. */
static bool same_askers(const struct found *x, const struct found *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (x[i].from != y[i].from)
			return false;
	return true;
}

/* A user who is known by a group that an admin gave, and by name alone, is two classes and one
 * name. */
static int identity_add(struct names *known, struct can_identity *v, size_t *n,
			const struct can_identity *one)
{
	size_t len = strlen(one->name);

	if (!one->exists && names_find(known, 0, one->name, len) != NAMES_ABSENT)
		return 0;
	v[(*n)++] = *one;
	return one->exists ? 0 : names_add(known, 0, one->name, len, 0);
}

static int identities(const struct can_party *y, const uint32_t *classes, size_t n,
		      const struct can_identity **ret, size_t *ret_n)
{
	struct can_identity *v;
	struct names known;
	size_t all = 0;
	int err = 0;

	for (size_t i = 0; i < n; i++)
		all += y->classes[classes ? classes[i] : i].n_ids;
	v = arena_array(y->x->a, all, sizeof(*v));
	if (!v)
		return -ENOMEM;
	*ret_n = 0;
	names_init(&known, y->x->a);
	*ret = v;
	for (size_t i = 0; i < n && !err; i++) {
		const struct can_class *c = &y->classes[classes ? classes[i] : i];

		for (size_t k = 0; k < c->n_ids && !err; k++)
			err = identity_add(&known, v, ret_n, &c->ids[k]);
	}
	return err;
}

/* v: n entries of one to. Those to's with the same list of askers follow in tos. */
static int make_way(struct ask *k, const struct found *v, size_t n, const uint32_t *tos,
		    size_t n_tos, struct can_way *ret)
{
	const struct can_option *o = v->option;
	uint32_t *froms = arena_array(k->x.a, n, sizeof(*froms));
	int err = froms ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !err; i++)
		froms[i] = v[i].from;
	*ret = (struct can_way){.rule = o->rule,
				.postures = o->postures,
				.timed = o->timed,
				.placed = o->placed,
				.nots = o->nots,
				.n_nots = o->n_nots,
				.holds = o->holds,
				.n_holds = o->n_holds,
				.ports = v->ports,
				.n_ports = v->all ? 0 : v->n_ports};
	if (!err && n < k->from.n)
		err = identities(&k->from, froms, n, &ret->from, &ret->n_from);
	if (!err && n_tos < k->to.n)
		err = identities(&k->to, tos, n_tos, &ret->to, &ret->n_to);
	return err;
}

/* One way of the group lo..hi, all alike but for the parties: by list of askers. */
static int make_group(struct ask *k, size_t lo, size_t hi, struct can_way *ways, size_t *n_ways)
{
	uint32_t *tos = arena_array(k->x.a, k->to.n, sizeof(*tos));
	size_t *starts = arena_array(k->x.a, k->to.n + 1, sizeof(*starts)), n = 0;
	bool *done = arena_array(k->x.a, k->to.n, sizeof(*done));
	int err = tos && starts && done ? 0 : -ENOMEM;

	for (size_t i = lo; i < hi && !err; i++)
		if (i == lo || k->v[i].to != k->v[i - 1].to)
			starts[n++] = i;
	if (!err)
		starts[n] = hi;
	for (size_t i = 0; i < n && !err; i++) {
		size_t len = starts[i + 1] - starts[i], n_tos = 0;

		for (size_t j = i; !done[i] && j < n; j++) {
			if (done[j] || starts[j + 1] - starts[j] != len ||
			    !same_askers(&k->v[starts[i]], &k->v[starts[j]], len))
				continue;
			done[j] = j > i;
			tos[n_tos++] = k->v[starts[j]].to;
		}
		if (n_tos)
			err = make_way(k, &k->v[starts[i]], len, tos, n_tos, &ways[(*n_ways)++]);
	}
	return err;
}

static int make_ways(struct ask *k, struct can_answer *ret)
{
	struct can_way *ways = arena_array(k->x.a, k->n, sizeof(*ways));
	size_t hi;
	int err = ways ? 0 : -ENOMEM;

	if (k->n > 1)
		qsort(k->v, k->n, sizeof(*k->v), compare_found);
	for (size_t lo = 0; lo < k->n && !err; lo = hi) {
		hi = lo + 1;
		while (hi < k->n && same_but_parties(&k->v[lo], &k->v[hi]))
			hi++;
		err = make_group(k, lo, hi, ways, &ret->n_ways);
	}
	ret->ways = ways;
	return err;
}

/* --- the question --- */

static uint32_t find_resource(const struct policy *p, const char *name)
{
	for (uint32_t i = 0; i < p->n_resources; i++)
		if (strcmp(p->resources[i].name, name) == 0)
			return i;
	return NAMES_ABSENT;
}

static int ask_resource(struct ask *k, bool *ret_some)
{
	uint32_t i = find_resource(k->x.p, k->q->to.name);

	if (i == NAMES_ABSENT)
		return 0;
	*ret_some = true;
	if (!k->q->svc) {
		k->asked = k->x.p->resources[i].ports;
		k->n_asked = k->x.p->resources[i].n_ports;
	}
	return can_party_add_hosts(&k->to, i);
}

/* --- what there is not --- */

enum { CANDIDATES_MAX = 4000 }; /* more would take longer than it helps */

/* Names of that kind: those of devices that exist, and those that the policy knows. */
static size_t names_of(const struct can_run *x, enum selector_kind kind, const char **out)
{
	const struct names *all = &x->index.names;
	size_t n = 0;

	for (size_t i = 0; i < x->n_devices && n < CANDIDATES_MAX; i++) {
		const struct subject *s = &x->devices[i];
		const char *name = kind == SELECTOR_USER ? s->owner : s->name;

		if ((kind == SELECTOR_USER || kind == SELECTOR_DEVICE) && name && name[0])
			out[n++] = name;
	}
	for (size_t i = 0; i < all->cap && n < CANDIDATES_MAX; i++)
		if (all->slots[i].p && all->slots[i].kind == (uint32_t)kind) {
			out[n] = arena_text(x->a, all->slots[i].p, all->slots[i].n);
			n += out[n] != NULL;
		}
	return n;
}

static size_t names_of_resources(const struct policy *p, const char **out, size_t n)
{
	for (size_t i = 0; i < p->n_resources && n < CANDIDATES_MAX; i++)
		out[n++] = p->resources[i].name;
	return n;
}

static int no_such_target(struct ask *k, struct diag *d)
{
	const struct can_target *t = &k->q->to;
	const char **names = arena_array(k->x.a, CANDIDATES_MAX, sizeof(*names)), *near = NULL;
	size_t n = 0;

	if (!names)
		return -ENOMEM;
	if (t->kind == CAN_TO_ADDRESS) {
		diag_set(d, 0, "TO: no resource behind gateways has that address");
	} else {
		diag_set(d, 0, "TO: there is no resource, device or user \"%s\"", t->name);
		n = names_of(&k->x, t->kind == CAN_TO_USER ? SELECTOR_USER : SELECTOR_DEVICE,
			     names);
		n = t->kind == CAN_TO_RESOURCE ? names_of_resources(k->x.p, names, n) : n;
		near = txt_nearest(t->name, names, n);
	}
	if (near)
		diag_hint(d, "did you mean %s?", near);
	else
		diag_hint(d, "TO is a resource, a device, a user, or an address behind gateways");
	return -ZT_EABSENT;
}

static int no_such_asker(struct ask *k, struct diag *d)
{
	const char **names = arena_array(k->x.a, CANDIDATES_MAX, sizeof(*names)), *near;
	struct selector meant = k->q->from;
	char name[SELECTOR_TEXT_MAX];

	if (!names)
		return -ENOMEM;
	selector_print(&meant, name);
	diag_set(d, 0, "FROM: %s is no device's, and the policy does not know it", name);
	near = txt_nearest(meant.name, names, names_of(&k->x, meant.kind, names));
	if (!near) {
		diag_hint(d, "FROM is a device, or user:EMAIL, group:NAME, tag:NAME or anyone");
		return -ZT_EABSENT;
	}
	meant.name = near;
	selector_print(&meant, name);
	diag_hint(d, "did you mean %s?", name);
	return -ZT_EABSENT;
}

/* --- the parties --- */

static int find_hosts(struct ask *k, struct diag *d)
{
	const struct can_target *t = &k->q->to;
	struct selector s = {.kind = t->kind == CAN_TO_USER ? SELECTOR_USER : SELECTOR_DEVICE,
			     .name = t->name};
	bool some = false;
	int err = 0;

	if (k->q->svc) {
		k->asked = k->q->svc;
		k->n_asked = 1;
	}
	switch (t->kind) {
	case CAN_TO_RESOURCE:
		err = ask_resource(k, &some);
		break;
	case CAN_TO_DEVICE:
	case CAN_TO_USER:
		err = can_party_add(&k->to, &s, &some);
		break;
	case CAN_TO_ADDRESS:
		err = can_party_add_address(&k->to, &t->addr, &some);
		break;
	}
	return err || some ? err : no_such_target(k, d);
}

static int find_askers(struct ask *k, struct diag *d)
{
	bool some = false;
	int err;

	can_party_init(&k->from, &k->x, false, can_party_rules(&k->to));
	if (!k->from.rules)
		return -ENOMEM;
	err = can_party_add(&k->from, &k->q->from, &some);
	return err || some ? err : no_such_asker(k, d);
}

static int ask_all(struct ask *k, struct can_answer *ret)
{
	int err = 0;

	for (uint32_t i = 0; i < k->to.n; i++)
		for (uint32_t j = 0; j < k->from.n && !err; j++)
			if (can_be_two(&k->from.classes[j], &k->to.classes[i]))
				err = ask_pair(k, j, i);
	if (!err)
		err = make_ways(k, ret);
	if (!err)
		err = identities(&k->from, NULL, k->from.n, &ret->from, &ret->n_from);
	if (!err)
		err = identities(&k->to, NULL, k->to.n, &ret->to, &ret->n_to);
	if (err)
		return err;
	ret->verdict = !k->some_open ? CAN_NEVER : k->some_closed ? CAN_ONLY_IF : CAN_ALWAYS;
	for (size_t i = 0; i < k->to.n && !ret->behind_gateway; i++)
		for (uint32_t j = 0; j < k->to.classes[i].n; j++)
			if (k->x.p->resources[k->to.classes[i].v[j]].n_address)
				ret->behind_gateway = true;
	return 0;
}

int can_ask(const struct policy *p, const struct can_question *q, struct arena *a,
	    struct can_answer *ret, struct diag *d)
{
	struct can_answer answer = {0};
	struct ask k = {.q = q};
	int err = can_run_init(&k.x, p, q->devices, q->n_devices, q->now_s, a);

	if (err)
		return err;
	k.x.held = true;
	can_party_init(&k.to, &k.x, true, NULL);
	err = can_run_take_users(&k.x);
	if (!err)
		err = find_hosts(&k, d);
	if (!err)
		err = find_askers(&k, d);
	if (!err)
		err = ask_all(&k, &answer);
	can_run_done(&k.x);
	if (err == -ZT_ELIMIT) {
		diag_set(d, err, "the question has too many cases");
		diag_hint(d, "ask about one device, one resource and one port");
	}
	if (!err)
		*ret = answer;
	return err;
}
