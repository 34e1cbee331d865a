/* Challenge, proofs from the privileged side, enrolment, answer checked and handed over. One pass;
 * any error ends it. */
#include "ztnode/net/enroll.h"

#include <errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <jansson.h>
#include <sodium.h>

#include "zt/buf.h"
#include "zt/ipc.h"
#include "zt/log.h"
#include "zt/sandbox.h"
#include "zt/token.h"
#include "zt/txt.h"
#include "ztnode/net/client.h"
#include "ztnode/net/curl.h"

enum { ANSWER_MAX = 64 << 10, PROOF_SIZE = 3 * ZT_KEY_LEN + ZT_SIG_LEN };

struct enrolling {
	struct loop *loop;
	struct ipc *ipc;
	struct client *client;
	struct token token;
	char name[ZT_NAME_MAX + 1];
	struct enrolled who; /* the answer */
	bool pending;	     /* an admin has to approve it */
};

static void fail(struct enrolling *e, int exit, const char *message, const char *hint)
{
	struct diag d;

	diag_set(&d, -ZT_EREFUSED, "%s", message);
	diag_hint(&d, "%s", hint);
	log_diag(&d);
	loop_stop(e->loop, exit);
}

/* What the controller, or something else in its place, answered instead. */
static void fail_answer(struct enrolling *e, const struct client_answer *a)
{
	json_t *j = a->err ? NULL : json_loadb(a->body, a->len, 0, NULL),
	       *error = json_object_get(j, "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));
	char text[ZT_URL_MAX + 400];

	if (a->err == -ZT_ESIG)
		fail(e, ZT_EXIT_FAILED,
		     "the server that answers is not the controller of this token",
		     "it has another key; check the address, or ask an admin for a new token");
	else if (a->err == -ZT_ELIMIT)
		fail(e, ZT_EXIT_FAILED, "the server answered with more than a controller may",
		     "is another server behind this address?");
	else if (a->err) {
		snprintf(text, sizeof(text), "cannot reach the controller at %s: %s", e->token.url,
			 a->problem);
		fail(e, ZT_EXIT_UNREACHABLE, text,
		     "check the network and that the controller runs; the token is not spent");
	} else if (message) {
		fail(e, ZT_EXIT_FAILED, message, hint ? hint : "");
	} else {
		snprintf(text, sizeof(text), "%s does not answer as a controller (status %ld)",
			 e->token.url, a->status);
		fail(e, ZT_EXIT_FAILED, text, "is another server behind this address?");
	}
	json_decref(j);
}

static bool get_key(const json_t *j, const char *name, struct key *ret)
{
	const char *s = json_string_value(json_object_get(j, name));
	size_t n = 0;

	return s && txt_base64url_decode(s, strlen(s), ret->b, sizeof(ret->b), &n) == 0 &&
	       n == sizeof(ret->b);
}

/* --- last step: the controller admitted the device --- */

static void admitted(void *arg, const struct client_answer *a)
{
	struct enrolling *e = arg;
	uint8_t mem[ENROLLED_SIZE];
	struct enrolled *who = &e->who;
	const char *name, *state;
	struct buf b;
	json_t *j;

	if (a->err || a->status != 201) {
		fail_answer(e, a);
		return;
	}
	*who = (struct enrolled){.pin = e->token.pin};
	j = json_loadb(a->body, a->len, 0, NULL);
	name = json_string_value(json_object_get(j, "name"));
	state = json_string_value(json_object_get(j, "state"));
	who->device = (uint32_t)json_integer_value(json_object_get(j, "device"));
	e->pending = state && strcmp(state, "pending") == 0;
	buf_init(&b, mem, sizeof(mem));
	if (!name || !state || !who->device || !txt_is_hostname(name) ||
	    !get_key(j, "network_key", &who->network_key) ||
	    txt_copy(who->name, sizeof(who->name), name) ||
	    txt_copy(who->url, sizeof(who->url), e->token.url) || enrolled_encode(who, &b) ||
	    ipc_send(e->ipc, NK_ENROLLED, mem, b.len))
		fail(e, ZT_EXIT_FAILED, "the controller's answer is not understood",
		     "are node and controller of the same version?");
	json_decref(j);
}

/* --- third step: with the proofs --- */

static json_t *base64(const void *p, size_t n)
{
	char text[2 * ZT_SIG_LEN];

	return txt_base64url_encode(p, n, text, sizeof(text)) ? NULL : json_string(text);
}

static void on_proof(void *arg, const void *body, size_t n)
{
	struct enrolling *e = arg;
	const uint8_t *p = body;
	struct client_call call = {.method = "POST",
				   .path = "/v1/enroll",
				   .content_type = "application/json",
				   .answer_max = ANSWER_MAX,
				   .done = admitted,
				   .arg = e};
	json_t *j;
	char *text;

	(void)n;
	j = json_pack("{s:I,s:o,s:s,s:o,s:o,s:o,s:o}", "token_id", (json_int_t)e->token.id,
		      "secret", base64(e->token.secret.b, ZT_KEY_LEN), "name", e->name,
		      "identity_key", base64(p, ZT_KEY_LEN), "wg_key",
		      base64(p + ZT_KEY_LEN, ZT_KEY_LEN), "signature",
		      base64(p + 2 * ZT_KEY_LEN, ZT_SIG_LEN), "wg_proof",
		      base64(p + 2 * ZT_KEY_LEN + ZT_SIG_LEN, ZT_KEY_LEN));
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	call.body = text;
	call.body_len = text ? strlen(text) : 0;
	if (!text || !client_start(e->client, &call))
		fail(e, ZT_EXIT_FAILED, zt_strerror(-ENOMEM), "");
	free(text);
	json_decref(j);
}

/* The privileged side has kept the answer. When it refuses it says why itself, and hangs up. */
static void on_done(void *arg, const void *body, size_t n)
{
	struct enrolling *e = arg;

	(void)body, (void)n;
	printf("enrolled as %s (device %u)%s\n", e->who.name, e->who.device,
	       e->pending ? "; an admin has to approve it: ztctl device approve" : "");
	fflush(stdout);
	loop_stop(e->loop, ZT_EXIT_OK);
}

static const struct ipc_kind kinds[] = {
	{KN_PROOF, PROOF_SIZE, PROOF_SIZE, on_proof, "proof"},
	{KN_DONE, 12, 12 + ROLE_TEXT_MAX, on_done, "done"},
	{0, 0, 0, NULL, NULL},
};

/* --- second step: the challenge --- */

static void put_network(struct buf *b, const json_t *networks, size_t i)
{
	const char *s = json_string_value(json_array_get(networks, i));

	buf_put_fixed_text(b, s && strlen(s) <= PREFIX_TEXT_MAX ? s : "", PREFIX_TEXT_MAX);
}

static void challenged(void *arg, const struct client_answer *a)
{
	struct enrolling *e = arg;
	uint8_t mem[2 * ZT_KEY_LEN + 8 + ZT_NAME_MAX + ZT_KEY_LEN + 2 * PREFIX_TEXT_MAX];
	struct key challenge, box;
	struct buf b;
	json_t *j;

	if (a->err || a->status != 200) {
		fail_answer(e, a);
		return;
	}
	j = json_loadb(a->body, a->len, 0, NULL);
	if (!get_key(j, "challenge", &challenge) || !get_key(j, "box_key", &box)) {
		struct client_answer odd = {.status = a->status, .body = "", .len = 0};

		fail_answer(e, &odd);
		json_decref(j);
		return;
	}
	buf_init(&b, mem, sizeof(mem));
	buf_put(&b, e->token.pin.b, ZT_KEY_LEN);
	buf_put(&b, challenge.b, ZT_KEY_LEN);
	buf_put(&b, box.b, ZT_KEY_LEN);
	buf_put_u64(&b, e->token.id);
	buf_put_fixed_text(&b, e->name, ZT_NAME_MAX);
	put_network(&b, json_object_get(j, "networks"), 0);
	put_network(&b, json_object_get(j, "networks"), 1);
	if (b.err || ipc_send(e->ipc, NK_SIGN_ENROLL, mem, b.len))
		fail(e, ZT_EXIT_FAILED, "the controller's answer is not understood", "");
	json_decref(j);
}

/* --- first step --- */

static void parent_gone(void *arg)
{
	struct enrolling *e = arg;

	loop_stop(e->loop, ZT_EXIT_FAILED);
}

static int choose_name(const char *name, char out[static ZT_NAME_MAX + 1])
{
	char host[256] = "";

	if (!name[0] && gethostname(host, sizeof(host) - 1) < 0)
		host[0] = 0;
	if (name[0] && !txt_is_hostname(name)) {
		struct diag d;

		diag_set(&d, -ZT_EFORM, "\"%s\" cannot be a device's name", name);
		diag_hint(&d, "lower case letters, digits and '-', at most 63, as in a host name");
		log_diag(&d);
		return ZT_EXIT_USAGE;
	}
	txt_to_hostname(name[0] ? name : host, out, ZT_NAME_MAX + 1);
	return ZT_EXIT_OK;
}

static int begin(struct enrolling *e, int channel)
{
	struct client_call call = {.method = "GET",
				   .path = "/v1/challenge",
				   .answer_max = ANSWER_MAX,
				   .done = challenged,
				   .arg = e};

	e->loop = loop_new();
	e->ipc = e->loop ? ipc_new(e->loop, channel, kinds, parent_gone, e) : NULL;
	e->client = e->ipc ? client_new(e->loop, e->token.url, &e->token.pin) : NULL;
	return e->client && client_start(e->client, &call) ? 0 : -ENOMEM;
}

int enroll_talk(const struct node_config *c, int channel, const char *token, const char *name)
{
	struct enrolling e = {0};
	struct diag d = {0};
	int status = ZT_EXIT_FAILED, err;

	prctl(PR_SET_NAME, "ztnode-enroll");
	err = sandbox_become_user(c->user);
	if (!err)
		err = sandbox_filter_calls(true);
	if (err)
		diag_set(&d, err, "cannot become the user \"%s\": %s", c->user, zt_strerror(err));
	else
		err = token_decode(token, TOKEN_ENROLL, &e.token, &d);
	if (err) {
		log_diag(&d);
		return ZT_EXIT_FAILED;
	}
	status = choose_name(name, e.name);
	if (status)
		return status;
	if (!curl_load(&d) || begin(&e, channel))
		fail(&e, ZT_EXIT_FAILED, d.message[0] ? d.message : zt_strerror(-ENOMEM), d.hint);
	else
		status = loop_run(e.loop);
	client_free(e.client);
	ipc_free(e.ipc);
	loop_free(e.loop);
	secret_wipe(&e.token.secret);
	return status;
}
