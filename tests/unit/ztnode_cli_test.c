/* ztnode's command line: options and their file, the daemon's answers, and what of them reaches a
 * terminal. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zt/log.h"
#include "ztnode/cli/args.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/ask.h"
#include "ztnode/cli/echo.h"
#include "ztnode/cli/options.h"
#include "ztnode/cli/peer.h"
#include "ztnode/cli/plan.h"
#include "ztnode/cli/posture.h"
#include "ztnode/cli/status.h"
#include "ztnode/cli/table.h"
#include "ztnode/cli/why.h"

enum { WORDS_MAX = 24 };

/* --- global options --- */

static size_t count_words(const char *const *words)
{
	size_t n = 0;

	while (words[n])
		n++;
	return n;
}

static int take(struct options *o, const char *const *words, int *ret_argc, char **argv,
		struct diag *d)
{
	*ret_argc = (int)count_words(words);
	for (size_t i = 0; i <= (size_t)*ret_argc; i++)
		argv[i] = (char *)words[i];
	options_init(o);
	return options_take(o, ret_argc, argv, d);
}

static void global_options_stand_anywhere(void **state)
{
	static const struct {
		const char *says;
		const char *words[8];
		const char *left[5]; /* behind the program's name */
		const char *dir;
		bool json;
	} rows[] = {
		{"before the command", {"z", "--state", "/s", "status"}, {"status"}, "/s", false},
		{"behind it", {"z", "status", "--state", "/s", "--json"}, {"status"}, "/s", true},
		{"with an equals sign",
		 {"z", "why", "--state=/s", "a", "b"},
		 {"why", "a", "b"},
		 "/s",
		 false},
		{"the last one wins", {"z", "--state=/a", "up", "--state=/s"}, {"up"}, "/s", false},
		{"an empty value is one", {"z", "--state=", "up"}, {"up"}, "", false},
		{"words of the command stay",
		 {"z", "ping", "-c", "3"},
		 {"ping", "-c", "3"},
		 NULL,
		 false},
		{"unknown options stay",
		 {"z", "up", "--stat", "x"},
		 {"up", "--stat", "x"},
		 NULL,
		 false},
		{"nothing behind -- is one",
		 {"z", "why", "--", "--json"},
		 {"why", "--", "--json"},
		 NULL,
		 false},
	};
	char *argv[WORDS_MAX];
	struct options o;
	struct diag d;
	int argc;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const char *says = rows[i].says, *dir = NULL;

		row_check(says, take(&o, rows[i].words, &argc, argv, &d) == 0);
		row_check(says, (size_t)argc == 1 + count_words(rows[i].left));
		for (int k = 1; k < argc; k++)
			row_check(says, strcmp(argv[k], rows[i].left[k - 1]) == 0);
		dir = o.given[OPTION_STATE];
		row_check(says, argv[argc] == NULL && o.json == rows[i].json);
		row_check(says, rows[i].dir ? dir && strcmp(dir, rows[i].dir) == 0 : !dir);
	}
}

static void an_option_without_its_value_is_refused(void **state)
{
	static const char *const words[] = {"z", "status", "--run", NULL};
	char *argv[WORDS_MAX];
	struct options o;
	struct diag d = {0};
	int argc;

	(void)state;
	assert_int_equal(take(&o, words, &argc, argv, &d), -EINVAL);
	assert_string_equal(d.message, "--run needs a value");
}

/* --- the configuration file --- */

static int read_text(struct options *o, const char *text, struct diag *d)
{
	FILE *f = tmpfile();
	int err;

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	rewind(f);
	*d = (struct diag){0};
	options_init(o);
	err = options_read(o, f, "z.ini", d);
	fclose(f);
	return err;
}

static void a_whole_file_is_read(void **state)
{
	static const char text[] =
		"# ztnode\nstate = /s\nrun=/r ; where the socket is\n\ninterface = wg-1\n"
		"listen_port = 4000\nroute_metric = 5\nuser =\nposture_dir = /p q\nlog = debug\n";
	struct options o;
	struct diag d;

	(void)state;
	assert_int_equal(read_text(&o, text, &d), 0);
	assert_string_equal(o.node.state_dir, "/s");
	assert_string_equal(o.node.run_dir, "/r");
	assert_string_equal(o.node.interface, "wg-1");
	assert_string_equal(o.node.posture_dir, "/p q");
	assert_string_equal(o.node.user, "");
	assert_true(o.set[OPTION_USER]);
	assert_int_equal(o.node.listen_port, 4000);
	assert_int_equal(o.node.route_metric, 5);
	assert_int_equal(o.log, LOG_LEVEL_DEBUG);
}

