/*
 * trace_walk.c: see trace_walk.h.
 */
#include "trace_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "screen.h"

#define WHOLE_FILE SIZE_MAX

struct walk_piece {
	int64_t max_start_ns;
	struct view_file *file; /* NULL: waiting */
	size_t block;		/* WHOLE_FILE: blocks are still to be told apart */
	bool summed;
	bool scattered_only;
	bool scattered; /* it may hold runs of scattered traces */
};

/* ---- The heap of pieces -------------------------------------------------------- */

static int push_piece(struct trace_walk *walk, struct walk_piece piece)
{
	size_t at = walk->piece_count;

	if (at == walk->piece_capacity) {
		size_t capacity = at > 0 ? at * 2 : 64;
		struct walk_piece *pieces = reallocarray(walk->pieces, capacity, sizeof(*pieces));

		if (pieces == NULL)
			return -ENOMEM;
		walk->pieces = pieces;
		walk->piece_capacity = capacity;
	}
	walk->piece_count++;
	while (at > 0 && walk->pieces[(at - 1) / 2].max_start_ns < piece.max_start_ns) {
		walk->pieces[at] = walk->pieces[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	walk->pieces[at] = piece;
	return 0;
}

static struct walk_piece pop_piece(struct trace_walk *walk)
{
	struct walk_piece top = walk->pieces[0];
	struct walk_piece last = walk->pieces[--walk->piece_count];
	size_t count = walk->piece_count;
	size_t at = 0;

	while (at * 2 + 1 < count) {
		size_t child = at * 2 + 1;

		if (child + 1 < count &&
			walk->pieces[child + 1].max_start_ns > walk->pieces[child].max_start_ns)
			child++;
		if (walk->pieces[child].max_start_ns <= last.max_start_ns)
			break;
		walk->pieces[at] = walk->pieces[child];
		at = child;
	}
	walk->pieces[at] = last;
	return top;
}

/* ---- Start ---------------------------------------------------------------------- */

/* Whether nothing of these runs is wanted but scattered traces; *ret_summed: because their sums
 * are. */
static bool is_spared(const struct trace_walk *walk, const struct view_file *file,
	const struct index_zone *zone, bool *ret_summed)
{
	*ret_summed = file != NULL && file->summed;
	if (*ret_summed)
		return (zone->flags & INDEX_UNSUMMED) == 0;
	return !index_zone_may_match(zone, &walk->question);
}

/* scattered: runs of such traces may be there. */
static int push_block(struct trace_walk *walk, struct view_file *file, size_t block,
	const struct index_zone *zone, bool sure, bool scattered)
{
	struct walk_piece piece = {.max_start_ns = zone->max_start_ns,
		.file = file,
		.block = block,
		.scattered = scattered};

	piece.scattered_only = sure && is_spared(walk, file, zone, &piece.summed);
	return piece.scattered_only && !scattered ? 0 : push_piece(walk, piece);
}

/* Whether blocks of the file may be passed over but for scattered traces. */
static bool may_spare(const struct trace_walk *walk, const struct view_file *file)
{
	const struct index_question *question = &walk->question;
	const struct filter *filter = question->filter;

	return file->summed || filter->since_ns != 0 || filter->until_ns != 0 || filter->errors ||
	       filter->min_duration_ns != 0 || question->hash_count > 0 || question->gram_count > 0;
}

static int push_blocks_of(
	struct trace_walk *walk, struct view_file *file, const uint8_t *scattered_blocks)
{
	int ret = 0;

	for (size_t block = 0; ret == 0 && block < run_list_blocks(&file->runs); block++) {
		bool sure = run_list_is_sure(&file->runs, block);
		bool scattered = scattered_any(&walk->scattered) &&
				 (!sure || scattered_in_block(scattered_blocks, block));
		struct index_zone zone;

		ret = run_list_block_zone(&file->runs, block, &zone);
		if (ret == 0)
			ret = push_block(walk, file, block, &zone, sure, scattered);
	}
	return ret;
}

static int push_blocks(struct trace_walk *walk, struct view_file *file)
{
	uint8_t *blocks = NULL;
	int ret = 0;

	if (scattered_any(&walk->scattered) && may_spare(walk, file))
		ret = scattered_blocks(&walk->scattered, &file->runs, &blocks);
	if (ret == 0)
		ret = push_blocks_of(walk, file, blocks);
	free(blocks);
	return ret == ERR_INDEX ? view_distrust(file) : ret;
}

/* Traces of runs that no index vouches for. */
static int add_scattered(struct trace_walk *walk, const struct run_array *runs)
{
	for (size_t i = 0; i < runs->count; i++) {
		int ret = scattered_add(&walk->scattered, runs->runs[i].trace_id);

		if (ret != 0)
			return ret;
	}
	return 0;
}

static int on_continuing(void *ctx, const uint8_t trace_id[16])
{
	struct trace_walk *walk = ctx;

	return scattered_add(&walk->scattered, trace_id);
}

/* Which traces are scattered, as far as this file tells. */
static int scatter_file(struct trace_walk *walk, struct view_file *file)
{
	int ret = view_runs(walk->reader, file);

	if (ret == 0)
		ret = run_list_for_each_continuing(&file->runs, on_continuing, walk);
	if (ret == ERR_INDEX)
		return view_distrust(file);
	return ret == 0 ? add_scattered(walk, &file->runs.scanned) : ret;
}

static int use_sums(struct trace_walk *walk, struct view_file *file)
{
	const struct filter *filter = walk->question.filter;
	int ret;

	file->summed = walk->sums != NULL && file->runs.pack != NULL &&
		       pack_sums_within(file->runs.pack, filter->since_ns, filter->until_ns);
	if (!file->summed)
		return 0;
	ret = walk->sums->on_file(walk->sums->ctx, file);
	return ret == ERR_INDEX ? view_distrust(file) : ret;
}

static int start_file(struct trace_walk *walk, struct view_file *file)
{
	struct index_zone zone;
	int ret = use_sums(walk, file);

	if (ret != 0 || run_list_blocks(&file->runs) == 0)
		return ret;
	if (run_list_zone(&file->runs, &zone))
		return push_block(walk, file, WHOLE_FILE, &zone,
			!file->runs.foreign && file->runs.scanned.count == 0,
			scattered_any(&walk->scattered));
	return push_blocks(walk, file);
}

int trace_walk_start(struct trace_walk *walk, struct reader *reader, const struct filter *filter)
{
	int ret;

	walk->reader = reader;
	index_question_init(&walk->question, filter);
	walk->screen = screen_new(filter);
	ret = waiting_collect(&walk->waiting, reader);
	if (ret == 0)
		ret = add_scattered(walk, &walk->waiting.runs);
	for (size_t i = 0; ret == 0 && i < reader->file_count; i++)
		ret = scatter_file(walk, reader->files[i]);
	for (size_t i = 0; ret == 0 && i * INDEX_BLOCK_RUNS < walk->waiting.runs.count; i++)
		ret = push_block(walk, NULL, i, &walk->waiting.runs.zones[i], false, true);
	for (size_t i = 0; ret == 0 && i < reader->file_count; i++)
		ret = start_file(walk, reader->files[i]);
	return ret;
}

void trace_walk_done(struct trace_walk *walk)
{
	waiting_done(&walk->waiting);
	scattered_done(&walk->scattered);
	id_map_done(&walk->met);
	free(walk->pieces);
	walk->pieces = NULL;
	screen_free(walk->screen);
	free(walk->screened);
}

/* ---- Blocks ---------------------------------------------------------------------- */

static int compare_starts(const void *left, const void *right, void *ctx)
{
	const struct index_run *runs = ctx;
	const struct index_run *a = &runs[*(const uint16_t *)left];
	const struct index_run *b = &runs[*(const uint16_t *)right];

	return (a->start_ns < b->start_ns) - (a->start_ns > b->start_ns);
}

static int load_waiting_block(struct trace_walk *walk, size_t block)
{
	const struct run_array *runs = &walk->waiting.runs;
	size_t first = block * INDEX_BLOCK_RUNS;
	size_t left = runs->count - first;

	walk->run_count = left < INDEX_BLOCK_RUNS ? left : INDEX_BLOCK_RUNS;
	memcpy(walk->runs, runs->runs + first, walk->run_count * sizeof(*walk->runs));
	walk->sure = false;
	walk->texts = UINT32_MAX;
	return 0;
}

static bool is_in_group(uint32_t groups, size_t run)
{
	return (groups >> run / PACK_GROUP_RUNS & 1) != 0;
}

/* The runs of a file's block; those that the filters of attributes deny have an empty filter.
 * *ret_texts: groups of runs that may have the text; it may be on another span, so a trace of
 * several runs is not ruled out by that. */
static int read_file_block(struct trace_walk *walk, const struct walk_piece *piece,
	struct index_run runs[INDEX_BLOCK_RUNS], size_t *ret_count, uint32_t *ret_texts)
{
	const struct run_list *list = &piece->file->runs;
	uint32_t groups;
	int ret = run_list_groups(list, piece->block, &walk->question, &groups);

	*ret_count = 0;
	if (ret == 0)
		ret = run_list_texts(list, piece->block, &walk->question, ret_texts);
	if (ret == 0 && ((groups & *ret_texts) != 0 || piece->scattered))
		ret = run_list_block(list, piece->block, runs, ret_count);
	for (size_t i = 0; ret == 0 && groups != UINT32_MAX && i < *ret_count; i++)
		if (!is_in_group(groups, i))
			memset(runs[i].filter, 0, sizeof(runs[i].filter));
	return ret;
}

static int load_file_block(struct trace_walk *walk, const struct walk_piece *piece)
{
	walk->sure = run_list_is_sure(&piece->file->runs, piece->block);
	return read_file_block(walk, piece, walk->runs, &walk->run_count, &walk->texts);
}

/* ---- Screening --------------------------------------------------------------------- */

/* Whether a run's trace is one that only its lines can rule out. */
static bool is_for_lines(
	const struct trace_walk *walk, const struct walk_piece *piece, const struct index_run *run)
{
	return !scattered_has(&walk->scattered, run->trace_id) && !piece->scattered_only &&
	       !(piece->summed && (run->flags & INDEX_UNSUMMED) == 0) &&
	       index_run_may_match(run, &walk->question);
}

/* A block that is to be screened: its runs must last until they are. */
struct screening {
	const struct walk_piece *piece;
	struct index_run runs[INDEX_BLOCK_RUNS];
	struct walk_screened *to;
};

static int add_screening(struct trace_walk *walk, struct screening *screening)
{
	const struct walk_piece *piece = screening->piece;
	uint32_t texts;
	size_t count;
	int ret = read_file_block(walk, piece, screening->runs, &count, &texts);

	for (size_t i = 0; ret == 0 && i < count; i++)
		screening->to->passes[i] =
			is_in_group(texts, i) && is_for_lines(walk, piece, &screening->runs[i]);
	if (ret == 0)
		ret = screen_add(walk->screen, piece->file->source, screening->runs, count,
			screening->to->passes);
	if (ret == 0) {
		screening->to->file = piece->file;
		screening->to->block = piece->block;
	}
	return ret;
}

/* Screens a block, and some of its file that will probably be next. */
static int screen_blocks(struct trace_walk *walk, const struct walk_piece *piece, int64_t floor_ns)
{
	struct screening *all = malloc(WALK_SCREENED * sizeof(*all));
	size_t count = 1;
	int ret = 0;

	if (all == NULL)
		return -ENOMEM;
	all[0].piece = piece;
	/* The next ones are near the top of the heap. */
	for (size_t i = 0; i < walk->piece_count && i < 2 * WALK_SCREENED && count < WALK_SCREENED;
		i++) {
		const struct walk_piece *next = &walk->pieces[i];

		if (next->file == piece->file && next->block != WHOLE_FILE &&
			next->max_start_ns >= floor_ns &&
			run_list_is_sure(&next->file->runs, next->block))
			all[count++].piece = next;
	}
	screen_reset(walk->screen);
	for (size_t i = 0; i < WALK_SCREENED; i++)
		walk->screened[i].file = NULL;
	for (size_t i = 0; ret == 0 && i < count; i++) {
		all[i].to = &walk->screened[i];
		ret = add_screening(walk, &all[i]);
	}
	if (ret == 0)
		screen_run(walk->screen);
	free(all);
	return ret;
}

static const struct walk_screened *find_screened(
	const struct trace_walk *walk, const struct walk_piece *piece)
{
	for (size_t i = 0; walk->screened != NULL && i < WALK_SCREENED; i++)
		if (walk->screened[i].file == piece->file &&
			walk->screened[i].block == piece->block)
			return &walk->screened[i];
	return NULL;
}

/* Sets walk->passes when the lines of the piece's runs can be looked at by the screen. */
static int screen_piece(struct trace_walk *walk, const struct walk_piece *piece, int64_t floor_ns)
{
	const struct walk_screened *found;
	int ret = 0;

	walk->passes = NULL;
	if (piece->file == NULL)
		return 0;
	found = find_screened(walk, piece);
	if (found == NULL) {
		if (!screen_helps(walk->screen) || walk->run_count == 0 || !walk->sure ||
			piece->file->runs.pack == NULL ||
			view_source(walk->reader, piece->file) != 1)
			return 0;
		if (walk->screened == NULL)
			walk->screened = calloc(WALK_SCREENED, sizeof(*walk->screened));
		ret = walk->screened == NULL ? -ENOMEM : screen_blocks(walk, piece, floor_ns);
		found = &walk->screened[0];
	}
	if (ret == 0)
		walk->passes = found->passes;
	return ret;
}

static int load_block(struct trace_walk *walk, const struct walk_piece *piece, int64_t floor_ns)
{
	int ret;

	walk->file = piece->file;
	walk->next = 0;
	walk->summed = piece->summed;
	walk->scattered_only = piece->scattered_only;
	if (piece->file == NULL)
		ret = load_waiting_block(walk, piece->block);
	else
		ret = load_file_block(walk, piece);
	if (ret == 0)
		ret = screen_piece(walk, piece, floor_ns);
	if (ret == ERR_INDEX)
		view_distrust(piece->file);
	if (ret != 0)
		return ret;
	for (size_t i = 0; i < walk->run_count; i++)
		walk->order[i] = (uint16_t)i;
	qsort_r(walk->order, walk->run_count, sizeof(*walk->order), compare_starts, walk->runs);
	return 0;
}

/* 1 with a block loaded; 0: none left that starts at floor_ns or later. */
static int next_block(struct trace_walk *walk, int64_t floor_ns)
{
	while (walk->piece_count > 0 && walk->pieces[0].max_start_ns >= floor_ns) {
		struct walk_piece piece = pop_piece(walk);
		int ret = piece.block == WHOLE_FILE ? push_blocks(walk, piece.file)
						    : load_block(walk, &piece, floor_ns);

		if (ret != 0)
			return ret;
		if (piece.block != WHOLE_FILE)
			return 1;
	}
	return 0;
}

/* ---- Traces ----------------------------------------------------------------------- */

/* What the runs of a scattered trace say together. */
struct together {
	const struct index_question *question;
	bool late_enough;
	bool errors;
	bool span;
};

static void add_run(struct together *together, const struct index_run *run)
{
	const struct filter *filter = together->question->filter;

	together->late_enough |= filter->since_ns == 0 || run->start_ns >= filter->since_ns;
	together->errors |= run->errors > 0;
	together->span |= index_run_may_have_span(run, together->question);
}

static int on_run(void *ctx, struct view_file *file, const struct index_run *run)
{
	(void)file;
	add_run(ctx, run);
	return 0;
}

/* Whether all runs of a trace together may satisfy the filter. 1, 0, or an error. */
static int may_match_together(struct trace_walk *walk, const uint8_t trace_id[16])
{
	struct together together = {.question = &walk->question};
	uint32_t number;
	int ret;

	if (id_map_find(&walk->waiting.map, trace_id, &number))
		add_run(&together, &walk->waiting.runs.runs[number]);
	ret = view_find(walk->reader, trace_id, NULL, on_run, &together);
	if (ret != 0)
		return ret;
	return together.late_enough && together.span &&
	       (together.errors || !walk->question.filter->errors);
}

static bool is_scattered(const struct trace_walk *walk, const struct index_run *run)
{
	return !walk->sure || scattered_has(&walk->scattered, run->trace_id);
}

static bool is_summed(const struct trace_walk *walk, const struct index_run *run)
{
	return walk->summed && (run->flags & INDEX_UNSUMMED) == 0;
}

/* Whether a run's trace is to be given. 1, 0, or an error. */
static int consider(
	struct trace_walk *walk, const struct index_run *run, struct walk_trace *ret_trace)
{
	int ret;

	*ret_trace = (struct walk_trace){
		.trace_id = run->trace_id,
		.start_ns = run->start_ns,
		.exact = (run->flags & INDEX_UNSURE) == 0,
		.single = true,
		.file = walk->file,
		.run = run,
	};
	if (!is_scattered(walk, run)) {
		if (walk->scattered_only || is_summed(walk, run))
			return 0;
		if (walk->passes != NULL)
			return walk->passes[run - walk->runs];
		return is_in_group(walk->texts, (size_t)(run - walk->runs)) &&
		       index_run_may_match(run, &walk->question);
	}
	if (is_summed(walk, run)) {
		ret = walk->sums->on_run(walk->sums->ctx, walk->file, run);
		if (ret != 0)
			return ret;
	}
	ret_trace->single = ret_trace->exact = false;
	ret = id_map_add(&walk->met, run->trace_id, 0);
	if (ret != 0)
		return ret == 1 ? 0 : ret;
	return may_match_together(walk, run->trace_id);
}

int trace_walk_next(struct trace_walk *walk, int64_t floor_ns, struct walk_trace *ret_trace)
{
	for (;;) {
		int ret;

		while (walk->next < walk->run_count) {
			const struct index_run *run = &walk->runs[walk->order[walk->next]];

			if (run->start_ns < floor_ns)
				break;
			walk->next++;
			ret = consider(walk, run, ret_trace);
			if (ret != 0)
				return ret;
		}
		walk->run_count = 0;
		ret = next_block(walk, floor_ns);
		if (ret <= 0)
			return ret;
	}
}
