/*
 * The inbox, file by file.
 *
 * The happy path: look (LISTS, on the pool) → the next name is opened and locked
 * and a piece is read (READS, on the pool) → its frames are offered (OFFERS) →
 * the next piece … → end of file → all offers are durable (SETTLES) → the file is
 * removed and the directory synced (REMOVES, on the pool) → its goodbye, if any,
 * is offered, last, because it makes the collector forget the client's numbers
 * → the next name.
 *
 * Failures: a lock that is held or a file that can't be read: left for the next
 * look. No room in the ingest: the frame waits for inbox_on_room. A frame cut off at
 * the end: counted. Any other fault: the rest of the file is copied to quarantine.
 */
#include "inbox.h"

#include "export.h"
#include "frame.h"
#include "ids.h"
#include "log_line.h"
#include "quarantine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 40
#define NAME_LENGTH (2 * WIRE_CLIENT_ID_BYTES + 5)
#define NAMES_MAX 256u
#define PIECE_BYTES (512u * 1024)

enum inbox_state {
	INBOX_IDLE,    /* → LISTS by inbox_look */
	INBOX_LISTS,   /* on the pool → READS, or IDLE when there are no names */
	INBOX_READS,   /* on the pool → OFFERS, SETTLES at the end of the file */
	INBOX_OFFERS,  /* → READS when the piece is used up; waits when there is no room */
	INBOX_SETTLES, /* waits for the commits → REMOVES, or the next name */
	INBOX_REMOVES, /* on the pool → READS of the next name, or IDLE */
};

struct inbox {
	enum inbox_state state;
	struct inbox_config config;
	uv_work_t work;
	char names[NAMES_MAX][NAME_BYTES];
	size_t name_count;
	size_t name_at;
	/* The file. */
	int file;	      /* -1: none */
	uint64_t offset;      /* of the next piece */
	uint64_t frame_start; /* of the next frame */
	uint8_t *piece;
	size_t piece_length;
	const uint8_t *at; /* what is left of the piece */
	size_t left;
	struct frame_reader reader;
	bool have_frame; /* `frame` waits for room */
	struct frame frame;
	int status;  /* of the work; 0, or why the file is given up for now */
	bool broken; /* the rest goes to quarantine */
	/* Its client. */
	bool have_hello;
	uint8_t client[WIRE_CLIENT_ID_BYTES];
	uint64_t accepted;
	uint64_t emitted;
	uint64_t emitted_before;
	bool have_goodbye;
	struct goodbye goodbye;
	size_t in_flight;
	bool lost; /* an offer was cancelled: the file stays */
	struct inbox_counts counts;
	bool closing;
	void (*on_closed)(void *context);
	void *context;
};

static void go_on(struct inbox *inbox);
static void maybe_close(struct inbox *inbox);

/* ---- On the pool -------------------------------------------------------------- */

static int on_name(void *context, const char *name)
{
	struct inbox *inbox = context;
	uint8_t id[WIRE_CLIENT_ID_BYTES];

	if (inbox->name_count == NAMES_MAX)
		return 1;
	if (strlen(name) == NAME_LENGTH && strcmp(name + NAME_LENGTH - 5, ".waft") == 0 &&
		hex_parse(name, WIRE_CLIENT_ID_BYTES, id) == 0)
		snprintf(inbox->names[inbox->name_count++], NAME_BYTES, "%s", name);
	return 0;
}

static void list_names(struct inbox *inbox)
{
	int status;

	inbox->name_count = 0;
	inbox->name_at = 0;
	status = disk_list(inbox->config.disk, inbox->config.dir, on_name, inbox);
	inbox->status = status < 0 ? status : 0;
}

static int open_file(struct inbox *inbox)
{
	struct disk *disk = inbox->config.disk;
	int file = disk_open(
		disk, inbox->config.dir, inbox->names[inbox->name_at], DISK_READ | DISK_WRITE);
	int status;

	if (file < 0)
		return file;
	status = disk_lock(disk, file);
	if (status < 0) {
		disk_close(disk, file);
		return status;
	}
	inbox->file = file;
	return 0;
}

static void read_piece(struct inbox *inbox)
{
	ssize_t length;

	inbox->status = inbox->file < 0 ? open_file(inbox) : 0;
	inbox->piece_length = 0;
	if (inbox->status < 0)
		return;
	length = disk_read(
		inbox->config.disk, inbox->file, inbox->piece, PIECE_BYTES, inbox->offset);
	if (length < 0)
		inbox->status = (int)length;
	else
		inbox->piece_length = (size_t)length;
}

