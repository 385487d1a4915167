/*
 * first_trace.c: start a trace, do work, end it; list recent traces; show one.
 *
 *     cc first_trace.c $(pkg-config --cflags --libs waft waft-viewer) -o first_trace
 *
 * Traces go to the collector that runs here, or, with WAFT_ENDPOINT=file:DIR, to a
 * directory without any.
 */
#include <waft/viewer.h>
#include <waft/waft.h>

#include <stdio.h>

static double price(int items)
{
	WAFT_SPAN(span, "shop.price"); /* ends on every way out */
	double total = 0;

	waft_attr_int(&span, "items", items);
	for (int i = 0; i < items; i++)
		total += 2.5;
	waft_output_double(&span, total);
	return total;
}

/* Everything that begins inside is below it, whatever function it is in. */
static void order(void)
{
	WAFT_SPAN(span, "shop.order");

	waft_input_json(&span, "{\"items\":3}", SIZE_MAX);
	printf("that is %.2f\n\n", price(3));
}

static void show_recent(struct waft_viewer *viewer)
{
	struct waft_trace_list *list = NULL;

	if (waft_viewer_list(viewer, NULL, 5, &list) != 0)
		return;
	for (size_t i = 0; i < list->count; i++) {
		char *line = waft_trace_format_summary(&list->traces[i], NULL);

		printf("%s\n", line);
		waft_text_free(line);
	}
	waft_trace_list_free(list);
}

static void show_tree(struct waft_viewer *viewer, const char *id)
{
	struct waft_trace *trace = NULL;

	if (waft_viewer_trace(viewer, id, &trace) == 0) {
		char *tree = waft_trace_format_tree(trace, NULL);

		printf("\n%s", tree);
		waft_text_free(tree);
	}
	waft_trace_free(trace);
}

int main(void)
{
	struct waft_viewer *viewer;
	int failed;

	order();
	/* 0: every span of this process can be read now. */
	failed = waft_shutdown(2000, NULL);
	if (failed != 0)
		fprintf(stderr, "not all was stored: %s\n", waft_strerror(failed));

	viewer = waft_viewer_new();
	failed = waft_viewer_open(viewer, NULL);
	if (failed == 0) {
		show_recent(viewer);
		show_tree(viewer, "last");
	} else {
		fprintf(stderr, "%s\n", waft_viewer_error(viewer));
	}
	waft_viewer_free(viewer);
	return failed == 0 ? 0 : 1;
}
