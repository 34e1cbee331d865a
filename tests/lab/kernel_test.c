/* ztnode/kern against a real kernel: what is written is read back, only what is granted passes, and
 * what other hands change is seen and put right. tests/lab/kernel.sh makes the network and runs
 * this in the lab:
 *
 *        a zt0 100.64.0.1          b zt0 100.64.0.2          c zt0 100.64.0.3        big
 *              fd7a::1                   fd7a::2                   fd7a::3           (10,000 peers,
 * no network) eth0 192.0.2.1            eth0 192.0.2.2            eth0 192.0.2.3
 *             +------------------------- hub -------------------------+
 *
 * a and b are peers, and b and c. The rights in question are a's and c's to open something on b. */
#include "tests/lab/kernel_lab.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zt/loop.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct node a, b, c, big;
static const char *const family_name[] = {"IPv4", "IPv6"};

/* --- words --- */

static struct kelem port_grant(const struct node *from, const struct node *to, int family,
			       uint8_t proto, uint16_t port)
{
	return (struct kelem){
		.set = KSET_PORT,
		.src = from->overlay[family],
		.dst = to->overlay[family],
		.proto = proto,
		.value = port,
		.rule = 12,
	};
}

static struct kelem class_grant(const struct node *from, const struct node *to, int family,
				uint32_t class_id)
{
	return (struct kelem){
		.set = KSET_SPAN,
		.src = from->overlay[family],
		.dst = to->overlay[family],
		.value = class_id,
		.rule = 13,
	};
}

static void grant_on(struct node *n, struct kelem e)
{
	node_grant(n, &e);
	node_apply(n);
}

static void grant_on_both(struct node *x, struct node *y, struct kelem e)
{
	grant_on(x, e);
	grant_on(y, e);
}

static void nothing_granted(void)
{
	struct node *nodes[] = {&a, &b, &c};

	for (size_t i = 0; i < N_OF(nodes); i++) {
		node_clear_grants(nodes[i]);
		node_apply(nodes[i]);
	}
}

static void expect(const struct probe *p, enum outcome wanted, const char *what)
{
	enum outcome got = probe(p);

	if (got == wanted)
		check(true, "%s: %s is %s", family_name[p->family], what, outcome_name(wanted));
	else
		check(false, "%s: %s is %s (it is %s)", family_name[p->family], what,
		      outcome_name(wanted), outcome_name(got));
}

static bool denies_more(const struct node *n, bool in, uint64_t before)
{
	for (int64_t end = now_ms() + LAB_PATIENCE_MS; now_ms() < end; poll(NULL, 0, 5))
		if (node_denied(n, in) > before)
			return true;
	return false;
}

/* --- what is written is read --- */

static void test_state(void)
{
	struct kstate s;

	check(node_apply(&a) > 0, "an empty kernel needs operations");
	check(node_planned(&a) == 0, "then it has what is wanted");
	s = node_read(&a);
	check(s.link_exists && s.link_is_ours && s.link_up && s.mtu == 1420,
	      "the interface is there, ours and up");
	check(key_equal(&s.pub, &a.pub) && s.port == 51820, "it has its key and port");
	check(s.n_peers == 1 && s.peers[0].has_psk &&
		      secret_equal(&s.peers[0].psk, &a.peers[0].psk) && s.peers[0].n_allowed == 2 &&
		      endpoint_equal(&s.peers[0].endpoint, &b.underlay),
	      "the peer has its preshared key, its two addresses and its endpoint");
	check(s.n_addrs == 2 && s.n_routes == 4 && s.table_ok,
	      "addresses, routes and filter are there");
	node_apply(&b);
	node_apply(&c);
}

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
	struct probe p = {&a, &b, family, row->proto, row->port, row->size};
	struct probe back = {&b, &a, family, row->proto, row->port, row->size};
	struct probe other = {&c, &b, family, row->proto, row->port, row->size};
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

static void test_services(void)
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

