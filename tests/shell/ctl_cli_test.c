/* ztctl as a program against a controller of a few routes: what it sends, prints and ends with; and
 * that it talks to the key in its credential and to nobody else. */
#include "tests/shell/https_fixture.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <limits.h>
#include <spawn.h>
#include <sys/stat.h>

#include "zt/token.h"

enum { OUT_MAX = 64 << 10 };

static char program[PATH_MAX];

/* --- a controller --- */

static struct {
	char seen[2048];    /* "METHOD path query body" of the last request */
	bool whole;	    /* the audit log */
	const char *status; /* NULL: nonsense */
} fake;

static const char secret_text[] = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"; /* 32 times 7 */

static int identify(void *arg, const char *authorization, struct http_caller *ret, struct diag *d)
{
	char want[128];

	(void)arg;
	snprintf(want, sizeof(want), "Admin 5.%s", secret_text);
	*ret = (struct http_caller){.kind = HTTP_ADMIN, .admin = 5};
	if (txt_equal(authorization, want))
		return 0;
	diag_set(d, -ZT_EREFUSED, "this admin credential is not known");
	diag_hint(d, "ask for a new one");
	return -ZT_EREFUSED;
}

static void see(struct http_request *r, const char *what)
{
	size_t n;
	const char *body = http_body(r, &n);

	snprintf(fake.seen, sizeof(fake.seen), "%s %.*s", what, (int)n, body);
}

static void reply(struct http_request *r, int status, const char *json)
{
	http_reply_json(r, status, json_loads(json, 0, NULL));
}

static void create_token(void *arg, struct http_request *r)
{
	(void)arg;
	see(r, "create");
	reply(r, 201, "{\"id\":3,\"token\":\"zt1_abc\",\"expires\":\"2026-11-23T12:00:00Z\"}");
}

static void list_devices(void *arg, struct http_request *r)
{
	(void)arg;
	reply(r, 200,
	      "[{\"id\":7,\"name\":\"laptop\",\"owner\":\"ada@x\",\"tags\":[],\"addresses\":[\"100."
	      "64.0.7\",\"fd00::7\"],"
	      "\"state\":\"active\",\"online\":true,\"os\":\"debian\\u001b[2J "
	      "12\",\"posture_ok\":false}]");
}

static void tag_device(void *arg, struct http_request *r)
{
	char what[100];

	(void)arg;
	snprintf(what, sizeof(what), "tag %s", http_param(r, "dev"));
	see(r, what);
	reply(r, 200, "{\"name\":\"laptop\",\"state\":\"active\",\"tags\":[\"a\",\"b\"]}");
}

static void revoke_device(void *arg, struct http_request *r)
{
	(void)arg;
	see(r, "revoke");
	http_reply_error(r, 409, "state", "device 'laptop' is revoked already",
			 "nothing is left to do");
}

/* What the controller answers to a put that is tried in some way, with a warning. */
static bool take_trial(struct http_request *r)
{
	const char *confirm = http_query(r, "confirm_s"), *canary = http_query(r, "canary");
	char what[64];

	if (!confirm && !canary)
		return false;
	snprintf(what, sizeof(what), "%s %s", confirm ? "confirm" : "canary",
		 confirm ? confirm : canary);
	see(r, what);
	reply(r, 200,
	      confirm ? "{\"version\":5,\"confirm_until\":\"2026-11-23T12:10:00Z\",\"canary\":0,"
			"\"warnings\":[{\"file\":\"policy\",\"line\":2,\"column\":1,\"message\":"
			"\"no device offers it\",\"hint\":\"enrol one\"},{\"line\":3,\"column\":2,"
			"\"message\":\"odd\"}]}"
		      : "{\"version\":5,\"confirm_until\":null,\"canary\":5,\"warnings\":[]}");
	return true;
}

static void end_trial(void *arg, struct http_request *r)
{
	(void)arg;
	see(r, "end");
	reply(r, 200, "{\"version\":6}");
}

static void restore_policy(void *arg, struct http_request *r)
{
	(void)arg;
	if (take_trial(r))
		return;
	see(r, http_query(r, "force") ? "restore force" : "restore");
	reply(r, 200, "{\"version\":8,\"warnings\":[]}");
}

static void one_version(void *arg, struct http_request *r)
{
	const char *version = http_query(r, "version");

	(void)arg;
	if (!version)
		reply(r, 200, "[]");
	else if (strcmp(version, "1") == 0)
		reply(r, 200,
		      "{\"version\":1,\"author\":\"system\",\"at\":\"2026-11-23T12:00:00Z\","
		      "\"why\":\"init\",\"bytes\":7,\"changes\":null,\"state\":\"\"}");
	else if (strcmp(version, "2") == 0)
		reply(r, 200,
		      "{\"version\":2,\"author\":\"a\",\"at\":\"2026-11-23T12:00:00Z\","
		      "\"why\":\"tidy\",\"bytes\":7,\"changes\":{\"against\":1,\"added\":0,"
		      "\"removed\":0,\"changed\":0,\"list\":[]},\"state\":\"\"}");
	else
		reply(r, 200,
		      "{\"version\":3,\"author\":\"admin:1 (root)\","
		      "\"at\":\"2026-11-23T12:00:00Z\",\"why\":\"less\\u001b\",\"bytes\":70,"
		      "\"changes\":{\"against\":2,\"added\":1,\"removed\":100,\"changed\":0,"
		      "\"list\":[{\"kind\":\"rule\",\"change\":\"removed\",\"name\":"
		      "\"cl\\u001berks\","
		      "\"fields\":[{\"field\":\"who\",\"removed\":[\"user:\\u001ba\"],"
		      "\"n_removed\":3,\"added\":[],\"n_added\":0}]},{\"kind\":\"group\","
		      "\"change\":\"changed\","
		      "\"name\":\"ops\",\"fields\":[\"members\",\"who\"]}]},"
		      "\"state\":\"in force\"}");
}

