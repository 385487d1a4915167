/*
 * Sealed parts on the store's thread: which part is next, and the commit. See writer.h.
 *
 * The commit, each step of which is repeated until it succeeds:
 *   the new file is synced under .waft/sealed.new (seal.c)
 *   SEALED in the manifest, synced
 *   rename to its name, which fails where a file has come up; directories synced
 *   hooks: readers and the index go over
 *   the plain file is deleted
 * Recovery goes on wherever that ended (recover_parts.c, check_sealed): with a SEALED and no
 * file of that name the new file gets it, or, when power took it, the plain one is still
 * there.
 */
#include <errno.h>
#include <stdlib.h>

#include "writer_internal.h"

#define CLOSE_AFTER_NS (3600ull * 1000000000)
/* What level 1 does a second, about, on a processor that nobody else wants. */
#define SEAL_BYTES_PER_S (32.0 * (1 << 20))
/* A sealed part is to be there at least so many times as long as sealing takes, counted from its
 * beginning. */
#define WORTH_TIMES 2.0

static const struct manifest_state *state_of(const struct jsonl_store *store)
{
	return manifest_state(store->config.manifest);
}

/* ---- Which ----------------------------------------------------------------------- */

static bool is_refused(const struct jsonl_store *store, uint32_t part)
{
	for (size_t i = 0; i < store->seal.refused_count; i++)
		if (store->seal.refused[i] == part)
			return true;
	return false;
}

void writer_seal_refuse(struct store *base, uint32_t part)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	uint32_t *grown =
		reallocarray(store->seal.refused, store->seal.refused_count + 1, sizeof(*grown));

	/* Without memory it is tried again, and refused again. */
	if (grown == NULL)
		return;
	store->seal.refused = grown;
	grown[store->seal.refused_count++] = part;
}

static bool is_quiet(const struct manifest_part *part, uint64_t now_ns, uint64_t for_ns)
{
	return now_ns >= part->changed_ns && now_ns - part->changed_ns >= for_ns;
}

/* A part that took appends and whose day is over. */
static int close_part(struct jsonl_store *store, uint32_t id)
{
	struct manifest_part part;
	int ret = writer_rest_all(store, id);

	if (ret != 0)
		return ret;
	/* The store that wrote to it may have closed it, or taken it back, meanwhile. */
	if (manifest_copy_part(store->config.manifest, id, &part) && part.state == PART_OPEN)
		ret = manifest_part_state(
			store->config.manifest, id, PART_CLOSED, writer_now(store));
	writer_resume_all(store);
	if (ret == 0)
		ret = manifest_sync(store->config.manifest);
	if (ret == 0)
		writer_tell_part(store, id);
	return ret;
}

/* The first open part behind `after` that is to be closed; 0: none. */
static uint32_t next_to_close(
	struct jsonl_store *store, uint32_t after, uint64_t now_ns, uint64_t quiet_ns)
{
	const struct manifest_state *state = state_of(store);
	int32_t today = day_of_ns(now_ns);
	uint32_t found = 0;

	manifest_lock(store->config.manifest);
	for (size_t i = 0; found == 0 && i < state->part_count; i++) {
		const struct manifest_part *part = &state->parts[i];

		if (part->id <= after || part->state != PART_OPEN || part->length_bytes == 0)
			continue;
		/* A full one stayed open when the daemon was killed before it could say so. */
		if (part->length_bytes >= store->config.part_bytes ||
			(part->name.day < today && is_quiet(part, now_ns, quiet_ns)))
			found = part->id;
	}
	manifest_unlock(store->config.manifest);
	return found;
}

static int close_old_parts(struct jsonl_store *store, uint64_t now_ns, uint64_t after_ns)
{
	uint64_t quiet_ns = after_ns < CLOSE_AFTER_NS ? after_ns : CLOSE_AFTER_NS;
	uint32_t part = 0;
	int ret = 0;

	while (ret == 0 && (part = next_to_close(store, part, now_ns, quiet_ns)) != 0)
		ret = close_part(store, part);
	return ret;
}