/* The bytes from the first bad frame on. */
static int set_aside(struct inbox *inbox)
{
	struct manifest_quarantine entry = {0};
	struct disk_stat stat;
	char source[NAME_BYTES + 8];
	int status = disk_stat_file(inbox->config.disk, inbox->file, &stat);

	if (status < 0)
		return status;
	snprintf(source, sizeof(source), "inbox/%s", inbox->names[inbox->name_at]);
	status = quarantine_copy(inbox->config.disk, inbox->config.quarantine_dir, inbox->file,
		inbox->frame_start, stat.length_bytes - inbox->frame_start, source,
		"a frame that can't be read", &entry);
	quarantine_entry_done(&entry);
	return status;
}

static void remove_file(struct inbox *inbox)
{
	inbox->status = inbox->broken ? set_aside(inbox) : 0;
	if (inbox->status == 0)
		inbox->status = disk_unlink(
			inbox->config.disk, inbox->config.dir, inbox->names[inbox->name_at]);
	if (inbox->status == 0)
		inbox->status = disk_sync_dir(inbox->config.disk, inbox->config.dir);
}

static void run_work(uv_work_t *work)
{
	struct inbox *inbox = work->data;

	if (inbox->state == INBOX_LISTS)
		list_names(inbox);
	else if (inbox->state == INBOX_READS)
		read_piece(inbox);
	else
		remove_file(inbox);
}

static void after_work(uv_work_t *work, int status)
{
	(void)status;
	go_on(work->data);
}

static void start_work(struct inbox *inbox, enum inbox_state state)
{
	inbox->state = state;
	inbox->work.data = inbox;
	if (uv_queue_work(inbox->config.loop, &inbox->work, run_work, after_work) < 0)
		inbox->state = INBOX_IDLE;
}

/* ---- Frames --------------------------------------------------------------------- */

static void on_committed(void *context, uint64_t sequence, int status, int refused)
{
	struct inbox *inbox = context;

	(void)sequence;
	(void)refused;
	inbox->in_flight--;
	inbox->lost |= status < 0;
	if (inbox->in_flight == 0 && inbox->state == INBOX_SETTLES)
		go_on(inbox);
	else
		maybe_close(inbox);
}

/* 0, -EAGAIN when there is no room, or another error. */
static int offer(struct inbox *inbox, enum log_kind kind, uint64_t sequence, uint64_t dropped,
	struct slice bytes)
{
	struct ingest_offer what = {
		.kind = kind,
		.format = LOG_FORMAT_WAFT_V1,
		.sequence = sequence,
		.emitted = inbox->emitted,
		.emitted_before = inbox->emitted_before,
		.dropped = dropped > UINT32_MAX ? UINT32_MAX : (uint32_t)dropped,
		.bytes = bytes,
	};
	int status;

	memcpy(what.client, inbox->client, sizeof(what.client));
	if (ingest_window_bytes(inbox->config.ingest) == 0)
		return -EAGAIN;
	status = ingest_offer(inbox->config.ingest, &what, on_committed, inbox);
	if (status == 0) {
		inbox->emitted_before = inbox->emitted;
		inbox->in_flight++;
		inbox->counts.batches++;
	}
	return status;
}

static int take_hello(struct inbox *inbox, const struct hello *hello)
{
	int known = clients_hello(inbox->config.clients, hello->client, hello->service, hello->pid,
		0, clock_realtime_ns(inbox->config.clock), &inbox->accepted);

	if (known < 0)
		return known;
	memcpy(inbox->client, hello->client, sizeof(inbox->client));
	inbox->have_hello = true;
	return 0;
}

/* 1: the number is the next one; 0: it came before; ERR_ORDER. */
static int check_sequence(struct inbox *inbox, uint64_t sequence)
{
	if (sequence == inbox->accepted + 1)
		return 1;
	if (sequence > inbox->accepted)
		return ERR_ORDER;
	inbox->counts.duplicates++;
	return 0;
}

