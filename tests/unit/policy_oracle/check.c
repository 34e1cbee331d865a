#include "tests/unit/policy_oracle/run.h"

#include <inttypes.h>

#include "tests/unit/unit.h"

struct seen seen;

uint32_t id_of(unsigned device)
{
	return device * 1000 + 7;
}

unsigned device_of(uint32_t id)
{
	return id / 1000;
}

/* --- failures --- */

static void print_device(const struct run *r, unsigned i)
{
	const struct device *d = &r->devices[i];

	fprintf(stderr,
		"  %u: %s owner u%d name d%u tags %#x groups %#x verdicts %#x source %s country "
		"%s overlay %s %s\n",
		i, d->in ? "in" : "out", d->owner, d->name, d->tags, d->groups, d->verdicts,
		d->where.source < 0 ? "?" : oracle_sources[d->where.source],
		d->where.country < 0 ? "?" : oracle_countries[d->where.country], d->where.overlay4,
		d->where.overlay6);
}

void wrong(struct run *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s\n--- devices\n", buf_text(&r->text));
	for (unsigned i = 0; i < ORACLE_DEVICES; i++)
		print_device(r, i);
	fail_msg("SEED=%" PRIu64 " change %u (%s) at %" PRId64 ": %s", r->seed, r->change, r->what,
		 r->now_s, text);
}

static const char *point_text(struct point p)
{
	static const char *const names[] = {"any", "icmp", "tcp", "udp", "other"};
	static char text[16];

	snprintf(text, sizeof(text), "%s/%u", names[p.proto], p.port);
	return text;
}

/* --- comparison --- */

static bool grant_has(const struct grant *g, struct point p)
{
	switch (g->svc.proto) {
	case SERVICE_ANY:
		return true;
	case SERVICE_ICMP:
		return p.proto == PROTO_ICMP;
	case SERVICE_TCP:
		return p.proto == PROTO_TCP && g->svc.lo <= p.port && p.port <= g->svc.hi;
	default:
		return p.proto == PROTO_UDP && g->svc.lo <= p.port && p.port <= g->svc.hi;
	}
}

static int compare_grants(const struct grant *a, const struct grant *b)
{
	if (a->src != b->src)
		return a->src < b->src ? -1 : 1;
	if (a->dst != b->dst)
		return a->dst < b->dst ? -1 : 1;
	if (service_compare(&a->svc, &b->svc))
		return service_compare(&a->svc, &b->svc);
	return (a->rule > b->rule) - (a->rule < b->rule);
}

static void check_pair(struct run *r, const struct answers *got, unsigned s, unsigned d)
{
	for (unsigned p = 0; p < r->world.n_points; p++)
		if (got->by[s][d][p] != r->now.by[s][d][p])
			wrong(r, "%u -> %u %s: rules %#x, should be %#x", s, d,
			      point_text(r->world.points[p]), got->by[s][d][p], r->now.by[s][d][p]);
		else if (got->lease_s[s][d][p] != r->now.lease_s[s][d][p])
			wrong(r, "%u -> %u %s: a lease of %u s, should be %u s", s, d,
			      point_text(r->world.points[p]), got->lease_s[s][d][p],
			      r->now.lease_s[s][d][p]);
}

static void add_grant(struct run *r, const struct grant *g, struct answers *got)
{
	unsigned s = device_of(g->src), d = device_of(g->dst);

	if (!g->rule || g->rule > r->world.n_rules || s == d)
		wrong(r, "an impossible grant: %u -> %u by %u", g->src, g->dst, g->rule);
	for (unsigned p = 0; p < r->world.n_points; p++)
		if (grant_has(g, r->world.points[p])) {
			got->by[s][d][p] |= 1U << r->rule_of[g->rule];
			if (g->lease_s > got->lease_s[s][d][p])
				got->lease_s[s][d][p] = g->lease_s;
		}
	seen.grants++;
}

/* The grants of one device: as the oracle says, and the same as those of an engine made afresh. */
static void check_grants(struct run *r, unsigned i)
{
	static struct answers got;
	const struct grant *g, *fresh;
	size_t n, n_fresh;
	struct arena a;

	memset(&got, 0, sizeof(got));
	arena_init(&a, 16 << 20);
	assert_int_equal(engine_grants(r->engine, id_of(i), &a, &g, &n), 0);
	assert_int_equal(engine_grants(r->fresh, id_of(i), &a, &fresh, &n_fresh), 0);
	for (size_t k = 0; k < n; k++) {
		if ((g[k].src != id_of(i) && g[k].dst != id_of(i)) ||
		    (k && compare_grants(&g[k - 1], &g[k]) >= 0))
			wrong(r, "grants of %u are not in order at %zu", i, k);
		if (k >= n_fresh || compare_grants(&g[k], &fresh[k]) != 0 ||
		    g[k].until_s != fresh[k].until_s || g[k].lease_s != fresh[k].lease_s)
			wrong(r, "grants of %u are not those of a fresh engine at %zu", i, k);
		add_grant(r, &g[k], &got);
	}
	if (n != n_fresh)
		wrong(r, "%zu grants of %u, %zu of a fresh engine", n, i, n_fresh);
	for (unsigned k = 0; k < ORACLE_DEVICES; k++) {
		check_pair(r, &got, i, k);
		check_pair(r, &got, k, i);
	}
	arena_done(&a);
}

