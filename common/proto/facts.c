/* The table of posture facts: what a policy may ask and a device can say, in words for both. */
#include "zt/report.h"

#include <string.h>

#include "zt/txt.h"

static const struct fact_kind kinds[] = {
	{"os.family", FACT_TYPE_TEXT, false, "family of the operating system: linux",
	 "Use a device with an operating system that the policy names."},
	{"os.id", FACT_TYPE_TEXT, false, "ID of /etc/os-release: debian, ubuntu, fedora ...",
	 "Use a device with a distribution that the policy names."},
	{"os.version", FACT_TYPE_VERSION, false, "VERSION_ID of /etc/os-release",
	 "Upgrade the operating system to the release that is asked for."},
	{"kernel.version", FACT_TYPE_VERSION, false, "release of the running kernel",
	 "Install the latest kernel and restart."},
	{"kernel.lockdown", FACT_TYPE_TEXT, false,
	 "lockdown of the kernel: none, integrity or confidentiality",
	 "Turn on Secure Boot, or start with lockdown=integrity on the kernel's command line."},
	{"os.update_age", FACT_TYPE_DURATION, false, "time since packages were last updated",
	 "Install the pending updates, for example with: apt update && apt upgrade."},
	{"os.reboot_needed", FACT_TYPE_BOOL, false, "updates wait for a restart",
	 "Restart the device to finish its updates."},
	{"disk.encrypted", FACT_TYPE_BOOL, false,
	 "the file systems that hold / and /home are encrypted",
	 "Encrypt the disk (LUKS) that holds / and restart."},
	{"firewall.enabled", FACT_TYPE_BOOL, false, "a packet filter drops what is not asked for",
	 "Turn on the firewall, for example with: ufw enable."},
	{"secureboot.enabled", FACT_TYPE_BOOL, false, "the firmware starts signed systems only",
	 "Turn on Secure Boot in the firmware's settings and restart."},
	{"tpm.present", FACT_TYPE_BOOL, false, "there is a TPM 2.0",
	 "Turn on the TPM in the firmware's settings, if the device has one."},
	{"screenlock.enabled", FACT_TYPE_BOOL, false, "the screen locks by itself",
	 "Turn on the automatic screen lock in the desktop's settings."},
	{"node.version", FACT_TYPE_VERSION, false, "version of ztnode",
	 "Install the latest ztnode on the device."},
	{"hostname", FACT_TYPE_TEXT, false, "the device's own name for itself",
	 "Set the device's host name with: hostnamectl set-hostname NAME."},
	{"machine.serial", FACT_TYPE_TEXT, false, "serial number that the firmware tells",
	 "Use a device that the organisation has issued."},
	{"uptime", FACT_TYPE_DURATION, false, "time since the device started",
	 "Restart the device if it has run too long."},
	{"time.offset", FACT_TYPE_NUMBER, false, "how far the clock is off, in milliseconds",
	 "Turn on time synchronisation with: timedatectl set-ntp true."},
	{"process.running", FACT_TYPE_BOOL, true,
	 "process.running:NAME - a process of this name runs",
	 "Start the program that is asked for."},
	{"file.exists", FACT_TYPE_BOOL, true, "file.exists:PATH - there is such a file",
	 "Install what puts this file in place."},
	{"file.sha256", FACT_TYPE_TEXT, true, "file.sha256:PATH - SHA-256 of the file in hex",
	 "Put back the version of this file that the policy names."},
	{"service.active", FACT_TYPE_BOOL, true, "service.active:NAME - the systemd unit is active",
	 "Start the service with: systemctl enable --now NAME."},
	{"package.version", FACT_TYPE_VERSION, true,
	 "package.version:NAME - version of the installed package",
	 "Install or upgrade the package with: apt install NAME."},
	{"custom", FACT_TYPE_TEXT, true,
	 "custom.NAME - what an executable in /etc/ztnode/posture.d prints as NAME=value",
	 "Ask an admin what this check of your organisation needs."},
	{"net.source", FACT_TYPE_TEXT, false,
	 "address from which the device reaches the controller (seen by the controller)",
	 "Connect from a network that the policy names."},
	{"net.country", FACT_TYPE_TEXT, false, "country of that address (seen by the controller)",
	 "Connect from a country that the policy names."},
};

static const struct fact_kind *find(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].name) == n && memcmp(kinds[i].name, name, n) == 0)
			return &kinds[i];
	return NULL;
}

/* Arguments that are paths are absolute: the posture reader opens them below the root. */
static bool is_argument(const struct fact_kind *kind, const char *arg)
{
	if (txt_starts(kind->name, "file.") && arg[0] != '/')
		return false;
	return txt_is_line(arg, ZT_FACT_NAME_MAX);
}

const struct fact_kind *fact_kind_find(const char *name)
{
	const char *colon = strchr(name, ':');
	const struct fact_kind *kind;

	if (strnlen(name, ZT_FACT_NAME_MAX + 1) > ZT_FACT_NAME_MAX)
		return NULL;
	if (txt_starts(name, "custom."))
		return txt_is_name(name + strlen("custom.")) ? find("custom", 6) : NULL;
	kind = find(name, colon ? (size_t)(colon - name) : strlen(name));
	if (!kind || kind->takes_argument != (colon != NULL) || txt_equal(kind->name, "custom"))
		return NULL;
	return !colon || is_argument(kind, colon + 1) ? kind : NULL;
}

const struct fact_kind *fact_kind_at(size_t i)
{
	return i < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[i] : NULL;
}
