/* Any bytes as a zone file, then a window and a time to ask about: what is behind the last newline
 * but one is the window, what is behind the last the time. What is taken gives offsets that belong
 * to each other, and a schedule's next change is where it says, and not before.
 *
 * Bytes that are no zone file are a rule: the first line, as a footer has it. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "controller/policy/date.h"
#include "controller/policy/schedule.h"
#include "zt/num.h"

enum { ARENA_MAX = 1 << 20, INPUT_MAX = 16 << 10, LOOKS = 400, TEXT_MAX = 200 };

struct input {
	const uint8_t *file;
	size_t n_file;
	const char *window;
	size_t n_window;
	int64_t now_s;
};

/* All names are the input's zone, but for some. */
static const struct tz *find(void *arg, const char *name, const char **ret_reason)
{
	fuzz_check(tz_name_is_valid(name));
	if (strcmp(name, "UTC") == 0)
		return tz_utc();
	*ret_reason = name[0] == 'X' ? "is damaged" : NULL;
	return name[0] == 'X' ? NULL : arg;
}

/* --- zones --- */

static void check_change(const struct tz *z, int64_t t_s)
{
	int32_t offset = tz_offset(z, t_s);
	int64_t next = tz_next(z, t_s);

	fuzz_check(offset > -TZ_OFFSET_MAX_S && offset < TZ_OFFSET_MAX_S);
	if (next == INT64_MAX)
		return;
	fuzz_check(next > t_s && tz_offset(z, next - 1) == offset && tz_offset(z, next) != offset);
	/* no change between the two was left out */
	for (int i = 1; i < 8; i++)
		fuzz_check(tz_offset(z, t_s + (int64_t)((uint64_t)(next - t_s) / 8) * i) == offset);
}

static void check_zone(const struct tz *z, int64_t now_s)
{
	static const int64_t times[] = {INT64_MIN / 4, -(1LL << 59), -1, 0, 1LL << 38, INT64_MAX};
	int64_t t = now_s;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		check_change(z, times[i]);
	for (int i = 0; i < 20 && t < INT64_MAX; i++, t = tz_next(z, t))
		check_change(z, t);
	fuzz_check(tz_settled(z) <= 1LL << 38);
}

/* --- windows --- */

static void check_next(const struct schedule *s, int64_t now_s)
{
	bool held = schedule_holds(s, now_s);
	int64_t next = schedule_next(s, now_s), end;

	fuzz_check(next > now_s);
	if (next < INT64_MAX)
		fuzz_check(schedule_holds(s, next) != held && schedule_holds(s, next - 1) == held);
	/* near minutes one by one, then ever farther ones */
	end = next < INT64_MAX ? next : now_s + ((int64_t)1 << 36);
	for (int64_t i = 1, t = now_s + 60; i < LOOKS && t < end; i++, t += 60 * (1 + i * i / 64))
		fuzz_check(schedule_holds(s, t) == held);
}

static void check_problem(const struct window_problem *p, size_t n)
{
	fuzz_check(p->message[0] && p->hint[0]);
	fuzz_check(p->at <= n && p->n <= n - p->at);
}

/* The normal form means the same and is its own. */
static void check_normal(const struct window *w, const struct window_env *env, struct arena *a)
{
	struct window_problem problem;
	struct window again;

	fuzz_check(window_parse(w->text, strlen(w->text), env, a, &again, &problem) == 0);
	fuzz_check(strcmp(again.text, w->text) == 0);
	fuzz_check(again.first_day == w->first_day && again.last_day == w->last_day &&
		   again.days == w->days && again.start_min == w->start_min &&
		   again.end_min == w->end_min &&
		   strcmp(tz_name(again.zone), tz_name(w->zone)) == 0);
}

static void check_window(const struct input *in, const struct tz *zone, struct arena *a)
{
	const struct window_env env = {.zone = zone, .find = find, .arg = (void *)(uintptr_t)zone};
	struct window_problem problem = {0};
	struct window w;
	struct schedule s = {.in = &w, .n_in = 1, .until_s = INT64_MAX};
	int64_t until = in->now_s;
	int err = window_parse(in->window, in->n_window, &env, a, &w, &problem);

	if (until_parse(in->window, in->n_window, zone, &until) == 0) {
		fuzz_check(until >= -TZ_OFFSET_MAX_S);
		s.until_s = until;
	}
	if (err) {
		fuzz_check(err == -ZT_EFORM);
		check_problem(&problem, in->n_window);
		return;
	}
	check_normal(&w, &env, a);
	check_next(&s, in->now_s);
	s.n_in = 0;
	s.except = &w;
	s.n_except = 1;
	check_next(&s, in->now_s);
}

/* --- input --- */

/* The last line, and what is left before it. */
static const char *last_line(const uint8_t *p, size_t *n, size_t *ret_n)
{
	size_t end = *n;

	while (*n > 0 && p[*n - 1] != '\n')
		(*n)--;
	*ret_n = end - *n;
	return (const char *)p + *n;
}

static void split(const uint8_t *p, size_t n, struct input *in)
{
	char digits[12] = "";
	const char *time;
	size_t n_time;
	uint64_t s = 0;

	time = last_line(p, &n, &n_time);
	if (n_time < sizeof(digits))
		memcpy(digits, time, n_time);
	if (num_parse_u64(digits, 0, (uint64_t)1 << 36, &s) < 0)
		s = 1800000000;
	in->now_s = (int64_t)s;
	n -= n > 0; /* the newline */
	in->window = last_line(p, &n, &in->n_window);
	n -= n > 0;
	in->file = p;
	in->n_file = n;
}

/* The text of a rule as the one thing that a file says. */
static int decode_rule(const struct input *in, struct arena *a, const struct tz **ret)
{
	static const uint8_t header[44] = {'T', 'Z', 'i', 'f', '3', [39] = 1, [43] = 1};
	uint8_t data[2 * (sizeof(header) + 7) + TEXT_MAX + 2] = {0};
	size_t n = 0;

	if (in->n_file > TEXT_MAX)
		return -ZT_ELIMIT;
	for (int block = 0; block < 2; block++) {
		memcpy(data + n, header, sizeof(header));
		n += sizeof(header) + 7;
	}
	data[n++] = '\n';
	if (in->n_file > 0)
		memcpy(data + n, in->file, in->n_file);
	n += in->n_file;
	data[n++] = '\n';
	return tz_decode(data, n, "Rule", a, ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct tz *z = NULL;
	struct arena a;
	struct input in;
	int err;

	if (n == 0 || n > INPUT_MAX)
		return 0;
	split(p, n, &in);
	arena_init(&a, ARENA_MAX);
	err = tz_decode(in.file, in.n_file, "File", &a, &z);
	fuzz_check(err == 0 || err == -ZT_EFORM || err == -ZT_ELIMIT);
	if (err)
		err = decode_rule(&in, &a, &z);
	fuzz_check((err == 0) == (z != NULL));
	if (z)
		check_zone(z, in.now_s);
	check_window(&in, z, &a);
	arena_done(&a);
	return 0;
}
