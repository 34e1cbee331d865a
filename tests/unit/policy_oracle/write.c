/* A world as a policy file: every order, spacing and form that docs/policy.md allows. */
#include "tests/unit/policy_oracle/oracle.h"

#include <time.h>

enum { DAY_S = 86400 };

static bool once_in(unsigned n)
{
	return oracle_roll(n) == 0;
}

/* --- items --- */

static void put_ports(struct buf *b, const struct ports *p)
{
	const char *proto = p->proto == PROTO_UDP ? "udp" : "tcp";

	if (p->proto == PROTO_ANY)
		buf_put_text(b, "any");
	else if (p->proto == PROTO_ICMP)
		buf_put_text(b, "icmp");
	else if (p->lo == 1 && p->hi == 65535 && once_in(2))
		buf_printf(b, "%s/any", proto);
	else if (p->lo == p->hi && once_in(2))
		buf_printf(b, "%s/%u", proto, p->lo);
	else
		buf_printf(b, "%s/%u-%u", proto, p->lo, p->hi);
}

static void put_date(struct buf *b, int64_t day)
{
	time_t t = (time_t)(day * DAY_S);
	char text[16];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d", &tm);
	buf_put_text(b, text);
}

static void put_dates(struct buf *b, const struct span *v)
{
	if (v->has_first)
		put_date(b, v->first);
	if (v->has_first && v->has_last && v->first == v->last && once_in(2))
		return;
	buf_put_text(b, "..");
	if (v->has_last)
		put_date(b, v->last);
}

static void put_day(struct buf *b, unsigned day)
{
	static const char *const names[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
					    "Friday", "Saturday", "Sunday"};

	buf_printf(b, "%.*s", once_in(3) ? 9 : 3, names[day]);
}

static void put_days(struct buf *b, const struct span *v)
{
	for (unsigned i = 0; i < v->n_days; i++) {
		buf_put_text(b, !i ? "" : once_in(2) ? "+" : " ");
		put_day(b, v->days[i][0]);
		if (v->days[i][0] == v->days[i][1])
			continue;
		buf_put_text(b, "-");
		put_day(b, v->days[i][1]);
	}
}

static void put_span(struct buf *b, const struct span *v)
{
	const char *between = "";

	if (v->has_first || v->has_last) {
		put_dates(b, v);
		between = " ";
	}
	if (v->n_days) {
		buf_put_text(b, between);
		put_days(b, v);
		between = " ";
	}
	if (v->has_hours)
		buf_printf(b, "%s%02u:%02u-%02u:%02u", between, v->start / 60, v->start % 60,
			   v->end / 60, v->end % 60);
	if (v->zone >= 0)
		buf_printf(b, " %s", oracle_zones[v->zone]);
}

static void put_item(struct buf *b, const struct item *i)
{
	static const char *const prefixes[] = {[ITEM_USER] = "user:u",
					       [ITEM_GROUP] = "group:g",
					       [ITEM_TAG] = "tag:t",
					       [ITEM_DEVICE] = "device:d",
					       [ITEM_ANYONE] = "anyone",
					       [ITEM_RESOURCE] = "resource:r",
					       [ITEM_POSTURE] = "posture:p",
					       [ITEM_ALL_RESOURCES] = "resource:*",
					       [ITEM_PLACE] = "place:l",
					       [ITEM_SCHEDULE] = "schedule:s",
					       [ITEM_COUNTRY] = "country:",
					       [ITEM_BARE_COUNTRY] = "",
					       [ITEM_NET] = "",
					       [ITEM_SPAN] = "",
					       [ITEM_PORTS] = ""};

	buf_put_text(b, prefixes[i->kind]);
	if (i->kind == ITEM_COUNTRY || i->kind == ITEM_BARE_COUNTRY)
		buf_put_text(b, oracle_countries[i->n]);
	else if (i->kind == ITEM_NET)
		buf_put_text(b, oracle_nets[i->n]);
	else if (i->kind == ITEM_SPAN)
		put_span(b, &i->span);
	else if (i->kind == ITEM_PORTS)
		put_ports(b, &i->ports);
	else if (i->kind != ITEM_ANYONE && i->kind != ITEM_ALL_RESOURCES)
		buf_printf(b, "%u%s", i->n, i->kind == ITEM_USER ? "@x.org" : "");
}

