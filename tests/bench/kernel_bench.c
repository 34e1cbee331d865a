/* What ztnode/kern costs, beside wg and nft doing the same. tests/bench/kernel.sh runs it in the
 * lab. Ours and theirs run in turn, several times, so that a busy machine slows both: of loads the
 * best of each is compared, of what is far apart the median of the pairs. Status 1 when a bound is
 * missed. */
#include <errno.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zt/clock.h"
#include "ztnode/kern/kernel.h"

enum {
	GRANTS = 10000,
	ROUNDS = 7,
	REPEATS = 200,
	SAMPLES = 20,
	PACKETS = 1000,
	HOUR_MS = 3600 * 1000
};

extern char **environ;

static struct kernel *k;
static struct secret priv;
static int missed;

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(2);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* One figure and its bound: at most (sign '<') or at least ('>'). */
static void report(const char *name, double value, const char *unit, char sign, double bound)
{
	bool holds = sign == '<' ? value <= bound : value >= bound;

	printf("%-44s %10.3f %s (bound %c= %g)%s\n", name, value, unit, sign, bound,
	       holds ? "" : " MISSED");
	fflush(stdout);
	missed += !holds;
}

static void note(const char *name, double value, const char *unit)
{
	printf("%-44s %10.3f %s\n", name, value, unit);
	fflush(stdout);
}

/* --- the two sides --- */

static void exec_ops(const struct op *ops, size_t n, const struct kstate *fallback)
{
	struct op_list list = {(struct op *)ops, n};
	struct diag d = {0};

	if (kernel_exec(k, &list, &priv, fallback, clock_now().boot_ms, &d) < 0)
		give_up(d.message);
}

static double time_ops(const struct op *ops, size_t n, const struct kstate *fallback)
{
	double start = now_us();

	exec_ops(ops, n, fallback);
	return now_us() - start;
}

/* A program by itself, as people start it: no shell around it. */
static double time_program(const char *file, const char *a, const char *b, const char *c)
{
	char *argv[] = {(char *)file, (char *)a, (char *)b, (char *)c, NULL};
	double start = now_us();
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, file, NULL, NULL, argv, environ) != 0 ||
	    waitpid(pid, &status, 0) != pid || status != 0)
		give_up(file);
	return now_us() - start;
}

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(values[0]), compare_double);
	return values[n / 2];
}

/* --- peers --- */

static void fill_peer(struct kpeer *p, uint32_t i)
{
	uint8_t v4[4] = {100, 65, (uint8_t)(i >> 8), (uint8_t)i};
	uint8_t v6[16] = {0xfd, 0x7a, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i};

	*p = (struct kpeer){.has_psk = true, .n_allowed = 2};
	key_hash(&i, sizeof(i), &p->pub);
	memcpy(p->psk.b, p->pub.b, sizeof(p->psk.b));
	p->allowed[0] = (struct prefix){addr_v4(v4), 32};
	p->allowed[1] = (struct prefix){addr_v6(v6), 128};
	p->endpoint = (struct endpoint){addr_v4((uint8_t[]){192, 0, 2, 1}), (uint16_t)(1024 + i)};
}

static void write_key(FILE *f, const char *name, const uint8_t *bytes)
{
	char text[KEY_TEXT_MAX];
	struct key key;

	memcpy(key.b, bytes, sizeof(key.b));
	key_print(&key, text);
	fprintf(f, "%s = %s\n", name, text);
}

static void write_conf(const char *path, const struct kpeer *peers, size_t n)
{
	FILE *f = fopen(path, "we");

	if (!f)
		give_up(path);
	fprintf(f, "[Interface]\nListenPort = 51820\n");
	write_key(f, "PrivateKey", priv.b);
	for (size_t i = 0; i < n; i++) {
		char v4[PREFIX_TEXT_MAX], v6[PREFIX_TEXT_MAX], endpoint[ENDPOINT_TEXT_MAX];

		fprintf(f, "[Peer]\n");
		write_key(f, "PublicKey", peers[i].pub.b);
		write_key(f, "PresharedKey", peers[i].psk.b);
		prefix_print(&peers[i].allowed[0], v4);
		prefix_print(&peers[i].allowed[1], v6);
		endpoint_print(&peers[i].endpoint, endpoint);
		fprintf(f, "AllowedIPs = %s, %s\nEndpoint = %s\n", v4, v6, endpoint);
	}
	if (fclose(f) != 0)
		give_up(path);
}

