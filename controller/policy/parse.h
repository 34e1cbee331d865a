/* What the parts of the policy parser share: the run's state, how a problem is said, and the
 * readers of values. Private to controller/policy.
 *
 *     parse_policy     bytes -> declare every name -> read every key -> check -> policy
 *     parse_section    sections by their tables
 *     parse_key        keys by their tables, each with its reader and its help
 *     parse_header     section lines that are refused
 *     parse_layout     lines that stand where they are not read as they were meant
 *     parse_value      one value: durations, names, selectors, services, references, lists
 *     parse_service    one value: ports
 *     parse_condition  one value: conditions on facts
 *     parse_time       hints for refused times
 *     parse_when       values of time: windows, schedules, ends
 *     parse_keys       tables of keys; parse_resource, parse_rule, parse_invariant: of those
 *     parse_how        what a rule's how asks for: postures, logins, programs, accounts
 *     parse_shared     what several of these read
 *     parse_settle     lists less their excepts, groups in groups
 *     parse_problem    problems with their place, hints, near misses
 *     parse_meant      hints from the names that there are, and what a list takes
 *     parse_slip       hints from what shows in the refused text alone
 *     check            what needs the whole: contradictions
 *     check_never      lists that are empty, rules that never do anything
 *     check_warnings   what is no mistake and hardly meant
 *     check_tests      the file's own tests
 */
#pragma once

#include "controller/policy/names.h"
#include "controller/policy/parse_lex.h"
#include "controller/policy/policy.h"

/* Kinds of section that are kept. Also the kinds of names in struct parse. */
enum thing {
	THING_NETWORK,
	THING_GROUP,
	THING_RESOURCE,
	THING_POSTURE,
	THING_PLACE,
	THING_SCHEDULE,
	THING_RULE,
	THING_TEST,
	THING_INVARIANT,
	THING_COUNT,
};

enum {
	POLICY_SECTIONS_MAX = 100000,	   /* groups, resources, tests: of each */
	POLICY_CONDITIONS_MAX = 64,	   /* conditions of one posture */
	PARSE_WORD_MAX = ZT_EMAIL_MAX + 8, /* longest thing that can be a name, with its prefix */
	POLICY_TEXT_SHOWN = 64,		   /* bytes of offending text in a message */
	POLICY_MEMORY_MAX =
		1 << 30, /* bytes of one parsed policy: 50 MB of nothing but members fit */
};

struct parse_flaw {
	unsigned line;
	uint32_t keys; /* bits by their rows in the section's table */
};

struct parse_network {
	const char *name;
	unsigned line, column; /* 0: the file has no [network] */
	uint64_t lease_s;
	const struct tz *zone; /* read beforehand (parse_when) */
};

/* One item of a rule's when: a named schedule, or a window written there. */
struct when_item {
	bool named;
	uint32_t schedule; /* index */
	struct window window;
};
struct when_list {
	const struct when_item *v;
	size_t n;
};

/* What a section's keys are read into where lists are still to be settled against each other: the
 * order of keys is free. */
struct parse_resource {
	struct policy_resource r;
	const struct selector *host_except;
	size_t n_host_except;
	const struct prefix *address_except;
	size_t n_address_except;
	const struct service *ports_except;
	size_t n_ports_except;
};

struct parse_rule {
	struct policy_rule r;
	struct when_list when, when_except;
	int64_t until_s; /* 0: none given */
	const char *until;
	const uint32_t *what_except;
	size_t n_what_except;
};

struct parse_invariant {
	struct policy_invariant i;
	const uint32_t *schedules; /* that expect names */
	size_t n_schedules;
};

struct parse_place {
	struct policy_place p;
	struct place_item *source, *overlay, *country, *except;
	size_t n_source, n_overlay, n_country, n_except;
};

