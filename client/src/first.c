/* The public functions, before there is a tracer behind them. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <waft/waft.h>

__thread struct waft_thread_ waft_thread_;

int waft_init(const struct waft_options *o)
{
	(void)o;
	return 0;
}
int waft_flush(uint32_t t)
{
	(void)t;
	return 0;
}
int waft_shutdown(uint32_t t, struct waft_stats *s)
{
	(void)t;
	if (s)
		memset(s, 0, sizeof(*s));
	return 0;
}
void waft_stats(struct waft_stats *s)
{
	memset(s, 0, sizeof(*s));
}
const char *waft_drop_reason_name(enum waft_drop_reason r)
{
	(void)r;
	return "";
}
const char *waft_strerror(int c)
{
	return strerror(c < 0 ? -c : c);
}
const char *waft_version(void)
{
	return "0.1.0";
}
static void none(struct waft_span *s)
{
	if (s) {
		s->open_ = NULL;
		s->bits_ = 0;
	}
}
void waft_span_begin_named(
	struct waft_span *s, const char *n, const char *l, const struct waft_context *p)
{
	(void)n;
	(void)l;
	(void)p;
	none(s);
}
void waft_span_open_named(
	struct waft_span *s, const char *n, const char *l, const struct waft_context *p)
{
	(void)n;
	(void)l;
	(void)p;
	none(s);
}
void waft_begin_slow_(struct waft_span *s, struct waft_site_ *i, unsigned int m, unsigned int a)
{
	(void)i;
	(void)m;
	(void)a;
	none(s);
}
void waft_begin_child_(struct waft_span *s, struct waft_site_ *i, const struct waft_context *p,
	unsigned int m, unsigned int a)
{
	(void)i;
	(void)p;
	(void)m;
	(void)a;
	none(s);
}
void waft_begin_sibling_(struct waft_span *s, struct waft_site_ *i, const struct waft_span *p,
	unsigned int m, unsigned int a)
{
	(void)i;
	(void)p;
	(void)m;
	(void)a;
	none(s);
}
void waft_end_slow_(struct waft_span *s)
{
	none(s);
}
void waft_bell_slow_(void)
{
}
uint64_t waft_clock_slow_(void)
{
	return 0;
}
void waft_attr_string_slow_(struct waft_span *s, struct waft_key_ *k, const char *v, size_t n)
{
	(void)s;
	(void)k;
	(void)v;
	(void)n;
}
void waft_attr_int_slow_(struct waft_span *s, struct waft_key_ *k, int64_t v)
{
	(void)s;
	(void)k;
	(void)v;
}
void waft_attr_double_slow_(struct waft_span *s, struct waft_key_ *k, double v)
{
	(void)s;
	(void)k;
	(void)v;
}
void waft_attr_bool_slow_(struct waft_span *s, struct waft_key_ *k, bool v)
{
	(void)s;
	(void)k;
	(void)v;
}
void waft_output_unsigned_(struct waft_span *s, uint64_t v)
{
	(void)s;
	(void)v;
}
void waft_set_kind(struct waft_span *s, enum waft_kind k)
{
	(void)s;
	(void)k;
}
void waft_set(struct waft_span *s, const struct waft_attribute *a)
{
	(void)s;
	(void)a;
}
void waft_event(struct waft_span *s, const char *n, const struct waft_attribute *a, size_t c)
{
	(void)s;
	(void)n;
	(void)a;
	(void)c;
}
void waft_link(
	struct waft_span *s, const struct waft_context *t, const struct waft_attribute *a, size_t c)
{
	(void)s;
	(void)t;
	(void)a;
	(void)c;
}
void waft_trace_attr(struct waft_span *s, const char *k, const char *v)
{
	(void)s;
	(void)k;
	(void)v;
}
void waft_error(struct waft_span *s, const char *t)
{
	(void)s;
	(void)t;
}
void waft_errorf(struct waft_span *s, const char *f, ...)
{
	(void)s;
	(void)f;
}
void waft_error_code(struct waft_span *s, int64_t c, const char *t)
{
	(void)s;
	(void)c;
	(void)t;
}
void waft_errno(struct waft_span *s, int n, const char *d)
{
	(void)s;
	(void)n;
	(void)d;
}
void waft_json_object(struct waft_json *j)
{
	(void)j;
}
void waft_json_end_object(struct waft_json *j)
{
	(void)j;
}
void waft_json_array(struct waft_json *j)
{
	(void)j;
}
void waft_json_end_array(struct waft_json *j)
{
	(void)j;
}
void waft_json_key(struct waft_json *j, const char *k)
{
	(void)j;
	(void)k;
}
void waft_json_string(struct waft_json *j, const char *k)
{
	(void)j;
	(void)k;
}
void waft_json_string_n(struct waft_json *j, const char *k, size_t n)
{
	(void)j;
	(void)k;
	(void)n;
}
void waft_json_int(struct waft_json *j, int64_t v)
{
	(void)j;
	(void)v;
}
void waft_json_double(struct waft_json *j, double v)
{
	(void)j;
	(void)v;
}
void waft_json_bool(struct waft_json *j, bool v)
{
	(void)j;
	(void)v;
}
void waft_json_null(struct waft_json *j)
{
	(void)j;
}
void waft_json_raw(struct waft_json *j, const char *k, size_t n)
{
	(void)j;
	(void)k;
	(void)n;
}
void waft_input_json(struct waft_span *s, const char *t, size_t n)
{
	(void)s;
	(void)t;
	(void)n;
}
void waft_output_json(struct waft_span *s, const char *t, size_t n)
{
	(void)s;
	(void)t;
	(void)n;
}
void waft_input_fn(struct waft_span *s, waft_snapshot_fn f, void *a)
{
	(void)s;
	(void)f;
	(void)a;
}
void waft_output_fn(struct waft_span *s, waft_snapshot_fn f, void *a)
{
	(void)s;
	(void)f;
	(void)a;
}
void waft_output_int(struct waft_span *s, int64_t v)
{
	(void)s;
	(void)v;
}
void waft_output_double(struct waft_span *s, double v)
{
	(void)s;
	(void)v;
}
void waft_output_bool(struct waft_span *s, bool v)
{
	(void)s;
	(void)v;
}
void waft_output_string(struct waft_span *s, const char *v)
{
	(void)s;
	(void)v;
}
void waft_context_current(struct waft_context *c)
{
	memset(c, 0, sizeof(*c));
}
void waft_context_of(const struct waft_span *s, struct waft_context *c)
{
	(void)s;
	memset(c, 0, sizeof(*c));
}
void waft_context_copy(const struct waft_context *a, struct waft_context *c)
{
	*c = *a;
}
void waft_context_done(struct waft_context *c)
{
	(void)c;
}
void waft_attach(const struct waft_context *c, struct waft_token *t)
{
	(void)c;
	memset(t, 0, sizeof(*t));
}
void waft_detach(struct waft_token *t)
{
	(void)t;
}
void waft_inject(const struct waft_context *c, waft_header_set_fn s, void *a)
{
	(void)c;
	(void)s;
	(void)a;
}
int waft_extract(waft_header_get_fn g, void *a, struct waft_context *c)
{
	(void)g;
	(void)a;
	memset(c, 0, sizeof(*c));
	return -ENOENT;
}
void waft_traceparent_format(const struct waft_context *c, char t[WAFT_TRACEPARENT_SIZE])
{
	(void)c;
	t[0] = 0;
}
int waft_traceparent_parse(const char *t, struct waft_context *c)
{
	(void)t;
	memset(c, 0, sizeof(*c));
	return -EINVAL;
}
void waft_trace_id_format(const struct waft_context *c, char t[WAFT_TRACE_ID_SIZE])
{
	(void)c;
	t[0] = 0;
}
void waft_span_id_format(const struct waft_context *c, char t[WAFT_SPAN_ID_SIZE])
{
	(void)c;
	t[0] = 0;
}
char **waft_env_new(const struct waft_context *c, char *const *b)
{
	(void)c;
	(void)b;
	return NULL;
}
void waft_env_free(char **e)
{
	free(e);
}
int waft_context_from_env(struct waft_context *c)
{
	memset(c, 0, sizeof(*c));
	return -ENOENT;
}
