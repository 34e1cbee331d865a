/* What is no mistake, but hardly meant: said with the policy, which is not refused for it. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <string.h>

#include "controller/policy/place.h"
#include "controller/policy/services.h"
#include "controller/policy/words.h"

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

/* --- addresses --- */

enum { ADDRESSES_MAX = 1000 }; /* each is compared with each */

struct address {
	const struct selector *at; /* where it stands first */
	size_t len;
	size_t n; /* how often */
};

struct addresses {
	struct parse *c;
	struct names known;
	struct address *v;
	size_t n;
};

static void take_addresses(struct addresses *all, const struct selector *list, size_t n)
{
	for (size_t i = 0; i < n && all->n < ADDRESSES_MAX; i++) {
		size_t len;
		uint32_t k;

		if (list[i].kind != SELECTOR_USER)
			continue;
		len = strlen(list[i].name);
		k = names_find(&all->known, 0, list[i].name, len);
		if (k == NAMES_ABSENT) {
			k = (uint32_t)all->n++;
			all->v[k] = (struct address){.at = &list[i], .len = len};
			if (names_add(&all->known, 0, list[i].name, len, k) < 0)
				parse_fail(all->c, -ENOMEM);
		}
		all->v[k].n++;
	}
}

static void take_both(struct addresses *all, const struct selectors *l)
{
	take_addresses(all, l->in, l->n_in);
	take_addresses(all, l->except, l->n_except);
}

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

/* Is a written like b but for one slip: a letter more, less or another (SLIP_LETTER), or two that
 * changed places? Numbers are told apart by their digits, so a digit is none. */
enum slip { SLIP_NONE, SLIP_LETTER, SLIP_SWAP };
static enum slip slip_between(const char *a, size_t n_a, const char *b, size_t n_b, size_t *ret_at)
{
	size_t from = 0;

	if (n_a > n_b + 1 || n_b > n_a + 1)
		return SLIP_NONE;
	while (a[from] && a[from] == b[from])
		from++;
	while (n_a > from && n_b > from && a[n_a - 1] == b[n_b - 1]) {
		n_a--;
		n_b--;
	}
	*ret_at = from;
	n_a -= from;
	n_b -= from;
	if (n_a == 2 && n_b == 2 && a[from] == b[from + 1] && a[from + 1] == b[from])
		return SLIP_SWAP;
	if (n_a > 1 || n_b > 1 || (n_a && is_digit(a[from])) || (n_b && is_digit(b[from])))
		return SLIP_NONE;
	return SLIP_LETTER;
}

/* One that stands once beside another that stands often; ann and anna, once each, are two people,
 * and so are a and b, but nobody has two domains so near each other. */
static bool is_mistyped(const struct address *x, const struct address *like)
{
	size_t at, name = strcspn(x->at->name, "@");
	enum slip slip = slip_between(x->at->name, x->len, like->at->name, like->len, &at);

	if (slip == SLIP_NONE)
		return false;
	return slip == SLIP_SWAP || at > name || (like->n > 1 && strcspn(like->at->name, "@") > 2);
}

static void warn_address(struct addresses *all, const struct address *x)
{
	for (size_t i = 0; i < all->n && x->n == 1; i++) {
		const struct address *like = &all->v[i];

		if (like == x || !is_mistyped(x, like) || (like->n == 1 && like > x))
			continue;
		diag_hint(warn_at(all->c, place_at(x->at->line, x->at->column),
				  "user:%s looks like user:%s (line %u), and stands here alone",
				  x->at->name, like->at->name, like->at->line),
			  "an address that is mistyped is nobody's: in an except or a deny that "
			  "opens something");
		return;
	}
}

static void warn_addresses(struct parse *c)
{
	const struct policy *p = c->policy;
	struct addresses all = {.c = c};

	all.v = arena_array(&c->scratch, ADDRESSES_MAX, sizeof(*all.v));
	if (!all.v)
		return parse_fail(c, -ENOMEM);
	names_init(&all.known, &c->scratch);
	for (size_t i = 0; i < p->n_groups; i++)
		take_both(&all, &p->groups[i].members);
	for (size_t i = 0; i < p->n_rules; i++)
		take_both(&all, &p->rules[i].who);
	for (size_t i = 0; i < p->n_invariants; i++)
		take_both(&all, &p->invariants[i].from);
	for (size_t i = 0; i < p->n_tests; i++)
		take_addresses(&all, &p->tests[i].from, 1);
	for (size_t i = 0; i < all.n && all.n < ADDRESSES_MAX; i++)
		warn_address(&all, &all.v[i]);
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

	if (p->n_rules == 0 && c->env->now_s)
		diag_hint(warn_at(c, place_at(1, 1),
				  "the policy has no rule: nobody may use anything"),
			  "write a [rule NAME]");
	for (size_t i = 0; i < p->n_rules; i++) {
		warn_review(c, &p->rules[i]);
		warn_country(c, &p->rules[i]);
	}
	for (size_t i = 0; i < p->n_resources; i++)
		warn_lease(c, &p->resources[i]);
	warn_names(c);
	warn_addresses(c);
	if (!c->stop)
		warn_resources(c);
}
