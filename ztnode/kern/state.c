/* Files of the state directory. */
#include "ztnode/kern/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "zt/cur.h"
#include "zt/file.h"

static const char file_device[] = "device", file_identity[] = "identity.key",
		  file_wg[] = "wireguard.key", file_map[] = "netmap", file_serial[] = "serial",
		  file_down[] = "down", file_leaving[] = "leaving";

enum {
	DEVICE_MAGIC = 0x3144747a, /* "ztD1" */
	SERIAL_MAGIC = 0x314e747a, /* "ztN1" */
	SERIAL_SIZE = 4 + ZT_KEY_LEN + 8,
};

static int explain(struct diag *d, int err, const char *path, const char *file)
{
	diag_set(d, err, "%s/%s: %s", path, file, zt_strerror(err));
	if (err == -EACCES || err == -EPERM)
		diag_hint(d, "run as root");
	else if (err == -ENOENT)
		diag_hint(d,
			  "the device's own files are incomplete: enrol it again with a new token "
			  "(ztnode leave, then ztnode enroll TOKEN)");
	else if (err == -ZT_ECORRUPT || err == -ZT_EFORM)
		diag_hint(d, "the file is damaged: restore it, or enrol again (ztnode leave, then "
			     "ztnode enroll TOKEN)");
	return err;
}

static int load_secret(int dir, const char *file, struct secret *ret)
{
	void *p;
	size_t n;
	int err = file_read_at(dir, file, ZT_KEY_LEN, &p, &n);

	if (err)
		return err == -ZT_ELIMIT ? -ZT_ECORRUPT : err;
	if (n == ZT_KEY_LEN)
		memcpy(ret->b, p, n);
	file_wipe(p, n);
	return n == ZT_KEY_LEN ? 0 : -ZT_ECORRUPT;
}

static int load_device(int dir, struct enrolled *ret)
{
	uint8_t sum[ZT_KEY_LEN];
	struct key want;
	struct cur c;
	void *p;
	size_t n;
	uint8_t whole[ENROLLED_SIZE] = {0};
	int err = file_read_at(dir, file_device, 4 + ZT_KEY_LEN + ENROLLED_SIZE, &p, &n);

	if (err)
		return err == -ZT_ELIMIT ? -ZT_ECORRUPT : err;
	cur_init(&c, p, n);
	if (cur_u32(&c) != DEVICE_MAGIC)
		cur_fail(&c);
	cur_copy(&c, sum, sizeof(sum));
	key_hash(c.p, cur_left(&c), &want);
	if (c.err || sodium_memcmp(sum, want.b, sizeof(sum)) != 0)
		err = -ZT_ECORRUPT;
	n = cur_left(&c);
	/* Of an enrolment from before ranges were kept they are not known. */
	if (!err && n != ENROLLED_SIZE && n != ENROLLED_SIZE - ENROLLED_NETS_SIZE)
		err = -ZT_ECORRUPT;
	if (!err) {
		cur_copy(&c, whole, n);
		err = enrolled_decode(whole, sizeof(whole), ret);
	}
	free(p);
	return err;
}

/* Over whose serial it is, too: the file of another enrolment is none. */
static void sum_serial(const struct enrolled *who, uint64_t serial, struct key *ret)
{
	uint8_t mem[4 + ZT_KEY_LEN + 8];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_put_u32(&b, who->device);
	buf_put(&b, who->network_key.b, ZT_KEY_LEN);
	buf_put_u64(&b, serial);
	key_hash(mem, b.len, ret);
}

/* magic | sum | serial */
static void encode_serial(const struct enrolled *who, uint64_t serial,
			  uint8_t out[static SERIAL_SIZE])
{
	struct key sum;
	struct buf b;

	sum_serial(who, serial, &sum);
	buf_init(&b, out, SERIAL_SIZE);
	buf_put_u32(&b, SERIAL_MAGIC);
	buf_put(&b, sum.b, sizeof(sum.b));
	buf_put_u64(&b, serial);
}

static int load_serial(int dir, const struct enrolled *who, uint64_t *ret)
{
	struct key sum, want;
	uint64_t serial;
	struct cur c;
	void *p;
	size_t n;
	int err = file_read_at(dir, file_serial, SERIAL_SIZE, &p, &n);

	if (err)
		return err == -ZT_ELIMIT ? -ZT_ECORRUPT : err;
	cur_init(&c, p, n);
	if (cur_u32(&c) != SERIAL_MAGIC)
		cur_fail(&c);
	cur_copy(&c, sum.b, sizeof(sum.b));
	serial = cur_u64(&c);
	err = cur_done(&c);
	free(p);
	sum_serial(who, serial, &want);
	if (err || !key_equal(&sum, &want))
		return -ZT_ECORRUPT;
	*ret = serial;
	return 0;
}

