/* What an admitted device gets, and when it stops getting it: policy, posture, revocation,
 * restarts, slow readers, what it may ask; all seen on open streams. */
#include "tests/shell/api_two.h"

#include <pthread.h>
#include <stdatomic.h>

/* --- the end of a device --- */

/* Session, stream, report, why: refused on every path. says: how it ended. */
static void expect_out(struct dev *d, const char *code, const char *says)
{
	struct reply r = report_fact(d, "disk.encrypted", "true");

	row_check(says, r.status == 401);
	drop(&r);
	r = ask_why(d, "db", "tcp/5432");
	row_check(says, r.status == 401);
	drop(&r);
	r = call(d->curl, "GET", "/v1/stream?serial=0", d->session, NULL);
	row_check(says, r.status == 401);
	drop(&r);
	r = try_session(d);
	row_check(says, r.status == 403 && code_is(&r, code));
	drop(&r);
}

static void expect_dismissed(const char *code, const char *says)
{
	await(ada->ended && !sees(db, ada));
	row_check(says, strcmp(ada->bye, code) == 0);
	row_check(says, ada->empty_before_bye);
	row_check(says, db->map.n_grants == 0 && !db->ended);
	expect_out(ada, code, says);
}

static void come_back(void)
{
	login(ada);
	ada->bye[0] = '\0';
	connect_stream(ada);
	await(may_open(ada, db, 5432) && sees(db, ada));
}

/* Not that there is no such device: why nothing is allowed, whatever it is called. */
static void explained(const char *is)
{
	char by_address[160];
	const char *const paths[] = {
		"/v1/admin/explain?from=ada&to=db&service=tcp/5432",
		"/v1/admin/explain?from=db&to=ada&service=tcp/5432",
		"/v1/admin/explain?from=user:ada@x.org&to=db&service=tcp/5432",
		by_address,
	};
	char addr[ADDR_TEXT_MAX];
	struct reply r;

	addr_print(&ada->map.self.addr6, addr);
	snprintf(by_address, sizeof(by_address), "/v1/admin/explain?from=db&to=%s&service=icmp",
		 addr);
	for (size_t i = 0; i < N_OF(paths); i++) {
		r = admin("GET", paths[i], NULL);
		row_check(paths[i], r.status == 200 && json_is_false(at(r.json, "allowed")));
		row_check(paths[i], strstr(r.text, is) != NULL);
		drop(&r);
	}
}

static void test_end_of_a_device(void **state)
{
	struct reply r;

	(void)state;
	two_online(db_policy);
	await(may_open(ada, db, 5432) && sees(db, ada));
	assert_false(may_open(db, ada, 5432));
	await(secret_equal(&ada->psk.psk, &db->psk.psk)); /* once both have said hello */
	device_do(ada, "expire", "{\"why\":\"holiday\"}");
	expect_dismissed("expired", "expired");
	explained("\"expired\"");
	device_do(ada, "approve", "{}");
	come_back();
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"disabled\":true}");
	expect_dismissed("disabled", "owner disabled");
	explained("\"its owner is disabled\"");
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"disabled\":false}");
	come_back();
	device_do(ada, "revoke", "{\"why\":\"stolen\"}");
	expect_dismissed("revoked", "revoked");
	r = admin("POST", "/v1/admin/devices/2/approve", "{}");
	assert_int_equal(r.status, 409); /* for ever */
	drop(&r);
	expect_out(ada, "revoked", "revoked, and tried to approve");
	two_gone();
}

/* --- policy --- */

/* What nothing enforces is refused for that reason, and what runs goes on as it is. */
static void test_conditions_that_nothing_enforces(void **state)
{
	static const char *const how[] = {"login < 12h", "mfa", "approval", "app:/usr/bin/psql",
					  "user:postgres"};
	char text[512], want[128];
	struct reply r;

	(void)state;
	two_online(db_policy);
	await(may_open(ada, db, 5432) && sees(db, ada));
	for (size_t i = 0; i < N_OF(how); i++) {
		snprintf(text, sizeof(text), "%show = %s\n", db_policy, how[i]);
		snprintf(want, sizeof(want), "\"%s\" cannot be enforced by the running system yet",
			 how[i]);
		r = policy_put(text);
		row_check(how[i], r.status == 422 && json_array_size(at(r.json, "problems")) == 1);
		assert_string_equal(text_at(r.json, "problems.0.message"), want);
		assert_int_equal(number_at(r.json, "problems.0.line"), 10);
		assert_int_equal(number_at(r.json, "problems.0.column"), 7);
		drop(&r);
	}
	r = admin("GET", "/v1/admin/policy", NULL);
	assert_string_equal(r.text, db_policy);
	drop(&r);
	pump();
	assert_true(may_open(ada, db, 5432) && sees(db, ada));
	two_gone();
}

