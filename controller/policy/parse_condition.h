/* What the reader of conditions and that of their values share. Private to controller/policy. */
#pragma once

#include "controller/policy/parse.h"

/* What may stand behind the operator: "true or false". */
const char *condition_value_form(const struct fact_kind *k);
/* Is it a text that a policy may compare the fact with? True of facts that are no text. */
bool condition_text_fits(const struct fact_kind *k, const char *value);
/* For s, which is no value of k's fact. */
void condition_hint_value(struct diag *d, const struct span *s, const struct condition *k);
/* Does it begin as a condition does, with a fact and an operator? */
bool condition_begins(const struct span *s);
/* k with its value, which is s. */
void condition_warn_capitals(struct parse *c, const struct span *s, const struct condition *k);
/* Says it when part (a value, or a fact's argument) of the condition whole holds another one, and
 * is true then. k: its fact and operator. */
bool condition_swallows(struct parse *c, const struct span *whole, const struct span *part,
			const struct condition *k);
