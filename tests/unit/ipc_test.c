/* Messages between roles over a real socket pair. One end keeps the rules here; the other is an ipc
 * too, or a raw descriptor in hostile hands. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "zt/buf.h"
#include "zt/ipc.h"

enum {
	KIND_EMPTY = 1,
	KIND_SMALL,
	KIND_BIG,
	GUARD_MS = 5000,
	BIG_MAX = 4 << 20,
	PACKET = 32 << 10
};

struct side {
	struct loop *loop;
	struct ipc *ipc;
	size_t messages, bytes;
	uint32_t sum; /* order of messages and content */
	bool gone;
	size_t stop_after;
};

static uint32_t sum_of(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + p[i];
	return sum;
}

static void take(void *arg, const void *body, size_t n)
{
	struct side *s = arg;

	s->messages++;
	s->bytes += n;
	s->sum = sum_of(s->sum * 31 + 1, body, n);
	if (s->stop_after && s->messages == s->stop_after)
		loop_stop(s->loop, 0);
}

static void gone(void *arg)
{
	struct side *s = arg;

	assert_false(s->gone);
	s->gone = true;
	loop_stop(s->loop, 0);
}

static void too_late(void *arg)
{
	loop_stop(arg, 99);
}

static const struct ipc_kind kinds[] = {
	{KIND_EMPTY, 0, 0, take, "empty"},
	{KIND_SMALL, 2, 8, take, "small"},
	{KIND_BIG, 1, BIG_MAX, take, "big"},
	{0, 0, 0, NULL, NULL},
};

static int run(struct loop *l)
{
	struct loop_timer *guard = loop_timer_new(l, too_late, l);
	int status;

	loop_timer_set(guard, clock_now().boot_ms + GUARD_MS);
	status = loop_run(l);
	loop_timer_free(guard);
	return status;
}

/* --- both sides keep the rules --- */

