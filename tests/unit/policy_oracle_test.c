/* The engine against a second reading of docs/policy.md (tests/unit/policy_oracle). Random worlds,
 * random changes of devices and of time; after each change the engine has to answer as the oracle
 * does, point by point, and as an engine made afresh does, grant by grant.
 *
 *     SEED=7 CHANGES=1000000 build/tests/unit/policy_oracle_test
 *
 * A failure says the seed that shows it in its first world. */
#include "tests/unit/unit.h"

#include <inttypes.h>

#include "tests/unit/policy_oracle/run.h"

enum {
	CHANGES_DEFAULT = 10000,
	CHANGES_OF_A_WORLD = 160,
	CHECK_ALL_EVERY = 50,
	DAY_S = 86400,
};

/* --- worlds --- */

/* The parser says that the rule can never match for its times: look. */
static void check_never(struct run *r, const char *message)
{
	const struct rule *rule = &r->world.rules[atoi(message + strlen("rule \"n"))];

	for (int64_t t = r->world.around_s - 100 * DAY_S; t < r->world.around_s + 100 * DAY_S;
	     t += 60 * (1 + (int64_t)oracle_roll(400)))
		if (oracle_is_when(&r->world, rule, t))
			wrong(r, "refused, but it holds at %" PRId64 ": %s", t, message);
}

static void check_not_there(struct run *r, const struct device *d, const char *message)
{
	const struct rule *rule = &r->world.rules[atoi(message + strlen("rule \"n"))];

	if (oracle_is_where(&r->world, rule, d) == YES)
		wrong(r, "refused, but it holds from %d in %d at %s, %s: %s", d->where.source,
		      d->where.country, d->where.overlay4, d->where.overlay6, message);
}

/* The parser says that it can never match for its places: look everywhere. Every device has both
 * addresses: a controller makes both networks. */
static void check_nowhere(struct run *r, const char *message)
{
	static const char *const v4[] = {"100.64.8.1", "100.64.8.5", "100.64.9.1", "100.64.7.1"};
	static const char *const v6[] = {"fd00:8::1", "fd00:8::3", "fd00:8::5", "fd00:9::2"};
	struct device d = {.in = true};

	for (size_t i = 0; i < N_OF(v4) * N_OF(v6); i++) {
		snprintf(d.where.overlay4, sizeof(d.where.overlay4), "%s", v4[i / N_OF(v6)]);
		snprintf(d.where.overlay6, sizeof(d.where.overlay6), "%s", v6[i % N_OF(v6)]);
		for (int s = -1; s < ORACLE_SOURCES; s++)
			for (int y = -1; y < ORACLE_COUNTRIES; y++) {
				d.where.source = s;
				d.where.country = y;
				check_not_there(r, &d, message);
			}
	}
}

static bool try_world(struct run *r)
{
	struct diag items[4];
	struct diag_list problems = {.items = items, .max = N_OF(items)};
	struct policy_env env = {.zone = zones_get,
				 .zones = r->zones,
				 .countries = true,
				 .was_accepted = true}; /* broken invariants are what we want */

	world_make(&r->world);
	buf_reset(&r->text);
	world_write(&r->world, &r->text);
	assert_int_equal(r->text.err, 0);
	if (!policy_parse("p", (const char *)r->text.data, r->text.len, &env, &r->policy,
			  &problems))
		return true;
	seen.refused++;
	for (size_t i = 0; i < problems.n; i++) {
		if (strstr(items[i].message, "except takes out all"))
			continue;
		if (strstr(items[i].message, "can never match: its when is"))
			check_never(r, items[i].message);
		else if (strstr(items[i].message, "no place is within its where"))
			check_nowhere(r, items[i].message);
		else
			wrong(r, "refused: %u:%u: %s", items[i].line, items[i].column,
			      items[i].message);
	}
	return false;
}

