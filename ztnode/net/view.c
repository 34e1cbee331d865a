/* Status and posture as JSON. */
#include "ztnode/net/view.h"

#include <stdio.h>
#include <string.h>

#include "zt/num.h"
#include "ztnode/core/desired.h"

enum {
	HANDSHAKE_FRESH_S = 180
}; /* WireGuard's REJECT_AFTER_TIME: a session older than this is none */

static json_t *time_json(int64_t s)
{
	char text[32];

	if (!s)
		return json_null();
	num_print_time(s, text, sizeof(text));
	return json_string(text);
}

static void append_addr(json_t *list, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	if (a->family == ADDR_NONE)
		return;
	addr_print(a, text);
	json_array_append_new(list, json_string(text));
}

static void append_host_prefix(json_t *list, const struct addr *a)
{
	struct prefix p = {*a, (uint8_t)addr_bits(a)};
	char text[PREFIX_TEXT_MAX];

	if (a->family == ADDR_NONE)
		return;
	prefix_print(&p, text);
	json_array_append_new(list, json_string(text));
}

/* --- device --- */

static json_t *device_json(const struct hello *h, const struct netmap *m,
			   const struct link_view *link, const json_t *advice)
{
	const json_t *d = json_object_get(advice, "device");
	json_t *tags = json_object_get(d, "tags"), *addresses = json_array();
	const char *owner = json_string_value(json_object_get(d, "owner"));
	const char *name = json_string_value(json_object_get(d, "name"));

	append_addr(addresses, &m->self.addr4);
	append_addr(addresses, &m->self.addr6);
	return json_pack("{s:i,s:s,s:s,s:o,s:o,s:s}", "id", (int)h->device, "name",
			 name ? name : h->name, "owner", owner ? owner : "", "tags",
			 tags ? json_deep_copy(tags) : json_array(), "addresses", addresses,
			 "state", link->device_state);
}

/* --- the map --- */

/* The map that the privileged role enforces, and its head; empty when there is none. */
static struct netmap_head read_map(const struct role_status *s, struct arena *a, struct netmap *ret)
{
	static const struct netmap empty;
	struct netmap_msg msg = {0};

	*ret = empty;
	if (s->map &&
	    (netmap_decode(s->map, s->n_map, a, &msg) || netmap_apply(&empty, &msg, a, ret)))
		*ret = empty;
	return msg.head;
}

/* Counted from now, as lease_left_ms is. A wall clock that was set back after the map came says no
 * more here than where it is enforced: what is left of the lease tells that it is later. */
static struct desired_times times_of(const struct role_status *s, const struct netmap_head *h,
				     struct now now)
{
	int64_t proven_ms = (int64_t)h->issued_ms + (int64_t)h->lease_s * 1000 - s->lease_left_ms;

	return (struct desired_times){.lease_end_ms = s->lease_left_ms,
				      .lease_s = h->lease_s,
				      .wall_to_boot_ms =
					      -(now.wall_ms > proven_ms ? now.wall_ms : proven_ms)};
}

/* --- peers --- */

/* By which something passes now. */
static json_t *peer_rules(const struct netmap *m, uint32_t peer, const struct desired_times *t)
{
	json_t *list = json_array();
	uint32_t seen[64];
	size_t n = 0, lo = 0, hi = m->n_grants;

	while (lo < hi) { /* grants are sorted by peer: its first */
		size_t mid = lo + (hi - lo) / 2;

		if (m->grants[mid].peer < peer)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (size_t i = lo; i < m->n_grants && m->grants[i].peer == peer && n < 64; i++) {
		bool known = desired_grant_end(&m->grants[i], t) <= 0 ||
			     desired_unenforced(m, &m->grants[i]) != NULL;

		for (size_t j = 0; j < n; j++)
			known = known || seen[j] == m->grants[i].rule;
		if (known)
			continue;
		seen[n++] = m->grants[i].rule;
		json_array_append_new(list, json_string(netmap_rule_name(m, m->grants[i].rule)));
	}
	return list;
}

static json_t *peer_json(const struct netmap *m, const struct netmap_peer *p,
			 const struct role_peer *k, const struct desired_times *t, struct now now)
{
	int64_t age = k->last_handshake_s ? now.wall_ms / 1000 - k->last_handshake_s : INT64_MAX;
	json_t *addresses = json_array(), *allowed = json_array(), *rules = peer_rules(m, p->id, t);
	char endpoint[ENDPOINT_TEXT_MAX] = "";

	append_addr(addresses, &p->addr4);
	append_addr(addresses, &p->addr6);
	if (json_array_size(rules)) {
		append_host_prefix(allowed, &p->addr4);
		append_host_prefix(allowed, &p->addr6);
	}
	if (k->endpoint.addr.family != ADDR_NONE)
		endpoint_print(&k->endpoint, endpoint);
	return json_pack("{s:i,s:s,s:o,s:o,s:s,s:s,s:n,s:o,s:I,s:I,s:o}", "id", (int)p->id, "name",
			 p->name, "addresses", addresses, "allowed_ips", allowed, "endpoint",
			 endpoint, "path", age < HANDSHAKE_FRESH_S ? "direct" : "none", "rtt_ms",
			 "last_handshake", time_json(k->last_handshake_s), "rx_bytes",
			 (json_int_t)k->rx_bytes, "tx_bytes", (json_int_t)k->tx_bytes, "rules",
			 rules);
}

static json_t *peers_json(const struct netmap *m, const struct role_status *s,
			  const struct desired_times *t, struct now now)
{
	static const struct role_peer unknown;
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_peers; i++) {
		bool there = i < s->n_peers && s->peers[i].id == m->peers[i].id;

		json_array_append_new(
			list, peer_json(m, &m->peers[i], there ? &s->peers[i] : &unknown, t, now));
	}
	return list;
}