static const struct op link_add = {.kind = OP_LINK_ADD};
static const struct op link_del = {.kind = OP_LINK_DEL};

static struct op *peer_ops(const struct kpeer *peers, size_t n, const struct kstate *want)
{
	struct op *ops = calloc(n + 1, sizeof(*ops));

	if (!ops)
		give_up("memory");
	ops[0] = (struct op){.kind = OP_WG_SET};
	ops[0].state = want;
	for (size_t i = 0; i < n; i++) {
		ops[i + 1] = (struct op){.kind = OP_PEER_PUT};
		ops[i + 1].peer = &peers[i];
	}
	return ops;
}

static void bench_load(const struct kpeer *peers, size_t n, int rounds)
{
	struct kstate want = {.port = 51820};
	struct op *ops = peer_ops(peers, n, &want);
	double ours = 1e12, theirs = 1e12;
	char name[64];

	write_conf("/tmp/bench.conf", peers, n);
	for (int i = 0; i < rounds; i++) {
		exec_ops(&link_add, 1, NULL);
		ours = smaller(ours, time_ops(ops, n + 1, NULL));
		exec_ops(&link_del, 1, NULL);
		exec_ops(&link_add, 1, NULL);
		theirs = smaller(theirs, time_program("wg", "setconf", "zt0", "/tmp/bench.conf"));
		exec_ops(&link_del, 1, NULL);
	}
	snprintf(name, sizeof(name), "load %zu peers", n);
	note(name, ours / 1000, "ms");
	snprintf(name, sizeof(name), "load %zu peers / wg setconf", n);
	report(name, ours / theirs, "", '<', 0.95);
	free(ops);
}

/* Among n peers one is new, and goes again; theirs reads and compares all of them for it. */
static void bench_one_peer(const struct kpeer *peers, size_t n)
{
	struct kstate want = {.port = 51820};
	struct op *ops = peer_ops(peers, n, &want);
	struct op put = {.kind = OP_PEER_PUT}, del = {.kind = OP_PEER_DEL};
	double best_put = 1e12, best_del = 1e12, puts[ROUNDS], dels[ROUNDS];

	put.peer = del.peer = &peers[n];
	write_conf("/tmp/bench.conf", peers, n);
	write_conf("/tmp/bench1.conf", peers, n + 1);
	exec_ops(&link_add, 1, NULL);
	exec_ops(ops, n + 1, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		double our_put = time_ops(&put, 1, NULL), our_del = time_ops(&del, 1, NULL);

		puts[i] = time_program("wg", "syncconf", "zt0", "/tmp/bench1.conf") / our_put;
		dels[i] = time_program("wg", "syncconf", "zt0", "/tmp/bench.conf") / our_del;
		best_put = smaller(best_put, our_put);
		best_del = smaller(best_del, our_del);
	}
	note("add one peer among 10000", best_put / 1000, "ms");
	report("wg syncconf / add one peer among 10000", median(puts, ROUNDS), "times", '>', 50);
	note("remove one peer among 10000", best_del / 1000, "ms");
	report("wg syncconf / remove one peer among 10000", median(dels, ROUNDS), "times", '>', 50);
	free(ops);
}

/* --- grants --- */

static void fill_elem(struct kelem *e, uint32_t i, int64_t expires_ms)
{
	uint8_t src[4] = {100, 66, (uint8_t)(i >> 8), (uint8_t)i}, dst[4] = {100, 64, 0, 1};

	*e = (struct kelem){
		.set = KSET_PORT, .proto = SERVICE_TCP, .value = 1 + i / 65536, .rule = i};
	e->src = addr_v4(src);
	e->dst = addr_v4(dst);
	e->expires_ms = expires_ms;
}

