/* The talking role: an ordinary user. Joins four things that do not know each other: the channel to
 * the privileged role, the link to the controller, posture, and the command line's socket. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <systemd/sd-daemon.h>

#include "zt/buf.h"
#include "zt/cur.h"
#include "zt/ipc.h"
#include "zt/log.h"
#include "zt/memory.h"
#include "zt/sandbox.h"
#include "ztnode/net/client.h"
#include "ztnode/net/curl.h"
#include "ztnode/net/control.h"
#include "ztnode/net/endpoints.h"
#include "ztnode/net/link.h"
#include "ztnode/net/view.h"
#include "ztnode/posture/posture.h"
#include "ztnode/roles.h"

enum {
	TRIM_MS = 3000,
	CONTROL_FD = ROLE_FD + 1,
	PENDING_MAX = 32,
	REPORT_ARENA_MAX = 1 << 20,
	PATH_MAX_BYTES = 1024,
	GIVEN_MAX = 4
};

struct waiters { /* calls that wait for the same kind of answer, in order */
	struct {
		struct control_call *call;
		json_t *why; /* of those for a status: the question that it is to answer; NULL: the
				status itself */
	} items[PENDING_MAX];
	size_t n;
};

struct net {
	const struct node_config *config;
	struct loop *loop;
	struct ipc *ipc;
	struct hello hello;
	bool greeted;
	uint64_t serial; /* of the newest map in force, as the privileged role last said */
	struct link *link;
	struct posture *posture;
	struct endpoints_watch *endpoints;
	struct control *control;
	struct loop_timer *report_timer; /* steady full report */
	struct loop_timer *trim_timer;	 /* once connected, what start-up touched is given back */
	int64_t report_interval_ms;
	json_t *advice;
	struct fact given[GIVEN_MAX]; /* by the privileged role, which tells every change: as fresh
					 as the channel is alive */
	size_t n_given;
	struct waiters status, plan, done;
};

static void send_message(struct net *n, enum role_message kind, const void *p, size_t len)
{
	if (ipc_send(n->ipc, kind, p, len)) {
		log_error("the privileged role does not read");
		loop_stop(n->loop, ZT_EXIT_FAILED);
	}
}

/* --- calls that wait for the privileged role --- */

static void wait_for(struct net *n, struct waiters *w, struct control_call *call,
		     enum role_message kind, const void *p, size_t len)
{
	if (w->n == PENDING_MAX) {
		control_refuse(call, ZT_EXIT_FAILED, "too many commands at once", "try again");
		return;
	}
	w->items[w->n].call = call;
	w->items[w->n++].why = NULL;
	send_message(n, kind, p, len);
}

static struct control_call *next_waiter(struct waiters *w)
{
	struct control_call *call = w->n ? w->items[0].call : NULL;

	if (call)
		memmove(w->items, w->items + 1, --w->n * sizeof(w->items[0]));
	return call;
}

/* --- reports --- */

static void send_report(struct net *n)
{
	struct report r = {.full = true, .wg_port = n->hello.wg_port, .serial = n->serial};
	struct arena a;
	struct buf b;
	int err;

	if (!n->link)
		return;
	arena_init(&a, REPORT_ARENA_MAX);
	buf_init_grow(&b, ZT_REPORT_MAX);
	r.n_endpoints =
		endpoints_list(n->config->interface, r.wg_port, r.endpoints, ZT_ENDPOINTS_PEER_MAX);
	err = posture_snapshot(n->posture, &a, &r.facts, &r.n_facts);
	if (!err)
		err = report_encode(&r, &b);
	if (err)
		log_error("no report: %s", zt_strerror(err));
	else
		link_report(n->link, b.data, b.len);
	buf_free(&b);
	arena_done(&a);
	loop_timer_set(n->report_timer, clock_now().boot_ms + n->report_interval_ms);
}

