/* ztnode status: this device, its controller, its lease, and whom it may reach. */
#include "ztnode/cli/status.h"

#include "zt/txt.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/show.h"
#include "ztnode/cli/table.h"

/* --- the head --- */

static void line(struct term *t, const char *label, const char *text)
{
	buf_printf(&t->out, "  %-12s%s\n", label, text);
}

static const char *paint_state(struct term *t, const json_t *device)
{
	const char *state = term_field(t, device, "state");

	return term_paint(t, txt_equal(state, "active") ? TERM_GREEN : TERM_RED, state);
}

static void print_device(struct term *t, const json_t *status)
{
	const json_t *device = json_object_get(status, "device");

	buf_printf(&t->out, "%s  %s\n", term_paint(t, TERM_BOLD, term_field(t, device, "name")),
		   paint_state(t, device));
	line(t, "id", term_field(t, device, "id"));
	line(t, "owner", term_field(t, device, "owner"));
	line(t, "tags", term_field(t, device, "tags"));
	line(t, "addresses", term_field(t, device, "addresses"));
	line(t, "interface", term_field(t, status, "interface"));
}

static void print_controller(struct term *t, const json_t *controller)
{
	bool connected = json_is_true(json_object_get(controller, "connected"));
	const char *since = json_string_value(json_object_get(controller, "since"));
	const char *problem = term_field(t, controller, "problem");
	const char *hint = term_field(t, controller, "hint");

	buf_printf(&t->out, "  %-12s%s  %s", "controller", term_field(t, controller, "url"),
		   connected ? term_paint(t, TERM_GREEN, "connected")
			     : term_paint(t, TERM_RED, "not connected"));
	if (since)
		buf_printf(&t->out, " (since %s)", term_safe(t, since));
	buf_printf(&t->out, ", serial %s\n", term_field(t, controller, "serial"));
	if (!connected && !txt_equal(problem, "-"))
		line(t, "", term_paint(t, TERM_RED, problem));
	if (!connected && !txt_equal(hint, "-"))
		buf_printf(&t->out, "  %-12shint: %s\n", "", hint);
}

/* What is granted beyond the lease has a longer one of its own. */
static void print_lease(struct term *t, const json_t *status)
{
	const json_t *remaining = json_object_get(json_object_get(status, "lease"), "remaining_s");
	json_int_t s = json_integer_value(remaining);

	if (!json_is_integer(remaining))
		line(t, "lease", term_paint(t, TERM_RED, "none"));
	else if (s <= 0)
		line(t, "lease",
		     term_paint(t, TERM_RED,
				json_array_size(json_object_get(status, "grants"))
					? "over: only what has a longer lease passes until the "
					  "controller renews it"
					: "over: nothing passes until the controller renews it"));
	else
		buf_printf(&t->out, "  %-12sends in %s\n", "lease", term_span(t, s));
}

static void print_profiles(struct term *t, const json_t *profiles)
{
	const json_t *profile, *condition;
	size_t i, k;

	json_array_foreach(profiles, i, profile)
	{
		bool ok = json_is_true(json_object_get(profile, "ok"));
		const char *mark =
			ok ? term_paint(t, TERM_GREEN, "✓") : term_paint(t, TERM_RED, "✗");

		buf_printf(&t->out, "  %-12s%s %s\n", i ? "" : "posture", mark,
			   term_field(t, profile, "profile"));
		json_array_foreach(json_object_get(profile, "failed"), k, condition)
			term_condition(t, condition, "                ");
	}
}

/* Not in the contract, and shown when the daemon has something to say. */
static void print_problem(struct term *t, const json_t *status)
{
	const char *problem = json_string_value(json_object_get(status, "problem"));
	const json_t *enforced = json_object_get(status, "enforced");

	if (json_is_false(enforced))
		line(t, "enforced", term_paint(t, TERM_RED, "no (ztnode up)"));
	if (problem && problem[0])
		line(t, "problem", term_paint(t, TERM_RED, term_safe(t, problem)));
}

/* --- the tables --- */

