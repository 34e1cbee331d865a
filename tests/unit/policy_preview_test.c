/* Preview: a table of two policies and what lies between them, for five devices on a Monday at ten;
 * then random policies, against a comparison of every pair by itself; and random policies written
 * in another way, between which there is nothing. */
#include "tests/unit/policy_fixture.h"

#include "zt/clock.h"

#include "controller/policy/preview.h"
#include "tests/unit/chance.h"
#include "zt/buf.h"

enum { MEMORY_MAX = 1 << 30 };
static const int64_t now_s = 1795428000; /* Monday, 2026-11-23 10:00 UTC */

/* --- the devices of the table --- */

static const char *const tag_db[] = {"db"}, *const tag_web[] = {"web"}, *const given[] = {"crew"};

static const struct {
	struct subject s;
	const char *disk, *source, *country;
	bool online;
} people[] = {
	{{.id = 1, .name = "ada", .owner = "ada@x.org"}, "yes", "192.0.2.9", "DE", true},
	{{.id = 2, .name = "sam", .owner = "sam@x.org", .groups = given, .n_groups = 1},
	 NULL,
	 "198.51.100.4",
	 "AT",
	 true},
	{{.id = 3, .name = "db", .owner = "", .tags = tag_db, .n_tags = 1}, "yes", "", "", true},
	{{.id = 4, .name = "web", .owner = "", .tags = tag_web, .n_tags = 1}, "yes", "", "", false},
	{{.id = 5, .name = "web2", .owner = "", .tags = tag_web, .n_tags = 1}, "yes", "", "", true},
};

/* Broken invariants are let in: what they hold back is to be seen. */
static struct policy *accepted(const char *text)
{
	return parsed_in(text, &(struct policy_env){.countries = true, .was_accepted = true});
}

static struct subject under(const struct policy *p, size_t i)
{
	struct fact_view disk = {"custom.disk", FACT_KNOWN, people[i].disk, now_s * 1000};
	struct place_view v = {0};
	struct subject s = people[i].s;
	struct arena a;

	if (people[i].source[0])
		assert_int_equal(addr_parse(people[i].source, &v.source), 0);
	snprintf(v.country, sizeof(v.country), "%s", people[i].country);
	s.places = place_evaluate(p, &v);
	arena_init(&a, 1 << 20);
	for (size_t k = 0; k < p->n_postures; k++) {
		struct verdict ok;

		assert_int_equal(posture_evaluate(&p->postures[k], &disk, people[i].disk != NULL,
						  now_s * 1000, POSTURE_NEVER_COMPLIED, &a, &ok),
				 0);
		s.verdicts |= (uint64_t)ok.ok << k;
	}
	arena_done(&a);
	return s;
}

static struct preview *previewed_beside(const struct policy *before, const struct policy *canary,
					const struct policy *after, const struct preview_device *v,
					size_t n, size_t step)
{
	struct preview *p = NULL;
	int more;

	assert_int_equal(preview_new(before, canary, after, v, n, now_s, &p), 0);
	while ((more = preview_step(p, step)) == 1)
		;
	assert_int_equal(more, 0);
	return p;
}

static struct preview *previewed(const struct policy *before, const struct policy *after,
				 const struct preview_device *v, size_t n, size_t step)
{
	return previewed_beside(before, NULL, after, v, n, step);
}

/* --- a preview as a line --- */

static void put_ports(struct buf *b, char sign, const struct portset *s)
{
	char word[SERVICE_TEXT_MAX];

	for (size_t i = 0; i < (s->n ? portset_n_words(s) : 0); i++) {
		portset_word(s, i, word);
		buf_printf(b, " %c%s", sign, word);
	}
}

static void put_pairs(struct buf *b, const struct preview_result *r)
{
	for (size_t i = 0; i < r->n_pairs_shown; i++) {
		const struct preview_pair *p = &r->pairs[i];

		buf_printf(b, "%s>%s", people[p->src - 1].s.name, people[p->dst - 1].s.name);
		put_ports(b, '-', &p->lost);
		put_ports(b, '+', &p->gained);
		buf_put_text(b, "; ");
	}
}

static void put_list(struct buf *b, char sign, const struct meaning_list *l)
{
	for (size_t i = 0; i < l->n && i < MEANING_ITEMS_SHOWN; i++)
		buf_printf(b, " %c[%s]", sign, l->items[i]);
}

static void put_meaning(struct buf *b, const struct meaning_diff *d)
{
	for (size_t i = 0; i < d->n_shown; i++) {
		const struct meaning_change *c = &d->changes[i];

		if (c->how != MEANING_CHANGED) { /* the whole rule: its name says enough here */
			buf_printf(b, "%s %s; ", c->name, meaning_how_name(c->how));
			continue;
		}
		buf_printf(b, "%s", c->name);
		for (size_t k = 0; k < c->n_fields; k++) {
			buf_printf(b, " %s", c->fields[k].name);
			put_list(b, '-', &c->fields[k].removed);
			put_list(b, '+', &c->fields[k].added);
		}
		buf_put_text(b, "; ");
	}
}

#define R                                                                                          \
	"[resource db]\non = tag:db\nports = tcp/5432\n"                                           \
	"[resource web]\non = tag:web\nports = tcp/80, tcp/443\n"
