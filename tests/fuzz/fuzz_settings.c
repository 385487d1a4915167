/*
 * The configuration file and the command line: any text is taken or refused with a
 * reason. The input is the file; behind a byte 1, words of the command line, one a line,
 * come first, up to an empty one, and then the file and one of conf.d/ beside it.
 */
#include "settings.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS = 40, PATH_BYTES = 64 };

static char config[PATH_BYTES], beside[PATH_BYTES];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void put_file(const char *path, const char *text, size_t length)
{
	FILE *file = fopen(path, "we");

	must(file != NULL && fwrite(text, 1, length, file) == length && fclose(file) == 0);
}

static void remove_files(void)
{
	char path[PATH_BYTES];

	(void)unlink(config);
	(void)unlink(beside);
	for (const char **name = (const char *[]){".hidden.conf", "conf", "other.txt", NULL};
		*name != NULL; name++) {
		snprintf(path, sizeof(path), "%.*s/%s", (int)(strrchr(beside, '/') - beside),
			beside, *name);
		(void)unlink(path);
	}
	*strrchr(beside, '/') = '\0';
	(void)rmdir(beside);
	*strrchr(config, '/') = '\0';
	(void)rmdir(config);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char directory[] = "/tmp/waft-fuzz-settings.XXXXXX";
	char path[PATH_BYTES];

	(void)argc;
	(void)argv;
	must(mkdtemp(directory) != NULL);
	snprintf(config, sizeof(config), "%s/a.conf", directory);
	snprintf(path, sizeof(path), "%s/conf.d", directory);
	must(mkdir(path, 0700) == 0);
	snprintf(beside, sizeof(beside), "%s/conf.d/b.conf", directory);
	for (const char **name = (const char *[]){".hidden.conf", "conf", "other.txt", NULL};
		*name != NULL; name++) {
		snprintf(path, sizeof(path), "%s/conf.d/%s", directory, *name);
		put_file(path, "no setting", 10);
	}
	must(atexit(remove_files) == 0);
	return 0;
}

/* The words, one a line, up to an empty one; returns what is behind them. */
static char *words_of(char *text, char *words[WORDS], int *ret_count)
{
	int count = 0;

	words[count++] = (char *)"waft-collectord";
	while (*text != '\0' && *text != '\n' && count < WORDS - 1) {
		char *end = strchrnul(text, '\n');

		/* The file there is. */
		words[count++] = strncmp(text, "@", 1) == 0 ? config : text;
		text = *end == '\0' ? end : end + 1;
		*end = '\0';
	}
	words[count] = NULL;
	*ret_count = count;
	return text;
}

static void load(char *text)
{
	struct settings settings;
	struct settings_error error = {""};
	enum settings_result result;
	char *words[WORDS];
	int count;
	char *file = words_of(text, words, &count);
	char *second = strstr(file, "\n\n");
	int status;

	put_file(config, file, second != NULL ? (size_t)(second - file) : strlen(file));
	if (second != NULL)
		put_file(beside, second, strlen(second));
	else
		(void)unlink(beside);
	status = settings_load(count, words,
		text[0] == 'n' ? "/nowhere/at/all" : (text[0] == '0' ? NULL : config), &settings,
		&result, &error);
	must(status >= 0 || error.text[0] != '\0');
	if (status < 0)
		return;
	(void)settings_level_name(settings.log_level);
	settings_done(&settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings settings;
	struct settings_error error = {""};
	char *text = malloc(size + 1);

	must(text != NULL && settings_init(&settings) == 0);
	memcpy(text, data, size);
	text[size] = '\0';
	if (text[0] == 1)
		load(text + 1);
	else
		must(settings_read_text(&settings, "fuzz", text, &error) >= 0 ||
			error.text[0] != '\0');
	settings_done(&settings);
	free(text);
	return 0;
}