static void test_policy_on_open_streams(void **state)
{
	static const char *const bad[] = {
		"[rule x]\nwho = group:nobody\nwhat = resource:db\nwhy = x\n",
		"[resource db]\non = tag:db\n",
		"nonsense",
		"[rule \xff\xfe]\n",
		"[rule x]\nwho = anyone\nwhat = resource:db\n", /* no why */
	};
	struct reply r;
	unsigned maps;

	(void)state;
	two_online(empty_policy);
	assert_false(sees(ada, db) || sees(db, ada));
	policy_ok(db_policy);
	await(may_open(ada, db, 5432) && sees(db, ada));
	maps = ada->n_full + ada->n_delta;
	for (size_t i = 0; i < N_OF(bad); i++) {
		r = policy_put(bad[i]);
		row_check(bad[i], r.status == 422 && json_array_size(at(r.json, "problems")) > 0);
		drop(&r);
	}
	r = admin("GET", "/v1/admin/policy", NULL);
	assert_string_equal(r.text, db_policy);
	assert_non_null(strcasestr(r.headers, "X-Policy-Version: 3\r\n"));
	drop(&r);
	assert_int_equal(status_number("policy.version"), 3);
	pump();
	assert_int_equal(ada->n_full + ada->n_delta, maps);
	policy_ok(empty_policy);
	await(!sees(ada, db) && !sees(db, ada));
	assert_int_equal(ada->map.n_grants + ada->map.n_rules, 0);
	admin_do("POST", "/v1/admin/policy/restore", "{\"version\":3,\"why\":\"back\"}");
	await(may_open(ada, db, 5432) && sees(db, ada));
	r = admin("POST", "/v1/admin/devices/db/tags", "{\"add\":[\"x\"],\"remove\":[\"db\"]}");
	assert_int_equal(r.status, 200);
	drop(&r);
	await(!sees(ada, db) && !sees(db, ada));
	two_gone();
}

/* --- posture --- */

static void test_posture_flips_both_ends(void **state)
{
	unsigned a, b;

	(void)state;
	two_online(POSTURE_POLICY(""));
	report_ok(ada, "disk.encrypted", "false");
	assert_false(sees(ada, db) || sees(db, ada));
	report_ok(ada, "disk.encrypted", "true");
	await(may_open(ada, db, 5432) && sees(db, ada));
	a = ada->n_delta;
	b = db->n_delta;
	report_ok(ada, "disk.encrypted", "false");
	await(!sees(ada, db) && !sees(db, ada));
	assert_int_equal(ada->n_delta, a + 1); /* one step each */
	assert_int_equal(db->n_delta, b + 1);
	await(!json_is_true(at(ada->advice, "posture.0.ok")) && at(ada->advice, "posture.0.ok"));
	assert_int_equal(audit_count("posture", "disk.encrypted == true"), 1);
	two_gone();
}

static void test_old_facts_fail_by_themselves(void **state)
{
	int64_t reported_ms;

	(void)state;
	two_online(POSTURE_POLICY("max_age = 2s\n"));
	reported_ms = clock_now().boot_ms;
	report_ok(ada, "disk.encrypted", "true");
	await(may_open(ada, db, 5432) && sees(db, ada));
	await(!sees(ada, db) && !sees(db, ada)); /* nobody says anything */
	assert_in_range(clock_now().boot_ms - reported_ms, 1900, 8000);
	two_gone();
}

static void test_grace_is_for_who_complied(void **state)
{
	int64_t failed_ms;

	(void)state;
	two_online(POSTURE_POLICY("grace = 3s\n"));
	report_ok(ada, "disk.encrypted", "false"); /* never complied: none */
	assert_int_equal(status_number("streams"), 2);
	pump();
	assert_false(sees(ada, db) || sees(db, ada));
	report_ok(ada, "disk.encrypted", "true");
	await(may_open(ada, db, 5432));
	failed_ms = clock_now().boot_ms;
	report_ok(ada, "disk.encrypted", "false");
	assert_int_equal(status_number("streams"), 2);
	pump();
	assert_true(sees(ada, db) && sees(db, ada)); /* kept */
	await(!sees(ada, db) && !sees(db, ada));
	assert_in_range(clock_now().boot_ms - failed_ms, 2900, 9000);
	two_gone();
}

/* --- restart --- */

static void restart(int signo)
{
	end_controller(signo);
	await(ada->ended && db->ended);
	serve();
}

static void expect_after_restart(uint64_t serial)
{
	struct reply r = report_fact(ada, "disk.encrypted", "true");

	assert_int_equal(r.status, 401); /* sessions are gone */
	drop(&r);
	login(ada);
	login(db);
	connect_stream(ada);
	connect_stream(db);
	await(may_open(ada, db, 5432) && sees(db, ada)); /* posture is not */
	assert_true(ada->serial > serial);
	audit_is_whole();
}

static bool fact_is_written(void)
{
	json_t *j = admin_ok("GET", "/v1/admin/devices/ada", NULL);
	bool is = strcmp(text_at(j, "facts.0.value"), "true") == 0 &&
		  !json_is_null(at(j, "last_seen"));

	json_decref(j);
	return is;
}

static void test_restart(void **state)
{
	uint64_t serial;

	(void)state;
	two_online(POSTURE_POLICY(""));
	report_ok(ada, "disk.encrypted", "true");
	await(may_open(ada, db, 5432) && fact_is_written());
	serial = ada->serial;
	restart(SIGTERM);
	expect_after_restart(serial);
	serial = ada->serial;
	restart(SIGKILL); /* the report is in the database since the last end */
	expect_after_restart(serial);
	two_gone();
}

/* --- an older copy of the database --- */

static void copy_file(const char *from, const char *to)
{
	char path[2][160], mem[64 << 10];
	ssize_t n;
	int in, out;

	snprintf(path[0], sizeof(path[0]), "%s/%s", ctl.dir, from);
	snprintf(path[1], sizeof(path[1]), "%s/%s", ctl.dir, to);
	in = open(path[0], O_RDONLY | O_CLOEXEC);
	out = open(path[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, mem, sizeof(mem))) > 0)
		assert_int_equal(write(out, mem, (size_t)n), n);
	assert_int_equal(n, 0);
	close(in);
	close(out);
}

