/* Envelopes: a Merkle tree over a batch of messages, one signature on its root. Leaf and node
 * hashes begin with different bytes, so that no message can be passed off as a node (RFC 9162
 * section 2.1). */
#include "zt/envelope.h"

#include <sodium.h>
#include <string.h>

#include "zt/cur.h"

enum { ENVELOPE_VERSION = 1, BATCH_MAX = 1 << ZT_MERKLE_DEPTH_MAX };

static const char magic[4] = {'z', 't', 'E', '1'};

static void hash2(uint8_t tag, const void *a, size_t n_a, const void *b, size_t n_b,
		  struct key *ret)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, sizeof(ret->b));
	crypto_generichash_update(&state, &tag, 1);
	crypto_generichash_update(&state, a, n_a);
	crypto_generichash_update(&state, b, n_b);
	crypto_generichash_final(&state, ret->b, sizeof(ret->b));
}

void envelope_leaf(const struct key *prev, const void *content, size_t n, struct key *ret)
{
	hash2(0, prev->b, sizeof(prev->b), content, n, ret);
}

static void node(const uint8_t *left, const uint8_t *right, struct key *ret)
{
	hash2(1, left, ZT_HASH_LEN, right, ZT_HASH_LEN, ret);
}

size_t envelope_tree_size(size_t n)
{
	size_t size = n;

	while (n > 1) {
		n = (n + 1) / 2;
		size += n;
	}
	return size;
}

void envelope_tree_build(struct key *nodes, size_t n, struct key *ret_root)
{
	*ret_root = (struct key){0};
	if (n == 0)
		return;
	while (n > 1) {
		struct key *up = nodes + n;

		for (size_t i = 0; i + 1 < n; i += 2)
			node(nodes[i].b, nodes[i + 1].b, &up[i / 2]);
		if (n % 2)
			up[n / 2] = nodes[n - 1];
		nodes = up;
		n = (n + 1) / 2;
	}
	*ret_root = nodes[0];
}

uint8_t envelope_tree_path(const struct key *nodes, size_t n, size_t index, struct key *path)
{
	uint8_t depth = 0;

	while (n > 1 && depth < ZT_MERKLE_DEPTH_MAX) {
		if ((index ^ 1) < n)
			path[depth++] = nodes[index ^ 1];
		nodes += n;
		index /= 2;
		n = (n + 1) / 2;
	}
	return depth;
}

/* How many hashes a path has follows from index and batch. */
static uint8_t path_depth(uint32_t index, uint32_t batch)
{
	uint8_t depth = 0;

	for (uint32_t n = batch; n > 1; n = (n + 1) / 2, index /= 2)
		if ((index ^ 1) < n)
			depth++;
	return depth;
}

static bool place_is_valid(uint32_t index, uint32_t batch, uint8_t depth)
{
	return batch <= BATCH_MAX && index < batch && depth == path_depth(index, batch);
}

int envelope_root(const struct key *leaf, uint32_t index, uint32_t batch, const uint8_t *path,
		  uint8_t depth, struct key *ret)
{
	struct key h = *leaf;

	if (!place_is_valid(index, batch, depth))
		return -ZT_EFORM;
	for (uint32_t n = batch; n > 1; n = (n + 1) / 2, index /= 2) {
		if ((index ^ 1) >= n)
			continue;
		if (index % 2)
			node(path, h.b, &h);
		else
			node(h.b, path, &h);
		path += ZT_HASH_LEN;
	}
	*ret = h;
	return 0;
}

int envelope_encode(const struct envelope *e, struct buf *out)
{
	if (!place_is_valid(e->index, e->batch, e->depth))
		return -ZT_EFORM;
	if (e->content_len > ZT_NETMAP_MAX)
		return -ZT_ELIMIT;
	buf_put(out, magic, sizeof(magic));
	buf_put_u8(out, ENVELOPE_VERSION);
	buf_put_u8(out, e->depth);
	buf_put_u16(out, 0);
	buf_put_u32(out, e->index);
	buf_put_u32(out, e->batch);
	buf_put_u32(out, (uint32_t)e->content_len);
	buf_put(out, e->sig.b, sizeof(e->sig.b));
	buf_put(out, e->path, (size_t)e->depth * ZT_HASH_LEN);
	buf_put(out, e->content, e->content_len);
	return out->err;
}

static int get_version(struct cur *c)
{
	const uint8_t *m = cur_take(c, sizeof(magic));
	uint8_t version = cur_u8(c);

	if (c->err || memcmp(m, magic, sizeof(magic)) != 0 || version == 0)
		return -ZT_EFORM;
	return version > ENVELOPE_VERSION ? -ZT_EVERSION : 0;
}

int envelope_decode(const void *p, size_t n, struct envelope *ret)
{
	struct envelope e = {0};
	struct cur c;
	int err;

	cur_init(&c, p, n);
	err = get_version(&c);
	if (err)
		return err;
	e.depth = cur_u8(&c);
	if (cur_u16(&c) != 0)
		cur_fail(&c);
	e.index = cur_u32(&c);
	e.batch = cur_u32(&c);
	e.content_len = cur_u32(&c);
	cur_copy(&c, e.sig.b, sizeof(e.sig.b));
	if (c.err || !place_is_valid(e.index, e.batch, e.depth))
		return -ZT_EFORM;
	if (e.content_len > ZT_NETMAP_MAX)
		return -ZT_ELIMIT;
	e.path = cur_take(&c, (size_t)e.depth * ZT_HASH_LEN);
	e.content = cur_take(&c, e.content_len);
	if (cur_done(&c))
		return -ZT_EFORM;
	*ret = e;
	return 0;
}

int envelope_verify(const struct envelope *e, const struct key *network, const struct key *prev,
		    struct key *ret_leaf)
{
	struct key leaf, root;

	envelope_leaf(prev, e->content, e->content_len, &leaf);
	if (envelope_root(&leaf, e->index, e->batch, e->path, e->depth, &root))
		return -ZT_ESIG;
	if (key_verify(network, ENVELOPE_DOMAIN, root.b, sizeof(root.b), &e->sig))
		return -ZT_ESIG;
	*ret_leaf = leaf;
	return 0;
}
