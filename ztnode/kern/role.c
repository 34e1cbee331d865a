/* The privileged role: answers the talking role's fixed messages, keeps the keys, enforces. No
 * socket but netlink and the channel; keeps CAP_NET_ADMIN alone. */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "zt/cur.h"
#include "zt/ipc.h"
#include "zt/log.h"
#include "zt/memory.h"
#include "zt/sandbox.h"
#include "ztnode/kern/enforce.h"
#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"

enum { REFUSALS_TOLD = 10, REFUSALS_MS = 60000 };

struct kern {
	struct loop *loop;
	struct ipc *ipc;
	struct node_state state;
	struct enforce *enforce;
	int64_t refusals_since_ms;
	unsigned refusals; /* of netmaps, since then */
};

static void send_message(struct kern *k, enum role_message kind, const void *p, size_t n)
{
	/* A full queue means the other side hangs: both are started anew. */
	if (ipc_send(k->ipc, kind, p, n)) {
		log_error("the talking role does not read");
		loop_stop(k->loop, ZT_EXIT_FAILED);
	}
}

static void send_done(struct kern *k, enum role_message kind, int err, const struct diag *d,
		      uint64_t serial)
{
	uint8_t mem[16 + ROLE_TEXT_MAX];
	char text[ROLE_TEXT_MAX] = "";
	struct buf b;

	if (err && d->message[0])
		snprintf(text, sizeof(text), "%s%s%s", d->message, d->hint[0] ? "\n" : "", d->hint);
	else if (err)
		snprintf(text, sizeof(text), "%s", zt_strerror(err));
	buf_init(&b, mem, sizeof(mem));
	buf_put_u32(&b, (uint32_t)err);
	buf_put_u64(&b, serial);
	buf_put_text(&b, text);
	send_message(k, kind, mem, b.len);
}

/* --- messages of the talking role --- */

enum { SESSION_TEXT = ZT_KEY_LEN + ZT_KEY_LEN + 4 };

/* pin || challenge || device: worth nothing on another controller or a second time. */
static void on_sign_session(void *arg, const void *body, size_t n)
{
	struct kern *k = arg;
	uint8_t text[SESSION_TEXT];
	struct sig sig;
	struct buf b;

	buf_init(&b, text, sizeof(text));
	buf_put(&b, k->state.who.pin.b, ZT_KEY_LEN);
	buf_put(&b, body, n);
	buf_put_u32(&b, k->state.who.device);
	key_sign(&k->state.identity, "zt-session-1", text, b.len, &sig);
	send_message(k, KN_SIGNED, sig.b, sizeof(sig.b));
}

/* The talking role may send what it likes as often as it likes, and the log's disk has an end. */
static void log_refusal(struct kern *k, const struct diag *d)
{
	int64_t now_ms = clock_now().boot_ms;

	if (now_ms - k->refusals_since_ms >= REFUSALS_MS) {
		if (k->refusals > REFUSALS_TOLD)
			log_warn("and %u netmaps more were refused", k->refusals - REFUSALS_TOLD);
		k->refusals_since_ms = now_ms;
		k->refusals = 0;
	}
	if (k->refusals < UINT_MAX && ++k->refusals <= REFUSALS_TOLD)
		log_diag(d);
}

static void on_netmap(void *arg, const void *body, size_t n)
{
	struct kern *k = arg;
	struct diag d = {0};
	int err = enforce_message(k->enforce, body, n, &d);

	if (err)
		log_refusal(k, &d);
	send_done(k, KN_RESULT, err, &d, enforce_serial(k->enforce));
}

static void on_status(void *arg, const void *body, size_t n)
{
	struct kern *k = arg;
	struct role_status s;
	struct arena a;
	struct buf b;

	(void)body;
	(void)n;
	arena_init(&a, ROLE_STATUS_MAX * 2);
	buf_init_grow(&b, ROLE_STATUS_MAX);
	if (enforce_status(k->enforce, &a, &s) == 0 && role_status_encode(&s, &b) == 0)
		send_message(k, KN_STATUS, b.data, b.len);
	else
		send_message(k, KN_STATUS, NULL, 0);
	buf_free(&b);
	arena_done(&a);
}

static void on_plan(void *arg, const void *body, size_t n)
{
	struct kern *k = arg;
	struct buf b;

	(void)body;
	(void)n;
	buf_init_grow(&b, ROLE_PLAN_MAX);
	enforce_plan(k->enforce, &b);
	send_message(k, KN_PLAN, b.data, b.len);
	buf_free(&b);
}

static void on_enforce(void *arg, const void *body, size_t n)
{
	struct kern *k = arg;
	struct diag d = {0};
	int err;

	(void)n;
	err = enforce_set_up(k->enforce, *(const uint8_t *)body != 0, &d);
	send_done(k, KN_DONE, err, &d, enforce_serial(k->enforce));
}

static void on_leave(void *arg, const void *body, size_t n)
{
	struct kern *k = arg;
	struct diag d = {0};
	int err;

	(void)body;
	(void)n;
	err = enforce_forget(k->enforce, &d);
	send_done(k, KN_DONE, err, &d, 0);
	if (!err)
		loop_stop(k->loop, ZT_EXIT_OK); /* and the keys are wiped with everything else */
}

