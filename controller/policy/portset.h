/* Sets of services in one form: boxes of one protocol each, sorted, that neither overlap nor touch.
 * `any` is its parts: tcp, udp, icmp, and the protocols that have no name. So two sets mean the
 * same if and only if they are the same. Pure. */
#pragma once

#include "zt/addr.h"
#include "zt/arena.h"

/* Protocols that a service has no name for, beside tcp, udp and icmp: open where everything is.
 * Their ports are 0..0. */
enum { PORTSET_OTHER = 255 };

/* The parts of `any`, sorted. */
enum { PORTSET_PARTS = 4 };
extern const struct service portset_any[PORTSET_PARTS];

struct portset {
	const struct service *v;
	size_t n;
};

/* Everything that some service of the list means; in a. -ENOMEM. */
int portset_of(const struct service *list, size_t n, struct arena *a,
	       struct portset *ret) ZT_MUST_USE;
bool portset_equal(const struct portset *x, const struct portset *y);
bool portset_covers(const struct portset *set, const struct service *one);
/* What x has and y has not; in a. -ENOMEM. */
int portset_minus(const struct portset *x, const struct portset *y, struct arena *a,
		  struct portset *ret) ZT_MUST_USE;
/* The words for a set, one by one: "any" alone, or "tcp/443" "udp/any" "icmp" "other". */
size_t portset_n_words(const struct portset *s);
void portset_word(const struct portset *s, size_t i, char out[static SERVICE_TEXT_MAX]);
