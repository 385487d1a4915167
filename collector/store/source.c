/*
 * source.c: see source.h.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "part.h"
#include "sealed.h"

/* What a foreign file may unpack to; more is taken for a bomb. */
#define UNPACKED_BYTES_MAX ((uint64_t)1 << 36)

struct source {
	struct disk *disk;
	int file;		      /* handle of disk */
	int unpacked;		      /* file descriptor of the unnamed file; -1 */
	struct sealed_reader *sealed; /* NULL: not sealed */
	uint64_t size;
	uint64_t inode;
	int damage; /* why unpacking ended before the file did */
};

static int read_packed(void *ctx, void *data, size_t length, uint64_t offset)
{
	struct source *source = ctx;
	ssize_t got = disk_read(source->disk, source->file, data, length, offset);

	if (got < 0)
		return (int)got;
	return (size_t)got == length ? 0 : -EIO;
}

static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, data, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		data += written;
		length -= (size_t)written;
	}
	return 0;
}

static int open_unnamed(void)
{
	const char *directory = secure_getenv("TMPDIR");
	int fd;

	if (directory == NULL || directory[0] != '/')
		directory = "/tmp";
	fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : -errno;
}

/* Unpacks what is in `in` as far as it goes. *left: what zstd still expects. */
static int unpack_some(
	struct source *source, ZSTD_DStream *stream, ZSTD_inBuffer *in, char *out, size_t *left)
{
	while (in->pos < in->size) {
		ZSTD_outBuffer to = {.dst = out, .size = ZSTD_DStreamOutSize()};
		int ret;

		*left = ZSTD_decompressStream(stream, &to, in);
		if (ZSTD_isError(*left))
			return ERR_MALFORMED;
		source->size += to.pos;
		if (source->size > UNPACKED_BYTES_MAX)
			return -EFBIG;
		ret = write_all(source->unpacked, out, to.pos);
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* The tail that zstd keeps when its output was full. */
static int unpack_rest(struct source *source, ZSTD_DStream *stream, char *out, size_t *left)
{
	for (;;) {
		ZSTD_inBuffer none = {.src = out};
		ZSTD_outBuffer to = {.dst = out, .size = ZSTD_DStreamOutSize()};
		int ret;

		*left = ZSTD_decompressStream(stream, &to, &none);
		if (ZSTD_isError(*left))
			return ERR_MALFORMED;
		if (to.pos == 0)
			return 0;
		source->size += to.pos;
		ret = write_all(source->unpacked, out, to.pos);
		if (ret != 0)
			return ret;
	}
}

static int unpack_into(struct source *source, ZSTD_DStream *stream, char *in, char *out)
{
	uint64_t offset = 0;
	size_t left = 1;
	int ret = 0;

	for (;;) {
		ssize_t got =
			disk_read(source->disk, source->file, in, ZSTD_DStreamInSize(), offset);
		ZSTD_inBuffer packed = {.src = in, .size = got > 0 ? (size_t)got : 0};

		if (got < 0)
			return (int)got;
		if (got == 0)
			break;
		offset += (uint64_t)got;
		ret = unpack_some(source, stream, &packed, out, &left);
		if (ret == ERR_MALFORMED && source->size > 0) {
			source->damage = ret;
			return 0;
		}
		if (ret != 0)
			return ret;
	}
	if (left != 0)
		ret = unpack_rest(source, stream, out, &left);
	/* What is there of a torn file counts; a file that isn't zstd has failed above. */
	return ret;
}

static int unpack(struct source *source)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	char *in = malloc(ZSTD_DStreamInSize());
	char *out = malloc(ZSTD_DStreamOutSize());
	int ret = -ENOMEM;

	if (stream != NULL && in != NULL && out != NULL) {
		source->unpacked = open_unnamed();
		ret = source->unpacked < 0 ? source->unpacked
					   : unpack_into(source, stream, in, out);
	}
	ZSTD_freeDStream(stream);
	free(in);
	free(out);
	return ret;
}

static int open_packed(struct source *source, uint64_t packed_bytes)
{
	int ret = sealed_reader_open(read_packed, source, packed_bytes, &source->sealed);

	if (ret == ERR_MALFORMED)
		return unpack(source);
	if (ret == 0)
		source->size = sealed_reader_size(source->sealed);
	return ret;
}

int source_open(struct disk *disk, int dir, const char *name, struct source **ret)
{
	struct source *source = calloc(1, sizeof(*source));
	struct disk_stat stat;
	int error;

	if (source == NULL)
		return -ENOMEM;
	source->disk = disk;
	source->unpacked = -1;
	source->file = error = disk_open(disk, dir, name, DISK_READ);
	if (error >= 0)
		error = disk_stat_file(disk, source->file, &stat);
	if (error == 0)
		source->inode = stat.inode;
	if (error == 0 && part_name_is_packed(name))
		error = open_packed(source, stat.length_bytes);
	else if (error == 0)
		source->size = stat.length_bytes;
	if (error != 0) {
		source_close(source);
		return error;
	}
	*ret = source;
	return 0;
}

void source_will_open(struct disk *disk, int dir, const char *name)
{
	int file = disk_open(disk, dir, name, DISK_READ);
	struct disk_stat stat;

	if (file >= 0 && disk_stat_file(disk, file, &stat) == 0) {
		uint64_t length = stat.length_bytes < SEALED_TAIL_BYTES ? stat.length_bytes
									: SEALED_TAIL_BYTES;

		disk_will_read(disk, file, stat.length_bytes - length, length);
	}
	disk_close(disk, file);
}

void source_will_read(struct source *source, uint64_t offset, uint64_t end)
{
	uint64_t at, length;

	if (source->sealed == NULL)
		return;
	sealed_reader_place(source->sealed, offset, end, &at, &length);
	disk_will_read(source->disk, source->file, at, length);
}

void source_close(struct source *source)
{
	if (source == NULL)
		return;
	sealed_reader_close(source->sealed);
	disk_close(source->disk, source->file);
	if (source->unpacked >= 0)
		close(source->unpacked);
	free(source);
}

uint64_t source_size(const struct source *source)
{
	return source->size;
}

uint64_t source_inode(const struct source *source)
{
	return source->inode;
}

int source_damage(const struct source *source)
{
	return source->damage;
}

uint64_t source_piece(const struct source *source, uint64_t offset)
{
	return source->sealed != NULL ? sealed_reader_frame_end(source->sealed, offset) - offset
				      : UINT64_MAX;
}

int source_unpack(struct source *source)
{
	if (source->sealed == NULL)
		return 0;
	sealed_reader_close(source->sealed);
	source->sealed = NULL;
	source->size = 0;
	return unpack(source);
}

const struct sealed_reader *source_sealed(const struct source *source)
{
	return source->sealed;
}

static int read_unpacked(struct source *source, uint64_t offset, char *data, size_t length)
{
	while (length > 0) {
		ssize_t got = pread(source->unpacked, data, length, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		data += got;
		length -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

int source_read(struct source *source, uint64_t offset, void *data, size_t length)
{
	if (source->sealed != NULL)
		return sealed_reader_read(source->sealed, offset, data, length);
	if (source->unpacked >= 0)
		return read_unpacked(source, offset, data, length);
	return read_packed(source, data, length, offset);
}
