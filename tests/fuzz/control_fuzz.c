/* The command line and its daemon, each with what the other might send. The first byte says which:
 *
 *   'd'      a line at the daemon's socket; the second byte says in pieces of what size it comes,
 *            and (0x80) that the client does not wait for the answer
 *   's' 'w' 'p' 'o' 'g'   an answer of the daemon: status, why, posture, plan, and status for ping
 *   'a'      an advice of the controller, on its way through the daemon to all three printers
 *
 * The daemon answers every whole line, in the form that the client reads. What is printed for
 * people is text without control characters, and colours change nothing else in it. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fuzz/node_base.h"
#include "zt/txt.h"
#include "ztnode/cli/ask.h"
#include "ztnode/cli/peer.h"
#include "ztnode/cli/plan.h"
#include "ztnode/cli/posture.h"
#include "ztnode/cli/status.h"
#include "ztnode/cli/table.h"
#include "ztnode/cli/why.h"
#include "ztnode/net/control.h"
#include "ztnode/net/view.h"

enum { LINE_ROOM = 4096, HANG_MS = 20000 };

/* One conversation at the socket. */
static struct {
	struct loop *loop;
	struct loop_timer *later, *end;
	struct control_call *held; /* by the verb that answers later */
	bool hung;
	int client;
	struct loop_io *io;
	const uint8_t *p; /* still to be sent */
	size_t left, piece;
	bool impatient;
	struct buf answer;
} talk;

/* --- the daemon's side --- */

static void verb_now(void *arg, struct control_call *call, json_t *request)
{
	(void)arg;
	control_answer(call, json_pack("{s:O}", "request", request));
}

static void verb_later(void *arg, struct control_call *call, json_t *request)
{
	(void)arg;
	fuzz_check(json_is_object(request) && !talk.held);
	talk.held = call;
	loop_timer_set(talk.later, clock_now().boot_ms);
}

static void verb_refuse(void *arg, struct control_call *call, json_t *request)
{
	const char *to = json_string_value(json_object_get(request, "to"));

	(void)arg;
	control_refuse(call, ZT_EXIT_DENIED, to ? to : "no destination", "");
}

static const struct control_verb verbs[] = {{"status", false, verb_now},
					    {"plan", true, verb_now},
					    {"posture", false, verb_later},
					    {"why", false, verb_refuse},
					    {NULL, false, NULL}};

static void answer_held(void *arg)
{
	struct control_call *call = talk.held;

	(void)arg;
	talk.held = NULL;
	if (call)
		control_answer(call, json_object());
}

/* --- the client's side --- */

static void hang_up(void *arg)
{
	(void)arg;
	talk.hung = !talk.impatient;
	loop_stop(talk.loop, 0);
}

static void send_piece(void)
{
	size_t n = talk.left < talk.piece ? talk.left : talk.piece;
	ssize_t sent = n ? send(talk.client, talk.p, n, MSG_NOSIGNAL) : 0;

	/* The daemon may have heard enough. */
	talk.left -= sent < 0 ? talk.left : (size_t)sent;
	talk.p += sent < 0 ? 0 : sent;
	if (talk.left)
		return;
	if (talk.impatient)
		loop_timer_set(talk.end, clock_now().boot_ms);
	else
		shutdown(talk.client, SHUT_WR);
	loop_io_set(talk.io, EPOLLIN);
}

static void client_ready(void *arg, uint32_t events)
{
	uint8_t part[LINE_ROOM];
	ssize_t n = 0;

	(void)arg;
	if (events & EPOLLIN) {
		n = recv(talk.client, part, sizeof(part), 0);
		if (n > 0)
			buf_put(&talk.answer, part, (size_t)n);
		else if (n == 0 || errno != EAGAIN)
			loop_stop(talk.loop, 0);
	} else if (events & EPOLLOUT) {
		send_piece();
	} else {
		loop_stop(talk.loop, 0);
	}
}

static struct control *open_both(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(at.sun_family); /* the kernel chooses an abstract name (unix(7)) */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct control *c;

	fuzz_check(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 1) == 0);
	len = sizeof(at);
	fuzz_check(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	talk.client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	fuzz_check(connect(talk.client, (struct sockaddr *)&at, len) == 0);
	talk.io = loop_io_new(talk.loop, talk.client, EPOLLIN | EPOLLOUT, client_ready, NULL);
	c = control_new(talk.loop, fd, verbs, NULL);
	fuzz_check(c && talk.io);
	return c;
}

/* An answer is whole, and the client understands it. */
static void check_answer(bool whole_line)
{
	json_t *result = NULL;
	struct diag d = {0};
	int status = ask_read_answer(talk.answer.data, talk.answer.len, &result, &d);

	fuzz_check(!talk.hung && !talk.answer.err);
	fuzz_check((talk.answer.len > 0) == whole_line);
	if (!whole_line)
		fuzz_check(status == ZT_EXIT_UNREACHABLE);
	else if (status)
		fuzz_check(status != ZT_EXIT_UNREACHABLE && d.message[0]);
	else
		fuzz_check(json_is_object(result));
	json_decref(result);
}