/* Those with whom it shares a grant, or would if every posture held. */
static void check_neighbours(struct run *r, unsigned i)
{
	static struct answers perfect;
	struct device devices[ORACLE_DEVICES];
	bool listed[ORACLE_DEVICES] = {0};
	const uint32_t *ids;
	struct arena a;
	size_t n;

	memcpy(devices, r->devices, sizeof(devices));
	for (unsigned k = 0; k < ORACLE_DEVICES; k++)
		devices[k].verdicts = UINT32_MAX;
	oracle_answer(&r->world, devices, r->now_s, &perfect);
	arena_init(&a, 1 << 20);
	assert_int_equal(engine_neighbours(r->engine, id_of(i), &a, &ids, &n), 0);
	for (size_t k = 0; k < n; k++) {
		listed[device_of(ids[k])] = true;
		if (ids[k] == id_of(i) || !r->devices[device_of(ids[k])].in ||
		    (k && ids[k - 1] >= ids[k]))
			wrong(r, "neighbours of %u: %u at %zu", i, ids[k], k);
	}
	for (unsigned k = 0; k < ORACLE_DEVICES; k++)
		for (unsigned p = 0; p < r->world.n_points; p++)
			if ((perfect.by[i][k][p] | perfect.by[k][i][p]) && !listed[k])
				wrong(r, "%u is no neighbour of %u", k, i);
	arena_done(&a);
}

static void check_profiles(struct run *r, unsigned i)
{
	uint64_t want = 0;

	for (unsigned k = 0; k < r->world.n_rules; k++)
		for (unsigned h = 0; h < r->world.rules[k].how.n; h++)
			for (unsigned p = 0; p < ORACLE_POSTURES; p++)
				if (r->posture_of[p] == r->world.rules[k].how.v[h].n &&
				    oracle_is_who(&r->world, &r->world.rules[k], &r->devices[i]))
					want |= UINT64_C(1) << p;
	if (engine_profiles(r->engine, id_of(i)) != (r->devices[i].in ? want : 0))
		wrong(r, "profiles of %u are %#" PRIx64 ", should be %#" PRIx64, i,
		      engine_profiles(r->engine, id_of(i)), want);
}

static void check_touched(struct run *r)
{
	for (unsigned s = 0; s < ORACLE_DEVICES; s++)
		for (unsigned d = 0; d < ORACLE_DEVICES; d++) {
			if (!memcmp(r->before.by[s][d], r->now.by[s][d], sizeof(r->now.by[s][d])))
				continue;
			seen.touched++;
			if (!r->around[s] || !r->around[d])
				wrong(r, "the grants %u -> %u have changed, and %u was not named",
				      s, d, r->around[s] ? d : s);
		}
}

/* --- explain --- */

static bool says(const struct explanation *x, const char *beginning)
{
	for (size_t i = 0; i < x->n_failed; i++)
		if (strncmp(x->failed[i].condition, beginning, strlen(beginning)) == 0)
			return true;
	return false;
}

static bool says_posture(const struct explanation *x, unsigned n)
{
	char text[20];

	snprintf(text, sizeof(text), "posture:p%u", n);
	return says(x, text);
}

/* Who asks for what, and what has been said of it. */
struct question {
	unsigned src, dst;
	struct point point;
	const struct explanation *x;
};

static void expect(struct run *r, const struct question *q, bool is, const char *what)
{
	if (!is)
		wrong(r, "%u -> %u %s: of rule %s: %s", q->src, q->dst, point_text(q->point),
		      q->x->nearest ? q->x->nearest->name : "none", what);
}

/* Each condition is said to fail when it does, and only then. */
static void check_conditions(struct run *r, const struct question *q)
{
	const struct rule *n = &r->world.rules[r->rule_of[q->x->nearest->id]];
	const struct device *src = &r->devices[q->src], *dst = &r->devices[q->dst];
	bool who = oracle_is_who(&r->world, n, src);

	expect(r, q, says(q->x, "who") == !who, "who");
	expect(r, q, says(q->x, "port ") == !oracle_covers(&r->world, n, dst, q->point), "port");
	expect(r, q, says(q->x, "when: ") == (who && !oracle_is_when(&r->world, n, r->now_s)),
	       "when");
	expect(r, q, says(q->x, "where: ") == (who && oracle_is_where(&r->world, n, src) != YES),
	       "where");
	for (unsigned i = 0; i < n->how.n; i++)
		expect(r, q,
		       says_posture(q->x, n->how.v[i].n) ==
			       (who && !(src->verdicts >> n->how.v[i].n & 1)),
		       "posture");
}

