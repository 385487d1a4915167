/* Snapshots of waiting spans and committed lengths. See live.h for threads. */
#include "live.h"

#include "inbox_files.h"
#include "line.h"
#include "span_places.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define VIEW_CACHE_BYTES (1u << 20)

struct live_file {
	char name[PART_NAME_BYTES];
	struct part_name part;
	uint64_t length_bytes;
	bool damaged;
};

struct live {
	struct disk *disk;
	int log_dir;
	int inbox_dir;
	atomic_uint inbox_moves; /* files of the inbox that went */
	struct assembly *assembly;
	pthread_mutex_t lock; /* of what follows */
	struct live_file *files;
	size_t count;
	size_t capacity;
	bool lost; /* a part could not be noted: views fail until memory is there */
	uint8_t store_id[16];
};

struct live_view {
	struct live *live;
	const atomic_bool *cancelled;
	struct assembly_snapshot snapshot;
	struct live_file *files;
	size_t file_count;
	struct live_source source;
	struct log_reader *reader;
	struct span_ref *all; /* sorted; NULL until it is asked for */
	size_t all_count;
	bool have_all;
	unsigned int inbox_moves; /* when it was opened */
	struct inbox_files inbox;
	struct span_places inbox_spans;
	bool have_inbox;
};

/* ---- Parts ---------------------------------------------------------------- */

static bool same_part(const struct part_name *a, const struct part_name *b)
{
	return a->day == b->day && a->number == b->number;
}

/* Locked: the entry of a part, made when it is new; NULL without memory. */
static struct live_file *file_of(struct live *live, const struct part_name *part)
{
	for (size_t i = live->count; i-- > 0;)
		if (same_part(&live->files[i].part, part))
			return &live->files[i];
	if (live->count == live->capacity) {
		size_t capacity = live->capacity == 0 ? 16 : live->capacity * 2;
		struct live_file *files = realloc(live->files, capacity * sizeof(*files));

		if (files == NULL)
			return NULL;
		live->files = files;
		live->capacity = capacity;
	}
	live->files[live->count] = (struct live_file){.part = *part};
	if (part_name_format(part, live->files[live->count].name) < 0)
		return NULL;
	return &live->files[live->count++];
}

static void note_part(struct live *live, const struct manifest_part *part)
{
	struct live_file *file = file_of(live, &part->name);

	if (file == NULL) {
		live->lost = true;
		return;
	}
	if (part->state == PART_REMOVED) {
		*file = live->files[--live->count];
		return;
	}
	/* What is sealed was whole. */
	file->damaged = file->damaged && file->part.sealed == (part->state == PART_SEALED);
	file->part.sealed = part->state == PART_SEALED;
	file->length_bytes = part->length_bytes;
	if (part_name_format(&file->part, file->name) < 0)
		live->lost = true;
}

void live_on_part(struct live *live, const struct manifest_part *part)
{
	pthread_mutex_lock(&live->lock);
	note_part(live, part);
	pthread_mutex_unlock(&live->lock);
}

void live_on_commit(struct live *live, const struct part_name *part, uint64_t length_bytes)
{
	struct live_file *file;

	pthread_mutex_lock(&live->lock);
	file = file_of(live, part);
	if (file == NULL)
		live->lost = true;
	else if (length_bytes > file->length_bytes)
		file->length_bytes = length_bytes;
	pthread_mutex_unlock(&live->lock);
}

int live_new(struct disk *disk, int log_dir, int inbox_dir, struct assembly *assembly,
	const struct manifest_state *state, struct live **ret)
{
	struct live *live = calloc(1, sizeof(*live));

	if (live == NULL)
		return -ENOMEM;
	if (pthread_mutex_init(&live->lock, NULL) != 0) {
		free(live);
		return -ENOMEM;
	}
	live->disk = disk;
	live->log_dir = log_dir;
	live->inbox_dir = inbox_dir;
	live->assembly = assembly;
	memcpy(live->store_id, state->store_id, sizeof(live->store_id));
	for (size_t i = 0; i < state->part_count; i++)
		if (state->parts[i].state != PART_REMOVED)
			note_part(live, &state->parts[i]);
	if (live->lost) {
		live_free(live);
		return -ENOMEM;
	}
	*ret = live;
	return 0;
}

void live_on_damage(struct live *live, const char *name)
{
	pthread_mutex_lock(&live->lock);
	for (size_t i = 0; i < live->count; i++)
		live->files[i].damaged |= strcmp(live->files[i].name, name) == 0;
	pthread_mutex_unlock(&live->lock);
}

