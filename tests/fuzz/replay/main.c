/* Runs a fuzz target without a fuzzer, for `make check`: over every file named, or in a directory
 * named, and over changes of each that are the same on every run. Prints how many inputs there
 * were.
 *
 *   NAME_fuzz [-n ROUNDS] FILE|DIRECTORY... */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A target need not have one. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { ROUNDS_DEFAULT = 2000, EDITS_MAX = 4, INSERT_MAX = 64, FILE_MAX = 16 << 20 };

struct replay {
	unsigned long rounds; /* changes of each file */
	unsigned long inputs; /* so far */
	uint64_t random;
};

/* xorshift64* (Vigna 2016). */
static size_t rnd(struct replay *r, size_t below)
{
	r->random ^= r->random >> 12;
	r->random ^= r->random << 25;
	r->random ^= r->random >> 27;
	return (size_t)((r->random * 0x2545f4914f6cdd1d) >> 20) % below;
}

static void die(const char *what)
{
	fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* In a block of exactly its size, so that reading past it is seen by a sanitizer. */
static void run(struct replay *r, const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		die("out of memory");
	memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
	r->inputs++;
}

enum edit { EDIT_BIT, EDIT_BYTE, EDIT_CUT, EDIT_DELETE, EDIT_INSERT, EDIT_REPEAT, EDIT_COUNT };

static size_t delete_bytes(struct replay *r, uint8_t *p, size_t n)
{
	size_t at = rnd(r, n), k = 1 + rnd(r, n - at);

	memmove(p + at, p + at + k, n - at - k);
	return n - k;
}

/* k bytes, at random or of what stands there. p has room. */
static size_t insert_bytes(struct replay *r, uint8_t *p, size_t n, bool repeat)
{
	size_t at = rnd(r, n), k = 1 + rnd(r, INSERT_MAX);

	if (k > n - at)
		k = n - at;
	memmove(p + at + k, p + at, n - at);
	for (size_t i = 0; i < k && !repeat; i++)
		p[at + i] = (uint8_t)rnd(r, 256);
	return n + k;
}

/* One edit of n > 0 bytes; gives the new number. */
static size_t edit(struct replay *r, uint8_t *p, size_t n)
{
	static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, '\n'};

	switch ((enum edit)rnd(r, EDIT_COUNT)) {
	case EDIT_BIT:
		p[rnd(r, n)] ^= (uint8_t)(1 << rnd(r, 8));
		return n;
	case EDIT_BYTE:
		p[rnd(r, n)] = odd[rnd(r, sizeof(odd))];
		return n;
	case EDIT_CUT:
		return rnd(r, n);
	case EDIT_DELETE:
		return delete_bytes(r, p, n);
	case EDIT_INSERT:
		return insert_bytes(r, p, n, false);
	case EDIT_REPEAT:
		return insert_bytes(r, p, n, true);
	case EDIT_COUNT:
		break;
	}
	return n;
}

static void run_changed(struct replay *r, const uint8_t *p, size_t n)
{
	uint8_t *changed = malloc(n + EDITS_MAX * INSERT_MAX);

	if (!changed)
		die("out of memory");
	for (unsigned long i = 0; i < r->rounds && n > 0; i++) {
		size_t edits = 1 + rnd(r, EDITS_MAX), len = n;

		memcpy(changed, p, n);
		while (edits-- > 0 && len > 0)
			len = edit(r, changed, len);
		run(r, changed, len);
	}
	free(changed);
}

static void replay_file(struct replay *r, const char *path, size_t size)
{
	FILE *f = fopen(path, "rbe");
	uint8_t *p = malloc(size ? size : 1);

	if (!f || !p)
		die(path);
	if (fread(p, 1, size, f) != size)
		die(path);
	fclose(f);
	run(r, p, size);
	/* From the same number for each file, so that one more file does not change the others. */
	r->random = 0x9e3779b97f4a7c15 ^ size;
	run_changed(r, p, size);
	free(p);
}

static void replay_path(struct replay *r, const char *path);

static int is_shown(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void replay_directory(struct replay *r, const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, is_shown, alphasort);

	if (n < 0)
		die(path);
	for (int i = 0; i < n; i++) {
		char *child;

		if (asprintf(&child, "%s/%s", path, names[i]->d_name) < 0)
			die("out of memory");
		replay_path(r, child);
		free(child);
		free(names[i]);
	}
	free(names);
}

static void replay_path(struct replay *r, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		die(path);
	if (S_ISDIR(st.st_mode)) {
		replay_directory(r, path);
	} else if (st.st_size > FILE_MAX) {
		errno = EFBIG;
		die(path);
	} else {
		replay_file(r, path, (size_t)st.st_size);
	}
}

int main(int argc, char **argv)
{
	struct replay r = {.rounds = ROUNDS_DEFAULT};
	int option;

	while ((option = getopt(argc, argv, "n:")) != -1) {
		if (option != 'n') {
			fprintf(stderr, "usage: %s [-n ROUNDS] FILE|DIRECTORY...\n", argv[0]);
			return 2;
		}
		r.rounds = strtoul(optarg, NULL, 10);
	}
	if (LLVMFuzzerInitialize && LLVMFuzzerInitialize(&argc, &argv))
		return 1;
	for (int i = optind; i < argc; i++)
		replay_path(&r, argv[i]);
	printf("%lu inputs\n", r.inputs);
	/* No seeds is no test. */
	return r.inputs > 0 ? 0 : 1;
}
