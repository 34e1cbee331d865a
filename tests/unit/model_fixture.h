/* What the tests of the model share: the hour it is, devices, and what each may open. */
#pragma once

#include "tests/unit/policy_fixture.h"
#include "controller/model/model.h"

enum { NOW_S = 1000000, DAY_S = 86400 };
static const int64_t now_ms = (int64_t)NOW_S * 1000;
enum { DB = 1, ADA = 2, SAM = 3 }; /* of model_fill() */

/* An active one with a day left. owner or tag: "" for none. */
static inline struct device_row row_of(uint32_t id, const char *owner, const char *tag)
{
	struct device_row r = {.id = id,
			       .state = DEVICE_ACTIVE,
			       .addr4 = addr_v4((uint8_t[]){100, 64, 0, (uint8_t)id}),
			       .cert_not_after_s = NOW_S + DAY_S};

	r.identity.b[0] = r.wg_key.b[1] = (uint8_t)id;
	snprintf(r.name, sizeof(r.name), "d%u", id);
	snprintf(r.owner, sizeof(r.owner), "%s", owner);
	snprintf(r.tags.name[0], sizeof(r.tags.name[0]), "%s", tag);
	r.tags.n = tag[0] != 0;
	return r;
}

/* The devices DB, ADA's and SAM's in 100.64.0.0/10 under the policy of this text, version 1. */
static inline void model_fill(struct model *m, const char *text)
{
	const struct device_row rows[] = {row_of(DB, "", "db"), row_of(ADA, "ada@x.org", ""),
					  row_of(SAM, "sam@x.org", "")};
	struct policy_row policy = {.version = 1};
	struct device *d;

	model_init(m);
	assert_int_equal(prefix_parse("100.64.0.0/10", &m->network.net4), 0);
	for (size_t i = 0; i < N_OF(rows); i++)
		assert_int_equal(model_load_device(m, &rows[i], &d), 0);
	assert_int_equal(model_set_policy(m, parsed(text), &policy, now_ms), 0);
}

/* Does the policy that src is under grant it something of dst? */
static inline bool may_open(const struct model *m, uint32_t src, uint32_t dst)
{
	const struct engine *e = model_force(m, model_device(m, src))->engine;
	const struct grant *g;
	struct arena a;
	bool may = false;
	size_t n;

	arena_init(&a, 1 << 20);
	assert_int_equal(engine_grants(e, src, &a, &g, &n), 0);
	for (size_t i = 0; i < n; i++)
		may = may || (g[i].src == src && g[i].dst == dst);
	arena_done(&a);
	return may;
}
