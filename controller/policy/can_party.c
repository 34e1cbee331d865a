/* Who asks, and who is asked: everybody that a selector may mean, as what counts of them. Of one
 * who asks these are the rules about them, of one who is asked the resources that they offer; all
 * that are alike in this are one class. */
#include "controller/policy/can_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controller/policy/engine_impl.h"
#include "controller/policy/networks.h"
#include "controller/policy/words.h"

enum { ATOMS_MEMORY_MAX = 64 << 20 };

void can_party_init(struct can_party *y, struct can_run *x, bool hosts, const uint64_t *rules)
{
	*y = (struct can_party){.x = x, .hosts = hosts, .rules = rules, .member = NAMES_ABSENT};
	names_init(&y->known, x->a);
}

/* --- classes --- */

static int class_add_id(struct can_party *y, uint32_t i, const struct can_identity *id)
{
	struct can_class *c = &y->classes[i];
	size_t cap = y->id_caps[i] ? y->id_caps[i] * 2 : 4;
	struct can_identity *ids = (struct can_identity *)(uintptr_t)c->ids;

	if (c->n_ids == y->id_caps[i]) {
		ids = arena_array(y->x->a, cap, sizeof(*ids));
		if (!ids)
			return -ENOMEM;
		if (c->n_ids)
			memcpy(ids, c->ids, c->n_ids * sizeof(*ids));
		c->ids = ids;
		y->id_caps[i] = cap;
	}
	ids[c->n_ids++] = *id;
	return 0;
}

static int reserve_class(struct can_party *y)
{
	size_t cap = y->cap ? y->cap * 2 : 16;
	struct can_class *v;
	size_t *caps;

	if (y->n < y->cap)
		return 0;
	v = arena_array(y->x->a, cap, sizeof(*v));
	caps = arena_array(y->x->a, cap, sizeof(*caps));
	if (!v || !caps)
		return -ENOMEM;
	if (y->n) {
		memcpy(v, y->classes, y->n * sizeof(*v));
		memcpy(caps, y->id_caps, y->n * sizeof(*caps));
	}
	y->classes = v;
	y->id_caps = caps;
	y->cap = cap;
	return 0;
}

/* v: sorted. */
static int party_add(struct can_party *y, const uint32_t *v, uint32_t n,
		     const struct can_identity *id)
{
	enum { LISTS, IDS }; /* kinds of names: the others are the names of each class */
	size_t size = n * sizeof(*v);
	uint32_t i = names_find(&y->known, LISTS, (const char *)v, size), *own;
	int err = 0;

	if (i == NAMES_ABSENT) {
		err = reserve_class(y);
		own = arena_dup(y->x->a, v, size);
		if (err || !own)
			return -ENOMEM;
		i = (uint32_t)y->n++;
		y->classes[i] = (struct can_class){.v = own, .n = n};
		err = names_add(&y->known, LISTS, (const char *)own, size, i);
	}
	if (err || names_find(&y->known, IDS + i, id->name, strlen(id->name)) != NAMES_ABSENT)
		return err; /* named twice */
	err = names_add(&y->known, IDS + i, id->name, strlen(id->name), 0);
	return err ? err : class_add_id(y, i, id);
}

/* --- from atoms to what counts --- */

/* Invariants about one of the atoms, or about anyone, as numbers behind the rules. */
static uint32_t holds_of(const struct can_party *y, const struct atoms *atoms, uint32_t *out)
{
	const struct policy_index *x = &y->x->index;
	uint32_t first = (uint32_t)y->x->p->n_rules, n = 0;

	for (uint32_t k = 0; k < x->watch_all.n; k++)
		out[n++] = first + x->watch_all.v[k];
	for (uint32_t i = 0; i < atoms->n; i++)
		for (uint32_t k = 0; k < x->watched[atoms->v[i]].n; k++)
			out[n++] = first + x->watched[atoms->v[i]].v[k];
	return n;
}

static size_t count_holds(const struct can_party *y, const struct atoms *atoms)
{
	size_t n = y->x->index.watch_all.n;

	for (uint32_t i = 0; i < atoms->n; i++)
		n += y->x->index.watched[atoms->v[i]].n;
	return n;
}

