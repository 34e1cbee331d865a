/* The printer of operations: dry runs, logs and golden tests show the same line. */
#include "ztnode/core/op.h"

#include <stdio.h>

static void print_elem(const char *verb, const struct kelem *e, const struct netmap *rules,
		       struct buf *out)
{
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	addr_print(&e->src, src);
	addr_print(&e->dst, dst);
	buf_printf(out, "grant %s %s -> %s ", verb, src, dst);
	if (e->set == KSET_SPAN && e->value == 0)
		buf_put_text(out, "any");
	else if (e->set == KSET_SPAN)
		buf_printf(out, "class/%u", e->value);
	else if (e->proto == SERVICE_TCP || e->proto == SERVICE_UDP)
		buf_printf(out, "%s/%u", e->proto == SERVICE_TCP ? "tcp" : "udp", e->value);
	else
		buf_put_text(out, "icmp");
	if (e->rule && rules)
		buf_printf(out, " rule %s", netmap_rule_name(rules, e->rule));
	else if (e->rule)
		buf_printf(out, " rule %u", e->rule);
}

static void print_peer(const char *verb, const struct op *op, struct buf *out)
{
	const struct kpeer *p = op->peer;
	char key[KEY_TEXT_MAX], text[ENDPOINT_TEXT_MAX];

	key_print(&p->pub, key);
	buf_printf(out, "peer %s %s", verb, key);
	if (op->kind == OP_PEER_DEL)
		return;
	for (size_t i = 0; op->kind == OP_PEER_PUT && !op->psk_only && i < p->n_allowed; i++) {
		prefix_print(&p->allowed[i], text);
		buf_printf(out, " %s", text);
	}
	if (op->kind == OP_PEER_PUT && p->has_psk)
		buf_put_text(out, " psk");
	if (p->endpoint.addr.family != ADDR_NONE && !op->psk_only) {
		endpoint_print(&p->endpoint, text);
		buf_printf(out, " endpoint %s", text);
	}
}

static void print_prefix(const char *verb, const struct prefix *p, struct buf *out)
{
	char text[PREFIX_TEXT_MAX];

	prefix_print(p, text);
	buf_printf(out, "%s %s", verb, text);
}

static void print_route(const char *verb, const struct kroute *r, struct buf *out)
{
	print_prefix(verb, &r->dst, out);
	buf_printf(out, " %s metric %u", r->kind == KROUTE_DEV ? "tunnel" : "unreachable",
		   r->metric);
}

void op_print(const struct op *op, const struct netmap *rules, struct buf *out)
{
	switch (op->kind) {
	case OP_TABLE_PUT:
		buf_printf(out, "table put, %zu grants, %zu spans", op->state->n_elems,
			   op->state->n_spans);
		break;
	case OP_TABLE_DEL:
		buf_put_text(out, "table delete");
		break;
	case OP_ELEMS_LOAD:
		buf_printf(out, "grants load %zu", op->state->n_elems);
		break;
	case OP_ELEM_DEL:
		print_elem("delete", op->elem, rules, out);
		break;
	case OP_ELEM_ADD:
		print_elem("add", op->elem, rules, out);
		break;
	case OP_LINK_ADD:
		buf_put_text(out, "link add");
		break;
	case OP_LINK_DEL:
		buf_put_text(out, "link delete");
		break;
	case OP_WG_SET:
		buf_printf(out, "wireguard key and port %u", op->state->port);
		break;
	case OP_PEER_DEL:
		print_peer("delete", op, out);
		break;
	case OP_PEER_PUT:
		print_peer("put", op, out);
		break;
	case OP_PEER_ENDPOINT:
		print_peer("endpoint", op, out);
		break;
	case OP_MTU_SET:
		buf_printf(out, "mtu %u", op->state->mtu);
		break;
	case OP_ADDR_ADD:
		print_prefix("address add", &op->addr, out);
		break;
	case OP_ADDR_DEL:
		print_prefix("address delete", &op->addr, out);
		break;
	case OP_LINK_UP:
		buf_put_text(out, "link up");
		break;
	case OP_ROUTE_ADD:
		print_route("route add", &op->route, out);
		break;
	case OP_ROUTE_DEL:
		print_route("route delete", &op->route, out);
		break;
	}
}