static void a_wrong_file_is_refused_with_its_line(void **state)
{
	static const char long_value[] =
		"log=info\nstate = /0123456789012345678901234567890123456789012345678901234567890"
		"12345678901234567890123456789012345678901234567890123456789012345678901234567890"
		"1234567890123456789012345678901234567890123456789012345678901234567890\nlog=info";
	static const struct {
		const char *says, *text, *message, *hint;
		unsigned line;
	} rows[] = {
		{"a mistyped key", "run=/r\n\nlisten_prt = 4\n", "no such key: \"listen_prt\"",
		 "did you mean \"listen_port\"?", 3},
		{"a key like nothing", "colour = red\n", "no such key: \"colour\"",
		 "the keys are state run interface listen_port route_metric user posture_dir log",
		 1},
		{"a key twice", "run=/r\nrun=/q\n",
		 "a key may stand only once, unindented: \"run\"", "", 2},
		{"a second line that looks like more of the first", "run=/r\n  state=/s\n",
		 "a key may stand only once, unindented: \"run\"", "", 2},
		{"a section", "\n[node]\nrun=/r\n", "this file has no sections, so no \"node\"", "",
		 3},
		{"a word alone", "run=/r\nstate\n", "this is not \"key = value\"", "", 2},
		{"a port out of range", "listen_port=65536",
		 "listen_port must be a number from 1 to 65535", "", 1},
		{"a port that is none", "listen_port=no",
		 "listen_port must be a number from 1 to 65535", "", 1},
		{"no metric", "route_metric=0",
		 "route_metric must be a number from 1 to 4294967295", "", 1},
		{"a level that is none", "log=loud", "log must be error, warn, info or debug", "",
		 1},
		{"an interface that is a path", "interface=../x",
		 "an interface name has 1 to 15 letters, digits, '_', '.' or '-'", "", 1},
		{"no state directory", "state=", "state must be a path of 1 to 255 bytes", "", 1},
		{"the first error stays", "log=loud\nlisten_port=no\nfoo",
		 "log must be error, warn, info or debug", "", 1},
		{"a line that is longer than inih reads", long_value,
		 "this line is longer than 198 bytes", "", 2},
	};
	struct options o;
	struct diag d;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		row_check(rows[i].says, read_text(&o, rows[i].text, &d) == -EINVAL);
		row_check(rows[i].says, d.line == rows[i].line && strcmp(d.file, "z.ini") == 0);
		row_check(rows[i].says, strcmp(d.message, rows[i].message) == 0);
		row_check(rows[i].says, strcmp(d.hint, rows[i].hint) == 0);
	}
}

static int finish(const char *const *words, struct options *o, struct diag *d)
{
	char *argv[WORDS_MAX];
	int argc;

	assert_int_equal(take(o, words, &argc, argv, d), 0);
	return options_finish_role(o, d);
}

