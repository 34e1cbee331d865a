/* What passes between two nodes, and how long (kernel_tests.h). */
#include "tests/lab/kernel_tests.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- what is granted passes, nothing else does --- */

struct service_row {
	const char *name;
	uint8_t proto;
	uint16_t port;
	size_t size;
};

/* First nothing, then the sender's half, then both. */
static void check_service(int family, const struct service_row *row)
{
	struct probe p = {&a, &b, family, row->proto, row->port, row->size, NULL};
	struct probe back = {&b, &a, family, row->proto, row->port, row->size, NULL};
	struct probe other = {&c, &b, family, row->proto, row->port, row->size, NULL};
	char what[128];

	nothing_granted();
	snprintf(what, sizeof(what), "%s without a grant", row->name);
	expect(&p, OUTCOME_REFUSED, what);
	grant_on(&a, port_grant(&a, &b, family, row->proto, row->port));
	snprintf(what, sizeof(what), "%s that only its source believes in", row->name);
	expect(&p, OUTCOME_DROPPED, what);
	grant_on(&b, port_grant(&a, &b, family, row->proto, row->port));
	snprintf(what, sizeof(what), "%s that is granted", row->name);
	expect(&p, OUTCOME_PASSED, what);
	snprintf(what, sizeof(what), "%s the other way round", row->name);
	expect(&back, OUTCOME_REFUSED, what);
	grant_on(&c, port_grant(&c, &b, family, row->proto, row->port));
	snprintf(what, sizeof(what), "%s of another peer", row->name);
	expect(&other, OUTCOME_DROPPED, what);
}

void test_services(void)
{
	static const struct service_row rows[] = {
		{"a TCP connection", SERVICE_TCP, 5432, 0},
		{"a UDP datagram", SERVICE_UDP, 5353, 0},
		{"a UDP datagram of 4000 bytes, in fragments", SERVICE_UDP, 5354, 4000},
		{"an echo", SERVICE_ICMP, 0, 0},
		{"an echo of 4000 bytes, in fragments", SERVICE_ICMP, 0, 4000},
	};

	for (int family = 0; family < 2; family++)
		for (size_t i = 0; i < N_OF(rows); i++)
			check_service(family, &rows[i]);
}

void test_neighbours_of_a_grant(void)
{
	for (int family = 0; family < 2; family++) {
		struct probe port = {&a, &b, family, SERVICE_TCP, 5433, 0, NULL};
		struct probe proto = {&a, &b, family, SERVICE_UDP, 5432, 0, NULL};
		struct probe echo = {&a, &b, family, SERVICE_ICMP, 0, 0, NULL};
		struct probe same_on_other_family = {&a, &b, !family, SERVICE_TCP, 5432, 0, NULL};

		nothing_granted();
		grant_on_both(&a, &b, port_grant(&a, &b, family, SERVICE_TCP, 5432));
		expect(&port, OUTCOME_REFUSED, "the next port");
		expect(&proto, OUTCOME_REFUSED, "the same port of another protocol");
		expect(&echo, OUTCOME_REFUSED, "an echo beside a TCP grant");
		expect(&same_on_other_family, OUTCOME_REFUSED,
		       "what is granted for the other family");
	}
}

void test_ranges(void)
{
	static const struct {
		uint8_t proto;
		uint16_t port;
		bool passes;
		const char *name;
	} rows[] = {
		{SERVICE_TCP, 7999, false, "the port before the range"},
		{SERVICE_TCP, 8000, true, "the first port of the range"},
		{SERVICE_TCP, 8009, true, "the last port of the range"},
		{SERVICE_TCP, 8010, false, "the port after it, of a class that is not granted"},
		{SERVICE_TCP, 65535, true, "the last port of all"},
		{SERVICE_TCP, 64999, false, "a port of no class"},
		{SERVICE_UDP, 1, true, "any UDP port"},
		{SERVICE_ICMP, 0, false, "an echo, when all of UDP is granted"},
	};

	for (int family = 0; family < 2; family++) {
		nothing_granted();
		set_spans(&a);
		set_spans(&b);
		check(node_planned(&a) == 0, "classes of ports are read as they were written");
		for (size_t i = 0; i < N_OF(rows); i++) {
			struct probe p = {&a, &b, family, rows[i].proto, rows[i].port, 0, NULL};

			expect(&p, OUTCOME_REFUSED, rows[i].name);
		}
		for (uint32_t class_id = 1; class_id <= 4; class_id++)
			if (class_id != 2)
				grant_on_both(&a, &b, class_grant(&a, &b, family, class_id));
		for (size_t i = 0; i < N_OF(rows); i++) {
			struct probe p = {&a, &b, family, rows[i].proto, rows[i].port, 0, NULL};

			expect(&p, rows[i].passes ? OUTCOME_PASSED : OUTCOME_REFUSED, rows[i].name);
		}
	}
}

