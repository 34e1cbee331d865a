#include "tests/unit/policy_oracle/oracle.h"

#include <string.h>

enum { DAY_S = 86400 };

/* --- chance --- */

static uint64_t dice;

/* xorshift64 (Marsaglia 2003). */
static uint64_t throw_dice(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice;
}

void oracle_seed(uint64_t seed)
{
	dice = (2 * seed + 1) * 0x9e3779b97f4a7c15; /* odd, so never 0 */
	for (int i = 0; i < 8; i++)
		throw_dice();
}

unsigned oracle_roll(unsigned n)
{
	return (unsigned)(throw_dice() >> 33) % n;
}

static bool once_in(unsigned n)
{
	return oracle_roll(n) == 0;
}

/* --- the world's names --- */

const char *const oracle_nets[ORACLE_NETS] = {
	"192.0.2.0/24",	 "192.0.2.0/25",  "192.0.2.128/26",  "192.0.2.7",     "0.0.0.0/0",
	"::/0",		 "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::5", "203.0.113.0/24",
	"100.64.8.0/24", "100.64.8.4/30", "100.64.9.1",	     "fd00:8::/64",   "fd00:8::2/127"};
const char *const oracle_sources[ORACLE_SOURCES] = {
	"192.0.2.7",  "192.0.2.9",     "192.0.2.130",	"192.0.2.250",	"192.0.3.1",  "203.0.113.9",
	"100.64.8.5", "2001:db8:1::5", "2001:db8:1::6", "2001:db8:2::", "2001:db9::1"};
const char *const oracle_countries[ORACLE_COUNTRIES] = {"DE", "AT", "FR"};
const char *const oracle_zones[ORACLE_ZONES] = {"UTC",
						"Europe/Berlin",
						"America/New_York",
						"Australia/Lord_Howe",
						"America/St_Johns",
						"Asia/Kathmandu",
						"Africa/Casablanca"};

/* --- items --- */

static struct ports random_ports(void)
{
	static const unsigned edges[] = {1, 2, 22, 80, 81, 90, 100, 443, 65534, 65535};
	struct ports p = {.proto = PROTO_TCP, .lo = 1, .hi = 65535};
	unsigned a = edges[oracle_roll(10)], b = edges[oracle_roll(10)];

	if (once_in(5))
		p.proto = PROTO_ANY;
	else if (once_in(5))
		p.proto = PROTO_ICMP;
	else if (once_in(3))
		p.proto = PROTO_UDP;
	if (once_in(8))
		return p;
	p.lo = once_in(2) ? a : a < b ? a : b;
	p.hi = p.lo == a && once_in(2) ? a : a < b ? b : a;
	if (p.hi < p.lo)
		p.hi = p.lo;
	return p;
}

static void random_dates(const struct world *w, struct span *v)
{
	int64_t day = w->around_s / DAY_S + (once_in(3) ? 0 : (int64_t)oracle_roll(60) - 30);

	v->has_first = !once_in(4);
	v->has_last = !v->has_first || !once_in(3);
	v->first = day;
	v->last = once_in(2) ? day : day + oracle_roll(40);
}

static struct span random_span(const struct world *w)
{
	struct span v = {.zone = once_in(3) ? (int)oracle_roll(ORACLE_ZONES) : -1};
	unsigned parts = 1 + oracle_roll(7); /* dates, days, hours: at least one */

	if (parts & 1)
		random_dates(w, &v);
	if (parts & 2)
		v.n_days = 1 + oracle_roll(3);
	for (unsigned i = 0; i < v.n_days; i++) {
		v.days[i][0] = oracle_roll(7);
		v.days[i][1] = once_in(2) ? v.days[i][0] : oracle_roll(7);
	}
	v.has_hours = parts & 4;
	v.start = once_in(3)	   ? 10 * oracle_roll(24)
		  : oracle_roll(4) ? 30 * oracle_roll(48)
				   : oracle_roll(1440);
	do
		v.end = once_in(3)	 ? 10 * oracle_roll(24)
			: oracle_roll(4) ? 30 * oracle_roll(49)
					 : oracle_roll(1441);
	while (v.start == v.end);
	return v;
}

