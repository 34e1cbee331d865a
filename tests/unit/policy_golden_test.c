/* Policies as people write them, well and badly: tests/golden/policy/NAME.ini in, NAME.expect out.
 * A policy that is accepted is printed as it was understood, one that is refused as its problems.
 * Those named enforced-* are read as by a system that enforces every condition of how.
 * UPDATE=1 writes what came out. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>

#include "controller/policy/demand.h"
#include "controller/policy/place.h"
#include "zt/buf.h"
#include "zt/num.h"
#include "zt/txt.h"
#include "controller/zones.h"

enum { PROBLEMS_MAX = 100, TEXT_MAX = 1 << 20 };

enum { NOW_S = 1800000000 }; /* 2027-01-15 08:00 UTC */
static struct zones *zones;
static const char folder[] = "tests/golden/policy";

/* --- what came out --- */

static void print_list(struct buf *b, const struct selector *s, size_t n)
{
	static const char *const kinds[] = {"user:", "group:", "tag:", "device:", "anyone"};

	for (size_t i = 0; i < n; i++)
		buf_printf(b, " %s%s", kinds[s[i].kind], s[i].name ? s[i].name : "");
}

static void print_selectors(struct buf *b, const char *key, const struct selectors *l)
{
	if (!l->n_in)
		return;
	buf_printf(b, "\t%s:", key);
	print_list(b, l->in, l->n_in);
	if (l->n_except)
		buf_put_text(b, " except");
	print_list(b, l->except, l->n_except);
	buf_put_text(b, "\n");
}

static void print_services(struct buf *b, const struct service *s, size_t n)
{
	char text[SERVICE_TEXT_MAX];

	buf_put_text(b, "\tports:");
	for (size_t i = 0; i < n; i++) {
		service_print(&s[i], text);
		buf_printf(b, " %s", text);
	}
	buf_put_text(b, "\n");
}

static void print_networks(struct buf *b, const struct policy_resource *r)
{
	char text[PREFIX_TEXT_MAX];

	if (r->n_address)
		buf_put_text(b, "\taddress:");
	for (size_t i = 0; i < r->n_address; i++) {
		prefix_print(&r->address[i], text);
		buf_printf(b, " %s", text);
	}
	if (r->n_address)
		buf_put_text(b, "\n");
}

static void print_resources(struct buf *b, const struct policy *p)
{
	for (size_t i = 0; i < p->n_resources; i++) {
		const struct policy_resource *r = &p->resources[i];

		buf_printf(b, "%u: resource %s data=%s owner=%s", r->line, r->name, r->data,
			   r->owner);
		if (r->lease_s)
			buf_printf(b, " lease=%us", (unsigned)r->lease_s);
		buf_put_text(b, "\n");
		print_selectors(b, "on", &r->on);
		print_selectors(b, "via", &r->via);
		print_networks(b, r);
		print_services(b, r->ports, r->n_ports);
	}
}

static void print_postures(struct buf *b, const struct policy *p)
{
	for (size_t i = 0; i < p->n_postures; i++) {
		const struct policy_posture *s = &p->postures[i];

		buf_printf(b, "%u: posture %s grace=%us max_age=%us\n", s->line, s->name,
			   (unsigned)s->grace_s, (unsigned)s->max_age_s);
		for (size_t k = 0; k < s->n_require; k++)
			buf_printf(b, "\t%u:%u: %s\n", s->require[k].line, s->require[k].column,
				   s->require[k].text);
	}
}

static void print_place_items(struct buf *b, const char *key, const struct place_item *items,
			      size_t n)
{
	static const char *const kinds[] = {"source", "overlay", "country"};
	char text[PREFIX_TEXT_MAX];

	if (n)
		buf_printf(b, "\t%s:", key);
	for (size_t i = 0; i < n; i++) {
		prefix_print(&items[i].prefix, text);
		buf_printf(b, " %s=%s", kinds[items[i].kind],
			   items[i].kind == PLACE_COUNTRY ? items[i].country : text);
	}
	if (n)
		buf_put_text(b, "\n");
}

