/* disk.encrypted on stacks of devices that a committed fixture does not hold. Each row is a machine
 * in a few lines: NAME M:m [crypt|lvm|verity|loop] [part] [on NAME...]      a block device, and
 * what it stands on and what its mount table says. */
#include "posture_tree.h"

struct row {
	const char *mounts;
	const char *devices;
	const char *value; /* "?..." unknown, and why */
	const char *says;
};

#define ROOT(DEV, TYPE, FROM) "20 1 " DEV " / / rw shared:1 - " TYPE " " FROM " rw\n"
#define HOME(DEV, TYPE, FROM) "30 20 " DEV " / /home rw - " TYPE " " FROM " rw\n"

/* A mirror; directories are read in no particular order, so each leg has its row. */
#define LEGS(A, B, C)                                                                              \
	"sda 8:0\nsdb 8:16\nsdc 8:32\ndm-0 254:0 " A " on sda\ndm-1 254:1 " B                      \
	" on sdb\ndm-2 254:2 " C " on sdc\nmd0 9:0 on dm-0 dm-1 dm-2"

static const struct row rows[] = {
	{ROOT("8:0", "ext4", "/dev/sda"), "sda 8:0", "false", "a whole disk, plain"},
	{ROOT("254:0", "ext4", "/dev/mapper/r"), "sda 8:0\ndm-0 254:0 crypt on sda", "true",
	 "LUKS on a whole disk"},
	{ROOT("254:0", "ext4", "/dev/mapper/r"), "sda 8:0\ndm-0 254:0 lvm on sda", "false",
	 "LVM on a plain disk"},
	{ROOT("254:0", "ext4", "/dev/mapper/r"), "sda 8:0\ndm-0 254:0 verity on sda", "false",
	 "verity checks and does not encrypt"},
	{ROOT("9:0", "ext4", "/dev/md0"),
	 "sda 8:0\nsdb 8:16\ndm-0 254:0 crypt on sda\ndm-1 254:1 crypt on sdb\nmd0 9:0 on dm-0 "
	 "dm-1",
	 "true", "a mirror of two encrypted legs"},
	{ROOT("9:0", "ext4", "/dev/md0"), LEGS("lvm", "crypt", "crypt"), "false",
	 "three legs, the first plain"},
	{ROOT("9:0", "ext4", "/dev/md0"), LEGS("crypt", "lvm", "crypt"), "false",
	 "three legs, the second plain"},
	{ROOT("9:0", "ext4", "/dev/md0"), LEGS("crypt", "crypt", "lvm"), "false",
	 "three legs, the third plain"},
	{ROOT("9:0", "ext4", "/dev/md0"), LEGS("crypt", "crypt", "crypt"), "true",
	 "three legs, none plain"},
	{ROOT("9:0", "ext4", "/dev/md0"),
	 "sda 8:0\nsdb 8:16\ndm-0 254:0 crypt on sda\nmd0 9:0 on dm-0 sdb", "false",
	 "a mirror with a disk itself as its other leg"},
	{ROOT("254:5", "ext4", "/dev/mapper/r"),
	 "sda 8:0\nsdb 8:16\nmd0 9:0 on sda sdb\ndm-4 254:4 crypt on md0\ndm-5 254:5 lvm on dm-4",
	 "true", "LVM on LUKS on a plain mirror"},
	{ROOT("259:1", "ext4", "/dev/md0p1"),
	 "sda 8:0\ndm-0 254:0 crypt on sda\nmd0 9:0 on dm-0\nmd0p1 259:1 part md0", "true",
	 "a partition of a mirror that is encrypted below"},
	{ROOT("8:1", "ext4", "/dev/sda1") HOME("254:0", "ext4", "/dev/mapper/h"),
	 "sda 8:0\nsda1 8:1 part sda\nsda2 8:2 part sda\ndm-0 254:0 crypt on sda2", "false",
	 "only /home is encrypted"},
	{ROOT("254:0", "ext4", "/dev/mapper/r") HOME("8:2", "ext4", "/dev/sda2"),
	 "sda 8:0\nsda1 8:1 part sda\nsda2 8:2 part sda\ndm-0 254:0 crypt on sda1", "false",
	 "only / is encrypted"},
	{ROOT("254:0", "ext4", "/dev/mapper/r") HOME("0:50", "nfs4", "server:/home"),
	 "sda 8:0\ndm-0 254:0 crypt on sda", "?/home: no block device",
	 "nobody knows about a server's disks"},
	{ROOT("8:0", "ext4", "/dev/sda") ROOT("254:0", "ext4", "/dev/mapper/r"),
	 "sda 8:0\ndm-0 254:0 crypt on sda", "true", "the later mount on / covers the earlier"},
	{ROOT("0:30", "btrfs", "/dev/sda"), "btrfs sda sdb\nsda 8:0\nsdb 8:16", "false",
	 "btrfs on two plain disks"},
	{ROOT("0:30", "btrfs", "/dev/dm-0"),
	 "btrfs dm-0 sdb\nsda 8:0\nsdb 8:16\ndm-0 254:0 crypt on sda", "false",
	 "btrfs with one plain disk, which the mount table does not name"},
	{ROOT("0:30", "btrfs", "/dev/mapper/dm-0"),
	 "btrfs dm-0 dm-1\nsda 8:0\nsdb 8:16\ndm-0 254:0 crypt on sda\ndm-1 254:1 crypt on sdb",
	 "true", "btrfs on two encrypted disks, named by the mapping"},
	{ROOT("0:30", "btrfs", "/dev/sdz"), "btrfs sda\nsda 8:0",
	 "?/: the devices of a btrfs are not in sysfs", "btrfs on a device that is in no list"},
	{ROOT("0:30", "btrfs", "/dev/sda"), "sda 8:0",
	 "?/: the devices of a btrfs are not in sysfs", "btrfs without a list"},
	{ROOT("0:25", "overlay", "overlay"), "sda 8:0", "?/: no block device", "a container"},
	{ROOT("0:25", "tmpfs", "tmpfs"), "sda 8:0", "?/: no block device",
	 "a live system in memory"},
	{ROOT("0:25", "zfs", "rpool/ROOT"), "sda 8:0", "?/: no block device",
	 "ZFS has its own encryption, which is not seen here"},
	{ROOT("7:0", "squashfs", "/dev/loop0"), "loop0 7:0 loop", "?/: a loop device is below it",
	 "nobody says where the loop's file is"},
	{ROOT("8:9", "ext4", "/dev/sda9"), "sda 8:0", "?/: its device is not in sysfs",
	 "a number that no device has"},
	{ROOT("254:0", "ext4", "/dev/mapper/r"), "dm-0 254:0 lvm on sdq",
	 "?/: a device below it is not in sysfs", "a leg that is not there"},
	{ROOT("254:0", "ext4", "/dev/mapper/r"), "dm-0 254:0 lvm on dm-1\ndm-1 254:1 lvm on dm-0",
	 "?/: too many devices below it", "two devices on each other"},
	{ROOT("254:0", "ext4", "/dev/mapper/r"), "dm-0 254:0 lvm on dm-0",
	 "?/: too many devices below it", "a device on itself"},
	{"30 20 8:0 / /home rw - ext4 /dev/sda rw\n", "sda 8:0", "?/ is not in the mount table",
	 "a table without /"},
	{"20 1 8:0 / / rw shared:1\n", "sda 8:0", "?mount table: malformed", "a line cut off"},
	{"20 1\n", "sda 8:0", "?mount table: malformed", "a line with hardly anything"},
	{"20 1 8:0 / / rw - ext4\n", "sda 8:0", "?mount table: malformed", "no source"},
	{"20 1 ../../../8:0 / / rw - ext4 /dev/sda rw\n", "sda 8:0", "?/: no block device",
	 "a number that is a path"},
	{"", "sda 8:0", "?/ is not in the mount table", "an empty table"},
};

