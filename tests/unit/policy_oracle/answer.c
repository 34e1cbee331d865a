#include "tests/unit/policy_oracle/oracle.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 86400 };

/* --- who --- */

static bool is_one_of(const struct world *w, const struct list *l, const struct device *d);

static bool is_item(const struct world *w, const struct item *i, const struct device *d)
{
	const struct group *g;

	if (i->kind == ITEM_ANYONE)
		return true;
	if (i->kind == ITEM_USER)
		return d->owner == (int)i->n;
	if (i->kind == ITEM_TAG)
		return d->tags >> i->n & 1;
	if (i->kind == ITEM_DEVICE)
		return d->name == i->n;
	if (i->kind != ITEM_GROUP)
		return false; /* of another list */
	g = &w->groups[i->n];
	return ((d->groups >> i->n & 1) || is_one_of(w, &g->members, d)) &&
	       !is_one_of(w, &g->except, d);
}

static bool is_one_of(const struct world *w, const struct list *l, const struct device *d)
{
	for (unsigned i = 0; i < l->n; i++)
		if (is_item(w, &l->v[i], d))
			return true;
	return false;
}

bool oracle_is_who(const struct world *w, const struct rule *r, const struct device *d)
{
	return is_one_of(w, &r->who, d) && !is_one_of(w, &r->except, d);
}

/* --- when --- */

/* What the clock of the zone shows, read as UTC. */
static int64_t clock_of(int zone, int64_t t_s)
{
	static int used = -1;
	time_t t = t_s;
	struct tm tm;
	char name[80];

	if (used != zone) {
		snprintf(name, sizeof(name), ":/usr/share/zoneinfo/%s", oracle_zones[zone]);
		setenv("TZ", name, 1);
		tzset();
		used = zone;
	}
	localtime_r(&t, &tm);
	return timegm(&tm);
}

/* To ask libc once for each zone and instant. */
static int64_t clock_now(int zone, int64_t t_s)
{
	static int64_t asked[ORACLE_ZONES], shown[ORACLE_ZONES];

	if (!asked[zone] || asked[zone] != t_s) {
		shown[zone] = clock_of(zone, t_s);
		asked[zone] = t_s;
	}
	return shown[zone];
}

int64_t oracle_clock_reaches(int zone, int64_t clock_s)
{
	int64_t t = clock_s - 30 * 3600; /* no clock is farther ahead; ends are whole minutes */

	while (clock_of(zone, t) < clock_s)
		t += 60;
	return t;
}

static bool is_day(const struct span *w, int64_t day)
{
	unsigned weekday = (unsigned)((day + 3) % 7); /* 1970 began on a Thursday */

	if ((w->has_first && day < w->first) || (w->has_last && day > w->last))
		return false;
	for (unsigned i = 0; i < w->n_days; i++)
		for (unsigned k = w->days[i][0];; k = (k + 1) % 7) {
			if (k == weekday)
				return true;
			if (k == w->days[i][1])
				break;
		}
	return !w->n_days;
}

static bool is_span(const struct world *w, const struct span *v, int64_t now_s)
{
	int64_t clock = clock_now(v->zone < 0 ? w->zone : v->zone, now_s);
	int64_t day = clock / DAY_S;
	unsigned minute = (unsigned)(clock % DAY_S / 60);

	if (!v->has_hours)
		return is_day(v, day);
	if (v->start < v->end)
		return is_day(v, day) && v->start <= minute && minute < v->end;
	return (is_day(v, day) && v->start <= minute) || (is_day(v, day - 1) && minute < v->end);
}

static bool is_time(const struct world *w, const struct list *l, int64_t now_s)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct item *t = &l->v[i];
		const struct times *s = &w->schedules[t->kind == ITEM_SCHEDULE ? t->n : 0];

		if (t->kind == ITEM_SPAN && is_span(w, &t->span, now_s))
			return true;
		if (t->kind == ITEM_SCHEDULE && is_time(w, &s->when, now_s) &&
		    !is_time(w, &s->except, now_s))
			return true;
	}
	return false;
}

