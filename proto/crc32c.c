/*
 * CRC-32C by carry-less multiplication, the SSE4.2 instruction, or tables; see crc32c.h.
 *
 * The instruction has a latency of three cycles and a throughput of one, so
 * long data is taken as three neighbouring blocks at once. Their checksums are
 * joined with one carry-less multiplication each (V. Gopal et al., "Fast CRC
 * Computation for iSCSI Polynomial Using CRC32 Instruction", Intel 2011): for
 * reflected 32-bit a and k, crc32_u64(0, clmul(a, k)) is a*k*x^33 mod P, so
 * k = x^(8n - 33) mod P moves a over n bytes.
 *
 * Where the processor multiplies four pairs at once, 64 bytes are moved over the
 * 256 behind them and added there, which takes half as long: of each 16 the first
 * 8 by x^(8n + 31), the second by x^(8n - 33).
 */
#include "crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLYNOMIAL UINT32_C(0x82f63b78) /* reflected */
#define X_MINUS_33 UINT32_C(0xa9cdda0d) /* x^-33 mod P */

static uint32_t tables[8][256];
static uint32_t powers[64]; /* x^(2^n) mod P */
#if defined(__x86_64__)
static uint32_t shifts[64]; /* x^(2^n - 33) mod P */
#endif
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* a * b mod P, reflected: the highest bit is x^0. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (; a != 0; a <<= 1) {
		if (a & UINT32_C(0x80000000))
			product ^= b;
		b = (b & 1) != 0 ? b >> 1 ^ POLYNOMIAL : b >> 1;
	}
	return product;
}

static void tables_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 1) != 0 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		tables[0][i] = crc;
	}
	for (int k = 1; k < 8; k++)
		for (uint32_t i = 0; i < 256; i++)
			tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 0xff];
	powers[0] = UINT32_C(1) << 30;
	for (int n = 1; n < 64; n++)
		powers[n] = multiply(powers[n - 1], powers[n - 1]);
#if defined(__x86_64__)
	for (int n = 0; n < 64; n++)
		shifts[n] = multiply(powers[n], X_MINUS_33);
#endif
}

static uint32_t crc32c_portable(uint32_t crc, const void *data, size_t length_bytes)
{
	const uint8_t *p = data;

	pthread_once(&tables_once, tables_fill);
	crc = ~crc;
	for (; length_bytes >= 8; length_bytes -= 8, p += 8) {
		uint32_t low = crc ^ (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
					     (uint32_t)p[3] << 24);

		crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^
		      tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^ tables[3][p[4]] ^
		      tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
	}
	for (; length_bytes > 0; length_bytes--)
		crc = crc >> 8 ^ tables[0][(crc ^ *p++) & 0xff];
	return ~crc;
}

/* Moves a over so many bytes, eight bits each: bit n of the length is x^(2^(n + 3)).
 * Beyond bit 60 a length does not come. */
static uint32_t move_portable(uint32_t a, uint64_t length_bytes)
{
	for (unsigned int n = 3; length_bytes != 0 && n < 64; n++, length_bytes >>= 1)
		if (length_bytes & 1)
			a = multiply(powers[n], a);
	return a;
}

#if defined(__x86_64__)

enum { LONG_BYTES = 1024, SHORT_BYTES = 128 };
/* x^(8n - 33) mod P for n of one block and of two. */
#define SHIFT_1_LONG UINT32_C(0x170076fa)
#define SHIFT_2_LONG UINT32_C(0xa51b6135)
#define SHIFT_1_SHORT UINT32_C(0x0d3b6092)
#define SHIFT_2_SHORT UINT32_C(0xb9e02b86)

__attribute__((target("sse4.2,pclmul"))) static uint32_t shift(uint32_t crc, uint32_t k)
{
	__m128i product =
		_mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc), _mm_cvtsi32_si128((int)k), 0);

	return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2"))) static inline uint64_t step(uint64_t crc, const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return _mm_crc32_u64(crc, word);
}

