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

WAFT_TRACED(std::string, joined, (const std::string &a, const std::string &b), (a, b))
{
	return a + b;
}

static WAFT_TRACED(bool, is_even, (int value), (value))
{
	return value % 2 == 0;
}

static WAFT_TRACED_VOID(touch, (), ())
{
	WAFT_FUNCTION();
}

static int thrower()
{
	throw std::runtime_error("thrown");
}

static void one_liners()
{
	struct waft_context context;

	joined("a", "b");
	is_even(2);
	touch();
	WAFT_TRANSFORM("use.transform", "[1]", "[2]", 0);
	try {
		WAFT_TRANSFORM("use.transform", "[1]", "[2]", thrower());
	} catch (const std::runtime_error &) {
	}
	waft_context_current(&context);
	{
		WAFT_ATTACHED(&context);
		struct waft_span sibling;
		WAFT_BEGIN_CHILD(&sibling, "use.child", &context);
		waft_input_int(&sibling, 1);
		waft_end(&sibling);
	}
	waft_context_done(&context);
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
		one_liners();
	}
	struct waft_stats stats;
	if (waft_shutdown(5000, &stats) != 0)
		return 1;
	std::printf("%s: %d spans durable\n", waft_version(), static_cast<int>(stats.durable));
	return stats.emitted == 9 && stats.durable == 9 ? 0 : 1;
}
