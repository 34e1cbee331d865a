/* A real controller in a process of its own, and admins who talk to it over real TLS with its key
 * pinned. Every test has a fresh directory; each ends with the audit log proved whole. */
#pragma once

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zt/clock.h"
#include "zt/token.h"
#include "zt/txt.h"

#define FIXTURE_UNUSED __attribute__((unused))

enum { WAIT_MS = 15000, BODY_MAX = 64 << 20 };

static struct {
	char dir[64], url[64], program[PATH_MAX];
	char config[128]; /* "": none */
	char clock[128];  /* file that shifts its clocks (tests/lab/preload); "": it has ours */
	pid_t pid;
	int out; /* its stdout */
	struct token admin;
	char authorization[128], pin[64];
	CURL *curl;
} ctl;

/* --- the process --- */

static int free_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	close(fd);
	return ntohs(sa.sin_port);
}

static void open_log(void)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/log", ctl.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd >= 0)
		dup2(fd, STDERR_FILENO);
}

/* The library is built beside the program. */
static void preload_clock(void)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%.*s/tests/lab/shift_clock.so",
		 (int)(strrchr(ctl.program, '/') - ctl.program), ctl.program);
	setenv("LD_PRELOAD", path, 1);
	setenv("SHIFT_CLOCK", ctl.clock, 1);
}

static pid_t spawn(const char *const *argv, int *ret_out)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is killed leaves nothing running */
		dup2(fds[1], STDOUT_FILENO);
		if (ctl.clock[0])
			preload_clock();
		open_log();
		execv(ctl.program, (char *const *)argv);
		_exit(127);
	}
	close(fds[1]);
	*ret_out = fds[0];
	return pid;
}

/* A line of its stdout; "" when it ended instead. */
static void read_line(int fd, char *out, size_t size)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t n = 0;

	while (n + 1 < size && poll(&p, 1, WAIT_MS) == 1 && read(fd, out + n, 1) == 1 &&
	       out[n] != '\n')
		n++;
	out[n] = '\0';
}

static void serve(void)
{
	const char *config = ctl.config[0] ? ctl.config : "/dev/null";
	const char *argv[] = {"ztcontroller", "serve",	  "--dir", ctl.dir, "--listen",
			      ctl.url + 8,    "--config", config,  NULL};
	char line[16];

	ctl.pid = spawn(argv, &ctl.out);
	read_line(ctl.out, line, sizeof(line));
	if (strcmp(line, "ready") != 0)
		fail_msg("the controller does not start; see %s/log", ctl.dir);
}

