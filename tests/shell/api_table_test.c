/* Trust decisions from tables, whole: device state x key x token, and route x whose object. */
#include "tests/shell/api_device.h"

#include "controller/api/api.h"

/* --- device state x key x token, all of them --- */

enum dstate { D_NONE, D_PENDING, D_ACTIVE, D_REVOKED, D_EXPIRED, D_DISABLED, DSTATES };
enum dkeys { K_NEW, K_IDENTITY, K_WG, K_BOTH, K_SWAPPED, KEYS };
enum dtoken { T_FRESH, T_USED, T_REVOKED, T_WRONG, T_UNKNOWN, TOKENS };

static const char *const dstate_names[] = {"no",	"a pending",  "an active",
					   "a revoked", "an expired", "a disabled owner's"};
static const char *const dkeys_names[] = {"new keys", "its identity key", "its WireGuard key",
					  "both its keys", "its keys, each as the other"};
static const char *const dtoken_names[] = {"a fresh", "a used", "a revoked", "a wrong",
					   "an unknown"};

/* A device of its own, brought into the state; NULL for none. */
static struct dev *device_in(enum dstate s)
{
	struct dev *d;

	if (s == D_NONE)
		return NULL;
	if (s == D_DISABLED)
		d = enrolled("\"user\":\"out@x.org\"", "x");
	else
		d = enrolled(s == D_PENDING ? "\"tags\":[\"x\"],\"approve\":true"
					    : "\"tags\":[\"x\"]",
			     "x");
	if (s == D_REVOKED)
		device_do(d, "revoke", "{\"why\":\"test\"}");
	if (s == D_EXPIRED)
		device_do(d, "expire", "{\"why\":\"test\"}");
	if (s == D_DISABLED)
		admin_do("PUT", "/v1/admin/users/out@x.org", "{\"disabled\":true}");
	return d;
}

static struct token token_in(enum dtoken s)
{
	struct token t;
	char path[64];

	token_create("{\"tags\":[\"y\"]}", &t);
	if (s == T_USED) {
		struct dev *d = dev_new();
		struct reply r = try_enroll(d, &t, "y");

		admitted(d, &r);
		dev_free(d);
	} else if (s == T_REVOKED) {
		snprintf(path, sizeof(path), "/v1/admin/tokens/%llu/revoke",
			 (unsigned long long)t.id);
		admin_do("POST", path, "{\"why\":\"test\"}");
	} else if (s == T_WRONG) {
		t.secret.b[0] ^= 1;
	} else if (s == T_UNKNOWN) {
		t.id += 1000;
	}
	return t;
}

/* d gets new keys, or those of another one (it can prove that it has them). */
static void take_keys(struct dev *d, enum dkeys k, const struct dev *of)
{
	randombytes_buf(d->identity.b, ZT_KEY_LEN);
	randombytes_buf(d->wg.b, ZT_KEY_LEN);
	if (of && (k == K_IDENTITY || k == K_BOTH))
		d->identity = of->identity;
	if (of && (k == K_WG || k == K_BOTH))
		d->wg = of->wg;
	if (of && k == K_SWAPPED) {
		d->identity = of->wg;
		d->wg = of->identity;
	}
	secret_clamp(&d->wg);
	key_of_identity(&d->identity, &d->identity_pub);
	key_of_wireguard(&d->wg, &d->wg_pub);
}

/* The rule: a dead token is refused whatever else is right; a key that any device has or had is
 * refused whatever became of that device; what is left is admitted. The public halves of swapped
 * keys are others, so they are new. */
static void expect_enrolment(const struct reply *r, enum dstate s, enum dkeys k, enum dtoken t)
{
	bool known = s != D_NONE && k != K_NEW && k != K_SWAPPED;
	char says[128];

	snprintf(says, sizeof(says), "%s token, %s of %s device: %ld %s", dtoken_names[t],
		 dkeys_names[k], dstate_names[s], r->status, r->text);
	if (t != T_FRESH)
		row_check(says, r->status == 403 && code_is(r, "token"));
	else if (known)
		row_check(says, r->status == 409 && code_is(r, "exists"));
	else
		row_check(says, r->status == 201);
}

/* An answer that waits for the bucket of this address. */
static struct reply enroll_patiently(struct dev *d, const struct token *t)
{
	struct reply r = try_enroll(d, t, "z");

	for (int tries = 0; r.status == 429 && tries < 500; tries++) {
		drop(&r);
		usleep(10000);
		r = try_enroll(d, t, "z");
	}
	return r;
}

