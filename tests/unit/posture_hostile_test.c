/* What the collectors read may be anything: junk, too long, a FIFO, a link to elsewhere. Then the
 * fact is unknown. */
#include "posture_tree.h"

#include <errno.h>
#include <sodium.h>
#include <sys/sysmacros.h>

#include "ztnode/posture/hash.h"
#include "zt/txt.h"

#define LONG64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG256 LONG64 LONG64 LONG64 LONG64

struct row {
	const char *path; /* of the one file of the machine */
	const char *text;
	size_t n; /* 0: its length as a string */
	const char *fact;
	const char *value; /* "?..." unknown, and why */
	const char *says;
};

#define OS "etc/os-release"
#define LOCKDOWN "sys/kernel/security/lockdown"
#define SECURE "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define DPKG "var/lib/dpkg/status"

static const struct row rows[] = {
	{OS, "ID=\"a\\\"b\\$c\\\\\"", 0, "os.id", "a\"b$c\\", "escapes in double quotes"},
	{OS, "ID='a\\b'", 0, "os.id", "a\\b", "no escapes in single quotes"},
	{OS, "ID=a\\ b", 0, "os.id", "a b", "an escape without quotes"},
	{OS, "ID=one\nID=two\n", 0, "os.id", "two", "the last one stands, as in a shell"},
	{OS, "XID=x\nIDX=y\n#ID=z\nID=w\n", 0, "os.id", "w", "keys that only look alike"},
	{OS, "ID=debian  \n", 0, "os.id", "debian", "blanks at the end"},
	{OS, "ID=\"debian\n", 0, "os.id", "?os-release is malformed", "a quote that never ends"},
	{OS, "ID=\"debian\"x\n", 0, "os.id", "?os-release is malformed",
	 "something after the quote"},
	{OS, "ID=a b\n", 0, "os.id", "?os-release is malformed", "two words"},
	{OS, "ID=$(reboot)\n", 0, "os.id", "?os-release is malformed", "a command"},
	{OS, "ID=\n", 0, "os.id", "?empty", "nothing"},
	{OS, "ID=debian\r\n", 0, "os.id", "?not printable text", "the other system's line ends"},
	{OS, "ID=\"\x1b[31m\"\n", 0, "os.id", "?not printable text", "an escape code"},
	{OS, "ID=\"\xff\xfe\"\n", 0, "os.id", "?not printable text", "no UTF-8"},
	{OS, "ID=de\0bian\nX=1\n", 15, "os.id", "?os-release has no ID", "a NUL in the line"},
	{OS,
	 "\x7f"
	 "ELF\x02\x01\x01\0\0\0\n\0\0",
	 13, "os.id", "?os-release has no ID", "a program"},
	{OS, "ID=" LONG256 "\n", 0, "os.id", LONG256, "as long as a value may be"},
	{OS, "ID=" LONG256 "x\n", 0, "os.id", "?os-release is malformed", "one byte longer"},
	{OS, "", 0, "os.id", "?os-release has no ID", "an empty file"},
	{OS, "ID=end", 0, "os.id", "end", "a last line without its end"},
	{"proc/sys/kernel/osrelease", "linux\n", 0, "kernel.version",
	 "?kernel release has no number", "a release without a number"},
	{"proc/sys/kernel/osrelease", "6.12.\n", 0, "kernel.version", "6.12", "a dot too many"},
	{"proc/sys/kernel/osrelease", ".6\n", 0, "kernel.version", "?kernel release has no number",
	 "a dot first"},
	{"proc/sys/kernel/osrelease", "6.1\n6.2\n", 0, "kernel.version",
	 "?kernel release: malformed", "two lines"},
	{"proc/sys/kernel/osrelease", LONG256 "x", 0, "kernel.version",
	 "?kernel release: over a limit", "longer than a release can be"},
	{"proc/sys/kernel/hostname", "a\0b\n", 4, "hostname", "?host name: malformed", "a NUL"},
	{"proc/sys/kernel/hostname", "\n", 0, "hostname", "?empty", "no name at all"},
	{"proc/uptime", "-5.0 1\n", 0, "uptime", "?uptime file is malformed", "a negative number"},
	{"proc/uptime", "99999999999999999999999 1\n", 0, "uptime", "?uptime file is malformed",
	 "a number that is too big"},
	{"proc/uptime", "", 0, "uptime", "?uptime file is malformed", "an empty file"},
	{LOCKDOWN, "none integrity", 0, "kernel.lockdown", "?lockdown file is malformed",
	 "no brackets"},
	{LOCKDOWN, "none ]integrity[", 0, "kernel.lockdown", "?lockdown file is malformed",
	 "brackets the wrong way round"},
	{LOCKDOWN, "[]", 0, "kernel.lockdown", "?empty", "nothing in the brackets"},
	{SECURE, "\6\0\0\0", 4, "secureboot.enabled", "?secure boot variable: malformed",
	 "no data"},
	{SECURE, "\6\0\0\0\1\1", 6, "secureboot.enabled", "?secure boot variable: malformed",
	 "data too long"},
	{SECURE, "\6\0\0\0\2", 5, "secureboot.enabled", "false", "neither 0 nor 1"},
	{"sys/class/tpm/tpm0/tpm_version_major", "\n", 0, "tpm.present", "false", "no version"},
	{"sys/class/tpm/tpm0/name", "\n", 0, "tpm.present", "?no version of the TPM",
	 "no such file"},
	{DPKG, "Package: a\nStatus: install ok installed\nVersion: " LONG256 "x\n", 0,
	 "package.version:a", "?too long", "a version without end is not cut"},
	{DPKG, "Package: a\nVersion: 1\n\nPackage: b\nStatus: install ok installed\nVersion: 2\n",
	 0, "package.version:a", "?not installed",
	 "fields of the next paragraph are not this one's"},
	{DPKG, "Package: a\nStatus: install ok installed\n\nVersion: 7\n", 0, "package.version:a",
	 "?not installed", "an empty line ends what is known of a package"},
	{DPKG, "Package: a\nStatus: install ok installed\nVersion:\n", 0, "package.version:a",
	 "?not installed", "no version is none"},
	{DPKG, "Status: install ok installed\nVersion: 3\nPackage: a\n", 0, "package.version:a",
	 "?not installed", "fields before the name are no package's"},
	{DPKG, "\0\0\0\n\xff\n", 6, "package.version:a", "?not installed", "junk"},
	{"etc/ufw/ufw.conf", "#ENABLED=yes\n", 0, "firewall.enabled", "?ufw: malformed",
	 "only a comment"},
	{"etc/ufw/ufw.conf", "ENABLED=yes\nENABLED=no\n", 0, "firewall.enabled", "false",
	 "the last one stands"},
	{"proc/1/comm", "\0\n", 2, "process.running:x", "false", "a name that is junk"},
	{"proc/1/cmdline", "/bin/x", 0, "process.running:y", "?processes of others are hidden",
	 "without proc/1/comm"},
	{"proc/nonsense/cmdline", "x", 0, "process.running:x", "?processes of others are hidden",
	 "a directory that is no process"},
};