static void no_canary(void *arg, struct http_request *r)
{
	(void)arg;
	http_reply_error(r, 409, "state", "there is no canary", "put one");
}

static void take_policy(void *arg, struct http_request *r)
{
	size_t n;
	const char *body = http_body(r, &n);

	char what[100];

	(void)arg;
	if (take_trial(r))
		return;
	snprintf(what, sizeof(what), "%s%s", http_query(r, "force") ? "force " : "",
		 http_query(r, "why") ? http_query(r, "why") : "check");
	see(r, what);
	if (memmem(body, n, "bad", 3))
		reply(r, 422,
		      "{\"error\":{\"code\":\"form\",\"message\":\"2 "
		      "problems\",\"hint\":\"\"},\"problems\":[{\"file\":\"\","
		      "\"line\":2,\"column\":5,\"message\":\"no group 'x'\",\"hint\":\"did you "
		      "mean y?\"},"
		      "{\"file\":\"\",\"line\":9,\"column\":1,\"message\":\"no "
		      "why\"}],\"more\":4900}");
	else
		reply(r, 200, http_query(r, "why") ? "{\"version\":4}" : "{\"ok\":true}");
}

/* "same", "cut", or a little of everything. */
static void preview_policy(void *arg, struct http_request *r)
{
	size_t n;
	const char *body = http_body(r, &n);

	(void)arg;
	see(r, "preview");
	if (memmem(body, n, "bad", 3))
		take_policy(arg, r);
	else if (memmem(body, n, "same", 4))
		reply(r, 200,
		      "{\"nothing\":true,\"cuts_own_way\":null,\"pairs\":{},\"devices\":{},"
		      "\"meaning\":{}}");
	else
		reply(r, 200,
		      "{\"nothing\":false,\"cuts_own_way\":\"tcp/8443 from lap\\u001b to ctl\","
		      "\"pairs\":{\"total\":1002,\"gaining\":1,\"losing\":1001,\"cut\":7,\"list\":["
		      "{\"from\":{\"id\":1,\"name\":\"lap\",\"owner\":\"ada@x\"},"
		      "\"to\":{\"id\":2,\"name\":\"db\",\"owner\":\"\"},"
		      "\"gained\":[\"tcp/443\",\"icmp\"],\"lost\":[\"tcp/22\"]},"
		      "{\"from\":null,\"to\":{\"id\":2,\"name\":\"db\",\"owner\":\"\"},"
		      "\"gained\":[],\"lost\":[\"any\"]}]},"
		      "\"devices\":{\"total\":3,\"list\":[]},"
		      "\"meaning\":{\"total\":1,\"list\":[{\"kind\":\"rule\",\"change\":"
		      "\"changed\","
		      "\"name\":\"shop\",\"fields\":[{\"field\":\"who\",\"removed\":[\"user:sam@"
		      "x\"],"
		      "\"n_removed\":30,\"added\":[\"tag:web\"],\"n_added\":1}]}]}}");
}

static void get_policy(void *arg, struct http_request *r)
{
	size_t n = txt_equal(http_query(r, "version"), "9") ? (64 << 20) + 1 : 9;
	char *text = calloc(1, n);

	(void)arg;
	memcpy(text, "[rule a]\n", 9);
	http_reply_header(r, "X-Policy-Version", "4");
	http_reply_text(r, 200, "text/plain", text, n);
	free(text);
}

static void explain(void *arg, struct http_request *r)
{
	char what[200];

	(void)arg;
	snprintf(what, sizeof(what), "%s>%s>%s", http_query(r, "from"), http_query(r, "to"),
		 http_query(r, "service"));
	see(r, what);
	reply(r, 200,
	      txt_equal(http_query(r, "to"), "db")
		      ? "{\"allowed\":true,\"rule\":\"clerks\",\"why\":\"They "
			"pay\",\"nearest\":null,\"asks\":[\"app:psql\",\"user:root\"]}"
		      : "{\"allowed\":false,\"rule\":null,\"nearest\":{\"rule\":\"clerks\","
			"\"failed\":[{\"condition\":"
			"\"when\",\"is\":\"Sunday\",\"since\":\"2026-11-22T00:00:00Z\","
			"\"hint\":\"wait for Monday\"}]}}");
}

/* Two pages. */
static void list_access(void *arg, struct http_request *r)
{
	char what[200];

	(void)arg;
	snprintf(what, sizeof(what), "from %s to %s after %s",
		 http_query(r, "from") ? http_query(r, "from") : "-",
		 http_query(r, "to") ? http_query(r, "to") : "-",
		 http_query(r, "after") ? http_query(r, "after") : "-");
	see(r, what);
	if (txt_equal(http_query(r, "from"), "nobody"))
		reply(r, 200, "{\"rows\":[],\"next\":null,\"rules\":[]}");
	else if (http_query(r, "after"))
		reply(r, 200,
		      "{\"rows\":[{\"from\":{\"name\":\"lap\",\"owner\":\"ada@x\"},\"to\":{"
		      "\"name\":"
		      "\"web\"},\"services\":[\"tcp/"
		      "80\",\"icmp\"],\"rule\":\"shop\",\"until\":null}],"
		      "\"next\":null,\"rules\":[]}");
	else
		reply(r, 200,
		      "{\"rows\":[{\"from\":{\"name\":\"lap\",\"owner\":\"ada@x\"},\"to\":{"
		      "\"name\":"
		      "\"db\"},\"services\":[\"tcp/5432\"],\"rule\":\"clerks\",\"until\":"
		      "\"2026-11-23T18:00:00Z\"}],\"next\":\"1.2.3\",\"rules\":[{\"rule\":"
		      "\"clerks\","
		      "\"action\":\"allow\",\"who\":\"group:clerks\",\"when\":\"Mon-Fri\","
		      "\"where\":\"\","
		      "\"how\":\"\",\"why\":\"w\"}]}");
}