/* A deny in force is what is said; else a rule that lacks neither who nor port, if there is one. */
static void check_nearest(struct run *r, const struct question *q)
{
	const struct device *src = &r->devices[q->src], *dst = &r->devices[q->dst];
	bool denied = false, near = false;

	for (unsigned i = 0; i < r->world.n_rules && q->src != q->dst; i++) {
		const struct rule *n = &r->world.rules[i];
		bool covers = oracle_covers(&r->world, n, dst, q->point);

		denied |= n->deny && covers && oracle_applies(&r->world, n, src, r->now_s);
		near |= !n->deny && covers && oracle_is_who(&r->world, n, src);
	}
	expect(r, q, says(q->x, "no rule denies") == denied, "a deny is not said, or said wrongly");
	/* Its times and places are said as well, where it has any. */
	expect(r, q,
	       !denied || q->x->n_failed == 1U + says(q->x, "outside of when: ") +
						    says(q->x, "outside of where: "),
	       "a deny, and more");
	if (denied || !near)
		return;
	expect(r, q, q->x->nearest, "no rule is named, though one is near");
	expect(r, q, !says(q->x, "who") && !says(q->x, "port "), "another is nearer");
}

static void check_explanation(struct run *r, const struct question *q, unsigned point, bool own)
{
	uint32_t want = r->now.by[q->src][q->dst][point];
	bool held = r->now.held[q->src][q->dst][point];
	const struct explanation *x = q->x;

	seen.explained++;
	if (x->allowed != (want != 0) || (x->rule != NULL) != x->allowed ||
	    (x->rule && !(want >> r->rule_of[x->rule->id] & 1)))
		wrong(r, "%u -> %u %s is explained by %s, should be %#x", q->src, q->dst,
		      point_text(q->point), x->rule ? x->rule->name : "none", want);
	expect(r, q, says(x, "no invariant is broken") == held, "an invariant");
	expect(r, q, (x->nearest != NULL) == (x->n_failed > 0), "named without a condition");
	if (x->allowed) {
		expect(r, q, !x->nearest, "allowed, and nearest");
		return;
	}
	check_nearest(r, q);
	seen.held += held;
	if (x->nearest && !says(x, "no rule denies")) {
		expect(r, q, !x->nearest->deny, "a deny that does not deny");
		check_conditions(r, q);
	}
	if (x->nearest && own)
		expect(r, q, !says(x, "who"), "a rule of others is told to a device");
}

static void check_explain(struct run *r)
{
	static const uint8_t protos[] = {
		[PROTO_ICMP] = SERVICE_ICMP, [PROTO_TCP] = SERVICE_TCP, [PROTO_UDP] = SERVICE_UDP};
	unsigned at = oracle_roll(r->world.n_points);
	struct explanation x;
	struct question q = {.src = oracle_roll(ORACLE_DEVICES),
			     .dst = oracle_roll(ORACLE_DEVICES),
			     .point = r->world.points[at],
			     .x = &x};
	struct explain_context c = {.own_only = oracle_roll(2), .now_ms = r->now_s * 1000};
	struct service svc;
	struct arena a;
	int err;

	if (q.point.proto == PROTO_OTHER) /* has no name */
		return;
	svc = (struct service){protos[q.point.proto], (uint16_t)q.point.port,
			       (uint16_t)q.point.port};
	arena_init(&a, 1 << 20);
	err = engine_explain(r->engine, id_of(q.src), id_of(q.dst), &svc, &c, &a, &x);
	assert_int_equal(err, r->devices[q.src].in && r->devices[q.dst].in ? 0 : -ZT_EABSENT);
	if (!err)
		check_explanation(r, &q, at, c.own_only);
	arena_done(&a);
}

/* --- all of it --- */

static void make_fresh(struct run *r)
{
	r->fresh = engine_new(r->policy, r->now_s);
	assert_non_null(r->fresh);
	for (unsigned i = ORACLE_DEVICES; i-- > 0;)
		if (r->borrowed[i])
			assert_int_equal(engine_put(r->fresh, &r->borrowed[i]->s), 0);
}

void check_change(struct run *r, bool all)
{
	r->before = r->now;
	oracle_answer(&r->world, r->devices, r->now_s, &r->now);
	check_touched(r);
	make_fresh(r);
	for (unsigned i = 0; i < ORACLE_DEVICES; i++)
		if (all || r->around[i] || oracle_roll(4) == 0)
			check_grants(r, i);
	engine_free(r->fresh);
	check_neighbours(r, oracle_roll(ORACLE_DEVICES));
	check_profiles(r, oracle_roll(ORACLE_DEVICES));
	for (int i = 0; i < 4; i++)
		check_explain(r);
}