static const struct ipc_kind kinds[] = {
	{NK_SIGN_SESSION, ZT_KEY_LEN, ZT_KEY_LEN, on_sign_session, "sign-session"},
	{NK_NETMAP, 1, ZT_FRAME_MAX, on_netmap, "netmap"},
	{NK_STATUS, 0, 0, on_status, "status"},
	{NK_PLAN, 0, 0, on_plan, "plan"},
	{NK_ENFORCE, 1, 1, on_enforce, "enforce"},
	{NK_LEAVE, 0, 0, on_leave, "leave"},
	{0, 0, 0, NULL, NULL},
};

/* --- events of enforcement --- */

static void port_changed(void *arg)
{
	struct kern *k = arg;
	uint8_t mem[2];
	struct buf b;

	if (!k->ipc || !k->enforce)
		return;
	buf_init(&b, mem, sizeof(mem));
	buf_put_u16(&b, enforce_port(k->enforce));
	send_message(k, KN_PORT, mem, b.len);
}

static void send_fact(struct kern *k, const struct fact *f)
{
	uint8_t mem[1 + ZT_FACT_NAME_MAX + ZT_FACT_VALUE_MAX];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_put_u8(&b, f->state == FACT_KNOWN);
	buf_put_fixed_text(&b, f->name, ZT_FACT_NAME_MAX);
	buf_put_fixed_text(&b, f->value, ZT_FACT_VALUE_MAX);
	send_message(k, KN_FACT, mem, b.len);
}

/* What the talking role cannot read in its unit (packaging/ztnode.service): asking the clock takes
 * the same system call as setting it, and its host name is the one of its start. */
static void send_readings(struct kern *k)
{
	static const char *const names[] = {"time.offset", "hostname"};
	struct source machine;

	if (source_init(&machine, "/"))
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct fact f = {0};

		snprintf(f.name, sizeof(f.name), "%s", names[i]);
		collect_read(&machine, &f);
		send_fact(k, &f);
	}
	source_done(&machine);
}

/* Comes at least once a minute, so what has no event of its own goes with it. */
static void firewall_changed(void *arg, bool known, bool on)
{
	struct fact f = {.name = "firewall.enabled"};

	if (known)
		fact_set_bool(&f, on);
	else
		fact_set_unknown(&f, "cannot list nftables");
	send_fact(arg, &f);
	send_readings(arg);
}

static void other_gone(void *arg)
{
	struct kern *k = arg;

	loop_stop(k->loop, ZT_EXIT_OK);
}

static void on_signal(void *arg, int signo)
{
	struct kern *k = arg;

	(void)signo;
	loop_stop(k->loop, ZT_EXIT_OK);
}

/* --- start --- */

static void send_hello(struct kern *k)
{
	uint8_t mem[HELLO_SIZE];
	struct hello h = {.device = k->state.who.device,
			  .pin = k->state.who.pin,
			  .network_key = k->state.who.network_key,
			  .serial = enforce_serial(k->enforce),
			  .wg_port = enforce_port(k->enforce),
			  .enforced = !state_has_mark(&k->state, STATE_DOWN)};
	struct buf b;

	memcpy(h.url, k->state.who.url, sizeof(h.url));
	memcpy(h.name, k->state.who.name, sizeof(h.name));
	buf_init(&b, mem, sizeof(mem));
	if (hello_encode(&h, &b) == 0)
		send_message(k, KN_HELLO, mem, b.len);
}

static int start(struct kern *k, const struct node_config *c, int fd, struct diag *d)
{
	int err = state_open(c->state_dir, false, &k->state, d);

	if (err)
		return err;
	k->loop = loop_new();
	k->ipc = k->loop ? ipc_new(k->loop, fd, kinds, other_gone, k) : NULL;
	if (!k->ipc || loop_signal(k->loop, SIGTERM, on_signal, k) ||
	    loop_signal(k->loop, SIGINT, on_signal, k))
		return diag_set(d, -ENOMEM, "cannot start: %s", zt_strerror(-ENOMEM));
	err = sandbox_keep_capability(CAP_NET_ADMIN);
	if (!err)
		err = sandbox_filter_calls(true);
	if (err)
		return diag_set(d, err, "cannot give up rights: %s", zt_strerror(err));
	err = enforce_new(k->loop, c, &k->state, port_changed, firewall_changed, k, &k->enforce, d);
	if (!err)
		send_hello(k);
	return err;
}

int kern_role_run(const struct node_config *c, int fd)
{
	struct kern k = {.state.dir = -1};
	struct diag d = {0};
	int status;

	if (start(&k, c, fd, &d)) {
		log_diag(&d);
		status = ZT_EXIT_FAILED;
	} else {
		memory_trim();
		status = loop_run(k.loop);
	}
	enforce_free(k.enforce);
	ipc_free(k.ipc);
	loop_free(k.loop);
	state_close(&k.state);
	return status;
}