static void test_state_times_key_times_token(void **state)
{
	struct dev *d = dev_new(); /* one connection for all of them */
	unsigned admitted_n = 0, total = 0;
	struct token tokens[TOKENS];

	(void)state;
	for (enum dtoken t = 0; t < TOKENS; t++)
		tokens[t] = token_in(t);
	for (enum dstate s = 0; s < DSTATES; s++) {
		struct dev *of = device_in(s);

		for (enum dkeys k = 0; k < KEYS; k++)
			for (enum dtoken t = 0; t < TOKENS; t++) {
				struct reply r;

				take_keys(d, k, of);
				r = enroll_patiently(d, &tokens[t]);
				expect_enrolment(&r, s, k, t);
				if (r.status == 201)
					tokens[t] = token_in(t); /* a fresh one again */
				admitted_n += r.status == 201;
				total++;
				drop(&r);
			}
		dev_free(of);
	}
	dev_free(d);
	assert_int_equal(total, DSTATES * KEYS * TOKENS);
	assert_int_equal(admitted_n, KEYS + 2 * (DSTATES - 1));
}

/* Sessions: device state x whose key. Another's key is told nothing of the state. */
static void test_state_times_key_of_sessions(void **state)
{
	static const struct {
		long status;
		const char *code;
	} right[] = {
		[D_PENDING] = {200, NULL},	  [D_ACTIVE] = {200, NULL},
		[D_REVOKED] = {403, "revoked"},	  [D_EXPIRED] = {403, "expired"},
		[D_DISABLED] = {403, "disabled"},
	};
	struct dev *living = enrolled("\"tags\":[\"l\"]", "l"), *stranger = dev_new();

	(void)state;
	for (enum dstate s = D_PENDING; s < DSTATES; s++) {
		struct dev *of = device_in(s), *others[] = {living, stranger};
		struct challenge ch;
		struct reply r;

		for (size_t i = 0; i < N_OF(others); i++) {
			ch = get_challenge(others[i]->curl);
			r = try_session_as(others[i], of->id, &ch);
			row_check(dstate_names[s], r.status == 403 && code_is(&r, "refused"));
			drop(&r);
		}
		r = try_session(of);
		row_check(dstate_names[s], r.status == right[s].status);
		row_check(dstate_names[s], !right[s].code || code_is(&r, right[s].code));
		drop(&r);
		dev_free(of);
	}
	dev_free(living);
	dev_free(stranger);
}

/* --- route x whose object --- */

/* What the admin sees of a device, but for when it was seen. */
static char *shown(const struct dev *d)
{
	char path[64], *text;
	json_t *j;

	snprintf(path, sizeof(path), "/v1/admin/devices/%u", d->id);
	j = admin_ok("GET", path, NULL);
	json_object_del(j, "last_seen");
	text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(j);
	return text;
}

static struct reply ask_about(struct dev *actor, const struct http_route *route,
			      const struct dev *victim)
{
	char path[256], body[128], header[64];
	const char *const headers[] = {actor->session, header, NULL};

	snprintf(header, sizeof(header), "X-Device: %u", victim->id);
	snprintf(path, sizeof(path), "%s?device=%u&id=%u&dev=%s&name=%s&serial=x", route->path,
		 victim->id, victim->id, victim->name, victim->name);
	snprintf(body, sizeof(body), "{\"device\":%u,\"id\":%u,\"name\":\"%s\"}", victim->id,
		 victim->id, victim->name);
	return call_with(actor->curl, route->method, path, headers,
			 strcmp(route->method, "GET") == 0 ? NULL : body,
			 strcmp(route->method, "GET") == 0 ? 0 : strlen(body));
}

/* Whose object: every route of devices, asked by each other device about the ids of the first. The
 * routes come from the table, so that a new one is asked, too. */
static void test_no_route_takes_anothers_id(void **state)
{
	struct dev *victim = online("\"user\":\"ada@x.org\"", "victim"),
		   *actors[] = {enrolled("\"user\":\"ada@x.org\"", "sister"),
				enrolled("\"tags\":[\"t\"]", "server"),
				enrolled("\"user\":\"eve@x.org\",\"approve\":true", "waiting")};
	char *before = shown(victim);
	unsigned asked = 0;

	(void)state;
	for (size_t i = 0; i < N_OF(actors); i++) {
		for (const struct http_route *route = api_routes; route->method; route++) {
			struct reply r;
			char *after;

			if (!(route->who & (HTTP_DEVICE | HTTP_DEVICE_PENDING)))
				continue;
			login(actors[i]);
			r = ask_about(actors[i], route, victim);
			row_check(route->path, r.status != 401 && r.status < 500);
			row_check(route->path, !r.text || !strstr(r.text, "victim"));
			drop(&r);
			after = shown(victim);
			row_check(route->path, strcmp(before, after) == 0);
			free(after);
			asked++;
		}
	}
	assert_true(asked >= N_OF(actors) * 4);
	assert_int_equal(status_number("devices.online"), 1);
	assert_int_equal(status_number("devices.active"), 1);
	pump();
	assert_false(victim->ended);
	free(before);
	dev_free(victim);
	for (size_t i = 0; i < N_OF(actors); i++)
		dev_free(actors[i]);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_state_times_key_times_token, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state_times_key_of_sessions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_route_takes_anothers_id, setup, teardown),
	};

	(void)argc;
	find_program(argv[0]);
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return cmocka_run_group_tests_name("api_table", tests, NULL, NULL);
}
