/*
 * Recovery of a log of any bytes. The first byte says where the input is split into
 * two segments and whether checksums are recomputed, so that the bytes behind them
 * are reached too; the second, which records nobody wants and whether all is done once more
 * while the third says which allocation, or call of the disk, fails. Whatever is found must be a
 * record inside the file, and a second look must find the same.
 */
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "cursor.h"
#include "log_format.h"
#include "recover.h"
#include "refuse.h"
#include "support/fake_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct log_place places[64];
	size_t count;
	uint64_t bytes;
	uint32_t wanted_from;
};

static int on_record(void *ctx, struct log_place place, const struct log_record *record)
{
	struct seen *seen = ctx;

	if (place.offset % 8 != 0 || record->payload_length > LOG_PAYLOAD_BYTES_MAX)
		abort();
	if (seen->count < 64)
		seen->places[seen->count++] = place;
	seen->bytes += record->payload_length + record->peer.name_length;
	for (size_t i = 0; i < record->payload_length; i++)
		seen->bytes += record->payload[i] == 0;
	return 0;
}

static int on_damage(void *ctx, const struct log_damage *damage)
{
	struct seen *seen = ctx;

	for (size_t i = 0; i < damage->length_bytes; i++)
		seen->bytes += damage->bytes[i] == 1;
	return 0;
}

static int on_batch(void *ctx, struct log_place place, const struct log_record *record,
	const struct consumed *consumed)
{
	(void)consumed;
	return on_record(ctx, place, record);
}

/* Of records at the beginning of a segment, those before an offset. */
static bool is_done(void *ctx, struct log_place place, enum log_kind kind, uint32_t spans)
{
	const struct seen *seen = ctx;

	(void)kind;
	(void)spans;
	return place.offset < seen->wanted_from;
}

static void seal_header(uint8_t *data, size_t size, uint32_t number)
{
	if (size < LOG_SEGMENT_HEADER_BYTES)
		return;
	for (size_t copy = 0; copy < LOG_SEGMENT_HEADER_BYTES; copy += 64) {
		memcpy(data + copy, LOG_MAGIC, 8);
		le64_write(data + copy + 8, number);
		le32_write(data + copy + 60, crc32c(0, data + copy, 60));
	}
}

/* Gives every stretch that could be a record its checksum. */
static void seal_records(uint8_t *data, size_t size, uint32_t number)
{
	size_t at = LOG_SEGMENT_HEADER_BYTES;

	while (at + LOG_RECORD_HEADER_BYTES <= size) {
		size_t length = log_record_length(data + at);

		if (length == 0 || length > size - at) {
			at += 8;
			continue;
		}
		log_record_seal(data + at,
			(struct log_place){.segment = number, .offset = (uint32_t)at},
			le32_read(data + at + 56));
		at += length;
	}
}

static void put_segment(
	struct fake_disk *fake, uint32_t number, const uint8_t *data, size_t size, uint8_t how)
{
	uint8_t *copy = malloc(size + 1);
	char path[64] = ".waft/log/";

	if (copy == NULL)
		abort();
	if (size > 0)
		memcpy(copy, data, size);
	if ((how & 1) != 0)
		seal_header(copy, size, number);
	if ((how & 2) != 0)
		seal_records(copy, size, number);
	log_name(number, path + strlen(path));
	fake_disk_put(fake, path, copy, size);
	free(copy);
}

static void read_places(struct fake_disk *fake, int dir, const struct seen *seen)
{
	struct log_reader *reader;
	const struct log_record *record;

	if (log_reader_new(fake_disk_disk(fake), dir, 10000, &reader) != 0)
		abort();
	for (size_t i = 0; i < seen->count; i++) {
		if (log_reader_get(reader, seen->places[i], &record) != 0)
			abort();
	}
	log_reader_free(reader);
}

