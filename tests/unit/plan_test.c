/* Plans: kernel state wanted and found in, operations out as the printer shows them, in the order
 * that plan.h promises. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "ztnode/core/plan.h"

enum { TEXT_MAX = 4096, ARENA_MAX = 8 << 20, MANY = 40 };

/* --- a wanted state with two peers and two grants, and every way to differ from it --- */

struct world {
	struct kstate want, have;
	struct kpeer want_peers[4], have_peers[4];
	struct kelem want_elems[MANY], have_elems[MANY];
	struct kspan want_spans[2], have_spans[2];
};

static const struct prefix net4 = {{ADDR_V4, {100, 64}}, 10};
static const struct endpoint ep_a = {{ADDR_V4, {192, 0, 2, 1}}, 51820};
static const struct endpoint ep_b = {{ADDR_V4, {192, 0, 2, 2}}, 51820};

static struct kpeer peer(uint8_t n)
{
	return (struct kpeer){.pub = {{n}},
			      .id = n,
			      .has_psk = true,
			      .psk = {{0x50, n}},
			      .allowed = {{{ADDR_V4, {100, 64, 0, n}}, 32}},
			      .n_allowed = 1};
}

static struct kelem elem(uint32_t port)
{
	return (struct kelem){.set = KSET_PORT,
			      .src = {ADDR_V4, {100, 64, 0, 1}},
			      .dst = {ADDR_V4, {100, 64, 0, 2}},
			      .proto = SERVICE_TCP,
			      .value = port,
			      .expires_ms = 100000};
}

static void fill(struct kstate *s, struct kpeer *peers, struct kelem *elems, struct kspan *spans)
{
	*s = (struct kstate){.link_exists = true,
			     .link_is_ours = true,
			     .link_up = true,
			     .ifindex = 7,
			     .mtu = 1420,
			     .pub = {{0xee}},
			     .port = 51820,
			     .addrs = {{{ADDR_V4, {100, 64, 0, 1}}, 32}},
			     .n_addrs = 1,
			     .routes = {{KROUTE_DEV, net4, 4000}, {KROUTE_UNREACHABLE, net4, 5000}},
			     .n_routes = 2,
			     .table_ok = true,
			     .net4 = net4,
			     .peers = peers,
			     .n_peers = 2,
			     .spans = spans,
			     .n_spans = 1,
			     .elems = elems,
			     .n_elems = 2};
	peers[0] = peer(2);
	peers[1] = peer(3);
	elems[0] = elem(22);
	elems[1] = elem(443);
	spans[0] = (struct kspan){SERVICE_TCP, 100, 200, 1};
}

static void same(struct world *w)
{
	fill(&w->want, w->want_peers, w->want_elems, w->want_spans);
	fill(&w->have, w->have_peers, w->have_elems, w->have_spans);
}

static void nothing_there(struct world *w)
{
	w->have = (struct kstate){0};
}

static void guards_only(struct world *w)
{
	w->have = (struct kstate){.n_routes = 1};
	w->have.routes[0] = w->want.routes[1];
}

static void grant_goes(struct world *w)
{
	w->want.elems++;
	w->want.n_elems--;
}

static void grant_comes(struct world *w)
{
	w->have.n_elems--;
}

static void grant_changes(struct world *w)
{
	w->want_elems[1].value = 80;
	qsort(w->want_elems, 2, sizeof(w->want_elems[0]), kelem_compare);
}

static void expiry_within_slack(struct world *w)
{
	w->want_elems[0].expires_ms += PLAN_EXPIRY_SLACK_MS;
	w->want_elems[1].expires_ms -= PLAN_EXPIRY_SLACK_MS;
}

static void expiry_later(struct world *w)
{
	w->want_elems[0].expires_ms += PLAN_EXPIRY_SLACK_MS + 1;
}

static void expiry_sooner(struct world *w)
{
	w->want_elems[0].expires_ms -= PLAN_EXPIRY_SLACK_MS + 1;
}

