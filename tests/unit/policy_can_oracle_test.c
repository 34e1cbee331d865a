/* Can against brute force: random small policies; every moment that there is goes through the real
 * engine (each set of whens that holds together, each set of postures that facts can bring about,
 * each place), and every answer must be that of the ways, for each two devices and each port. And
 * no way, and no condition of one, may be left out without changing the answer, or left in without
 * need. */
#include "tests/unit/chance.h"

#include "controller/policy/can.h"
#include "controller/policy/engine_impl.h"
#include "controller/zones.h"
#include "zt/buf.h"

enum {
	WORLDS = 400,
	NAMES = 3, /* of users, tags, groups, resources, places */
	POSTURES = 4,
	MOMENTS_MAX = 1 << 14,
	NOW_S = 1800000000, /* 2027-01-15 08:00 UTC */
	YEARS_S = 4 * 366 * 86400,
};

static struct zones *zones;

/* --- a random policy --- */

#define PUT_LIST(b, key, forms, max) put_forms(b, key, forms, N_OF(forms), max, NAMES)

static const char *const whos[] = {"user:u#@x.org", "group:g#", "tag:t#", "anyone", "anyone"};
static const char *const members[] = {"user:u#@x.org", "tag:t#"};
static const char *const hosts[] = {"tag:t#", "device:h#"};
static const char *const whats[] = {"resource:r#", "resource:r#", "resource:*"};
static const char *const ports[] = {"tcp/22", "tcp/20-30", "tcp/any", "udp/53", "icmp", "any"};
static const char *const conditions[] = {
	"os.version >= 11", "os.version >= 12", "os.version < 12",  "os.version != 11",
	"custom.a == x",    "custom.a != x",	"custom.a == y",    "time.offset <= 2",
	"time.offset > 1",  "time.offset != 2", "time.offset >= 2",
};
static const char *const sources[] = {"10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/17", "10.1.128.0/17",
				      "2001:db8::/32"};
static const char *const overlays[] = {"100.64.0.0/24", "100.64.0.0/25"};
static const char *const countries[] = {"DE", "FR"};
static const char *const not_there[] = {"10.1.0.0/16", "100.64.0.0/25", "FR", "10.0.0.0/8"};
static const char *const wheres[] = {"place:p#", "place:p#", "country:DE"};
static const char *const windows[] = {
	"Mon-Fri 08:00-18:00 Europe/Berlin",
	"Mon-Fri",
	"Sat Sun",
	"Sun 01:00-04:00 Europe/Berlin",
	"Sun 00:30-01:30",
	"22:00-06:00 America/New_York",
	"09:00-15:00 America/New_York",
	"2027-03-28",
	"2027-02-01..2027-02-20 Mon",
	"2027-06-01..",
	"..2027-05-01 Wed",
};
static const char *const untils[] = {"2027-02-01", "2027-03-28 02:30", "2026-12-01"};

static void put_postures(struct buf *b)
{
	for (unsigned i = 0; i < POSTURES; i++) {
		buf_printf(b, "[posture q%u]\n", i);
		PUT_LIST(b, "require", conditions, 2);
		if (!roll(3))
			buf_put_text(b, roll(2) ? "grace = 5m\n" : "grace = 10m\n");
		if (!roll(3))
			buf_put_text(b, "max_age = 2m\n");
	}
}

static void put_places(struct buf *b)
{
	for (unsigned i = 0; i < NAMES; i++) {
		unsigned kinds = 1 + roll(7);

		buf_printf(b, "[place p%u]\n", i);
		if (kinds & 1)
			PUT_LIST(b, "source", sources, 2);
		if (kinds & 2)
			PUT_LIST(b, "country", countries, 1);
		if (kinds == 4 || kinds == 6)
			PUT_LIST(b, "overlay", overlays, 1);
		if (kinds == 5)
			buf_put_text(b, "overlay = 100.64.0.0/24\n");
		if (kinds == 4 || !roll(3))
			PUT_LIST(b, "except", not_there, 1);
	}
}

