/* The model: standing of a device, what changes make of it, reports, posture over time; time passed
 * in. */
#include "tests/unit/model_fixture.h"

#include <errno.h>

#include "zt/txt.h"

static const char policy_text[] =
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[group ops]\nmembers = user:ops@x.org\n"
	"[posture p]\nrequire = disk.encrypted == true\ngrace = 60s\nmax_age = 300s\n"
	"[rule ada]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = w\n"
	"[rule ops]\nwho = group:ops\nwhat = resource:db\nwhy = w\n"
	"[rule careful]\nwho = user:sam@x.org\nwhat = resource:db\nhow = posture:p\nwhy = w\n";

static size_t grants_of(struct model *m, uint32_t id)
{
	const struct grant *g;
	struct arena a;
	size_t n;

	arena_init(&a, 1 << 20);
	assert_int_equal(engine_grants(m->force.engine, id, &a, &g, &n), 0);
	arena_done(&a);
	return n;
}

static void apply(struct model *m, const struct change *c)
{
	struct device *d;

	assert_int_equal(model_apply(m, c, now_ms, &d), 0);
}

/* --- standing --- */

static void test_standing(void **state)
{
	static const struct {
		const char *says;
		enum device_state state;
		bool disabled;
		int64_t cert_s; /* from now */
		enum standing is;
	} rows[] = {
		{"revoked stays revoked", DEVICE_REVOKED, false, DAY_S, STANDING_REVOKED},
		{"also when its owner is disabled", DEVICE_REVOKED, true, 0, STANDING_REVOKED},
		{"expired", DEVICE_EXPIRED, false, DAY_S, STANDING_EXPIRED},
		{"pending", DEVICE_PENDING, false, DAY_S, STANDING_PENDING},
		{"pending has no certificate to lose", DEVICE_PENDING, false, -1, STANDING_PENDING},
		{"pending, owner disabled", DEVICE_PENDING, true, DAY_S, STANDING_DISABLED},
		{"active, owner disabled", DEVICE_ACTIVE, true, DAY_S, STANDING_DISABLED},
		{"certificate over", DEVICE_ACTIVE, false, -1, STANDING_LAPSED},
		{"certificate over this second", DEVICE_ACTIVE, false, 0, STANDING_LAPSED},
		{"one second left", DEVICE_ACTIVE, false, 1, STANDING_ACTIVE},
	};
	struct device undecided = {0};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct device d = {
			.row = {.state = rows[i].state, .cert_not_after_s = NOW_S + rows[i].cert_s},
			.owner_disabled = rows[i].disabled};

		row_check(rows[i].says, model_standing(&d, now_ms) == rows[i].is);
	}
	assert_non_null(standing_refusal(undecided.standing)); /* what is not decided is nothing */
	assert_non_null(standing_refusal(STANDING_EXPIRED));
	assert_non_null(standing_refusal(STANDING_DISABLED));
	assert_null(standing_refusal(STANDING_ACTIVE));
	assert_null(standing_refusal(STANDING_PENDING));
	assert_null(standing_refusal(STANDING_LAPSED)); /* a session renews it */
}

/* A device that was never heard of again is nobody's peer when its certificate is over. */
static void test_certificate_ends_grants(void **state)
{
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct device *d;
	struct model m;

	(void)state;
	model_fill(&m, policy_text);
	d = model_device(&m, ADA);
	assert_int_equal(grants_of(&m, ADA), 1);
	assert_true(d->next_ms == now_ms + (int64_t)DAY_S * 1000);
	model_evaluate(&m, d, d->next_ms - 1, changes);
	assert_int_equal(grants_of(&m, DB), 1);
	model_evaluate(&m, d, d->next_ms, changes);
	assert_int_equal(d->standing, STANDING_LAPSED);
	assert_int_equal(grants_of(&m, DB) + grants_of(&m, ADA), 0);
	d->row.cert_not_after_s += 2 * DAY_S;
	model_evaluate(&m, d, now_ms + (int64_t)DAY_S * 1000, changes);
	assert_int_equal(grants_of(&m, DB), 1);
	model_done(&m);
}

/* --- changes --- */

