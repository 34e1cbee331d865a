/* file.exists:PATH and file.sha256:PATH: of what the path leads to, links followed. */
#include <errno.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "ztnode/posture/hash.h"

void collect_file_exists(struct source *s, const char *argument, struct fact *ret)
{
	if (argument[0] != '/')
		fact_set_unknown(ret, "not an absolute path");
	else
		fact_set_answer(ret, "file", source_exists(s, argument));
}

/* All slices at once. */
static int hash_file(const struct source *s, const char *path, char ret[static HASH_TEXT_MAX])
{
	struct hash h;
	int r = hash_init(&h, s, path);

	if (r == 0)
		do
			r = hash_step(&h, ret);
		while (r == 1);
	hash_done(&h);
	return r;
}

void collect_file_sha256(struct source *s, const char *argument, struct fact *ret)
{
	char hex[HASH_TEXT_MAX] = "";

	hash_set_fact(ret, hash_file(s, argument, hex), hex);
}