static struct kelem *make_elems(size_t n)
{
	struct kelem *elems = calloc(n, sizeof(*elems));
	int64_t expires_ms = clock_now().boot_ms + HOUR_MS;

	if (!elems)
		give_up("memory");
	for (uint32_t i = 0; i < n; i++)
		fill_elem(&elems[i], i, expires_ms);
	qsort(elems, n, sizeof(*elems), kelem_compare);
	return elems;
}

static void write_elems(const char *path, const struct kelem *elems, size_t n)
{
	FILE *f = fopen(path, "we");

	if (!f)
		give_up(path);
	fprintf(f, "flush set inet ztnode grants4\nadd element inet ztnode grants4 {\n");
	for (size_t i = 0; i < n; i++) {
		char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

		addr_print(&elems[i].src, src);
		addr_print(&elems[i].dst, dst);
		fprintf(f, "%s . %s . tcp . %u timeout 1h comment \"rule %u\",\n", src, dst,
			elems[i].value, elems[i].rule);
	}
	fprintf(f, "}\n");
	if (fclose(f) != 0)
		give_up(path);
}

static void put_table(const struct kstate *want)
{
	struct op op = {.kind = OP_TABLE_PUT};

	op.state = want;
	exec_ops(&op, 1, want);
}

static void bench_load_grants(const struct kstate *want)
{
	struct op load = {.kind = OP_ELEMS_LOAD};
	double best = 1e12, ratios[ROUNDS];

	load.state = want;
	put_table(want);
	write_elems("/tmp/bench.nft", want->elems, want->n_elems);
	for (int i = 0; i < ROUNDS; i++) {
		double ours = time_ops(&load, 1, want);

		ratios[i] = ours / time_program("nft", "-f", "/tmp/bench.nft", NULL);
		best = smaller(best, ours);
	}
	note("load 10000 grants", best / 1000, "ms");
	report("load 10000 grants / nft -f", median(ratios, ROUNDS), "", '<', 0.5);
}

static void bench_one_grant(const struct kstate *want)
{
	struct op del = {.kind = OP_ELEM_DEL}, add = {.kind = OP_ELEM_ADD};
	double cut[REPEATS], grant[REPEATS];

	put_table(want);
	for (size_t i = 0; i < REPEATS; i++) {
		del.elem = add.elem = &want->elems[i * 37];
		cut[i] = time_ops(&del, 1, NULL);
		grant[i] = time_ops(&add, 1, NULL);
	}
	report("delete one grant among 10000, median", median(cut, REPEATS) / 1000, "ms", '<', 1);
	report("add one grant among 10000, median", median(grant, REPEATS) / 1000, "ms", '<', 1);
	note("delete one grant, 99 of 100", cut[REPEATS * 99 / 100] / 1000, "ms");
}

static void bench_read(const struct kstate *want)
{
	static const struct key nobody;
	double best = 1e12;

	put_table(want);
	for (int i = 0; i < ROUNDS; i++) {
		struct arena a;
		struct kstate s;
		struct diag d = {0};
		double start = now_us();

		arena_init(&a, 64 << 20);
		if (kernel_read(k, &nobody, &a, &s, &d) < 0)
			give_up(d.message);
		best = smaller(best, now_us() - start);
		if (s.n_peers < 10000 || s.n_elems != want->n_elems || !s.table_ok)
			give_up("what was read is not what was written");
		arena_done(&a);
	}
	note("read 10000 peers and 10000 grants", best / 1000, "ms");
}

/* --- packets --- */

/* Of one that is granted: way through the output chain to WireGuard, which has no session and keeps
 * it. */