static void messages_of_every_size_arrive_whole_and_in_order(void **state)
{
	static const size_t sizes[] = {1,	   2,	       PACKET - 9,     PACKET - 8,
				       PACKET - 7, 2 * PACKET, 2 * PACKET - 8, 100000,
				       BIG_MAX,	   1};
	struct loop *l = loop_new();
	struct side a = {.loop = l}, b = {.loop = l, .stop_after = N_OF(sizes) + 2};
	uint8_t *body = malloc(BIG_MAX);
	uint32_t want = 0;
	int fd[2];

	(void)state;
	assert_non_null(body);
	assert_int_equal(ipc_pair(fd), 0);
	a.ipc = ipc_new(l, fd[0], kinds, gone, &a);
	b.ipc = ipc_new(l, fd[1], kinds, gone, &b);
	for (size_t i = 0; i < BIG_MAX; i++)
		body[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(ipc_send(a.ipc, KIND_EMPTY, NULL, 0), 0);
	want = sum_of(want * 31 + 1, body, 0);
	for (size_t i = 0; i < N_OF(sizes); i++) {
		assert_int_equal(ipc_send(a.ipc, KIND_BIG, body, sizes[i]), 0);
		want = sum_of(want * 31 + 1, body, sizes[i]);
	}
	assert_int_equal(ipc_send(a.ipc, KIND_SMALL, body, 8), 0);
	want = sum_of(want * 31 + 1, body, 8);
	memset(body, 0, BIG_MAX); /* copied when sent */
	assert_int_equal(run(l), 0);
	assert_int_equal(b.messages, N_OF(sizes) + 2);
	assert_int_equal(b.sum, want);
	assert_false(a.gone || b.gone);
	ipc_free(a.ipc);
	ipc_free(b.ipc);
	loop_free(l);
	free(body);
}

static void the_other_side_closing_is_told_once(void **state)
{
	struct loop *l = loop_new();
	struct side a = {.loop = l};
	int fd[2];

	(void)state;
	assert_int_equal(ipc_pair(fd), 0);
	a.ipc = ipc_new(l, fd[0], kinds, gone, &a);
	close(fd[1]);
	assert_int_equal(run(l), 0);
	assert_true(a.gone);
	assert_int_equal(ipc_send(a.ipc, KIND_SMALL, "abc", 3), 0); /* told by gone alone */
	ipc_free(a.ipc);
	ipc_free(NULL);
	loop_free(l);
}

/* A role answers, and ends; we send it something meanwhile. Its answer must not be lost by that. */
static void last_words_are_heard(void **state)
{
	struct loop *l = loop_new();
	struct side a = {.loop = l}, b = {.loop = l};
	int fd[2];

	(void)state;
	assert_int_equal(ipc_pair(fd), 0);
	a.ipc = ipc_new(l, fd[0], kinds, gone, &a);
	b.ipc = ipc_new(l, fd[1], kinds, gone, &b);
	assert_int_equal(ipc_send(b.ipc, KIND_SMALL, "bye", 3), 0);
	ipc_free(b.ipc);
	assert_int_equal(ipc_send(a.ipc, KIND_SMALL, "abc", 3), 0);
	assert_int_equal(run(l), 0);
	assert_int_equal(a.messages, 1);
	assert_true(a.gone);
	ipc_free(a.ipc);
	loop_free(l);
}

/* A side that does not read costs memory up to a limit, and nobody's time. */
static void a_full_queue_is_an_error(void **state)
{
	struct loop *l = loop_new();
	struct side a = {.loop = l};
	uint8_t *body = calloc(1, BIG_MAX);
	size_t sent = 0;
	int fd[2], err = 0;

	(void)state;
	assert_non_null(body);
	assert_int_equal(ipc_pair(fd), 0);
	a.ipc = ipc_new(l, fd[0], kinds, gone, &a);
	while (!err && sent < 1000) {
		err = ipc_send(a.ipc, KIND_BIG, body, BIG_MAX);
		sent += !err;
	}
	assert_int_equal(err, -ENOBUFS);
	assert_in_range(sent, 15, 17); /* 64 MiB */
	ipc_free(a.ipc);
	close(fd[1]);
	loop_free(l);
	free(body);
}

/* --- the other side was taken over --- */

static const struct {
	const char *says;
	uint32_t kind, len;
	size_t first;	 /* bytes of body in the first packet */
	size_t then;	 /* and in a second one; 0: none */
	bool closes;	 /* the sender, afterwards */
	size_t messages; /* that are delivered */
	bool gone;
} rows[] = {
	{"a message as it should be", KIND_SMALL, 3, 3, 0, false, 1, false},
	{"in two packets", KIND_BIG, 6, 3, 3, false, 1, false},
	{"a head alone: the first packet has a part of the body", KIND_BIG, 6, 0, 6, false, 0,
	 true},
	{"an empty one", KIND_EMPTY, 0, 0, 0, false, 1, false},
	{"a kind that is not known", 77, 3, 3, 0, false, 0, true},
	{"no kind", 0, 3, 3, 0, false, 0, true},
	{"too short", KIND_SMALL, 1, 1, 0, false, 0, true},
	{"too long", KIND_SMALL, 9, 9, 0, false, 0, true},
	{"empty where a body must be", KIND_SMALL, 0, 0, 0, false, 0, true},
	{"a body where none may be", KIND_EMPTY, 1, 1, 0, false, 0, true},
	{"four gigabytes are promised", KIND_BIG, UINT32_MAX, 3, 0, false, 0, true},
	{"more bytes than promised", KIND_SMALL, 3, 4, 0, false, 0, true},
	{"more bytes than promised, later", KIND_BIG, 6, 3, 4, false, 0, true},
	{"half a message, then the end", KIND_BIG, 6, 3, 0, true, 0, true},
	{"nothing but half a head", 0, 0, 0, 0, true, 0, true},
	{"a packet larger than there may be", KIND_BIG, PACKET, PACKET, 0, false, 0, true},
};

static void send_raw(int fd, const void *p, size_t n)
{
	assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), n);
}

static void send_row(int fd, size_t row)
{
	uint8_t *packet = calloc(1, 8 + rows[row].first + 1);
	struct buf b;

	assert_non_null(packet);
	buf_init(&b, packet, 8);
	buf_put_u32(&b, rows[row].kind);
	buf_put_u32(&b, rows[row].len);
	if (rows[row].closes && !rows[row].first)
		send_raw(fd, packet, 4);
	else
		send_raw(fd, packet, 8 + rows[row].first);
	if (rows[row].then)
		send_raw(fd, (uint8_t[8]){0}, rows[row].then);
	if (rows[row].closes)
		shutdown(fd, SHUT_WR);
	free(packet);
}

static void a_broken_rule_ends_the_channel(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct loop *l = loop_new();
		struct side a = {.loop = l, .stop_after = 1};
		int fd[2];

		assert_int_equal(ipc_pair(fd), 0);
		a.ipc = ipc_new(l, fd[0], kinds, gone, &a);
		send_row(fd[1], i);
		row_check(rows[i].says, run(l) == 0);
		row_check(rows[i].says, a.messages == rows[i].messages);
		row_check(rows[i].says, a.gone == rows[i].gone);
		ipc_free(a.ipc);
		close(fd[1]);
		loop_free(l);
	}
}

