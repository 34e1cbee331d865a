/* The path machine as stories: what the kernel says of a peer at a time, and which candidate, if
 * any, is told to it then. */
#include "tests/unit/unit.h"

#include "ztnode/core/path.h"

enum { NONE = 0, SET_MAX = 3, STEPS_MAX = 8 };

/* Candidates are numbers; a set of them is what the netmap has at a step. */
static struct endpoint candidate(int n)
{
	return (struct endpoint){{ADDR_V4, {192, 0, 2, (uint8_t)n}}, 51820};
}

struct step {
	int64_t at_ms; /* 0: the story ends */
	int candidates[SET_MAX + 1];
	uint64_t tx;
	int64_t age_s; /* of the handshake; -1 never */
	bool has_endpoint;
	int told; /* NONE: leave the kernel alone */
};

static const struct {
	const char *says;
	struct step steps[STEPS_MAX];
} rows[] = {
	{"a new peer is told its best candidate at once",
	 {{1000, {1, 2, 3}, 0, -1, false, 1}, {1001, {1, 2, 3}, 0, -1, true, NONE}}},
	{"a peer without candidates is left alone", {{1000, {0}, 500, -1, false, NONE}}},
	{"nothing was sent, so nothing is known to be wrong",
	 {{1000, {1, 2}, 0, -1, false, 1}, {60000, {1, 2}, 0, -1, true, NONE}}},
	{"sending in vain goes through the candidates and begins again",
	 {{1000, {1, 2, 3}, 0, -1, false, 1},
	  {1000 + PATH_TRY_MS - 1, {1, 2, 3}, 148, -1, true, NONE},
	  {1000 + PATH_TRY_MS, {1, 2, 3}, 148, -1, true, 2},
	  {1000 + 2 * PATH_TRY_MS, {1, 2, 3}, 296, -1, true, 3},
	  {1000 + 3 * PATH_TRY_MS, {1, 2, 3}, 444, -1, true, 1},
	  {1000 + 4 * PATH_TRY_MS, {1, 2, 3}, 444, -1, true, NONE}}},
	{"one candidate is told once",
	 {{1000, {1}, 0, -1, false, 1}, {60000, {1}, 1480, -1, true, NONE}}},
	{"a live session keeps what it has",
	 {{1000, {1, 2}, 0, -1, false, 1}, {60000, {1, 2}, 9000, 30, true, NONE}}},
	{"until the session is too old",
	 {{1000, {1, 2}, 0, -1, false, 1},
	  {60000, {1, 2}, 9000, PATH_SESSION_S - 1, true, NONE},
	  {61000, {1, 2}, 9000, PATH_SESSION_S, true, 2}}},
	{"a live session keeps an endpoint that is no candidate any more (it roamed)",
	 {{1000, {1, 2}, 0, -1, false, 1}, {60000, {2, 3}, 9000, 30, true, NONE}}},
	{"what was told and is no candidate any more is replaced at once, by the best",
	 {{1000, {1, 2}, 0, -1, false, 1}, {1100, {2, 3}, 0, -1, true, 2}}},
	{"more candidates change nothing about the one being tried",
	 {{1000, {2}, 0, -1, false, 2}, {1100, {1, 2, 3}, 0, -1, true, NONE}}},
	{"fewer candidates than were tried already",
	 {{1000, {1, 2, 3}, 0, -1, false, 1},
	  {10000, {1, 2, 3}, 100, -1, true, 2},
	  {20000, {1, 2, 3}, 200, -1, true, 3},
	  {30000, {3, 2}, 300, -1, true, 3}}},
	{"an endpoint that went from the kernel is told again, from the best on",
	 {{1000, {1, 2}, 0, -1, false, 1},
	  {10000, {1, 2}, 100, -1, true, 2},
	  {11000, {1, 2}, 100, -1, false, 1}}},
	{"a live session whose endpoint is not known is told one",
	 {{1000, {1, 2}, 0, 5, false, 1}}},
	{"known from before this daemon, sending in vain: the best candidate",
	 {{1000, {1, 2}, 100, 400, true, 1}}},
	{"known from before this daemon and alive: left alone",
	 {{1000, {1, 2}, 100, 100, true, NONE}}},
};

static void run(const char *says, const struct step *steps)
{
	struct path p = {.peer = 2};

	for (size_t i = 0; i < STEPS_MAX && steps[i].at_ms; i++) {
		const struct step *s = &steps[i];
		struct endpoint candidates[SET_MAX], got = {0};
		struct path_seen seen = {.tx_bytes = s->tx, .handshake_age_s = s->age_s};
		size_t n = 0;
		bool told;

		for (; s->candidates[n]; n++)
			candidates[n] = candidate(s->candidates[n]);
		if (s->has_endpoint)
			seen.endpoint = p.told_ms ? p.told : candidate(9);
		told = path_step(&p, candidates, n, &seen, s->at_ms, &got);
		if (told != (s->told != NONE) || (told && got.addr.b[3] != s->told))
			fail_msg("%s: step %zu tells %d, not %d", says, i,
				 told ? got.addr.b[3] : NONE, s->told);
	}
}

