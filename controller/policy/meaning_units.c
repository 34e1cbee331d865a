/* Units of who, when, where and how, each with its words, and the numbers of all. What rules open
 * is in meaning_openings.c. */
#include "controller/policy/meaning_units_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/condition.h"
#include "controller/policy/demand.h"
#include "controller/policy/place.h"
#include "controller/policy/words.h"
#include "zt/buf.h"
#include "zt/num.h"

enum { EXCEPTS_SHOWN = 4 };

void units_init(struct units *u, struct arena *a)
{
	*u = (struct units){.arena = a};
	names_init(&u->names, a);
}

void units_fail(struct units *u, int err)
{
	if (err < 0 && !u->err)
		u->err = err;
}

void *units_array(struct units *u, size_t n, size_t size)
{
	void *p = u->err ? NULL : arena_array(u->arena, n, size);

	if (!p)
		units_fail(u, -ENOMEM);
	return p;
}

void units_begin(struct units *u, const struct policy *p, bool leases_as_given)
{
	u->policy = p;
	u->leases_as_given = leases_as_given;
	u->round++;
	u->hosts = units_array(u, p->n_resources, sizeof(*u->hosts));
}

/* --- numbers for keys --- */

bool units_reserve(struct units *u, void **v, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t more = *cap ? *cap * 2 : 64;
	void *p;

	if (n < *cap)
		return true;
	p = units_array(u, more, size);
	if (!p)
		return false;
	if (n)
		memcpy(p, *v, n * size);
	*v = p;
	*cap = more;
	return true;
}

uint32_t units_find(const struct units *u, enum unit_key kind, const void *key, size_t n)
{
	return u->err ? NAMES_ABSENT : names_find(&u->names, kind, key, n);
}

void units_remember(struct units *u, enum unit_key kind, const void *key, size_t n, uint32_t value)
{
	void *copy = u->err ? NULL : arena_dup(u->arena, key, n);

	units_fail(u, copy ? names_add(&u->names, kind, copy, n, value) : -ENOMEM);
}

uint32_t units_add(struct units *u, enum unit_key kind, const void *key, size_t n, const char *text)
{
	void *texts = u->texts;

	if (!units_reserve(u, &texts, u->n_texts, &u->texts_cap, sizeof(*u->texts)))
		return 0;
	u->texts = texts;
	u->texts[u->n_texts] = arena_text(u->arena, text, strlen(text));
	if (!u->texts[u->n_texts])
		units_fail(u, -ENOMEM);
	units_remember(u, kind, key, n, u->n_texts);
	return u->n_texts++;
}

uint32_t unit_of_text(struct units *u, const char *text)
{
	size_t n = strlen(text);
	uint32_t id = units_find(u, KEY_TEXT, text, n);

	return id != NAMES_ABSENT ? id : units_add(u, KEY_TEXT, text, n, text);
}

static void put_excepts(struct units *u, struct buf *b, const uint32_t *v, uint32_t n)
{
	for (uint32_t i = 0; i < n && i < EXCEPTS_SHOWN; i++) {
		bool nested = strchr(u->texts[v[i]], ' ') != NULL;

		buf_printf(b, "%s%s%.200s%s", i ? ", " : " except ", nested ? "(" : "",
			   u->texts[v[i]], nested ? ")" : "");
	}
	if (n > EXCEPTS_SHOWN)
		buf_printf(b, " and %u more", n - EXCEPTS_SHOWN);
}

/* base without excepts, which are sorted. */
static uint32_t without(struct units *u, uint32_t base, const struct ids *excepts)
{
	uint32_t *key = units_array(u, excepts->n + (size_t)1, sizeof(*key)), id;
	size_t size = (excepts->n + (size_t)1) * sizeof(*key);
	char text[UNIT_TEXT_MAX];
	struct buf b;

	if (!key || !excepts->n)
		return base;
	key[0] = base;
	memcpy(key + 1, excepts->v, excepts->n * sizeof(*key));
	id = units_find(u, KEY_EXCEPT, key, size);
	if (id != NAMES_ABSENT || u->err)
		return id;
	buf_init(&b, text, sizeof(text));
	buf_printf(&b, "%.100s", u->texts[base]);
	put_excepts(u, &b, key + 1, excepts->n);
	return units_add(u, KEY_EXCEPT, key, size, buf_text(&b));
}

