/* The store when something goes wrong around it: files that are not what they should be, full
 * disks, killed writers, racing callers. Each failure is one line with a hint, and nothing that was
 * confirmed is lost. */
#include "tests/unit/store_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* One line for a person, naming the file, and what to do. */
static void check_diag(const char *says, const struct diag *d, const struct fixture *f)
{
	row_check(says, strstr(d->message, f->dir));
	row_check(says, !strchr(d->message, '\n') && !strchr(d->hint, '\n'));
	row_check(says, *d->hint);
}

static void close_store(struct fixture *f)
{
	store_close(f->s);
	f->s = NULL;
}

/* Run fn in a child; its exit status: 0 well, 77 not possible here, else a failure. */
static int in_child(void (*fn)(struct fixture *f), struct fixture *f)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		fn(f);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* In a child there is no cmocka to jump to. */
#define child_check(condition)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* --- files --- */

static void file_write(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

static void make_missing(struct fixture *f)
{
	unlink(f->path);
}

static void make_empty(struct fixture *f)
{
	assert_int_equal(truncate(f->path, 0), 0);
}

static void make_text(struct fixture *f)
{
	char text[8192];

	memset(text, 'x', sizeof(text));
	file_write(f->path, text, sizeof(text));
}

static void make_short(struct fixture *f)
{
	assert_int_equal(truncate(f->path, 50), 0);
}

static void make_half(struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(truncate(f->path, st.st_size / 2 / 4096 * 4096), 0);
}

static void make_torn(struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	/* all of it: of one whose table is empty, what is torn off was zero anyway */
	assert_int_equal(truncate(f->path, st.st_size - 4096), 0);
}

static void make_zero_pages(struct fixture *f)
{
	char zero[8192] = {0};
	int fd = open(f->path, O_WRONLY);

	assert_int_equal(pwrite(fd, zero, sizeof(zero), 4096), sizeof(zero));
	close(fd);
}

static void make_foreign(struct fixture *f)
{
	unlink(f->path);
	fixture_sql(f, "CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')");
}

static void make_unversioned(struct fixture *f)
{
	fixture_sql(f, "PRAGMA user_version = 0");
}

static void make_newer(struct fixture *f)
{
	fixture_sql(f, "PRAGMA user_version = 99");
}

static void make_directory(struct fixture *f)
{
	unlink(f->path);
	assert_int_equal(mkdir(f->path, 0700), 0);
}

static void make_link(struct fixture *f)
{
	char other[128];

	snprintf(other, sizeof(other), "%s.copy", f->path);
	assert_int_equal(rename(f->path, other), 0);
	assert_int_equal(symlink(other, f->path), 0);
}

static void make_without_network(struct fixture *f)
{
	fixture_sql(f, "DELETE FROM network");
}

static void make_without_table(struct fixture *f)
{
	fixture_sql(f, "DROP TABLE network");
}

static void files_that_are_not_right_are_refused(void **state)
{
	static const struct {
		const char *says;
		void (*make)(struct fixture *f);
		int err;
		const char *message, *hint;
	} rows[] = {
		{"there is none", make_missing, -ENOENT, "no such file", "ztcontroller init"},
		{"it is empty", make_empty, -ZT_ECORRUPT, "is empty", "backup"},
		{"it is text", make_text, -ZT_ECORRUPT, "not a database", "backup"},
		{"its first page is cut off", make_short, -ZT_ECORRUPT, "damaged", "backup"},
		{"half of it is there", make_half, -ZT_ECORRUPT, "damaged", "backup"},
		{"its last page is cut off", make_torn, -ZT_ECORRUPT, "damaged", "backup"},
		{"two pages are zero", make_zero_pages, -ZT_ECORRUPT, "damaged", "backup"},
		{"it is another program's", make_foreign, -ZT_ECORRUPT,
		 "not a database of ztcontroller", "--dir"},
		{"its version is missing", make_unversioned, -ZT_ECORRUPT,
		 "not a database of ztcontroller", "--dir"},
		{"a newer program wrote it", make_newer, -ZT_EVERSION,
		 "has schema 99, this program knows schema 2", "newer ztcontroller"},
		{"it is a directory", make_directory, -ZT_ECORRUPT, "not a regular file", "backup"},
		{"it is a symbolic link", make_link, -ZT_ECORRUPT, "not a regular file", "backup"},
		{"the network's row is lost", make_without_network, -ZT_ECORRUPT,
		 "network's row is missing", "backup"},
		{"the network's table is lost", make_without_table, -EIO, "no such table", NULL},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct diag d = {0};
		struct fixture f;
		struct store *s = NULL;

		fixture_init(&f, "10.0.0.0/24", NULL);
		device_for(&f, token_for(&f, NULL, "db", 1), "a", 1);
		close_store(&f);
		rows[i].make(&f);
		row_check(rows[i].says, store_open(f.path, &s, &d) == rows[i].err);
		row_check(rows[i].says, s == NULL);
		if (!strstr(d.message, rows[i].message))
			fail_msg("%s: %s", rows[i].says, d.message);
		if (rows[i].hint) {
			check_diag(rows[i].says, &d, &f);
			row_check(rows[i].says, strstr(d.hint, rows[i].hint));
		}
		/* refusing changes nothing: the next try says the same */
		row_check(rows[i].says, store_open(f.path, &s, &d) == rows[i].err);
		rmdir(f.path);
		fixture_done(&f);
	}
}

/* A killed init leaves nothing at the path, and the next one is not in its way. */
static void a_killed_init_is_no_store(void **state)
{
	struct fixture f;
	struct store *s = NULL;
	char file[128];

	(void)state;
	fixture_dir(&f);
	snprintf(file, sizeof(file), "%s.new", f.path);
	file_write(file, "SQLite format 3", 16);
	assert_int_equal(store_open(f.path, &s, NULL), -ENOENT);
	assert_int_equal(fixture_create(f.path, "10.0.0.0/24", NULL), 0);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(store_open(f.path, &f.s, NULL), 0);
	assert_whole(&f);
	fixture_done(&f);
}

static void init_in_no_directory_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	fixture_dir(&f);
	snprintf(f.path, sizeof(f.path), "%s/none/zt.db", f.dir);
	assert_int_equal(fixture_create(f.path, "10.0.0.0/24", NULL), -ENOENT);
	fixture_done(&f);
}

