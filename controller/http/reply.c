/* Answers, and the one table from our error codes to statuses and words. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/http/internal.h"
#include "zt/log.h"
#include "zt/txt.h"

static const struct code {
	int err, status;
	const char *word;
} codes[] = {
	{ZT_EFORM, MHD_HTTP_BAD_REQUEST, "form"},
	{ERANGE, MHD_HTTP_BAD_REQUEST, "form"},
	{ZT_EVERSION, MHD_HTTP_BAD_REQUEST, "form"},
	{ZT_ESIG, MHD_HTTP_UNAUTHORIZED, "login"},
	{ZT_ETOKEN, MHD_HTTP_FORBIDDEN, "token"},
	{ZT_EREFUSED, MHD_HTTP_FORBIDDEN, "refused"},
	{ZT_EABSENT, MHD_HTTP_NOT_FOUND, "absent"},
	{ZT_EEXISTS, MHD_HTTP_CONFLICT, "exists"},
	{ZT_ESTATE, MHD_HTTP_CONFLICT, "state"},
	{ZT_ELIMIT, MHD_HTTP_CONTENT_TOO_LARGE, "limit"},
	{ENOSPC, MHD_HTTP_INSUFFICIENT_STORAGE, "full"},
	{EBUSY, MHD_HTTP_SERVICE_UNAVAILABLE, "busy"},
};

const char *http_code_of(int err, int *ret_status)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].err != abs(err))
			continue;
		*ret_status = codes[i].status;
		return codes[i].word;
	}
	*ret_status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	return "internal";
}

/* Takes response; NULL is "out of memory" and ends the connection. */
static void answer(struct http_request *r, int status, struct MHD_Response *response,
		   const char *type, size_t n)
{
	if (response && r->conn) {
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
		r->server->stats.bytes_out += n;
		http_conn_deadline(r->conn, n);
	}
	http_answer(r, status, response);
}

void http_reply_json(struct http_request *r, int status, json_t *body)
{
	struct MHD_Response *response = NULL;
	char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	size_t n = text ? strlen(text) : 0;

	json_decref(body);
	if (text)
		response = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	answer(r, status, response, "application/json", n);
}

void http_reply_text(struct http_request *r, int status, const char *type, const void *p, size_t n)
{
	/* The library only reads when it is told to copy. */
	struct MHD_Response *response =
		MHD_create_response_from_buffer(n, (void *)p, MHD_RESPMEM_MUST_COPY);

	answer(r, status, response, type, n);
}

void http_reply_error(struct http_request *r, int status, const char *code, const char *message,
		      const char *hint)
{
	char safe_message[sizeof(((struct diag *)0)->message)],
		safe_hint[sizeof(((struct diag *)0)->hint)];

	txt_safe(message ? message : "", safe_message, sizeof(safe_message));
	txt_safe(hint ? hint : "", safe_hint, sizeof(safe_hint));
	http_reply_json(r, status,
			json_pack("{s:{s:s, s:s, s:s}}", "error", "code", code, "message",
				  safe_message, "hint", safe_hint));
}

void http_reply_diag(struct http_request *r, int err, const struct diag *d)
{
	int status;
	const char *word = http_code_of(err, &status);
	const char *message = d && d->message[0] ? d->message : zt_strerror(err);

	if (status != MHD_HTTP_INTERNAL_SERVER_ERROR) {
		http_reply_error(r, status, word, message, d ? d->hint : "");
		return;
	}
	/* What went wrong inside is for our log, not for whoever asks. */
	log_error("%s %s: %s", r->route ? r->route->method : "?", r->route ? r->route->path : "?",
		  message);
	http_reply_error(r, status, word, "the controller failed; its log says why", "");
}