size_t live_damaged(struct live *live, char ret_first[PART_NAME_BYTES])
{
	size_t count = 0;

	pthread_mutex_lock(&live->lock);
	for (size_t i = 0; i < live->count; i++)
		if (live->files[i].damaged && count++ == 0)
			memcpy(ret_first, live->files[i].name, PART_NAME_BYTES);
	pthread_mutex_unlock(&live->lock);
	return count;
}

void live_on_inbox(struct live *live)
{
	atomic_fetch_add(&live->inbox_moves, 1);
}

void live_free(struct live *live)
{
	if (live == NULL)
		return;
	pthread_mutex_destroy(&live->lock);
	free(live->files);
	free(live);
}

/* ---- Walks ---------------------------------------------------------------- */

static int for_each_part(
	void *ctx, int (*on_part)(void *arg, const struct live_part *part), void *arg)
{
	const struct live_view *view = ctx;

	for (size_t i = 0; i < view->file_count; i++) {
		const struct live_part part = {.part = view->files[i].part,
			.length_bytes = view->files[i].length_bytes,
			.damaged = view->files[i].damaged};
		int status = on_part(arg, &part);

		if (status != 0)
			return status;
	}
	return 0;
}

/* What one walk over spans needs. */
struct walk {
	struct live_view *view;
	struct batch batch;
	struct batch_iter iter;
	struct line_writer writer;
	struct bytes line;
	struct log_place place; /* of the open batch */
	bool open;
	bool skip; /* the batch can't be read: its spans are passed over */
	int (*on_span)(void *arg, const struct live_span *span);
	void *arg;
};

/* Opens the batch of a span, unless it is open. 0, or a negative error. */
static int open_batch(struct walk *walk, const struct span_ref *ref)
{
	const struct log_record *record = NULL;
	int status;

	if (walk->open && walk->place.segment == ref->segment && walk->place.offset == ref->offset)
		return 0;
	walk->place = (struct log_place){ref->segment, ref->offset};
	walk->open = true;
	walk->skip = false;
	status = log_reader_get(walk->view->reader, walk->place, &record);
	if (status == -ENOENT)
		return -ESTALE;
	/* Damage under a running daemon: the writer will put it in quarantine. */
	if (status == -EBADMSG || status == -EIO) {
		walk->skip = true;
		return 0;
	}
	if (status == 0)
		status = batch_open(&walk->batch, record->payload, record->payload_length);
	if (status == 0)
		status = line_batch_begin(&walk->writer, &walk->batch, &record->peer);
	batch_iter_init(&walk->iter);
	return status;
}

static int give_span(struct walk *walk, const struct span_ref *ref)
{
	struct live_span span = {.ordinal = {ref->segment, ref->offset, ref->position}};
	struct span_view span_view;
	int status = open_batch(walk, ref);

	if (status < 0 || walk->skip)
		return status;
	status = batch_span_at(&walk->batch, &walk->iter, span_ref_place(ref), &span_view);
	if (status < 0)
		return status;
	memcpy(span.trace_id, span_view.trace->id.bytes, sizeof(span.trace_id));
	walk->line.length = 0;
	status = line_span(&walk->writer, &walk->batch, &span_view, &walk->line);
	if (status < 0)
		return status;
	span.line = slice_of(walk->line.data, walk->line.length - 1);
	return walk->on_span(walk->arg, &span);
}

static bool is_after(const struct span_ref *ref, const struct ordinal *after)
{
	if (after == NULL)
		return true;
	if (ref->segment != after->segment)
		return ref->segment > after->segment;
	if (ref->offset != after->offset)
		return ref->offset > after->offset;
	return ref->position > after->position;
}

static int walk_spans(
	struct walk *walk, const struct span_ref *refs, size_t count, const struct ordinal *after)
{
	size_t low = 0;
	size_t high = count;
	int status = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (is_after(&refs[middle], after))
			high = middle;
		else
			low = middle + 1;
	}
	for (size_t i = low; i < count && status == 0; i++) {
		if (walk->view->cancelled != NULL && atomic_load(walk->view->cancelled))
			status = -ECANCELED;
		else
			status = give_span(walk, &refs[i]);
	}
	return status;
}

/* ---- The inbox ------------------------------------------------------------- */

static int fetch_inbox(void *ctx, struct log_place place, struct slice *ret_bytes,
	const struct log_peer **ret_peer)
{
	struct live_view *view = ctx;

	*ret_peer = NULL;
	return inbox_files_fetch(&view->inbox, place, ret_bytes);
}

