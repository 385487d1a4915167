/* The bytes of log segments. See log_format.h. */
#include "log_format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crc32c.h"
#include "cursor.h"

/* Offsets in a record. */
enum {
	AT_CRC = 0,
	AT_LENGTH = 4,
	AT_KIND = 8,
	AT_FORMAT = 9,
	AT_PEER_LENGTH = 10,
	AT_SPANS = 12,
	AT_RECEIVE = 16,
	AT_CLIENT = 24,
	AT_SEQUENCE = 40,
	AT_EMITTED = 48,
	AT_SYNCED = 56,
	AT_SHARE = 60,
	AT_ZERO = 61,
};

/* Each of the two copies. */
enum { COPY_BYTES = LOG_SEGMENT_HEADER_BYTES / 2, AT_COPY_CRC = COPY_BYTES - 4 };

void log_segment_header_encode(
	const struct log_segment_header *header, uint8_t ret[LOG_SEGMENT_HEADER_BYTES])
{
	memset(ret, 0, LOG_SEGMENT_HEADER_BYTES);
	memcpy(ret, LOG_MAGIC, 8);
	le64_write(ret + 8, header->number);
	memcpy(ret + 16, header->store_id, 16);
	le64_write(ret + 32, header->fence.segment);
	le32_write(ret + 40, header->fence.offset);
	le32_write(ret + AT_COPY_CRC, crc32c(0, ret, AT_COPY_CRC));
	memcpy(ret + COPY_BYTES, ret, COPY_BYTES);
}

static int header_copy_decode(const uint8_t *data, struct log_segment_header *ret)
{
	uint64_t number = le64_read(data + 8);
	uint64_t fence = le64_read(data + 32);

	if (memcmp(data, LOG_MAGIC, 8) != 0 ||
		le32_read(data + AT_COPY_CRC) != crc32c(0, data, AT_COPY_CRC))
		return -EBADMSG;
	if (number == 0 || number > UINT32_MAX || fence >= number)
		return -EBADMSG;
	ret->number = (uint32_t)number;
	memcpy(ret->store_id, data + 16, 16);
	ret->fence.segment = (uint32_t)fence;
	ret->fence.offset = le32_read(data + 40);
	return 0;
}

unsigned log_segment_header_decode(
	const uint8_t data[LOG_SEGMENT_HEADER_BYTES], struct log_segment_header *ret)
{
	struct log_segment_header header;
	unsigned good = 0;

	for (unsigned i = 0; i < 2; i++) {
		if (header_copy_decode(data + i * COPY_BYTES, &header) == 0) {
			*ret = header;
			good |= 1u << i;
		}
	}
	return good;
}

static size_t peer_bytes(const struct log_peer *peer)
{
	size_t agent = peer->agent_length > 0 ? 1 + peer->agent_length : 0;

	return peer->known ? LOG_PEER_HEAD_BYTES + peer->name_length + agent : 0;
}

static size_t padded(size_t length)
{
	return (length + 7) & ~(size_t)7;
}

size_t log_record_bytes(const struct log_record *record)
{
	return padded(LOG_RECORD_HEADER_BYTES + peer_bytes(&record->peer) + record->payload_length);
}

void log_record_encode(const struct log_record *record, uint8_t *ret)
{
	uint8_t *at = ret + LOG_RECORD_HEADER_BYTES;
	size_t total = log_record_bytes(record);

	memset(ret, 0, LOG_RECORD_HEADER_BYTES);
	le32_write(ret + AT_LENGTH, (uint32_t)record->payload_length);
	ret[AT_KIND] = (uint8_t)record->kind;
	ret[AT_FORMAT] = record->format;
	le16_write(ret + AT_PEER_LENGTH, (uint16_t)peer_bytes(&record->peer));
	le32_write(ret + AT_SPANS, record->spans);
	le64_write(ret + AT_RECEIVE, record->receive_ns);
	memcpy(ret + AT_CLIENT, record->client, sizeof(record->client));
	le64_write(ret + AT_SEQUENCE, record->sequence);
	le64_write(ret + AT_EMITTED, record->emitted);
	ret[AT_SHARE] = record->share;
	if (record->peer.known) {
		le32_write(at, record->peer.pid);
		le32_write(at + 4, record->peer.uid);
		at += LOG_PEER_HEAD_BYTES;
		if (record->peer.name_length > 0)
			memcpy(at, record->peer.name, record->peer.name_length);
		at += record->peer.name_length;
		if (record->peer.agent_length > 0) {
			*at++ = 0;
			memcpy(at, record->peer.agent, record->peer.agent_length);
			at += record->peer.agent_length;
		}
	}
	if (record->payload_length > 0)
		memcpy(at, record->payload, record->payload_length);
	at += record->payload_length;
	memset(at, 0, total - (size_t)(at - ret));
}

