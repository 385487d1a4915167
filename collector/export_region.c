/* Regions that come with a hello; see export_region.h. */
#include "export_region.h"

#include "region_layout.h"

#include <string.h>
#include <unistd.h>

void export_region_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

int export_region_take(
	struct call *call, struct regions *regions, const struct hello *hello, bool *ret_unasked)
{
	struct stream *stream = connection_stream(call->connection);
	int fd;

	*ret_unasked = false;
	if (stream->ops->take_descriptor == NULL)
		return -1;
	fd = stream->ops->take_descriptor(stream);
	*ret_unasked = fd >= 0 && hello->region == 0;
	if (regions != NULL && hello->region == REGION_VERSION)
		return fd;
	export_region_close(fd);
	return -1;
}

void export_region_hold(
	struct call *call, struct regions *regions, const struct hello *hello, int fd)
{
	struct stream *stream = connection_stream(call->connection);
	struct region_owner owner = {
		.service = hello->service, .pid = hello->pid, .peer = &call->peer};
	int pidfd = -1;

	if (regions == NULL)
		return;
	if (hello->region != REGION_VERSION) {
		regions_on_hello(regions, hello->client);
		return;
	}
	memcpy(owner.client, hello->client, sizeof(owner.client));
	if (stream->ops->open_process != NULL)
		pidfd = stream->ops->open_process(stream);
	regions_hold(regions, &owner, fd, pidfd);
}
