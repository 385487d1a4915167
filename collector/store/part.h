/*
 * Parts: the JSONL files of a day. Their names and days. Which part of its day
 * a run goes to is decided in writer.c. Pure.
 *
 * Days are counted from 1970-01-01 (UTC) and may be negative.
 */
#ifndef WAFT_STORE_PART_H
#define WAFT_STORE_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errors.h"

#define PART_NAME_BYTES 32 /* with NUL */
#define PART_BYTES (1ull << 30)
#define PART_NUMBER_MAX 999999u
#define DAY_NS (86400ull * 1000000000ull)

struct part_name {
	int32_t day;
	uint32_t number; /* 1: YYYY-MM-DD.jsonl, 2: YYYY-MM-DD.0002.jsonl, … */
	bool sealed;	 /* .zst behind it */
};

/* Days since 1970 of a date of the proleptic Gregorian calendar, and back.
 * Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
int32_t day_from_date(int year, unsigned month, unsigned day);
void day_to_date(int32_t day, int *ret_year, unsigned *ret_month, unsigned *ret_day);

/* The UTC day of a time since 1970. */
static inline int32_t day_of_ns(uint64_t ns)
{
	return (int32_t)(ns / DAY_NS);
}

/* The day of a trace by its first run (docs/STORE.md, "Which file"): start_ns is
 * that of the earliest root held, else the earliest start. */
int32_t day_of_run(uint64_t start_ns, uint64_t receive_ns);

/* Writes the name. Years 0000 to 9999 only: -EINVAL. */
MUST_CHECK int part_name_format(const struct part_name *name, char ret[PART_NAME_BYTES]);

/* Understands exactly what part_name_format writes, else -EINVAL. */
MUST_CHECK int part_name_parse(const char *text, struct part_name *ret);

/* Whether a file of the top directory is taken for one with traces: any name
 * that ends in .jsonl or .jsonl.zst and doesn't begin with a dot. */
bool part_name_is_traces(const char *text);

/* Of such: whether it ends in .zst. */
bool part_name_is_packed(const char *text);

#endif
