/* Time zones against the C library's own reading of the same files and rules, and files that nobody
 * should believe. */
#include "tests/unit/tz_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

#include "controller/policy/date.h"
#include "zt/buf.h"

/* libc takes every year before 1971 for 1970 where it has no file but a rule. */
static const int64_t year_1950 = -631152000, year_1971 = 31536000, year_2200 = 7258118400;

/* What is odd in each stands behind it. */
static const char *const real_names[] = {
	"Europe/Berlin",
	"America/New_York",
	"Australia/Lord_Howe", /* half an hour of DST */
	"Asia/Kathmandu",      /* +05:45 */
	"Africa/Casablanca",   /* transitions listed up to 2087 */
	"America/Sao_Paulo",   /* DST that began at midnight, and is no more */
	"Pacific/Apia",	       /* a day that never was */
	"Europe/Dublin",       /* winter is the DST, and negative */
	"UTC",
};

/* --- the C library --- */

static void check_instant(const char *says, const struct tz *z, int64_t t)
{
	int32_t ours = tz_offset(z, t), theirs = libc_offset(t);

	if (ours != theirs)
		fail_msg("%s: at %lld: %d, libc has %d", says, (long long)t, ours, theirs);
}

/* Every change between the two instants, one second around each, and instants between them. */
static void check_zone(const char *says, const struct tz *z, int64_t from, int64_t to)
{
	int64_t t = from, next;

	for (; t < to; t = next) {
		next = tz_next(z, t);
		row_check(says, next > t);
		if (next > to)
			next = to;
		else
			row_check(says, tz_offset(z, next) != tz_offset(z, next - 1));
		for (int64_t at = t; at < next; at += (int64_t)rnd(3 * 86400) + 1)
			row_check(says, libc_offset(at) == tz_offset(z, t));
		for (int64_t at = next - 1; at <= next + 1; at++)
			check_instant(says, z, at);
	}
	for (int i = 0; i < 20000; i++)
		check_instant(says, z, from + (int64_t)rnd((uint64_t)(to - from)));
}

/* --- files --- */

static void check_files(const char *dir)
{
	for (size_t i = 0; i < N_OF(real_names); i++) {
		struct arena a;
		char tz[200];

		arena_init(&a, TZ_ARENA_MAX);
		snprintf(tz, sizeof(tz), ":%s/%s", dir, real_names[i]);
		libc_use(tz);
		check_zone(tz, tz_file_decode(dir, real_names[i], &a), year_1950, year_2200);
		arena_done(&a);
	}
}

static void real_zones_are_as_libc_reads_them(void **state)
{
	(void)state;
	check_files(zoneinfo);
}

static void run(char *const argv[])
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The zone database has its own source beside it, of which zic makes the other form of files: all
 * that the footer says is left out. */
static void slim_files_are_as_libc_reads_them(void **state)
{
	char dir[] = "/tmp/zt-tz-test-XXXXXX", source[] = "/usr/share/zoneinfo/tzdata.zi";
	char *zic[] = {(char[]){"/usr/sbin/zic"},
		       (char[]){"-b"},
		       (char[]){"slim"},
		       (char[]){"-d"},
		       dir,
		       source,
		       NULL};
	char *rm[] = {(char[]){"/bin/rm"}, (char[]){"-rf"}, dir, NULL};

	(void)state;
	if (access(zic[0], X_OK) < 0 || access(source, R_OK) < 0)
		skip();
	assert_non_null(mkdtemp(dir));
	run(zic);
	check_files(dir);
	run(rm);
}

static void a_version_1_file_has_its_own_block(void **state)
{
	const int64_t first = -2147483648, last = 2145916800; /* 2038-01-01 */

	(void)state;
	for (size_t i = 0; i < N_OF(real_names); i++) {
		uint8_t data[TZ_FILE_MAX];
		const struct tz *z = NULL;
		struct arena a;
		char path[200];
		size_t n;

		snprintf(path, sizeof(path), "%s/%s", zoneinfo, real_names[i]);
		n = tz_file_read(path, data);
		/* the second header begins where the first block ends */
		n = (size_t)((uint8_t *)memmem(data + 4, n - 4, "TZif", 4) - data);
		data[4] = '\0';
		arena_init(&a, TZ_ARENA_MAX);
		assert_int_equal(tz_decode(data, n, real_names[i], &a, &z), 0);
		libc_use(path);
		check_zone(path, z, year_1950 > first ? year_1950 : first, last);
		assert_int_equal(tz_offset(z, INT64_MAX), tz_offset(z, last));
		arena_done(&a);
	}
}