/* Messages before the broken one count; those behind it do not. */
static void nothing_is_taken_after_a_broken_rule(void **state)
{
	static const uint8_t good[] = {KIND_SMALL, 0, 0, 0, 2, 0, 0, 0, 'o', 'k'};
	static const uint8_t bad[] = {66, 0, 0, 0, 2, 0, 0, 0, 'n', 'o'};
	struct loop *l = loop_new();
	struct side a = {.loop = l};
	int fd[2];

	(void)state;
	assert_int_equal(ipc_pair(fd), 0);
	a.ipc = ipc_new(l, fd[0], kinds, gone, &a);
	send_raw(fd[1], good, sizeof(good));
	send_raw(fd[1], bad, sizeof(bad));
	send_raw(fd[1], good, sizeof(good));
	assert_int_equal(run(l), 0);
	assert_int_equal(a.messages, 1);
	assert_true(a.gone);
	ipc_free(a.ipc);
	close(fd[1]);
	loop_free(l);
}

/* --- two programs instead of a pair --- */

static struct door {
	char dir[sizeof("/tmp/zt-ipc-XXXXXX")], path[64];
	int listener;
} open_door(void)
{
	struct door d = {.dir = "/tmp/zt-ipc-XXXXXX"};
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	assert_non_null(mkdtemp(d.dir));
	snprintf(d.path, sizeof(d.path), "%s/door", d.dir);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", d.path);
	d.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(d.listener, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(d.listener, 8), 0);
	return d;
}

static void close_door(const struct door *d)
{
	close(d->listener);
	unlink(d->path);
	rmdir(d->dir);
}

static void another_users_connection_is_closed(void **state)
{
	struct door d = open_door();
	int fd, channel = -1;
	char byte;

	(void)state;
	assert_int_equal(ipc_connect(d.path, &fd), 0);
	assert_int_equal(ipc_accept(d.listener, geteuid() + 1, 50, &channel), -ETIMEDOUT);
	assert_int_equal(channel, -1);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	close(fd);
	close_door(&d);
}

static void the_first_connection_of_the_user_is_the_channel(void **state)
{
	struct loop *l = loop_new();
	struct side a = {.loop = l}, b = {.loop = l, .stop_after = 1};
	struct door d = open_door();
	int first, second, channel;
	char byte;

	(void)state;
	assert_int_equal(ipc_connect(d.path, &first), 0);
	assert_int_equal(ipc_connect(d.path, &second), 0);
	assert_int_equal(ipc_accept(d.listener, geteuid(), GUARD_MS, &channel), 0);
	a.ipc = ipc_new(l, first, kinds, gone, &a);
	b.ipc = ipc_new(l, channel, kinds, gone, &b);
	assert_int_equal(ipc_send(a.ipc, KIND_SMALL, "abc", 3), 0);
	assert_int_equal(run(l), 0);
	assert_int_equal(b.messages, 1);
	assert_int_equal(recv(second, &byte, 1, MSG_DONTWAIT), -1); /* waits, unheard */
	assert_int_equal(errno, EAGAIN);
	ipc_free(a.ipc);
	ipc_free(b.ipc);
	close(second);
	close_door(&d);
	loop_free(l);
}

static void nobody_comes_and_nobody_listens(void **state)
{
	struct door d = open_door();
	char path[200];
	int fd = -1;

	(void)state;
	assert_int_equal(ipc_accept(d.listener, geteuid(), 20, &fd), -ETIMEDOUT);
	close_door(&d);
	assert_int_equal(ipc_connect(d.path, &fd), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(ipc_connect(path, &fd), -ENAMETOOLONG);
	assert_int_equal(fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_every_size_arrive_whole_and_in_order),
		cmocka_unit_test(the_other_side_closing_is_told_once),
		cmocka_unit_test(last_words_are_heard),
		cmocka_unit_test(a_full_queue_is_an_error),
		cmocka_unit_test(a_broken_rule_ends_the_channel),
		cmocka_unit_test(nothing_is_taken_after_a_broken_rule),
		cmocka_unit_test(another_users_connection_is_closed),
		cmocka_unit_test(the_first_connection_of_the_user_is_the_channel),
		cmocka_unit_test(nobody_comes_and_nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
