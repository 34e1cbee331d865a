/* What init decided: the network's row and the administrators. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int network_check(struct store *s, const struct store_network *n)
{
	bool v4 = n->net4.addr.family == ADDR_V4, v6 = n->net6.addr.family == ADDR_V6;

	if (!v4 && !v6)
		return diag_set(&s->problem, -EINVAL, "the network needs an IPv4 or an IPv6 range");
	if (address_last(n) >= ADDRESS_FIRST)
		return 0;
	diag_set(&s->problem, -EINVAL, "the network's range has no room for devices");
	diag_hint(&s->problem,
		  "give an IPv4 range of /29 or wider, an IPv6 range of /125 or wider");
	return -EINVAL;
}

static void prefix_text(const struct prefix *p, char out[static PREFIX_TEXT_MAX])
{
	out[0] = '\0';
	if (p->addr.family != ADDR_NONE)
		prefix_print(p, out);
}

int network_insert(struct store *s, const struct store_network *n)
{
	char net4[PREFIX_TEXT_MAX], net6[PREFIX_TEXT_MAX];
	struct query q;

	prefix_text(&n->net4, net4);
	prefix_text(&n->net6, net6);
	query_begin(&q, s,
		    "INSERT INTO network (one, name, url, net4, net6, next_address) VALUES (1, ?, "
		    "?, ?, ?, ?)");
	query_text(&q, n->name);
	query_text(&q, n->url);
	query_text(&q, net4);
	query_text(&q, net6);
	query_i64(&q, ADDRESS_FIRST);
	return query_run(&q);
}

static void column_prefix(struct query *q, enum addr_family family, struct prefix *ret)
{
	char text[PREFIX_TEXT_MAX];

	memset(ret, 0, sizeof(*ret));
	column_text(q, text, sizeof(text));
	if (q->err || !*text)
		return;
	if (prefix_parse(text, ret) != 0 || ret->addr.family != family)
		column_bad(q);
}

int network_get(struct store *s, struct store_network *ret)
{
	struct store_network n = {0};
	struct query q;
	int err;

	query_begin(&q, s, "SELECT one, name, url, net4, net6 FROM network");
	q.table = "network";
	err = query_step(&q);
	if (err == 1) {
		column_skip(&q);
		column_text(&q, n.name, sizeof(n.name));
		column_text(&q, n.url, sizeof(n.url));
		column_prefix(&q, ADDR_V4, &n.net4);
		column_prefix(&q, ADDR_V6, &n.net6);
		if (!q.err && network_check(s, &n) != 0)
			column_bad(&q);
	} else if (err == 0) {
		q.err = diag_set(&s->problem, -ZT_ECORRUPT, "%s: the network's row is missing",
				 s->path);
		diag_hint(&s->problem, "restore the newest backup");
	}
	err = query_end(&q);
	if (!err)
		*ret = n;
	return err;
}

int store_network(struct store *s, struct store_network *ret)
{
	*ret = s->network;
	return 0;
}

int admin_insert(struct store *s, const struct admin_row *a)
{
	struct query q;

	query_begin(&q, s,
		    "INSERT INTO admin (id, name, secret_hash, created_s) VALUES (?, ?, ?, ?)");
	query_i64(&q, (int64_t)a->id);
	query_text(&q, a->name);
	query_key(&q, &a->secret_hash);
	query_i64(&q, a->created_s);
	return query_run(&q);
}

static void admin_read(struct query *q, struct admin_row *ret)
{
	memset(ret, 0, sizeof(*ret));
	q->table = "admin";
	ret->id = (uint64_t)column_i64(q, 1, INT64_MAX);
	column_text(q, ret->name, sizeof(ret->name));
	column_key(q, &ret->secret_hash);
	if (!q->err && key_is_zero(&ret->secret_hash))
		column_bad(q);
	ret->created_s = column_i64(q, 0, INT64_MAX);
}

int store_each_admin(struct store *s, int (*fn)(void *arg, const struct admin_row *a), void *arg)
{
	struct admin_row a;
	struct query q;

	query_begin(&q, s, "SELECT id, name, secret_hash, created_s FROM admin ORDER BY id");
	while (query_step(&q) > 0) {
		admin_read(&q, &a);
		if (!q.err)
			q.err = fn(arg, &a);
	}
	return query_end(&q);
}

int network_row_json(struct store *s, const char *id, json_t **ret)
{
	struct store_network n;
	int err = network_get(s, &n);

	(void)id;
	if (!err)
		*ret = json_of_network(&n);
	return err;
}

int admin_row_json(struct store *s, const char *id, json_t **ret)
{
	struct admin_row a;
	uint64_t n = 0;
	struct query q;
	int err;

	if (num_parse_u64(id, 1, INT64_MAX, &n) != 0)
		return -ZT_EABSENT;
	query_begin(&q, s, "SELECT id, name, secret_hash, created_s FROM admin WHERE id = ?");
	query_i64(&q, (int64_t)n);
	err = query_step(&q);
	if (err == 1)
		admin_read(&q, &a);
	else if (err == 0)
		q.err = -ZT_EABSENT;
	err = query_end(&q);
	if (!err)
		*ret = json_of_admin(&a);
	return err;
}