#define CLERK "[rule clerk]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = w\n"
#define SHOP "[rule shop]\nwho = user:ada@x.org, user:sam@x.org\nwhat = resource:web\nwhy = w\n"
#define LEASE(key) "[resource db]\non = tag:db\nports = tcp/5432\n" key
#define NO "[rule no]\naction = deny\nwho = user:ada@x.org\nwhat = resource:db\nwhy = w\n"
#define DISK "[posture disk]\nrequire = custom.disk == yes\n"
#define HOURS "[schedule hours]\nwhen = Mon-Fri 07:00-20:00, Sat 10:00-14:00\n"
#define OFFICE "[place office]\nsource = 192.0.2.0/24\n"
#define ADA_WEB "who = user:ada@x.org\nwhat = resource:web\nwhy = w\n"
#define NEVER_SAM                                                                                  \
	"[invariant sam]\nfrom = user:sam@x.org\nto = resource:db\nexpect = never\nwhy = w\n"
#define PROMISE(name, expect)                                                                      \
	"[invariant " name "]\nfrom = anyone\nto = resource:web\n" expect "\nwhy = w\n"
#define ADA_DB "who = user:ada@x.org\nwhat = resource:db\nwhy = w\n"

static const struct {
	const char *says, *before, *after, *lies_between; /* "": nothing changes */
} rows[] = {
	/* written in another way */
	{"the same file", R CLERK SHOP, R CLERK SHOP, ""},
	{"the order of the file", R CLERK SHOP, SHOP CLERK R, ""},
	{"the name of a rule", R CLERK,
	 R "[rule other]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = another\n", ""},
	{"the name of a resource", R CLERK,
	 "[resource pg]\non = tag:db\nports = tcp/5432\n"
	 "[rule clerk]\nwho = user:ada@x.org\nwhat = resource:pg\nwhy = w\n",
	 ""},
	{"who, in two rules", R SHOP,
	 R "[rule a]\n" ADA_WEB "[rule b]\nwho = user:sam@x.org\nwhat = resource:web\nwhy = w\n",
	 ""},
	{"what, in two rules",
	 R "[rule a]\nwho = tag:web\nwhat = resource:web, resource:db\nwhy = w\n",
	 R "[rule a]\nwho = tag:web\nwhat = resource:web\nwhy = w\n"
	   "[rule b]\nwho = tag:web\nwhat = resource:db\nwhy = w\n",
	 ""},
	{"a resource in two", R SHOP,
	 "[resource w80]\non = tag:web\nports = tcp/80\n"
	 "[resource w443]\non = tag:web\nports = tcp/443\n"
	 "[rule shop]\nwho = user:ada@x.org, user:sam@x.org\nwhat = resource:w80, resource:w443\n"
	 "why = w\n",
	 ""},
	{"ports that touch are one range",
	 "[resource r]\non = tag:db\nports = tcp/1-10, tcp/11-20\n"
	 "[rule a]\nwho = anyone\nwhat = resource:r\nwhy = w\n",
	 "[resource r]\non = tag:db\nports = tcp/1-20\n"
	 "[rule a]\nwho = anyone\nwhat = resource:r\nwhy = w\n",
	 ""},
	{"an except over a list is one over each",
	 R "[rule a]\nwho = tag:web, tag:db\nexcept = device:db\nwhat = resource:web\nwhy = w\n",
	 R "[rule a]\nwho = tag:web\nexcept = device:db\nwhat = resource:web\nwhy = w\n"
	   "[rule b]\nwho = tag:db\nexcept = device:db\nwhat = resource:web\nwhy = w\n",
	 ""},
	{"times, in two rules", R "[rule a]\n" ADA_WEB "when = Mon 08:00-12:00, Tue 08:00-12:00\n",
	 R "[rule a]\n" ADA_WEB "when = Mon 08:00-12:00\n"
	   "[rule b]\n" ADA_WEB "when = Tue 08:00-12:00\n",
	 ""},
	{"a schedule, written out", R HOURS "[rule a]\n" ADA_WEB "when = schedule:hours\n",
	 R "[rule a]\n" ADA_WEB "when = Mon-Fri 07:00-20:00, Sat 10:00-14:00\n", ""},
	{"a place by another name", R OFFICE "[rule a]\n" ADA_WEB "where = place:office\n",
	 R "[place hq]\nsource = 192.0.2.0/24\n[rule a]\n" ADA_WEB "where = place:hq\n", ""},
	{"a posture in two, and by other words",
	 R "[posture p]\nrequire = os.update_age <= 14d, os.version >= 12\n"
	   "[rule a]\n" ADA_WEB "how = posture:p\n",
	 R "[posture u]\nrequire = os.update_age <= 336h\n"
	   "[posture v]\nrequire = os.version >= 12.0\nmax_age = 900s\n"
	   "[rule a]\n" ADA_WEB "how = posture:v, posture:u\n",
	 ""},
	{"true, and not false",
	 R "[posture p]\nrequire = disk.encrypted == true\n"
	   "[rule a]\n" ADA_WEB "how = posture:p\n",
	 R "[posture p]\nrequire = disk.encrypted != false\n[rule a]\n" ADA_WEB "how = posture:p\n",
	 ""},
	{"a rule that is over goes", R CLERK "[rule past]\n" ADA_WEB "until = 2026-11-01\n",
	 R CLERK, ""},
	{"a resource, a group and a posture that no rule asks for", R CLERK,
	 R CLERK "[resource x]\non = tag:x\nports = any\n[group g]\nmembers = tag:x\n" DISK, ""},
	{"a rule that another has in it twice over goes", R CLERK "[rule again]\n" ADA_DB, R CLERK,
	 ""},
	/* grants */
	{"a rule comes", R CLERK, R CLERK SHOP,
	 "ada>web +tcp/80 +tcp/443; ada>web2 +tcp/80 +tcp/443; sam>web +tcp/80 +tcp/443; "
	 "sam>web2 +tcp/80 +tcp/443; shop added; "},
	{"a rule goes", R CLERK SHOP, R SHOP, "ada>db -tcp/5432; clerk removed; "},
	{"one of who goes", R SHOP, R "[rule shop]\n" ADA_WEB,
	 "sam>web -tcp/80 -tcp/443; sam>web2 -tcp/80 -tcp/443; shop who -[user:sam@x.org]; "},
	{"a port goes", R SHOP, "[resource web]\non = tag:web\nports = tcp/443\n" SHOP,
	 "ada>web -tcp/80; ada>web2 -tcp/80; sam>web -tcp/80; sam>web2 -tcp/80; "
	 "shop what -[tag:web tcp/80, tcp/443] +[tag:web tcp/443]; "},
	{"a hole in a range",
	 "[resource r]\non = tag:db\nports = tcp/20-30\n[rule a]\nwho = tag:web\n"
	 "what = resource:r\nwhy = w\n",
	 "[resource r]\non = tag:db\nports = tcp/20-30\nexcept = tcp/22\n[rule a]\nwho = tag:web\n"
	 "what = resource:r\nwhy = w\n",
	 "web>db -tcp/22; web2>db -tcp/22; a what -[tag:db tcp/20-30] +[tag:db tcp/20-21, "
	 "tcp/23-30]; "},
	{"any loses what has no name with a hole in it",
	 "[resource r]\non = tag:db\nports = any\n[rule a]\nwho = device:ada\nwhat = resource:r\n"
	 "why = w\n",
	 "[resource r]\non = tag:db\nports = any\n[rule a]\nwho = device:ada\nwhat = resource:r\n"
	 "why = w\n[resource p]\non = tag:db\nports = tcp/22\n"
	 "[rule no]\naction = deny\nwho = device:ada\nwhat = resource:p\nwhy = w\n",
	 "ada>db -tcp/22 -other; no added; "},
	{"a deny goes",
	 R SHOP "[rule no]\naction = deny\nwho = user:sam@x.org\nwhat = resource:web\nwhy = w\n",
	 R SHOP, "sam>web +tcp/80 +tcp/443; sam>web2 +tcp/80 +tcp/443; no removed; "},
	{"allow becomes deny", R "[rule a]\n" ADA_DB, R "[rule a]\naction = deny\n" ADA_DB,
	 "ada>db -tcp/5432; a action -[allow] +[deny]; "},
	{"a posture that one has and one has not", R DISK SHOP, R DISK SHOP "how = posture:disk\n",
	 "sam>web -tcp/80 -tcp/443; sam>web2 -tcp/80 -tcp/443; shop how +[custom.disk == yes]; "},
	{"another way to the same grant is no loss, but means something", R "[rule a]\n" ADA_DB,
	 R "[rule a]\nwho = device:ada\nwhat = resource:db\nwhy = w\n",
	 "a who -[user:ada@x.org] +[device:ada]; "},
	{"something comes and something goes in one pair", R "[rule a]\n" ADA_DB,
	 "[resource db]\non = tag:db\nports = tcp/5433\n[rule a]\n" ADA_DB,
	 "ada>db -tcp/5432 +tcp/5433; a what -[tag:db tcp/5432] +[tag:db tcp/5433]; "},
	{"everything there is, with one more resource",
	 "[resource web]\non = tag:web\nports = tcp/80\n[rule a]\nwho = device:ada\n"
	 "what = resource:*\nwhy = w\n",
	 "[resource web]\non = tag:web\nports = tcp/80\n[resource db]\non = tag:db\nports = icmp\n"
	 "[rule a]\nwho = device:ada\nwhat = resource:*\nwhy = w\n",
	 "ada>db +icmp; a what +[tag:db icmp]; "},
	/* what is not now */
	{"a time that is now open and closes earlier", R "[rule a]\n" ADA_DB "when = 09:00-20:00\n",
	 R "[rule a]\n" ADA_DB "when = 09:00-18:00\n",
	 "a when -[09:00-20:00 UTC] +[09:00-18:00 UTC]; "},
	{"a time that is closed now", R "[rule a]\n" ADA_DB, R "[rule a]\n" ADA_DB "when = Sat\n",
	 "ada>db -tcp/5432; a when -[always] +[Sat UTC]; "},
	{"the zone of the network", R "[rule a]\n" ADA_DB "when = 09:00-20:00 UTC\n",
	 R "[rule a]\n" ADA_DB "when = 09:00-20:00\nexcept = Sun\n",
	 "a when -[09:00-20:00 UTC] +[09:00-20:00 UTC except (Sun UTC)]; "},
	{"an end", R "[rule a]\n" ADA_DB, R "[rule a]\n" ADA_DB "until = 2026-12-31\n",
	 "a when -[always] +[always until 2027-01-01 00:00 UTC]; "},
	{"a place", R OFFICE "[rule a]\n" ADA_DB,
	 R OFFICE "[rule a]\n" ADA_DB "where = place:office\n",
	 "a where -[anywhere] +[source 192.0.2.0/24]; "},
	{"a place where nobody is", R "[rule a]\n" ADA_DB,
	 R "[place lab]\nsource = 203.0.113.0/24\n[rule a]\n" ADA_DB
	   "where = place:lab, country:FR\n",
	 "ada>db -tcp/5432; a where -[anywhere] +[source 203.0.113.0/24] +[country:FR]; "},
	{"a place is made smaller", R OFFICE "[rule a]\n" ADA_DB "where = place:office\n",
	 R "[place office]\nsource = 192.0.2.0/24\nexcept = 192.0.2.77\n[rule a]\n" ADA_DB
	   "where = place:office\n",
	 "a where -[source 192.0.2.0/24] +[source 192.0.2.0/24 except (source 192.0.2.77/32), "
	 "(overlay 192.0.2.77/32)]; "},
	{"a posture asks for more, and all have it",
	 R DISK "[rule a]\n" ADA_DB "how = posture:disk\n",
	 R "[posture disk]\nrequire = custom.disk == yes, custom.disk != no\n"
	   "[rule a]\n" ADA_DB "how = posture:disk\n",
	 "a how +[custom.disk != no]; "},
	{"a grace", R DISK "[rule a]\n" ADA_DB "how = posture:disk\n",
	 R "[posture disk]\nrequire = custom.disk == yes\ngrace = 10m\n"
	   "[rule a]\n" ADA_DB "how = posture:disk\n",
	 "a how -[custom.disk == yes] +[custom.disk == yes, grace 10m]; "},
	{"the age of a fact", R DISK "[rule a]\n" ADA_DB "how = posture:disk\n",
	 R "[posture disk]\nrequire = custom.disk == yes\nmax_age = 1h\n"
	   "[rule a]\n" ADA_DB "how = posture:disk\n",
	 "a how -[custom.disk == yes] +[custom.disk == yes, at most 1h old]; "},
	{"a deny for nobody that is here", R CLERK,
	 R CLERK "[rule no]\naction = deny\nwho = user:eve@x.org\nwhat = resource:*\nwhy = w\n",
	 "no added; "},
	{"a rule for somebody who is not here", R CLERK,
	 R CLERK "[rule eve]\nwho = user:eve@x.org\nwhat = resource:db\nwhy = w\n", "eve added; "},
	{"a member that nobody is, in a group in a group",
	 R "[group in]\nmembers = user:ada@x.org\n[group out]\nmembers = group:in\n"
	   "[rule a]\nwho = group:out\nwhat = resource:db\nwhy = w\n",
	 R "[group in]\nmembers = user:ada@x.org, user:eve@x.org\n[group out]\nmembers = group:in\n"
	   "[rule a]\nwho = group:out\nwhat = resource:db\nwhy = w\n",
	 "in members +[user:eve@x.org]; "},
	{"a group that an admin fills goes by another name",
	 R "[group crew]\n[rule a]\nwho = group:crew\nwhat = resource:db\nwhy = w\n",
	 R "[group team]\n[rule a]\nwho = group:team\nwhat = resource:db\nwhy = w\n",
	 "sam>db -tcp/5432; a who -[group:crew] +[group:team]; "},
	{"the except of a group",
	 R "[group crew]\nmembers = tag:x\n"
	   "[rule a]\nwho = group:crew\nwhat = resource:db\nwhy = w\n",
	 R "[group crew]\nmembers = tag:x\nexcept = user:sam@x.org\n"
	   "[rule a]\nwho = group:crew\nwhat = resource:db\nwhy = w\n",
	 "sam>db -tcp/5432; crew except +[user:sam@x.org]; "},
	{"the lease", R CLERK, R CLERK "[network]\nlease = 10m\n", "network lease -[1h] +[10m]; "},
	{"the lease of a resource", LEASE("") CLERK, LEASE("lease = 5m\n") CLERK,
	 "clerk what -[tag:db tcp/5432] +[tag:db tcp/5432, lease 5m]; "},
	{"another one", LEASE("lease = 1d\n") CLERK, LEASE("lease = 5m\n") CLERK,
	 "clerk what -[tag:db tcp/5432, lease 1d] +[tag:db tcp/5432, lease 5m]; "},
	{"the network's own said again", LEASE("") CLERK, LEASE("lease = 60m\n") CLERK, ""},
	{"the lease of a resource that is denied alone", LEASE("") NO, LEASE("lease = 5m\n") NO,
	 ""},
	{"the network's changes, and not the resource's", LEASE("lease = 1h\n") CLERK,
	 LEASE("lease = 1h\n") CLERK "[network]\nlease = 10m\n", "network lease -[1h] +[10m]; "},
	{"the network's changes to the resource's", LEASE("lease = 10m\n") CLERK,
	 LEASE("lease = 10m\n") CLERK "[network]\nlease = 10m\n", "network lease -[1h] +[10m]; "},
	{"the network's changes, and the resource keeps it", LEASE("") CLERK,
	 LEASE("lease = 1h\n") CLERK "[network]\nlease = 10m\n",
	 "network lease -[1h] +[10m]; clerk what -[tag:db tcp/5432] +[tag:db tcp/5432, lease "
	 "1h]; "},
	{"what is behind gateways",
	 "[resource lan]\nvia = tag:web\naddress = 10.0.0.0/8\nports = any\n"
	 "[rule a]\nwho = device:ada\nwhat = resource:lan\nwhy = w\n",
	 "[resource lan]\nvia = tag:web\naddress = 10.0.0.0/9\nports = any\n"
	 "[rule a]\nwho = device:ada\nwhat = resource:lan\nwhy = w\n",
	 "a what -[10.0.0.0/8 via tag:web any] +[10.0.0.0/9 via tag:web any]; "},
	/* invariants */
	{"an invariant by another name, and a resource and a posture by others",
	 R NEVER_SAM PROMISE("lan", "expect = posture:disk") DISK,
	 "[resource db]\non = tag:db\nports = tcp/5432\n"
	 "[resource all-of-web]\non = tag:web\nports = tcp/80, tcp/443\n"
	 "[posture q]\nrequire = custom.disk == yes\n"
	 "[invariant b]\nfrom = user:sam@x.org\nto = resource:db\nexpect = deny\nwhy = v\n"
	 "[invariant a]\nfrom = anyone\nto = resource:all-of-web\nexpect = posture:q\nwhy = v\n",
	 ""},
	{"an invariant more", R, R NEVER_SAM, "sam added; "},
	{"an invariant less", R NEVER_SAM, R, "sam removed; "},
	{"an invariant is about fewer", R PROMISE("lan", "expect = never"),
	 R PROMISE("lan", "expect = never\nexcept = user:ada@x.org"),
	 "lan from -[anyone] +[anyone except user:ada@x.org]; "},
	{"an invariant asks for less", R NEVER_SAM,
	 R DISK "[invariant sam]\nfrom = user:sam@x.org\nto = resource:db\n"
		"expect = posture:disk\nwhy = w\n",
	 "sam expect -[never] +[at least] how +[custom.disk == yes]; "},
	{"one of two is the other now", R NEVER_SAM PROMISE("ada", "expect = never"),
	 R "[invariant sam]\nfrom = anyone\nto = resource:web\nexpect = never\nwhy = w\n",
	 "sam removed; "},
	{"of two rules one is written anew and the other moves", R CLERK SHOP,
	 R
	 "[rule shop]\nwho = user:ada@x.org\nwhat = resource:web\nwhy = w\n"
	 "[rule sams]\nwho = user:sam@x.org\nwhat = resource:web\nwhen = Mon-Fri\nwhy = w\n" CLERK,
	 "shop who -[user:sam@x.org]; sams added; "},
};