static double packet_us(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct sockaddr_in from = {.sin_family = AF_INET};
	uint8_t peer[4] = {100, 64, 0, 2}, self[4] = {100, 64, 0, 1};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	double start, best = 1e12;

	memcpy(&to.sin_addr, peer, 4);
	memcpy(&from.sin_addr, self, 4);
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		give_up("socket");
	for (int sample = 0; sample < SAMPLES; sample++) {
		start = now_us();
		for (int i = 0; i < PACKETS; i++)
			if (send(fd, "x", 1, 0) < 0)
				give_up("a granted packet was refused");
		best = smaller(best, (now_us() - start) / PACKETS);
	}
	close(fd);
	return best;
}

static void set_up_tunnel(void)
{
	struct kstate want = {.port = 51820, .mtu = 1420};
	struct kpeer peer = {.has_psk = true, .n_allowed = 1};
	struct op ops[6] = {
		{.kind = OP_LINK_ADD}, {.kind = OP_WG_SET},  {.kind = OP_PEER_PUT},
		{.kind = OP_ADDR_ADD}, {.kind = OP_LINK_UP}, {.kind = OP_ROUTE_ADD},
	};

	key_hash("peer", 4, &peer.pub);
	peer.allowed[0] = (struct prefix){addr_v4((uint8_t[]){100, 64, 0, 2}), 32};
	peer.endpoint = (struct endpoint){addr_v4((uint8_t[]){127, 0, 0, 1}), 9};
	ops[1].state = &want;
	ops[2].peer = &peer;
	ops[3].addr = (struct prefix){addr_v4((uint8_t[]){100, 64, 0, 1}), 32};
	ops[5].route = (struct kroute){KROUTE_DEV, {addr_v4((uint8_t[]){100, 64, 0, 0}), 10}, 50};
	exec_ops(&link_del, 1, NULL);
	exec_ops(ops, 6, NULL);
}

/* The first element is the one that the packets need. */
static double packet_us_with(size_t n)
{
	struct kelem *elems = make_elems(n);
	struct kstate want = {.elems = elems, .n_elems = n, .table_ok = true};
	double us;

	elems[0] = (struct kelem){.set = KSET_PORT, .proto = SERVICE_UDP, .value = 9};
	elems[0].src = addr_v4((uint8_t[]){100, 64, 0, 1});
	elems[0].dst = addr_v4((uint8_t[]){100, 64, 0, 2});
	elems[0].expires_ms = clock_now().boot_ms + HOUR_MS;
	put_table(&want);
	us = packet_us();
	free(elems);
	return us;
}

static void bench_packets(void)
{
	static const size_t counts[] = {1, 10000, 65536};
	double us[] = {1e12, 1e12, 1e12};
	char name[64];

	set_up_tunnel();
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < 3; i++)
			us[i] = smaller(us[i], packet_us_with(counts[i]));
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "packet with %zu grants", counts[i]);
		note(name, us[i], "us");
	}
	report("packet with 65536 grants / with 1", us[2] / us[0], "", '<', 1.15);
}

static void bench_all_grants(void)
{
	struct kelem *elems = make_elems(65536);
	struct kstate want = {.elems = elems, .n_elems = 65536, .table_ok = true};
	double start = now_us();

	put_table(&want);
	note("write the table with 65536 grants", (now_us() - start) / 1000, "ms");
	free(elems);
}

int main(void)
{
	struct kpeer *peers = calloc(10001, sizeof(*peers));
	struct kstate want = {.elems = make_elems(GRANTS), .n_elems = GRANTS, .table_ok = true};
	struct diag d = {0};

	if (!peers || kernel_open("zt0", &k, &d) < 0)
		give_up(d.message);
	memset(priv.b, 7, sizeof(priv.b));
	secret_clamp(&priv);
	for (uint32_t i = 0; i < 10001; i++)
		fill_peer(&peers[i], i);
	bench_load(peers, 1000, 4 * ROUNDS);
	bench_load(peers, 10000, 2 * ROUNDS);
	bench_one_peer(peers, 10000);
	bench_load_grants(&want);
	bench_one_grant(&want);
	bench_read(&want);
	bench_all_grants();
	bench_packets();
	free(peers);
	free(want.elems);
	kernel_close(k);
	return missed != 0;
}
