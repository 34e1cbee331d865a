/* Readers of conditions on facts: "os.version >= 12". */
#include "controller/policy/parse_condition.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controller/policy/condition.h"
#include "zt/txt.h"

/* Longer operators before those that they begin with. */
static const struct {
	const char *text;
	enum condition_op op;
} condition_ops[] = {
	{"==", CONDITION_EQ}, {"!=", CONDITION_NE}, {"<=", CONDITION_LE},
	{">=", CONDITION_GE}, {"<", CONDITION_LT},  {">", CONDITION_GT},
};
static bool is_ordered(const struct fact_kind *k)
{
	return k->type != FACT_TYPE_BOOL && k->type != FACT_TYPE_TEXT;
}

static const char condition_form[] =
	"a condition is a fact, one of == != < <= > >=, and a value: os.version >= 12";

/* --- what was meant --- */

/* Operators of other languages. */
static const struct {
	const char *text, *meant;
} operator_slips[] = {
	{"=", "=="},	     {"===", "=="}, {"=~", "=="},      {"~=", "=="},	   {"==~", "=="},
	{"~", "=="},	     {":=", "=="},  {":", "=="},       {"=>", ">="},	   {">>", ">"},
	{"=<", "<="},	     {"<<", "<"},   {"<>", "!="},      {"!==", "!="},	   {"=!", "!="},
	{"==!", "!="},	     {"!", "!="},   {"is not ", "!="}, {"not ", "!="},	   {"ne ", "!="},
	{"is ", "=="},	     {"eq ", "=="}, {"equals ", "=="}, {"ge ", ">="},	   {"gt ", ">"},
	{"at least ", ">="}, {"le ", "<="}, {"lt ", "<"},      {"at most ", "<="},
};

/* Is "fact OP value" a condition? */
static bool is_condition(const struct span *fact, const char *op, const struct span *value)
{
	char name[ZT_FACT_NAME_MAX + 1], text[ZT_FACT_VALUE_MAX + 1];
	struct condition k = {.value = text};

	if (!span_text(fact, name, sizeof(name)) || !span_text(value, text, sizeof(text)))
		return false;
	k.kind = fact_kind_find(name);
	return k.kind && (is_ordered(k.kind) || op[1] == '=') &&
	       (is_ordered(k.kind) || op[0] == '=' || op[0] == '!') &&
	       condition_set_value(&k) == 0 && condition_text_fits(k.kind, text);
}

/* "os.version >= >=12" */
static bool hint_once(struct diag *d, const struct span *s, const struct span *fact)
{
	struct span rest = span_trim(span_skip(*s, fact->n)), value;

	for (size_t i = 0; i < sizeof(condition_ops) / sizeof(condition_ops[0]); i++) {
		if (!span_starts(&rest, condition_ops[i].text))
			continue;
		value = span_skip(rest, strlen(condition_ops[i].text));
		while (value.n > 0 && strchr("=!<> ", value.p[0]))
			value = span_skip(value, 1);
		if (!is_condition(fact, condition_ops[i].text, &value))
			return false;
		diag_hint(d, "did you mean %.*s %s %.*s?", (int)fact->n, fact->p,
			  condition_ops[i].text, (int)value.n, value.p);
		return true;
	}
	return false;
}

/* "fact SLIP value": did you mean it with a good operator? */
static bool hint_operator(struct diag *d, const struct span *s)
{
	struct span fact, value;
	size_t end = 0, n;

	while (end < s->n && !strchr(" \t=!<>~", s->p[end]) &&
	       !(s->p[end] == ':' && end + 1 < s->n && strchr(" =", s->p[end + 1])))
		end++;
	fact = *s;
	fact.n = end;
	for (size_t i = 0; i < sizeof(operator_slips) / sizeof(operator_slips[0]); i++) {
		const char *meant = operator_slips[i].meant;

		value = span_trim(span_skip(*s, end));
		n = strlen(operator_slips[i].text);
		if (!span_starts(&value, operator_slips[i].text))
			continue;
		value = span_trim(span_skip(value, n));
		if (!is_condition(&fact, meant, &value))
			meant = "=="; /* "disk.encrypted => true" */
		if (!is_condition(&fact, meant, &value))
			continue;
		diag_hint(d, "did you mean %.*s %s %.*s?", (int)fact.n, fact.p, meant, (int)value.n,
			  value.p);
		return true;
	}
	return hint_once(d, s, &fact);
}

