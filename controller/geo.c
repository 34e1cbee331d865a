/* Countries by libmaxminddb. The file is the admin's own, and is mapped, not read: looking up is a
 * walk of at most 128 steps. */
#include "controller/geo.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <maxminddb.h>

struct geo {
	MMDB_s db;
};

int geo_open(const char *path, struct geo **ret, struct diag *d)
{
	struct geo *g = calloc(1, sizeof(*g));
	int status = g ? MMDB_open(path, MMDB_MODE_MMAP, &g->db) : MMDB_OUT_OF_MEMORY_ERROR;

	if (status == MMDB_SUCCESS) {
		*ret = g;
		return 0;
	}
	free(g);
	diag_set(d, -ZT_EFORM, "country database %s: %s", path, MMDB_strerror(status));
	diag_hint(d, "give a .mmdb file (GeoLite2-Country, DB-IP Country), or take out "
		     "country_database");
	return -ZT_EFORM;
}

void geo_close(struct geo *g)
{
	if (!g)
		return;
	MMDB_close(&g->db);
	free(g);
}

static int look_up(const struct geo *g, const struct addr *a, MMDB_lookup_result_s *ret)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	int err = MMDB_SUCCESS;

	if (a->family == ADDR_V4) {
		memcpy(&v4.sin_addr, a->b, 4);
		*ret = MMDB_lookup_sockaddr(&g->db, (struct sockaddr *)&v4, &err);
	} else {
		memcpy(&v6.sin6_addr, a->b, 16);
		*ret = MMDB_lookup_sockaddr(&g->db, (struct sockaddr *)&v6, &err);
	}
	return err == MMDB_SUCCESS && ret->found_entry ? 0 : -ENOENT;
}

static bool is_code(const MMDB_entry_data_s *e)
{
	return e->has_data && e->type == MMDB_DATA_TYPE_UTF8_STRING && e->data_size == 2 &&
	       e->utf8_string[0] >= 'A' && e->utf8_string[0] <= 'Z' && e->utf8_string[1] >= 'A' &&
	       e->utf8_string[1] <= 'Z';
}

void geo_country(const struct geo *g, const struct addr *a, char out[static 3])
{
	MMDB_lookup_result_s found;
	MMDB_entry_data_s e;

	memset(out, 0, 3);
	if (!g || a->family == ADDR_NONE || look_up(g, a, &found))
		return;
	/* Where it is. Where its network is registered is another thing, and no place to be. */
	if (MMDB_get_value(&found.entry, &e, "country", "iso_code", NULL) != MMDB_SUCCESS ||
	    !is_code(&e))
		return;
	memcpy(out, e.utf8_string, 2);
}
