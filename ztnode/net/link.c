/* The link to the controller: see link.h. One function, set_state, changes the state. */
#include "ztnode/net/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "zt/frame.h"
#include "zt/log.h"
#include "zt/txt.h"
#include "ztnode/net/client.h"

enum {
	RETRY_FIRST_MS = 250,
	RETRY_MAX_MS = 10000,
	RETRY_DISMISSED_MS = 15000, /* revoked or expired: an admin may change it */
	RETRY_REFUSED_MS = 10000,   /* one netmap after the other is refused: a wrong clock, say */
	ANSWER_MAX = 64 << 10,
	SESSION_MAX = 128,
};

enum link_state { LINK_WAITING, LINK_CHALLENGE, LINK_SIGNING, LINK_SESSION, LINK_OPENING, LINK_UP };
static const char *const state_names[] = {"waiting", "challenge", "signing",
					  "session", "opening",	  "up"};

struct link {
	struct link_config c;
	enum link_state state;
	int64_t since_ms;
	struct client *login;  /* challenge and session need one connection of their own */
	struct client *client; /* stream, reports, questions */
	struct client_request *stream;
	struct loop_timer *retry;
	struct loop_timer *
		send; /* reports start outside of libcurl's callbacks, which may not add requests */
	int64_t retry_ms;
	char session[SESSION_MAX + 8]; /* "Device ..." header value; "" none */
	struct buf in;		       /* bytes of an unfinished frame */
	bool want_full;		       /* ask for a full map next time */
	unsigned refusals;	       /* netmaps refused in a row */
	bool ending;		       /* the stream is to be given up at the end of its callback */
	struct client_request *reporting; /* the report under way */
	uint8_t *report;		  /* next to send */
	size_t report_len;
	char device_state[16];
	char problem[300], hint[300];
};

static void start_login(struct link *l);
static void send_report(struct link *l);

static void set_state(struct link *l, enum link_state s)
{
	if (l->state == s)
		return;
	log_debug("link %s -> %s", state_names[l->state], state_names[s]);
	l->state = s;
	l->since_ms = clock_now().wall_ms;
}

static void set_problem(struct link *l, const char *problem, const char *hint)
{
	if (strcmp(l->problem, problem) != 0 && problem[0])
		log_warn("controller: %s", problem);
	/* Never half a character: the status is JSON. */
	txt_safe(problem, l->problem, sizeof(l->problem));
	txt_safe(hint, l->hint, sizeof(l->hint));
}

/* --- giving up and coming again --- */

static void drop_connections(struct link *l)
{
	client_cancel(l->stream);
	l->stream = NULL;
	client_free(l->login);
	l->login = NULL;
	buf_reset(&l->in);
	l->ending = false;
}

static void wait_and_retry(struct link *l, int64_t at_least_ms)
{
	int64_t delay;

	drop_connections(l);
	set_state(l, LINK_WAITING);
	l->retry_ms = l->retry_ms ? l->retry_ms * 2 : RETRY_FIRST_MS;
	if (l->retry_ms > RETRY_MAX_MS)
		l->retry_ms = RETRY_MAX_MS;
	delay = l->retry_ms > at_least_ms ? l->retry_ms : at_least_ms;
	/* Half of it by chance: a controller that comes back does not meet everyone at once. */
	delay = delay / 2 + (int64_t)randombytes_uniform((uint32_t)(delay / 2 + 1));
	loop_timer_set(l->retry, clock_now().boot_ms + delay);
}

static void retry_due(void *arg)
{
	struct link *l = arg;

	if (l->ending) {
		wait_and_retry(l, l->refusals > 1 ? RETRY_REFUSED_MS : 0);
		return;
	}
	start_login(l);
}

/* An admin's decision: asking again soon does not change it. */
static bool is_dismissal(const char *state)
{
	static const char *const states[] = {"revoked", "expired", "disabled"};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(states[i], state) == 0)
			return true;
	return false;
}

