/* What other hands change, what the kernel is asked, and much of everything (kernel_tests.h). */
#include "tests/lab/kernel_tests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zt/loop.h"

/* --- other hands --- */

/* What nft 1.0.6 cannot show it does not refuse: it aborts, with the rules of everybody else. */
void test_listing(void)
{
	nothing_granted();
	set_spans(&a);
	grant_on(&a, class_grant(&a, &b, 1, 1));
	grant_on(&a, port_grant(&a, &b, 0, SERVICE_TCP, 22));
	run("a", "nft list ruleset >/dev/null && nft -j list ruleset >/dev/null && "
		 "nft list table inet ztnode | grep -q \"rule 12\"");
	check(true, "nft shows our table, and the rule that each grant comes from");
}

void test_meddling(void)
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

void test_what_is_not_ours(void)
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

void test_port_in_use(void)
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
void test_watch(void)
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

void test_overlap(void)
{
	check_overlap("our own routes and addresses do not count", "", "");
	check_overlap("a default route neither", "default via 192.0.2.1", "");
	check_overlap("a range beside ours neither", "100.128.0.0/10 via 192.0.2.1", "");
	check_overlap("a range in ours does", "100.100.0.0/16 via 192.0.2.1",
		      "100.100.0.0/16 dev eth0");
	check_overlap("a range around ours does", "100.0.0.0/8 via 192.0.2.1",
		      "100.0.0.0/8 dev eth0");
	check_overlap("an unreachable one of ours, whoever left it, does not",
		      "unreachable 100.64.0.0/10 metric 77 proto 122", "");
	check_overlap("another ztnode's range through its interface does",
		      "100.64.0.0/10 dev eth0 metric 77 proto 122",
		      "100.64.0.0/10 dev eth0, which is another ztnode's");
	check_overlap("in another table too", "100.64.1.0/24 via 192.0.2.1 table 77",
		      "100.64.1.0/24 dev eth0");
}

void test_firewall_of_others(void)
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

void test_without_ipv6(void)
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

void test_without_rights(void)
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

void test_much(void)
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
