/* Forgetting of the log, and retention. See writer.h. */
#include <errno.h>
#include <stdlib.h>

#include "writer_internal.h"

/* ---- The log --------------------------------------------------------------------- */

static bool is_unsent(const struct manifest_forward *forward, uint32_t segment)
{
	return forward->known && segment >= forward->place.segment;
}

/* Whether the clients' table includes all records of a segment. */
static bool is_accounted(const struct log_segment *segment, struct log_place accounted)
{
	return segment->number < accounted.segment ||
	       (segment->number == accounted.segment && segment->last_offset > 0 &&
		       segment->last_offset <= accounted.offset);
}

/* The first segment that is still needed: it takes records, or holds spans in no file,
 * or records that are to be forwarded or that the clients' table doesn't include yet. */
static uint32_t first_needed(const struct manifest_state *state, const struct log_segment *segments,
	size_t count, struct log_place accounted)
{
	uint32_t needed = state->first_segment;

	for (size_t i = 0; i < count; i++) {
		const struct log_segment *segment = &segments[i];

		if (segment->open || !is_accounted(segment, accounted) ||
			is_unsent(&state->forward, segment->number) ||
			consumed_in_segment(&state->consumed, segment->number) < segment->spans)
			break;
		needed = segment->number + 1;
	}
	return needed;
}

static int list_segments(struct log *log, struct log_segment **ret, size_t *ret_count)
{
	size_t capacity = log_segments(log, NULL, 0) + 4;
	struct log_segment *segments = calloc(capacity, sizeof(*segments));
	size_t count;

	if (segments == NULL)
		return -ENOMEM;
	count = log_segments(log, segments, capacity);
	*ret = segments;
	*ret_count = count < capacity ? count : capacity;
	return 0;
}

/* What the log has, once nothing is gathered here. 1; 0: not now; or an error. */
static int settled_segments(struct jsonl_store *store, struct log_segment **ret, size_t *ret_count)
{
	int error;

	if (store->pause_ns != 0)
		return 0;
	error = writer_settle(store);
	if (error == 0)
		error = list_segments(store->config.log, ret, ret_count);
	return error == 0 ? 1 : error;
}

/* Notes which segments are needed, with the clients' table; *ret_noted: they are fewer. No
 * other's checkpoint comes in between: it would have newer clients than this image. */
static int note_needed(struct jsonl_store *store, const struct log_segment *segments, size_t count,
	bool *ret_noted)
{
	struct manifest *manifest = store->config.manifest;
	const struct manifest_state *state = manifest_state(manifest);
	struct manifest_image image = {0};
	uint32_t needed;
	int ret;

	*ret_noted = false;
	manifest_lock(manifest);
	ret = clients_image(store->config.clients, false, &image);
	if (ret == 0) {
		needed = first_needed(state, segments, count, image.accounted);
		*ret_noted = needed > state->first_segment;
		if (*ret_noted)
			ret = manifest_segment(manifest, needed, &image);
	}
	manifest_unlock(manifest);
	manifest_image_done(&image);
	return ret;
}

int writer_trim_log(struct store *base)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	struct log_segment *segments = NULL;
	size_t count = 0;
	bool noted;
	int ret = settled_segments(store, &segments, &count);

	if (ret != 1)
		return ret;
	ret = note_needed(store, segments, count, &noted);
	/* Also what an earlier call could not delete, or not sync. */
	if (ret == 0)
		ret = manifest_sync(store->config.manifest);
	if (ret == 0 && noted)
		clients_image_durable(store->config.clients);
	if (ret == 0) {
		writer_forget_log(store);
		ret = log_drop_below(store->config.log, store->forgotten);
	}
	free(segments);
	return ret;
}

int writer_rest(struct store *base, uint64_t least_bytes)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	const struct manifest_state *state = manifest_state(store->config.manifest);
	struct log_segment *segments = NULL;
	const struct log_segment *last;
	size_t count = 0;
	int ret = settled_segments(store, &segments, &count);

	if (ret != 1)
		return ret;
	last = count > 0 ? &segments[count - 1] : NULL;
	manifest_lock(store->config.manifest);
	if (last != NULL && last->open && last->length_bytes >= least_bytes &&
		consumed_in_segment(&state->consumed, last->number) >= last->spans)
		log_roll(store->config.log);
	manifest_unlock(store->config.manifest);
	free(segments);
	/* It looks again: a record may have come in before the roll. */
	ret = writer_trim_log(base);
	return ret == 0 ? manifest_tidy(store->config.manifest) : ret;
}

int writer_forward(
	struct store *base, const struct manifest_forward *forward, const struct consumed *ordinals)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	int ret;

	/* Its sync would be that of a round in doubt. */
	if (store->pause_ns != 0)
		return -EAGAIN;
	ret = writer_settle(store);
	if (ret == 0)
		ret = manifest_forward(store->config.manifest, forward, ordinals);
	return ret != 0 ? ret : manifest_sync(store->config.manifest);
}

