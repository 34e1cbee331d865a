/* What a rule's how asks for: "posture:managed, login < 12h, mfa, approval, app:/usr/bin/psql,
 * user:postgres". All of it is read, and what the running system cannot enforce is refused then, so
 * that a file is refused for all of its mistakes at once. */
#include "controller/policy/parse_section.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/parse_condition.h"
#include "zt/num.h"
#include "zt/txt.h"

enum { LOGIN_MIN_S = 60, LOGIN_MAX_S = 90 * 86400, HELP_MAX = 128 };

static const struct how_word {
	const char *word, *form;
} how_words[] = {
	[DEMAND_LOGIN] = {"login", "login < 12h"},    [DEMAND_MFA] = {"mfa", "mfa"},
	[DEMAND_APPROVAL] = {"approval", "approval"}, [DEMAND_APP] = {"app", "app:/usr/bin/psql"},
	[DEMAND_USER] = {"user", "user:postgres"},
};
_Static_assert(sizeof(how_words) / sizeof(how_words[0]) == DEMAND_KINDS, "a word for each");

struct how_item {
	struct span at;
	bool is_demand; /* else a posture */
	enum demand_kind kind;
	uint32_t posture;
	uint64_t login_s;
	const char *name;
};

/* The word that an item begins with. */
static struct span head_of(const struct span *s)
{
	struct span head = *s;

	head.n = 0;
	while (head.n < s->n && ((s->p[head.n] >= 'a' && s->p[head.n] <= 'z') ||
				 (s->p[head.n] >= 'A' && s->p[head.n] <= 'Z')))
		head.n++;
	return head;
}

/* What stands behind the word, without what joins the two. */
static struct span tail_of(const struct span *s, size_t n, const char *joints)
{
	struct span tail = span_trim(span_skip(*s, n));

	while (tail.n > 0 && strchr(joints, tail.p[0]))
		tail = span_trim(span_skip(tail, 1));
	return tail;
}

bool is_how(const struct span *s)
{
	struct span head = head_of(s);

	return span_starts(s, "posture:") || span_starts(s, "app:") || span_is(&head, "login") ||
	       span_is(&head, "mfa") || span_is(&head, "approval");
}

static bool enforced(const struct parse *c, size_t kind)
{
	return c->env->enforces >> kind & 1;
}

/* posture:NAME, and what this system enforces beside it. */
static void how_help(const struct parse *c, const char *help, char out[static HELP_MAX])
{
	size_t n = (size_t)snprintf(out, HELP_MAX, "%s", help);

	for (size_t i = 0; i < DEMAND_KINDS; i++)
		if (enforced(c, i))
			n += (size_t)snprintf(out + n, HELP_MAX - n, ", %s", how_words[i].form);
}

/* To write it well would not help. */
static void say_unenforced(struct diag *d, size_t kind, const char *help)
{
	diag_hint(d, "%s would not help: the running system enforces no %s yet; write %s",
		  how_words[kind].form, how_words[kind].word, help);
}

/* --- login < 12h --- */

/* "did you mean login < 12h?" with the duration that stands there, or an example. */
static void hint_login(struct diag *d, const struct span *tail)
{
	struct span value = tail_of(tail, 0, "<>=!:");
	char word[32];
	uint64_t s;

	if (span_text(&value, word, sizeof(word)) && num_parse_duration(word, &s) == 0)
		diag_hint(d, "did you mean login < %s?", word);
	else
		diag_hint(d, "write login < 12h: the last login is less than 12 hours ago");
}

static bool read_login(struct parse *c, const struct span *s, struct how_item *ret)
{
	struct span tail = tail_of(s, strlen("login"), ""), value;

	if (!span_starts(&tail, "<")) {
		hint_login(problem_with(c, s, "does not say how long ago the login is at most"),
			   &tail);
		return false;
	}
	/* "<=" is read as "<", which is the shorter by an instant. */
	value = span_trim(span_skip(tail, span_starts(&tail, "<=") ? 2 : 1));
	if (value.n == 0) {
		hint_login(problem_with(c, s, "has no duration"), &value);
		return false;
	}
	return value_duration(c, &value, LOGIN_MIN_S, LOGIN_MAX_S, &ret->login_s);
}

/* --- mfa, approval --- */

static bool read_alone(struct parse *c, const struct span *s, const char *word)
{
	if (span_is(s, word))
		return true;
	diag_hint(problem_with(c, s, "is not allowed here"),
		  "%s stands alone: write %s, or leave it out", word, word);
	return false;
}

