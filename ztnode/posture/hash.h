/* SHA-256 of a file in slices, so that a long one does not hold up whoever asks. */
#pragma once

#include <sodium.h>

#include "zt/report.h"
#include "ztnode/posture/source.h"

enum {
	HASH_FILE_MAX = 64 << 20, /* bytes of a file */
	HASH_SLICE = 1 << 20,
	HASH_TEXT_MAX = 2 * crypto_hash_sha256_BYTES + 1,
};

/* A file as it was: the same values mean the same content, as far as the kernel's times go. */
struct hash_identity {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
	struct timespec ctime;
};

struct hash {
	int fd; /* -1: none in work */
	uint64_t done;
	struct hash_identity of;
	crypto_hash_sha256_state state;
};

/* -ZT_EFORM path is not absolute, -EINVAL no regular file, -EFBIG over HASH_FILE_MAX, else -errno.
 * hash_done ends it, after an error too. */
int hash_init(struct hash *h, const struct source *s, const char *path) ZT_MUST_USE;
/* Works on the next slice. 1 go on, 0 done and *ret (hex) is set, -EAGAIN the file changed
 * meanwhile, else -errno. */
int hash_step(struct hash *h, char ret[static HASH_TEXT_MAX]) ZT_MUST_USE;
void hash_done(struct hash *h);
/* The fact that an end of hash_init or hash_step (other than 1) makes. */
void hash_set_fact(struct fact *f, int r, const char *hex);
bool hash_identity_equal(const struct hash_identity *a, const struct hash_identity *b);
