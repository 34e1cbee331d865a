/* Two devices with open streams: a database, and ada, whom a policy may let in. */
#pragma once

#include "tests/shell/api_device.h"

static FIXTURE_UNUSED const char db_policy[] =
	"[network]\nlease = 1h\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[rule ada-db]\nwho = user:ada@x.org\nwhat = resource:db\n"
	"why = she runs it\n";
static FIXTURE_UNUSED const char empty_policy[] = "[network]\nlease = 1h\n";
/* posture: what stands in [posture p] besides require */
#define POSTURE_POLICY(posture)                                                                    \
	"[network]\nlease = 1h\n"                                                                  \
	"[resource db]\non = tag:db\nports = tcp/5432\n"                                           \
	"[posture p]\nrequire = disk.encrypted == true\n" posture                                  \
	"[rule ada-db]\nwho = user:ada@x.org\nwhat = resource:db\nhow = posture:p\n"               \
	"why = she runs it\n"

static struct dev *db, *ada;

static void two_online(const char *policy)
{
	policy_ok(policy);
	db = online("\"tags\":[\"db\"]", "db");
	ada = online("\"user\":\"ada@x.org\"", "ada");
}

static void two_gone(void)
{
	dev_free(db);
	dev_free(ada);
	db = ada = NULL;
}

static struct reply send_report(struct dev *d, const struct report *report)
{
	const char *const headers[] = {d->session, NULL};
	struct reply r;
	struct buf b;

	buf_init_grow(&b, ZT_REPORT_MAX);
	assert_int_equal(report_encode(report, &b), 0);
	r = call_with(d->curl, "POST", "/v1/report", headers, b.data, b.len);
	buf_free(&b);
	return r;
}

static struct reply report_fact(struct dev *d, const char *name, const char *value)
{
	struct fact f = {.state = FACT_KNOWN};
	struct report report = {.full = true, .serial = d->serial, .facts = &f, .n_facts = 1};

	snprintf(f.name, sizeof(f.name), "%s", name);
	snprintf(f.value, sizeof(f.value), "%s", value);
	return send_report(d, &report);
}

static FIXTURE_UNUSED void report_ok(struct dev *d, const char *name, const char *value)
{
	struct reply r = report_fact(d, name, value);

	if (r.status != 200)
		fail_msg("report: %ld %s", r.status, r.text);
	drop(&r);
}
