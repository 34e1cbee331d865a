/* What is said of a FROM or TO of explain that is not there: which of the two, and what may have
 * been meant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/txt.h"
#include "controller/api/api.h"

enum {
	CANDIDATES_MAX = 1000, /* more would take longer than it helps */
	TEXT_SHOWN = 128,
};

static size_t device_names(const struct model *m, const char **out, size_t n)
{
	for (size_t i = 0; i < m->n_devices && n < CANDIDATES_MAX; i++)
		if (m->devices[i] && m->devices[i]->row.state != DEVICE_REVOKED)
			out[n++] = m->devices[i]->row.name;
	return n;
}

static size_t user_names(const struct model *m, const char **out, size_t n)
{
	for (size_t i = 0; i < m->n_users && n < CANDIDATES_MAX; i++)
		out[n++] = m->users[i].email;
	for (size_t i = 0; i < m->n_devices && n < CANDIDATES_MAX; i++)
		if (m->devices[i] && m->devices[i]->row.owner[0])
			out[n++] = m->devices[i]->row.owner;
	return n;
}

static size_t resource_names(const struct model *m, const char **out, size_t n)
{
	const struct policy *p = m->force.policy;

	for (size_t i = 0; p && i < p->n_resources && n < CANDIDATES_MAX; i++)
		out[n++] = p->resources[i].name;
	return n;
}

static const char *bare(const char *text)
{
	static const char *const prefixes[] = {"user:", "device:", "resource:"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (txt_starts(text, prefixes[i]))
			return text + strlen(prefixes[i]);
	return text;
}

/* As a message may hold it: bytes that are no text for people are shown as such, long ones cut. */
static const char *shown(const char *text, char out[static TEXT_SHOWN])
{
	txt_safe(text, out, TEXT_SHOWN);
	return out;
}

static void reply(struct http_request *r, const char *message, const char *near,
		  const char *otherwise)
{
	char hint[ZT_EMAIL_MAX + 32];

	snprintf(hint, sizeof(hint), "did you mean %s?", near ? near : "");
	http_reply_error(r, 404, "absent", message, near ? hint : otherwise);
}

void api_reply_absent(struct app *a, struct http_request *r, bool is_to, const char *text)
{
	const struct model *m = app_model(a);
	const char **names = calloc(CANDIDATES_MAX, sizeof(*names)), *near = NULL;
	char message[TEXT_SHOWN + 64], name[TEXT_SHOWN];
	bool device = txt_starts(text, "device:");
	size_t n = 0;

	text = bare(text);
	if (names) {
		if (!device)
			n = is_to ? resource_names(m, names, n) : user_names(m, names, n);
		n = device_names(m, names, n);
		near = txt_nearest(text, names, n);
	}
	if (!is_to && model_user(m, text)) {
		snprintf(message, sizeof(message), "FROM: user %s has no device",
			 shown(text, name));
		reply(r, message, NULL, "ztctl token create --user makes a token to enrol one");
	} else if (is_to && near && txt_equal(near, text)) {
		snprintf(message, sizeof(message), "TO: no device offers resource \"%s\" now",
			 shown(text, name));
		reply(r, message, NULL,
		      "its on has no active device yet; ztctl device list shows their tags");
	} else {
		snprintf(message, sizeof(message), "%s \"%s\"",
			 is_to ? "TO: there is no device, resource or address"
			       : "FROM: there is no device or user",
			 shown(text, name));
		reply(r, message, near,
		      is_to ? "ztctl device list shows devices, ztctl policy get the resources"
			    : "ztctl device list and ztctl user list show them");
	}
	free(names);
}

bool api_refuse_many(struct http_request *r, const char *text)
{
	char message[TEXT_SHOWN + 64], name[TEXT_SHOWN];

	if (!txt_starts(text, "tag:") && !txt_starts(text, "group:") && !txt_equal(text, "anyone"))
		return false;
	snprintf(message, sizeof(message),
		 "explain is about one device or user now, and %s is many", shown(text, name));
	http_reply_error(r, 400, "form", message,
			 "ztctl policy can FROM TO [PROTO/PORT] asks about all of them");
	return true;
}
