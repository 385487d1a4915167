/*
 * waft-load: sends trees of known shape through libwaft and keeps its own count;
 * waft-load verify holds that count against a store.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emit.h"
#include "verify.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
	"usage: waft-load --ledger FILE [--endpoint E] [--processes N] [--threads M]\n"
	"                 [--rate SPANS_PER_S] [--traces N | --duration MS] [--depth D]\n"
	"                 [--fanout F] [--data BYTES] [--shutdown MS]\n"
	"                 [--spread] [--in-flight SPANS] [--until-eof] [--times]\n"
	"       waft-load verify LEDGER --store DIR [--each]\n"
	"\n"
	"Sends traces of D levels with F children each from N processes of M threads\n"
	"(1, 1, 3 levels of 2: seven spans), at a rate for each thread (0: as fast as it\n"
	"goes), a number of traces for each thread or for a time (1000 traces). --spread\n"
	"keeps the rate within a trace too, whose spans else come at once; --in-flight has\n"
	"the threads of a process wait while it has more spans without an answer. Stops at\n"
	"end of file or a byte on standard input when --until-eof is given. --times says\n"
	"how long the calls of a span took its thread.\n"
	"\n"
	"verify exits 0 when nothing acknowledged is missing, nothing is there twice, no\n"
	"thread's spans have holes and every count adds up, else 1. --each says besides what\n"
	"became of each process, and why it dropped what it did, by its last word; one that was\n"
	"killed may have spans missing.\n";

struct arguments {
	struct emit_plan plan;
	const char *ledger;
	const char *store;
	uint32_t processes, threads, depth, fanout;
	bool each;
};

static int parse_number(
	const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *ret_value)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < least || value > most) {
		fprintf(stderr,
			"waft-load: --%s takes a whole number from %" PRIu64 " to %" PRIu64
			", not '%s'\n",
			option, least, most, text);
		return -EINVAL;
	}
	*ret_value = value;
	return 0;
}

static int check_endpoint(const char *text)
{
	static const char *const schemes[] = {"unix:", "file:", "tls://", "tcp://"};
	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
		if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
			return 0;
	}
	fprintf(stderr,
		"waft-load: --endpoint takes unix:PATH, file:DIR, tls://HOST:PORT or "
		"tcp://127.0.0.1:PORT, not '%s'\n",
		text);
	return -EINVAL;
}

static const struct option options[] = {
	{"ledger", required_argument, NULL, 'l'},
	{"endpoint", required_argument, NULL, 'e'},
	{"store", required_argument, NULL, 's'},
	{"processes", required_argument, NULL, 'p'},
	{"threads", required_argument, NULL, 't'},
	{"rate", required_argument, NULL, 'r'},
	{"traces", required_argument, NULL, 'n'},
	{"duration", required_argument, NULL, 'd'},
	{"depth", required_argument, NULL, 'D'},
	{"fanout", required_argument, NULL, 'F'},
	{"data", required_argument, NULL, 'b'},
	{"shutdown", required_argument, NULL, 'S'},
	{"spread", no_argument, NULL, 'w'},
	{"in-flight", required_argument, NULL, 'i'},
	{"times", no_argument, NULL, 'T'},
	{"each", no_argument, NULL, 'E'},
	{"until-eof", no_argument, NULL, 'u'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static int parse_one(struct arguments *arguments, int option, const char *name)
{
	uint64_t value = 0;
	int error = 0;
	switch (option) {
	case 'l':
		arguments->ledger = optarg;
		return 0;
	case 'e':
		arguments->plan.endpoint = optarg;
		return check_endpoint(optarg);
	case 's':
		arguments->store = optarg;
		return 0;
	case 'u':
		arguments->plan.stop_fd = STDIN_FILENO;
		return 0;
	case 'T':
		arguments->plan.times = true;
		return 0;
	case 'w':
		arguments->plan.spread = true;
		return 0;
	case 'i':
		return parse_number(name, optarg, 1, UINT32_MAX, &arguments->plan.in_flight);
	case 'E':
		arguments->each = true;
		return 0;
	case 'p':
		error = parse_number(name, optarg, 1, LEDGER_PROCESSES_MAX, &value);
		arguments->processes = (uint32_t)value;
		return error;
	case 't':
		error = parse_number(name, optarg, 1, LEDGER_THREADS_MAX, &value);
		arguments->threads = (uint32_t)value;
		return error;
	case 'D':
		error = parse_number(name, optarg, 1, 16, &value);
		arguments->depth = (uint32_t)value;
		return error;
	case 'F':
		error = parse_number(name, optarg, 1, 1000, &value);
		arguments->fanout = (uint32_t)value;
		return error;
	case 'b':
		error = parse_number(name, optarg, 0, 60000, &value);
		arguments->plan.data_bytes = (uint32_t)value;
		return error;
	case 'S':
		error = parse_number(name, optarg, 0, 600000, &value);
		arguments->plan.shutdown_ms = (uint32_t)value;
		return error;
	case 'd':
		error = parse_number(name, optarg, 1, 86400000, &value);
		arguments->plan.duration_ms = (uint32_t)value;
		arguments->plan.traces = 0;
		return error;
	case 'n':
		return parse_number(name, optarg, 1, UINT32_MAX, &arguments->plan.traces);
	case 'r':
		return parse_number(name, optarg, 0, UINT32_MAX, &arguments->plan.rate);
	default:
		return -EINVAL;
	}
}

static void parse_arguments(int argc, char **argv, struct arguments *ret_arguments)
{
	struct arguments arguments = {.processes = 1, .threads = 1, .depth = 3, .fanout = 2};
	arguments.plan = (struct emit_plan){.traces = 1000, .shutdown_ms = 10000, .stop_fd = -1};
	int option, index = 0;
	/* What getopt_long calls the program in its messages. */
	static char name[] = "waft-load";
	if (argc > 0)
		argv[0] = name;
	while ((option = getopt_long(argc, argv, "h", options, &index)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		}
		if (parse_one(&arguments, option, options[index].name)) {
			fputs("try 'waft-load --help'\n", stderr);
			exit(EXIT_USAGE);
		}
	}
	*ret_arguments = arguments;
}

