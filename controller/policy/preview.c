/* Preview: the engines of all policies hold two devices of each class, of which the first stands
 * for all sources, and as a destination for all others; the second is what the first may reach
 * within its own class. */
#include "controller/policy/preview.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/engine_impl.h"

enum {
	DEVICES_AT_ONCE = 5000, /* that find their classes in one step */
	CLASSES_MEMORY_MAX = 1 << 30,
	MEANING_MEMORY_MAX = 1 << 30,
	SOURCE_MEMORY_MAX = 512 << 20,
	RESULT_MEMORY_MAX = 256 << 20,
};

struct class
{
	uint32_t first; /* its members in preview.members */
	uint32_t n, n_online;
	bool in_canary;
	uint64_t gains, loses; /* of each member */
};

struct shown { /* pairs, up to PREVIEW_PAIRS_SHOWN */
	struct preview_pair *v;
	size_t n;
};

enum { BEFORE, CANARY, AFTER, POLICIES };

struct preview {
	const struct policy *policy[POLICIES]; /* CANARY: NULL when there is none */
	const struct preview_device *devices;
	size_t n_devices;
	int64_t now_s;
	struct engine *engine[POLICIES]; /* ids are seat_id(); NULL where there is no policy */
	struct arena classes_arena, meaning_arena, result_arena;
	struct names known; /* what devices can be told by -> class */
	size_t n_known;	    /* devices that have their class */
	struct class *classes;
	uint32_t n_classes;
	uint32_t *class_of; /* by device */
	uint32_t *members;  /* devices, class by class */
	bool meant, gathered;
	uint32_t next; /* class to look at as a source */
	struct shown losing, gaining;
	struct preview_result result;
	bool done;
};

/* Id in the engines of a class's first or second device. */
static uint32_t seat_id(uint32_t class, bool second)
{
	return class * 2 + 1 + second;
}

static uint32_t class_of_id(uint32_t id)
{
	return (id - 1) / 2;
}

/* --- classes --- */

/* What the engine can tell a device by. */
static void put_key(struct buf *b, const struct engine *e, uint32_t id)
{
	const struct node *n = engine_find(e, id);

	buf_put_u32(b, n->n_seats);
	for (uint32_t i = 0; i < n->n_seats; i++)
		buf_put_u32(b, n->seats[i].atom);
	buf_put_u64(b, n->verdicts & (engine_profiles(e, id) | e->index.watch_needs));
	buf_put_u64(b, n->places.in);
	buf_put_u64(b, n->places.out);
}

/* To a policy that it is not under a device is a destination alone, and those have no conditions.
 */
static struct subject subject_under(const struct preview_device *d, unsigned which, uint32_t id)
{
	struct subject s = which == AFTER ? d->after : d->before;

	s.id = id;
	if (which != AFTER && d->in_canary != (which == CANARY)) {
		s.verdicts = 0;
		s.places = (struct places){0};
	}
	return s;
}

static int put_in_all(struct preview *p, const struct preview_device *d, uint32_t id)
{
	int err = 0;

	for (unsigned i = 0; i < POLICIES && !err; i++) {
		struct subject s = subject_under(d, i, id);

		err = p->engine[i] ? engine_put(p->engine[i], &s) : 0;
	}
	return err;
}

static void remove_from_all(struct preview *p, uint32_t id)
{
	for (unsigned i = 0; i < POLICIES; i++)
		if (p->engine[i])
			engine_remove(p->engine[i], id);
}

/* What a source has now is what the policy that it is under gives it. */
static const struct engine *engine_before(const struct preview *p, uint32_t class)
{
	return p->engine[p->classes[class].in_canary ? CANARY : BEFORE];
}

/* The class of a key; a new one when there is none yet. */
static int find_class(struct preview *p, const struct buf *key, uint32_t *ret)
{
	uint32_t id = names_find(&p->known, 0, (const char *)key->data, key->len);
	char *copy;
	int err;

	if (id == NAMES_ABSENT) {
		copy = arena_dup(&p->classes_arena, key->data, key->len);
		err = copy ? names_add(&p->known, 0, copy, key->len, p->n_classes) : -ENOMEM;
		if (err < 0)
			return err;
		id = p->n_classes++;
	}
	*ret = id;
	return 0;
}