/* --- files made here --- */

struct maker {
	int version;
	const int64_t *times;
	const uint8_t *types;
	size_t n_times;
	const int32_t *offsets;
	size_t n_offsets;
	uint32_t n_leap;
	const char *footer; /* NULL: none at all */
};

static void put_be32(struct buf *b, uint32_t v)
{
	buf_put_u32(b, __builtin_bswap32(v));
}

static void put_header(struct buf *b, const struct maker *m)
{
	buf_put_text(b, "TZif");
	buf_put_u8(b, (uint8_t)m->version);
	buf_put_zero(b, 15 + 4 + 4);
	put_be32(b, m->n_leap);
	put_be32(b, (uint32_t)m->n_times);
	put_be32(b, (uint32_t)m->n_offsets);
	put_be32(b, 4);
}

static void put_block(struct buf *b, const struct maker *m)
{
	for (size_t i = 0; i < m->n_times; i++) {
		put_be32(b, (uint32_t)((uint64_t)m->times[i] >> 32));
		put_be32(b, (uint32_t)m->times[i]);
	}
	buf_put(b, m->types, m->n_times);
	for (size_t i = 0; i < m->n_offsets; i++) {
		put_be32(b, (uint32_t)m->offsets[i]);
		buf_put_zero(b, 2);
	}
	buf_put(b, "XXX", 4);
	buf_put_zero(b, m->n_leap * 12);
}

/* A version 2 file, or later; its first block is as empty as RFC 8536 allows. */
static struct buf make(const struct maker *m)
{
	const struct maker none = {
		.version = m->version, .n_offsets = 1, .offsets = (int32_t[]){0}};
	struct buf b;

	buf_init_grow(&b, 1 << 20);
	put_header(&b, &none);
	put_block(&b, &none);
	put_header(&b, m);
	put_block(&b, m);
	if (m->footer)
		buf_printf(&b, "\n%s\n", m->footer);
	assert_int_equal(b.err, 0);
	return b;
}

static int decode(const struct maker *m, struct arena *a, const struct tz **ret)
{
	struct buf b = make(m);
	int err = tz_decode(b.data, b.len, "Made/Here", a, ret);

	buf_free(&b);
	return err;
}

static int decode_rule(const char *footer, struct arena *a, const struct tz **ret)
{
	const struct maker m = {
		.version = '3', .n_offsets = 1, .offsets = (int32_t[]){0}, .footer = footer};

	return decode(&m, a, ret);
}

/* --- rules --- */

static void rules_are_as_libc_reads_them(void **state)
{
	static const char *const rules[] = {
		"UTC0",
		"<+0545>-5:45",
		"ABCDEFGHIJ+3:30:15",
		"CET-1CEST,M3.5.0,M10.5.0/3",
		"EST5EDT,M3.2.0,M11.1.0",
		"IST-1GMT0,M10.5.0,M3.5.0/1",		/* negative */
		"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", /* over New Year */
		"<-02>2<-01>,M3.5.0/-1,M10.5.0/0",	/* Nuuk: the day before */
		"EET-2EEST,M3.4.4/50,M10.4.4/50",	/* Gaza: Saturday after the 4th Thursday */
		"IST-2IDT,M3.4.4/26,M10.5.0",		/* Jerusalem */
		"<+04>-4<+05>,J60,J300",		/* 1 March in all years */
		"<+04>-4<+05>,J59/-24,J300/167:59:59",	/* hours to the limit */
		"<+04>-4<+05>,59,300",			/* 29 February or 1 March */
		"<+04>-4<+05>-6:15:30,59/-167,300/167",
		"<-03>+3:00<-04>+4,M2.5.3/2:30:30,M6.1.1", /* negative, in seconds */
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rules); i++) {
		const struct tz *z = NULL;
		struct arena a;

		arena_init(&a, TZ_ARENA_MAX);
		row_check(rules[i], decode_rule(rules[i], &a, &z) == 0);
		libc_use(rules[i]);
		check_zone(rules[i], z, year_1971, year_2200);
		arena_done(&a);
	}
}

