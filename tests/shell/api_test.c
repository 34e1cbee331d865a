/* Who gets in: tokens, keys, sessions, and the right to every route; denial first. */
#include "tests/shell/api_device.h"

#include <pthread.h>

#include "controller/api/api.h"

/* --- tokens --- */

enum { RACERS = 64 };

struct racer {
	pthread_t thread;
	pthread_barrier_t *start;
	struct dev *dev;
	const struct token *token;
	struct reply reply;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	struct challenge ch = get_challenge(r->dev->curl);
	struct form f = form_of(r->dev, r->token, "racer", &ch);

	pthread_barrier_wait(r->start);
	r->reply = form_send(r->dev->curl, &f);
	return NULL;
}

static void test_token_once_of_64(void **state)
{
	static struct racer racers[RACERS];
	unsigned admitted_n = 0, refused = 0;
	pthread_barrier_t start;
	struct token t;

	(void)state;
	token_create("{\"tags\":[\"db\"]}", &t);
	pthread_barrier_init(&start, NULL, RACERS);
	for (size_t i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){.start = &start, .dev = dev_new(), .token = &t};
		pthread_create(&racers[i].thread, NULL, race, &racers[i]);
	}
	for (size_t i = 0; i < RACERS; i++) {
		pthread_join(racers[i].thread, NULL);
		admitted_n += racers[i].reply.status == 201;
		refused += racers[i].reply.status == 403 && code_is(&racers[i].reply, "token");
		drop(&racers[i].reply);
		dev_free(racers[i].dev);
	}
	assert_int_equal(admitted_n, 1);
	assert_int_equal(refused, RACERS - 1);
	assert_int_equal(status_number("devices.total"), 1);
	assert_int_equal(audit_count("device.enroll", ""), 1);
	assert_int_equal(audit_count("refused", "used up"), RACERS - 1);
	pthread_barrier_destroy(&start);
}

static bool token_is(uint64_t id, const char *wanted)
{
	json_t *list = admin_ok("GET", "/v1/admin/tokens", NULL), *t;
	bool is = false;
	size_t i;

	json_array_foreach(list, i, t) is |=
		number_at(t, "id") == (json_int_t)id && strcmp(text_at(t, "state"), wanted) == 0;
	json_decref(list);
	return is;
}

static char dead_answer[1024];

/* Every dead token is answered in the same bytes. */
static void expect_dead(const struct token *t, const char *says)
{
	struct dev *d = dev_new();
	struct reply r = try_enroll(d, t, "laptop");

	row_check(says, r.status == 403 && code_is(&r, "token"));
	if (!dead_answer[0])
		snprintf(dead_answer, sizeof(dead_answer), "%s", r.text);
	row_check(says, strcmp(dead_answer, r.text) == 0);
	drop(&r);
	dev_free(d);
}

static void test_dead_tokens_answer_alike(void **state)
{
	struct token t, other;
	char path[64];

	(void)state;
	dead_answer[0] = '\0';
	token_create("{\"user\":\"ada@x.org\",\"uses\":2}", &t);
	other = t;
	other.secret.b[5] ^= 1;
	expect_dead(&other, "wrong secret");
	other = t;
	other.id = 999;
	expect_dead(&other, "unknown");
	randombytes_buf(other.secret.b, ZT_KEY_LEN);
	expect_dead(&other, "another controller's");
	token_create("{\"tags\":[\"a\"],\"expires_s\":1}", &other);
	await(token_is(other.id, "expired"));
	expect_dead(&other, "expired");
	token_create("{\"tags\":[\"a\"]}", &other);
	snprintf(path, sizeof(path), "/v1/admin/tokens/%llu/revoke", (unsigned long long)other.id);
	admin_do("POST", path, "{\"why\":\"lost\"}");
	expect_dead(&other, "revoked");
	token_create("{\"tags\":[\"a\"]}", &other);
	dev_free(enrolled("\"tags\":[\"b\"]", "x"));
	{
		struct dev *d = dev_new();
		struct reply r = try_enroll(d, &other, "one");

		admitted(d, &r);
		dev_free(d);
	}
	expect_dead(&other, "used");
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"disabled\":true}");
	expect_dead(&t, "its user is disabled");
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"disabled\":false}");
	{
		struct dev *d = dev_new();
		struct reply r = try_enroll(d, &t, "two");

		admitted(d, &r); /* none of all that had spent it */
		dev_free(d);
	}
}