/* The device sits down in all engines, to see what it is, and stays when it is one of the first
 * two of its class. */
static int classify(struct preview *p, size_t i, struct buf *key)
{
	const struct preview_device *d = &p->devices[i];
	uint32_t fresh = seat_id(p->n_classes, false), class = 0;
	struct class *c;
	int err = put_in_all(p, d, fresh);

	if (err < 0)
		return err;
	buf_reset(key);
	buf_put_u32(key, d->in_canary);
	for (unsigned k = 0; k < POLICIES; k++)
		if (p->engine[k])
			put_key(key, p->engine[k], fresh);
	err = key->err ? key->err : find_class(p, key, &class);
	if (err < 0)
		return err;
	c = &p->classes[class];
	p->class_of[i] = class;
	c->in_canary = d->in_canary;
	c->n_online += d->online;
	if (c->n++ == 0) /* it is a class of its own, and sits right */
		return 0;
	remove_from_all(p, fresh);
	return c->n == 2 ? put_in_all(p, d, seat_id(class, true)) : 0;
}

static void gather_members(struct preview *p)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < p->n_classes; i++) {
		p->classes[i].first = used;
		used += p->classes[i].n;
		p->classes[i].n = 0;
	}
	for (uint32_t i = 0; i < p->n_devices; i++) {
		struct class *c = &p->classes[p->class_of[i]];

		p->members[c->first + c->n++] = i;
	}
}

static int begin_classes(struct preview *p)
{
	struct arena *a = &p->classes_arena;

	p->classes = arena_array(a, p->n_devices, sizeof(*p->classes));
	p->class_of = arena_array(a, p->n_devices, sizeof(*p->class_of));
	p->members = arena_array(a, p->n_devices, sizeof(*p->members));
	names_init(&p->known, a);
	return p->classes && p->class_of && p->members ? 0 : -ENOMEM;
}

/* The next devices find their classes. */
static int make_classes(struct preview *p)
{
	size_t end = p->n_known + DEVICES_AT_ONCE;
	struct buf key;
	int err = p->classes ? 0 : begin_classes(p);

	buf_init_grow(&key, CLASSES_MEMORY_MAX);
	for (; p->n_known < p->n_devices && p->n_known < end && !err; p->n_known++)
		err = classify(p, p->n_known, &key);
	buf_free(&key);
	if (err < 0)
		return -ENOMEM;
	p->gathered = p->n_known == p->n_devices;
	if (p->gathered)
		gather_members(p);
	return 0;
}

/* --- pairs --- */

static uint32_t device_id(const struct preview *p, uint32_t member)
{
	return p->devices[p->members[member]].before.id;
}

static int keep_ports(struct preview *p, struct portset *s)
{
	if (!s->n)
		return 0;
	s->v = arena_dup(&p->result_arena, s->v, s->n * sizeof(*s->v));
	return s->v ? 0 : -ENOMEM;
}

/* Every pair of members, as far as there is room. */
static int show_pairs(struct preview *p, const struct class *s, const struct class *d,
		      struct preview_pair what)
{
	struct shown *to = what.lost.n ? &p->losing : &p->gaining;

	if (to->n == PREVIEW_PAIRS_SHOWN)
		return 0;
	if (keep_ports(p, &what.gained) < 0 || keep_ports(p, &what.lost) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n; i++)
		for (uint32_t j = 0; j < d->n && to->n < PREVIEW_PAIRS_SHOWN; j++) {
			what.src = device_id(p, s->first + i);
			what.dst = device_id(p, d->first + j);
			if (what.src != what.dst)
				to->v[to->n++] = what;
		}
	return 0;
}

/* Something comes or goes from each of s to each of d (to each other, when they are one class). */
static void count_pairs(struct preview *p, struct class *s, struct class *d, bool gains, bool loses)
{
	uint64_t others = d->n - (s == d), online = d->n_online - (s == d && d->n_online);
	uint64_t pairs = s->n * others;

	p->result.n_pairs += pairs;
	p->result.n_gains += gains ? pairs : 0;
	p->result.n_loses += loses ? pairs : 0;
	p->result.n_cuts += loses ? s->n_online * online : 0;
	s->gains += gains ? others : 0;
	s->loses += loses ? others : 0;
	d->gains += gains ? (s == d ? others : s->n) : 0;
	d->loses += loses ? (s == d ? others : s->n) : 0;
}