/* One process of the load, in a child that dies with its parent. */
static pid_t start_process(struct ledger *ledger, uint32_t process, const struct emit_plan *plan)
{
	pid_t parent = getpid(), child = fork();
	if (child != 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	ledger->rows[process].pid = (uint32_t)getpid();
	int result = emit_process(ledger, process, plan);
	if (result)
		fprintf(stderr, "waft-load: process %" PRIu32 ": %s\n", process,
			waft_strerror(result));
	exit(result ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int run_load(const struct arguments *arguments)
{
	struct ledger *ledger;
	if (!arguments->ledger || !*arguments->ledger) {
		fputs("waft-load: --ledger FILE is missing: where to keep the count\n", stderr);
		return EXIT_USAGE;
	}
	int error = ledger_create(arguments->ledger, arguments->processes, arguments->threads,
		arguments->depth, arguments->fanout, &ledger);
	if (error) {
		fprintf(stderr, "waft-load: creating the ledger %s: %s\n", arguments->ledger,
			strerror(-error));
		return EXIT_FAILURE;
	}
	uint32_t started = 0;
	for (; started < arguments->processes; started++) {
		if (start_process(ledger, started, &arguments->plan) < 0) {
			perror("waft-load: starting a process of the load");
			break;
		}
	}
	int status = started == arguments->processes ? EXIT_SUCCESS : EXIT_FAILURE, one;
	while (wait(&one) > 0) {
		if (one != 0)
			status = EXIT_FAILURE;
	}
	if (arguments->plan.times)
		printf("span p50 %" PRIu64 " ns p99 %" PRIu64 " ns p99.9 %" PRIu64
		       " ns max %" PRIu64 " ns\n",
			ledger_quantile(ledger, 0.5), ledger_quantile(ledger, 0.99),
			ledger_quantile(ledger, 0.999), ledger_quantile(ledger, 1));
	return status;
}

static void print_each(const struct ledger *ledger, const struct verify_result *result)
{
	for (uint32_t i = 0; i < ledger->processes; i++) {
		const struct waft_stats *stats = &ledger->rows[i].stats;
		printf("process %" PRIu32 " %s ended %" PRIu64 " stored %" PRIu64
		       " missing %" PRIu64 " dropped",
			ledger->rows[i].pid,
			ledger->rows[i].end == LEDGER_SHUTDOWN ? "shutdown" : "killed",
			result->rows[i].ended, result->rows[i].stored, result->rows[i].missing);
		for (int reason = 0; reason < WAFT_DROP_REASONS; reason++) {
			if (stats->dropped[reason] > 0)
				printf(" %s %" PRIu64,
					waft_drop_reason_name((enum waft_drop_reason)reason),
					stats->dropped[reason]);
		}
		if (stats->unknown > 0)
			printf(" unknown %" PRIu64, stats->unknown);
		putchar('\n');
	}
}

static int run_verify(const struct arguments *arguments, const char *path)
{
	static struct verify_result result;
	const char *store = arguments->store;
	const struct ledger *ledger;
	int error = ledger_open(path, &ledger);
	if (error) {
		fprintf(stderr, "waft-load: reading the ledger %s: %s\n", path, strerror(-error));
		return EXIT_USAGE;
	}
	error = verify_store(ledger, store, &result);
	if (error) {
		fprintf(stderr, "waft-load: reading the store %s: %s\n", store, strerror(-error));
		return EXIT_USAGE;
	}
	printf("emitted %" PRIu64 " stored %" PRIu64 " lost %" PRIu64 " doubled %" PRIu64
	       " pending %" PRIu64 " misplaced %" PRIu64 " strange %" PRIu64 " mismatched %" PRIu64
	       " malformed %" PRIu64 " holes %" PRIu64 "\n",
		result.emitted, result.stored, result.lost, result.doubled, result.pending,
		result.misplaced, result.strange, result.mismatched, result.malformed,
		result.holes);
	if (arguments->each)
		print_each(ledger, &result);
	bool good = !result.lost && !result.doubled && !result.misplaced && !result.strange &&
		    !result.mismatched && !result.malformed && !result.holes;
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct arguments arguments;
	parse_arguments(argc, argv, &arguments);
	if (optind == argc)
		return run_load(&arguments);
	if (strcmp(argv[optind], "verify") == 0 && optind + 2 == argc && arguments.store)
		return run_verify(&arguments, argv[optind + 1]);
	if (strcmp(argv[optind], "verify") != 0)
		fprintf(stderr, "waft-load: unexpected argument '%s'\n", argv[optind]);
	else if (!arguments.store || optind + 1 == argc)
		fputs("waft-load: verify needs LEDGER --store DIR\n", stderr);
	else
		fprintf(stderr, "waft-load: unexpected argument '%s'\n", argv[optind + 2]);
	fputs("try 'waft-load --help'\n", stderr);
	return EXIT_USAGE;
}
