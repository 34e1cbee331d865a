/* Time zones. A file has the instants at which the offset changed, and behind them, in its footer,
 * a rule for all time after the last (a POSIX TZ string: "CET-1CEST,M3.5.0,M10.5.0/3"). A version 1
 * file has no rule; its last offset stays. */
#include "controller/policy/tz.h"

#include <errno.h>
#include <string.h>

#include "controller/policy/date.h"
#include "zt/cur.h"

enum {
	TYPES_MAX = 256,    /* an index is one byte */
	FOOTER_MAX = 255,   /* bytes */
	NAME_MIN = 3,	    /* of an abbreviation in the footer */
	CYCLE_YEARS = 400,  /* the calendar repeats */
	OFFSET_WEST = 89999 /* RFC 8536 section 3.2 */
};

/* What a file may say: for the past RFC 8536 section 3.2 has it, the future ends in about the year
 * 10000, so that all who step through it come to its end. */
static const int64_t file_time_min = -((int64_t)1 << 59), file_time_max = (int64_t)1 << 38;
static const int64_t time_max = (int64_t)1 << 60;

struct change {
	int64_t at_s;
	int32_t offset_s; /* from there on */
};

enum day_form {
	DAY_MONTH,  /* Mm.w.d: the w-th weekday d of month m; w = 5: the last */
	DAY_JULIAN, /* Jn: 1..365, 29 February is not counted */
	DAY_COUNT   /* n: 0..365, it is */
};

/* When, in each year, an offset begins. */
struct edge {
	enum day_form form;
	int month, week, weekday; /* weekday: 0 Sunday */
	int day;
	int32_t time_s; /* local, by the offset before it; may be days away */
};

struct rule {
	int32_t std_s, dst_s;
	struct edge start, end; /* of dst */
};

struct tz {
	const char *name;
	int32_t first_s;	/* offset before the first change */
	struct change *changes; /* each to another offset */
	size_t n_changes;
	bool yearly;	       /* rule holds from yearly_from_s on, and it changes the offset */
	int64_t yearly_from_s; /* INT64_MIN: always */
	struct rule rule;
};

/* --- the yearly rule --- */

static int64_t edge_day(const struct edge *e, int64_t year)
{
	int64_t first = date_to_days(year, e->form == DAY_MONTH ? e->month : 1, 1);
	int64_t day;

	switch (e->form) {
	case DAY_JULIAN:
		return first + e->day - 1 + (date_year_is_leap(year) && e->day >= 60);
	case DAY_COUNT:
		return first + e->day;
	case DAY_MONTH:
		break;
	}
	day = first + (e->weekday + 6 - date_weekday(first)) % 7 + 7 * (e->week - 1);
	return day < first + date_month_len(year, e->month) ? day : day - 7;
}

static int64_t edge_instant(const struct edge *e, int64_t year, int32_t offset_before_s)
{
	return edge_day(e, year) * DATE_DAY_S + e->time_s - offset_before_s;
}

static int64_t year_of(int64_t t_s)
{
	return date_of_days(date_of_time(t_s)).year;
}

/* The last edge before or at t_s decides; at the same instant the start of dst does (RFC 8536
 * section 3.3.1, dst all year). An edge may fall up to ten days outside its year, so the last one
 * may be of the year before last, or of the next. */
static int32_t rule_offset(const struct rule *r, int64_t t_s)
{
	int64_t year = year_of(t_s), best = INT64_MIN;
	int32_t offset = r->std_s;

	for (int64_t y = year - 2; y <= year + 1; y++) {
		int64_t start = edge_instant(&r->start, y, r->std_s);
		int64_t end = edge_instant(&r->end, y, r->dst_s);

		if (end <= t_s && end > best) {
			best = end;
			offset = r->std_s;
		}
		if (start <= t_s && start >= best) {
			best = start;
			offset = r->dst_s;
		}
	}
	return offset;
}

/* Only edges to the other offset count, and of these each year has one, so the first that is found
 * is the first there is. What did not happen in a cycle of the calendar never does. */
