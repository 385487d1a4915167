/*
 * Brings a store back. See recover.h, and docs/STORE.md, "Recovery".
 *
 * Nothing that matters is changed before the checkpoint: until then, only copies
 * are made in quarantine, under names that tell their content. After it, what
 * was copied is cut off. So a kill at any place leaves either the old state, to
 * be recovered the same way again, or the new one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "log_format.h"
#include "lost_end.h"
#include "manifest_format.h"
#include "quarantine.h"
#include "recover_internal.h"
#include "seal.h"

#define WAFT_DIR ".waft"
#define LOG_DIR "log"
#define LOCK_NAME "lock"
#define PART_NEW_NAME "part.new"

enum { MARKS_BYTES_MAX = 4096 };

/* ---- Directories ---------------------------------------------------------- */

void store_dirs_close(struct disk *disk, struct store_dirs *dirs)
{
	disk_close(disk, dirs->lock);
	disk_close(disk, dirs->quarantine);
	disk_close(disk, dirs->log);
	disk_close(disk, dirs->waft);
	disk_close(disk, dirs->top);
	*dirs = (struct store_dirs){-1, -1, -1, -1, -1};
}

/* Opens one; without create, a missing one is -1. */
static int open_dir(struct disk *disk, int parent, const char *name, bool create, int *ret_dir)
{
	int dir = disk_open_dir(disk, parent, name, create);

	if (dir < 0 && !(dir == -ENOENT && !create))
		return dir;
	*ret_dir = dir < 0 ? -1 : dir;
	return 0;
}

int store_dirs_open(struct disk *disk, const char *path, bool create, struct store_dirs *ret)
{
	struct store_dirs dirs = {-1, -1, -1, -1, -1};
	int error;

	dirs.top = disk_open_root(disk, path, create);
	if (dirs.top < 0)
		return dirs.top;
	error = open_dir(disk, dirs.top, WAFT_DIR, create, &dirs.waft);
	if (error == 0 && dirs.waft >= 0)
		error = open_dir(disk, dirs.waft, LOG_DIR, create, &dirs.log);
	if (error == 0 && dirs.waft >= 0)
		error = open_dir(disk, dirs.waft, QUARANTINE_DIR, create, &dirs.quarantine);
	if (error != 0) {
		store_dirs_close(disk, &dirs);
		return error;
	}
	*ret = dirs;
	return 0;
}

int store_lock(struct disk *disk, struct store_dirs *dirs)
{
	int file = disk_open(disk, dirs->waft, LOCK_NAME, DISK_WRITE | DISK_CREATE);
	int error;

	if (file < 0)
		return file;
	error = disk_lock(disk, file);
	if (error != 0) {
		disk_close(disk, file);
		return error;
	}
	dirs->lock = file;
	return 0;
}

/* ---- What recovery carries along ------------------------------------------- */

int recoverer_quarantine(struct recoverer *recoverer, struct manifest_quarantine *entry)
{
	int error = manifest_state_quarantine(&recoverer->state, entry);

	quarantine_entry_done(entry);
	return error;
}

/* ---- Manifest -------------------------------------------------------------- */

static int set_manifest_aside(
	struct recoverer *recoverer, uint64_t offset, uint64_t length, const char *why)
{
	const struct recovery_config *config = recoverer->config;
	struct manifest_quarantine entry;
	int file = disk_open(config->disk, config->dirs->waft, MANIFEST_NAME, DISK_READ);
	int error;

	if (file < 0)
		return file;
	error = quarantine_copy(config->disk, config->dirs->quarantine, file, offset, length,
		"manifest", why, &entry);
	disk_close(config->disk, file);
	return error != 0 ? error : recoverer_quarantine(recoverer, &entry);
}

static bool is_there(const struct recoverer *recoverer, const char *name)
{
	const struct recovery_config *config = recoverer->config;
	struct disk_stat st;

	return disk_stat_name(config->disk, config->dirs->waft, name, &st) == 0;
}

