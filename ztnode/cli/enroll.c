/* ztnode enroll: the privileged side. Makes the keys, gives proofs of them, keeps the answer. What
 * comes from the token or the network is read by a child without rights (net/enroll.c); it gets
 * here in records of exact size. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zt/buf.h"
#include "zt/cur.h"
#include "zt/ipc.h"
#include "zt/log.h"
#include "zt/token.h"
#include "ztnode/cli/cli.h"
#include "ztnode/kern/enforce.h"
#include "ztnode/net/enroll.h"

enum {
	REQUEST_SIZE = 3 * ZT_KEY_LEN + 8 + ZT_NAME_MAX + 2 * PREFIX_TEXT_MAX,
	SIGNED_MAX = 4 * ZT_KEY_LEN + 8 + ZT_NAME_MAX,
	PROOF_SIZE = 3 * ZT_KEY_LEN + ZT_SIG_LEN,
};

struct enroller {
	const struct node_config *config;
	struct loop *loop;
	struct ipc *ipc;
	struct node_state state;
	struct token token;    /* what it says is what the answer must be of */
	struct prefix nets[2]; /* of the request that the proof was for */
	int lock;
	bool proved; /* new keys are in files, and the child has proofs of them */
	bool kept;
};

struct request {
	struct key pin, challenge, box;
	uint64_t token_id;
	char name[ZT_NAME_MAX + 1];
	struct prefix nets[2];
};

static int decode_request(const void *p, size_t n, struct request *r)
{
	struct cur c;

	cur_init(&c, p, n);
	cur_copy(&c, r->pin.b, ZT_KEY_LEN);
	cur_copy(&c, r->challenge.b, ZT_KEY_LEN);
	cur_copy(&c, r->box.b, ZT_KEY_LEN);
	r->token_id = cur_u64(&c);
	cur_fixed_text(&c, r->name, ZT_NAME_MAX);
	for (size_t i = 0; i < 2; i++) {
		char text[PREFIX_TEXT_MAX + 1];

		cur_fixed_text(&c, text, PREFIX_TEXT_MAX);
		if (text[0] &&
		    (prefix_parse(text, &r->nets[i]) || !prefix_is_overlay(&r->nets[i]) ||
		     r->nets[i].addr.family != (i ? ADDR_V6 : ADDR_V4)))
			cur_fail(&c);
	}
	return cur_done(&c);
}

/* Before the token is spent: a range that cannot work here is refused. Without rights or a kernel
 * for it that is left to `ztnode run`. */
static int check_ranges(const struct enroller *e, const struct request *r, struct diag *d)
{
	struct kernel *k;
	struct diag unused;
	int err;

	if (kernel_open(e->config->interface, &k, &unused))
		return 0;
	err = enforce_check_overlap(k, r->nets, 2, d);
	kernel_close(k);
	return err;
}

static int make_proof(const struct enroller *e, const struct request *r,
		      uint8_t out[static PROOF_SIZE])
{
	uint8_t text[SIGNED_MAX];
	struct key wg_proof;
	struct sig sig;
	struct buf b, o;
	int err;

	buf_init(&b, text, sizeof(text));
	buf_put(&b, r->pin.b, ZT_KEY_LEN);
	buf_put(&b, r->challenge.b, ZT_KEY_LEN);
	err = key_prove(&e->state.wg, &r->box, "zt-wg-proof-1", text, b.len, &wg_proof);
	buf_put_u64(&b, r->token_id);
	buf_put(&b, e->state.identity_pub.b, ZT_KEY_LEN);
	buf_put(&b, e->state.wg_pub.b, ZT_KEY_LEN);
	buf_put_text(&b, r->name);
	if (!err)
		err = b.err;
	if (err)
		return err;
	key_sign(&e->state.identity, "zt-enroll-1", text, b.len, &sig);
	buf_init(&o, out, PROOF_SIZE);
	buf_put(&o, e->state.identity_pub.b, ZT_KEY_LEN);
	buf_put(&o, e->state.wg_pub.b, ZT_KEY_LEN);
	buf_put(&o, sig.b, ZT_SIG_LEN);
	buf_put(&o, wg_proof.b, ZT_KEY_LEN);
	return o.err;
}

static void stop_with(struct enroller *e, int err, struct diag *d)
{
	if (!d->message[0])
		diag_set(d, err, "cannot enrol: %s", zt_strerror(err));
	log_diag(d);
	loop_stop(e->loop, ZT_EXIT_FAILED);
}

static void on_request(void *arg, const void *body, size_t n)
{
	struct enroller *e = arg;
	uint8_t proof[PROOF_SIZE];
	struct request r = {0};
	struct diag d = {0};
	int err = decode_request(body, n, &r);

	if (!err && (!key_equal(&r.pin, &e->token.pin) || r.token_id != e->token.id))
		err = -ZT_EREFUSED;
	if (!err)
		err = check_ranges(e, &r, &d);
	if (!err)
		err = state_make_keys(&e->state, &d);
	memcpy(e->nets, r.nets, sizeof(e->nets));
	if (!err)
		err = make_proof(e, &r, proof);
	if (!err)
		err = ipc_send(e->ipc, KN_PROOF, proof, sizeof(proof));
	if (err)
		stop_with(e, err, &d);
	else
		e->proved = true;
}

