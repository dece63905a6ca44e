/*
 * oci/base/json.h - JSON values: parsed with limits, kept in their order, written back compactly.
 *
 * Parsing is yajl's; the value tree exists so that documents can be changed without losing what we do
 * not know about them. Numbers keep their text. Object members keep their order. Writing escapes what
 * RFC 8259 demands and nothing else, so equal trees give equal bytes.
 */
#ifndef OCI_BASE_JSON_H
#define OCI_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci/base/err.h"
#include "oci/base/str.h"

enum ib_json_type { IB_JSON_NULL, IB_JSON_BOOL, IB_JSON_NUMBER, IB_JSON_STRING, IB_JSON_ARRAY, IB_JSON_OBJECT };

/* A value owns its children. Read it through the functions below. */
struct ib_json {
	enum ib_json_type type;
	char *key;		/* name within the parent object, else NULL */
	char *text;		/* string content or number text; may hold NUL bytes only up to len */
	size_t len;
	bool truth;
	struct ib_json **child;
	size_t n, cap;
};

#define IB_JSON_MAX_DEPTH 64		/* no document of ours nests deeper than ten */
#define IB_JSON_MAX_BYTES (16u << 20)	/* four times the largest manifest a registry takes */
#define IB_JSON_MAX_VALUES (1u << 18)	/* some 30 MiB of tree: "[0,0,0..." must not become gigabytes */

/*
 * Parse exactly one value. Fails with IB_INVALID (syntax, with line and column; duplicate keys; a NUL in
 * a string or key; invalid UTF-8) or IB_LIMIT (len over IB_JSON_MAX_BYTES, depth, number of values). NULL
 * on failure.
 */
struct ib_json *ib_json_parse(const char *bytes, size_t len, struct ib_err *err);
void ib_json_free(struct ib_json *value);
IB_DEFINE_FREE(ib_json);
#define ib_autojson IB_CLEANUP(ib_json_freep) struct ib_json

/* Makers; the results are the caller's until added to a parent. */
struct ib_json *ib_json_object(void);
struct ib_json *ib_json_array(void);
struct ib_json *ib_json_null(void);
struct ib_json *ib_json_string(const char *s);
struct ib_json *ib_json_int(int64_t value);
struct ib_json *ib_json_bool(bool value);
struct ib_json *ib_json_copy(const struct ib_json *value);	/* without the key */

/* Put a member, replacing one of that key in its place; NULL take_value removes the key. */
void ib_json_set(struct ib_json *object, const char *key, struct ib_json *take_value);
void ib_json_append(struct ib_json *array, struct ib_json *take_value);
void ib_json_sort(struct ib_json *object);	/* members by key, byte order */

/* Borrowed, until the parent changes. NULL when missing, when JSON null, or when v is no object. */
const struct ib_json *ib_json_get(const struct ib_json *v, const char *key);
struct ib_json *ib_json_get_mutable(struct ib_json *v, const char *key);

/* The text of a string member, or NULL when it is missing or no string. Borrowed. */
const char *ib_json_get_string(const struct ib_json *v, const char *key);

/* The value of an integral number member in the range of int64_t; false when missing or anything else. */
bool ib_json_get_int(const struct ib_json *v, const char *key, int64_t *ret_value);
bool ib_json_get_bool(const struct ib_json *v, const char *key);	/* false when missing */

/* Append the compact text of v to out. */
void ib_json_print(const struct ib_json *v, struct ib_str *out);
void ib_json_print_string(const char *s, struct ib_str *out);	/* with its quotes */

/*
 * As ib_json_print(), with strings escaped as Go's encoding/json does it (< > & U+2028 U+2029 as \uNNNN,
 * bytes that are no UTF-8 as \ufffd): documents of images equal those of other builders byte for byte.
 */
void ib_json_print_go(const struct ib_json *v, struct ib_str *out);

/* As ib_json_print(), indented by two spaces for people. */
void ib_json_print_pretty(const struct ib_json *v, struct ib_str *out);

#endif
