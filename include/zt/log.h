/* Log lines to stderr with journal priorities ("<6>...") when a journal reads, else plain. Text is
 * made safe. */
#pragma once

#include "zt/err.h"

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

void log_init(const char *program, enum log_level max);
void log_at(enum log_level level, const char *fmt, ...) ZT_PRINTF(2, 3);
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
/* One line and a hint, as every program ends on an error: "ztnode: message\nhint: ..." */
void log_diag(const struct diag *d);