static void can(void *arg, struct http_request *r)
{
	const char *to = http_query(r, "to");
	char what[200];

	(void)arg;
	snprintf(what, sizeof(what), "%s>%s>%s", http_query(r, "from"), to,
		 http_query(r, "service") ? http_query(r, "service") : "all");
	see(r, what);
	if (txt_equal(to, "nothing")) {
		reply(r, 200,
		      "{\"verdict\":\"never\",\"ways\":[],\"more\":0,\"n_from\":2,\"n_to\":1,"
		      "\"from\":[{\"name\":\"device:lap\",\"exists\":true}],"
		      "\"to\":[{\"name\":\"tag:s\",\"exists\":false}],\"behind_gateway\":true}");
		return;
	}
	reply(r, 200,
	      txt_equal(to, "free")
		      ? "{\"verdict\":\"always\",\"ways\":[{\"rule\":\"all\",\"why\":\"so\"}]}"
		      : "{\"verdict\":\"only "
			"if\",\"more\":3,\"ways\":[{\"rule\":\"clerks\",\"why\":"
			"\"They pay\",\"postures\":[\"managed\",\"new\"],\"how\":\"login < 12h, "
			"mfa\",\"when\":\"Mon-Fri\","
			"\"where\":\"place:office\",\"nots\":[{\"rule\":\"august\",\"why\":\"x\","
			"\"when\":\"2027-08-01..2027-08-31\",\"where\":null},{\"rule\":\"far\","
			"\"when\":\"Sat\",\"where\":\"country:US\"}],\"ports\":[\"tcp/"
			"22\",\"icmp\"],"
			"\"from\":[{\"name\":\"user:ada@x\",\"exists\":false}],\"n_from\":1,"
			"\"to\":[],\"n_to\":0},{\"rule\":\"b\",\"why\":\"\",\"postures\":[],"
			"\"how\":null,\"when\":null,\"where\":null,\"nots\":[]}]}");
}

static void verify(void *arg, struct http_request *r)
{
	(void)arg;
	reply(r, 200,
	      fake.whole ? "{\"ok\":true,\"records\":12,\"head\":\"ab12\",\"first_bad\":0,"
			   "\"problem\":\"\"}"
			 : "{\"ok\":false,\"records\":12,\"head\":\"\",\"first_bad\":8,\"problem\":"
			   "\"its hash is wrong\"}");
}

static void since(void *arg, struct http_request *r)
{
	(void)arg;
	see(r, http_query(r, "since_s") ? http_query(r, "since_s") : "all");
	reply(r, 200, "[]");
}

static void nonsense(void *arg, struct http_request *r)
{
	static const char page[] = "<h1>Bad gateway\033[2J</h1>";

	(void)arg;
	if (fake.status)
		reply(r, 200, fake.status);
	else
		http_reply_text(r, 502, "text/html", page, sizeof(page) - 1);
}

static const struct http_route routes[] = {
	{"POST", "/v1/admin/tokens", HTTP_ADMIN, 4096, HTTP_RATE_NONE, create_token, ""},
	{"GET", "/v1/admin/devices", HTTP_ADMIN, 0, HTTP_RATE_NONE, list_devices, ""},
	{"POST", "/v1/admin/devices/{dev}/tags", HTTP_ADMIN, 4096, HTTP_RATE_NONE, tag_device, ""},
	{"POST", "/v1/admin/devices/{dev}/revoke", HTTP_ADMIN, 4096, HTTP_RATE_NONE, revoke_device,
	 ""},
	{"POST", "/v1/admin/policy/check", HTTP_ADMIN, 4096, HTTP_RATE_NONE, take_policy, ""},
	{"POST", "/v1/admin/policy/preview", HTTP_ADMIN, 4096, HTTP_RATE_NONE, preview_policy, ""},
	{"PUT", "/v1/admin/policy", HTTP_ADMIN, 4096, HTTP_RATE_NONE, take_policy, ""},
	{"GET", "/v1/admin/policy", HTTP_ADMIN, 0, HTTP_RATE_NONE, get_policy, ""},
	{"GET", "/v1/admin/policy/can", HTTP_ADMIN, 0, HTTP_RATE_NONE, can, ""},
	{"POST", "/v1/admin/policy/confirm", HTTP_ADMIN, 4096, HTTP_RATE_NONE, end_trial, ""},
	{"POST", "/v1/admin/policy/promote", HTTP_ADMIN, 4096, HTTP_RATE_NONE, end_trial, ""},
	{"POST", "/v1/admin/policy/restore", HTTP_ADMIN, 4096, HTTP_RATE_NONE, restore_policy, ""},
	{"GET", "/v1/admin/policy/log", HTTP_ADMIN, 0, HTTP_RATE_NONE, one_version, ""},
	{"POST", "/v1/admin/policy/abort", HTTP_ADMIN, 4096, HTTP_RATE_NONE, no_canary, ""},
	{"GET", "/v1/admin/explain", HTTP_ADMIN, 0, HTTP_RATE_NONE, explain, ""},
	{"GET", "/v1/admin/access", HTTP_ADMIN, 0, HTTP_RATE_NONE, list_access, ""},
	{"GET", "/v1/admin/audit/verify", HTTP_ADMIN, 0, HTTP_RATE_NONE, verify, ""},
	{"GET", "/v1/admin/audit", HTTP_ADMIN, 0, HTTP_RATE_NONE, since, ""},
	{"GET", "/v1/admin/status", HTTP_ADMIN, 0, HTTP_RATE_NONE, nonsense, ""},
	{NULL, NULL, 0, 0, HTTP_RATE_NONE, NULL, NULL},
};

/* --- credentials --- */