static void only_good_interface_names_pass(void **state)
{
	static const struct {
		const char *says, *name;
		bool good;
	} rows[] = {
		{"the usual one", "zt0", true},
		{"15 characters", "abcdefghijklmno", true},
		{"16 characters", "abcdefghijklmnop", false},
		{"nothing", "", false},
		{"a path", "a/b", false},
		{"white space", "a b", false},
		{"a newline", "a\nb", false},
		{"a template of the kernel", "zt%d", false},
		{"an alias of old", "eth0:1", false},
		{"this directory", ".", false},
		{"the one above", "..", false},
		{"what reads as an option", "-a", false},
		{"an escape code", "a\033[1m", false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const char *words[] = {"z",  "--state",	      "/s",	    "--run",
				       "/r", "--user",	      "",	    "--posture-dir",
				       "/p", "--listen-port", "1",	    "--route-metric",
				       "1",  "--interface",   rows[i].name, NULL};
		struct options o;
		struct diag d;

		row_check(rows[i].says, finish(words, &o, &d) == (rows[i].good ? 0 : -EINVAL));
	}
}

static void a_role_gets_the_very_same_configuration(void **state)
{
	struct node_config c = {.state_dir = "/s",
				.run_dir = "/r",
				.interface = "i0",
				.user = "",
				.posture_dir = "/p",
				.listen_port = 65535,
				.route_metric = UINT32_MAX};
	struct role_argv words;
	struct options o;
	struct diag d;

	(void)state;
	options_role_argv(&c, "kern", &words);
	assert_string_equal(words.argv[1], "--role");
	assert_string_equal(words.argv[2], "kern");
	assert_int_equal(finish(words.argv + 2, &o, &d), 0);
	assert_string_equal(o.node.state_dir, c.state_dir);
	assert_string_equal(o.node.run_dir, c.run_dir);
	assert_string_equal(o.node.interface, c.interface);
	assert_string_equal(o.node.user, c.user);
	assert_string_equal(o.node.posture_dir, c.posture_dir);
	assert_int_equal(o.node.listen_port, c.listen_port);
	assert_int_equal(o.node.route_metric, c.route_metric);
}

static void a_role_takes_no_default(void **state)
{
	struct node_config c = {.state_dir = "/s",
				.run_dir = "/r",
				.interface = "i0",
				.user = "",
				.posture_dir = NULL,
				.listen_port = 1,
				.route_metric = 1};
	struct role_argv words;
	struct options o;
	struct diag d;

	(void)state;
	options_role_argv(&c, "net", &words);
	assert_int_equal(finish(words.argv + 2, &o, &d), -EINVAL);
	assert_string_equal(d.message, "--role needs --posture-dir");
}

/* --- words of a subcommand --- */

static void words_of_a_command(void **state)
{
	static const struct {
		const char *says;
		const char *words[6];
		const char *message; /* NULL: good */
		const char *first, *count;
		bool json;
	} rows[] = {
		{"one argument", {"ping", "a"}, NULL, "a", NULL, false},
		{"an option before it", {"ping", "-c", "3", "a"}, NULL, "a", "3", false},
		{"a switch behind it", {"ping", "a", "--json"}, NULL, "a", NULL, true},
		{"a long option with '='", {"ping", "--name=x", "a"}, NULL, "a", "x", false},
		{"a value that looks like an option",
		 {"ping", "-c", "-1", "a"},
		 NULL,
		 "a",
		 "-1",
		 false},
		{"a dash alone is a word", {"ping", "-"}, NULL, "-", NULL, false},
		{"everything behind -- is a word", {"ping", "--", "-c"}, NULL, "-c", NULL, false},
		{"none", {"ping"}, "ping: an argument is missing", NULL, NULL, false},
		{"two",
		 {"ping", "a", "b"},
		 "ping: too many arguments, from \"b\"",
		 NULL,
		 NULL,
		 false},
		{"no value", {"ping", "a", "-c"}, "ping: -c needs a value", NULL, NULL, false},
		{"a switch with one",
		 {"ping", "a", "--json=1"},
		 "ping: --json takes no value",
		 NULL,
		 NULL,
		 false},
		{"an unknown option",
		 {"ping", "-x", "a"},
		 "ping: unknown option \"-x\"",
		 NULL,
		 NULL,
		 false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const char *count = NULL, *first, *says = rows[i].says;
		bool json = false;
		const struct arg_option options[] = {
			{"-c", &count, NULL}, {"--name", &count, NULL}, {"--json", NULL, &json}};
		struct diag d = {0};
		int err = args_parse((int)count_words(rows[i].words), (char **)rows[i].words,
				     options, N_OF(options), &first, 1, 1, &d);

		row_check(says, err == (rows[i].message ? -EINVAL : 0));
		if (rows[i].message) {
			row_check(says, strcmp(d.message, rows[i].message) == 0);
			continue;
		}
		row_check(says, strcmp(first, rows[i].first) == 0 && json == rows[i].json);
		row_check(says,
			  rows[i].count ? count && strcmp(count, rows[i].count) == 0 : !count);
	}
}

static void completion_knows_the_commands(void **state)
{
	static const struct command commands[] = {{.name = "up"}, {.name = "why"}, {.name = NULL}};
	struct buf b;

	(void)state;
	buf_init_grow(&b, 16384);
	completion_print(commands, &b);
	assert_non_null(strstr(buf_text(&b), "commands='up why'"));
	assert_non_null(strstr(buf_text(&b), "--interface"));
	assert_non_null(strstr(buf_text(&b), "complete -o default -F _ztnode ztnode\n"));
	buf_free(&b);
}

/* --- parts of the printers --- */

static void columns_stand_below_each_other(void **state)
{
	static const char *const heads[] = {"NAME", ">AGE", "REST"};
	static const char *const cells[] = {"a",  "12s", "x", "\033[1mlonger\033[0m", "1h", "",
					    "é✓", "-",	 "y"};
	struct buf b;

	(void)state;
	buf_init_grow(&b, 4096);
	table_print(heads, 3, cells, 3, &b);
	assert_string_equal(buf_text(&b), "NAME    AGE  REST\n"
					  "a       12s  x\n"
					  "\033[1mlonger\033[0m   1h  \n"
					  "é✓        -  y\n");
	buf_reset(&b);
	table_print(heads, 3, NULL, 0, &b);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void setup_term(struct term *t)
{
	term_init(t, false, (struct now){.wall_ms = 1700000000000}); /* 2023-11-14T22:13:20Z */
}

static void times_and_sizes_read_well(void **state)
{
	static const struct {
		const char *says;
		int64_t n;
		const char *span, *bytes;
	} rows[] = {
		{"nothing", 0, "0s", "0 B"},
		{"below a minute and a KiB", 59, "59s", "59 B"},
		{"a minute", 60, "1m", "60 B"},
		{"just below an hour", 3599, "59m", "3.5 KiB"},
		{"an hour and a half", 5400, "1h 30m", "5.3 KiB"},
		{"a day and an hour", 90000, "1d 1h", "87.9 KiB"},
		{"as much as there can be", INT64_MAX, "106751991167300d 15h", "8.0 EiB"},
		{"less than nothing", -1, "-1s", "-"},
	};
	struct term t;

	(void)state;
	setup_term(&t);
	for (size_t i = 0; i < N_OF(rows); i++) {
		row_check(rows[i].says, strcmp(term_span(&t, rows[i].n), rows[i].span) == 0);
		row_check(rows[i].says, strcmp(term_bytes(&t, rows[i].n), rows[i].bytes) == 0);
	}
	term_done(&t);
}

static void a_time_is_said_from_now(void **state)
{
	static const struct {
		const char *says, *time, *want;
	} rows[] = {
		{"past", "2023-11-14T22:13:08Z", "12s ago"},
		{"now", "2023-11-14T22:13:20Z", "0s ago"},
		{"to come", "2023-11-14T23:12:21Z", "in 59m"},
		{"with a fraction", "2023-11-14T22:13:08.25Z", "12s ago"},
		{"in another zone: as it is", "2023-11-14T22:13:08+01:00",
		 "2023-11-14T22:13:08+01:00"},
		{"no time: made safe", "soon\033[2J", "soon?[2J"},
		{"none", NULL, "-"},
	};
	struct term t;

	(void)state;
	setup_term(&t);
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says, strcmp(term_when(&t, rows[i].time), rows[i].want) == 0);
	term_done(&t);
}

/* --- the printers --- */

static const char status_json[] =
	"{'device':{'id':7,'name':'ada-laptop','owner':'ada@example.org','tags':[],"
	" 'addresses':['100.64.0.7','fd00::7'],'state':'active'},"
	"'controller':{'url':'https://ctl:8443','connected':true,"
	" 'since':'2023-11-14T22:00:00Z','serial':42},"
	"'lease':{'expires':'2023-11-14T23:12:21Z','remaining_s':3541},"
	"'interface':'zt0','enforced':false,'problem':'no WireGuard',"
	"'posture':[{'profile':'basic','ok':true,'failed':[]},"
	" {'profile':'disk','ok':false,'failed':['disk.encrypted == true (is false)',"
	"  {'condition':'os.version >= 12','is':'11','hint':'upgrade'}]}],"
	"'peers':[{'id':8,'name':'payroll-db','addresses':['100.64.0.8'],"
	"  'allowed_ips':['100.64.0.8/32'],'endpoint':'192.0.2.7:51820','path':'direct',"
	"  'rtt_ms':12.3,'last_handshake':'2023-11-14T22:13:08Z',"
	"  'rx_bytes':123456,'tx_bytes':17,'rules':['a','b']},"
	" {'id':9,'name':'x','addresses':[],'endpoint':null,'path':'none','rtt_ms':null,"
	"  'last_handshake':null,'rx_bytes':0,'tx_bytes':0,'rules':[]}],"
	"'grants':[{'rule':'a','direction':'out','peer':'payroll-db','proto':'tcp',"
	"  'ports':'5432','expires':'2023-11-15T00:13:20Z'},"
	" {'rule':'b','direction':'out','peer':8,'proto':'icmp','ports':'','expires':null},"
	" {'rule':'c','direction':'in','peer':'x','proto':'any','ports':'any','expires':null},"
	" {'rule':'d','direction':'out','peer':'x','proto':'tcp','ports':'22',"
	"  'expires':'2023-11-15T00:13:20Z','problem':'cannot enforce app:x'}]}";

static const char posture_json[] =
	"{'facts':[{'name':'disk.encrypted','value':'false','known':true,'age_s':12},"
	" {'name':'tpm.present','value':'no rights','known':false,'age_s':4000}],"
	"'profiles':[{'profile':'basic','ok':true,'failed':[]},"
	" {'profile':'disk','ok':false,'failed':[{'condition':'disk.encrypted == true',"
	"  'is':'false','hint':'turn on LUKS'}]}]}";

static const char allowed_json[] =
	"{'allowed':true,'rule':'a','why':'ada is in finance','nearest':null}";
static const char denied_json[] =
	"{'allowed':false,'rule':null,'nearest':{'rule':'a','failed':["
	" {'condition':'posture:disk','is':'false','hint':'turn on LUKS'},"
	" {'condition':'hours','is':'22:13','hint':'','since':'2026-11-23T20:00:00Z'}]}}";

enum { JSON_MAX = 4096 };

/* JSON stands in this file with ' for ", to be read. */
static void unquote(const char *text, char out[static JSON_MAX])
{
	size_t n = strlen(text);

	assert_true(n < JSON_MAX);
	for (size_t i = 0; i <= n; i++)
		out[i] = text[i] == '\'' ? '"' : text[i];
}

static json_t *load(const char *text)
{
	char json[JSON_MAX];
	json_t *j;

	unquote(text, json);
	j = json_loads(json, 0, NULL);
	assert_non_null(j);
	return j;
}

static void check_print(const char *says, void (*print)(const json_t *, struct term *),
			const char *json, const char *want)
{
	json_t *j = load(json);
	struct term t;

	setup_term(&t);
	print(j, &t);
	if (strcmp(buf_text(&t.out), want) != 0)
		fail_msg("%s:\n%s", says, buf_text(&t.out));
	term_done(&t);
	json_decref(j);
}

static void answers_read_well(void **state)
{
	(void)state;
	check_print(
		"a full status", status_print, status_json,
		"ada-laptop  active\n"
		"  id          7\n"
		"  owner       ada@example.org\n"
		"  tags        -\n"
		"  addresses   100.64.0.7, fd00::7\n"
		"  interface   zt0\n"
		"  controller  https://ctl:8443  connected (since 2023-11-14T22:00:00Z), serial "
		"42\n"
		"  lease       ends in 59m\n"
		"  posture     ✓ basic\n"
		"              ✗ disk\n"
		"                ✗ disk.encrypted == true (is false)\n"
		"                ✗ os.version >= 12  (is 11)\n"
		"                  hint: upgrade\n"
		"  enforced    no (ztnode up)\n"
		"  problem     no WireGuard\n"
		"\npeers (2)\n"
		"PEER        ADDRESSES   PATH    ENDPOINT         HANDSHAKE         RX    TX  "
		"RULES\n"
		"payroll-db  100.64.0.8  direct  192.0.2.7:51820  12s ago    120.6 KiB  17 B  a, "
		"b\n"
		"x           -           none    -                -                0 B   0 B  -\n"
		"\ngrants (4)\n"
		"DIRECTION  PEER        SERVICE   RULE  EXPIRES\n"
		"out        payroll-db  tcp/5432  a     in 2h 0m\n"
		"out        8           icmp      b     with the lease\n"
		"in         x           any       c     with the lease\n"
		"out        x           tcp/22    d     cannot enforce app:x\n");
	check_print("the facts and who asks", posture_print, posture_json,
		    "FACT              AGE  VALUE\n"
		    "disk.encrypted    12s  false\n"
		    "tpm.present     1h 6m  unknown (no rights)\n"
		    "\nprofiles that ask for them (2)\n"
		    "✓ basic\n"
		    "✗ disk\n"
		    "    ✗ disk.encrypted == true  (is false)\n"
		    "      hint: turn on LUKS\n");
	check_print("allowed", why_print, allowed_json, "ALLOWED by rule a\n  ada is in finance\n");
	check_print("denied", why_print, denied_json,
		    "DENIED: the nearest rule is a, and\n"
		    "  ✗ posture:disk  (is false)\n"
		    "    hint: turn on LUKS\n"
		    "  ✗ hours  (is 22:13, since 2026-11-23T20:00:00Z)\n");
	check_print("denied by nothing near", why_print,
		    "{'allowed':false,'rule':null,'nearest':null}", "DENIED: no rule comes near\n");
	check_print("what would change", plan_print, "{'ops':['peer 8 add','route del']}",
		    "peer 8 add\nroute del\n");
	check_print("all is well", plan_print, "{'ops':[]}", "nothing to change\n");
}

static void parts_of_the_status(void **state)
{
	static const struct {
		const char *says, *json, *want;
	} rows[] = {
		{"over", "{'lease':{'remaining_s':0}}", "over: nothing passes"},
		{"over, but for what has a longer one", "{'lease':{'remaining_s':0},'grants':[{}]}",
		 "over: only what has a longer lease passes"},
		{"long over", "{'lease':{'remaining_s':-9}}", "over: nothing passes"},
		{"none at all", "{'lease':null}", "none"},
		{"a lease that is no number", "{'lease':{'remaining_s':'9'}}", "none"},
		{"a controller that is away",
		 "{'controller':{'connected':false,'problem':'timed out','hint':'look'}}",
		 "not connected, serial -\n              timed out\n              hint: look\n"},
		{"the last second", "{'lease':{'remaining_s':1}}", "ends in 1s"},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		json_t *j = load(rows[i].json);
		struct term t;

		setup_term(&t);
		status_print(j, &t);
		row_check(rows[i].says, strstr(buf_text(&t.out), rows[i].want) != NULL);
		term_done(&t);
		json_decref(j);
	}
}

/* --- hostile answers --- */

static const char hostile[] = "a\033]0;pwn\007\r\n\302\233[2J\342\200\256b\tc";

static void (*const printers[])(const json_t *, struct term *) = {status_print, posture_print,
								  why_print, plan_print};

/* Nothing but lines of text comes out: no control of C0 or C1, no mark that turns the direction. */
static void check_harmless(const char *out)
{
	for (const unsigned char *s = (const unsigned char *)out; *s; s++) {
		assert_false((*s < 0x20 && *s != '\n') || *s == 0x7f);
		assert_false(s[0] == 0xc2 && s[1] < 0xa0);
		assert_false(s[0] == 0xe2 && s[1] == 0x80 && s[2] == 0xae);
	}
}

static void print_all(const json_t *j)
{
	for (size_t i = 0; i < N_OF(printers); i++) {
		struct term t;

		setup_term(&t);
		printers[i](j, &t);
		assert_int_equal(t.out.err, 0);
		check_harmless(buf_text(&t.out));
		term_done(&t);
	}
}

/* Puts value in each place of the tree in turn, prints, and puts back what was there. Returns the
 * number of places. */
static size_t try_each_place(const json_t *root, json_t *at, json_t *value)
{
	size_t n = 0, i;
	const char *key;
	json_t *child;
	void *next;

	json_object_foreach_safe(at, next, key, child)
	{
		json_incref(child);
		json_object_set(at, key, value);
		print_all(root);
		json_object_set_new(at, key, child);
		n += 1 + try_each_place(root, child, value);
	}
	for (i = 0; i < json_array_size(at); i++) {
		child = json_incref(json_array_get(at, i));
		json_array_set(at, i, value);
		print_all(root);
		json_array_set_new(at, i, child);
		n += 1 + try_each_place(root, child, value);
	}
	return n;
}

static void no_answer_harms_a_terminal(void **state)
{
	static const char *const answers[] = {status_json, posture_json, allowed_json, denied_json,
					      "{'ops':['a']}"};
	json_t *values[] = {
		json_string(hostile),
		json_null(),
		json_integer(INT64_MIN),
		json_real(1e300),
		json_object(),
		json_pack("[[s]]", "a"),
		json_pack("[s, n]", hostile),
		json_true(),
	};
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < N_OF(answers); i++) {
		json_t *j = load(answers[i]);

		for (size_t k = 0; k < N_OF(values); k++)
			n += try_each_place(j, j, values[k]);
		json_decref(j);
	}
	assert_true(n > 400);
	for (size_t k = 0; k < N_OF(values); k++)
		json_decref(values[k]);
}

/* --- peers --- */

static void a_peer_has_many_names(void **state)
{
	static const struct {
		const char *says, *word, *name, *hint;
	} rows[] = {
		{"its name", "payroll-db", "payroll-db", ""},
		{"its id", "9", "x", ""},
		{"its address", "100.64.0.8", "payroll-db", ""},
		{"nearly its name", "payrol-db", NULL, "did you mean \"payroll-db\"?"},
		{"another's address", "100.64.0.9", NULL, "ztnode status lists the peers"},
		{"nothing", "", NULL, "ztnode status lists the peers"},
		{"this device is no peer of its own", "ada-laptop", NULL,
		 "ztnode status lists the peers"},
	};
	json_t *status = load(status_json);

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct diag d = {0};
		const json_t *peer = peer_find(status, rows[i].word, &d);
		const char *name = json_string_value(json_object_get(peer, "name"));

		row_check(rows[i].says,
			  rows[i].name ? name && strcmp(name, rows[i].name) == 0 : !peer);
		row_check(rows[i].says, strcmp(d.hint, rows[i].hint) == 0);
	}
	json_decref(status);
}

