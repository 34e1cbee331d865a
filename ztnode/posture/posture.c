/* When to read what: every wanted fact is an entry with a time when it is due. A watched file that
 * changes makes its entries due now; one timer runs at the earliest due time. */
#include "ztnode/posture/posture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/custom.h"
#include "ztnode/posture/fact.h"
#include "ztnode/posture/hash.h"
#include "ztnode/posture/watch.h"
#include "zt/txt.h"

enum {
	POSTURE_FULL_MS = 300000, /* everything is read again, watched or not */
	POSTURE_POLL_MS = 30000,  /* what cannot be watched */
	POSTURE_GAP_MS = 100,	  /* between two readings of one fact */
	POSTURE_GIVEN_MAX = 16,
};

static const int64_t never_ms = INT64_MAX;

struct entry {
	struct fact fact;	     /* age_s is filled in by a snapshot */
	const struct collector *how; /* NULL: there is no such fact */
	int64_t read_ms;	     /* the fact is as of then; boot clock, as all here */
	int64_t tried_ms;	     /* last reading began */
	int64_t took_ms;	     /* how long it was, if it took several turns */
	int64_t due_ms;
	bool is_watched; /* all changes of its files are told */
	bool is_new;	 /* its first value is no news */
	bool has_hash;	 /* the value is the hash of the file as it was: */
	struct hash_identity hash_of;
};

struct given {
	char name[ZT_FACT_NAME_MAX + 1];
	enum fact_state state;
	char value[ZT_FACT_VALUE_MAX + 1];
	int64_t set_ms;
};

struct posture {
	struct loop *loop;
	void (*changed)(void *arg);
	void *arg;
	struct source source;
	struct custom *custom; /* NULL: no directory */
	struct watch *watch;   /* NULL: nothing can be watched */
	struct loop_timer *timer;
	struct entry *entries; /* sorted by name */
	size_t n_entries;
	struct given given[POSTURE_GIVEN_MAX];
	size_t n_given;
	struct entry *hashing; /* whose file is in work, or NULL */
	struct hash hash;
	bool is_news;
};

static int64_t now_ms(const struct posture *p)
{
	return loop_now(p->loop).boot_ms;
}

static const char *entry_argument(const struct entry *e)
{
	return collect_argument(e->how, e->fact.name);
}

/* --- when --- */

/* A change of a file is looked at in the turn that told of it (not_before: now). All else comes a
 * turn later, so that work() runs once a turn and never starves the loop. */
static void arm(struct posture *p, int64_t not_before)
{
	int64_t at = p->is_news || p->hashing ? 0 : never_ms;

	for (size_t i = 0; i < p->n_entries; i++)
		if (p->entries[i].due_ms < at)
			at = p->entries[i].due_ms;
	loop_timer_set(p->timer, at == never_ms ? -1 : (at < not_before ? not_before : at));
}

static int64_t interval_ms(const struct entry *e)
{
	if (e->how->poll_s)
		return (int64_t)e->how->poll_s * 1000;
	return e->is_watched ? POSTURE_FULL_MS : POSTURE_POLL_MS;
}

/* On a grid, so that facts of the same interval are read in one turn and the machine wakes once for
 * all. */
static int64_t next_due(const struct entry *e, int64_t now)
{
	int64_t every = interval_ms(e);

	if (e->how->kind == COLLECT_MOVING || e->how->kind == COLLECT_CUSTOM)
		return never_ms;
	return (now / every + 1) * every;
}

/* A file that is long to hash and written all the time gets no more than a tenth of our time. */
static int64_t gap_ms(const struct entry *e)
{
	int64_t least = e->how->gap_ms ? e->how->gap_ms : POSTURE_GAP_MS;
	int64_t fair = 10 * e->took_ms;

	return fair > least ? fair : least;
}

/* Something happened to what the entry depends on. */
static void make_due(struct posture *p, struct entry *e)
{
	int64_t at = e->tried_ms + gap_ms(e);
	int64_t now = now_ms(p);

	if (at < now)
		at = now;
	if (at < e->due_ms)
		e->due_ms = at;
	arm(p, now);
}

static void file_changed(void *arg, size_t id)
{
	struct posture *p = arg;

	make_due(p, &p->entries[id]);
}

static void custom_changed(void *arg)
{
	struct posture *p = arg;

	for (size_t i = 0; i < p->n_entries; i++) {
		struct entry *e = &p->entries[i];

		if (e->how && e->how->kind == COLLECT_CUSTOM)
			e->due_ms = now_ms(p);
	}
	arm(p, now_ms(p) + 1);
}

/* --- what --- */

static struct given *given_find(struct posture *p, const char *name)
{
	for (size_t i = 0; i < p->n_given; i++)
		if (txt_equal(p->given[i].name, name))
			return &p->given[i];
	return NULL;
}