/* An error answer of the controller, in its own words. */
static void note_refusal(struct link *l, const struct client_answer *a)
{
	json_t *j = json_loadb(a->body, a->len, 0, NULL), *e = json_object_get(j, "error");
	const char *code = json_string_value(json_object_get(e, "code"));
	const char *message = json_string_value(json_object_get(e, "message"));
	const char *hint = json_string_value(json_object_get(e, "hint"));
	char text[200];

	if (!message) {
		snprintf(text, sizeof(text),
			 "answered with status %ld and nothing that is understood", a->status);
		set_problem(l, text, "is another server behind this address?");
	} else {
		set_problem(l, message, hint ? hint : "");
		if (code && is_dismissal(code))
			txt_safe(code, l->device_state, sizeof(l->device_state));
	}
	json_decref(j);
}

static void note_failure(struct link *l, const struct client_answer *a)
{
	if (a->err == -ZT_ESIG)
		set_problem(l, "the server that answers has another key than the controller's",
			    "someone may be in the way, or the controller was made anew; compare "
			    "with an admin");
	else if (a->err == -ZT_ELIMIT)
		set_problem(l, "answered with more than it may",
			    "is another server behind this address?");
	else if (a->err)
		set_problem(l, a->problem, "check the network and that the controller runs");
	else
		note_refusal(l, a);
}

static bool is_dismissed(const struct link *l)
{
	return is_dismissal(l->device_state);
}

static void failed(struct link *l, const struct client_answer *a)
{
	note_failure(l, a);
	wait_and_retry(l, is_dismissed(l) ? RETRY_DISMISSED_MS : 0);
}

/* --- the stream --- */

static void on_advice(struct link *l, const uint8_t *p, size_t n)
{
	json_t *j = json_loadb((const char *)p, n, 0, NULL);
	const char *state =
		json_string_value(json_object_get(json_object_get(j, "device"), "state"));

	if (state)
		txt_safe(state, l->device_state, sizeof(l->device_state));
	if (json_is_object(j))
		l->c.advice(l->c.arg, j);
	json_decref(j);
}

static void on_bye(struct link *l, const uint8_t *p, size_t n)
{
	struct client_answer a = {.status = 403};
	json_t *bye = json_loadb((const char *)p, n, 0, NULL), *wrapped;
	char *text;

	wrapped = bye ? json_pack("{s:o}", "error", bye) : NULL;
	text = wrapped ? json_dumps(wrapped, JSON_COMPACT) : NULL;
	a.body = text ? text : "";
	a.len = strlen(a.body);
	note_refusal(l, &a);
	free(text);
	json_decref(wrapped);
}

static void take_frame(struct link *l, enum frame_kind kind, const uint8_t *p, size_t n)
{
	switch (kind) {
	case FRAME_KEEPALIVE:
		break;
	case FRAME_NETMAP:
		l->c.netmap(l->c.arg, p, n);
		break;
	case FRAME_ADVICE:
		on_advice(l, p, n);
		break;
	case FRAME_BYE:
		on_bye(l, p, n);
		break;
	}
}

static void stream_up(struct link *l)
{
	set_state(l, LINK_UP);
	set_problem(l, "", "");
	l->retry_ms = 0;
	l->want_full = false;
	log_info("connected to the controller");
	l->c.up(l->c.arg);
}

static bool on_bytes(void *arg, const void *p, size_t n)
{
	struct link *l = arg;
	const uint8_t *body;
	enum frame_kind kind;
	size_t body_len, len = 0, done = 0;
	int err = 0;

	if (l->state == LINK_OPENING)
		stream_up(l);
	buf_put(&l->in, p, n);
	while (!l->in.err &&
	       (err = frame_peek(l->in.data + done, l->in.len - done, &kind, &body, &body_len,
				 &len)) == 0 &&
	       len) {
		take_frame(l, kind, body, body_len);
		done += len;
	}
	if (l->in.err || err) {
		set_problem(l, "sends what is no frame",
			    "are node and controller of the same version?");
		return false;
	}
	memmove(l->in.data, l->in.data + done, l->in.len - done);
	l->in.len -= done;
	if (l->in.len == 0 &&
	    l->in.cap > ANSWER_MAX) { /* after a large map its memory is given back */
		buf_free(&l->in);
		buf_init_grow(&l->in, ZT_FRAME_MAX + FRAME_HEAD);
	}
	return true;
}

