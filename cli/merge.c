/*
 * merge.c: see merge.h. A collector writes peer as the last member of metadata; in lines
 * of other tracers it is left as it stands.
 */
#include "merge.h"

#include <errno.h>
#include <string.h>

/* The length of the JSON object at the start of text; 0: it has no end. */
static size_t object_length(struct slice text)
{
	size_t depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.length; i++) {
		uint8_t byte = text.data[i];

		if (quoted) {
			if (byte == '\\')
				i++;
			else
				quoted = byte != '"';
			continue;
		}
		quoted = byte == '"';
		depth += byte == '{';
		if (byte == '}' && --depth == 0)
			return i + 1;
	}
	return 0;
}

/* Where `,"peer":{…}` stands in the line, directly before the end of metadata; length 0:
 * nowhere. */
static struct slice find_peer(const struct record *record)
{
	static const char key[] = ",\"peer\":";
	const size_t length = sizeof key - 1;
	struct slice metadata = record->metadata;

	for (size_t at = metadata.length; at-- > 0;) {
		struct slice value;

		if (metadata.length - at <= length || memcmp(metadata.data + at, key, length) != 0)
			continue;
		value = slice_of(metadata.data + at + length, metadata.length - at - length);
		if (value.data[0] == '{' && object_length(value) + 1 == value.length)
			return slice_of(metadata.data + at, metadata.length - 1 - at);
		break;
	}
	return (struct slice){0};
}

/* The record with a line that has no peer. */
static int without_peer(
	struct scratch *scratch, const struct record *record, struct record *ret_record)
{
	struct slice line = record->line;
	struct slice peer = find_peer(record);
	size_t before;
	uint8_t *copy;

	*ret_record = *record;
	/* The record's texts point into its line, unless they had to be made anew. */
	if (peer.length == 0 || peer.data < line.data ||
		peer.data + peer.length > line.data + line.length)
		return 0;
	copy = scratch_alloc(scratch, line.length);
	if (copy == NULL)
		return -ENOMEM;
	before = (size_t)(peer.data - line.data);
	memcpy(copy, line.data, before);
	memcpy(copy + before, peer.data + peer.length, line.length - before - peer.length);
	ret_record->line = slice_of(copy, line.length - peer.length);
	return 0;
}

int merge_add(
	struct tree *tree, struct scratch *scratch, const struct record *record, uint32_t item)
{
	struct record bare;
	int result = without_peer(scratch, record, &bare);

	return result == 0 ? tree_add(tree, &bare, item) : result;
}

int merge_load(struct trace_load *load, struct scratch *scratch, const struct record *record)
{
	struct record bare;
	int result = without_peer(scratch, record, &bare);

	return result == 0 ? trace_load_add(load, &bare) : result;
}