static void test_neighbours_of_a_grant(void)
{
	for (int family = 0; family < 2; family++) {
		struct probe port = {&a, &b, family, SERVICE_TCP, 5433, 0};
		struct probe proto = {&a, &b, family, SERVICE_UDP, 5432, 0};
		struct probe echo = {&a, &b, family, SERVICE_ICMP, 0, 0};
		struct probe same_on_other_family = {&a, &b, !family, SERVICE_TCP, 5432, 0};

		nothing_granted();
		grant_on_both(&a, &b, port_grant(&a, &b, family, SERVICE_TCP, 5432));
		expect(&port, OUTCOME_REFUSED, "the next port");
		expect(&proto, OUTCOME_REFUSED, "the same port of another protocol");
		expect(&echo, OUTCOME_REFUSED, "an echo beside a TCP grant");
		expect(&same_on_other_family, OUTCOME_REFUSED,
		       "what is granted for the other family");
	}
}

static void set_spans(struct node *n)
{
	n->spans[0] = (struct kspan){SERVICE_TCP, 8000, 8009, 1};
	n->spans[1] = (struct kspan){SERVICE_TCP, 8010, 8019, 2};
	n->spans[2] = (struct kspan){SERVICE_TCP, 65000, 65535, 3};
	n->spans[3] = (struct kspan){SERVICE_UDP, 0, 65535, 4};
	n->want.n_spans = 4;
	node_apply(n);
}

static void test_ranges(void)
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
			struct probe p = {&a, &b, family, rows[i].proto, rows[i].port, 0};

			expect(&p, OUTCOME_REFUSED, rows[i].name);
		}
		for (uint32_t class_id = 1; class_id <= 4; class_id++)
			if (class_id != 2)
				grant_on_both(&a, &b, class_grant(&a, &b, family, class_id));
		for (size_t i = 0; i < N_OF(rows); i++) {
			struct probe p = {&a, &b, family, rows[i].proto, rows[i].port, 0};

			expect(&p, rows[i].passes ? OUTCOME_PASSED : OUTCOME_REFUSED, rows[i].name);
		}
	}
}

