/* ztcontroller: arguments, configuration, start order, loop. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ini.h>
#include <sodium.h>
#include <systemd/sd-daemon.h>

#include "zt/file.h"
#include "zt/log.h"
#include "zt/token.h"
#include "zt/txt.h"
#include "controller/api/api.h"
#include "controller/geo.h"
#include "controller/init.h"
#include "controller/zones.h"

static const char zones_dir[] = "/usr/share/zoneinfo";

enum { PATH_TEXT_MAX = 4096, DRAIN_MAX_MS = 10000, DRAIN_STEP_MS = 20, HOSTS_MAX = 16 };

struct settings { /* const after start */
	const char *dir, *config, *url, *name;
	char listen[ENDPOINT_TEXT_MAX + 8];
	char store[PATH_TEXT_MAX];
	char countries[PATH_TEXT_MAX];	      /* file of the country database; "" none */
	char host[HOSTS_MAX][ZT_URL_MAX + 1]; /* other names of ours */
	size_t n_hosts;
	struct prefix net4, net6;
	enum log_level log;
};

struct server { /* what runs */
	const struct settings *settings;
	struct loop *loop;
	struct controller_keys keys;
	struct store *store;
	struct geo *geo;
	struct zones *zones;
	struct app *app;
	struct http_server *http;
	struct loop_timer *drain;
	int64_t drain_until_ms;
	char cert[PATH_TEXT_MAX], key[PATH_TEXT_MAX];
	char url_host[ZT_URL_MAX + 1];
	const char *hosts[1 + HOSTS_MAX + 1]; /* ends with NULL */
};

/* --- configuration --- */

static int set_log(struct settings *s, const char *v)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {{"error", LOG_LEVEL_ERROR},
		      {"warn", LOG_LEVEL_WARN},
		      {"info", LOG_LEVEL_INFO},
		      {"debug", LOG_LEVEL_DEBUG}};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(v, levels[i].name) == 0) {
			s->log = levels[i].level;
			return 0;
		}
	return -ZT_EFORM;
}

static int set_listen(struct settings *s, const char *v)
{
	struct endpoint e;
	int err = endpoint_parse(v, &e);

	return err ? err : txt_copy(s->listen, sizeof(s->listen), v);
}

static int set_store(struct settings *s, const char *v)
{
	return txt_copy(s->store, sizeof(s->store), v);
}

static int set_countries(struct settings *s, const char *v)
{
	return v[0] == '/' ? txt_copy(s->countries, sizeof(s->countries), v) : -ZT_EFORM;
}

/* "ctl.example.com", "192.0.2.1" or "[2001:db8::1]" of a url with nothing behind the port. */
static int url_host(const char *url, char out[static ZT_URL_MAX + 1])
{
	static const char scheme[] = "https://";
	size_t n;

	if (token_check_url(url, NULL) < 0)
		return -ZT_EFORM;
	url += strlen(scheme);
	n = url[0] == '[' ? strcspn(url, "]") + 1 : strcspn(url, ":");
	memcpy(out, url, n); /* token_check_url holds the length */
	out[n] = '\0';
	return 0;
}

/* May stand more than once; a name without a port, as in a url. */
static int set_host(struct settings *s, const char *v)
{
	char url[ZT_URL_MAX + 1];
	int err;

	if (s->n_hosts == HOSTS_MAX)
		return -ZT_ELIMIT;
	if (snprintf(url, sizeof(url), "https://%s", v) >= (int)sizeof(url))
		return -ZT_EFORM;
	err = url_host(url, s->host[s->n_hosts]);
	if (err || strcmp(s->host[s->n_hosts], v) != 0)
		return -ZT_EFORM;
	s->n_hosts++;
	return 0;
}

