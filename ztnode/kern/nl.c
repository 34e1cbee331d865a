/* Netlink by libmnl: requests, dumps and batches on one socket (nl.h). */
#include "ztnode/kern/nl.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <linux/netlink.h>

enum {
	RECEIVE_SIZE = 64 << 10, /* the kernel fills at most 32 KiB a datagram of a dump */
	RECEIVE_QUEUE = 8 << 20, /* acknowledgements of a batch that fails everywhere */
	ANSWER_WAIT_S =
		30, /* the kernel answers while we send; more than this is a bug somewhere */
	DUMP_TRIES = 16,
	REASON_MAX = 160,
};

struct nl {
	struct mnl_socket *sock;
	uint32_t port;
	uint32_t seq;
	size_t send_queue;
	char reason[REASON_MAX];
	uint8_t rx[RECEIVE_SIZE] __attribute__((aligned(16)));
};

/* One answer being received. */
struct answer {
	uint32_t first, last; /* sequence numbers of the request's messages */
	uint32_t end;	      /* the one whose acknowledgement is the end */
	nl_row_fn row;
	void *arg;
	int err;
	uint32_t failed; /* sequence number */
	bool interrupted;
};

/* --- socket --- */

static void set_options(const struct mnl_socket *sock)
{
	int fd = mnl_socket_get_fd(sock), on = 1, size = RECEIVE_QUEUE;
	struct timeval wait = {.tv_sec = ANSWER_WAIT_S};

	/* Wishes: without them everything still works, with less detail, more rows to pass over or
	 * more restarts. */
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
}

int nl_open(int bus, struct nl **ret)
{
	struct nl *nl = calloc(1, sizeof(*nl));
	int err;

	if (!nl)
		return -ENOMEM;
	nl->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->sock || mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		nl_close(nl);
		return err;
	}
	set_options(nl->sock);
	nl->port = mnl_socket_get_portid(nl->sock);
	*ret = nl;
	return 0;
}

void nl_close(struct nl *nl)
{
	if (!nl)
		return;
	if (nl->sock)
		mnl_socket_close(nl->sock);
	explicit_bzero(nl->rx, sizeof(nl->rx));
	free(nl);
}

int nl_fd(const struct nl *nl)
{
	return mnl_socket_get_fd(nl->sock);
}

uint32_t nl_port(const struct nl *nl)
{
	return nl->port;
}

const char *nl_reason(const struct nl *nl)
{
	return nl->reason;
}

/* --- sending --- */

/* The kernel refuses a datagram that is larger than the send queue. */
static void grow_send_queue(struct nl *nl, size_t len)
{
	int size;

	if (len + 4096 <= nl->send_queue)
		return;
	size = (int)(len + 4096);
	if (setsockopt(nl_fd(nl), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) == 0)
		nl->send_queue = (size_t)size;
}

static int send_bytes(struct nl *nl, const void *data, size_t len)
{
	grow_send_queue(nl, len);
	nl->reason[0] = '\0';
	for (;;) {
		ssize_t n = mnl_socket_sendto(nl->sock, data, len);

		if (n >= 0)
			return (size_t)n == len ? 0 : -EMSGSIZE;
		if (errno != EINTR)
			return -errno;
	}
}

/* --- receiving --- */

static const struct nl_policy reason_policy[NLMSGERR_ATTR_MSG + 1] = {
	[NLMSGERR_ATTR_MSG] = {NL_TEXT, 1},
};

/* With NETLINK_CAP_ACK the request is left out of the error message, but for its header. */
static void keep_reason(struct nl *nl, const struct nlmsghdr *nlh)
{
	const struct nlattr *tb[NLMSGERR_ATTR_MSG + 1];

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || !(nlh->nlmsg_flags & NLM_F_CAPPED))
		return;
	if (nl_parse(nlh, sizeof(struct nlmsgerr), reason_policy, tb, NLMSGERR_ATTR_MSG + 1) < 0)
		return;
	if (tb[NLMSGERR_ATTR_MSG])
		strncpy(nl->reason, mnl_attr_get_str(tb[NLMSGERR_ATTR_MSG]), REASON_MAX - 1);
}

