/* What the handlers share, and challenges over time: with a made-up request and app, the clock in
 * our hand. (The functions below stand in for those of controller/http and app.c.) */
#include "tests/unit/unit.h"

#include <sodium.h>

#include "controller/api/api.h"
#include "zt/buf.h"
#include "zt/txt.h"

static struct {
	const char *body;
	const char *param;
	struct http_conn_slot slot;
	struct http_caller caller;
	int status;
	char code[16];
	json_t *answer;
	unsigned answers;
} request;

static struct {
	struct now now;
	struct model model;
	struct controller_keys keys;
	unsigned sessions, changes, streams, reports;
	bool session_over;
} world;

/* --- stand-ins --- */

const void *http_body(const struct http_request *r, size_t *ret_len)
{
	(void)r;
	*ret_len = strlen(request.body);
	return request.body;
}

const char *http_param(const struct http_request *r, const char *name)
{
	(void)r, (void)name;
	return request.param;
}

const char *http_query(const struct http_request *r, const char *name)
{
	(void)r, (void)name;
	return NULL;
}

const struct http_caller *http_caller(const struct http_request *r)
{
	(void)r;
	return &request.caller;
}

void http_peer(const struct http_request *r, struct endpoint *ret)
{
	(void)r;
	assert_int_equal(endpoint_parse("192.0.2.1:4000", ret), 0);
}

struct http_conn_slot *http_conn_slot(const struct http_request *r)
{
	(void)r;
	return &request.slot;
}

void *http_request_alloc(struct http_request *r, size_t n)
{
	static uint8_t mem[4096];

	(void)r;
	return n <= sizeof(mem) ? mem : NULL;
}

void http_reply_json(struct http_request *r, int status, json_t *body)
{
	(void)r;
	request.status = status;
	request.answers++;
	json_decref(request.answer);
	request.answer = body;
}

void http_reply_error(struct http_request *r, int status, const char *code, const char *message,
		      const char *hint)
{
	(void)message, (void)hint;
	snprintf(request.code, sizeof(request.code), "%s", code);
	http_reply_json(r, status, NULL);
}

void http_reply_diag(struct http_request *r, int err, const struct diag *d)
{
	(void)err, (void)d;
	http_reply_json(r, 500, NULL);
}

struct model *app_model(struct app *a)
{
	(void)a;
	return &world.model;
}

struct now app_now(const struct app *a)
{
	(void)a;
	return world.now;
}

const struct controller_keys *app_keys(const struct app *a)
{
	(void)a;
	return &world.keys;
}

void app_change(struct app *a, const struct change *c, app_then then, void *arg)
{
	(void)a, (void)c, (void)then, (void)arg;
	world.changes++;
}

bool app_session_stands(const struct app *a, const struct http_caller *c)
{
	(void)a, (void)c;
	return !world.session_over;
}

int app_open_session(struct app *a, struct device *d, char out[static SESSION_TEXT_MAX],
		     int64_t *ret_expires_s)
{
	(void)a;
	snprintf(out, SESSION_TEXT_MAX, "%u.x", d->row.id);
	*ret_expires_s = world.now.wall_ms / 1000 + 60;
	world.sessions++;
	return 0;
}

void app_seen_from(struct app *a, struct device *d, const struct http_request *r)
{
	(void)a, (void)d, (void)r;
}

int app_report(struct app *a, struct device *d, const void *body, size_t n, struct diag *diag)
{
	(void)a, (void)d, (void)body, (void)n, (void)diag;
	world.reports++;
	return 0;
}

int app_open_stream(struct app *a, struct device *d, struct http_request *r, uint64_t serial)
{
	(void)a, (void)d, (void)r, (void)serial;
	world.streams++;
	return 0;
}

/* --- a world with one device --- */

static const struct secret seed = {{7}};

static struct device *device_with(enum device_state state)
{
	struct device_row row = {.id = 1, .name = "d", .owner = "ada@x.org", .state = state};
	struct device *d;

	row.cert_not_after_s = 2000;
	key_of_identity(&seed, &row.identity);
	assert_int_equal(model_load_device(&world.model, &row, &d), 0);
	return d;
}