/* --- app:PROGRAM, user:ACCOUNT --- */

static bool read_app(struct parse *c, const struct span *s, struct how_item *ret)
{
	struct span name = span_skip(*s, strlen("app:"));
	char word[ZT_CONDITION_NAME_MAX + 1];

	if (span_text(&name, word, sizeof(word)) && txt_is_program(word))
		return (ret->name = parse_text(c, &name)) != NULL;
	diag_hint(problem_with(c, s, "has no program after app:"),
		  "write app:/usr/bin/psql, the whole path, at most %d bytes, or app:psql, the "
		  "name alone",
		  ZT_CONDITION_NAME_MAX);
	return false;
}

/* user: names people elsewhere, and accounts of a device here. */
static void say_person(struct parse *c, const struct span *s, const char *email)
{
	struct diag *d = problem_with(c, s, "is a person, not an account of the device");
	char account[ZT_ACCOUNT_MAX + 1];
	size_t n = strcspn(email, "@");

	if (!enforced(c, DEMAND_USER)) {
		diag_hint(d, "who says which people may: put them there");
		return;
	}
	snprintf(account, sizeof(account), "%.*s", (int)n, email);
	diag_hint(d,
		  "who says which people may; user: in how is the account of the device that the "
		  "program runs under: user:%s",
		  n <= ZT_ACCOUNT_MAX && txt_is_account(account) ? account : "postgres");
}

static bool read_user(struct parse *c, const struct span *s, struct how_item *ret)
{
	struct span name = span_skip(*s, strlen("user:"));
	char word[PARSE_WORD_MAX];

	if (span_text(&name, word, sizeof(word)) && txt_is_account(word))
		return (ret->name = parse_text(c, &name)) != NULL;
	if (strchr(word, '@'))
		say_person(c, s, word);
	else
		diag_hint(
			problem_with(c, s, "has no account after user:"),
			"write the name of an account, not its number: A-Z a-z 0-9 . _ -, at most "
			"%d characters",
			ZT_ACCOUNT_MAX);
	return false;
}

/* --- what is none of these --- */

/* The condition whose word is nearest, with what stands behind it, or that nothing enforces it.
 * False: none is near. */
static bool hint_word(const struct parse *c, struct diag *d, const struct span *s, const char *help)
{
	const char *words[DEMAND_KINDS], *near;
	const struct span head = head_of(s);
	struct span tail = tail_of(s, head.n, "");
	size_t kind = 0;

	for (size_t i = 0; i < DEMAND_KINDS; i++)
		words[i] = how_words[i].word;
	near = nearest_to(&head, words, DEMAND_KINDS);
	while (near && words[kind] != near)
		kind++;
	if (!near)
		return false;
	if (!enforced(c, kind)) {
		say_unenforced(d, kind, help);
	} else if (kind == DEMAND_LOGIN) {
		hint_login(d, &tail);
	} else if (kind == DEMAND_MFA || kind == DEMAND_APPROVAL) {
		diag_hint(d, "did you mean %s?", near);
	} else {
		tail = tail_of(&tail, 0, ":=");
		diag_hint(d, "did you mean %s:%.*s?", near, tail.n ? (int)tail.n : 4,
			  tail.n ? tail.p : "NAME");
	}
	return true;
}

static bool how_unknown(struct parse *c, const struct span *s, const char *help)
{
	struct diag *d = problem_with(c, s, "is not allowed here");

	if (condition_begins(s) && s->n <= POLICY_TEXT_SHOWN)
		diag_hint(d,
			  "conditions make a posture: write require = %.*s in a section [posture "
			  "NAME], and posture:NAME here",
			  (int)s->n, s->p);
	else if (!hint_meant(c, d, s, help) && !hint_word(c, d, s, help))
		diag_hint(d, "write %s", help);
	return false;
}

/* --- the list --- */

static bool read_demand(struct parse *c, const struct span *s, struct how_item *ret)
{
	switch (ret->kind) {
	case DEMAND_LOGIN:
		return read_login(c, s, ret);
	case DEMAND_MFA:
	case DEMAND_APPROVAL:
		return read_alone(c, s, how_words[ret->kind].word);
	case DEMAND_APP:
		return read_app(c, s, ret);
	case DEMAND_USER:
		return read_user(c, s, ret);
	}
	return false;
}

static bool find_kind(const struct span *s, enum demand_kind *ret)
{
	const struct span head = head_of(s);

	for (size_t i = 0; i < DEMAND_KINDS; i++) {
		bool named = i == DEMAND_APP || i == DEMAND_USER;

		if (!span_is(&head, how_words[i].word) ||
		    (named && (s->n == head.n || s->p[head.n] != ':')))
			continue;
		*ret = (enum demand_kind)i;
		return true;
	}
	return false;
}