/* --- rights --- */

static void become_nobody(void)
{
	child_check(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
}

static void open_as_nobody(struct fixture *f)
{
	struct diag d = {0};
	struct store *s = NULL;
	int err;

	become_nobody();
	err = store_open(f->path, &s, &d);
	if (err != -EACCES)
		fprintf(stderr, "%d: %s\n", err, d.message);
	child_check(err == -EACCES && s == NULL);
	child_check(strstr(d.message, f->dir) && strstr(d.hint, "controller's user"));
}

static void files_without_rights_are_refused(void **state)
{
	static const struct {
		const char *says;
		uid_t dir_owner, file_owner, lock_owner;
		mode_t dir_mode, file_mode;
	} rows[] = {
		{"another's directory", 0, 65534, 0, 0755, 0600},
		{"another's closed directory", 0, 65534, 65534, 0700, 0600},
		{"another's file", 65534, 0, 65534, 0700, 0600},
		{"another's lock", 65534, 65534, 0, 0700, 0600},
		{"a read-only file", 65534, 65534, 65534, 0700, 0400},
		{"a read-only directory with a lock in it", 65534, 65534, 65534, 0555, 0600},
	};

	(void)state;
	if (getuid() != 0)
		skip();
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct fixture f;
		char lock[128];

		fixture_init(&f, "10.0.0.0/24", NULL);
		close_store(&f);
		snprintf(lock, sizeof(lock), "%s.lock", f.path);
		assert_int_equal(chown(f.path, rows[i].file_owner, 0), 0);
		assert_int_equal(chown(lock, rows[i].lock_owner, 0), 0);
		assert_int_equal(chmod(f.path, rows[i].file_mode), 0);
		assert_int_equal(chown(f.dir, rows[i].dir_owner, 0), 0);
		assert_int_equal(chmod(f.dir, rows[i].dir_mode), 0);
		row_check(rows[i].says, in_child(open_as_nobody, &f) == 0);
		fixture_done(&f);
	}
}