static void what_lies_between(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct policy *before = accepted(rows[i].before), *after = accepted(rows[i].after);
		struct preview_device v[N_OF(people)];
		struct preview *p;
		struct buf b;

		for (size_t k = 0; k < N_OF(people); k++)
			v[k] = (struct preview_device){.before = under(before, k),
						       .after = under(after, k),
						       .online = people[k].online};
		p = previewed(before, after, v, N_OF(v), 1);
		buf_init_grow(&b, 1 << 20);
		put_pairs(&b, preview_result(p));
		put_meaning(&b, &preview_result(p)->meaning);
		if (strcmp(buf_text(&b), rows[i].lies_between) != 0)
			fail_msg("%s:\n%s\nand not\n%s", rows[i].says, buf_text(&b),
				 rows[i].lies_between);
		row_check(rows[i].says,
			  preview_is_nothing(preview_result(p)) == !rows[i].lies_between[0]);
		buf_free(&b);
		preview_free(p);
		policy_free(before);
		policy_free(after);
	}
}

/* --- random policies, that can be written in two ways --- */

enum {
	WORLDS = 150,
	DEVICES = 60,
	KINDS = 4, /* of users, tags, resources */
	RULES_MAX = 6
};

struct random_rule {
	bool deny;
	unsigned who, except; /* bits: users, then tags, then groups 0 and 1 */
	unsigned what;	      /* bits of resources */
	unsigned how;	      /* 0 none, 1 and 2 */
	unsigned when;	      /* 0 always, 1 now, 2 not now */
};
struct world {
	unsigned on[KINDS], ports[KINDS]; /* bits of tags; of tcp/101.. */
	unsigned members[2];		  /* bits of users, then tags */
	struct random_rule rules[RULES_MAX];
	unsigned n_rules;
	unsigned promise;		 /* of an invariant: 0 none, 1 never, 2 and 3 a posture */
	unsigned promised, not_promised; /* whom, and who is taken out of that, other than they */
};

