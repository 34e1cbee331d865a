/* The device's own files: trust that is missing or damaged is an error, and what an enrolment
 * before left behind does not reach the next one. */
#include "tests/unit/node_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zt/file.h"
#include "ztnode/kern/state.h"

static const char *const names[] = {"device", "identity.key", "wireguard.key", "serial",
				    "netmap", "down",	      "leaving"};

static int set_up(void **state)
{
	char *path = strdup("/tmp/zt-state-test-XXXXXX");

	assert_non_null(path);
	assert_non_null(mkdtemp(path));
	*state = path;
	return 0;
}

static int tear_down(void **state)
{
	char *path = *state;
	int dir;

	assert_int_equal(file_open_dir(path, false, &dir), 0);
	for (size_t i = 0; i < N_OF(names); i++)
		unlinkat(dir, names[i], 0);
	close(dir);
	assert_int_equal(rmdir(path), 0);
	free(path);
	return 0;
}

static const struct enrolled who = {.device = FIXTURE_DEVICE,
				    .network_key = {{9}},
				    .name = "laptop",
				    .url = "https://ctl",
				    .nets = {{{ADDR_V4, {100, 64}}, 10}}};

static void enrol(const char *path, struct node_state *s)
{
	struct diag d = {0};

	assert_int_equal(state_open(path, true, s, &d), -ZT_EABSENT);
	assert_int_equal(state_make_keys(s, &d), 0);
	assert_int_equal(state_save_enrolled(s, &who, &d), 0);
}