static const struct {
	const char *name;
	int (*set)(struct settings *s, const char *v);
	const char *help;
} keys[] = {
	{"listen", set_listen, "ADDR:PORT, default all addresses on the url's port"},
	{"host", set_host, "another name that clients call it by"},
	{"store", set_store, "sqlite"},
	{"country_database", set_countries, "the absolute path of a .mmdb file"},
	{"log", set_log, "error, warn, info or debug"},
};

/* inih: 1 goes on, 0 is an error on this line. */
static int config_line(void *arg, const char *section, const char *name, const char *value)
{
	struct settings *s = arg;

	for (size_t i = 0; !section[0] && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(name, keys[i].name) == 0)
			return keys[i].set(s, value) == 0;
	return 0;
}

static int read_config(struct settings *s, const char *path, bool must_exist, struct diag *d)
{
	int line;

	if (!must_exist && access(path, F_OK) < 0)
		return 0;
	line = ini_parse(path, config_line, s);
	if (line == 0)
		return 0;
	diag_set(d, -ZT_EFORM,
		 line > 0 ? "%s:%d: unknown key or wrong value" : "%s: cannot be read", path, line);
	diag_hint(d, "known keys: listen = ADDR:PORT, host = NAME (at most 16), store = sqlite, "
		     "country_database = /PATH, "
		     "log = error|warn|info|debug");
	return -ZT_EFORM;
}

/* --- serve --- */

/* What is under way is answered first; a second signal, or a client that does not read, ends it all
 * the same. */
static void drain(void *arg)
{
	struct server *s = arg;
	struct http_stats stats;
	int64_t now_ms = loop_now(s->loop).boot_ms;

	http_server_stats(s->http, &stats);
	if (!stats.connections || now_ms >= s->drain_until_ms)
		loop_stop(s->loop, ZT_EXIT_OK);
	else
		loop_timer_set(s->drain, now_ms + DRAIN_STEP_MS);
}

static void on_stop(void *arg, int signo)
{
	struct server *s = arg;

	log_info("%s: ending in order", signo == SIGTERM ? "SIGTERM" : "SIGINT");
	sd_notify(0, "STOPPING=1");
	s->drain_until_ms = s->drain_until_ms ? 0 : loop_now(s->loop).boot_ms + DRAIN_MAX_MS;
	http_server_stop(s->http);
	drain(s);
}

/* Every device has pinned the key: a certificate of another one would lock them all out. */
static int check_pin(const struct server *s, struct diag *d)
{
	struct key pin;
	int dir, err = file_open_dir(s->settings->dir, false, &dir);

	if (err)
		return diag_set(d, err, "cannot open %s: %s", s->settings->dir, zt_strerror(err));
	err = keys_load_pin(dir, &pin, d);
	close(dir);
	if (!err && !key_equal(&pin, &s->keys.pin)) {
		err = diag_set(d, -ZT_EREFUSED,
			       "the new certificate is of another key; the old one stays in use");
		diag_hint(d, "devices know this controller by its key: make the certificate for "
			     "the same one");
	}
	return err;
}

static void on_reload(void *arg, int signo)
{
	struct server *s = arg;
	struct diag d = {0};

	(void)signo;
	if (check_pin(s, &d) || http_server_reload(s->http, s->cert, s->key, &d))
		log_diag(&d);
	else
		log_info("certificate reloaded");
}

/* Default: every address, on the port that the url names. */
static int listen_endpoint(const struct settings *s, const char *url, struct endpoint *ret)
{
	int port;

	if (s->listen[0])
		return endpoint_parse(s->listen, ret);
	port = token_check_url(url, NULL);
	if (port < 0)
		return port;
	*ret = (struct endpoint){.addr = {.family = ADDR_V6}, .port = (uint16_t)port};
	return 0;
}