/* --- grants --- */

static void split_service(const struct service *svc, char proto[static SERVICE_TEXT_MAX],
			  char ports[static SERVICE_TEXT_MAX])
{
	char *slash;

	service_print(svc, proto);
	slash = strchr(proto, '/');
	ports[0] = 0;
	if (slash) {
		*slash = 0;
		memcpy(ports, slash + 1, strlen(slash + 1) + 1);
	}
}

/* "app:/usr/bin/psql" */
enum { CONDITION_TEXT_MAX = ZT_CONDITION_NAME_MAX + 8 };
static void condition_print(const struct netmap_condition *c, char out[static CONDITION_TEXT_MAX])
{
	snprintf(out, CONDITION_TEXT_MAX, "%s:%s", c->kind == NETMAP_APP ? "app" : "user", c->name);
}

/* What keeps the grant from being enforced; "" when nothing does. */
static void grant_problem(const struct netmap *m, const struct netmap_grant *g, char *out,
			  size_t size)
{
	const struct netmap_condition *c = desired_unenforced(m, g);
	char text[CONDITION_TEXT_MAX];

	out[0] = 0;
	if (!c)
		return;
	condition_print(c, text);
	snprintf(out, size, "this version of ztnode cannot enforce %s", text);
}

static json_t *grants_json(const struct netmap *m, const struct desired_times *t, struct now now)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_grants; i++) {
		const struct netmap_grant *g = &m->grants[i];
		const struct netmap_peer *p = netmap_find_peer(m, g->peer);
		int64_t left_ms = desired_grant_end(g, t);
		char proto[SERVICE_TEXT_MAX], ports[SERVICE_TEXT_MAX], problem[200];

		if (left_ms <= 0)
			continue;
		split_service(&g->svc, proto, ports);
		grant_problem(m, g, problem, sizeof(problem));
		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:s}", "rule",
						      netmap_rule_name(m, g->rule), "direction",
						      g->dir == NETMAP_OUT ? "out" : "in", "peer",
						      p ? p->name : "?", "proto", proto, "ports",
						      ports, "expires",
						      time_json((now.wall_ms + left_ms) / 1000),
						      "problem", problem));
	}
	return list;
}

/* --- posture --- */

/* The contract's short form: each failed condition one text. */
static json_t *posture_short(const json_t *advice)
{
	json_t *list = json_array(), *profile, *f;
	size_t i, j;

	json_array_foreach(json_object_get(advice, "posture"), i, profile)
	{
		json_t *failed = json_array();

		json_array_foreach(json_object_get(profile, "failed"), j, f) json_array_append_new(
			failed, json_sprintf("%s (is %s)",
					     json_string_value(json_object_get(f, "condition")),
					     json_string_value(json_object_get(f, "is"))));
		json_array_append_new(list,
				      json_pack("{s:O,s:O,s:o}", "profile",
						json_object_get(profile, "profile"), "ok",
						json_object_get(profile, "ok"), "failed", failed));
	}
	return list;
}

json_t *view_posture(const struct fact *facts, size_t n, const json_t *advice)
{
	json_t *list = json_array(), *profiles = json_object_get(advice, "posture");

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:I}", "name", facts[i].name,
						      "value", facts[i].value, "known",
						      facts[i].state == FACT_KNOWN, "age_s",
						      (json_int_t)facts[i].age_s));
	return json_pack("{s:o,s:o}", "facts", list, "profiles",
			 profiles ? json_deep_copy(profiles) : json_array());
}

/* --- why, without the controller --- */

/* rule: "" before every rule. */
static json_t *denied_by(const char *rule, const char *condition, const char *is, const char *hint)
{
	return json_pack("{s:b,s:n,s:{s:s,s:[{s:s,s:s,s:s}]}}", "allowed", 0, "rule", "nearest",
			 "rule", rule, "failed", "condition", condition, "is", is, "hint", hint);
}

static json_t *denied(const char *condition, const char *is, const char *hint)
{
	return denied_by("", condition, is, hint);
}

static json_t *denied_here(const char *rule, const char *condition)
{
	return denied_by(rule, condition, "this version of ztnode cannot enforce it",
			 "a newer ztnode may; ask for a rule without this condition");
}