static void print_places(struct buf *b, const struct policy *p)
{
	for (size_t i = 0; i < p->n_places; i++) {
		const struct policy_place *s = &p->places[i];

		buf_printf(b, "%u: place %s\n", s->line, s->name);
		print_place_items(b, "in", s->in, s->n_in);
		print_place_items(b, "except", s->except, s->n_except);
	}
}

static void print_spots(struct buf *b, const struct policy *p, const char *key, uint64_t spots)
{
	char text[SPOT_TEXT_MAX];

	if (spots)
		buf_printf(b, "\t%s:", key);
	for (uint32_t i = 0; i < p->n_spots; i++) {
		if (!(spots >> i & 1))
			continue;
		spot_print(p, i, text);
		buf_printf(b, " %s", text);
	}
	if (spots)
		buf_put_text(b, "\n");
}

static void print_demands(struct buf *b, const struct policy_demands *d)
{
	struct arena a;

	arena_init(&a, 1 << 20);
	if (demands_kinds(d))
		buf_printf(b, "\tdemands: %s\n", demands_print(d, &a));
	arena_done(&a);
}

static void print_rules(struct buf *b, const struct policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		buf_printf(b, "%u: %s %u %s%s%s%s%s\n", r->line, r->deny ? "deny" : "rule", r->id,
			   r->name, r->owner[0] ? " owner=" : "", r->owner,
			   r->ticket[0] ? " ticket=" : "", r->ticket);
		print_selectors(b, "who", &r->who);
		buf_put_text(b, "\twhat:");
		for (size_t k = 0; k < r->n_what; k++)
			buf_printf(b, " %s", p->resources[r->what[k]].name);
		buf_put_text(b, "\n\thow:");
		for (size_t k = 0; k < r->n_how; k++)
			buf_printf(b, " %s", p->postures[r->how[k]].name);
		buf_put_text(b, "\n");
		print_demands(b, &r->demands);
		if (r->when != POLICY_ALWAYS)
			buf_printf(b, "\twhen %u: %s\n", r->when, p->whens[r->when].text);
		if (r->review_s != INT64_MAX)
			buf_printf(b, "\treview: %lld\n", (long long)r->review_s);
		print_spots(b, p, "where", r->where);
		print_spots(b, p, "where not", r->where_except);
		buf_printf(b, "\twhy: %s\n", r->why);
	}
}

static void print_targets(struct buf *b, const struct policy *p, const char *word,
			  const struct policy_target *v, size_t n)
{
	char svc[SERVICE_TEXT_MAX];

	if (n)
		buf_printf(b, "\t%s:", word);
	for (size_t k = 0; k < n; k++) {
		const struct policy_target *t = &v[k];

		service_print(&t->svc, svc);
		buf_printf(b, " %s%s%s%s", t->data ? "data:" : "resource:",
			   t->data  ? t->data
			   : t->all ? "*"
				    : p->resources[t->resource].name,
			   t->some_ports ? " " : "", t->some_ports ? svc : "");
	}
	if (n)
		buf_put_text(b, "\n");
}

static void print_invariants(struct buf *b, const struct policy *p)
{
	for (size_t i = 0; i < p->n_invariants; i++) {
		const struct policy_invariant *v = &p->invariants[i];

		buf_printf(b, "%u: invariant %s%s\n", v->line, v->name, v->never ? " never" : "");
		print_selectors(b, "from", &v->from);
		print_targets(b, p, "to", v->to, v->n_to);
		print_targets(b, p, "to not", v->to_except, v->n_to_except);
		for (size_t k = 0; k < p->n_postures; k++)
			if (v->postures >> k & 1)
				buf_printf(b, "\tposture: %s\n", p->postures[k].name);
		print_spots(b, p, "where", v->spots);
		if (v->when)
			buf_printf(b, "\twhen: %s\n", v->when->text);
		buf_printf(b, "\twhy: %s\n", v->why);
	}
}

