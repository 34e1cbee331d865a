/* Writes the seeds of the wire formats into tests/fuzz/corpus (run it when a format changes, from
 * the project's folder):
 *
 *   make build/lib/proto.a build/lib/base.a
 *   cc -std=gnu17 -D_GNU_SOURCE -Iinclude -I. -o /tmp/seeds tests/fuzz/seeds/main.c
 *      build/lib/proto.a build/lib/base.a -lsodium && /tmp/seeds */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "zt/envelope.h"
#include "zt/frame.h"
#include "zt/netmap.h"
#include "zt/report.h"
#include "zt/token.h"

static void need(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "seeds: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void write_seed(const char *target, const char *name, const void *p, size_t n)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "tests/fuzz/corpus/%s", target);
	need(mkdir(path, 0755) == 0 || errno == EEXIST, path);
	snprintf(path, sizeof(path), "tests/fuzz/corpus/%s/%s", target, name);
	f = fopen(path, "wbe");
	need(f != NULL, path);
	need(fwrite(p, 1, n, f) == n && fclose(f) == 0, path);
}

/* --- netmap: the full map is the one that netmap_fuzz.c applies deltas to --- */

static const struct netmap_self self = {
	.id = 1,
	.wg_key = {{1}},
	.addr4 = {ADDR_V4, {100, 64, 0, 1}},
	.net4 = {{ADDR_V4, {100, 64}}, 10},
	.mtu = 1420,
	.name = "laptop",
};
static const struct netmap_self self6 = {
	.id = 1,
	.wg_key = {{1}},
	.addr4 = {ADDR_V4, {100, 64, 0, 1}},
	.addr6 = {ADDR_V6, {0xfd, 0x12, [15] = 1}},
	.net4 = {{ADDR_V4, {100, 64}}, 10},
	.net6 = {{ADDR_V6, {0xfd, 0x12}}, 48},
	.mtu = 1420,
	.name = "laptop",
};
static const struct netmap_peer peers[] = {
	{.id = 2, .wg_key = {{2}}, .addr4 = {ADDR_V4, {100, 64, 0, 2}}, .name = "db-1"},
	{.id = 3, .wg_key = {{3}}, .addr4 = {ADDR_V4, {100, 64, 0, 3}}, .name = "db-2"},
};
static const struct netmap_peer more_peers[] = {
	{.id = 2, .wg_key = {{9}}, .addr4 = {ADDR_V4, {100, 64, 0, 2}}, .name = "db-1"},
	{.id = 4,
	 .wg_key = {{4}},
	 .addr4 = {ADDR_V4, {100, 64, 0, 4}},
	 .addr6 = {ADDR_V6, {0xfd, 0x12, [15] = 4}},
	 .psk_epoch = 7,
	 .name = "web"},
};
static const struct netmap_endpoint endpoints[] = {
	{.peer = 2, .ep = {.addr = {ADDR_V4, {192, 0, 2, 2}}, .port = 51820}},
};
static const struct netmap_endpoint more_endpoints[] = {
	{.peer = 2, .rank = 1, .ep = {.addr = {ADDR_V6, {0x20, 1, 0xd, 0xb8}}, .port = 51820}},
};
static const struct netmap_grant grants[] = {
	{.peer = 2, .svc = {SERVICE_TCP, 5432, 5432}, .rule = 1},
	{.peer = 3, .svc = {SERVICE_TCP, 5432, 5432}, .rule = 1},
};
static const struct netmap_grant more_grants[] = {
	{.peer = 2,
	 .dir = NETMAP_IN,
	 .svc = {SERVICE_UDP, 53, 1000},
	 .rule = 2,
	 .expires_s = 1795435200},
	{.peer = 4, .svc = {SERVICE_ICMP, 0, 0}, .rule = 2},
};
static const struct netmap_grant leased_grants[] = {
	{.peer = 2, .svc = {SERVICE_ICMP, 0, 0}, .rule = 1, .lease_s = 86400},
	{.peer = 2, .svc = {SERVICE_TCP, 22, 22}, .rule = 1, .lease_s = 300},
};
static const struct netmap_rule rules[] = {{.id = 1, .name = "finance-to-payroll"}};
static const struct netmap_rule more_rules[] = {{.id = 2, .name = "dns"}};
static const struct netmap_condition conditions[] = {
	{.rule = 1, .kind = NETMAP_APP, .name = "/usr/bin/psql"}};