static void stream_done(void *arg, const struct client_answer *a)
{
	struct link *l = arg;
	bool was_up = l->state == LINK_UP;

	l->stream = NULL;
	if (a->status == 401)
		l->session[0] = 0;
	if (was_up && !l->problem[0])
		set_problem(l, "the connection ended", "it is opened again by itself");
	else if (!was_up)
		note_failure(l, a);
	wait_and_retry(l, is_dismissed(l) ? RETRY_DISMISSED_MS : 0);
}

static void open_stream(struct link *l)
{
	char path[64];
	struct client_call call = {.method = "GET",
				   .path = path,
				   .authorization = l->session,
				   .answer_max = ANSWER_MAX,
				   .done = stream_done,
				   .bytes = on_bytes,
				   .arg = l};

	snprintf(path, sizeof(path), "/v1/stream?serial=%llu",
		 l->want_full ? 0ULL : (unsigned long long)l->c.serial(l->c.arg));
	buf_reset(&l->in);
	set_state(l, LINK_OPENING);
	l->stream = client_start(l->client, &call);
	if (!l->stream)
		wait_and_retry(l, 0);
}

/* --- the session --- */

static void session_done(void *arg, const struct client_answer *a)
{
	struct link *l = arg;
	json_t *j;
	const char *session, *state;

	if (a->err || a->status != 200) {
		failed(l, a);
		return;
	}
	j = json_loadb(a->body, a->len, 0, NULL);
	session = json_string_value(json_object_get(j, "session"));
	state = json_string_value(json_object_get(j, "state"));
	if (!session || !state || strlen(session) > SESSION_MAX - 8) {
		json_decref(j);
		note_refusal(l, a);
		wait_and_retry(l, 0);
		return;
	}
	snprintf(l->session, sizeof(l->session), "Device %s", session);
	txt_safe(state, l->device_state, sizeof(l->device_state));
	json_decref(j);
	client_free(l->login);
	l->login = NULL;
	if (!l->stream) {
		open_stream(l);
		return;
	}
	set_state(l, LINK_UP); /* the session was renewed beside a stream that goes on */
	l->c.up(l->c.arg);     /* the report that found the old one over was lost */
}

void link_signed(struct link *l, const struct sig *sig)
{
	char text[2 * ZT_SIG_LEN], body[256];
	struct client_call call = {.method = "POST",
				   .path = "/v1/session",
				   .content_type = "application/json",
				   .body = body,
				   .answer_max = ANSWER_MAX,
				   .done = session_done,
				   .arg = l};

	if (l->state != LINK_SIGNING || !l->login)
		return; /* of a login that was given up */
	if (txt_base64url_encode(sig->b, sizeof(sig->b), text, sizeof(text)))
		return;
	snprintf(body, sizeof(body), "{\"device\":%u,\"signature\":\"%s\"}", l->c.hello->device,
		 text);
	call.body_len = strlen(body);
	set_state(l, LINK_SESSION);
	if (!client_start(l->login, &call))
		wait_and_retry(l, 0);
}

static void challenge_done(void *arg, const struct client_answer *a)
{
	struct link *l = arg;
	struct key challenge;
	const char *text;
	json_t *j;
	size_t n = 0;

	if (a->err || a->status != 200) {
		failed(l, a);
		return;
	}
	j = json_loadb(a->body, a->len, 0, NULL);
	text = json_string_value(json_object_get(j, "challenge"));
	if (!text ||
	    txt_base64url_decode(text, strlen(text), challenge.b, sizeof(challenge.b), &n) ||
	    n != sizeof(challenge.b)) {
		note_refusal(l, a);
		wait_and_retry(l, 0);
	} else {
		set_state(l, LINK_SIGNING);
		l->c.sign(l->c.arg, &challenge);
	}
	json_decref(j);
}

static void start_login(struct link *l)
{
	struct client_call call = {.method = "GET",
				   .path = "/v1/challenge",
				   .answer_max = ANSWER_MAX,
				   .done = challenge_done,
				   .arg = l};

	client_free(l->login);
	l->login = client_new(l->c.loop, l->c.hello->url, &l->c.hello->pin);
	set_state(l, LINK_CHALLENGE);
	if (!l->login || !client_start(l->login, &call))
		wait_and_retry(l, 0);
}

/* --- what the roles say --- */

static bool asks_for_full(int err)
{
	return err == -ZT_ECHAIN || err == -ZT_ESIG || err == -ZT_ESERIAL || err == -ZT_EFORM;
}