static void test_states_and_users(void **state)
{
	struct change c = {.kind = CHANGE_DEVICE_STATE};
	struct model m;

	(void)state;
	model_fill(&m, policy_text);
	assert_int_equal(grants_of(&m, DB), 1);
	model_row(m.devices[ADA], &c.device);
	c.device.state = DEVICE_PENDING;
	apply(&m, &c);
	assert_int_equal(grants_of(&m, DB), 0);
	c.device.state = DEVICE_ACTIVE;
	apply(&m, &c);
	assert_int_equal(grants_of(&m, DB), 1);
	c = (struct change){.kind = CHANGE_USER_PUT,
			    .user = {.email = "ada@x.org", .disabled = true}};
	apply(&m, &c);
	assert_int_equal(grants_of(&m, DB) + grants_of(&m, ADA), 0);
	assert_int_equal(m.devices[ADA]->standing, STANDING_DISABLED);
	c.user.disabled = false;
	apply(&m, &c);
	assert_int_equal(grants_of(&m, DB), 1);
	snprintf(c.user.groups[0], sizeof(c.user.groups[0]), "ops");
	c.user.n_groups = 1;
	apply(&m, &c);
	assert_int_equal(grants_of(&m, DB), 2); /* by both rules */
	c = (struct change){.kind = CHANGE_DEVICE_STATE};
	model_row(m.devices[DB], &c.device);
	c.device.state = DEVICE_REVOKED;
	apply(&m, &c);
	assert_int_equal(grants_of(&m, ADA), 0);
	model_done(&m);
}

/* A device of a user who is disabled before it is loaded is so too. */
static void test_disabled_user_at_start(void **state)
{
	struct user_row u = {.email = "ada@x.org", .disabled = true};
	struct device_row row = row_of(ADA, "ada@x.org", "");
	struct policy_row p = {.version = 1};
	struct device *d;
	struct model m;

	(void)state;
	model_init(&m);
	assert_int_equal(model_load_user(&m, &u), 0);
	assert_int_equal(model_load_device(&m, &row, &d), 0);
	assert_int_equal(model_set_policy(&m, parsed(policy_text), &p, now_ms), 0);
	assert_int_equal(d->standing, STANDING_DISABLED);
	assert_int_equal(grants_of(&m, ADA), 0);
	model_done(&m);
}

/* What the database says may be older than what is known: soft state never goes back. */
static void test_written_behind(void **state)
{
	struct change c = {.kind = CHANGE_DEVICE_TAGS};
	struct device *d;
	struct model m;

	(void)state;
	model_fill(&m, policy_text);
	d = model_device(&m, ADA);
	model_row(d, &c.device);
	d->row.cert_not_after_s += 7;
	d->row.serial = 40;
	d->row.last_seen_s = NOW_S;
	apply(&m, &c);
	assert_int_equal(d->row.cert_not_after_s, NOW_S + DAY_S + 7);
	assert_int_equal(d->row.serial, 40);
	assert_int_equal(d->row.last_seen_s, NOW_S);
	c.device.serial = 50;
	apply(&m, &c);
	assert_int_equal(d->row.serial, 50);
	model_done(&m);
}

static void test_find(void **state)
{
	struct device_row old = row_of(9, "ada@x.org", "");
	struct device *d;
	struct model m;

	(void)state;
	model_fill(&m, policy_text);
	old.state = DEVICE_REVOKED;
	snprintf(old.name, sizeof(old.name), "d2");
	assert_int_equal(model_load_device(&m, &old, &d), 0);
	assert_ptr_equal(model_find_device(&m, "d2"), model_device(&m, ADA));
	assert_ptr_equal(model_find_device(&m, "9"), d);
	assert_null(model_find_device(&m, "nobody"));
	assert_null(model_find_device(&m, "0"));
	assert_null(model_find_device(&m, "4294967297"));
	assert_null(model_find_device(&m, ""));
	assert_null(model_device(&m, UINT32_MAX));
	old.id = 3000000; /* more than a controller holds */
	assert_int_equal(model_load_device(&m, &old, &d), -ZT_ELIMIT);
	model_done(&m);
}

/* --- reports --- */