/* libc looks at the edges of the instant's own year alone. */
static void edges_may_lie_in_another_year(void **state)
{
	static const struct {
		const char *says, *rule;
		int64_t t;
		int32_t offset;
		int64_t next;
	} rows[] = {
		/* winter from 5 January 22:00 to 6 January 23:00 UTC */
		{"of two years before", "ABC0DEF,J365/167,J364/167", 1798848000 /* 2027-01-02 */,
		 3600, 1799186400},
		{"of the year before", "ABC0DEF,J365/167,J364/167", 1799186400, 0, 1799276400},
		{"of the same", "ABC0DEF,J365/167,J364/167", 1799276400, 3600, 1830722400},
		/* summer from 25 December 01:00 UTC of the year before */
		{"of the year after", "ABC0DEF,0/-167,M6.1.0", 1798416000 /* 2026-12-28 */, 3600,
		 1812243600},
		{"of the year after, before it", "ABC0DEF,0/-167,M6.1.0", 1798160399, 0,
		 1798160400},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct tz *z = NULL;
		struct arena a;

		arena_init(&a, TZ_ARENA_MAX);
		row_check(rows[i].says, decode_rule(rows[i].rule, &a, &z) == 0);
		row_check(rows[i].says, tz_offset(z, rows[i].t) == rows[i].offset);
		row_check(rows[i].says, tz_next(z, rows[i].t) == rows[i].next);
		arena_done(&a);
	}
}

static void a_rule_that_changes_nothing_has_no_next_change(void **state)
{
	static const struct {
		const char *says, *rule;
		int32_t offset;
	} rows[] = {
		{"one offset", "ABC-1", 3600},
		{"DST all year (RFC 8536 section 3.3.1)", "EST5EDT,0/0,J365/25", -4 * 3600},
		{"DST with the same offset", "ABC-1DEF-1,M3.5.0,M10.5.0", 3600},
		{"DST that begins again where it ends", "ABC0DEF,M4.1.0/-167,M3.5.0/2", 3600},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct tz *z = NULL;
		struct arena a;

		arena_init(&a, TZ_ARENA_MAX);
		row_check(rows[i].says, decode_rule(rows[i].rule, &a, &z) == 0);
		row_check(rows[i].says, tz_next(z, INT64_MIN) == INT64_MAX);
		row_check(rows[i].says, tz_next(z, 1800000000) == INT64_MAX);
		for (int64_t t = year_1950; t < year_2200; t += 86400 * 30 + 12345)
			row_check(rows[i].says, tz_offset(z, t) == rows[i].offset);
		arena_done(&a);
	}
}

static void rules_that_are_none_are_refused(void **state)
{
	static const char *const rules[] = {
		"A0",
		"AB0",
		"ABC",
		"<AB>0",
		"<ABC0",
		"<A C>0",
		"<+030>",
		"A1C0",
		"ABC25",
		"ABC0:60",
		"ABC0:0:60",
		"ABC0:",
		"ABC0 ",
		"ABC--1",
		"ABC0DEF", /* dates are asked for */
		"ABC0DEF,M3.5.0",
		"ABC0DEF,M3.5.0,",
		"ABC0DEF,M3.5.0,M10.5.0,",
		"ABC0DEF,M3.5.0,M10.5.0/168",
		"ABC0DEF,M3.5.0,M10.5.0/-168",
		"ABC0DEF,M0.5.0,M10.5.0",
		"ABC0DEF,M13.5.0,M10.5.0",
		"ABC0DEF,M3.0.0,M10.5.0",
		"ABC0DEF,M3.6.0,M10.5.0",
		"ABC0DEF,M3.5.7,M10.5.0",
		"ABC0DEF,M3.5,M10.5.0",
		"ABC0DEF,M3..0,M10.5.0",
		"ABC0DEF,J0,M10.5.0",
		"ABC0DEF,J366,M10.5.0",
		"ABC0DEF,366,M10.5.0",
		"ABC0DEF,-1,M10.5.0",
		"ABC0DEF,99999999999999999999,M10.5.0",
		"ABC0\nDEF",
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rules); i++) {
		const struct tz *z = NULL;
		struct arena a;

		arena_init(&a, TZ_ARENA_MAX);
		row_check(rules[i], decode_rule(rules[i], &a, &z) == -ZT_EFORM && !z);
		arena_done(&a);
	}
}

