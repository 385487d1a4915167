/* waft-bench: measures waft. Options and subcommands; the work is in the files
 * named after them. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
	"usage: waft-bench [OPTION...] COMMAND [ARGUMENT...]\n"
	"\n"
	"Measures waft on this machine. Each row names its profile, the figure with the\n"
	"least and the most of the rounds, and what it is held against. P: two\n"
	"attributes, traces of 8 spans over 3 services; PS: P with snapshots of 200 B in\n"
	"and out.\n"
	"\n"
	"  client          a span's cost in the process that makes it, with the floors\n"
	"  wire            decoding, checks of text and checksums, lines of JSON\n"
	"  collector       waft-collectord under load, beside its floor (add `plain` or\n"
	"                  `snapshots` for one profile, `rate` or `full` for one load)\n"
	"  sustained       as fast as it goes for --seconds, into a store that is capped at\n"
	"                  8 GiB, with sealing and retention on (or at another SIZE, with\n"
	"                  parts of PARTSIZE, when these follow); its floor runs as long, in\n"
	"                  files of that size, the oldest of which it removes for that cap\n"
	"  beside-sealing  acknowledgements at --rate beside a sealer that never rests, held\n"
	"                  against those without it; the floor's syncs beside as much work,\n"
	"                  likewise\n"
	"  put             the store's write side alone (add `plain` or `snapshots` for one\n"
	"                  profile)\n"
	"  seal            what sealed files and their index take, in small parts\n"
	"  generate DIR    makes a store of --spans spans over 10 days, sealed, and says what\n"
	"                  files and index take (add `snapshots` for PS, `plain` to leave it\n"
	"                  unsealed, `pressed` to seal it as for lack of room, in less time)\n"
	"  query DIR       times queries of a store that generate made (add `show`, `list` or\n"
	"                  `stats` for these alone)\n"
	"  growth          what a span costs to store, a trace to show and the daemon to start,\n"
	"                  with --spans stored, a tenth and a hundredth of that (add\n"
	"                  `snapshots`, `pressed` as above); stores that --keep left in --dir\n"
	"                  are used again\n"
	"  snapshots       prints 2 x --spans snapshots, for compressors\n"
	"  count WHAT      runs a fixed piece of work, for callgrind\n"
	"\n"
	"  --rounds N      rounds of each measurement (9)\n"
	"  --seconds S     length of a load (10)\n"
	"  --rate N        spans a second of the load at a rate (200000)\n"
	"  --spans N       spans of a store (10000000)\n"
	"  --dir DIR       where to make stores: on the disk to be measured (.)\n"
	"  --tsv           rows of tab-separated columns\n"
	"  --keep          leave stores behind\n";

static const struct option options[] = {
	{"rounds", required_argument, NULL, 'r'},
	{"seconds", required_argument, NULL, 's'},
	{"rate", required_argument, NULL, 'R'},
	{"spans", required_argument, NULL, 'n'},
	{"dir", required_argument, NULL, 'd'},
	{"tsv", no_argument, NULL, 't'},
	{"keep", no_argument, NULL, 'k'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"client", bench_client},
	{"wire", bench_wire},
	{"collector", bench_collector},
	{"sustained", bench_sustained},
	{"beside-sealing", bench_beside_sealing},
	{"put", bench_put},
	{"seal", bench_seal},
	{"generate", bench_generate},
	{"query", bench_query},
	{"growth", bench_growth},
	{"snapshots", bench_snapshots},
	{"count", bench_count},
};

static double number_of(const char *text, double least)
{
	char *end;
	double number = strtod(text, &end);

	if (end == text || *end != '\0' || !(number >= least)) {
		fprintf(stderr, "waft-bench: '%s' is not a number of %g or more\n", text, least);
		exit(EXIT_USAGE);
	}
	return number;
}

static void take_option(int option)
{
	switch (option) {
	case 'r':
		bench_options.rounds = (unsigned int)number_of(optarg, 1);
		break;
	case 's':
		bench_options.seconds = number_of(optarg, 0.1);
		break;
	case 'R':
		bench_options.rate = number_of(optarg, 1);
		break;
	case 'n':
		bench_options.spans = (uint64_t)number_of(optarg, 1);
		break;
	case 'd':
		bench_options.directory = optarg;
		break;
	case 't':
		bench_options.tsv = true;
		break;
	case 'k':
		bench_options.keep = true;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(EXIT_SUCCESS);
	default:
		fputs("try 'waft-bench --help'\n", stderr);
		exit(EXIT_USAGE);
	}
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		take_option(option);
	for (size_t i = 0; optind < argc && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[optind], commands[i].name) == 0)
			return commands[i].run(argc - optind, argv + optind);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