static void ask_facts(struct net *n, json_t *facts)
{
	/* Asked for by every controller: they name the device in listings. */
	const char *names[ZT_FACTS_MAX] = {"os.id", "node.version"};
	size_t i, count = 2;
	json_t *j;

	json_array_foreach(facts, i, j) if (json_is_string(j) && count < ZT_FACTS_MAX)
		names[count++] = json_string_value(j);
	if (posture_ask(n->posture, names, count))
		log_error(
			"the controller asks for facts in a way this version does not understand");
}

static void set_given(struct net *n)
{
	for (size_t i = 0; i < n->n_given; i++) {
		const struct fact *f = &n->given[i];

		if (posture_set(n->posture, f->name, f->state, f->value))
			log_error("cannot keep the fact %s", f->name);
	}
}

/* The steady report: every fact is read again, so that its age is of now. */
static void report_due(void *arg)
{
	struct net *n = arg;

	ask_facts(n, json_object_get(n->advice, "facts"));
	set_given(n);
	send_report(n);
}

static void trim_due(void *arg)
{
	(void)arg;
	memory_trim();
}

static void posture_changed(void *arg)
{
	send_report(arg);
}

static void addresses_changed(void *arg)
{
	struct net *n = arg;

	if (n->link)
		link_addresses_changed(n->link);
	send_report(n);
}

/* --- link --- */

static void on_sign(void *arg, const struct key *challenge)
{
	send_message(arg, NK_SIGN_SESSION, challenge->b, sizeof(challenge->b));
}

static void on_netmap(void *arg, const void *p, size_t len)
{
	send_message(arg, NK_NETMAP, p, len);
}

static uint64_t on_serial(void *arg)
{
	const struct net *n = arg;

	return n->serial;
}

static void on_up(void *arg)
{
	struct net *n = arg;

	loop_timer_set(n->trim_timer, clock_now().boot_ms + TRIM_MS);
	if (n->advice)
		send_report(n); /* else: once it is known what is asked */
}

static void on_advice(void *arg, json_t *advice)
{
	struct net *n = arg;
	bool first = !n->advice;
	json_int_t interval = json_integer_value(json_object_get(advice, "interval_s"));
	bool asks_anew = first || !json_equal(json_object_get(advice, "facts"),
					      json_object_get(n->advice, "facts"));

	json_decref(n->advice);
	n->advice = json_incref(advice);
	if (interval >= 1 && interval <= 86400)
		n->report_interval_ms = interval * 1000;
	if (asks_anew || loop_timer_is_set(n->report_timer)) /* a new interval counts from now */
		loop_timer_set(n->report_timer, clock_now().boot_ms + n->report_interval_ms);
	if (asks_anew) {
		ask_facts(n, json_object_get(advice, "facts"));
		send_report(n);
	}
}

/* --- messages of the privileged role --- */

static void start_talking(struct net *n)
{
	struct link_config c = {.loop = n->loop,
				.hello = &n->hello,
				.sign = on_sign,
				.netmap = on_netmap,
				.advice = on_advice,
				.serial = on_serial,
				.up = on_up,
				.arg = n};

	n->link = link_new(&c);
	if (!n->link) {
		log_error("cannot start: %s", zt_strerror(-ENOMEM));
		loop_stop(n->loop, ZT_EXIT_FAILED);
		return;
	}
	sd_notify(0, "READY=1");
	log_info("device %u (%s) is running", n->hello.device, n->hello.name);
}

static void on_hello(void *arg, const void *p, size_t len)
{
	struct net *n = arg;

	if (n->greeted || hello_decode(p, len, &n->hello)) {
		loop_stop(n->loop, ZT_EXIT_FAILED);
		return;
	}
	n->greeted = true;
	n->serial = n->hello.serial;
	start_talking(n);
}

static void on_signed(void *arg, const void *p, size_t len)
{
	struct net *n = arg;
	struct sig sig;

	memcpy(sig.b, p, len);
	if (n->link)
		link_signed(n->link, &sig);
}

struct done {
	int err;
	uint64_t serial;
	char text[ROLE_TEXT_MAX + 1];
	char *hint; /* second line of text */
};

