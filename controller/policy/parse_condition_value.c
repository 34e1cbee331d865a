/* Values of conditions: what each fact can be compared with, and what shows that the text behind
 * the operator is more than a value. Text is compared as it stands, so what a value swallows by
 * mistake ("os.id !== windows", "hostname != old and disk.encrypted == true") is a condition that
 * lets everybody in. Hence the facts that are text have few characters. */
#include "controller/policy/parse_condition.h"

#include <stdio.h>
#include <string.h>

#include "controller/policy/condition.h"
#include "zt/txt.h"

enum { LOCKDOWNS = 3, SHA256_HEX = 64 };

static const char one_hint[] = "write one condition, or several with commas between them";
static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
static const char capitals[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char *const lockdowns[LOCKDOWNS] = {"none", "integrity", "confidentiality"};

/* --- what a value may be --- */

/* The facts that are text. What devices report of the others (a serial number, the output of a
 * script) is free, but a policy names only what these characters can write. */
static const struct text_form {
	const char *fact, *others; /* beside a-z and 0-9 */
	bool capitals;
	const char *form;
} text_forms[] = {
	{"os.family", "._-", false, "a word of a-z, 0-9, '.', '_' and '-': linux"},
	{"os.id", "._-", true, "a word of a-z, 0-9, '.', '_' and '-': debian"},
	{"hostname", "._-", true, "a host name, whole: letters, digits, '.', '_' and '-'"},
	{"file.sha256", "", false, "64 hex digits in lower case, as sha256sum prints them"},
	{NULL, " ._-+:/@%", true,
	 "letters, digits, spaces and . _ - + : / @ % without quotes, at most 256 bytes"},
};

static const struct text_form *text_form_of(const struct fact_kind *k)
{
	const struct text_form *f = text_forms;

	while (f->fact && !txt_equal(f->fact, k->name))
		f++;
	return f;
}

static bool is_lockdown(const struct fact_kind *k)
{
	return txt_equal(k->name, "kernel.lockdown");
}

const char *condition_value_form(const struct fact_kind *k)
{
	switch (k->type) {
	case FACT_TYPE_BOOL:
		return "true or false";
	case FACT_TYPE_NUMBER:
		return txt_equal(k->name, "time.offset") ? "a whole number, of milliseconds"
							 : "a whole number";
	case FACT_TYPE_VERSION:
		return "a version: numbers with dots, as in 12.4";
	case FACT_TYPE_TEXT:
		return is_lockdown(k) ? "none, integrity or confidentiality"
				      : text_form_of(k)->form;
	case FACT_TYPE_DURATION:
		return "a duration: 30s, 10m, 12h or 14d";
	}
	return "";
}

static bool has_only(const char *s, const struct text_form *f)
{
	for (; *s; s++)
		if (!strchr(letters, *s) && !(*s >= '0' && *s <= '9') && !strchr(f->others, *s) &&
		    !(f->capitals && strchr(capitals, *s)))
			return false;
	return true;
}

static bool is_sha256(const char *s)
{
	return strlen(s) == SHA256_HEX && strspn(s, "0123456789abcdef") == SHA256_HEX;
}

bool condition_text_fits(const struct fact_kind *k, const char *value)
{
	if (k->type != FACT_TYPE_TEXT)
		return true;
	for (size_t i = 0; is_lockdown(k) && i < LOCKDOWNS; i++)
		if (txt_equal(value, lockdowns[i]))
			return true;
	if (is_lockdown(k))
		return false;
	if (txt_equal(k->name, "file.sha256"))
		return is_sha256(value);
	return has_only(value, text_form_of(k)) && !txt_starts(value, "//") &&
	       !strstr(value, " //");
}

static bool is_value(const struct condition *k, const char *value)
{
	struct condition other = *k;

	other.value = value;
	return condition_set_value(&other) == 0 && condition_text_fits(k->kind, value);
}

/* --- what was meant --- */

void condition_hint_value(struct diag *d, const struct span *s, const struct condition *k)
{
	static const char *const truths[] = {"true", "yes", "on", "1", "enabled", "enable", "y"};
	static const char *const lies[] = {"false", "no", "off", "0", "disabled", "disable", "n"};
	char word[ZT_FACT_VALUE_MAX + 1];
	const char *near = NULL;

	if (!d)
		return;
	if (!span_text(s, word, sizeof(word))) {
		diag_hint(d, "write %s", condition_value_form(k->kind));
		return;
	}
	text_to_lower(word);
	for (size_t i = 0; k->kind->type == FACT_TYPE_BOOL && i < 7; i++)
		near = txt_equal(word, truths[i]) ? "true"
		       : txt_equal(word, lies[i]) ? "false"
						  : near;
	if (is_lockdown(k->kind))
		near = nearest_to(s, lockdowns, LOCKDOWNS);
	else if (k->kind->type == FACT_TYPE_TEXT && is_value(k, word))
		near = word;
	if (near)
		diag_hint(d, "did you mean %s?", near);
	else if (strpbrk(word, "=<>"))
		diag_hint(d, "%s", one_hint);
	else if (k->kind->type == FACT_TYPE_TEXT && strpbrk(word, "*?"))
		diag_hint(d, "a value is compared as it stands, without patterns: write %s",
			  condition_value_form(k->kind));
	else
		diag_hint(d, "write %s", condition_value_form(k->kind));
}

/* A distribution may write its ID in capitals, against os-release(5): no mistake, but seldom
 * meant, and such a != lets everybody in. */
void condition_warn_capitals(struct parse *c, const struct span *s, const struct condition *k)
{
	char word[ZT_FACT_VALUE_MAX + 1];

	if (!txt_equal(k->kind->name, "os.id") || !strpbrk(k->value, capitals) ||
	    !span_text(s, word, sizeof(word)))
		return;
	text_to_lower(word);
	diag_hint(warn_at(c, s->at, "\"%s\" is not %s to a device, which compares capitals too",
			  k->value, word),
		  "`ztnode posture` on a device shows its os.id; did you mean %s?", word);
}

/* --- a value that swallows more --- */

enum joint { JOINT_NONE, JOINT_AND, JOINT_OR };

static enum joint joint_of(const struct span *word)
{
	static const struct {
		const char *text;
		enum joint joint;
	} rows[] = {
		{"and", JOINT_AND}, {"&", JOINT_AND}, {"&&", JOINT_AND}, {"+", JOINT_AND},
		{"or", JOINT_OR},   {"|", JOINT_OR},  {"||", JOINT_OR},
	};
	char text[8];

	if (!span_text(word, text, sizeof(text)))
		return JOINT_NONE;
	text_to_lower(text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (txt_equal(text, rows[i].text))
			return rows[i].joint;
	return JOINT_NONE;
}

/* The fact that a text begins with; empty: none. */
static struct span fact_of(const struct span *s)
{
	char name[ZT_FACT_NAME_MAX + 1];
	struct span fact = *s;

	fact.n = 0;
	while (fact.n < s->n && !strchr("=!<> \t", s->p[fact.n]))
		fact.n++;
	if (!span_text(&fact, name, sizeof(name)) || !fact_kind_find(name))
		fact.n = 0;
	return fact;
}

static bool begins_fact(const struct span *s)
{
	return fact_of(s).n > 0;
}

bool condition_begins(const struct span *s)
{
	struct span fact = fact_of(s), rest = span_trim(span_skip(*s, fact.n));

	return fact.n > 0 && rest.n > 0 && strchr("=!<>", rest.p[0]);
}

/* What stands in other lists of a policy, and so in no value. */
static bool is_other_item(const struct span *word)
{
	static const char *const prefixes[] = {"user:",	   "group:",	"tag:",	  "device:",
					       "posture:", "resource:", "place:", "schedule:"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (span_starts(word, prefixes[i]))
			return true;
	return span_is(word, "mfa");
}

/* Where a text of several words goes on with what is no part of it. */
struct swallowed {
	struct span before, after; /* after: from the next condition on */
	enum joint joint;
};

static bool find_swallowed(const struct span *s, struct swallowed *ret)
{
	struct span rest = *s, word;

	while (rest.n > 0) {
		word = rest;
		word.n = 0;
		while (word.n < rest.n && rest.p[word.n] != ' ' && rest.p[word.n] != '\t')
			word.n++;
		ret->joint = joint_of(&word);
		if (ret->joint || (rest.p > s->p && (begins_fact(&word) || is_other_item(&word)))) {
			ret->before = *s;
			ret->before.n = (size_t)(rest.p - s->p);
			ret->before = span_trim(ret->before);
			ret->after = span_trim(span_skip(rest, ret->joint ? word.n : 0));
			return true;
		}
		rest = span_trim(span_skip(rest, word.n));
	}
	return false;
}

/* head: "os.id == ", what stands before the text that swallows more. */
static void hint_swallowed(struct diag *d, const struct span *head, const struct condition *k,
			   const struct swallowed *w)
{
	if (w->joint == JOINT_OR && k->op != CONDITION_NE)
		diag_hint(d, "all conditions of a posture must hold: for either of them make two "
			     "postures, and a rule for each");
	else if (w->before.n == 0 || w->after.n == 0 || strchr("=!<>~", w->before.p[0]))
		diag_hint(d, "%s", one_hint);
	else if (begins_fact(&w->after))
		diag_hint(d, "a comma is missing: write %.*s%.*s, %.*s", (int)head->n, head->p,
			  (int)w->before.n, w->before.p, (int)w->after.n, w->after.p);
	else if (k->op == CONDITION_NE && w->joint)
		diag_hint(d, "write a condition for each: %.*s%.*s, %.*s%.*s", (int)head->n,
			  head->p, (int)w->before.n, w->before.p, (int)head->n, head->p,
			  (int)w->after.n, w->after.p);
	else
		diag_hint(d, "%s", one_hint);
}

bool condition_swallows(struct parse *c, const struct span *whole, const struct span *part,
			const struct condition *k)
{
	struct swallowed w;
	struct span head = *whole;
	struct diag *d;

	if (!find_swallowed(part, &w))
		return false;
	head.n = (size_t)(part->p - whole->p);
	d = problem_with(c, whole, "is more than one condition");
	if (whole->n <= 2 * POLICY_TEXT_SHOWN && head.n > 0)
		hint_swallowed(d, &head, k, &w);
	else
		diag_hint(d, "%s", one_hint);
	return true;
}
