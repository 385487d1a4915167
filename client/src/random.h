/*
 * Random numbers of a thread: xoshiro256++ (Blackman, Vigna, "Scrambled linear
 * pseudorandom number generators", 2021), seeded by getrandom. Not for secrets.
 */
#ifndef WAFT_CLIENT_RANDOM_H
#define WAFT_CLIENT_RANDOM_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct random {
	uint64_t state[4];
};

/* From the kernel; where it gives none (a very early boot, a strict sandbox),
 * from addresses and the clock, so that ids still differ. */
static inline void random_init(struct random *random)
{
	struct timespec now;
	int saved = errno;

	if (getrandom(random->state, sizeof(random->state), GRND_NONBLOCK) !=
		(ssize_t)sizeof(random->state)) {
		clock_gettime(CLOCK_REALTIME, &now);
		random->state[0] ^= (uint64_t)now.tv_nsec * UINT64_C(0x9e3779b97f4a7c15);
		random->state[1] ^= (uint64_t)(uintptr_t)random;
		random->state[2] ^= (uint64_t)now.tv_sec;
		random->state[3] |= 1;
	}
	errno = saved;
}

static inline uint64_t random_rotate(uint64_t x, unsigned int k)
{
	return x << k | x >> (64 - k);
}

static inline uint64_t random_next(struct random *random)
{
	uint64_t *s = random->state;
	uint64_t result = random_rotate(s[0] + s[3], 23) + s[0];
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = random_rotate(s[3], 45);
	return result;
}

/* A new trace id: UUIDv4 (RFC 9562), its last 56 bits random, as the two halves
 * of its bytes loaded on this machine. */
static inline void random_trace_id(struct random *random, uint64_t ret_trace[2])
{
	/* Version 4 and the variant of RFC 9562, in the bytes 6 and 8. */
	static const uint8_t keep[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0x3f, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t set[16] = {[6] = 0x40, [8] = 0x80};
	uint64_t kept[2];
	uint64_t added[2];

	memcpy(kept, keep, 16);
	memcpy(added, set, 16);
	ret_trace[0] = (random_next(random) & kept[0]) | added[0];
	ret_trace[1] = (random_next(random) & kept[1]) | added[1];
}

/* Where a thread's span numbers start: their 2^33 successors are never 0. */
static inline uint64_t random_id_base(struct random *random)
{
	uint64_t base;

	do {
		base = random_next(random);
	} while (base == 0 || base > UINT64_MAX - (UINT64_C(1) << 34));
	return base;
}

#endif
