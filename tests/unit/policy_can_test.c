/* May this ever open that? Rows worked out by hand: a policy, a question, the whole answer. (That
 * no case is forgotten is policy_can_oracle_test's to find.) */
#include "tests/unit/unit.h"

#include "controller/policy/can.h"
#include "controller/policy/invariant.h"
#include "controller/zones.h"
#include "zt/buf.h"

enum { NOW_S = 1800000000 /* Friday 2027-01-15 08:00 UTC */ };
static struct zones *zones;

/* --- the cast --- */

static const char *const db_tags[] = {"s"}, *const both_tags[] = {"s", "t"};
static const char *const given[] = {"given"};
static const struct subject cast[] = {
	{.id = 1, .name = "lap", .owner = "ada@x.org", .groups = given, .n_groups = 1},
	{.id = 2, .name = "db", .owner = "", .tags = db_tags, .n_tags = 1},
	{.id = 3, .name = "db2", .owner = "", .tags = both_tags, .n_tags = 2},
	{.id = 0, .name = "", .owner = "eve@x.org", .groups = given, .n_groups = 1},
};

/* --- answers as text --- */

static void put_identities(struct buf *b, const char *word, const struct can_identity *v, size_t n)
{
	if (n)
		buf_printf(b, " %s{", word);
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%s%s", i ? " " : "", v[i].name, v[i].exists ? "" : "*");
	if (n)
		buf_put_text(b, "}");
}

static void put_way(struct buf *b, const struct policy *p, const struct can_way *y, struct arena *a)
{
	buf_put_text(b, y->rule->name);
	for (size_t i = 0; i < p->n_postures; i++)
		if (y->postures >> i & 1)
			buf_printf(b, " %s", p->postures[i].name);
	buf_put_text(b, y->timed ? " when" : "");
	buf_put_text(b, y->placed ? " where" : "");
	for (size_t i = 0; i < y->n_nots; i++)
		buf_printf(b, " not:%s", y->nots[i]->name);
	for (size_t i = 0; i < y->n_holds; i++)
		buf_printf(b, " hold:%s", y->holds[i]->name);
	if (y->n_ports)
		buf_printf(b, " [%s]", can_ports_print(y->ports, y->n_ports, a));
	put_identities(b, "from", y->from, y->n_from);
	put_identities(b, "to", y->to, y->n_to);
}

/* Nobody is named twice. */
static bool is_once(const struct can_identity *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(v[i].name, v[k].name) == 0 && v[i].exists == v[k].exists)
				return false;
	return true;
}

static void put_answer(struct buf *b, const struct policy *p, const struct can_answer *x,
		       struct arena *a)
{
	static const char *const words[] = {"never", "only if", "always"};

	if (!is_once(x->from, x->n_from) || !is_once(x->to, x->n_to))
		buf_put_text(b, "twice! ");
	buf_put_text(b, words[x->verdict]);
	for (size_t i = 0; i < x->n_ways; i++) {
		buf_put_text(b, i ? "; " : ": ");
		put_way(b, p, &x->ways[i], a);
	}
	buf_put_text(b, x->behind_gateway ? " (gateway)" : "");
}

/* --- questions as text: "user:u@x.org resource:r tcp/22" --- */

static const char *const prefixes[] = {"user:", "group:", "tag:", "device:"};

static struct selector selector_of(const char *text)
{
	for (size_t i = 0; i < N_OF(prefixes); i++)
		if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
			return (struct selector){.kind = (enum selector_kind)i,
						 .name = text + strlen(prefixes[i])};
	return (struct selector){.kind = SELECTOR_ANYONE};
}

static struct can_target target_of(const char *text)
{
	struct can_target t = {.kind = CAN_TO_ADDRESS};

	if (strncmp(text, "resource:", 9) == 0)
		return (struct can_target){.kind = CAN_TO_RESOURCE, .name = text + 9};
	if (strncmp(text, "device:", 7) == 0)
		return (struct can_target){.kind = CAN_TO_DEVICE, .name = text + 7};
	if (strncmp(text, "user:", 5) == 0)
		return (struct can_target){.kind = CAN_TO_USER, .name = text + 5};
	assert_int_equal(addr_parse(text, &t.addr), 0);
	return t;
}

struct row {
	const char *says, *policy, *asks, *answer;
};

/* A resource that all rows have, and a rule of one line. */
#define R "[resource r]\non = tag:s\nports = tcp/22\n"
#define SSH "[resource ssh]\non = tag:s\nports = tcp/22\n"
#define RULE(name, keys) "[rule " name "]\nwhy = x\nwho = user:u@x.org\nwhat = resource:r\n" keys
#define DENY(name, keys) RULE(name, "action = deny\n" keys)
#define POSTURE(name, keys) "[posture " name "]\nrequire = " keys "\n"
#define PLACE(name, keys) "[place " name "]\n" keys
#define HOLD(from, to, expect)                                                                     \
	"[invariant i]\nwhy = y\nfrom = " from "\nto = " to "\nexpect = " expect "\n"
