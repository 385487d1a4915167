/*
 * json_text.c: see json_text.h.
 *
 * Every number is read as a real. Only when jansson reports an overflow is the
 * text rewritten, each number beyond double's range as the integer 1 or -1, and
 * read again with integers allowed: an integer then means "infinite, this sign".
 */
#include "json_text.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"

static bool is_number_byte(char c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* Skips the string whose opening quote is at start. */
static size_t string_end(const char *text, size_t length_bytes, size_t start)
{
	size_t at = start + 1;
	while (at < length_bytes && text[at] != '"')
		at += text[at] == '\\' ? 2 : 1;
	return at < length_bytes ? at + 1 : length_bytes;
}

static const char *skip_digits(const char *p)
{
	return p + strspn(p, "0123456789");
}

/* RFC 8259, section 6; *ret_real: has a fraction or an exponent. */
static bool is_json_number(const char *token, bool *ret_real)
{
	const char *p = token + (*token == '-');
	const char *whole = skip_digits(p);
	if (whole == p || (*p == '0' && whole != p + 1))
		return false;
	p = whole;
	if (*p == '.') {
		const char *fraction = skip_digits(p + 1);
		if (fraction == p + 1)
			return false;
		p = fraction;
	}
	if (*p == 'e' || *p == 'E') {
		p += p[1] == '+' || p[1] == '-' ? 2 : 1;
		const char *exponent = skip_digits(p);
		if (exponent == p)
			return false;
		p = exponent;
	}
	*ret_real = p != whole;
	return *p == '\0';
}

/* A token that is no number after all is copied as it stands, for jansson to
 * refuse. */
static void rewrite_number(struct text *out, const char *token, size_t length_bytes)
{
	struct text copy = {0};
	text_append(&copy, token, length_bytes);
	if (copy.failed) {
		out->failed = true;
		return;
	}
	bool real = false;
	bool number = is_json_number(copy.data, &real);
	if (number && isinf(number_from_c(copy.data))) {
		text_printf(out, "%lld", token[0] == '-' ? LLONG_MIN : LLONG_MAX);
	} else {
		text_append(out, token, length_bytes);
		if (number && !real)
			text_puts(out, ".0");
	}
	text_done(&copy);
}

static void rewrite_numbers(struct text *out, const char *text, size_t length_bytes)
{
	for (size_t at = 0; at < length_bytes;) {
		size_t end = at;
		if (text[at] == '"') {
			end = string_end(text, length_bytes, at);
			text_append(out, text + at, end - at);
		} else if (text[at] == '-' || (text[at] >= '0' && text[at] <= '9')) {
			while (end < length_bytes && is_number_byte(text[end]))
				end++;
			rewrite_number(out, text + at, end - at);
		} else {
			while (end < length_bytes && text[end] != '"' && !is_number_byte(text[end]))
				end++;
			end += end == at;
			text_append(out, text + at, end - at);
		}
		at = end;
	}
}

static json_t *read_with_overflow(const char *text, size_t length_bytes, json_error_t *ret_error)
{
	struct text rewritten = {0};
	rewrite_numbers(&rewritten, text, length_bytes);
	json_t *value = NULL;
	if (!rewritten.failed)
		value = json_loadb(rewritten.data, rewritten.length_bytes,
			JSON_DECODE_ANY | JSON_ALLOW_NUL, ret_error);
	text_done(&rewritten);
	return value;
}

int json_read(const char *text, size_t length_bytes, json_t **ret_value, struct fault *fault)
{
	json_error_t error = {0};
	json_t *value = json_loadb(text, length_bytes,
		JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (value == NULL && json_error_code(&error) == json_error_numeric_overflow)
		value = read_with_overflow(text, length_bytes, &error);
	if (value == NULL) {
		if (json_error_code(&error) == json_error_out_of_memory)
			return fault_memory(fault);
		/* Valid JSON, but jansson has no such keys, with JSON_ALLOW_NUL neither. */
		if (json_error_code(&error) == json_error_null_byte_in_key)
			return fault_set(fault, FAULT_FORM,
				"a key with \\u0000 in it is not supported: line %d, column %d",
				error.line, error.column);
		return fault_set(fault, FAULT_FORM, "not valid JSON: line %d, column %d: %s",
			error.line, error.column, error.text);
	}
	*ret_value = value;
	return 0;
}

bool json_number(const json_t *value, double *ret_number)
{
	if (json_is_integer(value) && json_integer_value(value) == LLONG_MAX)
		*ret_number = (double)INFINITY;
	else if (json_is_integer(value) && json_integer_value(value) == LLONG_MIN)
		*ret_number = -(double)INFINITY;
	else if (json_is_number(value))
		*ret_number = json_number_value(value);
	else
		return false;
	return true;
}

const char *json_type_name(const json_t *value)
{
	if (value == NULL)
		return "NoneType";
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "dict";
	case JSON_ARRAY:
		return "list";
	case JSON_STRING:
		return "str";
	case JSON_INTEGER:
		return "float";
	case JSON_REAL:
		/* How the number was written is not kept: a whole one is an int. */
		return json_real_value(value) == rint(json_real_value(value)) ? "int" : "float";
	case JSON_TRUE:
	case JSON_FALSE:
		return "bool";
	default:
		return "NoneType";
	}
}

/* ---- Writing ---- */

static void begin_value(struct json_out *out)
{
	if (out->after_value)
		text_putc(&out->text, ',');
	out->after_value = true;
}

static void open_container(struct json_out *out, char bracket)
{
	begin_value(out);
	text_putc(&out->text, bracket);
	out->after_value = false;
}

static void close_container(struct json_out *out, char bracket)
{
	text_putc(&out->text, bracket);
	out->after_value = true;
}

void json_out_object(struct json_out *out)
{
	open_container(out, '{');
}

void json_out_end_object(struct json_out *out)
{
	close_container(out, '}');
}

void json_out_array(struct json_out *out)
{
	open_container(out, '[');
}

void json_out_end_array(struct json_out *out)
{
	close_container(out, ']');
}

static void write_escaped(struct text *text, unsigned char c)
{
	static const char names[] = "btnvfr"; /* U+0008 to U+000D; \v is not JSON's */
	text_putc(text, '\\');
	if (c == '"' || c == '\\')
		text_putc(text, (char)c);
	else if (c >= '\b' && c <= '\r' && c != '\v')
		text_putc(text, names[c - '\b']);
	else
		text_printf(text, "u%04x", c);
}

void json_out_string(struct json_out *out, const char *string, size_t length_bytes)
{
	struct text *text = &out->text;
	begin_value(out);
	text_putc(text, '"');
	size_t plain = 0;
	for (size_t at = 0; at < length_bytes; at++) {
		unsigned char c = (unsigned char)string[at];
		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		text_append(text, string + plain, at - plain);
		write_escaped(text, c);
		plain = at + 1;
	}
	text_append(text, string + plain, length_bytes - plain);
	text_putc(text, '"');
}

void json_out_key(struct json_out *out, const char *key)
{
	json_out_string(out, key, strlen(key));
	text_putc(&out->text, ':');
	out->after_value = false;
}

void json_out_integer(struct json_out *out, long long value)
{
	begin_value(out);
	text_printf(&out->text, "%lld", value);
}

void json_out_bool(struct json_out *out, bool value)
{
	begin_value(out);
	text_puts(&out->text, value ? "true" : "false");
}

void json_out_null(struct json_out *out)
{
	begin_value(out);
	text_puts(&out->text, "null");
}

void json_out_number(struct json_out *out, double value)
{
	begin_value(out);
	char formatted[NUMBER_TEXT_SIZE];
	if (!isfinite(value))
		text_puts(&out->text, value < 0 ? "-1e999" : "1e999");
	else
		text_append(&out->text, formatted, number_format(value, formatted));
}

/* What follows recurses as deep as jansson reads, 2,048 values at most. */
/* NOLINTBEGIN(misc-no-recursion) */
/* A container that json_out_value is inside of. */
struct level {
	json_t *container;
	void *member; /* an object's next */
	size_t index; /* an array's next */
};

struct levels {
	struct level *levels;
	size_t count;
	size_t capacity;
};

static bool enter(struct levels *levels, struct json_out *out, json_t *container)
{
	if (levels->count == levels->capacity) {
		size_t capacity = levels->capacity ? levels->capacity * 2 : 16;
		struct level *grown = realloc(levels->levels, capacity * sizeof(*grown));
		if (grown == NULL) {
			out->text.failed = true;
			return false;
		}
		levels->levels = grown;
		levels->capacity = capacity;
	}
	levels->levels[levels->count++] = (struct level){
		.container = container,
		.member = json_object_iter(container), /* NULL for an array */
	};
	if (json_is_object(container))
		json_out_object(out);
	else
		json_out_array(out);
	return true;
}

/* The next value of the innermost container, its key written; NULL at its end,
 * which is written. */
static json_t *next_value(struct levels *levels, struct json_out *out)
{
	struct level *level = &levels->levels[levels->count - 1];
	json_t *value = NULL;
	if (json_is_array(level->container)) {
		value = json_array_get(level->container, level->index++);
	} else if (level->member) {
		json_out_key(out, json_object_iter_key(level->member));
		value = json_object_iter_value(level->member);
		level->member = json_object_iter_next(level->container, level->member);
	}
	if (value)
		return value;
	levels->count--;
	if (json_is_object(level->container))
		json_out_end_object(out);
	else
		json_out_end_array(out);
	return NULL;
}

static void write_scalar(struct json_out *out, const json_t *value)
{
	double number = 0;
	if (json_number(value, &number))
		json_out_number(out, number);
	else if (json_is_string(value))
		json_out_string(out, json_string_value(value), json_string_length(value));
	else if (json_is_boolean(value))
		json_out_bool(out, json_is_true(value));
	else
		json_out_null(out);
}

void json_out_value(struct json_out *out, const json_t *value)
{
	struct levels levels = {0};
	/* jansson's iterators take a json_t that they do not change. */
	json_t *at = (json_t *)value;
	do {
		if (at && (json_is_object(at) || json_is_array(at))) {
			if (!enter(&levels, out, at))
				break;
		} else if (at || levels.count == 0) {
			write_scalar(out, at);
		}
		at = levels.count ? next_value(&levels, out) : NULL;
	} while (levels.count > 0 || at);
	free(levels.levels);
}
