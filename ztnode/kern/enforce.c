/* Enforce, the events: a message from the controller, a timer, another hand in the kernel, root's
 * word. Each changes the map in force or nothing, and ends in reconcile_and_say. What is kept on
 * disk, and what is told of it all, are here too. */
#include "ztnode/kern/enforce_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/log.h"

enum {
	POLL_FAST_MS = 2000,  /* while a peer has candidates to try */
	POLL_SLOW_MS = 10000, /* another hand's `wg set` makes no notification */
	RETRY_MS = 1000,
	FIREWALL_MS = 60000, /* the fact is told again, so that it does not grow old */
	SAVE_DELAY_MS = 500,
	SAVE_RETRY_MS = 30000,	  /* after the disk took neither serial nor map */
	SAVE_AT_ONCE_PEERS = 500, /* up to here the map is written with every change */
};

/* --- reconcile, and set the timers --- */

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
	struct desired_times t = e->made.now_ms ? e->made : enforce_times(e, now);
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
	int err = enforce_reconcile(e, why, level, d ? d : &own);

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
	if (enforce_read_have(e, &d)) {
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

static void poll_due(void *arg)
{
	struct enforce *e = arg;

	e->poll_at_ms = 0;
	look(e);
	if (e->up)
		enforce_step_paths(e);
	if (clock_now().boot_ms - e->firewall_told_ms >= FIREWALL_MS)
		tell_firewall(e);
	arm_timers(e, e->problem[0] != 0);
}

/* --- public --- */

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
	err = enforce_follow_peers(e);
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

int enforce_set_up(struct enforce *e, bool up, struct diag *d)
{
	if (state_has_mark(e->state, STATE_DOWN) == up)
		return diag_set(d, -EPERM, "only root may take it %s", up ? "up" : "down");
	e->up = up;
	e->problem[0] = 0;
	return up ? reconcile_and_say(e, "up", LOG_LEVEL_INFO, d) : enforce_take_down(e, d);
}

int enforce_forget(struct enforce *e, struct diag *d)
{
	int err;

	if (!state_has_mark(e->state, STATE_LEAVING))
		return diag_set(d, -EPERM, "only root may leave the network");
	e->up = false;
	err = enforce_take_down(e, d);
	if (!err && (err = state_forget(e->state)))
		diag_set(d, err, "cannot remove the state: %s", zt_strerror(err));
	if (!err)
		mapstate_done(&e->cur);
	return err;
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
		const struct kpeer *k = enforce_find_peer(&seen, &m->peers[i].wg_key);

		out[i].id = m->peers[i].id;
		if (k) {
			out[i].endpoint = k->endpoint;
			out[i].last_handshake_s = k->last_handshake_s;
			out[i].rx_bytes = k->rx_bytes;
			out[i].tx_bytes = k->tx_bytes;
		}
	}
	enforce_wipe_psks(&seen);
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
		return enforce_follow_peers(e);
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
		enforce_shut_all(e, LOG_LEVEL_DEBUG); /* of an earlier daemon's tunnel */
	else
		err = load_map(e);
	if (!err && e->up)
		err = enforce_read_have(e, d);
	if (!err && e->up)
		err = enforce_check_ranges(e, d);
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
	enforce_forget_have(e);
	enforce_drop_want(e);
	mapstate_done(&e->cur);
	free(e->paths);
	kernel_close(e->kernel);
	free(e);
}
