/* See json.h. */
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <waft/waft.h>

#include "snapshot.h"
#include "wire.h"

bool json_valid(const struct waft_json *json)
{
	return json->whole && !json->failed && !json->text.failed && json->depth == 0;
}

/* What stands before a value; false when none may stand here. */
static bool value_begin(struct waft_json *json)
{
	bool in_object = json->depth > 0 && (json->objects & 1) != 0;

	if (json->failed)
		return false;
	if (json->depth == 0 ? json->whole : in_object && !json->key) {
		json->failed = true;
		return false;
	}
	if (json->depth > 0 && !in_object) {
		if ((json->filled & 1) != 0)
			buffer_add_byte(&json->text, ',');
		json->filled |= 1;
	}
	json->key = false;
	json->whole = json->depth == 0;
	return true;
}

static void level_begin(struct waft_json *json, bool object)
{
	if (json == NULL || !value_begin(json))
		return;
	if (json->depth == WIRE_JSON_DEPTH_LIMIT) {
		json->failed = true;
		return;
	}
	json->objects = json->objects << 1 | object;
	json->filled <<= 1;
	json->depth++;
	json->whole = false;
	buffer_add_byte(&json->text, object ? '{' : '[');
}

static void level_end(struct waft_json *json, bool object)
{
	if (json == NULL || json->failed)
		return;
	if (json->depth == 0 || ((json->objects & 1) != 0) != object || json->key) {
		json->failed = true;
		return;
	}
	json->objects >>= 1;
	json->filled >>= 1;
	json->depth--;
	json->whole = json->depth == 0;
	buffer_add_byte(&json->text, object ? '}' : ']');
}

void waft_json_object(struct waft_json *json)
{
	level_begin(json, true);
}

void waft_json_end_object(struct waft_json *json)
{
	level_end(json, true);
}

void waft_json_array(struct waft_json *json)
{
	level_begin(json, false);
}

void waft_json_end_array(struct waft_json *json)
{
	level_end(json, false);
}

void waft_json_key(struct waft_json *json, const char *key)
{
	if (json == NULL || json->failed)
		return;
	if (key == NULL || json->depth == 0 || (json->objects & 1) == 0 || json->key) {
		json->failed = true;
		return;
	}
	if ((json->filled & 1) != 0)
		buffer_add_byte(&json->text, ',');
	json->filled |= 1;
	json->key = true;
	snapshot_string(&json->text, key, strlen(key));
	buffer_add_byte(&json->text, ':');
}

void waft_json_string_n(struct waft_json *json, const char *text, size_t length_bytes)
{
	if (text == NULL)
		waft_json_null(json);
	else if (json != NULL && value_begin(json))
		snapshot_string(&json->text, text, length_bytes);
}

void waft_json_string(struct waft_json *json, const char *text)
{
	waft_json_string_n(json, text, text != NULL ? strlen(text) : 0);
}

void waft_json_raw(struct waft_json *json, const char *text, size_t length_bytes)
{
	if (json == NULL || text == NULL || !value_begin(json))
		return;
	buffer_add(&json->text, text, length_bytes == SIZE_MAX ? strlen(text) : length_bytes);
}

static void word_add(struct waft_json *json, const char *text)
{
	if (json != NULL && value_begin(json))
		buffer_add_text(&json->text, text);
}

void waft_json_int(struct waft_json *json, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	word_add(json, text);
}

size_t json_double_format(double value, char ret_text[JSON_NUMBER_BYTES])
{
	char text[JSON_NUMBER_BYTES];
	size_t length = 0;
	bool point = false;

	if (!isfinite(value)) {
		memcpy(ret_text, "null", 5);
		return 4;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	/* Whatever the locale writes between the digits is the point. */
	for (const char *at = text; *at != '\0'; at++) {
		if ((*at >= '0' && *at <= '9') || strchr("+-e", *at) != NULL) {
			ret_text[length++] = *at;
			point = false;
		} else if (!point) {
			ret_text[length++] = '.';
			point = true;
		}
	}
	ret_text[length] = '\0';
	return length;
}

void waft_json_double(struct waft_json *json, double value)
{
	char text[JSON_NUMBER_BYTES];

	json_double_format(value, text);
	word_add(json, text);
}

void waft_json_bool(struct waft_json *json, bool value)
{
	word_add(json, value ? "true" : "false");
}

void waft_json_null(struct waft_json *json)
{
	word_add(json, "null");
}
