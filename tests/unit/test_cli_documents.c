/* Tests of help.c and document.c: nothing in the table is left out. */
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_options(const char *document, const struct option_group *group)
{
	struct strbuf name = {0};

	for (size_t i = 0; i < group->count; i++) {
		strbuf_clear(&name);
		strbuf_string(&name, group->options[i].name);
		if (strstr(document, name.bytes) == NULL)
			fail_msg("--%s is missing", name.bytes);
	}
	strbuf_done(&name);
}

/* Roff writes hyphens as \-. */
static char *without_backslashes(const char *text)
{
	char *copy = strdup(text);
	char *to = copy;

	assert_non_null(copy);
	for (; *text != '\0'; text++) {
		if (*text != '\\')
			*to++ = *text;
	}
	*to = '\0';
	return copy;
}

static void every_document_has_every_option(void **state)
{
	static void (*const documents[])(struct strbuf *) = {
		document_man, document_bash, document_zsh, document_fish};

	(void)state;
	for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
		struct strbuf text = {0};
		char *document;

		documents[i](&text);
		assert_false(text.failed);
		document = without_backslashes(text.bytes);
		expect_options(document, &global_options);
		for (size_t j = 0; j < command_count; j++) {
			const char *space = strchr(commands[j].name, ' ');

			assert_non_null(
				strstr(document, space != NULL ? space + 1 : commands[j].name));
			for (size_t k = 0; commands[j].groups[k] != NULL; k++)
				expect_options(document, commands[j].groups[k]);
		}
		free(document);
		strbuf_done(&text);
	}
}

static void help_fits_80_columns(void **state)
{
	struct strbuf text = {0};

	(void)state;
	help_overview(&text, "", false);
	for (size_t i = 0; i < command_count; i++)
		help_command(&text, &commands[i], false);
	assert_false(text.failed);
	for (char *line = strtok(text.bytes, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		if (strbuf_columns(line, strlen(line)) > 80)
			fail_msg("too long: %s", line);
	}
	strbuf_done(&text);
}

static void help_lists_the_commands_of_a_group(void **state)
{
	struct strbuf text = {0};

	(void)state;
	help_overview(&text, "trace", false);
	assert_non_null(strstr(text.bytes, "\n  trace list "));
	assert_non_null(strstr(text.bytes, "\n  trace tail "));
	assert_null(strstr(text.bytes, "\n  stats "));
	strbuf_done(&text);
}

/* Two options of one name in one command would shadow each other. */
static void names_are_unique_in_a_command(void **state)
{
	(void)state;
	for (size_t i = 0; i < command_count; i++) {
		const struct option_group *groups[5] = {&global_options};
		size_t count = 1;

		for (size_t j = 0; commands[i].groups[j] != NULL; j++)
			groups[count++] = commands[i].groups[j];
		for (size_t a = 0; a < count; a++) {
			for (size_t b = 0; b < groups[a]->count; b++) {
				size_t seen = 0;

				for (size_t c = 0; c < count; c++) {
					for (size_t d = 0; d < groups[c]->count; d++)
						seen += strcmp(groups[a]->options[b].name,
								groups[c]->options[d].name) == 0;
				}
				assert_int_equal(seen, 1);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_document_has_every_option),
		cmocka_unit_test(help_fits_80_columns),
		cmocka_unit_test(help_lists_the_commands_of_a_group),
		cmocka_unit_test(names_are_unique_in_a_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
