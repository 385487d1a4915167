/*
 * measure.h: how waft-bench measures: samples of several rounds, floors timed
 * in the same run, and rows that say what was wanted and what came out.
 * One thread, but for the functions that say otherwise.
 */
#ifndef WAFT_BENCH_MEASURE_H
#define WAFT_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* ---- Samples ------------------------------------------------------------- */

struct samples {
	double *at; /* owned */
	size_t count;
	size_t capacity;
};

void samples_add(struct samples *samples, double value);
void samples_done(struct samples *samples);
/* Nearest rank; share 0: the least, 0.5: the median, 1: the most. 0 when there is none.
 * Sorts the samples. */
double samples_rank(struct samples *samples, double share);

/* ---- Time ---------------------------------------------------------------- */

/* Nanoseconds of a clock. Any thread. */
static inline double clock_now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Sleeps until then, by CLOCK_MONOTONIC. */
void clock_sleep_until_ns(double then_ns);

/* One sample each of the floors, in ns of the thread's own time. Any thread.
 *   F      2 x clock_gettime(MONOTONIC), 2 x clock_gettime(REALTIME), memcpy of 100 B
 *   F_tsc  2 x rdtsc, memcpy of 100 B (0 where there is none) */
double floor_clock_ns(void);
double floor_tsc_ns(void);

/* ---- Rows ---------------------------------------------------------------- */

/* What a figure is held against. limit is in the row's unit; 0: nothing. */
struct goal {
	const char *text; /* "<= 0.35 F" */
	double limit;
};

struct row {
	const char *group;   /* client, wire, collector, store, query */
	const char *profile; /* P or PS, or - */
	const char *what;
	const char *unit;
	const char *note; /* ratios to floors and the like; may be NULL */
	struct goal must;
	struct goal aim;
	bool more_is_better;
};

/* Prints a row: least, median and most of the samples. */
void row_print(const struct row *row, struct samples *samples);
/* The same for a single figure. */
void row_print_one(const struct row *row, double value);

/* ---- What goes with all of it ---------------------------------------------- */

struct bench_options {
	unsigned int rounds;
	double seconds;	       /* of a load */
	double rate;	       /* spans a second */
	uint64_t spans;	       /* of a store, or of a load; 0: as many as usual */
	const char *directory; /* for stores; on the disk to be measured */
	bool tsv;	       /* rows for programs, tab-separated */
	bool keep;
};
extern struct bench_options bench_options;

/* Spans of a store: those asked for, or 10 million. */
uint64_t bench_spans(void);

/* Whether a word is among a subcommand's arguments, behind its name. */
bool bench_has_word(int argc, char **argv, const char *word);

/* Ends the program with a message unless status is 0 or more. */
void bench_check(long status, const char *doing);

/* A new directory below bench_options.directory; owned. */
char *bench_directory_new(void);
/* Removes it with all that is in it. */
void bench_directory_remove(const char *path);

/* The subcommands; a status for exit. */
int bench_client(int argc, char **argv);
int bench_wire(int argc, char **argv);
int bench_collector(int argc, char **argv);
int bench_sustained(int argc, char **argv);
int bench_beside_sealing(int argc, char **argv);
int bench_generate(int argc, char **argv);
int bench_query(int argc, char **argv);
int bench_growth(int argc, char **argv);
int bench_put(int argc, char **argv);
int bench_seal(int argc, char **argv);
int bench_snapshots(int argc, char **argv);
int bench_count(int argc, char **argv);

#endif