/* The next word of *p into out; false at the end of the line. */
static bool word(const char **p, char *out, size_t size)
{
	size_t n;

	*p += strspn(*p, " ");
	n = strcspn(*p, " \n");
	assert_true(n < size);
	memcpy(out, *p, n);
	out[n] = '\0';
	*p += n;
	return n > 0;
}

static void attribute(const struct tree *t, const char *name, const char *file, const char *text)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "sys/devices/%s/%s", name, file);
	tree_file(t, path, text);
}

static void slave(const struct tree *t, const char *dir, const char *name)
{
	char path[256], target[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)snprintf(target, sizeof(target), "/sys/devices/%s", name);
	tree_link(t, path, target);
}

static void device_links(const struct tree *t, const char *name, const char *where,
			 const char *number)
{
	char path[256], target[256];

	(void)snprintf(target, sizeof(target), "../../devices/%s", where);
	(void)snprintf(path, sizeof(path), "sys/class/block/%s", name);
	tree_link(t, path, target);
	(void)snprintf(path, sizeof(path), "sys/dev/block/%s", number);
	tree_link(t, path, target);
}

/* What stands after the number of a device. */
static void device_options(const struct tree *t, const char *name, const char *where, const char *p)
{
	char opt[64], dir[256];

	(void)snprintf(dir, sizeof(dir), "sys/devices/%s/slaves", where);
	while (word(&p, opt, sizeof(opt))) {
		if (!strcmp(opt, "on"))
			while (word(&p, opt, sizeof(opt)))
				slave(t, dir, opt);
		else if (!strcmp(opt, "loop"))
			attribute(t, where, "loop/backing_file", "/live/root.img\n");
		else if (!strcmp(opt, "part")) {
			attribute(t, where, "partition", "1\n");
			assert_true(word(&p, opt, sizeof(opt)));
		} else {
			attribute(t, where, "dm/name", name);
			attribute(t, where, "dm/uuid",
				  !strcmp(opt, "crypt")	   ? "CRYPT-LUKS2-00ff-x\n"
				  : !strcmp(opt, "verity") ? "CRYPT-VERITY-00ff-x\n"
							   : "LVM-00ff\n");
		}
	}
}

