/* disk.encrypted: is everything below "/", and below "/home" where that is a file system of its
 * own, encrypted? From each of these mounts down through the block devices that each stands on
 * (sysfs "slaves", partition to disk) to the hardware: on every way down there must be a
 * device-mapper device that encrypts (dm-crypt; its uuid tells). What cannot be followed (overlay,
 * network, loop files, ZFS) is unknown. Encryption inside a drive (OPAL) or by the file system
 * (fscrypt) cannot be seen from here and counts as none. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "zt/num.h"
#include "zt/txt.h"

enum {
	DISK_NAME_MAX = 64,	/* a block device's name: "nvme0n1p3" */
	DISK_DEPTH_MAX = 16,	/* devices on each other */
	DISK_VISITS_MAX = 1024, /* devices looked at: bounds a wide or circular tree */
};

/* Prefixes that cryptsetup gives devices that encrypt. Not every "CRYPT-" does: CRYPT-VERITY- and
 * CRYPT-INTEGRITY- only check. */
static const char *const crypt_prefixes[] = {
	"CRYPT-LUKS1-", "CRYPT-LUKS2-",	  "CRYPT-PLAIN-",   "CRYPT-TCRYPT-",
	"CRYPT-BITLK-", "CRYPT-FVAULT2-", "CRYPT-LOOPAES-",
};

enum mount_point { MOUNT_ROOT, MOUNT_HOME, MOUNT_COUNT };

struct mount {
	bool is_found;
	char device[32];	      /* "254:1"; major 0 is no block device */
	char type[32];		      /* "ext4" */
	char source[SOURCE_PATH_MAX]; /* "/dev/mapper/root" */
};

struct walk {
	const struct source *s;
	unsigned visits;
	const char *why; /* when the answer is unknown */
};

/* The next word of *p, which moves on; NULL at the end. */
static char *next_word(char **p)
{
	char *word = *p + strspn(*p, " ");
	size_t n = strcspn(word, " ");

	if (!n)
		return NULL;
	*p = word + n;
	if (**p)
		*(*p)++ = '\0';
	return word;
}

static const char *const mount_points[MOUNT_COUNT] = {"/", "/home"};

static struct mount *mount_of(struct mount *mounts, const char *point)
{
	for (size_t i = 0; i < MOUNT_COUNT; i++)
		if (txt_equal(mount_points[i], point))
			return &mounts[i];
	return NULL;
}

/* Words of proc_pid_mountinfo(5): id parent major:minor root point options optional... - type
 * source */
static int parse_mount(char *line, struct mount *mounts)
{
	char *words[6], *word, *type, *from;
	struct mount *m;

	for (size_t i = 0; i < 6; i++) {
		words[i] = next_word(&line);
		if (!words[i])
			return -ZT_EFORM;
	}
	m = mount_of(mounts, words[4]);
	if (!m)
		return 0;
	do
		word = next_word(&line);
	while (word && !txt_equal(word, "-"));
	type = next_word(&line);
	from = next_word(&line);
	if (!type || !from)
		return -ZT_EFORM;
	m->is_found = true;
	if (txt_copy(m->device, sizeof(m->device), words[2]) ||
	    txt_copy(m->type, sizeof(m->type), type) ||
	    txt_copy(m->source, sizeof(m->source), from))
		return -ZT_EFORM;
	return 0;
}

/* The last mount on a place is the one seen. A line that cannot be read might have been it. */
static int take_mount(void *arg, char *line)
{
	return line ? parse_mount(line, arg) : -ZT_EFORM;
}

static bool is_crypt(const char *uuid)
{
	for (size_t i = 0; i < sizeof(crypt_prefixes) / sizeof(*crypt_prefixes); i++)
		if (txt_starts(uuid, crypt_prefixes[i]))
			return true;
	return false;
}

