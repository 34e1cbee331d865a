/* The arena. */
#include "tests/unit/unit.h"

#include <stdalign.h>

#include "zt/arena.h"

static void memory_is_zeroed_aligned_and_apart(void **state)
{
	struct arena a;
	uint8_t *last = NULL;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t n = 1; n < 500; n++) {
		uint8_t *p = arena_alloc(&a, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
		if (last)
			assert_int_equal(last[0], 0xff);
		last = p;
	}
	arena_done(&a);
}

static void the_limit_is_exact(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 100);
	assert_non_null(arena_alloc(&a, 60));
	assert_null(arena_alloc(&a, 41));
	assert_non_null(arena_alloc(&a, 40));
	assert_int_equal(a.used, 100);
	assert_null(arena_alloc(&a, 1));
	assert_non_null(arena_alloc(&a, 0));
	arena_done(&a);
	assert_null(a.head);
}

static void an_array_grows_and_keeps_its_items(void **state)
{
	enum { N = 1000 };
	uint32_t *v = NULL, own[2] = {7, 8}, *more;
	size_t cap = 0, copies = 0;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (uint32_t n = 0; n < N; n++) {
		more = arena_room(&a, v, n, &cap, sizeof(*v));
		assert_non_null(more);
		assert_true(cap > n);
		copies += more != v;
		v = more;
		v[n] = n;
	}
	for (uint32_t n = 0; n < N; n++)
		assert_int_equal(v[n], n);
	assert_in_range(copies, 1, 10); /* not one for each */
	cap = 2; /* one that is not the arena's moves into it when it is full */
	assert_ptr_equal(arena_room(&a, own, 1, &cap, sizeof(*own)), own);
	v = arena_room(&a, own, 2, &cap, sizeof(*own));
	assert_true(v && v != own && v[0] == 7 && v[1] == 8 && cap > 2);
	arena_done(&a);
}

static void an_array_that_cannot_grow_is_as_it_was(void **state)
{
	uint64_t v[4] = {1, 2, 3, 4};
	size_t cap = 4;
	struct arena a;

	(void)state;
	arena_init(&a, 50);
	assert_null(arena_room(&a, v, 4, &cap, sizeof(*v)));
	assert_int_equal(cap, 4);
	assert_ptr_equal(arena_room(&a, v, 3, &cap, sizeof(*v)), v); /* there was room */
	cap = SIZE_MAX / 2 + 1;					     /* twice that is nothing */
	assert_null(arena_room(&a, v, cap, &cap, 1));
	cap = SIZE_MAX / 4;
	assert_null(arena_room(&a, v, cap, &cap, sizeof(*v)));
	arena_done(&a);
}

static void sizes_that_overflow_are_refused(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, SIZE_MAX);
	assert_null(arena_array(&a, SIZE_MAX / 2, 3));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_text(&a, "", SIZE_MAX));
	assert_int_equal(a.used, 0);
	assert_non_null(arena_array(&a, 3, 7));
	assert_int_equal(a.used, 21);
	arena_done(&a);
}

static void a_zeroed_arena_gives_nothing_and_can_be_done(void **state)
{
	struct arena a = {0};

	(void)state;
	assert_null(arena_alloc(&a, 1));
	arena_done(&a);
	arena_done(&a);
	arena_init(&a, 10);
	assert_non_null(arena_alloc(&a, 10));
	arena_done(&a);
}

static void texts_are_copied_and_ended(void **state)
{
	struct arena a;
	char source[] = "abcdef";
	char *text, *printed;
	const char *copy;

	(void)state;
	arena_init(&a, 1000);
	text = arena_text(&a, source, 3);
	copy = arena_dup(&a, source, sizeof(source));
	printed = arena_printf(&a, "%s/%d", source, 42);
	source[0] = 'x';
	assert_string_equal(text, "abc");
	assert_string_equal(copy, "abcdef");
	assert_string_equal(printed, "abcdef/42");
	assert_string_equal(arena_printf(&a, "%s", ""), "");
	assert_string_equal(arena_text(&a, NULL, 0), "");
	arena_done(&a);
}

static void a_text_over_the_limit_is_not_cut(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 5);
	assert_null(arena_printf(&a, "%s", "12345"));
	assert_non_null(arena_printf(&a, "%s", "1234"));
	arena_done(&a);
}

static void large_pieces_have_room_beside_small_ones(void **state)
{
	struct arena a;
	char *small, *large;

	(void)state;
	arena_init(&a, 32 << 20);
	small = arena_text(&a, "small", 5);
	large = arena_alloc(&a, 10 << 20);
	assert_non_null(large);
	memset(large, 1, 10 << 20);
	assert_string_equal(small, "small");
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
		cmocka_unit_test(the_limit_is_exact),
		cmocka_unit_test(an_array_grows_and_keeps_its_items),
		cmocka_unit_test(an_array_that_cannot_grow_is_as_it_was),
		cmocka_unit_test(sizes_that_overflow_are_refused),
		cmocka_unit_test(a_zeroed_arena_gives_nothing_and_can_be_done),
		cmocka_unit_test(texts_are_copied_and_ended),
		cmocka_unit_test(a_text_over_the_limit_is_not_cut),
		cmocka_unit_test(large_pieces_have_room_beside_small_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