static void derive(struct node_state *s)
{
	key_of_identity(&s->identity, &s->identity_pub);
	key_of_wireguard(&s->wg, &s->wg_pub);
}

int state_open(const char *path, bool make, struct node_state *ret, struct diag *d)
{
	struct node_state s = {.dir = -1};
	int err = file_open_dir(path, make, &s.dir);

	if (err == -ENOENT) {
		diag_set(d, -ZT_EABSENT, "this device is not enrolled (no %s)", path);
		diag_hint(d, "ask an admin for a token and run: ztnode enroll TOKEN");
		return -ZT_EABSENT;
	}
	if (err)
		return explain(d, err, path, "");
	err = load_device(s.dir, &s.who);
	if (err == -ENOENT) {
		*ret = s;
		diag_set(d, -ZT_EABSENT, "this device is not enrolled");
		diag_hint(d, "ask an admin for a token and run: ztnode enroll TOKEN");
		return -ZT_EABSENT;
	}
	if (err)
		explain(d, err, path, file_device);
	if (!err && (err = load_secret(s.dir, file_identity, &s.identity)))
		explain(d, err, path, file_identity);
	if (!err && (err = load_secret(s.dir, file_wg, &s.wg)))
		explain(d, err, path, file_wg);
	if (!err && (err = load_serial(s.dir, &s.who, &s.serial))) {
		explain(d, err, path, file_serial);
		/* Not "restore it": an older one would let older maps in. */
		diag_hint(d, "which netmaps were in force is not known any more, so none is taken: "
			     "enrol again (ztnode leave, then ztnode enroll TOKEN)");
	}
	if (err) {
		state_close(&s);
		return err;
	}
	s.serial_kept = true;
	derive(&s);
	*ret = s;
	return 0;
}

int state_lock(const char *path, bool make, int *ret_fd, struct diag *d)
{
	int dir, fd = -1, err = file_open_dir(path, make, &dir);

	if (!err) {
		fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		err = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
		close(dir);
	}
	if (!err) {
		*ret_fd = fd;
		return 0;
	}
	if (err == -EWOULDBLOCK) {
		diag_set(d, err, "a daemon runs already with %s", path);
		diag_hint(d, "stop it (systemctl stop ztnode), or choose another --state");
		return err;
	}
	return diag_set(d, err, "cannot lock %s: %s", path, zt_strerror(err));
}

void state_close(struct node_state *s)
{
	if (s->dir >= 0)
		close(s->dir);
	secret_wipe(&s->identity);
	secret_wipe(&s->wg);
	s->dir = -1;
}

static int make_secret(struct node_state *s, const char *file, bool clamp, struct secret *ret)
{
	randombytes_buf(ret->b, sizeof(ret->b));
	if (clamp)
		secret_clamp(ret);
	return file_write_at(s->dir, file, ret->b, sizeof(ret->b), 0600);
}

int state_make_keys(struct node_state *s, struct diag *d)
{
	int err = make_secret(s, file_identity, false, &s->identity);

	if (!err)
		err = make_secret(s, file_wg, true, &s->wg);
	if (err)
		return diag_set(d, err, "cannot write the device's keys: %s", zt_strerror(err));
	derive(s);
	return 0;
}

int state_save_enrolled(struct node_state *s, const struct enrolled *e, struct diag *d)
{
	uint8_t mem[4 + ZT_KEY_LEN + ENROLLED_SIZE], serial[SERIAL_SIZE];
	struct key sum;
	struct buf b;
	int err;

	encode_serial(e, 0, serial);
	buf_init(&b, mem, sizeof(mem));
	buf_put_u32(&b, DEVICE_MAGIC);
	buf_put_zero(&b, ZT_KEY_LEN);
	err = enrolled_encode(e, &b);
	if (!err) {
		key_hash(mem + 4 + ZT_KEY_LEN, b.len - 4 - ZT_KEY_LEN, &sum);
		memcpy(mem + 4, sum.b, sizeof(sum.b));
		err = file_remove_at(s->dir, file_map); /* of an enrolment before */
	}
	if (!err)
		err = file_remove_at(s->dir, file_down);
	if (!err)
		err = file_remove_at(s->dir, file_leaving);
	if (!err)
		err = file_write_at(s->dir, file_serial, serial, sizeof(serial), 0600);
	if (!err)
		err = file_write_at(s->dir, file_device, mem, b.len, 0600);
	if (err)
		return diag_set(d, err, "cannot keep the enrolment: %s", zt_strerror(err));
	s->who = *e;
	s->serial = 0;
	s->serial_kept = true;
	return 0;
}

