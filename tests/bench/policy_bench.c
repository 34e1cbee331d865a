/* The policy engine beside a bare bitmap loop: what a full compile costs, one change, a question, a
 * parse. Prints the lines that tests/bench/lib.sh names: "figure|WHAT|MEASURED|BOUND|ok or over".
 * Everything is checked to be right before the clock counts; status 1 when it is not. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "zt/buf.h"
#include "controller/model/model.h"

enum { GROUPS = 200, RULES = 10000, ROUNDS = 15, SAMPLES = 200 };

static uint64_t dice = 88172645463325252u;

static uint32_t roll(uint32_t n)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (uint32_t)(dice >> 33) % n;
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fail(const char *fmt, ...) ZT_PRINTF(1, 2) __attribute__((noreturn));
static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "policy_bench: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_doubles);
	return v[n / 2];
}

/* What it takes when nothing else is in the way: for two things measured in turn. */
static double least(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_doubles);
	return v[0];
}

/* bound 0: none. */
static void figure(const char *what, double value, const char *unit, double bound)
{
	if (bound == 0)
		printf("figure|%s|%.3g %s|-|-\n", what, value, unit);
	else
		printf("figure|%s|%.3g %s|<= %g %s|%s\n", what, value, unit, bound, unit,
		       value <= bound ? "ok" : "over");
	fflush(stdout);
}

/* --- the world: devices in groups, by a tag each; resources on the same tags --- */

struct world {
	uint32_t n;	   /* devices */
	uint32_t *group;   /* by device */
	struct subject *s; /* by device; id = index + 1 */
	char (*name)[16];
	char (*tag)[16]; /* by group */
	const char **tags;
	uint32_t who[RULES], what[RULES]; /* groups */
	struct policy *policy;
};

static char *policy_text(const struct world *w, size_t *ret_n)
{
	struct buf b;
	char *text;

	buf_init_grow(&b, 64 << 20);
	for (uint32_t g = 0; g < GROUPS; g++)
		buf_printf(&b,
			   "[group g%u]\nmembers = tag:t%u\n"
			   "[resource r%u]\non = tag:t%u\nports = tcp/%u, udp/53\n",
			   g, g, g, g, 1000 + g);
	for (uint32_t r = 0; r < RULES; r++)
		buf_printf(&b, "[rule n%u]\nwho = group:g%u\nwhat = resource:r%u\nwhy = bench\n", r,
			   w->who[r], w->what[r]);
	text = strdup(buf_text(&b));
	if (b.err || !text)
		fail("no memory for the policy");
	*ret_n = b.len;
	buf_free(&b);
	return text;
}

static struct policy *parse(const char *text, size_t n)
{
	static struct diag items[2];
	struct diag_list problems = {.items = items, .max = 2};
	struct policy *p = NULL;

	if (policy_parse("bench", text, n, NULL, &p, &problems))
		fail("%u: %s", items[0].line, items[0].message);
	return p;
}

static void world_init(struct world *w, uint32_t n)
{
	size_t len;
	char *text;

	*w = (struct world){.n = n,
			    .group = calloc(n, sizeof(uint32_t)),
			    .s = calloc(n, sizeof(struct subject)),
			    .name = calloc(n, 16),
			    .tag = calloc(GROUPS, 16),
			    .tags = calloc(GROUPS, sizeof(char *))};
	for (uint32_t g = 0; g < GROUPS; g++) {
		snprintf(w->tag[g], 16, "t%u", g);
		w->tags[g] = w->tag[g];
	}
	for (uint32_t i = 0; i < n; i++) {
		w->group[i] = roll(GROUPS);
		snprintf(w->name[i], 16, "d%u", i);
		w->s[i] = (struct subject){.id = i + 1,
					   .name = w->name[i],
					   .owner = "",
					   .tags = &w->tags[w->group[i]],
					   .n_tags = 1};
	}
	for (uint32_t r = 0; r < RULES; r++) {
		w->who[r] = roll(GROUPS);
		w->what[r] = roll(GROUPS);
	}
	text = policy_text(w, &len);
	w->policy = parse(text, len);
	free(text);
}

static void world_done(struct world *w)
{
	policy_free(w->policy);
	free(w->group);
	free(w->s);
	free(w->name);
	free(w->tag);
	free(w->tags);
}

/* --- the peer: whom each group may reach, as bits of devices; no ports, no conditions --- */

struct bitmaps {
	size_t words;
	uint64_t *members, *reach; /* by group */
};