/* The rule of posture_set. Returns the time that the fact is of. */
static int64_t use_given(struct posture *p, struct fact *f, int64_t read_ms)
{
	const struct given *g = given_find(p, f->name);

	if (!g ||
	    (f->state == FACT_KNOWN && (g->state != FACT_KNOWN || txt_equal(f->value, "true"))))
		return read_ms;
	if (g->state == FACT_KNOWN)
		fact_set_text(f, g->value);
	else
		fact_set_unknown(f, g->value);
	return g->set_ms;
}

/* The one place where an entry's fact changes. */
static void entry_set(struct posture *p, struct entry *e, struct fact *f, int64_t read_ms)
{
	e->read_ms = use_given(p, f, read_ms);
	if (f->state == e->fact.state && txt_equal(f->value, e->fact.value))
		return;
	e->fact = *f;
	if (!e->is_new && e->how->kind != COLLECT_MOVING)
		p->is_news = true;
}

static struct fact entry_blank(const struct entry *e)
{
	struct fact f = {0};

	memcpy(f.name, e->fact.name, sizeof(f.name));
	return f;
}

static void hash_end(struct posture *p, struct entry *e, int r, const char *hex)
{
	struct fact f = entry_blank(e);

	e->took_ms = now_ms(p) - e->tried_ms;
	e->has_hash = r == 0;
	e->hash_of = p->hash.of;
	p->hashing = NULL;
	hash_done(&p->hash);
	hash_set_fact(&f, r, hex);
	entry_set(p, e, &f, now_ms(p));
	if (r == -EAGAIN)
		make_due(p, e);
}

/* A file that is still the one whose hash is known is not read again. */
static void hash_begin(struct posture *p, struct entry *e)
{
	int r = hash_init(&p->hash, &p->source, entry_argument(e));

	if (r < 0)
		hash_end(p, e, r, "");
	else if (e->has_hash && hash_identity_equal(&p->hash.of, &e->hash_of))
		hash_end(p, e, 0, e->fact.value);
	else
		p->hashing = e;
}

static void hash_continue(struct posture *p)
{
	char hex[HASH_TEXT_MAX] = "";
	int r = hash_step(&p->hash, hex);

	if (r != 1)
		hash_end(p, p->hashing, r, hex);
}

static void entry_read(struct posture *p, struct entry *e)
{
	struct fact f = entry_blank(e);
	int64_t now = now_ms(p);

	if (e->how->kind == COLLECT_HASH && p->hashing)
		return; /* stays due until the file in work is done */
	e->tried_ms = now;
	e->due_ms = next_due(e, now);
	switch (e->how->kind) {
	case COLLECT_HASH:
		hash_begin(p, e);
		return;
	case COLLECT_CUSTOM:
		if (p->custom)
			now = custom_read(p->custom, entry_argument(e), &f);
		else
			fact_set_unknown(&f, "no script gives it");
		break;
	case COLLECT_PLAIN:
	case COLLECT_MOVING:
		e->how->read(&p->source, entry_argument(e), &f);
		break;
	}
	entry_set(p, e, &f, now);
}

static void read_due(struct posture *p)
{
	struct now now = loop_now(p->loop);

	p->source.wall_s = now.wall_ms / 1000;
	for (size_t i = 0; i < p->n_entries; i++)
		if (p->entries[i].due_ms <= now.boot_ms)
			entry_read(p, &p->entries[i]);
	source_forget(&p->source);
}

static void work(void *arg)
{
	struct posture *p = arg;
	bool is_news;

	if (p->hashing)
		hash_continue(p);
	read_due(p);
	is_news = p->is_news;
	p->is_news = false;
	arm(p, now_ms(p) + 1);
	if (is_news)
		p->changed(p->arg);
}

/* --- asking --- */

static struct entry *entry_find(const struct posture *p, const char *name)
{
	for (size_t i = 0; i < p->n_entries; i++)
		if (txt_equal(p->entries[i].fact.name, name))
			return &p->entries[i];
	return NULL;
}

/* What is known of a fact that was asked for before is kept. */
static int entry_init(struct entry *e, const struct posture *p, const char *name)
{
	const struct entry *known = entry_find(p, name);

	if (known) {
		*e = *known;
	} else {
		*e = (struct entry){.is_new = true, .read_ms = -1};
		if (txt_copy(e->fact.name, sizeof(e->fact.name), name))
			return -ZT_ELIMIT;
		if (!txt_is_line(name, ZT_FACT_NAME_MAX))
			return -ZT_EFORM;
		e->how = collector_find(name);
		fact_set_unknown(&e->fact, e->how ? "not read yet" : "no such fact");
	}
	e->due_ms = e->how ? 0 : never_ms;
	return 0;
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->fact.name, y->fact.name);
}

static size_t drop_doubles(struct entry *e, size_t n)
{
	size_t kept = n ? 1 : 0;

	for (size_t i = 1; i < n; i++)
		if (!txt_equal(e[i].fact.name, e[kept - 1].fact.name))
			e[kept++] = e[i];
	return kept;
}