static unsigned some_bits(unsigned n)
{
	return (1u << roll(n)) | (roll(2) ? 1u << roll(n) : 0);
}

static struct random_rule random_rule(void)
{
	struct random_rule r = {.deny = roll(4) == 0,
				.who = some_bits(2 * KINDS + 2),
				.what = some_bits(KINDS),
				.when = roll(3)};

	r.how = r.deny ? 0 : roll(3);
	r.except = roll(3) ? 0 : some_bits(2 * KINDS + 2) & ~r.who;
	return r;
}

static struct world random_world(void)
{
	struct world w = {.n_rules = roll(RULES_MAX),
			  .promise = roll(5) % 4,
			  .promised = some_bits(2 * KINDS + 2),
			  .not_promised = roll(2) * some_bits(2 * KINDS + 2)};

	for (unsigned i = 0; i < KINDS; i++) {
		w.on[i] = some_bits(KINDS);
		w.ports[i] = 1 + roll(255);
	}
	for (unsigned i = 0; i < 2; i++)
		w.members[i] = some_bits(2 * KINDS);
	for (unsigned i = 0; i < w.n_rules; i++)
		w.rules[i] = random_rule();
	return w;
}

static void change_world(struct world *w)
{
	unsigned i = roll(KINDS);

	switch (roll(4)) {
	case 0:
		w->on[i] = some_bits(KINDS);
		break;
	case 1:
		w->ports[i] ^= 1u << roll(8);
		w->ports[i] = w->ports[i] ? w->ports[i] : 1;
		break;
	case 2:
		w->members[i % 2] = some_bits(2 * KINDS);
		break;
	default:
		if (w->n_rules)
			w->rules[roll(w->n_rules)] = random_rule();
	}
}