static void raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int open_store(struct server *s, struct diag *d)
{
	char path[PATH_TEXT_MAX];

	if (s->settings->store[0] && strcmp(s->settings->store, "sqlite") != 0) {
		diag_set(d, -ENOTSUP, "the store %s is not supported by this version",
			 s->settings->store);
		diag_hint(d, "use --store sqlite (the default)");
		return -ENOTSUP;
	}
	if (snprintf(path, sizeof(path), "%s/controller.db", s->settings->dir) >= (int)sizeof(path))
		return diag_set(d, -ENAMETOOLONG, "%s: the path is too long", s->settings->dir);
	return store_open(path, &s->store, d);
}

static int load_keys(struct server *s, struct diag *d)
{
	int dir, err = file_open_dir(s->settings->dir, false, &dir);

	if (err) {
		diag_set(d, err, "cannot open %s: %s", s->settings->dir, zt_strerror(err));
		diag_hint(d,
			  "make a controller first: ztcontroller init --dir %s --url "
			  "https://HOST:PORT",
			  s->settings->dir);
		return err;
	}
	err = keys_load(dir, &s->keys, d);
	close(dir);
	return err;
}

/* Devices and admins have the url; the rest is the operator's to say. */
static int name_hosts(struct server *s, const char *url)
{
	int err = url_host(url, s->url_host);

	s->hosts[0] = s->url_host;
	for (size_t i = 0; i < s->settings->n_hosts; i++)
		s->hosts[1 + i] = s->settings->host[i];
	return err;
}

static int open_http(struct server *s, struct diag *d)
{
	struct http_config c = {.cert_file = s->cert,
				.key_file = s->key,
				.routes = api_routes,
				.hosts = s->hosts,
				.identify = app_identify,
				.app = s->app,
				.connections_max = 16000,
				.connections_per_address_max = 4000,
				.idle_timeout_s = 60};
	int err = listen_endpoint(s->settings, app_url(s->app), &c.listen);

	if (err)
		return diag_set(d, err, "neither --listen nor the url names a port to listen on");
	err = name_hosts(s, app_url(s->app));
	if (err)
		return diag_set(d, err, "the url in the database is not one of a controller");
	if (snprintf(s->cert, sizeof(s->cert), "%s/%s", s->settings->dir, keys_tls_cert) >=
		    (int)sizeof(s->cert) ||
	    snprintf(s->key, sizeof(s->key), "%s/%s", s->settings->dir, keys_tls_key) >=
		    (int)sizeof(s->key))
		return diag_set(d, -ENAMETOOLONG, "%s: the path is too long", s->settings->dir);
	return http_server_new(s->loop, &c, &s->http, d);
}

static int start(struct server *s, struct diag *d)
{
	struct app_config a = {.keys = &s->keys, .version = ZT_VERSION};
	int err;

	raise_descriptor_limit();
	err = load_keys(s, d);
	if (!err)
		err = open_store(s, d);
	if (err)
		return err;
	signal(SIGPIPE, SIG_IGN); /* a client that is gone, or whoever read our log, is an error of
				     one write */
	a.loop = s->loop = loop_new();
	s->drain = s->loop ? loop_timer_new(s->loop, drain, s) : NULL;
	if (!s->drain || loop_signal(s->loop, SIGTERM, on_stop, s) ||
	    loop_signal(s->loop, SIGINT, on_stop, s) || loop_signal(s->loop, SIGHUP, on_reload, s))
		return diag_set(d, -ENOMEM, "cannot start: %s", zt_strerror(-ENOMEM));
	if (s->settings->countries[0])
		err = geo_open(s->settings->countries, &s->geo, d);
	a.geo = s->geo;
	a.zones = s->zones = zones_new(zones_dir);
	if (!err)
		err = app_new(&a, s->store, &s->app, d);
	if (!err)
		err = open_http(s, d);
	return err;
}

static void stop(struct server *s)
{
	app_free(s->app);
	http_server_free(s->http);
	store_close(s->store);
	geo_close(s->geo);
	zones_free(s->zones);
	loop_timer_free(s->drain);
	loop_free(s->loop);
	keys_wipe(&s->keys);
}