static int64_t rule_next(const struct rule *r, int64_t t_s)
{
	int64_t year = year_of(t_s);
	int32_t now = rule_offset(r, t_s);

	for (int64_t y = year - 1; y <= year + CYCLE_YEARS + 2; y++) {
		int64_t start = edge_instant(&r->start, y, r->std_s);
		int64_t end = edge_instant(&r->end, y, r->dst_s);

		if (start > t_s && rule_offset(r, start) != now)
			return start;
		if (end > t_s && rule_offset(r, end) != now)
			return end;
	}
	return INT64_MAX;
}

/* --- the footer --- */

struct text {
	const char *p, *end;
	bool bad;
};

static char peek(const struct text *t)
{
	return t->p < t->end ? *t->p : '\0';
}

static bool take(struct text *t, char c)
{
	if (t->p >= t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int number(struct text *t, int min, int max)
{
	const char *from = t->p;
	int v = 0;

	while (is_digit(peek(t)) && v <= max)
		v = v * 10 + (*t->p++ - '0');
	t->bad |= t->p == from || v < min || v > max;
	return v;
}

/* "CET" or "<+0330>". */
static void abbreviation(struct text *t)
{
	bool quoted = take(t, '<');
	size_t n = 0;

	while (is_letter(peek(t)) ||
	       (quoted && (is_digit(peek(t)) || peek(t) == '+' || peek(t) == '-'))) {
		t->p++;
		n++;
	}
	t->bad |= n < NAME_MIN || (quoted && !take(t, '>'));
}

/* [+-]hh[:mm[:ss]] in seconds. */
static int32_t clock_time(struct text *t, int hours_max)
{
	bool minus = take(t, '-');
	int32_t s;

	if (!minus)
		take(t, '+');
	s = number(t, 0, hours_max) * 3600;
	if (take(t, ':'))
		s += number(t, 0, 59) * 60;
	else
		return minus ? -s : s;
	if (take(t, ':'))
		s += number(t, 0, 59);
	return minus ? -s : s;
}

static void edge_parse(struct text *t, struct edge *e)
{
	t->bad |= !take(t, ',');
	if (take(t, 'M')) {
		e->form = DAY_MONTH;
		e->month = number(t, 1, 12);
		t->bad |= !take(t, '.');
		e->week = number(t, 1, 5);
		t->bad |= !take(t, '.');
		e->weekday = number(t, 0, 6);
	} else if (take(t, 'J')) {
		e->form = DAY_JULIAN;
		e->day = number(t, 1, 365);
	} else {
		e->form = DAY_COUNT;
		e->day = number(t, 0, 365);
	}
	e->time_s = take(t, '/') ? clock_time(t, 167) : 2 * 3600;
}

/* *ret_dst: the rule has a second offset. West is positive in it, as POSIX has it. */
static int rule_parse(const char *s, size_t n, struct rule *r, bool *ret_dst)
{
	struct text t = {.p = s, .end = s + n};
	bool dst;

	abbreviation(&t);
	r->std_s = -clock_time(&t, 24);
	dst = !t.bad && t.p < t.end;
	if (dst) {
		abbreviation(&t);
		r->dst_s = peek(&t) == ',' ? r->std_s + 3600 : -clock_time(&t, 24);
		edge_parse(&t, &r->start);
		edge_parse(&t, &r->end);
	}
	if (t.bad || t.p < t.end)
		return -ZT_EFORM;
	*ret_dst = dst;
	return 0;
}

/* --- the file --- */

struct header {
	char version; /* '\0' is 1 */
	uint32_t n_isut, n_isstd, n_leap, n_times, n_types, n_chars;
};

static uint32_t cur_be32(struct cur *c)
{
	return __builtin_bswap32(cur_u32(c));
}

static int64_t cur_time(struct cur *c, size_t width)
{
	uint64_t high;

	if (width == 4)
		return (int32_t)cur_be32(c);
	high = cur_be32(c);
	return (int64_t)(high << 32 | cur_be32(c));
}

static void header_read(struct cur *c, struct header *h)
{
	const uint8_t *magic = cur_take(c, 4);

	if (magic && memcmp(magic, "TZif", 4) != 0)
		cur_fail(c);
	h->version = (char)cur_u8(c);
	if (h->version != '\0' && (h->version < '2' || h->version > '4'))
		cur_fail(c);
	cur_take(c, 15);
	h->n_isut = cur_be32(c);
	h->n_isstd = cur_be32(c);
	h->n_leap = cur_be32(c);
	h->n_times = cur_be32(c);
	h->n_types = cur_be32(c);
	h->n_chars = cur_be32(c);
}

/* The block for programs that know no other: 32 bit times. */
static void block_skip(struct cur *c, const struct header *h)
{
	uint64_t n = (uint64_t)h->n_times * 5 + (uint64_t)h->n_types * 6 + h->n_chars +
		     (uint64_t)h->n_leap * 8 + h->n_isstd + h->n_isut;

	if (n > cur_left(c))
		cur_fail(c);
	cur_take(c, (size_t)n);
}

static int header_check(const struct cur *c, const struct header *h)
{
	if (c->err || h->n_types == 0 || h->n_types > TYPES_MAX || h->n_chars == 0 || h->n_leap)
		return -ZT_EFORM;
	if ((h->n_isut && h->n_isut != h->n_types) || (h->n_isstd && h->n_isstd != h->n_types))
		return -ZT_EFORM;
	return h->n_times > TZ_CHANGES_MAX ? -ZT_ELIMIT : 0;
}

/* Times, which grow, then for each the index of a type. */
static void changes_read(struct cur *c, const struct header *h, size_t width,
			 struct change *changes, uint8_t *types)
{
	for (size_t i = 0; i < h->n_times; i++) {
		int64_t at = cur_time(c, width);

		if (at < file_time_min || at > file_time_max ||
		    (i > 0 && at <= changes[i - 1].at_s))
			cur_fail(c);
		changes[i].at_s = at;
	}
	for (size_t i = 0; i < h->n_times; i++) {
		types[i] = cur_u8(c);
		if (types[i] >= h->n_types)
			cur_fail(c);
	}
}

static void types_read(struct cur *c, const struct header *h, int32_t offsets[static TYPES_MAX])
{
	for (size_t i = 0; i < h->n_types; i++) {
		int32_t offset = (int32_t)cur_be32(c);
		uint8_t is_dst = cur_u8(c), name = cur_u8(c);

		if (offset < -OFFSET_WEST || offset >= TZ_OFFSET_MAX_S || is_dst > 1 ||
		    name >= h->n_chars)
			cur_fail(c);
		offsets[i] = offset;
	}
}

static int block_read(struct cur *c, const struct header *h, size_t width, struct arena *a,
		      struct tz *z)
{
	int32_t offsets[TYPES_MAX] = {0};
	uint8_t types[TZ_CHANGES_MAX];
	struct change *changes;

	changes = arena_array(a, h->n_times, sizeof(*changes));
	if (!changes)
		return -ENOMEM;
	changes_read(c, h, width, changes, types);
	types_read(c, h, offsets);
	cur_take(c, h->n_chars);
	cur_take(c, h->n_isstd);
	cur_take(c, h->n_isut);
	if (c->err)
		return -ZT_EFORM;
	for (size_t i = 0; i < h->n_times; i++)
		changes[i].offset_s = offsets[types[i]];
	z->first_s = offsets[0];
	z->changes = changes;
	z->n_changes = h->n_times;
	return 0;
}

/* The rule decides from the last transition on, also where the file's own last type says something
 * else. */
static void rule_apply(struct tz *z, bool dst)
{
	size_t n = z->n_changes;
	int64_t from = n > 0 ? z->changes[n - 1].at_s : 0;
	int32_t offset = dst ? rule_offset(&z->rule, from) : z->rule.std_s;

	z->yearly = dst && rule_next(&z->rule, from) < INT64_MAX;
	z->yearly_from_s = n > 0 ? from : INT64_MIN;
	if (n > 0)
		z->changes[n - 1].offset_s = offset;
	else
		z->first_s = offset;
}

/* A newline, the rule or nothing, a newline, and no more. */
static int footer_read(struct cur *c, struct tz *z)
{
	size_t n = cur_left(c);
	const char *s = (const char *)cur_take(c, n);
	bool dst;

	if (!s || n < 2 || n > FOOTER_MAX || s[0] != '\n' || s[n - 1] != '\n')
		return -ZT_EFORM;
	if (n == 2)
		return 0;
	if (rule_parse(s + 1, n - 2, &z->rule, &dst) < 0)
		return -ZT_EFORM;
	rule_apply(z, dst);
	return 0;
}

/* Many transitions change only a name or the dst flag. */
static void drop_idle(struct tz *z)
{
	int32_t offset = z->first_s;
	size_t n = 0;

	for (size_t i = 0; i < z->n_changes; i++) {
		if (z->changes[i].offset_s == offset)
			continue;
		offset = z->changes[i].offset_s;
		z->changes[n++] = z->changes[i];
	}
	z->n_changes = n;
}

static int file_read(struct cur *c, struct arena *a, struct tz *z)
{
	struct header h;
	char version;
	int err;

	header_read(c, &h);
	version = h.version;
	if (version) {
		block_skip(c, &h);
		header_read(c, &h);
	}
	err = header_check(c, &h);
	if (!err)
		err = h.version == version ? block_read(c, &h, version ? 8 : 4, a, z) : -ZT_EFORM;
	if (!err && version)
		err = footer_read(c, z);
	return err ? err : cur_done(c);
}

int tz_decode(const void *p, size_t n, const char *name, struct arena *a, const struct tz **ret)
{
	struct tz *z = arena_alloc(a, sizeof(*z));
	struct cur c;
	int err;

	if (!z || !(z->name = arena_text(a, name, strlen(name))))
		return -ENOMEM;
	cur_init(&c, p, n);
	err = file_read(&c, a, z);
	if (err)
		return err;
	drop_idle(z);
	*ret = z;
	return 0;
}

/* --- questions --- */

static const struct tz utc = {.name = "UTC"};

const struct tz *tz_utc(void)
{
	return &utc;
}

const char *tz_name(const struct tz *z)
{
	return z ? z->name : utc.name;
}

/* How many changes are at t_s or before it. */
static size_t changes_until(const struct tz *z, int64_t t_s)
{
	size_t low = 0, high = z->n_changes;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (z->changes[middle].at_s <= t_s)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The calendar is reckoned only where no sum runs over. */
static int64_t clamp_time(int64_t t_s)
{
	if (t_s > time_max)
		return time_max;
	return t_s < -time_max ? -time_max : t_s;
}

int32_t tz_offset(const struct tz *z, int64_t t_s)
{
	size_t n;

	if (!z)
		return 0;
	if (z->yearly && t_s >= z->yearly_from_s)
		return rule_offset(&z->rule, clamp_time(t_s));
	n = changes_until(z, t_s);
	return n > 0 ? z->changes[n - 1].offset_s : z->first_s;
}

int64_t tz_next(const struct tz *z, int64_t t_s)
{
	size_t n = z ? changes_until(z, t_s) : 0;

	if (!z || t_s >= time_max)
		return INT64_MAX;
	if (n < z->n_changes)
		return z->changes[n].at_s;
	if (!z->yearly)
		return INT64_MAX;
	return rule_next(&z->rule, clamp_time(t_s > z->yearly_from_s ? t_s : z->yearly_from_s));
}

int64_t tz_settled(const struct tz *z)
{
	if (z && z->yearly)
		return z->yearly_from_s;
	return z && z->n_changes > 0 ? z->changes[z->n_changes - 1].at_s : INT64_MIN;
}

/* --- names --- */

static bool is_name_byte(char c)
{
	return is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '+';
}

bool tz_name_is_valid(const char *s)
{
	size_t n = strlen(s);

	if (n > TZ_NAME_MAX || s[0] < 'A' || s[0] > 'Z')
		return false;
	for (size_t i = 1; i < n; i++)
		if (s[i - 1] == '/' ? !is_letter(s[i]) : !is_name_byte(s[i]) && s[i] != '/')
			return false;
	return s[n - 1] != '/';
}
