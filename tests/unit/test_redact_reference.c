/*
 * Which texts hold a name, by each way there is, held against words put together as
 * redact.h says it: of random texts, and of names at each place of texts of each length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "redact.h"

enum { TEXT_MOST = 300, NAMES = 10 };

/* As they are written together; the last two are of the operator's. */
static const char *const names[NAMES] = {"password", "passwd", "secret", "token", "authorization",
	"apikey", "cookie", "privatekey", "ssn", "pin4"};
static const char own_names[] = "SSN,pin4";

/* ---- The reference -------------------------------------------------------------- */

enum letter { SEPARATOR, LOWER, UPPER, DIGIT };

struct letters {
	size_t count;
	enum letter letters[TEXT_MOST];
	char lower[TEXT_MOST];
};

static void letter_add(struct letters *letters, unsigned int c)
{
	enum letter letter = SEPARATOR;

	if (c >= 'A' && c <= 'Z')
		letter = UPPER;
	else if ((c >= 'a' && c <= 'z') || c >= 0x80)
		letter = LOWER;
	else if (c >= '0' && c <= '9')
		letter = DIGIT;
	letters->letters[letters->count] = letter;
	letters->lower[letters->count++] = (char)(letter == UPPER ? c + 0x20 : c);
}

/* The characters of a text, of which a backslash is one, or begins another. */
static void letters_read(const char *text, size_t length, bool escapes, struct letters *ret)
{
	ret->count = 0;
	for (size_t at = 0; at < length; at++) {
		char digits[5] = "";
		char *end;
		unsigned long c;

		if (!escapes || text[at] != '\\' || at + 1 == length) {
			letter_add(ret, (unsigned char)text[at]);
			continue;
		}
		if (text[at + 1] != 'u') {
			letter_add(ret, ' ');
			at++;
			continue;
		}
		memcpy(digits, text + at + 2, length - at - 2 < 4 ? length - at - 2 : 4);
		c = strtoul(digits, &end, 16);
		if (strspn(digits, "0123456789abcdefABCDEF") < 4) {
			letter_add(ret, '\\');
			continue;
		}
		letter_add(ret, c < 0x80 ? (unsigned int)c : 0x80);
		at += 5;
	}
}

static bool word_begins(const struct letters *letters, size_t at)
{
	enum letter before = at > 0 ? letters->letters[at - 1] : SEPARATOR;
	enum letter next = at + 1 < letters->count ? letters->letters[at + 1] : SEPARATOR;

	if (letters->letters[at] == SEPARATOR)
		return false;
	return before == SEPARATOR ||
	       (letters->letters[at] == UPPER && (before != UPPER || next == LOWER));
}

/* Words from one that begins at `from` on, written together: whether after one of them they
 * are a name. */
static bool words_are_name(const struct letters *letters, size_t from)
{
	char together[TEXT_MOST];
	size_t length = 0;

	for (size_t at = from; at <= letters->count; at++) {
		bool end = at == letters->count || letters->letters[at] == SEPARATOR ||
			   word_begins(letters, at);

		for (size_t i = 0; end && i < NAMES; i++)
			if (strlen(names[i]) == length && memcmp(names[i], together, length) == 0)
				return true;
		if (at < letters->count && letters->letters[at] != SEPARATOR)
			together[length++] = letters->lower[at];
	}
	return false;
}

static bool reference_holds(const char *text, size_t length)
{
	struct letters letters;

	for (int escapes = 0; escapes < 2; escapes++) {
		letters_read(text, length, escapes != 0, &letters);
		for (size_t at = 0; at < letters.count; at++)
			if (word_begins(&letters, at) && words_are_name(&letters, at))
				return true;
	}
	return false;
}

/* ---- Against it ------------------------------------------------------------------- */

static const enum scan_width widths[] = {SCAN_NARROW, SCAN_WIDE, SCAN_WIDEST};

/* The end of a page behind which there is none. */
static char *page_end(void)
{
	static char *end;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (end == NULL) {
		char *memory = mmap(
			NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_true(memory != MAP_FAILED);
		assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);
		end = memory + page;
	}
	return end;
}