static int take_numbered(struct inbox *inbox, const struct export_request *request)
{
	uint8_t buffer[256];
	struct writer writer = writer_of(buffer, sizeof(buffer));
	int status = check_sequence(inbox, request->sequence);

	if (status <= 0)
		return status;
	inbox->emitted = request->emitted;
	if (request->body == EXPORT_BATCH) {
		status = offer(inbox, LOG_BATCH, request->sequence, 0, request->batch);
	} else {
		size_t length = request->drop.reason.length;

		writer_field_bytes(&writer, TAG_DROP_REASON,
			slice_of(request->drop.reason.data, length > 64 ? 64 : length));
		writer_field_varint(&writer, TAG_DROP_SPANS, request->drop.spans);
		status = offer(inbox, LOG_DROP, request->sequence, request->drop.spans,
			slice_of(buffer, writer_length(&writer)));
	}
	if (status == 0)
		inbox->accepted = request->sequence;
	return status;
}

/* A whole frame. 0, -EAGAIN: again later, -ENOMEM, or why the file is broken. */
static int take_frame(struct inbox *inbox, const struct frame *frame)
{
	struct export_request request;
	int status;

	if (frame->type != FRAME_MESSAGE)
		return ERR_ORDER;
	status = export_request_decode(slice_of(frame->payload, frame->length), &request);
	if (status < 0)
		return status;
	if ((request.body == EXPORT_HELLO) == inbox->have_hello)
		return ERR_ORDER;
	switch (request.body) {
	case EXPORT_HELLO:
		return take_hello(inbox, &request.hello);
	case EXPORT_GOODBYE:
		inbox->goodbye = request.goodbye;
		inbox->have_goodbye = true;
		return 0;
	case EXPORT_BATCH:
	case EXPORT_DROP:
	default:
		return take_numbered(inbox, &request);
	}
}

/* Frames of the piece, until it is used up, there is no room, or the file is
 * broken. 1 when it waits for room. */
static int take_frames(struct inbox *inbox)
{
	for (;;) {
		int status;

		if (!inbox->have_frame) {
			status = frame_reader_next(
				&inbox->reader, &inbox->at, &inbox->left, &inbox->frame);
			if (status == 0)
				return 0;
			inbox->have_frame = status > 0;
		} else {
			status = 1;
		}
		if (status > 0)
			status = take_frame(inbox, &inbox->frame);
		if (status == -EAGAIN || status == -ENOMEM)
			return 1;
		if (status < 0) {
			inbox->broken = true;
			return 0;
		}
		inbox->frame_start += WIRE_FRAME_HEADER_BYTES + inbox->frame.length;
		inbox->have_frame = false;
	}
}

/* ---- From state to state ---------------------------------------------------------- */

static void reset_file(struct inbox *inbox)
{
	disk_close(inbox->config.disk, inbox->file);
	inbox->file = -1;
	inbox->offset = 0;
	inbox->frame_start = 0;
	inbox->have_frame = false;
	inbox->broken = false;
	inbox->have_hello = false;
	inbox->have_goodbye = false;
	inbox->lost = false;
	inbox->accepted = 0;
	inbox->emitted = 0;
	inbox->emitted_before = 0;
	frame_reader_done(&inbox->reader);
	frame_reader_init(&inbox->reader);
}

static void next_file(struct inbox *inbox)
{
	reset_file(inbox);
	inbox->name_at++;
	if (inbox->name_at < inbox->name_count && !inbox->closing) {
		start_work(inbox, INBOX_READS);
		return;
	}
	inbox->state = INBOX_IDLE;
	free(inbox->piece);
	inbox->piece = NULL;
}

static void after_list(struct inbox *inbox)
{
	if (inbox->status < 0)
		log_warning("can't list the inbox: %s", error_text(inbox->status));
	if (inbox->name_count == 0 || inbox->closing) {
		inbox->state = INBOX_IDLE;
		return;
	}
	inbox->piece = malloc(PIECE_BYTES);
	if (inbox->piece == NULL) {
		inbox->state = INBOX_IDLE;
		return;
	}
	start_work(inbox, INBOX_READS);
}

/* The steps below call go_on for the next one; each chain ends at work that is
 * started or at a file that is done with. */
/* NOLINTBEGIN(misc-no-recursion) */
static void after_read(struct inbox *inbox)
{
	if (inbox->status < 0 || inbox->closing) {
		if (inbox->status < 0 && inbox->status != -EWOULDBLOCK && inbox->status != -ENOENT)
			log_warning("can't take in %s from the inbox: %s",
				inbox->names[inbox->name_at], error_text(inbox->status));
		/* What was offered of it has to settle before its state goes. */
		inbox->lost = true;
		inbox->state = INBOX_SETTLES;
	} else if (inbox->piece_length == 0) {
		inbox->counts.torn_bytes += frame_reader_pending(&inbox->reader);
		inbox->state = INBOX_SETTLES;
	} else {
		inbox->offset += inbox->piece_length;
		inbox->at = inbox->piece;
		inbox->left = inbox->piece_length;
		inbox->state = INBOX_OFFERS;
	}
	go_on(inbox);
}

