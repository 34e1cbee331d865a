/* firewall.enabled, as far as it can be seen without rights: ufw's own setting, and firewalld being
 * active. The privileged role, which may list nftables, gives its view through posture_set; either
 * one suffices. */
#include <errno.h>
#include <string.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "zt/txt.h"

static const char *const firewalld_units[] = {
	"usr/lib/systemd/system/firewalld.service",
	"lib/systemd/system/firewalld.service",
};

static int take_ufw(void *arg, char *line)
{
	int *enabled = arg;

	if (line && txt_starts(line, "ENABLED="))
		*enabled = txt_equal(line, "ENABLED=yes") || txt_equal(line, "ENABLED=\"yes\"");
	return 0;
}

/* 1, 0, -ENOENT when there is no ufw, else -errno. */
static int ufw_enabled(const struct source *s)
{
	int enabled = -ZT_EFORM;
	int r = source_each_line(s, "etc/ufw/ufw.conf", SOURCE_FILE_MAX, take_ufw, &enabled);

	return r < 0 ? r : enabled;
}

/* 1, 0, -ENOENT when there is no firewalld, else -errno. */
static int firewalld_enabled(const struct source *s)
{
	for (size_t i = 0; i < sizeof(firewalld_units) / sizeof(*firewalld_units); i++)
		if (source_exists(s, firewalld_units[i]) == 1)
			return service_is_active(s, "firewalld");
	return -ENOENT;
}

void collect_firewall_enabled(struct source *s, const char *argument, struct fact *ret)
{
	int ufw = ufw_enabled(s);
	int firewalld = firewalld_enabled(s);

	(void)argument;
	if (ufw == 1 || firewalld == 1)
		fact_set_bool(ret, true);
	else if (ufw == -ENOENT && firewalld == -ENOENT)
		fact_set_unknown(ret, "no firewall that can be seen without rights");
	else if (ufw < 0 && ufw != -ENOENT)
		fact_set_error(ret, "ufw", ufw);
	else
		fact_set_answer(ret, "firewalld", firewalld == -ENOENT ? 0 : firewalld);
}
