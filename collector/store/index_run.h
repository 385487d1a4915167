/*
 * index_run.h: making runs of records (index.h), and asking of a run whether it
 * may hold what a filter wants. One thread at a time per builder.
 */
#ifndef WAFT_STORE_INDEX_RUN_H
#define WAFT_STORE_INDEX_RUN_H

#include "filter.h"
#include "index.h"
#include "index_format.h"

/* Zero-initialise; run is what was made so far. */
struct index_builder {
	struct index_run run;
	int64_t first_ns; /* private: earliest of those that could be the head */
	int64_t last_ns;  /* private: latest of them */
	uint64_t *ids;	  /* private: hashes of span ids */
	size_t id_capacity;
};

void index_builder_done(struct index_builder *builder);

/* Begins a run of this trace; keeps memory. */
void index_builder_begin(struct index_builder *builder, const uint8_t trace_id[16]);

/* Adds a span. 0, -ENOMEM, or -EFBIG beyond 2^32 - 1 spans. */
int index_builder_add(struct index_builder *builder, const struct record *record,
	struct scratch *scratch) MUST_CHECK;

/* What the builder wants to know of a span besides its texts. */
struct index_span {
	uint64_t span_id; /* as in record.h's UUID of it */
	bool has_parent;
	enum record_status status;
	int64_t start_ns;
	int64_t duration_ns; /* -1: it is open */
};

/* The same for a span whose texts were put into builder->run.filter already, with
 * the functions below. */
int index_builder_add_span(struct index_builder *builder, const struct index_span *span) MUST_CHECK;

enum index_text { INDEX_SERVICE = 1, INDEX_OPERATION, INDEX_LAYER };

/* What filters ask for: texts as they are decoded from JSON. */
void index_filter_text(
	uint64_t filter[INDEX_FILTER_WORDS], enum index_text which, struct slice text);
/* In two steps, for a key that is the same for many spans. */
uint64_t index_hash_key(struct slice key);
void index_filter_value(uint64_t filter[INDEX_FILTER_WORDS], uint64_t key_hash, struct slice value);
void index_filter_attribute(
	uint64_t filter[INDEX_FILTER_WORDS], struct slice key, struct slice value);

/* Of an attribute as one number, for packs. */
uint64_t index_hash_attribute(struct slice key, struct slice value);

/* Settles what depends on all spans: call it before run is used. */
void index_builder_end(struct index_builder *builder);

/* More attributes than that are looked for in the lines alone. */
#define INDEX_QUESTION_HASHES 16
#define INDEX_QUESTION_GRAMS 64

/* What a filter asks of runs. */
struct index_question {
	const struct filter *filter;		/* borrowed */
	uint64_t mask[INDEX_FILTER_WORDS];	/* bits that must be set */
	uint64_t hashes[INDEX_QUESTION_HASHES]; /* of attributes that must be there */
	size_t hash_count;
	uint16_t grams[INDEX_QUESTION_GRAMS]; /* of the text that must be there */
	size_t gram_count;
};

void index_question_init(struct index_question *question, const struct filter *filter);

/* Whether one of the run's spans may satisfy the span part of the filter. */
bool index_run_may_have_span(const struct index_run *run, const struct index_question *question);

/* Whether a trace that has this run alone may satisfy the filter. */
bool index_run_may_match(const struct index_run *run, const struct index_question *question);

/* Whether one of the zone's runs may be a whole trace that satisfies the filter. */
bool index_zone_may_match(const struct index_zone *zone, const struct index_question *question);

/* Spreads trace ids, also those that aren't random. */
uint64_t index_hash_id(const uint8_t id[16]);

#endif
