#include "builder/exec/selection.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_MATCHES (1u << 30)	/* bytes of the names that one wildcard may match */

int exec_fail_not_found(struct ib_err *err, const char *path)
{
	ib_autofree char *shown = ib_printable(path, 1024);

	return ib_fail(err, IB_NOTFOUND, "\"/%s\": not found", shown);
}

static int fail_ignored(struct ib_err *err, const char *path)
{
	exec_fail_not_found(err, path);
	return ib_err_hint(err, " (it is there, but the ignore file leaves it out)");
}

/* Has component one of * ? [ that no backslash protects? A lone backslash makes no wildcard here. */
static bool has_wildcard(const char *component, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (component[i] == '\\')
			i++;
		else if (strchr("*?[", component[i]))
			return true;
	}
	return false;
}

/* The first component of path with a wildcard, or NULL. */
static const char *wildcard_part(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (has_wildcard(path, n))
			return path;
		path += n + (path[n] == '/');
	}
	return NULL;
}

static bool is_ignored(const struct exec_tree *tree, const char *path)
{
	return tree->ignore && *path && builder_ignore_excludes(tree->ignore, path);
}

/* Is something in the ignored directory taken back, so that the directory is there after all? 1, 0, -1. */
static int has_survivors(const struct exec_tree *tree, const char *dir, const struct stat *st, struct ib_err *err)
{
	IB_CLEANUP(exec_source_walk_freep) struct exec_source_walk *walk = NULL;
	const struct exec_source_entry *entry;

	if (!S_ISDIR(st->st_mode) || !builder_ignore_reaches_into(tree->ignore, dir))
		return 0;
	if (exec_source_walk_new(tree, dir, &walk, err) < 0)
		return -1;
	return exec_source_walk_next(walk, &entry, err);
}

/* Follow the links of path inside the tree. A missing one fails with IB_NOTFOUND, shown being its name. */
static int resolve(const struct exec_tree *tree, const char *path, const char *shown, char **ret_path,
		   struct ib_err *err)
{
	ib_autofree char *literal = NULL;
	bool exists;

	if (oci_union_resolve(tree->tree, path, true, &literal, &exists, err) < 0) {
		if (err->code == IB_NOTFOUND)
			return exec_fail_not_found(err, shown);
		return ib_wrap(err, "source /%s", shown);
	}
	if (!exists)
		return exec_fail_not_found(err, shown);
	*ret_path = ib_steal_ptr(&literal);
	return 0;
}

static int stat_literal(const struct exec_tree *tree, const char *path, const char *shown, struct stat *ret_st,
			struct ib_err *err)
{
	if (oci_union_stat(tree->tree, path, ret_st, NULL, err) == 0)
		return 0;
	return err->code == IB_NOTFOUND ? exec_fail_not_found(err, shown) : -1;
}

static int find_plain(const struct exec_tree *tree, struct exec_source *source, struct ib_err *err)
{
	bool ignored;
	struct stat st;
	int r;

	if (resolve(tree, source->written, source->written, &source->base, err) < 0 ||
	    stat_literal(tree, source->base, source->written, &st, err) < 0)
		return -1;
	/* The path as written or what its links lead to: neither is there when it is left out. */
	ignored = is_ignored(tree, source->base);
	if (!ignored && (strcmp(source->base, source->written) == 0 || !is_ignored(tree, source->written)))
		return 0;
	r = ignored ? has_survivors(tree, source->base, &st, err) : 0;
	return r ? (r < 0 ? -1 : 0) : fail_ignored(err, source->written);
}

static size_t count_slashes(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static void add_match(struct ib_str *matches, const struct exec_source_entry *entry)
{
	ib_str_addc(matches, S_ISLNK(entry->st->st_mode) ? 'l' : '-');
	ib_str_add(matches, entry->path, strlen(entry->path) + 1);
}

/* '*' and its like never match '/': only entries as deep as the pattern are asked, none below them. */
static int match_all(const struct exec_tree *tree, const char *base, const char *pattern, struct ib_str *matches,
		     struct ib_err *err)
{
	IB_CLEANUP(exec_source_walk_freep) struct exec_source_walk *walk = NULL;
	const struct exec_source_entry *entry;
	size_t depth = count_slashes(pattern);
	int r, match;

	if (exec_source_walk_new(tree, base, &walk, err) < 0)
		return -1;
	while ((r = exec_source_walk_next(walk, &entry, err)) > 0) {
		if (count_slashes(entry->path) != depth)
			continue;
		if (S_ISDIR(entry->st->st_mode))
			exec_source_walk_skip(walk);
		match = builder_pattern_match(pattern, entry->path, err);
		if (match < 0)
			return -1;
		if (match)
			add_match(matches, entry);
	}
	if (r == 0 && matches->overflow)
		return ib_fail(err, IB_LIMIT, "source '%s' matches too many files", pattern);
	return r;
}

/* Without a match nothing is copied, and that is no error. */
static int find_matches(const struct exec_tree *tree, struct exec_source *source, const char *pattern,
			struct ib_err *err)
{
	ib_autofree char *dir = ib_strndup(source->written, (size_t)(pattern - source->written));
	ib_autostr matches = IB_STR(MAX_MATCHES);
	struct stat st;

	source->wildcard = true;
	/* The pattern is checked even where there is nothing to match it with. */
	if (builder_pattern_match(pattern, "", err) < 0)
		return -1;
	if (resolve(tree, dir, dir, &source->base, err) < 0 ||
	    stat_literal(tree, source->base, dir, &st, err) < 0) {
		if (err->code != IB_NOTFOUND)
			return -1;
		ib_err_clear(err);	/* nothing is below a directory that is not there */
		return 0;
	}
	if (S_ISDIR(st.st_mode) && match_all(tree, source->base, pattern, &matches, err) < 0)
		return -1;
	source->matches_len = matches.len;
	source->matches = ib_str_steal(&matches);
	return 0;
}

static int find_source(const struct exec_tree *tree, const char *text, struct exec_source *source,
		       struct ib_err *err)
{
	const char *pattern;

	source->text = text;
	source->written = oci_union_clean(text);
	pattern = wildcard_part(source->written);
	return pattern ? find_matches(tree, source, pattern, err) : find_plain(tree, source, err);
}

int exec_selection_new(const struct exec_copy *copy, const struct exec_tree *tree,
		       struct exec_selection **ret_selection, struct ib_err *err)
{
	IB_CLEANUP(exec_selection_freep) struct exec_selection *selection = ib_new(struct exec_selection);

	selection->copy = copy;
	selection->tree = tree;
	selection->files = selection->bytes = -1;
	selection->n_sources = copy->n_sources;
	selection->sources = ib_calloc(copy->n_sources, sizeof *selection->sources);
	for (size_t i = 0; i < copy->n_sources; i++)
		if (find_source(tree, copy->sources[i], &selection->sources[i], err) < 0)
			return -1;
	*ret_selection = ib_steal_ptr(&selection);
	return 0;
}

void exec_selection_free(struct exec_selection *selection)
{
	if (!selection)
		return;
	for (size_t i = 0; i < selection->n_sources; i++) {
		free(selection->sources[i].written);
		free(selection->sources[i].base);
		free(selection->sources[i].matches);
	}
	free(selection->sources);
	free(selection);
}

void exec_selection_size(const struct exec_selection *selection, int64_t *ret_files, int64_t *ret_bytes)
{
	*ret_files = selection->files;
	*ret_bytes = selection->bytes;
}
