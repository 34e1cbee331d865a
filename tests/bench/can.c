/* Questions about all cases, at 10,000 rules: how long one takes, and all invariants. Prints
 * figures (lib.sh); status 1 when a question had no answer.
 *
 * The policy is like a large company's: teams with their servers, laptops that must be managed, at
 * office hours of three zones, from some offices and countries; a few denies for all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/policy/can.h"
#include "controller/policy/invariant.h"
#include "controller/zones.h"
#include "zt/buf.h"

enum { RULES = 10000, TEAMS = 1000, DEVICES = 10000, NOW_S = 1800000000, TRIES = 5 };

static const char *const zones_used[] = {"Europe/Berlin", "America/New_York", "Asia/Tokyo"};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void put_common(struct buf *b)
{
	for (int i = 0; i < 20; i++)
		buf_printf(b,
			   "[posture p%d]\nrequire = os.version >= %d, disk.encrypted == true\n"
			   "[place o%d]\nsource = 10.%d.0.0/16, 192.0.%d.0/24\n"
			   "[schedule s%d]\nwhen = Mon-Fri 0%d:00-1%d:00 %s\n",
			   i, i, i, i, i, i, i % 10, i % 10, zones_used[i % 3]);
	buf_put_text(b, "[rule frozen]\naction = deny\nwho = anyone\nwhat = resource:*\nwhy = x\n"
			"when = 2027-12-24..2027-12-26\n"
			"[rule no-guests]\naction = deny\nwho = group:guests\nwhat = resource:*\n"
			"why = x\n[group guests]\n[group staff]\nmembers = ");
	for (int i = 0; i < TEAMS; i++)
		buf_printf(b, "%sgroup:t%d", i ? ",\n  " : "", i);
	buf_put_text(b, "\n[resource all]\non = tag:front\nports = tcp/443, udp/443\n");
	for (int i = 0; i < TEAMS; i++)
		buf_printf(b,
			   "[group t%d]\nmembers = user:u%d@x.org, user:v%d@x.org\n"
			   "[resource r%d]\non = tag:t%d\nports = tcp/22, tcp/%d-%d\n%s",
			   i, i, i, i, i, 1000 + i, 1100 + i,
			   i % 10 ? "" : "data = confidential\n");
}

static void put_rules(struct buf *b)
{
	for (int i = 2; i < RULES; i++) {
		int team = i % TEAMS;

		buf_printf(b, "[rule n%d]\nwho = %s%d%s\nwhat = resource:%s%d\nwhy = x\n", i,
			   i % 3 ? "group:t" : "user:u", team, i % 3 ? "" : "@x.org", "r",
			   i % 7 ? team : (team * 7) % TEAMS);
		buf_printf(b, "how = posture:p%d\n", i / TEAMS + 1);
		if (i % 2)
			buf_printf(b, "when = schedule:s%d\n", i % 20);
		if (i % 5 < 2)
			buf_printf(b, "where = place:o%d, country:DE\n", i % 20);
		if (i % 50 == 0)
			buf_printf(b, "until = 2028-%02d-01\n", i / 50 % 12 + 1);
	}
	buf_put_text(b, "[invariant one]\nfrom = group:guests\nto = resource:*\nexpect = never\n"
			"why = x\n[invariant two]\nfrom = group:staff\nto = data:confidential\n"
			"expect = posture:p1\nwhy = x\n");
}

static struct subject *make_devices(struct arena *a)
{
	struct subject *v = arena_array(a, DEVICES, sizeof(*v));

	for (uint32_t i = 0; v && i < DEVICES; i++) {
		const char **tags = arena_array(a, 1, sizeof(char *));

		v[i] = (struct subject){.id = i + 1,
					.name = arena_printf(a, "d%u", i),
					.owner = i % 2 ? arena_printf(a, "u%u@x.org", i % TEAMS)
						       : "",
					.tags = tags,
					.n_tags = i % 2 == 0};
		tags[0] = arena_printf(a, "t%u", i / 2 % TEAMS);
	}
	return v;
}

/* bound_ms 0: none. */
static void figure(const char *what, double ms, double bound_ms)
{
	printf("figure|%s|%.2f ms|", what, ms);
	if (bound_ms > 0)
		printf("<= %.0f ms|%s\n", bound_ms, ms <= bound_ms ? "ok" : "over");
	else
		printf("-|-\n");
}

