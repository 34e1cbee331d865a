/* The device that node targets and their seeds play: two peers, of which one has preshared keys
 * from before. */
#pragma once

#include "zt/envelope.h"
#include "ztnode/core/accept.h"

static const struct secret base_network = {{1, 2, 3}};
static const struct secret base_identity = {{4, 5, 6}};
static const struct secret base_wg = {{8, 8, 8, [31] = 0x40}};
static const struct now base_now = {.wall_ms = 1800000000000, .boot_ms = 5000000};
static const char base_boot[] = "11111111-1111-4111-8111-111111111111";

static const struct netmap_peer base_peers[] = {
	{.id = 2, .wg_key = {{2}}, .addr4 = {ADDR_V4, {100, 64, 0, 2}}, .name = "db-1"},
	{.id = 3, .wg_key = {{3}}, .addr4 = {ADDR_V4, {100, 64, 0, 3}}, .name = "db-2"},
};
static const struct netmap_endpoint base_endpoints[] = {
	{.peer = 2, .ep = {.addr = {ADDR_V4, {192, 0, 2, 2}}, .port = 51820}},
};
static const struct netmap_grant base_grants[] = {
	{.peer = 2, .svc = {SERVICE_TCP, 5432, 5432}, .rule = 1},
	{.peer = 3, .dir = NETMAP_IN, .svc = {SERVICE_TCP, 8000, 9000}, .rule = 1},
};
static const struct netmap_rule base_rules[] = {{.id = 1, .name = "finance-to-payroll"}};
static const struct netmap_psk base_psks[] = {{2, {{0xb2}}}, {3, {{0xb3}}}};

static inline struct trust base_trust(void)
{
	struct trust t = {.device = 1, .identity = base_identity};

	key_of_identity(&base_network, &t.network);
	key_of_wireguard(&base_wg, &t.wg_pub);
	return t;
}

/* Serial 10, an hour of lease. Everything is borrowed: never mapstate_done. */
static inline struct mapstate base_state(void)
{
	struct mapstate s = {.serial = 10,
			     .leaf = {{7}},
			     .issued_ms = (uint64_t)base_now.wall_ms,
			     .lease_s = 3600,
			     .lease_end_ms = base_now.boot_ms + 3600000,
			     .map = {.policy = 1,
				     .self = {.id = 1,
					      .addr4 = {ADDR_V4, {100, 64, 0, 1}},
					      .net4 = {{ADDR_V4, {100, 64}}, 10},
					      .mtu = 1420,
					      .name = "laptop"},
				     .peers = base_peers,
				     .endpoints = base_endpoints,
				     .grants = base_grants,
				     .rules = base_rules,
				     .n_peers = 2,
				     .n_endpoints = 1,
				     .n_grants = 2,
				     .n_rules = 1},
			     .psks = base_psks,
			     .n_psks = 2};

	key_of_wireguard(&base_wg, &s.map.self.wg_key);
	return s;
}
