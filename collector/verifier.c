/* Checks committed bytes, a part at a time. See verifier.h. */
#include "verifier.h"

#include "log_line.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct verifier {
	uv_loop_t *loop;
	struct disk *disk;
	const struct store_dirs *dirs;
	uv_work_t work;
	struct manifest_part *parts;
	size_t part_count;
	size_t at;  /* the part that is looked at */
	int result; /* of it: written on the pool, read on the loop afterwards */
	atomic_bool stop;
	void (*on_damaged)(void *context, const char *name);
	void *context;
	struct verifier_counts counts;
};

static void next_part(struct verifier *verifier);

/* On the pool. */
static void verify(uv_work_t *work)
{
	struct verifier *verifier = work->data;

	verifier->result = recover_verify_part(
		verifier->disk, verifier->dirs, &verifier->parts[verifier->at], &verifier->stop);
}

static void say_damaged(struct verifier *verifier, const struct manifest_part *part)
{
	struct part_name part_name = part->name;
	char name[PART_NAME_BYTES];

	part_name.sealed = part->state == PART_SEALED;
	if (part_name_format(&part_name, name) < 0)
		strcpy(name, "?");
	if (verifier->result == 0)
		log_error("%s is damaged: its committed bytes don't match their checksum", name);
	else
		log_error("%s is damaged: its committed bytes can't be read: %s", name,
			error_text(verifier->result));
	if (verifier->counts.damaged++ == 0)
		memcpy(verifier->counts.first_damaged, name, sizeof(name));
	verifier->on_damaged(verifier->context, name);
}

static void on_verified(uv_work_t *work, int status)
{
	struct verifier *verifier = work->data;

	if (status < 0 || verifier->result == -ECANCELED)
		return;
	/* One that is gone was removed or sealed meanwhile, or is missing since before
	 * the start, which the recovery has said. */
	if (verifier->result == -ENOMEM)
		log_warning("a file's checksum was not compared: %s", error_text(-ENOMEM));
	else if (verifier->result != -ENOENT)
		verifier->counts.parts++;
	if (verifier->result != 1 && verifier->result != -ENOENT && verifier->result != -ENOMEM)
		say_damaged(verifier, &verifier->parts[verifier->at]);
	verifier->at++;
	next_part(verifier);
}

static void next_part(struct verifier *verifier)
{
	int status;

	while (verifier->at < verifier->part_count &&
		verifier->parts[verifier->at].state == PART_REMOVED)
		verifier->at++;
	if (verifier->at == verifier->part_count || atomic_load(&verifier->stop))
		return;
	status = uv_queue_work(verifier->loop, &verifier->work, verify, on_verified);
	if (status < 0)
		log_warning("can't compare checksums of files: %s", uv_strerror(status));
}

int verifier_new(struct disk *disk, const struct store_dirs *dirs,
	const struct manifest_state *state, struct verifier **ret)
{
	struct verifier *verifier = calloc(1, sizeof(*verifier));

	if (verifier == NULL)
		return -ENOMEM;
	verifier->parts = calloc(state->part_count + 1, sizeof(*verifier->parts));
	if (verifier->parts == NULL) {
		free(verifier);
		return -ENOMEM;
	}
	if (state->part_count > 0)
		memcpy(verifier->parts, state->parts, state->part_count * sizeof(*state->parts));
	verifier->part_count = state->part_count;
	verifier->disk = disk;
	verifier->dirs = dirs;
	verifier->work.data = verifier;
	atomic_init(&verifier->stop, false);
	*ret = verifier;
	return 0;
}

void verifier_start(struct verifier *verifier, uv_loop_t *loop,
	void (*on_damaged)(void *context, const char *name), void *context)
{
	verifier->loop = loop;
	verifier->on_damaged = on_damaged;
	verifier->context = context;
	next_part(verifier);
}

void verifier_count(const struct verifier *verifier, struct verifier_counts *ret)
{
	*ret = verifier != NULL ? verifier->counts : (struct verifier_counts){0};
}

void verifier_stop(struct verifier *verifier)
{
	if (verifier != NULL)
		atomic_store(&verifier->stop, true);
}

void verifier_free(struct verifier *verifier)
{
	if (verifier == NULL)
		return;
	free(verifier->parts);
	free(verifier);
}
