/* The table of all facts: who reads each, and how a change of it is noticed. */
#include "ztnode/posture/collect.h"

#include <string.h>

#include "ztnode/posture/fact.h"
#include "zt/txt.h"

/* clang-format off */
static const struct collector collectors[] = {
	{"os.family", .read = collect_os_family},
	{"os.id", .read = collect_os_id,
	 .paths = {"etc/os-release", "usr/lib/os-release"}},
	{"os.version", .read = collect_os_version,
	 .paths = {"etc/os-release", "usr/lib/os-release"}},
	{"os.update_age", .read = collect_os_update_age, .kind = COLLECT_MOVING},
	{"os.reboot_needed", .read = collect_os_reboot_needed,
	 .paths = {"run/reboot-required", "var/run/reboot-required", "lib/modules"}},
	{"kernel.version", .read = collect_kernel_version},
	{"kernel.lockdown", .read = collect_kernel_lockdown},
	{"disk.encrypted", .read = collect_disk_encrypted},
	{"firewall.enabled", .read = collect_firewall_enabled, .poll_s = 30,
	 .paths = {"etc/ufw/ufw.conf", "run/systemd/units/invocation:firewalld.service"}},
	{"secureboot.enabled", .read = collect_secureboot_enabled},
	{"tpm.present", .read = collect_tpm_present},
	{"screenlock.enabled", .read = collect_screenlock_enabled},
	{"node.version", .read = collect_node_version},
	{"hostname", .read = collect_hostname},
	{"machine.serial", .read = collect_machine_serial},
	{"uptime", .read = collect_uptime, .kind = COLLECT_MOVING},
	{"time.offset", .read = collect_time_offset, .kind = COLLECT_MOVING},
	{"process.running", true, .read = collect_process_running, .poll_s = 5},
	{"file.exists", true, .read = collect_file_exists,
	 .paths = {"%"}},
	{"file.sha256", true, .read = collect_file_sha256, .kind = COLLECT_HASH,
	 .paths = {"%"}},
	{"service.active", true, .read = collect_service_active, .poll_s = 30,
	 .paths = {"run/systemd/units/invocation:%.service",
		   "sys/fs/cgroup/system.slice/%.service/cgroup.events"}},
	{"package.version", true, .read = collect_package_version, .gap_ms = 1000,
	 .paths = {"var/lib/dpkg/status"}},
	{"custom", .kind = COLLECT_CUSTOM},
};
/* clang-format on */

const struct collector *collector_at(size_t i)
{
	return i < sizeof(collectors) / sizeof(*collectors) ? &collectors[i] : NULL;
}

/* "custom.NAME" is the one whose own name ends at a dot. */
static bool is_of(const struct collector *c, const char *name)
{
	size_t n = strlen(c->name);

	if (strncmp(name, c->name, n) != 0)
		return false;
	if (c->kind == COLLECT_CUSTOM)
		return name[n] == '.' && txt_is_name(name + n + 1);
	return c->takes_argument ? name[n] == ':' && name[n + 1] : !name[n];
}

const struct collector *collector_find(const char *name)
{
	const struct collector *c;

	for (size_t i = 0; (c = collector_at(i)); i++)
		if (is_of(c, name))
			return c;
	return NULL;
}

const char *collect_argument(const struct collector *c, const char *name)
{
	bool has = c->takes_argument || c->kind == COLLECT_CUSTOM;

	return has ? name + strlen(c->name) + 1 : "";
}

void collect_read(struct source *s, struct fact *ret)
{
	const struct collector *c = collector_find(ret->name);

	if (!c)
		fact_set_unknown(ret, "no such fact");
	else if (c->kind == COLLECT_CUSTOM)
		fact_set_unknown(ret, "no script gives it");
	else
		c->read(s, collect_argument(c, ret->name), ret);
}