static uint32_t list_of(const struct can_party *y, const struct atoms *atoms, uint32_t *out)
{
	const struct ids *lists = y->hosts ? y->x->index.hosted : y->x->index.rules;
	uint32_t n = 0;

	for (uint32_t i = 0; i < atoms->n; i++)
		for (uint32_t k = 0; k < lists[atoms->v[i]].n; k++) {
			uint32_t one = lists[atoms->v[i]].v[k];

			if (!y->rules || y->rules[one / 64] >> (one % 64) & 1)
				out[n++] = one;
		}
	return n;
}

static size_t count_of(const struct can_party *y, const struct atoms *atoms)
{
	const struct ids *lists = y->hosts ? y->x->index.hosted : y->x->index.rules;
	size_t n = 0;

	for (uint32_t i = 0; i < atoms->n; i++)
		n += lists[atoms->v[i]].n;
	return n;
}

static bool has_atom(const struct atoms *atoms, uint32_t atom)
{
	for (uint32_t i = 0; i < atoms->n; i++)
		if (atoms->v[i] == atom)
			return true;
	return false;
}

static int add_atoms(struct can_party *y, const struct atoms *atoms, const struct can_identity *id)
{
	bool holds = y->x->held && !y->hosts;
	size_t most = count_of(y, atoms) + (holds ? count_holds(y, atoms) : 0);
	uint32_t *v, n;

	if (y->member != NAMES_ABSENT && !has_atom(atoms, y->member))
		return 0;
	v = arena_array(atoms->arena, most, sizeof(*v));
	if (!v)
		return -ENOMEM;
	n = list_of(y, atoms, v);
	if (holds)
		n += holds_of(y, atoms, v + n);
	return party_add(y, v, ids_sort(v, n), id);
}

/* --- devices that exist --- */

static int identity_of(struct can_run *x, const struct subject *s, struct can_identity *ret)
{
	if (s->name && s->name[0])
		ret->name = arena_printf(x->a, "device:%s", s->name);
	else
		ret->name = arena_printf(x->a, "user:%s", s->owner ? s->owner : "");
	ret->exists = s->name && s->name[0];
	return ret->name ? 0 : -ENOMEM;
}

/* Cheap to see for all but groups and lists. */
static bool may_be(const struct subject *d, const struct selector *s)
{
	switch (s->kind) {
	case SELECTOR_USER:
		return d->owner && strcmp(d->owner, s->name) == 0;
	case SELECTOR_DEVICE:
		return d->name && strcmp(d->name, s->name) == 0;
	case SELECTOR_TAG:
		for (size_t i = 0; i < d->n_tags; i++)
			if (strcmp(d->tags[i], s->name) == 0)
				return true;
		return false;
	case SELECTOR_GROUP:
	case SELECTOR_ANYONE:
		return true;
	}
	return false;
}

/* member: an atom that they must be; NAMES_ABSENT: none. */
static int add_device(struct can_party *y, const struct subject *d, uint32_t member, bool *ret_some)
{
	struct can_identity id;
	struct arena a;
	struct atoms atoms = {.arena = &a};
	int err;

	arena_init(&a, ATOMS_MEMORY_MAX);
	err = subject_atoms(&y->x->index, d, &atoms);
	if (!err && (member == NAMES_ABSENT || has_atom(&atoms, member))) {
		*ret_some = true;
		err = identity_of(y->x, d, &id);
		if (!err)
			err = add_atoms(y, &atoms, &id);
	}
	arena_done(&a);
	return err;
}

static int add_devices(struct can_party *y, const struct selector *s, bool *ret_some)
{
	uint32_t member = s->kind == SELECTOR_GROUP
				  ? index_atom(&y->x->index, SELECTOR_GROUP, s->name)
				  : NAMES_ABSENT;
	int err = 0;

	if (s->kind == SELECTOR_GROUP && member == NAMES_ABSENT)
		return 0;
	for (size_t i = 0; i < y->x->n_devices && !err; i++)
		if (may_be(&y->x->devices[i], s))
			err = add_device(y, &y->x->devices[i], member, ret_some);
	return err;
}

/* --- whoever is a selector and nothing else --- */

/* The next device of a user who is known has the groups that an admin gave: that user is among the
 * subjects, and without them there is no such user, as things are. */
static bool is_known(const struct can_run *x, const struct selector *s)
{
	return s->kind == SELECTOR_USER &&
	       names_find(&x->users, 0, s->name, strlen(s->name)) != NAMES_ABSENT;
}

