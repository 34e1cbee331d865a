/* The two clocks. Sampled once a loop turn; pure code gets a struct now. */
#pragma once

#include <stdint.h>

struct now {
	int64_t wall_ms; /* CLOCK_REALTIME, Unix milliseconds */
	int64_t boot_ms; /* CLOCK_BOOTTIME: goes on in sleep, never jumps */
};

struct now clock_now(void);
