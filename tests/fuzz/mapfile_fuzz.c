/* A map file that is taken is whole, and is taken again after it was written again. The checksum is
 * no help to the reader here: every input is tried with one that fits, too. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <string.h>

#include "tests/fuzz/node_base.h"

enum { SUM_AT = 8, HEAD = SUM_AT + ZT_HASH_LEN };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

static void check_again(const struct trust *t, const struct mapstate *s)
{
	struct mapstate again;
	struct netmap_msg m;
	struct arena a;
	struct diag d;
	struct buf b;

	arena_init(&a, ACCEPT_ARENA_MAX);
	buf_init_grow(&b, 2 * ZT_NETMAP_MAX);
	fuzz_check(mapfile_encode(s, base_now, base_boot, &b) == 0);
	fuzz_check(mapfile_decode(t, b.data, b.len, base_now, base_boot, &again, &d) == 0);
	fuzz_check(again.serial == s->serial && again.lease_end_ms == s->lease_end_ms);
	fuzz_check(netmap_diff(&s->map, &again.map, &a, &m) == 0 && netmap_msg_is_empty(&m));
	mapstate_done(&again);
	buf_free(&b);
	arena_done(&a);
}

static void try_file(const uint8_t *p, size_t n)
{
	struct trust t = base_trust();
	struct mapstate s;
	struct diag d;

	if (mapfile_decode(&t, p, n, base_now, base_boot, &s, &d))
		return;
	fuzz_check(s.map.self.id == t.device && s.serial > 0);
	fuzz_check(s.n_psks == s.map.n_peers);
	for (size_t i = 0; i < s.n_psks; i++)
		fuzz_check(s.psks[i].peer == s.map.peers[i].id);
	check_again(&t, &s);
	mapstate_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct key sum;
	uint8_t *copy;

	try_file(p, n);
	if (n < HEAD)
		return 0;
	copy = malloc(n);
	fuzz_check(copy != NULL);
	memcpy(copy, p, n);
	key_hash(copy + HEAD, n - HEAD, &sum);
	memcpy(copy + SUM_AT, sum.b, sizeof(sum.b));
	try_file(copy, n);
	free(copy);
	return 0;
}
