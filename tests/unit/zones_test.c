/* Zone files in real directories: this machine's, and some that no machine should have. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/policy/schedule.h"
#include "controller/zones.h"
#include "zt/file.h"

static const char zoneinfo[] = "/usr/share/zoneinfo";

struct fixture {
	char path[64];
	int dir;
	struct zones *zones;
};

static void put(int dir, const char *name, const char *text)
{
	assert_int_equal(file_write_at(dir, name, text, strlen(text), 0644), 0);
}

static void copy_zone(const struct fixture *f, const char *from, const char *name)
{
	void *data;
	size_t n;
	int dir;

	assert_int_equal(file_open_dir(zoneinfo, false, &dir), 0);
	assert_int_equal(file_read_at(dir, from, 1 << 16, &data, &n), 0);
	assert_int_equal(file_write_at(f->dir, name, data, n, 0644), 0);
	file_wipe(data, n);
	close(dir);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->path, "/tmp/zt-zones-test-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	assert_int_equal(file_open_dir(f->path, false, &f->dir), 0);
	f->zones = zones_new(f->path);
	assert_non_null(f->zones);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {
		"Berlin", "Link",      "Out",	   "Loop",    "Fifo", "Big",	     "Damaged",
		"Secret", "tzdata.zi", "zone.tab", "Area/In", "Area", "zone1970.tab"};
	struct fixture *f = *state;

	zones_free(f->zones);
	for (size_t i = 0; i < N_OF(names); i++)
		if (unlinkat(f->dir, names[i], 0) < 0)
			unlinkat(f->dir, names[i], AT_REMOVEDIR);
	close(f->dir);
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

static void every_zone_that_is_listed_can_be_read(void **state)
{
	struct zones *z = zones_new(zoneinfo);
	const char *const *names;
	size_t n = 0;

	(void)state;
	assert_non_null(z);
	names = zones_names(z, &n);
	assert_true(n > 300);
	for (size_t i = 0; i < n; i++) {
		const char *reason = "untouched";
		const struct tz *zone = zones_get(z, names[i], &reason);

		row_check(names[i], zone && !reason);
		row_check(names[i], strcmp(tz_name(zone), names[i]) == 0);
		row_check(names[i], zones_get(z, names[i], &reason) == zone); /* read once */
	}
	zones_free(z);
}

static void names_that_are_no_zones_are_absent(void **state)
{
	static const char *const names[] = {"Europe/Berln", "Europe",	 "../../../etc/passwd",
					    "/etc/passwd",  "localtime", "right/Europe/Berlin",
					    "zone.tab",	    "",		 "Europe/Berlin/X"};
	struct zones *z = zones_new(zoneinfo);

	(void)state;
	assert_non_null(z);
	for (size_t i = 0; i < N_OF(names); i++) {
		const char *reason = "untouched";

		row_check(names[i], !zones_get(z, names[i], &reason) && !reason);
	}
	zones_free(z);
}

static void no_link_leads_out(void **state)
{
	struct fixture *f = *state;
	const char *reason = "untouched";
	char again[80];

	assert_int_equal(symlinkat("/usr/share/zoneinfo/Europe/Berlin", f->dir, "Out"), 0);
	assert_int_equal(symlinkat("Loop", f->dir, "Loop"), 0);
	assert_null(zones_get(f->zones, "Out", &reason));
	assert_null(reason);
	assert_null(zones_get(f->zones, "Loop", &reason));
	assert_null(reason);
	copy_zone(f, "Etc/GMT-3", "Berlin");
	snprintf(again, sizeof(again), "..%s/Berlin", strrchr(f->path, '/'));
	assert_int_equal(symlinkat(again, f->dir, "Link"), 0);
	assert_int_equal(faccessat(f->dir, "Link", R_OK, 0), 0);
	assert_null(zones_get(f->zones, "Link", &reason)); /* out, and in again */
	assert_null(reason);
	assert_non_null(zones_get(f->zones, "Berlin", &reason));
}

static void links_inside_are_followed(void **state)
{
	struct fixture *f = *state;
	const char *reason;
	const struct tz *zone;

	copy_zone(f, "Etc/GMT-3", "Berlin");
	assert_int_equal(mkdirat(f->dir, "Area", 0755), 0);
	assert_int_equal(symlinkat("../Berlin", f->dir, "Area/In"), 0);
	zone = zones_get(f->zones, "Area/In", &reason);
	assert_non_null(zone);
	assert_string_equal(tz_name(zone), "Area/In");
	assert_int_equal(tz_offset(zone, 0), 3 * 3600);
}