static void many(struct world *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		w->want_elems[i] = w->have_elems[i] = elem((uint32_t)(1000 + i));
		w->want_elems[i].expires_ms += 60000;
	}
	w->want.n_elems = w->have.n_elems = n;
}

static void renewal_of_many(struct world *w)
{
	many(w, MANY);
}

static void renewal_of_half(struct world *w)
{
	many(w, MANY);
	for (size_t i = MANY / 2; i < MANY; i++)
		w->want_elems[i].expires_ms = w->have_elems[i].expires_ms;
	w->want.n_elems = w->have.n_elems = MANY;
}

static void everything_goes_from_the_filter(struct world *w)
{
	many(w, MANY);
	w->want.n_elems = 0;
}

static void table_damaged(struct world *w)
{
	w->have.table_ok = false;
}

static void span_differs(struct world *w)
{
	w->want_spans[0].hi++;
}

static void span_comes(struct world *w)
{
	w->want_spans[1] = (struct kspan){SERVICE_UDP, 5, 6, 2};
	w->want.n_spans = 2;
}

static void revoked(struct world *w)
{
	w->want.n_elems = 0;
	w->want.n_peers = 0;
}

static void peer_replaced(struct world *w)
{
	w->want_peers[1] = peer(4);
}

static void foreign_peer(struct world *w)
{
	w->have_peers[2] = peer(9);
	w->have.n_peers = 3;
}

static void psk_rotated(struct world *w)
{
	w->want_peers[0].psk.b[5] = 1;
}

static void psk_taken_away(struct world *w)
{
	w->have_peers[0].has_psk = false;
	w->have_peers[0].psk = (struct secret){0};
}

static void psk_of_another_hand(struct world *w)
{
	w->want_peers[0].has_psk = false;
	w->want_peers[0].psk = (struct secret){0};
}

static void allowed_widened(struct world *w)
{
	w->have_peers[0].allowed[0] = net4;
}

static void allowed_more(struct world *w)
{
	w->have_peers[0].allowed[1] = (struct prefix){{ADDR_V6, {0xfd}}, 128};
	w->have_peers[0].n_allowed = 2;
}

static void peer_roamed(struct world *w)
{
	w->have_peers[0].endpoint = ep_b;
}

static void endpoint_told(struct world *w)
{
	w->want_peers[0].endpoint = ep_a;
	w->have_peers[0].endpoint = ep_b;
}

static void endpoint_known(struct world *w)
{
	w->want_peers[0].endpoint = w->have_peers[0].endpoint = ep_a;
}

static void psk_and_endpoint(struct world *w)
{
	psk_rotated(w);
	endpoint_told(w);
}

static void another_private_key(struct world *w)
{
	w->have.pub.b[0] ^= 1;
}

static void another_port(struct world *w)
{
	w->have.port = 1;
}

static void any_port_will_do(struct world *w)
{
	w->want.port = 0;
	w->have.port = 40000;
}

static void mtu_and_down(struct world *w)
{
	w->have.mtu = 1500;
	w->have.link_up = false;
}

static void address_moved(struct world *w)
{
	w->have.addrs[0].addr.b[3] = 99;
}

static void route_metric(struct world *w)
{
	w->have.routes[0].metric = 1;
}

static void route_gone(struct world *w)
{
	w->have.routes[0] = w->have.routes[1];
	w->have.n_routes = 1;
}

static void guard_gone(struct world *w)
{
	w->have.n_routes = 1;
}

static void all_at_once(struct world *w)
{
	grant_changes(w);
	peer_replaced(w);
	mtu_and_down(w);
	address_moved(w);
	w->have.pub.b[0] ^= 1;
	w->have.routes[0].dst.addr.b[0] = 10;
	w->have.routes[1].metric = 1;
}

#define KEY(start) start "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

struct row {
	const char *says;
	void (*change)(struct world *w);
	const char *want;
};

