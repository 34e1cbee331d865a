/* What ends by time, on a controller whose clocks a test moves: sessions, streams, certificates,
 * tokens. */
#include "tests/shell/api_two.h"

enum { HOUR_S = 3600, DAY_S = 24 * HOUR_S };

/* Seconds that the controller's clocks are ahead of ours. */
static void shift_clocks(long wall_s, long boot_s)
{
	char fresh[sizeof(ctl.clock) + 8];
	FILE *f;

	snprintf(fresh, sizeof(fresh), "%s.new", ctl.clock);
	f = fopen(fresh, "we");
	assert_non_null(f);
	fprintf(f, "%ld %ld\n", wall_s, boot_s);
	fclose(f);
	assert_int_equal(rename(fresh, ctl.clock), 0);
}

static int setup_with_clock(void **state)
{
	if (setup(state))
		return -1;
	end_controller(SIGTERM);
	snprintf(ctl.clock, sizeof(ctl.clock), "%s/clock", ctl.dir);
	shift_clocks(0, 0);
	serve();
	return 0;
}

static bool is_known(struct dev *d)
{
	struct reply r = report_fact(d, "disk.encrypted", "true");
	long status = r.status;

	drop(&r);
	assert_true(status == 200 || status == 401);
	return status == 200;
}

/* A stream is as good as the proof it began with: only a new one, with the identity key, makes the
 * certificate last longer. */
static void test_the_end_of_a_certificate(void **state)
{
	(void)state;
	two_online(db_policy);
	await(may_open(ada, db, 5432) && sees(db, ada));
	shift_clocks(HOUR_S + 60, HOUR_S + 60);
	assert_false(is_known(ada)); /* sessions are short; what they opened stands */
	assert_false(is_known(db));
	login(db);
	shift_clocks(13 * HOUR_S, 13 * HOUR_S);
	login(db); /* past half of its life: renewed */
	shift_clocks(DAY_S - 60, DAY_S - 60);
	login(db);
	assert_int_equal(status_number("streams"), 2);
	pump();
	assert_true(sees(db, ada) && !ada->ended);
	shift_clocks(DAY_S + 60, DAY_S + 60);
	await(ada->ended && !sees(db, ada));
	assert_string_equal(ada->bye, "login");
	assert_true(ada->empty_before_bye);
	assert_false(is_known(ada));
	assert_true(is_known(db));
	assert_false(db->ended);
	ada->bye[0] = '\0';
	login(ada); /* it still has its key */
	connect_stream(ada);
	await(may_open(ada, db, 5432) && sees(db, ada));
	two_gone();
}

/* Time that went by is gone, also when the wall clock is set back meanwhile. */
static void test_a_clock_set_back_lengthens_no_session(void **state)
{
	(void)state;
	two_online(db_policy);
	assert_true(is_known(ada));
	shift_clocks(0, HOUR_S + 60);
	assert_false(is_known(ada));
	login(ada);
	assert_true(is_known(ada));
	two_gone();
}

static long enrol_status(const struct token *t)
{
	struct dev *d = dev_new();
	struct reply r = try_enroll(d, t, "late");
	long status = r.status;

	assert_true(status == 201 || code_is(&r, "token"));
	drop(&r);
	dev_free(d);
	return status;
}

/* The same through the whole program, over a restart. */
static void test_a_clock_set_back_revives_no_token(void **state)
{
	struct token late, spent, other;

	(void)state;
	token_create("{\"tags\":[\"a\"]}", &late);
	token_create("{\"tags\":[\"a\"]}", &spent);
	assert_int_equal(enrol_status(&spent), 201);
	shift_clocks(HOUR_S + 60, HOUR_S + 60);
	assert_int_equal(enrol_status(&late), 403); /* expired: the log has seen it */
	end_controller(SIGTERM);
	shift_clocks(0, 0);
	serve();
	assert_int_equal(enrol_status(&late), 403);
	assert_int_equal(enrol_status(&spent), 403);
	assert_int_equal(audit_count("refused", "set back"), 1);
	token_create("{\"tags\":[\"a\"]}", &other); /* nor does it end what is made now */
	assert_int_equal(enrol_status(&other), 201);
	shift_clocks(-DAY_S, 0);
	token_create("{\"tags\":[\"a\"]}", &other);
	shift_clocks(-2 * DAY_S, 0);
	assert_int_equal(enrol_status(&other), 403); /* made tomorrow */
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_end_of_a_certificate, setup_with_clock,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_clock_set_back_lengthens_no_session,
						setup_with_clock, teardown),
		cmocka_unit_test_setup_teardown(test_a_clock_set_back_revives_no_token,
						setup_with_clock, teardown),
	};

	(void)argc;
	find_program(argv[0]);
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return cmocka_run_group_tests_name("api_time", tests, NULL, NULL);
}
