/* API handlers: decode a request, one call into app, encode the answer. No sockets, no SQL. The
 * route table says who may call what; docs/api.md has the bodies. */
#pragma once

#include "controller/app.h"

extern const struct http_route api_routes[]; /* ends with method NULL */

/* --- handlers, by noun --- */
void api_challenge(void *app, struct http_request *r);
void api_enroll(void *app, struct http_request *r);
void api_session(void *app, struct http_request *r);
void api_report(void *app, struct http_request *r);
void api_stream(void *app, struct http_request *r);
void api_why(void *app, struct http_request *r);
void api_leave(void *app, struct http_request *r);

void api_status(void *app, struct http_request *r);
void api_routes_list(void *app, struct http_request *r);
void api_token_list(void *app, struct http_request *r);
void api_token_create(void *app, struct http_request *r);
void api_token_revoke(void *app, struct http_request *r);
void api_device_list(void *app, struct http_request *r);
void api_device_show(void *app, struct http_request *r);
void api_device_approve(void *app, struct http_request *r);
void api_device_revoke(void *app, struct http_request *r);
void api_device_expire(void *app, struct http_request *r);
void api_device_tags(void *app, struct http_request *r);
void api_user_list(void *app, struct http_request *r);
void api_user_put(void *app, struct http_request *r);
void api_policy_get(void *app, struct http_request *r);
void api_policy_put(void *app, struct http_request *r);
void api_policy_check(void *app, struct http_request *r);
void api_policy_preview(void *app, struct http_request *r);
void api_policy_restore(void *app, struct http_request *r);
void api_policy_confirm(void *app, struct http_request *r);
void api_policy_promote(void *app, struct http_request *r);
void api_policy_abort(void *app, struct http_request *r);
void api_policy_log(void *app, struct http_request *r);
void api_policy_can(void *app, struct http_request *r);
void api_explain(void *app, struct http_request *r);
void api_access(void *app, struct http_request *r);
void api_audit_list(void *app, struct http_request *r);
void api_audit_verify(void *app, struct http_request *r);

/* --- shared by handlers --- */
/* The body as a JSON object; answers 400 and gives NULL when it is not one. The caller's reference.
 */
json_t *api_body(struct http_request *r);
/* A text member, or "" when absent; NULL (answered) when it is of another type or longer than max.
 */
const char *api_text(struct http_request *r, json_t *body, const char *name, size_t max);
/* actor, source and time of a change made by this request; why from the text (refused with 400 when
 * it is no line). */
bool api_begin_change(struct app *a, struct http_request *r, enum change_kind kind, const char *why,
		      struct change *ret);
struct device *api_find_device(struct app *a,
			       struct http_request *r); /* {dev}; NULL: answered 404 */
struct device *api_device_at(const struct model *m,
			     const struct addr *want); /* overlay address; or NULL */
json_t *api_device_json(struct app *a, const struct device *d);
json_t *api_end_json(const struct device *d); /* id, name, owner; null for NULL */
/* 422 with every mistake of a policy. */
void api_refuse_policy(struct http_request *r, const struct diag *d, const struct diag *problems,
		       size_t n, size_t dropped);
/* Put a policy, unless it would cut the way on which the request came, through the overlay (409);
 * force=1 puts it all the same. c is copied, with its text. */
void api_put_guarded(struct app *a, struct http_request *r, const struct change *c,
		     app_policy_then then);
json_t *api_explanation_json(const struct explanation *x, bool with_nearest);
/* Better: allowed, then one that names a rule, then the fewer failed conditions. */
bool api_explanation_is_better(const struct explanation *x, const struct explanation *best,
			       bool first);
json_t *api_time(int64_t s); /* RFC 3339 string; null for 0 */
/* By an overlay address, but not a revoked one; NULL: none. */
struct device *api_find_address(const struct model *m, const char *text);
/* 404: a FROM (is_to: TO) of explain that is not there, with what may have been meant. */
void api_reply_absent(struct app *a, struct http_request *r, bool is_to, const char *text);
/* Is it a tag, a group or anyone, which explain knows nothing of? Then that is answered. */
bool api_refuse_many(struct http_request *r, const char *text);
/* Explain from one device to a destination text (device id, name, overlay address, resource). */
int api_explain_to(struct app *a, const struct device *from, const char *to,
		   const struct service *svc, bool own_only, struct arena *arena,
		   struct explanation *ret, struct device **ret_dst) ZT_MUST_USE;
