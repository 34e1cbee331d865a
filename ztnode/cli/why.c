/* ztnode why: may this device reach that one; if not, what would mend it. */
#include "ztnode/cli/why.h"

#include "zt/addr.h"
#include "zt/txt.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/ask.h"
#include "ztnode/cli/show.h"

static void print_allowed(const json_t *why, struct term *t)
{
	const char *text = term_field(t, why, "why");

	buf_printf(&t->out, "%s by rule %s\n", term_paint(t, TERM_GREEN, "ALLOWED"),
		   term_field(t, why, "rule"));
	if (!txt_equal(text, "-"))
		buf_printf(&t->out, "  %s\n", text);
}

static void print_denied(const json_t *why, struct term *t)
{
	const json_t *nearest = json_object_get(why, "nearest"), *condition;
	const char *text = term_field(t, why, "why");
	size_t i;

	buf_printf(&t->out, "%s", term_paint(t, TERM_RED, "DENIED"));
	if (!json_is_object(nearest)) {
		buf_put_text(&t->out, ": no rule comes near\n");
	} else {
		const char *rule = term_field(t, nearest, "rule");

		/* Without a rule the conditions stand before every rule: the lease, a revoked
		 * device. */
		if (txt_equal(rule, "-"))
			buf_put_text(&t->out, ":\n");
		else
			buf_printf(&t->out, ": the nearest rule is %s, and\n", rule);
		json_array_foreach(json_object_get(nearest, "failed"), i, condition)
			term_condition(t, condition, "  ");
	}
	if (!txt_equal(text, "-"))
		buf_printf(&t->out, "  %s\n", text);
}

void why_print(const json_t *why, struct term *t)
{
	if (json_is_true(json_object_get(why, "allowed")))
		print_allowed(why, t);
	else
		print_denied(why, t);
}

/* The controller knows what DEST may be; here only what cannot be right anywhere is refused. */
static int check_words(const char *dest, const char *service, struct diag *d)
{
	struct service svc;

	if (!txt_is_line(dest, ZT_EMAIL_MAX))
		return diag_set(d, -ZT_EFORM, "why: DEST is a device, an address or a resource");
	if (service_parse(service, &svc) == 0)
		return 0;
	diag_set(d, -ZT_EFORM, "why: \"%s\" is no service", service);
	diag_hint(d, "for example tcp/5432, udp/1000-2000, tcp/any or icmp");
	return -ZT_EFORM;
}

static int ask_and_show(const struct node_config *c, const char *dest, const char *service,
			bool json)
{
	json_t *args = json_pack("{s:s, s:s}", "to", dest, "service", service), *why;
	int status = ask_daemon(c->run_dir, "why", args, &why);

	if (status)
		return status;
	status = show_result(why, json, why_print);
	if (!status && !json_is_true(json_object_get(why, "allowed")))
		status = ZT_EXIT_DENIED;
	json_decref(why);
	return status;
}

int cmd_why(const struct node_config *c, int argc, char **argv)
{
	bool json = false;
	const struct arg_option options[] = {{"--json", NULL, &json}};
	const char *words[2];
	struct diag d = {0};

	if (args_parse(argc, argv, options, 1, words, 2, 2, &d) ||
	    check_words(words[0], words[1], &d))
		return args_usage(argv[0], &d);
	return ask_and_show(c, words[0], words[1], json);
}
