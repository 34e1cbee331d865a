/* Where a device is, against the places of the policy. */
#include "controller/policy/place.h"

#include <stdio.h>
#include <string.h>

/* ISO 3166-1 alpha-2, and XK, which databases use for Kosovo. */
static const char countries[] =
	"AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ "
	"BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM "
	"DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS "
	"GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN "
	"KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ "
	"MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM "
	"PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV "
	"SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI "
	"VN VU WF WS XK YE YT ZA ZM ZW ";

bool country_is_valid(const char *code)
{
	char word[4];

	if (strlen(code) != 2 || code[0] == ' ' || code[1] == ' ')
		return false;
	snprintf(word, sizeof(word), "%s ", code);
	return strstr(countries, word) != NULL;
}

enum truth { NO, UNKNOWN, YES };

static enum truth country_is(const char *wanted, const struct place_view *v)
{
	if (!v->country[0])
		return UNKNOWN;
	return strcmp(wanted, v->country) == 0 ? YES : NO;
}

static enum truth item_is(const struct place_item *i, const struct place_view *v)
{
	switch (i->kind) {
	case PLACE_SOURCE:
		if (v->source.family == ADDR_NONE)
			return UNKNOWN;
		return prefix_contains(&i->prefix, &v->source) ? YES : NO;
	case PLACE_OVERLAY:
		return prefix_contains(&i->prefix, &v->addr4) ||
				       prefix_contains(&i->prefix, &v->addr6)
			       ? YES
			       : NO;
	case PLACE_COUNTRY:
		return country_is(i->country, v);
	}
	return UNKNOWN;
}

/* The greatest of all: YES when one is. */
static enum truth some(const struct place_item *items, size_t n, const struct place_view *v)
{
	enum truth best = NO;

	for (size_t i = 0; i < n && best != YES; i++) {
		enum truth t = item_is(&items[i], v);

		best = t > best ? t : best;
	}
	return best;
}

static enum truth spot_is(const struct policy *p, const struct policy_spot *s,
			  const struct place_view *v)
{
	const struct policy_place *place;
	enum truth in, except;

	if (s->country[0])
		return country_is(s->country, v);
	place = &p->places[s->place];
	in = some(place->in, place->n_in, v);
	except = (enum truth)(YES - some(place->except, place->n_except, v));
	return in < except ? in : except;
}

bool places_equal(const struct places *a, const struct places *b)
{
	return a->in == b->in && a->out == b->out;
}

struct places place_evaluate(const struct policy *p, const struct place_view *v)
{
	struct places at = {0};

	for (size_t i = 0; i < p->n_spots; i++) {
		enum truth t = spot_is(p, &p->spots[i], v);

		at.in |= (uint64_t)(t == YES) << i;
		at.out |= (uint64_t)(t == NO) << i;
	}
	return at;
}

bool where_holds(const struct policy_rule *r, const struct places *at)
{
	return (!r->where || (r->where & at->in)) && !(r->where_except & ~at->out);
}

bool where_fails(const struct policy_rule *r, const struct places *at)
{
	return (r->where && !(r->where & ~at->out)) || (r->where_except & at->in);
}

void spot_print(const struct policy *p, uint32_t spot, char out[static SPOT_TEXT_MAX])
{
	const struct policy_spot *s = &p->spots[spot];

	if (s->country[0])
		snprintf(out, SPOT_TEXT_MAX, "country:%s", s->country);
	else
		snprintf(out, SPOT_TEXT_MAX, "place:%s", p->places[s->place].name);
}
