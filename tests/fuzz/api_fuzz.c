/* A request as the route table lets it through, to the handler of its route. The input is the
 * request in lines, so that seeds can be read:
 *
 *   POST /v1/admin/tokens/{id}/revoke     the route; any other text means one of them as well
 *   id=3                                  values of the path and of the query, decoded
 *   outcome=2                             what the application says (outcomes); away=1: at once
 *   caller=1 as=2                         which of the callers the route admits; as which device
 *   stale=1                               no challenge waits on the connection
 *   sign=1                                keys, proof and signature of the body are made to fit
 *                                         an empty line, then the body
 *
 * Whatever it was: one answer, in well formed JSON; nothing changed by a GET, by nobody, or by a
 * device but itself; and changes carry only what the rest of the controller takes for granted. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>

#include "tests/fuzz/api_fake.h"
#include "controller/model/census.h"
#include "controller/model/tags.h"
#include "zt/buf.h"
#include "zt/num.h"

static const int outcomes[] = {0,	  -ZT_ETOKEN, -ZT_EEXISTS, -ZT_EABSENT, -ZT_ESTATE,
			       -ZT_EFORM, -ENOSPC,    -ENOMEM,	   -EIO};

static const struct key challenge = {{9, 9, 9}};

static const char policy_text[] =
	"[network]\nlease = 1h\n"
	"[group finance]\nmembers = user:ada@example.com\n"
	"[group ops]\nmembers = user:ada@example.com\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[resource ssh]\non = tag:db\nports = tcp/22, icmp\n"
	"[posture good]\nrequire = disk.encrypted == true, os.version >= 12\n"
	"[rule finance-to-db]\nwho = group:finance\nwhat = resource:db\nwhy = payroll\n"
	"[rule ops]\nwho = group:ops\nwhat = resource:ssh\nhow = posture:good\nwhy = care\n";

/* --- the controller that is asked --- */

static struct policy *parsed(void)
{
	struct diag problem;
	struct diag_list list = {.items = &problem, .max = 1};
	struct policy *p;

	fuzz_check(policy_parse("policy", policy_text, sizeof(policy_text) - 1, NULL, &p, &list) ==
		   0);
	return p;
}

/* Some devices are in a canary. */
static void load_policy(struct model *m)
{
	struct policy_row row = {.version = 3, .author = "admin:1 (root)"};

	fuzz_check(model_set_policy(m, parsed(), &row, fake_now.wall_ms) == 0);
	row.version = 4;
	row.trial = (struct trial){.state = TRIAL_OPEN, .base = 3, .percent = 50};
	fuzz_check(model_set_canary(m, parsed(), &row, fake_now.wall_ms) == 0);
}

static struct secret identity_of(uint32_t device)
{
	return (struct secret){{(uint8_t)device, 7}};
}

static struct device *load_device(struct model *m, uint32_t id, const char *name, const char *owner,
				  enum device_state state)
{
	struct secret identity = identity_of(id);
	struct device_row row = {.id = id,
				 .state = state,
				 .addr4 = {ADDR_V4, {100, 64, 0, (uint8_t)id}},
				 .created_s = 1700000000,
				 .cert_not_after_s = 1900000000};
	struct device *d;

	fuzz_check(!txt_copy(row.name, sizeof(row.name), name));
	fuzz_check(!txt_copy(row.owner, sizeof(row.owner), owner));
	fuzz_check(owner[0] || tags_add(&row.tags, "db") == 0);
	key_of_identity(&identity, &row.identity);
	fuzz_check(model_load_device(m, &row, &d) == 0);
	return d;
}

static void load_facts(struct model *m, struct device *d)
{
	struct fact facts[] = {{"disk.encrypted", FACT_KNOWN, "true", 10},
			       {"os.version", FACT_KNOWN, "11", 10}};
	struct report r = {.full = true, .facts = facts, .n_facts = 2};
	bool changed;

	r.endpoints[r.n_endpoints++] = (struct endpoint){{ADDR_V4, {192, 0, 2, 7}}, 51820};
	fuzz_check(model_take_report(m, d, &r, fake_now.wall_ms, &changed) == 0);
}