static _Noreturn void give_up(const char *what, const char *why)
{
	fprintf(stderr, "can: %s: %s\n", what, why);
	exit(1);
}

static void ask(const struct policy *p, const char *what, struct can_question q)
{
	struct can_answer answer = {0};
	double best = 1e9;
	struct diag d = {0};

	for (int i = 0; i < TRIES; i++) {
		struct arena a;
		double began = now_ms(), took;
		int err;

		arena_init(&a, (size_t)1 << 30);
		err = can_ask(p, &q, &a, &answer, &d);
		took = now_ms() - began;
		best = took < best ? took : best;
		arena_done(&a);
		if (err || answer.verdict != CAN_ONLY_IF)
			give_up(what, err ? d.message : "another verdict");
	}
	figure(what, best, 100);
}

static void check(const struct policy *p, const char *what, const struct subject *devices, size_t n)
{
	static struct diag items[4];
	struct diag_list problems = {.items = items, .max = 4};
	double began = now_ms(), step_ms, longest_ms = 0;
	struct invariants_run *r;
	char step[80];
	int more = invariants_begin(p, devices, n, NOW_S, &problems, &r);

	if (more)
		give_up(what, "out of memory");
	do {
		step_ms = now_ms();
		more = invariants_step(r);
		step_ms = now_ms() - step_ms;
		longest_ms = step_ms > longest_ms ? step_ms : longest_ms;
	} while (more == 1);
	invariants_end(r);
	if (more)
		give_up(what, items[0].message);
	figure(what, now_ms() - began, 0);
	snprintf(step, sizeof(step), "%s: longest step", what);
	figure(step, longest_ms, 0);
}

int main(void)
{
	struct zones *zones = zones_new("/usr/share/zoneinfo");
	struct policy_env env = {
		.zone = zones_get, .zones = zones, .now_s = NOW_S, .was_accepted = true};
	static struct diag items[4];
	struct diag_list problems = {.items = items, .max = 4};
	struct policy *p = NULL;
	struct subject *devices;
	struct can_question q = {.now_s = NOW_S, .n_devices = DEVICES};
	struct arena a;
	struct buf b;

	arena_init(&a, (size_t)1 << 30);
	buf_init_grow(&b, 64 << 20);
	put_common(&b);
	put_rules(&b);
	if (policy_parse("bench", buf_text(&b), b.len, &env, &p, &problems) < 0)
		give_up("policy", items[0].message);
	devices = make_devices(&a);
	q.devices = devices;
	q.from = (struct selector){.kind = SELECTOR_USER, .name = "u7@x.org"};
	q.to = (struct can_target){.kind = CAN_TO_RESOURCE, .name = "r7"};
	ask(p, "can: a user, a resource", q);
	q.svc = &(struct service){SERVICE_TCP, 22, 22};
	ask(p, "can: a user, a resource, a port", q);
	q.svc = NULL;
	q.to = (struct can_target){.kind = CAN_TO_DEVICE, .name = "d14"};
	ask(p, "can: a user, a device", q);
	q.from = (struct selector){.kind = SELECTOR_GROUP, .name = "t7"};
	ask(p, "can: a group, a device", q);
	q.from = (struct selector){.kind = SELECTOR_GROUP, .name = "staff"};
	ask(p, "can: all staff, a device", q);
	q.from = (struct selector){.kind = SELECTOR_ANYONE};
	ask(p, "can: anyone, a device", q);
	q.to = (struct can_target){.kind = CAN_TO_RESOURCE, .name = "r7"};
	ask(p, "can: anyone, a resource", q);
	check(p, "two invariants, the file alone", NULL, 0);
	check(p, "two invariants, with 10000 devices", devices, DEVICES);
	policy_free(p);
	buf_free(&b);
	arena_done(&a);
	zones_free(zones);
	return 0;
}