/* No two peers, and no peer and itself, with one address. */
static void expect_addresses_apart(const struct dev *d)
{
	const struct netmap *m = &d->map;

	for (size_t i = 0; i < m->n_peers; i++) {
		assert_false(addr_equal(&m->peers[i].addr4, &m->self.addr4));
		for (size_t j = 0; j < i; j++)
			assert_false(addr_equal(&m->peers[i].addr4, &m->peers[j].addr4));
	}
}

static void expect_unknown(struct dev *d)
{
	struct reply r = try_session(d);

	assert_true(r.status == 403 && code_is(&r, "refused"));
	drop(&r);
	r = report_fact(d, "disk.encrypted", "true");
	assert_int_equal(r.status, 401);
	drop(&r);
}

/* A device that was enrolled after the copy was made is unknown: its id and its address may be
 * given again, but it is never taken for whom they are given to, and the devices that are known
 * never have both. Enrolled anew it has an address of its own. */
static void test_an_older_database_is_restored(void **state)
{
	struct dev *lost, *next;
	struct reply r;
	struct token t;

	(void)state;
	two_online(db_policy);
	await(may_open(ada, db, 5432) && sees(db, ada));
	end_controller(SIGTERM);
	await(ada->ended && db->ended);
	copy_file("controller.db", "backup");
	serve();
	login(ada);
	login(db);
	connect_stream(ada);
	connect_stream(db);
	lost = online("\"user\":\"ada@x.org\"", "lost");
	await(sees(db, lost) && sees(db, ada));
	end_controller(SIGTERM);
	await(ada->ended && db->ended && lost->ended);
	copy_file("backup", "controller.db");
	serve();
	expect_unknown(lost);
	login(db);
	connect_stream(db); /* a full map, with a serial above what it has seen */
	await(!sees(db, lost));
	expect_addresses_apart(db);
	login(ada);
	connect_stream(ada);
	next = online("\"user\":\"ada@x.org\"", "next");
	assert_int_equal(next->id, lost->id); /* the controller cannot know */
	assert_true(addr_equal(&next->map.self.addr4, &lost->map.self.addr4));
	await(sees(db, next) && sees(db, ada));
	expect_addresses_apart(db);
	assert_true(key_equal(&netmap_find_peer(&db->map, next->id)->wg_key, &next->wg_pub));
	expect_unknown(lost); /* it is not the one that has its id now */
	token_create("{\"user\":\"ada@x.org\"}", &t);
	r = try_enroll(lost, &t, "lost");
	admitted(lost, &r);
	login(lost);
	lost->serial = 0;
	connect_stream(lost);
	await(sees(db, lost) && sees(db, next) && sees(db, ada));
	expect_addresses_apart(db);
	audit_is_whole();
	dev_free(lost);
	dev_free(next);
	two_gone();
}

/* Killed in the midst of commits: whoever was told "made" is in the log, and the log is whole. */
static atomic_uint made;

static void *make_tokens(void *arg)
{
	CURL *c = client_new();
	struct reply r = {0};

	(void)arg;
	do {
		drop(&r);
		r = call(c, "POST", "/v1/admin/tokens", ctl.authorization, "{\"tags\":[\"a\"]}");
		made += r.status == 201;
	} while (r.status == 201);
	drop(&r);
	curl_easy_cleanup(c);
	return NULL;
}

static void test_killed_while_it_writes(void **state)
{
	pthread_t threads[4];

	(void)state;
	made = 0;
	for (size_t i = 0; i < N_OF(threads); i++)
		pthread_create(&threads[i], NULL, make_tokens, NULL);
	await(made > 40);
	end_controller(SIGKILL);
	for (size_t i = 0; i < N_OF(threads); i++)
		pthread_join(threads[i], NULL);
	serve();
	assert_true(audit_count("token.create", "") >= made);
	audit_is_whole();
}

static void test_resume_by_serial(void **state)
{
	unsigned full, delta;

	(void)state;
	two_online(db_policy);
	await(may_open(ada, db, 5432));
	full = ada->n_full;
	delta = ada->n_delta;
	connect_stream(ada); /* with the serial it has: goes on from there */
	assert_int_equal(ada->n_full, full);
	assert_int_equal(ada->n_delta, delta + 1);
	open_stream(ada, ada->serial - 1); /* with another: everything anew */
	await(ada->n_full == full + 1);
	assert_true(may_open(ada, db, 5432));
	open_stream(ada,
		    ada->serial + 1000); /* ahead of the controller, as after a lost database */
	ada->serial += 1000;
	await(ada->n_full == full + 2);
	open_stream(ada, 0);
	await(ada->n_full == full + 3);
	assert_int_equal(status_number("streams"), 2); /* older ones ended */
	two_gone();
}

/* --- the old and the new of one device --- */

/* The same device a second time, as an older process of it that still runs. */
static struct dev *twin_of(const struct dev *d)
{
	struct dev *twin = dev_new();

	twin->identity = d->identity;
	twin->identity_pub = d->identity_pub;
	twin->wg = d->wg;
	twin->wg_pub = d->wg_pub;
	twin->network = d->network;
	twin->id = d->id;
	memcpy(twin->session, d->session, sizeof(twin->session));
	return twin;
}

/* Streams of one device in turn: only the newest hears, and the end of an older one, whenever it is
 * noticed, is not the end of the newest. */