static void test_any(void)
{
	static const uint8_t protos[] = {SERVICE_TCP, SERVICE_UDP, SERVICE_ICMP};

	for (int family = 0; family < 2; family++) {
		nothing_granted();
		grant_on(&a, class_grant(&a, &b, family, 0));
		for (size_t i = 0; i < N_OF(protos); i++) {
			struct probe p = {&a, &b, family, protos[i], 1234, 0};

			expect(&p, OUTCOME_DROPPED, "any service, granted at its source");
		}
		grant_on(&b, class_grant(&a, &b, family, 0));
		for (size_t i = 0; i < N_OF(protos); i++) {
			struct probe p = {&a, &b, family, protos[i], 1234, 0};
			struct probe back = {&b, &a, family, protos[i], 1234, 0};

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
	struct probe p = {&a, &b, family, SERVICE_TCP, 22, 0};
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

static void test_cut(void)
{
	for (int family = 0; family < 2; family++) {
		check_cut(family, &a, 0, "an open connection's client");
		check_cut(family, &b, 1, "an open connection's server");
	}
}

static void test_cut_at_the_far_end(void)
{
	struct kelem e = port_grant(&a, &b, 0, SERVICE_TCP, 22);
	struct probe p = {&a, &b, 0, SERVICE_TCP, 22, 0};
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
static void test_expiry(void)
{
	struct kelem e = port_grant(&a, &b, 0, SERVICE_TCP, 22);
	struct probe p = {&a, &b, 0, SERVICE_TCP, 22, 0};
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

static void test_elements_that_are_gone(void)
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
static void test_renewal(void)
{
	struct probe p = {&a, &b, 0, SERVICE_TCP, 22, 0};
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

static void test_icmp_errors(void)
{
	for (int family = 0; family < 2; family++) {
		check_errors(family);
		run("c", "nft delete table inet ztnode");
		check_errors_of_strangers(family);
		node_apply(&c);
	}
}

/* --- other ways in and out --- */

/* c sends to b's overlay address over the cable, with an address and a port that b would grant in
 * the tunnel. */
static void test_overlay_address_on_the_cable(void)
{
	struct probe p = {&c, &b, 0, SERVICE_UDP, 5000, 0};

	nothing_granted();
	grant_on(&b, port_grant(&c, &b, 0, SERVICE_UDP, 5000));
	run("c", "nft delete table inet ztnode");
	expect(&p, OUTCOME_PASSED, "what is granted, in the tunnel");
	run("c", "ip route add 100.64.0.2/32 via 192.0.2.2 dev eth0");
	expect(&p, OUTCOME_DROPPED, "the same beside the tunnel");
	run("c", "ip route del 100.64.0.2/32 via 192.0.2.2 dev eth0");
	node_apply(&c);
}

/* Without the tunnel nothing for the overlay leaves in clear: the route is unreachable, and where
 * another has put a better one, the filter refuses. */
static void test_nothing_leaves_in_clear(void)
{
	struct probe p = {&a, &b, 0, SERVICE_UDP, 5000, 0};
	int cable = watch_cable(&b);
	uint64_t before;

	nothing_granted();
	grant_on(&a, port_grant(&a, &b, 0, SERVICE_UDP, 5000));
	run("a", "ip link del zt0; ip addr add 100.64.0.1/32 dev lo");
	before = node_denied(&a, false);
	check(probe(&p) == OUTCOME_LOST && node_denied(&a, false) == before,
	      "without a tunnel there is no way");
	run("a", "ip route add 100.64.0.0/10 via 192.0.2.2 dev eth0");
	expect(&p, OUTCOME_REFUSED, "what a better route would send in clear");
	check(overlay_packets(cable) == 0, "the cable has not seen an overlay address");
	run("a",
	    "ip route del 100.64.0.0/10 via 192.0.2.2 dev eth0; ip addr del 100.64.0.1/32 dev lo");
	check(node_apply(&a) > 0 && node_planned(&a) == 0, "the tunnel comes back");
	close(cable);
}

/* c, without a filter, makes b its way to a. */
static void test_nothing_is_forwarded(void)
{
	struct probe p = {&c, &a, 0, SERVICE_UDP, 5000, 0};
	uint64_t before = node_denied(&b, true);
	char key[KEY_TEXT_MAX];

	nothing_granted();
	grant_on(&b, port_grant(&c, &a, 0, SERVICE_UDP, 5000));
	grant_on(&a, port_grant(&c, &a, 0, SERVICE_UDP, 5000));
	key_print(&b.pub, key);
	run("b", "sysctl -qw net.ipv4.ip_forward=1");
	run("c",
	    "nft delete table inet ztnode; wg set zt0 peer %s allowed-ips "
	    "100.64.0.1/32,100.64.0.2/32",
	    key);
	check(probe(&p) == OUTCOME_LOST && node_denied(&b, true) > before,
	      "nothing is forwarded between two peers");
	run("b", "sysctl -qw net.ipv4.ip_forward=0");
	node_apply(&c);
}

/* Other programs' address translation: the header that the service sees decides. */
static void test_translation_by_others(void)
{
	struct probe p = {&a, &b, 0, SERVICE_TCP, 8080, 0};

	nothing_granted();
	grant_on_both(&a, &b, port_grant(&a, &b, 0, SERVICE_TCP, 8080));
	expect(&p, OUTCOME_PASSED, "a granted port");
	run("b", "nft add table ip docker; nft add chain ip docker pre \"{ type nat hook "
		 "prerouting priority -100; }\"; "
		 "nft add rule ip docker pre tcp dport 8080 redirect to :22");
	expect(&p, OUTCOME_DROPPED, "one that others lead to a port that is not");
	run("b", "nft delete table ip docker; nft add table ip raw; "
		 "nft add chain ip raw pre \"{ type filter hook prerouting priority -300; }\"; "
		 "nft add rule ip raw pre notrack");
	expect(&p, OUTCOME_DROPPED, "a packet that others hide from connection tracking");
	run("b", "nft delete table ip raw");
	expect(&p, OUTCOME_PASSED, "a granted port, without them,");
}

static void test_loopback(void)
{
	struct probe p = {&a, &a, 0, SERVICE_TCP, 80, 0};

	nothing_granted();
	expect(&p, OUTCOME_PASSED, "a device's talk with itself");
}

/* --- other hands --- */

/* What nft 1.0.6 cannot show it does not refuse: it aborts, with the rules of everybody else. */
static void test_listing(void)
{
	nothing_granted();
	set_spans(&a);
	grant_on(&a, class_grant(&a, &b, 1, 1));
	grant_on(&a, port_grant(&a, &b, 0, SERVICE_TCP, 22));
	run("a", "nft list ruleset >/dev/null && nft -j list ruleset >/dev/null && "
		 "nft list table inet ztnode | grep -q \"rule 12\"");
	check(true, "nft shows our table, and the rule that each grant comes from");
}

static void test_meddling(void)
{
	static const struct {
		const char *says, *command;
	} rows[] = {
		{"the whole ruleset flushed", "nft flush ruleset"},
		{"our table deleted", "nft delete table inet ztnode"},
		{"a rule added in front", "nft insert rule inet ztnode input accept"},
		{"a rule added to an inner chain", "nft insert rule inet ztnode ports4 accept"},
		{"a chain flushed", "nft flush chain inet ztnode output"},
		{"a chain's policy changed", "nft chain inet ztnode input \"{ policy drop; }\""},
		{"a chain added",
		 "nft add chain inet ztnode more \"{ type filter hook input priority -5; }\""},
		{"the table put to sleep", "nft add table inet ztnode \"{ flags dormant; }\""},
		{"a grant added", "nft add element inet ztnode grants4 \"{ 100.64.0.2 . 100.64.0.1 "
				  ". tcp . 22 timeout 1h }\""},
		{"a grant added for ever",
		 "nft add element inet ztnode spans6 \"{ fd7a::2 . fd7a::1 . 0x0 }\""},
		{"a grant deleted", "nft delete element inet ztnode grants4 \"{ 100.64.0.1 . "
				    "100.64.0.2 . tcp . 22 }\""},
		{"a grant of a protocol that we do not know",
		 "nft add element inet ztnode grants4 \"{ 100.64.0.2 . 100.64.0.1 . sctp . 22 "
		 "timeout 1h }\""},
		{"all grants flushed", "nft flush set inet ztnode grants4"},
		{"a class added",
		 "nft add element inet ztnode classes \"{ tcp . 1-9 : 0x0 . 0x9 }\""},
		{"a peer's addresses changed",
		 "wg set zt0 peer \"$(wg show zt0 peers)\" allowed-ips 0.0.0.0/0"},
		{"a peer's addresses widened", "wg set zt0 peer \"$(wg show zt0 peers)\" "
					       "allowed-ips 100.64.0.2/32,fd7a::2/128,10.0.0.0/8"},
		{"a peer's preshared key taken away",
		 "wg set zt0 peer \"$(wg show zt0 peers)\" preshared-key /dev/null"},
		{"a peer removed", "wg set zt0 peer \"$(wg show zt0 peers)\" remove"},
		{"a peer added", "wg set zt0 peer zo060cy2M+x7cMF4FKXHbs0CloUFDTRHRboFhw5YfVg= "
				 "allowed-ips 0.0.0.0/0"},
		{"another key", "wg genkey | wg set zt0 private-key /dev/stdin"},
		{"another port", "wg set zt0 listen-port 1"},
		{"an address deleted", "ip addr del 100.64.0.1/32 dev zt0"},
		{"an address added", "ip addr add 10.9.9.9/32 dev zt0"},
		{"the route deleted", "ip route del 100.64.0.0/10 dev zt0"},
		{"the unreachable route deleted", "ip -6 route del unreachable fd7a::/48"},
		{"the interface down", "ip link set zt0 down"},
		{"another MTU", "ip link set zt0 mtu 1280"},
		{"the interface deleted", "ip link del zt0"},
	};

	nothing_granted();
	grant_on(&a, port_grant(&a, &b, 0, SERVICE_TCP, 22));
	check(node_planned(&a) == 0, "all is well before others meddle");
	for (size_t i = 0; i < N_OF(rows); i++) {
		size_t seen, left;

		run("a", "%s", rows[i].command);
		seen = node_apply(&a);
		left = node_planned(&a);
		check(seen > 0 && left == 0, "%s: seen and put right", rows[i].says);
	}
}

static void test_what_is_not_ours(void)
{
	struct kstate s;

	run("big", "ip link add zt0 type dummy");
	s = node_read(&big);
	check(s.link_exists && !s.link_is_ours, "a link of our name and another kind is not ours");
	run("big", "ip link del zt0; ip link add zt0 type wireguard");
	s = node_read(&big);
	check(s.link_exists && !s.link_is_ours && s.n_peers == 0,
	      "nor is somebody's WireGuard without our mark");
	run("big", "ip link set zt0 alias ztnode");
	check(node_read(&big).link_is_ours, "with our alias it is");
	run("big", "ip link del zt0");
}

static void test_port_in_use(void)
{
	int fd;
	struct kstate s;

	run("c", "ip link del zt0");
	fd = udp_socket(&c, -1, 51820);
	check(node_apply(&c) > 0, "an interface is made though its port is another program's");
	s = node_read(&c);
	check(s.link_up && s.port != 0 && s.port != 51820, "it has another port (%u)", s.port);
	check(node_apply(&c) > 0 && node_read(&c).port == s.port,
	      "and keeps that one while it waits");
	close(fd);
	node_apply(&c);
	check(node_read(&c).port == 51820, "when the port is free it goes back");
}

/* --- being told --- */

struct told {
	struct loop *loop;
	int calls;
};

static void on_change(void *arg)
{
	struct told *t = arg;

	t->calls++;
	loop_stop(t->loop, 0);
}

static void on_time(void *arg)
{
	loop_stop(((struct told *)arg)->loop, 1);
}

static int calls_within(struct told *t, int64_t ms)
{
	struct loop_timer *timer = loop_timer_new(t->loop, on_time, t);

	t->calls = 0;
	loop_timer_set(timer, now_ms() + ms);
	loop_run(t->loop);
	loop_timer_free(timer);
	return t->calls;
}

/* The kernel queues a notification before it answers the one who made the change, so one turn shows
 * all there are. */
static void test_watch(void)
{
	static const char *const commands[] = {
		"nft add table inet other",
		"ip addr add 10.9.9.9/32 dev zt0",
		"ip addr del 10.9.9.9/32 dev zt0",
		"ip link set zt0 mtu 1300",
		"ip route add 10.9.0.0/16 dev zt0",
		"ip -6 route del fd7a::/48 dev zt0",
		"ip link set zt0 down; ip link set zt0 up",
		"nft flush ruleset",
	};
	struct told t = {.loop = loop_new()};

	nothing_granted();
	enter(a.ns); /* the watch opens sockets of its own */
	if (kernel_watch(a.k, t.loop, on_change, &t) < 0)
		give_up("kernel_watch", -EIO);
	grant_on(&a, port_grant(&a, &b, 0, SERVICE_TCP, 22));
	check(calls_within(&t, 0) == 0, "our own changes of the filter are not told");
	run("b", "nft add table inet other; nft delete table inet other");
	check(calls_within(&t, 0) == 0, "nor what happens in another namespace");
	run("a", "ip addr add 10.8.8.8/32 dev lo");
	check(calls_within(&t, 0) == 0, "nor another interface's addresses");
	for (size_t i = 0; i < N_OF(commands); i++) {
		run("a", "%s", commands[i]);
		check(calls_within(&t, LAB_PATIENCE_MS) == 1, "told of: %s", commands[i]);
	}
	node_apply(&a);
	kernel_close(a.k); /* before the loop: it ends the watch */
	loop_free(t.loop);
	enter(a.ns);
	if (kernel_open("zt0", &a.k, NULL) < 0)
		give_up("kernel_open", -EIO);
	node_apply(&a);
}

/* --- questions --- */

static void check_overlap(const char *says, const char *route, const char *wanted)
{
	char text[96] = "";
	int r;

	if (route[0])
		run("b", "ip route add %s", route);
	r = kernel_find_overlap(b.k, &b.want.net4, text, sizeof(text));
	check(r == (wanted[0] != 0) && strcmp(text, wanted) == 0, "%s: %s", says,
	      r ? text : "no overlap");
	if (route[0])
		run("b", "ip route del %s", route);
}

static void test_overlap(void)
{
	check_overlap("our own routes and addresses do not count", "", "");
	check_overlap("a default route neither", "default via 192.0.2.1", "");
	check_overlap("a range beside ours neither", "100.128.0.0/10 via 192.0.2.1", "");
	check_overlap("a range in ours does", "100.100.0.0/16 via 192.0.2.1",
		      "100.100.0.0/16 dev eth0");
	check_overlap("a range around ours does", "100.0.0.0/8 via 192.0.2.1",
		      "100.0.0.0/8 dev eth0");
	check_overlap("in another table too", "100.64.1.0/24 via 192.0.2.1 table 77",
		      "100.64.1.0/24 dev eth0");
}

static void test_firewall_of_others(void)
{
	static const struct {
		const char *says, *commands;
		int wanted;
	} rows[] = {
		{"our own table is no firewall", "true", 0},
		{"a chain on input that accepts",
		 "nft add chain inet fw in \"{ type filter hook input priority 0; }\"", 0},
		{"a chain on forward that drops",
		 "nft add chain inet fw through \"{ type filter hook forward priority 0; policy "
		 "drop; "
		 "}\"",
		 0},
		{"a chain that drops and that nothing leads to",
		 "nft add chain inet fw more; nft add rule inet fw more drop", 0},
		{"one that input leads to", "nft add rule inet fw in tcp dport 1-9 jump more", 1},
		{"a rule that rejects",
		 "nft delete table inet fw; nft add table inet fw; nft add chain inet fw in \"{ "
		 "type "
		 "filter hook input priority 0; }\"; nft add rule inet fw in tcp dport 23 reject",
		 1},
		{"a policy",
		 "nft delete table inet fw; nft add table ip fw; nft add chain ip fw in \"{ type "
		 "filter hook "
		 "input priority 0; policy drop; }\"",
		 1},
	};

	run("c", "nft add table inet fw");
	for (size_t i = 0; i < N_OF(rows); i++) {
		run("c", "%s", rows[i].commands);
		check(kernel_firewall_filters_input(c.k) == rows[i].wanted,
		      "others' firewall: %s: %s", rows[i].says, rows[i].wanted ? "yes" : "no");
	}
	run("c", "nft delete table ip fw");
}

static void test_without_ipv6(void)
{
	struct kstate s;

	run("big",
	    "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
	node_apply(&big);
	s = node_read(&big);
	check(s.link_up && s.table_ok && s.n_addrs == 1 && s.n_routes >= 2,
	      "with IPv6 switched off the overlay has IPv4 only");
	run("big",
	    "ip link del zt0; "
	    "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0");
	node_apply(&big);
	check(node_planned(&big) == 0, "switched on again, both");
	run("big", "ip link del zt0");
}

static void test_without_rights(void)
{
	struct kernel *k;
	struct diag d = {0};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(setuid(65534) == 0 && kernel_open("zt0", &k, &d) == -EPERM &&
				      strstr(d.hint, "CAP_NET_ADMIN")
			      ? 0
			      : 1);
	check(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0,
	      "without the right to it: an error with a hint");
}

/* --- much --- */

enum { MANY = 10000, MANY_SPANS = 200 };

static void fill_peer(struct kpeer *p, uint32_t i)
{
	uint8_t v4[4] = {100, 65, (uint8_t)(i >> 8), (uint8_t)i};
	uint8_t v6[16] = {0xfd, 0x7a, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i};

	*p = (struct kpeer){.has_psk = true, .n_allowed = 2};
	key_hash(&i, sizeof(i), &p->pub);
	key_mac(&big.priv, &i, sizeof(i), &(struct key){0});
	memcpy(p->psk.b, p->pub.b, sizeof(p->psk.b));
	p->allowed[0] = (struct prefix){addr_v4(v4), 32};
	p->allowed[1] = (struct prefix){addr_v6(v6), 128};
	p->endpoint = (struct endpoint){i % 2 ? addr_v4(v4) : addr_v6(v6), (uint16_t)(1024 + i)};
}

static void fill_elem(struct kelem *e, const struct kpeer *peer, uint32_t i, int64_t expires_ms)
{
	int family = i % 2;
	struct addr other = peer->allowed[family].addr;

	*e = (struct kelem){
		.set = i % 5 ? KSET_PORT : KSET_SPAN, .rule = i, .expires_ms = expires_ms};
	e->src = i % 3 ? other : big.overlay[family];
	e->dst = i % 3 ? big.overlay[family] : other;
	if (e->set == KSET_SPAN) {
		e->value = i % 7 ? 1 + i % MANY_SPANS : 0;
	} else {
		e->proto = (uint8_t[]){SERVICE_TCP, SERVICE_UDP, SERVICE_ICMP}[i % 3];
		e->value = e->proto == SERVICE_ICMP ? 0 : i;
	}
}

static void want_much(void)
{
	struct kpeer *peers = calloc(MANY, sizeof(*peers));
	struct kelem *elems = calloc(MANY, sizeof(*elems));
	struct kspan *spans = calloc(MANY_SPANS, sizeof(*spans));
	int64_t expires_ms = now_ms() + LAB_HOUR_MS;

	if (!peers || !elems || !spans)
		give_up("memory", -ENOMEM);
	for (uint32_t i = 0; i < MANY; i++) {
		fill_peer(&peers[i], i);
		fill_elem(&elems[i], &peers[i], i, expires_ms);
	}
	for (uint32_t i = 0; i < MANY_SPANS; i++)
		spans[i] = (struct kspan){i < MANY_SPANS / 2 ? SERVICE_TCP : SERVICE_UDP,
					  (uint16_t)(i % (MANY_SPANS / 2) * 600),
					  (uint16_t)(i % (MANY_SPANS / 2) * 600 + 599), i + 1};
	qsort(peers, MANY, sizeof(*peers), kpeer_compare);
	qsort(elems, MANY, sizeof(*elems), kelem_compare);
	big.want.peers = peers;
	big.want.elems = elems;
	big.want.spans = spans;
	big.want.n_peers = big.want.n_elems = MANY;
	big.want.n_spans = MANY_SPANS;
}

static void test_much(void)
{
	int64_t start = now_ms();
	struct op down = {.kind = OP_LINK_DEL};
	struct op_list ops = {&down, 1};
	struct kstate s;
	int err;

	want_much();
	node_apply(&big);
	printf("# 10,000 peers and 10,000 grants written in %d ms\n", (int)(now_ms() - start));
	start = now_ms();
	s = node_read(&big);
	printf("# read in %d ms\n", (int)(now_ms() - start));
	check(s.n_peers == MANY && s.n_elems == MANY && s.n_spans == MANY_SPANS,
	      "10,000 peers and grants are there");
	check(node_planned(&big) == 0, "and all of them as they were written");
	big.want.peers[77].psk.b[3] ^= 1;
	big.want.peers[5000].allowed[0].addr.b[1] = 66;
	big.want.elems[9000].expires_ms += 60000;
	check(node_apply(&big) == 4 && node_planned(&big) == 0,
	      "three small changes are four operations");
	start = now_ms();
	err = kernel_exec(big.k, &ops, &big.priv, &big.want, now_ms(), NULL);
	check(err == 0, "the interface is deleted (%d ms)", (int)(now_ms() - start));
	check(!node_read(&big).link_exists, "and gone");
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_state,
		test_services,
		test_neighbours_of_a_grant,
		test_ranges,
		test_any,
		test_cut,
		test_cut_at_the_far_end,
		test_expiry,
		test_elements_that_are_gone,
		test_renewal,
		test_icmp_errors,
		test_overlay_address_on_the_cable,
		test_nothing_leaves_in_clear,
		test_nothing_is_forwarded,
		test_translation_by_others,
		test_loopback,
		test_listing,
		test_meddling,
		test_what_is_not_ours,
		test_port_in_use,
		test_watch,
		test_overlap,
		test_firewall_of_others,
		test_without_ipv6,
		test_without_rights,
		test_much,
	};

	signal(SIGPIPE, SIG_IGN);
	node_init(&a, "a", 1, "192.0.2.1");
	node_init(&b, "b", 2, "192.0.2.2");
	node_init(&c, "c", 3, "192.0.2.3");
	node_init(&big, "big", 4, "192.0.2.4");
	node_peer(&a, &b);
	node_peer(&b, &a);
	node_peer(&b, &c);
	node_peer(&c, &b);
	for (size_t i = 0; i < N_OF(tests); i++)
		tests[i]();
	return check_failures() != 0;
}