/* --- one controller at a time --- */

static void open_as_second(struct fixture *f)
{
	struct diag d = {0};
	struct store *s = NULL;
	char pid[32];

	child_check(store_open(f->path, &s, &d) == -EBUSY);
	snprintf(pid, sizeof(pid), "process %d", (int)getppid());
	child_check(strstr(d.message, pid) && strstr(d.message, f->dir) && *d.hint);
}

static void only_one_controller_opens_it(void **state)
{
	struct fixture f;
	struct store *s = NULL;
	struct diag d = {0};

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	assert_int_equal(store_open(f.path, &s, &d), -EBUSY);
	check_diag("in the same process", &d, &f);
	assert_int_equal(in_child(open_as_second, &f), 0);
	assert_int_equal(fixture_create(f.path, "10.0.0.0/24", NULL), -EBUSY);
	/* the refused ones have not taken the lock away */
	assert_int_equal(store_open(f.path, &s, &d), -EBUSY);
	fixture_reopen(&f);
	fixture_done(&f);
}

static void a_person_with_sqlite3_delays_but_loses_nothing(void **state)
{
	struct change c = {.kind = CHANGE_USER_PUT, .user = {.email = "ada@example.com"}};
	struct fixture f;
	sqlite3 *db;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(commit(&f, &c), -EBUSY);
	check_diag("locked", &fixture_diag, &f);
	assert_int_equal(c.seq, 0);
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(commit(&f, &c), 0);
	assert_whole(&f);
	fixture_done(&f);
}

/* --- full disks --- */

/* Put policies of 20 kB until there is no room; the number of those that were confirmed. */
static unsigned fill(struct fixture *f, struct diag *ret)
{
	static char text[20000];
	unsigned n = 0;
	int err = 0;

	memset(text, '#', sizeof(text));
	for (; n < 2000; n++) {
		struct change c = {.kind = CHANGE_POLICY_PUT, .at_ms = now_ms, .actor = "admin:1"};

		c.policy.text = text;
		c.policy.len = sizeof(text);
		err = store_commit(f->s, &c, ret);
		if (err)
			break;
	}
	return err == -ENOSPC ? n : 0;
}

/* A full disk refuses an enrolment without spending the token, then all is as it was, then there is
 * room again. */
static const char *full_disk_problem(struct fixture *f, uint64_t token, const struct key *hash,
				     unsigned filled, void (*make_room)(struct fixture *f))
{
	struct change c = enroll_change(token, hash, "late", 7);
	struct store_verdict v = {0};
	struct store_touch t = {.device = 1, .serial = 5};
	struct diag d = {0};
	int64_t left;

	for (int i = 0; i < 1000; i++) { /* small ones may still fit in free pages */
		struct change u = {.kind = CHANGE_USER_PUT, .at_ms = now_ms, .actor = "admin:1"};

		snprintf(u.user.email, sizeof(u.user.email), "user%d@example.com", i);
		if (store_commit(f->s, &u, &d) == -ENOSPC)
			break;
	}
	left = fixture_number(f, "SELECT uses_left FROM token");
	if (store_commit(f->s, &c, &d) != -ENOSPC || c.device.id || !strstr(d.hint, "free space"))
		return "an enrolment on a full disk";
	if (fixture_number(f, "SELECT uses_left FROM token") != left)
		return "the token was spent";
	if (store_audit_verify(f->s, &v) != 0 || v.first_bad)
		return "the log is not whole";
	if (fixture_number(f, "SELECT count(*) FROM policy") != (int64_t)filled + 1)
		return "a policy is lost";
	make_room(f);
	if (store_commit(f->s, &c, &d) != 0 || store_touch(f->s, &t, 1, &d) != 0)
		return "no commit though there is room";
	if (store_audit_verify(f->s, &v) != 0 || v.first_bad)
		return "the log is not whole in the end";
	return NULL;
}

