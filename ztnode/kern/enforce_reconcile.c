/* Enforce, the way to the kernel: what is desired (the map in force, the lease, the paths), less
 * what the kernel has, as operations that are executed. What happened, and when to look again, is
 * enforce.c's business. */
#include "ztnode/kern/enforce_priv.h"

#include <errno.h>

#include "zt/log.h"
#include "ztnode/core/plan.h"

enum { LOG_LINES_MAX = 10 };

/* --- desired --- */

struct desired_times enforce_times(const struct enforce *e, struct now now)
{
	return (struct desired_times){
		.lease_end_ms = e->cur.lease_end_ms,
		.lease_s = e->cur.lease_s,
		.wall_to_boot_ms = now.boot_ms - mapstate_wall_ms(&e->cur, now),
		.now_ms = now.boot_ms,
	};
}

static int make_desired(struct enforce *e, struct arena *a, struct kstate *ret)
{
	struct now now = clock_now();
	struct desired_config c = {.listen_port = e->port,
				   .route_metric = e->config->route_metric,
				   .psks = e->cur.psks,
				   .n_psks = e->cur.n_psks};
	int err;

	e->made = enforce_times(e, now);
	err = desired_make(&e->cur.map, &c, &e->made, a, ret);

	if (!err)
		enforce_choose_endpoints(e, ret, now.boot_ms);
	return err;
}

/* --- what the kernel has --- */

void enforce_wipe_psks(struct kstate *s)
{
	for (size_t i = 0; i < s->n_peers; i++)
		secret_wipe(&s->peers[i].psk);
}

void enforce_forget_have(struct enforce *e)
{
	enforce_wipe_psks(&e->have);
	arena_done(&e->have_arena);
	e->have = (struct kstate){0};
	e->have_known = false;
}

/* The overlay's ranges: the map's, else those of the enrolment. */
static void own_ranges(const struct enforce *e, struct prefix ret[static 2])
{
	const struct netmap_self *self = &e->cur.map.self;

	ret[0] = e->cur.serial ? self->net4 : e->state->who.nets[0];
	ret[1] = e->cur.serial ? self->net6 : e->state->who.nets[1];
}

/* Unreachable routes of another range are another daemon's on this machine. Ranges that are not
 * known: all may be ours. */
static void keep_own_guards(struct kstate *have, const struct prefix own[static 2])
{
	bool known = own[0].addr.family != ADDR_NONE || own[1].addr.family != ADDR_NONE;
	size_t n = 0;

	for (size_t i = 0; i < have->n_routes; i++) {
		const struct kroute *r = &have->routes[i];

		if (!known || r->kind == KROUTE_DEV || prefix_equal(&r->dst, &own[0]) ||
		    prefix_equal(&r->dst, &own[1]))
			have->routes[n++] = *r;
	}
	have->n_routes = n;
}

void enforce_shut_all(const struct enforce *e, enum log_level level)
{
	int r = kernel_shut(e->config->interface, &e->state->wg_pub);

	if (r > 0)
		log_at(level, "%s: no peer is left in WireGuard until nftables answers",
		       e->config->interface);
}

int enforce_read_have(struct enforce *e, struct diag *d)
{
	struct prefix own[2];
	int err;

	enforce_forget_have(e);
	arena_init(&e->have_arena, STATE_ARENA_MAX);
	err = kernel_read(e->kernel, &e->state->wg_pub, &e->have_arena, &e->have, d);
	if (err && err != -EAGAIN) /* that: others were at it meanwhile, it is read again soon */
		enforce_shut_all(e, LOG_LEVEL_WARN);
	if (err)
		return err;
	if (e->have.link_exists && !e->have.link_is_ours) {
		diag_set(d, -EEXIST, "the interface name %s is taken by someone else",
			 e->config->interface);
		diag_hint(d, "choose another with --interface, or remove it: ip link del %s",
			  e->config->interface);
		enforce_forget_have(e);
		return -EEXIST;
	}
	own_ranges(e, own);
	keep_own_guards(&e->have, own);
	e->have_known = true;
	return 0;
}

/* --- plan and execute --- */

/* Rule ids are those of the policy version that made the element. */
static const struct netmap *names_for(const struct enforce *e, const struct op *op)
{
	return op->kind == OP_ELEM_DEL && e->before.serial ? &e->before.map : &e->cur.map;
}

