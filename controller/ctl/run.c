/* What the commands share: failing, asking and printing, small texts. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "controller/ctl/ctl.h"
#include "zt/addr.h"
#include "zt/num.h"
#include "zt/txt.h"

int ctl_fail(struct ctl *c, enum zt_exit status, const struct diag *d)
{
	fprintf(c->err, "ztctl: %s\n", ctl_safe(c, d->message));
	if (d->hint[0])
		fprintf(c->err, "hint: %s\n", ctl_safe(c, d->hint));
	return (int)status;
}

int ctl_failf(struct ctl *c, enum zt_exit status, const char *hint, const char *fmt, ...)
{
	struct diag d = {0};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d.message, sizeof(d.message), fmt, ap);
	va_end(ap);
	diag_hint(&d, "%s", hint);
	return ctl_fail(c, status, &d);
}

const char *ctl_bare(const char *s, const char *prefix)
{
	return txt_starts(s, prefix) ? s + strlen(prefix) : s;
}

int ctl_need_service(struct ctl *c, const char *text)
{
	struct service svc;
	uint64_t port;
	char hint[32];
	int err = service_parse(text, &svc);

	if (err == 0)
		return ZT_EXIT_OK;
	if (err == -ERANGE)
		return ctl_failf(c, ZT_EXIT_USAGE,
				 "ports are 1 to 65535, and a range begins with its lower end",
				 "'%s' has a port out of range", text);
	if (num_parse_u64(text, 1, UINT16_MAX, &port) == 0) {
		snprintf(hint, sizeof(hint), "did you mean tcp/%u?", (unsigned)port);
		return ctl_failf(c, ZT_EXIT_USAGE, hint, "'%s' is not a protocol with a port",
				 text);
	}
	return ctl_failf(c, ZT_EXIT_USAGE, "write tcp/5432, tcp/8000-8100, udp/53, icmp or any",
			 "'%s' is not a protocol with a port", text);
}

json_t *ctl_why(const struct ctl_args *a)
{
	const char *why = ctl_args_value(a, "why");

	return why ? json_pack("{s:s}", "why", why) : json_object();
}

int ctl_show_table(struct ctl *c, const char *path, const struct ctl_column *columns, size_t n)
{
	struct ctl_request q = {.method = "GET", .path = path, .expect = CTL_OBJECTS};
	struct ctl_answer a;
	int rc = ctl_ask(c, &q, &a);

	if (rc == ZT_EXIT_OK && c->json)
		ctl_print_json(c, a.json);
	else if (rc == ZT_EXIT_OK)
		rc = ctl_print_table(c, columns, n, a.json);
	ctl_answer_done(&a);
	return rc;
}

int ctl_change(struct ctl *c, struct ctl_request *q,
	       void (*done)(struct ctl *c, const json_t *answer))
{
	struct ctl_answer a;
	int rc = ctl_ask(c, q, &a);

	if (rc == ZT_EXIT_OK && c->json)
		ctl_print_json(c, a.json);
	else if (rc == ZT_EXIT_OK)
		done(c, a.json);
	ctl_answer_done(&a);
	return rc;
}