static void test_an_old_stream_never_overwrites_a_newer(void **state)
{
	struct dev *one, *other, *newest = NULL;
	uint64_t last;

	(void)state;
	two_online(empty_policy);
	one = ada;
	other = twin_of(ada);
	for (int i = 0; i < 12; i++) {
		struct dev *old = i % 2 ? other : one;

		newest = i % 2 ? one : other;
		last = old->serial;
		if (i % 3 == 0)
			old->deaf = true; /* notices nothing of its end for now */
		newest->serial = newest->serial > last ? newest->serial : 0;
		open_stream(newest, newest->serial);
		await(newest->serial > last);
		policy_ok(i % 2 ? empty_policy : db_policy);
		await(sees(newest, db) == !(i % 2) && sees(db, newest) == !(i % 2));
		old->deaf = false;
		if (i % 4 == 1)
			hang_up(old);
		else
			await(old->ended);
		assert_true(old->serial <= last);
		assert_int_equal(status_number("streams"), 2);
		assert_int_equal(status_number("devices.online"), 2);
	}
	assert_false(newest->ended || db->ended);
	policy_ok(db_policy);
	await(may_open(newest, db, 5432) && sees(db, newest));
	dev_free(other);
	two_gone();
}

/* A report whose body comes in two parts; the second when it is let. */
static struct {
	CURLM *multi;
	CURL *curl;
	struct curl_slist *headers;
	struct reply reply;
	struct buf body;
	size_t sent;
	bool let;
	int running;
} half;

static size_t give_half(char *p, size_t one, size_t n, void *arg)
{
	size_t most = half.let ? half.body.len : half.body.len / 2;

	(void)arg;
	if (half.sent == most && !half.let)
		return CURL_READFUNC_PAUSE;
	n = n * one < most - half.sent ? n * one : most - half.sent;
	memcpy(p, half.body.data + half.sent, n);
	half.sent += n;
	return n;
}

static void half_begin(const struct dev *d, const char *name, const char *value)
{
	struct fact f = {.state = FACT_KNOWN};
	struct report report = {.full = true, .serial = d->serial, .facts = &f, .n_facts = 1};

	memset(&half, 0, sizeof(half));
	snprintf(f.name, sizeof(f.name), "%s", name);
	snprintf(f.value, sizeof(f.value), "%s", value);
	buf_init_grow(&half.body, ZT_REPORT_MAX);
	assert_int_equal(report_encode(&report, &half.body), 0);
	half.multi = curl_multi_init();
	half.curl = client_new();
	prepare(half.curl, "/v1/report");
	half.headers = curl_slist_append(NULL, d->session);
	half.headers = curl_slist_append(half.headers, "Expect:");
	curl_easy_setopt(half.curl, CURLOPT_HTTPHEADER, half.headers);
	curl_easy_setopt(half.curl, CURLOPT_POST, 1L);
	curl_easy_setopt(half.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)half.body.len);
	curl_easy_setopt(half.curl, CURLOPT_READFUNCTION, give_half);
	curl_easy_setopt(half.curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(half.curl, CURLOPT_WRITEDATA, &half.reply);
	curl_multi_add_handle(half.multi, half.curl);
	half.running = 1;
}

static bool half_turn(void)
{
	curl_multi_perform(half.multi, &half.running);
	if (half.running)
		curl_multi_poll(half.multi, NULL, 0, 10, NULL);
	return half.running;
}

/* The headers and half of the body are at the controller: a request that came after them was
 * answered. */
static void half_is_there(void)
{
	json_int_t streams;

	await((half_turn(), half.sent == half.body.len / 2));
	streams = status_number("streams");
	for (int i = 0; i < 5; i++) {
		half_turn();
		assert_int_equal(status_number("streams"), streams);
	}
}

static long half_end(void)
{
	long status = 0;

	half.let = true;
	curl_easy_pause(half.curl, CURLPAUSE_CONT);
	await(!half_turn());
	curl_easy_getinfo(half.curl, CURLINFO_RESPONSE_CODE, &status);
	curl_multi_remove_handle(half.multi, half.curl);
	curl_easy_cleanup(half.curl);
	curl_multi_cleanup(half.multi);
	curl_slist_free_all(half.headers);
	drop(&half.reply);
	buf_free(&half.body);
	return status;
}

/* An older session says no more, not even what it had begun to say: else a process that hangs would
 * undo what the one that took its place has said. */
static void test_a_stale_report_never_overwrites_a_newer(void **state)
{
	char old[sizeof(ada->session)], newer[sizeof(ada->session)];
	struct reply r;

	(void)state;
	two_online(POSTURE_POLICY(""));
	memcpy(old, ada->session, sizeof(old));
	half_begin(ada, "disk.encrypted", "true");
	half_is_there();
	login(ada);
	memcpy(newer, ada->session, sizeof(newer));
	report_ok(ada, "disk.encrypted", "false");
	memcpy(ada->session, old, sizeof(old));
	r = report_fact(ada, "disk.encrypted", "true"); /* with the older session */
	assert_int_equal(r.status, 401);
	drop(&r);
	assert_int_equal(half_end(), 401); /* begun with the older session */
	memcpy(ada->session, newer, sizeof(newer));
	r = ask_why(ada, "db", "tcp/5432");
	assert_true(r.status == 200 && !json_is_true(at(r.json, "allowed")));
	drop(&r);
	half_begin(ada, "disk.encrypted", "true");
	half_is_there();
	assert_int_equal(half_end(), 200); /* slow alone is no fault */
	await(may_open(ada, db, 5432) && sees(db, ada));
	two_gone();
}

/* --- a slow reader --- */

enum { MANY_PORTS = 5000 };

static char *many_grants(void)
{
	struct buf b;
	char *text;

	buf_init_grow(&b, 4 << 20);
	buf_put_text(&b, empty_policy);
	buf_put_text(&b, "[resource many]\non = tag:db\nports = ");
	for (unsigned i = 0; i < MANY_PORTS; i++)
		buf_printf(&b, "%stcp/%u", i ? ",\n  " : "", 2 * i + 1);
	for (unsigned i = 0; i < 10; i++)
		buf_printf(&b,
			   "\n[rule r%u]\nwho = user:ada@x.org\nwhat = resource:many\nwhy = w\n",
			   i);
	assert_int_equal(b.err, 0);
	text = strdup(buf_text(&b));
	buf_free(&b);
	return text;
}