static void bare_loop(const struct world *w, struct bitmaps *b)
{
	memset(b->members, 0, GROUPS * b->words * 8);
	memset(b->reach, 0, GROUPS * b->words * 8);
	for (uint32_t i = 0; i < w->n; i++)
		b->members[w->group[i] * b->words + i / 64] |= UINT64_C(1) << (i % 64);
	for (uint32_t r = 0; r < RULES; r++) {
		const uint64_t *from = &b->members[w->what[r] * b->words];
		uint64_t *to = &b->reach[w->who[r] * b->words];

		for (size_t k = 0; k < b->words; k++)
			to[k] |= from[k];
	}
}

static struct engine *compile(const struct world *w)
{
	struct engine *e = engine_new(w->policy, 0);

	for (uint32_t i = 0; e && i < w->n; i++)
		if (engine_put(e, &w->s[i]))
			fail("no memory");
	if (!e)
		fail("no memory");
	return e;
}

/* Whom device i may reach, with its own port each: both ways of counting agree. */
static void check_device(const struct world *w, const struct bitmaps *b, const struct engine *e,
			 uint32_t i)
{
	const uint64_t *reach = &b->reach[w->group[i] * b->words];
	const struct grant *grants;
	size_t n, pairs = 0, found = 0;
	uint32_t last = 0;
	struct arena a;

	arena_init(&a, (size_t)1 << 30);
	if (engine_grants(e, i + 1, &a, &grants, &n))
		fail("no memory");
	for (uint32_t k = 0; k < w->n; k++)
		pairs += k != i && (reach[k / 64] >> (k % 64) & 1);
	for (size_t k = 0; k < n; k++) {
		if (grants[k].src != i + 1 || grants[k].dst == last)
			continue;
		last = grants[k].dst;
		found++;
		if (!(reach[(last - 1) / 64] >> ((last - 1) % 64) & 1))
			fail("device %u has a grant to %u too many", i + 1, last);
	}
	if (found != pairs)
		fail("device %u reaches %zu of %zu", i + 1, found, pairs);
	arena_done(&a);
}

static void bench_compile(uint32_t n)
{
	double bare[ROUNDS], ours[ROUNDS];
	struct bitmaps b = {.words = n / 64 + 1};
	struct world w;
	char what[80];

	world_init(&w, n);
	b.members = malloc(GROUPS * b.words * 8);
	b.reach = malloc(GROUPS * b.words * 8);
	for (size_t i = 0; i < ROUNDS; i++) {
		double t = now_us();
		struct engine *e;

		bare_loop(&w, &b);
		bare[i] = now_us() - t;
		t = now_us();
		e = compile(&w);
		ours[i] = now_us() - t;
		for (uint32_t k = 0; i == 0 && k < SAMPLES; k++)
			check_device(&w, &b, e, roll(n));
		engine_free(e);
	}
	snprintf(what, sizeof(what), "compile %u devices x %u rules", n, RULES);
	figure(what, least(ours, ROUNDS) / 1e3, "ms", n > 10000 ? 60 : 0);
	snprintf(what, sizeof(what), "compile %u devices x %u rules / bare bitmap loop", n, RULES);
	figure(what, least(ours, ROUNDS) / least(bare, ROUNDS), "times", 4);
	free(b.members);
	free(b.reach);
	world_done(&w);
}

/* --- one change --- */

/* n devices; 50 of them and one more share a resource. The others are in groups of their own. */
struct village {
	uint32_t n;
	struct policy *policy;
	struct engine *engine;
	char (*text)[24]; /* names, and tags */
	const char **tags;
};

enum { AROUND = 50 };

static struct subject villager(struct village *v, uint32_t i, uint64_t verdicts, bool guest)
{
	return (struct subject){.id = i + 1,
				.name = v->text[2 * i],
				.owner = "",
				.tags = &v->tags[guest	       ? 1
						 : i == 0      ? 0
						 : i <= AROUND ? 2
							       : 3 + i % 100],
				.n_tags = 1,
				.verdicts = verdicts};
}