bool oracle_is_when(const struct world *w, const struct rule *r, int64_t now_s)
{
	return (!r->when.n || is_time(w, &r->when, now_s)) && !is_time(w, &r->except, now_s) &&
	       (r->until.form == UNTIL_NONE || now_s < r->until.end_s);
}

/* --- where --- */

static enum truth either(enum truth a, enum truth b)
{
	return a > b ? a : b;
}

static enum truth both(enum truth a, enum truth b)
{
	return a < b ? a : b;
}

static enum truth not(enum truth a) { return a == YES ? NO : a == NO ? YES : UNKNOWN; }

static bool bit_of(const uint8_t *b, unsigned i)
{
	return b[i / 8] >> (7 - i % 8) & 1;
}

/* "192.0.2.0/24" and "192.0.2.7"; an empty address is in no network. */
static bool is_in_net(const char *net, const char *address)
{
	int family = strchr(net, ':') ? AF_INET6 : AF_INET;
	const char *slash = strchr(net, '/');
	uint8_t a[16] = {0}, n[16] = {0};
	char base[46];

	snprintf(base, sizeof(base), "%.*s", slash ? (int)(slash - net) : 45, net);
	if (inet_pton(family, address, a) != 1 || inet_pton(family, base, n) != 1)
		return false;
	for (int i = 0; i < (slash ? atoi(slash + 1) : family == AF_INET ? 32 : 128); i++)
		if (bit_of(a, (unsigned)i) != bit_of(n, (unsigned)i))
			return false;
	return true;
}

static enum truth is_source(const struct item *i, const struct where *at)
{
	if (at->source < 0)
		return UNKNOWN;
	return is_in_net(oracle_nets[i->n], oracle_sources[at->source]) ? YES : NO;
}

static enum truth is_overlay(const struct item *i, const struct where *at)
{
	return is_in_net(oracle_nets[i->n], at->overlay4) ||
			       is_in_net(oracle_nets[i->n], at->overlay6)
		       ? YES
		       : NO;
}

static enum truth is_country(const struct item *i, const struct where *at)
{
	if (at->country < 0)
		return UNKNOWN;
	return at->country == (int)i->n ? YES : NO;
}

static enum truth is_place(const struct place *p, const struct where *at)
{
	enum truth in = NO, out = NO;

	for (unsigned i = 0; i < p->source.n; i++)
		in = either(in, is_source(&p->source.v[i], at));
	for (unsigned i = 0; i < p->overlay.n; i++)
		in = either(in, is_overlay(&p->overlay.v[i], at));
	for (unsigned i = 0; i < p->country.n; i++)
		in = either(in, is_country(&p->country.v[i], at));
	for (unsigned i = 0; i < p->except.n; i++)
		if (p->except.v[i].kind == ITEM_NET)
			out = either(out, either(is_source(&p->except.v[i], at),
						 is_overlay(&p->except.v[i], at)));
		else
			out = either(out, is_country(&p->except.v[i], at));
	return both(in, not(out));
}

static enum truth is_somewhere(const struct world *w, const struct list *l, const struct where *at)
{
	enum truth is = NO;

	for (unsigned i = 0; i < l->n; i++)
		if (l->v[i].kind == ITEM_PLACE)
			is = either(is, is_place(&w->places[l->v[i].n], at));
		else if (l->v[i].kind == ITEM_COUNTRY)
			is = either(is, is_country(&l->v[i], at));
	return is;
}

enum truth oracle_is_where(const struct world *w, const struct rule *r, const struct device *d)
{
	return both(r->where.n ? is_somewhere(w, &r->where, &d->where) : YES,
		    not(is_somewhere(w, &r->except, &d->where)));
}

/* --- how --- */

bool oracle_is_how(const struct rule *r, const struct device *d)
{
	for (unsigned i = 0; i < r->how.n; i++)
		if (!(d->verdicts >> r->how.v[i].n & 1))
			return false;
	return true;
}