static int read_manifest(struct recoverer *recoverer)
{
	const struct recovery_config *config = recoverer->config;
	struct manifest_state *state = &recoverer->state;
	int error = manifest_load(
		config->disk, config->dirs->waft, clients_on_manifest, config->clients, state);

	if (error == 0)
		error = clients_on_counters(config->clients, state);
	if (error != 0)
		return error;
	/* An empty one as well: it gets its name when all of it is synced. */
	recoverer->result->manifest_lost =
		state->generation == 0 && is_there(recoverer, MANIFEST_NAME);
	error = state->damaged ? 1 : lost_end_is_cut(config->disk, config->dirs, state);
	if (error < 0)
		return error;
	state->damaged = error == 1;
	recoverer->result->manifest_damaged = state->damaged;
	disk_unlink_quietly(config->disk, config->dirs->waft, MANIFEST_NEW_NAME);
	if (recoverer->result->manifest_lost && state->file_bytes > 0)
		return set_manifest_aside(
			recoverer, 0, state->file_bytes, "no readable header in it");
	if (state->damaged)
		return set_manifest_aside(recoverer, 0, state->file_bytes, "damaged");
	if (state->length_bytes < state->file_bytes)
		return set_manifest_aside(recoverer, state->length_bytes,
			state->file_bytes - state->length_bytes, "a record was torn");
	return 0;
}

/* ---- Log --------------------------------------------------------------------- */

/* A batch that doesn't decode, though it was logged: set aside, and its spans, that will
 * never be lines, are no reason any more to keep the segment. */
static int give_up_batch(struct recoverer *recoverer, struct log_place place,
	const struct log_record *record, uint64_t consumed)
{
	const struct recovery_config *config = recoverer->config;
	char name[LOG_NAME_BYTES + 8] = LOG_DIR "/";
	struct manifest_quarantine entry;
	int error;

	log_name(place.segment, name + strlen(name));
	error = quarantine_put(config->disk, config->dirs->quarantine, record->payload,
		record->payload_length, place.offset, name, "a batch that does not decode", &entry);
	if (error == 0)
		error = recoverer_quarantine(recoverer, &entry);
	for (uint32_t i = 0; error >= 0 && i < record->spans; i++) {
		struct ordinal ordinal = {
			.segment = place.segment, .offset = place.offset, .position = i};

		error = consumed_add(&recoverer->state.consumed, &ordinal);
	}
	if (error < 0)
		return error;
	recoverer->state.spans_quarantined += record->spans - consumed;
	recoverer->segment_waiting -= record->spans - consumed;
	recoverer->result->spans_waiting -= record->spans - consumed;
	recoverer->result->spans_unreadable += record->spans - consumed;
	return 0;
}

/* Whether the spans of a record go to other collectors, not to files. */
static bool is_forwarders(const struct recoverer *recoverer, struct log_place place)
{
	const struct manifest_forward *forward = &recoverer->state.forward;

	return recoverer->config->forward && forward->known &&
	       (place.segment > forward->place.segment ||
		       (place.segment == forward->place.segment &&
			       place.offset >= forward->place.offset));
}

/* When forwarding begins, what the log has is still for files; when it is over, the cursor
 * has no more to say: what it passed is consumed. */
static void set_forward(struct recoverer *recoverer, struct log_place end)
{
	struct manifest_forward *forward = &recoverer->state.forward;

	if (!recoverer->config->forward)
		*forward = (struct manifest_forward){0};
	else if (!forward->known)
		*forward = (struct manifest_forward){.known = true, .place = end};
}

/* Whether a drop stands in the place of batches that were given up. */
static bool is_shed(const struct log_record *record)
{
	struct cursor in = cursor_of_slice(slice_of(record->payload, record->payload_length));
	bool found = false;

	while (cursor_more(&in)) {
		uint32_t tag = cursor_tag(&in);

		cursor_skip(&in, tag);
		found |= tag == TAG_DROP_PADDING;
	}
	return found;
}