static void test_slow_reader_ends_alone(void **state)
{
	struct dev *other;
	char *many = many_grants();
	unsigned flips = 0;

	(void)state;
	two_online(empty_policy);
	other = online("\"user\":\"ada@x.org\"", "other");
	ada->deaf = true;
	while (status_number("streams") == 3 && flips++ < 100) {
		policy_ok(flips % 2 ? many : empty_policy);
		await((other->map.n_grants > 0) == flips % 2);
	}
	assert_int_equal(status_number("streams"), 2);
	policy_ok(db_policy);
	await(may_open(other, db, 5432) && sees(db, other) && !other->ended && !db->ended);
	ada->deaf = false;
	await(ada->ended);
	connect_stream(ada);
	await(may_open(ada, db, 5432));
	free(many);
	dev_free(other);
	two_gone();
}

/* A map that is too large for a netmap is none: nothing stays in force that was before. */
static void test_map_over_its_limits(void **state)
{
	struct dev *second;
	char *many = many_grants();

	(void)state;
	two_online(db_policy);
	second = online("\"user\":\"ada@x.org\"", "second");
	await(sees(db, ada) && sees(db, second));
	policy_ok(many); /* 50,000 grants from each of two: more than db may have */
	await(db->map.policy == 3);
	assert_int_equal(db->map.n_peers + db->map.n_grants, 0);
	await(ada->map.n_grants == 10 * MANY_PORTS);
	device_do(second, "revoke", "{\"why\":\"test\"}");
	await(sees(db, ada) && db->map.n_grants == 10 * MANY_PORTS);
	free(many);
	dev_free(second);
	two_gone();
}

/* --- what a device may ask --- */

static const char why_policy[] =
	"[network]\nlease = 1h\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[posture p]\nrequire = disk.encrypted == true\n"
	"[group crew]\nmembers = user:mia@x.org\n"
	"[resource vault]\non = tag:db\nports = tcp/9000-9100, tcp/22\n"
	"[place cellar]\nsource = 203.0.113.0/24\n"
	"[rule mine]\nwho = user:ada@x.org, group:crew\nwhat = resource:db\nhow = posture:p\n"
	"why = mine\n"
	"[rule secret-of-eve]\nwho = user:eve@x.org\nwhat = resource:db\nwhy = hidden\n"
	"[rule secret-deny]\naction = deny\nwho = user:eve@x.org, group:crew\n"
	"what = resource:vault, resource:db\nwhy = hidden\n"
	"[rule secret-vault]\nwho = group:crew\nwhat = resource:vault\nwhere = place:cellar\n"
	"why = hidden\n";

/* Rules, members and resources of others; and people in a rule of one's own. */
static void expect_discreet(const struct reply *r)
{
	static const char *const words[] = {"eve",  "secret", "hidden", "vault",
					    "crew", "mia",    "cellar", "9000"};

	for (size_t i = 0; i < N_OF(words); i++)
		if (strstr(r->text, words[i]))
			fail_msg("%s: %s", words[i], r->text);
}

static void test_why_names_own_rules_only(void **state)
{
	static const char *const services[] = {"tcp/9050", "tcp/22", "any", "icmp", "udp/5432"};
	struct reply r, unknown;
	struct dev *sam;
	char *nothing;

	(void)state;
	two_online(why_policy);
	sam = enrolled("\"user\":\"sam@x.org\"", "sam");
	login(sam);
	r = ask_why(sam, "db", "tcp/5432");
	unknown = ask_why(sam, "no-such-device", "tcp/5432");
	nothing = strdup(unknown.text);
	assert_int_equal(r.status, 200);
	assert_false(json_is_true(at(r.json, "allowed")));
	assert_true(json_is_null(at(r.json, "nearest")));
	assert_string_equal(r.text, unknown.text); /* nor what there is */
	drop(&r);
	drop(&unknown);
	r = ask_why(ada, "db", "tcp/5432");
	assert_string_equal(text_at(r.json, "nearest.rule"), "mine");
	assert_null(at(r.json, "nearest.failed.0.since")); /* it never complied */
	expect_discreet(&r);
	drop(&r);
	for (size_t i = 0; i < N_OF(services); i++) {
		r = ask_why(ada, "db", services[i]);
		assert_string_equal(text_at(r.json, "nearest.rule"), "mine");
		expect_discreet(&r);
		drop(&r);
		r = ask_why(sam, "db", services[i]);
		assert_string_equal(r.text, nothing);
		drop(&r);
		r = ask_why(ada, "vault", services[i]); /* it shares its host with db */
		expect_discreet(&r);
		drop(&r);
	}
	r = ask_why(ada, "%1b%5b2J%3Cb%3E'", "tcp/5432");
	assert_int_equal(r.status, 200);
	assert_null(memchr(r.text, 0x1b, r.n));
	drop(&r);
	r = ask_why(ada, "db", "tcp/0-70000");
	assert_int_equal(r.status, 400);
	drop(&r);
	report_ok(ada, "disk.encrypted", "true");
	r = ask_why(ada, "resource:db", "tcp/5432");
	assert_true(json_is_true(at(r.json, "allowed")));
	drop(&r);
	report_ok(ada, "disk.encrypted", "false");
	r = ask_why(ada, "db", "tcp/5432");
	assert_string_equal(text_at(r.json, "nearest.failed.0.is"), "false");
	assert_int_equal(strlen(text_at(r.json, "nearest.failed.0.since")),
			 strlen("2026-11-23T12:00:00Z"));
	drop(&r);
	free(nothing);
	dev_free(sam);
	two_gone();
}

