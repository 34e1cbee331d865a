/* What strangers make the controller remember: the real routes and application in this process, so
 * that its heap can be measured. The clients' own part is counted too. */
#include "tests/shell/https_client.h"

#include <malloc.h>
#include <sodium.h>

#include "controller/api/api.h"
#include "controller/init.h"

enum { MOST = 50, MORE = 100, EACH = 64 << 10, ROUNDS = 30, SPARE = 32 << 10 };

static struct {
	char dir[80];
	struct controller_keys keys;
	struct store *store;
	struct app *app;
} mine;

static void make_controller(void)
{
	struct init_options o = {.dir = mine.dir, .url = "https://zt.test:8443", .name = "zt"};
	char credential[ZT_TOKEN_TEXT_MAX];
	struct diag d = {0};
	char path[128];
	int fd;

	snprintf(mine.dir, sizeof(mine.dir), "%s/c", dir);
	assert_int_equal(prefix_parse("100.64.0.0/10", &o.net4), 0);
	assert_int_equal(init_controller(&o, credential, sizeof(credential), &d), 0);
	fd = open(mine.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(keys_load(fd, &mine.keys, &d), 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/controller.db", mine.dir);
	assert_int_equal(store_open(path, &mine.store, &d), 0);
}

static void make_app(void)
{
	struct app_config c = {.loop = t.loop, .keys = &mine.keys, .version = "test"};
	struct diag d = {0};

	if (app_new(&c, mine.store, &mine.app, &d))
		fail_msg("%s", d.message);
	t.config.app = mine.app;
}

static void free_app(void)
{
	app_free(mine.app);
}

static int setup(void **state)
{
	static const char *const hosts[] = {"zt.test", NULL};

	(void)state;
	make_controller();
	t.config = (struct http_config){.cert_file = in_dir("a.crt"),
					.key_file = in_dir("a.key"),
					.routes = api_routes,
					.hosts = hosts,
					.identify = app_identify,
					.connections_max = 200,
					.connections_per_address_max = MOST,
					.idle_timeout_s = 30};
	t.config.listen.addr = addr_v4((const uint8_t[]){127, 0, 0, 1});
	t.prepare = make_app;
	t.finish = free_app;
	start();
	return 0;
}

static int teardown(void **state)
{
	static const char *const left[] = {"controller.db", "controller.db.lock",
					   "admin.key",	    "network.key",
					   "box.key",	    "psk.key",
					   "tls.crt",	    "tls.key"};
	char path[128];

	(void)state;
	stop();
	store_close(mine.store);
	keys_wipe(&mine.keys);
	for (size_t i = 0; i < N_OF(left); i++) {
		snprintf(path, sizeof(path), "%s/%s", mine.dir, left[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(mine.dir), 0);
	return 0;
}

static size_t heap_used(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void ask_challenge(struct client *c)
{
	struct answer a = ask(c, "GET", "/v1/challenge", "", NULL, 0);

	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.body, "\"box_key\""));
	free(a.body);
}

static size_t grown(size_t from)
{
	size_t now = heap_used();

	return now > from ? now - from : 0;
}

/* A challenge waits in its connection, and the next one takes its place: however many are asked
 * for, what is remembered ends at the limit in connections. */
static void test_memory_of_challenges_has_a_ceiling(void **state)
{
	struct client *c[MOST + MORE] = {NULL};
	size_t before, once, held, n = 0;

	(void)state;
	c[0] = call();
	ask_challenge(c[0]);
	before = heap_used();
	for (size_t i = 1; i < MOST + MORE; i++)
		c[i] = call_with("NORMAL");
	for (size_t i = 0; i < MOST + MORE; i++) {
		n += c[i] != NULL;
		if (c[i])
			ask_challenge(c[i]);
	}
	assert_int_equal(n, MOST); /* the others were not let in */
	held = grown(before);
	if (held > MOST * (EACH + sizeof(struct client)))
		fail_msg("%zu KiB for %d connections with a challenge", held >> 10, MOST);
	once = heap_used();
	for (size_t round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < MOST + MORE; i++)
			if (c[i])
				ask_challenge(c[i]);
	if (grown(once) > SPARE)
		fail_msg("%zu bytes more for %d challenges more", grown(once), ROUNDS * MOST);
	print_message("%zu KiB a connection; %zu bytes for %d challenges more\n",
		      (held / MOST) >> 10, grown(once), ROUNDS * MOST);
	for (size_t i = 0; i < MOST + MORE; i++)
		hang_up(c[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_memory_of_challenges_has_a_ceiling, setup,
						teardown),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("api_memory", tests, group_setup, group_teardown);
}