static void put_conditions(struct buf *b, bool deny)
{
	static const char *const hows[] = {"posture:q#", "posture:q3"};
	static const char *const excepts[] = {"place:p#", "country:FR", "Sat", "user:u#@x.org",
					      "2027-03-28"};

	if (!deny && roll(2))
		PUT_LIST(b, "how", hows, 3);
	if (roll(2))
		PUT_LIST(b, "when", windows, 2);
	if (roll(2))
		PUT_LIST(b, "where", wheres, 2);
	if (!roll(3))
		PUT_LIST(b, "except", excepts, 2);
	if (!roll(5))
		buf_printf(b, "until = %s\n", untils[roll(N_OF(untils))]);
}

static struct policy *throw_policy(struct buf *b)
{
	static struct diag items[4];
	struct diag_list problems = {.items = items, .max = N_OF(items)};
	struct policy_env env = {.zone = zones_get, .zones = zones};
	struct policy *p = NULL;

	buf_reset(b);
	put_postures(b);
	put_places(b);
	for (unsigned i = 0; i < NAMES; i++) {
		buf_printf(b, "[group g%u]\n", i);
		PUT_LIST(b, "members", members, 2);
		buf_printf(b, "[resource r%u]\n", i);
		PUT_LIST(b, "on", hosts, 2);
		PUT_LIST(b, "ports", ports, 2);
	}
	for (unsigned i = 0, n = 1 + roll(6); i < n; i++) {
		bool deny = !roll(4);

		buf_printf(b, "[rule n%u]\nwhy = x\n%s", i, deny ? "action = deny\n" : "");
		PUT_LIST(b, "who", whos, 2);
		PUT_LIST(b, "what", whats, 2);
		put_conditions(b, deny);
	}
	(void)!policy_parse("random", (const char *)b->data, b->len, &env, &p, &problems);
	return p; /* NULL: contradictions, which are refused */
}

/* --- every moment --- */

struct moment {
	int64_t at_s;
	uint64_t verdicts;
	struct places places;
};

struct world {
	const struct policy *p;
	const char *text;
	struct engine *e;
	int64_t times[512];
	uint64_t verdicts[1 << POSTURES];
	struct places places[4096];
	size_t n_times, n_verdicts, n_places;
};

static void find_times(struct world *w)
{
	static uint8_t seen[512][64];
	const uint32_t *ids;
	struct arena a;
	size_t n;

	assert_true(w->p->n_whens <= 64);
	w->n_times = 0;
	for (int64_t t = NOW_S; t < NOW_S + YEARS_S; t = engine_next(w->e)) {
		size_t i = 0;

		arena_init(&a, 1 << 24);
		assert_int_equal(engine_advance(w->e, t, &a, &ids, &n), 0);
		arena_done(&a);
		while (i < w->n_times && memcmp(seen[i], w->e->open, w->p->n_whens) != 0)
			i++;
		if (i < w->n_times)
			continue;
		assert_true(w->n_times < N_OF(w->times));
		memcpy(seen[w->n_times], w->e->open, w->p->n_whens);
		w->times[w->n_times++] = t;
	}
}

static void find_places(struct world *w)
{
	static const char *const from[] = {"9.0.0.1",	 "10.0.0.1",	"10.1.0.1",
					   "10.1.200.1", "2001:db8::1", "2001:db9::1"};
	static const char *const in[] = {"100.64.0.1", "100.64.0.200", "100.65.0.1"};
	static const char *const country[] = {"", "DE", "FR", "US"};

	w->n_places = 0;
	for (size_t i = 0; i <= N_OF(from); i++)
		for (size_t j = 0; j < N_OF(in); j++)
			for (size_t k = 0; k < N_OF(country); k++) {
				struct place_view v = {0};
				size_t n = 0;

				if (i == N_OF(from) && country[k][0])
					continue; /* of a source that is not known */
				if (i < N_OF(from))
					assert_int_equal(addr_parse(from[i], &v.source), 0);
				assert_int_equal(addr_parse(in[j], &v.addr4), 0);
				assert_int_equal(addr_parse("fd00::1", &v.addr6), 0);
				memcpy(v.country, country[k], strlen(country[k]));
				w->places[w->n_places] = place_evaluate(w->p, &v);
				while (!places_equal(&w->places[n], &w->places[w->n_places]))
					n++;
				w->n_places += n == w->n_places;
			}
}

