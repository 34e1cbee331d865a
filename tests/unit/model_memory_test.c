/* A change that is committed holds, at whichever allocation memory ends: nobody has what only the
 * policy before gave, who does not fit has nothing, and when there is memory again all have theirs.
 */
#include "tests/unit/model_fixture.h"

#include <errno.h>

#include "controller/model/canary.h"
#include "tests/unit/failing_memory.h"

static const char old_text[] = "[resource db]\non = tag:db\nports = tcp/5432\n"
			       "[posture p]\nrequire = disk.encrypted == true\ngrace = 60s\n"
			       "[rule old]\nwho = user:sam@x.org\nwhat = resource:db\nwhy = w\n";
static const char new_text[] = "[resource db]\non = tag:db\nports = tcp/5432\n"
			       "[posture p]\nrequire = disk.encrypted == true\ngrace = 60s\n"
			       "[rule new]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = w\n"
			       "how = posture:p\n";

enum { CREWS = 40, TRIES = 10000, MINUTE_MS = 60000 };
static struct model m;

/* The disk of each is encrypted; CREWS more of ada's, so that the engine's tables have to grow. */
static void fill(void)
{
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct fact f = {.name = "disk.encrypted", .state = FACT_KNOWN, .value = "true"};
	struct report r = {.full = true, .facts = &f, .n_facts = 1};
	struct policy_row row = {.version = 1};

	model_init(&m);
	for (uint32_t id = 1; id <= SAM + CREWS; id++) {
		struct device_row d = id == DB	  ? row_of(id, "", "db")
				      : id == SAM ? row_of(id, "sam@x.org", "")
						  : row_of(id, "ada@x.org", "");
		struct device *ret;
		bool changed;

		assert_int_equal(model_load_device(&m, &d, &ret), 0);
		assert_int_equal(model_take_report(&m, ret, &r, now_ms, &changed), 0);
	}
	assert_int_equal(model_set_policy(&m, parsed(old_text), &row, now_ms), 0);
	for (uint32_t id = 1; id <= SAM + CREWS; id++)
		model_evaluate(&m, model_device(&m, id), now_ms, changes);
}

static struct force force_of(const char *text, uint32_t version, unsigned percent)
{
	struct policy *p = parsed(text);
	struct force f = {.policy = p,
			  .engine = engine_new(p, NOW_S),
			  .row = {.version = version, .trial.percent = percent}};

	assert_non_null(f.engine);
	return f;
}

/* What each may have under the policy that it is under now: all of it, or nothing when it or the
 * database was left out. What the other gives, never. */
static void expect_new(bool all)
{
	size_t n = 0;

	for (uint32_t id = 1; id <= SAM + CREWS; id++) {
		const struct device *d = model_device(&m, id);
		uint32_t version = model_force(&m, d)->row.version;
		bool should = version == 1 ? id == SAM : id != SAM && id != DB;

		n += d->left_out;
		if (may_open(&m, id, DB))
			assert_true(should && !d->left_out && !model_device(&m, DB)->left_out);
		else if (all)
			assert_false(should);
	}
	assert_int_equal(n, m.n_left_out);
}

/* Who was left out comes in, as soon as there is memory and not before. */
static void expect_mended(void)
{
	size_t n = m.n_left_out;

	memory_end_after(0);
	assert_true(model_put_left_out(&m) < n || !n);
	memory_comes_back();
	n = m.n_left_out;
	assert_int_equal(model_put_left_out(&m), n);
	assert_int_equal(m.n_left_out, 0);
	for (uint32_t id = 1; id <= SAM + CREWS; id++) {
		struct verdict_change changes[ENGINE_POSTURES_MAX];
		struct device *d = model_device(&m, id);

		if (d->next_ms < now_ms + MINUTE_MS) /* its posture could not be looked at */
			model_evaluate(&m, d, d->next_ms, changes);
	}
}

/* A version with ada in the canary and sam not. */
static uint32_t canary_version(void)
{
	uint32_t v = 2;

	while (!canary_has(ADA, v, 50) || canary_has(SAM, v, 50))
		v++;
	return v;
}

static void end_canary(enum change_kind kind)
{
	struct change c = {.kind = kind, .policy = m.canary.row};
	struct device *d;

	assert_int_equal(model_apply(&m, &c, now_ms, &d), 0);
}

enum how { PUT, CANARY, PROMOTE, ABORT };

/* Memory ends after n allocations. Did it? */
static bool change_force(enum how how, long n)
{
	uint32_t version = canary_version();
	struct force f = force_of(new_text, version, how == PUT ? 0 : 50);

	if (how == PROMOTE || how == ABORT)
		model_put_force(&m, &f, true, now_ms);
	memory_end_after(n);
	if (how == PUT || how == CANARY)
		model_put_force(&m, &f, how == CANARY, now_ms);
	else
		end_canary(how == PROMOTE ? CHANGE_POLICY_PROMOTE : CHANGE_POLICY_ABORT);
	return memory_comes_back();
}

