/* Enforcement: map in force -> desired -> plan against what the kernel has -> operations. See
 * enforce.h. */
#include "ztnode/kern/enforce.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/log.h"
#include "ztnode/core/desired.h"
#include "ztnode/core/path.h"
#include "ztnode/core/plan.h"

enum {
	POLL_FAST_MS = 2000,  /* while a peer has candidates to try */
	POLL_SLOW_MS = 10000, /* another hand's `wg set` makes no notification */
	RETRY_MS = 1000,
	FIREWALL_MS = 60000, /* the fact is told again, so that it does not grow old */
	SAVE_DELAY_MS = 500,
	SAVE_RETRY_MS = 30000,	  /* after the disk took neither serial nor map */
	SAVE_AT_ONCE_PEERS = 500, /* up to here the map is written with every change */
	STATE_ARENA_MAX = 96 << 20,
	LOG_LINES_MAX = 10,
};

struct enforce {
	struct loop *loop;
	const struct node_config *config;
	struct node_state *state;
	struct kernel *kernel;
	void (*port_changed)(void *arg);
	void (*firewall_changed)(void *arg, bool known, bool on);
	void *arg;
	struct mapstate cur;	/* serial 0: no map yet */
	struct mapstate before; /* while a new map is enforced: names of the rules that go */
	bool up;		/* enforcing, not taken down by hand */
	bool lease_over_said;
	uint16_t port; /* asked of the kernel; 0 after the configured one was found taken */
	struct kstate want, have; /* each in its arena */
	struct arena want_arena, have_arena;
	bool have_known;    /* have is what the kernel has */
	struct path *paths; /* one a peer of the map, by id */
	size_t n_paths;
	struct loop_timer *edge_timer; /* next moment at which desired changes by itself */
	struct loop_timer *poll_timer;
	int64_t poll_at_ms;	   /* when it is set to; 0: not */
	struct desired_times made; /* of the desired state that timers are not yet set for */
	struct loop_timer *save_timer;
	bool save_failed; /* and it was said */
	int64_t firewall_told_ms;
	char problem[ROLE_TEXT_MAX];
};

static void enforce_now(struct enforce *e);

/* --- desired --- */

static struct desired_times times_of(const struct enforce *e, struct now now)
{
	return (struct desired_times){
		.lease_end_ms = e->cur.lease_end_ms,
		.lease_s = e->cur.lease_s,
		.wall_to_boot_ms = now.boot_ms - mapstate_wall_ms(&e->cur, now),
		.now_ms = now.boot_ms,
	};
}

static size_t candidates_of(const struct netmap *m, uint32_t peer,
			    struct endpoint out[ZT_ENDPOINTS_PEER_MAX])
{
	size_t lo = 0, hi = m->n_endpoints, n = 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->endpoints[mid].peer < peer)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < m->n_endpoints && m->endpoints[lo].peer == peer && n < ZT_ENDPOINTS_PEER_MAX;
	     lo++)
		out[n++] = m->endpoints[lo].ep;
	return n;
}