/* Sets of postures that comply at an instant: facts of every kind and age. */
static uint32_t comply(const struct world *w)
{
	static const char *const versions[] = {NULL, "10", "11", "11.5", "12", "13"};
	static const char *const customs[] = {NULL, "x", "y", "z"};
	static const char *const offsets[] = {NULL, "0", "1", "2", "3"};
	static const int64_t ages[] = {1000, 300000, 3600000};
	uint32_t sets = 0;

	for (size_t i = 0; i < N_OF(versions) * N_OF(customs) * N_OF(offsets) * 27; i++) {
		size_t k = i / 27;
		const char *value[] = {customs[k % 4], versions[k / 4 % 6], offsets[k / 24]};
		const char *name[] = {"custom.a", "os.version", "time.offset"};
		size_t age[] = {i % 3, i / 3 % 3, i / 9 % 3}, n = 0;
		struct fact_view facts[3];
		struct verdict v;
		struct arena a;
		uint32_t set = 0;

		for (size_t f = 0; f < 3; f++)
			if (value[f])
				facts[n++] = (struct fact_view){.name = name[f],
								.state = FACT_KNOWN,
								.value = value[f],
								.read_ms = NOW_S * 1000LL -
									   ages[age[f]]};
		arena_init(&a, 1 << 20);
		for (uint32_t q = 0; q < POSTURES; q++) {
			assert_int_equal(posture_evaluate(&w->p->postures[q], facts, n,
							  NOW_S * 1000LL, 1, &a, &v),
					 0);
			set |= (uint32_t)v.complies << q;
		}
		arena_done(&a);
		sets |= UINT32_C(1) << set;
	}
	return sets;
}

/* What has complied at some instant, once the instants of more sets are added to s. */
static uint32_t with_more(uint32_t sets, uint32_t s)
{
	uint32_t reached = UINT32_C(1) << s;

	for (unsigned pass = 0; pass < POSTURES; pass++)
		for (uint32_t v = 0; v < 1 << POSTURES; v++)
			for (uint32_t c = 0; (reached >> v & 1) && c < 1 << POSTURES; c++)
				if (sets >> c & 1)
					reached |= UINT32_C(1) << (v | c);
	return reached;
}

/* Postures without a grace are as at this instant; with one, as at some instant within it. Two
 * graces occur, and what was within the shorter was within the longer. */
static void find_verdicts(struct world *w)
{
	uint32_t sets = comply(w), of[3] = {0};
	bool seen[1 << POSTURES] = {false};

	for (uint32_t q = 0; q < POSTURES; q++)
		of[w->p->postures[q].grace_s / 300] |= UINT32_C(1) << q;
	for (uint32_t now = 0; now < 1 << POSTURES; now++)
		for (uint32_t a = 0; (sets >> now & 1) && a < 1 << POSTURES; a++)
			for (uint32_t b = 0; (with_more(sets, now) >> a & 1) && b < 1 << POSTURES;
			     b++)
				if (with_more(sets, a) >> b & 1)
					seen[(now & of[0]) | (a & of[1]) | (b & of[2])] = true;
	w->n_verdicts = 0;
	for (uint32_t v = 0; v < 1 << POSTURES; v++)
		if (seen[v])
			w->verdicts[w->n_verdicts++] = v;
}

/* --- devices --- */