static uint32_t record_crc(const uint8_t *record, size_t length, struct log_place place)
{
	uint8_t where[12];

	le64_write(where, place.segment);
	le32_write(where + 8, place.offset);
	return crc32c(crc32c(0, where, sizeof(where)), record + 4, length - 4);
}

/* Length without padding; 0 when the header can't be one. */
static size_t bare_length(const uint8_t *header)
{
	uint32_t payload = le32_read(header + AT_LENGTH);
	uint16_t peer = le16_read(header + AT_PEER_LENGTH);

	if (header[AT_KIND] < LOG_BATCH || header[AT_KIND] > LOG_FENCE)
		return 0;
	if (payload > LOG_PAYLOAD_BYTES_MAX ||
		peer > LOG_PEER_HEAD_BYTES + LOG_PEER_NAME_BYTES_MAX ||
		(peer != 0 && peer < LOG_PEER_HEAD_BYTES) || header[AT_SHARE] > LOG_SHARE_MAX ||
		header[AT_ZERO] != 0 || header[AT_ZERO + 1] != 0 || header[AT_ZERO + 2] != 0)
		return 0;
	return LOG_RECORD_HEADER_BYTES + (size_t)peer + payload;
}

void log_record_seal(uint8_t *record, struct log_place place, uint32_t synced)
{
	le32_write(record + AT_SYNCED, synced);
	le32_write(record + AT_CRC, record_crc(record, log_record_length(record), place));
}

size_t log_record_length(const uint8_t header[LOG_RECORD_HEADER_BYTES])
{
	return padded(bare_length(header));
}

/* name, or name, NUL, agent. */
static void decode_names(struct log_peer *peer, const char *names, size_t length)
{
	const char *end = length > 0 ? memchr(names, 0, length) : NULL;

	peer->name_length = end != NULL ? (size_t)(end - names) : length;
	if (peer->name_length > 0)
		peer->name = names;
	if (end != NULL && (size_t)(end - names) + 1 < length) {
		peer->agent = end + 1;
		peer->agent_length = length - peer->name_length - 1;
	}
}

size_t log_record_decode(const uint8_t *data, size_t length, struct log_place place,
	struct log_record *ret, uint32_t *ret_synced)
{
	size_t bare = length >= LOG_RECORD_HEADER_BYTES ? bare_length(data) : 0;
	size_t peer;

	if (bare == 0 || padded(bare) > length ||
		le32_read(data + AT_CRC) != record_crc(data, padded(bare), place))
		return 0;
	peer = le16_read(data + AT_PEER_LENGTH);
	*ret = (struct log_record){
		.kind = (enum log_kind)data[AT_KIND],
		.format = data[AT_FORMAT],
		.spans = le32_read(data + AT_SPANS),
		.receive_ns = le64_read(data + AT_RECEIVE),
		.sequence = le64_read(data + AT_SEQUENCE),
		.emitted = le64_read(data + AT_EMITTED),
		.share = data[AT_SHARE],
		.payload = data + LOG_RECORD_HEADER_BYTES + peer,
		.payload_length = le32_read(data + AT_LENGTH),
	};
	memcpy(ret->client, data + AT_CLIENT, sizeof(ret->client));
	if (peer > 0) {
		const uint8_t *at = data + LOG_RECORD_HEADER_BYTES;

		ret->peer = (struct log_peer){
			.known = true, .pid = le32_read(at), .uid = le32_read(at + 4)};
		decode_names(&ret->peer, (const char *)at + LOG_PEER_HEAD_BYTES,
			peer - LOG_PEER_HEAD_BYTES);
	}
	*ret_synced = le32_read(data + AT_SYNCED);
	return padded(bare);
}

void log_name(uint32_t number, char ret[LOG_NAME_BYTES])
{
	snprintf(ret, LOG_NAME_BYTES, "%016u.log", number);
}

uint32_t log_name_number(const char *name)
{
	char again[LOG_NAME_BYTES];
	unsigned long long number = 0;

	for (const char *at = name; *at >= '0' && *at <= '9' && at < name + 16; at++)
		number = number * 10 + (unsigned long long)(*at - '0');
	if (number == 0 || number > UINT32_MAX)
		return 0;
	log_name((uint32_t)number, again);
	return strcmp(again, name) == 0 ? (uint32_t)number : 0;
}
