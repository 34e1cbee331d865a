/* Every fact, read from the file trees of five machines. */
#include "posture_tree.h"

#include "zt/report.h"
#include "zt/txt.h"

#define FIXTURES "tests/unit/fixtures/posture/"

struct row {
	const char *machine;
	const char *fact;
	const char *value; /* "?..." unknown, and why */
	const char *says;
};

/* clang-format off */
static const struct row rows[] = {
	{"debian", "os.family", "linux", "the family is always linux"},
	{"debian", "os.id", "debian", "through the link from etc to usr/lib"},
	{"debian", "os.version", "12", "quoted with double quotes"},
	{"ubuntu", "os.id", "ubuntu", "quoted with single quotes; etc comes before usr/lib"},
	{"ubuntu", "os.version", "24.04", "a version of two parts"},
	{"fedora", "os.id", "fedora", "only usr/lib has it"},
	{"fedora", "os.version", "41", "not quoted"},
	{"arch", "os.id", "arch", "a rolling release has an ID"},
	{"arch", "os.version", "?rolling release: no VERSION_ID", "and no version"},
	{"bare", "os.id", "?no os-release", "no file, no ID: never the default of os-release(5)"},
	{"bare", "os.version", "?no os-release", "no file, no version"},

	{"debian", "kernel.version", "6.1.0", "the distribution's suffix is cut off"},
	{"fedora", "kernel.version", "6.11.4", "of Fedora's suffix too"},
	{"bare", "kernel.version", "?no kernel release", "without proc"},
	{"debian", "kernel.lockdown", "integrity", "the mode in brackets"},
	{"ubuntu", "kernel.lockdown", "none", "the first mode"},
	{"fedora", "kernel.lockdown", "confidentiality", "the last mode"},
	{"arch", "kernel.lockdown", "?no lockdown file", "a kernel without lockdown says nothing"},

	{"debian", "disk.encrypted", "true", "LVM on LUKS on a partition"},
	{"ubuntu", "disk.encrypted", "false", "a plain partition"},
	{"fedora", "disk.encrypted", "true", "btrfs on LUKS, found by its name and the list of its devices"},
	{"arch", "disk.encrypted", "true", "LUKS on LVM"},
	{"bare", "disk.encrypted", "?no mount table", "without proc"},

	{"debian", "secureboot.enabled", "true", "the variable's last byte is 1"},
	{"ubuntu", "secureboot.enabled", "false", "the variable's last byte is 0"},
	{"fedora", "secureboot.enabled", "false", "on in the firmware, off in shim"},
	{"arch", "secureboot.enabled", "false", "no UEFI, no secure boot"},
	{"bare", "secureboot.enabled", "?no firmware directory", "without sysfs nothing is known"},
	{"debian", "tpm.present", "true", "a TPM 2"},
	{"fedora", "tpm.present", "false", "a TPM 1.2 is none"},
	{"ubuntu", "tpm.present", "?no TPM directory", "a kernel that knows of no TPM"},

	{"debian", "os.reboot_needed", "false", "a machine that leaves marks has left none"},
	{"ubuntu", "os.reboot_needed", "true", "the mark is there"},
	{"fedora", "os.reboot_needed", "true", "a newer kernel is installed: .10 comes after .4"},
	{"arch", "os.reboot_needed", "false", "the running kernel is still installed; another one beside it is allowed"},
	{"bare", "os.reboot_needed", "?no kernel release", "without proc"},

	{"debian", "firewall.enabled", "?no firewall that can be seen without rights", "neither ufw nor firewalld"},
	{"ubuntu", "firewall.enabled", "true", "ufw is on"},
	{"fedora", "firewall.enabled", "true", "firewalld is active"},
	{"arch", "firewall.enabled", "false", "firewalld is installed and not active"},

	{"debian", "process.running:clamd", "true", "by the kernel's name"},
	{"debian", "process.running:sshd", "true", "by the executable, though it has renamed itself"},
	{"debian", "process.running:very-long-program-name", "true", "longer than the kernel's name: by the first argument"},
	{"debian", "process.running:very-long-program-nam", "false", "no part of a name is the name"},
	{"debian", "process.running:kthreadd", "true", "a kernel thread has no arguments"},
	{"debian", "process.running:oldscan", "false", "a zombie does not run"},
	{"debian", "process.running:nginx", "false", "nobody is called that"},
	{"debian", "process.running:/usr/sbin/sshd", "?not the name of a process", "a path is no name"},
	{"ubuntu", "process.running:bash", "true", "a process that is seen runs, even where others are hidden"},
	{"ubuntu", "process.running:clamd", "?processes of others are hidden", "one that is not seen there may run"},
	{"bare", "process.running:clamd", "?no process list", "without proc"},

	{"debian", "file.exists:/etc/motd", "true", "a file"},
	{"debian", "file.exists:/etc/os-release", "true", "a link to a file"},
	{"debian", "file.exists:/etc", "true", "a directory is there too"},
	{"debian", "file.exists:/etc/nothing", "false", "no file"},
	{"debian", "file.exists:/etc/motd/x", "false", "a file is no directory"},
	{"debian", "file.exists:etc/motd", "?not an absolute path", "relative to nothing"},
	{"debian", "file.sha256:/etc/motd", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
	 "as sha256sum prints it"},
	{"debian", "file.sha256:/run/.keep", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	 "of an empty file"},
	{"debian", "file.sha256:/etc", "?not a regular file", "a directory has none"},
	{"debian", "file.sha256:/etc/nothing", "?no file", "no file has none"},
	{"debian", "file.sha256:motd", "?not an absolute path", "relative to nothing"},

	{"debian", "service.active:ssh", "true", "with a process in its control group"},
	{"debian", "service.active:apparmor", "true", "one that counts as active after its process has ended"},
	{"debian", "service.active:crashing", "false", "waiting to be started again"},
	{"debian", "service.active:lingering", "false", "stopped, but a process was left behind"},
	{"debian", "service.active:getty@tty1", "true", "an instance, in its template's slice"},
	{"debian", "service.active:own-slice", "true", "in a slice of its own below another"},
	{"debian", "service.active:users-own", "false", "a user's unit of that name is not the system's"},
	{"debian", "service.active:user@1000", "true", "the system's unit that holds them is"},
	{"debian", "service.active:nginx", "false", "no such unit"},
	{"debian", "service.active:ssh.service", "?write the name without .service", "the suffix is not part of it"},
	{"debian", "service.active:../ssh", "?not the name of a service", "no way out of the directory"},
	{"ubuntu", "service.active:ssh", "?no systemd that can be seen", "without systemd's files"},

	{"debian", "package.version:adduser", "3.134", "the first package"},
	{"debian", "package.version:openssh-server", "9.2p1-2+deb12u3", "without the epoch"},
	{"debian", "package.version:zstd", "1.5.4+dfsg2-5", "the last one, without an empty line after it"},
	{"debian", "package.version:apache2", "?not installed", "removed, its settings left"},
	{"debian", "package.version:half-there", "?not installed", "half installed is not installed"},
	{"debian", "package.version:not-a-package", "?not installed", "a description is no field"},
	{"fedora", "package.version:bash", "?no package list that can be read", "rpm's database is not read"},

	{"debian", "hostname", "ada-laptop", "of the kernel"},
	{"bare", "hostname", "?no host name", "without proc"},
	{"debian", "machine.serial", "PF3ABCDE", "where the firmware tells"},
	{"ubuntu", "machine.serial", "?no serial number", "where it does not"},
	{"debian", "uptime", "183012", "whole seconds"},
	{"bare", "uptime", "?no uptime file", "without proc"},
	{"debian", "time.offset", "?not this machine's clock", "a fixture has no clock"},
	{"debian", "node.version", ZT_VERSION, "of this program"},
	{"debian", "screenlock.enabled", "?not supported on this machine", "nobody can say"},
	{"bare", "os.update_age", "?no package manager", "nothing to go by"},
	{"debian", "custom.edr", "?no script gives it", "scripts are another module's"},
	{"debian", "net.source", "?no such fact", "only the controller sees it"},
	{"debian", "os.colour", "?no such fact", "an unknown name"},
	{"debian", "process.running", "?no such fact", "a name that needs an argument"},
	{"debian", "process.running:", "?no such fact", "an empty argument"},
	{"debian", "hostname:x", "?no such fact", "a name that takes none"},
	{"debian", "custom.", "?no such fact", "a script's fact without a name"},
};
/* clang-format on */