static bool no_comparison(struct parse *c, const struct span *s)
{
	struct diag *d = problem_with(c, s, "has no comparison");
	char name[ZT_FACT_NAME_MAX + 1];
	const struct fact_kind *k;

	if (d && hint_operator(d, s))
		return false;
	k = span_text(s, name, sizeof(name)) ? fact_kind_find(name) : NULL;
	if (k && k->type == FACT_TYPE_BOOL)
		diag_hint(d, "did you mean %s == true?", name);
	else
		diag_hint(d, "%s", condition_form);
	return false;
}

/* "= disk.encrypted == true": the key stands with two equals signs. */
static bool no_fact(struct parse *c, const struct span *s, const struct span *rest)
{
	struct span tail = *rest;

	while (tail.n > 0 && strchr("=!<> ", tail.p[0]))
		tail = span_skip(tail, 1);
	if (memchr(tail.p, '=', tail.n) && s->n <= POLICY_TEXT_SHOWN)
		diag_hint(problem_with(c, s, "begins with a comparison"),
			  "between a key and its value stands one =: write %.*s", (int)tail.n,
			  tail.p);
	else
		diag_hint(problem_at(c, s->at, "no fact stands before the comparison"), "%s",
			  condition_form);
	return false;
}

/* --- parts --- */

/* The operator that a condition has, though one of another language may be longer. */
static bool read_operator(const struct span *rest, enum condition_op *ret, struct span *ret_value)
{
	if (span_starts(rest, "===") || span_starts(rest, "=>") || span_starts(rest, "=<") ||
	    span_starts(rest, "<>"))
		return false;
	for (size_t i = 0; i < sizeof(condition_ops) / sizeof(condition_ops[0]); i++) {
		if (!span_starts(rest, condition_ops[i].text))
			continue;
		*ret = condition_ops[i].op;
		*ret_value = span_trim(span_skip(*rest, strlen(condition_ops[i].text)));
		return true;
	}
	return false;
}

/* "fact op value" -> its three parts. */
static bool condition_split(struct parse *c, const struct span *s, struct span *ret_fact,
			    enum condition_op *ret_op, struct span *ret_value)
{
	struct span rest;
	size_t n = 0;

	while (n < s->n && !strchr("=!<>", s->p[n]))
		n++;
	*ret_fact = *s;
	ret_fact->n = n;
	*ret_fact = span_trim(*ret_fact);
	rest = span_skip(*s, n);
	if (ret_fact->n == 0 && rest.n > 0)
		return no_fact(c, s, &rest);
	return read_operator(&rest, ret_op, ret_value) || no_comparison(c, s);
}

static const char *argument_form(const struct fact_kind *k)
{
	if (txt_equal(k->name, "custom"))
		return ".NAME";
	return txt_starts(k->name, "file.") ? ":/PATH" : ":NAME";
}