static int setup(void **state)
{
	(void)state;
	memset(&request, 0, sizeof(request));
	memset(&world, 0, sizeof(world));
	request.body = "";
	world.now = (struct now){.wall_ms = 1000000, .boot_ms = 500000};
	key_of_identity(&(struct secret){{1}}, &world.keys.network_pub);
	model_init(&world.model);
	device_with(DEVICE_ACTIVE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	json_decref(request.answer);
	model_done(&world.model);
	return 0;
}

/* --- bodies --- */

static void test_body(void **state)
{
	static const struct {
		const char *says, *body;
		bool good;
	} rows[] = {
		{"nothing is an empty object", "", true},
		{"an object", "{\"a\":1}", true},
		{"a list", "[]", false},
		{"a text", "\"x\"", false},
		{"not JSON", "{", false},
		{"more after it", "{} {}", false},
		{"a member twice", "{\"a\":1,\"a\":2}", false},
		{"a NUL", "{\"a\":\"b\\u0000c\"}", false},
		{"not UTF-8", "{\"a\":\"\xff\"}", false},
		{"deep", "{\"a\":[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]}", true},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		json_t *j;

		request.body = rows[i].body;
		request.status = 0;
		j = api_body(NULL);
		row_check(rows[i].says, (j != NULL) == rows[i].good);
		row_check(rows[i].says, request.status == (rows[i].good ? 0 : 400));
		json_decref(j);
	}
}

static void test_text(void **state)
{
	json_t *j = json_pack("{s:s,s:i,s:n,s:s}", "a", "1234567890", "n", 7, "nil", "e", "");

	(void)state;
	assert_string_equal(api_text(NULL, j, "a", 10), "1234567890");
	assert_string_equal(api_text(NULL, j, "absent", 10), "");
	assert_string_equal(api_text(NULL, j, "nil", 10), "");
	assert_string_equal(api_text(NULL, j, "e", 0), "");
	assert_int_equal(request.answers, 0);
	assert_null(api_text(NULL, j, "a", 9));
	assert_null(api_text(NULL, j, "n", 10));
	assert_int_equal(request.answers, 2);
	assert_int_equal(request.status, 400);
	json_decref(j);
}

static void test_begin_change(void **state)
{
	static const struct {
		const char *says, *why;
		bool good;
	} rows[] = {
		{"none", "", true},
		{"a line", "because of 'x' <b>", true},
		{"UTF-8", "gr\xc3\xbc\xc3\x9f", true},
		{"two lines", "a\nb", false},
		{"an escape", "\x1b[2J", false},
		{"not UTF-8", "\xff", false},
	};
	char too_long[ZT_WHY_MAX + 2];
	struct change c;

	(void)state;
	snprintf(request.caller.name, sizeof(request.caller.name), "admin:1 (root)");
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says, api_begin_change(NULL, NULL, CHANGE_USER_PUT, rows[i].why,
							 &c) == rows[i].good);
	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_false(api_begin_change(NULL, NULL, CHANGE_USER_PUT, too_long, &c));
	too_long[ZT_WHY_MAX] = '\0';
	assert_true(api_begin_change(NULL, NULL, CHANGE_USER_PUT, too_long, &c));
	assert_string_equal(c.actor, "admin:1 (root)");
	assert_string_equal(c.source, "192.0.2.1:4000");
	assert_int_equal(c.at_ms, 1000000);
}

static void test_find_device(void **state)
{
	static const char *const no[] = {"2", "", "..", "1 OR 1=1", "00000000000000000000001x"};

	(void)state;
	request.param = "d";
	assert_non_null(api_find_device(NULL, NULL));
	request.param = "1";
	assert_non_null(api_find_device(NULL, NULL));
	for (size_t i = 0; i < N_OF(no); i++) {
		request.param = no[i];
		request.status = 0;
		row_check(no[i], !api_find_device(NULL, NULL) && request.status == 404);
	}
}

static void test_time(void **state)
{
	json_t *j = api_time(0);

	(void)state;
	assert_true(json_is_null(j));
	j = api_time(1);
	assert_string_equal(json_string_value(j), "1970-01-01T00:00:01Z");
	json_decref(j);
}

/* --- explanations --- */

