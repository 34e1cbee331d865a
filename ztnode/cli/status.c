/* ztnode status: this device, its controller, its lease, and whom it may reach. */
#include "ztnode/cli/status.h"

#include "zt/txt.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/show.h"
#include "ztnode/cli/table.h"

/* --- the head --- */

static void line(struct view *v, const char *label, const char *text)
{
	buf_printf(&v->out, "  %-12s%s\n", label, text);
}

static const char *paint_state(struct view *v, const json_t *device)
{
	const char *state = view_field(v, device, "state");

	return view_paint(v, txt_equal(state, "active") ? VIEW_GREEN : VIEW_RED, state);
}

static void print_device(struct view *v, const json_t *status)
{
	const json_t *device = json_object_get(status, "device");

	buf_printf(&v->out, "%s  %s\n", view_paint(v, VIEW_BOLD, view_field(v, device, "name")),
		   paint_state(v, device));
	line(v, "id", view_field(v, device, "id"));
	line(v, "owner", view_field(v, device, "owner"));
	line(v, "tags", view_field(v, device, "tags"));
	line(v, "addresses", view_field(v, device, "addresses"));
	line(v, "interface", view_field(v, status, "interface"));
}

static void print_controller(struct view *v, const json_t *controller)
{
	bool connected = json_is_true(json_object_get(controller, "connected"));
	const char *since = json_string_value(json_object_get(controller, "since"));

	buf_printf(&v->out, "  %-12s%s  %s", "controller", view_field(v, controller, "url"),
		   connected ? view_paint(v, VIEW_GREEN, "connected")
			     : view_paint(v, VIEW_RED, "not connected"));
	if (since)
		buf_printf(&v->out, " (since %s)", view_safe(v, since));
	buf_printf(&v->out, ", serial %s\n", view_field(v, controller, "serial"));
}

static void print_lease(struct view *v, const json_t *lease)
{
	const json_t *remaining = json_object_get(lease, "remaining_s");
	json_int_t s = json_integer_value(remaining);

	if (!json_is_integer(remaining))
		line(v, "lease", view_paint(v, VIEW_RED, "none"));
	else if (s <= 0)
		line(v, "lease",
		     view_paint(v, VIEW_RED,
				"over: nothing passes until the controller renews it"));
	else
		buf_printf(&v->out, "  %-12sends in %s\n", "lease", view_span(v, s));
}

static void print_profiles(struct view *v, const json_t *profiles)
{
	const json_t *profile, *condition;
	size_t i, k;

	json_array_foreach(profiles, i, profile)
	{
		bool ok = json_is_true(json_object_get(profile, "ok"));
		const char *mark =
			ok ? view_paint(v, VIEW_GREEN, "✓") : view_paint(v, VIEW_RED, "✗");

		buf_printf(&v->out, "  %-12s%s %s\n", i ? "" : "posture", mark,
			   view_field(v, profile, "profile"));
		json_array_foreach(json_object_get(profile, "failed"), k, condition)
			view_condition(v, condition, "                ");
	}
}

/* Not in the contract, and shown when the daemon has something to say. */
static void print_problem(struct view *v, const json_t *status)
{
	const char *problem = json_string_value(json_object_get(status, "problem"));
	const json_t *enforced = json_object_get(status, "enforced");

	if (json_is_false(enforced))
		line(v, "enforced", view_paint(v, VIEW_RED, "no (ztnode up)"));
	if (problem && problem[0])
		line(v, "problem", view_paint(v, VIEW_RED, view_safe(v, problem)));
}

/* --- the tables --- */

static const char *paint_path(struct view *v, const char *path)
{
	if (txt_equal(path, "direct"))
		return view_paint(v, VIEW_GREEN, path);
	return txt_equal(path, "relay") ? view_paint(v, VIEW_YELLOW, path) : path;
}

static const char *bytes(struct view *v, const json_t *peer, const char *key)
{
	const json_t *n = json_object_get(peer, key);

	return json_is_integer(n) ? view_bytes(v, json_integer_value(n)) : "-";
}

static const char *const peer_heads[] = {"PEER",      "ADDRESSES", "PATH", "ENDPOINT",
					 "HANDSHAKE", ">RX",	   ">TX",  "RULES"};
enum { PEER_COLUMNS = sizeof(peer_heads) / sizeof(peer_heads[0]) };

static void fill_peer(struct view *v, const json_t *peer, const char **cells)
{
	size_t c = 0;

	cells[c++] = view_field(v, peer, "name");
	cells[c++] = view_field(v, peer, "addresses");
	cells[c++] = paint_path(v, view_field(v, peer, "path"));
	cells[c++] = view_field(v, peer, "endpoint");
	cells[c++] = view_when(v, json_string_value(json_object_get(peer, "last_handshake")));
	cells[c++] = bytes(v, peer, "rx_bytes");
	cells[c++] = bytes(v, peer, "tx_bytes");
	cells[c++] = view_field(v, peer, "rules");
}

static const char *const grant_heads[] = {"DIRECTION", "PEER", "SERVICE", "RULE", "EXPIRES"};
enum { GRANT_COLUMNS = sizeof(grant_heads) / sizeof(grant_heads[0]) };

static const char *service(struct view *v, const json_t *grant)
{
	const char *proto = view_field(v, grant, "proto"), *ports = view_field(v, grant, "ports");
	const char *text;

	if (txt_equal(ports, "-") || txt_equal(proto, "any") || txt_equal(proto, "icmp"))
		return proto;
	text = arena_printf(&v->arena, "%s/%s", proto, ports);
	return text ? text : "?";
}

static void fill_grant(struct view *v, const json_t *grant, const char **cells)
{
	const char *expires = json_string_value(json_object_get(grant, "expires"));
	size_t c = 0;

	cells[c++] = view_field(v, grant, "direction");
	cells[c++] = view_field(v, grant, "peer");
	cells[c++] = service(v, grant);
	cells[c++] = view_field(v, grant, "rule");
	cells[c++] = expires && expires[0] ? view_when(v, expires) : "with the lease";
}

static void print_table(struct view *v, const char *title, const json_t *rows,
			const char *const *heads, size_t columns,
			void (*fill)(struct view *, const json_t *, const char **))
{
	size_t n = json_array_size(rows);
	const char **cells = arena_array(&v->arena, n * columns, sizeof(*cells));

	buf_printf(&v->out, "\n%s (%zu)\n", view_paint(v, VIEW_BOLD, title), n);
	if (!cells) {
		v->out.err = -ZT_ELIMIT;
		return;
	}
	for (size_t i = 0; i < n; i++)
		fill(v, json_array_get(rows, i), cells + i * columns);
	table_print(heads, columns, cells, n, &v->out);
}

void status_print(const json_t *status, struct view *v)
{
	print_device(v, status);
	print_controller(v, json_object_get(status, "controller"));
	print_lease(v, json_object_get(status, "lease"));
	print_profiles(v, json_object_get(status, "posture"));
	print_problem(v, status);
	print_table(v, "peers", json_object_get(status, "peers"), peer_heads, PEER_COLUMNS,
		    fill_peer);
	print_table(v, "grants", json_object_get(status, "grants"), grant_heads, GRANT_COLUMNS,
		    fill_grant);
}

int cmd_status(const struct node_config *c, int argc, char **argv)
{
	return show_answer(c, argc, argv, "status", status_print);
}
