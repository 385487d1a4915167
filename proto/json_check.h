/*
 * Is this JSON (RFC 8259)? Without recursion, without memory, in one pass.
 * Used by libwaft for snapshots and by the collector for what peers send.
 * Pure and thread-safe; needs libc only.
 */
#ifndef WAFT_PROTO_JSON_CHECK_H
#define WAFT_PROTO_JSON_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "errors.h"

/* 0: exactly one JSON value, white space around it allowed, valid UTF-8,
 * arrays and objects nested at most WIRE_JSON_DEPTH_LIMIT (64) deep.
 * ERR_MALFORMED: not JSON. ERR_LIMIT: nested deeper. *ret_offset (may be NULL)
 * is then where, in bytes. Strings may hold any escape that RFC 8259 has, lone
 * surrogates too; numbers may have any length. */
int json_check(const uint8_t *text, size_t length_bytes, size_t *ret_offset) MUST_CHECK;

/* The same of a text that JSON_CHECK_PAD zeros follow, its length not among them: they
 * are looked at, so that no end has to be looked for. */
enum { JSON_CHECK_PAD = 64 };
int json_check_padded(const uint8_t *text, size_t length_bytes, size_t *ret_offset) MUST_CHECK;

#endif