static void junk_is_unknown(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *r = &rows[i];
		struct tree t;

		tree_init(&t);
		tree_bytes(&t, r->path, r->text, r->n ? r->n : strlen(r->text));
		tree_expect(t.root, r->fact, r->value, r->says);
		tree_done(&t);
	}
}

/* More than a file of settings may have; the line looked for is at its beginning. */
static void too_long_a_file_is_unknown(void **state)
{
	char *text = malloc(SOURCE_FILE_MAX + 8);
	struct tree t;

	(void)state;
	assert_non_null(text);
	memset(text, '\n', SOURCE_FILE_MAX + 8);
	memcpy(text, "ID=debian", 9);
	tree_init(&t);
	tree_bytes(&t, OS, text, SOURCE_FILE_MAX);
	tree_expect(t.root, "os.id", "debian", "as long as it may be");
	tree_bytes(&t, OS, text, SOURCE_FILE_MAX + 1);
	tree_expect(t.root, "os.id", "?os-release: over a limit", "one byte longer");
	tree_done(&t);
	free(text);
}

/* Lines around the size of the reader's buffer, where its seams are. */
static void long_lines_are_skipped_whole(void **state)
{
	char *text = malloc(2 * SOURCE_LINE_MAX + 64);
	struct tree t;

	(void)state;
	assert_non_null(text);
	for (size_t n = SOURCE_LINE_MAX - 3; n < SOURCE_LINE_MAX + 3; n++) {
		memset(text, 'x', n);
		memcpy(text + n, "\nID=after\n", 10);
		tree_init(&t);
		tree_bytes(&t, OS, text, n + 10);
		tree_expect(t.root, "os.id", "after", "the line after a long one");
		memcpy(text + n, "ID=inside\n", 10);
		tree_bytes(&t, OS, text, n + 10);
		tree_expect(t.root, "os.id", "?os-release has no ID",
			    "the end of a long line is no line");
		tree_done(&t);
	}
	free(text);
}

