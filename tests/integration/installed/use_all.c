/*
 * A user of all three libraries: traces a span, starts a traced HTTP server on
 * a free port and stops it, then reads its own trace back. Built by install.sh
 * against the installed tree.
 */
#include <stdio.h>
#include <string.h>
#include <waft/microhttpd.h>
#include <waft/viewer.h>
#include <waft/waft.h>

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **request)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(2, (void *)"ok", MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result = waft_mhd_queue_response(connection, MHD_HTTP_OK, response);

	(void)arg, (void)url, (void)method, (void)version;
	(void)upload_data, (void)upload_data_size, (void)request;
	MHD_destroy_response(response);
	return result;
}

static int serve(void)
{
	struct waft_mhd_options options = {.size = sizeof(options), .handler = answer};
	struct waft_mhd *traced = waft_mhd_new(&options);
	struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
		waft_mhd_handler, traced, MHD_OPTION_NOTIFY_COMPLETED, waft_mhd_completed, traced,
		MHD_OPTION_END);

	if (daemon != NULL)
		MHD_stop_daemon(daemon);
	waft_mhd_free(traced);
	return traced != NULL && daemon != NULL ? 0 : -1;
}

static int show(const char *endpoint)
{
	struct waft_viewer *viewer = waft_viewer_new();
	struct waft_trace *trace = NULL;
	char *tree = NULL;
	int ret = waft_viewer_open(viewer, endpoint);

	if (ret == 0)
		ret = waft_viewer_trace(viewer, "last", &trace);
	if (ret == 0)
		tree = waft_trace_format_tree(trace, NULL);
	else
		fprintf(stderr, "%s\n", waft_viewer_error(viewer));
	if (tree != NULL)
		fputs(tree, stdout);
	ret = tree != NULL && strstr(tree, "use.all (") != NULL ? 0 : -1;
	waft_text_free(tree);
	waft_trace_free(trace);
	waft_viewer_free(viewer);
	return ret;
}

int main(int argc, char **argv)
{
	char endpoint[4096];
	struct waft_options options = {.size = sizeof(options), .endpoint = endpoint};

	if (argc != 2)
		return 2;
	snprintf(endpoint, sizeof(endpoint), "file:%s", argv[1]);
	if (waft_init(&options) != 0)
		return 1;
	{
		WAFT_SPAN(span, "use.all");
		if (serve() != 0)
			return 1;
	}
	if (waft_shutdown(5000, NULL) != 0)
		return 1;
	return show(endpoint) == 0 ? 0 : 1;
}
