/*
 * main.c: waft-engined. The same program serves as worker: started with
 * --worker it answers on descriptor 3 and does nothing else.
 *
 * Threads: the main one starts everything, then waits for signals; libmicrohttpd
 * has one that accepts and one a connection.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <waft/waft.h>

#include "listen.h"
#include "log.h"
#include "server.h"
#include "store.h"
#include "worker.h"

enum { EXIT_USAGE = 2 };

enum {
	WAIT_MS = 10000,
	HAND_ON_MS = 2000,
	STOP_MS = 5000,
	WORKERS_LEAVE_MS = 3000,
	TIMEOUT_MAX_S = 3600
};

struct settings {
	const char *listen;
	const char *db;
	unsigned int workers;
	unsigned int timeout_s; /* of a worker's answer */
	bool worker;		/* be one */
};

static const char help[] =
	"Usage: waft-engined [OPTION]...\n"
	"Serves decisions (weighted-sum model) over HTTP.\n"
	"\n"
	"  --listen HOST:PORT  where to listen (127.0.0.1:8420); port 0: any free one\n"
	"  --db FILE           where decisions are kept (_pyrite/analytics/decisions.db)\n"
	"  --workers N         processes that compute, 1 to 256 (1)\n"
	"  --timeout SECONDS   how long a worker may take, 1 to 3600 (30)\n"
	"  --help              print this help\n"
	"  --version           print the version\n"
	"\n"
	"Traces go to the waft collector; see WAFT_ENDPOINT in waft-engined(8).\n";

enum {
	OPTION_LISTEN = 256,
	OPTION_DB,
	OPTION_WORKERS,
	OPTION_TIMEOUT,
	OPTION_WORKER,
	OPTION_HELP,
	OPTION_VERSION
};

static const struct option options[] = {
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"db", required_argument, NULL, OPTION_DB},
	{"workers", required_argument, NULL, OPTION_WORKERS},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"worker", no_argument, NULL, OPTION_WORKER},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static int take_number(
	const char *option, const char *text, unsigned long limit, unsigned int *ret_number)
{
	size_t length = strlen(text);
	unsigned long number = strtoul(text, NULL, 10);
	if (length < 1 || length > 4 || strspn(text, "0123456789") != length || number < 1 ||
		number > limit) {
		fprintf(stderr, "waft-engined: %s %s: not a number from 1 to %lu\n", option, text,
			limit);
		return -EINVAL;
	}
	*ret_number = (unsigned int)number;
	return 0;
}

/* 0 to go on, 1 when all is done, -EINVAL for a wrong command line. */
static int take_options(int argc, char **argv, struct settings *settings)
{
	/* What getopt_long calls the program in its messages. */
	static char name[] = "waft-engined";
	if (argc > 0)
		argv[0] = name;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case OPTION_LISTEN:
			settings->listen = optarg;
			break;
		case OPTION_DB:
			if (*optarg == '\0') {
				fputs("waft-engined: --db needs the name of a FILE\n", stderr);
				return -EINVAL;
			}
			settings->db = optarg;
			break;
		case OPTION_WORKERS:
			if (take_number("--workers", optarg, POOL_WORKERS_MAX, &settings->workers) <
				0)
				return -EINVAL;
			break;
		case OPTION_TIMEOUT:
			if (take_number("--timeout", optarg, TIMEOUT_MAX_S, &settings->timeout_s) <
				0)
				return -EINVAL;
			break;
		case OPTION_WORKER:
			settings->worker = true;
			break;
		case OPTION_HELP:
			fputs(help, stdout);
			return 1;
		case OPTION_VERSION:
			printf("waft-engined %s\n", waft_version());
			return 1;
		default:
			fputs("Try 'waft-engined --help'.\n", stderr);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr,
			"waft-engined: unexpected argument '%s'\nTry 'waft-engined --help'.\n",
			argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* ---- The worker ---- */

static int be_worker(void)
{
	/* A terminal's Ctrl-C is for the service, which then lets workers go. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	int r = worker_run(POOL_WORKER_FD);
	if (r < 0)
		log_error("worker: %s", strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- The service ---- */

static void block_signals(sigset_t *ret_signals)
{
	sigemptyset(ret_signals);
	sigaddset(ret_signals, SIGTERM);
	sigaddset(ret_signals, SIGINT);
	sigaddset(ret_signals, SIGHUP);
	sigaddset(ret_signals, SIGCHLD);
	/* Before any thread starts, so that all inherit it. */
	pthread_sigmask(SIG_BLOCK, ret_signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void serve_until_stopped(struct pool *pool, const sigset_t *signals)
{
	for (;;) {
		int signal_number = 0;
		if (sigwait(signals, &signal_number) != 0)
			continue;
		if (signal_number != SIGCHLD)
			return;
		pool_reap(pool);
	}
}

/* Serves on fd until a signal says to stop; takes fd. */
static int serve(const struct settings *settings, int fd, const char *address, struct fault *fault)
{
	static const char *const worker_argv[] = {"waft-engine-worker", "--worker", NULL};
	const struct pool_options pool_options = {
		.program = "/proc/self/exe",
		.argv = worker_argv,
		.workers = settings->workers,
		.answer_ms = (int64_t)settings->timeout_s * 1000,
		.hand_on_ms = HAND_ON_MS,
		.wait_ms = WAIT_MS,
	};
	sigset_t signals;
	struct store *store = NULL;
	struct pool *pool = NULL;
	struct server *server = NULL;
	block_signals(&signals);
	int r = store_open(settings->db, &store, fault);
	if (r == 0)
		r = pool_start(&pool_options, &pool, fault);
	if (r == 0) {
		const struct server_options server_options = {
			.fd = fd,
			.address = address,
			.pool = pool,
			.store = store,
		};
		r = server_start(&server_options, &server, fault);
	}
	if (r == 0) {
		printf("waft-engined: ready on http://%s (%u worker%s, decisions in %s)\n", address,
			settings->workers, settings->workers == 1 ? "" : "s", settings->db);
		fflush(stdout);
		serve_until_stopped(pool, &signals);
	}
	if (server == NULL)
		close(fd);
	server_stop(server, STOP_MS);
	pool_close(pool, WORKERS_LEAVE_MS);
	store_close(store);
	return r;
}

/* The exit code. */
static int be_service(const struct settings *settings)
{
	struct fault fault = {0};
	char address[LISTEN_ADDRESS_SIZE];
	int fd = -1;
	int code = EXIT_FAILURE;
	/* First of all: a port that is in use is found before a file is made. */
	int r = listen_open(settings->listen, &fd, address, &fault);
	if (r == 0)
		r = serve(settings, fd, address, &fault);
	else if (fault.kind == FAULT_RULE)
		code = EXIT_USAGE;
	if (r < 0)
		log_error("%s", fault_text(&fault));
	fault_done(&fault);
	return r < 0 ? code : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct settings settings = {
		.listen = "127.0.0.1:8420",
		.db = "_pyrite/analytics/decisions.db",
		.workers = 1,
		.timeout_s = 30,
	};
	int r = take_options(argc, argv, &settings);
	if (r != 0)
		return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
	if (settings.worker)
		return be_worker();
	return be_service(&settings);
}
