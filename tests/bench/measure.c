/* See measure.h. */
#include "measure.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/errors.h"

enum { FLOOR_REPEATS = 2000, FLOOR_BYTES = 100, FLOOR_BURSTS = 9 };

struct bench_options bench_options = {.rounds = 9,
	.seconds = 10,
	.rate = 200000,
	.spans = 0,
	.directory = ".",
	.tsv = false,
	.keep = false};

void samples_add(struct samples *samples, double value)
{
	if (samples->count == samples->capacity) {
		samples->capacity = samples->capacity * 2 + 64;
		samples->at = reallocarray(samples->at, samples->capacity, sizeof(*samples->at));
		if (samples->at == NULL)
			abort();
	}
	samples->at[samples->count++] = value;
}

void samples_done(struct samples *samples)
{
	free(samples->at);
	*samples = (struct samples){0};
}

static int compare(const void *a, const void *b)
{
	double first = *(const double *)a, second = *(const double *)b;

	return (first > second) - (first < second);
}

double samples_rank(struct samples *samples, double share)
{
	size_t rank;

	if (samples->count == 0)
		return 0;
	qsort(samples->at, samples->count, sizeof(*samples->at), compare);
	rank = (size_t)ceil(share * (double)samples->count);
	return samples->at[rank > 0 ? rank - 1 : 0];
}

void clock_sleep_until_ns(double then_ns)
{
	struct timespec then = {.tv_sec = (time_t)(then_ns / 1e9)};

	then.tv_nsec = (long)(then_ns - (double)then.tv_sec * 1e9);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL) == EINTR)
		;
}

static __attribute__((noinline)) void floor_clock(uint8_t *to, const uint8_t *from)
{
	struct timespec times[4];

	clock_gettime(CLOCK_MONOTONIC, &times[0]);
	clock_gettime(CLOCK_REALTIME, &times[1]);
	__builtin_memcpy(to, from, FLOOR_BYTES);
	__asm__ volatile("" ::"r"(to) : "memory");
	clock_gettime(CLOCK_MONOTONIC, &times[2]);
	clock_gettime(CLOCK_REALTIME, &times[3]);
	__asm__ volatile("" ::"r"(times) : "memory");
}

static __attribute__((noinline)) void floor_tsc(uint8_t *to, const uint8_t *from)
{
#if defined(__x86_64__)
	uint64_t begin = __builtin_ia32_rdtsc();
	uint64_t end;

	__builtin_memcpy(to, from, FLOOR_BYTES);
	__asm__ volatile("" ::"r"(to) : "memory");
	end = __builtin_ia32_rdtsc() - begin;
	__asm__ volatile("" ::"r"(end));
#else
	(void)to;
	(void)from;
#endif
}

static double time_floor(void (*run)(uint8_t *to, const uint8_t *from))
{
	uint8_t from[FLOOR_BYTES + 64] = {1}, to[FLOOR_BYTES + 64];
	struct samples bursts = {0};
	double median;

	for (int burst = 0; burst < FLOOR_BURSTS; burst++) {
		double begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);

		for (int i = 0; i < FLOOR_REPEATS; i++)
			run(to + i % 64, from + i % 64);
		samples_add(
			&bursts, (clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / FLOOR_REPEATS);
	}
	median = samples_rank(&bursts, 0.5);
	samples_done(&bursts);
	return median;
}

double floor_clock_ns(void)
{
	return time_floor(floor_clock);
}

double floor_tsc_ns(void)
{
#if defined(__x86_64__)
	return time_floor(floor_tsc);
#else
	return 0;
#endif
}

static const char *verdict(const struct row *row, double value)
{
	bool more = row->more_is_better;

	if (row->must.limit == 0 && row->aim.limit == 0)
		return "-";
	if (row->aim.limit != 0 && (more ? value >= row->aim.limit : value <= row->aim.limit))
		return "aim";
	if (row->must.limit != 0 && (more ? value >= row->must.limit : value <= row->must.limit))
		return row->aim.limit != 0 ? "must" : "met";
	return "missed";
}

static const char *text_or_dash(const char *text)
{
	return text != NULL ? text : "-";
}

static void print_three(const struct row *row, double least, double median, double most)
{
	if (bench_options.tsv)
		printf("%s\t%s\t%s\t%s\t%.4g\t%.4g\t%.4g\t%s\t%s\t%s\t%s\n", row->group,
			row->profile, row->what, row->unit, least, median, most,
			text_or_dash(row->note), text_or_dash(row->must.text),
			text_or_dash(row->aim.text), verdict(row, median));
	else
		printf("%-9s %-2s %-52s %9.4g [%.4g … %.4g] %s; %s; must %s, aim %s: %s\n",
			row->group, row->profile, row->what, median, least, most, row->unit,
			text_or_dash(row->note), text_or_dash(row->must.text),
			text_or_dash(row->aim.text), verdict(row, median));
	fflush(stdout);
}

void row_print(const struct row *row, struct samples *samples)
{
	print_three(row, samples_rank(samples, 0), samples_rank(samples, 0.5),
		samples_rank(samples, 1));
}

void row_print_one(const struct row *row, double value)
{
	print_three(row, value, value, value);
}

void bench_check(long status, const char *doing)
{
	if (status >= 0)
		return;
	fprintf(stderr, "waft-bench: %s: %s\n", doing, error_text((int)status));
	exit(EXIT_FAILURE);
}

char *bench_directory_new(void)
{
	char *path;

	if (asprintf(&path, "%s/waft-bench-XXXXXX", bench_options.directory) < 0)
		abort();
	if (mkdtemp(path) == NULL)
		bench_check(-errno, "making a directory");
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void bench_directory_remove(const char *path)
{
	if (!bench_options.keep)
		(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

uint64_t bench_spans(void)
{
	return bench_options.spans > 0 ? bench_options.spans : 10000000;
}

bool bench_has_word(int argc, char **argv, const char *word)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], word) == 0)
			return true;
	return false;
}
