/* Enrolment with a talking child that was taken over: it has the token, the channel and the word of
 * the controller, and the privileged side keeps nothing from it that the token does not say. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sodium.h>

#include "tests/unit/unit.h"
#include "zt/file.h"
#include "zt/ipc.h"
#include "zt/token.h"
#include "ztnode/cli/cli.h"
#include "ztnode/kern/state.h"

enum { GUARD_MS = 60000 };

static const struct token token = {.kind = TOKEN_ENROLL,
				   .url = "https://ctl.example:8443",
				   .pin = {{1}},
				   .network = {{2}},
				   .id = 3,
				   .secret = {{4}}};

/* --- the child --- */

struct lie {
	const char *says;
	const char *url;
	uint8_t pin, network; /* first bytes */
	bool unasked;	      /* the answer without a request before */
	bool twice;	      /* a second answer, of another device */
	bool kept;
	const char *words; /* in the line that refuses */
};

static const struct lie lies[] = {
	{.says = "another network key", .network = 9, .words = "network key"},
	{.says = "another controller's key", .pin = 9, .words = "another controller"},
	{.says = "another address", .url = "https://evil.example", .words = "another controller"},
	{.says = "an answer before any key was made", .unasked = true, .words = "out of turn"},
	{.says = "the truth, then another device",
	 .twice = true,
	 .kept = true,
	 .words = "out of turn"},
	{.says = "the truth", .kept = true},
};
static const struct lie *lie;

static struct child {
	struct loop *loop;
	struct ipc *ipc;
} child;

static void answer(uint32_t device)
{
	uint8_t mem[ENROLLED_SIZE];
	struct enrolled e = {
		.device = device, .network_key = token.network, .pin = token.pin, .name = "laptop"};
	struct buf b;

	(void)snprintf(e.url, sizeof(e.url), "%s", lie->url ? lie->url : token.url);
	e.pin.b[0] = lie->pin ? lie->pin : e.pin.b[0];
	e.network_key.b[0] = lie->network ? lie->network : e.network_key.b[0];
	buf_init(&b, mem, sizeof(mem));
	if (enrolled_encode(&e, &b) || ipc_send(child.ipc, NK_ENROLLED, mem, b.len))
		_exit(99);
}

static void on_proof(void *arg, const void *body, size_t n)
{
	(void)arg, (void)body, (void)n;
	answer(7);
	if (lie->twice)
		answer(8);
}

static void on_done(void *arg, const void *body, size_t n)
{
	(void)arg, (void)body, (void)n;
	if (!lie->twice)
		loop_stop(child.loop, ZT_EXIT_OK);
}

static const struct ipc_kind kinds[] = {
	{KN_PROOF, 0, 4096, on_proof, "proof"},
	{KN_DONE, 0, 4096, on_done, "done"},
	{0, 0, 0, NULL, NULL},
};

static void stop(void *arg)
{
	(void)arg;
	loop_stop(child.loop, ZT_EXIT_OK);
}

static void ask(void)
{
	uint8_t mem[3 * ZT_KEY_LEN + 8 + ZT_NAME_MAX + 2 * PREFIX_TEXT_MAX];
	static const struct key challenge = {{5}}, box = {{9}};
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_put(&b, token.pin.b, ZT_KEY_LEN);
	buf_put(&b, challenge.b, ZT_KEY_LEN);
	buf_put(&b, box.b, ZT_KEY_LEN);
	buf_put_u64(&b, token.id);
	buf_put_fixed_text(&b, "laptop", ZT_NAME_MAX);
	buf_put_fixed_text(&b, "", PREFIX_TEXT_MAX);
	buf_put_fixed_text(&b, "", PREFIX_TEXT_MAX);
	if (b.err || ipc_send(child.ipc, NK_SIGN_ENROLL, mem, b.len))
		_exit(99);
}

static int talk(const struct node_config *c, int channel, const char *text, const char *name)
{
	struct loop_timer *guard;

	(void)c, (void)text, (void)name;
	child.loop = loop_new();
	child.ipc = ipc_new(child.loop, channel, kinds, stop, NULL);
	guard = loop_timer_new(child.loop, stop, NULL);
	loop_timer_set(guard, clock_now().boot_ms + GUARD_MS);
	if (lie->unasked)
		answer(7);
	else
		ask();
	return loop_run(child.loop);
}

/* --- the privileged side --- */

static char dir[] = "/tmp/zt-enroll-test-XXXXXX";

/* What it says on stderr: log, of size bytes. */
static int enrol(char *log, size_t size)
{
	struct node_config c = {.state_dir = dir, .interface = "zt-test0", .user = ""};
	char text[ZT_TOKEN_TEXT_MAX + 1];
	int kept = dup(STDERR_FILENO), file = memfd_create("log", MFD_CLOEXEC), status;
	ssize_t n;

	assert_true(kept >= 0 && file >= 0);
	assert_int_equal(token_encode(&token, text, sizeof(text)), 0);
	dup2(file, STDERR_FILENO);
	status = enroll_with(&c, text, "", talk);
	dup2(kept, STDERR_FILENO);
	n = pread(file, log, size - 1, 0);
	log[n > 0 ? n : 0] = 0;
	close(file);
	close(kept);
	return status;
}

static bool is_there(const char *name)
{
	int fd;
	bool yes;

	assert_int_equal(file_open_dir(dir, false, &fd), 0);
	yes = faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	close(fd);
	return yes;
}

static void remove_all(void)
{
	static const char *const names[] = {"device", "identity.key", "wireguard.key", "serial",
					    "lock"};
	int fd;

	assert_int_equal(file_open_dir(dir, false, &fd), 0);
	for (size_t i = 0; i < N_OF(names); i++)
		unlinkat(fd, names[i], 0);
	close(fd);
}

static void nothing_is_kept_but_what_the_token_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(lies); i++) {
		struct node_state s = {.dir = -1};
		char log[4096];
		struct diag d;
		int status, err;

		lie = &lies[i];
		status = enrol(log, sizeof(log));
		err = state_open(dir, false, &s, &d);
		if ((status == ZT_EXIT_OK) != lie->kept || err != (lie->kept ? 0 : -ZT_EABSENT))
			fail_msg("%s: status %d, then %s\n%s", lie->says, status, zt_strerror(err),
				 log);
		row_check(lie->says, lie->kept || !is_there("identity.key"));
		row_check(lie->says, lie->kept || !is_there("wireguard.key"));
		row_check(lie->says, !lie->kept || s.who.device == 7);
		row_check(lie->says, !lie->kept || key_equal(&s.who.network_key, &token.network));
		row_check(lie->says, !lie->words || strstr(log, lie->words));
		state_close(&s);
		remove_all();
	}
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_kept_but_what_the_token_says),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