static int on_record(void *ctx, struct log_place place, const struct log_record *record)
{
	struct recoverer *recoverer = ctx;
	const struct recovery_ops *ops = recoverer->ops;
	uint64_t consumed;
	int counted;

	recoverer->result->log_records++;
	recoverer->segment_records += log_record_bytes(record);
	recoverer->segment_last = place.offset;
	if (record->kind == LOG_DROP && is_forwarders(recoverer, place) && is_shed(record))
		recoverer->result->spans_shed += record->spans;
	counted = clients_durable(recoverer->config->clients, place, record);
	if (counted == -EEXIST)
		return 0;
	if (counted < 0)
		return counted;
	if (record->kind != LOG_BATCH)
		return 0;
	consumed = consumed_in_record(&recoverer->state.consumed, place);
	if (consumed >= record->spans)
		return 0;
	recoverer->segment_waiting += record->spans - consumed;
	if (is_forwarders(recoverer, place)) {
		recoverer->result->spans_to_forward += record->spans - consumed;
		return 0;
	}
	recoverer->result->spans_waiting += record->spans - consumed;
	if (ops == NULL || ops->on_batch == NULL)
		return 0;
	counted = ops->on_batch(ops->ctx, place, record, &recoverer->state.consumed);
	return counted == ERR_MALFORMED ? give_up_batch(recoverer, place, record, consumed)
					: counted;
}

static int on_damage(void *ctx, const struct log_damage *damage)
{
	struct recoverer *recoverer = ctx;
	const struct recovery_config *config = recoverer->config;
	struct manifest_quarantine entry;
	char name[LOG_NAME_BYTES + 8];
	int error;

	/* Void bytes were set aside before, or are elsewhere. */
	if (damage->kind == LOG_VOID)
		return 0;
	snprintf(name, sizeof(name), LOG_DIR "/");
	log_name(damage->segment, name + strlen(name));
	error = quarantine_put(config->disk, config->dirs->quarantine, damage->bytes,
		damage->length_bytes, damage->offset, name, damage->why, &entry);
	return error != 0 ? error : recoverer_quarantine(recoverer, &entry);
}

static int on_segment(void *ctx, uint32_t number, uint64_t length_bytes)
{
	struct recoverer *recoverer = ctx;
	struct log_segment *grown =
		reallocarray(recoverer->segments, recoverer->segment_count + 1, sizeof(*grown));
	/* What no record takes is marks: of many zeros, where batches were given up. */
	uint64_t freed = length_bytes > recoverer->segment_records + MARKS_BYTES_MAX
				 ? length_bytes - recoverer->segment_records - MARKS_BYTES_MAX
				 : 0;

	if (grown == NULL)
		return -ENOMEM;
	recoverer->segments = grown;
	/* A segment may go when as many of its spans are consumed as it holds; those of
	 * batches that are damaged now count as consumed. */
	grown[recoverer->segment_count++] = (struct log_segment){
		.number = number,
		.length_bytes = length_bytes,
		.spans = consumed_in_segment(&recoverer->state.consumed, number) +
			 recoverer->segment_waiting,
		.freed_bytes = freed,
		.last_offset = recoverer->segment_last,
	};
	recoverer->segment_waiting = recoverer->segment_records = 0;
	recoverer->segment_last = 0;
	return 0;
}

static int replay_log(struct recoverer *recoverer, struct log_scan_result *scan)
{
	static const struct log_scan_ops ops = {
		.on_record = on_record, .on_damage = on_damage, .on_segment = on_segment};
	const struct recovery_config *config = recoverer->config;
	const struct manifest_state *state = &recoverer->state;
	struct recovery *result = recoverer->result;
	int error = log_scan(config->disk, config->dirs->log,
		state->generation != 0 ? state->store_id : NULL, state->first_segment, &ops,
		recoverer, scan);

	/* What can't be read today may hold what was acknowledged: going on would give
	 * it up. */
	if (error == 0)
		error = scan->io_error;
	result->log_bytes_damaged = scan->damaged_bytes;
	result->log_bytes_torn = scan->torn_bytes;
	result->log_segments_lost = scan->segments_missing + scan->segments_unreadable;
	result->log_cut = error == 0 && lost_end_of_log(state, scan->end);
	/* The manifest is there before the log is. */
	result->manifest_lost |= state->generation == 0 && scan->last_segment != 0;
	return error;
}

