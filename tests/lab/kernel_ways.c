/* Other ways in and out than from node to node by the tunnel: beside it, through a node, to
 * containers, to everybody at once (kernel_tests.h). */
#include "tests/lab/kernel_tests.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static const uint8_t protos[] = {SERVICE_TCP, SERVICE_UDP, SERVICE_ICMP};
static const char *const through_b[] = {"TCP from one peer through b to another", "UDP", "an echo"};

/* What differs in the commands of the two families. */
static const struct {
	const char *ip, *nft, *forward, *range, *a, *b, *cable_b, *pod;
	unsigned host_bits;
} words[2] = {
	{"ip", "ip", "net.ipv4.ip_forward", "100.64.0.0/10", "100.64.0.1", "100.64.0.2",
	 "192.0.2.2", "172.17.0.2", 32},
	{"ip -6", "ip6", "net.ipv6.conf.all.forwarding", "fd7a::/48", "fd7a::1", "fd7a::2",
	 "2001:db8:2::2", "fd17::2", 128},
};

static struct kelem service_grant(const struct node *from, const struct node *to, int family,
				  uint8_t proto)
{
	return port_grant(from, to, family, proto, proto == SERVICE_ICMP ? 0 : 5000);
}

/* --- beside the tunnel --- */

/* c sends to b's overlay address over the cable, with an address and a port that b would grant in
 * the tunnel. */
void test_overlay_address_on_the_cable(void)
{
	for (int f = 0; f < 2; f++) {
		struct probe p = {&c, &b, f, SERVICE_UDP, 5000, 0, NULL};

		nothing_granted();
		grant_on(&b, port_grant(&c, &b, f, SERVICE_UDP, 5000));
		run("c", "nft delete table inet ztnode");
		expect(&p, OUTCOME_PASSED, "what is granted, in the tunnel");
		run("c", "%s route add %s/%u via %s dev eth0", words[f].ip, words[f].b,
		    words[f].host_bits, words[f].cable_b);
		expect(&p, OUTCOME_DROPPED, "the same beside the tunnel");
		run("c", "%s route del %s/%u via %s dev eth0", words[f].ip, words[f].b,
		    words[f].host_bits, words[f].cable_b);
		node_apply(&c);
	}
}

/* Without the tunnel nothing for the overlay leaves in clear: the route is unreachable, and where
 * another has put a better one, the filter refuses. */
void test_nothing_leaves_in_clear(void)
{
	for (int f = 0; f < 2; f++) {
		struct probe p = {&a, &b, f, SERVICE_UDP, 5000, 0, NULL};
		int cable = watch_cable(&b);
		uint64_t before;

		nothing_granted();
		grant_on(&a, port_grant(&a, &b, f, SERVICE_UDP, 5000));
		run("a", "ip link del zt0; %s addr add %s/%u dev lo", words[f].ip, words[f].a,
		    words[f].host_bits);
		before = node_denied(&a, false);
		check(probe(&p) == OUTCOME_LOST && node_denied(&a, false) == before,
		      "%s: without a tunnel there is no way", family_name[f]);
		run("a", "%s route add %s via %s dev eth0", words[f].ip, words[f].range,
		    words[f].cable_b);
		expect(&p, OUTCOME_REFUSED, "what a better route would send in clear");
		check(overlay_packets(cable) == 0, "%s: the cable has not seen an overlay address",
		      family_name[f]);
		run("a", "nft delete table inet ztnode");
		check(probe(&p) != OUTCOME_PASSED && overlay_packets(cable) > 0,
		      "%s: it would have, without the filter", family_name[f]);
		run("a", "%s route del %s via %s dev eth0; %s addr del %s/%u dev lo", words[f].ip,
		    words[f].range, words[f].cable_b, words[f].ip, words[f].a, words[f].host_bits);
		check(node_apply(&a) > 0 && node_planned(&a) == 0, "the tunnel comes back");
		close(cable);
	}
}

/* --- through a node --- */

/* c, without a filter, makes b its way to a. */
static void check_forwarding(int f, size_t i)
{
	struct probe p = {&c, &a, f, protos[i], protos[i] == SERVICE_ICMP ? 0 : 5000, 0, &b};
	struct kelem e = service_grant(&c, &a, f, protos[i]);

	grant_on(&b, e);
	grant_on(&a, e);
	expect(&p, OUTCOME_DROPPED, through_b[i]);
}

void test_nothing_is_forwarded(void)
{
	char key[KEY_TEXT_MAX];

	key_print(&b.pub, key);
	for (int f = 0; f < 2; f++) {
		nothing_granted();
		run("b", "sysctl -qw %s=1", words[f].forward);
		run("c", "nft delete table inet ztnode; wg set zt0 peer %s allowed-ips %s/%u,%s/%u",
		    key, words[f].a, words[f].host_bits, words[f].b, words[f].host_bits);
		for (size_t i = 0; i < N_OF(protos); i++)
			check_forwarding(f, i);
		run("b", "sysctl -qw %s=0", words[f].forward);
		node_apply(&c);
	}
}