/* '%' in a path of the table stands for the argument. */
static int expand(const char *path, const char *argument, char *out, size_t size)
{
	const char *mark = strchr(path, '%');
	int n;

	if (!mark)
		return txt_copy(out, size, path);
	n = snprintf(out, size, "%.*s%s%s", (int)(mark - path), path, argument, mark + 1);
	return n < 0 || (size_t)n >= size ? -ZT_ELIMIT : 0;
}

/* Is every change of what the entry depends on told from now on? */
static bool entry_watch(struct posture *p, size_t i)
{
	const struct entry *e = &p->entries[i];
	char path[SOURCE_PATH_MAX];
	bool ok = p->watch && e->how->paths[0];

	for (size_t k = 0; p->watch && k < COLLECT_PATHS_MAX && e->how->paths[k]; k++)
		if (expand(e->how->paths[k], entry_argument(e), path, sizeof(path)) ||
		    watch_add(p->watch, path, i))
			ok = false;
	return ok;
}

/* Watches first, then a reading of everything: so that nothing that happens in between is lost. */
static void begin(struct posture *p)
{
	bool has_custom = false;

	watch_free(p->watch);
	p->watch = watch_new(p->loop, &p->source, file_changed, p);
	for (size_t i = 0; i < p->n_entries; i++) {
		struct entry *e = &p->entries[i];

		if (!e->how)
			continue;
		e->is_watched = entry_watch(p, i);
		has_custom |= e->how->kind == COLLECT_CUSTOM;
	}
	if (p->custom)
		custom_switch(p->custom, has_custom);
	read_due(p);
	for (size_t i = 0; i < p->n_entries; i++)
		p->entries[i].is_new = false;
	arm(p, now_ms(p) + 1);
}

int posture_ask(struct posture *p, const char *const *names, size_t n)
{
	struct entry *entries;
	int r = 0;

	if (n > ZT_FACTS_MAX)
		return -ZT_ELIMIT;
	entries = calloc(n ? n : 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = entry_init(&entries[i], p, names[i]);
	if (r < 0) {
		free(entries);
		return r;
	}
	if (p->hashing)
		hash_done(&p->hash);
	p->hashing = NULL;
	qsort(entries, n, sizeof(*entries), entry_compare);
	free(p->entries);
	p->entries = entries;
	p->n_entries = drop_doubles(entries, n);
	begin(p);
	return 0;
}

/* --- giving and taking --- */

int posture_set(struct posture *p, const char *name, enum fact_state state, const char *value)
{
	struct given *g = given_find(p, name);
	struct entry *e = entry_find(p, name);
	struct given new = {.state = state, .set_ms = now_ms(p)};

	if (!g && p->n_given == POSTURE_GIVEN_MAX)
		return -ZT_ELIMIT;
	if (txt_copy(new.name, sizeof(new.name), name) ||
	    txt_copy(new.value, sizeof(new.value), value))
		return -ZT_ELIMIT;
	if (!g)
		g = &p->given[p->n_given++];
	*g = new;
	if (e && e->how) {
		e->due_ms = now_ms(p);
		arm(p, now_ms(p) + 1);
	}
	return 0;
}

static uint32_t age_s(const struct entry *e, int64_t now)
{
	int64_t s = e->read_ms < 0 || e->read_ms > now ? 0 : (now - e->read_ms) / 1000;

	return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

int posture_snapshot(struct posture *p, struct arena *a, struct fact **ret, size_t *ret_n)
{
	struct now now = loop_now(p->loop);
	struct fact *facts = arena_array(a, p->n_entries, sizeof(*facts));

	if (!facts)
		return -ENOMEM;
	p->source.wall_s = now.wall_ms / 1000;
	for (size_t i = 0; i < p->n_entries; i++) {
		struct entry *e = &p->entries[i];

		if (e->how && e->how->kind == COLLECT_MOVING)
			entry_read(p, e);
		facts[i] = e->fact;
		facts[i].age_s = age_s(e, now.boot_ms);
	}
	*ret = facts;
	*ret_n = p->n_entries;
	return 0;
}

/* --- life --- */

struct posture *posture_new(struct loop *l, const char *root, const char *custom_dir,
			    void (*changed)(void *arg), void *arg)
{
	struct posture *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return NULL;
	*p = (struct posture){.loop = l, .changed = changed, .arg = arg};
	r = source_init(&p->source, root);
	if (r == 0) {
		p->timer = loop_timer_new(l, work, p);
		r = p->timer ? 0 : -ENOMEM;
	}
	if (r == 0 && custom_dir) {
		p->custom = custom_new(l, custom_dir, p->source.is_machine ? 0 : geteuid(),
				       custom_changed, p);
		r = p->custom ? 0 : -ENOMEM;
	}
	if (r < 0) {
		posture_free(p);
		errno = -r;
		return NULL;
	}
	return p;
}

void posture_free(struct posture *p)
{
	if (!p)
		return;
	if (p->hashing)
		hash_done(&p->hash);
	watch_free(p->watch);
	custom_free(p->custom);
	loop_timer_free(p->timer);
	source_done(&p->source);
	free(p->entries);
	free(p);
}