/* Segments that are not needed and whose deletion was interrupted. */
struct leftovers {
	const struct recovery_config *config;
	uint32_t first_needed;
};

static int drop_leftover(void *ctx, const char *name)
{
	const struct leftovers *leftovers = ctx;
	uint32_t number = log_name_number(name);

	if (number != 0 && number < leftovers->first_needed)
		disk_unlink_quietly(leftovers->config->disk, leftovers->config->dirs->log, name);
	return 0;
}

/* The next segment's fence will say that all before it was synced; a mark was not. */
static int sync_end(const struct recovery_config *config, struct log_place end)
{
	char name[LOG_NAME_BYTES];
	int file, error;

	if (end.segment == 0)
		return 0;
	log_name(end.segment, name);
	file = disk_open(config->disk, config->dirs->log, name, DISK_WRITE);
	if (file == -ENOENT)
		return 0;
	if (file < 0)
		return file;
	error = disk_sync(config->disk, file);
	disk_close(config->disk, file);
	return error;
}

static int start_log(struct recoverer *recoverer, const struct log_scan_result *scan)
{
	const struct recovery_config *config = recoverer->config;
	const struct manifest_state *state = manifest_state(recoverer->result->manifest);
	struct log_config log = {
		.disk = config->disk,
		.dir = config->dirs->log,
		.segments = recoverer->segments,
		.segment_count = recoverer->segment_count,
		.end = scan->end,
		.segment_bytes = config->segment_bytes,
		.pending_limit = config->pending_limit,
		.reserve_bytes = config->reserve_bytes,
	};
	uint32_t last = scan->last_segment;
	int error = sync_end(config, scan->end);

	if (error != 0)
		return error;
	/* A number is never used again: ordinals of the old segment may be consumed. */
	if (last < state->first_segment - 1)
		last = state->first_segment - 1;
	if (last < consumed_last_segment(&state->consumed))
		last = consumed_last_segment(&state->consumed);
	if (last < state->accounted.segment)
		last = state->accounted.segment;
	log.next_segment = last + 1;
	memcpy(log.store_id, state->store_id, sizeof(log.store_id));
	return log_open(&log, &recoverer->result->log);
}

/* ---- All of it ----------------------------------------------------------------- */

/* After the checkpoint: what is in quarantine goes from where it was. When it
 * fails, the writer sees that the file is too long and cuts it before it appends. */
static void cut_parts(struct recoverer *recoverer)
{
	const struct recovery_config *config = recoverer->config;
	const struct manifest_state *state = manifest_state(recoverer->result->manifest);

	for (size_t i = 0; i < recoverer->cut_count; i++) {
		const struct manifest_part *part =
			manifest_part_by_id(state, recoverer->cuts[i].part);
		char name[PART_NAME_BYTES];
		int file;

		if (part == NULL || part_name_format(&part->name, name) != 0)
			continue;
		file = disk_open(config->disk, config->dirs->top, name, DISK_WRITE);
		if (file < 0)
			continue;
		(void)(disk_truncate(config->disk, file, recoverer->cuts[i].length_bytes) == 0 &&
			disk_sync(config->disk, file) == 0);
		disk_close(config->disk, file);
	}
}