static struct fact fact_of(const char *name, const char *value, uint32_t age_s)
{
	struct fact f = {.state = FACT_KNOWN, .age_s = age_s};

	snprintf(f.name, sizeof(f.name), "%s", name);
	snprintf(f.value, sizeof(f.value), "%s", value);
	return f;
}

static void test_endpoints(void **state)
{
	static const struct {
		const char *says, *endpoint;
		bool kept;
	} rows[] = {
		{"an address of the internet", "198.51.100.1:51820", true},
		{"a local one", "192.168.1.2:51820", true},
		{"inside the overlay", "100.64.0.3:51820", false},
		{"loopback", "127.0.0.1:51820", false},
		{"multicast", "224.0.0.1:51820", false},
		{"metadata", "169.254.169.254:80", false},
		{"IPv6 loopback", "[::1]:51820", false},
		{"IPv6 multicast", "[ff02::1]:51820", false},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:51820", false},
	};
	struct device *d;
	struct model m;
	bool changed;

	(void)state;
	model_fill(&m, policy_text);
	d = model_device(&m, ADA);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct report r = {.full = true, .n_endpoints = 1};

		d->n_endpoints = 0;
		if (endpoint_parse(rows[i].endpoint, &r.endpoints[0]))
			continue; /* it cannot even be said */
		assert_int_equal(model_take_report(&m, d, &r, now_ms, &changed), 0);
		row_check(rows[i].says, d->n_endpoints == rows[i].kept);
		row_check(rows[i].says, changed == rows[i].kept);
		assert_int_equal(model_take_report(&m, d, &r, now_ms, &changed), 0);
		row_check(rows[i].says, !changed);
	}
	model_done(&m);
}

static void test_partial_reports(void **state)
{
	struct fact first[] = {fact_of("disk.encrypted", "true", 10),
			       fact_of("os.id", "debian", 0)};
	struct fact second[] = {fact_of("disk.encrypted", "false", 0)};
	struct report full = {.full = true, .facts = first, .n_facts = 2};
	struct report part = {.facts = second, .n_facts = 1};
	struct device *d;
	struct model m;
	bool changed;

	(void)state;
	model_fill(&m, policy_text);
	d = model_device(&m, ADA);
	assert_int_equal(model_take_report(&m, d, &full, now_ms, &changed), 0);
	assert_int_equal(d->n_facts, 2);
	assert_true(d->facts[0].read_ms == now_ms - 10000);
	assert_string_equal(d->os, "debian");
	assert_int_equal(model_take_report(&m, d, &part, now_ms + 5, &changed), 0);
	assert_int_equal(d->n_facts, 2);
	assert_string_equal(d->facts[0].value, "false");
	assert_string_equal(d->facts[1].value, "debian");
	part.full = true;
	assert_int_equal(model_take_report(&m, d, &part, now_ms + 6, &changed), 0);
	assert_int_equal(d->n_facts, 1);
	model_done(&m);
}

static void test_too_many_facts(void **state)
{
	static struct fact many[ZT_FACTS_MAX];
	struct fact one = fact_of("a", "1", 0);
	struct report full = {.full = true, .facts = many, .n_facts = ZT_FACTS_MAX};
	struct report part = {.facts = &one, .n_facts = 1};
	struct device *d;
	struct model m;
	bool changed;

	(void)state;
	model_fill(&m, policy_text);
	d = model_device(&m, ADA);
	for (unsigned i = 0; i < ZT_FACTS_MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "custom.%03u", i);
		many[i] = fact_of(name, "1", 0);
	}
	assert_int_equal(model_take_report(&m, d, &full, now_ms, &changed), 0);
	assert_int_equal(model_take_report(&m, d, &part, now_ms, &changed), -ZT_ELIMIT);
	assert_int_equal(d->n_facts, ZT_FACTS_MAX); /* as before */
	model_done(&m);
}

/* --- posture --- */