/* What a source has to one destination. */
static int ports_of(const struct grant *v, size_t n, struct arena *a, struct portset *ret)
{
	struct service *list = arena_array(a, n, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		list[i] = v[i].svc;
	return portset_of(list, n, a, ret);
}

static int compare_pair(struct preview *p, uint32_t src, uint32_t dst, const struct portset *before,
			const struct portset *after, struct arena *a)
{
	struct class *s = &p->classes[src], *d = &p->classes[dst];
	struct preview_pair what = {0};
	int err;

	if (portset_equal(before, after))
		return 0;
	err = portset_minus(after, before, a, &what.gained);
	if (!err)
		err = portset_minus(before, after, a, &what.lost);
	if (err < 0)
		return err;
	count_pairs(p, s, d, what.gained.n > 0, what.lost.n > 0);
	return show_pairs(p, s, d, what);
}

/* Is id the device that stands for the destinations of its class? */
static bool stands_for(uint32_t src, uint32_t id)
{
	return id == seat_id(class_of_id(id), class_of_id(id) == src);
}

/* Grants of one source, as they lie: those to one destination are together. */
struct run {
	const struct grant *v;
	size_t n, at, end;
};

static uint32_t run_dst(const struct run *r)
{
	return r->at < r->n ? r->v[r->at].dst : UINT32_MAX;
}

/* Ports to dst, and on behind them. */
static int run_take(struct run *r, uint32_t dst, struct arena *a, struct portset *ret)
{
	for (r->end = r->at; r->end < r->n && r->v[r->end].dst == dst;)
		r->end++;
	*ret = (struct portset){0};
	if (r->end > r->at) {
		int err = ports_of(r->v + r->at, r->end - r->at, a, ret);

		if (err < 0)
			return err;
	}
	r->at = r->end;
	return 0;
}

/* All pairs with this source. *left: grants that may still be looked at in this step. */
static int compare_source(struct preview *p, uint32_t src, size_t *left)
{
	const struct engine *e[] = {engine_before(p, src), p->engine[AFTER]};
	struct run r[2] = {0};
	struct arena a;
	int err = 0;

	arena_init(&a, SOURCE_MEMORY_MAX);
	for (size_t i = 0; i < 2 && !err; i++)
		err = engine_grants_from(e[i], seat_id(src, false), &a, &r[i].v, &r[i].n);
	while (!err && (r[0].at < r[0].n || r[1].at < r[1].n)) {
		uint32_t dst = run_dst(&r[0]) < run_dst(&r[1]) ? run_dst(&r[0]) : run_dst(&r[1]);
		struct portset set[2];

		err = run_take(&r[0], dst, &a, &set[0]);
		if (!err)
			err = run_take(&r[1], dst, &a, &set[1]);
		if (!err && stands_for(src, dst))
			err = compare_pair(p, src, class_of_id(dst), &set[0], &set[1], &a);
	}
	*left -= *left < r[0].n + r[1].n + 1 ? *left : r[0].n + r[1].n + 1;
	arena_done(&a);
	return err;
}

/* --- the whole --- */

static int compare_shown(const void *a, const void *b)
{
	const struct preview_pair *x = a, *y = b;

	if (x->src != y->src)
		return x->src < y->src ? -1 : 1;
	return (x->dst > y->dst) - (x->dst < y->dst);
}

static void sort_shown(const struct shown *s)
{
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), compare_shown);
}

static void finish_pairs(struct preview *p)
{
	size_t room = PREVIEW_PAIRS_SHOWN - p->losing.n;

	sort_shown(&p->losing);
	sort_shown(&p->gaining);
	if (room > p->gaining.n)
		room = p->gaining.n;
	memcpy(p->losing.v + p->losing.n, p->gaining.v, room * sizeof(*p->losing.v));
	p->result.pairs = p->losing.v;
	p->result.n_pairs_shown = p->losing.n + room;
}

static int finish_devices(struct preview *p)
{
	struct preview_touched *v =
		arena_array(&p->result_arena, PREVIEW_DEVICES_SHOWN, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_devices; i++) {
		const struct class *c = &p->classes[p->class_of[i]];

		if (!c->gains && !c->loses)
			continue;
		if (p->result.n_devices++ < PREVIEW_DEVICES_SHOWN)
			v[p->result.n_devices_shown++] =
				(struct preview_touched){.id = p->devices[i].before.id,
							 .gains = c->gains,
							 .loses = c->loses};
	}
	p->result.devices = v;
	return 0;
}