static void room_for_pages(struct fixture *f)
{
	assert_int_equal(db_exec(f->s, "PRAGMA max_page_count = 100000"), 0);
}

static void a_full_database_is_refused_and_recovers(void **state)
{
	struct fixture f;
	struct diag d = {0};
	struct key hash;
	uint64_t token;
	unsigned filled;
	const char *problem;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 5);
	hash = token_hash(&f, token);
	device_for(&f, token, "one", 1);
	assert_int_equal(db_exec(f.s, "PRAGMA max_page_count = 200"), 0);
	filled = fill(&f, &d);
	assert_true(filled > 5);
	check_diag("full", &d, &f);
	problem = full_disk_problem(&f, token, &hash, filled, room_for_pages);
	if (problem)
		fail_msg("%s", problem);
	fixture_reopen(&f);
	assert_whole(&f);
	fixture_done(&f);
}

static void room_on_disk(struct fixture *f)
{
	char filler[128];

	snprintf(filler, sizeof(filler), "%s/filler", f->dir);
	child_check(unlink(filler) == 0);
}

/* The same on a real file system of 3 MB: half of it is a file that goes away later. */
static void fill_tmpfs(struct fixture *f)
{
	static char zero[1500000];
	char filler[128];
	struct diag d = {0};
	const char *problem;
	struct key hash;
	uint64_t token;
	unsigned filled;

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", f->dir, "tmpfs", 0, "size=3m") != 0)
		_exit(77);
	snprintf(filler, sizeof(filler), "%s/filler", f->dir);
	file_write(filler, zero, sizeof(zero));
	child_check(fixture_create(f->path, "10.0.0.0/24", NULL) == 0);
	child_check(store_open(f->path, &f->s, &d) == 0);
	token = token_for(f, NULL, "db", 5);
	hash = token_hash(f, token);
	device_for(f, token, "one", 1);
	filled = fill(f, &d);
	child_check(filled > 5);
	child_check(strstr(d.message, "no space left") && strstr(d.hint, "free space"));
	problem = full_disk_problem(f, token, &hash, filled, room_on_disk);
	if (problem)
		fprintf(stderr, "%s\n", problem);
	child_check(!problem);
	close_store(f);
	child_check(store_open(f->path, &f->s, &d) == 0);
	child_check(fixture_number(f, "SELECT count(*) FROM device") == 2);
	close_store(f);
}

static void a_full_file_system_is_refused_and_recovers(void **state)
{
	struct fixture f;
	int status;

	(void)state;
	fixture_dir(&f);
	status = in_child(fill_tmpfs, &f);
	fixture_done(&f);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

/* --- killed writers --- */

/* Commit for ever; each confirmed sequence number goes to fd. */
static void write_until_killed(const char *path, int fd)
{
	struct store *s;
	struct diag d;

	if (store_open(path, &s, &d) != 0)
		_exit(1);
	for (uint32_t i = 0;; i++) {
		struct change u = {.kind = CHANGE_USER_PUT,
				   .at_ms = now_ms,
				   .actor = "admin:1",
				   .user = {.disabled = i & 1}};

		snprintf(u.user.email, sizeof(u.user.email), "user%u@example.com", i % 50);
		if (store_commit(s, &u, &d) != 0 ||
		    write(fd, &u.seq, sizeof(u.seq)) != sizeof(u.seq))
			_exit(1);
	}
}

/* Start a writer, let it confirm a few changes, kill it. The last confirmed sequence number. */
static uint64_t kill_a_writer(struct fixture *f, unsigned after)
{
	uint64_t seq = 0, last = 0;
	int pipes[2], status;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pipes[0]);
		write_until_killed(f->path, pipes[1]);
	}
	close(pipes[1]);
	for (unsigned i = 0; i < after; i++)
		assert_int_equal(read(pipes[0], &last, sizeof(last)), sizeof(last));
	usleep(after * 37 % 400); /* somewhere inside the next commit */
	kill(pid, SIGKILL);
	while (read(pipes[0], &seq, sizeof(seq)) == sizeof(seq))
		last = seq;
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return last;
}

