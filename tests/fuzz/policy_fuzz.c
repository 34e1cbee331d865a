/* Fuzz target: any bytes as a policy. What is refused says why; what is accepted can be asked, at
 * any time and place, and an engine that has lived answers as one made afresh. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "controller/policy/can.h"
#include "controller/policy/demand.h"
#include "controller/policy/engine.h"
#include "controller/policy/invariant.h"
#include "controller/policy/preview.h"

enum { PROBLEMS_MAX = 16, DEVICES = 4, EDGES = 6 };

/* Unix seconds: 2026-11-23, in the years that the seeds speak of. */
static const int64_t now_s = 1795392000;

/* --- the world --- */

/* A file without transitions: all is in the rule of its last line. */
static const struct tz *berlin(void)
{
	/* header: one type, four letters; then the type, UTC, and its letters */
	static const char block[54] = {
		'T', 'Z', 'i', 'f', '2', [39] = 1, [43] = 4, [50] = 'U', 'T', 'C'};
	static const char rule[] = "\nCET-1CEST,M3.5.0,M10.5.0/3\n";
	static char file[2 * sizeof(block) + sizeof(rule)];
	static const struct tz *zone;
	static struct arena a;

	if (zone)
		return zone;
	memcpy(file, block, sizeof(block));
	memcpy(file + sizeof(block), block, sizeof(block));
	memcpy(file + 2 * sizeof(block), rule, sizeof(rule) - 1);
	arena_init(&a, 1 << 16);
	fuzz_check(
		!tz_decode(file, 2 * sizeof(block) + sizeof(rule) - 1, "Europe/Berlin", &a, &zone));
	fuzz_check(tz_offset(zone, now_s) == 3600);
	return zone;
}

static const struct tz *find_zone(void *arg, const char *name, const char **ret_reason)
{
	(void)arg;
	(void)ret_reason;
	if (strcmp(name, "UTC") == 0)
		return tz_utc();
	return strcmp(name, "Europe/Berlin") == 0 ? berlin() : NULL;
}

/* The first device has not connected; of the second the country is not known. */
static struct places places_of(const struct policy *p, uint32_t id)
{
	static const char *const sources[DEVICES] = {NULL, "192.0.2.7", "2001:db8::1",
						     "203.0.113.9"};
	struct place_view v = {0};
	struct places at;

	if (sources[id - 1])
		fuzz_check(addr_parse(sources[id - 1], &v.source) == 0);
	fuzz_check(addr_parse("100.64.8.1", &v.addr4) == 0);
	memcpy(v.country, id == 3 ? "DE" : id == 4 ? "FR" : "", id > 2 ? 3 : 1);
	at = place_evaluate(p, &v);
	fuzz_check(!(at.in & at.out));
	for (size_t i = 0; i < p->n_rules; i++)
		fuzz_check(!where_holds(&p->rules[i], &at) || !where_fails(&p->rules[i], &at));
	return at;
}

static void make_devices(const struct policy *p, struct subject *out)
{
	static const char *const tags[] = {"a", "db", "r"};
	static const char *const names[DEVICES] = {"box", "box-2", "box-3", "box-4"};

	for (uint32_t id = 1; id <= DEVICES; id++)
		out[id - 1] = (struct subject){
			.id = id,
			.name = names[id - 1],
			.owner = id % 2 ? "a@b" : "",
			.tags = tags,
			.n_tags = id - 1,
			.groups = p->n_groups ? &p->groups[0].name : NULL,
			.n_groups = p->n_groups && id == 3,
			.verdicts = id == 4 ? 0 : UINT64_MAX,
			.places = places_of(p, id),
		};
}

static void put_devices(struct engine *e, const struct policy *p)
{
	struct subject devices[DEVICES];

	make_devices(p, devices);
	for (size_t i = 0; i < DEVICES; i++)
		fuzz_check(engine_put(e, &devices[i]) == 0);
}

static struct engine *engine_at(const struct policy *p, int64_t t_s)
{
	struct engine *e = engine_new(p, t_s);

	fuzz_check(e != NULL);
	put_devices(e, p);
	return e;
}

/* --- questions --- */

static bool is_granted(const struct grant *g, size_t n, uint32_t src, uint32_t dst,
		       const struct service *svc)
{
	for (size_t i = 0; i < n; i++)
		if (g[i].src == src && g[i].dst == dst && service_covers(&g[i].svc, svc))
			return true;
	return false;
}