struct parse {
	const char *file;
	struct policy *policy; /* its arrays are the ones below */
	struct arena *arena;   /* of the policy */
	struct arena scratch;  /* of the run */
	struct diag_list *problems;
	struct span *refused; /* the text that each problem is with; n = 0: it is with none */
	struct place reading; /* the key that is read; line 0: none */
	int err;	      /* 0, -ZT_EFORM once there is a problem, else what ended the run */
	bool stop; /* the run ends: memory or a limit; problems alone let it go on and find more */
	const struct policy_env *env; /* never NULL */
	const struct tz *zone;	      /* of windows that name none; NULL: UTC */
	struct diag *warnings;	      /* POLICY_WARNINGS_MAX of them, when there is one */
	size_t n_warnings;
	struct names names;	    /* (enum thing, name) -> index */
	void *objects[THING_COUNT]; /* arrays of what the keys are read into, by kind */
	uint32_t count[THING_COUNT];
	struct policy_spot spots[POLICY_SPOTS_MAX];
	uint32_t n_spots;
	struct policy_when *whens; /* of the policy: room for one more for each invariant */
	size_t n_demand_names;	   /* programs and accounts of all rules */
	const char **candidates[THING_COUNT]; /* names of a kind, for hints; NULL: not yet needed */
	size_t n_noted;			      /* names of refused sections */
	bool resources_refused;	  /* sections that are, or may be, resources, and are not read */
	struct parse_flaw *flaws; /* sections in which something was refused, by line */
	size_t n_flaws, flaws_cap;
	size_t n_excused; /* items left out without a word: it is said at what they name */
};

/* A problem with the text s, or at a place: '"text" message'. NULL when there is no more room: fit
 * for diag_hint. */
struct diag *problem_with(struct parse *c, const struct span *s, const char *fmt, ...)
	ZT_PRINTF(3, 4);
struct diag *problem_at(struct parse *c, struct place at, const char *fmt, ...) ZT_PRINTF(3, 4);
/* What is no mistake, but hardly meant. NULL as above. */
struct place place_at(unsigned line, unsigned column);
struct diag *warn_at(struct parse *c, struct place at, const char *fmt, ...) ZT_PRINTF(3, 4);
/* For an item of a list that is two of them. */
void hint_comma(struct diag *d, const struct span *item);
/* For the problems from this one on, which are with values: brackets, and comments as other
 * languages have them. */
void hint_writing(struct parse *c, size_t first);
/* Warns of an item that stands in a comment: "user:a ; user:b". */
void warn_comments(struct parse *c, const struct lex *value);
/* For each problem with a text that has quotes, or characters that look like others. */
void hint_slips(struct parse *c);
/* Ends the run: out of memory or over a limit. */
void parse_fail(struct parse *c, int err);
void text_to_lower(char *s); /* ASCII */
const char *nearest_to(const struct span *s, const char *const *candidates,
		       size_t n); /* NULL: none is near */
/* "did you mean X?" when a candidate is near s, else the hint given. prefix goes before X; d may be
 * NULL. */
void hint_nearest(struct diag *d, const struct span *s, const char *prefix,
		  const char *const *candidates, size_t n, const char *otherwise);

/* --- parse_meant --- */

/* For an item that a list refuses: the thing of that name with its prefix, near misses, what stands
 * elsewhere. help names what the list takes: "a list of place:NAME and country:DE". False: nothing
 * was said. d may be NULL. */
bool hint_meant(struct parse *c, struct diag *d, const struct span *s, const char *help);
/* For a name of this kind that is not declared, and near to none that is. */
void hint_declare(struct parse *c, struct diag *d, enum thing kind);
/* The names of one kind, made when the first is missed. NULL: out of memory. */
const char *const *thing_names(struct parse *c, enum thing kind);

/* --- parse_section --- */

struct section;

/* First pass: note the name of a good section. Then room for all of them. */
void section_declare(struct parse *c, const struct lex_item *item);
int section_make_objects(struct parse *c) ZT_MUST_USE; /* -ENOMEM */
const char *thing_name(const struct parse *c, enum thing thing, uint32_t i);

