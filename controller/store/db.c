/* The SQLite connection: opening, transactions, and SQLite's errors said to people. */
#include "controller/store/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUSY_MS =
		1000, /* only a person's sqlite3 or a backup can be in the way, and not for long */
	WAL_KEPT_MAX = 16 << 20, /* bytes the log is cut back to after a checkpoint */
};

struct fault {
	int code; /* SQLite's, extended or primary */
	int err;
	const char *message;
	const char *hint;
};

static const struct fault faults[] = {
	{SQLITE_FULL, -ENOSPC, "no space left",
	 "free space on its file system; nothing that was confirmed is lost"},
	/* the -shm file could not grow: the same thing in SQLite's words */
	{SQLITE_IOERR_SHMSIZE, -ENOSPC, "no space left",
	 "free space on its file system; nothing that was confirmed is lost"},
	{SQLITE_IOERR_NOMEM, -ENOMEM, "out of memory", ""},
	{SQLITE_NOMEM, -ENOMEM, "out of memory", ""},
	{SQLITE_NOTADB, -ZT_ECORRUPT, "not a database",
	 "keep the file as it is and restore the newest backup"},
	{SQLITE_CORRUPT, -ZT_ECORRUPT, "the database is damaged",
	 "stop the controller, keep the file and its -wal as they are, and restore the newest "
	 "backup"},
	{SQLITE_CONSTRAINT, -ZT_ECORRUPT, "a row does not fit the schema",
	 "the database was changed by another program, or this is a bug; see `ztctl audit verify`"},
	{SQLITE_BUSY, -EBUSY, "locked by another program",
	 "close sqlite3 shells and backups that have it open"},
	{SQLITE_LOCKED, -EBUSY, "locked by another program",
	 "close sqlite3 shells and backups that have it open"},
	{SQLITE_READONLY, -EACCES, "cannot be written",
	 "the file, its -wal and -shm and their directory must belong to the controller's user"},
	{SQLITE_CANTOPEN, -EACCES, "cannot be opened",
	 "the file, its -wal and -shm and their directory must belong to the controller's user"},
	{SQLITE_PERM, -EACCES, "cannot be opened", "the file must belong to the controller's user"},
	{SQLITE_AUTH, -EACCES, "cannot be opened", "the file must belong to the controller's user"},
	{SQLITE_IOERR, -EIO, "input or output failed",
	 "see the kernel's log for errors of the disk"},
};
static const struct fault unknown_fault = {SQLITE_ERROR, -EIO, "SQLite failed", ""};

static const struct fault *fault_find(int code)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (faults[i].code == code)
			return &faults[i];
	}
	return NULL;
}

/* The fault of an extended code: its own row, else that of its primary code. A full disk can look
 * like any write error. */
static const struct fault *fault_of(sqlite3 *db, int code)
{
	const struct fault *f = fault_find(code);
	int os = sqlite3_system_errno(db);

	if ((code & 0xff) == SQLITE_IOERR && (os == ENOSPC || os == EDQUOT))
		return fault_find(SQLITE_FULL);
	if (!f)
		f = fault_find(code & 0xff);
	return f ? f : &unknown_fault;
}

int db_fault(struct store *s)
{
	const struct fault *f = &unknown_fault;

	if (!s->db)
		return s->fault = diag_set(&s->problem, -ENOMEM, "%s: out of memory", s->path);
	f = fault_of(s->db, sqlite3_extended_errcode(s->db));
	diag_set(&s->problem, f->err, "%s: %s (%s)", s->path, f->message, sqlite3_errmsg(s->db));
	if (*f->hint)
		diag_hint(&s->problem, "%s", f->hint);
	/* a row that does not fit undoes its own statement only; all else may have cost the
	 * transaction */
	if (f->code != SQLITE_CONSTRAINT)
		s->fault = f->err;
	return f->err;
}

int store_result(const struct store *s, int err, struct diag *d)
{
	if (err && d)
		*d = s->problem;
	return err;
}

int db_exec(struct store *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fault(s);
}

int db_open(struct store *s, const char *file)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

	if (sqlite3_open_v2(file, &s->db, flags, NULL) != SQLITE_OK)
		return db_fault(s);
	/* SQLite falls back to reading alone without a word */
	if (sqlite3_db_readonly(s->db, "main") != 0) {
		diag_set(&s->problem, -EACCES, "%s: cannot be written", s->path);
		diag_hint(&s->problem, "%s", fault_find(SQLITE_READONLY)->hint);
		return -EACCES;
	}
	sqlite3_busy_timeout(s->db, BUSY_MS);
	/* What stands in the file is data: no SQL of its schema may reach outside of it or damage
	 * it. */
	if (sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
	    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) != SQLITE_OK)
		return db_fault(s);
	/* temporary files would need a directory that a locked-down service does not have */
	return db_exec(s, "PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; "
			  "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;");
}

void db_close(struct store *s)
{
	for (size_t i = 0; i < s->n_cached; i++)
		sqlite3_finalize(s->cached[i].st);
	s->n_cached = 0;
	sqlite3_close(s->db);
	s->db = NULL;
}

int db_wal(struct store *s)
{
	struct query q;
	char mode[16] = "";
	int err;

	query_begin(&q, s, "PRAGMA journal_mode = WAL");
	if (query_step(&q) > 0)
		column_text(&q, mode, sizeof(mode));
	err = query_end(&q);
	if (err)
		return err;
	if (!txt_equal(mode, "wal"))
		return diag_set(&s->problem, -EIO,
				"%s: the file system cannot hold a write-ahead log", s->path);
	query_begin(&q, s, "PRAGMA journal_size_limit = 16777216");
	_Static_assert(WAL_KEPT_MAX == 16777216, "pragmas take no parameters");
	if (query_step(&q) > 0)
		column_skip(&q);
	return query_end(&q);
}

/* quick_check gives "ok" or one line a problem; the first is enough to say that it is damaged. */
int db_check(struct store *s)
{
	struct query q;
	char line[200] = "";
	int err;

	query_begin(&q, s, "PRAGMA quick_check(1)");
	if (query_step(&q) > 0)
		txt_safe(column_borrow(&q), line, sizeof(line));
	err = query_end(&q);
	if (err || txt_equal(line, "ok"))
		return err;
	diag_set(&s->problem, -ZT_ECORRUPT, "%s: the database is damaged (%s)", s->path, line);
	diag_hint(&s->problem, "%s", fault_find(SQLITE_CORRUPT)->hint);
	return -ZT_ECORRUPT;
}

static int db_statement(struct store *s, const char *sql)
{
	struct query q;

	query_begin(&q, s, sql);
	return query_run(&q);
}

int db_begin(struct store *s)
{
	s->fault = 0;
	return db_statement(s, "BEGIN IMMEDIATE");
}

void db_rollback(struct store *s)
{
	/* some faults have rolled back already; then the statement's own failure says nothing */
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

int db_commit(struct store *s)
{
	int err = s->fault;

	if (!err)
		err = db_statement(s, "COMMIT");
	if (err)
		db_rollback(s);
	return err;
}
