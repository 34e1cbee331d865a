/* One prepared statement: parameters in, columns out, one error checked at the end. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static sqlite3_stmt *query_prepare(struct store *s, const char *sql)
{
	sqlite3_stmt *st;

	for (size_t i = 0; i < s->n_cached; i++) {
		if (s->cached[i].sql == sql)
			return s->cached[i].st;
	}
	if (s->n_cached == STORE_QUERIES_MAX ||
	    sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
		return NULL;
	s->cached[s->n_cached].sql = sql;
	s->cached[s->n_cached++].st = st;
	return st;
}

void query_begin(struct query *q, struct store *s, const char *sql)
{
	*q = (struct query){.s = s, .st = query_prepare(s, sql), .table = ""};
	if (!q->st)
		q->err = db_fault(s);
}

/* The result of one sqlite3_bind_*. */
static void query_bound(struct query *q, int rc)
{
	if (rc != SQLITE_OK && !q->err)
		q->err = db_fault(q->s);
}

void query_i64(struct query *q, int64_t v)
{
	if (q->st)
		query_bound(q, sqlite3_bind_int64(q->st, ++q->n, v));
}

void query_text(struct query *q, const char *v)
{
	if (q->st)
		query_bound(q, sqlite3_bind_text(q->st, ++q->n, v, -1, SQLITE_STATIC));
}

void query_blob(struct query *q, const void *p, size_t n)
{
	if (q->st) /* NULL of no length would be an SQL NULL */
		query_bound(q, sqlite3_bind_blob64(q->st, ++q->n, n ? p : "", n, SQLITE_STATIC));
}

void query_key(struct query *q, const struct key *k)
{
	query_blob(q, k->b, sizeof(k->b));
}

int query_step(struct query *q)
{
	int rc;

	if (q->err)
		return q->err;
	rc = sqlite3_step(q->st);
	q->n = 0;
	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		q->err = db_fault(q->s);
	return q->err;
}

int query_end(struct query *q)
{
	if (q->st) {
		sqlite3_reset(q->st);
		sqlite3_clear_bindings(q->st);
	}
	q->st = NULL;
	return q->err;
}

int query_run(struct query *q)
{
	while (query_step(q) > 0)
		;
	return query_end(q);
}

void column_bad(struct query *q)
{
	char row[64];
	const char *id;

	if (q->err)
		return;
	id = (const char *)sqlite3_column_text(q->st, 0);
	txt_safe(id ? id : "", row, sizeof(row));
	q->err = diag_set(&q->s->problem, -ZT_ECORRUPT, "%s: table %s, row %s: column %s cannot be",
			  q->s->path, q->table, row,
			  sqlite3_column_name(q->st, q->n > 0 ? q->n - 1 : 0));
	diag_hint(&q->s->problem,
		  "the row was changed by something else than the controller; `ztctl audit verify` "
		  "on a copy shows which record it should match");
}

/* Take the next column; false when it is not of this type, or after an error. */
static bool column_take(struct query *q, int type)
{
	if (q->err)
		return false;
	if (sqlite3_column_type(q->st, q->n++) == type)
		return true;
	column_bad(q);
	return false;
}

bool column_is_null(struct query *q)
{
	return !q->err && sqlite3_column_type(q->st, q->n) == SQLITE_NULL;
}

void column_skip(struct query *q)
{
	q->n++;
}

int64_t column_i64(struct query *q, int64_t min, int64_t max)
{
	int64_t v;

	if (!column_take(q, SQLITE_INTEGER))
		return 0;
	v = sqlite3_column_int64(q->st, q->n - 1);
	if (v >= min && v <= max)
		return v;
	column_bad(q);
	return 0;
}

bool column_bool(struct query *q)
{
	return column_i64(q, 0, 1) == 1;
}

const char *column_borrow(struct query *q)
{
	const char *text;
	size_t n;

	if (!column_take(q, SQLITE_TEXT))
		return "";
	text = (const char *)sqlite3_column_text(q->st, q->n - 1);
	n = (size_t)sqlite3_column_bytes(q->st, q->n - 1);
	if (text && strlen(text) == n && txt_is_utf8(text, n))
		return text;
	column_bad(q);
	return "";
}

void column_text(struct query *q, char *dst, size_t size)
{
	dst[0] = '\0';
	if (txt_copy(dst, size, column_borrow(q)) != 0)
		column_bad(q);
}

const void *column_blob(struct query *q, size_t max, size_t *ret_n)
{
	*ret_n = 0;
	if (!column_take(q, SQLITE_BLOB))
		return NULL;
	*ret_n = (size_t)sqlite3_column_bytes(q->st, q->n - 1);
	if (*ret_n <= max)
		return sqlite3_column_blob(q->st, q->n - 1);
	*ret_n = 0;
	column_bad(q);
	return NULL;
}

void column_key(struct query *q, struct key *ret)
{
	size_t n;
	const void *p = column_blob(q, sizeof(ret->b), &n);

	memset(ret, 0, sizeof(*ret));
	if (q->err)
		return;
	if (n == sizeof(ret->b))
		memcpy(ret->b, p, n);
	else
		column_bad(q);
}

void names_print(const char (*name)[ZT_NAME_MAX + 1], size_t n,
		 char out[static STORE_NAMES_TEXT_MAX])
{
	struct buf b;

	/* names hold no character that JSON would escape (txt_is_name) */
	buf_init(&b, out, STORE_NAMES_TEXT_MAX - 1);
	buf_put_text(&b, "[");
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s\"%s\"", i ? "," : "", name[i]);
	buf_put_text(&b, "]");
	out[b.len] = '\0';
}

/* The strings of a JSON array; false when it is something else, has more than max, or a string is
 * not a name. */
static bool names_copy(const json_t *array, char (*name)[ZT_NAME_MAX + 1], size_t max,
		       size_t *ret_n)
{
	size_t n = json_array_size(array);

	if (!json_is_array(array) || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *v = json_string_value(json_array_get(array, i));

		memset(name[i], 0, ZT_NAME_MAX + 1);
		if (!v || !txt_is_name(v) || txt_copy(name[i], ZT_NAME_MAX + 1, v) != 0)
			return false;
		if (i > 0 && strcmp(name[i - 1], name[i]) >= 0)
			return false;
	}
	*ret_n = n;
	return true;
}

size_t column_names(struct query *q, char (*name)[ZT_NAME_MAX + 1], size_t max)
{
	char again[STORE_NAMES_TEXT_MAX];
	const char *text = column_borrow(q);
	json_t *array;
	size_t n = 0;

	if (q->err)
		return 0;
	array = json_loads(text, 0, NULL);
	if (!names_copy(array, name, max, &n)) {
		column_bad(q);
	} else { /* one text for one set, else equal sets would differ */
		names_print((const char(*)[ZT_NAME_MAX + 1]) name, n, again);
		if (!txt_equal(again, text))
			column_bad(q);
	}
	json_decref(array);
	return q->err ? 0 : n;
}

void column_tags(struct query *q, struct tags *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->n = column_names(q, ret->name, ZT_TAGS_MAX);
}
