/* Netlink by libmnl: requests, dumps and batches on one socket. Every answer is matched by sequence
 * number, every acknowledgement is waited for, every attribute that is read goes through a policy
 * table. Synchronous. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "zt/arena.h"
#include "zt/err.h"

enum {
	NL_REQUEST_MAX = 4096,	   /* one request that is no part of a batch */
	NL_NEST_MAX = 60 << 10,	   /* of one nested list: its length is 16 bits */
	NL_MESSAGE_MAX = 64 << 10, /* one message of a batch, all told */
	NL_ROUTE_BATCH_MAX = 512 << 10,
	NL_TABLE_BATCH_MAX = 64 << 20, /* ZT_GRANTS_MAX elements of both directions take 16 MB */
};

struct nl; /* a socket of one netlink family, CLOEXEC */

/* bus: NETLINK_ROUTE, NETLINK_GENERIC, NETLINK_NETFILTER. Errors: errno of the socket calls. */
int nl_open(int bus, struct nl **ret) ZT_MUST_USE;
void nl_close(struct nl *nl); /* NULL is fine */
int nl_fd(const struct nl *nl);
uint32_t nl_port(const struct nl *nl); /* our address: what notifications name as the one who
					  changed something */
/* What the kernel said about the last failure (extended acknowledgement); "" when it said nothing.
 */
const char *nl_reason(const struct nl *nl);

/* Called for each message of an answer. 0, or a negative error that ends the reading of rows. */
typedef int (*nl_row_fn)(const struct nlmsghdr *nlh, void *arg);

struct nl_request { /* memory of one request */
	uint32_t words[NL_REQUEST_MAX / 4];
};
/* Its header, and n zeroed bytes of a family's own header after it (in *ret_extra). */
struct nlmsghdr *nl_start(struct nl_request *r, uint16_t type, uint16_t flags, size_t n,
			  void **ret_extra);
/* Send one request and wait for its acknowledgement; row (may be NULL) gets what comes before it. 0
 * or the kernel's errno, negative. -EPROTO for an answer that does not make sense, -ETIMEDOUT. */
int nl_talk(struct nl *nl, struct nlmsghdr *request, nl_row_fn row, void *arg) ZT_MUST_USE;
/* Dump. Starts again when the kernel says that rows changed meanwhile or the socket overran (a few
 * times, then -EAGAIN); reset forgets the rows so far. */
int nl_dump(struct nl *nl, struct nlmsghdr *request, void (*reset)(void *arg), nl_row_fn row,
	    void *arg) ZT_MUST_USE;

/* Several messages in one sendmsg. Memory is wiped before it is freed: keys pass through it. */
struct nl_batch {
	uint8_t *data;
	size_t len, cap, max;
	size_t last; /* offset of the last message */
	uint32_t n;  /* messages */
	int err;     /* sticky: -ENOMEM, -ZT_ELIMIT */
};

void nl_batch_init(struct nl_batch *b, size_t max);
void nl_batch_done(struct nl_batch *b);
void nl_batch_clear(struct nl_batch *b); /* wipes, keeps the memory */
/* Begin a message of at most room bytes; NULL when it does not fit (b->err is set). */
struct nlmsghdr *nl_batch_start(struct nl_batch *b, size_t room, uint16_t type, uint16_t flags,
				size_t n, void **ret_extra);
void nl_batch_end(struct nl_batch *b, const struct nlmsghdr *nlh); /* the message is complete */
bool nl_batch_has_room(const struct nl_batch *b, size_t room);
/* Send all. The acknowledgement is asked of message number ack (0: the first); errors come for
 * every one. 0, or the first error, whose message number is in *ret_failed. row gets what else
 * comes (may be NULL). */
int nl_batch_send(struct nl *nl, struct nl_batch *b, uint32_t ack, nl_row_fn row, void *arg,
		  uint32_t *ret_failed) ZT_MUST_USE;

/* What an attribute must look like to be believed; others of the message are skipped. */
struct nl_policy {
	uint16_t kind; /* enum nl_kind */
	uint16_t min;  /* bytes; of a text with its NUL */
};
enum nl_kind { NL_IGNORED, NL_BYTES, NL_TEXT, NL_NEST };

/* Fill tb[0..n-1] by attribute type. Missing ones are NULL. -EPROTO when one breaks the policy. */
int nl_parse(const struct nlmsghdr *nlh, size_t header, const struct nl_policy *policy,
	     const struct nlattr **tb, size_t n) ZT_MUST_USE;
int nl_parse_nest(const struct nlattr *nest, const struct nl_policy *policy,
		  const struct nlattr **tb, size_t n) ZT_MUST_USE;
/* The attributes of a message after its family's header, or inside of a nest, one after the other;
 * NULL at the end. */
struct nl_attrs {
	const uint8_t *p;
	size_t left;
};
struct nl_attrs nl_attrs_of(const struct nlmsghdr *nlh, size_t header);
struct nl_attrs nl_attrs_in(const struct nlattr *nest);
const struct nlattr *nl_attrs_next(struct nl_attrs *it);

/* Values in host order of attributes in network order, as nfnetlink writes them. */
uint32_t nl_get_be32(const struct nlattr *attr);
uint64_t nl_get_be64(const struct nlattr *attr);

/* An array that grows in an arena while a dump is read. Old copies are wiped. */
struct nl_rows {
	struct arena *arena;
	void *items;
	size_t n, cap, size;
};
/* Room for one more item, zeroed; NULL when the arena is full. */
void *nl_rows_push(struct nl_rows *r) ZT_MUST_USE;
