/* Text: names, safe printing, base64url, nearest name. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zt/err.h"

/* Names of groups, tags, resources, rules: [a-z0-9] then [a-z0-9._-]*, at most ZT_NAME_MAX. */
bool txt_is_name(const char *s);
/* Device name: RFC 1123 label, lower case. */
bool txt_is_hostname(const char *s);
/* local@domain: printable ASCII, one @, a domain of labels, lower case, at most ZT_EMAIL_MAX. */
bool txt_is_email(const char *s);
/* A program: its absolute path, of visible ASCII without empty, "." and ".." parts, at most
 * ZT_CONDITION_NAME_MAX; or its name, [A-Za-z0-9_] then [A-Za-z0-9._+-]*, at most ZT_NAME_MAX. */
bool txt_is_program(const char *s);
/* An account of a machine: POSIX.1-2017 3.437, not only digits, at most ZT_ACCOUNT_MAX. */
bool txt_is_account(const char *s);
/* Valid UTF-8 without control characters (newline too), 1..max bytes. For reasons and free names.
 */
bool txt_is_line(const char *s, size_t max);
bool txt_is_utf8(const void *p, size_t n);
/* Make a hostname of anything ("Ada's Laptop.local" -> "ada-s-laptop"); "device" when nothing is
 * left. */
void txt_to_hostname(const char *s, char *out, size_t size);
/* Copy for a terminal or log: control, escape and invalid bytes become '?'. Always terminated. */
void txt_safe(const char *s, char *out, size_t size);
/* strlcpy that fails: 0, or -ZT_ELIMIT with dst = "". */
int txt_copy(char *dst, size_t size, const char *src) ZT_MUST_USE;
bool txt_equal(const char *a, const char *b); /* NULL equals NULL only */
bool txt_starts(const char *s, const char *prefix);

/* base64url without padding (RFC 4648 section 5). Encode: out is terminated, -ZT_ELIMIT when too
 * small. Decode: strict (no white space, no padding, canonical trailing bits); -ZT_EFORM,
 * -ZT_ELIMIT. */
int txt_base64url_encode(const void *p, size_t n, char *out, size_t size) ZT_MUST_USE;
int txt_base64url_decode(const char *s, size_t len, void *out, size_t size,
			 size_t *ret_len) ZT_MUST_USE;
/* Lower-case hex of n bytes into out (2n + 1 bytes). */
void txt_hex(const void *p, size_t n, char *out);

/* The candidate nearest to s by edit distance, at most a third of its length away; NULL if none. */
const char *txt_nearest(const char *s, const char *const *candidates, size_t n);
