/* Numbers and durations from text, with a range each. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "zt/err.h"

/* Decimal digits only, whole text, min..max. Errors: -ZT_EFORM, -ERANGE. */
int num_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret) ZT_MUST_USE;
/* "30s" "10m" "12h" "14d" (a bare number is refused). Seconds, 0..100 years. */
int num_parse_duration(const char *s, uint64_t *ret_s) ZT_MUST_USE;
/* Shortest exact form: 90 -> "90s", 600 -> "10m". */
void num_print_duration(uint64_t s, char *out, size_t size);
/* RFC 3339 in UTC, "2026-11-23T12:00:00Z" (21 bytes with NUL). s: Unix seconds. */
void num_print_time(int64_t s, char *out, size_t size);
