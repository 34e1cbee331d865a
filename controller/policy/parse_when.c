/* Values of time: windows, named schedules, ends, zones; and what rules make of them. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <string.h>

#include "zt/buf.h"
#include "controller/policy/when.h"

enum { WHEN_TEXT_MAX = 1 << 20, WINDOWS_FLAT_MAX = 128 };

/* --- values --- */

static const struct tz *find_zone(void *arg, const char *name, const char **ret_reason)
{
	const struct parse *c = arg;

	if (!c->env->zone) {
		*ret_reason = "is a zone, but there is no zone database";
		return strcmp(name, "UTC") == 0 ? tz_utc() : NULL;
	}
	return c->env->zone(c->env->zones, name, ret_reason);
}

/* "did you mean Europe/Berlin?", else the hint given. */
static void hint_zone(struct parse *c, struct diag *d, const struct span *s, const char *otherwise)
{
	const char *const *names = NULL;
	size_t n = 0;

	if (c->env->zone_names)
		names = c->env->zone_names(c->env->zones, &n);
	hint_nearest(d, s, "", names, n, otherwise);
}

/* Beside others of a list it is hardly seen, and in an except it was to keep somebody out. */
static void warn_never(struct parse *c, struct place at, const struct window *w)
{
	const struct schedule alone = {.in = w, .n_in = 1, .until_s = INT64_MAX};

	if (!(w->says & WINDOW_SAYS_DATES) || !(w->says & (WINDOW_SAYS_DAYS | WINDOW_SAYS_HOURS)))
		return;
	if (!schedule_holds(&alone, 0) && schedule_next(&alone, 0) == INT64_MAX)
		diag_hint(
			warn_at(c, at, "%s never comes", w->text),
			"its dates are other days of the week, or the clocks pass over its hours");
}

/* The zones of POSIX count to the west, against all habit. */
static void warn_sign(struct parse *c, struct place at, const char *zone)
{
	const char *sign = zone + strlen("Etc/GMT");

	if (strncmp(zone, "Etc/GMT", 7) != 0 || (*sign != '+' && *sign != '-') || sign[1] == '0')
		return;
	diag_hint(warn_at(c, at, "%s is %s hour%s %s UTC: its sign is the other way round", zone,
			  sign + 1, strcmp(sign + 1, "1") == 0 ? "" : "s",
			  *sign == '+' ? "behind" : "ahead of"),
		  "write a place, which has its summer time too: Europe/Berlin; or Etc/GMT%c%s",
		  *sign == '+' ? '-' : '+', sign + 1);
}

static void wrong_window(struct parse *c, const struct span *s, struct span part,
			 const struct window_problem *p)
{
	char meant[TZ_NAME_MAX + 1];
	const char *what, *hint = time_word_meant(&part);
	struct span wider = part;

	if (hint)
		diag_hint(problem_with(c, &part, "is no part of a time"), "%s", hint);
	else if (window_meant(c, s, &wider, &what, meant))
		diag_hint(problem_with(c, &wider, "%s", what), "did you mean %s?", meant);
	else if (p->kind == WINDOW_PROBLEM_ZONE)
		hint_zone(c, problem_with(c, &part, "%s", p->message), &part, p->hint);
	else
		diag_hint(problem_with(c, &part, "%s", p->message), "%s", p->hint);
}

bool value_window(struct parse *c, const struct span *s, struct window *ret)
{
	struct window_env env = {
		.zone = c->zone, .find = find_zone, .arg = c, .zone_alone = c->env->was_accepted};
	struct window_problem problem;
	int err = window_parse(s->p, s->n, &env, c->arena, ret, &problem);
	struct span part;

	if (err == 0) {
		warn_never(c, s->at, ret);
		if (ret->says & WINDOW_SAYS_ZONE)
			warn_sign(c, s->at, tz_name(ret->zone));
		return true;
	}
	if (err != -ZT_EFORM) {
		parse_fail(c, err);
		return false;
	}
	part = span_skip(*s, problem.at);
	part.n = problem.n;
	wrong_window(c, s, part, &problem);
	return false;
}

/* Is it no window, but the name of a schedule or something like a prefix before one? Hours begin
 * with a digit. */
