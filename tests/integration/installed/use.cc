// The same in C++: the header compiles there, and spans end by exceptions too.
// Built by install.sh against the installed tree.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <waft/waft.h>

static int fail(int value)
{
	WAFT_SPAN(span, "use.fail");

	waft_attr_int(&span, "value", value);
	waft_error(&span, "thrown");
	throw std::runtime_error("thrown");
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	std::string endpoint = std::string("file:") + argv[1];
	struct waft_options options = {};
	options.size = sizeof(options);
	options.endpoint = endpoint.c_str();
	if (waft_init(&options) != 0)
		return 1;
	{
		WAFT_SPAN(span, "use.main");
		waft_attr_string(&span, "language", "C++");
		try {
			fail(1);
		} catch (const std::runtime_error &) {
		}
	}
	struct waft_stats stats;
	if (waft_shutdown(5000, &stats) != 0)
		return 1;
	std::printf("%s: %d spans durable\n", waft_version(), static_cast<int>(stats.durable));
	return stats.emitted == 2 && stats.durable == 2 ? 0 : 1;
}