static void put_bits(struct buf *b, const char *key, unsigned bits, const char *const *names)
{
	const char *between = "";

	buf_printf(b, "%s = ", key);
	for (unsigned i = 0; bits >> i; i++)
		if (bits >> i & 1) {
			buf_printf(b, "%s%s", between, names[i]);
			between = ", ";
		}
	buf_put_text(b, "\n");
}

static const char *const who_names[] = {
	"user:u0@x.org", "user:u1@x.org", "user:u2@x.org", "user:u3@x.org", "tag:t0",
	"tag:t1",	 "tag:t2",	  "tag:t3",	   "group:g0",	    "group:g1"};
static const char *const port_names[] = {"tcp/101", "tcp/102", "tcp/103", "tcp/104",
					 "tcp/105", "tcp/106", "tcp/107", "tcp/108"};
static const char *const plain_names[] = {"resource:r0", "resource:r1", "resource:r2",
					  "resource:r3"};
/* Written in another way a resource is two: its even and its odd ports. */
static const char *const other_names[] = {
	"resource:s0-0, resource:s0-1", "resource:s1-0, resource:s1-1",
	"resource:s2-0, resource:s2-1", "resource:s3-0, resource:s3-1"};

static void put_rule(struct buf *b, const struct random_rule *r, unsigned who, unsigned name,
		     bool other)
{
	static const char *const whens[] = {"", "when = Mon 09:00-11:00\n", "when = Tue\n"};

	buf_printf(b, "[rule %s%u]\nwhy = w\n%s%s", other ? "z" : "a", name,
		   r->deny ? "action = deny\n" : "", whens[r->when]);
	put_bits(b, "who", who, who_names);
	if (r->except)
		put_bits(b, "except", r->except, who_names);
	put_bits(b, "what", r->what, other ? other_names : plain_names);
	if (r->how)
		buf_printf(b, "how = posture:%s%u\n", other ? "q" : "p", r->how);
}