json_t *view_why_asked(json_t *answer)
{
	const char *asked = json_string_value(json_array_get(json_object_get(answer, "asks"), 0));
	const char *rule = json_string_value(json_object_get(answer, "rule"));

	if (json_is_true(json_object_get(answer, "allowed")) && asked)
		return denied_here(rule ? rule : "", asked);
	return json_incref(answer);
}

static bool is_called(const struct netmap_peer *p, const char *to)
{
	struct addr a;
	uint64_t id;

	if (strcmp(p->name, to) == 0 || (num_parse_u64(to, 1, UINT32_MAX, &id) == 0 && id == p->id))
		return true;
	return addr_parse(to, &a) == 0 && (addr_equal(&a, &p->addr4) || addr_equal(&a, &p->addr6));
}

/* A grant that lets it through, else one that would if this version could enforce its rule. */
static const struct netmap_grant *find_grant(const struct netmap *m, const char *to,
					     const struct service *svc,
					     const struct desired_times *t)
{
	const struct netmap_grant *closed = NULL;

	for (size_t i = 0; i < m->n_grants; i++) {
		const struct netmap_grant *g = &m->grants[i];
		const struct netmap_peer *p = netmap_find_peer(m, g->peer);

		if (g->dir != NETMAP_OUT || !p || !is_called(p, to) ||
		    !service_covers(&g->svc, svc) || desired_grant_end(g, t) <= 0)
			continue;
		if (!desired_unenforced(m, g))
			return g;
		closed = closed ? closed : g;
	}
	return closed;
}

static json_t *granted(const struct netmap *m, const struct netmap_grant *g)
{
	const struct netmap_condition *c = desired_unenforced(m, g);
	const char *rule = netmap_rule_name(m, g->rule);
	char text[CONDITION_TEXT_MAX];

	if (!c)
		return json_pack("{s:b,s:s,s:s,s:n}", "allowed", 1, "rule", rule, "why", "",
				 "nearest");
	condition_print(c, text);
	return denied_here(rule, text);
}

static json_t *why_by_map(const struct role_status *s, const struct link_view *link, const char *to,
			  bool good, const struct netmap *m, const struct netmap_grant *g)
{
	char is[600];

	if (s->lease_left_ms <= 0 && !g) {
		snprintf(is, sizeof(is), "over, and the controller cannot be asked: %s",
			 link->problem);
		return denied("the lease", is,
			      "nothing passes until the controller is reached again");
	}
	if (!s->enforced)
		return denied("this device is up", "down", "ztnode up");
	if (!good)
		return denied("the service", "not of the form tcp/443, udp/53, icmp",
			      "ztnode why DEST PROTO/PORT");
	if (g)
		return granted(m, g);
	snprintf(is, sizeof(is), "not granted; only the controller knows why: %s", link->problem);
	return denied(to, is, "try again when the controller is reached");
}

json_t *view_why(const struct role_status *s, const struct link_view *link, const char *to,
		 const char *service, struct now now)
{
	const struct netmap_grant *g = NULL;
	struct netmap_head head;
	struct desired_times t;
	struct service svc;
	struct netmap m;
	struct arena a;
	bool good;
	json_t *j;

	if (strcmp(link->device_state, "active") != 0)
		return denied("this device is active", link->device_state, link->hint);
	good = service_parse(service, &svc) == 0;
	arena_init(&a, (size_t)ZT_NETMAP_MAX * 4);
	head = read_map(s, &a, &m);
	t = times_of(s, &head, now);
	if (good)
		g = find_grant(&m, to, &svc, &t);
	j = why_by_map(s, link, to, good, &m, g);
	arena_done(&a);
	return j;
}

/* --- all of it --- */

json_t *view_status(const struct hello *h, const struct role_status *s,
		    const struct link_view *link, const json_t *advice, struct now now)
{
	int64_t left_s = s->lease_left_ms > 0 ? s->lease_left_ms / 1000 : 0;
	struct netmap_head head;
	struct desired_times t;
	struct netmap m;
	struct arena a;
	json_t *j;

	arena_init(&a, (size_t)ZT_NETMAP_MAX * 4);
	head = read_map(s, &a, &m);
	t = times_of(s, &head, now);
	j = json_pack(
		"{s:o,s:{s:s,s:b,s:I,s:o,s:s,s:s},s:{s:o,s:I},s:s,s:b,s:i,s:s,s:I,s:o,s:o,s:o}",
		"device", device_json(h, &m, link, advice), "controller", "url", h->url,
		"connected", link->connected, "serial", (json_int_t)s->serial, "since",
		time_json(link->since_ms / 1000), "problem", link->problem, "hint", link->hint,
		"lease", "expires",
		s->serial ? time_json((now.wall_ms + s->lease_left_ms) / 1000) : json_null(),
		"remaining_s", (json_int_t)left_s, "interface", s->interface, "enforced",
		s->enforced, "port", (int)s->wg_port, "problem", s->problem, "policy",
		(json_int_t)m.policy, "posture", posture_short(advice), "peers",
		peers_json(&m, s, &t, now), "grants", grants_json(&m, &t, now));
	arena_done(&a);
	return j;
}