bool oracle_applies(const struct world *w, const struct rule *r, const struct device *src,
		    int64_t now_s)
{
	enum truth where = oracle_is_where(w, r, src);

	return oracle_is_who(w, r, src) && oracle_is_when(w, r, now_s) && oracle_is_how(r, src) &&
	       (r->deny ? where != NO : where == YES);
}

/* --- what --- */

static bool is_port(const struct ports *l, struct point p)
{
	if (l->proto == PROTO_ANY)
		return true;
	return l->proto == p.proto &&
	       (p.proto == PROTO_ICMP || (l->lo <= p.port && p.port <= l->hi));
}

static bool has_point(const struct resource *r, struct point p)
{
	bool in = false, out = false;

	for (unsigned i = 0; i < r->ports.n; i++)
		in |= is_port(&r->ports.v[i].ports, p);
	for (unsigned i = 0; i < r->except.n; i++)
		out |= r->except.v[i].kind == ITEM_PORTS &&
		       (p.proto == PROTO_OTHER || is_port(&r->except.v[i].ports, p));
	return in && !out;
}

/* A deny of any port takes other protocols with it. */
static bool has_point_to_deny(const struct world *w, const struct resource *r, struct point p)
{
	if (p.proto != PROTO_OTHER)
		return has_point(r, p);
	for (unsigned i = 0; i < w->n_points; i++)
		if (has_point(r, w->points[i]))
			return true;
	return false;
}

static bool is_in_what(const struct list *l, unsigned resource)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->v[i].kind == ITEM_ALL_RESOURCES ||
		    (l->v[i].kind == ITEM_RESOURCE && l->v[i].n == resource))
			return true;
	return false;
}

/* No gateway forwards yet. */
static bool is_offered(const struct world *w, const struct rule *r, unsigned resource,
		       const struct device *dst)
{
	const struct resource *s = &w->resources[resource];

	return is_in_what(&r->what, resource) && !is_in_what(&r->except, resource) && !s->via &&
	       is_one_of(w, &s->on, dst) && !is_one_of(w, &s->except, dst);
}

bool oracle_is_what(const struct world *w, const struct rule *r, const struct device *dst)
{
	for (unsigned i = 0; i < ORACLE_RESOURCES; i++)
		if (is_offered(w, r, i, dst))
			return true;
	return false;
}

bool oracle_covers(const struct world *w, const struct rule *r, const struct device *dst,
		   struct point p)
{
	for (unsigned i = 0; i < ORACLE_RESOURCES; i++) {
		const struct resource *s = &w->resources[i];

		if (is_offered(w, r, i, dst) &&
		    (r->deny ? has_point_to_deny(w, s, p) : has_point(s, p)))
			return true;
	}
	return false;
}

unsigned oracle_lease(const struct world *w, const struct rule *r, const struct device *dst,
		      struct point p)
{
	unsigned longest = 0;

	for (unsigned i = 0; i < ORACLE_RESOURCES; i++) {
		const struct resource *s = &w->resources[i];
		unsigned lease = s->lease_s ? s->lease_s : w->lease_s ? w->lease_s : 3600;

		if (is_offered(w, r, i, dst) && has_point(s, p) && lease > longest)
			longest = lease;
	}
	return longest;
}

/* --- invariants --- */

bool oracle_is_its_time(const struct world *w, const struct invariant *i, int64_t now_s)
{
	return !i->when.n || is_time(w, &i->when, now_s);
}

/* Is what it asks for not given? */
static bool forbids(const struct world *w, const struct invariant *i, const struct device *src,
		    int64_t now_s)
{
	if (!is_one_of(w, &i->from, src) || is_one_of(w, &i->except, src))
		return false;
	for (unsigned k = 0; k < i->how.n; k++)
		if (!(src->verdicts >> i->how.v[k].n & 1))
			return true;
	return i->never || !oracle_is_its_time(w, i, now_s) ||
	       (i->where.n && is_somewhere(w, &i->where, &src->where) != YES);
}

static bool is_target(const struct world *w, const struct target *t, const struct list *except,
		      const struct device *dst, struct point p)
{
	const struct list what = {.v = {t->what}, .n = 1};
	const struct rule all = {.what = what, .except = *except};

	for (unsigned i = 0; i < ORACLE_RESOURCES; i++)
		if (is_offered(w, &all, i, dst) && has_point(&w->resources[i], p) &&
		    (!t->some_ports || is_port(&t->ports, p)))
			return true;
	return false;
}