static void ask(const struct engine *e)
{
	static const struct service svc = {SERVICE_TCP, 22, 22};
	struct explain_context c = {0};
	struct explanation x;
	const struct grant *grants;
	struct arena a;
	size_t n;

	for (uint32_t id = 1; id <= DEVICES; id++) {
		uint32_t dst = id % DEVICES + 1;

		arena_init(&a, (size_t)1 << 28);
		fuzz_check(engine_grants(e, id, &a, &grants, &n) == 0);
		fuzz_check(engine_explain(e, id, dst, &svc, &c, &a, &x) == 0);
		fuzz_check(x.allowed == is_granted(grants, n, id, dst, &svc));
		fuzz_check(!x.allowed || !x.rule->deny);
		arena_done(&a);
	}
}

/* Does src open anything to dst? */
static bool opens(const struct engine *e, uint32_t src, uint32_t dst)
{
	const struct grant *grants;
	bool open = false;
	struct arena a;
	size_t n;

	arena_init(&a, (size_t)1 << 28);
	fuzz_check(engine_grants(e, src, &a, &grants, &n) == 0);
	for (size_t i = 0; i < n; i++)
		open = open || (grants[i].src == src && grants[i].dst == dst);
	arena_done(&a);
	return open;
}

/* False: too much to answer. */
static bool can(const struct policy *p, const struct can_question *q, enum can_verdict *ret)
{
	struct can_answer answer = {0};
	struct diag d;
	struct arena a;
	int err;

	arena_init(&a, (size_t)1 << 26);
	err = can_ask(p, q, &a, &answer, &d);
	fuzz_check(err == 0 || err == -ZT_ELIMIT || err == -ENOMEM);
	fuzz_check(err || (answer.n_ways == 0) == (answer.verdict == CAN_NEVER));
	*ret = answer.verdict;
	arena_done(&a);
	return err == 0;
}

/* What is open now to the last device, of which no posture holds, is not never open; what is not
 * is not always. */
static void ask_for_ever(const struct policy *p, const struct engine *e)
{
	struct subject devices[DEVICES];
	struct can_question q = {.from = {.kind = SELECTOR_DEVICE},
				 .to = {.kind = CAN_TO_DEVICE},
				 .devices = devices,
				 .n_devices = DEVICES,
				 .now_s = now_s};
	struct diag broken;
	struct diag_list problems = {.items = &broken, .max = 1};
	enum can_verdict verdict;
	int err;

	make_devices(p, devices);
	q.from.name = devices[DEVICES - 1].name;
	for (uint32_t dst = 1; dst < DEVICES; dst++) {
		bool open = opens(e, DEVICES, dst);

		q.to.name = devices[dst - 1].name;
		if (can(p, &q, &verdict))
			fuzz_check(verdict != (open ? CAN_NEVER : CAN_ALWAYS));
	}
	q.from = (struct selector){.kind = SELECTOR_ANYONE};
	q.to.kind = CAN_TO_RESOURCE;
	if (p->n_resources) {
		q.to.name = p->resources[0].name;
		(void)!can(p, &q, &verdict);
	}
	err = invariants_check(p, devices, DEVICES, now_s, &problems);
	fuzz_check(err == 0 || (err == -ZT_EFORM && broken.message[0] && broken.hint[0]));
}

static void compare(const struct engine *e, const struct engine *fresh)
{
	const struct grant *g, *want;
	size_t n, n_want;
	struct arena a;

	for (uint32_t id = 1; id <= DEVICES; id++) {
		arena_init(&a, (size_t)1 << 28);
		fuzz_check(engine_grants(e, id, &a, &g, &n) == 0);
		fuzz_check(engine_grants(fresh, id, &a, &want, &n_want) == 0);
		fuzz_check(n == n_want);
		for (size_t i = 0; i < n; i++)
			fuzz_check(g[i].src == want[i].src && g[i].dst == want[i].dst &&
				   g[i].rule == want[i].rule &&
				   service_compare(&g[i].svc, &want[i].svc) == 0);
		arena_done(&a);
	}
}

static size_t advance(struct engine *e, int64_t t_s)
{
	const uint32_t *ids;
	struct arena a;
	size_t n;

	arena_init(&a, 1 << 24);
	fuzz_check(engine_advance(e, t_s, &a, &ids, &n) == 0);
	for (size_t i = 0; i < n; i++)
		fuzz_check(ids[i] >= 1 && ids[i] <= DEVICES && (!i || ids[i - 1] < ids[i]));
	arena_done(&a);
	return n;
}

