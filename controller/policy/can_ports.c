/* One who asks and one who is asked: the ports between them fall into stretches about which the
 * same rules are. Protocols without a name are a stretch of their own: open where a rule opens all
 * protocols, and closed by any deny between the two (services.h). */
#include "controller/policy/can_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/buf.h"
#include "controller/policy/invariant.h"

enum { WORK_MAX = 50 << 20 };

struct about { /* a rule about some ports */
	struct service svc;
	uint32_t rule;
	bool deny;
};
struct abouts {
	struct about *v;
	size_t n;
};

bool can_be_two(const struct can_class *from, const struct can_class *to)
{
	if (from->n_ids != 1 || to->n_ids != 1)
		return true;
	return strncmp(from->ids->name, "device:", strlen("device:")) != 0 ||
	       strcmp(from->ids->name, to->ids->name) != 0;
}

/* --- rules about both --- */

static bool has_id(const struct can_class *c, uint32_t id)
{
	uint32_t lo = 0, hi = c->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->v[mid] == id)
			return true;
		if (c->v[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* Where the invariants of a class begin. */
static uint32_t first_hold(const struct can_run *x, const struct can_class *from)
{
	uint32_t i = from->n;

	while (i > 0 && from->v[i - 1] >= x->p->n_rules)
		i--;
	return i;
}

static size_t count_abouts(const struct can_run *x, const struct can_class *from,
			   const struct can_class *to)
{
	size_t n = 0, targets = 0;

	for (uint32_t i = first_hold(x, from); i < from->n; i++)
		targets += x->p->invariants[from->v[i] - x->p->n_rules].n_to;
	for (uint32_t i = 0; i < to->n; i++)
		n += (x->index.opened[to->v[i]].n + targets) * x->p->resources[to->v[i]].n_ports;
	return n;
}

/* What an invariant is about of this resource: like a deny. */
static size_t add_holds(const struct can_run *x, uint32_t hold, uint32_t resource, struct about *v)
{
	const struct policy_invariant *i = &x->p->invariants[hold - x->p->n_rules];
	const struct policy_resource *r = &x->p->resources[resource];
	size_t n = 0;

	for (size_t k = 0; k < i->n_to; k++)
		for (size_t j = 0; j < r->n_ports && invariant_means(x->p, i, &i->to[k], resource);
		     j++) {
			v[n] = (struct about){.rule = hold, .deny = true};
			n += target_port(&i->to[k], &r->ports[j], &v[n].svc);
		}
	return n;
}

static int find_abouts(struct can_run *x, const struct can_class *from, const struct can_class *to,
		       struct arena *a, struct abouts *ret)
{
	size_t most = count_abouts(x, from, to);
	struct about *v;
	size_t n = 0;

	x->work += most;
	if (x->work > WORK_MAX)
		return -ZT_ELIMIT;
	v = arena_array(a, most, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < to->n; i++) {
		const struct policy_resource *r = &x->p->resources[to->v[i]];
		const struct ids *opened = &x->index.opened[to->v[i]];

		for (uint32_t k = 0; k < opened->n; k++) {
			if (!has_id(from, opened->v[k]))
				continue;
			for (size_t j = 0; j < r->n_ports; j++)
				v[n++] = (struct about){r->ports[j], opened->v[k],
							x->p->rules[opened->v[k]].deny};
		}
		for (uint32_t k = first_hold(x, from); k < from->n; k++)
			n += add_holds(x, from->v[k], to->v[i], v + n);
	}
	*ret = (struct abouts){v, n};
	return 0;
}

/* --- stretches --- */

/* Is the rule about the first port of this stretch, and so about all of it? */
static bool is_about(const struct about *t, uint8_t proto, uint16_t port)
{
	if (proto == PORTSET_OTHER)
		return t->deny || t->svc.proto == SERVICE_ANY;
	if (t->svc.proto == SERVICE_ANY)
		return true;
	return t->svc.proto == proto && t->svc.lo <= port && port <= t->svc.hi;
}

struct stretches {
	struct can_run *x;
	const struct abouts *abouts;
	struct arena *scratch;
	struct can_stretch *v;
	size_t n, cap;
};

static int add_stretch(struct stretches *s, const struct service *svc)
{
	uint32_t *allow = arena_array(s->scratch, s->abouts->n, sizeof(*allow)), n_allow = 0;
	uint32_t *deny = arena_array(s->scratch, s->abouts->n, sizeof(*deny)), n_deny = 0;
	struct can_stretch *v;

	s->x->work += s->abouts->n;
	if (s->x->work > WORK_MAX)
		return -ZT_ELIMIT;
	if (!allow || !deny)
		return -ENOMEM;
	v = arena_room(s->x->a, s->v, s->n, &s->cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->v = v;
	for (size_t i = 0; i < s->abouts->n; i++) {
		const struct about *t = &s->abouts->v[i];

		if (!is_about(t, svc->proto, svc->lo))
			continue;
		if (t->deny)
			deny[n_deny++] = t->rule;
		else
			allow[n_allow++] = t->rule;
	}
	n_allow = ids_sort(allow, n_allow);
	n_deny = ids_sort(deny, n_deny);
	s->v[s->n].svc = *svc;
	return can_solve(s->x, allow, n_allow, deny, n_deny, &s->v[s->n++].solution);
}

static int compare_ports(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* asked: of one protocol, not any. */
static int cut_stretches(struct stretches *s, const struct service *asked)
{
	uint16_t *begins = arena_array(s->scratch, 2 * s->abouts->n + 1, sizeof(*begins));
	size_t n = 0;
	int err = begins ? 0 : -ENOMEM;

	if (err)
		return err;
	begins[n++] = asked->lo;
	for (size_t i = 0; i < s->abouts->n; i++) {
		const struct service *t = &s->abouts->v[i].svc;

		if (t->proto != asked->proto)
			continue;
		if (t->lo > asked->lo && t->lo <= asked->hi)
			begins[n++] = t->lo;
		if (t->hi >= asked->lo && t->hi < asked->hi)
			begins[n++] = (uint16_t)(t->hi + 1);
	}
	qsort(begins, n, sizeof(*begins), compare_ports);
	for (size_t i = 0; i < n && !err; i++) {
		size_t k = i + 1;
		struct service svc = {asked->proto, begins[i], asked->hi};

		while (k < n && begins[k] == begins[i])
			k++;
		if (k < n)
			svc.hi = (uint16_t)(begins[k] - 1);
		err = add_stretch(s, &svc);
		i = k - 1;
	}
	return err;
}

static int cut_asked(struct stretches *s, const struct service *asked, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		if (asked[i].proto != SERVICE_ANY)
			err = cut_stretches(s, &asked[i]);
		for (size_t k = 0; asked[i].proto == SERVICE_ANY && k < PORTSET_PARTS && !err; k++)
			err = cut_stretches(s, &portset_any[k]);
	}
	return err;
}

/* --- what is offered --- */

static int compare_services(const void *a, const void *b)
{
	return service_compare(a, b);
}

/* Apart from each other; any is all there is. */
static size_t merge(struct service *v, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), compare_services);
	if (n && v[0].proto == SERVICE_ANY) /* it sorts first */
		return 1;
	for (size_t i = 0; i < n; i++) {
		struct service *last = kept ? &v[kept - 1] : NULL;

		if (last && last->proto == v[i].proto && v[i].lo <= last->hi)
			last->hi = v[i].hi > last->hi ? v[i].hi : last->hi;
		else
			v[kept++] = v[i];
	}
	return kept;
}

/* All ports of these resources. */
static int offered(const struct can_run *x, const struct can_class *to, struct arena *a,
		   struct service **ret, size_t *ret_n)
{
	size_t n = 0, used = 0;
	struct service *v;

	for (uint32_t i = 0; i < to->n; i++)
		n += x->p->resources[to->v[i]].n_ports;
	v = arena_array(a, n, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < to->n; i++) {
		const struct policy_resource *r = &x->p->resources[to->v[i]];

		if (r->n_ports)
			memcpy(v + used, r->ports, r->n_ports * sizeof(*v));
		used += r->n_ports;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

int can_stretches(struct can_run *x, const struct can_class *from, const struct can_class *to,
		  const struct service *asked, size_t n_asked, const struct can_stretch **ret,
		  size_t *ret_n)
{
	struct arena scratch;
	struct abouts abouts = {0};
	struct stretches s = {.x = x, .abouts = &abouts, .scratch = &scratch};
	struct service *list = NULL;
	int err;

	arena_init(&scratch, (size_t)1 << 30);
	err = find_abouts(x, from, to, &scratch, &abouts);
	if (!err && !n_asked)
		err = offered(x, to, &scratch, &list, &n_asked);
	else if (!err)
		list = arena_dup(&scratch, asked, n_asked * sizeof(*asked));
	if (!err)
		err = list ? cut_asked(&s, list, merge(list, n_asked)) : -ENOMEM;
	arena_done(&scratch);
	*ret = s.v;
	*ret_n = s.n;
	return err;
}

/* --- words --- */

const char *can_ports_print(const struct service *ports, size_t n, struct arena *a)
{
	char text[SERVICE_TEXT_MAX];
	const char *all;
	struct buf b;

	buf_init_grow(&b, 1 << 20);
	for (size_t i = 0; i < n; i++) {
		if (ports[i].proto == PORTSET_OTHER)
			snprintf(text, sizeof(text), "other protocols");
		else
			service_print(&ports[i], text);
		buf_printf(&b, "%s%s", i ? ", " : "", text);
	}
	all = b.err ? NULL : arena_text(a, buf_text(&b), b.len);
	buf_free(&b);
	return all;
}