void test_any(void)
{
	static const uint8_t protos[] = {SERVICE_TCP, SERVICE_UDP, SERVICE_ICMP};

	for (int family = 0; family < 2; family++) {
		nothing_granted();
		grant_on(&a, class_grant(&a, &b, family, 0));
		for (size_t i = 0; i < N_OF(protos); i++) {
			struct probe p = {&a, &b, family, protos[i], 1234, 0, NULL};

			expect(&p, OUTCOME_DROPPED, "any service, granted at its source");
		}
		grant_on(&b, class_grant(&a, &b, family, 0));
		for (size_t i = 0; i < N_OF(protos); i++) {
			struct probe p = {&a, &b, family, protos[i], 1234, 0, NULL};
			struct probe back = {&b, &a, family, protos[i], 1234, 0, NULL};

			expect(&p, OUTCOME_PASSED, "any service, granted");
			expect(&back, OUTCOME_REFUSED, "any service, the other way round");
		}
	}
}

/* --- a connection lives as long as its grant --- */

static struct op_list one_op(struct op *op, enum op_kind kind, const struct kelem *e)
{
	*op = (struct op){.kind = kind};
	op->elem = e;
	return (struct op_list){op, 1};
}

static int exec(struct node *n, enum op_kind kind, const struct kelem *e)
{
	struct op op;
	struct op_list ops = one_op(&op, kind, e);
	struct diag d = {0};
	int err = kernel_exec(n->k, &ops, &n->priv, &n->want, now_ms(), &d);

	if (err)
		printf("# %s\n", d.message);
	return err;
}

static void close_both(const int fds[static 2])
{
	close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
}

static void check_cut(int family, struct node *where, int end, const char *name)
{
	struct kelem e = port_grant(&a, &b, family, SERVICE_TCP, 22);
	struct probe p = {&a, &b, family, SERVICE_TCP, 22, 0, NULL};
	int64_t start;
	int fds[2], err;

	nothing_granted();
	grant_on_both(&a, &b, e);
	check(tcp_open(&p, fds) && tcp_carries(fds[0], fds[1], LAB_PATIENCE_MS) &&
		      tcp_carries(fds[1], fds[0], LAB_PATIENCE_MS),
	      "%s: a granted connection carries data both ways", family_name[family]);
	exec(where, OP_ELEM_DEL, &e);
	start = now_ms();
	err = tcp_error(fds[end]);
	check(err == ECONNRESET || err == EPIPE, "%s: %s is reset when its grant goes (%s, %d ms)",
	      family_name[family], name, zt_strerror(err), (int)(now_ms() - start));
	close_both(fds);
}

void test_cut(void)
{
	for (int family = 0; family < 2; family++) {
		check_cut(family, &a, 0, "an open connection's client");
		check_cut(family, &b, 1, "an open connection's server");
	}
}

void test_cut_at_the_far_end(void)
{
	struct kelem e = port_grant(&a, &b, 0, SERVICE_TCP, 22);
	struct probe p = {&a, &b, 0, SERVICE_TCP, 22, 0, NULL};
	uint64_t before;
	int fds[2];

	nothing_granted();
	grant_on_both(&a, &b, e);
	check(tcp_open(&p, fds) && tcp_carries(fds[0], fds[1], LAB_PATIENCE_MS),
	      "a connection is open");
	before = node_denied(&b, true);
	exec(&b, OP_ELEM_DEL, &e);
	check(send(fds[0], "x", 1, MSG_NOSIGNAL) == 1 && denies_more(&b, true, before),
	      "a source that goes on is dropped at its destination");
	close_both(fds);
}

/* With nobody there to end it: both kernel objects are closed. */
void test_expiry(void)
{
	struct kelem e = port_grant(&a, &b, 0, SERVICE_TCP, 22);
	struct probe p = {&a, &b, 0, SERVICE_TCP, 22, 0, NULL};
	struct diag d;
	int64_t ended;
	int fds[2];

	nothing_granted();
	e.expires_ms = now_ms() + 1500;
	grant_on_both(&a, &b, e);
	check(node_planned(&a) == 0, "the expiry is read as it was written");
	check(tcp_open(&p, fds), "a connection that is granted for 1.5 s is open");
	kernel_close(a.k);
	kernel_close(b.k);
	while (tcp_carries(fds[0], fds[1], 200))
		poll(NULL, 0, 5);
	ended = now_ms() - e.expires_ms;
	check(ended >= -100 && ended < 500,
	      "it ends by itself, with no process running (%d ms after)", (int)ended);
	close_both(fds);
	enter(a.ns);
	if (kernel_open("zt0", &a.k, &d) < 0)
		give_up(d.message, -EIO);
	enter(b.ns);
	if (kernel_open("zt0", &b.k, &d) < 0)
		give_up(d.message, -EIO);
	node_clear_grants(&a);
	check(node_apply(&a) == 1,
	      "a new process cannot know the table and writes it again, and nothing else");
	node_apply(&b);
}