/* 1 it encrypts, 0 it does not or is no device-mapper device, -errno. */
static int device_encrypts(const struct source *s, const char *name)
{
	char path[160], uuid[160];
	int r;

	(void)snprintf(path, sizeof(path), "sys/class/block/%.64s/dm/uuid", name);
	r = source_read_line(s, path, uuid, sizeof(uuid));
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	return r < 0 ? r : is_crypt(uuid);
}

static int attribute_exists(const struct source *s, const char *name, const char *attribute)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "sys/class/block/%.64s/%.32s", name, attribute);
	return source_exists(s, path);
}

/* The last part of what a link in sysfs says, or with back = 1 the one before it. */
static int link_part(const struct source *s, const char *path, unsigned back, char *out,
		     size_t size)
{
	char target[SOURCE_PATH_MAX];
	char *slash;
	int r = source_read_link(s, path, target, sizeof(target));

	if (r < 0)
		return r;
	for (; back; back--) {
		slash = strrchr(target, '/');
		if (!slash)
			return -ZT_EFORM;
		*slash = '\0';
	}
	slash = strrchr(target, '/');
	return txt_copy(out, size, slash ? slash + 1 : target);
}

static int walk_device(struct walk *w, const char *name, unsigned depth);

/* All devices named in a directory. 1 every one is encrypted, 0 one is not, -ENOENT none is named,
 * else another negative errno. */
static int walk_all(struct walk *w, const char *dir, unsigned depth)
{
	DIR *d = source_open_dir(w->s, dir);
	const char *name;
	int r = -ENOENT;

	if (!d)
		return -errno;
	while ((name = source_next_name(d))) {
		r = walk_device(w, name, depth + 1);
		if (r != 1)
			break;
	}
	if (!name && errno)
		r = -errno;
	closedir(d);
	return r;
}

/* A partition's device directory is inside its disk's: ".../block/sda/sda3". */
static int walk_partition(struct walk *w, const char *name, unsigned depth)
{
	char path[160], disk[DISK_NAME_MAX + 1];

	(void)snprintf(path, sizeof(path), "sys/class/block/%.64s", name);
	if (link_part(w->s, path, 1, disk, sizeof(disk))) {
		w->why = "the disk of a partition is not in sysfs";
		return -ENODEV;
	}
	return walk_device(w, disk, depth + 1);
}

/* Does the device itself exist, and is it one whose foundation sysfs shows? */
static int check_device(struct walk *w, const char *name)
{
	int r = attribute_exists(w->s, name, "dev");

	if (r == 0)
		w->why = "a device below it is not in sysfs";
	if (r != 1)
		return r < 0 ? r : -ENODEV;
	r = attribute_exists(w->s, name, "loop/backing_file");
	if (r == 1)
		w->why = "a loop device is below it";
	return r == 1 ? -ENODEV : r;
}

/* 1 every way down from this device is encrypted, 0 one is not, -errno. */
static int walk_device(struct walk *w, const char *name, unsigned depth)
{
	char dir[160];
	int r;

	if (depth > DISK_DEPTH_MAX || ++w->visits > DISK_VISITS_MAX ||
	    strlen(name) > DISK_NAME_MAX) {
		w->why = "too many devices below it";
		return -ZT_ELIMIT;
	}
	r = check_device(w, name);
	if (r < 0)
		return r;
	r = device_encrypts(w->s, name);
	if (r)
		return r;
	(void)snprintf(dir, sizeof(dir), "sys/class/block/%.64s/slaves", name);
	r = walk_all(w, dir, depth);
	if (r != -ENOENT)
		return r;
	r = attribute_exists(w->s, name, "partition");
	return r == 1 ? walk_partition(w, name, depth) : r;
}

/* "/dev/mapper/NAME" stands for the dm-N whose dm/name it is. */
static int find_mapped(const struct source *s, const char *mapped, char *out, size_t size)
{
	DIR *d = source_open_dir(s, "sys/class/block");
	char path[160], name[160];
	const char *entry;
	int r = -ENODEV;

	if (!d)
		return -errno;
	while (r == -ENODEV && (entry = source_next_name(d))) {
		(void)snprintf(path, sizeof(path), "sys/class/block/%.64s/dm/name", entry);
		if (!source_read_line(s, path, name, sizeof(name)) && txt_equal(name, mapped))
			r = txt_copy(out, size, entry);
	}
	closedir(d);
	return r;
}