/* Second pass: one section line, each of its keys, its end. */
enum { SECTION_KEYS_MAX = 16, UNKNOWN_KEYS_MAX = 8 };
struct section_run {
	const struct section
		*section; /* NULL: keys are passed over, the section itself was refused */
	void *object;	  /* what the keys are read into */
	struct place at;
	bool again; /* a second section of this name: it is not asked to be whole */
	unsigned key_lines[SECTION_KEYS_MAX]; /* where each key stood; 0: not yet */
	struct {
		struct lex_item item;
		struct diag *problem;
	} unknown[UNKNOWN_KEYS_MAX]; /* what was meant shows when all keys are read */
	size_t n_unknown;
	struct diag *problem; /* of a section whose kind nobody knows yet, with this line */
	struct span line;
	bool guessed;	 /* the section may be of another kind */
	uint32_t flawed; /* keys of which something was refused: bits by their rows */
};
void section_begin(struct parse *c, const struct lex_item *item, struct section_run *ret);
void section_key(struct parse *c, struct section_run *run, const struct lex_item *item);
void section_end(struct parse *c, struct section_run *run);

/* A line that is no item of the file. */
void section_wrong(struct parse *c, const struct lex_item *item, struct lex *l,
		   struct section_run *run);

/* --- parse_layout --- */

/* A key's value goes on in lines behind it that are not indented: says so and puts them to it. l
 * stands behind the key and is moved past them. s: its section, or NULL. */
void layout_join(struct parse *c, const struct section *s, struct lex *l, struct lex_item *item);

/* --- parse_header --- */

/* First pass: notes the name of a line that is wrong, when it is meant as a section. */
void header_note_wrong(struct parse *c, const struct span *line);
/* Does the name stand in a section line that is refused? Then that is said, not each use of it. */
bool header_was_refused(const struct parse *c, enum thing thing, const struct span *name);
/* Has a section of this kind no name, so that any may be its? */
bool header_without_name(const struct parse *c, enum thing thing);

/* Was something refused in this key of the section of this kind ("group") on this line, or may it
 * have been meant by a key that was? Then what is left of a list
 * does not show what was meant; of an except it does: it takes out no less. */
bool key_is_flawed(const struct parse *c, const char *kind, unsigned line, const char *key);

/* --- parse_value: each says its problem and then gives false. help: what is allowed there. --- */

enum {
	ALLOW_USER = 1u << SELECTOR_USER,
	ALLOW_GROUP = 1u << SELECTOR_GROUP,
	ALLOW_TAG = 1u << SELECTOR_TAG,
	ALLOW_DEVICE = 1u << SELECTOR_DEVICE,
	ALLOW_ANYONE = 1u << SELECTOR_ANYONE,
};

/* A value that stands on one line. */
bool value_line(struct parse *c, const struct lex *v, const char *help, struct span *ret);
bool value_duration(struct parse *c, const struct span *s, uint64_t min_s, uint64_t max_s,
		    uint64_t *ret);
/* A name in the arena. */
bool value_name(struct parse *c, const struct span *s, const char **ret);
/* allowed: ALLOW_ bits. */
bool value_selector(struct parse *c, const struct span *s, unsigned allowed, const char *help,
		    struct selector *ret);
bool value_service(struct parse *c, const struct span *s, const char *help, struct service *ret);
/* "5432/tcp", "ssh": the port that was meant. */
bool service_meant(const struct span *s, char out[static SERVICE_TEXT_MAX]);
/* "db:22", "tcp/22 db": the declared resource and the port that were meant. */
bool target_meant(const struct parse *c, const struct span *s, struct span *ret_name,
		  char ret_port[static SERVICE_TEXT_MAX]);
/* "192.0.2.0/24" or an address alone. */
bool value_prefix(struct parse *c, const struct span *s, const char *help, struct prefix *ret);
/* s: "DE", as full stands in the file. */
bool value_country(struct parse *c, const struct span *s, const struct span *full,
		   char ret[static 3]);
