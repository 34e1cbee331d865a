/* The path machine: see path.h. */
#include "ztnode/core/path.h"

static bool still_candidate(const struct endpoint *e, const struct endpoint *candidates, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (endpoint_equal(e, &candidates[i]))
			return true;
	return false;
}

static bool tell(struct path *p, const struct endpoint *candidates, size_t n, uint64_t tx,
		 int64_t boot_ms, struct endpoint *ret)
{
	if (p->next >= n)
		p->next = 0;
	*ret = candidates[p->next];
	p->next = (uint8_t)(p->next + 1);
	p->told = *ret;
	p->told_ms = boot_ms ? boot_ms : 1;
	p->tx_told = tx;
	return true;
}

/* How long, by now, what is sent has not been answered. */
static int64_t listen_for(struct path *p, const struct path_seen *seen, int64_t boot_ms)
{
	if (seen->rx_bytes != p->rx_heard) {
		p->rx_heard = seen->rx_bytes;
		p->tx_heard = seen->tx_bytes;
		p->unheard_ms = 0;
	} else if (seen->tx_bytes != p->tx_heard && !p->unheard_ms) {
		p->unheard_ms = boot_ms ? boot_ms : 1;
	}
	return p->unheard_ms ? boot_ms - p->unheard_ms : 0;
}

bool path_step(struct path *p, const struct endpoint *candidates, size_t n,
	       const struct path_seen *seen, int64_t boot_ms, struct endpoint *ret)
{
	bool answers = listen_for(p, seen, boot_ms) < PATH_SILENT_MS;
	bool alive =
		answers && seen->handshake_age_s >= 0 && seen->handshake_age_s < PATH_SESSION_S;
	bool has_endpoint = seen->endpoint.addr.family != ADDR_NONE;

	if (n == 0 || (alive && has_endpoint))
		return false;
	if (!has_endpoint || !p->told_ms || !still_candidate(&p->told, candidates, n)) {
		p->next = 0;
		return tell(p, candidates, n, seen->tx_bytes, boot_ms, ret);
	}
	/* A single candidate is told again when the kernel has roamed to where nobody answers. */
	if ((n > 1 || !endpoint_equal(&seen->endpoint, &candidates[0])) &&
	    seen->tx_bytes != p->tx_told && boot_ms - p->told_ms >= PATH_TRY_MS)
		return tell(p, candidates, n, seen->tx_bytes, boot_ms, ret);
	return false;
}
