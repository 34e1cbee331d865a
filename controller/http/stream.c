/* A long answer: a bounded queue that libmicrohttpd empties chunk by chunk, asleep while it is
 * empty. While asleep libmicrohttpd does not see the client leave, so our own watch on the socket
 * does. A client that stops reading is cut by the idle timeout, or before by its own queue when
 * that is full. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "controller/http/internal.h"

enum { QUEUE_FIRST = 1024, BLOCK = 256 /* of a client that knows no chunks */ };

struct http_stream {
	struct http_conn *conn;
	struct MHD_Response *response;
	uint8_t *data; /* NULL while empty */
	size_t head, len, cap, max;
	void (*ended)(void *arg); /* NULL: the application has let go */
	void *arg;
	struct loop_io *watch;
	bool suspended;
	bool finishing; /* ends when the queue is empty */
	bool gone;	/* ends at once */
};

static void wake(struct http_stream *s)
{
	if (!s->suspended)
		return;
	s->suspended = false;
	http_wake(s->conn);
}

static void queue_clear(struct http_stream *s)
{
	free(s->data);
	s->data = NULL;
	s->head = s->len = s->cap = 0;
}

static int queue_room(struct http_stream *s, size_t n)
{
	size_t cap = s->cap ? s->cap : QUEUE_FIRST;
	uint8_t *data;

	if (s->head + s->len + n <= s->cap)
		return 0;
	if (s->head > 0) {
		memmove(s->data, s->data + s->head, s->len);
		s->head = 0;
	}
	while (cap < s->len + n)
		cap *= 2;
	if (cap == s->cap)
		return 0;
	data = realloc(s->data, cap);
	if (!data)
		return -ENOMEM;
	s->data = data;
	s->cap = cap;
	return 0;
}

void http_stream_abort(struct http_stream *s)
{
	s->gone = true;
	queue_clear(s);
	http_conn_cut(s->conn); /* when it waits for the socket */
	wake(s);		/* when it waits for us */
}

void http_stream_finish(struct http_stream *s)
{
	s->finishing = true;
	wake(s);
}

static void client_left(void *arg, uint32_t events)
{
	struct http_stream *s = arg;

	(void)events;
	loop_io_free(s->watch);
	s->watch = NULL;
	http_stream_abort(s);
}

static void sleep_until_written(struct http_stream *s)
{
	if (!s->watch)
		s->watch =
			loop_io_new(s->conn->server->loop, s->conn->fd, EPOLLRDHUP, client_left, s);
	s->suspended = true;
	MHD_suspend_connection(s->conn->mhd);
}

static ssize_t read_queue(void *arg, uint64_t pos, char *out, size_t max)
{
	struct http_stream *s = arg;
	size_t n = s->len < max ? s->len : max;

	(void)pos;
	if (s->gone)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n == 0 && s->finishing)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (n == 0) {
		sleep_until_written(s);
		return 0;
	}
	memcpy(out, s->data + s->head, n);
	s->head += n;
	s->len -= n;
	s->conn->server->stats.bytes_out += n;
	s->conn->server->moved = true;
	if (s->len == 0)
		queue_clear(s); /* ten thousand quiet streams hold nothing */
	return (ssize_t)n;
}

struct http_stream *http_reply_stream(struct http_request *r, size_t max, void (*ended)(void *arg),
				      void *arg)
{
	struct http_stream *s = r->conn ? calloc(1, sizeof(*s)) : NULL;

	if (s)
		s->response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_queue,
								s, NULL);
	if (!s || !s->response) {
		free(s);
		http_answer(r, 0, NULL);
		return NULL;
	}
	s->conn = r->conn;
	s->max = max;
	s->ended = ended;
	s->arg = arg;
	r->stream = s;
	s->conn->server->stats.streams++;
	MHD_add_response_header(s->response, MHD_HTTP_HEADER_CONTENT_TYPE,
				"application/octet-stream");
	if (s->conn->server->stopping)
		s->finishing = true;
	http_answer(r, MHD_HTTP_OK, s->response);
	return s;
}

int http_stream_write(struct http_stream *s, const void *p, size_t n)
{
	int err = 0;

	if (s->gone || s->finishing)
		return -EPIPE;
	if (n > s->max - s->len)
		err = -ENOBUFS;
	if (err == 0)
		err = queue_room(s, n);
	if (err < 0) {
		http_stream_abort(s);
		return err;
	}
	memcpy(s->data + s->head + s->len, p, n);
	s->len += n;
	wake(s);
	return 0;
}

void http_stream_end(struct http_stream *s)
{
	s->ended = NULL;
	http_stream_finish(s);
}

void http_stream_free(struct http_stream *s)
{
	if (!s)
		return;
	s->conn->server->stats.streams--;
	loop_io_free(s->watch);
	queue_clear(s);
	if (s->ended)
		s->ended(s->arg);
	free(s);
}
