/* The roll: the same subjects in slices of every size, while devices come and go, and no slice
 * takes long. */
#include "tests/unit/unit.h"

#include "controller/model/roll.h"
#include "zt/clock.h"

enum { DEVICES = 20, USERS = 7, NOW_S = 1000000 };

static struct device_row row_of(uint32_t id)
{
	struct device_row r = {.id = id,
			       .state = id % 5 == 0   ? DEVICE_REVOKED
					: id % 5 == 1 ? DEVICE_PENDING
						      : DEVICE_ACTIVE};

	snprintf(r.name, sizeof(r.name), "d%u", id);
	if (id % 2)
		snprintf(r.owner, sizeof(r.owner), "u%u@x.org", id % USERS);
	else
		snprintf(r.tags.name[r.tags.n++], sizeof(r.tags.name[0]), "t%u", id % 3);
	return r;
}

static void load(struct model *m, uint32_t from, uint32_t to)
{
	for (uint32_t id = from; id <= to; id++) {
		struct device_row row = row_of(id);
		struct device *d;

		assert_int_equal(model_load_device(m, &row, &d), 0);
	}
}

/* Users of an even number have a group. */
static void fill(struct model *m)
{
	model_init(m);
	for (unsigned i = 0; i < USERS; i++) {
		struct user_row u = {.n_groups = i % 2 == 0};

		snprintf(u.email, sizeof(u.email), "u%u@x.org", i);
		snprintf(u.groups[0], sizeof(u.groups[0]), "g%u", i);
		assert_int_equal(model_load_user(m, &u), 0);
	}
	load(m, 1, DEVICES);
}

static struct roll *taken(const struct model *m, size_t slice)
{
	struct roll *r = roll_new();
	int more = 1;

	assert_non_null(r);
	while (more)
		assert_true((more = roll_step(r, m, slice)) >= 0);
	return r;
}

static void check_group(const struct subject *s)
{
	unsigned long user = strtoul(s->owner + 1, NULL, 10);

	assert_int_equal(s->n_groups, user % 2 == 0);
	if (s->n_groups)
		assert_int_equal(strtoul(s->groups[0] + 1, NULL, 10), user);
}

static void everybody_who_is_not_revoked(void **state)
{
	static const size_t slices[] = {1, 2, 3, 7, 1000};

	(void)state;
	for (size_t k = 0; k < N_OF(slices); k++) {
		const struct subject *v;
		struct model m;
		struct roll *r;
		size_t n, i = 0;

		fill(&m);
		r = taken(&m, slices[k]);
		model_done(&m); /* it is a copy */
		v = roll_subjects(r, &n);
		assert_int_equal(n, DEVICES - DEVICES / 5 + (USERS + 1) / 2);
		for (uint32_t id = 1; id <= DEVICES; id++) {
			struct device_row row = row_of(id);

			if (row.state == DEVICE_REVOKED)
				continue;
			assert_int_equal(v[i].id, id);
			assert_string_equal(v[i].name, row.name);
			assert_string_equal(v[i].owner, row.owner);
			assert_int_equal(v[i].n_tags, row.tags.n);
			if (row.tags.n)
				assert_string_equal(v[i].tags[0], row.tags.name[0]);
			else
				check_group(&v[i]);
			i++;
		}
		for (; i < n; i++) { /* a device that the user may still enrol */
			assert_int_equal(v[i].id, 0);
			assert_string_equal(v[i].name, "");
			assert_int_equal(v[i].n_groups, 1);
			check_group(&v[i]);
		}
		roll_free(r);
	}
}

static void devices_come_and_go_meanwhile(void **state)
{
	struct change c = {.kind = CHANGE_DEVICE_STATE};
	const struct subject *v;
	struct device *d;
	struct model m;
	struct roll *r = roll_new();
	size_t n;

	(void)state;
	fill(&m);
	assert_non_null(r);
	assert_int_equal(roll_step(r, &m, 5), 1);
	for (uint32_t id = 1; id <= DEVICES; id++) {
		c.device = row_of(id);
		c.device.state = DEVICE_REVOKED;
		assert_int_equal(model_apply(&m, &c, (int64_t)NOW_S * 1000, &d), 0);
	}
	load(&m, 1001, 1001); /* the model's array grows */
	while (roll_step(r, &m, 5))
		;
	model_done(&m);
	v = roll_subjects(r, &n);
	assert_int_equal(n, 4 + 1 + (USERS + 1) / 2);
	assert_string_equal(v[3].name, "d4");
	assert_string_equal(v[4].name, "d1001");
	roll_free(r);
}

static void a_hundred_thousand_in_slices(void **state)
{
	enum { MANY = 100000, SLICE = 1000 };
	int64_t start_ms, step_ms, longest_ms = 0;
	struct model m;
	struct roll *r = roll_new();
	int more = 1;

	(void)state;
	assert_non_null(r);
	model_init(&m);
	load(&m, 1, MANY);
	start_ms = clock_now().boot_ms;
	while (more) {
		step_ms = clock_now().boot_ms;
		assert_true((more = roll_step(r, &m, SLICE)) >= 0);
		step_ms = clock_now().boot_ms - step_ms;
		longest_ms = step_ms > longest_ms ? step_ms : longest_ms;
	}
	print_message("%d devices copied in %lld ms, %d at a time in %lld ms at most\n", MANY,
		      (long long)(clock_now().boot_ms - start_ms), SLICE, (long long)longest_ms);
	roll_free(r);
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_who_is_not_revoked),
		cmocka_unit_test(devices_come_and_go_meanwhile),
		cmocka_unit_test(a_hundred_thousand_in_slices),
	};

	return cmocka_run_group_tests_name("model_roll", tests, NULL, NULL);
}