static void compare_at(struct engine *e, const struct policy *p, int64_t t_s)
{
	struct engine *fresh = engine_at(p, t_s);

	compare(e, fresh);
	engine_free(fresh);
}

/* Nothing changes before an edge; at one, far ahead and back again all is as if begun there. */
static void live(const struct policy *p)
{
	struct engine *e = engine_at(p, now_s);

	ask(e);
	ask_for_ever(p, e);
	for (int i = 0; i < EDGES && engine_next(e) < INT64_MAX; i++) {
		int64_t next = engine_next(e);

		fuzz_check(advance(e, next - 1) == 0 && engine_next(e) == next);
		compare_at(e, p, next - 1);
		advance(e, next);
		fuzz_check(engine_next(e) > next);
		compare_at(e, p, next);
		ask(e);
	}
	advance(e, INT64_MAX);
	compare_at(e, p, INT64_MAX);
	advance(e, now_s);
	compare_at(e, p, now_s);
	engine_remove(e, 1);
	engine_free(e);
}

/* Between a policy and itself lies nothing; no grant changes without a word. */
static void preview(const struct policy *before, const struct policy *after, bool same)
{
	static const char *const tags[] = {"a", "db", "r"};
	struct preview_device v[3] = {0};
	const struct preview_result *r;
	struct preview *p;
	int more = 1;

	for (uint32_t i = 0; i < 3; i++)
		v[i].before = v[i].after = (struct subject){.id = i + 1,
							    .name = "box",
							    .owner = i ? "" : "a@b",
							    .tags = tags,
							    .n_tags = i * 3 / 2};
	fuzz_check(preview_new(before, NULL, after, v, 3, 0, &p) == 0);
	while (more)
		fuzz_check((more = preview_step(p, 1)) >= 0);
	r = preview_result(p);
	fuzz_check(!same || preview_is_nothing(r));
	fuzz_check(!r->n_pairs || r->meaning.n);
	preview_free(p);
}

static void compare_all(const struct policy *p)
{
	static const char text[] = "[resource r]\non = tag:a, tag:db, tag:r\nports = tcp/20-30\n"
				   "[rule r]\nwho = anyone\nwhat = resource:r\nwhy = w\n";
	struct diag item;
	struct diag_list problems = {.items = &item, .max = 1};
	struct policy *other = NULL;

	fuzz_check(policy_parse("other", text, sizeof(text) - 1, NULL, &other, &problems) == 0);
	preview(p, p, true);
	preview(p, other, false);
	preview(other, p, false);
	policy_free(other);
}

static void judge(const struct policy *p)
{
	struct arena a;
	struct verdict v;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < p->n_postures; i++)
		fuzz_check(posture_evaluate(&p->postures[i], NULL, 0, 1, 0, &a, &v) == 0 &&
			   !v.complies);
	arena_done(&a);
}

/* As the running system reads it, which enforces no demand: what it takes asks for none. */
static void check_enforced(const uint8_t *data, size_t size)
{
	struct diag item;
	struct diag_list problems = {.items = &item, .max = 1};
	const struct policy_env env = {.zone = find_zone, .now_s = now_s};
	struct policy *p = NULL;

	if (policy_parse("fuzz", (const char *)data, size, &env, &p, &problems) < 0)
		return;
	for (size_t i = 0; i < p->n_rules; i++)
		fuzz_check(demands_kinds(&p->rules[i].demands) == 0);
	policy_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct diag items[PROBLEMS_MAX];
	struct diag_list problems = {.items = items, .max = PROBLEMS_MAX};
	struct policy *p = NULL;
	const struct policy_env env = {
		.zone = find_zone, .now_s = now_s, .enforces = (1u << DEMAND_KINDS) - 1};
	int err = policy_parse("fuzz", (const char *)data, size, &env, &p, &problems);

	fuzz_check((err == 0) == (p != NULL));
	fuzz_check((err == 0) == (problems.n == 0));
	for (size_t i = 0; i < problems.n; i++)
		fuzz_check(items[i].message[0] && items[i].hint[0] && items[i].line &&
			   items[i].column);
	if (!p)
		return 0;
	check_enforced(data, size);
	judge(p);
	live(p);
	compare_all(p);
	policy_free(p);
	return 0;
}