static int serve(const struct settings *settings)
{
	struct server s = {.settings = settings};
	struct diag d = {0};
	int status = ZT_EXIT_FAILED;

	if (start(&s, &d)) {
		log_diag(&d);
	} else {
		printf("ready\n");
		fflush(stdout);
		sd_notify(0, "READY=1");
		log_info("serving on port %u", http_server_port(s.http));
		status = loop_run(s.loop);
	}
	stop(&s);
	return status;
}

/* --- init --- */

static int init(const struct settings *s)
{
	struct init_options o = {
		.dir = s->dir, .url = s->url, .name = s->name, .net4 = s->net4, .net6 = s->net6};
	char credential[ZT_TOKEN_TEXT_MAX];
	struct diag d = {0};

	if (init_controller(&o, credential, sizeof(credential), &d)) {
		log_diag(&d);
		return ZT_EXIT_FAILED;
	}
	printf("%s\n", credential);
	fprintf(stderr, "made a controller in %s\nnext: ztcontroller serve --dir %s\n", s->dir,
		s->dir);
	sodium_memzero(credential, sizeof(credential));
	return ZT_EXIT_OK;
}

/* --- arguments --- */

static const char usage_text[] =
	"ztcontroller - the controller of a zero trust overlay network\n"
	"\n"
	"  ztcontroller init  --dir DIR --url https://HOST:PORT [--network CIDR4] [--network6 "
	"CIDR6] [--name NAME]\n"
	"      makes DIR with keys, certificate, database and a policy that denies everything;\n"
	"      prints one admin credential (also in DIR/admin.key)\n"
	"  ztcontroller serve --dir DIR [--listen ADDR:PORT] [--config FILE] [--store sqlite] "
	"[--log LEVEL]\n"
	"      prints \"ready\" when it accepts connections; SIGTERM ends it, SIGHUP reloads the "
	"certificate\n"
	"  ztcontroller --help | --version\n";

static int usage_error(const char *message)
{
	fprintf(stderr, "ztcontroller: %s\nhint: ztcontroller --help\n", message);
	return ZT_EXIT_USAGE;
}

enum option_id {
	OPT_DIR = 256,
	OPT_URL,
	OPT_NETWORK,
	OPT_NETWORK6,
	OPT_NAME,
	OPT_LISTEN,
	OPT_CONFIG,
	OPT_STORE,
	OPT_LOG,
	OPT_HELP,
	OPT_VERSION
};

static const struct option options[] = {
	{"dir", required_argument, NULL, OPT_DIR},
	{"url", required_argument, NULL, OPT_URL},
	{"network", required_argument, NULL, OPT_NETWORK},
	{"network6", required_argument, NULL, OPT_NETWORK6},
	{"name", required_argument, NULL, OPT_NAME},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"config", required_argument, NULL, OPT_CONFIG},
	{"store", required_argument, NULL, OPT_STORE},
	{"log", required_argument, NULL, OPT_LOG},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};

/* Ranges that mean something else to every machine. */
static bool is_special(const struct prefix *p)
{
	static const char *const special[] = {"0.0.0.0/8",   "127.0.0.0/8", "169.254.0.0/16",
					      "224.0.0.0/3", "::/8",	    "fe80::/10",
					      "ff00::/8"};
	struct prefix s;

	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (prefix_parse(special[i], &s) == 0 && prefix_overlaps(&s, p))
			return true;
	return !prefix_is_overlay(p);
}

static const char *parse_network(const char *text, uint8_t family, struct prefix *ret)
{
	struct prefix p;

	if (prefix_parse(text, &p) || p.addr.family != family)
		return family == ADDR_V4 ? "--network is not an IPv4 network (for example "
					   "100.64.0.0/10; host bits zero)"
					 : "--network6 is not an IPv6 network (for example "
					   "fd12:3456:789a::/64)";
	if (family == ADDR_V4 ? p.bits < 8 || p.bits > 28 : p.bits < 16 || p.bits > 112)
		return family == ADDR_V4 ? "--network must be between /8 and /28"
					 : "--network6 must be between /16 and /112";
	if (is_special(&p))
		return "the network is, or has in it, loopback, link-local, multicast, cloud "
		       "metadata or reserved addresses";
	*ret = p;
	return NULL;
}