/* --- translated by other programs --- */

/* Other programs' address translation: the header that the service sees decides. */
void test_translation_by_others(void)
{
	for (int f = 0; f < 2; f++) {
		struct probe p = {&a, &b, f, SERVICE_TCP, 8080, 0, NULL};
		const char *nft = words[f].nft;

		nothing_granted();
		grant_on_both(&a, &b, port_grant(&a, &b, f, SERVICE_TCP, 8080));
		expect(&p, OUTCOME_PASSED, "a granted port");
		run("b",
		    "nft add table %s docker; nft add chain %s docker pre \"{ type nat hook "
		    "prerouting priority -100; }\"; "
		    "nft add rule %s docker pre tcp dport 8080 redirect to :22",
		    nft, nft, nft);
		expect(&p, OUTCOME_DROPPED, "one that others lead to a port that is not");
		run("b",
		    "nft delete table %s docker; nft add table %s raw; nft add chain %s raw pre "
		    "\"{ type filter hook prerouting priority -300; }\"; "
		    "nft add rule %s raw pre notrack",
		    nft, nft, nft, nft);
		expect(&p, OUTCOME_DROPPED, "a packet that others hide from connection tracking");
		run("b", "nft delete table %s raw", nft);
		expect(&p, OUTCOME_PASSED, "a granted port, without them,");
	}
}

/* As Docker does for `-p 8080:80`. */
static void publish(int f)
{
	const char *nft = words[f].nft;

	run("b", "sysctl -qw %s=1", words[f].forward);
	run("b",
	    "nft add table %s docker; nft add chain %s docker pre \"{ type nat hook prerouting "
	    "priority -100; }\"; nft add rule %s docker pre %s daddr { %s, %s } tcp dport 8080 "
	    "dnat to %s%s%s:80",
	    nft, nft, nft, nft, words[f].b, words[f].cable_b, f ? "[" : "", words[f].pod,
	    f ? "]" : "");
	run("b",
	    "nft add chain %s docker post \"{ type nat hook postrouting priority 100; }\"; nft "
	    "add rule %s docker post iifname pod0 masquerade; nft add chain %s docker forward \"{ "
	    "type filter hook forward priority 0; policy accept; }\"; nft add rule %s docker "
	    "forward accept",
	    nft, nft, nft, nft);
}

static void unpublish(int f)
{
	run("b", "nft delete table %s docker; sysctl -qw %s=0", words[f].nft, words[f].forward);
}

static bool is_called(int listener, int ms)
{
	struct pollfd p = {listener, POLLIN, 0};

	return poll(&p, 1, ms) == 1;
}

/* A call that b's filter is to drop. */
static void check_not_called(int f, int listener, const struct node *from, const char *says)
{
	uint64_t before = node_denied(&b, true);
	int fd = tcp_call(from,
			  f ? (from == &a ? "fd7a::1" : "fd7a::3")
			    : (from == &a ? "100.64.0.1" : "100.64.0.3"),
			  words[f].b, 8080);

	check(denies_more(&b, true, before) && !is_called(listener, 0), "%s: %s", family_name[f],
	      says);
	close(fd);
}

/* Nothing is forwarded, so a published port is not reached from the overlay at all: neither without
 * a grant nor with one. A service of the host itself, or a proxy that listens there, is. */
void test_published_ports(void)
{
	for (int f = 0; f < 2; f++) {
		int listener = tcp_listen("pod", f, 80), fd;

		nothing_granted();
		publish(f);
		run("c", "nft delete table inet ztnode");
		check_not_called(f, listener, &c,
				 "a published port is not reached by a peer without a grant");
		grant_on_both(&a, &b, port_grant(&a, &b, f, SERVICE_TCP, 8080));
		check_not_called(f, listener, &a, "nor by one whose grant names the port");
		grant_on_both(&a, &b, port_grant(&a, &b, f, SERVICE_TCP, 80));
		check_not_called(f, listener, &a, "nor by one whose grant names the container's");
		fd = tcp_call(&a, f ? "2001:db8:2::1" : "192.0.2.1", words[f].cable_b, 8080);
		check(is_called(listener, LAB_PATIENCE_MS), "%s: from the cable it is",
		      family_name[f]);
		close(fd);
		close(listener);
		unpublish(f);
		node_apply(&c);
	}
}

