/* Role-to-role messages over a SOCK_SEQPACKET pair, so that a packet is whole or not there
 * (unix(7)). */
#include "zt/ipc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "zt/buf.h"
#include "zt/cur.h"
#include "zt/log.h"
#include "zt/txt.h"

enum { PACKET_MAX = 32 << 10, HEAD = 8, QUEUE_MAX = 64 << 20, PACKETS_TURN = 64 };

struct packet {
	struct packet *next;
	size_t len;
	uint8_t bytes[];
};

struct ipc {
	struct loop *loop;
	struct loop_io *io;
	int fd;
	const struct ipc_kind *kinds;
	void (*gone)(void *arg);
	void *arg;
	const struct ipc_kind *current; /* message being received, NULL between messages */
	uint8_t *body;
	size_t want, have;
	struct packet *first, **last;
	size_t queued;
};

static const struct ipc_kind *find_kind(const struct ipc *i, uint32_t kind)
{
	for (const struct ipc_kind *k = i->kinds; k->fn; k++)
		if (k->kind == kind)
			return k;
	return NULL;
}

/* First packet of a message: head and the first part of the body. */
static int begin(struct ipc *i, struct cur *c)
{
	uint32_t kind = cur_u32(c), len = cur_u32(c);
	const struct ipc_kind *k = find_kind(i, kind);

	if (c->err || !k || len < k->min || len > k->max) {
		log_error("the other process sent message %u of %u bytes, which this one does not "
			  "take",
			  kind, len);
		return -EPROTO;
	}
	i->body = malloc(len ? len : 1);
	if (!i->body)
		return -ENOMEM;
	i->current = k;
	i->want = len;
	i->have = 0;
	return 0;
}

static void deliver(struct ipc *i)
{
	const struct ipc_kind *k = i->current;
	uint8_t *body = i->body;
	size_t n = i->want;

	i->current = NULL;
	i->body = NULL;
	k->fn(i->arg, body, n);
	explicit_bzero(body, n);
	free(body);
}

/* 1 a message was delivered (its kind in *ret_kind), 0 more packets needed, <0 broken. */
static int take_packet(struct ipc *i, const uint8_t *p, size_t n, uint32_t *ret_kind)
{
	struct cur c;
	size_t part;
	int err;

	cur_init(&c, p, n);
	if (!i->current && (err = begin(i, &c)) < 0)
		return err;
	part = cur_left(&c);
	if (part > i->want - i->have || (part == 0 && i->want != i->have))
		return -EPROTO;
	cur_copy(&c, i->body + i->have, part);
	i->have += part;
	if (i->have < i->want)
		return 0;
	*ret_kind = i->current->kind;
	deliver(i);
	return 1;
}

/* One packet: 1 message delivered, 0 packet taken, -EAGAIN nothing there, other <0: over. */
static int receive(struct ipc *i, uint32_t *ret_kind)
{
	uint8_t packet[PACKET_MAX];
	ssize_t n = recv(i->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);
	int r;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	if ((size_t)n > sizeof(packet))
		return -EPROTO;
	r = take_packet(i, packet, (size_t)n, ret_kind);
	explicit_bzero(packet, (size_t)n);
	return r;
}

static void drop_queue(struct ipc *i)
{
	while (i->first) {
		struct packet *p = i->first;

		i->first = p->next;
		explicit_bzero(p->bytes, p->len);
		free(p);
	}
	i->last = &i->first;
	i->queued = 0;
}

/* When the other side has gone, what it said last is still to be read: that is no error here,
 * gone() comes after it. */
