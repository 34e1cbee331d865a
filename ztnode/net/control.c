/* The daemon's command line socket. A call lives until it is answered and written, or its client
 * goes. */
#include "ztnode/net/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "zt/err.h"

/* Of a user's calls, and of all that are not root's, some places are always left for root: a member
 * of the socket's group cannot keep root from its own daemon. */
enum {
	LINE_MAX_BYTES = 4096,
	CALLS_MAX = 32,
	CALLS_OTHERS_MAX = 24,
	CALLS_USER_MAX = 8,
	CALL_MS = 20000,
	ACCEPT_AGAIN_MS = 200,
};

struct control_call {
	struct control *control; /* NULL: it is gone; an answer goes nowhere */
	struct control_call *next;
	int fd; /* -1: the client is gone; the call counts until its verb has answered */
	struct loop_io *io;
	struct loop_timer *limit;
	uid_t uid;
	bool asked; /* handed to its verb, which still holds it */
	char line[LINE_MAX_BYTES];
	size_t n_line;
	char *answer;
	size_t n_answer, sent;
};

struct control {
	struct loop *loop;
	int fd;
	struct loop_io *io;
	struct loop_timer *again; /* accepting rests until then */
	const struct control_verb *verbs;
	void *arg;
	struct control_call *calls;
};

static void hang_up(struct control_call *call)
{
	loop_io_free(call->io);
	loop_timer_free(call->limit);
	call->io = NULL;
	call->limit = NULL;
	if (call->fd >= 0)
		close(call->fd);
	call->fd = -1;
}

static void forget_call(struct control_call *call)
{
	struct control_call **p = &call->control->calls;

	while (*p != call)
		p = &(*p)->next;
	*p = call->next;
	free(call->answer);
	free(call);
}

/* The client goes, or has gone. */
static void close_call(struct control_call *call)
{
	hang_up(call);
	if (!call->asked)
		forget_call(call);
}

static void write_answer(struct control_call *call)
{
	while (call->sent < call->n_answer) {
		ssize_t n = send(call->fd, call->answer + call->sent, call->n_answer - call->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			loop_io_set(call->io, EPOLLOUT);
			return;
		}
		if (n < 0)
			break;
		call->sent += (size_t)n;
	}
	close_call(call);
}

static void answer(struct control_call *call, json_t *j)
{
	call->asked = false;
	if (call->fd < 0) { /* nobody waits any more */
		json_decref(j);
		if (call->control)
			forget_call(call);
		else
			free(call);
		return;
	}
	call->answer = j ? json_dumps(j, JSON_COMPACT) : NULL;
	call->n_answer = call->answer ? strlen(call->answer) : 0;
	json_decref(j);
	write_answer(call);
}

void control_answer(struct control_call *call, json_t *result)
{
	answer(call, json_pack("{s:b,s:o}", "ok", 1, "result", result));
}

void control_refuse(struct control_call *call, enum zt_exit exit, const char *message,
		    const char *hint)
{
	answer(call, json_pack("{s:b,s:i,s:s,s:s}", "ok", 0, "exit", (int)exit, "message", message,
			       "hint", hint));
}

static void dispatch(struct control_call *call)
{
	struct control *c = call->control;
	json_t *j = json_loadb(call->line, call->n_line, 0, NULL);
	const char *name = json_string_value(json_object_get(j, "verb"));
	const struct control_verb *v = c->verbs;

	loop_io_set(call->io, 0); /* a hang-up still comes */
	call->asked = true;
	while (v->name && (!name || strcmp(v->name, name) != 0))
		v++;
	if (!v->name)
		control_refuse(
			call, ZT_EXIT_USAGE, "the daemon does not know this command",
			"are ztnode and its daemon of the same version? systemctl restart ztnode");
	else if (v->root_only && call->uid != 0)
		control_refuse(call, ZT_EXIT_FAILED, "only root may do this",
			       "try again with sudo");
	else
		v->fn(c->arg, call, j);
	json_decref(j);
}

static void call_ready(void *arg, uint32_t events)
{
	struct control_call *call = arg;
	ssize_t n;

	if (call->answer) {
		write_answer(call);
		return;
	}
	if (call->asked || !(events & EPOLLIN)) {
		close_call(call);
		return;
	}
	n = recv(call->fd, call->line + call->n_line, sizeof(call->line) - call->n_line,
		 MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			close_call(call);
		return;
	}
	call->n_line += (size_t)n;
	if (memchr(call->line, '\n', call->n_line))
		dispatch(call);
	else if (call->n_line == sizeof(call->line))
		close_call(call);
}

static void call_too_long(void *arg)
{
	close_call(arg);
}

static bool has_room(const struct control *c, uid_t uid)
{
	size_t all = 0, others = 0, own = 0;

	for (const struct control_call *call = c->calls; call; call = call->next) {
		all++;
		others += call->uid != 0;
		own += call->uid == uid;
	}
	return all < CALLS_MAX && (uid == 0 || (others < CALLS_OTHERS_MAX && own < CALLS_USER_MAX));
}

static void accept_call(struct control *c, int fd)
{
	struct control_call *call = calloc(1, sizeof(*call));
	struct ucred who;
	socklen_t len = sizeof(who);

	if (!call || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
	    !has_room(c, who.uid)) {
		free(call);
		close(fd);
		return;
	}
	call->fd = fd;
	call->control = c;
	call->uid = who.uid;
	call->io = loop_io_new(c->loop, fd, EPOLLIN, call_ready, call);
	call->limit = loop_timer_new(c->loop, call_too_long, call);
	if (!call->io || !call->limit) {
		loop_io_free(call->io);
		loop_timer_free(call->limit);
		close(fd);
		free(call);
		return;
	}
	loop_timer_set(call->limit, clock_now().boot_ms + CALL_MS);
	call->next = c->calls;
	c->calls = call;
}

static void accept_again(void *arg)
{
	struct control *c = arg;

	loop_io_set(c->io, EPOLLIN);
}

/* Without descriptors (or memory) the caller stays in the queue, and the socket ready: it is left
 * alone for a moment, else the loop would do nothing but ask. */
static void listen_ready(void *arg, uint32_t events)
{
	struct control *c = arg;
	int fd;

	(void)events;
	while ((fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		accept_call(c, fd);
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		loop_io_set(c->io, 0);
		loop_timer_set(c->again, clock_now().boot_ms + ACCEPT_AGAIN_MS);
	}
}

struct control *control_new(struct loop *l, int fd, const struct control_verb *verbs, void *arg)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct control){.loop = l, .fd = fd, .verbs = verbs, .arg = arg};
	c->io = loop_io_new(l, fd, EPOLLIN, listen_ready, c);
	c->again = loop_timer_new(l, accept_again, c);
	if (!c->io || !c->again) {
		loop_io_free(c->io);
		loop_timer_free(c->again);
		free(c);
		return NULL;
	}
	return c;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	while (c->calls) {
		struct control_call *call = c->calls;

		hang_up(call);
		if (!call->asked) {
			forget_call(call);
			continue;
		}
		c->calls = call->next;
		call->control = NULL;
	}
	loop_io_free(c->io);
	loop_timer_free(c->again);
	close(c->fd);
	free(c);
}
