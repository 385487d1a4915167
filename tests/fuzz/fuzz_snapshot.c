/*
 * Fuzzes what becomes of a snapshot: whatever the text is, JSON comes out, no
 * longer than its limit allows; taken again it stays as it is; and another
 * parser finds no value under a key that must not be seen. The first byte is the
 * limit.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "json_check.h"
#include "redact.h"
#include "snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGE = 1 << 20 };

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_snapshot: %s\n", what);
		abort();
	}
}

static void hidden_check(const json_t *value)
{
	const char *key;
	const json_t *inner;
	size_t index;

	json_array_foreach(value, index, inner) hidden_check(inner);
	json_object_foreach((json_t *)value, key, inner)
	{
		/* Keys are asked for as they stand in JSON: where a backslash is one. */
		if (strchr(key, '\\') == NULL && redact_key_matches(key, strlen(key)))
			must(json_is_string(inner) &&
					strcmp(json_string_value(inner), REDACT_TEXT) == 0,
				"a secret is seen");
		hidden_check(inner);
	}
}

static void again_check(const struct buffer *out)
{
	struct buffer again = {0};

	snapshot_take(&again, (const char *)out->bytes, out->length, LARGE);
	must(!again.failed, "no memory");
	must(again.length == out->length && memcmp(again.bytes, out->bytes, out->length) == 0,
		"taken again it differs");
	buffer_done(&again);
}

/* What goes without having been checked: the text as it is, without a name in it, of
 * which the collector makes what `taken` is. */
static void put_check(const char *text, size_t length, size_t limit, const struct buffer *taken)
{
	struct buffer put = {0};
	struct buffer string = {0};

	snapshot_put(&put, text, length, limit);
	must(!put.failed, "no memory");
	if (put.length != taken->length || memcmp(put.bytes, taken->bytes, put.length) != 0) {
		must(put.length == length && memcmp(put.bytes, text, length) == 0,
			"put: not the text");
		must(!redact_text_holds(text, length), "put: a secret is seen");
		must(json_check(put.bytes, put.length, NULL) != 0, "put: JSON that differs");
		snapshot_string(&string, text, length);
		must(string.length == taken->length &&
				memcmp(string.bytes, taken->bytes, string.length) == 0,
			"put: becomes another string");
	}
	buffer_done(&put);
	buffer_done(&string);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer out = {0};
	char *text;
	json_t *parsed;

	if (size == 0)
		return 0;
	/* Not one byte more, so that ASan sees one too far. */
	text = malloc(size > 1 ? size - 1 : 1);
	must(text != NULL && redact_set_names(NULL) == 0, "no memory");
	memcpy(text, data + 1, size - 1);
	snapshot_take(&out, text, size - 1, LARGE);
	must(!out.failed && json_check(out.bytes, out.length, NULL) == 0, "no JSON");
	again_check(&out);
	put_check(text, size - 1, LARGE, &out);
	parsed = json_loadb(
		(const char *)out.bytes, out.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (parsed != NULL)
		hidden_check(parsed);
	json_decref(parsed);
	snapshot_take(&out, text, size - 1, data[0]);
	must(!out.failed && json_check(out.bytes, out.length, NULL) == 0, "cut, no JSON");
	must(out.length <= 6 * (size_t)data[0] + 80, "longer than its limit");
	again_check(&out);
	put_check(text, size - 1, data[0], &out);
	buffer_done(&out);
	free(text);
	return 0;
}
