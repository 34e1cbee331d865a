/* Event loop: epoll, timers, signals, in about 250 lines. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "zt/clock.h"
#include "zt/err.h"

struct loop;
struct loop_io;
struct loop_timer;

typedef void (*loop_io_fn)(void *arg, uint32_t events); /* EPOLLIN ... */
typedef void (*loop_timer_fn)(void *arg);
typedef void (*loop_signal_fn)(void *arg, int signo);

struct loop *loop_new(void); /* NULL: errno */
void loop_free(struct loop *l);
int loop_run(struct loop *l); /* until loop_stop; returns its status */
void loop_stop(struct loop *l, int status);
struct now loop_now(const struct loop *l); /* sampled when the turn began */

/* Watch fd (borrowed). Freeing inside its own callback is allowed. */
struct loop_io *loop_io_new(struct loop *l, int fd, uint32_t events, loop_io_fn fn, void *arg);
void loop_io_set(struct loop_io *io, uint32_t events);
void loop_io_free(struct loop_io *io); /* NULL is fine; does not close fd */

/* A timer is armed by set and disarmed when it fires, or by at_ms < 0. CLOCK_BOOTTIME milliseconds.
 */
struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn fn, void *arg);
void loop_timer_set(struct loop_timer *t, int64_t at_boot_ms);
bool loop_timer_is_set(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

/* Blocks the signal and has it delivered here (signalfd). */
int loop_signal(struct loop *l, int signo, loop_signal_fn fn, void *arg) ZT_MUST_USE;
/* Called at the end of every turn, after all events (coalesced work). */
void loop_after(struct loop *l, void (*fn)(void *arg), void *arg);
