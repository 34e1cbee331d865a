/* Making, opening and closing the store's file: one controller at a time, and nothing half-made
 * ever stands at its path. */
#include "controller/store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int store_new(const char *path, struct store **ret)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->lock_fd = -1;
	s->path = strdup(path);
	if (!s->path) {
		free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

static void store_free(struct store *s)
{
	db_close(s);
	if (s->lock_fd >= 0)
		close(s->lock_fd); /* which unlocks; the file stays, or two could lock different
				      ones */
	free(s->path);
	free(s);
}

/* The path with something behind it; the caller frees. NULL: out of memory. */
static char *path_with(const struct store *s, const char *suffix)
{
	char *p;

	return asprintf(&p, "%s%s", s->path, suffix) < 0 ? NULL : p;
}

static int lock_busy(struct store *s, int fd)
{
	char text[24] = "";
	uint64_t pid = 0;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n > 0)
		text[strcspn(text, "\n")] = '\0';
	if (n > 0 && num_parse_u64(text, 1, INT32_MAX, &pid) == 0)
		diag_set(&s->problem, -EBUSY,
			 "%s is in use by another controller, process %" PRIu64, s->path, pid);
	else
		diag_set(&s->problem, -EBUSY, "%s is in use by another controller", s->path);
	diag_hint(&s->problem, "stop that one first, or give another --dir");
	return -EBUSY;
}

/* Open and flock file. The process id inside is for people. */
static int lock_file(struct store *s, const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	int err;

	if (fd < 0) {
		err = -errno;
		diag_set(&s->problem, err, "%s: %s", file, zt_strerror(err));
		diag_hint(&s->problem, "the directory must be there, writable, and belong to the "
				       "controller's user");
		return err;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		err = errno == EWOULDBLOCK
			      ? lock_busy(s, fd)
			      : diag_set(&s->problem, -errno, "%s: %s", file, zt_strerror(errno));
		close(fd);
		return err;
	}
	s->lock_fd = fd;
	if (ftruncate(fd, 0) == 0 && dprintf(fd, "%d\n", (int)getpid()) < 0)
		return 0; /* no space: the lock holds all the same */
	return 0;
}

static int lock_take(struct store *s)
{
	char *file = path_with(s, ".lock");
	int err = file ? lock_file(s, file) : -ENOMEM;

	free(file);
	return err;
}

/* SQLite would take a missing or empty file for a new database: lost state must never look like a
 * first start. */
static int file_check(struct store *s)
{
	struct stat st;
	int err;

	if (lstat(s->path, &st) != 0) {
		err = -errno;
		diag_set(&s->problem, err, "%s: %s", s->path, zt_strerror(err));
		diag_hint(&s->problem,
			  "the file and its directory must belong to the controller's user");
		if (err == -ENOENT)
			diag_hint(&s->problem, "make one with `ztcontroller init --dir DIR --url "
					       "URL`, or restore a backup");
		return err;
	}
	if (S_ISREG(st.st_mode) && st.st_size > 0)
		return 0;
	diag_set(&s->problem, -ZT_ECORRUPT, "%s is %s, not a database", s->path,
		 S_ISREG(st.st_mode) ? "empty" : "not a regular file");
	diag_hint(&s->problem,
		  "restore the newest backup; the controller never starts afresh over lost data");
	return -ZT_ECORRUPT;
}

static int open_steps(struct store *s, bool lock)
{
	int err = file_check(s);

	if (!err && lock)
		err = lock_take(s);
	if (!err)
		err = db_open(s, s->path);
	if (!err)
		err = migrate_check(s, store_migrations, store_n_migrations);
	if (!err)
		err = db_check(s);
	if (!err)
		err = db_wal(s);
	if (!err)
		err = migrate_apply(s, store_migrations, store_n_migrations);
	if (!err)
		err = network_get(s, &s->network);
	return err;
}

static int open_with(const char *path, bool lock, struct store **ret, struct diag *d)
{
	struct store *s;
	int err = store_new(path, &s);

	if (err)
		return diag_set(d, err, "%s: %s", path, zt_strerror(err));
	err = store_result(s, open_steps(s, lock), d);
	if (err)
		store_free(s);
	else
		*ret = s;
	return err;
}

/* --- making one --- */

