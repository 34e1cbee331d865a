/* Preview, the guard of the admin's own way, and who can reach what: a real controller whose own
 * machine is a device. The addresses are overlay addresses on the loopback interface of a network
 * namespace of this test's own; no packet leaves it. */
#include "tests/shell/api_device.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "controller/model/canary.h"

#define RESOURCES                                                                                  \
	"[network]\nlease = 1h\n"                                                                  \
	"[resource ctl]\non = tag:ctl\nports = tcp/1-65535\n"                                      \
	"[resource db]\non = tag:db\nports = tcp/5432, icmp\n"
#define KEEP "[rule keep]\nwho = user:ada@x.org\nwhat = resource:ctl\nwhy = admin\n"
#define CLERKS                                                                                     \
	"[posture good]\nrequire = disk.encrypted == true\n"                                       \
	"[rule clerks]\nwho = user:ada@x.org, user:sam@x.org\nwhat = resource:db\nhow = "          \
	"posture:good\n"                                                                           \
	"why = they pay\n"

static struct dev *host, *ada, *db;

/* --- the network --- */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

static void own_network(void)
{
	char map[32];
	unsigned uid = getuid();

	if (unshare(CLONE_NEWNET) == 0)
		return;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		fail_msg("no network namespace: %s", strerror(errno));
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_file("/proc/self/uid_map", map);
}

static void add_address(const char *name, const char *text)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {0};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	assert_int_equal(inet_pton(AF_INET, text, &sa.sin_addr), 1);
	memcpy(&r.ifr_addr, &sa, sizeof(sa));
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &r), 0);
	r.ifr_flags = IFF_UP | IFF_LOOPBACK;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
}

/* --- the controller, and who there is --- */

static void serve_everywhere(void)
{
	char listen[32];
	const char *argv[] = {"ztcontroller", "serve",	  "--dir",     ctl.dir, "--listen",
			      listen,	      "--config", "/dev/null", NULL};
	char line[16];

	snprintf(listen, sizeof(listen), "0.0.0.0:%s", strrchr(ctl.url, ':') + 1);
	ctl.pid = spawn(argv, &ctl.out);
	read_line(ctl.out, line, sizeof(line));
	assert_string_equal(line, "ready");
}

/* host has 100.64.0.2, ada 100.64.0.3, db 100.64.0.4. */
static int set_out(void **state)
{
	(void)state;
	end_controller(SIGKILL);
	snprintf(ctl.dir, sizeof(ctl.dir), "/tmp/zt-api-XXXXXX");
	assert_non_null(mkdtemp(ctl.dir));
	snprintf(ctl.url, sizeof(ctl.url), "https://127.0.0.1:%d", free_port());
	init_controller_dir();
	serve_everywhere();
	ctl.curl = client_new();
	host = enrolled("\"tags\":[\"ctl\"]", "host");
	ada = enrolled("\"user\":\"ada@x.org\"", "ada");
	db = enrolled("\"tags\":[\"db\"]", "db");
	return 0;
}

static int take_down(void **state)
{
	dev_free(host);
	dev_free(ada);
	dev_free(db);
	host = ada = db = NULL;
	return teardown(state);
}

/* An admin's request to the address `to` of the controller, from the address `from`. */
static struct reply through(const char *from, const char *to, const char *method, const char *path,
			    const char *body)
{
	char url[sizeof(ctl.url)], host_from[32];
	struct curl_slist *list = curl_slist_append(NULL, ctl.authorization);
	CURL *c = client_new();
	struct reply r = {0};

	list = curl_slist_append(list, "Expect:");
	memcpy(url, ctl.url, sizeof(url));
	snprintf(ctl.url, sizeof(ctl.url), "https://%s%s", to, strrchr(url, ':'));
	prepare(c, path);
	memcpy(ctl.url, url, sizeof(url));
	snprintf(host_from, sizeof(host_from), "host!%s", from);
	curl_easy_setopt(c, CURLOPT_INTERFACE, host_from);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &r);
	if (body)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	r.curl = curl_easy_perform(c);
	if (r.curl != CURLE_OK)
		fail_msg("%s from %s to %s: %s", path, from, to, curl_easy_strerror(r.curl));
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &r.status);
	r.json = r.text ? json_loadb(r.text, r.n, 0, NULL) : NULL;
	curl_slist_free_all(list);
	curl_easy_cleanup(c);
	return r;
}

