/* The device's own files below the state directory, 0600: who it is, its two private keys, the
 * serial of the newest map that was ever in force, the last good map, and whether it was taken down
 * by hand. Missing trust is an error with a hint, never a first start; a map alone may be missing,
 * because the serial refuses older ones without it (docs/enforcement.md). */
#pragma once

#include "ztnode/core/accept.h"
#include "ztnode/roles.h"

struct node_state {
	int dir;
	struct enrolled who; /* device 0: not enrolled */
	uint64_t serial;     /* of the newest map that was ever in force; 0: none yet */
	bool serial_kept;    /* on disk, too */
	struct secret identity, wg;
	struct key identity_pub, wg_pub;
};

/* Directory must exist unless make. -ZT_EABSENT: not enrolled (*ret usable for enrolling when
 * make). */
int state_open(const char *path, bool make, struct node_state *ret, struct diag *d) ZT_MUST_USE;
/* One daemon or enrolment a directory, until *ret_fd is closed. -EWOULDBLOCK with a hint. */
int state_lock(const char *path, bool make, int *ret_fd, struct diag *d) ZT_MUST_USE;
void state_close(struct node_state *s); /* wipes */
/* New keys from the system's generator, into files. Those of a half-done enrolment go: a controller
 * that admitted them, and whose answer was lost, takes them from nobody again. */
int state_make_keys(struct node_state *s, struct diag *d) ZT_MUST_USE;
/* With a serial of 0; the device's own file last, so that an enrolment is whole or not there. */
int state_save_enrolled(struct node_state *s, const struct enrolled *e, struct diag *d) ZT_MUST_USE;
/* Before a map of that serial is put in force. When neither place nor disk takes it, the file is
 * removed, so that a start fails closed until it was kept again; d says so. s->serial is set. */
int state_save_serial(struct node_state *s, uint64_t serial, struct diag *d) ZT_MUST_USE;
int state_save_map(struct node_state *s, const struct mapstate *m, struct now now,
		   struct diag *d) ZT_MUST_USE;
int state_drop_map(struct node_state *s) ZT_MUST_USE;
/* -ENOENT: none yet, or lost. Others as mapfile_decode. */
int state_load_map(struct node_state *s, struct now now, struct mapstate *ret,
		   struct diag *d) ZT_MUST_USE;
/* Marks that only root can make: the command line leaves its word here, because what reaches the
 * privileged role comes through the talking one, which may have been taken over. */
enum state_mark { STATE_DOWN, STATE_LEAVING };
bool state_has_mark(const struct node_state *s, enum state_mark m);
int state_set_mark(struct node_state *s, enum state_mark m, bool on) ZT_MUST_USE;
/* The same for a directory, opened and closed here. */
int state_mark(const char *path, enum state_mark m, bool on, struct diag *d) ZT_MUST_USE;
int state_forget(struct node_state *s) ZT_MUST_USE; /* remove everything of the enrolment */
void state_trust(const struct node_state *s, struct trust *ret);