/* First contents, as one transaction after the schema's. The log begins with what everything else
 * rests on. */
static int create_rows(struct store *s, const struct store_network *n,
		       const struct admin_row *admin, const struct policy_row *policy,
		       int64_t now_ms)
{
	struct policy_row first = *policy;
	struct record r = {.at_ms = now_ms, .actor = "system", .why = "init", .source = ""};
	json_t *after[] = {json_of_network(n), json_of_admin(admin), NULL};
	static const char *const kinds[] = {"network.create", "admin.create", "policy.put"};
	char object[3][32] = {"network", "", "policy:1"};
	struct key hash;
	int err = network_insert(s, n);

	snprintf(object[1], sizeof(object[1]), "admin:%" PRIu64, admin->id);
	first.version = 1;
	first.at_s = now_ms / 1000;
	key_hash(first.text, first.len, &hash);
	after[2] = json_of_policy(&first, &hash);
	if (!err)
		err = admin_insert(s, admin);
	if (!err)
		err = policy_insert(s, &first);
	for (size_t i = 0; i < 3; i++) {
		r.kind = kinds[i];
		r.object = object[i];
		if (!err)
			err = record_append(s, &r, NULL, after[i], true);
		json_decref(after[i]);
	}
	return err;
}

static int create_fill(struct store *s, const char *file, const struct store_network *n,
		       const struct admin_row *admin, const struct policy_row *policy,
		       int64_t now_ms)
{
	int err = db_open(s, file);

	if (!err)
		err = migrate_apply(s, store_migrations, store_n_migrations);
	if (!err)
		err = db_begin(s);
	if (err)
		return err;
	err = create_rows(s, n, admin, policy, now_ms);
	if (!err)
		return db_commit(s);
	db_rollback(s);
	return err;
}

/* An empty file that only we can read; SQLite gives its -wal and -shm the same mode. */
static int create_empty(struct store *s, const char *file)
{
	int fd, err;

	unlink(file); /* left over from an init that was killed; we hold the lock */
	fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		err = -errno;
		return diag_set(&s->problem, err, "%s: %s", file, zt_strerror(err));
	}
	close(fd);
	return 0;
}

/* Put the finished file in its place, for good. */
static int create_publish(struct store *s, const char *file)
{
	char *dir = strdup(s->path), *slash = dir ? strrchr(dir, '/') : NULL;
	int fd, err = 0;

	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	fd = dir ? open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0 || renameat2(AT_FDCWD, file, AT_FDCWD, s->path, RENAME_NOREPLACE) != 0 ||
	    fsync(fd) != 0) {
		err = -errno;
		diag_set(&s->problem, err, "%s: %s", s->path, zt_strerror(err));
		if (err == -EEXIST)
			diag_hint(&s->problem, "there is a controller already; give another --dir");
	}
	if (fd >= 0)
		close(fd);
	free(dir);
	return err;
}

static int create_steps(struct store *s, const struct store_network *n,
			const struct admin_row *admin, const struct policy_row *policy,
			int64_t now_ms)
{
	char *file = path_with(s, ".new");
	int err = file ? network_check(s, n) : -ENOMEM;

	if (!err)
		err = lock_take(s);
	if (!err)
		err = create_empty(s, file);
	if (!err) {
		err = create_fill(s, file, n, admin, policy, now_ms);
		db_close(s);
		if (!err)
			err = create_publish(s, file);
		if (err)
			unlink(file);
	}
	free(file);
	return err;
}

int store_create(const char *path, const struct store_network *n, const struct admin_row *admin,
		 const struct policy_row *policy, int64_t now_ms, struct diag *d)
{
	struct store *s;
	int err = store_new(path, &s);

	if (err)
		return diag_set(d, err, "%s: %s", path, zt_strerror(err));
	err = store_result(s, create_steps(s, n, admin, policy, now_ms), d);
	store_free(s);
	return err;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	commit_flush(s);
	store_free(s);
}

int store_open(const char *path, struct store **ret, struct diag *d)
{
	return open_with(path, true, ret, d);
}

int store_open_unlocked(const char *path, struct store **ret, struct diag *d)
{
	return open_with(path, false, ret, d);
}

const struct diag *store_problem(const struct store *s)
{
	return &s->problem;
}