static void try_line(const uint8_t *p, size_t n)
{
	struct control *c;

	if (n == 0)
		return;
	talk.impatient = p[0] & 0x80;
	talk.piece = (p[0] & 0x7f) ? (size_t)(p[0] & 0x7f) * 8 : SIZE_MAX;
	talk.p = p + 1;
	talk.left = n - 1;
	talk.hung = false;
	buf_init_grow(&talk.answer, 1 << 20);
	c = open_both();
	loop_timer_set(talk.end, clock_now().boot_ms + HANG_MS);
	fuzz_check(loop_run(talk.loop) == 0);
	loop_timer_set(talk.end, -1);
	if (!talk.impatient)
		check_answer(memchr(p + 1, '\n', n - 1 < LINE_ROOM ? n - 1 : LINE_ROOM) != NULL);
	loop_io_free(talk.io);
	close(talk.client);
	control_free(c);
	answer_held(NULL); /* nobody waits for it any more */
	loop_timer_set(talk.later, -1);
	buf_free(&talk.answer);
}

/* --- what is printed --- */

static void check_text(const struct buf *b)
{
	fuzz_check(!b->err && txt_is_utf8(b->data, b->len));
	for (size_t i = 0; i < b->len; i++)
		fuzz_check((b->data[i] >= 0x20 && b->data[i] != 0x7f) || b->data[i] == '\n');
}

/* "\033[31m" and its like. */
static void remove_colours(const struct buf *in, struct buf *out)
{
	for (size_t i = 0; i < in->len; i++) {
		if (in->data[i] != '\033') {
			buf_put_u8(out, in->data[i]);
			continue;
		}
		while (i < in->len && in->data[i] != 'm')
			i++;
	}
}

static void try_print(void (*print)(const json_t *, struct term *), const json_t *result)
{
	struct term plain, coloured;
	struct buf stripped;

	term_init(&plain, false, base_now);
	term_init(&coloured, true, base_now);
	buf_init_grow(&stripped, 256 << 20);
	print(result, &plain);
	print(result, &coloured);
	check_text(&plain.out);
	remove_colours(&coloured.out, &stripped);
	fuzz_check(!stripped.err && stripped.len == plain.out.len);
	fuzz_check(!stripped.len || memcmp(stripped.data, plain.out.data, stripped.len) == 0);
	buf_free(&stripped);
	term_done(&plain);
	term_done(&coloured);
}

static void check_diag(const struct diag *d)
{
	fuzz_check(d->message[0]);
}

static void try_peer(const json_t *status)
{
	const char *own = json_string_value(json_object_get(status, "word"));
	const char *words[] = {"db-1", "2", "100.64.0.2", own ? own : ""};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct diag d = {0};
		const json_t *peer = peer_find(status, words[i], &d);
		char path[96];
		struct addr a;
		int may;

		if (!peer) {
			check_diag(&d);
			continue;
		}
		peer_path(peer, path, sizeof(path));
		if (peer_address(peer, words[i], &a) == 0)
			fuzz_check(a.family == ADDR_V4 || a.family == ADDR_V6);
		may = peer_may_ping(status, peer, words[i], &d);
		fuzz_check(may == ZT_EXIT_OK || may == ZT_EXIT_DENIED || may == ZT_EXIT_FAILED);
		if (may)
			check_diag(&d);
	}
}

static void try_answer(uint8_t kind, const uint8_t *p, size_t n)
{
	json_t *result = NULL;
	struct diag d = {0};
	int status = ask_read_answer(p, n, &result, &d);

	fuzz_check(status >= ZT_EXIT_OK && status <= ZT_EXIT_DENIED);
	fuzz_check((status == ZT_EXIT_OK) == (result != NULL));
	if (status)
		check_diag(&d);
	else if (kind == 's')
		try_print(status_print, result);
	else if (kind == 'w')
		try_print(why_print, result);
	else if (kind == 'p')
		try_print(posture_print, result);
	else if (kind == 'o')
		try_print(plan_print, result);
	else
		try_peer(result);
	json_decref(result);
}

/* --- the advice --- */

/* view_* takes the result of print's own command. */
static void show(void (*print)(const json_t *, struct term *), json_t *j)
{
	fuzz_check(j != NULL);
	try_print(print, j);
	json_decref(j);
}

static void try_advice(const uint8_t *p, size_t n)
{
	static const struct hello h = {.device = 1, .url = "https://ctl", .name = "laptop"};
	static const struct fact facts[] = {{"disk.encrypted", FACT_KNOWN, "true", 10},
					    {"os.version", FACT_UNKNOWN, "no such file", 0}};
	static const struct link_view link = {
		.device_state = "active", .problem = "not connected", .hint = "wait"};
	struct role_status s = {.enforced = true, .lease_left_ms = 60000, .serial = 10};
	json_t *advice = json_loadb((const char *)p, n, 0, NULL), *why;
	const char *to = json_string_value(json_object_get(advice, "to"));
	const char *service = json_string_value(json_object_get(advice, "service"));

	if (json_is_object(advice)) {
		show(status_print, view_status(&h, &s, &link, advice, base_now));
		show(posture_print, view_posture(facts, 2, advice));
		why = to && service ? view_why(&s, &link, to, service, base_now) : NULL;
		if (to && service)
			show(why_print, why);
		show(why_print, view_why_asked(advice));
	}
	json_decref(advice);
}

/* --- --- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (sodium_init() < 0)
		return -1;
	talk.loop = loop_new();
	fuzz_check(talk.loop != NULL);
	talk.later = loop_timer_new(talk.loop, answer_held, NULL);
	talk.end = loop_timer_new(talk.loop, hang_up, NULL);
	fuzz_check(talk.later && talk.end);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n == 0)
		return 0;
	if (p[0] == 'd')
		try_line(p + 1, n - 1);
	else if (p[0] == 'a')
		try_advice(p + 1, n - 1);
	else
		try_answer(p[0], p + 1, n - 1);
	return 0;
}