/* The first exist; the rest stand for whoever is a selector and nothing else. */
struct person {
	const char *label; /* as an answer names it */
	struct subject s;
	bool exists;
};
static const char *const tag_names[] = {"t0", "t1", "t2"};
static const char *const group_names[] = {"g0", "g1"};
static struct person people[] = {
	{"device:l0", {.id = 1, .name = "l0", .owner = "u0@x.org"}, true},
	{"device:l1",
	 {.id = 2, .name = "l1", .owner = "u1@x.org", .groups = group_names, .n_groups = 1},
	 true},
	{"device:h0", {.id = 3, .name = "h0", .owner = "", .tags = tag_names, .n_tags = 2}, true},
	{"device:h1",
	 {.id = 4, .name = "h1", .owner = "", .tags = tag_names + 2, .n_tags = 1},
	 true},
	{"user:u0@x.org", {.id = 5, .name = "zz5", .owner = "u0@x.org"}, false},
	{"user:u1@x.org", {.id = 6, .name = "zz6", .owner = "u1@x.org"}, false},
	{"tag:t0", {.id = 7, .name = "zz7", .owner = "", .tags = tag_names, .n_tags = 1}, false},
	{"tag:t1",
	 {.id = 8, .name = "zz8", .owner = "", .tags = tag_names + 1, .n_tags = 1},
	 false},
	{"tag:t2",
	 {.id = 9, .name = "zz9", .owner = "", .tags = tag_names + 2, .n_tags = 1},
	 false},
	{"device:h2", {.id = 10, .name = "h2", .owner = ""}, false},
	{"group:g0",
	 {.id = 11, .name = "zz11", .owner = "", .groups = group_names, .n_groups = 1},
	 false},
	{"group:g1",
	 {.id = 12, .name = "zz12", .owner = "", .groups = group_names + 1, .n_groups = 1},
	 false},
};
enum { EXIST = 4 };

static const struct person *person_of(const struct can_identity *id)
{
	for (size_t i = 0; i < N_OF(people); i++)
		if (strcmp(people[i].label, id->name) == 0 && people[i].exists == id->exists)
			return &people[i];
	fail_msg("nobody is %s", id->name);
	return NULL;
}

/* --- the answer at one moment --- */

enum { LEFT_OUT_WHEN = 64, LEFT_OUT_WHERE, LEFT_OUT_NOT, NOTHING_LEFT_OUT = 1000 };

static bool is_among(const struct can_identity *v, size_t n, const struct person *who)
{
	for (size_t i = 0; i < n; i++)
		if (person_of(&v[i]) == who)
			return true;
	return n == 0;
}

static bool is_port(const struct can_way *y, const struct service *svc)
{
	for (size_t i = 0; i < y->n_ports; i++)
		if (y->ports[i].proto == svc->proto && y->ports[i].lo <= svc->lo &&
		    svc->lo <= y->ports[i].hi)
			return true;
	return y->n_ports == 0;
}

static bool is_on(const struct world *w, const struct policy_rule *r)
{
	return r->when == POLICY_ALWAYS || w->e->open[r->when];
}

/* The engine stands at the moment's time. */
static bool way_holds(const struct world *w, const struct can_way *y, const struct moment *m,
		      unsigned left_out)
{
	uint64_t need = y->postures;

	if (left_out < POSTURES)
		need &= ~(UINT64_C(1) << left_out);
	if ((need & m->verdicts) != need)
		return false;
	if (y->timed && left_out != LEFT_OUT_WHEN && !is_on(w, y->rule))
		return false;
	if (y->placed && left_out != LEFT_OUT_WHERE && !where_holds(y->rule, &m->places))
		return false;
	for (unsigned i = 0; i < y->n_nots; i++)
		if (left_out != LEFT_OUT_NOT + i && is_on(w, y->nots[i]) &&
		    !where_fails(y->nots[i], &m->places))
			return false;
	return true;
}

static bool engine_opens(const struct person *from, const struct person *to,
			 const struct service *svc, const struct grant *grants, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct service *g = &grants[i].svc;

		if (grants[i].src != from->s.id || grants[i].dst != to->s.id)
			continue;
		if (g->proto == SERVICE_ANY ||
		    (g->proto == svc->proto && g->lo <= svc->lo && svc->lo <= g->hi))
			return true;
	}
	return false;
}

/* --- one question --- */

struct check {
	struct world *w;
	const struct can_answer *answer;
	const struct can_question *q;
	const struct person *from, *to;
	bool some_open, some_closed;
	size_t n_moments;
	uint64_t **holds; /* by way: bit per moment, of this pair and port */
};

