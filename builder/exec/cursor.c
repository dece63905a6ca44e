#include <stdlib.h>
#include <string.h>

#include "builder/exec/selection.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

void exec_cursor_done(struct exec_cursor *cursor)
{
	free(cursor->path);
	free(cursor->shown);
	*cursor = (struct exec_cursor){0};
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static char *join(const char *dir, const char *name)
{
	return *dir ? ib_asprintf("%s/%s", dir, name) : ib_strdup(name);
}

/* The target of a match that is a link; 0 when it leads nowhere or to what the ignore file leaves out. */
static int follow_match(const struct exec_tree *tree, char **path, struct ib_err *err)
{
	ib_autofree char *link = ib_steal_ptr(path);
	bool exists;

	if (oci_union_resolve(tree->tree, link, true, path, &exists, err) < 0)
		return err->code == IB_NOTFOUND ? exec_fail_not_found(err, link) : -1;
	if (!exists || (tree->ignore && **path && builder_ignore_excludes(tree->ignore, *path)))
		return exec_fail_not_found(err, link);
	return 0;
}

static int set_item(struct exec_cursor *cursor, const struct exec_tree *tree, struct ib_err *err)
{
	struct exec_item *item = &cursor->item;

	*item = (struct exec_item){
		.name = base_name(cursor->shown),
		.path = cursor->path,
		.shown = cursor->shown,
		.source = cursor->source,
	};
	if (oci_union_stat(tree->tree, cursor->path, &item->st, NULL, err) == 0)
		return 0;
	return err->code == IB_NOTFOUND ? exec_fail_not_found(err, cursor->shown) : -1;
}

/* The next match of a wildcard: 1, 0 when there is none, -1. */
static int next_match(struct exec_cursor *cursor, const struct exec_source *source, const struct exec_tree *tree,
		      struct ib_err *err)
{
	const char *match;

	if (cursor->at == source->matches_len)
		return 0;
	match = source->matches + cursor->at;
	cursor->at += strlen(match) + 1;
	cursor->path = join(source->base, match + 1);
	cursor->shown = ib_strdup(cursor->path);
	if (match[0] == 'l' && follow_match(tree, &cursor->path, err) < 0)
		return -1;
	return set_item(cursor, tree, err) < 0 ? -1 : 1;
}

static int next_plain(struct exec_cursor *cursor, const struct exec_source *source, const struct exec_tree *tree,
		      struct ib_err *err)
{
	if (cursor->at > 0)
		return 0;
	cursor->at = 1;
	cursor->path = ib_strdup(source->base);
	cursor->shown = ib_strdup(source->written);
	return set_item(cursor, tree, err) < 0 ? -1 : 1;
}

static void set_inline(struct exec_cursor *cursor, const struct exec_inline_file *file)
{
	cursor->item = (struct exec_item){
		.inline_file = file,
		.name = file->name,
		.path = file->name,
		.shown = file->name,
		.source = cursor->source,
		.st = {.st_mode = S_IFREG | 0644, .st_size = (off_t)file->size},
	};
}

int exec_cursor_next(struct exec_cursor *cursor, const struct exec_selection *selection,
		     const struct exec_item **ret_item, struct ib_err *err)
{
	const struct exec_copy *copy = selection->copy;

	for (; cursor->source < selection->n_sources; cursor->source++, cursor->at = 0) {
		const struct exec_source *source = &selection->sources[cursor->source];
		int r;

		free(ib_steal_ptr(&cursor->path));
		free(ib_steal_ptr(&cursor->shown));
		r = (source->wildcard ? next_match : next_plain)(cursor, source, selection->tree, err);
		if (r != 0) {
			*ret_item = &cursor->item;
			return r;
		}
	}
	if (cursor->source - selection->n_sources == copy->n_inline_files)
		return 0;
	set_inline(cursor, &copy->inline_files[cursor->source++ - selection->n_sources]);
	*ret_item = &cursor->item;
	return 1;
}