static void put_rules(struct buf *b, const struct world *w, bool other)
{
	for (unsigned i = 0; i < w->n_rules; i++) {
		const struct random_rule *r = &w->rules[other ? w->n_rules - 1 - i : i];

		for (unsigned k = 0; other && r->who >> k; k++)
			if (r->who >> k & 1)
				put_rule(b, r, 1u << k, i * 100 + k, other);
		if (!other)
			put_rule(b, r, r->who, i, other);
	}
}

static void put_resource(struct buf *b, const struct world *w, unsigned i, const char *name,
			 unsigned ports)
{
	if (!ports)
		ports = w->ports[i]; /* no resource without: then both parts are all of it */
	buf_printf(b, "[resource %s]\n", name);
	put_bits(b, "on", w->on[i], who_names + KINDS);
	put_bits(b, "ports", ports, port_names);
}

static struct policy *written(const struct world *w, bool other)
{
	struct policy *p;
	struct buf b;
	char name[16];

	buf_init_grow(&b, 1 << 20);
	if (other)
		put_rules(&b, w, other);
	for (unsigned i = 0; i < 2; i++) {
		buf_printf(&b, "[group g%u]\n", i);
		put_bits(&b, "members", w->members[i], who_names);
		buf_printf(&b, "[posture %s%u]\nrequire = custom.c%u == 1\n", other ? "q" : "p",
			   i + 1, i);
	}
	for (unsigned i = 0; i < KINDS; i++)
		for (unsigned k = 0; k < (other ? 2 : 1); k++) {
			snprintf(name, sizeof(name), other ? "s%u-%u" : "r%u", i, k);
			put_resource(&b, w, i, name, w->ports[i] & (other ? 0x55u << k : 0xff));
		}
	if (!other)
		put_rules(&b, w, other);
	if (w->promise) {
		buf_put_text(&b, "[invariant i]\nto = resource:*\nwhy = w\n");
		put_bits(&b, "from", w->promised, who_names);
		if (w->not_promised & ~w->promised)
			put_bits(&b, "except", w->not_promised & ~w->promised, who_names);
	}
	if (w->promise == 1)
		buf_put_text(&b, "expect = never\n");
	else if (w->promise)
		buf_printf(&b, "expect = posture:%s%u\n", other ? "q" : "p", w->promise - 1);
	p = accepted(buf_text(&b));
	buf_free(&b);
	return p;
}

struct random_device {
	char name[8], owner[16], tag[4];
	const char *tags[1], *groups[1];
};

/* Few kinds of them, so that classes have members. verdicts: of postures in file order. */
static void random_devices(struct random_device *mem, struct preview_device *v)
{
	static const char *const group_names[] = {"g0", "g1"};

	for (uint32_t i = 0; i < DEVICES; i++) {
		struct random_device *d = &mem[i];
		struct subject s = {.id = 10 + i * 3,
				    .name = d->name,
				    .owner = d->owner,
				    .tags = d->tags,
				    .groups = d->groups,
				    .verdicts = roll(4)};

		snprintf(d->name, sizeof(d->name), "d%u", i);
		snprintf(d->tag, sizeof(d->tag), "t%u", roll(KINDS));
		d->owner[0] = '\0';
		if (roll(3)) {
			snprintf(d->owner, sizeof(d->owner), "u%u@x.org", roll(KINDS));
			s.n_groups = roll(4) == 0;
			d->groups[0] = group_names[roll(2)];
		} else {
			s.n_tags = 1;
			d->tags[0] = d->tag;
		}
		v[i] = (struct preview_device){
			.before = s, .after = s, .in_canary = roll(2), .online = roll(2)};
		if (roll(8) == 0) /* the new policy's postures may be others */
			v[i].after.verdicts = roll(4);
	}
}

/* --- every pair by itself --- */

static struct engine *seated(const struct policy *p, const struct preview_device *v, bool after)
{
	struct engine *e = engine_new(p, now_s);

	assert_non_null(e);
	for (size_t i = 0; i < DEVICES; i++)
		assert_int_equal(engine_put(e, after ? &v[i].after : &v[i].before), 0);
	return e;
}

/* Sources alone have conditions, so all of them may sit in both: who asks decides. */
static const struct engine *engine_before(const struct engine *before, const struct engine *canary,
					  const struct preview_device *src)
{
	return canary && src->in_canary ? canary : before;
}

/* Which of the eight ports; every grant is of one or more of them. */
static unsigned ports_between(const struct engine *e, uint32_t src, uint32_t dst)
{
	const struct grant *g;
	unsigned bits = 0;
	struct arena a;
	size_t n;

	arena_init(&a, 16 << 20);
	assert_int_equal(engine_grants(e, src, &a, &g, &n), 0);
	for (size_t i = 0; i < n; i++)
		for (unsigned k = 0; g[i].src == src && g[i].dst == dst && k < 8; k++)
			bits |= (g[i].svc.lo <= 101 + k && 101 + k <= g[i].svc.hi) ? 1u << k : 0;
	arena_done(&a);
	return bits;
}

