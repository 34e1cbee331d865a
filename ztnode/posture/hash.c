/* Hashing a file in slices; a file that changed while it was read has no hash. */
#include "ztnode/posture/hash.h"

#include <errno.h>
#include <unistd.h>

#include "ztnode/posture/fact.h"
#include "zt/txt.h"

static int identity_get(int fd, struct hash_identity *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct hash_identity){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = st.st_size,
		.mtime = st.st_mtim,
		.ctime = st.st_ctim,
	};
	return 0;
}

static bool time_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool hash_identity_equal(const struct hash_identity *a, const struct hash_identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       time_equal(&a->mtime, &b->mtime) && time_equal(&a->ctime, &b->ctime);
}

int hash_init(struct hash *h, const struct source *s, const char *path)
{
	int r;

	*h = (struct hash){.fd = -1};
	if (path[0] != '/')
		return -ZT_EFORM;
	h->fd = source_open_any_file(s, path);
	if (h->fd < 0)
		return h->fd;
	r = identity_get(h->fd, &h->of);
	if (r == 0 && h->of.size > HASH_FILE_MAX)
		r = -EFBIG;
	if (r < 0) {
		hash_done(h);
		return r;
	}
	crypto_hash_sha256_init(&h->state);
	return 0;
}

static int finish(struct hash *h, char ret[static HASH_TEXT_MAX])
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	struct hash_identity now;
	int r = identity_get(h->fd, &now);

	if (r < 0)
		return r;
	if (!hash_identity_equal(&now, &h->of))
		return -EAGAIN;
	crypto_hash_sha256_final(&h->state, digest);
	txt_hex(digest, sizeof(digest), ret);
	return 0;
}

int hash_step(struct hash *h, char ret[static HASH_TEXT_MAX])
{
	uint8_t piece[32 << 10];

	for (size_t slice = 0; slice < HASH_SLICE;) {
		ssize_t n = read(h->fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -EIO : -errno;
		if (n == 0)
			return finish(h, ret);
		h->done += (uint64_t)n;
		if (h->done > HASH_FILE_MAX) /* of a file in proc, which has no size */
			return -EFBIG;
		crypto_hash_sha256_update(&h->state, piece, (size_t)n);
		slice += (size_t)n;
	}
	return 1;
}

void hash_done(struct hash *h)
{
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

void hash_set_fact(struct fact *f, int r, const char *hex)
{
	if (r == 0)
		fact_set_text(f, hex);
	else if (r == -ZT_EFORM)
		fact_set_unknown(f, "not an absolute path");
	else if (r == -EINVAL)
		fact_set_unknown(f, "not a regular file");
	else if (r == -EFBIG)
		fact_set_unknown(f, "longer than 64 MiB");
	else if (r == -EAGAIN)
		fact_set_unknown(f, "changed while it was read");
	else
		fact_set_error(f, "file", r);
}
