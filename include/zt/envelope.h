/* Envelope: one netmap message with the proof that the controller made it for this device, as the
 * next one after what the device has. One Ed25519 signature serves a whole batch of messages
 * through a BLAKE2b-256 Merkle tree: leaf = H(0x00 || prev[32] || content)      content names
 * device and serial in its head node = H(0x01 || left || right)            an odd last node moves
 * up unchanged root signed with key_sign(network key, ENVELOPE_DOMAIN, root) prev is the leaf of
 * the device's previous message (all zero for a full map): it is hashed, not sent, so a message
 * fits exactly one history. Wire: u32 magic "ztE1" | u8 version=1 | u8 depth | u16 zero | u32 index
 * | u32 batch | u32 content length | sig[64] | path[32 * depth] | content */
#pragma once

#include "zt/buf.h"
#include "zt/key.h"

#define ENVELOPE_DOMAIN "zt-netmap-1"

struct envelope {
	uint32_t index; /* of the leaf in its batch */
	uint8_t depth;	/* hashes in path; levels where the node moves up unchanged have none */
	struct sig sig;
	const uint8_t *path; /* borrowed; depth * 32 bytes, leaf side first */
	const uint8_t *content;
	size_t content_len;
	uint32_t batch; /* number of leaves, needed to know the levels that move up */
};

void envelope_leaf(const struct key *prev, const void *content, size_t n, struct key *ret);

/* The tree over n leaves. nodes has envelope_tree_size(n) keys, the first n are the leaves (the
 * caller's). */
size_t envelope_tree_size(size_t n);
void envelope_tree_build(struct key *nodes, size_t n, struct key *ret_root);
/* Path of leaf index into path[ZT_MERKLE_DEPTH_MAX]; returns depth. */
uint8_t envelope_tree_path(const struct key *nodes, size_t n, size_t index, struct key *path);
/* Root from a leaf and its path; -ZT_EFORM when depth does not fit index and batch. */
int envelope_root(const struct key *leaf, uint32_t index, uint32_t batch, const uint8_t *path,
		  uint8_t depth, struct key *ret) ZT_MUST_USE;

int envelope_encode(const struct envelope *e, struct buf *out) ZT_MUST_USE;
/* Form only; borrowed from p. -ZT_EFORM, -ZT_ELIMIT, -ZT_EVERSION. */
int envelope_decode(const void *p, size_t n, struct envelope *ret) ZT_MUST_USE;
/* Signature over this content after prev. *ret_leaf is the next prev. -ZT_ESIG. */
int envelope_verify(const struct envelope *e, const struct key *network, const struct key *prev,
		    struct key *ret_leaf) ZT_MUST_USE;