static void decode_done(const void *p, size_t len, struct done *d)
{
	struct cur c;
	size_t n;

	cur_init(&c, p, len);
	d->err = (int)cur_u32(&c);
	d->serial = cur_u64(&c);
	n = cur_left(&c);
	cur_copy(&c, d->text, n);
	d->text[n] = 0;
	d->hint = strchr(d->text, '\n');
	if (d->hint)
		*d->hint++ = 0;
}

static void on_result(void *arg, const void *p, size_t len)
{
	struct net *n = arg;
	struct done d;

	decode_done(p, len, &d);
	n->serial = d.serial;
	link_result(n->link, d.err);
}

static void on_done(void *arg, const void *p, size_t len)
{
	struct net *n = arg;
	struct control_call *call = next_waiter(&n->done);
	struct done d;

	decode_done(p, len, &d);
	if (!call)
		return;
	if (d.err)
		control_refuse(call, ZT_EXIT_FAILED, d.text, d.hint ? d.hint : "");
	else
		control_answer(call, json_object());
}

static void on_fact(void *arg, const void *p, size_t len)
{
	struct net *n = arg;
	struct fact f = {0};
	struct cur c;
	size_t i = 0;

	cur_init(&c, p, len);
	f.state = cur_u8(&c) ? FACT_KNOWN : FACT_UNKNOWN;
	cur_fixed_text(&c, f.name, ZT_FACT_NAME_MAX);
	cur_fixed_text(&c, f.value, ZT_FACT_VALUE_MAX);
	if (cur_done(&c))
		return;
	while (i < n->n_given && strcmp(n->given[i].name, f.name) != 0)
		i++;
	if (i == GIVEN_MAX) {
		log_error("cannot keep the fact %s", f.name);
		return;
	}
	n->given[i] = f;
	n->n_given += i == n->n_given;
	if (posture_set(n->posture, f.name, f.state, f.value))
		log_error("cannot keep the fact %s", f.name);
}

static void on_port(void *arg, const void *p, size_t len)
{
	struct net *n = arg;
	struct cur c;

	cur_init(&c, p, len);
	n->hello.wg_port = cur_u16(&c);
	if (n->link)
		send_report(n);
}

static void on_status(void *arg, const void *p, size_t len)
{
	struct net *n = arg;
	json_t *why = n->status.n ? n->status.items[0].why : NULL, *j = NULL;
	struct control_call *call = next_waiter(&n->status);
	struct role_status s;
	struct link_view view;
	struct arena a;

	arena_init(&a, ROLE_STATUS_MAX * 2);
	if (call && role_status_decode(p, len, &a, &s) == 0) {
		link_view(n->link, &view);
		j = why ? view_why(&s, &view, json_string_value(json_object_get(why, "to")),
				   json_string_value(json_object_get(why, "service")), clock_now())
			: view_status(&n->hello, &s, &view, n->advice, clock_now());
	}
	json_decref(why);
	if (call && j)
		control_answer(call, j);
	else if (call)
		control_refuse(call, ZT_EXIT_FAILED, "the privileged role gave no status",
			       "see the daemon's log");
	arena_done(&a);
}

static void on_plan(void *arg, const void *p, size_t len)
{
	struct net *n = arg;
	struct control_call *call = next_waiter(&n->plan);
	json_t *ops = json_array();
	const char *text = p, *end = text + len;

	while (text < end) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));
		size_t line = (size_t)((line_end ? line_end : end) - text);

		json_array_append_new(ops, json_stringn(text, line));
		text += line + 1;
	}
	if (call)
		control_answer(call, json_pack("{s:o}", "ops", ops));
	else
		json_decref(ops);
}

static const struct ipc_kind kinds[] = {
	{KN_HELLO, HELLO_SIZE, HELLO_SIZE, on_hello, "hello"},
	{KN_SIGNED, ZT_SIG_LEN, ZT_SIG_LEN, on_signed, "signed"},
	{KN_RESULT, 12, 12 + ROLE_TEXT_MAX, on_result, "result"},
	{KN_STATUS, 0, ROLE_STATUS_MAX, on_status, "status"},
	{KN_PLAN, 0, ROLE_PLAN_MAX, on_plan, "plan"},
	{KN_DONE, 12, 12 + ROLE_TEXT_MAX, on_done, "done"},
	{KN_FACT, 1 + ZT_FACT_NAME_MAX + ZT_FACT_VALUE_MAX,
	 1 + ZT_FACT_NAME_MAX + ZT_FACT_VALUE_MAX, on_fact, "fact"},
	{KN_PORT, 2, 2, on_port, "port"},
	{0, 0, 0, NULL, NULL},
};

