/* Writes the seeds of mapfile_fuzz and role_fuzz into tests/fuzz/corpus (run it when a format
 * changes, from the project's folder):
 *
 *   make build/lib/n_core.a build/lib/proto.a build/lib/base.a
 *   cc -std=gnu17 -D_GNU_SOURCE -Iinclude -I. -o /tmp/seeds tests/fuzz/seeds/node.c
 *      build/lib/n_core.a build/lib/proto.a build/lib/base.a -lsodium && /tmp/seeds */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/node_base.h"
#include "ztnode/roles.h"

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "seeds: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* first < 0: none. Empties b. */
static void write_seed(const char *target, const char *name, int first, struct buf *b)
{
	char path[200];
	FILE *f;

	need(!b->err, name);
	snprintf(path, sizeof(path), "tests/fuzz/corpus/%s", target);
	need(mkdir(path, 0755) == 0 || errno == EEXIST, path);
	snprintf(path, sizeof(path), "tests/fuzz/corpus/%s/%s", target, name);
	f = fopen(path, "wbe");
	need(f != NULL, path);
	if (first >= 0)
		need(fputc(first, f) == first, path);
	need(fwrite(b->data, 1, b->len, f) == b->len && fclose(f) == 0, path);
	buf_reset(b);
}

static void write_content(const char *name, const struct netmap *old, const struct netmap *new,
			  uint8_t kind, struct buf *b)
{
	struct netmap_msg m;
	struct arena a;

	arena_init(&a, 1 << 20);
	need(netmap_diff(old, new, &a, &m) == 0, name);
	m.head = (struct netmap_head){kind, 3600, (uint64_t)base_now.wall_ms, 11, 1, 1};
	need(netmap_encode(&m, b) == 0, name);
	write_seed("role", name, 4, b);
	arena_done(&a);
}

static void write_contents(const struct mapstate *s, struct buf *b)
{
	static const struct netmap_grant ranges[] = {
		{.peer = 2, .svc = {SERVICE_ANY, 0, 0}, .rule = 1},
		{.peer = 2, .svc = {SERVICE_TCP, 1, 1024}, .rule = 1, .expires_s = 1800000060},
		{.peer = 2, .dir = NETMAP_IN, .svc = {SERVICE_UDP, 500, 4500}, .rule = 1},
		{.peer = 2, .dir = NETMAP_IN, .svc = {SERVICE_UDP, 4000, 5000}, .rule = 1},
		{.peer = 3, .svc = {SERVICE_ICMP, 0, 0}, .rule = 1},
	};
	static const struct netmap_grant leased[] = {
		{.peer = 2, .svc = {SERVICE_TCP, 1, 1024}, .rule = 1, .lease_s = 300},
		{.peer = 3, .svc = {SERVICE_TCP, 22, 22}, .rule = 1, .lease_s = 86400},
	};
	static const struct netmap empty;
	struct netmap fewer = s->map, more = s->map, leases = s->map;

	fewer.n_peers = 1;
	fewer.n_grants = 1;
	more.grants = ranges;
	more.n_grants = sizeof(ranges) / sizeof(ranges[0]);
	write_content("renewal", &s->map, &s->map, NETMAP_DELTA, b);
	write_content("revocation", &s->map, &fewer, NETMAP_DELTA, b);
	leases.grants = leased;
	leases.n_grants = sizeof(leased) / sizeof(leased[0]);
	write_content("leases", &s->map, &leases, NETMAP_DELTA, b);
	write_content("ranges", &s->map, &more, NETMAP_DELTA, b);
	write_content("full", &empty, &s->map, NETMAP_FULL, b);
}

static void write_roles(struct buf *b)
{
	static const struct role_peer peers[] = {
		{2, {{ADDR_V4, {192, 0, 2, 1}}, 51820}, 1800000000, 5, 6}, {.id = 3}};
	static const struct role_status status = {.enforced = true,
						  .serial = 10,
						  .interface = "zt0",
						  .peers = peers,
						  .n_peers = 2,
						  .map = (const uint8_t *)"map",
						  .n_map = 3};
	static const struct hello hello = {
		.device = 1, .url = "https://ctl", .enforced = true, .name = "laptop"};
	static const struct enrolled who = {
		.device = 1, .network_key = {{1}}, .url = "https://ctl", .name = "laptop"};

	need(hello_encode(&hello, b) == 0, "hello");
	write_seed("role", "hello", 0, b);
	need(enrolled_encode(&who, b) == 0, "enrolled");
	write_seed("role", "enrolled", 1, b);
	need(role_status_encode(&status, b) == 0, "status");
	write_seed("role", "status", 2, b);
}

int main(void)
{
	struct mapstate s = base_state();
	struct buf b;

	need(sodium_init() >= 0, "sodium");
	buf_init_grow(&b, ZT_NETMAP_MAX);
	need(mapfile_encode(&s, base_now, base_boot, &b) == 0, "mapfile");
	write_seed("mapfile", "two-peers", -1, &b);
	s.map.n_peers = s.map.n_grants = s.map.n_endpoints = s.map.n_rules = s.n_psks = 0;
	need(mapfile_encode(&s, base_now, "22222222-2222-4222-8222-222222222222", &b) == 0,
	     "mapfile");
	write_seed("mapfile", "alone-before-a-reboot", -1, &b);
	s = base_state();
	write_contents(&s, &b);
	write_roles(&b);
	buf_free(&b);
	return 0;
}