static bool is_name_of_when(const struct parse *c, const struct span *s)
{
	size_t n = 0;

	while (n < s->n &&
	       ((s->p[n] >= 'a' && s->p[n] <= 'z') || (s->p[n] >= 'A' && s->p[n] <= 'Z')))
		n++;
	return names_find(&c->names, THING_SCHEDULE, s->p, s->n) != NAMES_ABSENT ||
	       memmem(s->p, s->n, "schedule:", 9) || span_starts(s, "schedule ") ||
	       (n > 3 && n < s->n && strchr(":=", s->p[n]));
}

bool value_when(struct parse *c, const struct span *s, const char *help, struct when_item *ret)
{
	struct span name;
	struct diag *d;

	ret->named = span_starts(s, "schedule:");
	if (!ret->named) {
		if (!is_name_of_when(c, s))
			return value_window(c, s, &ret->window);
		d = problem_with(c, s, "is not allowed here");
		if (!hint_meant(c, d, s, help))
			diag_hint(d, "write %s", help);
		return false;
	}
	name = span_skip(*s, strlen("schedule:"));
	return value_reference(c, &name, s, THING_SCHEDULE, help, &ret->schedule);
}

/* --- lists of windows: each stands for itself, which is not how a list of days is meant --- */

static bool says(const struct window *w, uint8_t part)
{
	return w->says & part;
}

/* Why the two would not be read as they are meant; NULL: they would. */
static const char *misread(const struct window *a, const struct window *b)
{
	if (says(a, WINDOW_SAYS_DAYS) && !says(a, WINDOW_SAYS_HOURS) &&
	    says(b, WINDOW_SAYS_HOURS) && !says(b, WINDOW_SAYS_DATES))
		return "write days together: Mon+Wed+Fri 10:00-11:30; or the hours of a whole day: "
		       "Sat 00:00-24:00";
	if (says(a, WINDOW_SAYS_HOURS) && !says(a, WINDOW_SAYS_DAYS | WINDOW_SAYS_DATES) &&
	    says(b, WINDOW_SAYS_DAYS))
		return "write days with each of the hours: Mon-Fri 07:00-12:00, Mon-Fri "
		       "13:00-17:00";
	return NULL;
}

static bool has_another_zone(const struct window *a, const struct window *b)
{
	return !says(a, WINDOW_SAYS_ZONE) && says(b, WINDOW_SAYS_ZONE) && a->zone != b->zone;
}

/* Is something said of the two? */
static bool check_two(struct parse *c, struct place at, const struct window *a,
		      const struct window *b)
{
	const char *hint = misread(a, b);

	if (hint)
		diag_hint(problem_at(c, at, "\"%s\" and \"%s\" are two times of their own", a->text,
				     b->text),
			  "%s", hint);
	else if (has_another_zone(a, b))
		diag_hint(warn_at(c, at, "\"%s\" is in another zone than \"%s\"", a->text, b->text),
			  "write the zone with each of them, or timezone = ... in [network]");
	else
		return false;
	return true;
}

void check_windows(struct parse *c, struct place at, const struct window *const *v, size_t n)
{
	bool said = c->env->was_accepted;

	for (size_t i = 0; i < n && !said; i++)
		for (size_t k = 0; k < n && !said; k++)
			said = check_two(c, at, v[i], v[k]);
}

bool value_until(struct parse *c, const struct span *s, int64_t *ret_s)
{
	int err = until_parse(s->p, s->n, c->zone, ret_s);

	if (err == 0)
		return true;
	if (err == -ERANGE)
		diag_hint(problem_with(c, s, "is a day or time that does not exist"),
			  "days are from 1970 to 2199, hours from 00:00 to 24:00");
	else
		diag_hint(problem_with(c, s, "is not a day"),
			  "write the last day: 2027-01-31, or a time: 2027-01-31 18:00");
	return false;
}

bool value_zone(struct parse *c, const struct span *s, const struct tz **ret)
{
	char name[TZ_NAME_MAX + 1];
	const char *reason = NULL;

	*ret = NULL;
	if (span_text(s, name, sizeof(name)) && tz_name_is_valid(name))
		*ret = find_zone(c, name, &reason);
	if (*ret)
		warn_sign(c, s->at, name);
	if (*ret)
		return true;
	if (reason)
		diag_hint(problem_with(c, s, "%s", reason),
			  "install the package tzdata on the controller");
	else if (time_word_meant(s))
		diag_hint(problem_with(c, s, "is not a time zone"), "%s", time_word_meant(s));
	else if (zone_meant(c, s, name))
		diag_hint(problem_with(c, s, "is not a time zone"), "did you mean %s?", name);
	else
		hint_zone(c, problem_with(c, s, "is not a time zone"), s,
			  "write a name of the zone database: Europe/Berlin, UTC");
	return false;
}

