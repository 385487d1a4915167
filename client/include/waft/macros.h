/*
 * macros.h: what waft.h's macros become: a call site's static data, and calls of inline.h.
 * Included by waft.h alone; names that end in an underscore are not for use by others and
 * may change with WAFT_ABI_.
 */
#ifndef WAFT_MACROS_H
#define WAFT_MACROS_H

#define WAFT_PASTE2_(a, b) a##b
#define WAFT_PASTE_(a, b) WAFT_PASTE2_(a, b)

#define WAFT_SITE_(id, name, layer, function) \
	static struct waft_site_ id = {0, name, layer, __FILE__, function, __LINE__}

#define WAFT_BEGIN_IN(span, name, layer) WAFT_BEGIN1_(span, name, layer, __COUNTER__)
#define WAFT_BEGIN1_(span, name, layer, n) WAFT_BEGIN2_(span, name, layer, n)
#define WAFT_BEGIN2_(span, name, layer, n)                        \
	do {                                                      \
		WAFT_SITE_(waft_site_##n, name, layer, __func__); \
		waft_begin_(span, &waft_site_##n);                \
	} while (0)

#define WAFT_CALL_(n, name, layer, call)                                       \
	do {                                                                   \
		WAFT_SITE_(WAFT_PASTE_(waft_site_, n), name, layer, __func__); \
		call;                                                          \
	} while (0)

#define WAFT_BEGIN_ROOT_IN(span, name, layer) WAFT_BEGIN_ROOT1_(span, name, layer, __COUNTER__)
#define WAFT_BEGIN_ROOT1_(span, name, layer, n) \
	WAFT_CALL_(n, name, layer, waft_begin_root_(span, &WAFT_PASTE_(waft_site_, n)))

#define WAFT_BEGIN_CHILD_IN(span, name, layer, context) \
	WAFT_BEGIN_CHILD1_(span, name, layer, context, WAFT_BEGIN_CURRENT_, __COUNTER__)
#define WAFT_OPEN_CHILD_IN(span, name, layer, context) \
	WAFT_BEGIN_CHILD1_(span, name, layer, context, WAFT_BEGIN_DETACHED_, __COUNTER__)
#define WAFT_BEGIN_CHILD1_(span, name, layer, context, mode, n) \
	WAFT_CALL_(n, name, layer,                              \
		waft_begin_child_(span, &WAFT_PASTE_(waft_site_, n), context, mode, WAFT_ABI_))

#define WAFT_BEGIN_SIBLING_IN(span, name, layer, other) \
	WAFT_BEGIN_SIBLING1_(span, name, layer, other, WAFT_BEGIN_CURRENT_, __COUNTER__)
#define WAFT_OPEN_SIBLING_IN(span, name, layer, other) \
	WAFT_BEGIN_SIBLING1_(span, name, layer, other, WAFT_BEGIN_DETACHED_, __COUNTER__)
#define WAFT_BEGIN_SIBLING1_(span, name, layer, other, mode, n) \
	WAFT_CALL_(n, name, layer,                              \
		waft_begin_sibling_(span, &WAFT_PASTE_(waft_site_, n), other, mode, WAFT_ABI_))

#define WAFT_OPEN_IN(span, name, layer) \
	WAFT_OPEN1_(span, name, layer, WAFT_BEGIN_DETACHED_, __COUNTER__)
#define WAFT_OPEN_ROOT_IN(span, name, layer) \
	WAFT_OPEN1_(span, name, layer, WAFT_BEGIN_DETACHED_ | WAFT_BEGIN_NEW_TRACE_, __COUNTER__)
#define WAFT_OPEN1_(span, name, layer, mode, n) \
	WAFT_CALL_(n, name, layer,              \
		waft_begin_slow_(span, &WAFT_PASTE_(waft_site_, n), mode, WAFT_ABI_))
#define WAFT_OPEN_ROOT(span, name) WAFT_OPEN_ROOT_IN(span, name, WAFT_LAYER)
#define WAFT_OPEN_SIBLING(span, name, other) WAFT_OPEN_SIBLING_IN(span, name, WAFT_LAYER, other)

#define WAFT_CLEANUP_(function) __attribute__((__cleanup__(function)))

#define WAFT_SPAN_IN(variable, name, layer) \
	WAFT_SPAN1_(variable, name, layer, __func__, __COUNTER__)
#define WAFT_SPAN1_(variable, name, layer, function, n) \
	WAFT_SPAN2_(variable, name, layer, function, n)
#define WAFT_SPAN2_(variable, name, layer, function, n)            \
	WAFT_SITE_(waft_site_##n, name, layer, function);          \
	struct waft_span variable WAFT_CLEANUP_(waft_span_leave_); \
	waft_begin_(&variable, &waft_site_##n)

#define WAFT_ATTR_STRING_(span, key, value) \
	WAFT_ATTR1_(waft_attr_string_, span, key, value, __COUNTER__)
#define WAFT_ATTR_INT_(span, key, value) WAFT_ATTR1_(waft_attr_int_, span, key, value, __COUNTER__)
#define WAFT_ATTR_DOUBLE_(span, key, value) \
	WAFT_ATTR1_(waft_attr_double_, span, key, value, __COUNTER__)
#define WAFT_ATTR_BOOL_(span, key, value) \
	WAFT_ATTR1_(waft_attr_bool_, span, key, value, __COUNTER__)
#define WAFT_ATTR1_(set, span, key, value, n) WAFT_ATTR2_(set, span, key, value, n)
#define WAFT_ATTR2_(set, span, key, value, n)                       \
	do {                                                        \
		static struct waft_key_ waft_key_##n = {0, 0, key}; \
		set(span, &waft_key_##n, value);                    \
	} while (0)

#define WAFT_FUNCTION_IN(layer) \
	WAFT_SPAN1_(WAFT_PASTE_(waft_function_, __LINE__), NULL, layer, __func__, __COUNTER__)
#define WAFT_FUNCTION() WAFT_FUNCTION_IN(WAFT_LAYER)

#ifdef __cplusplus
extern "C++" {
inline void waft_output_any_(struct waft_span *span, bool value)
{
	waft_output_bool(span, value);
}
inline void waft_output_any_(struct waft_span *span, const char *value)
{
	waft_output_string(span, value);
}
inline void waft_output_any_(struct waft_span *span, char *value)
{
	waft_output_string(span, value);
}
inline void waft_output_any_(struct waft_span *span, double value)
{
	waft_output_double(span, value);
}
inline void waft_output_any_(struct waft_span *span, float value)
{
	waft_output_double(span, static_cast<double>(value));
}
inline void waft_output_any_(struct waft_span *span, unsigned long value)
{
	waft_output_unsigned_(span, value);
}
inline void waft_output_any_(struct waft_span *span, unsigned long long value)
{
	waft_output_unsigned_(span, value);
}
#define WAFT_OUTPUT_INT_(type)                                           \
	inline void waft_output_any_(struct waft_span *span, type value) \
	{                                                                \
		waft_output_int(span, static_cast<int64_t>(value));      \
	}
WAFT_OUTPUT_INT_(char)
WAFT_OUTPUT_INT_(signed char)
WAFT_OUTPUT_INT_(unsigned char)
WAFT_OUTPUT_INT_(short)
WAFT_OUTPUT_INT_(unsigned short)
WAFT_OUTPUT_INT_(int)
WAFT_OUTPUT_INT_(unsigned int)
WAFT_OUTPUT_INT_(long)
WAFT_OUTPUT_INT_(long long)
#undef WAFT_OUTPUT_INT_
template <typename T> inline void waft_output_any_(struct waft_span *, const T &)
{
}
}
#else
#define waft_output_any_(span, value) \
	_Generic((value),                                                                          \
		_Bool: waft_output_bool,                                                           \
		char: waft_output_int,                                                             \
		signed char: waft_output_int,                                                      \
		unsigned char: waft_output_int,                                                    \
		short: waft_output_int,                                                            \
		unsigned short: waft_output_int,                                                   \
		int: waft_output_int,                                                              \
		unsigned int: waft_output_int,                                                     \
		long: waft_output_int,                                                             \
		long long: waft_output_int,                                                        \
		unsigned long: waft_output_unsigned_,                                              \
		unsigned long long: waft_output_unsigned_,                                         \
		float: waft_output_double,                                                         \
		double: waft_output_double,                                                        \
		char *: waft_output_string,                                                        \
		const char *: waft_output_string,                                                  \
		default: waft_output_none_)(span, value)
#endif

/* The first declaration takes the `static` that may stand before the macro. */
#define WAFT_TRACED(type, name, params, args)                                    \
	type name params;                                                        \
	static type waft_body_##name params;                                     \
	type name params                                                         \
	{                                                                        \
		WAFT_SPAN1_(waft_traced_, NULL, WAFT_LAYER, #name, __COUNTER__); \
		type waft_result_ = waft_body_##name args;                       \
		waft_output_any_(&waft_traced_, waft_result_);                   \
		return waft_result_;                                             \
	}                                                                        \
	static type waft_body_##name params

#define WAFT_TRACED_VOID(name, params, args)                                     \
	void name params;                                                        \
	static void waft_body_##name params;                                     \
	void name params                                                         \
	{                                                                        \
		WAFT_SPAN1_(waft_traced_, NULL, WAFT_LAYER, #name, __COUNTER__); \
		waft_body_##name args;                                           \
	}                                                                        \
	static void waft_body_##name params

#define WAFT_TRANSFORM(name, input, output, call) \
	WAFT_TRANSFORM_IN(name, WAFT_LAYER, input, output, call)
#define WAFT_TRANSFORM_IN(name, layer, input, output, call) \
	WAFT_TRANSFORM1_(name, layer, input, output, call, __COUNTER__)
#define WAFT_TRANSFORM1_(name, layer, input, output, call, n) \
	WAFT_TRANSFORM2_(name, layer, input, output, call, n)
#define WAFT_TRANSFORM2_(name, layer, input, output, call, n)                                   \
	__extension__({                                                                         \
		WAFT_SITE_(waft_site_##n, name, layer, __func__);                               \
		struct waft_transform_ waft_transform_##n WAFT_CLEANUP_(waft_transform_leave_); \
		int waft_result_##n;                                                            \
		waft_transform_##n.returned = false;                                            \
		waft_begin_(&waft_transform_##n.span, &waft_site_##n);                          \
		waft_input_json(&waft_transform_##n.span, input, SIZE_MAX);                     \
		waft_result_##n = (call);                                                       \
		waft_transform_done_(&waft_transform_##n, waft_result_##n,                      \
			waft_recording(&waft_transform_##n.span) ? (output) : NULL);            \
	})

#define WAFT_ATTACHED(context) WAFT_ATTACHED1_(context, __COUNTER__)
#define WAFT_ATTACHED1_(context, n) WAFT_ATTACHED2_(context, n)
#define WAFT_ATTACHED2_(context, n)                                        \
	struct waft_token waft_token_##n WAFT_CLEANUP_(waft_token_leave_); \
	waft_attach(context, &waft_token_##n)

#endif