static void make_model(struct model *m)
{
	static const struct user_row users[] = {
		{.email = "ada@example.com", .groups = {"ops"}, .n_groups = 1},
		{.email = "eve@example.com", .disabled = true},
	};

	model_init(m);
	m->network.net4 = (struct prefix){{ADDR_V4, {100, 64}}, 10};
	for (size_t i = 0; i < 2; i++)
		fuzz_check(model_load_user(m, &users[i]) == 0);
	load_facts(m, load_device(m, 1, "laptop", "ada@example.com", DEVICE_ACTIVE));
	load_device(m, 2, "db-1", "", DEVICE_ACTIVE)->online = true;
	load_device(m, 3, "phone", "lin@example.com", DEVICE_PENDING);
	load_device(m, 4, "laptop", "ada@example.com", DEVICE_REVOKED);
	load_device(m, 5, "tablet", "eve@example.com", DEVICE_ACTIVE);
	load_policy(m);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (sodium_init() < 0)
		return -1;
	fake.keys = (struct controller_keys){.network = {{1}}, .box = {{2}}, .pin = {{3}}};
	secret_clamp(&fake.keys.box);
	key_of_identity(&fake.keys.network, &fake.keys.network_pub);
	key_of_wireguard(&fake.keys.box, &fake.keys.box_pub);
	make_model(&fake.model);
	return 0;
}

/* --- the application's answers --- */

/* What store_commit fills in. */
static void fill_device(struct change *c)
{
	const struct device *d = model_device(&fake.model, c->device.id);
	struct device_row in = c->device;

	if (c->kind == CHANGE_DEVICE_ENROLL) {
		c->device.id = 7;
		c->device.state = DEVICE_ACTIVE;
		c->device.addr4 = (struct addr){ADDR_V4, {100, 64, 0, 7}};
		return;
	}
	fuzz_check(d != NULL);
	model_row(d, &c->device);
	if (c->kind == CHANGE_DEVICE_STATE)
		c->device.state = in.state;
	else
		c->device.tags = in.tags;
}

static bool is_about_policy(enum change_kind k)
{
	return k == CHANGE_POLICY_CONFIRM || k == CHANGE_POLICY_PROMOTE || k == CHANGE_POLICY_ABORT;
}

static void grant_change(struct wish *w)
{
	struct change *c = &w->change;
	struct device *d;

	if (fake.outcome) {
		w->change_then(w->arg, fake.outcome, c, &fake_problem);
		return;
	}
	if (c->kind == CHANGE_TOKEN_CREATE)
		c->token.id = 5;
	else if (is_about_policy(c->kind))
		c->policy = (struct policy_row){.version = 4};
	else if (c->kind != CHANGE_TOKEN_REVOKE && c->kind != CHANGE_USER_PUT)
		fill_device(c);
	fake.dirty = true;
	fuzz_check(model_apply(&fake.model, c, c->at_ms, &d) == 0);
	w->change_then(w->arg, 0, c, &(struct diag){0});
}

static void grant_policy(struct wish *w)
{
	static struct app_policy result;
	struct diag_list list = {.items = result.problems, .max = 100};
	struct policy *p = NULL;

	result = (struct app_policy){.version = 4};
	result.err = policy_parse("policy", w->change.policy.text, w->change.policy.len, NULL, &p,
				  &list);
	result.n_problems = list.n;
	result.dropped = list.dropped;
	fake.n_problems = list.n;
	policy_free(p);
	if (result.err) {
		diag_set(&result.diag, result.err, "the policy is refused");
	} else if (fake.outcome && !w->check_only) {
		result.err = fake.outcome;
		result.diag = fake_problem;
	}
	w->policy_then(w->arg, &result);
}

/* As survey.c does it, in one go. */
static void compare(struct policy *after, struct survey *ret, struct wish *w)
{
	const struct preview_device *v;
	struct preview *p;
	struct census *c;
	size_t n;
	int more = 1;

	fuzz_check(census_new(&fake.model, after, fake_now.wall_ms, &c) == 0);
	while (census_step(c, &fake.model, 2))
		;
	fuzz_check(census_judge(c) == 0);
	v = census_devices(c, &n);
	fuzz_check(preview_new(census_before(c), census_canary(c), after, v, n,
			       fake_now.wall_ms / 1000, &p) == 0);
	while (more)
		fuzz_check((more = preview_step(p, 100)) >= 0);
	ret->result = preview_result(p);
	fuzz_check(preview_cuts(p, w->path.src, w->path.dst, &w->path.svc, &ret->cuts_path) == 0);
	w->survey_then(w->arg, ret);
	preview_free(p);
	census_free(c);
}