static struct path *find_path(struct path *paths, size_t n, uint32_t peer)
{
	for (size_t lo = 0, hi = n; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;

		if (paths[mid].peer == peer)
			return &paths[mid];
		if (paths[mid].peer < peer)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Paths follow the peers of the map; what is known of a peer that stays is kept. */
static int follow_peers(struct enforce *e)
{
	const struct netmap *m = &e->cur.map;
	struct path *paths = calloc(m->n_peers ? m->n_peers : 1, sizeof(*paths));

	if (!paths)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_peers; i++) {
		struct path *old = find_path(e->paths, e->n_paths, m->peers[i].id);

		paths[i].peer = m->peers[i].id;
		if (old)
			paths[i] = *old;
	}
	free(e->paths);
	e->paths = paths;
	e->n_paths = m->n_peers;
	return 0;
}

static const struct kpeer *find_peer(const struct kstate *s, const struct key *pub)
{
	struct kpeer key = {.pub = *pub};

	return s->n_peers ? bsearch(&key, s->peers, s->n_peers, sizeof(key), kpeer_compare) : NULL;
}

/* Peers that the kernel does not have get their first candidate with them. */
static void choose_first_endpoints(struct enforce *e, struct kstate *want, int64_t boot_ms)
{
	struct endpoint candidates[ZT_ENDPOINTS_PEER_MAX];
	static const struct path_seen fresh = {.handshake_age_s = -1};

	for (size_t i = 0; i < want->n_peers; i++) {
		struct kpeer *p = &want->peers[i];
		const struct kpeer *known = e->have_known ? find_peer(&e->have, &p->pub) : NULL;
		struct path *path = find_path(e->paths, e->n_paths, p->id);
		size_t n = candidates_of(&e->cur.map, p->id, candidates);

		if (path && !(known && known->endpoint.addr.family != ADDR_NONE))
			path_step(path, candidates, n, &fresh, boot_ms, &p->endpoint);
	}
}

static int make_desired(struct enforce *e, struct arena *a, struct kstate *ret)
{
	struct now now = clock_now();
	struct desired_config c = {.listen_port = e->port,
				   .route_metric = e->config->route_metric,
				   .psks = e->cur.psks,
				   .n_psks = e->cur.n_psks};
	int err;

	e->made = times_of(e, now);
	err = desired_make(&e->cur.map, &c, &e->made, a, ret);

	if (!err)
		choose_first_endpoints(e, ret, now.boot_ms);
	return err;
}

/* --- kernel --- */

static void wipe_psks(struct kstate *s)
{
	for (size_t i = 0; i < s->n_peers; i++)
		secret_wipe(&s->peers[i].psk);
}

static void forget_have(struct enforce *e)
{
	wipe_psks(&e->have);
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

/* Whether there is a filter nobody knows: then there is no tunnel either. */
static void shut_all(const struct enforce *e, enum log_level level)
{
	int r = kernel_shut(e->config->interface, &e->state->wg_pub);

	if (r > 0)
		log_at(level, "%s: no peer is left in WireGuard until nftables answers",
		       e->config->interface);
}

static int read_have(struct enforce *e, struct diag *d)
{
	struct prefix own[2];
	int err;

	forget_have(e);
	arena_init(&e->have_arena, STATE_ARENA_MAX);
	err = kernel_read(e->kernel, &e->state->wg_pub, &e->have_arena, &e->have, d);
	if (err && err != -EAGAIN) /* that: others were at it meanwhile, it is read again soon */
		shut_all(e, LOG_LEVEL_WARN);
	if (err)
		return err;
	if (e->have.link_exists && !e->have.link_is_ours) {
		diag_set(d, -EEXIST, "the interface name %s is taken by someone else",
			 e->config->interface);
		diag_hint(d, "choose another with --interface, or remove it: ip link del %s",
			  e->config->interface);
		forget_have(e);
		return -EEXIST;
	}
	own_ranges(e, own);
	keep_own_guards(&e->have, own);
	e->have_known = true;
	return 0;
}

/* Rule ids are those of the policy version that made the element. */
static const struct netmap *names_for(const struct enforce *e, const struct op *op)
{
	return op->kind == OP_ELEM_DEL && e->before.serial ? &e->before.map : &e->cur.map;
}

static void log_ops(const struct enforce *e, const struct op_list *ops, enum log_level level,
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
		const struct kpeer *known = find_peer(have, &p->pub);

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
	forget_have(e);
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

	forget_have(e); /* it is half done */
	if (read_have(e, &d))
		return;
	err = plan_shut(&e->want, &e->have, &e->want_arena, &ops);
	if (!err) {
		log_ops(e, &ops, LOG_LEVEL_WARN, "shut");
		err = kernel_exec(e->kernel, &ops, &e->state->wg, &e->want, clock_now().boot_ms,
				  &d);
	}
	if (err)
		log_error("cannot shut what should be: %s", zt_strerror(err));
	forget_have(e);
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
	log_ops(e, &ops, e->problem[0] ? LOG_LEVEL_DEBUG : level, why);
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

static void drop_want(struct enforce *e)
{
	wipe_psks(&e->want);
	arena_done(&e->want_arena);
	e->want = (struct kstate){0};
}

static int check_ranges(struct enforce *e, struct diag *d)
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
		log_ops(e, &ops, e->problem[0] ? LOG_LEVEL_DEBUG : level, "no netmap");
		err = kernel_exec(e->kernel, &ops, &e->state->wg, NULL, clock_now().boot_ms, d);
		forget_have(e);
	}
	arena_done(&a);
	return err;
}

/* The one way to the kernel. why and level: how the log tells it. */
static int reconcile(struct enforce *e, const char *why, enum log_level level, struct diag *d)
{
	int err = 0;

	if (!e->up)
		return 0;
	if (!e->have_known)
		err = read_have(e, d);
	if (!err && !e->have.link_exists)
		err = check_ranges(e, d);
	if (err)
		return err;
	if (!e->cur.serial)
		return put_guards(e, level, d);
	drop_want(e);
	arena_init(&e->want_arena, STATE_ARENA_MAX);
	err = make_desired(e, &e->want_arena, &e->want);
	if (err)
		diag_set(d, err, "the netmap cannot be enforced: %s", zt_strerror(err));
	if (!err)
		err = run_plan(e, why, level, d);
	drop_want(e);
	return err;
}

/* Never later than it was to be: who changes the map again and again keeps no look away. */
static void poll_by(struct enforce *e, int64_t at_ms)
{
	if (e->poll_at_ms && e->poll_at_ms <= at_ms)
		return;
	e->poll_at_ms = at_ms;
	loop_timer_set(e->poll_timer, at_ms);
}

static void arm_timers(struct enforce *e, bool failed)
{
	struct now now = clock_now();
	/* What has ended since the desired state was made is still to be taken out. */
	struct desired_times t = e->made.now_ms ? e->made : times_of(e, now);
	bool trying = false;

	e->made = (struct desired_times){0};
	for (size_t i = 0; i < e->n_paths && !trying; i++)
		trying = e->paths[i].told_ms &&
			 now.boot_ms - e->paths[i].told_ms < PATH_SESSION_S * 1000;
	loop_timer_set(e->edge_timer,
		       failed ? now.boot_ms + RETRY_MS : desired_next_end(&e->cur.map, &t));
	poll_by(e, now.boot_ms + (trying ? POLL_FAST_MS : POLL_SLOW_MS));
}

static void say_lease(struct enforce *e)
{
	bool over = e->cur.serial && clock_now().boot_ms >= e->cur.lease_end_ms;

	if (over && !e->lease_over_said)
		log_warn("the lease is over: nothing passes until the controller renews it%s",
			 e->have_known && e->have.n_elems ? ", but what has a longer lease" : "");
	if (!over && e->lease_over_said)
		log_info("the lease is renewed");
	e->lease_over_said = over;
}

static int reconcile_and_say(struct enforce *e, const char *why, enum log_level level,
			     struct diag *d)
{
	struct diag own;
	int err = reconcile(e, why, level, d ? d : &own);

