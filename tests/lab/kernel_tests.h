/* The tests of ztnode/kern, in four files: kernel_packets.c (what passes, and how long),
 * kernel_ways.c (other ways in and out), kernel_hands.c (what other hands change, questions, much
 * of everything), kernel_test.c (the words that all use). */
#pragma once

#include "tests/lab/kernel_lab.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

extern struct node a, b, c, big;
extern const char *const family_name[2];

/* A right of from's to open a port on to; a class of ports on to. */
struct kelem port_grant(const struct node *from, const struct node *to, int family, uint8_t proto,
			uint16_t port);
struct kelem class_grant(const struct node *from, const struct node *to, int family,
			 uint32_t class_id);
void grant_on(struct node *n, struct kelem e); /* wanted, and done */
void grant_on_both(struct node *x, struct node *y, struct kelem e);
void nothing_granted(void);
void set_spans(
	struct node *n); /* classes 1 to 4: tcp 8000-8009, 8010-8019, 65000-65535, all of udp */
/* Check one attempt. */
void expect(const struct probe *p, enum outcome wanted, const char *what);
bool denies_more(const struct node *n, bool in, uint64_t before); /* in time */

void test_state(void);
void test_services(void);
void test_neighbours_of_a_grant(void);
void test_ranges(void);
void test_any(void);
void test_cut(void);
void test_cut_at_the_far_end(void);
void test_expiry(void);
void test_elements_that_are_gone(void);
void test_renewal(void);
void test_icmp_errors(void);
void test_overlay_address_on_the_cable(void);
void test_nothing_leaves_in_clear(void);
void test_nothing_is_forwarded(void);
void test_translation_by_others(void);
void test_published_ports(void);
void test_containers(void);
void test_nothing_to_everybody(void);
void test_nothing_from_everybody(void);
void test_loopback(void);
void test_listing(void);
void test_meddling(void);
void test_what_is_not_ours(void);
void test_port_in_use(void);
void test_watch(void);
void test_overlap(void);
void test_firewall_of_others(void);
void test_without_ipv6(void);
void test_without_rights(void);
void test_much(void);
