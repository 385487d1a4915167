/*
 * What the daemon can say about itself: numbers with names, and what is wrong.
 * One gathering serves Health, Status, /metrics and /healthz. Loop thread.
 */
#ifndef WAFT_COLLECTOR_REPORT_H
#define WAFT_COLLECTOR_REPORT_H

#include "answers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPORT_NUMBERS_MAX 128
#define REPORT_REASONS_MAX 8

struct report_number {
	const char *name;  /* "spans_durable_total", as Status has it and, behind
			      "waft_collector_", /metrics */
	const char *label; /* "reason=\"ended\"" or NULL */
	const char *help;
	bool counter; /* only grows; else a gauge */
	uint64_t value;
};

struct report {
	struct report_number numbers[REPORT_NUMBERS_MAX];
	size_t number_count;
	const char *reasons[REPORT_REASONS_MAX]; /* why it is not healthy */
	size_t reason_count;
	bool serving;			     /* false while it stops */
	char texts[REPORT_REASONS_MAX][160]; /* behind reasons */
};

struct collector;

/* Gathers everything. */
void report_gather(struct collector *collector, struct report *ret);

/* Answers of Health and Status, for query_service_config. context: the collector. */
void report_health(void *context, uint32_t stream_id, struct answer *ret);
void report_status(void *context, uint32_t stream_id, struct answer *ret);

/* Of ListClients; context: the collector. */
void report_clients(void *context, uint32_t stream_id, struct answer *ret);

/* The Prometheus text format, version 0.0.4. Owned by the caller; NULL without
 * memory. */
char *report_metrics(const struct report *report, size_t *ret_length);

/* One line: "ok", or what is wrong. Owned by the caller; NULL without memory. */
char *report_healthz(const struct report *report, size_t *ret_length);

#endif
