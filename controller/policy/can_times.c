/* The sets of whens that hold together, from now on and for ever. What windows say follows from the
 * local dates, the days of the week and the minutes; so time is walked in stretches between which
 * some zone's offset, or the say of some date, changes. In a stretch all weeks are like its first.
 * And two stretches are alike in which the same windows are awake, none of whose dates have a say,
 * with the same offsets: the second is passed over. So of the years there is little to walk.
 *
 * The walk ends at schedule_horizon: past all dates, ends and irregular clock changes, and past one
 * of each kind of year that the calendar has. */
#include "controller/policy/can_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zt/buf.h"
#include "controller/policy/when.h"

enum { SETS_MAX = 1 << 16, WALK_MEMORY_MAX = 256 << 20, WALK_WORK_MAX = 40 << 20 };

struct owned { /* a window, and the when that it is part of */
	const struct window *w;
	uint32_t when;
};

struct edge {
	int64_t at_s;
	uint32_t when;
};

struct walk {
	const struct policy_when *const *whens;
	size_t n_whens, n_words;
	struct owned *windows;
	size_t n_windows;
	struct arena *a, *scratch;
	struct names stretches, sets;
	uint64_t *now; /* bits that hold */
	const uint64_t **open;
	int64_t *at_s;
	size_t n, cap;
	size_t work;
};

/* --- windows --- */

static size_t count_windows(const struct schedule *const *list, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += list[i]->n_in + list[i]->n_except;
	return count;
}

static void take_windows(struct walk *k, uint32_t when, const struct schedule *const *list,
			 size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < list[i]->n_in; j++)
			k->windows[k->n_windows++] = (struct owned){&list[i]->in[j], when};
		for (size_t j = 0; j < list[i]->n_except; j++)
			k->windows[k->n_windows++] = (struct owned){&list[i]->except[j], when};
	}
}

static int gather(struct walk *k)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n_whens; i++)
		n += count_windows(k->whens[i]->in, k->whens[i]->n_in) +
		     count_windows(k->whens[i]->except, k->whens[i]->n_except);
	k->windows = arena_array(k->scratch, n, sizeof(*k->windows));
	if (!k->windows)
		return -ENOMEM;
	for (uint32_t i = 0; i < k->n_whens; i++) {
		take_windows(k, i, k->whens[i]->in, k->whens[i]->n_in);
		take_windows(k, i, k->whens[i]->except, k->whens[i]->n_except);
	}
	return 0;
}

static int64_t horizon(const struct walk *k, int64_t now_s)
{
	int64_t t = now_s;

	for (size_t i = 0; i < k->n_windows; i++)
		t = window_settled(k->windows[i].w, t);
	for (size_t i = 0; i < k->n_whens; i++)
		if (k->whens[i]->until_s < INT64_MAX && k->whens[i]->until_s > t)
			t = k->whens[i]->until_s;
	return k->n_windows ? schedule_horizon(t) : t + 1;
}

static int64_t next_break(const struct walk *k, int64_t t_s, int64_t end_s)
{
	for (size_t i = 0; i < k->n_windows; i++) {
		int64_t t = window_break(k->windows[i].w, t_s);

		end_s = t < end_s ? t : end_s;
	}
	for (size_t i = 0; i < k->n_whens; i++) {
		int64_t t = k->whens[i]->until_s;

		end_s = t > t_s && t < end_s ? t : end_s;
	}
	return end_s;
}

/* --- one stretch --- */

/* What holds now is a set of its own, or one that is known. */
static int note_set(struct walk *k, int64_t t_s)
{
	size_t size = k->n_words * sizeof(*k->now), cap = k->cap ? k->cap * 2 : 16;
	const uint64_t **open;
	int64_t *at_s;
	uint64_t *set;

	if (names_find(&k->sets, 0, (const char *)k->now, size) != NAMES_ABSENT)
		return 0;
	if (k->n == SETS_MAX)
		return -ZT_ELIMIT;
	if (k->n == k->cap) {
		open = arena_array(k->a, cap, sizeof(*open));
		at_s = arena_array(k->a, cap, sizeof(*at_s));
		if (!open || !at_s)
			return -ENOMEM;
		if (k->n) {
			memcpy(open, k->open, k->n * sizeof(*open));
			memcpy(at_s, k->at_s, k->n * sizeof(*at_s));
		}
		k->open = open;
		k->at_s = at_s;
		k->cap = cap;
	}
	set = arena_dup(k->a, k->now, size);
	if (!set)
		return -ENOMEM;
	k->open[k->n] = set;
	k->at_s[k->n++] = t_s;
	return names_add(&k->sets, 0, (const char *)set, size, 0);
}

static void set_when(struct walk *k, uint32_t i, int64_t t_s)
{
	uint64_t bit = UINT64_C(1) << i % 64;

	if (when_holds(k->whens[i], t_s))
		k->now[i / 64] |= bit;
	else
		k->now[i / 64] &= ~bit;
}