static void clean_up(struct recoverer *recoverer)
{
	const struct recovery_config *config = recoverer->config;
	struct leftovers leftovers = {
		.config = config,
		.first_needed = manifest_state(recoverer->result->manifest)->first_segment,
	};

	cut_parts(recoverer);
	disk_unlink_quietly(config->disk, config->dirs->waft, PART_NEW_NAME);
	disk_unlink_quietly(config->disk, config->dirs->waft, SEAL_NEW_NAME);
	if (disk_list(config->disk, config->dirs->log, drop_leftover, &leftovers) != 0)
		return;
}

static int run(struct recoverer *recoverer)
{
	const struct recovery_config *config = recoverer->config;
	struct manifest_state *state = &recoverer->state;
	struct log_scan_result scan = {0};
	int error = read_manifest(recoverer);

	if (error == 0)
		error = recoverer_check_parts(recoverer);
	if (error == 0)
		error = replay_log(recoverer, &scan);
	if (error != 0)
		return error;
	recoverer->result->fresh = state->generation == 0 && !recoverer->result->manifest_lost &&
				   scan.last_segment == 0;
	set_forward(recoverer, scan.end);
	if (state->generation == 0)
		memcpy(state->store_id, scan.has_store_id ? scan.store_id : config->new_store_id,
			16);
	error = manifest_start(config->disk, config->dirs->waft, state, clients_image_all,
		config->clients, &recoverer->result->manifest);
	/* The directories in .waft are safe with the manifest; .waft itself with this. */
	if (error == 0)
		error = disk_sync_dir(config->disk, config->dirs->top);
	if (error != 0)
		return error;
	clean_up(recoverer);
	return start_log(recoverer, &scan);
}

int recover(
	const struct recovery_config *config, const struct recovery_ops *ops, struct recovery *ret)
{
	struct recovery result = {0};
	struct recoverer recoverer = {.config = config, .ops = ops, .result = &result};
	int error = run(&recoverer);

	manifest_state_done(&recoverer.state);
	free(recoverer.cuts);
	free(recoverer.segments);
	if (error != 0) {
		manifest_free(result.manifest);
		return error;
	}
	result.clients = clients_list(config->clients, NULL, 0);
	*ret = result;
	return 0;
}

bool recovery_found_damage(const struct recovery *recovery)
{
	return recovery->manifest_lost || recovery->manifest_damaged || recovery->log_cut ||
	       recovery->parts_missing + recovery->parts_short + recovery->parts_unreadable +
			       recovery->log_bytes_damaged + recovery->log_segments_lost >
		       0;
}

size_t recovery_text(const struct recovery *recovery, char *ret, size_t size)
{
	int length;

	if (recovery->fresh)
		length = snprintf(ret, size, "recovered: nothing, the store is new");
	else
		length = snprintf(ret, size,
			"recovered: %llu parts (%llu missing, %llu too short, %llu unreadable, "
			"%llu bytes never "
			"committed set aside from %llu), %llu log records of %llu clients, %llu "
			"spans waiting, %llu to forward, log: %llu bytes damaged, %llu torn, %llu "
			"segments lost%s%s",
			(unsigned long long)recovery->parts,
			(unsigned long long)recovery->parts_missing,
			(unsigned long long)recovery->parts_short,
			(unsigned long long)recovery->parts_unreadable,
			(unsigned long long)recovery->bytes_cut,
			(unsigned long long)recovery->parts_cut,
			(unsigned long long)recovery->log_records,
			(unsigned long long)recovery->clients,
			(unsigned long long)recovery->spans_waiting,
			(unsigned long long)recovery->spans_to_forward,
			(unsigned long long)recovery->log_bytes_damaged,
			(unsigned long long)recovery->log_bytes_torn,
			(unsigned long long)recovery->log_segments_lost,
			recovery->log_cut ? "; the log ends before records that were synced" : "",
			recovery->manifest_lost	     ? "; the manifest was lost"
			: recovery->manifest_damaged ? "; the manifest was damaged"
						     : "");
	if (length < 0 || size == 0)
		return 0;
	return (size_t)length < size ? (size_t)length : size - 1;
}