static bool make_engines(struct preview *p)
{
	for (unsigned i = 0; i < POLICIES; i++) {
		if (!p->policy[i])
			continue;
		p->engine[i] = engine_new(p->policy[i], p->now_s);
		if (!p->engine[i])
			return false;
	}
	return true;
}

int preview_new(const struct policy *before, const struct policy *canary,
		const struct policy *after, const struct preview_device *v, size_t n, int64_t now_s,
		struct preview **ret)
{
	struct preview *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct preview){
		.policy = {before, canary, after}, .devices = v, .n_devices = n, .now_s = now_s};
	arena_init(&p->classes_arena, CLASSES_MEMORY_MAX);
	arena_init(&p->meaning_arena, MEANING_MEMORY_MAX);
	arena_init(&p->result_arena, RESULT_MEMORY_MAX);
	p->losing.v = arena_array(&p->result_arena, PREVIEW_PAIRS_SHOWN, sizeof(*p->losing.v));
	p->gaining.v = arena_array(&p->result_arena, PREVIEW_PAIRS_SHOWN, sizeof(*p->gaining.v));
	if (!make_engines(p) || !p->losing.v || !p->gaining.v) {
		preview_free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void preview_free(struct preview *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < POLICIES; i++)
		engine_free(p->engine[i]);
	arena_done(&p->classes_arena);
	arena_done(&p->meaning_arena);
	arena_done(&p->result_arena);
	free(p);
}

int preview_step(struct preview *p, size_t grants)
{
	int err = 0;

	if (p->done)
		return 0;
	if (!p->meant) {
		p->meant = true;
		err = meaning_compare(p->policy[BEFORE], p->policy[AFTER], p->now_s,
				      &p->meaning_arena, &p->result.meaning);
		return err < 0 ? err : 1;
	}
	if (!p->gathered) {
		err = make_classes(p);
		return err < 0 ? err : 1;
	}
	while (p->next < p->n_classes && grants && !err)
		err = compare_source(p, p->next++, &grants);
	if (err < 0)
		return err;
	if (p->next < p->n_classes)
		return 1;
	finish_pairs(p);
	p->done = true;
	return finish_devices(p);
}

const struct preview_result *preview_result(const struct preview *p)
{
	return &p->result;
}

/* --- one pair --- */

/* The class of a device; false: it is not there. */
static bool class_of_device(const struct preview *p, uint32_t id, uint32_t *ret)
{
	for (size_t i = 0; i < p->n_devices; i++)
		if (p->devices[i].before.id == id) {
			*ret = p->class_of[i];
			return true;
		}
	return false;
}

static int may_open(const struct engine *e, uint32_t src, uint32_t dst, const struct service *svc,
		    bool *ret)
{
	const struct grant *v;
	struct portset ports = {0};
	size_t n = 0, from = 0, to;
	struct arena a;
	int err;

	arena_init(&a, SOURCE_MEMORY_MAX);
	err = engine_grants_from(e, src, &a, &v, &n);
	while (!err && from < n && v[from].dst != dst)
		from++;
	for (to = from; !err && to < n && v[to].dst == dst;)
		to++;
	if (!err && to > from)
		err = ports_of(v + from, to - from, &a, &ports);
	if (!err)
		*ret = portset_covers(&ports, svc);
	arena_done(&a);
	return err;
}

int preview_cuts(const struct preview *p, uint32_t src, uint32_t dst, const struct service *svc,
		 bool *ret)
{
	bool before = false, after = false;
	uint32_t s, d, to;
	int err;

	*ret = false;
	if (src == dst || !class_of_device(p, src, &s) || !class_of_device(p, dst, &d))
		return 0;
	to = seat_id(d, s == d);
	err = may_open(engine_before(p, s), seat_id(s, false), to, svc, &before);
	if (!err)
		err = may_open(p->engine[AFTER], seat_id(s, false), to, svc, &after);
	if (!err)
		*ret = before && !after;
	return err;
}

bool preview_is_nothing(const struct preview_result *r)
{
	return r->n_pairs == 0 && r->meaning.n == 0;
}
