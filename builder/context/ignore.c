#include "builder/context/pattern.h"

#include <string.h>

#include "builder/context/ignore-pattern.h"
#include "builder/dockerfile/rune.h"
#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

struct builder_ignore {
	struct ignore_pattern *patterns;	/* fixed once it is shared: no lock */
	size_t n, cap;
	bool exceptions;
};

struct builder_ignore *builder_ignore_new(void)
{
	return ib_new(struct builder_ignore);
}

void builder_ignore_free(struct builder_ignore *ignore)
{
	if (!ignore)
		return;
	for (size_t i = 0; i < ignore->n; i++)
		ignore_pattern_done(&ignore->patterns[i]);
	free(ignore->patterns);
	free(ignore);
}

static char *trimmed(const char *s)
{
	s = rune_skip_spaces(s);
	return ib_strndup(s, rune_trimmed_len(s, strlen(s)));
}

/* Take the last component off the n bytes at out, of which the first root bytes stay. */
static size_t drop_last(const char *out, size_t n, size_t root)
{
	while (n > root && out[n - 1] != '/')
		n--;
	return n > root ? n - 1 : n;
}

static bool ends_in_parent(const char *out, size_t n, size_t root)
{
	return n >= root + 2 && memcmp(out + n - 2, "..", 2) == 0 && (n == root + 2 || out[n - 3] == '/');
}

/* path without empty components, "." and "x/..", none of which a file's path has. "." if nothing is left. */
static char *clean(const char *path)
{
	size_t root = *path == '/', n = root;
	char *out = ib_malloc(strlen(path) + 2);

	out[0] = '/';
	for (const char *p = path + strspn(path, "/"); *p; p += strspn(p, "/")) {
		size_t len = strcspn(p, "/");
		bool parent = len == 2 && memcmp(p, "..", 2) == 0;

		if (parent && (n > root || root) && !ends_in_parent(out, n, root)) {
			n = drop_last(out, n, root);
		} else if (!(len == 1 && *p == '.')) {
			if (n > root)
				out[n++] = '/';
			memcpy(out + n, p, len);
			n += len;
		}
		p += len;
	}
	if (!n)
		out[n++] = '.';
	out[n] = '\0';
	return out;
}

/* Add a pattern that is clean; text may begin with '!'. */
static int add_clean(struct builder_ignore *ignore, const char *text, struct ib_err *err)
{
	bool exception = *text == '!';
	const char *pattern = text + exception;

	if (!*pattern)
		return ib_fail(err, IB_USAGE, "illegal exclusion pattern: \"!\"");
	if (strlen(pattern) > IGNORE_PATTERN_MAX)
		return ib_fail(err, IB_LIMIT, "pattern is longer than %d bytes", IGNORE_PATTERN_MAX);
	if (builder_pattern_match(pattern, ".", err) < 0) {
		ib_autofree char *shown = ib_printable(text, 200);

		return ib_wrap(err, "'%s'", shown);
	}
	ib_grow(ignore->patterns, ignore->n, ignore->cap);
	ignore_pattern_init(&ignore->patterns[ignore->n++], ib_strdup(pattern), exception);
	ignore->exceptions |= exception;
	return 0;
}

int builder_ignore_add(struct builder_ignore *ignore, const char *pattern, struct ib_err *err)
{
	ib_autofree char *text = trimmed(pattern);
	ib_autofree char *cleaned = NULL;

	if (!*text)
		return 0;
	cleaned = clean(text);
	return add_clean(ignore, cleaned, err);
}

/* A line of an ignore file, whose paths count from the context's root with or without a leading '/'. */
static int add_line(struct builder_ignore *ignore, const char *line, struct ib_err *err)
{
	ib_autofree char *text = *line == '#' ? ib_strdup("") : trimmed(line);
	ib_autofree char *path = trimmed(text + (*text == '!'));
	ib_autofree char *cleaned = NULL, *pattern = NULL;

	if (!*text)
		return 0;
	cleaned = *path ? clean(path) : ib_strdup("");
	pattern = ib_asprintf("%s%s", *text == '!' ? "!" : "", cleaned + (cleaned[0] == '/' && cleaned[1]));
	return builder_ignore_add(ignore, pattern, err);
}

static int add_lines(struct builder_ignore *ignore, const char *text, const char *name, struct ib_err *err)
{
	int number = 1;

	for (const char *p = text; *p; number++) {
		size_t n = strcspn(p, "\n");
		ib_autofree char *line = ib_strndup(p, n);

		if (add_line(ignore, line, err) < 0)
			return ib_wrap(err, "%s:%d", name, number);
		p += n + (p[n] == '\n');
	}
	return 0;
}

int builder_ignore_parse(const char *text, size_t len, const char *name, struct builder_ignore **ret_ignore,
			 struct ib_err *err)
{
	IB_CLEANUP(builder_ignore_freep) struct builder_ignore *ignore = builder_ignore_new();
	ib_autofree char *copy = ib_malloc(len + 1);

	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	if (memchr(copy, 0, len))
		return ib_fail(err, IB_USAGE,
			       "%s: not an ignore file but a binary file: it holds a NUL byte", name);
	if (add_lines(ignore, copy + (ib_starts(copy, "\357\273\277") ? 3 : 0), name, err) < 0)
		return -1;
	*ret_ignore = ib_steal_ptr(&ignore);
	return 0;
}

/* The root itself can't be left out. */
static bool is_root(const char *path)
{
	return !*path || strcmp(path, ".") == 0;
}

bool builder_ignore_excludes(const struct builder_ignore *ignore, const char *path)
{
	bool excluded = false;

	if (is_root(path))
		return false;
	for (size_t i = 0; i < ignore->n; i++) {
		const struct ignore_pattern *p = &ignore->patterns[i];

		/* Only a match that changes the verdict is looked for. */
		if (p->exception == excluded && ignore_pattern_matches(p, path))
			excluded = !excluded;
	}
	return excluded;
}

/* What matches the directory matches all below it as well, so only exceptions behind that count. */
bool builder_ignore_reaches_into(const struct builder_ignore *ignore, const char *path)
{
	if (is_root(path))
		return true;
	for (size_t i = ignore->exceptions ? ignore->n : 0; i-- > 0;) {
		const struct ignore_pattern *p = &ignore->patterns[i];

		if (p->exception && ignore_pattern_reaches_into(p, path))
			return true;
		if (ignore_pattern_matches(p, path))
			return p->exception;
	}
	return false;
}

bool builder_ignore_is_empty(const struct builder_ignore *ignore)
{
	return !ignore->n;
}

bool builder_ignore_has_exceptions(const struct builder_ignore *ignore)
{
	return ignore->exceptions;
}

char *builder_ignore_str(const struct builder_ignore *ignore)
{
	ib_autostr out = IB_STR(SIZE_MAX / 2);		/* no longer than the patterns added */

	for (size_t i = 0; i < ignore->n; i++)
		ib_str_addf(&out, "%s%s\n", ignore->patterns[i].exception ? "!" : "",
			    ignore->patterns[i].text);
	return ib_str_steal(&out);
}
