/* What is no mistake, but hardly meant: said with the policy, which is not refused for it. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <string.h>

#include "controller/policy/place.h"
#include "controller/policy/services.h"
#include "controller/policy/words.h"

static struct place place_at(unsigned line, unsigned column)
{
	return (struct place){.line = line, .column = column};
}

/* --- rules --- */

static void warn_review(struct parse *c, const struct policy_rule *r)
{
	if (!c->env->now_s || r->review_s > c->env->now_s)
		return;
	diag_hint(warn_at(c, place_at(r->line, r->column), "rule \"%s\" is past its review, %s",
			  r->name, r->review),
		  "look at it with %s, and give it another day",
		  r->owner[0] ? r->owner : "its owner");
}

static bool names_country(const struct parse *c, uint64_t spots)
{
	for (size_t i = 0; i < c->policy->n_spots; i++) {
		const struct policy_spot *s = &c->policy->spots[i];
		bool country = s->country[0] != '\0';

		if (!(spots >> i & 1))
			continue;
		for (size_t k = 0; !country && k < c->policy->places[s->place].n_in; k++)
			country = c->policy->places[s->place].in[k].kind == PLACE_COUNTRY;
		for (size_t k = 0;
		     !country && !s->country[0] && k < c->policy->places[s->place].n_except; k++)
			country = c->policy->places[s->place].except[k].kind == PLACE_COUNTRY;
		if (country)
			return true;
	}
	return false;
}

static void warn_country(struct parse *c, const struct policy_rule *r)
{
	if (!c->env->now_s || c->env->countries || !names_country(c, r->where | r->where_except))
		return;
	diag_hint(warn_at(c, place_at(r->line, r->column),
			  "rule \"%s\" asks for a country, and no country is known: it %s", r->name,
			  r->deny ? "denies everywhere" : "does not hold there"),
		  "give the controller a country_database (controller.ini)");
}

/* --- names that look alike --- */

/* The name as a hasty eye reads it. */
static void fold(const char *name, char out[static ZT_NAME_MAX + 1])
{
	static const char from[] = "0159l._", to[] = "oisgi--";
	size_t n = 0;

	for (size_t i = 0; name[i] && n < ZT_NAME_MAX; i++) {
		const char *at = strchr(from, name[i]);

		if (name[i] == 'r' && name[i + 1] == 'n') {
			out[n++] = 'm';
			i++;
		} else if (name[i] == 'v' && name[i + 1] == 'v') {
			out[n++] = 'w';
			i++;
		} else {
			out[n++] = at ? to[at - from] : name[i];
		}
	}
	out[n] = '\0';
}

static void warn_alike(struct parse *c, struct names *seen, enum thing kind, const char *noun,
		       uint32_t i, struct place at)
{
	const char *name = thing_name(c, kind, i);
	char folded[ZT_NAME_MAX + 1], *text;
	uint32_t other;

	fold(name, folded);
	other = names_find(seen, kind, folded, strlen(folded));
	if (other != NAMES_ABSENT) {
		diag_hint(warn_at(c, at, "%s \"%s\" looks like %s \"%s\"", noun, name, noun,
				  thing_name(c, kind, other)),
			  "give one of them another name, so that nobody takes it for the other");
		return;
	}
	text = arena_text(&c->scratch, folded, strlen(folded));
	if (!text || names_add(seen, kind, text, strlen(text), i) < 0)
		parse_fail(c, -ENOMEM);
}

static void warn_names(struct parse *c)
{
	const struct policy *p = c->policy;
	struct names seen;

	names_init(&seen, &c->scratch);
	for (uint32_t i = 0; i < p->n_groups; i++)
		warn_alike(c, &seen, THING_GROUP, "group", i,
			   place_at(p->groups[i].line, p->groups[i].column));
	for (uint32_t i = 0; i < p->n_resources; i++)
		warn_alike(c, &seen, THING_RESOURCE, "resource", i,
			   place_at(p->resources[i].line, p->resources[i].column));
	for (uint32_t i = 0; i < p->n_postures; i++)
		warn_alike(c, &seen, THING_POSTURE, "posture", i,
			   place_at(p->postures[i].line, p->postures[i].column));
	for (uint32_t i = 0; i < p->n_places; i++)
		warn_alike(c, &seen, THING_PLACE, "place", i,
			   place_at(p->places[i].line, p->places[i].column));
}

/* --- resources that overlap --- */

enum { PORTS_COMPARED = 32 }; /* of each: it is a warning, not a proof */

/* The first port that both offer. `any` beside single ports is meant. */
static bool shared_port(const struct policy_resource *a, const struct policy_resource *b,
			struct service *ret)
{
	for (size_t i = 0; i < a->n_ports && i < PORTS_COMPARED; i++)
		for (size_t k = 0; k < b->n_ports && k < PORTS_COMPARED; k++)
			if ((a->ports[i].proto == SERVICE_ANY) ==
				    (b->ports[k].proto == SERVICE_ANY) &&
			    service_overlaps(&a->ports[i], &b->ports[k])) {
				*ret = service_both(&a->ports[i], &b->ports[k]);
				return true;
			}
	return false;
}

static void warn_overlap(struct parse *c, uint32_t a, uint32_t b, const struct selector *on)
{
	const struct policy_resource *x = &c->policy->resources[a], *y = &c->policy->resources[b];
	struct service port;
	char svc[SERVICE_TEXT_MAX], host[SELECTOR_TEXT_MAX];

	if (!shared_port(x, y, &port))
		return;
	service_print(&port, svc);
	selector_print(on, host);
	diag_hint(warn_at(c, place_at(y->line, y->column),
			  "resource \"%s\" overlaps \"%s\" (line %u): both have %s on %s", y->name,
			  x->name, x->line, svc, host),
		  "who may use one of them gets that port of both");
}

/* The first resource on each selector is compared with the others: enough to see what is meant,
 * and not the square of it. */
static void warn_resources(struct parse *c)
{
	const struct policy *p = c->policy;
	struct names seen;

	names_init(&seen, &c->scratch);
	for (uint32_t i = 0; i < p->n_resources && !c->stop; i++)
		for (size_t k = 0; k < p->resources[i].on.n_in; k++) {
			const struct selector *s = &p->resources[i].on.in[k];
			size_t n = strlen(s->name);
			uint32_t before = names_find(&seen, s->kind, s->name, n);

			if (before == NAMES_ABSENT && names_add(&seen, s->kind, s->name, n, i) < 0)
				return parse_fail(c, -ENOMEM);
			if (before != NAMES_ABSENT && before != i)
				warn_overlap(c, before, i, s);
		}
}

enum { LEASE_SHORT_S = 30 };

/* The whole map of each device that has such an access is renewed so often. */
static void warn_lease(struct parse *c, const struct policy_resource *r)
{
	if (r->lease_s && r->lease_s < LEASE_SHORT_S)
		diag_hint(warn_at(c, place_at(r->line, r->column),
				  "resource \"%s\" has a lease of %llu s: every device that may "
				  "use it "
				  "asks for its map three times in that",
				  r->name, (unsigned long long)r->lease_s),
			  "a minute is short enough for most: who is revoked while the controller "
			  "is reached is cut at once");
}

void check_warnings(struct parse *c)
{
	const struct policy *p = c->policy;

	for (size_t i = 0; i < p->n_rules; i++) {
		warn_review(c, &p->rules[i]);
		warn_country(c, &p->rules[i]);
	}
	for (size_t i = 0; i < p->n_resources; i++)
		warn_lease(c, &p->resources[i]);
	warn_names(c);
	if (!c->stop)
		warn_resources(c);
}
