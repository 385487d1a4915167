/*
 * filter.h: which traces and spans a query is about.
 *
 * The same rules for list, stats and tail, with the daemon and without. Texts
 * are compared byte by byte, as a whole; grep looks for a part. Functions are pure.
 */
#ifndef WAFT_STORE_FILTER_H
#define WAFT_STORE_FILTER_H

#include "record.h"

struct filter_attribute {
	struct slice key;
	struct slice value;
};

/* Zero-initialised: everything matches. All texts are borrowed and must outlive
 * the filter; an empty one is not asked for. All that is asked for must hold. */
struct filter {
	int64_t since_ns;	/* the trace started then or later; 0: any */
	int64_t until_ns;	/* the trace started before; 0: any */
	struct slice service;	/* service, operation, layer and attributes: */
	struct slice operation; /*   on one same span */
	struct slice layer;
	const struct filter_attribute *attributes;
	size_t attribute_count;
	bool has_status;
	enum record_status status; /* of the trace: that of its earliest root */
	bool errors;		   /* any span failed */
	int64_t min_duration_ns;   /* of the trace; 0: any */
	int64_t max_duration_ns;   /* 0: any */
	struct slice grep;	   /* in operation, error, input or output of any span */
};

/* Reads "success", "error" or "pending" into filter->status. 0 or -EINVAL. */
int filter_set_status(struct filter *filter, struct slice text) MUST_CHECK;

/* Splits "key=value" at the first '='; both are borrowed. 0 or -EINVAL. */
int filter_split_attribute(struct slice text, struct filter_attribute *ret_attribute) MUST_CHECK;

/* Whether anything that is about single spans is asked for (grep apart). */
bool filter_has_span_part(const struct filter *filter);

/* Whether service, operation, layer and attributes hold on this span. scratch is
 * used for a while only and left with more in it. 1, 0, or -ENOMEM. */
int filter_match_span(const struct filter *filter, const struct record *record,
	struct scratch *scratch) MUST_CHECK;

/* Calls on_text for each text in which grep looks: the operation, the error, the input's and the
 * output's JSON texts as they stand and, where there are escapes in them, with these decoded. A
 * result other than 0 ends it and is returned. */
int filter_for_each_text(const struct record *record, struct scratch *scratch,
	int (*on_text)(void *ctx, struct slice text), void *ctx) MUST_CHECK;

/* Whether the text of grep is in the operation, the error, the input or the output:
 * in decoded texts, and in the JSON texts both as they stand and with their
 * escapes decoded. 1, 0 or -ENOMEM. Without grep 1. */
int filter_match_grep(const struct filter *filter, const struct record *record,
	struct scratch *scratch) MUST_CHECK;

/* All of the filter on one span alone, as if it were a trace: what tail shows.
 * 1, 0 or -ENOMEM. */
int filter_match_record(const struct filter *filter, const struct record *record,
	struct scratch *scratch) MUST_CHECK;

#endif