static const struct row rows[] = {
	{"all is well: nothing to do", same, ""},
	{"nothing is there: filter, guard, link, key, peers, address, up, route", nothing_there,
	 "table put, 2 grants, 1 spans\n"
	 "route add 100.64.0.0/10 unreachable metric 5000\n"
	 "link add\n"
	 "wireguard key and port 51820\n"
	 "peer put " KEY("Ag") " 100.64.0.2/32 psk\n"
			       "peer put " KEY(
				       "Aw") " 100.64.0.3/32 psk\n"
					     "mtu 1420\n"
					     "address add 100.64.0.1/32\n"
					     "link up\n"
					     "route add 100.64.0.0/10 tunnel metric 4000\n"},
	{"only the guard is left: it is not added twice", guards_only,
	 "table put, 2 grants, 1 spans\n"
	 "link add\n"
	 "wireguard key and port 51820\n"
	 "peer put " KEY("Ag") " 100.64.0.2/32 psk\n"
			       "peer put " KEY(
				       "Aw") " 100.64.0.3/32 psk\n"
					     "mtu 1420\n"
					     "address add 100.64.0.1/32\n"
					     "link up\n"
					     "route add 100.64.0.0/10 tunnel metric 4000\n"},
	{"a grant goes", grant_goes, "grant delete 100.64.0.1 -> 100.64.0.2 tcp/22\n"},
	{"a grant comes", grant_comes, "grant add 100.64.0.1 -> 100.64.0.2 tcp/443\n"},
	{"what goes is cut before what comes is let in, though it sorts behind", grant_changes,
	 "grant delete 100.64.0.1 -> 100.64.0.2 tcp/443\n"
	 "grant add 100.64.0.1 -> 100.64.0.2 tcp/80\n"},
	{"expiries within the slack are left", expiry_within_slack, ""},
	{"a later expiry is set anew", expiry_later,
	 "grant delete 100.64.0.1 -> 100.64.0.2 tcp/22\n"
	 "grant add 100.64.0.1 -> 100.64.0.2 tcp/22\n"},
	{"a sooner expiry is set anew", expiry_sooner,
	 "grant delete 100.64.0.1 -> 100.64.0.2 tcp/22\n"
	 "grant add 100.64.0.1 -> 100.64.0.2 tcp/22\n"},
	{"a renewal of many is one load", renewal_of_many, "grants load 40\n"},
	{"when all go it is one load of nothing", everything_goes_from_the_filter,
	 "grants load 0\n"},
	{"a damaged table is written whole", table_damaged, "table put, 2 grants, 1 spans\n"},
	{"so it is when a class of ports differs", span_differs, "table put, 2 grants, 1 spans\n"},
	{"or comes", span_comes, "table put, 2 grants, 2 spans\n"},
	{"revoked: grants first, then the peers", revoked,
	 "grant delete 100.64.0.1 -> 100.64.0.2 tcp/22\n"
	 "grant delete 100.64.0.1 -> 100.64.0.2 tcp/443\n"
	 "peer delete " KEY("Ag") "\n"
				  "peer delete " KEY("Aw") "\n"},
	{"a peer goes before another comes: an address is never two peers'", peer_replaced,
	 "peer delete " KEY("Aw") "\n"
				  "peer put " KEY("BA") " 100.64.0.4/32 psk\n"},
	{"a peer that nobody granted is removed", foreign_peer, "peer delete " KEY("CQ") "\n"},
	{"a new preshared key goes alone, allowed IPs are not touched", psk_rotated,
	 "peer put " KEY("Ag") " psk\n"},
	{"a preshared key that someone took away comes back", psk_taken_away,
	 "peer put " KEY("Ag") " psk\n"},
	{"one that nobody wants goes", psk_of_another_hand, "peer put " KEY("Ag") "\n"},
	{"allowed IPs that someone widened are replaced", allowed_widened,
	 "peer put " KEY("Ag") " 100.64.0.2/32 psk\n"},
	{"or added", allowed_more, "peer put " KEY("Ag") " 100.64.0.2/32 psk\n"},
	{"an endpoint that the kernel learned is left", peer_roamed, ""},
	{"one that is wanted is told", endpoint_told,
	 "peer endpoint " KEY("Ag") " endpoint 192.0.2.1:51820\n"},
	{"once", endpoint_known, ""},
	{"with a new preshared key the endpoint is told too", psk_and_endpoint,
	 "peer put " KEY("Ag") " psk\n"
			       "peer endpoint " KEY("Ag") " endpoint 192.0.2.1:51820\n"},
	{"another private key is put right", another_private_key, "wireguard key and port 51820\n"},
	{"another port is put right", another_port, "wireguard key and port 51820\n"},
	{"when no port is asked for any will do", any_port_will_do, ""},
	{"mtu, and the link is down", mtu_and_down, "mtu 1420\nlink up\n"},
	{"another address", address_moved,
	 "address delete 100.64.0.99/32\naddress add 100.64.0.1/32\n"},
	{"a route of another metric goes, then ours comes; the guard stands meanwhile",
	 route_metric,
	 "route delete 100.64.0.0/10 tunnel metric 1\n"
	 "route add 100.64.0.0/10 tunnel metric 4000\n"},
	{"the route is gone", route_gone, "route add 100.64.0.0/10 tunnel metric 4000\n"},
	{"the guard is gone", guard_gone, "route add 100.64.0.0/10 unreachable metric 5000\n"},
	{"everything differs: the order holds", all_at_once,
	 "grant delete 100.64.0.1 -> 100.64.0.2 tcp/443\n"
	 "grant add 100.64.0.1 -> 100.64.0.2 tcp/80\n"
	 "route add 100.64.0.0/10 unreachable metric 5000\n"
	 "wireguard key and port 51820\n"
	 "peer delete " KEY("Aw") "\n"
				  "peer put " KEY(
					  "BA") " 100.64.0.4/32 psk\n"
						"mtu 1420\n"
						"address delete 100.64.0.99/32\n"
						"address add 100.64.0.1/32\n"
						"link up\n"
						"route delete 10.64.0.0/10 tunnel metric 4000\n"
						"route delete 100.64.0.0/10 unreachable metric 1\n"
						"route add 100.64.0.0/10 tunnel metric 4000\n"},
};

