/* A second reading of docs/policy.md, to hold the engine against: policies as plain data, made at
 * random, written as text, and answered one point at a time, in the most obvious way. It shares
 * nothing with the engine but the text. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "zt/buf.h"

enum {
	ORACLE_NAMES = 5, /* of users, tags, devices, groups in policies; devices have one more */
	ORACLE_ITEMS = 4, /* of a list */
	ORACLE_GROUPS = 5,
	ORACLE_RESOURCES = 5,
	ORACLE_POSTURES = 4,
	ORACLE_PLACES = 3,
	ORACLE_SCHEDULES = 3,
	ORACLE_RULES = 10,
	ORACLE_INVARIANTS = 3,
	ORACLE_DEVICES = 8,
	ORACLE_POINTS = 160,
	ORACLE_ZONES = 7,
	ORACLE_GATEWAYS = 1, /* 1: some resources have via; when the parser takes it */
};

/* --- chance, the same in every run --- */

void oracle_seed(uint64_t seed);
unsigned oracle_roll(unsigned n); /* 0..n-1 */

/* --- policies --- */

enum item_kind {
	ITEM_USER, /* who somebody is */
	ITEM_GROUP,
	ITEM_TAG,
	ITEM_DEVICE,
	ITEM_ANYONE,
	ITEM_RESOURCE, /* what */
	ITEM_ALL_RESOURCES,
	ITEM_POSTURE, /* how */
	ITEM_PLACE,   /* where */
	ITEM_COUNTRY,
	ITEM_BARE_COUNTRY, /* "DE", in a place */
	ITEM_NET,
	ITEM_SCHEDULE, /* when */
	ITEM_SPAN,
	ITEM_PORTS
};

enum proto { PROTO_ANY, PROTO_ICMP, PROTO_TCP, PROTO_UDP, PROTO_OTHER /* of points only */ };

struct ports {
	enum proto proto;
	unsigned lo, hi; /* of tcp and udp, inclusive */
};

struct span {
	bool has_first, has_last; /* dates: one day when first == last */
	int64_t first, last;	  /* days since 1970-01-01, inclusive */
	unsigned n_days;	  /* 0: every day */
	unsigned days[3][2];	  /* 0 Monday; from, to, also over the end of the week */
	bool has_hours;
	unsigned start, end; /* minutes of the day */
	int zone;	     /* -1: that of the network */
};

struct item {
	enum item_kind kind;
	unsigned n; /* of a name, network or country */
	struct ports ports;
	struct span span;
};

struct list {
	struct item v[ORACLE_ITEMS];
	unsigned n;
};

struct group {
	struct list members, except;
};
struct resource {
	bool via;	  /* on is then the gateways */
	unsigned lease_s; /* 0: none given */
	struct list on, ports, except;
};
struct place {
	struct list source, overlay, country, except;
};
struct times {
	struct list when, except;
};

enum until_form { UNTIL_NONE, UNTIL_DAY, UNTIL_LOCAL, UNTIL_UTC, UNTIL_OFFSET };
struct until {
	enum until_form form;
	int64_t clock_s; /* what the clock shows then, read as UTC */
	int offset_min;	 /* of UNTIL_OFFSET */
	int64_t end_s;	 /* the instant */
};

struct rule {
	bool deny;
	struct list who, what, when, where, how, except;
	struct until until;
};

/* What it is about: a resource or all, a port of it or all. */
struct target {
	struct item what;
	bool some_ports;
	struct ports ports;
};
struct invariant {
	bool never;
	struct list from, how, where, when, except;
	struct target to[2];
	unsigned n_to;
};

struct point { /* a packet: no name is needed for one of another protocol */
	enum proto proto;
	unsigned port;
};

struct world {
	int zone;	  /* of the network */
	unsigned lease_s; /* likewise; 0: none given */
	int64_t around_s;
	struct group groups[ORACLE_GROUPS];
	struct resource resources[ORACLE_RESOURCES];
	struct place places[ORACLE_PLACES];
	struct times schedules[ORACLE_SCHEDULES];
	struct rule rules[ORACLE_RULES];
	unsigned n_rules;
	struct invariant invariants[ORACLE_INVARIANTS];
	unsigned n_invariants;
	struct point points[ORACLE_POINTS]; /* all that are interesting in this policy */
	unsigned n_points;
};

void world_make(struct world *w);
void world_write(const struct world *w, struct buf *b);

/* --- devices --- */

struct where {
	int source;  /* one of oracle_sources; -1 not known */
	int country; /* one of oracle_countries; -1 not known */
	char overlay4[46], overlay6[46];
};

struct device {
	bool in;
	int owner;			       /* -1: none */
	unsigned name, tags, groups, verdicts; /* the latter three: bits */
	struct where where;
};

enum { ORACLE_NETS = 15, ORACLE_SOURCES = 11, ORACLE_COUNTRIES = 3 };
extern const char *const oracle_nets[ORACLE_NETS],
	*const oracle_sources[ORACLE_SOURCES], *const oracle_countries[ORACLE_COUNTRIES],
						       *const oracle_zones[ORACLE_ZONES];

/* --- answers --- */

enum truth { NO, UNKNOWN, YES };

bool oracle_is_who(const struct world *w, const struct rule *r, const struct device *d);
bool oracle_is_its_time(const struct world *w, const struct invariant *i, int64_t now_s);
bool oracle_is_when(const struct world *w, const struct rule *r, int64_t now_s);
enum truth oracle_is_where(const struct world *w, const struct rule *r, const struct device *d);
bool oracle_is_how(const struct rule *r, const struct device *d);
/* All of these: the rule is about this source now. */
bool oracle_applies(const struct world *w, const struct rule *r, const struct device *src,
		    int64_t now_s);
/* Does the rule ask for something that dst offers, whatever the port? */
bool oracle_is_what(const struct world *w, const struct rule *r, const struct device *dst);
/* Does that include this point? */
bool oracle_covers(const struct world *w, const struct rule *r, const struct device *dst,
		   struct point p);
/* The longest lease of a resource that does; 0: none does. */
unsigned oracle_lease(const struct world *w, const struct rule *r, const struct device *dst,
		      struct point p);

/* By source, destination and point: bit r: rule r allows it, none denies it, and no invariant holds
 * it back. held: only an invariant does. */
struct answers {
	uint32_t by[ORACLE_DEVICES][ORACLE_DEVICES][ORACLE_POINTS];
	bool held[ORACLE_DEVICES][ORACLE_DEVICES][ORACLE_POINTS];
	/* The longest lease under which it is allowed; 0: denied. */
	unsigned lease_s[ORACLE_DEVICES][ORACLE_DEVICES][ORACLE_POINTS];
};
void oracle_answer(const struct world *w, const struct device *devices, int64_t now_s,
		   struct answers *ret);
/* The first instant at which the clock of the zone shows this or later. */
int64_t oracle_clock_reaches(int zone, int64_t clock_s);