static void a_policy_holds_without_memory(void **state)
{
	static const enum how ways[] = {PUT, CANARY, PROMOTE, ABORT};
	size_t most = 0;

	(void)state;
	for (size_t i = 0; i < N_OF(ways); i++) {
		bool ended = true;

		for (long n = 0; ended && n < TRIES; n++) {
			bool is_new = ways[i] == PUT || ways[i] == PROMOTE;

			fill();
			ended = change_force(ways[i], n);
			assert_int_equal(m.force.row.version, is_new ? canary_version() : 1);
			assert_int_equal(m.canary.engine != NULL, ways[i] == CANARY);
			most = m.n_left_out > most ? m.n_left_out : most;
			expect_new(!ended);
			expect_mended();
			expect_new(true);
			model_done(&m);
		}
		assert_false(ended);
	}
	assert_true(most > CREWS);
}

/* --- one device, one user --- */

static struct change change_of_sam(enum device_state device_state, const char *tag)
{
	struct change c = {.kind = CHANGE_DEVICE_STATE, .device = row_of(SAM, "sam@x.org", tag)};

	c.device.state = device_state;
	return c;
}

static bool sam_is_in(void)
{
	const uint32_t *ids;
	struct arena a;
	size_t n;

	arena_init(&a, 1 << 20);
	assert_int_equal(engine_owned(m.force.engine, "sam@x.org", &a, &ids, &n), 0);
	arena_done(&a);
	return n > 0;
}

/* Whatever there is memory for, it is gone, and does not come back when there is memory again. */
static void a_revocation_needs_no_memory(void **state)
{
	static const enum device_state states[] = {DEVICE_REVOKED, DEVICE_EXPIRED};

	(void)state;
	for (size_t i = 0; i < N_OF(states); i++) {
		unsigned without = 0;
		bool ended = true;

		for (long n = 0; ended && n < TRIES; n++) {
			struct change c = change_of_sam(states[i], "");
			struct device *d;
			int err;

			fill();
			assert_true(may_open(&m, SAM, DB));
			memory_end_after(n);
			err = model_apply(&m, &c, now_ms, &d);
			ended = memory_comes_back();
			without += err != 0;
			d = model_device(&m, SAM);
			assert_false(sam_is_in());
			assert_int_equal(d->row.state, states[i]);
			assert_int_equal(d->standing, i ? STANDING_EXPIRED : STANDING_REVOKED);
			model_put_left_out(&m);
			assert_false(sam_is_in());
			model_done(&m);
		}
		assert_int_equal(without, 1); /* its texts are one piece of memory */
	}
}

/* What it is now cannot be kept, so it is nothing; or it can, and is put when there is memory. */
static void a_tag_without_memory(void **state)
{
	bool ended = true, waited = false;

	(void)state;
	for (long n = 0; ended && n < TRIES; n++) {
		struct change c = change_of_sam(DEVICE_ACTIVE, "db");
		struct device *d;
		int err;

		fill();
		memory_end_after(n);
		err = model_apply(&m, &c, now_ms, &d);
		ended = memory_comes_back();
		d = model_device(&m, SAM);
		assert_int_equal(sam_is_in(), err == 0);
		assert_int_equal(d->left_out, err != 0 && d->row.tags.n);
		waited = waited || d->left_out;
		model_put_left_out(&m);
		assert_int_equal(sam_is_in(), d->row.tags.n == 1);
		assert_int_equal(d->standing, d->row.tags.n ? STANDING_ACTIVE : STANDING_PENDING);
		model_done(&m);
	}
	assert_true(waited);
}

static void a_user_is_disabled_without_memory(void **state)
{
	struct change c = {.kind = CHANGE_USER_PUT,
			   .user = {.email = "sam@x.org", .disabled = true}};
	struct device *d;

	(void)state;
	fill();
	assert_true(may_open(&m, SAM, DB));
	memory_end_after(0);
	assert_int_equal(model_apply(&m, &c, now_ms, &d), -ENOMEM); /* a user not known before */
	assert_true(memory_comes_back());
	assert_false(sam_is_in());
	model_put_left_out(&m);
	assert_false(sam_is_in());
	assert_int_equal(model_device(&m, SAM)->standing, STANDING_DISABLED);
	model_done(&m);
}

/* Room that was taken before the commit: what a user is, and is no longer, is known afterwards. */
static void reserved_users_need_no_memory(void **state)
{
	struct change c = {.kind = CHANGE_USER_PUT, .user = {.disabled = true}};
	struct device *d;

	(void)state;
	fill();
	assert_int_equal(model_reserve_users(&m, 200), 0);
	memory_end_after(0);
	for (int i = 0; i < 200; i++) {
		snprintf(c.user.email, sizeof(c.user.email), "u%d@x.org", i);
		assert_int_equal(model_apply(&m, &c, now_ms, &d), 0);
	}
	assert_int_equal(memory_refused, 0);
	assert_int_not_equal(model_reserve_users(&m, 100000), 0);
	memory_comes_back();
	for (int i = 0; i < 200; i++) {
		snprintf(c.user.email, sizeof(c.user.email), "u%d@x.org", i);
		assert_true(model_user(&m, c.user.email)->disabled);
	}
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_holds_without_memory),
		cmocka_unit_test(a_revocation_needs_no_memory),
		cmocka_unit_test(a_tag_without_memory),
		cmocka_unit_test(a_user_is_disabled_without_memory),
		cmocka_unit_test(reserved_users_need_no_memory),
	};

	return cmocka_run_group_tests_name("model_memory", tests, NULL, NULL);
}
