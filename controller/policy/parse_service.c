/* Readers of ports: "tcp/5432", and what people write instead. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "zt/num.h"
#include "zt/txt.h"

enum { PROTOCOLS = 4 };

static const char *const protocols[PROTOCOLS] = {"tcp", "udp", "icmp", "any"};

/* Services by the names that they are known by; and names of what is not written so. */
static const struct {
	const char *name, *meant; /* NULL: nothing; "": the word says nothing */
} words[] = {
	{"port", ""},
	{"ports", ""},
	{"on", ""},
	{"to", ""},
	{"*", "any"},
	{"all", "any"},
	{"ping", "icmp"},
	{"icmpv6", "icmp"},
	{"ssh", "tcp/22"},
	{"http", "tcp/80"},
	{"https", "tcp/443"},
	{"rdp", "tcp/3389"},
	{"smb", "tcp/445"},
	{"smtp", "tcp/25"},
	{"ldap", "tcp/389"},
	{"ldaps", "tcp/636"},
	{"imap", "tcp/143"},
	{"imaps", "tcp/993"},
	{"mysql", "tcp/3306"},
	{"redis", "tcp/6379"},
	{"vnc", "tcp/5900"},
	{"postgres", "tcp/5432"},
	{"postgresql", "tcp/5432"},
	{"ntp", "udp/123"},
	{"dns", "udp/53"},
	{"sctp", NULL},
	{"dccp", NULL},
	{"esp", NULL},
	{"gre", NULL},
};
enum { WORDS = sizeof(words) / sizeof(words[0]) };

/* What was found in the text so far. */
struct meant {
	const char *protocol;
	bool any_port;
	char ports[2][8];
	size_t n_ports;
	const char *whole; /* a service by its name */
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || c == '*';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool take_word(struct meant *m, const char *word)
{
	const char *near;

	for (size_t i = 0; i < WORDS; i++) {
		if (!txt_equal(words[i].name, word))
			continue;
		if (!words[i].meant)
			return false;
		if (m->protocol && txt_equal(words[i].meant, "any"))
			m->any_port = true;
		else if (words[i].meant[0])
			m->whole = words[i].meant;
		return true;
	}
	near = txt_nearest(word, protocols, PROTOCOLS);
	if (!near)
		return false;
	if (m->protocol && !txt_equal(near, "any"))
		return false;
	m->any_port = m->any_port || m->protocol;
	m->protocol = m->protocol ? m->protocol : near;
	return true;
}

static bool take_port(struct meant *m, const char *digits)
{
	size_t n;

	while (digits[0] == '0' && digits[1])
		digits++;
	n = strlen(digits);
	if (m->n_ports == 2 || n >= sizeof(m->ports[0]))
		return false;
	memcpy(m->ports[m->n_ports++], digits, n + 1);
	return true;
}

/* The words and numbers of the text, whatever stands between them. */
static bool find_parts(const char *s, struct meant *m)
{
	bool joined = false; /* by what makes a range of two numbers */
	char part[16];

	while (*s) {
		bool letters = is_letter(*s);
		size_t n = 0;

		if (!letters && !is_digit(*s)) {
			joined = joined || strchr("-.:", *s);
			if (!strchr(" \t/:.-\\=", *s++))
				return false;
			continue;
		}
		while (n + 1 < sizeof(part) &&
		       (letters ? is_letter(s[n]) || (n > 3 && s[n] == '6') : is_digit(s[n])))
			n++;
		snprintf(part, sizeof(part), "%.*s", (int)n, s);
		s += n;
		if (letters ? !take_word(m, part)
			    : (m->n_ports == 1 && !joined) || !take_port(m, part))
			return false;
		joined = false;
	}
	return true;
}

bool service_meant(const struct span *s, char out[static SERVICE_TEXT_MAX])
{
	struct meant m = {0};
	struct service parsed;
	char text[64];
	const char *protocol;

	if (!span_text(s, text, sizeof(text)))
		return false;
	text_to_lower(text);
	if (!find_parts(text, &m))
		return false;
	protocol = m.protocol ? m.protocol : "tcp";
	if (m.whole && !m.n_ports && (!m.protocol || txt_starts(m.whole, m.protocol)))
		snprintf(out, SERVICE_TEXT_MAX, "%s", m.whole);
	else if (m.whole)
		return false;
	else if (txt_equal(protocol, "icmp") || (txt_equal(protocol, "any") && !m.n_ports))
		snprintf(out, SERVICE_TEXT_MAX, "%s", protocol);
	else if (m.n_ports == 0)
		snprintf(out, SERVICE_TEXT_MAX, "%s/any", protocol);
	else
		snprintf(out, SERVICE_TEXT_MAX, "%s/%s%s%s", protocol, m.ports[0],
			 m.n_ports == 2 ? "-" : "", m.n_ports == 2 ? m.ports[1] : "");
	return (m.protocol || m.n_ports || m.whole) && !(m.any_port && m.n_ports) &&
	       service_parse(out, &parsed) == 0;
}

bool value_service(struct parse *c, const struct span *s, const char *help, struct service *ret)
{
	char word[32], meant[SERVICE_TEXT_MAX];
	int err = -ZT_EFORM;
	struct diag *d;

	if (span_text(s, word, sizeof(word)))
		err = service_parse(word, ret);
	if (err == 0)
		return true;
	if (err == -ERANGE) {
		diag_hint(problem_with(c, s, "has a port out of range"),
			  "ports are 1 to 65535, and a range begins with its lower end");
		return false;
	}
	d = problem_with(c, s, "is not a protocol with a port");
	if (service_meant(s, meant))
		diag_hint(d, "did you mean %s?", meant);
	else
		diag_hint(d, "write %s", help);
	return false;
}

/* --- a resource and a port --- */

/* The declared resource that some word of the text names; the rest of it without that and its
 * prefix. */
static bool find_resource(const struct parse *c, const struct span *s, struct span *ret,
			  char rest[static 64])
{
	for (size_t at = 0, n, before; at < s->n; at += n + 1) {
		for (n = 0; at + n < s->n && !strchr(" \t,:/", s->p[at + n]); n++)
			;
		*ret = span_skip(*s, at);
		ret->n = n;
		if (n == 0 || names_find(&c->names, THING_RESOURCE, ret->p, n) == NAMES_ABSENT)
			continue;
		before = at;
		while (before > 0 && !strchr(" \t,/", s->p[before - 1]))
			before--;
		return snprintf(rest, 64, "%.*s %.*s", (int)before, s->p, (int)(s->n - at - n),
				ret->p + n) < 64;
	}
	return false;
}

bool target_meant(const struct parse *c, const struct span *s, struct span *ret_name,
		  char ret_port[static SERVICE_TEXT_MAX])
{
	struct span rest;
	char text[64];

	if (!find_resource(c, s, ret_name, text))
		return false;
	for (char *p = text; *p; p++)
		if (*p == ',')
			*p = ' ';
	rest = span_trim((struct span){.p = text, .n = strlen(text)});
	return rest.n > 0 && service_meant(&rest, ret_port);
}