static void pin_of(const char *crt_name, struct key *ret)
{
	gnutls_datum_t pem, der;
	gnutls_x509_crt_t crt;
	gnutls_pubkey_t pub;

	assert_int_equal(gnutls_load_file(in_dir(crt_name), &pem), 0);
	gnutls_x509_crt_init(&crt);
	gnutls_pubkey_init(&pub);
	assert_int_equal(gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM), 0);
	assert_int_equal(gnutls_pubkey_import_x509(pub, crt, 0), 0);
	assert_int_equal(gnutls_pubkey_export2(pub, GNUTLS_X509_FMT_DER, &der), 0);
	assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, ret->b), 0);
	gnutls_free(der.data);
	gnutls_free(pem.data);
	gnutls_pubkey_deinit(pub);
	gnutls_x509_crt_deinit(crt);
}

static void make_credential(const char *file, const char *crt, uint16_t port, uint8_t secret,
			    mode_t mode)
{
	struct token token = {.kind = TOKEN_ADMIN, .id = 5};
	char text[ZT_TOKEN_TEXT_MAX];
	gnutls_datum_t d;

	snprintf(token.url, sizeof(token.url), "https://127.0.0.1:%u", port);
	pin_of(crt, &token.pin);
	memset(token.secret.b, secret, sizeof(token.secret.b));
	assert_int_equal(token_encode(&token, text, sizeof(text)), 0);
	d.data = (unsigned char *)text;
	d.size = (unsigned)strlen(text);
	save(file, &d);
	assert_int_equal(chmod(in_dir(file), mode), 0);
}

static void make_file(const char *name, const char *text)
{
	gnutls_datum_t d = {.data = (unsigned char *)text, .size = (unsigned)strlen(text)};

	save(name, &d);
}

/* --- the program --- */

struct result {
	int status;
	char out[OUT_MAX], err[OUT_MAX];
};

static struct result got;

static void read_back(const char *name, char out[static OUT_MAX])
{
	int fd = open(in_dir(name), O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, out, OUT_MAX - 1);

	assert_true(n >= 0);
	out[n] = '\0';
	close(fd);
}