static void print(const struct op_list *ops, char *out)
{
	struct buf b;

	buf_init(&b, out, TEXT_MAX - 1);
	for (size_t i = 0; i < ops->n; i++) {
		op_print(&ops->ops[i], NULL, &b);
		buf_put_text(&b, "\n");
	}
	assert_int_equal(b.err, 0);
	out[b.len] = 0;
}

typedef int plan_fn(const struct kstate *desired, const struct kstate *actual, struct arena *a,
		    struct op_list *ret);

static void check_row(const struct row *r, plan_fn *plan)
{
	struct world w = {0};
	struct op_list ops;
	char text[TEXT_MAX];
	struct arena a;

	same(&w);
	r->change(&w);
	arena_init(&a, ARENA_MAX);
	row_check(r->says, plan(&w.want, &w.have, &a, &ops) == 0);
	print(&ops, text);
	if (strcmp(text, r->want) != 0)
		fail_msg("%s:\n%snot\n%s", r->says, text, r->want);
	arena_done(&a);
}

static void a_plan_is_the_difference(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		check_row(&rows[i], plan_make);
}

/* The deletions and additions of a partial renewal are neighbours, so that the kernel takes them as
 * one transaction: no grant is away for a moment. */
static void a_renewal_of_some_is_one_run_of_element_operations(void **state)
{
	struct world w = {0};
	struct op_list ops;
	struct arena a;

	(void)state;
	same(&w);
	renewal_of_half(&w);
	arena_init(&a, ARENA_MAX);
	assert_int_equal(plan_make(&w.want, &w.have, &a, &ops), 0);
	assert_int_equal(ops.n, MANY);
	for (size_t i = 0; i < ops.n; i++)
		assert_int_equal(ops.ops[i].kind, i < MANY / 2 ? OP_ELEM_DEL : OP_ELEM_ADD);
	arena_done(&a);
}

