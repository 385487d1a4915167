/*
 * A wall clock that can be set, for programs that are loaded with this before libc
 * (LD_PRELOAD): the file named by FAULT_CLOCK holds what is added to it, i64 ns, read
 * at each call, so that the test can set it while the program runs. Other clocks
 * are left alone, as when somebody sets the time. Any thread.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

#define EXPORTED __attribute__((visibility("default")))

static const volatile int64_t *added;

__attribute__((constructor)) static void map_file(void)
{
	const char *path = getenv("FAULT_CLOCK");
	int file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map;

	if (file < 0)
		return;
	map = mmap(NULL, sizeof(*added), PROT_READ, MAP_SHARED, file, 0);
	close(file);
	if (map != MAP_FAILED)
		added = map;
}

static int read_clock(clockid_t id, struct timespec *ret)
{
	int64_t ns;

	if (syscall(SYS_clock_gettime, id, ret) != 0)
		return -1;
	if (added == NULL || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return 0;
	ns = ret->tv_sec * SECOND_NS + ret->tv_nsec + *added;
	ret->tv_sec = ns / SECOND_NS;
	ret->tv_nsec = ns % SECOND_NS;
	return 0;
}

EXPORTED int clock_gettime(clockid_t id, struct timespec *ret)
{
	return read_clock(id, ret);
}

EXPORTED int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	if (read_clock(CLOCK_REALTIME, &now) != 0)
		return -1;
	ret->tv_sec = now.tv_sec;
	ret->tv_usec = now.tv_nsec / 1000;
	return 0;
}

EXPORTED time_t time(time_t *ret)
{
	struct timespec now;

	if (read_clock(CLOCK_REALTIME, &now) != 0)
		return -1;
	if (ret != NULL)
		*ret = now.tv_sec;
	return now.tv_sec;
}