static void only_regular_files_are_opened(void **state)
{
	static const char *const facts[] = {"os.id", "file.sha256:/etc/os-release"};
	char full[1024];
	struct tree t;

	(void)state;
	tree_init(&t);
	tree_dir(&t, "etc");
	tree_path(&t, OS, full);
	assert_int_equal(mkfifo(full, 0644), 0);
	/* Nobody writes to it: an open that waits would hang here. */
	tree_expect(t.root, facts[0], "?os-release: invalid argument", "a FIFO");
	tree_expect(t.root, facts[1], "?not a regular file", "a FIFO");
	tree_expect(t.root, "file.exists:/etc/os-release", "true", "a FIFO is there all the same");
	tree_remove(&t, OS);
	if (mknod(full, S_IFCHR | 0666, makedev(1, 5)) ==
	    0) { /* /dev/zero; only root may make it */
		tree_expect(t.root, facts[1], "?not a regular file", "a device without end");
		tree_remove(&t, OS);
	}
	tree_dir(&t, OS);
	tree_expect(t.root, facts[0], "?os-release: invalid argument", "a directory");
	tree_done(&t);
}

static void links_stay_below_the_root(void **state)
{
	struct tree t, outside;
	char target[256];

	(void)state;
	tree_init(&t);
	tree_init(&outside);
	tree_file(&outside, "secret", "ID=outside\n");
	(void)snprintf(target, sizeof(target), "%s/secret", outside.root);
	tree_link(&t, "etc/os-release", target);
	tree_expect(t.root, "os.id", "?no os-release", "an absolute link begins at the root");
	tree_expect(t.root, "file.exists:/etc/os-release", "false",
		    "the same for a path from outside");
	tree_remove(&t, "etc/os-release");
	(void)snprintf(target, sizeof(target), "../../../../../..%s/secret", outside.root);
	tree_link(&t, "etc/os-release", target);
	tree_expect(t.root, "os.id", "?no os-release", "and there is nothing above it");
	(void)snprintf(target, sizeof(target), "file.exists:/../../../..%s/secret", outside.root);
	tree_expect(t.root, target, "false", "in a path neither");
	tree_remove(&t, "etc/os-release");
	tree_link(&t, "etc/os-release", "/etc/os-release");
	tree_expect(t.root, "file.exists:/etc/os-release", "?file: links without end",
		    "a link to itself is neither there nor not");
	tree_done(&outside);
	tree_done(&t);
}

/* Absent and forbidden are different things. Root may everything, so as somebody else. */
static void what_may_not_be_read_is_unknown(void **state)
{
	bool is_root = geteuid() == 0;
	struct tree t;

	(void)state;
	tree_init(&t);
	tree_file(&t, "closed/door/file", "x");
	tree_file(&t, "open/file", "x");
	tree_chmod(&t, "closed", 0);
	tree_chmod(&t, "open/file", 0);
	if (is_root)
		assert_int_equal(seteuid(65534), 0);
	tree_expect(t.root, "file.exists:/closed/door", "?file: permission denied",
		    "behind the door");
	tree_expect(t.root, "file.exists:/open/file", "true", "to be there needs no right to read");
	tree_expect(t.root, "file.sha256:/open/file", "?file: permission denied", "a hash does");
	if (is_root)
		assert_int_equal(seteuid(0), 0);
	tree_chmod(&t, "closed", 0755);
	tree_done(&t);
}