static void a_new_preshared_key_says_that_it_is_all(void **state)
{
	struct world w = {0};
	struct op_list ops;
	struct arena a;

	(void)state;
	arena_init(&a, ARENA_MAX);
	same(&w);
	psk_rotated(&w);
	assert_int_equal(plan_make(&w.want, &w.have, &a, &ops), 0);
	assert_true(ops.n == 1 && ops.ops[0].psk_only);
	allowed_widened(&w);
	assert_int_equal(plan_make(&w.want, &w.have, &a, &ops), 0);
	assert_true(ops.n == 1 && !ops.ops[0].psk_only);
	same(&w);
	nothing_there(&w);
	assert_int_equal(plan_make(&w.want, &w.have, &a, &ops), 0);
	assert_true(ops.ops[4].kind == OP_PEER_PUT && !ops.ops[4].psk_only);
	arena_done(&a);
}

/* What a plan leads to needs no plan. */
static void the_wanted_state_is_reached_in_one_step(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct world w = {0};
		struct op_list ops;
		struct arena a;

		same(&w);
		rows[i].change(&w);
		arena_init(&a, ARENA_MAX);
		row_check(rows[i].says, plan_make(&w.want, &w.want, &a, &ops) == 0);
		row_check(rows[i].says, ops.n == 0);
		arena_done(&a);
	}
}

static const struct row downs[] = {
	{"route, link, table, and the guard last", same,
	 "route delete 100.64.0.0/10 tunnel metric 4000\n"
	 "link delete\n"
	 "table delete\n"
	 "route delete 100.64.0.0/10 unreachable metric 5000\n"},
	{"nothing is there", nothing_there, "table delete\n"},
	{"the guard alone", guards_only,
	 "table delete\nroute delete 100.64.0.0/10 unreachable metric 5000\n"},
};

static int down(const struct kstate *desired, const struct kstate *actual, struct arena *a,
		struct op_list *ret)
{
	(void)desired;
	return plan_down(actual, a, ret);
}

static void taking_down_opens_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(downs); i++)
		check_row(&downs[i], down);
}

static const struct row shuts[] = {
	{"all is well", same, ""},
	{"a grant is missing: nothing opens", grant_comes, ""},
	{"a grant is to last longer: nothing opens", expiry_later, ""},
	{"a renewal that came a little sooner or later", expiry_within_slack, ""},
	{"a grant is to go: its peer does", grant_goes, "peer delete " KEY("Ag") "\n"},
	{"a grant is to be another: its peer goes", grant_changes, "peer delete " KEY("Ag") "\n"},
	{"a grant is to end sooner: its peer goes", expiry_sooner, "peer delete " KEY("Ag") "\n"},
	{"the table is gone or not ours: all peers go", table_damaged,
	 "peer delete " KEY("Ag") "\n"
				  "peer delete " KEY("Aw") "\n"},
	{"the classes of ports are others: all peers go", span_differs,
	 "peer delete " KEY("Ag") "\n"
				  "peer delete " KEY("Aw") "\n"},
	{"peers that are revoked", revoked,
	 "peer delete " KEY("Ag") "\n"
				  "peer delete " KEY("Aw") "\n"},
	{"a peer goes, and the other one does not come", peer_replaced,
	 "peer delete " KEY("Aw") "\n"},
	{"a peer that nobody granted", foreign_peer, "peer delete " KEY("CQ") "\n"},
	{"a peer with another's addresses", allowed_widened, "peer delete " KEY("Ag") "\n"},
	{"a preshared key waits", psk_rotated, ""},
	{"the guard is put", guard_gone, "route add 100.64.0.0/10 unreachable metric 5000\n"},
	{"nothing is there: the guard, and no link", nothing_there,
	 "route add 100.64.0.0/10 unreachable metric 5000\n"},
};