/* --- reports --- */

static void report_endpoints(struct dev *d, const char *const *texts, size_t n)
{
	struct report report = {.full = true, .n_endpoints = n};
	struct reply r;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(endpoint_parse(texts[i], &report.endpoints[i]), 0);
	r = send_report(d, &report);
	assert_int_equal(r.status, 200);
	drop(&r);
}

static bool has_endpoint(const struct dev *d, const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, &e), 0);
	for (size_t i = 0; i < d->map.n_endpoints; i++)
		if (endpoint_equal(&d->map.endpoints[i].ep, &e))
			return true;
	return false;
}

/* The encoder refuses to say them, so the bytes are made by hand from a good report. */
static void expect_refused_endpoint(struct dev *d, const uint8_t addr[4])
{
	const char *const headers[] = {d->session, NULL};
	struct report report = {.full = true, .n_endpoints = 1};
	struct reply r;
	struct buf b;

	assert_int_equal(endpoint_parse("198.51.100.9:51820", &report.endpoints[0]), 0);
	buf_init_grow(&b, ZT_REPORT_MAX);
	assert_int_equal(report_encode(&report, &b), 0);
	memcpy(b.data + b.len - 16, addr, 4);
	r = call_with(d->curl, "POST", "/v1/report", headers, b.data, b.len);
	assert_true(r.status == 400 && code_is(&r, "form"));
	drop(&r);
	buf_free(&b);
}

static void test_endpoints(void **state)
{
	static const char *const some[] = {"198.51.100.7:51820", "100.64.0.9:51820"};
	static const uint8_t never[][4] = {{127, 0, 0, 1},
					   {224, 0, 0, 1},
					   {255, 255, 255, 255},
					   {0, 0, 0, 0},
					   {169, 254, 169, 254}};

	(void)state;
	two_online(db_policy);
	await(sees(ada, db));
	for (size_t i = 0; i < N_OF(never); i++)
		expect_refused_endpoint(db, never[i]);
	report_endpoints(db, some, 2);
	await(has_endpoint(ada, some[0]));
	assert_false(has_endpoint(ada, some[1])); /* inside the overlay */
	assert_int_equal(ada->map.n_endpoints, 1);
	report_endpoints(db, some, 0);
	await(ada->map.n_endpoints == 0);
	two_gone();
}

/* A node of the next version says more than this controller knows: members of its JSON, facts. */
static void test_a_newer_node_is_understood(void **state)
{
	static const char *const names[] = {"disk.encrypted", "node.version", "zz.newer"};
	static const char *const values[] = {"true", "99.1", "x"};
	struct fact facts[N_OF(names)];
	struct report report = {.full = true, .facts = facts, .n_facts = N_OF(names)};
	struct reply r;
	json_t *j;

	(void)state;
	two_online(POSTURE_POLICY(""));
	for (size_t i = 0; i < N_OF(names); i++) {
		facts[i] = (struct fact){.state = FACT_KNOWN};
		snprintf(facts[i].name, sizeof(facts[i].name), "%s", names[i]);
		snprintf(facts[i].value, sizeof(facts[i].value), "%s", values[i]);
	}
	r = send_report(ada, &report);
	assert_int_equal(r.status, 200);
	drop(&r);
	await(may_open(ada, db, 5432) && sees(db, ada));
	j = admin_ok("GET", "/v1/admin/devices/ada", NULL);
	assert_string_equal(text_at(j, "version"), "99.1");
	json_decref(j);
	r = call(ada->curl, "POST", "/v1/leave", ada->session, "{\"newer\":{\"a\":[1]}}");
	assert_int_equal(r.status, 200);
	drop(&r);
	await(ada->ended);
	two_gone();
}

static void test_bad_reports(void **state)
{
	static const char *const bad[] = {"", "{}", "ztR1", "ztR1\x02\x00\x00\x00"};
	uint8_t *large = calloc(1, ZT_REPORT_MAX + 1);
	struct reply r;

	(void)state;
	two_online(empty_policy);
	for (size_t i = 0; i < N_OF(bad); i++) {
		r = call(ada->curl, "POST", "/v1/report", ada->session, bad[i]);
		row_check(bad[i], r.status == 400);
		drop(&r);
	}
	r = call_with(ada->curl, "POST", "/v1/report", (const char *const[]){ada->session, NULL},
		      large, ZT_REPORT_MAX + 1);
	assert_int_equal(r.status, 413);
	drop(&r);
	free(large);
	two_gone();
}

/* --- nothing waits for a big policy --- */

static char *big_policy(size_t *ret_n)
{
	struct buf b;
	char *text;

	buf_init_grow(&b, 48 << 20);
	buf_put_text(&b, "[resource db]\non = tag:db\nports = tcp/5432\n");
	for (unsigned i = 0; b.len < 13 << 20; i++)
		buf_printf(&b,
			   "[group g%u]\nmembers = user:u%u@example.com, user:v%u@example.com, "
			   "user:w%u@example.com, user:x%u@example.com, user:y%u@example.com\n",
			   i, i, i, i, i, i);
	for (unsigned i = 0; i < 5000; i++)
		buf_printf(&b, "[rule r%u]\nwho = group:g%u\nwhat = resource:db\nwhy = x\n", i, i);
	assert_int_equal(b.err, 0);
	*ret_n = b.len;
	text = strdup(buf_text(&b));
	buf_free(&b);
	return text;
}