/* The child gets its answer from the network and may have been taken over: who the controller is,
 * and whose signature netmaps bear, the token alone says. */
static int check_answer(const struct enroller *e, const struct enrolled *who, struct diag *d)
{
	const char *url = e->token.url;

	if (!e->proved || e->kept)
		return diag_set(d, -ZT_EREFUSED, "an answer came out of turn: it is not kept");
	if (!key_equal(&who->pin, &e->token.pin) || strcmp(who->url, url) != 0) {
		diag_set(d, -ZT_EREFUSED, "the answer is of another controller than the token's");
		diag_hint(d, "nothing was kept; tell an admin");
		return -ZT_EREFUSED;
	}
	if (!key_equal(&who->network_key, &e->token.network)) {
		diag_set(d, -ZT_EREFUSED, "the answer names another network key than the token");
		diag_hint(d, "nothing was kept; tell an admin, who may have to make a new token");
		return -ZT_EREFUSED;
	}
	return 0;
}

static void on_enrolled(void *arg, const void *body, size_t n)
{
	struct enroller *e = arg;
	uint8_t done[12] = {0};
	struct enrolled who;
	struct diag d = {0};
	int err = enrolled_decode(body, n, &who);

	if (!err)
		err = check_answer(e, &who, &d);
	memcpy(who.nets, e->nets, sizeof(who.nets));
	if (!err)
		err = state_save_enrolled(&e->state, &who, &d);
	if (!err)
		err = ipc_send(e->ipc, KN_DONE, done, sizeof(done));
	if (err) {
		stop_with(e, err, &d);
		return;
	}
	e->kept = true;
}

static const struct ipc_kind kinds[] = {
	{NK_SIGN_ENROLL, REQUEST_SIZE, REQUEST_SIZE, on_request, "request"},
	{NK_ENROLLED, ENROLLED_SIZE, ENROLLED_SIZE, on_enrolled, "enrolled"},
	{0, 0, 0, NULL, NULL},
};

static void child_gone(void *arg)
{
	struct enroller *e = arg;

	loop_stop(e->loop, ZT_EXIT_OK);
}

/* -ZT_EABSENT is what is wanted here: not enrolled yet. */
static int open_state(struct enroller *e, struct diag *d)
{
	int err = state_open(e->config->state_dir, true, &e->state, d);

	if (err == -ZT_EABSENT)
		return 0;
	if (!err) {
		diag_set(d, -EEXIST, "this device is enrolled already, as %s", e->state.who.name);
		diag_hint(d, "ztnode leave first, or choose another --state");
		return -EEXIST;
	}
	return err;
}

static int serve_child(struct enroller *e, int channel)
{
	e->loop = loop_new();
	e->ipc = e->loop ? ipc_new(e->loop, channel, kinds, child_gone, e) : NULL;
	return e->ipc ? loop_run(e->loop) : ZT_EXIT_FAILED;
}

static int enroll(struct enroller *e, const char *token, const char *name, enroll_talk_fn talk)
{
	struct diag d = {0};
	int pair[2], status, child_status = 0;
	pid_t child;

	/* The token is the user's own word, not the network's; its decoder is a length check, a
	 * hash and copies. */
	if (token_decode(token, TOKEN_ENROLL, &e->token, &d) ||
	    state_lock(e->config->state_dir, true, &e->lock, &d) || open_state(e, &d) ||
	    (ipc_pair(pair) && diag_set(&d, -errno, "%s", zt_strerror(errno)))) {
		log_diag(&d);
		return ZT_EXIT_FAILED;
	}
	child = fork(); /* before there are keys in memory */
	if (child == 0) {
		close(pair[0]);
		close(e->state.dir);
		_exit(talk(e->config, pair[1], token, name));
	}
	close(pair[1]);
	status = child < 0 ? ZT_EXIT_FAILED : serve_child(e, pair[0]);
	ipc_free(e->ipc); /* a child that still waits ends */
	loop_free(e->loop);
	if (e->proved && !e->kept && state_forget(&e->state))
		log_warn("the keys of this enrolment stay in %s", e->config->state_dir);
	if (child > 0 && waitpid(child, &child_status, 0) == child && WIFEXITED(child_status) &&
	    !status)
		status = WEXITSTATUS(child_status);
	return e->kept ? ZT_EXIT_OK : status ? status : ZT_EXIT_FAILED;
}

int enroll_with(const struct node_config *c, const char *token, const char *name,
		enroll_talk_fn talk)
{
	struct enroller e = {.config = c, .state.dir = -1, .lock = -1};
	int status = enroll(&e, token, name, talk);

	state_close(&e.state);
	secret_wipe(&e.token.secret);
	if (e.lock >= 0)
		close(e.lock);
	return status;
}

int cmd_enroll(const struct node_config *c, int argc, char **argv)
{
	const char *token, *name = "";
	const struct arg_option options[] = {{"--name", &name, NULL}};
	struct diag d = {0};

	if (args_parse(argc, argv, options, 1, &token, 1, 1, &d))
		return args_usage(argv[0], &d);
	return enroll_with(c, token, name, enroll_talk);
}
