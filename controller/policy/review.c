/* Rules that are due, and resources that nobody offers. */
#include "controller/policy/review.h"

#include "zt/txt.h"

bool review_is_past(const struct policy_rule *r, int64_t now_s)
{
	return r->review_s <= now_s;
}

struct review review_count(const struct policy *p, const struct engine *e, int64_t now_s)
{
	struct review n = {0};

	for (uint32_t i = 0; i < p->n_rules; i++) {
		n.past_review += review_is_past(&p->rules[i], now_s);
		n.over += engine_is_over(e, i);
	}
	return n;
}

size_t review_offers(const struct policy *p, const struct engine *e, struct diag *warnings,
		     size_t n, size_t max)
{
	for (uint32_t i = 0; i < p->n_resources && n < max; i++) {
		const struct policy_resource *r = &p->resources[i];
		struct diag *d = &warnings[n];

		if (!r->on.n_in || engine_is_offered(e, i))
			continue;
		diag_set(d, 0, "no device offers resource \"%s\" now", r->name);
		diag_hint(d, "its on has no active device yet; ztctl device list shows their tags");
		(void)!txt_copy(d->file, sizeof(d->file), "policy");
		d->line = r->line;
		d->column = r->column;
		n++;
	}
	return n;
}
