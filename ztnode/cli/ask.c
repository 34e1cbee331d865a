/* Client of the control socket. */
#include "ztnode/cli/ask.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "zt/buf.h"
#include "zt/clock.h"
#include "zt/log.h"

/* --- errors --- */

static int fail_silent(struct diag *d)
{
	diag_set(d, -ZT_EUNREACH, "the daemon does not answer");
	diag_hint(d, "journalctl -u 'ztnode*'");
	return ZT_EXIT_UNREACHABLE;
}

static int fail_errno(int err, struct diag *d)
{
	if (err == ENOENT || err == ECONNREFUSED) {
		diag_set(d, -ZT_EUNREACH, "the daemon is not running");
		diag_hint(d, "systemctl start ztnode, or: ztnode run");
		return ZT_EXIT_UNREACHABLE;
	}
	if (err == EACCES || err == EPERM) {
		diag_set(d, -err, "the daemon's socket is not open to this user");
		diag_hint(d, "run as root");
		return ZT_EXIT_FAILED;
	}
	if (err == EAGAIN || err == EPIPE || err == ECONNRESET)
		return fail_silent(d);
	diag_set(d, -err, "cannot talk to the daemon: %s", zt_strerror(err));
	return ZT_EXIT_FAILED;
}

static int fail_form(struct diag *d, const char *what)
{
	diag_set(d, -ZT_EFORM, "the daemon's answer is wrong: %s", what);
	diag_hint(d, "is the daemon of another version? systemctl restart ztnode");
	return ZT_EXIT_FAILED;
}

/* --- the answer --- */

static int read_refusal(const json_t *answer, struct diag *d)
{
	const char *message = json_string_value(json_object_get(answer, "message"));
	const char *hint = json_string_value(json_object_get(answer, "hint"));
	json_int_t status = json_integer_value(json_object_get(answer, "exit"));

	diag_set(d, -ZT_EREFUSED, "%s", message && message[0] ? message : "refused");
	if (hint)
		diag_hint(d, "%s", hint);
	return status >= ZT_EXIT_FAILED && status <= ZT_EXIT_DENIED ? (int)status : ZT_EXIT_FAILED;
}

int ask_read_answer(const void *p, size_t n, json_t **ret_result, struct diag *d)
{
	json_t *answer, *result;
	json_error_t error;
	int status = ZT_EXIT_OK;

	if (n == 0)
		return fail_silent(d);
	answer = json_loadb(p, n, JSON_REJECT_DUPLICATES, &error);
	result = json_object_get(answer, "result");
	if (!answer)
		status = fail_form(d, "not JSON");
	else if (json_is_false(json_object_get(answer, "ok")))
		status = read_refusal(answer, d);
	else if (!json_is_true(json_object_get(answer, "ok")) || !json_is_object(result))
		status = fail_form(d, "no result");
	if (status == ZT_EXIT_OK)
		*ret_result = json_incref(result);
	json_decref(answer);
	return status;
}

/* --- the socket --- */

static int open_socket(const char *run_dir, int64_t limit_ms, int *ret_fd, struct diag *d)
{
	struct timeval limit = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int n = snprintf(to.sun_path, sizeof(to.sun_path), "%s/control.sock", run_dir), fd;

	if (n < 0 || (size_t)n >= sizeof(to.sun_path))
		return fail_errno(ENAMETOOLONG, d);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(errno, d);
	/* Also bounds the connect, when nobody accepts. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
	    connect(fd, (const struct sockaddr *)&to, sizeof(to))) {
		n = fail_errno(errno, d);
		close(fd);
		return n;
	}
	*ret_fd = fd;
	return ZT_EXIT_OK;
}

static int send_all(int fd, const uint8_t *p, size_t n, struct diag *d)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return fail_errno(errno, d);
		p += sent;
		n -= (size_t)sent;
	}
	return ZT_EXIT_OK;
}

/* Waits until there is something to read, or the end; false when the time is over. */
static bool wait_readable(int fd, int64_t end_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left = end_ms - clock_now().boot_ms;

	while (left > 0) {
		int n = poll(&p, 1, (int)left);

		if (n > 0 || (n < 0 && errno != EINTR))
			return n > 0;
		left = end_ms - clock_now().boot_ms;
	}
	return false;
}

static int receive_all(int fd, int64_t end_ms, struct buf *in, struct diag *d)
{
	uint8_t part[16384];

	while (wait_readable(fd, end_ms)) {
		ssize_t n = recv(fd, part, sizeof(part), MSG_DONTWAIT);

		if (n == 0)
			return ZT_EXIT_OK;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return fail_errno(errno, d);
		if (n > 0)
			buf_put(in, part, (size_t)n);
		if (in->err)
			return fail_form(d, "too long");
	}
	return fail_silent(d);
}

static int exchange(const char *run_dir, const struct buf *request, int64_t limit_ms,
		    struct buf *in, struct diag *d)
{
	int64_t end_ms = clock_now().boot_ms + limit_ms;
	int fd = -1, status = open_socket(run_dir, limit_ms, &fd, d);

	if (status)
		return status;
	status = send_all(fd, request->data, request->len, d);
	if (!status)
		status = receive_all(fd, end_ms, in, d);
	close(fd);
	return status;
}

/* The one line of the request; takes args. */
static void put_request(const char *verb, json_t *args, struct buf *out)
{
	json_t *request = args ? args : json_object();
	char *text = NULL;

	if (json_object_set_new(request, "verb", json_string(verb)) == 0)
		text = json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (text)
		buf_printf(out, "%s\n", text);
	else
		out->err = -ENOMEM;
	free(text);
	json_decref(request);
}

int ask_call(const char *run_dir, const char *verb, json_t *args, int64_t limit_ms,
	     json_t **ret_result, struct diag *d)
{
	struct buf request, in;
	int status;

	buf_init_grow(&request, ASK_REQUEST_MAX);
	buf_init_grow(&in, ASK_ANSWER_MAX);
	put_request(verb, args, &request);
	if (request.err)
		status = fail_errno(-request.err, d);
	else
		status = exchange(run_dir, &request, limit_ms, &in, d);
	if (!status)
		status = ask_read_answer(in.data, in.len, ret_result, d);
	buf_free(&request);
	buf_free(&in);
	return status;
}

int ask_daemon(const char *run_dir, const char *verb, json_t *args, json_t **ret_result)
{
	struct diag d = {0};
	int status = ask_call(run_dir, verb, args, ASK_LIMIT_MS, ret_result, &d);

	if (status)
		log_diag(&d);
	return status;
}