/* While the filter cannot be written: no operation opens anything. */
static void shutting_opens_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(shuts); i++)
		check_row(&shuts[i], plan_shut);
}

static void an_interface_of_someone_else_is_not_deleted(void **state)
{
	struct world w = {0};
	struct op_list ops;
	struct arena a;

	(void)state;
	same(&w);
	w.have.link_is_ours = false;
	arena_init(&a, ARENA_MAX);
	assert_int_equal(plan_down(&w.have, &a, &ops), 0);
	for (size_t i = 0; i < ops.n; i++)
		assert_int_not_equal(ops.ops[i].kind, OP_LINK_DEL);
	arena_done(&a);
}

static void without_memory_there_is_no_plan(void **state)
{
	struct op_list ops = {NULL, 4711};
	struct world w = {0};
	struct arena a;

	(void)state;
	same(&w);
	nothing_there(&w);
	arena_init(&a, 16);
	assert_int_equal(plan_make(&w.want, &w.have, &a, &ops), -ENOMEM);
	assert_int_equal(ops.n, 4711);
	same(&w);
	assert_int_equal(plan_down(&w.have, &a, &ops), -ENOMEM);
	table_damaged(&w);
	assert_int_equal(plan_shut(&w.want, &w.have, &a, &ops), -ENOMEM);
	arena_done(&a);
}

/* Maps that come faster than the slack, each with one grant more: what is remembered of the kernel
 * is what the kernel has, and no element that is wanted runs out in it. */
static void no_element_runs_out_while_maps_come(void **state)
{
	enum { LEASE_MS = 5000, STEP_MS = PLAN_EXPIRY_SLACK_MS - 100, STEPS = 60 };
	static struct kelem have_elems[STEPS], want_elems[STEPS];
	int64_t kernel[STEPS] = {0}; /* when each ends there */
	struct kstate have, want;
	struct world w;

	(void)state;
	same(&w);
	have = want = w.have;
	have.elems = have_elems;
	have.n_elems = 0;
	want.elems = want_elems;
	for (int step = 0; step < STEPS; step++) {
		int64_t now_ms = (int64_t)step * STEP_MS;
		struct op_list ops;
		struct arena a;

		arena_init(&a, 1 << 20);
		want.n_elems = (size_t)step + 1;
		for (int i = 0; i <= step; i++) {
			want_elems[i] = elem(1000 + (uint32_t)i);
			want_elems[i].expires_ms = now_ms + LEASE_MS;
		}
		assert_int_equal(plan_make(&want, &have, &a, &ops), 0);
		for (size_t i = 0; i < ops.n; i++)
			if (ops.ops[i].kind == OP_ELEM_ADD)
				kernel[ops.ops[i].elem->value - 1000] = now_ms + LEASE_MS;
		for (size_t i = 0; i < ops.n; i++)
			for (int k = 0; ops.ops[i].kind == OP_ELEMS_LOAD && k <= step; k++)
				kernel[k] = now_ms + LEASE_MS;
		plan_keep_expiries(&want, &have, &ops);
		memcpy(have_elems, want_elems, sizeof(have_elems));
		have.n_elems = want.n_elems;
		for (int i = 0; i <= step; i++) {
			assert_int_equal(have_elems[i].expires_ms, kernel[i]);
			assert_true(kernel[i] > now_ms + LEASE_MS / 2);
		}
		arena_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_is_the_difference),
		cmocka_unit_test(no_element_runs_out_while_maps_come),
		cmocka_unit_test(a_renewal_of_some_is_one_run_of_element_operations),
		cmocka_unit_test(a_new_preshared_key_says_that_it_is_all),
		cmocka_unit_test(the_wanted_state_is_reached_in_one_step),
		cmocka_unit_test(taking_down_opens_nothing),
		cmocka_unit_test(shutting_opens_nothing),
		cmocka_unit_test(an_interface_of_someone_else_is_not_deleted),
		cmocka_unit_test(without_memory_there_is_no_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