/* A server with another key never sees what the token says. */
static void test_pinned_key(void **state)
{
	char pin[sizeof(ctl.pin)];
	CURL *c = client_new();
	struct reply r;

	(void)state;
	memcpy(pin, ctl.pin, sizeof(pin));
	snprintf(ctl.pin, sizeof(ctl.pin), "sha256//%s",
		 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	r = call(c, "GET", "/v1/challenge", NULL, NULL);
	assert_int_equal(r.curl, CURLE_SSL_PINNEDPUBKEYNOTMATCH);
	assert_int_equal(r.status, 0);
	drop(&r);
	memcpy(ctl.pin, pin, sizeof(pin));
	curl_easy_cleanup(c);
}

/* --- possession of keys --- */

enum spoil {
	SPOIL_SIG,
	SPOIL_SIGNER,
	SPOIL_PROOF,
	SPOIL_WG_KEY,
	SPOIL_NAME,
	SPOIL_TOKEN_ID,
	SPOIL_ALL_ZERO_WG,
	SPOIL_CHALLENGE,
};

static void spoil(struct form *f, enum spoil how, const struct dev *d, const struct dev *other,
		  struct challenge *ch)
{
	switch (how) {
	case SPOIL_SIG:
		f->sig.b[10] ^= 1;
		break;
	case SPOIL_SIGNER: /* signed by a key that is not the one shown */
		f->identity = other->identity_pub;
		form_sign(f, d, ch);
		break;
	case SPOIL_PROOF:
		f->proof.b[0] ^= 1;
		break;
	case SPOIL_WG_KEY: /* signed all right, but the WireGuard key is another's */
		f->wg = other->wg_pub;
		form_sign(f, d, ch);
		break;
	case SPOIL_NAME:
		f->name = "not-as-signed";
		break;
	case SPOIL_TOKEN_ID:
		f->token_id++;
		break;
	case SPOIL_ALL_ZERO_WG:
		f->wg = (struct key){0};
		form_sign(f, d, ch);
		break;
	case SPOIL_CHALLENGE:
		ch->value.b[0] ^= 1;
		form_sign(f, d, ch);
		break;
	}
}

static void test_both_keys_are_proved(void **state)
{
	static const char *const says[] = {
		[SPOIL_SIG] = "a wrong signature",
		[SPOIL_SIGNER] = "an identity key that the device does not have",
		[SPOIL_PROOF] = "a wrong WireGuard proof",
		[SPOIL_WG_KEY] = "a WireGuard key that the device does not have",
		[SPOIL_NAME] = "another name than signed",
		[SPOIL_TOKEN_ID] = "another token than signed",
		[SPOIL_ALL_ZERO_WG] = "a WireGuard key of low order",
		[SPOIL_CHALLENGE] = "another challenge than given",
	};
	struct dev *d = dev_new(), *other = dev_new();
	struct token t;
	struct reply r;

	(void)state;
	token_create("{\"tags\":[\"db\"]}", &t);
	for (size_t i = 0; i < N_OF(says); i++) {
		struct challenge ch = get_challenge(d->curl);
		struct form f = form_of(d, &t, "laptop", &ch);

		spoil(&f, (enum spoil)i, d, other, &ch);
		r = form_send(d->curl, &f);
		row_check(says[i], r.status == 403 && code_is(&r, "refused"));
		drop(&r);
	}
	assert_int_equal(status_number("devices.total"), 0);
	r = try_enroll(d, &t, "laptop"); /* the token was not spent by any of that */
	admitted(d, &r);
	dev_free(d);
	dev_free(other);
}

static void test_challenge_once_and_here(void **state)
{
	struct dev *d = dev_new(), *other = dev_new();
	struct challenge ch = get_challenge(d->curl);
	struct token t;
	struct form f;
	struct reply r;

	(void)state;
	token_create("{\"tags\":[\"db\"],\"uses\":9}", &t);
	f = form_of(d, &t, "laptop", &ch);
	r = form_send(other->curl, &f);
	assert_int_equal(r.status, 409); /* that connection has none */
	drop(&r);
	get_challenge(other->curl);
	r = form_send(other->curl, &f);
	assert_int_equal(r.status, 403); /* that connection has another */
	drop(&r);
	r = form_send(d->curl, &f);
	admitted(d, &r);
	r = form_send(d->curl, &f);
	assert_int_equal(r.status, 409); /* a second time */
	drop(&r);
	get_challenge(d->curl);
	r = form_send(d->curl, &f);
	assert_int_equal(r.status, 403); /* replayed on a fresh one */
	drop(&r);
	ch = get_challenge(d->curl);
	r = try_session_as(d, d->id, &ch);
	assert_int_equal(r.status, 200);
	drop(&r);
	r = try_session_as(d, d->id, &ch);
	assert_int_equal(r.status, 409);
	drop(&r);
	dev_free(d);
	dev_free(other);
}

static struct dev *with_keys_of(const struct dev *d)
{
	struct dev *same = dev_new();

	same->identity = d->identity;
	same->identity_pub = d->identity_pub;
	same->wg = d->wg;
	same->wg_pub = d->wg_pub;
	return same;
}

/* One device with the same keys on two controllers. The second is hostile: it hands the device a
 * challenge of the first, and the answer to the first. But the device signs whom it talks to. */
static void test_challenge_of_another_controller(void **state)
{
	struct dev *d = enrolled("\"tags\":[\"a\"]", "a"), *same = with_keys_of(d);
	__typeof__(ctl) first = ctl, second;
	struct challenge ch;
	struct token t, spare;
	struct reply r;
	struct form f;

	(void)state;
	token_create("{\"tags\":[\"a\"]}", &spare);
	snprintf(ctl.dir, sizeof(ctl.dir), "%.40s/b", first.dir);
	snprintf(ctl.url, sizeof(ctl.url), "https://127.0.0.1:%d", free_port());
	init_controller_dir();
	serve();
	ctl.curl = client_new();
	token_create("{\"tags\":[\"a\"]}", &t);
	r = try_enroll(same, &t, "a");
	admitted(same, &r);
	assert_int_equal(same->id, d->id);
	second = ctl;
	ctl = first;
	ctl.admin.pin = second.admin.pin; /* whom the device believes to talk to */
	ch = get_challenge(d->curl);
	r = try_session_as(d, d->id, &ch);
	assert_true(r.status == 403 && code_is(&r, "refused"));
	drop(&r);
	dev_free(same);
	same = dev_new();
	ch = get_challenge(same->curl);
	f = form_of(same, &spare, "other", &ch);
	r = form_send(same->curl, &f);
	assert_true(r.status == 403 && code_is(&r, "refused"));
	drop(&r);
	ctl = first;
	r = try_enroll(same, &spare, "other"); /* that spent nothing */
	admitted(same, &r);
	login(d);
	ctl = second;
	curl_easy_cleanup(ctl.curl);
	end_controller(SIGTERM);
	ctl = first;
	dev_free(same);
	dev_free(d);
}

static void expect_key_taken(struct dev *d, const struct token *t, const char *says)
{
	struct reply r = try_enroll(d, t, "again");

	row_check(says, r.status == 409 && code_is(&r, "exists"));
	drop(&r);
}

static void test_keys_of_another_device(void **state)
{
	struct dev *first = enrolled("\"tags\":[\"db\"]", "first"), *d = dev_new();
	struct secret identity = d->identity, wg = d->wg;
	struct key identity_pub = d->identity_pub, wg_pub = d->wg_pub;
	struct token t;
	struct reply r;

	(void)state;
	token_create("{\"tags\":[\"db\"]}", &t);
	d->identity = first->identity;
	d->identity_pub = first->identity_pub;
	expect_key_taken(d, &t, "the identity key of another device");
	d->identity = identity;
	d->identity_pub = identity_pub;
	d->wg = first->wg;
	d->wg_pub = first->wg_pub;
	expect_key_taken(d, &t, "the WireGuard key of another device");
	device_do(first, "revoke", "{\"why\":\"gone\"}");
	expect_key_taken(d, &t, "the WireGuard key of a revoked device");
	d->wg = wg;
	d->wg_pub = wg_pub;
	r = try_enroll(d, &t, "again");
	admitted(d, &r);
	dev_free(first);
	dev_free(d);
}

static void test_session_of_another_device(void **state)
{
	struct dev *a = enrolled("\"tags\":[\"a\"]", "a"), *b = enrolled("\"tags\":[\"b\"]", "b");
	struct challenge ch = get_challenge(b->curl);
	struct reply wrong = try_session_as(b, a->id, &ch), unknown;

	(void)state;
	assert_int_equal(wrong.status, 403);
	ch = get_challenge(b->curl);
	unknown = try_session_as(b, 4711, &ch);
	assert_int_equal(unknown.status, 403);
	assert_string_equal(wrong.text, unknown.text); /* which devices there are is not told */
	drop(&wrong);
	drop(&unknown);
	login(a);
	login(b);
	dev_free(a);
	dev_free(b);
}

/* --- pending --- */

static const char db_policy[] = "[network]\nlease = 1h\n"
				"[resource db]\non = tag:db\nports = tcp/5432\n"
				"[rule ada-db]\nwho = user:ada@x.org\nwhat = resource:db\n"
				"why = she runs it\n";

static void test_pending_gets_nothing_until_approved(void **state)
{
	struct dev *db = online("\"tags\":[\"db\"]", "db"),
		   *d = enrolled("\"user\":\"ada@x.org\",\"approve\":true", "laptop");
	struct reply r;

	(void)state;
	policy_ok(db_policy);
	assert_string_equal(d->state, "pending");
	login(d);
	assert_string_equal(d->state, "pending");
	connect_stream(d);
	assert_int_equal(d->map.n_peers + d->map.n_grants + d->map.n_rules, 0);
	await(strcmp(text_at(d->advice, "device.state"), "pending") == 0);
	r = ask_why(d, "db", "tcp/5432");
	assert_int_equal(r.status, 403);
	drop(&r);
	await(db->map.policy == 2);
	assert_false(sees(db, d));
	device_do(d, "approve", "{}");
	await(may_open(d, db, 5432) && sees(db, d));
	await(secret_equal(&d->psk.psk, &db->psk.psk)); /* once both have said hello */
	r = ask_why(d, "db", "tcp/5432");
	assert_true(r.status == 200 && json_is_true(at(r.json, "allowed")));
	drop(&r);
	dev_free(d);
	dev_free(db);
}

/* A device chooses its name itself: one that the policy knows by name is let in by a person. */
static void test_a_name_of_the_policy_waits_for_an_admin(void **state)
{
	struct dev *other, *claimed, *suffixed;

	(void)state;
	policy_ok("[network]\nlease = 1h\n"
		  "[resource vault]\non = device:vault-1\nports = tcp/443\n"
		  "[rule ada-vault]\nwho = user:ada@x.org\nwhat = resource:vault\nwhy = she runs "
		  "it\n");
	claimed = enrolled("\"user\":\"eve@x.org\"", "vault-1");
	suffixed =
		enrolled("\"user\":\"eve@x.org\"", "vault"); /* a second one would become vault-1 */
	other = enrolled("\"user\":\"eve@x.org\"", "laptop");
	assert_string_equal(claimed->state, "pending");
	assert_string_equal(suffixed->state, "pending");
	assert_string_equal(other->state, "active");
	dev_free(claimed);
	dev_free(suffixed);
	dev_free(other);
}

/* --- routes --- */

enum kind { NONE, GARBAGE, GARBAGE_DEVICE, OTHERS_SESSION, DEVICE, PENDING, ADMIN, KINDS };

static const char *const kind_names[] = {
	[NONE] = "nobody",
	[GARBAGE] = "a made-up admin",
	[GARBAGE_DEVICE] = "a made-up device",
	[OTHERS_SESSION] = "a device with another's secret",
	[DEVICE] = "device",
	[PENDING] = "pending",
	[ADMIN] = "admin",
};

static bool is_listed(json_t *who, const char *kind)
{
	size_t i;
	json_t *j;

	json_array_foreach(who, i, j) if (strcmp(json_string_value(j), kind) == 0) return true;
	return false;
}

/* Denied is 401 or 403 "refused" before the handler; anything else came from the handler. */
static bool is_denied(const struct reply *r)
{
	return r->status == 401 || (r->status == 403 && strstr(r->text, "this caller may not"));
}

/* A stream's one answer does not end, so it is asked for in a wrong form: the handler refuses that.
 */
static void fill_path(const char *pattern, char *out, size_t size)
{
	const char *brace = strchr(pattern, '{');
	int head = (int)(brace ? brace - pattern : (ptrdiff_t)strlen(pattern));

	snprintf(out, size, "%.*s%s%s%s", head, pattern, brace ? "99999" : "",
		 brace ? strchr(brace, '}') + 1 : "",
		 strcmp(pattern, "/v1/stream") == 0 ? "?serial=x" : "");
}

static void check_route(json_t *route, const char *const *credentials)
{
	char path[128], says[256];

	fill_path(text_at(route, "path"), path, sizeof(path));
	for (size_t k = 0; k < KINDS; k++) {
		bool may = is_listed(at(route, "who"), kind_names[k]);
		CURL *c = client_new();
		struct reply r = call(c, text_at(route, "method"), path, credentials[k], "?");

		snprintf(says, sizeof(says), "%s %s by %s", text_at(route, "method"), path,
			 kind_names[k]);
		row_check(says, is_denied(&r) == !may);
		if (k == GARBAGE || k == GARBAGE_DEVICE || k == OTHERS_SESSION)
			row_check(says, r.status == 401);
		drop(&r);
		curl_easy_cleanup(c);
	}
}

/* Said a second time, so that one slip of the pen in the table is seen. */
static unsigned expected_who(const char *path)
{
	static const struct {
		const char *path;
		unsigned who;
	} others[] = {
		{"/v1/challenge", HTTP_NOBODY},
		{"/v1/enroll", HTTP_NOBODY},
		{"/v1/session", HTTP_NOBODY},
		{"/v1/report", HTTP_DEVICE | HTTP_DEVICE_PENDING},
		{"/v1/stream", HTTP_DEVICE | HTTP_DEVICE_PENDING},
		{"/v1/why", HTTP_DEVICE},
		{"/v1/leave", HTTP_DEVICE | HTTP_DEVICE_PENDING},
	};

	for (size_t i = 0; i < N_OF(others); i++)
		if (strcmp(others[i].path, path) == 0)
			return others[i].who;
	return txt_starts(path, "/v1/admin/") ? HTTP_ADMIN : 0;
}

static void test_routes(void **state)
{
	struct dev *d = enrolled("\"tags\":[\"a\"]", "a"),
		   *p = enrolled("\"tags\":[\"a\"],\"approve\":true", "p");
	char others[128];
	const char *credentials[KINDS] = {
		[GARBAGE] = "Authorization: Admin 1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		[GARBAGE_DEVICE] =
			"Authorization: Device 1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		[OTHERS_SESSION] = others,
		[DEVICE] = d->session,
		[PENDING] = p->session,
		[ADMIN] = ctl.authorization,
	};
	json_t *routes = admin_ok("GET", "/v1/admin/routes", NULL), *route;
	size_t i, n = 0;

	(void)state;
	for (; api_routes[n].method; n++)
		row_check(api_routes[n].path,
			  api_routes[n].who == expected_who(api_routes[n].path));
	assert_int_equal(json_array_size(routes), n);
	json_array_foreach(routes, i, route)
	{
		assert_string_equal(text_at(route, "path"), api_routes[i].path);
		assert_true(json_array_size(at(route, "who")) > 0);
		login(d); /* leaving ends sessions, so each route begins with fresh ones */
		login(p);
		snprintf(others, sizeof(others), "Authorization: Device %u%s", p->id,
			 strchr(d->session, '.'));
		if (strcmp(api_routes[i].path, "/v1/leave") == 0)
			continue; /* its own test: it works with any body */
		check_route(route, credentials);
	}
	json_decref(routes);
	dev_free(d);
	dev_free(p);
}

static void write_config(const char *text)
{
	FILE *f;

	snprintf(ctl.config, sizeof(ctl.config), "%s/controller.ini", ctl.dir);
	f = fopen(ctl.config, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static long status_as(const char *host)
{
	char header[128];
	struct reply r;
	CURL *c = client_new();
	long status;

	snprintf(header, sizeof(header), "Host: %s", host);
	r = call(c, "GET", "/v1/challenge", header, NULL);
	status = r.status;
	assert_true(status != 421 || code_is(&r, "refused"));
	drop(&r);
	curl_easy_cleanup(c);
	return status;
}

/* The url's host, the address itself, and what the operator adds. A name with a port, a path or
 * nothing is no name: it does not start. */
static void test_host_names(void **state)
{
	static const char *const wrong[] = {
		"host =\n",	    "host = a:8443\n", "host = https://a.test\n",
		"host = a.test/\n", "host = *\n",      "host = A.test\n"};
	char line[16];

	(void)state;
	assert_int_equal(status_as("evil.test"), 421);
	assert_int_equal(status_as("zt.internal"), 421);
	assert_int_equal(status_as("127.0.0.1"), 200);
	end_controller(SIGTERM);
	for (size_t i = 0; i < N_OF(wrong); i++) {
		const char *argv[] = {"ztcontroller", "serve",	  "--dir", ctl.dir,
				      "--config",     ctl.config, NULL};
		int out, status;
		pid_t pid;

		write_config(wrong[i]);
		pid = spawn(argv, &out);
		read_line(out, line, sizeof(line));
		close(out);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		row_check(wrong[i],
			  line[0] == '\0' && WIFEXITED(status) && WEXITSTATUS(status) == 1);
	}
	write_config("host = zt.internal\nhost = zt.example.com\n");
	serve();
	assert_int_equal(status_as("evil.test"), 421);
	assert_int_equal(status_as("zt.internal:8443"), 200);
	assert_int_equal(status_as("zt.example.com"), 200);
	assert_int_equal(status_as("127.0.0.1"), 200);
}

/* Ids from the request mean nothing: the session's device is the one. */
static void test_no_acting_on_another(void **state)
{
	struct dev *a = online("\"tags\":[\"a\"]", "a"), *b = enrolled("\"tags\":[\"b\"]", "b");
	const char *const headers[] = {b->session, "X-Device: 1", "X-Forwarded-User: 1", NULL};
	char body[64], path[64];
	struct reply r;

	(void)state;
	login(b);
	snprintf(path, sizeof(path), "/v1/admin/devices/%u/revoke", a->id);
	r = call(b->curl, "POST", path, b->session, "{\"why\":\"mine\"}");
	assert_int_equal(r.status, 403);
	drop(&r);
	snprintf(body, sizeof(body), "{\"device\":%u,\"id\":%u}", a->id, a->id);
	snprintf(path, sizeof(path), "/v1/leave?device=%u", a->id);
	r = call_with(b->curl, "POST", path, headers, body, strlen(body));
	assert_int_equal(r.status, 200);
	drop(&r);
	r = try_session(b); /* it was b who left */
	assert_true(r.status == 403 && code_is(&r, "revoked"));
	drop(&r);
	login(a);
	assert_false(a->ended);
	dev_free(a);
	dev_free(b);
}

enum { FLOOD_MAX = 20000 }; /* far fewer are enough where more than 20 a second are made */

/* By device, not by address: both are behind the same one. */
static void test_a_device_that_floods_hurts_itself(void **state)
{
	static const struct {
		const char *method, *path, *body;
	} asks[] = {{"POST", "/v1/report", "nonsense"},
		    {"GET", "/v1/why?to=b&service=tcp/1", NULL},
		    {"GET", "/v1/stream?serial=x", NULL}};
	struct dev *a = enrolled("\"tags\":[\"a\"]", "a"), *b = online("\"tags\":[\"b\"]", "b");
	unsigned refused[N_OF(asks)] = {0};
	struct reply r;

	(void)state;
	login(a);
	for (unsigned i = 0; i < FLOOD_MAX && !(refused[0] && refused[1] && refused[2]); i++) {
		size_t k = i % N_OF(asks);

		r = call(a->curl, asks[k].method, asks[k].path, a->session, asks[k].body);
		if (r.status == 429) {
			assert_true(code_is(&r, "rate") &&
				    strcasestr(r.headers, "\r\nRetry-After:"));
			refused[k]++;
		} else if (i == 0) {
			assert_int_equal(r.status, 400); /* what it asks is read, at first */
		}
		drop(&r);
		if (i % 10)
			continue;
		r = ask_why(b, "a", "tcp/1");
		assert_int_equal(r.status, 200);
		drop(&r);
	}
	for (size_t k = 0; k < N_OF(asks); k++)
		row_check(asks[k].path, refused[k] > 0);
	assert_false(b->ended);
	assert_int_equal(status_number("devices.active"), 2); /* the admin has his own, too */
	r = try_session(b);
	assert_int_equal(r.status, 200);
	drop(&r);
	dev_free(a);
	dev_free(b);
}

enum { STRANGERS_ANSWER_MAX = 1024 };

/* TCP and TLS answer no address that has not answered them, so a stranger cannot aim an answer at
 * another. What one gets for himself is small, whatever he asks. */
static void test_answers_to_strangers_are_small(void **state)
{
	static const char *const wrong[] = {NULL, "Authorization: Admin 1.AAAA",
					    "Authorization: nonsense"};
	char path[128];
	unsigned asked = 0;

	(void)state;
	for (const struct http_route *route = api_routes; route->method; route++)
		for (size_t k = 0; k < N_OF(wrong); k++) {
			CURL *c = client_new();
			struct reply r;

			fill_path(route->path, path, sizeof(path));
			r = call(c, route->method, path, wrong[k], "{}");
			row_check(path,
				  r.status > 0 && (r.status != 200 || route->who & HTTP_NOBODY));
			row_check(path, r.n + strlen(r.headers) <= STRANGERS_ANSWER_MAX);
			asked++;
			drop(&r);
			curl_easy_cleanup(c);
		}
	assert_true(asked > 60);
}

static bool has_get(const char *path)
{
	for (const struct http_route *r = api_routes; r->method; r++)
		if (strcmp(r->path, path) == 0 && strcmp(r->method, "GET") == 0)
			return true;
	return false;
}

static void test_get_changes_nothing(void **state)
{
	struct dev *d = enrolled("\"tags\":[\"a\"]", "a");
	const char *credentials[] = {NULL, d->session, ctl.authorization};
	json_t *before, *after;
	json_int_t records = status_number("store.records");
	char path[128];

	(void)state;
	login(d);
	before = admin_ok("GET", "/v1/admin/tokens", NULL);
	for (const struct http_route *route = api_routes; route->method; route++) {
		fill_path(route->path, path, sizeof(path));
		for (size_t k = 0; k < N_OF(credentials); k++) {
			CURL *c = client_new();
			struct reply r = call(c, "GET", path, credentials[k], NULL);

			row_check(path, has_get(route->path) == (r.status != 405));
			drop(&r);
			curl_easy_cleanup(c);
		}
	}
	after = admin_ok("GET", "/v1/admin/tokens", NULL);
	assert_true(json_equal(before, after));
	assert_int_equal(status_number("store.records"), records);
	json_decref(before);
	json_decref(after);
	dev_free(d);
}

/* --- hostile texts --- */

static void test_hostile_names(void **state)
{
	static const struct {
		const char *name;
	} names[] = {{"\x1b[2J\x07"},
		     {"'; DROP TABLE device;--"},
		     {"<script>alert(1)</script>"},
		     {"../../etc/passwd"},
		     {"\"}{\\n"},
		     {"\xf0\x9f\x92\xa9"},
		     {""}};
	static const struct {
		const char *path, *body;
	} refused[] = {
		{"/v1/admin/tokens", "{\"tags\":[\"a\"],\"name\":\"\\u001b[2J\"}"},
		{"/v1/admin/tokens", "{\"tags\":[\"a\"],\"name\":\"two\\nlines\"}"},
		{"/v1/admin/tokens", "{\"tags\":[\"a'b\"]}"},
		{"/v1/admin/tokens", "{\"tags\":[\"a\"],\"approve\":\"yes\"}"},
		{"/v1/admin/tokens", "{\"tags\":[\"a\"],\"approve\":1}"},
		{"/v1/admin/tokens", "{\"tags\":[\"a\"],\"uses\":4294967297}"},
		{"/v1/admin/tokens", "{\"tags\":[\"a\"],\"uses\":-1}"},
		{"/v1/admin/tokens", "{\"tags\":[\"a\"],\"expires_s\":1e300}"},
		{"/v1/admin/tokens", "{\"user\":\"a@x.org\\u0000b\"}"},
		{"/v1/admin/tokens", "{\"user\":\"<b>@x.org\"}"},
		{"/v1/admin/tokens", "{}"},
		{"/v1/admin/tokens", "[]"},
		{"/v1/admin/tokens", "{\"tags\":[\"a\"],\"tags\":[\"b\"]}"},
		{"/v1/admin/devices/1/revoke", "{\"why\":\"\\u001b]0;x\\u0007\"}"},
		{"/v1/admin/devices/1/revoke", "{\"why\":\"a\\nb\"}"},
		{"/v1/admin/devices/1/revoke", "{\"why\":7}"},
		{"/v1/admin/devices/1/revoke", "{}"},
	};
	json_t *list, *j;
	struct token t;
	size_t i;

	(void)state;
	token_create("{\"tags\":[\"a\"],\"uses\":100,\"name\":\"'; DROP TABLE token;-- <b>\"}", &t);
	for (i = 0; i < N_OF(names); i++) {
		struct dev *d = dev_new();
		struct reply r = try_enroll(d, &t, names[i].name);

		admitted(d, &r);
		row_check(names[i].name, txt_is_hostname(d->name));
		dev_free(d);
	}
	for (i = 0; i < N_OF(refused); i++) {
		struct reply r = admin("POST", refused[i].path, refused[i].body);

		row_check(refused[i].body, r.status == 400 && code_is(&r, "form"));
		row_check(refused[i].body, !memchr(r.text, 0x1b, r.n));
		drop(&r);
	}
	assert_int_equal(status_number("devices.active"), N_OF(names));
	admin_do("POST", "/v1/admin/devices/1/expire", "{\"why\":\"'); DELETE FROM record; <i>\"}");
	list = admin_ok("GET", "/v1/admin/tokens", NULL);
	assert_string_equal(text_at(list, "0.name"), "'; DROP TABLE token;-- <b>");
	json_decref(list);
	list = admin_ok("GET", "/v1/admin/devices", NULL);
	json_array_foreach(list, i, j) assert_true(txt_is_hostname(text_at(j, "name")));
	json_decref(list);
}

/* Groups named twice, and two changes of one user at once: neither undoes the other. */
struct putter {
	pthread_t thread;
	const char *body;
	unsigned done, busy, other;
};

static void *put_user(void *arg)
{
	struct putter *p = arg;
	CURL *c = client_new();

	while (p->done < 10 && p->done + p->busy + p->other < 2000) {
		struct reply r =
			call(c, "PUT", "/v1/admin/users/eve@x.org", ctl.authorization, p->body);

		p->done += r.status == 200;
		p->busy += r.status == 503;
		if (r.status == 503)
			poll(NULL, 0, 10); /* as the hint says: again, not at once */
		p->other += r.status != 200 && r.status != 503;
		drop(&r);
	}
	curl_easy_cleanup(c);
	return NULL;
}

static void test_changes_of_one_user(void **state)
{
	struct putter p[] = {{.body = "{\"disabled\":true}"},
			     {.body = "{\"groups\":[\"b\",\"a\",\"b\"]}"}};
	struct reply r;
	json_t *list;

	(void)state;
	r = admin("PUT", "/v1/admin/users/eve@x.org", "{\"disabled\":\"yes\"}");
	assert_int_equal(r.status, 400);
	drop(&r);
	for (size_t i = 0; i < N_OF(p); i++)
		pthread_create(&p[i].thread, NULL, put_user, &p[i]);
	for (size_t i = 0; i < N_OF(p); i++) {
		pthread_join(p[i].thread, NULL);
		assert_int_equal(p[i].done, 10);
		assert_int_equal(p[i].other, 0);
	}
	list = admin_ok("GET", "/v1/admin/users", NULL);
	assert_true(json_is_true(at(list, "0.disabled")));
	assert_int_equal(json_array_size(at(list, "0.groups")), 2);
	json_decref(list);
}

static void expect_user(json_t *list, const char *email, json_int_t devices)
{
	size_t i;
	json_t *j;

	json_array_foreach(list, i, j)
	{
		if (strcmp(text_at(j, "email"), email) != 0)
			continue;
		assert_int_equal(number_at(j, "devices"), devices);
		return;
	}
	fail_msg("%s is not listed", email);
}

static void test_users_are_listed_with_their_devices(void **state)
{
	struct dev *one, *lost;
	json_t *list;

	(void)state;
	admin_do("PUT", "/v1/admin/users/none@x.org", "{}");
	one = enrolled("\"user\":\"ada@x.org\"", "one");
	lost = enrolled("\"user\":\"ada@x.org\"", "lost");
	dev_free(enrolled("\"user\":\"lin@x.org\"", "hers"));
	dev_free(enrolled("\"tags\":[\"db\"]", "nobodys"));
	device_do(lost, "revoke", "{\"why\":\"lost\"}");
	list = admin_ok("GET", "/v1/admin/users", NULL);
	assert_int_equal(json_array_size(list), 3);
	expect_user(list, "none@x.org", 0);
	expect_user(list, "ada@x.org", 1);
	expect_user(list, "lin@x.org", 1);
	json_decref(list);
	dev_free(one);
	dev_free(lost);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_token_once_of_64, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_tokens_answer_alike, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pinned_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both_keys_are_proved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_challenge_once_and_here, setup, teardown),
		cmocka_unit_test_setup_teardown(test_challenge_of_another_controller, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_keys_of_another_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session_of_another_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pending_gets_nothing_until_approved, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_name_of_the_policy_waits_for_an_admin, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_acting_on_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_device_that_floods_hurts_itself, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_answers_to_strangers_are_small, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_get_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes_of_one_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_users_are_listed_with_their_devices, setup,
						teardown),
	};

	(void)argc;
	find_program(argv[0]);
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
