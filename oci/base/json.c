#include "oci/base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static struct ib_json *make(enum ib_json_type type)
{
	struct ib_json *v = ib_new(struct ib_json);

	v->type = type;
	return v;
}

static struct ib_json *make_text(enum ib_json_type type, const char *s, size_t len)
{
	struct ib_json *v = make(type);

	v->text = ib_strndup(s, len);
	v->len = len;
	return v;
}

struct ib_json *ib_json_object(void)
{
	return make(IB_JSON_OBJECT);
}

struct ib_json *ib_json_array(void)
{
	return make(IB_JSON_ARRAY);
}

struct ib_json *ib_json_null(void)
{
	return make(IB_JSON_NULL);
}

struct ib_json *ib_json_string(const char *s)
{
	return make_text(IB_JSON_STRING, s, strlen(s));
}

struct ib_json *ib_json_int(int64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%jd", (intmax_t)value);

	return make_text(IB_JSON_NUMBER, text, (size_t)n);
}

struct ib_json *ib_json_bool(bool value)
{
	struct ib_json *v = make(IB_JSON_BOOL);

	v->truth = value;
	return v;
}

/* Depth is bounded by IB_JSON_MAX_DEPTH for parsed values and by our own code for made ones. */
void ib_json_free(struct ib_json *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n; i++)
		ib_json_free(v->child[i]);
	free(v->child);
	free(v->key);
	free(v->text);
	free(v);
}

struct ib_json *ib_json_copy(const struct ib_json *v)
{
	struct ib_json *copy = make(v->type);

	copy->truth = v->truth;
	copy->len = v->len;
	copy->text = ib_strdup_null(v->text);
	for (size_t i = 0; i < v->n; i++) {
		struct ib_json *child = ib_json_copy(v->child[i]);

		child->key = ib_strdup_null(v->child[i]->key);
		ib_json_append(copy, child);
	}
	return copy;
}

void ib_json_append(struct ib_json *array, struct ib_json *take_value)
{
	ib_grow(array->child, array->n, array->cap);
	array->child[array->n++] = take_value;
}

static size_t find(const struct ib_json *object, const char *key)
{
	size_t i = 0;

	while (i < object->n && strcmp(object->child[i]->key, key) != 0)
		i++;
	return i;
}

void ib_json_set(struct ib_json *object, const char *key, struct ib_json *take_value)
{
	size_t i = find(object, key);

	if (!take_value) {
		if (i == object->n)
			return;
		ib_json_free(object->child[i]);
		memmove(object->child + i, object->child + i + 1, (object->n - i - 1) * sizeof *object->child);
		object->n--;
		return;
	}
	free(take_value->key);
	take_value->key = ib_strdup(key);
	if (i < object->n) {
		ib_json_free(object->child[i]);
		object->child[i] = take_value;
	} else {
		ib_json_append(object, take_value);
	}
}

struct ib_json *ib_json_get_mutable(struct ib_json *v, const char *key)
{
	size_t i;

	if (!v || v->type != IB_JSON_OBJECT)
		return NULL;
	i = find(v, key);
	return i < v->n && v->child[i]->type != IB_JSON_NULL ? v->child[i] : NULL;
}

const struct ib_json *ib_json_get(const struct ib_json *v, const char *key)
{
	size_t i;

	if (!v || v->type != IB_JSON_OBJECT)
		return NULL;
	i = find(v, key);
	return i < v->n && v->child[i]->type != IB_JSON_NULL ? v->child[i] : NULL;
}

const char *ib_json_get_string(const struct ib_json *v, const char *key)
{
	const struct ib_json *member = ib_json_get(v, key);

	return member && member->type == IB_JSON_STRING ? member->text : NULL;
}

bool ib_json_get_int(const struct ib_json *v, const char *key, int64_t *ret_value)
{
	const struct ib_json *member = ib_json_get(v, key);
	long long value;

	if (!member || member->type != IB_JSON_NUMBER ||
	    !ib_parse_int(member->text, INT64_MIN, INT64_MAX, &value))
		return false;
	*ret_value = value;
	return true;
}

bool ib_json_get_bool(const struct ib_json *v, const char *key)
{
	const struct ib_json *member = ib_json_get(v, key);

	return member && member->type == IB_JSON_BOOL && member->truth;
}