/* Nested groups are smaller ones, so that none contains itself. */
struct maker {
	const struct world *world;
	unsigned groups; /* that may be named */
};

static struct item random_item(const struct maker *m, enum item_kind kind)
{
	static const unsigned named[] = {[ITEM_USER] = ORACLE_NAMES,
					 [ITEM_TAG] = ORACLE_NAMES,
					 [ITEM_DEVICE] = ORACLE_NAMES,
					 [ITEM_RESOURCE] = ORACLE_RESOURCES,
					 [ITEM_POSTURE] = ORACLE_POSTURES,
					 [ITEM_PLACE] = ORACLE_PLACES,
					 [ITEM_COUNTRY] = ORACLE_COUNTRIES,
					 [ITEM_BARE_COUNTRY] = ORACLE_COUNTRIES,
					 [ITEM_NET] = ORACLE_NETS,
					 [ITEM_SCHEDULE] = ORACLE_SCHEDULES,
					 [ITEM_PORTS] = 0};
	struct item i = {.kind = kind};

	if (kind == ITEM_GROUP && !m->groups)
		i.kind = ITEM_USER;
	if (i.kind == ITEM_GROUP)
		i.n = oracle_roll(m->groups);
	else if (i.kind == ITEM_SPAN)
		i.span = random_span(m->world);
	else if (i.kind == ITEM_PORTS)
		i.ports = random_ports();
	else if (named[i.kind])
		i.n = oracle_roll(named[i.kind]);
	return i;
}

/* kinds: what the list may hold, ended by -1. */
static struct list random_list(const struct maker *m, unsigned max, const int *kinds)
{
	struct list l = {.n = 1 + oracle_roll(max)};
	unsigned n_kinds = 0;

	while (kinds[n_kinds] >= 0)
		n_kinds++;
	for (unsigned i = 0; i < l.n; i++)
		l.v[i] = random_item(m, (enum item_kind)kinds[oracle_roll(n_kinds)]);
	return l;
}

static const int members[] = {ITEM_USER, ITEM_USER, ITEM_TAG, ITEM_GROUP, ITEM_GROUP, -1};
static const int who[] = {ITEM_USER,   ITEM_GROUP,  ITEM_GROUP, ITEM_TAG,
			  ITEM_DEVICE, ITEM_ANYONE, -1};
static const int hosts[] = {ITEM_TAG, ITEM_TAG, ITEM_DEVICE, -1};
static const int ports[] = {ITEM_PORTS, -1};
static const int what[] = {ITEM_RESOURCE, ITEM_RESOURCE, ITEM_ALL_RESOURCES, -1};
static const int when[] = {ITEM_SPAN, ITEM_SCHEDULE, -1};
static const int spans[] = {ITEM_SPAN, -1};
static const int somewhere[] = {ITEM_PLACE, ITEM_PLACE, ITEM_COUNTRY, -1};
static const int how[] = {ITEM_POSTURE, -1};
static const int network[] = {ITEM_NET, -1};
static const int country[] = {ITEM_BARE_COUNTRY, -1};
static const int not_host[] = {ITEM_TAG, ITEM_DEVICE, ITEM_PORTS, ITEM_PORTS, -1};
static const int not_place[] = {ITEM_NET, ITEM_NET, ITEM_BARE_COUNTRY, -1};
static const int not_rule[] = {ITEM_USER,     ITEM_GROUP, ITEM_TAG,	ITEM_DEVICE, ITEM_RESOURCE,
			       ITEM_SCHEDULE, ITEM_PLACE, ITEM_COUNTRY, ITEM_SPAN,   -1};

/* --- sections --- */

