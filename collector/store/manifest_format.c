/* Encoding of the manifest's records. See manifest_format.h. */
#include "manifest_format.h"

#include <errno.h>

#include "crc32c.h"
#include "cursor.h"

static uint32_t record_crc(uint64_t generation, const uint8_t *record, size_t length)
{
	uint8_t raw[8];

	le64_write(raw, generation);
	return crc32c(crc32c(0, raw, sizeof(raw)), record + 4, length - 4);
}

int manifest_record_put(struct bytes *out, uint64_t generation, enum manifest_type type,
	uint32_t synced, const void *body, size_t length)
{
	uint8_t *record;
	int ret;

	if (length > MANIFEST_BODY_BYTES_MAX)
		return -EFBIG;
	ret = bytes_reserve(out, MANIFEST_RECORD_HEADER_BYTES + length);
	if (ret != 0)
		return ret;
	record = out->data + out->length;
	memset(record, 0, MANIFEST_RECORD_HEADER_BYTES);
	le32_write(record + 4, (uint32_t)length);
	record[8] = (uint8_t)type;
	le32_write(record + 12, synced);
	if (length > 0)
		memcpy(record + MANIFEST_RECORD_HEADER_BYTES, body, length);
	le32_write(record, record_crc(generation, record, MANIFEST_RECORD_HEADER_BYTES + length));
	out->length += MANIFEST_RECORD_HEADER_BYTES + length;
	return 0;
}

size_t manifest_record_length(const uint8_t *data, size_t length)
{
	uint32_t body;

	if (length < MANIFEST_RECORD_HEADER_BYTES)
		return 0;
	body = le32_read(data + 4);
	if (data[8] < MANIFEST_HEADER || data[8] > MANIFEST_FORWARD || data[9] != 0 ||
		data[10] != 0 || data[11] != 0 || body > length - MANIFEST_RECORD_HEADER_BYTES)
		return 0;
	return MANIFEST_RECORD_HEADER_BYTES + (size_t)body;
}

size_t manifest_record_get(
	const uint8_t *data, size_t length, uint64_t generation, struct manifest_record *ret)
{
	size_t total = manifest_record_length(data, length);

	if (total == 0 || le32_read(data) != record_crc(generation, data, total))
		return 0;
	ret->type = (enum manifest_type)data[8];
	ret->synced = le32_read(data + 12);
	ret->body =
		slice_of(data + MANIFEST_RECORD_HEADER_BYTES, total - MANIFEST_RECORD_HEADER_BYTES);
	return total;
}

size_t manifest_header_get(const uint8_t *data, size_t length, struct manifest_header *ret)
{
	size_t total = manifest_record_length(data, length);
	struct manifest_record record;
	struct manifest_header header;
	struct cursor body;
	struct slice magic, id;

	if (total == 0 || (data[8] != MANIFEST_HEADER && data[8] != MANIFEST_END))
		return 0;
	body = cursor_of(data + MANIFEST_RECORD_HEADER_BYTES, total - MANIFEST_RECORD_HEADER_BYTES);
	magic = cursor_take(&body, 8);
	header.generation = cursor_fixed64(&body);
	id = cursor_take(&body, 16);
	header.checkpoint_bytes = cursor_fixed64(&body);
	if (cursor_varint(&body) != MANIFEST_VERSION || body.error != 0 ||
		memcmp(magic.data, MANIFEST_MAGIC, 8) != 0 || header.generation == 0 ||
		manifest_record_get(data, length, header.generation, &record) == 0)
		return 0;
	memcpy(header.store_id, id.data, sizeof(header.store_id));
	*ret = header;
	return total;
}

/* Appends varints; the first failure stays. */
static int put_varints(struct bytes *out, const uint64_t *values, size_t count)
{
	int ret = bytes_reserve(out, count * BYTES_VARINT_MAX);

	for (size_t i = 0; ret == 0 && i < count; i++)
		bytes_varint_fast(out, values[i]);
	return ret;
}

static int put_name(struct bytes *out, const struct part_name *name)
{
	char text[PART_NAME_BYTES];
	int ret = part_name_format(name, text);

	return ret != 0 ? ret : bytes_text(out, text, strlen(text));
}

int manifest_header_body(struct bytes *out, const struct manifest_header *header)
{
	int ret = bytes_put(out, MANIFEST_MAGIC, 8);

	if (ret == 0)
		ret = bytes_u64(out, header->generation);
	if (ret == 0)
		ret = bytes_put(out, header->store_id, sizeof(header->store_id));
	if (ret == 0)
		ret = bytes_u64(out, header->checkpoint_bytes);
	return ret != 0 ? ret : bytes_varint(out, MANIFEST_VERSION);
}

int manifest_part_body(struct bytes *out, const struct manifest_part *part)
{
	const uint64_t values[] = {part->id, part->inode, part->changed_ns};
	int ret = put_varints(out, values, 3);

	return ret != 0 ? ret : put_name(out, &part->name);
}

int manifest_extent_body(struct bytes *out, const struct manifest_part *part)
{
	const uint64_t before[] = {part->id, part->inode, part->length_bytes};
	const uint64_t after[] = {
		part->spans, part->changed_ns, (uint64_t)part->state, part->verified};
	int ret = put_varints(out, before, 3);

	if (ret == 0)
		ret = bytes_u32(out, part->crc);
	if (ret == 0)
		ret = put_varints(out, after, 4);
	return ret != 0 ? ret : put_name(out, &part->name);
}

int manifest_commit_body(struct bytes *out, const struct manifest_commit *commit)
{
	const uint64_t before[] = {commit->part, commit->offset, commit->length_bytes};
	const uint64_t after[] = {commit->time_ns, commit->run_count};
	int ret = put_varints(out, before, 3);

	if (ret == 0)
		ret = bytes_u32(out, commit->crc);
	if (ret == 0)
		ret = put_varints(out, after, 2);
	for (size_t i = 0; ret == 0 && i < commit->run_count; i++) {
		ret = bytes_varint(out, commit->runs[i].length_bytes);
		if (ret == 0)
			ret = bytes_u32(out, commit->runs[i].crc);
		if (ret == 0)
			ret = bytes_varint(out, commit->runs[i].spans);
	}
	return ret != 0 ? ret : consumed_encode(commit->ordinals, out);
}

int manifest_sealed_body(struct bytes *out, const struct manifest_part *part)
{
	const uint64_t before[] = {part->id, part->sealed_length_bytes};
	int ret = put_varints(out, before, 2);

	if (ret == 0)
		ret = bytes_u32(out, part->sealed_crc);
	return ret != 0 ? ret : bytes_varint(out, part->changed_ns);
}

int manifest_quarantine_body(struct bytes *out, const struct manifest_quarantine *entry)
{
	const uint64_t before[] = {entry->offset, entry->length_bytes};
	int ret = put_varints(out, before, 2);

	if (ret == 0)
		ret = bytes_text(out, entry->name, strlen(entry->name));
	if (ret == 0)
		ret = bytes_text(out, entry->source, strlen(entry->source));
	return ret != 0 ? ret : bytes_text(out, entry->why, strlen(entry->why));
}

int manifest_forward_body(
	struct bytes *out, const struct manifest_forward *forward, const struct consumed *ordinals)
{
	const uint64_t values[] = {forward->place.segment, forward->place.offset, forward->split,
		forward->reached, forward->spans, forward->dropped, forward->refused};
	int ret = put_varints(out, values, sizeof(values) / sizeof(values[0]));

	return ret != 0 ? ret : consumed_encode(ordinals, out);
}