/* Runs `ztctl words...` with this environment; stdin is the file "stdin". */
static void ztctl_env(char *const env[], const char *const words[])
{
	char *argv[32] = {program};
	posix_spawn_file_actions_t io;
	size_t n = 1;
	pid_t pid;

	while (words[n - 1] && n < N_OF(argv) - 1) {
		argv[n] = (char *)words[n - 1];
		n++;
	}
	posix_spawn_file_actions_init(&io);
	posix_spawn_file_actions_addopen(&io, 0, in_dir("stdin"), O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&io, 1, in_dir("out"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(&io, 2, in_dir("err"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(posix_spawn(&pid, program, &io, NULL, argv, env), 0);
	posix_spawn_file_actions_destroy(&io);
	assert_int_equal(waitpid(pid, &got.status, 0), pid);
	assert_true(WIFEXITED(got.status));
	got.status = WEXITSTATUS(got.status);
	read_back("out", got.out);
	read_back("err", got.err);
}

/* With the right credential in $ZTCTL_ADMIN, as a path. */
#define ztctl(...) ztctl_words((const char *const[]){__VA_ARGS__, NULL})
static void ztctl_words(const char *const words[])
{
	char admin[160];
	char *env[] = {admin, "HOME=/nonexistent", "https_proxy=http://127.0.0.1:9",
		       "ALL_PROXY=http://127.0.0.1:9", NULL};

	snprintf(admin, sizeof(admin), "ZTCTL_ADMIN=%s", in_dir("good"));
	ztctl_env(env, words);
}

#define expect(want_status, want_out, want_err)                                                    \
	do {                                                                                       \
		assert_string_equal(got.err, want_err);                                            \
		assert_string_equal(got.out, want_out);                                            \
		assert_int_equal(got.status, want_status);                                         \
	} while (0)

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	t.config = (struct http_config){.cert_file = in_dir("a.crt"),
					.key_file = in_dir("a.key"),
					.routes = routes,
					.identify = identify,
					.connections_max = 50,
					.idle_timeout_s = 10};
	t.config.listen.addr = addr_v4((const uint8_t[]){127, 0, 0, 1});
	start();
	make_file("stdin", "");
	make_credential("good", "a.crt", t.port, 7, 0600);
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = {"stdin", "out", "err", "good", "other", "policy.ini"};

	(void)state;
	stop();
	for (size_t i = 0; i < N_OF(files); i++)
		unlink(in_dir(files[i]));
	return 0;
}

/* --- tests --- */

static void test_token_create(void **state)
{
	(void)state;
	ztctl("token", "create", "--tag", "db", "--expires", "2h", "--tag=tag:web", "--uses", "3",
	      "--approve");
	expect(0, "zt1_abc\n", "");
	assert_string_equal(
		fake.seen,
		"create "
		"{\"uses\":3,\"expires_s\":7200,\"approve\":true,\"name\":\"\",\"tags\":[\"db\","
		"\"web\"]}");
	ztctl("token", "create", "--user", "ada@example.com", "--name", "Ada's \"laptop\"");
	expect(0, "zt1_abc\n", "");
	assert_string_equal(
		fake.seen,
		"create {\"uses\":1,\"expires_s\":3600,\"approve\":false,\"name\":\"Ada's "
		"\\\"laptop\\\"\",\"user\":\"ada@example.com\"}");
	ztctl("--json", "token", "create", "--user", "ada@example.com");
	expect(0,
	       "{\n  \"id\": 3,\n  \"token\": \"zt1_abc\",\n  \"expires\": "
	       "\"2026-11-23T12:00:00Z\"\n}\n",
	       "");
}

static void test_device_list(void **state)
{
	(void)state;
	ztctl("device", "list");
	assert_int_equal(got.status, 0);
	assert_non_null(strstr(got.out, "NAME"));
	assert_non_null(strstr(got.out, "100.64.0.7, fd00::7"));
	assert_non_null(strstr(got.out, "debian?[2J 12"));
	assert_null(strchr(got.out, '\033')); /* no colours into a file either */
	ztctl("device", "list", "--json");
	assert_true(txt_starts(got.out, "[\n  {\n    \"id\": 7,\n    \"name\": \"laptop\","));
}

static void test_device_tag(void **state)
{
	(void)state;
	ztctl("device", "tag", "lap/top", "+a", "-b", "+tag:c", "-h");
	expect(0, "laptop: active, tags a, b\n", "");
	assert_string_equal(fake.seen,
			    "tag lap/top {\"add\":[\"a\",\"c\"],\"remove\":[\"b\",\"h\"]}");
	ztctl("device", "tag", "laptop", "a");
	expect(2, "",
	       "ztctl: 'a' is no change of a tag\nhint: +NAME adds a tag, -NAME takes it away\n");
}

static void test_refusals_in_two_lines(void **state)
{
	(void)state;
	ztctl("device", "revoke", "laptop", "--why", "stolen");
	expect(1, "", "ztctl: device 'laptop' is revoked already\nhint: nothing is left to do\n");
	assert_string_equal(fake.seen, "revoke {\"why\":\"stolen\"}");
	ztctl("device", "show", "laptop");
	expect(1, "", "ztctl: there is no such path\n");
	ztctl("status");
	expect(1, "",
	       "ztctl: the controller answered 502\nhint: is this address a ztcontroller?\n");
}

static void test_policy_preview(void **state)
{
	(void)state;
	make_file("policy.ini", "same");
	ztctl("policy", "preview", in_dir("policy.ini"));
	expect(0, "nothing changes\n", "");
	assert_string_equal(fake.seen, "preview same");
	make_file("policy.ini", "other");
	ztctl("policy", "preview", in_dir("policy.ini"));
	expect(0,
	       "- lap (ada@x) -> db  tcp/22\n+ lap (ada@x) -> db  tcp/443, icmp\n"
	       "- ? -> db  any\nand 1000 more\n"
	       "From device to device: access is gained in 1 pairs and lost in 1001, of which 7 "
	       "are "
	       "connected now; 3 devices are touched.\n"
	       "rule shop changed\n    - who      user:sam@x\n    - who      and 29 more\n"
	       "    + who      tag:web\n",
	       "warning: it would cut your own way to the controller: tcp/8443 from lap? to ctl\n"
	       "hint: add a rule that keeps it; policy put refuses it without --force\n");
	ztctl("policy", "preview", in_dir("policy.ini"), "--json");
	assert_int_equal(got.status, 0);
	assert_non_null(strstr(got.out, "\"losing\": 1001"));
	make_file("policy.ini", "bad");
	ztctl("policy", "preview", in_dir("policy.ini"));
	assert_int_equal(got.status, 1);
	assert_string_equal(got.out, "");
	assert_non_null(strstr(got.err, ":2:5: no group 'x'\nhint: did you mean y?\n"));
}

static void test_wrong_usage_sends_nothing(void **state)
{
	static const char *const rows[][6] = {
		{NULL},
		{"device", NULL},
		{"devices", "list", NULL},
		{"device", "lst", NULL},
		{"device", "revoke", "laptop", NULL},
		{"device", "show", NULL},
		{"device", "show", "a", "b", NULL},
		{"token", "create", "--uses", "0", NULL},
		{"token", "create", "--expires", "10", NULL},
		{"policy", "put", "x", NULL},
		{"policy", "restore", "x", "--why", "y", NULL},
		{"policy", "get", "--version=-1", NULL},
		{"audit", "log", "--since", "yesterday", NULL},
		{"user", "groups", "ada@x", NULL},
		{"explain", "a", "b", NULL},
		{"policy", "can", "a", NULL},
		{"explain", NULL},
		{"explain", "a", "--to", "b", NULL},
		{"status", "--verbose", NULL},
		{"completion", "zsh", NULL},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		ztctl_words(rows[i]);
		if (got.status != 2 || !got.err[0] || got.out[0])
			fail_msg("row %zu: %d '%s' '%s'", i, got.status, got.out, got.err);
	}
	assert_string_equal(fake.seen, "");
}

static void test_help_everywhere(void **state)
{
	static const char *const rows[][5] = {
		{"--help", NULL},
		{"-h", NULL},
		{"help", NULL},
		{"help", "policy", NULL},
		{"policy", "--help", NULL},
		{"policy", "put", "--help", NULL},
		{"explain", "--help", NULL},
		{"audit", "log", "-h", NULL},
		{"device", "tag", "--help", NULL},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		ztctl_words(rows[i]);
		if (got.status != 0 || !strstr(got.out, "usage: ztctl") || got.err[0])
			fail_msg("row %zu: %d '%s' '%s'", i, got.status, got.out, got.err);
	}
	ztctl("--version");
	assert_true(txt_starts(got.out, "ztctl "));
	assert_int_equal(got.status, 0);
	ztctl("completion", "bash");
	assert_non_null(strstr(got.out, "complete -o default -F _ztctl ztctl"));
	assert_int_equal(got.status, 0);
}

static void test_policy(void **state)
{
	char file[128], want[600], want_file[160];

	(void)state;
	snprintf(file, sizeof(file), "%s", in_dir("policy.ini"));
	make_file("policy.ini", "bad\n");
	snprintf(want, sizeof(want),
		 "%s:2:5: no group 'x'\nhint: did you mean y?\n%s:9:1: no why\nand 4900 more\n",
		 file, file);
	ztctl("policy", "check", file);
	expect(1, "", want);
	ztctl("policy", "check", file, "--json");
	assert_int_equal(got.status, 1);
	snprintf(want_file, sizeof(want_file), "\"file\": \"%s\"", file);
	assert_non_null(strstr(got.out, want_file));
	assert_null(strstr(got.out, "\"file\": \"\""));
	ztctl("policy", "put", file, "--why", "try & see");
	expect(1, "", want);
	assert_string_equal(fake.seen, "try & see bad\n");
	make_file("stdin", "[rule a]\n");
	ztctl("policy", "check", "-");
	expect(0, "policy ok\n", "");
	assert_string_equal(fake.seen, "check [rule a]\n");
	ztctl("policy", "put", "--why", "better", "-");
	expect(0, "policy version 4 is in force\n", "");
	ztctl("policy", "get");
	expect(0, "[rule a]\n", "");
	ztctl("policy", "get", "--json");
	expect(0, "{\n  \"version\": 4,\n  \"policy\": \"[rule a]\\n\"\n}\n", "");
	ztctl("policy", "put", "--force", "--why", "better", "-");
	expect(0, "policy version 4 is in force\n", "");
	assert_string_equal(fake.seen, "force better [rule a]\n");
	ztctl("policy", "check", "/nonexistent/x");
	expect(1, "",
	       "ztctl: cannot read /nonexistent/x: no such file or directory\n"
	       "hint: FILE is a policy file; - is stdin\n");
	ztctl("policy", "check", "/dev/zero"); /* which has no end */
	expect(1, "",
	       "ztctl: /dev/zero is larger than a policy may be (50 MiB)\n"
	       "hint: FILE is a policy file; - is stdin\n");
	ztctl("policy", "put", "--help");
	assert_int_equal(got.status, 0);
	assert_non_null(strstr(got.out,
			       "\nexit: 0 done, 1 refused or failed, 2 wrong usage, 3 "
			       "cannot reach the controller\n\nexample: ztctl policy put "));
	ztctl("policy", "can", "--help");
	assert_non_null(strstr(got.out, "controller, 4 denied\n\nexample: ztctl policy can "));
}

static void test_policy_on_trial(void **state)
{
	char file[128], want[400];

	(void)state;
	snprintf(file, sizeof(file), "%s", in_dir("policy.ini"));
	make_file("policy.ini", "[rule a]\n");
	snprintf(want, sizeof(want),
		 "warning: %s:2:1: no device offers it\nhint: enrol one\nwarning: %s:3:2: odd\n",
		 file, file);
	ztctl("policy", "put", file, "--why", "x", "--confirm", "10m");
	expect(0,
	       "policy version 5 is in force until 2026-11-23T12:10:00Z; keep it with: ztctl "
	       "policy confirm --version 5\n",
	       want);
	assert_string_equal(fake.seen, "confirm 600 [rule a]\n");
	ztctl("policy", "put", file, "--why", "x", "--canary", "5%");
	expect(0,
	       "policy version 5 is the canary of 5% of the devices; end it with: ztctl policy "
	       "promote --version 5, or abort\n",
	       "");
	assert_string_equal(fake.seen, "canary 5 [rule a]\n");
	ztctl("policy", "put", file, "--why", "x", "--canary=99");
	assert_string_equal(fake.seen, "canary 99 [rule a]\n");
}

/* What a version changed, as its record has it. */
static void test_policy_log_of_one(void **state)
{
	(void)state;
	ztctl("policy", "log", "--version", "3");
	expect(0,
	       "version  3\n"
	       "at       2026-11-23T12:00:00Z\n"
	       "author   admin:1 (root)\n"
	       "why      less?\n"
	       "state    in force\n"
	       "bytes    70\n"
	       "Against version 2: 1 rules added, 100 removed, 0 changed.\n"
	       "rule cl?erks removed\n"
	       "    - who      user:?a\n"
	       "    - who      and 2 more\n"
	       "group ops changed\n"
	       "      members\n" /* of an older record */
	       "      who\n"
	       "and 100 more rules\n",
	       "");
	ztctl("policy", "log", "--version", "2");
	expect(0,
	       "version  2\n"
	       "at       2026-11-23T12:00:00Z\n"
	       "author   a\n"
	       "why      tidy\n"
	       "state    -\n"
	       "bytes    7\n"
	       "The rules mean what they meant in version 1.\n",
	       "");
	ztctl("policy", "log", "--version", "1");
	expect(0,
	       "version  1\n"
	       "at       2026-11-23T12:00:00Z\n"
	       "author   system\n"
	       "why      init\n"
	       "state    -\n"
	       "bytes    7\n"
	       "What it changes was not recorded.\n",
	       "");
	ztctl("policy", "log", "--version", "none");
	expect(2, "", "ztctl: 'none' is no version\nhint: ztctl policy log lists them\n");
	ztctl("policy", "log");
	expect(0, "", "none\n");
}

/* As a put, in every way in which one can be put. */
static void test_restore(void **state)
{
	(void)state;
	ztctl("policy", "restore", "3", "--why", "x");
	expect(0, "policy version 8 is in force\n", "");
	assert_string_equal(fake.seen, "restore {\"why\":\"x\",\"version\":3}");
	ztctl("policy", "restore", "3", "--why", "x", "--force");
	assert_string_equal(fake.seen, "restore force {\"why\":\"x\",\"version\":3}");
	ztctl("policy", "restore", "3", "--why", "x", "--confirm", "10m");
	assert_string_equal(fake.seen, "confirm 600 {\"why\":\"x\",\"version\":3}");
	ztctl("policy", "restore", "3", "--why", "x", "--force", "--canary", "5%");
	assert_string_equal(fake.seen, "canary 5 {\"why\":\"x\",\"version\":3}");
	fake.seen[0] = '\0';
	ztctl("policy", "restore", "3", "--why", "x", "--canary", "5%", "--confirm", "10m");
	expect(2, "",
	       "ztctl: take one of --confirm and --canary\n"
	       "hint: a canary is ended by ztctl policy promote or abort\n");
	ztctl("policy", "restore", "3", "--confirm", "10m");
	assert_string_equal(fake.seen, "");
}

/* The version that the admin could see is sent along, or the one that was said. */
static void test_trials_end_by_version(void **state)
{
	static const char waits[] = "{\"policy\":{\"version\":6,\"canary\":null}}",
			  tried[] = "{\"policy\":{\"version\":6,\"canary\":{\"version\":7}}}";

	(void)state;
	fake.status = waits;
	ztctl("policy", "confirm");
	expect(0, "policy version 6 is in force\n", "");
	assert_string_equal(fake.seen, "end {\"version\":6}");
	fake.status = tried;
	ztctl("policy", "promote", "--why", "it works");
	expect(0, "policy version 6 is in force\n", "");
	assert_string_equal(fake.seen, "end {\"why\":\"it works\",\"version\":7}");
	ztctl("policy", "confirm");
	assert_string_equal(fake.seen, "end {\"version\":6}");
	fake.status = waits; /* there is none: it says so */
	ztctl("policy", "abort");
	expect(1, "", "ztctl: there is no canary\nhint: put one\n");
	fake.status = NULL;
	ztctl("policy", "promote", "--version", "9");
	assert_string_equal(fake.seen, "end {\"version\":9}");
	fake.seen[0] = '\0';
	fake.status = "{}";
	ztctl("policy", "confirm");
	expect(1, "",
	       "ztctl: the controller does not say which version is in force\n"
	       "hint: say it: --version N\n");
	ztctl("policy", "confirm", "--version", "0");
	expect(2, "", "ztctl: '0' is no version\nhint: ztctl policy log lists them\n");
	assert_string_equal(fake.seen, "");
}

static void test_trials_that_are_none(void **state)
{
	static const char *const rows[][2] = {
		{"--canary", "0%"},    {"--canary", "100%"}, {"--canary", "%"},
		{"--canary", "5.5%"},  {"--canary", "many"}, {"--canary", "000000000005"},
		{"--canary", ""},      {"--confirm", "10"},  {"--confirm", "0s"},
		{"--confirm", "soon"},
	};

	(void)state;
	make_file("stdin", "[rule a]\n");
	for (size_t i = 0; i < N_OF(rows); i++) {
		ztctl("policy", "put", "-", "--why", "x", rows[i][0], rows[i][1]);
		row_check(rows[i][1], got.status == 2 && strstr(got.err, "hint: "));
	}
	ztctl("policy", "put", "-", "--why", "x", "--canary", "5%", "--confirm", "10m");
	expect(2, "",
	       "ztctl: take one of --confirm and --canary\nhint: a canary is ended by ztctl policy "
	       "promote or abort\n");
	assert_string_equal(fake.seen, ""); /* nothing was sent */
}

static void test_explain(void **state)
{
	(void)state;
	ztctl("explain", "laptop", "db", "tcp/5432");
	expect(0,
	       "ALLOWED by rule clerks: They pay\n"
	       "the device itself looks at: app:psql, user:root\n",
	       "");
	assert_string_equal(fake.seen, "laptop>db>tcp/5432 ");
	ztctl("explain", "ada@example.com", "other", "icmp");
	expect(4,
	       "DENIED: the nearest rule is clerks, which fails by\n  when (is Sunday, since "
	       "2026-11-22T00:00:00Z)\n    hint: wait for Monday\n",
	       "");
	ztctl("explain", "laptop", "other", "icmp", "--json");
	assert_int_equal(got.status, 4);
	assert_true(txt_starts(got.out, "{\n  \"allowed\": false,\n  \"rule\": null,"));
}

static void test_can(void **state)
{
	(void)state;
	ztctl("policy", "can", "ada@x", "nothing", "tcp/5432");
	expect(4,
	       "NEVER\nasked about, from: device:lap and 1 more\nasked about, to:   tag:s alone\n"
	       "This is what the rules say. No gateway forwards in this version: what is behind "
	       "one opens to nobody yet.\n",
	       "");
	assert_string_equal(fake.seen, "ada@x>nothing>tcp/5432 ");
	ztctl("policy", "can", "lap", "free");
	expect(0, "ALWAYS, by:\n  1. rule all: so\n", "");
	assert_string_equal(fake.seen, "lap>free>all ");
	ztctl("policy", "can", "lap", "db", "icmp");
	expect(0,
	       "ONLY IF, one of these:\n"
	       "  1. rule clerks: They pay\n"
	       "     posture  managed, new\n"
	       "     how      login < 12h, mfa\n"
	       "     when     Mon-Fri\n"
	       "     where    place:office\n"
	       "     and not  rule august denies (2027-08-01..2027-08-31)\n"
	       "     and not  rule far denies (Sat; country:US, or not known)\n"
	       "     ports    tcp/22, icmp\n"
	       "     from     user:ada@x alone\n"
	       "  2. rule b\n"
	       "and 3 ways more\n",
	       "");
	ztctl("policy", "can", "lap", "nothing", "--json");
	assert_int_equal(got.status, 4);
	assert_true(txt_starts(got.out, "{\n  \"verdict\": \"never\","));
}

static void test_a_port_that_is_none(void **state)
{
	static const char form[] = "write tcp/5432, tcp/8000-8100, udp/53, icmp or any";
	static const char range[] = "ports are 1 to 65535, and a range begins with its lower end";
	static const struct {
		const char *port, *says, *hint;
	} rows[] = {
		{"5432", "is not a protocol with a port", "did you mean tcp/5432?"},
		{"tcp/99999", "has a port out of range", range},
		{"tcp/90-80", "has a port out of range", range},
		{"http", "is not a protocol with a port", form},
		{"", "is not a protocol with a port", form},
	};
	char want[256];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		snprintf(want, sizeof(want), "ztctl: '%s' %s\nhint: %s\n", rows[i].port,
			 rows[i].says, rows[i].hint);
		ztctl("explain", "a", "b", rows[i].port);
		expect(2, "", want);
		ztctl("policy", "can", "a", "b", rows[i].port);
		expect(2, "", want);
	}
}

static void test_access_lists(void **state)
{
	(void)state;
	ztctl("explain", "ada@x");
	expect(0,
	       "FROM OWNER TO  MAY          BY RULE UNTIL\n"
	       "lap  ada@x db  tcp/5432     clerks  2026-11-23T18:00:00Z\n"
	       "lap  ada@x web tcp/80, icmp shop    -\n",
	       "");
	assert_string_equal(fake.seen, "from ada@x to - after 1.2.3 ");
	ztctl("explain", "--to", "db & co");
	assert_int_equal(got.status, 0);
	assert_non_null(strstr(got.out, "lap  ada@x web tcp/80, icmp shop"));
	assert_non_null(strstr(got.out, "\nRules that let in, or keep out:\n"
					"RULE   ACTION WHO          WHEN    WHERE HOW\n"
					"clerks allow  group:clerks Mon-Fri -     -\n"));
	assert_string_equal(fake.seen, "from - to db & co after 1.2.3 ");
	ztctl("explain", "ada@x", "--json");
	assert_int_equal(got.status, 0);
	assert_non_null(strstr(got.out, "\"rule\": \"shop\""));
	assert_non_null(strstr(got.out, "\"rule\": \"clerks\""));
	ztctl("explain", "nobody");
	expect(0, "", "none\n");
}

static void test_audit(void **state)
{
	(void)state;
	ztctl("audit", "verify");
	expect(1, "",
	       "ztctl: the audit log is broken at record 8: its hash is wrong\nhint: keep the "
	       "database as it is: it is "
	       "evidence\n");
	ztctl("audit", "verify", "--json");
	assert_int_equal(got.status, 1);
	fake.whole = true;
	ztctl("audit", "verify");
	expect(0, "audit log whole: 12 records, head ab12\n", "");
	ztctl("audit", "log", "--since", "2d");
	expect(0, "", "none\n");
	assert_string_equal(fake.seen, "172800 ");
}

static void test_answer_has_a_limit(void **state)
{
	(void)state;
	ztctl("policy", "get", "--version", "9");
	expect(1, "", "ztctl: the answer is larger than 64 MiB\nhint: ask for less\n");
}

/* Another key at the same address gets nothing: not the secret either. */
static void test_pinned_key(void **state)
{
	(void)state;
	make_credential("other", "b.crt", t.port, 7, 0600);
	ztctl("--admin", in_dir("other"), "device", "list");
	assert_int_equal(got.status, 1);
	assert_string_equal(got.out, "");
	assert_non_null(
		strstr(got.err, "does not have the key that this credential names\nhint: "));
}

static void test_unreachable(void **state)
{
	(void)state;
	stop();
	ztctl("device", "list");
	assert_int_equal(got.status, 3);
	assert_true(txt_starts(got.err, "ztctl: cannot reach https://127.0.0.1:"));
}

static void test_which_credential(void **state)
{
	char inside[ZT_TOKEN_TEXT_MAX + 32], home[160], config[200], credential[OUT_MAX];
	char *env[] = {home, inside, NULL}, *only_home[] = {home, NULL},
	     *none[] = {"HOME=/nonexistent", NULL};
	const char *const status[] = {"device", "list", NULL};

	(void)state;
	read_back("good", credential);
	snprintf(home, sizeof(home), "HOME=%s", dir);
	snprintf(inside, sizeof(inside), "ZTCTL_ADMIN=%.640s", credential);
	ztctl_env(env, status); /* the credential itself */
	assert_int_equal(got.status, 0);
	make_credential("other", "a.crt", t.port, 8, 0644);
	ztctl_env(env, (const char *const[]){"device", "list", "--admin", in_dir("other"),
					     NULL}); /* --admin goes first */
	assert_int_equal(got.status, 1);
	assert_non_null(strstr(got.err, "ztctl: warning: others can read the credential"));
	assert_non_null(strstr(
		got.err, "ztctl: this admin credential is not known\nhint: ask for a new one\n"));
	ztctl_env(none, status);
	assert_int_equal(got.status, 1);
	assert_non_null(strstr(got.err, "/nonexistent/.config/ztctl/admin"));
	snprintf(config, sizeof(config), "%s/.config", dir);
	assert_int_equal(mkdir(config, 0700), 0);
	snprintf(config, sizeof(config), "%s/.config/ztctl", dir);
	assert_int_equal(mkdir(config, 0700), 0);
	make_credential(".config/ztctl/admin", "a.crt", t.port, 7, 0600);
	ztctl_env(only_home, status);
	assert_int_equal(got.status, 0);
	assert_string_equal(got.err, "");
	unlink(in_dir(".config/ztctl/admin"));
	rmdir(config);
	rmdir(in_dir(".config"));
}

/* build/tests/shell/this -> build/ztctl; a build with sanitizers has tests only and takes the
 * ordinary program. */
static void find_program(const char *self)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", self);
	for (int i = 0; i < 3 && strrchr(path, '/'); i++)
		*strrchr(path, '/') = '\0';
	snprintf(program, sizeof(program), "%.4000s/ztctl", path);
	if (access(program, X_OK) < 0)
		snprintf(program, sizeof(program), "build/ztctl");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_token_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_tag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals_in_two_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy_preview, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_usage_sends_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_help_everywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy_on_trial, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy_log_of_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restore, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trials_end_by_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trials_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_explain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_can, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_port_that_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_access_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_audit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answer_has_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pinned_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreachable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_which_credential, setup, teardown),
	};

	(void)argc;
	find_program(argv[0]);
	return cmocka_run_group_tests_name("ztctl", tests, group_setup, group_teardown);
}
