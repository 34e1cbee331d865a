/* How policies are said. Long lists are said by their beginning. */
#include "controller/policy/words.h"

#include <stdio.h>
#include <string.h>

#include "zt/buf.h"
#include "controller/policy/date.h"
#include "controller/policy/place.h"

enum { LIST_SHOWN = 4 };

void selector_print(const struct selector *s, char out[static SELECTOR_TEXT_MAX])
{
	static const char *const prefixes[] = {
		[SELECTOR_USER] = "user:",    [SELECTOR_GROUP] = "group:",
		[SELECTOR_TAG] = "tag:",      [SELECTOR_DEVICE] = "device:",
		[SELECTOR_ANYONE] = "anyone",
	};

	snprintf(out, SELECTOR_TEXT_MAX, "%s%s", prefixes[s->kind], s->name ? s->name : "");
}

typedef void (*print_fn)(const void *list, size_t i, char *out);

static void print_selector(const void *list, size_t i, char *out)
{
	selector_print((const struct selector *)list + i, out);
}

static void print_service(const void *list, size_t i, char *out)
{
	service_print((const struct service *)list + i, out);
}

static const char *items_print(const void *list, size_t n, print_fn print, struct arena *a)
{
	char text[(LIST_SHOWN + 1) * (SELECTOR_TEXT_MAX + 2)], item[SELECTOR_TEXT_MAX];
	struct buf b;

	buf_init(&b, text, sizeof(text));
	for (size_t i = 0; i < n && i < LIST_SHOWN; i++) {
		print(list, i, item);
		buf_printf(&b, "%s%s", i ? ", " : "", item);
	}
	if (n > LIST_SHOWN)
		buf_printf(&b, " and %zu more", n - LIST_SHOWN);
	return arena_text(a, (const char *)b.data, b.len);
}

const char *services_print(const struct service *s, size_t n, struct arena *a)
{
	return items_print(s, n, print_service, a);
}

const char *selectors_print(const struct selector *s, size_t n, struct arena *a)
{
	return items_print(s, n, print_selector, a);
}

const char *list_print(const struct selectors *l, struct arena *a)
{
	const char *in = selectors_print(l->in, l->n_in, a), *except;

	if (!in || l->n_except == 0)
		return in;
	except = selectors_print(l->except, l->n_except, a);
	return except ? arena_printf(a, "%s except %s", in, except) : NULL;
}

static const char *spots_print(const struct policy *p, uint64_t spots, struct arena *a)
{
	char text[(LIST_SHOWN + 1) * (SPOT_TEXT_MAX + 2)], item[SPOT_TEXT_MAX];
	struct buf b;
	size_t n = 0;

	buf_init(&b, text, sizeof(text));
	for (uint64_t left = spots; left; left &= left - 1) {
		if (n++ == LIST_SHOWN) {
			buf_put_text(&b, " and more");
			break;
		}
		spot_print(p, (uint32_t)__builtin_ctzll(left), item);
		buf_printf(&b, "%s%s", n > 1 ? ", " : "", item);
	}
	return arena_text(a, (const char *)b.data, b.len);
}

const char *where_print(const struct policy *p, const struct policy_rule *r, struct arena *a)
{
	const char *in = r->where ? spots_print(p, r->where, a) : "anywhere", *except;

	if (!in || !r->where_except)
		return in;
	except = spots_print(p, r->where_except, a);
	return except ? arena_printf(a, "%s except %s", in, except) : NULL;
}

void time_print(int64_t t_s, char out[static DATE_TIME_TEXT_MAX])
{
	char day[DATE_TEXT_LEN + 1];
	uint16_t minute = (uint16_t)(date_second(t_s) / 60);

	date_print((int32_t)date_of_time(t_s), day);
	snprintf(out, DATE_TIME_TEXT_MAX, "%s %02u:%02u UTC", day, minute / 60u % 24u,
		 minute % 60u);
}

const char *invariant_print(const struct policy *p, const struct policy_invariant *i,
			    struct arena *a)
{
	const char *text, *before = " ";
	char spot[SPOT_TEXT_MAX];
	struct buf b;

	if (i->never)
		return "forbids it";
	buf_init_grow(&b, 1 << 20);
	buf_put_text(&b, "asks for");
	for (uint64_t left = i->postures; left; left &= left - 1) {
		buf_printf(&b, "%sposture:%s", before, p->postures[__builtin_ctzll(left)].name);
		before = ", ";
	}
	for (uint64_t left = i->spots; left; left &= left - 1) {
		spot_print(p, (uint32_t)__builtin_ctzll(left), spot);
		buf_printf(&b, "%s%s", before, spot);
		before = " or ";
	}
	if (i->when)
		buf_printf(&b, "%s%s", i->spots || i->postures ? ", " : " ", i->when->text);
	text = b.err ? NULL : arena_text(a, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}