/* --- whens of rules --- */

enum over { OVER_NOT, OVER_NOW, OVER_ALWAYS };

/* Those that differ, and the rules' words for them. */
struct whens {
	struct policy_when *v;
	uint8_t *over; /* enum over */
	struct names known;
};

static void print_item(const struct parse *c, struct buf *b, const struct when_item *i)
{
	if (i->named)
		buf_printf(b, "schedule:%s", thing_name(c, THING_SCHEDULE, i->schedule));
	else
		buf_put_text(b, i->window.text);
}

static void print_list(const struct parse *c, struct buf *b, const struct when_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		buf_put_text(b, i ? ", " : "");
		print_item(c, b, &l->v[i]);
	}
}

/* As words, which are also what tells whens apart. NULL: out of memory. */
static const char *print_when(struct parse *c, const struct parse_rule *r)
{
	const char *text;
	struct buf b;

	buf_init_grow(&b, WHEN_TEXT_MAX);
	print_list(c, &b, &r->when);
	if (r->when_except.n)
		buf_put_text(&b, r->when.n ? " except " : "always except ");
	print_list(c, &b, &r->when_except);
	if (r->until)
		buf_printf(&b, "%suntil %s", r->when.n || r->when_except.n ? " " : "", r->until);
	text = b.err == 0 ? arena_text(c->arena, (const char *)b.data, b.len) : NULL;
	buf_free(&b);
	return text;
}

/* Windows of the list, those of named schedules too, behind what is in out. */
static size_t spread_out(const struct parse *c, const struct when_list *l, struct window *out)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct schedule *s = &c->policy->schedules[l->v[i].schedule].s;

		if (l->v[i].named && s->n_in)
			memcpy(out + n, s->in, s->n_in * sizeof(*out));
		else if (!l->v[i].named)
			out[n] = l->v[i].window;
		n += l->v[i].named ? s->n_in : 1;
	}
	return n;
}

/* Number of windows in the list; *ret_plain: no named schedule in it has an except. */
static size_t count_windows(const struct parse *c, const struct when_list *l, bool *ret_plain)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct schedule *s = &c->policy->schedules[l->v[i].schedule].s;

		n += l->v[i].named ? s->n_in : 1;
		*ret_plain = *ret_plain && !(l->v[i].named && s->n_except);
	}
	return n;
}

/* All of it as one schedule, whose next edge is exact. */
static int make_flat(struct parse *c, const struct parse_rule *r, size_t n_in, size_t n_except,
		     struct policy_when *ret)
{
	const struct schedule **list = arena_array(c->arena, 1, sizeof(*list));
	struct schedule *all = arena_array(c->arena, 1, sizeof(*all));
	struct window *in = arena_array(c->arena, n_in, sizeof(*in));
	struct window *except = arena_array(c->arena, n_except, sizeof(*except));

	if (!list || !all || !in || !except)
		return -ENOMEM;
	*all = (struct schedule){.in = in,
				 .n_in = spread_out(c, &r->when, in),
				 .except = except,
				 .n_except = spread_out(c, &r->when_except, except),
				 .until_s = ret->until_s};
	list[0] = all;
	ret->in = list;
	ret->n_in = 1;
	return 0;
}

/* The list as schedules: those it names, and one of all its windows. */
static int make_list(struct parse *c, const struct when_list *l, const struct schedule *const **ret,
		     size_t *ret_n)
{
	const struct schedule **all = arena_array(c->arena, l->n + 1, sizeof(*all));
	struct window *windows = arena_array(c->arena, l->n, sizeof(*windows));
	struct schedule *own = arena_array(c->arena, 1, sizeof(*own));
	size_t n = 0;

	if (!all || !windows || !own)
		return -ENOMEM;
	*own = (struct schedule){.in = windows, .until_s = INT64_MAX};
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].named)
			all[n++] = &c->policy->schedules[l->v[i].schedule].s;
		else
			windows[own->n_in++] = l->v[i].window;
	if (own->n_in)
		all[n++] = own;
	*ret = all;
	*ret_n = n;
	return 0;
}

