/* Facts of the kernel and the machine that are one small file or one system call each. */
#include <errno.h>
#include <string.h>
#include <sys/timex.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "zt/num.h"
#include "zt/txt.h"

/* A kernel file of one line, bounded; the fact is set when it cannot be read. */
static bool read_line(const struct source *s, const char *path, const char *what, char *out,
		      size_t size, struct fact *ret)
{
	int r = source_read_line(s, path, out, size);

	if (r < 0)
		fact_set_error(ret, what, r);
	return r == 0;
}

void collect_os_family(struct source *s, const char *argument, struct fact *ret)
{
	(void)s;
	(void)argument;
	fact_set_text(ret, "linux");
}

void collect_node_version(struct source *s, const char *argument, struct fact *ret)
{
	(void)s;
	(void)argument;
	fact_set_text(ret, ZT_VERSION);
}

/* "6.1.0-18-amd64" is version 6.1.0: what follows is the distribution's own count. */
void collect_kernel_version(struct source *s, const char *argument, struct fact *ret)
{
	char release[ZT_FACT_VALUE_MAX + 1];
	size_t n;

	(void)argument;
	if (!read_line(s, "proc/sys/kernel/osrelease", "kernel release", release, sizeof(release),
		       ret))
		return;
	n = strspn(release, "0123456789.");
	while (n && release[n - 1] == '.')
		n--;
	release[n] = '\0';
	if (n && release[0] != '.')
		fact_set_text(ret, release);
	else
		fact_set_unknown(ret, "kernel release has no number");
}

/* The mode in force stands in brackets: "none [integrity] confidentiality". */
void collect_kernel_lockdown(struct source *s, const char *argument, struct fact *ret)
{
	char modes[ZT_FACT_VALUE_MAX + 1];
	char *open, *close;

	(void)argument;
	if (!read_line(s, "sys/kernel/security/lockdown", "lockdown file", modes, sizeof(modes),
		       ret))
		return;
	open = strchr(modes, '[');
	close = open ? strchr(open, ']') : NULL;
	if (!close) {
		fact_set_unknown(ret, "lockdown file is malformed");
		return;
	}
	*close = '\0';
	fact_set_text(ret, open + 1);
}

void collect_hostname(struct source *s, const char *argument, struct fact *ret)
{
	char name[ZT_FACT_VALUE_MAX + 1];

	(void)argument;
	if (read_line(s, "proc/sys/kernel/hostname", "host name", name, sizeof(name), ret))
		fact_set_text(ret, name);
}

void collect_machine_serial(struct source *s, const char *argument, struct fact *ret)
{
	char serial[ZT_FACT_VALUE_MAX + 1];

	(void)argument;
	if (read_line(s, "sys/class/dmi/id/product_serial", "serial number", serial, sizeof(serial),
		      ret))
		fact_set_text(ret, serial);
}

/* "12345.67 23456.78": seconds since boot, and idle. */
void collect_uptime(struct source *s, const char *argument, struct fact *ret)
{
	char text[128];
	uint64_t seconds;

	(void)argument;
	if (!read_line(s, "proc/uptime", "uptime file", text, sizeof(text), ret))
		return;
	text[strcspn(text, ". ")] = '\0';
	if (num_parse_u64(text, 0, INT64_MAX, &seconds))
		fact_set_unknown(ret, "uptime file is malformed");
	else
		fact_set_u64(ret, seconds);
}

/* How far the clock is off by the kernel's own account: what is still to be slewed, plus the error
 * that may be left. Nothing is known of a clock that no daemon steers. */
void collect_time_offset(struct source *s, const char *argument, struct fact *ret)
{
	struct timex t = {.modes = 0};
	uint64_t us;
	int state;

	(void)argument;
	if (!s->is_machine) {
		fact_set_unknown(ret, "not this machine's clock");
		return;
	}
	state = adjtimex(&t);
	if (state < 0) {
		fact_set_error(ret, "clock", -errno);
		return;
	}
	if (state == TIME_ERROR || (t.status & STA_UNSYNC)) {
		fact_set_unknown(ret, "clock is not synchronised");
		return;
	}
	us = (uint64_t)(t.offset < 0 ? -t.offset : t.offset);
	if (t.status & STA_NANO)
		us /= 1000;
	fact_set_u64(ret, (us + 999) / 1000);
}

/* The lock belongs to a user's desktop session, which this role can neither see nor ask. */
void collect_screenlock_enabled(struct source *s, const char *argument, struct fact *ret)
{
	(void)s;
	(void)argument;
	fact_set_unknown(ret, "not supported on this machine");
}
