/* Reading of the manifest. See manifest.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "cursor.h"
#include "manifest_format.h"

/* A manifest that is larger is none of ours: it checkpoints long before. */
#define FILE_BYTES_MAX (1ull << 30)

enum {
	COUNTERS_MAX = 1024,
	QUARANTINE_TEXT_MAX = 4096,
	/* Looking for records in damaged bytes may sum at most so often the file. */
	RESYNC_FACTOR = 16,
};

static void quarantine_done(struct manifest_quarantine *entry)
{
	free(entry->name);
	free(entry->source);
	free(entry->why);
	*entry = (struct manifest_quarantine){0};
}

void manifest_state_done(struct manifest_state *state)
{
	for (size_t i = 0; i < state->quarantine_count; i++)
		quarantine_done(&state->quarantine[i]);
	for (size_t i = 0; i < state->counter_count; i++)
		free(state->counters[i].name);
	free(state->quarantine);
	free(state->counters);
	free(state->parts);
	consumed_done(&state->consumed);
	*state = (struct manifest_state){0};
}

/* ---- Asking -------------------------------------------------------------- */

struct manifest_part *manifest_state_part(struct manifest_state *state, uint32_t id)
{
	size_t low = 0;
	size_t high = state->part_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (state->parts[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < state->part_count && state->parts[low].id == id ? &state->parts[low] : NULL;
}

const struct manifest_part *manifest_part_by_id(const struct manifest_state *state, uint32_t id)
{
	return manifest_state_part((struct manifest_state *)(uintptr_t)state, id);
}

const struct manifest_part *manifest_part_by_name(
	const struct manifest_state *state, const struct part_name *name)
{
	for (size_t i = state->part_count; i-- > 0;) {
		const struct manifest_part *part = &state->parts[i];

		if (part->name.day == name->day && part->name.number == name->number)
			return part;
	}
	return NULL;
}

uint64_t manifest_counter(const struct manifest_state *state, const char *name)
{
	for (size_t i = 0; i < state->counter_count; i++) {
		if (strcmp(state->counters[i].name, name) == 0)
			return state->counters[i].value;
	}
	return 0;
}

/* ---- Applying ------------------------------------------------------------ */

int manifest_state_add_part(struct manifest_state *state, const struct manifest_part *part)
{
	struct manifest_part *grown;

	/* Doubled at powers of two: the count says when. */
	if ((state->part_count & (state->part_count - 1)) == 0) {
		size_t capacity = state->part_count == 0 ? 1 : state->part_count * 2;

		grown = reallocarray(state->parts, capacity, sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		state->parts = grown;
	}
	state->parts[state->part_count++] = *part;
	state->next_part = part->id + 1;
	return 0;
}

static int copy_text(struct slice text, char **ret)
{
	if (text.length > QUARANTINE_TEXT_MAX || memchr(text.data, 0, text.length) != NULL)
		return ERR_MALFORMED;
	*ret = strndup((const char *)text.data, text.length);
	return *ret == NULL ? -ENOMEM : 0;
}

int manifest_state_quarantine(struct manifest_state *state, const struct manifest_quarantine *entry)
{
	struct manifest_quarantine copy = {
		.offset = entry->offset, .length_bytes = entry->length_bytes};
	struct manifest_quarantine *grown;

	for (size_t i = 0; i < state->quarantine_count; i++) {
		/* The name tells the content: it is the same one again. */
		if (strcmp(state->quarantine[i].name, entry->name) == 0)
			return 0;
	}
	grown = reallocarray(state->quarantine, state->quarantine_count + 1, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	state->quarantine = grown;
	copy.name = strdup(entry->name);
	copy.source = strdup(entry->source);
	copy.why = strdup(entry->why);
	if (copy.name == NULL || copy.source == NULL || copy.why == NULL) {
		quarantine_done(&copy);
		return -ENOMEM;
	}
	state->quarantine[state->quarantine_count++] = copy;
	return 0;
}

static int read_name(struct cursor *in, struct part_name *ret)
{
	struct slice text = cursor_bytes(in);
	char name[PART_NAME_BYTES];

	if (in->error != 0 || text.length >= sizeof(name))
		return ERR_MALFORMED;
	memcpy(name, text.data, text.length);
	name[text.length] = '\0';
	if (strlen(name) != text.length || part_name_parse(name, ret) != 0)
		return ERR_MALFORMED;
	return 0;
}

static int apply_part(struct manifest_state *state, struct cursor *in)
{
	struct manifest_part part = {.state = PART_OPEN, .verified = true};

	part.id = cursor_varint32(in);
	part.inode = cursor_varint(in);
	part.changed_ns = cursor_varint(in);
	if (read_name(in, &part.name) != 0 || part.id < state->next_part || part.id == UINT32_MAX)
		return ERR_MALFORMED;
	return manifest_state_add_part(state, &part);
}

static int apply_extent(struct manifest_state *state, struct cursor *in)
{
	struct manifest_part part = {0};
	struct manifest_part *known;
	uint64_t part_state, verified;

	part.id = cursor_varint32(in);
	part.inode = cursor_varint(in);
	part.length_bytes = cursor_varint(in);
	part.crc = cursor_fixed32(in);
	part.spans = cursor_varint(in);
	part.changed_ns = cursor_varint(in);
	part_state = cursor_varint(in);
	verified = cursor_varint(in);
	if (read_name(in, &part.name) != 0 || part_state > PART_REMOVED || verified > 1 ||
		part.id == 0 || part.id == UINT32_MAX)
		return ERR_MALFORMED;
	part.state = (enum part_state)part_state;
	part.verified = verified == 1;
	known = manifest_state_part(state, part.id);
	if (known != NULL) {
		/* One that is open or closed has no sealed form, or has it no more. */
		if (part.state > PART_CLOSED) {
			part.sealed_length_bytes = known->sealed_length_bytes;
			part.sealed_crc = known->sealed_crc;
		}
		part.holder = known->holder;
		*known = part;
		return 0;
	}
	if (part.id < state->next_part)
		return ERR_MALFORMED;
	return manifest_state_add_part(state, &part);
}

/* Reads over the runs; gives their sums. */
static int read_runs(struct cursor *in, uint64_t *ret_length, uint64_t *ret_spans)
{
	uint64_t count = cursor_varint(in);
	uint64_t length = 0;
	uint64_t spans = 0;

	for (; count > 0 && in->error == 0; count--) {
		length += cursor_varint32(in);
		(void)cursor_fixed32(in);
		spans += cursor_varint32(in);
	}
	*ret_length = length;
	*ret_spans = spans;
	return in->error;
}

static int apply_commit(struct manifest_state *state, struct cursor *in)
{
	struct consumed ordinals = {0};
	uint32_t id = cursor_varint32(in);
	uint64_t offset = cursor_varint(in);
	uint64_t length = cursor_varint(in);
	uint32_t crc = cursor_fixed32(in);
	uint64_t time_ns = cursor_varint(in);
	struct manifest_part *part = manifest_state_part(state, id);
	uint64_t runs_length, spans;
	int ret = read_runs(in, &runs_length, &spans);

	if (ret == 0 && (runs_length != length || offset + length < offset))
		ret = ERR_MALFORMED;
	if (ret == 0)
		ret = consumed_decode(&ordinals, in);
	if (ret == 0)
		ret = consumed_merge(&state->consumed, &ordinals);
	consumed_done(&ordinals);
	if (ret != 0)
		return ret;
	if (id == 0)
		state->spans_quarantined += spans;
	if (part == NULL)
		return 0;
	if (offset == part->length_bytes)
		part->crc = crc32c_combine(part->crc, crc, length);
	else
		part->verified = false;
	if (offset + length > part->length_bytes)
		part->length_bytes = offset + length;
	part->spans += spans;
	part->changed_ns = time_ns;
	return 0;
}

static int apply_sealed(struct manifest_state *state, struct cursor *in)
{
	struct manifest_part *part = manifest_state_part(state, cursor_varint32(in));
	uint64_t length = cursor_varint(in);
	uint32_t crc = cursor_fixed32(in);
	uint64_t time_ns = cursor_varint(in);

	if (in->error != 0)
		return in->error;
	if (part == NULL)
		return 0;
	part->state = PART_SEALED;
	part->sealed_length_bytes = length;
	part->sealed_crc = crc;
	part->changed_ns = time_ns;
	return 0;
}

static int apply_removed(struct manifest_state *state, struct cursor *in)
{
	uint32_t id = cursor_varint32(in);
	uint64_t spans = cursor_varint(in);
	struct manifest_part *part = manifest_state_part(state, id);

	if (in->error != 0)
		return in->error;
	state->spans_expired += spans;
	if (part != NULL)
		part->state = PART_REMOVED;
	return 0;
}

static int apply_segment(struct manifest_state *state, struct cursor *in)
{
	uint32_t first = cursor_varint32(in);
	uint32_t segment = cursor_varint32(in);
	uint32_t offset = cursor_varint32(in);

	if (in->error != 0 || first < state->first_segment)
		return ERR_MALFORMED;
	state->first_segment = first;
	state->accounted = (struct log_place){.segment = segment, .offset = offset};
	consumed_drop_below(&state->consumed, first);
	return 0;
}

static int apply_forward(struct manifest_state *state, struct cursor *in)
{
	struct manifest_forward forward = {.known = true};
	struct consumed ordinals = {0};
	int ret;

	forward.place.segment = cursor_varint32(in);
	forward.place.offset = cursor_varint32(in);
	forward.split = cursor_varint(in) != 0;
	forward.reached = cursor_varint32(in);
	forward.spans = cursor_varint(in);
	forward.dropped = cursor_varint(in);
	forward.refused = cursor_varint(in);
	ret = in->error != 0 ? in->error : consumed_decode(&ordinals, in);
	if (ret == 0)
		ret = consumed_merge(&state->consumed, &ordinals);
	consumed_done(&ordinals);
	if (ret == 0)
		state->forward = forward;
	return ret;
}

static int apply_quarantine(struct manifest_state *state, struct cursor *in)
{
	struct manifest_quarantine entry = {0};
	struct slice name, source, why;
	int ret;

	entry.offset = cursor_varint(in);
	entry.length_bytes = cursor_varint(in);
	name = cursor_bytes(in);
	source = cursor_bytes(in);
	why = cursor_bytes(in);
	if (in->error != 0)
		return in->error;
	ret = copy_text(name, &entry.name);
	if (ret == 0)
		ret = copy_text(source, &entry.source);
	if (ret == 0)
		ret = copy_text(why, &entry.why);
	if (ret == 0)
		ret = manifest_state_quarantine(state, &entry);
	quarantine_done(&entry);
	return ret;
}

static int apply_counter(struct manifest_state *state, struct slice name, uint64_t value)
{
	struct manifest_counter *grown;
	char *text;
	int ret = copy_text(name, &text);

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < state->counter_count; i++) {
		if (strcmp(state->counters[i].name, text) == 0) {
			state->counters[i].value = value;
			free(text);
			return 0;
		}
	}
	grown = state->counter_count < COUNTERS_MAX
			? reallocarray(state->counters, state->counter_count + 1, sizeof(*grown))
			: NULL;
	if (grown == NULL) {
		free(text);
		return state->counter_count < COUNTERS_MAX ? -ENOMEM : ERR_MALFORMED;
	}
	state->counters = grown;
	grown[state->counter_count++] = (struct manifest_counter){.name = text, .value = value};
	return 0;
}

static int apply_counters(struct manifest_state *state, struct cursor *in)
{
	int ret = 0;

	while (ret == 0 && cursor_more(in)) {
		struct slice name = cursor_bytes(in);
		uint64_t value = cursor_varint(in);

		ret = in->error != 0 ? in->error : apply_counter(state, name, value);
	}
	return ret;
}

int manifest_apply(struct manifest_state *state, enum manifest_type type, struct slice body)
{
	struct cursor in = cursor_of_slice(body);

	switch (type) {
	case MANIFEST_PART:
		return apply_part(state, &in);
	case MANIFEST_COMMIT:
		return apply_commit(state, &in);
	case MANIFEST_SEGMENT:
		return apply_segment(state, &in);
	case MANIFEST_EXTENT:
		return apply_extent(state, &in);
	case MANIFEST_CONSUMED:
		return consumed_decode(&state->consumed, &in);
	case MANIFEST_SEALED:
		return apply_sealed(state, &in);
	case MANIFEST_REMOVED:
		return apply_removed(state, &in);
	case MANIFEST_QUARANTINE:
		return apply_quarantine(state, &in);
	case MANIFEST_COUNTERS:
		return apply_counters(state, &in);
	case MANIFEST_FORWARD:
		return apply_forward(state, &in);
	case MANIFEST_HEADER:
	case MANIFEST_CLIENT:
	case MANIFEST_END:
		return 0;
	}
	return ERR_MALFORMED;
}

/* ---- Parsing ------------------------------------------------------------- */

struct parse {
	const uint8_t *data;
	size_t length;
	struct manifest_header header;
	struct manifest_state *state;
	manifest_on_client on_client;
	void *ctx;
	size_t synced; /* known to have been synced up to here */
	bool looked_ahead;
	uint64_t budget; /* bytes that may still be summed in looking for records */
	/* Bodies of CLIENT and COUNTERS that wait for their SEGMENT. */
	struct manifest_record *staged;
	size_t staged_count;
	size_t staged_capacity;
};

/* The next record from at on, or length. */
static size_t find_record(struct parse *parse, size_t at)
{
	for (; at < parse->length; at++) {
		size_t total = manifest_record_length(parse->data + at, parse->length - at);
		struct manifest_record record;

		if (total == 0)
			continue;
		if (total > parse->budget)
			return parse->length;
		parse->budget -= total;
		if (manifest_record_get(parse->data + at, parse->length - at,
			    parse->header.generation, &record) != 0)
			return at;
	}
	return parse->length;
}

static void look_ahead(struct parse *parse, size_t at)
{
	parse->looked_ahead = true;
	at = find_record(parse, at);
	while (at < parse->length) {
		struct manifest_record record;
		size_t total = manifest_record_get(
			parse->data + at, parse->length - at, parse->header.generation, &record);

		if (total == 0) {
			at = find_record(parse, at);
			continue;
		}
		if (record.synced > parse->synced && record.synced <= at)
			parse->synced = record.synced;
		at += total;
	}
}

static int stage(struct parse *parse, const struct manifest_record *record)
{
	if (parse->staged_count == parse->staged_capacity) {
		size_t capacity = parse->staged_capacity == 0 ? 64 : parse->staged_capacity * 2;
		struct manifest_record *grown =
			reallocarray(parse->staged, capacity, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		parse->staged = grown;
		parse->staged_capacity = capacity;
	}
	parse->staged[parse->staged_count++] = *record;
	return 0;
}

static int unstage(struct parse *parse)
{
	int ret = 0;

	for (size_t i = 0; i < parse->staged_count && ret == 0; i++) {
		const struct manifest_record *record = &parse->staged[i];

		if (record->type == MANIFEST_COUNTERS)
			ret = manifest_apply(parse->state, record->type, record->body);
		else if (parse->on_client != NULL)
			ret = parse->on_client(parse->ctx, record->body.data, record->body.length);
		/* A body that says nothing useful is damage of that one record. */
		if (ret == ERR_MALFORMED || ret == ERR_TRUNCATED || ret == ERR_LIMIT) {
			parse->state->damaged = true;
			ret = 0;
		}
	}
	parse->staged_count = 0;
	return ret;
}

static int take_record(struct parse *parse, const struct manifest_record *record)
{
	int ret = 0;

	if (record->type == MANIFEST_CLIENT || record->type == MANIFEST_COUNTERS)
		return stage(parse, record);
	if (record->type == MANIFEST_SEGMENT)
		ret = unstage(parse);
	if (ret == 0)
		ret = manifest_apply(parse->state, record->type, record->body);
	if (ret == ERR_MALFORMED || ret == ERR_TRUNCATED || ret == ERR_LIMIT) {
		parse->state->damaged = true;
		ret = 0;
	}
	return ret;
}

/* Finds generation and id in HEADER, or in END when that is wrong. */
static bool find_header(struct parse *parse)
{
	for (size_t at = 0; at < parse->length; at++) {
		size_t total = manifest_record_length(parse->data + at, parse->length - at);

		if (total == 0 || total > 256)
			continue;
		if (manifest_header_get(parse->data + at, parse->length - at, &parse->header) != 0)
			return true;
	}
	return false;
}

static int parse_records(struct parse *parse)
{
	struct manifest_state *state = parse->state;
	size_t at = 0;
	int ret = 0;

	while (at < parse->length && ret == 0) {
		struct manifest_record record;
		size_t total = manifest_record_get(
			parse->data + at, parse->length - at, parse->header.generation, &record);

		if (total != 0) {
			ret = take_record(parse, &record);
			at += total;
			continue;
		}
		if (at >= parse->synced && !parse->looked_ahead)
			look_ahead(parse, at);
		if (at >= parse->synced)
			break;
		state->damaged = true;
		at = find_record(parse, at + 1);
	}
	state->length_bytes = at;
	/* Shorter than it was at its checkpoint: the end was cut off. */
	if (parse->length < parse->header.checkpoint_bytes)
		state->damaged = true;
	return ret;
}

int manifest_parse(const uint8_t *data, size_t length, manifest_on_client on_client, void *ctx,
	struct manifest_state *ret)
{
	struct parse parse = {
		.data = data,
		.length = length,
		.state = ret,
		.on_client = on_client,
		.ctx = ctx,
		.budget = (uint64_t)length * RESYNC_FACTOR,
	};
	int error = 0;

	*ret = (struct manifest_state){.next_part = 1, .first_segment = 1, .file_bytes = length};
	if (find_header(&parse)) {
		ret->generation = parse.header.generation;
		memcpy(ret->store_id, parse.header.store_id, sizeof(ret->store_id));
		parse.synced = parse.header.checkpoint_bytes < length
				       ? (size_t)parse.header.checkpoint_bytes
				       : length;
		error = parse_records(&parse);
	} else {
		ret->damaged = length > 0;
	}
	for (size_t i = 0; i < ret->part_count; i++) {
		if (ret->parts[i].state != PART_REMOVED)
			ret->spans_written += ret->parts[i].spans;
	}
	free(parse.staged);
	if (error != 0)
		manifest_state_done(ret);
	return error;
}

int manifest_load(struct disk *disk, int dir, manifest_on_client on_client, void *ctx,
	struct manifest_state *ret)
{
	struct disk_stat st;
	uint8_t *data = NULL;
	ssize_t got = 0;
	int file = disk_open(disk, dir, MANIFEST_NAME, DISK_READ);
	int error;

	if (file == -ENOENT)
		return manifest_parse(NULL, 0, on_client, ctx, ret);
	if (file < 0)
		return file;
	error = disk_stat_file(disk, file, &st);
	if (error == 0 && st.length_bytes > FILE_BYTES_MAX)
		error = -EFBIG;
	if (error == 0) {
		data = malloc(st.length_bytes + 1);
		error = data == NULL ? -ENOMEM : 0;
	}
	if (error == 0) {
		got = disk_read(disk, file, data, st.length_bytes, 0);
		error = got < 0 ? (int)got : 0;
	}
	disk_close(disk, file);
	if (error == 0)
		error = manifest_parse(data, (size_t)got, on_client, ctx, ret);
	free(data);
	return error;
}

int manifest_unchanged(struct disk *disk, int dir, const struct manifest_state *state)
{
	uint8_t raw[256];
	struct manifest_header header;
	struct disk_stat st;
	ssize_t got;
	int file = disk_open(disk, dir, MANIFEST_NAME, DISK_READ);
	int ret;

	if (file == -ENOENT)
		return state->generation == 0 && state->file_bytes == 0;
	if (file < 0)
		return file;
	ret = disk_stat_file(disk, file, &st);
	if (ret == 0) {
		got = disk_read(disk, file, raw, sizeof(raw), 0);
		ret = got < 0 ? (int)got : 0;
	}
	disk_close(disk, file);
	if (ret != 0)
		return ret;
	if (manifest_header_get(raw, (size_t)got, &header) == 0)
		header.generation = state->generation; /* its HEADER was damaged before, too */
	return header.generation == state->generation && st.length_bytes == state->file_bytes;
}
