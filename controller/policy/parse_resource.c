/* Keys of resources. */
#include "controller/policy/parse_section.h"

#include <errno.h>
#include <string.h>

/* --- readers of list items --- */

static bool item_host(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_selector(c, s, ALLOW_TAG | ALLOW_DEVICE, help, ret);
}

static bool item_service(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_service(c, s, help, ret);
}

/* A network that may lie behind a gateway: not this machine itself, and nothing that a cloud
 * answers its own machines with. */
static bool item_address(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct endpoint first = {.port = 1};
	struct prefix *p = ret;

	if (!value_prefix(c, s, help, p))
		return false;
	first.addr = p->addr;
	if (p->bits == 0 || endpoint_is_usable(&first))
		return true;
	diag_hint(problem_with(c, s, "is never routed"),
		  "loopback, link-local, multicast and cloud metadata addresses are not behind a "
		  "gateway");
	return false;
}

/* --- readers of keys --- */

enum { PORTS_MAX = 8192, NETWORKS_MAX = 256 };

static void set_on(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct selectors *l = &((struct parse_resource *)object)->r.on;

	l->in = value_list(c, v, help, sizeof(*l->in), item_host, &l->n_in);
}

static void set_via(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct selectors *l = &((struct parse_resource *)object)->r.via;

	l->in = value_list(c, v, help, sizeof(*l->in), item_host, &l->n_in);
}

static void set_address(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = &((struct parse_resource *)object)->r;

	r->address = value_list(c, v, help, sizeof(*r->address), item_address, &r->n_address);
	r->n_address = value_count(c, v, r->n_address, NETWORKS_MAX, "networks",
				   "write wider networks, or make two resources");
}

static void set_ports(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = &((struct parse_resource *)object)->r;

	r->ports = value_list(c, v, help, sizeof(*r->ports), item_service, &r->n_ports);
	r->n_ports =
		value_count(c, v, r->n_ports, PORTS_MAX, "ports", "write ranges: tcp/8000-8100");
}

static void set_data(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = &((struct parse_resource *)object)->r;
	struct span s;

	if (value_line(c, v, help, &s))
		value_name(c, &s, &r->data);
}

static void set_resource_owner(struct parse *c, void *object, const struct lex *v, const char *help)
{
	((struct parse_resource *)object)->r.owner = value_owner(c, v, help);
}

static void set_resource_lease(struct parse *c, void *object, const struct lex *v, const char *help)
{
	struct policy_resource *r = &((struct parse_resource *)object)->r;
	struct span s;

	if (value_line(c, v, help, &s))
		value_duration(c, &s, ZT_LEASE_MIN_S, ZT_LEASE_MAX_S, &r->lease_s);
}

/* except of a resource: devices, addresses or ports, each taken from the list of its kind. */
struct resource_except {
	enum { EXCEPT_HOST, EXCEPT_ADDRESS, EXCEPT_PORT } kind;
	struct selector host;
	struct prefix address;
	struct service port;
};

/* Addresses have a colon, or begin with a digit; so do ports that are turned round ("22/tcp"). */
static bool is_address(const struct span *s)
{
	static const char *const protocols[] = {"tcp", "udp", "icmp", "TCP", "UDP"};
	size_t digits = 0;

	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (memmem(s->p, s->n, protocols[i], strlen(protocols[i])))
			return false;
	while (digits < s->n &&
	       ((s->p[digits] >= '0' && s->p[digits] <= '9') || s->p[digits] == '-'))
		digits++;
	return memchr(s->p, ':', s->n) || (digits > 0 && digits < s->n);
}

static bool item_resource_except(struct parse *c, const struct span *s, const char *help, void *ret)
{
	struct resource_except *e = ret;

	if (span_starts(s, "tag:") || span_starts(s, "device:")) {
		e->kind = EXCEPT_HOST;
		return item_host(c, s, help, &e->host);
	}
	if (is_address(s)) {
		e->kind = EXCEPT_ADDRESS;
		return value_prefix(c, s, help, &e->address);
	}
	e->kind = EXCEPT_PORT;
	return value_service(c, s, help, &e->port);
}

static void set_resource_except(struct parse *c, void *object, const struct lex *v,
				const char *help)
{
	struct parse_resource *r = object;
	struct resource_except *list;
	struct selector *hosts;
	struct prefix *addresses;
	struct service *ports;
	size_t n;

	list = value_list(c, v, help, sizeof(*list), item_resource_except, &n);
	hosts = arena_array(c->arena, n, sizeof(*hosts));
	addresses = arena_array(c->arena, n, sizeof(*addresses));
	ports = arena_array(c->arena, n, sizeof(*ports));
	if (!list || !hosts || !addresses || !ports)
		return parse_fail(c, -ENOMEM);
	r->host_except = hosts;
	r->address_except = addresses;
	r->ports_except = ports;
	for (size_t i = 0; i < n; i++)
		switch (list[i].kind) {
		case EXCEPT_HOST:
			hosts[r->n_host_except++] = list[i].host;
			break;
		case EXCEPT_ADDRESS:
			addresses[r->n_address_except++] = list[i].address;
			break;
		case EXCEPT_PORT:
			ports[r->n_ports_except++] = list[i].port;
			break;
		}
	r->n_ports_except = value_count(c, v, r->n_ports_except, PORTS_MAX, "ports",
					"write ranges: tcp/8000-8100");
	r->n_address_except = value_count(c, v, r->n_address_except, NETWORKS_MAX, "networks",
					  "write wider networks");
}

/* --- table --- */

static const struct key resource_keys[] = {
	{"on", set_on, false, "a list of tag:NAME and device:NAME: the devices that offer it"},
	{"via", set_via, false, "a list of tag:NAME and device:NAME: the gateways to its address"},
	{"address", set_address, false,
	 "a list of networks behind the gateways: 10.20.0.0/16, 2001:db8::/48"},
	{"ports", set_ports, true, "a list of tcp/5432, tcp/8000-8100, udp/53, icmp or any"},
	{"except", set_resource_except, false,
	 "a list of tag:NAME, device:NAME, networks and ports: what does not belong to it after "
	 "all"},
	{"data", set_data, false, "a name for the class of data: confidential"},
	{"owner", set_resource_owner, false, "user:EMAIL or group:NAME"},
	{"lease", set_resource_lease, false,
	 "how long an access may go on without word from the controller: 5m"},
};

const struct section section_resource = {"resource",
					 THING_RESOURCE,
					 "[resource NAME]",
					 POLICY_SECTIONS_MAX,
					 OBJECT_IN(parse_resource, r.),
					 KEYS(resource_keys)};
