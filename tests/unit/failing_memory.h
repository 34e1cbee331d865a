/* Memory that runs out when a test says so. Link with --wrap of the four (Makefile). */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

static long memory_left = LONG_MAX; /* allocations that succeed; then none does */
static long memory_refused;

static bool memory_take(void)
{
	if (memory_left == LONG_MAX)
		return true;
	memory_refused += memory_left == 0;
	memory_left -= memory_left > 0;
	return !memory_refused;
}

/* From now on n allocations succeed. */
static void memory_end_after(long n)
{
	memory_left = n;
	memory_refused = 0;
}

/* There is memory again. Was there none? */
static bool memory_comes_back(void)
{
	memory_left = LONG_MAX;
	return memory_refused > 0;
}

void *__wrap_malloc(size_t n)
{
	return memory_take() ? __real_malloc(n) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return memory_take() ? __real_calloc(n, size) : NULL;
}

void *__wrap_realloc(void *p, size_t n)
{
	return memory_take() ? __real_realloc(p, n) : NULL;
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return memory_take() ? __real_reallocarray(p, n, size) : NULL;
}