/* As with a deny: what takes any port takes other protocols with it. */
static bool is_about(const struct world *w, const struct invariant *i, const struct device *dst,
		     struct point p)
{
	for (unsigned k = 0; k < i->n_to; k++) {
		if (p.proto != PROTO_OTHER && is_target(w, &i->to[k], &i->except, dst, p))
			return true;
		for (unsigned q = 0; p.proto == PROTO_OTHER && q < w->n_points; q++)
			if (is_target(w, &i->to[k], &i->except, dst, w->points[q]))
				return true;
	}
	return false;
}

/* --- all of it --- */

/* The rules as bits: about each source now, about each destination and point. */
struct table {
	uint32_t denies, applies[ORACLE_DEVICES], covers[ORACLE_DEVICES][ORACLE_POINTS];
	uint32_t forbids[ORACLE_DEVICES], about[ORACLE_DEVICES][ORACLE_POINTS]; /* invariants */
	unsigned lease_s[ORACLE_DEVICES][ORACLE_POINTS][ORACLE_RULES];
};

static void fill_invariant(const struct world *w, const struct device *devices, int64_t now_s,
			   unsigned k, struct table *t)
{
	const struct invariant *v = &w->invariants[k];

	for (unsigned i = 0; i < ORACLE_DEVICES; i++) {
		if (!devices[i].in)
			continue;
		t->forbids[i] |= (uint32_t)forbids(w, v, &devices[i], now_s) << k;
		for (unsigned p = 0; p < w->n_points; p++)
			t->about[i][p] |= (uint32_t)is_about(w, v, &devices[i], w->points[p]) << k;
	}
}

static void fill_table(const struct world *w, const struct device *devices, int64_t now_s,
		       struct table *t)
{
	for (unsigned k = 0; k < w->n_rules; k++) {
		const struct rule *r = &w->rules[k];

		t->denies |= (uint32_t)r->deny << k;
		for (unsigned i = 0; i < ORACLE_DEVICES; i++) {
			const struct device *d = &devices[i];

			if (!d->in)
				continue;
			t->applies[i] |= (uint32_t)oracle_applies(w, r, d, now_s) << k;
			if (!oracle_is_what(w, r, d))
				continue;
			for (unsigned p = 0; p < w->n_points; p++) {
				t->covers[i][p] |= (uint32_t)oracle_covers(w, r, d, w->points[p])
						   << k;
				t->lease_s[i][p][k] = oracle_lease(w, r, d, w->points[p]);
			}
		}
	}
}

static unsigned longest_lease(const unsigned *of_rule, uint32_t rules)
{
	unsigned longest = 0;

	for (; rules; rules &= rules - 1)
		if (of_rule[__builtin_ctz(rules)] > longest)
			longest = of_rule[__builtin_ctz(rules)];
	return longest;
}

void oracle_answer(const struct world *w, const struct device *devices, int64_t now_s,
		   struct answers *ret)
{
	static struct table t;

	memset(&t, 0, sizeof(t));
	memset(ret, 0, sizeof(*ret));
	fill_table(w, devices, now_s, &t);
	for (unsigned k = 0; k < w->n_invariants; k++)
		fill_invariant(w, devices, now_s, k, &t);
	for (unsigned s = 0; s < ORACLE_DEVICES; s++)
		for (unsigned d = 0; d < ORACLE_DEVICES; d++)
			for (unsigned p = 0; s != d && p < w->n_points; p++) {
				uint32_t rules = t.applies[s] & t.covers[d][p];

				bool held = t.forbids[s] & t.about[d][p];

				rules = rules & t.denies ? 0 : rules;
				ret->by[s][d][p] = held ? 0 : rules;
				ret->held[s][d][p] = held && rules;
				ret->lease_s[s][d][p] =
					longest_lease(t.lease_s[d][p], ret->by[s][d][p]);
			}
}
