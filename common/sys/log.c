/* Log lines to stderr; priorities as sd-daemon(3) when the journal reads (JOURNAL_STREAM is set).
 */
#include "zt/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "zt/txt.h"

enum { LINE_MAX_BYTES = 1024 };

static struct {
	const char *program;
	enum log_level max;
	bool journal;
} log_state = {"zt", LOG_LEVEL_INFO, false};

void log_init(const char *program, enum log_level max)
{
	log_state.program = program;
	log_state.max = max;
	log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

static void write_line(enum log_level level, const char *text)
{
	char safe[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 64];
	int n;

	txt_safe(text, safe, sizeof(safe));
	if (log_state.journal)
		n = snprintf(line, sizeof(line), "<%d>%s\n", (int)level, safe);
	else
		n = snprintf(line, sizeof(line), "%s: %s\n", log_state.program, safe);
	/* One write a line, so that lines of two processes do not mix; nothing to do when stderr is
	 * gone. */
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	if (level > log_state.max)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	write_line(level, text);
}

void log_diag(const struct diag *d)
{
	char text[LINE_MAX_BYTES], hint[sizeof(d->hint) + 8];

	diag_print(d, text, sizeof(text));
	write_line(LOG_LEVEL_ERROR, text);
	if (!d->hint[0])
		return;
	txt_safe(d->hint, hint, sizeof(hint));
	dprintf(STDERR_FILENO, log_state.journal ? "<3>hint: %s\n" : "hint: %s\n", hint);
}