static int flush(struct ipc *i)
{
	while (i->first) {
		struct packet *p = i->first;

		if (send(i->fd, p->bytes, p->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
				break;
			if (errno == EPIPE || errno == ECONNRESET) {
				drop_queue(i);
				break;
			}
			return -errno;
		}
		i->first = p->next;
		if (!i->first)
			i->last = &i->first;
		i->queued -= p->len;
		explicit_bzero(p->bytes, p->len);
		free(p);
	}
	if (i->io)
		loop_io_set(i->io, EPOLLIN | (i->first ? (uint32_t)EPOLLOUT : 0));
	return 0;
}

static void over(struct ipc *i)
{
	loop_io_free(i->io);
	i->io = NULL;
	i->gone(i->arg);
}

static void ready(void *arg, uint32_t events)
{
	struct ipc *i = arg;
	uint32_t kind;
	int r = 0;

	if (events & EPOLLOUT)
		r = flush(i);
	for (int n = 0; r >= 0 && n < PACKETS_TURN; n++)
		r = receive(i, &kind);
	if (r < 0 && r != -EAGAIN)
		over(i);
}

struct ipc *ipc_new(struct loop *l, int fd, const struct ipc_kind *kinds, void (*gone)(void *arg),
		    void *arg)
{
	struct ipc *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	*i = (struct ipc){.loop = l, .fd = fd, .kinds = kinds, .gone = gone, .arg = arg};
	i->last = &i->first;
	i->io = loop_io_new(l, fd, EPOLLIN, ready, i);
	if (!i->io) {
		free(i);
		return NULL;
	}
	return i;
}

void ipc_free(struct ipc *i)
{
	if (!i)
		return;
	loop_io_free(i->io);
	close(i->fd);
	drop_queue(i);
	if (i->body)
		explicit_bzero(i->body, i->want);
	free(i->body);
	free(i);
}

static int queue_packet(struct ipc *i, const uint8_t *head, size_t n_head, const uint8_t *p,
			size_t n)
{
	struct packet *packet = malloc(sizeof(*packet) + n_head + n);

	if (!packet)
		return -ENOMEM;
	packet->next = NULL;
	packet->len = n_head + n;
	if (n_head)
		memcpy(packet->bytes, head, n_head);
	if (n)
		memcpy(packet->bytes + n_head, p, n);
	*i->last = packet;
	i->last = &packet->next;
	i->queued += packet->len;
	return 0;
}

int ipc_send(struct ipc *i, uint32_t kind, const void *body, size_t n)
{
	uint8_t head[HEAD];
	const uint8_t *p = body;
	struct buf b;
	size_t part = n < PACKET_MAX - HEAD ? n : PACKET_MAX - HEAD;
	int err;

	if (i->queued + n > QUEUE_MAX || n > UINT32_MAX)
		return -ENOBUFS;
	buf_init(&b, head, sizeof(head));
	buf_put_u32(&b, kind);
	buf_put_u32(&b, (uint32_t)n);
	err = queue_packet(i, head, HEAD, p, part);
	for (size_t done = part; !err && done < n; done += part) {
		part = n - done < PACKET_MAX ? n - done : PACKET_MAX;
		err = queue_packet(i, NULL, 0, p + done, part);
	}
	return err ? err : flush(i);
}

int ipc_pair(int ret_fd[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fd) < 0)
		return -errno;
	return 0;
}

/* 1 somebody is at the door, 0 the time is over, -errno. */
static int wait_at_door(int listener, int64_t until_ms)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	int64_t left = until_ms - clock_now().boot_ms;
	int n = poll(&p, 1, left > 0 ? (int)left : 0);

	return n < 0 ? -errno : n;
}

/* The kernel's word, given when the other side connected (unix(7)). */
static bool is_of(int fd, uid_t uid)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return false;
	if (who.uid != uid)
		log_warn("refused a connection of uid %u (process %d); only uid %u may talk here",
			 who.uid, who.pid, uid);
	return who.uid == uid;
}

int ipc_accept(int listener, uid_t uid, int64_t limit_ms, int *ret_fd)
{
	int64_t until_ms = clock_now().boot_ms + limit_ms;

	for (;;) {
		int fd, r = wait_at_door(listener, until_ms);

		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0 && r != -EINTR)
			return r;
		fd = r > 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
		if (r > 0 && fd < 0 && errno != EINTR && errno != EAGAIN && errno != ECONNABORTED)
			return -errno;
		if (fd >= 0 && is_of(fd, uid)) {
			*ret_fd = fd;
			return 0;
		}
		if (fd >= 0)
			close(fd);
	}
}

int ipc_connect(const char *path, int *ret_fd)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd, err;

	if (txt_copy(to.sun_path, sizeof(to.sun_path), path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}
