/* Conditions on facts. Each type of fact has one order of its values; a condition holds by where a
 * value stands in it. Versions compare number by number, and what is not there counts as 0: 12
 * equals 12.0. */
#include "controller/policy/condition.h"

#include <string.h>

#include "zt/num.h"
#include "zt/txt.h"

static const char *const op_texts[] = {
	[CONDITION_EQ] = "==", [CONDITION_NE] = "!=", [CONDITION_LT] = "<",
	[CONDITION_LE] = "<=", [CONDITION_GT] = ">",  [CONDITION_GE] = ">=",
};

const char *condition_op_text(enum condition_op op)
{
	return op_texts[op];
}

/* Does x OP y hold when x compares with y as cmp says (< 0, 0, > 0)? */
static bool op_holds(enum condition_op op, int cmp)
{
	switch (op) {
	case CONDITION_EQ:
		return cmp == 0;
	case CONDITION_NE:
		return cmp != 0;
	case CONDITION_LT:
		return cmp < 0;
	case CONDITION_LE:
		return cmp <= 0;
	case CONDITION_GT:
		return cmp > 0;
	case CONDITION_GE:
		return cmp >= 0;
	}
	return false;
}

/* --- versions --- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The next number of a version; 0 past its end. *s moves behind it and its dot. */
static uint64_t version_number(const char **s)
{
	uint64_t v = 0;

	while (is_digit(**s)) {
		uint64_t digit = (uint64_t)(**s - '0');

		/* a number too great to hold stands for the greatest */
		v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
		(*s)++;
	}
	if (**s == '.' && is_digit((*s)[1]))
		(*s)++;
	return v;
}

static int version_compare(const char *a, const char *b)
{
	while (is_digit(*a) || is_digit(*b)) {
		uint64_t x = version_number(&a), y = version_number(&b);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return 0;
}

/* Digits and single dots, as a policy must write it. */
static bool is_version(const char *s)
{
	bool digit = false;

	for (; *s; s++) {
		if (*s == '.' ? !digit : !is_digit(*s))
			return false;
		digit = *s != '.';
	}
	return digit;
}

/* A device reports "6.1.0-18-amd64" or "1:2.3-4+deb12u1": the version is 6.1.0 and 2.3, without a
 * package's epoch. NULL when the text does not begin with a number. */
static const char *version_of(const char *s)
{
	const char *p = s;

	while (is_digit(*p))
		p++;
	if (p > s && *p == ':')
		s = p + 1;
	return is_digit(*s) ? s : NULL;
}

/* --- values --- */

/* The number of a boolean, a number or a duration (seconds; one without a unit is in seconds). */
static int read_number(enum fact_type type, const char *value, uint64_t *ret)
{
	if (type == FACT_TYPE_BOOL) {
		if (!txt_equal(value, "true") && !txt_equal(value, "false"))
			return -ZT_EFORM;
		*ret = txt_equal(value, "true");
		return 0;
	}
	if (type == FACT_TYPE_DURATION && num_parse_duration(value, ret) == 0)
		return 0;
	return num_parse_u64(value, 0, UINT64_MAX, ret);
}

static bool is_numeric(enum fact_type type)
{
	return type == FACT_TYPE_BOOL || type == FACT_TYPE_NUMBER || type == FACT_TYPE_DURATION;
}

int condition_set_value(struct condition *c)
{
	switch (c->kind->type) {
	case FACT_TYPE_BOOL:
	case FACT_TYPE_NUMBER:
		return read_number(c->kind->type, c->value, &c->number);
	case FACT_TYPE_DURATION:
		return num_parse_duration(c->value, &c->number);
	case FACT_TYPE_VERSION:
		return is_version(c->value) ? 0 : -ZT_EFORM;
	case FACT_TYPE_TEXT:
		return txt_is_line(c->value, ZT_FACT_VALUE_MAX) ? 0 : -ZT_EFORM;
	}
	return -ZT_EFORM;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

enum condition_result condition_test(const struct condition *c, const char *value)
{
	enum fact_type type = c->kind->type;
	const char *version;
	uint64_t number;
	int cmp;

	if (is_numeric(type)) {
		if (read_number(type, value, &number) < 0)
			return CONDITION_UNREADABLE;
		cmp = compare_numbers(number, c->number);
	} else if (type == FACT_TYPE_VERSION) {
		version = version_of(value);
		if (!version)
			return CONDITION_UNREADABLE;
		cmp = version_compare(version, c->value);
	} else {
		cmp = strcmp(value, c->value);
	}
	return op_holds(c->op, cmp) ? CONDITION_HOLDS : CONDITION_FAILS;
}

/* --- conflicts --- */

/* A place in the order of a type: a condition's value, or right beside it. Where conditions on one
 * fact can hold together at all, they do so at one of these. */
struct spot {
	const struct condition *at;
	int side; /* -1 right before the value, 0 at it, 1 right after it */
};

static bool spot_exists(const struct spot *s)
{
	enum fact_type type = s->at->kind->type;

	if (s->side == 0)
		return true;
	if (type == FACT_TYPE_BOOL)
		return s->side > 0 ? s->at->number == 0 : s->at->number == 1;
	if (s->side > 0)
		return !is_numeric(type) || s->at->number < UINT64_MAX;
	if (is_numeric(type))
		return s->at->number > 0;
	return type == FACT_TYPE_TEXT || version_compare(s->at->value, "0") > 0;
}

static bool holds_at(const struct condition *c, const struct spot *s)
{
	enum fact_type type = c->kind->type;
	int cmp;

	if (is_numeric(type))
		cmp = compare_numbers(s->at->number + (uint64_t)(int64_t)s->side, c->number);
	else if (type == FACT_TYPE_VERSION)
		cmp = version_compare(s->at->value, c->value);
	else
		cmp = strcmp(s->at->value, c->value);
	if (!is_numeric(type) && cmp == 0)
		cmp = s->side;
	return op_holds(c->op, cmp);
}

bool conditions_can_hold(const struct condition *const *all, size_t n)
{
	for (size_t i = 0; i < 3 * n; i++) {
		struct spot s = {.at = all[i / 3], .side = (int)(i % 3) - 1};
		size_t held = 0;

		if (!spot_exists(&s))
			continue;
		while (held < n && holds_at(all[held], &s))
			held++;
		if (held == n)
			return true;
	}
	return n == 0;
}

bool condition_conflict(const struct condition *const *all, size_t n,
			const struct condition **ret_a, const struct condition **ret_b)
{
	if (conditions_can_hold(all, n))
		return false;
	for (size_t b = 0; b < n; b++) {
		for (size_t a = 0; a <= b; a++) {
			const struct condition *pair[] = {all[a], all[b]};

			if (conditions_can_hold(pair, 2))
				continue;
			*ret_a = pair[0];
			*ret_b = pair[1];
			return true;
		}
	}
	*ret_a = all[0];
	*ret_b = all[n - 1];
	return true;
}