void test_elements_that_are_gone(void)
{
	struct kelem e = port_grant(&a, &b, 0, SERVICE_TCP, 22), over = e;

	nothing_granted();
	check(exec(&a, OP_ELEM_DEL, &e) == 0, "deleting what timed out meanwhile is no error");
	check(node_planned(&a) == 0, "and all is as wanted");
	grant_on(&a, e);
	check(exec(&a, OP_ELEM_ADD, &e) == 0 && node_planned(&a) == 0,
	      "adding what is there already neither");
	over.value = 23;
	over.expires_ms = now_ms() - 1;
	check(exec(&a, OP_ELEM_ADD, &over) == 0 && node_planned(&a) == 0,
	      "what is over already is not added");
}

/* A renewal replaces elements by themselves: no packet may find a hole. */
void test_renewal(void)
{
	struct probe p = {&a, &b, 0, SERVICE_TCP, 22, 0, NULL};
	int fds[2];
	bool fine;

	nothing_granted();
	grant_on_both(&a, &b, port_grant(&a, &b, 0, SERVICE_TCP, 22));
	fine = tcp_open(&p, fds);
	for (int i = 1; fine && i <= 20; i++) {
		a.elems[0].expires_ms += i * 10000;
		fine = node_apply(&a) == 2 && node_planned(&a) == 0 &&
		       tcp_carries(fds[0], fds[1], LAB_PATIENCE_MS);
	}
	check(fine, "a grant is renewed 20 times under an open connection");
	close_both(fds);
}

/* --- ICMP errors --- */

static int error_of(int fd, int ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	int err = 0;
	socklen_t len = sizeof(err);

	if (poll(&p, 1, ms) == 1)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	return err;
}

static int connected_udp(int family)
{
	int fd = udp_socket(&a, family, 40001);

	udp_connect(fd, &b, family, 5000);
	return fd;
}

static void check_errors(int family)
{
	struct kelem e = port_grant(&a, &b, family, SERVICE_UDP, 5000);
	uint64_t before;
	int fd;

	nothing_granted();
	grant_on_both(&a, &b, e);
	fd = connected_udp(family);
	check(send(fd, "x", 1, 0) == 1 && error_of(fd, LAB_PATIENCE_MS) == ECONNREFUSED,
	      "%s: an ICMP error about a granted connection passes", family_name[family]);

	before = node_denied(&a, true);
	exec(&a, OP_ELEM_DEL, &e);
	check(send_icmp_error(&b, &a, family, &a, 40001, &b, 5000) == 0 &&
		      denies_more(&a, true, before),
	      "%s: the same error is dropped when the connection's grant is gone",
	      family_name[family]);
	check(error_of(fd, 0) == 0, "%s: and the program does not see it", family_name[family]);
	exec(&a, OP_ELEM_ADD, &e);
	close(fd);
}

/* c has no filter, as a hostile device would have it. It may open another port on b than the one it
 * speaks about. */
static void check_errors_of_strangers(int family)
{
	uint64_t before = node_denied(&b, true);
	int fd = connected_udp(family);

	grant_on(&b, port_grant(&c, &b, family, SERVICE_UDP, 5001));
	send(fd, "x", 1, 0);
	error_of(fd, LAB_PATIENCE_MS);
	check(send_icmp_error(&c, &b, family, &b, 5000, &a, 40001) == 0 &&
		      denies_more(&b, true, before),
	      "%s: another peer's error about that connection is dropped", family_name[family]);
	before = node_denied(&b, true);
	check(send_icmp_error(&c, &b, family, &c, 1, &b, 5001) == 0 &&
		      denies_more(&b, true, before),
	      "%s: an error about no connection is dropped", family_name[family]);
	close(fd);
}

void test_icmp_errors(void)
{
	for (int family = 0; family < 2; family++) {
		check_errors(family);
		run("c", "nft delete table inet ztnode");
		check_errors_of_strangers(family);
		node_apply(&c);
	}
}