/* A check of it that goes on beside the test. */
static struct {
	CURLM *multi;
	CURL *curl;
	struct curl_slist *headers;
	struct reply reply;
	char *text;
	size_t n;
	int running;
} check;

static void check_begin(void)
{
	check.text = big_policy(&check.n);
	check.multi = curl_multi_init();
	check.curl = client_new();
	prepare(check.curl, "/v1/admin/policy/check");
	check.headers = curl_slist_append(NULL, ctl.authorization);
	check.headers = curl_slist_append(check.headers, "Expect:");
	curl_easy_setopt(check.curl, CURLOPT_HTTPHEADER, check.headers);
	curl_easy_setopt(check.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)check.n);
	curl_easy_setopt(check.curl, CURLOPT_POSTFIELDS, check.text);
	curl_easy_setopt(check.curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(check.curl, CURLOPT_WRITEDATA, &check.reply);
	curl_multi_add_handle(check.multi, check.curl);
	check.running = 1;
}

/* Is it all sent and not yet answered? */
static bool is_checking(void)
{
	curl_off_t sent = 0;

	curl_multi_perform(check.multi, &check.running);
	curl_easy_getinfo(check.curl, CURLINFO_SIZE_UPLOAD_T, &sent);
	if (check.running)
		curl_multi_poll(check.multi, NULL, 0, 10, NULL);
	return check.running && sent == (curl_off_t)check.n;
}

static void check_end(void)
{
	curl_easy_getinfo(check.curl, CURLINFO_RESPONSE_CODE, &check.reply.status);
	if (check.reply.status != 200)
		fail_msg("check: %ld %s", check.reply.status, check.reply.text);
	curl_multi_remove_handle(check.multi, check.curl);
	curl_easy_cleanup(check.curl);
	curl_multi_cleanup(check.multi);
	curl_slist_free_all(check.headers);
	drop(&check.reply);
	free(check.text);
}

static void test_big_policy_does_not_block(void **state)
{
	int64_t began_ms = clock_now().boot_ms, sent_ms = 0, slowest_ms = 0;
	unsigned asked = 0;

	(void)state;
	check_begin();
	while (check.running) {
		int64_t asked_ms;

		assert_true(clock_now().boot_ms - began_ms < 60000);
		if (!is_checking())
			continue;
		asked_ms = clock_now().boot_ms;
		sent_ms = sent_ms ? sent_ms : asked_ms;
		status_number("uptime_s"); /* while it is checked */
		asked++;
		asked_ms = clock_now().boot_ms - asked_ms;
		slowest_ms = asked_ms > slowest_ms ? asked_ms : slowest_ms;
	}
	assert_true(asked >= 2);				 /* answered before the check was */
	assert_true(slowest_ms < clock_now().boot_ms - sent_ms); /* not as long as all of it */
	print_message("%u requests, the slowest %lld ms, while %zu bytes were checked in %lld ms\n",
		      asked, (long long)slowest_ms, check.n,
		      (long long)(clock_now().boot_ms - began_ms));
	check_end();
}

/* SIGTERM: who waits is answered first. */
static void test_end_answers_who_waits(void **state)
{
	(void)state;
	check_begin();
	await(is_checking());
	kill(ctl.pid, SIGTERM);
	while (check.running)
		is_checking();
	check_end();
	end_controller(SIGTERM);
}

/* --- questions about all cases, and invariants: also what the file cannot know --- */

static const char can_policy[] =
	"[group auditors]\n"
	"[resource db]\non = tag:db\nports = tcp/5432\ndata = confidential\n"
	"[posture p]\nrequire = disk.encrypted == true\n"
	"[place office]\nsource = 192.0.2.0/24\n"
	"[rule audit]\nwho = group:auditors\nwhat = resource:db\n"
	"how = posture:p\nwhere = place:office\nwhy = they look\n"
	"[rule maker]\nwho = tag:maker\nwhat = resource:db\nwhy = it makes\n";

static json_t *can(const char *question)
{
	char path[256];

	snprintf(path, sizeof(path), "/v1/admin/policy/can?%s", question);
	return admin_ok("GET", path, NULL);
}

static void expect_verdict(const char *question, const char *verdict)
{
	json_t *j = can(question);

	if (strcmp(text_at(j, "verdict"), verdict) != 0)
		fail_msg("%s: %s, not %s", question, text_at(j, "verdict"), verdict);
	json_decref(j);
}

static void expect_error(const char *question, long status, const char *code)
{
	char path[256];
	struct reply r;

	snprintf(path, sizeof(path), "/v1/admin/policy/can?%s", question);
	r = admin("GET", path, NULL);
	if (r.status != status || !code_is(&r, code))
		fail_msg("%s: %ld %s", question, r.status, r.text);
	drop(&r);
}

static void test_can(void **state)
{
	json_t *j;

	(void)state;
	policy_ok(can_policy);
	expect_verdict("from=group:auditors&to=db&service=udp/53", "never");
	dev_free(enrolled("\"user\":\"ada@x.org\"", "lap"));
	dev_free(enrolled("\"tags\":[\"db\"]", "server"));
	expect_verdict("from=ada@x.org&to=db", "never");
	expect_verdict("from=lap&to=server", "never");
	expect_verdict("from=server&to=server", "never");
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"groups\":[\"auditors\"]}");
	expect_verdict("from=ada@x.org&to=db", "only if");
	j = can("from=lap&to=device:server&service=tcp/5432");
	assert_string_equal(text_at(j, "verdict"), "only if");
	assert_int_equal(json_array_size(at(j, "ways")), 1);
	assert_string_equal(text_at(j, "ways.0.rule"), "audit");
	assert_string_equal(text_at(j, "ways.0.postures.0"), "p");
	assert_string_equal(text_at(j, "ways.0.where"), "place:office");
	assert_true(json_is_null(at(j, "ways.0.when")));
	assert_string_equal(text_at(j, "from.0.name"), "device:lap");
	json_decref(j);
	expect_verdict("from=tag:maker&to=resource:db&service=tcp/5432", "always");
	expect_error("from=nobody&to=db", 404, "absent");
	expect_error("from=lap&to=nothing", 404, "absent");
	expect_error("from=lap", 400, "form");
	expect_error("from=lap&to=db&service=tcp", 400, "form");
}