static const struct service probes[] = {
	{SERVICE_TCP, 22, 22}, {SERVICE_TCP, 25, 25}, {SERVICE_TCP, 80, 80}, {SERVICE_UDP, 53, 53},
	{SERVICE_UDP, 99, 99}, {SERVICE_ICMP, 0, 0},  {PORTSET_OTHER, 0, 0},
};

static bool list_has(const struct service *v, size_t n, const struct service *svc)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].proto == SERVICE_ANY ||
		    (v[i].proto == svc->proto && v[i].lo <= svc->lo && svc->lo <= v[i].hi))
			return true;
	return false;
}

/* Does this one offer the resource? As a person reads it: on has no except and no group here. */
static bool offers(const struct policy_resource *r, const struct person *who)
{
	for (size_t i = 0; i < r->on.n_in; i++) {
		if (r->on.in[i].kind == SELECTOR_DEVICE &&
		    strcmp(r->on.in[i].name, who->s.name) == 0)
			return true;
		for (size_t k = 0; k < who->s.n_tags; k++)
			if (r->on.in[i].kind == SELECTOR_TAG &&
			    strcmp(r->on.in[i].name, who->s.tags[k]) == 0)
				return true;
	}
	return false;
}

static bool is_asked(const struct check *c, const struct service *svc)
{
	const struct policy *p = c->w->p;

	if (c->q->svc)
		return list_has(c->q->svc, 1, svc);
	for (size_t i = 0; i < p->n_resources; i++) {
		const struct policy_resource *r = &p->resources[i];

		if (c->q->to.kind == CAN_TO_RESOURCE ? strcmp(r->name, c->q->to.name) == 0
						     : offers(r, c->to))
			if (list_has(r->ports, r->n_ports, svc))
				return true;
	}
	return false;
}

static void fail_at(const struct check *c, const struct service *svc, const char *what)
{
	char text[SERVICE_TEXT_MAX];

	service_print(svc, text);
	fail_msg("%s: %s -> %s %s (proto %u)\n%s", what, c->from->label, c->to->label, text,
		 svc->proto, c->w->text);
}

/* Everything about one pair, one port: the answer is right at each moment, and nothing in it could
 * be missing. */
static void check_port(struct check *c, const struct service *svc, const uint8_t *open,
		       bool (*needed)[LEFT_OUT_NOT + 16])
{
	const struct can_answer *a = c->answer;
	size_t n = c->n_moments, words = n / 64 + 1, m = 0;
	bool mine[64] = {false};

	assert_true(a->n_ways <= 64);
	for (size_t i = 0; i < a->n_ways; i++) {
		mine[i] = is_port(&a->ways[i], svc) &&
			  is_among(a->ways[i].from, a->ways[i].n_from, c->from) &&
			  is_among(a->ways[i].to, a->ways[i].n_to, c->to);
		memset(c->holds[i], 0, words * sizeof(uint64_t));
	}
	for (size_t t = 0; t < c->w->n_times; t++) {
		const uint32_t *ids;
		struct arena arena;
		size_t n_ids;

		arena_init(&arena, 1 << 24);
		assert_int_equal(engine_advance(c->w->e, c->w->times[t], &arena, &ids, &n_ids), 0);
		arena_done(&arena);
		for (size_t v = 0; v < c->w->n_verdicts; v++)
			for (size_t p = 0; p < c->w->n_places; p++, m++) {
				struct moment at = {c->w->times[t], c->w->verdicts[v],
						    c->w->places[p]};
				bool may = false;

				for (size_t i = 0; i < a->n_ways; i++) {
					const struct can_way *y = &a->ways[i];

					if (!mine[i])
						continue;
					if (way_holds(c->w, y, &at, NOTHING_LEFT_OUT)) {
						may = true;
						c->holds[i][m / 64] |= UINT64_C(1) << m % 64;
						continue;
					}
					for (unsigned k = 0; k < LEFT_OUT_NOT + y->n_nots; k++)
						if (!needed[i][k])
							needed[i][k] = way_holds(c->w, y, &at, k);
				}
				c->some_open = c->some_open || open[m];
				c->some_closed = c->some_closed || !open[m];
				if (may != open[m])
					fail_at(c, svc,
						may ? "not open, but said so"
						    : "open, and not said");
			}
	}
	for (size_t i = 0; i < a->n_ways; i++)
		for (size_t k = 0; k < a->n_ways; k++) {
			bool within = i != k && mine[i] && mine[k];

			for (size_t j = 0; j < words && within; j++)
				within = !(c->holds[i][j] & ~c->holds[k][j]);
			if (within)
				fail_at(c, svc, "a way that another implies");
		}
}