static int compare_edges(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return (x->at_s > y->at_s) - (x->at_s < y->at_s);
}

/* All edges in t_s..end_s, both exclusive, at most a week; sorted. */
static int find_edges(struct walk *k, int64_t t_s, int64_t end_s, struct arena *a,
		      struct edge **ret, size_t *ret_n)
{
	enum { A_WEEK = 3 * 9 }; /* midnight, start and end, of eight days and some hours */
	struct edge *v = arena_array(a, k->n_windows * A_WEEK, sizeof(*v));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < k->n_windows; i++) {
		const struct owned *o = &k->windows[i];

		for (int64_t t = window_edge(o->w, t_s); t < end_s; t = window_edge(o->w, t))
			v[n++] = (struct edge){t, o->when};
	}
	if (n > 1)
		qsort(v, n, sizeof(*v), compare_edges);
	k->work += n;
	*ret = v;
	*ret_n = n;
	return 0;
}

static int walk_edges(struct walk *k, int64_t t_s, int64_t end_s)
{
	struct edge *v = NULL;
	struct arena a;
	size_t n = 0;
	int err;

	arena_init(&a, WALK_MEMORY_MAX);
	err = find_edges(k, t_s, end_s, &a, &v, &n);
	for (uint32_t i = 0; i < k->n_whens; i++)
		set_when(k, i, t_s);
	if (!err)
		err = note_set(k, t_s);
	for (size_t i = 0; i < n && !err; i++) {
		set_when(k, v[i].when, v[i].at_s);
		if (i + 1 == n || v[i + 1].at_s != v[i].at_s)
			err = note_set(k, v[i].at_s);
	}
	arena_done(&a);
	return err;
}

/* What makes stretches alike, as bytes; false: no other is like it. */
static bool stretch_key(const struct walk *k, int64_t t_s, int64_t stop_s, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i < k->n_whens; i++)
		buf_put_u8(out, t_s < k->whens[i]->until_s);
	for (size_t i = 0; i < k->n_windows; i++) {
		const struct window *w = k->windows[i].w;

		switch (window_phase(w, t_s)) {
		case WINDOW_UNSTEADY:
			return false;
		case WINDOW_ASLEEP:
			buf_put_u32(out, UINT32_MAX);
			break;
		case WINDOW_STEADY:
			buf_put_u32(out, (uint32_t)tz_offset(w->zone, t_s));
			break;
		}
	}
	if (stop_s - t_s < SCHEDULE_WEEK_S) { /* a part of a week: which */
		buf_put_u32(out, (uint32_t)(t_s % SCHEDULE_WEEK_S));
		buf_put_u32(out, (uint32_t)(stop_s - t_s));
	}
	return out->err == 0;
}

static int walk_stretch(struct walk *k, int64_t t_s, int64_t stop_s, struct buf *key)
{
	int64_t week = t_s + SCHEDULE_WEEK_S;
	char *known;

	k->work += k->n_windows + k->n_whens;
	if (k->work > WALK_WORK_MAX)
		return -ZT_ELIMIT;
	if (stretch_key(k, t_s, stop_s, key)) {
		if (names_find(&k->stretches, 0, buf_text(key), key->len) != NAMES_ABSENT)
			return 0;
		known = arena_dup(k->scratch, key->data, key->len);
		if (!known || names_add(&k->stretches, 0, known, key->len, 0) < 0)
			return -ENOMEM;
	}
	return walk_edges(k, t_s, stop_s < week ? stop_s : week);
}

static int walk(struct walk *k, int64_t now_s)
{
	int64_t end = horizon(k, now_s), stop;
	struct buf key;
	int err = 0;

	buf_init_grow(&key, WALK_MEMORY_MAX);
	for (int64_t t = now_s; t < end && !err; t = stop) {
		stop = next_break(k, t, end);
		err = walk_stretch(k, t, stop, &key);
	}
	buf_free(&key);
	return err;
}

int can_times_find(const struct policy_when *const *whens, size_t n, int64_t now_s, struct arena *a,
		   struct can_times *ret)
{
	struct arena scratch;
	struct walk k = {
		.whens = whens, .n_whens = n, .n_words = n / 64 + 1, .a = a, .scratch = &scratch};
	int err;

	arena_init(&scratch, WALK_MEMORY_MAX);
	names_init(&k.stretches, &scratch);
	names_init(&k.sets, &scratch);
	k.now = arena_array(&scratch, k.n_words, sizeof(*k.now));
	err = k.now ? gather(&k) : -ENOMEM;
	if (!err)
		err = walk(&k, now_s);
	arena_done(&scratch);
	if (err)
		return err;
	*ret = (struct can_times){.n = k.n, .open = k.open, .at_s = k.at_s};
	return 0;
}
