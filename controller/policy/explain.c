/* Explain: why src may open svc to dst, or which rule comes nearest and everything in it that
 * fails. A rule that denies is nearer than all others. Nearness: who and port fit and only posture
 * fails; then only the port; then (never told to the device itself) who; then both. Among rules
 * equally near the one with fewer failing conditions, then the first of the file. */
#include "controller/policy/engine_impl.h"

#include <errno.h>
#include <string.h>

#include "zt/buf.h"
#include "controller/policy/demand.h"
#include "controller/policy/networks.h"
#include "controller/policy/services.h"
#include "controller/policy/when.h"
#include "controller/policy/words.h"

enum rank {
	RANK_DENIES,
	RANK_ALLOWS,
	RANK_CONDITION,
	RANK_PORT,
	RANK_WHO,
	RANK_WHO_AND_PORT,
	RANK_NONE
};

struct candidate {
	enum rank rank;
	/* Conditions that do not hold; none where who fails: nobody asked for them. */
	uint64_t missing; /* postures */
	unsigned unknown; /* bits by enum demand_kind */
	bool elsewhere, closed;
	bool looked_at; /* it asks for a program or an account, which the device looks at */
	uint32_t rule;	/* index */
	uint32_t resource;
};

struct explain_run {
	const struct engine *e;
	const struct node *src, *dst; /* dst NULL: address behind gateways */
	const struct addr *address;
	const struct service *svc;
	const struct explain_context *c;
	struct arena *a;
	struct bits own_rules; /* rules whose who includes src */
	struct explain_failed *failed;
	size_t n_failed, cap;
};

/* --- the nearest rule --- */

static bool offers(const struct policy_resource *r, const struct service *svc)
{
	for (size_t i = 0; i < r->n_ports; i++)
		if (service_covers(&r->ports[i], svc))
			return true;
	return false;
}

static bool is_closed(const struct engine *e, uint32_t rule)
{
	uint32_t when = e->policy->rules[rule].when;

	return when != POLICY_ALWAYS && !e->open[when];
}

static unsigned count_conditions(const struct candidate *k)
{
	unsigned n = (unsigned)k->elsewhere + k->closed;

	n += (unsigned)__builtin_popcount(k->unknown);
	for (uint64_t v = k->missing; v; v &= v - 1)
		n++;
	return n;
}

/* A rule that denies some of the service to src in dst. */
static bool denies(const struct explain_run *x, uint32_t rule, uint32_t resource)
{
	const struct policy_resource *r = &x->e->policy->resources[resource];

	if (!x->e->policy->rules[rule].deny || !bits_has(&x->own_rules, rule) ||
	    !engine_holds(x->e, x->src, rule))
		return false;
	for (size_t i = 0; i < r->n_ports; i++)
		if (service_overlaps(&r->ports[i], x->svc))
			return true;
	return false;
}

static struct candidate weigh(const struct explain_run *x, uint32_t rule, uint32_t resource)
{
	bool who = bits_has(&x->own_rules, rule);
	bool port = offers(&x->e->policy->resources[resource], x->svc);
	uint64_t missing = x->e->index.needs[rule] & ~x->src->verdicts;
	const struct policy_demands *demands = &x->e->policy->rules[rule].demands;
	struct candidate k = {
		.missing = who ? missing : 0,
		.unknown = who ? demands_unknown(demands) : 0,
		.elsewhere = who && !where_holds(&x->e->policy->rules[rule], &x->src->places),
		.closed = who && is_closed(x->e, rule),
		.looked_at = demands_kinds(demands) & ~demands_unknown(demands),
		.rule = rule,
		.resource = resource};

	if (x->e->policy->rules[rule].deny)
		k.rank = denies(x, rule, resource) ? RANK_DENIES : RANK_NONE;
	else if (who && port)
		k.rank = count_conditions(&k) ? RANK_CONDITION : RANK_ALLOWS;
	else if (who)
		k.rank = RANK_PORT;
	else if (x->c->own_only)
		k.rank = RANK_NONE;
	else
		k.rank = port ? RANK_WHO : RANK_WHO_AND_PORT;
	return k;
}

static bool is_nearer(const struct candidate *a, const struct candidate *b)
{
	unsigned x = count_conditions(a), y = count_conditions(b);

	if (a->rank != b->rank)
		return a->rank < b->rank;
	if (x != y)
		return x < y;
	if (a->looked_at != b->looked_at) /* what holds as it is says more */
		return b->looked_at;
	return a->rule < b->rule;
}

