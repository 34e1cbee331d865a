/* dlopen(3) of Debian's GnuTLS build of libcurl (package libcurl3-gnutls). */
#include "ztnode/net/curl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

static const char library[] = "libcurl-gnutls.so.4";

#define ROW(name)                                                                                  \
	{                                                                                          \
		"curl_" #name, offsetof(struct curl_api, name)                                     \
	}
static const struct {
	const char *symbol;
	size_t offset;
} rows[] = {
	ROW(global_init),	  ROW(easy_init),	 ROW(easy_cleanup),
	ROW(easy_setopt),	  ROW(easy_getinfo),	 ROW(easy_strerror),
	ROW(multi_init),	  ROW(multi_cleanup),	 ROW(multi_setopt),
	ROW(multi_assign),	  ROW(multi_add_handle), ROW(multi_remove_handle),
	ROW(multi_socket_action), ROW(multi_info_read),	 ROW(slist_append),
	ROW(slist_free_all),
};
#undef ROW

static int load(struct curl_api *api, struct diag *d)
{
	void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; lib && i < sizeof(rows) / sizeof(rows[0]); i++) {
		void *p = dlsym(lib, rows[i].symbol);

		if (!p) {
			diag_set(d, -ENOENT, "%s has no %s", library, rows[i].symbol);
			return -ENOENT;
		}
		memcpy((char *)api + rows[i].offset, &p,
		       sizeof(p)); /* POSIX dlsym: object to function pointer */
	}
	if (lib)
		return 0;
	diag_set(d, -ENOENT, "%s cannot be loaded", library);
	diag_hint(d, "apt-get install libcurl3-gnutls");
	return -ENOENT;
}

const struct curl_api *curl_load(struct diag *d)
{
	static struct curl_api api; /* written once, before any thread */

	if (api.global_init)
		return &api;
	if (load(&api, d))
		return NULL;
	if (api.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		return &api;
	diag_set(d, -EIO, "libcurl cannot start");
	return NULL;
}
