/* The route table: every endpoint there is, and who may call it. */
#include "controller/api/api.h"

enum { SMALL = 4 << 10, MEDIUM = 64 << 10 };
enum { ANY_DEVICE = HTTP_DEVICE | HTTP_DEVICE_PENDING };

const struct http_route api_routes[] = {
	{"GET", "/v1/challenge", HTTP_NOBODY, 0, HTTP_RATE_LOGIN, api_challenge,
	 "a challenge to sign on this connection"},
	{"POST", "/v1/enroll", HTTP_NOBODY, SMALL, HTTP_RATE_ENROLL, api_enroll,
	 "spend a token, admit a device"},
	{"POST", "/v1/session", HTTP_NOBODY, SMALL, HTTP_RATE_LOGIN, api_session,
	 "open a device session"},
	{"POST", "/v1/report", ANY_DEVICE, ZT_REPORT_MAX, HTTP_RATE_DEVICE, api_report,
	 "posture and endpoints"},
	{"GET", "/v1/stream", ANY_DEVICE, 0, HTTP_RATE_DEVICE, api_stream,
	 "the device's netmaps, as they change"},
	{"GET", "/v1/why", HTTP_DEVICE, 0, HTTP_RATE_DEVICE, api_why,
	 "may this device reach that, and why not"},
	{"POST", "/v1/leave", ANY_DEVICE, SMALL, HTTP_RATE_DEVICE, api_leave,
	 "the device gives up its enrolment"},

	{"GET", "/v1/admin/status", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_status,
	 "the controller in numbers"},
	{"GET", "/v1/admin/routes", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_routes_list, "this table"},
	{"GET", "/v1/admin/tokens", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_token_list, "all tokens"},
	{"POST", "/v1/admin/tokens", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN, api_token_create,
	 "make a token"},
	{"POST", "/v1/admin/tokens/{id}/revoke", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN,
	 api_token_revoke, "end a token"},
	{"GET", "/v1/admin/devices", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_device_list,
	 "all devices"},
	{"GET", "/v1/admin/devices/{dev}", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_device_show,
	 "one device, whole"},
	{"POST", "/v1/admin/devices/{dev}/approve", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN,
	 api_device_approve, "let a pending or expired device in"},
	{"POST", "/v1/admin/devices/{dev}/revoke", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN,
	 api_device_revoke, "end a device for ever"},
	{"POST", "/v1/admin/devices/{dev}/expire", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN,
	 api_device_expire, "end a device until it is approved again"},
	{"POST", "/v1/admin/devices/{dev}/tags", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN,
	 api_device_tags, "add and remove tags"},
	{"GET", "/v1/admin/users", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_user_list, "all users"},
	{"PUT", "/v1/admin/users/{email}", HTTP_ADMIN, MEDIUM, HTTP_RATE_ADMIN, api_user_put,
	 "add a user, set groups"},
	{"GET", "/v1/admin/policy", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_policy_get,
	 "a version of the policy"},
	{"PUT", "/v1/admin/policy", HTTP_ADMIN, ZT_POLICY_MAX, HTTP_RATE_ADMIN, api_policy_put,
	 "put a policy in force"},
	{"POST", "/v1/admin/policy/check", HTTP_ADMIN, ZT_POLICY_MAX, HTTP_RATE_ADMIN,
	 api_policy_check, "check a policy"},
	{"POST", "/v1/admin/policy/preview", HTTP_ADMIN, ZT_POLICY_MAX, HTTP_RATE_ADMIN,
	 api_policy_preview, "what a policy would change"},
	{"POST", "/v1/admin/policy/restore", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN, api_policy_restore,
	 "put an old version in force again"},
	{"POST", "/v1/admin/policy/confirm", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN, api_policy_confirm,
	 "keep a policy that would go back by itself"},
	{"POST", "/v1/admin/policy/promote", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN, api_policy_promote,
	 "put the canary in force"},
	{"POST", "/v1/admin/policy/abort", HTTP_ADMIN, SMALL, HTTP_RATE_ADMIN, api_policy_abort,
	 "end the canary"},
	{"GET", "/v1/admin/policy/log", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_policy_log,
	 "versions of the policy"},
	{"GET", "/v1/admin/policy/can", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_policy_can,
	 "may this ever open that, and how"},
	{"GET", "/v1/admin/explain", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_explain,
	 "may this reach that, and why"},
	{"GET", "/v1/admin/access", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_access,
	 "what this can reach, or who can reach that"},
	{"GET", "/v1/admin/audit", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_audit_list, "the audit log"},
	{"GET", "/v1/admin/audit/verify", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, api_audit_verify,
	 "prove the audit log whole"},
	{0},
};

static const struct {
	unsigned bit;
	const char *name;
} callers[] = {{HTTP_NOBODY, "nobody"},
	       {HTTP_DEVICE, "device"},
	       {HTTP_DEVICE_PENDING, "pending"},
	       {HTTP_ADMIN, "admin"}};

void api_routes_list(void *app, struct http_request *r)
{
	json_t *list = json_array();

	(void)app;
	for (const struct http_route *t = api_routes; t->method; t++) {
		json_t *who = json_array();

		for (size_t i = 0; i < sizeof(callers) / sizeof(callers[0]); i++)
			if (t->who & callers[i].bit)
				json_array_append_new(who, json_string(callers[i].name));
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:o,s:s}", "method", t->method, "path",
						t->path, "who", who, "help", t->help));
	}
	http_reply_json(r, 200, list);
}