static void hash_of_a_long_file(void **state)
{
	const size_t n = 2 * HASH_SLICE + 12345;
	uint8_t digest[crypto_hash_sha256_BYTES];
	char expected[HASH_TEXT_MAX];
	uint8_t *data = malloc(n);
	struct tree t;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < n; i++)
		data[i] = (uint8_t)(i * 31 + i / 4096);
	crypto_hash_sha256(digest, data, n);
	txt_hex(digest, sizeof(digest), expected);
	tree_init(&t);
	tree_bytes(&t, "big", data, n);
	tree_expect(t.root, "file.sha256:/big", expected, "over several slices");
	free(data);
	tree_done(&t);
}

static void hash_of_too_long_a_file(void **state)
{
	char full[1024];
	struct tree t;

	(void)state;
	tree_init(&t);
	tree_file(&t, "big", "");
	tree_path(&t, "big", full);
	assert_int_equal(truncate(full, (off_t)HASH_FILE_MAX + 1), 0);
	tree_expect(t.root, "file.sha256:/big", "?longer than 64 MiB", "one byte over");
	tree_done(&t);
}

/* Half of the old and half of the new content is the hash of nothing. */
static void hash_of_a_file_that_changes(void **state)
{
	char hex[HASH_TEXT_MAX];
	struct source s;
	struct hash h;
	char full[1024];
	struct tree t;

	(void)state;
	tree_init(&t);
	tree_file(&t, "f", "");
	tree_path(&t, "f", full);
	assert_int_equal(truncate(full, 3 * HASH_SLICE), 0);
	assert_int_equal(source_init(&s, t.root), 0);
	assert_int_equal(hash_init(&h, &s, "/f"), 0);
	assert_int_equal(hash_step(&h, hex), 1);
	tree_file(&t, "f", "shorter");
	assert_int_equal(hash_step(&h, hex), -EAGAIN);
	hash_done(&h);
	source_done(&s);
	tree_done(&t);
}

struct age {
	const char *path;
	int64_t changed_s;
	int64_t now_s;
	const char *value;
	const char *says;
};

static const struct age ages[] = {
	{"var/lib/apt/periodic/update-success-stamp", 1000, 1600, "600", "apt fetched its lists"},
	{"var/lib/dpkg/status", 1000, 1000, "0", "a package was installed this moment"},
	{"var/lib/dnf/history.sqlite", 1000, 5000, "4000", "dnf did something"},
	{"usr/lib/sysimage/libdnf5/transaction_history.sqlite", 1000, 2000, "1000",
	 "its successor too"},
	{"var/lib/pacman/sync/core.db", 1000, 1001, "1", "pacman fetched its lists"},
	{"var/lib/dpkg/status", 1000, 700, "0", "a clock that is a little behind"},
	{"var/lib/dpkg/status", 1000, 699, "?last update is in the future",
	 "a clock that is wrong"},
};

/* Times of the directories on the way are set too, so that only the row's mark counts. */
static void read_age(const struct age *a)
{
	char path[256];
	struct fact f;
	struct tree t;
	bool unknown = a->value[0] == '?';

	tree_init(&t);
	tree_file(&t, a->path, "");
	tree_set_time(&t, a->path, a->changed_s);
	(void)snprintf(path, sizeof(path), "%s", a->path);
	for (char *slash; (slash = strrchr(path, '/'));) {
		*slash = '\0';
		tree_set_time(&t, path, 1);
	}
	f = tree_read(t.root, "os.update_age", a->now_s);
	if (f.state != (unknown ? FACT_UNKNOWN : FACT_KNOWN) ||
	    strcmp(f.value, a->value + unknown) != 0)
		fail_msg("%s: %s, not %s", a->says, f.value, a->value);
	tree_done(&t);
}

static void age_is_of_the_latest_update(void **state)
{
	struct fact f;
	struct tree t;

	(void)state;
	for (size_t i = 0; i < sizeof(ages) / sizeof(*ages); i++)
		read_age(&ages[i]);
	tree_init(&t);
	tree_file(&t, "var/lib/dpkg/status", "");
	tree_file(&t, "var/lib/apt/periodic/update-success-stamp", "");
	tree_set_time(&t, "var/lib/dpkg/status", 5000);
	tree_set_time(&t, "var/lib/apt/periodic/update-success-stamp", 9000);
	f = tree_read(t.root, "os.update_age", 10000);
	assert_string_equal(f.value, "1000");
	tree_set_time(&t, "var/lib/dpkg/status", 9900);
	f = tree_read(t.root, "os.update_age", 10000);
	assert_string_equal(f.value, "100");
	tree_done(&t);
}

