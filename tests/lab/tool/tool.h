/* What the lab tests need and no packaged program does quickly: one static program, because a fork
 * and exec costs 28 ms in the lab kernel. Failures of the lab itself end it with status 125. */
#pragma once

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { EXIT_LAB = 125 };

/* Subcommands: argv[0] is the subcommand's name; the exit status comes back. */
int serve_main(int argc, char **argv);
int probe_main(int argc, char **argv);
int pairs_main(int argc, char **argv);
int hold_main(int argc, char **argv);
int nodes_main(int argc, char **argv);
int on_main(int argc, char **argv);

/* Says what went wrong, with errno's text, and ends with EXIT_LAB. */
_Noreturn void tool_die(const char *what);
_Noreturn void tool_usage(void);
int64_t tool_now_us(int clock);
/* 0..max, else ends with usage. */
unsigned tool_number(const char *text, unsigned max);
/* "80" or "1-1024". */
void tool_port_range(const char *text, uint16_t *ret_lo, uint16_t *ret_hi);

struct tool_addr {
	struct sockaddr_storage sa;
	socklen_t len;
};
/* A numeric address; ends with usage when it is not one. */
struct tool_addr tool_address(const char *host, uint16_t port);

/* Sockets that are made from now on are of this machine's (DIR/NAME) network. */
void tool_enter_network(const char *machine);