static unsigned bits_of(const struct portset *s)
{
	unsigned bits = 0;

	for (size_t i = 0; i < s->n; i++)
		for (unsigned k = s->v[i].lo; k <= s->v[i].hi; k++)
			bits |= 1u << (k - 101);
	return bits;
}

static const struct preview_pair *shown_pair(const struct preview_result *r, uint32_t src,
					     uint32_t dst)
{
	for (size_t i = 0; i < r->n_pairs_shown; i++)
		if (r->pairs[i].src == src && r->pairs[i].dst == dst)
			return &r->pairs[i];
	return NULL;
}

static const struct preview_touched *shown_device(const struct preview_result *r, uint32_t id)
{
	for (size_t i = 0; i < r->n_devices_shown; i++)
		if (r->devices[i].id == id)
			return &r->devices[i];
	return NULL;
}

static size_t pairs_seen;

/* Every pair of DEVICES, asked of engines that hold them all. */
static void check_against_engines(const struct policy *before, const struct policy *canary,
				  const struct policy *after, const struct preview_device *v,
				  const struct preview *p)
{
	struct engine *x = seated(before, v, false), *y = seated(after, v, true);
	struct engine *z = canary ? seated(canary, v, false) : NULL;
	const struct preview_result *r = preview_result(p);
	uint64_t pairs = 0, gains = 0, loses = 0, cuts = 0, devices = 0;
	uint64_t of[DEVICES][2] = {0};

	for (size_t i = 0; i < DEVICES; i++)
		for (size_t j = 0; j < DEVICES; j++) {
			uint32_t src = v[i].before.id, dst = v[j].before.id;
			unsigned had = ports_between(engine_before(x, z, &v[i]), src, dst),
				 has = ports_between(y, src, dst);
			const struct preview_pair *one = shown_pair(r, src, dst);
			bool cut;

			assert_int_equal(preview_cuts(p, src, dst,
						      &(struct service){SERVICE_TCP, 103, 103},
						      &cut),
					 0);
			assert_int_equal(cut, (had & ~has) >> 2 & 1);
			if (r->n_pairs <= PREVIEW_PAIRS_SHOWN)
				assert_int_equal(one != NULL, had != has);
			if (one) {
				assert_int_equal(bits_of(&one->gained), has & ~had);
				assert_int_equal(bits_of(&one->lost), had & ~has);
			}
			pairs += had != has;
			gains += (has & ~had) != 0;
			loses += (had & ~has) != 0;
			cuts += (had & ~has) != 0 && v[i].online && v[j].online;
			of[i][0] += (has & ~had) != 0;
			of[j][0] += (has & ~had) != 0;
			of[i][1] += (had & ~has) != 0;
			of[j][1] += (had & ~has) != 0;
		}
	for (size_t i = 0; i < DEVICES; i++) {
		const struct preview_touched *t = shown_device(r, v[i].before.id);

		devices += of[i][0] || of[i][1];
		assert_int_equal(t ? t->gains : 0, of[i][0]);
		assert_int_equal(t ? t->loses : 0, of[i][1]);
	}
	assert_int_equal(r->n_pairs, pairs);
	assert_int_equal(r->n_gains, gains);
	assert_int_equal(r->n_loses, loses);
	assert_int_equal(r->n_cuts, cuts);
	assert_int_equal(r->n_devices, devices);
	pairs_seen += pairs;
	engine_free(x);
	engine_free(y);
	engine_free(z);
}

static void numbers_are_those_of_every_pair(void **state)
{
	static struct random_device mem[DEVICES];
	static struct preview_device v[DEVICES];

	(void)state;
	for (int i = 0; i < WORLDS; i++) {
		struct world w = random_world(), changed = w, tried = w;
		struct policy *before = written(&w, false), *canary = NULL, *after;
		struct preview *p;

		random_devices(mem, v);
		for (unsigned k = 1 + roll(3); k > 0; k--)
			change_world(&changed);
		change_world(&tried);
		if (i % 2)
			canary = written(&tried, false);
		after = written(&changed, roll(2));
		for (size_t k = 0; k < DEVICES && !canary; k++)
			v[k].in_canary = false;
		p = previewed_beside(before, canary, after, v, DEVICES, 1 + roll(1000));
		check_against_engines(before, canary, after, v, p);
		preview_free(p);
		policy_free(before);
		policy_free(canary);
		policy_free(after);
	}
	assert_true(pairs_seen > 1000); /* the worlds are not empty */
}

/* Where grants differ, and the devices are the same, the meaning does. */
static void no_grant_changes_without_a_word(void **state)
{
	static struct random_device mem[DEVICES];
	static struct preview_device v[DEVICES];
	unsigned moved = 0;

	(void)state;
	for (int i = 0; i < 4 * WORLDS; i++) {
		struct world w = random_world(), changed = w;
		struct policy *before = written(&w, roll(2)), *after;
		struct preview *p;

		random_devices(mem, v);
		for (size_t k = 0; k < DEVICES; k++) {
			v[k].after.verdicts = v[k].before.verdicts;
			v[k].in_canary = false;
		}
		change_world(&changed);
		after = written(&changed, roll(2));
		p = previewed(before, after, v, DEVICES, 1000);
		moved += preview_result(p)->n_pairs > 0;
		/* What a rule means is said; what an invariant then holds back shows in the pairs.
		 */
		if (preview_result(p)->n_pairs && !w.promise)
			assert_true(preview_result(p)->meaning.n_shown > 0);
		preview_free(p);
		policy_free(before);
		policy_free(after);
	}
	assert_true(moved > 100);
}