/* --- tables --- */

#define TIMES(...) .times = (int64_t[]){__VA_ARGS__}, .n_times = N_OF(((int64_t[]){__VA_ARGS__}))
#define TYPES(...)                                                                                 \
	.types = (uint8_t[])                                                                       \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define OFFSETS(...)                                                                               \
	.offsets = (int32_t[]){__VA_ARGS__}, .n_offsets = N_OF(((int32_t[]){__VA_ARGS__}))

static void transitions_to_the_same_offset_are_not_told(void **state)
{
	const struct maker m = {.version = '2',
				TIMES(100, 200, 300, 400),
				TYPES(1, 2, 0, 1),
				OFFSETS(0, 3600, 3600),
				.footer = ""};
	const struct tz *z = NULL;
	struct arena a;

	(void)state;
	arena_init(&a, TZ_ARENA_MAX);
	assert_int_equal(decode(&m, &a, &z), 0);
	assert_int_equal(tz_next(z, INT64_MIN), 100);
	assert_int_equal(tz_next(z, 99), 100);
	assert_int_equal(tz_next(z, 100), 300);
	assert_int_equal(tz_next(z, 300), 400);
	assert_int_equal(tz_next(z, 400), INT64_MAX);
	assert_int_equal(tz_offset(z, 99), 0);
	assert_int_equal(tz_offset(z, 250), 3600);
	assert_int_equal(tz_offset(z, INT64_MAX), 3600);
	assert_int_equal(tz_settled(z), 400);
	arena_done(&a);
}

/* A file that contradicts itself has one meaning all the same. */
static void the_rule_holds_from_the_last_transition_on(void **state)
{
	const struct maker m = {.version = '2',
				TIMES(1000, 2000),
				TYPES(1, 0),
				OFFSETS(0, 7200),
				.footer = "CET-1CEST,M3.5.0,M10.5.0/3"};
	const struct tz *z = NULL;
	struct arena a;

	(void)state;
	arena_init(&a, TZ_ARENA_MAX);
	assert_int_equal(decode(&m, &a, &z), 0);
	assert_int_equal(tz_offset(z, 999), 0);
	assert_int_equal(tz_next(z, 0), 1000);
	assert_int_equal(tz_offset(z, 1999), 7200);
	assert_int_equal(tz_next(z, 1000), 2000);
	assert_int_equal(tz_offset(z, 2000), 3600);
	assert_int_equal(tz_next(z, 2000), 7520400); /* 1970-03-29 01:00 UTC */
	assert_int_equal(tz_settled(z), 2000);
	arena_done(&a);
}

static void no_time_is_too_far(void **state)
{
	static const int64_t times[] = {INT64_MIN,	 INT64_MIN + 1, -(1LL << 60) - 1,
					-(1LL << 60),	 -(1LL << 59),	(1LL << 60) - 1,
					(1LL << 60) + 1, INT64_MAX - 1, INT64_MAX};
	const struct tz *z = NULL;
	struct arena a;

	(void)state;
	arena_init(&a, TZ_ARENA_MAX);
	assert_int_equal(decode_rule("CET-1CEST,M3.5.0,M10.5.0/3", &a, &z), 0);
	for (size_t i = 0; i < N_OF(times); i++) {
		int32_t offset = tz_offset(z, times[i]);

		assert_true(offset == 3600 || offset == 7200);
		assert_true(tz_next(z, times[i]) > times[i] || times[i] == INT64_MAX);
	}
	assert_int_equal(tz_next(z, INT64_MAX), INT64_MAX);
	assert_true(tz_next(z, INT64_MIN) < 0);
	arena_done(&a);
}