	if (err && strcmp(e->problem, (d ? d : &own)->message) != 0)
		log_diag(d ? d : &own);
	snprintf(e->problem, sizeof(e->problem), "%s", err ? (d ? d : &own)->message : "");
	say_lease(e);
	arm_timers(e, err != 0);
	return err;
}

static void enforce_now(struct enforce *e)
{
	(void)reconcile_and_say(e, "now", LOG_LEVEL_INFO, NULL);
}

/* --- events --- */

static void save_is_over(struct enforce *e, int err, const struct diag *d)
{
	if (err && !e->save_failed)
		log_diag(d);
	e->save_failed = err != 0;
	loop_timer_set(e->save_timer, err ? clock_now().boot_ms + SAVE_RETRY_MS : -1);
}

/* The serial once more, if it could not be kept before the map came into force; then the map. */
static void save_map(struct enforce *e)
{
	struct diag d;
	int err;

	if (!e->cur.serial)
		return;
	err = state_save_serial(e->state, e->cur.serial, &d);
	if (!err)
		err = state_save_map(e->state, &e->cur, clock_now(), &d);
	save_is_over(e, err, &d);
	/* An older map is refused at the next start, but it need not be read. */
	if (err && state_drop_map(e->state))
		log_error("the older netmap cannot be removed either");
}

/* Before a map is in force: no older one is taken, or loaded, from here on. A disk that does not
 * take it delays no cut. */
static void save_serial(struct enforce *e, uint64_t serial)
{
	struct diag d;
	int err = state_save_serial(e->state, serial, &d);

	if (err)
		save_is_over(e, err, &d);
}

static void save_due(void *arg)
{
	save_map(arg);
}

static void edge_due(void *arg)
{
	enforce_now(arg);
}

static void tell_firewall(struct enforce *e)
{
	int r = kernel_firewall_filters_input(e->kernel);

	e->firewall_told_ms = clock_now().boot_ms;
	e->firewall_changed(e->arg, r >= 0, r > 0);
}

/* Another hand was in the kernel, or might have been: look, and put right what differs. */
static void look(struct enforce *e)
{
	struct diag d;

	if (!e->up)
		return;
	if (read_have(e, &d)) {
		if (strcmp(e->problem, d.message) != 0)
			log_diag(&d);
		snprintf(e->problem, sizeof(e->problem), "%s", d.message);
		arm_timers(e, true);
		return;
	}
	(void)reconcile_and_say(e, "put right", LOG_LEVEL_WARN, NULL);
}

static void kernel_changed(void *arg)
{
	struct enforce *e = arg;

	tell_firewall(e); /* first: a cut may hang on it */
	look(e);
}

static void step_paths(struct enforce *e)
{
	struct endpoint candidates[ZT_ENDPOINTS_PEER_MAX];
	struct now now = clock_now();
	struct diag d;

	for (size_t i = 0; e->have_known && i < e->cur.map.n_peers; i++) {
		const struct kpeer *k = find_peer(&e->have, &e->cur.map.peers[i].wg_key);
		struct path *path = find_path(e->paths, e->n_paths, e->cur.map.peers[i].id);
		size_t n = candidates_of(&e->cur.map, e->cur.map.peers[i].id, candidates);
		struct kpeer told;
		struct op op = {.kind = OP_PEER_ENDPOINT, .peer = &told};
		struct op_list one = {&op, 1};
		struct path_seen seen;

		if (!k || !path)
			continue;
		seen = (struct path_seen){
			k->tx_bytes, k->rx_bytes,
			k->last_handshake_s ? now.wall_ms / 1000 - k->last_handshake_s : -1,
			k->endpoint};
		told = (struct kpeer){.pub = k->pub, .id = k->id, .endpoint = k->endpoint};
		if (!path_step(path, candidates, n, &seen, now.boot_ms, &told.endpoint))
			continue;
		log_ops(e, &one, LOG_LEVEL_DEBUG, "path");
		if (kernel_exec(e->kernel, &one, &e->state->wg, &e->have, now.boot_ms, &d))
			log_diag(&d);
	}
}

static void poll_due(void *arg)
{
	struct enforce *e = arg;

	e->poll_at_ms = 0;
	look(e);
	if (e->up)
		step_paths(e);
	if (clock_now().boot_ms - e->firewall_told_ms >= FIREWALL_MS)
		tell_firewall(e);
	arm_timers(e, e->problem[0] != 0);
}

/* --- public --- */

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

/* A message that only renews the lease is not worth a line. */
static enum log_level level_of(const struct netmap *before, const struct netmap *after)
{
	enum log_level level = LOG_LEVEL_INFO;
	struct netmap_msg m;
	struct arena a;