struct ids units_sorted(uint32_t *v, uint32_t n)
{
	return (struct ids){.v = v, .n = v ? ids_sort(v, n) : 0};
}

/* --- who, and hosts --- */

static uint32_t unit_of_selector(struct units *u, const struct selector *s)
{
	char text[SELECTOR_TEXT_MAX];

	selector_print(s, text);
	return unit_of_text(u, text);
}

static struct ids selector_list(struct units *u, const struct selector *s, size_t n)
{
	uint32_t *v = units_array(u, n, sizeof(*v));

	for (size_t i = 0; v && i < n; i++)
		v[i] = unit_of_selector(u, &s[i]);
	return units_sorted(v, (uint32_t)n);
}

struct ids units_of_selectors(struct units *u, const struct selectors *l)
{
	struct ids excepts = selector_list(u, l->except, l->n_except);
	struct ids in = selector_list(u, l->in, l->n_in);
	uint32_t *v = units_array(u, in.n, sizeof(*v));

	for (uint32_t i = 0; v && i < in.n; i++)
		v[i] = without(u, in.v[i], &excepts);
	return units_sorted(v, in.n);
}

/* --- times --- */

static struct ids window_list(struct units *u, const struct window *w, size_t n)
{
	uint32_t *v = units_array(u, n, sizeof(*v));

	for (size_t i = 0; v && i < n; i++)
		v[i] = unit_of_text(u, w[i].text);
	return units_sorted(v, (uint32_t)n);
}

static uint32_t ending(struct units *u, uint32_t unit, int64_t until_s)
{
	const struct {
		int64_t until_s, unit;
	} key = {until_s, unit};
	char text[UNIT_TEXT_MAX], end[DATE_TIME_TEXT_MAX];
	uint32_t id;

	if (until_s == INT64_MAX || u->err)
		return unit;
	id = units_find(u, KEY_UNTIL, &key, sizeof(key));
	if (id != NAMES_ABSENT)
		return id;
	time_print(until_s, end);
	snprintf(text, sizeof(text), "%.900s until %s", u->texts[unit], end);
	return units_add(u, KEY_UNTIL, &key, sizeof(key), text);
}

static struct ids both(struct units *u, const struct ids *a, const struct ids *b)
{
	uint32_t *v = units_array(u, a->n + (size_t)b->n, sizeof(*v));

	if (!v)
		return (struct ids){0};
	if (a->n)
		memcpy(v, a->v, a->n * sizeof(*v));
	if (b->n)
		memcpy(v + a->n, b->v, b->n * sizeof(*v));
	return units_sorted(v, a->n + b->n);
}

/* Its windows, each without excepts and more, until its end or an earlier one. */
static struct ids schedule_units(struct units *u, const struct schedule *s, const struct ids *more,
				 int64_t until_s)
{
	struct ids own = window_list(u, s->except, s->n_except), excepts = both(u, &own, more);
	struct ids in = window_list(u, s->in, s->n_in);
	uint32_t always = unit_of_text(u, "always"), *v;

	if (!s->n_in)
		in = (struct ids){.v = &always, .n = 1};
	v = units_array(u, in.n, sizeof(*v));
	for (uint32_t i = 0; v && i < in.n; i++)
		v[i] = ending(u, without(u, in.v[i], &excepts),
			      s->until_s < until_s ? s->until_s : until_s);
	return units_sorted(v, in.n);
}

static struct ids schedules_units(struct units *u, const struct schedule *const *list, size_t n,
				  const struct ids *more, int64_t until_s)
{
	struct ids all = {0};

	for (size_t i = 0; i < n; i++) {
		struct ids one = schedule_units(u, list[i], more, until_s);

		all = i ? both(u, &all, &one) : one;
	}
	return all;
}

struct ids units_of_when(struct units *u, uint32_t when)
{
	static const struct schedule always = {.until_s = INT64_MAX};
	const struct schedule *const none[] = {&always};
	const struct policy_when *w = when == POLICY_ALWAYS ? NULL : &u->policy->whens[when];
	struct ids nothing = {0}, excepts;

