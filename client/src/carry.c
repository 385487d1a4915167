/* See carry.h. */
#include "carry.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "cursor.h"
#include "redact.h"
#include "text.h"
#include "utf8.h"

static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct slice text)
{
	for (size_t i = 0; i < text.length; i++)
		if (!is_token_char(text.data[i]))
			return false;
	return text.length > 0;
}

/* ---- tracestate (W3C Trace Context 2, 3.3) ------------------------------ */

static bool is_state_key(const uint8_t *key, size_t length)
{
	if (length == 0 || length > 256)
		return false;
	for (size_t i = 0; i < length; i++) {
		uint8_t c = key[i];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			continue;
		if (i == 0 || c == '\0' || strchr("_-*/@", c) == NULL)
			return false;
	}
	return true;
}

static bool is_state_member(struct slice member)
{
	const uint8_t *equals = memchr(member.data, '=', member.length);
	size_t key;

	if (equals == NULL)
		return false;
	key = (size_t)(equals - member.data);
	if (!is_state_key(member.data, key) || member.length - key - 1 > 256 ||
		member.length == key + 1)
		return false;
	for (size_t i = key + 1; i < member.length; i++)
		if (member.data[i] < 0x20 || member.data[i] > 0x7e || member.data[i] == ',' ||
			member.data[i] == '=')
			return false;
	return true;
}

static bool state_has_key(const char *state, size_t length, struct slice member)
{
	const uint8_t *equals = memchr(member.data, '=', member.length);
	size_t key = equals != NULL ? (size_t)(equals - member.data) + 1 : member.length;
	size_t at = 0;

	while (at < length) {
		const char *comma = memchr(state + at, ',', length - at);
		size_t end = comma != NULL ? (size_t)(comma - state) : length;

		if (end - at >= key && memcmp(state + at, member.data, key) == 0)
			return true;
		at = end + 1;
	}
	return false;
}

/* A tracestate that is too long for us (W3C Trace Context 2, 3.3.1.5): without its
 * last members of more than 128 characters, then without its last ones. */
static void state_shrink(struct buffer *out)
{
	while (out->length > CARRY_STATE_BYTES) {
		size_t large = SIZE_MAX;
		size_t last = 0;
		size_t end;

		for (size_t at = 0; at < out->length; at = end + 1) {
			const uint8_t *comma = memchr(out->bytes + at, ',', out->length - at);

			end = comma != NULL ? (size_t)(comma - out->bytes) : out->length;
			last = at;
			if (end - at > CARRY_STATE_LARGE)
				large = at;
		}
		if (large != SIZE_MAX)
			last = large;
		end = last;
		while (end < out->length && out->bytes[end] != ',')
			end++;
		if (end < out->length)
			end++; /* the comma behind it; of the last one, that before it */
		else if (last > 0)
			last--;
		memmove(out->bytes + last, out->bytes + end, out->length - end);
		out->length -= end - last;
	}
}

/* Into out without spaces and empty members; false: invalid as a whole. */
static bool state_copy(struct buffer *out, const char *state)
{
	unsigned int members = 0;

	while (*state != '\0') {
		size_t length = strcspn(state, ",");
		struct slice member = text_trim(state, length);

		state += length;
		state += *state == ',';
		if (member.length == 0)
			continue;
		if (!is_state_member(member) || ++members > CARRY_STATE_MEMBERS ||
			state_has_key((const char *)out->bytes, out->length, member))
			return false;
		if (out->length > 0)
			buffer_add_byte(out, ',');
		buffer_add(out, member.data, member.length);
	}
	if (!out->failed)
		state_shrink(out);
	return true;
}

/* ---- baggage (W3C Baggage, 3.3) ----------------------------------------- */

struct member {
	struct slice key;
	struct slice value; /* percent-encoded */
};

