/* Words for states and kinds, as they stand in JSON, in the change log and on screens: they never
 * change. */
#include "controller/model/change.h"

static const char *const device_states[] = {
	[DEVICE_PENDING] = "pending",
	[DEVICE_ACTIVE] = "active",
	[DEVICE_REVOKED] = "revoked",
	[DEVICE_EXPIRED] = "expired",
};

static const char *const trial_states[] = {
	[TRIAL_NONE] = "",
	[TRIAL_OPEN] = "open",
	[TRIAL_CONFIRMED] = "confirmed",
	[TRIAL_PROMOTED] = "promoted",
	[TRIAL_ABORTED] = "aborted",
};

static const char *const change_kinds[] = {
	[CHANGE_TOKEN_CREATE] = "token.create",
	[CHANGE_TOKEN_REVOKE] = "token.revoke",
	[CHANGE_DEVICE_ENROLL] = "device.enroll",
	[CHANGE_DEVICE_STATE] = "device.state",
	[CHANGE_DEVICE_TAGS] = "device.tags",
	[CHANGE_DEVICE_KEY] = "device.key",
	[CHANGE_USER_PUT] = "user.put",
	[CHANGE_POLICY_PUT] = "policy.put",
	[CHANGE_POLICY_CONFIRM] = "policy.confirm",
	[CHANGE_POLICY_PROMOTE] = "policy.promote",
	[CHANGE_POLICY_ABORT] = "policy.abort",
	[CHANGE_POLICY_REVIEW] = "policy.review",
	[CHANGE_POSTURE] = "posture",
	[CHANGE_REFUSED] = "refused",
};

const char *device_state_name(enum device_state s)
{
	if ((size_t)s >= sizeof(device_states) / sizeof(device_states[0]))
		return "unknown";
	return device_states[s];
}

const char *trial_state_name(enum trial_state s)
{
	if ((size_t)s >= sizeof(trial_states) / sizeof(trial_states[0]))
		return "unknown";
	return trial_states[s];
}

const char *change_kind_name(enum change_kind k)
{
	if ((size_t)k >= sizeof(change_kinds) / sizeof(change_kinds[0]))
		return "unknown";
	return change_kinds[k];
}