/* --- sections: each key a text, then in any order --- */

enum { KEYS_MAX = 12 };
struct keys {
	struct buf text[KEYS_MAX];
	unsigned n;
};

static struct buf *add_key(struct keys *k, const char *name)
{
	static const char *const equals[] = {"=", " = ", "\t=  "};
	struct buf *b = &k->text[k->n++];

	buf_init_grow(b, 1 << 16);
	buf_printf(b, "%s%s", name, equals[oracle_roll(3)]);
	return b;
}

static void add_list(struct keys *k, const char *name, const struct list *l)
{
	static const char *const commas[] = {
		", ", ",", " , ", ",\n\t", ",\n\n    ", "\n\t, ", ", ; note\n\t; more\n\t"};
	struct buf *b;

	if (!l->n)
		return;
	b = add_key(k, name);
	for (unsigned i = 0; i < l->n; i++) {
		if (i)
			buf_put_text(b, commas[once_in(3) ? oracle_roll(7) : 0]);
		put_item(b, &l->v[i]);
	}
}

static void put_remark(struct buf *b)
{
	static const char *const remarks[] = {"\n", "; why = x\n", "# [rule r]\n", "\t; x\n"};

	if (once_in(8))
		buf_put_text(b, remarks[oracle_roll(4)]);
}

/* name: "rule n", of which the number is n; "network" has none. */
static void put_section(struct buf *b, const char *name, int n, struct keys *k)
{
	put_remark(b);
	buf_printf(b, "[%s%s", once_in(8) ? "  " : "", name);
	if (n >= 0)
		buf_printf(b, "%d", n);
	buf_put_text(b, once_in(8) ? "\t] ; here\n" : "]\n");
	while (k->n) {
		unsigned i = oracle_roll(k->n);

		put_remark(b);
		buf_printf(b, "%s%s\n", buf_text(&k->text[i]), once_in(10) ? "  ; remark" : "");
		buf_free(&k->text[i]);
		k->text[i] = k->text[--k->n];
	}
}

static void put_network(struct buf *b, const struct world *w)
{
	struct keys k = {0};

	if (w->zone || once_in(2))
		buf_put_text(add_key(&k, "timezone"), oracle_zones[w->zone]);
	if (w->lease_s)
		buf_printf(add_key(&k, "lease"), "%us", w->lease_s);
	if (k.n)
		put_section(b, "network", -1, &k);
}

static void put_resource(struct buf *b, const struct resource *r, int n)
{
	struct keys k = {0};

	add_list(&k, r->via ? "via" : "on", &r->on);
	if (r->via)
		buf_put_text(add_key(&k, "address"), "10.0.0.0/8, 2001:db8:9::/48");
	add_list(&k, "ports", &r->ports);
	add_list(&k, "except", &r->except);
	if (r->lease_s)
		buf_printf(add_key(&k, "lease"), "%us", r->lease_s);
	if (once_in(5))
		buf_put_text(add_key(&k, "data"), "secret");
	put_section(b, "resource r", n, &k);
}

static void put_place(struct buf *b, const struct place *p, int n)
{
	struct keys k = {0};

	add_list(&k, "source", &p->source);
	add_list(&k, "overlay", &p->overlay);
	add_list(&k, "country", &p->country);
	add_list(&k, "except", &p->except);
	put_section(b, "place l", n, &k);
}

static void put_until(struct buf *b, const struct until *u)
{
	unsigned minute = (unsigned)(u->clock_s % DAY_S / 60);
	int off = u->offset_min < 0 ? -u->offset_min : u->offset_min;

	if (u->form == UNTIL_DAY) { /* the last one */
		put_date(b, u->clock_s / DAY_S - 1);
		return;
	}
	put_date(b, u->clock_s / DAY_S);
	buf_printf(b, "%c%02u:%02u", u->form == UNTIL_LOCAL ? ' ' : 'T', minute / 60, minute % 60);
	if (u->form == UNTIL_UTC)
		buf_put_text(b, ":00Z");
	if (u->form == UNTIL_OFFSET)
		buf_printf(b, ":00%c%02d:%02d", u->offset_min < 0 ? '-' : '+', off / 60, off % 60);
}