/* Which of FROM and TO it is, and what was probably meant. */
static void test_explain_names_what_is_not_there(void **state)
{
	static const struct {
		const char *question;
		long status;
		const char *message, *hint; /* hint: its beginning */
	} rows[] = {
		{"explain?from=device:lap&to=device:server&service=tcp/5432", 200, NULL, NULL},
		{"explain?from=lap&to=resource:db&service=tcp/5432", 200, NULL, NULL},
		{"explain?from=lep&to=nowhere&service=icmp", 404,
		 "FROM: there is no device or user \"lep\"", "did you mean lap?"},
		{"explain?from=ada@x.or&to=db&service=icmp", 404,
		 "FROM: there is no device or user \"ada@x.or\"", "did you mean ada@x.org?"},
		{"explain?from=user:eve@x.org&to=db&service=icmp", 404,
		 "FROM: user eve@x.org has no device", "ztctl token create --user"},
		{"explain?from=lap&to=resource:spaer&service=icmp", 404,
		 "TO: there is no device, resource or address \"spaer\"", "did you mean spare?"},
		{"explain?from=lap&to=device:db&service=icmp", 404,
		 "TO: there is no device, resource or address \"db\"", "ztctl device list"},
		{"explain?from=lap&to=spare&service=icmp", 404,
		 "TO: no device offers resource \"spare\" now", "its on has no active"},
		{"explain?from=group:auditors&to=db&service=icmp", 400,
		 "explain is about one device or user now, and group:auditors is many",
		 "ztctl policy can"},
		{"explain?from=lap&to=tag:db&service=icmp", 400,
		 "explain is about one device or user now, and tag:db is many", "ztctl policy can"},
		{"access?from=lep", 404, "FROM: there is no device or user \"lep\"",
		 "did you mean lap?"},
		{"access?to=sever", 404, "TO: there is no device, resource or address \"sever\"",
		 "did you mean server?"},
		{"access?from=tag:db", 400,
		 "explain is about one device or user now, and tag:db is many", "ztctl policy can"},
	};
	char text[2048], path[256];

	(void)state;
	snprintf(text, sizeof(text), "%s[resource spare]\non = tag:spare\nports = icmp\n",
		 can_policy);
	policy_ok(text);
	dev_free(enrolled("\"user\":\"ada@x.org\"", "lap"));
	dev_free(enrolled("\"tags\":[\"db\"]", "server"));
	admin_do("PUT", "/v1/admin/users/eve@x.org", "{\"groups\":[]}");
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct reply r;

		snprintf(path, sizeof(path), "/v1/admin/%s", rows[i].question);
		r = admin("GET", path, NULL);
		if (r.status != rows[i].status ||
		    (rows[i].message &&
		     strcmp(text_at(r.json, "error.message"), rows[i].message)) ||
		    (rows[i].hint && !txt_starts(text_at(r.json, "error.hint"), rows[i].hint)))
			fail_msg("%s: %ld %s", path, r.status, r.text);
		drop(&r);
	}
}

/* The same file, put while nobody breaks it and while somebody does. */
static void test_invariants_know_the_devices(void **state)
{
	char text[2048];
	struct reply r;

	(void)state;
	snprintf(text, sizeof(text),
		 "%s[invariant i]\nfrom = user:ada@x.org, tag:plain\n"
		 "to = data:confidential\nexpect = never\nwhy = not them\n",
		 can_policy);
	policy_ok(text);
	dev_free(enrolled("\"user\":\"ada@x.org\"", "lap"));
	policy_ok(text);
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"groups\":[\"auditors\"]}");
	r = policy_put(text);
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(r.text, "lets device:lap reach db"));
	drop(&r);
	assert_int_equal(status_number("policy.version"), 3);
	r = admin("POST", "/v1/admin/policy/check", text);
	assert_int_equal(r.status, 422);
	drop(&r);
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"groups\":[]}");
	policy_ok(text);
	dev_free(enrolled("\"tags\":[\"plain\",\"maker\"]", "both"));
	r = policy_put(text);
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(r.text, "lets device:both reach db"));
	drop(&r);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_end_of_a_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy_on_open_streams, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conditions_that_nothing_enforces, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_posture_flips_both_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_facts_fail_by_themselves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grace_is_for_who_complied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_older_database_is_restored, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_killed_while_it_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resume_by_serial, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_old_stream_never_overwrites_a_newer, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_stale_report_never_overwrites_a_newer, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader_ends_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map_over_its_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_why_names_own_rules_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endpoints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_newer_node_is_understood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_reports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_big_policy_does_not_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_answers_who_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_can, setup, teardown),
		cmocka_unit_test_setup_teardown(test_explain_names_what_is_not_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_invariants_know_the_devices, setup, teardown),
	};

	(void)argc;
	find_program(argv[0]);
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return cmocka_run_group_tests_name("api_flow", tests, NULL, NULL);
}