static void a_killed_writer_loses_nothing_confirmed(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	close_store(&f);
	for (unsigned i = 1; i <= 20; i++) {
		uint64_t last = kill_a_writer(&f, 7 * i);
		struct store_verdict v;

		assert_int_equal(store_open(f.path, &f.s, NULL), 0);
		v = verdict_of(&f);
		assert_string_equal(v.problem, "");
		/* all that was confirmed, and at most the one that was under way */
		assert_true(v.records >= last && v.records <= last + 1);
		close_store(&f);
	}
	fixture_done(&f);
}

static void file_copy(const char *from, const char *to)
{
	static char data[8 << 20];
	int fd = open(from, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, data, sizeof(data));

	if (fd >= 0)
		close(fd);
	file_write(to, data, (size_t)n);
}

/* The end of the write-ahead log is cut at every kind of place, as by a lost power supply: what is
 * left is a whole log that ends earlier, never a half change. */
static void a_torn_log_gives_whole_changes(void **state)
{
	struct fixture f, torn;
	char wal[128], torn_wal[128];
	struct store_verdict v;
	uint64_t records = 0;
	struct stat st;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	close_store(&f);
	kill_a_writer(&f, 60);
	fixture_dir(&torn);
	snprintf(wal, sizeof(wal), "%s-wal", f.path);
	snprintf(torn_wal, sizeof(torn_wal), "%s-wal", torn.path);
	assert_int_equal(stat(wal, &st), 0);
	for (off_t keep = 0; keep < st.st_size; keep += 4999) {
		file_copy(f.path, torn.path);
		file_copy(wal, torn_wal);
		assert_int_equal(truncate(torn_wal, keep), 0);
		assert_int_equal(store_open(torn.path, &torn.s, NULL), 0);
		v = verdict_of(&torn);
		assert_string_equal(v.problem, "");
		assert_true(v.records >= records);
		records = v.records;
		close_store(&torn);
	}
	assert_true(records > 50);
	fixture_done(&torn);
	fixture_done(&f);
}

/* --- flipped bytes --- */

static int see_row(void *arg, const struct device_row *d, const void *report, size_t n, int64_t ms,
		   const char *version, const char *os)
{
	struct key *sum = arg;
	struct device_row copy;
	uint8_t bytes[sizeof(copy) + sizeof(*sum)];

	(void)report, (void)n, (void)ms, (void)version, (void)os;
	memcpy(&copy, d, sizeof(copy)); /* with its padding, which the store zeroes */
	/* what the log does not cover may differ */
	copy.last_seen_s = copy.cert_not_after_s = 0;
	copy.serial = 0;
	memcpy(bytes, &copy, sizeof(copy));
	memcpy(bytes + sizeof(copy), sum, sizeof(*sum));
	key_hash(bytes, sizeof(bytes), sum);
	return 0;
}

/* Open, load and verify: 0 when nothing was noticed; *ret_sum tells the devices apart. */
static int look(const char *path, struct key *ret_sum)
{
	struct store_verdict v = {0};
	struct store *s = NULL;
	struct diag d;
	int err = store_open(path, &s, &d);

	memset(ret_sum, 0, sizeof(*ret_sum));
	if (!err)
		err = store_each_device(s, see_row, ret_sum);
	if (!err)
		err = store_audit_verify(s, &v);
	store_close(s);
	return err ? err : v.first_bad ? -ZT_ECORRUPT : 0;
}

static void a_flipped_byte_is_noticed_or_harmless(void **state)
{
	struct key want, sum;
	unsigned noticed = 0, tried = 0;
	struct fixture f, flipped;
	struct stat st;
	uint64_t token;
	uint8_t byte;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 9);
	for (uint32_t i = 1; i <= 9; i++)
		device_for(&f, token, "host", i);
	close_store(&f); /* which brings all into the one file */
	assert_int_equal(look(f.path, &want), 0);
	assert_int_equal(stat(f.path, &st), 0);
	fixture_dir(&flipped);
	for (off_t at = 0; at < st.st_size; at += 211) {
		int fd, err;

		file_copy(f.path, flipped.path);
		fd = open(flipped.path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x15;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		err = look(flipped.path, &sum);
		if (!err && !key_equal(&sum, &want))
			fail_msg("byte %lld was flipped, a device is another, nobody noticed",
				 (long long)at);
		noticed += err != 0;
		tried++;
	}
	assert_true(noticed > tried / 20); /* most of the file is empty space */
	fixture_done(&flipped);
	fixture_done(&f);
}