static const char *paint_path(struct term *t, const char *path)
{
	if (txt_equal(path, "direct"))
		return term_paint(t, TERM_GREEN, path);
	return txt_equal(path, "relay") ? term_paint(t, TERM_YELLOW, path) : path;
}

static const char *bytes(struct term *t, const json_t *peer, const char *key)
{
	const json_t *n = json_object_get(peer, key);

	return json_is_integer(n) ? term_bytes(t, json_integer_value(n)) : "-";
}

static const char *const peer_heads[] = {"PEER",      "ADDRESSES", "PATH", "ENDPOINT",
					 "HANDSHAKE", ">RX",	   ">TX",  "RULES"};
enum { PEER_COLUMNS = sizeof(peer_heads) / sizeof(peer_heads[0]) };

static void fill_peer(struct term *t, const json_t *peer, const char **cells)
{
	size_t c = 0;

	cells[c++] = term_field(t, peer, "name");
	cells[c++] = term_field(t, peer, "addresses");
	cells[c++] = paint_path(t, term_field(t, peer, "path"));
	cells[c++] = term_field(t, peer, "endpoint");
	cells[c++] = term_when(t, json_string_value(json_object_get(peer, "last_handshake")));
	cells[c++] = bytes(t, peer, "rx_bytes");
	cells[c++] = bytes(t, peer, "tx_bytes");
	cells[c++] = term_field(t, peer, "rules");
}

static const char *const grant_heads[] = {"DIRECTION", "PEER", "SERVICE", "RULE", "EXPIRES"};
enum { GRANT_COLUMNS = sizeof(grant_heads) / sizeof(grant_heads[0]) };

static const char *service(struct term *t, const json_t *grant)
{
	const char *proto = term_field(t, grant, "proto"), *ports = term_field(t, grant, "ports");
	const char *text;

	if (txt_equal(ports, "-") || txt_equal(proto, "any") || txt_equal(proto, "icmp"))
		return proto;
	text = arena_printf(&t->arena, "%s/%s", proto, ports);
	return text ? text : "?";
}

static void fill_grant(struct term *t, const json_t *grant, const char **cells)
{
	const char *expires = json_string_value(json_object_get(grant, "expires"));
	const char *problem = json_string_value(json_object_get(grant, "problem"));
	size_t c = 0;

	cells[c++] = term_field(t, grant, "direction");
	cells[c++] = term_field(t, grant, "peer");
	cells[c++] = service(t, grant);
	cells[c++] = term_field(t, grant, "rule");
	if (problem && problem[0])
		cells[c++] = term_paint(t, TERM_RED, term_safe(t, problem));
	else
		cells[c++] = expires && expires[0] ? term_when(t, expires) : "with the lease";
}

static void print_table(struct term *t, const char *title, const json_t *rows,
			const char *const *heads, size_t columns,
			void (*fill)(struct term *, const json_t *, const char **))
{
	size_t n = json_array_size(rows);
	const char **cells = arena_array(&t->arena, n * columns, sizeof(*cells));

	buf_printf(&t->out, "\n%s (%zu)\n", term_paint(t, TERM_BOLD, title), n);
	if (!cells) {
		t->out.err = -ZT_ELIMIT;
		return;
	}
	for (size_t i = 0; i < n; i++)
		fill(t, json_array_get(rows, i), cells + i * columns);
	table_print(heads, columns, cells, n, &t->out);
}

void status_print(const json_t *status, struct term *t)
{
	print_device(t, status);
	print_controller(t, json_object_get(status, "controller"));
	print_lease(t, status);
	print_profiles(t, json_object_get(status, "posture"));
	print_problem(t, status);
	print_table(t, "peers", json_object_get(status, "peers"), peer_heads, PEER_COLUMNS,
		    fill_peer);
	print_table(t, "grants", json_object_get(status, "grants"), grant_heads, GRANT_COLUMNS,
		    fill_grant);
}

int cmd_status(const struct node_config *c, int argc, char **argv)
{
	return show_answer(c, argc, argv, "status", status_print);
}