/* A container on b has b's rights to nothing: what it sends to the overlay is not b's. */
void test_containers(void)
{
	for (int f = 0; f < 2; f++) {
		int ear = hear(&a, words[f].a, 5000);
		uint64_t before;

		nothing_granted();
		grant_on_both(&b, &a, port_grant(&b, &a, f, SERVICE_UDP, 5000));
		publish(f);
		before = node_denied(&b, false);
		run("pod",
		    "python3 -c \"import socket; "
		    "socket.socket(socket.AF_INET%s, socket.SOCK_DGRAM).sendto(bytes(3), "
		    "(\\\"%s\\\", 5000))\"",
		    f ? "6" : "", words[f].a);
		check(denies_more(&b, false, before) && !has_heard(ear, 0),
		      "%s: a container does not speak with its host's grants", family_name[f]);
		unpublish(f);
		close(ear);
	}
}

/* --- to everybody, and to places that are no node's --- */

enum { PORT = 5353 };

static const struct place {
	const char *says, *to;
	int family;
	bool is_taken; /* a host takes it for its own, when there is no filter */
} places[] = {
	{"the broadcast address", "255.255.255.255", 0, true},
	{"the overlay's broadcast address", "100.127.255.255", 0, false},
	{"all hosts", "224.0.0.1", 0, true},
	{"mDNS", "224.0.0.251", 0, true},
	{"all nodes", "ff02::1", 1, true},
	{"mDNS", "ff02::fb", 1, true},
	{"loopback", "127.0.0.5", 0, true},
	{"cloud metadata", "169.254.169.254", 0, true},
	{"cloud metadata", "fd00:ec2::254", 1, true},
};

/* From loopback's range nothing leaves, and what comes in is dropped, unless a machine is set up as
 * container hosts often are. b serves metadata itself, as some do. */
static void allow_odd_places(bool on)
{
	const char *const names[] = {"a", "b", "c"};

	for (size_t i = 0; i < N_OF(names); i++)
		run(names[i],
		    "sysctl -qw net.ipv4.conf.all.route_localnet=%d; ip route %s local "
		    "127.0.0.0/8 dev lo table local",
		    on, on && i != 1 ? "del" : "replace");
	for (size_t i = 0; i < N_OF(names); i += 2)
		run(names[i],
		    "ip route %s 127.0.0.5/32 dev zt0; ip route %s 169.254.169.254/32 dev zt0; "
		    "ip -6 route %s fd00:ec2::254/128 dev zt0",
		    on ? "add" : "del", on ? "add" : "del", on ? "add" : "del");
	run("b", "ip addr %s 169.254.169.254/32 dev lo; ip -6 addr %s fd00:ec2::254/128 dev lo%s",
	    on ? "add" : "del", on ? "add" : "del", on ? " nodad" : "");
}

/* However much is granted between two nodes, it is between those two. */
void test_nothing_to_everybody(void)
{
	nothing_granted();
	allow_odd_places(true);
	for (int f = 0; f < 2; f++)
		grant_on_both(&a, &b, class_grant(&a, &b, f, 0));
	for (size_t i = 0; i < N_OF(places); i++) {
		const struct place *p = &places[i];
		uint64_t before = node_denied(&a, false);
		int err = send_by_tunnel(&a, p->to, PORT);

		check(node_denied(&a, false) > before, "%s: %s (%s) is refused at its source (%s)",
		      family_name[p->family], p->says, p->to, zt_strerror(-err));
	}
	allow_odd_places(false);
}

/* Sent by c, and all that came before it is through: the queue keeps the order. */
static void pass_marker(int family)
{
	struct probe p = {&c, &b, family, SERVICE_UDP, 5000, 0, NULL};

	expect(&p, OUTCOME_PASSED, "what is granted, sent after it,");
}

static void check_heard(const struct place *p)
{
	int ear = hear(&b, p->to, PORT);
	int err = send_by_tunnel(&c, p->to, PORT);

	pass_marker(p->family);
	check(err == 0 && !has_heard(ear, 0), "%s: %s (%s) is not heard", family_name[p->family],
	      p->says, p->to);
	if (p->is_taken) {
		run("b", "nft delete table inet ztnode");
		err = send_by_tunnel(&c, p->to, PORT);
		check(err == 0 && has_heard(ear, LAB_PATIENCE_MS),
		      "%s: it would be, without the filter", family_name[p->family]);
		node_apply(&b);
	}
	close(ear);
}

/* c, without a filter, and with b as its way to everything. */
void test_nothing_from_everybody(void)
{
	char key[KEY_TEXT_MAX];

	nothing_granted();
	key_print(&b.pub, key);
	for (int f = 0; f < 2; f++)
		grant_on(&b, class_grant(&c, &b, f, 0));
	run("c", "nft delete table inet ztnode; wg set zt0 peer %s allowed-ips 0.0.0.0/0,::/0",
	    key);
	allow_odd_places(true);
	for (size_t i = 0; i < N_OF(places); i++)
		check_heard(&places[i]);
	allow_odd_places(false);
	node_apply(&c);
}

void test_loopback(void)
{
	struct probe p = {&a, &a, 0, SERVICE_TCP, 80, 0, NULL};

	nothing_granted();
	expect(&p, OUTCOME_PASSED, "a device's talk with itself");
}
