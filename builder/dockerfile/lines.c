#include "builder/dockerfile/lines.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "builder/dockerfile/rune.h"
#include "oci/base/alloc.h"
#include "oci/base/json.h"

#include "oci/base/poison.h"

enum { SEEN_SYNTAX = 1u << 0, SEEN_ESCAPE = 1u << 1, SEEN_CHECK = 1u << 2 };

static const struct directive {
	const char *name;
	unsigned bit;
} directives[] = {
	{"syntax", SEEN_SYNTAX},
	{"escape", SEEN_ESCAPE},
	{"check", SEEN_CHECK},
};

void dockerfile_lines_init(struct dockerfile_lines *lines, const char *bytes, size_t n)
{
	*lines = (struct dockerfile_lines){
		.at = bytes,
		.end = bytes + n,
		.escape = '\\',
		.in_directives = true,
		.text = IB_STR(n),
		.comments = IB_STR(n + 1),
	};
}

void dockerfile_lines_done(struct dockerfile_lines *lines)
{
	free(lines->syntax);
	free(lines->check);
	ib_str_done(&lines->text);
	ib_str_done(&lines->comments);
}

bool dockerfile_lines_raw(struct dockerfile_lines *lines, const char **ret_line, size_t *ret_n)
{
	size_t left = (size_t)(lines->end - lines->at);
	const char *newline = memchr(lines->at, '\n', left);

	if (!left)
		return false;
	*ret_line = lines->at;
	*ret_n = newline ? (size_t)(newline + 1 - lines->at) : left;
	lines->at += *ret_n;
	lines->line++;
	return true;
}

/* A physical line without its end. */
static bool next_line(struct dockerfile_lines *lines, const char **ret_line, size_t *ret_n)
{
	if (!dockerfile_lines_raw(lines, ret_line, ret_n))
		return false;
	while (*ret_n && ((*ret_line)[*ret_n - 1] == '\n' || (*ret_line)[*ret_n - 1] == '\r'))
		--*ret_n;
	return true;
}

/* Move *p, which has *n bytes, behind the white space it begins with. */
static void trim_left(const char **p, size_t *n)
{
	size_t space;

	while (*n && (space = rune_space_len(*p)) > 0) {
		*p += space;
		*n -= space;
	}
}

/* The key of "key = value" (n bytes at p) and its value, which is not empty; false for anything else. */
static bool split_directive(const char *p, size_t n, size_t *ret_key_len, const char **ret_value,
			    size_t *ret_value_len)
{
	size_t key = 0;

	if (!n || !isalpha((unsigned char)*p))
		return false;
	while (key < n && isalnum((unsigned char)p[key]))
		key++;
	*ret_key_len = key;
	p += key;
	n -= key;
	trim_left(&p, &n);
	if (!n || *p != '=')
		return false;
	p++;
	n--;
	trim_left(&p, &n);
	*ret_value = p;
	*ret_value_len = rune_trimmed_len(p, n);
	return *ret_value_len > 0;
}

static const struct directive *find_directive(const char *key, size_t n)
{
	for (size_t i = 0; i < sizeof directives / sizeof *directives; i++)
		if (strlen(directives[i].name) == n && strncasecmp(directives[i].name, key, n) == 0)
			return &directives[i];
	return NULL;
}

static int set_escape(struct dockerfile_lines *lines, const char *value, size_t n, struct ib_err *err)
{
	ib_autofree char *word = ib_strndup(value, n);
	ib_autofree char *shown = ib_printable(word, 40);

	if (strcmp(word, "\\") != 0 && strcmp(word, "`") != 0)
		return ib_fail(err, IB_USAGE, "invalid escape token '%s' does not match ` or \\", shown);
	lines->escape = *word;
	return 0;
}

/* Bytes of value, which has n, up to its first blank. */
static size_t word_len(const char *value, size_t n)
{
	size_t len = strcspn(value, " \t");

	return len < n ? len : n;
}

static int apply_directive(struct dockerfile_lines *lines, const struct directive *d, const char *value,
			   size_t n, struct ib_err *err)
{
	if (lines->seen & d->bit)
		return ib_fail(err, IB_USAGE, "only one %s parser directive can be used", d->name);
	lines->seen |= d->bit;
	if (d->bit == SEEN_ESCAPE)
		return set_escape(lines, value, n, err);
	if (d->bit == SEEN_CHECK)
		lines->check = ib_strndup(value, n);
	else
		lines->syntax = ib_strndup(value, word_len(value, n));
	return 0;
}

/*
 * Was this line, n bytes at p, a directive? 1, 0 - and then none follows - or -1. A first line "#!..." is
 * passed over, but behind it syntax alone is known.
 */