/* --- races --- */

enum { RACERS = 64 };

struct racer {
	pthread_t thread;
	struct fixture f;
	struct change c;
	int err;
	pthread_barrier_t *start;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->start);
	do /* so many at once may wait longer than the store does; they try again, as a device would
	    */
		r->err = store_commit(r->f.s, &r->c, NULL);
	while (r->err == -EBUSY);
	return NULL;
}

/* All at once, each with a connection of its own, as if there were 64 controllers on one database:
 * one gets through, the others are refused with err. */
static void race_all(const struct fixture *f, struct racer *racers, int err)
{
	pthread_barrier_t start;
	unsigned through = 0;

	pthread_barrier_init(&start, NULL, RACERS);
	for (size_t i = 0; i < RACERS; i++) {
		racers[i].start = &start;
		assert_int_equal(store_open_unlocked(f->path, &racers[i].f.s, NULL), 0);
	}
	for (size_t i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	for (size_t i = 0; i < RACERS; i++) {
		pthread_join(racers[i].thread, NULL);
		through += racers[i].err == 0;
		assert_true(racers[i].err == 0 || racers[i].err == err);
		store_close(racers[i].f.s);
	}
	pthread_barrier_destroy(&start);
	assert_int_equal(through, 1);
}

static void a_token_is_spent_once_however_many_race(void **state)
{
	static struct racer racers[RACERS];
	struct fixture f;
	struct key hash;
	uint64_t before;

	(void)state;
	fixture_init(&f, "10.0.0.0/16", NULL);
	hash = token_hash(&f, token_for(&f, "ada@example.com", NULL, 1));
	before = verdict_of(&f).records;
	for (uint32_t i = 0; i < RACERS; i++)
		racers[i].c = enroll_change(1, &hash, "host", i + 1);
	race_all(&f, racers, -ZT_ETOKEN);
	assert_int_equal(fixture_number(&f, "SELECT count(*) FROM device"), 1);
	assert_int_equal(fixture_number(&f, "SELECT uses_left FROM token"), 0);
	assert_int_equal(verdict_of(&f).records, before + RACERS); /* all audited */
	assert_whole(&f);
	fixture_done(&f);
}

/* The same with keys: one key pair, 64 tokens. */
static void a_key_enrols_once_however_many_race(void **state)
{
	static struct racer racers[RACERS];
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/16", NULL);
	for (uint32_t i = 0; i < RACERS; i++) {
		uint64_t token = token_for(&f, NULL, "db", 1);
		struct key hash = token_hash(&f, token);

		racers[i].c = enroll_change(token, &hash, "host", 1);
	}
	race_all(&f, racers, -ZT_EEXISTS);
	assert_int_equal(fixture_number(&f, "SELECT sum(uses - uses_left) FROM token"), 1);
	assert_whole(&f);
	fixture_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_that_are_not_right_are_refused),
		cmocka_unit_test(a_killed_init_is_no_store),
		cmocka_unit_test(init_in_no_directory_is_refused),
		cmocka_unit_test(files_without_rights_are_refused),
		cmocka_unit_test(only_one_controller_opens_it),
		cmocka_unit_test(a_person_with_sqlite3_delays_but_loses_nothing),
		cmocka_unit_test(a_full_database_is_refused_and_recovers),
		cmocka_unit_test(a_full_file_system_is_refused_and_recovers),
		cmocka_unit_test(a_killed_writer_loses_nothing_confirmed),
		cmocka_unit_test(a_torn_log_gives_whole_changes),
		cmocka_unit_test(a_flipped_byte_is_noticed_or_harmless),
		cmocka_unit_test(a_token_is_spent_once_however_many_race),
		cmocka_unit_test(a_key_enrols_once_however_many_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