static void files_that_are_wrong_are_refused(void **state)
{
	const struct {
		const char *says;
		struct maker m;
		int err;
	} rows[] = {
		{"good",
		 {.version = '2', TIMES(1, 2), TYPES(0, 1), OFFSETS(0, 60), .footer = ""},
		 0},
		{"no footer", {.version = '2', OFFSETS(0)}, -ZT_EFORM},
		{"no types", {.version = '2', .footer = "UTC0"}, -ZT_EFORM},
		{"a version to come", {.version = '5', OFFSETS(0), .footer = "UTC0"}, -ZT_EFORM},
		{"leap seconds",
		 {.version = '2', OFFSETS(0), .n_leap = 1, .footer = "UTC0"},
		 -ZT_EFORM},
		{"times that stand still",
		 {.version = '2', TIMES(2, 2), TYPES(0, 1), OFFSETS(0, 60), .footer = ""},
		 -ZT_EFORM},
		{"times that go back",
		 {.version = '2', TIMES(2, 1), TYPES(0, 1), OFFSETS(0, 60), .footer = ""},
		 -ZT_EFORM},
		{"times that overflow",
		 {.version = '2', TIMES(INT64_MIN), TYPES(0), OFFSETS(0), .footer = ""},
		 -ZT_EFORM},
		{"a type that is not there",
		 {.version = '2', TIMES(1, 2), TYPES(0, 2), OFFSETS(0, 60), .footer = ""},
		 -ZT_EFORM},
		{"26 hours east", {.version = '2', OFFSETS(93600), .footer = ""}, -ZT_EFORM},
		{"25 hours west", {.version = '2', OFFSETS(-90000), .footer = ""}, -ZT_EFORM},
		{"no offset at all", {.version = '2', OFFSETS(INT32_MIN), .footer = ""}, -ZT_EFORM},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct tz *z = NULL;
		struct arena a;

		arena_init(&a, TZ_ARENA_MAX);
		row_check(rows[i].says, decode(&rows[i].m, &a, &z) == rows[i].err);
		row_check(rows[i].says, (z != NULL) == (rows[i].err == 0));
		arena_done(&a);
	}
}

static void the_number_of_transitions_is_bounded(void **state)
{
	static int64_t times[TZ_CHANGES_MAX + 1];
	static uint8_t types[TZ_CHANGES_MAX + 1];
	struct maker m = {.version = '2',
			  .times = times,
			  .types = types,
			  .n_times = N_OF(times),
			  OFFSETS(0, 60),
			  .footer = ""};
	const struct tz *z = NULL;
	struct arena a;

	(void)state;
	for (size_t i = 0; i < N_OF(times); i++) {
		times[i] = (int64_t)i;
		types[i] = (uint8_t)(i % 2);
	}
	arena_init(&a, TZ_ARENA_MAX);
	assert_int_equal(decode(&m, &a, &z), -ZT_ELIMIT);
	assert_null(z);
	m.n_times--;
	assert_int_equal(decode(&m, &a, &z), 0);
	arena_done(&a);
	arena_init(&a, 1000);
	assert_int_equal(decode(&m, &a, &z), -ENOMEM);
	arena_done(&a);
}

/* Cut anywhere, or with one byte more. */
static void half_a_file_is_refused(void **state)
{
	uint8_t data[TZ_FILE_MAX];
	const struct tz *z = NULL;
	struct arena a;
	size_t n = tz_file_read("/usr/share/zoneinfo/Europe/Berlin", data);

	(void)state;
	data[n] = '\n';
	for (size_t i = 0; i <= n + 1; i++) {
		uint8_t *copy = malloc(i + 1);

		assert_non_null(copy);
		memcpy(copy, data, i);
		arena_init(&a, TZ_ARENA_MAX);
		assert_int_equal(tz_decode(copy, i, "A", &a, &z), i == n ? 0 : -ZT_EFORM);
		arena_done(&a);
		free(copy);
	}
	arena_init(&a, TZ_ARENA_MAX);
	assert_int_equal(tz_decode("hello, world", 12, "A", &a, &z), -ZT_EFORM);
	arena_done(&a);
}

/* --- UTC and names --- */

static void utc_needs_no_file(void **state)
{
	const struct tz *const both[] = {NULL, tz_utc()};

	(void)state;
	for (size_t i = 0; i < N_OF(both); i++) {
		assert_string_equal(tz_name(both[i]), "UTC");
		assert_int_equal(tz_offset(both[i], 1800000000), 0);
		assert_int_equal(tz_next(both[i], 1800000000), INT64_MAX);
		assert_int_equal(tz_settled(both[i]), INT64_MIN);
	}
}