static json_t *preview_of(const char *text)
{
	return admin_ok("POST", "/v1/admin/policy/preview", text);
}

static bool is_true(json_t *j, const char *path)
{
	return json_is_true(at(j, path));
}

/* --- preview --- */

static void test_preview(void **state)
{
	json_t *j;

	(void)state;
	policy_ok(RESOURCES KEEP);
	j = preview_of(RESOURCES KEEP);
	assert_true(is_true(j, "nothing"));
	assert_int_equal(number_at(j, "pairs.total") + number_at(j, "meaning.total"), 0);
	json_decref(j);
	/* nobody complies, so nothing changes now, but it means something */
	j = preview_of(RESOURCES KEEP CLERKS);
	assert_false(is_true(j, "nothing"));
	assert_int_equal(number_at(j, "pairs.total"), 0);
	assert_int_equal(number_at(j, "meaning.added"), 1);
	assert_string_equal(text_at(j, "meaning.list.0.name"), "clerks");
	json_decref(j);
	j = preview_of(RESOURCES "[rule all]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = w\n");
	assert_int_equal(number_at(j, "pairs.total"), 2);
	assert_int_equal(number_at(j, "pairs.losing"), 1);
	assert_int_equal(number_at(j, "pairs.gaining"), 1);
	assert_int_equal(number_at(j, "pairs.cut"), 0); /* none of them is connected */
	assert_int_equal(number_at(j, "devices.total"), 3);
	assert_string_equal(text_at(j, "pairs.list.0.from.owner"), "ada@x.org");
	assert_string_equal(text_at(j, "pairs.list.0.to.name"), "host");
	assert_string_equal(text_at(j, "pairs.list.0.lost.0"), "tcp/any");
	assert_string_equal(text_at(j, "pairs.list.1.to.name"), "db");
	assert_string_equal(text_at(j, "pairs.list.1.gained.1"), "tcp/5432");
	assert_true(json_is_null(at(j, "cuts_own_way")));
	json_decref(j);
	/* nothing of this was put */
	assert_int_equal(status_number("policy.version"), 2);
}

/* What a version changes stands in its record, and in numbers in the log of versions. */
static void expect_no_version(const char *version, long status)
{
	char path[64];
	struct reply r;

	snprintf(path, sizeof(path), "/v1/admin/policy/log?version=%s", version);
	r = admin("GET", path, NULL);
	assert_int_equal(r.status, status);
	drop(&r);
}

