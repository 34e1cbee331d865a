/* One request to the controller that the credential names, over TLS 1.3 to the key that it pins. */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/ctl/ctl.h"
#include "zt/buf.h"
#include "zt/token.h"
#include "zt/txt.h"

enum {
	ANSWER_MAX = 64 << 20,
	CONNECT_TIMEOUT_S = 10,
	TIMEOUT_S = 300,
	STALL_S = 20, /* nothing comes and nothing goes */
	CREDENTIAL_FILE_MAX = 4096,
	PATH_MAX_BYTES = 4096
};

#define ADMIN_PREFIX "ztadm1_"

/* --- the credential --- */

static void warn_if_readable(struct ctl *c, int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077))
		fprintf(c->err,
			"ztctl: warning: others can read the credential %s\nhint: chmod 600 %s\n",
			ctl_safe(c, path), ctl_safe(c, path));
}

static int read_credential(struct ctl *c, const char *path, char out[static CREDENTIAL_FILE_MAX],
			   struct diag *d)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 1;

	if (fd < 0) {
		diag_set(d, -errno, "cannot read the credential %s: %s", path, zt_strerror(errno));
		diag_hint(d, "give it with --admin FILE or in $ZTCTL_ADMIN; ztcontroller init made "
			     "it as admin.key");
		return -ENOENT;
	}
	warn_if_readable(c, fd, path);
	while (len < CREDENTIAL_FILE_MAX - 1 &&
	       (n = read(fd, out + len, CREDENTIAL_FILE_MAX - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	if (n < 0)
		return diag_set(d, -EIO, "cannot read the credential %s", path);
	out[len] = '\0';
	return 0;
}

static int find_credential(struct ctl *c, char out[static CREDENTIAL_FILE_MAX], struct diag *d)
{
	const char *env = getenv("ZTCTL_ADMIN"), *home = getenv("HOME");
	char path[PATH_MAX_BYTES];

	if (c->admin_file)
		return read_credential(c, c->admin_file, out, d);
	if (env && txt_starts(env, ADMIN_PREFIX))
		return txt_copy(out, CREDENTIAL_FILE_MAX, env) < 0
			       ? diag_set(d, -ZT_EFORM, "$ZTCTL_ADMIN is too long")
			       : 0;
	if (env && *env)
		return read_credential(c, env, out, d);
	snprintf(path, sizeof(path), "%s/.config/ztctl/admin", home ? home : "");
	return read_credential(c, path, out, d);
}

static int load_credential(struct ctl *c, struct token *ret, struct diag *d)
{
	char text[CREDENTIAL_FILE_MAX];
	int err = find_credential(c, text, d);

	if (err == 0)
		err = token_decode(text, TOKEN_ADMIN, ret, d);
	explicit_bzero(text, sizeof(text));
	return err;
}

/* --- paths --- */

const char *ctl_path(struct ctl *c, const char *form, ...)
{
	struct buf b;
	char *path;
	va_list ap;

	buf_init_grow(&b, PATH_MAX_BYTES);
	va_start(ap, form);
	for (; *form; form++) {
		char *part;

		if (*form != '%') {
			buf_put(&b, form, 1);
			continue;
		}
		part = curl_easy_escape(NULL, va_arg(ap, const char *), 0);
		buf_put_text(&b, part ? part : "");
		curl_free(part);
	}
	va_end(ap);
	path = b.err ? NULL : arena_text(&c->arena, buf_text(&b), b.len);
	buf_free(&b);
	return path ? path : "/";
}

/* --- the transfer --- */

struct transfer {
	struct ctl *c;
	CURL *curl;
	struct curl_slist *headers;
	struct buf answer;
	struct ctl_answer *ret;
	char *body;
	bool shown; /* progress */
};

static size_t take_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	buf_put(&t->answer, p, size * n);
	return t->answer.err ? 0 : size * n;
}

static size_t take_header(char *p, size_t size, size_t n, void *arg)
{
	static const char name[] = "x-policy-version:";
	struct transfer *t = arg;
	size_t len = size * n, skip = sizeof(name) - 1;

	if (len > skip && strncasecmp(p, name, skip) == 0) {
		while (skip < len && p[skip] == ' ')
			skip++;
		snprintf(t->ret->version, sizeof(t->ret->version), "%.*s",
			 (int)strcspn(p + skip, "\r\n"), p + skip);
	}
	return len;
}

/* After a second, so that what is quick shows nothing. */
static int show_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
			 curl_off_t up)
{
	struct transfer *t = arg;
	double s = 0;

	(void)down_all, (void)up_all;
	curl_easy_getinfo(t->curl, CURLINFO_TOTAL_TIME, &s);
	if (s >= 1) {
		fprintf(t->c->err, "\r%4.0f s, %lld KiB sent, %lld KiB received ", s,
			(long long)up / 1024, (long long)down / 1024);
		t->shown = true;
	}
	return 0;
}

