/* Whose database it is, of which version, and forward to this program's. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>

enum { APPLICATION_ID = 0x7a746462 }; /* "ztdb" */

static int pragma_i64(struct store *s, const char *sql, int64_t *ret)
{
	struct query q;
	int64_t v = 0;
	int err;

	query_begin(&q, s, sql);
	q.table = "header";
	if (query_step(&q) > 0)
		v = column_i64(&q, INT32_MIN, INT32_MAX);
	err = query_end(&q);
	if (!err)
		*ret = v;
	return err;
}

static int migrate_version(struct store *s, int64_t *ret)
{
	return pragma_i64(s, "PRAGMA user_version", ret);
}

int migrate_check(struct store *s, const struct migration *m, size_t n)
{
	unsigned newest = m[n - 1].version;
	int64_t application = 0, version = 0;
	int err = pragma_i64(s, "PRAGMA application_id", &application);

	if (!err)
		err = migrate_version(s, &version);
	if (err)
		return err;
	if (application != APPLICATION_ID || version < 1) {
		diag_set(&s->problem, -ZT_ECORRUPT, "%s is not a database of ztcontroller",
			 s->path);
		diag_hint(&s->problem,
			  "give the --dir that `ztcontroller init` made, or restore a backup");
		return -ZT_ECORRUPT;
	}
	if (version <= newest)
		return 0;
	diag_set(&s->problem, -ZT_EVERSION,
		 "%s has schema %" PRId64 ", this program knows schema %u and older", s->path,
		 version, newest);
	diag_hint(&s->problem,
		  "run the newer ztcontroller that wrote schema %" PRId64
		  ", or restore a backup with schema %u, made before the upgrade",
		  version, newest);
	return -ZT_EVERSION;
}

/* One migration is one transaction: a crash leaves the version before it or after it. */
static int migrate_step(struct store *s, const struct migration *m)
{
	int64_t version = 0;
	int err = db_begin(s);

	if (err)
		return err;
	err = db_exec(s, m->sql);
	if (!err)
		err = migrate_version(s, &version);
	if (!err && version != m->version)
		err = diag_set(&s->problem, -ZT_ECORRUPT, "%s: migration %u left version %" PRId64,
			       s->path, m->version, version);
	if (!err)
		return db_commit(s);
	db_rollback(s);
	return err;
}

int migrate_apply(struct store *s, const struct migration *m, size_t n)
{
	int64_t version = 0;
	int err = migrate_version(s, &version);

	for (size_t i = 0; !err && i < n; i++) {
		if (m[i].version > version)
			err = migrate_step(s, &m[i]);
	}
	return err;
}