static void test_a_version_says_what_it_changes(void **state)
{
	json_t *j;

	(void)state;
	policy_ok(RESOURCES KEEP CLERKS);
	policy_ok(RESOURCES KEEP); /* clerks goes */
	policy_ok(KEEP RESOURCES); /* written in another way */
	j = admin_ok("GET", "/v1/admin/policy/log", NULL);
	assert_int_equal(number_at(j, "0.changes.against"), 3);
	assert_int_equal(number_at(j, "0.changes.added") + number_at(j, "0.changes.removed") +
				 number_at(j, "0.changes.changed"),
			 0);
	assert_int_equal(number_at(j, "1.changes.removed"), 1);
	assert_int_equal(number_at(j, "2.changes.added"), 2);
	assert_null(at(j, "1.changes.list"));
	assert_true(json_is_null(at(j, "3.changes"))); /* the first one is against nothing */
	json_decref(j);
	j = admin_ok("GET", "/v1/admin/policy/log?version=3", NULL);
	assert_int_equal(number_at(j, "version"), 3);
	assert_int_equal(number_at(j, "changes.removed"), 1);
	assert_string_equal(text_at(j, "changes.list.0.name"), "clerks");
	assert_string_equal(text_at(j, "changes.list.0.change"), "removed");
	assert_string_equal(text_at(j, "changes.list.0.fields.1.field"), "who");
	assert_string_equal(text_at(j, "changes.list.0.fields.1.removed.0"), "user:ada@x.org");
	assert_string_equal(text_at(j, "state"), "");
	json_decref(j);
	j = admin_ok("GET", "/v1/admin/policy/log?version=4", NULL);
	assert_string_equal(text_at(j, "state"), "in force");
	json_decref(j);
	expect_no_version("5", 404);
	expect_no_version("0", 400);
	expect_no_version("x", 400);
	/* in the record of its put, and in the next one as what was before */
	assert_int_equal(audit_count("policy.put",
				     "{\"added\":[],\"field\":\"who\",\"n_added\":0,"
				     "\"n_removed\":2,\"removed\":[\"user:ada@x.org\","
				     "\"user:sam@x.org\"]}"),
			 2);
}

static void test_preview_says_mistakes(void **state)
{
	struct reply r = admin("POST", "/v1/admin/policy/preview",
			       RESOURCES "[rule a]\nwho = group:x\nwhat = resource:db\nwhy = w\n");

	(void)state;
	assert_int_equal(r.status, 422);
	assert_int_equal(number_at(r.json, "problems.0.line"), 10);
	drop(&r);
	r = admin("POST", "/v1/admin/policy/preview",
		  RESOURCES KEEP "[test t]\nfrom = user:sam@x.org\nto = db icmp\nexpect = allow\n");
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(text_at(r.json, "problems.0.message"), "test \"t\" fails"));
	drop(&r);
	/* ada's groups are not in the file, and count */
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"groups\":[\"interns\"]}");
	r = admin("POST", "/v1/admin/policy/preview",
		  RESOURCES KEEP "[group interns]\nmembers = tag:intern\n"
				 "[invariant i]\nfrom = group:interns\nto = resource:ctl\n"
				 "expect = never\nwhy = w\n");
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(text_at(r.json, "problems.0.message"), "invariant \"i\""));
	drop(&r);
}

/* Open grants that would be cut are those between devices that are connected. */
static void test_preview_counts_what_it_cuts(void **state)
{
	json_t *j;

	(void)state;
	policy_ok(RESOURCES "[rule all]\nwho = anyone\nwhat = resource:db\nwhy = w\n");
	login(ada);
	connect_stream(ada);
	login(db);
	connect_stream(db);
	j = preview_of(RESOURCES KEEP);
	assert_int_equal(number_at(j, "pairs.losing"), 2); /* host and ada, to db */
	assert_int_equal(number_at(j, "pairs.cut"), 1);
	json_decref(j);
}

/* --- the admin's own way --- */

static void expect_put(const char *from, const char *to, const char *query, const char *text,
		       long status)
{
	char path[128];
	struct reply r;

	snprintf(path, sizeof(path), "/v1/admin/policy?why=w%s", query);
	r = through(from, to, "PUT", path, text);
	if (r.status != status)
		fail_msg("from %s to %s: %ld %s", from, to, r.status, r.text);
	if (status == 409)
		assert_non_null(strstr(text_at(r.json, "error.message"), "from ada to host"));
	drop(&r);
}