/* NULL, or what is wrong. help: the text was asked for. */
static const char *parse_options(struct settings *s, int argc, char **argv, bool *ret_help)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		const char *wrong = NULL;

		switch (c) {
		case OPT_DIR:
			s->dir = optarg;
			break;
		case OPT_URL:
			s->url = optarg;
			break;
		case OPT_NAME:
			s->name = optarg;
			wrong = txt_is_name(optarg) ? NULL
						    : "--name must be lower case letters, digits, "
						      "'.', '_' and '-'";
			break;
		case OPT_NETWORK:
			wrong = parse_network(optarg, ADDR_V4, &s->net4);
			break;
		case OPT_NETWORK6:
			wrong = parse_network(optarg, ADDR_V6, &s->net6);
			break;
		case OPT_LISTEN:
			wrong = set_listen(s, optarg) ? "--listen is not ADDR:PORT" : NULL;
			break;
		case OPT_CONFIG:
			s->config = optarg;
			break;
		case OPT_STORE:
			wrong = set_store(s, optarg) ? "--store is too long" : NULL;
			break;
		case OPT_LOG:
			wrong = set_log(s, optarg) ? "--log must be error, warn, info or debug"
						   : NULL;
			break;
		case OPT_VERSION:
			printf("ztcontroller %s\n", ZT_VERSION);
			exit(ZT_EXIT_OK);
		case 'h':
		case OPT_HELP:
			*ret_help = true;
			return NULL;
		default:
			return "unknown option, or one without its value";
		}
		if (wrong)
			return wrong;
	}
	return NULL;
}

static int run_init(struct settings *s)
{
	struct diag d = {0};

	if (!s->url)
		return usage_error("init needs --url https://HOST:PORT");
	if (token_check_url(s->url, &d) < 0) {
		log_diag(&d);
		return ZT_EXIT_USAGE;
	}
	return init(s);
}

/* What stands on the command line wins over the file: options are parsed again after it. */
static int run_serve(struct settings *s, int argc, char **argv)
{
	struct diag d = {0};
	bool help = false;

	if (read_config(s, s->config ? s->config : "/etc/ztcontroller/controller.ini",
			s->config != NULL, &d)) {
		log_diag(&d);
		return ZT_EXIT_FAILED;
	}
	optind = 1;
	if (parse_options(s, argc, argv, &help))
		return usage_error("wrong option");
	log_init("ztcontroller", s->log);
	return serve(s);
}

int main(int argc, char **argv)
{
	struct settings s = {.name = "zt", .log = LOG_LEVEL_INFO};
	const char *command, *wrong;
	bool help = false;

	log_init("ztcontroller", LOG_LEVEL_INFO);
	umask(077);
	if (sodium_init() < 0)
		return ZT_EXIT_FAILED;
	if (prefix_parse("100.64.0.0/10", &s.net4))
		return ZT_EXIT_FAILED;
	wrong = parse_options(&s, argc, argv, &help);
	if (wrong)
		return usage_error(wrong);
	if (help) {
		fputs(usage_text, stdout);
		return ZT_EXIT_OK;
	}
	if (optind + 1 != argc)
		return usage_error(optind == argc ? "what is to be done? init or serve"
						  : "too many arguments");
	command = argv[optind];
	if (strcmp(command, "init") != 0 && strcmp(command, "serve") != 0)
		return usage_error("unknown command; there are init and serve");
	if (!s.dir)
		return usage_error("--dir DIR is needed");
	return command[0] == 'i' ? run_init(&s) : run_serve(&s, argc, argv);
}