static void machines_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char root[128];

		(void)snprintf(root, sizeof(root), FIXTURES "%s", rows[i].machine);
		tree_expect(root, rows[i].fact, rows[i].value, rows[i].says);
	}
}

/* What a policy may ask and what is collected are the same, except for what only the controller
 * sees. */
static void table_is_that_of_the_contract(void **state)
{
	const struct fact_kind *k;
	const struct collector *c;

	(void)state;
	for (size_t i = 0; (k = fact_kind_at(i)); i++) {
		bool found = false;

		for (size_t j = 0; (c = collector_at(j)); j++)
			found |= txt_equal(c->name, k->name);
		if (found == txt_starts(k->name, "net."))
			fail_msg("%s: in the contract, and %s", k->name,
				 found ? "read" : "not read");
	}
	for (size_t j = 0; (c = collector_at(j)); j++) {
		bool found = false;

		for (size_t i = 0; (k = fact_kind_at(i)); i++)
			found |= txt_equal(c->name, k->name) &&
				 k->takes_argument ==
					 (c->takes_argument || c->kind == COLLECT_CUSTOM);
		if (!found)
			fail_msg("%s: read, and not so in the contract", c->name);
	}
}

/* Facts of the machine that this runs on differ; that they can be read without an error does not.
 */
static void life_is_read_without_openat2(void **state)
{
	struct fact f = tree_read("/", "os.family", 0);

	(void)state;
	assert_string_equal(f.value, "linux");
	f = tree_read("/", "file.exists:/", 0);
	assert_string_equal(f.value, "true");
	f = tree_read("/", "file.exists:/proc/self/nothing/of/this/name", 0);
	assert_string_equal(f.value, "false");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machines_are_read),
		cmocka_unit_test(table_is_that_of_the_contract),
		cmocka_unit_test(life_is_read_without_openat2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