static void start_world(struct run *r)
{
	buf_init_grow(&r->text, 1 << 20);
	oracle_seed(r->seed);
	while (!try_world(r))
		;
	r->now_s = r->world.around_s + (int64_t)oracle_roll(2 * DAY_S) - DAY_S;
	r->engine = engine_new(r->policy, r->now_s);
	assert_non_null(r->engine);
	assert_int_equal(r->policy->n_rules, r->world.n_rules);
	for (size_t i = 0; i < r->policy->n_rules; i++)
		r->rule_of[r->policy->rules[i].id] = (unsigned)atoi(r->policy->rules[i].name + 1);
	assert_int_equal(r->policy->n_postures, ORACLE_POSTURES);
	for (size_t i = 0; i < ORACLE_POSTURES; i++)
		r->posture_of[i] = (unsigned)atoi(r->policy->postures[i].name + 1);
	oracle_answer(&r->world, r->devices, r->now_s, &r->now);
}

static void end_world(struct run *r)
{
	engine_free(r->engine);
	policy_free(r->policy);
	buf_free(&r->text);
	for (unsigned i = 0; i < ORACLE_DEVICES; i++)
		free(r->borrowed[i]);
}

/* --- devices --- */

static size_t list_names(char names[NAMES][8], const char **list, char letter, unsigned bits)
{
	size_t n = 0;

	for (unsigned i = 0; i < NAMES; i++)
		if (bits >> i & 1) {
			snprintf(names[n], 8, "%c%u", letter, i);
			list[n] = names[n];
			n++;
		}
	return n;
}

static struct places places_of(const struct run *r, const struct where *at)
{
	struct place_view v = {0};

	if (at->source >= 0)
		assert_int_equal(addr_parse(oracle_sources[at->source], &v.source), 0);
	if (at->country >= 0)
		memcpy(v.country, oracle_countries[at->country], 3);
	assert_int_equal(addr_parse(at->overlay4, &v.addr4), 0);
	if (at->overlay6[0])
		assert_int_equal(addr_parse(at->overlay6, &v.addr6), 0);
	return place_evaluate(r->policy, &v);
}

static struct borrowed *lend(const struct run *r, unsigned i)
{
	const struct device *d = &r->devices[i];
	struct borrowed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	snprintf(b->name, sizeof(b->name), "d%u", d->name);
	if (d->owner >= 0)
		snprintf(b->owner, sizeof(b->owner), "u%d@x.org", d->owner);
	b->s = (struct subject){.id = id_of(i),
				.name = b->name,
				.owner = b->owner,
				.tags = b->tag_list,
				.groups = b->group_list,
				.places = places_of(r, &d->where)};
	b->s.n_tags = list_names(b->tags, b->tag_list, 't', d->tags);
	b->s.n_groups = list_names(b->groups, b->group_list, 'g', d->groups);
	for (unsigned k = 0; k < ORACLE_POSTURES; k++)
		b->s.verdicts |= (uint64_t)(d->verdicts >> r->posture_of[k] & 1) << k;
	return b;
}

static struct where random_where(unsigned i)
{
	struct where at = {.source = -1, .country = -1};

	if (oracle_roll(5)) {
		at.source = (int)oracle_roll(ORACLE_SOURCES);
		if (oracle_roll(3))
			at.country = (int)oracle_roll(ORACLE_COUNTRIES);
	}
	snprintf(at.overlay4, sizeof(at.overlay4), "100.64.%u.%u", 8 + i % 2, 1 + i);
	if (oracle_roll(3))
		snprintf(at.overlay6, sizeof(at.overlay6), "fd00:%u::%x", 8 + i % 2, 1 + i);
	return at;
}

static unsigned some_of(unsigned n)
{
	return oracle_roll(1U << n) & oracle_roll(1U << n);
}

static struct device random_device(unsigned i)
{
	struct device d = {.in = true, .owner = -1, .where = random_where(i)};