void link_result(struct link *l, int err)
{
	l->refusals = err ? l->refusals + 1 : 0;
	if (!err || !l->stream)
		return;
	l->want_full = asks_for_full(err);
	set_problem(l, zt_strerror(err), "ztnode status and the log say more");
	/* Not here: this may run inside the stream's own callback. */
	l->ending = true;
	loop_timer_set(l->retry, clock_now().boot_ms);
}

/* --- reports --- */

static void report_done(void *arg, const struct client_answer *a)
{
	struct link *l = arg;

	l->reporting = NULL;
	if (a->status == 401 && l->state == LINK_UP) {
		start_login(l); /* session over: a new one, the stream goes on */
		return;
	}
	if (a->err || a->status != 200)
		log_warn("the controller did not take a report: %s",
			 a->err ? a->problem : "refused");
	if (l->report)
		send_report(l);
}

static void send_report(struct link *l)
{
	struct client_call call = {.method = "POST",
				   .path = "/v1/report",
				   .authorization = l->session,
				   .content_type = "application/octet-stream",
				   .body = l->report,
				   .body_len = l->report_len,
				   .answer_max = ANSWER_MAX,
				   .done = report_done,
				   .arg = l};

	if (l->reporting || !l->session[0] || !l->report || l->state != LINK_UP)
		return;
	l->reporting = client_start(l->client, &call);
	if (!l->reporting)
		return; /* tried again with the next one */
	free(l->report);
	l->report = NULL;
}

static void send_due(void *arg)
{
	send_report(arg);
}

void link_report(struct link *l, const void *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		return;
	memcpy(copy, p, n);
	free(l->report);
	l->report = copy;
	l->report_len = n;
	loop_timer_set(l->send, 0); /* still in this turn of the loop */
}

/* --- another network --- */

void link_addresses_changed(struct link *l)
{
	if (client_is_stranded(l->reporting)) { /* a full one is sent when the stream is up again */
		client_cancel(l->reporting);
		l->reporting = NULL;
	}
	if (!client_is_stranded(l->stream))
		return;
	client_forget_connections(l->client);
	set_problem(l, "the network changed", "it is opened again by itself");
	wait_and_retry(l, 0);
}

/* --- questions of the command line --- */

struct question {
	link_then then;
	void *arg;
};

static void question_done(void *arg, const struct client_answer *a)
{
	struct question *q = arg;
	json_t *j = a->err ? NULL : json_loadb(a->body, a->len, 0, NULL);

	q->then(q->arg, a->err ? 0 : a->status, j, a->problem);
	json_decref(j);
	free(q);
}

void link_ask(struct link *l, const char *method, const char *path, link_then then, void *arg)
{
	struct question *q = calloc(1, sizeof(*q));
	struct client_call call = {.method = method,
				   .path = path,
				   .authorization = l->session,
				   .answer_max = ANSWER_MAX,
				   .done = question_done,
				   .arg = q};

	if (q)
		*q = (struct question){then, arg};
	if (!q || !l->session[0] || !client_start(l->client, &call)) {
		free(q);
		then(arg, 0, NULL, l->problem[0] ? l->problem : "not connected to the controller");
	}
}

void link_view(const struct link *l, struct link_view *ret)
{
	*ret = (struct link_view){l->state == LINK_UP || (l->stream && l->state != LINK_OPENING),
				  l->since_ms, l->device_state, l->problem, l->hint};
}

struct link *link_new(const struct link_config *c)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	*l = (struct link){.c = *c,
			   .state = LINK_WAITING,
			   .since_ms = clock_now().wall_ms,
			   .device_state = "active"};
	buf_init_grow(&l->in, ZT_FRAME_MAX + FRAME_HEAD);
	l->retry = loop_timer_new(c->loop, retry_due, l);
	l->send = loop_timer_new(c->loop, send_due, l);
	l->client = client_new(c->loop, c->hello->url, &c->hello->pin);
	if (!l->retry || !l->send || !l->client) {
		link_free(l);
		return NULL;
	}
	start_login(l);
	return l;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	drop_connections(l);
	client_free(l->client);
	loop_timer_free(l->retry);
	loop_timer_free(l->send);
	buf_free(&l->in);
	free(l->report);
	sodium_memzero(l->session, sizeof(l->session));
	free(l);
}