static void village_init(struct village *v, uint32_t n)
{
	struct buf b;

	*v = (struct village){
		.n = n, .text = calloc(2 * (size_t)n + 2, 24), .tags = calloc(104, 8)};
	buf_init_grow(&b, 1 << 20);
	buf_put_text(&b, "[posture p]\nrequire = disk.encrypted == true\n"
			 "[resource r]\non = tag:t2\nports = tcp/22, tcp/80\n"
			 "[rule r]\nwho = tag:t0\nwhat = resource:r\nhow = posture:p\nwhy = w\n");
	for (uint32_t k = 3; k < 103; k++)
		buf_printf(&b,
			   "[resource r%u]\non = tag:t%u\nports = tcp/22\n"
			   "[rule r%u]\nwho = tag:t%u\nwhat = resource:r%u\nwhy = w\n",
			   k, k, k, k, k);
	v->policy = parse(buf_text(&b), b.len);
	buf_free(&b);
	for (uint32_t k = 0; k < 104; k++) {
		char *t = malloc(24);

		snprintf(t, 24, "t%u", k);
		v->tags[k] = t;
	}
	v->engine = engine_new(v->policy, 0);
	for (uint32_t i = 0; i < n; i++) {
		struct subject s;

		snprintf(v->text[2 * i], 24, "d%u", i);
		s = villager(v, i, 0, false);
		if (engine_put(v->engine, &s))
			fail("no memory");
	}
}

static void village_done(struct village *v)
{
	engine_free(v->engine);
	policy_free(v->policy);
	for (uint32_t k = 0; k < 104; k++)
		free((void *)(uintptr_t)v->tags[k]);
	free(v->tags);
	free(v->text);
}

/* The change, whom it touches, and the grants of all of them: what has to be known to send. */
static size_t change(struct village *v, const struct subject *s, size_t *ret_grants)
{
	const struct grant *grants;
	const uint32_t *around;
	struct arena a;
	size_t n = 0;

	arena_init(&a, 64 << 20);
	if (engine_put(v->engine, s) || engine_neighbours(v->engine, s->id, &a, &around, &n))
		fail("no memory");
	for (size_t i = 0; i < n; i++)
		if (engine_grants(v->engine, around[i], &a, &grants, ret_grants))
			fail("no memory");
	if (engine_grants(v->engine, s->id, &a, &grants, ret_grants))
		fail("no memory");
	arena_done(&a);
	return n;
}

enum kind { POSTURE, TAGS, JOIN, KINDS };
static const char *const kind_names[KINDS] = {"posture flips", "tag changes", "device joins"};

/* Median microseconds of one change of the kind. */
static double time_change(struct village *v, enum kind kind)
{
	enum { TIMES = 2001 };
	static double us[TIMES];
	size_t grants;

	for (size_t i = 0; i < TIMES; i++) {
		bool on = i % 2 == 0;
		struct subject s = villager(v, 0, kind == POSTURE ? on : 1, kind == TAGS && !on);
		double t;

		if (kind == JOIN && on)
			engine_remove(v->engine, 1);
		t = now_us();
		if (change(v, &s, &grants) != (kind == TAGS && !on ? 0 : AROUND))
			fail("%s: not %d around", kind_names[kind], AROUND);
		us[i] = now_us() - t;
		if (grants != (on || kind == JOIN ? 2 * AROUND : 0))
			fail("%s: %zu grants", kind_names[kind], grants);
	}
	return median(us, TIMES);
}

static void bench_change(void)
{
	struct village small, large;
	char what[80];

	village_init(&small, 1000);
	village_init(&large, 100000);
	for (enum kind k = 0; k < KINDS; k++) {
		double a = time_change(&small, k), b = time_change(&large, k);

		snprintf(what, sizeof(what), "%s, 50 around, of 100000 devices", kind_names[k]);
		figure(what, b, "us", 100);
		snprintf(what, sizeof(what), "%s, at 100000 / at 1000 devices", kind_names[k]);
		figure(what, b / a, "times", 1.3);
	}
	village_done(&small);
	village_done(&large);
}

/* --- questions, and a long file --- */

static void bench_explain(void)
{
	enum { TIMES = 501 };
	const struct explain_context c = {0};
	const struct service svc = {SERVICE_TCP, 9999, 9999};
	double us[TIMES], worst = 0;
	struct world w;
	struct engine *e;

	world_init(&w, 100000);
	e = compile(&w);
	for (size_t i = 0; i < TIMES; i++) {
		uint32_t src = 1 + roll(w.n), dst = 1 + roll(w.n);
		struct explanation x;
		struct arena a;
		double t = now_us();

		arena_init(&a, 16 << 20);
		if (engine_explain(e, src, dst, &svc, &c, &a, &x) || x.allowed)
			fail("explain");
		us[i] = now_us() - t;
		worst = us[i] > worst ? us[i] : worst;
		arena_done(&a);
	}
	figure("explain at 100000 devices, 10000 rules, median", median(us, TIMES) / 1e3, "ms", 1);
	engine_free(e);
	world_done(&w);
}

