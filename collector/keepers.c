/* One keeper a shard. See keepers.h. */
#include "keepers.h"

#include "assembly.h"

#include <errno.h>
#include <stdlib.h>

struct keepers;

/* What its keeper calls back with. */
struct member {
	struct keepers *keepers;
	struct keeper *keeper;
	int error;
	uint64_t handed_spans;	/* to it, since the start */
	uint64_t written_spans; /* of these, those that are in files */
	uint64_t marked_spans;	/* handed_spans at the mark */
};

struct keepers {
	struct keeper_config config;
	struct member members[SHARDS_MAX];
	uint32_t count;
	uint32_t open; /* not closed yet */
	uint64_t spans_not_written;
	void (*on_closed)(void *context, uint64_t spans_not_written);
};

/* ---- Callbacks ---------------------------------------------------------------- */

static void on_written(void *context, struct run *run)
{
	struct member *member = context;

	member->written_spans += run->count;
	member->keepers->config.on_written(member->keepers->config.context, run);
}

static void on_progress(void *context, int error)
{
	struct member *member = context;
	struct keepers *keepers = member->keepers;

	member->error = error;
	for (uint32_t i = 0; i < keepers->count && error == 0; i++)
		error = keepers->members[i].error;
	keepers->config.on_progress(keepers->config.context, error);
}

static void on_forwarded(void *context)
{
	struct keepers *keepers = ((struct member *)context)->keepers;

	keepers->config.on_forwarded(keepers->config.context);
}

static void on_closed(void *context, uint64_t spans_not_written)
{
	struct keepers *keepers = ((struct member *)context)->keepers;
	void (*done)(void *owner, uint64_t spans) = keepers->on_closed;
	void *owner = keepers->config.context;
	uint64_t spans = keepers->spans_not_written += spans_not_written;

	if (--keepers->open > 0)
		return;
	free(keepers);
	done(owner, spans);
}

/* ---- Life ----------------------------------------------------------------------- */

static int start_member(struct keepers *keepers, struct store *store)
{
	struct member *member = &keepers->members[keepers->count];
	struct keeper_config config = keepers->config;
	int status;

	config.store = store;
	config.on_written = on_written;
	config.on_progress = on_progress;
	config.on_forwarded = keepers->config.on_forwarded != NULL ? on_forwarded : NULL;
	config.context = member;
	if (keepers->count > 0) {
		config.first = keepers->members[0].keeper;
		config.manifest = NULL;
		config.sealer = NULL;
	}
	member->keepers = keepers;
	status = keeper_start(&config, &member->keeper);
	keepers->count += status == 0;
	return status;
}

int keepers_start(const struct keeper_config *config, struct store *const *stores, uint32_t count,
	struct keepers **ret)
{
	struct keepers *keepers;
	int status = 0;

	if (count == 0 || count > SHARDS_MAX)
		return -EINVAL;
	keepers = calloc(1, sizeof(*keepers));
	if (keepers == NULL)
		return -ENOMEM;
	keepers->config = *config;
	for (uint32_t i = 0; i < count && status == 0; i++)
		status = start_member(keepers, stores[i]);
	if (keepers->count > 0)
		*ret = keepers;
	else
		free(keepers);
	return status;
}

struct keeper *keepers_first(struct keepers *keepers)
{
	return keepers->members[0].keeper;
}

void keepers_close(
	struct keepers *keepers, void (*on_all_closed)(void *context, uint64_t spans_not_written))
{
	uint32_t count = keepers->count;

	keepers->on_closed = on_all_closed;
	keepers->open = count;
	/* The first rewrites the manifest when the others have written all that they can. */
	for (uint32_t i = count; i-- > 0;)
		keeper_close(keepers->members[i].keeper, on_closed);
}

/* ---- Passing on ------------------------------------------------------------------- */

void keepers_put(struct keepers *keepers, struct run *run)
{
	struct member *member = &keepers->members[run->shard];

	member->handed_spans += run->count;
	keeper_put(member->keeper, run);
}

void keepers_mark(struct keepers *keepers)
{
	for (uint32_t i = 0; i < keepers->count; i++)
		keepers->members[i].marked_spans = keepers->members[i].handed_spans;
}

/* A keeper writes in the order in which it was handed to. */
bool keepers_are_past_mark(const struct keepers *keepers)
{
	bool past = true;

	for (uint32_t i = 0; i < keepers->count && past; i++)
		past = keepers->members[i].written_spans >= keepers->members[i].marked_spans;
	return past;
}

void keepers_hurry(struct keepers *keepers)
{
	for (uint32_t i = 0; i < keepers->count; i++)
		keeper_hurry(keepers->members[i].keeper);
}

bool keepers_busy(struct keepers *keepers)
{
	bool busy = false;

	for (uint32_t i = 0; i < keepers->count && !busy; i++)
		busy = keeper_busy(keepers->members[i].keeper);
	return busy;
}

void keepers_count(struct keepers *keepers, struct keeper_counts *ret)
{
	keeper_count(keepers->members[0].keeper, ret);
	for (uint32_t i = 1; i < keepers->count; i++) {
		struct keeper_counts one;

		keeper_count(keepers->members[i].keeper, &one);
		ret->runs += one.runs;
		ret->spans += one.spans;
		ret->waiting_runs += one.waiting_runs;
		ret->waiting_spans += one.waiting_spans;
		ret->spans_per_s += one.spans_per_s;
	}
}
