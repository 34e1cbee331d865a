/* Envelopes and their Merkle tree. */
#include "tests/unit/unit.h"

#include <sodium.h>

#include "zt/envelope.h"

enum { BATCH = 70 };

static const struct secret network_seed = {{1, 2, 3}};

static struct key network(void)
{
	struct key k;

	key_of_identity(&network_seed, &k);
	return k;
}

static struct key numbered(uint8_t n)
{
	struct key k = {{n, 0x77}};

	return k;
}

/* The tree as RFC 9162-like recursion: the left half is the greatest power of two below n. */
static struct key naive_root(const struct key *leaves, size_t n)
{
	uint8_t bytes[65] = {1};
	struct key left, right, h;
	size_t k = 1;

	if (n == 1)
		return leaves[0];
	while (k * 2 < n)
		k *= 2;
	left = naive_root(leaves, k);
	right = naive_root(leaves + k, n - k);
	memcpy(bytes + 1, left.b, 32);
	memcpy(bytes + 33, right.b, 32);
	key_hash(bytes, sizeof(bytes), &h);
	return h;
}

static void a_leaf_is_the_hash_of_what_came_before_and_the_content(void **state)
{
	uint8_t bytes[1 + 32 + 7] = {0};
	struct key prev = numbered(9), leaf, want;

	(void)state;
	memcpy(bytes + 1, prev.b, 32);
	memcpy(bytes + 33, "content", 7);
	key_hash(bytes, sizeof(bytes), &want);
	envelope_leaf(&prev, "content", 7, &leaf);
	assert_true(key_equal(&leaf, &want));
}

static void the_root_is_that_of_the_recursive_definition(void **state)
{
	struct key nodes[2 * BATCH + 10], root, want;

	(void)state;
	for (size_t n = 1; n <= BATCH; n++) {
		for (size_t i = 0; i < n; i++)
			nodes[i] = numbered((uint8_t)i);
		assert_true(envelope_tree_size(n) <= N_OF(nodes));
		envelope_tree_build(nodes, n, &root);
		want = naive_root(nodes, n);
		assert_true(key_equal(&root, &want));
		assert_true(key_equal(&nodes[envelope_tree_size(n) - 1], &root));
	}
}

static void tree_sizes(void **state)
{
	(void)state;
	assert_int_equal(envelope_tree_size(0), 0);
	assert_int_equal(envelope_tree_size(1), 1);
	assert_int_equal(envelope_tree_size(2), 3);
	assert_int_equal(envelope_tree_size(3), 6);
	assert_int_equal(envelope_tree_size(5), 11);
	assert_int_equal(envelope_tree_size(8), 15);
}

static void every_path_of_every_batch_leads_to_the_root(void **state)
{
	struct key nodes[2 * BATCH + 10], path[ZT_MERKLE_DEPTH_MAX], root, got;

	(void)state;
	for (uint32_t n = 1; n <= BATCH; n++) {
		for (size_t i = 0; i < n; i++)
			nodes[i] = numbered((uint8_t)i);
		envelope_tree_build(nodes, n, &root);
		for (uint32_t i = 0; i < n; i++) {
			uint8_t depth = envelope_tree_path(nodes, n, i, path);

			assert_int_equal(envelope_root(&nodes[i], i, n, path[0].b, depth, &got), 0);
			assert_true(key_equal(&got, &root));
			/* At another place the same leaf and path give no root, or another. */
			if (i + 1 < n &&
			    envelope_root(&nodes[i], i + 1, n, path[0].b, depth, &got) == 0)
				assert_false(key_equal(&got, &root));
		}
	}
}

static void a_path_of_the_wrong_length_is_refused(void **state)
{
	struct key path[ZT_MERKLE_DEPTH_MAX] = {0}, leaf = {0}, root;
	static const struct {
		const char *says;
		uint32_t index, batch;
		uint8_t depth;
		int err;
	} rows[] = {
		{"a batch of one has no path", 0, 1, 0, 0},
		{"a hash too many", 0, 1, 1, -ZT_EFORM},
		{"two leaves", 1, 2, 1, 0},
		{"a hash too few", 1, 2, 0, -ZT_EFORM},
		{"the third of three moves up once", 2, 3, 1, 0},
		{"the first of three does not", 0, 3, 2, 0},
		{"the third of three with the path of the first", 2, 3, 2, -ZT_EFORM},
		{"outside its batch", 2, 2, 1, -ZT_EFORM},
		{"of an empty batch", 0, 0, 0, -ZT_EFORM},
		{"16 million", (1 << 24) - 1, 1 << 24, 24, 0},
		{"more than 16 million", 0, (1 << 24) + 1, 25, -ZT_EFORM},
		{"4 billion", 0, UINT32_MAX, 32, -ZT_EFORM},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says,
			  envelope_root(&leaf, rows[i].index, rows[i].batch, path[0].b,
					rows[i].depth, &root) == rows[i].err);
}