static void make_groups(struct world *w)
{
	for (unsigned i = 0; i < ORACLE_GROUPS; i++) {
		const struct maker m = {.world = w, .groups = i};

		if (!once_in(5))
			w->groups[i].members = random_list(&m, 3, members);
		if (once_in(3))
			w->groups[i].except = random_list(&m, 2, members);
	}
}

/* Shorter than a network's, longer, and the same as one. */
enum { N_LEASES = 5 };
static const unsigned leases_s[N_LEASES] = {5, 300, 600, 3600, 86400};

static void make_resources(struct world *w)
{
	const struct maker m = {.world = w};

	for (unsigned i = 0; i < ORACLE_RESOURCES; i++) {
		struct resource *r = &w->resources[i];

		r->via = ORACLE_GATEWAYS && once_in(10);
		r->lease_s = once_in(3) ? leases_s[oracle_roll(N_LEASES)] : 0;
		r->on = random_list(&m, 3, hosts);
		r->ports = random_list(&m, 3, ports);
		if (once_in(3))
			r->except = random_list(&m, 2, not_host);
	}
}

static void make_places(struct world *w)
{
	const struct maker m = {.world = w};

	for (unsigned i = 0; i < ORACLE_PLACES; i++) {
		struct place *p = &w->places[i];
		unsigned parts = 1 + oracle_roll(7);

		if (parts & 1)
			p->source = random_list(&m, 3, network);
		if (parts & 2)
			p->overlay = random_list(&m, 2, network);
		if (parts & 4)
			p->country = random_list(&m, 2, country);
		if (once_in(2))
			p->except = random_list(&m, 2, not_place);
	}
	for (unsigned i = 0; i < ORACLE_SCHEDULES; i++) {
		w->schedules[i].when = random_list(&m, 3, spans);
		if (once_in(2))
			w->schedules[i].except = random_list(&m, 2, spans);
	}
}

static struct until random_until(const struct world *w)
{
	static const int offsets[] = {-720, -150, 0, 60, 345, 840};
	struct until u = {.form = (enum until_form)(1 + oracle_roll(4))};
	int64_t day = w->around_s / DAY_S + (once_in(3) ? 0 : (int64_t)oracle_roll(90) - 30);
	int64_t minute = oracle_roll(once_in(2) ? 240 : 1440);

	u.clock_s = day * DAY_S + (u.form == UNTIL_DAY ? DAY_S : 60 * minute);
	u.offset_min = offsets[oracle_roll(6)];
	u.end_s = u.clock_s;
	if (u.form == UNTIL_OFFSET)
		u.end_s -= 60 * u.offset_min;
	else if (u.form != UNTIL_UTC)
		u.end_s = oracle_clock_reaches(w->zone, u.clock_s);
	return u;
}

static struct rule random_rule(const struct world *w)
{
	const struct maker m = {.world = w, .groups = ORACLE_GROUPS};
	struct rule r = {.deny = once_in(4)};

	r.who = random_list(&m, 3, who);
	r.what = random_list(&m, 3, what);
	if (once_in(2))
		r.when = random_list(&m, 3, once_in(2) ? when : spans);
	if (once_in(3))
		r.where = random_list(&m, 2, somewhere);
	if (!r.deny && once_in(2))
		r.how = random_list(&m, 2, how);
	if (once_in(2))
		r.except = random_list(&m, 3, not_rule);
	if (once_in(4))
		r.until = random_until(w);
	return r;
}

static struct invariant random_invariant(const struct world *w)
{
	static const int schedules[] = {ITEM_SCHEDULE, -1};
	static const int not_invariant[] = {ITEM_USER,	 ITEM_GROUP,	ITEM_TAG,
					    ITEM_DEVICE, ITEM_RESOURCE, -1};
	const struct maker m = {.world = w, .groups = ORACLE_GROUPS};
	struct invariant i = {.n_to = 1 + oracle_roll(2)};
	unsigned asks = oracle_roll(8);