static void another_way_to_write_it_is_nothing(void **state)
{
	static struct random_device mem[DEVICES];
	static struct preview_device v[DEVICES];

	(void)state;
	for (int i = 0; i < 4 * WORLDS; i++) {
		struct world w = random_world();
		struct policy *plain = written(&w, false), *other = written(&w, true);
		struct preview *p;

		random_devices(mem, v);
		for (size_t k = 0; k < DEVICES; k++) {
			v[k].after.verdicts = v[k].before.verdicts;
			v[k].in_canary = false;
		}
		p = previewed(plain, other, v, DEVICES, 1000);
		assert_true(preview_is_nothing(preview_result(p)));
		preview_free(p);
		policy_free(plain);
		policy_free(other);
	}
}

/* --- bounds --- */

/* 2,000 laptops of one kind reach 2,000 servers of one kind, or not. */
static void a_flood_is_counted_and_not_shown(void **state)
{
	enum { N = 2000 };
	static const char *const tags[] = {"web"};
	static struct preview_device v[2 * N];
	struct policy *before = accepted(R), *after = accepted(R "[rule all]\nwho = anyone\n"
								 "what = resource:web\nwhy = w\n");
	struct preview *p;
	const struct preview_result *r;

	(void)state;
	for (uint32_t i = 0; i < 2 * N; i++) {
		struct subject s = {
			.id = i + 1, .name = "x", .owner = "", .tags = tags, .n_tags = i >= N};

		v[i] = (struct preview_device){.before = s, .after = s, .online = i % 2};
	}
	p = previewed(before, after, v, 2 * N, 1000);
	r = preview_result(p);
	assert_int_equal(r->n_pairs, (uint64_t)N * N + (uint64_t)N * (N - 1));
	assert_int_equal(r->n_gains, r->n_pairs);
	assert_int_equal(r->n_loses, 0);
	assert_int_equal(r->n_devices, 2 * N);
	assert_int_equal(r->n_pairs_shown, PREVIEW_PAIRS_SHOWN);
	assert_int_equal(r->n_devices_shown, PREVIEW_DEVICES_SHOWN);
	preview_free(p);
	p = previewed(after, before, v, 2 * N, 1000);
	r = preview_result(p);
	assert_int_equal(r->n_cuts, (uint64_t)N / 2 * (N / 2) + (uint64_t)N / 2 * (N / 2 - 1));
	preview_free(p);
	policy_free(before);
	policy_free(after);
}

/* --- speed: printed, not judged --- */

enum { MANY = 10000, MANY_RULES = 1000, MANY_GROUPS = 200 };

static struct policy *big_policy(unsigned salt)
{
	struct policy *p;
	struct buf b;

	buf_init_grow(&b, 50 << 20);
	for (unsigned i = 0; i < MANY_GROUPS; i++) {
		buf_printf(&b, "[group g%u]\nmembers = ", i);
		for (unsigned k = 0; k < 100; k++)
			buf_printf(&b, "%suser:u%u@x.org", k ? ", " : "",
				   (i * 37 + k * 89) % (MANY / 2));
		buf_printf(&b, "\n[resource r%u]\non = tag:t%u\nports = tcp/%u, tcp/443\n", i, i,
			   1000 + i);
	}
	for (unsigned i = 0; i < MANY_RULES; i++)
		buf_printf(&b, "[rule n%u]\nwho = group:g%u\nwhat = resource:r%u\nwhy = w\n", i,
			   i % MANY_GROUPS, (i * 7 + i / MANY_GROUPS + (i < salt)) % MANY_GROUPS);
	p = accepted(buf_text(&b));
	buf_free(&b);
	return p;
}

static void ten_thousand_devices_and_a_thousand_rules(void **state)
{
	static struct random_device mem[MANY];
	static struct preview_device v[MANY];
	struct policy *before = big_policy(0), *after = big_policy(20);
	int64_t start_ms, longest_ms = 0;
	struct preview *p;
	int more = 1;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		struct subject s = {
			.id = i + 1, .name = "x", .owner = mem[i].owner, .tags = mem[i].tags};

		mem[i].tags[0] = mem[i].tag;
		snprintf(mem[i].tag, sizeof(mem[i].tag), "t%u", i / 2 % MANY_GROUPS % 100);
		if (i % 2)
			snprintf(mem[i].owner, sizeof(mem[i].owner), "u%u@x.org", i / 2);
		else
			s.n_tags = 1;
		v[i] = (struct preview_device){.before = s, .after = s};
	}
	start_ms = clock_now().boot_ms;
	assert_int_equal(preview_new(before, NULL, after, v, MANY, now_s, &p), 0);
	while (more) {
		int64_t step_ms = clock_now().boot_ms;

		more = preview_step(p, 100000);
		assert_true(more >= 0);
		step_ms = clock_now().boot_ms - step_ms;
		longest_ms = step_ms > longest_ms ? step_ms : longest_ms;
	}
	print_message("%u devices, %u rules: %lld ms, longest step %lld ms; %llu pairs change\n",
		      MANY, MANY_RULES, (long long)(clock_now().boot_ms - start_ms),
		      (long long)longest_ms, (unsigned long long)preview_result(p)->n_pairs);
	assert_true(preview_result(p)->n_pairs > 0);
	preview_free(p);
	policy_free(before);
	policy_free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lies_between),
		cmocka_unit_test(numbers_are_those_of_every_pair),
		cmocka_unit_test(no_grant_changes_without_a_word),
		cmocka_unit_test(another_way_to_write_it_is_nothing),
		cmocka_unit_test(a_flood_is_counted_and_not_shown),
		cmocka_unit_test(ten_thousand_devices_and_a_thousand_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