static void bench_parse(void)
{
	enum { LINES = 100000 };
	double ms[ROUNDS];
	struct buf b;

	buf_init_grow(&b, 64 << 20);
	buf_put_text(&b, "[group all]\nmembers = user:u0@example.com");
	for (int i = 1; i < 60000; i++)
		buf_printf(&b, ",\n    user:u%d@example.com", i);
	buf_put_text(&b, "\n[resource r]\non = tag:r\nports = tcp/22\n");
	for (int i = 0; i < 8000; i++)
		buf_printf(&b,
			   "[rule r%d]\nwho = group:all, user:u%d@example.com\n"
			   "what = resource:r\nwhen = Mon-Fri 07:00-20:00\nwhy = w\n",
			   i, i);
	for (size_t i = 0; i < ROUNDS; i++) {
		double t = now_us();
		struct policy *p = parse(buf_text(&b), b.len);

		ms[i] = (now_us() - t) / 1e3;
		if (p->n_rules != 8000 || p->groups[0].members.n_in != 60000)
			fail("parse");
		policy_free(p);
	}
	figure("parse a policy of 100000 lines", median(ms, ROUNDS), "ms", 300);
	buf_free(&b);
}

/* --- memory of devices that are not connected --- */

static long resident_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long size = 0, resident = 0;

	if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2)
		fail("/proc/self/statm");
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* A laptop as most are: an owner, no tag, the last report's facts; or a server with two tags. */
static void load_device(struct model *m, uint32_t id, int64_t now_ms)
{
	static const char *const facts[][2] = {{"disk.encrypted", "true"},
					       {"firewall.enabled", "true"},
					       {"node.version", "1.0.0"},
					       {"os.id", "debian"},
					       {"os.version", "12"}};
	struct device_row row = {.id = id,
				 .state = DEVICE_ACTIVE,
				 .cert_not_after_s = now_ms / 1000 + 86400,
				 .addr4 = addr_v4((uint8_t[]){100, (uint8_t)(64 + (id >> 16)),
							      (uint8_t)(id >> 8), (uint8_t)id})};
	struct fact list[5];
	struct report r = {.full = true,
			   .wg_port = 51820,
			   .facts = list,
			   .n_facts = 5,
			   .endpoints = {{addr_v4((uint8_t[]){192, 0, 2, 1}), 51820}},
			   .n_endpoints = 1};
	struct device *d;
	bool changed;

	memcpy(row.identity.b, &id, sizeof(id));
	memcpy(row.wg_key.b, &id, sizeof(id));
	snprintf(row.name, sizeof(row.name), "notebook-%u", id);
	if (id % 4)
		snprintf(row.owner, sizeof(row.owner), "person%u@example.com", id);
	for (; !row.owner[0] && row.tags.n < 2; row.tags.n++)
		snprintf(row.tags.name[row.tags.n], sizeof(row.tags.name[0]), "t%zu", row.tags.n);
	for (size_t i = 0; i < 5; i++) {
		list[i] = (struct fact){.state = FACT_KNOWN};
		snprintf(list[i].name, sizeof(list[i].name), "%s", facts[i][0]);
		snprintf(list[i].value, sizeof(list[i].value), "%s", facts[i][1]);
	}
	if (model_load_device(m, &row, &d) || model_take_report(m, d, &r, now_ms, &changed))
		fail("no memory");
}

static void bench_memory(void)
{
	enum { DEVICES = 100000 };
	static const char text[] =
		"[posture p]\nrequire = disk.encrypted == true, os.version >= 12\n"
		"[resource r]\non = tag:t0\nports = tcp/22\n"
		"[rule r]\nwho = anyone\nwhat = resource:r\n"
		"how = posture:p\nwhy = w\n";
	const struct policy_row row = {.version = 1};
	const int64_t now_ms = 1795435200000;
	struct model m;
	long before;

	model_init(&m);
	before = resident_kib();
	for (uint32_t id = 1; id <= DEVICES; id++)
		load_device(&m, id, now_ms);
	if (model_set_policy(&m, parse(text, sizeof(text) - 1), &row, now_ms))
		fail("no memory");
	figure("controller, each of 100000 devices that are not connected",
	       (double)(resident_kib() - before) / DEVICES, "KiB", 1);
	model_done(&m);
}

int main(void)
{
	bench_memory();
	bench_compile(10000);
	bench_compile(100000);
	bench_change();
	bench_explain();
	bench_parse();
	return 0;
}
