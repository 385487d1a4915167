/*
 * CRC-32C (Castagnoli; RFC 3720 appendix B.4), of frames, log and manifest.
 * Uses AVX-512 or SSE4.2 where the processor has it, tables elsewhere; same results.
 * Pure and thread-safe.
 */
#ifndef WAFT_PROTO_CRC32C_H
#define WAFT_PROTO_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The checksum of some bytes followed by these: crc is the checksum of those
 * before, 0 at the start. crc32c(crc32c(0, a), b) = crc32c(0, ab). */
uint32_t crc32c(uint32_t crc, const void *data, size_t length_bytes);

/* The checksum of ab from those of a and of b, and b's length: O(log length).
 * Method: multiplication by x^(8n) modulo the polynomial (Mark Adler's
 * crc32_combine of zlib describes it). */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b_bytes);

/* Each way that crc32c may go, for tests; it must be there. */
enum crc32c_way { CRC32C_PORTABLE = 0, CRC32C_SSE42, CRC32C_AVX512, CRC32C_WAYS };
bool crc32c_has(enum crc32c_way way);
uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *data, size_t length_bytes);

#endif