static void set_security(CURL *curl, const struct token *t)
{
	char pin[16 + KEY_TEXT_MAX], text[KEY_TEXT_MAX];

	key_print(&t->pin, text);
	snprintf(pin, sizeof(pin), "sha256//%s", text);
	/* The key itself is known, so neither names nor issuers nor dates add anything. */
	curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, pin);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
}

static void set_limits(struct transfer *t)
{
	curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	curl_easy_setopt(t->curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
	curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
	curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(t->curl, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(t->curl, CURLOPT_XFERINFOFUNCTION, show_progress);
	curl_easy_setopt(t->curl, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(t->curl, CURLOPT_NOPROGRESS, t->c->progress ? 0L : 1L);
	curl_easy_setopt(t->curl, CURLOPT_USERAGENT, "ztctl/" ZT_VERSION);
}

static int add_header(struct transfer *t, const char *line)
{
	struct curl_slist *more = curl_slist_append(t->headers, line);

	if (!more)
		return -ENOMEM;
	t->headers = more;
	return 0;
}

static int add_authorization(struct transfer *t, const struct token *token)
{
	char secret[64], line[160];
	int err = txt_base64url_encode(token->secret.b, sizeof(token->secret.b), secret,
				       sizeof(secret));

	snprintf(line, sizeof(line), "Authorization: Admin %llu.%s", (unsigned long long)token->id,
		 secret);
	if (err == 0)
		err = add_header(t, line);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(line, sizeof(line));
	return err;
}

static int set_body(struct transfer *t, struct ctl_request *q)
{
	const void *p = q->text ? q->text : "";
	size_t n = q->text ? q->n_text : 0;

	curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, q->method);
	if (txt_equal(q->method, "GET"))
		return 0;
	if (q->json) {
		t->body = json_dumps(q->json, JSON_COMPACT);
		if (!t->body)
			return -ENOMEM;
		p = t->body;
		n = strlen(t->body);
	}
	curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
	curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, p);
	return add_header(t,
			  q->json ? "Content-Type: application/json" : "Content-Type: text/plain");
}

static int transfer_new(struct ctl *c, struct ctl_request *q, const struct token *token,
			struct ctl_answer *ret, struct transfer *t)
{
	char url[ZT_URL_MAX + PATH_MAX_BYTES + 1];
	int err;

	*t = (struct transfer){.c = c, .ret = ret};
	buf_init_grow(&t->answer, ANSWER_MAX);
	t->curl = curl_easy_init();
	if (!t->curl)
		return -ENOMEM;
	snprintf(url, sizeof(url), "%s%s", token->url, q->path);
	curl_easy_setopt(t->curl, CURLOPT_URL, url);
	set_security(t->curl, token);
	set_limits(t);
	err = add_authorization(t, token);
	if (err == 0)
		err = set_body(t, q);
	curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers);
	return err;
}