	arena_init(&a, STATE_ARENA_MAX);
	if (netmap_diff(before, after, &a, &m) == 0 && netmap_msg_is_empty(&m))
		level = LOG_LEVEL_DEBUG;
	arena_done(&a);
	return level;
}

int enforce_message(struct enforce *e, const void *p, size_t n, struct diag *d)
{
	struct mapstate next;
	struct trust t;
	struct diag problem;
	int err;

	state_trust(e->state, &t);
	err = accept_message(&t, &e->cur, p, n, clock_now(), &next, d);
	secret_wipe(&t.identity);
	if (err)
		return err;
	save_serial(e, next.serial);
	e->before = e->cur;
	e->cur = next;
	err = follow_peers(e);
	/* A map that cannot be enforced is still the map in force: it is tried again, and kept. */
	if (!err)
		(void)reconcile_and_say(e, "netmap", level_of(&e->before.map, &e->cur.map),
					&problem);
	mapstate_done(&e->before);
	if (err)
		return diag_set(d, err, "%s", zt_strerror(err));
	if (e->cur.map.n_peers <= SAVE_AT_ONCE_PEERS)
		save_map(e);
	else
		loop_timer_set(e->save_timer, clock_now().boot_ms + SAVE_DELAY_MS);
	return 0;
}

static int take_down(struct enforce *e, struct diag *d)
{
	struct arena a;
	struct op_list ops;
	int err = read_have(e, d);

	if (err)
		return err == -EEXIST ? 0 : err;
	arena_init(&a, STATE_ARENA_MAX);
	err = plan_down(&e->have, &a, &ops);
	if (!err)
		err = kernel_exec(e->kernel, &ops, &e->state->wg, &e->have, clock_now().boot_ms, d);
	arena_done(&a);
	forget_have(e);
	return err;
}

int enforce_set_up(struct enforce *e, bool up, struct diag *d)
{
	if (state_has_mark(e->state, STATE_DOWN) == up)
		return diag_set(d, -EPERM, "only root may take it %s", up ? "up" : "down");
	e->up = up;
	e->problem[0] = 0;
	return up ? reconcile_and_say(e, "up", LOG_LEVEL_INFO, d) : take_down(e, d);
}

int enforce_forget(struct enforce *e, struct diag *d)
{
	int err;

	if (!state_has_mark(e->state, STATE_LEAVING))
		return diag_set(d, -EPERM, "only root may leave the network");
	e->up = false;
	err = take_down(e, d);
	if (!err && (err = state_forget(e->state)))
		diag_set(d, err, "cannot remove the state: %s", zt_strerror(err));
	if (!err)
		mapstate_done(&e->cur);
	return err;
}

void enforce_plan(struct enforce *e, struct buf *out)
{
	struct op_list ops = {0};
	struct kstate want = {0};
	struct arena a;
	struct diag d;

	if (!e->up || !e->cur.serial || read_have(e, &d))
		return;
	arena_init(&a, STATE_ARENA_MAX);
	if (make_desired(e, &a, &want) == 0 && plan_make(&want, &e->have, &a, &ops) == 0)
		for (size_t i = 0; i < ops.n; i++) {
			op_print(&ops.ops[i], &e->cur.map, out);
			buf_put_text(out, "\n");
		}
	wipe_psks(&want);
	arena_done(&a);
	e->made = (struct desired_times){0}; /* only looked at */
}

static int encode_map(const struct enforce *e, struct arena *a, struct role_status *ret)
{
	static const struct netmap empty;
	struct netmap_msg m;
	struct buf b;
	int err = netmap_diff(&empty, &e->cur.map, a, &m);

	if (err)
		return err;
	m.head = (struct netmap_head){NETMAP_FULL,   e->cur.lease_s,	e->cur.issued_ms,
				      e->cur.serial, e->cur.map.policy, e->cur.map.self.id};
	buf_init_grow(&b, ZT_NETMAP_MAX);
	err = netmap_encode(&m, &b);
	if (!err && !(ret->map = arena_dup(a, b.data, b.len)))
		err = -ENOMEM;
	ret->n_map = err ? 0 : b.len;
	buf_free(&b);
	return err;
}

static int gather_peers(struct enforce *e, struct arena *a, struct role_status *ret)
{
	const struct netmap *m = &e->cur.map;
	struct role_peer *out = arena_array(a, m->n_peers, sizeof(*out));
	struct kstate seen = {0};
	uint16_t port;

	if (!out)
		return -ENOMEM;
	if (!e->up || kernel_read_peers(e->kernel, a, &seen.peers, &seen.n_peers, &port))
		seen.n_peers = 0;
	for (size_t i = 0; i < m->n_peers; i++) {
		const struct kpeer *k = find_peer(&seen, &m->peers[i].wg_key);

		out[i].id = m->peers[i].id;
		if (k) {
			out[i].endpoint = k->endpoint;
			out[i].last_handshake_s = k->last_handshake_s;
			out[i].rx_bytes = k->rx_bytes;
			out[i].tx_bytes = k->tx_bytes;
		}
	}
	wipe_psks(&seen);
	ret->peers = out;
	ret->n_peers = m->n_peers;
	return 0;
}

int enforce_status(struct enforce *e, struct arena *a, struct role_status *ret)
{
	struct role_status s = {
		.enforced = e->up,
		.lease_left_ms = e->cur.serial ? e->cur.lease_end_ms - clock_now().boot_ms : -1,
		.serial = e->cur.serial,
		.wg_port = enforce_port(e)};
	int err;

	snprintf(s.interface, sizeof(s.interface), "%s", e->config->interface);
	snprintf(s.problem, sizeof(s.problem), "%s", e->problem);
	err = gather_peers(e, a, &s);
	if (!err && e->cur.serial)
		err = encode_map(e, a, &s);
	if (!err)
		*ret = s;
	return err;
}

uint64_t enforce_serial(const struct enforce *e)
{
	return e->cur.serial > e->state->serial ? e->cur.serial : e->state->serial;
}

uint16_t enforce_port(const struct enforce *e)
{
	return e->have_known && e->have.port ? e->have.port : e->port;
}

static int load_map(struct enforce *e)
{
	struct diag d;
	int err = state_load_map(e->state, clock_now(), &e->cur, &d);

	if (!err)
		return follow_peers(e);
	if (err != -ENOENT)
		log_diag(&d);
	else if (e->state->serial)
		log_warn("the saved netmap is gone: only one that is newer is taken");
	e->cur = (struct mapstate){0};
	return 0;
}

static int start(struct enforce *e, struct diag *d)
{
	int err = kernel_open(e->config->interface, &e->kernel, d);

	if (err)
		shut_all(e, LOG_LEVEL_DEBUG); /* of an earlier daemon's tunnel */
	else
		err = load_map(e);
	if (!err && e->up)
		err = read_have(e, d);
	if (!err && e->up)
		err = check_ranges(e, d);
	if (!err)
		err = kernel_watch(e->kernel, e->loop, kernel_changed, e);
	return err;
}

int enforce_new(struct loop *l, const struct node_config *c, struct node_state *s,
		void (*port_changed)(void *arg),
		void (*firewall_changed)(void *arg, bool known, bool on), void *arg,
		struct enforce **ret, struct diag *d)
{
	struct enforce *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return diag_set(d, -ENOMEM, "%s", zt_strerror(-ENOMEM));
	*e = (struct enforce){.loop = l,
			      .config = c,
			      .state = s,
			      .up = !state_has_mark(s, STATE_DOWN),
			      .port = c->listen_port,
			      .port_changed = port_changed,
			      .firewall_changed = firewall_changed,
			      .arg = arg};
	e->edge_timer = loop_timer_new(l, edge_due, e);
	e->poll_timer = loop_timer_new(l, poll_due, e);
	e->save_timer = loop_timer_new(l, save_due, e);
	err = e->edge_timer && e->poll_timer && e->save_timer ? start(e, d) : -ENOMEM;
	if (err) {
		enforce_free(e);
		return err;
	}
	enforce_now(e);
	tell_firewall(e);
	*ret = e;
	return 0;
}

void enforce_free(struct enforce *e)
{
	if (!e)
		return;
	if (e->save_timer && loop_timer_is_set(e->save_timer))
		save_map(e);
	loop_timer_free(e->edge_timer);
	loop_timer_free(e->poll_timer);
	loop_timer_free(e->save_timer);
	forget_have(e);
	drop_want(e);
	mapstate_done(&e->cur);
	free(e->paths);
	kernel_close(e->kernel);
	free(e);
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
	wipe_psks(&have);
	arena_done(&a);
	kernel_close(k);
	return err;
}
