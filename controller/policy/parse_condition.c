/* Readers of conditions on facts: "os.version >= 12". */
#include "controller/policy/parse.h"

#include <errno.h>
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
static const char condition_form[] =
	"a condition is a fact, one of == != < <= > >=, and a value: os.version >= 12";

/* Operators of other languages, longest first. */
static const struct {
	const char *text, *meant;
} operator_slips[] = {{"===", "=="}, {"=>", ">="}, {"=<", "<="}, {"<>", "!="}, {"=", "=="}};

/* rest: from the operator on. */
static bool operator_wrong(struct parse *c, const struct span *s, const struct span *fact,
			   const struct span *rest)
{
	struct diag *d;
	struct span value;

	if (span_starts(rest, "==") && !span_starts(rest, "==="))
		return false;
	for (size_t i = 0; i < sizeof(operator_slips) / sizeof(operator_slips[0]); i++) {
		if (!span_starts(rest, operator_slips[i].text))
			continue;
		d = problem_with(c, s, "has no comparison");
		value = span_trim(span_skip(*rest, strlen(operator_slips[i].text)));
		if (value.n > 0 && s->n <= POLICY_TEXT_SHOWN)
			diag_hint(d, "did you mean %.*s %s %.*s?", (int)fact->n, fact->p,
				  operator_slips[i].meant, (int)value.n, value.p);
		else
			diag_hint(d, "did you mean %s?", operator_slips[i].meant);
		return true;
	}
	return false;
}

/* "fact op value" -> its three parts. */
static bool condition_split(struct parse *c, const struct span *s, struct span *ret_fact,
			    enum condition_op *ret_op, struct span *ret_value)
{
	size_t n = 0;

	while (n < s->n && !strchr("=!<>", s->p[n]))
		n++;
	*ret_fact = *s;
	ret_fact->n = n;
	*ret_fact = span_trim(*ret_fact);
	*ret_value = span_skip(*s, n);
	if (operator_wrong(c, s, ret_fact, ret_value))
		return false;
	for (size_t i = 0; i < sizeof(condition_ops) / sizeof(condition_ops[0]); i++) {
		if (!span_starts(ret_value, condition_ops[i].text))
			continue;
		*ret_op = condition_ops[i].op;
		*ret_value = span_trim(span_skip(*ret_value, strlen(condition_ops[i].text)));
		return true;
	}
	diag_hint(problem_with(c, s, "has no comparison"), "%s", condition_form);
	return false;
}

static const char *argument_form(const struct fact_kind *k)
{
	if (txt_equal(k->name, "custom"))
		return ".NAME";
	return txt_starts(k->name, "file.") ? ":/PATH" : ":NAME";
}

static bool fact_unknown(struct parse *c, const struct span *s)
{
	const char *names[64], *colon = memchr(s->p, ':', s->n);
	struct span bare = *s;
	struct diag *d;
	size_t n = 0;

	if (colon)
		bare.n = (size_t)(colon - s->p);
	for (const struct fact_kind *k; n < 64 && (k = fact_kind_at(n)) != NULL; n++) {
		names[n] = k->name;
		if (!span_is(&bare, k->name) || !k->takes_argument)
			continue;
		diag_hint(problem_with(c, s, "does not say which one"), "write %s%s", k->name,
			  argument_form(k));
		return false;
	}
	d = problem_with(c, s, "is not a fact that devices report");
	hint_nearest(d, &bare, "", names, n, "`ztnode posture` on a device lists its facts");
	return false;
}

static bool condition_fact(struct parse *c, const struct span *s, struct condition *ret)
{
	char name[ZT_FACT_NAME_MAX + 1];
	const struct fact_kind *kind = NULL;

	if (s->n == 0) {
		diag_hint(problem_at(c, s->at, "no fact stands before the comparison"), "%s",
			  condition_form);
		return false;
	}
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

static const char *value_form(const struct fact_kind *k)
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
		return "a text without quotes, at most 256 bytes";
	case FACT_TYPE_DURATION:
		return "a duration: 30s, 10m, 12h or 14d";
	}
	return "";
}

static bool condition_op_fits(struct parse *c, const struct span *s, const struct condition *k)
{
	bool ordered = k->kind->type != FACT_TYPE_BOOL && k->kind->type != FACT_TYPE_TEXT;

	if (ordered || k->op == CONDITION_EQ || k->op == CONDITION_NE)
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
			  value_form(ret->kind));
		return false;
	}
	ret->value = parse_text(c, s);
	if (!ret->value)
		return false;
	if (!quoted && condition_set_value(ret) == 0)
		return true;
	diag_hint(problem_with(c, s, "is no value of %s", ret->fact), "write %s",
		  value_form(ret->kind));
	return false;
}

bool value_condition(struct parse *c, const struct span *s, struct condition *ret)
{
	struct span fact, value;

	*ret = (struct condition){.line = s->at.line, .column = s->at.column};
	if (!condition_split(c, s, &fact, &ret->op, &value) || !condition_fact(c, &fact, ret) ||
	    !condition_op_fits(c, s, ret) || !condition_value(c, &value, s, ret))
		return false;
	ret->text = arena_printf(c->arena, "%s %s %s", ret->fact, condition_op_text(ret->op),
				 ret->value);
	if (!ret->text)
		parse_fail(c, -ENOMEM);
	return ret->text != NULL;
}