static void weigh_resource(const struct explain_run *x, uint32_t resource, struct candidate *best)
{
	const struct ids *rules = &x->e->index.opened[resource];

	for (uint32_t k = 0; k < rules->n; k++) {
		struct candidate one = weigh(x, rules->v[k], resource);

		if (is_nearer(&one, best))
			*best = one;
	}
}

/* Among all that the destination hosts, or all that has its address behind gateways. */
static struct candidate nearest(const struct explain_run *x)
{
	const struct policy *p = x->e->policy;
	struct candidate best = {.rank = RANK_NONE};

	for (uint32_t i = 0; x->dst && i < x->dst->n_seats; i++) {
		const struct ids *hosted = &x->e->index.hosted[x->dst->seats[i].atom];

		for (uint32_t j = 0; j < hosted->n; j++)
			weigh_resource(x, hosted->v[j], &best);
	}
	for (uint32_t i = 0; x->address && i < p->n_resources; i++)
		if (networks_contain(p->resources[i].address, p->resources[i].n_address,
				     x->address))
			weigh_resource(x, i, &best);
	return best;
}

/* --- what fails in it --- */

static int say(struct explain_run *x, const char *condition, const char *is, const char *hint)
{
	struct explain_failed *v;

	if (!condition || !is || !hint)
		return -ENOMEM;
	v = arena_room(x->a, x->failed, x->n_failed, &x->cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	x->failed = v;
	x->failed[x->n_failed++] =
		(struct explain_failed){.condition = condition, .is = is, .hint = hint};
	return 0;
}

/* How a policy would name the source: by its user, else by its name. */
static const char *source_text(const struct explain_run *x)
{
	if (x->src->owner[0])
		return arena_printf(x->a, "user:%s", x->src->owner);
	return arena_printf(x->a, "device:%s", x->src->name);
}

static const char *who_hint(const struct explain_run *x, const struct policy_rule *r,
			    const char *src)
{
	for (size_t i = 0; i < r->who.n_in && x->src->owner[0] && !r->who.n_except; i++)
		if (r->who.in[i].kind == SELECTOR_GROUP)
			return arena_printf(x->a, "Add %s to group:%s.", src, r->who.in[i].name);
	return arena_printf(x->a, "Add %s to the who of rule %s.", src, r->name);
}

static int say_who(struct explain_run *x, const struct policy_rule *r)
{
	const char *src = source_text(x);
	const char *who = list_print(&r->who, x->a);
	const char *is;

	if (!src || !who)
		return -ENOMEM;
	is = arena_printf(x->a, "%s is not %s %s", src,
			  r->who.n_in == 1 && r->who.in[0].kind == SELECTOR_GROUP ? "in" : "among",
			  who);
	return say(x, "who", is, who_hint(x, r, src));
}

static int say_port(struct explain_run *x, const struct policy_resource *r)
{
	const char *ports = services_print(r->ports, r->n_ports, x->a);
	char svc[SERVICE_TEXT_MAX];

	if (!ports)
		return -ENOMEM;
	service_print(x->svc, svc);
	return say(x, arena_printf(x->a, "port %s", ports), arena_text(x->a, svc, strlen(svc)),
		   arena_printf(x->a, "Use %s, or add %s to the ports of resource %s.", ports, svc,
				r->name));
}

/* What was said last fails since then; 0: not known. */
static void say_since(struct explain_run *x, int64_t since_ms)
{
	x->failed[x->n_failed - 1].since_ms = since_ms;
}

/* One posture profile that does not hold: each of its conditions that fails. */
static int say_posture(struct explain_run *x, uint32_t posture)
{
	const struct policy_posture *p = &x->e->policy->postures[posture];
	int64_t since_ms = 0;
	const struct fact_view *facts = NULL;
	struct verdict v;
	size_t n = 0;
	int err;

	if (x->c->facts)
		facts = x->c->facts(x->c->arg, x->src->id, &n);
	if (x->c->failing_since_ms)
		since_ms = x->c->failing_since_ms(x->c->arg, x->src->id, posture);
	err = posture_evaluate(p, facts, facts ? n : 0, x->c->now_ms, 0, x->a, &v);
	for (size_t i = 0; !err && i < v.n_failed; i++) {
		err = say(x, arena_printf(x->a, "posture:%s: %s", p->name, v.failed[i].condition),
			  v.failed[i].is, v.failed[i].hint);
		if (!err)
			say_since(x, v.failed[i].since_ms ? v.failed[i].since_ms : since_ms);
	}
	if (!err && v.n_failed == 0) /* the facts are newer than the verdict */
		err = say(x, arena_printf(x->a, "posture:%s", p->name), "being looked at again",
			  "Try again in a moment.");
	return err;
}

/* "2026-11-23 18:40 UTC": closed, and when it opens, if it does. */
static int say_when(struct explain_run *x, const struct policy_rule *r)
{
	const struct policy_when *w = &x->e->policy->whens[r->when];
	int64_t next_s = when_next(w, x->e->now_s), since_s = when_since(w, x->e->now_s);
	char now[DATE_TIME_TEXT_MAX], next[DATE_TIME_TEXT_MAX];
	const char *hint = "Its time is over; ask for a rule that holds now.";
	int err;

	time_print(x->e->now_s, now);
	if (next_s < INT64_MAX && when_holds(w, next_s)) {
		time_print(next_s, next);
		hint = arena_printf(x->a, "It opens again at %s.", next);
	} else if (next_s < INT64_MAX) {
		hint = "It does not open soon; ask for a rule that holds now.";
	}
	err = say(x, arena_printf(x->a, "when: %s", w->text), arena_printf(x->a, "%s", now), hint);
	if (!err && since_s != INT64_MIN)
		say_since(x, since_s * 1000);
	return err;
}

/* "192.0.2.7 (DE)"; "" when it is not known; NULL: out of memory. */
static const char *whereabouts(struct explain_run *x)
{
	return x->c->whereabouts ? x->c->whereabouts(x->c->arg, x->src->id, x->a) : "";
}

static int say_where(struct explain_run *x, const struct policy_rule *r)
{
	const char *where = where_print(x->e->policy, r, x->a), *is = whereabouts(x);

	if (!where || !is)
		return -ENOMEM;
	if (where_fails(r, &x->src->places))
		return say(x, arena_printf(x->a, "where: %s", where), is,
			   "Connect from there, or ask for a rule that holds where you are.");
	return say(x, arena_printf(x->a, "where: %s", where),
		   is[0] ? arena_printf(x->a, "not known for %s", is) : "not known",
		   "Its address is seen when it connects; countries need the controller's "
		   "country_database.");
}

static int say_demand(struct explain_run *x, const struct policy_rule *r, enum demand_kind kind)
{
	return say(x, demand_print(&r->demands, kind, x->a), "not known",
		   "This controller knows no logins and no approvals yet; ask for a rule without "
		   "them.");
}

/* A deny that holds at certain times: when it does, and until when this time. */
static int say_deny_when(struct explain_run *x, const struct policy_rule *r)
{
	const struct policy_when *w = &x->e->policy->whens[r->when];
	int64_t next_s = when_next(w, x->e->now_s);
	char now[DATE_TIME_TEXT_MAX], next[DATE_TIME_TEXT_MAX];
	const char *hint = "It does not end soon.";

	time_print(x->e->now_s, now);
	if (next_s < INT64_MAX && !when_holds(w, next_s)) {
		time_print(next_s, next);
		hint = arena_printf(x->a, "It denies until %s.", next);
	}
	return say(x, arena_printf(x->a, "outside of when: %s", w->text),
		   arena_printf(x->a, "%s", now), hint);
}

/* A deny in certain places: also where it is not known whether the source is there. */
static int say_deny_where(struct explain_run *x, const struct policy_rule *r)
{
	const char *where = where_print(x->e->policy, r, x->a), *is = whereabouts(x);

	if (!where || !is)
		return -ENOMEM;
	if (where_holds(r, &x->src->places))
		return say(x, arena_printf(x->a, "outside of where: %s", where), is,
			   "Connect from elsewhere.");
	return say(x, arena_printf(x->a, "outside of where: %s", where),
		   is[0] ? arena_printf(x->a, "not known for %s", is) : "not known",
		   "What is not known is denied. Its address is seen when it connects; countries "
		   "need the controller's country_database.");
}

static int say_deny(struct explain_run *x, const struct policy_rule *r)
{
	int err =
		say(x, "no rule denies", arena_printf(x->a, "rule %s denies: %s", r->name, r->why),
		    "Ask who answers for this rule; a deny wins over every rule that allows.");

	if (!err && r->when != POLICY_ALWAYS)
		err = say_deny_when(x, r);
	if (!err && (r->where || r->where_except))
		err = say_deny_where(x, r);
	return err;
}

static int say_all(struct explain_run *x, const struct candidate *k)
{
	const struct policy *p = x->e->policy;
	int err = 0;

	if (k->rank == RANK_DENIES)
		return say_deny(x, &p->rules[k->rule]);
	if (k->rank >= RANK_WHO)
		err = say_who(x, &p->rules[k->rule]);
	if (!err && (k->rank == RANK_PORT || k->rank == RANK_WHO_AND_PORT))
		err = say_port(x, &p->resources[k->resource]);
	if (!err && k->closed)
		err = say_when(x, &p->rules[k->rule]);
	if (!err && k->elsewhere)
		err = say_where(x, &p->rules[k->rule]);
	for (unsigned left = k->unknown; left && !err; left &= left - 1)
		err = say_demand(x, &p->rules[k->rule], (enum demand_kind)__builtin_ctz(left));
	for (uint64_t left = k->missing; left && !err; left &= left - 1)
		err = say_posture(x, (uint32_t)__builtin_ctzll(left));
	return err;
}

/* A rule allows it, and an invariant holds it back. */
static int say_held(struct explain_run *x, const struct policy_invariant *i)
{
	const char *asked = invariant_print(x->e->policy, i, x->a);

	if (!asked)
		return -ENOMEM;
	if (x->c->own_only) /* it is no rule of the device's own */
		return say(x, "no invariant is broken",
			   arena_printf(x->a, "an invariant of the policy %s", asked),
			   "Ask an admin: ztctl explain says which one, and why.");
	return say(x, "no invariant is broken",
		   arena_printf(x->a, "invariant %s %s: %s", i->name, asked, i->why),
		   "Tags or groups given since the policy was put have brought the rule and the "
		   "invariant together; change one of them, or the tags and groups.");
}

static int run_init(struct explain_run *x)
{
	int err = bits_init(&x->own_rules, x->e->policy->n_rules, x->a);

	for (uint32_t i = 0; i < x->src->n_seats && !err; i++) {
		const struct ids *rules = &x->e->index.rules[x->src->seats[i].atom];

		for (uint32_t j = 0; j < rules->n; j++)
			bits_add(&x->own_rules, rules->v[j]);
	}
	return err;
}

/* No gateway forwards in this version, so no packet passes, whatever the rules say. */
static int say_gateway(struct explain_run *x, const struct policy_rule *r)
{
	return say(x, "a gateway forwards",
		   arena_printf(x->a, "rule %s allows it, but no gateway forwards in this version",
				r->name),
		   "Put the service on an enrolled device (on = tag:NAME) until gateways forward.");
}

static int run(struct explain_run *x, struct explanation *ret)
{
	const struct policy *p = x->e->policy;
	const struct policy_invariant *held = NULL;
	struct candidate best = {.rank = RANK_NONE};
	struct explanation result = {0};
	bool allowed;
	int err = run_init(x);

	if (!err)
		best = nearest(x);
	allowed = best.rank == RANK_ALLOWS;
	if (!err && allowed && x->dst)
		held = engine_held_by(x->e, x->src, x->dst, x->svc);
	if (!err && allowed && x->address)
		err = say_gateway(x, &p->rules[best.rule]);
	else if (held)
		err = say_held(x, held);
	else if (!err && !allowed && best.rank != RANK_NONE)
		err = say_all(x, &best);
	if (err < 0)
		return err;
	result.allowed = allowed && !x->address && !held;
	if (result.allowed)
		result.rule = &p->rules[best.rule];
	else if (best.rank != RANK_NONE)
		result.nearest = &p->rules[best.rule];
	result.failed = x->failed;
	result.n_failed = x->n_failed;
	*ret = result;
	return 0;
}

int engine_explain(const struct engine *e, uint32_t src, uint32_t dst, const struct service *svc,
		   const struct explain_context *c, struct arena *a, struct explanation *ret)
{
	struct explain_run x = {.e = e,
				.src = engine_find(e, src),
				.dst = engine_find(e, dst),
				.svc = svc,
				.c = c,
				.a = a};

	if (!x.src || !x.dst)
		return -ZT_EABSENT;
	if (src == dst) { /* no rule is about a device and itself */
		*ret = (struct explanation){0};
		return 0;
	}
	return run(&x, ret);
}

static bool is_behind(const struct policy *p, const struct addr *a)
{
	for (size_t i = 0; i < p->n_resources; i++)
		if (networks_contain(p->resources[i].address, p->resources[i].n_address, a))
			return true;
	return false;
}

int engine_explain_address(const struct engine *e, uint32_t src, const struct addr *dst,
			   const struct service *svc, const struct explain_context *c,
			   struct arena *a, struct explanation *ret)
{
	struct explain_run x = {
		.e = e, .src = engine_find(e, src), .address = dst, .svc = svc, .c = c, .a = a};

	if (!x.src || !is_behind(e->policy, dst))
		return -ZT_EABSENT;
	return run(&x, ret);
}