static bool is_older(const struct manifest_part *a, const struct manifest_part *b)
{
	return a->name.day < b->name.day ||
	       (a->name.day == b->name.day && a->name.number < b->name.number);
}

static bool is_before(
	const struct manifest_part *a, const struct manifest_part *b, bool newest_first)
{
	return newest_first ? is_older(b, a) : is_older(a, b);
}

/* Whether a file has the sealed name already; it is not ours then. */
static bool name_is_taken(struct jsonl_store *store, const struct manifest_part *part)
{
	struct part_name part_name = part->name;
	char name[PART_NAME_BYTES];
	struct disk_stat st;

	part_name.sealed = true;
	return part_name_format(&part_name, name) != 0 ||
	       disk_stat_name(store->config.disk, store->config.dirs->top, name, &st) != -ENOENT;
}

static bool may_seal(const struct jsonl_store *store, const struct manifest_part *part)
{
	return part->state == PART_CLOSED && part->verified && part->length_bytes > 0 &&
	       !is_refused(store, part->id);
}

/* Of the parts from this one on; NULL: of all. */
static uint64_t bytes_from(const struct manifest_state *state, const struct manifest_part *from)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < state->part_count; i++) {
		const struct manifest_part *part = &state->parts[i];

		if (part->state != PART_REMOVED && (from == NULL || !is_older(part, from)))
			bytes += part->state == PART_SEALED ? part->sealed_length_bytes
							    : part->length_bytes;
	}
	return bytes;
}

/* Retention removes the oldest part first: this one when those behind it have filled what it and
 * they don't take now. */
static bool is_worth(const struct manifest_state *state, const struct seal_rule *rule,
	const struct manifest_part *part)
{
	double left_s, seal_s = (double)part->length_bytes / SEAL_BYTES_PER_S;
	uint64_t bytes;

	if (rule->max_bytes == 0 || rule->fill_bytes_per_s == 0)
		return true;
	bytes = bytes_from(state, part) + rule->ahead_bytes;
	left_s = bytes < rule->max_bytes
			 ? (double)(rule->max_bytes - bytes) / (double)rule->fill_bytes_per_s
			 : 0;
	return left_s >= WORTH_TIMES * seal_s;
}

/* The next part that may be sealed behind *after, or the first (NULL), whoever has its new name. 1,
 * or 0 when there is none. after may be ret_part. */
static int choose(struct jsonl_store *store, const struct seal_rule *rule, uint64_t now_ns,
	const struct manifest_part *after, struct manifest_part *ret_part, bool *ret_pressed)
{
	const struct manifest_state *state = state_of(store);
	const struct manifest_part *next = NULL;
	bool pressed;

	manifest_lock(store->config.manifest);
	pressed = rule->max_bytes != 0 &&
		  bytes_from(state, NULL) > rule->max_bytes - rule->max_bytes / 4;
	for (size_t i = 0; i < state->part_count; i++) {
		const struct manifest_part *part = &state->parts[i];

		if ((next != NULL && !is_before(part, next, pressed)) ||
			(after != NULL && !is_before(after, part, pressed)) ||
			!may_seal(store, part))
			continue;
		if (pressed ||
			(is_quiet(part, now_ns, rule->after_ns) && is_worth(state, rule, part)))
			next = part;
	}
	/* What is older goes earlier. */
	if (pressed && next != NULL && !is_worth(state, rule, next))
		next = NULL;
	if (next != NULL)
		*ret_part = *next;
	manifest_unlock(store->config.manifest);
	*ret_pressed = pressed;
	return next != NULL;
}

int writer_seal_next(struct store *base, const struct seal_rule *rule,
	struct manifest_part *ret_part, bool *ret_pressed)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	uint64_t now_ns = writer_now(store);
	int ret;

	*ret_pressed = false;
	if (store->doubt || store->seal.step != SEAL_NOTHING)
		return 0;
	ret = writer_settle(store);
	if (ret != 0)
		return ret;
	ret = close_old_parts(store, now_ns, rule->after_ns);
	if (ret != 0)
		return ret;
	/* Those are closed since now. */
	now_ns = writer_now(store);
	ret = choose(store, rule, now_ns, NULL, ret_part, ret_pressed);
	while (ret == 1 && name_is_taken(store, ret_part))
		ret = choose(store, rule, now_ns, ret_part, ret_part, ret_pressed);
	return ret;
}

