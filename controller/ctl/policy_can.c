/* ztctl policy can: may this ever open that, as text. */
#include <string.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/policy_can.h"
#include "zt/txt.h"

/* "device:lap-1", "user:ada@example.com alone" */
static void print_identities(struct ctl *c, const char *title, const json_t *object,
			     const char *key, const char *count)
{
	const json_t *list = json_object_get(object, key), *one;
	json_int_t n = json_integer_value(json_object_get(object, count));
	size_t i;

	if (json_array_size(list) == 0)
		return;
	fprintf(c->out, "%s", title);
	json_array_foreach((json_t *)list, i, one)
	{
		fprintf(c->out, "%s%s%s", i ? ", " : "", ctl_member(c, one, "name"),
			json_is_true(json_object_get(one, "exists")) ? "" : " alone");
	}
	if (n > (json_int_t)json_array_size(list))
		fprintf(c->out, " and %lld more",
			(long long)(n - (json_int_t)json_array_size(list)));
	fputc('\n', c->out);
}

static void print_part(struct ctl *c, const char *title, const char *text)
{
	if (*text)
		fprintf(c->out, "     %-8s %s\n", title, text);
}

/* "no-august: 2027-08-01..2027-08-31; country:DE, or not known" */
static void print_nots(struct ctl *c, const json_t *way)
{
	const json_t *deny;
	size_t i;

	json_array_foreach(json_object_get(way, "nots"), i, deny)
	{
		const char *when = ctl_member(c, deny, "when"),
			   *where = ctl_member(c, deny, "where");

		fprintf(c->out, "     %-8s rule %s denies (%s%s%s%s)\n", "and not",
			ctl_member(c, deny, "rule"), when, *when && *where ? "; " : "", where,
			*where ? ", or not known" : "");
	}
}

/* "invariant guests asks for place:office" */
static void print_holds(struct ctl *c, const json_t *way)
{
	const json_t *hold;
	size_t i;

	json_array_foreach(json_object_get(way, "holds"), i, hold)
		fprintf(c->out, "     %-8s invariant %s %s\n", "and",
			ctl_member(c, hold, "invariant"), ctl_member(c, hold, "asks"));
}

static void print_way(struct ctl *c, size_t i, const json_t *way)
{
	const char *why = ctl_member(c, way, "why");

	fprintf(c->out, "%3zu. rule %s%s%s\n", i + 1, ctl_member(c, way, "rule"), *why ? ": " : "",
		why);
	print_part(c, "posture", ctl_member(c, way, "postures"));
	print_part(c, "how", ctl_member(c, way, "how"));
	print_part(c, "when", ctl_member(c, way, "when"));
	print_part(c, "where", ctl_member(c, way, "where"));
	print_nots(c, way);
	print_holds(c, way);
	print_part(c, "ports", ctl_member(c, way, "ports"));
	print_identities(c, "     from     ", way, "from", "n_from");
	print_identities(c, "     to       ", way, "to", "n_to");
}

static void print_answer(struct ctl *c, const json_t *answer)
{
	const char *verdict = ctl_member(c, answer, "verdict");
	json_int_t more = json_integer_value(json_object_get(answer, "more"));
	const json_t *ways = json_object_get(answer, "ways"), *way;
	size_t i;

	if (txt_equal(verdict, "never"))
		fprintf(c->out, "%sNEVER%s\n", ctl_colour(c, "DENIED"), ctl_plain(c));
	else if (txt_equal(verdict, "always"))
		fprintf(c->out, "%sALWAYS%s, by%s\n", ctl_colour(c, "ALLOWED"), ctl_plain(c),
			json_array_size(ways) > 1 ? " these together:" : ":");
	else
		fprintf(c->out, "ONLY IF%s\n", json_array_size(ways) > 1 ? ", one of these:" : ":");
	json_array_foreach((json_t *)ways, i, way)
	{
		print_way(c, i, way);
	}
	if (more > 0)
		fprintf(c->out, "and %lld ways more\n", (long long)more);
	print_identities(c, "asked about, from: ", answer, "from", "n_from");
	print_identities(c, "asked about, to:   ", answer, "to", "n_to");
	if (json_is_true(json_object_get(answer, "behind_gateway")))
		fprintf(c->out, "This is what the rules say. No gateway forwards in this version: "
				"what is behind one opens to nobody yet.\n");
}

int ctl_policy_can(struct ctl *c, const struct ctl_args *a)
{
	struct ctl_request q = {.method = "GET"};
	struct ctl_answer answer;
	int rc = a->n_words == 3 ? ctl_need_service(c, a->words[2]) : ZT_EXIT_OK;

	if (rc != ZT_EXIT_OK)
		return rc;
	if (a->n_words == 3)
		q.path = ctl_path(c, "/v1/admin/policy/can?from=%&to=%&service=%", a->words[0],
				  a->words[1], a->words[2]);
	else
		q.path = ctl_path(c, "/v1/admin/policy/can?from=%&to=%", a->words[0], a->words[1]);
	rc = ctl_ask(c, &q, &answer);
	if (rc == ZT_EXIT_OK && c->json)
		ctl_print_json(c, answer.json);
	else if (rc == ZT_EXIT_OK)
		print_answer(c, answer.json);
	/* Anything but a clear way is none. */
	if (rc == ZT_EXIT_OK && !txt_equal(ctl_member(c, answer.json, "verdict"), "always") &&
	    !txt_equal(ctl_member(c, answer.json, "verdict"), "only if"))
		rc = ZT_EXIT_DENIED;
	ctl_answer_done(&answer);
	return rc;
}
