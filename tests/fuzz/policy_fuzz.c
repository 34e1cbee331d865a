/* Fuzz target: any bytes as a policy. What is refused says why; what is accepted can be asked. */
#include "tests/fuzz/fuzz.h"

#include "controller/policy/engine.h"

enum { PROBLEMS_MAX = 16 };

static void put_devices(struct engine *e, const struct policy *p)
{
	static const char *const tags[] = {"a", "db", "r"};

	for (uint32_t id = 1; id <= 4; id++) {
		const struct subject s = {
			.id = id,
			.name = "box",
			.owner = id % 2 ? "a@b" : "",
			.tags = tags,
			.n_tags = id - 1,
			.groups = p->n_groups ? &p->groups[0].name : NULL,
			.n_groups = p->n_groups && id == 3,
			.verdicts = id == 4 ? 0 : UINT64_MAX,
		};

		fuzz_check(engine_put(e, &s) == 0);
	}
}

static void ask(const struct policy *p)
{
	static const struct service svc = {SERVICE_TCP, 22, 22};
	struct engine *e = engine_new(p, 0);
	struct explain_context c = {0};
	struct explanation x;
	const struct grant *grants;
	struct arena a;
	size_t n;

	fuzz_check(e != NULL);
	put_devices(e, p);
	for (uint32_t id = 1; id <= 4; id++) {
		arena_init(&a, (size_t)1 << 28);
		fuzz_check(engine_grants(e, id, &a, &grants, &n) == 0);
		fuzz_check(engine_explain(e, id, id % 4 + 1, &svc, &c, &a, &x) == 0);
		arena_done(&a);
	}
	engine_remove(e, 1);
	engine_free(e);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct diag items[PROBLEMS_MAX];
	struct diag_list problems = {.items = items, .max = PROBLEMS_MAX};
	struct policy *p = NULL;
	int err = policy_parse("fuzz", (const char *)data, size, NULL, &p, &problems);

	fuzz_check((err == 0) == (p != NULL));
	fuzz_check((err == 0) == (problems.n == 0));
	for (size_t i = 0; i < problems.n; i++)
		fuzz_check(items[i].message[0] && items[i].hint[0] && items[i].line &&
			   items[i].column);
	if (!p)
		return 0;
	judge(p);
	ask(p);
	policy_free(p);
	return 0;
}
