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

/* --- a posture that comes and goes --- */

static void flip(const char *value)
{
	report_ok(ada, "disk.encrypted", value);
}

static unsigned maps_of(const struct dev *d)
{
	return d->n_full + d->n_delta;
}

/* As the controller has it, without the way of a map to the device. */
static bool is_credited(const struct dev *d)
{
	char path[64];
	bool is;
	json_t *j;

	snprintf(path, sizeof(path), "/v1/admin/devices/%u", d->id);
	j = admin_ok("GET", path, NULL);
	is = json_is_true(at(j, "posture_ok"));
	json_decref(j);
	return is;
}

/* How many gains came before one did not. */
static unsigned gain_until_held(void)
{
	unsigned n = 0;

	for (; n < 20; n++) {
		flip("false");
		await(!sees(ada, db) && !sees(db, ada));
		flip("true");
		if (!is_credited(ada))
			return n;
		await(sees(ada, db) && sees(db, ada));
	}
	return n;
}

/* Losses are at once, always; gains wait when there are many. The neighbour is left in peace. */
static void test_gains_of_a_flapping_posture_are_paced(void **state)
{
	unsigned before, gains;

	(void)state;
	two_online(POSTURE_POLICY(""));
	flip("true");
	await(may_open(ada, db, 5432) && sees(db, ada));
	gains = gain_until_held();
	assert_in_range(gains, 2, 10);
	await(!sees(ada, db) && !sees(db, ada)); /* held at both ends */
	before = maps_of(db);
	for (int i = 0; i < 50; i++) {
		flip("false");
		flip("true");
	}
	status_number("streams");
	pump();
	assert_true(maps_of(db) <= before + 2);
	shift_clocks(60, 60); /* nothing is asked again: the gain comes by itself */
	await(may_open(ada, db, 5432) && sees(db, ada));
	flip("false");
	await(!sees(ada, db) && !sees(db, ada)); /* a loss after it: at once */
	two_gone();
}

static const char two_profiles[] =
	"[network]\nlease = 1h\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[resource web]\non = tag:db\nports = tcp/443\n"
	"[resource dns]\non = tag:db\nports = udp/53\n"
	"[posture p]\nrequire = disk.encrypted == true\n"
	"[posture q]\nrequire = disk.encrypted == false\n"
	"[rule p]\nwho = user:ada@x.org\nwhat = resource:db\nhow = posture:p\nwhy = p\n"
	"[rule q]\nwho = user:ada@x.org\nwhat = resource:web\nhow = posture:q\nwhy = q\n"
	"[rule r]\nwho = user:ada@x.org\nwhat = resource:dns\nwhy = r\n";

/* Every flip loses one profile and gains another: the loss never waits for the gain. */
static void test_a_gain_never_delays_a_loss(void **state)
{
	unsigned before;
	bool on = true;

	(void)state;
	two_online(two_profiles);
	flip("true");
	await(may_open(ada, db, 5432) && !may_open(ada, db, 443));
	for (int i = 0; i < 30; i++) {
		on = !on;
		flip(on ? "true" : "false");
		await(!may_open(ada, db, on ? 443 : 5432));
	}
	await(!may_open(ada, db, 5432) && !may_open(ada, db, 443));
	before = maps_of(db);
	for (int i = 0; i < 50; i++)
		flip(i % 2 ? "true" : "false");
	status_number("streams");
	pump();
	assert_true(maps_of(db) <= before + 2);
	assert_false(may_open(ada, db, 5432) || may_open(ada, db, 443));
	assert_true(may_open(ada, db, 53)); /* asks no posture, so it does not wait */
	shift_clocks(60, 60);
	await(may_open(ada, db, 5432) && may_open(ada, db, 53) && sees(db, ada));
	assert_false(may_open(ada, db, 443));
	two_gone();
}

/* What waits for its time goes with what it was part of: revoked is revoked. */
static void test_a_waiting_gain_does_not_outlive_its_device(void **state)
{
	json_int_t shifted_s;

	(void)state;
	two_online(POSTURE_POLICY(""));
	flip("true");
	await(sees(db, ada));
	gain_until_held();
	await(!sees(db, ada));
	device_do(ada, "revoke", "{\"why\":\"flaps\"}");
	await(ada->ended);
	shift_clocks(60, 60);
	shifted_s = status_number("uptime_s");
	await(status_number("uptime_s") >= shifted_s + 3); /* ticks after the gain's time */
	pump();
	assert_false(sees(db, ada));
	two_gone();
}

