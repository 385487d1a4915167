/*
 * The smallest user of libwaft: two nested spans, traced into the directory
 * given, and what became of them. Built by install.sh against the installed
 * tree.
 */
#include <stdio.h>
#include <string.h>
#include <waft/waft.h>

static int add(int a, int b)
{
	WAFT_SPAN(span, "use.add");

	waft_attr_int(&span, "a", a);
	waft_attr_string(&span, "language", "C");
	waft_output_int(&span, a + b);
	return a + b;
}

int main(int argc, char **argv)
{
	char endpoint[4096];
	struct waft_options options = {.size = sizeof(options), .service = "use"};
	struct waft_stats stats;
	int sum;

	if (argc != 2)
		return 2;
	snprintf(endpoint, sizeof(endpoint), "file:%s", argv[1]);
	options.endpoint = endpoint;
	if (waft_init(&options) != 0)
		return 1;
	{
		WAFT_SPAN(span, "use.main");
		sum = add(1, 2);
	}
	if (waft_shutdown(5000, &stats) != 0)
		return 1;
	printf("%s: %d, %d spans durable\n", waft_version(), sum, (int)stats.durable);
	return sum == 3 && stats.emitted == 2 && stats.durable == 2 ? 0 : 1;
}