static struct place place_of(const struct policy_rule *r)
{
	return (struct place){r->line, r->column};
}

static bool schedules_are_flawed(const struct parse *c, const struct when_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct policy_schedule *s = &c->policy->schedules[l->v[i].schedule];

		if (l->v[i].named && key_is_flawed(c, "schedule", s->line, "when"))
			return true;
	}
	return false;
}

bool when_is_flawed(const struct parse *c, const struct parse_rule *from)
{
	return key_is_flawed(c, "rule", from->r.line, "when") ||
	       schedules_are_flawed(c, &from->when) || schedules_are_flawed(c, &from->when_except);
}

/* Times that never come, and such that are over. */
static void check_when(struct parse *c, const struct parse_rule *from, const struct policy_when *w,
		       enum over over)
{
	const struct policy_rule *r = &from->r;

	if (over == OVER_ALWAYS && !when_is_flawed(c, from))
		diag_hint(problem_at(c, place_of(r), "rule \"%s\" can never match: its when is %s",
				     r->name, w->text),
			  "no instant lies in it: look at days that are no such days, %s",
			  w->until_s < INT64_MAX ? "at what except takes out, and at an until "
						   "before all of it"
						 : "and at what except takes out");
	else if (over == OVER_NOW)
		diag_hint(warn_at(c, place_of(r), "rule \"%s\" is over: its when is %s", r->name,
				  w->text),
			  "take it out, or give it a later end");
}

static int make_when(struct parse *c, const struct parse_rule *from, const char *text,
		     struct policy_when *ret)
{
	bool plain = true;
	size_t n_in = count_windows(c, &from->when, &plain);
	size_t n_except = count_windows(c, &from->when_except, &plain);
	int err;

	ret->until_s = from->until ? from->until_s : INT64_MAX;
	ret->text = text;
	if (plain && n_in + n_except <= WINDOWS_FLAT_MAX)
		return make_flat(c, from, n_in, n_except, ret);
	err = make_list(c, &from->when, &ret->in, &ret->n_in);
	return err ? err : make_list(c, &from->when_except, &ret->except, &ret->n_except);
}

static enum over look_at_end(const struct parse *c, const struct policy_when *w)
{
	if (when_is_over(w, 0))
		return OVER_ALWAYS;
	return c->env->now_s && when_is_over(w, c->env->now_s) ? OVER_NOW : OVER_NOT;
}

static int settle_when(struct parse *c, struct whens *all, const struct parse_rule *from,
		       struct policy_rule *r)
{
	size_t *n = &c->policy->n_whens;
	const char *text;
	int err = 0;

	r->when = POLICY_ALWAYS;
	if (!from->when.n && !from->when_except.n && !from->until)
		return 0;
	text = print_when(c, from);
	if (!text)
		return -ENOMEM;
	r->when = names_find(&all->known, 0, text, strlen(text));
	if (r->when == NAMES_ABSENT) {
		r->when = (uint32_t)*n;
		err = make_when(c, from, text, &all->v[*n]);
		if (err)
			return err;
		all->over[*n] = (uint8_t)look_at_end(c, &all->v[*n]);
		err = names_add(&all->known, 0, text, strlen(text), (uint32_t)(*n)++);
	}
	if (!err)
		check_when(c, from, &all->v[r->when], (enum over)all->over[r->when]);
	return err;
}

void settle_whens(struct parse *c, const struct parse_rule *from, struct policy_rule *rules)
{
	size_t n = c->policy->n_rules, cap = n + c->count[THING_INVARIANT];
	struct whens all = {.v = arena_array(c->arena, cap, sizeof(*all.v)),
			    .over = arena_array(&c->scratch, cap, sizeof(*all.over))};
	int err = all.v && all.over ? 0 : -ENOMEM;

	names_init(&all.known, &c->scratch);
	for (size_t i = 0; i < n && !c->stop && !err; i++)
		err = settle_when(c, &all, &from[i], &rules[i]);
	c->whens = all.v;
	c->policy->whens = all.v;
	if (err < 0)
		parse_fail(c, err);
}

const struct policy_when *settle_invariant_when(struct parse *c, const struct policy_when *w)
{
	struct policy_when *kept = &c->whens[c->policy->n_whens++];

	*kept = *w;
	return kept;
}