	if (!w)
		return schedules_units(u, none, 1, &nothing, INT64_MAX);
	excepts = schedules_units(u, w->except, w->n_except, &nothing, INT64_MAX);
	return schedules_units(u, w->n_in ? w->in : none, w->n_in ? w->n_in : 1, &excepts,
			       w->until_s);
}

/* --- places --- */

static uint32_t unit_of_item(struct units *u, const struct place_item *i)
{
	char text[PREFIX_TEXT_MAX + 16], prefix[PREFIX_TEXT_MAX];

	if (i->kind == PLACE_COUNTRY) {
		snprintf(text, sizeof(text), "country:%s", i->country);
	} else {
		prefix_print(&i->prefix, prefix);
		snprintf(text, sizeof(text), "%s %s",
			 i->kind == PLACE_SOURCE ? "source" : "overlay", prefix);
	}
	return unit_of_text(u, text);
}

static struct ids item_list(struct units *u, const struct place_item *items, size_t n)
{
	uint32_t *v = units_array(u, n, sizeof(*v));

	for (size_t i = 0; v && i < n; i++)
		v[i] = unit_of_item(u, &items[i]);
	return units_sorted(v, (uint32_t)n);
}

/* The items of a place or country, each without its excepts and more. */
static struct ids spot_units(struct units *u, uint32_t spot, const struct ids *more)
{
	const struct policy_spot *s = &u->policy->spots[spot];
	const struct policy_place *p = &u->policy->places[s->place];
	struct place_item country = {.kind = PLACE_COUNTRY};
	struct ids in, excepts;
	uint32_t *v;

	memcpy(country.country, s->country, sizeof(country.country));
	in = s->country[0] ? item_list(u, &country, 1) : item_list(u, p->in, p->n_in);
	excepts = s->country[0] ? (struct ids){0} : item_list(u, p->except, p->n_except);
	excepts = both(u, &excepts, more);
	v = units_array(u, in.n, sizeof(*v));
	for (uint32_t i = 0; v && i < in.n; i++)
		v[i] = without(u, in.v[i], &excepts);
	return units_sorted(v, in.n);
}

static struct ids spots_units(struct units *u, uint64_t spots, const struct ids *more)
{
	struct ids all = {0};

	for (uint64_t left = spots; left; left &= left - 1) {
		struct ids one = spot_units(u, (uint32_t)__builtin_ctzll(left), more);

		all = both(u, &all, &one);
	}
	return all;
}

struct ids units_of_where(struct units *u, const struct policy_rule *r)
{
	struct ids nothing = {0}, excepts = spots_units(u, r->where_except, &nothing);
	uint32_t *anywhere;

	if (r->where)
		return spots_units(u, r->where, &excepts);
	anywhere = units_array(u, 1, sizeof(*anywhere));
	if (!anywhere)
		return nothing;
	*anywhere = without(u, unit_of_text(u, "anywhere"), &excepts);
	return (struct ids){.v = anywhere, .n = 1};
}

/* --- posture --- */

/* "012.5.0" is 12.5: numbers without leading zeros, and no zeros at the end. */
static void put_version(struct buf *b, const char *s)
{
	size_t keep = b->len;
	unsigned numbers = 0;

	while (*s) {
		size_t n;

		s += strspn(s, "0");
		n = strspn(s, "0123456789");
		buf_printf(b, "%s%.*s", numbers++ ? "." : "", n ? (int)n : 1, n ? s : "0");
		if (n || numbers == 1)
			keep = b->len;
		s += n;
		s += *s == '.';
	}
	b->len = keep;
}