static void recover_once(struct fake_disk *fake, struct store_dirs *dirs)
{
	struct seen seen = {0};
	struct recovery_ops ops = {.on_batch = on_batch, .ctx = &seen};
	struct recovery_config config = {.disk = fake_disk_disk(fake), .dirs = dirs};
	struct recovery recovery;
	char text[400];

	if (clients_new(0, &config.clients) != 0)
		return;
	if (recover(&config, &ops, &recovery) == 0) {
		if (recovery_text(&recovery, text, sizeof(text)) == 0)
			abort();
		log_close(recovery.log);
		manifest_free(recovery.manifest);
	}
	clients_free(config.clients);
}

/* What can be read of the log, where something fails or not. */
static void scan_some(struct fake_disk *fake, struct store_dirs *dirs, uint32_t wanted_from)
{
	static const struct log_scan_ops ops = {
		.on_record = on_record, .on_damage = on_damage, .is_done = is_done};
	static const uint8_t other[16] = {1};
	struct seen seen = {.wanted_from = wanted_from};
	struct log_scan_result result;

	if (log_scan(fake_disk_disk(fake), dirs->log, wanted_from % 16 == 8 ? other : NULL,
		    1 + wanted_from % 3, &ops, &seen, &result) > 0)
		abort();
}

static void read_failing(struct fake_disk *fake, int dir, const struct seen *seen)
{
	struct log_reader *reader;
	const struct log_record *record;

	if (log_reader_new(fake_disk_disk(fake), dir, 10000, &reader) != 0)
		return;
	for (size_t i = 0; i < seen->count; i++)
		(void)(log_reader_get(reader, seen->places[i], &record) == 0);
	log_reader_free(reader);
}

static void all_again_failing(struct fake_disk *fake, struct store_dirs *dirs,
	const struct seen *seen, uint8_t how, uint8_t which)
{
	for (unsigned int i = 0; i < 3; i++) {
		if ((how & 1) != 0)
			refuse_allocation(which + 1u);
		else
			refuse_call(which + 1u);
		if (i == 0)
			scan_some(fake, dirs, (how >> 2) * 8u);
		else if (i == 1)
			read_failing(fake, dirs->log, seen);
		else
			recover_once(fake, dirs);
	}
	refuse_allocation(0);
	refuse_call(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct log_scan_ops ops = {.on_record = on_record, .on_damage = on_damage};
	struct fake_disk *fake = fake_disk_new();
	struct log_scan_result first, second;
	struct seen seen = {0};
	struct seen again = {0};
	struct store_dirs dirs;
	const uint8_t none[3] = {0};
	const uint8_t *head = size >= 3 ? data : none;
	uint8_t how = head[0];
	size_t split;

	refuse_allocation(0);
	data += size >= 3 ? 3 : size;
	size -= size >= 3 ? 3 : size;
	split = size * (how >> 4) / 15;
	refuse_on(fake_disk_disk(fake));

	if (store_dirs_open(fake_disk_disk(fake), "store", true, &dirs) != 0)
		abort();
	if (size > 0) {
		put_segment(fake, 1, data, split, how);
		if ((how & 4) != 0)
			put_segment(fake, 2, data + split, size - split, how);
	}
	if (log_scan(fake_disk_disk(fake), dirs.log, NULL, 1, &ops, &seen, &first) != 0 ||
		log_scan(fake_disk_disk(fake), dirs.log, NULL, 1, &ops, &again, &second) != 0)
		abort();
	if (seen.bytes != again.bytes || first.records != second.records)
		abort();
	read_places(fake, dirs.log, &seen);
	scan_some(fake, &dirs, (head[1] >> 2) * 8u);
	if ((head[1] & 2) != 0)
		all_again_failing(fake, &dirs, &seen, head[1], head[2]);
	recover_once(fake, &dirs);
	recover_once(fake, &dirs);
	store_dirs_close(fake_disk_disk(fake), &dirs);
	fake_disk_free(fake);
	return 0;
}