static void reboot_is_judged_by_installed_kernels(void **state)
{
	struct tree t;

	(void)state;
	tree_init(&t);
	tree_file(&t, "proc/sys/kernel/osrelease", "6.1.0-9-amd64\n");
	tree_expect(t.root, "os.reboot_needed", "?no directory of kernels", "a container");
	tree_dir(&t, "lib");
	tree_dir(&t, "lib/modules");
	tree_expect(t.root, "os.reboot_needed", "?no kernel is installed here",
		    "an empty directory");
	tree_dir(&t, "lib/modules/6.1.0-8-amd64");
	tree_expect(t.root, "os.reboot_needed", "?the running kernel is not an installed one",
		    "one that somebody built");
	tree_dir(&t, "lib/modules/6.1.0-9-amd64");
	tree_expect(t.root, "os.reboot_needed", "false", "the running one is the newest");
	tree_dir(&t, "lib/modules/6.1.0-10-amd64");
	tree_expect(t.root, "os.reboot_needed", "true", "10 comes after 9");
	tree_file(&t, "etc/kernel/postinst.d/update-notifier", "");
	tree_expect(t.root, "os.reboot_needed", "false",
		    "where marks are left, only the mark counts");
	tree_file(&t, "run/reboot-required", "");
	tree_expect(t.root, "os.reboot_needed", "true", "the mark");
	tree_done(&t);

	tree_init(&t);
	tree_file(&t, "proc/sys/kernel/osrelease", "6.12.1-arch1-1\n");
	tree_file(&t, "lib/modules/6.12.4-arch1-1/modules.order", "");
	tree_file(&t, "var/lib/pacman/local/ALPM_DB_VERSION", "9\n");
	tree_expect(t.root, "os.reboot_needed", "true", "pacman took the running kernel away");
	tree_done(&t);
}

/* The shim's variable only counts when the firmware made it. */
static void shim_switches_checking_off(void **state)
{
	static const char mok[] =
		"sys/firmware/efi/efivars/MokSBStateRT-605dab50-e046-4300-abb6-3dd810dd8b23";
	struct tree t;

	(void)state;
	tree_init(&t);
	tree_bytes(&t, SECURE, "\6\0\0\0\1", 5);
	tree_bytes(&t, mok, "\6\0\0\0\0", 5);
	tree_expect(t.root, "secureboot.enabled", "true", "shim checks");
	tree_bytes(&t, mok, "\6\0\0\0\1", 5);
	tree_expect(t.root, "secureboot.enabled", "false", "shim does not");
	tree_bytes(&t, mok, "\7\0\0\0\1", 5);
	tree_expect(t.root, "secureboot.enabled", "true", "a variable that anybody could store");
	tree_bytes(&t, mok, "\6", 1);
	tree_expect(t.root, "secureboot.enabled", "?secure boot variable: malformed",
		    "half a variable");
	tree_remove(&t, SECURE);
	tree_expect(t.root, "secureboot.enabled", "?no secure boot variable",
		    "UEFI without the variable");
	tree_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(junk_is_unknown),
		cmocka_unit_test(too_long_a_file_is_unknown),
		cmocka_unit_test(long_lines_are_skipped_whole),
		cmocka_unit_test(only_regular_files_are_opened),
		cmocka_unit_test(links_stay_below_the_root),
		cmocka_unit_test(what_may_not_be_read_is_unknown),
		cmocka_unit_test(hash_of_a_long_file),
		cmocka_unit_test(hash_of_too_long_a_file),
		cmocka_unit_test(hash_of_a_file_that_changes),
		cmocka_unit_test(age_is_of_the_latest_update),
		cmocka_unit_test(reboot_is_judged_by_installed_kernels),
		cmocka_unit_test(shim_switches_checking_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