void enforce_log_ops(const struct enforce *e, const struct op_list *ops, enum log_level level,
		     const char *why)
{
	for (size_t i = 0; i < ops->n && i < LOG_LINES_MAX; i++) {
		char mem[400];
		struct buf b;

		buf_init(&b, mem, sizeof(mem) - 1);
		op_print(&ops->ops[i], names_for(e, &ops->ops[i]), &b);
		mem[b.len] = 0;
		log_at(level, "%s: %s", why, mem);
	}
	if (ops->n > LOG_LINES_MAX)
		log_at(level, "%s: and %zu more", why, ops->n - LOG_LINES_MAX);
}

/* What the kernel learned of peers that stay, and nobody asked to change. */
static void keep_learned(struct kstate *want, const struct kstate *have)
{
	for (size_t i = 0; i < want->n_peers; i++) {
		struct kpeer *p = &want->peers[i];
		const struct kpeer *known = enforce_find_peer(have, &p->pub);

		if (!known)
			continue;
		if (p->endpoint.addr.family == ADDR_NONE)
			p->endpoint = known->endpoint;
		p->rx_bytes = known->rx_bytes;
		p->tx_bytes = known->tx_bytes;
		p->last_handshake_s = known->last_handshake_s;
	}
}

/* After success the kernel has what was wanted; index and learned endpoints stay as they were read.
 */
static void want_is_have(struct enforce *e, const struct op_list *ops)
{
	bool was_known = e->have_known;
	int ifindex = e->have.ifindex;

	if (e->have.link_exists)
		keep_learned(&e->want, &e->have);
	plan_keep_expiries(&e->want, &e->have, ops);
	enforce_forget_have(e);
	e->have_arena = e->want_arena;
	e->have = e->want;
	e->have.ifindex = ifindex;
	e->have_known = was_known;
	e->want_arena = (struct arena){0};
	e->want = (struct kstate){0};
}

static void notice_port(struct enforce *e)
{
	struct arena a;
	struct kpeer *peers;
	size_t n;
	uint16_t port = 0;

	arena_init(&a, STATE_ARENA_MAX);
	if (kernel_read_peers(e->kernel, &a, &peers, &n, &port) == 0 && port) {
		e->have.port = port;
		if (e->port && port != e->port) {
			log_warn("port %u is in use, WireGuard listens on %u instead", e->port,
				 port);
			e->port = 0;
		}
		e->port_changed(e->arg);
	}
	arena_done(&a);
}

static bool sets_port(const struct op_list *ops)
{
	for (size_t i = 0; i < ops->n; i++)
		if (ops->ops[i].kind == OP_WG_SET || ops->ops[i].kind == OP_LINK_ADD)
			return true;
	return false;
}

/* A plan failed, maybe at the filter: what must not pass any more is shut by other means. */
static void shut_what_is_open(struct enforce *e)
{
	struct op_list ops;
	struct diag d;
	int err;

	enforce_forget_have(e); /* it is half done */
	if (enforce_read_have(e, &d))
		return;
	err = plan_shut(&e->want, &e->have, &e->want_arena, &ops);
	if (!err) {
		enforce_log_ops(e, &ops, LOG_LEVEL_WARN, "shut");
		err = kernel_exec(e->kernel, &ops, &e->state->wg, &e->want, clock_now().boot_ms,
				  &d);
	}
	if (err)
		log_error("cannot shut what should be: %s", zt_strerror(err));
	enforce_forget_have(e);
}

static int run_plan(struct enforce *e, const char *why, enum log_level level, struct diag *d)
{
	struct op_list ops;
	bool port;
	int err;

	err = plan_make(&e->want, &e->have, &e->want_arena, &ops);
	if (err)
		return diag_set(d, err, "cannot plan: %s", zt_strerror(err));
	if (!ops.n)
		return 0;
	/* What failed before is tried each second, and not told each time. */
	enforce_log_ops(e, &ops, e->problem[0] ? LOG_LEVEL_DEBUG : level, why);
	port = sets_port(&ops);
	err = kernel_exec(e->kernel, &ops, &e->state->wg, &e->want, clock_now().boot_ms, d);
	if (err) {
		shut_what_is_open(e);
		return err;
	}
	want_is_have(e, &ops);
	if (port)
		notice_port(e);
	return 0;
}

void enforce_drop_want(struct enforce *e)
{
	enforce_wipe_psks(&e->want);
	arena_done(&e->want_arena);
	e->want = (struct kstate){0};
}

int enforce_check_ranges(struct enforce *e, struct diag *d)
{
	struct prefix nets[2];

	own_ranges(e, nets);
	return enforce_check_overlap(e->kernel, nets, 2, d);
}

/* Without a map (not yet, or the file is damaged) nothing may pass. What an earlier daemon left in
 * the kernel ends with its own timeouts; after a boot nothing is there, and packets for the overlay
 * must not take the default route. */