static const struct netmap_condition more_conditions[] = {
	{.rule = 1, .kind = NETMAP_APP, .name = "psql"},
	{.rule = 1, .kind = NETMAP_USER, .name = "postgres"}};
static const uint32_t gone[] = {3};
static const uint8_t box[60] = {0x5e};

static void write_netmap(const char *name, struct netmap_msg *m, enum netmap_kind kind)
{
	struct buf b;

	m->head = (struct netmap_head){
		.kind = (uint8_t)kind,
		.lease_s = 3600,
		.issued_ms = 1795435200000,
		.serial = 5,
		.policy = 2,
		.device = 1,
	};
	buf_init_grow(&b, ZT_NETMAP_MAX);
	need(netmap_encode(m, &b) == 0, name);
	write_seed("netmap", name, b.data, b.len);
	buf_free(&b);
}

static void netmap_seeds(void)
{
	struct netmap_msg full = {.has_self = true,
				  .self = self,
				  .peers_put = peers,
				  .n_peers_put = 2,
				  .endpoints_put = endpoints,
				  .n_endpoints_put = 1,
				  .grants_put = grants,
				  .n_grants_put = 2,
				  .rules_put = rules,
				  .n_rules_put = 1,
				  .conditions_put = conditions,
				  .n_conditions_put = 1};
	struct netmap_msg asked = {.conditions_del = conditions,
				   .n_conditions_del = 1,
				   .conditions_put = more_conditions,
				   .n_conditions_put = 2};
	struct netmap_msg alone = {.has_self = true, .self = self6};
	struct netmap_msg renewal = {0};
	struct netmap_msg put = {.has_self = true,
				 .self = self6,
				 .peers_put = more_peers,
				 .n_peers_put = 2,
				 .endpoints_put = more_endpoints,
				 .n_endpoints_put = 1,
				 .grants_put = more_grants,
				 .n_grants_put = 2,
				 .rules_put = more_rules,
				 .n_rules_put = 1,
				 .sealed = box,
				 .n_sealed = sizeof(box)};
	struct netmap_msg del = {.peers_del = gone,
				 .n_peers_del = 1,
				 .endpoints_del = endpoints,
				 .n_endpoints_del = 1};
	struct netmap_msg leases = {.grants_del = grants,
				    .n_grants_del = 1,
				    .grants_put = leased_grants,
				    .n_grants_put = 2};
	const struct netmap_psk psks[] = {{2, {{0xaa}}}, {3, {{0xbb}}}};
	uint8_t mem[sizeof(psks)];
	struct buf b;

	write_netmap("full", &full, NETMAP_FULL);
	write_netmap("alone", &alone, NETMAP_FULL);
	write_netmap("renewal", &renewal, NETMAP_DELTA);
	write_netmap("put", &put, NETMAP_DELTA);
	write_netmap("del", &del, NETMAP_DELTA);
	write_netmap("conditions", &asked, NETMAP_DELTA);
	write_netmap("leases", &leases, NETMAP_DELTA);
	buf_init(&b, mem, sizeof(mem));
	need(netmap_psk_encode(psks, 2, &b) == 0, "psks");
	write_seed("netmap", "psks", b.data, b.len);
}

/* --- envelope --- */

static void write_envelope(const char *name, uint32_t batch, uint32_t index)
{
	static const struct secret seed = {{1}};
	static const char content[] = "content";
	struct key nodes[40] = {0}, path[ZT_MERKLE_DEPTH_MAX], root;
	struct envelope e = {.index = index,
			     .batch = batch,
			     .path = path[0].b,
			     .content = (const uint8_t *)content,
			     .content_len = strlen(content)};
	struct buf b;

	envelope_leaf(&nodes[0], content, strlen(content), &nodes[index]);
	envelope_tree_build(nodes, batch, &root);
	e.depth = envelope_tree_path(nodes, batch, index, path);
	key_sign(&seed, ENVELOPE_DOMAIN, root.b, sizeof(root.b), &e.sig);
	buf_init_grow(&b, ZT_FRAME_MAX);
	need(envelope_encode(&e, &b) == 0, name);
	write_seed("envelope", name, b.data, b.len);
	buf_free(&b);
}