static void print_warnings(struct buf *b, const struct policy *p)
{
	char text[1024];

	for (size_t i = 0; i < p->n_warnings; i++) {
		diag_print(&p->warnings[i], text, sizeof(text));
		buf_printf(b, "warning: %s\n\t%s\n", text, p->warnings[i].hint);
	}
}

static void print_policy(struct buf *b, const struct policy *p)
{
	buf_printf(b, "accepted\nlease %us\n", (unsigned)p->lease_s);
	for (size_t i = 0; i < p->n_groups; i++) {
		buf_printf(b, "%u: group %s\n", p->groups[i].line, p->groups[i].name);
		print_selectors(b, "members", &p->groups[i].members);
	}
	print_resources(b, p);
	print_postures(b, p);
	print_places(b, p);
	print_rules(b, p);
	for (size_t i = 0; i < p->n_tests; i++)
		buf_printf(b, "%u: test %s\n", p->tests[i].line, p->tests[i].name);
	print_invariants(b, p);
	for (size_t i = 0; i < p->n_facts; i++)
		buf_printf(b, "fact %s\n", p->facts[i]);
}

static void print_problems(struct buf *b, int err, const struct diag_list *l)
{
	char text[1024];

	buf_printf(b, "refused: %s\n", zt_strerror(err));
	for (size_t i = 0; i < l->n; i++) {
		diag_print(&l->items[i], text, sizeof(text));
		buf_printf(b, "%s\n\t%s\n", text, l->items[i].hint);
	}
	if (l->dropped)
		buf_printf(b, "and %zu more\n", l->dropped);
}

static void print_outcome(struct buf *b, const char *name, const char *text, size_t n)
{
	static struct diag items[PROBLEMS_MAX];
	struct diag_list problems = {.items = items, .max = PROBLEMS_MAX};
	struct policy *p = NULL;
	struct policy_env env = {
		.zone = zones_get, .zone_names = zones_names, .zones = zones, .now_s = NOW_S};
	int err;

	if (txt_starts(name, "enforced-")) /* as if the system could enforce all that there is */
		env.enforces = (1u << DEMAND_KINDS) - 1;
	err = policy_parse(name, text, n, &env, &p, &problems);
	if (err < 0)
		print_problems(b, err, &problems);
	else
		print_policy(b, p);
	if (!err)
		print_warnings(b, p);
	policy_free(p);
}

/* --- files --- */

static size_t read_file(const char *path, char *out)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		return 0;
	n = fread(out, 1, TEXT_MAX, f);
	fclose(f);
	return n;
}

static void write_file(const char *path, const struct buf *b)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	fwrite(b->data, 1, b->len, f);
	fclose(f);
}

static void check_one(const char *name)
{
	static char text[TEXT_MAX], want[TEXT_MAX];
	size_t stem = strlen(name) - strlen(".ini"), n, n_want;
	char path[512];
	struct buf b;

	buf_init_grow(&b, TEXT_MAX);
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	n = read_file(path, text);
	print_outcome(&b, name, text, n);
	snprintf(path, sizeof(path), "%s/%.*s.expect", folder, (int)stem, name);
	if (getenv("UPDATE"))
		write_file(path, &b);
	n_want = read_file(path, want);
	if (b.err || n_want != b.len || memcmp(want, b.data, b.len) != 0)
		fail_msg("%s: not as expected, but:\n%s", path, buf_text(&b));
	buf_free(&b);
}

static void policies_are_understood_or_refused_as_written(void **state)
{
	struct dirent **names;
	int n = scandir(folder, &names, NULL, alphasort), seen = 0;

	(void)state;
	assert_true(n > 0);
	zones = zones_new("/usr/share/zoneinfo");
	assert_non_null(zones);
	for (int i = 0; i < n; i++) {
		const char *dot = strrchr(names[i]->d_name, '.');

		if (dot && strcmp(dot, ".ini") == 0) {
			check_one(names[i]->d_name);
			seen++;
		}
		free(names[i]);
	}
	free(names);
	zones_free(zones);
	assert_true(seen > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_are_understood_or_refused_as_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