/* A signed batch of three; the envelope of one of them. */
struct batch {
	struct key prev[3], nodes[6], path[ZT_MERKLE_DEPTH_MAX];
	const char *content[3];
	struct sig sig;
};

static void make_batch(struct batch *b)
{
	struct key root;

	*b = (struct batch){.content = {"first message", "second", ""}};
	for (size_t i = 0; i < 3; i++) {
		b->prev[i] = numbered((uint8_t)i);
		envelope_leaf(&b->prev[i], b->content[i], strlen(b->content[i]), &b->nodes[i]);
	}
	envelope_tree_build(b->nodes, 3, &root);
	key_sign(&network_seed, ENVELOPE_DOMAIN, root.b, sizeof(root.b), &b->sig);
}

static struct envelope envelope_of(struct batch *b, uint32_t i)
{
	uint8_t depth = envelope_tree_path(b->nodes, 3, i, b->path);

	return (struct envelope){
		.index = i,
		.depth = depth,
		.sig = b->sig,
		.path = b->path[0].b,
		.content = (const uint8_t *)b->content[i],
		.content_len = strlen(b->content[i]),
		.batch = 3,
	};
}

static size_t encode(const struct envelope *e, uint8_t *out, size_t size)
{
	struct buf b;

	buf_init(&b, out, size);
	assert_int_equal(envelope_encode(e, &b), 0);
	return b.len;
}

static void one_signature_serves_the_whole_batch(void **state)
{
	struct key pub = network(), leaf;
	uint8_t bytes[400];
	struct envelope back;
	struct batch b;

	(void)state;
	make_batch(&b);
	for (uint32_t i = 0; i < 3; i++) {
		struct envelope e = envelope_of(&b, i);
		size_t n = encode(&e, bytes, sizeof(bytes));

		assert_int_equal(envelope_decode(bytes, n, &back), 0);
		assert_int_equal(back.content_len, e.content_len);
		assert_memory_equal(back.content, e.content, e.content_len);
		assert_int_equal(envelope_verify(&back, &pub, &b.prev[i], &leaf), 0);
		assert_true(key_equal(&leaf, &b.nodes[i]));
	}
}

static void the_bytes_are_those_of_the_header(void **state)
{
	struct envelope e;
	uint8_t bytes[400];
	struct batch b;

	(void)state;
	make_batch(&b);
	e = envelope_of(&b, 1);
	assert_int_equal(encode(&e, bytes, sizeof(bytes)), 84 + 64 + 6);
	assert_memory_equal(bytes, "ztE1\x01\x02\0\0\x01\0\0\0\x03\0\0\0\x06\0\0\0", 20);
	assert_memory_equal(bytes + 20, b.sig.b, 64);
	assert_memory_equal(bytes + 84, b.nodes[0].b, 32);
	assert_memory_equal(bytes + 116, b.nodes[2].b, 32);
	assert_memory_equal(bytes + 148, "second", 6);
}

static void a_message_fits_one_history_one_content_and_one_key(void **state)
{
	struct key pub = network(), other, leaf = {0};
	struct secret other_seed = {{9}};
	struct envelope e;
	struct batch b;

	(void)state;
	make_batch(&b);
	key_of_identity(&other_seed, &other);
	e = envelope_of(&b, 0);
	assert_int_equal(envelope_verify(&e, &pub, &b.prev[1], &leaf), -ZT_ESIG);
	assert_int_equal(envelope_verify(&e, &other, &b.prev[0], &leaf), -ZT_ESIG);
	e.content = (const uint8_t *)"first messagf";
	assert_int_equal(envelope_verify(&e, &pub, &b.prev[0], &leaf), -ZT_ESIG);
	e = envelope_of(&b, 0);
	e.content_len--;
	assert_int_equal(envelope_verify(&e, &pub, &b.prev[0], &leaf), -ZT_ESIG);
	e = envelope_of(&b, 0);
	e.index = 1;
	assert_int_equal(envelope_verify(&e, &pub, &b.prev[0], &leaf), -ZT_ESIG);
	e = envelope_of(&b, 2);
	e.depth = 2;
	assert_int_equal(envelope_verify(&e, &pub, &b.prev[2], &leaf), -ZT_ESIG);
	assert_true(key_is_zero(&leaf));
}

