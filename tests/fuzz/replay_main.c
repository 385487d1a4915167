/*
 * Feeds files to a fuzzer that was built without libFuzzer.
 *
 * Every argument is a file or a directory of files; each is given once to
 * LLVMFuzzerTestOneInput. It exits with 1 if there was nothing to feed, so
 * that a corpus that went missing shows. Single-threaded.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int replay_file(const char *path, size_t size)
{
	/* malloc'ed to the exact size, so that ASan sees one byte too far. */
	uint8_t *data = malloc(size > 0 ? size : 1);
	FILE *file = fopen(path, "rb");
	int ret = -1;

	if (file == NULL || data == NULL || fread(data, 1, size, file) != size) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		goto done;
	}
	LLVMFuzzerTestOneInput(data, size);
	ret = 0;
done:
	if (file != NULL)
		fclose(file);
	free(data);
	return ret;
}

/* Returns how many files were fed, or -1. */
static int replay_directory(const char *path)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, NULL, alphasort);
	int fed = 0;

	if (count < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < count; i++) {
		char file[4096];
		struct stat st;

		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		if (fed >= 0 && stat(file, &st) == 0 && S_ISREG(st.st_mode))
			fed = replay_file(file, (size_t)st.st_size) == 0 ? fed + 1 : -1;
		free(entries[i]);
	}
	free(entries);
	return fed;
}

int main(int argc, char **argv)
{
	int total = 0;

	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		struct stat st;
		int fed = -1;

		if (stat(argv[i], &st) != 0)
			fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
		else if (S_ISDIR(st.st_mode))
			fed = replay_directory(argv[i]);
		else
			fed = replay_file(argv[i], (size_t)st.st_size) == 0 ? 1 : -1;
		if (fed < 0)
			return EXIT_FAILURE;
		total += fed;
	}
	printf("%d inputs\n", total);
	return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