static void only_a_grant_out_allows_a_ping(void **state)
{
	static const struct {
		const char *says, *status;
		int want;
	} rows[] = {
		{"by name", "{'grants':[{'direction':'out','peer':'b','proto':'icmp'}]}", 0},
		{"by id", "{'grants':[{'direction':'out','peer':8,'proto':'icmp'}]}", 0},
		{"by an id in text", "{'grants':[{'direction':'out','peer':'8','proto':'icmp'}]}",
		 0},
		{"with all else", "{'grants':[{'direction':'out','peer':'b','proto':'any'}]}", 0},
		{"the other way", "{'grants':[{'direction':'in','peer':'b','proto':'icmp'}]}", 4},
		{"to another", "{'grants':[{'direction':'out','peer':'c','proto':'icmp'}]}", 4},
		{"only tcp", "{'grants':[{'direction':'out','peer':'b','proto':'tcp'}]}", 4},
		{"to nobody", "{'grants':[{'direction':'out','peer':null,'proto':'icmp'}]}", 4},
		{"by a rule that cannot be enforced here",
		 "{'grants':[{'direction':'out','peer':'b','proto':'icmp','problem':'app:x'}]}", 4},
		{"no grant", "{'grants':[],'lease':{'remaining_s':9}}", 4},
		{"beyond the map's lease",
		 "{'grants':[{'direction':'out','peer':'b','proto':'icmp'}],"
		 "'lease':{'remaining_s':0}}",
		 0},
		{"no lease, so no grant", "{'grants':[],'lease':{'remaining_s':0}}", 1},
	};
	json_t *peer = load("{'name':'b','id':8}");

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		json_t *status = load(rows[i].status);
		struct diag d = {0};

		row_check(rows[i].says, peer_may_ping(status, peer, "b", &d) == rows[i].want);
		row_check(rows[i].says, (d.message[0] != 0) == (rows[i].want != 0));
		json_decref(status);
	}
	json_decref(peer);
}

