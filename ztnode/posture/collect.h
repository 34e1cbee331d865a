/* One-shot layer: reads one fact once. A table says for each fact which function reads it, and how
 * a change is noticed. The functions stand one file per source; none keeps anything between calls.
 */
#pragma once

#include "zt/report.h"
#include "ztnode/posture/source.h"

/* Sets state and value of *ret; ret->name is the caller's. argument: what follows the ':' of the
 * fact's name, "" when it takes none. */
typedef void (*collect_fn)(struct source *s, const char *argument, struct fact *ret);

enum collect_kind {
	COLLECT_PLAIN,
	COLLECT_MOVING, /* changes with every second: read when asked for, never news */
	COLLECT_HASH,	/* long: posture.c does it in slices (hash.h) */
	COLLECT_CUSTOM, /* given by the scripts of custom.h */
};

enum { COLLECT_PATHS_MAX = 4 };

struct collector {
	const char *name; /* without its argument: "process.running" */
	bool takes_argument;
	enum collect_kind kind;
	collect_fn read;
	uint32_t poll_s; /* read again after; 0: 30 when a path cannot be watched, else only the
			    full round */
	uint32_t gap_ms; /* least time between two readings, however often a path changes; 0: 100 */
	/* Files that it depends on, watched with inotify; '%' stands for the argument. */
	const char *paths[COLLECT_PATHS_MAX];
};

/* Of a full fact name; NULL when there is no such fact here. */
const struct collector *collector_find(const char *name);
/* What follows the ':' (of custom facts, the '.') in the name of a fact of c, else "". Borrowed. */
const char *collect_argument(const struct collector *c, const char *name);
const struct collector *collector_at(size_t i); /* the table in order; NULL past its end */

/* Reads the fact called ret->name. */
void collect_read(struct source *s, struct fact *ret);

/* os_release.c */
void collect_os_id(struct source *s, const char *argument, struct fact *ret);
void collect_os_version(struct source *s, const char *argument, struct fact *ret);
/* machine.c */
void collect_os_family(struct source *s, const char *argument, struct fact *ret);
void collect_kernel_version(struct source *s, const char *argument, struct fact *ret);
void collect_kernel_lockdown(struct source *s, const char *argument, struct fact *ret);
void collect_hostname(struct source *s, const char *argument, struct fact *ret);
void collect_machine_serial(struct source *s, const char *argument, struct fact *ret);
void collect_uptime(struct source *s, const char *argument, struct fact *ret);
void collect_time_offset(struct source *s, const char *argument, struct fact *ret);
void collect_node_version(struct source *s, const char *argument, struct fact *ret);
void collect_screenlock_enabled(struct source *s, const char *argument, struct fact *ret);
/* disk.c */
void collect_disk_encrypted(struct source *s, const char *argument, struct fact *ret);
/* firmware.c */
void collect_secureboot_enabled(struct source *s, const char *argument, struct fact *ret);
void collect_tpm_present(struct source *s, const char *argument, struct fact *ret);
/* update.c */
void collect_os_update_age(struct source *s, const char *argument, struct fact *ret);
void collect_os_reboot_needed(struct source *s, const char *argument, struct fact *ret);
/* package.c */
void collect_package_version(struct source *s, const char *argument, struct fact *ret);
/* service.c */
void collect_service_active(struct source *s, const char *argument, struct fact *ret);
int service_is_active(const struct source *s, const char *name) ZT_MUST_USE; /* 1, 0, -errno */
/* firewall.c */
void collect_firewall_enabled(struct source *s, const char *argument, struct fact *ret);
/* process.c */
void collect_process_running(struct source *s, const char *argument, struct fact *ret);
/* file.c */
void collect_file_exists(struct source *s, const char *argument, struct fact *ret);
void collect_file_sha256(struct source *s, const char *argument, struct fact *ret);