static void names_that_may_be_files(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{"Europe/Berlin", true},
		{"UTC", true},
		{"Etc/GMT+3", true},
		{"GB-Eire", true},
		{"America/North_Dakota/New_Salem", true},
		{"EST5EDT", true},
		{"A", true},
		{"", false},
		{"/etc/passwd", false},
		{"../Berlin", false},
		{"Europe/../Berlin", false},
		{"Europe/.hidden", false},
		{"Europe//Berlin", false},
		{"Europe/", false},
		{"Europe/-x", false},
		{"Europe Berlin", false},
		{"Europe/Berlin\n", false},
		{"europe/berlin", false},
		{"localtime", false},
		{"right/Europe/Berlin", false},
		{"zone.tab", false},
		{"+VERSION", false},
		{"Z\xc3\xbcrich", false},
		{"A23456789012345678901234567890123456789012345678901234567890123", true},
		{"A234567890123456789012345678901234567890123456789012345678901234", false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].name, tz_name_is_valid(rows[i].name) == rows[i].valid);
}

/* --- dates --- */

static void dates_are_as_libc_reckons_them(void **state)
{
	(void)state;
	for (int64_t day = -800000; day < 800000; day += (int64_t)rnd(40) + 1) {
		int64_t t = day * 86400 + (int64_t)rnd(86400);
		struct date d = date_of_days(day);
		struct tm tm;

		assert_non_null(gmtime_r(&t, &tm));
		assert_int_equal(d.year, tm.tm_year + 1900);
		assert_int_equal(d.month, tm.tm_mon + 1);
		assert_int_equal(d.day, tm.tm_mday);
		assert_int_equal(date_to_days(d.year, d.month, d.day), day);
		assert_int_equal(date_weekday(day), (tm.tm_wday + 6) % 7);
		assert_int_equal(date_of_time(t), day);
		assert_int_equal(date_second(t), t - day * 86400);
	}
}

static void dates_have_one_form(void **state)
{
	static const struct {
		const char *text;
		int err;
		int32_t days;
	} rows[] = {
		{"1970-01-01", 0, 0},
		{"2024-02-29", 0, 19782},
		{"2199-12-31", 0, 84005},
		{"2026-02-29", -ERANGE, 0},
		{"2100-02-29", -ERANGE, 0},
		{"2026-04-31", -ERANGE, 0},
		{"2026-00-10", -ERANGE, 0},
		{"2026-13-10", -ERANGE, 0},
		{"2026-12-00", -ERANGE, 0},
		{"1969-12-31", -ERANGE, 0},
		{"2200-01-01", -ERANGE, 0},
		{"2026-12-1", -ZT_EFORM, 0},
		{"2026-12-011", -ZT_EFORM, 0},
		{"2026/12/01", -ZT_EFORM, 0},
		{"+026-12-01", -ZT_EFORM, 0},
		{"2026-1 -01", -ZT_EFORM, 0},
		{"", -ZT_EFORM, 0},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		char out[DATE_TEXT_LEN + 1];
		int32_t days = 0;

		row_check(rows[i].text,
			  date_parse(rows[i].text, strlen(rows[i].text), &days) == rows[i].err);
		row_check(rows[i].text, days == rows[i].days);
		date_print(days, out);
		row_check(rows[i].text, rows[i].err || strcmp(out, rows[i].text) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_zones_are_as_libc_reads_them),
		cmocka_unit_test(slim_files_are_as_libc_reads_them),
		cmocka_unit_test(a_version_1_file_has_its_own_block),
		cmocka_unit_test(rules_are_as_libc_reads_them),
		cmocka_unit_test(edges_may_lie_in_another_year),
		cmocka_unit_test(a_rule_that_changes_nothing_has_no_next_change),
		cmocka_unit_test(rules_that_are_none_are_refused),
		cmocka_unit_test(transitions_to_the_same_offset_are_not_told),
		cmocka_unit_test(the_rule_holds_from_the_last_transition_on),
		cmocka_unit_test(no_time_is_too_far),
		cmocka_unit_test(files_that_are_wrong_are_refused),
		cmocka_unit_test(the_number_of_transitions_is_bounded),
		cmocka_unit_test(half_a_file_is_refused),
		cmocka_unit_test(utc_needs_no_file),
		cmocka_unit_test(names_that_may_be_files),
		cmocka_unit_test(dates_are_as_libc_reckons_them),
		cmocka_unit_test(dates_have_one_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
