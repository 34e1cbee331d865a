/* The Host of a request; see host.h (RFC 9110 section 7.2). */
#include "controller/http/host.h"

#include <string.h>
#include <strings.h>

#include "zt/num.h"

enum { HOST_MAX = 255 };

/* The host without its port; an address of IPv6 keeps its brackets. */
static bool cut_port(const char *host, char out[static HOST_MAX + 1])
{
	size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	uint64_t port;

	if (n == 0 || n > HOST_MAX || n > strlen(host))
		return false;
	if (host[n] && (host[n] != ':' || num_parse_u64(host + n + 1, 1, UINT16_MAX, &port)))
		return false;
	memcpy(out, host, n);
	out[n] = '\0';
	return true;
}

static bool is_address(char *host, const struct addr *local)
{
	size_t n = strlen(host);
	struct addr a;

	if (host[0] != '[')
		return addr_parse(host, &a) == 0 && addr_equal(&a, local);
	host[n - 1] = '\0'; /* cut_port has seen the bracket */
	return addr_parse(host + 1, &a) == 0 && addr_equal(&a, local);
}

bool http_host_is_ours(const char *host, const char *const *names, const struct addr *local)
{
	char name[HOST_MAX + 1];

	if (!host || !cut_port(host, name))
		return false;
	for (; names && *names; names++)
		if (strcasecmp(name, *names) == 0)
			return true;
	return is_address(name, local);
}