int can_run_take_users(struct can_run *x)
{
	int err = 0;

	for (size_t i = 0; i < x->n_devices && !err; i++) {
		const struct subject *d = &x->devices[i];

		if ((!d->name || !d->name[0]) && d->owner && d->owner[0] &&
		    names_find(&x->users, 0, d->owner, strlen(d->owner)) == NAMES_ABSENT)
			err = names_add(&x->users, 0, d->owner, strlen(d->owner), 0);
	}
	return err;
}

/* member: as above. resource: one that they must offer, or NAMES_ABSENT. */
static int add_abstract(struct can_party *y, const struct selector *s, uint32_t member,
			uint32_t resource)
{
	const struct policy_index *x = &y->x->index;
	char name[SELECTOR_TEXT_MAX];
	struct can_identity id = {0};
	struct arena a;
	struct atoms atoms = {.arena = &a};
	bool is = resource == NAMES_ABSENT;
	int err;

	if (is_known(y->x, s))
		return 0;
	arena_init(&a, ATOMS_MEMORY_MAX);
	err = atoms_add(&atoms, index_atom(x, SELECTOR_ANYONE, NULL));
	if (!err && s->kind != SELECTOR_ANYONE)
		err = atoms_add(&atoms, index_atom(x, s->kind, s->name));
	if (!err)
		err = atoms_close(&atoms, x);
	for (uint32_t i = 0; !is && !err && i < x->on[resource].n; i++)
		is = has_atom(&atoms, x->on[resource].v[i]);
	if (!err && is && (member == NAMES_ABSENT || has_atom(&atoms, member))) {
		selector_print(s, name);
		id.name = arena_text(y->x->a, name, strlen(name));
		err = id.name ? add_atoms(y, &atoms, &id) : -ENOMEM;
	}
	arena_done(&a);
	return err;
}

/* Everybody that the group lists, also through groups in it. */
static int add_members(struct can_party *y, uint32_t group)
{
	const struct policy *p = y->x->p;
	uint32_t *todo = arena_array(y->x->a, p->n_groups, sizeof(*todo)), n = 0;
	bool *found = arena_array(y->x->a, p->n_groups, sizeof(*found));
	int err = todo && found ? 0 : -ENOMEM;

	if (!err) {
		todo[n++] = group;
		found[group] = true;
	}
	while (n > 0 && !err) {
		const struct selectors *l = &p->groups[todo[--n]].members;

		for (size_t i = 0; i < l->n_in && !err; i++) {
			err = add_abstract(y, &l->in[i], group, NAMES_ABSENT);
			if (!err && l->in[i].kind == SELECTOR_GROUP && !found[l->in[i].group]) {
				found[l->in[i].group] = true;
				todo[n++] = l->in[i].group;
			}
		}
	}
	return err;
}

/* Anyone is each that the policy knows by something. */
static int add_everybody(struct can_party *y)
{
	const struct names *all = &y->x->index.names;
	struct selector s = {.kind = SELECTOR_ANYONE};
	char name[ZT_EMAIL_MAX + 1];
	int err = add_abstract(y, &s, NAMES_ABSENT, NAMES_ABSENT);

	for (size_t i = 0; i < all->cap && !err; i++) {
		const struct names_slot *slot = &all->slots[i];

		if (!slot->p || slot->n >= sizeof(name) || slot->kind == SELECTOR_ANYONE)
			continue;
		memcpy(name, slot->p, slot->n);
		name[slot->n] = '\0';
		s = (struct selector){.kind = (enum selector_kind)slot->kind, .name = name};
		err = add_abstract(y, &s, NAMES_ABSENT, NAMES_ABSENT);
	}
	return err;
}

static bool device_exists(const struct can_run *x, const char *name)
{
	for (size_t i = 0; i < x->n_devices; i++)
		if (x->devices[i].name && strcmp(x->devices[i].name, name) == 0)
			return true;
	return false;
}