/* One text, by all widths; whether it holds a name. */
static bool all_agree(const char *given, size_t length)
{
	struct scan scan = redact_scan;
	bool expected = reference_holds(given, length);
	char copied[TEXT_MOST + SCAN_COPY_ROOM];
	char *text = page_end() - length;

	memcpy(text, given, length);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		size_t room = (length + SCAN_COPY_ROOM - 1) / SCAN_COPY_ROOM * SCAN_COPY_ROOM;
		enum scan_seen seen;

		redact_scan = scan;
		scan_limit(&redact_scan, widths[i]);
		if (redact_text_holds(text, length) != expected)
			fail_msg("by %d: %.*s: it %s", widths[i], (int)length, text,
				expected ? "does" : "does not");
		if (!redact_can_copy(length))
			continue;
		copied[room] = '!';
		seen = redact_copy(copied, text, length);
		assert_memory_equal(copied, text, length);
		assert_int_equal(copied[room], '!');
		if (expected && seen != SCAN_SUSPECT)
			fail_msg("by %d: %.*s: copied it does not", widths[i], (int)length, text);
	}
	redact_scan = scan;
	return expected;
}

static uint64_t draw(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

/* Of characters that make and break words, and parts of names. */
static void test_random(void **state)
{
	static const char *const parts[] = {"pass", "word", "passwd", "sec", "ret", "to", "ken",
		"author", "ization", "api", "key", "coo", "kie", "private", "ssn", "ss", "pin", "4",
		"T", "oken", "K", "PASS", "Word", "a", "n", "Z", "9", "_", "-", ".", " ", "\"",
		"\\", "\\n", "\\u0074", "\\u005f", "\\u00e9", "\\u00", "\xc3\xa9", "\xff", "@", "`",
		"[", "{"};
	uint64_t seed = 20260109;
	unsigned int held = 0;

	(void)state;
	assert_int_equal(redact_set_names(own_names), 0);
	for (int i = 0; i < 60000; i++) {
		char text[TEXT_MOST + 16];
		size_t most = draw(&seed) % (i % 4 == 0 ? TEXT_MOST : 40);
		size_t length = 0;

		while (length < most) {
			const char *part = parts[draw(&seed) % (sizeof(parts) / sizeof(parts[0]))];

			/* Most of a long text is of no name, or each would hold one. */
			if (i % 4 == 0 && draw(&seed) % 16 != 0)
				part = "x";
			memcpy(text + length, part, strlen(part));
			length += strlen(part);
		}
		held += all_agree(text, length > TEXT_MOST ? TEXT_MOST : length);
	}
	assert_in_range(held, 3000, 57000);
}

/* A name at each place of a text of each length, so that each is cut by the ends of blocks
 * in each way, in small and capital letters, and with a separator within. */
static void test_places(void **state)
{
	static const char *const forms[] = {"Password", "PASSWD", "sec-ret", "TOKEN",
		"authorization", "apiKey", "co.okie", "private\"key", "ssn", "s s n", "Pin4",
		"p-a-s-s-w-d"};
	static const char fills[] = {'.', '\\', 'X', '\xc3'};
	char text[TEXT_MOST];
	uint64_t seed = 4;

	(void)state;
	assert_int_equal(redact_set_names(own_names), 0);
	for (size_t length = 0; length <= TEXT_MOST; length++) {
		for (size_t at = 0; at < length; at++) {
			const char *form =
				forms[(length + at) % (sizeof(forms) / sizeof(forms[0]))];
			char fill = fills[draw(&seed) % sizeof(fills)];
			size_t bytes = strlen(form) < length - at ? strlen(form) : length - at;
			bool held;
			bool whole = bytes == strlen(form) && (fill == '.' || fill == '\\');

			memset(text, fill, length);
			memcpy(text + at, form, bytes);
			held = all_agree(text, length);
			if (whole && !held)
				fail_msg("%.*s: no name", (int)length, text);
		}
		memset(text, 'x', length);
		assert_false(all_agree(text, length));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