static void note_error(struct answer *a, int err, uint32_t seq)
{
	if (a->err)
		return;
	a->err = err;
	a->failed = seq;
}

/* An error that no other answer follows: nfnetlink refuses a batch whole with an error of its
 * opening bracket, and gives up for want of memory with one of the message after that. What another
 * family sends after these is passed over later. */
static bool ends_all(const struct answer *a, int err, uint32_t seq)
{
	return seq == a->first || (err == -ENOMEM && seq == a->first + 1);
}

/* 1: the end of the answer. */
static int take_ack(struct nl *nl, struct answer *a, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*e) || e->error > 0)
		return -EPROTO;
	if (e->error) {
		if (!a->err)
			keep_reason(nl, nlh);
		note_error(a, e->error, nlh->nlmsg_seq);
	}
	return nlh->nlmsg_seq == a->end || (e->error && ends_all(a, e->error, nlh->nlmsg_seq));
}

static int take_done(struct answer *a, const struct nlmsghdr *nlh)
{
	int err;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(err)) {
		memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
		if (err < 0)
			note_error(a, err, nlh->nlmsg_seq);
	}
	return 1;
}

/* 1: the end of the answer, 0: more to come, <0: nonsense. What answers an older request is passed
 * over. */
static int take_message(struct nl *nl, struct answer *a, const struct nlmsghdr *nlh)
{
	if (nlh->nlmsg_pid != nl->port || nlh->nlmsg_seq - a->first > a->last - a->first)
		return 0;
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		a->interrupted = true;
	switch (nlh->nlmsg_type) {
	case NLMSG_ERROR:
		return take_ack(nl, a, nlh);
	case NLMSG_DONE:
		return take_done(a, nlh);
	case NLMSG_OVERRUN:
		a->interrupted = true;
		return 0;
	case NLMSG_NOOP:
		return 0;
	}
	if (a->row && !a->err && !a->interrupted)
		note_error(a, a->row(nlh, a->arg), nlh->nlmsg_seq);
	return 0;
}

static int take_datagram(struct nl *nl, struct answer *a, int len)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)nl->rx;
	int end = 0;

	for (; !end && mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
		end = take_message(nl, a, nlh);
	return end;
}

/* One datagram of the kernel's. Length, 0 for another sender's, or negative error. */
static int receive_bytes(struct nl *nl)
{
	struct sockaddr_nl from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(nl_fd(nl), nl->rx, sizeof(nl->rx), MSG_TRUNC, (struct sockaddr *)&from,
			     &from_len);

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if ((size_t)n > sizeof(nl->rx))
		return -EMSGSIZE;
	return from_len == sizeof(from) && from.nl_pid == 0 ? (int)n : 0;
}

static int receive(struct nl *nl, struct answer *a)
{
	for (;;) {
		int end, n = receive_bytes(nl);

		if (n == -EINTR)
			continue;
		if (n == -ENOBUFS) {
			a->interrupted = true; /* a dump goes on to its end all the same */
			continue;
		}
		if (n < 0)
			return n;
		end = take_datagram(nl, a, n);
		if (end)
			return end < 0 ? end : 0;
	}
}

/* --- one request --- */

static struct nlmsghdr *start(void *mem, uint16_t type, uint16_t flags, size_t n, void **ret_extra)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(mem);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	*ret_extra = mnl_nlmsg_put_extra_header(nlh, n);
	return nlh;
}

struct nlmsghdr *nl_start(struct nl_request *r, uint16_t type, uint16_t flags, size_t n,
			  void **ret_extra)
{
	memset(r, 0, sizeof(*r)); /* padding is sent too */
	return start(r->words, type, flags, n, ret_extra);
}