static void a_file_that_is_no_zone_has_a_reason(void **state)
{
	static const char *const names[] = {"Damaged", "Fifo", "Big"};
	struct fixture *f = *state;
	int fd;

	put(f->dir, "Damaged", "TZif?");
	assert_int_equal(mkfifoat(f->dir, "Fifo", 0644), 0);
	fd = openat(f->dir, "Big", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
	close(fd);
	for (size_t i = 0; i < N_OF(names); i++) {
		const char *reason = NULL;

		row_check(names[i], !zones_get(f->zones, names[i], &reason));
		row_check(names[i], reason && strstr(reason, "damaged"));
	}
}

/* Mended while the controller runs. */
static void a_zone_that_was_not_there_is_looked_for_again(void **state)
{
	struct fixture *f = *state;
	const char *reason;
	const struct tz *zone;

	assert_null(zones_get(f->zones, "Berlin", &reason));
	put(f->dir, "Berlin", "");
	assert_null(zones_get(f->zones, "Berlin", &reason));
	assert_non_null(reason);
	copy_zone(f, "Etc/GMT-3", "Berlin");
	zone = zones_get(f->zones, "Berlin", &reason);
	assert_non_null(zone);
	put(f->dir, "Berlin", "");
	assert_ptr_equal(zones_get(f->zones, "Berlin", &reason), zone);
}

static void without_zone_data_there_is_utc(void **state)
{
	struct zones *z = zones_new("/nonexistent/zoneinfo");
	const char *reason = NULL;
	size_t n = 1;

	(void)state;
	assert_non_null(z);
	assert_null(zones_get(z, "Europe/Berlin", &reason));
	assert_non_null(reason);
	assert_ptr_equal(zones_get(z, "UTC", &reason), tz_utc());
	assert_null(reason);
	zones_names(z, &n);
	assert_int_equal(n, 0);
	zones_free(z);
}

static void check_names(struct fixture *f, size_t n, const char *const want[])
{
	struct zones *z = zones_new(f->path);
	const char *const *names;
	size_t got = 100;

	assert_non_null(z);
	names = zones_names(z, &got);
	assert_int_equal(got, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(names[i], want[i]);
	zones_free(z);
}

static void names_come_from_the_best_list_there_is(void **state)
{
	struct fixture *f = *state;

	check_names(f, 0, NULL);
	put(f->dir, "zone1970.tab", "#code\nDE,DK\t+5230+01322\tEurope/Berlin\tmost\n");
	check_names(f, 1, (const char *[]){"Europe/Berlin"});
	put(f->dir, "zone.tab", "DE\t+5230+01322\tEurope/Berlin\tmost\nNO\t+59\tEurope/Oslo\nXX\n");
	check_names(f, 2, (const char *[]){"Europe/Berlin", "Europe/Oslo"});
	put(f->dir, "tzdata.zi",
	    "# version 1\nR d 1916 o - Jun 14 23s 1 S\nZ Europe/Berlin 0:53:28 - LMT 1893\n"
	    "1 E CE%sT\nL Europe/Berlin Europe/Oslo\nL Europe/Berlin\nZ ../up 0 - X\nZ");
	check_names(f, 2, (const char *[]){"Europe/Berlin", "Europe/Oslo"});
}

/* As a policy uses it. */
static void a_window_finds_its_zone(void **state)
{
	struct zones *z = zones_new(zoneinfo);
	const struct window_env env = {.find = zones_get, .arg = z};
	struct window_problem p = {0};
	struct window w;
	struct arena a;

	(void)state;
	assert_non_null(z);
	arena_init(&a, 1000);
	assert_int_equal(window_parse("Mon Europe/Berlin", 17, &env, &a, &w, &p), 0);
	assert_string_equal(tz_name(w.zone), "Europe/Berlin");
	assert_int_equal(window_parse("Mon Europe/Berln", 16, &env, &a, &w, &p), -ZT_EFORM);
	assert_int_equal(p.kind, WINDOW_PROBLEM_ZONE);
	arena_done(&a);
	zones_free(z);
}

static void *ask_for_all(void *arg)
{
	const char *const *names;
	struct zones *z = arg;
	size_t n, found = 0;
	const char *reason;

	names = zones_names(z, &n);
	for (size_t i = 0; i < n; i++)
		found += zones_get(z, names[i], &reason) != NULL;
	return (void *)(uintptr_t)(found == n && n > 0);
}

static void two_threads_may_ask(void **state)
{
	struct zones *z = zones_new(zoneinfo);
	pthread_t threads[2];
	void *all_found;

	(void)state;
	assert_non_null(z);
	for (size_t i = 0; i < N_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_for_all, z), 0);
	for (size_t i = 0; i < N_OF(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &all_found), 0);
		assert_non_null(all_found);
	}
	zones_free(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_zone_that_is_listed_can_be_read),
		cmocka_unit_test(names_that_are_no_zones_are_absent),
		cmocka_unit_test_setup_teardown(no_link_leads_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_inside_are_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_that_is_no_zone_has_a_reason, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_zone_that_was_not_there_is_looked_for_again,
						set_up, tear_down),
		cmocka_unit_test(without_zone_data_there_is_utc),
		cmocka_unit_test_setup_teardown(names_come_from_the_best_list_there_is, set_up,
						tear_down),
		cmocka_unit_test(a_window_finds_its_zone),
		cmocka_unit_test(two_threads_may_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