void app_muster(struct app *a, muster_then then, void *arg)
{
	struct roll *r = roll_new();

	fuzz_check(r != NULL);
	while (roll_step(r, &a->model, 2))
		;
	then(arg, 0, r);
}

static void grant_survey(struct wish *w)
{
	static struct survey result;
	struct diag_list list = {.items = result.problems, .max = 100};
	struct policy *p = NULL;

	result = (struct survey){.path = w->path};
	result.err = policy_parse("policy", w->change.policy.text, w->change.policy.len, NULL, &p,
				  &list);
	result.n_problems = list.n;
	result.dropped = list.dropped;
	fake.n_problems = list.n;
	if (result.err)
		diag_set(&result.diag, result.err, "the policy is refused");
	else if (fake.outcome)
		result.err = diag_set(&result.diag, fake.outcome, "it could not be compared");
	if (result.err)
		w->survey_then(w->arg, &result);
	else
		compare(p, &result, w);
	policy_free(p);
}

static void grant_reading(struct wish *w)
{
	store_outcome = fake.outcome;
	w->run(w->arg, NULL);
	w->read_then(w->arg);
}

/* An answer may lead to one more wish: a restored policy is read, then put. */
static void grant_wishes(void)
{
	while (fake.wish.kind != WISH_NONE) {
		struct wish w = fake.wish;

		fake.wish = (struct wish){0};
		if (w.kind == WISH_CHANGE)
			grant_change(&w);
		else if (w.kind == WISH_POLICY)
			grant_policy(&w);
		else if (w.kind == WISH_SURVEY)
			grant_survey(&w);
		else
			grant_reading(&w);
		free(w.change.policy.text);
	}
}

/* --- signed bodies --- */

static void put_bytes(json_t *body, const char *name, const void *p, size_t n)
{
	char text[2 * ZT_SIG_LEN];

	fuzz_check(txt_base64url_encode(p, n, text, sizeof(text)) == 0);
	json_object_set_new(body, name, json_string(text));
}

static void sign_session(json_t *body, struct buf *b)
{
	json_int_t id = json_integer_value(json_object_get(body, "device"));
	struct secret identity = identity_of((uint32_t)id);
	struct sig sig;

	buf_put_u32(b, (uint32_t)id);
	key_sign(&identity, "zt-session-1", b->data, b->len, &sig);
	put_bytes(body, "signature", sig.b, sizeof(sig.b));
}

static void sign_enrolment(json_t *body, struct buf *b)
{
	const char *name = json_string_value(json_object_get(body, "name"));
	struct secret identity = identity_of(7), wg = {{8, 8, 8, [31] = 0x40}};
	struct key identity_pub, wg_pub, proof;
	struct sig sig;

	key_of_identity(&identity, &identity_pub);
	key_of_wireguard(&wg, &wg_pub);
	fuzz_check(key_prove(&wg, &fake.keys.box_pub, "zt-wg-proof-1", b->data, b->len, &proof) ==
		   0);
	buf_put_u64(b, (uint64_t)json_integer_value(json_object_get(body, "token_id")));
	buf_put(b, identity_pub.b, ZT_KEY_LEN);
	buf_put(b, wg_pub.b, ZT_KEY_LEN);
	buf_put_text(b, name ? name : "");
	key_sign(&identity, "zt-enroll-1", b->data, b->len, &sig);
	put_bytes(body, "secret", challenge.b, ZT_KEY_LEN);
	put_bytes(body, "identity_key", identity_pub.b, ZT_KEY_LEN);
	put_bytes(body, "wg_key", wg_pub.b, ZT_KEY_LEN);
	put_bytes(body, "wg_proof", proof.b, ZT_KEY_LEN);
	put_bytes(body, "signature", sig.b, sizeof(sig.b));
}

