/* A preloaded library: netlink refuses what the file $REFUSE_NETLINK names, as long as it does, in
 * the place of a kernel that cannot or will not. One line, KIND ERROR:
 *
 *     write EPERM     changes of nftables are not taken
 *     spoil -         they are spoilt on their way, so that the kernel itself refuses all of them
 *     filter ENOBUFS  nothing of nftables is, not even questions
 *     link EPERM      nobody makes or changes an interface */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

enum { FDS_MAX = 1024, NO_MESSAGE = 0xee, COPY_MAX = 16 << 20 };

static int bus[FDS_MAX]; /* netlink family + 1 of a descriptor */

int socket(int domain, int type, int protocol)
{
	int fd = (int)syscall(SYS_socket, domain, type, protocol);

	if (fd >= 0 && fd < FDS_MAX)
		bus[fd] = domain == AF_NETLINK ? protocol + 1 : 0;
	return fd;
}

static bool read_wish(char kind[static 16], char error[static 16])
{
	const char *path = getenv("REFUSE_NETLINK");
	char text[64] = "";
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	return n > 0 && sscanf(text, "%15s %15s", kind, error) == 2;
}

static int error_of(const char *name)
{
	static const struct {
		const char *name;
		int err;
	} errors[] = {{"EPERM", EPERM}, {"ENOBUFS", ENOBUFS}, {"EOPNOTSUPP", EOPNOTSUPP}};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].err;
	return EINVAL;
}

/* The message after the opening bracket is one that nftables does not know. */
static ssize_t send_spoilt(int fd, const void *data, size_t n, int flags, const struct sockaddr *to,
			   socklen_t len)
{
	uint8_t *copy = n <= COPY_MAX ? malloc(n) : NULL;
	struct nlmsghdr *first = (struct nlmsghdr *)copy, *second;
	ssize_t sent;

	if (!copy) {
		errno = ENOMEM;
		return -1;
	}
	memcpy(copy, data, n);
	second = (struct nlmsghdr *)(copy + NLMSG_ALIGN(first->nlmsg_len));
	second->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NO_MESSAGE;
	sent = syscall(SYS_sendto, fd, copy, n, flags, to, len);
	free(copy);
	return sent;
}

static bool is_refused(const char *kind, int family, const struct nlmsghdr *nlh)
{
	if (family == NETLINK_NETFILTER)
		return strcmp(kind, "filter") == 0 ||
		       (strcmp(kind, "write") == 0 && nlh->nlmsg_type == NFNL_MSG_BATCH_BEGIN);
	return family == NETLINK_ROUTE && strcmp(kind, "link") == 0 &&
	       nlh->nlmsg_type == RTM_NEWLINK;
}

ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to,
	       socklen_t len)
{
	int family = fd >= 0 && fd < FDS_MAX ? bus[fd] - 1 : -1;
	const struct nlmsghdr *nlh = data;
	char kind[16], error[16];

	if (family < 0 || n < sizeof(*nlh) || !read_wish(kind, error))
		return syscall(SYS_sendto, fd, data, n, flags, to, len);
	if (is_refused(kind, family, nlh)) {
		errno = error_of(error);
		return -1;
	}
	if (strcmp(kind, "spoil") == 0 && family == NETLINK_NETFILTER &&
	    nlh->nlmsg_type == NFNL_MSG_BATCH_BEGIN)
		return send_spoilt(fd, data, n, flags, to, len);
	return syscall(SYS_sendto, fd, data, n, flags, to, len);
}