/* --- the command line's verbs --- */

static void verb_status(void *arg, struct control_call *call, json_t *request)
{
	struct net *n = arg;

	(void)request;
	if (!n->link)
		control_refuse(call, ZT_EXIT_UNREACHABLE, "the daemon is starting",
			       "try again in a moment");
	else
		wait_for(n, &n->status, call, NK_STATUS, NULL, 0);
}

static void verb_plan(void *arg, struct control_call *call, json_t *request)
{
	struct net *n = arg;

	(void)request;
	wait_for(n, &n->plan, call, NK_PLAN, NULL, 0);
}

static void enforce(struct net *n, struct control_call *call, uint8_t up)
{
	wait_for(n, &n->done, call, NK_ENFORCE, &up, 1);
}

static void verb_up(void *arg, struct control_call *call, json_t *request)
{
	(void)request;
	enforce(arg, call, 1);
}

static void verb_down(void *arg, struct control_call *call, json_t *request)
{
	(void)request;
	enforce(arg, call, 0);
}

static void verb_posture(void *arg, struct control_call *call, json_t *request)
{
	struct net *n = arg;
	struct fact *facts;
	struct arena a;
	size_t count;

	(void)request;
	arena_init(&a, REPORT_ARENA_MAX);
	if (posture_snapshot(n->posture, &a, &facts, &count))
		control_refuse(call, ZT_EXIT_FAILED, "cannot read the facts", "");
	else
		control_answer(call, view_posture(facts, count, n->advice));
	arena_done(&a);
}

static void why_answered(void *arg, long status, json_t *answer, const char *problem)
{
	struct control_call *call = arg;
	json_t *e = json_object_get(answer, "error");
	const char *message = json_string_value(json_object_get(e, "message"));
	const char *hint = json_string_value(json_object_get(e, "hint"));

	if (status == 200 && answer)
		control_answer(call, view_why_asked(answer));
	else if (message)
		control_refuse(call, ZT_EXIT_FAILED, message, hint ? hint : "");
	else
		control_refuse(
			call, ZT_EXIT_UNREACHABLE,
			problem[0] ? problem : "the controller gave no answer",
			"only the controller knows why; ztnode status shows what is granted now");
}

/* Without the controller: from the map in force, which knows what is granted but not why something
 * is not. */
static void why_alone(struct net *n, struct control_call *call, json_t *request)
{
	size_t before = n->status.n;

	wait_for(n, &n->status, call, NK_STATUS, NULL, 0);
	if (n->status.n > before)
		n->status.items[before].why = json_incref(request);
}

static void verb_why(void *arg, struct control_call *call, json_t *request)
{
	struct net *n = arg;
	struct link_view view;
	const char *to = json_string_value(json_object_get(request, "to"));
	const char *service = json_string_value(json_object_get(request, "service"));
	char path[PATH_MAX_BYTES];
	struct buf b;

	if (!n->link || !to || !service) {
		control_refuse(call, ZT_EXIT_USAGE, "a destination and a service are needed",
			       "ztnode why DEST PROTO/PORT");
		return;
	}
	link_view(n->link, &view);
	if (!view.connected) {
		why_alone(n, call, request);
		return;
	}
	buf_init(&b, path, sizeof(path) - 1);
	buf_put_text(&b, "/v1/why?to=");
	client_encode(&b, to);
	buf_put_text(&b, "&service=");
	client_encode(&b, service);
	path[b.len] = 0;
	if (b.err)
		control_refuse(call, ZT_EXIT_USAGE, "the destination is too long", "");
	else
		link_ask(n->link, "GET", path, why_answered, call);
}