int can_party_add(struct can_party *y, const struct selector *s, bool *ret_some)
{
	uint32_t atom = index_atom(&y->x->index, s->kind, s->name);
	int err = add_devices(y, s, ret_some);

	if (err)
		return err;
	if (s->kind == SELECTOR_ANYONE) {
		*ret_some = true;
		return add_everybody(y);
	}
	if (s->kind == SELECTOR_DEVICE && *ret_some)
		return 0; /* a name is one device's: that one is known whole */
	if (s->kind == SELECTOR_USER && y->hosts)
		return 0; /* nobody offers anything as a user */
	if (atom == NAMES_ABSENT && !*ret_some)
		return 0;
	*ret_some = true;
	err = add_abstract(y, s, NAMES_ABSENT, NAMES_ABSENT);
	if (!err && s->kind == SELECTOR_GROUP && atom != NAMES_ABSENT)
		err = add_members(y, atom);
	return err;
}

/* --- hosts --- */

/* A device that offers a resource does so by an atom that its own lists say. */
static int add_real_hosts(struct can_party *y, uint32_t resource)
{
	const struct ids *on = &y->x->index.on[resource];
	bool some;
	int err = 0;

	for (size_t i = 0; i < y->x->n_devices && !err; i++) {
		const struct subject *d = &y->x->devices[i];
		const struct selectors *l = &y->x->p->resources[resource].on;
		bool may = false;

		for (size_t k = 0; k < l->n_in && !may; k++)
			may = may_be(d, &l->in[k]);
		for (uint32_t k = 0; may && k < on->n && !err; k++) {
			some = false;
			err = add_device(y, d, on->v[k], &some);
			if (some)
				break;
		}
	}
	return err;
}

static int add_point(struct can_party *y, const struct addr *addr)
{
	const struct policy *p = y->x->p;
	uint32_t *v = arena_array(y->x->a, p->n_resources, sizeof(*v)), n = 0;
	char text[ADDR_TEXT_MAX];
	struct can_identity id = {.exists = true}; /* an address is itself, and nothing else */

	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_resources; i++)
		if (networks_contain(p->resources[i].address, p->resources[i].n_address, addr))
			v[n++] = i;
	addr_print(addr, text);
	id.name = arena_text(y->x->a, text, strlen(text));
	return id.name ? party_add(y, v, n, &id) : -ENOMEM;
}

/* Where what other resources say of the resource's addresses may change: at the beginning of each
 * network, and behind each. */
static int add_points(struct can_party *y, uint32_t resource)
{
	const struct policy *p = y->x->p;
	const struct policy_resource *r = &p->resources[resource];
	struct addr at;
	int err = 0;

	for (size_t i = 0; i < p->n_resources && !err; i++)
		for (size_t k = 0; k < p->resources[i].n_address && !err; k++) {
			const struct prefix *f = &p->resources[i].address[k];

			if (networks_contain(r->address, r->n_address, &f->addr))
				err = add_point(y, &f->addr);
			if (!err && network_next(f, &at) &&
			    networks_contain(r->address, r->n_address, &at))
				err = add_point(y, &at);
		}
	return err;
}

int can_party_add_hosts(struct can_party *y, uint32_t resource)
{
	const struct policy_resource *r = &y->x->p->resources[resource];
	int err;

	if (r->n_address)
		return add_points(y, resource);
	err = add_real_hosts(y, resource);
	for (size_t i = 0; i < r->on.n_in && !err; i++) {
		const struct selector *s = &r->on.in[i];

		if (s->kind != SELECTOR_DEVICE || !device_exists(y->x, s->name))
			err = add_abstract(y, s, NAMES_ABSENT, resource);
	}
	return err;
}

int can_party_add_address(struct can_party *y, const struct addr *addr, bool *ret_some)
{
	const struct policy *p = y->x->p;

	for (size_t i = 0; i < p->n_resources && !*ret_some; i++)
		*ret_some =
			networks_contain(p->resources[i].address, p->resources[i].n_address, addr);
	return *ret_some ? add_point(y, addr) : 0;
}

const uint64_t *can_party_rules(const struct can_party *hosts)
{
	const struct policy_index *x = &hosts->x->index;
	uint64_t *rules = arena_array(hosts->x->a, hosts->x->p->n_rules / 64 + 1, sizeof(*rules));

	for (size_t i = 0; rules && i < hosts->n; i++)
		for (uint32_t k = 0; k < hosts->classes[i].n; k++) {
			const struct ids *opened = &x->opened[hosts->classes[i].v[k]];

			for (uint32_t j = 0; j < opened->n; j++)
				rules[opened->v[j] / 64] |= UINT64_C(1) << opened->v[j] % 64;
		}
	return rules;
}
