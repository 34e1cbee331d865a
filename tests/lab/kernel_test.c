#include <errno.h>
#include <stdio.h>
#include "tests/lab/kernel_lab.h"
int main(void)
{
	static struct node a, b, c;
	node_init(&a, "a", 1, "192.0.2.1");
	node_init(&b, "b", 2, "192.0.2.2");
	node_init(&c, "c", 3, "192.0.2.3");
	node_peer(&a, &b);
	node_peer(&b, &a);
	node_peer(&b, &c);
	node_peer(&c, &b);
	printf("%zu ops\n", node_apply(&a));
	printf("%zu planned\n", node_planned(&a));
	printf("%zu ops\n", node_apply(&b));
	printf("%zu ops\n", node_apply(&c));
	struct kelem e = {.set = KSET_PORT,
			  .src = a.overlay[0],
			  .dst = b.overlay[0],
			  .proto = SERVICE_TCP,
			  .value = 80,
			  .rule = 12};
	struct probe p = {.from = &a, .to = &b, .family = 0, .proto = SERVICE_TCP, .port = 80};
	printf("%s\n", outcome_name(probe(&p)));
	node_grant(&a, &e);
	printf("%zu ops\n", node_apply(&a));
	printf("%zu planned\n", node_planned(&a));
	printf("%s\n", outcome_name(probe(&p)));
	node_grant(&b, &e);
	printf("%zu ops\n", node_apply(&b));
	printf("%s\n", outcome_name(probe(&p)));
	b.spans[0] = (struct kspan){SERVICE_TCP, 100, 200, 7};
	b.spans[1] = (struct kspan){SERVICE_TCP, 201, 65535, 8};
	b.want.n_spans = 2;
	printf("%zu ops\n", node_apply(&b));
	printf("%zu planned\n", node_planned(&b));
	run("b", "nft list ruleset; wg; ip route show table all; ip -6 route; ip addr");
	return check_failures() != 0;
}