static int compare_keys(const void *a, const void *b)
{
	const struct ib_json *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

void ib_json_sort(struct ib_json *object)
{
	if (object->n > 1)
		qsort(object->child, object->n, sizeof *object->child, compare_keys);
}

/* What yajl's callbacks build: the open containers, innermost last. */
struct building {
	struct ib_json *stack[IB_JSON_MAX_DEPTH];
	size_t depth;
	size_t values;
	struct ib_json *root;
	char *key;
	const char *flaw;
	bool too_much;		/* the flaw is a limit passed */
};

static int refuse(struct building *b, const char *flaw)
{
	b->flaw = flaw;
	return 0;
}

static int refuse_limit(struct building *b, const char *flaw)
{
	b->too_much = true;
	return refuse(b, flaw);
}

static int place(struct building *b, struct ib_json *take_value)
{
	struct ib_json *parent = b->depth ? b->stack[b->depth - 1] : NULL;

	if (++b->values > IB_JSON_MAX_VALUES) {
		ib_json_free(take_value);
		return refuse_limit(b, "too many values");
	}
	if (!parent)
		b->root = take_value;
	else
		ib_json_append(parent, take_value);
	if (parent && parent->type == IB_JSON_OBJECT)
		take_value->key = ib_steal_ptr(&b->key);
	return 1;
}

static int on_null(void *ctx)
{
	return place(ctx, ib_json_null());
}

static int on_bool(void *ctx, int truth)
{
	return place(ctx, ib_json_bool(truth));
}

static int on_number(void *ctx, const char *s, size_t len)
{
	return place(ctx, make_text(IB_JSON_NUMBER, s, len));
}

/* yajl lets overlong forms and surrogates pass. text ends with a NUL and has none before. */
static bool is_utf8(const char *text)
{
	while (*text) {
		size_t n = (unsigned char)*text < 0x80 ? 1 : ib_utf8_length(text);

		if (n == 0)
			return false;
		text += n;
	}
	return true;
}

static int on_string(void *ctx, const unsigned char *s, size_t len)
{
	struct ib_json *v;

	if (memchr(s, 0, len))
		return refuse(ctx, "a NUL character in a string");
	v = make_text(IB_JSON_STRING, (const char *)s, len);
	if (!is_utf8(v->text)) {
		ib_json_free(v);
		return refuse(ctx, "invalid UTF-8 in a string");
	}
	return place(ctx, v);
}

static int on_key(void *ctx, const unsigned char *s, size_t len)
{
	struct building *b = ctx;
	const struct ib_json *object = b->stack[b->depth - 1];

	if (memchr(s, 0, len))
		return refuse(b, "a NUL character in a key");
	b->key = ib_strndup((const char *)s, len);
	if (!is_utf8(b->key))
		return refuse(b, "invalid UTF-8 in a key");
	/* Two readers that disagree on which of two members counts disagree on what was signed. */
	if (object->n < 1024 && find(object, b->key) < object->n)
		return refuse(b, "a duplicate key");
	return 1;
}

static int open_container(struct building *b, enum ib_json_type type)
{
	struct ib_json *v;

	if (b->depth == IB_JSON_MAX_DEPTH)
		return refuse_limit(b, "nesting too deep");
	v = make(type);
	if (!place(b, v))
		return 0;
	b->stack[b->depth++] = v;
	return 1;
}

static int on_start_map(void *ctx)
{
	return open_container(ctx, IB_JSON_OBJECT);
}

static int on_start_array(void *ctx)
{
	return open_container(ctx, IB_JSON_ARRAY);
}

static int on_end(void *ctx)
{
	struct building *b = ctx;

	b->depth--;
	return 1;
}

static int fail_at(struct ib_err *err, const struct building *b, const char *bytes, size_t at)
{
	const char *flaw = b->flaw ? b->flaw : "syntax error";
	size_t line = 1, column = 1;

	for (size_t i = 0; i < at; i++) {
		column = bytes[i] == '\n' ? 1 : column + 1;
		line += bytes[i] == '\n';
	}
	return ib_fail(err, b->too_much ? IB_LIMIT : IB_INVALID, "not valid JSON: %s at line %zu, column %zu",
		       flaw, line, column);
}

struct ib_json *ib_json_parse(const char *bytes, size_t len, struct ib_err *err)
{
	static const yajl_callbacks callbacks = {
		.yajl_null = on_null,
		.yajl_boolean = on_bool,
		.yajl_number = on_number,
		.yajl_string = on_string,
		.yajl_start_map = on_start_map,
		.yajl_map_key = on_key,
		.yajl_end_map = on_end,
		.yajl_start_array = on_start_array,
		.yajl_end_array = on_end,
	};
	struct building b = {0};
	yajl_handle parser;
	yajl_status status;
	size_t at;

	if (len > IB_JSON_MAX_BYTES) {
		ib_fail(err, IB_LIMIT, "JSON of %zu bytes is larger than %u", len, IB_JSON_MAX_BYTES);
		return NULL;
	}
	parser = yajl_alloc(&callbacks, NULL, &b);
	status = yajl_parse(parser, (const unsigned char *)bytes, len);
	at = yajl_get_bytes_consumed(parser);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(parser);
	yajl_free(parser);
	free(b.key);
	if (status == yajl_status_ok && b.root)
		return b.root;
	ib_json_free(b.root);
	fail_at(err, &b, bytes, at < len ? at : len);
	return NULL;
}

/* How values are written. */
struct style {
	int indent;	/* levels so far, or -1 for compact text */
	bool go;	/* escape as Go does */
};

/*
 * Length of what stands at s and Go's encoding/json would not write as it is, 0 if it would; *ret_text is
 * its replacement.
 */
static size_t go_escape(const char *s, const char **ret_text)
{
	const unsigned char *p = (const unsigned char *)s;

	switch (*p) {
	case '<':
		*ret_text = "\\u003c";
		return 1;
	case '>':
		*ret_text = "\\u003e";
		return 1;
	case '&':
		*ret_text = "\\u0026";
		return 1;
	case '\b':
		*ret_text = "\\b";
		return 1;
	case '\f':
		*ret_text = "\\f";
		return 1;
	}
	if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) {
		*ret_text = p[2] == 0xa8 ? "\\u2028" : "\\u2029";
		return 3;
	}
	*ret_text = "\\ufffd";
	return *p >= 0x80 && ib_utf8_length(s) == 0;
}

