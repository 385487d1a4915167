/*
 * Stores that share a manifest, and what each may do while the others work. See writer.h.
 *
 * What they share is the manifest, which has locks of its own, and the names under which parts
 * and files of quarantine are made, and parts deleted (`making`). A part is written to by one of
 * them, its holder. Chores are the first's; for what must change a part that another may hold, it
 * has them all at rest, on its own thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "writer_internal.h"

int store_group_new(struct store_group **ret)
{
	struct store_group *group = calloc(1, sizeof(*group));
	pthread_mutexattr_t recursive;
	pthread_rwlockattr_t fair;

	if (group == NULL || pthread_rwlockattr_init(&fair) != 0) {
		free(group);
		return -ENOMEM;
	}
	if (pthread_mutexattr_init(&recursive) != 0) {
		pthread_rwlockattr_destroy(&fair);
		free(group);
		return -ENOMEM;
	}
	/* Stores that have much to do leave no moment at which none of them works. */
	(void)pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&group->turn, &fair);
	pthread_rwlockattr_destroy(&fair);
	/* A part whose making failed is deleted. */
	(void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&group->making, &recursive);
	pthread_mutexattr_destroy(&recursive);
	pthread_mutex_init(&group->telling, NULL);
	pthread_mutex_init(&group->mutex, NULL);
	*ret = group;
	return 0;
}

void store_group_free(struct store_group *group)
{
	if (group == NULL)
		return;
	pthread_rwlock_destroy(&group->turn);
	pthread_mutex_destroy(&group->making);
	pthread_mutex_destroy(&group->telling);
	pthread_mutex_destroy(&group->mutex);
	free(group);
}

int writer_join_group(struct jsonl_store *store)
{
	int ret = 0;

	store->group = store->config.group;
	if (store->group == NULL)
		ret = store_group_new(&store->group);
	if (ret == 0 && store->group->count == STORES_MAX)
		ret = -EINVAL;
	if (ret != 0)
		return ret;
	store->group->stores[store->group->count++] = store;
	store->number = (uint32_t)store->group->count;
	return 0;
}

void writer_leave_group(struct jsonl_store *store)
{
	pthread_rwlock_wrlock(&store->group->turn);
	pthread_mutex_lock(&store->group->mutex);
	store->group->stores[store->number - 1] = NULL;
	/* What all have done so far doesn't become less. */
	store->group->stats.commits += store->stats.commits;
	store->group->stats.bytes_written += store->stats.bytes_written;
	store->group->stats.failures += store->stats.failures;
	pthread_mutex_unlock(&store->group->mutex);
	pthread_rwlock_unlock(&store->group->turn);
	if (store->config.group == NULL)
		store_group_free(store->group);
	store->group = NULL;
}

/* ---- Turns ------------------------------------------------------------ */

int writer_rest_all(struct jsonl_store *store, uint32_t part)
{
	struct store_group *group = store->group;
	int ret = 0;

	pthread_rwlock_wrlock(&group->turn);
	for (size_t i = 0; i < group->count && ret == 0; i++) {
		struct jsonl_store *each = group->stores[i];

		if (each == NULL)
			continue;
		ret = each->doubt ? -EAGAIN : writer_settle(each);
		if (ret == 0)
			writer_leave_part(each, part);
	}
	if (ret != 0)
		pthread_rwlock_unlock(&group->turn);
	return ret;
}

void writer_resume_all(struct jsonl_store *store)
{
	pthread_rwlock_unlock(&store->group->turn);
}

/* ---- One for all ------------------------------------------------------ */

void writer_forget_log(struct jsonl_store *store)
{
	uint32_t first_needed;

	manifest_lock(store->config.manifest);
	first_needed = manifest_state(store->config.manifest)->first_segment;
	manifest_unlock(store->config.manifest);
	if (first_needed > store->forgotten)
		span_sources_forget(store->sources, first_needed);
	store->forgotten = first_needed;
}

void writer_forget(struct store *base)
{
	struct jsonl_store *store = (struct jsonl_store *)base;

	pthread_rwlock_rdlock(&store->group->turn);
	writer_forget_log(store);
	pthread_rwlock_unlock(&store->group->turn);
}

void writer_get_stats(struct store *base, struct writer_stats *ret)
{
	struct store_group *group = ((struct jsonl_store *)base)->group;

	pthread_mutex_lock(&group->mutex);
	*ret = group->stats;
	for (size_t i = 0; i < group->count; i++) {
		struct jsonl_store *store = group->stores[i];

		if (store == NULL)
			continue;
		pthread_mutex_lock(&store->mutex);
		ret->commits += store->stats.commits;
		ret->bytes_written += store->stats.bytes_written;
		ret->failures += store->stats.failures;
		if (store->stats.last_error != 0)
			ret->last_error = store->stats.last_error;
		pthread_mutex_unlock(&store->mutex);
	}
	pthread_mutex_unlock(&group->mutex);
}
