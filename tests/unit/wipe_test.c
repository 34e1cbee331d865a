/* What was a preshared key is nowhere in the heap's freed pieces. free and realloc are ours here:
 * they look before they give memory back. */
#include "tests/unit/node_fixture.h"

#include <malloc.h>
#include <stdlib.h>

enum { MANY = 200, PATTERN = 0xa7, PATTERN_LEN = 24 };

#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

static struct {
	bool on;
	unsigned found;
} watch;

#ifndef IS_SANITIZED
void __libc_free(void *p);

static bool has_pattern(const uint8_t *p, size_t n)
{
	size_t run = 0;

	for (size_t i = 0; i < n && run < PATTERN_LEN; i++)
		run = p[i] == PATTERN ? run + 1 : 0;
	return run == PATTERN_LEN;
}

void free(void *p)
{
	if (p && watch.on)
		watch.found += has_pattern(p, malloc_usable_size(p));
	__libc_free(p);
}

/* Always moves, as the real one may. */
void *realloc(void *p, size_t n)
{
	void *q = malloc(n);
	size_t have = p ? malloc_usable_size(p) : 0;

	if (q && p) {
		memcpy(q, p, have < n ? have : n);
		free(p);
	}
	return q;
}
#endif

/* Before anything is allocated: the sanitizer's own free would be in the way. */
static void skip_sanitized(void)
{
#ifdef IS_SANITIZED
	skip();
#endif
}

static void begin(void)
{
	watch.found = 0;
	watch.on = true;
}

static unsigned end(void)
{
	watch.on = false;
	return watch.found;
}

static void the_watch_sees_what_is_freed(void **state)
{
	/* By pointers that change: else the compiler knows what these do, and leaves them out. */
	static void *(*volatile resize)(void *p, size_t n) = realloc;
	static void (*volatile release)(void *p) = free;
	uint8_t *p;

	(void)state;
	skip_sanitized();
	p = resize(NULL, 400);
	assert_non_null(p);
	memset(p, PATTERN, 300);
	begin();
	p = resize(p, 800);
	release(p);
	assert_int_equal(end(), 2);
}

static void a_secret_buffer_leaves_no_copy(void **state)
{
	static const uint8_t key[ZT_KEY_LEN] = {[0 ... ZT_KEY_LEN - 1] = PATTERN};
	struct buf b;

	(void)state;
	skip_sanitized();
	buf_init_secret(&b, 1 << 20);
	begin();
	for (int i = 0; i < MANY; i++)
		buf_put(&b, key, sizeof(key));
	buf_free(&b);
	assert_int_equal(end(), 0);
}

static void a_saved_map_leaves_no_preshared_key(void **state)
{
	static const char boot[] = "11111111-1111-4111-8111-111111111111";
	static struct netmap_psk psks[MANY];
	struct mapstate s, copy;
	struct buf b;

	(void)state;
	skip_sanitized();
	s = copy = fixture_state(10);
	for (uint32_t i = 0; i < MANY; i++) {
		psks[i].peer = i + 2;
		memset(psks[i].psk.b, PATTERN, sizeof(psks[i].psk.b));
	}
	copy.psks = psks;
	copy.n_psks = MANY;
	buf_init_secret(&b, ZT_NETMAP_MAX);
	begin();
	assert_int_equal(mapfile_encode(&copy, fixture_now, boot, &b), 0);
	buf_free(&b);
	assert_int_equal(end(), 0);
	mapstate_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_watch_sees_what_is_freed),
		cmocka_unit_test(a_secret_buffer_leaves_no_copy),
		cmocka_unit_test(a_saved_map_leaves_no_preshared_key),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