static void print_string(const char *s, bool go, struct ib_str *out)
{
	ib_str_addc(out, '"');
	while (*s) {
		unsigned char c = (unsigned char)*s;
		const char *text;
		size_t n = go ? go_escape(s, &text) : 0;

		if (n) {
			ib_str_adds(out, text);
			s += n;
			continue;
		}
		if (c == '"' || c == '\\') {
			ib_str_addc(out, '\\');
			ib_str_addc(out, *s);
		} else if (c == '\n') {
			ib_str_adds(out, "\\n");
		} else if (c == '\t') {
			ib_str_adds(out, "\\t");
		} else if (c == '\r') {
			ib_str_adds(out, "\\r");
		} else if (c < 0x20) {
			ib_str_addf(out, "\\u%04x", c);
		} else {
			/* A whole sequence at once: its later bytes are not to be judged alone. */
			n = ib_utf8_length(s);
			ib_str_add(out, s, n ? n : 1);
			s += n ? n - 1 : 0;
		}
		s++;
	}
	ib_str_addc(out, '"');
}

void ib_json_print_string(const char *s, struct ib_str *out)
{
	print_string(s, false, out);
}

static void newline(struct ib_str *out, int indent)
{
	if (indent >= 0)
		ib_str_addf(out, "\n%*s", 2 * indent, "");
}

static void print(const struct ib_json *v, struct ib_str *out, struct style style)
{
	struct style inner = {style.indent < 0 ? -1 : style.indent + 1, style.go};
	bool object = v->type == IB_JSON_OBJECT;

	switch (v->type) {
	case IB_JSON_NULL:
		ib_str_adds(out, "null");
		return;
	case IB_JSON_BOOL:
		ib_str_adds(out, v->truth ? "true" : "false");
		return;
	case IB_JSON_NUMBER:
		ib_str_add(out, v->text, v->len);
		return;
	case IB_JSON_STRING:
		print_string(v->text, style.go, out);
		return;
	case IB_JSON_ARRAY:
	case IB_JSON_OBJECT:
		break;
	}
	ib_str_addc(out, object ? '{' : '[');
	for (size_t i = 0; i < v->n; i++) {
		if (i)
			ib_str_addc(out, ',');
		newline(out, inner.indent);
		if (object) {
			print_string(v->child[i]->key, style.go, out);
			ib_str_adds(out, style.indent < 0 ? ":" : ": ");
		}
		print(v->child[i], out, inner);
	}
	if (v->n)
		newline(out, style.indent);
	ib_str_addc(out, object ? '}' : ']');
}

void ib_json_print(const struct ib_json *v, struct ib_str *out)
{
	print(v, out, (struct style){.indent = -1});
}

void ib_json_print_go(const struct ib_json *v, struct ib_str *out)
{
	print(v, out, (struct style){.indent = -1, .go = true});
}

void ib_json_print_pretty(const struct ib_json *v, struct ib_str *out)
{
	print(v, out, (struct style){0});
}