/* Sam's device in time: at a second it says something, or nothing; is it let in then? */
static void test_posture_in_time(void **state)
{
	static const struct {
		const char *says;
		int at_s;
		const char *disk; /* reported then; NULL: nothing is */
		bool let_in;
	} rows[] = {
		{"nothing known", 0, NULL, false},
		{"never complied: no grace", 1, "false", false},
		{"complies", 2, "true", true},
		{"still", 100, NULL, true},
		{"stopped complying: grace", 101, "false", true},
		{"to its last second", 160, NULL, true},
		{"and no longer", 161, NULL, false},
		{"complies again", 170, "true", true},
		{"a fact gets too old: grace once more", 470, NULL, true},
		{"and its end", 530, NULL, false},
		{"nonsense is not true", 540, "yes", false},
	};
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct device *d;
	struct model m;
	bool changed;

	(void)state;
	model_fill(&m, policy_text);
	d = model_device(&m, SAM);
	for (size_t i = 0; i < N_OF(rows); i++) {
		int64_t at_ms = now_ms + rows[i].at_s * 1000;
		struct fact f = fact_of("disk.encrypted", rows[i].disk ? rows[i].disk : "", 0);
		struct report r = {.full = true, .facts = &f, .n_facts = 1};

		if (rows[i].disk)
			assert_int_equal(model_take_report(&m, d, &r, at_ms, &changed), 0);
		model_evaluate(&m, d, at_ms, changes);
		row_check(rows[i].says, (grants_of(&m, SAM) == 1) == rows[i].let_in);
	}
	model_done(&m);
}

/* A policy put while a grace runs neither ends it nor starts it anew; a refused one changes
 * nothing. */
static void test_policy_keeps_grace(void **state)
{
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct fact good = fact_of("disk.encrypted", "true", 0);
	struct fact bad = fact_of("disk.encrypted", "false", 0);
	struct report r = {.full = true, .facts = &good, .n_facts = 1};
	struct policy_row row = {.version = 2};
	struct device *d;
	struct model m;
	bool changed;

	(void)state;
	model_fill(&m, policy_text);
	d = model_device(&m, SAM);
	assert_int_equal(model_take_report(&m, d, &r, now_ms, &changed), 0);
	model_evaluate(&m, d, now_ms, changes);
	r.facts = &bad;
	assert_int_equal(model_take_report(&m, d, &r, now_ms + 1000, &changed), 0);
	assert_int_equal(model_evaluate(&m, d, now_ms + 1000, changes), 0);
	assert_int_equal(model_set_policy(&m, parsed(policy_text), &row, now_ms + 30000), 0);
	assert_int_equal(grants_of(&m, SAM), 1);
	assert_int_equal(model_evaluate(&m, d, now_ms + 61000, changes), 1);
	assert_false(changes[0].ok);
	assert_int_equal(grants_of(&m, SAM), 0);
	assert_int_equal(model_set_policy(&m, parsed(policy_text), &row, now_ms + 62000), 0);
	assert_int_equal(grants_of(&m, SAM), 0);
	assert_int_equal(m.force.row.version, 2);
	model_done(&m);
}

/* However many there are, and after each put. */
static void test_users_are_found(void **state)
{
	enum { USERS = 500 };
	struct user_row u = {0};
	struct model m;

	(void)state;
	model_init(&m);
	assert_null(model_user(&m, "u0@x.org"));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < USERS; i++) {
			snprintf(u.email, sizeof(u.email), "u%d@x.org", i);
			u.disabled = round;
			assert_int_equal(model_load_user(&m, &u), 0);
			assert_non_null(model_user(&m, u.email));
		}
	assert_int_equal(m.n_users, USERS);
	for (int i = 0; i < USERS; i++) {
		snprintf(u.email, sizeof(u.email), "u%d@x.org", i);
		assert_string_equal(model_user(&m, u.email)->email, u.email);
		assert_true(model_user(&m, u.email)->disabled);
	}
	assert_null(model_user(&m, "u500@x.org"));
	model_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users_are_found),
		cmocka_unit_test(test_standing),
		cmocka_unit_test(test_certificate_ends_grants),
		cmocka_unit_test(test_states_and_users),
		cmocka_unit_test(test_disabled_user_at_start),
		cmocka_unit_test(test_written_behind),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_partial_reports),
		cmocka_unit_test(test_too_many_facts),
		cmocka_unit_test(test_posture_in_time),
		cmocka_unit_test(test_policy_keeps_grace),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
