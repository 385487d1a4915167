/* Growth of struct bytes and its checked writers. See bytes.h. */
#include "bytes.h"

#include <errno.h>
#include <stdlib.h>

#include "cursor.h"

void bytes_done(struct bytes *bytes)
{
	if (!bytes->lent)
		free(bytes->data);
	*bytes = (struct bytes){0};
}

/* To memory of its own, of so many bytes. */
static int move(struct bytes *bytes, size_t capacity)
{
	uint8_t *data = malloc(capacity);

	if (data == NULL)
		return -ENOMEM;
	if (bytes->length > 0)
		memcpy(data, bytes->data, bytes->length);
	*bytes = (struct bytes){.data = data, .length = bytes->length, .capacity = capacity};
	return 0;
}

int bytes_own(struct bytes *bytes)
{
	return bytes->lent ? move(bytes, bytes->length > 0 ? bytes->length : 1) : 0;
}

int bytes_grow(struct bytes *bytes, size_t wanted)
{
	size_t capacity = bytes->capacity < 64 ? 64 : bytes->capacity;
	uint8_t *data;

	if (wanted <= bytes->capacity)
		return 0;
	while (capacity < wanted) {
		if (capacity > SIZE_MAX / 2)
			return -ENOMEM;
		capacity *= 2;
	}
	if (bytes->lent)
		return move(bytes, capacity);
	data = realloc(bytes->data, capacity);
	if (data == NULL)
		return -ENOMEM;
	bytes->data = data;
	bytes->capacity = capacity;
	return 0;
}

int bytes_varint(struct bytes *bytes, uint64_t value)
{
	int ret = bytes_reserve(bytes, BYTES_VARINT_MAX);

	if (ret == 0)
		bytes_varint_fast(bytes, value);
	return ret;
}

int bytes_u32(struct bytes *bytes, uint32_t value)
{
	uint8_t raw[4];

	le32_write(raw, value);
	return bytes_put(bytes, raw, sizeof(raw));
}

int bytes_u64(struct bytes *bytes, uint64_t value)
{
	uint8_t raw[8];

	le64_write(raw, value);
	return bytes_put(bytes, raw, sizeof(raw));
}

int bytes_text(struct bytes *bytes, const void *text, size_t length)
{
	int ret = bytes_reserve(bytes, BYTES_VARINT_MAX + length);

	if (ret != 0)
		return ret;
	bytes_varint_fast(bytes, length);
	return bytes_put(bytes, text, length);
}