/* ---- Retention --------------------------------------------------------------------- */

static uint64_t part_bytes(const struct manifest_part *part)
{
	return part->state == PART_SEALED ? part->sealed_length_bytes : part->length_bytes;
}

/* Locked: the oldest part by day and number that is there; NULL: none. */
static const struct manifest_part *oldest_part(const struct manifest_state *state)
{
	const struct manifest_part *oldest = NULL;

	for (size_t i = 0; i < state->part_count; i++) {
		const struct manifest_part *part = &state->parts[i];

		if (part->state == PART_REMOVED)
			continue;
		if (oldest == NULL || part->name.day < oldest->name.day ||
			(part->name.day == oldest->name.day &&
				part->name.number < oldest->name.number))
			oldest = part;
	}
	return oldest;
}

static uint64_t total_bytes(const struct manifest_state *state)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < state->part_count; i++) {
		if (state->parts[i].state != PART_REMOVED)
			bytes += part_bytes(&state->parts[i]);
	}
	return bytes;
}

/* A day is as old as its last moment. */
static bool too_old(const struct manifest_part *part, uint64_t now_ns, uint64_t max_age_ns)
{
	uint64_t days = part->name.day < 0 ? 0 : (uint64_t)part->name.day + 1;

	return max_age_ns != 0 && now_ns > days * DAY_NS && now_ns - days * DAY_NS > max_age_ns;
}

void writer_leave_part(struct jsonl_store *store, uint32_t id)
{
	for (size_t i = 0; i < OUTPUTS; i++) {
		if (store->outputs[i].part == id)
			writer_drop_part(store, &store->outputs[i]);
	}
}

static bool is_removed(struct manifest *manifest, uint32_t id)
{
	struct manifest_part part;

	return !manifest_copy_part(manifest, id, &part) || part.state == PART_REMOVED;
}

static int remove_part(struct jsonl_store *store, const struct manifest_part *part)
{
	struct manifest *manifest = store->config.manifest;
	bool open = part->state == PART_OPEN;
	uint32_t id = part->id;
	int ret = open ? writer_rest_all(store, id) : 0;

	if (ret != 0)
		return ret;
	/* The store that was to write to it may have taken it back meanwhile. */
	if (!is_removed(manifest, id))
		ret = manifest_removed(manifest, id);
	if (open)
		writer_resume_all(store);
	if (ret == 0)
		ret = manifest_sync(manifest);
	if (ret != 0)
		return ret;
	writer_tell_part(store, id);
	return writer_delete_file(store, id);
}

/* The first removed part behind `after` whose file may be there; 0: none. */
static uint32_t next_to_delete(struct jsonl_store *store, uint32_t after)
{
	const struct manifest_state *state = manifest_state(store->config.manifest);
	uint32_t found = 0;

	manifest_lock(store->config.manifest);
	for (size_t i = 0; found == 0 && i < state->part_count; i++) {
		const struct manifest_part *part = &state->parts[i];

		if (part->id > after && part->state == PART_REMOVED && !part->gone)
			found = part->id;
	}
	manifest_unlock(store->config.manifest);
	return found;
}

/* Files that could not be deleted before. */
static int retry_deletions(struct jsonl_store *store)
{
	uint32_t part = 0;
	int ret = 0;

	while (ret == 0 && (part = next_to_delete(store, part)) != 0)
		ret = writer_delete_file(store, part);
	return ret;
}

/* What is sealed isn't removed for the room that its seal takes. */
static uint64_t to_be_free(const struct retention *retention, const struct manifest_part *oldest)
{
	return retention->ahead_bytes +
	       (oldest->id == retention->seal_part ? 0 : retention->seal_bytes);
}

/* The part that is the next to go; false: none is. */
static bool next_to_remove(struct jsonl_store *store, const struct retention *retention,
	uint64_t now_ns, struct manifest_part *ret)
{
	const struct manifest_state *state = manifest_state(store->config.manifest);
	const struct manifest_part *oldest;
	bool found;

	manifest_lock(store->config.manifest);
	oldest = oldest_part(state);
	found = oldest != NULL &&
		(too_old(oldest, now_ns, retention->max_age_ns) ||
			(retention->max_bytes != 0 &&
				total_bytes(state) + to_be_free(retention, oldest) >
					retention->max_bytes));
	if (found)
		*ret = *oldest;
	manifest_unlock(store->config.manifest);
	return found;
}

int writer_retain(struct store *base, const struct retention *retention)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	uint64_t now_ns = writer_now(store);
	struct manifest_part oldest;
	int removed = 0;
	int ret;

	/* In doubt, an output still has to go to its part's committed place. */
	ret = store->doubt ? -EAGAIN : writer_settle(store);
	if (ret == 0)
		ret = retry_deletions(store);
	while (ret == 0 && next_to_remove(store, retention, now_ns, &oldest)) {
		ret = remove_part(store, &oldest);
		removed += ret == 0;
	}
	writer_count_manifest(store);
	return ret != 0 ? ret : removed;
}