	d.name = oracle_roll(3) ? i % NAMES : oracle_roll(NAMES);
	if (oracle_roll(3)) {
		d.owner = (int)oracle_roll(NAMES);
		d.groups = some_of(NAMES) & some_of(NAMES);
	}
	if (d.owner < 0 || oracle_roll(2))
		d.tags = some_of(NAMES) | 1U << oracle_roll(NAMES);
	d.verdicts = oracle_roll(1 << ORACLE_POSTURES) | oracle_roll(1 << ORACLE_POSTURES);
	return d;
}

/* --- changes --- */

static void add_around(struct run *r, unsigned i)
{
	const uint32_t *ids;
	struct arena a;
	size_t n;

	arena_init(&a, 1 << 20);
	assert_int_equal(engine_neighbours(r->engine, id_of(i), &a, &ids, &n), 0);
	for (size_t k = 0; k < n; k++)
		r->around[device_of(ids[k])] = true;
	r->around[i] = true;
	arena_done(&a);
}

static void put_device(struct run *r, unsigned i, struct device d, const char *what)
{
	struct borrowed *old = r->borrowed[i];

	snprintf(r->what, sizeof(r->what), "device %u: %s", i, what);
	add_around(r, i);
	r->devices[i] = d;
	r->borrowed[i] = d.in ? lend(r, i) : NULL;
	if (d.in)
		assert_int_equal(engine_put(r->engine, &r->borrowed[i]->s), 0);
	else
		engine_remove(r->engine, id_of(i));
	free(old);
	add_around(r, i);
}

static void change_device(struct run *r)
{
	unsigned i = oracle_roll(ORACLE_DEVICES);
	struct device d = r->devices[i];
	const char *what = "joins, or is another in everything";

	switch (d.in ? oracle_roll(9) : 0) {
	case 0:
		d = random_device(i);
		break;
	case 1:
		d.in = false;
		what = "leaves";
		break;
	case 2:
		d.tags = d.owner < 0 ? 1U << oracle_roll(NAMES) : some_of(NAMES);
		what = "tags";
		break;
	case 3:
		d.groups = d.owner < 0 ? 0 : some_of(NAMES);
		what = "groups";
		break;
	case 4:
		d.name = oracle_roll(NAMES);
		what = "name";
		break;
	case 5:
		d.where = random_where(i);
		what = "place";
		break;
	default:
		d.verdicts ^= 1U << oracle_roll(ORACLE_POSTURES);
		what = "verdict";
	}
	put_device(r, i, d, what);
}

/* --- time --- */

/* Nothing begins or ends between now and the engine's next edge. */
static void check_quiet(struct run *r, int64_t t)
{
	for (unsigned i = 0; i < r->world.n_rules; i++)
		if (oracle_is_when(&r->world, &r->world.rules[i], t) !=
		    oracle_is_when(&r->world, &r->world.rules[i], r->now_s))
			wrong(r, "rule n%u changes by %" PRId64 ", before the edge at %" PRId64, i,
			      t, engine_next(r->engine));
	for (unsigned i = 0; i < r->world.n_invariants; i++)
		if (oracle_is_its_time(&r->world, &r->world.invariants[i], t) !=
		    oracle_is_its_time(&r->world, &r->world.invariants[i], r->now_s))
			wrong(r,
			      "invariant i%u changes by %" PRId64 ", before the edge at %" PRId64,
			      i, t, engine_next(r->engine));
}

static void check_next(struct run *r)
{
	int64_t next = engine_next(r->engine), last = next - 1;

	if (next <= r->now_s)
		wrong(r, "the next edge, %" PRId64 ", is not after now", next);
	if (next == INT64_MAX)
		last = r->now_s + 400 * DAY_S;
	check_quiet(r, last);
	for (unsigned i = 0; i < r->world.n_rules; i++) {
		const struct until *u = &r->world.rules[i].until;

		if (u->form != UNTIL_NONE && u->end_s > r->now_s && u->end_s <= last)
			check_quiet(r, u->end_s);
	}
	for (int i = 0; i < 3; i++) {
		int64_t t = r->now_s + (last - r->now_s) / 1000 * oracle_roll(1000);

		check_quiet(r, t - t % 60 > r->now_s ? t - t % 60 : t);
	}
}

