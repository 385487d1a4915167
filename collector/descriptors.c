/* See descriptors.h. */
#include "descriptors.h"

#include <dirent.h>
#include <stddef.h>
#include <sys/resource.h>

enum {
	/* The next segment of the log, the next part with its index, the manifest's next
	 * file, a removed file until it is freed, directories that are listed, a connection
	 * that is turned away, /metrics. */
	STORE_FILES = 16,
	/* A query's part, its index, and the directory. */
	QUERY_FILES = 3,
};

void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Open descriptors of the process, or what a daemon has at least. */
static uint64_t open_now(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint64_t count = 0;

	if (directory == NULL)
		return 32;
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

uint32_t descriptors_for_connections(uint32_t wanted, uint32_t connections, uint32_t queries)
{
	uint64_t taken = open_now() + STORE_FILES + (uint64_t)queries * QUERY_FILES;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return wanted;
	taken -= connections < taken ? connections : taken;
	if (limit.rlim_cur <= taken)
		return 1;
	return limit.rlim_cur - taken < wanted ? (uint32_t)(limit.rlim_cur - taken) : wanted;
}