/* Keys may have passed through the receive buffer. */
static int exchange(struct nl *nl, struct nlmsghdr *request, struct answer *a)
{
	int err;

	request->nlmsg_seq = ++nl->seq;
	a->first = a->last = a->end = request->nlmsg_seq;
	err = send_bytes(nl, request, request->nlmsg_len);
	if (!err)
		err = receive(nl, a);
	explicit_bzero(nl->rx, sizeof(nl->rx));
	return err ? err : a->err;
}

int nl_talk(struct nl *nl, struct nlmsghdr *request, nl_row_fn row, void *arg)
{
	struct answer a = {.row = row, .arg = arg};
	int err;

	request->nlmsg_flags |= NLM_F_ACK;
	err = exchange(nl, request, &a);
	return err ? err : (a.interrupted ? -ENOBUFS : 0);
}

int nl_dump(struct nl *nl, struct nlmsghdr *request, void (*reset)(void *arg), nl_row_fn row,
	    void *arg)
{
	request->nlmsg_flags |= NLM_F_DUMP;
	for (int i = 0; i < DUMP_TRIES; i++) {
		struct answer a = {.row = row, .arg = arg};
		int err;

		reset(arg);
		err = exchange(nl, request, &a);
		if (!a.interrupted && err != -EINTR)
			return err;
	}
	return -EAGAIN;
}

/* --- batches --- */

static size_t align(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

void nl_batch_init(struct nl_batch *b, size_t max)
{
	*b = (struct nl_batch){.max = max};
}

void nl_batch_done(struct nl_batch *b)
{
	nl_batch_clear(b);
	free(b->data);
	b->data = NULL;
	b->cap = 0;
}

void nl_batch_clear(struct nl_batch *b)
{
	if (b->data)
		explicit_bzero(b->data, b->len);
	b->len = 0;
	b->n = 0;
	b->last = 0;
	b->err = 0;
}

bool nl_batch_has_room(const struct nl_batch *b, size_t room)
{
	return room <= b->max && b->len <= b->max - room;
}

/* Not realloc: it would leave a copy behind. */
static int grow(struct nl_batch *b, size_t room)
{
	size_t cap = b->cap ? b->cap : NL_MESSAGE_MAX;
	uint8_t *data;

	if (!nl_batch_has_room(b, room))
		return -ZT_ELIMIT;
	if (b->cap - b->len >= room)
		return 0;
	while (cap - b->len < room)
		cap *= 2;
	data = calloc(1, cap); /* padding is sent too */
	if (!data)
		return -ENOMEM;
	if (b->data) {
		memcpy(data, b->data, b->len);
		explicit_bzero(b->data, b->len);
		free(b->data);
	}
	b->data = data;
	b->cap = cap;
	return 0;
}

struct nlmsghdr *nl_batch_start(struct nl_batch *b, size_t room, uint16_t type, uint16_t flags,
				size_t n, void **ret_extra)
{
	if (!b->err)
		b->err = grow(b, room);
	if (b->err)
		return NULL;
	return start(b->data + b->len, type, flags, n, ret_extra);
}

void nl_batch_end(struct nl_batch *b, const struct nlmsghdr *nlh)
{
	b->last = b->len;
	b->len += align(nlh->nlmsg_len);
	b->n++;
}

/* Number the messages and ask one of them for its acknowledgement. */
static void number(struct nl *nl, struct nl_batch *b, uint32_t ack)
{
	size_t at = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)(b->data + at);

		nlh->nlmsg_seq = ++nl->seq;
		if (i == ack)
			nlh->nlmsg_flags |= NLM_F_ACK;
		at += align(nlh->nlmsg_len);
	}
}