	i.from = random_list(&m, 2, who);
	for (unsigned k = 0; k < i.n_to; k++) {
		i.to[k].what = random_item(&m, once_in(3) ? ITEM_ALL_RESOURCES : ITEM_RESOURCE);
		i.to[k].some_ports = once_in(2);
		i.to[k].ports = random_ports();
	}
	i.never = !asks;
	if (asks & 1)
		i.how = random_list(&m, 2, how);
	if (asks & 2)
		i.where = random_list(&m, 2, somewhere);
	if (asks & 4)
		i.when = random_list(&m, 2, schedules);
	if (once_in(2))
		i.except = random_list(&m, 3, not_invariant);
	return i;
}

/* --- points --- */

static void add_point(struct world *w, enum proto proto, unsigned port)
{
	for (unsigned i = 0; i < w->n_points; i++)
		if (w->points[i].proto == proto && w->points[i].port == port)
			return;
	if (w->n_points < ORACLE_POINTS)
		w->points[w->n_points++] = (struct point){proto, port};
}

static void add_edges(struct world *w, const struct ports *p)
{
	for (unsigned port = 0; port < 6; port++) {
		unsigned at = (port < 3 ? p->lo : p->hi) + port % 3 - 1;

		if (at < 1 || at > 65535)
			continue;
		add_point(w, PROTO_TCP, at);
		add_point(w, PROTO_UDP, at);
	}
}

static void add_points_of(struct world *w, const struct list *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->v[i].kind == ITEM_PORTS)
			add_edges(w, &l->v[i].ports);
}

/* 2025 to 2029; in every second world a day on which the clocks of some zone are changed, or that
 * is not in every year. */
static int64_t random_day(void)
{
	static const int64_t odd_days[] = {
		1774742400, /* 2026-03-29 Berlin: 02:00 is 03:00 */
		1792886400, /* 2026-10-25 Berlin: 03:00 is 02:00 */
		1772928000, /* 2026-03-08 New York, St. John's: 02:00 is 03:00 */
		1793491200, /* 2026-11-01 the same: 02:00 is 01:00 */
		1775347200, /* 2026-04-05 Lord Howe: 02:00 is 01:30 */
		1791072000, /* 2026-10-04 Lord Howe: 02:00 is 02:30 */
		1771113600, /* 2026-02-15 Casablanca, before Ramadan: 03:00 is 02:00 */
		1835395200, /* 2028-02-29 */
	};

	if (once_in(2))
		return odd_days[oracle_roll(8)];
	return 1735689600 + (int64_t)DAY_S * oracle_roll(1500);
}

void world_make(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->zone = (int)oracle_roll(ORACLE_ZONES);
	w->around_s = random_day();
	make_groups(w);
	w->lease_s = once_in(2) ? leases_s[oracle_roll(N_LEASES)] : 0;
	make_resources(w);
	make_places(w);
	w->n_rules = 1 + oracle_roll(ORACLE_RULES);
	for (unsigned i = 0; i < w->n_rules; i++)
		w->rules[i] = random_rule(w);
	w->n_invariants = once_in(2) ? 1 + oracle_roll(ORACLE_INVARIANTS) : 0;
	for (unsigned i = 0; i < w->n_invariants; i++)
		w->invariants[i] = random_invariant(w);
	add_point(w, PROTO_ICMP, 0);
	add_point(w, PROTO_OTHER, 0);
	for (unsigned i = 0; i < w->n_invariants; i++)
		for (unsigned k = 0; k < w->invariants[i].n_to; k++)
			if (w->invariants[i].to[k].some_ports)
				add_edges(w, &w->invariants[i].to[k].ports);
	for (unsigned i = 0; i < ORACLE_RESOURCES; i++) {
		add_points_of(w, &w->resources[i].ports);
		add_points_of(w, &w->resources[i].except);
	}
}
