/* See extra.h. */
#include "extra.h"

#include "cursor.h"

void extra_clear(struct extra *extra)
{
	if (extra == NULL || !extra->used)
		return;
	buffer_clear(&extra->input, EXTRA_KEEP_BYTES);
	buffer_clear(&extra->output, EXTRA_KEEP_BYTES);
	buffer_clear(&extra->error, EXTRA_KEEP_BYTES);
	buffer_clear(&extra->detail, EXTRA_KEEP_BYTES);
	extra->used = false;
	extra->more = false;
	extra->failed = false;
	extra->kind = 0;
	extra->attributes = extra->events = extra->links = 0;
	extra->dropped_attributes = extra->dropped_events = extra->dropped_links = 0;
}

static enum wire_status status_of(const struct extra *extra, bool pending)
{
	if (pending)
		return WIRE_STATUS_PENDING;
	return extra != NULL && extra->failed ? WIRE_STATUS_ERROR : WIRE_STATUS_SUCCESS;
}

static size_t varint_field_length(uint64_t value)
{
	return value != 0 ? 1 + varint_length(value) : 0;
}

static uint8_t *varint_field(uint8_t *to, uint32_t tag, uint64_t value)
{
	if (value == 0)
		return to;
	*to++ = (uint8_t)tag;
	for (; value >= 0x80; value >>= 7)
		*to++ = (uint8_t)(value | 0x80);
	*to++ = (uint8_t)value;
	return to;
}

size_t extra_detail_length(const struct extra *extra, bool pending, uint64_t span_id)
{
	size_t length = varint_field_length(status_of(extra, pending)) + (span_id != 0 ? 9 : 0);

	if (extra == NULL)
		return length;
	if (extra->error.length > 0)
		length += 1 + varint_length(extra->error.length) + extra->error.length;
	return length + varint_field_length(extra->kind) + extra->detail.length +
	       varint_field_length(extra->dropped_attributes) +
	       varint_field_length(extra->dropped_events) +
	       varint_field_length(extra->dropped_links);
}

uint8_t *extra_detail_write(uint8_t *to, const struct extra *extra, bool pending, uint64_t span_id)
{
	to = varint_field(to, TAG_DETAIL_STATUS, status_of(extra, pending));
	if (span_id != 0) {
		*to++ = TAG_DETAIL_SPAN_ID;
		le64_write(to, span_id);
		to += 8;
	}
	if (extra == NULL)
		return to;
	if (extra->error.length > 0) {
		to = varint_field(to, TAG_DETAIL_ERROR, extra->error.length);
		memcpy(to, extra->error.bytes, extra->error.length);
		to += extra->error.length;
	}
	to = varint_field(to, TAG_DETAIL_KIND, extra->kind);
	if (extra->detail.length > 0)
		memcpy(to, extra->detail.bytes, extra->detail.length);
	to += extra->detail.length;
	to = varint_field(to, TAG_DETAIL_DROPPED_ATTRIBUTES, extra->dropped_attributes);
	to = varint_field(to, TAG_DETAIL_DROPPED_EVENTS, extra->dropped_events);
	return varint_field(to, TAG_DETAIL_DROPPED_LINKS, extra->dropped_links);
}