static void paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		run(rows[i].says, rows[i].steps);
}

/* Two candidates; the first is told at 1 s. */
static void a_live_session_has_to_answer(void **state)
{
	static const struct {
		const char *says;
		struct {
			int64_t at_ms;
			uint64_t tx, rx;
			int64_t age_s;
			int told;
		} steps[5];
	} stories[] = {
		{"whose peer is silent for long goes on to its next candidate",
		 {{60000, 9000, 9000, 30, NONE},
		  {70000, 9500, 9000, 40, NONE},
		  {70000 + PATH_SILENT_MS - 1, 9600, 9000, 54, NONE},
		  {70000 + PATH_SILENT_MS, 9700, 9000, 55, 2},
		  {70000 + PATH_SILENT_MS + 1000, 9800, 9100, 0, NONE}}},
		{"that answers in time keeps what it has",
		 {{60000, 9000, 0, 30, NONE},
		  {70000, 9500, 32, 40, NONE},
		  {80000, 9900, 32, 50, NONE},
		  {90000, 9900, 64, 60, NONE},
		  {110000, 9900, 64, 80, NONE}}},
		{"that is idle is not silent",
		 {{60000, 9000, 9000, 30, NONE},
		  {120000, 9000, 9000, 90, NONE},
		  {160000, 9000, 9000, 130, NONE},
		  {170000, 9100, 9000, 140, NONE},
		  {170000 + PATH_SILENT_MS, 9100, 9000, 155, 2}}},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(stories); i++) {
		struct endpoint candidates[] = {candidate(1), candidate(2)}, got = {0};
		struct path_seen seen = {.handshake_age_s = -1};
		struct path p = {.peer = 2};

		assert_true(path_step(&p, candidates, 2, &seen, 1000, &got));
		for (size_t j = 0; j < N_OF(stories[i].steps); j++) {
			bool told;

			seen = (struct path_seen){.tx_bytes = stories[i].steps[j].tx,
						  .rx_bytes = stories[i].steps[j].rx,
						  .handshake_age_s = stories[i].steps[j].age_s,
						  .endpoint = p.told};
			told = path_step(&p, candidates, 2, &seen, stories[i].steps[j].at_ms, &got);
			row_check(stories[i].says, told == (stories[i].steps[j].told != NONE));
			row_check(stories[i].says, !told || got.addr.b[3] == 2);
		}
	}
}

static void a_single_candidate_is_told_again_after_roaming(void **state)
{
	struct path p = {.peer = 2};
	struct endpoint only = candidate(1), got = {0};
	struct path_seen seen = {.handshake_age_s = -1};

	(void)state;
	assert_true(path_step(&p, &only, 1, &seen, 1000, &got));
	seen = (struct path_seen){.tx_bytes = 148, .handshake_age_s = 400, .endpoint = only};
	assert_false(path_step(&p, &only, 1, &seen, 20000, &got)); /* the kernel tries it already */
	seen.endpoint = candidate(9);
	assert_true(path_step(&p, &only, 1, &seen, 20000, &got));
	assert_true(endpoint_equal(&got, &only));
	assert_false(path_step(&p, &only, 1, &seen, 21000, &got)); /* it has its time */
}

/* Whatever the kernel says, only a candidate is ever told. */
static void nothing_but_candidates_is_told(void **state)
{
	struct path p = {.peer = 2};
	uint32_t random = 99;

	(void)state;
	for (int64_t at = 1; at < 20000; at++) {
		struct endpoint candidates[SET_MAX], got = {0};
		struct path_seen seen;
		size_t n;

		random = random * 1103515245 + 12345;
		n = (random >> 16) % (SET_MAX + 1);
		for (size_t i = 0; i < n; i++)
			candidates[i] = candidate((int)((random >> 18) % 5 + i + 1));
		seen = (struct path_seen){
			random >> 8, random >> 12 & 7, (int64_t)((random >> 20) % 400) - 1,
			random & 0x10000 ? candidate(9) : (struct endpoint){{0}, 0}};
		if (path_step(&p, candidates, n, &seen, at * 700, &got)) {
			bool found = false;

			for (size_t i = 0; i < n; i++)
				found |= endpoint_equal(&got, &candidates[i]);
			assert_true(found);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(nothing_but_candidates_is_told),
		cmocka_unit_test(a_live_session_has_to_answer),
		cmocka_unit_test(a_single_candidate_is_told_again_after_roaming),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