static int64_t pick_time(const struct run *r)
{
	int64_t next = engine_next(r->engine), far = r->now_s - r->world.around_s;
	const struct until *until = &r->world.rules[oracle_roll(r->world.n_rules)].until;
	bool lost = far > 100 * DAY_S || far < -100 * DAY_S;

	if (lost && oracle_roll(3))
		return r->world.around_s + (int64_t)oracle_roll(4 * DAY_S) - 2 * DAY_S;
	if (next == INT64_MAX)
		next = r->now_s + oracle_roll(3 * DAY_S);
	if (until->form != UNTIL_NONE && oracle_roll(4) == 0)
		return until->end_s - 1 + oracle_roll(3);
	switch (oracle_roll(16)) {
	case 0:
	case 1:
		return next - 1;
	case 2:
	case 3:
		return next + 1;
	case 4:
		return r->now_s + oracle_roll(DAY_S);
	case 5:
		return r->now_s - oracle_roll(DAY_S);
	case 6:
		return r->now_s - oracle_roll(30 * DAY_S);
	case 7:
		return r->now_s;
	case 8:
		return r->world.around_s + (int64_t)oracle_roll(2000) * DAY_S - 1000 * DAY_S;
	case 9:
		return 2 * DAY_S + (int64_t)oracle_roll(70000) * DAY_S; /* 1970 to 2161 */
	default:
		return next;
	}
}

static void pass_time(struct run *r)
{
	int64_t next = engine_next(r->engine);
	const uint32_t *ids;
	struct arena a;
	size_t n;

	check_next(r);
	snprintf(r->what, sizeof(r->what), "time, from %" PRId64 ", next edge %" PRId64, r->now_s,
		 next);
	r->now_s = pick_time(r);
	arena_init(&a, 1 << 20);
	assert_int_equal(engine_advance(r->engine, r->now_s, &a, &ids, &n), 0);
	for (size_t i = 0; i < n; i++) {
		assert_true(!i || ids[i - 1] < ids[i]);
		r->around[device_of(ids[i])] = true;
	}
	seen.edges += r->now_s == next;
	arena_done(&a);
}

/* --- all of it --- */

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void the_engine_answers_as_the_document_reads(void **state)
{
	uint64_t seed = from_environment("SEED", 1), total = 0;
	uint64_t changes = from_environment("CHANGES", CHANGES_DEFAULT);
	struct zones *zones = zones_new("/usr/share/zoneinfo");
	static struct run r;

	(void)state;
	assert_non_null(zones);
	for (; total < changes; seed++) {
		memset(&r, 0, sizeof(r));
		r.seed = seed;
		r.zones = zones;
		start_world(&r);
		for (; r.change < CHANGES_OF_A_WORLD && total < changes; r.change++, total++) {
			memset(r.around, 0, sizeof(r.around));
			if (r.change > ORACLE_DEVICES && oracle_roll(3) == 0)
				pass_time(&r);
			else
				change_device(&r);
			check_change(&r, total % CHECK_ALL_EVERY == 0);
		}
		end_world(&r);
	}
	zones_free(zones);
	print_message("%" PRIu64 " grants, %" PRIu64 " pairs changed, %" PRIu64 " edges, %" PRIu64
		      " explained, %" PRIu64 " held back, %" PRIu64 " worlds refused\n",
		      seen.grants, seen.touched, seen.edges, seen.explained, seen.held,
		      seen.refused);
	assert_true(seen.grants > changes && seen.touched > changes / 10 &&
		    seen.edges > changes / 100 && seen.held > changes / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_engine_answers_as_the_document_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