static void put_all(struct world *w, const struct moment *at)
{
	for (size_t i = 0; i < N_OF(people); i++) {
		people[i].s.verdicts = at ? at->verdicts : 0;
		people[i].s.places = at ? at->places : (struct places){0};
		assert_int_equal(engine_put(w->e, &people[i].s), 0);
	}
}

/* What the engine says of the pair: by probe and moment. */
static void ask_engine(struct check *c, uint8_t *open[N_OF(probes)])
{
	const struct grant *grants;
	const uint32_t *ids;
	struct arena arena;
	size_t n, m = 0;

	for (size_t t = 0; t < c->w->n_times; t++) {
		arena_init(&arena, 1 << 24);
		assert_int_equal(engine_advance(c->w->e, c->w->times[t], &arena, &ids, &n), 0);
		arena_done(&arena);
		for (size_t v = 0; v < c->w->n_verdicts; v++)
			for (size_t p = 0; p < c->w->n_places; p++, m++) {
				struct subject s = c->from->s;

				assert_true(m < MOMENTS_MAX);
				s.verdicts = c->w->verdicts[v];
				s.places = c->w->places[p];
				assert_int_equal(engine_put(c->w->e, &s), 0);
				arena_init(&arena, 1 << 24);
				assert_int_equal(engine_grants(c->w->e, s.id, &arena, &grants, &n),
						 0);
				for (size_t i = 0; i < N_OF(probes); i++)
					open[i][m] =
						engine_opens(c->from, c->to, &probes[i], grants, n);
				arena_done(&arena);
			}
	}
	c->n_moments = m;
}

static void check_pair(struct check *c, bool (*needed)[LEFT_OUT_NOT + 16])
{
	static uint8_t room[N_OF(probes)][MOMENTS_MAX];
	uint8_t *open[N_OF(probes)];

	for (size_t i = 0; i < N_OF(probes); i++)
		open[i] = room[i];
	ask_engine(c, open);
	for (size_t i = 0; i < N_OF(probes); i++)
		if (is_asked(c, &probes[i]))
			check_port(c, &probes[i], open[i], needed);
}

static void check_needed(const struct check *c, bool (*needed)[LEFT_OUT_NOT + 16])
{
	for (size_t i = 0; i < c->answer->n_ways; i++) {
		const struct can_way *y = &c->answer->ways[i];

		for (unsigned q = 0; q < POSTURES; q++)
			if ((y->postures >> q & 1) && !needed[i][q])
				fail_msg("posture q%u of %s needs not be said\n%s", q,
					 y->rule->name, c->w->text);
		if (y->timed && !needed[i][LEFT_OUT_WHEN])
			fail_msg("the when of %s needs not be said\n%s", y->rule->name, c->w->text);
		if (y->placed && !needed[i][LEFT_OUT_WHERE])
			fail_msg("the where of %s needs not be said\n%s", y->rule->name,
				 c->w->text);
		for (unsigned k = 0; k < y->n_nots; k++)
			if (!needed[i][LEFT_OUT_NOT + k])
				fail_msg("not %s needs not be said of %s\n%s", y->nots[k]->name,
					 y->rule->name, c->w->text);
	}
}