static void end_controller(int signo)
{
	int status = 0;

	if (ctl.pid <= 0)
		return;
	kill(ctl.pid, signo);
	assert_int_equal(waitpid(ctl.pid, &status, 0), ctl.pid);
	close(ctl.out);
	ctl.pid = 0;
	if (signo == SIGTERM && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		fail_msg("the controller ended with status %x; see %s/log", status, ctl.dir);
}

static void take_credential(const char *text)
{
	char pin[45], secret[64];
	struct diag d;

	if (token_decode(text, TOKEN_ADMIN, &ctl.admin, &d))
		fail_msg("%s", d.message);
	sodium_bin2base64(pin, sizeof(pin), ctl.admin.pin.b, ZT_KEY_LEN,
			  sodium_base64_VARIANT_ORIGINAL);
	snprintf(ctl.pin, sizeof(ctl.pin), "sha256//%s", pin);
	assert_int_equal(
		txt_base64url_encode(ctl.admin.secret.b, ZT_KEY_LEN, secret, sizeof(secret)), 0);
	snprintf(ctl.authorization, sizeof(ctl.authorization), "Authorization: Admin %llu.%s",
		 (unsigned long long)ctl.admin.id, secret);
}

static void init_controller_dir(void)
{
	const char *argv[] = {"ztcontroller", "init", "--dir", ctl.dir, "--url", ctl.url, NULL};
	char line[ZT_TOKEN_TEXT_MAX + 1];
	int out, status;
	pid_t pid = spawn(argv, &out);

	read_line(out, line, sizeof(line));
	close(out);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	take_credential(line);
}

/* --- requests --- */

struct reply {
	long status; /* 0: no answer */
	CURLcode curl;
	json_t *json; /* NULL when it is none */
	char *text;
	size_t n;
	char headers[4096];
};

static size_t take_body(char *p, size_t one, size_t n, void *arg)
{
	struct reply *r = arg;
	char *text = realloc(r->text, r->n + n + 1);

	(void)one;
	assert_true(text && r->n + n < BODY_MAX);
	memcpy(text + r->n, p, n);
	r->text = text;
	r->n += n;
	text[r->n] = '\0';
	return n;
}

static size_t take_header(char *p, size_t one, size_t n, void *arg)
{
	struct reply *r = arg;
	size_t len = strlen(r->headers);

	(void)one;
	if (len + n < sizeof(r->headers)) {
		memcpy(r->headers + len, p, n);
		r->headers[len + n] = '\0';
	}
	return n;
}

static CURL *client_new(void)
{
	CURL *c = curl_easy_init();

	assert_non_null(c);
	return c;
}

/* Address that the next calls come from; NULL: as the kernel likes. */
static const char *call_from;

static void prepare(CURL *c, const char *path)
{
	char url[2048];

	curl_easy_reset(c); /* keeps its connection */
	snprintf(url, sizeof(url), "%s%s", ctl.url, path);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(c, CURLOPT_PINNEDPUBLICKEY, ctl.pin);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)60000);
	if (call_from)
		curl_easy_setopt(c, CURLOPT_INTERFACE, call_from);
}

/* headers: NULL, or whole lines. body NULL: none. */
static struct reply call_with(CURL *c, const char *method, const char *path,
			      const char *const *headers, const void *body, size_t n)
{
	struct curl_slist *list = NULL;
	struct reply r = {0};

	prepare(c, path);
	for (size_t i = 0; headers && headers[i]; i++)
		list = curl_slist_append(list, headers[i]);
	list = curl_slist_append(list, "Expect:");
	list = curl_slist_append(list, "Content-Type:");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &r);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, &r);
	if (strcmp(method, "GET") != 0) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body ? body : "");
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	}
	r.curl = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &r.status);
	curl_slist_free_all(list);
	r.json = r.text ? json_loadb(r.text, r.n, 0, NULL) : NULL;
	return r;
}

static struct reply call(CURL *c, const char *method, const char *path, const char *header,
			 const char *body)
{
	const char *const headers[] = {header, NULL};

	return call_with(c, method, path, headers, body, body ? strlen(body) : 0);
}

static void drop(struct reply *r)
{
	json_decref(r->json);
	free(r->text);
	*r = (struct reply){0};
}

/* "a.b.0.c"; borrowed. NULL: not there. */
static json_t *at(json_t *j, const char *path)
{
	char word[64];

	while (*path && j) {
		size_t n = strcspn(path, ".");

		snprintf(word, sizeof(word), "%.*s", (int)n, path);
		j = json_is_array(j) ? json_array_get(j, strtoul(word, NULL, 10))
				     : json_object_get(j, word);
		path += n + (path[n] == '.');
	}
	return *path ? NULL : j;
}

static const char *text_at(json_t *j, const char *path)
{
	const char *s = json_string_value(at(j, path));

	return s ? s : "";
}

static json_int_t number_at(json_t *j, const char *path)
{
	return json_integer_value(at(j, path));
}

static FIXTURE_UNUSED bool code_is(const struct reply *r, const char *code)
{
	return strcmp(text_at(r->json, "error.code"), code) == 0;
}

static struct reply admin(const char *method, const char *path, const char *body)
{
	struct reply r = call(ctl.curl, method, path, ctl.authorization, body);

	if (r.curl != CURLE_OK)
		fail_msg("%s %s: %s; see %s/log", method, path, curl_easy_strerror(r.curl),
			 ctl.dir);
	return r;
}

