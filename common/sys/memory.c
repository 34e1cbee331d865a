/* A resident set holds every library page that start-up touched, for ever. proc(5) smaps says which
 * mappings are clean: read-only ones without a single anonymous (written, relocated) page. Only
 * these are dropped (madvise(2)). */
#include "zt/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "zt/txt.h"

struct mapping {
	uintptr_t start, end;
	bool clean_file; /* of a file, and not writable */
};

/* "55d0c0-55d0c4 r-xp 00001000 fd:00 1234   /usr/lib/x" */
static bool parse_head(const char *line, struct mapping *m)
{
	char *p;

	m->start = (uintptr_t)strtoull(line, &p, 16);
	if (*p != '-')
		return false;
	m->end = (uintptr_t)strtoull(p + 1, &p, 16);
	if (p[0] != ' ' || strlen(p) < 6)
		return false;
	m->clean_file = p[2] != 'w' && p[4] == 'p' && strchr(p, '/');
	return true;
}

void memory_trim(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	struct mapping m = {0};
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (line[0] >= 'A' && line[0] <= 'Z') {
			if (m.clean_file && txt_starts(line, "Anonymous:") &&
			    strtoull(line + strlen("Anonymous:"), NULL, 10) == 0)
				madvise((void *)m.start, m.end - m.start, MADV_DONTNEED);
		} else if (!parse_head(line, &m)) {
			m.clean_file = false;
		}
	}
	if (f)
		fclose(f);
	malloc_trim(0);
}