/* A partition's directory is in its disk's; all others stand side by side. */
static void device(const struct tree *t, const char *p)
{
	char name[32], number[32], opt[64], disk[64] = "", where[128];
	const char *rest;

	assert_true(word(&p, name, sizeof(name)));
	if (!strcmp(name, "btrfs")) {
		while (word(&p, name, sizeof(name)))
			slave(t, "sys/fs/btrfs/00ff/devices", name);
		return;
	}
	assert_true(word(&p, number, sizeof(number)));
	rest = p;
	if (word(&p, opt, sizeof(opt)) && !strcmp(opt, "part"))
		assert_true(word(&p, disk, sizeof(disk)));
	(void)snprintf(where, sizeof(where), "%s%s%s", disk, disk[0] ? "/" : "", name);
	attribute(t, where, "dev", number);
	device_links(t, name, where, number);
	device_options(t, name, where, rest);
}

static void build(const struct tree *t, const struct row *r)
{
	tree_file(t, "proc/self/mountinfo", r->mounts);
	for (const char *p = r->devices; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		device(t, p);
}

static void stacks_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tree t;

		tree_init(&t);
		build(&t, &rows[i]);
		tree_expect(t.root, "disk.encrypted", rows[i].value, rows[i].says);
		tree_done(&t);
	}
}

/* The real one can have thousands of lines, and / need not be the first. */
static void a_long_mount_table_is_read_to_its_end(void **state)
{
	static const char line[] =
		"99 20 0:99 / /var/lib/docker/overlay2/0123456789abcdef/merged rw"
		" shared:99 - overlay overlay rw,lowerdir=/a:/b:/c:/d\n";
	static const char last[] = ROOT("254:0", "ext4", "/dev/mapper/r");
	const size_t n = 20000;
	char *text = malloc(n * strlen(line) + sizeof(last));
	struct tree t;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		memcpy(text + i * strlen(line), line, strlen(line));
	memcpy(text + n * strlen(line), last, sizeof(last));
	tree_init(&t);
	tree_file(&t, "proc/self/mountinfo", text);
	free(text);
	device(&t, "sda 8:0");
	device(&t, "dm-0 254:0 crypt on sda");
	tree_expect(t.root, "disk.encrypted", "true", "/ is the last of 20001 lines");
	tree_done(&t);
}

/* Such a line might be that of /, so what the others say does not count. */
static void an_unreadable_line_makes_it_unknown(void **state)
{
	char text[SOURCE_LINE_MAX + 200];
	struct tree t;

	(void)state;
	memset(text, 'x', sizeof(text));
	(void)snprintf(text, 100, "%s", ROOT("254:0", "ext4", "/dev/mapper/r"));
	text[strlen(text)] = 'x';
	text[sizeof(text) - 1] = '\0';
	tree_init(&t);
	tree_file(&t, "proc/self/mountinfo", text);
	device(&t, "sda 8:0");
	device(&t, "dm-0 254:0 crypt on sda");
	tree_expect(t.root, "disk.encrypted", "?mount table: malformed", "an endless line");
	tree_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stacks_are_judged),
		cmocka_unit_test(a_long_mount_table_is_read_to_its_end),
		cmocka_unit_test(an_unreadable_line_makes_it_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