static void transfer_done(struct transfer *t)
{
	for (struct curl_slist *h = t->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data)); /* one of them is the secret */
	curl_slist_free_all(t->headers);
	if (t->curl)
		curl_easy_cleanup(t->curl);
	buf_free(&t->answer);
	free(t->body);
}

/* --- what came of it --- */

static int transfer_failed(struct transfer *t, CURLcode rc, const char *url)
{
	if (t->answer.err)
		return ctl_failf(t->c, ZT_EXIT_FAILED, "ask for less",
				 "the answer is larger than 64 MiB");
	if (rc == CURLE_SSL_PINNEDPUBKEYNOTMATCH)
		return ctl_failf(t->c, ZT_EXIT_FAILED,
				 "somebody may be in between, or the controller has a new key: "
				 "then take a new credential",
				 "%s does not have the key that this credential names", url);
	return ctl_failf(t->c, ZT_EXIT_UNREACHABLE,
			 "is the controller running, and is this the right network?",
			 "cannot reach %s: %s", url, curl_easy_strerror(rc));
}

static int answer_refused(struct ctl *c, const struct ctl_answer *a)
{
	const json_t *e = json_object_get(a->json, "error");
	const char *message = ctl_member(c, e, "message");

	if (json_object_get(a->json, "problems"))
		return ZT_EXIT_FAILED;
	if (!*message)
		return ctl_failf(c, ZT_EXIT_FAILED, "is this address a ztcontroller?",
				 "the controller answered %d", a->status);
	return ctl_failf(c, ZT_EXIT_FAILED, ctl_member(c, e, "hint"), "%s", message);
}

static bool is_expected(const struct ctl_answer *a, enum ctl_expect expect)
{
	const json_t *item;
	size_t i;

	switch (expect) {
	case CTL_PLAIN:
		return a->text != NULL;
	case CTL_OBJECT:
		return json_is_object(a->json);
	case CTL_OBJECTS:
		json_array_foreach(a->json, i, item) if (!json_is_object(item)) return false;
		return json_is_array(a->json);
	}
	return false;
}

static int transfer_run(struct transfer *t, const char *url, enum ctl_expect expect)
{
	CURLcode rc = curl_easy_perform(t->curl);
	long status = 0;

	if (t->shown)
		fprintf(t->c->err, "\r\033[K");
	if (rc != CURLE_OK)
		return transfer_failed(t, rc, url);
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	t->ret->status = (int)status;
	t->ret->n_text = t->answer.len;
	t->ret->text = strdup(buf_text(&t->answer));
	t->ret->json = json_loadb(t->ret->text ? t->ret->text : "", t->answer.len,
				  JSON_REJECT_DUPLICATES, NULL);
	if (status < 200 || status >= 300)
		return answer_refused(t->c, t->ret);
	if (is_expected(t->ret, expect))
		return ZT_EXIT_OK;
	return ctl_failf(t->c, ZT_EXIT_FAILED, "is another server behind this address?",
			 "%s does not answer as a controller", url);
}

int ctl_ask(struct ctl *c, struct ctl_request *q, struct ctl_answer *ret)
{
	struct transfer t = {0};
	struct token token;
	struct diag d = {0};
	int err;

	memset(ret, 0, sizeof(*ret));
	err = load_credential(c, &token, &d);
	if (err < 0) {
		json_decref(q->json);
		return ctl_fail(c, ZT_EXIT_FAILED, &d);
	}
	err = transfer_new(c, q, &token, ret, &t);
	secret_wipe(&token.secret);
	err = err < 0 ? ctl_failf(c, ZT_EXIT_FAILED, "", "out of memory")
		      : transfer_run(&t, token.url, q->expect);
	transfer_done(&t);
	json_decref(q->json);
	return err;
}

void ctl_answer_done(struct ctl_answer *a)
{
	json_decref(a->json);
	free(a->text);
	memset(a, 0, sizeof(*a));
}