static void test_nobody_cuts_the_own_way(void **state)
{
	static const char without[] = RESOURCES CLERKS;
	struct reply r;

	(void)state;
	policy_ok(RESOURCES KEEP);
	expect_put("100.64.0.3", "100.64.0.2", "", without, 409);
	assert_int_equal(status_number("policy.version"), 2); /* the check was before the commit */
	r = through("100.64.0.3", "100.64.0.2", "POST", "/v1/admin/policy/preview", without);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(text_at(r.json, "cuts_own_way"), "from ada to host"));
	drop(&r);
	r = through("100.64.0.3", "100.64.0.2", "POST", "/v1/admin/policy/restore",
		    "{\"version\":1,\"why\":\"w\"}"); /* which grants nothing */
	assert_int_equal(r.status, 409);
	drop(&r);
	/* what keeps it is put, and mistakes are still told */
	expect_put("100.64.0.3", "100.64.0.2", "", RESOURCES KEEP CLERKS, 200);
	expect_put("100.64.0.3", "100.64.0.2", "", "[rule", 422);
	/* with force; then there is nothing left to cut */
	expect_put("100.64.0.3", "100.64.0.2", "&force=1", without, 200);
	expect_put("100.64.0.3", "100.64.0.2", "", RESOURCES, 200);
	assert_int_equal(status_number("policy.version"), 5);
}

/* What only a canary gives an admin is the way on which the admin came. */
static void test_the_own_way_by_a_canary(void **state)
{
	json_int_t version;
	struct reply r;
	json_t *j;

	(void)state;
	policy_ok(RESOURCES);
	do {
		j = admin_ok("PUT", "/v1/admin/policy?why=w&canary=99", RESOURCES KEEP);
		version = number_at(j, "version");
		json_decref(j);
	} while (!canary_has(ada->id, (uint32_t)version, 99));
	expect_put("100.64.0.3", "100.64.0.2", "", RESOURCES, 409);
	r = through("100.64.0.3", "100.64.0.2", "POST", "/v1/admin/policy/preview", RESOURCES);
	assert_non_null(strstr(text_at(r.json, "cuts_own_way"), "from ada to host"));
	assert_int_equal(number_at(r.json, "pairs.losing"), 1);
	assert_int_equal(number_at(r.json, "meaning.total"), 0); /* as in force */
	assert_false(is_true(r.json, "nothing"));
	drop(&r);
	/* the canary for all takes nothing from her, and gives her nothing */
	j = preview_of(RESOURCES KEEP);
	assert_int_equal(number_at(j, "pairs.total"), 0);
	assert_int_equal(number_at(j, "meaning.added"), 1);
	json_decref(j);
	expect_put("100.64.0.3", "100.64.0.2", "", RESOURCES KEEP, 200);
}

static void test_who_comes_another_way_is_free(void **state)
{
	(void)state;
	policy_ok(RESOURCES KEEP);
	expect_put("127.0.0.1", "100.64.0.2", "", RESOURCES, 200); /* not from a device */
	policy_ok(RESOURCES KEEP);
	expect_put("100.64.0.3", "127.0.0.1", "", RESOURCES, 200); /* not to one */
}

/* --- who can reach what --- */

static json_t *access_list(const char *query)
{
	char path[200];

	snprintf(path, sizeof(path), "/v1/admin/access?%s", query);
	return admin_ok("GET", path, NULL);
}

static void expect_status(const char *query, long status)
{
	char path[200];
	struct reply r;

	snprintf(path, sizeof(path), "/v1/admin/access?%s", query);
	r = admin("GET", path, NULL);
	if (r.status != status)
		fail_msg("%s: %ld %s", query, r.status, r.text);
	drop(&r);
}