/* Three blocks at once; crc is that of what is before them. */
__attribute__((target("sse4.2,pclmul"))) static inline uint64_t three_blocks(
	uint64_t crc, const uint8_t *p, size_t block_bytes, uint32_t shift_1, uint32_t shift_2)
{
	uint64_t second = 0, third = 0;

	for (size_t i = 0; i < block_bytes; i += 8, p += 8) {
		crc = step(crc, p);
		second = step(second, p + block_bytes);
		third = step(third, p + 2 * block_bytes);
	}
	return shift((uint32_t)crc, shift_2) ^ shift((uint32_t)second, shift_1) ^ third;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_sse42(
	uint32_t initial, const uint8_t *p, size_t length_bytes)
{
	uint64_t crc = ~initial;

	for (; length_bytes >= 3 * LONG_BYTES; length_bytes -= 3 * LONG_BYTES, p += 3 * LONG_BYTES)
		crc = three_blocks(crc, p, LONG_BYTES, SHIFT_1_LONG, SHIFT_2_LONG);
	for (; length_bytes >= 3 * SHORT_BYTES;
		length_bytes -= 3 * SHORT_BYTES, p += 3 * SHORT_BYTES)
		crc = three_blocks(crc, p, SHORT_BYTES, SHIFT_1_SHORT, SHIFT_2_SHORT);
	for (; length_bytes >= 8; length_bytes -= 8, p += 8)
		crc = step(crc, p);
	for (; length_bytes > 0; length_bytes--)
		crc = _mm_crc32_u8((uint32_t)crc, *p++);
	return ~(uint32_t)crc;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t move_sse42(
	uint32_t a, uint64_t length_bytes)
{
	for (unsigned int n = 3; length_bytes != 0 && n < 64; n++, length_bytes >>= 1)
		if (length_bytes & 1)
			a = shift(a, shifts[n]);
	return a;
}

#define AVX512 __attribute__((target("avx512f,vpclmulqdq,sse4.2,pclmul")))
enum { WIDE_BYTES = 64, WIDE_LEAST = 8 * WIDE_BYTES };
/* To move over 64 and 256 bytes: for the first 8 of 16, and for the second. */
#define WIDE_1_FIRST UINT32_C(0x740eef02)
#define WIDE_1_SECOND UINT32_C(0x9e4addf8)
#define WIDE_4_FIRST UINT32_C(0xdcb17aa4)
#define WIDE_4_SECOND UINT32_C(0xb9e02b86)

/* What is moved on over, added. */
AVX512 static inline __m512i wide_add(__m512i moved, __m512i by, __m512i to)
{
	__m512i first = _mm512_clmulepi64_epi128(moved, by, 0x00);
	__m512i second = _mm512_clmulepi64_epi128(moved, by, 0x11);

	return _mm512_xor_si512(_mm512_xor_si512(first, second), to);
}

/* Of WIDE_LEAST or more; what is left goes by the instruction. */
AVX512 static uint32_t crc32c_avx512(uint32_t initial, const uint8_t *p, size_t length_bytes)
{
	__m512i by = _mm512_broadcast_i32x4(_mm_set_epi64x(WIDE_4_SECOND, WIDE_4_FIRST));
	__m512i sums[4];
	uint8_t last[WIDE_BYTES];

	for (int i = 0; i < 4; i++)
		sums[i] = _mm512_loadu_si512(p + (ptrdiff_t)i * WIDE_BYTES);
	sums[0] =
		_mm512_xor_si512(sums[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)~initial)));
	for (;;) {
		p += 4 * WIDE_BYTES;
		length_bytes -= 4 * WIDE_BYTES;
		if (length_bytes < 4 * WIDE_BYTES)
			break;
		for (int i = 0; i < 4; i++)
			sums[i] = wide_add(
				sums[i], by, _mm512_loadu_si512(p + (ptrdiff_t)i * WIDE_BYTES));
	}
	by = _mm512_broadcast_i32x4(_mm_set_epi64x(WIDE_1_SECOND, WIDE_1_FIRST));
	for (int i = 1; i < 4; i++)
		sums[i] = wide_add(sums[i - 1], by, sums[i]);
	_mm512_storeu_si512(last, sums[3]);
	/* Of a checksum that began with 0 the complement is one that begins with all bits. */
	return crc32c_sse42(crc32c_sse42(UINT32_MAX, last, sizeof(last)), p, length_bytes);
}

static bool have_sse42(void)
{
	return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

static bool have_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq") &&
	       have_sse42();
}

bool crc32c_has(enum crc32c_way way)
{
	return way == CRC32C_PORTABLE || (way == CRC32C_SSE42 && have_sse42()) ||
	       (way == CRC32C_AVX512 && have_avx512());
}

uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *data, size_t length_bytes)
{
	if (way == CRC32C_AVX512 && length_bytes >= WIDE_LEAST)
		return crc32c_avx512(crc, data, length_bytes);
	if (way != CRC32C_PORTABLE)
		return crc32c_sse42(crc, data, length_bytes);
	return crc32c_portable(crc, data, length_bytes);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t length_bytes)
{
	if (length_bytes >= WIDE_LEAST && have_avx512())
		return crc32c_avx512(crc, data, length_bytes);
	return crc32c_by(have_sse42() ? CRC32C_SSE42 : CRC32C_PORTABLE, crc, data, length_bytes);
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b_bytes)
{
	pthread_once(&tables_once, tables_fill);
	return crc_b ^ (have_sse42() ? move_sse42(crc_a, length_b_bytes)
				     : move_portable(crc_a, length_b_bytes));
}

#else

bool crc32c_has(enum crc32c_way way)
{
	return way == CRC32C_PORTABLE;
}

uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *data, size_t length_bytes)
{
	(void)way;
	return crc32c_portable(crc, data, length_bytes);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t length_bytes)
{
	return crc32c_portable(crc, data, length_bytes);
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b_bytes)
{
	pthread_once(&tables_once, tables_fill);
	return crc_b ^ move_portable(crc_a, length_b_bytes);
}

#endif
