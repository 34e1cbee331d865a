/* The zones of this machine, as we read them and as the C library does. */
#pragma once

#include <errno.h>
#include <time.h>

#include "controller/policy/tz.h"
#include "tests/unit/unit.h"

enum { TZ_FILE_MAX = 1 << 16, TZ_ARENA_MAX = 1 << 20 };

static const char zoneinfo[] = "/usr/share/zoneinfo";

/* xorshift64* (Vigna 2016): the same on every run. */
static inline uint64_t rnd(uint64_t below)
{
	static uint64_t seed = 0x9e3779b97f4a7c15;

	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return ((seed * 0x2545f4914f6cdd1d) >> 11) % below;
}

/* A file (":/dir/name") or a rule; libc keeps it until the next. */
static inline void libc_use(const char *tz)
{
	assert_int_equal(setenv("TZ", tz, 1), 0);
	tzset();
}

static inline int32_t libc_offset(int64_t t)
{
	struct tm tm;

	assert_non_null(localtime_r(&t, &tm));
	return (int32_t)tm.tm_gmtoff;
}

static inline size_t tz_file_read(const char *path, uint8_t data[static TZ_FILE_MAX])
{
	FILE *f = fopen(path, "rbe");
	size_t n;

	if (!f)
		fail_msg("%s: %s (is tzdata installed?)", path, strerror(errno));
	n = fread(data, 1, TZ_FILE_MAX, f);
	fclose(f);
	assert_true(n > 0 && n < TZ_FILE_MAX);
	return n;
}

static inline const struct tz *tz_file_decode(const char *dir, const char *name, struct arena *a)
{
	uint8_t data[TZ_FILE_MAX];
	const struct tz *z = NULL;
	char path[200];
	int err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	err = tz_decode(data, tz_file_read(path, data), name, a, &z);
	if (err)
		fail_msg("%s: %s", path, zt_strerror(err));
	assert_string_equal(tz_name(z), name);
	return z;
}