/* Reads it once a view. A file that went since the view was opened may be in neither. */
static int read_inbox(struct live_view *view)
{
	int status;

	if (view->have_inbox)
		return 0;
	span_places_clear(&view->inbox_spans);
	status = inbox_files_read(
		&view->inbox, view->live->inbox_dir, LIVE_INBOX_SPANS_MAX, &view->inbox_spans);
	if (status == 0)
		status = span_places_sort(&view->inbox_spans);
	if (status == 0 && atomic_load(&view->live->inbox_moves) != view->inbox_moves)
		status = -ESTALE;
	view->have_inbox = status == 0;
	return status;
}

static int give_inbox_span(void *arg, const struct live_span *span)
{
	struct walk *walk = arg;

	if (walk->view->cancelled != NULL && atomic_load(walk->view->cancelled))
		return -ECANCELED;
	return walk->on_span(walk->arg, span);
}

static int walk_inbox(struct walk *walk, const uint8_t *trace_id, const struct ordinal *after)
{
	int status = read_inbox(walk->view);

	return status < 0 ? status
			  : span_places_each(&walk->view->inbox_spans, trace_id, after,
				    give_inbox_span, walk);
}

static int for_each_span(void *ctx, const uint8_t *trace_id, const struct ordinal *after,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	struct live_view *view = ctx;
	struct walk walk = {.view = view, .on_span = on_span, .arg = arg};
	struct span_ref *some = NULL;
	struct trace_id id;
	size_t count = 0;
	int status = 0;

	if (trace_id != NULL) {
		memcpy(id.bytes, trace_id, sizeof(id.bytes));
		status = assembly_copy(view->live->assembly, &id, &some, &count);
	} else if (!view->have_all) {
		status = assembly_copy(view->live->assembly, NULL, &view->all, &view->all_count);
		view->have_all = status == 0;
	}
	if (status == 0 && view->reader == NULL)
		status = log_reader_new(
			view->live->disk, view->live->log_dir, VIEW_CACHE_BYTES, &view->reader);
	if (status == 0)
		status = trace_id != NULL ? walk_spans(&walk, some, count, after)
					  : walk_spans(&walk, view->all, view->all_count, after);
	if (status == 0)
		status = walk_inbox(&walk, trace_id, after);
	free(some);
	batch_done(&walk.batch);
	line_writer_done(&walk.writer);
	bytes_done(&walk.line);
	return status;
}

/* ---- Views ---------------------------------------------------------------- */

static int copy_files(struct live *live, struct live_view *view)
{
	int status = 0;

	pthread_mutex_lock(&live->lock);
	if (live->lost) {
		status = -ENOMEM;
	} else if (live->count > 0) {
		view->files = malloc(live->count * sizeof(*view->files));
		if (view->files == NULL) {
			status = -ENOMEM;
		} else {
			memcpy(view->files, live->files, live->count * sizeof(*view->files));
			view->file_count = live->count;
		}
	}
	pthread_mutex_unlock(&live->lock);
	return status;
}

int live_view_open(struct live *live, const atomic_bool *cancelled, struct live_view **ret)
{
	struct live_view *view = calloc(1, sizeof(*view));
	int status = 0;

	if (view == NULL)
		return -ENOMEM;
	view->live = live;
	view->cancelled = cancelled;
	view->source = (struct live_source){
		.ctx = view, .for_each_part = for_each_part, .for_each_span = for_each_span};
	memcpy(view->source.store_id, live->store_id, sizeof(live->store_id));
	inbox_files_init(&view->inbox, live->disk);
	span_places_init(&view->inbox_spans, fetch_inbox, view);
	view->inbox_moves = atomic_load(&live->inbox_moves);
	/* First the waiting ones: what is written in between is in both. */
	if (!assembly_snapshot_begin(live->assembly, &view->snapshot))
		status = -EAGAIN;
	if (status == 0)
		status = copy_files(live, view);
	if (status < 0) {
		live_view_close(view);
		return status;
	}
	*ret = view;
	return 0;
}

void live_view_close(struct live_view *view)
{
	if (view == NULL)
		return;
	assembly_snapshot_end(view->live->assembly, &view->snapshot);
	log_reader_free(view->reader);
	inbox_files_done(&view->inbox);
	span_places_done(&view->inbox_spans);
	free(view->files);
	free(view->all);
	free(view);
}

const struct live_source *live_view_source(const struct live_view *view)
{
	return &view->source;
}