static void put_rule(struct buf *b, const struct rule *r, int n)
{
	struct keys k = {0};

	add_list(&k, "who", &r->who);
	add_list(&k, "what", &r->what);
	add_list(&k, "when", &r->when);
	add_list(&k, "where", &r->where);
	add_list(&k, "how", &r->how);
	add_list(&k, "except", &r->except);
	buf_put_text(add_key(&k, "why"), "it is asked for");
	if (r->deny || once_in(5))
		buf_put_text(add_key(&k, "action"), r->deny ? "deny" : "allow");
	if (r->until.form != UNTIL_NONE)
		put_until(add_key(&k, "until"), &r->until);
	if (once_in(5))
		buf_put_text(add_key(&k, "owner"), "group:g0");
	put_section(b, "rule n", n, &k);
}

static void put_targets(struct buf *b, const struct invariant *v)
{
	for (unsigned i = 0; i < v->n_to; i++) {
		buf_put_text(b, i ? ", " : "");
		put_item(b, &v->to[i].what);
		if (!v->to[i].some_ports)
			continue;
		buf_put_text(b, " ");
		put_ports(b, &v->to[i].ports);
	}
}

static void put_invariant(struct buf *b, const struct invariant *v, int n)
{
	const struct list *const asked[] = {&v->how, &v->where, &v->when};
	struct keys k = {0};
	struct buf *expect;

	add_list(&k, "from", &v->from);
	put_targets(add_key(&k, "to"), v);
	add_list(&k, "except", &v->except);
	buf_put_text(add_key(&k, "why"), "it was promised");
	expect = add_key(&k, "expect");
	if (v->never)
		buf_put_text(expect, once_in(2) ? "never" : "deny");
	for (unsigned i = 0, some = 0; i < 3; i++)
		for (unsigned j = 0; j < asked[i]->n; j++) {
			buf_put_text(expect, some++ ? ", " : "");
			put_item(expect, &asked[i]->v[j]);
		}
	put_section(b, "invariant i", n, &k);
}

static void put_times(struct buf *b, const struct times *s, int n)
{
	struct keys k = {0};

	add_list(&k, "when", &s->when);
	add_list(&k, "except", &s->except);
	put_section(b, "schedule s", n, &k);
}

static void put_group(struct buf *b, const struct group *g, int n)
{
	struct keys k = {0};

	add_list(&k, "members", &g->members);
	add_list(&k, "except", &g->except);
	put_section(b, "group g", n, &k);
}

static void put_posture(struct buf *b, int n)
{
	struct keys k = {0};

	buf_printf(add_key(&k, "require"), "custom.c%d == 1", n);
	put_section(b, "posture p", n, &k);
}

/* The n-th of all sections; false: there are no more. */
static bool put_nth(struct buf *b, const struct world *w, int n)
{
	if (n == 0)
		put_network(b, w);
	else if ((n -= 1) < ORACLE_GROUPS)
		put_group(b, &w->groups[n], n);
	else if ((n -= ORACLE_GROUPS) < ORACLE_RESOURCES)
		put_resource(b, &w->resources[n], n);
	else if ((n -= ORACLE_RESOURCES) < ORACLE_POSTURES)
		put_posture(b, n);
	else if ((n -= ORACLE_POSTURES) < ORACLE_PLACES)
		put_place(b, &w->places[n], n);
	else if ((n -= ORACLE_PLACES) < ORACLE_SCHEDULES)
		put_times(b, &w->schedules[n], n);
	else if ((n -= ORACLE_SCHEDULES) < (int)w->n_rules)
		put_rule(b, &w->rules[n], n);
	else if ((n -= (int)w->n_rules) < (int)w->n_invariants)
		put_invariant(b, &w->invariants[n], n);
	else
		return false;
	return true;
}

void world_write(const struct world *w, struct buf *b)
{
	enum {
		SECTIONS = 1 + ORACLE_GROUPS + ORACLE_RESOURCES + ORACLE_POSTURES + ORACLE_PLACES +
			   ORACLE_SCHEDULES
	};
	int order[SECTIONS + ORACLE_RULES + ORACLE_INVARIANTS];
	unsigned n = SECTIONS + w->n_rules + w->n_invariants;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = oracle_roll(i + 1);

		order[i] = order[at];
		order[at] = (int)i;
	}
	for (unsigned i = 0; i < n; i++)
		put_nth(b, w, order[i]);
}