static int put_guards(struct enforce *e, enum log_level level, struct diag *d)
{
	struct op_list ops;
	struct prefix nets[2];
	struct kstate want;
	struct arena a;
	int err;

	own_ranges(e, nets);
	desired_guards(nets, e->config->route_metric, &want);
	arena_init(&a, STATE_ARENA_MAX);
	err = plan_guard(&want, &e->have, &a, &ops);
	if (err)
		diag_set(d, err, "cannot plan: %s", zt_strerror(err));
	if (!err && ops.n) {
		enforce_log_ops(e, &ops, e->problem[0] ? LOG_LEVEL_DEBUG : level, "no netmap");
		err = kernel_exec(e->kernel, &ops, &e->state->wg, NULL, clock_now().boot_ms, d);
		enforce_forget_have(e);
	}
	arena_done(&a);
	return err;
}

int enforce_reconcile(struct enforce *e, const char *why, enum log_level level, struct diag *d)
{
	int err = 0;

	if (!e->up)
		return 0;
	if (!e->have_known)
		err = enforce_read_have(e, d);
	if (!err && !e->have.link_exists)
		err = enforce_check_ranges(e, d);
	if (err)
		return err;
	if (!e->cur.serial)
		return put_guards(e, level, d);
	enforce_drop_want(e);
	arena_init(&e->want_arena, STATE_ARENA_MAX);
	err = make_desired(e, &e->want_arena, &e->want);
	if (err)
		diag_set(d, err, "the netmap cannot be enforced: %s", zt_strerror(err));
	if (!err)
		err = run_plan(e, why, level, d);
	enforce_drop_want(e);
	return err;
}

int enforce_take_down(struct enforce *e, struct diag *d)
{
	struct arena a;
	struct op_list ops;
	int err = enforce_read_have(e, d);

	if (err)
		return err == -EEXIST ? 0 : err;
	arena_init(&a, STATE_ARENA_MAX);
	err = plan_down(&e->have, &a, &ops);
	if (!err)
		err = kernel_exec(e->kernel, &ops, &e->state->wg, &e->have, clock_now().boot_ms, d);
	arena_done(&a);
	enforce_forget_have(e);
	return err;
}

/* --- public --- */

void enforce_plan(struct enforce *e, struct buf *out)
{
	struct op_list ops = {0};
	struct kstate want = {0};
	struct arena a;
	struct diag d;

	if (!e->up || !e->cur.serial || enforce_read_have(e, &d))
		return;
	arena_init(&a, STATE_ARENA_MAX);
	if (make_desired(e, &a, &want) == 0 && plan_make(&want, &e->have, &a, &ops) == 0)
		for (size_t i = 0; i < ops.n; i++) {
			op_print(&ops.ops[i], &e->cur.map, out);
			buf_put_text(out, "\n");
		}
	enforce_wipe_psks(&want);
	arena_done(&a);
	e->made = (struct desired_times){0}; /* only looked at */
}

int enforce_check_overlap(struct kernel *k, const struct prefix *nets, size_t n, struct diag *d)
{
	char text[200], net[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		int r;

		if (nets[i].addr.family == ADDR_NONE)
			continue;
		r = kernel_find_overlap(k, &nets[i], text, sizeof(text));
		if (r < 0)
			return diag_set(d, r, "cannot read this machine's routes: %s",
					zt_strerror(r));
		if (r == 0)
			continue;
		prefix_print(&nets[i], net);
		diag_set(d, -EADDRNOTAVAIL,
			 "the overlay range %s collides with this machine's route %s", net, text);
		diag_hint(d, "remove that route (a ztnode's: ztnode --interface NAME down), or "
			     "make the network with another range (ztcontroller init --network)");
		return -EADDRNOTAVAIL;
	}
	return 0;
}

int enforce_clean(const char *interface, const struct node_state *s, struct diag *d)
{
	struct kernel *k;
	struct kstate have = {0};
	struct op_list ops;
	struct arena a;
	int err = kernel_open(interface, &k, d);

	if (err)
		return err;
	arena_init(&a, STATE_ARENA_MAX);
	err = kernel_read(k, &s->wg_pub, &a, &have, d);
	keep_own_guards(&have, s->who.nets);
	if (!err)
		err = plan_down(&have, &a, &ops);
	if (!err)
		err = kernel_exec(k, &ops, &s->wg, &have, clock_now().boot_ms, d);
	enforce_wipe_psks(&have);
	arena_done(&a);
	kernel_close(k);
	return err;
}
