/*
 * Fuzzes the JSON recogniser against a slow recursive one written from the
 * grammar of RFC 8259, and the UTF-8 repair on the same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_check.h"
#include "utf8.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_json_check: %s\n", what);
		abort();
	}
}

struct reference {
	const uint8_t *at;
	const uint8_t *end;
};

static int next_is(struct reference *r, char c)
{
	if (r->at == r->end || *r->at != (uint8_t)c)
		return 0;
	r->at++;
	return 1;
}

static void space(struct reference *r)
{
	while (r->at != r->end && memchr(" \t\n\r", *r->at, 4) != NULL)
		r->at++;
}

static int digits(struct reference *r)
{
	int any = 0;

	for (; r->at != r->end && *r->at >= '0' && *r->at <= '9'; any = 1)
		r->at++;
	return any;
}

static int number(struct reference *r)
{
	next_is(r, '-');
	if (!next_is(r, '0') && !digits(r))
		return 0;
	if (next_is(r, '.') && !digits(r))
		return 0;
	if (next_is(r, 'e') || next_is(r, 'E')) {
		if (!next_is(r, '+'))
			next_is(r, '-');
		return digits(r);
	}
	return 1;
}

static int string(struct reference *r)
{
	if (!next_is(r, '"'))
		return 0;
	while (!next_is(r, '"')) {
		if (r->at == r->end || *r->at < 0x20)
			return 0;
		if (*r->at++ != '\\')
			continue;
		if (r->at == r->end || memchr("\"\\/bfnrtu", *r->at, 9) == NULL)
			return 0;
		if (*r->at++ == 'u')
			for (int i = 0; i < 4; i++, r->at++)
				if (r->at == r->end ||
					memchr("0123456789abcdefABCDEF", *r->at, 22) == NULL)
					return 0;
	}
	return 1;
}

static int value(struct reference *r, int depth);

static int items(struct reference *r, int depth, int object)
{
	char close = object ? '}' : ']';

	space(r);
	if (next_is(r, close))
		return 1;
	do {
		space(r);
		if (object) {
			if (!string(r))
				return 0;
			space(r);
			if (!next_is(r, ':'))
				return 0;
		}
		if (!value(r, depth))
			return 0;
		space(r);
	} while (next_is(r, ','));
	return next_is(r, close);
}

static int literal(struct reference *r, const char *text)
{
	size_t length = strlen(text);

	if ((size_t)(r->end - r->at) < length || memcmp(r->at, text, length) != 0)
		return 0;
	r->at += length;
	return 1;
}

static int value(struct reference *r, int depth)
{
	space(r);
	if (r->at == r->end)
		return 0;
	switch (*r->at) {
	case '{':
	case '[':
		if (depth == WIRE_JSON_DEPTH_LIMIT)
			return 0;
		return items(r, depth + 1, *r->at++ == '{');
	case '"':
		return string(r);
	case 't':
		return literal(r, "true");
	case 'f':
		return literal(r, "false");
	case 'n':
		return literal(r, "null");
	default:
		return number(r);
	}
}

/* With zeros behind the answer is the same. */
static void padded_check(const uint8_t *data, size_t size, int wanted, size_t wanted_offset)
{
	uint8_t *padded = calloc(1, size + JSON_CHECK_PAD);
	size_t offset = wanted_offset;

	must(padded != NULL, "out of memory");
	if (size > 0)
		memcpy(padded, data, size);
	must(json_check_padded(padded, size, &offset) == wanted && offset == wanted_offset,
		"with zeros behind it differs");
	free(padded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reference r = {.at = data, .end = data + size};
	int good = value(&r, 0);
	size_t offset = 0;
	int ret = json_check(data, size, &offset);
	uint8_t *repaired;
	size_t length;

	space(&r);
	good = good && r.at == r.end && utf8_valid(data, size);
	must((ret == 0) == good, "the two recognisers differ");
	must(ret == 0 || offset <= size, "an offset beyond the end");
	padded_check(data, size, ret, offset);
	repaired = malloc(3 * size + 1);
	must(repaired != NULL, "out of memory");
	length = utf8_repair(data, size, repaired);
	must(utf8_valid(repaired, length), "a repaired text is not valid");
	must(!utf8_valid(data, size) || length == size, "a valid text was repaired");
	free(repaired);
	return 0;
}