/* The country that is meant by two letters: "de", "UK". */
bool country_meant(const struct span *s, char out[static 3]);
/* "place:NAME" or "country:DE": its bit among the policy's spots. */
bool value_spot(struct parse *c, const struct span *s, const char *help, uint32_t *ret);
bool value_condition(struct parse *c, const struct span *s, struct condition *ret);
/* Index of a declared thing. s: its bare name; full: with its prefix, for the message. help: NULL
 * where the prefix may be missing. */
bool value_reference(struct parse *c, const struct span *s, const struct span *full,
		     enum thing kind, const char *help, uint32_t *ret);
/* All lines joined with single spaces; NULL out of memory (the run has failed then). */
const char *value_text(struct parse *c, struct lex v);
char *parse_text(struct parse *c, const struct span *s); /* the same of a span */

/* A comma list into a new array of items of size bytes, each read by one. Empty items and missing
 * commas are problems; items that one refuses are left out. */
typedef bool (*value_item_fn)(struct parse *c, const struct span *s, const char *help, void *ret);
void *value_list(struct parse *c, const struct lex *v, const char *help, size_t size,
		 value_item_fn one, size_t *ret_n);

/* --- parse_time --- */

/* What to say of a word that is no part of a time ("every", "+01:00"); NULL: nothing. */
const char *time_word_meant(const struct span *word);
/* The zone that is meant by another writing, or by its city. */
bool zone_meant(const struct parse *c, const struct span *word, char out[static TZ_NAME_MAX + 1]);
/* For the refused part of a window: what it was to be, what the part is not, and the part with the
 * words that belong to it. False: no idea. */
bool window_meant(struct parse *c, const struct span *whole, struct span *part,
		  const char **ret_what, char out[static TZ_NAME_MAX + 1]);

/* --- parse_when --- */

/* "Mon-Fri 07:00-20:00 Europe/Berlin" */
bool value_window(struct parse *c, const struct span *s, struct window *ret);
/* "schedule:NAME", or a window. */
bool value_when(struct parse *c, const struct span *s, const char *help, struct when_item *ret);
/* Windows of one list that stands at this place: says it when two of them are likely meant as one,
 * as in "Mon, Wed 10:00-11:30". */
void check_windows(struct parse *c, struct place at, const struct window *const *v, size_t n);
/* "2027-01-31" and the other forms of until_parse. */
bool value_until(struct parse *c, const struct span *s, int64_t *ret_s);
/* "Europe/Berlin" */
bool value_zone(struct parse *c, const struct span *s, const struct tz **ret);
/* The whens of all rules, each different one once: rules' when, policy->whens. */
void settle_whens(struct parse *c, const struct parse_rule *from, struct policy_rule *rules);
/* Was something refused of which the rule's times are made? */
bool when_is_flawed(const struct parse *c, const struct parse_rule *from);
/* Behind those of the rules: the when of one invariant. */
const struct policy_when *settle_invariant_when(struct parse *c, const struct policy_when *w);

/* --- parse_settle: objects as read -> the policy's arrays --- */

/* Lists less their excepts, groups in order. Says cycles and lists of which nothing is left. */
void settle_policy(struct parse *c);

/* The invariants as read -> the policy's. References hold. */
void settle_invariants(struct parse *c);

/* --- check, check_tests: with policy filled --- */

/* Contradictions, and what is asked of devices; with nothing wrong so far also the tests. */
void check_policy(struct parse *c);
/* Rules past their review, countries without a database, names and resources too near each other.
 */
void check_warnings(struct parse *c);
bool same_selector(const struct selector *a, const struct selector *b);
/* Lists that are empty and rules that never do anything: problems, and warnings where that may be
 * meant. */
void check_never(struct parse *c);
/* The file's own tests. References hold. */
void check_tests(struct parse *c);
