/*
 * json_text.h: JSON between text and jansson's values, with the engine's
 * numbers. Pure; values are not shared between threads.
 *
 * jansson refuses a whole document for one number beyond double's range; here
 * such a number is infinite, so that the rules can say which number it was.
 */
#ifndef ENGINE_JSON_TEXT_H
#define ENGINE_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "fault.h"
#include "text.h"

static inline void json_unref(json_t **value)
{
	json_decref(*value);
}
#define JSON_AUTO __attribute__((cleanup(json_unref))) json_t *

/* Reads one JSON value; of a repeated key the last counts, in the place of the
 * first. Numbers must be asked for with json_number. The caller owns the value.
 * 0, or a negative code with what is wrong and where in fault (FAULT_FORM). */
int json_read(const char *text, size_t length_bytes, json_t **ret_value, struct fault *fault)
	__attribute__((warn_unused_result));

/* True, and the double, when value is a number that json_read made. */
bool json_number(const json_t *value, double *ret_number);

/* What Python calls the value's type: NoneType, bool, int, float, str, … */
const char *json_type_name(const json_t *value);

/* A JSON text written piece by piece, compact. Zero-initialise; a failed
 * allocation shows when the text is taken (text_take(&out->text)). */
struct json_out {
	struct text text;
	bool after_value; /* a comma is due before the next value or key */
};

void json_out_object(struct json_out *out);
void json_out_end_object(struct json_out *out);
void json_out_array(struct json_out *out);
void json_out_end_array(struct json_out *out);
void json_out_key(struct json_out *out, const char *key);
/* string is UTF-8. */
void json_out_string(struct json_out *out, const char *string, size_t length_bytes);
void json_out_integer(struct json_out *out, long long value);
void json_out_bool(struct json_out *out, bool value);
void json_out_null(struct json_out *out);
/* The shortest form that reads back the same; not finite: 1e999, as JSON has no
 * infinity (a nan is written so, too). */
void json_out_number(struct json_out *out, double value);
/* A whole value; keys in their order. */
void json_out_value(struct json_out *out, const json_t *value);

#endif