/* --- report --- */

static void write_report(const char *name, const struct report *r)
{
	struct buf b;

	buf_init_grow(&b, ZT_REPORT_MAX);
	need(report_encode(r, &b) == 0, name);
	write_seed("report", name, b.data, b.len);
	buf_free(&b);
}

static void report_seeds(void)
{
	static struct fact facts[] = {
		{.name = "disk.encrypted", .state = FACT_KNOWN, .value = "true", .age_s = 5},
		{.name = "os.version", .state = FACT_KNOWN, .value = "12.4", .age_s = 5},
		{.name = "process.running:clamd", .state = FACT_UNKNOWN, .value = "no permission"},
		{.name = "tpm.present", .state = FACT_UNKNOWN},
	};
	const struct report nothing = {.wg_port = 51820};
	const struct report full = {
		.full = true,
		.wg_port = 51820,
		.serial = 42,
		.endpoints = {{{ADDR_V4, {192, 0, 2, 7}}, 51820},
			      {{ADDR_V6, {0x20, 1, 0xd, 0xb8}}, 51821}},
		.n_endpoints = 2,
		.facts = facts,
		.n_facts = 4,
	};

	write_report("nothing", &nothing);
	write_report("full", &full);
}

/* --- token --- */

static void write_token(const char *name, const struct token *t)
{
	char text[ZT_TOKEN_TEXT_MAX + 1];

	need(token_encode(t, text, sizeof(text)) == 0, name);
	write_seed("token", name, text, strlen(text));
}

static void token_seeds(void)
{
	static const char url[] = "https://[2001:db8::1]:8443";
	const struct token enroll = {.kind = TOKEN_ENROLL,
				     .url = "https://zt.example.com",
				     .pin = {{1}},
				     .network = {{3}},
				     .id = 7,
				     .secret = {{2}}};
	const struct token admin = {.kind = TOKEN_ADMIN,
				    .url = "https://192.0.2.1:8443",
				    .pin = {{1}},
				    .id = 1,
				    .secret = {{2}}};
	uint8_t bytes[2 + sizeof(url) - 1 + 104] = {1, sizeof(url) - 1};

	write_token("enroll", &enroll);
	write_token("admin", &admin);
	memcpy(bytes + 2, url, sizeof(url) - 1);
	bytes[2 + sizeof(url) - 1 + 32] = 3; /* of the network key */
	write_seed("token", "bytes", bytes, sizeof(bytes));
	write_seed("token", "url", url, sizeof(url) - 1);
}

/* --- frame --- */

static void frame_seeds(void)
{
	struct buf b;

	buf_init_grow(&b, 1000);
	need(frame_encode(FRAME_KEEPALIVE, NULL, 0, &b) == 0, "keepalive");
	need(frame_encode(FRAME_NETMAP, "netmap", 6, &b) == 0, "netmap");
	need(frame_encode(FRAME_ADVICE, "{}", 2, &b) == 0, "advice");
	need(frame_encode(FRAME_BYE, "{\"code\":\"x\"}", 12, &b) == 0, "bye");
	write_seed("frame", "all", b.data, b.len);
	write_seed("frame", "cut", b.data, b.len - 1);
	buf_free(&b);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	need(mkdir("tests/fuzz/corpus", 0755) == 0 || errno == EEXIST, "tests/fuzz/corpus");
	netmap_seeds();
	write_envelope("only", 1, 0);
	write_envelope("last-of-five", 5, 4);
	write_envelope("middle-of-sixteen", 16, 9);
	report_seeds();
	token_seeds();
	frame_seeds();
	return 0;
}