static int serial_not_kept(const struct node_state *s, int err, struct diag *d)
{
	diag_set(d, err, "cannot keep the netmap's serial: %s", zt_strerror(err));
	if (file_remove_at(s->dir, file_serial))
		diag_hint(d, "the one before cannot be removed either: do not restart this daemon "
			     "before the disk is mended");
	else
		diag_hint(d, "it is tried again; a daemon that starts before that needs a new "
			     "enrolment");
	return err;
}

int state_save_serial(struct node_state *s, uint64_t serial, struct diag *d)
{
	uint8_t mem[SERIAL_SIZE];
	int err;

	if (s->serial_kept && s->serial == serial)
		return 0;
	s->serial = serial;
	s->serial_kept = false;
	encode_serial(&s->who, serial, mem);
	err = file_overwrite_at(s->dir, file_serial, mem, sizeof(mem));
	if (err)
		err = file_write_at(s->dir, file_serial, mem, sizeof(mem), 0600);
	if (err)
		return serial_not_kept(s, err, d);
	s->serial_kept = true;
	return 0;
}

static void read_boot_id(char out[static BOOT_ID_LEN + 1])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, BOOT_ID_LEN) : -1;

	if (fd >= 0)
		close(fd);
	/* Without one every start counts as a new boot, which only makes the check stricter. */
	if (n != BOOT_ID_LEN)
		randombytes_buf(out, BOOT_ID_LEN);
	for (int i = 0; n != BOOT_ID_LEN && i < BOOT_ID_LEN; i++)
		out[i] = (char)('a' + (out[i] & 15));
	out[BOOT_ID_LEN] = 0;
}

int state_save_map(struct node_state *s, const struct mapstate *m, struct now now, struct diag *d)
{
	char boot_id[BOOT_ID_LEN + 1];
	struct buf b;
	int err;

	read_boot_id(boot_id);
	buf_init_secret(&b, MAPFILE_MAX);
	err = mapfile_encode(m, now, boot_id, &b);
	if (!err)
		err = file_write_at(s->dir, file_map, b.data, b.len, 0600);
	buf_free(&b);
	return err ? diag_set(d, err, "cannot keep the netmap: %s", zt_strerror(err)) : 0;
}

int state_load_map(struct node_state *s, struct now now, struct mapstate *ret, struct diag *d)
{
	char boot_id[BOOT_ID_LEN + 1];
	struct trust t;
	void *p;
	size_t n;
	int err = file_read_at(s->dir, file_map, MAPFILE_MAX, &p, &n);

	if (err)
		return diag_set(d, err, "cannot read the saved netmap: %s", zt_strerror(err));
	read_boot_id(boot_id);
	state_trust(s, &t);
	err = mapfile_decode(&t, p, n, now, boot_id, ret, d);
	secret_wipe(&t.identity);
	file_wipe(p, n);
	return err;
}

int state_drop_map(struct node_state *s)
{
	return file_remove_at(s->dir, file_map);
}

static const char *mark_file(enum state_mark m)
{
	return m == STATE_DOWN ? file_down : file_leaving;
}

bool state_has_mark(const struct node_state *s, enum state_mark m)
{
	return faccessat(s->dir, mark_file(m), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int state_set_mark(struct node_state *s, enum state_mark m, bool on)
{
	return on ? file_write_at(s->dir, mark_file(m), "", 0, 0600)
		  : file_remove_at(s->dir, mark_file(m));
}

int state_mark(const char *path, enum state_mark m, bool on, struct diag *d)
{
	struct node_state s = {.dir = -1};
	int err = state_open(path, false, &s, d);

	if (!err && (err = state_set_mark(&s, m, on)))
		diag_set(d, err, "cannot write in %s: %s", path, zt_strerror(err));
	state_close(&s);
	return err;
}

int state_forget(struct node_state *s)
{
	static const char *const files[] = {file_device,  file_map, file_serial,  file_down,
					    file_leaving, file_wg,  file_identity};
	int err = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && !err; i++)
		err = file_remove_at(s->dir, files[i]);
	if (!err)
		s->who.device = 0;
	return err;
}

void state_trust(const struct node_state *s, struct trust *ret)
{
	*ret = (struct trust){.network = s->who.network_key,
			      .device = s->who.device,
			      .serial = s->serial,
			      .wg_pub = s->wg_pub,
			      .identity = s->identity};
}
