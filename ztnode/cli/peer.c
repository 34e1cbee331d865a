/* Finding a peer and what is said of it. */
#include "ztnode/cli/peer.h"

#include <stdio.h>

#include "zt/txt.h"

enum { ID_TEXT_MAX = 24 };

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* Ids are texts or numbers in JSON; either form compares as text. */
static void id_text(const json_t *o, const char *key, char *out, size_t size)
{
	const json_t *id = json_object_get(o, key);

	if (json_is_integer(id))
		snprintf(out, size, "%lld", (long long)json_integer_value(id));
	else
		snprintf(out, size, "%s", text_of(o, key));
}

static bool is_id(const json_t *peer, const char *word)
{
	char id[ID_TEXT_MAX];

	id_text(peer, "id", id, sizeof(id));
	return id[0] && txt_equal(id, word);
}

static bool has_address(const json_t *peer, const struct addr *a)
{
	const json_t *item;
	struct addr one;
	size_t i;

	json_array_foreach(json_object_get(peer, "addresses"), i,
			   item) if (json_is_string(item) &&
				     addr_parse(json_string_value(item), &one) == 0 &&
				     addr_equal(&one, a)) return true;
	return false;
}

/* The name goes first: a device may be called "42" while another has that id. */
static const json_t *find(const json_t *peers, const char *word)
{
	const json_t *peer;
	struct addr a;
	size_t i;

	json_array_foreach(peers, i, peer) if (txt_equal(text_of(peer, "name"), word)) return peer;
	json_array_foreach(peers, i, peer) if (is_id(peer, word)) return peer;
	if (addr_parse(word, &a))
		return NULL;
	json_array_foreach(peers, i, peer) if (has_address(peer, &a)) return peer;
	return NULL;
}

static void hint_near(const json_t *peers, const char *word, struct diag *d)
{
	const json_t *peer;
	size_t i;

	diag_hint(d, "ztnode status lists the peers");
	json_array_foreach(peers, i, peer)
	{
		const char *name = text_of(peer, "name"), *near = txt_nearest(word, &name, 1);

		if (near && near[0]) {
			diag_hint(d, "did you mean \"%s\"?", near);
			return;
		}
	}
}

const json_t *peer_find(const json_t *status, const char *word, struct diag *d)
{
	const json_t *peers = json_object_get(status, "peers"), *peer = find(peers, word);

	if (peer)
		return peer;
	diag_set(d, -ZT_EABSENT, "no peer is called \"%s\"", word);
	hint_near(peers, word, d);
	return NULL;
}

int peer_address(const json_t *peer, const char *word, struct addr *ret)
{
	const json_t *item;
	size_t i;

	if (addr_parse(word, ret) == 0)
		return 0;
	json_array_foreach(json_object_get(peer, "addresses"), i,
			   item) if (json_is_string(item) &&
				     addr_parse(json_string_value(item), ret) == 0) return 0;
	return -ZT_EABSENT;
}

static bool covers_icmp(const json_t *grant)
{
	const char *proto = text_of(grant, "proto");

	return txt_equal(text_of(grant, "direction"), "out") &&
	       (txt_equal(proto, "icmp") || txt_equal(proto, "any"));
}

static bool has_grant(const json_t *status, const json_t *peer)
{
	const json_t *grant;
	size_t i;

	json_array_foreach(json_object_get(status, "grants"), i, grant)
	{
		char whom[ZT_NAME_MAX + 1];

		id_text(grant, "peer", whom, sizeof(whom));
		if (covers_icmp(grant) && !text_of(grant, "problem")[0] &&
		    (txt_equal(whom, text_of(peer, "name")) || is_id(peer, whom)))
			return true;
	}
	return false;
}

/* What ended with the lease is no rule's fault. */
int peer_may_ping(const json_t *status, const json_t *peer, const char *word, struct diag *d)
{
	const json_t *left = json_object_get(json_object_get(status, "lease"), "remaining_s");

	if (has_grant(status, peer))
		return ZT_EXIT_OK;
	if (json_is_integer(left) && json_integer_value(left) <= 0) {
		diag_set(d, -ZT_ELEASE, "the lease is over, so nothing passes");
		diag_hint(d, "ztnode status says why the controller does not renew it");
		return ZT_EXIT_FAILED;
	}
	diag_set(d, -ZT_EREFUSED, "no rule lets this device send ICMP to %s", word);
	diag_hint(d, "ztnode why %s icmp", word);
	return ZT_EXIT_DENIED;
}

void peer_path(const json_t *peer, char *out, size_t size)
{
	const char *path = text_of(peer, "path"), *endpoint = text_of(peer, "endpoint");
	bool direct = txt_equal(path, "direct") && endpoint[0];

	snprintf(out, size, "%s%s%s", path[0] ? path : "none", direct ? " " : "",
		 direct ? endpoint : "");
}
