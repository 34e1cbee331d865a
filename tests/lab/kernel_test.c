/* ztnode/kern against a real kernel: what is written is read back, only what is granted passes, and
 * what other hands change is seen and put right. tests/lab/kernel.sh makes the network and runs
 * this in the lab:
 *
 *        a zt0 100.64.0.1          b zt0 100.64.0.2          c zt0 100.64.0.3        big
 *              fd7a::1                   fd7a::2                   fd7a::3           (10,000 peers,
 * no network) eth0 192.0.2.1            eth0 192.0.2.2            eth0 192.0.2.3
 *             +------------------------- hub -------------------------+
 *
 * b is a container's host too: pod0 172.17.0.1, fd17::1; in namespace pod eth0 172.17.0.2, fd17::2.
 *
 * a and b are peers, and b and c. The rights in question are a's and c's to open something on b. */
#include "tests/lab/kernel_tests.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>

struct node a, b, c, big;
const char *const family_name[2] = {"IPv4", "IPv6"};

/* --- words --- */

struct kelem port_grant(const struct node *from, const struct node *to, int family, uint8_t proto,
			uint16_t port)
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

struct kelem class_grant(const struct node *from, const struct node *to, int family,
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

void grant_on(struct node *n, struct kelem e)
{
	node_grant(n, &e);
	node_apply(n);
}

void grant_on_both(struct node *x, struct node *y, struct kelem e)
{
	grant_on(x, e);
	grant_on(y, e);
}

void nothing_granted(void)
{
	struct node *nodes[] = {&a, &b, &c};

	for (size_t i = 0; i < N_OF(nodes); i++) {
		node_clear_grants(nodes[i]);
		node_apply(nodes[i]);
	}
}

void expect(const struct probe *p, enum outcome wanted, const char *what)
{
	enum outcome got = probe(p);

	if (got == wanted)
		check(true, "%s: %s is %s", family_name[p->family], what, outcome_name(wanted));
	else
		check(false, "%s: %s is %s (it is %s)", family_name[p->family], what,
		      outcome_name(wanted), outcome_name(got));
}

bool denies_more(const struct node *n, bool in, uint64_t before)
{
	for (int64_t end = now_ms() + LAB_PATIENCE_MS; now_ms() < end; poll(NULL, 0, 5))
		if (node_denied(n, in) > before)
			return true;
	return false;
}

void set_spans(struct node *n)
{
	n->spans[0] = (struct kspan){SERVICE_TCP, 8000, 8009, 1};
	n->spans[1] = (struct kspan){SERVICE_TCP, 8010, 8019, 2};
	n->spans[2] = (struct kspan){SERVICE_TCP, 65000, 65535, 3};
	n->spans[3] = (struct kspan){SERVICE_UDP, 0, 65535, 4};
	n->want.n_spans = 4;
	node_apply(n);
}

/* --- what is written is read --- */

void test_state(void)
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
		test_published_ports,
		test_containers,
		test_nothing_to_everybody,
		test_nothing_from_everybody,
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
