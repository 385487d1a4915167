/* See wake.h. */
#include "wake.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"
#include "descriptor.h"

#define NS_PER_S UINT64_C(1000000000)

static struct {
	struct descriptor read; /* the sender's */
	bool connects;		/* the sender's */
	pthread_mutex_t lock;	/* guards what is written to, and whether */
	pthread_cond_t rung;
	bool resting; /* waits for the condition, or will */
	struct descriptor write;
	uint32_t coming; /* atomic: a wake is on its way */
} wake = {.lock = PTHREAD_MUTEX_INITIALIZER,
	.rung = PTHREAD_COND_INITIALIZER,
	.read = {.fd = -1},
	.write = {.fd = -1}};

void wake_prepare(bool connects)
{
	pthread_mutex_lock(&wake.lock);
	wake.connects = connects;
	wake.resting = !connects;
	pthread_mutex_unlock(&wake.lock);
}

bool wake_works(void)
{
	return !wake.connects || wake.read.fd >= 0;
}

static void pair_close(void)
{
	descriptor_close(&wake.read);
	descriptor_close(&wake.write);
}

bool wake_open(void)
{
	bool there;
	int pair[2];

	if (!wake.connects)
		return true;
	pthread_mutex_lock(&wake.lock);
	there = descriptor_check(&wake.read) && descriptor_check(&wake.write);
	if (!there) {
		pair_close();
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0) {
			descriptor_set(&wake.read, pair[0]);
			descriptor_set(&wake.write, pair[1]);
		}
		(void)__atomic_exchange_n(&wake.coming, 0, __ATOMIC_ACQ_REL);
	}
	pthread_mutex_unlock(&wake.lock);
	return there;
}

void wake_ring(void)
{
	int saved = errno;

	if (__atomic_exchange_n(&wake.coming, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	pthread_mutex_lock(&wake.lock);
	/* Who comes next tries again: no byte, no turn that would clear the flag. */
	if (wake.resting)
		pthread_cond_signal(&wake.rung);
	else if (!descriptor_check(&wake.write) ||
		 send(wake.write.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		__atomic_store_n(&wake.coming, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&wake.lock);
	errno = saved;
}

int wake_fd(void)
{
	return wake.read.fd;
}

/* The byte first, the flag after: who finds the flag set is looked after by the
 * turn that follows, who finds it clear sends a byte of his own. So there is one byte at
 * most but for those of a pair that was opened anew. No lock: whoever rings still holds
 * it when the sender has woken. */
void wake_drain(void)
{
	char bytes[64];

	if (descriptor_check(&wake.read))
		(void)recv(wake.read.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	(void)__atomic_exchange_n(&wake.coming, 0, __ATOMIC_ACQ_REL);
}

void wake_rest(uint64_t ns)
{
	uint64_t now = clock_monotonic_ns();
	uint64_t until = ns < UINT64_MAX - now ? now + ns : UINT64_MAX;
	struct timespec deadline = {
		.tv_sec = (time_t)(until / NS_PER_S), .tv_nsec = (long)(until % NS_PER_S)};
	int ret = 0;

	pthread_mutex_lock(&wake.lock);
	wake.resting = true;
	while (__atomic_load_n(&wake.coming, __ATOMIC_ACQUIRE) == 0 && ret == 0)
		ret = until == UINT64_MAX ? pthread_cond_wait(&wake.rung, &wake.lock)
					  : pthread_cond_clockwait(&wake.rung, &wake.lock,
						    CLOCK_MONOTONIC, &deadline);
	wake.resting = !wake.connects;
	(void)__atomic_exchange_n(&wake.coming, 0, __ATOMIC_ACQ_REL);
	pthread_mutex_unlock(&wake.lock);
}

void wake_close(void)
{
	pthread_mutex_lock(&wake.lock);
	pair_close();
	pthread_mutex_unlock(&wake.lock);
}

void wake_fork_child(void)
{
	wake.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	wake.rung = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
	wake.resting = false;
	wake.coming = 0;
	pair_close();
}