static void test_better_explanation(void **state)
{
	static const struct policy_rule rule = {.name = "r"};
	static const struct explanation yes = {.allowed = true, .rule = &rule},
					near1 = {.nearest = &rule, .n_failed = 1},
					near2 = {.nearest = &rule, .n_failed = 2}, no;
	static const struct {
		const char *says;
		const struct explanation *x, *best;
		bool first, better;
	} rows[] = {
		{"the first is best", &no, &yes, true, true},
		{"yes before no", &yes, &near1, false, true},
		{"no never before yes", &near1, &yes, false, false},
		{"a rule before none", &near2, &no, false, true},
		{"none not before a rule", &no, &near2, false, false},
		{"fewer failures", &near1, &near2, false, true},
		{"more failures", &near2, &near1, false, false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says, api_explanation_is_better(rows[i].x, rows[i].best,
								  rows[i].first) == rows[i].better);
}

static void expect_json(json_t *j, const char *text)
{
	char *is = json_dumps(j, JSON_COMPACT);

	assert_string_equal(is, text);
	free(is);
	json_decref(j);
}

static void test_explanation_json(void **state)
{
	static const struct policy_rule rule = {.name = "r", .why = "w"};
	static const struct explain_failed failed = {"who", "<b>\x1b", "h\"int", 0},
					   old = {"when", "Sunday", "", 86400000};
	static const char *const apps[] = {"/bin/a", "b"}, *const users[] = {"u"};
	static const struct policy_rule asks = {
		.name = "r",
		.why = "w",
		.demands = {.apps = apps, .n_apps = 2, .users = users, .n_users = 1, .mfa = true}};
	const struct explanation left = {.allowed = true, .rule = &asks};
	const struct explanation yes = {.allowed = true, .rule = &rule}, no = {0},
				 near = {.nearest = &rule, .failed = &failed, .n_failed = 1},
				 shut = {.nearest = &rule, .failed = &old, .n_failed = 1};

	(void)state;
	expect_json(api_explanation_json(&yes, true),
		    "{\"allowed\":true,\"rule\":\"r\",\"why\":\"w\",\"nearest\":null,\"asks\":[]}");
	expect_json(api_explanation_json(&left, true),
		    "{\"allowed\":true,\"rule\":\"r\",\"why\":\"w\",\"nearest\":null,"
		    "\"asks\":[\"app:/bin/a or app:b\",\"user:u\"]}");
	expect_json(api_explanation_json(&no, true),
		    "{\"allowed\":false,\"rule\":null,\"nearest\":null}");
	expect_json(api_explanation_json(&near, false),
		    "{\"allowed\":false,\"rule\":null,\"nearest\":null}");
	expect_json(api_explanation_json(&near, true),
		    "{\"allowed\":false,\"rule\":null,\"nearest\":{\"rule\":\"r\",\"failed\":["
		    "{\"condition\":\"who\",\"is\":\"<b>\\u001B\",\"hint\":\"h\\\"int\"}]}}");
	expect_json(api_explanation_json(&shut, true),
		    "{\"allowed\":false,\"rule\":null,\"nearest\":{\"rule\":\"r\",\"failed\":["
		    "{\"condition\":\"when\",\"is\":\"Sunday\",\"hint\":\"\",\"since\":\"1970-01-"
		    "02T00:00:"
		    "00Z\"}]}}");
}

/* --- challenges and sessions, in time --- */

static char session_body[256];

/* Signed over the challenge that waits on the connection. */
static void sign_session(void)
{
	char text[2 * ZT_SIG_LEN];
	uint8_t mem[128];
	struct sig sig;
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_put(&b, world.keys.pin.b, ZT_KEY_LEN);
	buf_put(&b, request.slot.value.b, ZT_KEY_LEN);
	buf_put_u32(&b, 1);
	key_sign(&seed, "zt-session-1", mem, b.len, &sig);
	assert_int_equal(txt_base64url_encode(sig.b, ZT_SIG_LEN, text, sizeof(text)), 0);
	snprintf(session_body, sizeof(session_body), "{\"device\":1,\"signature\":\"%s\"}", text);
	request.body = session_body;
}

static void test_stale_challenge(void **state)
{
	static const struct {
		const char *says;
		int64_t later_ms, wall_ms; /* boot clock; how the wall clock jumps */
		int status;
	} rows[] = {
		{"at once", 0, 0, 200},
		{"in its last millisecond", ZT_CHALLENGE_LIFE_S * 1000 - 1, 0, 200},
		{"over", ZT_CHALLENGE_LIFE_S * 1000, 0, 409},
		{"the wall clock goes back and revives nothing", ZT_CHALLENGE_LIFE_S * 1000,
		 -3600000, 409},
		{"nor does it end one", 10, 3600, 200},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct now began = world.now;

		api_challenge(NULL, NULL);
		sign_session();
		world.now.boot_ms += rows[i].later_ms;
		world.now.wall_ms += rows[i].wall_ms;
		api_session(NULL, NULL);
		row_check(rows[i].says, request.status == rows[i].status);
		api_session(NULL, NULL);
		row_check(rows[i].says, request.status == 409); /* once, however it went */
		world.now = began;
	}
	assert_int_equal(world.sessions, 3);
}

static void test_session_of_every_state(void **state)
{
	static const struct {
		const char *says;
		enum device_state state;
		bool disabled;
		int status;
		const char *code;
	} rows[] = {
		{"revoked", DEVICE_REVOKED, false, 403, "revoked"},
		{"expired", DEVICE_EXPIRED, false, 403, "expired"},
		{"owner disabled", DEVICE_ACTIVE, true, 403, "disabled"},
		{"pending, owner disabled", DEVICE_PENDING, true, 403, "disabled"},
		{"pending", DEVICE_PENDING, false, 200, ""},
		{"active", DEVICE_ACTIVE, false, 200, ""},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct device *d = device_with(rows[i].state);

		d->owner_disabled = rows[i].disabled;
		request.code[0] = '\0';
		api_challenge(NULL, NULL);
		sign_session();
		api_session(NULL, NULL);
		row_check(rows[i].says, request.status == rows[i].status);
		row_check(rows[i].says, strcmp(request.code, rows[i].code) == 0);
	}
}

/* The caller was known when its headers came; a body later it may be revoked. */
static void test_revoked_meanwhile(void **state)
{
	(void)state;
	request.caller = (struct http_caller){.kind = HTTP_DEVICE, .device = 1};
	device_with(DEVICE_REVOKED);
	api_report(NULL, NULL);
	assert_int_equal(request.status, 403);
	api_stream(NULL, NULL);
	api_why(NULL, NULL);
	request.caller.device = 4711;
	api_report(NULL, NULL);
	assert_int_equal(request.status, 403);
	assert_int_equal(request.answers, 4);
	assert_int_equal(world.reports + world.streams, 0);
	request.caller.device = 1;
	device_with(DEVICE_ACTIVE);
	api_report(NULL, NULL);
	api_stream(NULL, NULL);
	assert_int_equal(world.reports + world.streams, 2);
}

/* A newer session took the place of the one that the request's headers came with. */
static void test_session_over_meanwhile(void **state)
{
	static const http_handler handlers[] = {api_report, api_stream, api_why, api_leave};

	(void)state;
	request.caller = (struct http_caller){.kind = HTTP_DEVICE, .device = 1};
	device_with(DEVICE_ACTIVE);
	world.session_over = true;
	for (size_t i = 0; i < N_OF(handlers); i++) {
		request.status = 0;
		handlers[i](NULL, NULL);
		assert_int_equal(request.status, 401);
	}
	assert_int_equal(request.answers, N_OF(handlers));
	assert_int_equal(world.reports + world.streams + world.changes, 0);
}

static void test_malformed_enrolments(void **state)
{
	static const char *const bodies[] = {
		"{}",
		"{\"token_id\":0}",
		"{\"token_id\":-1,\"name\":\"x\"}",
		"{\"token_id\":\"1\",\"name\":\"x\"}",
		"{\"token_id\":1,\"name\":\"x\",\"secret\":\"AAAA\"}",
		"{\"token_id\":1,\"name\":\"x\",\"secret\":7}",
		"{\"token_id\":99999999999999999999,\"name\":\"x\"}",
	};

	(void)state;
	api_challenge(NULL, NULL);
	for (size_t i = 0; i < N_OF(bodies); i++) {
		request.body = bodies[i];
		request.status = 0;
		api_enroll(NULL, NULL);
		row_check(bodies[i], request.status == 400);
	}
	assert_int_equal(world.changes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_begin_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_find_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_better_explanation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_explanation_json, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_challenge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session_of_every_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_revoked_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session_over_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed_enrolments, setup, teardown),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("api_common", tests, NULL, NULL);
}