/* Properties (behind a semicolon) go along but mean nothing here. */
static bool member_parse(struct slice text, struct member *ret_member)
{
	const uint8_t *equals = memchr(text.data, '=', text.length);
	const uint8_t *semicolon;
	size_t key;
	size_t value;

	if (equals == NULL)
		return false;
	key = (size_t)(equals - text.data);
	semicolon = memchr(equals, ';', text.length - key);
	value = semicolon != NULL ? (size_t)(semicolon - equals) - 1 : text.length - key - 1;
	ret_member->key = text_trim((const char *)text.data, key);
	ret_member->value = text_trim((const char *)equals + 1, value);
	for (size_t i = 0; i < ret_member->value.length; i++) {
		uint8_t c = ret_member->value.data[i];

		if (c <= 0x20 || c >= 0x7f || c == '"' || c == ',' || c == '\\')
			return false;
	}
	for (size_t i = key; i < text.length; i++)
		if (text.data[i] < 0x20 || text.data[i] >= 0x7f)
			return false;
	return is_token(ret_member->key);
}

/* The next member of a header that is one; false: there is none any more. */
static bool member_next(const char **baggage, struct slice *ret_text, struct member *ret_member)
{
	while (**baggage != '\0') {
		size_t length = strcspn(*baggage, ",");

		*ret_text = text_trim(*baggage, length);
		*baggage += length;
		*baggage += **baggage == ',';
		if (ret_text->length > 0 && member_parse(*ret_text, ret_member))
			return true;
	}
	return false;
}

static void percent_encode(struct buffer *out, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c > 0x20 && c < 0x7f && strchr("\",;\\%", c) == NULL) {
			buffer_add_byte(out, (char)c);
		} else {
			buffer_add_byte(out, '%');
			buffer_add_byte(out, digits[c >> 4]);
			buffer_add_byte(out, digits[c & 15]);
		}
	}
}

/* Appends the valid members of a header but those with the key `without`. */
static void baggage_copy(struct buffer *out, const char *baggage, const char *without)
{
	unsigned int members = out->length > 0;
	struct slice text;
	struct member member;

	for (size_t i = 0; i < out->length; i++)
		members += out->bytes[i] == ',';
	while (member_next(&baggage, &text, &member)) {
		if (without != NULL && slice_equal(member.key, slice_of_text(without)))
			continue;
		if (members == CARRY_BAGGAGE_MEMBERS ||
			out->length + text.length + (out->length > 0) > CARRY_BAGGAGE_BYTES)
			continue;
		members++;
		if (out->length > 0)
			buffer_add_byte(out, ',');
		buffer_add(out, text.data, text.length);
	}
}

/* ---- What spans say of it ----------------------------------------------- */

static void varint_add(struct buffer *out, uint64_t value)
{
	while (value >= 0x80) {
		buffer_add_byte(out, (char)(value | 0x80));
		value >>= 7;
	}
	buffer_add_byte(out, (char)value);
}

/* Trace.attributes: a KeyValue with a text. */
static void attribute_add(struct buffer *out, struct slice key, struct slice value)
{
	size_t text = 1 + varint_length(value.length) + value.length;
	size_t key_field = 1 + varint_length(key.length) + key.length;

	buffer_add_byte(out, TAG_TRACE_ATTRIBUTES);
	varint_add(out, key_field + 1 + varint_length(text) + text);
	buffer_add_byte(out, TAG_KEY_VALUE_KEY);
	varint_add(out, key.length);
	buffer_add(out, key.data, key.length);
	buffer_add_byte(out, TAG_KEY_VALUE_VALUE);
	varint_add(out, text);
	buffer_add_byte(out, TAG_VALUE_TEXT);
	varint_add(out, value.length);
	buffer_add(out, value.data, value.length);
}

/* A member's value as its spans show it: no secrets, and U+FFFD for what is no
 * UTF-8 (W3C Baggage 3.3.1.3). */
static void member_show(struct buffer *out, const struct member *member, struct buffer *spare)
{
	buffer_clear(spare, SIZE_MAX);
	buffer_clear(out, SIZE_MAX);
	if (redact_key_matches((const char *)member->key.data, member->key.length)) {
		buffer_add_text(out, REDACT_TEXT);
		return;
	}
	if (buffer_reserve(spare, member->value.length + 1))
		spare->length = text_percent_decode((char *)spare->bytes,
			(const char *)member->value.data, member->value.length);
	if (!spare->failed && buffer_reserve(out, 3 * spare->length + 1))
		out->length = utf8_repair(spare->bytes, spare->length, out->bytes);
	out->failed |= spare->failed;
}

