/*
 * The bytes of log segments (docs/STORE.md, "Log"), shared by log.c, log_scan.c
 * and log_reader.c. Pure.
 */
#ifndef WAFT_STORE_LOG_FORMAT_H
#define WAFT_STORE_LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

#define LOG_MAGIC "WAFTLOG1"
#define LOG_PEER_HEAD_BYTES 8
#define LOG_RECORD_BYTES_MAX                                                       \
	(LOG_RECORD_HEADER_BYTES + LOG_PEER_HEAD_BYTES + LOG_PEER_NAME_BYTES_MAX + \
		LOG_PAYLOAD_BYTES_MAX + 8)

struct log_segment_header {
	uint32_t number;
	uint8_t store_id[16];
	struct log_place fence;
};

void log_segment_header_encode(
	const struct log_segment_header *header, uint8_t ret[LOG_SEGMENT_HEADER_BYTES]);
/* Which of the two copies are good: bits 0 and 1; 0: none, *ret is untouched. */
MUST_CHECK unsigned log_segment_header_decode(
	const uint8_t data[LOG_SEGMENT_HEADER_BYTES], struct log_segment_header *ret);

/* Bytes of the record with its padding. */
size_t log_record_bytes(const struct log_record *record);

/* Writes the record with its padding, log_record_bytes of them, without its checksum
 * and synced offset, which log_record_seal fills in when the place is known. */
void log_record_encode(const struct log_record *record, uint8_t *ret);
void log_record_seal(uint8_t *record, struct log_place place, uint32_t synced);

/* Length with padding of the record whose header is at data, 0 when the header
 * can't be one. */
size_t log_record_length(const uint8_t header[LOG_RECORD_HEADER_BYTES]);

/* Checks the record at data, of which length bytes are there, and gives its
 * parts: views into data. Returns its length with padding, 0 when it is none. */
size_t log_record_decode(const uint8_t *data, size_t length, struct log_place place,
	struct log_record *ret, uint32_t *ret_synced);

#endif