/* The body again with what proves it, in *ret_text (to be freed); NULL when it is no object. */
static void sign_body(struct http_request *r, char **ret_text)
{
	json_t *body = json_loadb((const char *)r->body, r->n_body, 0, NULL);
	struct buf b;

	*ret_text = NULL;
	if (json_is_object(body)) {
		buf_init_grow(&b, 1 << 20);
		buf_put(&b, fake.keys.pin.b, ZT_KEY_LEN);
		buf_put(&b, challenge.b, ZT_KEY_LEN);
		if (json_object_get(body, "token_id"))
			sign_enrolment(body, &b);
		else
			sign_session(body, &b);
		buf_free(&b);
		*ret_text = json_dumps(body, JSON_COMPACT);
		fuzz_check(*ret_text != NULL);
		r->body = (const uint8_t *)*ret_text;
		r->n_body = strlen(*ret_text);
	}
	json_decref(body);
}

/* --- the request --- */

/* The next line without its end; *p stands behind it. NULL when there is none. */
static char *take_line(struct arena *a, const uint8_t **p, const uint8_t *end)
{
	const uint8_t *start = *p, *nl = memchr(start, '\n', (size_t)(end - start));

	if (!nl)
		return NULL;
	*p = nl + 1;
	return arena_text(a, (const char *)start, (size_t)(nl - start));
}

static const struct http_route *find_route(const char *line)
{
	size_t n = 0, sum = 0;

	for (const struct http_route *t = api_routes; t->method; t++, n++) {
		size_t len = strlen(t->method);

		if (txt_starts(line, t->method) && line[len] == ' ' &&
		    txt_equal(line + len + 1, t->path))
			return t;
	}
	while (*line)
		sum = sum * 31 + (uint8_t)*line++;
	return &api_routes[sum % n];
}

/* What the server refuses before the handler is no input: false. */
static bool read_request(struct http_request *r, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	char *line = take_line(&r->arena, &p, end), *equal;

	if (!line)
		return false;
	r->route = find_route(line);
	while ((line = take_line(&r->arena, &p, end)) && line[0]) {
		equal = strchr(line, '=');
		if (!equal || r->n_fields == FIELDS_MAX || !txt_is_utf8(line, strlen(line)))
			return false;
		*equal = '\0';
		if (find_field(r, line))
			return false;
		r->fields[r->n_fields].name = line;
		r->fields[r->n_fields++].value = equal + 1;
	}
	if (!line || (size_t)(end - p) > r->route->body_max)
		return false;
	r->body = p < end ? p : NULL;
	r->n_body = (size_t)(end - p);
	return true;
}

/* A field of the target's own; 0 when it is not there. */
static unsigned number_of(const struct http_request *r, const char *name, unsigned below)
{
	const char *value = find_field(r, name);
	uint64_t v;

	return value && num_parse_u64(value, 0, below - 1, &v) == 0 ? (unsigned)v : 0;
}

/* Of those whom the route admits; a device's row is there, whatever became of it since. */
static void set_caller(struct http_request *r)
{
	unsigned skip = number_of(r, "caller", 4), who = r->route->who;

	while (skip-- > 0 && (who & (who - 1)))
		who &= who - 1;
	r->caller.kind = (enum http_caller_kind)(who & -who);
	if (r->caller.kind == HTTP_DEVICE || r->caller.kind == HTTP_DEVICE_PENDING)
		r->caller.device = 1 + number_of(r, "as", 5);
	snprintf(r->caller.name, sizeof(r->caller.name), "caller:%u", (unsigned)r->caller.kind);
}

static void serve(struct http_request *r)
{
	char *signed_text = NULL;

	set_caller(r);
	if (!find_field(r, "stale"))
		r->slot = (struct http_conn_slot){challenge, fake_now.boot_ms + 1};
	if (find_field(r, "sign") && r->n_body)
		sign_body(r, &signed_text);
	fake.request = r;
	fake.wishes = 0;
	fake.outcome = outcomes[number_of(r, "outcome", sizeof(outcomes) / sizeof(outcomes[0]))];
	fake.turn_away = find_field(r, "away") != NULL;
	r->route->handler(&fake, r);
	fuzz_check((r->answers == 1) != (fake.wish.kind != WISH_NONE));
	grant_wishes();
	fuzz_check(r->answers == 1);
	fuzz_check(fake.wishes <= 2);
	free(signed_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct http_request r = {0};

	arena_init(&r.arena, REQUEST_ARENA_MAX);
	if (n <= REQUEST_ARENA_MAX / 2 && read_request(&r, p, n))
		serve(&r);
	arena_done(&r.arena);
	if (fake.dirty) {
		model_done(&fake.model);
		make_model(&fake.model);
		fake.dirty = false;
	}
	return 0;
}