/* The nearest fact, with the argument that stands there. */
static void fact_hint(struct diag *d, const struct span *bare, const struct span *argument,
		      const char *const *names, size_t n)
{
	const char *near = d ? nearest_to(bare, names, n) : NULL;
	char name[ZT_FACT_NAME_MAX + 1];
	const struct fact_kind *k = NULL;

	if (!near) {
		diag_hint(d, "`ztnode posture` on a device lists its facts");
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (txt_equal(near, names[i]))
			k = fact_kind_at(i);
	n = (size_t)snprintf(name, sizeof(name), "%s%.*s", near, (int)argument->n, argument->p);
	if (!k->takes_argument)
		diag_hint(d, "did you mean %s?", near);
	else if (n < sizeof(name) && fact_kind_find(name))
		diag_hint(d, "did you mean %s?", name);
	else
		diag_hint(d, "did you mean %s%s?", near, argument_form(k));
}

static bool fact_unknown(struct parse *c, const struct span *s)
{
	const char *names[64], *colon = memchr(s->p, ':', s->n);
	struct span bare = *s, argument;
	size_t n = 0;

	if (colon)
		bare.n = (size_t)(colon - s->p);
	argument = span_skip(*s, bare.n);
	for (const struct fact_kind *k; n < 64 && (k = fact_kind_at(n)) != NULL; n++) {
		names[n] = k->name;
		if (!span_is(&bare, k->name) || !k->takes_argument)
			continue;
		diag_hint(problem_with(c, s, "does not say which one"), "write %s%s", k->name,
			  argument_form(k));
		return false;
	}
	fact_hint(problem_with(c, s, "is not a fact that devices report"), &bare, &argument, names,
		  n);
	return false;
}

static bool condition_fact(struct parse *c, const struct span *s, struct condition *ret)
{
	char name[ZT_FACT_NAME_MAX + 1];
	const struct fact_kind *kind = NULL;

	if (span_starts(s, "net.")) {
		diag_hint(
			problem_with(c, s,
				     "is seen by the controller and not supported by this version"),
			"write a place with source = 192.0.2.0/24 or country = DE, and in the rule "
			"where = place:NAME");
		return false;
	}
	if (span_text(s, name, sizeof(name)))
		kind = fact_kind_find(name);
	if (!kind)
		return fact_unknown(c, s);
	ret->kind = kind;
	return (ret->fact = parse_text(c, s)) != NULL;
}

static bool condition_op_fits(struct parse *c, const struct span *s, const struct condition *k)
{
	if (is_ordered(k->kind) || k->op == CONDITION_EQ || k->op == CONDITION_NE)
		return true;
	diag_hint(problem_with(c, s, "puts %s values in an order",
			       k->kind->type == FACT_TYPE_BOOL ? "true and false" : "text"),
		  "compare %s with == or !=", k->fact);
	return false;
}

static bool condition_value(struct parse *c, const struct span *s, const struct span *whole,
			    struct condition *ret)
{
	bool quoted = s->n > 0 && (s->p[0] == '"' || s->p[0] == '\'');

	if (s->n == 0) {
		diag_hint(problem_with(c, whole, "has no value to compare with"), "write %s",
			  condition_value_form(ret->kind));
		return false;
	}
	ret->value = parse_text(c, s);
	if (!ret->value)
		return false;
	if (!quoted && condition_set_value(ret) == 0 &&
	    (c->env->was_accepted || condition_text_fits(ret->kind, ret->value)))
		return true;
	if (strchr("=!<>~", s->p[0]))
		return no_comparison(c, whole);
	condition_hint_value(problem_with(c, s, "is no value of %s", ret->fact), s, ret);
	return false;
}

/* What holds more than it says is refused, unless it is in force as it is. */
static bool swallows(struct parse *c, const struct span *s, const struct span *fact,
		     const struct span *value, const struct condition *k)
{
	return !c->env->was_accepted &&
	       (condition_swallows(c, s, fact, k) || condition_swallows(c, s, value, k));
}

bool value_condition(struct parse *c, const struct span *s, struct condition *ret)
{
	struct span fact, value;

	*ret = (struct condition){.line = s->at.line, .column = s->at.column};
	if (!condition_split(c, s, &fact, &ret->op, &value) || swallows(c, s, &fact, &value, ret) ||
	    !condition_fact(c, &fact, ret) || !condition_op_fits(c, s, ret) ||
	    !condition_value(c, &value, s, ret))
		return false;
	condition_warn_capitals(c, &value, ret);
	ret->text = arena_printf(c->arena, "%s %s %s", ret->fact, condition_op_text(ret->op),
				 ret->value);
	if (!ret->text)
		parse_fail(c, -ENOMEM);
	return ret->text != NULL;
}
