/* For tests of ztnode/kern: nodes whose wanted state is made by hand, and packets between them. One
 * process has a kernel object, and sockets, in several network namespaces. Whatever cannot be done
 * at all ends the test. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "zt/clock.h"
#include "ztnode/core/plan.h"
#include "ztnode/kern/kernel.h"

enum {
	LAB_ELEMS_MAX = 64,
	LAB_PEERS_MAX = 4,
	LAB_SPANS_MAX = 8,
	LAB_HOUR_MS = 3600 * 1000,
	LAB_PATIENCE_MS = 5000
};

/* --- verdicts --- */

void check(bool holds, const char *what, ...)
	ZT_PRINTF(2, 3); /* prints "ok - ..." or "not ok - ..." */
int check_failures(void);
_Noreturn void give_up(const char *what, int err);
int64_t now_ms(void); /* CLOCK_BOOTTIME */

/* --- nodes --- */

struct node {
	const char *ns;		/* network namespace, as ip netns names it */
	struct addr overlay[2]; /* IPv4, IPv6 */
	struct endpoint underlay;
	struct secret priv;
	struct key pub;
	struct kernel *k;
	struct kstate want;
	struct kpeer peers[LAB_PEERS_MAX];
	struct kelem elems[LAB_ELEMS_MAX];
	struct kspan spans[LAB_SPANS_MAX];
};

/* number: last part of its addresses, and its key. */
void node_init(struct node *n, const char *ns, uint8_t number, const char *underlay);
void node_peer(struct node *n, const struct node *peer);
void node_grant(struct node *n,
		const struct kelem *e); /* expires in an hour when it does not say */
void node_clear_grants(struct node *n);
void enter(const char *ns); /* the calling thread's namespace from now on */

/* Read, plan, execute. The number of operations. */
size_t node_apply(struct node *n);
/* As the kernel has it; the memory lasts until the next call. */
struct kstate node_read(struct node *n);
/* What would be done now? */
size_t node_planned(struct node *n);
/* Packets that the node's table denied so far, in or out. */
uint64_t node_denied(const struct node *n, bool in);
void run(const char *ns, const char *fmt, ...) ZT_PRINTF(2, 3); /* a shell command there */

/* --- packets --- */

enum outcome {
	OUTCOME_PASSED,
	OUTCOME_REFUSED, /* by the sender's own filter, and the program was told */
	OUTCOME_DROPPED, /* by the receiver's filter */
	OUTCOME_LOST,	 /* neither arrived nor was counted */
};
const char *outcome_name(enum outcome o);

struct probe {
	const struct node *from, *to;
	int family;    /* 0 IPv4, 1 IPv6 */
	uint8_t proto; /* SERVICE_TCP, SERVICE_UDP, SERVICE_ICMP */
	uint16_t port;
	size_t size;		/* payload of UDP and ICMP; 0: a few bytes */
	const struct node *via; /* whose filter is to drop it on its way; NULL: to's */
};
/* One attempt: a TCP connection, a UDP datagram and its echo, an ICMP echo and its answer. */
enum outcome probe(const struct probe *p);

/* An open TCP connection; fds[0] is the client's. */
bool tcp_open(const struct probe *p, int fds[static 2]);
bool tcp_carries(int from, int to, int ms); /* a byte gets through in time */
/* Writes until it fails: the error; 0 when it does not in time. */
int tcp_error(int fd);

/* A socket of the node's, bound to its overlay address; family -1: to any IPv4 address. */
int udp_socket(const struct node *n, int family, uint16_t port);
void udp_connect(int fd, const struct node *to, int family, uint16_t port);
/* Sees all that arrives on the node's cable, and leaves by it. */
int watch_cable(const struct node *n);
size_t overlay_packets(int cable); /* of what was seen: with an overlay address as destination */
/* A socket that hears, on any of the node's addresses, what comes to this port for `group` too (a
 * multicast address; else nothing is joined). */
int hear(const struct node *n, const char *group, uint16_t port);
/* A UDP datagram from the node's overlay address by its zt0, whatever the routes say. 0 or errno.
 */
int send_by_tunnel(const struct node *n, const char *to, uint16_t port);
bool has_heard(int fd, int ms); /* a datagram; it is taken */
/* In a namespace without a node: a TCP socket that listens on any address of the family. */
int tcp_listen(const char *ns, int family, uint16_t port);
/* A TCP connection that is being made to an address outside of the overlay's own nodes. */
int tcp_call(const struct node *from, const char *source, const char *to, uint16_t port);
/* An ICMP "port unreachable" of from's to to's, about a UDP packet of `source`:port to
 * `target`:dport, as it was sent. The errno of sending. */
int send_icmp_error(const struct node *from, const struct node *to, int family,
		    const struct node *source, uint16_t port, const struct node *target,
		    uint16_t dport);