static void trace_encode(struct buffer *out, const struct buffer *state, const char *baggage)
{
	struct buffer value = {0};
	struct buffer spare = {0};
	struct slice text;
	struct member member;

	if (state->length > 0) {
		buffer_add_byte(out, TAG_TRACE_STATE);
		varint_add(out, state->length);
		buffer_add(out, state->bytes, state->length);
	}
	while (member_next(&baggage, &text, &member)) {
		member_show(&value, &member, &spare);
		attribute_add(out, member.key, slice_of(value.bytes, value.length));
		out->failed |= value.failed;
	}
	buffer_done(&value);
	buffer_done(&spare);
}

static struct waft_carry *carry_make(const struct buffer *state, struct buffer *baggage)
{
	struct buffer trace = {0};
	struct waft_carry *carry = NULL;

	buffer_add_byte(baggage, '\0');
	if (!baggage->failed)
		trace_encode(&trace, state, (const char *)baggage->bytes);
	if (!baggage->failed && !state->failed && !trace.failed)
		carry = malloc(sizeof(*carry) + state->length + baggage->length + trace.length + 2);
	if (carry != NULL) {
		carry->references = 1;
		carry->state_length = (uint32_t)state->length;
		carry->baggage_length = (uint32_t)baggage->length - 1;
		carry->trace_length = (uint32_t)trace.length;
		if (state->length > 0)
			memcpy(carry->text, state->bytes, state->length);
		carry->text[state->length] = '\0';
		memcpy(carry->text + state->length + 1, baggage->bytes, baggage->length);
		if (trace.length > 0)
			memcpy((uint8_t *)carry->text + state->length + 1 + baggage->length,
				trace.bytes, trace.length);
	}
	buffer_done(&trace);
	return carry;
}

struct waft_carry *carry_new(const char *state, const char *baggage)
{
	struct buffer state_text = {0};
	struct buffer baggage_text = {0};
	struct waft_carry *carry = NULL;

	if (state != NULL && !state_copy(&state_text, state))
		buffer_clear(&state_text, 0);
	if (baggage != NULL)
		baggage_copy(&baggage_text, baggage, NULL);
	if (state_text.length > 0 || baggage_text.length > 0)
		carry = carry_make(&state_text, &baggage_text);
	buffer_done(&state_text);
	buffer_done(&baggage_text);
	return carry;
}

struct waft_carry *carry_add(const struct waft_carry *carry, const char *key, const char *value)
{
	struct buffer state = {0};
	struct buffer baggage = {0};
	struct buffer member = {0};
	struct waft_carry *added = NULL;

	if (!is_token(slice_of_text(key)))
		return NULL;
	buffer_add_text(&member, key);
	buffer_add_byte(&member, '=');
	percent_encode(&member, value);
	buffer_add_byte(&member, '\0');
	if (carry != NULL) {
		buffer_add(&state, carry_state(carry), carry->state_length);
		baggage_copy(&baggage, carry_baggage(carry), key);
	}
	if (!member.failed) {
		size_t before = baggage.length;

		baggage_copy(&baggage, (const char *)member.bytes, NULL);
		if (baggage.length > before)
			added = carry_make(&state, &baggage);
	}
	buffer_done(&state);
	buffer_done(&baggage);
	buffer_done(&member);
	return added;
}

struct waft_carry *carry_retain(struct waft_carry *carry)
{
	if (carry != NULL)
		__atomic_add_fetch(&carry->references, 1, __ATOMIC_RELAXED);
	return carry;
}

void carry_release(struct waft_carry *carry)
{
	if (carry != NULL && __atomic_sub_fetch(&carry->references, 1, __ATOMIC_ACQ_REL) == 0)
		free(carry);
}