static void the_path_of_a_peer(void **state)
{
	static const struct {
		const char *says, *peer, *want;
	} rows[] = {
		{"direct", "{'path':'direct','endpoint':'192.0.2.7:1'}", "direct 192.0.2.7:1"},
		{"direct, the endpoint is not known", "{'path':'direct','endpoint':null}",
		 "direct"},
		{"by a relay, whose endpoint says nothing",
		 "{'path':'relay','endpoint':'192.0.2.7:1'}", "relay"},
		{"none", "{}", "none"},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		json_t *peer = load(rows[i].peer);
		char path[64];

		peer_path(peer, path, sizeof(path));
		row_check(rows[i].says, strcmp(path, rows[i].want) == 0);
		json_decref(peer);
	}
}

/* --- echo messages --- */

static void a_request_has_a_right_checksum(void **state)
{
	/* RFC 1071 section 3's numbers, the sum of which is ddf2. */
	static const uint8_t rfc[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	struct echo e = {.family = ADDR_V4, .id = 0x1234, .seq = 0xfffe};
	uint8_t p[ECHO_SIZE];

	(void)state;
	assert_int_equal(echo_checksum(rfc, sizeof(rfc)), (uint16_t)~0xddf2);
	echo_encode(&e, p);
	assert_int_equal(p[0], 8);
	assert_int_equal(echo_checksum(p, sizeof(p)), 0);
	e.family = ADDR_V6;
	echo_encode(&e, p);
	assert_int_equal(p[0], 128);
	assert_int_equal(p[2] << 8 | p[3], 0);
}

static void only_the_own_reply_counts(void **state)
{
	static const struct {
		const char *says;
		enum addr_family family;
		bool has_ip, any_id;
		uint8_t p[32];
		size_t n;
		bool is;
	} rows[] = {
		{"a reply", ADDR_V4, false, false, {0, 0, 9, 9, 0, 7, 1, 2}, 8, true},
		{"of IPv6", ADDR_V6, false, false, {129, 0, 9, 9, 0, 7, 1, 2}, 8, true},
		{"behind an IPv4 header",
		 ADDR_V4,
		 true,
		 false,
		 {[0] = 0x45, [20] = 0, 0, 9, 9, 0, 7, 1, 2},
		 28,
		 true},
		{"behind one with options",
		 ADDR_V4,
		 true,
		 false,
		 {[0] = 0x46, [24] = 0, 0, 9, 9, 0, 7, 1, 2},
		 32,
		 true},
		{"with the kernel's id", ADDR_V4, false, true, {0, 0, 9, 9, 5, 5, 1, 2}, 8, true},
		{"to another's request", ADDR_V4, false, false, {0, 0, 9, 9, 0, 8, 1, 2}, 8, false},
		{"to an older one", ADDR_V4, false, false, {0, 0, 9, 9, 0, 7, 1, 1}, 8, false},
		{"a request", ADDR_V4, false, false, {8, 0, 9, 9, 0, 7, 1, 2}, 8, false},
		{"of the other family", ADDR_V6, false, false, {0, 0, 9, 9, 0, 7, 1, 2}, 8, false},
		{"with a code", ADDR_V4, false, false, {0, 1, 9, 9, 0, 7, 1, 2}, 8, false},
		{"cut off", ADDR_V4, false, false, {0, 0, 9, 9, 0, 7, 1, 2}, 7, false},
		{"empty", ADDR_V4, true, false, {0}, 0, false},
		{"a header that is too short", ADDR_V4, true, false, {0x44, 0}, 32, false},
		{"a header that runs over the end", ADDR_V4, true, false, {0x4f}, 32, false},
		{"a header of version 6",
		 ADDR_V4,
		 true,
		 false,
		 {[0] = 0x65, [20] = 0, 0, 9, 9, 0, 7, 1, 2},
		 28,
		 false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct echo e = {.family = rows[i].family, .id = 7, .seq = 0x102};

		row_check(rows[i].says, echo_is_reply(&e, rows[i].p, rows[i].n, rows[i].has_ip,
						      rows[i].any_id) == rows[i].is);
	}
}

/* --- the daemon's answers --- */

static void an_answer_is_judged(void **state)
{
	static const struct {
		const char *says, *answer;
		int status;
		const char *message, *hint; /* parts of them */
	} rows[] = {
		{"a result", "{'ok':true,'result':{}}", 0, "", ""},
		{"denied", "{'ok':false,'exit':4,'message':'no','hint':'ask'}", 4, "no", "ask"},
		{"no hint", "{'ok':false,'exit':3,'message':'away'}", 3, "away", ""},
		{"refused without a word", "{'ok':false}", 1, "refused", ""},
		{"a refusal as success", "{'ok':false,'exit':0,'message':'no'}", 1, "no", ""},
		{"no such status", "{'ok':false,'exit':256,'message':'no'}", 1, "no", ""},
		{"nothing", "", 3, "does not answer", "journalctl"},
		{"no JSON", "hello", 1, "not JSON", "another version"},
		{"an answer cut off", "{'ok':true,'result':{", 1, "not JSON", ""},
		{"two answers", "{'ok':true,'result':{}}{}", 1, "not JSON", ""},
		{"a member twice", "{'ok':false,'ok':true,'result':{}}", 1, "not JSON", ""},
		{"no object", "[true]", 1, "no result", ""},
		{"no result", "{'ok':true}", 1, "no result", ""},
		{"a result that is no object", "{'ok':true,'result':[]}", 1, "no result", ""},
		{"ok that is not true", "{'ok':1,'result':{}}", 1, "no result", ""},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		char answer[JSON_MAX];
		json_t *result = NULL;
		struct diag d = {0};
		int status;

		unquote(rows[i].answer, answer);
		status = ask_read_answer(answer, strlen(answer), &result, &d);
		row_check(rows[i].says, status == rows[i].status);
		row_check(rows[i].says, (result != NULL) == (status == 0));
		row_check(rows[i].says, strstr(d.message, rows[i].message) != NULL);
		row_check(rows[i].says, strstr(d.hint, rows[i].hint) != NULL);
		json_decref(result);
	}
}

enum { RUN_DIR_SIZE = 32, LIMIT_MS = 300 };

static void remove_run_dir(const char *dir)
{
	char path[RUN_DIR_SIZE + 16];

	snprintf(path, sizeof(path), "%s/control.sock", dir);
	unlink(path);
	rmdir(dir);
}

/* A listening control socket in a new directory. */
static int listen_in(char dir[static RUN_DIR_SIZE])
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(dir, RUN_DIR_SIZE, "/tmp/zt-cli-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(to.sun_path, sizeof(to.sun_path), "%s/control.sock", dir);
	assert_int_equal(bind(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* One connection, in a process of its own: reads the request, answers in two parts; waits for the
 * client's end when it is to hang. */
static void serve(int fd, const char *want, const char *answer, bool hang)
{
	char request[256] = "", json[JSON_MAX];
	int c = accept(fd, NULL, NULL);
	size_t n = 0, half = strlen(answer) / 2;
	ssize_t got = 1;
	bool good;

	unquote(answer, json);
	for (; got > 0 && !strchr(request, '\n'); n += (size_t)(got > 0 ? got : 0))
		got = recv(c, request + n, sizeof(request) - 1 - n, 0);
	good = strcmp(request, want) == 0;
	good = send(c, json, half, MSG_NOSIGNAL) >= 0 && good;
	good = send(c, json + half, strlen(json) - half, MSG_NOSIGNAL) >= 0 && good;
	if (hang)
		recv(c, request, 1, 0);
	_exit(good ? 0 : 1);
}

static void the_daemon_is_asked(void **state)
{
	static const struct {
		const char *says, *answer;
		bool hang;
		int status;
		const char *message;
	} rows[] = {
		{"it answers", "{'ok':true,'result':{'a':1}}", false, 0, ""},
		{"it refuses", "{'ok':false,'exit':4,'message':'no'}", false, 4, "no"},
		{"it closes", "", false, 3, "the daemon does not answer"},
		{"it never ends", "{'ok':", true, 3, "the daemon does not answer"},
	};
	static const char request[] = "{\"to\":\"b\\u001B\",\"verb\":\"why\"}\n";

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		json_t *result = NULL, *args = json_pack("{s:s}", "to", "b\033");
		char dir[RUN_DIR_SIZE];
		int fd = listen_in(dir), status, child_status;
		struct diag d = {0};
		pid_t child = fork();

		if (child == 0)
			serve(fd, request, rows[i].answer, rows[i].hang);
		status = ask_call(dir, "why", args, LIMIT_MS, &result, &d);
		row_check(rows[i].says,
			  waitpid(child, &child_status, 0) == child && child_status == 0);
		row_check(rows[i].says,
			  status == rows[i].status && strcmp(d.message, rows[i].message) == 0);
		row_check(rows[i].says,
			  status || json_integer_value(json_object_get(result, "a")) == 1);
		json_decref(result);
		close(fd);
		remove_run_dir(dir);
	}
}

static void no_daemon_is_said(void **state)
{
	char dir[RUN_DIR_SIZE], long_dir[200];
	int fd = listen_in(dir);
	json_t *result = NULL;
	struct diag d = {0};

	(void)state;
	assert_int_equal(ask_call(dir, "up", NULL, LIMIT_MS, &result, &d), ZT_EXIT_UNREACHABLE);
	assert_string_equal(d.message, "the daemon does not answer"); /* it hangs */
	close(fd);
	assert_int_equal(ask_call(dir, "up", NULL, LIMIT_MS, &result, &d), ZT_EXIT_UNREACHABLE);
	assert_string_equal(d.message,
			    "the daemon is not running"); /* its socket was left behind */
	remove_run_dir(dir);
	assert_int_equal(ask_call(dir, "up", NULL, LIMIT_MS, &result, &d), ZT_EXIT_UNREACHABLE);
	assert_string_equal(d.message, "the daemon is not running"); /* no socket */
	assert_string_equal(d.hint, "systemctl start ztnode, or: ztnode run");
	memset(long_dir, 'a', sizeof(long_dir) - 1);
	long_dir[sizeof(long_dir) - 1] = '\0';
	assert_int_equal(ask_call(long_dir, "up", NULL, LIMIT_MS, &result, &d), ZT_EXIT_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(global_options_stand_anywhere),
		cmocka_unit_test(an_option_without_its_value_is_refused),
		cmocka_unit_test(a_whole_file_is_read),
		cmocka_unit_test(a_wrong_file_is_refused_with_its_line),
		cmocka_unit_test(only_good_interface_names_pass),
		cmocka_unit_test(a_role_gets_the_very_same_configuration),
		cmocka_unit_test(a_role_takes_no_default),
		cmocka_unit_test(words_of_a_command),
		cmocka_unit_test(completion_knows_the_commands),
		cmocka_unit_test(columns_stand_below_each_other),
		cmocka_unit_test(times_and_sizes_read_well),
		cmocka_unit_test(a_time_is_said_from_now),
		cmocka_unit_test(answers_read_well),
		cmocka_unit_test(parts_of_the_status),
		cmocka_unit_test(no_answer_harms_a_terminal),
		cmocka_unit_test(a_peer_has_many_names),
		cmocka_unit_test(only_a_grant_out_allows_a_ping),
		cmocka_unit_test(the_path_of_a_peer),
		cmocka_unit_test(a_request_has_a_right_checksum),
		cmocka_unit_test(only_the_own_reply_counts),
		cmocka_unit_test(an_answer_is_judged),
		cmocka_unit_test(the_daemon_is_asked),
		cmocka_unit_test(no_daemon_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
