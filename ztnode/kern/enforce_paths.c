/* Enforce, the paths to peers: which candidate of the map WireGuard is to try, for a peer that it
 * does not have yet and, at every look, for those that do not answer (core/path.h decides). Owns
 * what is known of each way. */
#include "ztnode/kern/enforce_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "zt/log.h"

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

int enforce_follow_peers(struct enforce *e)
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

const struct kpeer *enforce_find_peer(const struct kstate *s, const struct key *pub)
{
	struct kpeer key = {.pub = *pub};

	return s->n_peers ? bsearch(&key, s->peers, s->n_peers, sizeof(key), kpeer_compare) : NULL;
}

void enforce_choose_endpoints(struct enforce *e, struct kstate *want, int64_t boot_ms)
{
	struct endpoint candidates[ZT_ENDPOINTS_PEER_MAX];
	static const struct path_seen fresh = {.handshake_age_s = -1};

	for (size_t i = 0; i < want->n_peers; i++) {
		struct kpeer *p = &want->peers[i];
		const struct kpeer *known =
			e->have_known ? enforce_find_peer(&e->have, &p->pub) : NULL;
		struct path *path = find_path(e->paths, e->n_paths, p->id);
		size_t n = candidates_of(&e->cur.map, p->id, candidates);

		if (path && !(known && known->endpoint.addr.family != ADDR_NONE))
			path_step(path, candidates, n, &fresh, boot_ms, &p->endpoint);
	}
}

void enforce_step_paths(struct enforce *e)
{
	struct endpoint candidates[ZT_ENDPOINTS_PEER_MAX];
	struct now now = clock_now();
	struct diag d;

	for (size_t i = 0; e->have_known && i < e->cur.map.n_peers; i++) {
		const struct kpeer *k = enforce_find_peer(&e->have, &e->cur.map.peers[i].wg_key);
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
		enforce_log_ops(e, &one, LOG_LEVEL_DEBUG, "path");
		if (kernel_exec(e->kernel, &one, &e->state->wg, &e->have, now.boot_ms, &d))
			log_diag(&d);
	}
}