/* What must be granted; the answer's JSON is the caller's. */
static json_t *admin_ok(const char *method, const char *path, const char *body)
{
	struct reply r = admin(method, path, body);
	json_t *j;

	/* Tests that wait by asking may have used up what an admin may ask a second: it comes back
	 * by itself. */
	for (int tries = 0; r.status == 429 && tries < 500; tries++) {
		drop(&r);
		usleep(10000);
		r = admin(method, path, body);
	}
	j = r.json;
	if (r.status / 100 != 2)
		fail_msg("%s %s: %ld %s", method, path, r.status, r.text);
	r.json = NULL;
	drop(&r);
	return j;
}

static void admin_do(const char *method, const char *path, const char *body)
{
	json_decref(admin_ok(method, path, body));
}

static json_int_t status_number(const char *path)
{
	json_t *j = admin_ok("GET", "/v1/admin/status", NULL);
	json_int_t n;

	assert_non_null(at(j, path));
	n = number_at(j, path);
	json_decref(j);
	return n;
}

static void token_create(const char *body, struct token *ret)
{
	json_t *j = admin_ok("POST", "/v1/admin/tokens", body);
	struct diag d;

	if (token_decode(text_at(j, "token"), TOKEN_ENROLL, ret, &d))
		fail_msg("%s", d.message);
	assert_memory_equal(ret->pin.b, ctl.admin.pin.b, ZT_KEY_LEN);
	json_decref(j);
}

static struct reply policy_put(const char *text)
{
	return admin("PUT", "/v1/admin/policy?why=test", text);
}

static FIXTURE_UNUSED void policy_ok(const char *text)
{
	struct reply r = policy_put(text);

	if (r.status != 200)
		fail_msg("policy: %ld %s", r.status, r.text);
	drop(&r);
}

static void audit_is_whole(void)
{
	json_t *j = admin_ok("GET", "/v1/admin/audit/verify", NULL);

	if (!json_is_true(at(j, "ok")))
		fail_msg("audit log: %s", text_at(j, "problem"));
	assert_int_equal(number_at(j, "records"), status_number("store.records"));
	json_decref(j);
}

/* Records of a kind whose text holds the words. */
static FIXTURE_UNUSED unsigned audit_count(const char *kind, const char *words)
{
	json_t *j = admin_ok("GET", "/v1/admin/audit", NULL), *record;
	unsigned n = 0;
	size_t i;

	json_array_foreach(j, i, record)
	{
		char *text = json_dumps(record, JSON_COMPACT);

		n += strcmp(text_at(record, "kind"), kind) == 0 && strstr(text, words);
		free(text);
	}
	json_decref(j);
	return n;
}

/* --- each test's own --- */

static FIXTURE_UNUSED int setup(void **state)
{
	(void)state;
	end_controller(SIGKILL); /* of a test whose end failed */
	ctl.config[0] = ctl.clock[0] = '\0';
	snprintf(ctl.dir, sizeof(ctl.dir), "/tmp/zt-api-XXXXXX");
	if (!mkdtemp(ctl.dir))
		return -1;
	snprintf(ctl.url, sizeof(ctl.url), "https://127.0.0.1:%d", free_port());
	init_controller_dir();
	serve();
	ctl.curl = client_new();
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	(void)st, (void)kind, (void)f;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	if (ctl.pid > 0)
		audit_is_whole();
	curl_easy_cleanup(ctl.curl);
	ctl.curl = NULL;
	end_controller(SIGTERM);
	return nftw(ctl.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* build/tests/shell/this -> build/ztcontroller; a build with sanitizers has tests only and takes
 * the ordinary program. */
static void find_program(const char *self)
{
	snprintf(ctl.program, sizeof(ctl.program), "%s", self);
	for (int i = 0; i < 3 && strrchr(ctl.program, '/'); i++)
		*strrchr(ctl.program, '/') = '\0';
	snprintf(ctl.program + strlen(ctl.program), 16, "/ztcontroller");
	if (access(ctl.program, X_OK) < 0)
		snprintf(ctl.program, sizeof(ctl.program), "build/ztcontroller");
}