static void after_offers(struct inbox *inbox)
{
	if (inbox->closing) {
		inbox->lost = true;
		inbox->state = INBOX_SETTLES;
		go_on(inbox);
		return;
	}
	if (take_frames(inbox) > 0)
		return;
	if (!inbox->broken) {
		start_work(inbox, INBOX_READS);
		return;
	}
	inbox->state = INBOX_SETTLES;
	go_on(inbox);
}

static void after_settling(struct inbox *inbox)
{
	if (inbox->in_flight > 0)
		return;
	if (inbox->lost) {
		next_file(inbox);
		return;
	}
	inbox->config.on_remove(inbox->config.context);
	start_work(inbox, INBOX_REMOVES);
}

static void say_goodbye(struct inbox *inbox)
{
	uint8_t buffer[64];
	struct writer writer = writer_of(buffer, sizeof(buffer));

	writer_field_varint(&writer, TAG_GOODBYE_EMITTED, inbox->goodbye.emitted);
	writer_field_varint(&writer, TAG_GOODBYE_UNKNOWN, inbox->goodbye.unknown);
	writer_field_varint(&writer, TAG_GOODBYE_NOT_SAMPLED, inbox->goodbye.not_sampled);
	inbox->emitted = inbox->goodbye.emitted;
	/* Without it the client's number is kept until it expires: no harm. */
	(void)offer(
		inbox, LOG_GOODBYE, inbox->accepted, 0, slice_of(buffer, writer_length(&writer)));
}

static void after_removal(struct inbox *inbox)
{
	if (inbox->status < 0) {
		log_warning("can't remove %s from the inbox: %s", inbox->names[inbox->name_at],
			error_text(inbox->status));
	} else {
		inbox->counts.files++;
		inbox->counts.damaged_files += inbox->broken;
		if (inbox->broken)
			log_warning("%s from the inbox was damaged; its rest is in quarantine",
				inbox->names[inbox->name_at]);
		if (inbox->have_goodbye && inbox->have_hello && !inbox->closing)
			say_goodbye(inbox);
	}
	next_file(inbox);
}

static void maybe_close(struct inbox *inbox)
{
	if (!inbox->closing || inbox->state != INBOX_IDLE || inbox->in_flight > 0)
		return;
	reset_file(inbox);
	free(inbox->piece);
	inbox->on_closed(inbox->context);
	free(inbox);
}

static void go_on(struct inbox *inbox)
{
	switch (inbox->state) {
	case INBOX_LISTS:
		after_list(inbox);
		break;
	case INBOX_READS:
		after_read(inbox);
		return;
	case INBOX_OFFERS:
		after_offers(inbox);
		return;
	case INBOX_SETTLES:
		after_settling(inbox);
		break;
	case INBOX_REMOVES:
		after_removal(inbox);
		break;
	case INBOX_IDLE:
	default:
		break;
	}
	maybe_close(inbox);
}
/* NOLINTEND(misc-no-recursion) */

/* ---- Life --------------------------------------------------------------------------- */

int inbox_new(const struct inbox_config *config, struct inbox **ret)
{
	struct inbox *inbox = calloc(1, sizeof(*inbox));

	if (inbox == NULL)
		return -ENOMEM;
	inbox->config = *config;
	inbox->file = -1;
	frame_reader_init(&inbox->reader);
	*ret = inbox;
	return 0;
}

void inbox_look(struct inbox *inbox)
{
	if (inbox->state == INBOX_IDLE && inbox->in_flight == 0 && !inbox->closing)
		start_work(inbox, INBOX_LISTS);
}

void inbox_on_room(struct inbox *inbox)
{
	if (inbox->state == INBOX_OFFERS)
		go_on(inbox);
}

void inbox_count(const struct inbox *inbox, struct inbox_counts *ret)
{
	*ret = inbox->counts;
}

void inbox_close(struct inbox *inbox, void (*on_closed)(void *context), void *context)
{
	inbox->closing = true;
	inbox->on_closed = on_closed;
	inbox->context = context;
	if (inbox->state == INBOX_OFFERS || inbox->state == INBOX_IDLE)
		go_on(inbox);
}