struct leaving {
	struct net *net;
	struct control_call *call;
};

/* The device forgets its enrolment even when the controller cannot be told; it is said then. */
static void leave_answered(void *arg, long status, json_t *answer, const char *problem)
{
	struct leaving *l = arg;

	(void)answer;
	if (status != 200)
		log_warn("the controller was not told that this device leaves (%s); an admin "
			 "should revoke it",
			 problem[0] ? problem : "refused");
	wait_for(l->net, &l->net->done, l->call, NK_LEAVE, NULL, 0);
	free(l);
}

static void verb_leave(void *arg, struct control_call *call, json_t *request)
{
	struct net *n = arg;
	struct leaving *l = malloc(sizeof(*l));

	(void)request;
	if (!l || !n->link) {
		free(l);
		control_refuse(call, ZT_EXIT_FAILED, "the daemon is starting",
			       "try again in a moment");
		return;
	}
	*l = (struct leaving){n, call};
	link_ask(n->link, "POST", "/v1/leave", leave_answered, l);
}

static const struct control_verb verbs[] = {
	{"status", false, verb_status},
	{"plan", true, verb_plan},
	{"up", true, verb_up},
	{"down", true, verb_down},
	{"posture", false, verb_posture},
	{"why", false, verb_why},
	{"leave", true, verb_leave},
	{NULL, false, NULL},
};

/* --- start --- */

static void other_gone(void *arg)
{
	struct net *n = arg;

	loop_stop(n->loop, ZT_EXIT_OK); /* if it failed, it says so itself */
}

static void on_signal(void *arg, int signo)
{
	struct net *n = arg;

	(void)signo;
	loop_stop(n->loop, ZT_EXIT_OK);
}

static int give_up_rights(const struct node_config *c, struct diag *d)
{
	int err = sandbox_become_user(c->user);

	if (!err)
		err = sandbox_filter_calls(false); /* posture scripts are executed */
	if (err) {
		diag_set(d, err, "cannot become the user \"%s\": %s", c->user, zt_strerror(err));
		diag_hint(d, "make it (useradd --system ztnode), or name another with --user");
	}
	return err;
}

static int start(struct net *n, int fd, struct diag *d)
{
	int err = give_up_rights(n->config, d);

	if (err)
		return err;
	n->loop = loop_new();
	if (!n->loop || loop_signal(n->loop, SIGTERM, on_signal, n) ||
	    loop_signal(n->loop, SIGINT, on_signal, n))
		return diag_set(d, -ENOMEM, "cannot start: %s", zt_strerror(-ENOMEM));
	n->ipc = ipc_new(n->loop, fd, kinds, other_gone, n);
	n->control = control_new(n->loop, CONTROL_FD, verbs, n);
	n->posture = posture_new(n->loop, "/", n->config->posture_dir, posture_changed, n);
	n->endpoints = endpoints_watch_new(n->loop, addresses_changed, n);
	n->report_timer = loop_timer_new(n->loop, report_due, n);
	n->trim_timer = loop_timer_new(n->loop, trim_due, n);
	if (!n->ipc || !n->control || !n->posture || !n->endpoints || !n->report_timer ||
	    !n->trim_timer)
		return diag_set(d, -ENOMEM, "cannot start: %s",
				zt_strerror(errno ? -errno : -ENOMEM));
	return 0;
}

int net_role_run(const struct node_config *c, int fd)
{
	struct net n = {.config = c, .report_interval_ms = ZT_REPORT_INTERVAL_S * 1000};
	struct diag d = {0};
	int status = ZT_EXIT_FAILED;

	if (!curl_load(&d) || start(&n, fd, &d))
		log_diag(&d);
	else
		status = loop_run(n.loop);
	link_free(n.link);
	control_free(n.control);
	posture_free(n.posture);
	endpoints_watch_free(n.endpoints);
	loop_timer_free(n.report_timer);
	loop_timer_free(n.trim_timer);
	ipc_free(n.ipc);
	loop_free(n.loop);
	json_decref(n.advice);
	return status;
}