#define ASK "user:u@x.org resource:r"

static const struct row rows[] = {
	/* who */

	{"no rule", R "[group g]\nmembers = user:u@x.org\n", ASK, "never"},
	{"a rule without conditions", R RULE("a", ""), ASK, "always: a"},
	{"a rule about another", R RULE("a", ""), "tag:s resource:r", "never"},
	{"one rule more changes nothing", R RULE("a", "") RULE("b", "when = Mon\n"), ASK,
	 "always: a"},
	{"nobody knows him", R RULE("a", ""), "user:nobody@x.org resource:r",
	 "absent: FROM: user:nobody@x.org is no device's, and the policy does not know it "
	 "(FROM is a device, or user:EMAIL, group:NAME, tag:NAME or anyone)"},
	{"nearly somebody", R RULE("a", ""), "user:eva@x.org resource:r cast",
	 "absent: FROM: user:eva@x.org is no device's, and the policy does not know it (did you "
	 "mean user:eve@x.org?)"},
	{"nearly a device", R RULE("a", ""), "user:u@x.org resource:db3 cast",
	 "absent: TO: there is no resource, device or user \"db3\" (did you mean db?)"},
	{"no such resource", R RULE("a", ""), "user:u@x.org resource:q",
	 "absent: TO: there is no resource, device or user \"q\" (TO is a resource, a device, a "
	 "user, or an address behind gateways)"},
	/* postures */
	{"a posture", R POSTURE("p", "os.version >= 11") RULE("a", "how = posture:p\n"), ASK,
	 "only if: a p"},
	{"a newer version is also an older one",
	 R POSTURE("p", "os.version >= 11") POSTURE("q", "os.version >= 12")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p"},
	{"in any order of the file",
	 R POSTURE("p", "os.version >= 11") POSTURE("q", "os.version >= 12")
		 RULE("b", "how = posture:q\n") RULE("a", "how = posture:p\n"),
	 ASK, "only if: a p"},
	{"what another posture of the rule implies is not said",
	 R POSTURE("p", "os.version >= 11") POSTURE("q", "os.version >= 12")
		 RULE("a", "how = posture:p, posture:q\n"),
	 ASK, "only if: a q"},
	{"three that exclude each other only together",
	 R POSTURE("p", "time.offset >= 1") POSTURE("q", "time.offset <= 1") POSTURE(
		 "s", "time.offset != 1") RULE("a", "how = posture:p, posture:q, posture:s\n"),
	 ASK, "never"},
	{"unless one of them is in its grace",
	 R POSTURE("p", "time.offset >= 1\ngrace = 1m") POSTURE("q", "time.offset <= 1") POSTURE(
		 "s", "time.offset != 1") RULE("a", "how = posture:p, posture:q, posture:s\n"),
	 ASK, "only if: a p q s"},
	{"a fact that may be older for the stronger posture does not imply the weaker",
	 R POSTURE("p", "os.version >= 11\nmax_age = 5m") POSTURE("q", "os.version >= 12")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p; b q"},
	{"one that must be younger does",
	 R POSTURE("p", "os.version >= 11") POSTURE("q", "os.version >= 12\nmax_age = 5m")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p"},
	{"in its grace the stronger holds and the weaker does not",
	 R POSTURE("p", "os.version >= 11") POSTURE("q", "os.version >= 12\ngrace = 10m")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p; b q"},
	{"a grace of the weaker does no harm",
	 R POSTURE("p", "os.version >= 11\ngrace = 10m") POSTURE("q", "os.version >= 12")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p"},
	{"both with the same grace",
	 R POSTURE("p", "os.version >= 11\ngrace = 10m")
		 POSTURE("q", "os.version >= 12\ngrace = 10m") RULE("a", "how = posture:p\n")
			 RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p"},
	{"what is x is not y",
	 R POSTURE("p", "custom.a == x") POSTURE("q", "custom.a != y")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: b q"},
	{"what is not y may be anything",
	 R POSTURE("p", "custom.a == x") POSTURE("q", "custom.a != x")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p; b q"},
	{"true is not false",
	 R POSTURE("p", "disk.encrypted == true") POSTURE("q", "disk.encrypted != false")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p"},
	{"a week is less than two",
	 R POSTURE("p", "os.update_age <= 7d") POSTURE("q", "os.update_age < 14d")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: b q"},
	{"whole numbers have nothing between them",
	 R POSTURE("p", "time.offset > 1, time.offset < 3") POSTURE("q", "time.offset == 2")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p"},
	{"versions have",
	 R POSTURE("p", "os.version > 1, os.version < 3") POSTURE("q", "os.version == 2")
		 RULE("b", "how = posture:q\n") RULE("a", "how = posture:p\n"),
	 ASK, "only if: a p"},
	{"12.0 is 12",
	 R POSTURE("p", "os.version == 12.0") POSTURE("q", "os.version >= 12")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: b q"},
	{"old or new is not always: it may not be known",
	 R POSTURE("p", "os.version < 12") POSTURE("q", "os.version >= 12")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: a p; b q"},
	{"a fact more is asked for",
	 R POSTURE("p", "os.version >= 12, tpm.present == true") POSTURE("q", "os.version >= 12")
		 RULE("a", "how = posture:p\n") RULE("b", "how = posture:q\n"),
	 ASK, "only if: b q"},
	{"two postures are one and another",
	 R POSTURE("p", "os.version >= 12, tpm.present == true") POSTURE("q", "os.version >= 12")
		 POSTURE("s", "tpm.present == true") RULE("a", "how = posture:q, posture:s\n")
			 RULE("b", "how = posture:p\n"),
	 ASK, "only if: b p"},
	/* times */
	{"a when", R RULE("a", "when = Mon-Fri\n"), ASK, "only if: a when"},
	{"a when that is always", R RULE("a", "when = Mon-Sun\n"), ASK, "always: a"},
	{"a when within another",
	 R RULE("a", "when = Mon-Fri\n") RULE("b", "when = Tue 08:00-12:00\n"), ASK,
	 "only if: a when"},
	{"and across midnight",
	 R RULE("a", "when = Mon Tue\n") RULE("b", "when = Mon 22:00-06:00\n"), ASK,
	 "only if: a when"},
	{"but not past the day", R RULE("a", "when = Mon\n") RULE("b", "when = Mon 22:00-06:00\n"),
	 ASK, "only if: a when; b when"},
	{"two halves of the week", R RULE("a", "when = Mon-Fri\n") RULE("b", "when = Sat Sun\n"),
	 ASK, "always: a when; b when"},
	{"two halves of the day, whatever the clocks do",
	 R RULE("a", "when = 02:30-14:00 Europe/Berlin\n")
		 RULE("b", "when = 14:00-02:30 Europe/Berlin\n"),
	 ASK, "always: a when; b when"},
	{"in two zones they leave gaps",
	 R RULE("a", "when = 08:00-20:00 Europe/Berlin\n") RULE("b", "when = 20:00-08:00 UTC\n"),
	 ASK, "only if: a when; b when"},
	{"four o'clock in Berlin is three in London, in any season",
	 R RULE("a", "when = 04:00-12:00 Europe/Berlin\n")
		 RULE("b", "when = 03:00-11:00 Europe/London\n"),
	 ASK, "only if: a when"},
	{"in New York it is another hour for some weeks of the year",
	 R RULE("a", "when = 14:00-15:00 Europe/Berlin\n")
		 RULE("b", "when = 08:00-09:00 America/New_York\n"),
	 ASK, "only if: a when; b when"},
	{"an hour that is left out denies nothing",
	 R RULE("a", "when = 2027-03-28 01:00-02:00 UTC\n")
		 DENY("d", "when = 02:00-03:00 Europe/Berlin\n"),
	 ASK, "only if: a when"},
	{"the day before it does",
	 R RULE("a", "when = 2027-03-27 01:00-02:00 UTC\n")
		 DENY("d", "when = 02:00-03:00 Europe/Berlin\n"),
	 ASK, "never"},
	{"an hour that comes twice denies twice",
	 R RULE("a", "when = 2027-10-31 00:00-02:00 UTC\n")
		 DENY("d", "when = 02:00-03:00 Europe/Berlin\n"),
	 ASK, "never"},
	{"what is over", R RULE("a", "until = 2026-12-31\n"), ASK, "never"},
	{"what ends", R RULE("a", "until = 2027-12-31\n"), ASK, "only if: a when"},
	{"what ends later is open longer",
	 R RULE("a", "until = 2027-12-31\n") RULE("b", "until = 2028-12-31\n"), ASK,
	 "only if: b when"},
	{"a deny that ends", R RULE("a", "") DENY("d", "until = 2027-12-31\n"), ASK,
	 "only if: a not:d"},
	{"a deny that is over", R RULE("a", "") DENY("d", "until = 2026-12-31\n"), ASK,
	 "always: a"},
	{"a day that comes once in years",
	 R RULE("a", "when = 2028-02-29\n") DENY("d", "when = Mon Wed-Sun\n"), ASK,
	 "only if: a when"},
	{"and is no Monday", R RULE("a", "when = 2028-02-29\n") DENY("d", "when = Tue\n"), ASK,
	 "never"},
	{"far in the future", R RULE("a", "when = 2190-01-01..\n"), ASK, "only if: a when"},
	{"an except of a when",
	 R RULE("a", "when = Mon-Fri\nexcept = Wed\n") RULE("b", "when = Mon Thu\n"), ASK,
	 "only if: a when"},
	/* denies */
	{"a deny", R RULE("a", "") DENY("d", ""), ASK, "never"},
	{"a deny at another time", R RULE("a", "when = Mon-Fri\n") DENY("d", "when = Sat\n"), ASK,
	 "only if: a when"},
	{"a deny some of the time", R RULE("a", "when = Mon-Fri\n") DENY("d", "when = Fri\n"), ASK,
	 "only if: a when not:d"},
	{"a deny for the rest of the time",
	 R RULE("a", "when = Mon-Fri\n") DENY("d", "when = Tue-Sun\n"), ASK, "only if: a not:d"},
	{"two of which one is enough",
	 R RULE("a", "") DENY("c", "when = Mon 08:00-12:00\n") DENY("d", "when = Mon\n"), ASK,
	 "only if: a not:d"},
	{"a hole in the ports",
	 SSH "[resource r]\non = tag:s\nports = tcp/any\n" RULE(
		 "a", "") "[rule d]\nwhy = x\naction = deny\nwho = anyone\nwhat = resource:ssh\n",
	 ASK, "only if: a [tcp/1-21, tcp/23-65535]"},
	{"the hole",
	 SSH "[resource r]\non = tag:s\nports = tcp/any\n" RULE(
		 "a", "") "[rule d]\nwhy = x\naction = deny\nwho = anyone\nwhat = "
			  "resource:ssh\n",
	 ASK " tcp/22", "never"},
	{"beside it",
	 SSH "[resource r]\non = tag:s\nports = tcp/any\n" RULE(
		 "a", "") "[rule d]\nwhy = x\naction = deny\nwho = anyone\nwhat = resource:ssh\n",
	 ASK " tcp/23-25", "always: a"},
	{"a deny on other devices",
	 "[resource ssh]\non = tag:t\nports = tcp/22\n" R RULE(
		 "a", "") "[rule d]\nwhy = x\naction = deny\nwho = anyone\nwhat = resource:ssh\n",
	 ASK, "always: a"},
	{"all protocols less a port, and less those without a name",
	 SSH "[resource r]\non = tag:s\nports = any\n" RULE(
		 "a", "") "[rule d]\nwhy = x\naction = deny\nwho = anyone\nwhat = resource:ssh\n",
	 ASK, "only if: a [icmp, tcp/1-21, tcp/23-65535, udp/any]"},
	{"less them some of the time",
	 SSH "[resource r]\non = tag:s\nports = any\n" RULE(
		 "a", "") "[rule d]\nwhy = x\naction = deny\nwho = anyone\nwhat = "
			  "resource:ssh\nwhen = Sun\n",
	 ASK,
	 "only if: a [icmp, tcp/1-21, tcp/23-65535, udp/any]; a not:d [tcp/22, other protocols]"},
	{"all protocols", "[resource r]\non = tag:s\nports = any\n" RULE("a", ""), ASK " any",
	 "always: a"},
	{"every one that has a name is not all",
	 "[resource r]\non = tag:s\nports = icmp, tcp/any, udp/any\n" RULE("a", ""), ASK " any",
	 "only if: a [icmp, tcp/any, udp/any]"},
	{"another rule opens the same port of the same device",
	 SSH R "[rule b]\nwhy = x\nwho = user:u@x.org\nwhat = resource:ssh\n", ASK, "always: b"},
	/* places */
	{"a place", R PLACE("p", "source = 10.0.0.0/8\n") RULE("a", "where = place:p\n"), ASK,
	 "only if: a where"},
	{"everywhere is not where nobody knows",
	 R PLACE("p", "source = 0.0.0.0/0, ::/0\n") RULE("a", "where = place:p\n"), ASK,
	 "only if: a where"},
	{"a network within another",
	 R PLACE("p", "source = 10.0.0.0/8\n") PLACE("q", "source = 10.1.0.0/16\n")
		 RULE("a", "where = place:q\n") RULE("b", "where = place:p\n"),
	 ASK, "only if: b where"},
	{"both halves of one are it",
	 R PLACE("p", "source = 10.0.0.0/8\n") PLACE("q", "source = 10.0.0.0/9, 10.128.0.0/9\n")
		 RULE("a", "where = place:p\n") RULE("b", "where = place:q\n"),
	 ASK, "only if: a where"},
	{"one of them is not",
	 R PLACE("p", "source = 10.0.0.0/8\nexcept = 10.128.0.0/9\n")
		 PLACE("q", "source = 10.0.0.0/9, 11.0.0.0/8\n") RULE("a", "where = place:p\n")
			 RULE("b", "where = place:q\n"),
	 ASK, "only if: b where"},
	{"a deny where an except leaves nothing",
	 R PLACE("p", "overlay = 100.64.0.0/10\nexcept = 100.64.0.0/11, 100.96.0.0/11\n")
		 RULE("a", "") DENY("b", "where = place:p\n"),
	 ASK, "always: a"},
	{"a country among several",
	 R PLACE("p", "country = DE, FR\n") RULE("a", "where = country:DE\n")
		 RULE("b", "where = place:p\n"),
	 ASK, "only if: b where"},
	{"a country where the network is known but the country may not be",
	 R PLACE("p", "source = 10.0.0.0/8\n") RULE("a", "where = country:DE\n")
		 RULE("b", "where = place:p\n"),
	 ASK, "only if: a where; b where"},
	{"who is surely in one country is in no other",
	 R RULE("a", "where = country:DE\n") DENY("d", "where = country:FR\n"), ASK,
	 "only if: a where"},
	{"a network says nothing of the country",
	 R PLACE("p", "source = 10.0.0.0/8\n") RULE("a", "where = place:p\n")
		 DENY("d", "where = country:FR\n"),
	 ASK, "only if: a where not:d"},
	{"a deny for places that are none holds where nothing is known",
	 R PLACE("p", "source = 10.0.0.0/16\nexcept = 10.0.0.0/8\n") RULE("a", "")
		 DENY("d", "where = place:p\n"),
	 ASK, "only if: a not:d"},
	{"an except of a where",
	 R PLACE("p", "source = 10.0.0.0/8\n") RULE("a", "where = place:p\nexcept = country:FR\n")
		 RULE("b", "where = place:p\n"),
	 ASK, "only if: b where"},
	{"the overlay address is known, whatever the source",
	 R PLACE("p", "overlay = 100.64.0.0/24\n") RULE("a", "where = place:p\n")
		 DENY("d", "where = place:p\n"),
	 ASK, "never"},
	{"an except of a network needs a source that is known",
	 R PLACE("p", "overlay = fd00::/8\nexcept = 10.0.0.0/8\n")
		 PLACE("q", "source = 0.0.0.0/0, ::/0\n") RULE("a", "where = place:p\n")
			 RULE("b", "where = place:q\n"),
	 ASK, "only if: b where"},
	{"an except of a country needs one that is known",
	 R PLACE("p", "source = 10.0.0.0/8\nexcept = FR\n") RULE("a", "where = place:p\n")
		 DENY("d", "where = country:FR\n"),
	 ASK, "only if: a where"},
	{"time and place are apart",
	 R PLACE("p", "source = 10.0.0.0/8\n") RULE("a", "when = Mon\nwhere = place:p\n")
		 RULE("b", "when = Mon\n") RULE("c", "where = place:p\n"),
	 ASK, "only if: b when; c where"},
	{"a deny of a time and a place",
	 R RULE("a", "when = Mon-Fri\n") DENY("d", "when = Mon\nwhere = country:DE\n")
		 DENY("e", "when = Sat\nwhere = country:FR\n"),
	 ASK, "only if: a when not:d"},
	/* who may be meant */
	{"a member of a group alone", R "[group g]\nmembers = user:u@x.org, tag:t\n" RULE("a", ""),
	 "group:g resource:r", "only if: a from{user:u@x.org*}"},
	{"each of a group is reached by a rule of its own",
	 R "[group g]\nmembers = user:u@x.org\n" RULE(
		 "a", "") "[rule b]\nwhy = x\nwho = group:g\nwhat = resource:r\nwhen = Mon\n",
	 "group:g resource:r", "only if: a from{user:u@x.org*}; b when from{group:g*}"},
	{"who is kept out of the group is no member",
	 R "[group g]\nmembers = user:u@x.org, user:v@x.org\nexcept = user:u@x.org\n" RULE("a", ""),
	 "group:g resource:r", "never"},
	{"a group that an admin gave",
	 R "[group given]\n[rule a]\nwhy = x\nwho = group:given\nwhat = resource:r\n"
	   "[rule b]\nwhy = x\nwho = user:ada@x.org\nwhat = resource:r\nwhen = Mon\n",
	 "user:ada@x.org resource:r cast",
	 "only if: a from{device:lap}; b when from{user:ada@x.org*}"},
	{"of a user without a device",
	 R "[group given]\n[rule a]\nwhy = x\nwho = group:given\nwhat = resource:r\n",
	 "user:eve@x.org resource:r cast", "always: a"},
	{"devices that offer it, and any to come",
	 R "[resource t]\non = tag:t\nports = tcp/22\n" RULE(
		 "a", "") "[rule d]\nwhy = x\naction = deny\nwho = anyone\nwhat = resource:t\n",
	 ASK " cast", "only if: a to{device:db tag:s*}"},
	{"a device to itself", R "[rule a]\nwhy = x\nwho = tag:s\nwhat = resource:r\n",
	 "device:db device:db cast", "never"},
	{"a device to another of its kind", R "[rule a]\nwhy = x\nwho = tag:s\nwhat = resource:r\n",
	 "device:db device:db2 cast", "always: a"},
	{"a device that offers nothing", R RULE("a", ""), "user:u@x.org device:lap cast", "never"},
	{"devices of a user", "[resource r]\non = device:lap\nports = tcp/22\n" RULE("a", ""),
	 "user:u@x.org user:ada@x.org cast", "always: a"},
	{"anyone", R RULE("a", ""), "anyone resource:r", "only if: a from{user:u@x.org*}"},
	/* what invariants hold back, should they be broken */
	{"never", R RULE("a", "") HOLD("user:u@x.org", "resource:r", "never"), ASK, "never"},
	{"never, of somebody else", R RULE("a", "") HOLD("tag:t", "resource:r", "never"), ASK,
	 "always: a"},
	{"never, of anyone", R RULE("a", "") HOLD("anyone", "resource:r", "never"), ASK, "never"},
	{"never, of anyone but him",
	 R RULE("a", "") HOLD("anyone", "resource:r", "never") "except = user:u@x.org\n", ASK,
	 "always: a"},
	{"never, of anyone but another",
	 R RULE("a", "") HOLD("anyone", "resource:r", "never") "except = user:v@x.org\n", ASK,
	 "never"},
	{"never, of a group but those of another that he is in",
	 "[group g]\nmembers = user:u@x.org, user:v@x.org\n"
	 "[group h]\nmembers = group:i\n[group i]\nmembers = user:u@x.org\n" R RULE("a", "")
		 HOLD("group:g", "resource:r", "never") "except = group:h\n",
	 ASK, "always: a"},
	{"never, of all but the resource",
	 R RULE("a", "") HOLD("user:u@x.org", "resource:*", "never") "except = resource:r\n", ASK,
	 "always: a"},
	{"never, of all but another resource with the same port on the same devices",
	 R SSH RULE("a", "") HOLD("user:u@x.org", "resource:*", "never") "except = resource:r\n",
	 ASK, "never"},
	{"never, of all but a class of data",
	 R "data = low\n" RULE("a", "")
		 HOLD("user:u@x.org", "resource:*", "never") "except = data:low\n",
	 ASK, "always: a"},
	{"a port of it",
	 "[resource r]\non = tag:s\nports = tcp/22-24\n" RULE("a", "")
		 HOLD("user:u@x.org", "resource:r tcp/23", "never"),
	 ASK, "only if: a [tcp/22, tcp/24]"},
	{"what another resource on the same devices has",
	 R SSH RULE("a", "") HOLD("user:u@x.org", "resource:ssh", "never"), ASK, "never"},
	{"a posture that the rule does not ask for",
	 R POSTURE("p", "os.version >= 11") RULE("a", "")
		 HOLD("user:u@x.org", "resource:r", "posture:p"),
	 ASK, "only if: a p"},
	{"a posture that follows from the rule's",
	 R POSTURE("p", "os.version >= 11") POSTURE("q", "os.version >= 12")
		 RULE("a", "how = posture:q\n") HOLD("user:u@x.org", "resource:r", "posture:p"),
	 ASK, "only if: a q"},
	{"a place that the rule does not ask for",
	 R PLACE("o", "source = 10.0.0.0/8\n") RULE("a", "")
		 HOLD("user:u@x.org", "resource:r", "place:o"),
	 ASK, "only if: a hold:i"},
	{"a place around the rule's",
	 R PLACE("o", "source = 10.0.0.0/8\n") PLACE("l", "source = 10.1.0.0/16\n")
		 RULE("a", "where = place:l\n") HOLD("user:u@x.org", "resource:r", "place:o"),
	 ASK, "only if: a where"},
	{"a place within the rule's",
	 R PLACE("o", "source = 10.0.0.0/8\n") PLACE("l", "source = 10.1.0.0/16\n")
		 RULE("a", "where = place:o\n") HOLD("user:u@x.org", "resource:r", "place:l"),
	 ASK, "only if: a hold:i"},
	{"a place apart from the rule's",
	 R PLACE("o", "source = 10.0.0.0/8\n") PLACE("l", "source = 11.1.0.0/16\n")
		 RULE("a", "where = place:o\n") HOLD("user:u@x.org", "resource:r", "place:l"),
	 ASK, "never"},
	{"a time within the rule's",
	 R "[schedule w]\nwhen = Mon\n" RULE("a", "when = Mon-Wed\n")
		 HOLD("user:u@x.org", "resource:r", "schedule:w"),
	 ASK, "only if: a hold:i"},
	{"a time apart from the rule's",
	 R "[schedule w]\nwhen = Mon\n" RULE("a", "when = Tue\n")
		 HOLD("user:u@x.org", "resource:r", "schedule:w"),
	 ASK, "never"},
	{"a device that is two things",
	 R
	 "[rule a]\nwhy = x\nwho = tag:s\nwhat = resource:r\n" HOLD("tag:t", "resource:r", "never"),
	 "tag:s device:db cast", "only if: a from{device:db tag:s*}"},
	/* gateways */
	{"an address behind a gateway",
	 "[resource r]\nvia = tag:gw\naddress = 10.20.0.0/16\nports = tcp/22\n" RULE("a", ""),
	 "user:u@x.org 10.20.0.7", "always: a (gateway)"},
	{"a part of the addresses is denied",
	 "[resource r]\nvia = tag:gw\naddress = 10.20.0.0/16\nports = tcp/22\n"
	 "[resource q]\nvia = tag:gw\naddress = 10.20.1.0/24\nports = tcp/any\n" RULE(
		 "a", "") "[rule d]\nwhy = x\naction = deny\nwho = anyone\nwhat = resource:q\n",
	 ASK, "only if: a to{10.20.0.0 10.20.2.0} (gateway)"},
	{"an address that no resource has",
	 "[resource r]\nvia = tag:gw\naddress = 10.20.0.0/16\nports = tcp/22\n" RULE("a", ""),
	 "user:u@x.org 10.21.0.7",
	 "absent: TO: no resource behind gateways has that address (TO is a resource, a device, a "
	 "user, or an address behind gateways)"},
};

/* --- the test --- */

static void ask(const struct policy *p, const char *asks, struct buf *out)
{
	char words[4][64] = {"", "", "", ""};
	struct can_question q = {.now_s = NOW_S};
	struct can_answer answer;
	struct service svc;
	struct diag d = {0};
	struct arena a;
	int n = sscanf(asks, "%63s %63s %63s %63s", words[0], words[1], words[2], words[3]), err;

	assert_true(n >= 2);
	q.from = selector_of(words[0]);
	q.to = target_of(words[1]);
	if (strcmp(words[n - 1], "cast") == 0) {
		q.devices = cast;
		q.n_devices = N_OF(cast);
		n--;
	}
	if (n > 2) {
		assert_int_equal(service_parse(words[2], &svc), 0);
		q.svc = &svc;
	}
	arena_init(&a, 1 << 26);
	err = can_ask(p, &q, &a, &answer, &d);
	if (err == -ZT_EABSENT)
		buf_printf(out, "absent: %s (%s)", d.message, d.hint);
	else if (err)
		buf_printf(out, "error %d", err);
	else
		put_answer(out, p, &answer, &a);
	arena_done(&a);
}

static bool run_row(const struct row *r)
{
	struct policy_env env = {
		.zone = zones_get,
		.zones = zones,
		.now_s = NOW_S,
		.was_accepted = true}; /* invariants that are broken are what some are about */
	struct diag items[4];
	struct diag_list problems = {.items = items, .max = N_OF(items)};
	struct policy *p = NULL;
	struct buf out;
	bool right;
	int err = policy_parse("row", r->policy, strlen(r->policy), &env, &p, &problems);

	if (err)
		fail_msg("%s: %s\n%s", r->says, items[0].message, r->policy);
	buf_init_grow(&out, 1 << 16);
	ask(p, r->asks, &out);
	right = strcmp(buf_text(&out), r->answer) == 0;
	if (!right)
		print_error("%s: \"%s\", not \"%s\"\n%s", r->says, buf_text(&out), r->answer,
			    r->policy);
	buf_free(&out);
	policy_free(p);
	return right;
}

static void answers_are_as_worked_out(void **state)
{
	size_t wrong = 0;

	(void)state;
	zones = zones_new("/usr/share/zoneinfo");
	assert_non_null(zones);
	for (size_t i = 0; i < N_OF(rows); i++)
		wrong += !run_row(&rows[i]);
	zones_free(zones);
	assert_int_equal(wrong, 0);
}

/* --- invariants and the devices that exist --- */

struct invariant_row {
	const char *says, *policy;
	const char *broken; /* what the file alone breaks; NULL: nothing */
	const char *with_devices;
};

#define GIVEN2                                                                                     \
	"[group given]\n"                                                                          \
	"[rule b]\nwhy = x\nwho = group:given\nwhat = resource:r\n"
#define GIVEN "[group given]\n[rule a]\nwhy = x\nwho = group:given\nwhat = resource:r\n"

static const struct invariant_row invariant_rows[] = {
	{"a rule about somebody else", R RULE("a", "") HOLD("user:v@x.org", "resource:r", "never"),
	 NULL, NULL},
	{"the file alone", R RULE("a", "") HOLD("user:u@x.org", "resource:r", "never"),
	 "rule \"a\" (line 4) lets user:u@x.org reach r on tag:s, tcp/22", NULL},
	{"of anyone but him",
	 R RULE("a", "") HOLD("anyone", "resource:r", "never") "except = user:u@x.org\n", NULL,
	 NULL},
	{"of anyone but him, and another comes",
	 R RULE("a", "") GIVEN2 HOLD("anyone", "resource:r", "never") "except = user:u@x.org\n",
	 "rule \"b\" (line 9) lets group:given reach r on tag:s, tcp/22", NULL},
	{"of anyone but the group, whoever an admin puts in it",
	 R GIVEN HOLD("anyone", "resource:r", "never") "except = group:given\n", NULL, NULL},
	{"of all but what he reaches",
	 R SSH RULE("a", "")
		 HOLD("user:u@x.org", "resource:*", "never") "except = resource:r, resource:ssh\n",
	 NULL, NULL},
	{"a group that an admin gave is not in the file",
	 R GIVEN HOLD("user:ada@x.org", "resource:r", "never"), NULL,
	 "lets device:lap reach r on device:db, tcp/22"},
	{"also to somebody who has no device yet",
	 R GIVEN HOLD("user:eve@x.org", "resource:r", "never"), NULL,
	 "lets user:eve@x.org reach r on device:db, tcp/22"},
	{"a device with two tags",
	 R "[resource t]\non = tag:t\nports = tcp/1-100\n"
	   "[rule a]\nwhy = x\nwho = user:u@x.org\nwhat = resource:t\n" HOLD("anyone", "resource:r",
									     "never"),
	 NULL, "lets user:u@x.org reach r on device:db2, tcp/22"},
	{"a device to itself opens nothing",
	 "[resource r]\non = device:db\nports = tcp/22\n"
	 "[rule a]\nwhy = x\nwho = device:db\nwhat = resource:r\n" HOLD("anyone", "resource:r",
									"never"),
	 NULL, NULL},
	{"a device of another owner", R GIVEN HOLD("user:v@x.org", "resource:r", "never"), NULL,
	 NULL},
};

/* What invariants_check says; "" when all hold. */
static const char *broken_with(const struct policy *p, struct diag *d)
{
	struct diag_list problems = {.items = d, .max = 1};
	int err = invariants_check(p, cast, N_OF(cast), NOW_S, &problems);

	assert_true(err == (problems.n ? -ZT_EFORM : 0));
	return problems.n ? d->message : "";
}

static void check_invariant_row(const struct invariant_row *r)
{
	struct policy_env env = {.now_s = NOW_S};
	struct diag d = {0};
	struct diag_list problems = {.items = &d, .max = 1};
	struct policy *p = NULL;
	int err = policy_parse("row", r->policy, strlen(r->policy), &env, &p, &problems);
	const char *said;

	if (r->broken) {
		row_check(r->says, err == -ZT_EFORM && strstr(d.message, r->broken));
		env.was_accepted = true;
		row_check(r->says, policy_parse("row", r->policy, strlen(r->policy), &env, &p,
						&problems) == 0);
		policy_free(p);
		return;
	}
	if (err)
		fail_msg("%s: %s", r->says, d.message);
	said = broken_with(p, &d);
	if (r->with_devices ? !strstr(said, r->with_devices) : said[0])
		fail_msg("%s: said \"%s\"", r->says, said);
	policy_free(p);
}

static void invariants_look_at_devices(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(invariant_rows); i++)
		check_invariant_row(&invariant_rows[i]);
}

/* One invariant about much is looked at in many steps, and found broken all the same. */
static void much_is_looked_at_in_steps(void **state)
{
	struct policy_env env = {.now_s = NOW_S, .invariants_later = true};
	struct diag d = {0};
	struct diag_list problems = {.items = &d, .max = 1};
	struct invariants_run *r;
	struct policy *p = NULL;
	int more, steps = 0;
	struct buf b;

	(void)state;
	buf_init_grow(&b, 1 << 20);
	for (int i = 0; i < 200; i++)
		buf_printf(&b,
			   "[resource r%d]\non = tag:t\nports = tcp/%d\n"
			   "[rule n%d]\nwho = user:u%d@x.org\nwhat = resource:*\nwhy = x\n",
			   i, i + 1, i, i);
	buf_put_text(&b, "[resource last]\non = tag:other\nports = tcp/1\n"
			 "[rule last]\nwho = user:v@x.org\nwhat = resource:last\nwhy = x\n" HOLD(
				 "user:v@x.org", "resource:*", "never"));
	assert_int_equal(policy_parse("much", buf_text(&b), b.len, &env, &p, &problems), 0);
	assert_int_equal(invariants_begin(p, NULL, 0, NOW_S, &problems, &r), 0);
	while ((more = invariants_step(r)) == 1)
		steps++;
	invariants_end(r);
	assert_int_equal(more, -ZT_EFORM);
	assert_non_null(strstr(d.message, "lets user:v@x.org reach last"));
	assert_true(steps > 10);
	policy_free(p);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_as_worked_out),
		cmocka_unit_test(invariants_look_at_devices),
		cmocka_unit_test(much_is_looked_at_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
