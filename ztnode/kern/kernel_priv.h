/* The kernel object from the inside: shared by kernel.c (open, read), exec.c (write), watch.c and
 * firewall.c. */
#pragma once

#include "ztnode/kern/kernel.h"
#include "ztnode/kern/nft.h"
#include "ztnode/kern/nl.h"

struct kernel_watch;

struct kernel {
	char ifname[KSTATE_IFNAME_MAX + 1];
	char table[NFT_TABLE_NAME_MAX];
	struct nl *route, *generic, *filter; /* one socket for each family */
	uint16_t wg_family;
	int ifindex; /* of our interface as last seen or made; 0: none */

	/* Digest of the table as we wrote it last; not known: the table is somebody's, or was
	 * meddled with while we wrote. */
	bool digest_known;
	struct key digest;

	uint16_t port_refused; /* listen port whose refusal was logged; 0: none */
	bool no_ipv6;	       /* that this machine has none was logged */
	struct kernel_watch *watch;
};

/* What to tell a person about an error of the kernel's; a hint where there is something to be done.
 * Returns err. */
int kernel_explain(struct diag *d, int err, const char *what, const char *reason);
void kernel_watch_free(struct kernel_watch *w); /* NULL is fine */