static void an_enrolment_is_kept(void **state)
{
	struct node_state s = {.dir = -1}, again = {.dir = -1};
	struct diag d = {0};
	struct stat st;

	enrol(*state, &s);
	assert_int_equal(state_open(*state, false, &again, &d), 0);
	assert_int_equal(again.who.device, FIXTURE_DEVICE);
	assert_string_equal(again.who.name, "laptop");
	assert_true(prefix_equal(&again.who.nets[0], &who.nets[0]));
	assert_true(key_equal(&again.wg_pub, &s.wg_pub));
	assert_true(key_equal(&again.identity_pub, &s.identity_pub));
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(fstatat(again.dir, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	state_close(&again);
	assert_true(again.dir == -1 && again.wg.b[0] == 0 && again.wg.b[31] == 0);
	state_close(&s);
}

/* The controller may have admitted the keys of an enrolment whose answer was lost; it refuses them
 * from then on. */
static void an_enrolment_begun_anew_has_new_keys(void **state)
{
	struct node_state s = {.dir = -1};
	struct key wg, identity;
	struct diag d = {0};

	assert_int_equal(state_open(*state, true, &s, &d), -ZT_EABSENT);
	assert_int_equal(state_make_keys(&s, &d), 0);
	wg = s.wg_pub;
	identity = s.identity_pub;
	state_close(&s);
	assert_int_equal(state_open(*state, true, &s, &d), -ZT_EABSENT);
	assert_int_equal(state_make_keys(&s, &d), 0);
	assert_false(key_equal(&wg, &s.wg_pub));
	assert_false(key_equal(&identity, &s.identity_pub));
	state_close(&s);
}

static void nothing_of_an_enrolment_before_reaches_the_next(void **state)
{
	struct node_state s = {.dir = -1};
	struct mapstate m;
	struct diag d = {0};

	enrol(*state, &s);
	assert_int_equal(state_set_mark(&s, STATE_DOWN, true), 0);
	assert_int_equal(state_set_mark(&s, STATE_LEAVING, true), 0);
	assert_true(state_has_mark(&s, STATE_LEAVING));
	assert_int_equal(file_write_at(s.dir, "netmap", "old", 3, 0600), 0);
	assert_int_equal(unlinkat(s.dir, "device", 0), 0); /* as leave, cut short by kill -9 */
	state_close(&s);
	enrol(*state, &s);
	assert_false(state_has_mark(&s, STATE_DOWN));
	assert_false(state_has_mark(&s, STATE_LEAVING));
	assert_int_equal(state_load_map(&s, fixture_now, &m, &d), -ENOENT);
	state_close(&s);
}

/* As it was written before the ranges were kept. */
static void an_older_enrolment_is_read(void **state)
{
	struct node_state s = {.dir = -1}, got = {.dir = -1};
	struct diag d = {0};
	struct key sum;
	uint8_t *p;
	void *file;
	size_t n;

	enrol(*state, &s);
	assert_int_equal(file_read_at(s.dir, "device", 4096, &file, &n), 0);
	p = file;
	n -= ENROLLED_NETS_SIZE;
	key_hash(p + 4 + ZT_KEY_LEN, n - 4 - ZT_KEY_LEN, &sum);
	memcpy(p + 4, sum.b, sizeof(sum.b));
	assert_int_equal(file_write_at(s.dir, "device", p, n, 0600), 0);
	assert_int_equal(state_open(*state, false, &got, &d), 0);
	assert_int_equal(got.who.device, FIXTURE_DEVICE);
	assert_int_equal(got.who.nets[0].addr.family, ADDR_NONE);
	state_close(&got);
	n--;
	key_hash(p + 4 + ZT_KEY_LEN, n - 4 - ZT_KEY_LEN, &sum);
	memcpy(p + 4, sum.b, sizeof(sum.b));
	assert_int_equal(file_write_at(s.dir, "device", p, n, 0600), 0);
	assert_int_equal(state_open(*state, false, &got, &d), -ZT_ECORRUPT);
	file_wipe(file, n);
	state_close(&s);
}

static const struct {
	const char *says, *name;
	const char *content; /* NULL: removed */
	int err;
} damages[] = {
	{"no device file: not enrolled", "device", NULL, -ZT_EABSENT},
	{"an empty device file", "device", "", -ZT_ECORRUPT},
	{"a device file of something else", "device", "ztD1 and nothing else", -ZT_ECORRUPT},
	{"no identity: not a first start", "identity.key", NULL, -ENOENT},
	{"no WireGuard key: not a first start", "wireguard.key", NULL, -ENOENT},
	{"half a key", "wireguard.key", "0123456789abcdef", -ZT_ECORRUPT},
	{"an empty key", "identity.key", "", -ZT_ECORRUPT},
	{"no serial: not a first start", "serial", NULL, -ENOENT},
	{"an empty serial", "serial", "", -ZT_ECORRUPT},
	{"a serial that was never written", "serial",
	 "ztN1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0", -ZT_ECORRUPT},
	{"a key and a byte", "identity.key", "0123456789abcdef0123456789abcdef+", -ZT_ECORRUPT},
};

static void damaged_trust_is_an_error(void **state)
{
	for (size_t i = 0; i < N_OF(damages); i++) {
		struct node_state s = {.dir = -1}, got = {.dir = -1};
		const char *content = damages[i].content;
		struct diag d = {0};

		enrol(*state, &s);
		if (content)
			row_check(damages[i].says, file_write_at(s.dir, damages[i].name, content,
								 strlen(content), 0600) == 0);
		else
			row_check(damages[i].says, unlinkat(s.dir, damages[i].name, 0) == 0);
		row_check(damages[i].says, state_open(*state, false, &got, &d) == damages[i].err);
		row_check(damages[i].says, d.message[0] && d.hint[0]);
		row_check(damages[i].says, got.who.device == 0);
		state_close(&got);
		unlinkat(s.dir, "device", 0);
		state_close(&s);
	}
}

static void find_flipped_bytes(struct node_state *s, const char *path, const char *name,
			       size_t step)
{
	struct node_state got = {.dir = -1};
	struct diag d = {0};
	uint8_t *p;
	void *file;
	size_t n;

	assert_int_equal(file_read_at(s->dir, name, 4096, &file, &n), 0);
	assert_true(n > 0);
	p = file;
	for (size_t i = 0; i < n; i += step) {
		p[i] ^= 1;
		assert_int_equal(file_write_at(s->dir, name, p, n, 0600), 0);
		if (state_open(path, false, &got, &d) != -ZT_ECORRUPT)
			fail_msg("%s: byte %zu flipped, and it is taken", name, i);
		p[i] ^= 1;
	}
	assert_int_equal(file_write_at(s->dir, name, p, n, 0600), 0);
	assert_int_equal(state_open(path, false, &got, &d), 0);
	state_close(&got);
	file_wipe(file, n);
}

static void a_flipped_byte_is_found(void **state)
{
	struct node_state s = {.dir = -1};

	enrol(*state, &s);
	find_flipped_bytes(&s, *state, "device", 7);
	find_flipped_bytes(&s, *state, "serial", 1);
	state_close(&s);
}

/* --- the serial --- */

static uint64_t serial_on_disk(const char *path)
{
	struct node_state s = {.dir = -1};
	struct diag d = {0};
	uint64_t serial;

	assert_int_equal(state_open(path, false, &s, &d), 0);
	serial = s.serial;
	state_close(&s);
	return serial;
}

static void a_serial_is_there_from_the_enrolment_on(void **state)
{
	struct node_state s = {.dir = -1};
	struct trust t;
	struct diag d = {0};

	enrol(*state, &s);
	assert_int_equal(serial_on_disk(*state), 0);
	assert_int_equal(state_save_serial(&s, 10, &d), 0);
	assert_int_equal(serial_on_disk(*state), 10);
	assert_int_equal(state_save_serial(&s, 11, &d), 0);
	assert_int_equal(serial_on_disk(*state), 11);
	state_trust(&s, &t);
	assert_int_equal(t.serial, 11);
	secret_wipe(&t.identity);
	unlinkat(s.dir, "device", 0);
	state_close(&s);
	enrol(*state, &s); /* another enrolment begins anew, at another controller perhaps */
	assert_int_equal(serial_on_disk(*state), 0);
	state_close(&s);
}

static void the_serial_of_another_enrolment_is_none(void **state)
{
	struct enrolled other = who;
	struct node_state s = {.dir = -1}, got = {.dir = -1};
	struct diag d = {0};
	void *p;
	size_t n;

	enrol(*state, &s);
	assert_int_equal(file_read_at(s.dir, "serial", 4096, &p, &n), 0);
	other.device++;
	assert_int_equal(state_save_enrolled(&s, &other, &d), 0);
	assert_int_equal(file_write_at(s.dir, "serial", p, n, 0600), 0);
	assert_int_equal(state_open(*state, false, &got, &d), -ZT_ECORRUPT);
	other = who;
	other.network_key.b[0] ^= 1;
	assert_int_equal(state_save_enrolled(&s, &other, &d), 0);
	assert_int_equal(file_write_at(s.dir, "serial", p, n, 0600), 0);
	assert_int_equal(state_open(*state, false, &got, &d), -ZT_ECORRUPT);
	file_wipe(p, n);
	state_close(&s);
}

/* No file grows and none is made: as a disk that takes nothing. */
static void set_disk(bool takes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = takes ? limit.rlim_max : 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_serial_that_is_not_kept_stops_the_next_start(void **state)
{
	struct node_state s = {.dir = -1}, got = {.dir = -1};
	struct diag d = {0};
	int err;

	enrol(*state, &s);
	assert_int_equal(state_save_serial(&s, 10, &d), 0);
	set_disk(false);
	err = state_save_serial(&s, 11, &d);
	set_disk(true);
	assert_int_equal(err, -EFBIG);
	assert_true(d.message[0] && d.hint[0]);
	assert_int_equal(s.serial, 11); /* this process knows it all the same */
	assert_int_equal(state_open(*state, false, &got, &d), -ENOENT);
	assert_int_equal(state_save_serial(&s, 11, &d), 0); /* tried again */
	assert_int_equal(serial_on_disk(*state), 11);
	state_close(&s);
}

static void a_map_older_than_the_serial_is_not_loaded(void **state)
{
	struct node_state s = {.dir = -1};
	struct mapstate m = fixture_state(10), got;
	struct now now = clock_now();
	struct diag d = {0};

	enrol(*state, &s);
	m.map.self.wg_key = s.wg_pub;
	assert_int_equal(state_save_map(&s, &m, now, &d), 0);
	assert_int_equal(state_save_serial(&s, 11, &d), 0);
	assert_int_equal(state_load_map(&s, now, &got, &d), -ZT_ESERIAL);
	assert_true(d.message[0]);
	assert_int_equal(state_save_serial(&s, 10, &d), 0);
	assert_int_equal(state_load_map(&s, now, &got, &d), 0);
	mapstate_done(&got);
	mapstate_done(&m);
	state_close(&s);
}

static void a_map_is_kept_and_forgotten(void **state)
{
	struct node_state s = {.dir = -1};
	struct mapstate m = fixture_state(10), got;
	struct now now = clock_now();
	struct diag d = {0};

	enrol(*state, &s);
	m.map.self.wg_key = s.wg_pub;
	assert_int_equal(state_load_map(&s, now, &got, &d), -ENOENT);
	assert_int_equal(state_save_map(&s, &m, now, &d), 0);
	assert_int_equal(state_load_map(&s, now, &got, &d), 0);
	assert_int_equal(got.serial, 10);
	assert_int_equal(got.lease_end_ms, m.lease_end_ms); /* the same boot */
	mapstate_done(&got);
	assert_int_equal(state_forget(&s), 0);
	assert_int_equal(s.who.device, 0);
	for (size_t i = 0; i < N_OF(names); i++)
		assert_int_equal(faccessat(s.dir, names[i], F_OK, 0), -1);
	mapstate_done(&m);
	state_close(&s);
}

#define in_directory(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_directory(an_enrolment_is_kept),
		in_directory(an_enrolment_begun_anew_has_new_keys),
		in_directory(nothing_of_an_enrolment_before_reaches_the_next),
		in_directory(an_older_enrolment_is_read),
		in_directory(damaged_trust_is_an_error),
		in_directory(a_flipped_byte_is_found),
		in_directory(a_serial_is_there_from_the_enrolment_on),
		in_directory(the_serial_of_another_enrolment_is_none),
		in_directory(a_serial_that_is_not_kept_stops_the_next_start),
		in_directory(a_map_older_than_the_serial_is_not_loaded),
		in_directory(a_map_is_kept_and_forgotten),
	};

	signal(SIGXFSZ, SIG_IGN);
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