/* ---- The commit -------------------------------------------------------------------- */

static int drop_new_file(struct jsonl_store *store, int why)
{
	disk_unlink_quietly(store->config.disk, store->config.dirs->waft, SEAL_NEW_NAME);
	store->seal.step = SEAL_NOTHING;
	return why;
}

static int record(struct jsonl_store *store, const struct seal_result *result)
{
	struct manifest_part part;
	int ret;

	if (store->doubt)
		return -EAGAIN;
	if (!manifest_copy_part(store->config.manifest, result->part, &part) ||
		part.state != PART_CLOSED || part.length_bytes != result->text_bytes)
		return drop_new_file(store, -ESTALE);
	if (name_is_taken(store, &part))
		return drop_new_file(store, -EEXIST);
	ret = manifest_sealed(store->config.manifest, part.id, result->length_bytes, result->crc,
		writer_now(store));
	if (ret != 0)
		return ret;
	store->seal.step = SEAL_RECORDED;
	store->seal.part = part.id;
	return 0;
}

/* A foreign file has come up under the name: the part stays plain. */
static int take_back(struct jsonl_store *store)
{
	int ret = manifest_part_state(
		store->config.manifest, store->seal.part, PART_CLOSED, writer_now(store));

	if (ret == 0)
		ret = manifest_sync(store->config.manifest);
	return ret != 0 ? ret : drop_new_file(store, -EEXIST);
}

static int give_name(struct jsonl_store *store, const struct manifest_part *part)
{
	const struct store_dirs *dirs = store->config.dirs;
	struct part_name part_name = part->name;
	char name[PART_NAME_BYTES];
	int ret;

	part_name.sealed = true;
	ret = part_name_format(&part_name, name);
	if (ret == 0)
		ret = disk_rename(
			store->config.disk, dirs->waft, SEAL_NEW_NAME, dirs->top, name, false);
	if (ret == -EEXIST)
		return take_back(store);
	if (ret == 0)
		store->seal.step = SEAL_NAMED;
	return ret;
}

/* The new name must be safe before the plain file goes. */
static int replace_plain(struct jsonl_store *store, const struct manifest_part *part)
{
	const struct store_dirs *dirs = store->config.dirs;
	struct disk *disk = store->config.disk;
	char name[PART_NAME_BYTES];
	int ret = disk_sync_dir(disk, dirs->top);

	if (ret == 0)
		ret = disk_sync_dir(disk, dirs->waft);
	if (ret != 0)
		return ret;
	writer_tell_part(store, part->id);
	ret = part_name_format(&part->name, name);
	/* seal_part has read this very file, and compared it with what is committed. */
	if (ret == 0)
		ret = remover_unlink(&store->remover, dirs->top, name);
	if (ret == 0 || ret == -ENOENT)
		ret = disk_sync_dir(disk, dirs->top);
	return ret;
}

int writer_seal_commit(struct store *base, const struct seal_result *result)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	struct writer_seal *seal = &store->seal;
	struct manifest_part part;
	int ret = store->doubt ? 0 : writer_settle(store);

	if (ret == 0 && seal->step == SEAL_NOTHING)
		ret = record(store, result);
	if (ret == 0 && seal->step == SEAL_RECORDED) {
		ret = manifest_sync(store->config.manifest);
		if (ret == 0)
			seal->step = SEAL_SYNCED;
	}
	if (ret != 0)
		return ret;
	/* Retention was faster. */
	if (!manifest_copy_part(store->config.manifest, seal->part, &part) ||
		part.state != PART_SEALED)
		return drop_new_file(store, -ESTALE);
	if (seal->step == SEAL_SYNCED)
		ret = give_name(store, &part);
	if (ret == 0 && seal->step == SEAL_NAMED)
		ret = replace_plain(store, &part);
	if (ret == 0)
		seal->step = SEAL_NOTHING;
	return ret;
}
