/* Error texts and diagnostics. A diagnostic's texts are made safe when they are set, so whoever
 * shows one (terminal, log, JSON, HTML) never meets a control character or broken UTF-8 in it. */
#include "zt/err.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "zt/txt.h"

static const char *own_text(enum zt_err err)
{
	switch (err) {
	case ZT_EFORM:
		return "malformed";
	case ZT_ELIMIT:
		return "over a limit";
	case ZT_EVERSION:
		return "of a newer version than this program";
	case ZT_ESIG:
		return "signature does not verify";
	case ZT_EDEVICE:
		return "made for another device";
	case ZT_ESERIAL:
		return "older than what is known";
	case ZT_ECHAIN:
		return "does not continue what is known";
	case ZT_ELEASE:
		return "the lease is over";
	case ZT_ECLOCK:
		return "this machine's clock is too far off";
	case ZT_ETOKEN:
		return "token unknown, used, expired or revoked";
	case ZT_EREFUSED:
		return "refused";
	case ZT_EEXISTS:
		return "exists already";
	case ZT_EABSENT:
		return "no such thing";
	case ZT_ESTATE:
		return "not possible in this state";
	case ZT_ECORRUPT:
		return "stored data is damaged";
	case ZT_EUNREACH:
		return "the other side cannot be reached";
	}
	return NULL;
}

/* strerror() depends on the locale and is not for threads; these are the ones we meet. */
static const struct {
	int err;
	const char *text;
} errno_texts[] = {
	{EPERM, "operation not permitted"},
	{ENOENT, "no such file or directory"},
	{ESRCH, "no such process"},
	{EINTR, "interrupted"},
	{EIO, "input/output error"},
	{ENXIO, "no such device or address"},
	{E2BIG, "argument list too long"},
	{ENOEXEC, "not an executable"},
	{EBADF, "bad file descriptor"},
	{ECHILD, "no child process"},
	{EAGAIN, "try again"},
	{ENOMEM, "out of memory"},
	{EACCES, "permission denied"},
	{EFAULT, "bad address"},
	{EBUSY, "busy"},
	{EEXIST, "file exists"},
	{EXDEV, "on another file system"},
	{ENODEV, "no such device"},
	{ENOTDIR, "not a directory"},
	{EISDIR, "is a directory"},
	{EINVAL, "invalid argument"},
	{ENFILE, "too many open files in the system"},
	{EMFILE, "too many open files"},
	{EFBIG, "file too large"},
	{ENOSPC, "no space left on the device"},
	{EROFS, "read-only file system"},
	{EPIPE, "broken pipe"},
	{EDOM, "outside the domain"},
	{ERANGE, "out of range"},
	{EDEADLK, "would deadlock"},
	{ENAMETOOLONG, "file name too long"},
	{ENOSYS, "not known to this kernel"},
	{ENOTEMPTY, "directory not empty"},
	{ELOOP, "is a symbolic link"},
	{ENODATA, "no data"},
	{EPROTO, "protocol error"},
	{EBADMSG, "bad message"},
	{EOVERFLOW, "value too large"},
	{EMSGSIZE, "message too long"},
	{EPROTONOSUPPORT, "protocol not supported"},
	{EOPNOTSUPP, "not supported"},
	{EAFNOSUPPORT, "address family not supported"},
	{EADDRINUSE, "address in use"},
	{EADDRNOTAVAIL, "address not available"},
	{ENETDOWN, "network is down"},
	{ENETUNREACH, "network is unreachable"},
	{ECONNABORTED, "connection aborted"},
	{ECONNRESET, "connection reset"},
	{ENOBUFS, "no buffer space"},
	{EISCONN, "already connected"},
	{ENOTCONN, "not connected"},
	{ETIMEDOUT, "timed out"},
	{ECONNREFUSED, "connection refused"},
	{EHOSTUNREACH, "no route to host"},
	{EALREADY, "already in progress"},
	{EINPROGRESS, "in progress"},
	{ECANCELED, "canceled"},
};

const char *zt_strerror(int err)
{
	const char *own;

	if (err == 0)
		return "no error";
	if (err == INT_MIN)
		return "unknown error";
	if (err < 0)
		err = -err;
	if (err >= ZT_EFORM) {
		own = own_text((enum zt_err)err);
		return own ? own : "unknown error";
	}
	for (size_t i = 0; i < sizeof(errno_texts) / sizeof(errno_texts[0]); i++)
		if (errno_texts[i].err == err)
			return errno_texts[i].text;
	return "unknown error";
}

/* By way of a copy, because an argument may be the text that is replaced. */
static void set_text(char *out, size_t size, const char *fmt, va_list ap) ZT_PRINTF(3, 0);
static void set_text(char *out, size_t size, const char *fmt, va_list ap)
{
	char text[512];

	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	txt_safe(text, out, size);
}

int diag_set(struct diag *d, int err, const char *fmt, ...)
{
	va_list ap;

	if (!d)
		return err;
	va_start(ap, fmt);
	set_text(d->message, sizeof(d->message), fmt, ap);
	va_end(ap);
	d->file[0] = '\0';
	d->line = 0;
	d->column = 0;
	d->hint[0] = '\0';
	return err;
}

void diag_hint(struct diag *d, const char *fmt, ...)
{
	va_list ap;

	if (!d)
		return;
	va_start(ap, fmt);
	set_text(d->hint, sizeof(d->hint), fmt, ap);
	va_end(ap);
}

void diag_print(const struct diag *d, char *out, size_t size)
{
	char place[sizeof(d->file) + 24] = "";
	char text[sizeof(place) + sizeof(d->message)];
	bool named = d->file[0] != '\0';

	if (d->line && d->column)
		snprintf(place, sizeof(place), "%s%s%u:%u: ", d->file, named ? ":" : "", d->line,
			 d->column);
	else if (d->line)
		snprintf(place, sizeof(place), "%s%s%u: ", d->file, named ? ":" : "", d->line);
	else if (named)
		snprintf(place, sizeof(place), "%s: ", d->file);
	snprintf(text, sizeof(text), "%s%s", place, d->message);
	txt_safe(text, out, size);
}
