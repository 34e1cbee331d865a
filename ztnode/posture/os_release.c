/* os.id and os.version from os-release(5): NAME=value lines with the shell's quoting. */
#include <errno.h>
#include <string.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "zt/txt.h"

enum value_state { VALUE_ABSENT, VALUE_FOUND, VALUE_MALFORMED };

struct field {
	const char *key;
	enum value_state state;
	char value[ZT_FACT_VALUE_MAX + 1];
};

static bool is_escaped(const char *p, char quote)
{
	if (*p != '\\' || !p[1] || quote == '\'')
		return false;
	return !quote || strchr("\\\"$`", p[1]);
}

/* One word of the shell's, without substitutions. */
static int unquote(const char *p, char *out, size_t size)
{
	char quote = *p == '"' || *p == '\'' ? *p++ : '\0';
	size_t n = 0;

	for (; *p && *p != quote; p++) {
		if (!quote && strchr(" \t;&|<>()$`\"'", *p))
			break;
		if (is_escaped(p, quote))
			p++;
		if (n + 1 == size)
			return -ZT_ELIMIT;
		out[n++] = *p;
	}
	out[n] = '\0';
	if (quote && *p++ != quote)
		return -ZT_EFORM;
	p += strspn(p, " \t");
	return *p ? -ZT_EFORM : 0;
}

/* As in the shell, the last assignment stands. */
static int take_line(void *arg, char *line)
{
	struct field *f = arg;
	size_t n = strlen(f->key);

	if (!line || strncmp(line, f->key, n) != 0 || line[n] != '=')
		return 0;
	f->state =
		unquote(line + n + 1, f->value, sizeof(f->value)) ? VALUE_MALFORMED : VALUE_FOUND;
	return 0;
}

static int read_field(const struct source *s, struct field *f)
{
	int r = source_each_line(s, "etc/os-release", SOURCE_FILE_MAX, take_line, f);

	if (r == -ENOENT)
		r = source_each_line(s, "usr/lib/os-release", SOURCE_FILE_MAX, take_line, f);
	return r;
}

static void collect_field(struct source *s, const char *key, const char *absent, struct fact *ret)
{
	struct field f = {.key = key};
	int r = read_field(s, &f);

	if (r < 0)
		fact_set_error(ret, "os-release", r);
	else if (f.state == VALUE_ABSENT)
		fact_set_unknown(ret, absent);
	else if (f.state == VALUE_MALFORMED)
		fact_set_unknown(ret, "os-release is malformed");
	else
		fact_set_text(ret, f.value);
}

void collect_os_id(struct source *s, const char *argument, struct fact *ret)
{
	(void)argument;
	collect_field(s, "ID", "os-release has no ID", ret);
}

void collect_os_version(struct source *s, const char *argument, struct fact *ret)
{
	(void)argument;
	collect_field(s, "VERSION_ID", "rolling release: no VERSION_ID", ret);
}
