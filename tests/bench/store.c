/* waft-bench generate, put and seal: the store's write side without the daemon. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "measure.h"
#include "world.h"

static uint64_t trace_count(void)
{
	return bench_spans() / PROFILE_TREE;
}

/* ---- put --------------------------------------------------------- */

int bench_put(int argc, char **argv)
{
	struct row row = {.group = "store",
		.what = "store's thread: log read, lines, part, manifest, index; CPU a span",
		.unit = "ns"};

	if (bench_options.spans == 0)
		bench_options.spans = 1000000;
	for (int snapshots = 0; snapshots < 2; snapshots++) {
		struct world_plan plan = {
			.traces_in_all = trace_count(), .snapshots = snapshots == 1};
		struct samples rounds = {0};

		if (argc > 1 && strcmp(argv[1], snapshots ? "plain" : "snapshots") == 0)
			continue;
		for (unsigned int i = 0; i < bench_options.rounds; i++) {
			char *directory = bench_directory_new();
			struct world world;

			world_open(directory, &world);
			world_fill(&world, &plan, plan.traces_in_all);
			samples_add(
				&rounds, world.put_cpu_ns / (double)(world.traces * PROFILE_TREE));
			world_close(&world);
			bench_directory_remove(directory);
			free(directory);
		}
		row.profile = snapshots ? "PS" : "P";
		row_print(&row, &rounds);
		samples_done(&rounds);
	}
	return EXIT_SUCCESS;
}

/* ---- seal ------------------------------------------------------------------- */

/* Bytes of the files below path whose names end so. */
static uint64_t files_bytes(const char *path, const char *ending)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	uint64_t bytes = 0;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		size_t length = strlen(entry->d_name);
		struct stat st;

		if (length < strlen(ending) ||
			strcmp(entry->d_name + length - strlen(ending), ending) != 0)
			continue;
		if (fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)st.st_size;
	}
	if (directory != NULL)
		closedir(directory);
	return bytes;
}

/* What sealed files and their index take; goals: with what they are held against. */
static void rows_sealed(const char *profile, int level, const struct world_sealed *sealed,
	const char *directory, bool goals)
{
	struct row row = {.group = "store", .profile = profile};
	double spans = (double)sealed->spans;
	char index[4096], note[96];

	snprintf(note, sizeof(note), "%.0f B a span before, level %d, parts of %.0f spans",
		(double)sealed->text_bytes / spans, level, spans / (double)sealed->files);
	row.note = note;
	row.what = level == SEAL_LEVEL ? "sealed, a span" : "sealed for lack of room, a span";
	row.unit = "B";
	if (goals) {
		row.must = (struct goal){"<= 45 B", 45};
		row.aim = (struct goal){"<= 30 B", 30};
	}
	row_print_one(&row, (double)sealed->file_bytes / spans);
	if (goals) {
		row.must = (struct goal){"<= 6 B", 6};
		row.aim = (struct goal){"<= 4 B", 4};
	}
	snprintf(index, sizeof(index), "%s/.waft/index", directory);
	row.what = "index of sealed files, a span";
	row.note = "8 spans a run";
	row_print_one(&row, (double)files_bytes(index, ".pack") / spans);
	row.must = row.aim = (struct goal){0};
	row.what = "sealing, CPU a span";
	row.note = note;
	row.unit = "ns";
	row_print_one(&row, sealed->cpu_ns / spans);
}

static void rows_seal(const char *profile, int level)
{
	struct world_sealed sealed = {0};
	struct world_plan plan = {.traces_in_all = trace_count(),
		.snapshots = strcmp(profile, "PS") == 0,
		.level = level,
		.sealed = &sealed};
	char *directory = bench_directory_new();
	struct world world;

	world_open(directory, &world);
	world_fill(&world, &plan, plan.traces_in_all);
	world_close(&world);
	rows_sealed(profile, level, &sealed, directory, false);
	bench_directory_remove(directory);
	free(directory);
}

int bench_seal(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (bench_options.spans == 0)
		bench_options.spans = 1000000;
	rows_seal("P", SEAL_LEVEL);
	rows_seal("PS", SEAL_LEVEL);
	rows_seal("PS", SEAL_LEVEL_PRESSED);
	return EXIT_SUCCESS;
}

/* ---- generate --------------------------------------------------------------- */

int bench_generate(int argc, char **argv)
{
	struct world_sealed sealed = {0};
	struct world_plan plan = {.traces_in_all = trace_count(),
		.snapshots = bench_has_word(argc, argv, "snapshots"),
		.level = bench_has_word(argc, argv, "pressed") ? SEAL_LEVEL_PRESSED : SEAL_LEVEL,
		.sealed = bench_has_word(argc, argv, "plain") ? NULL : &sealed};
	struct world world;

	if (argc < 2) {
		fputs("waft-bench: generate needs a directory\n", stderr);
		return 2;
	}
	world_open(argv[1], &world);
	world_fill(&world, &plan, plan.traces_in_all);
	world_close(&world);
	if (sealed.spans > 0)
		rows_sealed(plan.snapshots ? "PS" : "P", plan.level, &sealed, argv[1], true);
	return EXIT_SUCCESS;
}
