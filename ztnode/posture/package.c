/* package.version:NAME from dpkg's status file: paragraphs of "Field: value" lines with an empty
 * line between. Other package managers keep theirs in databases that are not read here: unknown. */
#include <errno.h>
#include <string.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "zt/txt.h"

struct search {
	const char *name;
	bool is_package;   /* the paragraph is of the package looked for */
	bool is_installed; /* the paragraph says so */
	bool is_cut;	   /* its version could not be read */
	char version[ZT_FACT_VALUE_MAX + 1];
};

static void paragraph_begin(struct search *q)
{
	q->is_package = false;
	q->is_installed = false;
	q->is_cut = false;
	q->version[0] = '\0';
}

static bool paragraph_matches(const struct search *q)
{
	return q->is_package && q->is_installed && (q->version[0] || q->is_cut);
}

/* The value of the field when the line is one, else NULL. */
static const char *field_value(const char *line, const char *field)
{
	size_t n = strlen(field);

	if (strncmp(line, field, n) != 0 || line[n] != ':')
		return NULL;
	line += n + 1;
	return line + strspn(line, " \t");
}

/* "install ok installed": what is wanted, errors, what is. A package that is only half there has no
 * version. */
static bool is_installed(const char *status)
{
	const char *last = strrchr(status, ' ');

	return last && txt_equal(last + 1, "installed");
}

static int take_line(void *arg, char *line)
{
	struct search *q = arg;
	const char *v;

	if (!line) /* too long: never one of the fields looked at */
		return 0;
	if (!*line) {
		if (paragraph_matches(q))
			return 1;
		paragraph_begin(q);
	} else if ((v = field_value(line, "Package")))
		q->is_package = txt_equal(v, q->name);
	else if (!q->is_package)
		return 0;
	else if ((v = field_value(line, "Status")))
		q->is_installed = is_installed(v);
	else if ((v = field_value(line, "Version")))
		q->is_cut = txt_copy(q->version, sizeof(q->version), v) != 0;
	return 0;
}

/* "1:9.2p1-2": the epoch orders renumbered packages and is no part of what people call the version.
 */
static const char *without_epoch(const char *version)
{
	size_t n = strspn(version, "0123456789");

	return n && version[n] == ':' ? version + n + 1 : version;
}

void collect_package_version(struct source *s, const char *argument, struct fact *ret)
{
	struct search q = {.name = argument};
	int r = source_each_line(s, "var/lib/dpkg/status", SOURCE_BIG_MAX, take_line, &q);

	if (r == -ENOENT)
		fact_set_unknown(ret, "no package list that can be read");
	else if (r < 0)
		fact_set_error(ret, "package list", r);
	else if (!paragraph_matches(&q))
		fact_set_unknown(ret, "not installed");
	else if (q.is_cut)
		fact_set_unknown(ret, "too long");
	else
		fact_set_text(ret, without_epoch(q.version));
}