static void test_access_lists(void **state)
{
	json_t *j;

	(void)state;
	policy_ok(RESOURCES KEEP CLERKS "[rule short]\nwho = tag:ctl\nwhat = resource:db\n"
					"until = 2190-01-31\nwhy = w\n");
	j = access_list("from=ada@x.org");
	assert_int_equal(json_array_size(at(j, "rows")), 1); /* she does not comply */
	assert_string_equal(text_at(j, "rows.0.from.name"), "ada");
	assert_string_equal(text_at(j, "rows.0.to.name"), "host");
	assert_string_equal(text_at(j, "rows.0.services.0"), "tcp/any");
	assert_string_equal(text_at(j, "rows.0.rule"), "keep");
	assert_true(json_is_null(at(j, "rows.0.until")));
	assert_int_equal(json_integer_value(at(j, "rows.0.lease_s")), 3600);
	assert_true(json_is_null(at(j, "next")));
	assert_int_equal(json_array_size(at(j, "rules")), 0);
	json_decref(j);
	j = access_list("to=resource:db");
	assert_int_equal(json_array_size(at(j, "rows")), 1);
	assert_string_equal(text_at(j, "rows.0.from.name"), "host");
	assert_string_equal(text_at(j, "rows.0.until"), "2190-02-01T00:00:00Z");
	assert_int_equal(json_array_size(at(j, "rules")), 2);
	assert_string_equal(text_at(j, "rules.0.rule"), "clerks");
	assert_string_equal(text_at(j, "rules.0.how"), "posture:good");
	assert_string_equal(text_at(j, "rules.0.who"), "user:ada@x.org, user:sam@x.org");
	json_decref(j);
	j = access_list("to=100.64.0.2");
	assert_int_equal(json_array_size(at(j, "rows")), 1);
	assert_string_equal(text_at(j, "rows.0.from.name"), "ada");
	json_decref(j);
	expect_status("from=eve@x.org", 404);
	expect_status("to=no-such", 404);
	expect_status("from=ada&to=db", 400);
	expect_status("", 400);
	expect_status("from=ada&after=1.2", 400);
	expect_status("from=ada&after=1.2.x", 400);
}

/* 3 devices and a rule a number: more rows than a page has; every row comes once, in order. */
static void test_access_page_by_page(void **state)
{
	enum { RULES = 1200 };
	char query[64] = "to=db";
	unsigned rows = 0, pages = 0;
	struct buf b;
	json_t *j;

	(void)state;
	buf_init_grow(&b, 1 << 20);
	buf_put_text(&b, RESOURCES);
	for (unsigned i = 0; i < RULES; i++)
		buf_printf(&b, "[rule r%u]\nwho = tag:ctl\nwhat = resource:db\nwhy = w\n", i);
	policy_ok(buf_text(&b));
	buf_free(&b);
	do {
		char name[16];

		j = access_list(query);
		assert_true(json_array_size(at(j, "rows")) <= 1000);
		for (size_t i = 0; i < json_array_size(at(j, "rows")); i++) {
			json_t *row = json_array_get(at(j, "rows"), i);

			snprintf(name, sizeof(name), "r%u", rows++);
			assert_string_equal(text_at(row, "rule"), name);
		}
		snprintf(query, sizeof(query), "to=db&after=%s", text_at(j, "next"));
		pages++;
		json_decref(j);
	} while (query[strlen("to=db&after=")]);
	assert_int_equal(rows, RULES);
	assert_int_equal(pages, 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_preview, set_out, take_down),
		cmocka_unit_test_setup_teardown(test_a_version_says_what_it_changes, set_out,
						take_down),
		cmocka_unit_test_setup_teardown(test_preview_says_mistakes, set_out, take_down),
		cmocka_unit_test_setup_teardown(test_preview_counts_what_it_cuts, set_out,
						take_down),
		cmocka_unit_test_setup_teardown(test_nobody_cuts_the_own_way, set_out, take_down),
		cmocka_unit_test_setup_teardown(test_the_own_way_by_a_canary, set_out, take_down),
		cmocka_unit_test_setup_teardown(test_who_comes_another_way_is_free, set_out,
						take_down),
		cmocka_unit_test_setup_teardown(test_access_lists, set_out, take_down),
		cmocka_unit_test_setup_teardown(test_access_page_by_page, set_out, take_down),
	};

	(void)argc;
	find_program(argv[0]);
	own_network();
	add_address("lo", "127.0.0.1");
	add_address("lo:1", "100.64.0.2");
	add_address("lo:2", "100.64.0.3");
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return cmocka_run_group_tests_name("api_preview", tests, NULL, NULL);
}