static int scan_directive(struct dockerfile_lines *lines, const char *p, size_t n, struct ib_err *err)
{
	const struct directive *d = NULL;
	size_t key_len, value_len;
	const char *value;

	if (!lines->in_directives)
		return 0;
	if (lines->line == 1 && n > 1 && p[0] == '#' && p[1] == '!') {
		lines->shebang = true;
		return 0;
	}
	if (n && *p == '#') {
		p++;
		n--;
		trim_left(&p, &n);
		if (split_directive(p, n, &key_len, &value, &value_len))
			d = find_directive(p, key_len);
	}
	lines->in_directives = d != NULL;
	if (!d || (lines->shebang && (d->bit != SEEN_SYNTAX || lines->syntax)))
		return 0;
	return apply_directive(lines, d, value, value_len, err) < 0 ? -1 : 1;
}

/* A comment above what may be an instruction; an empty one parts it from those before. */
static void add_comment(struct dockerfile_lines *lines, const char *p, size_t n)
{
	trim_left(&p, &n);
	n = rune_trimmed_len(p, n);
	if (!n) {
		ib_str_reset(&lines->comments);
		return;
	}
	if (lines->comments.len)
		ib_str_addc(&lines->comments, '\n');
	ib_str_add(&lines->comments, p, n);
}

/*
 * Append a line to the logical one. Returns whether another follows: the escape character is last, but for
 * blanks, and does not itself stand behind one.
 */
static bool append(struct dockerfile_lines *lines, const char *p, size_t n)
{
	size_t last = n;

	while (last && (p[last - 1] == ' ' || p[last - 1] == '\t'))
		last--;
	if (!last || p[last - 1] != lines->escape || (last > 1 && p[last - 2] == lines->escape)) {
		ib_str_add(&lines->text, p, n);
		return false;
	}
	ib_str_add(&lines->text, p, last - 1);
	return true;
}

/* The lines that continue what was begun. Comments among them vanish, empty ones do not end it. */
static void join(struct dockerfile_lines *lines)
{
	const char *line;
	size_t n;

	while (next_line(lines, &line, &n)) {
		const char *text = line;
		size_t left = n;

		trim_left(&text, &left);
		if (left && *text == '#')
			continue;
		if (!left)
			lines->empty_continuation = true;
		else if (!append(lines, line, n))
			return;
	}
}

int dockerfile_lines_next(struct dockerfile_lines *lines, struct ib_err *err)
{
	const char *line;
	size_t n;

	ib_str_reset(&lines->text);
	ib_str_reset(&lines->comments);
	lines->empty_continuation = false;
	while (next_line(lines, &line, &n)) {
		int directive;

		trim_left(&line, &n);
		directive = scan_directive(lines, line, n, err);
		if (directive < 0)
			return -1;
		if (n && *line == '#') {
			if (!directive)
				add_comment(lines, line + 1, n - 1);
			continue;
		}
		if (!n) {
			ib_str_reset(&lines->comments);
			continue;
		}
		lines->start = lines->line;
		if (append(lines, line, n))
			join(lines);
		return 1;
	}
	return 0;
}

static char *json_syntax(const char *bytes, size_t n)
{
	ib_autoerr no_json = {0};	/* then it is a Dockerfile, which the caller goes on to parse */
	ib_autojson *value = *rune_skip_spaces(bytes) == '{' ? ib_json_parse(bytes, n, &no_json) : NULL;

	return value ? ib_strdup_null(ib_json_get_string(value, "syntax")) : NULL;
}

/* The value of "// syntax = value" among the lines at the top, all of which are such directives. */
static char *slashed_syntax(const char *bytes, size_t n)
{
	struct dockerfile_lines lines;
	ib_autoerr twice = {0};		/* the first one stands */
	const char *line;
	size_t len;
	char *syntax;
	int known = 1;

	dockerfile_lines_init(&lines, bytes, n);
	while (known == 1 && next_line(&lines, &line, &len) && len > 2 && line[0] == '/' &&
	       line[1] == '/') {
		ib_autofree char *text = ib_strndup(line + 1, len - 1);

		text[0] = '#';
		known = scan_directive(&lines, text, len - 1, &twice);
	}
	syntax = ib_steal_ptr(&lines.syntax);
	dockerfile_lines_done(&lines);
	return syntax;
}

char *dockerfile_lines_foreign_syntax(const char *bytes, size_t n)
{
	char *syntax = slashed_syntax(bytes, n);

	return syntax ? syntax : json_syntax(bytes, n);
}