static void put_condition(struct buf *b, const struct condition *c)
{
	char number[32];
	bool no = c->kind->type == FACT_TYPE_BOOL && c->op == CONDITION_NE;

	buf_printf(b, "%s %s ", c->fact, condition_op_text(no ? CONDITION_EQ : c->op));
	switch (c->kind->type) {
	case FACT_TYPE_BOOL:
		buf_put_text(b, (c->number != 0) != no ? "true" : "false");
		break;
	case FACT_TYPE_DURATION:
		num_print_duration(c->number, number, sizeof(number));
		buf_put_text(b, number);
		break;
	case FACT_TYPE_NUMBER:
		buf_printf(b, "%llu", (unsigned long long)c->number);
		break;
	case FACT_TYPE_VERSION:
		put_version(b, c->value);
		break;
	case FACT_TYPE_TEXT:
		buf_put_text(b, c->value);
		break;
	}
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Condition, and the age that its fact may have. A value has no comma. */
static const char *requirement(struct units *u, const struct policy_posture *p, size_t i)
{
	char age[32];
	const char *text;
	struct buf b;

	buf_init_grow(&b, 64 << 10);
	put_condition(&b, &p->require[i]);
	if (p->max_age_s != ZT_FACT_MAX_AGE_S) {
		num_print_duration(p->max_age_s, age, sizeof(age));
		buf_printf(&b, ", at most %s old", age);
	}
	text = b.err ? NULL : arena_text(u->arena, (const char *)b.data, b.len);
	units_fail(u, text ? 0 : -ENOMEM);
	buf_free(&b);
	return text;
}

/* All in one, for grace counts from the first that fails. */
static uint32_t unit_of_profile(struct units *u, const struct policy_posture *p,
				const char *const *all, size_t n)
{
	char grace[32];
	uint32_t id = 0;
	struct buf b;

	buf_init_grow(&b, 1 << 20);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(all[i], all[i - 1]) != 0)
			buf_printf(&b, "%s%s", i ? ", " : "", all[i]);
	num_print_duration(p->grace_s, grace, sizeof(grace));
	buf_printf(&b, ", grace %s", grace);
	if (b.err)
		units_fail(u, -ENOMEM);
	else
		id = unit_of_text(u, buf_text(&b));
	buf_free(&b);
	return id;
}

/* Without grace a profile is no more than its conditions. */
static struct ids profile_units(struct units *u, const struct policy_posture *p)
{
	const char **all = units_array(u, p->n_require, sizeof(*all));
	uint32_t *v = units_array(u, p->n_require + 1, sizeof(*v));

	for (size_t i = 0; v && i < p->n_require; i++)
		all[i] = requirement(u, p, i);
	if (u->err)
		return (struct ids){0};
	if (p->grace_s) {
		qsort(all, p->n_require, sizeof(*all), compare_texts);
		v[0] = unit_of_profile(u, p, all, p->n_require);
		return (struct ids){.v = v, .n = 1};
	}
	for (size_t i = 0; i < p->n_require; i++)
		v[i] = unit_of_text(u, all[i]);
	return units_sorted(v, (uint32_t)p->n_require);
}

/* Of each kind one: programs and accounts are one of several, so that they make one unit. */
static struct ids demand_units(struct units *u, const struct policy_demands *d)
{
	uint32_t *v = units_array(u, DEMAND_KINDS, sizeof(*v)), n = 0;

	for (unsigned left = demands_kinds(d); v && left; left &= left - 1) {
		const char *text = demand_print(d, (enum demand_kind)__builtin_ctz(left), u->arena);

		units_fail(u, text ? 0 : -ENOMEM);
		if (text)
			v[n++] = unit_of_text(u, text);
	}
	return units_sorted(v, n);
}

struct ids units_of_how(struct units *u, const struct policy_rule *r)
{
	struct ids all = demand_units(u, &r->demands);

	for (size_t i = 0; i < r->n_how; i++) {
		struct ids one = profile_units(u, &u->policy->postures[r->how[i]]);

		all = both(u, &all, &one);
	}
	return all;
}

/* --- cases --- */

uint32_t case_of(struct units *u, bool deny, uint32_t when, uint32_t where, const struct ids *how)
{
	uint32_t *key = units_array(u, how->n + (size_t)3, sizeof(*key)), id;
	size_t size = (how->n + (size_t)3) * sizeof(*key);

	if (!key)
		return 0;
	key[0] = deny;
	key[1] = when;
	key[2] = where;
	if (how->n)
		memcpy(key + 3, how->v, how->n * sizeof(*key));
	id = units_find(u, KEY_CASE, key, size);
	if (id != NAMES_ABSENT)
		return id;
	units_remember(u, KEY_CASE, key, size, u->n_cases);
	return u->n_cases++;
}
