/* Time zones of this machine. Files of the zone data are links to each other, so links are
 * followed, but none that leads out of its directory. */
#include "controller/zones.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	FILE_MAX = 1 << 20,
	ZONE_MEMORY_MAX = 1 << 20, /* ten times what the greatest one takes */
	NAMES_MEMORY_MAX = 1 << 20,
	NAMES_MAX = 4096,
	OPEN_TRIES = 10
};

struct entry {
	struct entry *next;
	struct arena arena;
	const struct tz *zone;
};

struct zones {
	int dir; /* -1: there is none */
	pthread_mutex_t lock;
	struct entry *entries;
	struct arena names_arena;
	const char **names;
	size_t n_names;
	bool names_read;
};

struct zones *zones_new(const char *dir)
{
	struct zones *z = calloc(1, sizeof(*z));

	if (!z)
		return NULL;
	z->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	pthread_mutex_init(&z->lock, NULL);
	arena_init(&z->names_arena, NAMES_MEMORY_MAX);
	return z;
}

static void entry_free(struct entry *e)
{
	arena_done(&e->arena);
	free(e);
}

void zones_free(struct zones *z)
{
	struct entry *next;

	if (!z)
		return;
	for (struct entry *e = z->entries; e; e = next) {
		next = e->next;
		entry_free(e);
	}
	if (z->dir >= 0)
		close(z->dir);
	pthread_mutex_destroy(&z->lock);
	arena_done(&z->names_arena);
	free(z);
}

/* --- files --- */

static int open_below(int dir, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd, tries = 0;

	/* EAGAIN: something was renamed meanwhile, and ".." could not be judged (openat2(2)) */
	do
		fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN && tries++ < OPEN_TRIES);
	return fd < 0 ? -errno : fd;
}

static int read_all(int fd, char *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = read(fd, p + done, n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -ZT_ECORRUPT; /* shorter than fstat said */
		done += (size_t)r;
	}
	return 0;
}

static int read_open(int fd, char **ret, size_t *ret_n)
{
	struct stat st;
	char *p;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ZT_ECORRUPT;
	if (st.st_size > FILE_MAX)
		return -ZT_ELIMIT;
	p = malloc((size_t)st.st_size + 1);
	if (!p)
		return -ENOMEM;
	err = read_all(fd, p, (size_t)st.st_size);
	if (err) {
		free(p);
		return err;
	}
	p[st.st_size] = '\0';
	*ret = p;
	*ret_n = (size_t)st.st_size;
	return 0;
}

/* *ret is the caller's, with a NUL behind it. */
static int read_file(struct zones *z, const char *name, char **ret, size_t *ret_n)
{
	int fd = open_below(z->dir, name), err;

	if (fd < 0)
		return fd;
	err = read_open(fd, ret, ret_n);
	close(fd);
	return err;
}

/* --- zones --- */

static const struct tz *find_entry(const struct zones *z, const char *name)
{
	for (const struct entry *e = z->entries; e; e = e->next)
		if (strcmp(tz_name(e->zone), name) == 0)
			return e->zone;
	return NULL;
}

static int entry_new(const char *name, const char *data, size_t n, struct entry **ret)
{
	struct entry *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	arena_init(&e->arena, ZONE_MEMORY_MAX);
	err = tz_decode(data, n, name, &e->arena, &e->zone);
	if (err) {
		entry_free(e);
		return err;
	}
	*ret = e;
	return 0;
}

static int load(struct zones *z, const char *name, const struct tz **ret)
{
	struct entry *e;
	char *data;
	size_t n;
	int err = read_file(z, name, &data, &n);

	if (err)
		return err;
	err = entry_new(name, data, n, &e);
	free(data);
	if (err)
		return err;
	e->next = z->entries;
	z->entries = e;
	*ret = e->zone;
	return 0;
}

/* NULL: there is no such zone. A link that leads out of the directory is none, nor is a directory
 * of zones ("America"). */
static const char *reason_of(int err)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
	case ELOOP:
	case EXDEV:
		return NULL;
	case ZT_EFORM:
	case ZT_ECORRUPT:
	case ZT_ELIMIT:
		return "is a time zone whose file on the controller is damaged";
	default:
		return "is a time zone that the controller cannot read";
	}
}

static const struct tz *get(struct zones *z, const char *name, const char **ret_reason)
{
	const struct tz *zone = find_entry(z, name);
	int err;

	if (zone)
		return zone;
	err = load(z, name, &zone);
	if (err)
		*ret_reason = reason_of(err);
	return zone;
}

const struct tz *zones_get(void *zones, const char *name, const char **ret_reason)
{
	struct zones *z = zones;
	const struct tz *zone = NULL;

	*ret_reason = NULL;
	if (strcmp(name, "UTC") == 0)
		return tz_utc();
	if (!tz_name_is_valid(name))
		return NULL;
	if (z->dir < 0) {
		*ret_reason = "cannot be looked up, for the controller has no time zones";
		return NULL;
	}
	pthread_mutex_lock(&z->lock);
	zone = get(z, name, ret_reason);
	pthread_mutex_unlock(&z->lock);
	return zone;
}

/* --- names --- */

static void add_name(struct zones *z, const char *name)
{
	char *copy;

	if (!name || !tz_name_is_valid(name) || z->n_names == NAMES_MAX)
		return;
	copy = arena_text(&z->names_arena, name, strlen(name));
	if (copy)
		z->names[z->n_names++] = copy;
}

/* "Z NAME ..." and "L TARGET NAME" (zic(8)); field from 0. */
static char *field(char *line, const char *between, int number)
{
	char *at = NULL;
	char *word = strtok_r(line, between, &at);

	while (word && number-- > 0)
		word = strtok_r(NULL, between, &at);
	return word;
}

static void name_of_source(struct zones *z, char *line)
{
	if (line[0] == 'Z' && line[1] == ' ')
		add_name(z, field(line, " ", 1));
	else if (line[0] == 'L' && line[1] == ' ')
		add_name(z, field(line, " ", 2));
}

/* "COUNTRY\tCOORDINATES\tNAME[\tCOMMENT]" */
static void name_of_table(struct zones *z, char *line)
{
	if (line[0] != '#')
		add_name(z, field(line, "\t", 2));
}

static void read_names(struct zones *z)
{
	static const struct {
		const char *file;
		void (*read_line)(struct zones *, char *);
	} lists[] = {
		{"tzdata.zi", name_of_source}, /* all */
		{"zone.tab", name_of_table},   /* a few for each country */
		{"zone1970.tab", name_of_table},
	};
	char *data, *rest, *line;
	size_t n;

	z->names = arena_array(&z->names_arena, NAMES_MAX, sizeof(*z->names));
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && z->names && !z->n_names; i++) {
		if (read_file(z, lists[i].file, &data, &n))
			continue;
		for (rest = data; (line = strsep(&rest, "\n"));)
			lists[i].read_line(z, line);
		free(data);
	}
}

const char *const *zones_names(void *zones, size_t *ret_n)
{
	struct zones *z = zones;

	pthread_mutex_lock(&z->lock);
	if (!z->names_read && z->dir >= 0)
		read_names(z);
	z->names_read = true;
	*ret_n = z->n_names;
	pthread_mutex_unlock(&z->lock);
	return z->names;
}