int nl_batch_send(struct nl *nl, struct nl_batch *b, uint32_t ack, nl_row_fn row, void *arg,
		  uint32_t *ret_failed)
{
	struct answer a = {.first = nl->seq + 1, .last = nl->seq + b->n, .row = row, .arg = arg};
	int err;

	if (b->err || !b->n)
		return b->err;
	number(nl, b, ack);
	a.end = a.first + ack;
	err = send_bytes(nl, b->data, b->len);
	if (!err)
		err = receive(nl, &a);
	if (!err && a.interrupted)
		err = -ENOBUFS; /* an acknowledgement is lost: who knows which */
	*ret_failed = a.err ? a.failed - a.first : 0;
	return a.err ? a.err : err;
}

/* --- attributes --- */

static int check(const struct nlattr *attr, const struct nl_policy *policy)
{
	uint16_t len = mnl_attr_get_payload_len(attr);

	if (len < policy->min)
		return -EPROTO;
	if (policy->kind == NL_TEXT && !memchr(mnl_attr_get_payload(attr), '\0', len))
		return -EPROTO;
	return 0;
}

static int keep(const struct nlattr *attr, const struct nl_policy *policy, const struct nlattr **tb,
		size_t n)
{
	uint16_t type = mnl_attr_get_type(attr);
	int err;

	if (type >= n || policy[type].kind == NL_IGNORED)
		return 0;
	err = check(attr, &policy[type]);
	if (!err)
		tb[type] = attr;
	return err;
}

struct nl_attrs nl_attrs_of(const struct nlmsghdr *nlh, size_t header)
{
	const uint8_t *p = mnl_nlmsg_get_payload(nlh);
	size_t len = mnl_nlmsg_get_payload_len(nlh), skip = align(header);

	return skip <= len ? (struct nl_attrs){p + skip, len - skip} : (struct nl_attrs){p, 0};
}

struct nl_attrs nl_attrs_in(const struct nlattr *nest)
{
	return (struct nl_attrs){mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest)};
}

const struct nlattr *nl_attrs_next(struct nl_attrs *it)
{
	const struct nlattr *attr = (const struct nlattr *)it->p;
	size_t len;

	if (it->left < sizeof(*attr) || attr->nla_len < sizeof(*attr) || attr->nla_len > it->left)
		return NULL;
	len = align(attr->nla_len);
	if (len > it->left)
		len = it->left; /* the last one's padding may be left out */
	it->p += len;
	it->left -= len;
	return attr;
}

static int parse(struct nl_attrs it, const struct nl_policy *policy, const struct nlattr **tb,
		 size_t n)
{
	const struct nlattr *attr;
	int err = 0;

	memset(tb, 0, n * sizeof(*tb));
	while (!err && (attr = nl_attrs_next(&it)))
		err = keep(attr, policy, tb, n);
	return err;
}

int nl_parse(const struct nlmsghdr *nlh, size_t header, const struct nl_policy *policy,
	     const struct nlattr **tb, size_t n)
{
	if (mnl_nlmsg_get_payload_len(nlh) < header)
		return -EPROTO;
	return parse(nl_attrs_of(nlh, header), policy, tb, n);
}

int nl_parse_nest(const struct nlattr *nest, const struct nl_policy *policy,
		  const struct nlattr **tb, size_t n)
{
	return parse(nl_attrs_in(nest), policy, tb, n);
}

uint32_t nl_get_be32(const struct nlattr *attr)
{
	return ntohl(mnl_attr_get_u32(attr));
}

uint64_t nl_get_be64(const struct nlattr *attr)
{
	return be64toh(mnl_attr_get_u64(attr));
}

/* --- rows --- */

void *nl_rows_push(struct nl_rows *r)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 64;
		void *items = arena_array(r->arena, cap, r->size);

		if (!items)
			return NULL;
		if (r->items) {
			memcpy(items, r->items, r->n * r->size);
			explicit_bzero(r->items, r->n * r->size);
		}
		r->items = items;
		r->cap = cap;
	}
	return memset((uint8_t *)r->items + r->n++ * r->size, 0, r->size);
}