/* Block device name of a mount source under /dev; sysfs writes '!' for '/'. */
static int name_of_source(const struct source *s, const char *from, char *out, size_t size)
{
	int r;

	if (txt_starts(from, "/dev/mapper/"))
		return find_mapped(s, from + strlen("/dev/mapper/"), out, size);
	if (!txt_starts(from, "/dev/"))
		return -ENODEV;
	r = txt_copy(out, size, from + strlen("/dev/"));
	for (char *p = strchr(out, '/'); p; p = strchr(p, '/'))
		*p = '!';
	return r;
}

/* A btrfs lies on several devices, of which the mount table names one; sysfs has the list. */
static int walk_btrfs(struct walk *w, const char *from)
{
	char name[DISK_NAME_MAX + 1], path[SOURCE_PATH_MAX];
	DIR *d;
	const char *uuid;
	int r = name_of_source(w->s, from, name, sizeof(name));

	w->why = "the devices of a btrfs are not in sysfs";
	if (r < 0)
		return r;
	d = source_open_dir(w->s, "sys/fs/btrfs");
	if (!d)
		return -errno;
	r = -ENODEV;
	while (r == -ENODEV && (uuid = source_next_name(d))) {
		(void)snprintf(path, sizeof(path), "sys/fs/btrfs/%s/devices/%s", uuid, name);
		if (source_exists(w->s, path) != 1)
			continue;
		(void)snprintf(path, sizeof(path), "sys/fs/btrfs/%s/devices", uuid);
		w->why = NULL;
		r = walk_all(w, path, 0);
		break;
	}
	closedir(d);
	return r;
}

static int walk_mount(struct walk *w, const struct mount *m)
{
	char path[96], name[DISK_NAME_MAX + 1];
	int r;

	if (txt_equal(m->type, "btrfs"))
		return walk_btrfs(w, m->source);
	if (txt_starts(m->device, "0:") || m->device[strspn(m->device, "0123456789:")]) {
		w->why = "no block device";
		return -ENODEV;
	}
	(void)snprintf(path, sizeof(path), "sys/dev/block/%.32s", m->device);
	r = link_part(w->s, path, 0, name, sizeof(name));
	if (r < 0) {
		w->why = "its device is not in sysfs";
		return r;
	}
	return walk_device(w, name, 0);
}

/* 1, 0, or a negative errno with the fact set. */
static int judge_mount(const struct source *s, const struct mount *m, const char *point,
		       struct fact *ret)
{
	struct walk w = {.s = s};
	char why[128];
	int r = walk_mount(&w, m);

	if (r < 0) {
		(void)snprintf(why, sizeof(why), "%s: %s", point, w.why ? w.why : zt_strerror(r));
		fact_set_unknown(ret, why);
	}
	return r;
}

void collect_disk_encrypted(struct source *s, const char *argument, struct fact *ret)
{
	struct mount mounts[MOUNT_COUNT] = {{0}};
	int r = source_each_line(s, "proc/self/mountinfo", SOURCE_BIG_MAX, take_mount, mounts);

	(void)argument;
	if (r < 0) {
		fact_set_error(ret, "mount table", r);
		return;
	}
	if (!mounts[MOUNT_ROOT].is_found) {
		fact_set_unknown(ret, "/ is not in the mount table");
		return;
	}
	for (size_t i = 0; i < MOUNT_COUNT; i++) {
		if (!mounts[i].is_found)
			continue;
		r = judge_mount(s, &mounts[i], mount_points[i], ret);
		if (r < 0)
			return;
		fact_set_bool(ret, r);
		if (!r)
			return;
	}
}