static bool item_how(struct parse *c, const struct span *s, const char *posture, void *ret)
{
	size_t n_before = c->problems->n;
	struct how_item *item = ret;
	struct span name;
	char help[HELP_MAX];

	*item = (struct how_item){.at = *s};
	how_help(c, posture, help);
	if (span_starts(s, "posture:")) {
		name = span_skip(*s, strlen("posture:"));
		return value_reference(c, &name, s, THING_POSTURE, posture, &item->posture);
	}
	item->is_demand = find_kind(s, &item->kind);
	if (!item->is_demand)
		return how_unknown(c, s, help);
	if (!read_demand(c, s, item)) {
		if (c->problems->n > n_before && !enforced(c, item->kind) &&
		    !memchr(s->p, '@', s->n))
			say_unenforced(&c->problems->items[n_before], item->kind, help);
		return false;
	}
	if (!enforced(c, item->kind))
		diag_hint(problem_with(c, s, "cannot be enforced by the running system yet"),
			  "a rule asks for %s only; without this condition it would allow more "
			  "than it says",
			  help);
	return true; /* it is kept, so that what else is wrong with it is said as well */
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, without doubles. */
static size_t sort_names(const char **v, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), compare_names);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(v[i], v[kept - 1]) != 0)
			v[kept++] = v[i];
	return kept;
}

/* Two of them: one is a leftover, and nobody can say which. */
static void set_login(struct parse *c, struct policy_demands *d, const struct how_item *item)
{
	char age[32];

	if (d->login_s) {
		num_print_duration(d->login_s < item->login_s ? d->login_s : item->login_s, age,
				   sizeof(age));
		diag_hint(problem_with(c, &item->at, "is the second login of this rule"),
			  "both would have to hold: keep the shorter one, login < %s", age);
	}
	if (!d->login_s || item->login_s < d->login_s)
		d->login_s = item->login_s;
}

/* What the netmap of a device can carry is kept to by the file, where it can be said. */
static void count_demand_names(struct parse *c, const struct lex *v, size_t n)
{
	if (c->n_demand_names <= ZT_CONDITIONS_MAX && c->n_demand_names + n > ZT_CONDITIONS_MAX)
		diag_hint(problem_at(c, value_place(*v),
				     "the rules name more than %d programs "
				     "and accounts",
				     ZT_CONDITIONS_MAX),
			  "put rules that ask for the same together");
	c->n_demand_names += n;
}

static void add_item(struct parse *c, struct policy_rule *r, const struct how_item *item,
		     uint32_t *postures, const char **apps, const char **users)
{
	struct policy_demands *d = &r->demands;

	if (!item->is_demand) {
		postures[r->n_how++] = item->posture;
		return;
	}
	switch (item->kind) {
	case DEMAND_LOGIN:
		set_login(c, d, item);
		break;
	case DEMAND_MFA:
		d->mfa = true;
		break;
	case DEMAND_APPROVAL:
		d->approval = true;
		break;
	case DEMAND_APP:
		apps[d->n_apps++] = item->name;
		break;
	case DEMAND_USER:
		users[d->n_users++] = item->name;
		break;
	}
}

void set_rule_how(struct parse *c, void *object, const struct lex *v, const char *help)
{
	static const char hint[] = "make several rules of it";
	struct policy_rule *r = &((struct parse_rule *)object)->r;
	struct policy_demands *d = &r->demands;
	size_t n;
	struct how_item *items = value_list(c, v, help, sizeof(*items), item_how, &n);
	uint32_t *postures = arena_array(c->arena, n, sizeof(*postures));
	const char **apps = arena_array(c->arena, n, sizeof(const char *));
	const char **users = arena_array(c->arena, n, sizeof(const char *));

	if (!items || !postures || !apps || !users)
		return parse_fail(c, -ENOMEM);
	for (size_t i = 0; i < n; i++)
		add_item(c, r, &items[i], postures, apps, users);
	r->how = postures;
	d->apps = apps;
	d->users = users;
	d->n_apps =
		value_count(c, v, sort_names(apps, d->n_apps), DEMAND_NAMES_MAX, "programs", hint);
	d->n_users = value_count(c, v, sort_names(users, d->n_users), DEMAND_NAMES_MAX, "accounts",
				 hint);
	count_demand_names(c, v, d->n_apps + d->n_users);
}
