/*
 * Searching for a text: as memmem does, wherever it stands, at any length, in blocks of memory
 * that end with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text_search.h"

enum { LINES = 400, TEXT = 90 };

static void check(struct slice lines, struct slice text)
{
	bool expected = memmem(lines.data, lines.length, text.data, text.length) != NULL;

	assert_int_equal(text_stands_in(lines, text), expected);
}

/* Of few letters, so that pieces of the text stand everywhere. */
static uint8_t *random_bytes(size_t length, unsigned int letters)
{
	uint8_t *ret = malloc(length > 0 ? length : 1);

	assert_non_null(ret);
	for (size_t i = 0; i < length; i++)
		ret[i] = (uint8_t)(letters == 256 ? rand()
						  : "\"ax~"[(unsigned int)rand() % letters]);
	return ret;
}

static void as_memmem(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < 40000; i++) {
		unsigned int letters = i % 3 == 0 ? 256 : 1 + (unsigned int)rand() % 4;
		size_t length = (size_t)rand() % LINES, text_length = (size_t)rand() % TEXT;
		uint8_t *bytes, *text;

		text_length = i % 2 == 0 ? text_length : text_length % 6;
		bytes = random_bytes(length, letters);
		text = random_bytes(text_length, letters);
		check(slice_of(bytes, length), slice_of(text, text_length));
		/* Somewhere in it, often at its end. */
		if (text_length <= length) {
			size_t room = length - text_length;
			size_t at = rand() % 4 == 0 || room == 0 ? room : (size_t)rand() % room;

			if (text_length > 0)
				memcpy(bytes + at, text, text_length);
			check(slice_of(bytes, length), slice_of(text, text_length));
			check(slice_of(bytes, at + text_length - (text_length > 0)),
				slice_of(text, text_length));
		}
		free(bytes);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_memmem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