/* An inner node's two children, sent as if they were prev and content. */
static void an_inner_node_cannot_be_passed_off_as_a_message(void **state)
{
	struct key pub = network(), leaf;
	struct envelope e;
	struct batch b;

	(void)state;
	make_batch(&b);
	e = (struct envelope){
		.index = 0,
		.depth = 1,
		.batch = 2,
		.sig = b.sig,
		.path = b.nodes[2].b,
		.content = b.nodes[1].b,
		.content_len = 32,
	};
	assert_int_equal(envelope_verify(&e, &pub, &b.nodes[0], &leaf), -ZT_ESIG);
}

static void wrong_bytes_are_refused(void **state)
{
	static const struct {
		const char *says;
		size_t at;
		uint8_t value;
		int err;
	} rows[] = {
		{"another magic", 3, '2', -ZT_EFORM},
		{"version 0", 4, 0, -ZT_EFORM},
		{"version 2", 4, 2, -ZT_EVERSION},
		{"a depth that does not fit", 5, 1, -ZT_EFORM},
		{"a depth beyond all", 5, 25, -ZT_EFORM},
		{"a zero that is none", 6, 1, -ZT_EFORM},
		{"an index outside the batch", 8, 3, -ZT_EFORM},
		{"a batch too great", 15, 2, -ZT_EFORM},
		{"an empty batch", 12, 0, -ZT_EFORM},
		{"a content longer than it is", 16, 7, -ZT_EFORM},
		{"a content shorter than it is", 16, 5, -ZT_EFORM},
		{"a content longer than any", 19, 2, -ZT_ELIMIT},
	};
	struct envelope e, back = {.index = 77};
	uint8_t bytes[400];
	struct batch b;
	size_t n;

	(void)state;
	make_batch(&b);
	e = envelope_of(&b, 1);
	n = encode(&e, bytes, sizeof(bytes));
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint8_t was = bytes[rows[i].at];

		bytes[rows[i].at] = rows[i].value;
		row_check(rows[i].says, envelope_decode(bytes, n, &back) == rows[i].err);
		bytes[rows[i].at] = was;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(envelope_decode(bytes, i, &back), -ZT_EFORM);
	assert_int_equal(back.index, 77);
}

static void every_bit_of_an_envelope_counts(void **state)
{
	struct key pub = network(), leaf;
	uint8_t bytes[400];
	struct envelope e;
	struct batch b;
	size_t n;

	(void)state;
	make_batch(&b);
	e = envelope_of(&b, 1);
	n = encode(&e, bytes, sizeof(bytes));
	for (size_t i = 0; i < n * 8; i++) {
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		/* A batch of four has paths of the same length: index and batch are not signed as
		 * such, only the way up that follows from them. */
		if (envelope_decode(bytes, n, &e) == 0 &&
		    envelope_verify(&e, &pub, &b.prev[1], &leaf) == 0)
			assert_true(i / 8 >= 12 && i / 8 < 16);
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

static void the_encoder_refuses_what_the_decoder_would(void **state)
{
	struct envelope e;
	uint8_t bytes[400];
	struct batch b;
	struct buf out;

	(void)state;
	make_batch(&b);
	buf_init(&out, bytes, sizeof(bytes));
	e = envelope_of(&b, 1);
	e.depth = 1;
	assert_int_equal(envelope_encode(&e, &out), -ZT_EFORM);
	e = envelope_of(&b, 1);
	e.content_len = ZT_NETMAP_MAX + 1;
	assert_int_equal(envelope_encode(&e, &out), -ZT_ELIMIT);
	assert_int_equal(out.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_is_the_hash_of_what_came_before_and_the_content),
		cmocka_unit_test(the_root_is_that_of_the_recursive_definition),
		cmocka_unit_test(tree_sizes),
		cmocka_unit_test(every_path_of_every_batch_leads_to_the_root),
		cmocka_unit_test(a_path_of_the_wrong_length_is_refused),
		cmocka_unit_test(one_signature_serves_the_whole_batch),
		cmocka_unit_test(the_bytes_are_those_of_the_header),
		cmocka_unit_test(a_message_fits_one_history_one_content_and_one_key),
		cmocka_unit_test(an_inner_node_cannot_be_passed_off_as_a_message),
		cmocka_unit_test(wrong_bytes_are_refused),
		cmocka_unit_test(every_bit_of_an_envelope_counts),
		cmocka_unit_test(the_encoder_refuses_what_the_decoder_would),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
