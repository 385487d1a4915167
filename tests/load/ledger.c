/* ledger.c: the file behind ledger.h. */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char ledger_magic[8] = {'W', 'A', 'F', 'T', 'L', 'O', 'A', 'D'};

static size_t ledger_size(uint32_t processes)
{
	return sizeof(struct ledger) + processes * sizeof(struct ledger_process);
}

int ledger_create(const char *path, uint32_t processes, uint32_t threads, uint32_t depth,
	uint32_t fanout, struct ledger **ret_ledger)
{
	size_t size = ledger_size(processes);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	struct ledger *ledger = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int error = ledger == MAP_FAILED ? -errno : 0;
	close(fd);
	if (error)
		return error;
	memcpy(ledger->magic, ledger_magic, sizeof(ledger->magic));
	ledger->processes = processes;
	ledger->threads = threads;
	ledger->tree_depth = depth;
	ledger->tree_fanout = fanout;
	if (getrandom(&ledger->run, sizeof(ledger->run), 0) != sizeof(ledger->run)) {
		munmap(ledger, size);
		return -EIO;
	}
	ledger->run &= INT64_MAX;
	*ret_ledger = ledger;
	return 0;
}

int ledger_open(const char *path, const struct ledger **ret_ledger)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct stat st;
	int error = fstat(fd, &st) < 0 ? -errno : 0;
	if (!error && st.st_size < (off_t)sizeof(struct ledger))
		error = -EBADMSG;
	struct ledger *ledger = MAP_FAILED;
	if (!error) {
		ledger = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (ledger == MAP_FAILED)
			error = -errno;
	}
	close(fd);
	if (error)
		return error;
	if (memcmp(ledger->magic, ledger_magic, sizeof(ledger_magic)) != 0 ||
		ledger->processes > LEDGER_PROCESSES_MAX || ledger->threads > LEDGER_THREADS_MAX ||
		(size_t)st.st_size != ledger_size(ledger->processes)) {
		munmap(ledger, (size_t)st.st_size);
		return -EBADMSG;
	}
	*ret_ledger = ledger;
	return 0;
}

uint64_t ledger_tree_spans(const struct ledger *ledger)
{
	uint64_t level = 1, sum = 0;
	for (uint32_t depth = 0; depth < ledger->tree_depth; depth++) {
		sum += level;
		level *= ledger->tree_fanout;
	}
	return sum;
}

void ledger_time(struct ledger_thread *thread, uint64_t ns)
{
	/* The three bits behind the first: buckets are at most 12.5 % wide. */
	unsigned int power = ns < 8 ? 3 : 63 - (unsigned int)__builtin_clzll(ns);
	size_t bucket = (size_t)(power - 3) * 8 + (ns >> (power - 3));
	thread->times[bucket < LEDGER_TIMES ? bucket : LEDGER_TIMES - 1]++;
}

uint64_t ledger_quantile(const struct ledger *ledger, double share)
{
	uint64_t sums[LEDGER_TIMES] = {0}, total = 0, seen = 0;
	for (uint32_t i = 0; i < ledger->processes; i++) {
		for (uint32_t j = 0; j < ledger->threads; j++) {
			for (size_t k = 0; k < LEDGER_TIMES; k++)
				sums[k] += ledger->rows[i].threads[j].times[k];
		}
	}
	for (size_t k = 0; k < LEDGER_TIMES; k++)
		total += sums[k];
	for (size_t k = 0; k < LEDGER_TIMES; k++) {
		seen += sums[k];
		if (total > 0 && (double)seen >= share * (double)total)
			return k < 8 ? k + 1 : (uint64_t)(9 + k % 8) << (k / 8 - 1);
	}
	return 0;
}
