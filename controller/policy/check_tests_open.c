/* What is open of the hosts of a resource: by whatever resource they offer, for a packet has no
 * resource. A host is whoever the resource's on means and nothing else, or an address. */
#include "controller/policy/check_tests.h"

#include <errno.h>
#include <string.h>

#include "controller/policy/services.h"
#include "controller/policy/when.h"

int hosts_of(struct test_run *t, uint32_t resource, const struct hosts **ret)
{
	struct hosts *h = &t->hosts[resource];
	struct can_party y;
	int err;

	*ret = h;
	if (h->made)
		return 0;
	can_party_init(&y, &t->x, true, NULL);
	err = can_party_add_hosts(&y, resource);
	*h = (struct hosts){.v = y.classes, .n = y.n, .made = true};
	return err;
}

bool rule_opens(const struct test_run *t, uint32_t rule)
{
	const struct policy *p = t->c->policy;
	const struct policy_rule *r = &p->rules[rule];
	int64_t now_s = t->c->env->now_s;

	return !r->deny &&
	       (!now_s || r->when == POLICY_ALWAYS || !when_is_over(&p->whens[r->when], now_s));
}

bool rule_denies(const struct test_run *t, const uint64_t *rules, uint32_t rule)
{
	const struct policy_rule *r = &t->c->policy->rules[rule];

	return r->deny && has_rule(rules, rule) && policy_rule_is_plain(r);
}

/* A device may be kept out of a resource by what else it is: what is denied there then may be open
 * on it. Not so the test's own, which it offers or is not asked about. */
static bool is_sure(const struct test_run *t, const struct policy_test *test, uint32_t resource)
{
	return test->expect_allow || resource == test->to ||
	       !t->c->policy->resources[resource].on.n_except;
}

static bool is_denied(const struct test_run *t, const uint64_t *rules, uint32_t resource)
{
	const struct ids *about = &t->x.index.opened[resource];

	for (uint32_t i = 0; i < about->n; i++)
		if (rule_denies(t, rules, about->v[i]))
			return true;
	return false;
}

/* Ports of the host that are denied to those with these rules. */
static int denied_ports(struct test_run *t, const struct policy_test *test, const uint64_t *rules,
			const struct can_class *host, const struct service **ret, size_t *ret_n)
{
	const struct policy_resource *resources = t->c->policy->resources;
	struct service *v;
	size_t n = 0, used = 0;

	for (uint32_t i = 0; i < host->n && t->x.index.n_denies; i++)
		n += resources[host->v[i]].n_ports;
	v = arena_array(&t->c->scratch, n, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < host->n && n; i++) {
		const struct policy_resource *r = &resources[host->v[i]];

		if (!is_sure(t, test, host->v[i]) || !is_denied(t, rules, host->v[i]))
			continue;
		memcpy(v + used, r->ports, r->n_ports * sizeof(*v));
		used += r->n_ports;
	}
	*ret = v;
	*ret_n = used;
	return 0;
}

/* The first rule that opens the resource to those with these rules, or NAMES_ABSENT. */
static uint32_t opener_of(const struct test_run *t, const uint64_t *rules, uint32_t resource)
{
	const struct ids *about = &t->x.index.opened[resource];

	for (uint32_t i = 0; i < about->n; i++)
		if (has_rule(rules, about->v[i]) && rule_opens(t, about->v[i]))
			return about->v[i];
	return NAMES_ABSENT;
}

bool services_have(const struct service *open, size_t n, const struct service *want,
		   struct arena *a)
{
	const struct service *left;
	size_t n_left;

	for (size_t i = 0; i < n; i++)
		if (service_covers(&open[i], want))
			return true;
	if (want->proto == SERVICE_ANY)
		return false;
	return services_cut(want, 1, open, n, a, &left, &n_left) == 0 && n_left == 0;
}

/* What is open on one host. */
struct open_ports {
	struct service *v;
	size_t n, cap;
};

/* The resource's ports but for the cuts; the first that the test asks for is noted. */
static int open_resource(struct test_run *t, const struct policy_test *test, uint32_t resource,
			 const struct service *cuts, size_t n_cuts, struct open_ports *open,
			 bool *ret_some)
{
	const struct policy_resource *r = &t->c->policy->resources[resource];
	struct arena *a = &t->c->scratch;
	const struct service *left;
	struct service *v;
	size_t n;

	*ret_some = false;
	if (services_cut(r->ports, r->n_ports, cuts, n_cuts, a, &left, &n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!service_overlaps(&left[i], &test->svc))
			continue;
		v = arena_room(a, open->v, open->n, &open->cap, sizeof(*v));
		if (!v)
			return -ENOMEM;
		open->v = v;
		open->v[open->n++] = left[i];
		*ret_some = true;
	}
	return 0;
}

static int open_host(struct test_run *t, const struct policy_test *test, const uint64_t *rules,
		     const struct can_class *host, struct opened *ret)
{
	struct open_ports open = {0};
	const struct service *cuts;
	enum opening how = OPEN_NOT;
	size_t n_cuts;
	int err = denied_ports(t, test, rules, host, &cuts, &n_cuts);

	for (uint32_t i = 0; i < host->n && !err; i++) {
		uint32_t rule = opener_of(t, rules, host->v[i]);
		bool some;

		if (rule == NAMES_ABSENT)
			continue;
		err = open_resource(t, test, host->v[i], cuts, n_cuts, &open, &some);
		if (err || !some)
			continue;
		/* the rule about the test's own resource says most */
		if (ret->rule == NAMES_ABSENT || host->v[i] == test->to) {
			ret->rule = rule;
			ret->resource = host->v[i];
		}
	}
	if (open.n)
		how = services_have(open.v, open.n, &test->svc, &t->c->scratch) ? OPEN_WHOLLY
										: OPEN_PARTLY;
	ret->most = how > ret->most ? how : ret->most;
	ret->least = how < ret->least ? how : ret->least;
	return err;
}

int how_open(struct test_run *t, const struct policy_test *test, const uint64_t *rules,
	     struct opened *ret)
{
	const struct hosts *hosts;
	struct opened all = {.most = OPEN_NOT, .least = OPEN_WHOLLY, .rule = NAMES_ABSENT};
	int err = hosts_of(t, test->to, &hosts);

	for (size_t i = 0; !err && i < hosts->n; i++)
		err = open_host(t, test, rules, &hosts->v[i], &all);
	if (err)
		return err;
	if (!hosts->n)
		all.least = OPEN_NOT;
	*ret = all;
	return 0;
}