/* --- leases --- */

/* What a tick sends after so long: a renewal of the lease, or no more than a sign of life. */
static bool is_renewed_after(struct dev *d, long s)
{
	unsigned maps = maps_of(d), alive = d->n_keepalive;

	shift_clocks(s, s);
	await(d->n_keepalive > alive || maps_of(d) > maps);
	return maps_of(d) > maps;
}

static const char short_lease[] =
	"[network]\nlease = 1h\n"
	"[resource db]\non = tag:db\nports = tcp/5432\nlease = 5m\n"
	"[rule ada-db]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = she runs it\n";

/* A map is renewed three times within the least of its leases. */
static void test_a_short_lease_is_renewed_in_time(void **state)
{
	(void)state;
	two_online(db_policy);
	await(may_open(ada, db, 5432) && sees(db, ada));
	assert_int_equal(ada->map.grants[0].lease_s, 0);
	assert_false(is_renewed_after(ada, 110));
	policy_ok(short_lease);
	await(ada->map.grants[0].lease_s == 300 && db->map.grants[0].lease_s == 300);
	assert_false(is_renewed_after(ada, 110 + 90));
	assert_true(is_renewed_after(ada, 110 + 110));
	two_gone();
}

/* --- where a device is --- */

static const char from_office[] =
	"[network]\nlease = 1h\n[place office]\nsource = 127.0.0.2\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[rule r]\nwho = user:ada@x.org\nwhat = resource:db\nwhere = place:office\nwhy = w\n";

static void move_to(struct dev *d, const char *address)
{
	call_from = address;
	curl_easy_cleanup(d->curl);
	d->curl = client_new();
}

/* The newest word of a device says where it is: a report, a session, a stream. */
static void test_a_place_is_left_with_the_next_word(void **state)
{
	(void)state;
	two_online(from_office);
	pump();
	assert_false(sees(ada, db) || sees(db, ada));
	move_to(ada, "127.0.0.2");
	report_ok(ada, "disk.encrypted", "true");
	await(may_open(ada, db, 5432) && sees(db, ada));
	hang_up(ada);
	move_to(ada, "127.0.0.9");
	login(ada);
	await(!sees(db, ada)); /* a session from elsewhere is enough */
	move_to(ada, "127.0.0.2");
	report_ok(ada, "disk.encrypted", "true");
	await(sees(db, ada));
	move_to(ada, "127.0.0.9");
	report_ok(ada, "disk.encrypted", "true");
	await(!sees(db, ada));
	move_to(ada, NULL);
	two_gone();
}

/* Who is not heard for a minute may be anywhere. */
static void test_a_place_is_not_kept_by_silence(void **state)
{
	(void)state;
	two_online(from_office);
	move_to(ada, "127.0.0.2");
	report_ok(ada, "disk.encrypted", "true");
	await(sees(db, ada));
	move_to(ada, NULL);
	hang_up(ada);
	shift_clocks(ZT_PLACE_KEPT_S / 2, ZT_PLACE_KEPT_S / 2);
	status_number("streams");
	pump();
	assert_true(sees(db, ada));
	shift_clocks(2 * ZT_PLACE_KEPT_S, 2 * ZT_PLACE_KEPT_S);
	await(!sees(db, ada));
	two_gone();
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_end_of_a_certificate, setup_with_clock,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_short_lease_is_renewed_in_time,
						setup_with_clock, teardown),
		cmocka_unit_test_setup_teardown(test_a_clock_set_back_lengthens_no_session,
						setup_with_clock, teardown),
		cmocka_unit_test_setup_teardown(test_a_clock_set_back_revives_no_token,
						setup_with_clock, teardown),
		cmocka_unit_test_setup_teardown(test_gains_of_a_flapping_posture_are_paced,
						setup_with_clock, teardown),
		cmocka_unit_test_setup_teardown(test_a_gain_never_delays_a_loss, setup_with_clock,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_waiting_gain_does_not_outlive_its_device,
						setup_with_clock, teardown),
		cmocka_unit_test_setup_teardown(test_a_place_is_left_with_the_next_word,
						setup_with_clock, teardown),
		cmocka_unit_test_setup_teardown(test_a_place_is_not_kept_by_silence,
						setup_with_clock, teardown),
	};

	(void)argc;
	find_program(argv[0]);
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return cmocka_run_group_tests_name("api_time", tests, NULL, NULL);
}