static enum can_verdict check_question(struct world *w, const struct can_question *q)
{
	static uint64_t rows[64][MOMENTS_MAX / 64 + 1];
	uint64_t *holds[64];
	bool needed[64][LEFT_OUT_NOT + 16] = {{false}};
	struct can_answer answer;
	struct diag d = {0};
	struct arena a;
	struct check c = {.w = w, .answer = &answer, .q = q, .holds = holds};
	enum can_verdict want, got;

	for (size_t i = 0; i < 64; i++)
		holds[i] = rows[i];
	arena_init(&a, 1 << 26);
	if (can_ask(w->p, q, &a, &answer, &d))
		fail_msg("no answer: %s\n%s", d.message, w->text);
	for (size_t i = 0; i < answer.n_from; i++)
		for (size_t k = 0; k < answer.n_to; k++) {
			c.from = person_of(&answer.from[i]);
			c.to = person_of(&answer.to[k]);
			if (c.from != c.to)
				check_pair(&c, needed);
		}
	check_needed(&c, needed);
	want = !c.some_open ? CAN_NEVER : c.some_closed ? CAN_ONLY_IF : CAN_ALWAYS;
	got = answer.verdict;
	arena_done(&a);
	if (got != want)
		fail_msg("verdict %d, not %d\n%s", got, want, w->text);
	return got;
}

/* --- the test --- */

static void ask_some(struct world *w, size_t *verdicts)
{
	static const struct service svcs[] = {
		{SERVICE_TCP, 22, 22}, {SERVICE_TCP, 1, UINT16_MAX}, {SERVICE_ANY, 0, 0}};
	static struct subject devices[EXIST];
	struct can_question q = {.devices = devices, .n_devices = EXIST, .now_s = NOW_S};
	static char name[2][16];

	for (size_t i = 0; i < EXIST; i++)
		devices[i] = people[i].s;
	snprintf(name[0], sizeof(name[0]), "u%u@x.org", roll(2));
	q.from = (struct selector){.kind = SELECTOR_USER, .name = name[0]};
	if (roll(2)) {
		snprintf(name[0], sizeof(name[0]), "h%u", roll(2));
		q.from.kind = SELECTOR_DEVICE;
	}
	if (roll(2)) {
		q.to = (struct can_target){.kind = CAN_TO_RESOURCE, .name = name[1]};
		snprintf(name[1], sizeof(name[1]), "r%u", roll(NAMES));
	} else {
		q.to = (struct can_target){.kind = CAN_TO_DEVICE, .name = name[1]};
		snprintf(name[1], sizeof(name[1]), "h%u", roll(2));
	}
	if (roll(2))
		q.svc = &svcs[roll(N_OF(svcs))];
	verdicts[check_question(w, &q)]++;
}

static void every_answer_is_what_brute_force_finds(void **state)
{
	static struct world w;
	size_t verdicts[3] = {0}, worlds = 0;
	struct buf b;

	(void)state;
	zones = zones_new("/usr/share/zoneinfo");
	assert_non_null(zones);
	buf_init_grow(&b, 1 << 20);
	while (worlds < WORLDS) {
		struct policy *p = throw_policy(&b);

		if (!p)
			continue;
		worlds++;
		w.p = p;
		w.text = buf_text(&b);
		w.e = engine_new(p, NOW_S);
		assert_non_null(w.e);
		put_all(&w, NULL);
		find_times(&w);
		find_places(&w);
		find_verdicts(&w);
		if (w.n_times * w.n_places * w.n_verdicts <= MOMENTS_MAX)
			for (unsigned i = 0; i < 3; i++)
				ask_some(&w, verdicts);
		engine_free(w.e);
		policy_free(p);
	}
	print_message("never %zu, only if %zu, always %zu\n", verdicts[CAN_NEVER],
		      verdicts[CAN_ONLY_IF], verdicts[CAN_ALWAYS]);
	assert_true(verdicts[CAN_NEVER] > 10 && verdicts[CAN_ONLY_IF] > 50 &&
		    verdicts[CAN_ALWAYS] > 5);
	buf_free(&b);
	zones_free(zones);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_answer_is_what_brute_force_finds),
	};

	dice = 7;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
